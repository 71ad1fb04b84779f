//! `skylink`: runs a market, gives it commands, and reads, replays and checks its log.

mod acts;
mod address;
mod audit;
mod bench;
mod client;
mod console;
mod demo;
mod dify;
mod export;
mod factors;
mod import;
mod keys;
mod ledger;
mod limits;
mod log;
mod nats;
mod orders;
mod output;
mod password;
mod payments;
mod profile;
mod push;
mod reconcile;
mod replay;
mod risk;
mod roles;
mod sandbox;
mod send;
mod signing;
mod sink;
mod step_up;
mod story;
mod tail;
mod up;
mod vault;
mod verify;
mod views;
mod webhook;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

// The system's allocator stood among the first in the pipeline's profile.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs a market, gives it commands, and reads, replays and checks its log.
///
/// Data goes to standard output, everything else to standard error. Exit codes: 0 done; 1 refused, or something wrong
/// was found; 2 it could not be found out (bad input, no connection, no answer in time).
#[derive(Debug, Parser)]
#[command(name = "skylink", version, propagate_version = true)]
struct Arguments {
    /// Write log lines as JSON.
    #[arg(long, global = true)]
    log_json: bool,
    #[command(subcommand)]
    command: Subcommands,
}

#[derive(Debug, Subcommand)]
enum Subcommands {
    // What each is for is said where its arguments are.
    Up(Box<up::UpArgs>),
    Console(console::ConsoleArgs),
    Keys(keys::KeysArgs),
    Send(send::SendArgs),
    Factors(factors::FactorsArgs),
    Password(password::PasswordArgs),
    Tail(tail::TailArgs),
    Export(export::ExportArgs),
    Replay(replay::ReplayArgs),
    Verify(verify::VerifyArgs),
    Views(views::ViewsArgs),
    Audit(acts::AuditArgs),
    Orders(orders::OrdersArgs),
    Ledger(ledger::LedgerArgs),
    Reconcile(reconcile::ReconcileArgs),
    Address(address::AddressArgs),
    Profile(profile::ProfileArgs),
    Risk(risk::RiskArgs),
    Roles(roles::RolesArgs),
    Vault(vault::VaultArgs),
    Sink(sink::SinkArgs),
    Webhook(webhook::WebhookArgs),
    Sandbox(sandbox::SandboxArgs),
    Import(import::ImportArgs),
    Story(story::StoryArgs),
    Bench(bench::BenchArgs),
}

/// What became of a subcommand that could find it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is done, and all is well.
    Done,
    /// It was refused, or something wrong was found; what it is has been said.
    FoundWrong,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let default_level = if matches!(arguments.command, Subcommands::Up(_)) { "info" } else { "warn" };
    start_logging(arguments.log_json, default_level);
    let outcome = match arguments.command {
        Subcommands::Up(arguments) => up::run(*arguments),
        Subcommands::Console(arguments) => console::run(&arguments),
        Subcommands::Keys(arguments) => keys::run(arguments),
        Subcommands::Send(arguments) => send::run(arguments),
        Subcommands::Factors(arguments) => factors::run(arguments),
        Subcommands::Password(arguments) => password::run(&arguments),
        Subcommands::Tail(arguments) => tail::run(arguments),
        Subcommands::Export(arguments) => export::run(&arguments),
        Subcommands::Replay(arguments) => replay::run(arguments),
        Subcommands::Verify(arguments) => verify::run(arguments),
        Subcommands::Views(arguments) => views::run(&arguments),
        Subcommands::Audit(arguments) => acts::run(&arguments),
        Subcommands::Orders(arguments) => orders::run(&arguments),
        Subcommands::Ledger(arguments) => ledger::run(arguments),
        Subcommands::Reconcile(arguments) => reconcile::run(&arguments),
        Subcommands::Address(arguments) => address::run(arguments),
        Subcommands::Profile(arguments) => profile::run(arguments),
        Subcommands::Risk(arguments) => risk::run(&arguments),
        Subcommands::Roles(arguments) => roles::run(&arguments),
        Subcommands::Vault(arguments) => vault::run(&arguments),
        Subcommands::Sink(arguments) => sink::run(&arguments),
        Subcommands::Webhook(arguments) => webhook::run(arguments),
        Subcommands::Sandbox(arguments) => sandbox::run(&arguments),
        Subcommands::Import(arguments) => import::run(arguments),
        Subcommands::Story(arguments) => story::run(&arguments),
        Subcommands::Bench(arguments) => bench::run(arguments),
    };
    match outcome {
        Ok(Verdict::Done) => ExitCode::SUCCESS,
        Ok(Verdict::FoundWrong) => ExitCode::from(1),
        // Whoever read the output has seen enough, as `head` does.
        Err(error) if output::reader_is_gone(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::talk(format_args!("skylink: {}", output::paragraph(&error)));
            ExitCode::from(2)
        }
    }
}

fn start_logging(json: bool, default_level: &str) {
    // sled tells every start in detail; what matters of it comes as an error of ours.
    let default = format!("{default_level},sled=warn");
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    if json {
        lines.json().init();
    } else {
        lines.init();
    }
}

/// Makes the runtime of a subcommand that waits for disks or networks.
pub(crate) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    use anyhow::Context;
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the system gives no threads: raise the limit of processes and try again")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn no_two_arguments_of_a_subcommand_are_one() {
        Arguments::command().debug_assert();
    }
}
