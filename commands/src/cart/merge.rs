//! One account's cart merged into another's, as when a guest turns out to be a buyer. Its owner says so with a signed claim,
//! and afterwards it is gone: nothing is merged twice.

use events::cart::{MergePolicy, MergeSource, Merged, MergedLine};
use events::ids::{AccountId, CartId, CommandId};
use events::{Event, Quantity, Rejection, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Cart, active};
use crate::command::{LINES_MAX, MergeCart, VerifiedClaim};
use crate::market::Market;

/// A cart that was merged into another one, so that asking for it again is harmless.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MergedCart {
    /// The cart that is gone.
    pub id: CartId,
    /// Whose cart took its lines.
    pub into: AccountId,
}

impl Market {
    pub(crate) fn cart_merged(&mut self, event: &Merged) {
        let mut currency = None;
        self.change_cart(event.source.account, |owner| {
            currency = owner.cart.take().and_then(|cart| cart.currency);
            let merged = MergedCart { id: event.source.cart, into: event.account };
            owner.last_merged = Some(Box::new(merged));
        });
        self.change_cart(event.account, |owner| {
            let cart = owner.cart_at(event.cart, event.version);
            cart.lines.extend(event.lines.iter().map(|line| (line.listing, line.result)));
            cart.currency = cart.currency.or(currency);
        });
    }
}

/// Decides a merge. It is done as a whole or rejected with every reason: no line is dropped.
pub(crate) fn decide_merge(
    market: &Market,
    account: AccountId,
    command_id: CommandId,
    command: &MergeCart,
    claim: &VerifiedClaim,
    now: Timestamp,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let VerifiedClaim { key, claim } = claim;
    let id = claim.cart;
    if claim.to != account {
        return Err(vec![Rejection::ClaimForAnother { cart: id }]);
    }
    let signer = market.accounts.signer(*key);
    let signer = signer.and_then(|signer| Some((signer, market.accounts.get(signer)?)));
    let merged = signer.and_then(|(_, owner)| owner.last_merged.as_deref()).filter(|merged| merged.id == id);
    if let Some(merged) = merged {
        // The first merge counts, whatever this one asks for.
        return if merged.into == account {
            Ok(vec![])
        } else {
            Err(vec![Rejection::CartMergedElsewhere { cart: id }])
        };
    }
    let mut reasons = Vec::new();
    if now > claim.exp {
        reasons.push(Rejection::ClaimExpired { cart: id, expired: claim.exp });
    }
    let source =
        signer.and_then(|(owner, of)| Some((owner, of.cart.as_deref().filter(|cart| cart.id == id)?)));
    let Some((owner, source)) = source else {
        reasons.push(Rejection::CartUnknown { cart: id });
        return Err(reasons);
    };
    if owner == account {
        reasons.push(Rejection::OwnCart { cart: id });
        return Err(reasons);
    }
    let target = active(market, account);
    let lines = merge_lines(market, account, (source, target), command.policy, &mut reasons);
    if !reasons.is_empty() {
        return Err(reasons);
    }
    let merged = Merged {
        account,
        cart: target.map_or_else(|| CartId::derive(account, command_id), |cart| cart.id),
        lines,
        policy: command.policy,
        source: MergeSource { account: owner, cart: id, version: source.version + 1 },
        version: target.map_or(0, |cart| cart.version) + 1,
    };
    Ok(vec![merged.into()])
}

fn merge_lines(
    market: &Market,
    account: AccountId,
    (source, target): (&Cart, Option<&Cart>),
    policy: MergePolicy,
    reasons: &mut Vec<Rejection>,
) -> Vec<MergedLine> {
    reasons.extend(source.frozen_reason());
    reasons.extend(target.and_then(Cart::frozen_reason));
    if source.lines.is_empty() {
        reasons.push(Rejection::CartEmpty);
    }
    let currencies = source.currency.zip(target.and_then(|cart| cart.currency));
    let mut lines = Vec::with_capacity(source.lines.len());
    for (listing, from) in &source.lines {
        let (listing, from) = (*listing, *from);
        if market.listings.get(listing).is_some_and(|known| known.seller == account) {
            reasons.push(Rejection::SelfPurchase { listing });
        }
        if let Some((found, expected)) = currencies
            && found != expected
        {
            reasons.push(Rejection::CurrencyMismatch { listing, expected, found });
        }
        let had = target.and_then(|cart| cart.lines.get(&listing)).copied();
        let result = match (had, policy) {
            (None, _) | (_, MergePolicy::Replace) => Ok(from),
            (Some(had), MergePolicy::Max) => Ok(had.max(from)),
            (Some(had), MergePolicy::Sum) => had.checked_add(from),
        };
        match result {
            Ok(result) => lines.push(MergedLine { from, had, listing, result }),
            Err(_) => reasons.push(Rejection::QuantityLimit { listing, max: Quantity::MAX, min: None }),
        }
    }
    let new = lines.iter().filter(|line| line.had.is_none()).count();
    if target.map_or(0, |cart| cart.lines.len()) + new > LINES_MAX {
        reasons.push(Rejection::TooManyLines { max: LINES_MAX as u32 });
    }
    lines
}
