//! Webhooks: whose they are, where to, what they are told of, and whether they still are. How sending goes is known only to the process
//! that sends.
//!
//! | question | key | size |
//! |---|---|---|
//! | one webhook, or all of them | webhook | its address and its filters, and 150 B |
//! | those of an account | account | 16 B for each |
//! | what is sent in place of an event | webhook, position | what it is, and 60 B |

use std::collections::BTreeSet;

use events::ids::{AccountId, CommandId, WebhookId};
use events::metadata::Cause;
use events::webhook::{DisabledBecause, EventFilter, Replaced, WebhookUrl};
use events::{Commit, Event, Hash, Position, Recorded, Timestamp};
use serde::{Deserialize, Serialize};
use sled::{Batch, Tree};

use crate::store::Slot;
use crate::table::{Layout, Table, read_u64};
use crate::view::{Fold, ViewError};

/// The version of this view's values; to be raised with every change of them or of what they mean.
pub(crate) const VERSION: u8 = 2;

/// A webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    /// The webhook.
    pub webhook: WebhookId,
    /// Whose it is.
    pub account: AccountId,
    /// Where messages go to.
    pub url: WebhookUrl,
    /// What it is told of.
    pub types: BTreeSet<EventFilter>,
    /// Whether it is told of anything.
    pub on: bool,
    /// Why it is not, if it did not take messages; none: its owner switched it off, or it is on.
    pub disabled: Option<DisabledBecause>,
    /// The hash of the secret that messages are signed with.
    pub secret: Hash,
    /// The secret before it, with which they are signed for a while too.
    pub replaced: Option<Replaced>,
    /// How far it has been told, as was noted last.
    pub reached: Position,
    /// When it was registered.
    pub registered_at: Timestamp,
    /// Where its owner's last word about it stands in the log.
    pub changed_at: Position,
}

/// What somebody said is sent to an address in place of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edit {
    /// Who.
    pub account: AccountId,
    /// The command that said so.
    pub command: CommandId,
    /// What is sent as the event's `data`, a JSON object as text; none: nothing is sent of the event.
    pub data: Option<String>,
    /// Where that stands in the log.
    pub position: Position,
}

const WEBHOOKS: Layout<WebhookId, Webhook> = Layout::new(b'w', VERSION);
const OF_ACCOUNT: Layout<AccountId, BTreeSet<WebhookId>> = Layout::new(b'a', VERSION);
const EDITS: Layout<(WebhookId, Position), Edit> = Layout::new(b'e', VERSION);

/// Answers about webhooks.
#[derive(Clone, Copy)]
pub struct Webhooks<'a>(&'a Slot);

impl<'a> Webhooks<'a> {
    pub(crate) fn new(slot: &'a Slot) -> Self {
        Webhooks(slot)
    }

    /// Gives a webhook.
    pub fn webhook(&self, webhook: WebhookId) -> Result<Option<Webhook>, ViewError> {
        WEBHOOKS.get(&self.0.ask()?.tree, &webhook)
    }

    /// Lists the webhooks of an account, by their ids. There are few.
    pub fn of_account(&self, account: AccountId) -> Result<Vec<Webhook>, ViewError> {
        let tree = &self.0.ask()?.tree;
        let ids = OF_ACCOUNT.get(tree, &account)?.unwrap_or_default();
        let found = ids.into_iter().filter_map(|id| WEBHOOKS.get(tree, &id).transpose());
        found.collect()
    }

    /// Gives what is sent to an address in place of the event at a position; none: that event.
    pub fn edit(&self, webhook: WebhookId, position: Position) -> Result<Option<Edit>, ViewError> {
        EDITS.get(&self.0.ask()?.tree, &(webhook, position))
    }

    /// Lists all webhooks of the market, by their ids. There are a few hundred at most.
    pub fn all(&self) -> Result<Vec<Webhook>, ViewError> {
        WEBHOOKS.scan(&self.0.ask()?.tree, &()).map(|row| Ok(row?.1)).collect()
    }
}

/// How the view follows the log.
pub(crate) struct WebhookFold {
    webhooks: Table<WebhookId, Webhook>,
    of_account: Table<AccountId, BTreeSet<WebhookId>>,
    edits: Table<(WebhookId, Position), Edit>,
}

impl WebhookFold {
    pub(crate) fn new() -> Self {
        let (webhooks, of_account) = (Table::new(WEBHOOKS), Table::new(OF_ACCOUNT));
        WebhookFold { webhooks, of_account, edits: Table::new(EDITS) }
    }

    fn known(&mut self, tree: &Tree, id: WebhookId, recorded: &Recorded) -> Result<&mut Webhook, ViewError> {
        let missing = || ViewError::unknown(format_args!("webhook {id}"), recorded.position);
        self.webhooks.entry(tree, &id)?.as_mut().ok_or_else(missing)
    }

    fn edited(&mut self, id: WebhookId, of: Position, data: Option<String>, commit: &Commit, at: Position) {
        // Nobody but whoever signs a command says so.
        if let Cause::Command(stamp) = &commit.start().cause {
            let edit = Edit { account: stamp.account, command: stamp.command, data, position: at };
            self.edits.set((id, of), Some(edit));
        }
    }

    /// Ends with a webhook: another one may have its id later.
    fn end(&mut self, tree: &Tree, id: WebhookId) -> Result<(), ViewError> {
        self.webhooks.set(id, None);
        let mut edited: BTreeSet<Position> = BTreeSet::new();
        for row in EDITS.scan(tree, &id) {
            let position = read_u64(&row?.0);
            let missing = || ViewError::Damaged { source: "an edit has no position".into() };
            edited.insert(position.ok_or_else(missing)?);
        }
        edited.extend(self.edits.dirty().iter().filter(|(of, _)| *of == id).map(|(_, position)| *position));
        for position in edited {
            self.edits.set((id, position), None);
        }
        Ok(())
    }

    fn event(&mut self, tree: &Tree, commit: &Commit, recorded: &Recorded) -> Result<(), ViewError> {
        let position = recorded.position;
        match &recorded.event {
            Event::WebhookRegistered(event) => {
                let new = Webhook {
                    webhook: event.webhook,
                    account: event.account,
                    url: event.url.clone(),
                    types: event.types.clone(),
                    on: true,
                    disabled: None,
                    secret: event.secret,
                    replaced: None,
                    reached: position,
                    registered_at: recorded.metadata.time,
                    changed_at: position,
                };
                self.webhooks.set(event.webhook, Some(new));
                let own = self.of_account.entry(tree, &event.account)?;
                own.get_or_insert_default().insert(event.webhook);
            }
            Event::WebhookUpdated(event) => {
                let webhook = self.known(tree, event.webhook, recorded)?;
                webhook.url.clone_from(&event.url);
                webhook.types.clone_from(&event.types);
                (webhook.on, webhook.changed_at) = (event.on, position);
                webhook.disabled = webhook.disabled.filter(|_| !event.on);
            }
            Event::WebhookSecretRotated(event) => {
                let webhook = self.known(tree, event.webhook, recorded)?;
                (webhook.secret, webhook.replaced, webhook.changed_at) =
                    (event.secret, event.replaced, position);
            }
            Event::WebhookReached(event) => {
                self.known(tree, event.webhook, recorded)?.reached = event.position;
            }
            Event::WebhookDisabled(event) => {
                let webhook = self.known(tree, event.webhook, recorded)?;
                (webhook.on, webhook.disabled, webhook.reached) =
                    (false, Some(event.because), event.position);
            }
            Event::LetterReplaced(event) => {
                self.edited(event.webhook, event.position, Some(event.data.clone()), commit, position);
            }
            Event::LetterDropped(event) => self.edited(event.webhook, event.position, None, commit, position),
            Event::WebhookRemoved(event) => {
                self.end(tree, event.webhook)?;
                if let Some(own) = self.of_account.entry(tree, &event.account)? {
                    own.remove(&event.webhook);
                }
            }
            Event::AccountErased(event) => {
                for id in self.of_account.take(tree, &event.account)?.unwrap_or_default() {
                    self.end(tree, id)?;
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl Fold for WebhookFold {
    fn apply(&mut self, tree: &Tree, commit: &Commit) -> Result<(), ViewError> {
        commit.events().iter().try_for_each(|recorded| self.event(tree, commit, recorded))
    }

    fn write(&mut self, tree: &Tree, batch: &mut Batch) -> Result<(), ViewError> {
        self.webhooks.write(tree, batch)?;
        self.of_account.write(tree, batch)?;
        self.edits.write(tree, batch)
    }
}
