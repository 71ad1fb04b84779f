//! Units that buyers set aside for a while before they order them, where a seller lets them.
//!
//! What is set aside is reserved like the units of an open order. An order of the same buyer takes it first, in the commit
//! that places the order; what no order has taken when the time is over is free again. The log decides which comes first.

use std::collections::BTreeMap;

use events::account::Role;
use events::ids::{AccountId, CommandId, ListingId, OrderId, ReservationId};
use events::metadata::{DeadlineStamp, Waiting};
use events::order::Line;
use events::reservation::{Allowed, Expired, Extended, Released, Reserved, TakenUp};
use events::{Event, Quantity, Rejection, Timestamp};
use serde::{Deserialize, Serialize};

use crate::command::{
    AllowReservations, ExtendReservation, RESERVATION_MS_MAX, ReleaseReservation, ReserveStock,
};
use crate::listing::{Listing, check_sale, owned};
use crate::market::Market;
use crate::validate::{check_buyer, check_limits};

/// Most reservations of one account that are open at a time. Each is of another listing, and an order may take them all.
pub const OPEN_RESERVATIONS_MAX: usize = 20;

/// How a listing's units can be reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// The most units of one buyer; never 0.
    pub units: u64,
    /// For how long.
    pub for_ms: i64,
}

/// Units that a buyer has set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    /// The buyer.
    pub account: AccountId,
    /// The listing.
    pub listing: ListingId,
    /// Who sells.
    pub seller: AccountId,
    /// What is left of it.
    pub quantity: Quantity,
    /// When it was made.
    pub since: Timestamp,
    /// When what is left of it is free again.
    pub expires_at: Timestamp,
}

impl Reservation {
    fn deadline(&self, reservation: ReservationId) -> DeadlineStamp {
        DeadlineStamp { due: self.expires_at, waiting: Waiting::ReservationExpires { reservation } }
    }

    fn units(&self) -> u64 {
        u64::from(self.quantity.get())
    }
}

/// All reservations that are open.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Reservations {
    open: BTreeMap<ReservationId, Reservation>,
    /// Each account's, by their listings.
    of_accounts: BTreeMap<AccountId, BTreeMap<ListingId, ReservationId>>,
}

impl Reservations {
    /// Finds an open reservation.
    pub fn get(&self, reservation: ReservationId) -> Option<&Reservation> {
        self.open.get(&reservation)
    }

    /// Gives every open reservation.
    pub fn iter(&self) -> impl Iterator<Item = (&ReservationId, &Reservation)> {
        self.open.iter()
    }

    /// Finds what an account has set aside of a listing.
    pub fn of(&self, account: AccountId, listing: ListingId) -> Option<(ReservationId, &Reservation)> {
        let id = *self.of_accounts.get(&account)?.get(&listing)?;
        Some((id, self.open.get(&id)?))
    }

    /// Counts the units that an account has set aside of a listing.
    pub fn units_of(&self, account: AccountId, listing: ListingId) -> u64 {
        self.of(account, listing).map_or(0, |(_, reservation)| reservation.units())
    }

    /// Counts the open reservations of an account.
    pub fn count_of(&self, account: AccountId) -> usize {
        self.of_accounts.get(&account).map_or(0, BTreeMap::len)
    }

    fn known(&mut self, reservation: ReservationId) -> &mut Reservation {
        self.open.get_mut(&reservation).expect("an event about a reservation follows its making")
    }

    fn end(&mut self, reservation: ReservationId) {
        let ended = self.open.remove(&reservation).expect("only an open reservation ends");
        if let Some(of) = self.of_accounts.get_mut(&ended.account) {
            of.remove(&ended.listing);
            if of.is_empty() {
                self.of_accounts.remove(&ended.account);
            }
        }
    }
}

impl Market {
    pub(crate) fn reservations_allowed(&mut self, event: &Allowed) {
        let Allowed { for_ms, listing, units } = *event;
        let terms = (units > 0).then(|| Box::new(Terms { units, for_ms }));
        self.listings.allow_reservations(listing, terms);
    }

    pub(crate) fn stock_reserved(&mut self, event: &Reserved) {
        let Reserved { account, expires_at, listing, quantity, reservation: id, seller } = *event;
        let reservation = Reservation { account, listing, seller, quantity, since: self.time, expires_at };
        self.listings.reserve(listing, reservation.units(), 0, &[]);
        self.listings.change_stock(listing, |stock| {
            stock.set_aside = stock.set_aside.checked_add(reservation.units())?;
            Some(())
        });
        self.waiting.insert(reservation.deadline(id));
        self.reservations.of_accounts.entry(account).or_default().insert(listing, id);
        self.reservations.open.insert(id, reservation);
    }

    pub(crate) fn reservation_extended(&mut self, event: &Extended) {
        let reservation = self.reservations.known(event.reservation);
        self.waiting.remove(&reservation.deadline(event.reservation));
        reservation.expires_at = event.expires_at;
        self.waiting.insert(reservation.deadline(event.reservation));
    }

    /// Takes units out of a reservation, which ends with its last one.
    pub(crate) fn reservation_lessened(&mut self, id: ReservationId, by: Quantity) {
        let reservation = self.reservations.known(id);
        let (listing, units, deadline) = (reservation.listing, u64::from(by.get()), reservation.deadline(id));
        let left = reservation.quantity.get().checked_sub(by.get());
        match Quantity::new(left.expect("no more units leave a reservation than it has")) {
            Ok(left) => reservation.quantity = left,
            Err(_) => {
                self.waiting.remove(&deadline);
                self.reservations.end(id);
            }
        }
        self.listings.change_stock(listing, |stock| {
            stock.set_aside = stock.set_aside.checked_sub(units)?;
            stock.unreserve(units, &[])
        });
    }
}

pub(crate) fn decide_allow(
    market: &Market,
    seller: AccountId,
    command: &AllowReservations,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let AllowReservations { for_ms, listing, units } = *command;
    let (units, for_ms) = (units.get(), for_ms.unwrap_or_default().ms());
    let now = owned(market, seller, listing)?.reservable.as_deref().copied();
    let wanted = (units > 0).then_some(Terms { units, for_ms });
    Ok(if now == wanted { vec![] } else { vec![Allowed { for_ms, listing, units }.into()] })
}

pub(crate) fn decide_reserve(
    market: &Market,
    account: AccountId,
    command_id: CommandId,
    command: &ReserveStock,
    now: Timestamp,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let ReserveStock { listing, quantity } = *command;
    let Some(known) = market.listings.get(listing) else {
        return Err(vec![Rejection::ListingUnknown { listing }]);
    };
    let mut reasons = reasons_against(market, account, listing, known);
    check_limits(listing, quantity.get(), known, &mut reasons);
    let requested = u64::from(quantity.get());
    if let Some(terms) = &known.reservable
        && requested > terms.units
    {
        reasons.push(Rejection::ReservationLimit { listing, max: terms.units });
    }
    let available = known.available();
    if requested > available {
        reasons.push(Rejection::InsufficientStock { listing, requested, available });
    }
    if let Some((reservation, _)) = market.reservations.of(account, listing) {
        reasons.push(Rejection::ReservationExists { listing, reservation });
    } else if market.reservations.count_of(account) >= OPEN_RESERVATIONS_MAX {
        reasons.push(Rejection::TooManyReservations { max: OPEN_RESERVATIONS_MAX as u32 });
    }
    let Some(terms) = known.reservable.as_ref().filter(|_| reasons.is_empty()) else { return Err(reasons) };
    let (expires_at, seller) = (now.plus_ms(terms.for_ms), known.seller);
    let reservation = ReservationId::derive(account, command_id);
    Ok(vec![Reserved { account, expires_at, listing, quantity, reservation, seller }.into()])
}

/// Finds why a buyer can't set units of a listing aside, or keep them for longer, whatever their number.
fn reasons_against(market: &Market, buyer: AccountId, listing: ListingId, known: &Listing) -> Vec<Rejection> {
    let mut reasons = Vec::new();
    if known.reservable.is_none() {
        reasons.push(Rejection::ReservationsOff { listing });
    }
    check_sale(market, listing, known, &mut reasons);
    check_buyer(market, buyer, listing, known, &mut reasons);
    reasons
}

fn open(market: &Market, id: ReservationId) -> Result<&Reservation, Vec<Rejection>> {
    market.reservations.get(id).ok_or_else(|| vec![Rejection::ReservationUnknown { reservation: id }])
}

pub(crate) fn decide_extend(
    market: &Market,
    buyer: AccountId,
    command: &ExtendReservation,
    now: Timestamp,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let id = command.reservation;
    let Reservation { account, listing, seller, since, expires_at, .. } = *open(market, id)?;
    if account != buyer {
        return Err(vec![Rejection::NotYourReservation { reservation: id }]);
    }
    let known = market.listings.get(listing).expect("what is reserved is listed");
    let mut reasons = reasons_against(market, buyer, listing, known);
    let latest = since.plus_ms(RESERVATION_MS_MAX);
    if expires_at >= latest {
        reasons.push(Rejection::ReservationLongest { latest, reservation: id });
    }
    let Some(terms) = known.reservable.as_ref().filter(|_| reasons.is_empty()) else { return Err(reasons) };
    let until = now.plus_ms(terms.for_ms).min(latest);
    if until <= expires_at {
        return Ok(vec![]);
    }
    Ok(vec![Extended { account, expires_at: until, listing, reservation: id, seller }.into()])
}

pub(crate) fn decide_release(
    market: &Market,
    asker: AccountId,
    command: &ReleaseReservation,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let id = command.reservation;
    let Reservation { account, listing, seller, quantity, .. } = *open(market, id)?;
    let by = match account == asker {
        true => Role::Buyer,
        false if market.accounts.has_role(asker, Role::Operator) => Role::Operator,
        false => return Err(vec![Rejection::NotYourReservation { reservation: id }]),
    };
    Ok(vec![Released { account, by, listing, quantity, reservation: id, seller }.into()])
}

/// Frees what no order has taken in time.
pub(crate) fn decide_expired(market: &Market, id: ReservationId) -> Vec<Event> {
    let open = market.reservations.get(id).expect("a deadline leaves with its reservation");
    let Reservation { account, listing, seller, quantity, .. } = *open;
    vec![Expired { account, listing, quantity, reservation: id, seller }.into()]
}

/// Says what lines of an order take of what its buyer has set aside.
pub(crate) fn take_up(market: &Market, account: AccountId, order: OrderId, lines: &[Line]) -> Vec<Event> {
    let taken = lines.iter().filter_map(|line| {
        let (reservation, open) = market.reservations.of(account, line.listing)?;
        let quantity = open.quantity.min(line.quantity);
        let left = open.quantity.get() - quantity.get();
        let (listing, seller) = (line.listing, open.seller);
        Some(TakenUp { account, left, listing, order, quantity, reservation, seller }.into())
    });
    taken.collect()
}
