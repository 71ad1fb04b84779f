//! What is asked for in a URL's query, read as the routes do and answered by no market: for those who try it with what nobody would
//! send (docs/fuzzing.md).

use engine::log::EventLog;
use events::Position;
use projections::search::Question;

pub use crate::past::AsOf;
use crate::past::end_of;
use crate::problem::Problem;
use crate::query::Params;
use crate::search::{asked, asked_as_seed};

fn params(query: &str) -> Result<Params, Problem> {
    let url = format!("/?{query}").parse().map_err(|_| Problem::query_invalid("the query can't be read"))?;
    Params::of(&url)
}

/// Reads what `GET /v1/search?<query>` asks for, without a token.
///
/// # Errors
/// What its sender is told.
pub fn search(query: &str) -> Result<Question, String> {
    params(query).and_then(|params| asked(&params, None)).map_err(Problem::into_detail)
}

/// Reads what `GET /api/marketplace/search?<query>` asks for, without a token.
///
/// # Errors
/// What its sender is told.
pub fn marketplace_search(query: &str) -> Result<Question, String> {
    params(query).and_then(|params| asked_as_seed(&params, None)).map_err(Problem::into_detail)
}

/// Reads which moment of the log `?as_of=` names; none: it names none.
///
/// # Errors
/// What its sender is told.
pub fn as_of(query: &str) -> Result<Option<AsOf>, String> {
    params(query).and_then(|params| params.as_of("as_of")).map_err(Problem::into_detail)
}

/// Finds where the last commit of a past ends; 0: the market had not begun then.
///
/// # Errors
/// What whoever asks is told.
pub async fn end_of_past(log: &dyn EventLog, as_of: AsOf) -> Result<Position, String> {
    end_of(log, as_of).await.map_err(Problem::into_detail)
}
