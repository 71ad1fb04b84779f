//! Tokens and queries: who sees what, on a real market and a real port.

mod support;

use std::collections::BTreeMap;

use commands::command::{
    AddToCart, AdjustStock, AllowReservations, ApplyCoupon, BlockListing, CreatePromotion, Delivery,
    ExpectStock, HoldOrder, MoveStock, OrderLine, PaymentMethod, PlaceOrder, ReserveStock, SetShippingRate,
    SetTax, ShipOrder, SuspendSeller, UpdateListing,
};
use events::Bps;
use events::account::Role;
use events::ids::ListingId;
use events::promotion::{Benefit, PaidBy};
use events::shipping::{Method, Rate};
use events::stock::AdjustmentReason;
use reqwest::StatusCode;
use serde_json::{Value, json};
use support::{Person, Shop, ask, json_of, problem, receipt_order, usd};

fn purchase(listing: ListingId) -> PlaceOrder {
    let quantity = support::units(1);
    let lines = vec![OrderLine { listing, quantity, quote: None }];
    PlaceOrder::new(lines, PaymentMethod::Wallet, usd(2_500))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_given_once_per_request_to_whose_key_it_is() {
    let shop = Shop::open().await;
    let buyer = shop.person(&[Role::Buyer]).await;
    let ask = |request: String| shop.post("/v1/tokens", "application/jose", request);
    let request = buyer.token_request(json!({"ttl_s": 60}), shop.now());
    let (status, _) = json_of(ask(request.clone())).await;
    assert_eq!(status, StatusCode::OK);
    problem(ask(request), 409, "nonce_reused").await;
    for body in [json!({"ttl_s": 0}), json!({"ttl_s": 3601}), json!({}), json!({"ttl_s": 1, "x": 1})] {
        problem(ask(buyer.token_request(body, shop.now())), 400, "body_invalid").await;
    }
    let old = buyer.token_request(json!({"ttl_s": 60}), shop.now().plus_ms(-60_001));
    problem(ask(old), 400, "stale").await;
    let early = buyer.token_request(json!({"ttl_s": 60}), shop.now().plus_ms(30_001));
    problem(ask(early), 400, "from_future").await;
    let stranger = Person::new().token_request(json!({"ttl_s": 60}), shop.now());
    problem(ask(stranger), 401, "kid_unknown").await;
    let mut posing = shop.person(&[Role::Buyer]).await;
    posing.account = buyer.account;
    problem(ask(posing.token_request(json!({"ttl_s": 60}), shop.now())), 403, "scope_denied").await;
    // A request for a token is no command, and a command is no request for a token.
    let request = buyer.token_request(json!({"ttl_s": 60}), shop.now());
    problem(shop.post("/v1/commands", "application/jose", request), 404, "cmd_unknown").await;
    let command = buyer.sign(commands::command::ClearCart::default(), shop.now());
    problem(ask(command), 404, "cmd_unknown").await;

    let token = shop.token(&buyer).await;
    problem(shop.get("/v1/wallet"), 401, "token_missing").await;
    problem(shop.get("/v1/wallet").bearer_auth("x.y"), 401, "token_invalid").await;
    shop.clock.advance_to(shop.now().plus_ms(600_000));
    problem(shop.get("/v1/wallet").bearer_auth(&token), 401, "token_expired").await;
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_are_seen_by_buyer_seller_and_operator_only() {
    let shop = Shop::open().await;
    let seller = shop.person(&[Role::Seller]).await;
    let (buyer, other) = (shop.funded_buyer(10_000).await, shop.person(&[Role::Buyer, Role::Seller]).await);
    let operator = shop.person(&[Role::Operator]).await;
    let listing = shop.listing(&seller, 2_500, 5).await;
    let receipts =
        [shop.accepted(&buyer, purchase(listing)).await, shop.accepted(&buyer, purchase(listing)).await];
    let position = receipts[1]["receipt"]["position"].as_u64().unwrap();
    let order = format!("/v1/orders/{}?min_position={position}", receipt_order(&receipts[0]));
    for (who, sees) in [(&buyer, true), (&seller, true), (&operator, true), (&other, false)] {
        let request = shop.get(&order).bearer_auth(shop.token(who).await);
        if sees {
            assert_eq!(json_of(request).await.0, StatusCode::OK);
        } else {
            problem(request, 404, "not_found").await;
        }
    }
    let token = shop.token(&buyer).await;
    let (_, first) = json_of(shop.get(&order).bearer_auth(&token)).await;
    let number = format!("/v1/orders/{}", first["number"].as_str().unwrap());
    assert_eq!(number, "/v1/orders/1001-9");
    let group = format!("/v1/order-groups/{}", first["group"].as_str().unwrap());
    for (who, sees_order, sees_group) in
        [(&buyer, true, true), (&seller, true, false), (&operator, true, true), (&other, false, false)]
    {
        let token = shop.token(who).await;
        for (path, sees) in [(&number, sees_order), (&group, sees_group)] {
            let request = shop.get(path).bearer_auth(&token);
            if sees {
                let (status, shown) = json_of(request).await;
                assert_eq!((status, &shown["group"]), (StatusCode::OK, &first["group"]));
            } else {
                problem(request, 404, "not_found").await;
            }
        }
    }
    let (_, shown) = json_of(shop.get(&group).bearer_auth(&token)).await;
    assert_eq!((&shown["orders"][0], &shown["total"]), (&first, &first["total"]));
    problem(shop.get("/v1/orders/1001-8").bearer_auth(&token), 400, "query_invalid").await;
    problem(shop.get("/v1/orders/1003-5").bearer_auth(&token), 404, "not_found").await;
    let (_, page) = json_of(shop.get("/v1/orders?limit=1").bearer_auth(&token)).await;
    assert_eq!(page["orders"][0]["order"], receipt_order(&receipts[1]));
    let next = format!("/v1/orders?limit=1&cursor={}", page["next_cursor"].as_str().unwrap());
    let (_, page) = json_of(shop.get(&next).bearer_auth(&token)).await;
    assert_eq!(
        (&page["orders"][0]["order"], &page["next_cursor"]),
        (&json!(receipt_order(&receipts[0])), &Value::Null)
    );
    let others = format!("/v1/orders?account={}", seller.account);
    problem(shop.get(&others).bearer_auth(&token), 403, "scope_denied").await;
    problem(shop.get("/v1/orders?limit=101").bearer_auth(&token), 400, "query_invalid").await;
    problem(shop.get("/v1/orders?colour=red").bearer_auth(&token), 400, "query_invalid").await;
    let ahead = format!("/v1/wallet?min_position={}", position + 1_000);
    let behind = problem(shop.get(&ahead).bearer_auth(&token), 504, "views_behind").await;
    assert_eq!(behind["applied"], position);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_tells_what_an_account_held_at_any_position() {
    let shop = Shop::open().await;
    let (seller, operator) = (shop.person(&[Role::Seller]).await, shop.person(&[Role::Operator]).await);
    let buyer = shop.funded_buyer(10_000).await;
    let listing = shop.listing(&seller, 2_500, 5).await;
    let receipts =
        [shop.accepted(&buyer, purchase(listing)).await, shop.accepted(&buyer, purchase(listing)).await];
    let [first, last] = [0, 1].map(|n| receipts[n]["receipt"]["position"].as_u64().unwrap());
    let (token, of_operator) = (shop.token(&buyer).await, shop.token(&operator).await);
    let statement = async |token: &str, more: &str| {
        let path = format!("/v1/wallet/statement?currency=USD&min_position={last}{more}");
        json_of(shop.get(&path).bearer_auth(token)).await.1
    };
    let shown = statement(&token, "").await;
    assert_eq!(shown["account"], json!(format!("wallet:{}", buyer.account)));
    let members = |shown: &Value, name: &str| {
        shown["postings"].as_array().unwrap().iter().map(|one| one[name].clone()).collect::<Vec<_>>()
    };
    assert_eq!(members(&shown, "type"), ["escrow.held", "escrow.held", "wallet.funded"]);
    let balances: Vec<_> =
        members(&shown, "balance").into_iter().map(|money| money["minor"].clone()).collect();
    assert_eq!(balances, [5_000, 7_500, 10_000]);
    assert_eq!(shown["postings"][0]["amount"]["minor"], -2_500);
    assert_eq!(shown["postings"][1]["about"], json!(receipt_order(&receipts[0])));
    assert!(shown["postings"][0]["time_rfc3339"].is_string());
    // As of any position: an order's receipt names the last of its events, which moves the money.
    for (at, minor) in [(last, 5_000), (last - 1, 7_500), (first, 7_500), (first - 1, 10_000), (0, 0)] {
        let then = statement(&token, &format!("&at={at}&limit=1")).await;
        assert_eq!(then["balance"], usd_json(minor), "at {at}");
    }
    let page = statement(&token, "&limit=2").await;
    let cursor = format!("&cursor={}", page["next_cursor"].as_str().unwrap());
    let rest = statement(&token, &cursor).await;
    assert_eq!((members(&rest, "type"), &rest["next_cursor"]), (vec![json!("wallet.funded")], &Value::Null));
    // Operators see those of others and of the platform; nobody else does, and an order's is the order's.
    let other = format!("&account=wallet:{}", buyer.account);
    assert_eq!(statement(&of_operator, &other).await["postings"], shown["postings"]);
    assert_eq!(statement(&of_operator, "&account=platform:fees").await["balance"], usd_json(0));
    let path = |more: &str| format!("/v1/wallet/statement?{more}");
    for account in ["platform:fees".to_owned(), format!("seller:{}:available", seller.account)] {
        let asked = path(&format!("currency=USD&account={account}"));
        problem(shop.get(&asked).bearer_auth(&token), 403, "scope_denied").await;
    }
    let escrow = format!("currency=USD&account=escrow:{}", receipt_order(&receipts[0]));
    let ahead = format!("currency=USD&at={}", last + 1_000);
    for (more, status, code) in [
        ("", 400, "query_invalid"),
        ("currency=USDX", 400, "query_invalid"),
        ("currency=USD&account=purse", 400, "query_invalid"),
        (&escrow, 400, "query_invalid"),
        (&ahead, 504, "views_behind"),
    ] {
        problem(shop.get(&path(more)).bearer_auth(&token), status, code).await;
    }
    shop.close().await;
}

fn usd_json(minor: i64) -> Value {
    json!({"currency": "USD", "minor": minor})
}

#[tokio::test(flavor = "multi_thread")]
async fn anybody_sees_what_is_offered_and_only_its_seller_and_operators_what_is_in_stock() {
    let shop = Shop::open().await;
    let (seller, other) = (shop.person(&[Role::Seller]).await, shop.person(&[Role::Seller]).await);
    let (buyer, operator) = (shop.funded_buyer(10_000).await, shop.person(&[Role::Operator]).await);
    let mut listings = [shop.listing(&seller, 2_500, 5).await, shop.listing(&seller, 2_500, 5).await];
    let lamp = listings[0];
    listings.sort();
    shop.accepted(&buyer, AddToCart { listing: lamp, owner: None, quantity: support::units(1) }).await;
    let plain = UpdateListing {
        limits: None,
        listing: lamp,
        price: Some(usd(2_600)),
        final_sale: None,
        restricted: None,
        tax_class: None,
        title: None,
        release: None,
    };
    shop.accepted(&seller, plain).await;
    let reason = AdjustmentReason::Damaged;
    shop.accepted(
        &seller,
        AdjustStock { delta: (-2).try_into().unwrap(), listing: lamp, location: None, reason },
    )
    .await;
    let due = shop.now().plus_ms(1);
    let expected = ExpectStock { due, listing: lamp, location: None, quantity: 7.try_into().unwrap() };
    shop.accepted(&seller, expected).await;
    let (from, to) = (None, Some("berlin-2".parse().unwrap()));
    shop.accepted(&seller, MoveStock { from, listing: lamp, quantity: support::units(2), to }).await;
    let reason = || "counterfeit".to_owned().try_into().unwrap();
    shop.accepted(&operator, SuspendSeller { account: seller.account, reason: reason() }).await;
    let receipt = shop.accepted(&operator, BlockListing { listing: lamp, reason: reason() }).await;
    let position = receipt["receipt"]["position"].as_u64().unwrap();

    let path = format!("/v1/listings/{lamp}?min_position={position}");
    for (who, sees_stock) in [(&seller, true), (&operator, true), (&buyer, false), (&other, false)] {
        let (_, shown) = json_of(shop.get(&path).bearer_auth(shop.token(who).await)).await;
        let public = [&shown["price"], &shown["version"], &shown["status"], &shown["available"]];
        assert_eq!(public, [&json!(usd(2_600)), &json!(2), &json!("blocked"), &json!(3)], "{shown}");
        assert_eq!(shown["seller_suspended"], true, "{shown}");
        if sees_stock {
            assert_eq!(shown["blocked_reason"], "counterfeit");
            let stock =
                [&shown["stock"]["on_hand"], &shown["stock"]["damaged"], &shown["stock"]["shortfall"]];
            assert_eq!(stock, [&json!(3), &json!(2), &json!(0)], "{shown}");
            assert_eq!(shown["stock"]["incoming"][0]["units"], 7);
            let berlin = json!({"on_hand": 2, "reserved": 0, "safety": 0, "damaged": 0});
            assert_eq!(shown["stock"]["locations"], json!({ "berlin-2": berlin }), "{shown}");
            assert!(shown["stock"]["incoming"][0]["due_rfc3339"].is_string(), "{shown}");
        } else {
            assert_eq!((&shown["stock"], &shown["blocked_reason"]), (&Value::Null, &Value::Null));
        }
    }
    let token = shop.token(&buyer).await;
    let first = format!("/v1/listings?seller={}&limit=1", seller.account);
    let (_, page) = json_of(shop.get(&first).bearer_auth(&token)).await;
    assert_eq!(page["listings"][0]["listing"], json!(listings[0]));
    let next = format!("{first}&cursor={}", page["next_cursor"].as_str().unwrap());
    let (_, page) = json_of(shop.get(&next).bearer_auth(&token)).await;
    assert_eq!((&page["listings"][0]["listing"], &page["next_cursor"]), (&json!(listings[1]), &Value::Null));
    let (_, none) = json_of(shop.get("/v1/listings").bearer_auth(&token)).await;
    assert_eq!(none["listings"], json!([]));
    problem(shop.get(&format!("/v1/listings/{}", buyer.account)).bearer_auth(&token), 404, "not_found").await;
    problem(shop.get("/v1/listings?cursor=x").bearer_auth(&token), 400, "query_invalid").await;

    // What a cart's buyer saw, and what stands against his order now.
    let (_, cart) = json_of(shop.get("/v1/carts/current").bearer_auth(&token)).await;
    let codes: Vec<_> = cart["problems"].as_array().unwrap().iter().map(|problem| &problem["code"]).collect();
    assert_eq!(codes, ["listing_unavailable", "seller_suspended"]);
    let changed = json!({ "listing": listings[0], "old": usd(2_500), "new": usd(2_600) });
    assert_eq!(cart["price_changed"], json!([changed]));
    assert_eq!(cart["lines"][0]["unit_price_seen"], json!(usd(2_500)));
    assert_eq!(cart["lines"][0]["current_price"], json!(usd(2_600)));
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_terms_of_purchases_are_for_everybody_and_coupons_for_their_seller() {
    let shop = Shop::open().await;
    let (seller, buyer) = (shop.person(&[Role::Seller]).await, shop.funded_buyer(10_000).await);
    let operator = shop.person(&[Role::Operator]).await;
    let lamp = shop.listing(&seller, 2_500, 5).await;
    let region = || "DE".parse().unwrap();
    let tax = SetTax { bps: Bps::new(1900).unwrap(), inclusive: false, region: region(), tax_class: None };
    shop.accepted(&operator, tax).await;
    let rate = Rate::new(usd(500), None, None).unwrap();
    let method = || "post".parse::<Method>().unwrap();
    shop.accepted(&seller, SetShippingRate { method: method(), rate, region: None }).await;
    let promotion = |code: Option<&str>| CreatePromotion {
        code: code.map(|code| code.parse().unwrap()),
        from: None,
        gives: Benefit::Percent(Bps::new(1000).unwrap()),
        listings: Default::default(),
        min_spend: None,
        paid_by: PaidBy::Seller,
        title: "Sale".to_owned().try_into().unwrap(),
        until: Some(shop.now().plus_ms(3_600_000)),
        uses: Some(9),
        uses_per_account: None,
    };
    shop.accepted(&seller, promotion(None)).await;
    shop.accepted(&seller, promotion(Some("LAMP"))).await;
    // Nobody has spent so much that the platform gives something.
    let by_platform =
        |code| CreatePromotion { min_spend: Some(usd(9_999)), paid_by: PaidBy::Platform, ..promotion(code) };
    shop.accepted(&operator, by_platform(None)).await;
    shop.accepted(&operator, by_platform(Some("PLATFORM"))).await;
    shop.accepted(&buyer, AddToCart { listing: lamp, owner: None, quantity: support::units(1) }).await;
    shop.accepted(&buyer, ApplyCoupon { coupon: "LAMP".parse().unwrap() }).await;
    let preview = shop.post("/v1/cart/preview?region=DE", "application/json", "");
    let (_, told) = json_of(preview.bearer_auth(shop.token(&buyer).await)).await;
    // 25.00 less 2.50 and 2.25, and 19 % on that and on the delivery.
    assert_eq!(told["total"], json!(usd(2_025 + 385 + 500 + 95)), "{told}");
    assert_eq!((&told["coupon"], &told["orders"][0]["shipping"]["method"]), (&json!("LAMP"), &json!("post")));
    let methods = BTreeMap::from([(seller.account, method())]);
    let delivery = Some(Delivery { methods, ..Delivery::to(region()) });
    let order =
        PlaceOrder { coupon: Some("LAMP".parse().unwrap()), delivery, total: usd(5_000), ..purchase(lamp) };
    let receipt = shop.accepted(&buyer, order).await;
    let position = receipt["receipt"]["position"].as_u64().unwrap();

    let token = shop.token(&buyer).await;
    let asked = |path: String| shop.get(&path).bearer_auth(&token);
    let (_, taxes) = json_of(asked(format!("/v1/taxes?region=DE&min_position={position}"))).await;
    assert_eq!((&taxes["taxes"][0]["bps"], &taxes["taxes"][0]["version"]), (&json!(1900), &json!(1)));
    let (_, rates) = json_of(asked(format!("/v1/shipping?seller={}", seller.account))).await;
    assert_eq!(rates["rates"][0]["flat"], json!(usd(500)), "{rates}");
    let promotions = format!("/v1/promotions?seller={}", seller.account);
    for (who, count) in [(&buyer, 1), (&seller, 2), (&operator, 2)] {
        let (_, page) = json_of(shop.get(&promotions).bearer_auth(shop.token(who).await)).await;
        let shown = page["promotions"].as_array().unwrap();
        assert_eq!(shown.len(), count, "{page}");
        assert!(
            shown.iter().all(|promotion| promotion["used"] == 1 && promotion["until_rfc3339"].is_string())
        );
    }
    for (who, count) in [(&buyer, 1), (&seller, 1), (&operator, 2)] {
        let of_platform = shop.get("/v1/promotions?paid_by=platform");
        let (_, page) = json_of(of_platform.bearer_auth(shop.token(who).await)).await;
        let shown = page["promotions"].as_array().unwrap();
        assert_eq!(shown.len(), count, "{page}");
        let is_right =
            |promotion: &Value| promotion["paid_by"] == "platform" && promotion["seller"].is_null();
        assert!(shown.iter().all(is_right), "{page}");
    }
    let both = format!("/v1/promotions?paid_by=platform&seller={}", seller.account);
    let (status, _) = json_of(asked(both)).await;
    assert_eq!(status, 400);
    let (_, cart) = json_of(asked("/v1/carts/current".to_owned())).await;
    assert_eq!(cart["coupon"], "LAMP", "{cart}");
    let (_, shown) = json_of(asked(format!("/v1/orders/{}", receipt_order(&receipt)))).await;
    assert_eq!(shown["total"], json!(usd(2_025 + 385 + 500 + 95)), "{shown}");
    assert_eq!(shown["shipping"]["method"], "post");
    problem(asked("/v1/taxes".to_owned()), 400, "query_invalid").await;
    problem(asked("/v1/taxes?region=Germany".to_owned()), 400, "query_invalid").await;
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_are_for_operators_and_a_sellers_own_for_him() {
    let shop = Shop::open().await;
    let (seller, other) = (shop.person(&[Role::Seller]).await, shop.person(&[Role::Seller]).await);
    let buyer = shop.funded_buyer(10_000).await;
    let operator = shop.person(&[Role::Operator]).await;
    let listing = shop.listing(&seller, 2_500, 5).await;
    let receipt = shop.accepted(&buyer, purchase(listing)).await;
    let position = receipt["receipt"]["position"].as_u64().unwrap();
    let (operator, seller_token) = (shop.token(&operator).await, shop.token(&seller).await);
    let summary = format!("/v1/analytics/summary?min_position={position}");
    let (_, all) = json_of(shop.get(&summary).bearer_auth(&operator)).await;
    assert_eq!(all["numbers"]["sales"]["money"][0]["gmv"], 2_500, "{all}");
    let (_, own) = json_of(shop.get(&summary).bearer_auth(&seller_token)).await;
    assert_eq!(own["numbers"]["sales"]["orders"], 1, "{own}");
    let (_, none) = json_of(shop.get(&summary).bearer_auth(shop.token(&other).await)).await;
    assert_eq!(none["numbers"]["sales"]["orders"], 0, "{none}");
    problem(shop.get(&summary).bearer_auth(shop.token(&buyer).await), 403, "scope_denied").await;
    for path in ["top?currency=USD", "funnel", "latency", "rejections", "series?step=hour"] {
        let path = format!("/v1/analytics/{path}");
        assert_eq!(json_of(shop.get(&path).bearer_auth(&operator)).await.0, StatusCode::OK, "{path}");
    }
    problem(shop.get("/v1/analytics/funnel").bearer_auth(&seller_token), 403, "scope_denied").await;
    let of_listing = |name: &str| format!("/v1/analytics/{name}?listing={listing}");
    for token in [&operator, &seller_token] {
        let (_, told) = json_of(shop.get(&of_listing("summary")).bearer_auth(token)).await;
        assert_eq!(told["numbers"]["units"], 1, "{told}");
        assert_eq!(told["numbers"]["money"][0]["gmv"], 2_500, "{told}");
        let (_, told) = json_of(shop.get(&of_listing("series")).bearer_auth(token)).await;
        assert_eq!(told["points"][0]["orders"], 1, "{told}");
    }
    let others = shop.token(&other).await;
    problem(shop.get(&of_listing("summary")).bearer_auth(others), 404, "not_found").await;
    let both = format!("/v1/analytics/summary?listing={listing}&seller={}", seller.account);
    problem(shop.get(&both).bearer_auth(&operator), 400, "query_invalid").await;
    let far = "/v1/analytics/series?step=hour&from=0";
    problem(shop.get(far).bearer_auth(&operator), 400, "query_invalid").await;
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn people_and_machines_find_their_pages() {
    let shop = Shop::open().await;
    for path in ["/healthz", "/openapi.json", "/"] {
        assert_eq!(ask(shop.get(path)).await.status, StatusCode::OK, "{path}");
    }
    let metrics = String::from_utf8(ask(shop.get("/metrics")).await.body.to_vec()).unwrap();
    for line in [
        r#"skylink_http_seconds_bucket{method="GET",route="/healthz",status="200",le="0.001"}"#,
        r#"skylink_view_lag_events{view="accounts"}"#,
        "skylink_head_position ",
    ] {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_buyer_has_set_aside_is_shown_to_him_and_operators() {
    let shop = Shop::open().await;
    let (seller, operator) = (shop.person(&[Role::Seller]).await, shop.person(&[Role::Operator]).await);
    let (buyer, other) = (shop.funded_buyer(10_000).await, shop.person(&[Role::Buyer]).await);
    let lamp = shop.listing(&seller, 2_500, 5).await;
    let units = |n: u64| n.try_into().unwrap();
    shop.accepted(&seller, AllowReservations { for_ms: None, listing: lamp, units: units(3) }).await;
    let receipt = shop.accepted(&buyer, ReserveStock { listing: lamp, quantity: support::units(3) }).await;
    let position = receipt["receipt"]["position"].as_u64().unwrap();
    let path = format!("/v1/reservations?min_position={position}");
    let (_, shown) = json_of(shop.get(&path).bearer_auth(shop.token(&buyer).await)).await;
    let one = &shown["reservations"][0];
    assert_eq!((&one["listing"], &one["quantity"]), (&json!(lamp), &json!(3)), "{shown}");
    assert!(one["expires_at_rfc3339"].is_string(), "{shown}");
    let (_, none) = json_of(shop.get(&path).bearer_auth(shop.token(&other).await)).await;
    assert_eq!(none["reservations"], json!([]));
    let path = format!("{path}&account={}", buyer.account);
    let (status, _) = json_of(shop.get(&path).bearer_auth(shop.token(&other).await)).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let (_, seen) = json_of(shop.get(&path).bearer_auth(shop.token(&operator).await)).await;
    assert_eq!(seen, shown);
    let path = format!("/v1/listings/{lamp}");
    let (_, listed) = json_of(shop.get(&path).bearer_auth(shop.token(&seller).await)).await;
    assert_eq!(listed["reservable"], json!({"units": 3, "for_ms": 900_000}), "{listed}");
    let stock = &listed["stock"];
    assert_eq!(
        [&listed["available"], &stock["reserved"], &stock["set_aside"]],
        [&json!(2), &json!(3), &json!(3)]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seller_is_told_what_he_is_to_do_and_nobody_else_but_operators() {
    let shop = Shop::open().await;
    let (seller, other) = (shop.person(&[Role::Seller]).await, shop.person(&[Role::Seller]).await);
    let (buyer, operator) = (shop.funded_buyer(10_000).await, shop.person(&[Role::Operator]).await);
    let lamp = shop.listing(&seller, 2_500, 5).await;
    let mut orders = Vec::new();
    let mut receipt = Value::Null;
    for _ in 0..3 {
        receipt = shop.accepted(&buyer, purchase(lamp)).await;
        orders.push(receipt_order(&receipt));
        shop.clock.advance_to(shop.now().plus_ms(1));
    }
    let placed = receipt["receipt"]["position"].as_u64().unwrap();
    let desk = async |who: &Person, path: &str, more: &str| {
        let path = format!("/v1/sellers/{path}/desk?{more}");
        json_of(shop.get(&path).bearer_auth(shop.token(who).await)).await
    };
    let of = |shown: &Value| {
        let tasks = shown["tasks"].as_array().unwrap().iter();
        tasks.map(|one| one["order"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let at = |position: u64| format!("min_position={position}");
    let (status, shown) = desk(&seller, "me", &at(placed)).await;
    assert_eq!((status, of(&shown)), (StatusCode::OK, orders.clone()), "{shown}");
    let one = &shown["tasks"][0];
    assert_eq!(
        (&one["task"], &one["number"], &one["state"]),
        (&json!("ship"), &json!("1001-9"), &json!("placed"))
    );
    assert_eq!(one["lines"], json!([{"listing": lamp, "quantity": 1, "locations": []}]));
    assert!(one["due_rfc3339"].is_string() && one["placed_at_rfc3339"].is_string(), "{one}");
    let count = json!({
        "task": "ship", "orders": 3, "is_more": false, "due": one["due"], "due_rfc3339": one["due_rfc3339"],
    });
    assert_eq!(shown["counts"], json!([count]));
    assert_eq!(shown["available"], json!([]), "nothing is earned before it has arrived");

    let (_, first) = desk(&seller, "me", "limit=2").await;
    assert_eq!(of(&first), orders[..2]);
    let next = format!("limit=2&cursor={}", first["next_cursor"].as_str().unwrap());
    let (_, last) = desk(&seller, "me", &next).await;
    assert_eq!((of(&last), &last["next_cursor"]), (vec![orders[2].clone()], &Value::Null));
    assert_eq!(of(&desk(&seller, "me", "task=accept").await.1), Vec::<String>::new());
    assert_eq!(of(&desk(&seller, "me", "task=ship").await.1), orders);

    // What is shipped or stands still is no task of his.
    let order = orders[1].parse().unwrap();
    shop.accepted(&seller, ShipOrder { carrier: None, from: None, lines: None, order, tracking: None }).await;
    let (order, note) = (orders[2].parse().unwrap(), "who are they".to_owned().try_into().unwrap());
    let reason = events::order::hold::HoldReason::Compliance;
    let receipt = shop.accepted(&operator, HoldOrder { note, order, reason }).await;
    let held = receipt["receipt"]["position"].as_u64().unwrap();
    assert_eq!(of(&desk(&seller, "me", &at(held)).await.1), orders[..1]);

    // Operators see everybody's, and as it was.
    let his = seller.account.to_string();
    assert_eq!(of(&desk(&operator, &his, "").await.1), orders[..1]);
    assert_eq!(of(&desk(&operator, &his, &format!("as_of={placed}")).await.1), orders);
    assert_eq!(of(&desk(&other, "me", "").await.1), Vec::<String>::new());
    let ask = async |who: &Person, path: &str| shop.get(path).bearer_auth(shop.token(who).await);
    problem(ask(&other, &format!("/v1/sellers/{his}/desk")).await, 404, "not_found").await;
    problem(ask(&seller, &format!("/v1/sellers/me/desk?as_of={placed}")).await, 403, "scope_denied").await;
    for wrong in ["task=rest", "cursor=7", "limit=0", "state=open"] {
        problem(ask(&seller, &format!("/v1/sellers/me/desk?{wrong}")).await, 400, "query_invalid").await;
    }

    // What the buyer bought, by where it stands.
    let history = async |who: &Person, more: &str| {
        let path = format!("/v1/orders?{more}");
        let (status, shown) = json_of(shop.get(&path).bearer_auth(shop.token(who).await)).await;
        assert_eq!(status, StatusCode::OK, "{shown}");
        shown["orders"].as_array().unwrap().iter().map(|one| one["order"].clone()).collect::<Vec<_>>()
    };
    let newest = [&orders[2], &orders[1], &orders[0]].map(|order| json!(order));
    assert_eq!(history(&buyer, "state=open").await, newest);
    assert_eq!(history(&buyer, "state=ended").await, [] as [Value; 0]);
    for (state, order) in [("on_hold", 2), ("shipped", 1), ("placed", 0)] {
        for (who, role) in [(&buyer, "buyer"), (&seller, "seller")] {
            assert_eq!(history(who, &format!("state={state}&role={role}")).await, [json!(orders[order])]);
        }
    }
    problem(ask(&buyer, "/v1/orders?state=lost").await, 400, "query_invalid").await;
    problem(ask(&other, &format!("/v1/payouts?account={his}")).await, 403, "scope_denied").await;
    let (_, payouts) = json_of(ask(&operator, &format!("/v1/payouts?account={his}")).await).await;
    assert_eq!(payouts["payouts"], json!([]));
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_see_who_did_what_as_it_stands_in_the_log() {
    let shop = Shop::open().await;
    let (seller, operator) = (shop.person(&[Role::Seller]).await, shop.person(&[Role::Operator]).await);
    let (buyer, lamp) = (shop.funded_buyer(10_000).await, shop.listing(&seller, 2_500, 5).await);
    shop.accepted(&buyer, purchase(lamp)).await;
    shop.clock.advance_to(shop.now().plus_ms(60_000));
    let suspended_at = shop.now();
    let suspend = || {
        let reason = "forged goods".to_owned().try_into().unwrap();
        SuspendSeller { account: seller.account, reason }
    };
    let receipt = shop.accepted(&operator, suspend()).await;
    shop.clock.advance_to(shop.now().plus_ms(60_000));
    let again = operator.sign(suspend(), shop.now());
    let (_, again) = json_of(shop.post("/v1/commands", "application/jose", again)).await;
    let position = again["receipt"]["position"].as_u64().unwrap();
    let token = shop.token(&operator).await;
    let acts = async |more: &str| {
        let path = format!("/v1/audit?min_position={position}&{more}");
        let (status, shown) = json_of(shop.get(&path).bearer_auth(&token)).await;
        assert_eq!(status, StatusCode::OK, "{shown}");
        shown
    };
    let names = |shown: &Value| {
        let acts = shown["acts"].as_array().unwrap().iter();
        acts.map(|act| act["command"]["name"].clone()).collect::<Vec<_>>()
    };
    let shown = acts("").await;
    let [last, first, ..] = shown["acts"].as_array().unwrap().as_slice() else { panic!("{shown}") };
    assert_eq!((&last["outcome"], &last["position"]), (&json!("unchanged"), &json!(position)));
    assert_eq!((&first["outcome"], &first["actor"]), (&json!("accepted"), &json!(operator.account)));
    assert_eq!(first["time"], json!(suspended_at.to_string()));
    let command = &first["command"];
    assert_eq!(
        [&command["name"], &command["id"], &command["device"], &command["is_stepped_up"]],
        [&json!("seller.suspend"), &receipt["receipt"]["command"], &json!(operator.device), &json!(false)]
    );
    let event = &first["events"][0];
    assert_eq!(
        (&event["type"], &event["data"]),
        (&json!("seller.suspended.v1"), &json!({"account": seller.account, "reason": "forged goods"}))
    );
    // The same receipt is had by what is told, and what was signed is what the log has.
    let of = format!("/v1/receipts/{}/{}", operator.account, command["id"].as_str().unwrap());
    let (_, found) = json_of(shop.get(&of).bearer_auth(&token)).await;
    assert_eq!(found["receipt"], receipt["receipt"]);
    let commit = shop.gateway.log.commit(first["position"].as_u64().unwrap()).await.unwrap().unwrap();
    let events::metadata::Cause::Command(stamp) = &commit.start().cause else { panic!("a command") };
    assert_eq!(command["signed"], json!(stamp.signed));
    // A market begins with what nobody asked for.
    let began = shown["acts"].as_array().unwrap().last().unwrap();
    assert_eq!((&began["actor"], &began["outcome"]), (&Value::Null, &Value::Null), "{began}");

    // By whom, about what, when; a page at a time.
    let suspend = json!("seller.suspend");
    let about = acts(&format!("subject={}", seller.account)).await;
    assert_eq!(names(&about)[0], suspend, "{about}");
    let registered = names(&about);
    assert!(registered[1..].contains(&json!("account.register")), "{registered:?}");
    assert!(registered.contains(&json!("device.register")), "a device is its account's: {registered:?}");
    assert_eq!(
        names(&acts(&format!("actor={}", operator.account)).await),
        [suspend.clone(), suspend.clone()]
    );
    assert_eq!(names(&acts(&format!("actor={}", buyer.account)).await), [] as [Value; 0], "he only buys");
    let access = names(&acts("kind=access&limit=100").await);
    assert!(
        access.iter().all(|name| *name == "account.register" || *name == "device.register"),
        "{access:?}"
    );
    let (from, to) = (suspended_at.ms(), suspended_at.ms() + 1);
    assert_eq!(acts(&format!("from={from}&to={to}")).await["acts"], json!([first]));
    assert_eq!(acts(&format!("from={to}")).await["acts"], json!([last]));
    assert_eq!(acts("to=1000").await["acts"], json!([]), "before there was a market");
    let page = acts("limit=1").await;
    assert_eq!(page["acts"], json!([last]));
    let next = acts(&format!("limit=1&cursor={}", page["next_cursor"])).await;
    assert_eq!(next["acts"], json!([first]));

    for wrong in ["actor=x", "kind=all", "kind=staff&subject=x", "from=yesterday", "limit=0", "as_of=1"] {
        problem(shop.get(&format!("/v1/audit?{wrong}")).bearer_auth(&token), 400, "query_invalid").await;
    }
    for who in [&seller, &buyer, &shop.registrar] {
        let request = shop.get("/v1/audit").bearer_auth(shop.token(who).await);
        problem(request, 403, "scope_denied").await;
    }
    shop.close().await;
}
