//! Who asks in a simulated market, and what for.

use std::collections::BTreeMap;
use std::sync::Arc;

use commands::command::{
    AddToCart, AdjustStock, CancelOrder, ClearCart, ConfirmDelivery, CreateListing, Delta, Expected,
    FreezeCart, FundWallet, LineQuantity, MigrateCart, MoveBack, MoveStock, OrderLine, PauseListing,
    PaymentMethod, PlaceOrder, ReceiveStock, RegisterAccount, RegisterDevice, RemoveFromCart, RestoreCart,
    ResumeListing, SaveForLater, SetBackorderLimit, SetCartQuantity, ShipOrder, Text, Units, UpdateListing,
};
use commands::{Command, Market, Verified};
use events::account::{PublicKey, Role};
use events::ids::{AccountId, CartId, CommandId, DeviceId, ListingId, Nonce, OrderId, PaymentId, RefundId};
use events::location::Location;
use events::metadata::CommandStamp;
use events::stock::AdjustmentReason;
use events::{Hash, Money, Quantity, Timestamp};
use rand::RngExt;
use rand::rngs::StdRng;
use uuid::Uuid;

use super::{money, risk};

pub(super) const REGISTRAR: Person = Person(1);
pub(super) const PROVIDER: Person = Person(2);
pub(super) const OPERATORS: [Person; 2] = [Person(3), Person(4)];
pub(super) const SELLERS: [Person; 3] = [Person(10), Person(11), Person(12)];
pub(super) const BUYERS: [Person; 5] = [Person(20), Person(21), Person(22), Person(23), Person(24)];
/// Listings that are there from the beginning; the sellers share them.
pub(super) const LISTINGS: u64 = 6;
/// How many payments a provider knows of; those of the founding are the first.
pub(super) const PAYMENTS: u64 = 30;

/// How long a signed command is good.
const GOOD_FOR_MS: i64 = 60_000;

/// Somebody with one device and one key, all made from one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Person(pub(super) u32);

impl Person {
    /// Whose account it is.
    pub(super) fn of(account: AccountId) -> Person {
        Person((account.uuid().as_u128() & 0xffff_ffff) as u32)
    }

    pub(super) fn account(self) -> AccountId {
        AccountId::from_uuid(Uuid::from_u128(0xACC0_0000_0000 | u128::from(self.0)))
    }

    pub(super) fn device(self) -> DeviceId {
        DeviceId::from_uuid(Uuid::from_u128(0xDE71_0000_0000 | u128::from(self.0)))
    }

    pub(super) fn key(self) -> PublicKey {
        let mut x = [0; 32];
        x[..4].copy_from_slice(&self.0.to_be_bytes());
        PublicKey::Ed25519(x)
    }

    pub(super) fn register(self, role: Role) -> Command {
        RegisterAccount { account: self.account(), roles: [role].into() }.into()
    }

    pub(super) fn enrol(self) -> Command {
        RegisterDevice::new(self.account(), self.device(), self.key()).into()
    }
}

pub(super) fn listing(n: u64) -> ListingId {
    ListingId::from_uuid(Uuid::from_u128(0x1157_0000_0000 | u128::from(n)))
}

pub(super) fn usd(minor: i64) -> Money {
    Money::new(minor, "USD".parse().expect("USD is a currency"))
}

pub(super) fn units(n: u32) -> Quantity {
    Quantity::new(n).expect("a small number is a quantity")
}

pub(super) fn text<const MAX: usize>(text: &str) -> Text<MAX> {
    Text::try_from(text.to_owned()).expect("a short text")
}

pub(super) fn offer(n: u64) -> Command {
    let price = usd(100 + 7 * (n % 50) as i64);
    CreateListing { release: money::promise(n), ..CreateListing::new(listing(n), price, text("A thing")) }
        .into()
}

pub(super) fn receive(n: u64, quantity: u32) -> Command {
    ReceiveStock { listing: listing(n), location: None, quantity: units(quantity) }.into()
}

pub(super) fn fund(person: Person, minor: i64, payment: u64) -> Command {
    let reference = text(&format!("payment {payment}"));
    FundWallet { account: person.account(), amount: usd(minor), reference }.into()
}

/// All clients together: they sign, and remember all that they have ever signed.
#[derive(Debug, Clone, Default)]
pub(super) struct Clients {
    pub(super) sent: Vec<Arc<Verified>>,
    next_seq: BTreeMap<Person, u64>,
    signed: u64,
    newcomers: u32,
    listings: u64,
    /// Whether they want what has to do with money too, of which much waits for the index.
    pub(super) with_money: bool,
    /// Whether its operators have rules of risk.
    pub(super) with_risk: bool,
}

/// What the clients see of the market.
pub(super) struct Sight<'a> {
    pub(super) now: Timestamp,
    pub(super) market: &'a Market,
    pub(super) orders: &'a [OrderId],
    /// The payments so far, with who pays.
    pub(super) payments: &'a [(PaymentId, AccountId)],
    /// The refunds so far, with what they are of.
    pub(super) refunds: &'a [(RefundId, PaymentId)],
}

impl Clients {
    /// Signs a new wish.
    pub(super) fn sign(&mut self, person: Person, command: Command, made: Timestamp) -> Arc<Verified> {
        self.signed += 1;
        let id =
            (made.ms().unsigned_abs() as u128) << 80 | 0x7000_8000_0000_0000_0000 | u128::from(self.signed);
        let id = CommandId::from_uuid(Uuid::from_u128(id));
        let verified = self.sign_as(person, command, id, made);
        self.keep(verified)
    }

    fn sign_as(&mut self, person: Person, command: Command, id: CommandId, made: Timestamp) -> Verified {
        self.signed += 1;
        let seq = self.next_seq.entry(person).or_insert(1);
        let mut nonce = [0; 16];
        nonce[..8].copy_from_slice(&self.signed.to_be_bytes());
        let wish = format!("{} {id} {} {}", person.account(), command.name(), command.body());
        let stamp = CommandStamp {
            account: person.account(),
            command: id,
            device: person.device(),
            fingerprint: Hash::of(wish.as_bytes()),
            key: person.key().id(),
            name: command.name().to_owned(),
            nonce: Nonce(nonce),
            seq: *seq,
            signed: format!("signed {}", self.signed),
            step_up: None,
        };
        *seq += 1;
        let quotes = match &command {
            Command::PlaceOrder(body) => body.lines.iter().map(|_| None).collect(),
            _ => Vec::new(),
        };
        let exchange = match &command {
            Command::ExchangeMoney(body) => Some(money::offer(person, body)),
            _ => None,
        };
        let (issued_at, expires_at) = (made, made.plus_ms(GOOD_FOR_MS));
        let expected = Expected::default();
        Verified { stamp, issued_at, expires_at, expected, quotes, claim: None, exchange, command }
    }

    fn keep(&mut self, verified: Verified) -> Arc<Verified> {
        let verified = Arc::new(verified);
        self.sent.push(Arc::clone(&verified));
        verified
    }

    /// Signs something that somebody may ask for now: mostly a new wish, at times an old one in every way that
    /// networks, impatient people and thieves ask again.
    pub(super) fn next(&mut self, rng: &mut StdRng, sight: &Sight<'_>) -> Arc<Verified> {
        let made = sight.now.plus_ms(-rng.random_range(0..2_000));
        let roll = rng.random_range(0..100);
        if roll < 65 || self.sent.is_empty() {
            let (person, command) = self.wish(rng, sight);
            let made = match rng.random_range(0..50) {
                0 => sight.now.plus_ms(90_000),
                1 => sight.now.plus_ms(-90_000),
                _ => made,
            };
            return self.sign(person, command, made);
        }
        let before = Arc::clone(&self.sent[rng.random_range(0..self.sent.len())]);
        let person = Person::of(before.stamp.account);
        if roll < 80 {
            return before;
        }
        let id = before.stamp.command;
        if roll < 90 {
            let again = self.sign_as(person, before.command.clone(), id, made);
            let fingerprint = before.stamp.fingerprint;
            return self
                .keep(Verified { stamp: CommandStamp { fingerprint, ..again.stamp.clone() }, ..again });
        }
        let (_, command) = self.wish(rng, sight);
        if roll < 95 {
            let other = self.sign_as(person, command, id, made);
            return self.keep(other);
        }
        // A new wish with a used number or nonce.
        let mut thief = Verified::clone(&self.sign(person, command, made));
        if roll < 98 {
            thief.stamp.seq = before.stamp.seq;
        } else {
            thief.stamp.nonce = before.stamp.nonce;
        }
        thief.stamp.signed.push_str(" by a thief");
        self.keep(thief)
    }

    fn wish(&mut self, rng: &mut StdRng, sight: &Sight<'_>) -> (Person, Command) {
        if self.with_risk
            && let Some(wish) = risk::wish(rng, sight)
        {
            return wish;
        }
        if self.with_money && rng.random_ratio(2, 3) {
            return money::wish(rng, sight);
        }
        let buyer = BUYERS[rng.random_range(0..BUYERS.len())];
        let seller = SELLERS[rng.random_range(0..SELLERS.len())];
        let n = rng.random_range(0..LISTINGS);
        let quantity = units(rng.random_range(1..4));
        let order = || match sight.orders {
            [] => OrderId::from_uuid(Uuid::from_u128(404)),
            orders => orders[sight.now.ms().unsigned_abs() as usize % orders.len()],
        };
        let command = match rng.random_range(0..100) {
            0..12 => AddToCart { listing: listing(n), owner: None, quantity }.into(),
            12..15 => SetCartQuantity { listing: listing(n), owner: None, quantity }.into(),
            15 => RemoveFromCart { listing: listing(n), owner: None }.into(),
            16 if n % 2 == 0 => SaveForLater { listing: listing(n) }.into(),
            16 => MoveBack { listing: listing(n) }.into(),
            17 => ClearCart::default().into(),
            18 if n % 2 == 0 => FreezeCart { until: sight.now.plus_ms(10_000) }.into(),
            18 => restore(sight.market, buyer),
            19..25 => migrate(sight.market, buyer),
            25..52 => place(rng),
            52..60 => {
                let order = order();
                CancelOrder { lines: part(rng, sight.market, order), order, reason: None }.into()
            }
            60..68 => ConfirmDelivery { order: order(), shipment: None }.into(),
            68..78 => {
                let order = order();
                let lines = part(rng, sight.market, order);
                let from = if rng.random_bool(0.2) { location(rng) } else { None };
                return (seller, ShipOrder { carrier: None, from, lines, order, tracking: None }.into());
            }
            78..86 => {
                let quantity = units(rng.random_range(1..6));
                let received = ReceiveStock { listing: listing(n), location: location(rng), quantity };
                return (SELLERS[(n % 3) as usize], received.into());
            }
            // Some were credited before, the first ones in a time that only the index knows.
            86..92 => {
                let (minor, payment) = (rng.random_range(100..3_000), rng.random_range(0..PAYMENTS));
                return (PROVIDER, fund(buyer, minor, payment));
            }
            92..95 => return (PROVIDER, ConfirmDelivery { order: order(), shipment: None }.into()),
            95 => return stocking(rng, n),
            96 => {
                self.listings += 1;
                return (seller, offer(LISTINGS + self.listings / 2));
            }
            97 | 98 => {
                self.newcomers += 1;
                let newcomer = Person(100 + self.newcomers / 2);
                let is_first = self.newcomers % 2 == 1;
                return (REGISTRAR, if is_first { newcomer.register(Role::Buyer) } else { newcomer.enrol() });
            }
            _ => {
                let newcomer = Person(100 + self.newcomers / 2);
                return (newcomer, AddToCart { listing: listing(n), owner: None, quantity }.into());
            }
        };
        (buyer, command)
    }
}

/// Where a seller has goods; none: at no named location.
fn location(rng: &mut StdRng) -> Option<Location> {
    let name = ["", "berlin", "cologne"][rng.random_range(0..3)];
    (!name.is_empty()).then(|| name.parse().expect("a location"))
}

/// What a listing's seller does with it.
fn stocking(rng: &mut StdRng, n: u64) -> (Person, Command) {
    let id = listing(n);
    let command: Command = match rng.random_range(0..8) {
        0 => {
            let price = Some(usd(rng.random_range(100..400)));
            let (limits, restricted, tax_class, title) = (None, None, None, None);
            UpdateListing {
                final_sale: None,
                limits,
                listing: id,
                price,
                restricted,
                tax_class,
                title,
                release: None,
            }
            .into()
        }
        1 => PauseListing { listing: id }.into(),
        2 | 3 => ResumeListing { listing: id }.into(),
        4 => {
            let delta = Delta::try_from(-rng.random_range(1..4)).expect("a small number is a change");
            let (location, reason) = (location(rng), AdjustmentReason::Lost);
            AdjustStock { delta, listing: id, location, reason }.into()
        }
        5 | 6 => {
            let (from, to, quantity) = (location(rng), location(rng), units(rng.random_range(1..4)));
            MoveStock { from, listing: id, quantity, to }.into()
        }
        _ => {
            let units = Units::try_from(rng.random_range(0..3)).expect("a small number of units");
            SetBackorderLimit { listing: id, units }.into()
        }
    };
    (SELLERS[(n % 3) as usize], command)
}

pub(super) fn cart_of(market: &Market, buyer: Person) -> Option<CartId> {
    market.accounts.get(buyer.account())?.cart.as_ref().map(|cart| cart.id)
}

fn migrate(market: &Market, buyer: Person) -> Command {
    let cart = cart_of(market, buyer).unwrap_or(CartId::from_uuid(Uuid::from_u128(404)));
    MigrateCart::new(cart, PaymentMethod::Wallet, usd(1_000_000)).into()
}

/// Gives one unit of one line of an open order, or nothing: then all of it is meant.
pub(super) fn part(rng: &mut StdRng, market: &Market, order: OrderId) -> Option<Vec<LineQuantity>> {
    let lines = &market.orders.get(order)?.lines;
    let line = lines[rng.random_range(0..lines.len())];
    rng.random_ratio(1, 2).then(|| vec![LineQuantity { listing: line.listing, quantity: units(1) }])
}

fn restore(market: &Market, buyer: Person) -> Command {
    let last = market.accounts.get(buyer.account()).and_then(|account| account.last_migrated.as_ref());
    RestoreCart { cart: last.map_or(CartId::from_uuid(Uuid::from_u128(404)), |cart| cart.id) }.into()
}

/// Draws one to three lines, of listings that are `step` apart: 3 gives those of one seller.
pub(super) fn lines(rng: &mut StdRng, step: u64) -> Vec<OrderLine> {
    let first = rng.random_range(0..LISTINGS);
    let most = LISTINGS / step;
    let lines = (0..rng.random_range(1..4).min(most)).map(|n| OrderLine {
        listing: listing((first + n * step) % LISTINGS),
        quantity: units(rng.random_range(1..3)),
        quote: None,
    });
    lines.collect()
}

fn place(rng: &mut StdRng) -> Command {
    let total = usd(if rng.random_ratio(1, 20) { 50 } else { 1_000_000 });
    PlaceOrder::new(lines(rng, 1), PaymentMethod::Wallet, total).into()
}
