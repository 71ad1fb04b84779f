//! Kills the writing process at random moments: what was receipted stays, and nothing happens twice.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]
#![allow(clippy::print_stdout, reason = "a test that fails tells its seed, and how far it came")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use commands::receipt::ReceiptBody;
use engine::clock::WallClock;
use engine::processor::StopReason;
use events::ids::CommandId;
use gateway::node::{NatsConfig, Node, NodeConfig};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tempfile::TempDir;
use tests::log_contract::read_all;
use tests::nats::NatsServer;
use tests::town::{fold, receipt, submit};

/// How long a victim may take until it buys; only a broken one needs it.
const READY_WAIT_MAX: Duration = Duration::from_secs(60);

/// What the victims of all runs have said.
#[derive(Default)]
struct History {
    /// What was signed, of each command handed in.
    sent: BTreeMap<CommandId, String>,
    /// Outcome and position of each command that was answered.
    receipts: BTreeMap<CommandId, (String, u64)>,
}

impl History {
    fn read(&mut self, line: &str) {
        let words: Vec<_> = line.split(' ').collect();
        match words[..] {
            ["sent", id, signed] => {
                self.sent.insert(id.parse().unwrap(), signed.to_owned());
            }
            ["receipt", id, outcome, position] => {
                let told = (outcome.to_owned(), position.parse().unwrap());
                let earlier = self.receipts.insert(id.parse().unwrap(), told.clone());
                assert!(earlier.is_none_or(|earlier| earlier == told), "two outcomes of {id}");
            }
            ["ready"] => {}
            _ => panic!("the victim says: {line}"),
        }
    }

    fn unanswered(&self) -> impl Iterator<Item = (&CommandId, &String)> {
        self.sent.iter().filter(|(id, _)| !self.receipts.contains_key(*id))
    }
}

struct Victim {
    process: Child,
    /// Whole lines only: the last one may have been cut in the middle.
    lines: Receiver<String>,
}

impl Victim {
    fn start(run: u64, folder: &Path, url: Option<&str>, history: &History) -> Victim {
        let mut command = Command::new(env!("CARGO_BIN_EXE_victim"));
        command.arg(run.to_string()).arg(folder).args(url);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut input = process.stdin.take().unwrap();
        for (id, signed) in history.unanswered() {
            writeln!(input, "{id} {signed}").unwrap();
        }
        writeln!(input).unwrap();
        process.stdin = Some(input);
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let (lines_in, lines) = channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            while output.read_line(&mut line).is_ok_and(|bytes| bytes > 0) && line.ends_with('\n') {
                // When nobody listens any more the test is over.
                let _ = lines_in.send(line.trim_end().to_owned());
                line.clear();
            }
        });
        Victim { process, lines }
    }

    fn wait_until_ready(&self, history: &mut History) {
        let deadline = Instant::now() + READY_WAIT_MAX;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left).expect("the victim is ready in time");
            history.read(&line);
            if line == "ready" {
                return;
            }
        }
    }

    /// Kills it and reads all that it had said.
    fn kill(mut self, history: &mut History) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        for line in &self.lines {
            history.read(&line);
        }
    }
}

/// Kills as often as asked, each time at another moment: mostly while orders pour in, sometimes while it starts.
fn kill_again_and_again(folder: &Path, url: Option<&str>, kills: u64) -> History {
    let seed: u64 = rand::random();
    println!("the seed of the moments is {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let mut history = History::default();
    let mut buying = Duration::ZERO;
    for run in 0..kills {
        let victim = Victim::start(run, folder, url, &history);
        let moment = Duration::from_micros(rng.random_range(1_000..400_000));
        if run == 0 || rng.random_ratio(3, 4) {
            victim.wait_until_ready(&mut history);
            buying += moment;
        }
        std::thread::sleep(moment);
        victim.kill(&mut history);
    }
    let (sent, told) = (history.sent.len(), history.receipts.len());
    println!("{sent} orders sent, {told} receipts in {} ms of buying", buying.as_millis());
    assert!(told > 0, "something was bought");
    history
}

/// Asks again for all that has no answer, and compares what everybody was told with the log.
async fn check(node: Node, mut history: History) {
    let unanswered: Vec<_> = history.unanswered().map(|(id, signed)| (*id, signed.clone())).collect();
    println!("{} orders had no answer when their process was killed", unanswered.len());
    for (id, signed) in unanswered {
        let body = receipt(submit(&node.handle(), signed.into()).await).receipt;
        history.receipts.insert(id, (format!("{:?}", body.outcome), body.position));
    }
    let commits = read_all(&node.log(), 1).await.unwrap();
    fold(&commits);
    let mut decided = BTreeMap::new();
    for commit in &commits {
        if let Some(body) = ReceiptBody::of(commit) {
            let told = (format!("{:?}", body.outcome), body.position);
            if body.name == "order.place" {
                assert!(history.sent.contains_key(&body.command), "{} was never sent", body.command);
            }
            let earlier = decided.insert(body.command, told);
            assert!(earlier.is_none(), "{} is in the log twice", body.command);
        }
    }
    assert_eq!(history.receipts.len(), history.sent.len());
    for (id, told) in &history.receipts {
        assert_eq!(decided.get(id), Some(told), "what was receipted for {id} is in the log");
    }
    assert_eq!(node.shutdown().await, StopReason::Shutdown);
}

fn config(folder: &Path) -> NodeConfig {
    NodeConfig { verify_threads: 2, ..NodeConfig::new("main".parse().unwrap(), folder.to_owned()) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_killed_at_any_moment_loses_nothing_it_has_receipted() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().to_owned();
    let history = tokio::task::spawn_blocking(move || kill_again_and_again(&path, None, 20)).await.unwrap();
    let node = Node::start(config(folder.path()), Arc::new(WallClock)).await.unwrap();
    check(node, history).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_loses_nothing_on_jetstream() {
    let (folder, server) = (TempDir::new().unwrap(), NatsServer::start().await.unwrap());
    let (path, url) = (folder.path().to_owned(), server.url());
    // The broker gives the market to the next process only when it is sure that the last one is gone.
    let kill = move || kill_again_and_again(&path, Some(&url), 5);
    let history = tokio::task::spawn_blocking(kill).await.unwrap();
    let nats = NatsConfig { url: server.url(), replicas: 1, monitor_url: Some(server.monitor_url()) };
    let node = Node::start_on_nats(config(folder.path()), nats, Arc::new(WallClock)).await.unwrap();
    check(node, history).await;
}
