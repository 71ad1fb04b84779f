//! Retries get the first outcome, replays get nothing, and what is no longer in memory is asked for.

use crate::support::*;
use commands::order::ClosedOrder;
use commands::replay::{CLOCK_SKEW_MS, Decided, FRESHNESS_MS, NONCES_MAX, Nonces, SEQ_JUMP_MAX, SEQ_WINDOW};
use commands::{Decision, Facts, Question, Refusal, Verified, decide};
use events::rejection::OrderState;
use events::{Hash, Rejection, Timestamp};

fn shop() -> World {
    let mut world = World::new();
    world.given_listing(SELLER, TEA, usd(500), 10).given(PROVIDER, fund(BUYER, usd(10_000)));
    world
}

#[test]
fn a_wish_signed_anew_gets_its_first_outcome_whatever_time_has_passed() {
    let mut world = shop();
    world.given(BUYER, place(&[(TEA, 1)], usd(500))).when_again().then_repeat();
    world.after(100 * DAY_MS).when_again().then_repeat();
    world.when(BUYER, place(&[(TEA, 99)], usd(500))).when_again().then_repeat();
    world.when(BUYER, clear()).then_unchanged().when_again().then_repeat();
}

#[test]
fn the_same_bytes_again_get_the_first_outcome_even_when_they_are_old() {
    let mut world = shop();
    let signed = world.sign(BUYER, place(&[(TEA, 1)], usd(500)));
    world.when_signed(signed.clone()).after(DAY_MS).when_signed(signed).then_repeat();
    assert_eq!(world.market.orders.open_count(), 1);
}

#[test]
fn a_refused_wish_stays_refused_when_the_reason_is_gone() {
    let mut world = shop();
    let signed = world.sign(BUYER, place(&[(TEA, 11)], usd(5500)));
    world.when_signed(signed.clone());
    let rejected_at = world.head().position;
    world.given(SELLER, receive(TEA, 10)).when_signed(signed);
    assert_eq!(*world.outcome(), Decision::Repeat(rejected_at));
}

#[test]
fn an_id_stands_for_one_wish_of_one_account() {
    let mut world = shop();
    let first = world.sign(BUYER, add(TEA, 1));
    let mut second = world.sign(BUYER, add(TEA, 2));
    second.stamp.command = first.stamp.command;
    let mut others = world.sign(OTHER_BUYER, add(TEA, 2));
    others.stamp.command = first.stamp.command;
    world
        .when_signed(first)
        .when_signed(second)
        .then_refused(Refusal::CommandConflict)
        .when_signed(others)
        .then_types(["cart.item_added.v1"]);
}

#[test]
fn a_command_is_good_from_its_signing_to_its_end() {
    let at = |issued: i64, expires: i64| {
        move |signed: Verified| Verified {
            issued_at: START.plus_ms(issued),
            expires_at: START.plus_ms(expires),
            ..signed
        }
    };
    let stale = Some(Refusal::Stale { server_time: START });
    let from_future = Some(Refusal::FromFuture { server_time: START });
    for (issued, expires, refusal) in [
        (0, 0, None),
        (0, -1, stale.clone()),
        (CLOCK_SKEW_MS, DAY_MS, None),
        (CLOCK_SKEW_MS + 1, DAY_MS, from_future.clone()),
        (-FRESHNESS_MS, DAY_MS, None),
        (-FRESHNESS_MS - 1, DAY_MS, stale),
        (i64::MAX, i64::MAX, from_future),
        (i64::MIN, i64::MIN, Some(Refusal::Stale { server_time: START })),
    ] {
        let mut world = World::new();
        let signed = at(issued, expires)(world.sign(BUYER, clear()));
        world.when_signed(signed);
        match refusal {
            None => world.then_unchanged(),
            Some(refusal) => world.then_refused(refusal),
        };
    }
}

#[test]
fn an_id_carries_its_time_which_is_not_in_the_future() {
    let from_future = Refusal::FromFuture { server_time: START };
    let mut world = World::new();
    let mut signed = world.sign(BUYER, clear());
    signed.stamp.command = cid(START.plus_ms(CLOCK_SKEW_MS + 1), 1);
    world.when_signed(signed.clone()).then_refused(from_future.clone());
    signed.stamp.command = "0190b5a0-7c00-4000-8000-000000000001".parse().unwrap();
    world.when_signed(signed.clone()).then_refused(from_future);
    signed.stamp.command = cid(START.plus_ms(CLOCK_SKEW_MS), 1);
    world.when_signed(signed).then_unchanged();
}

#[test]
fn a_nonce_is_good_once_for_its_key() {
    let mut world = World::new();
    let first = world.sign(BUYER, clear());
    let nonce = first.stamp.nonce;
    let mut second = world.sign(BUYER, clear());
    second.stamp.nonce = nonce;
    let mut others = world.sign(OTHER_BUYER, clear());
    others.stamp.nonce = nonce;
    world
        .when_signed(first)
        .when_signed(second)
        .then_refused(Refusal::NonceReused)
        .when_signed(others)
        .then_unchanged();
}

/// A memory of as many nonces as there may be, the oldest a millisecond older than the others.
fn full_of_nonces(oldest: Timestamp) -> Nonces {
    let most = NONCES_MAX as u64;
    let used_at = |n: u64| if n == 0 { oldest } else { oldest.plus_ms(1) };
    let parts: (Vec<u64>, Vec<(Timestamp, u64)>) =
        ((0..most).collect(), (0..most).map(|n| (used_at(n), n)).collect());
    let bytes = bincode::serde::encode_to_vec(parts, bincode::config::standard()).unwrap();
    bincode::serde::decode_from_slice(&bytes, bincode::config::standard()).unwrap().0
}

#[test]
fn while_as_many_nonces_as_may_be_can_be_replayed_new_commands_wait() {
    let mut world = World::new();
    let early = world.sign(BUYER, clear());
    world.when_signed(early.clone()).then_unchanged();
    world.market.nonces = full_of_nonces(START);
    world.after(FRESHNESS_MS + CLOCK_SKEW_MS);
    let before = world.market.clone();
    world.when(BUYER, clear()).then_refused(Refusal::Busy);
    assert!(world.market == before);
    // What was decided keeps its outcome, and a moment later there is room for one.
    world.when_signed(early).then_repeat();
    world.after(1).when(BUYER, clear()).then_unchanged();
    world.when(BUYER, clear()).then_refused(Refusal::Busy);
    world.after(1).when(BUYER, clear()).then_unchanged().when(BUYER, clear()).then_unchanged();
}

#[test]
fn a_number_is_good_once_in_any_order_within_the_window() {
    let mut world = World::new();
    let high = 5_000_000;
    for (seq, refusal) in [
        (high, None),
        (high, Some(Refusal::SeqReplayed { high })),
        (high - 1, None),
        (high - 1, Some(Refusal::SeqReplayed { high })),
        (high - SEQ_WINDOW + 1, None),
        (high - SEQ_WINDOW, Some(Refusal::SeqTooOld { high })),
        (0, Some(Refusal::SeqTooOld { high })),
        (high + SEQ_JUMP_MAX + 1, Some(Refusal::SeqJump { high })),
        (u64::MAX, Some(Refusal::SeqJump { high })),
        (high + SEQ_JUMP_MAX, None),
    ] {
        let mut signed = world.sign(BUYER, clear());
        signed.stamp.seq = seq;
        world.when_signed(signed);
        match refusal {
            None => world.then_unchanged(),
            Some(refusal) => world.then_refused(refusal),
        };
    }
}

#[test]
fn a_rejected_command_has_consumed_its_ids_and_a_refused_one_has_not() {
    let mut world = shop();
    let rejected = world.sign(BUYER, place(&[(TEA, 99)], usd(500)));
    let mut same_number = world.sign(BUYER, clear());
    same_number.stamp.seq = rejected.stamp.seq;
    let high = rejected.stamp.seq;
    let mut same_nonce = world.sign(BUYER, clear());
    same_nonce.stamp.nonce = rejected.stamp.nonce;
    world
        .when_signed(rejected)
        .when_signed(same_number)
        .then_refused(Refusal::SeqReplayed { high })
        .when_signed(same_nonce)
        .then_refused(Refusal::NonceReused);
    let late = Verified { expires_at: world.now.plus_ms(-1), ..world.sign(BUYER, clear()) };
    let before = world.market.clone();
    world.when_signed(late.clone()).then_refused(Refusal::Stale { server_time: START });
    assert_eq!(world.market, before);
    let again = Verified { expires_at: world.now, ..late };
    world.when_signed(again).then_unchanged();
}

#[test]
fn a_key_signs_for_its_own_account_and_device() {
    let denied = Refusal::ScopeDenied { rule: "the key belongs to another account or device".into() };
    let mut world = World::new();
    let mut signed = world.sign(BUYER, clear());
    signed.stamp.account = OTHER_BUYER.account();
    world.when_signed(signed).then_refused(denied.clone());
    let mut signed = world.sign(BUYER, clear());
    signed.stamp.device = OTHER_BUYER.device();
    world.when_signed(signed).then_refused(denied);
    let mut signed = world.sign(BUYER, clear());
    signed.stamp.key = Actor(77).key().id();
    world.when_signed(signed).then_refused(Refusal::KidUnknown);
}

#[test]
fn checks_stand_in_the_order_of_their_numbers() {
    let mut world = World::new();
    let decided = world.sign(BUYER, clear());
    world.when_signed(decided.clone());
    // Everything is wrong: another's key, a conflict, too old, no role, a used number and nonce.
    let mut wrong = Verified { expires_at: START.plus_ms(-1), ..decided.clone() };
    wrong.command = create_listing(TEA, usd(1));
    wrong.stamp.fingerprint = fingerprint(&wrong.command);
    let mut of_another = wrong.clone();
    of_another.stamp.device = SELLER.device();
    let denied = |rule: &'static str| Refusal::ScopeDenied { rule: rule.into() };
    world.when_signed(of_another).then_refused(denied("the key belongs to another account or device"));
    world.when_signed(wrong.clone()).then_refused(Refusal::CommandConflict);
    wrong.stamp.command = cid(START, 999);
    world.when_signed(wrong.clone()).then_refused(Refusal::Stale { server_time: START });
    wrong.expires_at = START;
    let no_role = denied("the account has no role that may give this command");
    world.when_signed(wrong.clone()).then_refused(no_role);
    wrong.command = place(&[], usd(1));
    world.when_signed(wrong.clone()).then_refused(Refusal::SeqReplayed { high: decided.stamp.seq });
    wrong.stamp.seq += 100;
    world.when_signed(wrong.clone()).then_refused(Refusal::NonceReused);
    wrong.stamp.nonce.0[15] = 1;
    world.when_signed(wrong).then_rejected([Rejection::LinesEmpty]);
}

#[test]
fn an_order_that_may_have_left_memory_is_asked_for_and_the_answer_decides() {
    let order = events::ids::OrderId::derive(BUYER.account(), cid(START, 999), 0);
    let closed = |state| ClosedOrder { buyer: BUYER.account(), seller: SELLER.account(), state, position: 3 };
    let wrong = |state| Some(Rejection::OrderState { order, state });
    let not_yours = Some(Rejection::NotYourOrder { order });
    use OrderState::{Cancelled, Completed};
    for (actor, command, state, reason) in [
        (SELLER, ship(order), Cancelled, wrong(Cancelled)),
        (SELLER, ship(order), Completed, None),
        (OTHER_SELLER, ship(order), Completed, not_yours.clone()),
        (BUYER, confirm(order), Cancelled, wrong(Cancelled)),
        (BUYER, confirm(order), Completed, None),
        (PROVIDER, confirm(order), Completed, None),
        (OTHER_BUYER, confirm(order), Completed, not_yours.clone()),
        (BUYER, cancel(order), Completed, wrong(Completed)),
        (SELLER, cancel(order), Cancelled, None),
        (OPERATOR, cancel(order), Cancelled, None),
        (OTHER_BUYER, cancel(order), Cancelled, not_yours.clone()),
    ] {
        let mut world = shop();
        world.market.forgotten = 3;
        let signed = world.sign(actor, command);
        let id = (actor.account(), signed.stamp.command);
        let question = Question {
            covering: 3,
            command: id,
            order: Some(order),
            credit: None,
            payment: None,
            payout: None,
        };
        world.when_signed(signed.clone());
        assert_eq!(*world.outcome(), Decision::Ask(question));
        let behind = Facts { covered: 2, ..Facts::default() };
        assert!(matches!(decide(&world.market, &signed, &behind, world.now), Decision::Ask(_)));
        world.facts =
            Facts { covered: 3, closed_orders: [(order, closed(state))].into(), ..Facts::default() };
        world.when_signed(signed);
        match reason {
            None => world.then_unchanged(),
            Some(reason) => world.then_rejected([reason]),
        };
        world.facts = Facts { covered: 3, ..Facts::default() };
        let signed = world.sign(OPERATOR, cancel(order));
        world.when_signed(signed).then_rejected([Rejection::OrderUnknown { order }]);
    }
}

#[test]
fn what_is_in_memory_is_decided_without_asking() {
    let mut world = shop();
    let open = world.placed(BUYER, place(&[(TEA, 1)], usd(500)));
    let closed = world.placed(BUYER, place(&[(TEA, 1)], usd(500)));
    world.given(BUYER, cancel(closed));
    world.market.forgotten = 3;
    world.when(BUYER, cancel(closed)).then_unchanged();
    world.when(BUYER, cancel(open)).then_types(["order.cancelled.v2", "escrow.refunded.v2"]);
    world.when(BUYER, add(TEA, 1)).then_types(["cart.item_added.v1"]);
}

#[test]
fn an_old_command_that_the_index_knows_gets_its_first_outcome() {
    let mut world = World::new();
    let signed = world.sign(BUYER, clear());
    let known = |fingerprint| Facts {
        covered: 9,
        command: Some(Decided { fingerprint, position: 7 }),
        ..Facts::default()
    };
    world.facts = known(signed.stamp.fingerprint);
    world.after(DAY_MS).when_signed(signed.clone());
    assert_eq!(*world.outcome(), Decision::Repeat(7));
    world.facts = known(Hash::of(b"another wish"));
    world.when_signed(signed).then_refused(Refusal::CommandConflict);
}
