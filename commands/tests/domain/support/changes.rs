//! Changes of orders in few characters.

use commands::Command;
use commands::command::{AcceptChange, ChangedLine, DeclineChange, ProposeChange, WithdrawChange};
use events::Money;
use events::ids::{ChangeId, OrderId};

use super::{World, listing, text};

impl World {
    /// Gives the change that the last command proposed.
    pub fn change(&self) -> ChangeId {
        let stamp = &self.last.as_ref().expect("a command was given").stamp;
        ChangeId::derive(stamp.account, stamp.command)
    }
}

/// A wish that an order has so many units of listings from then on; a test sets what else it wants.
pub fn change_to(order: OrderId, lines: &[(u64, u32)]) -> ProposeChange {
    let line = |(n, quantity): &(u64, u32)| ChangedLine {
        listing: listing(*n),
        quantity: (*quantity).try_into().unwrap(),
        quote: None,
    };
    let lines = lines.iter().map(line).collect();
    ProposeChange { lines, max_difference: None, order, reason: Some(text("a party")), region: None }
}

/// Proposes that an order has so many units of listings, for at most so much more.
pub fn propose(order: OrderId, lines: &[(u64, u32)], max_difference: Option<Money>) -> Command {
    ProposeChange { max_difference, ..change_to(order, lines) }.into()
}

pub fn accept_change(order: OrderId, change: ChangeId, max_difference: Option<Money>) -> Command {
    AcceptChange { change, max_difference, order }.into()
}

pub fn decline_change(order: OrderId, change: ChangeId) -> Command {
    DeclineChange { change, order, reason: Some(text("packed already")) }.into()
}

pub fn withdraw_change(order: OrderId, change: ChangeId) -> Command {
    WithdrawChange { change, order }.into()
}
