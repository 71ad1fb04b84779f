//! What can happen to a market: the steps that are drawn at random, and who takes them.

use events::Money;
use events::escrow::FreezeReason;
use events::payment::CaptureTime;
use events::stock::AdjustmentReason;
use proptest::prelude::*;

use super::banks::{BankStep, banking};
use super::changes::{Act, changing};
use super::devices::{DeviceStep, tending};
use super::risking::{RiskStep, risking};
use super::sending_back::{ReturnStep, returning};
use super::telling::{TellStep, telling};
use crate::support::*;

pub(crate) const PROVIDERS: [Actor; 2] = [PROVIDER, Actor(4)];
pub(crate) const BUYERS: [Actor; 3] = [BUYER, OTHER_BUYER, Actor(22)];
/// Who has a cart: buyers and guests.
pub(crate) const SHOPPERS: [Actor; 5] = [BUYER, OTHER_BUYER, Actor(22), GUEST, OTHER_GUEST];
pub(crate) const EVERYBODY: [Actor; 7] =
    [BUYER, OTHER_BUYER, Actor(22), SELLER, OTHER_SELLER, PROVIDER, OPERATOR];
pub(crate) const OPERATORS: [Actor; 2] = [OPERATOR, OTHER_OPERATOR];
/// One thing costs a third of all the money there can be.
pub(crate) const DEAR: i64 = MOST / 3;
pub(crate) const MOST: i64 = Money::MINOR_MAX;

/// One thing that happens. Numbers choose among what there is.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Fund(usize, usize, i64, bool, u8),
    Receive(u64, u32, Place),
    Update(u64, i64, u32),
    /// A listing, a seller or a buyer is stopped, or let go on.
    Stop(u8, u64, bool),
    Withdraw(u64),
    Variant(u64, u64),
    Adjust(u64, i64, AdjustmentReason, Place),
    /// Units go from one location to another.
    Move(u64, u32, Place, Place),
    /// All that is on hand is lost.
    Lose(u64),
    Safety(u64, u64, Place),
    Backorder(u64, u64),
    Expect(u64, u64, i64, Place),
    Add(usize, u64, u32),
    Set(usize, u64, u32),
    Remove(usize, u64),
    Clear(usize),
    /// Puts a coupon into a cart, or takes it out.
    Coupon(usize, Option<usize>),
    Save(usize, u64),
    MoveBack(usize, u64),
    Freeze(usize, i64),
    Unfreeze(usize),
    Restore(usize),
    /// A buyer merges a shopper's cart, or the one he merged last.
    Merge(usize, usize, u8),
    /// A cart gets a name or loses it.
    Name(usize, Option<u8>),
    /// A cart is shared, or no longer.
    Share(usize, usize, bool),
    /// Somebody fills the cart of another: adds so many, or with none takes out.
    Fill(usize, usize, u64, u32),
    Migrate(usize, i64, Going),
    Place(usize, Vec<(u64, u32)>, i64, Going),
    /// Buys through a provider, and a part from the wallet.
    PlaceBy(usize, usize, Vec<(u64, u32)>, Option<i64>, Going, CaptureTime),
    /// Migrates a cart so.
    MigrateBy(usize, Option<i64>, Going),
    Pay(usize),
    /// A buyer pays the rest out of his wallet.
    SetUp(usize),
    /// A seller asks for what he has earned, or a part.
    PayOut(usize, usize, i64),
    ReportPayout(usize, bool, bool),
    /// A region's tax, of one class or of all, on top of prices or in them.
    Tax(usize, bool, u32, bool),
    /// What a seller takes for delivery, everywhere or to one region: flat, free from, for each unit.
    Rate(u64, u8, Option<usize>, [i64; 3]),
    RemoveRate(u64, u8, Option<usize>),
    /// A promotion of a thing or of everything: what it gives, its code, its uses, how long it lasts.
    Promotion(u64, i64, Option<usize>, Option<u32>, i64),
    EndPromotion(usize, bool),
    Verify(usize, u32),
    /// A seller says that an order is about to leave.
    Ready(usize, Option<usize>),
    /// Somebody proposes a change of an order, or answers one.
    Change(usize, Option<usize>, Act),
    /// A seller accepts, or declines.
    Answer(usize, Option<usize>, bool),
    Ship(usize, Option<usize>, Part, Place),
    Confirm(usize, Option<usize>, Option<u8>),
    Cancel(usize, Option<usize>, Part),
    /// A part of a shipment is given back, or (0) all of it.
    Refund(usize, Option<usize>, u8, i64),
    /// An operator stops an order, or lets it go on.
    Hold(usize, usize, bool),
    /// Money is set apart, or (0) all of a shipment's.
    FreezeMoney(usize, Option<usize>, u8, i64, FreezeReason),
    UnfreezeMoney(usize, bool, u8),
    Release(usize, u8),
    /// A buyer, or sometimes another, signs a milestone of a shipment.
    Sign(usize, u8, u8),
    ClearRisk(usize, usize),
    /// An operator reports a provider's file, with what differs, or says that a break is dealt with.
    Reconcile(usize, usize, u32, Vec<(u8, i64)>),
    Resolve(usize, usize),
    /// An operator gives so many percent of what is frozen to the seller.
    Settle(usize, usize, u8, i64),
    Return(ReturnStep),
    Bank(BankStep),
    Risk(RiskStep),
    Tell(TellStep),
    Request(usize, usize, i64),
    Report(usize, u8, i64, u8),
    GiveUp(usize),
    GiveBack(usize, i64),
    /// A seller lets buyers reserve so many units, for so long.
    Allow(u64, u64, i64),
    Reserve(usize, u64, u32),
    Extend(usize, bool),
    /// A reservation is given up.
    ReleaseUnits(usize, u8),
    /// A buyer changes money, by an offer that may be wrong: of what amount, into euros or back, with which reference.
    Exchange(usize, usize, i64, bool, u8),
    /// Something happens to a second device or a passkey.
    Device(DeviceStep),
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

/// A location by its place among [`LOCATIONS`]; none: the nameless one.
pub(crate) type Place = Option<usize>;

pub(crate) const LOCATIONS: [&str; 3] = ["berlin", "cologne", "essen"];

pub(crate) fn location() -> impl Strategy<Value = Place> {
    prop_oneof![2 => Just(None), 3 => (0..LOCATIONS.len()).prop_map(Some)]
}

/// Where a purchase goes, and with which coupon.
pub(crate) type Going = (Option<usize>, Option<usize>);

pub(crate) const REGIONS: [&str; 3] = ["DE", "US", "US-CA"];
pub(crate) const COUPONS: [&str; 3] = ["ONE", "TWO", "THREE"];

pub(crate) fn going() -> impl Strategy<Value = Going> {
    let coupon = prop_oneof![4 => Just(None), 1 => (0..COUPONS.len()).prop_map(Some)];
    (prop_oneof![1 => Just(None), 9 => (0..REGIONS.len()).prop_map(Some)], coupon)
}

pub(crate) fn part() -> impl Strategy<Value = Part> {
    let some = prop::collection::vec((0u8..4, 1u32..3), 0..3);
    prop_oneof![2 => Just(None), 3 => some.prop_map(Some)]
}

pub(crate) fn quantity() -> impl Strategy<Value = u32> {
    prop_oneof![8 => 1u32..4, 1 => Just(1_000_000u32)]
}

pub(crate) fn amount() -> impl Strategy<Value = i64> {
    prop_oneof![6 => 1i64..5000, 2 => Just(DEAR), 1 => Just(MOST), 1 => Just(0i64), 1 => -MOST..=MOST]
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    let (buyer, shopper, nth) = (0..BUYERS.len(), 0..SHOPPERS.len(), any::<usize>());
    let thing = prop_oneof![6 => 0u64..3, 1 => Just(3u64), 1 => Just(4u64)];
    // Mostly whoever the order belongs to; else anybody.
    let anybody = prop_oneof![3 => Just(None), 1 => (0..EVERYBODY.len()).prop_map(Some)];
    let lines = prop::collection::vec((thing.clone(), quantity()), 0..4).boxed();
    let ms = prop_oneof![2 => Just(0i64), 4 => 1i64..200_000, 1 => DAY_MS..40 * DAY_MS];
    let buyer_again = 0..BUYERS.len();
    // Mostly all there is; else some of it.
    let share = prop_oneof![3 => Just(0i64), 2 => 1i64..3000];
    let earned = prop_oneof![1 => Just(0i64), 3 => 1i64..60, 1 => 1i64..3000];
    let capture = prop::sample::select(vec![
        CaptureTime::AtOnce,
        CaptureTime::OnShip,
        CaptureTime::OnShip,
        CaptureTime::OnShipOrExpiry,
    ]);
    let total = prop_oneof![3 => Just(MOST), 1 => amount()];
    let wallet = prop_oneof![2 => Just(None), 3 => (1i64..1500).prop_map(Some), 1 => amount().prop_map(Some)];
    prop_oneof![
        12 => stocking(),
        8 => (0..2usize, buyer.clone(), amount(), any::<bool>(), 0..16u8)
            .prop_map(|(p, b, a, e, r)| Step::Fund(p, b, a, e, r)),
        3 => (thing.clone(), quantity(), location()).prop_map(|(t, n, l)| Step::Receive(t, n, l)),
        5 => (shopper.clone(), thing.clone(), quantity()).prop_map(|(s, t, n)| Step::Add(s, t, n)),
        1 => (shopper.clone(), thing.clone(), quantity()).prop_map(|(s, t, n)| Step::Set(s, t, n)),
        1 => (shopper.clone(), thing.clone()).prop_map(|(s, t)| Step::Remove(s, t)),
        1 => shopper.clone().prop_map(Step::Clear),
        8 => (shopper.clone(), prop::option::weighted(0.6, 0..COUPONS.len()))
            .prop_map(|(s, c)| Step::Coupon(s, c)),
        4 => (shopper.clone(), thing.clone()).prop_map(|(s, t)| Step::Save(s, t)),
        4 => (shopper.clone(), thing.clone()).prop_map(|(s, t)| Step::MoveBack(s, t)),
        2 => (shopper.clone(), -1i64..2 * DAY_MS).prop_map(|(s, ms)| Step::Freeze(s, ms)),
        1 => shopper.clone().prop_map(Step::Unfreeze),
        3 => buyer.clone().prop_map(Step::Restore),
        1 => (buyer.clone(), prop::option::of(0..3u8)).prop_map(|(b, name)| Step::Name(b, name)),
        2 => (buyer.clone(), shopper.clone(), prop::bool::weighted(0.8))
            .prop_map(|(b, s, shares)| Step::Share(b, s, shares)),
        3 => (buyer.clone(), buyer.clone(), thing, 0..5u32)
            .prop_map(|(b, owner, t, n)| Step::Fill(b, owner, t, n)),
        3 => (buyer.clone(), shopper, 0..12u8).prop_map(|(b, s, how)| Step::Merge(b, s, how)),
        5 => (buyer.clone(), total.clone(), going()).prop_map(|(b, a, g)| Step::Migrate(b, a, g)),
        18 => (buyer.clone(), lines.clone(), total, going()).prop_map(|(b, l, a, g)| Step::Place(b, l, a, g)),
        9 => (buyer.clone(), 0..2usize, lines, wallet.clone(), going(), capture)
            .prop_map(|(b, p, l, w, g, c)| Step::PlaceBy(b, p, l, w, g, c)),
        4 => (nth, anybody.clone()).prop_map(|(n, a)| Step::Ready(n, a)),
        2 => (buyer, wallet, going()).prop_map(|(b, w, g)| Step::MigrateBy(b, w, g)),
        4 => nth.prop_map(Step::Pay),
        2 => nth.prop_map(Step::SetUp),
        9 => (0..2usize, 0..2usize, earned).prop_map(|(s, p, a)| Step::PayOut(s, p, a)),
        3 => (nth, any::<bool>(), any::<bool>()).prop_map(|(n, g, o)| Step::ReportPayout(n, g, o)),
        6 => pricing(),
        12 => (nth, anybody.clone(), part(), prop_oneof![3 => Just(None), 1 => location()])
            .prop_map(|(n, a, p, l)| Step::Ship(n, a, p, l)),
        7 => (nth, anybody.clone(), prop::option::of(0u8..4)).prop_map(|(n, a, s)| Step::Confirm(n, a, s)),
        6 => (nth, anybody.clone(), prop::bool::weighted(0.8)).prop_map(|(n, a, y)| Step::Answer(n, a, y)),
        4 => (nth, anybody.clone(), part()).prop_map(|(n, a, p)| Step::Cancel(n, a, p)),
        14 => (nth, anybody, 0u8..2, share.clone()).prop_map(|(n, w, s, a)| Step::Refund(n, w, s, a)),
        12 => changing().prop_map(|(n, a, act)| Step::Change(n, a, act)),
        16 => disputing(),
        6 => returning().prop_map(Step::from),
        14 => banking().prop_map(Step::Bank),
        5 => risking().prop_map(Step::Risk),
        3 => telling().prop_map(Step::Tell),
        14 => reserving(),
        4 => (buyer_again, 0..2usize, amount()).prop_map(|(b, p, a)| Step::Request(b, p, a)),
        14 => (nth, 0..9u8, share.clone(), 0..16u8).prop_map(|(n, k, a, r)| Step::Report(n, k, a, r)),
        1 => nth.prop_map(Step::GiveUp),
        6 => (nth, share).prop_map(|(n, a)| Step::GiveBack(n, a)),
        6 => (0..BUYERS.len(), 0..2usize, amount(), any::<bool>(), 0..32u8)
            .prop_map(|(b, p, a, e, r)| Step::Exchange(b, p, a, e, r)),
        5 => tending().prop_map(Step::Device),
        4 => ms.prop_map(Step::Wait),
        1 => nth.prop_map(Step::Retry),
        1 => nth.prop_map(Step::Duplicate),
        1 => nth.prop_map(Step::Conflict),
    ]
}

/// What buyers and operators do with orders and money that they doubt.
pub(crate) fn disputing() -> impl Strategy<Value = Step> {
    let (nth, operator) = (any::<usize>(), 0..2usize);
    let before = prop_oneof![4 => Just(0u8), 1 => 1u8..3];
    let reason = prop::sample::select(vec![
        FreezeReason::NotReceived,
        FreezeReason::NotAsDescribed,
        FreezeReason::Operator,
    ]);
    let somebody = prop_oneof![4 => Just(None), 1 => (0..EVERYBODY.len()).prop_map(Some)];
    let share = prop_oneof![2 => Just(0i64), 3 => 1i64..600];
    let percent = prop_oneof![3 => prop::sample::select(vec![0i64, 50, 100]), 1 => -1i64..102];
    prop_oneof![
        1 => (nth, operator.clone()).prop_map(|(n, o)| Step::Hold(n, o, true)),
        4 => (nth, operator.clone()).prop_map(|(n, o)| Step::Hold(n, o, false)),
        4 => (nth, somebody, before.clone(), share, reason)
            .prop_map(|(n, a, s, m, r)| Step::FreezeMoney(n, a, s, m, r)),
        3 => (nth, any::<bool>(), before.clone()).prop_map(|(n, b, s)| Step::UnfreezeMoney(n, b, s)),
        2 => (nth, before.clone()).prop_map(|(n, s)| Step::Release(n, s)),
        4 => (nth, before.clone(), 1u8..4).prop_map(|(n, s, m)| Step::Sign(n, s, m)),
        2 => (nth, operator.clone()).prop_map(|(n, o)| Step::ClearRisk(n, o)),
        1 => (operator.clone(), 0..PROVIDERS.len(), 0u32..6, prop::collection::vec((0u8..5, -3i64..3), 0..4))
            .prop_map(|(o, p, f, b)| Step::Reconcile(o, p, f, b)),
        1 => (operator.clone(), nth).prop_map(|(o, n)| Step::Resolve(o, n)),
        9 => (nth, operator, before, percent).prop_map(|(n, o, s, p)| Step::Settle(n, o, s, p)),
    ]
}

/// What sellers and operators do with listings and stock.
pub(crate) fn stocking() -> impl Strategy<Value = Step> {
    let thing = 0u64..3;
    let reason = prop::sample::select(vec![
        AdjustmentReason::Counted,
        AdjustmentReason::Damaged,
        AdjustmentReason::Lost,
        AdjustmentReason::Found,
        AdjustmentReason::Returned,
        AdjustmentReason::Correction,
        AdjustmentReason::WrittenOff,
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
        4 => (thing.clone(), delta, reason, location()).prop_map(|(t, d, r, l)| Step::Adjust(t, d, r, l)),
        4 => (thing.clone(), 1u32..4, location(), location()).prop_map(|(t, n, f, l)| Step::Move(t, n, f, l)),
        1 => (thing.clone(), 0u64..4, location()).prop_map(|(t, n, l)| Step::Safety(t, n, l)),
        2 => (thing.clone(), 0u64..5).prop_map(|(t, n)| Step::Backorder(t, n)),
        1 => (thing, 0u64..4, -2i64..5, location()).prop_map(|(t, n, d, l)| Step::Expect(t, n, d, l)),
    ]
}

/// What sellers, buyers and operators do with units that are set aside.
pub(crate) fn reserving() -> impl Strategy<Value = Step> {
    let (buyer, nth, thing) = (0..BUYERS.len(), any::<usize>(), 0u64..3);
    let ms = prop_oneof![Just(60_000i64), 60_000i64..14_400_000];
    prop_oneof![
        3 => (thing.clone(), 0u64..5, ms).prop_map(|(t, n, ms)| Step::Allow(t, n, ms)),
        5 => (buyer, thing, 1u32..5).prop_map(|(b, t, n)| Step::Reserve(b, t, n)),
        2 => (nth, prop::bool::weighted(0.1)).prop_map(|(n, o)| Step::Extend(n, o)),
        1 => (nth, 0u8..4).prop_map(|(n, w)| Step::ReleaseUnits(n, w)),
    ]
}

/// What sellers and operators say of prices.
pub(crate) fn pricing() -> impl Strategy<Value = Step> {
    let region = || prop::option::of(0..REGIONS.len());
    let bps = prop_oneof![Just(0u32), 1u32..3000, Just(10_000)];
    let rate = [-1i64..900, 0i64..5000, 0i64..200];
    let code = prop_oneof![2 => Just(None), 3 => (0..COUPONS.len()).prop_map(Some)];
    prop_oneof![
        1 => (0..REGIONS.len(), any::<bool>(), bps, any::<bool>()).prop_map(|(r, c, n, i)| Step::Tax(r, c, n, i)),
        2 => (0u64..4, 0u8..3, region(), rate).prop_map(|(t, m, r, n)| Step::Rate(t, m, r, n)),
        1 => (0u64..4, 0u8..3, region()).prop_map(|(t, m, r)| Step::RemoveRate(t, m, r)),
        3 => (0u64..4, -500i64..6000, code, prop::option::of(0u32..4), -9i64..2 * DAY_MS)
            .prop_map(|(t, g, c, u, ms)| Step::Promotion(t, g, c, u, ms)),
        1 => (any::<usize>(), any::<bool>()).prop_map(|(n, o)| Step::EndPromotion(n, o)),
        1 => (0..BUYERS.len(), 0u32..4).prop_map(|(b, t)| Step::Verify(b, t)),
    ]
}

pub(crate) fn seller_of(thing: u64) -> Actor {
    if thing < 2 { SELLER } else { OTHER_SELLER }
}
