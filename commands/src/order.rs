//! Orders from placement to release or refund, with the escrow that holds their money.

use std::collections::{BTreeMap, VecDeque};

use events::account::Role;
use events::cart::Migrated;
use events::ids::{AccountId, CartId, CommandId, ListingId, OrderId};
use events::ledger::{LedgerAccount, Transfer};
use events::metadata::{DeadlineStamp, Waiting};
use events::order::{
    Cancelled, CancelledBy, Delivered, DeliveryProof, EscrowHeld, EscrowRefunded, EscrowReleased, Placed,
    ReleaseCondition, Shipped,
};
use events::rejection::OrderState;
use events::{Event, Money, Position, Rejection, Timestamp};
use serde::{Deserialize, Serialize};

use crate::command::{
    CancelOrder, ConfirmDelivery, LINES_MAX, MigrateCart, PaymentMethod, PlaceOrder, ShipOrder, VerifiedQuote,
};
use crate::decide::Facts;
use crate::fees;
use crate::market::Market;
use crate::validate::{self, AskedLine, Purchase};

/// How many closed orders are kept in memory; older ones are in the index.
pub const RECENT_CLOSED_MAX: usize = 1 << 14;

// An order and its escrow for each line at most, and the cart's migration.
const _: () = assert!(2 * LINES_MAX < events::metadata::EVENTS_PER_COMMIT_MAX);

/// An order that is not closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Who buys.
    pub buyer: AccountId,
    /// Who sells.
    pub seller: AccountId,
    /// What is bought: listings and units.
    pub lines: Box<[(ListingId, u32)]>,
    /// What is in escrow.
    pub total: Money,
    /// What of it the platform takes on release.
    pub fee_minor: i64,
    /// How far it is.
    pub stage: Stage,
}

/// How far an open order is, with what it waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// Waits for the seller.
    Placed {
        /// Until when.
        ship_by: Timestamp,
    },
    /// Waits for the carrier.
    Shipped {
        /// Until when.
        delivery_due: Timestamp,
    },
    /// Waits for the buyer.
    Delivered {
        /// Until when.
        inspection_ends: Timestamp,
    },
}

impl Stage {
    /// Gives the state's name.
    pub const fn state(self) -> OrderState {
        match self {
            Stage::Placed { .. } => OrderState::Placed,
            Stage::Shipped { .. } => OrderState::Shipped,
            Stage::Delivered { .. } => OrderState::Delivered,
        }
    }

    const fn deadline(self, order: OrderId) -> DeadlineStamp {
        match self {
            Stage::Placed { ship_by } => DeadlineStamp { due: ship_by, waiting: Waiting::ShipBy { order } },
            Stage::Shipped { delivery_due } => {
                DeadlineStamp { due: delivery_due, waiting: Waiting::DeliveryDue { order } }
            }
            Stage::Delivered { inspection_ends } => {
                DeadlineStamp { due: inspection_ends, waiting: Waiting::InspectionEnds { order } }
            }
        }
    }
}

/// An order whose money has left escrow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClosedOrder {
    /// Who bought.
    pub buyer: AccountId,
    /// Who sold.
    pub seller: AccountId,
    /// How it ended: completed or cancelled.
    pub state: OrderState,
    /// Where it was closed.
    pub position: Position,
}

/// All orders that are open, and the last ones that were closed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Orders {
    open: BTreeMap<OrderId, Order>,
    closed: BTreeMap<OrderId, ClosedOrder>,
    closed_in_order: VecDeque<OrderId>,
}

impl Orders {
    /// Finds an open order.
    pub fn get(&self, order: OrderId) -> Option<&Order> {
        self.open.get(&order)
    }

    /// Finds an order among the last closed ones.
    pub fn recently_closed(&self, order: OrderId) -> Option<ClosedOrder> {
        self.closed.get(&order).copied()
    }

    /// Counts the open orders.
    pub fn open_count(&self) -> usize {
        self.open.len()
    }

    /// Gives every open order.
    pub fn iter(&self) -> impl Iterator<Item = (&OrderId, &Order)> {
        self.open.iter()
    }

    /// Adds a closed order and gives the position of the one that is forgotten for it, if any.
    fn remember(&mut self, id: OrderId, closed: ClosedOrder) -> Option<Position> {
        self.closed.insert(id, closed);
        self.closed_in_order.push_back(id);
        if self.closed_in_order.len() <= RECENT_CLOSED_MAX {
            return None;
        }
        let forgotten = self.closed_in_order.pop_front()?;
        self.closed.remove(&forgotten).map(|closed| closed.position)
    }
}

impl Market {
    pub(crate) fn order_placed(&mut self, event: &Placed) {
        let lines = event.lines.iter().map(|line| (line.listing, line.quantity.get())).collect();
        let stage = Stage::Placed { ship_by: event.ship_by };
        let (buyer, seller, total) = (event.buyer, event.seller, event.total);
        let order = Order { buyer, seller, lines, total, fee_minor: event.fee.amount.minor, stage };
        for (listing, units) in &order.lines {
            self.listings.reserve(*listing, u64::from(*units));
        }
        self.waiting.insert(stage.deadline(event.order));
        self.orders.open.insert(event.order, order);
    }

    pub(crate) fn order_shipped(&mut self, event: &Shipped) {
        self.enter(event.order, Stage::Shipped { delivery_due: event.delivery_due });
        let lines = &self.orders.open[&event.order].lines;
        for (listing, units) in lines {
            self.listings.ship(*listing, u64::from(*units));
        }
    }

    pub(crate) fn order_delivered(&mut self, event: &Delivered) {
        self.enter(event.order, Stage::Delivered { inspection_ends: event.inspection_ends });
    }

    pub(crate) fn order_cancelled(&mut self, event: &Cancelled) {
        let lines = &self.orders.open[&event.order].lines;
        for (listing, units) in lines {
            self.listings.unreserve(*listing, u64::from(*units));
        }
    }

    pub(crate) fn escrow_released(&mut self, event: &EscrowReleased, position: Position) {
        for transfer in &event.transfers {
            self.ledger.post(transfer);
        }
        self.close(event.order, OrderState::Completed, position);
    }

    pub(crate) fn escrow_refunded(&mut self, event: &EscrowRefunded, position: Position) {
        self.ledger.post(&event.transfer);
        self.close(event.order, OrderState::Cancelled, position);
    }

    fn enter(&mut self, id: OrderId, stage: Stage) {
        let order = self.orders.open.get_mut(&id).expect("an event about an order follows its placement");
        let left = std::mem::replace(&mut order.stage, stage);
        self.waiting.remove(&left.deadline(id));
        self.waiting.insert(stage.deadline(id));
    }

    fn close(&mut self, id: OrderId, state: OrderState, position: Position) {
        let order = self.orders.open.remove(&id).expect("only an open order is closed");
        self.waiting.remove(&order.stage.deadline(id));
        let Order { buyer, seller, .. } = order;
        let forgotten = self.orders.remember(id, ClosedOrder { buyer, seller, state, position });
        self.forget(forgotten);
    }
}

pub(crate) fn decide_place(
    market: &Market,
    buyer: AccountId,
    command_id: CommandId,
    command: &PlaceOrder,
    quotes: &[Option<VerifiedQuote>],
    now: Timestamp,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let quotes = quotes.iter().map(Option::as_ref).chain(std::iter::repeat(None));
    let asked = command.lines.iter().zip(quotes);
    let lines = asked
        .map(|(line, quote)| AskedLine { listing: line.listing, quantity: line.quantity, quote })
        .collect();
    let purchase = Purchase { buyer, lines, method: command.payment_method, signed_total: command.total };
    place(market, command_id, None, &purchase, now)
}

pub(crate) fn decide_migrate(
    market: &Market,
    buyer: AccountId,
    command_id: CommandId,
    command: &MigrateCart,
    now: Timestamp,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let owner = market.accounts.get(buyer);
    if owner.is_some_and(|owner| owner.last_migrated == Some(command.cart)) {
        return Ok(vec![]);
    }
    let cart = owner.and_then(|owner| owner.cart.as_deref()).filter(|cart| cart.id == command.cart);
    let Some(cart) = cart else {
        return Err(vec![Rejection::CartUnknown { cart: command.cart }]);
    };
    if cart.lines.is_empty() {
        return Err(vec![Rejection::CartEmpty]);
    }
    let lines = cart.lines.iter().map(|(listing, quantity)| AskedLine {
        listing: *listing,
        quantity: *quantity,
        quote: None,
    });
    let method: PaymentMethod = command.payment_method;
    let purchase = Purchase { buyer, lines: lines.collect(), method, signed_total: command.total };
    let mut events = place(market, command_id, Some(cart.id), &purchase, now)?;
    let orders = events.iter().filter_map(|event| match event {
        Event::OrderPlaced(placed) => Some(placed.order),
        _ => None,
    });
    let orders = orders.collect();
    events.push(Migrated { account: buyer, cart: cart.id, orders, version: cart.version + 1 }.into());
    Ok(events)
}

/// Makes one order and one escrow for each seller among the lines.
fn place(
    market: &Market,
    command_id: CommandId,
    cart: Option<CartId>,
    purchase: &Purchase<'_>,
    now: Timestamp,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let priced = validate::purchase(market, purchase, now)?;
    let mut by_seller = BTreeMap::<AccountId, Vec<_>>::new();
    for priced in priced {
        by_seller.entry(priced.seller).or_default().push(priced.line);
    }
    let buyer = purchase.buyer;
    let currency = purchase.signed_total.currency;
    let mut events = Vec::with_capacity(2 * by_seller.len() + 1);
    for ((seller, lines), n) in by_seller.into_iter().zip(0u32..) {
        let order = OrderId::derive(buyer, command_id, n);
        let minor = lines.iter().map(|line| line.total.minor).sum();
        let total = Money::new(minor, currency);
        let fee = fees::quote(market.fee_policy(), total);
        let ship_by = now.plus_ms(market.deadlines().ship_by_ms());
        events.push(Placed { buyer, cart, fee, lines, order, seller, ship_by, total }.into());
        let transfer =
            Transfer { amount: total, from: LedgerAccount::Wallet(buyer), to: LedgerAccount::Escrow(order) };
        events.push(EscrowHeld { order, transfer }.into());
    }
    Ok(events)
}

/// An order as a command finds it.
enum Found<'a> {
    Open(&'a Order),
    Closed(ClosedOrder),
}

fn find<'a>(market: &'a Market, facts: &Facts, order: OrderId) -> Result<Found<'a>, Vec<Rejection>> {
    if let Some(open) = market.orders.get(order) {
        return Ok(Found::Open(open));
    }
    let closed = market.orders.recently_closed(order).or_else(|| facts.closed_orders.get(&order).copied());
    closed.map(Found::Closed).ok_or_else(|| vec![Rejection::OrderUnknown { order }])
}

fn wrong_state(order: OrderId, state: OrderState) -> Vec<Rejection> {
    vec![Rejection::OrderState { order, state }]
}

pub(crate) fn decide_ship(
    market: &Market,
    facts: &Facts,
    account: AccountId,
    command: &ShipOrder,
    now: Timestamp,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let order = command.order;
    let (seller, state) = match find(market, facts, order)? {
        Found::Open(open) => (open.seller, open.stage.state()),
        Found::Closed(closed) => (closed.seller, closed.state),
    };
    if seller != account {
        return Err(vec![Rejection::NotYourOrder { order }]);
    }
    match state {
        OrderState::Placed => {
            let lines = market.orders.get(order).map_or(&[][..], |open| &open.lines);
            market.listings.check_on_hand(lines)?;
            let text = |text: &crate::command::Text<64>| text.as_str().to_owned();
            let delivery_due = now.plus_ms(market.deadlines().transit_ms());
            let (carrier, tracking) =
                (command.carrier.as_ref().map(text), command.tracking.as_ref().map(text));
            Ok(vec![Shipped { carrier, delivery_due, order, tracking }.into()])
        }
        OrderState::Shipped | OrderState::Delivered | OrderState::Completed => Ok(vec![]),
        OrderState::Cancelled => Err(wrong_state(order, state)),
    }
}

pub(crate) fn decide_confirm(
    market: &Market,
    facts: &Facts,
    account: AccountId,
    command: &ConfirmDelivery,
    now: Timestamp,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let order = command.order;
    let is_carrier = market.accounts.has_role(account, Role::Provider);
    let not_yours = || vec![Rejection::NotYourOrder { order }];
    let open = match find(market, facts, order)? {
        Found::Open(open) => open,
        Found::Closed(closed) if closed.buyer != account && !is_carrier => return Err(not_yours()),
        Found::Closed(closed) if closed.state == OrderState::Completed => return Ok(vec![]),
        Found::Closed(closed) => return Err(wrong_state(order, closed.state)),
    };
    let delivered =
        |confirmed_by, inspection_ends| Event::from(Delivered { confirmed_by, inspection_ends, order });
    let release = || release(order, open, ReleaseCondition::BuyerConfirmed);
    match (open.stage, open.buyer == account) {
        (_, false) if !is_carrier => Err(not_yours()),
        (Stage::Placed { .. }, _) => Err(wrong_state(order, OrderState::Placed)),
        (Stage::Shipped { .. }, true) => Ok(vec![delivered(DeliveryProof::Buyer, now), release()]),
        (Stage::Delivered { .. }, true) => Ok(vec![release()]),
        (Stage::Shipped { .. }, false) => {
            let inspection_ends = now.plus_ms(market.deadlines().inspection_ms());
            Ok(vec![delivered(DeliveryProof::Carrier, inspection_ends)])
        }
        (Stage::Delivered { .. }, false) => Ok(vec![]),
    }
}

pub(crate) fn decide_cancel(
    market: &Market,
    facts: &Facts,
    account: AccountId,
    command: &CancelOrder,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let order = command.order;
    let found = find(market, facts, order)?;
    let (buyer, seller) = match &found {
        Found::Open(open) => (open.buyer, open.seller),
        Found::Closed(closed) => (closed.buyer, closed.seller),
    };
    let role = if account == buyer {
        Role::Buyer
    } else if account == seller {
        Role::Seller
    } else if market.accounts.has_role(account, Role::Operator) {
        Role::Operator
    } else {
        return Err(vec![Rejection::NotYourOrder { order }]);
    };
    match found {
        Found::Open(open) => match open.stage {
            Stage::Placed { .. } => {
                let reason = command.reason.as_ref().map(|reason| reason.as_str().to_owned());
                Ok(cancel(order, open, CancelledBy::Account(role), reason))
            }
            stage => Err(wrong_state(order, stage.state())),
        },
        Found::Closed(closed) if closed.state == OrderState::Cancelled => Ok(vec![]),
        Found::Closed(closed) => Err(wrong_state(order, closed.state)),
    }
}

fn cancel(order: OrderId, open: &Order, by: CancelledBy, reason: Option<String>) -> Vec<Event> {
    let Order { buyer, seller, .. } = *open;
    let transfer =
        Transfer { amount: open.total, from: LedgerAccount::Escrow(order), to: LedgerAccount::Wallet(buyer) };
    vec![Cancelled { by, order, reason }.into(), EscrowRefunded { buyer, order, seller, transfer }.into()]
}

fn release(order: OrderId, open: &Order, condition: ReleaseCondition) -> Event {
    let Order { buyer, seller, .. } = *open;
    let currency = open.total.currency;
    let from = LedgerAccount::Escrow(order);
    let fee =
        Transfer { amount: Money::new(open.fee_minor, currency), from, to: LedgerAccount::PlatformFees };
    let net = Money::new(open.total.minor - open.fee_minor, currency);
    let net = Transfer { amount: net, from, to: LedgerAccount::SellerAvailable(seller) };
    let transfers = [net, fee].into_iter().filter(|transfer| transfer.amount.is_positive()).collect();
    EscrowReleased { buyer, condition, order, seller, transfers }.into()
}

/// Decides what becomes of an order whose deadline is due.
///
/// # Panics
/// If the order does not wait for it: [`Market::next_deadline`] gives only those that are waited for.
pub(crate) fn decide_deadline(
    market: &Market,
    order: OrderId,
    deadline: DeadlineStamp,
    now: Timestamp,
) -> Vec<Event> {
    let open = market.orders.get(order).expect("a deadline leaves with its order");
    assert_eq!(open.stage.deadline(order), deadline, "a deadline leaves with the stage that waited for it");
    match open.stage {
        Stage::Placed { .. } => cancel(order, open, CancelledBy::ShipDeadline, None),
        Stage::Shipped { .. } => {
            let inspection_ends = now.plus_ms(market.deadlines().inspection_ms());
            vec![Delivered { confirmed_by: DeliveryProof::TransitElapsed, inspection_ends, order }.into()]
        }
        Stage::Delivered { .. } => vec![release(order, open, ReleaseCondition::InspectionElapsed)],
    }
}
