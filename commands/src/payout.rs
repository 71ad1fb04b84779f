//! What sellers are paid out of what they have earned, through an outside provider.
//!
//! The money leaves what the seller has earned when he asks for it, and waits in an account of the payout until the provider
//! has said what came of it. A provider that says nothing is asked on: a time-out is no "no".

use std::collections::BTreeMap;

use events::account::Role;
use events::ids::{AccountId, CommandId, PayoutId};
use events::ledger::{LedgerAccount, Transfer};
use events::metadata::{DeadlineStamp, Waiting};
use events::payout::{Failed, Overdue, Paid, Requested};
use events::{Event, Money, Rejection, Timestamp};
use serde::{Deserialize, Serialize};

use crate::account::in_role;
use crate::command::{PayoutOutcome, ReportPayout, RequestPayout};
use crate::market::Market;
use crate::payment::{Effect, EffectId, OPEN_PER_ACCOUNT_MAX, PayoutEffect};

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

/// All payouts that are under way.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Payouts {
    open: BTreeMap<PayoutId, Payout>,
    open_of: BTreeMap<AccountId, u32>,
}

impl Payouts {
    /// Finds a payout that is under way.
    pub fn get(&self, payout: PayoutId) -> Option<&Payout> {
        self.open.get(&payout)
    }

    /// Gives every payout that is under way.
    pub fn open(&self) -> impl Iterator<Item = (&PayoutId, &Payout)> {
        self.open.iter()
    }

    fn open_of(&self, account: AccountId) -> u32 {
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

    pub(crate) fn payout_ended(&mut self, payout: PayoutId, transfer: &Transfer) {
        self.ledger.post(transfer);
        let ended = self.payouts.open.remove(&payout).expect("only a payout under way ends");
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
    let available = market.ledger.balance(from, amount.currency);
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

/// Decides what a provider reports of a payout. What is known already finds none under way.
pub(crate) fn decide_report(
    market: &Market,
    provider: AccountId,
    command: &ReportPayout,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let payout = command.payout;
    let Some(open) = market.payouts.get(payout) else {
        return Err(vec![Rejection::PayoutUnknown { payout }]);
    };
    if open.provider != provider {
        return Err(vec![Rejection::NotYourPayout { payout }]);
    }
    let Payout { account, amount, .. } = *open;
    let from = LedgerAccount::Payout(payout);
    Ok(vec![match &command.outcome {
        PayoutOutcome::Paid { reference } => {
            let transfer = Transfer { amount, from, to: LedgerAccount::ProviderClearing(provider) };
            let reference = reference.as_str().to_owned();
            Paid { account, payout, provider, reference, transfer }.into()
        }
        PayoutOutcome::Failed { code } => {
            let transfer = Transfer { amount, from, to: LedgerAccount::SellerAvailable(account) };
            Failed { account, code: code.as_str().to_owned(), payout, provider, transfer }.into()
        }
    }])
}

/// Tells a payout as overdue.
pub(crate) fn decide_overdue(market: &Market, payout: PayoutId) -> Vec<Event> {
    let open = market.payouts.get(payout).expect("a deadline leaves with its payout");
    vec![Overdue { account: open.account, payout, provider: open.provider }.into()]
}
