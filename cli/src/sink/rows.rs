//! The rows of carts and sessions, and what an event does to them. Nothing here waits for anything.
//!
//! A row says at which position of the log it changed last, and an event that it has seen already changes nothing of it. So the same events
//! again, or a database that was ahead, do no harm.

use std::collections::{BTreeMap, BTreeSet};

use events::ids::{AccountId, CartId, ListingId, OrderId, SessionId};
use events::promotion::CouponCode;
use events::step_up::{FactorKind, StepUp};
use events::{Commit, Event, Money, Position, Quantity, Recorded, Timestamp};
use serde::{Deserialize, Serialize};

/// A cart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CartRow {
    pub(super) cart: CartId,
    pub(super) account: AccountId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    pub(super) shared_with: Vec<AccountId>,
    pub(super) version: u64,
    #[serde(flatten)]
    pub(super) state: State,
    pub(super) changed_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) coupon: Option<CouponCode>,
    pub(super) lines: Vec<Line>,
    pub(super) position: Position,
}

/// Whether a cart can be changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(super) enum State {
    Active,
    Frozen { frozen_until: Timestamp },
    Migrated { orders: Vec<OrderId> },
    Merged { merged_into: CartId },
    Abandoned,
}

/// A line of a cart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Line {
    pub(super) listing: ListingId,
    pub(super) quantity: Quantity,
    pub(super) unit_price: Money,
    pub(super) listing_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) kept_price: Option<Money>,
}

/// What an account saved for later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SavedRow {
    pub(super) account: AccountId,
    pub(super) lines: Vec<Line>,
    pub(super) position: Position,
}

/// A session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SessionRow {
    pub(super) session: SessionId,
    pub(super) account: AccountId,
    pub(super) since: Timestamp,
    pub(super) until: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ended_at: Option<Timestamp>,
    pub(super) with_password: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) factor: Option<FactorKind>,
    pub(super) position: Position,
}

/// A row that the log says is there, and that is not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the database lacks {what}, which the log has at position {position} already: somebody took rows out. Remove the tables cart, saved, \
     session and skylink_sink, and start again: all is written anew from the log"
)]
pub(super) struct Missing {
    what: String,
    position: Position,
}

/// Which rows some events are about.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Needed {
    pub(super) carts: BTreeSet<CartId>,
    pub(super) saved: BTreeSet<AccountId>,
    pub(super) sessions: BTreeSet<SessionId>,
    /// Accounts all of whose open sessions end.
    pub(super) signed_out: BTreeSet<AccountId>,
}

impl Needed {
    /// Adds what a commit is about.
    pub(super) fn add(&mut self, commit: &Commit) {
        commit.events().iter().for_each(|recorded| self.add_event(&recorded.event));
    }

    fn add_event(&mut self, event: &Event) {
        if let Some((cart, _)) = cart_of(event) {
            self.carts.insert(cart);
        }
        match event {
            Event::CartMerged(e) => _ = self.carts.insert(e.source.cart),
            Event::CartRestored(e) => _ = self.carts.insert(e.from),
            Event::CartSavedForLater(e) => _ = self.saved.insert(e.account),
            Event::CartMovedBack(e) => _ = self.saved.insert(e.account),
            Event::SessionStarted(e) => _ = self.sessions.insert(e.session),
            Event::SessionEnded(e) => _ = self.sessions.insert(e.session),
            other => self.signed_out.extend(signed_out(other)),
        }
    }

    /// Tells how many rows that is, as far as the events say.
    pub(super) fn len(&self) -> usize {
        self.carts.len() + self.saved.len() + self.sessions.len() + self.signed_out.len()
    }
}

/// Names the cart that an event changes, and the version that it has then.
fn cart_of(event: &Event) -> Option<(CartId, u64)> {
    Some(match event {
        Event::CartItemAdded(e) => (e.cart, e.version),
        Event::CartQuantitySet(e) => (e.cart, e.version),
        Event::CartItemRemoved(e) => (e.cart, e.version),
        Event::CartCleared(e) => (e.cart, e.version),
        Event::CartSavedForLater(e) => (e.cart, e.version),
        Event::CartMovedBack(e) => (e.cart, e.version),
        Event::CartMerged(e) => (e.cart, e.version),
        Event::CartRestored(e) => (e.cart, e.version),
        Event::CartCouponApplied(e) => (e.cart, e.version),
        Event::CartCouponRemoved(e) => (e.cart, e.version),
        Event::CartNamed(e) => (e.cart, e.version),
        Event::CartShared(e) => (e.cart, e.version),
        Event::CartUnshared(e) => (e.cart, e.version),
        Event::CartFrozen(e) => (e.cart, e.version),
        Event::CartUnfrozen(e) => (e.cart, e.version),
        Event::CartMigrated(e) => (e.cart, e.version),
        Event::CartAbandoned(e) => (e.cart, e.version),
        _ => return None,
    })
}

/// Names the account all of whose sessions an event ends.
fn signed_out(event: &Event) -> Option<AccountId> {
    match event {
        Event::PasswordSet(e) => Some(e.account),
        Event::PasswordRemoved(e) => Some(e.account),
        Event::PasskeyRemoved(e) => Some(e.account),
        Event::AccountErased(e) => Some(e.account),
        _ => None,
    }
}

/// The rows that some events are about: as they were found, then as they are to be.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub(super) carts: BTreeMap<CartId, CartRow>,
    pub(super) saved: BTreeMap<AccountId, SavedRow>,
    pub(super) sessions: BTreeMap<SessionId, SessionRow>,
    /// Up to where they were found; what changed since is to be written.
    found_at: BTreeMap<(&'static str, String), Position>,
}

/// Where an event stands.
#[derive(Debug, Clone, Copy)]
struct At {
    position: Position,
    time: Timestamp,
}

impl Rows {
    /// Begins with rows as they were found.
    pub(super) fn found(carts: Vec<CartRow>, saved: Vec<SavedRow>, sessions: Vec<SessionRow>) -> Rows {
        let carts: BTreeMap<_, _> = carts.into_iter().map(|row| (row.cart, row)).collect();
        let saved: BTreeMap<_, _> = saved.into_iter().map(|row| (row.account, row)).collect();
        let sessions: BTreeMap<_, _> = sessions.into_iter().map(|row| (row.session, row)).collect();
        let mut found_at = BTreeMap::new();
        found_at.extend(carts.values().map(|row| (("cart", row.cart.to_string()), row.position)));
        found_at.extend(saved.values().map(|row| (("saved", row.account.to_string()), row.position)));
        found_at.extend(sessions.values().map(|row| (("session", row.session.to_string()), row.position)));
        Rows { carts, saved, sessions, found_at }
    }

    /// Tells whether a row is another than was found.
    pub(super) fn is_changed(&self, table: &'static str, id: String, position: Position) -> bool {
        self.found_at.get(&(table, id)) != Some(&position)
    }

    /// Changes the rows as a commit says.
    pub(super) fn apply(&mut self, commit: &Commit) -> Result<(), Missing> {
        commit.events().iter().try_for_each(|recorded| self.apply_event(recorded))
    }

    fn apply_event(&mut self, recorded: &Recorded) -> Result<(), Missing> {
        let at = At { position: recorded.position, time: recorded.metadata.time };
        match &recorded.event {
            Event::CartItemAdded(e) => {
                let line = Line {
                    listing: e.listing,
                    quantity: e.quantity,
                    unit_price: e.unit_price,
                    listing_version: e.listing_version,
                    kept_price: None,
                };
                self.fill(e.cart, e.account, e.version, at, |cart| cart.put(line));
                Ok(())
            }
            Event::CartSavedForLater(e) => self.save(e, at),
            Event::CartMovedBack(e) => self.move_back(e, at),
            Event::CartMerged(e) => self.merge(e, at),
            Event::CartRestored(e) => self.restore(e, at),
            Event::SessionStarted(e) => {
                self.begin_session(e, at);
                Ok(())
            }
            Event::SessionEnded(e) => {
                let row =
                    self.sessions.get_mut(&e.session).ok_or_else(|| missing("session", e.session, at))?;
                row.end(at);
                Ok(())
            }
            other => {
                if let Some(account) = signed_out(other) {
                    self.sessions
                        .values_mut()
                        .filter(|row| row.account == account)
                        .for_each(|row| row.end(at));
                }
                cart_of(other).map_or(Ok(()), |(cart, version)| {
                    self.change(cart, version, at, |cart| cart.take_note(other)).map(drop)
                })
            }
        }
    }

    /// Changes a cart that may begin here. Nothing happens to one that has seen the event.
    fn fill(
        &mut self,
        id: CartId,
        account: AccountId,
        version: u64,
        at: At,
        change: impl FnOnce(&mut CartRow),
    ) {
        let cart = self.carts.entry(id).or_insert_with(|| CartRow {
            cart: id,
            account,
            name: None,
            shared_with: Vec::new(),
            version: 0,
            state: State::Active,
            changed_at: at.time,
            coupon: None,
            lines: Vec::new(),
            position: 0,
        });
        cart.change(version, at, change);
    }

    /// Changes a cart that is there. Gives whether it had not seen the event yet.
    fn change(
        &mut self,
        id: CartId,
        version: u64,
        at: At,
        change: impl FnOnce(&mut CartRow),
    ) -> Result<bool, Missing> {
        let cart = self.carts.get_mut(&id).ok_or_else(|| missing("cart", id, at))?;
        Ok(cart.change(version, at, change))
    }

    fn saved_of(&mut self, account: AccountId) -> &mut SavedRow {
        self.saved.entry(account).or_insert_with(|| SavedRow { account, lines: Vec::new(), position: 0 })
    }

    fn save(&mut self, event: &events::cart::SavedForLater, at: At) -> Result<(), Missing> {
        let mut taken = None;
        let listing = event.listing;
        if !self.change(event.cart, event.version, at, |cart| taken = cart.take(listing))? {
            return Ok(());
        }
        let line = taken.ok_or_else(|| missing("a line of cart", event.cart, at))?;
        let saved = self.saved_of(event.account);
        saved.lines.retain(|known| known.listing != listing);
        saved.lines.push(Line { quantity: event.quantity, kept_price: None, ..line });
        saved.position = at.position;
        Ok(())
    }

    fn move_back(&mut self, event: &events::cart::MovedBack, at: At) -> Result<(), Missing> {
        let saved = self.saved_of(event.account);
        if at.position <= saved.position {
            return Ok(());
        }
        let found = saved.lines.iter().position(|line| line.listing == event.listing);
        let found = found.ok_or_else(|| missing("a line saved by account", event.account, at))?;
        let line = saved.lines.remove(found);
        saved.position = at.position;
        self.fill(event.cart, event.account, event.version, at, |cart| cart.set(event.quantity, line));
        Ok(())
    }

    fn merge(&mut self, event: &events::cart::Merged, at: At) -> Result<(), Missing> {
        let (source, merged_into) = (&event.source, event.cart);
        self.change(source.cart, source.version, at, |cart| cart.state = State::Merged { merged_into })?;
        let lines = self.carts[&source.cart].lines.clone();
        self.fill(event.cart, event.account, event.version, at, |cart| {
            for line in lines {
                if let Some(merged) = event.lines.iter().find(|merged| merged.listing == line.listing) {
                    cart.set(merged.result, line);
                }
            }
        });
        Ok(())
    }

    fn restore(&mut self, event: &events::cart::Restored, at: At) -> Result<(), Missing> {
        let from = self.carts.get(&event.from).ok_or_else(|| missing("cart", event.from, at))?;
        let lines = from.lines.clone();
        self.fill(event.cart, event.account, event.version, at, |cart| {
            for line in lines {
                if let Some(restored) = event.lines.iter().find(|restored| restored.listing == line.listing) {
                    cart.set(restored.quantity, Line { kept_price: None, ..line });
                }
            }
        });
        Ok(())
    }

    fn begin_session(&mut self, event: &events::sign_in::SessionStarted, at: At) {
        if self.sessions.get(&event.session).is_some_and(|known| at.position <= known.position) {
            return;
        }
        let factor = event.shown.as_ref().map(|shown| match shown {
            StepUp::Webauthn(_) => FactorKind::Webauthn,
            StepUp::Totp(_) => FactorKind::Totp,
            StepUp::Recovery(_) => FactorKind::Recovery,
        });
        let row = SessionRow {
            session: event.session,
            account: event.account,
            since: at.time,
            until: event.until,
            ended_at: None,
            with_password: event.password.is_some(),
            factor,
            position: at.position,
        };
        self.sessions.insert(event.session, row);
    }
}

impl CartRow {
    fn change(&mut self, version: u64, at: At, change: impl FnOnce(&mut CartRow)) -> bool {
        if at.position <= self.position {
            return false;
        }
        (self.version, self.changed_at, self.position) = (version, at.time, at.position);
        change(self);
        true
    }

    /// Changes what an event says that is about this cart alone.
    fn take_note(&mut self, event: &Event) {
        match event {
            Event::CartQuantitySet(e) => {
                if let Some(line) = self.lines.iter_mut().find(|line| line.listing == e.listing) {
                    line.quantity = e.quantity;
                }
            }
            Event::CartItemRemoved(e) => _ = self.take(e.listing),
            Event::CartCleared(_) => self.lines.clear(),
            Event::CartCouponApplied(e) => self.coupon = Some(e.coupon.clone()),
            Event::CartCouponRemoved(_) => self.coupon = None,
            Event::CartNamed(e) => self.name.clone_from(&e.name),
            Event::CartShared(e) => {
                self.shared_with.retain(|known| *known != e.with);
                self.shared_with.push(e.with);
            }
            Event::CartUnshared(e) => self.shared_with.retain(|known| *known != e.with),
            Event::CartFrozen(e) => {
                self.state = State::Frozen { frozen_until: e.until };
                for line in &mut self.lines {
                    let kept = e.prices.iter().find(|kept| kept.listing == line.listing);
                    line.kept_price = kept.map(|kept| kept.unit_price);
                }
            }
            Event::CartUnfrozen(_) => {
                self.state = State::Active;
                self.lines.iter_mut().for_each(|line| line.kept_price = None);
            }
            Event::CartMigrated(e) => self.state = State::Migrated { orders: e.orders.clone() },
            Event::CartAbandoned(_) => self.state = State::Abandoned,
            _ => {}
        }
    }

    fn take(&mut self, listing: ListingId) -> Option<Line> {
        let at = self.lines.iter().position(|line| line.listing == listing)?;
        Some(self.lines.remove(at))
    }

    /// Puts a line in the place of one of the same listing, or behind the others.
    fn put(&mut self, line: Line) {
        match self.lines.iter_mut().find(|known| known.listing == line.listing) {
            Some(known) => *known = line,
            None => self.lines.push(line),
        }
    }

    /// Sets how many units of a line there are; one that is there keeps the price that was seen there.
    fn set(&mut self, quantity: Quantity, line: Line) {
        match self.lines.iter_mut().find(|known| known.listing == line.listing) {
            Some(known) => known.quantity = quantity,
            None => self.lines.push(Line { quantity, ..line }),
        }
    }
}

impl SessionRow {
    fn end(&mut self, at: At) {
        let is_open = self.ended_at.is_none() && at.time < self.until;
        if is_open && self.position < at.position {
            (self.ended_at, self.position) = (Some(at.time), at.position);
        }
    }
}

fn missing(what: &str, id: impl std::fmt::Display, at: At) -> Missing {
    Missing { what: format!("{what} {id}"), position: at.position }
}

#[cfg(test)]
mod tests;
