//! Holds what the whole-system tests share: real servers, started for one test and removed with it.

pub mod nats;
