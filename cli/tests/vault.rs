//! `skylink vault`: backups that are made while a market runs, expire, and end with the master key.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

mod common;

use common::Cli;
use engine::vault::Vault;
use events::ids::AccountId;
use uuid::Uuid;

#[test]
fn a_vault_is_backed_up_while_its_market_runs_and_restored_when_it_does_not() {
    let cli = Cli::new();
    let alice = AccountId::from_uuid(Uuid::now_v7());
    let open = || Vault::open(&cli.path("data/keys"), &cli.path("data/vault")).unwrap();
    open().put(alice, "email", b"alice@example.com").unwrap();
    let up = cli.up(&[]);
    let (_, said) = cli.ends(2, &["vault", "status"]);
    assert!(said.contains("stop the market that has it first"), "{said}");
    let made = cli.json(&["vault", "backup", "backups", "--keep-days", "2"]);
    let listed = cli.ok(&["vault", "list", "backups"]);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&listed).unwrap(), made);
    assert!(up.interrupt().0.success());
    assert_eq!(cli.json(&["vault", "status"])["values"], 1);

    let from = made["dir"].as_str().unwrap();
    let (_, said) = cli.ends(2, &["vault", "restore", from]);
    assert!(said.contains("move that folder away"), "{said}");
    std::fs::remove_dir_all(cli.path("data/vault")).unwrap();
    cli.ok(&["vault", "restore", from]);
    let restored = open();
    assert_eq!(restored.get(alice, "email").unwrap().unwrap().as_slice(), b"alice@example.com");
    restored.close();

    let (_, said) = cli.ends(0, &["vault", "rotate"]);
    assert!(said.contains("Back up the folder of keys"), "{said}");
    assert_eq!(open().get(alice, "email").unwrap().unwrap().as_slice(), b"alice@example.com");
    std::fs::remove_dir_all(cli.path("data/vault")).unwrap();
    let (_, said) = cli.ends(2, &["vault", "restore", from]);
    assert!(said.contains("restore that folder from its backup"), "{said}");
    let (_, said) = cli.ends(2, &["vault", "backup", "backups"]);
    assert!(said.contains("there is no vault"), "{said}");
}
