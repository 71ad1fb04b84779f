//! What a client is told when it does not get what it asked for: RFC 9457 problem details.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use commands::Refusal;
use commands::receipt::Receipt;
use projections::{TooFarBehind, ViewError};
use serde_json::{Map, Value, json};

/// How long a client waits before it asks a busy market again, in seconds.
const RETRY_AFTER_S: &str = "1";

/// A problem, ready to be told.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    status: StatusCode,
    code: String,
    title: &'static str,
    detail: String,
    more: Map<String, Value>,
}

impl Problem {
    pub(crate) fn new(
        status: StatusCode,
        code: &str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        Problem { status, code: code.to_owned(), title, detail: detail.into(), more: Map::new() }
    }

    /// Adds a member.
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.more.insert(name.to_owned(), value.into());
        self
    }

    pub(crate) fn not_found(what: &str) -> Self {
        let detail = format!("there is no such {what}, or it is not yours to see");
        Problem::new(StatusCode::NOT_FOUND, "not_found", "Not found", detail)
    }

    pub(crate) fn forbidden(detail: impl Into<String>) -> Self {
        Problem::new(StatusCode::FORBIDDEN, "scope_denied", "Not allowed", detail)
    }

    pub(crate) fn query_invalid(detail: impl Into<String>) -> Self {
        Problem::new(StatusCode::BAD_REQUEST, "query_invalid", "The query is not valid", detail)
    }

    pub(crate) fn token(code: &str, detail: impl Into<String>) -> Self {
        Problem::new(StatusCode::UNAUTHORIZED, code, "An access token is needed", detail)
    }

    pub(crate) fn unavailable(detail: impl Into<String>) -> Self {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Not available now", detail)
    }

    /// Tells that a command was decided, against it.
    pub(crate) fn rejected(receipt: &Receipt) -> Self {
        let reasons = &receipt.receipt.reasons;
        let code = reasons.first().map_or_else(|| "rejected".to_owned(), |reason| reason.code());
        let detail: Vec<String> = reasons.iter().map(ToString::to_string).collect();
        Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            &code,
            "The market rejected the command",
            detail.join("; "),
        )
        .with("reasons", json!(reasons))
        .with("receipt", json!(receipt))
    }

    /// Tells that nobody knows yet what became of a command. Never a "no".
    pub(crate) fn outcome_unknown(receipt_url: Option<String>) -> Self {
        let detail = "the market has not answered in time; the command may have been decided or may yet be: ask for \
                      its receipt, or send the same command id again";
        let title = "The outcome is not known yet";
        let problem = Problem::new(StatusCode::GATEWAY_TIMEOUT, "outcome_unknown", title, detail);
        match receipt_url {
            Some(url) => problem.with("receipt_url", url),
            None => problem,
        }
    }
}

fn status_of(refusal: &Refusal) -> (StatusCode, &'static str) {
    match refusal {
        Refusal::SigMissing
        | Refusal::SigInvalid
        | Refusal::KidUnknown
        | Refusal::KidRevoked
        | Refusal::AlgMismatch => (StatusCode::UNAUTHORIZED, "The signature does not hold"),
        Refusal::ScopeDenied { .. } => (StatusCode::FORBIDDEN, "Not allowed"),
        Refusal::CommandConflict
        | Refusal::NonceReused
        | Refusal::SeqReplayed { .. }
        | Refusal::SeqTooOld { .. }
        | Refusal::SeqJump { .. } => (StatusCode::CONFLICT, "Used before"),
        Refusal::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "Too large"),
        Refusal::Busy => (StatusCode::SERVICE_UNAVAILABLE, "The market is busy"),
        Refusal::SigMalformed { .. }
        | Refusal::AudMismatch
        | Refusal::CmdUnknown { .. }
        | Refusal::BodyInvalid { .. }
        | Refusal::Stale { .. }
        | Refusal::FromFuture { .. } => (StatusCode::BAD_REQUEST, "The command can't be taken"),
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Problem {
        let (status, title) = status_of(&refusal);
        let mut problem = Problem::new(status, refusal.code(), title, refusal.to_string());
        if let Ok(Value::Object(fields)) = serde_json::to_value(&refusal) {
            problem.more.extend(fields);
        }
        problem
    }
}

impl From<TooFarBehind> for Problem {
    fn from(behind: TooFarBehind) -> Problem {
        let title = "The views are behind";
        Problem::new(StatusCode::GATEWAY_TIMEOUT, "views_behind", title, behind.to_string())
            .with("wanted", behind.wanted)
            .with("applied", behind.applied)
    }
}

impl From<ViewError> for Problem {
    fn from(error: ViewError) -> Problem {
        tracing::error!(error = &error as &dyn std::error::Error, "a view can't answer");
        Problem::unavailable("this view can't answer now; its operator has been told")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Problem { status, code, title, detail, mut more } = self;
        metrics::counter!("skylink_http_problems_total", "code" => code.clone()).increment(1);
        more.insert("type".to_owned(), format!("urn:skylink:problem:{code}").into());
        more.insert("title".to_owned(), title.into());
        more.insert("status".to_owned(), status.as_u16().into());
        more.insert("detail".to_owned(), detail.into());
        more.insert("code".to_owned(), code.into());
        let mut response = (status, Value::Object(more).to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_S));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
