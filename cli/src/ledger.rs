//! `skylink ledger`: a market's money as a journal for bookkeeping programs, and checked against every promise.

mod books;
mod check;
mod export;
mod journal;

use clap::{Args, Subcommand};

use crate::Verdict;

pub(crate) use self::books::Books;

/// A market's money as a journal for bookkeeping programs, and checked against every promise.
#[derive(Debug, Args)]
pub(crate) struct LedgerArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    // What each is for is said where its arguments are.
    Export(export::ExportArgs),
    Check(check::CheckArgs),
}

/// Does what was asked for.
pub(crate) fn run(arguments: LedgerArgs) -> anyhow::Result<Verdict> {
    match arguments.what {
        What::Export(arguments) => export::run(&arguments),
        What::Check(arguments) => check::run(&arguments),
    }
}
