//! The view of addresses that are told what happens.

#![allow(clippy::unwrap_used)] // what a test calls is a test too

mod support;

use events::account::Role;
use events::ids::WebhookId;
use events::privacy::Erased;
use events::webhook::{
    Disabled, DisabledBecause, LetterDropped, LetterReplaced, Reached, Registered, Removed, Replaced,
    SecretRotated, Updated,
};
use events::{Event, Hash};
use projections::Projections;
use projections::webhook::Webhook;
use support::{History, START, account, follow};
use uuid::Uuid;

const SELLER: u64 = 1;
const OTHER: u64 = 2;

fn webhook(n: u128) -> WebhookId {
    WebhookId::from_uuid(Uuid::from_u128(n))
}

fn registered(n: u128, owner: u64) -> Event {
    let (account, url) = (account(owner), "https://shop.example".parse().unwrap());
    let types = ["order.*".parse().unwrap()].into();
    Registered { account, secret: Hash::of(b"1"), types, url, webhook: webhook(n) }.into()
}

fn updated(n: u128, on: bool) -> Event {
    let (types, url) = (["*".parse().unwrap()].into(), "https://other.example".parse().unwrap());
    Updated { account: account(SELLER), on, types, url, webhook: webhook(n) }.into()
}

fn ids(rows: Vec<Webhook>) -> Vec<WebhookId> {
    rows.into_iter().map(|row| row.webhook).collect()
}

#[tokio::test]
async fn a_webhook_is_as_its_owner_and_those_who_send_said_last() {
    let dir = tempfile::tempdir().unwrap();
    let views = Projections::open(dir.path()).unwrap();
    let mut history = History::default();
    let (account, id) = (account(SELLER), webhook(1));
    history.commanded(account, "webhook.register", vec![registered(1, SELLER)]);
    follow(&views, history.after(0)).await;
    let first = views.webhooks().webhook(id).unwrap().unwrap();
    assert_eq!((first.on, first.reached, first.changed_at), (true, 1, 1));

    let replaced = Some(Replaced { secret: Hash::of(b"1"), until: START });
    let rotated =
        SecretRotated { account, dropped: [].into(), replaced, secret: Hash::of(b"2"), webhook: id };
    history
        .commanded(account, "webhook.rotate_secret", vec![rotated.into()])
        .commanded(account, "webhook.report", vec![Reached { account, position: 40, webhook: id }.into()])
        .commanded(
            account,
            "webhook.report",
            vec![Disabled { account, because: DisabledBecause::Gone, position: 50, webhook: id }.into()],
        );
    follow(&views, history.after(1)).await;
    let row = views.webhooks().webhook(id).unwrap().unwrap();
    assert_eq!((row.secret, row.replaced, row.changed_at), (Hash::of(b"2"), replaced, 2));
    assert_eq!((row.on, row.disabled, row.reached), (false, Some(DisabledBecause::Gone), 50));

    // Switched off by its owner it is still told why it had been; switched on it is not.
    history.commanded(account, "webhook.update", vec![updated(1, false)]);
    follow(&views, history.after(4)).await;
    let row = views.webhooks().webhook(id).unwrap().unwrap();
    assert_eq!((row.on, row.disabled), (false, Some(DisabledBecause::Gone)));
    history.commanded(account, "webhook.update", vec![updated(1, true)]);
    follow(&views, history.after(5)).await;
    let row = views.webhooks().webhook(id).unwrap().unwrap();
    assert_eq!((row.on, row.disabled, row.changed_at), (true, None, 6));
    assert_eq!(row.url.as_str(), "https://other.example");
}

#[tokio::test]
async fn webhooks_are_listed_until_they_or_their_owner_are_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let views = Projections::open(dir.path()).unwrap();
    let mut history = History::default();
    let known = events::account::Registered { account: account(OTHER), roles: [Role::Seller].into() };
    history.commanded(account(98), "account.register", vec![known.into()]);
    for (n, owner) in [(2, SELLER), (1, SELLER), (3, OTHER)] {
        history.commanded(account(owner), "webhook.register", vec![registered(n, owner)]);
    }
    follow(&views, history.after(0)).await;
    assert_eq!(ids(views.webhooks().of_account(account(SELLER)).unwrap()), [webhook(1), webhook(2)]);
    assert_eq!(ids(views.webhooks().all().unwrap()), [1, 2, 3].map(webhook));

    let removed = Removed { account: account(SELLER), secrets: [].into(), webhook: webhook(2) };
    history.commanded(account(SELLER), "webhook.remove", vec![removed.into()]);
    let erased = Erased { account: account(OTHER) };
    history.commanded(account(OTHER), "account.erase", vec![erased.into()]);
    follow(&views, history.after(4)).await;
    assert_eq!(ids(views.webhooks().all().unwrap()), [webhook(1)]);
    assert_eq!(ids(views.webhooks().of_account(account(OTHER)).unwrap()), []);
}

#[tokio::test]
async fn what_is_sent_in_place_of_an_event_is_what_was_said_last_until_the_webhook_is_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let views = Projections::open(dir.path()).unwrap();
    let mut history = History::default();
    let (owner, operator) = (account(SELLER), account(99));
    let replaced = |n, position, data: &str| -> Event {
        LetterReplaced { account: owner, data: data.to_owned(), position, webhook: webhook(n) }.into()
    };
    let dropped =
        |n, position| -> Event { LetterDropped { account: owner, position, webhook: webhook(n) }.into() };
    let known = events::account::Registered { account: owner, roles: [Role::Seller].into() };
    history.commanded(account(98), "account.register", vec![known.into()]);
    for n in [1, 2] {
        history.commanded(owner, "webhook.register", vec![registered(n, SELLER)]);
    }
    history
        .commanded(owner, "webhook.replace_letter", vec![replaced(1, 1, "{}")])
        .commanded(operator, "webhook.drop_letter", vec![dropped(1, 2)])
        .commanded(owner, "webhook.replace_letter", vec![replaced(1, 2, "[]")]);
    follow(&views, history.after(0)).await;
    let edit = |n, position| views.webhooks().edit(webhook(n), position).unwrap();
    let first = edit(1, 1).unwrap();
    assert_eq!((first.account, first.data.as_deref(), first.position), (owner, Some("{}"), 4));
    let second = edit(1, 2).unwrap();
    assert_eq!((second.account, second.data.as_deref(), second.position), (owner, Some("[]"), 6));
    assert_ne!(first.command, second.command);
    assert_eq!((edit(1, 3), edit(2, 1)), (None, None));
    // Of another webhook with that id later nothing is left, neither of what was just said.
    let removed = Removed { account: owner, secrets: [].into(), webhook: webhook(1) };
    history
        .commanded(operator, "webhook.drop_letter", vec![dropped(1, 3)])
        .commanded(owner, "webhook.replace_letter", vec![replaced(2, 7, "{}")])
        .commanded(owner, "webhook.remove", vec![removed.into()])
        .commanded(owner, "webhook.register", vec![registered(1, SELLER)]);
    follow(&views, history.after(6)).await;
    for position in 1..=3 {
        assert_eq!(edit(1, position), None);
    }
    assert!(edit(2, 7).is_some());
    history.commanded(owner, "account.erase", vec![Erased { account: owner }.into()]);
    follow(&views, history.after(10)).await;
    assert_eq!(edit(2, 7), None);
}
