use std::fs;

use events::Hash;
use tempfile::TempDir;
use uuid::Uuid;

use super::*;

const NOW: Timestamp = Timestamp::from_ms(1_800_000_000_000);
const SECRET: &[u8] = b"alice@example.com";

fn account(n: u128) -> AccountId {
    AccountId::from_uuid(Uuid::from_u128(n))
}

fn head(position: Position) -> Head {
    Head { position, hash: Hash::of(&position.to_le_bytes()) }
}

fn staged(n: u128, values: &[(&str, &[u8])]) -> Staged {
    let values = values.iter().map(|(name, value)| ((*name).to_owned(), Zeroizing::new(value.to_vec())));
    Staged { account: account(n), values: values.collect() }
}

struct Place {
    dir: TempDir,
}

impl Place {
    fn new() -> Place {
        Place { dir: TempDir::new().unwrap() }
    }

    fn keys(&self) -> PathBuf {
        self.dir.path().join("keys")
    }

    fn vault(&self) -> PathBuf {
        self.dir.path().join("vault")
    }

    fn backups(&self) -> PathBuf {
        self.dir.path().join("backups")
    }

    fn open(&self) -> Vault {
        Vault::open(&self.keys(), &self.vault()).unwrap()
    }

    /// Tells whether any file below the place has some bytes.
    fn holds(&self, bytes: &[u8]) -> bool {
        let mut folders = vec![self.dir.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if fs::read(&path).unwrap().windows(bytes.len()).any(|part| part == bytes) {
                    return true;
                }
            }
        }
        false
    }
}

fn get(vault: &Vault, n: u128, name: &str) -> Option<Vec<u8>> {
    vault.get(account(n), name).unwrap().map(|value| value.to_vec())
}

#[test]
fn what_was_put_is_there_again_and_in_no_file_in_the_clear() {
    let place = Place::new();
    let vault = place.open();
    vault.put(account(1), "email", b"old").unwrap();
    vault.put(account(1), "email", SECRET).unwrap();
    vault.put(account(1), "totp/1", b"seed").unwrap();
    vault.put(account(2), "email", b"bob").unwrap();
    vault.remove(account(2), "email").unwrap();
    let mut opened = Some(vault);
    for _ in 0..2 {
        let vault = opened.take().unwrap_or_else(|| place.open());
        assert_eq!(get(&vault, 1, "email").unwrap(), SECRET);
        assert_eq!(get(&vault, 2, "email"), None);
        assert_eq!(get(&vault, 3, "email"), None);
        assert_eq!(vault.names(account(1), "").unwrap(), ["email", "totp/1"]);
        assert_eq!(vault.names(account(1), "totp/").unwrap(), ["totp/1"]);
        vault.close();
        assert!(matches!(vault.get(account(1), "email"), Err(VaultError::Closed)));
    }
    assert!(!place.holds(SECRET));
    use std::os::unix::fs::PermissionsExt;
    for file in
        [place.keys().join("vault-1.master"), place.vault().join("keys"), place.vault().join("values-1")]
    {
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "{}", file.display());
    }
}

#[test]
fn one_process_has_it_at_a_time() {
    let place = Place::new();
    let vault = place.open();
    assert!(matches!(Vault::open(&place.keys(), &place.vault()), Err(VaultError::Held { .. })));
    vault.close();
    place.open();
}

#[test]
fn names_and_values_have_bounds() {
    let vault = Place::new().open();
    for name in ["", "with space", "naïve", "x".repeat(NAME_BYTES_MAX + 1).as_str()] {
        assert!(matches!(vault.put(account(1), name, b""), Err(VaultError::Name)), "{name}");
    }
    let long = vec![0; VALUE_BYTES_MAX + 1];
    assert!(matches!(vault.put(account(1), "a", &long), Err(VaultError::TooLong { .. })));
    vault.put(account(1), "a", &long[1..]).unwrap();
}

#[test]
fn an_erased_account_keeps_nothing_and_gets_nothing() {
    let place = Place::new();
    let vault = place.open();
    vault.put(account(1), "email", SECRET).unwrap();
    vault.put(account(2), "email", b"bob").unwrap();
    let wrapped = fs::read(place.vault().join("keys")).unwrap()[512 + 25..512 + 85].to_vec();
    assert!(place.holds(&wrapped));
    vault.erase(account(1)).unwrap();
    vault.erase(account(1)).unwrap();
    assert!(!place.holds(&wrapped), "its data key is nowhere any more");
    vault.close();
    let vault = place.open();
    assert!(matches!(vault.get(account(1), "email"), Err(VaultError::Erased { .. })));
    assert!(matches!(vault.put(account(1), "email", b"x"), Err(VaultError::Erased { .. })));
    assert_eq!(vault.stage(&[staged(1, &[("a", b"x")])], NOW).unwrap(), [Staging::Erased]);
    assert_eq!(vault.names(account(1), "").unwrap(), [""; 0]);
    assert_eq!(get(&vault, 2, "email").unwrap(), b"bob");
    // Of whom nothing is known yet, nothing will be.
    vault.erase(account(3)).unwrap();
    assert!(vault.is_erased(account(3)).unwrap());
    let status = vault.status().unwrap();
    assert_eq!((status.accounts, status.erased, status.values), (1, 2, 1));
}

#[test]
fn a_value_waits_for_the_event_that_names_it_and_goes_with_the_one_that_does_no_longer() {
    let place = Place::new();
    let vault = place.open();
    let keep = |name: &str, position| Change::Keep { account: account(1), name: name.into(), position };
    let drops = |name: &str| Change::Drop { account: account(1), name: name.into() };
    let stage = |vault: &Vault, name: &str, now| {
        assert_eq!(vault.stage(&[staged(1, &[(name, name.as_bytes())])], now).unwrap(), [Staging::Stored]);
    };
    stage(&vault, "a", NOW);
    stage(&vault, "never", NOW);
    vault.follow_to(head(10), vec![keep("a", 10)]).unwrap();
    // The same value is named again while another takes its place.
    stage(&vault, "b", NOW);
    stage(&vault, "a", NOW);
    vault.follow_to(head(20), vec![keep("b", 20), drops("a")]).unwrap();
    vault.follow_to(head(30), vec![keep("a", 30), drops("b")]).unwrap();
    vault.follow_to(head(20), vec![drops("a")]).unwrap();
    vault.close();
    let vault = place.open();
    assert_eq!(vault.followed().unwrap(), head(30));
    assert_eq!(vault.names(account(1), "").unwrap(), ["a", "never"]);
    assert_eq!(vault.status().unwrap().waiting, 1);
    // What no event has named in time makes room when there is something new.
    stage(&vault, "c", NOW.plus_ms(WAIT_MS_MAX));
    assert!(vault.has(account(1), "never").unwrap());
    stage(&vault, "d", NOW.plus_ms(WAIT_MS_MAX + 1));
    assert_eq!(vault.names(account(1), "").unwrap(), ["a", "c", "d"]);
    vault.follow_to(head(40), vec![Change::Erase { account: account(1) }]).unwrap();
    assert!(vault.is_erased(account(1)).unwrap());
}

#[test]
fn no_account_may_let_too_much_wait() {
    let vault = Place::new().open();
    let names: Vec<String> = (0..=WAITING_PER_ACCOUNT_MAX).map(|n| format!("v{n}")).collect();
    let all: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), b"x".as_slice())).collect();
    assert_eq!(vault.stage(&[staged(1, &all)], NOW).unwrap(), [Staging::TooMany]);
    assert_eq!(vault.names(account(1), "").unwrap(), [""; 0]);
    let outcomes = vault.stage(&[staged(1, &all[1..]), staged(2, &all[..1])], NOW).unwrap();
    assert_eq!(outcomes, [Staging::Stored, Staging::Stored]);
    assert_eq!(vault.stage(&[staged(1, &all[..1])], NOW).unwrap(), [Staging::TooMany]);
    // What waits already needs no more room.
    assert_eq!(vault.stage(&[staged(1, &all[1..2])], NOW).unwrap(), [Staging::Stored]);
    assert_eq!(vault.stage(&[staged(1, &all[..1])], NOW.plus_ms(WAIT_MS_MAX)).unwrap(), [Staging::TooMany]);
    assert_eq!(
        vault.stage(&[staged(1, &all[..1])], NOW.plus_ms(WAIT_MS_MAX + 1)).unwrap(),
        [Staging::Stored]
    );
    assert_eq!(vault.names(account(1), "").unwrap(), ["v0"]);
}

#[test]
fn what_is_of_no_use_leaves_the_file() {
    let place = Place::new();
    let vault = place.open();
    vault.put(account(1), "kept", SECRET).unwrap();
    assert_eq!(vault.stage(&[staged(2, &[("waits", b"w")])], NOW).unwrap(), [Staging::Stored]);
    let large = vec![7; VALUE_BYTES_MAX];
    for _ in 0..40 {
        vault.put(account(1), "large", &large).unwrap();
    }
    vault.follow_to(head(5), vec![Change::Drop { account: account(1), name: "none".into() }]).unwrap();
    assert!(vault.status().unwrap().bytes < 2 * 1024 * 1024);
    assert!(!place.vault().join("values-1").exists());
    vault.close();
    let vault = place.open();
    assert_eq!(get(&vault, 1, "kept").unwrap(), SECRET);
    assert_eq!(get(&vault, 1, "large").unwrap(), large);
    assert_eq!((vault.status().unwrap().waiting, vault.followed().unwrap()), (1, head(5)));
}

#[test]
fn damage_is_told_from_what_a_crash_left() {
    let place = Place::new();
    let vault = place.open();
    let path = place.vault().join("values-1");
    let mut ends = vec![];
    for name in ["a", "b", "c"] {
        vault.put(account(1), name, name.as_bytes()).unwrap();
        ends.push(fs::metadata(&path).unwrap().len() as usize);
    }
    vault.close();
    let whole = fs::read(&path).unwrap();
    for length in ends[1]..ends[2] {
        for zeros in [0, 5000] {
            let mut torn = whole[..length].to_vec();
            torn.resize(length + zeros, 0);
            fs::write(&path, torn).unwrap();
            let vault = place.open();
            assert_eq!(vault.names(account(1), "").unwrap(), ["a", "b"]);
            assert_eq!(fs::metadata(&path).unwrap().len() as usize, ends[1]);
        }
    }
    for at in 16..ends[1] {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x10;
        fs::write(&path, flipped).unwrap();
        let opened = Vault::open(&place.keys(), &place.vault());
        assert!(matches!(opened, Err(VaultError::Damaged { .. })), "byte {at}");
    }
}

#[test]
fn a_new_master_key_ends_what_was_copied_before() {
    let place = Place::new();
    let vault = place.open();
    vault.put(account(1), "email", SECRET).unwrap();
    let before = backup::make(&place.vault(), &place.backups(), NOW, 1_000).unwrap();
    let old = fs::read(place.keys().join("vault-1.master")).unwrap();
    vault.rotate().unwrap();
    assert!(!place.holds(&old[..32]));
    assert_eq!(get(&vault, 1, "email").unwrap(), SECRET);
    assert_eq!(vault.status().unwrap().master_generation, 2);
    vault.close();
    assert_eq!(get(&place.open(), 1, "email").unwrap(), SECRET);
    let other = place.dir.path().join("other");
    let restored = backup::restore(&before.dir, &place.keys(), &other, NOW);
    assert!(matches!(restored, Err(VaultError::MasterMissing { .. })));
}

#[test]
fn a_vault_without_its_master_key_is_not_opened() {
    let place = Place::new();
    let vault = place.open();
    vault.put(account(1), "email", SECRET).unwrap();
    vault.close();
    let master = place.keys().join("vault-1.master");
    let bytes = fs::read(&master).unwrap();
    fs::remove_file(&master).unwrap();
    let opened = Vault::open(&place.keys(), &place.vault());
    assert!(matches!(opened, Err(VaultError::MasterMissing { .. })));
    fs::write(&master, bytes).unwrap();
    assert_eq!(get(&place.open(), 1, "email").unwrap(), SECRET);
}

#[test]
fn a_backup_is_made_while_the_vault_is_in_use_and_restored_until_it_expires() {
    let place = Place::new();
    let vault = place.open();
    vault.put(account(1), "email", SECRET).unwrap();
    vault.put(account(2), "email", b"bob").unwrap();
    vault
        .follow_to(head(7), vec![Change::Keep { account: account(2), name: "email".into(), position: 7 }])
        .unwrap();
    let made = backup::make(&place.vault(), &place.backups(), NOW, 1_000).unwrap();
    assert_eq!(backup::list(&place.backups()).unwrap(), std::slice::from_ref(&made));
    vault.erase(account(2)).unwrap();
    let restore = |now| backup::restore(&made.dir, &place.keys(), &place.vault(), now);
    assert!(matches!(restore(NOW), Err(VaultError::Held { .. })));
    vault.close();
    assert!(matches!(restore(NOW), Err(VaultError::Exists { .. })));
    fs::remove_dir_all(place.vault()).unwrap();
    assert!(matches!(restore(NOW.plus_ms(1_000)), Err(VaultError::Expired { .. })));
    restore(NOW.plus_ms(999)).unwrap();
    let vault = place.open();
    assert_eq!(get(&vault, 1, "email").unwrap(), SECRET);
    // It was erased after the backup was made: the log is followed from there, and says so again.
    assert_eq!(vault.followed().unwrap(), head(7));
    vault.follow_to(head(9), vec![Change::Erase { account: account(2) }]).unwrap();
    assert!(matches!(vault.get(account(2), "email"), Err(VaultError::Erased { .. })));
    vault.close();

    let keys = fs::read(made.dir.join("keys")).unwrap();
    assert!(place.holds(&keys[512..1024]));
    assert_eq!(backup::destroy_expired(&place.backups(), NOW.plus_ms(999)).unwrap(), []);
    assert_eq!(backup::destroy_expired(&place.backups(), NOW.plus_ms(1_000)).unwrap(), [made]);
    assert_eq!(backup::list(&place.backups()).unwrap(), []);
}

#[test]
fn a_restore_that_was_not_finished_is_done_again_and_damage_in_a_backup_is_found() {
    let place = Place::new();
    let vault = place.open();
    vault.put(account(1), "email", SECRET).unwrap();
    let made = backup::make(&place.vault(), &place.backups(), NOW, 1_000).unwrap();
    vault.close();
    fs::remove_dir_all(place.vault()).unwrap();
    let restore = || backup::restore(&made.dir, &place.keys(), &place.vault(), NOW);
    fs::create_dir_all(place.vault()).unwrap();
    fs::write(place.vault().join(backup::RESTORING), b"").unwrap();
    fs::write(place.vault().join("values-1"), b"half").unwrap();
    let opened = Vault::open(&place.keys(), &place.vault());
    assert!(matches!(opened, Err(VaultError::HalfRestored { .. })));
    for name in ["keys", "values"] {
        let path = made.dir.join(name);
        let whole = fs::read(&path).unwrap();
        let mut flipped = whole.clone();
        *flipped.last_mut().unwrap() ^= 1;
        fs::write(&path, flipped).unwrap();
        assert!(matches!(restore(), Err(VaultError::Damaged { .. })), "{name}");
        fs::write(&path, whole).unwrap();
    }
    restore().unwrap();
    assert_eq!(get(&place.open(), 1, "email").unwrap(), SECRET);
    assert!(matches!(
        backup::restore(&place.keys(), &place.keys(), &place.vault(), NOW),
        Err(VaultError::Missing { .. })
    ));
}
