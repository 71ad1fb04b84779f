//! What can be asked about taxes, deliveries, promotions and who is who: all that a checkout depends on beside listings.

use std::collections::{BTreeMap, BTreeSet};

use events::account::Tier;
use events::ids::{AccountId, ListingId, PromotionId};
use events::listing::TaxClass;
use events::promotion::{Benefit, CouponCode, PaidBy};
use events::shipping::{Method, Rate};
use events::tax::Region;
use events::{Bps, Currency, Money, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{LINES_MAX, SealedAddress, TITLE_LENGTH_MAX, Text};
use crate::refusal::Refusal;

/// Says how something is taxed from now on. Given by an operator. A rate of 0 says that it is not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetTax {
    /// The rate, in hundredths of a percent.
    pub bps: Bps,
    /// Whether prices hold the tax already; else it comes on top.
    pub inclusive: bool,
    /// Where what is taxed is delivered.
    pub region: Region,
    /// What is taxed: the class of listings, or `shipping`; absent: everything that has no rule of its own there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tax_class: Option<TaxClass>,
}

/// Says what a delivery costs from now on. Given by the seller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetShippingRate {
    /// How it is delivered.
    pub method: Method,
    /// What it costs.
    pub rate: Rate,
    /// Where to; absent: everywhere that has no rate of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
}

/// Says that the seller does not deliver like this any more. Given by the seller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoveShippingRate {
    /// The currency of the rate.
    pub currency: Currency,
    /// How it was delivered.
    pub method: Method,
    /// Where to; absent: everywhere that had no rate of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
}

/// Takes something off prices: off the seller's, given by him, or paid by the platform, given by an operator. The promotion's id is
/// derived from the account and the command's id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreatePromotion {
    /// Only buyers who name it get it; absent: everybody does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<CouponCode>,
    /// From when on; absent: from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// What it gives.
    pub gives: Benefit,
    /// What it is taken off of, at most 100 listings; absent: everything the seller sells, or everybody does where the platform
    /// pays.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(length(max = LINES_MAX))]
    pub listings: BTreeSet<ListingId>,
    /// How much the buyer must spend on it, before anything is taken off; absent: anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_spend: Option<Money>,
    /// Who pays what it gives; absent: the seller.
    #[serde(default, skip_serializing_if = "PaidBy::is_seller")]
    pub paid_by: PaidBy,
    /// What buyers are told.
    pub title: Text<TITLE_LENGTH_MAX>,
    /// Until when, that moment left out; absent: until somebody ends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// How many orders may have it; absent: any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub uses: Option<u32>,
    /// How many orders of one account may have it; absent: any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub uses_per_account: Option<u32>,
}

/// Ends a promotion. Given by its seller or an operator; the platform's by an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EndPromotion {
    /// The promotion.
    pub promotion: PromotionId,
}

/// Says how well it is known who a buyer is. Given by the registrar or an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VerifyAccount {
    /// The buyer.
    pub account: AccountId,
    /// How well.
    pub tier: Tier,
}

/// Most addresses that go with one purchase.
pub const SEALED_ADDRESSES_MAX: usize = 32;

/// Where and how what is bought is delivered. The address itself is no business of the market's: it is encrypted to its seller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Delivery {
    /// How, by seller; a seller left out delivers by the cheapest of his methods.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub methods: BTreeMap<AccountId, Method>,
    /// Where to.
    pub region: Region,
    /// The address for each seller, encrypted to him; a seller left out learns it another way. At most 32.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(length(max = SEALED_ADDRESSES_MAX))]
    pub sealed_addresses: BTreeMap<AccountId, SealedAddress>,
}

impl Delivery {
    /// Delivers to a region by whatever method is the cheapest, and says nothing of the address.
    pub const fn to(region: Region) -> Self {
        Delivery { methods: BTreeMap::new(), region, sealed_addresses: BTreeMap::new() }
    }

    /// Checks how many addresses there are, before anything is done with them.
    pub(crate) fn check_size(&self) -> Result<(), Refusal> {
        let sealed = self.sealed_addresses.len();
        if sealed <= SEALED_ADDRESSES_MAX {
            return Ok(());
        }
        let rule = format!(
            "`sealed_addresses` may be {SEALED_ADDRESSES_MAX}, these are {sealed}: make it several orders"
        );
        Err(Refusal::BodyInvalid { rule })
    }
}

/// Puts a coupon into the cart, in the place of one that is there. What it gives is decided when the cart is bought.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApplyCoupon {
    /// Its code.
    pub coupon: CouponCode,
}

/// Takes the coupon out of the cart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoveCoupon {}
