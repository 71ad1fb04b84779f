//! The demonstration that the documentation begins with, from its import to its audit.

mod common;

use common::Cli;
use reqwest::{Client, RequestBuilder, Response};
use serde_json::Value;

/// Purchases of the history: few, so that the test is fast.
const PURCHASES: u64 = 60;
/// Orders of the demo people that are waited for.
const LIVE_ORDERS: usize = 2;

/// Reads server-sent events until as many of a type have come, and gives them.
async fn events_of(mut stream: Response, type_name: &str, count: usize) -> Vec<Value> {
    let (mut text, mut found) = (String::new(), Vec::new());
    while found.len() < count {
        let chunk = stream.chunk().await.expect("the stream goes on").expect("the stream does not end");
        text.push_str(std::str::from_utf8(&chunk).expect("events are text"));
        while let Some((event, rest)) = text.split_once("\n\n") {
            let data = event.lines().find_map(|line| line.strip_prefix("data: "));
            if let Some(data) = data
                && event.lines().any(|line| line.strip_prefix("event: ") == Some(type_name))
            {
                found.push(serde_json::from_str(data).expect("events are JSON"));
            }
            text = rest.to_owned();
        }
    }
    found
}

async fn json(request: RequestBuilder) -> Value {
    let answer = request.send().await.expect("the gateway answers");
    let status = answer.status();
    let body = answer.bytes().await.expect("the answer comes whole");
    assert!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&body));
    serde_json::from_slice(&body).expect("answers are JSON")
}

#[test]
fn the_demonstration_has_a_history_and_people_who_trade_and_ends_well() {
    let cli = Cli::new();
    let up = cli.up(&["--demo", "--demo-purchases", &PURCHASES.to_string()]);
    assert!(up.said.contains("purchases of 1997 as the market's history"), "{}", up.said);
    let url = up.url();
    let token = cli.ok(&["keys", "token", "operator", "--url", &url]);
    let http = Client::new();
    let get = |path: &str| http.get(format!("{url}{path}")).bearer_auth(token.trim());
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made");
    let live = runtime.block_on(async {
        let stream = get("/v1/stream").send().await.expect("the gateway answers");
        let placed = events_of(stream, "order.placed.v1", LIVE_ORDERS).await;
        for event in &placed {
            let (id, position) = (event["subject"].as_str().unwrap_or_default(), &event["position"]);
            let order = json(get(&format!("/v1/orders/{id}?min_position={position}"))).await;
            assert_eq!(order["order"], id, "{order}");
            assert_eq!(order["total"], event["data"]["total"], "{order}");
        }
        placed
    });
    let positions: Vec<_> = live.iter().map(|event| event["position"].as_u64()).collect();
    assert!(positions.is_sorted() && positions[0] != positions[1], "{positions:?}");

    let (status, said) = up.terminate();
    assert_eq!(status.code(), Some(0), "{said}");
    assert!(said.contains("the log ends at position"), "{said}");
    let report = cli.json(&["verify", "--json"]);
    let orders = report["orders"].as_u64().unwrap_or_default();
    assert!(orders >= PURCHASES - 1 + LIVE_ORDERS as u64, "history and trade are in the log: {report}");
    // A second start finds the history there, and trades on.
    let up = cli.up(&["--demo"]);
    assert!(!up.said.contains("Imported"), "{}", up.said);
    let (status, said) = up.terminate();
    assert_eq!(status.code(), Some(0), "{said}");
}
