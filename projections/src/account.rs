//! Accounts: what each may do, and which device and key speak for it. Who answers queries decides by it whom he
//! answers, without asking the writer.

mod device;
mod factors;
mod push;
mod sign_in;

use std::collections::{BTreeMap, BTreeSet};

use events::account::{DeviceRegistered, PublicKey, Role};
use events::ids::{AccountId, CommandId, DeviceId, KeyId, OrderId};
use events::metadata::{Cause, CommitStart};
use events::privacy::{AddressSealed, EncryptionKey, ProfileField, ProfileSet};
use events::{Commit, Event, Hash, Position, Recorded, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sled::{Batch, Tree};

pub use self::device::{Device, DeviceEntry, DeviceState, DeviceStep, HISTORY_MAX};
pub use self::factors::{Factors, Passkey, Used};
pub use self::push::{Preferences, Push, Subscription};
pub use self::sign_in::{Session, SignIn};

use crate::store::Slot;
use crate::table::{Key, Layout, Table};
use crate::view::{Fold, ViewError};

/// The version of this view's values; to be raised with every change of them or of what they mean.
pub(crate) const VERSION: u8 = 7;

/// An account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// What it may do.
    pub roles: BTreeSet<Role>,
    /// Its devices, revoked ones among them.
    pub devices: BTreeSet<DeviceId>,
    /// Since when and why it may ask for nothing; none: it may.
    pub suspended: Option<Suspension>,
    /// What it has told of whose it is, by hashes.
    pub profile: BTreeMap<ProfileField, Hash>,
    /// With which key addresses are encrypted to it.
    pub encryption_key: Option<EncryptionKey>,
    /// Whether it was erased.
    pub is_erased: bool,
}

impl Account {
    fn new(roles: BTreeSet<Role>) -> Account {
        Account {
            roles,
            devices: BTreeSet::new(),
            suspended: None,
            profile: BTreeMap::new(),
            encryption_key: None,
            is_erased: false,
        }
    }
}

/// That an operator forbade an account to ask for anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Suspension {
    /// Since when.
    pub since: Timestamp,
    /// Where that stands in the log.
    pub position: Position,
    /// Why.
    pub reason: String,
}

/// An address that an order was placed with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedAddress {
    /// Who buys.
    pub buyer: AccountId,
    /// Who sells, and can read it.
    pub seller: AccountId,
    /// The purchase that it is bound to.
    pub command: CommandId,
    /// SHA-256 of the salt and of what was encrypted.
    pub hash: Hash,
    /// The key that it was encrypted with.
    pub key: EncryptionKey,
}

/// Whose a key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyOwner {
    /// The account it signs for.
    pub account: AccountId,
    /// The device it stands for.
    pub device: DeviceId,
    /// The key.
    pub public: PublicKey,
    /// Whether it may sign: it was neither revoked nor replaced.
    pub is_active: bool,
}

impl Key for DeviceId {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.uuid().as_bytes());
    }
}

impl Key for KeyId {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
}

const ACCOUNTS: Layout<AccountId, Account> = Layout::new(b'a', VERSION);
const DEVICES: Layout<DeviceId, Device> = Layout::new(b'd', VERSION);
const KEYS: Layout<KeyId, KeyOwner> = Layout::new(b'k', VERSION);
const FACTORS: Layout<AccountId, Factors> = Layout::new(b'f', VERSION);
const ADDRESSES: Layout<OrderId, SealedAddress> = Layout::new(b'o', VERSION);
const SIGN_INS: Layout<AccountId, SignIn> = Layout::new(b's', VERSION);
const PUSHES: Layout<AccountId, Push> = Layout::new(b'p', VERSION);
const PUSH_REACHED: Layout<(), Position> = Layout::new(b'r', VERSION);

/// Answers about accounts.
#[derive(Clone, Copy)]
pub struct Accounts<'a>(&'a Slot);

impl<'a> Accounts<'a> {
    pub(crate) fn new(slot: &'a Slot) -> Self {
        Accounts(slot)
    }

    /// Gives an account.
    pub fn account(&self, account: AccountId) -> Result<Option<Account>, ViewError> {
        ACCOUNTS.get(&self.0.ask()?.tree, &account)
    }

    /// Gives the devices of an account, revoked ones too, in the order of their ids; none, if there is no such account.
    pub fn devices(&self, account: AccountId) -> Result<Option<Vec<Device>>, ViewError> {
        let tree = &self.0.ask()?.tree;
        let Some(owner) = ACCOUNTS.get(tree, &account)? else { return Ok(None) };
        let devices = owner.devices.iter().map(|device| DEVICES.get(tree, device));
        devices.filter_map(Result::transpose).collect::<Result<_, _>>().map(Some)
    }

    /// Gives the second factors of an account; none, if it never had any.
    pub fn factors(&self, account: AccountId) -> Result<Option<Factors>, ViewError> {
        FACTORS.get(&self.0.ask()?.tree, &account)
    }

    /// Gives how an account is signed in to; none, if it never was.
    pub fn sign_in(&self, account: AccountId) -> Result<Option<SignIn>, ViewError> {
        SIGN_INS.get(&self.0.ask()?.tree, &account)
    }

    /// Gives how an account is told what happens; none, if it never asked to be.
    pub fn push(&self, account: AccountId) -> Result<Option<Push>, ViewError> {
        PUSHES.get(&self.0.ask()?.tree, &account)
    }

    /// Gives up to where notifications were made, as was noted last; 0: never.
    pub fn push_reached(&self) -> Result<Position, ViewError> {
        Ok(PUSH_REACHED.get(&self.0.ask()?.tree, &())?.unwrap_or(0))
    }

    /// Gives the address that an order was placed with, if it was with one.
    pub fn sealed_address(&self, order: OrderId) -> Result<Option<SealedAddress>, ViewError> {
        ADDRESSES.get(&self.0.ask()?.tree, &order)
    }

    /// Tells whose a key is or was; `None` if no device had it.
    pub fn key(&self, key: KeyId) -> Result<Option<KeyOwner>, ViewError> {
        KEYS.get(&self.0.ask()?.tree, &key)
    }
}

/// How the view follows the log.
pub(crate) struct AccountFold {
    accounts: Table<AccountId, Account>,
    devices: Table<DeviceId, Device>,
    keys: Table<KeyId, KeyOwner>,
    factors: Table<AccountId, Factors>,
    sign_ins: Table<AccountId, SignIn>,
    addresses: Table<OrderId, SealedAddress>,
    pushes: Table<AccountId, Push>,
    push_reached: Table<(), Position>,
}

impl AccountFold {
    pub(crate) fn new() -> Self {
        AccountFold {
            accounts: Table::new(ACCOUNTS),
            devices: Table::new(DEVICES),
            keys: Table::new(KEYS),
            factors: Table::new(FACTORS),
            sign_ins: Table::new(SIGN_INS),
            addresses: Table::new(ADDRESSES),
            pushes: Table::new(PUSHES),
            push_reached: Table::new(PUSH_REACHED),
        }
    }

    fn add(
        &mut self,
        tree: &Tree,
        event: &DeviceRegistered,
        recorded: &Recorded,
        start: &CommitStart,
    ) -> Result<(), ViewError> {
        let DeviceRegistered { account, device, key: public, .. } = *event;
        self.known(tree, account, recorded)?.devices.insert(device);
        self.keys.set(public.id(), Some(KeyOwner { account, device, public, is_active: true }));
        self.devices.set(device, Some(Device::registered(event, recorded, start)));
        Ok(())
    }

    fn known(
        &mut self,
        tree: &Tree,
        account: AccountId,
        recorded: &Recorded,
    ) -> Result<&mut Account, ViewError> {
        let missing = || ViewError::unknown(format_args!("account {account}"), recorded.position);
        self.accounts.entry(tree, &account)?.as_mut().ok_or_else(missing)
    }

    fn set_profile(&mut self, tree: &Tree, event: &ProfileSet, recorded: &Recorded) -> Result<(), ViewError> {
        let missing = || ViewError::unknown(format_args!("account {}", event.account), recorded.position);
        let account = self.accounts.entry(tree, &event.account)?.as_mut().ok_or_else(missing)?;
        for (field, hash) in &event.fields {
            match hash {
                Some(hash) => drop(account.profile.insert(*field, *hash)),
                None => drop(account.profile.remove(field)),
            }
        }
        Ok(())
    }

    /// Notes that an account is no more: nothing of its profile, and none of its keys signs.
    fn erase(&mut self, tree: &Tree, account: AccountId, recorded: &Recorded) -> Result<(), ViewError> {
        let missing = || ViewError::unknown(format_args!("account {account}"), recorded.position);
        let known = self.accounts.entry(tree, &account)?.as_mut().ok_or_else(missing)?;
        known.is_erased = true;
        known.profile.clear();
        known.encryption_key = None;
        self.sign_ins.set(account, None);
        self.pushes.take(tree, &account)?;
        for device in known.devices.clone() {
            let missing = || ViewError::unknown(format_args!("device {device}"), recorded.position);
            let device = self.devices.entry(tree, &device)?.as_mut().ok_or_else(missing)?;
            device.state = DeviceState::Revoked;
            let key = device.key;
            self.end(tree, key, recorded)?;
        }
        Ok(())
    }

    /// Notes that a key signs nothing from here on.
    fn end(&mut self, tree: &Tree, key: KeyId, recorded: &Recorded) -> Result<(), ViewError> {
        let missing = || ViewError::unknown(format_args!("key {key}"), recorded.position);
        self.keys.entry(tree, &key)?.as_mut().ok_or_else(missing)?.is_active = false;
        Ok(())
    }
}

impl Fold for AccountFold {
    fn apply(&mut self, tree: &Tree, commit: &Commit) -> Result<(), ViewError> {
        let start = commit.start();
        if let Some(stamp) = Factors::shown(start) {
            let factors = self.factors.entry(tree, &stamp.account)?.get_or_insert_default();
            factors.use_up(stamp, commit.time());
        }
        for recorded in commit.events() {
            if let Some(account) = SignIn::of(&recorded.event) {
                self.sign_ins.entry(tree, &account)?.get_or_insert_default().apply(recorded);
            }
            if let Some(account) = Factors::of(&recorded.event) {
                self.factors.entry(tree, &account)?.get_or_insert_default().apply(recorded);
            }
            if let Some(account) = Push::of(&recorded.event) {
                self.pushes.entry(tree, &account)?.get_or_insert_default().apply(recorded);
            }
            match &recorded.event {
                Event::PushReached(reached) => self.push_reached.set((), Some(reached.position)),
                Event::MarketOpened(opened) => {
                    let registrar = &opened.registrar;
                    let account = Account::new([Role::Registrar].into());
                    self.accounts.set(registrar.account, Some(account));
                    let first = DeviceRegistered::new(registrar.account, registrar.device, registrar.key);
                    self.add(tree, &first, recorded, start)?;
                }
                Event::AccountRegistered(registered) => {
                    let account = Account::new(registered.roles.clone());
                    self.accounts.set(registered.account, Some(account));
                }
                Event::AccountSuspended(event) => {
                    self.known(tree, event.account, recorded)?.suspended = Some(Suspension {
                        since: recorded.metadata.time,
                        position: recorded.position,
                        reason: event.reason.clone(),
                    });
                }
                Event::AccountReinstated(event) => {
                    self.known(tree, event.account, recorded)?.suspended = None;
                }
                Event::DeviceRegistered(registered) => self.add(tree, registered, recorded, start)?,
                Event::DeviceRotated(rotated) => {
                    self.end(tree, rotated.replaced, recorded)?;
                    let (account, device, public) = (rotated.account, rotated.device, rotated.key);
                    self.keys.set(public.id(), Some(KeyOwner { account, device, public, is_active: true }));
                }
                Event::ProfileSet(set) => self.set_profile(tree, set, recorded)?,
                Event::EncryptionKeySet(set) => {
                    let account = self.known(tree, set.account, recorded)?;
                    account.encryption_key.clone_from(&set.key);
                }
                Event::AddressSealed(sealed) => {
                    if let Cause::Command(stamp) = &start.cause {
                        let AddressSealed { order, buyer, seller, hash, key } = sealed.clone();
                        let address = SealedAddress { buyer, seller, command: stamp.command, hash, key };
                        self.addresses.set(order, Some(address));
                    }
                }
                Event::AccountErased(erased) => self.erase(tree, erased.account, recorded)?,
                Event::DeviceRevoked(revoked) => self.end(tree, revoked.key, recorded)?,
                _ => {}
            }
            if let Some(device) = Device::of(&recorded.event) {
                let missing = || ViewError::unknown(format_args!("device {device}"), recorded.position);
                self.devices.entry(tree, &device)?.as_mut().ok_or_else(missing)?.apply(recorded, start);
            }
        }
        Ok(())
    }

    fn write(&mut self, tree: &Tree, batch: &mut Batch) -> Result<(), ViewError> {
        self.accounts.write(tree, batch)?;
        self.devices.write(tree, batch)?;
        self.keys.write(tree, batch)?;
        self.factors.write(tree, batch)?;
        self.sign_ins.write(tree, batch)?;
        self.addresses.write(tree, batch)?;
        self.pushes.write(tree, batch)?;
        self.push_reached.write(tree, batch)
    }
}
