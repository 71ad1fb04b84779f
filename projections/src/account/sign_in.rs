//! How accounts are signed in to: whether there is a password, until when nobody can, and which sessions there are.

use std::collections::BTreeMap;

use events::ids::{AccountId, PasswordId, SessionId};
use events::{Event, Recorded, Timestamp};
use serde::{Deserialize, Serialize};

/// How an account is signed in to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SignIn {
    /// Its password, if it has one.
    pub password: Option<PasswordId>,
    /// Until when nobody can sign in, if that was said.
    pub locked_until: Option<Timestamp>,
    /// Its sessions: since when, and when each ends at the latest. Those that are over go when one begins.
    pub sessions: BTreeMap<SessionId, (Timestamp, Timestamp)>,
}

impl SignIn {
    /// Tells whether a session goes on.
    pub fn is_live(&self, session: SessionId, now: Timestamp) -> bool {
        self.sessions.get(&session).is_some_and(|(_, until)| now < *until)
    }

    /// Names the account that an event is about, if it is about signing in.
    pub(super) fn of(event: &Event) -> Option<AccountId> {
        match event {
            Event::PasswordSet(event) => Some(event.account),
            Event::PasswordRemoved(event) => Some(event.account),
            Event::SignInFailed(event) => Some(event.account),
            Event::SessionStarted(event) => Some(event.account),
            Event::SessionEnded(event) => Some(event.account),
            _ => None,
        }
    }

    pub(super) fn apply(&mut self, recorded: &Recorded) {
        let now = recorded.metadata.time;
        match &recorded.event {
            Event::PasswordSet(event) => {
                *self = SignIn { password: Some(event.password), ..SignIn::default() };
            }
            Event::PasswordRemoved(_) => *self = SignIn::default(),
            Event::SignInFailed(event) => self.locked_until = event.locked_until,
            Event::SessionStarted(event) => {
                self.locked_until = None;
                self.sessions.retain(|_, (_, until)| now < *until);
                self.sessions.insert(event.session, (now, event.until));
            }
            Event::SessionEnded(event) => _ = self.sessions.remove(&event.session),
            _ => {}
        }
    }
}
