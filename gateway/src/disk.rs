//! Small databases of this process, beside the log and the views.

use std::path::Path;

use sled::Db;

/// Memory for what was read of each, in bytes: there is little.
const CACHE_BYTES: u64 = 4 * 1024 * 1024;

/// Opens a database in a folder, making it if need be.
pub(crate) fn open(dir: &Path) -> Result<Db, sled::Error> {
    engine::disk::open(&sled::Config::new().path(dir).cache_capacity(CACHE_BYTES))
}
