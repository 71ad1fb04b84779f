//! What becomes of a listing: its terms, its status, its variants, and who may buy it.

use crate::support::*;
use commands::Refusal;
use commands::command::{CreateListing, Expected, UpdateListing};
use events::Rejection;
use events::account::{ClearanceGranted, ClearanceRevoked, Role, SellerReinstated, SellerSuspended};
use events::listing::{
    Blocked, Created, ListingStatus, Paused, Resumed, Unblocked, Updated, Variant, Withdrawn,
};

fn unavailable(n: u64, status: ListingStatus) -> Rejection {
    Rejection::ListingUnavailable { listing: listing(n), status }
}

fn no_role() -> Refusal {
    Refusal::ScopeDenied { rule: "the account has no role that may give this command".into() }
}

/// A market where tea is sold and the buyer has money.
fn shop() -> World {
    let mut world = World::new();
    world.given_listing(SELLER, TEA, usd(500), 10).given(PROVIDER, fund(BUYER, usd(100_000)));
    world
}

fn nothing_updated(version: u32) -> Updated {
    Updated {
        limits: None,
        listing: listing(TEA),
        price: None,
        final_sale: None,
        restricted: None,
        tax_class: None,
        title: None,
        version,
        release: None,
    }
}

#[test]
fn a_seller_changes_what_he_offers_and_each_change_is_a_version() {
    let all = UpdateListing {
        limits: Some(limits(Some(2), Some(6))),
        price: Some(usd(600)),
        restricted: Some(true),
        tax_class: Some("reduced".parse().unwrap()),
        title: Some(text("Green tea")),
        ..update(TEA)
    };
    let changed = Updated {
        limits: Some(limits(Some(2), Some(6))),
        price: Some(usd(600)),
        restricted: Some(true),
        tax_class: Some("reduced".parse().unwrap()),
        title: Some("Green tea".to_owned()),
        ..nothing_updated(2)
    };
    shop()
        .when(SELLER, all.clone())
        .then_events([changed.into()])
        .when_again()
        .then_repeat()
        .when(SELLER, all)
        .then_unchanged()
        .when(SELLER, update(TEA))
        .then_unchanged()
        .when(SELLER, UpdateListing { price: Some(usd(550)), title: Some(text("Green tea")), ..update(TEA) })
        .then_events([Updated { price: Some(usd(550)), ..nothing_updated(3) }.into()])
        .when(SELLER, UpdateListing { limits: Some(limits(None, None)), ..update(TEA) })
        .then_events([Updated { limits: Some(limits(None, None)), ..nothing_updated(4) }.into()])
        .then(|market| {
            let tea = market.listings.get(listing(TEA)).unwrap();
            assert_eq!((tea.price, tea.version, &*tea.title), (usd(550), 4, "Green tea"));
            assert_eq!((tea.limits, tea.is_restricted), ((1, 1_000_000), true));
            assert_eq!(tea.tax_class.as_ref().unwrap().as_str(), "reduced");
        });
}

#[test]
fn terms_must_make_sense_and_belong_to_who_changes_them() {
    let wrong = UpdateListing { limits: Some(limits(Some(3), Some(2))), price: Some(eur(0)), ..update(TEA) };
    shop()
        .when(SELLER, wrong)
        .then_rejected([
            Rejection::PriceNotPositive,
            Rejection::LimitsContradict { min: units(3), max: units(2) },
            Rejection::CurrencyMismatch {
                listing: listing(TEA),
                expected: usd(0).currency,
                found: eur(0).currency,
            },
        ])
        .when(SELLER, update(POT))
        .then_rejected([Rejection::ListingUnknown { listing: listing(POT) }])
        .when(OTHER_SELLER, update(TEA))
        .then_rejected([Rejection::NotYourListing { listing: listing(TEA) }])
        .when(BUYER, update(TEA))
        .then_refused(no_role())
        .when_if(Expected { listing: Some(2), cart: None }, SELLER, update(TEA))
        .then_rejected([Rejection::StaleVersion { what: "listing".to_owned(), expected: 2, current: 1 }])
        .given(SELLER, withdraw(TEA))
        .when(SELLER, update(TEA))
        .then_rejected([unavailable(TEA, ListingStatus::Withdrawn)]);
    let contradicting = CreateListing {
        limits: Some(limits(Some(3), Some(2))),
        ..CreateListing::new(listing(POT), usd(1), text("A pot"))
    };
    shop()
        .when(SELLER, contradicting)
        .then_rejected([Rejection::LimitsContradict { min: units(3), max: units(2) }]);
}

#[test]
fn a_cart_keeps_what_its_buyer_saw_and_pays_what_is_asked_now() {
    let mut world = shop();
    world
        .given(BUYER, add(TEA, 1))
        .given(SELLER, UpdateListing { price: Some(usd(600)), ..update(TEA) }.into())
        .given(BUYER, add(TEA, 1));
    let cart = world.cart(BUYER);
    world
        .when(BUYER, migrate(cart, usd(1_100)))
        .then_rejected([Rejection::TotalMismatch { signed: usd(1_100), actual: usd(1_200) }])
        .when(BUYER, migrate(cart, usd(1_200)))
        .then_types(["order.placed.v1", "escrow.held.v1", "cart.migrated.v1"]);
    let versions = world.log.iter().flat_map(|commit| commit.events()).filter_map(|e| match &e.event {
        events::Event::CartItemAdded(e) => Some((e.listing_version, e.unit_price)),
        _ => None,
    });
    assert_eq!(versions.collect::<Vec<_>>(), [(1, usd(500)), (2, usd(600))]);
}

#[test]
fn a_listing_is_paused_resumed_and_withdrawn_for_good_by_its_seller() {
    let id = listing(TEA);
    shop()
        .when(SELLER, pause(TEA))
        .then_events([Paused { listing: id }.into()])
        .when_again()
        .then_repeat()
        .when(SELLER, pause(TEA))
        .then_unchanged()
        .when(BUYER, add(TEA, 1))
        .then_rejected([unavailable(TEA, ListingStatus::Paused)])
        .when(BUYER, place(&[(TEA, 1)], usd(500)))
        .then_rejected([unavailable(TEA, ListingStatus::Paused)])
        .when(SELLER, resume(TEA))
        .then_events([Resumed { listing: id }.into()])
        .when(SELLER, resume(TEA))
        .then_unchanged()
        .when(SELLER, withdraw(TEA))
        .then_events([Withdrawn { listing: id }.into()])
        .when(SELLER, withdraw(TEA))
        .then_unchanged()
        .when(SELLER, resume(TEA))
        .then_rejected([unavailable(TEA, ListingStatus::Withdrawn)])
        .when(SELLER, pause(TEA))
        .then_rejected([unavailable(TEA, ListingStatus::Withdrawn)])
        .when(BUYER, place(&[(TEA, 1)], usd(500)))
        .then_rejected([unavailable(TEA, ListingStatus::Withdrawn)]);
    for command in [pause(TEA), resume(TEA), withdraw(TEA)] {
        shop()
            .when(OTHER_SELLER, command.clone())
            .then_rejected([Rejection::NotYourListing { listing: id }])
            .when(OPERATOR, command)
            .then_refused(no_role());
    }
    for command in [pause(POT), resume(POT), withdraw(POT)] {
        shop().when(SELLER, command).then_rejected([Rejection::ListingUnknown { listing: listing(POT) }]);
    }
}

#[test]
fn a_blocked_listing_is_not_sold_until_it_is_unblocked_and_its_orders_go_on() {
    let (id, seller) = (listing(TEA), SELLER.account());
    let mut world = shop();
    let order = world.placed(BUYER, place(&[(TEA, 1)], usd(500)));
    world
        .when(OPERATOR, block(TEA))
        .then_events([Blocked { listing: id, reason: "counterfeit".to_owned(), seller }.into()])
        .when_again()
        .then_repeat()
        .when(OPERATOR, block(TEA))
        .then_unchanged()
        .when(BUYER, place(&[(TEA, 1)], usd(500)))
        .then_rejected([unavailable(TEA, ListingStatus::Blocked)])
        .when(BUYER, add(TEA, 1))
        .then_rejected([unavailable(TEA, ListingStatus::Blocked)])
        .given(SELLER, pause(TEA))
        .when(BUYER, add(TEA, 1))
        .then_rejected([unavailable(TEA, ListingStatus::Blocked)])
        .when(SELLER, ship(order))
        .then_types(["order.shipped.v2"])
        .when(OPERATOR, unblock(TEA))
        .then_events([Unblocked { listing: id, reason: "it is genuine".to_owned(), seller }.into()])
        .when(OPERATOR, unblock(TEA))
        .then_unchanged()
        .when(BUYER, add(TEA, 1))
        .then_rejected([unavailable(TEA, ListingStatus::Paused)])
        .given(SELLER, resume(TEA))
        .given(BUYER, add(TEA, 1));
    for command in [block(POT), unblock(POT)] {
        shop()
            .when(OPERATOR, command.clone())
            .then_rejected([Rejection::ListingUnknown { listing: listing(POT) }])
            .when(SELLER, command)
            .then_refused(no_role());
    }
}

#[test]
fn a_suspended_seller_sells_nothing_and_ships_what_is_sold() {
    let account = SELLER.account();
    let suspended = || Rejection::SellerSuspended { listing: listing(TEA), seller: account };
    let mut world = shop();
    let order = world.placed(BUYER, place(&[(TEA, 1)], usd(500)));
    world
        .when(OPERATOR, suspend(SELLER))
        .then_events([SellerSuspended { account, reason: "complaints".to_owned() }.into()])
        .when_again()
        .then_repeat()
        .when(OPERATOR, suspend(SELLER))
        .then_unchanged()
        .when(BUYER, add(TEA, 1))
        .then_rejected([suspended()])
        .when(BUYER, place(&[(TEA, 1)], usd(500)))
        .then_rejected([suspended()])
        .given(OPERATOR, block(TEA))
        .when(BUYER, place(&[(TEA, 99)], usd(500)))
        .then_rejected([
            unavailable(TEA, ListingStatus::Blocked),
            suspended(),
            Rejection::InsufficientStock { listing: listing(TEA), requested: 99, available: 9 },
            Rejection::TotalMismatch { signed: usd(500), actual: usd(49_500) },
        ])
        .given(OPERATOR, unblock(TEA))
        .when(SELLER, ship(order))
        .then_types(["order.shipped.v2"])
        .when(OPERATOR, reinstate(SELLER))
        .then_events([SellerReinstated { account, reason: "settled".to_owned() }.into()])
        .when(OPERATOR, reinstate(SELLER))
        .then_unchanged()
        .given(BUYER, add(TEA, 1));
    for command in [suspend, reinstate] {
        shop()
            .when(OPERATOR, command(Actor(19)))
            .then_rejected([Rejection::AccountUnknown { account: Actor(19).account() }])
            .when(OPERATOR, command(BUYER))
            .then_rejected([Rejection::RoleMissing { account: BUYER.account(), role: Role::Seller }])
            .when(SELLER, command(SELLER))
            .then_refused(no_role());
    }
}

#[test]
fn an_order_has_as_many_units_as_the_listing_allows() {
    let limit = |min, max| Rejection::QuantityLimit { listing: listing(TEA), max, min };
    let mut world = shop();
    world
        .given(SELLER, UpdateListing { limits: Some(limits(Some(2), Some(4))), ..update(TEA) }.into())
        .when(BUYER, place(&[(TEA, 1)], usd(5_000)))
        .then_rejected([limit(Some(2), 4)])
        .when(BUYER, place(&[(TEA, 5)], usd(5_000)))
        .then_rejected([limit(Some(2), 4)])
        .when(BUYER, place(&[(TEA, 2)], usd(5_000)))
        .then_types(["order.placed.v1", "escrow.held.v1"])
        .when(BUYER, place(&[(TEA, 4)], usd(5_000)))
        .then_types(["order.placed.v1", "escrow.held.v1"])
        .given(BUYER, add(TEA, 1));
    let cart = world.cart(BUYER);
    world
        .when(BUYER, migrate(cart, usd(5_000)))
        .then_rejected([limit(Some(2), 4)])
        .given(SELLER, UpdateListing { limits: Some(limits(None, Some(3))), ..update(TEA) }.into())
        .when(BUYER, place(&[(TEA, 4)], usd(5_000)))
        .then_rejected([limit(None, 3)])
        .when(BUYER, migrate(cart, usd(5_000)))
        .then_types(["order.placed.v1", "escrow.held.v1", "cart.migrated.v1"]);
}

#[test]
fn restricted_goods_are_for_those_whom_an_operator_cleared() {
    let account = BUYER.account();
    let missing = || Rejection::ClearanceMissing { listing: listing(TEA) };
    shop()
        .given(SELLER, UpdateListing { restricted: Some(true), ..update(TEA) }.into())
        .when(BUYER, place(&[(TEA, 1)], usd(500)))
        .then_rejected([missing()])
        .when(OPERATOR, grant_clearance(BUYER))
        .then_events([ClearanceGranted { account, reason: "of age".to_owned() }.into()])
        .when_again()
        .then_repeat()
        .when(OPERATOR, grant_clearance(BUYER))
        .then_unchanged()
        .when(BUYER, place(&[(TEA, 1)], usd(500)))
        .then_types(["order.placed.v1", "escrow.held.v1"])
        .when(OPERATOR, revoke_clearance(BUYER))
        .then_events([ClearanceRevoked { account, reason: "forged papers".to_owned() }.into()])
        .when(OPERATOR, revoke_clearance(BUYER))
        .then_unchanged()
        .when(BUYER, place(&[(TEA, 1)], usd(500)))
        .then_rejected([missing()])
        .given(SELLER, UpdateListing { restricted: Some(false), ..update(TEA) }.into())
        .when(BUYER, place(&[(TEA, 1)], usd(500)))
        .then_types(["order.placed.v1", "escrow.held.v1"]);
    for command in [grant_clearance, revoke_clearance] {
        shop()
            .when(OPERATOR, command(Actor(29)))
            .then_rejected([Rejection::AccountUnknown { account: Actor(29).account() }])
            .when(OPERATOR, command(SELLER))
            .then_rejected([Rejection::RoleMissing { account: SELLER.account(), role: Role::Buyer }])
            .when(BUYER, command(BUYER))
            .then_refused(no_role());
    }
}

#[test]
fn a_variant_is_a_listing_of_its_own_with_its_own_price_and_stock() {
    let red = [("colour", "red"), ("size", "L")];
    let attributes = red.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let created = Created {
        variant: Some(Variant { attributes, of: listing(TEA) }),
        ..Created::new(listing(POT), usd(500), SELLER.account(), "A thing".to_owned())
    };
    shop()
        .when(SELLER, create_variant(POT, TEA, &red))
        .then_events([created.into()])
        .when_again()
        .then_repeat()
        .given(SELLER, receive(POT, 1))
        .when(BUYER, place(&[(POT, 2)], usd(5_000)))
        .then_rejected([Rejection::InsufficientStock { listing: listing(POT), requested: 2, available: 1 }])
        .when(BUYER, place(&[(POT, 1), (TEA, 10)], usd(5_500)))
        .then_types(["order.placed.v1", "escrow.held.v1"])
        .when(SELLER, create_variant(CUP, TEA, &[("size", "L"), ("colour", "red")]))
        .then_rejected([Rejection::VariantExists { listing: listing(POT) }])
        .given(SELLER, withdraw(POT))
        .when(SELLER, create_variant(CUP, TEA, &red))
        .then_types(["listing.created.v1"])
        .when(SELLER, create_variant(4, TEA, &[("colour", "red")]))
        .then_types(["listing.created.v1"]);
}

#[test]
fn a_variant_is_one_of_a_listing_of_the_same_seller_that_is_itself_none() {
    let red = [("colour", "red")];
    shop()
        .given(SELLER, create_variant(POT, TEA, &red))
        .when(SELLER, create_variant(CUP, POT, &red))
        .then_rejected([Rejection::VariantOfVariant { listing: listing(POT) }])
        .when(SELLER, create_variant(CUP, 77, &red))
        .then_rejected([Rejection::ListingUnknown { listing: listing(77) }])
        .when(SELLER, create_variant(CUP, CUP, &red))
        .then_rejected([Rejection::ListingUnknown { listing: listing(CUP) }])
        .when(OTHER_SELLER, create_variant(CUP, TEA, &[("colour", "blue")]))
        .then_rejected([Rejection::NotYourListing { listing: listing(TEA) }])
        .given(SELLER, withdraw(TEA))
        .when(SELLER, create_variant(CUP, TEA, &[("colour", "blue")]))
        .then_rejected([unavailable(TEA, ListingStatus::Withdrawn)]);
}

#[test]
fn a_variant_has_one_to_eight_short_attributes() {
    use commands::command::Attributes;
    let attributes = |count: usize, name: usize, value: usize| {
        let named = (0..count).map(|n| (format!("{n}{}", "n".repeat(name - 1)), "v".repeat(value)));
        Attributes::try_from(named.collect::<std::collections::BTreeMap<_, _>>()).is_ok()
    };
    assert!(attributes(1, 1, 1) && attributes(8, 32, 64));
    for (count, name, value) in [(0, 1, 1), (9, 1, 1), (1, 33, 1), (1, 1, 65), (1, 1, 0)] {
        assert!(!attributes(count, name, value), "{count} {name} {value}");
    }
}
