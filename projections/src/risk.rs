//! How purchases were judged, and which orders wait for somebody to look at their risk. For operators.
//!
//! | question | key | size |
//! |---|---|---|
//! | what was known and made of a purchase | position of `order.risk_assessed` | the event, about 1 KB, once for all orders of a purchase |
//! | how an order was judged, its review and label | order | about 40 B, 60 B more if it was reviewed |
//! | which reviews are open, the most urgent first; which are decided, the last first | state, time, order | 25 B |
//!
//! Nothing is kept of orders that were not judged.

use events::event::DecodeError;
use events::ids::{AccountId, OrderId};
use events::risk::rules::Verdict;
use events::risk::{Assessed, Label, Labelled, ReviewOpened};
use events::{Commit, Event, Position, Recorded, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sled::{Batch, Tree};

use crate::store::Slot;
use crate::table::{Additions, Layout, Table, read_uuid};
use crate::view::{Fold, ViewError};

/// The version of this view's values; to be raised with every change of them or of what they mean.
pub(crate) const VERSION: u8 = 1;
/// Most reviews in one page of a list.
pub const REVIEWS_PER_PAGE_MAX: usize = 50;
/// The type of the event that tells how a purchase was judged.
const ASSESSED: &str = "order.risk_assessed.v1";

/// How the purchase of an order was judged, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct OrderRisk {
    /// The order; if the purchase was blocked, the one that it would have become.
    pub order: OrderId,
    /// When it was judged last: when it was bought, or paid anew.
    pub assessed_at: Timestamp,
    /// Where that stands in the log.
    pub position: Position,
    /// What was known, and made of it.
    pub assessed: Assessed,
    /// Its review; null: there was none, or its payment is waited for.
    pub review: Option<RiskReview>,
    /// What it turned out to be, as an operator said last; null: nobody did.
    pub label: Option<OrderLabel>,
    /// Chargebacks of its payment.
    pub chargebacks: u32,
}

/// The review of an order's risk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RiskReview {
    /// Since when it waits.
    pub opened_at: Timestamp,
    /// Until when it has to be decided.
    pub due: Timestamp,
    /// Until when somebody should have looked.
    pub sla_by: Timestamp,
    /// What is decided if nobody does.
    pub then: Verdict,
    /// Who took it last; null: nobody did.
    pub claimed_by: Option<AccountId>,
    /// Until when it is his.
    pub claimed_until: Option<Timestamp>,
    /// When it was decided; null: it is open.
    pub decided_at: Option<Timestamp>,
    /// Who decided it; null: nobody did, or nobody did in time.
    pub decided_by: Option<AccountId>,
    /// What was decided.
    pub verdict: Option<Verdict>,
}

/// What an order turned out to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OrderLabel {
    /// What.
    pub label: Label,
    /// Who says so.
    pub by: AccountId,
    /// When.
    pub labelled_at: Timestamp,
    /// Why.
    pub note: Option<String>,
}

/// Whether reviews are open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReviewState {
    /// They wait for somebody.
    #[default]
    Open,
    /// They were decided.
    Decided,
}

/// Some reviews.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReviewPage {
    /// Of open ones the most urgent first, of decided ones the last first.
    pub reviews: Vec<OrderRisk>,
    /// Pass it as `behind` to get the next page; none: this was the last.
    pub next: Option<OrderId>,
}

/// What is kept of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Row {
    assessed_at: Timestamp,
    position: Position,
    review: Option<RiskReview>,
    label: Option<OrderLabel>,
    chargebacks: u32,
}

/// The state of a review, when it is due or, before all others, was decided, and its order.
type Place = (u8, (i64, OrderId));

const PURCHASES: Layout<Position, Vec<u8>> = Layout::new(b'p', VERSION);
const ORDERS: Layout<OrderId, Row> = Layout::new(b'o', VERSION);
const REVIEWS: Layout<Place, ()> = Layout::new(b'r', VERSION);

impl RiskReview {
    /// Gives where it stands among those of a state; none: it is not, and was not, of that state.
    fn place(&self, state: ReviewState, order: OrderId) -> Option<Place> {
        match state {
            ReviewState::Open => Some((0, (self.due.ms(), order))),
            ReviewState::Decided => Some((1, (-self.decided_at?.ms(), order))),
        }
    }
}

/// Answers about risk.
#[derive(Clone, Copy)]
pub struct Risk<'a>(&'a Slot);

impl<'a> Risk<'a> {
    pub(crate) fn new(slot: &'a Slot) -> Self {
        Risk(slot)
    }

    /// Tells how the purchase of an order was judged; none: it was not.
    pub fn order(&self, order: OrderId) -> Result<Option<OrderRisk>, ViewError> {
        shown(&self.0.ask()?.tree, order)
    }

    /// Lists reviews behind that of an order, or from the first on. A page has at most `limit` of them, and never more than
    /// [`REVIEWS_PER_PAGE_MAX`].
    pub fn reviews(
        &self,
        state: ReviewState,
        behind: Option<OrderId>,
        limit: usize,
    ) -> Result<ReviewPage, ViewError> {
        let limit = limit.clamp(1, REVIEWS_PER_PAGE_MAX);
        let tree = &self.0.ask()?.tree;
        let first = (state as u8, (i64::MIN, OrderId::from_uuid(uuid::Uuid::nil())));
        let last = match behind {
            Some(order) => ORDERS.get(tree, &order)?.and_then(|row| row.review?.place(state, order)),
            None => None,
        };
        let from = last.unwrap_or(first);
        let mut page = ReviewPage { reviews: Vec::with_capacity(limit), next: None };
        for pair in REVIEWS.scan_from(tree, &(state as u8), &from) {
            let (key, ()) = pair?;
            let order = key.get(8..).and_then(read_uuid).map(OrderId::from_uuid);
            let order = order.ok_or_else(|| ViewError::Damaged { source: "a review has no order".into() })?;
            if Some(order) == behind {
                continue;
            }
            if page.reviews.len() == limit {
                page.next = page.reviews.last().map(|one| one.order);
                break;
            }
            page.reviews.extend(shown(tree, order)?);
        }
        Ok(page)
    }
}

fn shown(tree: &Tree, order: OrderId) -> Result<Option<OrderRisk>, ViewError> {
    let Some(Row { assessed_at, position, review, label, chargebacks }) = ORDERS.get(tree, &order)? else {
        return Ok(None);
    };
    let damaged = |source: Box<dyn std::error::Error + Send + Sync>| ViewError::Damaged { source };
    let payload = PURCHASES.get(tree, &position)?;
    let payload = payload.ok_or_else(|| damaged("what was made of a purchase is missing".into()))?;
    match Event::decode(ASSESSED, &payload).map_err(|error: DecodeError| damaged(error.into()))? {
        Event::RiskAssessed(assessed) => {
            Ok(Some(OrderRisk { order, assessed_at, position, assessed, review, label, chargebacks }))
        }
        _ => Err(damaged("something else stands where a purchase was judged".into())),
    }
}

/// How the view follows the log.
pub(crate) struct RiskFold {
    purchases: Additions<Position, Vec<u8>>,
    orders: Table<OrderId, Row>,
    reviews: Table<Place, ()>,
}

impl RiskFold {
    pub(crate) fn new() -> Self {
        RiskFold {
            purchases: Additions::new(PURCHASES),
            orders: Table::new(ORDERS),
            reviews: Table::new(REVIEWS),
        }
    }

    fn judged(
        &mut self,
        tree: &Tree,
        event: &Event,
        assessed: &Assessed,
        recorded: &Recorded,
    ) -> Result<(), ViewError> {
        let (assessed_at, position) = (recorded.metadata.time, recorded.position);
        // What is for no order, as money for a wallet is, nobody could ask for.
        if !assessed.orders.is_empty() {
            self.purchases.add(&position, &event.encode());
        }
        for order in &assessed.orders {
            // An order that is paid anew is judged again, and keeps what is known of it.
            let row = self.orders.entry(tree, order)?;
            let new = Row { assessed_at, position, review: None, label: None, chargebacks: 0 };
            *row = Some(row.take().map_or(new, |known| Row { assessed_at, position, ..known }));
        }
        Ok(())
    }

    fn opened(&mut self, tree: &Tree, opened: &ReviewOpened, recorded: &Recorded) -> Result<(), ViewError> {
        for order in &opened.orders {
            let review = RiskReview {
                opened_at: recorded.metadata.time,
                due: opened.due,
                sla_by: opened.sla_by,
                then: opened.then,
                claimed_by: None,
                claimed_until: None,
                decided_at: None,
                decided_by: None,
                verdict: None,
            };
            let place = review.place(ReviewState::Open, *order);
            let before = self.known(tree, *order, recorded)?.review.replace(review);
            // An order that is paid anew may be reviewed again: then the first review gives way.
            let before = before.and_then(|before| before.place(ReviewState::Decided, *order));
            for (place, there) in [(before, None), (place, Some(()))] {
                if let Some(place) = place {
                    self.reviews.set(place, there);
                }
            }
        }
        Ok(())
    }

    fn labelled(&mut self, tree: &Tree, labelled: &Labelled, at: Timestamp) -> Result<(), ViewError> {
        let Labelled { by, label, order, ref note, .. } = *labelled;
        // What was not judged may be labelled too.
        if let Some(row) = self.orders.entry(tree, &order)? {
            row.label = Some(OrderLabel { label, by, labelled_at: at, note: note.clone() });
        }
        Ok(())
    }

    fn known(&mut self, tree: &Tree, order: OrderId, recorded: &Recorded) -> Result<&mut Row, ViewError> {
        let missing = || ViewError::unknown(format_args!("the risk of order {order}"), recorded.position);
        self.orders.entry(tree, &order)?.as_mut().ok_or_else(missing)
    }

    fn review(
        &mut self,
        tree: &Tree,
        order: OrderId,
        recorded: &Recorded,
    ) -> Result<&mut RiskReview, ViewError> {
        let missing = || ViewError::unknown(format_args!("the review of order {order}"), recorded.position);
        self.known(tree, order, recorded)?.review.as_mut().ok_or_else(missing)
    }
}

impl Fold for RiskFold {
    fn apply(&mut self, tree: &Tree, commit: &Commit) -> Result<(), ViewError> {
        for recorded in commit.events() {
            let at = recorded.metadata.time;
            match &recorded.event {
                event @ Event::RiskAssessed(assessed) => self.judged(tree, event, assessed, recorded)?,
                Event::ReviewOpened(opened) => self.opened(tree, opened, recorded)?,
                Event::ReviewClaimed(claimed) => {
                    let review = self.review(tree, claimed.order, recorded)?;
                    (review.claimed_by, review.claimed_until) = (Some(claimed.by), Some(claimed.until));
                }
                Event::ReviewDecided(decided) => {
                    let order = decided.order;
                    let review = self.review(tree, order, recorded)?;
                    let before = review.place(ReviewState::Open, order);
                    review.decided_at = Some(at);
                    (review.decided_by, review.verdict) = (decided.by, Some(decided.verdict));
                    let place = review.place(ReviewState::Decided, order);
                    for (place, there) in [(before, None), (place, Some(()))] {
                        if let Some(place) = place {
                            self.reviews.set(place, there);
                        }
                    }
                }
                Event::OrderLabelled(labelled) => self.labelled(tree, labelled, at)?,
                Event::ChargebackOpened(opened) => {
                    for charged in opened.orders.iter().filter(|charged| charged.amount.is_positive()) {
                        if let Some(row) = self.orders.entry(tree, &charged.order)? {
                            row.chargebacks = row.chargebacks.saturating_add(1);
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn write(&mut self, tree: &Tree, batch: &mut Batch) -> Result<(), ViewError> {
        self.purchases.write(tree, batch)?;
        self.orders.write(tree, batch)?;
        self.reviews.write(tree, batch)
    }
}
