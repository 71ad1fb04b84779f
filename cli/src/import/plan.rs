//! What happens when: the purchases at their days, and around them what a market needs.
//!
//! - The day before the first purchase everyone is registered, wallets get what their owners will spend, and the
//!   shops take in what they will sell.
//! - The purchases of a day, in the file's order, are spread over 9:00 to 21:00.
//! - The same day at 22:00 the shops ship.
//! - Most buyers confirm at 20:00 of the next day or of the one after it, in turns. Counting purchases, each
//!   [`SILENT_EVERY`]th buyer never does: the carrier reports the delivery two days after the purchase and the escrow
//!   is released when the inspection ends. Of each [`LOST_EVERY`]th nobody reports anything, and the transit's
//!   deadline counts it as delivered before the inspection's releases it.
//! - Purchases of nothing are asked for like all others; the market rejects them and nothing follows.

use std::collections::{BTreeMap, HashMap};

use commands::command::{
    Command, ConfirmDelivery, CreateListing, FundWallet, OrderLine, PaymentMethod, PlaceOrder, Quote,
    ReceiveStock, RegisterAccount, RegisterDevice, ShipOrder,
};
use commands::sign::{Draft, sign, sign_quote};
use events::account::Role;
use events::ids::{MarketName, OrderId};
use events::{Currency, Money, Quantity, Timestamp};

use super::people::{People, Person, command_id, nonce};
use super::rows::Purchase;

/// Every so many purchases the buyer never confirms.
pub(crate) const SILENT_EVERY: usize = 50;
/// Every so many purchases nobody reports the delivery.
pub(crate) const LOST_EVERY: usize = 500;
/// Purchases that are made at one instant, unless a day has more than [`INSTANTS_PER_DAY_MAX`] times as many.
const PURCHASES_PER_INSTANT: usize = 32;
/// Most instants of a day at which purchases are made.
const INSTANTS_PER_DAY_MAX: usize = 12;
/// Days after the last purchase until every deadline has passed: 14 of transit, 3 of inspection, and one.
const CLOSING_DAYS: i64 = 18;
/// How long a command or quote of the import is good.
const GOOD_MS: i64 = 60_000;

pub(crate) const HOUR_MS: i64 = 3_600_000;
pub(crate) const DAY_MS: i64 = 24 * HOUR_MS;
const MINUTE_MS: i64 = 60_000;
/// What one unit costs without a quote, in minor units.
const LIST_PRICE_MINOR: i64 = 1_499;

/// Who gives a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum By {
    Registrar,
    Provider,
    Seller(usize),
    Customer(usize),
}

/// What is asked; purchases are named by their place in [`Plan::purchases`].
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ask {
    Account(By),
    Device(By),
    Fund(usize, i64),
    List(usize),
    Stock(usize, Quantity),
    Buy(usize),
    Ship(usize),
    Confirm(usize),
}

/// A command to be signed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Job {
    by: By,
    seq: u64,
    at: Timestamp,
    pub(crate) ask: Ask,
}

/// Everything of an import, in the order of time.
pub(crate) struct Plan {
    market: MarketName,
    usd: Currency,
    people: People,
    /// In the order in which they are made.
    purchases: Vec<Purchase>,
    orders: Vec<OrderId>,
    /// Commands by the instant they are given; an instant without any only lets deadlines end.
    pub(crate) instants: Vec<(Timestamp, Vec<Job>)>,
}

/// Tells when the people of an import register: the day before the first purchase.
pub(crate) fn begin(purchases: &[Purchase]) -> Option<Timestamp> {
    purchases.iter().map(|purchase| purchase.day).min().map(|day| day.plus_ms(-DAY_MS))
}

/// Tells how long an import lasts in the market's time: until its last deadline has passed.
pub(crate) fn end(purchases: &[Purchase]) -> Option<Timestamp> {
    purchases.iter().map(|purchase| purchase.day).max().map(|day| day.plus_ms((CLOSING_DAYS + 1) * DAY_MS))
}

/// Counts the commands that each of the store's keys gives, at most.
pub(crate) fn store_key_commands_max(purchases: usize, customers: usize) -> u64 {
    (2 * customers + purchases + 64) as u64
}

type Timeline = BTreeMap<Timestamp, Vec<(By, Ask)>>;

impl Plan {
    /// Plans an import. `first_seq` tells where the numbers of a store key begin.
    pub(crate) fn new(
        market: MarketName,
        people: People,
        mut purchases: Vec<Purchase>,
        first_seq: &HashMap<By, u64>,
    ) -> anyhow::Result<Plan> {
        let usd: Currency = "USD".parse()?;
        purchases.sort_by_key(|purchase| purchase.day);
        let mut timeline = Timeline::new();
        if let (Some(begin), Some(end)) = (begin(&purchases), end(&purchases)) {
            set_up(&mut timeline, &people, &purchases, begin)?;
            buy(&mut timeline, &people, &purchases);
            let mut midnight = begin.plus_ms(2 * DAY_MS);
            while midnight <= end {
                timeline.entry(midnight).or_default();
                midnight = midnight.plus_ms(DAY_MS);
            }
        }
        let mut plan = Plan { market, usd, people, orders: Vec::new(), purchases, instants: Vec::new() };
        plan.number(timeline, first_seq);
        Ok(plan)
    }

    /// Counts the commands.
    pub(crate) fn commands(&self) -> u64 {
        self.instants.iter().map(|(_, jobs)| jobs.len() as u64).sum()
    }

    /// Tells what was paid for a purchase.
    pub(crate) fn total(&self, purchase: usize) -> Money {
        self.purchases[purchase].total
    }

    /// Counts the purchases that the market will accept.
    pub(crate) fn orders_expected(&self) -> u64 {
        self.purchases.iter().filter(|purchase| purchase.total.is_positive()).count() as u64
    }

    /// Gives each command its key's next number. An order's id follows from that of its command.
    fn number(&mut self, timeline: Timeline, first_seq: &HashMap<By, u64>) {
        let mut next: HashMap<By, u64> = first_seq.clone();
        for (at, asks) in timeline {
            let mut jobs = Vec::with_capacity(asks.len());
            for (by, ask) in asks {
                let number = next.entry(by).or_insert(1);
                let seq = *number;
                *number += 1;
                if let Ask::Buy(_) = ask {
                    // Purchases are numbered as they are made, so this one's place is the next.
                    let buyer = self.person(by);
                    self.orders.push(OrderId::derive(buyer.account, command_id(buyer, seq, at), 0));
                }
                jobs.push(Job { by, seq, at, ask });
            }
            self.instants.push((at, jobs));
        }
    }

    fn person(&self, by: By) -> &Person {
        match by {
            By::Registrar => &self.people.registrar,
            By::Provider => &self.people.provider,
            By::Seller(n) => &self.people.sellers[n],
            By::Customer(n) => &self.people.customers[n],
        }
    }

    /// Signs a command with its own key.
    pub(crate) fn sign(&self, job: Job) -> String {
        let person = self.person(job.by);
        let draft = Draft {
            market: self.market.clone(),
            account: person.account,
            device: person.device,
            command_id: command_id(person, job.seq, job.at),
            seq: job.seq,
            nonce: nonce(person, job.seq),
            issued_at: job.at,
            expires_at: job.at.plus_ms(GOOD_MS),
            expected: commands::command::Expected::default(),
            command: self.command(job),
        };
        sign(&draft, &person.key)
    }

    fn command(&self, job: Job) -> Command {
        let text = |text: String| text.try_into().expect("a short text without control characters");
        match job.ask {
            Ask::Account(by) => {
                let role = match by {
                    By::Customer(_) => Role::Buyer,
                    By::Seller(_) => Role::Seller,
                    By::Provider | By::Registrar => Role::Provider,
                };
                RegisterAccount { account: self.person(by).account, roles: [role].into() }.into()
            }
            Ask::Device(by) => {
                let Person { account, device, key } = self.person(by);
                RegisterDevice::new(*account, *device, key.public()).into()
            }
            Ask::Fund(customer, minor) => {
                let account = self.people.customers[customer].account;
                let reference = text(format!("cdnow-{customer}"));
                FundWallet { account, amount: Money::new(minor, self.usd), reference }.into()
            }
            Ask::List(seller) => {
                let title =
                    format!("Compact disc, shop {}", seller + 1).try_into().expect("a short plain text");
                let (listing, price) = (self.people.listings[seller], Money::new(LIST_PRICE_MINOR, self.usd));
                CreateListing::new(listing, price, title).into()
            }
            Ask::Stock(seller, quantity) => {
                ReceiveStock { listing: self.people.listings[seller], location: None, quantity }.into()
            }
            Ask::Buy(purchase) => self.place(&self.purchases[purchase], job).into(),
            Ask::Ship(purchase) => {
                let tracking = Some(text(format!("CD{purchase:08}")));
                let (carrier, order) = (Some(text("post".to_owned())), self.orders[purchase]);
                ShipOrder { carrier, from: None, lines: None, order, tracking }.into()
            }
            Ask::Confirm(purchase) => ConfirmDelivery { order: self.orders[purchase], shipment: None }.into(),
        }
    }

    /// Asks for a purchase at what was paid: the shop's quote for the line, since a total in cents can seldom be
    /// divided by the units.
    fn place(&self, purchase: &Purchase, job: Job) -> PlaceOrder {
        let customer = self.people.by_number[&purchase.customer];
        let shop = People::shop_of(customer);
        let (listing, quantity, total) = (self.people.listings[shop], purchase.units, purchase.total);
        let quote = Quote {
            aud: self.market.clone(),
            buyer: self.people.customers[customer].account,
            exp: job.at.plus_ms(GOOD_MS),
            listing,
            quantity,
            total,
            v: 1,
        };
        let quote = sign_quote(&quote, &self.people.sellers[shop].key);
        let line = OrderLine { listing, quantity, quote: Some(quote) };
        PlaceOrder::new(vec![line], PaymentMethod::Wallet, total)
    }
}

/// Registers everyone, funds the wallets and fills the shelves.
fn set_up(
    timeline: &mut Timeline,
    people: &People,
    purchases: &[Purchase],
    begin: Timestamp,
) -> anyhow::Result<()> {
    let mut spent = vec![0i64; people.customers.len()];
    let mut sold = vec![0u64; people.sellers.len()];
    for purchase in purchases {
        let customer = people.by_number[&purchase.customer];
        let sum = spent[customer].checked_add(purchase.total.minor);
        spent[customer] =
            sum.ok_or_else(|| anyhow::anyhow!("customer {} spends too much", purchase.customer))?;
        sold[People::shop_of(customer)] += u64::from(purchase.units.get());
    }
    let everyone: Vec<By> = [By::Provider]
        .into_iter()
        .chain((0..people.sellers.len()).map(By::Seller))
        .chain((0..people.customers.len()).map(By::Customer))
        .collect();
    let minute = |n: i64| begin.plus_ms(n * MINUTE_MS);
    timeline.insert(minute(0), everyone.iter().map(|by| (By::Registrar, Ask::Account(*by))).collect());
    timeline.insert(minute(1), everyone.iter().map(|by| (By::Registrar, Ask::Device(*by))).collect());
    let funds = spent.iter().enumerate().filter(|(_, minor)| **minor > 0);
    let funds = funds.map(|(customer, minor)| (By::Provider, Ask::Fund(customer, *minor)));
    let lists = (0..people.sellers.len()).map(|seller| (By::Seller(seller), Ask::List(seller)));
    timeline.insert(minute(2), funds.chain(lists).collect());
    let mut stock = Vec::new();
    for (seller, mut units) in sold.into_iter().enumerate() {
        while units > 0 {
            let part = units.min(u64::from(Quantity::MAX));
            stock.push((By::Seller(seller), Ask::Stock(seller, Quantity::new(u32::try_from(part)?)?)));
            units -= part;
        }
    }
    timeline.insert(minute(3), stock);
    Ok(())
}

/// Places, ships and confirms; `purchases` are in the order of their days.
fn buy(timeline: &mut Timeline, people: &People, purchases: &[Purchase]) {
    let mut number = 0;
    for day in purchases.chunk_by(|one, next| one.day == next.day) {
        let midnight = day[0].day;
        let instants = day.len().div_ceil(PURCHASES_PER_INSTANT).min(INSTANTS_PER_DAY_MAX);
        let apart_ms = 12 * HOUR_MS / instants as i64;
        for (row, purchase) in day.iter().enumerate() {
            let instant = (row * instants / day.len()) as i64;
            let customer = people.by_number[&purchase.customer];
            let at = midnight.plus_ms(9 * HOUR_MS + instant * apart_ms);
            timeline.entry(at).or_default().push((By::Customer(customer), Ask::Buy(number)));
            if purchase.total.is_positive() {
                let mut then = |at_ms: i64, by, ask| {
                    timeline.entry(midnight.plus_ms(at_ms)).or_default().push((by, ask));
                };
                then(22 * HOUR_MS, By::Seller(People::shop_of(customer)), Ask::Ship(number));
                let counted = number + 1;
                if counted.is_multiple_of(SILENT_EVERY) && !counted.is_multiple_of(LOST_EVERY) {
                    then(2 * DAY_MS + 12 * HOUR_MS, By::Provider, Ask::Confirm(number));
                } else if !counted.is_multiple_of(LOST_EVERY) {
                    let days = if counted.is_multiple_of(2) { 1 } else { 2 };
                    then(days * DAY_MS + 20 * HOUR_MS, By::Customer(customer), Ask::Confirm(number));
                }
            }
            number += 1;
        }
    }
}
