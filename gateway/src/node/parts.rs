//! Everything of a node but its log, which is opened first; and how the rest is started on a log.

use std::sync::Arc;

use engine::clock::Clock;
use engine::effects::{EffectsHandle, Provider};
use engine::keystore::{KeyStore, KeyStoreError, StoredKey};
use engine::log::EventLog;
use engine::log::jetstream::{JetStreamLog, StreamOptions};
use engine::log::tailed::TailedLog;
use engine::market_keys::{self, MarketKeyRing};
use engine::nats_commands::{CommandSource, ReceiptSender};
use engine::passwords::Passwords;
use engine::processor::WriterConfig;
use engine::providers::PaymentProvider;
use engine::secrets::Secrets;
use engine::vault::follow::Followed;
use engine::vault::{self, Vault};
use engine::{EngineConfig, Prepared, Standby};
use events::Head;
use events::account::Algorithm;
use events::ids::WriterId;
use events::market::{Opened, Registrar};
use projections::Projections;
use projections::search::SearchError;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::kept::Kept;
use super::{
    Broker, NatsConfig, NodeConfig, NodeError, PROVIDER_KEY, RECEIPT_KEY, REGISTRAR_KEY, Reading,
    StandbyNode, VAPID_KEY,
};
use crate::health::Storage;
use crate::past::Past;
use crate::push::Push;
use crate::webhooks::Webhooks;

/// Everything of a node but its log.
pub(super) struct Parts {
    keys: KeyStore,
    receipt_key: StoredKey,
    registrar: StoredKey,
    prepared: Prepared,
    projections: Projections,
    vault: Arc<Vault>,
}

impl Parts {
    pub(super) fn open(config: &NodeConfig) -> Result<Parts, NodeError> {
        let key_dir = config.data.join("keys");
        let keys = KeyStore::open(&key_dir)?;
        // The oldest that is there: it may be the first of them no longer, once that is retired and its file removed.
        let receipt_key = match market_keys::stored(&keys)?.into_iter().next() {
            Some((_, key)) => key,
            None => keys.get_or_make(RECEIPT_KEY)?,
        };
        let registrar = keys.get_or_make(REGISTRAR_KEY)?;
        let prepared = Prepared::open(&config.data)?;
        let projections = Projections::open(&config.data.join("views"))?;
        let vault = Arc::new(Vault::open(&key_dir, &config.data.join("vault"))?);
        Ok(Parts { keys, receipt_key, registrar, prepared, projections, vault })
    }

    /// Gives the highest head that something on disk has seen: the log must reach it.
    pub(super) fn floor(&self) -> Head {
        let views = projections::ViewName::ALL.map(|view| self.projections.head(view));
        views.into_iter().fold(self.prepared.floor(), |floor, head| {
            if head.position > floor.position { head } else { floor }
        })
    }

    pub(super) async fn stand_by(
        self,
        config: NodeConfig,
        log: Arc<dyn EventLog>,
        storage: Storage,
        clock: Arc<dyn Clock>,
    ) -> Result<StandbyNode, NodeError> {
        let Parts { keys, receipt_key, registrar, prepared, projections, vault } = self;
        let secrets = Arc::new(Secrets::in_vault(Arc::clone(&vault)));
        let passwords = Arc::new(Passwords::in_vault(Arc::clone(&vault)));
        projections.check_log_head(log.head().await?)?;
        let NodeConfig {
            market,
            data,
            fee,
            deadlines,
            escrow,
            purchase_limits,
            verify_threads,
            access: _,
            providers,
            limits,
            webhooks,
            push,
        } = config;
        let (account, device, key) = (registrar.account, registrar.device, registrar.public());
        let opened = Opened {
            deadlines,
            escrow: Some(escrow),
            fee,
            market: market.clone(),
            purchase_limits,
            registrar: Registrar { account, device, key },
            receipt_key: receipt_key.public(),
        };
        let writer = WriterConfig {
            market: market.clone(),
            writer: WriterId::from_uuid(Uuid::now_v7()),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            opened,
        };
        let engine_config = EngineConfig {
            writer,
            market_keys: MarketKeyRing::in_store(keys.clone()),
            secrets,
            passwords,
            verify_threads,
            vault: Some(Arc::clone(&vault)),
        };
        let with_key = |adapter: Arc<dyn PaymentProvider>| {
            let key = keys.get_or_make(&format!("{PROVIDER_KEY}{}", adapter.name()))?;
            Ok(Provider { adapter, key })
        };
        let providers = providers.into_iter().map(with_key).collect::<Result<Vec<_>, KeyStoreError>>()?;
        let engine = Standby::start(prepared, engine_config, Arc::clone(&log), Arc::clone(&clock)).await?;
        let effects = EffectsHandle::new(
            providers.clone(),
            engine.handle(),
            market.clone(),
            keys.clone(),
            Arc::clone(&clock),
        );
        let (views, dir) = (projections.clone(), data.join("views").join("search"));
        let start = move || views.start_search(&dir);
        let begun = tokio::task::spawn_blocking(start).await.expect("opening an index does not panic");
        let search = begun.inspect_err(|error| search_is_missing(&projections, error)).ok();
        let (stop_views, views) = follow(projections.clone(), &log);
        let (followed_in, followed) = watch::channel(Followed::default());
        let following =
            vault::follow::follow(Arc::clone(&vault), Arc::clone(&log), followed_in, stop_views.subscribe());
        let webhooks = Webhooks::open(
            &data.join("webhooks"),
            webhooks,
            Arc::clone(&log),
            projections.clone(),
            Arc::clone(&vault),
            Arc::clone(&clock),
        )?;
        let push = push.map(|config| {
            let key = match keys.get(VAPID_KEY) {
                Err(KeyStoreError::Unknown { .. }) => keys.make(VAPID_KEY, Algorithm::Es256, None)?,
                found => found?,
            };
            let (log, vault, clock) = (Arc::clone(&log), Arc::clone(&vault), Arc::clone(&clock));
            let opened =
                Push::open(&data.join("push"), config, key.signing(), log, projections.clone(), vault, clock);
            opened.map_err(NodeError::from)
        });
        let push = push.transpose()?;
        let vault = Kept { vault, followed, following: tokio::spawn(following) };
        let past = Arc::new(Past::new(data.join("past"), Arc::clone(&log)).await);
        let reading = Reading {
            log,
            past,
            projections,
            keys,
            vault,
            clock,
            market,
            storage,
            providers,
            effects,
            limits,
            stop_views,
            views,
            search,
            webhooks,
            push,
        };
        Ok(StandbyNode { engine, reading, broker: None })
    }

    /// Stands by on JetStream, and asks the broker for the market.
    pub(super) async fn stand_by_on(
        self,
        broker: Broker,
        config: NodeConfig,
        nats: NatsConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<StandbyNode, NodeError> {
        let (client, market) = (broker.engine.client().clone(), config.market.clone());
        let options = StreamOptions { replicas: nats.replicas, max_bytes: nats.log_bytes };
        let log = JetStreamLog::open(client.clone(), market.clone(), options).await?;
        if let Some(store) = log.store_it_could_fill(nats.monitor_url.as_deref()).await? {
            tracing::error!(
                stream = log.stream_name(),
                store,
                "the log's stream has no max_bytes and may fill the whole store, which can leave a part of an append in it \
                 that no start gets over: give the stream a max_bytes below the store's, see docs/faults.md"
            );
        }
        let log = Arc::new(TailedLog::new(log).await?);
        let storage = Storage::JetStream { client: client.clone(), durability: broker.durability };
        let mut node = self.stand_by(config, log, storage, clock).await?;
        // Only now: a process that can't stand by must not be given the market.
        let source = CommandSource::open(client, market.clone(), nats.replicas).await?;
        let receipts = ReceiptSender::new(broker.receipts.client().clone(), market);
        node.broker = Some((broker, source, receipts));
        Ok(node)
    }
}

/// Nobody's money hangs on the search: a market whose index can't be opened runs without, and its readiness says so.
fn search_is_missing(projections: &Projections, error: &SearchError) {
    tracing::error!(error = error as &dyn std::error::Error, "there is no search until a restart");
    projections.search_failed(error);
}

/// Lets the views follow a log until they are told to stop.
fn follow(projections: Projections, log: &Arc<dyn EventLog>) -> (watch::Sender<bool>, JoinHandle<()>) {
    let (stop, mut stopped) = watch::channel(false);
    let commits = log.follow(projections.checkpoint().position + 1);
    let task = tokio::spawn(async move {
        let told = async move { drop(stopped.wait_for(|stop| *stop).await) };
        if let Err(error) = projections.run(commits, told).await {
            // Queries go on answering from what was read; their positions tell how old that is.
            tracing::error!(error = &error as &dyn std::error::Error, "the views stand still");
        }
    });
    (stop, task)
}
