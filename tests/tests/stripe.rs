//! The Stripe adapter against `localstripe`, a fake Stripe that others wrote, and a whole top-up through it.
//!
//! It plays intents with manual capture, cancelling, refunds, a confirmation by the buyer, and signs its messages as Stripe
//! does. It knows no idempotency keys, tells no `capture_before` and no decline codes, and reports the whole amount after
//! a partial capture: those are tested against the documentation's own examples, beside the adapter.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use std::sync::Arc;
use std::time::Duration;

use commands::command::{ProviderMethod, RefundPayment, RequestPayment};
use commands::receipt::Outcome;
use engine::clock::{Clock, WallClock};
use engine::processor::StopReason;
use engine::providers::stripe::Stripe;
use engine::providers::{
    About, Answer, Authorize, Capture, Found, PaymentProvider, PayoutAnswer, PayoutCall, RefundAnswer,
    RefundCall, Secret, WebhookError,
};
use events::account::{Algorithm, Role};
use events::ids::{PaymentId, PayoutId, RefundId};
use events::ledger::LedgerAccount;
use events::{Event, Money};
use futures::StreamExt;
use gateway::node::{Node, NodeConfig, REGISTRAR_KEY};
use serde_json::json;
use tempfile::TempDir;
use tests::localstripe::{LocalStripe, SECRET_KEY};
use tests::log_contract::market;
use tests::town::{Person, new_id, receipt, submit, usd};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use uuid::Uuid;

/// How long something may take; only what is broken needs it.
const PATIENCE: Duration = Duration::from_secs(60);
const WEBHOOK_SECRET: &str = "whsec_test";

fn adapter(server: &LocalStripe) -> Stripe {
    Stripe::new(server.url(), Secret::new(SECRET_KEY), Some(Secret::new(WEBHOOK_SECRET))).unwrap()
}

fn new_payment() -> PaymentId {
    PaymentId::from_uuid(Uuid::now_v7())
}

fn authorize(payment: PaymentId, amount: Money, token: &str) -> Authorize {
    Authorize { payment, amount, token: token.to_owned() }
}

fn reference(answer: Answer) -> String {
    match answer {
        Answer::Authorized { reference, .. } | Answer::ActionRequired { reference, .. } => reference,
        other => panic!("not held: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn money_is_held_taken_and_given_back_in_parts() {
    let server = LocalStripe::start().await.unwrap();
    let stripe = adapter(&server);
    let payment = new_payment();
    assert_eq!(stripe.look_up(payment, None).await, Ok(None), "nothing was asked yet");
    let answer = stripe.authorize(&authorize(payment, usd(1_000), "pm_card_visa")).await.unwrap();
    let Answer::Authorized { reference, amount, capture_before } = answer.clone() else {
        panic!("{answer:?}")
    };
    assert_eq!(amount, usd(1_000));
    assert!(capture_before > WallClock.now());
    // Found by the payment alone, as after an answer that was lost, and by the reference.
    let found = Some(Found { reference: reference.clone(), answer });
    assert_eq!(stripe.look_up(payment, None).await, Ok(found.clone()));
    assert_eq!(stripe.look_up(payment, Some(&reference)).await, Ok(found));
    assert_eq!(stripe.look_up(new_payment(), Some(&reference)).await, Ok(None), "it is another's");

    let capture = Capture { payment, amount: usd(1_000), reference: reference.clone() };
    let captured = Answer::Captured { reference: reference.clone(), amount: usd(1_000) };
    assert_eq!(stripe.capture(&capture).await, Ok(captured.clone()));
    assert!(stripe.capture(&capture).await.is_err(), "what was taken is not taken again");
    let found = stripe.look_up(payment, Some(&reference)).await.unwrap().unwrap();
    assert_eq!(found.answer, captured);

    for minor in [300, 200] {
        let refund = RefundId::from_uuid(Uuid::now_v7());
        let call = RefundCall { refund, payment, amount: usd(minor), reference: reference.clone() };
        assert_eq!(stripe.look_up_refund(&call).await, Ok(None));
        let given = stripe.refund(&call).await.unwrap();
        assert!(matches!(&given, RefundAnswer::Refunded { reference } if reference.starts_with("re_")));
        assert_eq!(stripe.look_up_refund(&call).await, Ok(Some(given)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_is_let_go_and_what_is_refused_is_told() {
    let server = LocalStripe::start().await.unwrap();
    let stripe = adapter(&server);
    let payment = new_payment();
    let held = stripe.authorize(&authorize(payment, usd(50), "pm_card_visa")).await.unwrap();
    let reference = reference(held);
    assert_eq!(stripe.void(payment, &reference).await, Ok(Answer::Voided));
    assert_eq!(stripe.look_up(payment, None).await.unwrap().unwrap().answer, Answer::Voided);
    // This server says of every error that the request is wrong, and not, as Stripe does, that the card was refused: that is believed
    // of the intent alone, which is asked for next.
    let refused = new_payment();
    let answer = stripe.authorize(&authorize(refused, usd(50), "pm_card_chargeCustomerFail")).await;
    assert!(answer.is_err_and(|told| told.to_string().contains("card_declined")));
    let found = stripe.look_up(refused, None).await.unwrap().map(|found| found.answer);
    assert!(matches!(&found, Some(Answer::Declined { retryable: true, .. })), "{found:?}");
    let unknown = stripe.authorize(&authorize(new_payment(), usd(50), "pm_unknown")).await;
    assert!(unknown.is_err(), "a token that is not of this account says nothing of a card: {unknown:?}");
    let wrong = Stripe::new(server.url(), Secret::new("no_key"), None).unwrap();
    let told = wrong.look_up(payment, None).await.unwrap_err().to_string();
    assert!(told.contains("secret key") && !told.contains("no_key"), "{told}");
    let nobody = Stripe::new("http://127.0.0.1:9", Secret::new(SECRET_KEY), None).unwrap();
    assert!(
        nobody.authorize(&authorize(payment, usd(50), "pm_card_visa")).await.is_err(),
        "no answer is no refusal"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seller_is_paid_out_and_the_payout_is_found_again() {
    let server = LocalStripe::start().await.unwrap();
    let stripe = adapter(&server);
    let euros = |minor| Money::new(minor, "EUR".parse().unwrap());
    let call =
        |amount| PayoutCall { payout: PayoutId::from_uuid(Uuid::now_v7()), amount, token: "ba_1".to_owned() };
    let (one, other) = (call(euros(975)), call(euros(100)));
    assert_eq!(stripe.look_up_payout(one.payout, None).await, Ok(None), "nothing was asked yet");
    // It is on its way to the bank, and stays so: this server schedules none.
    assert_eq!(stripe.pay_out(&one).await, Ok(PayoutAnswer::Pending));
    assert_eq!(stripe.pay_out(&other).await, Ok(PayoutAnswer::Pending));
    assert_eq!(stripe.look_up_payout(one.payout, None).await, Ok(Some(PayoutAnswer::Pending)));
    // By its reference, as after a message: and only if it is ours.
    let listed = format!("{}/v1/payouts", server.url());
    let listed = reqwest::Client::new().get(listed).bearer_auth(SECRET_KEY).send().await.unwrap();
    let listed: serde_json::Value = listed.json().await.unwrap();
    let of = |call: &PayoutCall| {
        let mut payouts = listed["data"].as_array().unwrap().iter();
        let found = payouts.find(|found| found["metadata"]["payout"] == call.payout.to_string().as_str());
        found.unwrap()["id"].as_str().unwrap().to_owned()
    };
    let known = stripe.look_up_payout(one.payout, Some(&of(&one))).await;
    assert_eq!(known, Ok(Some(PayoutAnswer::Pending)));
    assert_eq!(stripe.look_up_payout(one.payout, Some(&of(&other))).await, Ok(None), "it is another's");
    assert_eq!(stripe.look_up_payout(one.payout, Some("po_unknown")).await, Ok(None));
    // This server pays out euros only, and says neither which value is wrong nor why: that is no word to go by.
    let told = stripe.pay_out(&call(usd(100))).await.unwrap_err().to_string();
    assert!(told.contains("400"), "{told}");
    assert!(
        stripe
            .pay_out(&call(Money::new(1, "JOD".parse().unwrap())))
            .await
            .is_ok_and(|answer| { answer == PayoutAnswer::Failed { code: "amount_not_payable".to_owned() } })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_buyer_confirms_with_his_bank() {
    let server = LocalStripe::start().await.unwrap();
    let stripe = adapter(&server);
    let card = json!({"number": "4000002500003155", "exp_month": 12, "exp_year": 2030, "cvc": "123"});
    let method = server.post("/v1/payment_methods", json!({"type": "card", "card": card})).await.unwrap();
    let payment = new_payment();
    let call = authorize(payment, usd(50), method["id"].as_str().unwrap());
    let waits = stripe.authorize(&call).await.unwrap();
    assert!(matches!(waits, Answer::ActionRequired { .. }), "{waits:?}");
    let reference = reference(waits);
    let intent = format!("{}/v1/payment_intents/{reference}", server.url());
    let intent = reqwest::Client::new().get(intent).bearer_auth(SECRET_KEY).send().await.unwrap();
    let intent: serde_json::Value = intent.json().await.unwrap();
    let confirmed = json!({"client_secret": intent["client_secret"], "success": true});
    let path = format!("/v1/payment_intents/{reference}/_authenticate");
    server.post(&path, confirmed).await.unwrap();
    let found = stripe.look_up(payment, Some(&reference)).await.unwrap().unwrap();
    assert!(matches!(found.answer, Answer::Authorized { .. }), "{found:?}");
}

/// Takes one HTTP request and gives its head and its body.
async fn take_request(listener: tokio::net::TcpListener) -> (String, Vec<u8>) {
    let (mut socket, _) = listener.accept().await.unwrap();
    let mut bytes = Vec::new();
    loop {
        socket.read_buf(&mut bytes).await.unwrap();
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let length = header(&head, "content-length").unwrap().parse::<usize>().unwrap();
        if bytes.len() >= end + 4 + length {
            socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            return (head, bytes.split_off(end + 4));
        }
    }
}

fn header(head: &str, name: &str) -> Option<String> {
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    lines.filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned()).next()
}

/// Has messages of an event sent to a place of its own.
async fn hear(server: &LocalStripe, event: &str) -> tokio::net::TcpListener {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let webhook = json!({"url": url, "secret": WEBHOOK_SECRET, "events": [event]});
    server.post("/_config/webhooks/one", webhook).await.unwrap();
    listener
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_another_program_signed_is_taken_and_a_changed_one_is_not() {
    let server = LocalStripe::start().await.unwrap();
    let stripe = adapter(&server);
    let listener = hear(&server, "payment_intent.succeeded").await;
    let payment = new_payment();
    let held = stripe.authorize(&authorize(payment, usd(50), "pm_card_visa")).await.unwrap();
    let reference = reference(held);
    stripe.capture(&Capture { payment, amount: usd(50), reference: reference.clone() }).await.unwrap();
    let (head, body) = tokio::time::timeout(PATIENCE, take_request(listener)).await.unwrap();
    let now = WallClock.now();
    let get = |name: &str| header(&head, name);
    let notice = stripe.read_webhook(&get, &body, now).unwrap();
    assert_eq!(notice.about, Some((About::Payment(payment), reference)));
    let mut changed = body.clone();
    changed[0] = b'[';
    assert_eq!(stripe.read_webhook(&get, &changed, now), Err(WebhookError::Signature));
    let late = now.plus_ms(3_600_000);
    assert!(matches!(stripe.read_webhook(&get, &body, late), Err(WebhookError::Time(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_a_payout_that_failed_makes_the_payout_be_asked_for() {
    let server = LocalStripe::start().await.unwrap();
    let stripe = adapter(&server);
    let listener = hear(&server, "payout.failed").await;
    let payout = PayoutId::from_uuid(Uuid::now_v7());
    // A payout that the bank sent back, as it stands at Stripe then.
    let failed =
        json!({"amount": 975, "currency": "eur", "status": "failed", "metadata": {"payout": payout}});
    let made = server.post("/v1/payouts", failed).await.unwrap();
    let reference = made["id"].as_str().unwrap().to_owned();
    let (head, body) = tokio::time::timeout(PATIENCE, take_request(listener)).await.unwrap();
    let get = |name: &str| header(&head, name);
    let notice = stripe.read_webhook(&get, &body, WallClock.now()).unwrap();
    assert_eq!(notice.about, Some((About::Payout(payout), reference.clone())));
    let code = "could_not_process".to_owned();
    let known = stripe.look_up_payout(payout, Some(&reference)).await;
    assert_eq!(known, Ok(Some(PayoutAnswer::Failed { code })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_is_topped_up_with_a_card_and_a_part_goes_back() {
    let server = LocalStripe::start().await.unwrap();
    let folder = TempDir::new().unwrap();
    let providers: Vec<Arc<dyn PaymentProvider>> = vec![Arc::new(adapter(&server))];
    let config =
        NodeConfig { verify_threads: 1, providers, ..NodeConfig::new(market(), folder.path().to_owned()) };
    let node = Node::start(config, Arc::new(WallClock)).await.unwrap();
    let registrar = node.keys().get(REGISTRAR_KEY).unwrap();
    let seq = node.keys().reserve_seqs(REGISTRAR_KEY, 100).unwrap();
    let registrar = Person::from_stored(node.market(), &registrar, seq);
    let buyer = Person::new(&market(), Algorithm::EdDsa, &mut rand::rng());
    let (_, account) = node.effects().providers().next().unwrap();
    let method = ProviderMethod { provider: account, token: "pm_card_visa".to_owned().try_into().unwrap() };
    let id = new_id();
    let payment = PaymentId::derive(buyer.account(), id);
    let accept = async |signed| {
        let receipt = receipt(submit(&node.handle(), signed).await).receipt;
        assert_eq!(receipt.outcome, Outcome::Accepted, "{:?}", receipt.reasons);
    };
    let until = async |is_it: fn(&Event) -> bool| {
        let log = node.log();
        let mut commits = log.follow(1);
        let found = async {
            loop {
                let commit = commits.next().await.unwrap().unwrap();
                if commit.events().iter().any(|recorded| is_it(&recorded.event)) {
                    return commit.head().position;
                }
            }
        };
        tokio::time::timeout(PATIENCE, found).await.expect("it happens")
    };
    accept(registrar.sign(buyer.account_registration(Role::Buyer))).await;
    accept(registrar.sign(buyer.device_registration())).await;
    accept(buyer.sign_as(id, RequestPayment { amount: usd(1_999), method })).await;
    until(|event| matches!(event, Event::PaymentCaptured(_))).await;
    accept(buyer.sign(RefundPayment { amount: usd(999), payment })).await;
    let position = until(|event| matches!(event, Event::PaymentRefunded(_))).await;
    node.projections().wait_for(position, PATIENCE).await.unwrap();
    let balance = |account| node.projections().ledger().balance(account, usd(0).currency).unwrap();
    assert_eq!(balance(LedgerAccount::Wallet(buyer.account())), usd(1_000));
    assert_eq!(balance(LedgerAccount::ProviderClearing(account)), usd(-1_000));
    assert_eq!(node.shutdown().await, StopReason::Shutdown);
}
