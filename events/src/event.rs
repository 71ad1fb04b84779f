//! The list of all events, with the names they are stored under.
//!
//! A name on disk is a promise: an event once written is read for ever. A change of meaning gets a new version
//! (`order.shipped.v2`), and the name before it a line under `older`, from where [`Event::decode`] lifts it.

use crate::account::PublicKey;
use crate::ids::AccountId;
use crate::ledger::Transfer;
use crate::{
    account, cart, chargeback, command, debt, device, earnings, escrow, exchange, listing, market, order,
    payment, payout, privacy, promotion, push, reconciliation, reservation, returns, risk, search, shipping,
    sign_in, step_up, stock, tax, webhook,
};

/// Why a stored event can't be understood.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The type is none this program knows.
    #[error(
        "event type `{0}` is unknown: it was written by a newer version of this program, which must read it"
    )]
    UnknownType(String),
    /// The payload is not of its type.
    #[error("payload of `{event_type}` is damaged")]
    Payload {
        /// The type it was stored under.
        event_type: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

macro_rules! events {
    (
        $($name:literal => $variant:ident($payload:path) about $subject:expr),* $(,)?;
        older $($old_name:literal => $old_payload:path as $lifted:ident),* $(,)?
    ) => {
        /// Anything that can happen in a market.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Event {$(
            #[doc = concat!("`", $name, "`")]
            $variant($payload),
        )*}

        impl Event {
            /// Every event type that is written, in the order of this list.
            pub const TYPES: &'static [&'static str] = &[$($name),*];

            /// Every event type that was once written and is still read.
            pub const OLDER_TYPES: &'static [&'static str] = &[$($old_name),*];

            /// Gives the versioned name it is stored under.
            pub const fn type_name(&self) -> &'static str {
                match self {$(Event::$variant(_) => $name,)*}
            }

            /// Gives the id of the aggregate it belongs to, `None` for the market's own events.
            pub fn subject(&self) -> Option<String> {
                match self {$(Event::$variant(payload) => {
                    let subject: fn(&$payload) -> Option<String> = $subject;
                    subject(payload)
                })*}
            }

            /// Writes the payload as JSON.
            pub fn encode(&self) -> Vec<u8> {
                match self {$(Event::$variant(payload) => serde_json::to_vec(payload),)*}
                    .expect("an event holds nothing that JSON can't say")
            }

            /// Reads a payload. One of an older type is lifted into the present form of its event.
            pub fn decode(type_name: &str, payload: &[u8]) -> Result<Event, DecodeError> {
                let damaged = |source| DecodeError::Payload { event_type: type_name.to_owned(), source };
                match type_name {
                    $($name => serde_json::from_slice(payload).map(Event::$variant).map_err(damaged),)*
                    $($old_name => serde_json::from_slice::<$old_payload>(payload)
                        .map(|older| Event::$lifted(older.into()))
                        .map_err(damaged),)*
                    unknown => Err(DecodeError::UnknownType(unknown.chars().take(64).collect())),
                }
            }

            /// Makes the JSON Schema of every payload that may stand in a log, titled with its type's name.
            pub fn schemas() -> Vec<(&'static str, schemars::Schema)> {
                let titled = |name: &'static str, mut schema: schemars::Schema| {
                    schema.insert("title".to_owned(), name.into());
                    (name, schema)
                };
                vec![
                    $(titled($name, schemars::schema_for!($payload)),)*
                    $(titled($old_name, schemars::schema_for!($old_payload)),)*
                ]
            }
        }

        $(impl From<$payload> for Event {
            fn from(payload: $payload) -> Event {
                Event::$variant(payload)
            }
        })*
    };
}

events! {
    "market.opened.v1" => MarketOpened(market::Opened) about |_| None,
    "market.writer_started.v1" => WriterStarted(market::WriterStarted) about |_| None,
    "market.key_announced.v1" => MarketKeyAnnounced(market::KeyAnnounced) about |_| None,
    "market.key_retired.v1" => MarketKeyRetired(market::KeyRetired) about |_| None,
    "command.rejected.v1" => CommandRejected(command::Rejected) about |_| None,
    "command.unchanged.v1" => CommandUnchanged(command::Unchanged) about |_| None,
    "account.registered.v1" => AccountRegistered(account::Registered) about |e| Some(e.account.to_string()),
    "device.registered.v1" => DeviceRegistered(account::DeviceRegistered) about |e| Some(e.device.to_string()),
    "device.renamed.v1" => DeviceRenamed(device::Renamed) about |e| Some(e.device.to_string()),
    "device.rotated.v1" => DeviceRotated(device::Rotated) about |e| Some(e.device.to_string()),
    "device.revoked.v1" => DeviceRevoked(device::Revoked) about |e| Some(e.device.to_string()),
    "device.attested.v1" => DeviceAttested(device::Attested) about |e| Some(e.device.to_string()),
    "account.profile_set.v1" => ProfileSet(privacy::ProfileSet) about |e| Some(e.account.to_string()),
    "seller.encryption_key_set.v1" => EncryptionKeySet(privacy::EncryptionKeySet) about |e| Some(e.account.to_string()),
    "order.address_sealed.v1" => AddressSealed(privacy::AddressSealed) about |e| Some(e.order.to_string()),
    "account.erased.v1" => AccountErased(privacy::Erased) about |e| Some(e.account.to_string()),
    "step_up.terms_set.v1" => StepUpTermsSet(step_up::TermsSet) about |_| None,
    "step_up.passkey_enrolled.v1" => PasskeyEnrolled(step_up::PasskeyEnrolled) about |e| Some(e.account.to_string()),
    "step_up.passkey_removed.v1" => PasskeyRemoved(step_up::PasskeyRemoved) about |e| Some(e.account.to_string()),
    "step_up.totp_enrolled.v1" => TotpEnrolled(step_up::TotpEnrolled) about |e| Some(e.account.to_string()),
    "step_up.totp_removed.v1" => TotpRemoved(step_up::TotpRemoved) about |e| Some(e.account.to_string()),
    "step_up.recovery_enrolled.v1" => RecoveryEnrolled(step_up::RecoveryEnrolled) about |e| Some(e.account.to_string()),
    "step_up.recovery_removed.v1" => RecoveryRemoved(step_up::RecoveryRemoved) about |e| Some(e.account.to_string()),
    "step_up.code_refused.v1" => CodeRefused(step_up::CodeRefused) about |e| Some(e.account.to_string()),
    "sign_in.password_set.v1" => PasswordSet(sign_in::PasswordSet) about |e| Some(e.account.to_string()),
    "sign_in.password_removed.v1" => PasswordRemoved(sign_in::PasswordRemoved) about |e| Some(e.account.to_string()),
    "sign_in.failed.v1" => SignInFailed(sign_in::SignInFailed) about |e| Some(e.account.to_string()),
    "session.started.v1" => SessionStarted(sign_in::SessionStarted) about |e| Some(e.account.to_string()),
    "session.ended.v1" => SessionEnded(sign_in::SessionEnded) about |e| Some(e.account.to_string()),
    "listing.created.v1" => ListingCreated(listing::Created) about |e| Some(e.listing.to_string()),
    "stock.received.v1" => StockReceived(listing::StockReceived) about |e| Some(e.listing.to_string()),
    "listing.updated.v1" => ListingUpdated(listing::Updated) about |e| Some(e.listing.to_string()),
    "listing.paused.v1" => ListingPaused(listing::Paused) about |e| Some(e.listing.to_string()),
    "listing.resumed.v1" => ListingResumed(listing::Resumed) about |e| Some(e.listing.to_string()),
    "listing.withdrawn.v1" => ListingWithdrawn(listing::Withdrawn) about |e| Some(e.listing.to_string()),
    "listing.described.v1" => ListingDescribed(search::Described) about |e| Some(e.listing.to_string()),
    "search.synonyms_set.v1" => SynonymsSet(search::SynonymsSet) about |_| None,
    "listing.blocked.v1" => ListingBlocked(listing::Blocked) about |e| Some(e.listing.to_string()),
    "listing.unblocked.v1" => ListingUnblocked(listing::Unblocked) about |e| Some(e.listing.to_string()),
    "seller.suspended.v1" => SellerSuspended(account::SellerSuspended) about |e| Some(e.account.to_string()),
    "seller.reinstated.v1" => SellerReinstated(account::SellerReinstated) about |e| Some(e.account.to_string()),
    "account.suspended.v1" => AccountSuspended(account::Suspended) about |e| Some(e.account.to_string()),
    "account.reinstated.v1" => AccountReinstated(account::Reinstated) about |e| Some(e.account.to_string()),
    "account.clearance_granted.v1" => ClearanceGranted(account::ClearanceGranted) about |e| Some(e.account.to_string()),
    "account.clearance_revoked.v1" => ClearanceRevoked(account::ClearanceRevoked) about |e| Some(e.account.to_string()),
    "account.verified.v1" => AccountVerified(account::Verified) about |e| Some(e.account.to_string()),
    "tax.set.v1" => TaxSet(tax::Set) about |e| Some(e.region.to_string()),
    "shipping.rate_set.v1" => ShippingRateSet(shipping::RateSet) about |e| Some(e.seller.to_string()),
    "shipping.rate_removed.v1" => ShippingRateRemoved(shipping::RateRemoved) about |e| Some(e.seller.to_string()),
    "promotion.created.v1" => PromotionCreated(promotion::Created) about |e| Some(e.promotion.to_string()),
    "promotion.ended.v1" => PromotionEnded(promotion::Ended) about |e| Some(e.promotion.to_string()),
    "stock.adjusted.v1" => StockAdjusted(stock::Adjusted) about |e| Some(e.listing.to_string()),
    "stock.safety_set.v1" => StockSafetySet(stock::SafetySet) about |e| Some(e.listing.to_string()),
    "stock.backorder_limit_set.v1" => StockBackorderLimitSet(stock::BackorderLimitSet) about |e| Some(e.listing.to_string()),
    "stock.expected.v1" => StockExpected(stock::Expected) about |e| Some(e.listing.to_string()),
    "stock.shortfall_detected.v1" => StockShortfallDetected(stock::ShortfallDetected) about |e| Some(e.listing.to_string()),
    "wallet.funded.v1" => WalletFunded(listing::WalletFunded) about |e| Some(e.account.to_string()),
    "payment.requested.v1" => PaymentRequested(payment::Requested) about |e| Some(e.payment.to_string()),
    "payment.action_required.v1" => PaymentActionRequired(payment::ActionRequired) about |e| Some(e.payment.to_string()),
    "payment.authorized.v1" => PaymentAuthorized(payment::Authorized) about |e| Some(e.payment.to_string()),
    "payment.void_requested.v1" => PaymentVoidRequested(payment::VoidRequested) about |e| Some(e.payment.to_string()),
    "payment.captured.v1" => PaymentCaptured(payment::Captured) about |e| Some(e.payment.to_string()),
    "payment.failed.v1" => PaymentFailed(payment::Failed) about |e| Some(e.payment.to_string()),
    "payment.capture_requested.v1" => PaymentCaptureRequested(payment::CaptureRequested) about |e| Some(e.payment.to_string()),
    "payment.voided.v1" => PaymentVoided(payment::Voided) about |e| Some(e.payment.to_string()),
    "payment.refund_requested.v1" => RefundRequested(payment::RefundRequested) about |e| Some(e.payment.to_string()),
    "payment.refunded.v1" => PaymentRefunded(payment::Refunded) about |e| Some(e.payment.to_string()),
    "payment.refund_failed.v1" => RefundFailed(payment::RefundFailed) about |e| Some(e.payment.to_string()),
    "chargeback.inquired.v1" => ChargebackInquired(chargeback::Inquired) about |e| Some(e.payment.to_string()),
    "chargeback.inquiry_closed.v1" => InquiryClosed(chargeback::InquiryClosed) about |e| Some(e.payment.to_string()),
    "chargeback.opened.v1" => ChargebackOpened(chargeback::Opened) about |e| Some(e.payment.to_string()),
    "chargeback.updated.v1" => ChargebackUpdated(chargeback::Updated) about |e| Some(e.payment.to_string()),
    "chargeback.evidence_submitted.v1" => EvidenceSubmitted(chargeback::EvidenceSubmitted) about |e| Some(e.payment.to_string()),
    "chargeback.accepted.v1" => ChargebackAccepted(chargeback::Accepted) about |e| Some(e.payment.to_string()),
    "chargeback.past_due.v1" => ChargebackPastDue(chargeback::PastDue) about |e| Some(e.payment.to_string()),
    "chargeback.fee_charged.v1" => ChargebackFeeCharged(chargeback::FeeCharged) about |e| Some(e.payment.to_string()),
    "chargeback.won.v1" => ChargebackWon(chargeback::Won) about |e| Some(e.payment.to_string()),
    "chargeback.lost.v1" => ChargebackLost(chargeback::Lost) about |e| Some(e.payment.to_string()),
    "chargeback.covered.v1" => ChargebackCovered(chargeback::Covered) about |e| Some(e.payment.to_string()),
    "order.resumed.v1" => OrderResumed(chargeback::OrderResumed) about |e| Some(e.order.to_string()),
    "order.charged_back.v1" => OrderChargedBack(chargeback::OrderChargedBack) about |e| Some(e.order.to_string()),
    "wallet.repaid.v1" => WalletRepaid(debt::Repaid) about |e| Some(e.account.to_string()),
    "debt.write_off_proposed.v1" => WriteOffProposed(debt::WriteOffProposed) about |e| Some(e.account.to_string()),
    "debt.written_off.v1" => DebtWrittenOff(debt::WrittenOff) about |e| Some(e.account.to_string()),
    "payout.requested.v1" => PayoutRequested(payout::Requested) about |e| Some(e.payout.to_string()),
    "payout.paid.v1" => PayoutPaid(payout::Paid) about |e| Some(e.payout.to_string()),
    "payout.failed.v1" => PayoutFailed(payout::Failed) about |e| Some(e.payout.to_string()),
    "payout.returned.v1" => PayoutReturned(payout::Returned) about |e| Some(e.payout.to_string()),
    "seller.reserve_released.v1" => ReserveReleased(earnings::ReserveReleased) about |e| Some(e.seller.to_string()),
    "payout.overdue.v1" => PayoutOverdue(payout::Overdue) about |e| Some(e.payout.to_string()),
    "reconciliation.reported.v1" => ReconciliationReported(reconciliation::Reported) about |e| Some(e.provider.to_string()),
    "reconciliation.resolved.v1" => BreakResolved(reconciliation::Resolved) about |e| Some(e.provider.to_string()),
    "cart.item_added.v1" => CartItemAdded(cart::ItemAdded) about |e| Some(e.cart.to_string()),
    "cart.quantity_set.v1" => CartQuantitySet(cart::QuantitySet) about |e| Some(e.cart.to_string()),
    "cart.item_removed.v1" => CartItemRemoved(cart::ItemRemoved) about |e| Some(e.cart.to_string()),
    "cart.cleared.v1" => CartCleared(cart::Cleared) about |e| Some(e.cart.to_string()),
    "cart.migrated.v1" => CartMigrated(cart::Migrated) about |e| Some(e.cart.to_string()),
    "cart.saved_for_later.v1" => CartSavedForLater(cart::SavedForLater) about |e| Some(e.cart.to_string()),
    "cart.moved_back.v1" => CartMovedBack(cart::MovedBack) about |e| Some(e.cart.to_string()),
    "cart.merged.v1" => CartMerged(cart::Merged) about |e| Some(e.cart.to_string()),
    "cart.coupon_applied.v1" => CartCouponApplied(cart::CouponApplied) about |e| Some(e.cart.to_string()),
    "cart.coupon_removed.v1" => CartCouponRemoved(cart::CouponRemoved) about |e| Some(e.cart.to_string()),
    "cart.named.v1" => CartNamed(cart::Named) about |e| Some(e.cart.to_string()),
    "cart.shared.v1" => CartShared(cart::Shared) about |e| Some(e.cart.to_string()),
    "cart.unshared.v1" => CartUnshared(cart::Unshared) about |e| Some(e.cart.to_string()),
    "cart.frozen.v1" => CartFrozen(cart::Frozen) about |e| Some(e.cart.to_string()),
    "cart.unfrozen.v1" => CartUnfrozen(cart::Unfrozen) about |e| Some(e.cart.to_string()),
    "cart.restored.v1" => CartRestored(cart::Restored) about |e| Some(e.cart.to_string()),
    "cart.abandoned.v1" => CartAbandoned(cart::Abandoned) about |e| Some(e.cart.to_string()),
    "order.placed.v1" => OrderPlaced(order::Placed) about |e| Some(e.order.to_string()),
    "order.accepted.v1" => OrderAccepted(order::Accepted) about |e| Some(e.order.to_string()),
    "order.authorized.v1" => OrderAuthorized(order::Authorized) about |e| Some(e.order.to_string()),
    "order.authorization_expiring.v1" => AuthorizationExpiring(order::AuthorizationExpiring) about |e| Some(e.order.to_string()),
    "order.paid.v1" => OrderPaid(order::Paid) about |e| Some(e.order.to_string()),
    "order.shipped.v2" => OrderShipped(order::Shipped) about |e| Some(e.order.to_string()),
    "order.delivered.v2" => OrderDelivered(order::Delivered) about |e| Some(e.order.to_string()),
    "order.cancelled.v2" => OrderCancelled(order::Cancelled) about |e| Some(e.order.to_string()),
    "order.refunded.v1" => OrderRefunded(order::Refunded) about |e| Some(e.order.to_string()),
    "order.change_proposed.v1" => ChangeProposed(order::change::ChangeProposed) about |e| Some(e.order.to_string()),
    "order.change_declined.v1" => ChangeDeclined(order::change::ChangeDeclined) about |e| Some(e.order.to_string()),
    "order.change_withdrawn.v1" => ChangeWithdrawn(order::change::ChangeWithdrawn) about |e| Some(e.order.to_string()),
    "order.change_lapsed.v1" => ChangeLapsed(order::change::ChangeLapsed) about |e| Some(e.order.to_string()),
    "order.changed.v1" => OrderChanged(order::change::Changed) about |e| Some(e.order.to_string()),
    "escrow.subsidized.v1" => EscrowSubsidized(promotion::Subsidized) about |e| Some(e.order.to_string()),
    "escrow.subsidy_returned.v1" => SubsidyReturned(promotion::SubsidyReturned) about |e| Some(e.order.to_string()),
    "escrow.held.v1" => EscrowHeld(order::EscrowHeld) about |e| Some(e.order.to_string()),
    "escrow.released.v2" => EscrowReleased(order::EscrowReleased) about |e| Some(e.order.to_string()),
    "escrow.refunded.v2" => EscrowRefunded(order::EscrowRefunded) about |e| Some(e.order.to_string()),
    "order.held.v1" => OrderHeld(order::hold::Held) about |e| Some(e.order.to_string()),
    "order.unhold_requested.v1" => UnholdRequested(order::hold::UnholdRequested) about |e| Some(e.order.to_string()),
    "order.unheld.v1" => OrderUnheld(order::hold::Unheld) about |e| Some(e.order.to_string()),
    "escrow.frozen.v1" => EscrowFrozen(escrow::Frozen) about |e| Some(e.order.to_string()),
    "escrow.unfrozen.v1" => EscrowUnfrozen(escrow::Unfrozen) about |e| Some(e.order.to_string()),
    "escrow.settlement_proposed.v1" => SettlementProposed(escrow::SettlementProposed) about |e| Some(e.order.to_string()),
    "escrow.settled.v1" => EscrowSettled(escrow::Settled) about |e| Some(e.order.to_string()),
    "escrow.release_scheduled.v1" => ReleaseScheduled(escrow::ReleaseScheduled) about |e| Some(e.order.to_string()),
    "stock.reservations_allowed.v1" => ReservationsAllowed(reservation::Allowed) about |e| Some(e.listing.to_string()),
    "stock.reserved.v1" => StockReserved(reservation::Reserved) about |e| Some(e.listing.to_string()),
    "stock.reservation_extended.v1" => ReservationExtended(reservation::Extended) about |e| Some(e.listing.to_string()),
    "stock.reservation_released.v1" => ReservationReleased(reservation::Released) about |e| Some(e.listing.to_string()),
    "stock.reservation_expired.v1" => ReservationExpired(reservation::Expired) about |e| Some(e.listing.to_string()),
    "stock.reservation_taken_up.v1" => ReservationTakenUp(reservation::TakenUp) about |e| Some(e.listing.to_string()),
    "stock.moved.v1" => StockMoved(stock::Moved) about |e| Some(e.listing.to_string()),
    "order.reallocated.v1" => OrderReallocated(order::Reallocated) about |e| Some(e.order.to_string()),
    "wallet.exchanged.v1" => WalletExchanged(exchange::Exchanged) about |e| Some(e.account.to_string()),
    "escrow.milestone_signed.v1" => MilestoneSigned(escrow::MilestoneSigned) about |e| Some(e.order.to_string()),
    "return.requested.v1" => ReturnRequested(returns::Requested) about |e| Some(e.order.to_string()),
    "return.approved.v1" => ReturnApproved(returns::Approved) about |e| Some(e.order.to_string()),
    "return.rejected.v1" => ReturnRejected(returns::Rejected) about |e| Some(e.order.to_string()),
    "return.appealed.v1" => ReturnAppealed(returns::Appealed) about |e| Some(e.order.to_string()),
    "return.replacement_reserved.v1" => ReplacementReserved(returns::replacement::ReplacementReserved) about |e| Some(e.order.to_string()),
    "return.replacement_given_up.v1" => ReplacementGivenUp(returns::replacement::ReplacementGivenUp) about |e| Some(e.order.to_string()),
    "return.decision_proposed.v1" => ReturnDecisionProposed(returns::DecisionProposed) about |e| Some(e.order.to_string()),
    "return.sent.v1" => ReturnSent(returns::Sent) about |e| Some(e.order.to_string()),
    "return.received.v1" => ReturnReceived(returns::Received) about |e| Some(e.order.to_string()),
    "return.refunded.v1" => ReturnRefunded(returns::Refunded) about |e| Some(e.order.to_string()),
    "return.ended.v1" => ReturnEnded(returns::Ended) about |e| Some(e.order.to_string()),
    "order.closed.v1" => OrderClosed(order::Closed) about |e| Some(e.order.to_string()),
    "order.risk_cleared.v1" => RiskCleared(order::RiskCleared) about |e| Some(e.order.to_string()),
    "risk.rules_proposed.v1" => RiskRulesProposed(risk::RulesProposed) about |_| None,
    "risk.rules_set.v1" => RiskRulesSet(risk::RulesSet) about |_| None,
    "order.risk_assessed.v1" => RiskAssessed(risk::Assessed) about |e| e.orders.first().map(ToString::to_string),
    "order.review_opened.v1" => ReviewOpened(risk::ReviewOpened) about |e| e.orders.first().map(ToString::to_string),
    "order.review_claimed.v1" => ReviewClaimed(risk::ReviewClaimed) about |e| Some(e.order.to_string()),
    "order.review_decided.v1" => ReviewDecided(risk::ReviewDecided) about |e| Some(e.order.to_string()),
    "order.labelled.v1" => OrderLabelled(risk::Labelled) about |e| Some(e.order.to_string()),
    "webhook.registered.v1" => WebhookRegistered(webhook::Registered) about |e| Some(e.webhook.to_string()),
    "webhook.updated.v1" => WebhookUpdated(webhook::Updated) about |e| Some(e.webhook.to_string()),
    "webhook.secret_rotated.v1" => WebhookSecretRotated(webhook::SecretRotated) about |e| Some(e.webhook.to_string()),
    "webhook.removed.v1" => WebhookRemoved(webhook::Removed) about |e| Some(e.webhook.to_string()),
    "webhook.reached.v1" => WebhookReached(webhook::Reached) about |e| Some(e.webhook.to_string()),
    "webhook.disabled.v1" => WebhookDisabled(webhook::Disabled) about |e| Some(e.webhook.to_string()),
    "webhook.letter_replaced.v1" => LetterReplaced(webhook::LetterReplaced) about |e| Some(e.webhook.to_string()),
    "webhook.letter_dropped.v1" => LetterDropped(webhook::LetterDropped) about |e| Some(e.webhook.to_string()),
    "push.subscribed.v1" => PushSubscribed(push::Subscribed) about |e| Some(e.subscription.to_string()),
    "push.unsubscribed.v1" => PushUnsubscribed(push::Unsubscribed) about |e| Some(e.subscription.to_string()),
    "push.preferences_set.v1" => PushPreferencesSet(push::PreferencesSet) about |e| Some(e.account.to_string()),
    "push.reached.v1" => PushReached(push::Reached) about |_| None;

    older
    "order.shipped.v1" => order::v1::Shipped as OrderShipped,
    "order.delivered.v1" => order::v1::Delivered as OrderDelivered,
    "order.cancelled.v1" => order::v1::Cancelled as OrderCancelled,
    "escrow.released.v1" => order::v1::EscrowReleased as EscrowReleased,
    "escrow.refunded.v1" => order::v1::EscrowRefunded as EscrowRefunded,
}

impl Event {
    /// Gives the transfers that it posts to the ledger, in their order.
    pub fn transfers(&self) -> &[Transfer] {
        match self {
            Event::WalletFunded(funded) => std::slice::from_ref(&funded.transfer),
            Event::PaymentCaptured(captured) => std::slice::from_ref(&captured.transfer),
            Event::RefundRequested(refund) => std::slice::from_ref(&refund.transfer),
            Event::PaymentRefunded(refund) => std::slice::from_ref(&refund.transfer),
            Event::RefundFailed(refund) => std::slice::from_ref(&refund.transfer),
            Event::ChargebackOpened(opened) => &opened.transfers,
            Event::ChargebackFeeCharged(charged) => std::slice::from_ref(&charged.transfer),
            Event::ChargebackWon(won) => &won.transfers,
            Event::ChargebackLost(lost) => std::slice::from_ref(&lost.transfer),
            Event::ChargebackCovered(covered) => std::slice::from_ref(&covered.transfer),
            Event::OrderChargedBack(charged) => &charged.transfers,
            Event::WalletRepaid(repaid) => &repaid.transfers,
            Event::DebtWrittenOff(written_off) => std::slice::from_ref(&written_off.transfer),
            Event::PayoutRequested(payout) => std::slice::from_ref(&payout.transfer),
            Event::PayoutPaid(payout) => std::slice::from_ref(&payout.transfer),
            Event::PayoutFailed(payout) => std::slice::from_ref(&payout.transfer),
            Event::PayoutReturned(payout) => std::slice::from_ref(&payout.transfer),
            Event::EscrowHeld(held) => std::slice::from_ref(&held.transfer),
            Event::EscrowSubsidized(subsidized) => std::slice::from_ref(&subsidized.transfer),
            Event::SubsidyReturned(returned) => std::slice::from_ref(&returned.transfer),
            Event::EscrowReleased(released) => &released.transfers,
            Event::EscrowRefunded(refunded) => refunded.transfer.as_slice(),
            Event::EscrowFrozen(frozen) => std::slice::from_ref(&frozen.transfer),
            Event::EscrowUnfrozen(unfrozen) => std::slice::from_ref(&unfrozen.transfer),
            Event::EscrowSettled(settled) => &settled.transfers,
            Event::ReserveReleased(released) => &released.transfers,
            Event::WalletExchanged(exchanged) => &exchanged.transfers,
            Event::ReturnRefunded(refunded) => &refunded.transfers,
            Event::MarketOpened(_)
            | Event::WriterStarted(_)
            | Event::MarketKeyAnnounced(_)
            | Event::MarketKeyRetired(_)
            | Event::CommandRejected(_)
            | Event::CommandUnchanged(_)
            | Event::AccountRegistered(_)
            | Event::DeviceRegistered(_)
            | Event::DeviceRenamed(_)
            | Event::DeviceRotated(_)
            | Event::DeviceRevoked(_)
            | Event::DeviceAttested(_)
            | Event::StepUpTermsSet(_)
            | Event::PasskeyEnrolled(_)
            | Event::PasskeyRemoved(_)
            | Event::TotpEnrolled(_)
            | Event::TotpRemoved(_)
            | Event::RecoveryEnrolled(_)
            | Event::RecoveryRemoved(_)
            | Event::CodeRefused(_)
            | Event::PasswordSet(_)
            | Event::PasswordRemoved(_)
            | Event::SignInFailed(_)
            | Event::SessionStarted(_)
            | Event::SessionEnded(_)
            | Event::ListingCreated(_)
            | Event::StockReceived(_)
            | Event::ListingUpdated(_)
            | Event::ListingPaused(_)
            | Event::ListingResumed(_)
            | Event::ListingWithdrawn(_)
            | Event::ListingDescribed(_)
            | Event::SynonymsSet(_)
            | Event::ListingBlocked(_)
            | Event::ListingUnblocked(_)
            | Event::SellerSuspended(_)
            | Event::SellerReinstated(_)
            | Event::AccountSuspended(_)
            | Event::AccountReinstated(_)
            | Event::ClearanceGranted(_)
            | Event::ClearanceRevoked(_)
            | Event::AccountVerified(_)
            | Event::ProfileSet(_)
            | Event::EncryptionKeySet(_)
            | Event::AddressSealed(_)
            | Event::AccountErased(_)
            | Event::TaxSet(_)
            | Event::ShippingRateSet(_)
            | Event::ShippingRateRemoved(_)
            | Event::PromotionCreated(_)
            | Event::PromotionEnded(_)
            | Event::StockAdjusted(_)
            | Event::StockSafetySet(_)
            | Event::StockBackorderLimitSet(_)
            | Event::StockExpected(_)
            | Event::StockShortfallDetected(_)
            | Event::PaymentRequested(_)
            | Event::PaymentActionRequired(_)
            | Event::PaymentAuthorized(_)
            | Event::PaymentVoidRequested(_)
            | Event::PaymentCaptureRequested(_)
            | Event::PaymentFailed(_)
            | Event::PaymentVoided(_)
            | Event::ChargebackInquired(_)
            | Event::InquiryClosed(_)
            | Event::ChargebackUpdated(_)
            | Event::EvidenceSubmitted(_)
            | Event::ChargebackAccepted(_)
            | Event::ChargebackPastDue(_)
            | Event::OrderResumed(_)
            | Event::PayoutOverdue(_)
            | Event::ReconciliationReported(_)
            | Event::BreakResolved(_)
            | Event::CartItemAdded(_)
            | Event::CartQuantitySet(_)
            | Event::CartItemRemoved(_)
            | Event::CartCleared(_)
            | Event::CartMigrated(_)
            | Event::CartSavedForLater(_)
            | Event::CartMovedBack(_)
            | Event::CartMerged(_)
            | Event::CartCouponApplied(_)
            | Event::CartNamed(_)
            | Event::CartShared(_)
            | Event::CartUnshared(_)
            | Event::CartCouponRemoved(_)
            | Event::CartFrozen(_)
            | Event::CartUnfrozen(_)
            | Event::CartRestored(_)
            | Event::CartAbandoned(_)
            | Event::OrderPlaced(_)
            | Event::OrderAccepted(_)
            | Event::OrderAuthorized(_)
            | Event::AuthorizationExpiring(_)
            | Event::OrderPaid(_)
            | Event::OrderShipped(_)
            | Event::OrderDelivered(_)
            | Event::OrderCancelled(_)
            | Event::OrderRefunded(_)
            | Event::ChangeProposed(_)
            | Event::ChangeDeclined(_)
            | Event::ChangeWithdrawn(_)
            | Event::ChangeLapsed(_)
            | Event::OrderChanged(_)
            | Event::OrderHeld(_)
            | Event::UnholdRequested(_)
            | Event::OrderUnheld(_)
            | Event::SettlementProposed(_)
            | Event::WriteOffProposed(_)
            | Event::ReleaseScheduled(_)
            | Event::MilestoneSigned(_)
            | Event::RiskCleared(_)
            | Event::RiskRulesProposed(_)
            | Event::RiskRulesSet(_)
            | Event::RiskAssessed(_)
            | Event::ReviewOpened(_)
            | Event::ReviewClaimed(_)
            | Event::ReviewDecided(_)
            | Event::OrderLabelled(_)
            | Event::WebhookRegistered(_)
            | Event::WebhookUpdated(_)
            | Event::WebhookSecretRotated(_)
            | Event::WebhookRemoved(_)
            | Event::WebhookReached(_)
            | Event::WebhookDisabled(_)
            | Event::LetterReplaced(_)
            | Event::LetterDropped(_)
            | Event::PushSubscribed(_)
            | Event::PushUnsubscribed(_)
            | Event::PushPreferencesSet(_)
            | Event::PushReached(_)
            | Event::ReturnRequested(_)
            | Event::ReturnApproved(_)
            | Event::ReplacementReserved(_)
            | Event::ReplacementGivenUp(_)
            | Event::ReturnRejected(_)
            | Event::ReturnAppealed(_)
            | Event::ReturnDecisionProposed(_)
            | Event::ReturnSent(_)
            | Event::ReturnReceived(_)
            | Event::ReturnEnded(_)
            | Event::OrderClosed(_)
            | Event::ReservationsAllowed(_)
            | Event::StockReserved(_)
            | Event::ReservationExtended(_)
            | Event::ReservationReleased(_)
            | Event::ReservationExpired(_)
            | Event::ReservationTakenUp(_)
            | Event::StockMoved(_)
            | Event::OrderReallocated(_) => &[],
        }
    }

    /// Gives the key that may sign commands from this event on, if it registers one, and whose it is.
    pub fn registered_key(&self) -> Option<(AccountId, &PublicKey)> {
        match self {
            Event::MarketOpened(opened) => Some((opened.registrar.account, &opened.registrar.key)),
            Event::DeviceRegistered(registered) => Some((registered.account, &registered.key)),
            Event::DeviceRotated(rotated) => Some((rotated.account, &rotated.key)),
            _ => None,
        }
    }

    /// Gives how an order ended, if this event closes one.
    pub fn order_end(&self) -> Option<order::End> {
        let (order, buyer, seller, state) = match self {
            Event::EscrowReleased(event) => (event.order, event.buyer, event.seller, event.closed_as),
            Event::EscrowRefunded(event) => (event.order, event.buyer, event.seller, event.closed_as),
            Event::EscrowSettled(event) => (event.order, event.buyer, event.seller, event.closed_as),
            Event::OrderClosed(event) => (event.order, event.buyer, event.seller, Some(event.state)),
            _ => return None,
        };
        state.map(|state| order::End { order, buyer, seller, state })
    }
}
