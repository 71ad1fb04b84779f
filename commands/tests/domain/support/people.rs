//! Who acts in the tests.

use std::collections::BTreeSet;

use events::account::{PublicKey, Role};
use events::ids::{AccountId, DeviceId};
use uuid::Uuid;

/// Somebody with one device and one key, all made from one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Actor(pub u32);

pub const REGISTRAR: Actor = Actor(1);
pub const PROVIDER: Actor = Actor(2);
pub const OPERATOR: Actor = Actor(3);
pub const OTHER_OPERATOR: Actor = Actor(5);
pub const SELLER: Actor = Actor(10);
pub const OTHER_SELLER: Actor = Actor(11);
pub const BUYER: Actor = Actor(20);
pub const OTHER_BUYER: Actor = Actor(21);
pub const GUEST: Actor = Actor(40);
pub const OTHER_GUEST: Actor = Actor(41);

impl Actor {
    /// Finds somebody by his account.
    pub fn of(account: AccountId) -> Actor {
        Actor((account.uuid().as_u128() & 0xffff_ffff) as u32)
    }

    pub fn account(self) -> AccountId {
        AccountId::from_uuid(Uuid::from_u128(0xACC0_0000_0000 | u128::from(self.0)))
    }

    pub fn device(self) -> DeviceId {
        DeviceId::from_uuid(Uuid::from_u128(0xDE71_0000_0000 | u128::from(self.0)))
    }

    pub fn key(self) -> PublicKey {
        let mut x = [0; 32];
        x[..4].copy_from_slice(&self.0.to_be_bytes());
        PublicKey::Ed25519(x)
    }

    /// Tells his role by his number: sellers are 10 to 19, guests 40 to 49, buyers the others from 20 on.
    pub fn roles(self) -> BTreeSet<Role> {
        let role = match self.0 {
            1 => Role::Registrar,
            3 | 5 => Role::Operator,
            2..=9 => Role::Provider,
            10..=19 => Role::Seller,
            40..=49 => Role::Guest,
            _ => Role::Buyer,
        };
        [role].into()
    }
}
