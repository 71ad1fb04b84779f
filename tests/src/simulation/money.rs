//! What people of a simulated market do about money that is not simply there: they pay by card, set units aside, change
//! currencies, doubt orders and are paid out; and what their provider makes of it. It approves, refuses, says nothing, takes less
//! than it was asked for, and tells what happened late, twice or not at all.

use commands::command::{
    AllowReservations, CancelPayment, ClearRisk, ConfirmDelivery, ExchangeMoney, ExchangeQuote,
    ExtendReservation, FreezeEscrow, HoldOrder, MigrateCart, OrderLine, PayOrder, PaymentMethod,
    PayoutOutcome, PlaceOrder, ProviderMethod, ReadyOrder, RefundOrder, RefundPayment, ReleaseEscrow,
    ReleaseReservation, ReportPayment, ReportPayout, ReportedOutcome, RequestPayment, RequestPayout,
    ReserveStock, SetUpEscrow, SettleEscrow, ShipOrder, SignMilestone, Tenders, UnfreezeEscrow, UnholdOrder,
    VerifiedExchange,
};
use commands::order::Order;
use commands::payment::{Effect, Ending, PaymentEffect, Wish};
use commands::{Command, Market};
use events::escrow::FreezeReason;
use events::escrow::milestone::Milestone;
use events::escrow::rule::{Condition, ReleaseRule};
use events::exchange::Rate;
use events::ids::{OrderId, PaymentId, RefundId, ReservationId};
use events::ledger::LedgerAccount;
use events::order::ShipmentNumber;
use events::order::hold::HoldReason;
use events::payment::{ActionKind, CaptureTime};
use events::{Money, Timestamp};
use rand::RngExt;
use rand::rngs::StdRng;
use uuid::Uuid;

use super::changes;
use super::chargebacks;
use super::people::{
    BUYERS, LISTINGS, OPERATORS, PROVIDER, Person, SELLERS, Sight, cart_of, lines, listing, part, text,
    units, usd,
};
use super::reconcile;
use super::returns;
use super::world::START;

/// How many offers to exchange a provider knows of: some are taken a second time.
const OFFERS: u64 = 12;
const DAY_MS: i64 = 86_400_000;

pub(super) fn eur(minor: i64) -> Money {
    Money::new(minor, "EUR".parse().expect("EUR is a currency"))
}

/// What every third listing asks for besides the usual rule: words of buyer and operators, or some age.
pub(super) fn promise(n: u64) -> Option<ReleaseRule> {
    let signed = |number| Condition::MilestoneSigned {
        milestone: Milestone::new(number).expect("a small number is a milestone's"),
    };
    let words = Condition::AllOf(vec![signed(1), Condition::RiskClear]);
    let age = Condition::MinAge { ms: 90_000 };
    let rule = Condition::AnyOf(vec![words, signed(2), Condition::OperatorRelease, age]);
    n.is_multiple_of(3).then(|| ReleaseRule::new(rule).expect("it comes true with time"))
}

/// Somebody wants something that has to do with money.
pub(super) fn wish(rng: &mut StdRng, sight: &Sight<'_>) -> (Person, Command) {
    if chargebacks::is_near(sight) && rng.random_ratio(1, 2) {
        return chargebacks::wish(rng, sight);
    }
    match rng.random_range(0..100) {
        0..12 => buy_by_card(rng, sight),
        12..19 => about_payments(rng, sight),
        19..42 => provider_says(rng, sight),
        42..47 => set_aside(rng, sight),
        47..50 => chargebacks::wish(rng, sight),
        50..54 => exchange(rng),
        54..60 => pay_out(rng, sight),
        60..68 => move_along(rng, sight),
        68..79 => changes::wish(rng, sight),
        79..81 => reconcile::wish(rng, sight),
        81 => chargebacks::wish(rng, sight),
        82..90 => returns::send_back(rng, sight),
        _ => doubt(rng, sight),
    }
}

/// The offer that stands in the body of an exchange, as its provider signed it.
pub(super) fn offer(buyer: Person, body: &ExchangeMoney) -> VerifiedExchange {
    let quote = ExchangeQuote {
        account: buyer.account(),
        aud: "main".parse().expect("it is a market's name"),
        exp: START.plus_ms(DAY_MS),
        from: body.from,
        provider: PROVIDER.account(),
        rate: Rate { for_minor: body.from.minor, gives_minor: body.at_least.minor },
        reference: text(&body.quote),
        to: body.at_least,
        v: 1,
    };
    VerifiedExchange { key: PROVIDER.key().id(), quote }
}

fn by_card() -> ProviderMethod {
    ProviderMethod { provider: PROVIDER.account(), token: text("tok") }
}

fn buyer(rng: &mut StdRng) -> Person {
    BUYERS[rng.random_range(0..BUYERS.len())]
}

/// Mostly an open order that fits, or any that is open; at times one that is over or never was.
pub(super) fn some_order<'a>(
    rng: &mut StdRng,
    sight: &Sight<'a>,
    fits: fn(&Order) -> bool,
) -> (OrderId, Option<&'a Order>) {
    let orders = &sight.market.orders;
    let fitting = orders.iter().filter(|(_, order)| fits(order)).count();
    let among = if fitting > 0 { fitting } else { orders.open_count() };
    if among > 0 && rng.random_ratio(9, 10) {
        let mut found = orders.iter().filter(|(_, order)| fitting == 0 || fits(order));
        let (id, order) = found.nth(rng.random_range(0..among)).expect("it is among them");
        return (*id, Some(order));
    }
    let id = sight.orders.get(rng.random_range(0..sight.orders.len().max(1))).copied();
    (id.unwrap_or(OrderId::from_uuid(Uuid::from_u128(404))), None)
}

fn is_unpaid(order: &Order) -> bool {
    order.is_unpaid()
}

fn is_sent(order: &Order) -> bool {
    order.shipments_open() > 0
}

fn is_frozen(order: &Order) -> bool {
    order.escrow.frozen > 0
}

pub(super) fn party(
    order: Option<&Order>,
    of: fn(&Order) -> events::ids::AccountId,
    other: Person,
) -> Person {
    order.map_or(other, |order| Person::of(of(order)))
}

fn buy_by_card(rng: &mut StdRng, sight: &Sight<'_>) -> (Person, Command) {
    let buyer = buyer(rng);
    let capture = match rng.random_range(0..4) {
        0 => CaptureTime::OnShip,
        1 => CaptureTime::OnShipOrExpiry,
        _ => CaptureTime::AtOnce,
    };
    let wallet = rng.random_ratio(1, 2).then(|| usd(rng.random_range(1..200)));
    let method = PaymentMethod::Tenders(Tenders { capture, provider: by_card(), wallet });
    let most = usd(1_000_000);
    let command = match cart_of(sight.market, buyer) {
        Some(cart) if rng.random_ratio(1, 4) => MigrateCart::new(cart, method, most).into(),
        // What is charged when it leaves is of one seller.
        _ => PlaceOrder::new(lines(rng, if capture.is_at_once() { 1 } else { 3 }), method, most).into(),
    };
    (buyer, command)
}

fn about_payments(rng: &mut StdRng, sight: &Sight<'_>) -> (Person, Command) {
    let (id, order) = some_order(rng, sight, is_unpaid);
    let owner = party(order, |order| order.buyer, buyer(rng));
    let (payment, payer) = some_payment(rng, sight);
    match rng.random_range(0..10) {
        0 | 1 => (owner, PayOrder { method: by_card(), order: id }.into()),
        2 => {
            let amount = order.map_or(usd(1), |order| order.total);
            let seller = party(order, |order| order.seller, SELLERS[0]).account();
            (owner, SetUpEscrow { amount, buyer: owner.account(), order: id, seller }.into())
        }
        3 | 4 => {
            (owner, RequestPayment { amount: usd(rng.random_range(1..2_000)), method: by_card() }.into())
        }
        5 | 6 => (payer, CancelPayment { payment }.into()),
        _ => {
            let is_taken = |payment: PaymentId| {
                let closed = sight.market.payments.recently_closed(payment);
                closed.is_some_and(|closed| matches!(closed.ending, Ending::Captured { .. }))
            };
            let taken = sight.payments.iter().rfind(|(payment, _)| is_taken(*payment));
            let (payment, payer) =
                taken.map_or((payment, payer), |(payment, of)| (*payment, Person::of(*of)));
            let asks = if rng.random_ratio(1, 5) { OPERATORS[0] } else { payer };
            (asks, RefundPayment { amount: usd(rng.random_range(1..300)), payment }.into())
        }
    }
}

/// One of the payments so far, with who pays; or one that never was.
fn some_payment(rng: &mut StdRng, sight: &Sight<'_>) -> (PaymentId, Person) {
    if sight.payments.is_empty() || rng.random_ratio(1, 20) {
        return (PaymentId::from_uuid(Uuid::from_u128(404)), BUYERS[0]);
    }
    let (payment, payer) = sight.payments[rng.random_range(0..sight.payments.len())];
    (payment, Person::of(payer))
}

/// What buyers want before anything goes wrong: money by card, and something that can be doubted later.
pub(super) fn first_wishes() -> impl Iterator<Item = (Person, Command)> {
    let pays = BUYERS.map(|buyer| (buyer, RequestPayment { amount: usd(1_000), method: by_card() }.into()));
    let buys = BUYERS.into_iter().zip(0..).map(|(buyer, n)| {
        let line = OrderLine { listing: listing(n), quantity: units(1), quote: None };
        (buyer, PlaceOrder::new(vec![line], PaymentMethod::Wallet, usd(1_000)).into())
    });
    pays.into_iter().chain(buys)
}

/// What comes of them: the provider takes the first of what it is asked for, and the first order that is not shipped is.
pub(super) fn first_answer(market: &Market) -> Option<(Person, Command)> {
    match market.effects().into_iter().next() {
        Some((_, Effect::Payment(PaymentEffect { payment, wish: Wish::Authorize { amount, .. }, .. }))) => {
            return Some((PROVIDER, ReportPayment { outcome: taken(payment, amount), payment }.into()));
        }
        Some((_, other)) => panic!("at the founding only payments are asked for: {other:?}"),
        None => {}
    }
    let (order, known) = market.orders.iter().find(|(_, order)| order.units_left() > 0)?;
    let shipped = ShipOrder { carrier: None, from: None, lines: None, order: *order, tracking: None };
    Some((Person::of(known.seller), shipped.into()))
}

/// The provider says what it did: mostly of something that it was asked for.
fn provider_says(rng: &mut StdRng, sight: &Sight<'_>) -> (Person, Command) {
    let mut effects = sight.market.effects();
    // What a provider holds it is seldom asked about.
    effects.retain(|(_, effect)| !effect.is_watch() || rng.random_ratio(1, 8));
    if effects.is_empty() || rng.random_ratio(1, 5) {
        return (PROVIDER, late(rng, sight));
    }
    // Refunds are few: mostly one of them goes first.
    let is_refund =
        |effect: &Effect| matches!(effect, Effect::Payment(PaymentEffect { wish: Wish::Refund { .. }, .. }));
    let refund = effects.iter().position(|(_, effect)| is_refund(effect));
    let nth = match refund {
        Some(nth) if rng.random_ratio(2, 3) => nth,
        _ => rng.random_range(0..effects.len()),
    };
    let (_, effect) = &effects[nth];
    let command = match effect {
        Effect::Payment(PaymentEffect { payment, wish, .. }) => {
            let outcome = outcome(rng, sight.now, *payment, wish);
            ReportPayment { outcome, payment: *payment }.into()
        }
        Effect::Payout(effect) => {
            let outcome = match rng.random_range(0..2) {
                0 => PayoutOutcome::Failed { code: text("closed") },
                _ => PayoutOutcome::Paid { reference: text("po") },
            };
            ReportPayout { outcome, payout: effect.payout }.into()
        }
        Effect::Chargeback(effect) => chargebacks::provider_says(rng, sight, effect),
    };
    (PROVIDER, command)
}

/// What comes of what the provider is asked for. A payment's id is its script, so that each is treated in one way.
fn outcome(rng: &mut StdRng, now: Timestamp, payment: PaymentId, wish: &Wish) -> ReportedOutcome {
    let script = payment.uuid().as_u128() % 8;
    let holds = |amount, ms| ReportedOutcome::Authorized {
        amount,
        capture_before: now.plus_ms(ms),
        reference: reference(payment),
    };
    let failed = |retryable| ReportedOutcome::Failed { code: text("declined"), retryable };
    match wish {
        Wish::Authorize { amount, .. } => match script {
            0 => failed(false),
            1 => failed(true),
            2 => ReportedOutcome::ActionRequired {
                kind: ActionKind::Mfa,
                reference: reference(payment),
                url: None,
            },
            3 => taken(payment, *amount),
            4 => holds(some_of(rng, *amount), 20_000),
            _ => holds(*amount, rng.random_range(5_000..120_000)),
        },
        Wish::Await { .. } if rng.random_ratio(1, 3) => failed(true),
        Wish::Await { .. } => holds(usd(rng.random_range(1..400)), 60_000),
        Wish::Watch { .. } if rng.random_ratio(1, 3) => ReportedOutcome::AuthorizationExpired,
        // It holds it still, which is known.
        Wish::Watch { .. } => holds(usd(1), 60_000),
        Wish::Capture { amount, .. } => match script {
            5 if rng.random_ratio(1, 2) => ReportedOutcome::AuthorizationExpired,
            6 if rng.random_ratio(1, 2) => failed(rng.random_ratio(1, 2)),
            7 => taken(payment, some_of(rng, *amount)),
            _ => taken(payment, *amount),
        },
        // Some of what is to be let go was taken before.
        Wish::Void if rng.random_ratio(1, 4) => taken(payment, usd(rng.random_range(1..400))),
        Wish::Void => ReportedOutcome::Voided,
        Wish::Refund { refund, .. } => refunded(rng, *refund),
    }
}

/// Something about any payment, however it ended, that the provider should have said before or has said already.
fn late(rng: &mut StdRng, sight: &Sight<'_>) -> Command {
    let (payment, _) = some_payment(rng, sight);
    let outcome = match rng.random_range(0..7) {
        0 | 1 => taken(payment, usd(rng.random_range(1..400))),
        2 => ReportedOutcome::Voided,
        3 => ReportedOutcome::AuthorizationExpired,
        4 => ReportedOutcome::Failed { code: text("late"), retryable: false },
        5 => ReportedOutcome::Authorized {
            amount: usd(rng.random_range(1..400)),
            capture_before: sight.now.plus_ms(10_000),
            reference: reference(payment),
        },
        _ => match sight.refunds {
            [] => ReportedOutcome::Voided,
            refunds => {
                let (refund, payment) = refunds[rng.random_range(0..refunds.len())];
                return ReportPayment { outcome: refunded(rng, refund), payment }.into();
            }
        },
    };
    ReportPayment { outcome, payment }.into()
}

fn refunded(rng: &mut StdRng, refund: RefundId) -> ReportedOutcome {
    match rng.random_range(0..2) {
        0 => ReportedOutcome::RefundFailed { code: text("closed"), refund },
        _ => ReportedOutcome::Refunded { reference: text("re"), refund },
    }
}

fn taken(payment: PaymentId, amount: Money) -> ReportedOutcome {
    ReportedOutcome::Captured { amount, reference: reference(payment) }
}

fn reference(payment: PaymentId) -> commands::command::Text<64> {
    // Two payments in a hundred and twenty-eight share a reference, which is the provider's mistake.
    let short = payment.uuid().as_u128() % 64;
    text(&if short == 9 { "shared".to_owned() } else { payment.to_string() })
}

fn some_of(rng: &mut StdRng, amount: Money) -> Money {
    usd(rng.random_range(1..amount.minor.max(2)))
}

fn set_aside(rng: &mut StdRng, sight: &Sight<'_>) -> (Person, Command) {
    let (n, buyer) = (rng.random_range(0..LISTINGS), buyer(rng));
    let open = sight.market.reservations.iter().count();
    let found = sight.market.reservations.iter().nth(rng.random_range(0..open.max(1)));
    let found = found.map(|(id, known)| (*id, Person::of(known.account)));
    let (reservation, holder) = found.unwrap_or((ReservationId::from_uuid(Uuid::from_u128(404)), BUYERS[0]));
    match rng.random_range(0..10) {
        0 => {
            let for_ms = 60_000.try_into().ok();
            let units = rng.random_range(0..4).try_into().expect("a small number of units");
            (SELLERS[(n % 3) as usize], AllowReservations { for_ms, listing: listing(n), units }.into())
        }
        1..7 => (buyer, ReserveStock { listing: listing(n), quantity: units(rng.random_range(1..3)) }.into()),
        7 | 8 => (holder, ExtendReservation { reservation }.into()),
        _ => (holder, ReleaseReservation { reservation }.into()),
    }
}

/// Lets each buyer set some units of a listing aside, for a minute.
pub(super) fn allow(n: u64) -> Command {
    let for_ms = 60_000.try_into().ok();
    let units = 3.try_into().expect("a small number of units");
    AllowReservations { for_ms, listing: listing(n), units }.into()
}

fn exchange(rng: &mut StdRng) -> (Person, Command) {
    let minor = rng.random_range(1..900);
    let amounts = [usd(minor), eur(2 * minor)];
    let [from, at_least] = if rng.random_ratio(1, 2) { amounts } else { [amounts[1], amounts[0]] };
    let quote = format!("offer {}", rng.random_range(0..OFFERS));
    (buyer(rng), ExchangeMoney { at_least, from, quote }.into())
}

fn pay_out(rng: &mut StdRng, sight: &Sight<'_>) -> (Person, Command) {
    let earned = |seller: &Person| {
        let earned = LedgerAccount::SellerAvailable(seller.account());
        sight.market.ledger.balance(earned, usd(0).currency)
    };
    let seller = SELLERS.into_iter().max_by_key(|seller| earned(seller).minor).unwrap_or(SELLERS[0]);
    let earned = earned(&seller);
    let amount = if rng.random_ratio(1, 2) { earned } else { some_of(rng, earned) };
    (seller, RequestPayout { amount, to: by_card() }.into())
}

/// Seller and buyer do what an order waits for.
fn move_along(rng: &mut StdRng, sight: &Sight<'_>) -> (Person, Command) {
    match rng.random_range(0..5) {
        0 => {
            let (order, known) = some_order(rng, sight, is_unpaid);
            (party(known, |order| order.seller, SELLERS[0]), ReadyOrder { order }.into())
        }
        1 | 2 => {
            let (order, known) = some_order(rng, sight, |order| !order.is_unpaid() && order.units_left() > 0);
            let lines = part(rng, sight.market, order);
            let seller = party(known, |order| order.seller, SELLERS[0]);
            (seller, ShipOrder { carrier: None, from: None, lines, order, tracking: None }.into())
        }
        _ => {
            let (order, known) = some_order(rng, sight, is_sent);
            let by =
                if rng.random_ratio(1, 3) { PROVIDER } else { party(known, |order| order.buyer, BUYERS[0]) };
            (by, ConfirmDelivery { order, shipment: None }.into())
        }
    }
}

/// Buyers and operators doubt an order, or give the words that its money waits for.
fn doubt(rng: &mut StdRng, sight: &Sight<'_>) -> (Person, Command) {
    let is_any_frozen = sight.market.orders.iter().any(|(_, order)| is_frozen(order));
    let is_any_held = sight.market.orders.iter().any(|(_, order)| order.hold.is_some());
    let acts = match (is_any_frozen, is_any_held) {
        (true, _) if rng.random_ratio(1, 2) => 9..15,
        (_, true) if rng.random_ratio(1, 2) => 1..5,
        _ => 0..24,
    };
    let act = rng.random_range(acts);
    let (id, order) = some_order(rng, sight, if (9..15).contains(&act) { is_frozen } else { is_sent });
    let owner = party(order, |order| order.buyer, BUYERS[0]);
    let operator = OPERATORS[rng.random_range(0..OPERATORS.len())];
    let shipments = order.map_or(0, |order| order.shipments.len());
    let frozen = order.and_then(|order| order.shipments.iter().position(|sent| sent.frozen().is_some()));
    let at = match frozen {
        Some(at) if (9..15).contains(&act) => at,
        _ => rng.random_range(0..shipments.max(1)),
    };
    let shipment = ShipmentNumber::after(at);
    let known = order.and_then(|order| order.shipments.get(at));
    let reason = [FreezeReason::NotReceived, FreezeReason::NotAsDescribed, FreezeReason::Operator]
        [rng.random_range(0..3)];
    let held = sight
        .market
        .orders
        .iter()
        .find(|(_, order)| order.hold.as_ref().is_some_and(|hold| hold.by_operators.is_some()))
        .map(|(id, _)| *id);
    // Two have to want that.
    let act = if held.is_some() && rng.random_ratio(1, 3) { 1 } else { act };
    match act {
        0 => {
            let (note, reason) = (text("two cards of one name"), HoldReason::RiskReview);
            (operator, HoldOrder { note, order: id, reason }.into())
        }
        1..5 => (operator, UnholdOrder { order: held.unwrap_or(id) }.into()),
        5..9 => {
            let amount = rng.random_ratio(1, 2).then(|| usd(rng.random_range(1..200)));
            let by = if rng.random_ratio(1, 3) { operator } else { owner };
            (by, FreezeEscrow { amount, note: None, order: id, reason, shipment }.into())
        }
        9..12 => {
            let by = if rng.random_ratio(1, 2) { operator } else { owner };
            (by, UnfreezeEscrow { order: id, shipment }.into())
        }
        12..15 => {
            let frozen = known.and_then(|shipment| shipment.frozen()).map_or(1, |frozen| frozen.amount_minor);
            let proposal = known.and_then(|shipment| shipment.frozen()).and_then(|frozen| frozen.proposal);
            let to_seller = match proposal {
                Some(proposal) if rng.random_ratio(3, 4) => proposal.to_seller_minor,
                _ => rng.random_range(0..=frozen),
            };
            let (to_buyer, to_seller) = (usd(frozen - to_seller), usd(to_seller));
            let note = text("as agreed");
            (operator, SettleEscrow { note, order: id, shipment, to_buyer, to_seller }.into())
        }
        15 | 16 => (operator, ReleaseEscrow { order: id, shipment }.into()),
        17..20 => {
            let milestone = Milestone::new(rng.random_range(1..4)).expect("a small number is a milestone's");
            (owner, SignMilestone { milestone, order: id, shipment }.into())
        }
        20 | 21 => (operator, ClearRisk { note: None, order: id }.into()),
        _ => {
            let (amount, reason) = (usd(rng.random_range(1..100)), text("scratched"));
            let seller = party(order, |order| order.seller, SELLERS[0]);
            (seller, RefundOrder { amount, order: id, reason, shipment }.into())
        }
    }
}
