//! How long searches take beside a market at work: orders are placed and listings described anew meanwhile, on the same cores.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use axum::Router;
use axum::body::Body;
use axum::http::Request;
use commands::command::DescribeListing;
use commands::receipt::ReceiptVerifier;
use engine::clock::WallClock;
use events::account::Algorithm;
use gateway::node::{Node, NodeConfig, RECEIPT_KEY};
use hdrhistogram::Histogram;
use projections::search::SearchState;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::Serialize;
use tower::ServiceExt;

use crate::load;
use crate::segment::{CATCH_UP_MAX, found};
use crate::workload::{LISTINGS_PER_SELLER, Town};

/// Words of the language that listings are written in; drawn so that the n-th is about n times rarer than the first.
const LANGUAGE: usize = 20_000;
/// Categories, wide and narrow, and colours.
const WIDE_CATEGORIES: usize = 8;
const CATEGORIES: usize = 40;
const COLOURS: [&str; 8] = ["red", "green", "blue", "black", "white", "grey", "yellow", "brown"];
/// Buyers who order meanwhile.
const BUYERS: usize = 500;
/// Listings that are described anew each second meanwhile, so that the index has something to commit.
const DESCRIBED_PER_SECOND: usize = 20;
/// Searches that nobody counts, before those that are.
const WARM_UP: usize = 400;

/// What is measured.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Listings.
    pub listings: usize,
    /// Searches a second, sent when they are due whatever comes back.
    pub searches_per_second: u32,
    /// Orders a second beside them.
    pub orders_per_second: u32,
    /// For how long, in seconds.
    pub seconds: u32,
}

/// How long questions of one kind took.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct OfKind {
    /// What they ask.
    pub kind: Kind,
    /// How many were answered.
    pub searches: u64,
    /// From when a search was due to its answer, written out.
    pub p50_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
}

/// What was measured.
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    /// Listings.
    pub listings: usize,
    /// Searches that were answered.
    pub searches: u64,
    /// Searches a second.
    pub searches_per_second: u32,
    /// Orders a second beside them.
    pub orders_per_second: u32,
    /// From when a search was due to its answer, written out.
    pub p50_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
    /// 99.9th percentile.
    pub p999_ms: f64,
    /// The longest.
    pub max_ms: f64,
    /// The same by what is asked.
    pub kinds: Vec<OfKind>,
    /// How long the index took to be made of all listings, in seconds.
    pub fill_s: f64,
    /// Median latency of the orders.
    pub orders_p50_ms: f64,
    /// 99th percentile.
    pub orders_p99_ms: f64,
}

/// Gives a word of the language.
fn word(n: usize) -> String {
    const SYLLABLES: [&str; 27] = [
        "ba", "ce", "di", "fo", "gu", "ha", "je", "ki", "lo", "mu", "na", "pe", "ri", "so", "tu", "va", "we",
        "xi", "yo", "zu", "bra", "cle", "dri", "flo", "gru", "sta", "tre",
    ];
    let mut rest = n + SYLLABLES.len();
    let mut word = String::new();
    while rest > 0 {
        word.push_str(SYLLABLES[rest % SYLLABLES.len()]);
        rest /= SYLLABLES.len();
    }
    word
}

/// Draws a word, the rarer the higher its number.
fn draw(rng: &mut StdRng) -> String {
    let exponent: f64 = rng.random_range(0.0..1.0);
    word((LANGUAGE as f64).powf(exponent) as usize)
}

fn text(rng: &mut StdRng, words: usize) -> String {
    (0..words).map(|_| draw(rng)).collect::<Vec<_>>().join(" ")
}

fn title(n: usize) -> String {
    let mut rng = StdRng::seed_from_u64(n as u64);
    let words = rng.random_range(3..=8);
    text(&mut rng, words)
}

fn description(town: &Town, n: usize, seed: u64) -> anyhow::Result<DescribeListing> {
    let mut rng = StdRng::seed_from_u64(seed ^ n as u64);
    let words = rng.random_range(15..=40);
    let colour = COLOURS[rng.random_range(0..COLOURS.len())].to_owned();
    let attributes = std::collections::BTreeMap::from([("colour".to_owned(), colour)]);
    let told = |rule: String| anyhow::anyhow!(rule);
    let category = format!("wide-{}/narrow-{}", n % WIDE_CATEGORIES, rng.random_range(0..CATEGORIES));
    Ok(DescribeListing {
        attributes: Some(attributes.try_into().map_err(told)?),
        category: Some(category.parse()?),
        description: Some(text(&mut rng, words).try_into().map_err(told)?),
        listing: town.listing(n),
        tags: Some(std::collections::BTreeSet::from([draw(&mut rng)]).try_into().map_err(told)?),
    })
}

/// What a question asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Two words of a title.
    Words,
    /// The same without their last letters.
    Beginning,
    /// The same with a wrong letter.
    Misspelled,
    /// A category by price, with facets.
    Category,
    /// A word with filters, with facets.
    Filtered,
    /// What is ordered most often.
    Popular,
    /// Three letters that are being typed.
    Suggest,
}

impl Kind {
    const ALL: [Kind; 7] = [
        Kind::Words,
        Kind::Beginning,
        Kind::Misspelled,
        Kind::Category,
        Kind::Filtered,
        Kind::Popular,
        Kind::Suggest,
    ];

    /// Of twenty questions, what the n-th asks.
    fn of(n: usize) -> Kind {
        match n % 20 {
            0..=8 => Kind::Words,
            9..=13 => Kind::Beginning,
            14..=15 => Kind::Misspelled,
            16 => Kind::Category,
            17 => Kind::Filtered,
            18 => Kind::Popular,
            _ => Kind::Suggest,
        }
    }
}

/// Makes the questions.
fn questions(count: usize, listings: usize) -> Vec<(Kind, String)> {
    let mut rng = StdRng::seed_from_u64(11);
    let questions = (0..count).map(|n| {
        let title = title(rng.random_range(0..listings));
        let mut words: Vec<&str> = title.split(' ').collect();
        let from = rng.random_range(0..words.len() - 1);
        words = words[from..(from + 2).min(words.len())].to_vec();
        let both = words.join("+");
        let kind = Kind::of(n);
        let path = match kind {
            Kind::Words => format!("/v1/search?q={both}"),
            Kind::Beginning => {
                let letters = rng.random_range(1..=4).min(both.len());
                format!("/v1/search?q={}", &both[..both.len() - letters])
            }
            Kind::Misspelled => {
                let mut misspelled = both.into_bytes();
                let last = misspelled.len() - 2;
                misspelled[last] = b'q';
                format!("/v1/search?q={}", String::from_utf8_lossy(&misspelled))
            }
            Kind::Category => {
                let wide = rng.random_range(0..WIDE_CATEGORIES);
                format!("/v1/search?category=wide-{wide}&facets=true&sort=price&currency=USD")
            }
            Kind::Filtered => {
                format!("/v1/search?q={}&facets=true&attribute[colour]=red&in_stock=true", words[0])
            }
            Kind::Popular => "/v1/search?sort=popular&limit=50".to_owned(),
            Kind::Suggest => format!("/v1/search/suggest?q={}", &words[0][..words[0].len().min(3)]),
        };
        (kind, path)
    });
    questions.collect()
}

async fn ask(router: &Router, path: &str) -> anyhow::Result<()> {
    let path = path.replace('[', "%5B").replace(']', "%5D");
    let request = Request::get(path.as_str()).body(Body::empty())?;
    let response = router.clone().oneshot(request).await?;
    ensure!(response.status().is_success(), "{path}: {}", response.status());
    axum::body::to_bytes(response.into_body(), usize::MAX).await?;
    Ok(())
}

/// Asks at a steady rate, whatever comes back, and tells how long each question took, in microseconds.
async fn open_loop(
    router: &Router,
    questions: Vec<(Kind, String)>,
    per_second: u32,
) -> anyhow::Result<Vec<(Kind, u64)>> {
    let started = Instant::now();
    let mut asked = Vec::with_capacity(questions.len());
    for (n, (kind, question)) in (0u32..).zip(questions) {
        let intended = started + Duration::from_secs(1) * n / per_second;
        load::wait_until(intended).await;
        let router = router.clone();
        asked.push(tokio::spawn(async move {
            ask(&router, &question).await?;
            anyhow::Ok((kind, intended.elapsed().as_micros() as u64))
        }));
    }
    let mut latencies = Vec::with_capacity(asked.len());
    for answer in asked {
        latencies.push(answer.await??);
    }
    Ok(latencies)
}

fn histogram(latencies_us: impl IntoIterator<Item = u64>) -> anyhow::Result<Histogram<u64>> {
    let mut histogram = Histogram::new(3).context("three digits are possible")?;
    for latency in latencies_us {
        histogram.record(latency)?;
    }
    Ok(histogram)
}

fn ms(latency_us: &Histogram<u64>, quantile: f64) -> f64 {
    latency_us.value_at_quantile(quantile) as f64 / 1000.0
}

/// Runs the plan on a new market in an empty folder.
pub async fn run(dir: &Path, plan: Plan) -> anyhow::Result<Figures> {
    let config = NodeConfig::new("bench".parse()?, dir.to_owned());
    let town = Town::new(&config.market, Algorithm::EdDsa, BUYERS, plan.listings, 1).entitled(title);
    let town = Arc::new(town);
    let node = Node::start(config, Arc::new(WallClock)).await?;
    let mut verifier = ReceiptVerifier::new(&node.keys().get(RECEIPT_KEY)?.public())?;
    found(&node, &town, &mut verifier).await?;
    let describe = |n: usize, seed| {
        let seller = &town.sellers[n / LISTINGS_PER_SELLER];
        anyhow::Ok(seller.sign(description(&town, n, seed)?))
    };
    let all = (0..plan.listings).map(|n| describe(n, 3)).collect::<anyhow::Result<Vec<_>>>()?;
    let started = Instant::now();
    let seen = load::saturate(&node.handle(), &mut verifier, all, load::FOUNDING_IN_FLIGHT_MAX).await?;
    seen.check_accepted()?;
    node.projections().wait_for(seen.position, CATCH_UP_MAX).await?;
    let search = node.projections().search().context("a node has a search")?;
    let mut state = search.state();
    tokio::time::timeout(CATCH_UP_MAX, state.wait_for(|state| *state == SearchState::Running)).await??;
    search.wait_for(seen.position, CATCH_UP_MAX).await?;
    let fill_s = started.elapsed().as_secs_f64();

    let router = gateway::router(node.gateway(Arc::new(WallClock), None));
    for (_, question) in questions(WARM_UP, plan.listings) {
        ask(&router, &question).await?;
    }
    let seconds = plan.seconds as usize;
    let orders = town.orders(plan.orders_per_second as usize * seconds, 2);
    let mut commands: Vec<_> = orders.into_iter().map(|order| order.bytes).collect();
    // One in so many commands describes a listing anew.
    let described = DESCRIBED_PER_SECOND * seconds;
    let apart = (commands.len() / described.max(1)).max(1);
    for n in 0..described.min(commands.len()) {
        let changed = (n * 7919) % plan.listings;
        commands.insert(n * (apart + 1), describe(changed, 100 + n as u64)?);
    }
    let (handle, per_second) = (node.handle(), plan.orders_per_second + DESCRIBED_PER_SECOND as u32);
    let orders = tokio::spawn(async move {
        let seen = load::open_loop(&handle, &mut verifier, commands, per_second).await?;
        seen.check_accepted()?;
        anyhow::Ok(seen)
    });
    let asked = questions(plan.searches_per_second as usize * seconds, plan.listings);
    let latencies_us = open_loop(&router, asked, plan.searches_per_second).await?;
    let orders = orders.await??;
    drop(router);
    node.shutdown().await;
    let latency_us = histogram(latencies_us.iter().map(|(_, latency)| *latency))?;
    let kinds = Kind::ALL.map(|kind| {
        let of_kind = latencies_us.iter().filter(|(of, _)| *of == kind).map(|(_, latency)| *latency);
        let of_kind = histogram(of_kind)?;
        let (p50_ms, p99_ms) = (ms(&of_kind, 0.5), ms(&of_kind, 0.99));
        anyhow::Ok(OfKind { kind, searches: of_kind.len(), p50_ms, p99_ms })
    });
    Ok(Figures {
        listings: plan.listings,
        searches: latency_us.len(),
        searches_per_second: plan.searches_per_second,
        orders_per_second: plan.orders_per_second,
        p50_ms: ms(&latency_us, 0.5),
        p99_ms: ms(&latency_us, 0.99),
        p999_ms: ms(&latency_us, 0.999),
        max_ms: latency_us.max() as f64 / 1000.0,
        kinds: kinds.into_iter().collect::<anyhow::Result<_>>()?,
        fill_s,
        orders_p50_ms: orders.latency_ms(0.5),
        orders_p99_ms: orders.latency_ms(0.99),
    })
}
