//! What the first page shows, gathered together, and at most once a second however many look at it.

use std::sync::Arc;
use std::time::Duration;

use engine::pace::Reading;
use events::Timestamp;
use projections::analytics::{Activity, Funnel, TimeRange};
use projections::order::Escrows;
use projections::{Projections, ViewError};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::feed::{Filter, Recent, Row};
use crate::health::{Readiness, readiness};
use crate::http::App;
use crate::rebuild::ShownRebuild;

/// How old numbers may be that are shown.
pub const BOARD_AGE_MAX: Duration = Duration::from_secs(1);
/// How long the log may take to give the last events.
const LOG_TIME_MAX: Duration = Duration::from_secs(2);
/// The time of which the first page says what happened, widened to full hours.
const DAY_MS: i64 = 86_400_000;

/// The numbers as they were last gathered, and the last events.
#[derive(Default)]
pub(crate) struct Board {
    numbers: Mutex<Option<(Instant, Arc<Numbers>)>>,
    recent: Mutex<Recent>,
}

/// Everything that the first page shows of a moment.
pub(super) struct Numbers {
    /// When it was, in the market's time.
    pub(super) at: Timestamp,
    /// Whether the market's time is that of a demonstration that runs faster.
    pub(super) is_simulated: bool,
    pub(super) readiness: Readiness,
    pub(super) pace: Reading,
    /// The rebuild of views that runs, or the last one.
    pub(super) rebuild: Option<ShownRebuild>,
    /// What the views have counted; why not, if they can't say.
    pub(super) counted: Result<Counted, String>,
}

/// What the views have counted.
pub(super) struct Counted {
    pub(super) funnel: Funnel,
    pub(super) day: Activity,
    pub(super) ever: Activity,
    pub(super) escrows: Vec<Escrows>,
    pub(super) open_breaks: u64,
}

impl Board {
    /// Gives numbers that are at most [`BOARD_AGE_MAX`] old. Who comes while they are gathered gets the same.
    pub(super) async fn numbers(&self, app: &App) -> Arc<Numbers> {
        let mut kept = self.numbers.lock().await;
        if let Some((gathered, numbers)) = kept.as_ref()
            && gathered.elapsed() < BOARD_AGE_MAX
        {
            return Arc::clone(numbers);
        }
        let numbers = Arc::new(gather(app).await);
        *kept = Some((Instant::now(), Arc::clone(&numbers)));
        numbers
    }

    /// Gives the last events that a filter lets through, newest first; why not, if the log can't be read. What the log has more
    /// is read once, whoever comes first.
    pub(super) async fn events(&self, app: &App, filter: &Filter) -> Result<Vec<Row>, String> {
        let mut recent = self.recent.lock().await;
        let reading = recent.catch_up(app.gateway.log.as_ref());
        match tokio::time::timeout(LOG_TIME_MAX, reading).await {
            Ok(Ok(())) => Ok(recent.found(filter)),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("it does not answer".to_owned()),
        }
    }
}

async fn gather(app: &App) -> Numbers {
    let clock = &app.gateway.clock;
    let (at, is_simulated) = (clock.now(), clock.elapsed().is_none());
    let readiness = readiness(app).await;
    let views = app.gateway.projections.clone();
    let counted = match tokio::task::spawn_blocking(move || count(&views, at)).await {
        Ok(Ok(counted)) => Ok(counted),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("counting broke off; its last words are on standard error".to_owned()),
    };
    let (pace, rebuild) = (app.gateway.pace.read(), app.rebuilds.shown(app));
    Numbers { at, is_simulated, readiness, pace, rebuild, counted }
}

fn count(views: &Projections, now: Timestamp) -> Result<Counted, ViewError> {
    let to = now.plus_ms(1);
    let analytics = views.analytics();
    Ok(Counted {
        funnel: analytics.funnel()?,
        day: analytics.summary(TimeRange { from: now.plus_ms(-DAY_MS), to })?,
        ever: analytics.summary(TimeRange { from: Timestamp::from_ms(0), to })?,
        escrows: views.orders().escrows(now)?,
        open_breaks: views.payments().open_breaks()? as u64,
    })
}
