//! Accounts: what each may do, and which device and key speak for it. Who answers queries decides by it whom he
//! answers, without asking the writer.

use std::collections::BTreeSet;

use events::account::{PublicKey, Role};
use events::ids::{AccountId, DeviceId, KeyId};
use events::{Commit, Event, Position};
use serde::{Deserialize, Serialize};
use sled::{Batch, Tree};

use crate::store::Slot;
use crate::table::{Key, Layout, Table};
use crate::view::{Fold, ViewError};

/// The version of this view's values; to be raised with every change of them or of what they mean.
pub(crate) const VERSION: u8 = 1;

/// An account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// What it may do.
    pub roles: BTreeSet<Role>,
    /// Its devices.
    pub devices: BTreeSet<DeviceId>,
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
}

impl Key for KeyId {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
}

const ACCOUNTS: Layout<AccountId, Account> = Layout::new(b'a', VERSION);
const KEYS: Layout<KeyId, KeyOwner> = Layout::new(b'k', VERSION);

/// Answers about accounts.
#[derive(Clone, Copy)]
pub struct Accounts<'a>(&'a Slot);

impl<'a> Accounts<'a> {
    pub(crate) fn new(slot: &'a Slot) -> Self {
        Accounts(slot)
    }

    /// Gives an account.
    pub fn account(&self, account: AccountId) -> Result<Option<Account>, ViewError> {
        ACCOUNTS.get(&self.0.read().tree, &account)
    }

    /// Tells whose a key is; `None` if no device has it.
    pub fn key(&self, key: KeyId) -> Result<Option<KeyOwner>, ViewError> {
        KEYS.get(&self.0.read().tree, &key)
    }
}

/// How the view follows the log.
pub(crate) struct AccountFold {
    accounts: Table<AccountId, Account>,
    keys: Table<KeyId, KeyOwner>,
}

impl AccountFold {
    pub(crate) fn new() -> Self {
        AccountFold { accounts: Table::new(ACCOUNTS), keys: Table::new(KEYS) }
    }

    fn add_key(&mut self, tree: &Tree, owner: KeyOwner, position: Position) -> Result<(), ViewError> {
        let KeyOwner { account, device, public } = owner;
        let missing = || ViewError::unknown(format_args!("account {account}"), position);
        self.accounts.entry(tree, &account)?.as_mut().ok_or_else(missing)?.devices.insert(device);
        self.keys.set(public.id(), Some(owner));
        Ok(())
    }
}

impl Fold for AccountFold {
    fn apply(&mut self, tree: &Tree, commit: &Commit) -> Result<(), ViewError> {
        for recorded in commit.events() {
            match &recorded.event {
                Event::MarketOpened(opened) => {
                    let registrar = &opened.registrar;
                    let (account, device, public) = (registrar.account, registrar.device, registrar.key);
                    let roles = BTreeSet::from([Role::Registrar]);
                    self.accounts.set(account, Some(Account { roles, devices: BTreeSet::new() }));
                    self.add_key(tree, KeyOwner { account, device, public }, recorded.position)?;
                }
                Event::AccountRegistered(registered) => {
                    let roles = registered.roles.clone();
                    self.accounts.set(registered.account, Some(Account { roles, devices: BTreeSet::new() }));
                }
                Event::DeviceRegistered(registered) => {
                    let (account, device, public) = (registered.account, registered.device, registered.key);
                    self.add_key(tree, KeyOwner { account, device, public }, recorded.position)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn write(&mut self, tree: &Tree, batch: &mut Batch) -> Result<(), ViewError> {
        self.accounts.write(tree, batch)?;
        self.keys.write(tree, batch)
    }
}
