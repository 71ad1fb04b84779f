//! `skylink console`: lets a browser sign in to the pages of a running market.

use anyhow::Context;
use clap::Args;
use serde_json::json;

use crate::Verdict;
use crate::client::http::OperatorArgs;
use crate::output::{Output, talk};

/// Where codes are given that sign a browser in.
const SIGN_IN_CODES_PATH: &str = "/v1/sign-in-codes";
/// How long the token is good that the code is asked for with, in seconds.
const TOKEN_TTL_S: u64 = 60;

/// Print an address that signs a browser in to the market's pages, with an operator's key.
///
/// The address is good once, and for two minutes. The browser then stays signed in for twelve hours at most; what it may see is
/// decided anew each time, by what the account may do then.
#[derive(Debug, Args)]
pub(crate) struct ConsoleArgs {
    #[command(flatten)]
    operator: OperatorArgs,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &ConsoleArgs) -> anyhow::Result<Verdict> {
    crate::runtime()?.block_on(sign_in(arguments))
}

async fn sign_in(arguments: &ConsoleArgs) -> anyhow::Result<Verdict> {
    let OperatorArgs { key, gateway, .. } = &arguments.operator;
    let url = gateway.url.trim_end_matches('/');
    let refused = |problem: String| {
        talk(format_args!("The gateway lets key `{key}` sign in nobody: {problem}."));
        Ok(Verdict::FoundWrong)
    };
    let (client, token) = match arguments.operator.access(TOKEN_TTL_S).await? {
        Ok(access) => access,
        Err(problem) => return refused(problem),
    };
    let given = match client.ask(SIGN_IN_CODES_PATH, &token, None).await? {
        Ok(given) => given,
        Err(problem) => return refused(problem),
    };
    let code = given["code"].as_str().context("the gateway's answer holds no code")?;
    // Behind `#`, so that the code is sent to no server before the page's form does.
    let address = format!("{url}/sign-in#{code}");
    let mut output = Output::stdout();
    if arguments.json {
        output.json(&json!({"address": address, "code": code, "expires_in": given["expires_in"]}))?;
    } else {
        output.line(format_args!("{address}"))?;
        output.flush()?;
        talk(format_args!(
            "Open it within {} s; it is good once. In a browser without scripts, give this code at {url}/sign-in: {code}",
            given["expires_in"],
        ));
    }
    output.flush()?;
    Ok(Verdict::Done)
}
