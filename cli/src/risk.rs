//! `skylink risk`: the rules of risk in force, and rules tried out on a log.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use commands::envelope::verify_command;
use commands::risk::backtest::{Backtest, Count, Report};
use engine::keys::KeyRing;
use events::metadata::Cause;
use events::risk::rules::{Outcome, RuleSet};
use events::{Event, Position};
use futures::StreamExt;
use serde_json::json;

use crate::Verdict;
use crate::audit::fold_log;
use crate::log::{self, Bound, LogArgs};
use crate::output::{Output, talk};

/// The rules of risk in force, and rules tried out on a log.
#[derive(Debug, Args)]
pub(crate) struct RiskArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    // What each is for is said where its arguments are.
    Rules(RulesArgs),
    Backtest(BacktestArgs),
}

/// Print the rules that are in force at the end of a log, and a proposal that waits for a second operator.
#[derive(Debug, Args)]
struct RulesArgs {
    #[command(flatten)]
    log: LogArgs,
}

/// Try rules out on a log: how each purchase would have been judged, against what it turned out to be.
#[derive(Debug, Args)]
struct BacktestArgs {
    #[command(flatten)]
    log: LogArgs,
    /// The rules: a file with the body of `risk.set_rules`, or with its `rules` alone.
    #[arg(long, value_name = "FILE")]
    rules: PathBuf,
    /// Up to this position, and with it.
    #[arg(long, value_name = "POSITION")]
    to: Option<Position>,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// Does what was asked for.
pub(crate) fn run(arguments: &RiskArgs) -> anyhow::Result<Verdict> {
    match &arguments.what {
        What::Rules(arguments) => rules(arguments),
        What::Backtest(arguments) => backtest(arguments),
    }
}

fn rules(arguments: &RulesArgs) -> anyhow::Result<Verdict> {
    crate::runtime()?.block_on(async {
        let log = log::open(&arguments.log).await?;
        let (mut set, mut proposed) = (None, None);
        let mut commits = log.events().read(1);
        while let Some(commit) = commits.next().await {
            for recorded in log::next(commit)?.events() {
                match &recorded.event {
                    Event::RiskRulesSet(event) => (set, proposed) = (Some(event.clone()), None),
                    Event::RiskRulesProposed(event) => proposed = Some(event.clone()),
                    _ => {}
                }
            }
        }
        if set.is_none() && proposed.is_none() {
            talk(format_args!("There are no rules: operators set some with `risk.set_rules`."));
            return Ok(Verdict::FoundWrong);
        }
        let mut output = Output::stdout();
        output.pretty(&json!({"in_force": set, "proposed": proposed}))?;
        output.flush()?;
        Ok(Verdict::Done)
    })
}

fn read_rules(path: &Path) -> anyhow::Result<RuleSet> {
    let text = std::fs::read_to_string(path).with_context(|| format!("{} can't be read", path.display()))?;
    let value: serde_json::Value =
        serde_json::from_str(&text).with_context(|| format!("{} is no JSON", path.display()))?;
    let alone = if value["rules"].is_object() { &value["rules"] } else { &value };
    let rules: RuleSet = serde_json::from_value(alone.clone())
        .with_context(|| format!("{} holds no rules as docs/risk.md describes them", path.display()))?;
    if let Err(rule) = rules.check() {
        bail!("the rules in {} can't be set: {rule}", path.display());
    }
    Ok(rules)
}

fn backtest(arguments: &BacktestArgs) -> anyhow::Result<Verdict> {
    let mut backtest = Backtest::new(read_rules(&arguments.rules)?);
    let runtime = crate::runtime()?;
    let log = runtime.block_on(log::open(&arguments.log))?;
    let (market, keys) = (log.market(), KeyRing::default());
    let bound = Bound { position: arguments.to, time: None };
    let folded = fold_log(&runtime, &log, bound, |_, commit| {
        let verified = match &commit.start().cause {
            Cause::Command(stamp) if Backtest::is_purchase(commit) => {
                Some(verify_command(stamp.signed.as_bytes(), &market, None, &keys)?)
            }
            _ => None,
        };
        backtest.follow(commit, verified.as_ref());
        for (account, key) in commit.events().iter().filter_map(|recorded| recorded.event.registered_key()) {
            keys.add(account, key)?;
        }
        Ok(())
    })?;
    if folded.is_none() {
        return Ok(Verdict::FoundWrong);
    }
    let report = backtest.report();
    let mut output = Output::stdout();
    if arguments.json {
        output.pretty(&report)?;
    } else {
        print(&mut output, &report)?;
    }
    output.flush()?;
    Ok(Verdict::Done)
}

fn print(output: &mut Output, report: &Report) -> anyhow::Result<()> {
    let row = |output: &mut Output, name: &str, count: &Count| {
        let Count { all, fraud, good } = count;
        output.line(format_args!("{name:<40} {all:>10} {fraud:>10} {good:>10}"))
    };
    output.line(format_args!(
        "{:<40} {:>10} {:>10} {:>10}",
        "would have been done", "purchases", "fraud", "good"
    ))?;
    for outcome in [Outcome::Allow, Outcome::Challenge, Outcome::Review, Outcome::Block] {
        let count = report.outcomes.get(&outcome).copied().unwrap_or_default();
        row(output, &outcome.to_string(), &count)?;
    }
    row(output, "all", &report.purchases)?;
    output.line(format_args!(""))?;
    output.line(format_args!(
        "{:<40} {:>10} {:>10}",
        "of what is known to be fraud or good", "precision", "recall"
    ))?;
    for (name, least) in [
        ("blocked", Outcome::Block),
        ("blocked or reviewed", Outcome::Review),
        ("blocked, reviewed or challenged", Outcome::Challenge),
    ] {
        let (precision, recall) = (report.from(least).precision(), report.recall(least));
        output.line(format_args!("{name:<40} {:>10} {:>10}", percent(precision), percent(recall)))?;
    }
    output.line(format_args!(""))?;
    output
        .line(format_args!("{:<40} {:>10} {:>10} {:>10}", "rule that held", "purchases", "fraud", "good"))?;
    for (rule, count) in &report.rules {
        row(output, rule.as_str(), count)?;
    }
    output.line(format_args!(""))?;
    output.line(format_args!(
        "{:<40} {:>10} {:>10} {:>10}",
        "otherwise than was done", "purchases", "fraud", "good"
    ))?;
    for change in &report.changes {
        let was = change.was.map_or_else(|| "not judged".to_owned(), |was| was.to_string());
        row(output, &format!("{was} -> {}", change.would_be), &change.count)?;
    }
    Ok(())
}

/// Writes tenths of a percent.
fn percent(tenths: Option<u64>) -> String {
    tenths.map_or_else(|| "-".to_owned(), |tenths| format!("{}.{} %", tenths / 10, tenths % 10))
}
