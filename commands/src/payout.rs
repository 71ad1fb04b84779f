//! What sellers are paid out of what they have earned, through an outside provider.
//!
//! The money leaves what the seller has earned when he asks for it, and waits in an account of the payout until the provider
//! has said what came of it. A provider that says nothing is asked on: a time-out is no "no". A bank may return what the
//! provider had paid: then the seller has it again, once.

use std::collections::{BTreeMap, VecDeque};

use events::account::Role;
use events::ids::{AccountId, CommandId, PayoutId};
use events::ledger::{LedgerAccount, Transfer};
use events::metadata::{DeadlineStamp, Waiting};
use events::payout::{Failed, Overdue, Paid, Requested, Returned};
use events::rejection::PayoutEnd;
use events::{Event, Money, Position, Rejection, Timestamp};
use serde::{Deserialize, Serialize};

use crate::account::in_role;
use crate::command::{PayoutOutcome, ReportPayout, RequestPayout};
use crate::decide::Facts;
use crate::market::Market;
use crate::payment::{Effect, EffectId, OPEN_PER_ACCOUNT_MAX, PayoutEffect};

/// How many payouts that have ended are kept in memory; older ones are in the index.
pub const RECENT_CLOSED_PAYOUTS_MAX: usize = 1 << 14;
/// How long a provider has to say what came of a payout before it is told as overdue, in milliseconds.
pub const PAYOUT_MS: i64 = 7 * 86_400_000;

/// A payout that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payout {
    /// Who is paid.
    pub account: AccountId,
    /// The provider's account.
    pub provider: AccountId,
    /// How much.
    pub amount: Money,
    /// What the provider knows the seller's bank account by.
    pub token: Box<str>,
    /// When it is told as overdue; none: it was.
    pub due: Option<Timestamp>,
}

impl Payout {
    fn deadline(&self, payout: PayoutId) -> Option<DeadlineStamp> {
        self.due.map(|due| DeadlineStamp { due, waiting: Waiting::PayoutDue { payout } })
    }

    fn effect(&self, payout: PayoutId) -> (EffectId, Effect) {
        let Payout { provider, amount, .. } = *self;
        let effect = PayoutEffect { provider, payout, amount, token: self.token.clone() };
        (EffectId::Payout(payout), Effect::Payout(effect))
    }
}

/// A payout that waits for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClosedPayout {
    /// Who was paid, or was to be.
    pub account: AccountId,
    /// The provider's account.
    pub provider: AccountId,
    /// How much.
    pub amount: Money,
    /// How it ended.
    pub state: PayoutEnd,
    /// Where that stands in the log.
    pub position: Position,
}

impl ClosedPayout {
    /// Gives the closed payout that an event leaves behind, from the event alone.
    pub fn left_by(event: &Event, position: Position) -> Option<(PayoutId, ClosedPayout)> {
        let (payout, account, provider, amount, state) = match event {
            Event::PayoutPaid(e) => (e.payout, e.account, e.provider, e.transfer.amount, PayoutEnd::Paid),
            Event::PayoutFailed(e) => (e.payout, e.account, e.provider, e.transfer.amount, PayoutEnd::Failed),
            Event::PayoutReturned(e) => {
                (e.payout, e.account, e.provider, e.transfer.amount, PayoutEnd::Returned)
            }
            _ => return None,
        };
        Some((payout, ClosedPayout { account, provider, amount, state, position }))
    }
}

/// All payouts that are under way, and the last ones that have ended.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Payouts {
    open: BTreeMap<PayoutId, Payout>,
    open_of: BTreeMap<AccountId, u32>,
    closed: BTreeMap<PayoutId, ClosedPayout>,
    closed_in_order: VecDeque<PayoutId>,
}

impl Payouts {
    /// Finds a payout that is under way.
    pub fn get(&self, payout: PayoutId) -> Option<&Payout> {
        self.open.get(&payout)
    }

    /// Finds a payout among the last that have ended.
    pub fn recently_closed(&self, payout: PayoutId) -> Option<&ClosedPayout> {
        self.closed.get(&payout)
    }

    /// Adds or renews a payout that has ended, and gives the position of the one that is forgotten for it, if any.
    fn remember(&mut self, id: PayoutId, closed: ClosedPayout) -> Option<Position> {
        if self.closed.insert(id, closed).is_some() {
            return None;
        }
        self.closed_in_order.push_back(id);
        if self.closed_in_order.len() <= RECENT_CLOSED_PAYOUTS_MAX {
            return None;
        }
        let forgotten = self.closed_in_order.pop_front()?;
        self.closed.remove(&forgotten).map(|closed| closed.position)
    }

    /// Gives every payout that is under way.
    pub fn open(&self) -> impl Iterator<Item = (&PayoutId, &Payout)> {
        self.open.iter()
    }

    pub(crate) fn open_of(&self, account: AccountId) -> u32 {
        self.open_of.get(&account).copied().unwrap_or(0)
    }

    /// Gives all that providers have been asked for and have not answered.
    pub(crate) fn effects(&self) -> impl Iterator<Item = (EffectId, Effect)> {
        self.open.iter().map(|(id, payout)| payout.effect(*id))
    }
}

impl Market {
    pub(crate) fn payout_requested(&mut self, event: &Requested) {
        self.ledger.post(&event.transfer);
        let Requested { account, due, provider, transfer, .. } = *event;
        let token = event.token.as_str().into();
        let payout = Payout { account, provider, amount: transfer.amount, token, due: Some(due) };
        self.waiting.extend(payout.deadline(event.payout));
        self.payouts.open.insert(event.payout, payout);
        *self.payouts.open_of.entry(account).or_default() += 1;
    }

    pub(crate) fn payout_overdue(&mut self, event: &Overdue) {
        let payout = self.payouts.open.get_mut(&event.payout).expect("only a payout under way is overdue");
        let deadline = payout.deadline(event.payout);
        payout.due = None;
        if let Some(deadline) = deadline {
            self.waiting.remove(&deadline);
        }
    }

    /// Ends what is under way of a payout, if anything is: one that comes back has ended before.
    pub(crate) fn payout_closed(&mut self, payout: PayoutId, closed: ClosedPayout) {
        let forgotten = self.payouts.remember(payout, closed);
        self.forget(forgotten);
        let Some(ended) = self.payouts.open.remove(&payout) else { return };
        if let Some(deadline) = ended.deadline(payout) {
            self.waiting.remove(&deadline);
        }
        let count =
            self.payouts.open_of.get_mut(&ended.account).expect("what ends was counted when it began");
        *count -= 1;
        if *count == 0 {
            self.payouts.open_of.remove(&ended.account);
        }
    }
}

pub(crate) fn decide_request(
    market: &Market,
    account: AccountId,
    command_id: CommandId,
    command: &RequestPayout,
    now: Timestamp,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let (amount, provider) = (command.amount, command.to.provider);
    let from = LedgerAccount::SellerAvailable(account);
    // What he owes is not paid out.
    let owed = market.ledger.balance(LedgerAccount::SellerReceivable(account), amount.currency);
    let available = market.ledger.balance(from, amount.currency).minor + owed.minor;
    let available = Money::new(available.max(0), amount.currency);
    let mut reasons = in_role(market, provider, Role::Provider).err().unwrap_or_default();
    if !amount.is_positive() {
        reasons.push(Rejection::AmountNotPositive);
    } else if amount.minor > available.minor {
        reasons.push(Rejection::PayoutAmount { amount, available });
    }
    if market.payouts.open_of(account) >= OPEN_PER_ACCOUNT_MAX {
        reasons.push(Rejection::TooManyPayments { max: OPEN_PER_ACCOUNT_MAX });
    }
    if !reasons.is_empty() {
        return Err(reasons);
    }
    let payout = PayoutId::derive(account, command_id);
    let requested = Requested {
        account,
        due: now.plus_ms(PAYOUT_MS),
        payout,
        provider,
        token: command.to.token.as_str().to_owned(),
        transfer: Transfer { amount, from, to: LedgerAccount::Payout(payout) },
    };
    Ok(vec![requested.into()])
}

/// Decides what a provider reports of a payout. What is known already changes nothing.
pub(crate) fn decide_report(
    market: &Market,
    facts: &Facts,
    provider: AccountId,
    command: &ReportPayout,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let payout = command.payout;
    let open = market.payouts.get(payout).map(|open| (open.account, open.provider, open.amount, None));
    let found = open.or_else(|| {
        let closed = market.payouts.recently_closed(payout).or(facts.closed_payout(payout))?;
        Some((closed.account, closed.provider, closed.amount, Some(closed.state)))
    });
    let Some((account, asked, amount, ended)) = found else {
        return Err(vec![Rejection::PayoutUnknown { payout }]);
    };
    if asked != provider {
        return Err(vec![Rejection::NotYourPayout { payout }]);
    }
    let (waits, clearing) = (LedgerAccount::Payout(payout), LedgerAccount::ProviderClearing(provider));
    let earned = LedgerAccount::SellerAvailable(account);
    let event = match (&command.outcome, ended) {
        (PayoutOutcome::Paid { .. }, Some(PayoutEnd::Paid))
        | (PayoutOutcome::Failed { .. }, Some(PayoutEnd::Failed | PayoutEnd::Returned)) => {
            return Ok(vec![]);
        }
        (PayoutOutcome::Paid { .. }, Some(state)) => {
            return Err(vec![Rejection::PayoutState { payout, state }]);
        }
        (PayoutOutcome::Paid { reference }, None) => {
            let transfer = Transfer { amount, from: waits, to: clearing };
            let reference = reference.as_str().to_owned();
            Paid { account, payout, provider, reference, transfer }.into()
        }
        (PayoutOutcome::Failed { code }, None) => {
            let transfer = Transfer { amount, from: waits, to: earned };
            Failed { account, code: code.as_str().to_owned(), payout, provider, transfer }.into()
        }
        (PayoutOutcome::Failed { code }, Some(PayoutEnd::Paid)) => {
            market.ledger.check_inflow(amount).map_err(|reason| vec![reason])?;
            let transfer = Transfer { amount, from: clearing, to: earned };
            Returned { account, code: code.as_str().to_owned(), payout, provider, transfer }.into()
        }
    };
    Ok(vec![event])
}

/// Tells a payout as overdue.
pub(crate) fn decide_overdue(market: &Market, payout: PayoutId) -> Vec<Event> {
    let open = market.payouts.get(payout).expect("a deadline leaves with its payout");
    vec![Overdue { account: open.account, payout, provider: open.provider }.into()]
}
