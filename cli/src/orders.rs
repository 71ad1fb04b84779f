//! `skylink orders`: what somebody bought or sold, and what a seller is to do.

use anyhow::Context;
use clap::{Args, Subcommand};
use events::ids::AccountId;
use events::{Money, Position};
use reqwest::Url;
use serde_json::Value;

use crate::Verdict;
use crate::output::{Output, talk};
use crate::profile::{WhoArgs, ask};

/// What somebody bought or sold, and what a seller is to do, as a running market tells it.
#[derive(Debug, Args)]
pub(crate) struct OrdersArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Print orders, newest first.
    List(ListArgs),
    /// Print what a seller is to do and until when, the most urgent first, and what he has earned.
    Desk(DeskArgs),
}

#[derive(Debug, Args)]
struct ListArgs {
    /// As whom: `buyer` or `seller`.
    #[arg(long, default_value = "buyer", value_name = "ROLE")]
    role: String,
    /// Only those that are `open`, have `ended`, or are in one state, such as `placed`.
    #[arg(long, default_value = "all", value_name = "STATE")]
    state: String,
    #[command(flatten)]
    page: PageArgs,
}

#[derive(Debug, Args)]
struct DeskArgs {
    /// Only what is to be done of this sort, such as `ship`.
    #[arg(long, value_name = "TASK")]
    task: Option<String>,
    #[command(flatten)]
    page: PageArgs,
}

#[derive(Debug, Args)]
struct PageArgs {
    #[command(flatten)]
    who: WhoArgs,
    /// Whose, for operators; your own if absent.
    #[arg(long, value_name = "UUID")]
    account: Option<AccountId>,
    /// How many at most.
    #[arg(long, default_value_t = 20, value_name = "N")]
    limit: u32,
    /// Go on behind an earlier answer: what that said is `next_cursor`.
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
    /// Wait until what stands at this position of the log is known, such as that of a receipt.
    #[arg(long, default_value_t = 0, value_name = "N")]
    min_position: Position,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl PageArgs {
    /// Adds to a question which page is wanted, and asks it.
    async fn ask(&self, path: &str, more: &[(&str, Option<&str>)]) -> anyhow::Result<Result<Value, String>> {
        let (limit, position) = (self.limit.to_string(), self.min_position.to_string());
        let page = [
            ("limit", Some(limit.as_str())),
            ("cursor", self.cursor.as_deref()),
            ("min_position", Some(position.as_str())),
        ];
        let given = page.iter().chain(more).filter_map(|(name, value)| Some((*name, (*value)?)));
        // Only what is behind the host is asked for.
        let url = Url::parse_with_params(&format!("http://market{path}"), given)?;
        ask(&self.who, &format!("{path}?{}", url.query().unwrap_or_default())).await
    }
}

/// Asks and prints.
pub(crate) fn run(arguments: &OrdersArgs) -> anyhow::Result<Verdict> {
    crate::runtime()?.block_on(async {
        let (page, found, print): (_, _, fn(&mut Output, &Value) -> anyhow::Result<()>) =
            match &arguments.what {
                What::List(ListArgs { role, state, page }) => {
                    let account = page.account.map(|account| account.to_string());
                    let more = [
                        ("role", Some(role.as_str())),
                        ("state", Some(state.as_str())),
                        ("account", account.as_deref()),
                    ];
                    (page, page.ask("/v1/orders", &more).await?, list)
                }
                What::Desk(DeskArgs { task, page }) => {
                    let whose = page.account.map_or_else(|| "me".to_owned(), |account| account.to_string());
                    let path = format!("/v1/sellers/{whose}/desk");
                    (page, page.ask(&path, &[("task", task.as_deref())]).await?, desk)
                }
            };
        let found = match found {
            Ok(found) => found,
            Err(problem) => {
                talk(format_args!("The gateway does not tell: {problem}."));
                return Ok(Verdict::FoundWrong);
            }
        };
        let mut output = Output::stdout();
        if page.json {
            output.pretty(&found)?;
        } else {
            print(&mut output, &found)?;
        }
        output.flush()?;
        if let Some(cursor) = found["next_cursor"].as_str().filter(|_| !page.json) {
            talk(format_args!("There is more: give the same command with --cursor {cursor}"));
        }
        Ok(Verdict::Done)
    })
}

fn list(output: &mut Output, found: &Value) -> anyhow::Result<()> {
    for order in members(found, "orders") {
        let (placed_at, state) = (text(order, "placed_at_rfc3339"), text(order, "state"));
        let (number, total) = (name(order), money(&order["total"])?);
        output.line(format_args!("{placed_at:<24} {number:<36} {state:<19} {total:>16}"))?;
    }
    Ok(())
}

fn desk(output: &mut Output, found: &Value) -> anyhow::Result<()> {
    for task in members(found, "tasks") {
        let (due, what, number) = (text(task, "due_rfc3339"), text(task, "task"), name(task));
        let units: u64 = members(task, "lines").filter_map(|line| line["quantity"].as_u64()).sum();
        let units = if units == 0 { String::new() } else { format!("{units} units") };
        output.line(format_args!("{due:<24} {what:<15} {number:<36} {units}"))?;
    }
    for chargeback in members(found, "chargebacks") {
        let (id, amount) = (text(chargeback, "chargeback"), money(&chargeback["amount"])?);
        output.line(format_args!("a bank disputes {amount}: {id}"))?;
    }
    for count in members(found, "counts") {
        let more = if count["is_more"] == true { " or more" } else { "" };
        output.line(format_args!("{:<15} {:>6}{more}", text(count, "task"), count["orders"]))?;
    }
    for (member, what) in [("available", "earned"), ("reserve", "kept for a while"), ("receivable", "owed")] {
        for amount in members(found, member) {
            output.line(format_args!("{what:<16} {:>16}", money(amount)?))?;
        }
    }
    Ok(())
}

fn members<'a>(of: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    of[name].as_array().into_iter().flatten()
}

fn text<'a>(of: &'a Value, name: &str) -> &'a str {
    of[name].as_str().unwrap_or_default()
}

/// Gives an order's number or, of one from before there were numbers, its id.
fn name(order: &Value) -> &str {
    order["number"].as_str().unwrap_or_else(|| text(order, "order"))
}

fn money(value: &Value) -> anyhow::Result<String> {
    let money: Money = serde_json::from_value(value.clone()).context("the gateway tells no amount")?;
    Ok(money.to_string())
}
