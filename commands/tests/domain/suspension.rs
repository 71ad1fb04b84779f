//! Suspended accounts: what is refused, what goes on, and who may be suspended.

use crate::support::suspended::*;
use crate::support::*;
use commands::command::{EnrollDevice, ReportLost, RevokeDevice};
use commands::{Decision, Refusal};
use events::account::{Reinstated, Role, Suspended};
use events::device::RevokeReason;
use events::ids::CartId;
use events::rejection::{AccountRejection, QuoteField};
use events::{Event, Rejection};

const PHONE: Actor = Actor(120);

/// A market in which the buyer has money and a second device, and the seller something to sell.
fn market() -> World {
    let enroll = EnrollDevice {
        device: PHONE.device(),
        key: PHONE.key(),
        name: None,
        proof: String::new(),
        scope: None,
    };
    let mut world = World::new();
    world
        .given_listing(SELLER, 1, usd(500), 50)
        .given(PROVIDER, fund(BUYER, usd(10_000)))
        .given(BUYER, enroll.into());
    world
}

#[test]
fn an_operator_suspends_and_another_reinstates() {
    let (account, mut world) = (BUYER.account(), market());
    world
        .when(OPERATOR, suspend_account(BUYER))
        .then_events([Suspended { account, reason: "complaints".to_owned() }.into()])
        .when(OTHER_OPERATOR, suspend_account(BUYER))
        .then_unchanged()
        .when(BUYER, clear())
        .then_refused(Refusal::AccountSuspended)
        .when(OTHER_OPERATOR, reinstate_account(BUYER))
        .then_events([Reinstated { account, reason: "it is settled".to_owned() }.into()])
        .when(OPERATOR, reinstate_account(BUYER))
        .then_unchanged()
        .when(BUYER, clear())
        .then_unchanged();
}

#[test]
fn what_is_refused_consumes_nothing() {
    let mut world = market();
    world.given(OPERATOR, suspend_account(BUYER).into());
    let asked = world.sign(BUYER, place(&[(1, 1)], usd(500)));
    let before = world.head();
    world.when_signed(asked.clone()).then_refused(Refusal::AccountSuspended);
    assert_eq!(world.head(), before);
    world.given(OPERATOR, reinstate_account(BUYER).into());
    world.when_signed(asked).then_types(["order.placed.v1", "escrow.held.v1"]);
}

/// Whatever the account's roles are, and whatever the command: but for reporting what is lost.
#[test]
fn nothing_is_taken_of_a_suspended_account_but_that_a_device_is_lost() {
    let mut world = market();
    world.given(OPERATOR, suspend_account(BUYER).into()).given(OPERATOR, suspend_account(SELLER).into());
    let revoke = RevokeDevice { account: None, device: PHONE.device(), reason: RevokeReason::Retired };
    for (actor, command) in [
        (BUYER, place(&[(1, 1)], usd(500))),
        (BUYER, add(1, 1)),
        (BUYER, revoke.into()),
        // Not even what its roles would not allow is told apart.
        (BUYER, receive(1, 1)),
        (SELLER, receive(1, 1)),
        (SELLER, pause(1)),
    ] {
        world.when(actor, command).then_refused(Refusal::AccountSuspended);
    }
    world.when(BUYER, ReportLost { device: PHONE.device() }).then_types(["device.revoked.v1"]);
}

#[test]
fn an_operator_who_is_suspended_can_not_undo_it() {
    let mut world = market();
    world.given(OPERATOR, suspend_account(OTHER_OPERATOR).into());
    for command in [reinstate_account(OTHER_OPERATOR).into(), suspend_account(OPERATOR).into()] {
        let command: commands::Command = command;
        world.when(OTHER_OPERATOR, command).then_refused(Refusal::AccountSuspended);
    }
}

#[test]
fn what_became_of_an_earlier_command_is_told_all_the_same() {
    let mut world = market();
    let asked = world.sign(BUYER, place(&[(1, 1)], usd(500)));
    world.when_signed(asked.clone());
    let first = world.log.last().unwrap().first_position();
    world.given(OPERATOR, suspend_account(BUYER).into());
    world.when_signed(asked);
    assert_eq!(*world.outcome(), Decision::Repeat(first));
}

#[test]
fn operators_registrar_and_providers_are_not_left_without() {
    let needed = |actor: Actor, role| AccountRejection::AccountNeeded { account: actor.account(), role };
    let nobody = Actor(30);
    for (actor, reason) in [
        (OPERATOR, AccountRejection::OwnAccount.into()),
        (REGISTRAR, needed(REGISTRAR, Role::Registrar).into()),
        (PROVIDER, needed(PROVIDER, Role::Provider).into()),
        (nobody, Rejection::AccountUnknown { account: nobody.account() }),
    ] {
        market().when(OPERATOR, suspend_account(actor)).then_rejected([reason]);
    }
    let unknown = Rejection::AccountUnknown { account: nobody.account() };
    market().when(OPERATOR, reinstate_account(nobody)).then_rejected([unknown]);
}

#[test]
fn orders_go_on_by_their_deadlines() {
    let mut world = market();
    let (first, second) = {
        let first = world.placed(BUYER, place(&[(1, 1)], usd(500)));
        (first, world.placed(BUYER, place(&[(1, 1)], usd(500))))
    };
    world.given(SELLER, ship(first));
    world.given(OPERATOR, suspend_account(BUYER).into()).given(OPERATOR, suspend_account(SELLER).into());
    let mut ended = Vec::new();
    while world.market.next_deadline().is_some() {
        world.when_deadline();
        ended.extend(world.events().iter().filter_map(Event::order_end).map(|end| end.order));
    }
    ended.sort();
    let mut both = vec![first, second];
    both.sort();
    assert_eq!(ended, both, "one is released to its seller, one is paid back");
}

/// Its listings, its quotes and its claims are good for nobody meanwhile.
#[test]
fn nobody_buys_from_it_and_its_word_counts_nothing() {
    let mut world = market();
    let suspended = || Rejection::SellerSuspended { listing: listing(1), seller: SELLER.account() };
    world.given(OPERATOR, suspend_account(SELLER).into());
    world.when(BUYER, place(&[(1, 1)], usd(500))).then_rejected([suspended()]);
    let quoted = quote(SELLER, BUYER, (1, 1), usd(100), world.now.plus_ms(SECOND_MS));
    let mismatch = Rejection::QuoteMismatch { listing: listing(1), field: QuoteField::Seller };
    world.when_quoted([quoted], BUYER, place(&[(1, 1)], usd(100))).then_rejected([suspended(), mismatch]);
    world.given(OPERATOR, reinstate_account(SELLER).into());
    world.when(BUYER, place(&[(1, 1)], usd(500))).then_types(["order.placed.v1", "escrow.held.v1"]);

    // That he may sell again is another matter.
    world.given(OPERATOR, suspend(SELLER)).given(OPERATOR, suspend_account(SELLER).into());
    world.given(OPERATOR, reinstate_account(SELLER).into());
    world.when(BUYER, place(&[(1, 1)], usd(500))).then_rejected([suspended()]);

    world.given(OPERATOR, reinstate(SELLER));
    world.register(GUEST).given(GUEST, add(1, 1)).given(OPERATOR, suspend_account(GUEST).into());
    let cart: CartId = world.cart(GUEST);
    let claimed = claim(GUEST, cart, BUYER, world.now.plus_ms(SECOND_MS));
    world
        .when_claimed(claimed, BUYER, merge(events::cart::MergePolicy::Sum))
        .then_rejected([Rejection::CartUnknown { cart }]);
}
