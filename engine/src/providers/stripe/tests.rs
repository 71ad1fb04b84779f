//! What Stripe's documentation shows of its answers, read here. What `localstripe` can play is tested against that, in
//! `tests/tests/stripe.rs`; it has no idempotency keys, no `capture_before` and no decline codes.

use serde_json::json;

use super::*;
use crate::providers::stripe::webhook::sign;

const NOW: Timestamp = Timestamp::from_ms(1_753_783_200_000);
const PAYMENT: &str = "0198559f-e900-7abc-8def-000000000021";
const PAYOUT: &str = "0198559f-e900-7abc-8def-000000000031";

fn usd(minor: i64) -> Money {
    Money::new(minor, "USD".parse().unwrap())
}

/// The PaymentIntent of the reference documentation, shortened to what is read.
fn intent(status: &str) -> Value {
    json!({
        "id": "pi_3MrPBM2eZvKYlo2C1TEMacFD",
        "object": "payment_intent",
        "amount": 1000,
        "amount_capturable": 0,
        "amount_received": 0,
        "canceled_at": null,
        "cancellation_reason": null,
        "capture_method": "manual",
        "created": 1_680_649_956,
        "currency": "usd",
        "last_payment_error": null,
        "latest_charge": null,
        "metadata": {"payment": PAYMENT},
        "next_action": null,
        "status": status,
    })
}

fn answer(intent: &Value) -> Answer {
    read_intent(intent).unwrap().answer
}

#[test]
fn an_intent_that_can_be_captured_says_how_much_and_until_when() {
    let mut held = intent("requires_capture");
    held["amount_capturable"] = 1000.into();
    let reference = "pi_3MrPBM2eZvKYlo2C1TEMacFD".to_owned();
    let until = |seconds: i64| Answer::Authorized {
        reference: reference.clone(),
        amount: usd(1000),
        capture_before: Timestamp::from_ms(seconds * 1000),
    };
    assert_eq!(answer(&held), until(1_680_649_956 + 7 * 86_400));
    held["latest_charge"] =
        json!({"payment_method_details": {"card": {"capture_before": 1_681_000_000}, "type": "card"}});
    assert_eq!(answer(&held), until(1_681_000_000));
}

#[test]
fn every_status_of_an_intent_is_read() {
    let mut captured = intent("succeeded");
    captured["amount_received"] = 600.into();
    let reference = "pi_3MrPBM2eZvKYlo2C1TEMacFD".to_owned();
    assert_eq!(answer(&captured), Answer::Captured { reference: reference.clone(), amount: usd(600) });
    assert_eq!(answer(&intent("canceled")), Answer::Voided);
    let mut expired = intent("canceled");
    expired["cancellation_reason"] = "automatic".into();
    assert_eq!(answer(&expired), Answer::Expired);
    for waits in ["processing", "requires_confirmation", "something_new"] {
        assert_eq!(answer(&intent(waits)), Answer::Pending, "{waits}");
    }
    let mut acts = intent("requires_action");
    acts["next_action"] = json!({"type": "use_stripe_sdk", "use_stripe_sdk": {}});
    let (kind, url) = (ActionKind::ThreeDs, None);
    assert_eq!(answer(&acts), Answer::ActionRequired { reference: reference.clone(), kind, url });
    let page = "https://hooks.stripe.com/redirect/authenticate/src_1Ix2";
    acts["next_action"] = json!({"type": "redirect_to_url", "redirect_to_url": {"url": page}});
    let (kind, url) = (ActionKind::Redirect, Some(page.to_owned()));
    assert_eq!(answer(&acts), Answer::ActionRequired { reference, kind, url });
    let mut refused = intent("requires_payment_method");
    refused["last_payment_error"] =
        json!({"code": "card_declined", "decline_code": "stolen_card", "type": "card_error"});
    assert_eq!(answer(&refused), Answer::Declined { code: "stolen_card".to_owned(), retryable: false });
}

#[test]
fn a_refusal_says_whether_another_try_may_go_well() {
    for (error, code, retryable) in [
        (json!({"code": "card_declined", "decline_code": "insufficient_funds"}), "insufficient_funds", true),
        (json!({"code": "card_declined", "decline_code": "do_not_honor"}), "do_not_honor", true),
        (json!({"code": "card_declined", "decline_code": "try_again_later"}), "try_again_later", true),
        (json!({"code": "processing_error"}), "processing_error", true),
        (json!({"code": "expired_card"}), "expired_card", true),
        (json!({"code": "card_declined", "decline_code": "fraudulent"}), "fraudulent", false),
        (Value::Null, "declined", true),
    ] {
        assert_eq!(declined(&error), Answer::Declined { code: code.to_owned(), retryable });
    }
}

#[test]
fn only_the_cards_own_documented_refusal_is_a_declined_payment() {
    let error = |kind: &str, code: Option<&str>, param: Option<&str>| json!({"error": {"type": kind, "code": code, "param": param, "message": "…"}});
    let (card, invalid) = ("card_error", "invalid_request_error");
    for (status, body, code) in [
        (402, error(card, Some("card_declined"), None), Some("card_declined")),
        (402, error(card, Some("expired_card"), Some("exp_month")), Some("expired_card")),
        (402, error(card, Some("incorrect_cvc"), Some("cvc")), Some("incorrect_cvc")),
        (402, error(card, None, None), Some("declined")),
        // What is wrong with the request, or with the account, says nothing of the buyer's card.
        (400, error(invalid, Some("resource_missing"), Some("payment_method")), None),
        (404, error(invalid, Some("resource_missing"), Some("payment_method")), None),
        (400, error(invalid, Some("parameter_missing"), Some("amount")), None),
        (400, error(invalid, Some("amount_too_small"), Some("amount")), None),
        (400, error(invalid, Some("testmode_charges_only"), None), None),
        (400, error(invalid, Some("livemode_mismatch"), None), None),
        (400, error(invalid, None, None), None),
        (400, error("idempotency_error", None, None), None),
        (400, error(card, Some("card_declined"), None), None),
        (402, error(invalid, Some("card_declined"), None), None),
        (402, error("api_error", None, None), None),
        (402, Value::Null, None),
        (401, error(invalid, None, None), None),
        (403, error(invalid, None, None), None),
        (409, error(invalid, Some("lock_timeout"), None), None),
        (429, error(invalid, Some("rate_limit"), None), None),
        (500, error("api_error", None, None), None),
    ] {
        let status = StatusCode::from_u16(status).unwrap();
        let answer = authorized(status, &body);
        let told = match &answer {
            Ok(Answer::Declined { code, .. }) => Some(code.as_str()),
            Ok(other) => panic!("{other:?}"),
            Err(_) => None,
        };
        assert_eq!(told, code, "{status} {body}");
    }
    let mut held = intent("requires_capture");
    held["amount_capturable"] = 1000.into();
    assert!(matches!(authorized(StatusCode::OK, &held), Ok(Answer::Authorized { .. })));
    // The card's own words say whether another one may go well.
    let stolen =
        json!({"error": {"type": "card_error", "code": "card_declined", "decline_code": "stolen_card"}});
    let declined = Answer::Declined { code: "stolen_card".to_owned(), retryable: false };
    assert_eq!(authorized(StatusCode::PAYMENT_REQUIRED, &stolen), Ok(declined));
    let other_mode = error(invalid, Some("resource_missing"), Some("payment_method"));
    let told = authorized(StatusCode::BAD_REQUEST, &other_mode).unwrap_err();
    assert!(told.0.contains("resource_missing") && told.0.contains("mode"), "{told}");
}

#[test]
fn a_payout_is_read_as_stripe_writes_it() {
    let payout =
        |status: &str| json!({"id": "po_1OaFDbEcg9tTZuTgNYmX0PKB", "object": "payout", "status": status});
    let reference = "po_1OaFDbEcg9tTZuTgNYmX0PKB".to_owned();
    assert_eq!(read_payout(&payout("paid")), Ok(PayoutAnswer::Paid { reference }));
    for status in ["pending", "in_transit"] {
        assert_eq!(read_payout(&payout(status)), Ok(PayoutAnswer::Pending));
    }
    let mut failed = payout("failed");
    failed["failure_code"] = "account_closed".into();
    assert_eq!(read_payout(&failed), Ok(PayoutAnswer::Failed { code: "account_closed".to_owned() }));
    let code = "payout_failed".to_owned();
    assert_eq!(read_payout(&payout("canceled")), Ok(PayoutAnswer::Failed { code }));
    assert!(read_payout(&json!({})).is_err());
}

#[test]
fn only_a_documented_refusal_of_the_request_itself_ends_a_payout_or_a_refund() {
    let error = |kind: &str, code: Option<&str>, param: Option<&str>| json!({"type": kind, "code": code, "param": param, "message": "…"});
    let invalid = "invalid_request_error";
    for (status, error, code) in [
        // The bodies of the documentation of errors and of error codes, shortened to what is read.
        (400, error(invalid, Some("balance_insufficient"), None), Some("balance_insufficient")),
        (400, error(invalid, Some("payouts_not_allowed"), None), Some("payouts_not_allowed")),
        (400, error(invalid, Some("resource_missing"), Some("destination")), Some("resource_missing")),
        (404, error(invalid, Some("resource_missing"), Some("payment_intent")), Some("resource_missing")),
        (
            400,
            error(invalid, Some("parameter_invalid_integer"), Some("amount")),
            Some("parameter_invalid_integer"),
        ),
        (400, error(invalid, Some("charge_already_refunded"), None), Some("charge_already_refunded")),
        (402, error("card_error", Some("expired_card"), None), Some("expired_card")),
        (400, error(invalid, None, Some("amount")), Some("refused")),
        // Nothing of this says what became of what was asked for.
        (429, error(invalid, Some("rate_limit"), None), None),
        (400, error(invalid, Some("rate_limit"), None), None),
        (429, error(invalid, Some("lock_timeout"), None), None),
        (400, error(invalid, Some("lock_timeout"), None), None),
        (409, error(invalid, Some("idempotency_key_in_use"), None), None),
        (400, error(invalid, Some("idempotency_key_in_use"), None), None),
        (400, error("idempotency_error", None, Some("amount")), None),
        (401, error(invalid, None, Some("amount")), None),
        (403, error(invalid, Some("balance_insufficient"), None), None),
        (500, error("api_error", None, None), None),
        (400, error("api_error", Some("balance_insufficient"), None), None),
        (400, error(invalid, Some("some_code_of_tomorrow"), Some("amount")), None),
        (400, error(invalid, None, None), None),
        (400, Value::Null, None),
    ] {
        let status = StatusCode::from_u16(status).unwrap();
        assert_eq!(refusal(status, &error, "refused").as_deref(), code, "{status} {error}");
    }
    assert!(REFUSALS.is_sorted(), "one looks a code up");
}

#[test]
fn an_answer_that_can_not_be_read_is_no_answer() {
    for (member, value) in [
        ("id", Value::Null),
        ("status", json!(3)),
        ("currency", json!("xxx")),
        ("amount_received", json!(-1)),
    ] {
        let mut broken = intent("succeeded");
        broken[member] = value;
        assert!(read_intent(&broken).is_err(), "{member}");
    }
    let told = trouble(StatusCode::UNAUTHORIZED, &json!({"error": {"type": "invalid_request_error"}}));
    assert!(told.0.contains("401") && told.0.contains("secret key"), "{told}");
}

#[test]
fn every_status_of_a_refund_is_read() {
    let read = |status: &str| read_refund(&json!({"id": "re_1", "status": status})).unwrap();
    assert_eq!(read("succeeded"), RefundAnswer::Refunded { reference: "re_1".to_owned() });
    assert_eq!(read("pending"), RefundAnswer::Pending);
    assert_eq!(read("requires_action"), RefundAnswer::Pending);
    assert_eq!(read("canceled"), RefundAnswer::Failed { code: "refund_failed".to_owned() });
    let failed = json!({"id": "re_1", "status": "failed", "failure_reason": "expired_or_canceled_card"});
    let code = "expired_or_canceled_card".to_owned();
    assert_eq!(read_refund(&failed), Ok(RefundAnswer::Failed { code }));
    assert!(read_refund(&json!({})).is_err());
}

fn stripe(webhook_secret: Option<&str>) -> Stripe {
    Stripe::new(URL, Secret::new("sk_test_x"), webhook_secret.map(Secret::new)).unwrap()
}

#[test]
fn a_message_is_read_only_if_it_is_signed_and_names_a_payment_of_an_intent_or_a_payout() {
    let read = |stripe: &Stripe, event: &Value, secret: &str| {
        let body = event.to_string().into_bytes();
        let signature = sign(&body, secret, NOW);
        stripe.read_webhook(&|name| (name == "stripe-signature").then(|| signature.clone()), &body, NOW)
    };
    let event = |object: Value| json!({"id": "evt_1", "type": "x", "data": {"object": object}});
    let ours = event(intent("succeeded"));
    let with_secret = stripe(Some("whsec_1"));
    let payment = About::Payment(PAYMENT.parse().unwrap());
    let notice = |about| Ok(Notice { id: "evt_1".to_owned(), about });
    let about = Some((payment, "pi_3MrPBM2eZvKYlo2C1TEMacFD".to_owned()));
    assert_eq!(read(&with_secret, &ours, "whsec_1"), notice(about));
    // What it says of a payout is not believed: only which it is.
    for kind in ["payout.paid", "payout.failed", "payout.canceled"] {
        let object =
            json!({"id": "po_1", "object": "payout", "metadata": {"payout": PAYOUT}, "status": "paid"});
        let event = json!({"id": "evt_1", "type": kind, "data": {"object": object}});
        let about = Some((About::Payout(PAYOUT.parse().unwrap()), "po_1".to_owned()));
        assert_eq!(read(&with_secret, &event, "whsec_1"), notice(about));
        assert_eq!(read(&with_secret, &event, "whsec_2"), Err(WebhookError::Signature));
    }
    assert_eq!(read(&with_secret, &ours, "whsec_2"), Err(WebhookError::Signature));
    assert_eq!(read(&stripe(None), &ours, "whsec_1"), Err(WebhookError::NotExpected));
    let mut of_others = intent("succeeded");
    of_others["metadata"] = json!({});
    let no_payout = json!({"object": "payout", "id": "po_2", "metadata": {"payment": PAYMENT}});
    for other in [event(of_others), event(no_payout), event(json!({"object": "charge", "id": "ch_1"}))] {
        assert_eq!(read(&with_secret, &other, "whsec_1"), notice(None));
    }
    assert_eq!(read(&with_secret, &json!({}), "whsec_1"), Err(WebhookError::Malformed));
    assert_eq!(with_secret.read_webhook(&|_| None, b"{}", NOW), Err(WebhookError::Signature));
}

#[test]
fn a_secret_is_never_shown_and_never_sent_in_the_clear() {
    let shown = format!("{:?}", stripe(Some("whsec_1")));
    assert!(!shown.contains("sk_test_x") && !shown.contains("whsec_1"), "{shown}");
    for (url, is_good) in [
        ("https://api.stripe.com", true),
        ("http://127.0.0.1:8420", true),
        ("http://localhost:8420", true),
        ("http://api.stripe.com", false),
        ("ftp://127.0.0.1", false),
        ("stripe", false),
    ] {
        assert_eq!(Stripe::new(url, Secret::new("sk_test_x"), None).is_ok(), is_good, "{url}");
    }
}

#[test]
fn each_message_about_a_dispute_makes_the_market_ask() {
    let stripe = Stripe::new("http://127.0.0.1:1", Secret::new("k"), Some(Secret::new("whsec"))).unwrap();
    for kind in ["created", "updated", "closed", "funds_withdrawn", "funds_reinstated"] {
        let object = json!({"id": "du_1", "object": "dispute", "payment_intent": "pi_1"});
        let event = json!({"id": format!("evt_{kind}"), "type": format!("charge.dispute.{kind}"), "data": {"object": object}});
        let body = event.to_string().into_bytes();
        let signed = sign(&body, "whsec", NOW);
        let header = |name: &str| (name == "stripe-signature").then(|| signed.clone());
        let notice = stripe.read_webhook(&header, &body, NOW).unwrap();
        let about = Some((About::Dispute, "du_1".to_owned()));
        assert_eq!(notice, Notice { id: format!("evt_{kind}"), about });
        assert_eq!(stripe.read_webhook(&|_| None, &body, NOW), Err(WebhookError::Signature));
    }
}
