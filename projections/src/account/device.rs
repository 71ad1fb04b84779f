//! Devices of accounts: what each may do, its keys, and what happened to it.

use events::account::{Algorithm, DeviceRegistered};
use events::device::{AttestationVerdict, Attested, KeyScope, Renamed, RevokeReason, Revoked, Rotated};
use events::ids::{AccountId, DeviceId, KeyId};
use events::metadata::{Cause, CommitStart};
use events::{Event, Hash, Position, Recorded, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Most entries of a device's history that are kept: its registration and the newest.
pub const HISTORY_MAX: usize = 64;

/// A device of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Device {
    /// The device.
    pub device: DeviceId,
    /// Whose it is.
    pub account: AccountId,
    /// What it is called.
    pub name: Option<String>,
    /// Whether it may sign.
    pub state: DeviceState,
    /// Its key, or its last one.
    pub key: KeyId,
    /// How that key signs.
    pub algorithm: Algorithm,
    /// What that key may do of what the account may; null: all.
    pub scope: Option<KeyScope>,
    /// What happened to it, oldest first: its registration and the newest 63 entries.
    pub history: Vec<DeviceEntry>,
}

/// Whether a device may sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeviceState {
    /// It may.
    Active,
    /// It was revoked.
    Revoked,
}

/// Something that happened to a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeviceEntry {
    /// When.
    pub time: Timestamp,
    /// Where it stands in the log.
    pub position: Position,
    /// Who signed it; null for the market's own registrar.
    pub by: Option<AccountId>,
    /// With which device.
    pub by_device: Option<DeviceId>,
    /// What.
    pub step: DeviceStep,
}

/// What happened to a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeviceStep {
    /// It was registered, or enrolled by another.
    Registered {
        /// With which key.
        key: KeyId,
    },
    /// It was given a name.
    Renamed {
        /// Which.
        name: String,
    },
    /// It took another key.
    Rotated {
        /// Which.
        key: KeyId,
    },
    /// It was revoked.
    Revoked {
        /// Why.
        reason: RevokeReason,
    },
    /// Somebody recorded where its key is kept.
    Attested {
        /// SHA-256 of the statement.
        evidence: Hash,
        /// Of what form the statement is.
        format: String,
        /// The key it is about.
        key: KeyId,
        /// What came of checking it.
        verdict: AttestationVerdict,
    },
}

impl Device {
    /// Gives a device that a key was registered for.
    pub(super) fn registered(event: &DeviceRegistered, recorded: &Recorded, start: &CommitStart) -> Device {
        let key = event.key.id();
        let first = entry(recorded, start, DeviceStep::Registered { key });
        Device {
            device: event.device,
            account: event.account,
            name: event.name.clone(),
            state: DeviceState::Active,
            key,
            algorithm: event.key.algorithm(),
            scope: event.scope.clone(),
            history: vec![first],
        }
    }

    /// Names the device that an event is about, if it is known before that event.
    pub(super) fn of(event: &Event) -> Option<DeviceId> {
        match event {
            Event::DeviceRenamed(Renamed { device, .. })
            | Event::DeviceRotated(Rotated { device, .. })
            | Event::DeviceRevoked(Revoked { device, .. })
            | Event::DeviceAttested(Attested { device, .. }) => Some(*device),
            _ => None,
        }
    }

    pub(super) fn apply(&mut self, recorded: &Recorded, start: &CommitStart) {
        let step = match &recorded.event {
            Event::DeviceRenamed(event) => {
                self.name = Some(event.name.clone());
                DeviceStep::Renamed { name: event.name.clone() }
            }
            Event::DeviceRotated(event) => {
                (self.key, self.algorithm) = (event.key.id(), event.key.algorithm());
                DeviceStep::Rotated { key: self.key }
            }
            Event::DeviceRevoked(event) => {
                self.state = DeviceState::Revoked;
                DeviceStep::Revoked { reason: event.reason }
            }
            Event::DeviceAttested(event) => DeviceStep::Attested {
                evidence: event.evidence,
                format: event.format.clone(),
                key: event.key,
                verdict: event.verdict,
            },
            _ => return,
        };
        if self.history.len() >= HISTORY_MAX {
            self.history.remove(1);
        }
        self.history.push(entry(recorded, start, step));
    }
}

fn entry(recorded: &Recorded, start: &CommitStart, step: DeviceStep) -> DeviceEntry {
    let stamp = match &start.cause {
        Cause::Command(stamp) => Some(stamp),
        Cause::Deadline(_) | Cause::Writer(_) => None,
    };
    DeviceEntry {
        time: recorded.metadata.time,
        position: recorded.position,
        by: stamp.map(|stamp| stamp.account),
        by_device: stamp.map(|stamp| stamp.device),
        step,
    }
}
