//! `skylink console`: lets a browser sign in to the pages of a running market.

use std::path::Path;

use anyhow::Context;
use clap::Args;
use engine::keystore::KeyStore;
use events::ids::MarketName;
use serde_json::json;

use crate::Verdict;
use crate::client::http::{GatewayArgs, HttpClient};
use crate::log::DataArgs;
use crate::output::{Output, talk};
use crate::signing::sign_token_request;

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
    /// The key of an operator.
    #[arg(long, default_value = "operator", value_name = "NAME")]
    key: String,
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    gateway: GatewayArgs,
    /// The market that is asked.
    #[arg(long, default_value = "main", value_name = "NAME")]
    market: MarketName,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &ConsoleArgs) -> anyhow::Result<Verdict> {
    crate::runtime()?.block_on(sign_in(arguments))
}

async fn sign_in(arguments: &ConsoleArgs) -> anyhow::Result<Verdict> {
    let store = open(&arguments.data.data)?;
    let key = store.get(&arguments.key)?;
    let client = HttpClient::new(&arguments.gateway.url)?;
    let now = client.now().await;
    let signed = sign_token_request(&store, &key, &arguments.market, TOKEN_TTL_S, now)?;
    let refused = |problem: String| {
        talk(format_args!("The gateway lets key `{}` sign in nobody: {problem}.", arguments.key));
        Ok(Verdict::FoundWrong)
    };
    let token = match client.token(signed).await? {
        Ok(given) => {
            given["access_token"].as_str().context("the gateway's answer holds no token")?.to_owned()
        }
        Err(problem) => return refused(problem),
    };
    let given = match client.ask(SIGN_IN_CODES_PATH, &token, None).await? {
        Ok(given) => given,
        Err(problem) => return refused(problem),
    };
    let code = given["code"].as_str().context("the gateway's answer holds no code")?;
    // Behind `#`, so that the code is sent to no server before the page's form does.
    let address = format!("{}/sign-in#{code}", arguments.gateway.url.trim_end_matches('/'));
    let mut output = Output::stdout();
    if arguments.json {
        output.json(&json!({"address": address, "code": code, "expires_in": given["expires_in"]}))?;
    } else {
        output.line(format_args!("{address}"))?;
        output.flush()?;
        talk(format_args!(
            "Open it within {} s; it is good once. In a browser without scripts, give this code at {}/sign-in: {code}",
            given["expires_in"],
            arguments.gateway.url.trim_end_matches('/')
        ));
    }
    output.flush()?;
    Ok(Verdict::Done)
}

fn open(data: &Path) -> anyhow::Result<KeyStore> {
    KeyStore::open(&data.join("keys")).context("the folder of keys can't be used: name another with --data")
}
