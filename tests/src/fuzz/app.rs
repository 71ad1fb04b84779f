//! Codes of apps, as the process tells right ones from wrong ones that has the secret.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use aws_lc_rs::hmac;
use engine::secrets::{SECRET_BYTES, Secrets};
use engine::vault::Vault;
use events::Timestamp;
use events::ids::{AccountId, AuthenticatorId};
use uuid::Uuid;

use super::edits;
use crate::sim_disk::SimDisk;

const BEGUN: Timestamp = Timestamp::from_ms(1_753_783_200_000);
const STEP_MS: i64 = 30_000;

struct Made {
    secrets: Secrets,
    account: AccountId,
    app: AuthenticatorId,
    key: hmac::Key,
}

static MADE: LazyLock<Made> = LazyLock::new(|| {
    let vault = Vault::open_on(Arc::new(SimDisk::new()), Path::new("keys"), Path::new("vault"));
    let vault = vault.expect("an empty disk takes a vault");
    let (account, app) =
        (AccountId::from_uuid(Uuid::from_u128(1)), AuthenticatorId::from_uuid(Uuid::from_u128(2)));
    // The same secret in each run, so that what is found is found again.
    let secret = [0x5e; SECRET_BYTES];
    vault.put(account, &format!("totp/{app}"), &secret).expect("a vault takes a secret");
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &secret);
    Made { secrets: Secrets::in_vault(Arc::new(vault)), account, app, key }
});

/// Computes what RFC 6238 says that an app shows.
fn code_of(key: &hmac::Key, step: u64) -> String {
    let tag = hmac::sign(key, &step.to_be_bytes());
    let at = usize::from(tag.as_ref()[19] % 16);
    let four: [u8; 4] = tag.as_ref()[at..at + 4].try_into().expect("four bytes are four");
    format!("{:06}", (u32::from_be_bytes(four) & 0x7fff_ffff) % 1_000_000)
}

/// The first bytes say when it is, and which half minute's code the rest edits; or the rest is what somebody types. It is right if it is
/// what an app shows now, or showed in the half minute before, and for nobody else.
pub(super) fn code(input: &[u8]) {
    let Some((&[how, a, b, c, d], rest)) = input.split_first_chunk::<5>() else { return };
    let now = BEGUN.plus_ms(i64::from(u32::from_be_bytes([a, b, c, d])));
    let Made { secrets, account, app, key } = &*MADE;
    let present = (now.ms() / STEP_MS) as u64;
    let typed = if how & 1 == 0 {
        // From three half minutes ago to two ahead.
        let mut code = code_of(key, present + u64::from(how >> 1) % 6 - 3).into_bytes();
        edits::apply(rest, &mut code);
        code
    } else {
        rest.to_vec()
    };
    let typed = String::from_utf8_lossy(&typed);
    let expected = [present, present - 1].into_iter().find(|step| code_of(key, *step) == typed);
    let told = secrets.step(*account, *app, &typed, now).expect("the vault can be read");
    assert_eq!(told, Some(expected));
    let other = AccountId::from_uuid(Uuid::from_u128(2));
    assert_eq!(secrets.step(other, *app, &typed, now).expect("the vault can be read"), None);
}

/// Codes of now, of before and of later, right and with a digit changed; and things that are none.
pub(super) fn code_seeds() -> Vec<Vec<u8>> {
    let codes = (0..6u8).flat_map(|step| {
        [
            vec![2 * step, 0, 0, 0x75, 0x2f],
            vec![2 * step, 0, 0, 0x75, 0x30, 0, 0, 5, b'0'],
            vec![2 * step, 9, 9, 9, 9],
        ]
    });
    let typed = ["123456", "000000", "", "12345", "1234567", "１２３４５６"];
    codes.chain(typed.map(|typed| [&[1, 0, 0, 0, 0], typed.as_bytes()].concat())).collect()
}
