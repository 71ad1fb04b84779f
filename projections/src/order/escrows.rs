//! What is held in escrow, by what it waits for and since when. It is kept as sums by the hour, so that asking costs as little
//! in a market with a million open orders as in one with ten.

use std::collections::BTreeMap;

use events::{Currency, Position, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sled::{Batch, Tree};

use super::{EscrowAxis, Order, Orders, Step, VERSION};
use crate::table::{Key, Layout, Table};
use crate::view::ViewError;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// Upper bounds of the ages that escrows are counted in, in milliseconds, exclusive: 1, 3, 7, 14 and 30 days. What is older is
/// counted in one more.
pub const ESCROW_AGE_BOUNDS_MS: [i64; 5] = [DAY_MS, 3 * DAY_MS, 7 * DAY_MS, 14 * DAY_MS, 30 * DAY_MS];

/// What the money of an order waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EscrowState {
    /// The rest of it is not paid yet.
    AwaitingPayment,
    /// Nothing of it is on its way.
    ToShip,
    /// Units are on their way.
    InDelivery,
    /// What was shipped has arrived, and is inspected.
    Inspection,
    /// Some of it is frozen, and somebody has to decide.
    Disputed,
    /// Some of it is frozen, since units are to come back.
    Returning,
}

impl EscrowState {
    /// Every state, in the order in which most orders go through them.
    pub const ALL: [EscrowState; 6] = [
        EscrowState::AwaitingPayment,
        EscrowState::ToShip,
        EscrowState::InDelivery,
        EscrowState::Inspection,
        EscrowState::Disputed,
        EscrowState::Returning,
    ];

    const fn key(self) -> u8 {
        match self {
            EscrowState::AwaitingPayment => b'a',
            EscrowState::ToShip => b's',
            EscrowState::InDelivery => b'd',
            EscrowState::Inspection => b'i',
            EscrowState::Disputed => b'f',
            EscrowState::Returning => b'r',
        }
    }
}

/// The escrows of one currency, in minor units.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Escrows {
    /// The currency.
    pub currency: Currency,
    /// Orders whose money is held.
    pub orders: u64,
    /// How much is held, frozen money too.
    pub held: i64,
    /// The begin of the hour since which the oldest of it is held.
    pub oldest_since: Timestamp,
    /// By what it waits for; those that nothing waits for are left out.
    pub states: Vec<EscrowsInState>,
}

/// The escrows that wait for the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct EscrowsInState {
    /// What they wait for.
    pub state: EscrowState,
    /// Orders whose money is held.
    pub orders: u64,
    /// How much is held, frozen money too.
    pub held: i64,
    /// The begin of the hour since which the oldest of it is held.
    pub oldest_since: Timestamp,
    /// By age, youngest first; each order is in one.
    pub ages: Vec<EscrowsOfAge>,
}

/// The escrows of some age, which is how long money of the order has been held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct EscrowsOfAge {
    /// They are younger than this, in milliseconds; none for the last.
    pub below_ms: Option<i64>,
    /// Orders whose money is held.
    pub orders: u64,
    /// How much is held.
    pub held: i64,
}

/// What orders hold together that began to hold in the same hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Sum {
    place: HeldIn,
    orders: u64,
    minor: i64,
}

/// Where an order's money is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct HeldIn {
    currency: Currency,
    state: EscrowState,
    /// Hours since 1970.
    hour: i64,
}

impl Key for HeldIn {
    fn write(&self, out: &mut Vec<u8>) {
        self.currency.write(out);
        self.state.key().write(out);
        self.hour.write(out);
    }
}

const HELD: Layout<HeldIn, Sum> = Layout::new(b'e', VERSION);

/// What an order holds, and where that is counted.
pub(super) struct Holding {
    place: HeldIn,
    minor: i64,
}

impl Order {
    /// Gives what it holds; none: nothing.
    pub(super) fn holding(&self) -> Option<Holding> {
        let minor = self.escrow.remaining.checked_add(self.escrow.frozen)?;
        let state = match self.axes.escrow {
            EscrowAxis::Created => EscrowState::AwaitingPayment,
            EscrowAxis::Funded { .. } => EscrowState::ToShip,
            EscrowAxis::InDelivery { .. } => EscrowState::InDelivery,
            EscrowAxis::Inspection { .. } => EscrowState::Inspection,
            EscrowAxis::Disputed { .. } => EscrowState::Disputed,
            EscrowAxis::Returning { .. } => EscrowState::Returning,
            EscrowAxis::Released { .. } | EscrowAxis::Refunded { .. } | EscrowAxis::Split { .. } => {
                return None;
            }
        };
        let is_begin = |step: Step| matches!(step, Step::EscrowHeld | Step::EscrowSubsidized);
        let since = self.timeline.iter().find(|entry| is_begin(entry.step))?.time;
        let hour = since.ms().div_euclid(HOUR_MS);
        (minor != 0)
            .then_some(Holding { place: HeldIn { currency: self.escrow.currency, state, hour }, minor })
    }
}

/// How the sums follow the log.
pub(super) struct HeldFold(Table<HeldIn, Sum>);

impl HeldFold {
    pub(super) fn new() -> Self {
        HeldFold(Table::new(HELD))
    }

    /// Counts what an order holds now in place of what it held before.
    pub(super) fn replace(
        &mut self,
        tree: &Tree,
        before: Option<Holding>,
        now: Option<Holding>,
        position: Position,
    ) -> Result<(), ViewError> {
        let overflow = || ViewError::overflow("what is held in escrow", position);
        if let Some(Holding { place, minor }) = before {
            let found = self.0.entry(tree, &place)?;
            let counted = found.as_mut().ok_or_else(overflow)?;
            counted.orders = counted.orders.checked_sub(1).ok_or_else(overflow)?;
            counted.minor = counted.minor.checked_sub(minor).ok_or_else(overflow)?;
            if counted.orders == 0 {
                *found = None;
            }
        }
        if let Some(Holding { place, minor }) = now {
            let found = self.0.entry(tree, &place)?;
            let counted = found.get_or_insert(Sum { place, orders: 0, minor: 0 });
            counted.orders = counted.orders.checked_add(1).ok_or_else(overflow)?;
            counted.minor = counted.minor.checked_add(minor).ok_or_else(overflow)?;
        }
        Ok(())
    }

    pub(super) fn write(&mut self, tree: &Tree, batch: &mut Batch) -> Result<(), ViewError> {
        self.0.write(tree, batch)
    }
}

impl Orders<'_> {
    /// Sums what is held in escrow, by currency, by what it waits for and by its age at `now`. An age is counted from the begin of
    /// the hour in which the first money of the order was held.
    pub fn escrows(&self, now: Timestamp) -> Result<Vec<Escrows>, ViewError> {
        let live = self.0.ask()?;
        let overflow = || ViewError::overflow("what is held in escrow", live.head.position);
        let mut states: BTreeMap<(Currency, EscrowState), EscrowsInState> = BTreeMap::new();
        for row in HELD.scan(&live.tree, &()) {
            let Sum { place: HeldIn { currency, state, hour }, orders, minor } = row?.1;
            let since = Timestamp::from_ms(hour.saturating_mul(HOUR_MS));
            let sums = states.entry((currency, state)).or_insert_with(|| EscrowsInState {
                state,
                orders: 0,
                held: 0,
                oldest_since: since,
                ages: ages(),
            });
            let age_ms = now.ms_since(since);
            let of_age = ESCROW_AGE_BOUNDS_MS.partition_point(|bound_ms| *bound_ms <= age_ms);
            let of_age = &mut sums.ages[of_age];
            for (counted, held) in
                [(&mut sums.orders, &mut sums.held), (&mut of_age.orders, &mut of_age.held)]
            {
                *counted = counted.checked_add(orders).ok_or_else(overflow)?;
                *held = held.checked_add(minor).ok_or_else(overflow)?;
            }
            sums.oldest_since = sums.oldest_since.min(since);
        }
        let mut all: Vec<Escrows> = Vec::new();
        for ((currency, _), state) in states {
            if all.last().is_none_or(|last| last.currency != currency) {
                let oldest_since = state.oldest_since;
                all.push(Escrows { currency, orders: 0, held: 0, oldest_since, states: Vec::new() });
            }
            if let Some(sums) = all.last_mut() {
                sums.orders = sums.orders.checked_add(state.orders).ok_or_else(overflow)?;
                sums.held = sums.held.checked_add(state.held).ok_or_else(overflow)?;
                sums.oldest_since = sums.oldest_since.min(state.oldest_since);
                sums.states.push(state);
            }
        }
        Ok(all)
    }
}

/// Makes a count of nothing for each age.
fn ages() -> Vec<EscrowsOfAge> {
    let bounds = ESCROW_AGE_BOUNDS_MS.into_iter().map(Some).chain([None]);
    bounds.map(|below_ms| EscrowsOfAge { below_ms, orders: 0, held: 0 }).collect()
}
