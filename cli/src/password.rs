//! `skylink password`: sets or removes the password with which somebody signs in without a device.

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use commands::command::{RemovePassword, SetPassword};
use serde_json::json;

use crate::Verdict;
use crate::factors::GiveArgs;
use crate::step_up::ask_line;

/// How long the token is good that a password is given with, in seconds.
const TOKEN_TTL_S: u64 = 60;

/// Set or remove the password with which an account's owner signs in without a device.
///
/// Either ends all of the account's sessions. What the account has as a second factor must approve it: name that with --step-up.
#[derive(Debug, Args)]
pub(crate) struct PasswordArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Set it, in place of the one before. It is the first line of standard input.
    Set(GiveArgs),
    /// Remove it.
    Remove(GiveArgs),
}

/// Sets or removes it.
pub(crate) fn run(arguments: &PasswordArgs) -> anyhow::Result<Verdict> {
    crate::runtime()?.block_on(async {
        match &arguments.action {
            Action::Set(giver) => set(giver).await,
            Action::Remove(giver) => {
                let store = giver.store()?;
                Ok(giver.give(&store, RemovePassword { account: None }.into()).await?.0)
            }
        }
    })
}

async fn set(giver: &GiveArgs) -> anyhow::Result<Verdict> {
    let (store, http, token) = giver.access(TOKEN_TTL_S).await?;
    let password = ask_line("The new password, which is shown as you type:")?;
    let kept = match http.ask("/v1/sign-in/password", &token, Some(&json!({ "password": password }))).await? {
        Ok(kept) => kept,
        Err(why) => bail!("the market does not take this password: {why}"),
    };
    let password = kept["password"].as_str().and_then(|id| id.parse().ok());
    let password = password.context("the gateway does not say how it names the password")?;
    Ok(giver.give(&store, SetPassword { password }.into()).await?.0)
}
