//! Dify, a server of applications of language models: one may put recommendations in order, another one say in words what speaks for
//! and against an order whose risk is looked at.
//!
//! Spoken is its documented interface (<https://docs.dify.ai>): `POST /v1/workflows/run` of a workflow, `POST /v1/chat-messages` of a
//! chat, each answered at once or as a stream of events. It is told nothing of a person but a pseudonym, and what it answers decides
//! nothing: the market goes on without it when it is late, fails or says nonsense.

mod analysis;
mod breaker;
mod ranking;

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use engine::providers::Secret;
use futures::StreamExt;
use reqwest::{Client, Response, StatusCode, Url};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

pub use self::analysis::ANALYSIS_CHARS_MAX;
pub(crate) use self::analysis::Analysis;
use self::breaker::Breaker;
pub use self::breaker::{FAILURES_MAX, PAUSE};
pub use self::ranking::{CANDIDATES, KNOWN_FOR, Ranking};

/// How long an application may take to put recommendations in order, unless said otherwise: somebody waits for the page.
pub const RANKING_TIME: Duration = Duration::from_millis(800);
/// How long one may take to look at an order's risk.
pub const ANALYSIS_TIME_MAX: Duration = Duration::from_secs(20);
/// Most questions to one application at once; whoever comes then goes without.
pub const QUESTIONS_AT_ONCE_MAX: usize = 16;
/// Most bytes of an answer, with all of its stream.
const ANSWER_BYTES_MAX: usize = 256 * 1024;
/// Most characters of what Dify says went wrong that are told on.
const WORDS_MAX: usize = 200;

/// Which kind of application is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A workflow: `POST /v1/workflows/run`. It answers with its outputs.
    Workflow,
    /// A chat, or an agent: `POST /v1/chat-messages`. It answers with a text.
    Chat,
}

/// How an application answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Piece by piece, as it thinks. Agents can do nothing else.
    Streaming,
    /// All at once.
    Blocking,
}

/// What an application of Dify is asked by.
#[derive(Debug, Clone)]
pub struct Access {
    /// Where Dify is, without `/v1`.
    pub url: String,
    /// The application's key.
    pub key: Secret,
    /// Which kind it is.
    pub kind: Kind,
    /// How it answers.
    pub mode: Mode,
    /// How long it may take, with its whole stream.
    pub time_max: Duration,
}

/// Why Dify can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SetUpError {
    /// The address is none.
    #[error("{0} is no address of Dify: use https, or http for one on this machine, without /v1")]
    Url(String),
    /// TLS can't be set up.
    #[error("no connection can be secured: see that this machine has root certificates")]
    Tls(#[source] reqwest::Error),
}

/// Why Dify gave no answer that can be used. It may be asked again later.
#[derive(Debug, thiserror::Error)]
pub enum DifyError {
    /// It failed too often of late, and is not asked.
    #[error("it failed {FAILURES_MAX} times in a row and is left alone for {} s", PAUSE.as_secs())]
    Paused,
    /// It has as many questions as it may have.
    #[error("it is being asked {QUESTIONS_AT_ONCE_MAX} questions already")]
    Busy,
    /// It can't be reached, or broke off.
    #[error("it can't be reached: see that it runs and that its address is right")]
    Unreachable(#[from] reqwest::Error),
    /// It took too long.
    #[error("it did not answer in time: see what takes its application so long, or give it more time")]
    Late,
    /// It refused, or its application failed.
    #[error("it refused with `{code}`: {message}")]
    Refused {
        /// Its code, such as `invalid_param`.
        code: String,
        /// Its words, the first of them.
        message: String,
    },
    /// Its answer is not of the documented form, or says nothing that was asked for.
    #[error("it answered nothing that can be used: see what its application gives (docs/dify.md)")]
    Useless,
}

impl DifyError {
    /// A word for metrics.
    const fn word(&self) -> &'static str {
        match self {
            DifyError::Paused => "paused",
            DifyError::Busy => "busy",
            DifyError::Unreachable(_) => "unreachable",
            DifyError::Late => "late",
            DifyError::Refused { .. } => "refused",
            DifyError::Useless => "useless",
        }
    }
}

/// What a gateway asks Dify for; nothing unless it is said so.
#[derive(Debug, Default)]
pub struct Dify {
    /// Puts recommendations in order.
    pub ranking: Option<Ranking>,
    /// Says in words what speaks for and against an order.
    pub analysis: Option<Application>,
}

/// An application of Dify.
pub struct Application {
    /// What it is for, in metrics.
    name: &'static str,
    client: Client,
    url: Url,
    access: Access,
    breaker: Mutex<Breaker>,
    turns: Semaphore,
}

impl fmt::Debug for Application {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Application").field("url", &self.url.as_str()).finish_non_exhaustive()
    }
}

/// What an application is asked.
struct Question<'a> {
    /// Texts and numbers by their names.
    inputs: Value,
    /// What a chat is asked to do with them.
    query: &'a str,
    /// A pseudonym of who asks.
    user: &'a str,
}

/// What an application said.
enum Said {
    /// The outputs of a workflow.
    Outputs(Value),
    /// The words of a chat.
    Words(String),
}

impl Application {
    /// Names an application, and what it is for.
    pub fn new(name: &'static str, access: Access) -> Result<Application, SetUpError> {
        let wrong = || SetUpError::Url(access.url.chars().take(100).collect());
        let mut url = Url::parse(&access.url).map_err(|_| wrong())?;
        let is_local = matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"));
        if url.scheme() != "https" && !(url.scheme() == "http" && is_local) {
            return Err(wrong());
        }
        let path = match access.kind {
            Kind::Workflow => "v1/workflows/run",
            Kind::Chat => "v1/chat-messages",
        };
        url.set_path(&format!("{}/{path}", url.path().trim_end_matches('/')));
        // A redirect would carry the key elsewhere. HTTP/2 is here for others: Dify was tried without.
        let client = Client::builder().redirect(reqwest::redirect::Policy::none());
        let client = client.http1_only().build().map_err(SetUpError::Tls)?;
        let (breaker, turns) = (Mutex::default(), Semaphore::new(QUESTIONS_AT_ONCE_MAX));
        Ok(Application { name, client, url, access, breaker, turns })
    }

    /// Asks once, and makes of the answer what is wanted of it; none: it says nothing of the kind.
    async fn ask<T>(
        &self,
        question: Question<'_>,
        read: impl FnOnce(Said) -> Option<T>,
    ) -> Result<T, DifyError> {
        let started = Instant::now();
        let answer = self.ask_in_time(question, read).await;
        let outcome = answer.as_ref().err().map_or("answered", DifyError::word);
        let labels = [("application", self.name), ("outcome", outcome)];
        metrics::counter!("skylink_dify_total", &labels).increment(1);
        metrics::histogram!("skylink_dify_seconds", "application" => self.name).record(started.elapsed());
        answer
    }

    async fn ask_in_time<T>(
        &self,
        question: Question<'_>,
        read: impl FnOnce(Said) -> Option<T>,
    ) -> Result<T, DifyError> {
        let _turn = self.turns.try_acquire().map_err(|_| DifyError::Busy)?;
        if !self.breaker().may_ask(Instant::now()) {
            return Err(DifyError::Paused);
        }
        let said = tokio::time::timeout(self.access.time_max, self.send(question)).await;
        let said = said.unwrap_or(Err(DifyError::Late));
        let answer = said.and_then(|said| read(said).ok_or(DifyError::Useless));
        self.breaker().heard(answer.is_ok(), Instant::now());
        answer
    }

    fn breaker(&self) -> std::sync::MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn send(&self, Question { inputs, query, user }: Question<'_>) -> Result<Said, DifyError> {
        let mode = match self.access.mode {
            Mode::Streaming => "streaming",
            Mode::Blocking => "blocking",
        };
        let body = match self.access.kind {
            Kind::Workflow => json!({"inputs": inputs, "response_mode": mode, "user": user}),
            Kind::Chat => json!({
                "query": query, "inputs": inputs, "response_mode": mode, "user": user, "conversation_id": "",
            }),
        };
        let request = self.client.post(self.url.clone()).bearer_auth(self.access.key.reveal()).json(&body);
        let response = request.send().await.map_err(reqwest::Error::without_url)?;
        if response.status() != StatusCode::OK {
            let refused = serde_json::from_slice(&whole(response).await?).unwrap_or(Value::Null);
            return Err(refusal(&refused));
        }
        match self.access.mode {
            Mode::Streaming => self.streamed(response).await,
            Mode::Blocking => {
                let answer: Value =
                    serde_json::from_slice(&whole(response).await?).map_err(|_| DifyError::Useless)?;
                match self.access.kind {
                    Kind::Workflow => self.ended(&answer["data"]),
                    Kind::Chat => {
                        self.count_tokens(&answer["metadata"]["usage"]["total_tokens"]);
                        answer["answer"]
                            .as_str()
                            .map(|words| Said::Words(words.to_owned()))
                            .ok_or(DifyError::Useless)
                    }
                }
            }
        }
    }

    /// Reads a stream of events up to the one that ends it.
    async fn streamed(&self, response: Response) -> Result<Said, DifyError> {
        let (mut pieces, mut buffer, mut length) = (response.bytes_stream(), Vec::new(), 0);
        let mut words = String::new();
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(reqwest::Error::without_url)?;
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
                    Some("workflow_finished") if self.access.kind == Kind::Workflow => {
                        return self.ended(&event["data"]);
                    }
                    Some("message" | "agent_message") => {
                        words.push_str(event["answer"].as_str().unwrap_or_default());
                    }
                    // A moderator's words take the place of what was said.
                    Some("message_replace") => {
                        words = event["answer"].as_str().unwrap_or_default().to_owned()
                    }
                    Some("message_end") => {
                        self.count_tokens(&event["metadata"]["usage"]["total_tokens"]);
                        return Ok(Said::Words(words));
                    }
                    Some("error") => return Err(refusal(&event)),
                    _ => {}
                }
            }
        }
        Err(DifyError::Useless)
    }

    /// Reads what a workflow that has ended gives.
    fn ended(&self, data: &Value) -> Result<Said, DifyError> {
        self.count_tokens(&data["total_tokens"]);
        if data["status"] == "succeeded" {
            return Ok(Said::Outputs(data["outputs"].clone()));
        }
        Err(DifyError::Refused { code: "workflow_failed".to_owned(), message: some_words(&data["error"]) })
    }

    /// What a question costs is paid by the token.
    fn count_tokens(&self, tokens: &Value) {
        let tokens = tokens.as_u64().unwrap_or(0);
        metrics::counter!("skylink_dify_tokens_total", "application" => self.name).increment(tokens);
    }
}

async fn whole(response: Response) -> Result<Vec<u8>, DifyError> {
    let (mut pieces, mut body) = (response.bytes_stream(), Vec::new());
    while let Some(piece) = pieces.next().await {
        body.extend_from_slice(&piece.map_err(reqwest::Error::without_url)?);
        if body.len() > ANSWER_BYTES_MAX {
            return Err(DifyError::Useless);
        }
    }
    Ok(body)
}

fn refusal(answer: &Value) -> DifyError {
    DifyError::Refused { code: some_words(&answer["code"]), message: some_words(&answer["message"]) }
}

fn some_words(text: &Value) -> String {
    text.as_str().unwrap_or_default().chars().take(WORDS_MAX).collect()
}
