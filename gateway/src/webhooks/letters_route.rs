//! Letters over HTTP: which events an address was not told, and telling it of them. What is sent in place of one, or that nothing is, is
//! said by signed commands.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use events::ids::{AccountId, CommandId, WebhookId};
use events::webhook::EventFilter;
use events::{Position, Timestamp};
use projections::ViewError;
use projections::webhook::Edit;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Letter, LetterError, LetterFilter};
use crate::http::App;
use crate::past::unreadable;
use crate::problem::{ACCOUNT_SUSPENDED, Problem};
use crate::query::factors::check_writing;
use crate::query::{Answer, Params, PathParts, ask, id_of};
use crate::submit::read_json;
use crate::token::Caller;

/// Letters of a page unless the query says otherwise.
pub(crate) const LETTERS_PER_PAGE: usize = 20;
/// Most letters of a page.
pub(crate) const LETTERS_PER_PAGE_MAX: usize = 100;

/// Some letters of a webhook.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct LetterList {
    /// The letters, in the order of the log.
    letters: Vec<ShownLetter>,
    /// Pass it as `cursor` to get the next page; null: this was the last.
    next_cursor: Option<Position>,
}

/// A letter, and what becomes of it.
#[derive(Debug, Serialize, JsonSchema)]
struct ShownLetter {
    #[serde(flatten)]
    letter: Letter,
    /// Whether its lane is redriven.
    redriving: bool,
    /// What somebody said is sent in its place; null: the event.
    edit: Option<ShownEdit>,
}

/// What somebody said is sent in place of an event.
#[derive(Debug, Serialize, JsonSchema)]
struct ShownEdit {
    /// Who.
    account: AccountId,
    /// The command that said so: its receipt is at `/v1/receipts/{account}/{command}`.
    command: CommandId,
    /// What is sent as the event's `data`, a JSON object as text; null: nothing is sent of the event.
    data: Option<String>,
    /// Where that stands in the log.
    position: Position,
}

impl From<Edit> for ShownEdit {
    fn from(edit: Edit) -> ShownEdit {
        let Edit { account, command, data, position } = edit;
        ShownEdit { account, command, data, position }
    }
}

/// `GET /v1/webhooks/{id}/letters`
pub(crate) async fn letters(
    caller: Caller,
    params: Params,
    State(app): State<Arc<App>>,
    PathParts(id): PathParts<String>,
) -> Result<impl IntoResponse, Problem> {
    params.only(&["cursor", "error", "from", "limit", "subject", "to", "type"])?;
    let id: WebhookId = id_of(&id, "webhook")?;
    let filter = LetterFilter {
        subject: params.text("subject").map(str::to_owned),
        types: params.get::<EventFilter>("type")?,
        error: params.word::<LetterError>("error")?,
        from: params.moment("from")?,
        to: params.moment("to")?,
    };
    let (cursor, limit) = params.page::<Position>(LETTERS_PER_PAGE, LETTERS_PER_PAGE_MAX)?;
    let from = cursor.map_or(0, |cursor| cursor.saturating_add(1));
    let webhooks = app.gateway.webhooks.clone();
    let found = ask(&app, move |views| -> Result<_, ViewError> {
        let row = views.webhooks().webhook(id)?.filter(|row| caller.may_see(row.account));
        let Some(row) = row else { return Ok(None) };
        let mut found = webhooks.list_letters(row.webhook, &filter, from, limit + 1)?;
        let is_last = found.len() <= limit;
        found.truncate(limit);
        let next_cursor = found.last().filter(|_| !is_last).map(|(letter, _)| letter.position);
        let shown = found.into_iter().map(|(letter, redriving)| {
            let edit = views.webhooks().edit(row.webhook, letter.position)?.map(ShownEdit::from);
            Ok(ShownLetter { letter, redriving, edit })
        });
        Ok(Some(LetterList { letters: shown.collect::<Result<_, ViewError>>()?, next_cursor }))
    });
    found.await?.filter("webhook", |found| found)
}

/// Which lanes are redriven: those whose first letter is all of what is named here. Nothing named: all of them.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Redrive {
    /// It is about this.
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    /// Its type: such as `order.placed`, in whatever version; all that begin so, such as `order.*`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    types: Option<EventFilter>,
    /// It was not told for this reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<LetterError>,
    /// It is a letter since this moment or later, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<Timestamp>,
    /// It is a letter since before this moment, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<Timestamp>,
}

/// What is redriven.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Redriven {
    /// How many lanes. They are told in this process, one letter of each at a time; `letters` of the webhook tell how far they are.
    lanes: u64,
    /// How many letters they have.
    letters: u64,
}

/// `POST /v1/webhooks/{id}/redrive`
pub(crate) async fn redrive(
    caller: Caller,
    State(app): State<Arc<App>>,
    PathParts(id): PathParts<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<impl IntoResponse, Problem> {
    caller.check_device()?;
    let bytes = read_json(&headers, body).await?;
    // A struct would be read from a list, too.
    let named = serde_json::from_slice::<Map<String, Value>>(&bytes);
    let asked = named.and_then(|named| serde_json::from_value::<Redrive>(named.into())).map_err(|error| {
        let detail = format!("send {{}}, or some of `subject`, `type`, `error`, `from` and `to`: {error}");
        Problem::query_invalid(detail)
    })?;
    let id: WebhookId = id_of(&id, "webhook")?;
    check_writing(&app)?;
    let asking = ask(&app, move |views| -> Result<_, ViewError> {
        let row = views.webhooks().webhook(id)?.filter(|row| caller.may_see(row.account));
        let Some(row) = row else { return Ok(None) };
        views.accounts().account(row.account)
    });
    let Answer { position: read, found } = asking.await?;
    let owner = found.ok_or_else(|| Problem::not_found("webhook"))?;
    if owner.suspended.is_some() {
        return Err(Problem::new(&ACCOUNT_SUSPENDED, "its owner is suspended, and is told of nothing"));
    }
    // Whatever was said of letters by now is known before they are sent.
    let head = app.gateway.log.head().await.map_err(unreadable)?.position;
    let Redrive { subject, types, error, from, to } = asked;
    let filter = LetterFilter { subject, types, error, from, to };
    let webhooks = app.gateway.webhooks.clone();
    let marked = tokio::task::spawn_blocking(move || webhooks.redrive(id, &filter, head)).await;
    let unkept = |_| Problem::unavailable("what is redriven can't be kept now: try again");
    let (lanes, letters) = marked.map_err(unkept)?.map_err(ViewError::from)?;
    Ok(Answer { position: read, found: Redriven { lanes, letters } })
}
