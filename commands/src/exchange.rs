//! Money that a provider changes from one currency into another, by an offer that it signed and the buyer took.
//!
//! No transfer crosses currencies. The provider gets the one amount and gives the other, both through its clearing account: what
//! it holds for the market grows in one currency and shrinks in the other, and each currency's accounts still sum to zero.

use events::exchange::Exchanged;
use events::ids::AccountId;
use events::ledger::LedgerAccount;
use events::rejection::ExchangeField;
use events::{Event, Position, Rejection, Timestamp, account::Role};

use crate::command::{ExchangeMoney, ExchangeQuote, VerifiedExchange};
use crate::decide::Facts;
use crate::funding::CreditId;
use crate::market::Market;

/// How far ahead an offer may end at most, in milliseconds: a provider that signed a slip of the pen is bound to it so long.
pub const QUOTE_MS_MAX: i64 = 24 * 3_600_000;

impl Market {
    pub(crate) fn wallet_exchanged(&mut self, event: &Exchanged, position: Position) {
        event.transfers.iter().for_each(|transfer| self.ledger.post(transfer));
        self.credit(CreditId::exchanged(event), position);
    }
}

pub(crate) fn decide_exchange(
    market: &Market,
    facts: &Facts,
    account: AccountId,
    command: &ExchangeMoney,
    verified: &VerifiedExchange,
    now: Timestamp,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let VerifiedExchange { key, quote } = verified;
    let mut reasons = Vec::new();
    let first = market.credits.find(CreditId::offered(quote)).or(facts.credit);
    let reference = quote.reference.as_str().to_owned();
    if let Some(first) = first {
        reasons.push(Rejection::ReferenceUsed { reference: reference.clone(), first });
    }
    let signer = market.accounts.signer(*key);
    let is_by_provider = signer == Some(quote.provider);
    let ends_in_time = now.plus_ms(QUOTE_MS_MAX) >= quote.exp;
    for (fits, field) in [
        (quote.account == account, ExchangeField::Account),
        (is_by_provider && market.accounts.has_role(quote.provider, Role::Provider), ExchangeField::Provider),
        (quote.from == command.from, ExchangeField::From),
        (gives_enough(command, quote), ExchangeField::To),
        (quote.rate.of(quote.from.minor) == Some(quote.to.minor.into()), ExchangeField::Rate),
        (ends_in_time, ExchangeField::Exp),
    ] {
        if !fits {
            reasons.push(Rejection::ExchangeMismatch { field });
        }
    }
    if now > quote.exp {
        reasons.push(Rejection::ExchangeExpired { expired: quote.exp });
    }
    if !quote.from.is_positive() || !quote.to.is_positive() {
        reasons.push(Rejection::AmountNotPositive);
    } else if let Err(reason) = market.ledger.check_inflow(quote.to) {
        reasons.push(reason);
    }
    let available = market.ledger.balance(LedgerAccount::Wallet(account), quote.from.currency);
    if available.minor < quote.from.minor {
        reasons.push(Rejection::InsufficientFunds { available, required: quote.from });
    }
    if !reasons.is_empty() {
        return Err(reasons);
    }
    Ok(vec![Exchanged::new(account, quote.provider, quote.rate, reference, [quote.from, quote.to]).into()])
}

/// Tells whether the offer gives what the buyer wants, in another currency than it takes.
fn gives_enough(command: &ExchangeMoney, quote: &ExchangeQuote) -> bool {
    let wanted = command.at_least;
    wanted.currency == quote.to.currency
        && quote.to.currency != quote.from.currency
        && quote.to.minor >= wanted.minor
}
