//! The words of returns.

use commands::Command;
use commands::command::{
    AppealReturn, ApproveReturn, CancelReturn, DecideReturn, LineQuantity, ReceiveReturn, RejectReturn,
    RequestReturn, ReturnDecision, SendReturn,
};
use events::Money;
use events::ids::OrderId;
use events::market::{EscrowTerms, ReturnTerms};
use events::returns::{ReceivedUnits, ReturnNumber, ReturnReason};

use super::{DAY_MS, Terms, World, listing, shipment, text, units};

/// Thirty days to return, two to answer, a week to send and to decide, three days to inspect and to appeal.
pub fn thirty_days() -> ReturnTerms {
    ReturnTerms::usual(30 * DAY_MS)
}

/// Opens a market that takes things back for thirty days.
pub fn taking_back(gives_fee_back: bool) -> World {
    let returns = ReturnTerms { gives_fee_back, ..thirty_days() };
    let escrow = EscrowTerms::default().returning(Some(returns));
    World::on(Terms { escrow: Some(escrow), ..Terms::default() })
}

/// Gives the number of the `n`-th return, counted from 1.
pub fn nth_return(n: u32) -> ReturnNumber {
    ReturnNumber::after(n - 1)
}

/// Asks to return units of the `n`-th shipment; none named: all.
pub fn ask_return(order: OrderId, n: u32, lines: &[(u64, u32)]) -> Command {
    let named =
        lines.iter().map(|(n, quantity)| LineQuantity { listing: listing(*n), quantity: units(*quantity) });
    let lines = (!lines.is_empty()).then(|| named.collect());
    let reason = ReturnReason::ChangedMind;
    let (exchange, note) = (None, Some(text("too big")));
    RequestReturn { exchange, lines, note, order, reason, shipment: shipment(n) }.into()
}

pub fn approve_return(order: OrderId, n: u32) -> Command {
    ApproveReturn { number: nth_return(n), order, refund_only: false }.into()
}

pub fn reject_return(order: OrderId, n: u32) -> Command {
    RejectReturn { number: nth_return(n), order, reason: text("it was used") }.into()
}

pub fn appeal_return(order: OrderId, n: u32) -> Command {
    AppealReturn { note: text("it was not"), number: nth_return(n), order }.into()
}

pub fn decide_return(order: OrderId, n: u32, decision: ReturnDecision) -> Command {
    DecideReturn { decision, note: text("looked at it"), number: nth_return(n), order }.into()
}

pub fn send_return(order: OrderId, n: u32) -> Command {
    SendReturn { carrier: Some(text("DHL")), number: nth_return(n), order, tracking: Some(text("T1")) }.into()
}

pub fn cancel_return(order: OrderId, n: u32) -> Command {
    CancelReturn { number: nth_return(n), order }.into()
}

/// Receives all units, intact.
pub fn receive_return(order: OrderId, n: u32) -> Command {
    receive_as(order, n, None, None)
}

/// Receives units of lines: how many of each are intact, damaged, missing and wrong ones.
pub fn receive_as(
    order: OrderId,
    n: u32,
    lines: Option<&[(u64, [u32; 4])]>,
    deduction: Option<Money>,
) -> Command {
    let lines = lines.map(|lines| lines.iter().map(|(n, counts)| outcome(*n, *counts)).collect());
    let note = deduction.map(|_| text("scratched"));
    ReceiveReturn { deduction, lines, location: None, note, number: nth_return(n), order }.into()
}

/// Says how units arrived: intact, damaged, missing, wrong.
pub fn outcome(n: u64, [intact, damaged, missing, wrong]: [u32; 4]) -> ReceivedUnits {
    ReceivedUnits { damaged, intact, listing: listing(n), missing, wrong }
}
