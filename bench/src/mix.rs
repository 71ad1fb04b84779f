//! What people do in a shop: mostly fill carts, at times order, and at times something after the sale. Beside it, on the
//! same market, orders alone.
//!
//! Every command is one that must be accepted. Cores that check signatures change the order of what waits together; so
//! people take turns, and nobody acts again before all that was on its way with his last act has been decided.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use commands::Command;
use commands::command::{
    AcceptChange, AddToCart, ApproveReturn, CancelOrder, ChangedLine, ConfirmDelivery, Expected,
    LineQuantity, MigrateCart, OrderLine, PaymentMethod, PlaceOrder, ProposeChange, ReceiveReturn,
    RemoveFromCart, RequestReturn, SendReturn, SetCartQuantity, ShipOrder,
};
use commands::receipt::ReceiptVerifier;
use commands::sign::Draft;
use engine::clock::WallClock;
use events::account::Algorithm;
use events::ids::{AccountId, CartId, ChangeId, CommandId, OrderId};
use events::market::ReturnTerms;
use events::order::ShipmentNumber;
use events::returns::{ReturnNumber, ReturnReason};
use events::{Money, Quantity};
use gateway::node::{Node, NodeConfig, RECEIPT_KEY};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::Serialize;
use uuid::Uuid;

use crate::load::{self, IN_FLIGHT_MAX, Seen};
use crate::person::Person;
use crate::segment::{CATCH_UP_MAX, found};
use crate::workload::{LISTINGS_PER_SELLER, Town};

/// Buyers: more than can be on their way at once, so that each has been answered before it is his turn again.
const BUYERS: usize = 2 * IN_FLIGHT_MAX;
const LISTINGS: usize = 1_000;
/// Of a hundred acts, those on a cart.
const CART_PERCENT: u32 = 70;
/// Of a hundred acts, orders. The others are after the sale.
const ORDER_PERCENT: u32 = 20;
/// Of a hundred orders that are to be shipped, those that are changed before.
const CHANGE_PERCENT: u32 = 10;
/// Of a hundred orders that arrived, those of which a unit comes back.
const RETURN_PERCENT: u32 = 25;
/// How long buyers may return what arrived: longer than any run.
const RETURN_WINDOW_MS: i64 = 30 * 86_400_000;
/// Rounds of acts that fill carts and make orders before anything is measured.
const WARM_UP_ROUNDS: usize = 4;
/// Acts signed at a time, so that none gets stale before it is sent.
const PART: usize = 40_000;

/// What was measured.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Figures {
    /// Orders per second, one command each and nothing else; the mean of a run before the mix and one behind it.
    pub orders_per_s: f64,
    /// Commands of the mix per second.
    pub mix_per_s: f64,
    /// `mix_per_s` over `orders_per_s`.
    pub ratio: f64,
    /// Commands of the mix that were sent; all were accepted.
    pub sent: usize,
    /// Of these, on carts.
    pub cart: usize,
    /// Of these, orders, from carts and without.
    pub order: usize,
    /// Of these, shipments, confirmations, cancellations, and what changes and returns are made of.
    pub after_sale: usize,
    /// Of those after the sale, on changes of orders and on returns.
    pub changes: usize,
    /// As above.
    pub returns: usize,
}

/// What a buyer has.
#[derive(Default)]
struct Shopper {
    cart: Option<Cart>,
    placed: VecDeque<Placed>,
    shipped: VecDeque<Placed>,
    /// A change that waits for the seller.
    proposed: Option<(Placed, ChangeId)>,
    /// A return, and how far it is.
    returning: Option<(Placed, Returning)>,
}

/// What comes next of a return.
#[derive(Clone, Copy)]
enum Returning {
    Ask,
    Approve,
    Send,
    Receive,
}

struct Cart {
    id: CartId,
    version: u64,
    /// Units by the listing's place.
    lines: BTreeMap<usize, u32>,
}

#[derive(Clone, Copy)]
struct Placed {
    order: OrderId,
    /// The seller's place.
    seller: usize,
    /// One of its listings by its place, and how many units it has of it.
    line: (usize, u32),
}

/// An act, and who signs it.
struct Act<'a> {
    signer: &'a Person,
    draft: Draft,
}

#[derive(Clone, Copy, Default)]
struct Counts {
    cart: usize,
    order: usize,
    after_sale: usize,
    changes: usize,
    returns: usize,
}

struct Shop<'a> {
    town: &'a Town,
    shoppers: Vec<Shopper>,
    turn: usize,
    rng: StdRng,
    counts: Counts,
}

/// Measures on a new market in `dir`: `count` orders, `count` acts of the mix, `count` orders.
pub async fn run(dir: &Path, count: usize) -> anyhow::Result<Figures> {
    let mut config = NodeConfig::new("bench".parse()?, dir.to_owned());
    config.escrow = config.escrow.returning(Some(ReturnTerms::usual(RETURN_WINDOW_MS)));
    let town = Arc::new(Town::new(&config.market, Algorithm::EdDsa, BUYERS, LISTINGS, 8));
    let node = Node::start(config, Arc::new(WallClock)).await?;
    let mut verifier = ReceiptVerifier::new(&node.keys().get(RECEIPT_KEY)?.public())?;
    found(&node, &town, &mut verifier).await?;
    let shoppers = (0..BUYERS).map(|_| Shopper::default()).collect();
    let rng = StdRng::seed_from_u64(9);
    let mut shop = Shop { town: &town, shoppers, turn: 0, rng, counts: Counts::default() };
    measure_mix(&node, &mut verifier, &mut shop, WARM_UP_ROUNDS * BUYERS).await?;
    let before = measure_orders(&node, &mut verifier, &town, count, 31).await?;
    shop.counts = Counts::default();
    let mix_per_s = measure_mix(&node, &mut verifier, &mut shop, count).await?;
    let behind = measure_orders(&node, &mut verifier, &town, count, 32).await?;
    node.shutdown().await;
    let orders_per_s = f64::midpoint(before, behind);
    let Counts { cart, order, after_sale, changes, returns } = shop.counts;
    Ok(Figures {
        orders_per_s,
        mix_per_s,
        ratio: mix_per_s / orders_per_s,
        sent: count,
        cart,
        order,
        after_sale,
        changes,
        returns,
    })
}

/// Gives orders per second; the views have read all of them before the next is measured.
async fn measure_orders(
    node: &Node,
    verifier: &mut ReceiptVerifier,
    town: &Arc<Town>,
    count: usize,
    seed: u64,
) -> anyhow::Result<f64> {
    let parts = (0..count).step_by(PART).zip(seed << 8..);
    let mut seconds = 0.0;
    for (begin, seed) in parts {
        let orders = town.orders(PART.min(count - begin), seed);
        let orders = orders.into_iter().map(|order| order.bytes).collect();
        seconds += send(node, verifier, orders).await?.elapsed.as_secs_f64();
    }
    Ok(count as f64 / seconds)
}

/// Gives acts per second.
async fn measure_mix(
    node: &Node,
    verifier: &mut ReceiptVerifier,
    shop: &mut Shop<'_>,
    count: usize,
) -> anyhow::Result<f64> {
    let mut seconds = 0.0;
    for begin in (0..count).step_by(PART) {
        let acts: Vec<_> = (0..PART.min(count - begin)).map(|_| shop.act()).collect();
        seconds += send(node, verifier, sign(&acts)).await?.elapsed.as_secs_f64();
    }
    Ok(count as f64 / seconds)
}

async fn send(node: &Node, verifier: &mut ReceiptVerifier, commands: Vec<Bytes>) -> anyhow::Result<Seen> {
    let seen = load::saturate(&node.handle(), verifier, commands, IN_FLIGHT_MAX).await?;
    seen.check_accepted()?;
    node.projections().wait_for(seen.position, CATCH_UP_MAX).await?;
    Ok(seen)
}

/// Signs on all cores.
fn sign(acts: &[Act<'_>]) -> Vec<Bytes> {
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let parts = acts.chunks(acts.len().div_ceil(threads).max(1));
    let sign = |act: &Act<'_>| act.signer.seal(&act.draft);
    std::thread::scope(|scope| {
        let signers = parts.map(|part| scope.spawn(move || part.iter().map(sign).collect::<Vec<_>>()));
        let signers: Vec<_> = signers.collect();
        signers.into_iter().flat_map(|signer| signer.join().expect("signing does not panic")).collect()
    })
}

impl<'a> Shop<'a> {
    /// Lets the next buyer, or the seller of what he bought, act.
    fn act(&mut self) -> Act<'a> {
        let turn = self.turn;
        self.turn = (turn + 1) % self.shoppers.len();
        let mut shopper = std::mem::take(&mut self.shoppers[turn]);
        let act = match self.rng.random_range(0..100) {
            dice if dice < CART_PERCENT => self.fill(turn, &mut shopper),
            dice if dice < CART_PERCENT + ORDER_PERCENT => self.order(turn, &mut shopper),
            _ => self.after_sale(turn, &mut shopper),
        };
        self.shoppers[turn] = shopper;
        act
    }

    fn buyer(&self, turn: usize, id: CommandId, expected: Expected, command: impl Into<Command>) -> Act<'a> {
        let signer = &self.town.buyers[turn];
        Act { signer, draft: signer.draft(id, expected, command) }
    }

    fn fill(&mut self, turn: usize, shopper: &mut Shopper) -> Act<'a> {
        self.counts.cart += 1;
        let id = new_id();
        let account = self.town.buyers[turn].account();
        let cart = shopper.cart.get_or_insert_with(|| Cart {
            id: CartId::derive(account, id),
            version: 0,
            lines: BTreeMap::new(),
        });
        cart.version += 1;
        let dice = self.rng.random_range(0..100);
        let last = cart.lines.last_entry();
        let command: Command = match last {
            Some(line) if dice < 10 => {
                let (listing, _) = line.remove_entry();
                RemoveFromCart { listing: self.town.listings[listing].0, owner: None }.into()
            }
            Some(mut line) if dice < 35 => {
                // Never the number that is there: that would change nothing.
                *line.get_mut() = *line.get() % 5 + 1;
                SetCartQuantity {
                    listing: self.town.listings[*line.key()].0,
                    owner: None,
                    quantity: quantity(*line.get()),
                }
                .into()
            }
            _ => {
                let listing = self.town.draw(&mut self.rng);
                let added = self.rng.random_range(1..=2);
                *cart.lines.entry(listing).or_default() += added;
                AddToCart { listing: self.town.listings[listing].0, owner: None, quantity: quantity(added) }
                    .into()
            }
        };
        self.buyer(turn, id, Expected::default(), command)
    }

    /// Buys the cart or, where there is nothing in it, a thing.
    fn order(&mut self, turn: usize, shopper: &mut Shopper) -> Act<'a> {
        self.counts.order += 1;
        let id = new_id();
        let payment_method = PaymentMethod::Wallet;
        if let Some(cart) = shopper.cart.take_if(|cart| !cart.lines.is_empty()) {
            self.remember(turn, shopper, id, &cart.lines);
            let total = self.total(&cart.lines);
            let command = MigrateCart { cart: cart.id, coupon: None, delivery: None, payment_method, total };
            let expected = Expected { cart: Some(cart.version), listing: None };
            return self.buyer(turn, id, expected, command);
        }
        let lines = BTreeMap::from([(self.town.draw(&mut self.rng), 1)]);
        self.remember(turn, shopper, id, &lines);
        let total = self.total(&lines);
        let line = |(listing, units): (&usize, &u32)| OrderLine {
            listing: self.town.listings[*listing].0,
            quantity: quantity(*units),
            quote: None,
        };
        let command = PlaceOrder::new(lines.iter().map(line).collect(), payment_method, total);
        self.buyer(turn, id, Expected::default(), command)
    }

    /// Remembers the orders of a purchase: one a seller, in the order of the sellers' ids.
    fn remember(&self, turn: usize, shopper: &mut Shopper, id: CommandId, lines: &BTreeMap<usize, u32>) {
        let of_seller = |(listing, units): (&usize, &u32)| {
            let seller = listing / LISTINGS_PER_SELLER;
            (self.town.sellers[seller].account(), (seller, (*listing, *units)))
        };
        let sellers: BTreeMap<AccountId, (usize, (usize, u32))> = lines.iter().map(of_seller).collect();
        let account = self.town.buyers[turn].account();
        let placed = (0..).zip(sellers.into_values());
        shopper.placed.extend(placed.map(|(n, (seller, line))| Placed {
            order: OrderId::derive(account, id, n),
            seller,
            line,
        }));
    }

    fn total(&self, lines: &BTreeMap<usize, u32>) -> Money {
        let costs =
            lines.iter().map(|(listing, units)| self.town.listings[*listing].1.minor * i64::from(*units));
        Money::new(costs.sum(), self.town.listings[0].1.currency)
    }

    /// Goes on with a change or a return; or confirms what was shipped; or ships, cancels or changes what was ordered; or, where there
    /// is none of that, fills the cart.
    fn after_sale(&mut self, turn: usize, shopper: &mut Shopper) -> Act<'a> {
        let id = new_id();
        self.counts.after_sale += 1;
        if let Some((placed, change)) = shopper.proposed.take() {
            self.counts.changes += 1;
            shopper.placed.push_front(placed);
            let order = placed.order;
            return self.seller(placed, id, AcceptChange { change, max_difference: None, order });
        }
        if let Some((placed, next)) = shopper.returning.take() {
            return self.send_back(turn, shopper, id, (placed, next));
        }
        if let Some(placed) = shopper.shipped.pop_front() {
            if self.rng.random_range(0..100) < RETURN_PERCENT {
                shopper.returning = Some((placed, Returning::Ask));
            }
            let command = ConfirmDelivery { order: placed.order, shipment: None };
            return self.buyer(turn, id, Expected::default(), command);
        }
        let Some(placed) = shopper.placed.pop_front() else {
            self.counts.after_sale -= 1;
            return self.fill(turn, shopper);
        };
        let (order, dice) = (placed.order, self.rng.random_range(0..100));
        if dice < 20 {
            let command = CancelOrder { lines: None, order, reason: None };
            return self.buyer(turn, id, Expected::default(), command);
        }
        if dice < 20 + CHANGE_PERCENT {
            self.counts.changes += 1;
            return self.propose(turn, shopper, id, placed);
        }
        shopper.shipped.push_back(placed);
        let command = ShipOrder { carrier: None, from: None, lines: None, order, tracking: None };
        self.seller(placed, id, command)
    }

    /// Wants a unit more of something.
    fn propose(&mut self, turn: usize, shopper: &mut Shopper, id: CommandId, mut placed: Placed) -> Act<'a> {
        placed.line.1 += 1;
        let (listing, units) = placed.line;
        let (listing, price) = self.town.listings[listing];
        shopper.proposed = Some((placed, ChangeId::derive(self.town.buyers[turn].account(), id)));
        let command = ProposeChange {
            lines: vec![ChangedLine {
                listing,
                quantity: units.try_into().expect("a few units are a count"),
                quote: None,
            }],
            max_difference: Some(price),
            order: placed.order,
            reason: None,
            region: None,
        };
        self.buyer(turn, id, Expected::default(), command)
    }

    /// Lets the next thing happen to a return of one unit.
    fn send_back(
        &mut self,
        turn: usize,
        shopper: &mut Shopper,
        id: CommandId,
        (placed, next): (Placed, Returning),
    ) -> Act<'a> {
        self.counts.returns += 1;
        let (order, number) = (placed.order, ReturnNumber::FIRST);
        let behind = match next {
            Returning::Ask => Some(Returning::Approve),
            Returning::Approve => Some(Returning::Send),
            Returning::Send => Some(Returning::Receive),
            Returning::Receive => None,
        };
        shopper.returning = behind.map(|behind| (placed, behind));
        match next {
            Returning::Ask => {
                let (listing, quantity) = (self.town.listings[placed.line.0].0, quantity(1));
                let command = RequestReturn {
                    exchange: None,
                    lines: Some(vec![LineQuantity { listing, quantity }]),
                    note: None,
                    order,
                    reason: ReturnReason::ChangedMind,
                    shipment: ShipmentNumber::FIRST,
                };
                self.buyer(turn, id, Expected::default(), command)
            }
            Returning::Approve => {
                self.seller(placed, id, ApproveReturn { number, order, refund_only: false })
            }
            Returning::Send => {
                let command = SendReturn { carrier: None, number, order, tracking: None };
                self.buyer(turn, id, Expected::default(), command)
            }
            Returning::Receive => {
                let (deduction, lines, location, note) = (None, None, None, None);
                self.seller(placed, id, ReceiveReturn { deduction, lines, location, note, number, order })
            }
        }
    }

    fn seller(&self, placed: Placed, id: CommandId, command: impl Into<Command>) -> Act<'a> {
        let signer = &self.town.sellers[placed.seller];
        Act { signer, draft: signer.draft(id, Expected::default(), command) }
    }
}

fn new_id() -> CommandId {
    CommandId::from_uuid(Uuid::now_v7())
}

fn quantity(units: u32) -> Quantity {
    Quantity::new(units).expect("a few units are a quantity")
}
