//! What the log is proven with: the signed checkpoint, the tiles, and the proofs that are made of them.

mod support;

use axum::body::{Body, to_bytes};
use axum::http::Request;
use commands::checkpoint::Checkpoint;
use commands::command::RegisterAccount;
use commands::crypto::VerifyingKey;
use commands::receipt::{Receipt, verify_receipt};
use commands::sign::sign;
use engine::tree::Tree;
use events::account::Role;
use events::hash::{MerkleTree, root_from_path};
use events::{Hash, Position};
use futures::StreamExt;
use gateway::Gateway;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tower::ServiceExt;

use support::{Person, Shop, ask, json_of};

/// Gives the newest checkpoint, checked with the market's key.
#[allow(clippy::unwrap_used)] // what a test calls is a test too
async fn checkpoint(shop: &Shop) -> Checkpoint {
    let answer = ask(shop.get("/log/checkpoint")).await;
    assert_eq!(answer.status, StatusCode::OK);
    read(shop, std::str::from_utf8(&answer.body).unwrap())
}

#[allow(clippy::unwrap_used)] // what a test calls is a test too
fn read(shop: &Shop, note: &str) -> Checkpoint {
    let key = VerifyingKey::new(&shop.gateway.market_keys.current()).unwrap();
    Checkpoint::read(note, &shop.gateway.market, &key).unwrap()
}

/// Gives the leaves of the log's first events.
#[allow(clippy::unwrap_used)] // what a test calls is a test too
async fn leaves(shop: &Shop, size: Position) -> Vec<Hash> {
    let mut leaves = Vec::new();
    let mut commits = shop.gateway.log.read(1);
    while let Some(commit) = commits.next().await {
        leaves.extend(commit.unwrap().events().iter().map(|recorded| recorded.leaf()));
    }
    leaves.truncate(size as usize);
    leaves
}

#[allow(clippy::unwrap_used)] // what a test calls is a test too
fn hashes(value: &Value) -> Vec<Hash> {
    serde_json::from_value(value.clone()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_proven_to_be_in_the_log_whose_checkpoint_the_market_signed() {
    let shop = Shop::open().await;
    for _ in 0..3 {
        shop.person(&[Role::Buyer]).await;
    }
    let head = shop.gateway.log.head().await.unwrap();
    let (status, proof) =
        json_of(shop.get(&format!("/log/proof/inclusion?position={}", head.position))).await;
    assert_eq!(status, StatusCode::OK, "{proof}");
    let signed = read(&shop, proof["checkpoint"].as_str().unwrap());
    assert_eq!((signed.head, proof["size"].as_u64()), (head, Some(head.position)));
    let leaves = leaves(&shop, head.position).await;
    let leaf: Hash = serde_json::from_value(proof["leaf"].clone()).unwrap();
    assert_eq!(leaf, leaves[head.position as usize - 1]);
    let root = root_from_path(leaf, head.position - 1, head.position, &hashes(&proof["path"]));
    assert_eq!(root, Some(signed.root));
    assert_eq!(checkpoint(&shop).await.root, MerkleTree::new(leaves.clone()).root());

    // Of a smaller log, whose checkpoint somebody kept.
    let (_, older) = json_of(shop.get("/log/proof/inclusion?position=2&size=3")).await;
    assert_eq!(older["checkpoint"], json!(null));
    let three = MerkleTree::new(leaves[..3].to_vec()).root();
    assert_eq!(root_from_path(leaves[1], 1, 3, &hashes(&older["path"])), Some(three));

    let tile = ask(shop.get(&format!("/log/tile/0/000.p/{}", head.position))).await;
    assert_eq!(tile.status, StatusCode::OK);
    let expected: Vec<u8> = leaves.iter().flat_map(|leaf| *leaf.as_bytes()).collect();
    assert_eq!(tile.body, expected);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_longer_log_is_proven_to_append_to_a_shorter_one() {
    let shop = Shop::open().await;
    let first = shop.gateway.log.head().await.unwrap().position;
    shop.gateway.tree.wait_for(first).await;
    let before = checkpoint(&shop).await;
    shop.person(&[Role::Buyer]).await;
    let after = shop.gateway.log.head().await.unwrap().position;
    shop.gateway.tree.wait_for(after).await;
    let from = before.head.position;
    let (status, proof) = json_of(shop.get(&format!("/log/proof/consistency?from={from}"))).await;
    assert_eq!(status, StatusCode::OK, "{proof}");
    let now = read(&shop, proof["checkpoint"].as_str().unwrap());
    assert_eq!(proof["to"].as_u64(), Some(now.head.position));
    let hash = |hash: Hash| tlog_tiles::Hash(*hash.as_bytes());
    let path = hashes(&proof["path"]).into_iter().map(hash).collect();
    tlog_tiles::check_tree(&path, now.head.position, hash(now.root), from, hash(before.root)).unwrap();
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_proven_is_told_and_not_made_up() {
    let shop = Shop::open().await;
    let size = shop.gateway.log.head().await.unwrap().position;
    shop.gateway.tree.wait_for(size).await;
    let (more, over) = (size + 1, format!("/log/tile/0/000.p/{}", size + 1));
    for (path, status, code) in [
        ("/log/proof/inclusion".to_owned(), StatusCode::BAD_REQUEST, "query_invalid"),
        ("/log/proof/inclusion?position=0".to_owned(), StatusCode::BAD_REQUEST, "query_invalid"),
        ("/log/proof/inclusion?position=x".to_owned(), StatusCode::BAD_REQUEST, "query_invalid"),
        ("/log/proof/inclusion?position=1&from=1".to_owned(), StatusCode::BAD_REQUEST, "query_invalid"),
        (format!("/log/proof/inclusion?position=1&size={more}"), StatusCode::NOT_FOUND, "not_found"),
        ("/log/proof/inclusion?position=3&size=2".to_owned(), StatusCode::NOT_FOUND, "not_found"),
        ("/log/proof/consistency?from=3&to=2".to_owned(), StatusCode::NOT_FOUND, "not_found"),
        (format!("/log/proof/consistency?from=1&to={more}"), StatusCode::NOT_FOUND, "not_found"),
        (over, StatusCode::NOT_FOUND, "not_found"),
        ("/log/tile/0/000.p/0".to_owned(), StatusCode::NOT_FOUND, "not_found"),
        ("/log/tile/64/000".to_owned(), StatusCode::NOT_FOUND, "not_found"),
        ("/log/tile/entries/000".to_owned(), StatusCode::NOT_FOUND, "not_found"),
    ] {
        let (found, problem) = json_of(shop.get(&path)).await;
        assert_eq!((found, problem["code"].as_str()), (status, Some(code)), "{path}: {problem}");
    }
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_that_is_asked_for_proves_that_its_events_are_in_the_log() {
    let shop = Shop::open().await;
    let wish = RegisterAccount { account: Person::new().account, roles: [Role::Buyer].into() };
    let draft = shop.registrar.draft(wish, shop.now());
    let (_, at_once) =
        json_of(shop.post("/v1/commands", "application/jose", sign(&draft, &shop.registrar.key))).await;
    let token = shop.token(&shop.registrar).await;
    let path = format!("/v1/receipts/{}/{}", draft.account, draft.command_id);
    let answer = ask(shop.get(&path).bearer_auth(&token)).await;
    let receipt = Receipt::from_json(&answer.body).unwrap();
    assert_eq!((&at_once["log"], json!(receipt.receipt)), (&json!(null), at_once["receipt"].clone()));
    let key = VerifyingKey::new(&shop.gateway.market_keys.current()).unwrap();
    verify_receipt(&receipt, &key).unwrap();
    let checkpoint = read(&shop, &receipt.log.unwrap().checkpoint);
    assert!(checkpoint.head.position >= receipt.receipt.position);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_is_given_without_its_proof_where_no_checkpoint_comes() {
    let shop = Shop::open().await;
    let wish = RegisterAccount { account: Person::new().account, roles: [Role::Buyer].into() };
    let draft = shop.registrar.draft(wish, shop.now());
    json_of(shop.post("/v1/commands", "application/jose", sign(&draft, &shop.registrar.key))).await;
    // A tree that nobody keeps.
    let folder = tempfile::tempdir().unwrap();
    let tree = Tree::open(folder.path()).unwrap().reader();
    let router = gateway::router(Gateway { tree, ..shop.gateway.clone() });
    let asked = async |request: Request<Body>| {
        let answer = router.clone().oneshot(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        to_bytes(answer.into_body(), usize::MAX).await.unwrap()
    };
    let wish = shop.registrar.token_request(json!({"ttl_s": 600}), shop.now());
    let token = asked(Request::post("/v1/tokens").body(wish.into()).unwrap()).await;
    let token = serde_json::from_slice::<Value>(&token).unwrap();
    let authorization = format!("Bearer {}", token["access_token"].as_str().unwrap());
    let path = format!("/v1/receipts/{}/{}", draft.account, draft.command_id);
    let request = Request::get(path).header("authorization", authorization).body(Body::empty());
    let receipt = Receipt::from_json(&asked(request.unwrap()).await).unwrap();
    assert_eq!((receipt.log, receipt.receipt.command), (None, draft.command_id));
    shop.close().await;
}
