//! What differs between a provider's file and the ledger, over HTTP: for operators alone.

mod support;

use commands::command::{FoundBreak, ReportReconciliation, ResolveBreak};
use events::account::Role;
use events::reconciliation::{Difference, MovementKind, Total};
use events::{Hash, Timestamp};
use reqwest::StatusCode;
use serde_json::json;
use support::{Person, Shop, ask, json_of, problem, usd};

const PATH: &str = "/v1/reconciliation/breaks";

#[allow(clippy::unwrap_used)] // what a test calls is a test too
fn report(provider: &Person, references: &[&str]) -> ReportReconciliation {
    let found = |reference: &&str| FoundBreak {
        at: Timestamp::from_ms(1000),
        difference: Difference::MissingInLedger { theirs: usd(700) },
        kind: MovementKind::Payment,
        position: None,
        reference: (*reference).to_owned().try_into().unwrap(),
    };
    ReportReconciliation {
        breaks: references.iter().map(found).collect::<Vec<_>>().try_into().unwrap(),
        compared_to: 1,
        file: Hash::of(b"file"),
        from: Timestamp::from_ms(0),
        in_flight: 0,
        matched: 0,
        provider: provider.account,
        totals: vec![Total { fees: usd(0), ours: usd(0), theirs: usd(700) }].try_into().unwrap(),
        unlisted: 0,
        until: Timestamp::from_ms(2000),
    }
}

/// Metrics are of the process, so all that reads them stands in one test.
#[tokio::test(flavor = "multi_thread")]
async fn breaks_are_listed_for_operators_and_counted() {
    let shop = Shop::open().await;
    let (operator, provider) = (shop.person(&[Role::Operator]).await, shop.person(&[Role::Provider]).await);
    let buyer = shop.person(&[Role::Buyer]).await;
    for who in [&buyer, &provider] {
        problem(shop.get(PATH).bearer_auth(shop.token(who).await), 403, "scope_denied").await;
    }
    problem(shop.get(PATH), 401, "token_missing").await;
    let token = shop.token(&operator).await;
    let asked = |query: String| shop.get(&format!("{PATH}?{query}")).bearer_auth(&token);
    let receipt = shop.accepted(&operator, report(&provider, &["r1", "r2", "r3"])).await;
    let position = receipt["receipt"]["position"].clone();
    let (status, page) = json_of(asked(format!("min_position={position}&limit=2"))).await;
    assert_eq!(status, StatusCode::OK, "{page}");
    let numbers = |page: &serde_json::Value| -> Vec<u64> {
        page["breaks"].as_array().unwrap().iter().map(|one| one["number"].as_u64().unwrap()).collect()
    };
    assert_eq!((numbers(&page), &page["next_cursor"]), (vec![3, 2], &json!(2)));
    let first = &page["breaks"][0];
    assert_eq!(
        first["difference"],
        json!({"missing_in_ledger": {"theirs": {"currency": "USD", "minor": 700}}})
    );
    assert!(first["opened_at_rfc3339"].is_string() && first["resolution"].is_null(), "{first}");
    let (_, rest) = json_of(asked("cursor=2".to_owned())).await;
    assert_eq!((numbers(&rest), &rest["next_cursor"]), (vec![1], &json!(null)));
    let reason = "found and credited".to_owned().try_into().unwrap();
    let receipt = shop.accepted(&operator, ResolveBreak { number: 2, reason }).await;
    let position = receipt["receipt"]["position"].clone();
    let (_, page) = json_of(asked(format!("min_position={position}&state=resolved"))).await;
    assert_eq!(page["breaks"][0]["resolution"]["reason"], "found and credited", "{page}");
    assert!(page["breaks"][0]["resolution"]["resolved_at_rfc3339"].is_string(), "{page}");
    problem(asked("state=lost".to_owned()), 400, "query_invalid").await;
    problem(asked("limit=101".to_owned()), 400, "query_invalid").await;
    let metrics = String::from_utf8(ask(shop.get("/metrics")).await.body.to_vec()).unwrap();
    assert!(metrics.contains("\nskylink_reconciliation_breaks_open 2\n"), "{metrics}");
    shop.close().await;
}
