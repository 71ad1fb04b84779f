//! People with real keys who found a market and order in it, through nothing but an engine's handle.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use commands::command::{
    CancelOrder, CreateListing, FundWallet, OrderLine, PaymentMethod, PlaceOrder, ReceiveStock, Text,
};
use commands::receipt::{Outcome, Receipt, ReceiptBody};
use commands::{Command, Market};
use engine::{EngineHandle, Reply};
use events::account::{Algorithm, Role};
use events::ids::{CommandId, ListingId, OrderId};
use events::{Commit, Head, Money, Quantity};
use uuid::Uuid;

pub use bench::person::Person;

/// How long a reply may take; only a broken engine needs it.
const PATIENCE: Duration = Duration::from_secs(60);
/// The price of everything, in minor units.
pub const PRICE_MINOR: i64 = 1_000;

/// Makes an amount of US dollars.
pub fn usd(minor: i64) -> Money {
    Money::new(minor, "USD".parse().expect("USD is a currency"))
}

/// Makes a new command id.
pub fn new_id() -> CommandId {
    CommandId::from_uuid(Uuid::now_v7())
}

/// Hands in a command and waits for the reply.
pub async fn submit(engine: &EngineHandle, bytes: Bytes) -> Reply {
    tokio::time::timeout(PATIENCE, engine.submit(bytes, None, None)).await.expect("an engine replies")
}

/// Gives the receipt of a reply.
///
/// # Panics
/// If it is none.
pub fn receipt(reply: Reply) -> Receipt {
    match reply {
        Reply::Receipt(receipt) => *receipt,
        other => panic!("no receipt: {other:?}"),
    }
}

/// A founded market: a registrar, a provider, a seller with one listing, and buyers with full wallets.
pub struct Town {
    registrar: Person,
    provider: Person,
    seller: Person,
    /// Those who buy.
    pub buyers: Vec<Person>,
    listing: ListingId,
}

impl Town {
    /// Registers everybody, fills the wallets and puts `stock` units of one thing on sale.
    pub async fn found(engine: &EngineHandle, registrar: Person, buyers: usize, stock: u32) -> Town {
        let person = || Person::new(registrar.market(), Algorithm::EdDsa, &mut rand::rng());
        let (provider, seller) = (person(), person());
        let buyers = (0..buyers).map(|_| person()).collect();
        let listing = ListingId::from_uuid(Uuid::now_v7());
        let town = Town { registrar, provider, seller, buyers, listing };
        let people = [(&town.provider, Role::Provider), (&town.seller, Role::Seller)];
        let people: Vec<_> =
            people.into_iter().chain(town.buyers.iter().map(|buyer| (buyer, Role::Buyer))).collect();
        for (person, role) in &people {
            accept(engine, town.registrar.sign(person.account_registration(*role))).await;
            accept(engine, town.registrar.sign(person.device_registration())).await;
        }
        for buyer in &town.buyers {
            accept(engine, town.pay(buyer)).await;
        }
        let offer = CreateListing::new(listing, usd(PRICE_MINOR), text("A thing"));
        accept(engine, town.seller.sign(offer)).await;
        let quantity = Quantity::new(stock).expect("some stock");
        accept(engine, town.seller.sign(ReceiveStock { listing, location: None, quantity })).await;
        town
    }

    /// Signs, as the provider, that the one payment of a buyer arrived.
    pub fn pay(&self, buyer: &Person) -> Bytes {
        let (account, amount) = (buyer.account(), usd(1_000_000_000));
        self.provider.sign(FundWallet { account, amount, reference: text(&format!("for {account}")) })
    }

    /// Gives a wish for some units.
    pub fn order(&self, units: u32) -> Command {
        let quantity = Quantity::new(units).expect("some units");
        let line = OrderLine { listing: self.listing, quantity, quote: None };
        let total = usd(PRICE_MINOR * i64::from(units));
        PlaceOrder::new(vec![line], PaymentMethod::Wallet, total).into()
    }

    /// Gives the wish to cancel what a command of a buyer ordered.
    pub fn cancel(&self, buyer: &Person, ordered_by: CommandId) -> Command {
        let order = OrderId::derive(buyer.account(), ordered_by, 0);
        CancelOrder { lines: None, order, reason: None }.into()
    }
}

async fn accept(engine: &EngineHandle, bytes: Bytes) {
    let receipt = receipt(submit(engine, bytes).await);
    assert_eq!(receipt.receipt.outcome, Outcome::Accepted, "{:?}", receipt.receipt.reasons);
}

fn text<const MAX: usize>(text: &str) -> Text<MAX> {
    Text::try_from(text.to_owned()).expect("a short text")
}

/// Folds a whole log.
///
/// # Panics
/// If its chain is broken or its ledger does not sum to zero.
pub fn fold(commits: &[Arc<Commit>]) -> Market {
    let mut market = Market::new();
    let mut head = Head::EMPTY;
    for commit in commits {
        commit.check_follows(head).expect("the log's chain holds");
        market.evolve_commit(commit);
        head = commit.head();
    }
    assert!(market.ledger.sums().values().all(|sum| *sum == 0), "the ledger sums to zero");
    market
}

/// Gives every outcome that a log has of a command.
pub fn outcomes_of(commits: &[Arc<Commit>], id: CommandId) -> Vec<ReceiptBody> {
    let bodies = commits.iter().filter_map(|commit| ReceiptBody::of(commit));
    bodies.filter(|body| body.command == id).collect()
}
