//! The state of a market at a moment of its log.

use std::str::FromStr;

use commands::order::Order;
use events::ids::{AccountId, ListingId, OrderId};
use events::ledger::LedgerAccount;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::Moment;
use crate::Verdict;
use crate::audit::{Fold, fold_log};
use crate::log::{Bound, Log};
use crate::output::{Output, talk};

/// What of a state is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Show {
    Order(OrderId),
    Account(AccountId),
    Listing(ListingId),
    Ledger,
}

impl FromStr for Show {
    type Err = String;
    fn from_str(text: &str) -> Result<Show, String> {
        match text.split_once(':') {
            None if text == "ledger" => Ok(Show::Ledger),
            Some(("order", id)) => id.parse().map(Show::Order).map_err(|error| format!("{error}")),
            Some(("account", id)) => id.parse().map(Show::Account).map_err(|error| format!("{error}")),
            Some(("listing", id)) => id.parse().map(Show::Listing).map_err(|error| format!("{error}")),
            _ => Err("it must be order:ID, account:ID, listing:ID or ledger".to_owned()),
        }
    }
}

pub(super) fn run(runtime: &Runtime, log: &Log, moment: Moment, show: &Show) -> anyhow::Result<Verdict> {
    let bound = match moment {
        Moment::Position(position) => Bound { position: Some(position), time: None },
        Moment::Time(time) => Bound { position: None, time: Some(time) },
    };
    let Some(fold) = fold_log(runtime, log, bound, |_, _| Ok(()))? else { return Ok(Verdict::FoundWrong) };
    let shown = match show {
        Show::Order(id) => order(&fold, *id),
        Show::Account(id) => account(&fold, *id),
        Show::Listing(id) => listing(&fold, *id),
        Show::Ledger => Some(ledger(&fold)),
    };
    let market = fold.market();
    let Some(shown) = shown else {
        talk(format_args!("There was no such thing at position {} ({}).", market.position, market.time));
        return Ok(Verdict::FoundWrong);
    };
    let mut output = Output::stdout();
    output.pretty(&json!({
        "position": market.position,
        "time": market.time.to_string(),
        "state": shown,
    }))?;
    output.flush()?;
    Ok(Verdict::Done)
}

fn order(fold: &Fold, id: OrderId) -> Option<Value> {
    if let Some(open) = fold.market().orders.get(id) {
        return Some(open_order(fold, id, open));
    }
    let closed = fold.closed(id)?;
    Some(json!({
        "order": id,
        "buyer": closed.buyer,
        "seller": closed.seller,
        "state": closed.state,
        "closed_at_position": closed.position,
    }))
}

fn open_order(fold: &Fold, id: OrderId, order: &Order) -> Value {
    json!({
        "order": id,
        "buyer": order.buyer,
        "seller": order.seller,
        "state": order.state(),
        "ship_by": order.ship_by,
        "stage": order.stage,
        "lines": order.lines,
        "locations": fold.market().orders.allocations().of(id),
        "shipments": order.shipments,
        "total": order.total,
        "fee_minor": order.fee_minor,
        "changes": order.changes(),
        "escrow": order.escrow,
        "in_escrow": fold.market().ledger.balance(LedgerAccount::Escrow(id), order.total.currency),
    })
}

fn account(fold: &Fold, id: AccountId) -> Option<Value> {
    let market = fold.market();
    let account = market.accounts.get(id)?;
    let own = [
        LedgerAccount::Wallet(id),
        LedgerAccount::SellerAvailable(id),
        LedgerAccount::SellerReserve(id),
        LedgerAccount::SellerReceivable(id),
        LedgerAccount::BuyerReceivable(id),
        LedgerAccount::ProviderClearing(id),
        LedgerAccount::ProviderChargebacks(id),
        LedgerAccount::ProviderFees(id),
    ];
    let balances: Vec<Value> = market
        .ledger
        .balances()
        .filter(|(account, _)| own.contains(account))
        .map(|(account, amount)| json!({ "account": account, "amount": amount }))
        .collect();
    let orders = market.orders.iter().filter(|(_, order)| order.buyer == id || order.seller == id);
    let open_orders: Vec<OrderId> = orders.map(|(order, _)| *order).collect();
    Some(json!({
        "account": id,
        "roles": account.roles,
        "devices": account.devices,
        "cart": account.cart,
        "balances": balances,
        "open_orders": open_orders,
    }))
}

fn listing(fold: &Fold, id: ListingId) -> Option<Value> {
    let listing = fold.market().listings.get(id)?;
    let (min, max) = listing.limits;
    Some(json!({
        "listing": id,
        "seller": listing.seller,
        "title": listing.title,
        "price": listing.price,
        "version": listing.version,
        "status": listing.status(),
        "limits": { "min": min, "max": max },
        "restricted": listing.is_restricted,
        "final_sale": listing.is_final,
        "tax_class": listing.tax_class,
        "variant_of": listing.variant_of,
        "release": listing.release,
        "available": listing.available(),
        "shortfall": listing.stock.shortfall(),
        "stock": listing.stock,
    }))
}

fn ledger(fold: &Fold) -> Value {
    let balances = fold.market().ledger.balances();
    let balances: Vec<Value> =
        balances.map(|(account, amount)| json!({ "account": account, "amount": amount })).collect();
    json!({ "balances": balances })
}
