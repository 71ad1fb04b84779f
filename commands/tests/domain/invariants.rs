//! Whatever is asked in whatever order, the market's promises hold after every commit.

pub(crate) mod acts;
pub(crate) mod banks;
pub(crate) mod changes;
pub(crate) mod checks;
pub(crate) mod devices;
pub(crate) mod paid;
pub(crate) mod risking;
pub(crate) mod sending_back;
pub(crate) mod steps;
pub(crate) mod telling;

use std::collections::{BTreeMap, BTreeSet};

use self::banks::Banks;
use self::checks::{
    asked_for, check_carts, check_deadlines, check_locations, check_money, check_numbers, check_orders,
    check_payments, check_platform, check_price, check_promotions, check_reservations, check_stock, fold,
    snapshot,
};
use self::paid::{Paid, cost, subsidy_of};
use self::sending_back::CameBack;
use self::steps::*;
use crate::support::*;
use commands::command::LineQuantity;
use commands::order::Shipment;
use commands::{Command, Decision, Market, Verified};
use events::account::Tier;
use events::escrow::Settled;
use events::escrow::rule::{Condition, ReleaseRule, ReleaseTerms};
use events::ids::{
    AccountId, CartId, CommandId, ListingId, OrderGroupId, OrderId, PaymentId, PayoutId, PromotionId,
    RefundId, ReservationId,
};
use events::ledger::LedgerAccount;
use events::market::{Deadlines, EscrowTerms, FeePolicy, PurchaseLimit, ReserveTerms, ReturnTerms};
use events::metadata::Cause;
use events::money::Bps;
use events::order::ShipmentNumber;
use events::order::change::ChangeProposed;
use events::payment::{Requested, VoidReason};
use events::rejection::OrderState;
use events::returns::ReturnNumber;
use events::{Event, Money, Recorded, Timestamp};
use proptest::prelude::*;

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
    payouts: Vec<(PayoutId, AccountId)>,
    /// What was paid out and has not come back.
    paid_out: BTreeMap<PayoutId, Money>,
    /// What was captured of each payment, and what of that has gone back for good.
    captured: BTreeMap<PaymentId, (Money, i64)>,
    /// What was last held for each order that is charged when it leaves, and until when.
    held: BTreeMap<OrderId, (PaymentId, Timestamp)>,
    /// Orders that have promotions, open ones and those of which something was shipped.
    discounted: BTreeMap<OrderId, BTreeSet<PromotionId>>,
    /// The taxes in what is frozen.
    frozen_taxes: BTreeMap<(OrderId, ShipmentNumber), i64>,
    /// What the platform paid of what is frozen, and that itself.
    frozen_subsidies: BTreeMap<(OrderId, ShipmentNumber), (i64, i64)>,
    /// What came back of orders, and the returns that are open.
    returned: BTreeMap<OrderId, CameBack>,
    asked_back: BTreeMap<(OrderId, ReturnNumber), events::returns::Requested>,
    merged: BTreeSet<CartId>,
    /// Carts with whom they are shared.
    members: BTreeSet<(CartId, AccountId)>,
    /// What is left of each reservation.
    reservations: BTreeMap<ReservationId, u32>,
    /// The change of each order that was proposed last.
    proposed: BTreeMap<OrderId, ChangeProposed>,
    banks: Banks,
    checked: usize,
}

impl Run {
    /// Opens a market in which sellers have to accept orders, or not, with the usual rule of release or with one of a least
    /// age, of words and a delay, which takes things back or not.
    fn new(sellers_accept: bool, is_usual: bool, takes_back: bool) -> Run {
        let limit = |tier, minor| PurchaseLimit {
            currency: usd(0).currency,
            per_day_minor: minor,
            per_order_minor: minor,
            tier: Tier::new(tier).unwrap(),
        };
        let kept = ReserveTerms::new(Bps::new(1_500).unwrap(), 2 * DAY_MS).unwrap();
        let escrow = EscrowTerms::new(300, 60 * DAY_MS).unwrap().keeping(sellers_accept.then_some(kept));
        let returns = ReturnTerms { gives_fee_back: is_usual, ..ReturnTerms::usual(20 * DAY_MS) };
        let escrow = escrow.returning(takes_back.then_some(returns));
        let steps = Condition::AllOf(vec![signs(1), signs(2), Condition::RiskClear]);
        let any =
            vec![Condition::BuyerConfirmed, Condition::OperatorRelease, steps, Condition::InspectionElapsed];
        let late = Condition::AllOf(vec![Condition::AnyOf(any), Condition::MinAge { ms: DAY_MS }]);
        let late = ReleaseTerms::new(DAY_MS / 24, ReleaseRule::new(late).unwrap()).unwrap();
        let mut world = World::on(Terms {
            deadlines: if sellers_accept { accepting() } else { Deadlines::default() },
            escrow: Some(if is_usual { escrow } else { escrow.releasing(late) }),
            purchase_limits: vec![limit(0, MOST / 2), limit(1, MOST)],
            // A fee whose share shrinks when an order grows.
            fee: if is_usual { FeePolicy::default() } else { FeePolicy::new(100, 150, 200, None).unwrap() },
        });
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
        let (shortfalls, payouts) = (BTreeMap::new(), Vec::new());
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
            payouts,
            paid_out: BTreeMap::new(),
            captured,
            held: BTreeMap::new(),
            discounted: BTreeMap::new(),
            frozen_taxes: BTreeMap::new(),
            frozen_subsidies: BTreeMap::new(),
            returned: BTreeMap::new(),
            asked_back: BTreeMap::new(),
            merged,
            members: BTreeSet::new(),
            reservations: BTreeMap::new(),
            proposed: BTreeMap::new(),
            banks: Banks::default(),
            checked: 0,
        };
        run.check();
        // Buyers have money, and a seller has earned something: what random steps seldom come to.
        for buyer in BUYERS {
            run.ask(PROVIDER, fund_as(&format!("first of {buyer:?}"), buyer, usd(9_500)));
        }
        run.ask(BUYER, place(&[(0, 1)], usd(500)));
        let (order, _) = run.orders[0];
        run.ask(SELLER, accept(order));
        run.ask(SELLER, ship(order));
        run.ask(BUYER, confirm(order));
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
        let last: Vec<_> = self.orders.iter().rev().take(5).collect();
        let nth = nth / 2 % 16;
        if nth == 15 { unknown } else { *last[nth % last.len()] }
    }

    /// Gives an order with a shipment's number, counted from 1, and some amount of it: mostly of one that has such an amount.
    fn shipment(&self, nth: usize, before: u8, amount: fn(&Shipment) -> Option<i64>) -> (OrderId, u32, i64) {
        let fitting = self.world.market.orders.iter().flat_map(|(id, order)| {
            let shipments = (1u32..).zip(&order.shipments);
            shipments.filter_map(|(n, shipment)| Some((*id, n, amount(shipment)?)))
        });
        let fitting: Vec<_> = fitting.collect();
        let other = (self.order(nth).0, u32::from(before) + 1, 100);
        if nth.is_multiple_of(8) {
            other
        } else {
            fitting.get(nth % fitting.len().max(1)).copied().unwrap_or(other)
        }
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
        check_platform(&self.world.market, self.paid.values());
        check_orders(&self.world.market, &self.paid);
        self.check_banks();
        check_stock(&self.world.market, &self.shortfalls);
        check_locations(&self.world.market);
        check_reservations(&self.world.market, &self.reservations);
        check_promotions(&self.world.market, &self.discounted);
        check_deadlines(&self.world.market);
        self.check_returns();
        check_carts(&self.world.market);
        check_payments(&self.world.market);
    }

    /// Checks what an event about an order's money says of its end.
    fn check_end(&self, order: OrderId, paid: Paid, closed_as: Option<OrderState>) {
        let Some(state) = closed_as else { return };
        assert_eq!(paid.remaining(), 0, "a closed order's accounts are zero");
        assert_eq!(paid.shipped + paid.cancelled, paid.total.minor, "all units cost the total");
        for account in [LedgerAccount::Escrow(order), LedgerAccount::Dispute(order)] {
            assert_eq!(self.world.market.ledger.balance(account, paid.total.currency).minor, 0);
        }
        match state {
            OrderState::Cancelled => assert_eq!(paid.shipped, 0),
            OrderState::Refunded => {
                let back = self.returned.get(&order).map_or(0, |back| back.all);
                let kept = paid.released + paid.fees + paid.taxes - back;
                assert_eq!((kept, paid.refunded + paid.charged + back), (0, paid.held));
            }
            other => assert_eq!(other, OrderState::Completed),
        }
        if paid.cancelled == 0 {
            assert_eq!(paid.taxes + paid.tax_back, paid.tax, "all taxes of what was bought are collected");
        }
        assert!(self.world.market.orders.get(order).is_none(), "what is closed is not open");
    }

    /// Counts what was paid out of a dispute.
    fn settled(&mut self, settled: &Settled) {
        let paid = self.paid.get_mut(&settled.order).unwrap();
        paid.tax_back += self.frozen_taxes[&(settled.order, settled.shipment)];
        let (mut back, mut to_platform) = (0, 0);
        for transfer in &settled.transfers {
            assert_eq!(transfer.from, LedgerAccount::Dispute(settled.order));
            let minor = transfer.amount.minor;
            paid.frozen -= minor;
            match transfer.to {
                LedgerAccount::PlatformFees => paid.fees += minor,
                LedgerAccount::PlatformTax => {
                    paid.taxes += minor;
                    paid.tax_back -= minor;
                }
                to if to.seller().is_some() => paid.released += minor,
                LedgerAccount::PlatformPromotions => {
                    paid.return_subsidy(minor);
                    paid.settled += minor;
                    back += minor;
                    to_platform += minor;
                }
                _ => {
                    paid.refunded += minor;
                    paid.settled += minor;
                    back += minor;
                }
            }
        }
        let (share, frozen) = self.frozen_subsidies[&(settled.order, settled.shipment)];
        let due = (2 * i128::from(share) * i128::from(back) + i128::from(frozen)) / (2 * i128::from(frozen));
        assert_eq!(i128::from(to_platform), due, "the platform has its share of what goes back");
        paid.returning += to_platform;
        paid.check_subsidy();
        paid.check_fees();
        let paid = *paid;
        self.check_end(settled.order, paid, settled.closed_as);
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
            self.check_free(&recorded.event);
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
                Event::PaymentRequested(requested) => {
                    if let Command::PlaceOrder(_) | Command::MigrateCart(_) =
                        &self.signed.last().unwrap().command
                    {
                        *charged.entry(requested.amount.currency).or_insert(0) += requested.amount.minor;
                    }
                    self.payments.push(requested.clone());
                }
                Event::PayoutRequested(event) => self.payouts.push((event.payout, event.provider)),
                Event::PayoutPaid(event) => {
                    let earlier = self.paid_out.insert(event.payout, event.transfer.amount);
                    assert_eq!(earlier, None, "a payout is paid once");
                }
                Event::PayoutReturned(event) => {
                    let paid = self.paid_out.remove(&event.payout);
                    assert_eq!(paid, Some(event.transfer.amount), "what was paid comes back once");
                }
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
                    self.card_gets(event, &commit);
                }
                Event::PaymentRefunded(event) => {
                    let (captured, refunded) = self.captured.get_mut(&event.payment).unwrap();
                    *refunded += event.transfer.amount.minor;
                    assert!(*refunded <= captured.minor, "no more goes back than came in");
                }
                Event::WalletExchanged(event) => {
                    let [taken, given] = event.transfers;
                    let offer = (taken.to, format!("offer: {}", event.reference));
                    assert!(self.credited.insert(offer), "an offer is taken once");
                    assert_eq!((taken.from, taken.to), (given.to, given.from), "it is changed where it is");
                    assert_ne!(taken.amount.currency, given.amount.currency);
                    let worth = i128::from(given.amount.minor) * i128::from(event.rate.for_minor);
                    let paid = i128::from(taken.amount.minor) * i128::from(event.rate.gives_minor);
                    assert!(2 * (worth - paid).abs() <= i128::from(event.rate.for_minor), "{event:?}");
                }
                Event::CartItemAdded(added) => {
                    self.check_filler(added.cart, added.account, added.by, &commit)
                }
                Event::CartItemRemoved(removed) => {
                    self.check_filler(removed.cart, removed.account, removed.by, &commit)
                }
                Event::CartCleared(cleared) => {
                    self.check_filler(cleared.cart, cleared.account, cleared.by, &commit)
                }
                Event::CartShared(shared) => {
                    self.members.insert((shared.cart, shared.with));
                }
                Event::CartUnshared(unshared) => {
                    self.check_filler(unshared.cart, unshared.account, unshared.by, &commit);
                    assert!(self.members.remove(&(unshared.cart, unshared.with)), "it was shared");
                }
                Event::CartMerged(merged) => {
                    assert!(self.merged.insert(merged.source.cart), "a cart is merged once");
                }
                Event::OrderPlaced(placed) => {
                    check_price(placed);
                    self.discounted.insert(placed.order, placed.promotions());
                    match placed.replaces {
                        Some(replaces) => self.replaced(placed, replaces, &commit),
                        None => _ = groups.insert(placed.group.unwrap()),
                    }
                    let number = 1001 + u64::try_from(self.orders.len()).unwrap();
                    assert_eq!(placed.number.unwrap().get(), number, "orders are counted without a gap");
                    self.awaiting.extend(placed.accept_by.map(|_| placed.order));
                    let parties = (Actor::of(placed.buyer), Actor::of(placed.seller));
                    self.orders.push((placed.order, parties));
                    let (total, fee) = (placed.total, placed.fee.amount.minor);
                    let tax = placed.tax_minor();
                    let by_provider = placed.payment.as_ref().map_or(0, |due| due.amount.minor);
                    let (uncharged, is_paid) = (0, placed.payment.is_none());
                    let (subsidy, subsidized, returning, returned) = (placed.subsidy_minor(), 0, 0, 0);
                    let (held, released, fees, taxes, refunded) = (0, 0, 0, 0, 0);
                    let (frozen, is_held, settled) = (0, false, 0);
                    let (shipped, cancelled, given_back, tax_back) = (0, 0, 0, 0);
                    let paid = Paid {
                        total,
                        tax,
                        subsidy,
                        subsidized,
                        returning,
                        returned,
                        fee,
                        fee_due: 0,
                        to_card: 0,
                        went: 0,
                        by_provider,
                        uncharged,
                        held,
                        released,
                        fees,
                        taxes,
                        refunded,
                        frozen,
                        is_paid,
                        is_held,
                        settled,
                        shipped,
                        cancelled,
                        given_back,
                        tax_back,
                        is_returned: false,
                        back_to_platform: 0,
                        charged: 0,
                        pending: [0; 2],
                        lost_left: 0,
                    };
                    self.paid.insert(placed.order, paid);
                }
                Event::ChangeProposed(event) => self.proposed(event),
                Event::OrderChanged(event) => self.changed(event, &commit),
                Event::EscrowSubsidized(event) => {
                    let paid = self.paid.get_mut(&event.order).unwrap();
                    assert_eq!(event.transfer.amount, Money::new(paid.subsidy, paid.total.currency));
                    assert_eq!(paid.held, 0, "the platform pays first, and once");
                    paid.held += paid.subsidy;
                    paid.subsidized += paid.subsidy;
                }
                Event::SubsidyReturned(event) => {
                    let paid = self.paid.get_mut(&event.order).unwrap();
                    paid.return_subsidy(event.transfer.amount.minor);
                }
                Event::EscrowHeld(held) => {
                    let amount = held.transfer.amount;
                    *charged.entry(amount.currency).or_insert(0) += amount.minor;
                    let paid = self.paid.get_mut(&held.order).unwrap();
                    assert_eq!(amount.currency, paid.total.currency);
                    paid.held += amount.minor;
                    let waits = paid.by_provider > 0 && paid.held == paid.total.minor - paid.by_provider;
                    let is_whole = paid.held == paid.total.minor - paid.uncharged;
                    assert!(waits || is_whole, "an order is paid whole: {paid:?}");
                }
                Event::OrderAuthorized(event) => {
                    self.awaiting.extend(event.accept_by.map(|_| event.order));
                    if let Some((before, capture_by)) =
                        self.held.insert(event.order, (event.payment, event.capture_by))
                    {
                        let is_let_go = commit.events().iter().any(|recorded| {
                            matches!(&recorded.event, Event::PaymentVoidRequested(void)
                                if void.payment == before && void.because == VoidReason::Replaced)
                        });
                        assert!(is_let_go, "what is held in place of another lets it go");
                        assert!(capture_by < event.capture_by, "what is held anew is held for longer");
                    }
                    assert!(event.capture_by >= commit.time(), "the market acts in time");
                }
                Event::OrderPaid(event) => {
                    self.awaiting.extend(event.accept_by.map(|_| event.order));
                    let paid = self.paid.get_mut(&event.order).unwrap();
                    let charged = paid.total.minor - paid.uncharged;
                    assert_eq!(paid.held, charged, "a paid order's escrow holds what it costs");
                    paid.is_paid = true;
                }
                Event::OrderAccepted(accepted) => {
                    assert!(self.awaiting.remove(&accepted.order), "only what waits is accepted");
                }
                Event::OrderReallocated(event) => {
                    let ships = |recorded: &Recorded| matches!(&recorded.event, Event::OrderShipped(shipped) if shipped.order == event.order);
                    assert!(commit.events().iter().any(ships), "units are reserved elsewhere to be shipped");
                    assert!(event.units.iter().all(|units| units.from.as_ref() != Some(&units.to)));
                }
                Event::OrderShipped(shipped) => {
                    assert!(!self.awaiting.contains(&shipped.order), "what is shipped was accepted");
                    let cost = cost(&shipped.lines, shipped.shipping);
                    self.paid.get_mut(&shipped.order).unwrap().shipped += cost;
                }
                Event::OrderCancelled(cancelled) => {
                    let cost = cost(&cancelled.lines, cancelled.shipping);
                    let paid = self.paid.get_mut(&cancelled.order).unwrap();
                    paid.cancelled += cost;
                    paid.returning += subsidy_of(&cancelled.lines);
                    if let Some(uncharged) = cancelled.uncharged {
                        assert!(
                            !paid.is_paid && uncharged.is_positive(),
                            "only what is not taken is left out"
                        );
                        paid.uncharged += uncharged.minor;
                        // Nothing but cancelled units has gone back of what is not paid.
                        let of_buyer = paid.cancelled - paid.returning;
                        let share = 2 * i128::from(paid.by_provider) * i128::from(of_buyer);
                        let total = i128::from(paid.total.minor - paid.subsidy);
                        assert_eq!(i128::from(paid.uncharged), (share + total) / (2 * total));
                    }
                }
                Event::OrderRefunded(refunded) => {
                    assert!(refunded.amount.is_positive());
                    let paid = self.paid.get_mut(&refunded.order).unwrap();
                    paid.given_back += refunded.amount.minor;
                    paid.returning += refunded.subsidy.map_or(0, |subsidy| subsidy.minor);
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
                    paid.check_fees();
                    assert_eq!(paid.remaining(), released.remaining.map_or(0, |money| money.minor));
                    let paid = *paid;
                    self.check_end(released.order, paid, released.closed_as);
                }
                Event::EscrowRefunded(refunded) => {
                    let paid = self.paid.get_mut(&refunded.order).unwrap();
                    paid.refunded += refunded.transfer.map_or(0, |transfer| transfer.amount.minor);
                    let is_end_of_unpaid = refunded.closed_as.is_some() && !paid.is_paid;
                    let due = match is_end_of_unpaid {
                        true => paid.held,
                        false => {
                            paid.cancelled + paid.given_back + paid.settled - paid.uncharged - paid.lost_left
                        }
                    };
                    assert_eq!(paid.refunded, due, "what was cancelled or given back is paid back");
                    assert_eq!(paid.remaining(), refunded.remaining.map_or(0, |money| money.minor));
                    let paid = *paid;
                    if refunded.closed_as == Some(OrderState::Cancelled) {
                        self.discounted.remove(&refunded.order);
                    }
                    self.check_end(refunded.order, paid, refunded.closed_as);
                }
                Event::StockReserved(event) => {
                    let earlier = self.reservations.insert(event.reservation, event.quantity.get());
                    assert_eq!(earlier, None, "a reservation is made once");
                }
                Event::ReservationReleased(event) => {
                    let left = self.reservations.remove(&event.reservation);
                    assert_eq!(left, Some(event.quantity.get()), "what is given up is all of it");
                }
                Event::ReservationExpired(event) => {
                    let left = self.reservations.remove(&event.reservation);
                    assert_eq!(left, Some(event.quantity.get()), "what expires is all of it");
                }
                Event::ReservationTakenUp(event) => self.taken_up(&commit, event),
                Event::OrderHeld(held) => self.paid.get_mut(&held.order).unwrap().is_held = true,
                Event::OrderUnheld(unheld) => {
                    assert_ne!(unheld.agreed_by, unheld.requested_by);
                    self.paid.get_mut(&unheld.order).unwrap().is_held = false;
                }
                Event::EscrowFrozen(frozen) => {
                    self.paid.get_mut(&frozen.order).unwrap().frozen += frozen.transfer.amount.minor;
                    let tax = frozen.tax.map_or(0, |tax| tax.minor);
                    self.frozen_taxes.insert((frozen.order, frozen.shipment), tax);
                    let share = frozen.subsidy.map_or(0, |subsidy| subsidy.minor);
                    let amount = frozen.transfer.amount.minor;
                    self.frozen_subsidies.insert((frozen.order, frozen.shipment), (share, amount));
                }
                Event::EscrowUnfrozen(unfrozen) => {
                    self.paid.get_mut(&unfrozen.order).unwrap().frozen -= unfrozen.transfer.amount.minor;
                }
                Event::EscrowSettled(settled) => self.settled(settled),
                other => {
                    self.came_back(other);
                    self.banked(other);
                    self.risked(other, &commit);
                }
            }
            self.accepted(&recorded.event);
        }
        assert!(groups.len() <= 1, "the orders of a command are one group");
        assert!(groups.iter().all(|group| self.groups.insert(*group)), "and no other command's");
        // What is exchanged is paid with what has just gone back, which is looked at by itself.
        let replaces = |recorded: &Recorded| matches!(&recorded.event, Event::OrderPlaced(placed) if placed.replaces.is_some());
        if !charged.is_empty() && !commit.events().iter().any(replaces) {
            let total = match &self.signed.last().unwrap().command {
                Command::PlaceOrder(command) => command.total,
                Command::MigrateCart(command) => command.total,
                Command::ReportPayment(command) => self.captured[&command.payment].0,
                Command::SetUpEscrow(command) => command.amount,
                // What was signed there is the difference, which is looked at by itself.
                Command::AcceptChange(command) => self.paid[&command.order].total,
                other => panic!("{} charges nobody", other.name()),
            };
            let within =
                charged.iter().all(|(currency, minor)| *currency == total.currency && *minor <= total.minor);
            assert!(within, "{charged:?} of {total}");
        }
    }
}

fn signs(number: u8) -> Condition {
    Condition::MilestoneSigned { milestone: milestone(number) }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn every_promise_holds_after_every_commit(
        sellers_accept in any::<bool>(), is_usual in any::<bool>(), takes_back in any::<bool>(),
        steps in prop::collection::vec(step(), 1..160),
    ) {
        let mut run = Run::new(sellers_accept, is_usual, takes_back);
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
        let asked: BTreeMap<_, _> = folded.effects().into_iter().collect();
        prop_assert_eq!(asked, asked_for(&run.world.log));
        run.let_banks_decide();
        // Left alone, every order comes to its end, once nobody stops it any more.
        let held = run.world.market.orders.iter().filter(|(_, order)| order.hold.is_some());
        for order in held.map(|(order, _)| *order).collect::<Vec<_>>() {
            run.ask(OPERATOR, unhold(order));
            run.ask(OTHER_OPERATOR, unhold(order));
        }
        // Frozen money comes back, what was not frozen arrives, is inspected, and can't be returned any more.
        for _ in 0..8 {
            run.world.after(100 * DAY_MS);
            run.let_due_deadlines_pass();
        }
        prop_assert_eq!(run.world.market.orders.open_count(), 0);
        prop_assert_eq!(run.world.market.next_deadline(), None);
    }
}

/// How many random runs may be needed to see every event once.
const RUNS_MAX: usize = 4000;

/// The steps above must reach what they are to prove: without this, a world that refuses everything would pass.
#[test]
fn the_random_steps_reach_every_event_there_is() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let mut unseen: BTreeSet<_> = Event::TYPES.iter().copied().collect();
    for n in 0..RUNS_MAX {
        let mut run = Run::new(n % 3 == 0, n % 2 == 0, n % 4 < 3);
        let steps = prop::collection::vec(step(), 200).new_tree(&mut runner).unwrap().current();
        for step in steps {
            run.step(step);
        }
        run.world.types().iter().for_each(|name| _ = unseen.remove(name));
        if unseen.is_empty() {
            return;
        }
    }
    panic!("never seen: {unseen:?}");
}
