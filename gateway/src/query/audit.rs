//! Who did what, for operators: which acts there are is asked of the views, and what was done is read in the log.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderValue;
use axum::response::{IntoResponse, Response};
use commands::receipt::{Outcome, ReceiptBody};
use events::ids::{AccountId, CommandId, DeviceId, KeyId};
use events::metadata::Cause;
use events::{Commit, Hash, Position};
use projections::audit::{ACTS_PER_PAGE_MAX, ActKind, ActsOf};
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::{Params, ask};
use crate::http::{App, POSITION_HEADER};
use crate::past::{AsOf, end_of, unreadable};
use crate::problem::Problem;
use crate::stream::{CloudEvent, cloud_event};
use crate::token::Caller;

/// Acts of a page unless the query says otherwise.
pub(crate) const ACTS_PER_PAGE: usize = 20;

/// What was done, the newest first.
#[derive(Serialize, JsonSchema)]
pub(crate) struct ActList {
    /// The acts.
    acts: Vec<Act>,
    /// Pass it as `cursor` to get the next page; null: this was the last.
    next_cursor: Option<Position>,
}

/// One commit of the log: what somebody asked for, and all that came of it.
#[derive(Serialize, JsonSchema)]
struct Act {
    /// Where it begins in the log.
    position: Position,
    /// When it was decided, in RFC 3339.
    time: String,
    /// Who asked for it; null: nobody did, the process that writes.
    actor: Option<AccountId>,
    /// What he signed.
    command: Option<SignedCommand>,
    /// What came of it; null where nobody asked.
    outcome: Option<Outcome>,
    /// What happened, as it stands in the log.
    events: Vec<CloudEvent>,
}

/// A command as it was signed.
#[derive(Serialize, JsonSchema)]
struct SignedCommand {
    /// Its id: its receipt is at `/v1/receipts/{actor}/{id}`.
    id: CommandId,
    /// Its name, such as `order.hold`.
    name: String,
    /// From which device.
    device: DeviceId,
    /// The key that signed it.
    key: KeyId,
    /// The hash of what was wished.
    fingerprint: Hash,
    /// Whether a second factor was shown beside it.
    is_stepped_up: bool,
    /// The signed bytes: a compact JWS, or canonical JSON with its `signature`.
    signed: String,
}

impl Act {
    fn of(commit: &Commit) -> Result<Act, Problem> {
        let (actor, command) = match &commit.start().cause {
            Cause::Command(stamp) => {
                let command = SignedCommand {
                    id: stamp.command,
                    name: stamp.name.clone(),
                    device: stamp.device,
                    key: stamp.key,
                    fingerprint: stamp.fingerprint,
                    is_stepped_up: stamp.step_up.is_some(),
                    signed: stamp.signed.clone(),
                };
                (Some(stamp.account), Some(command))
            }
            Cause::Deadline(_) | Cause::Writer(_) => (None, None),
        };
        let events = commit.events().iter().map(|recorded| cloud_event(commit, recorded));
        Ok(Act {
            position: commit.first_position(),
            time: commit.time().to_string(),
            actor,
            command,
            outcome: ReceiptBody::of(commit).map(|body| body.outcome),
            events: events.collect::<Result<_, _>>().map_err(Problem::unavailable)?,
        })
    }
}

/// `GET /v1/audit`
pub(crate) async fn acts(
    caller: Caller,
    params: Params,
    State(app): State<Arc<App>>,
) -> Result<Response, Problem> {
    params.only(&["actor", "cursor", "from", "kind", "limit", "subject", "to"])?;
    if !caller.is_operator() {
        return Err(Problem::forbidden("who did what is for operators"));
    }
    let of = asked(&params)?;
    let (cursor, limit) = params.page::<Position>(ACTS_PER_PAGE, ACTS_PER_PAGE_MAX)?;
    let log = app.gateway.log.as_ref();
    let mut from = 0;
    if let Some(moment) = params.moment("from")? {
        from = end_of(log, AsOf::Time(moment.plus_ms(-1))).await? + 1;
    }
    let mut before = cursor;
    if let Some(moment) = params.moment("to")? {
        let end = end_of(log, AsOf::Time(moment.plus_ms(-1))).await? + 1;
        before = Some(cursor.map_or(end, |cursor| cursor.min(end)));
    }
    let found = ask(&app, move |views| views.audit().acts(&of, from, before, limit)).await?;
    let mut acts = Vec::with_capacity(found.found.positions.len());
    for position in found.found.positions {
        let commit = app.gateway.log.commit(position).await.map_err(unreadable)?;
        let missing = || Problem::unavailable(format!("the log has no commit at position {position}"));
        acts.push(Act::of(commit.ok_or_else(missing)?.as_ref())?);
    }
    let list = ActList { acts, next_cursor: found.found.next };
    let mut response = axum::Json(list).into_response();
    response.headers_mut().insert(POSITION_HEADER, HeaderValue::from(found.position));
    Ok(response)
}

/// Reads whose acts, or the acts about what, are asked for.
fn asked(params: &Params) -> Result<ActsOf, Problem> {
    let (actor, kind) = (params.get::<AccountId>("actor")?, params.word::<ActKind>("kind")?);
    match (actor, params.text("subject"), kind) {
        (Some(actor), None, None) => Ok(ActsOf::Actor(actor)),
        // An id may be written in other letters than the log does.
        (None, Some(subject), None) => Ok(ActsOf::Subject(
            subject.parse().map_or_else(|_| subject.to_owned(), |id: Uuid| id.to_string()),
        )),
        (None, None, kind) => Ok(ActsOf::Kind(kind.unwrap_or_default())),
        _ => Err(Problem::query_invalid("`actor`, `subject` and `kind` are asked by one at a time")),
    }
}
