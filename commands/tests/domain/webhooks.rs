//! Addresses that are told what happens, as far as the market decides about them.

use std::collections::BTreeSet;

use crate::support::*;
use commands::command::{
    DropLetter, Filters, KeepTime, LETTER_BYTES_MAX, LetterData, RegisterWebhook, RemoveWebhook,
    ReplaceLetter, ReportWebhook, RotateWebhookSecret, UpdateWebhook,
};
use commands::webhook::{PER_ACCOUNT_MAX, PER_MARKET_MAX};
use commands::{Command, Market, Refusal};
use events::ids::WebhookId;
use events::rejection::WebhookRejection;
use events::webhook::{
    Disabled, DisabledBecause, EventFilter, LetterDropped, LetterReplaced, Reached, Registered, Removed,
    Replaced, SecretRotated, Updated,
};
use events::{Event, Hash, Position};
use uuid::Uuid;

const URL: &str = "https://shop.example/hook";

fn webhook(n: u128) -> WebhookId {
    WebhookId::from_uuid(Uuid::from_u128(n))
}

fn filters(types: &[&str]) -> Filters {
    let types: BTreeSet<EventFilter> = types.iter().map(|one| one.parse().unwrap()).collect();
    types.try_into().unwrap()
}

fn secret(n: u8) -> Hash {
    Hash::of(&[n])
}

fn register(n: u128) -> Command {
    RegisterWebhook {
        secret: secret(1),
        types: filters(&["order.*"]),
        url: URL.parse().unwrap(),
        webhook: webhook(n),
    }
    .into()
}

fn update(n: u128, on: Option<bool>, types: Option<&[&str]>) -> Command {
    UpdateWebhook { on, types: types.map(filters), url: None, webhook: webhook(n) }.into()
}

fn rotate(n: u128, to: u8, keep_ms: i64) -> Command {
    let keep_ms: KeepTime = keep_ms.try_into().unwrap();
    RotateWebhookSecret { keep_ms, secret: secret(to), webhook: webhook(n) }.into()
}

fn remove(n: u128) -> Command {
    RemoveWebhook { webhook: webhook(n) }.into()
}

fn reports(n: u128, position: Position, disabled: Option<DisabledBecause>) -> Command {
    ReportWebhook { disabled, position, webhook: webhook(n) }.into()
}

fn unknown(n: u128) -> events::Rejection {
    WebhookRejection::WebhookUnknown { webhook: webhook(n) }.into()
}

fn no_role() -> Refusal {
    Refusal::ScopeDenied { rule: "the account has no role that may give this command".into() }
}

fn then_folds_the_same(world: &World) {
    let mut market = Market::new();
    for commit in &world.log {
        market.evolve_commit(commit);
        let bytes = bincode::serde::encode_to_vec(&market.webhooks, bincode::config::standard()).unwrap();
        market.webhooks = bincode::serde::decode_from_slice(&bytes, bincode::config::standard()).unwrap().0;
    }
    assert!(market == world.market, "folding the log gives another state");
}

#[test]
fn sellers_and_operators_have_addresses_told_and_change_what_of() {
    let mut world = World::new();
    let account = SELLER.account();
    let registered = Registered {
        account,
        secret: secret(1),
        types: filters(&["order.*"]).get().clone(),
        url: URL.parse().unwrap(),
        webhook: webhook(1),
    };
    world.when(SELLER, register(1)).then_events([registered.into()]);
    let taken: events::Rejection = WebhookRejection::WebhookTaken { webhook: webhook(1) }.into();
    world.when(OPERATOR, register(1)).then_rejected([taken]);
    world.given(OPERATOR, register(2));
    world.when(BUYER, register(3)).then_refused(no_role());
    let updated = Updated {
        account,
        on: true,
        types: filters(&["cart.*", "order.placed"]).get().clone(),
        url: URL.parse().unwrap(),
        webhook: webhook(1),
    };
    world.when(SELLER, update(1, None, Some(&["cart.*", "order.placed"]))).then_events([updated.into()]);
    world.when(SELLER, update(1, Some(true), None)).then_types(["command.unchanged.v1"]);
    // Nobody else's: it is not even told that it is there.
    for command in [update(1, Some(false), None), rotate(1, 2, 0), remove(1)] {
        world.when(OPERATOR, command).then_rejected([unknown(1)]);
    }
    let secrets = [secret(1)].into();
    world.when(SELLER, remove(1)).then_events([Removed { account, secrets, webhook: webhook(1) }.into()]);
    world.when(SELLER, remove(1)).then_rejected([unknown(1)]);
    then_folds_the_same(&world);
}

#[test]
fn the_secret_before_is_kept_for_a_while_and_only_one() {
    let mut world = World::new();
    let (account, id) = (SELLER.account(), webhook(1));
    world.given(SELLER, register(1));
    let until = world.now.plus_ms(DAY_MS);
    let rotated = |to: u8, before: Option<u8>, dropped: &[u8]| -> Event {
        let replaced = before.map(|before| Replaced { secret: secret(before), until });
        let dropped = dropped.iter().map(|one| secret(*one)).collect();
        SecretRotated { account, dropped, replaced, secret: secret(to), webhook: id }.into()
    };
    world.when(SELLER, rotate(1, 2, DAY_MS)).then_events([rotated(2, Some(1), &[])]);
    world.when(SELLER, rotate(1, 2, DAY_MS)).then_types(["command.unchanged.v1"]);
    world.when(SELLER, rotate(1, 3, DAY_MS)).then_events([rotated(3, Some(2), &[1])]);
    // Back to the one before: it is not dropped.
    world.when(SELLER, rotate(1, 2, DAY_MS)).then_events([rotated(2, Some(3), &[])]);
    // One that somebody has stolen goes at once, and so does the one before it.
    world.when(SELLER, rotate(1, 4, 0)).then_events([rotated(4, None, &[2, 3])]);
    let removed = Removed { account, secrets: [secret(4)].into(), webhook: id };
    world.when(SELLER, remove(1)).then_events([removed.into()]);
    then_folds_the_same(&world);
}

#[test]
fn how_far_an_address_was_told_never_goes_back_and_is_only_the_markets_to_say() {
    let mut world = World::new();
    let (account, id) = (SELLER.account(), webhook(1));
    world.given(SELLER, register(1));
    let registered_at = world.market.position;
    assert_eq!(world.market.webhooks[&id].reached, registered_at);
    world.when(SELLER, reports(1, 99, None)).then_refused(no_role());
    world.when(REGISTRAR, reports(1, registered_at, None)).then_types(["command.unchanged.v1"]);
    let reached = Reached { account, position: 99, webhook: id };
    world.when(REGISTRAR, reports(1, 99, None)).then_events([reached.into()]);
    world.when(REGISTRAR, reports(1, 98, None)).then_types(["command.unchanged.v1"]);
    // One that takes nothing is switched off, once, until its owner switches it on.
    let because = DisabledBecause::Failing;
    let disabled = Disabled { account, because, position: 99, webhook: id };
    world.when(REGISTRAR, reports(1, 97, Some(because))).then_events([disabled.into()]);
    world.when(REGISTRAR, reports(1, 97, Some(because))).then_types(["command.unchanged.v1"]);
    world.when(REGISTRAR, reports(1, 120, None)).then_types(["webhook.reached.v1"]);
    world.when(SELLER, update(1, Some(true), None)).then_types(["webhook.updated.v1"]);
    assert!(world.market.webhooks[&id].on);
    world.when(REGISTRAR, reports(9, 1, None)).then_rejected([unknown(9)]);
    then_folds_the_same(&world);
}

#[test]
fn there_are_only_so_many() {
    let mut world = World::new();
    let too_many = |max| -> events::Rejection { WebhookRejection::TooManyWebhooks { max }.into() };
    let mut next = 0;
    let mut register_next = |world: &mut World, actor: Actor| {
        next += 1;
        world.when(actor, register(next));
    };
    for _ in 0..PER_ACCOUNT_MAX {
        register_next(&mut world, SELLER);
        world.then_types(["webhook.registered.v1"]);
    }
    register_next(&mut world, SELLER);
    world.then_rejected([too_many(PER_ACCOUNT_MAX)]);
    // Others fill the market; operators have theirs all the same.
    let mut market = world.market.clone();
    let one = market.webhooks[&webhook(1)].clone();
    for n in 0..PER_MARKET_MAX as u128 {
        let account = events::ids::AccountId::from_uuid(Uuid::from_u128(1_000 + n));
        market.webhooks.insert(webhook(1_000_000 + n), commands::webhook::Webhook { account, ..one.clone() });
    }
    let decided = |world: &mut World, actor: Actor| {
        let verified = world.sign(actor, register(900));
        commands::decide(&market, &verified, &world.facts, world.now)
    };
    let commands::Decision::Commit(events) = decided(&mut world, OTHER_SELLER) else { panic!() };
    let [Event::CommandRejected(rejected)] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!(rejected.reasons, [too_many(PER_MARKET_MAX)]);
    let commands::Decision::Commit(events) = decided(&mut world, OPERATOR) else { panic!() };
    assert_eq!(events[0].type_name(), "webhook.registered.v1");
}

#[test]
fn an_account_that_is_erased_is_told_of_nothing() {
    let mut world = World::new();
    world.given(SELLER, register(1)).given(OPERATOR, register(2));
    world.given(SELLER, commands::command::EraseAccount { account: None }.into());
    assert_eq!(world.market.webhooks.keys().copied().collect::<Vec<_>>(), [webhook(2)]);
    then_folds_the_same(&world);
}

#[test]
fn its_owner_or_an_operator_says_what_is_sent_in_place_of_an_event() {
    let mut world = World::new();
    world.given(SELLER, register(1));
    let (account, id, position) = (SELLER.account(), webhook(1), 2);
    let data = |text: &str| LetterData::try_from(text.to_owned());
    let replace = |n, position| -> Command {
        let data = data(r#"{"total": 7}"#).unwrap();
        ReplaceLetter { data, position, webhook: webhook(n) }.into()
    };
    let drop_one = |n, position| -> Command { DropLetter { position, webhook: webhook(n) }.into() };
    let replaced = LetterReplaced { account, data: r#"{"total": 7}"#.to_owned(), position, webhook: id };
    for who in [SELLER, OPERATOR] {
        world.when(who, replace(1, position)).then_events([replaced.clone().into()]);
    }
    let dropped = LetterDropped { account, position, webhook: id };
    world.when(OPERATOR, drop_one(1, position)).then_events([dropped.into()]);
    world.when(BUYER, drop_one(1, position)).then_refused(no_role());
    // Nobody else's, none that is, and no event that is.
    world.when(OTHER_SELLER, replace(1, position)).then_rejected([unknown(1)]);
    world.when(OTHER_SELLER, drop_one(1, position)).then_rejected([unknown(1)]);
    world.when(OPERATOR, drop_one(9, position)).then_rejected([unknown(9)]);
    for position in [0, Position::MAX] {
        let none: events::Rejection = WebhookRejection::LetterUnknown { position }.into();
        world.when(SELLER, drop_one(1, position)).then_rejected([none.clone()]);
        world.when(SELLER, replace(1, position)).then_rejected([none]);
    }
    then_folds_the_same(&world);
}

#[test]
fn what_is_sent_in_place_of_an_event_is_a_small_plain_object_without_cards() {
    let data = |text: &str| LetterData::try_from(text.to_owned());
    let long = format!(r#"{{"a":"{}"}}"#, "a".repeat(LETTER_BYTES_MAX));
    for bad in [
        "",
        "7",
        "[]",
        "null",
        "{",
        r#"{"a":1,"a":2}"#,
        r#"{"a":1.5}"#,
        " {}",
        "{} ",
        long.as_str(),
        r#"{"note":"4242 4242 4242 4242"}"#,
        r#"{"a":[{"4242424242424242":1}]}"#,
        r#"{"a":[4242424242424242]}"#,
    ] {
        assert!(data(bad).is_err(), "{bad}");
    }
    for good in ["{}", r#"{"time": 1753783200000, "lines": [{"quantity": 1}], "note": "é"}"#] {
        assert_eq!(data(good).unwrap().as_str(), good);
    }
}
