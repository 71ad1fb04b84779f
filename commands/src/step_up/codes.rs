//! Codes as second factors. Whether an app's code is right is known outside, where its secret is; here it is decided whether the right
//! one may still count, how many wrong ones may be, and which recovery codes are left.

use std::collections::BTreeSet;

use events::command::Rejected;
use events::ids::{AccountId, AuthenticatorId};
use events::metadata::CommandStamp;
use events::rejection::{DeviceRejection, FactorRejection};
use events::step_up::{
    CodeRefused, FactorKind, RecoveryEnrolled, RecoveryRemoved, RecoveryShown, TotpEnrolled, TotpRemoved,
    TotpShown,
};
use events::{Event, Hash, Rejection, Timestamp};
use serde::{Deserialize, Serialize};

use super::owner_of;
use crate::account::{Account, Accounts};
use crate::command::{Command, EnrollRecovery, EnrollTotp, RemoveRecovery, RemoveTotp};
use crate::market::Market;
use crate::refusal::Refusal;

/// How long each code of an app is the present one, in ms.
pub const STEP_MS: i64 = 30_000;
/// How many steps a code may be behind.
const STEPS_BEHIND_MAX: u64 = 1;
/// How many wrong codes may be shown in [`TRIES_MS`]; then none is looked at for a while.
pub const TRIES_MAX: usize = 5;
/// The time in which wrong codes are counted, in ms.
pub const TRIES_MS: i64 = 900_000;
/// How long no code is looked at the first time, in ms; each further time it takes twice as long.
pub const LOCK_MS: i64 = 900_000;
/// The longest that is, in ms: a day.
pub const LOCK_MS_MAX: i64 = 86_400_000;
/// How long after the last time it begins at [`LOCK_MS`] again, in ms: a week. A right code changes nothing about it, since whoever tries may
/// have a device that its owner uses too.
pub const LOCKS_MS: i64 = 604_800_000;
/// The fewest and the most recovery codes of an account.
pub const RECOVERY_CODES: (usize, usize) = (8, 10);

/// What an account has of codes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Codes {
    /// Its app.
    pub app: Option<App>,
    /// Commitments to the recovery codes that were not shown yet.
    pub recovery: BTreeSet<Hash>,
    /// When the last wrong ones were shown, since none was looked at; at most [`TRIES_MAX`].
    pub wrong: Vec<Timestamp>,
    /// How many times in a row there were too many.
    pub locks: u32,
    /// Until when none was looked at the last time.
    pub locked_until: Timestamp,
}

/// An app that makes codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct App {
    /// Which.
    pub authenticator: AuthenticatorId,
    /// The step whose code was shown last: none of it or before is good any more.
    pub last_step: u64,
}

impl Codes {
    fn wrong_lately(&self, now: Timestamp) -> impl Iterator<Item = Timestamp> {
        self.wrong.iter().copied().filter(move |at| now.ms_since(*at) < TRIES_MS)
    }

    /// Tells from when on codes are looked at again, if they are not now.
    pub fn locked_until(&self, now: Timestamp) -> Option<Timestamp> {
        (now < self.locked_until).then_some(self.locked_until)
    }

    /// Gives how many times in a row there were too many, as far as it counts now.
    fn locks(&self, now: Timestamp) -> u32 {
        if now.ms_since(self.locked_until) < LOCKS_MS { self.locks } else { 0 }
    }

    /// Gives how long none is looked at if there are too many now, in ms.
    fn lock_ms(&self, now: Timestamp) -> i64 {
        // Sixteen doublings are above the most, and far from what an i64 holds.
        (LOCK_MS << self.locks(now).min(16)).min(LOCK_MS_MAX)
    }
}

impl Account {
    /// Gives its app.
    pub fn app(&self) -> Option<App> {
        self.codes.as_deref()?.app
    }

    /// Tells which kinds of second factors it has.
    pub fn factors(&self) -> Vec<FactorKind> {
        let has_recovery = self.codes.as_deref().is_some_and(|codes| !codes.recovery.is_empty());
        let kinds = [
            (!self.passkeys.is_empty(), FactorKind::Webauthn),
            (self.app().is_some(), FactorKind::Totp),
            (has_recovery, FactorKind::Recovery),
        ];
        kinds.into_iter().filter_map(|(has, kind)| has.then_some(kind)).collect()
    }

    /// Tells whether it has any second factor.
    pub fn has_factor(&self) -> bool {
        !self.factors().is_empty()
    }

    pub(super) fn totp_shown(&mut self, shown: TotpShown) {
        let app = self.codes.as_deref_mut().and_then(|codes| codes.app.as_mut());
        if let (Some(app), Some(step)) = (app, shown.step)
            && app.authenticator == shown.authenticator
        {
            app.last_step = app.last_step.max(step);
        }
    }

    pub(super) fn recovery_shown(&mut self, commitment: Hash) {
        if let Some(codes) = self.codes.as_deref_mut() {
            codes.recovery.remove(&commitment);
        }
    }
}

impl Accounts {
    fn codes_of(&mut self, account: AccountId) -> &mut Codes {
        self.known(account).codes.get_or_insert_default()
    }

    pub(crate) fn totp_enrolled(&mut self, event: &TotpEnrolled) {
        self.codes_of(event.account).app = Some(App { authenticator: event.authenticator, last_step: 0 });
    }

    pub(crate) fn totp_removed(&mut self, event: &TotpRemoved) {
        self.codes_of(event.account).app = None;
    }

    pub(crate) fn recovery_enrolled(&mut self, event: &RecoveryEnrolled) {
        self.codes_of(event.account).recovery.clone_from(&event.commitments);
    }

    pub(crate) fn recovery_removed(&mut self, event: &RecoveryRemoved) {
        self.codes_of(event.account).recovery.clear();
    }

    pub(crate) fn code_refused(&mut self, event: &CodeRefused, now: Timestamp) {
        let codes = self.codes_of(event.account);
        codes.wrong.retain(|at| now.ms_since(*at) < TRIES_MS);
        codes.wrong.push(now);
        if let Some(until) = event.locked_until {
            codes.locks = codes.locks(now).saturating_add(1);
            codes.locked_until = until;
            codes.wrong.clear();
        }
    }
}

/// Tells whether an app's code is right, which is good once, while it or the next is the present one. Says why it is not looked at.
pub(super) fn is_right_totp(known: &Account, shown: TotpShown, now: Timestamp) -> Result<bool, &'static str> {
    let app = known.app().filter(|app| app.authenticator == shown.authenticator);
    let app = app.ok_or("the app is none of this account")?;
    let Some(step) = shown.step else { return Ok(false) };
    let present = u64::try_from(now.ms() / STEP_MS).unwrap_or_default();
    if step > present || present - step > STEPS_BEHIND_MAX {
        return Err("the code is of another time: show the present one");
    }
    if step <= app.last_step {
        return Err("the code, or a later one, was shown before: wait for the next");
    }
    Ok(true)
}

/// Tells whether a recovery code is right, which is good once. Says why it is not looked at.
pub(super) fn is_right_recovery(known: &Account, commitment: Hash) -> Result<bool, &'static str> {
    let codes = known.codes.as_deref().filter(|codes| !codes.recovery.is_empty());
    let codes = codes.ok_or("the account has no recovery codes left")?;
    Ok(codes.recovery.contains(&commitment))
}

/// Checks an app's code that is shown beside a command. Gives what is to be written if it is wrong.
pub(super) fn check_totp(
    known: &Account,
    shown: TotpShown,
    stamp: &CommandStamp,
    command: &Command,
    now: Timestamp,
    refuse: impl Fn(&'static str) -> Refusal,
) -> Result<Option<Vec<Event>>, Refusal> {
    // Of another's app nothing is told, not even that codes of this account are locked.
    if known.app().is_some_and(|app| app.authenticator == shown.authenticator) {
        check_locked(known, now)?;
    }
    let is_right = is_right_totp(known, shown, now).map_err(refuse)?;
    Ok((!is_right).then(|| wrong(known, FactorKind::Totp, stamp, command, now)))
}

/// Checks a recovery code that is shown beside a command, as [`check_totp`] does an app's.
pub(super) fn check_recovery(
    known: &Account,
    shown: RecoveryShown,
    stamp: &CommandStamp,
    command: &Command,
    now: Timestamp,
    refuse: impl Fn(&'static str) -> Refusal,
) -> Result<Option<Vec<Event>>, Refusal> {
    if known.codes.as_deref().is_some_and(|codes| !codes.recovery.is_empty()) {
        check_locked(known, now)?;
    }
    let is_right = is_right_recovery(known, shown.commitment(stamp.account)).map_err(refuse)?;
    Ok((!is_right).then(|| wrong(known, FactorKind::Recovery, stamp, command, now)))
}

fn check_locked(known: &Account, now: Timestamp) -> Result<(), Refusal> {
    match known.codes.as_deref().and_then(|codes| codes.locked_until(now)) {
        Some(until) => Err(Refusal::MfaLocked { until }),
        None => Ok(()),
    }
}

/// Gives what a wrong code leaves in the log: that it was, and that the command is rejected for it.
fn wrong(
    known: &Account,
    kind: FactorKind,
    stamp: &CommandStamp,
    command: &Command,
    now: Timestamp,
) -> Vec<Event> {
    let codes = known.codes.as_deref();
    let tries = codes.map_or(0, |codes| codes.wrong_lately(now).count()) + 1;
    let left = TRIES_MAX.saturating_sub(tries) as u32;
    let lock_ms = codes.map_or(LOCK_MS, |codes| codes.lock_ms(now));
    let locked_until = (left == 0).then(|| now.plus_ms(lock_ms));
    let command = command.name().to_owned();
    vec![
        CodeRefused { account: stamp.account, kind, tries: tries as u32, locked_until }.into(),
        Rejected { command, reasons: vec![FactorRejection::CodeWrong { left }.into()] }.into(),
    ]
}

fn account_of(market: &Market, account: AccountId) -> Result<&Account, Vec<Rejection>> {
    market.accounts.get(account).ok_or_else(|| vec![Rejection::AccountUnknown { account }])
}

fn check_offered(market: &Market) -> Result<(), Vec<Rejection>> {
    match market.step_up {
        Some(_) => Ok(()),
        None => Err(vec![DeviceRejection::StepUpNotOffered.into()]),
    }
}

pub(crate) fn decide_enroll_totp(
    market: &Market,
    account: AccountId,
    command: &EnrollTotp,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let EnrollTotp { authenticator } = *command;
    let known = account_of(market, account)?;
    if known.app().is_some_and(|app| app.authenticator == authenticator) {
        return Ok(vec![]);
    }
    check_offered(market)?;
    Ok(vec![TotpEnrolled { account, authenticator }.into()])
}

pub(crate) fn decide_remove_totp(
    market: &Market,
    giver: AccountId,
    command: &RemoveTotp,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let RemoveTotp { account: named, authenticator } = *command;
    let account = owner_of(market, giver, named)?;
    let is_there = account_of(market, account)?.app().is_some_and(|app| app.authenticator == authenticator);
    Ok(if is_there { vec![TotpRemoved { account, authenticator }.into()] } else { vec![] })
}

pub(crate) fn decide_enroll_recovery(
    market: &Market,
    account: AccountId,
    command: &EnrollRecovery,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let known = account_of(market, account)?;
    let commitments: BTreeSet<Hash> = command.commitments.iter().copied().collect();
    let (min, max) = RECOVERY_CODES;
    if commitments.len() != command.commitments.len() || !(min..=max).contains(&commitments.len()) {
        return Err(vec![FactorRejection::RecoveryCodes { min: min as u32, max: max as u32 }.into()]);
    }
    if known.codes.as_deref().is_some_and(|codes| codes.recovery == commitments) {
        return Ok(vec![]);
    }
    check_offered(market)?;
    Ok(vec![RecoveryEnrolled { account, commitments }.into()])
}

pub(crate) fn decide_remove_recovery(
    market: &Market,
    giver: AccountId,
    command: &RemoveRecovery,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let account = owner_of(market, giver, command.account)?;
    let codes = account_of(market, account)?.codes.as_deref();
    let has_some = codes.is_some_and(|codes| !codes.recovery.is_empty());
    Ok(if has_some { vec![RecoveryRemoved { account }.into()] } else { vec![] })
}
