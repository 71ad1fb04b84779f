//! A process that runs a market until somebody kills it.
//!
//! `victim sell <run> <folder>` writes the market on segment files and orders in it at a steady rate. Standard input:
//! signed commands of earlier runs that had no answer, one per line, then an empty line. Standard output: `sent
//! <command id> <signed>` before a command is handed in, `told <receipt>` when it was answered, and `ready` between the
//! founding and the first order.
//!
//! `victim serve <folder> <NATS URL>` writes the market on JetStream for whoever orders there, and says `ready` when it
//! does.
//!
//! Either ends when its standard input closes: it does not outlive the test.

use std::io::{BufRead, Write, stdin, stdout};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use engine::clock::WallClock;
use engine::{EngineHandle, Reply};
use events::ids::CommandId;
use gateway::node::{NatsConfig, Node, NodeConfig, REGISTRAR_KEY};
use tests::log_contract::market;
use tests::pace::{ORDERS_PER_SECOND, Pace};
use tests::town::{Person, Town, new_id, submit};

const BUYERS: usize = 8;
/// More numbers than the registrar uses in one run.
const SEQS_PER_RUN: u64 = 1_000;
/// More units than are sold in one run.
const STOCK: u32 = 1_000_000;

fn say(line: std::fmt::Arguments<'_>) {
    // Standard output is flushed at each line. If nobody reads, nobody is told.
    let _ = writeln!(stdout().lock(), "{line}");
}

async fn execute(engine: &EngineHandle, id: CommandId, signed: Bytes) {
    say(format_args!("sent {id} {}", String::from_utf8_lossy(&signed)));
    match submit(engine, signed).await {
        Reply::Receipt(receipt) => {
            let json = Reply::Receipt(receipt).to_json();
            say(format_args!("told {}", String::from_utf8_lossy(&json)));
        }
        other => say(format_args!("none {id} {other:?}")),
    }
}

async fn sell(run: u64, folder: &str) -> Result<()> {
    let unanswered: Vec<String> =
        stdin().lock().lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    end_with_the_input();
    let node = Node::start(config(folder), Arc::new(WallClock)).await?;
    let engine = node.handle();
    for line in unanswered {
        let (id, signed) = line.split_once(' ').context("an id and what was signed")?;
        execute(&engine, id.parse()?, Bytes::from(signed.to_owned())).await;
    }
    let registrar = node.keys().get(REGISTRAR_KEY)?;
    let registrar = Person::from_stored(node.market(), &registrar, 1 + run * SEQS_PER_RUN);
    let town = Town::found(&engine, registrar, BUYERS, STOCK).await;
    say(format_args!("ready"));
    let mut pace = Pace::new(ORDERS_PER_SECOND);
    let mut buyers = town.buyers.iter().cycle();
    loop {
        for _ in 0..pace.due().await {
            let (id, engine) = (new_id(), engine.clone());
            let buyer = buyers.next().context("there are buyers")?;
            let signed = buyer.sign_as(id, town.order(1));
            tokio::spawn(async move { execute(&engine, id, signed).await });
        }
    }
}

async fn serve(folder: &str, url: &str) -> Result<()> {
    end_with_the_input();
    let nats = NatsConfig { url: url.to_owned(), replicas: 1, log_bytes: None, monitor_url: None };
    let node = Node::start_on_nats(config(folder), nats, Arc::new(WallClock)).await?;
    say(format_args!("ready"));
    bail!("the market stopped: {}", node.handle().stopped().await)
}

fn config(folder: &str) -> NodeConfig {
    NodeConfig { verify_threads: 2, ..NodeConfig::new(market(), PathBuf::from(folder)) }
}

fn end_with_the_input() {
    std::thread::spawn(|| {
        // An input that can't be read has ended, too.
        let _ = std::io::copy(&mut stdin().lock(), &mut std::io::sink());
        std::process::exit(0);
    });
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["sell", run, folder] => sell(run.parse().context("the run is a number")?, folder).await,
        ["serve", folder, url] => serve(folder, url).await,
        _ => bail!("usage: victim sell <run> <folder>, or: victim serve <folder> <NATS URL>"),
    }
}
