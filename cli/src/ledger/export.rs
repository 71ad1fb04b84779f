//! Writes every transfer of a log as a journal that an independent program can balance.

use clap::Args;
use events::{Position, Timestamp};

use crate::Verdict;
use crate::audit::fold_log;
use crate::log::{self, Bound, LogArgs};
use crate::output::{Output, talk};

use super::journal::{Format, Writer};

/// Write every transfer of a log as a journal for hledger, beancount, ledger or a spreadsheet.
///
/// The log is checked while it is read, as `skylink verify` does. The journal ends by asserting the balances that the
/// market itself holds, which the other program then compares with what it has added up. Accounts stand as a bookkeeper
/// expects them: money at providers is an asset, what buyers and sellers have is a liability, fees are income. The names
/// of the same accounts inside SkyLink are in docs/ledger.md.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    log: LogArgs,
    /// The program that will read it.
    #[arg(long, value_enum)]
    format: Format,
    /// Up to this position, and with it.
    #[arg(long, value_name = "POSITION")]
    to: Option<Position>,
    /// Not after this time, such as 2025-07-29T10:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = Timestamp::parse_rfc3339)]
    until: Option<Timestamp>,
}

/// Writes the journal to standard output.
pub(super) fn run(arguments: &ExportArgs) -> anyhow::Result<Verdict> {
    let runtime = crate::runtime()?;
    let log = runtime.block_on(log::open(&arguments.log))?;
    let bound = Bound { position: arguments.to, time: arguments.until };
    let mut output = Output::stdout();
    let mut writer = Writer::begin(arguments.format, &log.market(), &mut output)?;
    let folded = fold_log(&runtime, &log, bound, |_, commit| writer.commit(commit, &mut output));
    let Some(fold) = folded? else {
        output.flush()?;
        talk(format_args!("The journal ends before that, and asserts nothing."));
        return Ok(Verdict::FoundWrong);
    };
    writer.end(fold.head(), fold.market(), &mut output)?;
    output.flush()?;
    Ok(Verdict::Done)
}
