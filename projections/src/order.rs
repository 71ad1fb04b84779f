//! Orders: what was bought, where the money is, and what happened when and at whose word.

use std::cmp::Reverse;

use events::ids::{AccountId, CartId, CommandId, ListingId, OrderId, WriterId};
use events::metadata::{Cause, DeadlineKind};
use events::order::{CancelledBy, DeliveryProof, LinePrice, Placed};
use events::rejection::OrderState;
use events::{Commit, Currency, Event, Money, Position, Quantity, Recorded, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sled::{Batch, Tree};

use crate::store::Slot;
use crate::table::{Key, Layout, Table};
use crate::view::{Fold, ViewError};

/// The version of this view's values; to be raised with every change of them or of what they mean.
pub(crate) const VERSION: u8 = 1;

/// Most orders in one page of a list.
pub const ORDERS_PER_PAGE_MAX: usize = 100;

/// An order as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Order {
    /// The order.
    pub order: OrderId,
    /// Who buys.
    pub buyer: AccountId,
    /// Who sells.
    pub seller: AccountId,
    /// The cart it came from, if any.
    pub cart: Option<CartId>,
    /// Where it stands.
    pub state: OrderState,
    /// What was bought.
    pub lines: Vec<Line>,
    /// Sum of the lines.
    pub total: Money,
    /// What the platform takes when the escrow is released.
    pub fee: Money,
    /// Where the buyer's money is.
    pub escrow: Escrow,
    /// When it was placed.
    pub placed_at: Timestamp,
    /// When it is cancelled unless it was shipped.
    pub ship_by: Timestamp,
    /// When it counts as delivered unless somebody said so earlier; none before it is shipped.
    pub delivery_due: Option<Timestamp>,
    /// When the escrow is released unless the buyer confirmed earlier; none before it is delivered.
    pub inspection_ends: Option<Timestamp>,
    /// Who carries it.
    pub carrier: Option<String>,
    /// The carrier's number.
    pub tracking: Option<String>,
    /// What happened, oldest first.
    pub timeline: Vec<TimelineEntry>,
}

/// One line of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "OrderedLine")]
pub struct Line {
    /// What was bought.
    pub listing: ListingId,
    /// The version of the listing that was priced.
    pub listing_version: u32,
    /// Price of one unit; none where the line was priced by a quote.
    pub unit_price: Option<Money>,
    /// How many units.
    pub quantity: Quantity,
    /// What the line costs.
    pub total: Money,
}

/// The money of an order, all in the currency of its total, in minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Escrow {
    /// The currency.
    pub currency: Currency,
    /// What the buyer paid in.
    pub held: i64,
    /// What was paid to the seller and the platform.
    pub released: i64,
    /// What was paid back.
    pub refunded: i64,
}

/// One thing that happened to an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TimelineEntry {
    /// The event's position in the log.
    pub position: Position,
    /// When it was decided.
    pub time: Timestamp,
    /// What happened.
    #[serde(rename = "type")]
    pub step: Step,
    /// At whose word.
    pub actor: Actor,
    /// The signed command that asked for it; none for a deadline.
    pub command: Option<CommandId>,
    /// More, in words.
    pub note: Option<String>,
}

/// What can happen to an order: the names of its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "OrderStep")]
pub enum Step {
    /// It was placed.
    #[serde(rename = "order.placed")]
    Placed,
    /// The buyer's money was put into escrow.
    #[serde(rename = "escrow.held")]
    EscrowHeld,
    /// The seller handed it to a carrier.
    #[serde(rename = "order.shipped")]
    Shipped,
    /// It arrived.
    #[serde(rename = "order.delivered")]
    Delivered,
    /// It ended before it was shipped.
    #[serde(rename = "order.cancelled")]
    Cancelled,
    /// The escrow was paid to the seller.
    #[serde(rename = "escrow.released")]
    EscrowReleased,
    /// The escrow was paid back.
    #[serde(rename = "escrow.refunded")]
    EscrowRefunded,
}

/// At whose word something happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    /// An account's signed command.
    Account(AccountId),
    /// A deadline that was due.
    Deadline(DeadlineKind),
    /// The engine itself.
    Writer(WriterId),
}

/// Some orders of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Page {
    /// Newest first.
    pub orders: Vec<Order>,
    /// Pass it as `before` to get the next page; none: this was the last.
    pub next: Option<Position>,
}

/// Whose orders are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Those the account bought.
    Buyer,
    /// Those the account sold.
    Seller,
}

/// Orders of one account that stand in one value of a list. Full values are never written again, so a list costs one
/// write per account and batch, and a page of it a few reads.
const ORDERS_PER_CHUNK: usize = 64;

/// A position, sorted newest first.
impl Key for Reverse<Position> {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&(!self.0).to_be_bytes());
    }
}

/// An account, and the position of a full chunk's first order, or [`NEWEST`] for the chunk that still grows.
type ListKey = (AccountId, Reverse<Position>);
/// Orders with the position they were placed at, oldest first.
type Chunk = Vec<(Position, OrderId)>;
const NEWEST: Reverse<Position> = Reverse(Position::MAX);

const ORDERS: Layout<OrderId, Order> = Layout::new(b'o', VERSION);
const BOUGHT: Layout<ListKey, Chunk> = Layout::new(b'b', VERSION);
const SOLD: Layout<ListKey, Chunk> = Layout::new(b's', VERSION);

/// Answers about orders.
#[derive(Clone, Copy)]
pub struct Orders<'a>(&'a Slot);

impl<'a> Orders<'a> {
    pub(crate) fn new(slot: &'a Slot) -> Self {
        Orders(slot)
    }

    /// Gives an order.
    pub fn order(&self, order: OrderId) -> Result<Option<Order>, ViewError> {
        ORDERS.get(&self.0.read().tree, &order)
    }

    /// Lists an account's orders, newest first: those placed before position `before`, or all. A page has at most
    /// `limit` orders, and never more than [`ORDERS_PER_PAGE_MAX`].
    pub fn list(
        &self,
        side: Side,
        account: AccountId,
        before: Option<Position>,
        limit: usize,
    ) -> Result<Page, ViewError> {
        let limit = limit.clamp(1, ORDERS_PER_PAGE_MAX);
        let live = self.0.read();
        let layout = match side {
            Side::Buyer => BOUGHT,
            Side::Seller => SOLD,
        };
        let last = before.map_or(Position::MAX - 1, |before| before.saturating_sub(1));
        let newest = layout.get(&live.tree, &(account, NEWEST))?.unwrap_or_default();
        // The first full chunk in this range is the newest that begins at or before `last`.
        let (from, to) = ((account, Reverse(last)), (account, Reverse(0)));
        let full = layout.range(&live.tree, &from, &to, 16);
        let mut page = Page { orders: Vec::with_capacity(limit), next: None };
        let full = full.map(|pair| pair.map(|(_, chunk)| chunk));
        for chunk in std::iter::once(Ok(newest)).chain(full) {
            for (_, order) in chunk?.into_iter().rev().filter(|(position, _)| *position <= last) {
                if page.orders.len() == limit {
                    page.next = page.orders.last().and_then(Order::position);
                    return Ok(page);
                }
                let found = ORDERS.get(&live.tree, &order)?;
                page.orders.push(found.ok_or_else(|| ViewError::Damaged {
                    source: format!("order {order} is listed, but is not there").into(),
                })?);
            }
        }
        Ok(page)
    }
}

impl Order {
    /// Gives the position of the event that placed it, which is what lists are sorted by.
    pub fn position(&self) -> Option<Position> {
        self.timeline.first().map(|entry| entry.position)
    }
}

/// How the view follows the log.
pub(crate) struct OrderFold {
    orders: Table<OrderId, Order>,
    bought: Table<ListKey, Chunk>,
    sold: Table<ListKey, Chunk>,
}

impl OrderFold {
    pub(crate) fn new() -> Self {
        OrderFold { orders: Table::new(ORDERS), bought: Table::new(BOUGHT), sold: Table::new(SOLD) }
    }

    fn place(&mut self, tree: &Tree, placed: &Placed, entry: TimelineEntry) -> Result<(), ViewError> {
        let listed = (entry.position, placed.order);
        list(&mut self.bought, tree, placed.buyer, listed)?;
        list(&mut self.sold, tree, placed.seller, listed)?;
        self.orders.set(placed.order, Some(new_order(placed, entry)));
        Ok(())
    }

    fn change(
        &mut self,
        tree: &Tree,
        order: OrderId,
        entry: TimelineEntry,
        change: impl FnOnce(&mut Order) -> Option<()>,
    ) -> Result<(), ViewError> {
        let position = entry.position;
        let missing = || ViewError::unknown(format_args!("order {order}"), position);
        let found = self.orders.entry(tree, &order)?.as_mut().ok_or_else(missing)?;
        change(found).ok_or(ViewError::overflow("the escrow of an order", position))?;
        found.timeline.push(entry);
        Ok(())
    }
}

impl Fold for OrderFold {
    fn apply(&mut self, tree: &Tree, commit: &Commit) -> Result<(), ViewError> {
        let (actor, command) = actor_of(commit);
        for recorded in commit.events() {
            let entry = |step, note| entry_of(recorded, step, actor, command, note);
            match &recorded.event {
                Event::OrderPlaced(placed) => self.place(tree, placed, entry(Step::Placed, None))?,
                Event::EscrowHeld(held) => {
                    self.change(tree, held.order, entry(Step::EscrowHeld, None), |order| {
                        add(&mut order.escrow.held, held.transfer.amount.minor)
                    })?;
                }
                Event::OrderShipped(shipped) => {
                    let note = shipment_note(shipped.carrier.as_deref(), shipped.tracking.as_deref());
                    self.change(tree, shipped.order, entry(Step::Shipped, note), |order| {
                        order.state = OrderState::Shipped;
                        order.delivery_due = Some(shipped.delivery_due);
                        order.carrier.clone_from(&shipped.carrier);
                        order.tracking.clone_from(&shipped.tracking);
                        Some(())
                    })?;
                }
                Event::OrderDelivered(delivered) => {
                    let note = Some(delivery_note(delivered.confirmed_by).to_owned());
                    self.change(tree, delivered.order, entry(Step::Delivered, note), |order| {
                        order.state = OrderState::Delivered;
                        order.inspection_ends = Some(delivered.inspection_ends);
                        Some(())
                    })?;
                }
                Event::OrderCancelled(cancelled) => {
                    let note = Some(cancellation_note(cancelled.by, cancelled.reason.as_deref()));
                    self.change(tree, cancelled.order, entry(Step::Cancelled, note), |order| {
                        order.state = OrderState::Cancelled;
                        Some(())
                    })?;
                }
                Event::EscrowReleased(released) => {
                    self.change(tree, released.order, entry(Step::EscrowReleased, None), |order| {
                        order.state = OrderState::Completed;
                        let mut amounts = released.transfers.iter().map(|transfer| transfer.amount.minor);
                        amounts.try_for_each(|minor| add(&mut order.escrow.released, minor))
                    })?;
                }
                Event::EscrowRefunded(refunded) => {
                    self.change(tree, refunded.order, entry(Step::EscrowRefunded, None), |order| {
                        add(&mut order.escrow.refunded, refunded.transfer.amount.minor)
                    })?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn write(&mut self, tree: &Tree, batch: &mut Batch) -> Result<(), ViewError> {
        self.orders.write(tree, batch)?;
        self.bought.write(tree, batch)?;
        self.sold.write(tree, batch)
    }
}

fn list(
    lists: &mut Table<ListKey, Chunk>,
    tree: &Tree,
    account: AccountId,
    listed: (Position, OrderId),
) -> Result<(), ViewError> {
    let newest = lists.entry(tree, &(account, NEWEST))?.get_or_insert_default();
    if newest.len() < ORDERS_PER_CHUNK {
        newest.push(listed);
        return Ok(());
    }
    let full = std::mem::replace(newest, vec![listed]);
    lists.set((account, Reverse(full[0].0)), Some(full));
    Ok(())
}

fn add(sum: &mut i64, minor: i64) -> Option<()> {
    *sum = sum.checked_add(minor)?;
    Some(())
}

fn actor_of(commit: &Commit) -> (Actor, Option<CommandId>) {
    match &commit.start().cause {
        Cause::Command(stamp) => (Actor::Account(stamp.account), Some(stamp.command)),
        Cause::Deadline(deadline) => (Actor::Deadline(deadline.waiting.kind()), None),
        Cause::Writer(writer) => (Actor::Writer(*writer), None),
    }
}

fn entry_of(
    recorded: &Recorded,
    step: Step,
    actor: Actor,
    command: Option<CommandId>,
    note: Option<String>,
) -> TimelineEntry {
    TimelineEntry { position: recorded.position, time: recorded.metadata.time, step, actor, command, note }
}

fn new_order(placed: &Placed, entry: TimelineEntry) -> Order {
    let lines = placed.lines.iter().map(|line| Line {
        listing: line.listing,
        listing_version: line.listing_version,
        unit_price: match line.price {
            LinePrice::Unit(price) => Some(price),
            LinePrice::Quote => None,
        },
        quantity: line.quantity,
        total: line.total,
    });
    Order {
        order: placed.order,
        buyer: placed.buyer,
        seller: placed.seller,
        cart: placed.cart,
        state: OrderState::Placed,
        lines: lines.collect(),
        total: placed.total,
        fee: placed.fee.amount,
        escrow: Escrow { currency: placed.total.currency, held: 0, released: 0, refunded: 0 },
        placed_at: entry.time,
        ship_by: placed.ship_by,
        delivery_due: None,
        inspection_ends: None,
        carrier: None,
        tracking: None,
        timeline: vec![entry],
    }
}

fn shipment_note(carrier: Option<&str>, tracking: Option<&str>) -> Option<String> {
    match (carrier, tracking) {
        (Some(carrier), Some(tracking)) => Some(format!("{carrier} {tracking}")),
        (one, other) => one.or(other).map(str::to_owned),
    }
}

fn delivery_note(proof: DeliveryProof) -> &'static str {
    match proof {
        DeliveryProof::Buyer => "confirmed by the buyer",
        DeliveryProof::Carrier => "confirmed by the carrier",
        DeliveryProof::TransitElapsed => "counts as delivered: nobody said anything in time",
    }
}

fn cancellation_note(by: CancelledBy, reason: Option<&str>) -> String {
    let who = match by {
        CancelledBy::Account(role) => format!("by the {}", format!("{role:?}").to_lowercase()),
        CancelledBy::ShipDeadline => "not shipped in time".to_owned(),
    };
    match reason {
        Some(reason) => format!("{who}: {reason}"),
        None => who,
    }
}
