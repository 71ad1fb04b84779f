//! Reads Stripe's own reports: the itemized balance change from activity, and the itemized payouts, which that has not.
//!
//! Amounts are in units of the currency, with the decimals that Stripe counts. They are those that the buyer paid, where Stripe
//! settles in another currency: these are what the market asked for.

use csv::StringRecord;
use engine::providers::stripe::currency::from_report;
use events::reconciliation::MovementKind;
use events::{Currency, Money, Timestamp};

use super::file::{
    Columns, FileError, Format, MOVEMENTS_MAX, Problem, ProviderFile, Row, line_of, reference, shown, unread,
};

/// Columns of numbers and times: their digits are no card's.
const NUMBERS: [&str; 12] = [
    "created",
    "created_utc",
    "available_on",
    "available_on_utc",
    "effective_at",
    "effective_at_utc",
    "gross",
    "fee",
    "net",
    "exchange_rate",
    "customer_facing_amount",
    "payout_expected_arrival_date",
];

/// Reporting categories of what Stripe takes for its own services: a fee, and no movement of the market's.
const FEES: [&str; 4] = ["fee", "network_cost", "tax", "stripe_fee_tax"];
/// The category of what was held and is not taken of a payment, which Stripe first books as a whole.
const NOT_CAPTURED: &str = "partial_capture_reversal";

fn kind_of(category: &str) -> MovementKind {
    match category {
        "charge" => MovementKind::Payment,
        "refund" => MovementKind::Refund,
        "refund_failure" => MovementKind::RefundReturned,
        "payout" => MovementKind::Payout,
        "payout_reversal" => MovementKind::PayoutReturned,
        "dispute" => MovementKind::Chargeback,
        "dispute_reversal" => MovementKind::ChargebackReversed,
        _ => MovementKind::Other,
    }
}

/// Where the columns are that both reports have, and those that only one has.
struct Layout {
    format: Format,
    time: (&'static str, usize),
    category: usize,
    currency: usize,
    gross: usize,
    fee: usize,
    net: usize,
    transaction: usize,
    /// What a movement is known by: the payment intent of a payment, or else the object that it is about.
    source: usize,
    intent: Option<usize>,
    facing: Option<(usize, usize)>,
}

impl Layout {
    fn of(columns: &Columns<'_>) -> Result<Layout, FileError> {
        let is_payouts = columns.find("payout_id").is_some() && columns.find("source_id").is_none();
        if !is_payouts && columns.find("balance_transaction_id").is_none() && columns.find("gross").is_none()
        {
            return Err(Problem::Header.at(1));
        }
        let (format, time, source) = if is_payouts {
            // What is named without its time zone is in UTC unless the report was asked for in another.
            let is_unzoned =
                columns.find("effective_at_utc").is_none() && columns.find("effective_at").is_some();
            let time = if is_unzoned { "effective_at" } else { "effective_at_utc" };
            (Format::StripePayouts, time, "payout_id")
        } else {
            (Format::StripeActivity, "created_utc", "source_id")
        };
        let intent = if is_payouts { None } else { Some(columns.wanted("payment_intent_id")?) };
        let facing = columns.find("customer_facing_amount").zip(columns.find("customer_facing_currency"));
        Ok(Layout {
            format,
            time: (time, columns.wanted(time)?),
            category: columns.wanted("reporting_category")?,
            currency: columns.wanted("currency")?,
            gross: columns.wanted("gross")?,
            fee: columns.wanted("fee")?,
            net: columns.wanted("net")?,
            transaction: columns.wanted("balance_transaction_id")?,
            source: columns.wanted(source)?,
            intent,
            facing,
        })
    }
}

fn currency_of(field: &str, line: u64) -> Result<Currency, FileError> {
    field.to_ascii_uppercase().parse().map_err(|_| Problem::Currency(shown(field)).at(line))
}

fn money(column: &'static str, field: &str, currency: Currency, line: u64) -> Result<Money, FileError> {
    from_report(field, currency)
        .ok_or_else(|| Problem::Amount { column, text: shown(field), currency }.at(line))
}

/// Reads a time as Stripe writes it: `2025-07-29 10:00:00`, or the day alone.
fn time(column: &'static str, field: &str, line: u64) -> Result<Timestamp, FileError> {
    let wrong = |_| Problem::Time { column, text: shown(field) }.at(line);
    let written = match field.split_once(' ') {
        Some((day, time)) => format!("{day}T{time}Z"),
        None => format!("{field}T00:00:00Z"),
    };
    Timestamp::parse_rfc3339(&written).map_err(wrong)
}

/// Reads a report of Stripe's.
pub(super) fn read(mut reader: csv::Reader<&[u8]>, columns: &Columns<'_>) -> Result<ProviderFile, FileError> {
    let layout = Layout::of(columns)?;
    let (mut rows, mut fees): (Vec<Row>, Vec<(Timestamp, Money)>) = (Vec::new(), Vec::new());
    // What was not captured of payments, with the lines that say so.
    let mut not_captured = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| unread(&error))?;
        let line = line_of(&record);
        columns.check_cards(&record, &NUMBERS, line)?;
        if rows.len() == MOVEMENTS_MAX {
            return Err(Problem::TooMany.at(line));
        }
        let currency = currency_of(&record[layout.currency], line)?;
        let gross = money("gross", &record[layout.gross], currency, line)?;
        let fee = money("fee", &record[layout.fee], currency, line)?;
        let net = money("net", &record[layout.net], currency, line)?;
        if gross.minor.checked_sub(fee.minor) != Some(net.minor) {
            return Err(Problem::Net.at(line));
        }
        let at = time(layout.time.0, &record[layout.time.1], line)?;
        let category = &record[layout.category];
        if fee.minor != 0 {
            fees.push((at, fee));
        }
        if FEES.contains(&category) {
            fees.push((at, Money::new(-gross.minor, currency)));
            continue;
        }
        let (kind, reference) = (kind_of(category), named(&layout, &record, category, line)?);
        let amount = asked_for(&layout, &record, gross, line)?;
        if category == NOT_CAPTURED {
            not_captured.push((line, reference, at, amount));
            continue;
        }
        rows.push(Row { kind, reference, at, amount });
    }
    for (line, reference, at, amount) in not_captured {
        let is_of = |row: &&mut Row| {
            row.kind == MovementKind::Payment
                && row.reference == reference
                && row.amount.currency == amount.currency
        };
        // Where the payment is in another file, the difference is told as one.
        match rows.iter_mut().find(is_of) {
            Some(payment) => {
                payment.amount = payment.amount.checked_add(amount).map_err(|_| Problem::Net.at(line))?;
            }
            None => rows.push(Row { kind: MovementKind::Other, reference, at, amount }),
        }
    }
    Ok(ProviderFile { format: layout.format, period: None, rows, fees })
}

/// Gives what the market knows a movement by.
fn named(layout: &Layout, record: &StringRecord, category: &str, line: u64) -> Result<String, FileError> {
    let is_payment = matches!(category, "charge" | NOT_CAPTURED);
    let intent = layout.intent.map(|at| &record[at]).filter(|intent| is_payment && !intent.is_empty());
    let source = Some(&record[layout.source]).filter(|source| !source.is_empty());
    reference(intent.or(source).unwrap_or(&record[layout.transaction]), line)
}

/// Gives what the buyer paid or got back, where Stripe says it in another currency than the one it settles in.
fn asked_for(layout: &Layout, record: &StringRecord, gross: Money, line: u64) -> Result<Money, FileError> {
    let Some((amount, currency)) = layout.facing else { return Ok(gross) };
    if record[amount].is_empty() || record[currency].is_empty() {
        return Ok(gross);
    }
    let currency = currency_of(&record[currency], line)?;
    if currency == gross.currency {
        return Ok(gross);
    }
    let facing = money("customer_facing_amount", &record[amount], currency, line)?;
    Ok(Money::new(facing.minor.abs() * gross.minor.signum(), currency))
}
