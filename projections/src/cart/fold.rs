//! How the view of carts follows the log.

use events::ids::{AccountId, CartId, ReservationId};
use events::{Commit, Event, Position, Quantity, Timestamp};
use sled::{Batch, Tree};

use super::shared::{MEMBERS, SHARED};
use super::{ACTIVE, CARTS, CartState, RESERVED, ROWS, Reservation, SAVED, StoredCart, StoredLine};
use crate::listing::Catalogue;
use crate::table::Table;
use crate::view::{Fold, ViewError};

/// How the view follows the log.
pub(crate) struct CartFold {
    carts: Table<CartId, StoredCart>,
    active: Table<AccountId, CartId>,
    saved: Table<AccountId, Vec<StoredLine>>,
    reserved: Table<AccountId, Vec<Reservation>>,
    shared: Table<(AccountId, CartId), ()>,
    members: Table<AccountId, ()>,
    catalogue: Catalogue,
}

impl CartFold {
    pub(crate) fn new() -> Self {
        CartFold {
            carts: Table::new(CARTS),
            active: Table::new(ACTIVE),
            saved: Table::new(SAVED),
            reserved: Table::new(RESERVED),
            shared: Table::new(SHARED),
            members: Table::new(MEMBERS),
            catalogue: Catalogue::new(ROWS),
        }
    }

    /// Gives the cart of an account at a new version; the first event of a cart opens it.
    fn cart_at(
        &mut self,
        tree: &Tree,
        (cart, version): (CartId, u64),
        account: AccountId,
        time: Timestamp,
    ) -> Result<&mut StoredCart, ViewError> {
        let found = self.carts.entry(tree, &cart)?;
        if found.is_none() {
            self.active.set(account, Some(cart));
        }
        let cart = found.get_or_insert_with(|| StoredCart {
            account,
            name: None,
            members: Vec::new(),
            version: 0,
            state: CartState::Active,
            changed_at: time,
            coupon: None,
            lines: Vec::new(),
        });
        (cart.version, cart.changed_at) = (version, time);
        Ok(cart)
    }

    fn add_item(
        &mut self,
        tree: &Tree,
        event: &events::cart::ItemAdded,
        time: Timestamp,
    ) -> Result<(), ViewError> {
        let line = StoredLine {
            listing: event.listing,
            quantity: event.quantity,
            unit_price_seen: event.unit_price,
            listing_version: event.listing_version,
            kept_price: None,
        };
        let cart = self.cart_at(tree, (event.cart, event.version), event.account, time)?;
        match cart.lines.iter_mut().find(|known| known.listing == line.listing) {
            Some(known) => *known = line,
            None => cart.lines.push(line),
        }
        Ok(())
    }

    fn save(
        &mut self,
        tree: &Tree,
        event: &events::cart::SavedForLater,
        at: (Position, Timestamp),
    ) -> Result<(), ViewError> {
        let mut taken = None;
        self.change_cart(tree, (event.cart, event.version), at, |cart| taken = cart.take(event.listing))?;
        let missing = || ViewError::unknown(format_args!("a line of cart {}", event.cart), at.0);
        let line = StoredLine { quantity: event.quantity, ..taken.ok_or_else(missing)? };
        let saved = self.saved.entry(tree, &event.account)?.get_or_insert_default();
        saved.retain(|known| known.listing != line.listing);
        saved.push(line);
        Ok(())
    }

    fn move_back(
        &mut self,
        tree: &Tree,
        event: &events::cart::MovedBack,
        (position, time): (Position, Timestamp),
    ) -> Result<(), ViewError> {
        let found = self.saved.entry(tree, &event.account)?;
        let at = found.iter().flatten().position(|line| line.listing == event.listing);
        let taken = found.as_mut().zip(at).map(|(lines, at)| lines.remove(at));
        if found.as_ref().is_some_and(Vec::is_empty) {
            *found = None;
        }
        let missing =
            || ViewError::unknown(format_args!("a saved line of account {}", event.account), position);
        let line = taken.ok_or_else(missing)?;
        self.cart_at(tree, (event.cart, event.version), event.account, time)?.set(event.quantity, line);
        Ok(())
    }

    /// Puts lines of one cart into another, with the prices that were seen there.
    fn merge(
        &mut self,
        tree: &Tree,
        event: &events::cart::Merged,
        at: (Position, Timestamp),
    ) -> Result<(), ViewError> {
        let source = &event.source;
        let mut taken = Vec::new();
        self.active.set(source.account, None);
        self.change_cart(tree, (source.cart, source.version), at, |cart| {
            cart.state = CartState::Merged { into: event.cart };
            taken.clone_from(&cart.lines);
        })?;
        self.end_sharing(tree, source.cart)?;
        let cart = self.cart_at(tree, (event.cart, event.version), event.account, at.1)?;
        for line in taken {
            if let Some(merged) = event.lines.iter().find(|merged| merged.listing == line.listing) {
                cart.set(merged.result, line);
            }
        }
        Ok(())
    }

    fn restore(
        &mut self,
        tree: &Tree,
        event: &events::cart::Restored,
        (position, time): (Position, Timestamp),
    ) -> Result<(), ViewError> {
        let found = self.carts.entry(tree, &event.from)?.as_ref();
        let missing = || ViewError::unknown(format_args!("cart {}", event.from), position);
        let taken = found.ok_or_else(missing)?.lines.clone();
        let cart = self.cart_at(tree, (event.cart, event.version), event.account, time)?;
        for line in taken {
            if let Some(restored) = event.lines.iter().find(|restored| restored.listing == line.listing) {
                cart.set(restored.quantity, StoredLine { kept_price: None, ..line });
            }
        }
        Ok(())
    }

    fn change_cart(
        &mut self,
        tree: &Tree,
        (cart, version): (CartId, u64),
        (position, time): (Position, Timestamp),
        change: impl FnOnce(&mut StoredCart),
    ) -> Result<(), ViewError> {
        let found = self.carts.entry(tree, &cart)?.as_mut();
        let cart = found.ok_or_else(|| ViewError::unknown(format_args!("cart {cart}"), position))?;
        (cart.version, cart.changed_at) = (version, time);
        change(cart);
        Ok(())
    }

    /// Takes a cart that is no longer filled out of the lists of those that it was shared with.
    fn end_sharing(&mut self, tree: &Tree, cart: CartId) -> Result<(), ViewError> {
        for member in self.carts.entry(tree, &cart)?.iter().flat_map(StoredCart::members) {
            self.shared.set((member, cart), None);
        }
        Ok(())
    }

    fn apply_to_reservations(&mut self, tree: &Tree, event: &Event, at: Position) -> Result<(), ViewError> {
        match event {
            Event::StockReserved(e) => {
                let reservation = Reservation {
                    reservation: e.reservation,
                    listing: e.listing,
                    seller: e.seller,
                    quantity: e.quantity,
                    expires_at: e.expires_at,
                };
                self.reserved.entry(tree, &e.account)?.get_or_insert_default().push(reservation);
                Ok(())
            }
            Event::ReservationExtended(e) => {
                self.change_reservation(tree, e.account, e.reservation, at, |known| {
                    known.expires_at = e.expires_at;
                    true
                })
            }
            Event::ReservationTakenUp(e) => {
                self.change_reservation(tree, e.account, e.reservation, at, |known| {
                    let left = Quantity::new(e.left);
                    known.quantity = left.clone().unwrap_or(known.quantity);
                    left.is_ok()
                })
            }
            Event::ReservationReleased(e) => {
                self.change_reservation(tree, e.account, e.reservation, at, |_| false)
            }
            Event::ReservationExpired(e) => {
                self.change_reservation(tree, e.account, e.reservation, at, |_| false)
            }
            _ => Ok(()),
        }
    }

    /// Changes a reservation, and forgets it if nothing is left of it.
    fn change_reservation(
        &mut self,
        tree: &Tree,
        account: AccountId,
        reservation: ReservationId,
        position: Position,
        change: impl FnOnce(&mut Reservation) -> bool,
    ) -> Result<(), ViewError> {
        let missing = || ViewError::unknown(format_args!("reservation {reservation}"), position);
        let found = self.reserved.entry(tree, &account)?;
        let known = found.as_mut().ok_or_else(missing)?;
        let at = known.iter().position(|known| known.reservation == reservation).ok_or_else(missing)?;
        if !change(&mut known[at]) {
            known.remove(at);
        }
        if known.is_empty() {
            *found = None;
        }
        Ok(())
    }

    fn apply_to_cart(
        &mut self,
        tree: &Tree,
        event: &Event,
        at: (Position, Timestamp),
    ) -> Result<(), ViewError> {
        match event {
            Event::CartItemAdded(e) => self.add_item(tree, e, at.1),
            Event::CartQuantitySet(e) => self.change_cart(tree, (e.cart, e.version), at, |cart| {
                let mut lines = cart.lines.iter_mut();
                if let Some(line) = lines.find(|line| line.listing == e.listing) {
                    line.quantity = e.quantity;
                }
            }),
            Event::CartItemRemoved(e) => self.change_cart(tree, (e.cart, e.version), at, |cart| {
                cart.take(e.listing);
            }),
            Event::CartCleared(e) => {
                self.change_cart(tree, (e.cart, e.version), at, |cart| cart.lines.clear())
            }
            Event::CartSavedForLater(e) => self.save(tree, e, at),
            Event::CartMovedBack(e) => self.move_back(tree, e, at),
            Event::CartMerged(e) => self.merge(tree, e, at),
            Event::CartRestored(e) => self.restore(tree, e, at),
            Event::CartCouponApplied(e) => {
                let coupon = Some(e.coupon.clone());
                self.change_cart(tree, (e.cart, e.version), at, |cart| cart.coupon = coupon)
            }
            Event::CartCouponRemoved(e) => {
                self.change_cart(tree, (e.cart, e.version), at, |cart| cart.coupon = None)
            }
            Event::CartNamed(e) => {
                self.change_cart(tree, (e.cart, e.version), at, |cart| cart.name.clone_from(&e.name))
            }
            Event::CartShared(e) => {
                self.shared.set((e.with, e.cart), Some(()));
                self.members.set(e.with, Some(()));
                self.change_cart(tree, (e.cart, e.version), at, |cart| cart.share(e.with, at.0))
            }
            Event::CartUnshared(e) => {
                self.shared.set((e.with, e.cart), None);
                self.change_cart(tree, (e.cart, e.version), at, |cart| cart.unshare(e.with, at.0))
            }
            Event::CartFrozen(e) => self.change_cart(tree, (e.cart, e.version), at, |cart| {
                cart.state = CartState::Frozen { until: e.until };
                for line in &mut cart.lines {
                    let kept = e.prices.iter().find(|kept| kept.listing == line.listing);
                    line.kept_price = kept.map(|kept| kept.unit_price);
                }
            }),
            Event::CartUnfrozen(e) => self.change_cart(tree, (e.cart, e.version), at, |cart| {
                cart.state = CartState::Active;
                cart.lines.iter_mut().for_each(|line| line.kept_price = None);
            }),
            Event::CartMigrated(e) => {
                self.active.set(e.account, None);
                self.change_cart(tree, (e.cart, e.version), at, |cart| {
                    cart.state = CartState::Migrated { orders: e.orders.clone() };
                })?;
                self.end_sharing(tree, e.cart)
            }
            Event::CartAbandoned(e) => {
                self.active.set(e.account, None);
                self.change_cart(tree, (e.cart, e.version), at, |cart| cart.state = CartState::Abandoned)?;
                self.end_sharing(tree, e.cart)
            }
            _ => Ok(()),
        }
    }
}

impl Fold for CartFold {
    fn apply(&mut self, tree: &Tree, commit: &Commit) -> Result<(), ViewError> {
        for recorded in commit.events() {
            self.catalogue.apply(tree, recorded)?;
            self.apply_to_cart(tree, &recorded.event, (recorded.position, recorded.metadata.time))?;
            self.apply_to_reservations(tree, &recorded.event, recorded.position)?;
        }
        Ok(())
    }

    fn write(&mut self, tree: &Tree, batch: &mut Batch) -> Result<(), ViewError> {
        self.carts.write(tree, batch)?;
        self.active.write(tree, batch)?;
        self.saved.write(tree, batch)?;
        self.reserved.write(tree, batch)?;
        self.shared.write(tree, batch)?;
        self.members.write(tree, batch)?;
        self.catalogue.write(tree, batch)
    }
}
