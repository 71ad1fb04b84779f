//! What the vault does when the power goes or the disk is full: it loses nothing it said was stored, and keeps no key that it said
//! was destroyed.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use engine::vault::{Change, Staged, Staging, Vault, VaultError, Zeroizing};
use events::ids::AccountId;
use events::{Hash, Head, Position, Timestamp};
use tests::sim_disk::{DiskFault, SimDisk, Survival};
use uuid::Uuid;

const NOW: Timestamp = Timestamp::from_ms(1_800_000_000_000);

fn open(disk: &SimDisk) -> Result<Vault, VaultError> {
    Vault::open_on(Arc::new(disk.clone()), Path::new("keys"), Path::new("vault"))
}

fn account(n: u128) -> AccountId {
    AccountId::from_uuid(Uuid::from_u128(n))
}

fn head(position: Position) -> Head {
    Head { position, hash: Hash::of(&position.to_le_bytes()) }
}

/// What was acknowledged.
#[derive(Default)]
struct Told {
    values: BTreeMap<(u128, &'static str), Vec<u8>>,
    erased: Vec<u128>,
    /// What may or may not have happened, since it was not acknowledged.
    doubtful: Option<(u128, &'static str)>,
    doubtful_erasure: Option<u128>,
}

/// Does what a market does with its vault, until it goes wrong.
fn live(disk: &SimDisk, told: &mut Told) -> Result<(), VaultError> {
    let vault = open(disk)?;
    let put = |told: &mut Told, n: u128, name: &'static str, value: &[u8]| {
        told.doubtful = Some((n, name));
        vault.put(account(n), name, value)?;
        told.doubtful = None;
        told.values.insert((n, name), value.to_vec());
        Ok::<(), VaultError>(())
    };
    put(told, 1, "email", b"alice@example.com")?;
    put(told, 2, "email", b"bob@example.com")?;
    put(told, 1, "email", b"alice@example.org")?;
    let value = Zeroizing::new(b"1 Long Lane".to_vec());
    let staged = Staged { account: account(3), values: vec![("address".to_owned(), value.clone())] };
    told.doubtful = Some((3, "address"));
    assert_eq!(vault.stage(&[staged], NOW)?, [Staging::Stored]);
    told.doubtful = None;
    told.values.insert((3, "address"), value.to_vec());
    vault.follow_to(
        head(3),
        vec![Change::Keep { account: account(3), name: "address".into(), position: 3 }],
    )?;
    told.doubtful_erasure = Some(2);
    vault.follow_to(head(4), vec![Change::Erase { account: account(2) }])?;
    told.doubtful_erasure = None;
    told.erased.push(2);
    vault.rotate()?;
    put(told, 4, "phone", b"+1 555 0100")?;
    told.doubtful_erasure = Some(1);
    vault.erase(account(1))?;
    told.doubtful_erasure = None;
    told.erased.push(1);
    vault.close();
    Ok(())
}

fn check(vault: &Vault, told: &Told, place: &str) {
    for ((n, name), value) in &told.values {
        if told.doubtful == Some((*n, name)) || told.doubtful_erasure == Some(*n) || told.erased.contains(n) {
            continue;
        }
        let kept = vault.get(account(*n), name).unwrap();
        assert_eq!(kept.as_deref(), Some(value), "{n} {name} {place}");
    }
    for n in &told.erased {
        let got = vault.get(account(*n), "email");
        assert!(matches!(got, Err(VaultError::Erased { .. })), "{n} {place}");
    }
}

#[test]
fn whenever_the_power_goes_what_was_stored_is_there_and_what_was_erased_is_not() {
    let whole = SimDisk::new();
    live(&whole, &mut Told::default()).unwrap();
    let operations = whole.operations();
    assert!(operations > 30, "every step is tried: {operations}");
    for n in 0..operations {
        for survival in
            [Survival::Nothing, Survival::Everything, Survival::Part { seed: n }, Survival::Part { seed: !n }]
        {
            let (disk, mut told) = (SimDisk::new(), Told::default());
            disk.fail_in(n, DiskFault::PowerGone);
            let ended = live(&disk, &mut told);
            disk.crash(survival);
            let place = format!("operation {n}, {survival:?}, {ended:?}");
            let vault = open(&disk).unwrap_or_else(|error| panic!("{place}: {error}"));
            check(&vault, &told, &place);
            // The log is followed again from what was noted, and says the same.
            let erase = |n| Change::Erase { account: account(n) };
            vault.follow_to(head(4), vec![erase(2)]).unwrap();
            told.erased.push(2);
            check(&vault, &told, &place);
            vault.put(account(5), "email", b"eve@example.com").unwrap();
            vault.close();
            let vault = open(&disk).unwrap();
            check(&vault, &told, &place);
            assert_eq!(vault.get(account(5), "email").unwrap().unwrap().as_slice(), b"eve@example.com");
            assert_eq!(vault.status().unwrap().damaged_keys, 0, "{place}");
        }
    }
}

#[test]
fn a_full_disk_refuses_what_it_has_no_room_for_and_goes_on_when_it_has() {
    let whole = SimDisk::new();
    live(&whole, &mut Told::default()).unwrap();
    for n in 0..whole.operations() {
        for bytes in [0, 5, 100] {
            let (disk, mut told) = (SimDisk::new(), Told::default());
            disk.fail_in(n, DiskFault::FullAfter(bytes));
            // Where it was not a write that the fault hit, nothing went wrong.
            let place = format!("operation {n} after {bytes} bytes, {:?}", live(&disk, &mut told));
            let vault = open(&disk).unwrap_or_else(|error| panic!("{place}: {error}"));
            check(&vault, &told, &place);
            vault.put(account(5), "email", b"eve@example.com").unwrap();
            vault.close();
            check(&open(&disk).unwrap(), &told, &place);
        }
    }
}

#[test]
fn after_a_failed_sync_nothing_more_is_done_until_a_restart() {
    let disk = SimDisk::new();
    let vault = open(&disk).unwrap();
    vault.put(account(1), "email", b"alice@example.com").unwrap();
    // The write of a value, then its sync.
    disk.fail_in(1, DiskFault::SyncFails);
    assert!(matches!(vault.put(account(1), "email", b"other"), Err(VaultError::Io { .. })));
    assert!(matches!(vault.put(account(1), "email", b"other"), Err(VaultError::Closed)));
    assert!(matches!(vault.get(account(1), "email"), Err(VaultError::Closed)));
    disk.crash(Survival::Nothing);
    assert_eq!(
        open(&disk).unwrap().get(account(1), "email").unwrap().unwrap().as_slice(),
        b"alice@example.com"
    );
}
