//! Decisions of a SkyLink market: who asked, whether he may, and what follows.
//!
//! This crate is pure: no I/O, no clock, no randomness, no async. In the order the data flows: [`sign`] is what a
//! client does, [`envelope`] checks a signature (with [`json`] and [`crypto`]) and reads what was signed,
//! [`command`] says what can be asked for, [`market`] is the state that answers depend on, [`decide`] turns a command
//! into events, and [`market::Market::evolve`] turns events into the next state. One module per aggregate holds its
//! state, how events change it, and what it decides: [`account`], [`device`], [`listing`], [`stock`], [`reservation`], [`cart`],
//! [`order`]; money is in [`funding`], [`ledger`] and [`fees`], and [`conservation`] checks each decision about it; the three
//! validators of a purchase are in [`validate`], and what they make of a cart in [`preview`]. What it costs is computed in
//! `price`, by the rules of [`tax`], [`shipping`] and [`promotion`]; how much one may buy is in [`limits`]. Who may
//! give which command is in [`scope`], what needs a second factor in [`step_up`], and how risky a purchase is in [`risk`]; protection from replays is in [`replay`].
//! What is personal travels beside a command, [`personal`], and what the market knows of it is in [`privacy`]. The market's own keys are in [`market_key`].

pub mod account;
pub mod card;
pub mod cart;
pub mod chargeback;
pub mod checkpoint;
pub mod command;
pub mod conservation;
pub mod crypto;
pub mod debt;
pub mod decide;
pub mod device;
pub mod earnings;
pub mod envelope;
pub mod exchange;
pub mod fees;
pub mod funding;
mod jcs;
pub mod json;
mod jws;
pub mod ledger;
pub mod limits;
pub mod listing;
pub mod market;
pub mod market_key;
pub mod order;
pub mod payment;
pub mod payout;
pub mod personal;
pub mod preview;
mod price;
pub mod privacy;
pub mod promotion;
pub mod push;
pub mod receipt;
pub mod reconciliation;
pub mod refusal;
pub mod replay;
pub mod reservation;
pub mod risk;
pub mod scope;
mod search;
pub mod seed_form;
pub mod shipping;
pub mod sign;
pub mod sign_in;
mod spelling;
pub mod step_up;
pub mod stock;
mod suspension;
pub mod tax;
pub mod validate;
pub mod webhook;

pub use command::{Command, Verified};
pub use conservation::Break;
pub use decide::{Charged, DEADLINE_EVENTS_MAX, Decision, Facts, Question, decide, decide_deadline};
pub use market::Market;
pub use refusal::Refusal;
