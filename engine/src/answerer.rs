//! Signs receipts and sends replies: the one place where receipts are made. A group of commands is answered with one
//! signature of the market; each receipt still stands alone (see [`commands::receipt`]).

use std::sync::{Arc, Mutex, PoisonError};

use commands::Refusal;
use commands::receipt::{Outcome, Receipt, ReceiptBody, ReceiptVerifier, sign_group};
use events::ids::{KeyId, MarketName};
use events::{Commit, Event, Head, Position};
use tokio::sync::{Semaphore, mpsc};

use crate::ingress::{Reply, ReplyTo};
use crate::log::EventLog;
use crate::market_keys::LiveKeys;
use crate::pace::{Answered, Pace};
use crate::processor::Answer;

/// Most answers that are read from the log again at once.
const REPEATS_AT_ONCE_MAX: usize = 16;
/// Most repeated commands that wait for that; one more is answered `busy`, and its client asks again.
const REPEATS_WAITING_MAX: usize = 4096;

/// A durable group and what it lets be answered.
pub(crate) type Durable = (Vec<Arc<Commit>>, Vec<(ReplyTo, Answer)>);

/// Makes replies.
#[derive(Clone)]
pub(crate) struct Answers {
    inner: Arc<Inner>,
}

struct Inner {
    log: Arc<dyn EventLog>,
    keys: Arc<LiveKeys>,
    market: MarketName,
    /// Of the key that has signed last.
    verifier: Mutex<Option<(KeyId, ReceiptVerifier)>>,
    repeats_at_once: Semaphore,
    repeats_waiting: Arc<Semaphore>,
    pace: Arc<Pace>,
}

impl Answers {
    pub(crate) fn new(
        log: Arc<dyn EventLog>,
        keys: Arc<LiveKeys>,
        market: MarketName,
        pace: Arc<Pace>,
    ) -> Self {
        let repeats_at_once = Semaphore::new(REPEATS_AT_ONCE_MAX);
        let repeats_waiting = Arc::new(Semaphore::new(REPEATS_WAITING_MAX));
        let verifier = Mutex::default();
        let inner = Inner { log, keys, market, verifier, repeats_at_once, repeats_waiting, pace };
        Answers { inner: Arc::new(inner) }
    }

    /// Signs with the market's present key, and checks as a client would before anything leaves.
    ///
    /// # Panics
    /// If a receipt does not hold: then this program is wrong, and the market must not go on answering. Or if no secret of a
    /// live key is here, since another process has rotated and retired what this one had: then it can't answer.
    fn sign(&self, bodies: Vec<ReceiptBody>, head: Head) -> Vec<Receipt> {
        if bodies.is_empty() {
            return Vec::new();
        }
        let Some(key) = self.inner.keys.signer() else {
            panic!(
                "no key of this market is in the key store: copy the file of the present one there and restart"
            );
        };
        let receipts = sign_group(bodies, head, &self.inner.market, &key);
        let mut verifier = self.inner.verifier.lock().unwrap_or_else(PoisonError::into_inner);
        if verifier.as_ref().is_none_or(|(id, _)| *id != key.id()) {
            let fresh =
                ReceiptVerifier::new(&key.public()).expect("a key that signs is one that can be checked");
            *verifier = Some((key.id(), fresh));
        }
        let (_, verifier) = verifier.as_mut().expect("it was set above");
        for receipt in &receipts {
            if let Err(error) = verifier.verify(receipt) {
                panic!("a receipt of this market does not hold: {error}");
            }
        }
        receipts
    }

    /// Gives the reply of a command that was decided earlier, from its commit, which begins at `position`.
    pub(crate) async fn repeat(&self, position: Position) -> Reply {
        let _place = self.inner.repeats_at_once.acquire().await.expect("nobody closes it");
        let commit = match self.inner.log.commit(position).await {
            Ok(Some(commit)) => commit,
            Ok(None) => return Reply::Undecided,
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    position,
                    "an old outcome can't be read"
                );
                return Reply::Undecided;
            }
        };
        if self.inner.keys.signer().is_none() {
            // An engine that stands by may lack what the writer has; it has said so, and can't take the market over.
            return Reply::Undecided;
        }
        let bodies = ReceiptBody::of(&commit).into_iter().collect();
        match self.sign(bodies, commit.head()).pop() {
            Some(receipt) => Reply::Receipt(Box::new(Receipt { replayed: true, ..receipt })),
            None => Reply::Undecided,
        }
    }

    /// Answers a command that was decided earlier, as soon as its commit is read; the next group does not wait.
    fn send_repeat(&self, reply: ReplyTo, position: Position) {
        let Ok(place) = Arc::clone(&self.inner.repeats_waiting).try_acquire_owned() else {
            return reply.send(Reply::Refused(Refusal::Busy));
        };
        let answers = self.clone();
        tokio::spawn(async move {
            reply.send(answers.repeat(position).await);
            drop(place);
        });
    }

    fn answer_group(&self, answers: Vec<(ReplyTo, Answer)>, head: Head) {
        let mut bodies = Vec::with_capacity(answers.len());
        let mut askers = Vec::with_capacity(answers.len());
        let mut counted = Vec::with_capacity(answers.len());
        for (reply, answer) in answers {
            match answer {
                Answer::Decided(commit) => {
                    bodies.push(
                        ReceiptBody::of(&commit).expect("a decided command's commit names it as its cause"),
                    );
                    askers.push(reply);
                }
                Answer::Repeat(position) => self.send_repeat(reply, position),
                Answer::Refused(refusal) => {
                    metrics::counter!("skylink_refusals_total", "code" => refusal.code()).increment(1);
                    counted.push((Answered::Refused, reply.waited()));
                    reply.send(Reply::Refused(refusal));
                }
                Answer::Undecided => reply.send(Reply::Undecided),
            }
        }
        for (reply, receipt) in askers.into_iter().zip(self.sign(bodies, head)) {
            let (outcome, answered) = match receipt.receipt.outcome {
                Outcome::Accepted => ("accepted", Answered::Accepted),
                Outcome::Unchanged => ("unchanged", Answered::Accepted),
                Outcome::Rejected => ("rejected", Answered::Rejected),
            };
            metrics::counter!("skylink_commands_total", "outcome" => outcome).increment(1);
            counted.push((answered, reply.waited()));
            reply.send(Reply::Receipt(Box::new(receipt)));
        }
        if !counted.is_empty() {
            self.inner.pace.answered(counted.into_iter());
        }
    }
}

/// Answers groups as they become durable.
pub(crate) async fn run(answers: Answers, mut groups: mpsc::Receiver<Durable>) {
    let mut head = Head::EMPTY;
    while let Some((commits, group)) = groups.recv().await {
        // Before anything is signed: the receipt of a rotation has the new key already.
        commits.iter().for_each(|commit| answers.inner.keys.take(commit));
        if let Some(last) = commits.last() {
            head = last.head();
            let events = commits.iter().flat_map(|commit| commit.events());
            let orders = events.filter(|recorded| matches!(recorded.event, Event::OrderPlaced(_))).count();
            answers.inner.pace.durable(orders as u64);
        }
        answers.answer_group(group, head);
    }
}
