//! One process of a market: the engine that writes, the views that follow, and the keys, in one folder.
//!
//! ```text
//! <data>/keys         private keys: back them up on their own
//! <data>/vault        what is personal or secret of accounts, encrypted: back it up with `skylink vault backup`
//! <data>/segments     the log, unless it stands on JetStream
//! <data>/index        old ids        ┐
//! <data>/snapshots    the state      │
//! <data>/tree         the proofs     ├ rebuilt from the log when deleted
//! <data>/views        the read side  │
//! <data>/views/search words          ┘
//! <data>/webhooks     how far addresses were told; the log knows about how far
//! <data>/push         notifications that wait; when deleted, they are forgotten
//! ```

mod kept;
mod parts;

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use commands::Command;
use commands::command::{RegisterAccount, RegisterDevice};
use commands::envelope::KeyDirectory;
use commands::receipt::Outcome;
use engine::clock::Clock;
use engine::effects::{EffectsHandle, Provider};
use engine::keystore::{KeyStore, KeyStoreError};
use engine::log::jetstream::{self, Durability, durability};
use engine::log::segment::{OpenError, SegmentLog, SegmentOptions};
use engine::log::{EventLog, ReadError};
use engine::market_keys;
use engine::nats_commands::{self, CommandSource, Ownership, ReceiptSender};
use engine::processor::StopReason;
use engine::providers::PaymentProvider;
use engine::vault::follow::{FollowError, Followed};
use engine::vault::{Vault, VaultError};
use engine::{Engine, EngineHandle, Reply, Standby, StartError};
use events::account::Role as AccountRole;
use events::ids::{CommandId, MarketName};
use events::market::{Deadlines, EscrowTerms, FeePolicy, PurchaseLimit};
use metrics_exporter_prometheus::PrometheusHandle;
use projections::search::SearchRun;
use projections::{LogMismatch, Projections, ViewError};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use uuid::Uuid;

use self::kept::Kept;
use self::parts::Parts;
use crate::health::Storage;
use crate::http::Gateway;
use crate::limits::Limits;
use crate::nats::{Access, ConnectError, Connection, Refused, Role};
use crate::past::Past;
use crate::push::{OutboxError, Push, PushConfig};
use crate::reporter::Reporter;
use crate::webhooks::{Webhooks, WebhooksConfig, WebhooksError};

/// The name in the key store of the key that a market is opened with; receipts are signed with it until it is rotated.
pub const RECEIPT_KEY: &str = market_keys::MARKET_KEY;
/// The name of the key that registers accounts and devices.
pub const REGISTRAR_KEY: &str = "registrar";
/// What the name of the key begins with that a payment provider's reports are signed with; its own name follows.
pub const PROVIDER_KEY: &str = "provider-";
/// The name of the key by which push services know the market. Browsers subscribe to what it signs: it must stay.
pub const VAPID_KEY: &str = "vapid";
/// How long the market may take to register a provider's account.
const REGISTRATION_TIME_MAX: Duration = Duration::from_secs(30);

/// How a node is set up.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// The market.
    pub market: MarketName,
    /// The folder of everything on disk.
    pub data: PathBuf,
    /// What the platform takes; used when the market is opened.
    pub fee: FeePolicy,
    /// How long waiting states last; used when the market is opened.
    pub deadlines: Deadlines,
    /// How much buyers may buy; used when the market is opened.
    pub purchase_limits: Vec<PurchaseLimit>,
    /// How money in dispute is treated; used when the market is opened.
    pub escrow: EscrowTerms,
    /// Threads that check signatures.
    pub verify_threads: usize,
    /// By what a broker lets the node in, if it stands on one.
    pub access: NodeAccess,
    /// The payment providers that it asks while it writes.
    pub providers: Vec<Arc<dyn PaymentProvider>>,
    /// How much anybody may ask for, over HTTP, and how many commands over NATS.
    pub limits: Arc<Limits>,
    /// How addresses are told what happens, while it writes.
    pub webhooks: WebhooksConfig,
    /// How devices are told what happens, while it writes; none: they are not.
    pub push: Option<PushConfig>,
}

/// By what a broker lets in the two connections of a node. Where a receipt goes is chosen by strangers, so receipts leave
/// on a connection that may send nothing else.
#[derive(Debug, Clone, Default)]
pub struct NodeAccess {
    /// Decides, and writes the log.
    pub engine: Access,
    /// Sends the receipts.
    pub receipts: Access,
}

impl NodeConfig {
    /// Sets up a market in a folder with the defaults: [`FeePolicy::default`], [`Deadlines::default`], all cores, nobody
    /// limited.
    pub fn new(market: MarketName, data: PathBuf) -> Self {
        let verify_threads = std::thread::available_parallelism().map_or(2, usize::from);
        NodeConfig {
            market,
            data,
            fee: FeePolicy::default(),
            deadlines: Deadlines::default(),
            purchase_limits: Vec::new(),
            escrow: EscrowTerms::default(),
            verify_threads,
            access: NodeAccess::default(),
            providers: Vec::new(),
            limits: Arc::new(Limits::none()),
            webhooks: WebhooksConfig::default(),
            push: None,
        }
    }
}

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The key store refuses.
    #[error("the key store")]
    Keys(#[from] KeyStoreError),
    /// The vault refuses.
    #[error("the vault")]
    Vault(#[from] VaultError),
    /// The vault does not follow the log.
    #[error("what is personal of accounts")]
    VaultFollows(#[from] FollowError),
    /// The segment log refuses.
    #[error("the log")]
    Segments(#[from] OpenError),
    /// The log can't be read.
    #[error("the log")]
    Log(#[from] ReadError),
    /// The engine does not start.
    #[error("the engine")]
    Engine(#[from] StartError),
    /// The views can't be opened.
    #[error("the views")]
    Views(#[from] ViewError),
    /// The views have seen another log.
    #[error("the views")]
    Mismatch(#[from] Box<LogMismatch>),
    /// Nothing can be sent to webhooks.
    #[error("webhooks")]
    Webhooks(#[from] WebhooksError),
    /// Nobody can be sent notifications.
    #[error("notifications")]
    Push(#[from] OutboxError),
    /// There is no connection to the broker.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The broker refuses what the node needs.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The broker's stream can't hold the log.
    #[error("the log on JetStream")]
    JetStream(#[from] jetstream::OpenError),
    /// Commands can't be received.
    #[error("the command stream")]
    Commands(#[from] nats_commands::OpenError),
    /// A provider's account could not be registered.
    #[error(
        "the account of payment provider {name} can't be registered, mend what the market says and start again: {reply}"
    )]
    Provider {
        /// The provider.
        name: &'static str,
        /// What the market said.
        reply: String,
    },
    /// The wait for the market was ended.
    #[error("the wait for the market was ended before this process owned it")]
    NotOwned,
}

/// Where the broker is.
#[derive(Debug, Clone)]
pub struct NatsConfig {
    /// Its URL, such as `nats://127.0.0.1:4222`; several are separated by commas.
    pub url: String,
    /// Copies of each stream: 1, or 3 in a cluster.
    pub replicas: usize,
    /// Bytes that the log's stream may grow to, if it is created.
    pub log_bytes: Option<u64>,
    /// Its monitoring endpoint, to learn whether it syncs before it acknowledges.
    pub monitor_url: Option<String>,
}

/// A running node that writes its market.
pub struct Node {
    engine: Engine,
    reading: Reading,
    effects: JoinHandle<()>,
    telling: Telling,
    broker: Option<Broker>,
}

/// What tells addresses and devices what happens, and what ends it.
struct Telling {
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Telling {
    async fn shutdown(self) {
        self.stop.send_replace(true);
        for task in self.tasks {
            if task.await.is_err() {
                tracing::error!(
                    "webhooks or notifications ended badly; they go on where they were at the next start"
                );
            }
        }
    }
}

/// A node that follows its market and does not write it yet: its views answer and its engine is ready to take over.
pub struct StandbyNode {
    engine: Standby,
    reading: Reading,
    broker: Option<(Broker, CommandSource, ReceiptSender)>,
}

/// What a node has whether it writes or stands by.
struct Reading {
    log: Arc<dyn EventLog>,
    past: Arc<Past>,
    projections: Projections,
    keys: KeyStore,
    vault: Kept,
    clock: Arc<dyn Clock>,
    market: MarketName,
    storage: Storage,
    providers: Vec<Provider>,
    effects: EffectsHandle,
    limits: Arc<Limits>,
    stop_views: watch::Sender<bool>,
    views: JoinHandle<()>,
    /// None: it could not be begun, and the market goes on without.
    search: Option<SearchRun>,
    webhooks: Webhooks,
    push: Option<Push>,
}

/// What a node on JetStream has besides.
struct Broker {
    engine: Connection,
    receipts: Connection,
    durability: Durability,
    /// Tells the task that serves commands to stop.
    stop_commands: watch::Sender<bool>,
    /// That task, once the node writes.
    commands: Option<JoinHandle<()>>,
}

impl Broker {
    fn connections(&self) -> [Connection; 2] {
        [self.engine.clone(), self.receipts.clone()]
    }
}

/// Does what needs both connections of a node, and stops waiting when the broker refuses something on one of them.
async fn unless_refused<T>(
    [engine, receipts]: &[Connection; 2],
    work: impl Future<Output = T>,
) -> Result<T, Refused> {
    engine.unless_refused(receipts.unless_refused(work)).await?
}

impl StandbyNode {
    /// Starts a node on the segment log in its folder; nobody else can have the market.
    pub async fn start(config: NodeConfig, clock: Arc<dyn Clock>) -> Result<StandbyNode, NodeError> {
        let parts = Parts::open(&config)?;
        let floor = Some(parts.floor()).filter(|floor| floor.position > 0);
        let (dir, market) = (config.data.clone(), config.market.clone());
        let open = move || SegmentLog::open_writer(&dir, market, floor, SegmentOptions::default());
        let log = tokio::task::spawn_blocking(open).await.expect("opening a log does not panic")?;
        if let Some(cut) = log.cut() {
            tracing::warn!(?cut, "an unfinished write was cut from the log's end");
        }
        parts.stand_by(config, Arc::new(log), Storage::Segments, clock).await
    }

    /// Starts a node on JetStream, and asks the broker for the market.
    pub async fn start_on_nats(
        config: NodeConfig,
        nats: NatsConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<StandbyNode, NodeError> {
        let parts = Parts::open(&config)?;
        let engine = Connection::open(&nats.url, Role::Engine, &config.access.engine).await?;
        let receipts = Connection::open(&nats.url, Role::Receipts, &config.access.receipts).await?;
        let durability = durability(nats.monitor_url.as_deref()).await;
        match &durability {
            Durability::Synced => {}
            other => tracing::error!(
                ?other,
                "the broker may acknowledge before it has synced: set `sync_interval: always`, see nats.conf"
            ),
        }
        let broker =
            Broker { engine, receipts, durability, stop_commands: watch::Sender::new(false), commands: None };
        let refused = broker.engine.clone();
        let starting = parts.stand_by_on(broker, config, nats, clock);
        refused.unless_refused(starting).await?
    }

    /// Waits until the market is this process's, if it stands on a broker, and begins to write it. Commands arrive there
    /// on `cmd.<market>.>`, receipts leave on a connection of their own.
    pub async fn take_over(self) -> Result<Node, NodeError> {
        match self.broker.as_ref().map(|(broker, ..)| broker.connections()) {
            None => self.take_over_unguarded().await,
            Some(connections) => unless_refused(&connections, self.take_over_unguarded()).await?,
        }
    }

    async fn take_over_unguarded(mut self) -> Result<Node, NodeError> {
        if let Some((_, source, _)) = &self.broker {
            let mut ownership = source.ownership();
            tracing::info!(market = %self.reading.market, "waiting for the broker to give this engine the market");
            tokio::select! {
                owned = ownership.wait_for(|now| *now == Ownership::Owned) => {
                    owned.map_err(|_| NodeError::NotOwned)?;
                }
                error = self.engine.failed() => return Err(error.into()),
            }
        }
        let StandbyNode { engine, mut reading, broker } = self;
        let engine = engine.take_over().await?;
        reading.vault.has_followed(engine.begun().0.position).await?;
        let broker = broker.map(|(mut broker, source, receipts)| {
            let stop = broker.stop_commands.subscribe();
            let serving =
                engine::nats_serve::serve(source, receipts, engine.handle(), reading.limits.commands(), stop);
            broker.commands = Some(tokio::spawn(serving));
            broker
        });
        reading.register_providers(&engine.handle()).await?;
        let (head, begun) = engine.begun();
        let effects = reading.effects.run(begun, head, Arc::clone(&reading.log));
        let telling = reading.tell(engine.handle())?;
        Ok(Node { engine, reading, effects, telling, broker })
    }

    /// Gives what commands will be handed in through; until the node writes, it refuses them.
    pub fn handle(&self) -> EngineHandle {
        self.engine.handle()
    }

    /// Gives the views.
    pub fn projections(&self) -> &Projections {
        &self.reading.projections
    }

    /// Gives the HTTP side of this process. It goes on when the node writes.
    pub fn gateway(&self, clock: Arc<dyn Clock>, metrics: Option<PrometheusHandle>) -> Gateway {
        self.reading.gateway(self.handle(), clock, metrics)
    }
}

impl Reading {
    fn gateway(
        &self,
        handle: EngineHandle,
        clock: Arc<dyn Clock>,
        metrics: Option<PrometheusHandle>,
    ) -> Gateway {
        Gateway {
            effects: self.effects.clone(),
            projections: self.projections.clone(),
            log: Arc::clone(&self.log),
            past: Arc::clone(&self.past),
            tree: handle.tree().clone(),
            vault: Some(Arc::clone(&self.vault.vault)),
            vault_follows: self.vault.followed.clone(),
            keys: Arc::clone(handle.keys()),
            secrets: Arc::clone(handle.secrets()),
            passwords: Arc::clone(handle.passwords()),
            store: self.keys.clone(),
            market: self.market.clone(),
            market_keys: Arc::clone(handle.market_keys()),
            clock,
            status: handle.status(),
            pace: Arc::clone(handle.pace()),
            storage: self.storage.clone(),
            // Whoever serves it says what language models are asked for.
            dify: Arc::default(),
            webhooks: self.webhooks.clone(),
            push: self.push.clone(),
            limits: Arc::clone(&self.limits),
            metrics,
            commands: Arc::new(handle),
        }
    }

    /// Registers the accounts that providers report with, where that was not done yet, by signed commands like any other.
    async fn register_providers(&self, engine: &EngineHandle) -> Result<(), NodeError> {
        let registrar = self.keys.get(REGISTRAR_KEY)?;
        for Provider { adapter, key } in &self.providers {
            if engine.keys().key(key.public().id()).is_some() {
                continue;
            }
            let (account, device, public) = (key.account, key.device, key.public());
            let wishes = [
                Command::from(RegisterAccount { account, roles: [AccountRole::Provider].into() }),
                RegisterDevice::new(account, device, public).into(),
            ];
            for wish in wishes {
                let id = CommandId::from_uuid(Uuid::now_v7());
                let signed = self.keys.sign(&registrar, &self.market, id, wish, self.clock.now())?;
                let failed = |reply: String| NodeError::Provider { name: adapter.name(), reply };
                let submitted =
                    tokio::time::timeout(REGISTRATION_TIME_MAX, engine.submit(signed, None, None));
                match submitted.await {
                    Ok(Reply::Receipt(receipt)) if receipt.receipt.outcome != Outcome::Rejected => {}
                    Ok(reply) => return Err(failed(String::from_utf8_lossy(&reply.to_json()).into_owned())),
                    Err(_) => return Err(failed("it gave no answer in time".to_owned())),
                }
            }
        }
        Ok(())
    }

    /// Begins to tell addresses and devices what happens.
    fn tell(&self, engine: EngineHandle) -> Result<Telling, NodeError> {
        let (keys, market, clock) = (self.keys.clone(), self.market.clone(), Arc::clone(&self.clock));
        let registrar = keys.get(REGISTRAR_KEY)?;
        let (stop, stopped) = watch::channel(false);
        let reporter = Reporter { keys, registrar, market, engine, clock };
        let push = self.push.as_ref().map(|push| push.run(reporter.clone(), stopped.clone()));
        let webhooks = self.webhooks.run(reporter, stopped);
        Ok(Telling { stop, tasks: push.into_iter().chain([webhooks]).collect() })
    }

    async fn shutdown(self) {
        self.stop_views.send_replace(true);
        if self.views.await.is_err() {
            tracing::error!("the views ended badly; they read on from their checkpoints at the next start");
        }
        let search = self.search;
        if tokio::task::spawn_blocking(move || drop(search)).await.is_err() {
            tracing::error!("the search ended badly; it goes on from its last commit at the next start");
        }
        self.vault.shutdown().await;
    }
}

impl Node {
    /// Starts a node on the segment log in its folder.
    pub async fn start(config: NodeConfig, clock: Arc<dyn Clock>) -> Result<Node, NodeError> {
        let standby = Box::pin(StandbyNode::start(config, clock)).await?;
        Box::pin(standby.take_over()).await
    }

    /// Starts a node on JetStream and waits until the broker gives this process the market.
    pub async fn start_on_nats(
        config: NodeConfig,
        nats: NatsConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<Node, NodeError> {
        // Boxed, since what starts a market is large, and is awaited deep inside other work.
        let standby = Box::pin(StandbyNode::start_on_nats(config, nats, clock)).await?;
        Box::pin(standby.take_over()).await
    }

    /// Gives the connection to the broker and whether it syncs, if the log stands on JetStream.
    pub fn broker(&self) -> Option<(&async_nats::Client, &Durability)> {
        self.broker.as_ref().map(|broker| (broker.engine.client(), &broker.durability))
    }

    /// Does something, and stops waiting for it when the broker refuses what the node needs: such a node can't go on.
    pub async fn unless_refused<T>(&self, work: impl Future<Output = T>) -> Result<T, Refused> {
        match &self.broker {
            None => Ok(work.await),
            Some(broker) => unless_refused(&broker.connections(), work).await,
        }
    }

    /// Tells how many events were left to be folded when this node was given the market.
    pub fn taken_behind(&self) -> u64 {
        self.engine.taken_behind()
    }

    /// Gives what commands are handed in through.
    pub fn handle(&self) -> EngineHandle {
        self.engine.handle()
    }

    /// Gives the log.
    pub fn log(&self) -> Arc<dyn EventLog> {
        Arc::clone(&self.reading.log)
    }

    /// Gives the views.
    pub fn projections(&self) -> &Projections {
        &self.reading.projections
    }

    /// Gives the key store.
    pub fn keys(&self) -> &KeyStore {
        &self.reading.keys
    }

    /// Gives what keeps what is personal or secret of accounts. It is closed when the node shuts down.
    pub fn vault(&self) -> &Arc<Vault> {
        &self.reading.vault.vault
    }

    /// Tells how the vault follows the log.
    pub fn vault_follows(&self) -> watch::Receiver<Followed> {
        self.reading.vault.followed.clone()
    }

    /// Gives what takes the messages of payment providers.
    pub fn effects(&self) -> &EffectsHandle {
        &self.reading.effects
    }

    /// Gives what tells addresses what happens.
    pub fn webhooks(&self) -> &Webhooks {
        &self.reading.webhooks
    }

    /// Gives what tells devices what happens, if the operator has it do so.
    pub fn push(&self) -> Option<&Push> {
        self.reading.push.as_ref()
    }

    /// Gives the market's name.
    pub fn market(&self) -> &MarketName {
        &self.reading.market
    }

    /// Gives the HTTP side of this process.
    pub fn gateway(&self, clock: Arc<dyn Clock>, metrics: Option<PrometheusHandle>) -> Gateway {
        self.reading.gateway(self.handle(), clock, metrics)
    }

    /// Stops to decide, makes durable what is decided, answers it, and ends. Returns why the engine ended.
    pub async fn shutdown(self) -> StopReason {
        if let Some(broker) = &self.broker {
            broker.stop_commands.send_replace(true);
        }
        // A report under way is handed in again at the next start.
        self.effects.abort();
        self.telling.shutdown().await;
        let reason = self.engine.shutdown().await;
        if let Some(commands) = self.broker.and_then(|broker| broker.commands)
            && commands.await.is_err()
        {
            tracing::error!("serving commands ended badly; the broker delivers again what was not answered");
        }
        self.reading.shutdown().await;
        reason
    }
}
