//! `skylink views`: how far the views of a running market are, and building them again from the log.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::Verdict;
use crate::client::http::{HttpClient, OperatorArgs};
use crate::output::{Output, talk};

/// Where views are listed.
const VIEWS_PATH: &str = "/v1/views";
/// Where a rebuild is asked for and cancelled.
const REBUILD_PATH: &str = "/v1/views/rebuild";
/// How often it is asked how far a rebuild is.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(500);
/// How long a token is good, in seconds: rebuilds that take longer are followed by asking again.
const TOKEN_TTL_S: u64 = 3600;

/// Show how far the views of a running market are; build them again from the log; give that up.
#[derive(Debug, Args)]
pub(crate) struct ViewsArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Print the views, and the rebuild that runs or the last one.
    List(ListArgs),
    /// Build views again beside the live ones, which then give way, and wait for it.
    ///
    /// Whether a view was what the log says is found out on the way. Exit code 1: one was not, or it could not be done.
    Rebuild(RebuildArgs),
    /// Give up the rebuild that runs; the views are left as they are.
    Cancel(ListArgs),
}

#[derive(Debug, Args)]
struct ListArgs {
    #[command(flatten)]
    operator: OperatorArgs,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct RebuildArgs {
    /// Which views; all if none is named.
    #[arg(value_name = "VIEW")]
    views: Vec<String>,
    /// Do not wait for its end.
    #[arg(long)]
    no_wait: bool,
    #[command(flatten)]
    common: ListArgs,
}

/// Does it.
pub(crate) fn run(arguments: &ViewsArgs) -> anyhow::Result<Verdict> {
    crate::runtime()?.block_on(async {
        let (What::List(common) | What::Cancel(common) | What::Rebuild(RebuildArgs { common, .. })) =
            &arguments.what;
        let (client, token) = match common.operator.access(TOKEN_TTL_S).await? {
            Ok(access) => access,
            Err(problem) => return Ok(refused(&problem)),
        };
        match &arguments.what {
            What::List(_) => match client.question(VIEWS_PATH, &token).await? {
                Ok(views) => list(&views, common.json),
                Err(problem) => Ok(refused(&problem)),
            },
            What::Cancel(_) => match client.end(REBUILD_PATH, &token).await? {
                Ok(rebuild) => ended(&rebuild, common.json).map(|_| Verdict::Done),
                Err(problem) => Ok(refused(&problem)),
            },
            What::Rebuild(arguments) => rebuild(arguments, &client, &token).await,
        }
    })
}

fn refused(problem: &str) -> Verdict {
    talk(format_args!("The gateway does not do that: {problem}."));
    Verdict::FoundWrong
}

fn list(views: &Value, is_json: bool) -> anyhow::Result<Verdict> {
    let mut output = Output::stdout();
    if is_json {
        output.json(views)?;
    } else {
        for view in views["views"].as_array().into_iter().flatten() {
            let name = view["view"].as_str().unwrap_or_default();
            let number = |name: &str| view[name].as_u64().unwrap_or_default();
            let (position, behind) = (number("position"), number("behind"));
            let stopped = view["stopped"].as_str().map(|reason| format!(", stopped: {reason}"));
            let stopped = stopped.unwrap_or_default();
            output.line(format_args!("{name:<16} {position:>12} {behind:>8} behind{stopped}"))?;
        }
        if !views["rebuild"].is_null() {
            output.line(format_args!("{}", told(&views["rebuild"])))?;
        }
    }
    output.flush()?;
    Ok(Verdict::Done)
}

async fn rebuild(arguments: &RebuildArgs, client: &HttpClient, token: &str) -> anyhow::Result<Verdict> {
    let asked = json!({ "views": arguments.views });
    let mut rebuild = match client.ask(REBUILD_PATH, token, Some(&asked)).await? {
        Ok(rebuild) => rebuild,
        Err(problem) => return Ok(refused(&problem)),
    };
    let begun_at = rebuild["begun_at"].clone();
    while !arguments.no_wait && rebuild["state"] == "running" {
        talk(format_args!("{}", told(&rebuild)));
        tokio::time::sleep(PROGRESS_INTERVAL).await;
        match client.question(VIEWS_PATH, token).await? {
            Ok(views) if views["rebuild"]["begun_at"] == begun_at => rebuild = views["rebuild"].clone(),
            Ok(_) => anyhow::bail!("the market was started anew meanwhile: its views are as they were"),
            Err(problem) => return Ok(refused(&problem)),
        }
    }
    ended(&rebuild, arguments.common.json)
}

/// Prints a rebuild, and tells whether all is well with it.
fn ended(rebuild: &Value, is_json: bool) -> anyhow::Result<Verdict> {
    let mut output = Output::stdout();
    if is_json {
        output.json(rebuild)?;
    } else {
        output.line(format_args!("{}", told(rebuild)))?;
        for found in rebuild["found"].as_array().into_iter().flatten() {
            let name = found["view"].as_str().unwrap_or_default();
            let was = if found["was_equal"] == true {
                "was what the log says"
            } else {
                "WAS NOT what the log says, and is mended: report it"
            };
            output.line(format_args!("{name:<12} {:>12} {was}", found["position"]))?;
        }
    }
    output.flush()?;
    let found = rebuild["found"].as_array();
    let is_well = matches!(rebuild["state"].as_str(), Some("done" | "running"))
        && found.is_none_or(|found| found.iter().all(|found| found["was_equal"] == true));
    Ok(if is_well { Verdict::Done } else { Verdict::FoundWrong })
}

/// Says where a rebuild stands.
fn told(rebuild: &Value) -> String {
    let views: Vec<_> = rebuild["views"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let (views, read, of) = (views.join(", "), &rebuild["read"], &rebuild["of"]);
    match rebuild["state"].as_str().unwrap_or_default() {
        "running" => {
            let left =
                rebuild["left_s"].as_u64().map_or_else(String::new, |left| format!(", about {left} s left"));
            format!("Building again {views}: {read} of {of} events read{left}.")
        }
        "done" => format!("Built again: {views}, from {read} events."),
        "cancelled" => format!("Cancelled after {read} of {of} events: {views}."),
        _ => {
            format!("Not built again: {}.", rebuild["why"].as_str().unwrap_or("the gateway does not say why"))
        }
    }
}
