//! The engine of a SkyLink market: everything that touches the world so that `commands` need not.
//!
//! In the order the data flows: signatures are checked against [`keys`], the [`processor`] decides and groups, the
//! [`log`] makes it durable, and the keeper follows the log with the [`index`] of old ids and the [`snapshot`]s.

pub mod clock;
pub mod index;
pub mod keys;
pub mod log;
pub mod processor;
pub mod snapshot;
