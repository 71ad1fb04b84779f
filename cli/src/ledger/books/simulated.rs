//! The books are kept of random histories of a market in which everything goes wrong: whatever the market decides, the second books,
//! which know nothing of how it decides, must agree.

use std::collections::BTreeMap;

use ::tests::simulation::{Run, run};

use super::*;

/// How many random histories are looked at.
const SEEDS: u64 = 60;

#[test]
fn every_simulated_history_keeps_every_promise() {
    let mut checked = BTreeMap::<Invariant, u64>::new();
    let mut broken = Vec::new();
    for seed in 0..SEEDS {
        let Run { log, market, .. } = run(seed);
        let mut books = Books::default();
        log.iter().for_each(|commit| books.commit(commit));
        books.close(market.position, &market);
        for (invariant, finding) in books.findings() {
            *checked.entry(invariant).or_default() += finding.checked;
            broken.extend(finding.broken.map(|broken| format!("seed {seed}, {invariant:?}: {broken:?}")));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    let never: Vec<Invariant> =
        checked.iter().filter(|(_, count)| **count == 0).map(|(one, _)| *one).collect();
    assert_eq!(never, [], "the histories reach what every promise is about");
}
