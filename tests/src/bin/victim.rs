//! A process that writes a market as fast as it can until somebody kills it, and says each thing it has done.
//!
//! `victim <run> <folder> [<NATS URL>]`. Standard input: signed commands of earlier runs that had no answer, one per
//! line, then an empty line; when it closes, the process ends. Standard output: `sent <command id> <signed>` before a
//! command is handed in, `receipt <command id> <outcome> <position>` when it was answered, `ready` between the
//! founding and the first order.

use std::io::{BufRead, Write, stdin, stdout};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use engine::clock::WallClock;
use engine::{EngineHandle, Reply};
use events::ids::CommandId;
use gateway::node::{NatsConfig, Node, NodeConfig, REGISTRAR_KEY};
use tests::town::{Person, Town, new_id, submit};

/// How many orders each buyer has under way at a time.
const UNDER_WAY: usize = 16;
const BUYERS: usize = 4;
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
            let body = receipt.receipt;
            say(format_args!("receipt {} {:?} {}", body.command, body.outcome, body.position));
        }
        other => say(format_args!("none {id} {other:?}")),
    }
}

async fn buy(engine: EngineHandle, town: Arc<Town>, buyer: usize) {
    loop {
        let id = new_id();
        let signed = town.buyers[buyer].sign_as(id, town.order(1));
        execute(&engine, id, signed).await;
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (run, folder, url) = match &arguments[..] {
        [run, folder] => (run, folder, None),
        [run, folder, url] => (run, folder, Some(url.clone())),
        _ => bail!("usage: victim <run> <folder> [<NATS URL>]"),
    };
    let run: u64 = run.parse().context("the run is a number")?;
    let unanswered: Vec<String> =
        stdin().lock().lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut stdin().lock(), &mut std::io::sink());
        std::process::exit(0);
    });
    let market = "main".parse()?;
    let config = NodeConfig { verify_threads: 2, ..NodeConfig::new(market, PathBuf::from(folder)) };
    let node = match url {
        None => Node::start(config, Arc::new(WallClock)).await?,
        Some(url) => {
            let nats = NatsConfig { url, replicas: 1, monitor_url: None };
            Node::start_on_nats(config, nats, Arc::new(WallClock)).await?
        }
    };
    let engine = node.handle();
    for line in unanswered {
        let (id, signed) = line.split_once(' ').context("an id and what was signed")?;
        execute(&engine, id.parse()?, Bytes::from(signed.to_owned())).await;
    }
    let registrar = node.keys().get(REGISTRAR_KEY)?;
    let registrar = Person::from_stored(node.market(), &registrar, 1 + run * SEQS_PER_RUN);
    let town = Arc::new(Town::found(&engine, registrar, BUYERS, STOCK).await);
    say(format_args!("ready"));
    let buyers =
        (0..BUYERS * UNDER_WAY).map(|n| tokio::spawn(buy(engine.clone(), Arc::clone(&town), n % BUYERS)));
    futures::future::join_all(buyers).await;
    Ok(())
}
