//! How the process is, for operators and their machines.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use engine::Status;
use engine::effects::EffectsStatus;
use engine::log::EventLog;
use engine::log::jetstream::Durability;
use engine::vault::follow::Followed;
use events::Position;
use events::Timestamp;
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};
use projections::search::{Search, SearchState};
use projections::{Projections, RunState, ViewName};
use schemars::JsonSchema;
use serde::Serialize;

use crate::http::App;
use crate::problem::Problem;

/// How many events the views may be behind the log while the process counts as ready.
pub const LAG_MAX: u64 = 10_000;

/// How long a change of words may wait to be found while the process counts as ready.
const SEARCH_BEHIND_MAX: Duration = Duration::from_secs(60);

/// How long the log may take to tell its head.
const LOG_ANSWER_TIME_MAX: Duration = Duration::from_secs(1);

/// Upper bounds of the buckets of all histograms of seconds.
const SECONDS_BOUNDS: [f64; 14] =
    [0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0];

/// Installs the recorder of the process's metrics; once per process.
pub fn install_metrics() -> Result<PrometheusHandle, BuildError> {
    PrometheusBuilder::new().set_buckets(&SECONDS_BOUNDS)?.install_recorder()
}

/// Says that the process answers.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Alive {
    /// Always true.
    alive: bool,
}

/// `GET /healthz`
pub(crate) async fn alive() -> Response {
    axum::Json(Alive { alive: true }).into_response()
}

/// Where a log stands.
#[derive(Debug, Clone)]
pub enum Storage {
    /// In segments of this process's own folder, which are synced before anything is answered.
    Segments,
    /// On JetStream.
    JetStream {
        /// What the log is written through.
        client: async_nats::Client,
        /// Whether the broker synced before it acknowledged when this process asked it, at its start.
        durability: Durability,
    },
}

/// Where the log stands, and what an answer of the market is worth there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct StorageHealth {
    /// Where the log stands.
    pub(crate) kind: StorageKind,
    /// Whether the log can be reached, as far as is known.
    pub(crate) connected: bool,
    /// Whether what was answered survives the loss of power, as far as syncing decides it; null: the broker was not asked, or
    /// did not say, when this process started.
    pub(crate) synced: Option<bool>,
    /// How long the broker may wait until it syncs, in milliseconds, where it acknowledges before.
    pub(crate) sync_interval_ms: Option<u64>,
}

/// Where a log stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StorageKind {
    /// In segments on this machine.
    Segments,
    /// On JetStream.
    #[serde(rename = "jetstream")]
    JetStream,
}

impl Storage {
    pub(crate) fn health(&self) -> StorageHealth {
        match self {
            Storage::Segments => StorageHealth {
                kind: StorageKind::Segments,
                connected: true,
                synced: Some(true),
                sync_interval_ms: None,
            },
            Storage::JetStream { client, durability } => {
                let (synced, interval) = match durability {
                    Durability::Synced => (Some(true), None),
                    Durability::NotSynced { sync_interval } => (Some(false), Some(sync_interval)),
                    Durability::Unknown => (None, None),
                };
                StorageHealth {
                    kind: StorageKind::JetStream,
                    connected: client.connection_state() == async_nats::connection::State::Connected,
                    synced,
                    sync_interval_ms: interval
                        .map(|interval| u64::try_from(interval.as_millis()).unwrap_or(u64::MAX)),
                }
            }
        }
    }
}

/// Whether the market writes and its views follow.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Readiness {
    /// Whether requests should be sent here.
    pub(crate) ready: bool,
    /// What the engine does.
    pub(crate) state: EngineState,
    /// Whether the engine writes.
    pub(crate) writing: bool,
    /// Whether the views follow the log.
    pub(crate) following: bool,
    /// Where the log ends.
    pub(crate) head: Position,
    /// How far the slowest view has read it.
    pub(crate) applied: Position,
    /// How many events that is behind.
    pub(crate) lag: u64,
    /// How far each view has read.
    pub(crate) views: BTreeMap<&'static str, Position>,
    /// Why views have stopped, of those that have. What they are asked is answered with 503, and all else as ever: so they make no
    /// process unready, but somebody must look.
    pub(crate) stopped_views: BTreeMap<&'static str, String>,
    /// How the search follows the views; null: this process has none.
    pub(crate) search: Option<SearchHealth>,
    /// How the vault follows the log.
    pub(crate) vault: VaultHealth,
    /// Where the log stands. A broker that does not sync before it acknowledges makes no process unready.
    pub(crate) storage: StorageHealth,
    /// How what payment providers are asked for goes. A provider that does not answer makes nothing else wait, so it
    /// makes no process unready.
    pub(crate) effects: EffectsHealth,
    /// How many chargebacks got no evidence in time; they make no process unready, but somebody should look.
    pub(crate) chargebacks_overdue: u64,
    /// Why it is not ready.
    pub(crate) reasons: Vec<String>,
}

/// How the search follows the views.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct SearchHealth {
    /// Whether it answers, and what it finds does not grow old.
    following: bool,
    /// For how long the oldest change of words has waited that is not found yet, in milliseconds.
    behind_ms: u64,
}

/// How the vault follows the log: it keeps what events name, and destroys the data keys of accounts that were erased.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct VaultHealth {
    /// Whether it does.
    pub(crate) following: bool,
    /// How far it has.
    pub(crate) position: Position,
}

/// How what payment providers are asked for goes.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct EffectsHealth {
    /// How many things they were asked for and have not done.
    pub(crate) pending: usize,
    /// How many of them were asked for often without an answer.
    pub(crate) stuck: usize,
    /// What went wrong last with one that is stuck.
    pub(crate) trouble: Option<String>,
}

/// What an engine does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EngineState {
    /// It follows the log while another process writes it, or none yet.
    Standby,
    /// It writes.
    Writing,
    /// It decides nothing, since its clock has jumped.
    ClockDoubted,
    /// It has ended.
    Stopped,
}

/// The time in the market.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct MarketTime {
    /// The time by which the market decides, in milliseconds since 1970.
    time: Timestamp,
    /// Whether that is not the time of day, but the time of a demonstration that runs faster: commands are signed with the
    /// market's time then.
    simulated: bool,
}

/// `GET /v1/time`
pub(crate) async fn time(State(app): State<Arc<App>>) -> Response {
    let clock = &app.gateway.clock;
    axum::Json(MarketTime { time: clock.now(), simulated: clock.elapsed().is_none() }).into_response()
}

/// `GET /readyz`
pub(crate) async fn ready(State(app): State<Arc<App>>) -> Response {
    let readiness = readiness(&app).await;
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, axum::Json(readiness)).into_response()
}

/// Looks at everything that readiness depends on.
pub(crate) async fn readiness(app: &App) -> Readiness {
    let views = &app.gateway.projections;
    let applied = *views.applied().borrow();
    let status = app.gateway.status.borrow().clone();
    let (state, mut reasons) = match &status {
        Status::StandingBy(_) => {
            (EngineState::Standby, vec!["another process writes the market, or none yet".to_owned()])
        }
        Status::Writing(_) => (EngineState::Writing, Vec::new()),
        Status::ClockDoubted { ahead_ms, .. } => {
            let ahead = ahead_ms / 60_000;
            let reason = format!(
                "the clock has jumped {ahead} min ahead: correct it or, if it is right, restart this process"
            );
            (EngineState::ClockDoubted, vec![reason])
        }
        Status::Stopped(reason) => (EngineState::Stopped, vec![format!("the engine has stopped: {reason}")]),
    };
    if let Some(reason) = log_trouble(app.gateway.log.as_ref()).await {
        reasons.push(reason);
    }
    let run_state = views.state().borrow().clone();
    if let RunState::Stopped(reason) = &run_state {
        reasons.push(format!("the views stand still: {reason}"));
    }
    let head = status.head().map_or(applied, |head| head.position);
    let lag = head.saturating_sub(applied);
    if lag > LAG_MAX {
        reasons.push(format!("the views are {lag} events behind"));
    }
    let search = views.search().map(|search| search_health(&search, &mut reasons));
    if let Some(failure) = views.search_failure() {
        reasons.push(format!("there is no search until a restart: {failure}"));
    }
    let Followed { position, failure } = app.gateway.vault_follows.borrow().clone();
    let vault = VaultHealth { following: failure.is_none(), position };
    if let Some(failure) = failure {
        reasons.push(format!(
            "the vault does not follow the log, so that what is personal of accounts erased from here on stays until a restart: {failure}"
        ));
    }
    let ready = reasons.is_empty();
    let following = run_state == RunState::Running;
    let heads = ViewName::ALL.map(|view| (view.as_str(), views.head(view).position)).into();
    let why = |view: ViewName| Some((view.as_str(), views.stopped(view)?));
    let stopped_views = ViewName::ALL.into_iter().filter_map(why).collect();
    let writing = state == EngineState::Writing;
    let EffectsStatus { pending, stuck, trouble } = app.gateway.effects.status().borrow().clone();
    let effects = EffectsHealth { pending, stuck, trouble };
    let chargebacks_overdue = overdue_chargebacks(views).await.unwrap_or(0);
    Readiness {
        ready,
        state,
        writing,
        following,
        head,
        applied,
        lag,
        views: heads,
        stopped_views,
        search,
        vault,
        storage: app.gateway.storage.health(),
        effects,
        chargebacks_overdue,
        reasons,
    }
}

fn search_health(search: &Search<'_>, reasons: &mut Vec<String>) -> SearchHealth {
    let (state, behind) = (search.state().borrow().clone(), search.behind());
    match &state {
        SearchState::Running => {}
        SearchState::Filling => reasons.push("the search still reads what is in the views".to_owned()),
        SearchState::Stopped(reason) => reasons.push(format!("the search stands still: {reason}")),
    }
    if behind > SEARCH_BEHIND_MAX {
        reasons.push(format!("the search has not taken in words of {} s ago", behind.as_secs()));
    }
    let behind_ms = u64::try_from(behind.as_millis()).unwrap_or(u64::MAX);
    SearchHealth { following: state == SearchState::Running, behind_ms }
}

/// Counts the chargebacks that got no evidence in time; nothing, if the view can't be read, which is told by its own state.
async fn overdue_chargebacks(views: &Projections) -> Option<u64> {
    let payments = views.clone();
    let counted = tokio::task::spawn_blocking(move || payments.payments().overdue_chargebacks()).await;
    counted.ok()?.ok().map(|count| count as u64)
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
    let views = &app.gateway.projections;
    let status = app.gateway.status.borrow().clone();
    if let Some(head) = status.head() {
        ::metrics::gauge!("skylink_head_position").set(as_gauge(head.position));
        for view in ViewName::ALL {
            let lag = head.position.saturating_sub(views.head(view).position);
            ::metrics::gauge!("skylink_view_lag_events", "view" => view.as_str()).set(as_gauge(lag));
        }
    }
    for view in ViewName::ALL {
        let is_stopped = views.stopped(view).is_some();
        ::metrics::gauge!("skylink_view_stopped", "view" => view.as_str())
            .set(f64::from(u8::from(is_stopped)));
    }
    let payments = views.clone();
    // A view that can't be read is told by its own state, and the gauge stands where it was.
    if let Ok(Ok(open)) = tokio::task::spawn_blocking(move || payments.payments().open_breaks()).await {
        ::metrics::gauge!("skylink_reconciliation_breaks_open").set(as_gauge(open as u64));
    }
    if let Some(overdue) = overdue_chargebacks(views).await {
        ::metrics::gauge!("skylink_chargebacks_overdue").set(as_gauge(overdue));
    }
    ::metrics::gauge!("skylink_webhook_letters").set(as_gauge(app.gateway.webhooks.letters()));
    let is_writing = matches!(status, Status::Writing(_));
    ::metrics::gauge!("skylink_engine_writing").set(f64::from(u8::from(is_writing)));
    if let Some(search) = views.search() {
        let is_searching = *search.state().borrow() == SearchState::Running;
        ::metrics::gauge!("skylink_search_following").set(f64::from(u8::from(is_searching)));
        ::metrics::gauge!("skylink_search_behind_seconds").set(search.behind().as_secs_f64());
    }
    let is_following = *views.state().borrow() == RunState::Running;
    let is_kept = app.gateway.vault_follows.borrow().failure.is_none();
    ::metrics::gauge!("skylink_vault_following").set(f64::from(u8::from(is_kept)));
    ::metrics::gauge!("skylink_views_following").set(f64::from(u8::from(is_following)));
    recorder.run_upkeep();
    let content_type = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    Ok((content_type, recorder.render()).into_response())
}

/// A gauge is a double: beyond 2^53 it is rounded, which no log comes to.
fn as_gauge(count: u64) -> f64 {
    count as f64
}
