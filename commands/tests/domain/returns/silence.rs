//! What becomes of a return when nobody does anything.

use events::returns::ReturnEnd;

use super::*;

/// Lets the next deadline pass, which is this much later.
#[track_caller]
fn then_waits(world: &mut World, ms: i64) {
    let before = world.now;
    world.when_deadline();
    assert_eq!(world.now.ms_since(before), ms);
}

fn ended(world: &World) -> Option<ReturnEnd> {
    world.events().iter().find_map(|event| match event {
        Event::ReturnEnded(ended) => Some(ended.outcome),
        _ => None,
    })
}

#[test]
fn a_seller_who_does_not_answer_agrees() {
    let (mut world, order) = paid();
    world.given(BUYER, ask_return(order, 1, &[(TEA, 1)]));
    then_waits(&mut world, 2 * DAY_MS);
    world.then_types(["return.approved.v1"]);
}

#[test]
fn a_buyer_who_does_not_send_gives_up_and_the_inspection_goes_on() {
    let (mut world, order) = inspected();
    world
        .after(DAY_MS)
        .given(BUYER, ask_return(order, 1, &[(TEA, 1)]))
        .given(SELLER, approve_return(order, 1));
    then_waits(&mut world, 7 * DAY_MS);
    world.then_types(["return.ended.v1", "escrow.unfrozen.v1"]);
    assert_eq!(ended(&world), Some(ReturnEnd::Expired));
    then_waits(&mut world, 2 * DAY_MS);
    world.then_types(["escrow.released.v2"]);
    then_holds(&world, [(earned(), 3900)]);
}

#[test]
fn a_seller_who_does_not_say_how_the_units_arrived_has_them_intact() {
    for (mut world, order) in [paid(), inspected()] {
        sent_back(&mut world, order, 1, &[(TEA, 2)]);
        then_waits(&mut world, 17 * DAY_MS);
        assert_eq!(world.events().iter().find_map(amount_of), Some(usd(1000)));
        then_holds(&world, [(wallet(), 7000)]);
        assert_eq!(stock(&world, TEA), (9, 0));
    }
}

#[test]
fn a_buyer_who_does_not_appeal_lets_a_rejection_stand() {
    let (mut world, order) = paid();
    world.given(BUYER, ask_return(order, 1, &[(TEA, 1)])).given(SELLER, reject_return(order, 1));
    then_waits(&mut world, 3 * DAY_MS);
    assert_eq!(ended(&world), Some(ReturnEnd::Rejected));
}

#[test]
fn what_no_operator_decides_is_as_the_buyer_wants_it() {
    let (mut world, order) = paid();
    world
        .given(BUYER, ask_return(order, 1, &[(TEA, 1)]))
        .given(SELLER, reject_return(order, 1))
        .given(BUYER, appeal_return(order, 1));
    then_waits(&mut world, 7 * DAY_MS);
    world.then_types(["return.approved.v1"]);
    world
        .given(BUYER, send_return(order, 1))
        .given(SELLER, receive_as(order, 1, Some(&[(TEA, [0, 0, 1, 0])]), Some(usd(500))))
        .given(BUYER, appeal_return(order, 1));
    then_waits(&mut world, 7 * DAY_MS);
    assert_eq!(world.events().iter().find_map(amount_of), Some(usd(500)));
    assert_eq!(stock(&world, TEA), (7, 0), "it never came");
}

#[test]
fn an_order_whose_window_ended_during_a_return_is_closed_with_the_return() {
    let (mut world, order) = paid();
    world.after(30 * DAY_MS).given(BUYER, ask_return(order, 1, &[(TEA, 1)]));
    then_waits(&mut world, 2 * DAY_MS);
    then_waits(&mut world, 7 * DAY_MS);
    assert_eq!(ended(&world), Some(ReturnEnd::Expired));
    then_waits(&mut world, 0);
    world.then_types(["order.closed.v1"]);
    assert_eq!(closed_as(&world, order), Some(OrderState::Completed));
}

#[test]
fn there_is_room_for_what_a_seller_comes_to_owe_when_a_deadline_takes_money_back() {
    let (mut world, order) = paid();
    // He has been paid out what he had earned.
    world.given(SELLER, pay_out(usd(3900)));
    let payout = world.payout();
    let reference = text("po");
    world
        .given(PROVIDER, report_payout(payout, commands::command::PayoutOutcome::Paid { reference }))
        .given(BUYER, ask_return(order, 1, &[(TEA, 2)]));
    // 61 dollars are inside, and 10 may come to be owed.
    let room = Money::MINOR_MAX - 6100 - 1000;
    let too_much = Money::new(room + 1, usd(0).currency);
    world
        .when(PROVIDER, fund_as("too much", BUYER, too_much))
        .then_rejected([Rejection::AmountOverflow])
        .given(PROVIDER, fund_as("all there may be", BUYER, Money::new(room, usd(0).currency)));
    // Neither can more be asked to come back.
    world.when_deadline().given(BUYER, send_return(order, 1)).when_deadline();
    assert_eq!(world.events().iter().find_map(amount_of), Some(usd(1000)));
    then_holds(&world, [(owed(), -975), (FEES, 75), (wallet(), 6000 + room + 1000)]);
    assert!(world.market.ledger.pledged().is_empty());
    // What has come to be owed takes the room that was kept for it, but for what the platform gave back.
    world
        .when(PROVIDER, fund_as("a little", BUYER, usd(26)))
        .then_rejected([Rejection::AmountOverflow])
        .when(BUYER, ask_return(order, 1, &[(TEA, 1)]))
        .then_rejected([Rejection::AmountOverflow]);
}
