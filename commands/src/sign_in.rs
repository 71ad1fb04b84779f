//! Signing in without a device: who has a password, how many wrong ones may be tried, and which sessions there are. Whether a password or an
//! app's code is right is known outside, by who keeps what it is checked with; he tells it with commands of the registrar. What a passkey
//! signed is checked here, as beside a command.

use std::collections::BTreeMap;

use events::command::Rejected;
use events::ids::{AccountId, Nonce, PasswordId, SessionId};
use events::rejection::{FactorRejection, SignInRejection};
use events::sign_in::{PasswordRemoved, PasswordSet, SessionEnded, SessionStarted, SignInFailed};
use events::{Event, Hash, Rejection, Timestamp};
use serde::{Deserialize, Serialize};

use crate::account::{Account, Accounts};
use crate::command::{Command, EndSession, RemovePassword, ReportSignInFailed, SetPassword, StartSession};
use crate::market::Market;
use crate::step_up::{self, owner_of};

/// How many wrong passwords may be tried before it takes longer each time.
pub const FAILURES_FREE: u32 = 4;
/// How long nobody can sign in with a password after the first failure beyond those, in ms; each further one doubles it.
pub const LOCK_MS: i64 = 30_000;
/// The longest that is, in ms.
pub const LOCK_MS_MAX: i64 = 3_600_000;
/// After how long without a failure they are forgotten, in ms.
pub const FAILURES_MS: i64 = 86_400_000;
/// The longest session, in ms: 12 hours.
pub const SESSION_MS_MAX: i64 = 43_200_000;
/// Most sessions of one account; one more ends the one that would end first.
pub const SESSIONS_PER_ACCOUNT_MAX: usize = 16;

/// What is remembered of an account's signing in.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SignIn {
    /// Its password, if it has one.
    pub password: Option<PasswordId>,
    /// Wrong passwords since somebody signed in with the right one.
    pub failures: u32,
    /// When the last one was tried.
    pub failed_at: Timestamp,
    /// Its sessions, and when each ends at the latest; those that are over are forgotten when one begins.
    pub sessions: BTreeMap<SessionId, Timestamp>,
}

/// What a challenge to sign in begins with. Behind it stands what whoever gives it knows it by.
pub const CHALLENGE_START: &[u8] = b"skylink sign-in";

/// Tells whether a passkey's challenge is one to sign in. It is longer than that of any command, which is a hash of 32 bytes.
pub fn is_challenge(bytes: &[u8]) -> bool {
    bytes.len() > 32 && bytes.starts_with(CHALLENGE_START)
}

/// Gives what a passkey signed for somebody to sign in while challenges were made of nonces: SHA-256 of `skylink sign-in` and the nonce. It is
/// the challenge of no command, whose signed bytes begin with `{` or with `ey`.
pub fn challenge(nonce: Nonce) -> Hash {
    Hash::of(&[b"skylink sign-in".as_slice(), &nonce.0].concat())
}

/// Gives how long nobody can sign in after so many failures, in ms.
fn lock_ms(failures: u32) -> i64 {
    match failures.checked_sub(FAILURES_FREE + 1) {
        None => 0,
        // Sixteen doublings are above the most, and far from what an i64 holds.
        Some(more) => (LOCK_MS << more.min(16)).min(LOCK_MS_MAX),
    }
}

impl SignIn {
    /// Gives the failures that count now.
    fn failures(&self, now: Timestamp) -> u32 {
        if now.ms_since(self.failed_at) < FAILURES_MS { self.failures } else { 0 }
    }

    /// Tells until when nobody can sign in with a password, if that is so.
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
        if let Some(shown) = &event.shown {
            self.factor_shown(event.account, shown);
        }
        let known = self.sign_in_of(event.account);
        // Who signs in with a passkey says nothing of who tries passwords.
        if event.password.is_some() {
            known.failures = 0;
        }
        known.sessions.retain(|_, until| now < *until);
        known.sessions.insert(event.session, event.until);
    }

    pub(crate) fn session_ended(&mut self, event: &SessionEnded) {
        self.sign_in_of(event.account).sessions.remove(&event.session);
    }

    /// Ends all sessions of an account.
    pub(crate) fn sign_out(&mut self, account: AccountId) {
        if let Some(known) = self.known(account).sign_in.as_deref_mut() {
            known.sessions.clear();
        }
    }
}

fn account_of(market: &Market, account: AccountId) -> Result<&Account, Vec<Rejection>> {
    market.accounts.get(account).ok_or_else(|| vec![Rejection::AccountUnknown { account }])
}

/// Finds what is remembered of an account whose password that is, and to which somebody can sign in with it now.
fn open_to(
    known: &Account,
    account: AccountId,
    password: PasswordId,
    now: Timestamp,
) -> Result<&SignIn, Vec<Rejection>> {
    let sign_in = known.sign_in.as_deref().filter(|known| known.password == Some(password));
    let sign_in = sign_in.ok_or_else(|| vec![SignInRejection::NoPassword { account }.into()])?;
    match sign_in.locked_until(now) {
        Some(until) => Err(vec![SignInRejection::SignInLocked { account, until }.into()]),
        None => Ok(sign_in),
    }
}

fn failed(sign_in: &SignIn, account: AccountId, now: Timestamp) -> SignInFailed {
    let failures = sign_in.failures(now).saturating_add(1);
    let lock_ms = lock_ms(failures);
    let locked_until = (lock_ms > 0).then(|| now.plus_ms(lock_ms));
    SignInFailed { account, failures, locked_until }
}

pub(crate) fn decide_set_password(
    market: &Market,
    account: AccountId,
    command: &SetPassword,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let SetPassword { password } = *command;
    let replaced = account_of(market, account)?.sign_in.as_deref().and_then(|known| known.password);
    let is_done = replaced == Some(password);
    Ok(if is_done { vec![] } else { vec![PasswordSet { account, password, replaced }.into()] })
}

pub(crate) fn decide_remove_password(
    market: &Market,
    giver: AccountId,
    command: &RemovePassword,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let account = owner_of(market, giver, command.account)?;
    let password = account_of(market, account)?.sign_in.as_deref().and_then(|known| known.password);
    Ok(password.map(|password| PasswordRemoved { account, password }.into()).into_iter().collect())
}

pub(crate) fn decide_failed(
    market: &Market,
    command: &ReportSignInFailed,
    now: Timestamp,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let ReportSignInFailed { account, password } = *command;
    let sign_in = open_to(account_of(market, account)?, account, password, now)?;
    Ok(vec![failed(sign_in, account, now).into()])
}

pub(crate) fn decide_start(
    market: &Market,
    command: &StartSession,
    now: Timestamp,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let StartSession { account, session, until, password, ref shown, nonce } = *command;
    let refuse = |problem: &str| -> Vec<Rejection> {
        vec![SignInRejection::SecondFactorRefused { problem: problem.to_owned() }.into()]
    };
    let known = account_of(market, account)?;
    let sign_in = known.sign_in.as_deref();
    if sign_in.is_some_and(|sign_in| sign_in.sessions.contains_key(&session)) {
        return Ok(vec![]);
    }
    if !(1..=SESSION_MS_MAX).contains(&until.ms_since(now)) {
        return Err(vec![SignInRejection::SessionLength { max_ms: SESSION_MS_MAX }.into()]);
    }
    let by_password = password.map(|password| open_to(known, account, password, now)).transpose()?;
    let is_right = match shown {
        Some(shown) if by_password.is_some() || step_up::is_passkey(shown) => {
            step_up::check_sign_in(market, account, shown, nonce, now).map_err(refuse)?
        }
        None if by_password.is_some() && !step_up::has_second_factor(market, account) => true,
        None if by_password.is_some() => {
            return Err(vec![SignInRejection::SecondFactorNeeded { account }.into()]);
        }
        _ => return Err(refuse("without the password only a passkey counts")),
    };
    if !is_right {
        let sign_in = by_password.ok_or_else(|| refuse("without the password only a passkey counts"))?;
        let failed = failed(sign_in, account, now);
        let left = (FAILURES_FREE + 1).saturating_sub(failed.failures);
        let name = Command::from(command.clone()).name().to_owned();
        let reasons = vec![FactorRejection::CodeWrong { left }.into()];
        return Ok(vec![failed.into(), Rejected { command: name, reasons }.into()]);
    }
    let mut events = Vec::new();
    let live = sign_in.into_iter().flat_map(|sign_in| &sign_in.sessions).filter(|(_, until)| now < **until);
    let mut live: Vec<(Timestamp, SessionId)> = live.map(|(session, until)| (*until, *session)).collect();
    live.sort_unstable();
    let too_many = (live.len() + 1).saturating_sub(SESSIONS_PER_ACCOUNT_MAX);
    for (_, session) in live.into_iter().take(too_many) {
        events.push(SessionEnded { account, session }.into());
    }
    events.push(SessionStarted { account, session, until, password, shown: shown.clone() }.into());
    Ok(events)
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
