//! Facts of a SkyLink market: what can stand in the event log, and how it is written there.
//!
//! This crate is pure: no I/O, no clock, no randomness, no async. Read it in this order:
//! [`ids`], [`money`], [`time`] and [`hash`] are the words; one module per aggregate holds its events;
//! [`event`] lists them all; [`metadata`] and [`commit`] say how they are chained into a log;
//! [`wire`] says how they are laid out on NATS.

pub mod account;
pub mod cart;
mod causes;
pub mod chargeback;
mod code;
pub mod command;
pub mod commit;
pub mod debt;
pub mod device;
pub mod earnings;
pub mod escrow;
pub mod event;
pub mod exchange;
pub mod hash;
pub mod ids;
pub mod ledger;
pub mod listing;
pub mod location;
pub mod market;
pub mod metadata;
pub mod money;
pub mod order;
pub mod payment;
pub mod payout;
pub mod privacy;
pub mod promotion;
pub mod push;
pub mod reconciliation;
pub mod rejection;
pub mod reservation;
pub mod returns;
pub mod risk;
pub mod search;
pub mod shipping;
pub mod sign_in;
pub mod step_up;
pub mod stock;
pub mod tax;
pub mod time;
pub mod webhook;
pub mod wire;

pub use causes::with_causes;
pub use commit::{Commit, Head, Position, Recorded};
pub use event::Event;
pub use hash::Hash;
pub use money::{Bps, Currency, Money, Quantity};
pub use rejection::Rejection;
pub use time::Timestamp;
