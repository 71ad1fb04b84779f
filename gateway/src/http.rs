//! What all routes have in common: what they work with, what is measured, and what is never let in.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use engine::Status;
use engine::clock::Clock;
use engine::effects::EffectsHandle;
use engine::keys::KeyRing;
use engine::keystore::KeyStore;
use engine::log::EventLog;
use engine::market_keys::LiveKeys;
use engine::pace::Pace;
use engine::passwords::Passwords;
use engine::secrets::Secrets;
use engine::tree::TreeReader;
use engine::vault::Vault;
use engine::vault::follow::Followed;
use events::ids::MarketName;
use metrics_exporter_prometheus::PrometheusHandle;
use projections::Projections;
use tokio::sync::{Semaphore, watch};
use tracing::Instrument;

use crate::console::{Board, PAGES_LIVE_MAX, Sessions};
use crate::dify::Dify;
use crate::health::Storage;
use crate::limits::Limits;
use crate::past::Past;
use crate::problem::{HEADERS_TOO_MANY, METHOD_NOT_ALLOWED, Problem, RATE_LIMITED};
use crate::push::Push;
use crate::rebuild::Rebuilds;
use crate::routes::{Route, UNLIMITED, routes};
use crate::search::Turns;
use crate::sign_in::Challenges;
use crate::stream::STREAMS_MAX;
use crate::submit::Commands;
use crate::token::Tokens;
use crate::webhooks::Webhooks;

/// Most headers of a request. The server reads some more, so that it can say so.
pub const HEADERS_MAX: usize = 100;

/// What an answer may do that is no page: nothing. Pages say what they may themselves.
const CONTENT_SECURITY_POLICY: &str =
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

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
    /// The views as they were.
    pub past: Arc<Past>,
    /// The tree over the log, which proofs are made of.
    pub tree: TreeReader,
    /// What is personal of accounts; none: it is not kept here.
    pub vault: Option<Arc<Vault>>,
    /// How the vault follows the log.
    pub vault_follows: watch::Receiver<Followed>,
    /// The keys that may sign requests for tokens.
    pub keys: Arc<KeyRing>,
    /// The secrets of people's apps.
    pub secrets: Arc<Secrets>,
    /// What passwords are checked with.
    pub passwords: Arc<Passwords>,
    /// The key store, for the registrar's key, with which is told who signed in.
    pub store: KeyStore,
    /// The market.
    pub market: MarketName,
    /// The market's own keys, with which it signs receipts and checkpoints.
    pub market_keys: Arc<LiveKeys>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// How the engine is.
    pub status: watch::Receiver<Status>,
    /// How fast the engine is, while it writes.
    pub pace: Arc<Pace>,
    /// Where the log stands.
    pub storage: Storage,
    /// What language models are asked for.
    pub dify: Arc<Dify>,
    /// Tells addresses what happens.
    pub webhooks: Webhooks,
    /// Tells devices, where the operator has it do so.
    pub push: Option<Push>,
    /// How much anybody may ask for.
    pub limits: Arc<Limits>,
    /// The metrics, where a recorder is installed (see [`crate::health::install_metrics`]).
    pub metrics: Option<PrometheusHandle>,
}

/// The gateway with what lives as long as its server.
pub(crate) struct App {
    pub(crate) gateway: Gateway,
    pub(crate) tokens: Tokens,
    pub(crate) streams: Arc<Semaphore>,
    pub(crate) searches: Turns,
    pub(crate) sessions: Sessions,
    pub(crate) challenges: Challenges,
    pub(crate) board: Board,
    pub(crate) pages_live: Arc<Semaphore>,
    pub(crate) rebuilds: Rebuilds,
}

/// Makes the router of a gateway.
pub fn router(gateway: Gateway) -> Router {
    let streams = Arc::new(Semaphore::new(STREAMS_MAX));
    let (tokens, sessions) = (Tokens::new(), Sessions::new(&gateway.market));
    let pages_live = Arc::new(Semaphore::new(PAGES_LIVE_MAX));
    let (searches, board, rebuilds) = (Turns::new(), Board::default(), Rebuilds::default());
    let challenges = Challenges::new();
    let app = Arc::new(App {
        gateway,
        tokens,
        streams,
        searches,
        sessions,
        challenges,
        board,
        pages_live,
        rebuilds,
    });
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
        .layer(middleware::from_fn_with_state(Arc::clone(&app), limit))
        .layer(middleware::from_fn_with_state(Arc::clone(&app), observe))
        .with_state(app)
}

/// Makes the router of connections that are one too many: whatever they ask, they are told so, and then closed.
pub(crate) fn turned_away() -> Router {
    Router::new().fallback(|request: Request| async move {
        let detail = "this address has as many connections as it may: nothing was decided; ask over one of them, or again \
                      when one has ended";
        let mut response = Problem::new(&RATE_LIMITED, detail).retrying_after(1).into_response();
        secure(response.headers_mut(), is_private(request.uri().path()), false);
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        response
    })
}

/// Tells whether nobody else is to keep what is answered there.
fn is_private(path: &str) -> bool {
    ["/v1/", "/api/"].iter().any(|start| path.starts_with(start))
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

/// The address at the other end of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// Turns away who asks too much, and says on each answer what browsers may do with it.
async fn limit(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let limits = &app.gateway.limits;
    let peer = request.extensions().get::<Peer>().map(|Peer(address)| *address);
    let client = limits.client(peer, request.headers());
    let path = request.uri().path();
    let is_limited = !UNLIMITED.contains(&path);
    let is_private = is_private(path);
    let mut response = match limits.take_address(client.as_ref().filter(|_| is_limited)) {
        Ok(()) => next.run(request).await,
        Err(too_many) => Problem::from(too_many).into_response(),
    };
    limits.charge_unproven(client.as_ref(), response.status());
    secure(response.headers_mut(), is_private, client.is_some_and(|client| client.is_behind_tls()));
    response
}

/// Adds what keeps browsers from doing more with an answer than it is meant for.
fn secure(headers: &mut HeaderMap, is_private: bool, is_behind_tls: bool) {
    let mut say = |name: HeaderName, value: &'static str| {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    };
    say(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    say(header::REFERRER_POLICY, "no-referrer");
    say(header::X_FRAME_OPTIONS, "DENY");
    say(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY);
    if is_private {
        say(header::CACHE_CONTROL, "no-store");
    }
    // Only where there is TLS: over plain HTTP it means nothing, and browsers must ignore it.
    if is_behind_tls {
        say(header::STRICT_TRANSPORT_SECURITY, "max-age=63072000");
    }
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
