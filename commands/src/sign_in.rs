//! Signing in without a device: who has a password, how many wrong ones may be tried, and which sessions there are. Whether a password is right
//! is known outside, by who keeps what it is checked with; he tells it with commands of the registrar.

use std::collections::BTreeMap;

use events::ids::{AccountId, PasswordId, SessionId};
use events::rejection::SignInRejection;
use events::sign_in::{PasswordRemoved, PasswordSet, SessionEnded, SessionStarted, SignInFailed};
use events::{Event, Rejection, Timestamp};
use serde::{Deserialize, Serialize};

use crate::account::{Account, Accounts};
use crate::command::{EndSession, RemovePassword, ReportSignInFailed, SetPassword, StartSession};
use crate::market::Market;
use crate::step_up::owner_of;

/// How many wrong passwords may be tried before it takes longer each time.
pub const FAILURES_FREE: u32 = 4;
/// How long nobody can sign in after the first failure beyond those, in ms; each further one doubles it.
pub const LOCK_MS: i64 = 30_000;
/// The longest that is, in ms.
pub const LOCK_MS_MAX: i64 = 3_600_000;
/// After how long without a failure they are forgotten, in ms.
pub const FAILURES_MS: i64 = 86_400_000;
/// The longest session, in ms: 12 hours.
pub const SESSION_MS_MAX: i64 = 43_200_000;
/// Most sessions of one account.
pub const SESSIONS_PER_ACCOUNT_MAX: usize = 16;

/// What is remembered of an account's signing in.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SignIn {
    /// Its password, if it has one.
    pub password: Option<PasswordId>,
    /// Wrong passwords since somebody signed in.
    pub failures: u32,
    /// When the last one was tried.
    pub failed_at: Timestamp,
    /// Its sessions, and when each ends at the latest; those that are over are forgotten when one begins.
    pub sessions: BTreeMap<SessionId, Timestamp>,
}

/// Gives how long nobody can sign in after so many failures, in ms.
fn lock_ms(failures: u32) -> i64 {
    match failures.checked_sub(FAILURES_FREE + 1) {
        None => 0,
        Some(more) => LOCK_MS.checked_shl(more.min(16)).map_or(LOCK_MS_MAX, |ms| ms.min(LOCK_MS_MAX)),
    }
}

impl SignIn {
    /// Gives the failures that count now.
    fn failures(&self, now: Timestamp) -> u32 {
        if now.ms_since(self.failed_at) < FAILURES_MS { self.failures } else { 0 }
    }

    /// Tells until when nobody can sign in, if that is so.
    pub fn locked_until(&self, now: Timestamp) -> Option<Timestamp> {
        let until = self.failed_at.plus_ms(lock_ms(self.failures(now)));
        (now < until).then_some(until)
    }
}

impl Accounts {
    fn sign_in_of(&mut self, account: AccountId) -> &mut SignIn {
        self.known(account).sign_in.get_or_insert_default()
    }

    pub(crate) fn password_set(&mut self, event: &PasswordSet) {
        let password = Some(event.password);
        *self.sign_in_of(event.account) = SignIn { password, ..SignIn::default() };
    }

    pub(crate) fn password_removed(&mut self, event: &PasswordRemoved) {
        self.known(event.account).sign_in = None;
    }

    pub(crate) fn sign_in_failed(&mut self, event: &SignInFailed, now: Timestamp) {
        let known = self.sign_in_of(event.account);
        (known.failures, known.failed_at) = (event.failures, now);
    }

    pub(crate) fn session_started(&mut self, event: &SessionStarted, now: Timestamp) {
        let known = self.sign_in_of(event.account);
        known.failures = 0;
        known.sessions.retain(|_, until| now < *until);
        known.sessions.insert(event.session, event.until);
    }

    pub(crate) fn session_ended(&mut self, event: &SessionEnded) {
        self.sign_in_of(event.account).sessions.remove(&event.session);
    }
}

fn account_of(market: &Market, account: AccountId) -> Result<&Account, Vec<Rejection>> {
    market.accounts.get(account).ok_or_else(|| vec![Rejection::AccountUnknown { account }])
}

/// Finds what is remembered of an account whose password that is, and to which somebody can sign in now.
fn open_to(
    market: &Market,
    account: AccountId,
    password: PasswordId,
    now: Timestamp,
) -> Result<&SignIn, Vec<Rejection>> {
    let known = account_of(market, account)?.sign_in.as_deref();
    let known = known.filter(|known| known.password == Some(password));
    let known = known.ok_or_else(|| vec![SignInRejection::NoPassword { account }.into()])?;
    match known.locked_until(now) {
        Some(until) => Err(vec![SignInRejection::SignInLocked { account, until }.into()]),
        None => Ok(known),
    }
}

pub(crate) fn decide_set_password(
    market: &Market,
    account: AccountId,
    command: &SetPassword,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let SetPassword { password } = *command;
    let known = account_of(market, account)?.sign_in.as_deref();
    let is_done = known.is_some_and(|known| known.password == Some(password));
    Ok(if is_done { vec![] } else { vec![PasswordSet { account, password }.into()] })
}

pub(crate) fn decide_remove_password(
    market: &Market,
    giver: AccountId,
    command: &RemovePassword,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let account = owner_of(market, giver, command.account)?;
    let has_one = account_of(market, account)?.sign_in.is_some();
    Ok(if has_one { vec![PasswordRemoved { account }.into()] } else { vec![] })
}

pub(crate) fn decide_failed(
    market: &Market,
    command: &ReportSignInFailed,
    now: Timestamp,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let ReportSignInFailed { account, password } = *command;
    let failures = open_to(market, account, password, now)?.failures(now).saturating_add(1);
    let lock_ms = lock_ms(failures);
    let locked_until = (lock_ms > 0).then(|| now.plus_ms(lock_ms));
    Ok(vec![SignInFailed { account, failures, locked_until }.into()])
}

pub(crate) fn decide_start(
    market: &Market,
    command: &StartSession,
    now: Timestamp,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let StartSession { account, password, session, until } = *command;
    let known = open_to(market, account, password, now)?;
    if known.sessions.contains_key(&session) {
        return Ok(vec![]);
    }
    if !(1..=SESSION_MS_MAX).contains(&until.ms_since(now)) {
        return Err(vec![SignInRejection::SessionLength { max_ms: SESSION_MS_MAX }.into()]);
    }
    let live = known.sessions.values().filter(|until| now < **until).count();
    if live >= SESSIONS_PER_ACCOUNT_MAX {
        return Err(vec![SignInRejection::TooManySessions { max: SESSIONS_PER_ACCOUNT_MAX as u32 }.into()]);
    }
    Ok(vec![SessionStarted { account, session, until }.into()])
}

pub(crate) fn decide_end(
    market: &Market,
    giver: AccountId,
    command: &EndSession,
    now: Timestamp,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let EndSession { account: named, session } = *command;
    let account = owner_of(market, giver, named)?;
    let known = account_of(market, account)?.sign_in.as_deref();
    let until = known.and_then(|known| known.sessions.get(&session));
    let is_live = until.is_some_and(|until| now < *until);
    Ok(if is_live { vec![SessionEnded { account, session }.into()] } else { vec![] })
}
