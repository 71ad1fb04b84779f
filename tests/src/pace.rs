//! An offered load: orders are due at a steady rate, whatever becomes of them.

use std::time::{Duration, Instant};

/// The load under which processes are killed.
pub const ORDERS_PER_SECOND: u64 = 800;

/// Between two looks at what is due; those that have become due meanwhile are sent together.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Says when orders are due. One that is late, because its sender was held up, is due still.
#[derive(Debug)]
pub struct Pace {
    begun: Instant,
    per_second: u64,
    given: u64,
    ticks: tokio::time::Interval,
}

impl Pace {
    /// Begins now.
    pub fn new(per_second: u64) -> Pace {
        Pace { begun: Instant::now(), per_second, given: 0, ticks: tokio::time::interval(LOOK_EVERY) }
    }

    /// Waits a moment and gives how many more are due; none or many.
    pub async fn due(&mut self) -> u64 {
        self.ticks.tick().await;
        let all = self.begun.elapsed().as_micros() as u64 * self.per_second / 1_000_000;
        let more = all - self.given;
        self.given = all;
        more
    }
}
