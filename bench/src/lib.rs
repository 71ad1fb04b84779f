//! Benchmarks of SkyLink: everything in one run, side by side, with the load on the same cores.
//!
//! [`workload`] makes people ([`person`]) and signs what they will order; [`floor`] measures what nothing can beat, the bare
//! signatures; [`load`] sends orders through a running market and checks every receipt; [`segment`] puts these
//! together on the segment log, [`jetstream`] over a broker; [`views`] and [`restart`] measure what follows, [`memory`]
//! what open orders cost, [`risk`] what is remembered of buyers, [`decide`] what it takes to decide something beside them, [`mix`] carts, orders and what comes
//! after a sale beside orders alone, [`http`] carts over HTTP and a stream of events, [`parts`] what of an order takes how long,
//! [`search`] searches beside a market at work, [`recommendations`] how well it is guessed what else somebody buys. Figures are
//! ratios of one run: absolute numbers are those of the machine.

// A benchmark reports rates; nothing here is near money.
#![allow(clippy::float_arithmetic)]

pub mod broker;
pub mod decide;
pub mod floor;
pub mod http;
pub mod jetstream;
pub mod load;
pub mod machine;
pub mod memory;
pub mod mix;
pub mod parts;
pub mod person;
pub mod recommendations;
pub mod restart;
pub mod risk;
pub mod search;
pub mod segment;
pub mod views;
pub mod workload;
