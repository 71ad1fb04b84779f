//! `skylink reconcile`: what a provider says it has moved, compared with what the ledger says, and told to the operators.

mod compare;
mod file;
mod ledger;
mod stripe;

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use commands::command::{
    BREAKS_PER_REPORT_MAX, CURRENCIES_PER_REPORT_MAX, FoundBreak, ReportReconciliation, Text,
};
use engine::keystore::{KeyStore, StoredKey};
use events::ids::AccountId;
use events::reconciliation::{Break, Total};
use events::{Hash, Money, Position, Timestamp};
use gateway::node::PROVIDER_KEY;
use serde_json::json;

use crate::Verdict;
use crate::audit::fold_log;
use crate::client::http::GatewayArgs;
use crate::client::{self, Client, MarketArgs};
use crate::log::{self, Bound, LogArgs};
use crate::nats::NatsArgs;
use crate::output::{Output, talk};
use crate::signing::{Form, Wish, sign_wish};

use self::compare::{Comparison, Question, compare};
use self::file::{FILE_BYTES_MAX, Format, Period, ProviderFile};
use self::ledger::Ours;

/// Most bytes of what a report says: signed and encoded it is a third longer, and has to fit into a command.
const REPORT_BYTES_MAX: usize = 20 * 1024;

/// Compare what a provider says it has moved with what the ledger says.
///
/// The file is Stripe's itemized report of its balance or of its payouts, or any provider's in SkyLink's plain form; which, is
/// told by its first line. The log is checked as `skylink verify` does. Without --report nothing is changed anywhere. The exit
/// code is 1 if anything differs. docs/reconciliation.md explains what is compared and how.
#[derive(Debug, Args)]
pub(crate) struct ReconcileArgs {
    /// The provider's file.
    file: PathBuf,
    /// The provider: its name, such as stripe, where the market's keys are in the data folder; or its account.
    #[arg(long, value_name = "NAME|ACCOUNT")]
    provider: String,
    /// Compare since this time, such as 2025-07-29T00:00:00Z; without it, since the file's own beginning. Stripe's reports do not
    /// say theirs.
    #[arg(long, value_name = "TIME", value_parser = Timestamp::parse_rfc3339)]
    from: Option<Timestamp>,
    /// Compare before this time; without it, until the file's own end.
    #[arg(long, value_name = "TIME", value_parser = Timestamp::parse_rfc3339)]
    to: Option<Timestamp>,
    /// How far the provider and the ledger may be apart in time: what is nearer to an edge of the period is judged by another file.
    #[arg(long, default_value_t = 60, value_name = "MINUTES", value_parser = clap::value_parser!(u32).range(0..=10_080))]
    grace_minutes: u32,
    /// Tell the market what was found, over HTTP, signed with this operator's key: breaks are items for operators from then on.
    #[arg(long, value_name = "KEY")]
    report: Option<String>,
    /// Print what was found as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    log: LogArgs,
    #[command(flatten)]
    gateway: GatewayArgs,
    /// A file with the market's public key as a JWK, to check the report's receipt with.
    #[arg(long, value_name = "FILE", requires = "report")]
    market_key: Option<PathBuf>,
}

/// What was compared, and what was found.
struct Found {
    provider: AccountId,
    file: Hash,
    format: Format,
    period: Period,
    compared_to: Position,
    comparison: Comparison,
    totals: Vec<Total>,
}

/// Compares, prints and reports.
pub(crate) fn run(arguments: &ReconcileArgs) -> anyhow::Result<Verdict> {
    let bytes = read_file(&arguments.file)?;
    let file = file::read(&bytes)
        .with_context(|| format!("{} can't be compared, and nothing was done", arguments.file.display()))?;
    let period = period(arguments, &file)?;
    let provider = provider(arguments)?;
    let runtime = crate::runtime()?;
    let log = runtime.block_on(log::open(&arguments.log))?;
    let mut ours = Ours::new(provider);
    let folded = fold_log(&runtime, &log, Bound::default(), |_, commit| {
        ours.commit(commit);
        Ok(())
    });
    let Some(fold) = folded? else { return Ok(Verdict::FoundWrong) };
    if fold.market().accounts.get(provider).is_none() {
        bail!("account {provider} is not registered in market {}: name another --provider", log.market());
    }
    let grace_ms = i64::from(arguments.grace_minutes) * 60_000;
    let question = Question { file: &file, ours: &ours, period, grace_ms, log_ends: fold.market().time };
    let comparison = compare(&question);
    let found = Found {
        provider,
        file: Hash::of(&bytes),
        format: file.format,
        period,
        compared_to: fold.head().position,
        totals: totals(&comparison)?,
        comparison,
    };
    print(&found, arguments.json)?;
    if let Some(key) = &arguments.report {
        let market = log.market();
        let gateway = arguments.gateway.clone();
        let market_key = arguments.market_key.clone();
        let market = MarketArgs { gateway, nats: NatsArgs::default(), market, market_key };
        let said = runtime.block_on(report(&found, key, &arguments.log.data.data, &market))?;
        if said == Verdict::FoundWrong {
            return Ok(said);
        }
    }
    Ok(if found.comparison.breaks.is_empty() { Verdict::Done } else { Verdict::FoundWrong })
}

fn read_file(path: &Path) -> anyhow::Result<Vec<u8>> {
    let unread = || format!("{} can't be read", path.display());
    let length = std::fs::metadata(path).with_context(unread)?.len();
    if length > FILE_BYTES_MAX {
        bail!("{} has more than {FILE_BYTES_MAX} bytes: compare shorter periods", path.display());
    }
    std::fs::read(path).with_context(unread)
}

/// Tells what is compared: the file's own period, or a part of it that was asked for.
fn period(arguments: &ReconcileArgs, file: &ProviderFile) -> anyhow::Result<Period> {
    let period = match (file.period, arguments.from, arguments.to) {
        (Some(own), from, until) => {
            let asked = Period { from: from.unwrap_or(own.from), until: until.unwrap_or(own.until) };
            if asked.from < own.from || asked.until > own.until {
                bail!("the file is about {} to {} only: name times within", own.from, own.until);
            }
            asked
        }
        (None, Some(from), Some(until)) => Period { from, until },
        (None, ..) => bail!(
            "Stripe's reports do not say what time they are about: give the one this was made for with --from and --to"
        ),
    };
    if period.from >= period.until {
        bail!("{} is not before {}: give --from before --to", period.from, period.until);
    }
    Ok(period)
}

/// Finds the provider's account by its name or its key's, or takes it.
fn provider(arguments: &ReconcileArgs) -> anyhow::Result<AccountId> {
    if let Ok(account) = arguments.provider.parse() {
        return Ok(account);
    }
    let dir = arguments.log.data.data.join("keys");
    let store = if dir.is_dir() { Some(KeyStore::open(&dir)?) } else { None };
    let names = [format!("{PROVIDER_KEY}{}", arguments.provider), arguments.provider.clone()];
    let known = names.iter().find_map(|name| store.as_ref()?.get(name).ok());
    known.map(|key| key.account).with_context(|| {
        format!(
            "the account of provider {} is not known in {}: name the market's folder with --data, or the account with --provider",
            arguments.provider,
            dir.display()
        )
    })
}

fn totals(comparison: &Comparison) -> anyhow::Result<Vec<Total>> {
    let within = |minor: i128, currency| {
        let minor = i64::try_from(minor).ok().filter(|minor| minor.unsigned_abs() <= Money::MINOR_MAX as u64);
        minor
            .map(|minor| Money::new(minor, currency))
            .context("a total is too large: compare shorter periods")
    };
    let totals = comparison.totals.iter().map(|(currency, sums)| {
        Ok(Total {
            fees: within(sums.fees, *currency)?,
            ours: within(sums.ours, *currency)?,
            theirs: within(sums.theirs, *currency)?,
        })
    });
    totals.collect()
}

fn print(found: &Found, as_json: bool) -> anyhow::Result<()> {
    let Found { provider, file, format, period, compared_to, comparison, totals } = found;
    let Comparison { matched, in_flight, not_covered, breaks, .. } = comparison;
    let mut output = Output::stdout();
    if as_json {
        output.json(&json!({
            "provider": provider, "file": file, "format": format, "from": period.from, "until": period.until,
            "compared_to": compared_to, "matched": matched, "in_flight": in_flight, "not_covered": not_covered,
            "breaks": breaks, "totals": totals, "good": breaks.is_empty(),
        }))?;
        return Ok(output.flush()?);
    }
    output.line(format_args!(
        "provider {provider}, {} to {}, compared to position {compared_to}",
        period.from, period.until
    ))?;
    output.line(format_args!("file {file}"))?;
    for Total { fees, ours, theirs } in totals {
        output.line(format_args!("ledger {ours}, provider {theirs}, of which it kept {fees} as fees"))?;
    }
    for one in breaks {
        let Break { at, difference, kind, position, reference } = one;
        let class = difference.class().word();
        let place = position.map_or(String::new(), |position| format!(" (position {position})"));
        output.line(format_args!("BREAK  {class:<21}  {at}  {kind} {reference}: {difference}{place}"))?;
    }
    if *not_covered > 0 {
        output.line(format_args!(
            "{not_covered} movements of the ledger are of kinds that such a file has not: compare the provider's other report too"
        ))?;
    }
    output.line(format_args!("{matched} the same, {in_flight} in flight, {} breaks", breaks.len()))?;
    Ok(output.flush()?)
}

/// Tells the market what was found.
async fn report(found: &Found, key: &str, data: &Path, market: &MarketArgs) -> anyhow::Result<Verdict> {
    let store = KeyStore::open(&data.join("keys"))
        .context("the folder of keys can't be used: name another with --data")?;
    let key: StoredKey = store.get(key)?;
    let report = to_report(found)?;
    let (listed, unlisted) = (report.breaks.as_slice().len(), report.unlisted);
    let wish = Wish::new(report);
    let client = Client::open(market).await?;
    let market_keys = client::market_keys(market, data, &store, &client).await?;
    let now = client.now().await;
    let signed = sign_wish(&store, &key, &market.market, &wish, Form::Jws, now)?;
    let answer = client.send(&signed, &wish, &key, &market_keys).await?;
    let verdict = crate::send::report(answer, &wish, "the same `skylink reconcile`", None)?;
    if unlisted > 0 && verdict == Verdict::Done {
        talk(format_args!(
            "A report names {BREAKS_PER_REPORT_MAX} breaks at most: this one the {listed} oldest, and {unlisted} more are not \
             named. Report shorter periods of the file with --from and --to."
        ));
    }
    Ok(verdict)
}

/// Makes the command of what was found: with as many breaks as fit.
fn to_report(found: &Found) -> anyhow::Result<ReportReconciliation> {
    let Found { provider, file, period, compared_to, comparison, totals, .. } = found;
    let named: Vec<FoundBreak> =
        comparison.breaks.iter().take(BREAKS_PER_REPORT_MAX).map(found_break).collect::<Result<_, _>>()?;
    if totals.len() > CURRENCIES_PER_REPORT_MAX {
        bail!("a report has {CURRENCIES_PER_REPORT_MAX} currencies at most: report shorter periods");
    }
    for count in (0..=named.len()).rev() {
        let breaks = named.get(..count).unwrap_or_default().to_vec();
        let unlisted = u32::try_from(comparison.breaks.len() - count).context("there are too many breaks")?;
        let report = ReportReconciliation {
            breaks: breaks.try_into().map_err(anyhow::Error::msg)?,
            compared_to: *compared_to,
            file: *file,
            from: period.from,
            in_flight: comparison.in_flight,
            matched: comparison.matched,
            provider: *provider,
            totals: totals.clone().try_into().map_err(anyhow::Error::msg)?,
            unlisted,
            until: period.until,
        };
        if serde_json::to_vec(&report)?.len() <= REPORT_BYTES_MAX {
            return Ok(report);
        }
    }
    bail!("the report is too long for a command: report shorter periods with --from and --to")
}

fn found_break(found: &Break) -> anyhow::Result<FoundBreak> {
    let Break { at, difference, kind, position, ref reference } = *found;
    let wrong = |rule| anyhow::Error::msg(format!("the reference of a break can't be reported: {rule}"));
    let reference = Text::try_from(reference.clone()).map_err(wrong)?;
    Ok(FoundBreak { at, difference, kind, position, reference })
}
