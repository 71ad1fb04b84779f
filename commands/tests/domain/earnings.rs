//! What sellers earn where a part of it is kept for some time, and what becomes of it.

use crate::support::*;
use events::earnings::ReserveReleased;
use events::ids::OrderId;
use events::ledger::{LedgerAccount, Transfer};
use events::market::{EscrowTerms, ReserveTerms};
use events::metadata::{DeadlineStamp, Waiting};
use events::money::Bps;
use events::{Event, Rejection, Timestamp};

/// Ten percent are kept for a week behind the day.
fn shop() -> World {
    let kept = ReserveTerms::new(Bps::new(1_000).unwrap(), 7 * DAY_MS).unwrap();
    let mut world =
        World::on(Terms { escrow: Some(EscrowTerms::default().keeping(Some(kept))), ..Terms::default() });
    world.given_listing(SELLER, TEA, usd(1000), 10).given(PROVIDER, fund(BUYER, usd(10_000)));
    world.given(SELLER, create_listing(CUP, eur(1000))).given(SELLER, receive(CUP, 10));
    world.given(PROVIDER, fund(BUYER, eur(10_000)));
    world
}

fn shipped(world: &mut World, listing: u64, total: events::Money) -> OrderId {
    let order = world.placed(BUYER, place(&[(listing, 1)], total));
    world.given(SELLER, ship(order));
    order
}

fn available() -> LedgerAccount {
    LedgerAccount::SellerAvailable(SELLER.account())
}

fn reserve() -> LedgerAccount {
    LedgerAccount::SellerReserve(SELLER.account())
}

fn transfer(amount: events::Money, from: LedgerAccount, to: LedgerAccount) -> Transfer {
    Transfer { amount, from, to }
}

/// When is given what is kept now: a week behind the end of the day of UTC.
fn week_after(now: Timestamp) -> Timestamp {
    Timestamp::from_ms((now.ms() / DAY_MS + 8) * DAY_MS)
}

#[test]
fn a_share_of_what_is_released_is_kept_and_can_not_be_paid_out() {
    let mut world = shop();
    let order = shipped(&mut world, TEA, usd(1000));
    world.when(BUYER, confirm(order));
    let Some(Event::EscrowReleased(released)) = world.events().last() else { panic!("it is released") };
    let escrow = LedgerAccount::Escrow(order);
    // A tenth of 975 is 97.5, which is rounded away from zero.
    let parts = [(available(), 877), (reserve(), 98), (LedgerAccount::PlatformFees, 25)];
    assert_eq!(released.transfers, parts.map(|(to, minor)| transfer(usd(minor), escrow, to)));
    let until = week_after(world.now);
    assert_eq!(released.kept_until, Some(until));
    let due = DeadlineStamp { due: until, waiting: Waiting::ReserveDue { account: SELLER.account() } };
    assert_eq!(world.market.next_deadline(), Some(due));
    let more = Rejection::PayoutAmount { amount: usd(878), available: usd(877) };
    world.when(SELLER, pay_out(usd(878))).then_rejected([more]);
}

#[test]
fn all_that_was_kept_on_a_day_is_given_at_once_in_each_currency() {
    let mut world = shop();
    let (tea, cup) = (shipped(&mut world, TEA, usd(1000)), shipped(&mut world, CUP, eur(1000)));
    let again = shipped(&mut world, TEA, usd(1000));
    world.given(BUYER, confirm(tea)).after(SECOND_MS).given(BUYER, confirm(cup));
    world.given(BUYER, confirm(again));
    let first = week_after(world.now);
    let late = shipped(&mut world, TEA, usd(1000));
    world.after(DAY_MS).given(BUYER, confirm(late));
    world.when_deadline();
    assert_eq!(world.now, first);
    let released = ReserveReleased {
        seller: SELLER.account(),
        transfers: vec![
            transfer(eur(98), reserve(), available()),
            transfer(usd(196), reserve(), available()),
        ],
    };
    world.then_events([released.into()]);
    let kept: Vec<_> = world.market.reserves.of(SELLER.account()).collect();
    assert_eq!(kept, [(first.plus_ms(DAY_MS), usd(98))]);
}

#[test]
fn a_market_that_keeps_nothing_says_nothing_of_it() {
    let mut world = World::new();
    world.given_listing(SELLER, TEA, usd(1000), 10).given(PROVIDER, fund(BUYER, usd(10_000)));
    let order = shipped(&mut world, TEA, usd(1000));
    world.when(BUYER, confirm(order));
    let Some(Event::EscrowReleased(released)) = world.events().last() else { panic!("it is released") };
    assert_eq!((released.kept_until, released.transfers.len()), (None, 2));
    assert_eq!(world.market.reserves.of(SELLER.account()).count(), 0);
}
