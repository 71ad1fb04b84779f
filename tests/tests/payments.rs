//! A buyer pays through a provider, into his wallet or for an order, and a seller is paid out; the provider does what they
//! do: it refuses, it does not answer, it tells twice, late and in the wrong order. Whatever it does, what it took is
//! credited once.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use commands::command::{
    CancelOrder, CancelPayment, ConfirmDelivery, CreateListing, LineQuantity, OrderLine, PayOrder,
    PaymentMethod, PlaceOrder, ProviderMethod, ReadyOrder, ReceiveStock, RefundPayment, RequestPayment,
    RequestPayout, ShipOrder, Tenders, Text,
};
use commands::payment::REQUEST_MS;
use commands::receipt::Outcome;
use engine::clock::{Clock, ManualClock, WallClock};
use engine::processor::StopReason;
use engine::providers::sandbox::{Message, SIGNATURE_HEADER, Sandbox};
use engine::providers::{
    Answer, Authorize, Capture, Dispute, EvidenceCall, Found, NoAnswer, Notice, PaymentProvider,
    PayoutAnswer, PayoutCall, RefundAnswer, RefundCall, WebhookError,
};
use events::account::{Algorithm, Role};
use events::ids::{ListingId, OrderId, PaymentId, PayoutId};
use events::ledger::LedgerAccount;
use events::order::CancelledBy;
use events::payment::{CaptureTime, VoidReason};
use events::{Event, Money, Quantity, Timestamp};
use futures::StreamExt;
use gateway::node::{Node, NodeConfig, REGISTRAR_KEY};
use projections::payment::PayoutState;
use reqwest::StatusCode;
use tempfile::TempDir;
use tests::http::{readiness, serve};
use tests::log_contract::market;
use tests::town::{Person, new_id, receipt, submit, usd};
use tokio::sync::{Notify, mpsc};
use uuid::Uuid;

/// How long something may take; only what is broken needs it.
const PATIENCE: Duration = Duration::from_secs(60);

/// The sandbox, with a count of what it was asked, and a switch that loses its answers to captures.
#[derive(Debug)]
struct Watched {
    sandbox: Sandbox,
    authorized: AtomicU32,
    loses_captures: AtomicBool,
    captured: Notify,
}

#[async_trait]
impl PaymentProvider for Watched {
    fn name(&self) -> &'static str {
        self.sandbox.name()
    }

    fn key_lifetime(&self) -> Duration {
        self.sandbox.key_lifetime()
    }

    async fn authorize(&self, call: &Authorize) -> Result<Answer, NoAnswer> {
        self.authorized.fetch_add(1, Ordering::SeqCst);
        self.sandbox.authorize(call).await
    }

    async fn capture(&self, call: &Capture) -> Result<Answer, NoAnswer> {
        let answer = self.sandbox.capture(call).await;
        if self.loses_captures.load(Ordering::SeqCst) {
            self.captured.notify_one();
            std::future::pending::<()>().await;
        }
        answer
    }

    async fn void(&self, payment: PaymentId, reference: &str) -> Result<Answer, NoAnswer> {
        self.sandbox.void(payment, reference).await
    }

    async fn refund(&self, call: &RefundCall) -> Result<RefundAnswer, NoAnswer> {
        self.sandbox.refund(call).await
    }

    async fn look_up(&self, payment: PaymentId, reference: Option<&str>) -> Result<Option<Found>, NoAnswer> {
        self.sandbox.look_up(payment, reference).await
    }

    async fn look_up_refund(&self, call: &RefundCall) -> Result<Option<RefundAnswer>, NoAnswer> {
        self.sandbox.look_up_refund(call).await
    }

    async fn pay_out(&self, call: &PayoutCall) -> Result<PayoutAnswer, NoAnswer> {
        self.sandbox.pay_out(call).await
    }

    async fn look_up_payout(
        &self,
        payout: PayoutId,
        reference: Option<&str>,
    ) -> Result<Option<PayoutAnswer>, NoAnswer> {
        self.sandbox.look_up_payout(payout, reference).await
    }

    async fn look_up_dispute(&self, reference: &str) -> Result<Option<Dispute>, NoAnswer> {
        self.sandbox.look_up_dispute(reference).await
    }

    async fn submit_evidence(&self, call: &EvidenceCall) -> Result<Dispute, NoAnswer> {
        self.sandbox.submit_evidence(call).await
    }

    async fn accept_dispute(&self, reference: &str) -> Result<Dispute, NoAnswer> {
        self.sandbox.accept_dispute(reference).await
    }

    fn read_webhook(
        &self,
        header: &dyn Fn(&str) -> Option<String>,
        body: &[u8],
        now: Timestamp,
    ) -> Result<Notice, WebhookError> {
        self.sandbox.read_webhook(header, body, now)
    }
}

/// A market with one buyer and the sandbox, whose messages nobody delivers but the test.
struct Shop {
    node: Node,
    provider: Arc<Watched>,
    messages: mpsc::Receiver<Message>,
    buyer: Person,
    seller: Person,
    clock: Arc<dyn Clock>,
    folder: TempDir,
}

fn watched(file: &Path, clock: &Arc<dyn Clock>) -> (Arc<Watched>, mpsc::Receiver<Message>) {
    let (sandbox, messages) = Sandbox::open(Some(file.to_owned()), Arc::clone(clock)).unwrap();
    let provider = Watched {
        sandbox,
        authorized: AtomicU32::new(0),
        loses_captures: AtomicBool::new(false),
        captured: Notify::new(),
    };
    (Arc::new(provider), messages)
}

async fn start(folder: &Path, provider: &Arc<Watched>, clock: &Arc<dyn Clock>) -> Node {
    let providers: Vec<Arc<dyn PaymentProvider>> = vec![Arc::clone(provider) as _];
    let config = NodeConfig { verify_threads: 1, providers, ..NodeConfig::new(market(), folder.to_owned()) };
    Node::start(config, Arc::clone(clock)).await.unwrap()
}

impl Shop {
    async fn open() -> Shop {
        Shop::open_at(Arc::new(WallClock)).await
    }

    async fn open_at(clock: Arc<dyn Clock>) -> Shop {
        let folder = TempDir::new().unwrap();
        let (provider, messages) = watched(&folder.path().join("sandbox.json"), &clock);
        let node = start(folder.path(), &provider, &clock).await;
        let registrar = node.keys().get(REGISTRAR_KEY).unwrap();
        let seq = node.keys().reserve_seqs(REGISTRAR_KEY, 100).unwrap();
        let registrar = Person::from_stored(node.market(), &registrar, seq);
        let person = || Person::new(&market(), Algorithm::EdDsa, &mut rand::rng());
        let (buyer, seller) = (person(), person());
        for signed in [
            registrar.sign(buyer.account_registration(Role::Buyer)),
            registrar.sign(buyer.device_registration()),
            registrar.sign(seller.account_registration(Role::Seller)),
            registrar.sign(seller.device_registration()),
        ] {
            assert_eq!(receipt(submit(&node.handle(), signed).await).receipt.outcome, Outcome::Accepted);
        }
        Shop { node, provider, messages, buyer, seller, clock, folder }
    }

    /// Asks for money and gives the payment.
    async fn pay(&self, minor: i64, token: &str) -> PaymentId {
        let id = new_id();
        self.accept_as(id, RequestPayment { amount: usd(minor), method: self.method(token) }).await;
        PaymentId::derive(self.buyer.account(), id)
    }

    /// Names a card or a bank account at the sandbox.
    fn method(&self, token: &str) -> ProviderMethod {
        let (_, provider) = self.node.effects().providers().next().unwrap();
        ProviderMethod { provider, token: text(token) }
    }

    async fn sells(&self, command: impl Into<commands::Command>) {
        let signed = self.seller.sign(command);
        let receipt = receipt(submit(&self.node.handle(), signed).await).receipt;
        assert_eq!(receipt.outcome, Outcome::Accepted, "{:?}", receipt.reasons);
    }

    async fn accept(&self, command: impl Into<commands::Command>) {
        self.accept_as(new_id(), command).await;
    }

    async fn accept_as(&self, id: events::ids::CommandId, command: impl Into<commands::Command>) {
        let signed = self.buyer.sign_as(id, command);
        let receipt = receipt(submit(&self.node.handle(), signed).await).receipt;
        assert_eq!(receipt.outcome, Outcome::Accepted, "{:?}", receipt.reasons);
    }

    /// Waits for an event, the first that ever fitted.
    async fn until(&self, is_it: impl Fn(&Event) -> bool) -> Event {
        let log = self.node.log();
        let mut commits = log.follow(1);
        let found = async {
            loop {
                let commit = commits.next().await.unwrap().unwrap();
                if let Some(found) = commit.events().iter().find(|recorded| is_it(&recorded.event)) {
                    return found.event.clone();
                }
            }
        };
        tokio::time::timeout(PATIENCE, found).await.expect("it happens")
    }

    async fn until_captured(&self, payment: PaymentId) {
        self.until(|event| matches!(event, Event::PaymentCaptured(captured) if captured.payment == payment))
            .await;
    }

    /// Gives the types of a payment's events so far.
    async fn story(&self, payment: PaymentId) -> Vec<&'static str> {
        let log = self.node.log();
        let head = log.head().await.unwrap().position;
        let mut commits = log.follow(1);
        let mut story = Vec::new();
        let mut position = 0;
        while position < head {
            let commit = commits.next().await.unwrap().unwrap();
            position = commit.head().position;
            let events = commit.events().iter().map(|recorded| &recorded.event);
            let about = events.filter(|event| event.subject() == Some(payment.to_string()));
            story.extend(about.map(Event::type_name));
        }
        story
    }

    async fn wallet(&self) -> Money {
        let head = self.node.log().head().await.unwrap().position;
        self.node.projections().wait_for(head, PATIENCE).await.unwrap();
        let ledger = self.node.projections().ledger();
        assert!(ledger.trial_balance().unwrap().iter().all(|sum| sum.sum == 0));
        ledger.balance(LedgerAccount::Wallet(self.buyer.account()), usd(0).currency).unwrap()
    }

    /// Delivers a message over HTTP.
    async fn deliver(&self, address: &str, message: &Message, signature: &str) -> StatusCode {
        let url = format!("{address}/v1/providers/sandbox/webhooks");
        let request = reqwest::Client::new().post(url).header(SIGNATURE_HEADER, signature);
        request.body(message.body.clone()).send().await.unwrap().status()
    }

    async fn close(self) {
        assert_eq!(self.node.shutdown().await, StopReason::Shutdown);
    }
}

fn text<const MAX: usize>(text: &str) -> Text<MAX> {
    text.to_owned().try_into().unwrap()
}

const TOP_UP: [&str; 3] = ["payment.requested.v1", "payment.authorized.v1", "payment.captured.v1"];

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_is_topped_up_and_a_part_goes_back() {
    let shop = Shop::open().await;
    let payment = shop.pay(700, "tok_approve").await;
    shop.until_captured(payment).await;
    assert_eq!(shop.wallet().await, usd(700));
    assert_eq!(shop.story(payment).await, TOP_UP);
    shop.accept(RefundPayment { amount: usd(300), payment }).await;
    shop.until(|event| matches!(event, Event::PaymentRefunded(_))).await;
    assert_eq!((shop.wallet().await, shop.provider.sandbox.totals()), (usd(400), (700, 300)));
    let view = shop.node.projections().payments().payment(payment).unwrap().unwrap();
    assert_eq!((view.captured, view.refunded), (usd(700), usd(300)));
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_card_is_followed_by_another() {
    let shop = Shop::open().await;
    let payment = shop.pay(700, "tok_decline_insufficient_funds").await;
    let failed = shop.until(|event| matches!(event, Event::PaymentFailed(_))).await;
    let Event::PaymentFailed(failed) = failed else { panic!("{failed:?}") };
    assert_eq!(
        (failed.payment, failed.code.as_str(), failed.retryable),
        (payment, "insufficient_funds", true)
    );
    assert_eq!(shop.wallet().await, usd(0));
    let other = shop.pay(700, "tok_approve").await;
    shop.until_captured(other).await;
    assert_eq!(shop.wallet().await, usd(700));
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_paid_with_a_second_card_a_part_goes_back_and_the_seller_is_paid_out() {
    let shop = Shop::open().await;
    let listing = ListingId::from_uuid(Uuid::now_v7());
    shop.sells(CreateListing::new(listing, usd(500), text("Tea"))).await;
    shop.sells(ReceiveStock { listing, location: None, quantity: Quantity::new(2).unwrap() }).await;
    let lines = vec![OrderLine { listing, quantity: Quantity::new(2).unwrap(), quote: None }];
    let tenders = Tenders {
        capture: CaptureTime::AtOnce,
        provider: shop.method("tok_decline_insufficient_funds"),
        wallet: None,
    };
    let (id, payment_method) = (new_id(), PaymentMethod::Tenders(tenders));
    shop.accept_as(id, PlaceOrder::new(lines, payment_method, usd(1000))).await;
    let order = OrderId::derive(shop.buyer.account(), id, 0);
    shop.until(|event| matches!(event, Event::PaymentFailed(_))).await;
    // The answer about the second card is lost, and found again.
    shop.accept(PayOrder { method: shop.method("tok_timeout_approved"), order }).await;
    shop.until(|event| matches!(event, Event::OrderPaid(_))).await;
    assert_eq!((shop.wallet().await, shop.provider.sandbox.totals()), (usd(0), (1000, 0)));
    let one = vec![LineQuantity { listing, quantity: Quantity::new(1).unwrap() }];
    shop.accept(CancelOrder { lines: Some(one), order, reason: None }).await;
    shop.until(|event| matches!(event, Event::PaymentRefunded(_))).await;
    assert_eq!((shop.wallet().await, shop.provider.sandbox.totals()), (usd(0), (1000, 500)));
    shop.sells(ShipOrder { carrier: None, from: None, lines: None, order, tracking: None }).await;
    shop.accept(ConfirmDelivery { order, shipment: None }).await;
    // Half of 10.00 USD, less half of the fee of 0.25.
    for (token, minor) in [("acct_fail_account_closed", 487), ("acct_timeout_paid", 400), ("acct_slow", 87)] {
        shop.sells(RequestPayout { amount: usd(minor), to: shop.method(token) }).await;
        shop.until(|event| match event {
            Event::PayoutFailed(event) => event.transfer.amount == usd(minor),
            Event::PayoutPaid(event) => event.transfer.amount == usd(minor),
            _ => false,
        })
        .await;
    }
    assert_eq!((shop.wallet().await, shop.provider.sandbox.paid_out()), (usd(0), 487));
    let page = shop.node.projections().payments().payouts(shop.seller.account(), None, 2).unwrap();
    let shown: Vec<_> = page.payouts.iter().map(|payout| (payout.amount, payout.state.clone())).collect();
    assert!(
        matches!(&shown[..], [(first, PayoutState::Paid { .. }), (second, PayoutState::Paid { .. })]
            if (*first, *second) == (usd(87), usd(400))),
        "{shown:?}"
    );
    let rest = shop.node.projections().payments().payouts(shop.seller.account(), page.next, 2).unwrap();
    assert_eq!(rest.payouts[0].state, PayoutState::Failed { code: "account_closed".to_owned() });
    assert_eq!((rest.payouts.len(), rest.next), (1, None));
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_was_lost_is_found_again_and_nothing_is_sent_twice() {
    let shop = Shop::open().await;
    let payment = shop.pay(700, "tok_timeout_approved").await;
    shop.until_captured(payment).await;
    assert_eq!(shop.provider.authorized.load(Ordering::SeqCst), 1, "found by asking");
    assert_eq!((shop.wallet().await, shop.provider.sandbox.totals().0), (usd(700), 700));
    // A call that never arrived is sent again, once it is known not to have arrived.
    let payment = shop.pay(50, "tok_timeout_lost").await;
    shop.until_captured(payment).await;
    assert_eq!(shop.provider.authorized.load(Ordering::SeqCst), 3);
    assert_eq!((shop.wallet().await, shop.provider.sandbox.totals().0), (usd(750), 750));
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_come_late_twice_and_in_the_wrong_order_credit_once() {
    let mut shop = Shop::open().await;
    let address = serve(shop.node.gateway(Arc::clone(&shop.clock), None)).await;
    // Late: the provider decides long after it was asked, and only its message tells.
    let late = shop.pay(100, "tok_late_webhook").await;
    shop.until(|event| matches!(event, Event::PaymentRequested(_))).await;
    let undecided = async {
        while shop.provider.sandbox.look_up(late, None).await.unwrap().is_none() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, undecided).await.unwrap();
    shop.provider.sandbox.confirm(late);
    let message = shop.messages.recv().await.unwrap();
    let signature = message.signature();
    assert_eq!(shop.deliver(&address, &message, "t=1,v1=00").await, StatusCode::BAD_REQUEST);
    for _ in 0..2 {
        assert_eq!(shop.deliver(&address, &message, &signature).await, StatusCode::OK);
    }
    // Acknowledged is durable.
    assert!(shop.story(late).await.contains(&"payment.authorized.v1"));
    shop.until_captured(late).await;
    // The message of the capture is nobody's concern here.
    shop.messages.recv().await.unwrap();
    for (token, minor) in [("tok_duplicate_webhook", 20), ("tok_unordered_webhook", 3)] {
        let payment = shop.pay(minor, token).await;
        shop.until_captured(payment).await;
        let before = shop.story(payment).await;
        assert_eq!(before, TOP_UP);
        let mut delivered = 0;
        while let Ok(message) = shop.messages.try_recv() {
            let signature = message.signature();
            assert_eq!(shop.deliver(&address, &message, &signature).await, StatusCode::OK);
            delivered += 1;
        }
        assert!(delivered >= 2, "{token}");
        let credits = shop.story(payment).await;
        assert_eq!(credits.iter().filter(|name| **name == "payment.captured.v1").count(), 1);
    }
    assert_eq!((shop.wallet().await, shop.provider.sandbox.totals().0), (usd(123), 123));
    let unknown = format!("{address}/v1/providers/nobody/webhooks");
    let status = reqwest::Client::new().post(unknown).body("{}").send().await.unwrap().status();
    assert_eq!(status, StatusCode::NOT_FOUND);
    let (_, ready) = readiness(&address).await;
    assert_eq!(ready["effects"]["stuck"], 0);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_ends_between_the_providers_answer_and_the_report_credits_once() {
    let shop = Shop::open().await;
    shop.provider.loses_captures.store(true, Ordering::SeqCst);
    let payment = shop.pay(700, "tok_approve").await;
    tokio::time::timeout(PATIENCE, shop.provider.captured.notified()).await.unwrap();
    assert_eq!(shop.provider.sandbox.totals(), (700, 0), "the provider has taken the money");
    assert_eq!(shop.story(payment).await, TOP_UP[..2], "and the market does not know");
    let Shop { node, buyer, seller, clock, folder, .. } = shop;
    node.shutdown().await;
    // The provider has its books, and nothing else is left of the process.
    let (provider, messages) = watched(&folder.path().join("sandbox.json"), &clock);
    let node = start(folder.path(), &provider, &clock).await;
    let shop = Shop { node, provider, messages, buyer, seller, clock, folder };
    shop.until_captured(payment).await;
    assert_eq!(shop.story(payment).await, TOP_UP);
    assert_eq!((shop.wallet().await, shop.provider.sandbox.totals()), (usd(700), (700, 0)));
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_buyer_confirms_with_his_bank_or_gives_up() {
    let shop = Shop::open().await;
    let is_about = |payment| move |event: &Event| matches!(event, Event::PaymentActionRequired(e) if e.payment == payment);
    let payment = shop.pay(700, "tok_action").await;
    shop.until(is_about(payment)).await;
    shop.provider.sandbox.confirm(payment);
    shop.until_captured(payment).await;
    let other = shop.pay(50, "tok_action").await;
    shop.until(is_about(other)).await;
    shop.accept(CancelPayment { payment: other }).await;
    let voided = shop.until(|event| matches!(event, Event::PaymentVoided(_))).await;
    let Event::PaymentVoided(voided) = voided else { panic!("{voided:?}") };
    assert_eq!((voided.payment, voided.because), (other, VoidReason::Cancelled));
    assert_eq!((shop.wallet().await, shop.provider.sandbox.totals()), (usd(700), (700, 0)));
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_provider_lets_go_of_is_credited_to_nobody() {
    let shop = Shop::open().await;
    let payment = shop.pay(700, "tok_expires").await;
    let voided = shop.until(|event| matches!(event, Event::PaymentVoided(_))).await;
    let Event::PaymentVoided(voided) = voided else { panic!("{voided:?}") };
    assert_eq!((voided.payment, voided.because), (payment, VoidReason::AuthorizationExpired));
    assert_eq!((shop.wallet().await, shop.provider.sandbox.totals()), (usd(0), (0, 0)));
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_charged_when_it_leaves_is_taken_for_what_is_left_of_it_or_not_at_all() {
    let shop = Shop::open().await;
    let listing = ListingId::from_uuid(Uuid::now_v7());
    shop.sells(CreateListing::new(listing, usd(500), text("Tea"))).await;
    shop.sells(ReceiveStock { listing, location: None, quantity: Quantity::new(4).unwrap() }).await;
    let mut orders = Vec::new();
    for token in ["tok_approve", "tok_expires"] {
        let lines = vec![OrderLine { listing, quantity: Quantity::new(2).unwrap(), quote: None }];
        let tenders = Tenders { capture: CaptureTime::OnShip, provider: shop.method(token), wallet: None };
        let (id, payment_method) = (new_id(), PaymentMethod::Tenders(tenders));
        shop.accept_as(id, PlaceOrder::new(lines, payment_method, usd(1000))).await;
        let order = OrderId::derive(shop.buyer.account(), id, 0);
        shop.until(|event| matches!(event, Event::OrderAuthorized(held) if held.order == order)).await;
        orders.push(order);
    }
    // Nothing is taken of what the provider holds before the seller is about to ship.
    assert_eq!(shop.provider.sandbox.totals(), (0, 0));
    let one = vec![LineQuantity { listing, quantity: Quantity::new(1).unwrap() }];
    shop.accept(CancelOrder { lines: Some(one), order: orders[0], reason: None }).await;
    shop.sells(ReadyOrder { order: orders[0] }).await;
    shop.until(|event| matches!(event, Event::OrderPaid(_))).await;
    assert_eq!((shop.wallet().await, shop.provider.sandbox.totals()), (usd(0), (500, 0)));
    shop.sells(ShipOrder { carrier: None, from: None, lines: None, order: orders[0], tracking: None }).await;
    // The other card's bank has let go.
    shop.sells(ReadyOrder { order: orders[1] }).await;
    let is_other = |event: &Event| match event {
        Event::OrderCancelled(cancelled) => cancelled.by == CancelledBy::AuthorizationExpired,
        _ => false,
    };
    let cancelled = shop.until(is_other).await;
    assert!(matches!(cancelled, Event::OrderCancelled(cancelled) if cancelled.order == orders[1]));
    assert_eq!((shop.wallet().await, shop.provider.sandbox.totals()), (usd(0), (500, 0)));
    shop.close().await;
}

/// Sells a tea for 5 dollars that is charged when it leaves, and waits until the sandbox holds the money.
async fn held(shop: &Shop, token: &str) -> (OrderId, PaymentId) {
    let listing = ListingId::from_uuid(Uuid::now_v7());
    shop.sells(CreateListing::new(listing, usd(500), text("Tea"))).await;
    shop.sells(ReceiveStock { listing, location: None, quantity: Quantity::new(1).unwrap() }).await;
    let lines = vec![OrderLine { listing, quantity: Quantity::new(1).unwrap(), quote: None }];
    let tenders = Tenders { capture: CaptureTime::OnShip, provider: shop.method(token), wallet: None };
    let (id, payment_method) = (new_id(), PaymentMethod::Tenders(tenders));
    shop.accept_as(id, PlaceOrder::new(lines, payment_method, usd(500))).await;
    let order = OrderId::derive(shop.buyer.account(), id, 0);
    shop.until(|event| matches!(event, Event::OrderAuthorized(held) if held.order == order)).await;
    (order, PaymentId::derive(shop.buyer.account(), id))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_authorised_anew_and_the_old_authorisation_is_let_go() {
    let shop = Shop::open().await;
    let (order, before) = held(&shop, "tok_brief").await;
    shop.accept(PayOrder { method: shop.method("tok_decline_do_not_honor"), order }).await;
    shop.until(|event| matches!(event, Event::PaymentFailed(_))).await;
    // The answer about the second card is lost, and found again.
    let id = new_id();
    shop.accept_as(id, PayOrder { method: shop.method("tok_timeout_approved"), order }).await;
    let payment = PaymentId::derive(shop.buyer.account(), id);
    let voided = shop.until(|event| matches!(event, Event::PaymentVoided(_))).await;
    let Event::PaymentVoided(voided) = voided else { panic!("{voided:?}") };
    assert_eq!((voided.payment, voided.because), (before, VoidReason::Replaced));
    let stands = async |payment| shop.provider.sandbox.look_up(payment, None).await.unwrap().unwrap().answer;
    assert_eq!(stands(before).await, Answer::Voided);
    assert!(matches!(stands(payment).await, Answer::Authorized { .. }));
    shop.sells(ReadyOrder { order }).await;
    let paid = shop.until(|event| matches!(event, Event::OrderPaid(_))).await;
    assert!(matches!(paid, Event::OrderPaid(paid) if paid.payment == Some(payment)));
    assert_eq!((shop.wallet().await, shop.provider.sandbox.totals()), (usd(0), (500, 0)));
    let view = shop.node.projections().orders().order(order).unwrap().unwrap();
    assert_eq!(view.payment.map(|shown| (shown.payment, shown.is_paid)), Some((payment, true)));
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_provider_has_let_go_of_in_silence_is_found_when_a_process_takes_over() {
    let shop = Shop::open().await;
    let (order, payment) = held(&shop, "tok_lets_go").await;
    let Shop { node, buyer, seller, clock, folder, .. } = shop;
    node.shutdown().await;
    let (provider, messages) = watched(&folder.path().join("sandbox.json"), &clock);
    let node = start(folder.path(), &provider, &clock).await;
    let shop = Shop { node, provider, messages, buyer, seller, clock, folder };
    let cancelled = shop.until(|event| matches!(event, Event::OrderCancelled(_))).await;
    let Event::OrderCancelled(cancelled) = cancelled else { panic!("{cancelled:?}") };
    assert_eq!((cancelled.order, cancelled.by), (order, CancelledBy::AuthorizationExpired));
    let story = ["payment.requested.v1", "payment.authorized.v1", "payment.voided.v1"];
    assert_eq!(shop.story(payment).await, story);
    assert_eq!((shop.wallet().await, shop.provider.sandbox.totals()), (usd(0), (0, 0)));
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payout_that_the_bank_returns_is_the_sellers_again_once() {
    let mut shop = Shop::open().await;
    let address = serve(shop.node.gateway(Arc::clone(&shop.clock), None)).await;
    let (order, _) = held(&shop, "tok_approve").await;
    shop.sells(ReadyOrder { order }).await;
    shop.until(|event| matches!(event, Event::OrderPaid(_))).await;
    shop.sells(ShipOrder { carrier: None, from: None, lines: None, order, tracking: None }).await;
    shop.accept(ConfirmDelivery { order, shipment: None }).await;
    shop.sells(RequestPayout { amount: usd(400), to: shop.method("acct_returned_account_closed") }).await;
    let paid = shop.until(|event| matches!(event, Event::PayoutPaid(_))).await;
    let Event::PayoutPaid(paid) = paid else { panic!("{paid:?}") };
    assert_eq!(shop.provider.sandbox.paid_out(), 400);
    while shop.messages.try_recv().is_ok() {}
    shop.provider.sandbox.bring_back(paid.payout);
    let message = shop.messages.recv().await.unwrap();
    let signature = message.signature();
    assert_eq!(shop.deliver(&address, &message, "t=1,v1=00").await, StatusCode::BAD_REQUEST);
    for _ in 0..2 {
        assert_eq!(shop.deliver(&address, &message, &signature).await, StatusCode::OK);
    }
    // Acknowledged is durable.
    let head = shop.node.log().head().await.unwrap().position;
    shop.node.projections().wait_for(head, PATIENCE).await.unwrap();
    let earned = LedgerAccount::SellerAvailable(shop.seller.account());
    let ledger = shop.node.projections().ledger();
    assert_eq!(ledger.balance(earned, usd(0).currency).unwrap(), usd(487));
    assert!(ledger.trial_balance().unwrap().iter().all(|sum| sum.sum == 0));
    let view = shop.node.projections().payments().payout(paid.payout).unwrap().unwrap();
    assert_eq!(view.state, PayoutState::Returned { code: "account_closed".to_owned() });
    assert_eq!(shop.provider.sandbox.paid_out(), 0);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_nobody_agrees_to_is_given_up_in_time_and_at_the_provider_too() {
    let clock = Arc::new(ManualClock::new(WallClock.now()));
    let shop = Shop::open_at(Arc::clone(&clock) as _).await;
    let payment = shop.pay(700, "tok_late_webhook").await;
    let asked = async {
        while shop.provider.sandbox.look_up(payment, None).await.unwrap().is_none() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, asked).await.unwrap();
    clock.advance_to(clock.now().plus_ms(REQUEST_MS + 1));
    shop.node.handle().tick().await;
    shop.until(|event| matches!(event, Event::PaymentVoided(_))).await;
    let story = ["payment.requested.v1", "payment.void_requested.v1", "payment.voided.v1"];
    assert_eq!(shop.story(payment).await, story);
    let found = shop.provider.sandbox.look_up(payment, None).await.unwrap().unwrap();
    assert_eq!(found.answer, Answer::Voided);
    shop.close().await;
}
