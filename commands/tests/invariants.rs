//! Whatever is asked in whatever order, the market's promises hold after every commit.

// What is not inside a test function is part of one all the same.
#![allow(clippy::unwrap_used)]

mod support;
mod invariants {
    pub(crate) mod checks;
    pub(crate) mod paid;
    pub(crate) mod steps;
}

use std::collections::{BTreeMap, BTreeSet};

use commands::command::{
    CancelOrder, ConfirmDelivery, CreatePromotion, Delivery, LineQuantity, MigrateCart, PlaceOrder,
    ReportPayment, ReportedOutcome, SetTax, ShipOrder, UpdateListing,
};
use commands::order::ShipmentState;
use commands::{Command, Decision, Market, Verified};
use events::account::Tier;
use events::cart::MergePolicy;
use events::ids::{
    AccountId, CartId, CommandId, ListingId, OrderGroupId, OrderId, PaymentId, PromotionId, RefundId,
};
use events::ledger::LedgerAccount;
use events::market::{Deadlines, FeePolicy, PurchaseLimit};
use events::metadata::Cause;
use events::order::ShipmentNumber;
use events::payment::{ActionKind, Requested};
use events::promotion::{Benefit, CouponCode};
use events::rejection::OrderState;
use events::stock::AdjustmentReason;
use events::{Bps, Event, Money};
use invariants::checks::{
    asked_for, check_carts, check_deadlines, check_money, check_numbers, check_price, check_promotions,
    check_stock, fold, snapshot,
};
use invariants::paid::{Paid, cost, cost_of};
use invariants::steps::*;
use proptest::prelude::*;
use support::*;

/// A market at work, with what was signed and promised so far.
struct Run {
    world: World,
    signed: Vec<Verified>,
    orders: Vec<(OrderId, (Actor, Actor))>,
    paid: BTreeMap<OrderId, Paid>,
    groups: BTreeSet<OrderGroupId>,
    /// Orders that were never accepted and have to be.
    awaiting: BTreeSet<OrderId>,
    decided: BTreeSet<(AccountId, CommandId)>,
    credited: BTreeSet<(LedgerAccount, String)>,
    /// How many units were last told to be missing.
    shortfalls: BTreeMap<ListingId, u64>,
    payments: Vec<Requested>,
    refunds: Vec<(RefundId, PaymentId)>,
    /// What was captured of each payment, and what of that has gone back for good.
    captured: BTreeMap<PaymentId, (Money, i64)>,
    /// Orders that have promotions, open ones and those of which something was shipped.
    discounted: BTreeMap<OrderId, BTreeSet<PromotionId>>,
    merged: BTreeSet<CartId>,
    checked: usize,
}

impl Run {
    /// Opens a market in which sellers have to accept orders, or not.
    fn new(sellers_accept: bool) -> Run {
        let limit = |tier, minor| PurchaseLimit {
            currency: usd(0).currency,
            per_day_minor: minor,
            per_order_minor: minor,
            tier: Tier::new(tier).unwrap(),
        };
        let mut world = World::on_terms(
            FeePolicy::default(),
            if sellers_accept { accepting() } else { Deadlines::default() },
            vec![limit(0, MOST / 2), limit(1, MOST)],
        );
        world.register(PROVIDERS[1]).register(BUYERS[2]).register(GUEST).register(OTHER_GUEST);
        world
            .given_listing(SELLER, 0, usd(500), 10)
            .given_listing(SELLER, 1, usd(DEAR), 3)
            .given_listing(OTHER_SELLER, 2, usd(1), 1_000_000)
            .given_listing(OTHER_SELLER, 3, eur(300), 5);
        let (signed, orders, paid) = (Vec::new(), Vec::new(), BTreeMap::new());
        let (groups, awaiting) = (BTreeSet::new(), BTreeSet::new());
        let (decided, credited, merged) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let (payments, refunds, captured) = (Vec::new(), Vec::new(), BTreeMap::new());
        let shortfalls = BTreeMap::new();
        let mut run = Run {
            world,
            signed,
            orders,
            paid,
            groups,
            awaiting,
            decided,
            credited,
            shortfalls,
            payments,
            refunds,
            captured,
            discounted: BTreeMap::new(),
            merged,
            checked: 0,
        };
        run.check();
        run
    }

    fn ask(&mut self, actor: Actor, command: Command) {
        let signed = self.world.sign(actor, command);
        self.send(signed);
    }

    fn send(&mut self, signed: Verified) {
        self.signed.push(signed.clone());
        self.world.when_signed(signed);
        assert!(!matches!(self.world.outcome(), Decision::Ask(_)), "nothing was forgotten yet");
        self.check();
    }

    fn earlier(&self, nth: usize) -> Option<Verified> {
        (!self.signed.is_empty()).then(|| self.signed[nth % self.signed.len()].clone())
    }

    /// Gives one of the last orders with its buyer and seller, or one that never was.
    fn order(&self, nth: usize) -> (OrderId, (Actor, Actor)) {
        let unknown = (OrderId::derive(BUYER.account(), cid(START, 0), 0), (BUYER, SELLER));
        let last = self.orders.iter().rev().take(5);
        last.chain([&unknown]).nth(nth / 2 % 6).copied().unwrap_or(unknown)
    }

    /// Names lines of an order by their place, or a listing that may not be in it.
    fn lines(&self, order: OrderId, part: Part) -> Option<Vec<LineQuantity>> {
        let open = self.world.market.orders.get(order);
        let lines = part?.into_iter().map(|(place, n)| {
            let line = open.and_then(|open| open.lines.get(usize::from(place)));
            let listing = line.map_or(listing(place.into()), |line| line.listing);
            LineQuantity { listing, quantity: units(n) }
        });
        Some(lines.collect())
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Fund(provider, buyer, minor, in_euro, payment) => {
                let amount = if in_euro { eur(minor) } else { usd(minor) };
                let reference = format!("payment {payment}");
                self.ask(PROVIDERS[provider], fund_as(&reference, BUYERS[buyer], amount));
            }
            Step::Receive(thing, n) => self.ask(seller_of(thing), receive(thing, n)),
            Step::Update(thing, price, n) => {
                let price = if thing == 3 { eur(price) } else { usd(price) };
                let asked = UpdateListing {
                    limits: Some(limits((n == 2).then_some(2), (n == 3).then_some(3))),
                    price: Some(price),
                    restricted: Some(n == 4),
                    ..update(thing)
                };
                self.ask(seller_of(thing), asked.into());
            }
            Step::Stop(kind, thing, stops) => self.stop(kind, thing, stops),
            Step::Withdraw(thing) => self.ask(seller_of(thing), withdraw(thing)),
            Step::Variant(n, of) => {
                let size = n.to_string();
                self.ask(seller_of(of), create_variant(10 + n, of, &[("size", &size)]));
            }
            Step::Adjust(thing, delta, reason) => self.ask(seller_of(thing), adjust(thing, delta, reason)),
            Step::Lose(thing) => {
                let on_hand = self.world.market.listings.get(listing(thing)).unwrap().stock.on_hand;
                let delta = -i64::try_from(on_hand).unwrap();
                if delta < 0 {
                    self.ask(seller_of(thing), adjust(thing, delta, AdjustmentReason::Lost));
                }
            }
            Step::Safety(thing, n) => self.ask(seller_of(thing), set_safety(thing, n)),
            Step::Backorder(thing, n) => self.ask(seller_of(thing), set_backorder_limit(thing, n)),
            Step::Expect(thing, n, days) => {
                // One time a day, so that some are named again.
                let due = START.plus_ms(days * DAY_MS);
                self.ask(seller_of(thing), expect(thing, n, due));
            }
            Step::Add(shopper, thing, n) => self.ask(SHOPPERS[shopper], add(thing, n)),
            Step::Set(shopper, thing, n) => self.ask(SHOPPERS[shopper], set(thing, n)),
            Step::Remove(shopper, thing) => self.ask(SHOPPERS[shopper], remove(thing)),
            Step::Clear(shopper) => self.ask(SHOPPERS[shopper], clear()),
            Step::Coupon(shopper, coupon) => {
                let wish = coupon.map_or_else(remove_coupon, |n| apply_coupon(COUPONS[n]));
                self.ask(SHOPPERS[shopper], wish);
            }
            Step::Save(shopper, thing) => self.ask(SHOPPERS[shopper], save(thing)),
            Step::MoveBack(shopper, thing) => self.ask(SHOPPERS[shopper], move_back(thing)),
            Step::Freeze(shopper, ms) => self.ask(SHOPPERS[shopper], freeze(self.world.now.plus_ms(ms))),
            Step::Unfreeze(shopper) => self.ask(SHOPPERS[shopper], unfreeze()),
            Step::Restore(buyer) => {
                let owner = self.world.market.accounts.get(BUYERS[buyer].account()).unwrap();
                if let Some(migrated) = &owner.last_migrated {
                    self.ask(BUYERS[buyer], restore(migrated.id));
                }
            }
            Step::Merge(buyer, shopper, how) => self.merge(BUYERS[buyer], SHOPPERS[shopper], how),
            Step::Migrate(buyer, total, going) => {
                let buyer = BUYERS[buyer];
                let owner = self.world.market.accounts.get(buyer.account()).unwrap();
                let last = owner.last_migrated.as_ref().map(|migrated| migrated.id);
                if let Some(cart) = owner.cart.as_ref().map(|cart| cart.id).or(last) {
                    let Command::MigrateCart(command) = migrate(cart, usd(total)) else { unreachable!() };
                    let (delivery, coupon) = gone(going);
                    self.ask(buyer, MigrateCart { coupon, delivery, ..command }.into());
                }
            }
            Step::Place(buyer, lines, total, going) => {
                let Command::PlaceOrder(command) = place(&lines, usd(total)) else { unreachable!() };
                let (delivery, coupon) = gone(going);
                self.ask(BUYERS[buyer], PlaceOrder { coupon, delivery, ..command }.into());
            }
            Step::Tax(..) | Step::Rate(..) | Step::RemoveRate(..) | Step::Promotion(..) => self.price(step),
            Step::EndPromotion(nth, by_operator) => {
                let nth = self.world.market.promotions.iter().nth(nth % 4);
                if let Some((id, seller)) = nth.map(|(id, known)| (*id, Actor::of(known.seller))) {
                    self.ask(if by_operator { OPERATOR } else { seller }, end(id));
                }
            }
            Step::Verify(buyer, tier) => self.ask(OPERATOR, verify(BUYERS[buyer], tier)),
            Step::Answer(nth, who, accepts) => {
                let (order, (_, seller)) = self.order(nth);
                let command = if accepts { accept(order) } else { decline(order) };
                self.ask(who.map_or(seller, |n| EVERYBODY[n]), command);
            }
            Step::Ship(nth, who, part) => {
                let (order, (_, seller)) = self.order(nth);
                let lines = self.lines(order, part);
                let command = ShipOrder { carrier: None, lines, order, tracking: None };
                self.ask(who.map_or(seller, |n| EVERYBODY[n]), command.into());
            }
            Step::Confirm(nth, who, before) => {
                let (order, (buyer, _)) = self.order(nth);
                let receiver = if nth % 2 == 0 { buyer } else { PROVIDER };
                let shipment = before.map(|before| ShipmentNumber::after(before.into()));
                let command = ConfirmDelivery { order, shipment };
                self.ask(who.map_or(receiver, |n| EVERYBODY[n]), command.into());
            }
            Step::Cancel(nth, who, part) => {
                let (order, (buyer, seller)) = self.order(nth);
                let party = if nth % 2 == 0 { buyer } else { seller };
                let command = CancelOrder { lines: self.lines(order, part), order, reason: None };
                self.ask(who.map_or(party, |n| EVERYBODY[n]), command.into());
            }
            Step::Refund(nth, who, before, part) => {
                let (order, (_, seller)) = self.order(nth);
                let giver = if nth % 3 == 0 { OPERATOR } else { seller };
                let sent = self.world.market.orders.get(order).map(|open| &open.shipments);
                let sent = sent.and_then(|shipments| shipments.get(usize::from(before)));
                let all = sent.map_or(1, |shipment| shipment.amount_minor);
                let amount = usd(if part == 0 { all } else { part });
                self.ask(who.map_or(giver, |n| EVERYBODY[n]), refund(order, u32::from(before) + 1, amount));
            }
            Step::Request(buyer, provider, minor) => {
                self.ask(BUYERS[buyer], request_from(PROVIDERS[provider], usd(minor), "tok"));
            }
            Step::Report(nth, kind, part, reference) => self.report(nth, kind, part, reference),
            Step::GiveUp(nth) => {
                if let Some(payment) = self.last_payment(nth) {
                    self.ask(Actor::of(payment.account), give_up(payment.payment));
                }
            }
            Step::GiveBack(nth, part) => {
                if let Some(payment) = self.last_payment(nth) {
                    let asker = if nth % 3 == 0 { OPERATOR } else { Actor::of(payment.account) };
                    let amount = if part == 0 { payment.amount } else { usd(part) };
                    self.ask(asker, give_back(payment.payment, amount));
                }
            }
            Step::Wait(ms) => {
                self.world.after(ms);
                self.let_due_deadlines_pass();
            }
            Step::Retry(nth) => {
                if let Some(first) = self.earlier(nth) {
                    let mut again = self.world.sign(Actor::of(first.stamp.account), first.command);
                    again.stamp.command = first.stamp.command;
                    again.claim = first.claim;
                    self.send(again);
                }
            }
            Step::Duplicate(nth) => {
                if let Some(first) = self.earlier(nth) {
                    self.send(first);
                }
            }
            Step::Conflict(nth) => {
                if let Some(first) = self.earlier(nth) {
                    let mut other = self.world.sign(Actor::of(first.stamp.account), clear());
                    other.stamp.command = first.stamp.command;
                    self.send(other);
                }
            }
        }
    }

    fn price(&mut self, step: Step) {
        let method = |n: u8| format!("method_{n}");
        let to = |n: Option<usize>| n.map(|n| REGIONS[n]);
        match step {
            Step::Tax(place, of_delivery, bps, is_inside) => {
                let wish = SetTax {
                    bps: Bps::new(bps).unwrap(),
                    inclusive: is_inside,
                    region: region(REGIONS[place]),
                    tax_class: of_delivery.then(|| "shipping".parse().unwrap()),
                };
                self.ask(OPERATOR, wish.into());
            }
            Step::Rate(thing, n, place, [flat, free_from, per_unit]) => {
                let more = |minor: i64| Some(minor).filter(|minor| *minor > 0);
                let rate = rate(flat.max(0), more(free_from), more(per_unit));
                self.ask(seller_of(thing), set_rate(&method(n), to(place), rate));
            }
            Step::RemoveRate(thing, n, place) => {
                self.ask(seller_of(thing), remove_rate(&method(n), to(place)));
            }
            Step::Promotion(thing, gives, code, uses, lasts_ms) => {
                let is_share = gives % 2 == 0;
                let gives = match is_share {
                    true => percent(u32::try_from(gives.max(0)).unwrap()),
                    false => Benefit::Amount(usd(gives)),
                };
                let listings = if thing % 2 == 0 { [listing(thing)].into() } else { BTreeSet::new() };
                let wish = CreatePromotion {
                    code: code.map(|n| COUPONS[n].parse().unwrap()),
                    listings,
                    min_spend: (lasts_ms % 3 == 0).then(|| usd(600)),
                    until: (lasts_ms % 4 > 0).then(|| self.world.now.plus_ms(lasts_ms)),
                    uses,
                    uses_per_account: uses.filter(|uses| *uses == 3).map(|_| 1),
                    ..promotion(gives)
                };
                self.ask(seller_of(thing), wish.into());
            }
            other => panic!("{other:?} says nothing of prices"),
        }
    }

    fn stop(&mut self, kind: u8, thing: u64, stops: bool) {
        let (seller, buyer) = (seller_of(thing), BUYERS[(thing % 3) as usize]);
        let (actor, command) = match (kind, stops) {
            (0, true) => (seller, pause(thing)),
            (0, false) => (seller, resume(thing)),
            (1, true) => (OPERATOR, block(thing)),
            (1, false) => (OPERATOR, unblock(thing)),
            (2, true) => (OPERATOR, suspend(seller)),
            (2, false) => (OPERATOR, reinstate(seller)),
            (_, true) => (OPERATOR, revoke_clearance(buyer)),
            (_, false) => (OPERATOR, grant_clearance(buyer)),
        };
        self.ask(actor, command);
    }

    /// Gives one of the last payments.
    fn last_payment(&self, nth: usize) -> Option<Requested> {
        self.payments.iter().rev().take(4).nth(nth % 4).cloned()
    }

    /// Lets a provider report something, likely or not, of one of the last payments. `part` 0: all of it.
    fn report(&mut self, nth: usize, kind: u8, part: i64, reference: u8) {
        let Some(payment) = self.last_payment(nth) else { return };
        let reference = || text(&format!("payment {reference}"));
        let amount = if part == 0 { payment.amount } else { usd(part) };
        let refund =
            self.refunds.iter().rev().find(|(_, of)| *of == payment.payment).map(|(refund, _)| *refund);
        let outcome = match (kind, refund) {
            (0, _) => {
                ReportedOutcome::ActionRequired { kind: ActionKind::Mfa, reference: reference(), url: None }
            }
            (1 | 2, _) => {
                let capture_before = self.world.now.plus_ms(DAY_MS);
                ReportedOutcome::Authorized { amount, capture_before, reference: reference() }
            }
            (3 | 4, _) => ReportedOutcome::Captured { amount, reference: reference() },
            (5, _) => ReportedOutcome::Voided,
            (6, _) => ReportedOutcome::AuthorizationExpired,
            (7, Some(refund)) => ReportedOutcome::Refunded { reference: reference(), refund },
            (8, Some(refund)) => ReportedOutcome::RefundFailed { code: text("closed"), refund },
            (_, _) => ReportedOutcome::Failed { code: text("declined"), retryable: false },
        };
        let provider = if nth % 8 == 7 { PROVIDERS[nth / 8 % 2] } else { Actor::of(payment.provider) };
        self.ask(provider, ReportPayment { outcome, payment: payment.payment }.into());
    }

    fn merge(&mut self, buyer: Actor, owner: Actor, how: u8) {
        let of = self.world.market.accounts.get(owner.account()).unwrap();
        let (active, last) =
            (of.cart.as_ref().map(|cart| cart.id), of.last_merged.as_ref().map(|cart| cart.id));
        let cart = if how.is_multiple_of(4) { last.or(active) } else { active.or(last) };
        let Some(cart) = cart else { return };
        let policy = [MergePolicy::Max, MergePolicy::Sum, MergePolicy::Replace][usize::from(how % 3)];
        let exp = self.world.now.plus_ms(if how == 7 { -1 } else { 60 * SECOND_MS });
        let to = if how == 11 { OTHER_BUYER } else { buyer };
        let claim = Some(claim(owner, cart, to, exp));
        let signed = Verified { claim, ..self.world.sign(buyer, merge(policy)) };
        self.send(signed);
    }

    fn let_due_deadlines_pass(&mut self) {
        let now = self.world.now;
        while self.world.market.next_deadline().is_some_and(|next| next.due <= now) {
            self.world.when_deadline();
            self.check();
        }
    }

    /// Checks every promise, for what was committed since the last check.
    fn check(&mut self) {
        for n in self.checked..self.world.log.len() {
            self.check_commit(n);
        }
        self.checked = self.world.log.len();
        check_money(&self.world.market);
        self.check_orders();
        check_stock(&self.world.market, &self.shortfalls);
        check_promotions(&self.world.market, &self.discounted);
        check_deadlines(&self.world.market);
        check_carts(&self.world.market);
    }

    /// Checks what an event about an order's money says of its end.
    fn check_end(&self, order: OrderId, paid: Paid, closed_as: Option<OrderState>) {
        let Some(state) = closed_as else { return };
        assert_eq!(paid.remaining(), 0, "a closed order's accounts are zero");
        assert_eq!(paid.shipped + paid.cancelled, paid.total.minor, "all units cost the total");
        let balance = self.world.market.ledger.balance(LedgerAccount::Escrow(order), paid.total.currency);
        assert_eq!(balance.minor, 0);
        if paid.shipped > 0 {
            assert_eq!(state, OrderState::Completed);
        }
        assert!(self.world.market.orders.get(order).is_none(), "what is closed is not open");
    }

    /// Checks each open order against what the events said of it.
    fn check_orders(&self) {
        for (id, order) in self.world.market.orders.iter() {
            let (paid, escrow) = (self.paid[id], order.escrow);
            let shipping = order.extras.as_ref().and_then(|extras| extras.shipping_minor).unwrap_or(0);
            let cost: i64 = order.lines.iter().map(|line| line.total_minor).sum::<i64>() + shipping;
            assert_eq!((cost, escrow.funded), (order.total.minor, order.total.minor));
            assert_eq!(order.tax_minor(), paid.tax);
            let sums = (escrow.released, escrow.fees, escrow.taxes, escrow.refunded, escrow.remaining());
            assert_eq!(sums, (paid.released, paid.fees, paid.taxes, paid.refunded, paid.remaining()));
            let left = cost_of(&order.left(), order.shipping_left());
            assert_eq!(left + paid.shipped + paid.cancelled, order.total.minor);
            for (place, line) in (0u8..).zip(&order.lines) {
                assert!(line.cancelled + line.shipped <= line.ordered && line.delivered <= line.shipped);
                let units = |arrived: bool| -> u32 {
                    let shipments = order.shipments.iter().filter(|shipment| {
                        !arrived || !matches!(shipment.state, ShipmentState::InTransit { .. })
                    });
                    let units = shipments.flat_map(|shipment| &shipment.units);
                    units.filter(|(of, _)| *of == place).map(|(_, units)| units).sum()
                };
                assert_eq!((line.shipped, line.delivered), (units(false), units(true)));
            }
        }
    }

    fn check_commit(&mut self, n: usize) {
        let commit = self.world.log[n].clone();
        match &commit.start().cause {
            Cause::Command(stamp) => {
                assert!(self.decided.insert((stamp.account, stamp.command)), "an id has one commit");
            }
            Cause::Deadline(deadline) => assert!(deadline.due <= commit.time()),
            Cause::Writer(_) => assert_eq!(n, 0),
        }
        let (mut charged, mut groups) = (BTreeMap::new(), BTreeSet::new());
        for recorded in commit.events() {
            for json in [&recorded.metadata_json, &recorded.payload_json] {
                check_numbers(&serde_json::from_slice(json).unwrap());
            }
            match &recorded.event {
                Event::WalletFunded(funded) => {
                    let payment = (funded.transfer.from, funded.reference.clone());
                    assert!(self.credited.insert(payment), "a payment is credited once");
                }
                Event::StockShortfallDetected(detected) => {
                    self.shortfalls.insert(detected.listing, detected.missing);
                }
                Event::PaymentRequested(requested) => self.payments.push(requested.clone()),
                Event::PaymentCaptured(event) => {
                    let credit = (event.transfer.from, event.reference.clone());
                    assert!(self.credited.insert(credit), "a reference credits once");
                    let asked = self.payments.iter().find(|asked| asked.payment == event.payment).unwrap();
                    let amount = event.transfer.amount;
                    assert!(amount.currency == asked.amount.currency && amount.minor <= asked.amount.minor);
                    let earlier = self.captured.insert(event.payment, (amount, 0));
                    assert_eq!(earlier, None, "a payment is captured once");
                }
                Event::RefundRequested(event) => {
                    self.refunds.push((event.refund, event.payment));
                    assert!(event.refunded.minor <= self.captured[&event.payment].0.minor);
                }
                Event::PaymentRefunded(event) => {
                    let (captured, refunded) = self.captured.get_mut(&event.payment).unwrap();
                    *refunded += event.transfer.amount.minor;
                    assert!(*refunded <= captured.minor, "no more goes back than came in");
                }
                Event::CartMerged(merged) => {
                    assert!(self.merged.insert(merged.source.cart), "a cart is merged once");
                }
                Event::OrderPlaced(placed) => {
                    check_price(placed);
                    self.discounted.insert(placed.order, placed.promotions());
                    groups.insert(placed.group.unwrap());
                    let number = 1001 + u64::try_from(self.orders.len()).unwrap();
                    assert_eq!(placed.number.unwrap().get(), number, "orders are counted without a gap");
                    self.awaiting.extend(placed.accept_by.map(|_| placed.order));
                    let parties = (Actor::of(placed.buyer), Actor::of(placed.seller));
                    self.orders.push((placed.order, parties));
                    let (total, fee) = (placed.total, placed.fee.amount.minor);
                    let tax = placed.tax_minor();
                    let (held, released, fees, taxes, refunded) = (0, 0, 0, 0, 0);
                    let (shipped, cancelled, given_back, tax_back) = (0, 0, 0, 0);
                    let paid = Paid {
                        total,
                        tax,
                        fee,
                        held,
                        released,
                        fees,
                        taxes,
                        refunded,
                        shipped,
                        cancelled,
                        given_back,
                        tax_back,
                    };
                    self.paid.insert(placed.order, paid);
                }
                Event::EscrowHeld(held) => {
                    let amount = held.transfer.amount;
                    *charged.entry(amount.currency).or_insert(0) += amount.minor;
                    let paid = self.paid.get_mut(&held.order).unwrap();
                    assert_eq!((paid.held, amount), (0, paid.total), "an order is paid once, and whole");
                    paid.held = amount.minor;
                }
                Event::OrderAccepted(accepted) => {
                    assert!(self.awaiting.remove(&accepted.order), "only what waits is accepted");
                }
                Event::OrderShipped(shipped) => {
                    assert!(!self.awaiting.contains(&shipped.order), "what is shipped was accepted");
                    let cost = cost(&shipped.lines, shipped.shipping);
                    self.paid.get_mut(&shipped.order).unwrap().shipped += cost;
                }
                Event::OrderCancelled(cancelled) => {
                    let cost = cost(&cancelled.lines, cancelled.shipping);
                    self.paid.get_mut(&cancelled.order).unwrap().cancelled += cost;
                }
                Event::OrderRefunded(refunded) => {
                    assert!(refunded.amount.is_positive());
                    let paid = self.paid.get_mut(&refunded.order).unwrap();
                    paid.given_back += refunded.amount.minor;
                    paid.tax_back += refunded.tax.map_or(0, |tax| tax.minor);
                }
                Event::EscrowReleased(released) => {
                    let paid = self.paid.get_mut(&released.order).unwrap();
                    for transfer in &released.transfers {
                        match transfer.to {
                            LedgerAccount::PlatformFees => paid.fees += transfer.amount.minor,
                            LedgerAccount::PlatformTax => paid.taxes += transfer.amount.minor,
                            _ => paid.released += transfer.amount.minor,
                        }
                    }
                    let (out, total) =
                        (i128::from(paid.released + paid.fees), i128::from(paid.total.minor - paid.tax));
                    let due = (2 * i128::from(paid.fee) * out + total).checked_div(2 * total).unwrap_or(0);
                    assert_eq!(i128::from(paid.fees), due, "fees are exactly those of what was released");
                    assert_eq!(paid.remaining(), released.remaining.map_or(0, |money| money.minor));
                    let paid = *paid;
                    if paid.cancelled == 0 && released.closed_as.is_some() {
                        assert_eq!(
                            paid.taxes + paid.tax_back,
                            paid.tax,
                            "all taxes of what was bought are collected"
                        );
                    }
                    self.check_end(released.order, paid, released.closed_as);
                }
                Event::EscrowRefunded(refunded) => {
                    let paid = self.paid.get_mut(&refunded.order).unwrap();
                    paid.refunded += refunded.transfer.map_or(0, |transfer| transfer.amount.minor);
                    let due = paid.cancelled + paid.given_back;
                    assert_eq!(paid.refunded, due, "what was cancelled or given back is paid back");
                    assert_eq!(paid.remaining(), refunded.remaining.map_or(0, |money| money.minor));
                    let paid = *paid;
                    if refunded.closed_as == Some(OrderState::Cancelled) {
                        self.discounted.remove(&refunded.order);
                    }
                    self.check_end(refunded.order, paid, refunded.closed_as);
                }
                _ => {}
            }
        }
        assert!(groups.len() <= 1, "the orders of a command are one group");
        assert!(groups.iter().all(|group| self.groups.insert(*group)), "and no other command's");
        if !charged.is_empty() {
            let total = match &self.signed.last().unwrap().command {
                Command::PlaceOrder(command) => command.total,
                Command::MigrateCart(command) => command.total,
                other => panic!("{} charges nobody", other.name()),
            };
            let within =
                charged.iter().all(|(currency, minor)| *currency == total.currency && *minor <= total.minor);
            assert!(within, "{charged:?} of {total}");
        }
    }
}

fn gone((place, coupon): Going) -> (Option<Delivery>, Option<CouponCode>) {
    (place.and_then(|n| to(REGIONS[n])), coupon.map(|n| COUPONS[n].parse().unwrap()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn every_promise_holds_after_every_commit(
        sellers_accept in any::<bool>(), steps in prop::collection::vec(step(), 1..160),
    ) {
        let mut run = Run::new(sellers_accept);
        for step in steps {
            run.step(step);
        }
        let folded = fold(&run.world.log);
        prop_assert_eq!(&folded, &run.world.market);
        let bytes = snapshot(&folded);
        prop_assert_eq!(&bytes, &snapshot(&run.world.market));
        let (restored, _): (Market, _) =
            bincode::serde::decode_from_slice(&bytes, bincode::config::standard()).unwrap();
        prop_assert_eq!(&restored, &folded);
        let asked: BTreeMap<_, _> = folded.payments.effects().into_iter().collect();
        prop_assert_eq!(asked, asked_for(&run.world.log));
        // Left alone, every order comes to its end.
        run.world.after(100 * DAY_MS);
        run.let_due_deadlines_pass();
        run.world.after(100 * DAY_MS);
        run.let_due_deadlines_pass();
        prop_assert_eq!(run.world.market.orders.open_count(), 0);
        prop_assert_eq!(run.world.market.next_deadline(), None);
    }
}

/// The steps above must reach what they are to prove: without this, a world that refuses everything would pass.
#[test]
fn the_random_steps_reach_every_event_there_is() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let mut seen = BTreeSet::new();
    for n in 0..150 {
        let mut run = Run::new(n % 3 == 0);
        let steps = prop::collection::vec(step(), 200).new_tree(&mut runner).unwrap().current();
        for step in steps {
            run.step(step);
        }
        seen.extend(run.world.types());
    }
    let all: BTreeSet<_> = Event::TYPES.iter().copied().collect();
    assert_eq!(all.difference(&seen).collect::<Vec<_>>(), Vec::<&&str>::new());
}
