//! `skylink`: runs a market, gives it commands, and reads, replays and checks its log.

mod demo;
mod import;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Runs a market, gives it commands, and reads, replays and checks its log.
#[derive(Debug, Parser)]
#[command(name = "skylink", version)]
struct Arguments {
    #[command(subcommand)]
    command: Subcommands,
}

#[derive(Debug, Subcommand)]
enum Subcommands {
    /// Play purchases from a file through the engine.
    Import(import::ImportArgs),
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let Subcommands::Import(arguments) = Arguments::parse().command;
    import::run(arguments).await
}
