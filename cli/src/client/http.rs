//! Commands over HTTP.

use anyhow::Context;
use commands::market_key::Announcement;
use commands::personal::{Personal, write_header};
use commands::receipt::Receipt;
use engine::clock::{Clock, WallClock};
use engine::keystore::{KeyStore, StoredKey};
use events::Timestamp;
use events::account::PublicKey;
use events::ids::MarketName;
use reqwest::{StatusCode, Url};
use serde_json::Value;

use crate::log::DataArgs;
use crate::signing::{Signed, sign_token_request};

use super::{ANSWER_TIME_MAX, Answer, announcements, public_key, understand_reply};

/// Where signed commands are taken.
const COMMANDS_PATH: &str = "/v1/commands";
/// Where the market's public keys are published.
const KEYS_PATH: &str = "/.well-known/jwks.json";
/// Where the gateway says what leads from one key of the market to the next.
const ANNOUNCEMENTS_PATH: &str = "/log/keys";

/// Where the market tells its time.
const TIME_PATH: &str = "/v1/time";

/// Where tokens are given.
const TOKENS_PATH: &str = "/v1/tokens";

/// Where the market's gateway is.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct GatewayArgs {
    /// The market's HTTP gateway.
    #[arg(long, default_value = "http://127.0.0.1:8080", value_name = "URL", value_parser = gateway_url)]
    pub(crate) url: String,
}

/// Which operator asks which market, over HTTP.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct OperatorArgs {
    /// The key of an operator.
    #[arg(long, default_value = "operator", value_name = "NAME")]
    pub(crate) key: String,
    #[command(flatten)]
    pub(crate) data: DataArgs,
    #[command(flatten)]
    pub(crate) gateway: GatewayArgs,
    /// The market that is asked.
    #[arg(long, default_value = "main", value_name = "NAME")]
    pub(crate) market: MarketName,
}

impl OperatorArgs {
    /// Gets a token that is good for some seconds; gives it with who takes it, or why there is none.
    pub(crate) async fn access(&self, ttl_s: u64) -> anyhow::Result<Result<(HttpClient, String), String>> {
        let store = KeyStore::open(&self.data.data.join("keys"))
            .context("the folder of keys can't be used: name another with --data")?;
        let key = store.get(&self.key)?;
        let client = HttpClient::new(&self.gateway.url)?;
        let given = client.access(&store, &key, &self.market, ttl_s).await?;
        Ok(given.map(|token| (client, token)))
    }
}

/// Takes the URL of a gateway.
fn gateway_url(text: &str) -> Result<String, String> {
    let is_http = text.parse::<Url>().is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
    is_http.then(|| text.to_owned()).ok_or_else(|| {
        "a gateway's URL is such as http://127.0.0.1:8080; a NATS server's goes with --nats".to_owned()
    })
}

/// A market's HTTP gateway.
pub(crate) struct HttpClient {
    http: reqwest::Client,
    url: String,
}

impl HttpClient {
    /// Names the gateway; nothing is sent yet.
    pub(crate) fn new(url: &str) -> anyhow::Result<HttpClient> {
        let http = reqwest::Client::builder().timeout(ANSWER_TIME_MAX).build()?;
        Ok(HttpClient { http, url: url.trim_end_matches('/').to_owned() })
    }

    /// Gives the gateway's URL.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Gives the time to sign with. Only where a market says that its time is simulated it is believed: a gateway that could
    /// choose the time could have commands signed that are good only later.
    pub(crate) async fn now(&self) -> Timestamp {
        let asked = self.http.get(format!("{}{TIME_PATH}", self.url)).send().await;
        // A gateway that does not say is an older one, or is not there, which the next request tells better.
        let Ok(Ok(answer)) = asked.map(reqwest::Response::error_for_status) else { return WallClock.now() };
        let told: Value = answer.json().await.unwrap_or_default();
        match told["time"].as_i64() {
            Some(ms) if told["simulated"] == true => Timestamp::from_ms(ms),
            _ => WallClock.now(),
        }
    }

    /// Sends a signed command.
    pub(super) async fn send(
        &self,
        signed: &Signed,
        step_up: Option<String>,
        personal: &[Personal],
    ) -> anyhow::Result<Answer> {
        let url = format!("{}{COMMANDS_PATH}", self.url);
        let kind = if signed.bytes.starts_with('{') { "application/json" } else { "application/jose" };
        let mut request = self.http.post(&url).header("content-type", kind).body(signed.bytes.clone());
        if let Some(step_up) = step_up {
            request = request.header("Skylink-Step-Up", step_up);
        }
        if !personal.is_empty() {
            request = request.header("Skylink-Personal", write_header(personal));
        }
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
        Ok(understand(status, &body))
    }

    /// Asks for an access token with a signed request; gives the answer, or why there is none.
    pub(crate) async fn token(&self, signed: String) -> anyhow::Result<Result<Value, String>> {
        let url = format!("{}{TOKENS_PATH}", self.url);
        let request = self.http.post(&url).header("content-type", "application/jose").body(signed);
        self.answer_to(request).await
    }

    /// Gets an access token for a key that is good for some seconds; gives it, or why there is none.
    pub(crate) async fn access(
        &self,
        store: &KeyStore,
        key: &StoredKey,
        market: &MarketName,
        ttl_s: u64,
    ) -> anyhow::Result<Result<String, String>> {
        let signed = sign_token_request(store, key, market, ttl_s, self.now().await)?;
        let given = match self.token(signed).await? {
            Ok(given) => given,
            Err(problem) => return Ok(Err(problem)),
        };
        let token = given["access_token"].as_str().context("the gateway's answer holds no token")?;
        Ok(Ok(token.to_owned()))
    }

    /// Asks a question with an access token; gives the answer, or why there is none.
    pub(crate) async fn question(&self, path: &str, token: &str) -> anyhow::Result<Result<Value, String>> {
        self.answer_to(self.http.get(format!("{}{path}", self.url)).bearer_auth(token)).await
    }

    /// Asks with an access token for something that is no command, by POST; gives the answer, or why there is none.
    pub(crate) async fn ask(
        &self,
        path: &str,
        token: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Result<Value, String>> {
        let mut request = self.http.post(format!("{}{path}", self.url)).bearer_auth(token);
        if let Some(body) = body {
            request = request.json(body);
        }
        self.answer_to(request).await
    }

    /// Asks with an access token for the end of something, by DELETE; gives the answer, or why there is none.
    pub(crate) async fn end(&self, path: &str, token: &str) -> anyhow::Result<Result<Value, String>> {
        self.answer_to(self.http.delete(format!("{}{path}", self.url)).bearer_auth(token)).await
    }

    async fn answer_to(&self, request: reqwest::RequestBuilder) -> anyhow::Result<Result<Value, String>> {
        let response = request.send().await.with_context(|| {
            format!("{} can't be reached: start the market with `skylink up` or name it with --url", self.url)
        })?;
        let status = response.status();
        let body = response.bytes().await.context("the answer broke off: ask again")?;
        let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
        Ok(if status.is_success() { Ok(answer) } else { Err(problem_text(status, &answer)) })
    }

    /// Asks for the keys of the market that are live, the present one first.
    pub(crate) async fn keys(&self) -> anyhow::Result<Vec<PublicKey>> {
        let published = self.published(KEYS_PATH).await?;
        let keys = published["keys"].as_array().context("the gateway gives no key set")?;
        keys.iter().map(public_key).collect()
    }

    /// Asks for the words that lead from each key of the market to the next.
    pub(super) async fn announcements(&self) -> anyhow::Result<Vec<Announcement>> {
        announcements(&self.published(ANNOUNCEMENTS_PATH).await?)
    }

    async fn published(&self, path: &str) -> anyhow::Result<Value> {
        let url = format!("{}{path}", self.url);
        let response = self.http.get(&url).send().await.and_then(reqwest::Response::error_for_status);
        let body = response
            .with_context(|| {
                format!(
                    "the market's key can't be fetched from {url}: start the market with `skylink up`, name it with \
                     --url, or name a file with the key with --market-key"
                )
            })?
            .bytes()
            .await?;
        serde_json::from_slice(&body).with_context(|| format!("{url} gives no JSON"))
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
    if let Some(answer) = understand_reply(body) {
        return answer;
    }
    let problem: Value = serde_json::from_slice(body).unwrap_or_default();
    if let Some(receipt) = problem.get("receipt").map(Value::to_string)
        && let Ok(receipt) = Receipt::from_json(receipt.as_bytes())
    {
        return Answer::Receipt(Box::new(receipt));
    }
    let text = problem_text(status, &problem);
    // Whatever else went wrong there, the command may have been decided.
    let is_refusal = status.is_client_error() || problem["code"] == "busy";
    if is_refusal { Answer::Refused { text, json: problem } } else { Answer::Unknown { why: text } }
}

/// Says what an answer that is not what was asked for says.
fn problem_text(status: StatusCode, problem: &Value) -> String {
    let part = |name: &str| problem.get(name).and_then(Value::as_str);
    match (part("code"), part("detail").or(part("title"))) {
        (Some(code), Some(detail)) => format!("{code}: {detail}"),
        (Some(text), None) | (None, Some(text)) => text.to_owned(),
        (None, None) => format!("the answer was {status}, which is none of a market"),
    }
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
