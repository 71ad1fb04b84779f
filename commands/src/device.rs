//! Devices and their keys, from their registration to their end. A key once registered is remembered for ever: it signs for no
//! other device, and what it signed while it was active stays good.

use events::account::{DeviceRegistered, PublicKey, Role};
use events::device::{Attested, KeyScope, Renamed, RevokeReason, Revoked, Rotated};
use events::ids::{AccountId, DeviceId, KeyId};
use events::metadata::CommandStamp;
use events::rejection::DeviceRejection;
use events::{Event, Rejection, Timestamp};
use serde::{Deserialize, Serialize};

use crate::account::{Account, Accounts};
use crate::command::{
    AttestDevice, EnrollDevice, RegisterDevice, RenameDevice, ReportLost, RevokeDevice, RotateDevice,
};
use crate::market::Market;
use crate::privacy::check_not_erased;
use crate::replay::SeqWindow;

/// Most devices of one account that may sign.
pub const DEVICES_PER_ACCOUNT_MAX: usize = 16;
/// Most keys that one account may have had: each is remembered.
pub const KEYS_PER_ACCOUNT_MAX: u32 = 256;

/// A device of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Whose device.
    pub account: AccountId,
    /// Its key, or its last one.
    pub key: KeyId,
    /// What it is called.
    pub name: Option<Box<str>>,
    /// Since when it is known.
    pub registered_at: Timestamp,
}

/// A key of a device, and which sequence numbers it has used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceKey {
    /// Whose key.
    pub account: AccountId,
    /// Of which device.
    pub device: DeviceId,
    /// The key.
    pub public: PublicKey,
    /// Whether it may sign: it was neither revoked nor replaced.
    pub is_active: bool,
    /// What it may do of what the account may; none: all.
    pub scope: Option<Box<KeyScope>>,
    /// The numbers used.
    pub window: SeqWindow,
}

impl Accounts {
    pub(crate) fn device_registered(&mut self, event: &DeviceRegistered, now: Timestamp) {
        let DeviceRegistered { account, device, key, name, scope } = event;
        if let Some(owner) = self.by_id.get_mut(account) {
            owner.devices.insert(*device);
        }
        let name = name.as_deref().map(Box::from);
        let known = Device { account: *account, key: key.id(), name, registered_at: now };
        self.devices.insert(*device, known);
        self.add_key(*account, *device, *key, scope.clone().map(Box::new));
    }

    fn add_key(
        &mut self,
        account: AccountId,
        device: DeviceId,
        public: PublicKey,
        scope: Option<Box<KeyScope>>,
    ) {
        if let Some(owner) = self.by_id.get_mut(&account) {
            owner.keys += 1;
        }
        let window = SeqWindow::default();
        self.keys.insert(public.id(), DeviceKey { account, device, public, is_active: true, scope, window });
    }

    pub(crate) fn device_renamed(&mut self, event: &Renamed) {
        self.known_device(event.device).name = Some(event.name.as_str().into());
    }

    pub(crate) fn device_rotated(&mut self, event: &Rotated) {
        let before = self.known_key(event.replaced);
        before.is_active = false;
        let scope = before.scope.clone();
        self.known_device(event.device).key = event.key.id();
        self.add_key(event.account, event.device, event.key, scope);
    }

    pub(crate) fn device_revoked(&mut self, event: &Revoked) {
        self.known_key(event.key).is_active = false;
        self.known(event.account).devices.remove(&event.device);
    }

    fn known_device(&mut self, device: DeviceId) -> &mut Device {
        self.devices.get_mut(&device).expect("an event about a device follows its registration")
    }

    fn known_key(&mut self, key: KeyId) -> &mut DeviceKey {
        self.keys.get_mut(&key).expect("an event about a key follows its registration")
    }
}

/// Finds a device of an account that may sign.
fn active(market: &Market, account: AccountId, device: DeviceId) -> Result<&Device, Vec<Rejection>> {
    let found = of_account(market, account, device)?;
    match market.accounts.active_key(found.key) {
        Some(_) => Ok(found),
        None => Err(vec![DeviceRejection::DeviceRevoked { device }.into()]),
    }
}

fn of_account(market: &Market, account: AccountId, device: DeviceId) -> Result<&Device, Vec<Rejection>> {
    let found = market.accounts.device(device).filter(|found| found.account == account);
    found.ok_or_else(|| vec![DeviceRejection::DeviceUnknown { account, device }.into()])
}

/// Checks that an account may have one more key, which nobody has or had.
fn check_new_key(market: &Market, owner: &Account, key: KeyId, reasons: &mut Vec<Rejection>) {
    if market.accounts.key(key).is_some() {
        reasons.push(Rejection::KeyInUse);
    }
    if owner.keys >= KEYS_PER_ACCOUNT_MAX {
        reasons.push(DeviceRejection::TooManyKeys { max: KEYS_PER_ACCOUNT_MAX }.into());
    }
}

/// Decides about a device that is to be there: with this key, for this account.
fn decide_new(market: &Market, event: DeviceRegistered) -> Result<Vec<Event>, Vec<Rejection>> {
    let DeviceRegistered { account, device, key, .. } = event;
    let Some(owner) = market.accounts.get(account) else {
        return Err(vec![Rejection::AccountUnknown { account }]);
    };
    check_not_erased(market, account).map_err(|reason| vec![reason])?;
    if let Some(known) = market.accounts.device(device) {
        if known.account != account || known.key != key.id() {
            return Err(vec![Rejection::DeviceExists { device }]);
        }
        return active(market, account, device).map(|_| vec![]);
    }
    let mut reasons = Vec::new();
    check_new_key(market, owner, key.id(), &mut reasons);
    if owner.devices.len() >= DEVICES_PER_ACCOUNT_MAX {
        reasons.push(Rejection::TooManyDevices { max: DEVICES_PER_ACCOUNT_MAX as u32 });
    }
    if reasons.is_empty() { Ok(vec![event.into()]) } else { Err(reasons) }
}

pub(crate) fn decide_register(
    market: &Market,
    command: &RegisterDevice,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let RegisterDevice { account, device, key, name, scope, .. } = command;
    let name = name.as_ref().map(|name| name.as_str().to_owned());
    let scope = scope.clone();
    decide_new(market, DeviceRegistered { account: *account, device: *device, key: *key, name, scope })
}

pub(crate) fn decide_enroll(
    market: &Market,
    stamp: &CommandStamp,
    command: &EnrollDevice,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let EnrollDevice { device, key, name, scope, .. } = command;
    let own = market.accounts.key(stamp.key).and_then(|own| own.scope.as_deref());
    let is_within = |own| scope.as_ref().is_some_and(|scope: &KeyScope| scope.is_within(own));
    if own.is_some_and(|own| !is_within(own)) {
        return Err(vec![DeviceRejection::ScopeTooWide.into()]);
    }
    let name = name.as_ref().map(|name| name.as_str().to_owned());
    let (account, scope) = (stamp.account, scope.clone());
    decide_new(market, DeviceRegistered { account, device: *device, key: *key, name, scope })
}

pub(crate) fn decide_rename(
    market: &Market,
    account: AccountId,
    command: &RenameDevice,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let RenameDevice { device, name } = command;
    let is_done = active(market, account, *device)?.name.as_deref() == Some(name.as_str());
    let event = || Renamed { account, device: *device, name: name.as_str().to_owned() };
    Ok(if is_done { vec![] } else { vec![event().into()] })
}

pub(crate) fn decide_rotate(
    market: &Market,
    stamp: &CommandStamp,
    command: &RotateDevice,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let (account, device, replaced) = (stamp.account, stamp.device, stamp.key);
    let owner = market.accounts.get(account).ok_or_else(|| vec![Rejection::AccountUnknown { account }])?;
    let mut reasons = Vec::new();
    check_new_key(market, owner, command.key.id(), &mut reasons);
    if !reasons.is_empty() {
        return Err(reasons);
    }
    Ok(vec![Rotated { account, device, key: command.key, replaced }.into()])
}

pub(crate) fn decide_revoke(
    market: &Market,
    stamp: &CommandStamp,
    command: &RevokeDevice,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let RevokeDevice { account, device, reason } = *command;
    let owner = account.unwrap_or(stamp.account);
    if owner != stamp.account {
        let is_one_of =
            |roles: [Role; 2]| roles.into_iter().any(|role| market.accounts.has_role(stamp.account, role));
        if !is_one_of([Role::Operator, Role::Registrar]) {
            return Err(vec![DeviceRejection::NotYourDevice { account: owner }.into()]);
        }
        // Without its registrar a market could register nobody any more.
        if market.accounts.has_role(owner, Role::Registrar) {
            return Err(vec![DeviceRejection::RegistrarDevice { account: owner }.into()]);
        }
    }
    revoke(market, stamp, owner, device, reason)
}

pub(crate) fn decide_report_lost(
    market: &Market,
    stamp: &CommandStamp,
    command: &ReportLost,
) -> Result<Vec<Event>, Vec<Rejection>> {
    revoke(market, stamp, stamp.account, command.device, RevokeReason::Lost)
}

fn revoke(
    market: &Market,
    stamp: &CommandStamp,
    owner: AccountId,
    device: DeviceId,
    reason: RevokeReason,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let key = of_account(market, owner, device)?.key;
    if device == stamp.device {
        return Err(vec![DeviceRejection::OwnDevice.into()]);
    }
    let is_active = market.accounts.active_key(key).is_some();
    let event = || Revoked { account: owner, device, key, reason };
    Ok(if is_active { vec![event().into()] } else { vec![] })
}

pub(crate) fn decide_attest(market: &Market, command: &AttestDevice) -> Result<Vec<Event>, Vec<Rejection>> {
    let AttestDevice { account, device, evidence, fingerprint, format, verdict } = command;
    let key = active(market, *account, *device)?.key;
    let attested = Attested {
        account: *account,
        device: *device,
        evidence: *evidence,
        fingerprint: *fingerprint,
        format: format.as_str().to_owned(),
        key,
        verdict: *verdict,
    };
    Ok(vec![attested.into()])
}
