//! What the market makes of what is asked about payments, and of what their providers report.

use events::account::Role;
use events::ids::{AccountId, CommandId, PaymentId, RefundId};
use events::ledger::{LedgerAccount, Transfer};
use events::metadata::{DeadlineStamp, Waiting};
use events::payment::{
    ActionRequired, Authorized, CaptureRequested, CaptureTime, Captured, Failed, RefundFailed,
    RefundRequested, Refunded, Requested, VoidReason, VoidRequested, Voided,
};
use events::rejection::PaymentState;
use events::{Event, Money, Rejection, Timestamp};

use super::{
    CAPTURE_MARGIN_MS, ClosedPayment, EXPIRING_MS, Ending, OPEN_PER_ACCOUNT_MAX, Payment, REQUEST_MS, Stage,
    Taking,
};
use crate::account::in_role;
use crate::chargeback;
use crate::command::{CancelPayment, RefundPayment, ReportPayment, ReportedOutcome, RequestPayment};
use crate::decide::Facts;
use crate::funding::CreditId;
use crate::market::Market;
use crate::order;

/// A payment as a command finds it.
enum Found<'a> {
    Open(&'a Payment),
    Closed(&'a ClosedPayment),
}

impl Found<'_> {
    fn account(&self) -> AccountId {
        match self {
            Found::Open(open) => open.account,
            Found::Closed(closed) => closed.account,
        }
    }

    fn provider(&self) -> AccountId {
        match self {
            Found::Open(open) => open.provider,
            Found::Closed(closed) => closed.provider,
        }
    }

    fn state(&self) -> PaymentState {
        match self {
            Found::Open(open) => open.stage.state(),
            Found::Closed(closed) => closed.ending.state(),
        }
    }
}

fn find<'a>(market: &'a Market, facts: &'a Facts, payment: PaymentId) -> Result<Found<'a>, Vec<Rejection>> {
    if let Some(open) = market.payments.get(payment) {
        return Ok(Found::Open(open));
    }
    let closed = market.payments.recently_closed(payment);
    let closed =
        closed.or_else(|| facts.closed_payment.as_ref().filter(|(id, _)| *id == payment).map(|(_, c)| c));
    closed.map(Found::Closed).ok_or_else(|| vec![Rejection::PaymentUnknown { payment }])
}

/// Finds a payment that was captured: who paid, through whom, what came in, what of that has gone back, and the provider's reference.
pub(crate) fn captured<'a>(
    market: &'a Market,
    facts: &'a Facts,
    payment: PaymentId,
) -> Result<(AccountId, AccountId, Money, i64, &'a str), Vec<Rejection>> {
    let found = find(market, facts, payment)?;
    match found {
        Found::Closed(ClosedPayment {
            account,
            provider,
            ending: Ending::Captured { captured, refunded_minor, reference },
            ..
        }) => Ok((*account, *provider, *captured, *refunded_minor, reference)),
        _ => Err(vec![Rejection::PaymentState { payment, state: found.state() }]),
    }
}

pub(crate) fn decide_request(
    market: &Market,
    account: AccountId,
    command_id: CommandId,
    command: &RequestPayment,
    now: Timestamp,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let (amount, provider) = (command.amount, command.method.provider);
    let mut reasons = Vec::new();
    check_request(market, account, provider, amount, &mut reasons);
    if !reasons.is_empty() {
        return Err(reasons);
    }
    let requested = Requested {
        account,
        amount,
        capture: CaptureTime::AtOnce,
        expires_at: now.plus_ms(REQUEST_MS),
        orders: Vec::new(),
        payment: PaymentId::derive(account, command_id),
        provider,
        replaces: None,
        to: LedgerAccount::Wallet(account),
        token: command.method.token.as_str().to_owned(),
    };
    Ok(vec![requested.into()])
}

/// Checks that an account may ask a provider for an amount.
pub(crate) fn check_request(
    market: &Market,
    account: AccountId,
    provider: AccountId,
    amount: Money,
    reasons: &mut Vec<Rejection>,
) {
    reasons.extend(in_role(market, provider, Role::Provider).err().into_iter().flatten());
    if !amount.is_positive() {
        reasons.push(Rejection::AmountNotPositive);
    } else if let Err(reason) = market.ledger.check_inflow(amount) {
        reasons.push(reason);
    }
    if market.payments.open_of(account) >= OPEN_PER_ACCOUNT_MAX {
        reasons.push(Rejection::TooManyPayments { max: OPEN_PER_ACCOUNT_MAX });
    }
}

/// Gives a payment up that nobody needs any more, with what is asked for in its place, unless it is over or being given up
/// already.
pub(crate) fn give_up(market: &Market, payment: PaymentId, because: VoidReason) -> Vec<Event> {
    let given_up = void_requested(market, payment, because);
    given_up.into_iter().chain(not_anew(market, payment)).collect()
}

fn void_requested(market: &Market, payment: PaymentId, because: VoidReason) -> Option<Event> {
    let Payment { account, provider, ref stage, .. } = *market.payments.get(payment)?;
    let is_under_way = !matches!(stage, Stage::Voiding { .. });
    is_under_way.then(|| VoidRequested { account, because, payment, provider }.into())
}

/// Gives up what is asked for in place of a payment that waits for the seller no more.
fn not_anew(market: &Market, held: PaymentId) -> Option<Event> {
    void_requested(market, market.payments.asked_anew(held)?, VoidReason::Cancelled)
}

pub(crate) fn decide_cancel(
    market: &Market,
    facts: &Facts,
    account: AccountId,
    command: &CancelPayment,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let payment = command.payment;
    let found = find(market, facts, payment)?;
    if found.account() != account {
        return Err(vec![Rejection::NotYourPayment { payment }]);
    }
    match found.state() {
        PaymentState::Requested | PaymentState::ActionRequired | PaymentState::Authorized => {
            Ok(give_up(market, payment, VoidReason::Cancelled))
        }
        PaymentState::Voiding | PaymentState::Voided => Ok(vec![]),
        state @ (PaymentState::Captured | PaymentState::Failed) => {
            Err(vec![Rejection::PaymentState { payment, state }])
        }
    }
}

pub(crate) fn decide_refund(
    market: &Market,
    facts: &Facts,
    account: AccountId,
    command_id: CommandId,
    command: &RefundPayment,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let RefundPayment { amount, payment } = *command;
    let found = find(market, facts, payment)?;
    if found.account() != account && !market.accounts.has_role(account, Role::Operator) {
        return Err(vec![Rejection::NotYourPayment { payment }]);
    }
    let Found::Closed(ClosedPayment { account: payer, provider, ending, .. }) = found else {
        return Err(vec![Rejection::PaymentState { payment, state: found.state() }]);
    };
    let Ending::Captured { captured, refunded_minor, reference } = ending else {
        return Err(vec![Rejection::PaymentState { payment, state: ending.state() }]);
    };
    let disputed = chargeback::charged_minor(market, facts, payment);
    let most = (captured.minor - refunded_minor - disputed).max(0);
    check_amount(payment, amount, Money::new(most, captured.currency))?;
    if market.payments.open_of(*payer) >= OPEN_PER_ACCOUNT_MAX {
        return Err(vec![Rejection::TooManyPayments { max: OPEN_PER_ACCOUNT_MAX }]);
    }
    let wallet = LedgerAccount::Wallet(*payer);
    let available = market.ledger.balance(wallet, amount.currency);
    if available.minor < amount.minor {
        return Err(vec![Rejection::InsufficientFunds { available, required: amount }]);
    }
    let requested = RefundRequested {
        account: *payer,
        captured: *captured,
        order: None,
        payment,
        provider: *provider,
        reference: reference.to_string(),
        refund: RefundId::derive(account, command_id),
        refunded: Money::new(refunded_minor + amount.minor, amount.currency),
        transfer: Transfer { amount, from: wallet, to: LedgerAccount::RefundsPayable },
    };
    Ok(vec![requested.into()])
}

/// Decides what a provider reports. What is known already, or was overtaken by what came later, changes nothing. With a payment
/// that ends so ends what is asked for in its place.
pub(crate) fn decide_report(
    market: &Market,
    facts: &Facts,
    provider: AccountId,
    command: &ReportPayment,
    now: Timestamp,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let payment = command.payment;
    let found = find(market, facts, payment)?;
    if found.provider() != provider {
        return Err(vec![Rejection::NotYourPayment { payment }]);
    }
    let mut events = reported(market, facts, provider, command, found, now)?;
    if events.iter().any(|event| ClosedPayment::left_by(event, 0).is_some()) {
        events.extend(not_anew(market, payment));
    }
    Ok(events)
}

fn reported(
    market: &Market,
    facts: &Facts,
    provider: AccountId,
    command: &ReportPayment,
    found: Found<'_>,
    now: Timestamp,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let payment = command.payment;
    match &command.outcome {
        ReportedOutcome::ActionRequired { kind, reference, url } => {
            let Found::Open(Payment { account, stage: Stage::Requested { expires_at, .. }, .. }) = found
            else {
                return Ok(vec![]);
            };
            let (account, expires_at, kind) = (*account, *expires_at, *kind);
            let reference = reference.as_str().to_owned();
            let url = url.as_ref().map(|url| url.as_str().to_owned());
            Ok(vec![ActionRequired { account, expires_at, kind, payment, provider, reference, url }.into()])
        }
        ReportedOutcome::Authorized { amount, capture_before, reference } => match found {
            Found::Open(open)
                if matches!(open.stage, Stage::Requested { .. } | Stage::ActionRequired { .. }) =>
            {
                check_amount(payment, *amount, open.amount)?;
                Ok(authorize(market, payment, open, *amount, *capture_before, reference.as_str(), now))
            }
            _ => Ok(vec![]),
        },
        ReportedOutcome::Captured { amount, reference } => {
            let mut events = capture(market, facts, payment, &found, *amount, reference.as_str())?;
            if !events.is_empty() {
                events.extend(order::fund(market, payment, *amount, now));
            }
            Ok(events)
        }
        ReportedOutcome::Failed { code, retryable } => match found {
            Found::Open(open) => {
                let (account, amount) = (open.account, open.amount);
                let (code, retryable) = (code.as_str().to_owned(), *retryable);
                let mut events = vec![Failed { account, amount, code, payment, provider, retryable }.into()];
                events.extend(order::give_up_failed(market, payment, retryable));
                Ok(events)
            }
            Found::Closed(_) => Ok(vec![]),
        },
        ReportedOutcome::Voided => Ok(void(market, payment, &found, VoidReason::Cancelled)),
        ReportedOutcome::AuthorizationExpired => {
            Ok(void(market, payment, &found, VoidReason::AuthorizationExpired))
        }
        ReportedOutcome::Refunded { reference, refund } => {
            Ok(refunded(market, payment, *refund, reference.as_str()))
        }
        ReportedOutcome::RefundFailed { code, refund } => {
            Ok(refund_failed(market, payment, &found, *refund, code.as_str()))
        }
    }
}

/// Notes that a provider holds an amount. Unless it is to be taken at once, its order is the seller's from here on; less than
/// all that was asked for is then given up, since nothing can be shipped for it. What is held in place of another payment is held
/// for longer, or given up, too: the other stands then.
fn authorize(
    market: &Market,
    payment: PaymentId,
    open: &Payment,
    amount: Money,
    capture_before: Timestamp,
    reference: &str,
    now: Timestamp,
) -> Vec<Event> {
    let Payment { account, provider, to, .. } = *open;
    let pending = Some(Transfer { amount, from: LedgerAccount::ProviderClearing(provider), to });
    let reference = reference.to_owned();
    let capture_by = ahead_of(capture_before, CAPTURE_MARGIN_MS, now);
    let waits_until = (!open.capture.is_at_once()).then_some(capture_by);
    let expiring_at = waits_until.map(|until| ahead_of(until, EXPIRING_MS, now));
    let expiring_at = expiring_at.filter(|expiring_at| *expiring_at < capture_by);
    let authorized = Authorized {
        account,
        amount,
        capture_before,
        expiring_at,
        payment,
        pending,
        provider,
        reference,
        waits_until,
    };
    let mut events = vec![authorized.into()];
    if waits_until.is_none() {
        return events;
    }
    let before = market.payments.held_before(payment);
    let lasts =
        before.and_then(|before| market.payments.get(before)).is_none_or(|before| match before.stage {
            Stage::Authorized { taking: Taking::Waits { until, .. }, .. } => until < capture_by,
            _ => panic!("what is asked for in place of a payment ends when that waits no more"),
        });
    if amount == open.amount && lasts {
        events.extend(order::authorized(market, payment, before, capture_by, now));
        events.extend(before.and_then(|before| void_requested(market, before, VoidReason::Replaced)));
    }
    if events.len() == 1 {
        events.extend(give_up(market, payment, VoidReason::Cancelled));
    }
    events
}

/// Gives a time ahead of an end: by a margin, or by half of the time there is, if that is shorter.
fn ahead_of(end: Timestamp, margin_ms: i64, now: Timestamp) -> Timestamp {
    end.plus_ms(-margin_ms.min(end.ms_since(now).max(0) / 2))
}

/// Asks the provider for an amount of what it holds, and gives up what is asked for in its place; nothing, if it holds none or
/// has been asked for it.
pub(crate) fn take(market: &Market, payment: PaymentId, amount: Money) -> Vec<Event> {
    let Some(Payment { account, provider, stage, .. }) = market.payments.get(payment) else { return vec![] };
    let Stage::Authorized { reference, taking: Taking::Waits { .. }, .. } = stage else { return vec![] };
    let (account, provider, reference) = (*account, *provider, reference.to_string());
    let taken = CaptureRequested { account, amount, payment, provider, reference }.into();
    [taken].into_iter().chain(not_anew(market, payment)).collect()
}

/// Checks that an amount is more than nothing and within what it may be.
fn check_amount(payment: PaymentId, amount: Money, most: Money) -> Result<(), Vec<Rejection>> {
    if !amount.is_positive() {
        return Err(vec![Rejection::AmountNotPositive]);
    }
    if amount.currency != most.currency || amount.minor > most.minor {
        return Err(vec![Rejection::PaymentAmount { payment, amount, most }]);
    }
    Ok(())
}

/// Credits what a provider has taken. Money that is there is never turned away: a payment that had failed, or was given
/// up, is credited too; only its wallet is sure to be there still.
fn capture(
    market: &Market,
    facts: &Facts,
    payment: PaymentId,
    found: &Found<'_>,
    amount: Money,
    reference: &str,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let (most, to) = match found {
        Found::Open(open) => match &open.stage {
            Stage::Authorized { amount, .. } => (*amount, open.to),
            _ => (open.amount, open.to),
        },
        Found::Closed(closed) => match &closed.ending {
            Ending::Captured { .. } => return Ok(vec![]),
            Ending::Failed { amount } | Ending::Voided { amount } => {
                (*amount, LedgerAccount::Wallet(closed.account))
            }
        },
    };
    check_amount(payment, amount, most)?;
    let (account, provider) = (found.account(), found.provider());
    let from = LedgerAccount::ProviderClearing(provider);
    let first = market.credits.find(CreditId::new(from, reference)).or(facts.credit);
    if let Some(first) = first {
        return Err(vec![Rejection::ReferenceUsed { reference: reference.to_owned(), first }]);
    }
    market.ledger.check_inflow(amount).map_err(|reason| vec![reason])?;
    let transfer = Transfer { amount, from, to };
    Ok(vec![Captured { account, payment, provider, reference: reference.to_owned(), transfer }.into()])
}

/// Ends a payment of which nothing was taken. Why is what the market knows, where it gave the payment up itself.
fn void(market: &Market, payment: PaymentId, found: &Found<'_>, because: VoidReason) -> Vec<Event> {
    let Found::Open(Payment { account, provider, amount, stage, .. }) = found else { return vec![] };
    let because = match stage {
        Stage::Voiding { because } => *because,
        _ => because,
    };
    let (account, amount, provider) = (*account, *amount, *provider);
    let mut events = vec![Voided { account, amount, because, payment, provider }.into()];
    events.extend(order::give_up_authorized(market, payment, because));
    events
}

fn refunded(market: &Market, payment: PaymentId, refund: RefundId, reference: &str) -> Vec<Event> {
    let under_way = market.payments.refunds.get(&refund).filter(|refund| refund.payment == payment);
    let Some(under_way) = under_way else { return vec![] };
    let transfer = Transfer {
        amount: under_way.amount,
        from: LedgerAccount::RefundsPayable,
        to: LedgerAccount::ProviderClearing(under_way.provider),
    };
    let (account, reference) = (under_way.account, reference.to_owned());
    vec![Refunded { account, payment, refund, reference, transfer }.into()]
}

fn refund_failed(
    market: &Market,
    payment: PaymentId,
    found: &Found<'_>,
    refund: RefundId,
    code: &str,
) -> Vec<Event> {
    let under_way = market.payments.refunds.get(&refund).filter(|refund| refund.payment == payment);
    let Some(under_way) = under_way else { return vec![] };
    let Found::Closed(ClosedPayment { account, provider, ending, .. }) = found else { return vec![] };
    let Ending::Captured { captured, refunded_minor, reference } = ending else { return vec![] };
    let amount = under_way.amount;
    let transfer =
        Transfer { amount, from: LedgerAccount::RefundsPayable, to: LedgerAccount::Wallet(*account) };
    let failed = RefundFailed {
        account: *account,
        captured: *captured,
        code: code.to_owned(),
        payment,
        provider: *provider,
        reference: reference.to_string(),
        refund,
        refunded: Money::new(refunded_minor - amount.minor, amount.currency),
        transfer,
    };
    let covered = chargeback::covered(market, *account, payment, amount);
    [failed.into()].into_iter().chain(covered).collect()
}

/// Decides what becomes of a payment whose deadline is due: it is given up, and the provider has the last word, since
/// it may have taken the money without our having heard of it. One that waits for the seller is taken, or its order is
/// cancelled, as its buyer wants it; some time before, that is told.
///
/// # Panics
/// If the payment does not wait for it: [`Market::next_deadline`] gives only those that are waited for.
pub(crate) fn decide_deadline(
    market: &Market,
    payment: PaymentId,
    deadline: DeadlineStamp,
    now: Timestamp,
) -> Vec<Event> {
    let open = market.payments.get(payment).expect("a deadline leaves with its payment");
    assert_eq!(
        open.stage.deadline(payment),
        Some(deadline),
        "a deadline leaves with the stage that waited for it"
    );
    if let Stage::Authorized { taking: Taking::Waits { until, .. }, .. } = open.stage {
        if matches!(deadline.waiting, Waiting::AuthorizationExpiring { .. }) {
            return order::expiring(market, payment, until);
        }
        if open.capture == CaptureTime::OnShipOrExpiry {
            return order::charge(market, payment, now);
        }
    }
    let because = match open.stage {
        Stage::Authorized { .. } => VoidReason::AuthorizationExpired,
        _ => VoidReason::RequestExpired,
    };
    let mut events = give_up(market, payment, because);
    events.extend(order::give_up_authorized(market, payment, because));
    events
}
