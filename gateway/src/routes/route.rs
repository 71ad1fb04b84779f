//! How a route is said: its handler, its parameters, its answers and its problems.

use std::sync::Arc;

use axum::handler::Handler;
use axum::http::StatusCode;
use axum::routing::{MethodRouter, get, post};
use commands::personal::HEADER_BYTES_MAX;
use commands::receipt::Receipt;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Value, json};

use crate::changes::Changes;
use crate::http::App;
use crate::problem::{
    BODY_BROKEN, BODY_LATE, ERASED, FORBIDDEN, HEADERS_TOO_MANY, Kind, MEDIA_TYPE, OUTCOME_UNKNOWN,
    PAST_BUILDING, QUERY_INVALID, RATE_LIMITED, TOKEN_EXPIRED, TOKEN_INVALID, TOKEN_MISSING, UNAVAILABLE,
    VIEWS_BEHIND,
};

/// What is asked by those who look after this process, and always answered.
pub(crate) const UNLIMITED: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

/// What an answer that is no problem holds.
#[derive(Clone, Copy)]
pub(crate) enum Content {
    /// JSON as it is.
    Json(fn(&mut SchemaGenerator) -> Schema),
    /// JSON out of the views, with moments in RFC 3339 beside those in milliseconds.
    View(fn(&mut SchemaGenerator) -> Schema),
    /// Something else, of a media type.
    Text(&'static str),
    /// Bytes.
    Bytes,
    /// Nothing: a browser is sent to another page.
    Elsewhere,
}

/// What a request holds.
#[derive(Clone, Copy)]
pub(crate) enum Takes {
    /// A signed command: any, or that of a name.
    Command(Option<&'static str>),
    /// A signed request for a token.
    TokenRequest,
    /// A message that a provider signs in its own way.
    ProviderMessage,
    /// JSON that is not signed, of this form.
    Json(fn(&mut SchemaGenerator) -> Schema, &'static str),
}

/// Whether a request has a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NeedOfToken {
    /// None is looked at.
    None,
    /// One that is there must be good, and tells who asks.
    Optional,
    /// Without one nothing is answered.
    Always,
}

/// A parameter of a path or a query, or a header.
pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    pub(crate) place: &'static str,
    pub(crate) is_required: bool,
    pub(crate) description: &'static str,
    pub(crate) schema: Value,
}

/// One thing that can be asked for over HTTP.
pub(crate) struct Route {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) takes: Option<Takes>,
    pub(crate) token: NeedOfToken,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) answers: Vec<(StatusCode, Content)>,
    pub(crate) problems: Vec<Kind>,
    pub(crate) handler: MethodRouter<Arc<App>>,
}

impl Route {
    pub(super) fn get<H, T>(path: &'static str, summary: &'static str, handler: H) -> Route
    where
        H: Handler<T, Arc<App>>,
        T: 'static,
    {
        Route::new("get", path, summary, get(handler))
    }

    pub(super) fn post<H, T>(path: &'static str, summary: &'static str, handler: H) -> Route
    where
        H: Handler<T, Arc<App>>,
        T: 'static,
    {
        Route::new("post", path, summary, post(handler))
    }

    pub(super) fn new(
        method: &'static str,
        path: &'static str,
        summary: &'static str,
        handler: MethodRouter<Arc<App>>,
    ) -> Route {
        Route {
            method,
            path,
            summary,
            takes: None,
            token: NeedOfToken::None,
            parameters: Vec::new(),
            answers: Vec::new(),
            problems: if UNLIMITED.contains(&path) {
                vec![HEADERS_TOO_MANY]
            } else {
                vec![HEADERS_TOO_MANY, RATE_LIMITED]
            },
            handler,
        }
    }

    /// Says that a signed command belongs here, and its receipt is the answer.
    pub(super) fn command(mut self, name: Option<&'static str>) -> Route {
        self.takes = Some(Takes::Command(name));
        self.problems.extend([OUTCOME_UNKNOWN]);
        let step_up = json!({"type": "string", "pattern": "^[A-Za-z0-9_-]{1,8192}$"});
        self.parameter(
            "header",
            "Skylink-Step-Up",
            "The second factor that `mfa_required` asked for, see docs/step-up.md",
            step_up,
        )
        .parameter(
            "header",
            "Skylink-Personal",
            "What the command names by hash, see docs/privacy.md",
            json!({"type": "string", "maxLength": HEADER_BYTES_MAX}),
        )
        .body_problems()
        .answers(json_of::<Receipt>())
    }

    pub(super) fn body_problems(self) -> Route {
        self.problems([BODY_BROKEN, BODY_LATE, MEDIA_TYPE])
    }

    /// Says that JSON which is not signed belongs here, and what becomes of it.
    pub(super) fn takes_json<T: JsonSchema>(mut self, told: &'static str) -> Route {
        self.takes = Some(Takes::Json(schema_of::<T>, told));
        self.body_problems()
    }

    /// Says that whoever asks must have a token.
    pub(super) fn with_token(mut self) -> Route {
        self.token = NeedOfToken::Always;
        self.problems([TOKEN_MISSING, TOKEN_INVALID, TOKEN_EXPIRED, ERASED, UNAVAILABLE])
    }

    /// Adds whose account it is about.
    pub(super) fn of_account(self) -> Route {
        self.in_path(
            "account",
            "`me`; or the account, which for operators may be anybody's",
            json!({"oneOf": [uuid(), {"const": "me"}]}),
        )
    }

    /// Says that a question to the views stands here: with a token, and with `min_position`.
    pub(super) fn question(self) -> Route {
        self.asked(NeedOfToken::Always)
    }

    /// Says that a question to the views stands here which anybody may ask, with a token or without.
    pub(super) fn open_question(self) -> Route {
        self.asked(NeedOfToken::Optional)
    }

    fn asked(mut self, token: NeedOfToken) -> Route {
        self.token = token;
        self.problems.extend([TOKEN_MISSING, TOKEN_INVALID, TOKEN_EXPIRED, ERASED]);
        self.problems.extend([QUERY_INVALID, UNAVAILABLE, VIEWS_BEHIND]);
        self.query("min_position", "Wait until the views have read up to here", position())
    }

    pub(super) fn answers(mut self, content: Content) -> Route {
        self.answers.push((StatusCode::OK, content));
        self
    }

    pub(super) fn problems<const N: usize>(mut self, kinds: [Kind; N]) -> Route {
        self.problems.extend(kinds);
        self
    }

    pub(super) fn query(self, name: &'static str, description: &'static str, schema: Value) -> Route {
        self.parameter("query", name, description, schema)
    }

    pub(super) fn in_path(self, name: &'static str, description: &'static str, schema: Value) -> Route {
        self.parameter("path", name, description, schema)
    }

    pub(super) fn parameter(
        mut self,
        place: &'static str,
        name: &'static str,
        description: &'static str,
        schema: Value,
    ) -> Route {
        let is_required = place == "path";
        self.parameters.push(Parameter { name, place, is_required, description, schema });
        self
    }

    /// Says that the past can be asked, by operators.
    pub(super) fn of_past(self) -> Route {
        self.query("as_of", "For operators: what was answered when the log ended here", moment_of_log())
            .past()
    }

    /// Says that what changed between two moments of the log is asked for, by operators.
    pub(super) fn changes(self) -> Route {
        self.question()
            .query("since", "The first of both moments; must be named", moment_of_log())
            .query("until", "The second one; now if absent", moment_of_log())
            .past()
            .answers(view::<Changes>())
    }

    fn past(mut self) -> Route {
        self.problems.extend([FORBIDDEN, PAST_BUILDING]);
        self
    }

    /// Adds a time to be asked about.
    pub(super) fn time(self) -> Route {
        self.query(
            "from",
            "Begin of the time, widened to full steps; 30 days before `to` if absent",
            moment(),
        )
        .query("to", "End of the time, which is not in it; now if absent", moment())
    }

    pub(super) fn limit(self, usual: usize, max: usize) -> Route {
        let schema = json!({"type": "integer", "minimum": 1, "maximum": max, "default": usual});
        self.query("limit", "How many at most", schema)
    }

    /// Adds which page of a list is asked for, and how much of it.
    pub(super) fn paged(self, cursor: Value, usual: usize, max: usize) -> Route {
        self.query("cursor", "`next_cursor` of the page before", cursor).limit(usual, max)
    }

    /// Adds whose numbers are asked for.
    pub(super) fn whose(self) -> Route {
        self.query("seller", "The seller whose numbers are asked for", uuid()).query(
            "listing",
            "The listing whose numbers are asked for; not together with `seller`",
            uuid(),
        )
    }
}

fn moment_of_log() -> Value {
    json!({"oneOf": [
        {"type": "string", "pattern": "^[0-9]{1,19}$", "description": "a position"},
        {"type": "string", "format": "date-time"},
    ]})
}

/// The schema of a moment.
pub(super) fn moment() -> Value {
    json!({"oneOf": [
        {"type": "string", "format": "date-time"},
        {"type": "string", "pattern": "^[0-9]{1,15}$", "description": "milliseconds since 1970"},
    ]})
}

/// The schema of a position of the log.
pub(super) fn position() -> Value {
    json!({"type": "integer", "minimum": 0})
}

pub(super) fn uuid() -> Value {
    json!({"type": "string", "format": "uuid"})
}

pub(super) fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

pub(super) fn view<T: JsonSchema>() -> Content {
    Content::View(schema_of::<T>)
}

pub(super) fn json_of<T: JsonSchema>() -> Content {
    Content::Json(schema_of::<T>)
}
