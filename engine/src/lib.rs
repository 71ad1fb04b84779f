//! The engine of a SkyLink market: everything that touches the world so that `commands` need not.
//!
//! In the order the data flows: [`nats_commands`] is how commands arrive and receipts leave; [`log`] is where events
//! stand.

pub mod log;
pub mod nats_commands;
