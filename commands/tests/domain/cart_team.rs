//! Carts that have a name, and that their owner fills with others.

use crate::support::*;
use commands::Refusal;
use commands::cart::MEMBERS_MAX;
use commands::command::{ClearCart, Expected, RemoveFromCart, SetCartQuantity};
use events::account::Role;
use events::cart::{Cleared, ItemAdded, ItemRemoved, Named, QuantitySet, Shared, Unshared};
use events::{Event, Rejection};

/// Tea of a seller, and a cart of the buyer's with two of it.
fn shop() -> World {
    let mut world = World::new();
    world
        .register(GUEST)
        .given_listing(SELLER, TEA, usd(500), 10)
        .given_listing(OTHER_SELLER, POT, usd(2500), 9)
        .given(PROVIDER, fund(BUYER, usd(10_000)))
        .given(PROVIDER, fund(OTHER_BUYER, usd(10_000)))
        .given(BUYER, add(TEA, 2));
    world
}

fn share_own(world: &World, with: Actor) -> commands::Command {
    share(world.cart(BUYER), with)
}

#[test]
fn an_owner_names_his_cart_and_takes_the_name_away() {
    let mut world = shop();
    let (account, cart) = (BUYER.account(), world.cart(BUYER));
    let named = |name: Option<&str>, version| -> Event {
        Named { account, cart, name: name.map(str::to_owned), version }.into()
    };
    world
        .when(OTHER_BUYER, name_cart(Some("tea")))
        .then_rejected([Rejection::CartMissing])
        .when(GUEST, name_cart(Some("tea")))
        .then_refused(Refusal::ScopeDenied {
            rule: "the account has no role that may give this command".into(),
        })
        .when(BUYER, name_cart(Some("For the office")))
        .then_events([named(Some("For the office"), 2)])
        .when_again()
        .then_repeat()
        .when(BUYER, name_cart(Some("For the office")))
        .then_unchanged()
        .when(BUYER, name_cart(None))
        .then_events([named(None, 3)])
        .when(BUYER, name_cart(None))
        .then_unchanged();
    assert_eq!(world.market.accounts.get(account).unwrap().cart.as_ref().unwrap().team, None);
}

#[test]
fn an_owner_shares_his_cart_with_buyers_and_takes_that_back() {
    let mut world = shop();
    let (account, cart, with) = (BUYER.account(), world.cart(BUYER), OTHER_BUYER.account());
    let unknown = Rejection::CartUnknown { cart };
    world
        .when(OTHER_BUYER, share(cart, BUYER))
        .then_rejected([unknown.clone()])
        .when(OTHER_BUYER, unshare(cart, BUYER))
        .then_rejected([unknown])
        .when(BUYER, share(cart, BUYER))
        .then_rejected([Rejection::OwnCart { cart }])
        .when(BUYER, share(cart, Actor(77)))
        .then_rejected([Rejection::AccountUnknown { account: Actor(77).account() }])
        .when(BUYER, share(cart, GUEST))
        .then_rejected([Rejection::RoleMissing { account: GUEST.account(), role: Role::Buyer }])
        .when(BUYER, unshare(cart, OTHER_BUYER))
        .then_unchanged()
        .when(BUYER, share(cart, OTHER_BUYER))
        .then_events([Shared { account, cart, version: 2, with }.into()])
        .when_again()
        .then_repeat()
        .when(BUYER, share(cart, OTHER_BUYER))
        .then_unchanged()
        .when(BUYER, unshare(cart, OTHER_BUYER))
        .then_events([Unshared { account, by: None, cart, version: 3, with }.into()])
        .when_again()
        .then_repeat();
}

#[test]
fn whom_a_cart_is_shared_with_leaves_it_himself() {
    let mut world = shop();
    let (account, cart, with) = (BUYER.account(), world.cart(BUYER), OTHER_BUYER.account());
    // Who shares none is told nothing of what others have.
    for owner in [BUYER, OTHER_BUYER, Actor(77)] {
        world.when(OTHER_BUYER, leave(owner)).then_unchanged();
    }
    let rule = "the account has no role that may give this command".into();
    world
        .when(GUEST, leave(BUYER))
        .then_refused(Refusal::ScopeDenied { rule })
        .given(BUYER, share(cart, OTHER_BUYER))
        // He may leave a cart that can't be edited, too.
        .given(BUYER, freeze(START.plus_ms(3_600_000)))
        .when(BUYER, leave(BUYER))
        .then_unchanged()
        .when_if(Expected { cart: Some(2), listing: None }, OTHER_BUYER, leave(BUYER))
        .then_rejected([Rejection::StaleVersion { what: "cart".to_owned(), expected: 2, current: 3 }])
        .when(OTHER_BUYER, leave(BUYER))
        .then_events([Unshared { account, by: Some(with), cart, version: 4, with }.into()])
        .when_again()
        .then_repeat()
        .when(OTHER_BUYER, leave(BUYER))
        .then_unchanged()
        .when(OTHER_BUYER, add_to(BUYER, TEA, 1))
        .then_rejected([Rejection::CartNotShared { account }])
        .given(BUYER, share(cart, OTHER_BUYER));
}

#[test]
fn a_cart_is_shared_with_a_bounded_number() {
    let mut world = shop();
    let cart = world.cart(BUYER);
    let others: Vec<Actor> = (0..=MEMBERS_MAX as u32).map(|n| Actor(200 + n)).collect();
    for other in &others {
        world.register(*other);
    }
    for other in &others[..MEMBERS_MAX] {
        world.given(BUYER, share(cart, *other));
    }
    let last = others[MEMBERS_MAX];
    world
        .when(BUYER, share(cart, last))
        .then_rejected([Rejection::TooManyMembers { max: MEMBERS_MAX as u32 }])
        .given(BUYER, unshare(cart, others[0]))
        .given(BUYER, share(cart, last));
}

#[test]
fn who_a_cart_is_shared_with_changes_its_lines_and_the_events_say_so() {
    let mut world = shop();
    let (account, cart, by) = (BUYER.account(), world.cart(BUYER), Some(OTHER_BUYER.account()));
    // His own cart is another one, and stays as it is.
    world.given(OTHER_BUYER, add(POT, 1));
    let own = world.market.accounts.get(OTHER_BUYER.account()).unwrap().cart.clone();
    let shared = share_own(&world, OTHER_BUYER);
    world.given(BUYER, shared);
    let set = |n, quantity| SetCartQuantity { listing: listing(n), owner: Some(account), quantity };
    let (tea, pot) = (listing(TEA), listing(POT));
    let added = ItemAdded {
        account,
        added: units(3),
        by,
        cart,
        listing: tea,
        listing_version: 1,
        quantity: units(5),
        unit_price: usd(500),
        version: 3,
    };
    world
        .when(OTHER_BUYER, add_to(BUYER, TEA, 3))
        .then_events([added.into()])
        .when_again()
        .then_repeat()
        .when(OTHER_BUYER, set(TEA, units(4)))
        .then_events([QuantitySet { account, by, cart, listing: tea, quantity: units(4), version: 4 }.into()])
        .when(OTHER_BUYER, set(POT, units(1)))
        .then_rejected([Rejection::NotInCart { listing: pot }])
        .given(OTHER_BUYER, add_to(BUYER, POT, 1))
        .when(OTHER_BUYER, RemoveFromCart { listing: pot, owner: Some(account) })
        .then_events([ItemRemoved { account, by, cart, listing: pot, version: 6 }.into()])
        .when(OTHER_BUYER, ClearCart { owner: Some(account) })
        .then_events([Cleared { account, by, cart, version: 7 }.into()]);
    assert_eq!(world.market.accounts.get(OTHER_BUYER.account()).unwrap().cart, own);
}

#[test]
fn a_cart_that_is_not_shared_is_filled_by_nobody_else() {
    let mut world = shop();
    let (account, cart) = (BUYER.account(), world.cart(BUYER));
    let refused = [Rejection::CartNotShared { account }];
    let clear = || ClearCart { owner: Some(account) };
    world
        .when(OTHER_BUYER, add_to(BUYER, TEA, 1))
        .then_rejected(refused.clone())
        .when(OTHER_BUYER, clear())
        .then_rejected(refused.clone())
        .when(OTHER_BUYER, RemoveFromCart { listing: listing(TEA), owner: Some(account) })
        .then_rejected(refused.clone())
        .when(OTHER_BUYER, add_to(Actor(77), TEA, 1))
        .then_rejected([Rejection::CartNotShared { account: Actor(77).account() }])
        .given(BUYER, share(cart, OTHER_BUYER))
        .given(OTHER_BUYER, add_to(BUYER, TEA, 1))
        .given(BUYER, unshare(cart, OTHER_BUYER))
        .when(OTHER_BUYER, add_to(BUYER, TEA, 1))
        .then_rejected(refused.clone());
    // A cart that was bought takes its sharing with it.
    world.given(BUYER, share(cart, OTHER_BUYER)).given(BUYER, migrate(cart, usd(10_000)));
    world
        .given(BUYER, add(TEA, 1))
        .when(OTHER_BUYER, add_to(BUYER, TEA, 1))
        .then_rejected(refused)
        // His own account is no other's.
        .given(BUYER, add_to(BUYER, TEA, 1));
}

#[test]
fn only_its_owner_buys_a_shared_cart_and_nobody_puts_his_own_goods_into_it() {
    let mut world = shop();
    let cart = world.cart(BUYER);
    world.given(BUYER, share(cart, OTHER_BUYER));
    world
        .when(OTHER_BUYER, migrate(cart, usd(10_000)))
        .then_rejected([Rejection::CartUnknown { cart }])
        .given(BUYER, freeze(START.plus_ms(3_600_000)))
        .when(OTHER_BUYER, add_to(BUYER, TEA, 1))
        .then_rejected([Rejection::CartFrozen { until: START.plus_ms(3_600_000) }])
        // A name and who sees it are no lines.
        .given(BUYER, name_cart(Some("tea")))
        .given(BUYER, unshare(cart, OTHER_BUYER));
    // Who sells may fill another's cart with what he sells, and who buys it may not sell it.
    let both = Actor(90);
    world.given(REGISTRAR, register_as(both, &[Role::Buyer, Role::Seller]));
    world.given(REGISTRAR, register_device(both)).given_listing(both, 9, usd(100), 5);
    world.given(BUYER, unfreeze()).given(BUYER, share(cart, both)).given(both, add_to(BUYER, 9, 1));
    world.given(both, add(TEA, 1));
    let of_both = world.cart(both);
    world
        .given(both, share(of_both, BUYER))
        .when(BUYER, add_to(both, 9, 1))
        .then_rejected([Rejection::SelfPurchase { listing: listing(9) }]);
}

#[test]
fn a_version_is_that_of_the_cart_that_is_filled() {
    let mut world = shop();
    let (cart, what) = (world.cart(BUYER), "cart".to_owned());
    let expecting = |cart| Expected { cart: Some(cart), listing: None };
    world
        .when_if(expecting(1), OTHER_BUYER, add_to(BUYER, TEA, 1))
        // Who may not see a cart is not told its version.
        .then_rejected([Rejection::StaleVersion { what: what.clone(), expected: 1, current: 0 }])
        .given(BUYER, share(cart, OTHER_BUYER))
        .when_if(expecting(1), OTHER_BUYER, add_to(BUYER, TEA, 1))
        .then_rejected([Rejection::StaleVersion { what, expected: 1, current: 2 }])
        .when_if(expecting(2), OTHER_BUYER, add_to(BUYER, TEA, 1))
        .then_types(["cart.item_added.v1"]);
}
