//! What an import did, and whether everything agrees: the file, the receipts, the views and the log itself.

use std::collections::BTreeMap;
use std::io::{self, Write};

use anyhow::Context;
use commands::Market;
use engine::log::EventLog;
use events::ledger::LedgerAccount;
use events::{Currency, Event, Position};
use futures::StreamExt;
use projections::Projections;
use projections::analytics::TimeRange;
use serde::Serialize;

use super::drive::Tally;
use super::rows::RefusedRow;

/// Most rows that are no purchases which are told one by one.
const REFUSED_ROWS_TOLD_MAX: usize = 20;

/// What the whole log adds up to, folded from its first event.
pub(crate) struct Folded {
    market: Market,
    events: Position,
    gmv_minor: i128,
    released_minor: i128,
    fees_minor: i128,
}

impl Folded {
    /// Reads and folds a whole log.
    pub(crate) async fn read(log: &dyn EventLog) -> anyhow::Result<Folded> {
        let mut folded =
            Folded { market: Market::new(), events: 0, gmv_minor: 0, released_minor: 0, fees_minor: 0 };
        let end = log.head().await.context("the log")?;
        let mut commits = log.read(1);
        while let Some(commit) = commits.next().await {
            let commit = commit.context("the log")?;
            for recorded in commit.events() {
                folded.add(&recorded.event);
            }
            folded.market.evolve_commit(&commit);
        }
        anyhow::ensure!(folded.events == end.position, "the log ended before its head");
        Ok(folded)
    }

    fn add(&mut self, event: &Event) {
        self.events += 1;
        match event {
            Event::OrderPlaced(placed) => self.gmv_minor += i128::from(placed.total.minor),
            Event::EscrowReleased(released) => {
                for transfer in &released.transfers {
                    let sum = match transfer.to {
                        LedgerAccount::PlatformFees => &mut self.fees_minor,
                        _ => &mut self.released_minor,
                    };
                    *sum += i128::from(transfer.amount.minor);
                }
            }
            _ => {}
        }
    }
}

/// The report of an import.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Rows of the file, without its header.
    pub(crate) rows: u64,
    /// Purchases that were accepted.
    pub(crate) accepted: u64,
    /// Purchases that the market rejected.
    pub(crate) rejected: u64,
    /// Why; a purchase may have several reasons.
    pub(crate) rejected_by_reason: BTreeMap<String, u64>,
    /// Rows that are no purchases.
    pub(crate) refused_rows: u64,
    /// The first of them.
    pub(crate) refused: Vec<RefusedRow>,
    pub(crate) customers: u64,
    pub(crate) commands: u64,
    pub(crate) events: u64,
    /// Gross merchandise value as the analytics view has it.
    pub(crate) gmv_minor: i64,
    /// What the file's purchases add up to.
    pub(crate) file_sum_minor: i128,
    pub(crate) released_minor: i64,
    pub(crate) fees_minor: i64,
    pub(crate) open_orders: u64,
    /// Receipts that were checked with the market's key.
    pub(crate) receipts_checked: u64,
    pub(crate) receipts_wrong: u64,
    /// Whether all balances add up to zero, in the view and in the fold of the log.
    pub(crate) ledger_balanced: bool,
    pub(crate) orders_per_s: u64,
    pub(crate) commands_per_s: u64,
    pub(crate) elapsed_s: f64,
    /// How long it took to read and fold the whole log again.
    pub(crate) check_s: f64,
    /// What does not agree; empty when all is well.
    pub(crate) differences: Vec<String>,
}

/// What a report is made from besides the views.
pub(crate) struct Facts {
    pub(crate) tally: Tally,
    pub(crate) folded: Folded,
    pub(crate) range: TimeRange,
    pub(crate) usd: Currency,
    pub(crate) refused: Vec<RefusedRow>,
    pub(crate) customers: u64,
    pub(crate) file_sum_minor: i128,
    pub(crate) elapsed: std::time::Duration,
    pub(crate) check: std::time::Duration,
}

impl Report {
    /// Compares what all tell.
    pub(crate) fn new(facts: Facts, views: &Projections) -> anyhow::Result<Report> {
        let Facts { tally, folded, range, usd, mut refused, customers, file_sum_minor, elapsed, check } =
            facts;
        let sales = views.analytics().summary(range).context("the analytics view")?.sales;
        let money = sales.money.iter().find(|money| money.currency == usd);
        let (gmv_minor, released_minor, fees_minor) =
            money.map_or((0, 0, 0), |money| (money.gmv, money.released, money.fees));
        let sums = views.ledger().trial_balance().context("the ledger view")?;
        let view_balanced = sums.iter().all(|sum| sum.sum == 0);
        let fold_balanced = folded.market.ledger.sums().values().all(|sum| *sum == 0);

        let mut differences = tally.complaints;
        let mut differ = |what: &str, one: i128, other: i128| {
            if one != other {
                differences.push(format!("{what}: {one} and {other}"));
            }
        };
        differ("gross merchandise value, view and file", gmv_minor.into(), file_sum_minor);
        differ("gross merchandise value, log and file", folded.gmv_minor, file_sum_minor);
        differ("paid for accepted purchases, and the file's sum", tally.accepted_minor, file_sum_minor);
        differ("paid for rejected purchases, and nothing", tally.rejected_minor, 0);
        differ("orders, view and receipts", sales.orders.into(), tally.accepted.into());
        differ("released, view and log", released_minor.into(), folded.released_minor);
        differ("fees, view and log", fees_minor.into(), folded.fees_minor);
        let open_orders = folded.market.orders.open_count() as u64;
        differ("orders still open, and none", open_orders.into(), 0);
        differ("receipts that prove nothing, and none", tally.receipts_wrong.into(), 0);
        differ("commands that failed, and none", tally.failed.into(), 0);
        differ("whether the ledger view is balanced, and yes", view_balanced.into(), 1);
        differ("whether the folded ledger is balanced, and yes", fold_balanced.into(), 1);

        let per_second = |count: u64| {
            let ms = elapsed.as_millis().max(1);
            u64::try_from(u128::from(count) * 1000 / ms).unwrap_or(u64::MAX)
        };
        let refused_rows = refused.len() as u64;
        refused.truncate(REFUSED_ROWS_TOLD_MAX);
        let purchases = tally.accepted + tally.rejected;
        Ok(Report {
            rows: purchases + refused_rows,
            accepted: tally.accepted,
            rejected: tally.rejected,
            rejected_by_reason: tally.rejected_by_reason,
            refused_rows,
            refused,
            customers,
            commands: tally.receipts,
            events: folded.events,
            gmv_minor,
            file_sum_minor,
            released_minor,
            fees_minor,
            open_orders,
            receipts_checked: tally.receipts,
            receipts_wrong: tally.receipts_wrong,
            ledger_balanced: view_balanced && fold_balanced,
            orders_per_s: per_second(purchases),
            commands_per_s: per_second(tally.receipts),
            elapsed_s: elapsed.as_secs_f64(),
            check_s: check.as_secs_f64(),
            differences,
        })
    }

    /// Writes the report as a table for people.
    pub(crate) fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let mut row = |name: &str, value: String| writeln!(out, "{name:<28}{value:>20}");
        row("rows in the file", self.rows.to_string())?;
        row("  refused as no purchase", self.refused_rows.to_string())?;
        row("customers", self.customers.to_string())?;
        row("orders accepted", self.accepted.to_string())?;
        row("orders rejected", self.rejected.to_string())?;
        for (reason, count) in &self.rejected_by_reason {
            row(&format!("  {reason}"), count.to_string())?;
        }
        row("orders still open", self.open_orders.to_string())?;
        row("sum of the file, USD", dollars(self.file_sum_minor))?;
        row("GMV in analytics, USD", dollars(self.gmv_minor.into()))?;
        row("  released to sellers, USD", dollars(self.released_minor.into()))?;
        row("  fees, USD", dollars(self.fees_minor.into()))?;
        row("ledger balanced", if self.ledger_balanced { "yes" } else { "NO" }.to_owned())?;
        row("receipts checked", self.receipts_checked.to_string())?;
        row("  of them wrong", self.receipts_wrong.to_string())?;
        row("commands", self.commands.to_string())?;
        row("events in the log", self.events.to_string())?;
        row("time, s", format!("{:.1}", self.elapsed_s))?;
        row("  orders per second", self.orders_per_s.to_string())?;
        row("  commands per second", self.commands_per_s.to_string())?;
        row("time to fold it again, s", format!("{:.1}", self.check_s))?;
        for refused in &self.refused {
            writeln!(out, "line {}: {}", refused.line, refused.rule)?;
        }
        for difference in &self.differences {
            writeln!(out, "DIFFERS: {difference}")?;
        }
        Ok(())
    }
}

/// Writes minor units of US dollars.
fn dollars(minor: i128) -> String {
    format!("{}.{:02}", minor / 100, (minor % 100).abs())
}
