//! `skylink profile`: what an account tells of whose it is, and its end.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use commands::Command;
use commands::command::{EraseAccount, SetProfile};
use commands::personal::{Personal, SALT_BYTES};
use engine::keystore::{KeyStore, StoredKey};
use events::Position;
use events::ids::AccountId;
use events::privacy::ProfileField;
use serde_json::Value;

use crate::Verdict;
use crate::client::http::HttpClient;
use crate::client::{self, Client, MarketArgs};
use crate::log::DataArgs;
use crate::output::{Output, talk};
use crate::send::report;
use crate::signing::{Form, Wish, sign_wish};

/// How long the token is good that a profile is read with, in seconds.
pub(crate) const TOKEN_TTL_S: u64 = 60;

/// Tell whose an account is, read it, or erase the account.
///
/// Signed commands and the log have salted hashes; the values go beside the command, over HTTP, and are kept encrypted
/// (docs/privacy.md).
#[derive(Debug, Args)]
pub(crate) struct ProfileArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Print the profile as JSON.
    Show(ShowArgs),
    /// Set fields; an empty value empties the field.
    Set(SetArgs),
    /// Erase an account for good: nothing personal of it can be read any more, and its devices sign nothing.
    Erase(EraseArgs),
}

#[derive(Debug, Args)]
struct ShowArgs {
    #[command(flatten)]
    who: WhoArgs,
    /// Whose, for operators; your own if absent.
    #[arg(long, value_name = "UUID")]
    account: Option<AccountId>,
    /// Wait until what stands at this position of the log is known, such as that of a receipt.
    #[arg(long, default_value_t = 0, value_name = "N")]
    min_position: Position,
}

#[derive(Debug, Args)]
struct SetArgs {
    #[command(flatten)]
    who: WhoArgs,
    /// A person's name.
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// An e-mail address.
    #[arg(long, value_name = "TEXT")]
    email: Option<String>,
    /// A telephone number.
    #[arg(long, value_name = "TEXT")]
    phone: Option<String>,
    /// A postal address.
    #[arg(long, value_name = "TEXT")]
    address: Option<String>,
    /// A firm's name.
    #[arg(long, value_name = "TEXT")]
    company: Option<String>,
    /// A number by which a tax office knows it.
    #[arg(long, value_name = "TEXT")]
    tax_number: Option<String>,
}

#[derive(Debug, Args)]
struct EraseArgs {
    #[command(flatten)]
    who: WhoArgs,
    /// Which, for operators; your own if absent.
    #[arg(long, value_name = "UUID")]
    account: Option<AccountId>,
    /// Say that you mean it.
    #[arg(long, required = true)]
    for_good: bool,
}

#[derive(Debug, Args)]
pub(crate) struct WhoArgs {
    /// The key to sign with.
    #[arg(long, value_name = "NAME")]
    pub(crate) key: String,
    #[command(flatten)]
    pub(crate) data: DataArgs,
    #[command(flatten)]
    pub(crate) market: MarketArgs,
}

impl WhoArgs {
    /// Gives the store, and the key in it.
    pub(crate) fn key(&self) -> anyhow::Result<(KeyStore, StoredKey)> {
        let store = KeyStore::open(&self.data.data.join("keys"))
            .context("the folder of keys can't be used: name another with --data")?;
        let key = store.get(&self.key)?;
        Ok((store, key))
    }
}

/// Does it.
pub(crate) fn run(arguments: ProfileArgs) -> anyhow::Result<Verdict> {
    let runtime = crate::runtime()?;
    match arguments.what {
        What::Show(arguments) => runtime.block_on(show(&arguments)),
        What::Set(arguments) => {
            let (command, personal) = set(&arguments)?;
            runtime.block_on(give(&arguments.who, Wish { personal, ..Wish::new(command) }))
        }
        What::Erase(EraseArgs { who, account, .. }) => {
            runtime.block_on(give(&who, Wish::new(EraseAccount { account })))
        }
    }
}

/// Makes the command, with salts of its own, and what goes beside it.
fn set(arguments: &SetArgs) -> anyhow::Result<(Command, Vec<Personal>)> {
    let SetArgs { name, email, phone, address, company, tax_number, .. } = arguments;
    let given = [
        (ProfileField::Name, name),
        (ProfileField::Email, email),
        (ProfileField::Phone, phone),
        (ProfileField::Address, address),
        (ProfileField::Company, company),
        (ProfileField::TaxNumber, tax_number),
    ];
    let (mut fields, mut personal) = (BTreeMap::new(), Vec::new());
    for (field, value) in given.into_iter().filter_map(|(field, value)| Some((field, value.as_ref()?))) {
        if value.is_empty() {
            fields.insert(field, None);
            continue;
        }
        let salt = rand::random::<[u8; SALT_BYTES]>();
        let value = Personal { salt, value: value.clone().into_bytes() };
        fields.insert(field, Some(value.hash()));
        personal.push(value);
    }
    if fields.is_empty() {
        bail!("nothing is to be set: name a field, such as --email");
    }
    Ok((SetProfile { fields }.into(), personal))
}

/// Gives a command with what goes beside it, and says what came of it.
pub(crate) async fn give(who: &WhoArgs, wish: Wish) -> anyhow::Result<Verdict> {
    let (store, key) = who.key()?;
    let client = Client::open(&who.market).await?;
    let market_keys = client::market_keys(&who.market, &who.data.data, &store, &client).await?;
    let now = client.now().await;
    let signed = sign_wish(&store, &key, &who.market.market, &wish, Form::Jws, now)?;
    let answer = client.send(&signed, &wish, &key, &market_keys).await?;
    report(answer, &wish, "give the same command again", None)
}

/// Asks a question, with a token of its own; gives the answer, or why there is none.
pub(crate) async fn ask(who: &WhoArgs, path: &str) -> anyhow::Result<Result<Value, String>> {
    let (store, key) = who.key()?;
    let client = HttpClient::new(&who.market.gateway.url)?;
    match client.access(&store, &key, &who.market.market, TOKEN_TTL_S).await? {
        Ok(token) => client.question(path, &token).await,
        Err(problem) => Ok(Err(problem)),
    }
}

async fn show(arguments: &ShowArgs) -> anyhow::Result<Verdict> {
    let ShowArgs { who, account, min_position } = arguments;
    let whose = account.map_or_else(|| "me".to_owned(), |account| account.to_string());
    match ask(who, &format!("/v1/accounts/{whose}/profile?min_position={min_position}")).await? {
        Ok(profile) => {
            let mut output = Output::stdout();
            output.pretty(&profile)?;
            output.flush()?;
            Ok(Verdict::Done)
        }
        Err(problem) => {
            talk(format_args!("The gateway does not tell: {problem}."));
            Ok(Verdict::FoundWrong)
        }
    }
}
