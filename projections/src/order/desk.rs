//! What sellers are to do, and until when: one row for each sort of task that an order has for its seller.
//!
//! | question | key | size per event |
//! |---|---|---|
//! | what a seller is to do, all of it or one sort, the most urgent first; how much of each sort there is | seller, task, when it is due, order | 47 B when a task begins, and the same row again when it ends or is due at another time |
//!
//! Most orders have one task in their life, to be shipped, and so two writes; what begins and ends within one batch has none. The
//! row holds nothing more: what is to be shipped or answered is read out of the order, by the same function that made the row.

use std::fmt;
use std::str::FromStr;

use events::account::Role;
use events::escrow::FreezeReason;
use events::ids::{AccountId, ChangeId, ListingId, OrderId};
use events::location::Located;
use events::order::ShipmentNumber;
use events::rejection::ReturnState;
use events::returns::ReturnNumber;
use events::shipping::Method;
use events::{Money, Quantity, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sled::{Batch, Tree};
use uuid::Uuid;

use super::{ORDERS, ORDERS_PER_PAGE_MAX, Order, OrderStatus, Orders, Return, Shipment, VERSION};
use crate::table::{Layout, Marks, read_i64, read_uuid};
use crate::view::ViewError;

/// Up to how many tasks of one sort are counted.
pub const TASKS_COUNTED_MAX: usize = 1_000;

/// What an order wants of its seller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SellerTask {
    /// To accept or decline it; else it is cancelled.
    Accept,
    /// To make it ready, since a provider holds the money and is to charge it; else it is cancelled or charged.
    MakeReady,
    /// To ship it; else what is not shipped is cancelled.
    Ship,
    /// To accept or decline a change that its buyer proposes; else that lapses.
    AnswerChange,
    /// To approve or reject a return; else it is approved.
    AnswerReturn,
    /// To look at units that come back; else they count as arrived and intact.
    InspectReturn,
    /// To come to terms with its buyer, or tell operators how it was, since money of a shipment is frozen; else that goes back.
    Dispute,
}

impl SellerTask {
    /// Every sort, in the order in which most orders have them.
    pub const ALL: [SellerTask; 7] = [
        SellerTask::Accept,
        SellerTask::MakeReady,
        SellerTask::Ship,
        SellerTask::AnswerChange,
        SellerTask::AnswerReturn,
        SellerTask::InspectReturn,
        SellerTask::Dispute,
    ];

    const fn key(self) -> u8 {
        self as u8
    }
}

/// When each task of an order is due that it has; of several of one sort the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dues([Option<Timestamp>; SellerTask::ALL.len()]);

impl Dues {
    pub(super) const NONE: Dues = Dues([None; SellerTask::ALL.len()]);

    fn add(&mut self, task: SellerTask, due: Timestamp) {
        let first = &mut self.0[usize::from(task.key())];
        *first = Some(first.map_or(due, |first| first.min(due)));
    }

    fn get(&self, task: SellerTask) -> Option<Timestamp> {
        self.0[usize::from(task.key())]
    }
}

impl Order {
    /// Tells whether units of it are neither shipped nor cancelled.
    pub(super) fn has_units_left(&self) -> bool {
        self.lines.iter().any(|line| line.quantity.get() > line.cancelled + line.shipped)
    }

    /// Gives when what its seller is to do is due. While it stands still nothing is.
    pub(super) fn dues(&self) -> Dues {
        let mut dues = Dues::NONE;
        if self.closed_at.is_some() || self.hold.is_some() || self.stopped_since.is_some() {
            return dues;
        }
        if self.has_units_left() {
            match (self.capture_by(), self.pay_by(), self.accept_by) {
                // It is its buyer's turn.
                (None, Some(_), _) => {}
                (_, _, Some(accept_by)) => dues.add(SellerTask::Accept, accept_by),
                (Some(capture_by), _, None) => dues.add(SellerTask::MakeReady, capture_by.min(self.ship_by)),
                (None, None, None) => dues.add(SellerTask::Ship, self.ship_by),
            }
        }
        if let Some(change) = self.change.as_ref().filter(|change| change.by == Role::Buyer) {
            dues.add(SellerTask::AnswerChange, change.expires_at);
        }
        for (of, task) in RETURN_TASKS {
            self.returns_in(of).filter_map(|one| one.due).for_each(|due| dues.add(task, due));
        }
        let disputes = self.disputes().filter_map(|shipment| shipment.frozen.as_ref());
        disputes.for_each(|frozen| dues.add(SellerTask::Dispute, frozen.due));
        dues
    }

    fn returns_in(&self, state: ReturnState) -> impl Iterator<Item = &Return> {
        self.returns.iter().filter(move |one| one.state == state)
    }

    /// Gives the shipments of which money is frozen for something else than a return.
    fn disputes(&self) -> impl Iterator<Item = &Shipment> {
        let is_dispute =
            |shipment: &&Shipment| shipment.frozen.as_ref().is_some_and(|f| f.reason != FreezeReason::Return);
        self.shipments.iter().filter(is_dispute)
    }

    fn units_left(&self) -> impl Iterator<Item = UnitsLeft> {
        self.lines.iter().filter_map(|line| {
            let left = line.quantity.get().checked_sub(line.cancelled + line.shipped)?;
            let quantity = Quantity::new(left).ok()?;
            Some(UnitsLeft { listing: line.listing, quantity, locations: line.locations.clone() })
        })
    }
}

/// In which state a return wants something of its seller, and what.
const RETURN_TASKS: [(ReturnState, SellerTask); 2] =
    [(ReturnState::Requested, SellerTask::AnswerReturn), (ReturnState::Sent, SellerTask::InspectReturn)];

/// Something that a seller is to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct DeskTask {
    /// What.
    pub task: SellerTask,
    /// Until when; of several of this sort in one order, the first.
    pub due: Timestamp,
    /// The order.
    pub order: OrderId,
    /// What people call it; none for orders from before there were numbers.
    pub number: Option<String>,
    /// Who bought.
    pub buyer: AccountId,
    /// When it was placed.
    pub placed_at: Timestamp,
    /// Where it stands, in one word.
    pub state: OrderStatus,
    /// What it costs.
    pub total: Money,
    /// How it is delivered; none where its seller takes nothing for that.
    pub method: Option<Method>,
    /// What is to be accepted, made ready or shipped.
    pub lines: Vec<UnitsLeft>,
    /// The change to be answered.
    pub change: Option<ChangeId>,
    /// The returns to be answered, or to be looked at.
    pub returns: Vec<ReturnNumber>,
    /// The shipments of which money is frozen.
    pub shipments: Vec<ShipmentNumber>,
}

/// Units of a line that are neither shipped nor cancelled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct UnitsLeft {
    /// What was bought.
    pub listing: ListingId,
    /// How many of it are left.
    pub quantity: Quantity,
    /// At which named locations they are reserved; those that are not told are at none.
    pub locations: Vec<Located>,
}

impl DeskTask {
    fn of(order: Order, task: SellerTask, due: Timestamp) -> DeskTask {
        let (mut lines, mut change) = (Vec::new(), None);
        let (mut returns, mut shipments) = (Vec::new(), Vec::new());
        match task {
            SellerTask::Accept | SellerTask::MakeReady | SellerTask::Ship => {
                lines = order.units_left().collect();
            }
            SellerTask::AnswerChange => change = order.change.as_ref().map(|open| open.change),
            SellerTask::AnswerReturn | SellerTask::InspectReturn => {
                let states = RETURN_TASKS.iter().filter(|(_, of)| *of == task);
                returns.extend(states.flat_map(|(of, _)| order.returns_in(*of)).map(|one| one.number));
            }
            SellerTask::Dispute => shipments.extend(order.disputes().map(|one| one.shipment)),
        }
        DeskTask {
            task,
            due,
            order: order.order,
            number: order.number,
            buyer: order.buyer,
            placed_at: order.placed_at,
            state: order.state,
            total: order.total,
            method: order.shipping.map(|shipping| shipping.method),
            lines,
            change,
            returns,
            shipments,
        }
    }
}

/// Some of what a seller is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeskPage {
    /// The most urgent first.
    pub tasks: Vec<DeskTask>,
    /// Pass it as `behind` to get the next page; none: this was the last.
    pub next: Option<DeskCursor>,
}

/// How many orders want something of their seller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TaskCount {
    /// What.
    pub task: SellerTask,
    /// How many, and no more than a thousand.
    pub orders: usize,
    /// Whether there are more.
    pub is_more: bool,
    /// When the first of them is due.
    pub due: Timestamp,
}

/// Where in the list of a seller's tasks a page ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeskCursor {
    due: Timestamp,
    task: SellerTask,
    order: OrderId,
}

impl fmt::Display for DeskCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DeskCursor { due, task, order } = self;
        write!(f, "{}.{}.{order}", due.ms(), task.key())
    }
}

/// Says that something is no cursor of a list of tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no cursor of a list of tasks: give the `next_cursor` of a page")]
pub struct CursorError;

impl FromStr for DeskCursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let mut parts = text.splitn(3, '.');
        let mut part = || parts.next().ok_or(CursorError);
        let due = part()?.parse().map(Timestamp::from_ms).map_err(|_| CursorError)?;
        let task: u8 = part()?.parse().map_err(|_| CursorError)?;
        let task = SellerTask::ALL.get(usize::from(task)).copied().ok_or(CursorError)?;
        let order = part()?.parse().map_err(|_| CursorError)?;
        Ok(DeskCursor { due, task, order })
    }
}

/// Whose task of which sort it is, when it is due, and of which order.
type Place = ((AccountId, u8), (i64, OrderId));

const TASKS: Layout<Place, ()> = Layout::new(b't', VERSION);

impl Orders<'_> {
    /// Lists what a seller is to do, of one sort or all, behind what a page ended with, or from the most urgent on. A page has at
    /// most `limit` tasks, and never more than [`ORDERS_PER_PAGE_MAX`].
    pub fn desk(
        &self,
        seller: AccountId,
        task: Option<SellerTask>,
        behind: Option<DeskCursor>,
        limit: usize,
    ) -> Result<DeskPage, ViewError> {
        let limit = limit.clamp(1, ORDERS_PER_PAGE_MAX);
        let live = self.0.ask()?;
        let mut found = Vec::new();
        for task in SellerTask::ALL.into_iter().filter(|one| task.is_none_or(|task| task == *one)) {
            // One more than the page holds tells that there is more.
            let rows = rows(&live.tree, seller, task, behind);
            let rows = rows.filter(|row| row.as_ref().map_or(true, |row| Some(*row) > behind));
            found.extend(rows.take(limit + 1).collect::<Result<Vec<_>, _>>()?);
        }
        found.sort_unstable();
        let next = (found.len() > limit).then(|| found[limit - 1]);
        found.truncate(limit);
        let shown = found.into_iter().map(|DeskCursor { due, task, order }| {
            let missing = || damaged(format!("order {order} has tasks, but is not there"));
            let order = ORDERS.get(&live.tree, &order)?.ok_or_else(missing)?;
            Ok(DeskTask::of(order, task, due))
        });
        Ok(DeskPage { tasks: shown.collect::<Result<_, ViewError>>()?, next })
    }

    /// Counts the orders that want something of their seller, by what; those sorts are left out that no order is of.
    pub fn desk_counts(&self, seller: AccountId) -> Result<Vec<TaskCount>, ViewError> {
        let live = self.0.ask()?;
        let mut counts = Vec::new();
        for task in SellerTask::ALL {
            let mut rows = rows(&live.tree, seller, task, None);
            let Some(first) = rows.next().transpose()? else { continue };
            let mut orders = 1;
            let mut is_more = false;
            for row in rows {
                row?;
                is_more = orders == TASKS_COUNTED_MAX;
                if is_more {
                    break;
                }
                orders += 1;
            }
            counts.push(TaskCount { task, orders, is_more, due: first.due });
        }
        Ok(counts)
    }
}

/// Reads the rows of a task of a seller's, those that are not before a cursor.
fn rows(
    tree: &Tree,
    seller: AccountId,
    task: SellerTask,
    from: Option<DeskCursor>,
) -> impl Iterator<Item = Result<DeskCursor, ViewError>> {
    let first = OrderId::from_uuid(Uuid::nil());
    let from = match from {
        None => (i64::MIN, first),
        Some(cursor) if cursor.task == task => (cursor.due.ms(), cursor.order),
        // Of what is due at the same time other sorts come before it, or behind it.
        Some(cursor) if task < cursor.task => (cursor.due.ms().saturating_add(1), first),
        Some(cursor) => (cursor.due.ms(), first),
    };
    let of = (seller, task.key());
    TASKS.scan_from(tree, &of, &(of, from)).map(move |row| {
        let (key, ()) = row?;
        let order = key.get(8..).and_then(read_uuid).map(OrderId::from_uuid);
        let (Some(due), Some(order)) = (read_i64(&key), order) else {
            return Err(damaged("a task has no order".to_owned()));
        };
        Ok(DeskCursor { due: Timestamp::from_ms(due), task, order })
    })
}

fn damaged(what: String) -> ViewError {
    ViewError::Damaged { source: what.into() }
}

/// How the rows follow the log.
pub(super) struct DeskFold(Marks<Place>);

impl DeskFold {
    pub(super) fn new() -> Self {
        DeskFold(Marks::new(TASKS))
    }

    /// Notes what an order wants of its seller now in place of what it wanted before.
    pub(super) fn replace(&mut self, order: &Order, before: Dues, now: Dues) {
        if before == now {
            return;
        }
        for task in SellerTask::ALL {
            let (before, now) = (before.get(task), now.get(task));
            if before == now {
                continue;
            }
            let place = |due: Timestamp| ((order.seller, task.key()), (due.ms(), order.order));
            if let Some(due) = before {
                self.0.take(place(due));
            }
            if let Some(due) = now {
                self.0.put(place(due));
            }
        }
    }

    pub(super) fn write(&mut self, tree: &Tree, batch: &mut Batch) -> Result<(), ViewError> {
        self.0.write(tree, batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_is_written() {
        let order = OrderId::from_uuid(Uuid::from_u128(7));
        let cursor = DeskCursor { due: Timestamp::from_ms(1_753_783_200_000), task: SellerTask::Ship, order };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for wrong in ["", "1", "1.2", "1.7.00000000-0000-0000-0000-000000000007", "x.2.y", "1.2.y"] {
            assert_eq!(wrong.parse::<DeskCursor>(), Err(CursorError), "{wrong}");
        }
    }
}
