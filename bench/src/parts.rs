//! What an order costs, part by part: each of them on the same orders, one after the other on one thread, in one run.
//!
//! It goes the way of a running market, without its threads and its disk: what is measured is CPU.

use std::hint::black_box;
use std::path::Path;
use std::slice;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use commands::crypto::{SigningKey, VerifyingKey};
use commands::envelope::{KeyDirectory, claimed_key, verify_command};
use commands::receipt::{Outcome, Receipt, ReceiptBody, ReceiptVerifier, sign_group};
use commands::{Decision, Facts, Market, Verified, decide};
use engine::clock::{Clock, WallClock};
use engine::keys::KeyRing;
use engine::log::segment::format::encode_group;
use engine::tree::Tree;
use events::account::Algorithm;
use events::commit::Seal;
use events::ids::{CommitId, MarketName, WriterId};
use events::market::{Deadlines, EscrowTerms, FeePolicy, Opened, Registrar, WriterStarted};
use events::metadata::Cause;
use events::{Commit, Event, Head};
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde::Serialize;
use uuid::Uuid;

use crate::person::Person;
use crate::workload::{Signed, Town};

/// Orders that are made durable, answered with one signature and put under one checkpoint together.
const GROUP: usize = 64;
/// Orders that are signed at a time, before they are measured.
const PART: usize = 10_000;

/// CPU time of one order on one thread, in microseconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Figures {
    /// Orders that were measured.
    pub orders: usize,
    /// Orders that share one signature of the market.
    pub group: usize,
    /// Checking the signature, strictly, and nothing else.
    pub signature_us: f64,
    /// The other checks on the bytes: form, JSON, spelling, fingerprint.
    pub envelope_us: f64,
    /// Deciding, checking what was decided against the books, and folding it.
    pub decide_us: f64,
    /// Writing the events as JSON, hashing and chaining them, and putting the group into its bytes.
    pub commit_us: f64,
    /// Making the receipt, its share of the signature, its path, checking it as a client would, and its JSON.
    pub receipt_us: f64,
    /// The tree over the log, and the order's share of a checkpoint for each group.
    pub tree_us: f64,
    /// All of that.
    pub total_us: f64,
    /// `receipt_us` of 100 of `total_us`.
    pub receipt_percent: f64,
}

/// What was spent on each part.
#[derive(Default)]
struct Spent {
    signature: Duration,
    checks: Duration,
    decide: Duration,
    commit: Duration,
    receipt: Duration,
    tree: Duration,
}

/// Does something and adds what it took.
fn timed<T>(spent: &mut Duration, work: impl FnOnce() -> T) -> T {
    let started = Instant::now();
    let made = black_box(work());
    *spent += started.elapsed();
    made
}

/// A market without a log on disk.
struct Bare {
    name: MarketName,
    writer: WriterId,
    market: Market,
    head: Head,
    keys: KeyRing,
    key: Arc<SigningKey>,
    begun: Arc<Commit>,
}

impl Bare {
    fn open(name: &MarketName, registrar: &Person) -> anyhow::Result<Bare> {
        let key = Arc::new(SigningKey::from_seed(Algorithm::EdDsa, [5; 32])?);
        let opened = Opened {
            deadlines: Deadlines::default(),
            escrow: Some(EscrowTerms::default()),
            fee: FeePolicy::default(),
            market: name.clone(),
            purchase_limits: Vec::new(),
            registrar: Registrar {
                account: registrar.account(),
                device: registrar.device_registration().device,
                key: registrar.public(),
            },
            receipt_key: key.public(),
        };
        let writer = WriterId::from_uuid(Uuid::now_v7());
        let started = WriterStarted { epoch: 1, version: "bench".to_owned(), writer };
        let time = WallClock.now();
        let cause = Cause::Writer(writer);
        let seal = Seal {
            id: CommitId::derive(writer, 1, time),
            market: name.clone(),
            time,
            cause,
            traceparent: None,
        };
        let begun = Arc::new(Commit::seal(Head::EMPTY, seal, vec![opened.into(), started.into()]));
        let (name, market, keys) = (name.clone(), Market::new(), KeyRing::default());
        keys.add(registrar.account(), &registrar.public())?;
        let mut bare = Bare { name, writer, market, head: Head::EMPTY, keys, key, begun: Arc::clone(&begun) };
        bare.fold(&begun);
        Ok(bare)
    }

    fn decide(&self, verified: &Verified) -> anyhow::Result<Vec<Event>> {
        match decide(&self.market, verified, &Facts::default(), WallClock.now()) {
            Decision::Commit(events) => Ok(events),
            other => bail!("{} was not decided: {other:?}", verified.stamp.name),
        }
    }

    fn seal(&self, cause: Cause, events: Vec<Event>) -> Arc<Commit> {
        let time = self.market.time.max(WallClock.now());
        let id = CommitId::derive(self.writer, self.head.position + 1, time);
        let seal = Seal { id, market: self.name.clone(), time, cause, traceparent: None };
        Arc::new(Commit::seal(self.head, seal, events))
    }

    fn fold(&mut self, commit: &Commit) {
        self.market.evolve_commit(commit);
        self.head = commit.head();
    }

    /// Does a command that is not measured.
    fn perform(&mut self, bytes: &Bytes) -> anyhow::Result<Arc<Commit>> {
        let verified = verify_command(bytes, &self.name, None, &self.keys)?;
        let events = self.decide(&verified)?;
        let commit = self.seal(Cause::Command(Box::new(verified.stamp)), events);
        self.fold(&commit);
        for (account, key) in commit.events().iter().filter_map(|recorded| recorded.event.registered_key()) {
            self.keys.add(account, key)?;
        }
        Ok(commit)
    }

    /// Does a group of orders and measures each part.
    fn group(&mut self, orders: &[Signed], tree: &mut Tree, spent: &mut Spent) -> anyhow::Result<()> {
        let mut commits = Vec::with_capacity(orders.len());
        for order in orders {
            let (message, signature, key) = self.signature(order)?;
            timed(&mut spent.signature, || key.verify(message, &signature))?;
            let verified =
                timed(&mut spent.checks, || verify_command(&order.bytes, &self.name, None, &self.keys))?;
            let decided = timed(&mut spent.decide, || {
                let events = self.decide(&verified)?;
                self.market.check_conserved(&events).map(|()| events).map_err(anyhow::Error::from)
            });
            let cause = Cause::Command(Box::new(verified.stamp));
            let commit = timed(&mut spent.commit, || Ok::<_, anyhow::Error>(self.seal(cause, decided?)))?;
            timed(&mut spent.decide, || self.fold(&commit));
            commits.push(commit);
        }
        let mut bytes = Vec::new();
        timed(&mut spent.commit, || encode_group(&commits, &mut bytes));
        let mut verifier = ReceiptVerifier::new(&self.key.public())?;
        let receipts = timed(&mut spent.receipt, || {
            let bodies = commits.iter().filter_map(|commit| ReceiptBody::of(commit)).collect();
            let receipts = sign_group(bodies, self.head, &self.name, &self.key);
            let sent = receipts.iter().map(|receipt| {
                verifier.verify(receipt)?;
                Ok(receipt.to_json())
            });
            sent.collect::<anyhow::Result<Vec<_>>>().map(|sent| (receipts, sent))
        })?;
        let is_accepted = |receipt: &Receipt| receipt.receipt.outcome == Outcome::Accepted;
        ensure!(receipts.0.iter().all(is_accepted), "an order was rejected: the load is made wrongly");
        timed(&mut spent.tree, || {
            tree.append(&commits).and_then(|()| tree.sign(&self.name, slice::from_ref(&self.key)))
        })?;
        Ok(())
    }

    /// Takes apart what is signed, before it is measured.
    fn signature<'a>(&self, order: &'a Signed) -> anyhow::Result<(&'a [u8], Vec<u8>, Arc<VerifyingKey>)> {
        let dot = order.bytes.iter().rposition(|byte| *byte == b'.').context("a compact JWS has dots")?;
        let signature = URL_SAFE_NO_PAD.decode(&order.bytes[dot + 1..])?;
        let key = claimed_key(&order.bytes).and_then(|id| self.keys.key(id));
        Ok((&order.bytes[..dot], signature, key.context("everybody has a key")?))
    }
}

/// Measures `orders` orders of a town, in a folder for the tree.
pub fn run(dir: &Path, orders: usize, buyers: usize, listings: usize) -> anyhow::Result<Figures> {
    let name: MarketName = "bench".parse()?;
    let town = Arc::new(Town::new(&name, Algorithm::EdDsa, buyers, listings, 1));
    let mut rng = StdRng::seed_from_u64(7);
    let (registrar, provider) =
        (Person::new(&name, Algorithm::EdDsa, &mut rng), Person::new(&name, Algorithm::EdDsa, &mut rng));
    let mut bare = Bare::open(&name, &registrar)?;
    let mut tree = Tree::open(&dir.join("tree"))?;
    tree.append(&[Arc::clone(&bare.begun)])?;
    for bytes in town.founding(&registrar, &provider).iter().flatten() {
        tree.append(&[bare.perform(bytes)?])?;
    }
    let mut spent = Spent::default();
    // Signed a part at a time: a signed order is good for two minutes.
    for (part, from) in (0..orders).step_by(PART).enumerate() {
        let signed = town.orders(PART.min(orders - from), 3 + part as u64);
        for group in signed.chunks(GROUP) {
            bare.group(group, &mut tree, &mut spent)?;
        }
    }
    let us = |spent: Duration| spent.as_secs_f64() * 1e6 / orders as f64;
    let Spent { signature, checks, decide, commit, receipt, tree } = spent;
    let total_us = us(checks + decide + commit + receipt + tree);
    Ok(Figures {
        orders,
        group: GROUP,
        signature_us: us(signature),
        envelope_us: us(checks.saturating_sub(signature)),
        decide_us: us(decide),
        commit_us: us(commit),
        receipt_us: us(receipt),
        tree_us: us(tree),
        total_us,
        receipt_percent: 100.0 * us(receipt) / total_us,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_of_a_small_load_takes_time_and_all_of_them_are_the_whole() {
        let dir = tempfile::tempdir().unwrap();
        let figures = run(dir.path(), 3 * GROUP / 2, 4, 10).unwrap();
        let Figures { signature_us, envelope_us, decide_us, commit_us, receipt_us, tree_us, .. } = figures;
        let parts = [signature_us, envelope_us, decide_us, commit_us, receipt_us, tree_us];
        assert!(parts.iter().all(|part| *part > 0.0), "{figures:?}");
        let sum: f64 = parts.iter().sum();
        assert!((sum - figures.total_us).abs() < 0.001 * sum, "{figures:?}");
        assert!((figures.receipt_percent - 100.0 * receipt_us / figures.total_us).abs() < 1e-9);
        assert_eq!((figures.orders, figures.group), (96, GROUP));
    }
}
