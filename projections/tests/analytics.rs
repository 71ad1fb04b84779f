//! Every number of analytics equals what counting the whole history gives.

#![allow(clippy::unwrap_used)] // what a test calls is a test too

mod support;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use events::ids::ListingId;
use events::{Currency, Timestamp};
use projections::analytics::{
    Activity, Analytics, LATENCY_BOUNDS_MS, Milestone, NumbersOf, NumbersOfLog, QueryError,
    SERIES_POINTS_MAX, Step, StepNumbers, TimeRange,
};
use proptest::prelude::*;
use support::market::{SELLERS, history_of, wishes};
use support::{History, account, follow, naive, naive_numbers};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// Opens views, lets them follow a history, and looks at their numbers.
fn with_numbers(history: &History, check: impl FnOnce(Analytics<'_>)) {
    let dir = tempfile::tempdir().unwrap();
    let views = projections::Projections::open(dir.path()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(follow(&views, history.all()));
    check(views.analytics());
}

/// The whole time of a history, and a part of it that begins and ends within a step.
fn ranges(history: &History) -> [TimeRange; 2] {
    let (from, to) = (support::START, history.now.plus_ms(1));
    let third_ms = to.ms_since(from) / 3;
    let part = TimeRange { from: from.plus_ms(third_ms), to: to.plus_ms(-third_ms) };
    [TimeRange { from, to }, part]
}

/// The numbers of the steps that a range touches.
fn steps(range: TimeRange, step_ms: i64) -> std::ops::Range<i64> {
    if range.to <= range.from {
        return 0..0;
    }
    range.from.ms().div_euclid(step_ms)..(range.to.ms() - 1).div_euclid(step_ms) + 1
}

fn is_in(time: Timestamp, step: i64, step_ms: i64) -> bool {
    time.ms().div_euclid(step_ms) == step
}

fn check_market(history: &History, analytics: Analytics<'_>) {
    for range in ranges(history) {
        let hours = steps(range, HOUR_MS);
        let expected =
            naive_numbers::activity(history, |time| hours.contains(&time.ms().div_euclid(HOUR_MS)));
        assert_eq!(analytics.summary(range).unwrap(), expected);
        for (step, step_ms) in [(Step::Hour, HOUR_MS), (Step::Day, DAY_MS)] {
            let expected: Vec<i64> = steps(range, step_ms).collect();
            if expected.len() as i64 > SERIES_POINTS_MAX {
                assert!(matches!(analytics.series(step, range), Err(QueryError::Range { .. })));
                continue;
            }
            let points = analytics.series(step, range).unwrap();
            let starts: Vec<i64> = points.iter().map(|point| point.start.ms()).collect();
            assert_eq!(starts, expected.iter().map(|number| number * step_ms).collect::<Vec<_>>());
            let busy: BTreeSet<i64> =
                naive::events(history).map(|e| e.metadata.time.ms().div_euclid(step_ms)).collect();
            for (point, number) in points.iter().zip(expected) {
                let counted = if busy.contains(&number) {
                    naive_numbers::activity(history, |time| is_in(time, number, step_ms))
                } else {
                    Activity::default()
                };
                assert_eq!(point.numbers, counted);
            }
        }
    }
    assert_eq!(analytics.funnel().unwrap(), naive_numbers::funnel(history));
}

fn check_sellers(history: &History, analytics: Analytics<'_>) {
    for seller in (100..100 + SELLERS).map(account) {
        let all = naive_numbers::sales(history, |of, _| of == seller);
        assert_eq!(analytics.seller(seller).unwrap(), all);
        for range in ranges(history) {
            let expected: Vec<_> = steps(range, DAY_MS)
                .map(|day| {
                    let of_day = |of, time| of == seller && is_in(time, day, DAY_MS);
                    (day * DAY_MS, naive_numbers::sales(history, of_day))
                })
                .filter(|(_, sales)| *sales != projections::analytics::Sales::default())
                .collect();
            let days = analytics.seller_days(seller, range).unwrap();
            let days: Vec<_> = days.into_iter().map(|day| (day.start.ms(), day.numbers)).collect();
            assert_eq!(days, expected);
        }
    }
}

fn listings(history: &History) -> BTreeSet<ListingId> {
    let created = naive::events(history).filter_map(|recorded| match &recorded.event {
        events::Event::ListingCreated(created) => Some(created.listing),
        _ => None,
    });
    created.collect()
}

fn check_listings(history: &History, analytics: Analytics<'_>) {
    let mut fees: BTreeMap<Currency, i64> = BTreeMap::new();
    for listing in listings(history) {
        let sales = analytics.listing(listing).unwrap();
        assert_eq!(sales, naive_numbers::listing(history, listing, |_| true));
        for money in &sales.money {
            *fees.entry(money.currency).or_default() += money.fees;
        }
        for range in ranges(history) {
            let expected: Vec<_> = steps(range, DAY_MS)
                .map(|day| {
                    let of_day = |time| is_in(time, day, DAY_MS);
                    (day * DAY_MS, naive_numbers::listing(history, listing, of_day))
                })
                .filter(|(_, sales)| *sales != projections::analytics::ListingSales::default())
                .collect();
            let days = analytics.listing_days(listing, range).unwrap();
            let days: Vec<_> = days.into_iter().map(|day| (day.start.ms(), day.numbers)).collect();
            assert_eq!(days, expected);
        }
    }
    // Split over listings, no fee is lost or found.
    let whole = naive_numbers::activity(history, |_| true).sales.money;
    for money in whole {
        assert_eq!(fees.get(&money.currency).copied().unwrap_or(0), money.fees);
    }
}

fn check_ranks(history: &History, analytics: Analytics<'_>, limit: usize) {
    for currency in naive::currencies(history) {
        let mut sellers: Vec<_> = (100..100 + SELLERS)
            .map(|n| (account(n), naive_numbers::sales(history, |of, _| of == account(n))))
            .filter_map(|(id, sales)| {
                let gmv = sales.money.iter().find(|money| money.currency == currency)?.gmv;
                Some((Reverse(gmv), id, sales))
            })
            .collect();
        sellers.sort_by_key(|(gmv, id, _)| (*gmv, *id));
        sellers.truncate(limit);
        let ranked = analytics.top_sellers(currency, limit).unwrap();
        let ranked: Vec<_> = ranked.into_iter().map(|rank| (rank.id, rank.numbers)).collect();
        assert_eq!(ranked, sellers.into_iter().map(|(_, id, sales)| (id, sales)).collect::<Vec<_>>());

        let mut of_listings: Vec<_> = listings(history)
            .into_iter()
            .map(|id| (id, naive_numbers::listing(history, id, |_| true)))
            .filter_map(|(id, sales)| {
                let gmv = sales.money.iter().find(|money| money.currency == currency)?.gmv;
                Some((Reverse(gmv), id, sales))
            })
            .collect();
        of_listings.sort_by_key(|(gmv, id, _)| (*gmv, *id));
        of_listings.truncate(limit);
        let ranked = analytics.top_listings(currency, limit).unwrap();
        let ranked: Vec<_> = ranked.into_iter().map(|rank| (rank.id, rank.numbers)).collect();
        assert_eq!(ranked, of_listings.into_iter().map(|(_, id, sales)| (id, sales)).collect::<Vec<_>>());
    }
}

fn check_latency(history: &History, analytics: Analytics<'_>) {
    let all = analytics.latency().unwrap();
    assert_eq!(all.iter().map(|latency| latency.milestone).collect::<Vec<_>>(), Milestone::ALL);
    for latency in all {
        let took = naive_numbers::took_ms(history, latency.milestone);
        assert_eq!((latency.count, latency.sum_ms), (took.len() as u64, took.iter().sum()));
        let bounds: Vec<_> = LATENCY_BOUNDS_MS.into_iter().map(Some).chain([None]).collect();
        assert_eq!(latency.buckets.iter().map(|bucket| bucket.up_to_ms).collect::<Vec<_>>(), bounds);
        let mut above = -1;
        for bucket in latency.buckets {
            let bound = bucket.up_to_ms.unwrap_or(i64::MAX);
            let count = took.iter().filter(|ms| **ms > above && **ms <= bound).count();
            assert_eq!(bucket.count, count as u64);
            above = bound;
        }
    }
}

fn check_rejections(history: &History, analytics: Analytics<'_>) {
    for range in ranges(history) {
        let days = steps(range, DAY_MS);
        let counted = analytics.rejections(range).unwrap();
        let counted: Vec<_> = counted.into_iter().map(|c| ((c.day.ms() / DAY_MS, c.code), c.count)).collect();
        let expected = naive_numbers::rejections(history).into_iter();
        let expected: Vec<_> = expected.filter(|((day, _), _)| days.contains(day)).collect();
        assert_eq!(counted, expected);
    }
}

/// Rows that are read apart from views say what the whole history says of each step, and of none in which nothing happened.
fn check_rows(history: &History, commits_at_once: usize) {
    let dir = tempfile::tempdir().unwrap();
    let mut numbers = NumbersOfLog::begin(&dir.path().join("numbers")).unwrap();
    for commits in history.commits.chunks(commits_at_once) {
        numbers.add(commits).unwrap();
    }
    let hours: Vec<_> = numbers.rows(Step::Hour).map(Result::unwrap).collect();
    let mut counted = Activity::default();
    for row in &hours {
        let NumbersOf::Market(of_hour) = &row.of else { panic!("hours are the market's: {row:?}") };
        let hour = row.start.ms() / HOUR_MS;
        assert_eq!(*of_hour, naive_numbers::activity(history, |time| is_in(time, hour, HOUR_MS)));
        counted.rejected += of_hour.rejected;
        counted.sales.orders += of_hour.sales.orders;
    }
    let whole = naive_numbers::activity(history, |_| true);
    assert_eq!((counted.rejected, counted.sales.orders), (whole.rejected, whole.sales.orders));

    let (mut orders_of_market, mut orders_of_sellers, mut reasons) = (0, 0, BTreeMap::new());
    for row in numbers.rows(Step::Day).map(Result::unwrap) {
        let StepNumbers { start, of } = row;
        let day = start.ms() / DAY_MS;
        match of {
            NumbersOf::Market(found) => {
                assert_eq!(found, naive_numbers::activity(history, |time| is_in(time, day, DAY_MS)));
                orders_of_market += found.sales.orders;
            }
            NumbersOf::Seller(seller, found) => {
                let of_day = |of, time| of == seller && is_in(time, day, DAY_MS);
                assert_eq!(found, naive_numbers::sales(history, of_day));
                orders_of_sellers += found.orders;
            }
            NumbersOf::Listing(listing, found) => {
                let of_day = |time| is_in(time, day, DAY_MS);
                assert_eq!(found, naive_numbers::listing(history, listing, of_day));
            }
            NumbersOf::Reason(code, count) => assert_eq!(reasons.insert((day, code), count), None),
        }
    }
    assert_eq!((orders_of_market, orders_of_sellers), (whole.sales.orders, whole.sales.orders));
    assert_eq!(
        reasons.into_iter().collect::<Vec<_>>(),
        naive_numbers::rejections(history).into_iter().collect::<Vec<_>>()
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn every_number_equals_a_count_of_the_whole_history(wishes in wishes(120), limit in 1usize..5) {
        let history = history_of(&wishes);
        with_numbers(&history, |analytics| {
            check_market(&history, analytics);
            check_sellers(&history, analytics);
            check_listings(&history, analytics);
            check_ranks(&history, analytics, limit);
            check_latency(&history, analytics);
            check_rejections(&history, analytics);
        });
        check_rows(&history, limit * 7);
    }
}

#[test]
fn a_range_ends_after_it_begins_and_has_a_bounded_number_of_points() {
    with_numbers(&History::default(), |analytics| {
        let at = Timestamp::from_ms;
        let of_hours = |count: i64| TimeRange { from: at(0), to: at(count * HOUR_MS) };
        assert_eq!(analytics.series(Step::Hour, of_hours(0)).unwrap().len(), 0);
        let longest = analytics.series(Step::Hour, of_hours(SERIES_POINTS_MAX)).unwrap();
        assert_eq!(longest.len() as i64, SERIES_POINTS_MAX);
        for range in [of_hours(SERIES_POINTS_MAX + 1), TimeRange { from: at(1), to: at(0) }] {
            assert!(matches!(analytics.series(Step::Hour, range), Err(QueryError::Range { .. })));
        }
        let widest = TimeRange { from: at(i64::MIN), to: at(i64::MAX) };
        assert!(matches!(analytics.series(Step::Hour, widest), Err(QueryError::Range { .. })));
        assert!(matches!(analytics.rejections(widest), Err(QueryError::Range { .. })));
        assert_eq!(analytics.summary(widest).unwrap(), Activity::default());
    });
}
