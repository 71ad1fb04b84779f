//! `skylink story`: plays a written story through a whole market, with its clock moved on by the story.

mod script;
mod stage;

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use events::Event;
use events::metadata::Cause;
use futures::StreamExt;
use serde_json::json;

use crate::Verdict;
use crate::audit;
use crate::ledger::Books;
use crate::output::{Output, talk};

use self::script::Story;
use self::stage::Stage;

/// Play a story through a whole market, and print its timeline and its ledger.
///
/// A story is a TOML file: people, what they ask for, how time passes, and what must come of it; those in stories/ show how.
/// It is played by a new market in a folder that is removed afterwards: commands are signed, the log is written, and
/// deadlines come as the story's clock moves. At the end the log is checked as `skylink verify` and `skylink ledger check`
/// do. Exit code 1: something came out otherwise than the story says.
#[derive(Debug, Args)]
pub(crate) struct StoryArgs {
    /// The story.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Print one JSON object: title, timeline, balances, findings.
    #[arg(long)]
    json: bool,
}

/// What a story came to.
struct Ending {
    /// One line for each event since everyone was registered.
    timeline: Vec<String>,
    /// Account and amount.
    balances: Vec<(String, String)>,
    /// What is not as it should be.
    wrong: Option<String>,
}

/// Plays the story.
pub(crate) fn run(arguments: &StoryArgs) -> anyhow::Result<Verdict> {
    let story = Story::read(&arguments.file)?;
    let dir = tempfile::tempdir().context("there is no room for the story's market")?;
    let runtime = crate::runtime()?;
    let ending = runtime.block_on(play(&story, dir.path()))?;
    let mut output = Output::stdout();
    if arguments.json {
        let balances =
            ending.balances.iter().map(|(account, amount)| json!({"account": account, "amount": amount}));
        let balances: Vec<_> = balances.collect();
        output.pretty(&json!({
            "title": story.title, "timeline": ending.timeline, "balances": balances, "wrong": ending.wrong,
        }))?;
    } else {
        output.line(format_args!("{}\n", story.title))?;
        for line in &ending.timeline {
            output.line(format_args!("{line}"))?;
        }
        output.line(format_args!("\nLedger"))?;
        for (account, amount) in &ending.balances {
            output.line(format_args!("{amount:>20}  {account}"))?;
        }
    }
    output.flush()?;
    match ending.wrong {
        None => Ok(Verdict::Done),
        Some(wrong) => {
            talk(format_args!("{wrong}"));
            Ok(Verdict::FoundWrong)
        }
    }
}

async fn play(story: &Story, dir: &std::path::Path) -> anyhow::Result<Ending> {
    let mut stage = Stage::set(story, dir).await?;
    let begin = stage.node().log().head().await?.position + 1;
    let mut wrong = None;
    for (step, number) in story.steps.iter().zip(1..) {
        if let Err(error) = stage.play(step).await {
            wrong = Some(format!("step {number}: {error:#}"));
            break;
        }
    }
    let log = stage.node().log();
    let mut commits = log.read(1);
    let (mut timeline, mut read) = (Vec::new(), Vec::new());
    while let Some(commit) = commits.next().await {
        let commit = commit?;
        for recorded in commit.events().iter().filter(|recorded| recorded.position >= begin) {
            let by = match &commit.start().cause {
                Cause::Command(stamp) => stage.with_names(&stamp.account.to_string()),
                Cause::Deadline(deadline) => format!("deadline {:?}", deadline.waiting.kind()),
                Cause::Writer(_) => "writer".to_owned(),
            };
            let about =
                recorded.metadata.subject.as_deref().map(|id| stage.with_names(id)).unwrap_or_default();
            let what = stage.with_names(&crate::tail::summary(&recorded.event));
            let (time, name) = (commit.time(), name(&recorded.event));
            timeline.push(format!("{time}  {by:<20}  {name:<22}  {about}: {what}"));
        }
        read.push(commit);
    }
    let balances = balances(&stage, &mut wrong, read)?;
    stage.clear().await?;
    Ok(Ending { timeline, balances, wrong })
}

fn name(event: &Event) -> &'static str {
    let name = event.type_name();
    name.rsplit_once(".v").map_or(name, |(name, _)| name)
}

/// Checks the log, and gives what every account holds.
fn balances(
    stage: &Stage,
    wrong: &mut Option<String>,
    commits: Vec<std::sync::Arc<events::Commit>>,
) -> anyhow::Result<Vec<(String, String)>> {
    let mut books = Books::default();
    let market = stage.node().market().clone();
    let commits = futures::stream::iter(commits.into_iter().map(Ok)).boxed();
    let fold = tokio::task::block_in_place(|| {
        audit::audit(&tokio::runtime::Handle::current(), &market, commits, |_, commit| {
            books.commit(commit);
            Ok(())
        })
    })?;
    books.close(fold.head().position, fold.market());
    let broken = books.findings().find_map(|(invariant, finding)| Some((invariant, finding.broken?)));
    if let Some((invariant, broken)) = broken {
        wrong.get_or_insert(format!(
            "{invariant:?} does not hold at position {}: {}",
            broken.position, broken.what
        ));
    }
    if let Err(fault) = fold.check_balances() {
        wrong.get_or_insert(fault.to_string());
    }
    let held = fold.market().ledger.balances();
    Ok(held.map(|(account, money)| (stage.with_names(&account.to_string()), money.to_string())).collect())
}
