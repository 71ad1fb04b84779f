//! The engine of a SkyLink market: everything that touches the world so that `commands` need not.
//!
//! In the order the data flows: [`ingress`] checks signatures against [`keys`], the [`processor`] decides and groups,
//! the [`log`] makes it durable, the answerer signs receipts, [`pace`] says how fast; [`driver`] runs all that, after it has stood by in
//! [`standby`].
//! [`nats_commands`] and [`nats_serve`] are how commands arrive and receipts leave over NATS; [`rates`] bound how many each key gives. The keeper follows the log with
//! the [`index`] of old ids, the [`snapshot`]s and the [`tree`] over all events. What is personal or secret of an account is in the
//! [`vault`].

mod answerer;
mod appender;
pub mod clock;
pub mod disk;
mod drained;
pub mod driver;
pub mod effects;
pub mod index;
pub mod ingress;
mod keeper;
pub mod keys;
pub mod keystore;
pub mod log;
pub mod market_keys;
pub mod nats_commands;
pub mod nats_serve;
pub mod pace;
pub mod passwords;
pub mod processor;
pub mod providers;
pub mod rates;
pub mod secrets;
mod seen;
pub mod snapshot;
pub mod standby;
pub mod tree;
pub mod vault;

pub use driver::{Engine, EngineHandle, Previewed, Status};
pub use ingress::{Beside, Reply, Way};
pub use standby::{EngineConfig, Prepared, Standby, StartError};
