//! The read side of a market: views that follow the event log.
//!
//! [`Projections`] takes the commits of a log from whoever starts it and folds them into twelve views, each in one tree on
//! disk with its checkpoint inside: [`account`], [`listing`], [`terms`], [`cart`], [`order`], [`payment`], [`ledger`],
//! [`analytics`], [`risk`], [`recommendation`], [`webhook`] and [`audit`]; [`search`] follows the view of listings. All of it can be
//! deleted at any time; the log builds it again. Queries are plain functions that read the disk for a short time;
//! [`Projections::wait_for`] makes them read what a receipt has promised.

pub mod account;
pub mod analytics;
pub mod audit;
mod block;
pub mod cart;
mod fold;
pub mod ledger;
pub mod listing;
pub mod order;
pub mod payment;
pub mod rebuild;
pub mod recommendation;
pub mod risk;
pub mod runner;
pub mod search;
mod store;
mod table;
pub mod terms;
pub mod view;
pub mod webhook;

pub use fold::LogMismatch;
pub use rebuild::{RebuildError, Rebuilt};
pub use runner::{Projections, RunError, RunState, TooFarBehind};
#[doc(hidden)]
pub use store::open_db;
#[doc(hidden)]
pub use table::sizes;
pub use view::{ViewError, ViewName};
