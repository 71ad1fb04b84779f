//! The second factors of accounts: which each has, since when, and when one was shown last.

use std::collections::{BTreeMap, BTreeSet};

use events::account::PublicKey;
use events::ids::{AccountId, AuthenticatorId};
use events::metadata::{Cause, CommandStamp, CommitStart};
use events::step_up::{CredentialId, StepUp};
use events::{Event, Hash, Recorded, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The second factors of an account.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Factors {
    /// Its passkeys.
    pub passkeys: BTreeMap<CredentialId, Passkey>,
    /// Its app, if it has one.
    pub app: Option<(AuthenticatorId, Used)>,
    /// Commitments to the recovery codes that were not shown yet.
    pub recovery: BTreeSet<Hash>,
    /// When they were enrolled, and when one was shown last; none: it has none.
    pub recovery_used: Option<Used>,
    /// When a wrong code was shown last.
    pub wrong_at: Option<Timestamp>,
}

/// A passkey.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passkey {
    /// Its public key.
    pub key: PublicKey,
    /// Since when it is there, and when it was used.
    pub used: Used,
}

/// Since when something is there, and when it was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Used {
    /// Since when it is there.
    pub since: Timestamp,
    /// When it was shown last; null: never.
    pub last: Option<Timestamp>,
}

impl Factors {
    /// Names the account whose factors an event changes.
    pub(super) fn of(event: &Event) -> Option<AccountId> {
        match event {
            Event::PasskeyEnrolled(event) => Some(event.account),
            Event::PasskeyRemoved(event) => Some(event.account),
            Event::TotpEnrolled(event) => Some(event.account),
            Event::TotpRemoved(event) => Some(event.account),
            Event::RecoveryEnrolled(event) => Some(event.account),
            Event::RecoveryRemoved(event) => Some(event.account),
            Event::CodeRefused(event) => Some(event.account),
            Event::SessionStarted(event) if event.shown.is_some() => Some(event.account),
            _ => None,
        }
    }

    /// Gives the command beside which one was shown, if that caused a commit.
    pub(super) fn shown(start: &CommitStart) -> Option<&CommandStamp> {
        match &start.cause {
            Cause::Command(stamp) => Some(stamp.as_ref()).filter(|stamp| stamp.step_up.is_some()),
            Cause::Deadline(_) | Cause::Writer(_) => None,
        }
    }

    /// Notes what was shown beside a command.
    pub(super) fn use_up(&mut self, stamp: &CommandStamp, now: Timestamp) {
        if let Some(shown) = stamp.step_up.as_deref() {
            self.used(stamp.account, shown, now);
        }
    }

    /// Notes what was shown, of the account that has it.
    fn used(&mut self, account: AccountId, shown: &StepUp, now: Timestamp) {
        match shown {
            StepUp::Webauthn(assertion) => {
                if let Some(passkey) = self.passkeys.get_mut(&assertion.credential) {
                    passkey.used.last = Some(now);
                }
            }
            StepUp::Totp(shown) => match &mut self.app {
                Some((app, used)) if *app == shown.authenticator && shown.step.is_some() => {
                    used.last = Some(now)
                }
                _ => {}
            },
            StepUp::Recovery(shown) => {
                if self.recovery.remove(&shown.commitment(account))
                    && let Some(used) = &mut self.recovery_used
                {
                    used.last = Some(now);
                }
            }
        }
    }

    pub(super) fn apply(&mut self, recorded: &Recorded) {
        let now = recorded.metadata.time;
        let new = Used { since: now, last: None };
        match &recorded.event {
            Event::PasskeyEnrolled(event) => {
                self.passkeys.insert(event.credential.clone(), Passkey { key: event.key, used: new });
            }
            Event::PasskeyRemoved(event) => _ = self.passkeys.remove(&event.credential),
            Event::TotpEnrolled(event) => self.app = Some((event.authenticator, new)),
            Event::TotpRemoved(_) => self.app = None,
            Event::RecoveryEnrolled(event) => {
                (self.recovery, self.recovery_used) = (event.commitments.clone(), Some(new));
            }
            Event::RecoveryRemoved(_) => (self.recovery, self.recovery_used) = (BTreeSet::new(), None),
            Event::CodeRefused(_) => self.wrong_at = Some(now),
            Event::SessionStarted(event) => {
                if let Some(shown) = &event.shown {
                    self.used(event.account, shown, now);
                }
            }
            _ => {}
        }
    }
}
