//! Returns, as the view of orders tells them.

use events::account::Role;
use events::ids::{AccountId, ListingId, OrderId};
use events::ledger::LedgerAccount;
use events::location::Location;
use events::order::ShipmentNumber;
use events::rejection::ReturnState;
use events::returns::replacement::NoReplacement;
use events::returns::{
    DecidedBy, Ended, Received, ReceivedUnits, Refunded, Requested, ReturnEnd, ReturnNumber, ReturnReason,
};
use events::{Event, Money, Quantity, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use sled::Tree;

use super::fold::OrderFold;
use super::{ORDERS, Order, Orders, Step, TimelineEntry, VERSION, note};
use crate::table::Layout;
use crate::view::ViewError;

/// Orders with open returns, by their sellers. Most sellers have few at a time.
pub(super) const RETURNING: Layout<AccountId, Vec<OrderId>> = Layout::new(b'r', VERSION);

/// Orders with returns that an operator is to decide about.
pub(super) const APPEALED: Layout<(), Vec<OrderId>> = Layout::new(b'a', VERSION);

/// Most orders in one answer about open returns.
pub const RETURNS_LISTED_MAX: usize = 100;

/// Units that come back, or were to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Return {
    /// Its number within the order, from 1.
    #[serde(rename = "return")]
    pub number: ReturnNumber,
    /// The shipment that the units came in.
    pub shipment: ShipmentNumber,
    /// What it is about.
    pub lines: Vec<ReturnedLine>,
    /// Why the buyer wants it.
    pub reason: ReturnReason,
    /// More, in his words.
    pub note: Option<String>,
    /// Where it stands.
    pub state: ReturnState,
    /// Until when that waits, and then has its default outcome; none once it has ended. It stands still while the order is on hold.
    pub due: Option<Timestamp>,
    /// How it ended without a refund.
    pub outcome: Option<ReturnEnd>,
    /// What was paid for its units.
    pub amount: Money,
    /// What of that the seller keeps, or wants to.
    pub deduction: Option<Money>,
    /// What went back.
    pub refunded: Option<Money>,
    /// What the buyer wanted in the place of its units; none: their money.
    pub replacement: Option<Replacement>,
    /// Whether an operator has decided, and another one has to agree.
    pub is_proposed: bool,
    /// What was said last: by the seller who rejects it or deducts, by the buyer who does not agree, or by the operator.
    pub last_word: Option<String>,
    /// Who carries the units.
    pub carrier: Option<String>,
    /// The carrier's number.
    pub tracking: Option<String>,
    /// Where they came to; none: to no named location, or they did not come yet.
    pub location: Option<Location>,
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// Other units in the place of those that come back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Replacement {
    /// What of each listing, without locations.
    pub lines: Vec<super::LineUnits>,
    /// What it costs, delivery included. The rest of what was paid for the units goes back.
    pub total: Money,
    /// Whether its units are reserved.
    pub is_reserved: bool,
    /// Why nothing came of it.
    pub given_up: Option<NoReplacement>,
    /// The order that was placed for it.
    pub order: Option<OrderId>,
}

/// Units of one line of a return.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReturnedLine {
    /// What was bought.
    pub listing: ListingId,
    /// How many units.
    pub quantity: Quantity,
    /// What was paid for them.
    pub amount: Money,
    /// How they arrived; none before that.
    pub received: Option<Arrived>,
}

/// How units of one line came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Arrived {
    /// Units that can be sold again.
    pub intact: u32,
    /// Units that can't be sold any more.
    pub damaged: u32,
    /// Units that did not come.
    pub missing: u32,
    /// Units in whose place something else came.
    pub wrong: u32,
}

/// Open returns of a seller, or those that an operator is to decide about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct OpenReturns {
    /// What waits first comes first.
    pub returns: Vec<OpenReturn>,
    /// How many there are; no more than [`RETURNS_LISTED_MAX`] are listed.
    pub count: usize,
}

/// A return that has not ended, with the order that it is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct OpenReturn {
    /// The order.
    pub order: OrderId,
    /// What people call the order.
    pub number: Option<String>,
    /// Who bought.
    pub buyer: AccountId,
    /// The return.
    #[serde(flatten)]
    pub of: Return,
}

impl Return {
    /// Tells whether it has not ended.
    pub fn is_open(&self) -> bool {
        self.ended_at.is_none()
    }

    fn end(&mut self, state: ReturnState, time: Timestamp) {
        (self.state, self.due, self.ended_at) = (state, None, Some(time));
        self.is_proposed = false;
    }
}

impl Order {
    /// Tells whether a return of it has not ended.
    pub(super) fn is_returning(&self) -> bool {
        self.returns.iter().any(Return::is_open)
    }

    /// Gives until when something of it may be returned, if nothing else of it is left.
    pub(super) fn returnable_until(&self) -> Option<Timestamp> {
        let is_done = self.closed_at.is_none()
            && !self.has_units_left()
            && !self.is_returning()
            && self.shipments.iter().all(|shipment| {
                matches!(shipment.state, super::ShipmentState::Accepted | super::ShipmentState::Settled)
            });
        self.shipments.iter().filter_map(|shipment| shipment.return_by).max().filter(|_| is_done)
    }
}

impl Orders<'_> {
    /// Lists the open returns of a seller, in one state or in all, those first that wait the shortest.
    pub fn open_returns(
        &self,
        seller: AccountId,
        state: Option<ReturnState>,
    ) -> Result<OpenReturns, ViewError> {
        let live = self.0.ask()?;
        let ids = RETURNING.get(&live.tree, &seller)?.unwrap_or_default();
        open_of(&live.tree, ids, state)
    }

    /// Lists the returns that an operator is to decide about, those first that wait the shortest.
    pub fn appealed_returns(&self) -> Result<OpenReturns, ViewError> {
        let live = self.0.ask()?;
        let ids = APPEALED.get(&live.tree, &())?.unwrap_or_default();
        open_of(&live.tree, ids, Some(ReturnState::Appealed))
    }
}

fn open_of(tree: &Tree, ids: Vec<OrderId>, state: Option<ReturnState>) -> Result<OpenReturns, ViewError> {
    let mut returns = Vec::new();
    for id in ids {
        let found = ORDERS.get(tree, &id)?;
        let order = found.ok_or_else(|| ViewError::Damaged {
            source: format!("order {id} is listed, but is not there").into(),
        })?;
        let Order { order, number, buyer, returns: of_order, .. } = order;
        let wanted = of_order.into_iter().filter(|one| match state {
            Some(state) => one.is_open() && one.state == state,
            None => one.is_open(),
        });
        returns.extend(wanted.map(|of| OpenReturn { order, number: number.clone(), buyer, of }));
    }
    returns.sort_by_key(|one| (one.of.due, one.order));
    let count = returns.len();
    returns.truncate(RETURNS_LISTED_MAX);
    Ok(OpenReturns { returns, count })
}

/// Gives as what somebody acted who decided something.
pub(super) const fn role(by: DecidedBy) -> Option<Role> {
    match by {
        DecidedBy::Seller => Some(Role::Seller),
        DecidedBy::Operator => Some(Role::Operator),
        DecidedBy::Deadline => None,
    }
}

/// Gives every shipment the time again in which nothing could be returned.
pub(super) fn extend(order: &mut Order, ms: i64) {
    for by in order.shipments.iter_mut().filter_map(|shipment| shipment.return_by.as_mut()) {
        *by = by.plus_ms(ms);
    }
}

fn units_of(order: &mut Order, listing: ListingId) -> Option<&mut super::Line> {
    order.lines.iter_mut().find(|line| line.listing == listing)
}

pub(super) fn request(order: &mut Order, event: &Requested, time: Timestamp) -> Option<()> {
    let mut minor = 0i64;
    for units in &event.lines {
        let line = units_of(order, units.listing)?;
        line.return_requested = line.return_requested.checked_add(units.quantity.get())?;
        minor = minor.checked_add(units.amount.minor)?;
    }
    let lines = event.lines.iter().map(|units| ReturnedLine {
        listing: units.listing,
        quantity: units.quantity,
        amount: units.amount,
        received: None,
    });
    order.returns.push(Return {
        number: event.number,
        shipment: event.shipment,
        lines: lines.collect(),
        reason: event.reason,
        note: event.note.clone(),
        state: ReturnState::Requested,
        due: Some(event.answer_by),
        outcome: None,
        amount: Money::new(minor, order.total.currency),
        deduction: None,
        refunded: None,
        replacement: event.replacement.as_ref().map(wanted),
        is_proposed: false,
        last_word: None,
        carrier: None,
        tracking: None,
        location: None,
        requested_at: time,
        ended_at: None,
    });
    Some(())
}

fn wanted(of: &events::returns::replacement::Replacement) -> Replacement {
    let lines = of.lines.iter().map(|line| super::LineUnits {
        listing: line.listing,
        locations: vec![],
        quantity: line.quantity,
    });
    let lines = lines.collect();
    Replacement { lines, total: of.total, is_reserved: false, given_up: None, order: None }
}

pub(super) fn return_of(order: &mut Order, number: ReturnNumber) -> Option<&mut Return> {
    order.returns.iter_mut().find(|one| one.number == number)
}

/// Lets a return enter a state that waits.
pub(super) fn enter(
    order: &mut Order,
    number: ReturnNumber,
    state: ReturnState,
    due: Timestamp,
    word: Option<&String>,
) -> Option<()> {
    let entered = return_of(order, number)?;
    (entered.state, entered.due, entered.is_proposed) = (state, Some(due), false);
    if let Some(word) = word {
        entered.last_word = Some(word.clone());
    }
    Some(())
}

pub(super) fn receive(order: &mut Order, event: &Received) -> Option<()> {
    let entered = return_of(order, event.number)?;
    entered.location.clone_from(&event.location);
    for (line, units) in entered.lines.iter_mut().zip(&event.lines) {
        let ReceivedUnits { damaged, intact, missing, wrong, listing: _ } = *units;
        line.received = Some(Arrived { intact, damaged, missing, wrong });
    }
    if let Some(deduction) = &event.deduction {
        (entered.state, entered.due) = (ReturnState::Deducted, Some(deduction.appeal_by));
        entered.deduction = Some(deduction.amount);
        entered.last_word = Some(deduction.note.clone());
    }
    for units in &event.lines {
        let line = units_of(order, units.listing)?;
        line.returned = line.returned.checked_add(units.damaged)?.checked_add(units.intact)?;
    }
    Some(())
}

/// Takes the units of a return that has ended off those that are to come back, and gives them.
fn left(order: &mut Order, number: ReturnNumber) -> Option<Vec<(ListingId, u32)>> {
    let lines = &return_of(order, number)?.lines;
    let units: Vec<_> = lines.iter().map(|line| (line.listing, line.quantity.get())).collect();
    for (listing, units) in &units {
        let line = units_of(order, *listing)?;
        line.return_requested = line.return_requested.checked_sub(*units)?;
    }
    Some(units)
}

pub(super) fn refund(order: &mut Order, event: &Refunded, time: Timestamp) -> Option<()> {
    for (listing, units) in left(order, event.number)? {
        if event.amount.is_positive() {
            let line = units_of(order, listing)?;
            line.refunded = line.refunded.checked_add(units)?;
        }
    }
    let ended = return_of(order, event.number)?;
    let is_replaced = event.replaced_by.is_some();
    ended.end(if is_replaced { ReturnState::Exchanged } else { ReturnState::Refunded }, time);
    if let Some(replacement) = ended.replacement.as_mut().filter(|_| is_replaced) {
        (replacement.order, replacement.is_reserved) = (event.replaced_by, false);
    }
    (ended.refunded, ended.deduction) = (Some(event.amount), event.deduction);
    if event.by == DecidedBy::Operator {
        ended.last_word.clone_from(&event.note);
    }
    for transfer in &event.transfers {
        let minor = transfer.amount.minor;
        order.escrow.returned = order.escrow.returned.checked_add(minor)?;
        if transfer.to == LedgerAccount::PlatformPromotions {
            order.escrow.subsidy_back = order.escrow.subsidy_back.checked_add(minor)?;
        }
    }
    Some(())
}

pub(super) fn end(order: &mut Order, event: &Ended, time: Timestamp) -> Option<()> {
    left(order, event.number)?;
    let ended = return_of(order, event.number)?;
    ended.end(ReturnState::Ended, time);
    ended.outcome = Some(event.outcome);
    if event.note.is_some() {
        ended.last_word.clone_from(&event.note);
    }
    Some(())
}

/// Ends a return of an order whose payment a bank gave back: nothing goes back for it.
pub(super) fn overtake(order: &mut Order, number: ReturnNumber, time: Timestamp) -> Option<()> {
    left(order, number)?;
    return_of(order, number)?.end(ReturnState::Ended, time);
    Some(())
}

/// Says what the timeline tells of how units arrived.
fn arrived(event: &Received) -> String {
    let sum =
        |of: fn(&ReceivedUnits) -> u32| event.lines.iter().map(|units| u64::from(of(units))).sum::<u64>();
    let parts = [
        (sum(|units| units.intact), "intact"),
        (sum(|units| units.damaged), "damaged"),
        (sum(|units| units.missing), "missing"),
        (sum(|units| units.wrong), "something else"),
    ];
    let parts = parts.into_iter().filter(|(units, _)| *units > 0);
    let mut told = parts.map(|(units, how)| format!("{units} {how}")).collect::<Vec<_>>().join(", ");
    if let Some(deduction) = &event.deduction {
        told.push_str(&format!("; {} to be kept", deduction.amount));
    }
    told
}

/// What makes an entry of the timeline of a commit's events.
pub(super) type Entry<'a> = dyn Fn(Step, Option<ShipmentNumber>, Option<String>) -> TimelineEntry + 'a;

impl OrderFold {
    /// Follows an event about a return, and tells whether it is one.
    pub(super) fn apply_return(
        &mut self,
        tree: &Tree,
        event: &Event,
        time: Timestamp,
        entry: &Entry<'_>,
    ) -> Result<bool, ViewError> {
        let named = |number: ReturnNumber, more: String| Some(format!("return {number}: {more}"));
        let id = match event {
            Event::ReturnRequested(event) => {
                let note = named(event.number, event.reason.to_string());
                let entry = entry(Step::ReturnRequested, Some(event.shipment), note);
                self.change(tree, event.order, entry, |order| request(order, event, time))?;
                event.order
            }
            Event::ReturnApproved(event) => {
                let note = named(event.number, format!("by {}", event.by));
                self.change(tree, event.order, entry(Step::ReturnApproved, None, note), |order| {
                    let (state, word) = (ReturnState::Approved, event.note.as_ref());
                    enter(order, event.number, state, event.send_by, word)
                })?;
                event.order
            }
            Event::ReplacementReserved(event) => {
                let note = named(event.number, "its replacement".to_owned());
                self.change(tree, event.order, entry(Step::ReplacementReserved, None, note), |order| {
                    return_of(order, event.number)?.replacement.as_mut()?.is_reserved = true;
                    Some(())
                })?;
                event.order
            }
            Event::ReplacementGivenUp(event) => {
                let note = named(event.number, event.why.to_string());
                self.change(tree, event.order, entry(Step::ReplacementGivenUp, None, note), |order| {
                    let replacement = return_of(order, event.number)?.replacement.as_mut()?;
                    (replacement.is_reserved, replacement.given_up) = (false, Some(event.why));
                    Some(())
                })?;
                event.order
            }
            Event::ReturnRejected(event) => {
                let note = named(event.number, format!("to be appealed by {}", event.appeal_by));
                self.change(tree, event.order, entry(Step::ReturnRejected, None, note), |order| {
                    enter(order, event.number, ReturnState::Rejected, event.appeal_by, Some(&event.reason))
                })?;
                event.order
            }
            Event::ReturnAppealed(event) => {
                let note = named(event.number, format!("to be decided by {}", event.decide_by));
                self.change(tree, event.order, entry(Step::ReturnAppealed, None, note), |order| {
                    enter(order, event.number, ReturnState::Appealed, event.decide_by, Some(&event.note))
                })?;
                event.order
            }
            Event::ReturnDecisionProposed(event) => {
                let entry =
                    entry(Step::ReturnDecisionProposed, None, named(event.number, "decided".to_owned()));
                self.change(tree, event.order, entry, |order| {
                    return_of(order, event.number)?.is_proposed = true;
                    Some(())
                })?;
                event.order
            }
            Event::ReturnSent(event) => {
                let sent = note::shipped(event.carrier.as_deref(), event.tracking.as_deref());
                let note = named(event.number, sent.unwrap_or_else(|| "sent".to_owned()));
                self.change(tree, event.order, entry(Step::ReturnSent, None, note), |order| {
                    enter(order, event.number, ReturnState::Sent, event.inspect_by, None)?;
                    let sent = return_of(order, event.number)?;
                    sent.carrier.clone_from(&event.carrier);
                    sent.tracking.clone_from(&event.tracking);
                    Some(())
                })?;
                event.order
            }
            Event::ReturnReceived(event) => {
                let note = named(event.number, arrived(event));
                let entry = entry(Step::ReturnReceived, None, note);
                self.change(tree, event.order, entry, |order| receive(order, event))?;
                event.order
            }
            Event::ReturnRefunded(event) => {
                let told = match event.replaced_by {
                    Some(order) => format!("{} for order {order}", event.amount),
                    None => event.amount.to_string(),
                };
                let note = named(event.number, told);
                let entry = entry(Step::ReturnRefunded, Some(event.shipment), note);
                self.change(tree, event.order, entry, |order| refund(order, event, time))?;
                event.order
            }
            Event::ReturnEnded(event) => {
                let note = named(event.number, event.outcome.to_string());
                let entry = entry(Step::ReturnEnded, None, note);
                self.change(tree, event.order, entry, |order| end(order, event, time))?;
                event.order
            }
            Event::OrderClosed(event) => {
                self.change(tree, event.order, entry(Step::Closed, None, None), |order| {
                    order.close(Some(event.state), time);
                    Some(())
                })?;
                return Ok(true);
            }
            _ => return Ok(false),
        };
        self.list_returning(tree, id)?;
        Ok(true)
    }

    /// Keeps the lists of its seller's orders with open returns, and of those that an operator is to decide about.
    pub(super) fn list_returning(&mut self, tree: &Tree, id: OrderId) -> Result<(), ViewError> {
        let Some(order) = self.orders.entry(tree, &id)? else { return Ok(()) };
        let (seller, is_returning) = (order.seller, order.is_returning());
        let is_appealed = order.returns.iter().any(|one| one.state == ReturnState::Appealed);
        list_if(self.returning.entry(tree, &seller)?.get_or_insert_default(), id, is_returning);
        list_if(self.appealed.entry(tree, &())?.get_or_insert_default(), id, is_appealed);
        Ok(())
    }
}

fn list_if(listed: &mut Vec<OrderId>, id: OrderId, is_in: bool) {
    match (listed.iter().position(|other| *other == id), is_in) {
        (None, true) => listed.push(id),
        (Some(at), false) => {
            listed.remove(at);
        }
        _ => {}
    }
}
