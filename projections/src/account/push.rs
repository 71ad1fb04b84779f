//! An account's devices that are told what happens, and what it wants to be told of.

use std::collections::{BTreeMap, BTreeSet};

use events::ids::{AccountId, PushSubscriptionId};
use events::push::{Channel, QuietHours, Topic};
use events::{Event, Hash, Recorded, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How an account is told what happens.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Push {
    /// The devices that are told; at most 16.
    pub subscriptions: BTreeMap<PushSubscriptionId, Subscription>,
    /// What it wants.
    pub preferences: Preferences,
}

/// A device that is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    /// By which service it is reached.
    pub channel: Channel,
    /// The hash of how.
    pub target: Hash,
    /// Since when.
    pub since: Timestamp,
}

/// What somebody wants to be told of, and when not.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "PushPreferences")]
pub struct Preferences {
    /// Of what not.
    pub muted: BTreeSet<Topic>,
    /// When not; null: that is never.
    pub quiet: Option<QuietHours>,
}

impl Push {
    /// Tells whose devices an event is about.
    pub(super) fn of(event: &Event) -> Option<AccountId> {
        match event {
            Event::PushSubscribed(event) => Some(event.account),
            Event::PushUnsubscribed(event) => Some(event.account),
            Event::PushPreferencesSet(event) => Some(event.account),
            _ => None,
        }
    }

    pub(super) fn apply(&mut self, recorded: &Recorded) {
        match &recorded.event {
            Event::PushSubscribed(event) => {
                let since = recorded.metadata.time;
                let new = Subscription { channel: event.channel, target: event.target, since };
                self.subscriptions.insert(event.subscription, new);
            }
            Event::PushUnsubscribed(event) => drop(self.subscriptions.remove(&event.subscription)),
            Event::PushPreferencesSet(event) => {
                self.preferences = Preferences { muted: event.muted.clone(), quiet: event.quiet.clone() };
            }
            _ => {}
        }
    }
}
