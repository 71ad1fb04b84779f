//! Looks after the addresses: begins to tell those that are to be told, and ends with those that are not.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use commands::command::ReportWebhook;
use commands::receipt::Outcome;
use engine::clock::Clock;
use engine::keystore::{KeyStore, StoredKey};
use engine::{EngineHandle, Reply};
use events::account::Role;
use events::ids::{CommandId, MarketName, WebhookId};
use events::{Event, Position, Timestamp};
use futures::StreamExt;
use projections::webhook::Webhook;
use projections::{Projections, ViewError};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::tell::{End, Teller};
use super::{Progress, Shared, Webhooks};

/// How long it takes until what failed in this process is begun again.
const AGAIN: Duration = Duration::from_secs(5);
/// How long it is waited for the views to read what is about addresses.
const VIEWS_TIME_MAX: Duration = Duration::from_secs(30);
/// How long the market may take to note something.
const REPORT_TIME_MAX: Duration = Duration::from_secs(10);

/// Tells the market how far addresses were told, signed with the registrar's key.
pub struct Reporter {
    /// The keys, which know what was signed last.
    pub keys: KeyStore,
    /// The registrar's key.
    pub registrar: StoredKey,
    /// The market.
    pub market: MarketName,
    /// Who decides.
    pub engine: EngineHandle,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

impl Reporter {
    /// Has the market note something, and waits until the views have read it.
    pub(super) async fn report(&self, report: ReportWebhook, views: &Projections) -> Result<(), String> {
        let (keys, registrar, market) = (self.keys.clone(), self.registrar.clone(), self.market.clone());
        let now = self.clock.now();
        let id = id_at(now);
        let sign = move || keys.sign(&registrar, &market, id, report.into(), now);
        let signed = tokio::task::spawn_blocking(sign).await.map_err(|error| error.to_string())?;
        let signed = signed.map_err(|error| error.to_string())?;
        let submitted = tokio::time::timeout(REPORT_TIME_MAX, self.engine.submit(signed, None, None));
        match submitted.await {
            Ok(Reply::Receipt(receipt)) if receipt.receipt.outcome != Outcome::Rejected => {
                let read = views.wait_for(receipt.receipt.position, VIEWS_TIME_MAX).await;
                read.map_err(|error| error.to_string())
            }
            Ok(reply) => Err(String::from_utf8_lossy(&reply.to_json()).into_owned()),
            Err(_) => Err("the market gave no answer in time".to_owned()),
        }
    }
}

/// Makes the id of a command that is given now by the market's clock, which need not be the machine's.
fn id_at(now: Timestamp) -> CommandId {
    let mut bytes = *Uuid::now_v7().as_bytes();
    bytes[..6].copy_from_slice(&now.ms().to_be_bytes()[2..]);
    CommandId::from_uuid(Uuid::from_bytes(bytes))
}

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
    pub fn run(&self, reporter: Reporter, mut stop: watch::Receiver<bool>) -> JoinHandle<()> {
        let shared = Arc::clone(&self.shared);
        drop(shared.reporter.set(reporter));
        tokio::spawn(async move {
            let mut told = Told::new();
            while let Err(why) = look_after(&shared, &mut told, &mut stop).await {
                tracing::error!(%why, "webhooks are looked after anew in a moment");
                tokio::time::sleep(AGAIN).await;
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
        let teller = Teller::new(Arc::clone(shared), row, is_operator, known);
        let over = Arc::clone(shared);
        let task = tokio::spawn(async move {
            if let End::Failed(why) = teller.run().await {
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
