//! Opening a database on disk.

use std::time::{Duration, Instant};

use sled::{Config, Db, Error};

/// How long the lock of a database is waited for, and how often it is tried.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(5);
const LOCK_POLL: Duration = Duration::from_millis(10);

/// Opens a database. After its last handle is gone, sled's own threads hold its lock for a moment longer, and give no sign when they
/// are done: so the lock is waited for, a bounded time. Waits on the thread.
pub fn open(config: &Config) -> Result<Db, Error> {
    let waited_since = Instant::now();
    loop {
        match config.open() {
            Err(error) if is_locked(&error) && waited_since.elapsed() < LOCK_WAIT_MAX => {
                std::thread::sleep(LOCK_POLL);
            }
            outcome => return outcome,
        }
    }
}

/// Tells whether another process has the database.
pub fn is_locked(error: &Error) -> bool {
    matches!(error, Error::Io(error) if error.to_string().contains("could not acquire lock"))
}
