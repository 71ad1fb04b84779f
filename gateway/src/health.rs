//! How the process is, for operators and their machines.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use engine::Status;
use engine::log::EventLog;
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};
use projections::ViewName;
use serde_json::{Value, json};

use crate::http::App;
use crate::problem::Problem;

/// How many events the views may be behind the log while the process counts as ready.
pub const LAG_MAX: u64 = 10_000;

/// How long the log may take to tell its head.
const LOG_ANSWER_TIME_MAX: Duration = Duration::from_secs(1);

/// Upper bounds of the buckets of all histograms of seconds.
const SECONDS_BOUNDS: [f64; 14] =
    [0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0];

/// Installs the recorder of the process's metrics; once per process.
pub fn install_metrics() -> Result<PrometheusHandle, BuildError> {
    PrometheusBuilder::new().set_buckets(&SECONDS_BOUNDS)?.install_recorder()
}

/// `GET /healthz`
pub(crate) async fn alive() -> Response {
    axum::Json(json!({ "alive": true })).into_response()
}

/// `GET /readyz`
pub(crate) async fn ready(State(app): State<Arc<App>>) -> Response {
    let applied = *app.gateway.projections.applied().borrow();
    let status = app.gateway.status.borrow().clone();
    let (state, mut reasons) = match &status {
        Status::StandingBy(_) => {
            ("standby", vec!["another process writes the market, or none yet".to_owned()])
        }
        Status::Writing(_) => ("writing", Vec::new()),
        Status::ClockDoubted { ahead_ms, .. } => {
            let ahead = ahead_ms / 60_000;
            let reason = format!(
                "the clock has jumped {ahead} min ahead: correct it or, if it is right, restart this process"
            );
            ("clock_doubted", vec![reason])
        }
        Status::Stopped(reason) => ("stopped", vec![format!("the engine has stopped: {reason}")]),
    };
    if let Some(reason) = log_trouble(app.gateway.log.as_ref()).await {
        reasons.push(reason);
    }
    let head = status.head().map_or(applied, |head| head.position);
    let lag = head.saturating_sub(applied);
    if lag > LAG_MAX {
        reasons.push(format!("the views are {lag} events behind"));
    }
    let views: serde_json::Map<String, Value> = ViewName::ALL
        .iter()
        .map(|view| (view.to_string(), app.gateway.projections.head(*view).position.into()))
        .collect();
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({
        "ready": reasons.is_empty(), "state": state, "writing": state == "writing", "head": head, "applied": applied, "lag": lag,
        "views": views, "reasons": reasons,
    });
    (status, axum::Json(body)).into_response()
}

/// Tells why the log can't be read now; nothing, if it can.
async fn log_trouble(log: &dyn EventLog) -> Option<String> {
    match tokio::time::timeout(LOG_ANSWER_TIME_MAX, log.head()).await {
        Ok(Ok(_)) => None,
        Ok(Err(error)) => Some(format!("the log can't be read: {error}")),
        Err(_) => Some("the log does not answer".to_owned()),
    }
}

/// `GET /metrics`
pub(crate) async fn metrics(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    let none = || Problem::not_found("page: this process keeps no metrics");
    let recorder = app.gateway.metrics.clone().ok_or_else(none)?;
    if let Some(head) = app.gateway.status.borrow().head() {
        ::metrics::gauge!("skylink_head_position").set(as_gauge(head.position));
        for view in ViewName::ALL {
            let lag = head.position.saturating_sub(app.gateway.projections.head(view).position);
            ::metrics::gauge!("skylink_view_lag_events", "view" => view.as_str()).set(as_gauge(lag));
        }
    }
    recorder.run_upkeep();
    let content_type = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    Ok((content_type, recorder.render()).into_response())
}

/// A gauge is a double: beyond 2^53 it is rounded, which no log comes to.
fn as_gauge(count: u64) -> f64 {
    count as f64
}

/// `GET /.well-known/jwks.json`
pub(crate) async fn jwks(State(app): State<Arc<App>>) -> Response {
    let key = &app.gateway.receipt_key;
    let mut jwk = json!(key);
    jwk["kid"] = json!(key.id());
    jwk["alg"] = json!(key.algorithm());
    jwk["use"] = "sig".into();
    axum::Json(json!({ "keys": [jwk] })).into_response()
}
