//! Accounts: what each may do, and what is remembered of it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};

use events::account::{
    ClearanceGranted, ClearanceRevoked, Registered, Role, SellerReinstated, SellerSuspended, Tier, Verified,
};
use events::ids::{AccountId, DeviceId, KeyId, ListingId};
use events::privacy::EncryptionKey;
use events::rejection::PrivacyRejection;
use events::{Event, Rejection};
use serde::{Deserialize, Serialize};

use crate::cart::{Cart, MergedCart, MigratedCart, SavedLine};
use crate::command::{GrantClearance, RegisterAccount, ReinstateSeller, RevokeClearance, SuspendSeller};
use crate::device::{Device, DeviceKey};
use crate::limits::Spent;
use crate::market::Market;
use crate::privacy::Profile;
use crate::risk::Trust;
use crate::sign_in::SignIn;
use crate::step_up::{Codes, Passkeys};

/// An account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// What it may do.
    pub roles: BTreeSet<Role>,
    /// Its devices that may sign.
    pub devices: BTreeSet<DeviceId>,
    /// Counts the keys it ever had.
    pub keys: u32,
    /// Its passkeys, which approve what needs a second factor.
    pub passkeys: Passkeys,
    /// What is remembered of its signing in, if it was ever signed in to or had a password.
    pub sign_in: Option<Box<SignIn>>,
    /// What it has of codes, if it ever had any.
    pub codes: Option<Box<Codes>>,
    /// Its active cart, if it has one.
    pub cart: Option<Box<Cart>>,
    /// What it saved for later; at most [`crate::cart::SAVED_MAX`] lines.
    pub saved: BTreeMap<ListingId, SavedLine>,
    /// The last cart that became orders, so that asking for it again is harmless, and that it can be restored.
    pub last_migrated: Option<Box<MigratedCart>>,
    /// The last cart that was merged into another account's, so that asking for that again is harmless.
    pub last_merged: Option<Box<MergedCart>>,
    /// Whether it may ask for nothing.
    pub is_suspended: bool,
    /// Whether it is forbidden to sell.
    pub is_seller_suspended: bool,
    /// Whether it may buy restricted goods.
    pub is_cleared: bool,
    /// How well it is known who it is.
    pub tier: Tier,
    /// What it has told of whose it is, by hashes; none: nothing.
    pub profile: Option<Profile>,
    /// With which key addresses are encrypted to it.
    pub encryption_key: Option<EncryptionKey>,
    /// Whether it was erased.
    pub is_erased: bool,
    /// What it bought today, where that is limited.
    pub(crate) spent: Option<Box<Spent>>,
}

impl Account {
    fn new(roles: BTreeSet<Role>) -> Self {
        Account {
            roles,
            devices: BTreeSet::new(),
            keys: 0,
            passkeys: Passkeys::new(),
            sign_in: None,
            codes: None,
            cart: None,
            saved: BTreeMap::new(),
            last_migrated: None,
            last_merged: None,
            is_suspended: false,
            is_seller_suspended: false,
            is_cleared: false,
            tier: Tier::default(),
            profile: None,
            encryption_key: None,
            is_erased: false,
            spent: None,
        }
    }
}

/// All accounts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Accounts {
    pub(crate) by_id: BTreeMap<AccountId, Account>,
    pub(crate) devices: BTreeMap<DeviceId, Device>,
    pub(crate) keys: BTreeMap<KeyId, DeviceKey>,
    pub(crate) trust: BTreeMap<DeviceId, Trust>,
}

impl Accounts {
    /// Finds an account.
    pub fn get(&self, account: AccountId) -> Option<&Account> {
        self.by_id.get(&account)
    }

    /// Finds a key, active or not.
    pub fn key(&self, key: KeyId) -> Option<&DeviceKey> {
        self.keys.get(&key)
    }

    /// Finds a key that may sign now.
    pub fn active_key(&self, key: KeyId) -> Option<&DeviceKey> {
        self.key(key).filter(|key| key.is_active)
    }

    /// Finds a device, revoked or not.
    pub fn device(&self, device: DeviceId) -> Option<&Device> {
        self.devices.get(&device)
    }

    /// Gives every key.
    pub fn keys(&self) -> impl Iterator<Item = &DeviceKey> {
        self.keys.values()
    }

    /// Tells whether an account has a role.
    pub fn has_role(&self, account: AccountId, role: Role) -> bool {
        self.get(account).is_some_and(|account| account.roles.contains(&role))
    }

    pub(crate) fn registered(&mut self, event: &Registered) {
        self.by_id.insert(event.account, Account::new(event.roles.clone()));
    }

    pub(crate) fn suspend_seller(&mut self, seller: AccountId, is_suspended: bool) {
        self.known(seller).is_seller_suspended = is_suspended;
    }

    pub(crate) fn clear(&mut self, buyer: AccountId, is_cleared: bool) {
        self.known(buyer).is_cleared = is_cleared;
    }

    pub(crate) fn verified(&mut self, event: &Verified) {
        self.known(event.account).tier = event.tier;
    }

    pub(crate) fn known(&mut self, account: AccountId) -> &mut Account {
        self.by_id.get_mut(&account).expect("an event about an account follows its registration")
    }
}

/// Tells whether one account may have both of two different roles. Whoever moves money in, runs the market or says who
/// is who has no part in its trade, and none of these powers is held with another: a provider that bought would fund
/// himself, and one that sold would report his own deliveries; an operator that traded would cancel the orders of
/// others to his own gain. A guest is nobody yet, and becomes somebody by merging his cart into that of another account.
const fn may_be_together(one: Role, other: Role) -> bool {
    matches!((one, other), (Role::Buyer, Role::Seller) | (Role::Seller, Role::Buyer))
}

pub(crate) fn decide_register(
    market: &Market,
    command: &RegisterAccount,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let RegisterAccount { account, roles } = command;
    // The registrar is given when the market is opened; he can't make another of himself.
    if roles.is_empty() || roles.contains(&Role::Registrar) {
        return Err(vec![Rejection::RolesNotAllowed]);
    }
    let pairs =
        roles.iter().flat_map(|one| roles.range((Excluded(one), Unbounded)).map(move |other| (*one, *other)));
    let conflicts = pairs.filter(|(one, other)| !may_be_together(*one, *other));
    let conflicts: Vec<_> = conflicts.map(|(role, other)| Rejection::RolesConflict { role, other }).collect();
    if !conflicts.is_empty() {
        return Err(conflicts);
    }
    match market.accounts.get(*account) {
        None => Ok(vec![Registered { account: *account, roles: roles.clone() }.into()]),
        Some(known) if known.is_erased => {
            Err(vec![PrivacyRejection::AccountErased { account: *account }.into()])
        }
        Some(known) if known.roles == *roles => Ok(vec![]),
        Some(_) => Err(vec![Rejection::AccountExists { account: *account }]),
    }
}

/// Finds an account in a role.
pub(crate) fn in_role(market: &Market, account: AccountId, role: Role) -> Result<&Account, Vec<Rejection>> {
    match market.accounts.get(account) {
        None => Err(vec![Rejection::AccountUnknown { account }]),
        Some(known) if known.is_erased => Err(vec![PrivacyRejection::AccountErased { account }.into()]),
        Some(known) if !known.roles.contains(&role) => Err(vec![Rejection::RoleMissing { account, role }]),
        Some(known) => Ok(known),
    }
}

pub(crate) fn decide_suspend_seller(
    market: &Market,
    command: &SuspendSeller,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let SuspendSeller { account, reason } = command;
    let is_done = in_role(market, *account, Role::Seller)?.is_seller_suspended;
    let event = || SellerSuspended { account: *account, reason: reason.as_str().to_owned() };
    Ok(if is_done { vec![] } else { vec![event().into()] })
}

pub(crate) fn decide_reinstate_seller(
    market: &Market,
    command: &ReinstateSeller,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let ReinstateSeller { account, reason } = command;
    let is_done = !in_role(market, *account, Role::Seller)?.is_seller_suspended;
    let event = || SellerReinstated { account: *account, reason: reason.as_str().to_owned() };
    Ok(if is_done { vec![] } else { vec![event().into()] })
}

pub(crate) fn decide_grant_clearance(
    market: &Market,
    command: &GrantClearance,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let GrantClearance { account, reason } = command;
    let is_done = in_role(market, *account, Role::Buyer)?.is_cleared;
    let event = || ClearanceGranted { account: *account, reason: reason.as_str().to_owned() };
    Ok(if is_done { vec![] } else { vec![event().into()] })
}

pub(crate) fn decide_revoke_clearance(
    market: &Market,
    command: &RevokeClearance,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let RevokeClearance { account, reason } = command;
    let is_done = !in_role(market, *account, Role::Buyer)?.is_cleared;
    let event = || ClearanceRevoked { account: *account, reason: reason.as_str().to_owned() };
    Ok(if is_done { vec![] } else { vec![event().into()] })
}
