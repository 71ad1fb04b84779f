//! Somebody with a device, who signs commands.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use commands::command::ClearCart;
use commands::command::{Command, Expected, RegisterAccount, RegisterDevice};
use commands::crypto::SigningKey;
use commands::sign::{Draft, sign, sign_request};
use engine::clock::{Clock, WallClock};
use engine::keystore::StoredKey;
use events::account::{Algorithm, PublicKey, Role};
use events::ids::{AccountId, CommandId, DeviceId, MarketName, Nonce};
use gateway::token::TOKEN_REQUEST;
use rand::Rng;
use serde_json::json;
use uuid::Uuid;

/// How long a signed command is good: as long as the market takes one.
const GOOD_FOR_MS: i64 = 120_000;

/// Somebody with a device, in one market. What is signed is as of the machine's clock.
pub struct Person {
    market: MarketName,
    account: AccountId,
    device: DeviceId,
    key: SigningKey,
    next_seq: AtomicU64,
}

impl Person {
    /// Makes somebody whose key follows from `rng`.
    pub fn new(market: &MarketName, algorithm: Algorithm, rng: &mut impl Rng) -> Person {
        let key = loop {
            let mut seed = [0u8; 32];
            rng.fill_bytes(&mut seed);
            if let Ok(key) = SigningKey::from_seed(algorithm, seed) {
                break key;
            }
        };
        let (account, device) = (AccountId::from_uuid(Uuid::now_v7()), DeviceId::from_uuid(Uuid::now_v7()));
        Person::with_key(market, account, device, key)
    }

    /// Takes a key that has signed nothing yet.
    pub fn with_key(market: &MarketName, account: AccountId, device: DeviceId, key: SigningKey) -> Person {
        Person { market: market.clone(), account, device, key, next_seq: AtomicU64::new(1) }
    }

    /// Takes a key of a key store, which nobody else may use meanwhile and whose next unused number is `seq`.
    pub fn from_stored(market: &MarketName, stored: &StoredKey, seq: u64) -> Person {
        let person = Person::with_key(market, stored.account, stored.device, stored.signing());
        Person { next_seq: AtomicU64::new(seq), ..person }
    }

    /// Gives the market.
    pub fn market(&self) -> &MarketName {
        &self.market
    }

    /// Gives the account.
    pub fn account(&self) -> AccountId {
        self.account
    }

    /// Gives the key's public half.
    pub fn public(&self) -> PublicKey {
        self.key.public()
    }

    /// Gives the wish to register the account, for the registrar to sign.
    pub fn account_registration(&self, role: Role) -> RegisterAccount {
        RegisterAccount { account: self.account, roles: [role].into() }
    }

    /// Gives the wish to register the device, for the registrar to sign.
    pub fn device_registration(&self) -> RegisterDevice {
        RegisterDevice::new(self.account, self.device, self.public())
    }

    /// Signs a new wish.
    pub fn sign(&self, command: impl Into<Command>) -> Bytes {
        self.sign_as(CommandId::from_uuid(Uuid::now_v7()), command)
    }

    /// Signs a wish under an id.
    pub fn sign_as(&self, command_id: CommandId, command: impl Into<Command>) -> Bytes {
        self.seal(&self.draft(command_id, Expected::default(), command))
    }

    /// Drafts a wish: takes the key's next number and the time now.
    pub fn draft(&self, command_id: CommandId, expected: Expected, command: impl Into<Command>) -> Draft {
        let now = WallClock.now();
        Draft {
            market: self.market.clone(),
            account: self.account,
            device: self.device,
            command_id,
            seq: self.next_seq.fetch_add(1, Ordering::Relaxed),
            nonce: Nonce(rand::random()),
            issued_at: now,
            expires_at: now.plus_ms(GOOD_FOR_MS),
            expected,
            command: command.into(),
        }
    }

    /// Signs a request for an access token that is good for some seconds.
    pub fn token_request(&self, ttl_s: u64) -> Bytes {
        // A request has what a command has, but for the command.
        let id = CommandId::from_uuid(Uuid::now_v7());
        let draft = self.draft(id, Expected::default(), ClearCart::default());
        Bytes::from(sign_request(&draft, TOKEN_REQUEST, json!({ "ttl_s": ttl_s }), &self.key))
    }

    /// Signs a draft of this person.
    pub fn seal(&self, draft: &Draft) -> Bytes {
        Bytes::from(sign(draft, &self.key))
    }
}
