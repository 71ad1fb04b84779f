//! Orders whose risk somebody is to look at. A review is a hold that the market's rules put on an order when it is paid, or its money is
//! held, and that one operator lifts, or nobody does in time. Which orders wait for one is decided by [`crate::risk`].

use events::ids::{AccountId, OrderId};
use events::metadata::{DeadlineStamp, Waiting};
use events::order::CancelledBy;
use events::rejection::{ChargebackRejection, RiskRejection};
use events::risk::rules::Verdict;
use events::risk::{Labelled, ReviewClaimed, ReviewDecided, ReviewOpened};
use events::{Event, Rejection, Timestamp};
use serde::{Deserialize, Serialize};

use super::cancel::call_off;
use super::capture::ended_on_hold;
use super::charge::charged_back;
use super::hold::{Hold, restarted};
use super::{Order, find, open};
use crate::command::{ClaimReview, DecideReview, LabelOrder};
use crate::decide::Facts;
use crate::market::Market;
use crate::risk;

/// How long a review is an operator's who took it, in milliseconds.
pub const CLAIM_MS: i64 = 15 * 60_000;

/// A review that is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Review {
    /// Until when it has to be decided.
    pub due: Timestamp,
    /// What is decided if nobody does.
    pub then: Verdict,
    /// Who took it, and until when it is his.
    pub claim: Option<(AccountId, Timestamp)>,
}

impl Market {
    /// Has an order that a provider is to pay reviewed when it has.
    pub(crate) fn review_when_paid(&mut self, id: OrderId) {
        if self.orders.get(id).is_some_and(Order::awaits_payment) {
            self.orders.known(id).extras.get_or_insert_default().is_to_review = true;
        }
    }

    pub(crate) fn review_opened(&mut self, event: &ReviewOpened) {
        for id in &event.orders {
            for stamp in self.orders.deadlines(*id) {
                self.waiting.remove(&stamp);
            }
            let since = self.time;
            let order = self.orders.known(*id);
            if let Some(extras) = &mut order.extras {
                extras.is_to_review = false;
            }
            let hold = order.hold.get_or_insert_with(|| Box::new(Hold::since(since)));
            hold.review = Some(Review { due: event.due, then: event.then, claim: None });
            self.await_review(*id);
        }
    }

    pub(crate) fn review_claimed(&mut self, event: &ReviewClaimed) {
        let hold = self.orders.known(event.order).hold.as_mut();
        let review = hold.and_then(|hold| hold.review.as_mut());
        review.expect("only an open review is taken").claim = Some((event.by, event.until));
    }

    pub(crate) fn review_decided(&mut self, event: &ReviewDecided) {
        let hold =
            self.orders.known(event.order).hold.as_mut().expect("only an order in review is decided about");
        let review = hold.review.take().expect("only an open review is decided");
        let is_losing = !hold.lost.chargebacks.is_empty();
        self.waiting.remove(&review.deadline(event.order));
        // What was lost meanwhile is taken off it first, behind this in the same commit.
        if !is_losing {
            self.go_on(event.order, &event.deadlines);
        }
    }

    /// Lets an order's review wait for its time, unless a bank decides first.
    pub(super) fn await_review(&mut self, id: OrderId) {
        let hold = self.orders.get(id).and_then(|order| order.hold.as_deref());
        let Some(hold) = hold else { return };
        let Some(review) = hold.review else { return };
        let deadline = review.deadline(id);
        if hold.chargebacks == 0 {
            self.waiting.insert(deadline);
        } else {
            self.waiting.remove(&deadline);
        }
    }
}

impl Review {
    /// Gives when it is decided if nobody does.
    pub const fn deadline(&self, order: OrderId) -> DeadlineStamp {
        DeadlineStamp { due: self.due, waiting: Waiting::ReviewDue { order } }
    }
}

impl Order {
    /// Gives the order's review, if it is open.
    pub fn review(&self) -> Option<Review> {
        self.hold.as_ref()?.review
    }

    /// Tells whether it is reviewed when a provider has paid it.
    pub(super) fn is_to_review(&self) -> bool {
        self.extras.as_ref().is_some_and(|extras| extras.is_to_review)
    }
}

/// Lets an order that was waited for to be paid wait for its review. `capture_by`: until when its money can be taken, if it is only
/// held.
pub(super) fn begin(
    market: &Market,
    id: OrderId,
    order: &Order,
    capture_by: Option<Timestamp>,
    now: Timestamp,
) -> Option<Event> {
    if order.is_to_review() { risk::review(market, vec![id], capture_by, now) } else { None }
}

/// Finds the open review of an order that nobody else has taken.
fn reviewed<'a>(
    market: &'a Market,
    facts: &Facts,
    by: AccountId,
    id: OrderId,
    now: Timestamp,
) -> Result<(&'a Order, &'a Hold, Review), Vec<Rejection>> {
    let order = open(market, facts, id)?;
    let found = order.hold.as_deref().and_then(|hold| Some((hold, hold.review?)));
    let Some((hold, review)) = found else {
        return Err(vec![RiskRejection::NotInReview { order: id }.into()]);
    };
    match review.claim {
        Some((other, until)) if other != by && now < until => {
            Err(vec![RiskRejection::ReviewClaimed { by: other, order: id, until }.into()])
        }
        _ => Ok((order, hold, review)),
    }
}

pub(crate) fn decide_claim(
    market: &Market,
    facts: &Facts,
    by: AccountId,
    command: &ClaimReview,
    now: Timestamp,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let id = command.order;
    reviewed(market, facts, by, id, now)?;
    Ok(vec![ReviewClaimed { by, order: id, until: now.plus_ms(CLAIM_MS) }.into()])
}

pub(crate) fn decide_review(
    market: &Market,
    facts: &Facts,
    by: AccountId,
    command: &DecideReview,
    now: Timestamp,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let DecideReview { order: id, verdict } = *command;
    let (order, hold, _) = reviewed(market, facts, by, id, now)?;
    if hold.chargebacks > 0 {
        return Err(vec![ChargebackRejection::PaymentDisputed { order: id }.into()]);
    }
    Ok(decided(market, id, order, hold, Some(by), verdict, now))
}

/// Decides a review that nobody decided in time.
pub(crate) fn decide_not_reviewed(market: &Market, id: OrderId, now: Timestamp) -> Vec<Event> {
    let order = market.orders.get(id).expect("a review ends before its order");
    let hold = order.hold.as_deref().expect("an order in review is on hold");
    let review = hold.review.expect("only an open review waits");
    decided(market, id, order, hold, None, review.then, now)
}

fn decided(
    market: &Market,
    id: OrderId,
    order: &Order,
    hold: &Hold,
    by: Option<AccountId>,
    verdict: Verdict,
    now: Timestamp,
) -> Vec<Event> {
    if !hold.lost.chargebacks.is_empty() {
        let decided = ReviewDecided { by, deadlines: Vec::new(), order: id, verdict };
        let behind = charged_back(market, id, hold, order.escrow, now);
        return [decided.into()].into_iter().chain(behind).collect();
    }
    let deadlines = market.orders.deadlines(id).into_iter().map(|stamp| restarted(stamp, hold.since, now));
    let mut events = vec![ReviewDecided { by, deadlines: deadlines.collect(), order: id, verdict }.into()];
    let ended = ended_on_hold(market, id, order);
    if ended.is_empty() && verdict == Verdict::Decline {
        events.extend(call_off(market, id, order, CancelledBy::Review, None));
    }
    events.extend(ended);
    events
}

pub(crate) fn decide_label(
    market: &Market,
    facts: &Facts,
    by: AccountId,
    command: &LabelOrder,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let LabelOrder { label, note, order } = command;
    let buyer = find(market, facts, *order)?.buyer();
    let note = note.as_ref().map(|note| note.as_str().to_owned());
    Ok(vec![Labelled { buyer, by, label: *label, note, order: *order }.into()])
}
