//! Listings of which nothing is taken back.

use commands::command::{CreateListing, UpdateListing};

use super::*;
use crate::support::changes::{accept_change, propose};

/// Sold for good.
const LAST: u64 = 60;

fn sold_for_good(world: &mut World) {
    let Command::CreateListing(asked) = create_listing(LAST, usd(500)) else { panic!() };
    world.given(SELLER, CreateListing { final_sale: true, ..asked }.into()).given(SELLER, receive(LAST, 9));
}

fn says(n: u64, final_sale: bool) -> Command {
    UpdateListing { final_sale: Some(final_sale), ..update(n) }.into()
}

fn refused(n: u64) -> [Rejection; 1] {
    [ReturnRejection::FinalSale { listing: listing(n) }.into()]
}

#[test]
fn what_was_sold_for_good_is_not_taken_back_and_all_else_of_the_order_is() {
    let mut world = shop(taking_back(true), false);
    sold_for_good(&mut world);
    let order = world.placed(BUYER, place(&[(TEA, 1), (LAST, 2)], usd(1500)));
    let Some(Event::OrderPlaced(placed)) = world.events().first() else { panic!() };
    assert_eq!(placed.lines.iter().map(|line| line.final_sale).collect::<Vec<_>>(), [false, true]);
    world
        .given(SELLER, ship(order))
        .given(BUYER, confirm(order))
        .when(BUYER, ask_return(order, 1, &[(LAST, 1)]))
        .then_rejected(refused(LAST))
        .given(BUYER, ask_return(order, 1, &[]))
        .given(SELLER, approve_return(order, 1))
        .given(SELLER, receive_return(order, 1));
    then_holds(&world, [(wallet(), 10_000 - 1000)]);
    // Nothing else of it can be returned: it is closed at once.
    world.when_deadline();
    assert_eq!(closed_as(&world, order), Some(OrderState::Completed));
}

#[test]
fn an_order_of_nothing_that_is_taken_back_is_closed_when_it_is_paid() {
    let mut world = shop(taking_back(true), false);
    sold_for_good(&mut world);
    let order = world.placed(BUYER, place(&[(LAST, 1)], usd(500)));
    world
        .given(SELLER, ship(order))
        .given(PROVIDER, confirm(order))
        .when(BUYER, ask_return(order, 1, &[]))
        .then_rejected(refused(LAST))
        .given(BUYER, confirm(order));
    let before = world.now;
    world.when_deadline();
    assert_eq!((world.now, closed_as(&world, order)), (before, Some(OrderState::Completed)));
}

#[test]
fn an_order_keeps_what_it_was_bought_with() {
    // It becomes final behind it, or was and is not any more.
    let mut world = shop(taking_back(true), false);
    let first = world.placed(BUYER, place(&[(TEA, 1)], usd(500)));
    world.given(SELLER, says(TEA, true));
    let second = world.placed(BUYER, place(&[(TEA, 1)], usd(500)));
    world.given(SELLER, says(TEA, false));
    for order in [first, second] {
        world.given(SELLER, ship(order)).given(BUYER, confirm(order));
    }
    world
        .when(BUYER, ask_return(second, 1, &[]))
        .then_rejected(refused(TEA))
        .given(SELLER, says(TEA, true))
        .given(BUYER, ask_return(first, 1, &[]));
}

#[test]
fn a_line_that_a_change_adds_is_what_its_listing_is_and_one_that_grows_stays_what_it_was() {
    let mut world = shop(taking_back(true), false);
    sold_for_good(&mut world);
    let order = world.placed(BUYER, place(&[(TEA, 1)], usd(500)));
    world.given(SELLER, says(TEA, true));
    world.given(BUYER, propose(order, &[(TEA, 2), (LAST, 1)], Some(usd(1000))));
    let change = world.change();
    world
        .given(SELLER, accept_change(order, change, None))
        .given(SELLER, ship(order))
        .given(BUYER, confirm(order))
        .when(BUYER, ask_return(order, 1, &[(LAST, 1)]))
        .then_rejected(refused(LAST))
        .given(BUYER, ask_return(order, 1, &[(TEA, 2)]));
}

#[test]
fn a_seller_says_once_what_he_does_not_take_back() {
    let mut world = shop(taking_back(true), false);
    world
        .when(SELLER, says(TEA, false))
        .then_unchanged()
        .when(SELLER, says(TEA, true))
        .then_types(["listing.updated.v1"])
        .when(SELLER, says(TEA, true))
        .then_unchanged();
}
