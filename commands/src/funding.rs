//! Money that comes in from providers, each payment once.
//!
//! A provider names each payment with a reference of its own. A command that repeats one, under whatever command id
//! and for whatever wallet or amount, would credit a payment twice: it is rejected, for ever. The last references are
//! in memory, older ones in the index on disk.

use std::collections::VecDeque;
use std::collections::btree_map::{BTreeMap, Entry};

use events::account::Role;
use events::exchange::Exchanged;
use events::hash::Hasher;
use events::ids::AccountId;
use events::ledger::{LedgerAccount, Transfer};
use events::listing::WalletFunded;
use events::payment::Captured;
use events::reconciliation::Reported;
use events::rejection::PrivacyRejection;
use events::{Event, Hash, Position, Rejection, Timestamp};
use serde::{Deserialize, Serialize};

use crate::command::{ExchangeQuote, FundWallet, ReportReconciliation};
use crate::decide::Facts;
use crate::market::Market;

/// How many payments are kept in memory; older ones are in the index.
pub const RECENT_CREDITS_MAX: usize = 1 << 16;

/// Names a credit: a hash of the provider's clearing account and the provider's reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CreditId(Hash);

impl CreditId {
    /// Names what a provider asks to credit.
    pub fn asked(provider: AccountId, command: &FundWallet) -> Self {
        CreditId::new(LedgerAccount::ProviderClearing(provider), command.reference.as_str())
    }

    /// Names what was credited to a wallet.
    pub fn credited(event: &WalletFunded) -> Self {
        CreditId::new(event.transfer.from, &event.reference)
    }

    /// Names what was credited when a payment was captured.
    pub fn captured(event: &Captured) -> Self {
        CreditId::new(event.transfer.from, &event.reference)
    }

    /// Names what a provider offers to exchange.
    pub(crate) fn offered(quote: &ExchangeQuote) -> Self {
        CreditId::of_exchange(quote.provider, quote.reference.as_str())
    }

    /// Names what a provider exchanged.
    pub(crate) fn exchanged(event: &Exchanged) -> Self {
        CreditId::of_exchange(event.provider, &event.reference)
    }

    /// Names the report of a provider's file for a period, which changes things once as a credit does.
    pub(crate) fn reconciling(command: &ReportReconciliation) -> Self {
        CreditId::of_file(command.provider, command.file, [command.from, command.until])
    }

    /// Names the report of a provider's file that was taken.
    pub(crate) fn reconciled(event: &Reported) -> Self {
        CreditId::of_file(event.provider, event.file, [event.from, event.until])
    }

    /// Names what an event credits, if it does.
    pub fn given_by(event: &Event) -> Option<Self> {
        match event {
            Event::WalletFunded(event) => Some(CreditId::credited(event)),
            Event::PaymentCaptured(event) => Some(CreditId::captured(event)),
            Event::WalletExchanged(event) => Some(CreditId::exchanged(event)),
            Event::ReconciliationReported(event) => Some(CreditId::reconciled(event)),
            _ => None,
        }
    }

    pub(crate) fn new(from: LedgerAccount, reference: &str) -> Self {
        CreditId::hash(b"skylink payment", from, reference)
    }

    fn of_exchange(provider: AccountId, reference: &str) -> Self {
        CreditId::hash(b"skylink exchange", LedgerAccount::ProviderClearing(provider), reference)
    }

    fn of_file(provider: AccountId, file: Hash, [from, until]: [Timestamp; 2]) -> Self {
        let reference = format!("{file} {} {}", from.ms(), until.ms());
        CreditId::hash(b"skylink reconciliation", LedgerAccount::ProviderClearing(provider), &reference)
    }

    fn hash(purpose: &[u8], provider: LedgerAccount, reference: &str) -> Self {
        let mut hasher = Hasher::new();
        hasher.update(purpose);
        // A ledger account's name never holds a space.
        hasher.update(format!("{provider} {reference}").as_bytes());
        CreditId(hasher.finish())
    }

    /// Gives the bytes of the hash.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }
}

/// The last [`RECENT_CREDITS_MAX`] payments that were credited.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Credits {
    credited_at: BTreeMap<CreditId, Position>,
    in_order: VecDeque<CreditId>,
    /// Whether a payment was forgotten: then one that is not found here may be in the index.
    has_forgotten: bool,
}

impl Credits {
    /// Finds where a payment was credited.
    pub fn find(&self, payment: CreditId) -> Option<Position> {
        self.credited_at.get(&payment).copied()
    }

    /// Tells whether a payment that is not found here may have been credited and forgotten.
    pub fn may_be_forgotten(&self, payment: CreditId) -> bool {
        self.has_forgotten && !self.credited_at.contains_key(&payment)
    }

    /// Adds a payment and gives the position of the one that is forgotten for it, if any.
    fn remember(&mut self, payment: CreditId, position: Position) -> Option<Position> {
        // A log from before the rule may have credited one twice: the first counts.
        let Entry::Vacant(new) = self.credited_at.entry(payment) else { return None };
        new.insert(position);
        self.in_order.push_back(payment);
        if self.in_order.len() <= RECENT_CREDITS_MAX {
            return None;
        }
        self.has_forgotten = true;
        let forgotten = self.in_order.pop_front()?;
        self.credited_at.remove(&forgotten)
    }
}

impl Market {
    pub(crate) fn wallet_funded(&mut self, event: &WalletFunded, position: Position) {
        self.ledger.post(&event.transfer);
        self.credit(CreditId::credited(event), position);
    }

    /// Remembers that a credit was given, so that it is never given again.
    pub(crate) fn credit(&mut self, credit: CreditId, position: Position) {
        let forgotten = self.credits.remember(credit, position);
        self.forget(forgotten);
    }
}

pub(crate) fn decide_fund(
    market: &Market,
    facts: &Facts,
    provider: AccountId,
    command: &FundWallet,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let FundWallet { account, amount, reference } = command;
    let reference = reference.as_str().to_owned();
    let mut reasons = Vec::new();
    let first = market.credits.find(CreditId::asked(provider, command)).or(facts.credit);
    if let Some(first) = first {
        reasons.push(Rejection::ReferenceUsed { reference: reference.clone(), first });
    }
    match market.accounts.get(*account) {
        None => reasons.push(Rejection::AccountUnknown { account: *account }),
        Some(owner) if owner.is_erased => {
            reasons.push(PrivacyRejection::AccountErased { account: *account }.into());
        }
        Some(owner) if !owner.roles.contains(&Role::Buyer) => {
            reasons.push(Rejection::RoleMissing { account: *account, role: Role::Buyer });
        }
        Some(_) => {}
    }
    let from = LedgerAccount::ProviderClearing(provider);
    let transfer = Transfer { amount: *amount, from, to: LedgerAccount::Wallet(*account) };
    if !amount.is_positive() {
        reasons.push(Rejection::AmountNotPositive);
    } else if let Err(reason) = market.ledger.check_inflow(*amount) {
        reasons.push(reason);
    }
    if !reasons.is_empty() {
        return Err(reasons);
    }
    Ok(vec![WalletFunded { account: *account, reference, transfer }.into()])
}
