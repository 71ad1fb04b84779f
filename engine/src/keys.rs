//! The public keys that may sign, for the threads that check signatures while the writer decides.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use commands::crypto::{KeyError, VerifyingKey};
use commands::envelope::KeyDirectory;
use events::account::PublicKey;
use events::ids::{AccountId, KeyId};

/// Every key of a market, ready to verify with. Whether a key may give a command is decided by the market's state,
/// not here.
#[derive(Default)]
pub struct KeyRing {
    keys: RwLock<HashMap<KeyId, (AccountId, Arc<VerifyingKey>)>>,
}

impl KeyRing {
    /// Adds a key of an account.
    pub fn add(&self, account: AccountId, key: &PublicKey) -> Result<(), KeyError> {
        let verifying = Arc::new(VerifyingKey::new(key)?);
        self.keys.write().unwrap_or_else(PoisonError::into_inner).insert(key.id(), (account, verifying));
        Ok(())
    }

    /// Tells whose a key is or was.
    pub fn owner(&self, key: KeyId) -> Option<AccountId> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.get(&key).map(|(account, _)| *account)
    }

    /// Counts the keys.
    pub fn len(&self) -> usize {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Tells whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl KeyDirectory for KeyRing {
    fn key(&self, id: KeyId) -> Option<Arc<VerifyingKey>> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).get(&id).map(|(_, key)| Arc::clone(key))
    }
}
