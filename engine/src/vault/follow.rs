//! Follows the log for the vault: keeps the values that events name, drops those that they do no longer, and destroys the data keys
//! of accounts that were erased. The log is what says so; a vault that was restored from a backup hears it again.

use std::error::Error;
use std::sync::Arc;

use commands::personal::{address_name, profile_name, push_target_name, webhook_secret_name};
use events::commit::ChainError;
use events::ids::AccountId;
use events::{Commit, Event, Head, Position, Recorded, with_causes};
use futures::StreamExt;
use tokio::sync::watch;

use super::{Change, UNNOTED_EVENTS_MAX, Vault, VaultError};
use crate::log::{EventLog, ReadError};
use crate::{passwords, secrets};

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

/// How the vault follows its log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Followed {
    /// Up to where it has.
    pub position: Position,
    /// Why it goes no further until a restart; none: it does.
    pub failure: Option<String>,
}

/// Follows a log until it is told to stop, and tells how far it is, or why it goes no further.
pub async fn follow(
    vault: Arc<Vault>,
    log: Arc<dyn EventLog>,
    followed: watch::Sender<Followed>,
    stop: watch::Receiver<bool>,
) -> Result<(), FollowError> {
    let outcome = follow_until(vault, log, &followed, stop).await;
    if let Err(error) = &outcome {
        tracing::error!(error = error as &dyn Error, "the vault follows the log no further until a restart");
        let failure = Some(with_causes(error));
        followed.send_modify(|followed| followed.failure = failure);
    }
    outcome
}

async fn follow_until(
    vault: Arc<Vault>,
    log: Arc<dyn EventLog>,
    followed: &watch::Sender<Followed>,
    mut stop: watch::Receiver<bool>,
) -> Result<(), FollowError> {
    let told = |position| followed.send_replace(Followed { position, failure: None });
    let mut head = vault.followed()?;
    let foreign = |position, source| FollowError::Foreign { position, source };
    if log.head().await?.position < head.position {
        return Err(foreign(head.position, None));
    }
    let mut noted = head.position;
    told(head.position);
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
        told(head.position);
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

fn drop_of(account: AccountId, name: String) -> Change {
    Change::Drop { account, name: name.into() }
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
        Event::PasswordSet(event) => {
            let replaced = event.replaced.into_iter();
            replaced.map(|replaced| drop_of(event.account, passwords::name_of(replaced))).collect()
        }
        Event::PasswordRemoved(event) => vec![drop_of(event.account, passwords::name_of(event.password))],
        Event::TotpRemoved(event) => vec![drop_of(event.account, secrets::name_of(event.authenticator))],
        Event::AddressSealed(event) => {
            let (account, name) = (event.buyer, address_name(event.hash).into());
            vec![Change::Keep { account, name, position }]
        }
        Event::WebhookRegistered(event) => {
            let name = webhook_secret_name(event.webhook, event.secret).into();
            vec![Change::Keep { account: event.account, name, position }]
        }
        Event::WebhookSecretRotated(event) => {
            let name = |secret| webhook_secret_name(event.webhook, secret);
            let drop = event.dropped.iter().map(|old| drop_of(event.account, name(*old)));
            let (account, new) = (event.account, name(event.secret).into());
            drop.chain([Change::Keep { account, name: new, position }]).collect()
        }
        Event::WebhookRemoved(event) => {
            let name = |secret| webhook_secret_name(event.webhook, secret);
            event.secrets.iter().map(|old| drop_of(event.account, name(*old))).collect()
        }
        Event::PushSubscribed(event) => {
            let name = push_target_name(event.subscription, event.target).into();
            vec![Change::Keep { account: event.account, name, position }]
        }
        Event::PushUnsubscribed(event) => {
            vec![drop_of(event.account, push_target_name(event.subscription, event.target))]
        }
        Event::AccountErased(event) => vec![Change::Erase { account: event.account }],
        _ => Vec::new(),
    }
}
