//! The engine of a SkyLink market: everything that touches the world so that `commands` need not.
//!
//! In the order the data flows: [`log`] is where events stand.

pub mod log;
pub mod processor;
