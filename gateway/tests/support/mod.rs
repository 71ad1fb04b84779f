//! A market on a real port, and people with keys who talk to it.
#![allow(dead_code, clippy::unwrap_used)]

pub(crate) mod documented;
pub(crate) mod told;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use bytes::Bytes;
use commands::Command;
use commands::command::{Expected, FundWallet, RegisterAccount, RegisterDevice};
use commands::crypto::SigningKey;
use commands::sign::{Draft, sign, sign_request, sign_seed_form};
use engine::clock::{Clock, ManualClock};
use engine::{Beside, Previewed, Reply};
use events::account::{Algorithm, Role};
use events::ids::{AccountId, CommandId, DeviceId, ListingId, MarketName, Nonce};
use events::market::{EscrowTerms, ReturnTerms};
use events::{Money, Timestamp};
use gateway::health::{Storage, install_metrics};
use gateway::limits::Limits;
use gateway::node::{Node, NodeConfig, REGISTRAR_KEY};
use gateway::past::Past;
use gateway::push::PushConfig;
use gateway::webhooks::WebhooksConfig;
use gateway::{Commands, Gateway};
use metrics_exporter_prometheus::PrometheusHandle;
use projections::Projections;
use reqwest::header::HeaderMap;
use reqwest::{RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::oneshot;
use uuid::Uuid;

/// When the tests begin.
pub(crate) const START: Timestamp = Timestamp::from_ms(1_753_783_200_000);

/// A process has one recorder, and its tests share it.
static METRICS: LazyLock<PrometheusHandle> = LazyLock::new(|| install_metrics().unwrap());

/// Somebody with a device and a key.
pub(crate) struct Person {
    pub(crate) account: AccountId,
    pub(crate) device: DeviceId,
    pub(crate) key: SigningKey,
    seq: AtomicU64,
}

impl Person {
    pub(crate) fn new() -> Person {
        Person::with(AccountId::from_uuid(Uuid::now_v7()), DeviceId::from_uuid(Uuid::now_v7()), new_key())
    }

    pub(crate) fn with(account: AccountId, device: DeviceId, key: SigningKey) -> Person {
        Person { account, device, key, seq: AtomicU64::new(1) }
    }

    /// Drafts a command with the key's next number.
    pub(crate) fn draft(&self, command: impl Into<Command>, now: Timestamp) -> Draft {
        let id = uuid_v7_at(now);
        Draft {
            market: market_name(),
            account: self.account,
            device: self.device,
            command_id: CommandId::from_uuid(id),
            seq: self.seq.fetch_add(1, Ordering::SeqCst),
            nonce: Nonce(rand::random()),
            issued_at: now,
            expires_at: now.plus_ms(60_000),
            expected: Expected::default(),
            command: command.into(),
        }
    }

    pub(crate) fn sign(&self, command: impl Into<Command>, now: Timestamp) -> String {
        sign(&self.draft(command, now), &self.key)
    }

    pub(crate) fn seed_form(&self, command: impl Into<Command>, now: Timestamp) -> String {
        sign_seed_form(&self.draft(command, now), &self.key).unwrap()
    }

    pub(crate) fn token_request(&self, body: Value, now: Timestamp) -> String {
        self.request("token.issue", body, now)
    }

    /// Signs a request of any name and body.
    pub(crate) fn request(&self, name: &str, body: Value, now: Timestamp) -> String {
        let nothing = commands::command::ClearCart::default();
        sign_request(&self.draft(nothing, now), name, body, &self.key)
    }
}

fn new_key() -> SigningKey {
    SigningKey::from_seed(Algorithm::EdDsa, rand::random()).unwrap()
}

/// Makes a UUIDv7 of a given time, since the market's clock is not the machine's.
fn uuid_v7_at(now: Timestamp) -> Uuid {
    let mut bytes: [u8; 16] = rand::random();
    bytes[..6].copy_from_slice(&now.ms().to_be_bytes()[2..]);
    bytes[6] = 0x70 | (bytes[6] & 0x0f);
    bytes[8] = 0x80 | (bytes[8] & 0x3f);
    Uuid::from_bytes(bytes)
}

pub(crate) fn market_name() -> MarketName {
    "main".parse().unwrap()
}

pub(crate) fn units(count: u32) -> events::Quantity {
    serde_json::from_value(count.into()).unwrap()
}

pub(crate) fn usd(minor: i64) -> Money {
    Money::new(minor, "USD".parse().unwrap())
}

/// Takes commands and never answers.
pub(crate) struct Silent;

#[async_trait]
impl Commands for Silent {
    async fn send(&self, _: Bytes, _: Option<String>, _: Beside) -> Reply {
        std::future::pending().await
    }
    async fn receipt(&self, _: AccountId, _: CommandId) -> Option<Reply> {
        std::future::pending().await
    }
    async fn preview(&self, _: AccountId, _: commands::preview::Asked) -> Option<Previewed> {
        std::future::pending().await
    }
}

/// Answers at once that it does not know.
pub(crate) struct Unsure(pub(crate) fn() -> Reply);

#[async_trait]
impl Commands for Unsure {
    async fn send(&self, _: Bytes, _: Option<String>, _: Beside) -> Reply {
        (self.0)()
    }
    async fn receipt(&self, _: AccountId, _: CommandId) -> Option<Reply> {
        Some((self.0)())
    }
    async fn preview(&self, _: AccountId, _: commands::preview::Asked) -> Option<Previewed> {
        None
    }
}

/// How webhooks are told: they are on this machine, and fail fast. What fails is tried for days, which pass at once.
pub(crate) fn webhooks() -> WebhooksConfig {
    WebhooksConfig {
        allows_private: true,
        retry_ms: vec![1],
        attempts_max: u32::MAX,
        request_time_max: std::time::Duration::from_secs(2),
        ..WebhooksConfig::default()
    }
}

/// How devices are told: push services are on this machine, too, and fail fast.
fn push() -> PushConfig {
    PushConfig {
        allows_private: true,
        retry_ms: vec![0; 3],
        look_every: std::time::Duration::from_millis(20),
        ..PushConfig::new("mailto:ops@market.example".to_owned())
    }
}

/// How a market is opened.
struct Setup {
    escrow: EscrowTerms,
    /// What the gateway hands commands to; none: the market's engine.
    commands: Option<Arc<dyn Commands>>,
    /// Which views it asks; none: those that follow the market's log.
    views: Option<Projections>,
    dir: TempDir,
    webhooks: WebhooksConfig,
    push: PushConfig,
}

impl Default for Setup {
    fn default() -> Setup {
        Setup {
            escrow: EscrowTerms::default(),
            commands: None,
            views: None,
            dir: tempfile::tempdir().unwrap(),
            webhooks: webhooks(),
            push: push(),
        }
    }
}

/// A market with its gateway on a port of this machine.
pub(crate) struct Shop {
    node: Option<Node>,
    pub(crate) gateway: Gateway,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) http: reqwest::Client,
    pub(crate) base: String,
    pub(crate) registrar: Person,
    stop: oneshot::Sender<()>,
    server: tokio::task::JoinHandle<std::io::Result<()>>,
    _dir: TempDir,
}

impl Shop {
    pub(crate) async fn open() -> Shop {
        Shop::open_with(None, None).await
    }

    /// Opens a market that takes back what was delivered, for thirty days.
    pub(crate) async fn taking_back() -> Shop {
        let returns = ReturnTerms::usual(30 * 86_400_000);
        let escrow = EscrowTerms::default().returning(Some(returns));
        Shop::open_on(Setup { escrow, ..Setup::default() }).await
    }

    /// Opens a market that tells devices otherwise than usual.
    pub(crate) async fn telling_devices(change: impl FnOnce(&mut PushConfig)) -> Shop {
        let mut push = push();
        change(&mut push);
        Shop::open_on(Setup { push, ..Setup::default() }).await
    }

    /// Opens a market whose webhooks are told otherwise than usual.
    pub(crate) async fn telling(webhooks: WebhooksConfig) -> Shop {
        Shop::open_on(Setup { webhooks, ..Setup::default() }).await
    }

    /// Opens a market whose gateway hands commands to `commands` instead of its engine, and asks `views` instead of
    /// those that follow its log.
    pub(crate) async fn open_with(commands: Option<Arc<dyn Commands>>, views: Option<Projections>) -> Shop {
        Shop::open_on(Setup { commands, views, ..Setup::default() }).await
    }

    /// Closes the market and opens it again, after something was done in its folder. Its time and its people stay.
    pub(crate) async fn opened_again(
        self,
        webhooks: WebhooksConfig,
        between: impl FnOnce(&std::path::Path),
    ) -> Shop {
        let now = self.now();
        let dir = self.close().await;
        between(dir.path());
        let shop = Shop::opened_in(dir, webhooks).await;
        shop.clock.advance_to(now);
        shop
    }

    /// Opens the market that a folder holds.
    pub(crate) async fn opened_in(dir: TempDir, webhooks: WebhooksConfig) -> Shop {
        Shop::open_on(Setup { dir, webhooks, ..Setup::default() }).await
    }

    async fn open_on(setup: Setup) -> Shop {
        let Setup { escrow, commands, views, dir, webhooks, push } = setup;
        let clock = Arc::new(ManualClock::new(START));
        let mut config = NodeConfig::new(market_name(), dir.path().to_owned());
        config.verify_threads = 1;
        config.escrow = escrow;
        config.webhooks = webhooks;
        config.push = Some(push);
        let node = Node::start(config, Arc::clone(&clock) as Arc<dyn Clock>).await.unwrap();
        let stored = node.keys().get(REGISTRAR_KEY).unwrap();
        let mut registrar = Person::with(stored.account, stored.device, stored.signing());
        // The gateway signs with that key, too, which each test is far from giving as many commands with as it is kept apart.
        registrar.seq = AtomicU64::new(node.keys().reserve_seqs(REGISTRAR_KEY, 512).unwrap());
        let handle = node.handle();
        let gateway = Gateway {
            effects: node.effects().clone(),
            commands: commands.unwrap_or_else(|| Arc::new(handle.clone())),
            projections: views.unwrap_or_else(|| node.projections().clone()),
            log: node.log(),
            past: Arc::new(Past::new(dir.path().join("past"), node.log()).await),
            tree: handle.tree().clone(),
            vault: Some(Arc::clone(node.vault())),
            vault_follows: node.vault_follows(),
            keys: Arc::clone(handle.keys()),
            secrets: Arc::clone(handle.secrets()),
            passwords: Arc::clone(handle.passwords()),
            store: node.keys().clone(),
            market: market_name(),
            market_keys: Arc::clone(handle.market_keys()),
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            status: handle.status(),
            pace: Arc::clone(handle.pace()),
            storage: Storage::Segments,
            dify: Arc::default(),
            webhooks: node.webhooks().clone(),
            push: node.push().cloned(),
            limits: Arc::new(Limits::none()),
            metrics: Some(METRICS.clone()),
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel();
        let shutdown = async move { drop(stopped.await) };
        let server = tokio::spawn(gateway::serve(listener, gateway.clone(), shutdown));
        let http = reqwest::Client::builder().build().unwrap();
        Shop { node: Some(node), gateway, clock, http, base, registrar, stop, server, _dir: dir }
    }

    /// Serves the gateway once more, as another process of the market would, and gives where.
    pub(crate) async fn served_again(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(gateway::serve(listener, self.gateway.clone(), std::future::pending()));
        base
    }

    /// Stops the market; its gateway goes on.
    pub(crate) async fn stop_node(mut self) -> Shop {
        if let Some(node) = self.node.take() {
            node.shutdown().await;
        }
        self
    }

    /// Closes it, and gives its folder.
    pub(crate) async fn close(self) -> TempDir {
        let Shop { stop, server, http, gateway, _dir: dir, .. } = self.stop_node().await;
        drop(http);
        let _ = stop.send(());
        server.await.unwrap().unwrap();
        drop(gateway);
        dir
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.http.get(format!("{}{path}", self.base))
    }

    pub(crate) fn post(
        &self,
        path: &str,
        content_type: &str,
        body: impl Into<reqwest::Body>,
    ) -> RequestBuilder {
        self.http.post(format!("{}{path}", self.base)).header("content-type", content_type).body(body)
    }

    /// Gives a command and returns its receipt; it must be accepted.
    pub(crate) async fn accepted(&self, who: &Person, command: impl Into<Command>) -> Value {
        let jws = who.sign(command, self.now());
        let (status, receipt) = json_of(self.post("/v1/commands", "application/jose", jws)).await;
        assert_eq!(status, StatusCode::OK, "{receipt}");
        assert_eq!(receipt["receipt"]["outcome"], "accepted", "{receipt}");
        receipt
    }

    /// Registers somebody new.
    pub(crate) async fn person(&self, roles: &[Role]) -> Person {
        let person = Person::new();
        let (account, device, key) = (person.account, person.device, person.key.public());
        let roles = roles.iter().copied().collect();
        self.accepted(&self.registrar, RegisterAccount { account, roles }).await;
        let receipt = self.accepted(&self.registrar, RegisterDevice::new(account, device, key)).await;
        let views = self.node.as_ref().unwrap().projections();
        views
            .wait_for(receipt["receipt"]["position"].as_u64().unwrap(), std::time::Duration::from_secs(10))
            .await
            .unwrap();
        person
    }

    /// Names what is kept of an account once the vault has done what the log says up to a decision.
    pub(crate) async fn kept_of(&self, account: AccountId, receipt: &Value) -> Vec<String> {
        let position = receipt["receipt"]["position"].as_u64().unwrap();
        let mut follows = self.gateway.vault_follows.clone();
        let done = follows.wait_for(|followed| followed.position >= position);
        tokio::time::timeout(std::time::Duration::from_secs(10), done).await.unwrap().unwrap();
        self.gateway.vault.as_ref().unwrap().names(account, "").unwrap()
    }

    pub(crate) async fn funded_buyer(&self, minor: i64) -> Person {
        let buyer = self.person(&[Role::Buyer]).await;
        let provider = self.person(&[Role::Provider]).await;
        let reference = format!("for {}", buyer.account).try_into().unwrap();
        self.accepted(&provider, FundWallet { account: buyer.account, amount: usd(minor), reference }).await;
        buyer
    }

    /// Lists something of a seller's with stock.
    pub(crate) async fn listing(&self, seller: &Person, price: i64, stock: u32) -> ListingId {
        let listing = ListingId::from_uuid(Uuid::now_v7());
        let title = "A lamp".to_owned().try_into().unwrap();
        self.accepted(seller, commands::command::CreateListing::new(listing, usd(price), title)).await;
        let quantity = units(stock);
        self.accepted(seller, commands::command::ReceiveStock { listing, location: None, quantity }).await;
        listing
    }

    pub(crate) async fn token(&self, who: &Person) -> String {
        let request = who.token_request(json!({"ttl_s": 600}), self.now());
        let (status, answer) = json_of(self.post("/v1/tokens", "application/jose", request)).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        answer["access_token"].as_str().unwrap().to_owned()
    }
}

/// An answer, read to its end.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Sends, and holds the answer against the interface's description.
pub(crate) async fn ask(request: RequestBuilder) -> Answer {
    let (client, request) = request.build_split();
    let request = request.unwrap();
    let (method, path) = (request.method().to_string(), request.url().path().to_owned());
    let response = client.execute(request).await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    assert!(headers.contains_key("skylink-position"), "{method} {path}: {status}");
    let content_type = headers["content-type"].to_str().unwrap().to_owned();
    let body = response.bytes().await.unwrap();
    documented::check(&method, &path, status.as_u16(), &content_type, &body);
    Answer { status, headers, body }
}

/// Sends and reads JSON.
pub(crate) async fn json_of(request: RequestBuilder) -> (StatusCode, Value) {
    let answer = ask(request).await;
    (answer.status, serde_json::from_slice(&answer.body).unwrap())
}

/// Sends and expects problem details of a status and code.
pub(crate) async fn problem(request: RequestBuilder, status: u16, code: &str) -> Value {
    let Answer { status: given, headers, body } = ask(request).await;
    let text = String::from_utf8_lossy(&body);
    assert_eq!(given.as_u16(), status, "{text}");
    assert_eq!(headers["content-type"], "application/problem+json", "{text}");
    let problem: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(problem["code"], code, "{problem}");
    assert_eq!(problem["status"], status, "{problem}");
    for member in ["type", "title", "detail"] {
        assert!(!problem[member].as_str().unwrap().is_empty(), "{problem}");
    }
    problem
}

/// The receipt as JSON, minus nothing.
pub(crate) fn receipt_order(receipt: &Value) -> String {
    let events = receipt["receipt"]["events"].as_array().unwrap();
    let placed = events.iter().find(|event| event["type"] == "order.placed.v1").unwrap();
    placed["subject"].as_str().unwrap().to_owned()
}
