//! Answers questions about listings: what is offered to anybody, what is in stock to those whose it is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::State;
use axum::response::IntoResponse;
use events::Money;
use events::escrow::rule::ReleaseRule;
use events::ids::{AccountId, ListingId};
use events::listing::{ListingStatus, TaxClass, Variant};
use events::search::Category;
use events::stock::Stock;
use projections::listing::{LISTINGS_PER_PAGE_MAX, Offer, Page, Reservable};
use schemars::JsonSchema;
use serde::Serialize;

use super::{Params, PathParts, ask, id_of};
use crate::http::App;
use crate::problem::Problem;
use crate::token::Caller;

/// Listings of a page unless the query says otherwise.
pub(crate) const LISTINGS_PER_PAGE: usize = 20;

/// A listing as its viewer may see it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Listing")]
pub(crate) struct Shown {
    /// The listing.
    listing: ListingId,
    /// Who sells.
    seller: AccountId,
    /// Whether an operator forbids the seller to sell, or has suspended his account.
    seller_suspended: bool,
    /// What it is.
    title: String,
    /// Price of one unit.
    price: Money,
    /// Counts the changes of the listing from 1; a command may name it in `if`.
    version: u32,
    /// Whether it can be bought, its seller and its stock aside.
    status: ListingStatus,
    /// How many units an order may have of it.
    limits: ShownLimits,
    /// Whether only accounts that an operator has cleared may buy it.
    restricted: bool,
    /// Whether its seller takes nothing of it back after it was delivered, where the market offers returns.
    final_sale: bool,
    /// How it is taxed; null: nobody has said.
    tax_class: Option<TaxClass>,
    /// The listing it is a variant of, and what sets it apart; null: it is no variant.
    variant: Option<Variant>,
    /// What sets its money free besides what the market asks for; null: nothing.
    release: Option<ReleaseRule>,
    /// Where it belongs; null: nowhere.
    category: Option<Category>,
    /// What there is to tell of it; null: nothing.
    description: Option<String>,
    /// What more there is to tell by name.
    attributes: BTreeMap<String, String>,
    /// Words it is also found by.
    tags: BTreeSet<String>,
    /// How many units can be ordered now, of those in stock and of those to come.
    available: u64,
    /// How many units a buyer may reserve before he orders them, and for how long; null: none.
    reservable: Option<Reservable>,
    /// Why an operator forbids that it is sold; only for its seller and operators.
    #[serde(skip_serializing_if = "Option::is_none")]
    blocked_reason: Option<String>,
    /// What is in stock; only for its seller and operators.
    #[serde(skip_serializing_if = "Option::is_none")]
    stock: Option<ShownStock>,
}

/// How many units an order may have of a listing.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ListingLimits")]
pub(crate) struct ShownLimits {
    /// The fewest.
    min: u32,
    /// The most.
    max: u32,
}

/// What a listing has in stock.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ListingStock")]
pub(crate) struct ShownStock {
    #[serde(flatten)]
    stock: Stock,
    /// Reserved units that neither those on hand nor the backorder limit cover.
    shortfall: u64,
}

impl Shown {
    fn to(caller: &Caller, offer: Offer) -> Shown {
        let Offer { listing, is_seller_suspended, words } = offer;
        let sees_all = caller.may_see(listing.seller);
        let status = listing.status();
        let (min, max) = listing.limits;
        let available = listing.stock.available();
        let shortfall = listing.stock.shortfall();
        Shown {
            listing: listing.listing,
            seller: listing.seller,
            seller_suspended: is_seller_suspended,
            title: listing.title,
            price: listing.price,
            version: listing.version,
            status,
            limits: ShownLimits { min, max },
            restricted: listing.is_restricted,
            final_sale: listing.is_final,
            tax_class: listing.tax_class,
            variant: listing.variant,
            available,
            reservable: listing.reservable,
            blocked_reason: listing.blocked.filter(|_| sees_all),
            release: listing.release,
            category: words.category,
            description: words.description,
            attributes: words.attributes,
            tags: words.tags,
            stock: sees_all.then_some(ShownStock { stock: listing.stock, shortfall }),
        }
    }
}

/// A page of a seller's listings.
#[derive(Serialize, JsonSchema)]
pub(crate) struct ListingList {
    /// In the order of their ids.
    listings: Vec<Shown>,
    /// Give it as `cursor` to get the next page; null: this was the last.
    next_cursor: Option<ListingId>,
}

/// `GET /v1/listings/{id}`
pub(crate) async fn listing(
    caller: Caller,
    params: Params,
    State(app): State<Arc<App>>,
    PathParts(id): PathParts<String>,
) -> Result<impl IntoResponse, Problem> {
    params.only(&[])?;
    let id: ListingId = id_of(&id, "listing")?;
    let found = ask(&app, move |views| views.listings().listing(id)).await?;
    found.filter("listing", |offer| offer.map(|offer| Shown::to(&caller, offer)))
}

/// `GET /v1/listings`
pub(crate) async fn listings(
    caller: Caller,
    params: Params,
    State(app): State<Arc<App>>,
) -> Result<impl IntoResponse, Problem> {
    params.only(&["seller", "cursor", "limit"])?;
    let seller = params.get::<AccountId>("seller")?.unwrap_or(caller.account);
    let (cursor, limit) = params.page::<ListingId>(LISTINGS_PER_PAGE, LISTINGS_PER_PAGE_MAX)?;
    let found = ask(&app, move |views| views.listings().list(seller, cursor, limit)).await?;
    Ok(found.map(|Page { offers, next }| ListingList {
        listings: offers.into_iter().map(|offer| Shown::to(&caller, offer)).collect(),
        next_cursor: next,
    }))
}
