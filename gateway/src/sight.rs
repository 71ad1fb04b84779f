//! Which events somebody may see: operators all, others what is about them.

use std::time::Duration;

use events::ids::{AccountId, CartId};
use events::metadata::Cause;
use events::{Commit, Event, Position, Recorded};
use projections::{Projections, ViewError};

/// How long an event waits for the views, which tell whose order it is about.
pub(crate) const VIEWS_TIME_MAX: Duration = Duration::from_secs(10);

/// What one account sees of a log, event by event in their order.
pub(crate) struct Sight {
    account: AccountId,
    is_operator: bool,
    views: Projections,
    /// Whether a cart of another was ever shared with it; none: nobody has looked yet.
    is_member: Option<bool>,
}

impl Sight {
    pub(crate) fn new(account: AccountId, is_operator: bool, views: Projections) -> Sight {
        Sight { account, is_operator, views, is_member: None }
    }

    /// Tells whether somebody may see an event: what he asked for, and what is about something of his.
    pub(crate) async fn may_see(
        &mut self,
        commit: &Commit,
        recorded: &Recorded,
    ) -> Result<bool, &'static str> {
        if self.is_operator {
            return Ok(true);
        }
        // What was made of one's own purchase, too, is for operators alone.
        if matches!(recorded.event, Event::RiskAssessed(_)) {
            return Ok(false);
        }
        if let Cause::Command(stamp) = &commit.start().cause
            && stamp.account == self.account
        {
            return Ok(true);
        }
        let position = recorded.position;
        let order = match &recorded.event {
            Event::OrderPlaced(placed) => return Ok(self.is_one(&[placed.buyer, placed.seller])),
            Event::EscrowReleased(released) => return Ok(self.is_one(&[released.buyer, released.seller])),
            Event::EscrowRefunded(refunded) => return Ok(self.is_one(&[refunded.buyer, refunded.seller])),
            Event::WalletFunded(funded) => return Ok(self.is_one(&[funded.account])),
            Event::WalletExchanged(exchanged) => {
                return Ok(self.is_one(&[exchanged.account, exchanged.provider]));
            }
            Event::ListingBlocked(blocked) => return Ok(self.is_one(&[blocked.seller])),
            Event::ListingUnblocked(unblocked) => return Ok(self.is_one(&[unblocked.seller])),
            Event::SellerSuspended(suspended) => return Ok(self.is_one(&[suspended.account])),
            Event::SellerReinstated(reinstated) => return Ok(self.is_one(&[reinstated.account])),
            Event::AccountSuspended(suspended) => return Ok(self.is_one(&[suspended.account])),
            Event::AccountReinstated(reinstated) => return Ok(self.is_one(&[reinstated.account])),
            Event::PasswordRemoved(removed) => return Ok(self.is_one(&[removed.account])),
            Event::SignInFailed(failed) => return Ok(self.is_one(&[failed.account])),
            Event::SessionStarted(started) => return Ok(self.is_one(&[started.account])),
            Event::SessionEnded(ended) => return Ok(self.is_one(&[ended.account])),
            Event::PasskeyRemoved(removed) => return Ok(self.is_one(&[removed.account])),
            Event::TotpRemoved(removed) => return Ok(self.is_one(&[removed.account])),
            Event::RecoveryRemoved(removed) => return Ok(self.is_one(&[removed.account])),
            Event::ClearanceGranted(granted) => return Ok(self.is_one(&[granted.account])),
            Event::ClearanceRevoked(revoked) => return Ok(self.is_one(&[revoked.account])),
            Event::AccountVerified(verified) => return Ok(self.is_one(&[verified.account])),
            Event::ProfileSet(set) => return Ok(self.is_one(&[set.account])),
            Event::EncryptionKeySet(set) => return Ok(self.is_one(&[set.account])),
            Event::AddressSealed(sealed) => return Ok(self.is_one(&[sealed.buyer, sealed.seller])),
            Event::PushSubscribed(event) => return Ok(self.is_one(&[event.account])),
            Event::PushUnsubscribed(event) => return Ok(self.is_one(&[event.account])),
            Event::PushPreferencesSet(event) => return Ok(self.is_one(&[event.account])),
            Event::WebhookReached(reached) => return Ok(self.is_one(&[reached.account])),
            Event::WebhookDisabled(disabled) => return Ok(self.is_one(&[disabled.account])),
            Event::LetterReplaced(replaced) => return Ok(self.is_one(&[replaced.account])),
            Event::LetterDropped(dropped) => return Ok(self.is_one(&[dropped.account])),
            Event::AccountErased(erased) => return Ok(self.is_one(&[erased.account])),
            Event::PromotionEnded(ended) => {
                return Ok(ended.seller.is_some_and(|seller| self.is_one(&[seller])));
            }
            Event::PaymentRequested(payment) => return Ok(self.is_one(&[payment.account])),
            Event::PaymentActionRequired(payment) => return Ok(self.is_one(&[payment.account])),
            Event::PaymentAuthorized(payment) => return Ok(self.is_one(&[payment.account])),
            Event::PaymentCaptureRequested(payment) => return Ok(self.is_one(&[payment.account])),
            Event::PaymentVoidRequested(payment) => return Ok(self.is_one(&[payment.account])),
            Event::PaymentCaptured(payment) => return Ok(self.is_one(&[payment.account])),
            Event::PaymentFailed(payment) => return Ok(self.is_one(&[payment.account])),
            Event::PaymentVoided(payment) => return Ok(self.is_one(&[payment.account])),
            Event::RefundRequested(refund) => return Ok(self.is_one(&[refund.account])),
            Event::PaymentRefunded(refund) => return Ok(self.is_one(&[refund.account])),
            Event::RefundFailed(refund) => return Ok(self.is_one(&[refund.account])),
            // They tell from whom how much is taken, which is nobody's but his.
            Event::ChargebackInquired(e) => return Ok(self.is_only(e.orders.iter().map(|part| part.seller))),
            Event::ChargebackOpened(e) => return Ok(self.is_only(e.orders.iter().map(|part| part.seller))),
            Event::ChargebackWon(e) => return Ok(self.is_only(e.orders.iter().map(|part| part.seller))),
            Event::ChargebackLost(e) => return Ok(self.is_only(e.orders.iter().map(|part| part.seller))),
            Event::WalletRepaid(repaid) => return Ok(self.is_one(&[repaid.account])),
            Event::CartMerged(merged) => return Ok(self.is_one(&[merged.account, merged.source.account])),
            // Others may have changed it, whom its owner shares it with, and all of them are told; what he saves for later and what
            // he buys, they are not.
            Event::CartItemAdded(event) => return self.fills(event.account, event.cart, position).await,
            Event::CartQuantitySet(event) => return self.fills(event.account, event.cart, position).await,
            Event::CartItemRemoved(event) => return self.fills(event.account, event.cart, position).await,
            Event::CartCleared(event) => return self.fills(event.account, event.cart, position).await,
            Event::CartNamed(event) => return self.fills(event.account, event.cart, position).await,
            Event::CartFrozen(event) => return self.fills(event.account, event.cart, position).await,
            Event::CartUnfrozen(event) => return self.fills(event.account, event.cart, position).await,
            Event::CartAbandoned(event) => return self.fills(event.account, event.cart, position).await,
            Event::CartShared(shared) if self.is_one(&[shared.account, shared.with]) => {
                self.is_member = self.is_member.map(|was| was || self.is_one(&[shared.with]));
                return Ok(true);
            }
            Event::CartShared(event) => return self.fills(event.account, event.cart, position).await,
            Event::CartUnshared(event) if self.is_one(&[event.account, event.with]) => return Ok(true),
            Event::CartUnshared(event) => return self.fills(event.account, event.cart, position).await,
            Event::PayoutRequested(payout) => return Ok(self.is_one(&[payout.account])),
            Event::PayoutPaid(payout) => return Ok(self.is_one(&[payout.account])),
            Event::PayoutFailed(payout) => return Ok(self.is_one(&[payout.account])),
            Event::PayoutReturned(payout) => return Ok(self.is_one(&[payout.account])),
            Event::PayoutOverdue(payout) => return Ok(self.is_one(&[payout.account])),
            Event::ReserveReleased(released) => return Ok(self.is_one(&[released.seller])),
            Event::EscrowSettled(settled) => return Ok(self.is_one(&[settled.buyer, settled.seller])),
            Event::ReturnRequested(event) => return Ok(self.is_one(&[event.buyer, event.seller])),
            Event::OrderClosed(closed) => return Ok(self.is_one(&[closed.buyer, closed.seller])),
            Event::StockReserved(event) => return Ok(self.is_one(&[event.account, event.seller])),
            Event::ReservationExtended(event) => return Ok(self.is_one(&[event.account, event.seller])),
            Event::ReservationReleased(event) => return Ok(self.is_one(&[event.account, event.seller])),
            Event::ReservationExpired(event) => return Ok(self.is_one(&[event.account, event.seller])),
            Event::ReservationTakenUp(event) => return Ok(self.is_one(&[event.account, event.seller])),
            Event::EscrowHeld(held) => held.order,
            Event::EscrowSubsidized(subsidized) => subsidized.order,
            Event::SubsidyReturned(returned) => returned.order,
            Event::OrderAccepted(accepted) => accepted.order,
            Event::OrderAuthorized(held) => held.order,
            Event::AuthorizationExpiring(expiring) => expiring.order,
            Event::OrderPaid(paid) => paid.order,
            Event::OrderReallocated(event) => event.order,
            Event::OrderShipped(shipped) => shipped.order,
            Event::OrderDelivered(delivered) => delivered.order,
            Event::OrderCancelled(cancelled) => cancelled.order,
            Event::OrderRefunded(refunded) => refunded.order,
            Event::ChangeProposed(proposed) => proposed.order,
            Event::ChangeDeclined(declined) => declined.order,
            Event::ChangeWithdrawn(withdrawn) => withdrawn.order,
            Event::ChangeLapsed(lapsed) => lapsed.order,
            Event::OrderChanged(changed) => changed.order,
            // That an order is held or cleared of risk, and how two operators come to agree, is told by its view; the notes
            // are not.
            Event::OrderUnheld(unheld) => unheld.order,
            Event::ReviewDecided(decided) => decided.order,
            Event::EscrowFrozen(frozen) => frozen.order,
            Event::EscrowUnfrozen(unfrozen) => unfrozen.order,
            Event::ReleaseScheduled(scheduled) => scheduled.order,
            Event::MilestoneSigned(signed) => signed.order,
            Event::ReturnApproved(event) => event.order,
            Event::ReplacementReserved(event) => event.order,
            Event::ReplacementGivenUp(event) => event.order,
            Event::ReturnRejected(event) => event.order,
            Event::ReturnAppealed(event) => event.order,
            Event::ReturnSent(event) => event.order,
            Event::ReturnReceived(event) => event.order,
            Event::ReturnRefunded(event) => event.order,
            Event::ReturnEnded(event) => event.order,
            Event::OrderResumed(event) => event.order,
            Event::OrderChargedBack(event) => event.order,
            _ => return Ok(false),
        };
        let order = self.ask(position, move |views| views.orders().order(order)).await?;
        Ok(order.is_some_and(|order| self.is_one(&[order.buyer, order.seller])))
    }

    /// Tells whether a cart is his, or shared with him.
    async fn fills(
        &mut self,
        owner: AccountId,
        cart: CartId,
        position: Position,
    ) -> Result<bool, &'static str> {
        let account = self.account;
        if owner == account {
            return Ok(true);
        }
        // Most events are about carts, and few people share one: whom nobody has let in is not asked about each.
        let is_member = match self.is_member {
            Some(known) => known,
            None => self.ask(position, move |views| views.carts().was_ever_shared_with(account)).await?,
        };
        self.is_member = Some(is_member);
        if !is_member {
            return Ok(false);
        }
        self.ask(position, move |views| views.carts().was_shared_with(cart, account, position)).await
    }

    /// Asks the views once they have read what stands at a position.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        position: Position,
        question: impl FnOnce(&Projections) -> Result<T, ViewError> + Send + 'static,
    ) -> Result<T, &'static str> {
        let late = |_| "the views are too far behind: come back with Last-Event-ID";
        self.views.wait_for(position, VIEWS_TIME_MAX).await.map_err(late)?;
        let views = self.views.clone();
        match tokio::task::spawn_blocking(move || question(&views)).await {
            Ok(Ok(found)) => Ok(found),
            _ => Err("the views can't answer"),
        }
    }

    fn is_one(&self, accounts: &[AccountId]) -> bool {
        accounts.contains(&self.account)
    }

    /// Tells whether all of some accounts, which are some, are his.
    fn is_only(&self, accounts: impl Iterator<Item = AccountId>) -> bool {
        let mut accounts = accounts.peekable();
        accounts.peek().is_some() && accounts.all(|account| account == self.account)
    }
}
