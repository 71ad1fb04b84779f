//! How well it is guessed what else somebody buys: of each later basket one product is left out, and is to be found by the others.
//! What is learnt and asked is the code of the view of recommendations; plain popularity, the products that were in the most baskets,
//! is what it is compared with.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, ensure};
use events::Timestamp;
use events::ids::ListingId;
use hdrhistogram::Histogram;
use projections::recommendation::Practice;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::Serialize;
use uuid::Uuid;

/// Guesses for each basket.
const GUESSES: usize = 10;
/// Of ten parts of the baskets in the order of time, how many are learnt from; the others are guessed at.
const LEARNT_TENTHS: usize = 8;
/// Baskets that are written at once.
const BASKETS_PER_BATCH: usize = 4_096;
/// Most baskets that are guessed at, evenly out of all that could be.
const GUESSED_AT_MAX: usize = 5_000;

/// How well one way to guess does.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Hits {
    /// The part of the baskets whose left-out product is among the ten guesses.
    pub hit_rate: f64,
    /// The mean of one divided by its place, 0 where it is not among them.
    pub mean_reciprocal_rank: f64,
}

/// What was measured.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Figures {
    /// Baskets that were learnt from.
    pub learnt: usize,
    /// Different products in them.
    pub products: usize,
    /// Baskets that were guessed at.
    pub guessed: usize,
    /// By what is bought together, and behind that by what is bought of late.
    pub together: Hits,
    /// By what was in the most baskets.
    pub popularity: Hits,
    /// Baskets learnt in a second.
    pub learnt_per_s: f64,
    /// Median time of a guess.
    pub guess_p50_ms: f64,
    /// 99th percentile.
    pub guess_p99_ms: f64,
}

struct Basket {
    at: Timestamp,
    products: Vec<ListingId>,
}

fn read(file: &Path) -> anyhow::Result<Vec<Basket>> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("{} can't be read: scripts/get-baskets.sh makes it", file.display()))?;
    let line = |line: &str| {
        let (at, products) = line.split_once('\t')?;
        let product = |word: &str| Some(ListingId::from_uuid(Uuid::from_u128(word.parse().ok()?)));
        let products: Option<Vec<ListingId>> = products.split(' ').map(product).collect();
        Some(Basket { at: Timestamp::from_ms(at.parse().ok()?), products: products? })
    };
    let baskets = text.lines().enumerate().map(|(n, text)| {
        line(text).with_context(|| format!("{}: line {} is no basket", file.display(), n + 1))
    });
    baskets.collect()
}

/// Adds up how well guesses do.
#[derive(Default)]
struct Score {
    baskets: u32,
    hits: u32,
    reciprocal_ranks: f64,
}

impl Score {
    fn take(&mut self, guesses: &[ListingId], left_out: ListingId) {
        self.baskets += 1;
        if let Some(place) = guesses.iter().take(GUESSES).position(|guess| *guess == left_out) {
            self.hits += 1;
            self.reciprocal_ranks += 1.0 / (place + 1) as f64;
        }
    }

    fn told(&self) -> Hits {
        let baskets = f64::from(self.baskets.max(1));
        Hits {
            hit_rate: f64::from(self.hits) / baskets,
            mean_reciprocal_rank: self.reciprocal_ranks / baskets,
        }
    }
}

/// Learns from the earlier baskets of a file, and guesses at the later ones.
pub fn run(dir: &Path, file: &Path) -> anyhow::Result<Figures> {
    let baskets = read(file)?;
    let (earlier, later) = baskets.split_at(baskets.len() * LEARNT_TENTHS / 10);
    let guessable: Vec<&Basket> = later.iter().filter(|basket| basket.products.len() > 1).collect();
    ensure!(!guessable.is_empty(), "{} has no later basket of two products", file.display());
    let mut practice = Practice::new(dir)?;
    let started = Instant::now();
    for some in earlier.chunks(BASKETS_PER_BATCH) {
        practice.take(some.iter().map(|basket| (basket.products.as_slice(), basket.at)))?;
    }
    let learnt_per_s = earlier.len() as f64 / started.elapsed().as_secs_f64();

    let mut counts: HashMap<ListingId, u32> = HashMap::new();
    for product in earlier.iter().flat_map(|basket| &basket.products) {
        *counts.entry(*product).or_default() += 1;
    }
    let mut by_count: Vec<(ListingId, u32)> = counts.into_iter().collect();
    by_count.sort_by_key(|(product, count)| (std::cmp::Reverse(*count), *product));
    let most: Vec<ListingId> = by_count.iter().map(|(product, _)| *product).collect();

    let apart = guessable.len().div_ceil(GUESSED_AT_MAX);
    let mut rng = StdRng::seed_from_u64(17);
    let (mut together, mut popularity) = (Score::default(), Score::default());
    let mut took_us = Histogram::<u64>::new(3).context("three digits are possible")?;
    for basket in guessable.into_iter().step_by(apart) {
        let mut rest = basket.products.clone();
        let left_out = rest.swap_remove(rng.random_range(0..rest.len()));
        let begun = Instant::now();
        let mut guesses = practice.bought_with(&rest, GUESSES)?;
        if guesses.len() < GUESSES {
            let of_late = practice.popular(basket.at, GUESSES + rest.len() + guesses.len())?;
            let known: HashSet<ListingId> = rest.iter().chain(&guesses).copied().collect();
            guesses.extend(of_late.into_iter().filter(|product| !known.contains(product)));
        }
        took_us.record(begun.elapsed().as_micros() as u64)?;
        together.take(&guesses, left_out);
        let others = most.iter().copied().filter(|product| !rest.contains(product));
        popularity.take(&others.take(GUESSES).collect::<Vec<_>>(), left_out);
    }
    Ok(Figures {
        learnt: earlier.len(),
        products: most.len(),
        guessed: together.baskets as usize,
        together: together.told(),
        popularity: popularity.told(),
        learnt_per_s,
        guess_p50_ms: took_us.value_at_quantile(0.5) as f64 / 1000.0,
        guess_p99_ms: took_us.value_at_quantile(0.99) as f64 / 1000.0,
    })
}
