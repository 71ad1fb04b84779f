//! The carts that others share with an account.

use events::ids::{AccountId, CartId};
use events::{Position, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;
use sled::Tree;

use super::{CARTS, Carts, Member, StoredCart, VERSION};
use crate::table::{Layout, read_uuid};
use crate::view::ViewError;

/// Most shared carts in one page of a list.
pub const SHARED_PER_PAGE_MAX: usize = 100;

/// A cart that its owner shares, in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SharedCart {
    /// The cart.
    pub cart: CartId,
    /// Its owner, who is named in what is done to it.
    pub account: AccountId,
    /// What its owner calls it; null: nothing.
    pub name: Option<String>,
    /// Counts its events.
    pub version: u64,
    /// When it last changed.
    pub changed_at: Timestamp,
    /// How many lines it has.
    pub lines: usize,
}

/// Some carts that others share with an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SharedPage {
    /// In the order of their ids.
    pub carts: Vec<SharedCart>,
    /// Pass it as `after` to get the next page; none: this was the last.
    pub next: Option<CartId>,
}

/// How many of those that a cart was shared with are remembered, so that whoever follows what happens is told of it up to then, however
/// late he comes to it.
const LEFT_MAX: usize = 64;

impl StoredCart {
    pub(super) fn share(&mut self, with: AccountId, since: Position) {
        self.members.retain(|member| member.account != with);
        self.members.push(Member { account: with, since, until: None });
    }

    pub(super) fn unshare(&mut self, with: AccountId, until: Position) {
        if let Some(member) = self.members.iter_mut().find(|member| member.account == with) {
            member.until = Some(until);
        }
        let is_left = |member: &&Member| member.until.is_some();
        if self.members.iter().filter(is_left).count() > LEFT_MAX {
            let first = self.members.iter().filter(is_left).map(|member| member.until).min();
            self.members.retain(|member| member.until.is_none() || Some(member.until) != first);
        }
    }
}

/// The current carts that are shared, by whom they are shared with.
pub(super) const SHARED: Layout<(AccountId, CartId), ()> = Layout::new(b'm', VERSION);

/// Accounts that a cart was ever shared with: few, so that all others need not be looked for in carts.
pub(super) const MEMBERS: Layout<AccountId, ()> = Layout::new(b'e', VERSION);

impl Carts<'_> {
    /// Tells whether a cart was ever shared with an account.
    pub fn was_ever_shared_with(&self, account: AccountId) -> Result<bool, ViewError> {
        Ok(MEMBERS.get(&self.0.ask()?.tree, &account)?.is_some())
    }

    /// Lists the carts that others share with an account and that are not bought, merged away or abandoned: those behind `after`,
    /// or all. A page has at most `limit` carts, and never more than [`SHARED_PER_PAGE_MAX`].
    pub fn shared_with(
        &self,
        account: AccountId,
        after: Option<CartId>,
        limit: usize,
    ) -> Result<SharedPage, ViewError> {
        let limit = limit.clamp(1, SHARED_PER_PAGE_MAX);
        let live = self.0.ask()?;
        let from = (account, after.unwrap_or(CartId::from_uuid(uuid::Uuid::nil())));
        let mut page = SharedPage { carts: Vec::with_capacity(limit), next: None };
        for pair in SHARED.scan_from(&live.tree, &account, &from) {
            let damaged = || ViewError::Damaged { source: "a shared cart has no id".into() };
            let cart = CartId::from_uuid(read_uuid(&pair?.0).ok_or_else(damaged)?);
            if after == Some(cart) {
                continue;
            }
            if page.carts.len() == limit {
                page.next = page.carts.last().map(|shown| shown.cart);
                break;
            }
            page.carts.push(short(&live.tree, cart)?);
        }
        Ok(page)
    }

    /// Tells whether another's cart was shared with an account when the event at a position happened to it. One that is bought, merged
    /// away or abandoned stays shared with those that it was shared with.
    pub fn was_shared_with(&self, cart: CartId, account: AccountId, at: Position) -> Result<bool, ViewError> {
        let stored = CARTS.get(&self.0.ask()?.tree, &cart)?;
        let members = stored.iter().flat_map(|stored| &stored.members);
        let mut his = members.filter(|member| member.account == account);
        Ok(his.any(|member| member.since <= at && member.until.is_none_or(|until| at <= until)))
    }
}

fn short(tree: &Tree, cart: CartId) -> Result<SharedCart, ViewError> {
    let stored = CARTS.get(tree, &cart)?.ok_or_else(|| ViewError::Damaged {
        source: format!("cart {cart} is shared, but is not there").into(),
    })?;
    Ok(SharedCart {
        cart,
        account: stored.account,
        name: stored.name,
        version: stored.version,
        changed_at: stored.changed_at,
        lines: stored.lines.len(),
    })
}
