//! What comes wrong over HTTP gets a clear answer: a status, a stable code, and what to do.

#![allow(clippy::unwrap_used)] // what a test calls is a test too

mod support;

use commands::Refusal;
use commands::personal::HEADER_BYTES_MAX;
use events::account::Role;
use reqwest::Method;
use serde_json::json;
use support::{Person, Shop, ask, documented, problem};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

const TEN_MEGABYTES: usize = 10 * 1024 * 1024;

async fn connect(shop: &Shop) -> (OwnedReadHalf, OwnedWriteHalf) {
    let address = shop.base.strip_prefix("http://").unwrap();
    TcpStream::connect(address).await.unwrap().into_split()
}

/// Reads one answer: its head, and the body of the length it names.
async fn answer(reader: &mut OwnedReadHalf) -> (String, Vec<u8>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(reader.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    reader.read_exact(&mut body).await.unwrap();
    (head, body)
}

fn check_too_large(head: &str, body: &[u8]) {
    assert!(head.starts_with("http/1.1 413"), "{head}");
    documented::check("POST", "/v1/commands", 413, "application/problem+json", body);
    let problem: serde_json::Value = serde_json::from_slice(body).unwrap();
    assert_eq!((&problem["code"], &problem["max"]), (&json!("too_large"), &json!(32 * 1024)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_too_large_is_answered_before_it_is_sent() {
    let shop = Shop::open().await;
    for expect in ["", "expect: 100-continue\r\n"] {
        let (mut reader, mut writer) = connect(&shop).await;
        let head = format!(
            "POST /v1/commands HTTP/1.1\r\nhost: x\r\n{expect}content-length: {TEN_MEGABYTES}\r\n\r\n"
        );
        writer.write_all(head.as_bytes()).await.unwrap();
        let (head, body) = answer(&mut reader).await;
        check_too_large(&head, &body);
    }
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_ten_megabytes_reads_why_not() {
    let shop = Shop::open().await;
    let (mut reader, mut writer) = connect(&shop).await;
    let sent = tokio::spawn(async move {
        let head =
            format!("POST /v1/commands HTTP/1.1\r\nhost: x\r\ncontent-length: {TEN_MEGABYTES}\r\n\r\n");
        writer.write_all(head.as_bytes()).await.unwrap();
        // The server closes before it has read all; what the system buffers of it is not the server's.
        let _ = writer.write_all(&vec![b'x'; TEN_MEGABYTES]).await;
    });
    let (head, body) = answer(&mut reader).await;
    check_too_large(&head, &body);
    drop(reader);
    sent.await.unwrap();
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_a_little_too_large_does_not_cost_the_connection() {
    let shop = Shop::open().await;
    let (mut reader, mut writer) = connect(&shop).await;
    for _ in 0..2 {
        let body = vec![b'x'; 200 * 1024];
        let head = format!("POST /v1/commands HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len());
        writer.write_all(head.as_bytes()).await.unwrap();
        writer.write_all(&body).await.unwrap();
        let (head, body) = answer(&mut reader).await;
        check_too_large(&head, &body);
    }
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_never_ends_is_too_large() {
    let shop = Shop::open().await;
    let (mut reader, mut writer) = connect(&shop).await;
    let head = "POST /v1/commands HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
    writer.write_all(head.as_bytes()).await.unwrap();
    let sent = tokio::spawn(async move {
        let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000));
        while writer.write_all(chunk.as_bytes()).await.is_ok() {}
    });
    let (head, body) = answer(&mut reader).await;
    check_too_large(&head, &body);
    // The server cuts it off, which ends the writing.
    sent.await.unwrap();
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_headers_are_a_problem_and_far_too_many_an_end() {
    let shop = Shop::open().await;
    let mut request = shop.get("/v1/wallet");
    for n in 0..gateway::http::HEADERS_MAX {
        request = request.header(format!("x-{n}"), "x");
    }
    problem(request, 431, "headers_too_many").await;
    let (mut reader, mut writer) = connect(&shop).await;
    let many: String = (0..1000).map(|n| format!("x-{n}: x\r\n")).collect();
    writer.write_all(format!("GET / HTTP/1.1\r\nhost: x\r\n{many}\r\n").as_bytes()).await.unwrap();
    assert!(answer(&mut reader).await.0.starts_with("http/1.1 431"));
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_longest_header_that_is_described_is_read_and_a_longer_one_is_a_problem() {
    let shop = Shop::open().await;
    for length in [HEADER_BYTES_MAX, HEADER_BYTES_MAX + 1] {
        let unsigned = shop.post("/v1/commands", "application/json", br#"{"command":"cart.clear"}"#.to_vec());
        let unsigned = unsigned.header("skylink-personal", "x".repeat(length));
        // With as much beside it as a proxy or a browser might add, and more.
        problem(unsigned.header("x-beside", "x".repeat(48 * 1024)), 401, "sig_missing").await;
    }
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_signed_command_are_refused() {
    let shop = Shop::open().await;
    let flat = |body: &[u8]| shop.post("/v1/commands", "application/json", body.to_vec());
    for (body, status, code) in [
        (r#"{"command":"cart.clear","command":"cart.add","signature":"x"}"#, 400, "sig_malformed"),
        (r#"{"command":"cart.clear","quantity":1.50,"signature":"x"}"#, 400, "sig_malformed"),
        (r#"{"command":"cart.clear","quantity":1e400,"signature":"x"}"#, 400, "sig_malformed"),
        (r#"{"command":"cart.clear"}"#, 401, "sig_missing"),
        (r#"{"signature":7}"#, 400, "sig_malformed"),
        (r#"{"#, 400, "sig_malformed"),
        ("[]", 400, "sig_malformed"),
        ("", 401, "sig_missing"),
    ] {
        let told = problem(flat(body.as_bytes()), status, code).await;
        assert!(told["detail"].as_str().unwrap().len() > 10, "{told}");
    }
    problem(flat(&[0xff, 0xfe]), 400, "sig_malformed").await;
    problem(flat("[".repeat(30_000).as_bytes()), 400, "sig_malformed").await;
    problem(flat("{\"a\":".repeat(6_000).as_bytes()), 400, "sig_malformed").await;
    for content_type in ["image/png", "application/x-www-form-urlencoded", ""] {
        let sent = shop.post("/v1/commands", content_type, "x");
        let told = problem(sent, 415, "media_type_unsupported").await;
        assert!(told["detail"].as_str().unwrap().contains("application/jose"), "{told}");
        problem(shop.post("/v1/tokens", content_type, "x"), 415, "media_type_unsupported").await;
    }
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_that_do_not_exist_are_not_found() {
    let shop = Shop::open().await;
    let told = problem(shop.post("/v1/commands/order.teleport", "text/plain", "x"), 404, "cmd_unknown").await;
    assert_eq!(told["name"], "order.teleport");
    let long = format!("/v1/commands/{}", "x".repeat(5_000));
    let told = problem(shop.post(&long, "text/plain", "x"), 404, "cmd_unknown").await;
    assert_eq!(told["name"], "x".repeat(64));
    let person = shop.person(&[Role::Buyer]).await;
    let signed = person.request("order.teleport", json!({}), shop.now());
    problem(shop.post("/v1/commands", "application/jose", signed), 404, "cmd_unknown").await;
    let bad_body = person.request("cart.add", json!({"listing": "x", "quantity": 0}), shop.now());
    problem(shop.post("/v1/commands", "application/jose", bad_body), 400, "body_invalid").await;
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_that_do_not_exist_are_not_found_and_other_methods_not_allowed() {
    let shop = Shop::open().await;
    let person = shop.person(&[Role::Buyer]).await;
    let token = shop.token(&person).await;
    for path in ["/nowhere", "/v1", "/v1/orders/", "//", "/v1/orders/a/b", "/%00", "/..%2f..%2fetc/passwd"] {
        problem(shop.get(path).bearer_auth(&token), 404, "not_found").await;
    }
    let id = uuid::Uuid::nil();
    for path in [
        "/v1/orders/x".to_owned(),
        "/v1/orders/%ff".to_owned(),
        "/v1/carts/0".to_owned(),
        format!("/v1/carts/{id}x"),
        format!("/v1/receipts/{id}/x"),
        format!("/v1/receipts/x/{id}"),
        format!("/v1/receipts/{id}/{id}"),
        format!("/v1/orders/{id}"),
    ] {
        problem(shop.get(&path).bearer_auth(&token), 404, "not_found").await;
    }
    let document = gateway::openapi::document();
    let methods = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];
    for (path, described) in document["paths"].as_object().unwrap() {
        for method in &methods {
            if described.get(method.as_str().to_lowercase()).is_some() {
                continue;
            }
            let path = path.replace("{name}", "cart.clear").replace(['{', '}'], "");
            let sent = shop.http.request(method.clone(), format!("{}{path}", shop.base));
            let answer = ask(sent).await;
            let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
            assert_eq!(
                (answer.status.as_u16(), &body["code"]),
                (405, &json!("method_not_allowed")),
                "{path}"
            );
            assert!(!answer.headers["allow"].is_empty(), "{method} {path}");
        }
    }
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_out_of_range_say_what_the_range_is() {
    let shop = Shop::open().await;
    let operator = shop.person(&[Role::Operator]).await;
    let token = shop.token(&operator).await;
    for path in ["/v1/orders?", "/v1/analytics/top?currency=USD&"] {
        for limit in ["-1", "0", "101", "1.5", "1e3", "", "x", "18446744073709551616"] {
            let asked = shop.get(&format!("{path}limit={limit}")).bearer_auth(&token);
            let told = problem(asked, 400, "query_invalid").await;
            assert_eq!(told["detail"], "`limit` is 1 to 100");
        }
    }
    for path in [
        "/v1/orders?account=x",
        "/v1/orders?cursor=-1",
        "/v1/orders?role=owner",
        "/v1/orders?limit=1&limit=1",
        "/v1/orders?%ff=1",
        "/v1/wallet?min_position=-1",
        "/v1/wallet?min_position=18446744073709551616",
        "/v1/wallet?nothing",
        "/v1/analytics/summary?from=yesterday",
        "/v1/analytics/summary?from=-1",
        "/v1/analytics/summary?to=253402300800000",
        "/v1/analytics/summary?seller=x",
        "/v1/analytics/summary?listing=x",
        "/v1/analytics/series?step=minute",
        "/v1/analytics/series?from=2&to=1",
        "/v1/analytics/top",
        "/v1/analytics/top?currency=usd",
        "/v1/analytics/top?currency=USD&of=buyers",
        "/v1/stream?from=-1",
        "/v1/stream?from=18446744073709551615",
    ] {
        let told = problem(shop.get(path).bearer_auth(&token), 400, "query_invalid").await;
        assert!(told["detail"].as_str().unwrap().len() > 10, "{path}: {told}");
    }
    for id in ["", "x", "-1", "18446744073709551615", "1000000"] {
        let asked = shop.get("/v1/stream").bearer_auth(&token).header("last-event-id", id);
        problem(asked, 400, "query_invalid").await;
    }
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_without_a_signature_or_token_are_told_which() {
    let shop = Shop::open().await;
    let person = Person::new();
    let unsigned = shop.post("/v1/commands", "application/json", r#"{"command":"cart.clear"}"#);
    let told = problem(unsigned, 401, Refusal::SigMissing.code()).await;
    assert!(told["detail"].as_str().unwrap().contains("signature"), "{told}");
    let stranger = person.sign(commands::command::ClearCart::default(), shop.now());
    problem(shop.post("/v1/commands", "application/jose", stranger), 401, "kid_unknown").await;
    for header in ["", "Bearer", "Basic eDp5", "bearer "] {
        let asked = shop.get("/v1/wallet").header("authorization", header);
        let told = ask(asked).await;
        assert_eq!(told.status, reqwest::StatusCode::UNAUTHORIZED);
        assert_eq!(told.headers["www-authenticate"], "Bearer");
    }
    problem(shop.get("/v1/wallet").bearer_auth("x".repeat(20_000)), 401, "token_invalid").await;
    shop.close().await;
}
