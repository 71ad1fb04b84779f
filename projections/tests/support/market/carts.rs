//! What buyers of the random market do with their carts, and with those that others share with them.

use events::cart::{Cleared, ItemAdded, ItemRemoved, QuantitySet, Shared, Unshared};
use events::ids::AccountId;
use events::{Event, Money};

use super::{BUYERS, Basket, Market, Wish, account, cart, units};

impl Basket {
    /// Tells who else than its owner does what is wished, if anybody does.
    fn filled_by(&self, wish: Wish) -> Option<AccountId> {
        self.members.first().copied().filter(|_| wish.which % 2 == 1)
    }
}

impl Market {
    /// Shares a cart with another buyer, or does not any more; sometimes he leaves it himself.
    pub(super) fn share_cart(&mut self, buyer: AccountId, wish: Wish) {
        let with = account((wish.who + 1 + wish.which as u64 % (BUYERS - 1)) % BUYERS);
        let Some(basket) = self.baskets.get_mut(&buyer) else { return };
        basket.version += 1;
        let (cart, version) = (basket.id, basket.version);
        if !basket.members.contains(&with) {
            basket.members.push(with);
            let shared = Shared { account: buyer, cart, version, with };
            self.history.commanded(buyer, "cart.share", vec![shared.into()]);
            return;
        }
        basket.members.retain(|member| *member != with);
        let by = (wish.quantity % 2 == 1).then_some(with);
        let command = if by.is_some() { "cart.leave" } else { "cart.unshare" };
        let unshared = Unshared { account: buyer, by, cart, version, with };
        self.history.commanded(by.unwrap_or(buyer), command, vec![unshared.into()]);
    }

    pub(super) fn add_to_cart(&mut self, buyer: AccountId, item: usize, wish: Wish) {
        let added = wish.quantity;
        let carts = &mut self.carts;
        let basket = self.baskets.entry(buyer).or_insert_with(|| {
            *carts += 1;
            Basket { id: cart(*carts), version: 0, lines: Vec::new(), members: Vec::new() }
        });
        basket.version += 1;
        let by = basket.filled_by(wish);
        let line = match basket.lines.iter().position(|(known, _)| *known == item) {
            Some(at) => &mut basket.lines[at],
            None => {
                basket.lines.push((item, 0));
                basket.lines.last_mut().unwrap()
            }
        };
        line.1 += added;
        // Now and then the buyer saw another price than the listing has.
        let seen =
            Money { minor: self.items[item].price.minor - i64::from(added == 5), ..self.items[item].price };
        let event = ItemAdded {
            account: buyer,
            added: units(added),
            by,
            cart: basket.id,
            listing: self.items[item].id,
            listing_version: self.items[item].version,
            quantity: units(line.1),
            unit_price: seen,
            version: basket.version,
        };
        self.history.commanded(by.unwrap_or(buyer), "cart.add", vec![event.into()]);
    }

    pub(super) fn change_cart(&mut self, buyer: AccountId, wish: Wish) {
        let Some(basket) = self.baskets.get_mut(&buyer) else { return };
        if basket.lines.is_empty() {
            return;
        }
        basket.version += 1;
        let (id, version, by) = (basket.id, basket.version, basket.filled_by(wish));
        let at = wish.which % basket.lines.len();
        let listing = self.items[basket.lines[at].0].id;
        let event: Event = match wish.quantity {
            1 => {
                basket.lines.clear();
                Cleared { account: buyer, by, cart: id, version }.into()
            }
            2 => {
                basket.lines.remove(at);
                ItemRemoved { account: buyer, by, cart: id, listing, version }.into()
            }
            more => {
                basket.lines[at].1 = more;
                QuantitySet { account: buyer, by, cart: id, listing, quantity: units(more), version }.into()
            }
        };
        self.history.commanded(by.unwrap_or(buyer), "cart.change", vec![event]);
    }

    pub(super) fn migrate(&mut self, buyer: AccountId) {
        let Some(basket) = self.baskets.get(&buyer).cloned() else { return };
        if !basket.lines.is_empty() {
            self.place(buyer, Some(basket.clone()), basket.lines);
        }
    }
}
