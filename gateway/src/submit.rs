//! Takes signed commands over HTTP and answers with their receipts.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use commands::command::COMMAND_BYTES_MAX;
use commands::receipt::{Outcome, Receipt};
use commands::{Refusal, envelope};
use engine::{EngineHandle, Reply};
use events::ids::{AccountId, CommandId};
use futures::StreamExt;

use crate::http::{App, POSITION_HEADER};
use crate::problem::Problem;

/// How long a request waits for its receipt.
pub const RECEIPT_TIME_MAX: Duration = Duration::from_secs(5);
/// How long a client may take to send a command.
const BODY_TIME_MAX: Duration = Duration::from_secs(10);
/// Most bytes of a body too large that are read and thrown away, so that the client comes to read why.
const DISCARDED_BYTES_MAX: usize = 16 * 1024 * 1024;

const REPLAYED_HEADER: HeaderName = HeaderName::from_static("idempotent-replayed");

/// Who takes commands: the engine in this process, or one behind a broker.
#[async_trait]
pub trait Commands: Send + Sync + 'static {
    /// Hands in a signed command and waits for its reply; the caller bounds the time.
    async fn send(&self, bytes: Bytes, arrived_as: Option<String>, traceparent: Option<String>) -> Reply;

    /// Finds the receipt of a command that was decided; [`Reply::Undecided`] where that can't be found out now.
    async fn receipt(&self, account: AccountId, command: CommandId) -> Option<Reply>;
}

#[async_trait]
impl Commands for EngineHandle {
    async fn send(&self, bytes: Bytes, arrived_as: Option<String>, traceparent: Option<String>) -> Reply {
        self.submit(bytes, arrived_as, traceparent).await
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
}

/// `POST /v1/commands`
pub(crate) async fn any(State(app): State<Arc<App>>, headers: HeaderMap, body: Body) -> Response {
    answer(&app, None, &headers, body).await
}

/// `POST /v1/commands/{name}`
pub(crate) async fn named(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
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
    check_content_type(headers, &["application/jose", "text/plain", "application/json"])?;
    let bytes = read_body(body).await?;
    let sent = app.gateway.commands.send(bytes.clone(), arrived_as, traceparent(headers));
    match tokio::time::timeout(RECEIPT_TIME_MAX, sent).await {
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
    Err(Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "media_type_unsupported",
        "Unsupported content",
        detail,
    ))
}

/// Reads a body of at most [`COMMAND_BYTES_MAX`]; what is beyond is never kept.
pub(crate) async fn read_body(body: Body) -> Result<Bytes, Problem> {
    let late = |_| {
        let detail = "the body did not arrive in time: send it again";
        Problem::new(StatusCode::REQUEST_TIMEOUT, "body_late", "Too slow", detail)
    };
    tokio::time::timeout(BODY_TIME_MAX, read_within(body)).await.map_err(late)?
}

async fn read_within(body: Body) -> Result<Bytes, Problem> {
    let mut chunks = body.into_data_stream();
    let (mut kept, mut size) = (BytesMut::new(), 0usize);
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| {
            Problem::new(
                StatusCode::BAD_REQUEST,
                "body_broken",
                "Broken off",
                "the body broke off: send it again",
            )
        })?;
        size = size.saturating_add(chunk.len());
        if size > DISCARDED_BYTES_MAX {
            break;
        }
        if size <= COMMAND_BYTES_MAX {
            kept.extend_from_slice(&chunk);
        }
    }
    if size > COMMAND_BYTES_MAX {
        return Err(Refusal::TooLarge { size, max: COMMAND_BYTES_MAX }.into());
    }
    Ok(kept.freeze())
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
