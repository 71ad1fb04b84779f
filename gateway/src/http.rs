//! The HTTP server: its routes, and what all of them have in common.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{MethodRouter, get, post};
use engine::Status;
use engine::clock::Clock;
use engine::keys::KeyRing;
use engine::log::EventLog;
use events::account::PublicKey;
use events::ids::MarketName;
use metrics_exporter_prometheus::PrometheusHandle;
use projections::Projections;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tracing::Instrument;

use crate::problem::Problem;
use crate::stream::STREAMS_MAX;
use crate::submit::Commands;
use crate::token::Tokens;
use crate::{analytics, health, query, stream, submit, token};

/// How long requests under way may take when the server stops; streams end then too.
pub const SHUTDOWN_TIME_MAX: Duration = Duration::from_secs(5);

/// How far the views had read the log when an answer was made; for a receipt, where its events stand.
pub(crate) const POSITION_HEADER: HeaderName = HeaderName::from_static("skylink-position");

/// What the HTTP side works with.
#[derive(Clone)]
pub struct Gateway {
    /// Who takes commands.
    pub commands: Arc<dyn Commands>,
    /// The views that queries read.
    pub projections: Projections,
    /// The log that streams follow.
    pub log: Arc<dyn EventLog>,
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

/// One thing that can be asked for over HTTP.
pub(crate) struct Route {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) summary: &'static str,
    handler: MethodRouter<Arc<App>>,
}

fn read<H, T>(path: &'static str, summary: &'static str, handler: H) -> Route
where
    H: axum::handler::Handler<T, Arc<App>>,
    T: 'static,
{
    Route { method: "get", path, summary, handler: get(handler) }
}

fn write<H, T>(path: &'static str, summary: &'static str, handler: H) -> Route
where
    H: axum::handler::Handler<T, Arc<App>>,
    T: 'static,
{
    Route { method: "post", path, summary, handler: post(handler) }
}

/// The command that each path of its own takes.
pub(crate) const COMMAND_PATHS: [(&str, &str); 9] = [
    ("/api/cart/add", "cart.add"),
    ("/api/cart/remove", "cart.remove"),
    ("/api/cart/update", "cart.set_quantity"),
    ("/api/cart/clear", "cart.clear"),
    ("/api/cart/migrate-to-order", "cart.migrate"),
    ("/api/orders/create", "order.place"),
    ("/api/orders/ship", "order.ship"),
    ("/api/orders/confirm-delivery", "order.confirm_delivery"),
    ("/api/orders/cancel", "order.cancel"),
];

/// Lists every route.
pub(crate) fn routes() -> Vec<Route> {
    let mut routes = vec![
        write("/v1/commands", "Give a signed command", submit::any),
        write("/v1/commands/{name}", "Give a signed command of this name", submit::named),
        write("/v1/tokens", "Get an access token for queries, with a signed request", token::issue),
        read("/v1/receipts/{account}/{command}", "The receipt of a command", query::receipt),
        read("/v1/orders", "Your orders, newest first", query::orders),
        read("/v1/orders/{id}", "An order with its timeline", query::order),
        read("/v1/carts/current", "Your cart", query::current_cart),
        read("/v1/carts/{id}", "A cart", query::cart),
        read("/v1/wallet", "Your balances", query::wallet),
        read("/api/cart", "Your cart", query::current_cart),
        read("/v1/analytics/summary", "What happened in a time", analytics::summary),
        read("/v1/analytics/series", "What happened, hour by hour or day by day", analytics::series),
        read("/v1/analytics/top", "The best sellers or listings", analytics::top),
        read("/v1/analytics/funnel", "How many carts and orders came how far", analytics::funnel),
        read("/v1/analytics/latency", "How long orders take", analytics::latency),
        read("/v1/analytics/rejections", "Why commands were rejected", analytics::rejections),
        read("/v1/stream", "Your events as they happen (server-sent events)", stream::stream),
        read("/healthz", "Whether the process is alive", health::alive),
        read("/readyz", "Whether the market writes and the views are near its head", health::ready),
        read("/metrics", "Metrics for Prometheus", health::metrics),
        read("/.well-known/jwks.json", "The market's receipt key", health::jwks),
        read("/openapi.json", "This interface", crate::openapi::serve),
        read("/", "What is here, for people", crate::page::landing),
    ];
    for (path, name) in COMMAND_PATHS {
        let take = move |State(app): State<Arc<App>>, headers: HeaderMap, body: Body| {
            submit::at(app, name, headers, body)
        };
        routes.push(write(path, "Give the signed command that belongs here", take));
    }
    routes
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
            let title = "Method not allowed";
            let detail = "this path takes another method: see /openapi.json";
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", title, detail)
        })
        .layer(middleware::from_fn_with_state(Arc::clone(&app), observe))
        .with_state(app)
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

/// Serves until `shutdown` is done, then lets requests under way finish for [`SHUTDOWN_TIME_MAX`].
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let (stop, mut stopped) = watch::channel(false);
    let told = async move {
        shutdown.await;
        stop.send_replace(true);
    };
    let server = axum::serve(listener, router).with_graceful_shutdown(told);
    let late = async move {
        if stopped.wait_for(|stopped| *stopped).await.is_err() {
            // The server ended by itself and says so.
            return std::future::pending().await;
        }
        tokio::time::sleep(SHUTDOWN_TIME_MAX).await;
    };
    tokio::select! {
        ended = server.into_future() => ended,
        () = late => Ok(()),
    }
}
