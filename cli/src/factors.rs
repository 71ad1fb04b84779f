//! `skylink factors`: enrolls the codes of an app, or recovery codes, as second factors of an account.

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use commands::Command;
use commands::command::{EnrollRecovery, EnrollTotp};
use commands::receipt::Outcome;
use commands::step_up::RECOVERY_CODES;
use engine::keystore::KeyStore;
use events::step_up::RecoveryShown;
use serde_json::{Value, json};

use crate::Verdict;
use crate::client::http::HttpClient;
use crate::client::{self, Answer, Client, MarketArgs};
use crate::log::DataArgs;
use crate::output::{Output, talk};
use crate::send;
use crate::signing::{Form, Wish, sign_wish};
use crate::step_up::{StepUpArgs, ask};

/// How long the token is good that a secret is asked for with, in seconds.
const TOKEN_TTL_S: u64 = 900;
/// How often a first code may be typed.
const FIRST_CODES_MAX: u32 = 3;
/// What recovery codes are written with: no letter or digit that looks like another.
const LETTERS: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
/// Letters of a recovery code: 100 bits, which nobody can try out.
const CODE_LETTERS: usize = 20;
/// Letters between two hyphens.
const GROUP_LETTERS: usize = 5;

/// Enroll codes that approve commands where the market asks for a second factor.
///
/// What an account has already must approve it: name that with --step-up.
#[derive(Debug, Args)]
pub(crate) struct FactorsArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Enroll an app that makes a code every half a minute (RFC 6238), in place of the one before.
    ///
    /// Its secret goes to standard output, once; its first code is read from standard input.
    App(GiveArgs),
    /// Make recovery codes, each good once, in place of those before. They go to standard output, once.
    Recovery(GiveArgs),
}

/// Who gives a command, and what approves it.
#[derive(Debug, Args)]
pub(crate) struct GiveArgs {
    /// The key to sign with.
    #[arg(long, value_name = "NAME")]
    key: String,
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    market: MarketArgs,
    #[command(flatten)]
    step_up: StepUpArgs,
}

impl GiveArgs {
    /// Gets a token of whoever gives the command, over HTTP: what is secret is not sent through a broker.
    pub(crate) async fn access(&self, ttl_s: u64) -> anyhow::Result<(KeyStore, HttpClient, String)> {
        if self.market.nats.url.is_some() {
            bail!("a secret is given over HTTP only: name the gateway with --url");
        }
        let store = self.store()?;
        let http = HttpClient::new(&self.market.gateway.url)?;
        let token = http.access(&store, &store.get(&self.key)?, &self.market.market, ttl_s).await?;
        let token = token.map_err(|why| anyhow::anyhow!("the market takes no secret: {why}"))?;
        Ok((store, http, token))
    }

    /// Opens the folder of keys.
    pub(crate) fn store(&self) -> anyhow::Result<KeyStore> {
        KeyStore::open(&self.data.data.join("keys"))
            .context("the folder of keys can't be used: name another with --data")
    }

    /// Gives a command, and tells whether it was accepted.
    pub(crate) async fn give(&self, store: &KeyStore, command: Command) -> anyhow::Result<(Verdict, bool)> {
        let (key, market) = (store.get(&self.key)?, &self.market);
        let wish = Wish::new(command);
        let client = Client::open(market).await?;
        let market_keys = client::market_keys(market, &self.data.data, store, &client).await?;
        let now = client.now().await;
        let signed = sign_wish(store, &key, &market.market, &wish, Form::Jws, now)?;
        let answer = self.step_up.send(&client, &signed, &wish, &key, &market_keys).await?;
        let is_accepted =
            matches!(&answer, Answer::Receipt(receipt) if receipt.receipt.outcome == Outcome::Accepted);
        let name = wish.command.name();
        let body: Value = wish.command.body();
        let again = format!(
            "skylink send --key {} --cid {} - <<<'{}'",
            self.key,
            wish.command_id,
            json!({"command": name, "body": body})
        );
        Ok((send::report(answer, &wish, &again, None)?, is_accepted))
    }
}

/// Enrolls.
pub(crate) fn run(arguments: FactorsArgs) -> anyhow::Result<Verdict> {
    match arguments.action {
        Action::App(arguments) => crate::runtime()?.block_on(app(&arguments)),
        Action::Recovery(arguments) => crate::runtime()?.block_on(recovery(&arguments)),
    }
}

async fn app(arguments: &GiveArgs) -> anyhow::Result<Verdict> {
    let (store, http, token) = arguments.access(TOKEN_TTL_S).await?;
    let told = |why: String| anyhow::anyhow!("the market gives no secret: {why}");
    let begun = http.ask("/v1/factors/app", &token, None).await?.map_err(told)?;
    let member = |name: &str| begun[name].as_str().with_context(|| format!("the gateway gives no {name}"));
    let authenticator = member("authenticator")?;
    let mut output = Output::stdout();
    output.line(format_args!("{}\n{}", member("secret")?, member("uri")?))?;
    output.flush()?;
    for tries_left in (0..FIRST_CODES_MAX).rev() {
        let code = ask("Give the secret to the app. Its present code:")?;
        let first = json!({ "authenticator": authenticator, "code": code });
        match http.ask("/v1/factors/app/confirm", &token, Some(&first)).await? {
            Ok(_) => break,
            Err(why) if tries_left == 0 => {
                talk(format_args!("The app was not enrolled: {why}."));
                return Ok(Verdict::FoundWrong);
            }
            Err(why) => talk(format_args!("{why}.")),
        }
    }
    let authenticator = authenticator.parse().context("the gateway names no app")?;
    arguments.give(&store, EnrollTotp { authenticator }.into()).await.map(|(verdict, _)| verdict)
}

async fn recovery(arguments: &GiveArgs) -> anyhow::Result<Verdict> {
    let store = arguments.store()?;
    let account = store.get(&arguments.key)?.account;
    let codes: Vec<String> = (0..RECOVERY_CODES.1).map(|_| new_code()).collect();
    let commitments = codes.iter().map(|code| RecoveryShown::of(code).commitment(account)).collect();
    let (verdict, is_enrolled) = arguments.give(&store, EnrollRecovery { commitments }.into()).await?;
    if is_enrolled {
        let mut output = Output::stdout();
        for code in codes {
            output.line(format_args!("{code}"))?;
        }
        output.flush()?;
        talk(format_args!("Each is good once. Keep them where the app and the device are not."));
    }
    Ok(verdict)
}

/// Makes a recovery code.
fn new_code() -> String {
    let bytes: [u8; CODE_LETTERS] = rand::random();
    let letters: Vec<u8> = bytes.iter().map(|byte| LETTERS[usize::from(byte % 32)]).collect();
    let groups: Vec<String> =
        letters.chunks(GROUP_LETTERS).map(|group| String::from_utf8_lossy(group).into_owned()).collect();
    groups.join("-")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn recovery_codes_are_long_and_each_another() {
        let codes: BTreeSet<String> = (0..100).map(|_| new_code()).collect();
        assert_eq!(codes.len(), 100);
        for code in codes {
            assert_eq!(code.len(), CODE_LETTERS + CODE_LETTERS / GROUP_LETTERS - 1, "{code}");
            assert!(code.bytes().all(|letter| letter == b'-' || LETTERS.contains(&letter)), "{code}");
        }
    }
}
