//! What a purchase, or a payment, is about, as its command says it.

use std::collections::BTreeSet;

use events::ids::{AccountId, DeviceId};
use events::risk::rules::RuleSet;
use events::tax::Region;
use events::{Hash, Money};

use crate::command::{Command, PaymentMethod, ProviderMethod, Verified};
use crate::market::Market;
use crate::order;

/// Who buys for how much, with what, from whom and where to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Who buys.
    pub account: AccountId,
    /// The most that he signed for.
    pub amount: Money,
    /// The device that signed.
    pub device: DeviceId,
    /// The fingerprint that the device was attested with.
    pub fingerprint: Option<Hash>,
    /// The means of payment; none: the wallet.
    pub instrument: Option<Hash>,
    /// Where to it is delivered.
    pub region: Option<Region>,
    /// Who sells.
    pub sellers: BTreeSet<AccountId>,
}

/// Gives what a means of payment is known by: a hash of the provider's account and its token. A provider that gives one card a new
/// token each time makes it another one each time.
pub fn instrument(provider: AccountId, token: &str) -> Hash {
    Hash::of(format!("skylink instrument {provider} {token}").as_bytes())
}

/// Gives what a command buys, or asks a provider for; none: nothing that these rules are about.
pub(super) fn of(market: &Market, rules: &RuleSet, verified: &Verified) -> Option<Asked> {
    let (account, device) = (verified.stamp.account, verified.stamp.device);
    let seller = |listing| market.listings.get(listing).map(|listing| listing.seller);
    let (amount, delivery, method, sellers) = match &verified.command {
        Command::PlaceOrder(body) => {
            let sellers = body.lines.iter().filter_map(|line| seller(line.listing)).collect();
            (body.total, body.delivery.as_ref(), provider_of(&body.payment_method), sellers)
        }
        Command::MigrateCart(body) => {
            let cart = market.accounts.get(account).and_then(|owner| owner.cart.as_deref());
            let lines = cart.into_iter().flat_map(|cart| cart.lines.keys());
            let sellers = lines.filter_map(|listing| seller(*listing)).collect();
            (body.total, body.delivery.as_ref(), provider_of(&body.payment_method), sellers)
        }
        Command::PayOrder(body) if rules.payments => {
            let order = market.orders.get(body.order).filter(|order| order.buyer == account)?;
            let amount = order::asked_of_card(market, body.order)?;
            (amount, None, Some(&body.method), BTreeSet::from([order.seller]))
        }
        Command::RequestPayment(body) if rules.payments => {
            (body.amount, None, Some(&body.method), BTreeSet::new())
        }
        _ => return None,
    };
    let instrument = method.map(|method| instrument(method.provider, method.token.as_str()));
    let region = delivery.map(|delivery| delivery.region.clone());
    let fingerprint = market.accounts.trust(device).and_then(|trust| trust.fingerprint);
    Some(Asked { account, amount, device, fingerprint, instrument, region, sellers })
}

fn provider_of(method: &PaymentMethod) -> Option<&ProviderMethod> {
    match method {
        PaymentMethod::Wallet => None,
        PaymentMethod::Tenders(tenders) => Some(&tenders.provider),
    }
}
