//! Kills the writing process at random moments under load: what was receipted stays, and nothing happens twice.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]
#![allow(clippy::print_stdout, reason = "a test that fails tells its seed, and how far it came")]

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use engine::Reply;
use engine::clock::WallClock;
use engine::processor::StopReason;
use gateway::node::{Node, NodeConfig, REGISTRAR_KEY};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tempfile::TempDir;
use tests::history::History;
use tests::log_contract::{market, read_all};
use tests::nats::NatsServer;
use tests::nats_clients::{Done, NatsClients};
use tests::town::{Person, Town};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

/// How often the process is killed on each log.
const KILLS: u64 = 20;
/// How often one market's on JetStream is killed: few enough that its log, which each start reads, stays short.
const KILLS_PER_MARKET: u64 = 5;
/// What the clients of a market on JetStream offer; more would only wait for the next engine.
const OFFERED_OVER_NATS_PER_SECOND: u64 = 560;
/// What the clients must at least have offered, by their own count.
const OFFERED_PER_SECOND_MIN: u64 = 500;
/// How many orders lie between a process that is ready and its death, at most.
const ORDERS_BEFORE_DEATH_MAX: u64 = 1_000;
/// How long after its start a process may be killed, ready or not, where that is the plan.
const EARLY_DEATH_MAX: Duration = Duration::from_millis(500);
/// How long a process may take until it is ready, and clients until they have their receipts; only what is broken
/// needs it.
const PATIENCE: Duration = Duration::from_secs(60);

/// One log at a time has the machine: the rate that clients offer is part of what is checked.
static MACHINE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// A market's process.
struct Victim {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Victim {
    /// Starts it and hands it `input`; it ends by itself when this is dropped.
    async fn start(arguments: &[&str], input: &str) -> Victim {
        let mut process = Command::new(env!("CARGO_BIN_EXE_victim"))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        process.stdin.as_mut().unwrap().write_all(input.as_bytes()).await.unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Victim { process, lines }
    }

    /// Gives the next line it says.
    async fn line(&mut self) -> String {
        let line = timeout(PATIENCE, self.lines.next_line()).await.expect("the process goes on in time");
        line.unwrap().expect("the process does not end by itself")
    }

    /// Kills it with SIGKILL, and gives what it had said before. A line that its death has cut off is none.
    async fn kill(mut self) -> Vec<String> {
        self.process.kill().await.unwrap();
        let mut said = String::new();
        self.lines.into_inner().read_to_string(&mut said).await.unwrap();
        said.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')).map(str::to_owned).collect()
    }
}

/// Gives the moments of the kills, from a seed that is told.
fn moments() -> StdRng {
    let seed: u64 = rand::random();
    println!("the seed of the moments is {seed}");
    StdRng::seed_from_u64(seed)
}

/// Checks that the processes were killed under load.
fn check_offered(orders: u64, during: Duration) {
    println!("{orders} orders were offered in {} ms", during.as_millis());
    assert!(orders * 1_000 >= OFFERED_PER_SECOND_MIN * during.as_millis() as u64, "too little load");
}

fn config(folder: &Path) -> NodeConfig {
    NodeConfig { verify_threads: 2, ..NodeConfig::new(market(), folder.to_owned()) }
}

/// Asks for everything again, and compares what everybody was told with the log.
async fn check(node: Node, mut history: History) {
    let (sent, told) = history.counts();
    println!("{sent} orders sent, {told} of them receipted before the last process");
    assert!(told > 0, "something was bought");
    history.ask_again(&node.handle()).await;
    assert_eq!(history.counts(), (sent, sent));
    history.check(&read_all(&node.log(), 1).await.unwrap());
    assert_eq!(node.shutdown().await, StopReason::Shutdown);
}

/// Notes what a process says that orders by itself.
fn note(history: &mut History, line: &str) {
    match line.split_once(' ') {
        Some(("sent", order)) => {
            if let Some((id, signed)) = order.split_once(' ') {
                history.send(id.parse().unwrap(), Bytes::from(signed.to_owned()));
            }
        }
        Some(("told", json)) => match Reply::from_json(json.as_bytes()) {
            Some(Reply::Receipt(receipt)) => history.tell(receipt.receipt),
            other => panic!("it was told {other:?}"),
        },
        _ => assert_eq!(line, "ready"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_killed_at_any_moment_loses_nothing_it_has_receipted() {
    let _machine = MACHINE.lock().await;
    let folder = TempDir::new().unwrap();
    let mut moments = moments();
    let mut history = History::default();
    let (mut offered, mut during) = (0, Duration::ZERO);
    for run in 0..KILLS {
        let unanswered = history.unanswered().map(|(id, signed)| (id, String::from_utf8_lossy(signed)));
        let input: String = unanswered.map(|(id, signed)| format!("{id} {signed}\n")).collect();
        let (run, path) = (run.to_string(), folder.path().to_str().unwrap());
        let mut victim = Victim::start(&["sell", &run, path], &(input + "\n")).await;
        if run == "0" || moments.random_ratio(3, 4) {
            let mut line = String::new();
            while line != "ready" {
                line = victim.line().await;
                note(&mut history, &line);
            }
            let (ready, before) = (Instant::now(), history.counts().0);
            let last = before as u64 + moments.random_range(1..ORDERS_BEFORE_DEATH_MAX);
            while (history.counts().0 as u64) < last {
                note(&mut history, &victim.line().await);
            }
            offered += (history.counts().0 - before) as u64;
            during += ready.elapsed();
        } else {
            tokio::time::sleep(moments.random_range(Duration::ZERO..EARLY_DEATH_MAX)).await;
        }
        for line in victim.kill().await {
            note(&mut history, &line);
        }
    }
    check_offered(offered, during);
    let node = Node::start(config(folder.path()), Arc::new(WallClock)).await.unwrap();
    check(node, history).await;
}

/// Tells the broker that the market's engine is dead, as an operator does who knows it. Without that the broker waits
/// for some seconds until it gives the market to the next.
async fn unpin(server: &NatsServer) {
    let context = async_nats::jetstream::new(async_nats::connect(server.url()).await.unwrap());
    match context.get_stream("CMD_main").await {
        Ok(commands) => commands.unpin_consumer("engine", "writer").await.unwrap(),
        // It is kept in memory: when the broker was killed too, an engine that died early has not made it again.
        Err(error) => assert!(error.to_string().contains("not found"), "{error}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_and_brokers_killed_under_load_lose_nothing_on_jetstream() {
    let _machine = MACHINE.lock().await;
    let mut moments = moments();
    for _ in 0..KILLS / KILLS_PER_MARKET {
        kill_on_jetstream(&mut moments).await;
    }
}

/// Kills the processes of one new market under load, its broker with some and the last of them, and checks what is left.
async fn kill_on_jetstream(moments: &mut StdRng) {
    const BUYERS: usize = 64;
    let (folder, mut server) = (TempDir::new().unwrap(), NatsServer::start().await.unwrap());
    let (path, url) = (folder.path().to_str().unwrap(), server.url());
    let nats = server.for_nodes();
    let start = || Node::start_on_nats(config(folder.path()), nats.clone(), Arc::new(WallClock));
    let node = start().await.unwrap();
    let registrar = Person::from_stored(&market(), &node.keys().get(REGISTRAR_KEY).unwrap(), 1);
    let town = Arc::new(Town::found(&node.handle(), registrar, BUYERS, 1_000_000).await);
    assert_eq!(node.shutdown().await, StopReason::Shutdown);

    unpin(&server).await;
    let mut clients = NatsClients::start(&url, &market(), &town, OFFERED_OVER_NATS_PER_SECOND).await.unwrap();
    let begun = Instant::now();
    for run in 0..KILLS_PER_MARKET {
        let mut victim = Victim::start(&["serve", path, &url], "").await;
        if run == 0 || moments.random_ratio(3, 4) {
            assert_eq!(victim.line().await, "ready");
            let (ready, orders) = (clients.done(), moments.random_range(1..ORDERS_BEFORE_DEATH_MAX));
            // It serves, and then so many more orders come.
            let enough = |now: &Done| now.told > ready.told && now.sent >= ready.sent + orders;
            timeout(PATIENCE, clients.wait_for(enough)).await.expect("the market sells").unwrap();
        } else {
            tokio::time::sleep(moments.random_range(Duration::ZERO..EARLY_DEATH_MAX)).await;
        }
        if run == KILLS_PER_MARKET - 1 || moments.random_ratio(1, 4) {
            // Both die, the broker a moment before its engine.
            server.kill().unwrap();
            victim.kill().await;
            server.restart().await.unwrap();
        } else {
            victim.kill().await;
        }
        unpin(&server).await;
    }
    check_offered(clients.done().sent, begun.elapsed());
    let node = start().await.unwrap();
    let history = timeout(PATIENCE, clients.finish()).await.expect("all get their receipts").unwrap();
    check(node, history).await;
}
