//! A market that does random things, each of which its rules allow.

mod carts;
mod doubts;

use std::collections::BTreeMap;

use events::account::{
    ClearanceGranted, ClearanceRevoked, Registered, Reinstated, Role, SellerReinstated, SellerSuspended,
    Suspended,
};
use events::cart::Migrated;
use events::command::Rejected;
use events::exchange::{Exchanged, Rate};
use events::ids::{AccountId, CartId, ListingId, OrderId};
use events::ledger::{LedgerAccount, Transfer};
use events::listing::{
    Blocked, Created, Limits, Paused, Resumed, StockReceived, Unblocked, Updated, WalletFunded, Withdrawn,
};
use events::location::Located;
use events::metadata::Waiting;
use events::order::{
    Accepted, Cancelled, CancelledBy, Delivered, DeliveryProof, EscrowRefunded, EscrowReleased, LineUnits,
    OrderNumber, Placed, Refunded, ReleaseCondition, ShipmentNumber, Shipped,
};
use events::rejection::OrderState;
use events::stock::{Adjusted, AdjustmentReason, BackorderLimitSet, Expected, SafetySet, ShortfallDetected};
use events::{Event, Money, Quantity, Rejection};
use proptest::prelude::*;

use super::{History, START, account, age, cart, currency, group, listing, order, place, units};

pub const BUYERS: u64 = 4;
pub const SELLERS: u64 = 3;
const PROVIDER: u64 = 99;
/// One of two operators; the other has the number before it.
pub const OPERATOR: u64 = 98;
const REGISTRAR: u64 = 96;
/// Where some of the stock is; the rest is at no named location.
pub const BERLIN: &str = "berlin";
/// What a buyer gets when a wallet is funded; more than all he can spend of it.
const FUNDED_MINOR: i64 = 1_000_000_000;

/// One wish; what it leads to depends on the market. Numbers choose among what there is.
#[derive(Debug, Clone, Copy)]
pub struct Wish {
    pub kind: u8,
    pub who: u64,
    pub which: usize,
    pub quantity: u32,
    pub later_ms: i64,
}

pub fn wishes(count: usize) -> impl Strategy<Value = Vec<Wish>> {
    let wish = (0u8..28, 0u64..12, 0usize..1000, 1u32..6, 0i64..40_000_000);
    let wish =
        wish.prop_map(|(kind, who, which, quantity, later_ms)| Wish { kind, who, which, quantity, later_ms });
    prop::collection::vec(wish, 1..count)
}

#[derive(Clone, Copy)]
struct Item {
    id: ListingId,
    seller: AccountId,
    price: Money,
    version: u32,
    on_hand: u64,
    damaged: u64,
    reserved: u64,
    /// Of those on hand and reserved, units in Berlin; the others are at no named location.
    in_berlin: (u64, u64),
}

impl Item {
    /// Takes units that were reserved, so many of them in Berlin.
    fn free_again(&mut self, line: &Line) {
        self.reserved -= u64::from(line.quantity);
        self.in_berlin.1 -= u64::from(line.in_berlin);
    }

    /// Tells whether units are there to be shipped: some may have been lost after they were ordered.
    fn has(&self, line: &Line) -> bool {
        let (in_berlin, rest) = (u64::from(line.in_berlin), u64::from(line.quantity - line.in_berlin));
        self.in_berlin.0 >= in_berlin && self.on_hand - self.in_berlin.0 >= rest
    }

    /// Gives the units that nobody has bought; this market uses neither its safety stock nor its backorder limit.
    fn free(&self) -> u64 {
        self.on_hand.saturating_sub(self.reserved)
    }
}

#[derive(Clone)]
struct Basket {
    id: CartId,
    version: u64,
    lines: Vec<(usize, u32)>,
    /// Whom it is shared with.
    members: Vec<AccountId>,
}

#[derive(Clone, Copy, PartialEq)]
enum Stage {
    InTransit,
    Inspection,
    Accepted,
}

/// Units of one listing that an order has, at the price they were ordered for.
#[derive(Clone, Copy)]
struct Line {
    item: usize,
    quantity: u32,
    price: Money,
    /// Of these, units that are reserved in Berlin.
    in_berlin: u32,
}

impl Line {
    fn locations(&self) -> Vec<Located> {
        let location = BERLIN.parse().unwrap();
        Quantity::new(self.in_berlin).map(|quantity| Located { location, quantity }).into_iter().collect()
    }
}

#[derive(Clone)]
struct Sale {
    id: OrderId,
    buyer: AccountId,
    seller: AccountId,
    /// Units neither shipped nor cancelled.
    left: Vec<Line>,
    shipments: Vec<(i64, Stage)>,
    /// What of each shipment's money is frozen.
    frozen: Vec<i64>,
    was_frozen: bool,
    is_held: bool,
    total: Money,
    fee: i64,
    released: i64,
    fees: i64,
    refunded: i64,
    /// Whether it waits for its seller to accept it.
    awaits_seller: bool,
}

impl Sale {
    /// Gives one unit of what is left, or all.
    fn next(&self, only_one: bool) -> Vec<Line> {
        match self.left.last() {
            Some(last) if only_one => {
                vec![Line { quantity: 1, in_berlin: last.in_berlin.min(1), ..*last }]
            }
            _ => self.left.clone(),
        }
    }

    /// Takes one unit of what is left, or all.
    fn take(&mut self, only_one: bool) -> Vec<Line> {
        let taken = self.next(only_one);
        if only_one && let Some(last) = self.left.last_mut() {
            last.quantity -= 1;
            last.in_berlin = last.in_berlin.saturating_sub(1);
            self.left.retain(|line| line.quantity > 0);
        } else {
            self.left.clear();
        }
        taken
    }

    fn remaining(&self) -> Option<Money> {
        let frozen: i64 = self.frozen.iter().sum();
        let minor = self.total.minor - self.released - self.refunded - frozen;
        (minor > 0).then_some(Money { minor, ..self.total })
    }

    fn closed_as(&self) -> Option<OrderState> {
        let is_settled =
            self.left.is_empty() && self.shipments.iter().all(|(_, stage)| *stage == Stage::Accepted);
        let state = match (self.shipments.is_empty(), self.was_frozen && self.released == 0) {
            (true, _) => OrderState::Cancelled,
            (false, true) => OrderState::Refunded,
            (false, false) => OrderState::Completed,
        };
        is_settled.then_some(state)
    }
}

#[derive(Default)]
pub struct Market {
    pub history: History,
    items: Vec<Item>,
    baskets: BTreeMap<AccountId, Basket>,
    sales: Vec<Sale>,
    carts: u64,
}

/// Makes a history of what `wishes` lead to.
pub fn history_of(wishes: &[Wish]) -> History {
    let mut market = Market::default();
    for n in [OPERATOR, OPERATOR - 1] {
        let registered = Registered { account: account(n), roles: [Role::Operator].into() };
        market.history.commanded(account(REGISTRAR), "account.register", vec![registered.into()]);
    }
    for n in 100..100 + SELLERS {
        let roles = [Role::Seller].into();
        let registered = Registered { account: account(n), roles };
        market.history.commanded(account(OPERATOR), "account.register", vec![registered.into()]);
    }
    for n in 0..3 {
        market.create_listing(n);
        market.receive_stock(n as usize, 9);
    }
    for n in 0..BUYERS {
        market.fund(account(n));
    }
    for wish in wishes {
        market.history.later(wish.later_ms);
        market.grant(*wish);
    }
    market.history
}

impl Market {
    fn grant(&mut self, wish: Wish) {
        let buyer = account(wish.who % BUYERS);
        let item = wish.which % self.items.len();
        match wish.kind {
            0 => self.create_listing(wish.who),
            1 => self.receive_stock(item, wish.quantity * 3),
            2 => self.fund(buyer),
            3..=5 => self.add_to_cart(buyer, item, wish),
            6 => self.change_cart(buyer, wish),
            7 | 8 => self.migrate(buyer),
            9 | 10 => self.place(buyer, None, vec![(item, wish.quantity)]),
            11..=14 => self.advance(wish),
            16 => self.update_listing(item, wish),
            17 => self.change_status(item, wish),
            18 => self.change_standing(item, wish),
            19 => self.adjust_stock(item, wish),
            20 => self.plan_stock(item, wish),
            21 => self.hold(wish),
            22..=24 => self.dispute(wish),
            25..=27 => self.share_cart(buyer, wish),
            _ => self.reject(buyer, wish),
        }
    }

    fn create_listing(&mut self, who: u64) {
        let n = self.items.len() as u64;
        let seller = account(100 + who % SELLERS);
        let price = Money::new(100 + 37 * n as i64, currency(if n % 4 == 3 { "JPY" } else { "USD" }));
        let created = Created::new(listing(n), price, seller, format!("thing {n}"));
        self.items.push(Item {
            id: listing(n),
            seller,
            price,
            version: 1,
            on_hand: 0,
            damaged: 0,
            reserved: 0,
            in_berlin: (0, 0),
        });
        self.history.commanded(seller, "listing.create", vec![created.into()]);
    }

    fn receive_stock(&mut self, item: usize, quantity: u32) {
        let found = &mut self.items[item];
        found.on_hand += u64::from(quantity);
        let is_in_berlin = quantity % 4 == 3;
        if is_in_berlin {
            found.in_berlin.0 += u64::from(quantity);
        }
        let received = StockReceived {
            listing: found.id,
            location: is_in_berlin.then(|| BERLIN.parse().unwrap()),
            on_hand: found.on_hand,
            quantity: units(quantity),
        };
        self.history.commanded(found.seller, "stock.receive", vec![received.into()]);
    }

    fn update_listing(&mut self, item: usize, wish: Wish) {
        let found = &mut self.items[item];
        found.version += 1;
        let price = (wish.quantity > 2)
            .then_some(Money { minor: found.price.minor + i64::from(wish.quantity), ..found.price });
        found.price = price.unwrap_or(found.price);
        let limits = Limits { max: Some(units(4)), min: (wish.quantity == 1).then_some(units(2)) };
        let updated = Updated {
            limits: (wish.quantity % 2 == 1).then_some(limits),
            listing: found.id,
            price,
            final_sale: None,
            restricted: (wish.quantity > 3).then_some(wish.which.is_multiple_of(2)),
            tax_class: None,
            title: (wish.quantity == 2).then(|| format!("thing {}", found.version)),
            version: found.version,
            release: (wish.quantity == 4).then(|| age(found.version)),
        };
        self.history.commanded(found.seller, "listing.update", vec![updated.into()]);
    }

    fn change_status(&mut self, item: usize, wish: Wish) {
        let Item { id: listing, seller, .. } = self.items[item];
        let reason = "why".to_owned();
        let event: Event = match (wish.quantity, wish.which % 2) {
            (1, 0) => Withdrawn { listing }.into(),
            (1 | 2, _) => Paused { listing }.into(),
            (3, _) => Resumed { listing }.into(),
            (4, _) => Blocked { listing, reason, seller }.into(),
            (_, _) => Unblocked { listing, reason, seller }.into(),
        };
        self.history.commanded(seller, "listing.change", vec![event]);
    }

    fn change_standing(&mut self, item: usize, wish: Wish) {
        let (seller, buyer) = (self.items[item].seller, account(wish.who % BUYERS));
        let reason = "why".to_owned();
        let event: Event = match wish.quantity {
            1 if wish.who < 6 => Suspended { account: seller, reason }.into(),
            2 if wish.who < 6 => Reinstated { account: seller, reason }.into(),
            1 => SellerSuspended { account: seller, reason }.into(),
            2 | 3 => SellerReinstated { account: seller, reason }.into(),
            4 => ClearanceGranted { account: buyer, reason }.into(),
            _ => ClearanceRevoked { account: buyer, reason }.into(),
        };
        self.history.commanded(account(OPERATOR), "account.change", vec![event]);
    }

    fn adjust_stock(&mut self, item: usize, wish: Wish) {
        let found = &mut self.items[item];
        let taken = u64::from(wish.quantity).min(found.on_hand - found.in_berlin.0);
        let (delta, reason) = match wish.who {
            0..4 if taken > 0 => (-(taken as i64), AdjustmentReason::Lost),
            4..8 if taken > 0 => (-(taken as i64), AdjustmentReason::Damaged),
            _ => (i64::from(wish.quantity), AdjustmentReason::Found),
        };
        found.on_hand = found.on_hand.checked_add_signed(delta).unwrap();
        if reason == AdjustmentReason::Damaged {
            found.damaged += taken;
        }
        let Item { id: listing, on_hand, damaged, reserved, .. } = *found;
        let mut events = vec![Adjusted { damaged, delta, listing, location: None, on_hand, reason }.into()];
        let missing = reserved.saturating_sub(on_hand);
        if missing > 0 {
            events.push(ShortfallDetected { listing, missing, on_hand, reserved }.into());
        }
        self.history.commanded(found.seller, "stock.adjust", events);
    }

    fn plan_stock(&mut self, item: usize, wish: Wish) {
        let Item { id: listing, seller, .. } = self.items[item];
        let units = u64::from(wish.quantity) - 1;
        let event: Event = match wish.which % 3 {
            0 => SafetySet { listing, location: None, units }.into(),
            1 => BackorderLimitSet { listing, units }.into(),
            _ => Expected {
                due: START.plus_ms(wish.who as i64 / 3),
                listing,
                location: None,
                units: units * 4,
            }
            .into(),
        };
        self.history.commanded(seller, "stock.plan", vec![event]);
    }

    fn fund(&mut self, buyer: AccountId) {
        for code in ["USD", "JPY"] {
            let funded = WalletFunded {
                account: buyer,
                reference: "pay-1".into(),
                transfer: Transfer {
                    amount: Money::new(FUNDED_MINOR, currency(code)),
                    from: LedgerAccount::ProviderClearing(account(PROVIDER)),
                    to: LedgerAccount::Wallet(buyer),
                },
            };
            self.history.commanded(account(PROVIDER), "wallet.fund", vec![funded.into()]);
        }
        let rate = Rate { for_minor: 1, gives_minor: 2 };
        let amounts = [Money::new(3, currency("USD")), Money::new(6, currency("JPY"))];
        let exchanged = Exchanged::new(buyer, account(PROVIDER), rate, "fx-1".into(), amounts);
        self.history.commanded(buyer, "wallet.exchange", vec![exchanged.into()]);
    }

    /// Places one order per seller and currency.
    fn place(&mut self, buyer: AccountId, basket: Option<Basket>, lines: Vec<(usize, u32)>) {
        let fits = |(item, quantity): &(usize, u32)| self.items[*item].free() >= u64::from(*quantity);
        if !lines.iter().all(fits) {
            return;
        }
        let mut groups: BTreeMap<_, Vec<Line>> = BTreeMap::new();
        for (item, quantity) in lines {
            let found = &mut self.items[item];
            found.reserved += u64::from(quantity);
            let free = found.in_berlin.0 - found.in_berlin.1;
            let in_berlin = quantity.min(u32::try_from(free).unwrap());
            found.in_berlin.1 += u64::from(in_berlin);
            let line = Line { item, quantity, price: found.price, in_berlin };
            groups.entry((found.seller, found.price.currency)).or_default().push(line);
        }
        let (mut events, mut orders) = (Vec::new(), Vec::new());
        for ((seller, currency), lines) in groups {
            let id = order(self.sales.len() as u64);
            let priced: Vec<_> =
                lines.iter().map(|line| (self.items[line.item].id, line.price, line.quantity)).collect();
            let minor = priced.iter().map(|(_, price, n)| price.minor * i64::from(*n)).sum();
            let (total, fee) = (Money::new(minor, currency), minor / 20);
            let from = basket.as_ref().map(|basket| basket.id);
            let [placed, held] =
                place(id, buyer, seller, from, &priced, self.history.now).try_into().unwrap();
            let Event::OrderPlaced(placed) = placed else { panic!("an order begins with its placement") };
            // Orders of before have neither group nor number. What is bought together has one currency here too.
            let n = self.sales.len() as u64;
            let is_new = !n.is_multiple_of(5);
            let awaits_seller = is_new && minor % 2 == 0;
            let number = (1001 + n).to_string();
            let number: OrderNumber = serde_json::from_str(&number).unwrap();
            let mut priced = placed.lines;
            priced.iter_mut().zip(&lines).for_each(|(priced, line)| priced.locations = line.locations());
            let placed = Placed {
                lines: priced,
                accept_by: awaits_seller.then_some(self.history.now),
                group: is_new.then_some(group(self.history.commands, currency)),
                number: is_new.then_some(number),
                ..placed
            };
            events.extend([placed.into(), held]);
            orders.push(id);
            let (left, shipments, frozen, released, fees, refunded) = (lines, vec![], vec![], 0, 0, 0);
            self.sales.push(Sale {
                id,
                buyer,
                seller,
                left,
                shipments,
                frozen,
                was_frozen: false,
                is_held: false,
                total,
                fee,
                released,
                fees,
                refunded,
                awaits_seller,
            });
        }
        if let Some(basket) = basket {
            self.baskets.remove(&buyer);
            let version = basket.version + 1;
            events.push(Migrated { account: buyer, cart: basket.id, orders, version }.into());
        }
        self.history.commanded(buyer, "order.place", events);
    }

    fn advance(&mut self, wish: Wish) {
        if self.sales.is_empty() {
            return;
        }
        let at = wish.which % self.sales.len();
        let shipments = &self.sales[at].shipments;
        let frozen = &self.sales[at].frozen;
        let first = |wanted| (0..shipments.len()).find(|n| shipments[*n].1 == wanted && frozen[*n] == 0);
        if self.sales[at].is_held {
            return;
        }
        let (in_transit, in_inspection) = (first(Stage::InTransit), first(Stage::Inspection));
        let has_left = !self.sales[at].left.is_empty();
        match (wish.kind, in_transit, in_inspection) {
            (11, ..) if has_left => self.ship(at, wish),
            (12, Some(n), _) => self.deliver(at, n, wish.quantity <= 2),
            (13, _, Some(n)) => {
                let (order, shipment) = (self.sales[at].id, ShipmentNumber::after(n));
                let released = self.release(at, n, ReleaseCondition::InspectionElapsed);
                self.history.due(Waiting::InspectionEnds { order, shipment }, vec![released]);
            }
            (14, ..) if has_left => self.cancel(at, wish),
            _ => {}
        }
    }

    /// Gives units with what they cost; and now and then, when all of the order goes at once, none: an event of the first
    /// version, as it is read.
    fn line_units(&self, taken: &[Line], is_whole: bool, who: u64) -> (Vec<LineUnits>, i64) {
        let line = |line: &Line| {
            let amount = line.price.checked_mul(units(line.quantity)).unwrap();
            let listing = self.items[line.item].id;
            LineUnits {
                amount,
                listing,
                locations: line.locations(),
                quantity: units(line.quantity),
                subsidy: None,
                tax: None,
            }
        };
        let lines: Vec<LineUnits> = taken.iter().map(line).collect();
        let minor = lines.iter().map(|line| line.amount.minor).sum();
        // There were no locations then.
        let may_be_older = is_whole && taken.iter().all(|line| line.in_berlin == 0);
        (if may_be_older && who.is_multiple_of(2) { vec![] } else { lines }, minor)
    }

    fn is_untouched(&self, at: usize) -> bool {
        self.sales[at].shipments.is_empty() && self.sales[at].refunded == 0
    }

    fn ship(&mut self, at: usize, wish: Wish) {
        let only_one = wish.quantity <= 2;
        if !self.sales[at].next(only_one).iter().all(|line| self.items[line.item].has(line)) {
            return;
        }
        let is_whole = self.is_untouched(at) && !only_one;
        let taken = self.sales[at].take(only_one);
        for line in &taken {
            let item = &mut self.items[line.item];
            item.free_again(line);
            item.on_hand -= u64::from(line.quantity);
            item.in_berlin.0 -= u64::from(line.in_berlin);
        }
        let (lines, minor) = self.line_units(&taken, is_whole, wish.who);
        let sale = &mut self.sales[at];
        if std::mem::take(&mut sale.awaits_seller) {
            let accepted = Accepted { order: sale.id, ship_by: self.history.now };
            self.history.commanded(sale.seller, "order.accept", vec![accepted.into()]);
        }
        let (order, shipment) = (sale.id, ShipmentNumber::after(sale.shipments.len()));
        sale.shipments.push((minor, Stage::InTransit));
        sale.frozen.push(0);
        let (carrier, delivery_due) = (Some("DHL".into()), self.history.now);
        let shipped =
            Shipped { carrier, delivery_due, lines, order, shipment, shipping: None, tracking: None };
        self.history.commanded(sale.seller, "order.ship", vec![shipped.into()]);
        if wish.which.is_multiple_of(5) && minor > 1 {
            self.give_back(at, shipment);
        }
    }

    /// Gives back a part of what a shipment costs.
    fn give_back(&mut self, at: usize, shipment: ShipmentNumber) {
        let sale = &mut self.sales[at];
        let sent = &mut sale.shipments[shipment.index()].0;
        let minor = *sent / 2;
        *sent -= minor;
        sale.refunded += minor;
        let (order, buyer, seller) = (sale.id, sale.buyer, sale.seller);
        let amount = Money { minor, ..sale.total };
        let (from, to) = (LedgerAccount::Escrow(order), LedgerAccount::Wallet(buyer));
        let (closed_as, remaining) = (sale.closed_as(), sale.remaining());
        let (by, reason, transfer) = (Role::Seller, "scratched".into(), Some(Transfer { amount, from, to }));
        let given = Refunded { amount, by, order, reason, shipment, subsidy: None, tax: None };
        let refunded = EscrowRefunded { buyer, closed_as, order, remaining, seller, transfer };
        self.history.commanded(seller, "order.refund", vec![given.into(), refunded.into()]);
    }

    fn deliver(&mut self, at: usize, n: usize, is_by_buyer: bool) {
        let (order, buyer) = (self.sales[at].id, self.sales[at].buyer);
        let (inspection_ends, shipment) = (self.history.now, ShipmentNumber::after(n));
        self.sales[at].shipments[n].1 = Stage::Inspection;
        if is_by_buyer {
            let confirmed_by = DeliveryProof::Buyer;
            let (release_due, return_by) = (None, None);
            let delivered =
                Delivered { confirmed_by, inspection_ends, order, release_due, return_by, shipment };
            let released = self.release(at, n, ReleaseCondition::BuyerConfirmed);
            self.history.commanded(buyer, "order.confirm", vec![delivered.into(), released]);
        } else {
            let confirmed_by = DeliveryProof::TransitElapsed;
            let (release_due, return_by) = (None, None);
            let delivered =
                Delivered { confirmed_by, inspection_ends, order, release_due, return_by, shipment };
            self.history.due(Waiting::DeliveryDue { order, shipment }, vec![delivered.into()]);
        }
    }

    fn cancel(&mut self, at: usize, wish: Wish) {
        let by = match (wish.quantity, self.sales[at].awaits_seller) {
            (2, true) => CancelledBy::AcceptDeadline,
            (2, false) => CancelledBy::ShipDeadline,
            _ => CancelledBy::Account(Role::Seller),
        };
        let only_one = wish.quantity > 3;
        let is_whole = self.is_untouched(at) && !only_one;
        let taken = self.sales[at].take(only_one);
        for line in &taken {
            self.items[line.item].free_again(line);
        }
        let (lines, minor) = self.line_units(&taken, is_whole, wish.who);
        let sale = &mut self.sales[at];
        sale.refunded += minor;
        let (order, buyer, seller) = (sale.id, sale.buyer, sale.seller);
        let (from, to) = (LedgerAccount::Escrow(order), LedgerAccount::Wallet(buyer));
        let transfer = Some(Transfer { amount: Money { minor, ..sale.total }, from, to });
        let (closed_as, remaining) = (sale.closed_as(), sale.remaining());
        let cancelled =
            Cancelled { by, lines, order, reason: Some("sold out".into()), shipping: None, uncharged: None };
        let refunded = EscrowRefunded { buyer, closed_as, order, remaining, seller, transfer };
        let events = vec![cancelled.into(), refunded.into()];
        match by {
            CancelledBy::Account(_) => self.history.commanded(seller, "order.cancel", events),
            CancelledBy::ShipDeadline => self.history.due(Waiting::ShipBy { order }, events),
            CancelledBy::AcceptDeadline => self.history.due(Waiting::AcceptBy { order }, events),
            CancelledBy::PaymentDeadline
            | CancelledBy::PaymentFailed
            | CancelledBy::AuthorizationExpired
            | CancelledBy::Change
            | CancelledBy::Chargeback
            | CancelledBy::Review => {
                unreachable!("orders are paid at once here, neither changed nor reviewed")
            }
        };
    }

    fn release(&mut self, at: usize, n: usize, condition: ReleaseCondition) -> Event {
        let sale = &mut self.sales[at];
        sale.shipments[n].1 = Stage::Accepted;
        let minor = sale.shipments[n].0;
        sale.released += minor;
        let fee = sale.fee * sale.released / sale.total.minor - sale.fees;
        sale.fees += fee;
        let from = LedgerAccount::Escrow(sale.id);
        let transfer = |minor, to| Transfer { amount: Money { minor, ..sale.total }, from, to };
        let mut transfers = vec![transfer(minor - fee, LedgerAccount::SellerAvailable(sale.seller))];
        if fee > 0 {
            transfers.push(transfer(fee, LedgerAccount::PlatformFees));
        }
        let (closed_as, remaining) = (sale.closed_as(), sale.remaining());
        let (buyer, order, seller, shipment) = (sale.buyer, sale.id, sale.seller, ShipmentNumber::after(n));
        let with = vec![];
        EscrowReleased {
            buyer,
            closed_as,
            condition,
            kept_until: None,
            order,
            remaining,
            seller,
            shipment,
            transfers,
            with,
        }
        .into()
    }

    fn reject(&mut self, buyer: AccountId, wish: Wish) {
        let reasons = match wish.quantity {
            1 => vec![Rejection::CartMissing],
            2 => vec![Rejection::CartEmpty, Rejection::AmountOverflow],
            _ => {
                let listing = listing(wish.which as u64);
                vec![Rejection::ListingUnknown { listing }, Rejection::ListingUnknown { listing }]
            }
        };
        let rejected = Rejected { command: "order.place".into(), reasons };
        self.history.commanded(buyer, "order.place", vec![rejected.into()]);
    }
}
