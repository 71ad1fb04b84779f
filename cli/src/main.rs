//! `skylink`: runs a market, gives it commands, and reads, replays and checks its log.

fn main() {}
