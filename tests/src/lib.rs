//! What the whole-system tests share: real servers, a disk that loses power, the contract that every log keeps, and
//! clients who keep books of what they were told.

pub mod engines;
pub mod files;
pub mod forge;
pub mod fuzz;
pub mod history;
pub mod http;
pub mod localstripe;
pub mod log_contract;
pub mod nats;
pub mod nats_clients;
pub mod pace;
pub mod sim_disk;
pub mod simulation;
#[cfg(target_os = "linux")]
pub mod small_disk;
pub mod town;
