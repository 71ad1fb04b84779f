//! `skylink bench`: the figures of this machine, everything in one run, side by side.

use std::io::Write;
use std::path::{Path, PathBuf};

use ::bench::segment::Plan;
use ::bench::{
    http, jetstream, machine, memory, mix, parts, recommendations, restart, risk, search, segment,
};
use anyhow::{Context, ensure};
use clap::{Args, ValueEnum};
use events::account::Algorithm;
use serde::Serialize;

use crate::Verdict;
use crate::output::talk;

/// Where a NATS server is looked for unless it is named.
const SERVER_VARIABLE: &str = "SKYLINK_NATS_SERVER";
const SERVER_FETCHED: &str = ".tools/nats-server";

/// Measure this machine: signatures alone, orders through the whole pipeline on segment files and on JetStream, a
/// mix of carts and orders, the views, a restart, searches, recommendations, and what open orders and what is remembered of risk cost
/// in memory.
///
/// The load runs on the same cores. Latency counts from the moment a command should have been sent to its checked
/// receipt. Figures are ratios of one run; absolute numbers are this machine's.
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// Write one JSON object instead of a table.
    #[arg(long)]
    json: bool,
    /// The folder for the benchmark's markets, which must not exist; on the disk that is to be measured.
    #[arg(long, default_value = "bench-data", value_name = "DIR")]
    dir: PathBuf,
    /// The NATS server's program; without it, SKYLINK_NATS_SERVER or .tools/nats-server. With neither, JetStream is
    /// left out.
    #[arg(long, value_name = "FILE")]
    nats_server: Option<PathBuf>,
    /// Orders sent as fast as they are taken.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1_000..=5_000_000))]
    orders: u32,
    /// Buyers, each with a key of his own.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(10..=1_000_000))]
    buyers: u32,
    /// Listings.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(10..=100_000))]
    listings: u32,
    /// Orders per second of the steady load.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    steady: u32,
    /// Seconds of the steady load.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=100))]
    steady_s: u32,
    /// Open orders of the market that is restarted.
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u32).range(60_000..=5_000_000))]
    restart_orders: u32,
    /// Open orders of the market whose memory is measured; 0: none is.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(0..=5_000_000))]
    memory_orders: u32,
    /// Real baskets that recommendations are measured on, as scripts/get-baskets.sh makes them. Where there are none,
    /// recommendations are left out.
    #[arg(long, value_name = "FILE", default_value = ".tools/baskets.tsv")]
    baskets: PathBuf,
    /// Measure only these, by commas. The views are measured on the log of `segment`.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Stage>,
    /// Fold the log in this folder and say what memory that took: how the memory stage asks a new process.
    #[arg(long, hide = true, value_name = "DIR", exclusive = true)]
    market_of: Option<PathBuf>,
    /// Purchases that are remembered to judge others by, and most buyers who are remembered in full, when it is measured what memory
    /// that takes.
    #[arg(long, default_value_t = 500_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    risk_purchases: u32,
    /// Remember so many purchases, or buyers, and say what memory that took: how the risk stage asks new processes.
    #[arg(long, hide = true, value_name = "usual:N|most:N", exclusive = true)]
    risk_of: Option<risk::Whom>,
}

/// What can be measured by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Stage {
    /// Segment files, EdDSA keys, and the views.
    Segment,
    /// Segment files, ES256 keys.
    SegmentEs256,
    /// Segment files: carts, orders and what comes after a sale, beside orders alone.
    Mix,
    /// What of an order takes how long, on one thread.
    Parts,
    /// Carts filled over HTTP at the steady rate, and a stream of events.
    Http,
    /// JetStream.
    Jetstream,
    /// A restart.
    Restart,
    /// Searches among 100,000 listings, beside orders.
    Search,
    /// How well it is guessed what else somebody buys, on real baskets.
    Recommendations,
    /// Memory of open orders, and what it takes to decide something beside them.
    Memory,
    /// Memory of what is remembered to judge purchases by.
    Risk,
}

impl BenchArgs {
    fn includes(&self, stage: Stage) -> bool {
        self.only.is_empty() || self.only.contains(&stage)
    }
}

/// Most orders whose parts are measured: more do not change what one takes.
const PARTS_ORDERS_MAX: usize = 20_000;

/// Listings that are searched, searches a second, orders a second beside them, and for how long.
const SEARCH: search::Plan =
    search::Plan { listings: 100_000, searches_per_second: 200, orders_per_second: 200, seconds: 30 };

/// Events behind the snapshot of the market that is restarted.
const RESTART_TAIL_EVENTS: u64 = 100_000;

/// What was not measured is none.
#[derive(Serialize)]
struct Report {
    cores: usize,
    crypto_floor_per_s: Option<f64>,
    segment: Option<segment::Figures>,
    segment_es256: Option<segment::Figures>,
    mix: Option<mix::Figures>,
    parts: Option<parts::Figures>,
    http: Option<http::Figures>,
    jetstream: Option<jetstream::Figures>,
    projection_events_per_s: Option<f64>,
    restart_s: Option<f64>,
    restart: Option<restart::Figures>,
    search: Option<search::Figures>,
    recommendations: Option<recommendations::Figures>,
    memory: Option<memory::Figures>,
    risk: Option<risk::Figures>,
    /// At its highest, over all that was measured.
    peak_rss_mb: u64,
}

/// Measures.
pub(crate) fn run(arguments: BenchArgs) -> anyhow::Result<Verdict> {
    if let Some(dir) = &arguments.market_of {
        let figures = crate::runtime()?.block_on(memory::market_of(dir))?;
        writeln!(std::io::stdout().lock(), "{}", serde_json::to_string(&figures)?)?;
        return Ok(Verdict::Done);
    }
    if let Some(whom) = arguments.risk_of {
        let figures = risk::remember(whom)?;
        writeln!(std::io::stdout().lock(), "{}", serde_json::to_string(&figures)?)?;
        return Ok(Verdict::Done);
    }
    ensure!(
        !arguments.dir.exists(),
        "{} exists: name a folder that does not, it is removed afterwards",
        arguments.dir.display()
    );
    let outcome = crate::runtime()?.block_on(measure(&arguments));
    if arguments.dir.exists() {
        std::fs::remove_dir_all(&arguments.dir)
            .with_context(|| format!("{} can't be removed", arguments.dir.display()))?;
    }
    let report = outcome?;
    let mut out = std::io::stdout().lock();
    if arguments.json {
        writeln!(out, "{}", serde_json::to_string(&report)?)?;
    } else {
        print(&mut out, &report)?;
    }
    Ok(Verdict::Done)
}

async fn measure(arguments: &BenchArgs) -> anyhow::Result<Report> {
    let plan = |algorithm| Plan {
        buyers: arguments.buyers as usize,
        listings: arguments.listings as usize,
        orders: arguments.orders as usize,
        steady_per_second: arguments.steady,
        steady_s: arguments.steady_s,
        algorithm,
    };
    let dir = &arguments.dir;
    // First, while the allocator holds nothing of other markets.
    let memory = match arguments.memory_orders as usize {
        orders if orders > 0 && arguments.includes(Stage::Memory) => {
            talk(format_args!("Memory of {orders} open orders …"));
            Some(memory::run(&dir.join("memory"), orders, &std::env::current_exe()?).await?)
        }
        _ => None,
    };
    let mut risk = None;
    if arguments.includes(Stage::Risk) {
        talk(format_args!("Memory of {} judged purchases …", arguments.risk_purchases));
        risk = Some(risk::run(&std::env::current_exe()?, u64::from(arguments.risk_purchases))?);
    }
    let mut segment = None;
    if arguments.includes(Stage::Segment) {
        talk(format_args!("Segment files, EdDSA keys …"));
        segment = Some(segment::run(&dir.join("segment"), plan(Algorithm::EdDsa)).await?);
    }
    let mut segment_es256 = None;
    if arguments.includes(Stage::SegmentEs256) {
        talk(format_args!("Segment files, ES256 keys …"));
        segment_es256 = Some(segment::run(&dir.join("segment-es256"), plan(Algorithm::Es256)).await?);
    }
    let mut mix = None;
    if arguments.includes(Stage::Mix) {
        talk(format_args!("Carts, orders and what comes after a sale …"));
        mix = Some(mix::run(&dir.join("mix"), arguments.orders as usize).await?);
    }
    let mut parts = None;
    if arguments.includes(Stage::Parts) {
        talk(format_args!("The parts of an order …"));
        let orders = (arguments.orders as usize).min(PARTS_ORDERS_MAX);
        let (buyers, listings) = (arguments.buyers as usize, arguments.listings as usize);
        parts = Some(parts::run(&dir.join("parts"), orders, buyers, listings)?);
    }
    let mut http = None;
    if arguments.includes(Stage::Http) {
        talk(format_args!("Carts over HTTP …"));
        http = Some(http::run(&dir.join("http"), arguments.steady, arguments.steady_s).await?);
    }
    let mut jetstream = None;
    if arguments.includes(Stage::Jetstream) {
        if let Some(server) = nats_server(arguments.nats_server.as_deref()) {
            talk(format_args!("JetStream on {} …", server.display()));
            let plan = plan(Algorithm::EdDsa);
            jetstream = Some(jetstream::run(&dir.join("jetstream"), &server, plan).await?);
        } else {
            talk(format_args!("JetStream is left out: name a server with --nats-server."));
        }
    }
    let mut restart = None;
    if arguments.includes(Stage::Restart) {
        talk(format_args!("Restart …"));
        let orders = arguments.restart_orders as usize;
        restart = Some(restart::run(&dir.join("restart"), orders, RESTART_TAIL_EVENTS).await?);
    }
    let mut search = None;
    if arguments.includes(Stage::Search) {
        talk(format_args!("Search among {} listings …", SEARCH.listings));
        search = Some(search::run(&dir.join("search"), SEARCH).await?);
    }
    let mut recommendations = None;
    if arguments.includes(Stage::Recommendations) {
        if arguments.baskets.exists() {
            talk(format_args!("Recommendations on {} …", arguments.baskets.display()));
            let (dir, baskets) = (dir.join("recommendations"), arguments.baskets.clone());
            let measured = tokio::task::spawn_blocking(move || recommendations::run(&dir, &baskets));
            recommendations = Some(measured.await??);
        } else {
            talk(format_args!("Recommendations are left out: scripts/get-baskets.sh fetches baskets."));
        }
    }
    Ok(Report {
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        crypto_floor_per_s: segment.map(|figures| figures.crypto_floor_per_s),
        projection_events_per_s: segment.map(|figures| figures.projection_events_per_s),
        segment,
        segment_es256,
        mix,
        parts,
        http,
        jetstream,
        restart_s: restart.map(|figures| figures.restart_s),
        restart,
        search,
        recommendations,
        memory,
        risk,
        peak_rss_mb: machine::peak_rss_mb(),
    })
}

fn nats_server(named: Option<&Path>) -> Option<PathBuf> {
    if let Some(named) = named {
        return Some(named.to_owned());
    }
    let fetched = PathBuf::from(SERVER_FETCHED);
    std::env::var_os(SERVER_VARIABLE).map(PathBuf::from).or_else(|| fetched.exists().then_some(fetched))
}

fn print(out: &mut impl Write, report: &Report) -> anyhow::Result<()> {
    writeln!(out, "{} cores, the load on the same ones", report.cores)?;
    for (name, figures) in [("EdDSA", &report.segment), ("ES256", &report.segment_es256)] {
        let Some(figures) = figures else { continue };
        writeln!(
            out,
            "segment log, {name}: {:.0} orders/s, {:.2} of {:.0} bare signatures/s ({:.0} orders/s until the views have them); \
             steady load p50 {:.2} ms, p99 {:.2} ms",
            figures.orders_per_s,
            figures.floor_ratio,
            figures.crypto_floor_per_s,
            figures.orders_with_views_per_s,
            figures.p50_ms,
            figures.p99_ms
        )?;
    }
    if let Some(figures) = &report.mix {
        writeln!(
            out,
            "mix of {} on carts, {} orders, {} after a sale ({} on changes, {} on returns): {:.0} commands/s, {:.2} of the {:.0} orders/s beside it",
            figures.cart,
            figures.order,
            figures.after_sale,
            figures.changes,
            figures.returns,
            figures.mix_per_s,
            figures.ratio,
            figures.orders_per_s
        )?;
    }
    if let Some(figures) = &report.parts {
        writeln!(
            out,
            "an order on one thread, {:.0} µs: signature {:.1}, other checks of its bytes {:.1}, deciding {:.1}, commit {:.1}, \
             receipt {:.1} ({:.1} % of all, {} share a signature), tree {:.1}",
            figures.total_us,
            figures.signature_us,
            figures.envelope_us,
            figures.decide_us,
            figures.commit_us,
            figures.receipt_us,
            figures.receipt_percent,
            figures.group,
            figures.tree_us
        )?;
    }
    if let Some(figures) = &report.http {
        writeln!(
            out,
            "carts over HTTP, {} requests/s: p50 {:.2} ms, p99 {:.2} ms; a stream has their events within p50 {:.0} ms, p99 {:.0} ms \
             of the decision",
            figures.per_second, figures.p50_ms, figures.p99_ms, figures.stream_p50_ms, figures.stream_p99_ms
        )?;
    }
    if let Some(figures) = &report.jetstream {
        writeln!(
            out,
            "JetStream R1, EdDSA: {:.0} orders/s, {:.2} of the {:.0} that bare batches carry; steady load p50 {:.2} ms, p99 {:.2} ms",
            figures.orders_per_s,
            figures.ceiling_ratio,
            figures.ceiling_orders_per_s,
            figures.p50_ms,
            figures.p99_ms
        )?;
    }
    if let Some(events_per_s) = report.projection_events_per_s {
        writeln!(out, "views: {events_per_s:.0} events/s")?;
    }
    if let Some(segment::Figures { rebuild, .. }) = &report.segment {
        writeln!(
            out,
            "all views built again beside the steady load: {:.1} s for {} events, {:.0} events/s",
            rebuild.seconds,
            rebuild.events,
            rebuild.events_per_s()
        )?;
    }
    if let Some(figures) = &report.restart {
        writeln!(
            out,
            "restart: {:.2} s with {} open orders and {} events behind the snapshot",
            figures.restart_s, figures.open_orders, figures.tail_events
        )?;
    }
    if let Some(figures) = &report.search {
        writeln!(
            out,
            "search among {} listings, {} a second beside {} orders/s: p50 {:.2} ms, p99 {:.2} ms, p99.9 {:.2} ms, longest {:.1} ms; \
             orders p50 {:.2} ms, p99 {:.2} ms; index made in {:.1} s",
            figures.listings,
            figures.searches_per_second,
            figures.orders_per_second,
            figures.p50_ms,
            figures.p99_ms,
            figures.p999_ms,
            figures.max_ms,
            figures.orders_p50_ms,
            figures.orders_p99_ms,
            figures.fill_s
        )?;
        for search::OfKind { kind, searches, p50_ms, p99_ms } in &figures.kinds {
            writeln!(out, "  {kind:?}: {searches} searches, p50 {p50_ms:.2} ms, p99 {p99_ms:.2} ms")?;
        }
    }
    if let Some(figures) = &report.recommendations {
        writeln!(
            out,
            "recommendations, {} baskets with one of their products left out, after {} others of {} products: hit rate@10 {:.4}, \
             MRR {:.4}; plain popularity: hit rate@10 {:.4}, MRR {:.4}; learnt {:.0} baskets/s; a guess p50 {:.2} ms, p99 {:.2} ms",
            figures.guessed,
            figures.learnt,
            figures.products,
            figures.together.hit_rate,
            figures.together.mean_reciprocal_rank,
            figures.popularity.hit_rate,
            figures.popularity.mean_reciprocal_rank,
            figures.learnt_per_s,
            figures.guess_p50_ms,
            figures.guess_p99_ms
        )?;
    }
    if let Some(figures) = &report.memory {
        writeln!(
            out,
            "memory: {} MB before, {} MB after {} open orders; {} MB are the two folds ({} bytes an order in each, and \
             {} MB of replay guards), {} MB caches",
            figures.rss_before_mb,
            figures.rss_after_mb,
            figures.orders,
            figures.two_folds_mb,
            figures.market.bytes_per_order,
            figures.market.guards_mb,
            figures.caches_mb
        )?;
        for decision in &figures.market.decisions {
            writeln!(
                out,
                "deciding {} beside them: p50 {:.1} µs, p99 {:.1} µs",
                decision.command, decision.p50_us, decision.p99_us
            )?;
        }
    }
    if let Some(risk::Figures { usual, most }) = &report.risk {
        for (what, of) in [("of usual buyers", usual), ("at most", most)] {
            writeln!(
                out,
                "risk, {what}: {} MB in one fold for {} who or what bought ({} bytes each), after {} purchases",
                of.mb, of.subjects, of.bytes_per_subject, of.purchases
            )?;
        }
    }
    writeln!(out, "memory at its peak, load included: {} MB", report.peak_rss_mb)?;
    Ok(())
}
