//! What became another between two moments of the log: the difference of two answers to one question.

use std::sync::Arc;

use axum::extract::State;
use axum::response::IntoResponse;
use events::Position;
use projections::Projections;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::analytics::SummaryQuestion;
use crate::http::App;
use crate::past::views_as_of;
use crate::problem::Problem;
use crate::query::{Answer, OrderKey, Params, PathParts, ask_views, id_of, wallet_of};
use crate::token::Caller;

/// Most changes of one answer.
pub(crate) const CHANGES_MAX: usize = 1_000;

/// How something changed between two moments of the log.
#[derive(Debug, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Changes {
    /// Up to which position it was read the first time.
    since: Position,
    /// And the second time.
    until: Position,
    /// What differs, in the order of the members.
    changes: Vec<Change>,
    /// Whether more differs than is listed.
    is_cut: bool,
}

/// What differs in one place.
#[derive(Debug, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Change {
    /// Where, as a JSON Pointer (RFC 6901) into the answer; empty: it is there in one of both only.
    path: String,
    /// What was there; null: nothing.
    was: Value,
    /// What is there; null: nothing.
    is: Value,
}

/// Lists what differs between two values.
fn differences(was: &Value, is: &Value) -> (Vec<Change>, bool) {
    let mut found = Found { changes: Vec::new(), is_cut: false };
    found.compare(String::new(), was, is);
    (found.changes, found.is_cut)
}

struct Found {
    changes: Vec<Change>,
    is_cut: bool,
}

impl Found {
    fn compare(&mut self, path: String, was: &Value, is: &Value) {
        match (was, is) {
            (was, is) if was == is => {}
            (Value::Object(before), Value::Object(after)) => {
                let new = after.keys().filter(|name| !before.contains_key(*name));
                for name in before.keys().chain(new) {
                    let path = format!("{path}/{}", name.replace('~', "~0").replace('/', "~1"));
                    let of = |members: &serde_json::Map<String, Value>| {
                        members.get(name).cloned().unwrap_or_default()
                    };
                    self.compare(path, &of(before), &of(after));
                }
            }
            (Value::Array(before), Value::Array(after)) => {
                for at in 0..before.len().max(after.len()) {
                    let of = |items: &[Value]| items.get(at).cloned().unwrap_or_default();
                    self.compare(format!("{path}/{at}"), &of(before), &of(after));
                }
            }
            _ if self.changes.len() == CHANGES_MAX => self.is_cut = true,
            (was, is) => self.changes.push(Change { path, was: was.clone(), is: is.clone() }),
        }
    }
}

/// Asks one question of the views as they were at two moments. What is there in neither is not found.
async fn changes<T: Serialize + Send + 'static>(
    caller: &Caller,
    params: &Params,
    app: &App,
    what: &'static str,
    question: impl Fn(&Projections) -> Result<Option<T>, Problem> + Clone + Send + 'static,
) -> Result<Answer<Changes>, Problem> {
    let since = params.as_of("since")?;
    let since = since
        .ok_or_else(|| Problem::query_invalid("`since` is missing: a position, or a time in RFC 3339"))?;
    let before = views_as_of(caller, since, app).await?;
    let after = match params.as_of("until")? {
        Some(until) => views_as_of(caller, until, app).await?,
        None => app.gateway.projections.clone(),
    };
    let (before, after) = (ask_views(before, question.clone()).await?, ask_views(after, question).await?);
    if before.found.is_none() && after.found.is_none() {
        return Err(Problem::not_found(what));
    }
    let json = |found: &Option<T>| {
        serde_json::to_value(found).map_err(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "an answer can't be written");
            Problem::unavailable("the answer could not be written")
        })
    };
    let (changes, is_cut) = differences(&json(&before.found)?, &json(&after.found)?);
    let (since, until) = (before.position, after.position);
    Ok(Answer { position: until, found: Changes { since, until, changes, is_cut } })
}

/// `GET /v1/orders/{id}/changes`
pub(crate) async fn order(
    caller: Caller,
    params: Params,
    State(app): State<Arc<App>>,
    PathParts(id): PathParts<String>,
) -> Result<impl IntoResponse, Problem> {
    params.only(&["since", "until"])?;
    let key: OrderKey = id.parse()?;
    changes(&caller, &params, &app, "order", move |views| Ok(key.find(views)?)).await
}

/// `GET /v1/carts/{id}/changes`
pub(crate) async fn cart(
    caller: Caller,
    params: Params,
    State(app): State<Arc<App>>,
    PathParts(id): PathParts<String>,
) -> Result<impl IntoResponse, Problem> {
    params.only(&["since", "until"])?;
    let cart = id_of(&id, "cart")?;
    changes(&caller, &params, &app, "cart", move |views| Ok(views.carts().cart(cart)?)).await
}

/// `GET /v1/wallet/changes`
pub(crate) async fn wallet(
    caller: Caller,
    params: Params,
    State(app): State<Arc<App>>,
) -> Result<impl IntoResponse, Problem> {
    params.only(&["account", "since", "until"])?;
    let account = params.get("account")?.unwrap_or(caller.account);
    changes(&caller, &params, &app, "wallet", move |views| Ok(Some(wallet_of(views, account)?))).await
}

/// `GET /v1/analytics/summary/changes`
pub(crate) async fn summary(
    caller: Caller,
    params: Params,
    State(app): State<Arc<App>>,
) -> Result<impl IntoResponse, Problem> {
    params.only(&["from", "to", "seller", "listing", "since", "until"])?;
    let question = SummaryQuestion::read(&caller, &params, app.gateway.clock.now())?;
    changes(&caller, &params, &app, "summary", move |views| question.answer(views).map(Some)).await
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_differs_is_named_with_where_it_stands() {
        let was = json!({"state": "placed", "lines": [{"left": 2}], "a/b": 1, "total": 5, "gone": true});
        let is = json!({"state": "shipped", "lines": [{"left": 0}, {"left": 1}], "a/b": 2, "total": 5, "new": null});
        let change = |path: &str, was: Value, is: Value| Change { path: path.to_owned(), was, is };
        let expected = [
            change("/a~1b", json!(1), json!(2)),
            change("/gone", json!(true), Value::Null),
            change("/lines/0/left", json!(2), json!(0)),
            change("/lines/1", Value::Null, json!({"left": 1})),
            change("/state", json!("placed"), json!("shipped")),
        ];
        let (mut changes, is_cut) = differences(&was, &is);
        changes.sort_by(|one, other| one.path.cmp(&other.path));
        assert_eq!((changes.as_slice(), is_cut), (expected.as_slice(), false));
        assert_eq!(differences(&is, &is), (Vec::new(), false));
        assert_eq!(differences(&Value::Null, &is).0, [change("", Value::Null, is)]);
    }

    #[test]
    fn an_answer_says_that_it_is_cut() {
        let numbers = |from: usize| json!((from..from + CHANGES_MAX + 1).collect::<Vec<_>>());
        let (changes, is_cut) = differences(&numbers(0), &numbers(1));
        assert_eq!((changes.len(), is_cut), (CHANGES_MAX, true));
    }
}
