//! What a client is told when it does not get what it asked for: RFC 9457 problem details.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use commands::Refusal;
use commands::receipt::Receipt;
use events::{Hash, Position, Rejection, Timestamp};
use projections::{TooFarBehind, ViewError};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

/// How long a client waits before it asks a busy market again, in seconds.
const RETRY_AFTER_S: u64 = 1;

/// The media type of problem details.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// What can go wrong. The code is stable, and stands in the interface's description.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) code: &'static str,
    pub(crate) status: StatusCode,
    title: &'static str,
}

macro_rules! kinds {
    ($($name:ident = $status:ident $code:literal $title:literal;)*) => {
        $(pub(crate) const $name: Kind = Kind { code: $code, status: StatusCode::$status, title: $title };)*

        /// Every kind of problem of the gateway itself. Refusals and rejections have their own codes.
        pub(crate) const KINDS: &[Kind] = &[$($name),*];
    };
}

kinds! {
    QUERY_INVALID = BAD_REQUEST "query_invalid" "The query is not valid";
    APP_UNKNOWN = CONFLICT "app_unknown" "No such app waits";
    REBUILD_RUNNING = CONFLICT "rebuild_running" "A rebuild runs";
    CODE_WRONG = BAD_REQUEST "code_wrong" "The code is wrong";
    PASSWORD_LENGTH = BAD_REQUEST "password_length" "No good password";
    SIGN_IN_FAILED = UNAUTHORIZED "sign_in_failed" "Not signed in";
    SIGN_IN_AGAIN = FORBIDDEN "sign_in_again" "Sign in again";
    DEVICE_REFUSED = CONFLICT "device_refused" "The device is not registered";
    SIGN_IN_LOCKED = FORBIDDEN "sign_in_locked" "Locked for a while";
    MESSAGE_REFUSED = BAD_REQUEST "message_refused" "The message is not taken";
    BODY_BROKEN = BAD_REQUEST "body_broken" "Broken off";
    TOKEN_MISSING = UNAUTHORIZED "token_missing" "An access token is needed";
    TOKEN_INVALID = UNAUTHORIZED "token_invalid" "An access token is needed";
    TOKEN_EXPIRED = UNAUTHORIZED "token_expired" "An access token is needed";
    FORBIDDEN = FORBIDDEN "scope_denied" "Not allowed";
    ACCOUNT_SUSPENDED = FORBIDDEN "account_suspended" "The account is suspended";
    NOT_FOUND = NOT_FOUND "not_found" "Not found";
    ERASED = GONE "erased" "The account was erased";
    METHOD_NOT_ALLOWED = METHOD_NOT_ALLOWED "method_not_allowed" "Method not allowed";
    BODY_LATE = REQUEST_TIMEOUT "body_late" "Too slow";
    MEDIA_TYPE = UNSUPPORTED_MEDIA_TYPE "media_type_unsupported" "Unsupported content";
    RATE_LIMITED = TOO_MANY_REQUESTS "rate_limited" "Too many requests";
    HEADERS_TOO_MANY = REQUEST_HEADER_FIELDS_TOO_LARGE "headers_too_many" "Too many headers";
    UNAVAILABLE = SERVICE_UNAVAILABLE "unavailable" "Not available now";
    NO_ANALYSIS = SERVICE_UNAVAILABLE "no_analysis" "No analysis now";
    SEARCH_BUSY = SERVICE_UNAVAILABLE "search_busy" "Too many searches";
    PAST_BUILDING = SERVICE_UNAVAILABLE "past_building" "The past is being built";
    STREAMS_FULL = SERVICE_UNAVAILABLE "streams_full" "Too many streams";
    OUTCOME_UNKNOWN = GATEWAY_TIMEOUT "outcome_unknown" "The outcome is not known yet";
    VIEWS_BEHIND = GATEWAY_TIMEOUT "views_behind" "The views are behind";
}

/// The form of problem details. What a refusal has besides stands in its own schema.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct ProblemDetails {
    /// `urn:skylink:problem:<code>`
    #[serde(rename = "type")]
    type_urn: String,
    /// What it is, in a few words, the same for every problem of the code.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What happened and what to do now, for people.
    detail: String,
    /// What happened, for programs: stable.
    code: String,
    /// Why the market rejected the command: every rule it breaks.
    #[serde(skip_serializing_if = "Option::is_none")]
    reasons: Option<Vec<Rejection>>,
    /// The receipt of the rejection.
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt: Option<Box<Receipt>>,
    /// Where the receipt can be asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt_url: Option<String>,
    /// How far the views were asked to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    wanted: Option<Position>,
    /// How far they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    applied: Option<Position>,
    #[serde(flatten)]
    #[schemars(skip)]
    more: Map<String, Value>,
}

/// A problem, ready to be told.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    status: StatusCode,
    /// When to come again, in seconds.
    retry_after_s: Option<u64>,
    details: Box<ProblemDetails>,
}

impl Problem {
    pub(crate) fn new(kind: &Kind, detail: impl Into<String>) -> Self {
        Problem::with_code(kind.status, kind.code.to_owned(), kind.title, detail.into())
    }

    fn with_code(status: StatusCode, code: String, title: &'static str, detail: String) -> Self {
        let details = ProblemDetails {
            type_urn: format!("urn:skylink:problem:{code}"),
            title,
            status: status.as_u16(),
            detail,
            code,
            reasons: None,
            receipt: None,
            receipt_url: None,
            wanted: None,
            applied: None,
            more: Map::new(),
        };
        let retry_after_s = (status == StatusCode::SERVICE_UNAVAILABLE).then_some(RETRY_AFTER_S);
        Problem { status, retry_after_s, details: Box::new(details) }
    }

    pub(crate) fn not_found(what: &str) -> Self {
        Problem::new(&NOT_FOUND, format!("there is no such {what}, or it is not yours to see"))
    }

    pub(crate) fn forbidden(rule: &'static str) -> Self {
        let mut problem = Problem::new(&FORBIDDEN, rule);
        problem.details.more.insert("rule".to_owned(), rule.into());
        problem
    }

    /// Gives what happened and what to do now.
    pub(crate) fn into_detail(self) -> String {
        self.details.detail
    }

    pub(crate) fn query_invalid(detail: impl Into<String>) -> Self {
        Problem::new(&QUERY_INVALID, detail)
    }

    /// Tells that somebody has asked for more than he may, and when to come again.
    pub(crate) fn rate_limited(by: &'static str, retry_after_s: u64) -> Self {
        let detail = format!(
            "this {by} has asked for more than it may in this time; nothing was decided: send the same again in \
             {retry_after_s} s"
        );
        Problem { retry_after_s: Some(retry_after_s), ..Problem::new(&RATE_LIMITED, detail) }
    }

    /// Says when to come again.
    pub(crate) fn retrying_after(self, seconds: u64) -> Self {
        Problem { retry_after_s: Some(seconds), ..self }
    }

    pub(crate) fn unavailable(detail: impl Into<String>) -> Self {
        Problem::new(&UNAVAILABLE, detail)
    }

    /// Tells that a command was decided, against it.
    pub(crate) fn rejected(receipt: &Receipt) -> Self {
        let reasons = &receipt.receipt.reasons;
        // A rejection without a reason can't be written by this program.
        let code = reasons.first().map_or_else(|| "rejected".to_owned(), Rejection::code);
        let detail: Vec<String> = reasons.iter().map(ToString::to_string).collect();
        let mut problem =
            Problem::with_code(REJECTED, code, "The market rejected the command", detail.join("; "));
        problem.details.reasons = Some(reasons.clone());
        problem.details.receipt = Some(Box::new(receipt.clone()));
        problem
    }

    /// Tells that nobody knows yet what became of a command. Never a "no".
    pub(crate) fn outcome_unknown(receipt_url: Option<String>) -> Self {
        let detail = "the market has not answered in time; the command may have been decided or may yet be: ask for \
                      its receipt, or send the same command id again";
        let mut problem = Problem::new(&OUTCOME_UNKNOWN, detail);
        problem.details.receipt_url = receipt_url;
        problem
    }
}

/// The status of a command that the market decided against.
pub(crate) const REJECTED: StatusCode = StatusCode::UNPROCESSABLE_ENTITY;

/// Gives the status and title of a refusal.
fn status_of(refusal: &Refusal) -> (StatusCode, &'static str) {
    match refusal {
        Refusal::SigMissing
        | Refusal::SigInvalid
        | Refusal::KidUnknown
        | Refusal::KidRevoked
        | Refusal::AlgMismatch => (StatusCode::UNAUTHORIZED, "The signature does not hold"),
        Refusal::MfaRequired { .. } => (FORBIDDEN.status, "A second factor is needed"),
        Refusal::MfaLocked { .. } => (FORBIDDEN.status, "Codes are locked"),
        Refusal::ScopeDenied { .. } => (FORBIDDEN.status, FORBIDDEN.title),
        Refusal::AccountSuspended => (ACCOUNT_SUSPENDED.status, ACCOUNT_SUSPENDED.title),
        Refusal::CmdUnknown { .. } => (StatusCode::NOT_FOUND, "No such command"),
        Refusal::CommandConflict
        | Refusal::NonceReused
        | Refusal::SeqReplayed { .. }
        | Refusal::SeqTooOld { .. }
        | Refusal::SeqJump { .. } => (StatusCode::CONFLICT, "Used before"),
        Refusal::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "Too large"),
        Refusal::Erased => (ERASED.status, ERASED.title),
        Refusal::PersonalMissing { .. } | Refusal::PersonalInvalid { .. } | Refusal::PersonalOverHttp => {
            (StatusCode::BAD_REQUEST, "What is personal must come beside the command")
        }
        Refusal::RateLimited { .. } => (RATE_LIMITED.status, RATE_LIMITED.title),
        Refusal::Busy => (StatusCode::SERVICE_UNAVAILABLE, "The market is busy"),
        Refusal::SigMalformed { .. }
        | Refusal::AudMismatch
        | Refusal::BodyInvalid { .. }
        | Refusal::Stale { .. }
        | Refusal::FromFuture { .. } => (StatusCode::BAD_REQUEST, "The command can't be taken"),
    }
}

/// Gives the code and status of every refusal.
pub(crate) fn refusals() -> Vec<(&'static str, StatusCode)> {
    let server_time = Timestamp::from_ms(0);
    let one_of_each = [
        Refusal::TooLarge { size: 0, max: 0 },
        Refusal::SigMissing,
        Refusal::SigMalformed { rule: String::new() },
        Refusal::KidUnknown,
        Refusal::KidRevoked,
        Refusal::AlgMismatch,
        Refusal::SigInvalid,
        Refusal::AudMismatch,
        Refusal::CmdUnknown { name: String::new() },
        Refusal::BodyInvalid { rule: String::new() },
        Refusal::Stale { server_time },
        Refusal::FromFuture { server_time },
        Refusal::NonceReused,
        Refusal::SeqReplayed { high: 0 },
        Refusal::SeqTooOld { high: 0 },
        Refusal::SeqJump { high: 0 },
        Refusal::ScopeDenied { rule: "".into() },
        Refusal::AccountSuspended,
        Refusal::MfaRequired {
            challenge: Box::default(),
            has: Box::default(),
            credentials: Box::default(),
            problem: Box::default(),
            relying_party: None,
            rule: Box::default(),
        },
        Refusal::MfaLocked { until: server_time },
        Refusal::CommandConflict,
        Refusal::Erased,
        Refusal::PersonalMissing { hash: Hash::ZERO },
        Refusal::PersonalInvalid { rule: String::new() },
        Refusal::PersonalOverHttp,
        Refusal::RateLimited { retry_after_s: 0 },
        Refusal::Busy,
    ];
    one_of_each.iter().map(|refusal| (refusal.code(), status_of(refusal).0)).collect()
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Problem {
        let (status, title) = status_of(&refusal);
        let mut problem = Problem::with_code(status, refusal.code().to_owned(), title, refusal.to_string());
        if let Ok(Value::Object(mut fields)) = serde_json::to_value(&refusal) {
            fields.remove("code");
            problem.details.more = fields;
        }
        if let Refusal::RateLimited { retry_after_s } = refusal {
            problem.retry_after_s = Some(retry_after_s);
        }
        problem
    }
}

impl From<TooFarBehind> for Problem {
    fn from(behind: TooFarBehind) -> Problem {
        let mut problem = Problem::new(&VIEWS_BEHIND, behind.to_string());
        problem.details.wanted = Some(behind.wanted);
        problem.details.applied = Some(behind.applied);
        problem
    }
}

impl From<ViewError> for Problem {
    fn from(error: ViewError) -> Problem {
        // That a view has stopped was said when it did.
        if !matches!(error, ViewError::Stopped { .. }) {
            tracing::error!(error = &error as &dyn std::error::Error, "a view can't answer");
        }
        Problem::unavailable("this view can't answer now; its operator has been told")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Problem { status, retry_after_s, details } = self;
        metrics::counter!("skylink_http_problems_total", "code" => details.code.clone()).increment(1);
        let mut response = (status, axum::Json(details)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if let Some(seconds) = retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
