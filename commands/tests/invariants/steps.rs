//! What may happen to a market, at random.

use events::stock::AdjustmentReason;
use proptest::prelude::*;

use crate::support::DAY_MS;
use crate::{BUYERS, DEAR, EVERYBODY, MOST};

/// One thing that happens. Numbers choose among what there is.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Fund(usize, usize, i64, bool, u8),
    Receive(u64, u32),
    Update(u64, i64, u32),
    /// A listing, a seller or a buyer is stopped, or let go on.
    Stop(u8, u64, bool),
    Withdraw(u64),
    Variant(u64, u64),
    Adjust(u64, i64, AdjustmentReason),
    /// All that is on hand is lost.
    Lose(u64),
    Safety(u64, u64),
    Backorder(u64, u64),
    Expect(u64, u64, i64),
    Add(usize, u64, u32),
    Set(usize, u64, u32),
    Remove(usize, u64),
    Clear(usize),
    Migrate(usize, i64),
    Place(usize, Vec<(u64, u32)>, i64),
    /// Buys through a provider, and a part from the wallet.
    PlaceBy(usize, usize, Vec<(u64, u32)>, Option<i64>),
    /// Migrates a cart so.
    MigrateBy(usize, Option<i64>),
    Pay(usize),
    /// A seller asks for what he has earned, or a part.
    PayOut(usize, usize, i64),
    ReportPayout(usize, bool, bool),
    Ship(usize, Option<usize>, Part),
    Confirm(usize, Option<usize>, Option<u8>),
    Cancel(usize, Option<usize>, Part),
    Request(usize, usize, i64),
    Report(usize, u8, i64, u8),
    GiveUp(usize),
    GiveBack(usize, i64),
    /// Time passes, and what is due is decided.
    Wait(i64),
    /// An earlier wish, signed anew.
    Retry(usize),
    /// The same bytes again.
    Duplicate(usize),
    /// Another wish under an earlier id.
    Conflict(usize),
}

/// Lines of an order by their place, with units: none for all of it.
pub(crate) type Part = Option<Vec<(u8, u32)>>;

fn part() -> impl Strategy<Value = Part> {
    let some = prop::collection::vec((0u8..4, 1u32..3), 0..3);
    prop_oneof![2 => Just(None), 3 => some.prop_map(Some)]
}

fn quantity() -> impl Strategy<Value = u32> {
    prop_oneof![8 => 1u32..4, 1 => Just(1_000_000u32)]
}

fn amount() -> impl Strategy<Value = i64> {
    prop_oneof![6 => 1i64..5000, 2 => Just(DEAR), 1 => Just(MOST), 1 => Just(0i64), 1 => -MOST..=MOST]
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    let (buyer, nth) = (0..BUYERS.len(), any::<usize>());
    let thing = prop_oneof![6 => 0u64..3, 1 => Just(3u64), 1 => Just(4u64)];
    // Mostly whoever the order belongs to; else anybody.
    let anybody = prop_oneof![3 => Just(None), 1 => (0..EVERYBODY.len()).prop_map(Some)];
    let lines = prop::collection::vec((thing.clone(), quantity()), 0..4).boxed();
    let ms = prop_oneof![2 => Just(0i64), 4 => 1i64..200_000, 1 => DAY_MS..20 * DAY_MS];
    let buyer_again = 0..BUYERS.len();
    // Mostly all there is; else some of it.
    let share = prop_oneof![3 => Just(0i64), 2 => 1i64..3000];
    let earned = prop_oneof![1 => Just(0i64), 3 => 1i64..60, 1 => 1i64..3000];
    let total = prop_oneof![3 => Just(MOST), 1 => amount()];
    let wallet = prop_oneof![2 => Just(None), 3 => (1i64..1500).prop_map(Some), 1 => amount().prop_map(Some)];
    prop_oneof![
        12 => stocking(),
        8 => (0..2usize, buyer.clone(), amount(), any::<bool>(), 0..16u8)
            .prop_map(|(p, b, a, e, r)| Step::Fund(p, b, a, e, r)),
        3 => (thing.clone(), quantity()).prop_map(|(t, n)| Step::Receive(t, n)),
        3 => (buyer.clone(), thing.clone(), quantity()).prop_map(|(b, t, n)| Step::Add(b, t, n)),
        1 => (buyer.clone(), thing.clone(), quantity()).prop_map(|(b, t, n)| Step::Set(b, t, n)),
        1 => (buyer.clone(), thing).prop_map(|(b, t)| Step::Remove(b, t)),
        1 => buyer.clone().prop_map(Step::Clear),
        3 => (buyer.clone(), total.clone()).prop_map(|(b, a)| Step::Migrate(b, a)),
        14 => (buyer.clone(), lines.clone(), total).prop_map(|(b, l, a)| Step::Place(b, l, a)),
        5 => (buyer.clone(), 0..2usize, lines, wallet.clone())
            .prop_map(|(b, p, l, w)| Step::PlaceBy(b, p, l, w)),
        1 => (buyer, wallet).prop_map(|(b, w)| Step::MigrateBy(b, w)),
        3 => nth.prop_map(Step::Pay),
        7 => (0..2usize, 0..2usize, earned).prop_map(|(s, p, a)| Step::PayOut(s, p, a)),
        2 => (nth, any::<bool>(), any::<bool>()).prop_map(|(n, g, o)| Step::ReportPayout(n, g, o)),
        6 => (nth, anybody.clone(), part()).prop_map(|(n, a, p)| Step::Ship(n, a, p)),
        4 => (nth, anybody.clone(), prop::option::of(0u8..4)).prop_map(|(n, a, s)| Step::Confirm(n, a, s)),
        4 => (nth, anybody, part()).prop_map(|(n, a, p)| Step::Cancel(n, a, p)),
        3 => (buyer_again, 0..2usize, amount()).prop_map(|(b, p, a)| Step::Request(b, p, a)),
        9 => (nth, 0..9u8, share.clone(), 0..16u8).prop_map(|(n, k, a, r)| Step::Report(n, k, a, r)),
        1 => nth.prop_map(Step::GiveUp),
        3 => (nth, share).prop_map(|(n, a)| Step::GiveBack(n, a)),
        3 => ms.prop_map(Step::Wait),
        1 => nth.prop_map(Step::Retry),
        1 => nth.prop_map(Step::Duplicate),
        1 => nth.prop_map(Step::Conflict),
    ]
}

/// What sellers and operators do with listings and stock.
fn stocking() -> impl Strategy<Value = Step> {
    let thing = 0u64..3;
    let reason = prop::sample::select(vec![
        AdjustmentReason::Counted,
        AdjustmentReason::Damaged,
        AdjustmentReason::Lost,
        AdjustmentReason::Found,
        AdjustmentReason::Returned,
        AdjustmentReason::Correction,
    ]);
    let delta = prop_oneof![-12i64..0, 1i64..12];
    // Mostly things go on: a market that is at a stand proves nothing.
    let stops = prop::bool::weighted(0.25);
    prop_oneof![
        2 => (0u64..4, 0i64..600, 0u32..12).prop_map(|(t, p, n)| Step::Update(t, p, n)),
        8 => (0u8..4, thing.clone(), stops).prop_map(|(k, t, s)| Step::Stop(k, t, s)),
        1 => (3u64..5).prop_map(Step::Withdraw),
        1 => (0u64..4, 0u64..4).prop_map(|(n, of)| Step::Variant(n, of)),
        1 => thing.clone().prop_map(Step::Lose),
        4 => (thing.clone(), delta, reason).prop_map(|(t, d, r)| Step::Adjust(t, d, r)),
        1 => (thing.clone(), 0u64..4).prop_map(|(t, n)| Step::Safety(t, n)),
        2 => (thing.clone(), 0u64..5).prop_map(|(t, n)| Step::Backorder(t, n)),
        1 => (thing, 0u64..4, -2i64..5).prop_map(|(t, n, d)| Step::Expect(t, n, d)),
    ]
}
