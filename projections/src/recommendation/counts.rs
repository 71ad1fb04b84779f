//! What is bought together, as it is learnt basket by basket.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use events::Timestamp;
use events::ids::ListingId;
use serde::{Deserialize, Serialize};
use sled::{Batch, Db, Tree};

use super::VERSION;
use super::decay::{OfLate, Rank};
use super::llr::Together;
use crate::table::{Layout, Table};
use crate::view::ViewError;

/// Listings of a basket that are paired with each other; those behind them only count as ordered. A basket of n is n times
/// n - 1 pairs.
pub const BASKET_LISTINGS_MAX: usize = 32;
/// Listings that are remembered beside one.
pub const NEIGHBOURS_MAX: usize = 200;
/// Listings that are asked for at once; more don't count.
pub const SOURCES_MAX: usize = 20;
/// Neighbours of each that are looked at, those that were bought with it the most often.
const NEIGHBOURS_LOOKED_AT_MAX: usize = 64;
/// In how many orders two listings must have been bought together before anybody is told: what one person bought is nobody's
/// business, and once is no habit.
pub const TOGETHER_MIN: u32 = 3;

/// What is known of a listing that was ordered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Item {
    listing: ListingId,
    /// Baskets that it was paired in.
    baskets: u64,
    of_late: OfLate,
}

/// A listing that was bought with another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Neighbour {
    /// Its number.
    item: u32,
    /// In how many baskets at most.
    together: u32,
    /// How many of these may have been another's, whose place it took.
    doubtful: u32,
}

impl Neighbour {
    /// Gives in how many baskets at least.
    fn known(&self) -> u32 {
        self.together - self.doubtful
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Totals {
    /// Baskets, those of one listing, too.
    baskets: u64,
    /// Listings that were ordered; each has a number below.
    items: u32,
}

const ITEMS: Layout<u32, Item> = Layout::new(b'i', VERSION);
const NUMBERS: Layout<ListingId, u32> = Layout::new(b'n', VERSION);
const NEIGHBOURS: Layout<u32, Vec<Neighbour>> = Layout::new(b'w', VERSION);
const TOTALS: Layout<(), Totals> = Layout::new(b't', VERSION);
const BY_RANK: Layout<(Rank, u32), ()> = Layout::new(b'p', VERSION);

/// How what is bought together is learnt.
pub(super) struct Counts {
    items: Table<u32, Item>,
    numbers: Table<ListingId, u32>,
    neighbours: Table<u32, Vec<Neighbour>>,
    totals: Table<(), Totals>,
    by_rank: Table<(Rank, u32), ()>,
    /// Where each listing that was ordered since the last writing stood before; none: nowhere.
    ranked: BTreeMap<u32, Option<Rank>>,
}

impl Counts {
    pub(super) fn new() -> Self {
        Counts {
            items: Table::new(ITEMS),
            numbers: Table::new(NUMBERS),
            neighbours: Table::new(NEIGHBOURS),
            totals: Table::new(TOTALS),
            by_rank: Table::new(BY_RANK),
            ranked: BTreeMap::new(),
        }
    }

    /// Takes in what was bought at once; what stands there again does not count again.
    pub(super) fn take(&mut self, tree: &Tree, basket: &[ListingId], at: Timestamp) -> Result<(), ViewError> {
        let mut seen = HashSet::with_capacity(basket.len());
        let mut paired = Vec::with_capacity(basket.len().min(BASKET_LISTINGS_MAX));
        for listing in basket.iter().filter(|listing| seen.insert(**listing)) {
            let number = self.number(tree, *listing)?;
            let item = self.items.entry(tree, &number)?;
            let before = item.as_ref().map(|item| item.of_late.rank());
            self.ranked.entry(number).or_insert(before);
            let new = Item { listing: *listing, baskets: 0, of_late: OfLate::default() };
            let item = item.get_or_insert(new);
            item.of_late.add(at);
            if paired.len() < BASKET_LISTINGS_MAX {
                item.baskets += 1;
                paired.push(number);
            }
        }
        if paired.is_empty() {
            return Ok(());
        }
        self.totals.entry(tree, &())?.get_or_insert_default().baskets += 1;
        if paired.len() > 1 {
            for number in &paired {
                let neighbours = self.neighbours.entry(tree, number)?.get_or_insert_default();
                paired.iter().filter(|other| *other != number).for_each(|other| meet(neighbours, *other));
            }
        }
        Ok(())
    }

    fn number(&mut self, tree: &Tree, listing: ListingId) -> Result<u32, ViewError> {
        if let Some(number) = *self.numbers.look(tree, &listing)? {
            return Ok(number);
        }
        let totals = self.totals.entry(tree, &())?.get_or_insert_default();
        let number = totals.items;
        totals.items = number.checked_add(1).expect("listings can be counted in 32 bits");
        self.numbers.set(listing, Some(number));
        Ok(number)
    }

    pub(super) fn write(&mut self, tree: &Tree, batch: &mut Batch) -> Result<(), ViewError> {
        for (number, before) in std::mem::take(&mut self.ranked) {
            let now = self.items.look(tree, &number)?.as_ref().map(|item| item.of_late.rank());
            if before != now {
                before.into_iter().for_each(|rank| self.by_rank.set((rank, number), None));
                now.into_iter().for_each(|rank| self.by_rank.set((rank, number), Some(())));
            }
        }
        self.items.write(tree, batch)?;
        self.numbers.write(tree, batch)?;
        self.neighbours.write(tree, batch)?;
        self.totals.write(tree, batch)?;
        self.by_rank.write(tree, batch)
    }
}

/// Counts a neighbour. When there is no more room, it takes the place of one that was met the least, and may be it: so whoever
/// was met more often than one time in [`NEIGHBOURS_MAX`] is there (Metwally and others, "Efficient Computation of Frequent and
/// Top-k Elements in Data Streams", 2005).
fn meet(neighbours: &mut Vec<Neighbour>, item: u32) {
    if let Some(known) = neighbours.iter_mut().find(|neighbour| neighbour.item == item) {
        known.together = known.together.saturating_add(1);
    } else if neighbours.len() < NEIGHBOURS_MAX {
        neighbours.push(Neighbour { item, together: 1, doubtful: 0 });
    } else if let Some(least) = neighbours.iter_mut().min_by_key(|neighbour| neighbour.together) {
        *least = Neighbour { item, together: least.together.saturating_add(1), doubtful: least.together };
    }
}

/// A listing that belongs to others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Candidate {
    pub(super) listing: ListingId,
    /// How strongly it belongs to all of them, in standard deviations.
    pub(super) strength: f64,
    /// To which of them it does the most.
    pub(super) because: ListingId,
    /// In how many orders at least it was bought with that one.
    pub(super) orders: u32,
}

/// Finds what belongs to some listings, what does the most first. What is asked for is not among it.
// What is added up here is no money, and orders what is shown.
#[allow(clippy::float_arithmetic)]
pub(super) fn belonging_to(tree: &Tree, listings: &[ListingId]) -> Result<Vec<Candidate>, ViewError> {
    let baskets = TOTALS.get(tree, &())?.unwrap_or_default().baskets;
    let mut numbers = Vec::with_capacity(listings.len().min(SOURCES_MAX));
    for listing in listings {
        match NUMBERS.get(tree, listing)? {
            Some(number) if numbers.len() < SOURCES_MAX && !numbers.contains(&number) => numbers.push(number),
            _ => {}
        }
    }
    let asked: HashSet<&ListingId> = listings.iter().collect();
    let mut items: HashMap<u32, Item> = HashMap::new();
    // Each with the strongest of what its strength is the sum of.
    let mut found: HashMap<u32, (Candidate, f64)> = HashMap::new();
    for number in &numbers {
        let one = known(tree, &mut items, *number)?.clone();
        let mut neighbours = NEIGHBOURS.get(tree, number)?.unwrap_or_default();
        neighbours.retain(|neighbour| neighbour.known() >= TOGETHER_MIN);
        neighbours.sort_unstable_by_key(|neighbour| (std::cmp::Reverse(neighbour.known()), neighbour.item));
        neighbours.truncate(NEIGHBOURS_LOOKED_AT_MAX);
        for neighbour in neighbours {
            let other = known(tree, &mut items, neighbour.item)?;
            if asked.contains(&other.listing) {
                continue;
            }
            let (listing, orders) = (other.listing, neighbour.known());
            let together =
                Together { both: u64::from(orders), one: one.baskets, other: other.baskets, baskets };
            let Some(strength) = together.strength() else { continue };
            let new = Candidate { listing, strength: 0.0, because: one.listing, orders };
            let (candidate, strongest) = found.entry(neighbour.item).or_insert((new, 0.0));
            candidate.strength += strength;
            if strength > *strongest {
                *strongest = strength;
                (candidate.because, candidate.orders) = (one.listing, orders);
            }
        }
    }
    let mut found: Vec<(u32, Candidate)> =
        found.into_iter().map(|(number, (candidate, _))| (number, candidate)).collect();
    found.sort_unstable_by(|(one_number, one), (other_number, other)| {
        other.strength.total_cmp(&one.strength).then(one_number.cmp(other_number))
    });
    Ok(found.into_iter().map(|(_, candidate)| candidate).collect())
}

fn known<'a>(tree: &Tree, items: &'a mut HashMap<u32, Item>, number: u32) -> Result<&'a Item, ViewError> {
    match items.entry(number) {
        Entry::Occupied(known) => Ok(known.into_mut()),
        Entry::Vacant(place) => {
            let missing =
                || ViewError::Damaged { source: format!("listing number {number} is missing").into() };
            Ok(place.insert(ITEMS.get(tree, &number)?.ok_or_else(missing)?))
        }
    }
}

/// Gives what is ordered the most of late, each with how many orders of this moment that is as much as.
pub(super) fn popular(
    tree: &Tree,
    now: Timestamp,
) -> impl Iterator<Item = Result<(ListingId, u64), ViewError>> {
    BY_RANK.scan(tree, &()).map(move |row| {
        let (key, ()) = row?;
        let damaged = || ViewError::Damaged { source: "a listing's rank has no number".into() };
        let number = key.get(16..).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes);
        let item = ITEMS.get(tree, &number.ok_or_else(damaged)?)?.ok_or_else(damaged)?;
        Ok((item.listing, item.of_late.orders(now)))
    })
}

/// Baskets that stand in no log: how well the view recommends is measured with it, by the very same code.
pub struct Practice {
    tree: Tree,
    counts: Counts,
    // Behind the tree, which it holds.
    _db: Db,
}

impl Practice {
    /// Begins with no basket, in a folder that is removed in the end.
    pub fn new(dir: &Path) -> Result<Practice, ViewError> {
        let db = sled::Config::new().path(dir).temporary(true).flush_every_ms(None).open()?;
        let tree = db.open_tree("practice")?;
        Ok(Practice { tree, counts: Counts::new(), _db: db })
    }

    /// Takes in some baskets, in one batch.
    pub fn take<'a>(
        &mut self,
        baskets: impl IntoIterator<Item = (&'a [ListingId], Timestamp)>,
    ) -> Result<(), ViewError> {
        for (basket, at) in baskets {
            self.counts.take(&self.tree, basket, at)?;
        }
        let mut batch = Batch::default();
        self.counts.write(&self.tree, &mut batch)?;
        self.tree.apply_batch(batch)?;
        Ok(())
    }

    /// Gives what belongs to some listings, what does the most first, at most `limit`.
    pub fn bought_with(&self, listings: &[ListingId], limit: usize) -> Result<Vec<ListingId>, ViewError> {
        let found = belonging_to(&self.tree, listings)?;
        Ok(found.into_iter().take(limit).map(|candidate| candidate.listing).collect())
    }

    /// Gives what is ordered the most of late, at most `limit`.
    pub fn popular(&self, now: Timestamp, limit: usize) -> Result<Vec<ListingId>, ViewError> {
        popular(&self.tree, now).take(limit).map(|row| Ok(row?.0)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    const DAY_MS: i64 = 86_400_000;

    fn listing(n: u32) -> ListingId {
        ListingId::from_uuid(Uuid::from_u128(u128::from(n) + 1))
    }

    fn at(day: i64) -> Timestamp {
        Timestamp::from_ms(1_753_783_200_000 + day * DAY_MS)
    }

    fn practice() -> (Practice, tempfile::TempDir) {
        let dir = tempfile::tempdir().expect("a folder can be made");
        (Practice::new(&dir.path().join("practice")).expect("a temporary store can be opened"), dir)
    }

    fn taught<'a>(batches: impl IntoIterator<Item = &'a [Vec<u32>]>) -> (Practice, tempfile::TempDir) {
        let (mut practice, dir) = practice();
        let mut day = 0;
        for batch in batches {
            let baskets: Vec<Vec<ListingId>> =
                batch.iter().map(|basket| basket.iter().copied().map(listing).collect()).collect();
            let dated = baskets.iter().map(|basket| {
                day += 1;
                (basket.as_slice(), at(day))
            });
            practice.take(dated).expect("a temporary store takes a batch");
        }
        (practice, dir)
    }

    fn hash_of(practice: &Practice) -> events::Hash {
        crate::table::content_hash(&practice.tree).expect("a temporary store can be read")
    }

    /// Counts from scratch what is bought together, and puts it in order.
    fn from_scratch(baskets: &[Vec<u32>], asked: &[u32]) -> Vec<ListingId> {
        let sets: Vec<BTreeSet<u32>> =
            baskets.iter().map(|basket| basket.iter().copied().collect()).collect();
        let sets: Vec<&BTreeSet<u32>> = sets.iter().filter(|set| !set.is_empty()).collect();
        let count =
            |all: &[u32]| sets.iter().filter(|set| all.iter().all(|n| set.contains(n))).count() as u64;
        let mut numbers: Vec<u32> = Vec::new();
        baskets.iter().flatten().for_each(|n| {
            if !numbers.contains(n) {
                numbers.push(*n)
            }
        });
        let candidates = numbers.iter().filter(|n| !asked.contains(n));
        let mut found: Vec<(f64, usize, u32)> = candidates
            .filter_map(|other| {
                let strengths = asked.iter().filter(|n| numbers.contains(n)).filter_map(|one| {
                    let (both, baskets) = (count(&[*one, *other]), sets.len() as u64);
                    let together = Together { both, one: count(&[*one]), other: count(&[*other]), baskets };
                    together.strength().filter(|_| both >= u64::from(TOGETHER_MIN))
                });
                let sum: f64 = strengths.sum();
                let number = numbers.iter().position(|n| n == other).expect("it was met");
                (sum > 0.0).then_some((sum, number, *other))
            })
            .collect();
        found.sort_by(|one, other| other.0.total_cmp(&one.0).then(one.1.cmp(&other.1)));
        found.into_iter().map(|(_, _, n)| listing(n)).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn what_is_learnt_basket_by_basket_is_what_is_counted_from_scratch(
            // Pairs that come often, among others that come by chance.
            baskets in prop::collection::vec(
                prop_oneof![
                    2 => Just(vec![0, 1]),
                    2 => Just(vec![2, 3, 4]),
                    1 => Just(vec![0, 2]),
                    3 => prop::collection::vec(0..12u32, 0..6),
                ],
                0..80,
            ),
            batch in 1..20usize,
            asked in prop::collection::vec(0..14u32, 1..4),
        ) {
            let (practice, _dir) = taught(baskets.chunks(batch));
            let wanted: Vec<ListingId> = asked.iter().copied().map(listing).collect();
            let mut asked = asked;
            let mut seen = BTreeSet::new();
            asked.retain(|n| seen.insert(*n));
            let found = practice.bought_with(&wanted, usize::MAX).expect("a temporary store can be read");
            prop_assert_eq!(found, from_scratch(&baskets, &asked));
            let (at_once, _dir) = taught([baskets.as_slice()]);
            prop_assert_eq!(hash_of(&practice), hash_of(&at_once), "how the log was cut makes no difference");
        }

        #[test]
        fn of_too_many_neighbours_no_frequent_one_is_missed_and_none_is_counted_too_high(
            met in prop::collection::vec(prop_oneof![1 => 0..5u32, 3 => 0..2_000u32], 0..4_000),
        ) {
            let (mut neighbours, mut counts) = (Vec::new(), HashMap::<u32, u32>::new());
            for item in &met {
                meet(&mut neighbours, *item);
                *counts.entry(*item).or_default() += 1;
            }
            prop_assert!(neighbours.len() <= NEIGHBOURS_MAX);
            for neighbour in &neighbours {
                let count = counts[&neighbour.item];
                prop_assert!(neighbour.known() <= count && count <= neighbour.together);
            }
            for (item, count) in counts {
                if count as usize * NEIGHBOURS_MAX > met.len() {
                    prop_assert!(neighbours.iter().any(|neighbour| neighbour.item == item));
                }
            }
        }
    }

    #[test]
    fn baskets_are_bounded_and_what_stands_in_one_twice_counts_once() {
        let large: Vec<u32> = (0..100).collect();
        let others: Vec<Vec<u32>> = (0..200).map(|n| vec![1_000 + n]).collect();
        let (practice, _dir) =
            taught([&[vec![0, 0, 1], vec![1, 0], vec![0, 1, 1]][..], &vec![large; 3], &others]);
        let found = practice.bought_with(&[listing(0)], usize::MAX).expect("it can be read");
        assert_eq!(found[0], listing(1));
        assert_eq!(found.len(), BASKET_LISTINGS_MAX - 1);
        let behind = practice.bought_with(&[listing(50)], usize::MAX).expect("it can be read");
        assert_eq!(behind, [], "what stands behind is paired with nothing");
        let popular = practice.popular(at(220), usize::MAX).expect("it can be read");
        assert_eq!(popular.len(), 300, "and counts as ordered");
    }

    #[test]
    fn what_fewer_than_three_orders_hold_is_told_to_nobody() {
        let others: Vec<Vec<u32>> = (0..100).map(|n| vec![1_000 + n]).collect();
        let (practice, _dir) = taught([&[vec![0, 1], vec![0, 1]][..], &others]);
        assert_eq!(practice.bought_with(&[listing(0)], 9).expect("it can be read"), []);
        let (practice, _dir) = taught([&[vec![0, 1], vec![0, 1], vec![0, 1]][..], &others]);
        assert_eq!(practice.bought_with(&[listing(0)], 9).expect("it can be read"), [listing(1)]);
    }

    #[test]
    fn what_is_ordered_of_late_stands_before_what_was_ordered_more_before() {
        let (mut practice, _dir) = practice();
        let (old, new) = ([listing(1)], [listing(2)]);
        let then = (0..10).map(|_| (&old[..], at(0))).chain((0..3).map(|_| (&new[..], at(14))));
        practice.take(then).expect("it can be written");
        // Ten of two weeks ago are as much as two and a half.
        assert_eq!(practice.popular(at(14), 9).expect("it can be read"), [listing(2), listing(1)]);
        practice.take([(&old[..], at(15))]).expect("it can be written");
        assert_eq!(practice.popular(at(15), 9).expect("it can be read"), [listing(1), listing(2)]);
        let orders: Vec<u64> =
            popular(&practice.tree, at(15)).map(|row| row.expect("it can be read").1).collect();
        assert_eq!(orders, [3, 3]);
    }
}
