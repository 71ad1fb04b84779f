//! Carts over HTTP, as a shopper's phone uses them: from a guest's first thing to a preview, an order and back again.

#![allow(clippy::unwrap_used)] // what a test calls is a test too

mod support;

use commands::command::{
    AddToCart, CartClaim, Expected, FreezeCart, LeaveCart, MergeCart, MigrateCart, NameCart, PaymentMethod,
    RestoreCart, SaveForLater, SetCartQuantity, ShareCart, UnshareCart,
};
use commands::sign::{sign, sign_cart_claim};
use events::account::Role;
use events::cart::MergePolicy;
use events::ids::{CartId, ListingId};
use reqwest::StatusCode;
use serde_json::{Value, json};
use support::{Person, Shop, json_of, problem, usd};

fn add(listing: ListingId, quantity: u32) -> AddToCart {
    AddToCart { listing, owner: None, quantity: support::units(quantity) }
}

/// Reads a person's cart behind what a receipt tells.
async fn cart_behind(shop: &Shop, person: &Person, receipt: &Value) -> Value {
    let position = receipt["receipt"]["position"].as_u64().unwrap();
    let path = format!("/v1/carts/current?min_position={position}");
    let (status, cart) = json_of(shop.get(&path).bearer_auth(shop.token(person).await)).await;
    assert_eq!(status, StatusCode::OK, "{cart}");
    cart
}

async fn preview(shop: &Shop, person: &Person) -> Value {
    let request = shop.post("/v1/cart/preview", "application/json", "");
    let (status, preview) = json_of(request.bearer_auth(shop.token(person).await)).await;
    assert_eq!(status, StatusCode::OK, "{preview}");
    preview
}

fn id_of(cart: &Value) -> CartId {
    cart["cart"].as_str().unwrap().parse().unwrap()
}

fn migrate(cart: CartId, total: i64) -> MigrateCart {
    MigrateCart::new(cart, PaymentMethod::Wallet, usd(total))
}

/// Signs the purchase of a cart at a version.
fn migrate_at(shop: &Shop, buyer: &Person, version: u64, command: MigrateCart) -> String {
    let mut draft = buyer.draft(command, shop.now());
    draft.expected = Expected { cart: Some(version), listing: None };
    sign(&draft, &buyer.key)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guests_cart_becomes_the_buyers_with_a_claim() {
    let shop = Shop::open().await;
    let seller = shop.person(&[Role::Seller]).await;
    let (guest, buyer) = (shop.person(&[Role::Guest]).await, shop.funded_buyer(10_000).await);
    let (lamp, other) = (shop.listing(&seller, 2_500, 5).await, shop.listing(&seller, 100, 5).await);
    shop.accepted(&guest, add(lamp, 2)).await;
    let receipt = shop.accepted(&guest, add(other, 1)).await;
    shop.accepted(&buyer, add(lamp, 1)).await;
    let source = cart_behind(&shop, &guest, &receipt).await;
    let claim = CartClaim {
        aud: support::market_name(),
        cart: id_of(&source),
        exp: shop.now().plus_ms(60_000),
        to: buyer.account,
        v: 1,
    };
    let claim = sign_cart_claim(&claim, &guest.key);
    let by = |policy| MergeCart { claim: claim.clone(), policy };
    let flat = buyer.seed_form(by(MergePolicy::Sum), shop.now());
    let (status, receipt) = json_of(shop.post("/api/cart/merge", "application/json", flat)).await;
    assert_eq!(status, StatusCode::OK, "{receipt}");
    let merged = cart_behind(&shop, &buyer, &receipt).await;
    let units: Vec<_> = merged["lines"].as_array().unwrap().iter().map(|line| &line["quantity"]).collect();
    assert_eq!(units, [&json!(3), &json!(1)], "{merged}");
    // Once more, whatever the policy: it is merged.
    let again = buyer.sign(by(MergePolicy::Replace), shop.now());
    let (_, receipt) = json_of(shop.post("/v1/commands", "application/jose", again)).await;
    assert_eq!(receipt["receipt"]["outcome"], "unchanged", "{receipt}");
    let path = format!("/v1/carts/{}", id_of(&source));
    let (_, gone) = json_of(shop.get(&path).bearer_auth(shop.token(&guest).await)).await;
    assert_eq!(gone["state"], json!({"merged": {"into": merged["cart"]}}), "{gone}");
    // A forged claim does not reach the market.
    let (signed, _) = claim.rsplit_once('.').unwrap();
    let forged = format!("{signed}.{}", "A".repeat(86));
    let forged = buyer.sign(MergeCart { claim: forged, policy: MergePolicy::Max }, shop.now());
    problem(shop.post("/v1/commands", "application/jose", forged), 400, "body_invalid").await;
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_tells_every_problem_at_once_and_what_the_order_would_be() {
    let shop = Shop::open().await;
    let (seller, second) = (shop.person(&[Role::Seller]).await, shop.person(&[Role::Seller]).await);
    let buyer = shop.funded_buyer(6_000).await;
    let request = shop.post("/v1/cart/preview", "application/json", "");
    problem(request.bearer_auth(shop.token(&buyer).await), 404, "not_found").await;
    problem(shop.post("/v1/cart/preview", "application/json", ""), 401, "token_missing").await;
    let (lamp, shade) = (shop.listing(&seller, 2_500, 2).await, shop.listing(&second, 900, 2).await);
    shop.accepted(&buyer, add(lamp, 3)).await;
    let receipt = shop.accepted(&buyer, add(shade, 1)).await;
    let cart = cart_behind(&shop, &buyer, &receipt).await;
    let told = preview(&shop, &buyer).await;
    let codes: Vec<_> = told["problems"].as_array().unwrap().iter().map(|problem| &problem["code"]).collect();
    assert_eq!(codes, ["insufficient_stock", "insufficient_funds"], "{told}");
    assert_eq!((&told["cart"], &told["version"]), (&cart["cart"], &cart["version"]));
    assert_eq!(told["total"], json!({"minor": 8_400, "currency": "USD"}), "{told}");
    // The purchase itself is rejected for the same reasons.
    let purchase = migrate_at(&shop, &buyer, 2, migrate(id_of(&cart), 8_400));
    let told_of =
        problem(shop.post("/v1/commands", "application/jose", purchase), 422, "insufficient_stock").await;
    assert_eq!(told_of["reasons"], told["problems"]);

    let set = SetCartQuantity { listing: lamp, owner: None, quantity: support::units(2) };
    let receipt = shop.accepted(&buyer, set).await;
    let told = preview(&shop, &buyer).await;
    assert_eq!(told["problems"], json!([]), "{told}");
    assert_eq!(told["orders"].as_array().unwrap().len(), 2, "one for each seller: {told}");
    let lamps =
        told["orders"].as_array().unwrap().iter().find(|order| order["seller"] == seller.account.to_string());
    let lamps = lamps.unwrap();
    assert_eq!((&lamps["total"]["minor"], &lamps["fee"]["amount"]["minor"]), (&json!(5_000), &json!(125)));
    // Nothing came of it.
    assert_eq!(cart_behind(&shop, &buyer, &receipt).await["version"], 3);
    let purchase = migrate_at(&shop, &buyer, 3, migrate(id_of(&cart), 5_900));
    let (status, receipt) = json_of(shop.post("/api/cart/migrate-to-order", "text/plain", purchase)).await;
    assert_eq!(status, StatusCode::OK, "{receipt}");
    shop.close().await;
    // Nobody who only hands commands on can tell.
    let shop = Shop::open().await;
    let buyer = shop.funded_buyer(1).await;
    let token = shop.token(&buyer).await;
    let shop = shop.stop_node().await;
    let request = shop.post("/v1/cart/preview", "application/json", "").bearer_auth(token);
    problem(request, 503, "unavailable").await;
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cart_is_frozen_bought_at_its_version_and_restored() {
    let shop = Shop::open().await;
    let seller = shop.person(&[Role::Seller]).await;
    let buyer = shop.funded_buyer(10_000).await;
    let (lamp, shade) = (shop.listing(&seller, 2_500, 5).await, shop.listing(&seller, 900, 5).await);
    shop.accepted(&buyer, add(lamp, 1)).await;
    shop.accepted(&buyer, add(shade, 1)).await;
    shop.accepted(&buyer, SaveForLater { listing: shade }).await;
    let until = shop.now().plus_ms(60_000);
    let receipt = shop.accepted(&buyer, FreezeCart { until }).await;
    let cart = cart_behind(&shop, &buyer, &receipt).await;
    assert_eq!(cart["state"]["frozen"]["until"], until.ms(), "{cart}");
    assert_eq!(cart["state"]["frozen"]["until_rfc3339"], until.to_string(), "{cart}");
    assert_eq!(
        (&cart["saved"][0]["listing"], &cart["total"]["minor"]),
        (&json!(shade), &json!(2_500)),
        "{cart}"
    );
    assert_eq!(preview(&shop, &buyer).await["frozen_until"], until.ms());
    let edit = buyer.sign(add(lamp, 1), shop.now());
    problem(shop.post("/api/cart/add", "application/jose", edit), 422, "cart_frozen").await;

    let id = id_of(&cart);
    let blind = buyer.sign(migrate(id, 2_500), shop.now());
    let told = problem(shop.post("/v1/commands", "application/jose", blind), 400, "body_invalid").await;
    assert!(told["rule"].as_str().unwrap().contains("`if`"), "{told}");
    let version = cart["version"].as_u64().unwrap();
    let stale = migrate_at(&shop, &buyer, version - 1, migrate(id, 2_500));
    problem(shop.post("/v1/commands", "application/jose", stale), 422, "stale_version").await;
    let mut draft = buyer.draft(migrate(id, 2_500), shop.now());
    draft.expected = Expected { cart: Some(version), listing: None };
    let flat = commands::sign::sign_seed_form(&draft, &buyer.key).unwrap();
    let (status, told) = json_of(shop.post("/api/cart/migrate-to-order", "application/json", flat)).await;
    assert_eq!(status, StatusCode::OK, "{told}");

    let token = shop.token(&buyer).await;
    let position = told["receipt"]["position"].as_u64().unwrap();
    let path = format!("/v1/carts/saved?min_position={position}");
    let (_, saved) = json_of(shop.get(&path).bearer_auth(&token)).await;
    assert_eq!(saved["lines"][0]["listing"], json!(shade), "{saved}");
    problem(shop.get("/v1/carts/current").bearer_auth(&token), 404, "not_found").await;
    let receipt = shop.accepted(&buyer, RestoreCart { cart: id }).await;
    let restored = cart_behind(&shop, &buyer, &receipt).await;
    assert_eq!(restored["lines"][0]["listing"], json!(lamp), "{restored}");
    assert_ne!(restored["cart"], cart["cart"]);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_cart_is_read_and_filled_by_those_it_is_shared_with_and_bought_by_its_owner() {
    let shop = Shop::open().await;
    let seller = shop.person(&[Role::Seller]).await;
    let (owner, member) = (shop.funded_buyer(10_000).await, shop.funded_buyer(10_000).await);
    let stranger = shop.person(&[Role::Buyer]).await;
    let (lamp, shade) = (shop.listing(&seller, 2_500, 5).await, shop.listing(&seller, 100, 5).await);
    shop.accepted(&owner, add(shade, 1)).await;
    shop.accepted(&owner, SaveForLater { listing: shade }).await;
    let receipt = shop.accepted(&owner, add(lamp, 1)).await;
    let cart = id_of(&cart_behind(&shop, &owner, &receipt).await);
    let path = format!("/v1/carts/{cart}");
    problem(shop.get(&path).bearer_auth(shop.token(&member).await), 404, "not_found").await;
    shop.accepted(&owner, NameCart { name: Some("Office".to_owned().try_into().unwrap()) }).await;
    let flat = owner.seed_form(ShareCart { cart, with: member.account }, shop.now());
    let (status, receipt) = json_of(shop.post("/api/cart/share", "application/json", flat)).await;
    assert_eq!(status, StatusCode::OK, "{receipt}");
    let flat = member.seed_form(AddToCart { owner: Some(owner.account), ..add(lamp, 1) }, shop.now());
    let (status, receipt) = json_of(shop.post("/api/cart/add", "application/json", flat)).await;
    assert_eq!(status, StatusCode::OK, "{receipt}");
    let position = receipt["receipt"]["position"].as_u64().unwrap();
    let behind = format!("{path}?min_position={position}");
    let (_, seen) = json_of(shop.get(&behind).bearer_auth(shop.token(&member).await)).await;
    assert_eq!((&seen["name"], &seen["lines"][0]["quantity"]), (&json!("Office"), &json!(2)), "{seen}");
    assert_eq!(seen["shared_with"], json!([member.account]));
    // What its owner saved for later is his own business.
    assert_eq!(seen["saved"], json!([]), "{seen}");
    let (_, own) = json_of(shop.get(&behind).bearer_auth(shop.token(&owner).await)).await;
    assert_eq!(own["saved"].as_array().unwrap().len(), 1, "{own}");
    problem(shop.get(&behind).bearer_auth(shop.token(&stranger).await), 404, "not_found").await;
    let no_cart = shop.get("/v1/carts/current").bearer_auth(shop.token(&member).await);
    problem(no_cart, 404, "not_found").await;
    // Who fills it does not buy it.
    let version = seen["version"].as_u64().unwrap();
    let purchase = member.sign(migrate(cart, 5_000), shop.now());
    problem(shop.post("/v1/commands", "application/jose", purchase), 400, "body_invalid").await;
    let purchase = migrate_at(&shop, &member, 0, migrate(cart, 5_000));
    problem(shop.post("/v1/commands", "application/jose", purchase), 422, "cart_unknown").await;
    // It is in the list of those that others share with him, until he leaves it.
    let token = shop.token(&member).await;
    let shared =
        |position: &Value| shop.get(&format!("/v1/carts/shared?min_position={position}")).bearer_auth(&token);
    let (_, list) = json_of(shared(&json!(position))).await;
    assert_eq!(
        (&list["carts"][0]["cart"], &list["carts"][0]["name"]),
        (&json!(cart), &json!("Office")),
        "{list}"
    );
    assert_eq!(list["next_cursor"], json!(null));
    let flat = member.seed_form(LeaveCart { owner: owner.account }, shop.now());
    let (status, receipt) = json_of(shop.post("/api/cart/leave", "application/json", flat)).await;
    assert_eq!(status, StatusCode::OK, "{receipt}");
    let (_, list) = json_of(shared(&receipt["receipt"]["position"])).await;
    assert_eq!(list, json!({"carts": [], "next_cursor": null}));
    shop.accepted(&owner, ShareCart { cart, with: member.account }).await;
    let version = version + 2;
    let receipt = shop.accepted(&owner, UnshareCart { cart, with: member.account }).await;
    let position = receipt["receipt"]["position"].as_u64().unwrap();
    let behind = format!("{path}?min_position={position}");
    problem(shop.get(&behind).bearer_auth(shop.token(&member).await), 404, "not_found").await;
    let purchase = migrate_at(&shop, &owner, version + 1, migrate(cart, 5_000));
    let (status, receipt) = json_of(shop.post("/api/cart/migrate-to-order", "text/plain", purchase)).await;
    assert_eq!(status, StatusCode::OK, "{receipt}");
    shop.close().await;
}
