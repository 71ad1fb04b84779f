//! Gives the plan's commands to the engine: signed ahead on other threads, many in flight, the clock moved on only
//! when everything of an instant has its receipt.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use anyhow::{Context, bail};
use bytes::Bytes;
use commands::receipt::{Outcome, ReceiptVerifier};
use commands::replay::SEQ_WINDOW;
use engine::clock::ManualClock;
use engine::{EngineHandle, Reply};
use events::Timestamp;
use events::account::PublicKey;
use futures::StreamExt;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::{mpsc, oneshot};

use super::plan::{Ask, Job, Plan};

/// Most commands in flight. They may overtake one another, so no key may have more than its window of them.
const IN_FLIGHT_MAX: usize = 1_000;
/// Most commands that are signed as one piece of work.
const SIGN_TOGETHER_MAX: usize = 64;
/// Most pieces of work that are signed ahead.
const SIGN_AHEAD_MAX: usize = 32;
/// Most replies that wait to be checked.
const REPLIES_MAX: usize = 4_096;
/// Most complaints that are kept in full; the others are counted.
const COMPLAINTS_MAX: usize = 10;

const _: () = assert!((IN_FLIGHT_MAX as u64) < SEQ_WINDOW);

/// What became of the commands.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Purchases that were accepted, and what was paid for them.
    pub(crate) accepted: u64,
    pub(crate) accepted_minor: i128,
    /// Purchases that the market rejected, by reason, and what was paid for them.
    pub(crate) rejected: u64,
    pub(crate) rejected_minor: i128,
    pub(crate) rejected_by_reason: BTreeMap<String, u64>,
    /// Commands that were decided.
    pub(crate) receipts: u64,
    /// Receipts that prove nothing.
    pub(crate) receipts_wrong: u64,
    /// Commands around the purchases that were not accepted, and commands that were not decided at all.
    pub(crate) failed: u64,
    /// The first things that went wrong.
    pub(crate) complaints: Vec<String>,
}

type Waiting = VecDeque<(Ask, oneshot::Receiver<Reply>)>;

/// Gives all commands and returns what became of them.
pub(crate) async fn drive(
    plan: &Arc<Plan>,
    handle: &EngineHandle,
    clock: &ManualClock,
    market_key: &PublicKey,
) -> anyhow::Result<Tally> {
    let progress = progress_bar(plan.commands());
    let verifier = ReceiptVerifier::new(market_key).context("the market's key")?;
    let (replies, replied) = mpsc::channel(REPLIES_MAX);
    let checking = {
        let plan = Arc::clone(plan);
        tokio::task::spawn_blocking(move || check(&plan, verifier, replied))
    };
    let pieces = futures::stream::iter(pieces(plan));
    let mut signed = pieces
        .map(|(at, jobs)| {
            let plan = Arc::clone(plan);
            tokio::task::spawn_blocking(move || (at, sign(&plan, &jobs)))
        })
        .buffered(SIGN_AHEAD_MAX);
    let mut waiting = Waiting::new();
    let mut now = None;
    while let Some(piece) = signed.next().await {
        let (at, commands) = piece.context("signing")?;
        if now != Some(at) {
            settle(&mut waiting, 0, &replies, &progress).await?;
            clock.advance_to(at);
            // Deadlines are noticed now, and not when the clock stands days later and what follows would be late too.
            handle.tick().await;
            now = Some(at);
        }
        for (ask, bytes) in commands {
            settle(&mut waiting, IN_FLIGHT_MAX - 1, &replies, &progress).await?;
            match handle.enqueue(bytes, None, None) {
                Ok(reply) => waiting.push_back((ask, reply)),
                Err(reply) => replies.send((ask, reply)).await.context("the receipts' check ended")?,
            }
        }
    }
    settle(&mut waiting, 0, &replies, &progress).await?;
    drop(replies);
    progress.finish_and_clear();
    checking.await.context("checking the receipts")
}

/// Waits for the oldest replies until at most `left` are missing.
async fn settle(
    waiting: &mut Waiting,
    left: usize,
    replies: &mpsc::Sender<(Ask, Reply)>,
    progress: &ProgressBar,
) -> anyhow::Result<()> {
    while waiting.len() > left
        && let Some((ask, reply)) = waiting.pop_front()
    {
        let reply = reply.await.unwrap_or(Reply::Undecided);
        if matches!(reply, Reply::Undecided) {
            bail!("the engine stopped before everything was decided; its last words are above");
        }
        progress.inc(1);
        replies.send((ask, reply)).await.context("the receipts' check ended")?;
    }
    Ok(())
}

/// Cuts the plan into pieces of work; each instant has one at least.
fn pieces(plan: &Plan) -> Vec<(Timestamp, Vec<Job>)> {
    let mut pieces = Vec::new();
    for (at, jobs) in &plan.instants {
        if jobs.is_empty() {
            pieces.push((*at, Vec::new()));
        }
        pieces.extend(jobs.chunks(SIGN_TOGETHER_MAX).map(|jobs| (*at, jobs.to_vec())));
    }
    pieces
}

fn sign(plan: &Plan, jobs: &[Job]) -> Vec<(Ask, Bytes)> {
    jobs.iter().map(|job| (job.ask, Bytes::from(plan.sign(*job)))).collect()
}

/// Checks every receipt and counts what it says.
fn check(plan: &Plan, mut verifier: ReceiptVerifier, mut replies: mpsc::Receiver<(Ask, Reply)>) -> Tally {
    let mut tally = Tally::default();
    while let Some((ask, reply)) = replies.blocking_recv() {
        let receipt = match reply {
            Reply::Receipt(receipt) => receipt,
            Reply::Refused(refusal) => {
                tally.fail(format!("{ask:?} was refused: {refusal}"));
                continue;
            }
            Reply::Undecided => {
                tally.fail(format!("{ask:?} was not decided"));
                continue;
            }
        };
        tally.receipts += 1;
        if let Err(error) = verifier.verify(&receipt) {
            tally.receipts_wrong += 1;
            tally.complain(format!("the receipt of {ask:?} proves nothing: {error}"));
        }
        let body = &receipt.receipt;
        match (ask, body.outcome) {
            (Ask::Buy(purchase), Outcome::Accepted) => {
                tally.accepted += 1;
                tally.accepted_minor += i128::from(plan.total(purchase).minor);
            }
            (Ask::Buy(purchase), _) => {
                tally.rejected += 1;
                tally.rejected_minor += i128::from(plan.total(purchase).minor);
                for reason in &body.reasons {
                    *tally.rejected_by_reason.entry(reason.code()).or_default() += 1;
                }
            }
            (_, Outcome::Accepted) => {}
            (_, outcome) => tally.fail(format!("{ask:?} was {outcome:?}: {:?}", body.reasons)),
        }
    }
    tally
}

impl Tally {
    fn fail(&mut self, complaint: String) {
        self.failed += 1;
        self.complain(complaint);
    }

    fn complain(&mut self, complaint: String) {
        if self.complaints.len() < COMPLAINTS_MAX {
            self.complaints.push(complaint);
        }
    }
}

/// Makes a bar on standard error; where that is no terminal it stays hidden.
fn progress_bar(commands: u64) -> ProgressBar {
    let bar = "{wide_bar} {human_pos}/{human_len} commands, {per_sec}, {eta} left";
    let style = ProgressStyle::with_template(bar).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(commands).with_style(style)
}
