//! What the whole-system tests share: real servers, a disk that loses power, and the contract that every log keeps.

pub mod engines;
pub mod http;
pub mod log_contract;
pub mod nats;
pub mod sim_disk;
pub mod simulation;
pub mod town;
