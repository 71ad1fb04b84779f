//! Runs the simulated market under many seeds. `SKYLINK_SIM_SEEDS=5000` runs more of them, `SKYLINK_SIM_SEED=17` one.

use std::panic;

use tests::simulation::{Tally, run};

const SEEDS: u64 = 300;

fn number(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} must be a number, not {value}")))
}

#[test]
fn every_promise_holds_whatever_goes_wrong() {
    let seeds = match number("SKYLINK_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SKYLINK_SIM_SEEDS").unwrap_or(SEEDS),
    };
    let is_full = seeds.end - seeds.start >= SEEDS;
    let mut tally = Tally::default();
    for seed in seeds {
        match panic::catch_unwind(|| run(seed)) {
            Ok(one) => tally.add(one),
            Err(broken) => {
                println!("seed {seed} breaks a promise; run it alone with SKYLINK_SIM_SEED={seed}");
                panic::resume_unwind(broken);
            }
        }
    }
    println!("{tally:?}");
    if is_full {
        check_that_much_happened(tally);
    }
}

/// What never happens is not tested.
fn check_that_much_happened(tally: Tally) {
    let Tally { commits, deadlines, decided, repeats, refusals, undecided, unknown, .. } = tally;
    let Tally { late_appends, own_conflicts, fenced, failed, crashes, from_snapshot, .. } = tally;
    let Tally { look_ups, bad_look_ups, full_groups, replaced, jumps, .. } = tally;
    let Tally { grown_while_prepared, prepared_under_way, .. } = tally;
    let counts = [commits, deadlines, decided, repeats, refusals, undecided, unknown, late_appends];
    let more = [own_conflicts, fenced, failed, crashes, from_snapshot, look_ups, bad_look_ups, full_groups];
    let most = [replaced, jumps, grown_while_prepared, prepared_under_way];
    assert!(
        counts.into_iter().chain(more).chain(most).all(|count| count > 0),
        "something never happened: {tally:?}"
    );
}

#[test]
fn a_seed_gives_the_same_run_every_time() {
    assert_eq!(run(3), run(3));
}
