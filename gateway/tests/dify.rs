//! What language models are asked for through Dify, whose server is played after its documentation, and what is made of its answers.

#![allow(clippy::unwrap_used)] // what a test calls is a test too

mod support;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode as Status, Uri};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use commands::command::{OrderLine, PaymentMethod, PlaceOrder, SetRiskRules};
use engine::providers::Secret;
use events::account::Role;
use events::ids::ListingId;
use gateway::Gateway;
use gateway::dify::{
    Access, Application, Dify, FAILURES_MAX, Kind, Mode, QUESTIONS_AT_ONCE_MAX, Ranking, SetUpError,
};
use reqwest::StatusCode;
use serde_json::{Value, json};
use support::{Person, Shop, json_of, problem, receipt_order, units, usd};
use tokio::sync::{Semaphore, watch};

/// How Dify answers a question.
enum Said {
    Json(u16, Value),
    /// Events of a stream.
    Events(Vec<Value>),
    /// When it is let, with an error.
    Held(Arc<Semaphore>),
}

/// What was asked: path, key and body.
type Asked = (String, String, Value);

/// Plays Dify: each question is answered by the next of what it is to say.
#[derive(Clone, Default)]
struct Played {
    says: Arc<Mutex<VecDeque<Said>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
    /// How many questions have come.
    count: Arc<watch::Sender<usize>>,
}

impl Played {
    async fn serve(&self) -> String {
        let router = Router::new().fallback(answer).with_state(self.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(axum::serve(listener, router).into_future());
        url
    }

    fn will_say(&self, said: Said) {
        self.says.lock().unwrap().push_back(said);
    }

    /// Gives what was asked since the last time.
    fn take_asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

async fn answer(
    State(played): State<Played>,
    uri: Uri,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    let key = headers["authorization"].to_str().unwrap().to_owned();
    played.asked.lock().unwrap().push((uri.path().to_owned(), key, body));
    played.count.send_modify(|count| *count += 1);
    let said = played.says.lock().unwrap().pop_front().expect("nobody asks more than the test expects");
    match said {
        Said::Json(status, body) => (Status::from_u16(status).unwrap(), Json(body)).into_response(),
        Said::Events(events) => {
            let events = events.iter().map(|event| format!("data: {event}\n\n"));
            let stream = format!("event: ping\n\n{}", events.collect::<String>());
            ([("content-type", "text/event-stream")], stream).into_response()
        }
        Said::Held(until) => {
            drop(until.acquire().await);
            Status::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

fn access(url: &str, kind: Kind, mode: Mode) -> Access {
    let time_max = Duration::from_secs(60);
    Access { url: url.to_owned(), key: Secret::new("app-1"), kind, mode, time_max }
}

/// A shop where somebody is recommended three things.
struct Scene {
    shop: Shop,
    dify: Played,
    url: String,
    /// Who has bought nothing yet.
    other: Person,
    /// In the market's own order.
    listings: Vec<ListingId>,
}

impl Scene {
    async fn new() -> Scene {
        let shop = Shop::open().await;
        let seller = shop.person(&[Role::Seller]).await;
        let buyer = shop.funded_buyer(100_000).await;
        let mut listings = Vec::new();
        for orders in (1..=3).rev() {
            let listing = shop.listing(&seller, 500, 100).await;
            listings.push(listing);
            for _ in 0..orders {
                shop.accepted(&buyer, purchase(&listing)).await;
            }
        }
        let other = shop.person(&[Role::Buyer]).await;
        let dify = Played::default();
        let url = dify.serve().await;
        Scene { shop, dify, url, other, listings }
    }

    /// Serves the shop once more, by an application that puts recommendations in order.
    async fn ranked_by(&self, kind: Kind, mode: Mode) -> String {
        let application = Application::new("ranking", access(&self.url, kind, mode)).unwrap();
        self.serve(Dify { ranking: Some(Ranking::new(application)), analysis: None }).await
    }

    async fn serve(&self, dify: Dify) -> String {
        let gateway = Gateway { dify: Arc::new(dify), ..self.shop.gateway.clone() };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(gateway::serve(listener, gateway, std::future::pending()));
        base
    }

    /// Gets a token, which is good where it was got.
    async fn token(&self, base: &str, who: &Person) -> String {
        let request = who.token_request(json!({"ttl_s": 600}), self.shop.now());
        let tokens = self.shop.http.post(format!("{base}/v1/tokens"));
        let (_, answer) = json_of(tokens.header("content-type", "application/jose").body(request)).await;
        answer["access_token"].as_str().unwrap().to_owned()
    }

    /// Asks what is recommended: who put it in order, and which listings of the market's own order stand where.
    async fn recommended(&self, base: &str, limit: usize) -> (String, Vec<usize>) {
        let url = format!("{base}/v1/recommendations/for-you?limit={limit}");
        let token = self.token(base, &self.other).await;
        let (status, found) = json_of(self.shop.http.get(url).bearer_auth(token)).await;
        assert_eq!(status, StatusCode::OK, "{found}");
        let place = |one: &Value| {
            self.listings.iter().position(|listing| one["listing"] == listing.to_string()).unwrap()
        };
        let places = found["recommendations"].as_array().unwrap().iter().map(place).collect();
        (found["ordered_by"].as_str().unwrap().to_owned(), places)
    }
}

fn purchase(listing: &ListingId) -> PlaceOrder {
    let line = OrderLine { listing: *listing, quantity: units(1), quote: None };
    PlaceOrder::new(vec![line], PaymentMethod::Wallet, usd(500))
}

fn workflow(outputs: Value) -> Value {
    json!({"task_id": "t", "workflow_run_id": "r", "data": {
        "id": "r", "workflow_id": "w", "status": "succeeded", "outputs": outputs, "error": null,
        "elapsed_time": 0.5, "total_tokens": 321, "total_steps": 3, "created_at": 1, "finished_at": 2,
    }})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workflow_puts_what_the_market_recommends_in_order_and_is_told_of_nobody() {
    let scene = Scene::new().await;
    let base = scene.ranked_by(Kind::Workflow, Mode::Blocking).await;
    assert_eq!(scene.recommended(&scene.shop.base, 3).await, ("market".to_owned(), vec![0, 1, 2]));

    let [_, second, third] = scene.listings[..] else { panic!("there are three") };
    let stranger = uuid::Uuid::now_v7();
    scene.dify.will_say(Said::Json(200, workflow(json!({"listings": [third, stranger, third, second]}))));
    assert_eq!(scene.recommended(&base, 3).await, ("dify".to_owned(), vec![2, 1, 0]));
    let [(path, key, body)] = &scene.dify.take_asked()[..] else { panic!("it is asked once") };
    assert_eq!((path.as_str(), key.as_str()), ("/v1/workflows/run", "Bearer app-1"));
    assert_eq!(body["response_mode"], "blocking");
    let told: Value = serde_json::from_str(body["inputs"]["listings"].as_str().unwrap()).unwrap();
    let expected = json!({
        "id": third, "title": "A lamp", "category": null, "price": usd(500), "reason": "ordered 1 times of late",
    });
    assert_eq!(told[2], expected);
    let user = body["user"].as_str().unwrap().to_owned();
    assert_eq!(user.len(), 32, "{user}");

    // What was asked a moment ago is not asked again, however many are wanted.
    assert_eq!(scene.recommended(&base, 1).await, ("dify".to_owned(), vec![2]));
    assert_eq!(scene.dify.take_asked().len(), 0);
    scene.shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_of_workflows_and_chats_are_read_to_the_event_that_ends_them() {
    let scene = Scene::new().await;
    let [first, second, third] = scene.listings[..] else { panic!("there are three") };
    let outputs = json!({"listings": format!("[\"{second}\"]")});
    let mut finished = workflow(outputs);
    finished["event"] = "workflow_finished".into();
    let node =
        json!({"event": "node_finished", "data": {"status": "succeeded", "outputs": {"listings": [third]}}});
    let base = scene.ranked_by(Kind::Workflow, Mode::Streaming).await;
    scene.dify.will_say(Said::Events(vec![json!({"event": "workflow_started"}), node, finished]));
    assert_eq!(scene.recommended(&base, 3).await, ("dify".to_owned(), vec![1, 0, 2]));
    assert_eq!(scene.dify.take_asked()[0].2["response_mode"], "streaming");

    let base = scene.ranked_by(Kind::Chat, Mode::Streaming).await;
    let piece = |words: String| json!({"event": "agent_message", "answer": words});
    let end = json!({"event": "message_end", "metadata": {"usage": {"total_tokens": 12}}});
    let pieces = [format!("Sure! [\"{third}\", "), format!("\"{first}\"]")].map(piece);
    scene.dify.will_say(Said::Events(pieces.into_iter().chain([end]).collect()));
    assert_eq!(scene.recommended(&base, 3).await, ("dify".to_owned(), vec![2, 0, 1]));
    let asked = scene.dify.take_asked();
    assert_eq!(asked[0].0, "/v1/chat-messages");
    assert!(asked[0].2["query"].as_str().unwrap().contains("ids in JSON"), "{:?}", asked[0]);

    let base = scene.ranked_by(Kind::Chat, Mode::Blocking).await;
    let answer = format!("[\"{second}\"]");
    scene.dify.will_say(Said::Json(200, json!({"event": "message", "answer": answer, "metadata": {}})));
    assert_eq!(scene.recommended(&base, 2).await, ("dify".to_owned(), vec![1, 0]));
    scene.shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_goes_wrong_at_dify_the_markets_own_order_stands_and_it_is_left_alone() {
    let scene = Scene::new().await;
    let base = scene.ranked_by(Kind::Workflow, Mode::Streaming).await;
    let failed =
        json!({"event": "workflow_finished", "data": {"status": "failed", "error": "no such model"}});
    let wrong = [
        Said::Json(400, json!({"code": "invalid_param", "message": "listings is too long", "status": 400})),
        Said::Events(vec![json!({"event": "error", "code": "provider_quota_exceeded", "message": "pay"})]),
        Said::Events(vec![failed]),
        Said::Events(vec![json!({"event": "workflow_started"})]),
        Said::Json(200, json!("nonsense")),
    ];
    assert_eq!(wrong.len(), FAILURES_MAX as usize);
    for said in wrong {
        scene.dify.will_say(said);
        assert_eq!(scene.recommended(&base, 3).await, ("market".to_owned(), vec![0, 1, 2]));
        assert_eq!(scene.dify.take_asked().len(), 1, "one question has one try");
    }
    assert_eq!(scene.recommended(&base, 3).await, ("market".to_owned(), vec![0, 1, 2]));
    assert_eq!(scene.dify.take_asked().len(), 0, "it is left alone for a while");
    scene.shop.close().await;
}

async fn judged_order(shop: &Shop, listing: &ListingId) -> (String, Person) {
    let operators = [shop.person(&[Role::Operator]).await, shop.person(&[Role::Operator]).await];
    let rules = json!({
        "elevated": "review", "highest": "block", "review": {"decide_within_ms": 9, "sla_ms": 9, "then": "approve"},
    });
    for operator in &operators {
        let rules = serde_json::from_value(rules.clone()).unwrap();
        shop.accepted(operator, SetRiskRules { rules }).await;
    }
    let buyer = shop.funded_buyer(10_000).await;
    let receipt = shop.accepted(&buyer, purchase(listing)).await;
    let position = receipt["receipt"]["position"].as_u64().unwrap();
    shop.gateway.projections.wait_for(position, Duration::from_secs(10)).await.unwrap();
    let [operator, _] = operators;
    (receipt_order(&receipt), operator)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_reads_what_speaks_for_and_against_an_order_and_nobody_else_does() {
    let scene = Scene::new().await;
    let (order, operator) = judged_order(&scene.shop, &scene.listings[0]).await;
    let token = scene.shop.token(&operator).await;
    let path = format!("/v1/orders/{order}/risk/analysis");
    problem(scene.shop.get(&path).bearer_auth(&token), 503, "no_analysis").await;

    let application = Application::new("risk", access(&scene.url, Kind::Chat, Mode::Blocking)).unwrap();
    let base = scene.serve(Dify { ranking: None, analysis: Some(application) }).await;
    let asking = |token: &str| scene.shop.http.get(format!("{base}{path}")).bearer_auth(token);
    problem(asking(&scene.token(&base, &scene.other).await), 403, "scope_denied").await;
    let token = scene.token(&base, &operator).await;
    let answer = "A first order.\nverdict: approve";
    scene
        .dify
        .will_say(Said::Json(200, json!({"answer": answer, "metadata": {"usage": {"total_tokens": 7}}})));
    let (status, found) = json_of(asking(&token)).await;
    assert_eq!(
        (status, found),
        (StatusCode::OK, json!({"order": order, "analysis": answer, "advice": "approve"}))
    );
    let asked = scene.dify.take_asked();
    let told = asked[0].2["inputs"]["order"].as_str().unwrap();
    assert!(told.contains("\"score\"") && told.contains("\"features\""), "{told}");
    assert!(uuids_in(told).is_empty(), "nobody's id is told: {told}");

    scene.dify.will_say(Said::Json(500, json!({"code": "internal_server_error", "message": "try again"})));
    let told = problem(asking(&token), 503, "no_analysis").await;
    assert!(told["detail"].as_str().unwrap().contains("internal_server_error"), "{told}");
    scene.shop.close().await;
}

/// Finds what looks like an id.
fn uuids_in(text: &str) -> Vec<&str> {
    let parts = text.split(|one: char| !one.is_ascii_hexdigit() && one != '-');
    parts.filter(|part| uuid::Uuid::parse_str(part).is_ok()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_comes_when_too_many_ask_goes_without_and_does_not_wait() {
    let scene = Scene::new().await;
    let (order, operator) = judged_order(&scene.shop, &scene.listings[0]).await;
    let application = Application::new("risk", access(&scene.url, Kind::Workflow, Mode::Blocking)).unwrap();
    let base = scene.serve(Dify { ranking: None, analysis: Some(application) }).await;
    let token = scene.token(&base, &operator).await;
    let asking =
        || scene.shop.http.get(format!("{base}/v1/orders/{order}/risk/analysis")).bearer_auth(&token);
    let gate = Arc::new(Semaphore::new(0));
    let mut held = Vec::new();
    for _ in 0..QUESTIONS_AT_ONCE_MAX {
        scene.dify.will_say(Said::Held(Arc::clone(&gate)));
        held.push(tokio::spawn(asking().send()));
    }
    scene.dify.count.subscribe().wait_for(|count| *count == QUESTIONS_AT_ONCE_MAX).await.unwrap();
    let told = problem(asking(), 503, "no_analysis").await;
    assert!(told["detail"].as_str().unwrap().contains("questions already"), "{told}");
    gate.add_permits(1);
    for answer in held {
        assert_eq!(answer.await.unwrap().unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
    }
    scene.shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_recommendations_does_not_wait_for_a_model_that_is_late() {
    let scene = Scene::new().await;
    let late =
        Access { time_max: Duration::from_millis(20), ..access(&scene.url, Kind::Workflow, Mode::Streaming) };
    let ranking = Ranking::new(Application::new("ranking", late).unwrap());
    let base = scene.serve(Dify { ranking: Some(ranking), analysis: None }).await;
    let gate = Arc::new(Semaphore::new(0));
    scene.dify.will_say(Said::Held(Arc::clone(&gate)));
    assert_eq!(scene.recommended(&base, 3).await, ("market".to_owned(), vec![0, 1, 2]));
    gate.close();
    scene.shop.close().await;
}

#[test]
fn an_address_that_would_tell_the_key_to_others_is_refused() {
    for (url, is_good) in [
        ("https://dify.example", true),
        ("https://dify.example/under/", true),
        ("http://127.0.0.1:5001", true),
        ("http://dify.example", false),
        ("ftp://127.0.0.1", false),
        ("dify", false),
    ] {
        let made = Application::new("ranking", access(url, Kind::Chat, Mode::Streaming));
        assert_eq!(made.is_ok(), is_good, "{url}");
        assert!(!matches!(made, Err(SetUpError::Tls(_))), "{url}");
        assert!(!format!("{made:?}").contains("app-1"), "{url}");
    }
}
