//! Writes every transfer of a log as a journal that an independent program can balance.

use std::collections::BTreeSet;
use std::sync::Arc;

use clap::Args;
use events::ledger::LedgerAccount;
use events::{Commit, Currency, Money, Position, Timestamp};

use crate::Verdict;
use crate::audit;
use crate::log::{self, LogArgs};
use crate::output::{Output, paragraph, talk};
use crate::replay::Bound;
use crate::verify::progress_bar;

use super::journal::{Closing, Format, Writer};

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
    let _context = runtime.enter();
    let log = runtime.block_on(log::open(&arguments.log))?;
    let bound = Bound { position: arguments.to, time: arguments.until };
    let end = runtime.block_on(log.events().head())?;
    let progress = progress_bar(bound.position.unwrap_or(end.position));
    let mut output = Output::stdout();
    let mut writer = Writer::begin(arguments.format, &log.market(), &mut output)?;
    let mut used = BTreeSet::new();
    let commits = bound.of(log.events().read(1));
    let folded = audit::audit(runtime.handle(), &log.market(), commits, |fold, commit| {
        progress.set_position(fold.head().position);
        note_accounts(commit, &mut used);
        writer.commit(commit, &mut output)
    });
    progress.finish_and_clear();
    let fold = match folded {
        Ok(fold) => fold,
        Err(error) if error.is_wrong() => {
            output.flush()?;
            talk(format_args!("WRONG, and the journal ends before it: {}", paragraph(&error.into())));
            return Ok(Verdict::FoundWrong);
        }
        Err(error) => return Err(error.into()),
    };
    let market = fold.market();
    let held = |(account, currency): &(LedgerAccount, Currency)| -> (LedgerAccount, Money) {
        (*account, market.ledger.balance(*account, *currency))
    };
    let balances = used.iter().map(held).collect();
    writer.end(&Closing { time: market.time, head: fold.head(), balances }, &mut output)?;
    output.flush()?;
    Ok(Verdict::Done)
}

/// Notes every account that money moved through, in its currency.
fn note_accounts(commit: &Arc<Commit>, used: &mut BTreeSet<(LedgerAccount, Currency)>) {
    for transfer in commit.events().iter().flat_map(|recorded| recorded.event.transfers()) {
        let currency = transfer.amount.currency;
        used.extend([(transfer.from, currency), (transfer.to, currency)]);
    }
}
