//! Follows the log for the vault: keeps the values that events name, drops those that they do no longer, and destroys the data keys
//! of accounts that were erased. The log is what says so; a vault that was restored from a backup hears it again.

use std::sync::Arc;

use commands::personal::{profile_name, webhook_secret_name};
use events::commit::ChainError;
use events::{Commit, Event, Head, Position, Recorded};
use futures::StreamExt;
use tokio::sync::watch;

use super::{Change, UNNOTED_EVENTS_MAX, Vault, VaultError};
use crate::log::{EventLog, ReadError};

/// Most commits that are taken at once.
const COMMITS_PER_BATCH_MAX: usize = 512;

/// Why the vault does not follow its log.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// The log can't be read.
    #[error("the log")]
    Log(#[from] ReadError),
    /// The vault does not do it.
    #[error("the vault")]
    Vault(#[from] VaultError),
    /// The vault has followed another log.
    #[error(
        "the vault has followed a log up to position {position} that this one does not extend: restore the newest log, or the vault that goes with it"
    )]
    Foreign {
        /// How far it has followed.
        position: Position,
        /// What does not fit.
        #[source]
        source: Option<ChainError>,
    },
}

/// Follows a log until it is told to stop, and tells how far it is.
pub async fn follow(
    vault: Arc<Vault>,
    log: Arc<dyn EventLog>,
    followed: watch::Sender<Position>,
    mut stop: watch::Receiver<bool>,
) -> Result<(), FollowError> {
    let mut head = vault.followed()?;
    let foreign = |position, source| FollowError::Foreign { position, source };
    if log.head().await?.position < head.position {
        return Err(foreign(head.position, None));
    }
    let mut noted = head.position;
    followed.send_replace(head.position);
    let mut commits = log.follow(head.position + 1).ready_chunks(COMMITS_PER_BATCH_MAX);
    loop {
        let chunk = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return Ok(()),
            chunk = commits.next() => chunk,
        };
        let Some(chunk) = chunk else { return Ok(()) };
        let mut changes = Vec::new();
        for commit in chunk {
            let commit = commit?;
            commit.check_follows(head).map_err(|source| foreign(head.position, Some(source)))?;
            changes.extend(said_by(&commit));
            head = commit.head();
        }
        if !changes.is_empty() || head.position >= noted + UNNOTED_EVENTS_MAX {
            let (vault, noting) = (Arc::clone(&vault), head);
            note(vault, noting, changes).await?;
            noted = head.position;
        }
        followed.send_replace(head.position);
    }
}

async fn note(vault: Arc<Vault>, head: Head, changes: Vec<Change>) -> Result<(), VaultError> {
    let work = move || vault.follow_to(head, changes);
    tokio::task::spawn_blocking(work).await.map_err(|_| VaultError::Closed)?
}

/// Gives what a commit says about values.
fn said_by(commit: &Commit) -> impl Iterator<Item = Change> + '_ {
    commit.events().iter().flat_map(said)
}

fn said(recorded: &Recorded) -> Vec<Change> {
    let position = recorded.position;
    match &recorded.event {
        Event::ProfileSet(event) => {
            let account = event.account;
            let set = event.fields.iter().filter_map(|(field, hash)| Some((*field, (*hash)?)));
            let keep = set.map(|(field, hash)| Change::Keep {
                account,
                name: profile_name(field, hash).into(),
                position,
            });
            let replaced = event.replaced.iter();
            let drop = replaced
                .map(|(field, hash)| Change::Drop { account, name: profile_name(*field, *hash).into() });
            drop.chain(keep).collect()
        }
        Event::WebhookRegistered(event) => {
            let name = webhook_secret_name(event.webhook, event.secret).into();
            vec![Change::Keep { account: event.account, name, position }]
        }
        Event::WebhookSecretRotated(event) => {
            let name = |secret| webhook_secret_name(event.webhook, secret).into();
            let drop =
                event.dropped.iter().map(|old| Change::Drop { account: event.account, name: name(*old) });
            drop.chain([Change::Keep { account: event.account, name: name(event.secret), position }])
                .collect()
        }
        Event::WebhookRemoved(event) => {
            let name = |secret| webhook_secret_name(event.webhook, secret).into();
            let drop =
                event.secrets.iter().map(|old| Change::Drop { account: event.account, name: name(*old) });
            drop.collect()
        }
        Event::AccountErased(event) => vec![Change::Erase { account: event.account }],
        _ => Vec::new(),
    }
}
