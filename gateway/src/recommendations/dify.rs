//! Dify, a server of applications of language models, puts in order what our own view recommends.
//!
//! Spoken is its documented interface (<https://docs.dify.ai>): `POST /v1/workflows/run` of a workflow, `POST /v1/chat-messages` of a
//! chat, each answered at once or as a stream of events. It is told what the listings are and why they are recommended, and a pseudonym of
//! who asks; nothing else of a person. What it answers is trusted in nothing: only listings that it was given count, each once, and
//! whatever it leaves out stands behind in our own order. When it is late, fails, or says nonsense, our own order stands.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use events::ids::ListingId;
use futures::StreamExt;
use projections::recommendation::{Reason, Recommended};
use reqwest::{Client, Response, StatusCode, Url};
use serde_json::{Value, json};

/// How long one answer may take, with its whole stream.
pub const ANSWER_TIME_MAX: Duration = Duration::from_millis(800);
/// Most bytes of an answer.
const ANSWER_BYTES_MAX: usize = 256 * 1024;
/// After so many failures in a row it is not asked for a while.
pub const FAILURES_MAX: u32 = 5;
/// For how long.
pub const PAUSE: Duration = Duration::from_secs(30);

/// Which kind of application is asked, and how it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Application {
    /// A workflow has an output `listings`; a chat answers with a list of ids in JSON.
    pub kind: Kind,
    /// Whether events are streamed; else the answer comes at once. Agents only stream.
    pub streams: bool,
}

/// A kind of application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `POST /v1/workflows/run`
    Workflow,
    /// `POST /v1/chat-messages`
    Chat,
}

/// Why Dify did not put anything in order.
#[derive(Debug, thiserror::Error)]
pub enum DifyError {
    /// It failed too often of late, and is not asked.
    #[error("it failed {FAILURES_MAX} times in a row, and is asked again in a moment")]
    Paused,
    /// It can't be reached, or broke off.
    #[error("it can't be reached: see that it runs and that its address is right")]
    Unreachable(#[from] reqwest::Error),
    /// It took too long.
    #[error("it did not answer in time: see what takes its application so long")]
    Late,
    /// It refused, or its application failed.
    #[error("it refused with {code}: {message}")]
    Refused {
        /// Its code, such as `invalid_param`.
        code: String,
        /// Its words, the first 200 characters.
        message: String,
    },
    /// Its answer is not of the documented form, or names no listing that it was given.
    #[error("it answered nothing that can be used: see that its application gives `listings`")]
    Useless,
}

/// Lets nobody ask who failed too often. Time is an argument.
#[derive(Debug, Default)]
struct Breaker {
    failures: u32,
    paused_until: Option<Instant>,
}

impl Breaker {
    /// Tells whether it may be asked; after the pause one may try, and the others wait for what he finds.
    fn may_ask(&mut self, now: Instant) -> bool {
        match self.paused_until {
            Some(until) if now < until => false,
            Some(_) => {
                self.paused_until = Some(now + PAUSE);
                true
            }
            None => true,
        }
    }

    fn heard(&mut self, is_well: bool, now: Instant) {
        if is_well {
            *self = Breaker::default();
            return;
        }
        self.failures = self.failures.saturating_add(1);
        if self.failures >= FAILURES_MAX {
            self.paused_until = Some(now + PAUSE);
        }
    }
}

/// An application of Dify.
pub struct Dify {
    client: Client,
    url: Url,
    key: String,
    application: Application,
    breaker: Mutex<Breaker>,
}

impl fmt::Debug for Dify {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Dify").field("url", &self.url.as_str()).finish_non_exhaustive()
    }
}

impl Dify {
    /// Names an application by the address of the server, without `/v1`, and the application's key.
    pub fn new(url: &Url, key: String, application: Application) -> Result<Dify, DifyError> {
        let path = match application.kind {
            Kind::Workflow => "v1/workflows/run",
            Kind::Chat => "v1/chat-messages",
        };
        let mut url = url.clone();
        url.set_path(&format!("{}/{path}", url.path().trim_end_matches('/')));
        Ok(Dify { client: Client::builder().build()?, url, key, application, breaker: Mutex::default() })
    }

    /// Puts recommendations in Dify's order. On an error they are as they were.
    pub async fn put_in_order(&self, user: &str, found: &mut Vec<Recommended>) -> Result<(), DifyError> {
        if found.len() < 2 {
            return Ok(());
        }
        if !self.breaker.lock().unwrap_or_else(PoisonError::into_inner).may_ask(Instant::now()) {
            return Err(DifyError::Paused);
        }
        let asked = tokio::time::timeout(ANSWER_TIME_MAX, self.ask(user, found)).await;
        let order = asked.unwrap_or(Err(DifyError::Late));
        let order = order.and_then(|text| order_of(&text, found).ok_or(DifyError::Useless));
        self.breaker
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .heard(order.is_ok(), Instant::now());
        let order = order?;
        let place = |one: &Recommended| {
            order.iter().position(|listing| *listing == one.offer.listing.listing).unwrap_or(usize::MAX)
        };
        // Stable: what it leaves out stays in our order.
        found.sort_by_key(place);
        Ok(())
    }

    async fn ask(&self, user: &str, found: &[Recommended]) -> Result<Value, DifyError> {
        let listings: Vec<Value> = found.iter().map(told).collect();
        // Inputs of Dify are texts and numbers.
        let inputs = json!({"listings": Value::from(listings).to_string()});
        let mode = if self.application.streams { "streaming" } else { "blocking" };
        let body = match self.application.kind {
            Kind::Workflow => json!({"inputs": inputs, "response_mode": mode, "user": user}),
            Kind::Chat => json!({
                "query": "Put the listings in the order in which this customer may want them. Answer with a list of their ids in JSON.",
                "inputs": inputs, "response_mode": mode, "user": user, "conversation_id": "",
            }),
        };
        let response = self.client.post(self.url.clone()).bearer_auth(&self.key).json(&body).send().await?;
        if response.status() != StatusCode::OK {
            let refused = serde_json::from_slice(&read(response).await?).unwrap_or(Value::Null);
            return Err(refusal(&refused));
        }
        if self.application.streams {
            return self.streamed(response).await;
        }
        let answer: Value = serde_json::from_slice(&read(response).await?).map_err(|_| DifyError::Useless)?;
        match self.application.kind {
            Kind::Workflow => output(&answer["data"]),
            Kind::Chat => Ok(answer["answer"].clone()),
        }
    }

    async fn streamed(&self, response: Response) -> Result<Value, DifyError> {
        let (mut pieces, mut buffer, mut length) = (response.bytes_stream(), Vec::new(), 0);
        let mut said = String::new();
        while let Some(piece) = pieces.next().await {
            let piece = piece?;
            length += piece.len();
            if length > ANSWER_BYTES_MAX {
                return Err(DifyError::Useless);
            }
            buffer.extend_from_slice(&piece);
            while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = buffer.drain(..=end).collect();
                // `event: ping` and empty lines say nothing.
                let Some(data) = line.strip_prefix(b"data:") else { continue };
                let event: Value = serde_json::from_slice(data).map_err(|_| DifyError::Useless)?;
                match event["event"].as_str() {
                    Some("workflow_finished") if self.application.kind == Kind::Workflow => {
                        return output(&event["data"]);
                    }
                    Some("message" | "agent_message") => {
                        said.push_str(event["answer"].as_str().unwrap_or_default());
                    }
                    Some("message_end") => return Ok(said.into()),
                    Some("error") => return Err(refusal(&event)),
                    _ => {}
                }
            }
        }
        Err(DifyError::Useless)
    }
}

async fn read(response: Response) -> Result<Vec<u8>, DifyError> {
    let (mut pieces, mut body) = (response.bytes_stream(), Vec::new());
    while let Some(piece) = pieces.next().await {
        body.extend_from_slice(&piece?);
        if body.len() > ANSWER_BYTES_MAX {
            return Err(DifyError::Useless);
        }
    }
    Ok(body)
}

/// Says what a listing is: nothing of any person.
fn told(Recommended { offer, reason }: &Recommended) -> Value {
    let reason = match reason {
        Reason::BoughtWith { title, orders, .. } => format!("bought with {title} in {orders} orders"),
        Reason::Popular { orders } => format!("ordered {orders} times of late"),
    };
    json!({
        "id": offer.listing.listing,
        "title": offer.listing.title,
        "category": offer.words.category,
        "price": offer.listing.price,
        "reason": reason,
    })
}

fn refusal(answer: &Value) -> DifyError {
    let text = |name: &str| answer[name].as_str().unwrap_or_default().chars().take(200).collect();
    DifyError::Refused { code: text("code"), message: text("message") }
}

/// Reads what a workflow that has ended gives.
fn output(data: &Value) -> Result<Value, DifyError> {
    if data["status"] == "succeeded" {
        return Ok(data["outputs"]["listings"].clone());
    }
    let message = data["error"].as_str().unwrap_or_default().chars().take(200).collect();
    Err(DifyError::Refused { code: "workflow_failed".to_owned(), message })
}

/// Reads the order out of a list of ids, or of a text that holds one; none: it names nothing that was recommended.
fn order_of(answer: &Value, found: &[Recommended]) -> Option<Vec<ListingId>> {
    let parsed;
    let ids = match answer {
        Value::String(text) => {
            let list = text.get(text.find('[')?..=text.rfind(']')?)?;
            parsed = serde_json::from_str::<Value>(list).ok()?;
            &parsed
        }
        other => other,
    };
    let known: HashSet<ListingId> = found.iter().map(|one| one.offer.listing.listing).collect();
    let mut seen = HashSet::new();
    let ids = ids.as_array()?.iter().filter_map(|id| id.as_str()?.parse().ok());
    let order: Vec<ListingId> = ids.filter(|id| known.contains(id) && seen.insert(*id)).collect();
    (!order.is_empty()).then_some(order)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_fails_too_often_is_left_alone_and_then_tried_once() {
        let (mut breaker, begin) = (Breaker::default(), Instant::now());
        for _ in 0..FAILURES_MAX {
            assert!(breaker.may_ask(begin));
            breaker.heard(false, begin);
        }
        assert!(!breaker.may_ask(begin + PAUSE / 2));
        assert!(breaker.may_ask(begin + PAUSE));
        assert!(!breaker.may_ask(begin + PAUSE), "the others wait for the first");
        breaker.heard(false, begin + PAUSE);
        assert!(!breaker.may_ask(begin + PAUSE + PAUSE / 2));
        assert!(breaker.may_ask(begin + PAUSE * 2));
        breaker.heard(true, begin + PAUSE * 2);
        assert!(breaker.may_ask(begin + PAUSE * 2));
    }
}
