//! The life of a device and its key: enrolled by another, named, given a new key, revoked; and what a scope leaves of it.

use std::collections::BTreeMap;

use crate::support::*;
use commands::command::{
    AttestDevice, EnrollDevice, MigrateCart, RegisterDevice, RenameDevice, ReportLost, RevokeDevice,
    RotateDevice, VerifiedQuote,
};
use commands::device::{DEVICES_PER_ACCOUNT_MAX, KEYS_PER_ACCOUNT_MAX};
use commands::{Command, Refusal, Verified};
use events::account::DeviceRegistered;
use events::device::{AttestationVerdict, Attested, KeyScope, Renamed, RevokeReason, Revoked, Rotated};
use events::ids::AccountId;
use events::rejection::DeviceRejection;
use events::{Hash, Money, Rejection};

/// A second device of the buyer, with the key of that number.
const PHONE: Actor = Actor(120);
const TABLET: Actor = Actor(121);
/// A key that a device takes later.
const LATER: Actor = Actor(122);

/// Signs as a device of somebody else's account: `device` gives device and key, `who` the account.
fn with(world: &mut World, who: Actor, device: Actor, key: Actor, command: impl Into<Command>) -> Verified {
    let mut verified = world.sign(who, command);
    (verified.stamp.device, verified.stamp.key) = (device.device(), key.key().id());
    verified
}

trait OnDevice {
    /// Decides what the buyer gives with another of his devices.
    fn when_on(&mut self, device: Actor, command: impl Into<Command>) -> &mut Self;
}

impl OnDevice for World {
    fn when_on(&mut self, device: Actor, command: impl Into<Command>) -> &mut Self {
        let verified = with(self, BUYER, device, device, command);
        self.when_signed(verified)
    }
}

fn enroll(device: Actor, scope: Option<KeyScope>) -> Command {
    let proof = "checked before".to_owned();
    EnrollDevice { device: device.device(), key: device.key(), name: None, proof, scope }.into()
}

fn rotate(key: Actor) -> Command {
    RotateDevice { key: key.key(), proof: "checked before".to_owned() }.into()
}

fn revoke(account: Option<Actor>, device: Actor) -> Command {
    let account = account.map(Actor::account);
    RevokeDevice { account, device: device.device(), reason: RevokeReason::Retired }.into()
}

fn lost(device: Actor) -> Command {
    ReportLost { device: device.device() }.into()
}

fn rename(device: Actor, name: &str) -> Command {
    RenameDevice { device: device.device(), name: text(name) }.into()
}

fn scope(commands: &[&str], limits: &[(&str, i64)]) -> KeyScope {
    KeyScope {
        commands: commands.iter().map(|name| name.parse().unwrap()).collect(),
        max_minor: limits.iter().map(|(code, minor)| (code.parse().unwrap(), *minor)).collect(),
    }
}

fn unknown(account: AccountId, device: Actor) -> Rejection {
    DeviceRejection::DeviceUnknown { account, device: device.device() }.into()
}

fn revoked(device: Actor) -> Rejection {
    DeviceRejection::DeviceRevoked { device: device.device() }.into()
}

/// A market in which the buyer has a phone beside his first device.
fn with_phone() -> World {
    let mut world = World::new();
    world.given(BUYER, enroll(PHONE, None));
    world
}

#[test]
fn a_device_enrolls_another_of_its_account_which_then_signs() {
    let mut world = World::new();
    world.when_on(PHONE, clear()).then_refused(Refusal::KidUnknown);
    world
        .when(BUYER, enroll(PHONE, None))
        .then_events([DeviceRegistered::new(BUYER.account(), PHONE.device(), PHONE.key()).into()])
        .when_again()
        .then_repeat();
    world.when_on(PHONE, clear()).then_unchanged().when(BUYER, enroll(PHONE, None)).then_unchanged();
}

#[test]
fn a_device_is_enrolled_only_as_a_new_one_with_a_new_key() {
    let exists = |device: Actor| Rejection::DeviceExists { device: device.device() };
    let of = |device: Actor, key: Actor| EnrollDevice {
        device: device.device(),
        key: key.key(),
        name: None,
        proof: String::new(),
        scope: None,
    };
    for (command, reason) in [
        (of(SELLER, LATER), exists(SELLER)),
        (of(BUYER, LATER), exists(BUYER)),
        (of(PHONE, LATER), exists(PHONE)),
        (of(TABLET, SELLER), Rejection::KeyInUse),
        (of(TABLET, BUYER), Rejection::KeyInUse),
    ] {
        with_phone().when(BUYER, command).then_rejected([reason]);
    }
}

#[test]
fn revoked_devices_make_room_but_their_keys_are_never_used_again() {
    let mut world = World::new();
    for n in 1..DEVICES_PER_ACCOUNT_MAX as u32 {
        world.given(BUYER, enroll(Actor(300 + n), None));
    }
    let too_many = Rejection::TooManyDevices { max: DEVICES_PER_ACCOUNT_MAX as u32 };
    world
        .when(BUYER, enroll(PHONE, None))
        .then_rejected([too_many])
        .given(BUYER, revoke(None, Actor(301)))
        .given(BUYER, enroll(PHONE, None))
        .when(BUYER, enroll(Actor(301), None))
        .then_rejected([revoked(Actor(301))])
        .when(REGISTRAR, RegisterDevice::new(SELLER.account(), TABLET.device(), Actor(301).key()))
        .then_rejected([Rejection::KeyInUse]);
}

#[test]
fn an_account_has_had_so_many_keys_and_no_more() {
    let mut world = World::new();
    let (mut now, key) = (BUYER, |n: u32| Actor(1_000 + n));
    for n in 1..KEYS_PER_ACCOUNT_MAX {
        let verified = with(&mut world, BUYER, BUYER, now, rotate(key(n)));
        now = key(n);
        world.when_signed(verified).then_types(["device.rotated.v1"]);
    }
    let too_many = || Rejection::from(DeviceRejection::TooManyKeys { max: KEYS_PER_ACCOUNT_MAX });
    let verified = with(&mut world, BUYER, BUYER, now, rotate(LATER));
    world.when_signed(verified).then_rejected([too_many()]);
    let verified = with(&mut world, BUYER, BUYER, now, enroll(PHONE, None));
    world.when_signed(verified).then_rejected([too_many()]);
    world.when(REGISTRAR, RegisterDevice::new(BUYER.account(), PHONE.device(), PHONE.key()));
    world.then_rejected([too_many()]);
}

#[test]
fn a_device_is_named_by_any_of_its_account() {
    let named =
        |name: &str| Renamed { account: BUYER.account(), device: PHONE.device(), name: name.to_owned() };
    let mut world = with_phone();
    world
        .when(BUYER, rename(PHONE, "Phone"))
        .then_events([named("Phone").into()])
        .when(BUYER, rename(PHONE, "Phone"))
        .then_unchanged()
        .when(SELLER, rename(PHONE, "Mine"))
        .then_rejected([unknown(SELLER.account(), PHONE)])
        .when(BUYER, rename(TABLET, "None"))
        .then_rejected([unknown(BUYER.account(), TABLET)])
        .given(BUYER, lost(PHONE))
        .when(BUYER, rename(PHONE, "Gone"))
        .then_rejected([revoked(PHONE)]);
}

#[test]
fn a_new_key_takes_the_place_of_the_one_that_signs_it() {
    let mut world = with_phone();
    let rotated = Rotated {
        account: BUYER.account(),
        device: PHONE.device(),
        key: LATER.key(),
        replaced: PHONE.key().id(),
    };
    world.when_on(PHONE, rotate(LATER)).then_events([rotated.into()]);
    world.when_on(PHONE, clear()).then_refused(Refusal::KidRevoked);
    let with_new = with(&mut world, BUYER, PHONE, LATER, clear());
    world.when_signed(with_new).then_unchanged();
    // Neither key is anybody's any more but this device's.
    world.when_on(PHONE, rotate(PHONE)).then_refused(Refusal::KidRevoked);
    for used in [PHONE, BUYER, LATER] {
        let again = with(&mut world, BUYER, PHONE, LATER, rotate(used));
        world.when_signed(again).then_rejected([Rejection::KeyInUse]);
    }
}

#[test]
fn who_lost_the_answer_to_a_rotation_asks_again_with_either_key() {
    let mut world = with_phone();
    let asked = with(&mut world, BUYER, PHONE, PHONE, rotate(LATER));
    world.when_signed(asked.clone());
    let first = world.head().position;
    for key in [PHONE, LATER] {
        let mut again = with(&mut world, BUYER, PHONE, key, rotate(LATER));
        again.stamp.command = asked.stamp.command;
        world.when_signed(again);
        assert_eq!(*world.outcome(), commands::Decision::Repeat(first));
    }
}

#[test]
fn a_device_is_revoked_by_another_of_its_account_an_operator_or_the_registrar() {
    let event =
        |reason| Revoked { account: BUYER.account(), device: PHONE.device(), key: PHONE.key().id(), reason };
    for (actor, command, reason) in [
        (BUYER, revoke(None, PHONE), RevokeReason::Retired),
        (BUYER, revoke(Some(BUYER), PHONE), RevokeReason::Retired),
        (BUYER, lost(PHONE), RevokeReason::Lost),
        (OPERATOR, revoke(Some(BUYER), PHONE), RevokeReason::Retired),
        (REGISTRAR, revoke(Some(BUYER), PHONE), RevokeReason::Retired),
    ] {
        let mut world = with_phone();
        world.when(actor, command.clone()).then_events([event(reason).into()]);
        world.when_on(PHONE, clear()).then_refused(Refusal::KidRevoked);
        world.when(actor, command).then_unchanged();
    }
}

#[test]
fn nobody_else_revokes_a_device() {
    let not_yours = |actor: Actor| DeviceRejection::NotYourDevice { account: actor.account() }.into();
    let own = || Rejection::from(DeviceRejection::OwnDevice);
    let registrar = || DeviceRejection::RegistrarDevice { account: REGISTRAR.account() }.into();
    for (actor, command, reason) in [
        (SELLER, revoke(Some(BUYER), PHONE), not_yours(BUYER)),
        (PROVIDER, revoke(Some(BUYER), PHONE), not_yours(BUYER)),
        (SELLER, revoke(None, PHONE), unknown(SELLER.account(), PHONE)),
        (SELLER, lost(PHONE), unknown(SELLER.account(), PHONE)),
        (OPERATOR, revoke(Some(SELLER), PHONE), unknown(SELLER.account(), PHONE)),
        (BUYER, revoke(None, BUYER), own()),
        (BUYER, lost(BUYER), own()),
        (OPERATOR, revoke(Some(OPERATOR), OPERATOR), own()),
        (OPERATOR, revoke(Some(REGISTRAR), REGISTRAR), registrar()),
    ] {
        with_phone().when(actor, command).then_rejected([reason]);
    }
}

#[test]
fn the_registrar_takes_a_second_device_and_revokes_the_first() {
    let mut world = World::new();
    world.given(REGISTRAR, enroll(PHONE, None));
    let by_second = with(&mut world, REGISTRAR, PHONE, PHONE, revoke(None, REGISTRAR));
    world.when_signed(by_second).then_types(["device.revoked.v1"]);
    world.when(REGISTRAR, register(Actor(30))).then_refused(Refusal::KidRevoked);
    let by_second = with(&mut world, REGISTRAR, PHONE, PHONE, register(Actor(30)));
    world.when_signed(by_second).then_types(["account.registered.v1"]);
}

#[test]
fn what_a_revoked_key_signed_for_others_is_refused_too() {
    let mut world = with_phone();
    world.given_listing(SELLER, 1, usd(500), 5).given(PROVIDER, fund(BUYER, usd(1_000)));
    let sellers = Actor(130);
    world.given(SELLER, enroll(sellers, None));
    let quote = |world: &World| VerifiedQuote {
        key: sellers.key().id(),
        ..quote(SELLER, BUYER, (1, 1), usd(100), world.now.plus_ms(SECOND_MS))
    };
    let good = quote(&world);
    world
        .when_quoted([good], BUYER, place(&[(1, 1)], usd(100)))
        .then_types(["order.placed.v1", "escrow.held.v1"]);
    world.given(SELLER, revoke(None, sellers));
    let late = quote(&world);
    let expected =
        Rejection::QuoteMismatch { listing: listing(1), field: events::rejection::QuoteField::Seller };
    world.when_quoted([late], BUYER, place(&[(1, 1)], usd(100))).then_rejected([expected]);
}

#[test]
fn what_is_known_about_a_key_is_recorded_by_who_checked_it() {
    let evidence = Hash::of(b"a statement");
    let attest = |account: Actor, device: Actor| AttestDevice {
        account: account.account(),
        device: device.device(),
        evidence,
        fingerprint: None,
        format: text("android-key"),
        verdict: AttestationVerdict::Verified,
    };
    let attested = Attested {
        account: BUYER.account(),
        device: PHONE.device(),
        evidence,
        fingerprint: None,
        format: "android-key".to_owned(),
        key: PHONE.key().id(),
        verdict: AttestationVerdict::Verified,
    };
    let mut world = with_phone();
    world
        .when(REGISTRAR, attest(BUYER, PHONE))
        .then_events([attested.clone().into()])
        .when(OPERATOR, attest(BUYER, PHONE))
        .then_events([attested.into()])
        .when(OPERATOR, attest(SELLER, PHONE))
        .then_rejected([unknown(SELLER.account(), PHONE)])
        .given(BUYER, lost(PHONE))
        .when(OPERATOR, attest(BUYER, PHONE))
        .then_rejected([revoked(PHONE)]);
}

/// What a key may do that was registered for carts only, and for little money.
#[test]
fn a_scope_leaves_a_part_of_what_the_account_may() {
    let other = || Refusal::ScopeDenied {
        rule: "the key was registered for other commands: use another device of the account".into(),
    };
    let mut world = World::new();
    world
        .given_listing(SELLER, 1, usd(500), 50)
        .given(PROVIDER, fund(BUYER, usd(100_000)))
        .given(BUYER, enroll(PHONE, Some(scope(&["cart.*"], &[("USD", 1_000)]))));
    world.when_on(PHONE, add(1, 2)).then_types(["cart.item_added.v1"]);
    let id = world.cart(BUYER);
    world.when_on(PHONE, place(&[(1, 1)], usd(500))).then_refused(other());
    let migrate = |total: Money| MigrateCart::new(id, commands::command::PaymentMethod::Wallet, total);
    world.when_on(PHONE, migrate(usd(1_001))).then_refused(Refusal::ScopeDenied {
        rule: "the key may give commands of at most 10.00 USD, this one is of 10.01 USD: use another device of the account"
            .into(),
    });
    world.when_on(PHONE, migrate(Money::new(1, "EUR".parse().unwrap()))).then_refused(Refusal::ScopeDenied {
        rule: "the key may give commands of at most 0.00 EUR, this one is of 0.01 EUR: use another device of the account"
            .into(),
    });
    world.when_on(PHONE, migrate(usd(1_000)));
    world.then_types(["order.placed.v1", "escrow.held.v1", "cart.migrated.v1"]);
    // The account's other device is not narrowed, and the role is asked first.
    world.when(BUYER, place(&[(1, 3)], usd(1_500))).then_types(["order.placed.v1", "escrow.held.v1"]);
    let role = Refusal::ScopeDenied { rule: "the account has no role that may give this command".into() };
    world.when_on(PHONE, receive(1, 1)).then_refused(role);
}

#[test]
fn a_scope_stays_with_the_device_and_is_given_on_only_narrower() {
    let wide = || scope(&["device.*", "cart.*"], &[("USD", 1_000)]);
    let too_wide = || Rejection::from(DeviceRejection::ScopeTooWide);
    let mut world = World::new();
    world.given(BUYER, enroll(PHONE, Some(wide())));
    world.when_on(PHONE, enroll(TABLET, None)).then_rejected([too_wide()]);
    world
        .when_on(PHONE, enroll(TABLET, Some(scope(&["order.*"], &[("USD", 1)]))))
        .then_rejected([too_wide()]);
    world.when_on(PHONE, enroll(TABLET, Some(scope(&["cart.add"], &[])))).then_rejected([too_wide()]);
    world.when_on(PHONE, enroll(TABLET, Some(scope(&["cart.add"], &[("USD", 999)]))));
    world.then_types(["device.registered.v1"]);
    world.when_on(PHONE, rotate(LATER)).then_types(["device.rotated.v1"]);
    let kept = world.market.accounts.key(LATER.key().id()).unwrap().scope.as_deref();
    assert_eq!(kept, Some(&wide()));
}

#[test]
fn a_payment_anew_is_measured_by_what_it_would_bring() {
    let limits: BTreeMap<_, _> = [("USD".parse().unwrap(), 1_299)].into();
    let narrow = KeyScope { commands: [].into(), max_minor: limits };
    let mut world = World::new();
    world.given_listing(SELLER, 1, usd(1_300), 5).given(BUYER, enroll(PHONE, Some(narrow)));
    let order = world.placed(BUYER, place_by_card(&[(1, 1)], usd(1_300), None));
    world.when_on(PHONE, pay(order)).then_refused(Refusal::ScopeDenied {
        rule: "the key may give commands of at most 12.99 USD, this one is of 13.00 USD: use another device of the account"
            .into(),
    });
}
