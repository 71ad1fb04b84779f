//! What is recommended over HTTP, after real orders.

#![allow(clippy::unwrap_used)] // what a test calls is a test too

mod support;

use commands::command::{DescribeListing, OrderLine, PaymentMethod, PlaceOrder};
use events::account::Role;
use events::ids::ListingId;
use reqwest::StatusCode;
use serde_json::{Value, json};
use support::{Shop, json_of, problem, units, usd};

fn purchase(listings: &[ListingId]) -> PlaceOrder {
    let line = |listing: &ListingId| OrderLine { listing: *listing, quantity: units(1), quote: None };
    let total = usd(500 * listings.len() as i64);
    PlaceOrder::new(listings.iter().map(line).collect(), PaymentMethod::Wallet, total)
}

fn listed(answer: &Value) -> Vec<String> {
    let all = answer["recommendations"].as_array().unwrap();
    all.iter().map(|one| one["listing"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_bought_together_and_of_late_is_recommended_with_the_reason() {
    let shop = Shop::open().await;
    let seller = shop.person(&[Role::Seller]).await;
    let (buyer, other) = (shop.funded_buyer(100_000).await, shop.funded_buyer(10_000).await);
    let mut listings = Vec::new();
    for _ in 0..3 {
        listings.push(shop.listing(&seller, 500, 100).await);
    }
    let [pot, tea, cup] = listings[..] else { panic!("there are three") };
    for _ in 0..3 {
        shop.accepted(&buyer, purchase(&[pot, tea])).await;
    }
    for _ in 0..20 {
        shop.accepted(&buyer, purchase(&[cup])).await;
    }
    let position = shop.accepted(&other, purchase(&[pot])).await["receipt"]["position"].clone();

    let path = format!("/v1/recommendations/bought-with?listings={pot}&min_position={position}");
    let (status, found) = json_of(shop.get(&path)).await;
    let expected = json!({"ordered_by": "market", "recommendations": [{
        "listing": tea, "seller": seller.account, "title": "A lamp", "price": usd(500), "available": 97,
        "reason": {"kind": "bought_with", "listing": pot, "title": "A lamp", "orders": 3},
    }]});
    assert_eq!((status, found), (StatusCode::OK, expected));
    let both = json_of(shop.get(&format!("/v1/recommendations/bought-with?listings={pot},{tea}"))).await.1;
    assert_eq!(listed(&both), [""; 0]);

    let (_, popular) = json_of(shop.get("/v1/recommendations/popular?limit=2")).await;
    assert_eq!(listed(&popular), [cup.to_string(), pot.to_string()]);
    assert_eq!(popular["recommendations"][0]["reason"], json!({"kind": "popular", "orders": 20}));

    // Of a category, and of those within it.
    for (listing, category) in [(pot, "kitchen/pots"), (tea, "kitchen"), (cup, "kitchenette")] {
        let description = "Of good use".to_owned().try_into().unwrap();
        let category = Some(category.parse().unwrap());
        let (attributes, tags) = (Default::default(), Default::default());
        let said = DescribeListing { attributes, category, description: Some(description), listing, tags };
        shop.accepted(&seller, said).await;
    }
    let of = async |category: &str| {
        let position = shop.gateway.log.head().await.unwrap().position;
        let query = format!("category={category}&min_position={position}");
        listed(&json_of(shop.get(&format!("/v1/recommendations/popular?{query}"))).await.1).join(" ")
    };
    assert_eq!(of("kitchen").await, format!("{pot} {tea}"));
    assert_eq!(of("kitchen/pots").await, pot.to_string());
    assert_eq!(of("kitchen/pans").await, "");

    problem(shop.get("/v1/recommendations/for-you"), 401, "token_missing").await;
    let token = shop.token(&other).await;
    let (_, own) = json_of(shop.get("/v1/recommendations/for-you").bearer_auth(&token)).await;
    assert_eq!(listed(&own), [tea.to_string(), cup.to_string()]);
    let kinds: Vec<&Value> =
        own["recommendations"].as_array().unwrap().iter().map(|one| &one["reason"]["kind"]).collect();
    assert_eq!(kinds, ["bought_with", "popular"]);
    // The search of the first clients comes with suggestions.
    let searched = |query: &str| shop.get(&format!("/api/marketplace/search?query=sofa{query}"));
    let (_, found) = json_of(searched("")).await;
    let suggested = |found: &Value| listed(&json!({"recommendations": found["suggestions"]})).join(" ");
    assert_eq!((&found["found"], suggested(&found)), (&json!(0), format!("{cup} {pot} {tea}")));
    let (_, found) = json_of(searched("").bearer_auth(&token)).await;
    assert_eq!(suggested(&found), format!("{tea} {cup}"));
    let (_, found) = json_of(searched("&personal=false").bearer_auth(&token)).await;
    assert_eq!(suggested(&found), format!("{cup} {pot} {tea}"));
    let (_, all) =
        json_of(shop.get("/v1/recommendations/for-you").bearer_auth(shop.token(&buyer).await)).await;
    assert_eq!(listed(&all), [pot.to_string(), tea.to_string()], "he ordered nothing else of late than cups");

    let many = vec![pot.to_string(); 21].join(",");
    for query in [
        "bought-with".to_owned(),
        "bought-with?listings=".to_owned(),
        "bought-with?listings=x".to_owned(),
        format!("bought-with?listings={many}"),
        format!("bought-with?listings={pot}&limit=51"),
        "popular?listings=x".to_owned(),
        "popular?limit=0".to_owned(),
        "popular?category=No category".to_owned(),
    ] {
        problem(shop.get(&format!("/v1/recommendations/{query}")), 400, "query_invalid").await;
    }
    shop.close().await;
}
