//! What the ledger says moved through a provider, from the events that say so, each with the provider's own reference.

use std::collections::{BTreeMap, HashMap};

use events::ids::{AccountId, PayoutId, RefundId};
use events::ledger::{LedgerAccount, Transfer};
use events::reconciliation::MovementKind;
use events::{Commit, Currency, Event, Money, Position, Timestamp};

/// A movement as the ledger has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Moved {
    pub(super) kind: MovementKind,
    pub(super) reference: String,
    /// When the provider was asked for it or, where nobody asked, when it was told: then the provider moves the money, and not
    /// when it says that it has arrived.
    pub(super) at: Timestamp,
    /// Above zero: the provider holds so much more for the market.
    pub(super) amount: Money,
    pub(super) position: Position,
}

/// How many movements there are of each kind and amount.
pub(super) type Counted = BTreeMap<(MovementKind, Currency, i64), usize>;

/// What the ledger says of a provider.
#[derive(Debug)]
pub(super) struct Ours {
    provider: AccountId,
    pub(super) moved: Vec<Moved>,
    /// Refunds and payouts that the provider was asked for and has not told the end of.
    asked_refunds: HashMap<RefundId, (Timestamp, Money)>,
    asked_payouts: HashMap<PayoutId, (Timestamp, Money)>,
    /// Those that failed, as what the provider has had back by each.
    failed: Counted,
    /// The provider's references of payouts that it has paid: what comes back has the same one.
    paid: HashMap<PayoutId, String>,
}

impl Ours {
    pub(super) fn new(provider: AccountId) -> Ours {
        Ours {
            provider,
            moved: Vec::new(),
            asked_refunds: HashMap::new(),
            asked_payouts: HashMap::new(),
            failed: Counted::new(),
            paid: HashMap::new(),
        }
    }

    /// Gives how many movements of each kind and amount the provider was asked for and has not told the end of.
    pub(super) fn asked(&self) -> Counted {
        let refunds = self.asked_refunds.values().map(|(_, amount)| (MovementKind::Refund, amount));
        let payouts = self.asked_payouts.values().map(|(_, amount)| (MovementKind::Payout, amount));
        let mut asked = Counted::new();
        for (kind, amount) in refunds.chain(payouts) {
            *asked.entry((kind, amount.currency, -amount.minor)).or_default() += 1;
        }
        asked
    }

    /// Gives how many came back to the provider of those that failed: it may have sent them off before.
    pub(super) fn failed(&self) -> Counted {
        self.failed.clone()
    }

    /// Enters a commit.
    pub(super) fn commit(&mut self, commit: &Commit) {
        for recorded in commit.events() {
            self.event(recorded.position, &recorded.event, commit.time());
        }
    }

    /// Enters an event.
    pub(super) fn event(&mut self, position: Position, event: &Event, at: Timestamp) {
        let clearing = LedgerAccount::ProviderClearing(self.provider);
        match event {
            Event::RefundRequested(asked) if asked.provider == self.provider => {
                self.asked_refunds.insert(asked.refund, (at, asked.transfer.amount));
            }
            Event::RefundFailed(failed) => {
                let asked = self.asked_refunds.remove(&failed.refund);
                self.fail(MovementKind::RefundReturned, asked);
            }
            Event::PayoutRequested(asked) if asked.provider == self.provider => {
                self.asked_payouts.insert(asked.payout, (at, asked.transfer.amount));
            }
            Event::PayoutFailed(failed) => {
                let asked = self.asked_payouts.remove(&failed.payout);
                self.fail(MovementKind::PayoutReturned, asked);
            }
            // What a bank disputes leaves the provider at once, and as one; that it is lost moves nothing more.
            Event::ChargebackOpened(opened) if opened.provider == self.provider => {
                let amount = Money::new(-opened.amount.minor, opened.amount.currency);
                let (kind, reference) = (MovementKind::Chargeback, opened.reference.clone());
                self.moved.push(Moved { kind, reference, at, amount, position });
            }
            Event::ChargebackWon(won) if won.provider == self.provider => {
                let minor = won.transfers.iter().map(|transfer| transfer.amount.minor).sum();
                if let [first, ..] = won.transfers.as_slice() {
                    let amount = Money::new(minor, first.amount.currency);
                    let (kind, reference) = (MovementKind::ChargebackReversed, won.reference.clone());
                    self.moved.push(Moved { kind, reference, at, amount, position });
                }
            }
            Event::ChargebackLost(_) => return,
            _ => {}
        }
        for (nth, transfer) in event.transfers().iter().enumerate() {
            let Some(amount) = by(transfer, clearing) else { continue };
            let (kind, reference, at) = self.named(event, amount, position, nth, at);
            self.moved.push(Moved { kind, reference, at, amount, position });
        }
    }

    fn fail(&mut self, kind: MovementKind, asked: Option<(Timestamp, Money)>) {
        if let Some((_, amount)) = asked {
            *self.failed.entry((kind, amount.currency, amount.minor)).or_default() += 1;
        }
    }

    /// Tells what a movement was for, by what the provider knows it, and when it was asked for.
    fn named(
        &mut self,
        event: &Event,
        amount: Money,
        position: Position,
        nth: usize,
        at: Timestamp,
    ) -> (MovementKind, String, Timestamp) {
        match event {
            Event::WalletFunded(funded) => (MovementKind::Payment, funded.reference.clone(), at),
            Event::PaymentCaptured(captured) => (MovementKind::Payment, captured.reference.clone(), at),
            Event::PaymentRefunded(refunded) => {
                let asked_at = self.asked_refunds.remove(&refunded.refund).map_or(at, |(at, _)| at);
                (MovementKind::Refund, refunded.reference.clone(), asked_at)
            }
            Event::PayoutPaid(paid) => {
                let asked_at = self.asked_payouts.remove(&paid.payout).map_or(at, |(at, _)| at);
                self.paid.insert(paid.payout, paid.reference.clone());
                (MovementKind::Payout, paid.reference.clone(), asked_at)
            }
            Event::PayoutReturned(returned) => {
                // A log that is whole has said before that it was paid.
                let reference = self.paid.remove(&returned.payout);
                let reference = reference.unwrap_or_else(|| format!("payout {}", returned.payout));
                (MovementKind::PayoutReturned, reference, at)
            }
            Event::WalletExchanged(exchanged) => {
                let is_in = amount.minor > 0;
                let kind = if is_in { MovementKind::ExchangeIn } else { MovementKind::ExchangeOut };
                (kind, exchanged.reference.clone(), at)
            }
            // No provider knows it by a name of its own: it is told as missing there, and not passed over.
            _ => (MovementKind::Other, format!("position {position}, transfer {}", nth + 1), at),
        }
    }
}

/// Gives how much more the provider holds by a transfer, below zero where less; none, if it is not about it.
fn by(transfer: &Transfer, clearing: LedgerAccount) -> Option<Money> {
    let Money { currency, minor } = transfer.amount;
    if transfer.from == clearing {
        Some(Money::new(minor, currency))
    } else if transfer.to == clearing {
        Some(Money::new(-minor, currency))
    } else {
        None
    }
}
