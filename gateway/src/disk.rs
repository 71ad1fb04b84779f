//! Small databases of this process, beside the log and the views.

use std::path::Path;
use std::time::{Duration, Instant};

use sled::Db;

/// Memory for what was read of each, in bytes: there is little.
const CACHE_BYTES: u64 = 4 * 1024 * 1024;
/// How long the lock of a database is waited for, and how often it is tried.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(5);
const LOCK_POLL: Duration = Duration::from_millis(10);

/// Opens a database in a folder, making it if need be. After its last handle is gone, sled's own threads hold its lock for a moment
/// longer and give no sign when they are done: so the lock is waited for, a bounded time.
pub(crate) fn open(dir: &Path) -> Result<Db, sled::Error> {
    let config = sled::Config::new().path(dir).cache_capacity(CACHE_BYTES);
    let waited_since = Instant::now();
    loop {
        match config.open() {
            Err(sled::Error::Io(error))
                if error.to_string().contains("could not acquire lock")
                    && waited_since.elapsed() < LOCK_WAIT_MAX =>
            {
                std::thread::sleep(LOCK_POLL);
            }
            outcome => return outcome,
        }
    }
}
