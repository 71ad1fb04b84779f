//! Who did what: where in the log stands what operators did, what was done about keys, sign-ins and the standing of accounts, and
//! what somebody had sent to webhooks in place of what happened.
//!
//! | question | key | size per event |
//! |---|---|---|
//! | what operators did; what was done about access; the newest first | kind, position | 15 B for each command |
//! | what somebody did | account, position | 30 B |
//! | what was done to something: an account, an order, a listing, … | its id, position | 52 B for each thing that a command is about |
//! | who is an operator, and who a registrar | account | 23 B, once |
//!
//! What was done is not kept: it stands in the log, from where it is told (`gateway/src/query/audit.rs`), with the signed command that
//! asked for it. So an answer can't say anything else than the log does. Most commands are neither an operator's nor about access,
//! and cost a look at their events.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};

use events::account::Role;
use events::ids::AccountId;
use events::metadata::Cause;
use events::{Commit, Event, Position};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sled::{Batch, Tree};

use crate::store::Slot;
use crate::table::{Additions, Key, Layout, read_u64, read_uuid};
use crate::view::{Fold, ViewError};

/// The version of this view's values; to be raised with every change of them or of what they mean.
pub(crate) const VERSION: u8 = 2;

/// Most acts in one page of a list.
pub const ACTS_PER_PAGE_MAX: usize = 100;

/// What sort of act something is. One command may be of several.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum ActKind {
    /// What an operator asked for, whatever came of it; that the market was opened, and that a process began to write.
    #[default]
    Staff,
    /// What was done about who may sign for an account: keys, second factors, passwords, sessions, its standing and its end. Also all
    /// that a registrar asked for.
    Access,
    /// What somebody said is sent to a webhook in place of an event, or that nothing is.
    Letters,
}

/// Whose acts, or the acts about what, are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActsOf {
    /// All of a sort.
    Kind(ActKind),
    /// Those of an account, of any sort.
    Actor(AccountId),
    /// Those about something, of any sort: an id, or the name of a region.
    Subject(String),
}

/// Where some acts stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActPage {
    /// Where the commit of each begins, the newest first.
    pub positions: Vec<Position>,
    /// Pass it as `before` to get the next page; none: this was the last.
    pub next: Option<Position>,
}

/// What something is asked for by.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Subject(String);

impl Key for Subject {
    /// Its length comes first, so that no subject is the beginning of another.
    fn write(&self, out: &mut Vec<u8>) {
        let length = u16::try_from(self.0.len()).expect("a subject is an id, or a short name");
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(self.0.as_bytes());
    }
}

type At<K> = (K, Reverse<Position>);

const KINDS: Layout<At<u8>, ()> = Layout::new(b'k', VERSION);
const ACTORS: Layout<At<AccountId>, ()> = Layout::new(b'a', VERSION);
const SUBJECTS: Layout<At<Subject>, ()> = Layout::new(b's', VERSION);
const STAFF: Layout<AccountId, bool> = Layout::new(b'm', VERSION);

/// Answers who did what.
#[derive(Clone, Copy)]
pub struct Audit<'a>(&'a Slot);

impl<'a> Audit<'a> {
    pub(crate) fn new(slot: &'a Slot) -> Self {
        Audit(slot)
    }

    /// Lists where acts stand, the newest first: those whose commits begin at position `from` or behind it, and before `before`. A page
    /// has at most `limit`, and never more than [`ACTS_PER_PAGE_MAX`].
    pub fn acts(
        &self,
        of: &ActsOf,
        from: Position,
        before: Option<Position>,
        limit: usize,
    ) -> Result<ActPage, ViewError> {
        let limit = limit.clamp(1, ACTS_PER_PAGE_MAX);
        let last = before.map_or(Position::MAX, |before| before.saturating_sub(1));
        // Behind the last one that is wanted, since newer ones come first.
        let (newest, end) = (Reverse(last), Reverse(from.saturating_sub(1)));
        let tree = &self.0.ask()?.tree;
        match of {
            ActsOf::Kind(kind) => page(&KINDS, tree, *kind as u8, newest, end, limit),
            ActsOf::Actor(account) => page(&ACTORS, tree, *account, newest, end, limit),
            // Nothing that long is the subject of anything.
            ActsOf::Subject(subject) if u16::try_from(subject.len()).is_err() => {
                Ok(ActPage { positions: vec![], next: None })
            }
            ActsOf::Subject(subject) => page(&SUBJECTS, tree, Subject(subject.clone()), newest, end, limit),
        }
    }
}

fn page<K: Key>(
    layout: &Layout<At<K>, ()>,
    tree: &Tree,
    of: K,
    newest: Reverse<Position>,
    end: Reverse<Position>,
    limit: usize,
) -> Result<ActPage, ViewError> {
    let mut strip = Vec::new();
    of.write(&mut strip);
    let mut page = ActPage { positions: Vec::with_capacity(limit), next: None };
    for row in layout.range(tree, &(of.clone(), newest), &(of, end), strip.len()) {
        let (key, ()) = row?;
        let position = read_u64(&key).map(|newest_first| !newest_first);
        let position =
            position.ok_or_else(|| ViewError::Damaged { source: "an act has no position".into() })?;
        if page.positions.len() == limit {
            page.next = page.positions.last().copied();
            break;
        }
        page.positions.push(position);
    }
    Ok(page)
}

/// How the view follows the log.
pub(crate) struct AuditFold {
    /// Operators, and registrars with `false`; none: they were not read yet.
    known: Option<HashMap<AccountId, bool>>,
    staff: Additions<AccountId, bool>,
    kinds: Additions<At<u8>, ()>,
    actors: Additions<At<AccountId>, ()>,
    subjects: Additions<At<Subject>, ()>,
}

impl AuditFold {
    pub(crate) fn new() -> Self {
        AuditFold {
            known: None,
            staff: Additions::new(STAFF),
            kinds: Additions::new(KINDS),
            actors: Additions::new(ACTORS),
            subjects: Additions::new(SUBJECTS),
        }
    }

    /// Gives who is an operator (true), and who a registrar (false).
    fn known(&mut self, tree: &Tree) -> Result<&mut HashMap<AccountId, bool>, ViewError> {
        if self.known.is_none() {
            let damaged = || ViewError::Damaged { source: "somebody of the staff has no id".into() };
            let rows = STAFF.scan(tree, &()).map(|row| {
                let (key, is_operator) = row?;
                let account = read_uuid(&key).map(AccountId::from_uuid);
                Ok((account.ok_or_else(damaged)?, is_operator))
            });
            self.known = Some(rows.collect::<Result<_, ViewError>>()?);
        }
        Ok(self.known.as_mut().expect("they were read above"))
    }

    /// Remembers whoever becomes staff.
    fn register(&mut self, tree: &Tree, account: AccountId, is_operator: bool) -> Result<(), ViewError> {
        let before = self.known(tree)?.insert(account, is_operator);
        if before.is_none() {
            self.staff.add(&account, &is_operator);
        }
        Ok(())
    }
}

impl Fold for AuditFold {
    fn apply(&mut self, tree: &Tree, commit: &Commit) -> Result<(), ViewError> {
        let actor = match &commit.start().cause {
            Cause::Command(stamp) => Some(stamp.account),
            Cause::Deadline(_) | Cause::Writer(_) => None,
        };
        let known = self.known(tree)?;
        let is_operator = actor.and_then(|actor| known.get(&actor).copied());
        let (mut is_staff, mut is_access) = (is_operator == Some(true), is_operator == Some(false));
        let mut is_letters = false;
        for recorded in commit.events() {
            match &recorded.event {
                Event::MarketOpened(opened) => {
                    is_staff = true;
                    self.register(tree, opened.registrar.account, false)?;
                }
                Event::WriterStarted(_) => is_staff = true,
                Event::AccountRegistered(registered) => {
                    is_access = true;
                    let is_operator = registered.roles.contains(&Role::Operator);
                    if is_operator || registered.roles.contains(&Role::Registrar) {
                        self.register(tree, registered.account, is_operator)?;
                    }
                }
                Event::LetterReplaced(_) | Event::LetterDropped(_) => is_letters = true,
                event => is_access |= is_about_access(event),
            }
        }
        if !is_staff && !is_access && !is_letters {
            return Ok(());
        }
        let at = Reverse(commit.first_position());
        let kinds =
            [(ActKind::Staff, is_staff), (ActKind::Access, is_access), (ActKind::Letters, is_letters)];
        for (kind, is_it) in kinds {
            if is_it {
                self.kinds.add(&(kind as u8, at), &());
            }
        }
        if let Some(actor) = actor {
            self.actors.add(&(actor, at), &());
        }
        let mut subjects = BTreeSet::new();
        for recorded in commit.events() {
            subjects.extend(recorded.metadata.subject.clone());
            subjects.extend(account_of(&recorded.event).map(|account| account.to_string()));
        }
        for subject in subjects {
            self.subjects.add(&(Subject(subject), at), &());
        }
        Ok(())
    }

    fn write(&mut self, tree: &Tree, batch: &mut Batch) -> Result<(), ViewError> {
        self.staff.write(tree, batch)?;
        self.kinds.write(tree, batch)?;
        self.actors.write(tree, batch)?;
        self.subjects.write(tree, batch)
    }
}

/// Tells whether an event changes who may sign for an account, or says that somebody tried to.
const fn is_about_access(event: &Event) -> bool {
    matches!(
        event,
        Event::DeviceRegistered(_)
            | Event::DeviceRenamed(_)
            | Event::DeviceRotated(_)
            | Event::DeviceRevoked(_)
            | Event::DeviceAttested(_)
            | Event::ProfileSet(_)
            | Event::EncryptionKeySet(_)
            | Event::AccountErased(_)
            | Event::AccountVerified(_)
            | Event::AccountSuspended(_)
            | Event::AccountReinstated(_)
            | Event::PasskeyEnrolled(_)
            | Event::PasskeyRemoved(_)
            | Event::TotpEnrolled(_)
            | Event::TotpRemoved(_)
            | Event::RecoveryEnrolled(_)
            | Event::RecoveryRemoved(_)
            | Event::CodeRefused(_)
            | Event::PasswordSet(_)
            | Event::PasswordRemoved(_)
            | Event::SignInFailed(_)
            | Event::SessionStarted(_)
            | Event::SessionEnded(_)
    )
}

/// Gives whose a device is that an event is about, since its subject is the device.
const fn account_of(event: &Event) -> Option<AccountId> {
    match event {
        Event::DeviceRegistered(e) => Some(e.account),
        Event::DeviceRenamed(e) => Some(e.account),
        Event::DeviceRotated(e) => Some(e.account),
        Event::DeviceRevoked(e) => Some(e.account),
        Event::DeviceAttested(e) => Some(e.account),
        _ => None,
    }
}
