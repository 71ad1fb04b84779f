//! What operators and their machines are told: that the process lives, whether it is ready, and why not.

mod support;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use commands::command::EraseAccount;
use engine::log::ReadError;
use events::account::Role;
use events::commit::Seal;
use events::ids::{CommitId, OrderId, WriterId};
use events::metadata::Cause;
use events::order::Accepted;
use events::{Commit, Event, Head, Timestamp};
use futures::StreamExt;
use projections::{Projections, RunState};
use reqwest::StatusCode;
use serde_json::json;
use support::{Shop, ask, json_of, market_name, problem};
use uuid::Uuid;

/// How long a state may take to come; when it runs out the test has failed.
const STATE_TIME_MAX: Duration = Duration::from_secs(20);

#[allow(clippy::unwrap_used)] // what a test calls is a test too
async fn metric(shop: &Shop, name: &str) -> String {
    let metrics = String::from_utf8(ask(shop.get("/metrics")).await.body.to_vec()).unwrap();
    let line = metrics.lines().find(|line| line.starts_with(&format!("{name} ")));
    line.unwrap_or_else(|| panic!("{name} is not in {metrics}")).to_owned()
}

/// What another program wrote behind a log: an event that this one's rules never give.
#[allow(clippy::unwrap_used)] // what a test calls is a test too
fn foreign(head: Head, event: Event) -> Arc<Commit> {
    let (writer, time) = (WriterId::from_uuid(Uuid::now_v7()), Timestamp::from_ms(0));
    let id = CommitId::from_uuid(Uuid::now_v7());
    let seal = Seal { id, market: market_name(), time, cause: Cause::Writer(writer), traceparent: None };
    Arc::new(Commit::seal(head, seal, vec![event]))
}

/// Metrics are of the process, so all that reads them stands in one test.
#[tokio::test(flavor = "multi_thread")]
async fn whether_requests_can_be_served_is_told_with_the_reasons() {
    let shop = Shop::open().await;
    shop.person(&[Role::Buyer]).await;
    let mut state = shop.gateway.projections.state();
    let follows = state.wait_for(|state| *state == RunState::Running);
    tokio::time::timeout(STATE_TIME_MAX, follows).await.unwrap().unwrap();
    let (status, ready) = json_of(shop.get("/readyz")).await;
    assert_eq!(status, StatusCode::OK, "{ready}");
    assert_eq!((&ready["ready"], &ready["reasons"]), (&json!(true), &json!([])));
    assert_eq!((&ready["writing"], &ready["following"]), (&json!(true), &json!(true)));
    assert_eq!(metric(&shop, "skylink_engine_writing").await, "skylink_engine_writing 1");
    assert_eq!(metric(&shop, "skylink_views_following").await, "skylink_views_following 1");
    shop.close().await;

    // Views whose log broke off: what they know is served, but not as ready.
    let dir = tempfile::tempdir().unwrap();
    let views = Projections::open(dir.path()).unwrap();
    let shop = Shop::open_with(None, Some(views.clone())).await;
    let lost = ReadError::Unavailable("the disk is gone".into());
    let first = shop.gateway.log.read(1).take(1).chain(futures::stream::iter([Err(lost)]));
    views.run(first, std::future::pending()).await.unwrap_err();
    let (status, ready) = json_of(shop.get("/readyz")).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{ready}");
    assert_eq!((&ready["writing"], &ready["following"]), (&json!(true), &json!(false)));
    let reasons = ready["reasons"].to_string();
    assert!(reasons.contains("the views stand still") && reasons.contains("the disk is gone"), "{ready}");
    assert_eq!(metric(&shop, "skylink_engine_writing").await, "skylink_engine_writing 1");
    assert_eq!(metric(&shop, "skylink_views_following").await, "skylink_views_following 0");
    assert_eq!(json_of(shop.get("/healthz")).await, (StatusCode::OK, json!({"alive": true})));

    shop.close().await;

    // A view that met what it can't go on behind: whoever asks it is refused, and all else is as ever.
    let dir = tempfile::tempdir().unwrap();
    let views = Projections::open(dir.path()).unwrap();
    let shop = Shop::open_with(None, Some(views.clone())).await;
    let operator = shop.person(&[Role::Operator]).await;
    let mut commits: Vec<_> = shop.gateway.log.read(1).map(Result::unwrap).collect().await;
    let order = OrderId::from_uuid(Uuid::now_v7());
    commits.push(foreign(commits.last().unwrap().head(), Accepted { order, ship_by: shop.now() }.into()));
    let head = commits.last().unwrap().head().position;
    let log = futures::stream::iter(commits.into_iter().map(Ok::<_, Infallible>));
    let following = {
        let views = views.clone();
        tokio::spawn(
            async move { views.run(log.chain(futures::stream::pending()), std::future::pending()).await },
        )
    };
    views.wait_for(head, STATE_TIME_MAX).await.unwrap();
    let (status, ready) = json_of(shop.get("/readyz")).await;
    assert_eq!((status, &ready["ready"]), (StatusCode::OK, &json!(true)), "{ready}");
    let why = ready["stopped_views"]["orders"].as_str().unwrap();
    assert!(why.contains(&format!("order {order} that the log never created")), "{why}");
    assert_eq!(ready["stopped_views"]["ledger"], json!(null), "{ready}");
    let stopped = "skylink_view_stopped{view=\"orders\"}";
    assert_eq!(metric(&shop, stopped).await, format!("{stopped} 1"));
    let token = shop.token(&operator).await;
    let (status, views_shown) = json_of(shop.get("/v1/views").bearer_auth(&token)).await;
    assert_eq!(status, StatusCode::OK, "{views_shown}");
    let shown = views_shown["views"].as_array().unwrap().iter().find(|view| view["view"] == "orders");
    assert_eq!(shown.unwrap()["stopped"], json!(why));
    problem(shop.get(&format!("/v1/orders/{order}")).bearer_auth(&token), 503, "unavailable").await;
    let devices = format!("/v1/accounts/{}/devices", operator.account);
    assert_eq!(json_of(shop.get(&devices).bearer_auth(&token)).await.0, StatusCode::OK);
    following.abort();
    shop.close().await;

    // A vault that can't do what the log says.
    let shop = Shop::open().await;
    let (_, ready) = json_of(shop.get("/readyz")).await;
    assert_eq!(ready["vault"]["following"], json!(true), "{ready}");
    shop.gateway.vault.as_ref().unwrap().close();
    let alice = shop.person(&[Role::Buyer]).await;
    shop.accepted(&alice, EraseAccount { account: None }).await;
    let mut follows = shop.gateway.vault_follows.clone();
    let fails = follows.wait_for(|followed| followed.failure.is_some());
    tokio::time::timeout(STATE_TIME_MAX, fails).await.unwrap().unwrap();
    let (status, ready) = json_of(shop.get("/readyz")).await;
    assert_eq!(
        (status, &ready["vault"]["following"]),
        (StatusCode::SERVICE_UNAVAILABLE, &json!(false)),
        "{ready}"
    );
    let reasons = ready["reasons"].to_string();
    assert!(reasons.contains("the vault does not follow the log") && reasons.contains("closed"), "{ready}");
    assert_eq!(metric(&shop, "skylink_vault_following").await, "skylink_vault_following 0");

    // An engine that has stopped: the process lives on and says so.
    let shop = shop.stop_node().await;
    let (status, ready) = json_of(shop.get("/readyz")).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{ready}");
    assert_eq!(ready["writing"], json!(false));
    assert!(ready["reasons"].to_string().contains("the engine has stopped"), "{ready}");
    assert_eq!(metric(&shop, "skylink_engine_writing").await, "skylink_engine_writing 0");
    assert_eq!(json_of(shop.get("/healthz")).await, (StatusCode::OK, json!({"alive": true})));
    shop.close().await;
}
