//! The second factor: which commands need one, who has which, and whether what was shown beside a command is one.
//!
//! It travels beside the signed bytes and is bound to them, so that an approval is good for just one command. It is shown when
//! the market has asked for it: the refusal `mfa_required` says what it is to sign. What was shown stands in the decision's
//! metadata, so that everybody can check it again.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use events::account::{PublicKey, Role};
use events::ids::AccountId;
use events::metadata::CommandStamp;
use events::rejection::DeviceRejection;
use events::step_up::{
    CredentialId, PasskeyEnrolled, PasskeyRemoved, StepUp, StepUpRule, StepUpTerms, TermsSet,
};
use events::{Event, Hash, Rejection, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::account::{Account, Accounts};
use crate::command::{Command, EnrollPasskey, RemovePasskey, SetStepUpTerms, Verified};
use crate::market::Market;
use crate::refusal::Refusal;
use crate::{jcs, risk, scope};

mod webauthn;

/// How old a command may be when it is decided, if a second factor that it needs is shown beside it: a person has to be asked.
pub const STEP_UP_FRESHNESS_MS: i64 = 600_000;
/// Most passkeys of one account.
pub const PASSKEYS_PER_ACCOUNT_MAX: usize = 8;
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

/// Reads the header with a second factor: base64url of its JSON.
pub fn read_header(text: &str) -> Result<Box<StepUp>, Refusal> {
    let wrong = |rule: String| Refusal::BodyInvalid { rule: format!("Skylink-Step-Up: {rule}") };
    if text.len() > HEADER_BYTES_MAX {
        return Err(wrong(format!("it may have {HEADER_BYTES_MAX} bytes")));
    }
    let json = URL_SAFE_NO_PAD.decode(text).map_err(|error| wrong(error.to_string()))?;
    let step_up: StepUp = serde_json::from_slice(&json).map_err(|error| wrong(error.to_string()))?;
    let StepUp::Webauthn(assertion) = &step_up;
    if !assertion.fits() {
        return Err(wrong("its parts are none of a passkey's approval".to_owned()));
    }
    Ok(Box::new(step_up))
}

/// Writes the header with a second factor.
pub fn write_header(step_up: &StepUp) -> String {
    URL_SAFE_NO_PAD
        .encode(serde_json::to_vec(step_up).expect("a second factor holds nothing that JSON can't say"))
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
    let has_passkey = market.accounts.get(stamp.account).is_some_and(|account| !account.passkeys.is_empty());
    match &verified.command {
        // What is lost may be the second factor too.
        Command::ReportLost(_) => return None,
        // Else whoever has the device could give himself a second factor. Who has none yet begins with this.
        Command::EnrollPasskey(_) => {
            return has_passkey.then_some("a passkey is enrolled with one that is there");
        }
        Command::RemovePasskey(body) if body.account.is_none_or(|account| account == stamp.account) => {
            return has_passkey.then_some("a passkey is removed with one that is there");
        }
        Command::EraseAccount(body)
            if body.account.is_none_or(|account| account == stamp.account) && has_passkey =>
        {
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
    let has_passkey = |known: &Account| !known.passkeys.is_empty();
    market.step_up.is_some() && market.accounts.get(account).is_some_and(has_passkey)
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

/// Check 11: a second factor is there where one is needed, and it is of this account and for this command.
pub(crate) fn check(market: &Market, verified: &Verified, now: Timestamp) -> Result<(), Refusal> {
    let Some(rule) = reason(market, verified, now) else { return Ok(()) };
    let stamp = &verified.stamp;
    let refuse = |problem: &'static str| {
        let passkeys = market.accounts.get(stamp.account).map(|account| account.passkeys.keys().cloned());
        let challenge = challenge(&stamp.signed).map(|hash| URL_SAFE_NO_PAD.encode(hash.as_bytes()));
        Refusal::MfaRequired {
            challenge: challenge.unwrap_or_default().into(),
            credentials: passkeys.into_iter().flatten().collect(),
            problem: problem.into(),
            relying_party: market.step_up.as_ref().map(|terms| terms.relying_party.clone()),
            rule: rule.into(),
        }
    };
    let Some(StepUp::Webauthn(assertion)) = stamp.step_up.as_deref() else {
        return Err(refuse("send the same bytes again with a passkey's approval in `Skylink-Step-Up`"));
    };
    let passkey =
        market.accounts.get(stamp.account).and_then(|known| known.passkeys.get(&assertion.credential));
    let passkey = passkey.ok_or_else(|| refuse("the passkey is none of this account"))?;
    let terms = market.step_up.as_ref().ok_or_else(|| refuse("this market takes no passkeys yet"))?;
    let challenge = challenge(&stamp.signed).ok_or_else(|| refuse("these are no signed bytes"))?;
    webauthn::check(assertion, passkey, terms, challenge).map_err(refuse)
}

impl Accounts {
    /// Notes what a passkey that approved a command says to have signed before.
    pub(crate) fn stepped_up(&mut self, stamp: &CommandStamp) {
        let Some(StepUp::Webauthn(assertion)) = stamp.step_up.as_deref() else { return };
        let passkeys = self.by_id.get_mut(&stamp.account).map(|account| &mut account.passkeys);
        if let Some(passkey) = passkeys.and_then(|passkeys| passkeys.get_mut(&assertion.credential)) {
            passkey.sign_count = assertion.sign_count();
        }
    }

    pub(crate) fn passkey_enrolled(&mut self, event: &PasskeyEnrolled) {
        let passkey = Passkey { key: event.key, sign_count: 0 };
        self.known(event.account).passkeys.insert(event.credential.clone(), passkey);
    }

    pub(crate) fn passkey_removed(&mut self, event: &PasskeyRemoved) {
        self.known(event.account).passkeys.remove(&event.credential);
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

/// Tells whether terms can be met with passkeys that were made for other ones: their domain is that of all passkeys there are.
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
    let owner = command.account.unwrap_or(giver);
    let may_for_others =
        [Role::Operator, Role::Registrar].into_iter().any(|role| market.accounts.has_role(giver, role));
    if owner != giver && !may_for_others {
        return Err(vec![DeviceRejection::NotYourDevice { account: owner }.into()]);
    }
    let is_there = passkeys_of(market, owner)?.contains_key(&command.credential);
    let event = || PasskeyRemoved { account: owner, credential: command.credential.clone() };
    Ok(if is_there { vec![event().into()] } else { vec![] })
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
