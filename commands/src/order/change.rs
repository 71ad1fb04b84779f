//! Orders that their buyer and their seller agree to change before all of it is shipped: units are added, or cancelled, or both.
//!
//! A change is proposed by one side and accepted by the other. It is priced when it is proposed, and that price stands: what
//! may have changed meanwhile is looked at again when it is accepted, and not what it costs. The order goes on meanwhile;
//! whoever moves units that the change is about ends it. So what a change cancels costs what was proposed, and a line gets more
//! units only while none of it went: the units of a line cost the same each, and what some of them cost can't be changed when
//! others are gone.
//!
//! What is added is paid out of the wallet into the escrow, and what is cancelled goes back to the wallet, in one commit; only
//! if more goes back than comes in, the card gets its part of that.

use events::account::Role;
use events::ids::{AccountId, ChangeId, CommandId, ListingId, OrderId};
use events::ledger::LedgerAccount;
use events::metadata::{DeadlineStamp, Waiting};
use events::order::change::{
    ChangeDeclined, ChangeLapsed, ChangeProblem, ChangeProposed, ChangeWithdrawn, Changed, DifferenceDue,
    LapseReason, LineChangeProblem,
};
use events::order::{Cancelled, CancelledBy, LineUnits, ShipmentNumber};
use events::tax::Region;
use events::{Event, Money, Quantity, Rejection, Timestamp};
use serde::{Deserialize, Serialize};

use super::cancel::units;
use super::escrow::Settlement;
use super::location::freed;
use super::state::{Line, Order};
use super::tender::{hold, return_to_card};
use super::{find, subsidy, waiting, wrong_state};
use crate::command::{
    AcceptChange, DeclineChange, LINES_MAX, PaymentMethod, ProposeChange, VerifiedQuote, WithdrawChange,
};
use crate::decide::Facts;
use crate::market::Market;
use crate::validate::{self, AskedLine, PricedLine, Purchase};
use crate::{fees, limits, reservation};

/// Most changes that may be proposed of one order: its history is kept and shown whole.
pub const CHANGES_MAX: u32 = 32;

/// What was changed of an order since it was placed, and what may be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// The change that waits for an answer, if one does.
    #[serde(with = "super::as_in_the_log")]
    pub open: Option<ChangeProposed>,
    /// Counts the changes that were proposed.
    pub proposed: u32,
    /// Counts what the order was: 1 as it was placed.
    pub version: u32,
    /// What was paid for units that were added, in minor units.
    pub added_minor: i64,
    /// What of that came out of what went back of other units in the same commit.
    pub kept_minor: i64,
}

impl Default for Changes {
    fn default() -> Self {
        Changes { open: None, proposed: 0, version: 1, added_minor: 0, kept_minor: 0 }
    }
}

impl Order {
    /// Gives what was changed of it, or may be; none: nothing.
    pub fn changes(&self) -> Option<&Changes> {
        self.extras.as_ref()?.changes.as_deref()
    }

    /// Gives the change that waits for an answer.
    pub fn open_change(&self) -> Option<&ChangeProposed> {
        self.changes()?.open.as_ref()
    }

    /// Gives what is remembered of its changes.
    ///
    /// # Panics
    /// If there is nothing: an event about a change follows its proposal.
    fn changes_mut(&mut self) -> &mut Changes {
        let changes = self.extras.as_mut().and_then(|extras| extras.changes.as_deref_mut());
        changes.expect("an event about a change follows its proposal")
    }

    /// Gives until when its open change waits.
    pub(super) fn change_deadline(&self, order: OrderId) -> Option<DeadlineStamp> {
        let due = self.open_change()?.expires_at;
        Some(DeadlineStamp { due, waiting: Waiting::ChangeExpires { order } })
    }

    pub(super) fn set_change_due(&mut self, due: Timestamp) {
        let open = self.changes_mut().open.as_mut();
        open.expect("only a change that waits has a deadline").expires_at = due;
    }
}

impl Market {
    pub(crate) fn change_proposed(&mut self, event: &ChangeProposed) {
        let order = self.orders.known(event.order);
        assert!(order.open_change().is_none(), "an order has one open change");
        let changes = order.extras.get_or_insert_default().changes.get_or_insert_default();
        changes.proposed += 1;
        changes.open = Some(event.clone());
        let stamp = order.change_deadline(event.order);
        self.waiting.extend(stamp);
    }

    pub(crate) fn change_ended(&mut self, id: OrderId) {
        let order = self.orders.known(id);
        let stamp = order.change_deadline(id).expect("only a change that is open ends");
        order.changes_mut().open = None;
        self.waiting.remove(&stamp);
    }

    pub(crate) fn order_changed(&mut self, event: &Changed) {
        let id = event.order;
        let order = self.orders.known(id);
        let stamp = order.change_deadline(id).expect("only a change that is open applies");
        self.waiting.remove(&stamp);
        let (buyer, currency) = (order.buyer, order.total.currency);
        let mut lines = std::mem::take(&mut order.lines).into_vec();
        for added in &event.added {
            let tax_minor = added.tax.as_ref().map_or(0, |tax| tax.amount.minor);
            let quantity = added.quantity.get();
            let known = lines.iter_mut().find(|line| line.listing == added.listing);
            match known {
                Some(line) => {
                    assert!(line.cancelled + line.shipped == 0, "a line grows only while none of it went");
                    line.ordered += quantity;
                    line.total_minor += added.total.minor;
                    line.tax_minor += tax_minor;
                }
                None => {
                    lines.reserve_exact(1);
                    lines.push(Line {
                        listing: added.listing,
                        ordered: quantity,
                        cancelled: 0,
                        shipped: 0,
                        delivered: 0,
                        total_minor: added.total.minor,
                        tax_minor,
                    });
                    if added.final_sale {
                        order.extras.get_or_insert_default().final_lines |= 1 << (lines.len() - 1);
                    }
                }
            }
        }
        let count = lines.len();
        order.lines = lines.into();
        order.subsidy_of_lines(count);
        (order.total, order.fee_minor) = (event.total, event.fee.amount.minor);
        let changes = order.changes_mut();
        changes.open = None;
        assert!(event.version == changes.version + 1, "what an order was is counted in its order");
        changes.version = event.version;
        let added = event.added_minor();
        changes.added_minor += added;
        changes.kept_minor += added - event.due.collected_minor();
        for added in &event.added {
            let (place, _) = self.orders.known(id).line(added.listing);
            let own = self.reservations.units_of(buyer, added.listing);
            self.listings.reserve(added.listing, u64::from(added.quantity.get()), own, &added.locations);
            self.orders.allocations_mut().add(id, place, &added.locations);
        }
        self.count_spent(buyer, Money::new(event.due.collected_minor(), currency));
        let stage = self.orders.known(id).stage;
        self.enter_order(id, stage, event.ship_by);
    }
}

/// Gives a bound of the events in which a change is accepted: that it applies, what is cancelled for it and goes back to the
/// platform and the buyer, what is held, what the card gets back, and what the buyer had set aside of each line.
pub(crate) fn events_max(market: &Market, id: OrderId) -> usize {
    let open = market.orders.get(id).and_then(Order::open_change);
    6 + open.map_or(0, |open| open.added.len())
}

/// Ends the open change of an order if these units, which are about to leave it, are of lines that it changes, or all that is
/// left.
pub(super) fn overtaken(id: OrderId, order: &Order, moved: &[LineUnits]) -> Option<Event> {
    let open = order.open_change()?;
    let is_moved = |listing: ListingId| moved.iter().any(|units| units.listing == listing);
    let is_touched = open.added.iter().any(|line| is_moved(line.listing))
        || open.removed.iter().any(|units| is_moved(units.listing))
        || units(moved) == order.units_left();
    is_touched.then(|| lapsed(id, open.change, LapseReason::Overtaken))
}

fn lapsed(order: OrderId, change: ChangeId, why: LapseReason) -> Event {
    ChangeLapsed { change, order, why }.into()
}

/// Ends a change that nobody answered in time.
pub(crate) fn decide_not_answered(market: &Market, id: OrderId) -> Vec<Event> {
    let open = waiting(market, id).open_change().expect("a deadline leaves with its change");
    vec![lapsed(id, open.change, LapseReason::Deadline)]
}

fn problem(order: OrderId, problem: ChangeProblem) -> Vec<Rejection> {
    vec![Rejection::OrderChange { order, problem }]
}

/// Finds an open order of which the account is the buyer or the seller, and that operators have not stopped.
fn party<'a>(
    market: &'a Market,
    facts: &Facts,
    account: AccountId,
    id: OrderId,
) -> Result<(Role, &'a Order), Vec<Rejection>> {
    let found = find(market, facts, id)?;
    let role = if account == found.buyer() {
        Role::Buyer
    } else if account == found.seller() {
        Role::Seller
    } else {
        return Err(vec![Rejection::NotYourOrder { order: id }]);
    };
    let order = found.open(id)?;
    order.check_free(id)?;
    Ok((role, order))
}

/// Checks that an order is the seller's to ship, that something of it is, and that none of its money is disputed.
fn check_changeable(id: OrderId, order: &Order) -> Result<(), Vec<Rejection>> {
    order.check_accepted(id)?;
    if order.is_unpaid() {
        return Err(wrong_state(id, order.state()));
    }
    if order.units_left() == 0 {
        return Err(problem(id, ChangeProblem::NothingLeft));
    }
    match order.shipments.iter().position(|shipment| shipment.frozen().is_some()) {
        Some(index) => {
            Err(vec![Rejection::ShipmentFrozen { order: id, shipment: ShipmentNumber::after(index) }])
        }
        None => Ok(()),
    }
}

/// Finds the open change of an order, if it is the one that is meant, for its buyer or its seller.
fn opened<'a>(
    market: &'a Market,
    facts: &Facts,
    account: AccountId,
    id: OrderId,
    change: ChangeId,
) -> Result<(Role, &'a Order, &'a ChangeProposed), Vec<Rejection>> {
    let (by, order) = party(market, facts, account, id)?;
    let open = order.open_change().filter(|open| open.change == change);
    let open = open.ok_or_else(|| problem(id, ChangeProblem::Unknown { change }))?;
    Ok((by, order, open))
}

/// Units that an order is to have besides its own.
struct Added<'a> {
    listing: ListingId,
    quantity: Quantity,
    before: u32,
    quote: Option<&'a VerifiedQuote>,
}

/// What an order is to have more, and less.
#[derive(Default)]
struct Wanted<'a> {
    added: Vec<Added<'a>>,
    removed: Vec<LineUnits>,
}

/// Compares what an order is to have with what it has.
fn compare<'a>(
    id: OrderId,
    order: &Order,
    command: &ProposeChange,
    quotes: &'a [Option<VerifiedQuote>],
    reasons: &mut Vec<Rejection>,
) -> Wanted<'a> {
    let mut wanted = Wanted::default();
    let quotes = quotes.iter().map(Option::as_ref).chain(std::iter::repeat(None));
    for (n, (asked, quote)) in command.lines.iter().zip(quotes).enumerate() {
        let listing = asked.listing;
        if command.lines[..n].iter().any(|before| before.listing == listing) {
            reasons.push(Rejection::DuplicateLine { listing });
            continue;
        }
        let place = order.lines.iter().position(|line| line.listing == listing);
        let line = place.map(|place| &order.lines[place]);
        let before = line.map_or(0, |line| line.ordered - line.cancelled);
        let target = asked.quantity.get();
        let mut wrong = |problem| reasons.push(Rejection::LineChange { order: id, listing, problem });
        if let Ok(quantity) = Quantity::new(target.saturating_sub(before)) {
            if line.is_some_and(|line| line.cancelled + line.shipped > 0) {
                wrong(LineChangeProblem::UnitsWent);
            } else {
                wanted.added.push(Added { listing, quantity, before, quote });
            }
            continue;
        }
        if quote.is_some() {
            wrong(LineChangeProblem::QuoteForNothing);
        }
        match (place, Quantity::new(before - target)) {
            (None, _) => reasons.push(Rejection::NotInOrder { order: id, listing }),
            (Some(_), Err(_)) => {}
            (Some(place), Ok(quantity)) => {
                let (requested, left) = (quantity.get(), order.lines[place].left());
                if requested > left {
                    reasons.push(Rejection::TooManyUnits { order: id, listing, requested, left });
                } else {
                    wanted.removed.push(order.next(place, quantity));
                }
            }
        }
    }
    wanted
}

/// Gives what is added to an order as a purchase, whose rules it is under.
fn purchase<'a>(order: &Order, lines: Vec<AskedLine<'a>>) -> Purchase<'a> {
    Purchase {
        buyer: order.buyer,
        coupon: None,
        delivery: None,
        lines,
        method: &PaymentMethod::Wallet,
        signed_total: order.total,
    }
}

/// Checks that what is added fits the order and that its buyer may have it.
fn check_added(
    market: &Market,
    id: OrderId,
    order: &Order,
    purchase: &Purchase<'_>,
    reasons: &mut Vec<Rejection>,
) {
    for asked in &purchase.lines {
        let listing = asked.listing;
        let Some(known) = market.listings.get(listing) else { continue };
        let mut wrong = |problem| reasons.push(Rejection::LineChange { order: id, listing, problem });
        if known.seller != order.seller {
            wrong(LineChangeProblem::OtherSeller);
        }
        if let Some(rule) = known.release.as_deref() {
            let terms = order.release.as_ref().map(|release| release.terms.clone());
            let terms = terms.or_else(|| market.release_terms()).unwrap_or_default();
            if terms.rule().and([rule]).as_ref() != Some(terms.rule()) {
                wrong(LineChangeProblem::ReleaseRule);
            }
        }
    }
    validate::account(market, purchase, reasons);
}

/// Checks that a buyer can pay what a change makes his order dearer. His seller learns no more than that he can't.
fn check_cover(
    market: &Market,
    id: OrderId,
    order: &Order,
    by: Role,
    due: DifferenceDue,
    now: Timestamp,
    reasons: &mut Vec<Rejection>,
) {
    let DifferenceDue::Collect(difference) = due else { return };
    let available = market.ledger.balance(LedgerAccount::Wallet(order.buyer), difference.currency);
    let mut found = Vec::new();
    if available.minor < difference.minor {
        let problem = ChangeProblem::WalletShort { available, required: difference };
        found.push(Rejection::OrderChange { order: id, problem });
    }
    // What the order costs with the change, less what went back of it.
    let stays = order.payable_minor() - order.refunded_to_buyer_minor();
    let total = Money::new(stays.saturating_add(difference.minor), difference.currency);
    limits::check_more(market, order.buyer, total, difference, now, &mut found);
    match by {
        Role::Buyer => reasons.extend(found),
        _ if found.is_empty() => {}
        _ => {
            let problem = ChangeProblem::NotCovered { difference };
            reasons.push(Rejection::OrderChange { order: id, problem });
        }
    }
}

/// Checks that the buyer has signed what a change makes his order dearer.
fn check_signed(
    id: OrderId,
    due: DifferenceDue,
    max_difference: Option<Money>,
    reasons: &mut Vec<Rejection>,
) {
    if let DifferenceDue::Collect(difference) = due
        && max_difference
            .is_none_or(|max| max.currency != difference.currency || max.minor < difference.minor)
    {
        let problem = ChangeProblem::Unsigned { difference };
        reasons.push(Rejection::OrderChange { order: id, problem });
    }
}

/// Gives what of units that are cancelled goes back to the buyer, in minor units.
fn back_minor(removed: &[LineUnits]) -> i64 {
    removed.iter().map(|units| units.amount.minor).sum::<i64>() - subsidy::sum(removed)
}

pub(crate) fn decide_propose(
    market: &Market,
    facts: &Facts,
    account: AccountId,
    command_id: CommandId,
    command: &ProposeChange,
    quotes: &[Option<VerifiedQuote>],
    now: Timestamp,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let id = command.order;
    let (by, order) = party(market, facts, account, id)?;
    check_changeable(id, order)?;
    if let Some(open) = order.open_change() {
        let (change, expires_at) = (open.change, open.expires_at);
        return Err(problem(id, ChangeProblem::Open { change, expires_at }));
    }
    if order.changes().is_some_and(|changes| changes.proposed >= CHANGES_MAX) {
        return Err(problem(id, ChangeProblem::TooMany { max: CHANGES_MAX }));
    }
    if command.lines.is_empty() {
        return Err(vec![Rejection::LinesEmpty]);
    }
    let mut reasons = Vec::new();
    let Wanted { added, removed } = compare(id, order, command, quotes, &mut reasons);
    let new = added.iter().filter(|added| order.lines.iter().all(|line| line.listing != added.listing));
    if order.lines.len() + new.count() > LINES_MAX {
        reasons.push(Rejection::TooManyLines { max: LINES_MAX as u32 });
    }
    if added.is_empty() && units(&removed) == order.units_left() {
        reasons.extend(problem(id, ChangeProblem::LeavesNothing));
    }
    if !added.is_empty() && command.region.is_none() && !market.taxes.is_empty() {
        reasons.push(Rejection::AddressRequired);
    }
    let asked = added.iter().map(|added| {
        let Added { listing, quantity, before, quote } = *added;
        AskedLine { listing, quantity, before, quote, kept: None }
    });
    let purchase = purchase(order, asked.collect());
    let priced = match purchase.lines.as_slice() {
        [] => Vec::new(),
        _ => {
            check_added(market, id, order, &purchase, &mut reasons);
            validate::listing(market, &purchase, now, &mut reasons)
        }
    };
    let Some((added, total)) = sum(market, order, priced, command.region.as_ref()) else {
        reasons.push(Rejection::AmountOverflow);
        return Err(reasons);
    };
    if reasons.is_empty() && added.is_empty() && removed.is_empty() {
        // It is so already.
        return Ok(vec![]);
    }
    let currency = order.total.currency;
    let due = DifferenceDue::between(total.minor - order.total.minor, back_minor(&removed), currency);
    if by == Role::Buyer && reasons.is_empty() {
        check_signed(id, due, command.max_difference, &mut reasons);
        check_cover(market, id, order, by, due, now, &mut reasons);
    }
    if !reasons.is_empty() {
        return Err(reasons);
    }
    let taxes = added.iter().flat_map(|line| &line.tax).map(|tax| tax.amount.minor).sum::<i64>();
    let untaxed = Money::new(total.minor - order.tax_minor() - taxes, currency);
    Ok(vec![
        ChangeProposed {
            added,
            by,
            change: ChangeId::derive(account, command_id),
            due,
            expires_at: now.plus_ms(market.deadlines().change_ms()),
            fee: fees::quote(market.fee_policy(), untaxed),
            max_difference: command.max_difference.filter(|_| by == Role::Buyer),
            order: id,
            reason: command.reason.as_ref().map(|reason| reason.as_str().to_owned()),
            removed,
            total,
        }
        .into(),
    ])
}

/// Puts taxes on units that are added, and adds what they cost to what the order does; none where that is larger than can be
/// kept. Where they are reserved is not known yet.
fn sum(
    market: &Market,
    order: &Order,
    priced: Vec<PricedLine<'_>>,
    region: Option<&Region>,
) -> Option<(Vec<events::order::Line>, Money)> {
    let (mut lines, mut total) = (Vec::with_capacity(priced.len()), order.total);
    for line in priced {
        // A line is what it was ordered as.
        let known = order.lines.iter().position(|known| known.listing == line.listing);
        let is_final = known.map_or(line.is_final, |place| order.is_final(place));
        let line = PricedLine { is_final, locations: Vec::new(), ..line }.taxed(market, region)?;
        total = total.checked_add(line.total).ok()?;
        lines.push(line);
    }
    Some((lines, total))
}

pub(crate) fn decide_accept_change(
    market: &Market,
    facts: &Facts,
    account: AccountId,
    command: &AcceptChange,
    now: Timestamp,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let id = command.order;
    let (by, order, open) = opened(market, facts, account, id, command.change)?;
    if by == open.by {
        return Err(problem(id, ChangeProblem::ProposedBy { by }));
    }
    check_changeable(id, order)?;
    let mut reasons = Vec::new();
    // What was priced stays so; whether it can still be sold is another question.
    let asked = open.added.iter().map(|line| {
        let known = order.lines.iter().find(|known| known.listing == line.listing);
        let before = known.map_or(0, |known| known.ordered);
        AskedLine { listing: line.listing, quantity: line.quantity, before, quote: None, kept: None }
    });
    let purchase = purchase(order, asked.collect());
    check_added(market, id, order, &purchase, &mut reasons);
    let mut added = open.added.clone();
    for (asked, line) in purchase.lines.iter().zip(&mut added) {
        let known = market.listings.get(asked.listing).expect("what was priced is listed");
        validate::check_offer(market, order.buyer, asked, known, &mut reasons);
        line.locations = known.stock.allocate(asked.quantity);
    }
    let signed = if by == Role::Buyer { command.max_difference } else { open.max_difference };
    check_signed(id, open.due, signed, &mut reasons);
    check_cover(market, id, order, by, open.due, now, &mut reasons);
    if !reasons.is_empty() {
        return Err(reasons);
    }
    Ok(apply(market, id, order, open, added, by, now))
}

/// Makes the order what an accepted change makes of it.
fn apply(
    market: &Market,
    id: OrderId,
    order: &Order,
    open: &ChangeProposed,
    added: Vec<events::order::Line>,
    by: Role,
    now: Timestamp,
) -> Vec<Event> {
    let (buyer, currency) = (order.buyer, order.total.currency);
    let ship_by = if added.is_empty() { order.ship_by } else { now.plus_ms(market.deadlines().ship_by_ms()) };
    let changed = Changed {
        added,
        by,
        change: open.change,
        due: open.due,
        fee: open.fee,
        order: id,
        ship_by: ship_by.max(order.ship_by),
        total: open.total,
        version: order.changes().map_or(1, |changes| changes.version) + 1,
    };
    let cost = Money::new(changed.added_minor(), currency);
    assert!(
        order.total.minor + cost.minor == open.total.minor,
        "an order costs what it did when its change was priced"
    );
    let taken_up = reservation::take_up(market, buyer, id, &changed.added);
    let mut settlement = Settlement::of(market, id, order);
    settlement.add(changed.added.iter().map(|line| u64::from(line.quantity.get())).sum());
    let mut events = vec![changed.into()];
    if !open.removed.is_empty() {
        let cancelled = Cancelled {
            by: CancelledBy::Change,
            lines: freed(market, id, order, open.removed.clone()),
            order: id,
            reason: None,
            shipping: None,
            uncharged: None,
        };
        events.push(cancelled.into());
        let subsidy = subsidy::sum(&open.removed);
        let (to_platform, refunded) =
            settlement.refund(units(&open.removed), back_minor(&open.removed), subsidy);
        events.extend(to_platform.into_iter().chain([refunded]));
    }
    // What goes back is in the wallet by now, and what is added is paid out of it first.
    events.extend(hold(market, buyer, id, cost, order.release.as_ref().map(|release| &release.terms)));
    events.extend(return_to_card(market, id, order, open.due.refunded_minor()));
    events.extend(taken_up);
    events
}

pub(crate) fn decide_decline_change(
    market: &Market,
    facts: &Facts,
    account: AccountId,
    command: &DeclineChange,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let id = command.order;
    let (by, _, open) = opened(market, facts, account, id, command.change)?;
    if by == open.by {
        return Err(problem(id, ChangeProblem::ProposedBy { by }));
    }
    let reason = command.reason.as_ref().map(|reason| reason.as_str().to_owned());
    Ok(vec![ChangeDeclined { by, change: open.change, order: id, reason }.into()])
}

pub(crate) fn decide_withdraw_change(
    market: &Market,
    facts: &Facts,
    account: AccountId,
    command: &WithdrawChange,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let id = command.order;
    let (by, _, open) = opened(market, facts, account, id, command.change)?;
    if by != open.by {
        return Err(problem(id, ChangeProblem::ProposedBy { by: open.by }));
    }
    Ok(vec![ChangeWithdrawn { by, change: open.change, order: id }.into()])
}
