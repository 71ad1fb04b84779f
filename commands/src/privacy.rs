//! What is personal of accounts, as far as the market knows it: by which hashes; and their end.

use std::collections::{BTreeMap, BTreeSet};

use events::account::Role;
use events::ids::AccountId;
use events::ledger::LedgerAccount;
use events::metadata::CommandStamp;
use events::privacy::{AddressSealed, EncryptionKeySet, Erased, ProfileField, ProfileSet};
use events::rejection::{Open, PrivacyRejection};
use events::{Event, Hash, Rejection};

use crate::account::{Accounts, in_role};
use crate::command::{Delivery, EraseAccount, SealedAddress, SetEncryptionKey, SetProfile};
use crate::listing::Sale;
use crate::market::Market;

/// What an account has told of whose it is, by hashes.
pub type Profile = BTreeMap<ProfileField, Hash>;

impl Accounts {
    pub(crate) fn profile_set(&mut self, event: &ProfileSet) {
        let profile = &mut self.known(event.account).profile;
        let mut fields = profile.take().unwrap_or_default();
        for (field, hash) in &event.fields {
            match hash {
                Some(hash) => drop(fields.insert(*field, *hash)),
                None => drop(fields.remove(field)),
            }
        }
        *profile = (!fields.is_empty()).then_some(fields);
    }

    pub(crate) fn encryption_key_set(&mut self, event: &EncryptionKeySet) {
        self.known(event.account).encryption_key.clone_from(&event.key);
    }

    /// Ends an account: its keys sign nothing from here on. What it did stays, and so does its id.
    pub(crate) fn erased(&mut self, event: &Erased) {
        let owner = self.known(event.account);
        owner.is_erased = true;
        owner.profile = None;
        owner.encryption_key = None;
        owner.passkeys.clear();
        owner.codes = None;
        owner.sign_in = None;
        owner.saved.clear();
        for device in std::mem::take(&mut owner.devices) {
            let key = self.devices.get(&device).map(|device| device.key);
            if let Some(key) = key.and_then(|key| self.keys.get_mut(&key)) {
                key.is_active = false;
            }
        }
    }

    /// Tells whether an account was erased.
    pub fn is_erased(&self, account: AccountId) -> bool {
        self.get(account).is_some_and(|account| account.is_erased)
    }
}

/// Refuses what is about an account that was erased.
pub(crate) fn check_not_erased(market: &Market, account: AccountId) -> Result<(), Rejection> {
    match market.accounts.is_erased(account) {
        true => Err(PrivacyRejection::AccountErased { account }.into()),
        false => Ok(()),
    }
}

pub(crate) fn decide_set_profile(
    market: &Market,
    account: AccountId,
    command: &SetProfile,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let Some(owner) = market.accounts.get(account) else {
        return Err(vec![Rejection::AccountUnknown { account }]);
    };
    let now = |field: &ProfileField| owner.profile.as_ref().and_then(|profile| profile.get(field).copied());
    let changed = command.fields.iter().filter(|(field, hash)| now(field) != **hash);
    let fields: BTreeMap<_, _> = changed.map(|(field, hash)| (*field, *hash)).collect();
    if fields.is_empty() {
        return Ok(vec![]);
    }
    let replaced = fields.keys().filter_map(|field| Some((*field, now(field)?))).collect();
    Ok(vec![ProfileSet { account, fields, replaced }.into()])
}

pub(crate) fn decide_set_encryption_key(
    market: &Market,
    account: AccountId,
    command: &SetEncryptionKey,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let now = in_role(market, account, Role::Seller)?.encryption_key.as_ref();
    let event = || EncryptionKeySet { account, key: command.key.clone() };
    Ok(if now == command.key.as_ref() { vec![] } else { vec![event().into()] })
}

/// Checks that each address that goes with a purchase can be read by somebody who sells some of it.
pub(crate) fn check_addresses(
    market: &Market,
    delivery: &Delivery,
    is_seller: impl Fn(AccountId) -> bool,
    reasons: &mut Vec<Rejection>,
) {
    for (seller, sealed) in &delivery.sealed_addresses {
        let seller = *seller;
        let key = market.accounts.get(seller).and_then(|known| known.encryption_key.as_ref());
        let reason = match key {
            _ if !is_seller(seller) => PrivacyRejection::AddressUnneeded { seller },
            None => PrivacyRejection::NoEncryptionKey { seller },
            Some(key) if *key != sealed.key => {
                PrivacyRejection::OtherEncryptionKey { seller, key: key.clone() }
            }
            Some(_) => continue,
        };
        reasons.push(reason.into());
    }
}

/// Tells of the addresses that go with the orders of a purchase.
pub(crate) fn sealed(delivery: Option<&Delivery>, events: &[Event]) -> Vec<Event> {
    let Some(delivery) = delivery else { return Vec::new() };
    let of = |event: &Event| match event {
        Event::OrderPlaced(placed) => {
            let SealedAddress { hash, key } = delivery.sealed_addresses.get(&placed.seller)?.clone();
            let (order, buyer, seller) = (placed.order, placed.buyer, placed.seller);
            Some(AddressSealed { order, buyer, seller, hash, key }.into())
        }
        _ => None,
    };
    events.iter().filter_map(of).collect()
}

pub(crate) fn decide_erase(
    market: &Market,
    stamp: &CommandStamp,
    command: &EraseAccount,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let account = command.account.unwrap_or(stamp.account);
    if account != stamp.account && !market.accounts.has_role(stamp.account, Role::Operator) {
        return Err(vec![PrivacyRejection::NotYourAccount { account }.into()]);
    }
    let Some(owner) = market.accounts.get(account) else {
        return Err(vec![Rejection::AccountUnknown { account }]);
    };
    if owner.is_erased {
        return Ok(vec![]);
    }
    let is_person = |role: &Role| matches!(role, Role::Buyer | Role::Seller | Role::Guest);
    if !owner.roles.iter().all(is_person) {
        return Err(vec![PrivacyRejection::NotErasable { account }.into()]);
    }
    let open = open(market, account);
    if !open.is_empty() {
        return Err(vec![PrivacyRejection::AccountInUse { account, open }.into()]);
    }
    Ok(vec![Erased { account }.into()])
}

/// Finds what keeps an account from being erased. What takes long to look through is looked at only if nothing else was found.
fn open(market: &Market, account: AccountId) -> BTreeSet<Open> {
    let mut open = BTreeSet::new();
    let mut add = |is_open: bool, what: Open| {
        if is_open {
            open.insert(what);
        }
    };
    let holds = |account| market.ledger.holds(account);
    add(holds(LedgerAccount::Wallet(account)), Open::Wallet);
    add(
        holds(LedgerAccount::SellerAvailable(account)) || holds(LedgerAccount::SellerReserve(account)),
        Open::Earnings,
    );
    add(
        holds(LedgerAccount::SellerReceivable(account)) || holds(LedgerAccount::BuyerReceivable(account)),
        Open::Debts,
    );
    add(market.payments.open_of(account) > 0, Open::Payments);
    add(market.payouts.open_of(account) > 0, Open::Payouts);
    add(market.reservations.count_of(account) > 0, Open::Reservations);
    add(market.payments.refunds().any(|(_, refund)| refund.account == account), Open::Refunds);
    let mut chargebacks = market.payments.chargebacks().open();
    add(
        chargebacks.any(|(_, dispute)| dispute.account == account || dispute.sellers.contains(&account)),
        Open::Chargebacks,
    );
    if !open.is_empty() {
        return open;
    }
    let mut orders = market.orders.iter();
    if orders.any(|(_, order)| order.buyer == account || order.seller == account) {
        open.insert(Open::Orders);
    }
    let mut listings = market.listings.iter();
    if listings.any(|(_, listing)| listing.seller == account && listing.sale != Sale::Withdrawn) {
        open.insert(Open::Listings);
    }
    open
}
