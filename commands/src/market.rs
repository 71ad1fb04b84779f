//! The state of a market: everything its decisions depend on, folded from its log and from nothing else.

use std::collections::BTreeSet;

use events::account::{DeviceRegistered, Registered, Role};
use events::escrow::rule::ReleaseTerms;
use events::market::{Deadlines, EscrowTerms, FeePolicy, Opened, PurchaseLimit, ReserveTerms, ReturnTerms};
use events::metadata::{Cause, DeadlineStamp};
use events::step_up::StepUpTerms;
use events::{Commit, Event, Position, Recorded, Timestamp};
use serde::{Deserialize, Serialize};

use crate::account::Accounts;
use crate::debt::Debts;
use crate::earnings::Reserves;
use crate::funding::Credits;
use crate::ledger::Ledger;
use crate::listing::{Listings, Sale};
use crate::market_key::MarketKeys;
use crate::order::Orders;
use crate::payment::{ClosedPayment, Effect, EffectId, Payments};
use crate::payout::{ClosedPayout, Payouts};
use crate::promotion::Promotions;
use crate::push::Push;
use crate::reconciliation::Breaks;
use crate::replay::{Nonces, Recent};
use crate::reservation::Reservations;
use crate::risk::Risk;
use crate::shipping::Rates;
use crate::tax::Taxes;
use crate::webhook::Webhooks;

/// A market's state. Folding the same log always gives the same state, bit for bit.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Market {
    /// How it was opened; none for an empty log.
    pub opened: Option<Opened>,
    /// Its own keys.
    pub keys: MarketKeys,
    /// The number of the current writer, 0 before the first.
    pub epoch: u64,
    /// Position of the last event, 0 before the first.
    pub position: Position,
    /// Time of the last event. Time never goes back in a market.
    pub time: Timestamp,
    /// Accounts, devices, keys and carts.
    pub accounts: Accounts,
    /// Listings and stock.
    pub listings: Listings,
    /// Units that buyers have set aside.
    pub reservations: Reservations,
    /// What is taxed, and how much.
    pub taxes: Taxes,
    /// What sellers take for delivery.
    pub rates: Rates,
    /// What sellers take off their prices.
    pub promotions: Promotions,
    /// Orders.
    pub orders: Orders,
    /// Every deadline that something waits for.
    pub(crate) waiting: BTreeSet<DeadlineStamp>,
    /// Money.
    pub ledger: Ledger,
    /// What is kept of sellers' earnings.
    pub reserves: Reserves,
    /// What of debts was written off.
    pub debts: Debts,
    /// The last credits that providers gave.
    pub credits: Credits,
    /// Payments through providers, and refunds.
    pub payments: Payments,
    /// Payouts through providers.
    pub payouts: Payouts,
    /// What differs between a provider's own file and the ledger.
    pub breaks: Breaks,
    /// What needs a second factor; none: nothing was said yet.
    pub step_up: Option<StepUpTerms>,
    /// What is known of risk; none: no operator has proposed rules yet.
    pub risk: Option<Box<Risk>>,
    /// Addresses that are told what happens.
    pub webhooks: Webhooks,
    /// Devices that are told what happens.
    pub push: Push,
    /// Nonces that can still be replayed.
    pub nonces: Nonces,
    /// The last commands.
    pub recent: Recent,
    /// The highest position whose command, payment, payout or closed order is no longer in memory: what is not found here
    /// and may be older has to be looked up in an index that covers it. 0: nothing was forgotten.
    pub forgotten: Position,
}

impl Market {
    /// Makes the state of an empty log.
    pub fn new() -> Self {
        Market::default()
    }

    /// Folds a whole commit.
    pub fn evolve_commit(&mut self, commit: &Commit) {
        for recorded in commit.events() {
            self.evolve(recorded);
        }
    }

    /// Folds one event. Total over every history that [`crate::decide`] can write.
    ///
    /// # Panics
    /// If the history is none that could have been decided: then a program was wrong, and going on could lose money.
    pub fn evolve(&mut self, recorded: &Recorded) {
        let position = recorded.position;
        assert!(
            position == self.position + 1,
            "events are folded in order: {position} after {}",
            self.position
        );
        self.position = position;
        self.time = recorded.metadata.time;
        if let Some(start) = &recorded.metadata.start
            && let Cause::Command(stamp) = &start.cause
        {
            self.nonces.use_up(stamp.key, stamp.nonce, self.time);
            if let Some(key) = self.accounts.keys.get_mut(&stamp.key) {
                key.window.use_up(stamp.seq);
            }
            self.accounts.stepped_up(stamp);
            let forgotten = self.recent.remember(stamp, position, self.time);
            self.forget(forgotten);
        }
        self.keys.evolve(recorded);
        self.apply(&recorded.event, position);
    }

    fn apply(&mut self, event: &Event, position: Position) {
        self.remember_risk(event);
        match event {
            Event::MarketOpened(event) => self.open(event),
            Event::WriterStarted(event) => self.epoch = event.epoch,
            Event::CommandRejected(_) | Event::CommandUnchanged(_) => {}
            // Its keys see to them, above.
            Event::MarketKeyAnnounced(_) | Event::MarketKeyRetired(_) => {}
            Event::AccountRegistered(event) => self.accounts.registered(event),
            Event::DeviceRegistered(event) => self.accounts.device_registered(event, self.time),
            Event::DeviceRenamed(event) => self.accounts.device_renamed(event),
            Event::DeviceRotated(event) => self.accounts.device_rotated(event),
            Event::DeviceRevoked(event) => self.accounts.device_revoked(event),
            Event::DeviceAttested(event) => self.accounts.device_attested(event),
            Event::ProfileSet(event) => self.accounts.profile_set(event),
            Event::EncryptionKeySet(event) => self.accounts.encryption_key_set(event),
            // A record: nothing is decided by it.
            Event::AddressSealed(_) => {}
            Event::AccountErased(event) => {
                self.accounts.erased(event);
                self.end_webhooks_of(event.account);
                self.push.erased(event.account);
            }
            Event::StepUpTermsSet(event) => self.step_up = Some(event.terms.clone()),
            Event::PasskeyEnrolled(event) => self.accounts.passkey_enrolled(event),
            Event::PasskeyRemoved(event) => self.accounts.passkey_removed(event),
            Event::TotpEnrolled(event) => self.accounts.totp_enrolled(event),
            Event::TotpRemoved(event) => self.accounts.totp_removed(event),
            Event::RecoveryEnrolled(event) => self.accounts.recovery_enrolled(event),
            Event::RecoveryRemoved(event) => self.accounts.recovery_removed(event),
            Event::CodeRefused(event) => self.accounts.code_refused(event, self.time),
            Event::PasswordSet(event) => self.accounts.password_set(event),
            Event::PasswordRemoved(event) => self.accounts.password_removed(event),
            Event::SignInFailed(event) => self.accounts.sign_in_failed(event, self.time),
            Event::SessionStarted(event) => self.accounts.session_started(event, self.time),
            Event::SessionEnded(event) => self.accounts.session_ended(event),
            Event::ListingCreated(event) => self.listings.created(event),
            Event::StockReceived(event) => {
                self.listings.change_stock(event.listing, |stock| stock.received(event));
            }
            Event::ListingUpdated(event) => self.listings.updated(event),
            Event::ListingPaused(event) => self.listings.enter(event.listing, Sale::Paused),
            Event::ListingResumed(event) => self.listings.enter(event.listing, Sale::Open),
            Event::ListingWithdrawn(event) => self.listings.enter(event.listing, Sale::Withdrawn),
            // What is found by which words decides nothing.
            Event::ListingDescribed(_) | Event::SynonymsSet(_) => {}
            Event::ListingBlocked(event) => self.listings.block(event.listing, true),
            Event::ListingUnblocked(event) => self.listings.block(event.listing, false),
            Event::SellerSuspended(event) => self.accounts.suspend_seller(event.account, true),
            Event::SellerReinstated(event) => self.accounts.suspend_seller(event.account, false),
            Event::AccountSuspended(event) => self.accounts.account_suspended(event),
            Event::AccountReinstated(event) => self.accounts.account_reinstated(event),
            Event::ClearanceGranted(event) => self.accounts.clear(event.account, true),
            Event::ClearanceRevoked(event) => self.accounts.clear(event.account, false),
            Event::AccountVerified(event) => self.accounts.verified(event),
            Event::TaxSet(event) => self.taxes.set(event),
            Event::ShippingRateSet(event) => self.rates.set(event),
            Event::ShippingRateRemoved(event) => self.rates.removed(event),
            Event::PromotionCreated(event) => self.promotions.created(event, self.time),
            Event::PromotionEnded(event) => self.promotions.ended(event),
            Event::StockAdjusted(event) => {
                self.listings.change_stock(event.listing, |stock| stock.adjusted(event));
            }
            Event::StockSafetySet(event) => {
                self.listings.change_stock(event.listing, |stock| stock.safety_set(event));
            }
            Event::StockMoved(event) => {
                self.listings.change_stock(event.listing, |stock| stock.moved(event));
            }
            Event::StockBackorderLimitSet(event) => self.listings.change_stock(event.listing, |stock| {
                stock.backorder_limit = event.units;
                Some(())
            }),
            Event::StockExpected(event) => self.listings.change_stock(event.listing, |stock| {
                stock.expected(event);
                Some(())
            }),
            // It says what the event before it in its commit led to.
            Event::StockShortfallDetected(_) => {}
            Event::WalletFunded(event) => self.wallet_funded(event, position),
            Event::PaymentRequested(event) => self.payment_requested(event),
            Event::PaymentActionRequired(event) => self.payment_action_required(event),
            Event::PaymentAuthorized(event) => self.payment_authorized(event),
            Event::PaymentVoidRequested(event) => self.payment_void_requested(event),
            Event::PaymentCaptureRequested(event) => self.payment_capture_requested(event),
            Event::PaymentCaptured(event) => self.payment_captured(event, position),
            // They close the payment, below, and do nothing else.
            Event::PaymentFailed(_) | Event::PaymentVoided(_) => {}
            Event::RefundRequested(event) => self.refund_requested(event),
            Event::PaymentRefunded(event) => self.payment_refunded(event),
            Event::RefundFailed(event) => self.refund_failed(event),
            Event::ChargebackInquired(event) => self.chargeback_inquired(event, position),
            Event::InquiryClosed(closed) => self.close_chargeback(closed.chargeback, event, position),
            Event::ChargebackOpened(event) => self.chargeback_opened(event, position),
            Event::ChargebackUpdated(event) => self.chargeback_updated(event, position),
            Event::EvidenceSubmitted(event) => self.evidence_submitted(event, position),
            Event::ChargebackAccepted(event) => {
                self.chargeback_accepted(event.payment, event.chargeback, position);
            }
            Event::ChargebackPastDue(event) => self.chargeback_past_due(event, position),
            Event::ChargebackFeeCharged(event) => self.chargeback_fee_charged(event, position),
            Event::ChargebackWon(won) => {
                self.chargeback_won(won);
                self.close_chargeback(won.chargeback, event, position);
            }
            Event::ChargebackLost(lost) => {
                self.chargeback_lost(lost);
                self.close_chargeback(lost.chargeback, event, position);
            }
            Event::ChargebackCovered(event) => self.chargeback_covered(event, position),
            Event::OrderResumed(event) => self.order_resumed(event),
            Event::OrderChargedBack(event) => self.order_charged_back(event),
            Event::WalletRepaid(event) => {
                event.transfers.iter().for_each(|transfer| self.ledger.post(transfer));
            }
            Event::WriteOffProposed(event) => self.write_off_proposed(event),
            Event::DebtWrittenOff(event) => self.debt_written_off(event),
            Event::PayoutRequested(event) => self.payout_requested(event),
            // They close the payout, too, below.
            Event::PayoutPaid(event) => self.ledger.post(&event.transfer),
            Event::PayoutFailed(event) => self.ledger.post(&event.transfer),
            Event::PayoutReturned(event) => self.ledger.post(&event.transfer),
            Event::PayoutOverdue(event) => self.payout_overdue(event),
            Event::ReconciliationReported(event) => self.reconciliation_reported(event, position),
            Event::BreakResolved(event) => self.break_resolved(event),
            Event::CartItemAdded(event) => self.item_added(event),
            Event::CartQuantitySet(event) => self.quantity_set(event),
            Event::CartItemRemoved(event) => self.item_removed(event),
            Event::CartCleared(event) => self.cleared(event),
            Event::CartMigrated(event) => self.cart_migrated(event),
            Event::CartSavedForLater(event) => self.saved_for_later(event),
            Event::CartMovedBack(event) => self.moved_back(event),
            Event::CartMerged(event) => self.cart_merged(event),
            Event::CartCouponApplied(event) => self.coupon_applied(event),
            Event::CartCouponRemoved(event) => self.coupon_removed(event),
            Event::CartNamed(event) => self.cart_named(event),
            Event::CartShared(event) => self.cart_shared(event),
            Event::CartUnshared(event) => self.cart_unshared(event),
            Event::CartFrozen(event) => self.cart_frozen(event),
            Event::CartUnfrozen(event) => self.cart_unfrozen(event),
            Event::CartRestored(event) => self.cart_restored(event),
            Event::CartAbandoned(event) => self.cart_abandoned(event),
            Event::OrderPlaced(event) => self.order_placed(event),
            Event::OrderAccepted(event) => self.order_accepted(event),
            Event::OrderAuthorized(event) => self.order_authorized(event),
            Event::AuthorizationExpiring(event) => self.authorization_expiring(event),
            Event::OrderPaid(event) => self.order_paid(event),
            Event::OrderShipped(event) => self.order_shipped(event),
            Event::OrderReallocated(event) => self.order_reallocated(event),
            Event::OrderDelivered(event) => self.order_delivered(event),
            Event::OrderCancelled(event) => self.order_cancelled(event),
            Event::OrderRefunded(event) => self.order_refunded(event),
            Event::ChangeProposed(event) => self.change_proposed(event),
            Event::ChangeDeclined(event) => self.change_ended(event.order),
            Event::ChangeWithdrawn(event) => self.change_ended(event.order),
            Event::ChangeLapsed(event) => self.change_ended(event.order),
            Event::OrderChanged(event) => self.order_changed(event),
            Event::EscrowHeld(event) => self.escrow_held(event),
            Event::EscrowSubsidized(event) => self.escrow_subsidized(event),
            Event::SubsidyReturned(event) => self.subsidy_returned(event),
            Event::EscrowReleased(event) => self.escrow_released(event, position),
            Event::EscrowRefunded(event) => self.escrow_refunded(event, position),
            Event::OrderHeld(event) => self.order_held(event),
            Event::UnholdRequested(event) => self.unhold_requested(event),
            Event::OrderUnheld(event) => self.order_unheld(event),
            Event::EscrowFrozen(event) => self.escrow_frozen(event),
            Event::EscrowUnfrozen(event) => self.escrow_unfrozen(event),
            Event::SettlementProposed(event) => self.settlement_proposed(event),
            Event::EscrowSettled(event) => self.escrow_settled(event, position),
            Event::ReleaseScheduled(event) => self.release_scheduled(event),
            Event::MilestoneSigned(event) => self.milestone_signed(event),
            Event::RiskCleared(event) => self.risk_cleared(event),
            Event::ReservationsAllowed(event) => self.reservations_allowed(event),
            Event::StockReserved(event) => self.stock_reserved(event),
            Event::ReservationExtended(event) => self.reservation_extended(event),
            Event::ReservationReleased(event) => self.reservation_lessened(event.reservation, event.quantity),
            Event::ReservationExpired(event) => self.reservation_lessened(event.reservation, event.quantity),
            Event::ReservationTakenUp(event) => self.reservation_lessened(event.reservation, event.quantity),
            Event::ReserveReleased(event) => self.reserve_released(event),
            Event::ReturnRequested(event) => self.return_requested(event),
            Event::ReturnApproved(event) => self.return_approved(event),
            Event::ReturnDecisionProposed(event) => self.return_decision_proposed(event),
            Event::ReplacementReserved(event) => self.replacement_reserved(event),
            Event::ReplacementGivenUp(event) => self.replacement_given_up(event),
            Event::ReturnRejected(event) => self.return_rejected(event),
            Event::ReturnAppealed(event) => self.return_appealed(event),
            Event::ReturnSent(event) => self.return_sent(event),
            Event::ReturnReceived(event) => self.return_received(event),
            Event::ReturnRefunded(event) => self.return_refunded(event),
            Event::ReturnEnded(event) => self.return_ended(event),
            Event::OrderClosed(event) => self.order_closed(event, position),
            Event::WalletExchanged(event) => self.wallet_exchanged(event, position),
            Event::RiskRulesProposed(event) => self.risk_rules_proposed(event),
            Event::RiskRulesSet(event) => self.risk_rules_set(event),
            Event::RiskAssessed(event) => self.risk_assessed(event),
            Event::ReviewOpened(event) => self.review_opened(event),
            Event::ReviewClaimed(event) => self.review_claimed(event),
            Event::ReviewDecided(event) => self.review_decided(event),
            Event::OrderLabelled(event) => self.order_labelled(event),
            Event::WebhookRegistered(event) => self.webhook_registered(event, position),
            Event::WebhookUpdated(event) => self.webhook_updated(event),
            Event::WebhookSecretRotated(event) => self.webhook_secret_rotated(event),
            Event::WebhookRemoved(event) => self.webhook_removed(event),
            Event::WebhookReached(event) => self.webhook_reached(event),
            Event::WebhookDisabled(event) => self.webhook_disabled(event),
            // Nothing is decided by it: what is sent is the sender's, who asks the views.
            Event::LetterReplaced(_) | Event::LetterDropped(_) => {}
            Event::PushSubscribed(event) => self.push.subscribed(event),
            Event::PushUnsubscribed(event) => self.push.unsubscribed(event),
            // Nothing is decided by it.
            Event::PushPreferencesSet(_) => {}
            Event::PushReached(event) => self.push.reached(event),
        }
        if let Some((id, closed)) = ClosedPayment::left_by(event, position) {
            self.payment_closed(id, closed);
        }
        if let Some((id, closed)) = ClosedPayout::left_by(event, position) {
            self.payout_closed(id, closed);
        }
    }

    fn open(&mut self, event: &Opened) {
        let registrar = &event.registrar;
        let roles = [Role::Registrar].into();
        self.accounts.registered(&Registered { account: registrar.account, roles });
        let (account, device, key) = (registrar.account, registrar.device, registrar.key);
        self.accounts.device_registered(&DeviceRegistered::new(account, device, key), self.time);
        self.opened = Some(event.clone());
    }

    /// Notes that what stood at `position` is no longer in memory.
    pub(crate) fn forget(&mut self, position: Option<Position>) {
        self.forgotten = self.forgotten.max(position.unwrap_or(0));
    }

    /// Gives all that providers have been asked for and have not answered.
    pub fn effects(&self) -> Vec<(EffectId, Effect)> {
        self.payments.effects().into_iter().chain(self.payouts.effects()).collect()
    }

    /// Gives the deadline that ends first.
    pub fn next_deadline(&self) -> Option<DeadlineStamp> {
        self.waiting.first().copied()
    }

    /// Gives what the platform takes.
    ///
    /// # Panics
    /// If the market was not opened: the first event of every log opens it.
    pub fn fee_policy(&self) -> &FeePolicy {
        &self.opened().fee
    }

    /// Gives how long waiting states last.
    ///
    /// # Panics
    /// If the market was not opened: the first event of every log opens it.
    pub fn deadlines(&self) -> &Deadlines {
        &self.opened().deadlines
    }

    /// Gives how much buyers may buy.
    ///
    /// # Panics
    /// If the market was not opened: the first event of every log opens it.
    pub fn purchase_limits(&self) -> &[PurchaseLimit] {
        &self.opened().purchase_limits
    }

    /// Gives when money is released, and how it is treated in dispute.
    ///
    /// # Panics
    /// If the market was not opened: the first event of every log opens it.
    pub fn escrow_terms(&self) -> EscrowTerms {
        self.opened().escrow.clone().unwrap_or_default()
    }

    /// Gives when the money of new orders is released; none: by the usual terms.
    pub(crate) fn release_terms(&self) -> Option<ReleaseTerms> {
        let terms = self.opened().escrow.as_ref()?.release();
        (*terms != ReleaseTerms::default()).then(|| terms.clone())
    }

    /// Gives by what terms something is taken back after it was delivered; none: nothing is.
    pub(crate) fn return_terms(&self) -> Option<&ReturnTerms> {
        self.opened().escrow.as_ref()?.returns()
    }

    /// Gives what of sellers' earnings is kept; none: nothing.
    pub(crate) fn reserve_terms(&self) -> Option<&ReserveTerms> {
        self.opened().escrow.as_ref()?.reserve()
    }

    pub(crate) fn opened(&self) -> &Opened {
        self.opened.as_ref().expect("the first event of every log opens the market")
    }
}
