//! The way to a running market over HTTP, and the market's key to check its receipts with.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use commands::crypto::VerifyingKey;
use commands::receipt::{Receipt, verify_receipt};
use engine::keystore::{KeyStore, StoredKey};
use engine::{Reply, keystore::KeyStoreError};
use events::account::PublicKey;
use events::ids::MarketName;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::signing::{Signed, Wish};

/// Where signed commands are taken.
const COMMANDS_PATH: &str = "/v1/commands";
/// Where the market's public keys are published.
const KEYS_PATH: &str = "/.well-known/jwks.json";
/// How long an answer is waited for.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);

/// Where the market is.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct MarketArgs {
    /// The market's HTTP gateway.
    #[arg(long, default_value = "http://127.0.0.1:8080", value_name = "URL")]
    pub(crate) url: String,
    /// The market that the command is for.
    #[arg(long, default_value = "main", value_name = "NAME")]
    pub(crate) market: MarketName,
    /// The market's public key as a JWK, to check receipts with; without it, the one in the data folder, or the one
    /// that the gateway publishes, which is then kept there.
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

/// A market's gateway.
pub(crate) struct Client {
    http: reqwest::Client,
    url: String,
}

impl Client {
    /// Names the gateway; nothing is sent yet.
    pub(crate) fn new(url: &str) -> anyhow::Result<Client> {
        let http = reqwest::Client::builder().timeout(ANSWER_TIME_MAX).build()?;
        Ok(Client { http, url: url.trim_end_matches('/').to_owned() })
    }

    /// Sends a signed command and checks the receipt it gets.
    pub(crate) async fn send(
        &self,
        signed: &Signed,
        wish: &Wish,
        key: &StoredKey,
        market_key: &VerifyingKey,
    ) -> anyhow::Result<Answer> {
        let url = format!("{}{COMMANDS_PATH}", self.url);
        let kind = if signed.bytes.starts_with('{') { "application/json" } else { "application/jose" };
        let request = self.http.post(&url).header("content-type", kind).body(signed.bytes.clone());
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) if error.is_connect() || error.is_builder() => {
                return Err(error).with_context(|| {
                    format!("{} can't be reached: start the market with `skylink up` or name it with --url; nothing was sent", self.url)
                });
            }
            Err(error) => return Ok(Answer::Unknown { why: no_answer(error) }),
        };
        let status = response.status();
        let body = match response.bytes().await {
            Ok(body) => body,
            Err(error) => return Ok(Answer::Unknown { why: no_answer(error) }),
        };
        let answer = understand(status, &body);
        if let Answer::Receipt(receipt) = &answer {
            check(receipt, signed, wish, key, market_key)?;
        }
        Ok(answer)
    }

    /// Asks for the keys the market publishes.
    async fn keys(&self) -> anyhow::Result<Vec<PublicKey>> {
        let url = format!("{}{KEYS_PATH}", self.url);
        let response = self.http.get(&url).send().await.and_then(reqwest::Response::error_for_status);
        let body = response
            .with_context(|| format!("the market's key can't be fetched from {url}"))?
            .bytes()
            .await?;
        let published: Value =
            serde_json::from_slice(&body).with_context(|| format!("{url} gives no JSON"))?;
        let keys = published["keys"].as_array().with_context(|| format!("{url} gives no key set"))?;
        keys.iter().map(public_key).collect()
    }
}

fn no_answer(error: reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("there was no answer within {} s", ANSWER_TIME_MAX.as_secs());
    }
    format!("the connection was lost: {}", error.without_url())
}

/// Reads an answer: a receipt, as it is or, of a rejected command, inside a problem of RFC 9457; or a problem.
fn understand(status: StatusCode, body: &[u8]) -> Answer {
    match Reply::from_json(body) {
        Some(Reply::Receipt(receipt)) => return Answer::Receipt(receipt),
        Some(Reply::Refused(refusal)) => {
            let text = format!("{}: {refusal}", refusal.code());
            return Answer::Refused { text, json: json!({ "refusal": refusal }) };
        }
        Some(Reply::Undecided) => {
            return Answer::Unknown { why: "the market stopped before it had decided".to_owned() };
        }
        None => {}
    }
    let problem: Value = serde_json::from_slice(body).unwrap_or_default();
    if let Some(receipt) = problem.get("receipt").map(Value::to_string)
        && let Ok(receipt) = Receipt::from_json(receipt.as_bytes())
    {
        return Answer::Receipt(Box::new(receipt));
    }
    let part = |name: &str| problem.get(name).and_then(Value::as_str);
    let text = match (part("code"), part("detail").or(part("title"))) {
        (Some(code), Some(detail)) => format!("{code}: {detail}"),
        (Some(text), None) | (None, Some(text)) => text.to_owned(),
        (None, None) => format!("the answer was {status}, which is no receipt"),
    };
    // Whatever else went wrong there, the command may have been decided.
    let is_refusal = status.is_client_error() || part("code") == Some("busy");
    if is_refusal { Answer::Refused { text, json: problem } } else { Answer::Unknown { why: text } }
}

/// Checks that a receipt holds, and that it is about what was asked.
fn check(
    receipt: &Receipt,
    signed: &Signed,
    wish: &Wish,
    key: &StoredKey,
    market_key: &VerifyingKey,
) -> anyhow::Result<()> {
    verify_receipt(receipt, market_key)
        .context("the receipt does not hold; do not trust this gateway: compare the market's key")?;
    let body = &receipt.receipt;
    let same = body.account == key.account
        && body.command == wish.command_id
        && body.fingerprint == signed.fingerprint;
    if !same {
        bail!(
            "the receipt holds but is about another command than {}: do not trust this gateway",
            wish.command_id
        );
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

/// Reads a public key from a file that holds a JWK.
pub(crate) fn read_key(path: &Path) -> anyhow::Result<VerifyingKey> {
    let text = fs::read_to_string(path)
        .with_context(|| format!("the market's key {} can't be read", path.display()))?;
    parse_key(&text).with_context(|| format!("the market's key {}", path.display()))
}

/// Reads a public key from the text of a JWK.
pub(crate) fn parse_key(text: &str) -> anyhow::Result<VerifyingKey> {
    let jwk: Value = serde_json::from_str(text).context("a JWK is a JSON object")?;
    Ok(VerifyingKey::new(&public_key(&jwk)?)?)
}

/// Finds the market's key: the file named, the market's own in the same data folder, the one kept from an earlier
/// time, or the one the gateway publishes, which is kept from now on.
pub(crate) async fn market_key(
    arguments: &MarketArgs,
    data: &Path,
    store: &KeyStore,
    client: &Client,
) -> anyhow::Result<VerifyingKey> {
    if let Some(path) = &arguments.market_key {
        return read_key(path);
    }
    match store.get(gateway::node::RECEIPT_KEY) {
        Ok(own) => return Ok(VerifyingKey::new(&own.public())?),
        Err(KeyStoreError::Unknown { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let kept = data.join("keys").join(format!("{}.market.jwk", arguments.market));
    if kept.exists() {
        return read_key(&kept);
    }
    let published = client.keys().await?;
    let [key] = published.as_slice() else {
        bail!("the gateway publishes {} keys: name the market's own with --market-key FILE", published.len());
    };
    let verifying = VerifyingKey::new(key)?;
    keep(&kept, key).with_context(|| format!("the market's key can't be kept in {}", kept.display()))?;
    crate::output::talk(format_args!(
        "The key of market {} is kept in {} and trusted from now on: {}",
        arguments.market,
        kept.display(),
        verifying.id()
    ));
    Ok(verifying)
}

/// Writes a key to a file that must not be there yet: a key once trusted is never replaced silently.
fn keep(path: &Path, key: &PublicKey) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    writeln!(file, "{}", serde_json::to_string(key)?)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_a_refusal_only_where_nothing_can_have_happened() {
        let busy = r#"{"code": "busy", "detail": "later", "status": 503}"#;
        let unknown = r#"{"code": "outcome_unknown", "detail": "nobody knows yet", "status": 504}"#;
        let cases = [
            (
                401,
                r#"{"code": "sig_invalid", "detail": "the signature is wrong"}"#,
                true,
                "sig_invalid: the signature is wrong",
            ),
            (503, busy, true, "busy: later"),
            (503, r#"{"code": "unavailable", "detail": "x"}"#, false, "unavailable: x"),
            (504, unknown, false, "outcome_unknown: nobody knows yet"),
            (502, "<html>", false, "502 Bad Gateway"),
            (200, "{}", false, "200 OK"),
            (200, r#"{"refusal": {"code": "kid_unknown"}}"#, true, "kid_unknown"),
            (200, r#"{"undecided": true}"#, false, "stopped"),
        ];
        for (status, body, is_refusal, expected) in cases {
            let status = StatusCode::from_u16(status).unwrap();
            let (refused, text) = match understand(status, body.as_bytes()) {
                Answer::Refused { text, .. } => (true, text),
                Answer::Unknown { why } => (false, why),
                Answer::Receipt(_) => panic!("{body} is no receipt"),
            };
            assert_eq!(refused, is_refusal, "{status} {body}");
            assert!(text.contains(expected), "{text}");
        }
    }
}
