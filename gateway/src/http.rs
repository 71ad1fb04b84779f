//! What all routes have in common: what they work with, what is measured, and what is never let in.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use engine::Status;
use engine::clock::Clock;
use engine::effects::EffectsHandle;
use engine::keys::KeyRing;
use engine::log::EventLog;
use engine::tree::TreeReader;
use events::account::PublicKey;
use events::ids::MarketName;
use metrics_exporter_prometheus::PrometheusHandle;
use projections::Projections;
use tokio::sync::{Semaphore, watch};
use tracing::Instrument;

use crate::problem::{HEADERS_TOO_MANY, METHOD_NOT_ALLOWED, Problem};
use crate::routes::{Route, routes};
use crate::stream::STREAMS_MAX;
use crate::submit::Commands;
use crate::token::Tokens;

/// Most headers of a request. The server reads some more, so that it can say so.
pub const HEADERS_MAX: usize = 100;

/// How far the views had read the log when an answer was made; for a receipt, where its events stand.
pub(crate) const POSITION_HEADER: HeaderName = HeaderName::from_static("skylink-position");

/// What the HTTP side works with.
#[derive(Clone)]
pub struct Gateway {
    /// Who takes commands.
    pub commands: Arc<dyn Commands>,
    /// Takes the messages of payment providers, and tells how what is asked of them goes.
    pub effects: EffectsHandle,
    /// The views that queries read.
    pub projections: Projections,
    /// The log that streams follow.
    pub log: Arc<dyn EventLog>,
    /// The tree over the log, which proofs are made of.
    pub tree: TreeReader,
    /// The keys that may sign requests for tokens.
    pub keys: Arc<KeyRing>,
    /// The market.
    pub market: MarketName,
    /// The key that the market signs receipts with.
    pub receipt_key: PublicKey,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// How the engine is.
    pub status: watch::Receiver<Status>,
    /// The metrics, where a recorder is installed (see [`crate::health::install_metrics`]).
    pub metrics: Option<PrometheusHandle>,
}

/// The gateway with what lives as long as its server.
pub(crate) struct App {
    pub(crate) gateway: Gateway,
    pub(crate) tokens: Tokens,
    pub(crate) streams: Arc<Semaphore>,
}

/// Makes the router of a gateway.
pub fn router(gateway: Gateway) -> Router {
    let streams = Arc::new(Semaphore::new(STREAMS_MAX));
    let app = Arc::new(App { gateway, tokens: Tokens::new(), streams });
    let mut router = Router::new();
    for Route { path, handler, .. } in routes() {
        router = router.route(path, handler);
    }
    router
        .fallback(|| async { Problem::not_found("page") })
        .method_not_allowed_fallback(|| async {
            Problem::new(&METHOD_NOT_ALLOWED, "this path takes another method: see `Allow` and /openapi.json")
        })
        .layer(middleware::from_fn(check_headers))
        .layer(middleware::from_fn_with_state(Arc::clone(&app), observe))
        .with_state(app)
}

/// Turns away requests with more headers than any honest one has.
async fn check_headers(request: Request, next: Next) -> Response {
    let count = request.headers().len();
    if count > HEADERS_MAX {
        let detail = format!("a request may have {HEADERS_MAX} headers, this one has {count}: send fewer");
        return Problem::new(&HEADERS_TOO_MANY, detail).into_response();
    }
    next.run(request).await
}

/// Measures each request and says how far the views are. Paths are logged as patterns: ids stay out.
async fn observe(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let method = request.method().as_str().to_owned();
    let position = *app.gateway.projections.applied().borrow();
    let span = tracing::info_span!("request", method, route, status = tracing::field::Empty);
    let mut response = next.run(request).instrument(span.clone()).await;
    let status = response.status().as_u16();
    span.record("status", status);
    span.in_scope(|| tracing::debug!(elapsed_us = started.elapsed().as_micros(), "answered"));
    let labels = [("method", method), ("route", route), ("status", status.to_string())];
    metrics::histogram!("skylink_http_seconds", &labels).record(started.elapsed());
    response.headers_mut().entry(POSITION_HEADER).or_insert(HeaderValue::from(position));
    response
}
