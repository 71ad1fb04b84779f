//! Decisions of a SkyLink market: who asked, whether he may, and what follows.
//!
//! This crate is pure: no I/O, no clock, no randomness, no async. In the order the data flows: [`envelope`] checks
//! a signature and reads what was signed, [`command`] says what can be asked for, [`market`] is the state,
//! [`decide`] turns one into events of the other.

pub mod command;
pub mod crypto;
pub mod envelope;
mod jcs;
pub mod json;
mod jws;
pub mod receipt;
pub mod refusal;
pub mod seed_form;
pub mod sign;

pub use command::Command;
pub use refusal::Refusal;
