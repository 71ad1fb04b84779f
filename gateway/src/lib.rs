//! The HTTP side of SkyLink: what phones and web pages talk to.
//!
//! [`node`] puts a market's parts together in one process.

pub mod node;
