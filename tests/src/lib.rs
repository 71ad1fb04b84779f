//! What the whole-system tests share: a disk that loses power, and the contract that every log keeps.

pub mod log_contract;
pub mod sim_disk;
