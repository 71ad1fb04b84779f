//! Routes about what is personal of accounts.

use super::route::{Route, uuid, view};
use crate::problem::NOT_FOUND;
use crate::query::address::{self, OrderAddress, SellerKey};
use crate::query::profile::{self, Profile};

pub(super) fn personal() -> Vec<Route> {
    vec![
        Route::get(
            "/v1/accounts/{account}/profile",
            "What your account has told of whose it is",
            profile::profile,
        )
        .question()
        .of_account()
        .problems([NOT_FOUND])
        .answers(view::<Profile>()),
        Route::get(
            "/v1/accounts/{account}/encryption-key",
            "The key with which addresses are encrypted to a seller",
            address::encryption_key,
        )
        .question()
        .in_path("account", "The seller", uuid())
        .problems([NOT_FOUND])
        .answers(view::<SellerKey>()),
        Route::get(
            "/v1/orders/{id}/address",
            "Where an order goes, which only its seller can read",
            address::address,
        )
        .question()
        .in_path("id", "The order", uuid())
        .problems([NOT_FOUND])
        .answers(view::<OrderAddress>()),
    ]
}
