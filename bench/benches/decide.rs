//! What it takes to decide a command beside a million open orders, by criterion: `cargo bench -p bench --bench decide`.
//!
//! The market is the one of `skylink bench --only memory`, which tells quantiles; criterion tells whether a change made it slower.
//! `SKYLINK_BENCH_ORDERS` sets another number of orders.

use bench::decide::{Asker, Wish};
use bench::memory;
use criterion::{BatchSize, Criterion};

/// Open orders beside which is decided.
const ORDERS: usize = 1_000_000;

fn main() -> anyhow::Result<()> {
    let orders = match std::env::var("SKYLINK_BENCH_ORDERS") {
        Ok(orders) => orders.parse()?,
        Err(_) => ORDERS,
    };
    let dir = tempfile::tempdir()?;
    let runtime = tokio::runtime::Runtime::new()?;
    let market = runtime.block_on(async {
        memory::fill(dir.path(), orders).await?;
        memory::fold(dir.path()).await
    })?;
    let mut asker = Asker::of(&market)?;
    let mut criterion = Criterion::default().configure_from_args();
    let wishes: [(&str, Wish<'_>); 4] = [
        ("order.place of five lines", Asker::place),
        ("cart.add_item", Asker::add_to_cart),
        ("order.ship", Asker::ship),
        ("order.cancel", Asker::cancel),
    ];
    for (name, ask) in wishes {
        // Commands are drawn before the clock runs. None is performed, so that all meet the same market.
        let commands = (0..1024).map(|_| ask(&mut asker)).collect::<anyhow::Result<Vec<_>>>()?;
        let mut next = commands.iter().cycle();
        let mut group = criterion.benchmark_group("decide");
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || next.next().expect("it goes round"),
                |verified| asker.decide(verified),
                BatchSize::SmallInput,
            );
        });
        group.finish();
    }
    criterion.final_summary();
    Ok(())
}
