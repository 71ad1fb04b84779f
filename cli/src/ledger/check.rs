//! Checks the promises about money over a whole log.

use clap::Args;
use serde_json::json;

use crate::Verdict;
use crate::audit::fold_log;
use crate::log::{self, Bound, LogArgs};
use crate::output::Output;

use super::books::{Books, Invariant};

/// Check every promise about money over a whole log, with a second set of books.
///
/// The books are kept from the transfers alone and then compared with the market's own. The log itself is checked as
/// `skylink verify` does. The promises are explained in docs/ledger.md.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    log: LogArgs,
    /// Print the findings as JSON.
    #[arg(long)]
    json: bool,
}

/// Prints what was found of each promise.
pub(super) fn run(arguments: &CheckArgs) -> anyhow::Result<Verdict> {
    let runtime = crate::runtime()?;
    let log = runtime.block_on(log::open(&arguments.log))?;
    let mut books = Books::default();
    let folded = fold_log(&runtime, &log, Bound::default(), |_, commit| {
        books.commit(commit);
        Ok(())
    });
    let Some(fold) = folded? else { return Ok(Verdict::FoundWrong) };
    let head = fold.head();
    books.close(head.position, fold.market());
    let stock = fold.check_stock();
    books.check(Invariant::I17, head.position, stock.is_ok(), || {
        stock.err().map(|fault| fault.to_string()).unwrap_or_default()
    });
    let is_good = books.findings().all(|(_, finding)| finding.broken.is_none());
    let mut output = Output::stdout();
    if arguments.json {
        let findings = books.findings().map(|(invariant, finding)| {
            json!({"invariant": invariant, "promise": invariant.promise(), "checked": finding.checked,
                "broken": finding.broken})
        });
        let findings: Vec<_> = findings.collect();
        output.json(&json!({"good": is_good, "findings": findings, "head": head}))?;
    } else {
        for (invariant, finding) in books.findings() {
            let name = format!("{invariant:?}");
            let (promise, checked) = (invariant.promise(), finding.checked);
            match finding.broken {
                None => output.line(format_args!("{name:<4} holds   {checked:>9} times  {promise}"))?,
                Some(broken) => output.line(format_args!(
                    "{name:<4} BROKEN  at position {}: {}  ({promise})",
                    broken.position, broken.what
                ))?,
            }
        }
        output.line(format_args!("head position {}, hash {}", head.position, head.hash))?;
    }
    output.flush()?;
    Ok(if is_good { Verdict::Done } else { Verdict::FoundWrong })
}
