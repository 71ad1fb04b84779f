//! `skylink ledger`: the journal of a market's money, for bookkeeping programs.

mod export;
mod journal;

use clap::{Args, Subcommand};

use crate::Verdict;

/// The journal of a market's money, for bookkeeping programs.
#[derive(Debug, Args)]
pub(crate) struct LedgerArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    // What each is for is said where its arguments are.
    Export(export::ExportArgs),
}

/// Does what was asked for.
pub(crate) fn run(arguments: LedgerArgs) -> anyhow::Result<Verdict> {
    match arguments.what {
        What::Export(arguments) => export::run(&arguments),
    }
}
