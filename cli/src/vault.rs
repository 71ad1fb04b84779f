//! `skylink vault`: backups of what is personal or secret of accounts, and its master key.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use engine::clock::{Clock, WallClock};
use engine::vault::{Vault, backup};

use crate::Verdict;
use crate::log::DataArgs;
use crate::output::{Output, talk};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Back up and restore what is personal or secret of accounts, and change its master key.
///
/// The vault holds it encrypted, with a data key for each account (docs/privacy.md). A backup can be read only with the master key,
/// which is not in it: back up the folder of keys apart.
#[derive(Debug, Args)]
pub(crate) struct VaultArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Backup(BackupArgs),
    List(ListArgs),
    Restore(RestoreArgs),
    Status(StatusArgs),
    Rotate(RotateArgs),
}

/// Make a backup in a folder, and destroy those there that have expired.
///
/// The market may run meanwhile. What is erased later is still in the backup until it expires; a copy of the folder elsewhere has
/// to be deleted by whoever made it.
#[derive(Debug, Args)]
struct BackupArgs {
    /// The folder of backups.
    to: PathBuf,
    #[command(flatten)]
    data: DataArgs,
    /// Days after which the backup is destroyed by the next one, and restored no more.
    #[arg(long, default_value_t = backup::KEEP_MS_DEFAULT / DAY_MS, value_name = "DAYS", value_parser = clap::value_parser!(i64).range(1..=3_650))]
    keep_days: i64,
}

/// List the backups in a folder, one a line as JSON.
#[derive(Debug, Args)]
struct ListArgs {
    /// The folder of backups.
    to: PathBuf,
}

/// Restore a backup, where there is no vault. Accounts that were erased since are erased again when the market starts.
#[derive(Debug, Args)]
struct RestoreArgs {
    /// The backup: a folder inside that of the backups.
    from: PathBuf,
    #[command(flatten)]
    data: DataArgs,
}

/// Tell how the vault of a market that does not run is.
#[derive(Debug, Args)]
struct StatusArgs {
    #[command(flatten)]
    data: DataArgs,
}

/// Make a new master key and destroy the old one, while the market does not run. Every backup made before can't be read any more:
/// make one afterwards.
#[derive(Debug, Args)]
struct RotateArgs {
    #[command(flatten)]
    data: DataArgs,
}

/// Does it.
pub(crate) fn run(arguments: &VaultArgs) -> anyhow::Result<Verdict> {
    let now = WallClock.now();
    let mut output = Output::stdout();
    match &arguments.what {
        What::Backup(BackupArgs { to, data, keep_days }) => {
            let made = backup::make(&data.data.join("vault"), to, now, keep_days * DAY_MS)?;
            for expired in backup::destroy_expired(to, now)? {
                talk(format_args!("{} had expired and is destroyed.", expired.dir.display()));
            }
            output.json(&made)?;
        }
        What::List(ListArgs { to }) => {
            for backup in backup::list(to)? {
                output.json(&backup)?;
            }
        }
        What::Restore(RestoreArgs { from, data }) => {
            output.json(&backup::restore(from, &data.data.join("keys"), &data.data.join("vault"), now)?)?;
        }
        What::Status(StatusArgs { data }) => output.pretty(&open(data)?.status()?)?,
        What::Rotate(RotateArgs { data }) => {
            let id = open(data)?.rotate()?;
            talk(format_args!(
                "The master key is {id} now. Back up the folder of keys and the vault: what was made before can't be read any more."
            ));
        }
    }
    output.flush()?;
    Ok(Verdict::Done)
}

/// Opens a vault that is there.
fn open(data: &DataArgs) -> anyhow::Result<Vault> {
    let dir = data.data.join("vault");
    anyhow::ensure!(
        dir.is_dir(),
        "there is no vault in {}: name the folder that `skylink up` uses with --data",
        data.data.display()
    );
    Ok(Vault::open(&data.data.join("keys"), &dir)?)
}
