//! Looks after the addresses: begins to tell those that are to be told, and ends with those that are not.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use events::account::Role;
use events::ids::WebhookId;
use events::{Event, Position};
use futures::StreamExt;
use projections::ViewError;
use projections::webhook::Webhook;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::redrive::Redriver;
use super::tell::{End, Teller};
use super::{Progress, Shared, Webhooks};
use crate::reporter::{Reporter, VIEWS_TIME_MAX};

/// How long it takes until what failed in this process is begun again.
const AGAIN: Duration = Duration::from_secs(5);

/// An address that is told.
struct Running {
    /// Where its owner's last word stands, and how often he had it go elsewhere.
    as_of: (Position, u64),
    task: JoinHandle<()>,
}

/// The addresses that are told.
type Told = BTreeMap<WebhookId, Running>;

/// Ends with addresses, and waits until nothing of it is under way.
async fn end(told: impl IntoIterator<Item = Running>) {
    for one in told {
        one.task.abort();
        if one.task.await.is_err_and(|error| error.is_panic()) {
            tracing::error!("telling a webhook ended badly");
        }
    }
}

impl Webhooks {
    /// Tells addresses what happens until it is told to stop. Only the process that writes the market does.
    pub(crate) fn run(&self, reporter: Reporter, mut stop: watch::Receiver<bool>) -> JoinHandle<()> {
        let shared = Arc::clone(&self.shared);
        drop(shared.reporter.set(reporter));
        tokio::spawn(async move {
            let mut told = Told::new();
            while let Err(why) = look_after(&shared, &mut told, &mut stop).await {
                tracing::error!(%why, "webhooks are looked after anew in a moment");
                tokio::select! {
                    _ = stop.wait_for(|stop| *stop) => break,
                    () = tokio::time::sleep(AGAIN) => {}
                }
            }
            end(std::mem::take(&mut told).into_values()).await;
        })
    }
}

/// Looks after the addresses until it is told to stop, or something fails; what, is the error.
async fn look_after(
    shared: &Arc<Shared>,
    told: &mut Told,
    stop: &mut watch::Receiver<bool>,
) -> Result<(), String> {
    let mut position = shared.log.head().await.map_err(|error| error.to_string())?.position;
    let mut commits = shared.log.follow(position + 1);
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return Ok(()),
            read = shared.projections.wait_for(position, VIEWS_TIME_MAX) => read.map_err(|late| late.to_string())?,
        }
        begin_and_end(shared, told).await?;
        let mut is_otherwise = false;
        while !is_otherwise {
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return Ok(()),
                () = shared.changed.notified() => is_otherwise = true,
                commit = commits.next() => {
                    let commit = commit.ok_or("the log ends")?.map_err(|error| error.to_string())?;
                    position = commit.head().position;
                    is_otherwise = commit.events().iter().any(|recorded| is_about_addresses(&recorded.event));
                }
            }
        }
    }
}

/// Tells whether an event may change who is told of what.
const fn is_about_addresses(event: &Event) -> bool {
    matches!(
        event,
        Event::WebhookRegistered(_)
            | Event::WebhookUpdated(_)
            | Event::WebhookSecretRotated(_)
            | Event::WebhookDisabled(_)
            | Event::WebhookRemoved(_)
            | Event::AccountRegistered(_)
            | Event::AccountSuspended(_)
            | Event::AccountReinstated(_)
            | Event::AccountErased(_)
    )
}

/// An address with whether its owner sees everything, and how far it was told.
type Wanted = (Webhook, bool, Option<Progress>);

/// Ends with the addresses that are to be told no more or otherwise, and begins with those that are to be and are not yet.
async fn begin_and_end(shared: &Arc<Shared>, told: &mut Told) -> Result<(), String> {
    let asked = Arc::clone(shared);
    let found =
        tokio::task::spawn_blocking(move || wanted(&asked)).await.map_err(|error| error.to_string())?;
    let wanted = found.map_err(|error| error.to_string())?;
    let as_of = |(row, _, known): &Wanted| (row.changed_at, known.map_or(0, |known| known.turn));
    let is_over = |(id, one): (&WebhookId, &Running)| {
        (wanted.get(id).map(as_of) != Some(one.as_of) || one.task.is_finished()).then_some(*id)
    };
    let over: Vec<WebhookId> = told.iter().filter_map(is_over).collect();
    end(over.into_iter().filter_map(|id| told.remove(&id))).await;
    for (id, found) in wanted {
        if told.contains_key(&id) {
            continue;
        }
        let as_of = as_of(&found);
        let (row, is_operator, known) = found;
        let redriver = Redriver { shared: Arc::clone(shared), row: row.clone() };
        let teller = Teller::new(Arc::clone(shared), row, is_operator, known);
        let over = Arc::clone(shared);
        let task = tokio::spawn(async move {
            let end = tokio::select! {
                end = teller.run() => end,
                end = redriver.run() => end,
            };
            if let End::Failed(why) = end {
                tracing::warn!(webhook = %id, %why, "a webhook is told of nothing for a moment");
                tokio::time::sleep(AGAIN).await;
            }
            over.changed.notify_one();
        });
        told.insert(id, Running { as_of, task });
    }
    Ok(())
}

/// Finds the addresses that are to be told: those that are on, of owners in good standing. Forgets those that are no more.
fn wanted(shared: &Shared) -> Result<BTreeMap<WebhookId, Wanted>, ViewError> {
    let views = &shared.projections;
    let all: BTreeMap<WebhookId, Webhook> =
        views.webhooks().all()?.into_iter().map(|row| (row.webhook, row)).collect();
    for id in shared.store.known()? {
        if !all.contains_key(&id) {
            shared.store.forget(id)?;
        }
    }
    let mut wanted = BTreeMap::new();
    for (id, row) in all.into_iter().filter(|(_, row)| row.on) {
        let owner = views.accounts().account(row.account)?;
        let Some(owner) = owner.filter(|owner| owner.suspended.is_none() && !owner.is_erased) else {
            continue;
        };
        let is_operator = owner.roles.contains(&Role::Operator);
        let known = shared.store.progress(id)?;
        wanted.insert(id, (row, is_operator, known));
    }
    Ok(wanted)
}
