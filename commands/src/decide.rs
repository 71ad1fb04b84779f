//! From a verified command to events, or to a refusal. The checks stand in the order of their numbers in
//! `docs/signing.md`; 1 to 6 were made on the bytes alone, when the signature was verified.

use std::collections::BTreeMap;

use events::command::{Rejected, Unchanged};
use events::ids::{AccountId, ChargebackId, CommandId, OrderId, PaymentId, PayoutId};
use events::metadata::{DeadlineStamp, Waiting};
use events::{Event, Position, Rejection, Timestamp};

use crate::chargeback::ClosedChargeback;
use crate::command::{Command, Verified};
use crate::funding::CreditId;
use crate::market::Market;
use crate::order::ClosedOrder;
use crate::payment::{ClosedPayment, PaidOrder};
use crate::payout::ClosedPayout;
use crate::refusal::Refusal;
use crate::replay::{CLOCK_SKEW_MS, Decided};
use crate::{
    account, cart, chargeback, debt, device, earnings, exchange, funding, limits, listing, market_key, order,
    payment, payout, privacy, promotion, push, reconciliation, reservation, risk, scope, search, shipping,
    sign_in, step_up, stock, suspension, tax, webhook,
};

/// What was learnt outside the market's memory before a command is decided.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// How far the index that was asked covers the log.
    pub covered: Position,
    /// An earlier command with the same id, found in the index.
    pub command: Option<Decided>,
    /// Closed orders found in the index.
    pub closed_orders: BTreeMap<OrderId, ClosedOrder>,
    /// Where the credit was given, found in the index.
    pub credit: Option<Position>,
    /// A closed payment, found in the index.
    pub closed_payment: Option<(PaymentId, ClosedPayment)>,
    /// What the index knows of a closed payment's orders and chargebacks; boxed, since few commands are about one.
    pub charged: Option<Box<Charged>>,
    /// A payout that has ended, found in the index; boxed, since few commands are about one.
    pub closed_payout: Option<Box<(PayoutId, ClosedPayout)>>,
}

/// What a closed payment paid, and what banks made of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Charged {
    /// Its orders, all of them closed.
    pub orders: Vec<PaidOrder>,
    /// Its chargebacks, all of them decided.
    pub chargebacks: BTreeMap<ChargebackId, ClosedChargeback>,
}

impl Facts {
    /// Gives a payout that was found in the index.
    pub(crate) fn closed_payout(&self, payout: PayoutId) -> Option<&ClosedPayout> {
        self.closed_payout.as_deref().filter(|(id, _)| *id == payout).map(|(_, closed)| closed)
    }
}

/// What must be looked up in the index before a command can be decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The answer counts only from an index that covers the log up to here.
    pub covering: Position,
    /// The command's id, which an older command may have used.
    pub command: (AccountId, CommandId),
    /// The order it names, which may be closed.
    pub order: Option<OrderId>,
    /// The credit it names, which may have been given.
    pub credit: Option<CreditId>,
    /// The payment it names, which may be closed.
    pub payment: Option<PaymentId>,
    /// The payout it names, which may have ended.
    pub payout: Option<PayoutId>,
}

/// What becomes of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// These events, never none: what was asked for, or `command.rejected`, or `command.unchanged`.
    Commit(Vec<Event>),
    /// The command was decided before; its commit begins here. It gets the first outcome.
    Repeat(Position),
    /// Nothing: it consumed no id and leaves no trace in the log.
    Refuse(Refusal),
    /// It can be decided when this is known.
    Ask(Question),
}

/// Decides a command. Deciding it again after its own events gives [`Decision::Repeat`].
pub fn decide(market: &Market, verified: &Verified, facts: &Facts, now: Timestamp) -> Decision {
    match admit(market, verified, facts, now) {
        Ok(None) => {}
        Ok(Some(early)) => return early,
        Err(refusal) => return Decision::Refuse(refusal),
    }
    let command = verified.command.name().to_owned();
    // 13 business rules.
    Decision::Commit(match business(market, verified, facts, now) {
        Ok(events) if events.is_empty() => vec![Unchanged { command }.into()],
        Ok(events) => events,
        Err(reasons) => vec![Rejected { command, reasons }.into()],
    })
}

/// Most events of one deadline's default outcome.
pub const DEADLINE_EVENTS_MAX: usize = 6;

/// Decides the default outcome of a deadline that is due.
///
/// # Panics
/// If nothing waits for this deadline, or it is not due: [`Market::next_deadline`] gives only those that are waited for,
/// and money must not move before its time.
pub fn decide_deadline(market: &Market, deadline: DeadlineStamp, now: Timestamp) -> Vec<Event> {
    assert!(now >= deadline.due, "a deadline is decided when it is due");
    assert!(market.waiting.contains(&deadline), "a deadline leaves with what waited for it");
    match deadline.waiting {
        Waiting::ShipBy { order } => order::decide_not_shipped(market, order),
        Waiting::AcceptBy { order } => order::decide_not_accepted(market, order),
        Waiting::DeliveryDue { order, shipment } => order::decide_not_reported(market, order, shipment, now),
        Waiting::InspectionEnds { order, shipment } => order::decide_inspected(market, order, shipment, now),
        Waiting::ReserveDue { account } => earnings::decide_kept(market, account, deadline.due),
        Waiting::PayoutDue { payout } => payout::decide_overdue(market, payout),
        Waiting::ChargebackDue { chargeback } => chargeback::decide_past_due(market, chargeback),
        Waiting::ReservationExpires { reservation } => reservation::decide_expired(market, reservation),
        Waiting::PaymentDue { order } => order::decide_not_paid(market, order),
        Waiting::PaymentExpires { payment }
        | Waiting::AuthorizationExpires { payment }
        | Waiting::AuthorizationExpiring { payment } => {
            payment::decide_deadline(market, payment, deadline, now)
        }
        Waiting::CartIdle { account } | Waiting::CartFrozenUntil { account } => {
            cart::decide_deadline(market, account, deadline)
        }
        Waiting::ChangeExpires { order } => order::decide_not_answered(market, order),
        Waiting::ReleaseDue { order, shipment } => order::decide_set_free(market, order, shipment, now),
        Waiting::FreezeExpires { order, shipment } => order::decide_not_settled(market, order, shipment, now),
        Waiting::ReturnDue { order, shipment } => order::returns::decide_due(market, order, shipment, now),
        Waiting::ReturnsEnd { order } => order::returns::decide_end(market, order),
        Waiting::ReviewDue { order } => order::decide_not_reviewed(market, order, now),
    }
}

/// Checks 7 to 12: whether the command is to be decided at all.
fn admit(
    market: &Market,
    verified: &Verified,
    facts: &Facts,
    now: Timestamp,
) -> Result<Option<Decision>, Refusal> {
    let stamp = &verified.stamp;
    // 7 key bound to account and device; whether it is active is asked behind 8.
    let key = market.accounts.key(stamp.key).ok_or(Refusal::KidUnknown)?;
    if (key.account, key.device) != (stamp.account, stamp.device) {
        return Err(Refusal::ScopeDenied { rule: "the key belongs to another account or device".into() });
    }
    // 8 idempotency.
    let found = market.recent.find(stamp.account, stamp.command);
    if found.is_none()
        && facts.covered < market.forgotten
        && let Some(question) = question(market, verified)
    {
        return Ok(Some(Decision::Ask(question)));
    }
    if let Some(first) = found.or(facts.command) {
        let same_wish = first.fingerprint == stamp.fingerprint;
        return if same_wish {
            Ok(Some(Decision::Repeat(first.position)))
        } else {
            Err(Refusal::CommandConflict)
        };
    }
    if market.accounts.is_erased(stamp.account) {
        return Err(Refusal::Erased);
    }
    // A key that was revoked is told what became of what it asked before, so that a device that took a new key can ask again
    // what came of that; and nothing else.
    if !key.is_active {
        return Err(Refusal::KidRevoked);
    }
    // 9 fresh.
    let server_time = now;
    let latest = now.plus_ms(CLOCK_SKEW_MS);
    let made_later = |made: Timestamp| made > latest;
    if made_later(verified.issued_at) || stamp.command.time().is_none_or(made_later) {
        return Err(Refusal::FromFuture { server_time });
    }
    let freshness_ms = step_up::freshness_ms(market, verified, now);
    if now > verified.expires_at || now.ms_since(verified.issued_at) > freshness_ms {
        return Err(Refusal::Stale { server_time });
    }
    // 10 the account is not suspended, and role and key allow the command.
    scope::check(market, key, verified)?;
    // 11 a second factor, where one is needed. A wrong code is noted and consumes the command, or it could be guessed at for ever.
    let wrong = step_up::check(market, verified, now)?;
    // 12 replay guard.
    key.window.check(stamp.seq)?;
    market.nonces.check(stamp.key, stamp.nonce, now)?;
    Ok(wrong.map(Decision::Commit))
}

/// Tells what of a command may be known only to the index. When anything is, all that the command names is asked for:
/// what is in memory now may have left it when the answer comes, and an answer that did not look would then be
/// taken for a no.
fn question(market: &Market, verified: &Verified) -> Option<Question> {
    let stamp = &verified.stamp;
    let order = match &verified.command {
        Command::AcceptOrder(body) => Some(body.order),
        Command::DeclineOrder(body) => Some(body.order),
        Command::ShipOrder(body) => Some(body.order),
        Command::ConfirmDelivery(body) => Some(body.order),
        Command::CancelOrder(body) => Some(body.order),
        Command::RefundOrder(body) => Some(body.order),
        Command::PayOrder(body) => Some(body.order),
        Command::SetUpEscrow(body) => Some(body.order),
        Command::ReadyOrder(body) => Some(body.order),
        Command::ProposeChange(body) => Some(body.order),
        Command::AcceptChange(body) => Some(body.order),
        Command::DeclineChange(body) => Some(body.order),
        Command::WithdrawChange(body) => Some(body.order),
        Command::HoldOrder(body) => Some(body.order),
        Command::UnholdOrder(body) => Some(body.order),
        Command::FreezeEscrow(body) => Some(body.order),
        Command::UnfreezeEscrow(body) => Some(body.order),
        Command::SettleEscrow(body) => Some(body.order),
        Command::ReleaseEscrow(body) => Some(body.order),
        Command::SignMilestone(body) => Some(body.order),
        Command::ClearRisk(body) => Some(body.order),
        Command::ClaimReview(body) => Some(body.order),
        Command::DecideReview(body) => Some(body.order),
        Command::LabelOrder(body) => Some(body.order),
        Command::RequestReturn(body) => Some(body.order),
        Command::ApproveReturn(body) => Some(body.order),
        Command::RejectReturn(body) => Some(body.order),
        Command::AppealReturn(body) => Some(body.order),
        Command::DecideReturn(body) => Some(body.order),
        Command::SendReturn(body) => Some(body.order),
        Command::ReceiveReturn(body) => Some(body.order),
        Command::CancelReturn(body) => Some(body.order),
        _ => None,
    };
    let credit = match &verified.command {
        Command::FundWallet(body) => Some(CreditId::asked(stamp.account, body)),
        Command::ReportPayment(body) => body.credit(stamp.account),
        Command::ExchangeMoney(_) => verified.exchange.as_ref().map(|offer| CreditId::offered(&offer.quote)),
        Command::ReportReconciliation(body) => Some(CreditId::reconciling(body)),
        _ => None,
    };
    let payment = match &verified.command {
        Command::CancelPayment(body) => Some(body.payment),
        Command::ReportPayment(body) => Some(body.payment),
        Command::RefundPayment(body) => Some(body.payment),
        Command::ReportChargeback(body) => Some(body.payment),
        Command::SubmitEvidence(body) => Some(body.payment),
        Command::AcceptChargeback(body) => Some(body.payment),
        _ => None,
    };
    let payout = match &verified.command {
        Command::ReportPayout(body) => Some(body.payout),
        _ => None,
    };
    let payout_in_memory =
        |id| market.payouts.get(id).is_some() || market.payouts.recently_closed(id).is_some();
    let payment_in_memory =
        |id| market.payments.get(id).is_some() || market.payments.recently_closed(id).is_some();
    let in_memory = |id| market.orders.get(id).is_some() || market.orders.recently_closed(id).is_some();
    let asks = market.recent.may_be_forgotten(stamp.command)
        || order.is_some_and(|id| !in_memory(id))
        || credit.is_some_and(|id| market.credits.may_be_forgotten(id))
        || payment.is_some_and(|id| !payment_in_memory(id))
        || payout.is_some_and(|id| !payout_in_memory(id));
    let command = (stamp.account, stamp.command);
    asks.then_some(Question { covering: market.forgotten, command, order, credit, payment, payout })
}

/// Check 13: what the market's rules make of the command. No events: the wish is already fact.
fn business(
    market: &Market,
    verified: &Verified,
    facts: &Facts,
    now: Timestamp,
) -> Result<Vec<Event>, Vec<Rejection>> {
    check_versions(market, verified)?;
    let (account, id) = (verified.stamp.account, verified.stamp.command);
    match &verified.command {
        Command::RotateMarketKey(command) => market_key::decide_rotate(market, command),
        Command::RetireMarketKey(command) => market_key::decide_retire(market, command),
        Command::RegisterAccount(command) => account::decide_register(market, command),
        Command::RegisterDevice(command) => device::decide_register(market, command),
        Command::EnrollDevice(command) => device::decide_enroll(market, &verified.stamp, command),
        Command::RenameDevice(command) => device::decide_rename(market, account, command),
        Command::RotateDevice(command) => device::decide_rotate(market, &verified.stamp, command),
        Command::RevokeDevice(command) => device::decide_revoke(market, &verified.stamp, command),
        Command::ReportLost(command) => device::decide_report_lost(market, &verified.stamp, command),
        Command::AttestDevice(command) => device::decide_attest(market, command),
        Command::SetProfile(command) => privacy::decide_set_profile(market, account, command),
        Command::SetEncryptionKey(command) => privacy::decide_set_encryption_key(market, account, command),
        Command::EraseAccount(command) => privacy::decide_erase(market, &verified.stamp, command),
        Command::SetStepUpTerms(command) => step_up::decide_set_terms(market, command),
        Command::EnrollPasskey(command) => step_up::decide_enroll(market, account, command),
        Command::RemovePasskey(command) => step_up::decide_remove(market, account, command),
        Command::EnrollTotp(command) => step_up::decide_enroll_totp(market, account, command),
        Command::RemoveTotp(command) => step_up::decide_remove_totp(market, account, command),
        Command::EnrollRecovery(command) => step_up::decide_enroll_recovery(market, account, command),
        Command::RemoveRecovery(command) => step_up::decide_remove_recovery(market, account, command),
        Command::SetPassword(command) => sign_in::decide_set_password(market, account, command),
        Command::RemovePassword(command) => sign_in::decide_remove_password(market, account, command),
        Command::ReportSignInFailed(command) => sign_in::decide_failed(market, command, now),
        Command::StartSession(command) => sign_in::decide_start(market, command, now),
        Command::EndSession(command) => sign_in::decide_end(market, account, command, now),
        Command::CreateListing(command) => listing::decide_create(market, account, command),
        Command::UpdateListing(command) => listing::decide_update(market, account, command),
        Command::PauseListing(command) => listing::decide_pause(market, account, command),
        Command::ResumeListing(command) => listing::decide_resume(market, account, command),
        Command::WithdrawListing(command) => listing::decide_withdraw(market, account, command),
        Command::DescribeListing(command) => search::decide_describe(market, account, command),
        Command::SetSynonyms(command) => Ok(search::decide_set_synonyms(command)),
        Command::BlockListing(command) => listing::decide_block(market, command),
        Command::UnblockListing(command) => listing::decide_unblock(market, command),
        Command::SuspendSeller(command) => account::decide_suspend_seller(market, command),
        Command::ReinstateSeller(command) => account::decide_reinstate_seller(market, command),
        Command::SuspendAccount(command) => suspension::decide_suspend(market, account, command),
        Command::ReinstateAccount(command) => suspension::decide_reinstate(market, command),
        Command::GrantClearance(command) => account::decide_grant_clearance(market, command),
        Command::RevokeClearance(command) => account::decide_revoke_clearance(market, command),
        Command::VerifyAccount(command) => limits::decide_verify(market, command),
        Command::SetTax(command) => tax::decide_set(market, command),
        Command::SetShippingRate(command) => shipping::decide_set(market, account, command),
        Command::RemoveShippingRate(command) => shipping::decide_remove(market, account, command),
        Command::CreatePromotion(command) => promotion::decide_create(market, account, id, command, now),
        Command::EndPromotion(command) => promotion::decide_end(market, account, command),
        Command::ReceiveStock(command) => stock::decide_receive(market, account, command),
        Command::AdjustStock(command) => stock::decide_adjust(market, account, command),
        Command::SetSafetyStock(command) => stock::decide_set_safety(market, account, command),
        Command::SetBackorderLimit(command) => stock::decide_set_backorder_limit(market, account, command),
        Command::ExpectStock(command) => stock::decide_expect(market, account, command, now),
        Command::MoveStock(command) => stock::decide_move(market, account, command),
        Command::FundWallet(command) => funding::decide_fund(market, facts, account, command),
        Command::RequestPayment(command) => payment::decide_request(market, account, id, command, now)
            .map(|events| risk::judged(market, verified, events, now)),
        Command::CancelPayment(command) => payment::decide_cancel(market, facts, account, command),
        Command::RefundPayment(command) => payment::decide_refund(market, facts, account, id, command),
        Command::ReportPayment(command) => payment::decide_report(market, facts, account, command, now),
        Command::ReportChargeback(command) => chargeback::decide_report(market, facts, account, command, now),
        Command::SubmitEvidence(command) => chargeback::decide_submit(market, facts, account, command, now),
        Command::AcceptChargeback(command) => chargeback::decide_accept(market, facts, account, command),
        Command::RepayDebt(command) => debt::decide_repay(market, account, command),
        Command::WriteOffDebt(command) => debt::decide_write_off(market, account, command, now),
        Command::RequestPayout(command) => payout::decide_request(market, account, id, command, now),
        Command::ReportPayout(command) => payout::decide_report(market, facts, account, command),
        Command::ReportReconciliation(command) => {
            reconciliation::decide_report(market, facts, account, command)
        }
        Command::ResolveBreak(command) => reconciliation::decide_resolve(market, account, command),
        Command::AddToCart(command) => cart::decide_add(market, account, id, command),
        Command::SetCartQuantity(command) => cart::decide_set(market, account, command),
        Command::RemoveFromCart(command) => cart::decide_remove(market, account, command),
        Command::ClearCart(command) => cart::decide_clear(market, account, command),
        Command::NameCart(command) => cart::decide_name(market, account, command),
        Command::ShareCart(command) => cart::decide_share(market, account, command),
        Command::UnshareCart(command) => cart::decide_unshare(market, account, command),
        Command::LeaveCart(command) => cart::decide_leave(market, account, command),
        Command::MigrateCart(command) => order::decide_migrate(market, account, id, command, now)
            .map(|events| risk::judged(market, verified, events, now)),
        Command::SaveForLater(command) => cart::decide_save(market, account, command),
        Command::MoveBack(command) => cart::decide_move_back(market, account, id, command),
        Command::MergeCart(command) => {
            let claim = verified.claim.as_ref().expect("a merge is read together with its claim");
            cart::decide_merge(market, account, id, command, claim, now)
        }
        Command::ApplyCoupon(command) => cart::decide_apply_coupon(market, account, command, now),
        Command::RemoveCoupon(_) => cart::decide_remove_coupon(market, account),
        Command::FreezeCart(command) => cart::decide_freeze(market, account, command, now),
        Command::UnfreezeCart(_) => cart::decide_unfreeze(market, account),
        Command::RestoreCart(command) => cart::decide_restore(market, account, id, command),
        Command::PlaceOrder(command) => {
            order::decide_place(market, account, id, command, &verified.quotes, now)
                .map(|events| risk::judged(market, verified, events, now))
        }
        Command::AcceptOrder(command) => order::decide_accept(market, facts, account, command, now),
        Command::DeclineOrder(command) => order::decide_decline(market, facts, account, command),
        Command::ReadyOrder(command) => order::decide_ready(market, facts, account, command, now),
        Command::PayOrder(command) => order::decide_pay(market, facts, account, id, command, now)
            .map(|events| risk::judged(market, verified, events, now)),
        Command::SetUpEscrow(command) => order::decide_set_up(market, facts, account, command, now),
        Command::ShipOrder(command) => order::decide_ship(market, facts, account, command, now),
        Command::ConfirmDelivery(command) => order::decide_confirm(market, facts, account, command, now),
        Command::CancelOrder(command) => order::decide_cancel(market, facts, account, command),
        Command::RefundOrder(command) => order::decide_refund(market, facts, account, command),
        Command::ProposeChange(command) => {
            order::decide_propose(market, facts, account, id, command, &verified.quotes, now)
        }
        Command::AcceptChange(command) => order::decide_accept_change(market, facts, account, command, now),
        Command::DeclineChange(command) => order::decide_decline_change(market, facts, account, command),
        Command::WithdrawChange(command) => order::decide_withdraw_change(market, facts, account, command),
        Command::HoldOrder(command) => order::decide_hold(market, facts, account, command),
        Command::UnholdOrder(command) => order::decide_unhold(market, facts, account, command, now),
        Command::FreezeEscrow(command) => order::decide_freeze(market, facts, account, command, now),
        Command::UnfreezeEscrow(command) => order::decide_unfreeze(market, facts, account, command, now),
        Command::SettleEscrow(command) => order::decide_settle(market, facts, account, command, now),
        Command::ReleaseEscrow(command) => order::decide_release(market, facts, account, command, now),
        Command::SignMilestone(command) => order::decide_sign(market, facts, account, command, now),
        Command::ClearRisk(command) => order::decide_clear(market, facts, account, command, now),
        Command::SetRiskRules(command) => risk::decide_set_rules(market, account, command),
        Command::ClaimReview(command) => order::decide_claim(market, facts, account, command, now),
        Command::DecideReview(command) => order::decide_review(market, facts, account, command, now),
        Command::LabelOrder(command) => order::decide_label(market, facts, account, command),
        Command::RegisterWebhook(command) => webhook::decide_register(market, account, command),
        Command::UpdateWebhook(command) => webhook::decide_update(market, account, command),
        Command::RotateWebhookSecret(command) => webhook::decide_rotate(market, account, command, now),
        Command::RemoveWebhook(command) => webhook::decide_remove(market, account, command),
        Command::ReportWebhook(command) => webhook::decide_report(market, command),
        Command::ReplaceLetter(command) => webhook::decide_replace_letter(market, account, command),
        Command::DropLetter(command) => webhook::decide_drop_letter(market, account, command),
        Command::SubscribePush(command) => push::decide_subscribe(market, account, command),
        Command::UnsubscribePush(command) => push::decide_unsubscribe(market, account, command),
        Command::SetPushPreferences(command) => Ok(push::decide_preferences(account, command)),
        Command::ReportPush(command) => Ok(push::decide_report(market, command)),
        Command::DropPush(command) => Ok(push::decide_drop(market, command)),
        Command::RequestReturn(command) => {
            order::returns::decide_request(market, facts, account, id, command, now)
        }
        Command::ApproveReturn(command) => {
            order::returns::decide_approve(market, facts, account, command, now)
        }
        Command::RejectReturn(command) => order::returns::decide_reject(market, facts, account, command, now),
        Command::AppealReturn(command) => order::returns::decide_appeal(market, facts, account, command, now),
        Command::DecideReturn(command) => order::returns::decide_decide(market, facts, account, command, now),
        Command::SendReturn(command) => order::returns::decide_send(market, facts, account, command, now),
        Command::ReceiveReturn(command) => {
            order::returns::decide_receive(market, facts, account, command, now)
        }
        Command::CancelReturn(command) => order::returns::decide_cancel(market, facts, account, command, now),
        Command::AllowReservations(command) => reservation::decide_allow(market, account, command),
        Command::ReserveStock(command) => reservation::decide_reserve(market, account, id, command, now),
        Command::ExtendReservation(command) => reservation::decide_extend(market, account, command, now),
        Command::ReleaseReservation(command) => reservation::decide_release(market, account, command),
        Command::ExchangeMoney(command) => {
            let offer = verified.exchange.as_ref().expect("an exchange is read together with its offer");
            exchange::decide_exchange(market, facts, account, command, offer, now)
        }
    }
}

/// A command that names versions is decided only against those.
fn check_versions(market: &Market, verified: &Verified) -> Result<(), Vec<Rejection>> {
    let mut reasons = Vec::new();
    let mut check = |what: &str, expected: Option<u64>, current: u64| {
        if let Some(expected) = expected
            && expected != current
        {
            reasons.push(Rejection::StaleVersion { what: what.to_owned(), expected, current });
        }
    };
    let account = verified.stamp.account;
    check("cart", verified.expected.cart, cart::version(market, account, &verified.command));
    let listing = match &verified.command {
        Command::CreateListing(body) => Some(body.listing),
        Command::UpdateListing(body) => Some(body.listing),
        Command::PauseListing(body) => Some(body.listing),
        Command::ResumeListing(body) => Some(body.listing),
        Command::WithdrawListing(body) => Some(body.listing),
        Command::DescribeListing(body) => Some(body.listing),
        Command::BlockListing(body) => Some(body.listing),
        Command::UnblockListing(body) => Some(body.listing),
        Command::ReceiveStock(body) => Some(body.listing),
        Command::AdjustStock(body) => Some(body.listing),
        Command::SetSafetyStock(body) => Some(body.listing),
        Command::SetBackorderLimit(body) => Some(body.listing),
        Command::ExpectStock(body) => Some(body.listing),
        Command::MoveStock(body) => Some(body.listing),
        Command::AllowReservations(body) => Some(body.listing),
        Command::ReserveStock(body) => Some(body.listing),
        Command::AddToCart(body) => Some(body.listing),
        Command::SetCartQuantity(body) => Some(body.listing),
        Command::RemoveFromCart(body) => Some(body.listing),
        Command::SaveForLater(body) => Some(body.listing),
        Command::MoveBack(body) => Some(body.listing),
        _ => None,
    };
    let version =
        listing.and_then(|id| market.listings.get(id)).map_or(0, |listing| u64::from(listing.version));
    check("listing", verified.expected.listing, version);
    if reasons.is_empty() { Ok(()) } else { Err(reasons) }
}
