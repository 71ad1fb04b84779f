//! What the rows of an exported file are: their columns, and how they are made of events, of the money that those moved, and of numbers
//! over time.

use events::ledger::Transfer;
use events::metadata::Cause;
use events::{Commit, Currency, Recorded};
use projections::analytics::{NumbersOf, StepNumbers};
use serde_json::Value;

use super::table::Group;

/// Columns that events and transfers begin with.
const ALWAYS: &str = "
    required int64 position;
    required int64 time (TIMESTAMP(MILLIS, true));
    required binary market (UTF8);
    required binary type (UTF8);
    required binary aggregate (UTF8);
    optional binary subject (UTF8);
    required binary commit (UTF8);
    required int32 index;
    optional binary command (UTF8);
    optional binary account (UTF8);
";
const OF_EVENTS: &str = "
    optional int64 moved_minor;
    optional binary currency (UTF8);
    required binary payload (JSON);
";
const OF_TRANSFERS: &str = "
    required int32 transfer;
    required binary from (UTF8);
    required binary to (UTF8);
    required int64 amount_minor;
    required binary currency (UTF8);
";
const OF_NUMBERS: &str = "
    required int64 start (TIMESTAMP(MILLIS, true));
    required binary of (UTF8);
    optional binary id (UTF8);
    required binary number (UTF8);
    optional binary currency (UTF8);
    required int64 value;
";

/// The columns of events.
pub(super) fn event_columns() -> String {
    format!("message event {{ {ALWAYS} {OF_EVENTS} }}")
}

/// The columns of transfers.
pub(super) fn transfer_columns() -> String {
    format!("message transfer {{ {ALWAYS} {OF_TRANSFERS} }}")
}

/// The columns of numbers over time.
pub(super) fn number_columns() -> String {
    format!("message number {{ {OF_NUMBERS} }}")
}

/// Adds the row of an event.
pub(super) fn event(commit: &Commit, recorded: &Recorded, group: &mut Group) {
    always(commit, recorded, group);
    let moved = moved(recorded.event.transfers());
    group.long(moved.map(|(minor, _)| minor));
    group.text_or_none(moved.map(|(_, currency)| currency.to_string()));
    group.text(String::from_utf8_lossy(&recorded.payload_json));
    group.row_ends();
}

/// Adds a row for each transfer of an event.
pub(super) fn transfers(commit: &Commit, recorded: &Recorded, group: &mut Group) {
    for (number, transfer) in (0..).zip(recorded.event.transfers()) {
        let Transfer { amount, from, to } = transfer;
        always(commit, recorded, group);
        group.int(number);
        group.text(from.to_string());
        group.text(to.to_string());
        group.long(amount.minor);
        group.text(amount.currency.to_string());
        group.row_ends();
    }
}

/// Adds a row for each number of a step that is not zero, under the name that it has in answers of `/v1/analytics`.
pub(super) fn numbers(step: &StepNumbers, group: &mut Group) -> serde_json::Result<()> {
    let (of, id, value) = match &step.of {
        NumbersOf::Market(numbers) => ("market", None, serde_json::to_value(numbers)?),
        NumbersOf::Seller(id, numbers) => ("seller", Some(id.to_string()), serde_json::to_value(numbers)?),
        NumbersOf::Listing(id, numbers) => ("listing", Some(id.to_string()), serde_json::to_value(numbers)?),
        NumbersOf::Reason(code, count) => {
            ("reason", Some(code.clone()), serde_json::json!({ "rejected": count }))
        }
    };
    let mut row = |number: &str, currency: Option<&str>, value: i64| {
        group.long(step.start.ms());
        group.text(of);
        group.text_or_none(id.clone());
        group.text(number);
        group.text_or_none(currency.map(str::to_owned));
        group.long(value);
        group.row_ends();
    };
    each_number(&value, None, &mut row);
    Ok(())
}

/// Finds the numbers in an answer, those of money with their currency.
fn each_number(found: &Value, currency: Option<&str>, row: &mut impl FnMut(&str, Option<&str>, i64)) {
    let Value::Object(members) = found else { return };
    let currency = members.get("currency").and_then(Value::as_str).or(currency);
    for (name, member) in members {
        match member {
            Value::Number(number) => {
                let value = number.as_i64().expect("counts are below 2^63");
                if value != 0 {
                    row(name, currency, value);
                }
            }
            Value::Array(all) => all.iter().for_each(|one| each_number(one, currency, row)),
            Value::Object(_) => each_number(member, currency, row),
            _ => {}
        }
    }
}

/// Adds the values that rows of events and transfers begin with.
fn always(commit: &Commit, recorded: &Recorded, group: &mut Group) {
    let metadata = &recorded.metadata;
    let by = match &commit.start().cause {
        Cause::Command(stamp) => Some(stamp),
        _ => None,
    };
    let aggregate = metadata.type_name.split('.').next().unwrap_or_default();
    group.long(i64::try_from(recorded.position).expect("a log has fewer than 2^63 events"));
    group.long(metadata.time.ms());
    group.text(metadata.market.to_string());
    group.text(metadata.type_name.clone());
    group.text(aggregate);
    group.text_or_none(metadata.subject.clone());
    group.text(metadata.commit.to_string());
    group.int(i32::from(metadata.index));
    group.text_or_none(by.map(|stamp| stamp.command.to_string()));
    group.text_or_none(by.map(|stamp| stamp.account.to_string()));
}

/// Gives how much an event moved between accounts of the ledger, all its transfers together; none: nothing, or more than one currency.
fn moved(transfers: &[Transfer]) -> Option<(i64, Currency)> {
    let currency = transfers.first()?.amount.currency;
    let is_one = transfers.iter().all(|transfer| transfer.amount.currency == currency);
    let minor = transfers.iter().try_fold(0i64, |sum, transfer| sum.checked_add(transfer.amount.minor));
    minor.filter(|_| is_one).map(|minor| (minor, currency))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_number_is_found_once_and_money_with_its_currency() {
        let answer = json!({
            "carts_opened": 3, "rejected": 0,
            "sales": {"orders": 2, "money": [{"currency": "EUR", "gmv": 500, "fees": 0}, {"currency": "JPY", "gmv": -7}]},
        });
        let mut found = Vec::new();
        each_number(&answer, None, &mut |name, currency, value| {
            found.push((name.to_owned(), currency.map(str::to_owned), value));
        });
        let expected = [
            ("carts_opened", None, 3),
            ("gmv", Some("EUR"), 500),
            ("gmv", Some("JPY"), -7),
            ("orders", None, 2),
        ];
        let found: Vec<_> =
            found.iter().map(|(name, c, value)| (name.as_str(), c.as_deref(), *value)).collect();
        assert_eq!(found.len(), expected.len(), "{found:?}");
        assert!(expected.iter().all(|one| found.contains(one)), "{found:?}");
    }
}
