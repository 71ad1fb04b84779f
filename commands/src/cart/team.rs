//! A cart's name, and the accounts that fill it together with its owner. They change its lines; he alone buys it.

use std::collections::BTreeSet;

use events::account::Role;
use events::cart::{Named, Shared, Unshared};
use events::ids::{AccountId, CartId};
use events::{Event, Rejection};
use serde::{Deserialize, Serialize};

use super::{Cart, active};
use crate::account::in_role;
use crate::command::{Command, LeaveCart, NameCart, ShareCart, UnshareCart};
use crate::market::Market;

/// Most accounts that a cart can be shared with.
pub const MEMBERS_MAX: usize = 16;

/// A cart's name, and who else fills it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Team {
    /// What its owner calls it.
    pub name: Option<String>,
    /// Whom it is shared with; at most [`MEMBERS_MAX`].
    pub members: BTreeSet<AccountId>,
}

impl Cart {
    /// Tells whether its owner shares it with an account.
    pub fn is_shared_with(&self, account: AccountId) -> bool {
        self.team.as_ref().is_some_and(|team| team.members.contains(&account))
    }

    /// Changes its name or who fills it; a cart with neither keeps nothing of them.
    fn change_team(&mut self, change: impl FnOnce(&mut Team)) {
        let mut team = self.team.take().unwrap_or_default();
        change(&mut team);
        self.team = (*team != Team::default()).then_some(team);
    }
}

impl Market {
    pub(crate) fn cart_named(&mut self, event: &Named) {
        self.change_cart(event.account, |owner| {
            let cart = owner.cart_at(event.cart, event.version);
            cart.change_team(|team| team.name.clone_from(&event.name));
        });
    }

    pub(crate) fn cart_shared(&mut self, event: &Shared) {
        self.change_cart(event.account, |owner| {
            let cart = owner.cart_at(event.cart, event.version);
            cart.change_team(|team| _ = team.members.insert(event.with));
        });
    }

    pub(crate) fn cart_unshared(&mut self, event: &Unshared) {
        self.change_cart(event.account, |owner| {
            let cart = owner.cart_at(event.cart, event.version);
            cart.change_team(|team| _ = team.members.remove(&event.with));
        });
    }
}

/// The active cart that a command of an account is about: whose it is, and the cart if there is one.
pub(super) struct Filled<'a> {
    pub(super) owner: AccountId,
    pub(super) cart: Option<&'a Cart>,
    /// Who fills it, if that is not its owner.
    pub(super) by: Option<AccountId>,
}

/// Finds the cart that an account means: its own or, where it names an owner, the one that is shared with it. What others have,
/// and whether they have any, is told to nobody.
pub(super) fn filled(
    market: &Market,
    account: AccountId,
    owner: Option<AccountId>,
) -> Result<Filled<'_>, Vec<Rejection>> {
    let owner = owner.unwrap_or(account);
    let cart = active(market, owner);
    if owner == account {
        return Ok(Filled { owner, cart, by: None });
    }
    match cart.filter(|cart| cart.is_shared_with(account)) {
        Some(cart) => Ok(Filled { owner, cart: Some(cart), by: Some(account) }),
        None => Err(vec![Rejection::CartNotShared { account: owner }]),
    }
}

/// Gives the version of the cart that a command is about, 0 where there is none.
pub(crate) fn version(market: &Market, account: AccountId, command: &Command) -> u64 {
    let owner = match command {
        Command::AddToCart(body) => body.owner,
        Command::SetCartQuantity(body) => body.owner,
        Command::RemoveFromCart(body) => body.owner,
        Command::ClearCart(body) => body.owner,
        Command::LeaveCart(body) => Some(body.owner),
        _ => None,
    };
    let cart = filled(market, account, owner).ok().and_then(|filled| filled.cart);
    cart.map_or(0, |cart| cart.version)
}

pub(crate) fn decide_name(
    market: &Market,
    account: AccountId,
    command: &NameCart,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let cart = active(market, account).ok_or_else(|| vec![Rejection::CartMissing])?;
    let name = command.name.as_ref().map(|name| name.as_str().to_owned());
    if cart.team.as_ref().and_then(|team| team.name.as_ref()) == name.as_ref() {
        return Ok(vec![]);
    }
    Ok(vec![Named { account, cart: cart.id, name, version: cart.version + 1 }.into()])
}

/// Finds the active cart of an account by its id.
fn own(market: &Market, account: AccountId, id: CartId) -> Result<&Cart, Vec<Rejection>> {
    let cart = active(market, account).filter(|cart| cart.id == id);
    cart.ok_or_else(|| vec![Rejection::CartUnknown { cart: id }])
}

pub(crate) fn decide_share(
    market: &Market,
    account: AccountId,
    command: &ShareCart,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let ShareCart { cart: id, with } = *command;
    let cart = own(market, account, id)?;
    if with == account {
        return Err(vec![Rejection::OwnCart { cart: id }]);
    }
    if cart.is_shared_with(with) {
        return Ok(vec![]);
    }
    in_role(market, with, Role::Buyer)?;
    if cart.team.as_ref().is_some_and(|team| team.members.len() >= MEMBERS_MAX) {
        return Err(vec![Rejection::TooManyMembers { max: MEMBERS_MAX as u32 }]);
    }
    Ok(vec![Shared { account, cart: id, version: cart.version + 1, with }.into()])
}

pub(crate) fn decide_unshare(
    market: &Market,
    account: AccountId,
    command: &UnshareCart,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let UnshareCart { cart: id, with } = *command;
    let cart = own(market, account, id)?;
    if !cart.is_shared_with(with) {
        // What shall be gone is not there: the wish is fact.
        return Ok(vec![]);
    }
    Ok(vec![Unshared { account, by: None, cart: id, version: cart.version + 1, with }.into()])
}

/// Decides that somebody leaves another's cart. Whom none is shared with has left it: that tells him nothing of what there is.
pub(crate) fn decide_leave(
    market: &Market,
    account: AccountId,
    command: &LeaveCart,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let owner = command.owner;
    let Some(cart) = active(market, owner).filter(|cart| cart.is_shared_with(account)) else {
        return Ok(vec![]);
    };
    let (by, version) = (Some(account), cart.version + 1);
    Ok(vec![Unshared { account: owner, by, cart: cart.id, version, with: account }.into()])
}
