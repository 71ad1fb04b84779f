//! The way to a running market, over HTTP or NATS, and the market's key to check its receipts with.

pub(crate) mod http;
mod nats;

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use commands::Refusal;
use commands::crypto::VerifyingKey;
use commands::market_key::{Announcement, follow};
use commands::receipt::{Receipt, ReceiptError, verify_receipt_with};
use commands::step_up::{Shown, write_header};
use engine::Reply;
use engine::clock::{Clock, WallClock};
use engine::keystore::{KeyStore, StoredKey};
use events::Timestamp;
use events::account::PublicKey;
use events::ids::MarketName;
use serde_json::{Value, json};

use crate::nats::NatsArgs;
use crate::signing::{Signed, Wish};

use self::http::{GatewayArgs, HttpClient};
use self::nats::NatsClient;

/// How long an answer is waited for.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);

/// Where the market is.
#[derive(Debug, Clone, clap::Args)]
#[command(mut_arg("NATS_URL", |arg| arg.conflicts_with("url")))]
pub(crate) struct MarketArgs {
    #[command(flatten)]
    pub(crate) gateway: GatewayArgs,
    #[command(flatten)]
    pub(crate) nats: NatsArgs,
    /// The market that the command is for.
    #[arg(long, default_value = "main", value_name = "NAME")]
    pub(crate) market: MarketName,
    /// A file with the market's public key as a JWK, or a set of them, to check receipts with; without it, the key in the data
    /// folder, or the one that the HTTP gateway publishes, which is then kept there. Keys that follow it are trusted too.
    #[arg(long, value_name = "FILE")]
    pub(crate) market_key: Option<PathBuf>,
}

/// What came back for a command.
#[derive(Debug)]
pub(crate) enum Answer {
    /// It was decided, and the receipt holds.
    Receipt(Box<Receipt>),
    /// It was not taken; this is what was said.
    Refused {
        /// The words.
        text: String,
        /// The JSON.
        json: Value,
    },
    /// It is not known what became of it.
    Unknown {
        /// Why.
        why: String,
    },
}

impl Answer {
    fn refused(refusal: &Refusal) -> Answer {
        let text = format!("{}: {refusal}", refusal.code());
        Answer::Refused { text, json: json!({ "refusal": refusal }) }
    }
}

/// The way to a market.
pub(crate) enum Client {
    /// Over HTTP.
    Http(HttpClient),
    /// Over NATS.
    Nats(Box<NatsClient>),
}

impl Client {
    /// Goes the way that was chosen; nothing is sent yet.
    pub(crate) async fn open(arguments: &MarketArgs) -> anyhow::Result<Client> {
        match &arguments.nats.url {
            None => Ok(Client::Http(HttpClient::new(&arguments.gateway.url)?)),
            Some(url) => Ok(Client::Nats(Box::new(NatsClient::open(url, arguments).await?))),
        }
    }

    /// Gives the time to sign with: the machine's, unless the market says that its own is simulated.
    pub(crate) async fn now(&self) -> Timestamp {
        match self {
            Client::Http(client) => client.now().await,
            Client::Nats(_) => WallClock.now(),
        }
    }

    /// Sends a signed command and checks the receipt it gets.
    pub(crate) async fn send(
        &self,
        signed: &Signed,
        wish: &Wish,
        key: &StoredKey,
        market_keys: &[VerifyingKey],
    ) -> anyhow::Result<Answer> {
        self.send_with(signed, wish, key, market_keys, None).await
    }

    /// Sends a signed command with a second factor beside it, if there is one, and checks the receipt it gets.
    pub(crate) async fn send_with(
        &self,
        signed: &Signed,
        wish: &Wish,
        key: &StoredKey,
        market_keys: &[VerifyingKey],
        shown: Option<&Shown>,
    ) -> anyhow::Result<Answer> {
        let step_up = shown.map(write_header);
        let (answer, url) = match self {
            Client::Http(client) => (client.send(signed, step_up, &wish.personal).await?, client.url()),
            Client::Nats(client) => (client.send(signed, wish, step_up).await?, client.url()),
        };
        if let Answer::Receipt(receipt) = &answer {
            self.check_holds(receipt, market_keys).await.with_context(|| {
                format!("the receipt does not hold; do not trust {url}: compare the market's key")
            })?;
            check(receipt, signed, wish, key, url)?;
        }
        Ok(answer)
    }

    /// Checks that a receipt holds. If it is signed with a key that is not trusted yet, the announcements of the market are
    /// followed from those that are.
    async fn check_holds(&self, receipt: &Receipt, market_keys: &[VerifyingKey]) -> anyhow::Result<()> {
        match verify_receipt_with(receipt, market_keys) {
            Err(ReceiptError::OtherKey) => {
                let mut trusted = trusted_again(market_keys)?;
                follow(&mut trusted, &receipt.receipt.market, &self.announcements().await?)?;
                Ok(verify_receipt_with(receipt, &trusted)?)
            }
            verdict => Ok(verdict?),
        }
    }

    /// Asks for the words that lead from each key of the market to the next.
    async fn announcements(&self) -> anyhow::Result<Vec<Announcement>> {
        match self {
            Client::Http(client) => client.announcements().await,
            Client::Nats(client) => client.announcements().await,
        }
    }
}

/// Takes the same keys once more.
fn trusted_again(keys: &[VerifyingKey]) -> anyhow::Result<Vec<VerifyingKey>> {
    keys.iter().map(|key| Ok(VerifyingKey::new(key.public())?)).collect()
}

/// Reads what an engine answers, by whatever way it came; nothing if it is something else.
fn understand_reply(body: &[u8]) -> Option<Answer> {
    Some(match Reply::from_json(body)? {
        Reply::Receipt(receipt) => Answer::Receipt(receipt),
        Reply::Refused(refusal) => Answer::refused(&refusal),
        Reply::Undecided => Answer::Unknown { why: "the market stopped before it had decided".to_owned() },
    })
}

/// Checks that a receipt is about what was asked.
fn check(receipt: &Receipt, signed: &Signed, wish: &Wish, key: &StoredKey, url: &str) -> anyhow::Result<()> {
    let body = &receipt.receipt;
    let same = body.account == key.account
        && body.command == wish.command_id
        && body.fingerprint == signed.fingerprint;
    if !same {
        bail!("the receipt holds but is about another command than {}: do not trust {url}", wish.command_id);
    }
    Ok(())
}

/// Reads a JWK, with or without the members that say what it is for.
pub(crate) fn public_key(jwk: &Value) -> anyhow::Result<PublicKey> {
    let mut jwk = jwk.clone();
    if let Some(members) = jwk.as_object_mut() {
        members.retain(|name, _| matches!(name.as_str(), "crv" | "kty" | "x" | "y"));
    }
    serde_json::from_value(jwk).context("this is no public key of a market")
}

/// Reads the public keys in a file that holds a JWK or a set of them.
pub(crate) fn read_keys(path: &Path) -> anyhow::Result<Vec<VerifyingKey>> {
    let text = fs::read_to_string(path)
        .with_context(|| format!("the market's key {} can't be read", path.display()))?;
    parse_keys(&text).with_context(|| format!("the market's key {}", path.display()))
}

/// Reads public keys from the text of a JWK, or of a set of them, all of which are trusted.
pub(crate) fn parse_keys(text: &str) -> anyhow::Result<Vec<VerifyingKey>> {
    let jwk: Value = serde_json::from_str(text).context("a JWK is a JSON object")?;
    let one = std::slice::from_ref(&jwk);
    let keys = jwk.get("keys").and_then(Value::as_array).map_or(one, Vec::as_slice);
    if keys.is_empty() {
        bail!("the set has no key");
    }
    keys.iter().map(|jwk| Ok(VerifyingKey::new(&public_key(jwk)?)?)).collect()
}

/// Reads the announcements in what GET /log/keys gives.
pub(crate) fn announcements(all: &Value) -> anyhow::Result<Vec<Announcement>> {
    serde_json::from_value(all["announcements"].clone()).context("there are no announcements of keys in it")
}

/// Finds the market's keys: those in the file named, the market's own in the same data folder, the one kept from an earlier
/// time, or the present one that the gateway publishes, which is kept from now on.
pub(crate) async fn market_keys(
    arguments: &MarketArgs,
    data: &Path,
    store: &KeyStore,
    client: &Client,
) -> anyhow::Result<Vec<VerifyingKey>> {
    if let Some(path) = &arguments.market_key {
        return read_keys(path);
    }
    let own = engine::market_keys::stored(store)?;
    if !own.is_empty() {
        return own.iter().map(|(_, own)| Ok(VerifyingKey::new(&own.public())?)).collect();
    }
    let kept = data.join("keys").join(format!("{}.market.jwk", arguments.market));
    if kept.exists() {
        return read_keys(&kept);
    }
    let Client::Http(client) = client else {
        bail!(
            "the key of market {} is not known in {}, and it is not published over NATS: name a file with it with \
             --market-key; `skylink keys show {} --jwk` prints it where the market runs",
            arguments.market,
            data.display(),
            gateway::node::RECEIPT_KEY
        );
    };
    // The present one comes first.
    let published = client.keys().await?;
    let [key, ..] = published.as_slice() else {
        bail!("the gateway publishes no key: name the market's own with --market-key FILE");
    };
    let verifying = VerifyingKey::new(key)?;
    keep(&kept, key).with_context(|| format!("the market's key can't be kept in {}", kept.display()))?;
    crate::output::talk(format_args!(
        "The key of market {} is kept in {} and trusted from now on: {}",
        arguments.market,
        kept.display(),
        verifying.id()
    ));
    Ok(vec![verifying])
}

/// Writes a key to a file that must not be there yet: a key once trusted is never replaced silently.
fn keep(path: &Path, key: &PublicKey) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    writeln!(file, "{}", serde_json::to_string(key)?)?;
    file.sync_all()
}
