//! How an account is told what happens, as the view of accounts has it.

#![allow(clippy::unwrap_used)] // what a test calls is a test too

mod support;

use events::Hash;
use events::account::{Registered, Role};
use events::ids::PushSubscriptionId;
use events::privacy::Erased;
use events::push::{Channel, PreferencesSet, Reached, Subscribed, Topic, Unsubscribed, UnsubscribedBecause};
use projections::Projections;
use support::{History, account, follow};
use uuid::Uuid;

const BUYER: u64 = 1;

fn subscription(n: u128) -> PushSubscriptionId {
    PushSubscriptionId::from_uuid(Uuid::from_u128(n))
}

#[tokio::test]
async fn an_account_is_told_as_it_said_last_and_erased_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let views = Projections::open(dir.path()).unwrap();
    let (mut history, account) = (History::default(), account(BUYER));
    let target = Hash::of(b"1");
    let subscribed =
        |n| Subscribed { account, channel: Channel::Web, subscription: subscription(n), target }.into();
    let registered = Registered { account, roles: [Role::Buyer].into() };
    history
        .commanded(account, "account.register", vec![registered.into()])
        .commanded(account, "push.subscribe", vec![subscribed(1)])
        .commanded(account, "push.subscribe", vec![subscribed(2)])
        .commanded(account, "push.report", vec![Reached { position: 3 }.into()]);
    follow(&views, history.after(0)).await;
    let push = views.accounts().push(account).unwrap().unwrap();
    assert_eq!(push.subscriptions.keys().copied().collect::<Vec<_>>(), [subscription(1), subscription(2)]);
    assert_eq!((push.subscriptions[&subscription(1)].target, push.preferences.muted.len()), (target, 0));
    assert_eq!(views.accounts().push_reached().unwrap(), 3);

    let because = UnsubscribedBecause::Gone;
    let gone = Unsubscribed { account, because, subscription: subscription(1), target };
    let set = PreferencesSet { account, muted: [Topic::Returns].into(), quiet: None };
    let before = history.head().position;
    history.commanded(account, "push.drop", vec![gone.into()]).commanded(
        account,
        "push.set_preferences",
        vec![set.into()],
    );
    follow(&views, history.after(before)).await;
    let push = views.accounts().push(account).unwrap().unwrap();
    assert_eq!(push.subscriptions.keys().copied().collect::<Vec<_>>(), [subscription(2)]);
    assert_eq!(push.preferences.muted, [Topic::Returns].into());

    let before = history.head().position;
    history.commanded(account, "account.erase", vec![Erased { account }.into()]);
    follow(&views, history.after(before)).await;
    assert_eq!(views.accounts().push(account).unwrap(), None);
}
