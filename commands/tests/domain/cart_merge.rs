//! A guest's cart, and how it becomes part of a buyer's.

use crate::support::*;
use commands::Refusal;
use commands::command::{LINES_MAX, RegisterAccount};
use events::account::Role;
use events::cart::{MergePolicy, MergeSource, Merged, MergedLine};
use events::ids::CartId;
use events::{Event, Quantity, Rejection};

fn shop() -> World {
    let mut world = World::new();
    world
        .register(GUEST)
        .given_listing(SELLER, TEA, usd(500), 10)
        .given_listing(OTHER_SELLER, POT, usd(2500), 1)
        .given_listing(SELLER, CUP, eur(300), 1);
    world
}

/// Signs a merge of the guest's cart by the buyer, with a claim that is good for a minute.
fn merge_as(world: &mut World, cart: CartId, policy: MergePolicy) {
    let claim = claim(GUEST, cart, BUYER, world.now.plus_ms(60 * SECOND_MS));
    world.when_claimed(claim, BUYER, merge(policy));
}

fn lines(world: &World, actor: Actor) -> Vec<(u64, u32)> {
    let owner = world.market.accounts.get(actor.account()).unwrap();
    let lines = &owner.cart.as_ref().unwrap().lines;
    let number = |id| (1..1000).find(|n| listing(*n) == id).unwrap();
    lines.iter().map(|(id, quantity)| (number(*id), quantity.get())).collect()
}

#[test]
fn a_guest_fills_a_cart_and_does_nothing_else() {
    let denied = Refusal::ScopeDenied { rule: "the account has no role that may give this command".into() };
    let mut world = shop();
    let until = world.now.plus_ms(60 * SECOND_MS);
    world
        .given(GUEST, add(TEA, 1))
        .given(GUEST, set(TEA, 2))
        .given(GUEST, save(TEA))
        .given(GUEST, move_back(TEA))
        .given(GUEST, freeze(until))
        .given(GUEST, unfreeze());
    let cart = world.cart(GUEST);
    for other in [migrate(cart, usd(1000)), restore(cart), place(&[(TEA, 1)], usd(500)), receive(TEA, 1)] {
        world.when(GUEST, other).then_refused(denied.clone());
    }
    let to = claim(BUYER, cart, GUEST, until);
    world.when_claimed(to, GUEST, merge(MergePolicy::Max)).then_refused(denied);
    world.given(GUEST, remove(TEA)).given(GUEST, add(POT, 1)).given(GUEST, clear());
}

#[test]
fn a_guest_is_nothing_besides() {
    let account = Actor(45).account();
    for other in [Role::Buyer, Role::Seller, Role::Operator, Role::Provider] {
        World::new()
            .when(REGISTRAR, RegisterAccount { account, roles: [Role::Guest, other].into() })
            .then_rejected([Rejection::RolesConflict { role: other, other: Role::Guest }]);
    }
}

#[test]
fn quantities_become_one_as_the_policy_says() {
    // Units that the buyer and the guest have of the tea, and of it afterwards.
    for (policy, had, from, result) in [
        (MergePolicy::Max, 2, 5, 5),
        (MergePolicy::Max, 5, 2, 5),
        (MergePolicy::Sum, 2, 5, 7),
        (MergePolicy::Sum, 5, 2, 7),
        (MergePolicy::Replace, 2, 5, 5),
        (MergePolicy::Replace, 5, 2, 2),
    ] {
        let mut world = shop();
        world.given(BUYER, add(TEA, had)).given(GUEST, add(TEA, from));
        let cart = world.cart(GUEST);
        merge_as(&mut world, cart, policy);
        world.then_types(["cart.merged.v1"]);
        assert_eq!(lines(&world, BUYER), [(TEA, result)], "{policy:?} of {had} and {from}");
    }
    assert_eq!(MergePolicy::default(), MergePolicy::Max);
}

#[test]
fn lines_of_both_carts_are_kept_and_the_source_is_gone() {
    let mut world = shop();
    world.given(BUYER, add(TEA, 2)).given(GUEST, add(TEA, 1)).given(GUEST, add(POT, 3));
    let (cart, source) = (world.cart(BUYER), world.cart(GUEST));
    let merged = Merged {
        account: BUYER.account(),
        cart,
        lines: vec![
            MergedLine { from: units(1), had: Some(units(2)), listing: listing(TEA), result: units(2) },
            MergedLine { from: units(3), had: None, listing: listing(POT), result: units(3) },
        ],
        policy: MergePolicy::Max,
        source: MergeSource { account: GUEST.account(), cart: source, version: 3 },
        version: 2,
    };
    merge_as(&mut world, source, MergePolicy::Max);
    world.then_events([merged.into()]).when_again().then_repeat();
    assert_eq!(lines(&world, BUYER), [(TEA, 2), (POT, 3)]);
    world.when(GUEST, set(TEA, 1)).then_rejected([Rejection::CartMissing]).given(GUEST, add(TEA, 1));
    assert_ne!(world.cart(GUEST), source, "what comes next is another cart");
}

#[test]
fn a_second_merge_of_the_same_cart_is_the_first_whatever_it_asks_for() {
    let mut world = shop();
    world.register(OTHER_GUEST).given(BUYER, add(TEA, 2)).given(GUEST, add(TEA, 3));
    let source = world.cart(GUEST);
    merge_as(&mut world, source, MergePolicy::Sum);
    assert_eq!(lines(&world, BUYER), [(TEA, 5)]);
    for policy in [MergePolicy::Sum, MergePolicy::Max, MergePolicy::Replace] {
        merge_as(&mut world, source, policy);
        world.then_unchanged();
    }
    let late = claim(GUEST, source, BUYER, world.now.plus_ms(-1));
    world.when_claimed(late, BUYER, merge(MergePolicy::Sum)).then_unchanged();
    let elsewhere = claim(GUEST, source, OTHER_BUYER, world.now);
    world
        .when_claimed(elsewhere, OTHER_BUYER, merge(MergePolicy::Max))
        .then_rejected([Rejection::CartMergedElsewhere { cart: source }]);
    assert_eq!(lines(&world, BUYER), [(TEA, 5)]);
}

#[test]
fn a_merge_opens_a_cart_where_there_is_none() {
    let mut world = shop();
    world.given(GUEST, add(CUP, 1));
    let source = world.cart(GUEST);
    let claim = claim(GUEST, source, BUYER, world.now);
    let signed = commands::Verified { claim: Some(claim), ..world.sign(BUYER, merge(MergePolicy::Max)) };
    let opened = CartId::derive(BUYER.account(), signed.stamp.command);
    world.when_signed(signed).then_types(["cart.merged.v1"]);
    assert_eq!((world.cart(BUYER), lines(&world, BUYER)), (opened, vec![(CUP, 1)]));
    // It has the currency of its lines.
    let (expected, found) = (eur(0).currency, usd(0).currency);
    world.when(BUYER, add(TEA, 1)).then_rejected([Rejection::CurrencyMismatch {
        listing: listing(TEA),
        expected,
        found,
    }]);
}

#[test]
fn the_claim_is_the_owners_word_for_this_account_and_this_cart_in_time() {
    let mut world = shop();
    world.given(GUEST, add(TEA, 1)).given(BUYER, add(TEA, 1));
    let (now, cart, own) = (world.now, world.cart(GUEST), world.cart(BUYER));
    for (claim, reason) in [
        (claim(GUEST, cart, OTHER_BUYER, now), Rejection::ClaimForAnother { cart }),
        (
            claim(GUEST, cart, BUYER, now.plus_ms(-1)),
            Rejection::ClaimExpired { cart, expired: now.plus_ms(-1) },
        ),
        // Signed by somebody who does not own it: by the buyer himself, by a third, by a key nobody has here.
        (claim(BUYER, cart, BUYER, now), Rejection::CartUnknown { cart }),
        (claim(SELLER, cart, BUYER, now), Rejection::CartUnknown { cart }),
        (claim(Actor(77), cart, BUYER, now), Rejection::CartUnknown { cart }),
        (claim(BUYER, own, BUYER, now), Rejection::OwnCart { cart: own }),
    ] {
        world.when_claimed(claim, BUYER, merge(MergePolicy::Max)).then_rejected([reason]);
    }
    let good = claim(GUEST, cart, BUYER, now);
    world.when_claimed(good, BUYER, merge(MergePolicy::Max)).then_types(["cart.merged.v1"]);
}

#[test]
fn a_merge_that_can_not_be_whole_is_rejected_with_every_reason_and_changes_nothing() {
    let mut world = shop();
    let until = world.now.plus_ms(60 * SECOND_MS);
    world.given(BUYER, add(CUP, 1)).given(GUEST, add(TEA, 1)).given(GUEST, add(POT, 1));
    let source = world.cart(GUEST);
    let (expected, found) = (eur(0).currency, usd(0).currency);
    let currency = |n| Rejection::CurrencyMismatch { listing: listing(n), expected, found };
    merge_as(&mut world, source, MergePolicy::Max);
    world
        .then_rejected([currency(TEA), currency(POT)])
        .given(GUEST, freeze(until))
        .given(BUYER, freeze(until));
    let frozen = Rejection::CartFrozen { until };
    merge_as(&mut world, source, MergePolicy::Max);
    world.then_rejected([frozen.clone(), frozen, currency(TEA), currency(POT)]);
    assert_eq!((lines(&world, BUYER), lines(&world, GUEST)), (vec![(CUP, 1)], vec![(TEA, 1), (POT, 1)]));
    world.given(GUEST, unfreeze()).given(GUEST, clear()).given(BUYER, unfreeze());
    merge_as(&mut world, source, MergePolicy::Max);
    world.then_rejected([Rejection::CartEmpty]);
}

#[test]
fn a_merge_keeps_the_limits_of_a_cart_and_sells_nobody_his_own() {
    let mut world = World::new();
    let trader = Actor(30);
    let roles = [Role::Buyer, Role::Seller].into();
    world
        .register(GUEST)
        .given(REGISTRAR, RegisterAccount { account: trader.account(), roles }.into())
        .given(REGISTRAR, register_device(trader))
        .given_listing(trader, 200, usd(1), 1);
    let count = LINES_MAX as u64;
    for n in 1..=count {
        world.given(SELLER, create_listing(n, usd(1)));
    }
    for n in 1..=count {
        world.given(trader, add(n, 1));
    }
    world.given(GUEST, add(200, 1)).given(GUEST, add(1, Quantity::MAX));
    let cart = world.cart(GUEST);
    let good = claim(GUEST, cart, trader, world.now);
    world.when_claimed(good.clone(), trader, merge(MergePolicy::Sum)).then_rejected([
        Rejection::QuantityLimit { listing: listing(1), max: Quantity::MAX, min: None },
        Rejection::SelfPurchase { listing: listing(200) },
        Rejection::TooManyLines { max: LINES_MAX as u32 },
    ]);
    world.given(GUEST, remove(200)).when_claimed(good, trader, merge(MergePolicy::Max));
    assert!(matches!(world.events(), [Event::CartMerged(_)]));
}
