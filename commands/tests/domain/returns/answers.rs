//! What sellers and operators say about returns.

use events::returns::{
    Appealed, Approved, DecisionProposed, Deduction, Ended, Received, Rejected, ReturnEnd, Sent,
};

use super::*;
use crate::support::suspended::ByTwo;

fn state(order: OrderId, state: ReturnState) -> [Rejection; 1] {
    [ReturnRejection::ReturnState { number: nth_return(1), order, state }.into()]
}

#[test]
fn a_seller_approves_once_and_may_change_his_mind_after_a_rejection() {
    let (mut world, order) = paid();
    let number = nth_return(1);
    world.given(BUYER, ask_return(order, 1, &[(TEA, 1)]));
    let (appeal_by, send_by) = (world.now.plus_ms(3 * DAY_MS), world.now.plus_ms(7 * DAY_MS));
    world
        .when(SELLER, reject_return(order, 1))
        .then_events([Rejected { appeal_by, number, order, reason: "it was used".to_owned() }.into()])
        .when(SELLER, reject_return(order, 1))
        .then_unchanged()
        .when(BUYER, send_return(order, 1))
        .then_rejected(state(order, ReturnState::Rejected))
        .when(SELLER, approve_return(order, 1))
        .then_events([Approved { by: DecidedBy::Seller, note: None, number, order, send_by }.into()])
        .when(SELLER, approve_return(order, 1))
        .then_unchanged()
        .when(SELLER, reject_return(order, 1))
        .then_rejected(state(order, ReturnState::Approved));
}

#[test]
fn a_buyer_sends_what_is_approved_and_gives_up_only_what_he_has_not_sent() {
    let (mut world, order) = paid();
    world
        .given(BUYER, ask_return(order, 1, &[(TEA, 1)]))
        .when(BUYER, send_return(order, 1))
        .then_rejected(state(order, ReturnState::Requested))
        .when(SELLER, receive_return(order, 1))
        .then_rejected(state(order, ReturnState::Requested))
        .when(BUYER, appeal_return(order, 1))
        .then_rejected(state(order, ReturnState::Requested))
        .given(SELLER, approve_return(order, 1));
    // Fourteen days to arrive and three to be looked at.
    let inspect_by = world.now.plus_ms(17 * DAY_MS);
    let (carrier, tracking) = (Some("DHL".to_owned()), Some("T1".to_owned()));
    world
        .when(BUYER, send_return(order, 1))
        .then_events([Sent { carrier, inspect_by, number: nth_return(1), order, tracking }.into()])
        .when(BUYER, send_return(order, 1))
        .then_unchanged()
        .when(BUYER, cancel_return(order, 1))
        .then_rejected(state(order, ReturnState::Sent));
}

#[test]
fn an_operator_decides_about_a_rejected_return_whose_buyer_asks_him() {
    for (decision, types) in [
        (ReturnDecision::Approve, ["return.approved.v1"].as_slice()),
        (ReturnDecision::Deny, ["return.ended.v1", "escrow.unfrozen.v1"].as_slice()),
    ] {
        let (mut world, order) = inspected();
        world.given(BUYER, ask_return(order, 1, &[])).given(SELLER, reject_return(order, 1));
        let decide_by = world.now.plus_ms(7 * DAY_MS);
        let (note, number) = ("it was not".to_owned(), nth_return(1));
        world
            .when(OPERATOR, decide_return(order, 1, decision))
            .then_rejected(state(order, ReturnState::Rejected))
            .when(BUYER, appeal_return(order, 1))
            .then_events([Appealed { decide_by, note, number, order }.into()])
            .when(BUYER, appeal_return(order, 1))
            .then_unchanged()
            .when(OPERATOR, decide_return(order, 1, ReturnDecision::Deduct(usd(1))))
            .then_rejected([ReturnRejection::NothingToDeduct { number, order }.into()])
            .when(OPERATOR, decide_return(order, 1, decision));
        assert_eq!(world.events().iter().map(Event::type_name).collect::<Vec<_>>(), types);
        if decision == ReturnDecision::Deny {
            let [Event::ReturnEnded(Ended { outcome, .. }), _] = world.events() else { panic!() };
            assert_eq!(*outcome, ReturnEnd::Denied);
            then_holds(&world, [(LedgerAccount::Escrow(order), 4000)]);
            world.given(BUYER, ask_return(order, 1, &[]));
        }
    }
}

/// A pot and three teas come back: one tea is damaged and one is missing, and 7 dollars are to be kept for that.
fn deducted(world: &mut World, order: OrderId) {
    sent_back(world, order, 1, &[]);
    let lines: &[_] = &[(POT, [1, 0, 0, 0]), (TEA, [1, 1, 1, 0])];
    world.when(SELLER, receive_as(order, 1, Some(lines), Some(usd(700))));
}

#[test]
fn what_did_not_come_back_intact_may_be_deducted_for_and_damaged_units_are_not_sold_again() {
    // Of a dollar of fees 82.5 cents go back, or of 7 dollars 17.5 are taken.
    for ((mut world, order), fee) in [(paid(), 17), (inspected(), 18)] {
        deducted(&mut world, order);
        let appeal_by = world.now.plus_ms(3 * DAY_MS);
        let deduction = Deduction { amount: usd(700), appeal_by, note: "scratched".to_owned() };
        world.then_events([Received {
            by: DecidedBy::Seller,
            deduction: Some(deduction),
            lines: vec![outcome(TEA, [1, 1, 1, 0]), outcome(POT, [1, 0, 0, 0])],
            location: None,
            number: nth_return(1),
            order,
        }
        .into()]);
        assert_eq!((stock(&world, TEA), stock(&world, POT)), ((8, 1), (2, 0)));
        world
            .when(SELLER, receive_return(order, 1))
            .then_rejected(state(order, ReturnState::Deducted))
            .when(BUYER, cancel_return(order, 1))
            .then_rejected(state(order, ReturnState::Deducted));
        // The buyer says nothing: it stands. The seller is paid 7 dollars less the platform's part.
        world.when_deadline();
        assert_eq!(world.events().iter().find_map(amount_of), Some(usd(3300)));
        then_holds(&world, [(wallet(), 9300), (earned(), 700 - fee), (FEES, fee)]);
    }
}

#[test]
fn an_operator_decides_about_a_deduction_whose_buyer_asks_him() {
    for (decision, back) in [
        (ReturnDecision::Approve, 4000),
        (ReturnDecision::Deny, 3300),
        (ReturnDecision::Deduct(usd(200)), 3800),
    ] {
        for (mut world, order) in [paid(), inspected()] {
            deducted(&mut world, order);
            let too_much = ReturnRejection::DeductionAmount { most: usd(700) };
            world.given(BUYER, appeal_return(order, 1));
            for wrong in [usd(0), usd(701), eur(100)] {
                world
                    .when(OPERATOR, decide_return(order, 1, ReturnDecision::Deduct(wrong)))
                    .then_rejected([too_much.clone().into()]);
            }
            world.when(OPERATOR, decide_return(order, 1, decision));
            assert_eq!(world.events().iter().find_map(amount_of), Some(usd(back)), "{decision:?}");
            then_holds(&world, [(wallet(), 6000 + back)]);
        }
    }
}

#[test]
fn a_deduction_is_at_most_what_was_paid_for_units_that_are_not_intact_and_has_a_reason() {
    let (mut world, order) = paid();
    sent_back(&mut world, order, 1, &[]);
    let lines: &[_] = &[(POT, [1, 0, 0, 0]), (TEA, [1, 1, 0, 1])];
    let most = ReturnRejection::DeductionAmount { most: usd(1000) };
    for wrong in [usd(0), usd(1001), eur(10)] {
        world
            .when(SELLER, receive_as(order, 1, Some(lines), Some(wrong)))
            .then_rejected([most.clone().into()]);
    }
    let none = ReturnRejection::DeductionAmount { most: usd(0) };
    world.when(SELLER, receive_as(order, 1, None, Some(usd(1)))).then_rejected([none.into()]);
    let Command::ReceiveReturn(mut silent) = receive_as(order, 1, Some(lines), Some(usd(1000))) else {
        unreachable!("it is made above")
    };
    silent.note = None;
    world
        .when(SELLER, silent)
        .then_rejected([most.into()])
        .given(SELLER, receive_as(order, 1, Some(lines), Some(usd(1000))));
}

#[test]
fn all_units_of_a_return_are_spoken_of_once() {
    let (mut world, order) = paid();
    sent_back(&mut world, order, 1, &[(TEA, 2)]);
    let wrong = |n, units| Rejection::from(ReturnRejection::ReceivedUnits { listing: listing(n), units });
    for lines in [
        [(TEA, [1, 0, 0, 0])].as_slice(),
        &[(TEA, [1, 1, 1, 0])],
        &[(TEA, [1, 0, 0, 0]), (TEA, [1, 0, 0, 0])],
        &[(TEA, [u32::MAX, 3, 0, 0])],
        &[],
    ] {
        world.when(SELLER, receive_as(order, 1, Some(lines), None)).then_rejected([wrong(TEA, 2)]);
    }
    let lines: &[_] = &[(TEA, [2, 0, 0, 0]), (POT, [1, 0, 0, 0])];
    world.when(SELLER, receive_as(order, 1, Some(lines), None)).then_rejected([wrong(POT, 0)]);
}

#[test]
fn units_come_back_to_a_named_location() {
    let (mut world, order) = paid();
    sent_back(&mut world, order, 1, &[(TEA, 2)]);
    let Command::ReceiveReturn(mut there) = receive_as(order, 1, Some(&[(TEA, [1, 1, 0, 0])]), None) else {
        unreachable!("it is made above")
    };
    let berlin: events::location::Location = "berlin".parse().unwrap();
    there.location = Some(berlin.clone());
    world.given(SELLER, there.into()).then(|market| {
        let there = market.listings.get(listing(TEA)).unwrap().stock.at(Some(&berlin));
        assert_eq!((there.on_hand, there.damaged), (1, 1));
    });
}

#[test]
fn a_shipment_all_of_whose_money_went_back_in_a_return_is_done() {
    let (mut world, order) = inspected();
    sent_back(&mut world, order, 1, &[]);
    world.given(SELLER, receive_return(order, 1));
    then_holds(&world, [(wallet(), 10_000), (LedgerAccount::Escrow(order), 0)]);
    world.when_deadline();
    assert_eq!(closed_as(&world, order), Some(OrderState::Refunded));
}

#[test]
fn two_operators_decide_about_a_return_of_more_than_the_limit() {
    let returns = Some(thirty_days());
    let escrow = events::market::EscrowTerms::new(3_999, 60 * DAY_MS).unwrap().returning(returns);
    let mut world = shop(World::on(Terms { escrow: Some(escrow), ..Terms::default() }), false);
    let order = delivered(&mut world, true);
    world
        .given(BUYER, ask_return(order, 1, &[]))
        .given(SELLER, reject_return(order, 1))
        .given(BUYER, appeal_return(order, 1));
    let proposed = |by: Actor, decision| {
        let (note, number) = ("looked at it".to_owned(), nth_return(1));
        [Event::from(DecisionProposed { by: by.account(), decision, note, number, order })]
    };
    let (deny, approve) = (ReturnDecision::Deny, ReturnDecision::Approve);
    world
        .when(OPERATOR, decide_return(order, 1, ReturnDecision::Deduct(usd(1))))
        .then_rejected([ReturnRejection::NothingToDeduct { number: nth_return(1), order }.into()])
        .when(OPERATOR, decide_return(order, 1, deny))
        .then_events(proposed(OPERATOR, deny))
        .when(OPERATOR, decide_return(order, 1, deny))
        .then_rejected([Rejection::FourEyes { order }])
        // Who sees it otherwise proposes that.
        .when(OTHER_OPERATOR, decide_return(order, 1, approve))
        .then_events(proposed(OTHER_OPERATOR, approve))
        .when(OPERATOR, decide_return(order, 1, approve))
        .then_types(["return.approved.v1"]);
    // About what came back two have to agree anew, and in time.
    world.given(BUYER, send_return(order, 1));
    world.given(
        SELLER,
        receive_as(order, 1, Some(&[(POT, [0, 1, 0, 0]), (TEA, [3, 0, 0, 0])]), Some(usd(900))),
    );
    let keeps = ReturnDecision::Deduct(usd(400));
    world
        .given(BUYER, appeal_return(order, 1))
        .when(OPERATOR, decide_return(order, 1, keeps))
        .then_events(proposed(OPERATOR, keeps))
        .when_deadline()
        .then_types(["return.refunded.v1"]);
    assert_eq!(world.events().iter().find_map(amount_of), Some(usd(4000)));
}

#[test]
fn a_suspended_operator_is_none_of_the_two_who_decide_about_a_return() {
    let appealed = || {
        let returns = Some(thirty_days());
        let escrow = events::market::EscrowTerms::new(3_999, 60 * DAY_MS).unwrap().returning(returns);
        let mut world = shop(World::on(Terms { escrow: Some(escrow), ..Terms::default() }), false);
        let order = delivered(&mut world, true);
        world
            .given(BUYER, ask_return(order, 1, &[]))
            .given(SELLER, reject_return(order, 1))
            .given(BUYER, appeal_return(order, 1));
        let command = decide_return(order, 1, ReturnDecision::Approve);
        let (proposed, done) = ("return.decision_proposed.v1", "return.approved.v1");
        (world, ByTwo { command, proposed, alone: Rejection::FourEyes { order }, done })
    };
    let (mut world, approve) = appealed();
    approve.needs_two_who_are_not_suspended(&mut world);
    let (mut world, approve) = appealed();
    approve.counts_again_after_a_reinstatement(&mut world);
}

#[test]
fn one_operator_decides_about_a_return_up_to_the_limit() {
    let escrow = events::market::EscrowTerms::new(4_000, 60 * DAY_MS).unwrap().returning(Some(thirty_days()));
    let mut world = shop(World::on(Terms { escrow: Some(escrow), ..Terms::default() }), false);
    let order = delivered(&mut world, true);
    world
        .given(BUYER, ask_return(order, 1, &[]))
        .given(SELLER, reject_return(order, 1))
        .given(BUYER, appeal_return(order, 1))
        .when(OPERATOR, decide_return(order, 1, ReturnDecision::Approve))
        .then_types(["return.approved.v1"]);
}
