//! Speaks to a SurrealDB over HTTP, with its RPC protocol in JSON (`POST /rpc`), which versions 2 and 3 have.

use std::time::Duration;

use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

/// How long an answer is waited for.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);
/// Most characters of what the database says that are told.
const WORDS_MAX: usize = 400;
/// What the statements of a transaction that failed elsewhere say.
const NOT_EXECUTED: &str = "The query was not executed due to";
/// What a transaction says that lost against another, and can be tried again.
const CONFLICT: &str = "can be retried";
/// What an error that was thrown by a statement of ours begins with.
pub(super) const THROWN: &str = "skylink: ";

/// A database.
pub(super) struct Surreal {
    http: reqwest::Client,
    url: String,
    namespace: String,
    database: String,
    login: Option<Login>,
}

/// By what the database lets somebody in.
pub(super) struct Login {
    pub(super) user: String,
    pub(super) password: String,
    pub(super) level: Level,
}

/// Where a user is defined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Level {
    /// On the whole server.
    Root,
    /// On the namespace.
    Namespace,
    /// On the database.
    Database,
}

/// Why a query gave nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum QueryError {
    /// Nobody answered, or not in time. What was asked may have been done.
    #[error("the database at {url} can't be reached: start it, or correct --url")]
    Unreachable { url: String, source: reqwest::Error },
    /// The server can't answer now.
    #[error("the database at {url} answers {status}: {words}")]
    Unavailable { url: String, status: StatusCode, words: String },
    /// Another transaction was in the way.
    #[error("another transaction was in the way: {0}")]
    Conflict(String),
    /// A statement of ours refused it.
    #[error("{0}")]
    Thrown(String),
    /// The server lets nobody in by that, or not there.
    #[error(
        "the database at {url} does not let in user {user} ({status}): correct --user, --password-file and --user-level; {words}"
    )]
    NotLetIn { url: String, user: String, status: StatusCode, words: String },
    /// The database will not have it.
    #[error("the database refuses: {0}")]
    Refused(String),
    /// What came is no answer of a SurrealDB.
    #[error("what answers at {url} is no SurrealDB of version 2 or 3: {words}")]
    NoAnswer { url: String, words: String },
}

impl QueryError {
    /// Tells whether it may go over by itself. Whether what was asked was done is not known then.
    pub(super) fn is_passing(&self) -> bool {
        matches!(
            self,
            QueryError::Unreachable { .. } | QueryError::Unavailable { .. } | QueryError::Conflict(_)
        )
    }
}

#[derive(Deserialize)]
struct Answer {
    result: Option<Value>,
    error: Option<Failure>,
}

#[derive(Deserialize)]
struct Failure {
    message: String,
}

#[derive(Deserialize)]
struct Statement {
    status: String,
    #[serde(default)]
    result: Value,
}

impl Surreal {
    /// Names a database; nothing is sent yet.
    pub(super) fn new(
        url: &str,
        namespace: &str,
        database: &str,
        login: Option<Login>,
    ) -> anyhow::Result<Surreal> {
        let http = reqwest::Client::builder().timeout(ANSWER_TIME_MAX).build()?;
        let url = url.trim_end_matches('/').to_owned();
        Ok(Surreal { http, url, namespace: namespace.to_owned(), database: database.to_owned(), login })
    }

    /// Asks with statements and variables, and gives what each statement gave.
    pub(super) async fn query(&self, statements: &str, variables: &Value) -> Result<Vec<Value>, QueryError> {
        // Said here too, and not by the headers alone: a server of version 3 keeps what they say in one place for all who ask over HTTP at once.
        let statements = format!("USE NS ⟨{}⟩ DB ⟨{}⟩;\n{statements}", self.namespace, self.database);
        let body = json!({ "id": 1, "method": "query", "params": [statements, variables] });
        let request = self.http.post(format!("{}/rpc", self.url)).header("accept", "application/json");
        let request = request.header("surreal-ns", &self.namespace).header("surreal-db", &self.database);
        let request = match &self.login {
            None => request,
            Some(Login { user, password, level }) => {
                let request = request.basic_auth(user, Some(password));
                let of_namespace = *level != Level::Root;
                let request =
                    if of_namespace { request.header("surreal-auth-ns", &self.namespace) } else { request };
                let of_database = *level == Level::Database;
                if of_database { request.header("surreal-auth-db", &self.database) } else { request }
            }
        };
        let unreachable = |source: reqwest::Error| QueryError::Unreachable {
            url: self.url.clone(),
            source: source.without_url(),
        };
        let response = request.json(&body).send().await.map_err(unreachable)?;
        let status = response.status();
        let text = response.text().await.map_err(unreachable)?;
        // The first is that of `USE`.
        Ok(self.understand(status, &text)?.into_iter().skip(1).collect())
    }

    fn understand(&self, status: StatusCode, text: &str) -> Result<Vec<Value>, QueryError> {
        let (url, words) = (self.url.clone(), text.chars().take(WORDS_MAX).collect::<String>());
        if status == StatusCode::UNAUTHORIZED || status == StatusCode::FORBIDDEN {
            let user = self.login.as_ref().map_or("(none)", |login| &login.user).to_owned();
            return Err(QueryError::NotLetIn { url, user, status, words });
        }
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            return Err(QueryError::Unavailable { url, status, words });
        }
        let answer: Answer = match serde_json::from_str(text) {
            Ok(answer) => answer,
            Err(_) => return Err(QueryError::NoAnswer { url, words }),
        };
        if let Some(failure) = answer.error {
            return Err(refused(failure.message));
        }
        let statements: Option<Vec<Statement>> =
            answer.result.and_then(|result| serde_json::from_value(result).ok());
        let statements = statements.ok_or(QueryError::NoAnswer { url, words })?;
        let is_bad = |statement: &&Statement| statement.status != "OK";
        let said = |statement: &Statement| match &statement.result {
            Value::String(said) => said.clone(),
            other => other.to_string(),
        };
        let bad: Vec<String> = statements.iter().filter(is_bad).map(said).collect();
        // The others failed since it did.
        let first = bad.iter().find(|said| !said.starts_with(NOT_EXECUTED)).or(bad.first());
        match first {
            Some(said) => Err(refused(said.clone())),
            None => Ok(statements.into_iter().map(|statement| statement.result).collect()),
        }
    }
}

fn refused(said: String) -> QueryError {
    let words = || said.chars().take(WORDS_MAX).collect();
    if said.contains(CONFLICT) {
        return QueryError::Conflict(words());
    }
    match said.split_once(THROWN) {
        Some((_, thrown)) => QueryError::Thrown(thrown.to_owned()),
        None => QueryError::Refused(words()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn understood(status: u16, text: &str) -> Result<Vec<Value>, QueryError> {
        let surreal = Surreal::new("http://127.0.0.1:8000/", "n", "d", None).unwrap();
        surreal.understand(StatusCode::from_u16(status).unwrap(), text)
    }

    #[test]
    fn what_each_statement_gave_is_read_and_the_first_cause_of_a_failure_is_told() {
        let both = r#"{"id": 1, "result": [{"status": "OK", "result": null, "time": "1µs"}, {"status": "OK", "result": [7]}]}"#;
        assert_eq!(understood(200, both).unwrap(), [Value::Null, json!([7])]);
        let failed = r#"{"id": 1, "result": [
            {"status": "ERR", "result": "The query was not executed due to a failed transaction"},
            {"status": "ERR", "result": "Couldn't coerce value for field `name`"},
            {"status": "ERR", "result": "The query was not executed due to a cancelled transaction"}]}"#;
        assert_eq!(
            understood(200, failed).unwrap_err().to_string(),
            "the database refuses: Couldn't coerce value for field `name`"
        );
        let thrown =
            r#"{"result": [{"status": "ERR", "result": "An error occurred: skylink: it is elsewhere"}]}"#;
        assert!(
            matches!(understood(200, thrown), Err(QueryError::Thrown(said)) if said == "it is elsewhere")
        );
    }

    #[test]
    fn only_what_may_go_over_is_tried_again() {
        let conflict = r#"{"result": [{"status": "ERR", "result": "Failed to commit transaction due to a read or write conflict. This transaction can be retried"}]}"#;
        let error =
            r#"{"error": {"code": -32000, "message": "There was a problem with the database: Parse error"}}"#;
        for (status, text, is_passing) in [
            (200, conflict, true),
            (503, "later", true),
            (429, "later", true),
            (200, error, false),
            (401, "no", false),
            (200, "<html>", false),
            (200, "{}", false),
            (404, "not found", false),
        ] {
            assert_eq!(understood(status, text).unwrap_err().is_passing(), is_passing, "{status} {text}");
        }
    }
}
