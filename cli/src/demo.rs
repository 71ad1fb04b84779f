//! The demonstration: a market with some weeks behind it, in which a few people go on trading.
//!
//! On an empty folder the earliest CDNOW purchases are imported first, moved so that their last deadline lies before
//! now: the wall clock finds nothing overdue. Then, and on a folder in use, demo people give about
//! [`STEPS_PER_S`] commands a second until the task is stopped; some are refused on purpose.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use commands::Command;
use commands::command::{
    AddToCart, CancelOrder, ConfirmDelivery, CreateListing, Expected, FundWallet, MigrateCart, OrderLine,
    PaymentMethod, PlaceOrder, ProviderMethod, ReceiveStock, RegisterAccount, RegisterDevice, RequestPayment,
    RequestPayout, ShipOrder,
};
use commands::preview::Asked;
use commands::receipt::{Outcome, Receipt};
use commands::sign::{Draft, sign};
use engine::clock::{Clock, WallClock};
use engine::keystore::{KeyStore, StoredKey};
use engine::providers::sandbox;
use engine::{EngineHandle, Reply};
use events::account::Role;
use events::ids::{AccountId, CartId, CommandId, ListingId, MarketName, OrderId};
use events::{Currency, Money, Quantity};
use gateway::node::{Node, REGISTRAR_KEY};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use uuid::Uuid;

/// Commands the demo people give in a second, about.
const STEPS_PER_S: u32 = 3;
/// Demo buyers and demo sellers.
const BUYERS: usize = 4;
const SELLERS: usize = 2;
/// How long one command may wait for its receipt.
const REPLY_TIME_MAX: Duration = Duration::from_secs(30);
/// Price of a unit, what a wallet is given, and what a shop takes in for each start.
const PRICE_MINOR: i64 = 1_250;
const FUNDS_MINOR: i64 = 500_000_000;
const STOCK_UNITS: u32 = 1_000_000;
/// What a seller is paid out where the provider is the sandbox: less than he earns of any order.
const PAYOUT_MINOR: i64 = 1_000;

/// The purchases that history is made from.
const HISTORY: &[u8] = include_bytes!("../../tests/data/cdnow.txt.gz");

/// Fills an empty folder with the history that some real purchases make. Must be called before a node is started in it;
/// returns how many orders there are now, none if the folder was in use already.
pub(crate) async fn prepare(
    data: &Path,
    market: &MarketName,
    purchases: usize,
) -> anyhow::Result<Option<u64>> {
    if crate::import::ensure_empty(data).is_err() {
        return Ok(None);
    }
    let rows = crate::import::demo_rows(HISTORY, purchases, WallClock.now())?;
    let report = crate::import::import(rows, data, market.clone()).await?;
    if !report.differences.is_empty() {
        bail!("the demonstration's history does not agree: {}", report.differences.join("; "));
    }
    Ok(Some(report.accepted))
}

/// The demo people at work.
pub(crate) struct DemoTask {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl DemoTask {
    /// Lets the command under way end, and no further one begin.
    pub(crate) async fn stop(self) {
        self.stop.send_replace(true);
        if self.task.await.is_err() {
            tracing::error!("the demonstration ended badly");
        }
    }
}

/// Lets the demo people register and begin to trade. Returns when the first listing is open.
pub(crate) async fn start(node: &Node, clock: Arc<dyn Clock>) -> anyhow::Result<DemoTask> {
    let stage = Stage::set(node, clock).await.context("the demonstration can't begin")?;
    let (stop, mut stopped) = watch::channel(false);
    let task = tokio::spawn(async move {
        let mut beat = tokio::time::interval(Duration::from_secs(1) / STEPS_PER_S);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        for scene in 0usize.. {
            if let Err(error) = stage.play(scene, &mut beat, &mut stopped).await {
                tracing::warn!(error = %format!("{error:#}"), "a scene of the demonstration failed");
            }
            if *stopped.borrow() {
                return;
            }
        }
    });
    Ok(DemoTask { stop, task })
}

/// The people, and what they trade with.
struct Stage {
    handle: EngineHandle,
    clock: Arc<dyn Clock>,
    keys: KeyStore,
    market: MarketName,
    usd: Currency,
    provider: StoredKey,
    /// The provider that is asked for money, if it is one whose money is none.
    sandbox: Option<AccountId>,
    sellers: Vec<StoredKey>,
    buyers: Vec<StoredKey>,
    listings: Vec<ListingId>,
}

impl Stage {
    async fn set(node: &Node, clock: Arc<dyn Clock>) -> anyhow::Result<Stage> {
        let keys = node.keys().clone();
        let named = |role: &str, count: usize| -> Result<Vec<StoredKey>, _> {
            (1..=count).map(|n| keys.get_or_make(&format!("demo-{role}-{n}"))).collect()
        };
        let (provider, sellers, buyers) =
            (keys.get_or_make("demo-provider")?, named("seller", SELLERS)?, named("buyer", BUYERS)?);
        let listings = sellers.iter().map(|_| ListingId::from_uuid(Uuid::now_v7())).collect();
        let (handle, market) = (node.handle(), node.market().clone());
        let usd = "USD".parse()?;
        let sandbox = node.effects().providers().find(|(name, _)| *name == sandbox::NAME);
        let sandbox = sandbox.map(|(_, account)| account);
        let stage = Stage { handle, clock, market, usd, provider, sandbox, sellers, buyers, listings, keys };
        stage.register(&stage.provider, Role::Provider).await?;
        for (seller, listing) in stage.sellers.iter().zip(&stage.listings) {
            stage.register(seller, Role::Seller).await?;
            let title = "Compact disc, demonstration".to_owned().try_into().map_err(anyhow::Error::msg)?;
            let price = Money::new(PRICE_MINOR, stage.usd);
            stage.give(seller, CreateListing::new(*listing, price, title)).await?;
            let quantity = Quantity::new(STOCK_UNITS)?;
            stage.give(seller, ReceiveStock { listing: *listing, location: None, quantity }).await?;
        }
        for buyer in &stage.buyers {
            stage.register(buyer, Role::Buyer).await?;
            let amount = Money::new(FUNDS_MINOR, stage.usd);
            // Each start pays them anew.
            let reference =
                format!("demonstration {}", Uuid::now_v7()).try_into().map_err(anyhow::Error::msg)?;
            stage.give(&stage.provider, FundWallet { account: buyer.account, amount, reference }).await?;
        }
        Ok(stage)
    }

    /// Registers someone; who is registered already stays so.
    async fn register(&self, key: &StoredKey, role: Role) -> anyhow::Result<()> {
        let registrar = self.keys.get(REGISTRAR_KEY)?;
        let (account, device) = (key.account, key.device);
        self.give(&registrar, RegisterAccount { account, roles: [role].into() }).await?;
        self.give(&registrar, RegisterDevice::new(account, device, key.public())).await?;
        Ok(())
    }

    /// Plays one order's story, a command at each beat.
    async fn play(
        &self,
        scene: usize,
        beat: &mut tokio::time::Interval,
        stopped: &mut watch::Receiver<bool>,
    ) -> anyhow::Result<()> {
        let buyer = &self.buyers[scene % BUYERS];
        let shop = scene % SELLERS;
        let (seller, listing) = (&self.sellers[shop], self.listings[shop]);
        let quantity = Quantity::new(1 + (scene % 3) as u32)?;
        let total = Money::new(PRICE_MINOR, self.usd).checked_mul(quantity)?;
        let line = OrderLine { listing, quantity, quote: None };
        let (payment_method, lines) = (PaymentMethod::Wallet, vec![line]);
        if !next(beat, stopped).await {
            return Ok(());
        }
        // One in seven signs too small a total, and is told so.
        if scene % 7 == 6 {
            let total = Money::new(1, self.usd);
            let receipt = self.ask(buyer, PlaceOrder::new(lines, payment_method, total)).await?;
            anyhow::ensure!(receipt.receipt.outcome == Outcome::Rejected, "an order for a cent was accepted");
            return Ok(());
        }
        let placed = if scene.is_multiple_of(3) {
            let added = self.give(buyer, AddToCart { listing, owner: None, quantity }).await?;
            let cart: CartId = named(&added, "cart.")?;
            if !next(beat, stopped).await {
                return Ok(());
            }
            // What an interrupted scene left in the cart is bought along: no more than this is paid.
            let total = Money::new(FUNDS_MINOR, self.usd);
            let seen = self
                .handle
                .preview(buyer.account, Asked::default())
                .await
                .and_then(|previewed| previewed.found);
            let expected =
                Expected { cart: Some(seen.context("the cart can't be seen")?.version), listing: None };
            let migrate = MigrateCart::new(cart, payment_method, total);
            accepted(self.ask_if(expected, buyer, migrate).await?)?
        } else {
            self.give(buyer, PlaceOrder::new(lines, payment_method, total)).await?
        };
        let order: OrderId = named(&placed, "order.")?;
        if !next(beat, stopped).await {
            return Ok(());
        }
        if scene % 5 == 4 {
            let reason = Some("changed my mind".to_owned().try_into().map_err(anyhow::Error::msg)?);
            self.give(buyer, CancelOrder { lines: None, order, reason }).await?;
            return Ok(());
        }
        self.give(seller, ShipOrder { carrier: None, from: None, lines: None, order, tracking: None })
            .await?;
        if next(beat, stopped).await {
            self.give(buyer, ConfirmDelivery { order, shipment: None }).await?;
            self.through_provider(buyer, seller, total).await?;
        }
        Ok(())
    }

    /// Lets the buyer pay as much into his wallet by card as he has spent, and the seller be paid a part of what he has earned.
    async fn through_provider(
        &self,
        buyer: &StoredKey,
        seller: &StoredKey,
        amount: Money,
    ) -> anyhow::Result<()> {
        let Some(provider) = self.sandbox else { return Ok(()) };
        let method = |token: &str| -> anyhow::Result<ProviderMethod> {
            Ok(ProviderMethod { provider, token: token.to_owned().try_into().map_err(anyhow::Error::msg)? })
        };
        self.give(buyer, RequestPayment { amount, method: method("tok_approve")? }).await?;
        let amount = Money::new(PAYOUT_MINOR, self.usd);
        self.give(seller, RequestPayout { amount, to: method("acct_demo")? }).await?;
        Ok(())
    }

    /// Gives a command that must not be rejected.
    async fn give(&self, key: &StoredKey, command: impl Into<Command>) -> anyhow::Result<Receipt> {
        accepted(self.ask(key, command).await?)
    }

    async fn ask(&self, key: &StoredKey, command: impl Into<Command>) -> anyhow::Result<Receipt> {
        self.ask_if(Expected::default(), key, command).await
    }

    /// Gives a command that names the versions it was made for.
    async fn ask_if(
        &self,
        expected: Expected,
        key: &StoredKey,
        command: impl Into<Command>,
    ) -> anyhow::Result<Receipt> {
        let id = CommandId::from_uuid(Uuid::now_v7());
        let draft = self.keys.draft(key, &self.market, id, command.into(), self.clock.now())?;
        let draft = Draft { expected, ..draft };
        let signed = Bytes::from(sign(&draft, &key.signing()));
        let reply = tokio::time::timeout(REPLY_TIME_MAX, self.handle.submit(signed, None, None)).await;
        match reply.context("no receipt in time")? {
            Reply::Receipt(receipt) => Ok(*receipt),
            Reply::Refused(refusal) => Err(refusal.into()),
            Reply::Undecided => bail!("the market stops"),
        }
    }
}

/// Passes on a receipt that is none of a rejection.
fn accepted(receipt: Receipt) -> anyhow::Result<Receipt> {
    if receipt.receipt.outcome == Outcome::Rejected {
        bail!("{} was rejected: {:?}", receipt.receipt.name, receipt.receipt.reasons);
    }
    Ok(receipt)
}

/// Waits for the next beat; false when the demonstration is to stop.
async fn next(beat: &mut tokio::time::Interval, stopped: &mut watch::Receiver<bool>) -> bool {
    tokio::select! {
        biased;
        _ = stopped.wait_for(|stop| *stop) => false,
        _ = beat.tick() => true,
    }
}

/// Finds the id that a command's events are about, among those whose type begins with `kind`.
fn named<T: std::str::FromStr>(receipt: &Receipt, kind: &str) -> anyhow::Result<T> {
    let mut events = receipt.receipt.events.iter().filter(|event| event.type_name.starts_with(kind));
    let id = events.find_map(|event| event.subject.as_deref()?.parse().ok());
    id.with_context(|| format!("the receipt names no {kind}"))
}
