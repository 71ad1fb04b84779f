//! What an account bought, and what it sold, newest first.
//!
//! | question | key | size per event |
//! |---|---|---|
//! | which orders an account bought, or sold, before some position; of some state | account, position of the first order of 64 | about 22 B for each side when an order is placed, nothing after that |
//!
//! A state is no part of the key: an order would be written anew in two places whenever it changes. So what is not in a state
//! that is asked for is passed over, and no answer looks at more than [`ORDERS_LOOKED_AT_MAX`] orders.

use std::cmp::Reverse;

use events::Position;
use events::ids::{AccountId, OrderId};
use events::order::Placed;
use serde::{Deserialize, Serialize};
use sled::{Batch, Tree};

use super::{ORDERS, Order, OrderStatus, Orders, VERSION};
use crate::table::{Key, Layout, Table};
use crate::view::ViewError;

/// Most orders in one page of a list.
pub const ORDERS_PER_PAGE_MAX: usize = 100;

/// Most orders that are looked at for one page. Who asks for a state that few of many orders are in gets pages that are not full.
pub const ORDERS_LOOKED_AT_MAX: usize = 1_000;

/// Orders of one account that stand in one value of a list. Full values are never written again, so a list costs one
/// write per account and batch, and a page of it a few reads.
const ORDERS_PER_CHUNK: usize = 64;

/// Some orders of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Page {
    /// Newest first.
    pub orders: Vec<Order>,
    /// Pass it as `before` to get the next page; none: this was the last.
    pub next: Option<Position>,
}

/// Whose orders are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Those the account bought.
    Buyer,
    /// Those the account sold.
    Seller,
}

/// Which orders are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderFilter {
    /// All of them.
    #[default]
    All,
    /// Those of which something is left to be shipped, delivered, paid or returned.
    Open,
    /// Those of which nothing is.
    Ended,
    /// Those in this state.
    #[serde(untagged)]
    State(OrderStatus),
}

impl OrderFilter {
    fn is_for(self, order: &Order) -> bool {
        match self {
            OrderFilter::All => true,
            OrderFilter::Open => order.closed_at.is_none(),
            OrderFilter::Ended => order.closed_at.is_some(),
            OrderFilter::State(state) => order.state == state,
        }
    }
}

/// A position, sorted newest first.
impl Key for Reverse<Position> {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&(!self.0).to_be_bytes());
    }
}

/// An account, and the position of a full chunk's first order, or [`NEWEST`] for the chunk that still grows.
type ListKey = (AccountId, Reverse<Position>);
/// Orders with the position they were placed at, oldest first.
type Chunk = Vec<(Position, OrderId)>;
const NEWEST: Reverse<Position> = Reverse(Position::MAX);

const BOUGHT: Layout<ListKey, Chunk> = Layout::new(b'b', VERSION);
const SOLD: Layout<ListKey, Chunk> = Layout::new(b's', VERSION);

impl Orders<'_> {
    /// Lists an account's orders, newest first: those placed before position `before`, or all. A page has at most
    /// `limit` orders, and never more than [`ORDERS_PER_PAGE_MAX`]; it may have fewer though there are more, where
    /// [`ORDERS_LOOKED_AT_MAX`] were looked at for it.
    pub fn list(
        &self,
        side: Side,
        account: AccountId,
        filter: OrderFilter,
        before: Option<Position>,
        limit: usize,
    ) -> Result<Page, ViewError> {
        let limit = limit.clamp(1, ORDERS_PER_PAGE_MAX);
        let live = self.0.ask()?;
        let layout = match side {
            Side::Buyer => BOUGHT,
            Side::Seller => SOLD,
        };
        let last = before.map_or(Position::MAX - 1, |before| before.saturating_sub(1));
        let newest = layout.get(&live.tree, &(account, NEWEST))?.unwrap_or_default();
        // The first full chunk in this range is the newest that begins at or before `last`.
        let (from, to) = ((account, Reverse(last)), (account, Reverse(0)));
        let full = layout.range(&live.tree, &from, &to, 16);
        let mut page = Page { orders: Vec::with_capacity(limit), next: None };
        let (mut looked_at, mut lowest) = (0, None);
        let full = full.map(|pair| pair.map(|(_, chunk)| chunk));
        for chunk in std::iter::once(Ok(newest)).chain(full) {
            for (position, id) in chunk?.into_iter().rev().filter(|(position, _)| *position <= last) {
                if page.orders.len() == limit || looked_at == ORDERS_LOOKED_AT_MAX {
                    page.next = lowest;
                    return Ok(page);
                }
                let found = ORDERS.get(&live.tree, &id)?;
                let order = found.ok_or_else(|| ViewError::Damaged {
                    source: format!("order {id} is listed, but is not there").into(),
                })?;
                page.orders.extend(filter.is_for(&order).then_some(order));
                (looked_at, lowest) = (looked_at + 1, Some(position));
            }
        }
        Ok(page)
    }
}

/// How the lists follow the log.
pub(super) struct ListFold {
    bought: Table<ListKey, Chunk>,
    sold: Table<ListKey, Chunk>,
}

impl ListFold {
    pub(super) fn new() -> Self {
        ListFold { bought: Table::new(BOUGHT), sold: Table::new(SOLD) }
    }

    /// Lists an order that is placed at a position.
    pub(super) fn add(&mut self, tree: &Tree, placed: &Placed, at: Position) -> Result<(), ViewError> {
        for (lists, account) in [(&mut self.bought, placed.buyer), (&mut self.sold, placed.seller)] {
            let newest = lists.entry(tree, &(account, NEWEST))?.get_or_insert_default();
            if newest.len() < ORDERS_PER_CHUNK {
                newest.push((at, placed.order));
                continue;
            }
            let full = std::mem::replace(newest, vec![(at, placed.order)]);
            lists.set((account, Reverse(full[0].0)), Some(full));
        }
        Ok(())
    }

    pub(super) fn write(&mut self, tree: &Tree, batch: &mut Batch) -> Result<(), ViewError> {
        self.bought.write(tree, batch)?;
        self.sold.write(tree, batch)
    }
}
