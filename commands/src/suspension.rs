//! Suspended accounts: they may ask for nothing, and what they asked for before goes on by itself. But what an operator proposed for a
//! second one to agree to counts for nothing meanwhile.

use events::account::{Reinstated, Role, Suspended};
use events::ids::{AccountId, KeyId};
use events::rejection::AccountRejection;
use events::{Event, Rejection};

use crate::account::{Account, Accounts};
use crate::command::{CommandKind, ReinstateAccount, SuspendAccount};
use crate::market::Market;

/// Roles that a market can't do without: who registers its people, and who reports what became of its money.
const NEEDED: [Role; 2] = [Role::Registrar, Role::Provider];

impl Account {
    /// Tells whether others may buy from it.
    pub const fn may_sell(&self) -> bool {
        !self.is_seller_suspended && !self.is_suspended
    }
}

impl Accounts {
    /// Finds whose word a key gives for others to hand in, such as a quote; none: nobody's, any more or for the time being.
    pub(crate) fn signer(&self, key: KeyId) -> Option<AccountId> {
        let account = self.active_key(key)?.account;
        self.get(account).filter(|known| !known.is_suspended).map(|_| account)
    }

    pub(crate) fn account_suspended(&mut self, event: &Suspended) {
        self.known(event.account).is_suspended = true;
    }

    pub(crate) fn account_reinstated(&mut self, event: &Reinstated) {
        self.known(event.account).is_suspended = false;
    }
}

fn is_suspended(market: &Market, account: AccountId) -> bool {
    market.accounts.get(account).is_some_and(|known| known.is_suspended)
}

/// Tells whether an account may give a command now, whatever its roles are. A device that was lost is reported all the same.
pub(crate) fn allows(market: &Market, account: AccountId, kind: CommandKind) -> bool {
    kind == CommandKind::ReportLost || !is_suspended(market, account)
}

/// Tells whether what an operator proposed can be agreed to: not while he is suspended. Then whoever gives the same is the first, so that
/// it is always two who are trusted.
pub(crate) fn may_be_agreed_to(market: &Market, proposed_by: AccountId) -> bool {
    !is_suspended(market, proposed_by)
}

fn known(market: &Market, account: AccountId) -> Result<&Account, Vec<Rejection>> {
    market.accounts.get(account).ok_or_else(|| vec![Rejection::AccountUnknown { account }])
}

pub(crate) fn decide_suspend(
    market: &Market,
    operator: AccountId,
    command: &SuspendAccount,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let SuspendAccount { account, reason } = command;
    let found = known(market, *account)?;
    if *account == operator {
        return Err(vec![AccountRejection::OwnAccount.into()]);
    }
    if let Some(role) = NEEDED.into_iter().find(|role| found.roles.contains(role)) {
        return Err(vec![AccountRejection::AccountNeeded { account: *account, role }.into()]);
    }
    let event = || Suspended { account: *account, reason: reason.as_str().to_owned() };
    Ok(if found.is_suspended { vec![] } else { vec![event().into()] })
}

pub(crate) fn decide_reinstate(
    market: &Market,
    command: &ReinstateAccount,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let ReinstateAccount { account, reason } = command;
    let is_suspended = known(market, *account)?.is_suspended;
    let event = || Reinstated { account: *account, reason: reason.as_str().to_owned() };
    Ok(if is_suspended { vec![event().into()] } else { vec![] })
}
