//! What is personal of accounts, as the market knows it; and what it takes for one to be erased.

use std::collections::{BTreeMap, BTreeSet};

use crate::support::*;
use commands::command::{
    Delivery, EnrollPasskey, EraseAccount, PlaceOrder, SealedAddress, SetEncryptionKey, SetProfile,
    SetStepUpTerms,
};
use commands::{Command, Refusal};
use events::privacy::{AddressSealed, EncryptionKey, Erased, ProfileField, ProfileSet};
use events::rejection::{Open, PrivacyRejection};
use events::step_up::StepUpTerms;
use events::{Hash, Rejection};

fn set(fields: &[(ProfileField, Option<Hash>)]) -> Command {
    SetProfile { fields: BTreeMap::from_iter(fields.iter().copied()) }.into()
}

fn erase(account: Option<Actor>) -> Command {
    EraseAccount { account: account.map(Actor::account) }.into()
}

fn in_use(account: Actor, open: &[Open]) -> Rejection {
    let open = open.iter().copied().collect::<BTreeSet<_>>();
    PrivacyRejection::AccountInUse { account: account.account(), open }.into()
}

#[test]
fn a_profile_is_known_by_hashes_and_says_what_it_was_before() {
    let (first, second) = (Hash::of(b"first"), Hash::of(b"second"));
    let mut world = World::new();
    world
        .given(BUYER, set(&[(ProfileField::Email, Some(first)), (ProfileField::Name, Some(first))]))
        .when(
            BUYER,
            set(&[
                (ProfileField::Email, Some(second)),
                (ProfileField::Name, Some(first)),
                (ProfileField::Phone, None),
            ]),
        )
        .then_events([ProfileSet {
            account: BUYER.account(),
            fields: [(ProfileField::Email, Some(second))].into(),
            replaced: [(ProfileField::Email, first)].into(),
        }
        .into()]);
    world
        .when(BUYER, set(&[(ProfileField::Email, None)]))
        .then_events([ProfileSet {
            account: BUYER.account(),
            fields: [(ProfileField::Email, None)].into(),
            replaced: [(ProfileField::Email, second)].into(),
        }
        .into()])
        .when(BUYER, set(&[(ProfileField::Email, None)]))
        .then_unchanged();
    let profile = world.market.accounts.get(BUYER.account()).unwrap().profile.clone().unwrap();
    assert_eq!(profile, [(ProfileField::Name, first)].into());
}

#[test]
fn whoever_is_erased_gives_no_command_more_and_takes_part_in_nothing() {
    let mut world = World::new();
    world.given(BUYER, set(&[(ProfileField::Email, Some(Hash::of(b"e")))]));
    world.when(BUYER, erase(None)).then_events([Erased { account: BUYER.account() }.into()]);
    let repeated = world.sign(BUYER, erase(None));
    world.when_signed(repeated).then_refused(Refusal::Erased);
    world.when(BUYER, set(&[])).then_refused(Refusal::Erased);
    let known = world.market.accounts.get(BUYER.account()).unwrap();
    assert!(known.is_erased && known.profile.is_none() && known.devices.is_empty());
    let erased = || Rejection::from(PrivacyRejection::AccountErased { account: BUYER.account() });
    world.when(REGISTRAR, register(BUYER)).then_rejected([erased()]);
    world
        .when(REGISTRAR, register_device(Actor(300)))
        .then_rejected([Rejection::AccountUnknown { account: Actor(300).account() }]);
    world.when(REGISTRAR, register_device(BUYER)).then_rejected([erased()]);
    world.when(PROVIDER, fund(BUYER, usd(100))).then_rejected([erased()]);
    world.when(OPERATOR, erase(Some(BUYER))).then_unchanged();
}

#[test]
fn who_asked_before_his_account_was_erased_learns_what_came_of_it() {
    let mut world = World::new();
    world.given(BUYER, erase(None));
    // The same wish under the same id: the first outcome, which the log has.
    world.when_again().then_repeat();
}

#[test]
fn an_operator_erases_others_and_nobody_else_does() {
    let mut world = World::new();
    let not_yours = |account: Actor| PrivacyRejection::NotYourAccount { account: account.account() }.into();
    world.when(BUYER, erase(Some(OTHER_BUYER))).then_rejected([not_yours(OTHER_BUYER)]);
    world.when(BUYER, erase(Some(Actor(300)))).then_rejected([not_yours(Actor(300))]);
    for serves in [REGISTRAR, PROVIDER, OPERATOR, OTHER_OPERATOR] {
        let reason = PrivacyRejection::NotErasable { account: serves.account() };
        world.when(OPERATOR, erase(Some(serves))).then_rejected([reason.into()]);
    }
    let unknown = Rejection::AccountUnknown { account: Actor(300).account() };
    world.when(OPERATOR, erase(Some(Actor(300)))).then_rejected([unknown]);
    world.when(OPERATOR, erase(Some(SELLER))).then_types(["account.erased.v1"]);
}

#[test]
fn nobody_is_erased_while_something_of_his_is_open() {
    let mut world = World::new();
    world.given_listing(SELLER, 1, usd(1000), 5).given(PROVIDER, fund(BUYER, usd(2500)));
    world.when(BUYER, erase(None)).then_rejected([in_use(BUYER, &[Open::Wallet])]);
    world.when(SELLER, erase(None)).then_rejected([in_use(SELLER, &[Open::Listings])]);
    let order = world.placed(BUYER, place(&[(1, 1)], usd(1000)));
    world.given(SELLER, withdraw(1));
    world.when(SELLER, erase(None)).then_rejected([in_use(SELLER, &[Open::Orders])]);
    world.when(OPERATOR, erase(Some(SELLER))).then_rejected([in_use(SELLER, &[Open::Orders])]);
    world.given(SELLER, ship(order)).given(BUYER, confirm(order));
    world.when(SELLER, erase(None)).then_rejected([in_use(SELLER, &[Open::Earnings])]);
    world.given(SELLER, pay_out(usd(975)));
    world.when(SELLER, erase(None)).then_rejected([in_use(SELLER, &[Open::Payouts])]);
}

#[test]
fn who_has_a_second_factor_is_erased_with_it() {
    let mut world = World::new();
    let terms = StepUpTerms {
        origins: ["https://market.example".parse().unwrap()].into(),
        relying_party: "market.example".parse().unwrap(),
        rules: Vec::new(),
    };
    world.given(OPERATOR, SetStepUpTerms { terms }.into());
    let passkey =
        EnrollPasskey { credential: "bGFtcHMtYW5kLXBlYXJzLTE".parse().unwrap(), key: Actor(400).key() };
    world.given(BUYER, passkey.into());
    let verified = world.sign(BUYER, erase(None));
    let refused = commands::decide(&world.market, &verified, &world.facts, world.now);
    assert!(
        matches!(&refused, commands::Decision::Refuse(Refusal::MfaRequired { rule, .. }) if rule.contains("erased")),
        "{refused:?}"
    );
    // An operator does it for who has lost it.
    world.when(OPERATOR, erase(Some(BUYER))).then_types(["account.erased.v1"]);
}

fn key(n: u8) -> EncryptionKey {
    format!("{}{}", char::from(b'B' + n), "A".repeat(42)).parse().unwrap()
}

fn set_key(key: Option<EncryptionKey>) -> Command {
    SetEncryptionKey { key }.into()
}

/// Buys one of the listing, with an address for somebody.
fn buy_to(addresses: &[(Actor, Hash, EncryptionKey)]) -> Command {
    let Command::PlaceOrder(order) = place(&[(1, 1)], usd(1000)) else { unreachable!() };
    let sealed = addresses
        .iter()
        .map(|(seller, hash, key)| (seller.account(), SealedAddress { hash: *hash, key: key.clone() }));
    let delivery = to("DE").map(|to| Delivery { sealed_addresses: sealed.collect(), ..to });
    PlaceOrder { delivery, ..order }.into()
}

#[test]
fn an_order_is_placed_with_an_address_that_its_seller_can_read() {
    let (address, mut world) = (Hash::of(b"sealed"), World::new());
    world.given_listing(SELLER, 1, usd(1000), 5).given(PROVIDER, fund(BUYER, usd(5000)));
    let none = PrivacyRejection::NoEncryptionKey { seller: SELLER.account() };
    world.when(BUYER, buy_to(&[(SELLER, address, key(1))])).then_rejected([none.into()]);
    world.given(SELLER, set_key(Some(key(1)))).when(SELLER, set_key(Some(key(1)))).then_unchanged();
    world.given(OTHER_SELLER, set_key(Some(key(2))));
    let unneeded = PrivacyRejection::AddressUnneeded { seller: OTHER_SELLER.account() };
    world
        .when(BUYER, buy_to(&[(SELLER, address, key(1)), (OTHER_SELLER, address, key(2))]))
        .then_rejected([unneeded.into()]);
    world.given(SELLER, set_key(Some(key(3))));
    let other = PrivacyRejection::OtherEncryptionKey { seller: SELLER.account(), key: key(3) };
    world.when(BUYER, buy_to(&[(SELLER, address, key(1))])).then_rejected([other.into()]);
    world.when(BUYER, buy_to(&[(SELLER, address, key(3))])).then_types([
        "order.placed.v1",
        "escrow.held.v1",
        "order.address_sealed.v1",
    ]);
    let told = world.log.last().unwrap().events().last().unwrap().event.clone();
    let (order, buyer, seller) = (world.order(0), BUYER.account(), SELLER.account());
    assert_eq!(told, AddressSealed { order, buyer, seller, hash: address, key: key(3) }.into());
    world
        .given(SELLER, set_key(None))
        .when(BUYER, buy_to(&[]))
        .then_types(["order.placed.v1", "escrow.held.v1"]);
}
