//! `skylink verify`: checks a whole log, or one receipt.

mod place;
mod receipt;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use commands::Market;
use commands::checkpoint::{Checkpoint, CheckpointError};
use commands::crypto::VerifyingKey;
use engine::index::Index;
use engine::log::segment::SegmentLog;
use engine::snapshot::Snapshots;
use engine::tree;
use events::hash::GrowingTree;
use events::{Commit, Hash, Head, Position};
use indicatif::{ProgressBar, ProgressStyle};
use projections::{Projections, ViewName};
use serde::Serialize;
use serde_json::json;

use crate::Verdict;
use crate::audit::{self, AuditError, Counts, Fault, Fold};
use crate::log::{self, LogArgs};
use crate::output::{Output, paragraph, talk};

use self::place::Place;

/// Check a whole log, or one receipt.
///
/// Of a log: sums and chain, metadata against what was signed, every signature, every decision made again, every
/// deadline, that money and stock add up, and that the snapshots, index, tree and views in the data folder were made from
/// this very log, with --nats too. Stops at the first wrong thing and names its place.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    log: LogArgs,
    /// A checkpoint of this market that was kept, as GET /log/checkpoint gives it: that the log still begins with what it signs; may
    /// be given again.
    #[arg(long, value_name = "FILE")]
    checkpoint: Vec<PathBuf>,
    /// Print the findings as JSON.
    #[arg(long)]
    json: bool,
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Check one receipt with nothing but the market's public key.
    Receipt(receipt::ReceiptArgs),
}

/// What a good log has.
#[derive(Debug, Serialize)]
struct Report {
    #[serde(flatten)]
    counts: Counts,
    /// Orders whose money is in escrow.
    open_orders: usize,
    /// Ledger accounts that hold something.
    balances: usize,
    /// Files beside the log that were made from it.
    checkpoints: Vec<String>,
    /// Those that could not be looked at, since a running market has them.
    unchecked: Vec<&'static str>,
    head: Head,
    /// The root of the tree over all events.
    root: Hash,
}

/// Checks what was asked for.
pub(crate) fn run(arguments: VerifyArgs) -> anyhow::Result<Verdict> {
    match arguments.what {
        Some(What::Receipt(arguments)) => receipt::run(&arguments),
        None => verify(&arguments.log, &arguments.checkpoint, arguments.json),
    }
}

fn verify(arguments: &LogArgs, checkpoints: &[PathBuf], json: bool) -> anyhow::Result<Verdict> {
    let notes = checkpoints.iter().map(|path| {
        let note = fs::read_to_string(path).with_context(|| format!("the checkpoint {}", path.display()))?;
        Ok((path.display().to_string(), note))
    });
    let notes = notes.collect::<anyhow::Result<Vec<_>>>()?;
    let runtime = crate::runtime()?;
    let _context = runtime.enter();
    let log = match runtime.block_on(log::open(arguments)) {
        Ok(log) => log,
        Err(error) if error.downcast_ref().is_some_and(audit::is_wrong) => {
            return found_wrong(&error, None, json);
        }
        Err(error) => return Err(error),
    };
    let data = &arguments.data.data;
    if arguments.nats.url.is_some() && SegmentLog::segments_folder(data).is_dir() {
        bail!(
            "{} holds a log of its own in segment files, and what stands beside it was made from that: name the folder \
             of the market on NATS with --data",
            data.display()
        );
    }
    let mut beside = Beside::read(data, notes);
    // Looked at after the files beside the log: a running market only goes on.
    let end = match runtime.block_on(log.events().head()) {
        Ok(end) => end,
        Err(error) if audit::is_wrong(&error) => {
            return found_wrong(&AuditError::Read(error).into(), None, json);
        }
        Err(error) => return Err(AuditError::Read(error).into()),
    };
    let progress = progress_bar(end.position);
    let commits = log.events().read(1);
    let outcome = audit::audit(runtime.handle(), &log.market(), commits, |fold, commit| {
        progress.set_position(fold.head().position);
        beside.check(fold, commit).map_err(anyhow::Error::from)
    });
    progress.finish_and_clear();
    let outcome = outcome.and_then(|fold| {
        let wrong = |source| AuditError::Wrong { position: fold.head().position, source };
        fold.check_balances().map_err(wrong)?;
        beside.check_end(&fold).map_err(wrong)?;
        Ok(fold)
    });
    match outcome {
        Ok(fold) => print(&fold, beside, json),
        Err(error) if error.is_wrong() || is_fault(&error) => {
            let place = match &error {
                AuditError::Wrong { position, .. } => Place::of(&log, *position).ok(),
                AuditError::Read(_) | AuditError::Caller(_) => None,
            };
            found_wrong(&error.into(), place, json)
        }
        Err(error) => Err(error.into()),
    }
}

fn is_fault(error: &AuditError) -> bool {
    matches!(error, AuditError::Caller(error) if error.is::<Fault>())
}

/// Says what is wrong, and where.
fn found_wrong(error: &anyhow::Error, place: Option<Place>, json: bool) -> anyhow::Result<Verdict> {
    let what = paragraph(error);
    if json {
        let mut output = Output::stdout();
        output.json(&json!({ "verified": false, "wrong": what, "place": place }))?;
        output.flush()?;
    }
    match place {
        Some(place) => talk(format_args!("WRONG: {what} ({place})")),
        None => talk(format_args!("WRONG: {what}")),
    }
    Ok(Verdict::FoundWrong)
}

fn print(fold: &Fold, beside: Beside, json: bool) -> anyhow::Result<Verdict> {
    let market = fold.market();
    let report = Report {
        counts: fold.counts(),
        open_orders: market.orders.open_count(),
        balances: market.ledger.balances().count(),
        root: beside.tree.root(),
        checkpoints: beside.seen,
        unchecked: beside.unchecked,
        head: fold.head(),
    };
    let mut output = Output::stdout();
    if json {
        let mut value = serde_json::to_value(&report)?;
        value["verified"] = json!(true);
        output.json(&value)?;
    } else {
        let Report { counts, open_orders, balances, checkpoints, unchecked, head, root } = report;
        let Counts { events, commits, commands, signatures, deadlines, accounts, orders } = counts;
        output.line(format_args!(
            "events       {events} in {commits} commits: sums, chain and spelling hold"
        ))?;
        output.line(format_args!("signatures   {signatures} of {commands} commands hold"))?;
        output.line(format_args!(
            "decisions    {commands} commands and {deadlines} deadlines, decided again, give the same events"
        ))?;
        output.line(format_args!("accounts     {accounts}"))?;
        output.line(format_args!(
            "orders       {orders}, of them {open_orders} open, each with its money in escrow"
        ))?;
        output.line(format_args!("balances     {balances}, zero in sum for every currency"))?;
        output.line(format_args!("beside it    {} made from this log", or_none(&checkpoints.join(", "))))?;
        if !unchecked.is_empty() {
            output.line(format_args!("not checked  {}: a running market has them", unchecked.join(", ")))?;
        }
        output.line(format_args!("head         position {}, hash {}", head.position, head.hash))?;
        output.line(format_args!("root         {root}, of the tree over all events"))?;
    }
    output.flush()?;
    Ok(Verdict::Done)
}

fn or_none(text: &str) -> &str {
    if text.is_empty() { "nothing" } else { text }
}

/// Makes a bar that is drawn only where a terminal is.
pub(crate) fn progress_bar(length: u64) -> ProgressBar {
    let style =
        ProgressStyle::with_template("{elapsed_precise} {wide_bar} {human_pos}/{human_len} events, {eta}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(length).with_style(style)
}

/// Gives the keys of a market that are live, ready to check with.
fn live_keys(market: &Market) -> Result<Vec<VerifyingKey>, CheckpointError> {
    let keys = market.keys.live().map(|known| VerifyingKey::new(&known.key));
    keys.collect::<Result<_, _>>().map_err(|_| CheckpointError::KeyKind)
}

/// What stands beside a log and was made from it.
struct Beside {
    /// What, and how far it has seen the log; those not met yet.
    checkpoints: Vec<(String, Head)>,
    snapshot: Option<(Head, Market)>,
    /// Signed checkpoints as they were given; and of how many events they are, once that was
    /// read; those not met yet.
    notes: Vec<(String, String, Option<Position>)>,
    /// Over how much of the log there is a tree, and its root; those not met yet.
    roots: Vec<(String, Head, Hash)>,
    tree: GrowingTree,
    seen: Vec<String>,
    unchecked: Vec<&'static str>,
}

impl Beside {
    fn read(data: &Path, notes: Vec<(String, String)>) -> Beside {
        let mut beside = Beside {
            checkpoints: Vec::new(),
            snapshot: None,
            notes: notes.into_iter().map(|(what, note)| (what, note, None)).collect(),
            roots: Vec::new(),
            tree: GrowingTree::default(),
            seen: Vec::new(),
            unchecked: Vec::new(),
        };
        match tree::saved(&data.join("tree")) {
            Ok(saved) => beside.roots.extend(saved.map(|(head, root)| ("tree".to_owned(), head, root))),
            Err(_) => beside.unchecked.push("tree"),
        }
        beside.snapshot = Snapshots::new(data.join("snapshots")).load_latest();
        let index = data.join("index");
        if index.is_dir() {
            match Index::open(&index) {
                Ok(index) => beside.checkpoints.push(("index".to_owned(), index.seen())),
                Err(_) => beside.unchecked.push("index"),
            }
        }
        let views = data.join("views");
        if views.is_dir() {
            match Projections::open(&views) {
                Ok(views) => {
                    let heads = ViewName::ALL.map(|view| (format!("view {view}"), views.head(view)));
                    beside.checkpoints.extend(heads);
                }
                Err(_) => beside.unchecked.push("views"),
            }
        }
        beside.checkpoints.retain(|(_, head)| *head != Head::EMPTY);
        beside
    }

    /// Checks what has seen the log just as far as it is folded.
    fn check(&mut self, fold: &Fold, commit: &Arc<Commit>) -> Result<(), Fault> {
        let head = fold.head();
        let here = |position| commit.first_position() <= position && position <= head.position;
        commit.events().iter().for_each(|recorded| self.tree.push(recorded.leaf()));
        self.check_notes(fold)?;
        for (what, seen, root) in self.roots.extract_if(.., |(_, seen, _)| here(seen.position)) {
            if (seen, root) != (head, self.tree.root()) {
                return Err(Fault::Foreign { what });
            }
            self.seen.push(what);
        }
        for (what, checkpoint) in self.checkpoints.extract_if(.., |(_, checkpoint)| here(checkpoint.position))
        {
            if checkpoint != head {
                return Err(Fault::Foreign {
                    what: format!("{what}, which has seen position {}", checkpoint.position),
                });
            }
            self.seen.push(what);
        }
        if let Some((seen, market)) = self.snapshot.take_if(|(seen, _)| here(seen.position)) {
            let what = format!("snapshot {}", seen.position);
            if seen != head || market != *fold.market() {
                return Err(Fault::Foreign { what });
            }
            self.seen.push(what);
        }
        Ok(())
    }

    /// Checks the signed checkpoints that were given of the log as far as it is folded: each is signed with a key that was live
    /// there, and has this root.
    fn check_notes(&mut self, fold: &Fold) -> Result<(), Fault> {
        let head = fold.head();
        let is_met = |size: &Option<Position>| size.is_none_or(|size| size <= head.position);
        let met: Vec<_> = self.notes.extract_if(.., |(_, _, size)| is_met(size)).collect();
        for (what, note, _) in met {
            let wrong = |source| Fault::Checkpoint { what: what.clone(), source };
            let name = &fold.market().opened.as_ref().expect("a log begins with its opening").market;
            let claimed = Checkpoint::claimed(&note, name).map_err(wrong)?.head;
            if claimed.position > head.position {
                self.notes.push((what, note, Some(claimed.position)));
                continue;
            }
            let live = live_keys(fold.market()).map_err(wrong)?;
            let Checkpoint { head: seen, root, .. } =
                Checkpoint::read_with(&note, name, &live).map_err(wrong)?;
            let what = format!("signed checkpoint {what}");
            if (seen, root) != (head, self.tree.root()) {
                return Err(Fault::Foreign { what });
            }
            self.seen.push(what);
        }
        Ok(())
    }

    /// Finds signed checkpoints of more than the log has; one that the market has not even signed is worse.
    fn notes_ahead(&self, fold: &Fold) -> Result<(), Fault> {
        let Some((what, note, _)) = self.notes.first() else { return Ok(()) };
        let Some(opened) = &fold.market().opened else { return Ok(()) };
        let wrong = |source| Fault::Checkpoint { what: what.clone(), source };
        let live = live_keys(fold.market()).map_err(wrong)?;
        let ahead = Checkpoint::read_with(note, &opened.market, &live).map_err(wrong)?;
        Err(Fault::Ahead { what: format!("signed checkpoint {what}"), position: ahead.head.position })
    }

    /// Checks that nothing has seen more than the log has.
    fn check_end(&self, fold: &Fold) -> Result<(), Fault> {
        self.notes_ahead(fold)?;
        let snapshot = self.snapshot.as_ref().map(|(head, _)| (format!("snapshot {}", head.position), *head));
        let roots = self.roots.iter().map(|(what, head, _)| (what.clone(), *head));
        let mut ahead = self.checkpoints.iter().cloned().chain(snapshot).chain(roots);
        match ahead.next() {
            None => Ok(()),
            Some((what, head)) => Err(Fault::Ahead { what, position: head.position }),
        }
    }
}
