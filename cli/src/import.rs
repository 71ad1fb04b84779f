//! `skylink import`: plays real purchases through the whole engine, as commands signed by everyone concerned, and
//! checks that nothing was lost.

mod drive;
mod people;
mod plan;
mod report;
mod rows;

pub(crate) use self::people::id_v7;

use std::collections::{BTreeSet, HashMap};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use clap::{Args, Subcommand};
use engine::clock::ManualClock;
use engine::keystore::KeyStore;
use events::Timestamp;
use events::ids::MarketName;
use gateway::node::{Node, NodeConfig, REGISTRAR_KEY};
use projections::analytics::TimeRange;

use crate::Verdict;
use people::{PROVIDER_KEY, People, SELLERS, seller_key};
use plan::{By, Plan};
use report::{Facts, Folded, Report};
use rows::Rows;

/// How long the last deadlines and the views may take after the last command.
const SETTLE_TIME_MAX: Duration = Duration::from_secs(60);

/// Imports purchases from a file.
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    #[command(subcommand)]
    source: Source,
}

#[derive(Debug, Subcommand)]
enum Source {
    /// The CDNOW purchases: rows of customer, yyyymmdd, units and dollars, plain or gzipped.
    ///
    /// Every purchase is an order signed with its customer's own key and decided at its historical time. The shops
    /// ship the same evening, most buyers confirm a day or two later, and every 50th order waits for a deadline. At
    /// the end the file, the receipts, the views and the log must agree to the cent, or the exit code is 1.
    Cdnow(CdnowArgs),
}

#[derive(Debug, Args)]
struct CdnowArgs {
    /// The file, such as tests/data/cdnow.txt.gz of the source.
    file: PathBuf,
    /// The folder for the log, the views and the keys; it must be empty or new.
    #[arg(long, default_value = "./data", value_name = "DIR")]
    data: PathBuf,
    /// Write one JSON object instead of a table.
    #[arg(long)]
    json: bool,
    /// Take only the file's first rows.
    #[arg(long, value_name = "ROWS")]
    limit: Option<usize>,
    /// The market's name.
    #[arg(long, default_value = "main", value_name = "NAME")]
    market: MarketName,
}

/// Imports, and prints the report.
pub(crate) fn run(arguments: ImportArgs) -> anyhow::Result<Verdict> {
    let Source::Cdnow(arguments) = arguments.source;
    ensure_empty(&arguments.data)?;
    let rows = rows::read_file(&arguments.file, arguments.limit)?;
    let report = crate::runtime()?.block_on(import(rows, &arguments.data, arguments.market))?;
    let mut out = std::io::stdout().lock();
    if arguments.json {
        writeln!(out, "{}", serde_json::to_string(&report)?)?;
    } else {
        report.print(&mut out)?;
    }
    out.flush()?;
    Ok(if report.differences.is_empty() { Verdict::Done } else { Verdict::FoundWrong })
}

/// Refuses a folder that holds anything: history can't be put before what has already happened.
pub(crate) fn ensure_empty(data: &Path) -> anyhow::Result<()> {
    let mut entries = match std::fs::read_dir(data) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| format!("{} can't be read", data.display())),
    };
    if entries.next().is_some() {
        bail!("{} is not empty: an import begins a new market, so name a new folder", data.display());
    }
    Ok(())
}

/// Plays rows through a new node in an empty folder.
pub(crate) async fn import(rows: Rows, data: &Path, market: MarketName) -> anyhow::Result<Report> {
    let Rows { purchases, refused } = rows;
    let (Some(begin), Some(end)) = (plan::begin(&purchases), plan::end(&purchases)) else {
        bail!("there is no purchase in the file; its first line that is none: {:?}", refused.first());
    };
    let started = Instant::now();
    let clock = Arc::new(ManualClock::new(begin));
    let node = Node::start(NodeConfig::new(market, data.to_owned()), Arc::clone(&clock) as _).await?;
    let file_sum_minor = purchases.iter().map(|purchase| i128::from(purchase.total.minor)).sum();
    let numbers: BTreeSet<u32> = purchases.iter().map(|purchase| purchase.customer).collect();
    let customers = numbers.len() as u64;
    let usd = purchases[0].total.currency;
    let plan = {
        let (keys, market) = (node.keys().clone(), node.market().clone());
        let work = move || -> anyhow::Result<Plan> {
            let first = reserve(&keys, plan::store_key_commands_max(purchases.len(), numbers.len()))?;
            let people = People::gather(&keys, numbers.into_iter(), begin)?;
            Plan::new(market, people, purchases, &first)
        };
        Arc::new(tokio::task::spawn_blocking(work).await.context("planning")??)
    };
    let market_key = node.handle().market_keys().current();
    let handle = node.handle();
    let tally = drive::drive(&plan, &handle, &clock, &market_key).await?;
    let range = TimeRange { from: begin, to: end.plus_ms(plan::DAY_MS) };
    settle(&node, range, plan.orders_expected()).await?;
    let elapsed = started.elapsed();
    let folded = Folded::read(node.log().as_ref()).await?;
    let check = started.elapsed() - elapsed;
    let facts = Facts { tally, folded, range, usd, refused, customers, file_sum_minor, elapsed, check };
    let report = Report::new(facts, node.projections());
    // The snapshot is written, so that the next start does not fold all of it again.
    let reason = node.shutdown().await;
    ensure!(reason == engine::processor::StopReason::Shutdown, "the engine ended early: {reason}");
    report
}

/// Takes numbers of the store's keys: whoever signs with them later goes on behind.
fn reserve(keys: &KeyStore, count: u64) -> anyhow::Result<HashMap<By, u64>> {
    let mut first = HashMap::new();
    let names = [(By::Registrar, REGISTRAR_KEY.to_owned()), (By::Provider, PROVIDER_KEY.to_owned())];
    for (by, name) in names.into_iter().chain((0..SELLERS).map(|n| (By::Seller(n), seller_key(n)))) {
        first.insert(by, keys.reserve_seqs(&name, count)?);
    }
    Ok(first)
}

/// Waits until the last deadlines have passed and the views have read everything.
async fn settle(node: &Node, range: TimeRange, orders: u64) -> anyhow::Result<()> {
    let views = node.projections();
    let mut applied = views.applied();
    let all_closed = async {
        // Counted in the view of analytics, which follows as far as all views when `applied` says so.
        while views.analytics().summary(range)?.sales.completed < orders {
            applied.changed().await.context("the views ended")?;
        }
        anyhow::Ok(())
    };
    if let Ok(closed) = tokio::time::timeout(SETTLE_TIME_MAX, all_closed).await {
        closed?;
    }
    let head = node.log().head().await.context("the log")?;
    views.wait_for(head.position, SETTLE_TIME_MAX).await?;
    Ok(())
}

/// Gives the demonstration's purchases: the earliest of the CDNOW file, moved in whole days so that the last deadline
/// of their import lies before `now`.
pub(crate) fn demo_rows(file: &[u8], count: usize, now: Timestamp) -> anyhow::Result<Rows> {
    let mut rows = rows::read(file, None)?;
    rows.purchases.sort_by_key(|purchase| purchase.day);
    rows.purchases.truncate(count);
    let end = plan::end(&rows.purchases).context("there is no purchase to demonstrate")?;
    let later_ms = now.ms_since(end).div_euclid(plan::DAY_MS) * plan::DAY_MS;
    for purchase in &mut rows.purchases {
        purchase.day = purchase.day.plus_ms(later_ms);
    }
    Ok(rows)
}
