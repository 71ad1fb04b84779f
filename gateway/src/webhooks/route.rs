//! Webhooks over HTTP: how each stands, what was tried, and telling again. They are registered and changed by signed commands.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use events::account::Role;
use events::ids::{AccountId, WebhookId};
use events::webhook::{DisabledBecause, EventFilter, WebhookUrl};
use events::{Position, Timestamp};
use projections::ViewError;
use projections::webhook::Webhook;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Attempt, LetterError, NotTried, Rendered, Webhooks};
use crate::http::App;
use crate::past::{commit_holding, unreadable};
use crate::problem::{ACCOUNT_SUSPENDED, Problem};
use crate::query::factors::check_writing;
use crate::query::{Answer, Params, PathParts, ask, id_of};
use crate::sight::Sight;
use crate::submit::read_json;
use crate::token::Caller;

/// Attempts of a page unless the query says otherwise.
pub(crate) const ATTEMPTS_PER_PAGE: usize = 20;
/// Most attempts of a page.
pub(crate) const ATTEMPTS_PER_PAGE_MAX: usize = 100;

/// A webhook, and how it stands.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ShownWebhook {
    /// The webhook.
    webhook: WebhookId,
    /// Whose it is.
    account: AccountId,
    /// Where messages go to.
    url: WebhookUrl,
    /// What it is told of.
    types: Vec<EventFilter>,
    /// How it stands.
    state: WebhookState,
    /// Why it was switched off, if it did not take messages; null: it was not.
    disabled: Option<DisabledBecause>,
    /// The last event that it needs to be told of no more.
    position: Position,
    /// How often in a row the next message was not taken.
    failures: u32,
    /// Since when nothing was taken; null: the last message was.
    failing_since: Option<Timestamp>,
    /// When the next message is tried again; null: at once.
    next_at: Option<Timestamp>,
    /// Until when messages are signed with the secret before, too; null: they are not.
    old_secret_until: Option<Timestamp>,
    /// How many events it was not told of: see `letters`.
    letters: u64,
    /// When it was registered.
    registered_at: Timestamp,
}

/// How a webhook stands.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum WebhookState {
    /// It takes messages.
    On,
    /// The last message was not taken; it is tried again.
    Failing,
    /// It took nothing for too long, or is gone: it is told of nothing until its owner switches it on.
    Disabled,
    /// Its owner switched it off.
    Off,
}

impl ShownWebhook {
    fn new(row: Webhook, webhooks: &Webhooks, now: Timestamp) -> Result<ShownWebhook, ViewError> {
        let known = webhooks.progress(row.webhook)?.unwrap_or_default();
        let letters = webhooks.letters_of(row.webhook);
        let is_failing = known.failures > 0;
        let state = match (row.on, row.disabled) {
            (true, _) if is_failing => WebhookState::Failing,
            (true, _) => WebhookState::On,
            (false, Some(_)) => WebhookState::Disabled,
            (false, None) => WebhookState::Off,
        };
        Ok(ShownWebhook {
            webhook: row.webhook,
            account: row.account,
            url: row.url,
            types: row.types.into_iter().collect(),
            state,
            disabled: row.disabled,
            // What this process does not know the log may know.
            position: if known.noted >= row.reached {
                known.position
            } else {
                known.position.max(row.reached)
            },
            failures: known.failures,
            failing_since: known.failing_since,
            next_at: known.next_at,
            old_secret_until: row.replaced.map(|replaced| replaced.until).filter(|until| now < *until),
            letters,
            registered_at: row.registered_at,
        })
    }
}

/// Some webhooks: an account's, or all.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct WebhookList {
    /// By their ids.
    webhooks: Vec<ShownWebhook>,
}

/// `GET /v1/webhooks`
pub(crate) async fn webhooks(
    caller: Caller,
    params: Params,
    State(app): State<Arc<App>>,
) -> Result<impl IntoResponse, Problem> {
    params.only(&["account", "all"])?;
    let (named, is_all): (Option<AccountId>, _) =
        (params.get("account")?, params.get("all")?.unwrap_or(false));
    if is_all && named.is_some() {
        return Err(Problem::query_invalid("give `account` or `all`, not both"));
    }
    let account = named.unwrap_or(caller.account);
    if !caller.may_see(account) || (is_all && !caller.is_operator()) {
        return Err(Problem::forbidden("only operators see the webhooks of others"));
    }
    let (webhooks, now) = (app.gateway.webhooks.clone(), app.gateway.clock.now());
    let found = ask(&app, move |views| -> Result<_, ViewError> {
        let webhooks_of = views.webhooks();
        let rows = if is_all { webhooks_of.all()? } else { webhooks_of.of_account(account)? };
        let shown = rows.into_iter().map(|row| ShownWebhook::new(row, &webhooks, now));
        Ok(WebhookList { webhooks: shown.collect::<Result<_, ViewError>>()? })
    });
    found.await
}

/// `GET /v1/webhooks/{id}`
pub(crate) async fn webhook(
    caller: Caller,
    params: Params,
    State(app): State<Arc<App>>,
    PathParts(id): PathParts<String>,
) -> Result<impl IntoResponse, Problem> {
    params.only(&[])?;
    let id: WebhookId = id_of(&id, "webhook")?;
    let (webhooks, now) = (app.gateway.webhooks.clone(), app.gateway.clock.now());
    let found = ask(&app, move |views| -> Result<_, ViewError> {
        let row = views.webhooks().webhook(id)?;
        row.map(|row| ShownWebhook::new(row, &webhooks, now)).transpose()
    });
    found.await?.filter("webhook", |shown| shown.filter(|shown| caller.may_see(shown.account)))
}

/// What was tried of a webhook.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct AttemptList {
    /// The requests, the last first.
    attempts: Vec<Attempt>,
    /// Pass it as `cursor` to get the next page; null: this was the last.
    next_cursor: Option<u64>,
}

/// `GET /v1/webhooks/{id}/attempts`
pub(crate) async fn attempts(
    caller: Caller,
    params: Params,
    State(app): State<Arc<App>>,
    PathParts(id): PathParts<String>,
) -> Result<impl IntoResponse, Problem> {
    params.only(&["cursor", "limit"])?;
    let id: WebhookId = id_of(&id, "webhook")?;
    let (cursor, limit) = params.page::<u64>(ATTEMPTS_PER_PAGE, ATTEMPTS_PER_PAGE_MAX)?;
    let webhooks = app.gateway.webhooks.clone();
    let found = ask(&app, move |views| -> Result<_, ViewError> {
        let row = views.webhooks().webhook(id)?.filter(|row| caller.may_see(row.account));
        let Some(row) = row else { return Ok(None) };
        let mut attempts = webhooks.attempts(row.webhook, cursor, limit + 1)?;
        let is_last = attempts.len() <= limit;
        attempts.truncate(limit);
        let next_cursor = attempts.last().filter(|_| !is_last).map(|last| last.attempt);
        Ok(Some(AttemptList { attempts, next_cursor }))
    });
    found.await?.filter("webhook", |found| found)
}

/// From where on a webhook is told again, or which message is sent again: one of both.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum TellAgain {
    /// It is told of everything from this position on, also of what it took before.
    From(Position),
    /// The event at this position is sent once, now.
    Position(Position),
}

/// What came of telling again.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ToldAgain {
    /// The request that was made; null: it goes on from a position.
    attempt: Option<Attempt>,
}

/// `POST /v1/webhooks/{id}/again`
pub(crate) async fn again(
    caller: Caller,
    State(app): State<Arc<App>>,
    PathParts(id): PathParts<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    caller.check_device()?;
    let bytes = read_json(&headers, body).await?;
    let asked: TellAgain = serde_json::from_slice(&bytes)
        .map_err(|_| Problem::query_invalid("send {\"from\": position} or {\"position\": position}"))?;
    let id: WebhookId = id_of(&id, "webhook")?;
    check_writing(&app)?;
    let asking = ask(&app, move |views| -> Result<_, ViewError> {
        let row = views.webhooks().webhook(id)?.filter(|row| caller.may_see(row.account));
        let Some(row) = row else { return Ok(None) };
        Ok(views.accounts().account(row.account)?.map(|owner| (row, owner)))
    });
    let Answer { position: read, found } = asking.await?;
    let answer = |attempt| Answer { position: read, found: ToldAgain { attempt } }.into_response();
    let (row, owner) = found.ok_or_else(|| Problem::not_found("webhook"))?;
    if owner.suspended.is_some() {
        return Err(Problem::new(&ACCOUNT_SUSPENDED, "its owner is suspended, and is told of nothing"));
    }
    let head = app.gateway.log.head().await.map_err(unreadable)?.position;
    let (TellAgain::From(position) | TellAgain::Position(position)) = asked;
    if !(1..=head).contains(&position) {
        return Err(Problem::query_invalid(format!("the log has positions 1 to {head}")));
    }
    let webhooks = app.gateway.webhooks.clone();
    if let TellAgain::From(from) = asked {
        let go = tokio::task::spawn_blocking(move || webhooks.go_to(&row, from)).await;
        go.map_err(|_| unkept())?.map_err(ViewError::from)?;
        return Ok(answer(None));
    }
    let commit = commit_holding(app.gateway.log.as_ref(), position).await.map_err(unreadable)?;
    let commit = commit.ok_or_else(|| Problem::not_found("event"))?;
    let recorded = commit.events().iter().find(|recorded| recorded.position == position);
    let recorded = recorded.ok_or_else(|| Problem::not_found("event"))?;
    // An operator, too, sends nobody what is not for him.
    let is_operator = owner.roles.contains(&Role::Operator);
    let mut sight = Sight::new(row.account, is_operator, app.gateway.projections.clone());
    if !sight.may_see(&commit, recorded).await.map_err(Problem::unavailable)? {
        return Err(Problem::not_found("event"));
    }
    let message = match webhooks.render(&row, &commit, recorded).await.map_err(Problem::unavailable)? {
        Rendered::Message(message) => message,
        Rendered::Dropped(by) => {
            let detail = format!("nothing is sent of it, as command {} of {} says", by.command, by.account);
            return Err(Problem::query_invalid(detail));
        }
        Rendered::Not(LetterError::TooLarge) => {
            return Err(Problem::query_invalid("its message would be larger than any that is sent"));
        }
        Rendered::Not(_) => return Err(Problem::query_invalid("it can't be shown as a message")),
    };
    match webhooks.send_again(&row, &message).await {
        Ok(attempt) => Ok(answer(Some(attempt))),
        Err(error @ (NotTried::Busy | NotTried::NoSecret | NotTried::NoCertificates)) => {
            Err(Problem::unavailable(error.to_string()))
        }
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "a message can't be sent again");
            Err(unkept())
        }
    }
}

fn unkept() -> Problem {
    Problem::unavailable("what was sent can't be kept now: try again")
}
