//! Notifications, as far as the market knows them: whose devices are told. Who makes and sends them is no part of it; that tells now and
//! then how far it is, and which devices are gone.

use std::collections::BTreeMap;

use events::ids::{AccountId, PushSubscriptionId};
use events::push::{PreferencesSet, Reached, Subscribed, Unsubscribed, UnsubscribedBecause};
use events::rejection::PushRejection;
use events::{Event, Hash, Position, Rejection};
use serde::{Deserialize, Serialize};

use crate::command::{DropPush, ReportPush, SetPushPreferences, SubscribePush, UnsubscribePush};
use crate::market::Market;

/// Most devices of one account.
pub const SUBSCRIPTIONS_MAX: usize = 16;

/// The devices that are told.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Push {
    /// By account, each with the hash of how it is reached.
    pub subscriptions: BTreeMap<AccountId, BTreeMap<PushSubscriptionId, Hash>>,
    /// Up to where notifications were made, as was noted last.
    pub reached: Position,
}

impl Push {
    pub(crate) fn subscribed(&mut self, event: &Subscribed) {
        let own = self.subscriptions.entry(event.account).or_default();
        own.insert(event.subscription, event.target);
    }

    pub(crate) fn unsubscribed(&mut self, event: &Unsubscribed) {
        let own = self.subscriptions.entry(event.account).or_default();
        own.remove(&event.subscription).expect("only a subscription that there is ends");
        if own.is_empty() {
            self.subscriptions.remove(&event.account);
        }
    }

    pub(crate) fn reached(&mut self, event: &Reached) {
        self.reached = event.position;
    }

    /// Ends the subscriptions of an account that is erased; so is how they were reached.
    pub(crate) fn erased(&mut self, account: AccountId) {
        self.subscriptions.remove(&account);
    }

    fn target(&self, account: AccountId, subscription: PushSubscriptionId) -> Option<Hash> {
        self.subscriptions.get(&account)?.get(&subscription).copied()
    }
}

fn refused(rejection: PushRejection) -> Result<Vec<Event>, Vec<Rejection>> {
    Err(vec![rejection.into()])
}

pub(crate) fn decide_subscribe(
    market: &Market,
    account: AccountId,
    command: &SubscribePush,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let SubscribePush { channel, subscription, target } = *command;
    match market.push.target(account, subscription) {
        Some(known) if known == target => return Ok(vec![]),
        Some(_) => return refused(PushRejection::PushSubscriptionTaken { subscription }),
        None => {}
    }
    let own = market.push.subscriptions.get(&account).map_or(0, BTreeMap::len);
    if own >= SUBSCRIPTIONS_MAX {
        return refused(PushRejection::TooManyPushSubscriptions { max: SUBSCRIPTIONS_MAX });
    }
    Ok(vec![Subscribed { account, channel, subscription, target }.into()])
}

pub(crate) fn decide_unsubscribe(
    market: &Market,
    account: AccountId,
    command: &UnsubscribePush,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let subscription = command.subscription;
    let Some(target) = market.push.target(account, subscription) else {
        return refused(PushRejection::PushSubscriptionUnknown { subscription });
    };
    let because = UnsubscribedBecause::Owner;
    Ok(vec![Unsubscribed { account, because, subscription, target }.into()])
}

pub(crate) fn decide_preferences(account: AccountId, command: &SetPushPreferences) -> Vec<Event> {
    let SetPushPreferences { muted, quiet } = command.clone();
    vec![PreferencesSet { account, muted, quiet }.into()]
}

pub(crate) fn decide_report(market: &Market, command: &ReportPush) -> Vec<Event> {
    // What a process tells late that was replaced changes nothing.
    if command.position <= market.push.reached {
        return vec![];
    }
    vec![Reached { position: command.position }.into()]
}

pub(crate) fn decide_drop(market: &Market, command: &DropPush) -> Vec<Event> {
    let DropPush { account, subscription } = *command;
    // Its owner may have ended it meanwhile.
    let Some(target) = market.push.target(account, subscription) else { return vec![] };
    let because = UnsubscribedBecause::Gone;
    vec![Unsubscribed { account, because, subscription, target }.into()]
}
