//! Somebody on this machine who is told what happens, and how addresses of his are registered.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use commands::Command;
use commands::command::RegisterWebhook;
use commands::personal::{Personal, write_header};
use events::ids::WebhookId;
use events::webhook::EventFilter;
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde_json::Value;
use standardwebhooks::Webhook as Verifier;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::{Person, Shop, json_of};

/// How long something may take to come; when it runs out the test has failed.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(60);
/// A secret that messages are signed with.
pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// What somebody who is told answers.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Answers {
    Status(u16),
    /// It goes elsewhere, on the same machine.
    Elsewhere,
    /// Nothing, for ever.
    Nothing,
}

/// What he was told.
pub(crate) struct Got {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Got {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    pub(crate) fn data(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn type_name(&self) -> String {
        self.data()["type"].as_str().unwrap().to_owned()
    }

    /// Checks that what another library makes of the secrets stands in the header, and nothing else.
    #[track_caller]
    pub(crate) fn is_signed_with(&self, secrets: &[&str]) {
        let timestamp = self.header("webhook-timestamp").parse().unwrap();
        let signed = secrets.iter().map(|secret| {
            Verifier::new(secret).unwrap().sign(self.header("webhook-id"), timestamp, &self.body).unwrap()
        });
        assert_eq!(self.header("webhook-signature"), signed.collect::<Vec<_>>().join(" "));
    }
}

/// What he answers next, and then always.
struct Plan {
    next: VecDeque<Answers>,
    usual: Answers,
}

/// Somebody who is told.
pub(crate) struct Receiver {
    pub(crate) url: String,
    pub(crate) got: mpsc::UnboundedReceiver<Got>,
    plan: Arc<Mutex<Plan>>,
}

type Inside = (mpsc::UnboundedSender<Got>, Arc<Mutex<Plan>>);

async fn take(State((told, plan)): State<Inside>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let answer = {
        let mut plan = plan.lock().unwrap();
        plan.next.pop_front().unwrap_or(plan.usual)
    };
    let path = parts.uri.path().to_owned();
    drop(told.send(Got { path, headers: parts.headers, body }));
    match answer {
        Answers::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
        Answers::Elsewhere => (StatusCode::FOUND, [("location", "/elsewhere")]).into_response(),
        Answers::Nothing => std::future::pending().await,
    }
}

impl Receiver {
    pub(crate) async fn open() -> Receiver {
        let (told, got) = mpsc::unbounded_channel();
        let plan = Arc::new(Mutex::new(Plan { next: VecDeque::new(), usual: Answers::Status(204) }));
        let router: Router = Router::new().fallback(take).with_state((told, Arc::clone(&plan)));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Receiver { url, got, plan }
    }

    pub(crate) fn will_answer(&self, answers: &[Answers]) {
        self.plan.lock().unwrap().next.extend(answers);
    }

    pub(crate) fn always_answers(&self, answers: Answers) {
        self.plan.lock().unwrap().usual = answers;
    }

    pub(crate) async fn next(&mut self) -> Got {
        let got = tokio::time::timeout(WAIT_MAX, self.got.recv()).await.unwrap().unwrap();
        assert_eq!(got.path, "/hook", "nobody follows a redirection");
        got
    }
}

pub(crate) fn personal(secret: &str) -> Personal {
    Personal { salt: rand::random(), value: secret.as_bytes().to_vec() }
}

pub(crate) fn register(webhook: WebhookId, url: &str, types: &[&str], secret: &Personal) -> Command {
    let types: BTreeSet<EventFilter> = types.iter().map(|one| one.parse().unwrap()).collect();
    let types = types.try_into().unwrap();
    RegisterWebhook { secret: secret.hash(), types, url: url.parse().unwrap(), webhook }.into()
}

/// Gives a command with a secret beside it.
pub(crate) async fn accepted_with(shop: &Shop, who: &Person, command: Command, secret: &Personal) {
    let signed = who.sign(command, shop.now());
    let post = shop.post("/v1/commands", "application/jose", signed);
    let (status, receipt) = json_of(post.header("Skylink-Personal", write_header([secret]))).await;
    assert_eq!((status, &receipt["receipt"]["outcome"]), (StatusCode::OK, &"accepted".into()), "{receipt}");
}

pub(crate) async fn registered(shop: &Shop, who: &Person, url: &str, types: &[&str]) -> WebhookId {
    let webhook = WebhookId::from_uuid(Uuid::now_v7());
    let secret = personal(SECRET);
    accepted_with(shop, who, register(webhook, url, types, &secret), &secret).await;
    webhook
}

pub(crate) async fn asked(shop: &Shop, who: &Person, path: &str) -> Value {
    let (status, found) = json_of(shop.get(path).bearer_auth(shop.token(who).await)).await;
    assert_eq!(status, StatusCode::OK, "{found}");
    found
}

/// Asks again until something is so.
pub(crate) async fn until(shop: &Shop, who: &Person, path: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let asking = async {
        loop {
            let found = asked(shop, who, path).await;
            if is_so(&found) {
                return found;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(WAIT_MAX, asking).await.unwrap()
}
