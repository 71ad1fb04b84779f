//! What each random step is in a market at work: who asks for what.

use std::collections::BTreeSet;

use commands::command::{
    CancelOrder, ClearCart, ConfirmDelivery, CreatePromotion, Delivery, DescribeListing, FreezeEscrow,
    LineQuantity, MigrateCart, PayoutOutcome, PlaceOrder, RemoveFromCart, ReportPayment, ReportedOutcome,
    RequestPayout, SetSynonyms, SetTax, ShipOrder, UpdateListing,
};
use commands::order::{Line, Shipment, ShipmentState, Stage};
use commands::{Command, Verified};
use events::Bps;
use events::cart::MergePolicy;
use events::escrow::rule::{Condition, ReleaseRule};
use events::ids::{OrderId, ReservationId};
use events::ledger::LedgerAccount;
use events::order::hold::HoldReason;
use events::payment::{ActionKind, Requested};
use events::promotion::{Benefit, CouponCode, PaidBy};
use events::stock::AdjustmentReason;

use super::steps::*;
use super::{Run, signs};
use crate::support::*;

impl Run {
    pub(crate) fn step(&mut self, step: Step) {
        match step {
            Step::Fund(provider, buyer, minor, in_euro, payment) => {
                let amount = if in_euro { eur(minor) } else { usd(minor) };
                let reference = format!("payment {payment}");
                self.ask(PROVIDERS[provider], fund_as(&reference, BUYERS[buyer], amount));
            }
            Step::Receive(thing, n, place) => self.ask(seller_of(thing), there(place, receive(thing, n))),
            Step::Move(thing, n, from, to) => {
                let name = |place: Place| place.map_or("", |n| LOCATIONS[n]);
                self.ask(seller_of(thing), move_stock(thing, n, name(from), name(to)));
            }
            Step::Update(thing, price, n) => {
                let price = if thing == 3 { eur(price) } else { usd(price) };
                let asked = UpdateListing {
                    limits: Some(limits((n == 2).then_some(2), (n == 3).then_some(3))),
                    price: Some(price),
                    restricted: Some(n == 4),
                    final_sale: Some(n == 5),
                    release: (n > 8).then(|| {
                        let age = Condition::MinAge { ms: i64::from(n) * 40_000 };
                        let word = if n == 9 {
                            Condition::OperatorRelease
                        } else {
                            Condition::AllOf(vec![signs(1), Condition::RiskClear])
                        };
                        let word = Condition::AnyOf(vec![word, age.clone()]);
                        ReleaseRule::new(if n < 11 { word } else { age }).unwrap()
                    }),
                    ..update(thing)
                };
                self.ask(seller_of(thing), asked.into());
                let words = DescribeListing {
                    attributes: None,
                    category: None,
                    description: Some(text("as good as new")),
                    listing: listing(thing),
                    tags: None,
                };
                self.ask(seller_of(thing), words.into());
                let same =
                    BTreeSet::from(["good", if n % 2 == 0 { "fine" } else { "well" }].map(str::to_owned));
                self.ask(OPERATOR, SetSynonyms { groups: vec![same.try_into().unwrap()] }.into());
            }
            Step::Stop(kind, thing, stops) => self.stop(kind, thing, stops),
            Step::Device(step) => self.tend(step),
            Step::Withdraw(thing) => self.ask(seller_of(thing), withdraw(thing)),
            Step::Variant(n, of) => {
                let size = n.to_string();
                self.ask(seller_of(of), create_variant(10 + n, of, &[("size", &size)]));
            }
            Step::Adjust(thing, delta, reason, place) => {
                self.ask(seller_of(thing), there(place, adjust(thing, delta, reason)));
            }
            Step::Lose(thing) => {
                let places = std::iter::once(None).chain((0..LOCATIONS.len()).map(Some));
                for place in places {
                    let stock = &self.world.market.listings.get(listing(thing)).unwrap().stock;
                    let location = place.map(|n| LOCATIONS[n].parse().unwrap());
                    let delta = -i64::try_from(stock.at(location.as_ref()).on_hand).unwrap();
                    if delta < 0 {
                        let lost = adjust(thing, delta, AdjustmentReason::Lost);
                        self.ask(seller_of(thing), there(place, lost));
                    }
                }
            }
            Step::Safety(thing, n, place) => self.ask(seller_of(thing), there(place, set_safety(thing, n))),
            Step::Backorder(thing, n) => self.ask(seller_of(thing), set_backorder_limit(thing, n)),
            Step::Expect(thing, n, days, place) => {
                // One time a day, so that some are named again.
                let due = START.plus_ms(days * DAY_MS);
                self.ask(seller_of(thing), there(place, expect(thing, n, due)));
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
            Step::Name(..) | Step::Share(..) | Step::Fill(..) => self.team_up(step),
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
            Step::PlaceBy(buyer, provider, lines, wallet, going, capture) => {
                let method = capturing(PROVIDERS[provider], capture, wallet.map(usd));
                let Command::PlaceOrder(command) = place_with(method, &lines, usd(MOST)) else {
                    unreachable!()
                };
                let (delivery, coupon) = gone(going);
                self.ask(BUYERS[buyer], PlaceOrder { coupon, delivery, ..command }.into());
            }
            Step::MigrateBy(buyer, wallet, going) => {
                let buyer = BUYERS[buyer];
                let owner = self.world.market.accounts.get(buyer.account()).unwrap();
                if let Some(cart) = owner.cart.as_ref().map(|cart| cart.id) {
                    let method = by_provider(PROVIDER, wallet.map(usd));
                    let (delivery, coupon) = gone(going);
                    let command = MigrateCart::new(cart, method, usd(MOST));
                    self.ask(buyer, MigrateCart { coupon, delivery, ..command }.into());
                }
            }
            Step::Pay(nth) => {
                let (order, (buyer, seller)) = self.unpaid_order(nth);
                self.ask(if nth % 9 == 8 { seller } else { buyer }, pay(order));
            }
            Step::SetUp(nth) => {
                let (order, (buyer, seller)) = self.order(nth);
                let costs = self.world.market.orders.get(order).map_or(usd(1), |open| open.total);
                let amount = if nth % 9 == 8 { usd(1) } else { costs };
                self.ask(buyer, set_up(order, buyer, seller, amount));
            }
            Step::PayOut(seller, provider, part) => self.pay_out(seller, provider, part),
            Step::ReportPayout(nth, goes_well, by_other) => self.report_payout(nth, goes_well, by_other),
            Step::Tax(..) | Step::Rate(..) | Step::RemoveRate(..) | Step::Promotion(..) => self.price(step),
            Step::EndPromotion(nth, by_operator) => {
                let nth = self.world.market.promotions.iter().nth(nth % 4);
                if let Some((id, seller)) =
                    nth.map(|(id, known)| (*id, known.seller.map_or(SELLER, Actor::of)))
                {
                    self.ask(if by_operator { OPERATOR } else { seller }, end(id));
                }
            }
            Step::Verify(buyer, tier) => self.ask(OPERATOR, verify(BUYERS[buyer], tier)),
            Step::Answer(nth, who, accepts) => {
                let (order, (_, seller)) = self.order(nth);
                let command = if accepts { accept(order) } else { decline(order) };
                self.ask(who.map_or(seller, |n| EVERYBODY[n]), command);
            }
            Step::Ready(nth, who) => {
                let (order, (_, seller)) = self.unpaid_order(nth);
                self.ask(who.map_or(seller, |n| EVERYBODY[n]), ready(order));
            }
            Step::Ship(nth, who, part, place) => {
                let (order, (_, seller)) = self.order(nth);
                let fitting = place.filter(|_| nth % 2 == 0).and_then(|n| self.there_to_ship(n));
                let (order, seller, lines) = match fitting {
                    Some((order, seller, lines)) => (order, seller, Some(lines)),
                    None => (order, seller, self.lines(order, part)),
                };
                let command = ShipOrder { carrier: None, from: None, lines, order, tracking: None };
                self.ask(who.map_or(seller, |n| EVERYBODY[n]), there(place, command.into()));
            }
            Step::Confirm(nth, who, before) => {
                let (order, shipment) = match before {
                    None => (self.order(nth).0, None),
                    Some(before) => {
                        let (order, n, _) = self.shipment(nth, before, unpaid);
                        (order, Some(shipment(n)))
                    }
                };
                let receiver = if nth % 2 == 0 { self.buyer(order) } else { PROVIDER };
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
            Step::Change(nth, who, act) => self.change_orders(nth, who, act),
            Step::Hold(..)
            | Step::FreezeMoney(..)
            | Step::UnfreezeMoney(..)
            | Step::Release(..)
            | Step::Sign(..)
            | Step::ClearRisk(..)
            | Step::Reconcile(..)
            | Step::Resolve(..)
            | Step::Settle(..) => self.doubt(step),
            Step::Return(step) => self.send_back(&step),
            Step::Bank(step) => self.bank(&step),
            Step::Risk(step) => self.risk(step),
            Step::Tell(step) => self.tell(step),
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
            Step::Allow(..) | Step::Reserve(..) | Step::Extend(..) | Step::ReleaseUnits(..) => {
                self.set_aside(step);
            }
            Step::Exchange(buyer, provider, minor, into_euro, reference) => {
                self.exchange(BUYERS[buyer], PROVIDERS[provider], minor, into_euro, reference);
            }
            Step::Wait(ms) => {
                self.world.after(ms);
                self.let_due_deadlines_pass();
            }
            Step::Retry(nth) => {
                if let Some(first) = self.earlier(nth) {
                    let mut again = self.world.sign(Actor::of(first.stamp.account), first.command);
                    again.stamp.command = first.stamp.command;
                    (again.claim, again.exchange) = (first.claim, first.exchange);
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

    /// Finds an order of which a unit can leave from a location where no order waits for it.
    fn there_to_ship(&self, place: usize) -> Option<(OrderId, Actor, Vec<LineQuantity>)> {
        let location = LOCATIONS[place].parse().unwrap();
        let market = &self.world.market;
        market.orders.iter().find_map(|(id, order)| {
            let is_free = |line: &&Line| {
                let there = market.listings.get(line.listing).unwrap().stock.at(Some(&location));
                line.left() > 0 && there.unreserved() > 0
            };
            let line = order.lines.iter().find(is_free).filter(|_| order.stage == Stage::Confirmed)?;
            let lines = vec![LineQuantity { listing: line.listing, quantity: units(1) }];
            Some((*id, Actor::of(order.seller), lines))
        })
    }

    /// Gives an order with its buyer and seller, mostly one that a provider is to pay.
    fn unpaid_order(&self, nth: usize) -> (OrderId, (Actor, Actor)) {
        let mut unpaid = self.world.market.orders.iter().filter(|(_, order)| order.is_unpaid());
        match unpaid.next().filter(|_| !nth.is_multiple_of(4)) {
            Some((id, order)) => (*id, (Actor::of(order.buyer), Actor::of(order.seller))),
            None => self.order(nth),
        }
    }

    fn buyer(&self, order: OrderId) -> Actor {
        self.world.market.orders.get(order).map_or(BUYER, |open| Actor::of(open.buyer))
    }

    /// Lets somebody set units aside, or do something with those that are.
    fn set_aside(&mut self, step: Step) {
        let nth_open = |run: &Run, nth: usize| {
            let open: Vec<_> = run.world.market.reservations.iter().collect();
            let found = open.get(nth % (open.len() + 1)).map(|(id, known)| (**id, Actor::of(known.account)));
            found.unwrap_or((ReservationId::derive(BUYER.account(), cid(START, 0)), BUYER))
        };
        match step {
            Step::Allow(thing, most, ms) => {
                self.ask(seller_of(thing), allow_reservations_for(thing, most, ms));
            }
            Step::Reserve(buyer, thing, n) => self.ask(BUYERS[buyer], reserve(thing, n)),
            Step::Extend(nth, by_other) => {
                let (reservation, buyer) = nth_open(self, nth);
                self.ask(if by_other { OTHER_BUYER } else { buyer }, extend(reservation));
            }
            Step::ReleaseUnits(nth, who) => {
                let (reservation, buyer) = nth_open(self, nth);
                let asker = [buyer, buyer, OPERATOR, OTHER_BUYER][usize::from(who)];
                self.ask(asker, release_reservation(reservation));
            }
            other => panic!("{other:?} sets nothing aside"),
        }
    }

    fn doubt(&mut self, step: Step) {
        match step {
            Step::Hold(nth, operator, holds) => {
                let held = self.world.market.orders.iter().find(|(_, order)| order.hold.is_some());
                let order = held.filter(|_| !holds).map_or(self.order(nth).0, |(order, _)| *order);
                let command = if holds { hold(order, HoldReason::RiskReview) } else { unhold(order) };
                self.ask(OPERATORS[operator], command);
            }
            Step::FreezeMoney(nth, who, before, part, reason) => {
                let (order, n, _) = self.shipment(nth, before, unpaid);
                let asker = if nth % 3 == 0 { OPERATOR } else { self.buyer(order) };
                let amount = (part > 0).then_some(usd(part));
                let shipment = shipment(n);
                let command = FreezeEscrow { amount, note: None, order, reason, shipment };
                self.ask(who.map_or(asker, |n| EVERYBODY[n]), command.into());
            }
            Step::UnfreezeMoney(nth, is_buyer, before) => {
                let (order, shipment, _) = self.shipment(nth, before, frozen);
                self.ask(
                    if is_buyer { self.buyer(order) } else { OPERATOR },
                    unfreeze_money(order, shipment),
                );
            }
            Step::Release(nth, before) => {
                let inspected = |shipment: &Shipment| {
                    matches!(shipment.state, ShipmentState::Inspection { .. })
                        .then_some(shipment.amount_minor)
                };
                let (order, n, _) = self.shipment(nth, before, inspected);
                self.ask(OPERATOR, release(order, n));
            }
            Step::Sign(nth, before, number) => {
                let (order, n, _) = self.shipment(nth, before, unpaid);
                let signer = if nth % 16 == 3 { OTHER_BUYER } else { self.buyer(order) };
                self.ask(signer, sign_milestone(order, n, number));
            }
            Step::Reconcile(operator, provider, file, breaks) => {
                self.ask(OPERATORS[operator], compared(PROVIDERS[provider], file, &breaks));
            }
            Step::Resolve(operator, nth) => {
                let open: Vec<u64> = self.world.market.breaks.open().collect();
                let number = open.get(nth % (open.len() + 1)).copied().unwrap_or(404);
                self.ask(OPERATORS[operator], resolve_break(number));
            }
            Step::ClearRisk(nth, operator) => self.ask(OPERATORS[operator], clear_risk(self.order(nth).0)),
            Step::Settle(nth, operator, before, percent) => {
                let (order, shipment, frozen) = self.shipment(nth, before, frozen);
                let to_seller = i64::try_from(i128::from(frozen) * i128::from(percent) / 100).unwrap();
                let (to_seller, to_buyer) = (usd(to_seller), usd(frozen - to_seller));
                self.ask(OPERATORS[operator], settle(order, shipment, to_seller, to_buyer));
            }
            other => panic!("{other:?} doubts nothing"),
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
                // The platform pays some of them.
                match lasts_ms % 5 {
                    0 => self.ask(OPERATOR, CreatePromotion { paid_by: PaidBy::Platform, ..wish }.into()),
                    _ => self.ask(seller_of(thing), wish.into()),
                }
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
            (_, _) => ReportedOutcome::Failed { code: text("declined"), retryable: !nth.is_multiple_of(3) },
        };
        let provider = if nth % 8 == 7 { PROVIDERS[nth / 8 % 2] } else { Actor::of(payment.provider) };
        self.ask(provider, ReportPayment { outcome, payment: payment.payment }.into());
    }

    /// Lets a seller ask for what he has earned, or a part.
    fn pay_out(&mut self, seller: usize, provider: usize, part: i64) {
        let (seller, provider) = ([SELLER, OTHER_SELLER][seller], PROVIDERS[provider]);
        let earned = LedgerAccount::SellerAvailable(seller.account());
        let all = self.world.market.ledger.balance(earned, usd(0).currency);
        let amount = if part == 0 { all } else { usd(part) };
        self.ask(seller, RequestPayout { amount, to: method(provider, "acct_1") }.into());
    }

    fn report_payout(&mut self, nth: usize, goes_well: bool, by_other: bool) {
        let Some((payout, provider)) = self.payouts.iter().rev().nth(nth % 3).copied() else { return };
        let outcome = if goes_well {
            PayoutOutcome::Paid { reference: text("po") }
        } else {
            PayoutOutcome::Failed { code: text("closed") }
        };
        let reporter = if by_other { PROVIDERS[0] } else { Actor::of(provider) };
        self.ask(reporter, report_payout(payout, outcome));
    }

    pub(crate) fn exchange(
        &mut self,
        buyer: Actor,
        provider: Actor,
        minor: i64,
        into_euro: bool,
        reference: u8,
    ) {
        // A reference tells the rate; with some of them something does not fit.
        let worth = (minor / 3).saturating_mul(i64::from(reference % 5)).clamp(-MOST, MOST);
        let amounts = if into_euro { [usd(minor), eur(worth)] } else { [eur(minor), usd(worth)] };
        let mut quote = offer(provider, buyer, amounts, &format!("offer {reference}"));
        quote.exp = self.world.now.plus_ms(if reference == 9 { -1 } else { 60 * SECOND_MS });
        if reference == 11 {
            quote.account = OTHER_BUYER.account();
        }
        let command = exchange(amounts[0], if reference == 13 { usd(MOST) } else { amounts[1] });
        let signer = if reference == 7 { PROVIDERS[0] } else { provider };
        let exchange = Some(signed_by(signer, quote));
        let signed = Verified { exchange, ..self.world.sign(buyer, command) };
        self.send(signed);
    }

    /// Lets somebody name or share his cart, or fill another's.
    fn team_up(&mut self, step: Step) {
        match step {
            Step::Name(buyer, name) => {
                let name = name.map(|n| format!("cart {n}"));
                self.ask(BUYERS[buyer], name_cart(name.as_deref()));
            }
            Step::Share(buyer, with, shares) => {
                let buyer = BUYERS[buyer];
                let cart = self.world.market.accounts.get(buyer.account()).and_then(|of| of.cart.as_ref());
                let Some(cart) = cart else { return };
                // Mostly from who shares it, if anybody does.
                let member = cart.team.as_ref().and_then(|team| team.members.iter().next().copied());
                let member = member.filter(|_| !shares && with % 4 > 0).map(Actor::of);
                let (cart, member) = (cart.id, member.unwrap_or(SHOPPERS[with]));
                match (shares, with % 2) {
                    (true, _) => self.ask(buyer, share(cart, member)),
                    (false, 0) => self.ask(buyer, unshare(cart, member)),
                    (false, _) => self.ask(member, leave(buyer)),
                }
            }
            Step::Fill(buyer, owner, thing, n) => {
                let (buyer, owner) = (BUYERS[buyer], BUYERS[owner]);
                let of_owner = Some(owner.account());
                let command = match n {
                    0 => ClearCart { owner: of_owner }.into(),
                    1 => RemoveFromCart { listing: listing(thing), owner: of_owner }.into(),
                    n => add_to(owner, thing, n),
                };
                self.ask(buyer, command);
            }
            other => panic!("{other:?} is about nobody else's cart"),
        }
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
}

/// Says where something happens to stock, if that is said.
fn there(place: Place, command: Command) -> Command {
    match place {
        Some(n) => at(LOCATIONS[n], command),
        None => command,
    }
}

fn frozen(shipment: &Shipment) -> Option<i64> {
    shipment.frozen().map(|frozen| frozen.amount_minor)
}

fn unpaid(shipment: &Shipment) -> Option<i64> {
    (shipment.state != ShipmentState::Accepted).then_some(shipment.amount_minor)
}

fn gone((place, coupon): Going) -> (Option<Delivery>, Option<CouponCode>) {
    (place.and_then(|n| to(REGIONS[n])), coupon.map(|n| COUPONS[n].parse().unwrap()))
}
