//! Devices that are told what happens, as far as the market decides about them.

use crate::support::*;
use commands::command::{
    DropPush, EraseAccount, ReportPush, SetPushPreferences, SubscribePush, UnsubscribePush,
};
use commands::push::SUBSCRIPTIONS_MAX;
use commands::{Command, Refusal};
use events::Hash;
use events::ids::PushSubscriptionId;
use events::push::{
    Channel, PreferencesSet, QuietHours, Reached, Subscribed, Topic, Unsubscribed, UnsubscribedBecause,
};
use events::rejection::PushRejection;
use uuid::Uuid;

fn subscription(n: u128) -> PushSubscriptionId {
    PushSubscriptionId::from_uuid(Uuid::from_u128(n))
}

fn target(n: u8) -> Hash {
    Hash::of(&[n])
}

fn subscribe(n: u128, to: u8) -> Command {
    SubscribePush { channel: Channel::Web, subscription: subscription(n), target: target(to) }.into()
}

fn subscribed(who: Actor, n: u128, to: u8) -> Subscribed {
    let account = who.account();
    Subscribed { account, channel: Channel::Web, subscription: subscription(n), target: target(to) }
}

fn unsubscribe(n: u128) -> Command {
    UnsubscribePush { subscription: subscription(n) }.into()
}

fn unsubscribed(who: Actor, n: u128, to: u8, because: UnsubscribedBecause) -> Unsubscribed {
    Unsubscribed { account: who.account(), because, subscription: subscription(n), target: target(to) }
}

fn drop_of(who: Actor, n: u128) -> Command {
    DropPush { account: who.account(), subscription: subscription(n) }.into()
}

#[test]
fn a_device_is_told_until_its_owner_or_the_service_says_otherwise() {
    let mut world = World::new();
    world
        .when(BUYER, subscribe(1, 1))
        .then_events([subscribed(BUYER, 1, 1).into()])
        .when(BUYER, subscribe(1, 1))
        .then_unchanged()
        .when(BUYER, subscribe(1, 2))
        .then_rejected([PushRejection::PushSubscriptionTaken { subscription: subscription(1) }.into()])
        // Others' ids are no business of his, and theirs none of his.
        .when(SELLER, subscribe(1, 3))
        .then_events([subscribed(SELLER, 1, 3).into()])
        .when(OTHER_SELLER, unsubscribe(1))
        .then_rejected([PushRejection::PushSubscriptionUnknown { subscription: subscription(1) }.into()])
        .when(BUYER, unsubscribe(1))
        .then_events([unsubscribed(BUYER, 1, 1, UnsubscribedBecause::Owner).into()])
        .when(REGISTRAR, drop_of(SELLER, 1))
        .then_events([unsubscribed(SELLER, 1, 3, UnsubscribedBecause::Gone).into()])
        .when(REGISTRAR, drop_of(SELLER, 1))
        .then_unchanged();
    assert!(world.market.push.subscriptions.is_empty());
}

#[test]
fn an_account_has_so_many_devices_and_erased_none() {
    let mut world = World::new();
    for n in 0..SUBSCRIPTIONS_MAX as u128 {
        world.given(BUYER, subscribe(n, 1));
    }
    world
        .when(BUYER, subscribe(99, 1))
        .then_rejected([PushRejection::TooManyPushSubscriptions { max: SUBSCRIPTIONS_MAX }.into()])
        .given(BUYER, unsubscribe(3))
        .given(BUYER, subscribe(99, 1))
        .given(OPERATOR, EraseAccount { account: Some(BUYER.account()) }.into());
    assert!(world.market.push.subscriptions.is_empty());
}

#[test]
fn who_wants_what_stands_in_the_log() {
    let quiet = QuietHours {
        from: "22:00".parse().unwrap(),
        to: "07:00".parse().unwrap(),
        utc_offset: "+02:00".parse().unwrap(),
    };
    let muted = [Topic::Payouts].into();
    let set = SetPushPreferences { muted, quiet: Some(quiet.clone()) };
    let account = SELLER.account();
    let mut world = World::new();
    world
        .when(SELLER, set)
        .then_events([PreferencesSet { account, muted: [Topic::Payouts].into(), quiet: Some(quiet) }.into()])
        .when(SELLER, SetPushPreferences { muted: [].into(), quiet: None })
        .then_events([PreferencesSet { account, muted: [].into(), quiet: None }.into()]);
}

#[test]
fn who_sends_says_how_far_he_is_and_nobody_else_does() {
    let mut world = World::new();
    world
        .when(REGISTRAR, ReportPush { position: 7 })
        .then_events([Reached { position: 7 }.into()])
        .when(REGISTRAR, ReportPush { position: 6 })
        .then_unchanged()
        .when(OPERATOR, ReportPush { position: 9 })
        .then_refused(Refusal::ScopeDenied {
            rule: "the account has no role that may give this command".into(),
        });
}
