//! Questions about numbers.

use std::cmp::Reverse;

use events::ids::{AccountId, ListingId};
use events::{Currency, Timestamp};

use super::{
    Activity, Code, DAYS, FUNNEL, Funnel, HOURS, LATENCY, LATENCY_BOUNDS_MS, LISTING_DAYS, LISTINGS, Latency,
    LatencyBucket, ListingSales, Milestone, Point, QueryError, REJECTIONS, Rank, RejectionCount, SELLER_DAYS,
    SELLERS, SERIES_POINTS_MAX, Sales, Step, TOP_MAX, TimeRange,
};
use crate::store::Slot;
use crate::table::{read_i64, read_uuid};
use crate::view::ViewError;

/// Answers about numbers over time.
#[derive(Clone, Copy)]
pub struct Analytics<'a>(&'a Slot);

impl<'a> Analytics<'a> {
    pub(crate) fn new(slot: &'a Slot) -> Self {
        Analytics(slot)
    }

    /// Sums what happened in a time, which is widened to full hours.
    pub fn summary(&self, range: TimeRange) -> Result<Activity, ViewError> {
        let live = self.0.ask()?;
        let (from, to) = numbers(Step::Hour, range);
        let mut sum = Activity::default();
        for pair in HOURS.range(&live.tree, &from, &to, 0) {
            sum.add(&pair?.1).ok_or(ViewError::overflow("a summary", live.head.position))?;
        }
        Ok(sum)
    }

    /// Gives what happened hour by hour or day by day, with nothing left out: a quiet hour is a point of zeros. The
    /// range is widened to full steps; it has at most [`SERIES_POINTS_MAX`].
    pub fn series(&self, step: Step, range: TimeRange) -> Result<Vec<Point<Activity>>, QueryError> {
        let live = self.0.ask()?;
        let (from, to) = bounded(step, range)?;
        let layout = match step {
            Step::Hour => HOURS,
            Step::Day => DAYS,
        };
        let quiet = |number| Point { start: step.start(number), numbers: Activity::default() };
        let mut points: Vec<_> = (from..to).map(quiet).collect();
        for pair in layout.range(&live.tree, &from, &to, 0) {
            let (key, numbers) = pair?;
            let at = usize::try_from(read_i64(&key).ok_or_else(damaged_key)? - from);
            let point = at.ok().and_then(|at| points.get_mut(at)).ok_or_else(damaged_key)?;
            point.numbers = numbers;
        }
        Ok(points)
    }

    /// Gives a seller's numbers since the market opened.
    pub fn seller(&self, seller: AccountId) -> Result<Sales, ViewError> {
        Ok(SELLERS.get(&self.0.ask()?.tree, &seller)?.unwrap_or_default())
    }

    /// Gives a seller's numbers day by day; quiet days are left out.
    pub fn seller_days(&self, seller: AccountId, range: TimeRange) -> Result<Vec<Point<Sales>>, QueryError> {
        let live = self.0.ask()?;
        let (from, to) = bounded(Step::Day, range)?;
        SELLER_DAYS.range(&live.tree, &(seller, from), &(seller, to), 16).map(day_of).collect()
    }

    /// Gives a listing's numbers since the market opened.
    pub fn listing(&self, listing: ListingId) -> Result<ListingSales, ViewError> {
        Ok(LISTINGS.get(&self.0.ask()?.tree, &listing)?.unwrap_or_default())
    }

    /// Gives a listing's numbers day by day; quiet days are left out.
    pub fn listing_days(
        &self,
        listing: ListingId,
        range: TimeRange,
    ) -> Result<Vec<Point<ListingSales>>, QueryError> {
        let live = self.0.ask()?;
        let (from, to) = bounded(Step::Day, range)?;
        LISTING_DAYS.range(&live.tree, &(listing, from), &(listing, to), 16).map(day_of).collect()
    }

    /// Ranks the sellers by what was ordered of them in a currency, at most [`TOP_MAX`]. Reads all sellers.
    pub fn top_sellers(
        &self,
        currency: Currency,
        limit: usize,
    ) -> Result<Vec<Rank<AccountId, Sales>>, ViewError> {
        let live = self.0.ask()?;
        let ranks = SELLERS.scan(&live.tree, &()).map(|pair| {
            let (key, numbers) = pair?;
            let id = AccountId::from_uuid(read_uuid(&key).ok_or_else(damaged_key)?);
            let gmv = numbers.money.iter().find(|money| money.currency == currency).map(|money| money.gmv);
            Ok(gmv.map(|gmv| (gmv, Rank { id, numbers })))
        });
        top(ranks, limit)
    }

    /// Ranks the listings by what was ordered of them in a currency, at most [`TOP_MAX`]. Reads all listings.
    pub fn top_listings(
        &self,
        currency: Currency,
        limit: usize,
    ) -> Result<Vec<Rank<ListingId, ListingSales>>, ViewError> {
        let live = self.0.ask()?;
        let ranks = LISTINGS.scan(&live.tree, &()).map(|pair| {
            let (key, numbers) = pair?;
            let id = ListingId::from_uuid(read_uuid(&key).ok_or_else(damaged_key)?);
            let gmv = numbers.money.iter().find(|money| money.currency == currency).map(|money| money.gmv);
            Ok(gmv.map(|gmv| (gmv, Rank { id, numbers })))
        });
        top(ranks, limit)
    }

    /// Gives how many carts and orders came how far, since the market opened.
    pub fn funnel(&self) -> Result<Funnel, ViewError> {
        Ok(FUNNEL.get(&self.0.ask()?.tree, &())?.unwrap_or_default())
    }

    /// Gives how long orders took to each milestone, since the market opened.
    pub fn latency(&self) -> Result<Vec<Latency>, ViewError> {
        let live = self.0.ask()?;
        let mut all = Vec::with_capacity(Milestone::ALL.len());
        for milestone in Milestone::ALL {
            let histogram = LATENCY.get(&live.tree, &milestone.key())?.unwrap_or_default();
            let bounds = LATENCY_BOUNDS_MS.into_iter().map(Some).chain([None]);
            let buckets = bounds.zip(histogram.counts);
            all.push(Latency {
                milestone,
                count: histogram.counts.iter().sum(),
                sum_ms: histogram.sum_ms,
                buckets: buckets.map(|(up_to_ms, count)| LatencyBucket { up_to_ms, count }).collect(),
            });
        }
        Ok(all)
    }

    /// Gives how often commands were refused, by day and reason. The range is widened to full days.
    pub fn rejections(&self, range: TimeRange) -> Result<Vec<RejectionCount>, QueryError> {
        let live = self.0.ask()?;
        let (from, to) = bounded(Step::Day, range)?;
        let (first, end) = ((from, Code(String::new())), (to, Code(String::new())));
        let counts = REJECTIONS.range(&live.tree, &first, &end, 0).map(|pair| {
            let (key, count) = pair?;
            let day = Step::Day.start(read_i64(&key).ok_or_else(damaged_key)?);
            let code = std::str::from_utf8(&key[8..]).map_err(|_| damaged_key())?.to_owned();
            Ok(RejectionCount { day, code, count })
        });
        counts.collect()
    }
}

/// Gives the steps that a range touches: the first, and the one behind the last.
fn numbers(step: Step, range: TimeRange) -> (i64, i64) {
    if range.to <= range.from {
        return (0, 0);
    }
    let last = Timestamp::from_ms(range.to.ms().saturating_sub(1));
    (step.number(range.from), step.number(last) + 1)
}

fn bounded(step: Step, range: TimeRange) -> Result<(i64, i64), QueryError> {
    let (from, to) = numbers(step, range);
    let points = if range.to < range.from { -1 } else { to - from };
    if (0..=SERIES_POINTS_MAX).contains(&points) {
        Ok((from, to))
    } else {
        Err(QueryError::Range { points, max: SERIES_POINTS_MAX })
    }
}

fn day_of<T>(pair: Result<(sled::IVec, T), ViewError>) -> Result<Point<T>, QueryError> {
    let (key, numbers) = pair?;
    let day = read_i64(&key).ok_or_else(damaged_key)?;
    Ok(Point { start: Step::Day.start(day), numbers })
}

/// Takes the greatest; of equals, those with the smaller id.
fn top<I: Ord + Copy, T>(
    ranks: impl Iterator<Item = Result<Option<(i64, Rank<I, T>)>, ViewError>>,
    limit: usize,
) -> Result<Vec<Rank<I, T>>, ViewError> {
    let limit = limit.clamp(1, TOP_MAX);
    let mut best: Vec<(i64, Rank<I, T>)> = Vec::with_capacity(2 * limit);
    let cut = |best: &mut Vec<(i64, Rank<I, T>)>| {
        best.sort_by_key(|(gmv, rank)| (Reverse(*gmv), rank.id));
        best.truncate(limit);
    };
    for rank in ranks {
        best.extend(rank?);
        if best.len() == 2 * limit {
            cut(&mut best);
        }
    }
    cut(&mut best);
    Ok(best.into_iter().map(|(_, rank)| rank).collect())
}

pub(super) fn damaged_key() -> ViewError {
    ViewError::Damaged { source: "its key has another form".into() }
}
