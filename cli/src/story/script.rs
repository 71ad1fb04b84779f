//! A story as it is written: who acts, what they do, and what must come of it.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail};
use commands::command::Expected;
use events::account::Role;
use events::ledger::LedgerAccount;
use events::market::{Deadlines, EscrowTerms, FeePolicy, PurchaseLimit};
use events::{Currency, Money};
use serde::Deserialize;
use serde_json::Value;

/// Most steps of a story.
const STEPS_MAX: usize = 1_000;

const SECOND_MS: i64 = 1_000;
const MINUTE_MS: i64 = 60 * SECOND_MS;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

/// A story.
#[derive(Debug)]
pub(super) struct Story {
    pub(super) title: String,
    pub(super) fee: FeePolicy,
    pub(super) deadlines: Deadlines,
    pub(super) purchase_limits: Vec<PurchaseLimit>,
    pub(super) escrow: EscrowTerms,
    /// Who acts, in the order of their names, with their roles.
    pub(super) people: BTreeMap<String, Vec<Role>>,
    pub(super) steps: Vec<Step>,
}

/// One step of a story.
#[derive(Debug)]
pub(super) enum Step {
    /// Somebody gives a command, which may name the versions that it expects.
    Do { who: String, command: String, body: Value, expected: Expected, names: Box<Names>, expect: Expect },
    /// The last command is sent once more, as it was signed; it gets its first receipt.
    Again,
    /// Time passes, and deadlines with it.
    Wait { ms: i64 },
    /// A view must show something.
    See { what: Seen, has: Value },
}

/// Names for what a command makes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Names {
    /// For the orders that it places, by their sellers' names.
    pub(super) orders: BTreeMap<String, String>,
    /// For the payment that it asks for.
    pub(super) payment: Option<String>,
    /// For the refund that it asks for.
    pub(super) refund: Option<String>,
    /// For the payout that it asks for.
    pub(super) payout: Option<String>,
    /// For the reservation that it makes.
    pub(super) reservation: Option<String>,
    /// For the change of an order that it proposes.
    pub(super) change: Option<String>,
    /// For the dispute that a provider tells of.
    pub(super) chargeback: Option<String>,
    /// For the cart that it opens or changes.
    pub(super) cart: Option<String>,
}

/// What a view is asked for; the names are resolved when it is.
#[derive(Debug)]
pub(super) enum Seen {
    Order(String),
    /// The group that an order is in.
    Group(String),
    Cart(String),
    Account(String),
    Ledger(LedgerAccount),
    Payment(String),
    Payout(String),
    Listing(String),
    /// What somebody has set aside.
    Reservations(String),
}

/// What must become of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Expect {
    Accepted,
    Unchanged,
    /// The market rejects it, for this reason among others.
    Rejected(String),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    title: String,
    #[serde(default)]
    terms: Terms,
    people: BTreeMap<String, Vec<Role>>,
    step: Vec<toml::Table>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Terms {
    fee: Option<FeePolicy>,
    deadlines: Option<Deadlines>,
    #[serde(default)]
    purchase_limits: Vec<PurchaseLimit>,
    escrow: Option<EscrowTerms>,
}

/// Somebody gives a command, as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenCommand {
    who: String,
    does: String,
    #[serde(default = "no_members")]
    body: Value,
    #[serde(default, rename = "if")]
    expected: Expected,
    #[serde(default)]
    orders: BTreeMap<String, String>,
    payment: Option<String>,
    refund: Option<String>,
    payout: Option<String>,
    reservation: Option<String>,
    change: Option<String>,
    chargeback: Option<String>,
    cart: Option<String>,
    expect: Option<String>,
}

/// A view is looked at, as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenLook {
    see: String,
    has: Value,
}

fn no_members() -> Value {
    Value::Object(serde_json::Map::new())
}

impl Story {
    /// Reads a story.
    pub(super) fn read(path: &Path) -> anyhow::Result<Story> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("{} can't be read", path.display()))?;
        Story::parse(&text).with_context(|| format!("{} is no story", path.display()))
    }

    fn parse(text: &str) -> anyhow::Result<Story> {
        let Written { title, terms, people, step } = toml::from_str(text)?;
        if step.len() > STEPS_MAX {
            bail!("it has {} steps, and may have {STEPS_MAX}", step.len());
        }
        let steps = step
            .into_iter()
            .zip(1..)
            .map(|(step, number)| Step::of(step).with_context(|| format!("step {number}")));
        Ok(Story {
            title,
            fee: terms.fee.unwrap_or_default(),
            deadlines: terms.deadlines.unwrap_or_default(),
            purchase_limits: terms.purchase_limits,
            escrow: terms.escrow.unwrap_or_default(),
            people,
            steps: steps.collect::<anyhow::Result<_>>()?,
        })
    }
}

impl Step {
    /// Reads a step; which one it is, one of its members tells.
    fn of(step: toml::Table) -> anyhow::Result<Step> {
        if step.contains_key("does") {
            let written: WrittenCommand = step.try_into()?;
            let WrittenCommand { who, does: command, body, orders, payment, refund, payout, .. } = written;
            let (reservation, change, cart) = (written.reservation, written.change, written.cart);
            let chargeback = written.chargeback;
            let expected = written.expected;
            let expect = match written.expect.as_deref() {
                None | Some("accepted") => Expect::Accepted,
                Some("unchanged") => Expect::Unchanged,
                Some(code) => Expect::Rejected(code.to_owned()),
            };
            let names = Names { orders, payment, refund, payout, reservation, change, chargeback, cart };
            let names = Box::new(names);
            return Ok(Step::Do { who, command, body, expected, names, expect });
        }
        if step.contains_key("see") {
            let WrittenLook { see, has } = step.try_into()?;
            return Ok(Step::See { what: seen(&see)?, has });
        }
        let members: Vec<(&str, &toml::Value)> =
            step.iter().map(|(name, value)| (name.as_str(), value)).collect();
        match members[..] {
            [("wait", toml::Value::String(wait))] => Ok(Step::Wait { ms: duration_ms(wait)? }),
            [("again", toml::Value::Boolean(true))] => Ok(Step::Again),
            _ => bail!(
                "it is one of: `who` and `does` (with `body`, `if`, `orders`, `payment`, `refund`, `payout`, `reservation`, \
                 `change`, `chargeback`, `cart`, `expect`); `see` and `has`; `wait`; `again = true`"
            ),
        }
    }
}

fn seen(text: &str) -> anyhow::Result<Seen> {
    match text.split_once(" of ").map_or_else(|| text.split_once(' '), Some) {
        Some(("order", name)) => Ok(Seen::Order(name.to_owned())),
        Some(("group", name)) => Ok(Seen::Group(name.to_owned())),
        Some(("cart", name)) => Ok(Seen::Cart(name.to_owned())),
        Some(("account", name)) => Ok(Seen::Account(name.to_owned())),
        Some(("ledger", name)) => Ok(Seen::Ledger(name.parse()?)),
        Some(("payment", name)) => Ok(Seen::Payment(name.to_owned())),
        Some(("payout", name)) => Ok(Seen::Payout(name.to_owned())),
        Some(("listing", name)) => Ok(Seen::Listing(name.to_owned())),
        Some(("reservations", name)) => Ok(Seen::Reservations(name.to_owned())),
        _ => bail!(
            "`see` is `order NAME`, `group of ORDER`, `cart of NAME`, `account NAME`, `payment NAME`, `payout NAME`, \
             `listing NAME`, `reservations of NAME` or `ledger ACCOUNT`, not `{text}`"
        ),
    }
}

fn duration_ms(text: &str) -> anyhow::Result<i64> {
    let wrong = || format!("`wait` is a number with a unit, such as `3 days`, not `{text}`");
    let (number, unit) = text.split_once(' ').with_context(wrong)?;
    let number: i64 =
        number.parse().ok().filter(|number| (1..=10_000).contains(number)).with_context(wrong)?;
    let unit_ms = match unit.trim_end_matches('s') {
        "second" => SECOND_MS,
        "minute" => MINUTE_MS,
        "hour" => HOUR_MS,
        "day" => DAY_MS,
        _ => bail!(wrong()),
    };
    Ok(number * unit_ms)
}

/// Puts ids in the place of names (`@alice`) and amounts in the place of their texts (`12.50 USD`).
pub(super) fn resolve(
    value: &mut Value,
    id_of: &mut impl FnMut(&str) -> anyhow::Result<String>,
) -> anyhow::Result<()> {
    match value {
        Value::String(text) => {
            if let Some(name) = text.strip_prefix('@') {
                *text = id_of(name)?;
            } else if let Some(money) = money(text) {
                *value = serde_json::to_value(money)?;
            }
        }
        Value::Array(values) => values.iter_mut().try_for_each(|value| resolve(value, id_of))?,
        Value::Object(members) => {
            let names: Vec<String> = members.keys().filter(|name| name.starts_with('@')).cloned().collect();
            for name in names {
                let value = members.remove(&name).unwrap_or_default();
                members.insert(id_of(name.trim_start_matches('@'))?, value);
            }
            members.values_mut().try_for_each(|value| resolve(value, id_of))?;
        }
        _ => {}
    }
    Ok(())
}

fn money(text: &str) -> Option<Money> {
    let (amount, currency) = text.split_once(' ')?;
    let currency: Currency = currency.parse().ok()?;
    Money::parse_decimal(amount, currency).ok()
}

/// Finds the first place where `found` does not have what `wanted` has. Lists must agree in full, objects where `wanted`
/// names a member.
pub(super) fn difference(wanted: &Value, found: &Value, place: &str) -> Option<String> {
    match (wanted, found) {
        (Value::Object(wanted), Value::Object(found)) => wanted.iter().find_map(|(name, wanted)| {
            let place = if place.is_empty() { name.clone() } else { format!("{place}.{name}") };
            difference(wanted, found.get(name).unwrap_or(&Value::Null), &place)
        }),
        (Value::Array(wanted), Value::Array(found)) if wanted.len() == found.len() => {
            let pairs = wanted.iter().zip(found).enumerate();
            let mut pairs =
                pairs.map(|(n, (wanted, found))| difference(wanted, found, &format!("{place}[{n}]")));
            pairs.find_map(|difference| difference)
        }
        _ if wanted == found => None,
        _ => Some(format!("`{place}` is {found}, and not {wanted}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_step_that_is_two_things_is_refused_by_its_number() {
        let text =
            "title = \"t\"\n[people]\n[[step]]\nwait = \"1 day\"\n[[step]]\nwait = \"1 day\"\nagain = true\n";
        let error = format!("{:#}", Story::parse(text).unwrap_err());
        assert!(error.starts_with("step 2: it is one of"), "{error}");
        for (wrong, said) in [
            ("wait = \"soon\"", "a number with a unit"),
            ("wait = \"1 year\"", "a number with a unit"),
            ("see = \"weather\"\nhas = {}", "`see` is"),
            ("whence = \"x\"", "it is one of"),
            ("does = \"cart.clear\"", "missing field `who`"),
            ("who = \"a\"\ndoes = \"cart.clear\"\nwait = \"1 day\"", "unknown field `wait`"),
            ("again = false", "it is one of"),
        ] {
            let text = format!("title = \"t\"\n[people]\n[[step]]\n{wrong}\n");
            let error = format!("{:#}", Story::parse(&text).unwrap_err());
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn what_a_view_does_not_show_is_named_by_its_place() {
        let found = json!({"a": {"b": [1, 2]}, "c": 3});
        assert_eq!(difference(&json!({"a": {"b": [1, 2]}}), &found, ""), None);
        let wrong = difference(&json!({"a": {"b": [1, 3]}}), &found, "");
        assert_eq!(wrong.as_deref(), Some("`a.b[1]` is 2, and not 3"));
        let missing = difference(&json!({"d": 1}), &found, "");
        assert_eq!(missing.as_deref(), Some("`d` is null, and not 1"));
        assert!(difference(&json!({"a": {"b": [1]}}), &found, "").is_some(), "a list agrees in full");
    }

    #[test]
    fn names_and_amounts_stand_anywhere_in_a_body() {
        let mut body = json!({
            "listing": "@tea", "lines": [{"price": "5.00 USD", "title": "Tea for two"}], "methods": {"@tea": 1},
        });
        resolve(&mut body, &mut |name| Ok(format!("id of {name}"))).unwrap();
        let price = json!({"currency": "USD", "minor": 500});
        assert_eq!(
            body,
            json!({
                "listing": "id of tea", "lines": [{"price": price, "title": "Tea for two"}],
                "methods": {"id of tea": 1},
            })
        );
    }
}
