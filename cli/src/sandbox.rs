//! `skylink sandbox`: what the payment provider that is played by `--payments sandbox` says of itself.

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use engine::clock::{Clock, WallClock};
use engine::providers::sandbox::write_statement;
use events::Timestamp;

use crate::Verdict;
use crate::log::DataArgs;

/// What the sandbox, the provider that plays one, says of itself.
#[derive(Debug, Args)]
pub(crate) struct SandboxArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Statement(StatementArgs),
}

/// Write what the sandbox has moved, from its own books, as a file for `skylink reconcile`.
///
/// The books are in the folder of the market's data. The file's form is explained in docs/reconciliation.md.
#[derive(Debug, Args)]
struct StatementArgs {
    #[command(flatten)]
    data: DataArgs,
    /// Since this time, such as 2025-07-29T00:00:00Z; without it, since the first movement.
    #[arg(long, value_name = "TIME", value_parser = Timestamp::parse_rfc3339)]
    from: Option<Timestamp>,
    /// Before this time; without it, until now.
    #[arg(long, value_name = "TIME", value_parser = Timestamp::parse_rfc3339)]
    to: Option<Timestamp>,
}

/// Writes the statement to standard output.
pub(crate) fn run(arguments: &SandboxArgs) -> anyhow::Result<Verdict> {
    let What::Statement(StatementArgs { data, from, to }) = &arguments.what;
    let file = data.data.join("sandbox.json");
    // It keeps books from its first payment on; a folder that is not there is another matter.
    if !data.data.is_dir() {
        bail!("there is no folder {}: name that of the market with --data", data.data.display());
    }
    let mut out = std::io::stdout().lock();
    write_statement(&file, &mut out, *from, *to, WallClock.now()).with_context(|| {
        format!(
            "the sandbox's books {} can't be read: mend the file, or restore it from its backup",
            file.display()
        )
    })?;
    Ok(Verdict::Done)
}
