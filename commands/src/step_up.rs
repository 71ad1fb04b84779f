//! The second factor: which commands need one, who has which, and whether what was shown beside a command is one. It is a passkey's
//! approval, a code of an app, or a recovery code.
//!
//! It travels beside the signed bytes and is bound to them, so that an approval is good for just one command. It is shown when
//! the market has asked for it: the refusal `mfa_required` says what it is to sign. What was shown stands in the decision's
//! metadata, so that everybody can check it again.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use events::account::{PublicKey, Role};
use events::ids::{AccountId, AuthenticatorId, Nonce};
use events::metadata::CommandStamp;
use events::rejection::DeviceRejection;
use events::step_up::{
    Assertion, CredentialId, PasskeyEnrolled, PasskeyRemoved, RecoveryShown, StepUp, StepUpRule, StepUpTerms,
    TermsSet,
};
use events::{Event, Hash, Rejection, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::account::{Account, Accounts};
use crate::command::{
    Command, EnrollPasskey, RemovePasskey, RemovePassword, RemoveRecovery, RemoveTotp, SetStepUpTerms,
    Verified,
};
use crate::market::Market;
use crate::refusal::{HasFactors, Refusal};
use crate::{jcs, risk, scope, sign_in};

mod codes;
mod webauthn;

pub use self::codes::{
    App, Codes, LOCK_MS, LOCK_MS_MAX, LOCKS_MS, RECOVERY_CODES, STEP_MS, TRIES_MAX, TRIES_MS,
};
pub(crate) use self::codes::{
    decide_enroll_recovery, decide_enroll_totp, decide_remove_recovery, decide_remove_totp,
};

/// How old a command may be when it is decided, if a second factor that it needs is shown beside it: a person has to be asked.
pub const STEP_UP_FRESHNESS_MS: i64 = 600_000;
/// Most passkeys of one account.
pub const PASSKEYS_PER_ACCOUNT_MAX: usize = 8;
/// Digits of an app's code.
pub const CODE_DIGITS: usize = 6;
/// Longest header with a second factor, in bytes.
pub const HEADER_BYTES_MAX: usize = 8 * 1024;

/// A passkey of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passkey {
    /// Its public key.
    pub key: PublicKey,
    /// How often it had signed when it was last seen; 0: it does not count.
    pub sign_count: u32,
}

/// The passkeys of an account, by their ids.
pub type Passkeys = BTreeMap<CredentialId, Passkey>;

/// A second factor as it is shown beside a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Shown {
    /// A passkey's approval.
    Webauthn(Assertion),
    /// An app's code.
    Totp(TotpCode),
    /// A recovery code.
    Recovery(RecoveryShown),
}

/// An app's code.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TotpCode {
    /// The app.
    pub authenticator: AuthenticatorId,
    /// Its code: 6 digits.
    pub code: String,
}

/// Never says the code.
impl fmt::Debug for TotpCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TotpCode").field("authenticator", &self.authenticator).finish_non_exhaustive()
    }
}

/// Reads the header with a second factor: base64url of its JSON.
pub fn read_header(text: &str) -> Result<Box<Shown>, Refusal> {
    let wrong = |rule: String| Refusal::BodyInvalid { rule: format!("Skylink-Step-Up: {rule}") };
    if text.len() > HEADER_BYTES_MAX {
        return Err(wrong(format!("it may have {HEADER_BYTES_MAX} bytes")));
    }
    let json = URL_SAFE_NO_PAD.decode(text).map_err(|error| wrong(error.to_string()))?;
    // What it holds is not repeated in an error: it may be a code.
    let shown: Shown = serde_json::from_slice(&json).map_err(|_| {
        wrong("it holds `webauthn`, `totp` or `recovery` with its members, see docs/step-up.md".to_owned())
    })?;
    match &shown {
        Shown::Webauthn(assertion) if !assertion.fits() => {
            Err(wrong("its parts are none of a passkey's approval".to_owned()))
        }
        Shown::Totp(code)
            if code.code.len() != CODE_DIGITS || !code.code.bytes().all(|b| b.is_ascii_digit()) =>
        {
            Err(wrong(format!("an app's code has {CODE_DIGITS} digits")))
        }
        _ => Ok(Box::new(shown)),
    }
}

/// Writes the header with a second factor.
pub fn write_header(shown: &Shown) -> String {
    URL_SAFE_NO_PAD
        .encode(serde_json::to_vec(shown).expect("a second factor holds nothing that JSON can't say"))
}

/// Gives what a passkey is to sign for a command: SHA-256 of the bytes that the device signed. `None`: this is no signed command.
pub fn challenge(signed: &str) -> Option<Hash> {
    if signed.starts_with('{') {
        let mut object: Value = serde_json::from_str(signed).ok()?;
        object.as_object_mut()?.remove("signature")?;
        return Some(Hash::of(jcs::to_string(&object).as_bytes()));
    }
    signed.rsplit_once('.').map(|(input, _)| Hash::of(input.as_bytes()))
}

/// Tells why a command needs a second factor, if it does.
pub fn reason(market: &Market, verified: &Verified, now: Timestamp) -> Option<&'static str> {
    let stamp = &verified.stamp;
    let has_one = || market.accounts.get(stamp.account).is_some_and(Account::has_factor);
    let is_own = |account: Option<AccountId>| account.is_none_or(|account| account == stamp.account);
    match &verified.command {
        // What is lost may be the second factor too.
        Command::ReportLost(_) => return None,
        // Else whoever has the device could give himself a second factor. Who has none yet begins with this.
        Command::EnrollPasskey(_) | Command::EnrollTotp(_) | Command::EnrollRecovery(_) => {
            return has_one().then_some("a second factor is enrolled with one that is there");
        }
        Command::SetPassword(_) => {
            return has_one().then_some("a password is set with a second factor that is there");
        }
        Command::RemovePassword(RemovePassword { account }) if is_own(*account) => {
            return has_one().then_some("a password is removed with a second factor that is there");
        }
        Command::RemovePasskey(RemovePasskey { account, .. })
        | Command::RemoveTotp(RemoveTotp { account, .. })
        | Command::RemoveRecovery(RemoveRecovery { account })
            if is_own(*account) =>
        {
            return has_one().then_some("a second factor is removed with one that is there");
        }
        Command::EraseAccount(body) if is_own(body.account) && has_one() => {
            return Some("an account that has a second factor is erased with it");
        }
        _ => {}
    }
    let rules = &market.step_up.as_ref()?.rules;
    let is_needed = rules.iter().any(|rule| holds(market, verified, rule, now));
    if is_needed {
        return Some("a rule of this market");
    }
    // Why is nobody's to know but the operators'.
    risk::is_challenged(market, verified, now).then_some("the market wants to be sure that it is you")
}

/// Tells whether an account has a second factor that this market takes.
pub fn has_second_factor(market: &Market, account: AccountId) -> bool {
    market.step_up.is_some() && market.accounts.get(account).is_some_and(Account::has_factor)
}

fn holds(market: &Market, verified: &Verified, rule: &StepUpRule, now: Timestamp) -> bool {
    let name = verified.command.name();
    let is_above = || {
        let amount = scope::amount(market, &verified.command);
        let limit = |currency| rule.above_minor.get(&currency);
        amount.is_some_and(|amount| limit(amount.currency).is_some_and(|limit| amount.minor > *limit))
    };
    let is_new = || {
        let device = market.accounts.device(verified.stamp.device);
        device.is_some_and(|device| now.ms_since(device.registered_at) < rule.device_younger_than_ms)
    };
    rule.commands.iter().any(|commands| commands.has(name))
        && (rule.above_minor.is_empty() || is_above())
        && (rule.device_younger_than_ms == 0 || is_new())
}

/// Drops a second factor that no rule asks for: nothing goes by it, and it would stand in the log unchecked.
pub fn settle(market: &Market, verified: &mut Verified, now: Timestamp) {
    if verified.stamp.step_up.is_some() && reason(market, verified, now).is_none() {
        verified.stamp.step_up = None;
    }
}

/// Gives how old a command may be, in milliseconds.
pub(crate) fn freshness_ms(market: &Market, verified: &Verified, now: Timestamp) -> i64 {
    let is_shown = verified.stamp.step_up.is_some() && reason(market, verified, now).is_some();
    if is_shown { STEP_UP_FRESHNESS_MS } else { crate::replay::FRESHNESS_MS }
}

/// Check 11: a second factor is there where one is needed, and it is of this account and for this command. Gives what is to be written
/// if it is a wrong code.
pub(crate) fn check(
    market: &Market,
    verified: &Verified,
    now: Timestamp,
) -> Result<Option<Vec<Event>>, Refusal> {
    let Some(rule) = reason(market, verified, now) else { return Ok(None) };
    let stamp = &verified.stamp;
    let refuse = |problem: &'static str| required(market, stamp, rule, problem);
    let known = market.accounts.get(stamp.account).ok_or_else(|| refuse("there is no such account"))?;
    match stamp.step_up.as_deref() {
        None => Err(refuse("send the same bytes again with a second factor in `Skylink-Step-Up`")),
        Some(StepUp::Webauthn(assertion)) => {
            let challenge = challenge(&stamp.signed).ok_or_else(|| refuse("these are no signed bytes"))?;
            check_passkey(market, known, assertion, challenge.as_bytes()).map_err(refuse)?;
            Ok(None)
        }
        Some(StepUp::Totp(shown)) => codes::check_totp(known, *shown, stamp, &verified.command, now, refuse),
        Some(StepUp::Recovery(shown)) => {
            codes::check_recovery(known, *shown, stamp, &verified.command, now, refuse)
        }
    }
}

/// Checks that a passkey of an account approved a challenge. Says what is wrong.
fn check_passkey(
    market: &Market,
    known: &Account,
    assertion: &Assertion,
    challenge: &[u8],
) -> Result<(), &'static str> {
    let passkey = known.passkeys.get(&assertion.credential).ok_or("the passkey is none of this account")?;
    let terms = market.step_up.as_ref().ok_or("this market takes no passkeys yet")?;
    webauthn::check(assertion, passkey, terms, challenge)
}

/// Reads which challenge a passkey says to have approved; nothing of it is checked.
pub fn challenge_of(assertion: &Assertion) -> Option<Vec<u8>> {
    webauthn::challenge_of(assertion)
}

/// Tells whether a key signed a passkey's approval, and nothing else of what counts.
pub fn is_signed_by(assertion: &Assertion, key: &PublicKey) -> bool {
    assertion.fits() && webauthn::check_signature(assertion, key).is_some()
}

/// Tells whether what was shown is enough without a password.
pub(crate) const fn is_passkey(shown: &StepUp) -> bool {
    matches!(shown, StepUp::Webauthn(_))
}

/// Checks what was shown to sign in to an account: a passkey's approval of a challenge, or a code. Tells whether a code is the right one.
///
/// # Errors
/// What is wrong, if it does not count whether right or not.
pub(crate) fn check_sign_in(
    market: &Market,
    account: AccountId,
    shown: &StepUp,
    nonce: Option<Nonce>,
    now: Timestamp,
) -> Result<bool, &'static str> {
    let known = market.accounts.get(account).ok_or("there is no such account")?;
    let is_locked = || known.codes.as_deref().is_some_and(|codes| codes.locked_until(now).is_some());
    if !is_passkey(shown) && is_locked() {
        return Err("too many wrong codes were shown beside commands: wait, or use a passkey");
    }
    match shown {
        StepUp::Webauthn(assertion) => {
            let challenge = match nonce {
                Some(nonce) => Some(sign_in::challenge(nonce).as_bytes().to_vec()),
                None => challenge_of(assertion).filter(|challenge| sign_in::is_challenge(challenge)),
            };
            let challenge = challenge.ok_or("there is no challenge for the passkey")?;
            check_passkey(market, known, assertion, &challenge).map(|()| true)
        }
        StepUp::Totp(shown) => codes::is_right_totp(known, *shown, now),
        StepUp::Recovery(shown) => codes::is_right_recovery(known, shown.commitment(account)),
    }
}

/// Says that a second factor is needed, and which the account has.
fn required(market: &Market, stamp: &CommandStamp, rule: &str, problem: &str) -> Refusal {
    let known = market.accounts.get(stamp.account);
    let challenge = challenge(&stamp.signed).map(|hash| URL_SAFE_NO_PAD.encode(hash.as_bytes()));
    let has = HasFactors {
        app: known.and_then(Account::app).map(|app| app.authenticator),
        factors: known.map(Account::factors).unwrap_or_default(),
    };
    Refusal::MfaRequired {
        challenge: challenge.unwrap_or_default().into(),
        credentials: known.into_iter().flat_map(|account| account.passkeys.keys().cloned()).collect(),
        has: Box::new(has),
        problem: problem.into(),
        relying_party: market.step_up.as_ref().map(|terms| terms.relying_party.clone()),
        rule: rule.into(),
    }
}

impl Accounts {
    /// Notes what was shown beside a command, so that it is good only once: what a passkey says to have signed before, which code it was.
    pub(crate) fn stepped_up(&mut self, stamp: &CommandStamp) {
        if let Some(shown) = stamp.step_up.as_deref() {
            self.factor_shown(stamp.account, shown);
        }
    }

    /// Notes that a second factor of an account was shown.
    pub(crate) fn factor_shown(&mut self, account: AccountId, shown: &StepUp) {
        let Some(known) = self.by_id.get_mut(&account) else { return };
        match shown {
            StepUp::Webauthn(assertion) => {
                if let Some(passkey) = known.passkeys.get_mut(&assertion.credential) {
                    passkey.sign_count = assertion.sign_count();
                }
            }
            StepUp::Totp(shown) => known.totp_shown(*shown),
            StepUp::Recovery(shown) => known.recovery_shown(shown.commitment(account)),
        }
    }

    pub(crate) fn passkey_enrolled(&mut self, event: &PasskeyEnrolled) {
        let passkey = Passkey { key: event.key, sign_count: 0 };
        self.known(event.account).passkeys.insert(event.credential.clone(), passkey);
    }

    pub(crate) fn passkey_removed(&mut self, event: &PasskeyRemoved) {
        self.known(event.account).passkeys.remove(&event.credential);
        // It may have been lost, and have begun any of them.
        self.sign_out(event.account);
    }
}

pub(crate) fn decide_set_terms(
    market: &Market,
    command: &SetStepUpTerms,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let is_done = market.step_up.as_ref() == Some(&command.terms);
    let event = || TermsSet { terms: command.terms.clone() };
    Ok(if is_done { vec![] } else { vec![event().into()] })
}

fn passkeys_of(market: &Market, account: AccountId) -> Result<&Passkeys, Vec<Rejection>> {
    let known = market.accounts.get(account).map(|known| &known.passkeys);
    known.ok_or_else(|| vec![Rejection::AccountUnknown { account }])
}

pub(crate) fn decide_enroll(
    market: &Market,
    account: AccountId,
    command: &EnrollPasskey,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let EnrollPasskey { credential, key } = command;
    let passkeys = passkeys_of(market, account)?;
    if let Some(known) = passkeys.get(credential) {
        let reason = || DeviceRejection::PasskeyExists { credential: credential.clone() }.into();
        return if known.key == *key { Ok(vec![]) } else { Err(vec![reason()]) };
    }
    let mut reasons: Vec<Rejection> = Vec::new();
    if market.step_up.is_none() {
        reasons.push(DeviceRejection::StepUpNotOffered.into());
    }
    if passkeys.len() >= PASSKEYS_PER_ACCOUNT_MAX {
        reasons.push(DeviceRejection::TooManyPasskeys { max: PASSKEYS_PER_ACCOUNT_MAX as u32 }.into());
    }
    if !reasons.is_empty() {
        return Err(reasons);
    }
    Ok(vec![PasskeyEnrolled { account, credential: credential.clone(), key: *key }.into()])
}

pub(crate) fn decide_remove(
    market: &Market,
    giver: AccountId,
    command: &RemovePasskey,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let owner = owner_of(market, giver, command.account)?;
    let is_there = passkeys_of(market, owner)?.contains_key(&command.credential);
    let event = || PasskeyRemoved { account: owner, credential: command.credential.clone() };
    Ok(if is_there { vec![event().into()] } else { vec![] })
}

/// Finds whose second factor is to be removed: the giver's own, or, by an operator or the registrar, another's.
pub(crate) fn owner_of(
    market: &Market,
    giver: AccountId,
    named: Option<AccountId>,
) -> Result<AccountId, Vec<Rejection>> {
    let owner = named.unwrap_or(giver);
    let may_for_others =
        [Role::Operator, Role::Registrar].into_iter().any(|role| market.accounts.has_role(giver, role));
    if owner != giver && !may_for_others {
        return Err(vec![DeviceRejection::NotYourDevice { account: owner }.into()]);
    }
    Ok(owner)
}

/// Checks that terms are in range and speak of commands that there are.
pub(crate) fn check_terms(terms: &StepUpTerms, names: &[&str]) -> Result<(), String> {
    if !terms.is_valid() {
        return Err(format!(
            "a market may have {} rules of 1 to {named} commands and up to {named} currencies each, and 1 to {} origins",
            StepUpTerms::RULES_MAX,
            StepUpTerms::ORIGINS_MAX,
            named = StepUpTerms::NAMED_MAX,
        ));
    }
    let mut commands = terms.rules.iter().flat_map(|rule| &rule.commands);
    match commands.find(|commands| !names.iter().any(|name| commands.has(name))) {
        Some(unknown) => Err(format!("there is no command `{unknown}`")),
        None => Ok(()),
    }
}
