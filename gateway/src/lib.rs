//! The HTTP side of SkyLink: what phones and web pages talk to.
//!
//! [`node`] puts a market's parts together in one process, [`nats`] connects it to a broker. [`server`] takes connections,
//! [`http`] says what all requests have in common, [`routes`] lists them: commands are taken by [`submit`], access
//! [`token`]s are got by signed requests, [`query`], [`analytics`] and [`search`] read the views, [`stream`] follows the log, [`health`]
//! is for operators, [`openapi`] describes it all, [`reading`] reads what is asked for without a market, [`console`] is the pages for people, [`dify`] asks language models, [`limits`] bound how much one may ask for. What goes wrong is told as a [`problem`].

mod analytics;
pub mod asyncapi;
mod changes;
mod chargebacks;
pub mod console;
pub mod dify;
mod disk;
pub mod health;
pub mod http;
pub mod limits;
mod market_keys;
pub mod nats;
pub mod node;
pub mod openapi;
mod outside;
pub mod past;
mod payments;
mod problem;
pub mod push;
pub mod query;
pub mod reading;
mod rebuild;
mod recommendations;
mod reporter;
mod routes;
mod search;
pub mod server;
mod sessions;
mod sight;
pub mod sign_in;
pub mod stream;
pub mod submit;
pub mod token;
mod tree;
pub mod webhooks;

pub use http::{Gateway, router};
pub use server::serve;
pub use submit::Commands;
