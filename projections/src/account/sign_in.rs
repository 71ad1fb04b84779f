//! How accounts are signed in to: whether there is a password, until when nobody can use it, and which sessions there are.

use std::collections::BTreeMap;

use events::ids::{AccountId, PasswordId, SessionId};
use events::step_up::{FactorKind, StepUp};
use events::{Event, Recorded, Timestamp};
use serde::{Deserialize, Serialize};

/// How an account is signed in to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SignIn {
    /// Its password, if it has one.
    pub password: Option<PasswordId>,
    /// Until when nobody can sign in with it, if that was said.
    pub locked_until: Option<Timestamp>,
    /// Its sessions. Those that are over go when one begins.
    pub sessions: BTreeMap<SessionId, Session>,
}

/// A session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Since when.
    pub since: Timestamp,
    /// When it ends at the latest.
    pub until: Timestamp,
    /// Whether it was begun with the password.
    pub with_password: bool,
    /// Which second factor was shown.
    pub factor: Option<FactorKind>,
}

impl SignIn {
    /// Tells whether a session goes on.
    pub fn is_live(&self, session: SessionId, now: Timestamp) -> bool {
        self.sessions.get(&session).is_some_and(|session| now < session.until)
    }

    /// Names the account that an event is about, if it is about signing in.
    pub(super) fn of(event: &Event) -> Option<AccountId> {
        match event {
            Event::PasswordSet(event) => Some(event.account),
            Event::PasswordRemoved(event) => Some(event.account),
            Event::PasskeyRemoved(event) => Some(event.account),
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
            Event::PasskeyRemoved(_) => self.sessions.clear(),
            Event::SignInFailed(event) => self.locked_until = event.locked_until,
            Event::SessionStarted(event) => {
                let with_password = event.password.is_some();
                if with_password {
                    self.locked_until = None;
                }
                let factor = event.shown.as_ref().map(|shown| match shown {
                    StepUp::Webauthn(_) => FactorKind::Webauthn,
                    StepUp::Totp(_) => FactorKind::Totp,
                    StepUp::Recovery(_) => FactorKind::Recovery,
                });
                self.sessions.retain(|_, session| now < session.until);
                let session = Session { since: now, until: event.until, with_password, factor };
                self.sessions.insert(event.session, session);
            }
            Event::SessionEnded(event) => _ = self.sessions.remove(&event.session),
            _ => {}
        }
    }
}
