//! Proofs: the market's signed checkpoint, the tiles of the tree over its log, and what proves that an event is in it and that it is
//! only ever appended to. They hold nothing but hashes, so anybody may ask.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use commands::checkpoint::verifier_key;
use commands::receipt::{LogProof, ReceiptBody};
use engine::tree::{Signed, TreeReader, tile_of};
use events::account::Algorithm;
use events::{Hash, Position};
use schemars::JsonSchema;
use serde::Serialize;

use crate::http::App;
use crate::problem::Problem;
use crate::query::Params;

/// How long an event may take from the log to a checkpoint before that is answered instead of its proof.
const CHECKPOINT_TIME_MAX: Duration = Duration::from_secs(2);
/// What is said of a whole tile, which never changes.
const FOR_EVER: &str = "public, max-age=31536000, immutable";

/// Proves that an event is in the log: from `leaf` and `path` one computes the root of the tree over the first `size` events.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Inclusion {
    /// The signed checkpoint of that size; null: of a log of another size than the newest has, which one has to have already.
    checkpoint: Option<String>,
    /// The event's hash: SHA-256 of a zero byte, the length of its metadata in four bytes, big-endian, its metadata and its payload.
    leaf: Hash,
    /// The hashes beside the way from the event to the root, as RFC 6962 has them.
    path: Vec<Hash>,
    /// Which event; it is leaf number `position` - 1.
    position: Position,
    /// How many events that log has.
    size: Position,
}

/// Proves that the log of `to` events begins with that of `from` events.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Consistency {
    /// The signed checkpoint of `to` events; null: that is not the size of the newest, so one has to have it already.
    checkpoint: Option<String>,
    /// How many events the shorter log has.
    from: Position,
    /// The hashes that prove it, as RFC 6962 has them.
    path: Vec<Hash>,
    /// How many events the longer log has.
    to: Position,
}

fn newest(app: &App) -> Result<Signed, Problem> {
    let none = "there is no checkpoint: the log has no events, or its market's key is not Ed25519";
    app.gateway.tree.latest().ok_or_else(|| Problem::unavailable(none))
}

/// Reads the tree, away from the async threads.
async fn read<T: Send + 'static>(
    app: &App,
    what: &'static str,
    question: impl FnOnce(&TreeReader) -> io::Result<Option<T>> + Send + 'static,
) -> Result<T, Problem> {
    let tree = app.gateway.tree.clone();
    let asked = tokio::task::spawn_blocking(move || question(&tree)).await;
    let unreadable = || Problem::unavailable("the tree over the log can't be read");
    match asked.map_err(|_| unreadable())? {
        Ok(found) => found.ok_or_else(|| Problem::not_found(what)),
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "the tree over the log can't be read");
            Err(unreadable())
        }
    }
}

/// Proves that the events of a receipt are in the log; none, if no checkpoint has them in time or the tree can't be read: the
/// receipt stands without it, and can be asked for again.
pub(crate) async fn log_proof(app: &App, receipt: &ReceiptBody) -> Option<LogProof> {
    // A market whose key signs no checkpoints is not waited for.
    app.gateway.market_keys.all().live().find(|known| known.key.algorithm() == Algorithm::EdDsa)?;
    let reached = app.gateway.tree.wait_for(receipt.position);
    tokio::time::timeout(CHECKPOINT_TIME_MAX, reached).await.ok()?;
    let Signed { checkpoint, note } = app.gateway.tree.latest()?;
    let positions: Vec<Position> = receipt.events.iter().map(|event| event.position).collect();
    let size = checkpoint.head.position;
    let prove = move |tree: &TreeReader| {
        positions
            .into_iter()
            .map(|position| tree.inclusion(position, size))
            .collect::<io::Result<Option<_>>>()
    };
    let paths = read(app, "event in the log", prove).await.ok()?;
    Some(LogProof { checkpoint: note.to_string(), paths })
}

fn text(text: impl Into<axum::body::Body>) -> Response {
    ([(CONTENT_TYPE, "text/plain; charset=utf-8"), (CACHE_CONTROL, "no-cache")], text.into()).into_response()
}

/// `GET /log/checkpoint`
pub(crate) async fn checkpoint(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    Ok(text(newest(&app)?.note.to_string()))
}

/// `GET /log/key`
pub(crate) async fn key(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    let key = verifier_key(&app.gateway.market, &app.gateway.market_keys.current());
    let key = key.map_err(|error| Problem::unavailable(error.to_string()))?;
    Ok(text(format!("{key}\n")))
}

/// `GET /log/tile/{level}/{number}`
pub(crate) async fn tile(State(app): State<Arc<App>>, Path(path): Path<String>) -> Result<Response, Problem> {
    let tile = tile_of(&path).ok_or_else(|| Problem::not_found("tile"))?;
    let hashes = read(&app, "tile", move |tree| tree.tile(&tile)).await?;
    Ok(([(CONTENT_TYPE, "application/octet-stream"), (CACHE_CONTROL, FOR_EVER)], hashes).into_response())
}

/// `GET /log/proof/inclusion`
pub(crate) async fn inclusion(
    params: Params,
    State(app): State<Arc<App>>,
) -> Result<impl IntoResponse, Problem> {
    params.only(&["position", "size"])?;
    let position = count(&params, "position")?.ok_or_else(|| Problem::query_invalid("name `position`"))?;
    let (size, checkpoint) = of_size(&app, count(&params, "size")?, position).await?;
    let proof = move |tree: &TreeReader| Ok(tree.leaf(position)?.zip(tree.inclusion(position, size)?));
    let (leaf, path) = read(&app, "event in a log of that size", proof).await?;
    Ok(axum::Json(Inclusion { checkpoint, leaf, path, position, size }))
}

/// `GET /log/proof/consistency`
pub(crate) async fn consistency(
    params: Params,
    State(app): State<Arc<App>>,
) -> Result<impl IntoResponse, Problem> {
    params.only(&["from", "to"])?;
    let from = count(&params, "from")?.ok_or_else(|| Problem::query_invalid("name `from`"))?;
    let (to, checkpoint) = of_size(&app, count(&params, "to")?, from).await?;
    let path =
        read(&app, "log that begins with that many events", move |tree| tree.consistency(from, to)).await?;
    Ok(axum::Json(Consistency { checkpoint, from, path, to }))
}

fn count(params: &Params, name: &'static str) -> Result<Option<Position>, Problem> {
    match params.get(name)? {
        Some(0) => Err(Problem::query_invalid(format!("`{name}` is 1 or more"))),
        given => Ok(given),
    }
}

/// Gives the size that was asked for, or that of the newest checkpoint, which has an event; and that checkpoint, if it has the size.
async fn of_size(
    app: &App,
    asked: Option<Position>,
    has: Position,
) -> Result<(Position, Option<String>), Problem> {
    if asked.is_none() {
        // What was answered a moment ago is on its way there. If it does not come, the answer is that there is no such event.
        drop(tokio::time::timeout(CHECKPOINT_TIME_MAX, app.gateway.tree.wait_for(has)).await);
    }
    let Signed { checkpoint, note } = newest(app)?;
    let size = asked.unwrap_or(checkpoint.head.position);
    Ok((size, (size == checkpoint.head.position).then(|| note.to_string())))
}
