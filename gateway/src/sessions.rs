//! The sessions of an account: which there are, and how one is ended. They are begun by [`crate::sign_in`].

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use commands::command::EndSession;
use events::Timestamp;
use events::ids::{AccountId, SessionId};
use events::step_up::FactorKind;
use projections::ViewError;
use schemars::JsonSchema;
use serde::Serialize;

use crate::http::App;
use crate::problem::Problem;
use crate::query::factors::check_writing;
use crate::query::{Params, PathParts, ask, id_of};
use crate::sign_in::{Told, caught_up, tell};
use crate::token::{By, Caller};

/// The sessions of an account.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct SessionList {
    /// Whose they are.
    account: AccountId,
    /// Whether it has a password.
    has_password: bool,
    /// Each that goes on, in the order of their ids.
    sessions: Vec<ShownSession>,
}

/// A session.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ShownSession {
    /// Its id.
    session: SessionId,
    /// Since when it is there.
    since: Timestamp,
    /// When it ends at the latest.
    until: Timestamp,
    /// Whether it was begun with the password.
    with_password: bool,
    /// Which second factor was shown for it; null: none.
    factor: Option<FactorKind>,
    /// Whether it is the one that asks.
    is_this: bool,
}

/// A session that has ended.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct EndedSession {
    /// The session.
    session: SessionId,
}

/// `GET /v1/accounts/{account}/sessions`
pub(crate) async fn sessions(
    caller: Caller,
    PathParts(account): PathParts<String>,
    params: Params,
    State(app): State<Arc<App>>,
) -> Result<impl IntoResponse, Problem> {
    params.only(&[])?;
    let (account, now) = (caller.account_named(&account)?, app.gateway.clock.now());
    let found = ask(&app, move |views| {
        let accounts = views.accounts();
        Ok::<_, ViewError>((accounts.account(account)?.is_some(), accounts.sign_in(account)?))
    });
    found.await?.filter("account", |(is_there, known)| {
        if !is_there || !caller.may_see(account) {
            return None;
        }
        let known = known.unwrap_or_default();
        let is_this = |session| matches!(caller.by, By::Session(own, _) if own == session);
        let live = known.sessions.into_iter().filter(|(_, known)| now < known.until);
        let sessions = live.map(|(session, known)| ShownSession {
            session,
            since: known.since,
            until: known.until,
            with_password: known.with_password,
            factor: known.factor,
            is_this: is_this(session),
        });
        Some(SessionList { account, has_password: known.password.is_some(), sessions: sessions.collect() })
    })
}

/// `DELETE /v1/sessions/{session}`
pub(crate) async fn end(
    caller: Caller,
    PathParts(session): PathParts<String>,
    State(app): State<Arc<App>>,
) -> Result<Response, Problem> {
    let session: SessionId = match (session.as_str(), caller.by) {
        ("this", By::Session(own, _)) => own,
        (id, _) => id_of(id, "session")?,
    };
    check_writing(&app)?;
    let known = app.gateway.projections.accounts().sign_in(caller.account)?.unwrap_or_default();
    if !known.is_live(session, app.gateway.clock.now()) {
        return Err(Problem::not_found("session"));
    }
    if let Told::Rejected(_) = tell(&app, EndSession { account: Some(caller.account), session }).await? {
        return Err(Problem::unavailable("the market does not end this session now: try again"));
    }
    caught_up(&app).await?;
    Ok(axum::Json(EndedSession { session }).into_response())
}
