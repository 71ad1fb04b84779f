//! Takes signed commands over HTTP and answers with their receipts.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::body::{Body, BodyDataStream};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use commands::command::COMMAND_BYTES_MAX;
use commands::preview::Asked;
use commands::receipt::{Outcome, Receipt};
use commands::{Command, Refusal, envelope};
use engine::{Beside, EngineHandle, Previewed, Reply, Way};
use events::ids::{AccountId, CommandId};
use futures::StreamExt;

use crate::http::{App, POSITION_HEADER};
use crate::problem::{BODY_BROKEN, BODY_LATE, MEDIA_TYPE, Problem};
use crate::query::PathParts;

/// How long a request waits for its receipt.
pub const RECEIPT_TIME_MAX: Duration = Duration::from_secs(5);
/// How long a client may take to send a command.
const BODY_TIME_MAX: Duration = Duration::from_secs(10);
/// Most bytes of a body too large that are read and thrown away behind its answer, so that a client that writes all
/// before it reads comes to read why. What is larger still is cut off.
const DISCARDED_BYTES_MAX: usize = 1024 * 1024;

/// Media types of a compact JWS.
pub(crate) const JWS_TYPES: [&str; 2] = ["application/jose", "text/plain"];
/// Media types of a command: a compact JWS, or the flat form.
pub(crate) const COMMAND_TYPES: [&str; 3] = ["application/jose", "text/plain", "application/json"];

/// The header with a second factor.
pub(crate) const STEP_UP_HEADER: HeaderName = HeaderName::from_static("skylink-step-up");
/// The header with what is personal and is named by the command.
pub(crate) const PERSONAL_HEADER: HeaderName = HeaderName::from_static("skylink-personal");
const REPLAYED_HEADER: HeaderName = HeaderName::from_static("idempotent-replayed");

/// Who takes commands: the engine in this process, or one behind a broker.
#[async_trait]
pub trait Commands: Send + Sync + 'static {
    /// Hands in a signed command and waits for its reply; the caller bounds the time.
    async fn send(&self, bytes: Bytes, arrived_as: Option<String>, beside: Beside) -> Reply;

    /// Finds the receipt of a command that was decided; [`Reply::Undecided`] where that can't be found out now.
    async fn receipt(&self, account: AccountId, command: CommandId) -> Option<Reply>;

    /// Tells what a purchase of an account's cart would be; `None` where that can't be found out now.
    async fn preview(&self, account: AccountId, asked: Asked) -> Option<Previewed>;
}

#[async_trait]
impl Commands for EngineHandle {
    async fn send(&self, bytes: Bytes, arrived_as: Option<String>, beside: Beside) -> Reply {
        self.submit_with(bytes, arrived_as, beside).await
    }

    async fn receipt(&self, account: AccountId, command: CommandId) -> Option<Reply> {
        match EngineHandle::receipt(self, account, command).await {
            Ok(found) => found,
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "an old receipt can't be found");
                Some(Reply::Undecided)
            }
        }
    }

    async fn preview(&self, account: AccountId, asked: Asked) -> Option<Previewed> {
        EngineHandle::preview(self, account, asked).await
    }
}

/// `POST /v1/commands`
pub(crate) async fn any(State(app): State<Arc<App>>, headers: HeaderMap, body: Body) -> Response {
    answer(&app, None, &headers, body).await
}

/// `POST /v1/commands/{name}`
pub(crate) async fn named(
    State(app): State<Arc<App>>,
    PathParts(name): PathParts<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    if !Command::NAMES.contains(&name.as_str()) {
        let name = name.chars().take(64).collect();
        return Problem::from(Refusal::CmdUnknown { name }).into_response();
    }
    answer(&app, Some(name), &headers, body).await
}

/// Takes a command on a path of its own.
pub(crate) async fn at(app: Arc<App>, name: &'static str, headers: HeaderMap, body: Body) -> Response {
    answer(&app, Some(name.to_owned()), &headers, body).await
}

async fn answer(app: &App, arrived_as: Option<String>, headers: &HeaderMap, body: Body) -> Response {
    match submit(app, arrived_as, headers, body).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    }
}

async fn submit(
    app: &App,
    arrived_as: Option<String>,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    check_content_type(headers, &COMMAND_TYPES)?;
    let bytes = read_body(headers, body).await?;
    let beside = Beside {
        step_up: text_of(headers, &STEP_UP_HEADER),
        personal: text_of(headers, &PERSONAL_HEADER),
        way: Way::Direct,
        traceparent: traceparent(headers),
        rates: app.gateway.limits.commands(),
    };
    let sent = app.gateway.commands.send(bytes.clone(), arrived_as, beside);
    let reply = tokio::time::timeout(RECEIPT_TIME_MAX, sent).await;
    match reply {
        Ok(Reply::Receipt(receipt)) => Ok(receipt_response(&receipt)),
        Ok(Reply::Refused(refusal)) => Err(refusal.into()),
        Ok(Reply::Undecided) | Err(_) => Err(Problem::outcome_unknown(receipt_url(app, &bytes))),
    }
}

/// Answers with a receipt, in the form that its outcome has over HTTP.
fn receipt_response(receipt: &Receipt) -> Response {
    let mut response = match receipt.receipt.outcome {
        Outcome::Accepted | Outcome::Unchanged => axum::Json(receipt).into_response(),
        Outcome::Rejected => Problem::rejected(receipt).into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(POSITION_HEADER, HeaderValue::from(receipt.receipt.position));
    if receipt.replayed {
        headers.insert(REPLAYED_HEADER, HeaderValue::from_static("true"));
    }
    response
}

/// Says where the receipt of a command can be asked for, if the bytes are a command at all.
fn receipt_url(app: &App, bytes: &[u8]) -> Option<String> {
    let envelope = envelope::verify(bytes, &app.gateway.market, app.gateway.keys.as_ref()).ok()?;
    Some(format!("/v1/receipts/{}/{}", envelope.stamp.account, envelope.stamp.command))
}

pub(crate) fn check_content_type(headers: &HeaderMap, allowed: &[&str]) -> Result<(), Problem> {
    let Some(given) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    let given = given.to_str().unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if allowed.contains(&essence.as_str()) {
        return Ok(());
    }
    let detail = format!("send the signed bytes as one of: {}", allowed.join(", "));
    Err(Problem::new(&MEDIA_TYPE, detail))
}

/// Reads a body that is JSON and not signed.
pub(crate) async fn read_json(headers: &HeaderMap, body: Body) -> Result<Bytes, Problem> {
    check_content_type(headers, &["application/json"])?;
    read_body(headers, body).await
}

/// Reads a body of at most [`COMMAND_BYTES_MAX`]. One that is larger is answered as soon as that is known.
pub(crate) async fn read_body(headers: &HeaderMap, body: Body) -> Result<Bytes, Problem> {
    let late = |_| Problem::new(&BODY_LATE, "the body did not arrive in time: send it again");
    tokio::time::timeout(BODY_TIME_MAX, read_within(headers, body)).await.map_err(late)?
}

async fn read_within(headers: &HeaderMap, body: Body) -> Result<Bytes, Problem> {
    let mut chunks = body.into_data_stream();
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let mut kept = BytesMut::new();
    let mut size: usize = announced.unwrap_or(0);
    while size <= COMMAND_BYTES_MAX {
        let Some(chunk) = chunks.next().await else { return Ok(kept.freeze()) };
        let chunk = chunk.map_err(|_| Problem::new(&BODY_BROKEN, "the body broke off: send it again"))?;
        kept.extend_from_slice(&chunk);
        size = size.max(kept.len());
    }
    // Who asks before he sends is told before he sends.
    if !headers.contains_key(header::EXPECT) {
        tokio::spawn(discard(chunks));
    }
    Err(Refusal::TooLarge { size, max: COMMAND_BYTES_MAX }.into())
}

/// Reads on and throws away, at most [`DISCARDED_BYTES_MAX`] and [`BODY_TIME_MAX`].
async fn discard(mut chunks: BodyDataStream) {
    let all = async {
        let mut size = 0;
        while let Some(Ok(chunk)) = chunks.next().await {
            size += chunk.len();
            if size > DISCARDED_BYTES_MAX {
                break;
            }
        }
    };
    // Late or not, nothing is left to be done.
    let _ = tokio::time::timeout(BODY_TIME_MAX, all).await;
}

/// Gives what is shown beside a command. What is no text is nothing of use, and is refused as that.
pub(crate) fn text_of(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name).map(|value| value.to_str().unwrap_or_default().to_owned())
}

/// Gives the request's W3C trace context if it is one; what is not is left out, as the standard says.
pub(crate) fn traceparent(headers: &HeaderMap) -> Option<String> {
    let text = headers.get("traceparent")?.to_str().ok()?;
    is_traceparent(text).then(|| text.to_owned())
}

/// Checks the form of version 00: `00-<32 hex>-<16 hex>-<2 hex>`, lower case, neither id all zeros.
fn is_traceparent(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let [version, trace, parent, flags] = parts.as_slice() else { return false };
    let is_hex = |part: &str, length: usize| {
        part.len() == length && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let is_id = |part: &str, length: usize| is_hex(part, length) && part.bytes().any(|byte| byte != b'0');
    *version == "00" && is_id(trace, 32) && is_id(parent, 16) && is_hex(flags, 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_arrive_is_waited_for_a_bounded_time() {
        let started = tokio::time::Instant::now();
        // A byte a second: the time is for the whole body, not for each of its parts.
        let drops = futures::stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Some((Ok::<_, std::io::Error>(Bytes::from_static(b"x")), ()))
        });
        let told = read_body(&HeaderMap::new(), Body::from_stream(drops)).await.unwrap_err();
        assert_eq!(told.into_response().status(), BODY_LATE.status);
        assert_eq!(started.elapsed().as_secs(), BODY_TIME_MAX.as_secs());
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_no_command() {
        let parts = [Ok(Bytes::from_static(b"x")), Err(std::io::Error::other("gone"))];
        let told = read_body(&HeaderMap::new(), Body::from_stream(futures::stream::iter(parts))).await;
        assert_eq!(told.unwrap_err().into_response().status(), BODY_BROKEN.status);
    }

    #[test]
    fn only_the_w3c_form_of_a_trace_context_is_passed_on() {
        assert!(is_traceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"));
        for bad in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
        ] {
            assert!(!is_traceparent(bad), "{bad}");
        }
    }
}
