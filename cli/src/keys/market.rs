//! `skylink keys rotate-market` and `retire-market`: the market's own key, in two commands with an overlap between them.

use anyhow::{Context, bail};
use clap::Args;
use commands::command::{RetireMarketKey, RotateMarketKey};
use commands::crypto::VerifyingKey;
use commands::market_key::Announcement;
use engine::keystore::{KeyStore, KeyStoreError, StoredKey};
use engine::market_keys::{name_of, stored};
use events::account::{Algorithm, PublicKey};
use events::ids::MarketName;
use gateway::node::REGISTRAR_KEY;

use crate::Verdict;
use crate::client::http::{GatewayArgs, HttpClient};
use crate::client::{self, Client, MarketArgs};
use crate::log::DataArgs;
use crate::nats::NatsArgs;
use crate::output::{Output, talk};
use crate::signing::{Form, Wish, sign_wish};

#[derive(Debug, Args)]
pub(super) struct MarketKeyArgs {
    /// The key that gives the command, of the registrar or an operator.
    #[arg(long, default_value = REGISTRAR_KEY, value_name = "NAME")]
    by: String,
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    gateway: GatewayArgs,
    /// The market.
    #[arg(long, default_value = "main", value_name = "NAME")]
    market: MarketName,
    /// Print the receipt as JSON.
    #[arg(long)]
    json: bool,
}

/// What both commands begin with.
struct Change<'a> {
    arguments: &'a MarketKeyArgs,
    store: KeyStore,
    by: StoredKey,
    client: Client,
    trusted: Vec<VerifyingKey>,
    /// The keys that are live, the present one first.
    live: Vec<PublicKey>,
}

impl Change<'_> {
    async fn begin(arguments: &MarketKeyArgs) -> anyhow::Result<Change<'_>> {
        let store = super::open(&arguments.data)?;
        let by = store.get(&arguments.by)?;
        let live = HttpClient::new(&arguments.gateway.url)?.keys().await?;
        let market = MarketArgs {
            gateway: arguments.gateway.clone(),
            nats: NatsArgs::default(),
            market: arguments.market.clone(),
            market_key: None,
        };
        let client = Client::open(&market).await?;
        let trusted = client::market_keys(&market, &arguments.data.data, &store, &client).await?;
        Ok(Change { arguments, store, by, client, trusted, live })
    }

    async fn send(&self, wish: &Wish, again: &str, output: &mut Output) -> anyhow::Result<Verdict> {
        let now = self.client.now().await;
        let signed = sign_wish(&self.store, &self.by, &self.arguments.market, wish, Form::Jws, now)?;
        let answer = self.client.send(&signed, wish, &self.by, &self.trusted).await?;
        crate::send::report(answer, wish, again, self.arguments.json.then_some(output))
    }
}

/// Makes a new key for the market, has the present one announce it, and gives both words to the market.
pub(super) async fn rotate(arguments: &MarketKeyArgs, output: &mut Output) -> anyhow::Result<Verdict> {
    let mut change = Change::begin(arguments).await?;
    let current = *change.live.first().context("the gateway publishes no key of the market")?;
    if let Some(previous) = change.live.get(1) {
        talk(format_args!(
            "Key {} is still live beside the present one: retire it first with `skylink keys retire-market`.",
            previous.id()
        ));
        return Ok(Verdict::FoundWrong);
    }
    let own = stored(&change.store)?;
    let Some((number, present)) = own.into_iter().find(|(_, key)| key.public() == current) else {
        bail!(
            "the market's present key {} is not in {}: only where its secret is can a new one be announced",
            current.id(),
            arguments.data.data.join("keys").display()
        );
    };
    let name = name_of(number + 1);
    // One that is there was made by a try that was not answered.
    let new = match change.store.get(&name) {
        Err(KeyStoreError::Unknown { .. }) => change.store.make(&name, Algorithm::EdDsa, None)?,
        found => found?,
    };
    // The receipt will be signed with it.
    change.trusted.push(VerifyingKey::new(&new.public())?);
    let words = Announcement::sign(&arguments.market, &present.signing(), &new.signing());
    let Announcement { announcement, proof } = words;
    let wish = Wish::new(RotateMarketKey { announcement, proof });
    let again = "see GET /log/keys for the present key, and give `skylink keys rotate-market` again if it is the old one";
    let verdict = change.send(&wish, again, output).await?;
    if verdict == Verdict::Done {
        talk(format_args!(
            "Key {name}, {}, signs the market's receipts from now on. When all who check receipts know it, retire the one \
             before it with `skylink keys retire-market`.",
            new.public().id()
        ));
    }
    Ok(verdict)
}

/// Retires the key before the market's present one.
pub(super) async fn retire(arguments: &MarketKeyArgs, output: &mut Output) -> anyhow::Result<Verdict> {
    let change = Change::begin(arguments).await?;
    let Some(previous) = change.live.get(1) else {
        talk(format_args!(
            "There is no key before the market's present one that is live: nothing is to be retired."
        ));
        return Ok(Verdict::FoundWrong);
    };
    let key = previous.id();
    let wish = Wish::new(RetireMarketKey { key });
    let again = "give `skylink keys retire-market` again";
    let verdict = change.send(&wish, again, output).await?;
    if verdict == Verdict::Done {
        let own = stored(&change.store)?.into_iter().find(|(_, stored)| stored.public() == *previous);
        let name = own.map_or(String::new(), |(_, stored)| format!(" {}", stored.name));
        talk(format_args!(
            "Key{name} {key} signs nothing any more. What it signed still holds; nobody needs its secret, whose file can be \
             removed from every key store."
        ));
    }
    Ok(verdict)
}
