//! Looking for listings over HTTP, with a token and without.

#![allow(clippy::unwrap_used)] // what a test calls is a test too

mod support;

use std::collections::{BTreeMap, BTreeSet};

use commands::command::{
    BlockListing, CreateListing, DescribeListing, ReceiveStock, SetSynonyms, UpdateListing,
};
use events::account::Role;
use events::ids::ListingId;
use reqwest::StatusCode;
use serde_json::{Value, json};
use support::{Person, Shop, json_of, problem, units, usd};
use uuid::Uuid;

async fn offer(shop: &Shop, seller: &Person, title: &str, minor: i64) -> ListingId {
    let listing = ListingId::from_uuid(Uuid::now_v7());
    let offered = CreateListing::new(listing, usd(minor), title.to_owned().try_into().unwrap());
    shop.accepted(seller, offered).await;
    listing
}

fn describe(listing: ListingId) -> DescribeListing {
    let attributes = BTreeMap::from([("colour".to_owned(), "green".to_owned())]);
    DescribeListing {
        attributes: Some(attributes.try_into().unwrap()),
        category: Some("kitchen/tea".parse().unwrap()),
        description: Some("Steamed <leaves>".to_owned().try_into().unwrap()),
        listing,
        tags: Some(BTreeSet::from(["leaf".to_owned()]).try_into().unwrap()),
    }
}

fn position_of(receipt: &Value) -> u64 {
    receipt["receipt"]["position"].as_u64().unwrap()
}

fn titles(answer: &Value) -> Vec<&str> {
    answer["hits"].as_array().unwrap().iter().map(|hit| hit["title"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn anybody_finds_what_can_be_bought_as_it_is_now() {
    let shop = Shop::open().await;
    let (seller, operator) = (shop.person(&[Role::Seller]).await, shop.person(&[Role::Operator]).await);
    let tea = offer(&shop, &seller, "Grüner Tee", 500).await;
    let pot = offer(&shop, &seller, "Teapot", 2_500).await;
    shop.accepted(&seller, describe(tea)).await;
    let received = ReceiveStock { listing: tea, location: None, quantity: units(3) };
    let position = position_of(&shop.accepted(&seller, received).await);
    let (status, found) = json_of(shop.get(&format!("/v1/search?q=gruner&min_position={position}"))).await;
    assert_eq!(status, StatusCode::OK, "{found}");
    let expected = json!({
        "found": 1,
        "hits": [{
            "listing": tea, "seller": seller.account, "title": "Grüner Tee", "price": usd(500), "available": 3,
            "restricted": false, "variant": null, "category": "kitchen/tea", "description": "Steamed <leaves>",
            "attributes": {"colour": "green"}, "tags": ["leaf"], "title_marked": "<mark>Grüner</mark> Tee",
            "description_marked": null,
        }],
        "next_cursor": null,
        "facets": null,
    });
    assert_eq!(found, expected);
    let token = shop.token(&seller).await;
    let (_, shown) = json_of(shop.get(&format!("/v1/listings/{tea}")).bearer_auth(&token)).await;
    assert_eq!((&shown["category"], &shown["tags"]), (&json!("kitchen/tea"), &json!(["leaf"])));
    let cheaper = UpdateListing { price: Some(usd(100)), ..nothing(pot) };
    let position = position_of(&shop.accepted(&seller, cheaper).await);
    let by_price = format!("/v1/search?q=te&sort=price&currency=USD&min_position={position}");
    assert_eq!(titles(&json_of(shop.get(&by_price)).await.1), ["Teapot", "Grüner Tee"]);
    for (query, expected) in [
        ("q=tee&attribute[colour]=green", vec!["Grüner Tee"]),
        ("attribute[colour]=red", vec![]),
        ("category=kitchen", vec!["Grüner Tee"]),
        ("in_stock=true", vec!["Grüner Tee"]),
        ("currency=USD&price_max=100", vec!["Teapot"]),
        (&format!("seller={}", operator.account), vec![]),
    ] {
        let (_, found) = json_of(shop.get(&format!("/v1/search?{query}"))).await;
        assert_eq!(titles(&found), expected, "{query}");
    }
    let (_, first) = json_of(shop.get("/v1/search?limit=1")).await;
    let cursor = first["next_cursor"].as_str().unwrap();
    let (_, second) = json_of(shop.get(&format!("/v1/search?limit=1&cursor={cursor}"))).await;
    assert_eq!((titles(&first), titles(&second)), (vec!["Teapot"], vec!["Grüner Tee"]));
    assert_eq!(second["next_cursor"], json!(null));
    problem(shop.get(&format!("/v1/search?q=te&cursor={cursor}")), 400, "query_invalid").await;
    let blocked = BlockListing { listing: pot, reason: "fake".to_owned().try_into().unwrap() };
    let position = position_of(&shop.accepted(&operator, blocked).await);
    let (_, found) = json_of(shop.get(&format!("/v1/search?q=te&min_position={position}"))).await;
    assert_eq!((titles(&found), &found["found"]), (vec!["Grüner Tee"], &json!(1)));
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_clients_find_the_same_under_their_own_names() {
    let shop = Shop::open().await;
    let (seller, buyer) = (shop.person(&[Role::Seller]).await, shop.person(&[Role::Buyer]).await);
    let tea = offer(&shop, &seller, "Green tea", 500).await;
    offer(&shop, &seller, "Black tea", 500).await;
    let position = position_of(&shop.accepted(&seller, describe(tea)).await);
    let path = |query: &str| format!("/api/marketplace/search?min_position={position}&{query}");
    let request = shop.get(&path("query=tea&filters={\"category\":\"kitchen\"}"));
    let answer = support::ask(request).await;
    assert_eq!(answer.headers["cache-control"], "no-store");
    let found: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(titles(&found), ["Green tea"]);
    let beside = "query=tea&filters={\"category\":\"kitchen\",\"in_stock\":false}&category=garden";
    assert_eq!(json_of(shop.get(&path(beside))).await.1["found"], json!(0));
    let own = format!("query=tea&user_id={}&device_id={}", buyer.account, buyer.device);
    problem(shop.get(&path(&own)), 401, "token_missing").await;
    let token = shop.token(&buyer).await;
    let (status, found) = json_of(shop.get(&path(&own)).bearer_auth(&token)).await;
    assert_eq!((status, &found["found"]), (StatusCode::OK, &json!(2)));
    let anothers = format!("user_id={}", seller.account);
    problem(shop.get(&path(&anothers)).bearer_auth(&token), 403, "scope_denied").await;
    problem(shop.get(&path("query=tea")).bearer_auth("x.y"), 401, "token_invalid").await;
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_can_not_be_understood_is_told_what_is_wrong() {
    let shop = Shop::open().await;
    let long = "x".repeat(201);
    for query in [
        &format!("q={long}"),
        "q=a b c d e f g h i j k",
        "sort=price",
        "price_min=1",
        "price_min=x&currency=USD",
        "currency=usd",
        "category=A",
        "seller=x",
        "in_stock=1",
        "facets=1",
        "personal=no",
        "sort=best",
        "limit=0",
        "limit=51",
        "cursor=!",
        "cursor=AAAA",
        "colour=red",
        "attribute=red",
        "query=tea",
        "attribute[a]=1&attribute[b]=1&attribute[c]=1&attribute[d]=1&attribute[e]=1&attribute[f]=1&attribute[g]=1\
         &attribute[h]=1&attribute[i]=1",
    ] {
        problem(shop.get(&format!("/v1/search?{query}")), 400, "query_invalid").await;
    }
    for query in ["q=tea", "filters=x", "filters={\"colour\":1}", "user_id=x", "device_id=x"] {
        problem(shop.get(&format!("/api/marketplace/search?{query}")), 400, "query_invalid").await;
    }
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn results_tell_what_else_there_is_and_what_was_looked_for_is_marked() {
    let shop = Shop::open().await;
    let (seller, operator) = (shop.person(&[Role::Seller]).await, shop.person(&[Role::Operator]).await);
    let tea = offer(&shop, &seller, "Green <b>tea</b>", 500).await;
    offer(&shop, &seller, "Green teapot", 500).await;
    shop.accepted(&seller, describe(tea)).await;
    let group = BTreeSet::from(["kettle".to_owned(), "teapot".to_owned()]).try_into().unwrap();
    let position = position_of(&shop.accepted(&operator, SetSynonyms { groups: vec![group] }).await);
    let (_, found) =
        json_of(shop.get(&format!("/v1/search?q=green leaves&facets=true&min_position={position}"))).await;
    let hit = &found["hits"][0];
    assert_eq!(hit["title_marked"], "<mark>Green</mark> &lt;b&gt;tea&lt;/b&gt;");
    assert_eq!(hit["description_marked"], "Steamed &lt;<mark>leaves</mark>&gt;");
    let expected = json!({
        "category": [{"value": "kitchen", "count": 1}, {"value": "kitchen/tea", "count": 1}],
        "tag": [{"value": "leaf", "count": 1}],
        "seller": [{"value": seller.account, "count": 1}],
        "attribute": {"colour": [{"value": "green", "count": 1}]},
        "price": [{"lowest": usd(500), "highest": usd(500), "count": 1}],
    });
    assert_eq!(found["facets"], expected);
    assert_eq!(titles(&json_of(shop.get("/v1/search?q=kettle")).await.1), ["Green teapot"]);
    let (status, found) = json_of(shop.get("/v1/search/suggest?q=green te")).await;
    let listings = found["listings"].as_array().unwrap();
    assert_eq!((status, listings.len()), (StatusCode::OK, 2), "{found}");
    assert_eq!(listings[0]["title_marked"], "<mark>Green</mark> <mark>teapot</mark>");
    let completions = json!([{"text": "green tea", "listings": 1}, {"text": "green teapot", "listings": 1}]);
    assert_eq!(found["completions"], completions);
    let nothing = json!({"completions": [], "listings": []});
    assert_eq!(json_of(shop.get("/v1/search/suggest")).await, (StatusCode::OK, nothing));
    problem(shop.get("/v1/search/suggest?q=te&limit=11"), 400, "query_invalid").await;
    problem(shop.get("/v1/search/suggest?q=te&sort=price"), 400, "query_invalid").await;
    shop.close().await;
}

fn nothing(listing: ListingId) -> UpdateListing {
    UpdateListing {
        final_sale: None,
        limits: None,
        listing,
        price: None,
        restricted: None,
        tax_class: None,
        title: None,
        release: None,
    }
}
