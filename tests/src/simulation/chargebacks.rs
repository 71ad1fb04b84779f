//! What banks of a simulated market dispute, and what its people do about that. A bank says what it likes in any order; the market has
//! to make sense of it.

use commands::command::{
    AcceptChargeback, RepayDebt, ReportChargeback, Standing, SubmitEvidence, WriteOffDebt,
};
use commands::payment::{ChargebackEffect, ChargebackWish, Ending};
use commands::{Command, Market};
use events::account::Role;
use events::chargeback::{ChargebackReason, Round};
use events::ids::{AccountId, PaymentId};
use events::ledger::LedgerAccount;
use rand::RngExt;
use rand::rngs::StdRng;

use super::people::{BUYERS, OPERATORS, PROVIDER, Person, SELLERS, Sight, text, usd};
use super::world::is_ancient;

/// How many disputes a payment may have.
const DISPUTES: u32 = 2;

/// Tells whether something is disputed or owed, or an open order was paid with what may be: that is seldom, and soon over.
pub(super) fn is_near(sight: &Sight<'_>) -> bool {
    let Market { payments, ledger, .. } = sight.market;
    payments.chargebacks().open().next().is_some()
        || ledger.balances().any(|(account, _)| account.is_debt())
        || sight.payments.iter().any(|(payment, _)| {
            !payments.orders_of(*payment).is_empty() && payments.recently_closed(*payment).is_some()
        })
}

/// Somebody does something about a dispute or a debt, or a bank disputes something.
pub(super) fn wish(rng: &mut StdRng, sight: &Sight<'_>) -> (Person, Command) {
    let operator = OPERATORS[rng.random_range(0..OPERATORS.len())];
    let open: Vec<_> = sight.market.payments.chargebacks().open().collect();
    let owed: Vec<(LedgerAccount, i64)> = sight
        .market
        .ledger
        .balances()
        .filter(|(account, _)| account.is_debt())
        .map(|(account, balance)| (account, -balance.minor))
        .collect();
    match rng.random_range(0..10) {
        0..4 if !open.is_empty() => {
            let (chargeback, known) = open[rng.random_range(0..open.len())];
            let seller = known.sellers.first().map_or(SELLERS[0], |seller| Person::of(*seller));
            let by = if rng.random_ratio(1, 2) { operator } else { seller };
            let (chargeback, payment) = (*chargeback, known.payment);
            match rng.random_range(0..3) {
                0 => (by, AcceptChargeback { chargeback, payment }.into()),
                _ => {
                    let files = Vec::new().try_into().expect("there are none");
                    let statement = Some(text("it was delivered"));
                    (by, SubmitEvidence { chargeback, files, payment, statement }.into())
                }
            }
        }
        4..9 if !owed.is_empty() => {
            let (debt, owed) = owed[rng.random_range(0..owed.len())];
            let (account, role) = match debt {
                LedgerAccount::SellerReceivable(account) => (account, Role::Seller),
                LedgerAccount::BuyerReceivable(account) => (account, Role::Buyer),
                other => panic!("{other} is no debt"),
            };
            // What an operator proposed, another mostly agrees to.
            let proposed = sight.market.debts.proposed(debt, usd(0).currency).map(|first| first.minor);
            let amount = match proposed.filter(|minor| *minor <= owed && rng.random_ratio(2, 3)) {
                Some(minor) => usd(minor),
                None if rng.random_ratio(1, 2) => usd(owed),
                None => usd(rng.random_range(1..=owed)),
            };
            match role {
                Role::Buyer if rng.random_ratio(2, 3) => (Person::of(account), RepayDebt { amount }.into()),
                _ => (operator, WriteOffDebt { account, amount, reason: text("gone"), role }.into()),
            }
        }
        _ => (PROVIDER, disputed(rng, sight)),
    }
}

/// Answers what the market asks about a dispute.
pub(super) fn provider_says(rng: &mut StdRng, sight: &Sight<'_>, effect: &ChargebackEffect) -> Command {
    let known = sight.market.payments.chargebacks().get(effect.chargeback);
    let submissions = known.map_or(0, |known| known.submissions);
    let is_charged = known.is_some_and(|known| known.is_charged);
    let (standing, more) = match (&effect.wish, is_charged) {
        (ChargebackWish::Submit(_), true) => (Standing::UnderReview, 1),
        (ChargebackWish::Submit(_), false) => (Standing::InquiryUnderReview, 1),
        (ChargebackWish::Accept, _) => (Standing::Lost, 0),
        (ChargebackWish::Watch, true) => {
            (pick(rng, &[Standing::Won, Standing::Lost, Standing::NeedsResponse, Standing::NeedsResponse]), 0)
        }
        (ChargebackWish::Watch, false) => (pick(rng, &[Standing::InquiryClosed, Standing::NeedsResponse]), 0),
    };
    let amount = known.map_or(1, |known| known.taken.iter().map(|taken| taken.amount.minor).sum());
    let amount = if amount > 0 { amount } else { rng.random_range(1..300) };
    ReportChargeback {
        amount: usd(amount),
        due_by: Some(sight.now.plus_ms(rng.random_range(1_000..40_000))),
        fee: is_charged.then(|| usd(rng.random_range(0..20))),
        network_reason: None,
        payment: effect.payment,
        reason: ChargebackReason::ItemNotReceived,
        reference: text(&effect.reference),
        round: known.map_or(Round::First, |known| known.round),
        standing,
        submissions: submissions + more,
    }
    .into()
}

/// A bank disputes a payment, mostly one that was taken, all of it or a part; or says something of one that it disputes.
fn disputed(rng: &mut StdRng, sight: &Sight<'_>) -> Command {
    let (payment, captured) = some_captured(rng, sight);
    let nth = rng.random_range(0..DISPUTES);
    let amount = match rng.random_range(0..5) {
        0 => rng.random_range(1..=captured.max(1)),
        1 => captured / 2 + 1,
        2 => captured + 1,
        _ => captured.max(1),
    };
    let all = [
        Standing::Inquiry,
        Standing::InquiryUnderReview,
        Standing::InquiryClosed,
        Standing::NeedsResponse,
        Standing::NeedsResponse,
        Standing::NeedsResponse,
        Standing::NeedsResponse,
        Standing::NeedsResponse,
        Standing::UnderReview,
        Standing::Won,
        Standing::Lost,
        Standing::Lost,
    ];
    ReportChargeback {
        amount: usd(amount),
        due_by: rng.random_ratio(2, 3).then(|| sight.now.plus_ms(rng.random_range(1..30_000))),
        fee: rng.random_ratio(1, 2).then(|| usd(rng.random_range(0..30))),
        network_reason: rng.random_ratio(1, 2).then(|| text("13.1")),
        payment,
        reason: pick(rng, &[ChargebackReason::ItemNotReceived, ChargebackReason::Unauthorized]),
        reference: text(&format!("dp {nth} of {payment}")),
        round: if rng.random_ratio(1, 6) { Round::Second } else { Round::First },
        standing: pick(rng, &all),
        submissions: rng.random_range(0..2),
    }
    .into()
}

fn pick<T: Copy>(rng: &mut StdRng, among: &[T]) -> T {
    among[rng.random_range(0..among.len())]
}

/// Gives a payment with what was captured of it in minor units; mostly one of which anything was.
fn some_captured(rng: &mut StdRng, sight: &Sight<'_>) -> (PaymentId, i64) {
    let captured = |(payment, account): &(PaymentId, AccountId)| {
        let closed = sight.market.payments.recently_closed(*payment)?;
        match &closed.ending {
            Ending::Captured { captured, .. } => Some((*payment, captured.minor, *account)),
            _ => None,
        }
    };
    let all: Vec<_> = sight.payments.iter().filter_map(captured).collect();
    let ledger = &sight.market.ledger;
    let pays_orders = |payment: PaymentId| !sight.market.payments.orders_of(payment).is_empty();
    let is_spent =
        |minor, account| ledger.balance(LedgerAccount::Wallet(account), usd(0).currency).minor < minor;
    let first = match rng.random_range(0..6) {
        0..4 => all.iter().filter(|(payment, ..)| pays_orders(*payment)).collect(),
        4 => all.iter().filter(|(_, minor, account)| is_spent(*minor, *account)).collect(),
        _ => Vec::new(),
    };
    let among = if first.is_empty() { all.iter().collect() } else { first };
    if !among.is_empty() && rng.random_ratio(9, 10) {
        let (payment, minor, _) = *among[rng.random_range(0..among.len())];
        return (payment, minor);
    }
    // Not one that the log says nothing of: whoever follows the log knows no payment behind such a dispute.
    let any = sight.payments.iter().map(|(payment, _)| *payment).rfind(|payment| !is_ancient(*payment));
    let none = PaymentId::derive(BUYERS[0].account(), events::ids::CommandId::from_uuid(uuid::Uuid::nil()));
    (any.unwrap_or(none), 100)
}
