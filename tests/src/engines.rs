//! Starts engines over any log and clock, with the same keys each time.

use std::path::Path;
use std::sync::Arc;

use engine::clock::{Clock, WallClock};
use engine::keystore::{KeyStore, StoredKey};
use engine::log::EventLog;
use engine::market_keys::MarketKeyRing;
use engine::passwords::Passwords;
use engine::processor::WriterConfig;
use engine::secrets::Secrets;
use engine::{Engine, EngineConfig, Prepared, Standby, StartError};
use events::ids::WriterId;
use events::market::{Deadlines, FeePolicy, Opened, Registrar};
use gateway::node::{RECEIPT_KEY, REGISTRAR_KEY};
use tempfile::TempDir;
use uuid::Uuid;

use crate::log_contract::market;
use crate::town::Person;

/// The keys of a market: the one that signs its receipts, and its registrar's.
pub struct Keys {
    receipt: StoredKey,
    registrar: StoredKey,
}

impl Default for Keys {
    fn default() -> Self {
        Self::new()
    }
}

impl Keys {
    /// Makes new keys.
    pub fn new() -> Keys {
        let folder = TempDir::new().expect("a folder can be made");
        Keys::of(&KeyStore::open(folder.path()).expect("a key store can be made"))
    }

    /// Takes the keys of a node, or makes them in its key store.
    pub fn of(store: &KeyStore) -> Keys {
        let key = |name| store.get_or_make(name).expect("a key can be kept");
        Keys { receipt: key(RECEIPT_KEY), registrar: key(REGISTRAR_KEY) }
    }

    /// Gives the registrar, who has signed nothing yet.
    pub fn registrar(&self) -> Person {
        Person::from_stored(&market(), &self.registrar, 1)
    }

    /// Starts an engine by the machine's clock.
    pub async fn start(&self, dir: &Path, log: Arc<dyn EventLog>) -> Engine {
        self.try_start(dir, log).await.expect("the engine starts")
    }

    /// Tries to.
    pub async fn try_start(&self, dir: &Path, log: Arc<dyn EventLog>) -> Result<Engine, StartError> {
        self.stand_by(dir, log, Arc::new(WallClock)).await?.take_over().await
    }

    /// Lets an engine stand by.
    pub async fn stand_by(
        &self,
        dir: &Path,
        log: Arc<dyn EventLog>,
        clock: Arc<dyn Clock>,
    ) -> Result<Standby, StartError> {
        let (account, device) = (self.registrar.account, self.registrar.device);
        let opened = Opened {
            deadlines: Deadlines::default(),
            escrow: None,
            fee: FeePolicy::default(),
            market: market(),
            purchase_limits: vec![],
            registrar: Registrar { account, device, key: self.registrar.public() },
            receipt_key: self.receipt.public(),
        };
        let writer = WriterId::from_uuid(Uuid::now_v7());
        let writer = WriterConfig { market: market(), writer, version: "test".to_owned(), opened };
        let config = EngineConfig {
            writer,
            market_keys: MarketKeyRing::of([self.receipt.signing()]),
            secrets: Arc::new(Secrets::nowhere()),
            passwords: Arc::new(Passwords::nowhere()),
            verify_threads: 2,
            vault: None,
        };
        Standby::start(Prepared::open(dir)?, config, log, clock).await
    }
}
