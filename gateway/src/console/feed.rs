//! The last events of the log, with a filter. They are read from the log itself, each once however many look.

use std::collections::{BTreeSet, VecDeque};
use std::sync::LazyLock;

use engine::log::{EventLog, ReadError};
use events::metadata::Cause;
use events::{Commit, Currency, Event, Money, Position, Recorded, Timestamp};
use futures::StreamExt;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;

use super::home::time;
use super::words::{count, money};
use crate::past::commit_holding;

/// How many of the last events are looked through for what a filter asks for.
pub const EVENTS_KEPT: usize = 1_000;
/// How many events are shown.
pub(super) const EVENTS_SHOWN: usize = 40;
/// Longest text that is looked for, in characters.
const ABOUT_MAX: usize = 64;

/// What events begin with: the kinds of things they happen to.
static AREAS: LazyLock<BTreeSet<&'static str>> =
    LazyLock::new(|| Event::TYPES.iter().filter_map(|name| name.split('.').next()).collect());

/// The last events, newest last.
#[derive(Default)]
pub(super) struct Recent {
    /// How far the log was read.
    read: Position,
    rows: VecDeque<Row>,
}

/// An event as it is shown.
#[derive(Debug, Clone)]
pub(super) struct Row {
    position: Position,
    time: Timestamp,
    /// Its type without the version.
    name: String,
    /// The aggregate it belongs to.
    subject: Option<String>,
    /// The order it is about.
    order: Option<String>,
    /// Who or what made the market decide.
    cause: String,
    /// What of it can be said in a few words.
    words: String,
}

impl Recent {
    /// Reads what the log has more. Of what is not among the last [`EVENTS_KEPT`] nothing is read.
    pub(super) async fn catch_up(&mut self, log: &dyn EventLog) -> Result<(), ReadError> {
        let head = log.head().await?.position;
        let oldest = head.saturating_sub(EVENTS_KEPT as u64);
        let from = if self.read >= oldest && self.read > 0 {
            self.read + 1
        } else {
            commit_holding(log, oldest + 1).await?.map_or(oldest + 1, |commit| commit.first_position())
        };
        let mut commits = log.read(from);
        while let Some(commit) = commits.next().await {
            let commit = commit?;
            self.rows.extend(commit.events().iter().map(|recorded| row(&commit, recorded)));
            self.read = commit.head().position;
            let surplus = self.rows.len().saturating_sub(EVENTS_KEPT);
            self.rows.drain(..surplus);
        }
        Ok(())
    }

    /// Gives the newest that a filter lets through, newest first.
    pub(super) fn found(&self, filter: &Filter) -> Vec<Row> {
        let rows = self.rows.iter().rev().filter(|row| filter.lets(row));
        rows.take(EVENTS_SHOWN).cloned().collect()
    }
}

/// What is asked for of the events; what is empty asks for nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Filter {
    area: String,
    about: String,
}

impl Filter {
    /// Takes what is asked for as it can be answered.
    pub(super) fn checked(self) -> Filter {
        let area = if AREAS.contains(self.area.as_str()) { self.area } else { String::new() };
        let about: String = self.about.trim().chars().take(ABOUT_MAX).collect();
        Filter { area, about: about.to_lowercase() }
    }

    /// Tells whether nothing is asked for.
    fn is_empty(&self) -> bool {
        self.area.is_empty() && self.about.is_empty()
    }

    fn lets(&self, row: &Row) -> bool {
        let is_of_area = self.area.is_empty() || row.name.split('.').next() == Some(&self.area);
        let has = |text: &str| text.to_lowercase().contains(&self.about);
        let is_about = self.about.is_empty()
            || has(&row.name)
            || has(&row.words)
            || has(&row.cause)
            || row.subject.as_deref().is_some_and(has)
            || row.order.as_deref().is_some_and(has)
            || row.position.to_string() == self.about;
        is_of_area && is_about
    }
}

fn row(commit: &Commit, recorded: &Recorded) -> Row {
    let payload: Value = serde_json::from_slice(&recorded.payload_json).unwrap_or_default();
    let type_name = &recorded.metadata.type_name;
    let name = type_name.rsplit_once(".v").map_or(type_name.as_str(), |(name, _)| name);
    let cause = match &commit.start().cause {
        Cause::Command(stamp) => format!("account {}", stamp.account),
        Cause::Deadline(deadline) => match serde_json::to_value(deadline.waiting.kind()) {
            Ok(Value::String(kind)) => format!("deadline: {}", kind.replace('_', " ")),
            _ => "a deadline".to_owned(),
        },
        Cause::Writer(_) => "the writer".to_owned(),
    };
    Row {
        position: recorded.position,
        time: recorded.metadata.time,
        name: name.to_owned(),
        subject: recorded.metadata.subject.clone(),
        order: payload["order"].as_str().map(str::to_owned),
        cause,
        words: words(&payload),
    }
}

/// Says what of an event can be said in a few words: its number, its money, its reasons.
fn words(payload: &Value) -> String {
    let mut words = Vec::new();
    if let Some(number) = payload["number"].as_str() {
        words.push(format!("number {number}"));
    }
    let amounts = ["total", "amount", "price"].into_iter().map(|name| &payload[name]);
    if let Some(amount) = amounts.chain([&payload["transfer"]["amount"]]).find_map(amount_of) {
        words.push(money(amount));
    }
    for transfer in payload["transfers"].as_array().into_iter().flatten() {
        words.extend(amount_of(&transfer["amount"]).map(money));
    }
    if let Some(command) = payload["command"].as_str().filter(|_| payload["reasons"].is_array()) {
        words.push(command.to_owned());
    }
    for reason in payload["reasons"].as_array().into_iter().flatten() {
        words.extend(reason["code"].as_str().map(|code| code.replace('_', " ")));
    }
    words.extend(payload["reason"].as_str().map(str::to_owned));
    words.extend(payload["condition"].as_str().map(|condition| condition.replace('_', " ")));
    words.join(", ")
}

fn amount_of(value: &Value) -> Option<Money> {
    let currency: Currency = value["currency"].as_str()?.parse().ok()?;
    Some(Money::new(value["minor"].as_i64()?, currency))
}

/// The form that asks for some of the events; a script sends it by itself.
pub(super) fn form(filter: &Filter) -> Markup {
    html! {
        form.filter method="get" action="/#events" data-filter {
            label for="area" { "Of" }
            select id="area" name="area" {
                option value="" selected[filter.area.is_empty()] { "everything" }
                @for area in AREAS.iter() { option value=(area) selected[filter.area == **area] { (area) } }
            }
            label for="about" { "With" }
            input id="about" name="about" type="search" value=(filter.about) maxlength=(ABOUT_MAX) autocomplete="off" spellcheck="false"
                placeholder="an id, a word, an amount";
            button type="submit" { "Show" }
        }
    }
}

/// The form that finds an order.
pub(super) fn find_order() -> Markup {
    html! {
        form.filter method="get" action="/console/orders" {
            label for="order" { "Order" }
            input id="order" name="id" type="search" required maxlength=(ABOUT_MAX) autocomplete="off" spellcheck="false"
                placeholder="its id, or its number such as 1002-4";
            button type="submit" { "Show its timeline" }
        }
    }
}

/// The events that a filter lets through.
pub(super) fn list(found: &Result<Vec<Row>, String>, filter: &Filter) -> Markup {
    let rows = match found {
        Ok(rows) => rows,
        Err(error) => return html! { p.empty { "The log can't be read now: " (error) "." } },
    };
    if rows.is_empty() {
        return html! {
            p.empty {
                @if filter.is_empty() { "Nothing has happened yet." } @else { "None of the last " (count(EVENTS_KEPT as u64)) " events is like that." }
            }
        };
    }
    html! {
        ol.events {
            @for row in rows {
                li {
                    span.at { (count(row.position)) }
                    span.when { (time(row.time)) }
                    span.what { strong { (row.name) } @if !row.words.is_empty() { " " span.words { (row.words) } } }
                    span.whose {
                        @if let Some(order) = &row.order {
                            "order " a.id href=(format!("/console/orders/{order}")) { (order) }
                        } @else if let Some(subject) = &row.subject {
                            span.id { (subject) }
                        }
                        " " span.cause { "by " (row.cause) }
                    }
                }
            }
        }
        p.note {
            "The newest " (rows.len()) " of the last " (count(EVENTS_KEPT as u64)) " events"
            @if !filter.is_empty() { " that are like that" }
            ", newest first. " code { "skylink tail" } " shows all of them."
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row_of(name: &str, subject: &str, words: &str) -> Row {
        Row {
            position: 7,
            time: Timestamp::from_ms(0),
            name: name.to_owned(),
            subject: Some(subject.to_owned()),
            order: None,
            cause: "the writer".to_owned(),
            words: words.to_owned(),
        }
    }

    #[test]
    fn a_filter_takes_areas_that_there_are_and_looks_for_text_in_any_case() {
        let filter =
            |area: &str, about: &str| Filter { area: area.to_owned(), about: about.to_owned() }.checked();
        assert_eq!(filter("nothing", "  "), Filter::default());
        let row = row_of("order.placed", "0190-ABC", "25.00 USD");
        for (area, about, lets) in [
            ("", "", true),
            ("order", "", true),
            ("cart", "", false),
            ("order", "0190-abc", true),
            ("", "25.00", true),
            ("", "PLACED", true),
            ("", "7", true),
            ("", "77", false),
            ("cart", "placed", false),
        ] {
            assert_eq!(filter(area, about).lets(&row), lets, "{area} {about}");
        }
    }

    #[test]
    fn money_and_reasons_are_what_is_told_of_an_event() {
        let usd = |minor: i64| json!({"currency": "USD", "minor": minor});
        assert_eq!(words(&json!({"total": usd(2_500), "number": "1002-4"})), "number 1002-4, 25.00 USD");
        assert_eq!(words(&json!({"transfer": {"amount": usd(100)}})), "1.00 USD");
        assert_eq!(
            words(&json!({"transfers": [{"amount": usd(1)}, {"amount": usd(2)}]})),
            "0.01 USD, 0.02 USD"
        );
        assert_eq!(words(&json!({"reasons": [{"code": "funds_short"}]})), "funds short");
        assert_eq!(words(&json!({"amount": "odd"})), "");
    }
}
