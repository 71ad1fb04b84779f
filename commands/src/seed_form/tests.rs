use std::collections::BTreeMap;
use std::sync::Arc;

use events::account::Algorithm;
use proptest::prelude::*;

use super::*;
use crate::command::{CartClaim, Expected};
use crate::crypto::VerifyingKey;
use crate::envelope::verify_command;
use crate::sign::sign_cart_claim;

const ID: &str = "0190b5a0-7c00-7000-8000-000000000001";

fn market() -> MarketName {
    "main".parse().unwrap()
}

fn key() -> SigningKey {
    SigningKey::from_seed(Algorithm::Es256, [5; 32]).unwrap()
}

fn keys() -> BTreeMap<KeyId, Arc<VerifyingKey>> {
    BTreeMap::from([(key().id(), Arc::new(VerifyingKey::new(&key().public()).unwrap()))])
}

fn draft(name: &str, body: Value) -> Draft {
    Draft {
        market: market(),
        account: ID.parse().unwrap(),
        device: ID.parse().unwrap(),
        command_id: ID.parse().unwrap(),
        seq: 123,
        nonce: events::ids::Nonce([3; 16]),
        issued_at: Timestamp::from_ms(1_753_783_200_000),
        expires_at: Timestamp::from_ms(1_753_783_320_000),
        expected: Expected::default(),
        command: Command::parse(name, &body).unwrap(),
    }
}

fn total() -> Value {
    json!({"minor": 9999, "currency": "USD"})
}

fn supported() -> Vec<Draft> {
    vec![
        draft("cart.add", json!({"listing": ID, "quantity": 2})),
        draft("cart.set_quantity", json!({"listing": ID, "owner": ID, "quantity": 2})),
        draft("cart.clear", json!({"owner": ID})),
        draft("cart.name", json!({"name": "For the office"})),
        draft("cart.share", json!({"cart": ID, "with": ID})),
        draft("cart.unshare", json!({"cart": ID, "with": ID})),
        draft("cart.leave", json!({"owner": ID})),
        draft("cart.set_quantity", json!({"listing": ID, "quantity": 2})),
        draft("cart.remove", json!({"listing": ID})),
        Draft { expected: Expected { cart: Some(4), listing: None }, ..draft("cart.clear", json!({})) },
        Draft {
            expected: Expected { cart: Some(4), listing: None },
            ..draft("cart.migrate", json!({"cart": ID, "payment_method": "wallet", "total": total()}))
        },
        draft("cart.save_for_later", json!({"listing": ID})),
        draft("cart.move_back", json!({"listing": ID})),
        draft("cart.freeze", json!({"until": 1_753_786_800_000u64})),
        draft("cart.unfreeze", json!({})),
        draft("cart.apply_coupon", json!({"coupon": "TEA"})),
        draft("cart.remove_coupon", json!({})),
        draft("cart.restore", json!({"cart": ID})),
        draft("cart.merge", json!({"claim": claim(), "policy": "sum"})),
        draft(
            "order.place",
            json!({"lines": [{"listing": ID, "quantity": 2}], "payment_method": "wallet", "total": total()}),
        ),
        Draft {
            expected: Expected { cart: Some(4), listing: None },
            ..draft(
                "cart.migrate",
                json!({
                    "cart": ID, "coupon": "TEA", "delivery": {"region": "DE"}, "payment_method": "wallet",
                    "total": total(),
                }),
            )
        },
        draft(
            "order.place",
            json!({
                "coupon": "TEA", "delivery": {"methods": {ID: "express"}, "region": "US-CA"},
                "lines": [{"listing": ID, "quantity": 2}], "payment_method": "wallet", "total": total(),
            }),
        ),
        draft("order.accept", json!({"order": ID})),
        draft("order.ready", json!({"order": ID})),
        draft("order.decline", json!({"order": ID, "reason": "zu spät"})),
        draft("order.cancel", json!({"order": ID, "reason": "zu spät"})),
        draft("order.cancel", json!({"lines": [{"listing": ID, "quantity": 1}], "order": ID})),
        draft("order.refund", json!({"amount": total(), "order": ID, "reason": "scratched", "shipment": 1})),
        draft(
            "order.propose_change",
            json!({
                "lines": [{"listing": ID, "quantity": 0}, {"listing": ID, "quantity": 2}], "max_difference": total(),
                "order": ID, "reason": "a party", "region": "DE",
            }),
        ),
        draft("order.propose_change", json!({"lines": [{"listing": ID, "quantity": 1}], "order": ID})),
        draft("order.accept_change", json!({"change": ID, "max_difference": total(), "order": ID})),
        draft("order.accept_change", json!({"change": ID, "order": ID})),
        draft("order.decline_change", json!({"change": ID, "order": ID, "reason": "zu spät"})),
        draft("order.withdraw_change", json!({"change": ID, "order": ID})),
        draft("order.confirm_delivery", json!({"order": ID})),
        draft("order.confirm_delivery", json!({"order": ID, "shipment": 2})),
        draft("order.ship", json!({"lines": [{"listing": ID, "quantity": 1}], "order": ID})),
        draft("order.ship", json!({"order": ID, "carrier": "Post", "from": "berlin-2", "tracking": "42"})),
        draft("order.pay", json!({"method": {"provider": ID, "token": "tok_1"}, "order": ID})),
        draft("payment.request", json!({"amount": total(), "method": {"provider": ID, "token": "tok_1"}})),
        draft("stock.reserve", json!({"listing": ID, "quantity": 2})),
        draft("stock.extend_reservation", json!({"reservation": ID})),
        draft("stock.release_reservation", json!({"reservation": ID})),
    ]
}

fn claim() -> String {
    let claim = CartClaim {
        aud: market(),
        cart: ID.parse().unwrap(),
        exp: Timestamp::from_ms(1_753_783_320_000),
        to: ID.parse().unwrap(),
        v: 1,
    };
    sign_cart_claim(&claim, &key())
}

/// Signs an object as a foreign client would: whatever it holds.
fn sign_object(mut object: Value) -> String {
    let signature = key().sign(serde_json_canonicalizer::to_string(&object).unwrap().as_bytes());
    object["signature"] = URL_SAFE_NO_PAD.encode(signature).into();
    object.to_string()
}

fn order(details: Value) -> Value {
    json!({
        "command": "order.place", "commandId": ID, "device_id": ID, "keyId": key().id(), "market": "main",
        "nonce": "AwMDAwMDAwMDAwMDAwMDAw", "orderDetails": details, "sequenceNumber": 123,
        "timestamp": "2025-07-29T10:00:00Z", "user_id": ID,
    })
}

fn details(total: Value, currency: Option<&str>) -> Value {
    let mut details =
        json!({"items": [{"listing_id": ID, "quantity": 2}], "payment_method": "wallet", "total": total});
    if let Some(currency) = currency {
        details["currency"] = currency.into();
    }
    details
}

#[test]
fn every_supported_command_means_the_same_in_both_forms() {
    for draft in supported() {
        let flat = sign(&draft, &key()).unwrap();
        let compact = crate::sign::sign(&draft, &key());
        let read = |text: &str| verify_command(text.as_bytes(), &market(), None, &keys()).unwrap();
        let (mut flat_read, compact_read) = (read(&flat), read(&compact));
        assert_eq!(flat_read.stamp.signed, flat);
        flat_read.stamp.signed = compact;
        assert_eq!(flat_read, compact_read);
    }
}

#[test]
fn commands_of_other_roles_are_given_as_compact_jws_only() {
    let draft = draft("stock.receive", json!({"listing": ID, "quantity": 2}));
    assert_eq!(sign(&draft, &key()), None);
    let mut object = order(json!({}));
    object["command"] = "stock.receive".into();
    let refusal = verify(sign_object(object).as_bytes(), &market(), &keys()).unwrap_err();
    assert_eq!(refusal.code(), "body_invalid");
}

#[test]
fn amounts_may_be_decimals_and_all_spellings_are_the_same_wish() {
    let minor = verify(sign_object(order(details(total(), None))).as_bytes(), &market(), &keys()).unwrap();
    for decimal in [json!(99.99), json!("99.99")] {
        let text = sign_object(order(details(decimal, Some("USD"))));
        let envelope = verify(text.as_bytes(), &market(), &keys()).unwrap();
        assert_eq!(envelope.body["total"], total());
        assert_eq!(envelope.stamp.fingerprint, minor.stamp.fingerprint);
        let replayed = verify(envelope.stamp.signed.as_bytes(), &market(), &keys()).unwrap();
        assert_eq!(replayed, envelope, "what the log keeps can be checked again");
    }
    let whole = sign_object(order(details(json!(100), Some("USD"))));
    assert_eq!(verify(whole.as_bytes(), &market(), &keys()).unwrap().body["total"]["minor"], 10_000);
}

#[test]
fn amounts_that_are_no_money_are_refused_by_name() {
    for (total, currency) in [
        (json!(99.999), Some("USD")),
        (json!("9,99"), Some("USD")),
        (json!("1e3"), Some("USD")),
        (json!("90071992547409.92"), Some("USD")),
        (json!(99.99), None),
        (json!(99.99), Some("XXX")),
        (total(), Some("USD")),
        (json!(["99.99"]), Some("USD")),
        (Value::Null, Some("USD")),
    ] {
        let text = sign_object(order(details(total, currency)));
        let refusal = verify(text.as_bytes(), &market(), &keys()).unwrap_err();
        assert_eq!(refusal.code(), "body_invalid", "{text}");
    }
}

#[test]
fn numbers_in_a_spelling_other_than_the_canonical_one_are_refused() {
    let good = sign_object(order(details(json!(99.5), Some("USD"))));
    assert!(verify(good.as_bytes(), &market(), &keys()).is_ok());
    for spelling in ["99.50", "9.95e1", "995e-1", "99.500000000000000001", "99.49999999999999999", "099.5"] {
        let text = good.replace("99.5", spelling);
        let refusal = verify(text.as_bytes(), &market(), &keys()).unwrap_err();
        let Refusal::SigMalformed { rule } = refusal else { panic!("{spelling}: {refusal}") };
        assert!(rule.starts_with(&format!("number `{spelling}` is not plain")), "{rule}");
    }
}

#[test]
fn only_numbers_outside_texts_count_as_numbers() {
    for (json, found) in [
        (r#"{"a":"1.0","b\"2.0":"\\","c":3}"#, None),
        (r#"{"a":"\\",  "b":1.0}"#, Some("1.0")),
        ("[1,-1,0.5,-0.5,1e5]", Some("1e5")),
        ("[-0]", Some("-0")),
        ("[0.000001]", None),
        ("[0.0000001]", Some("0.0000001")),
        ("[1.]", Some("1.")),
        ("\"1.0", None),
        ("\"\\", None),
    ] {
        assert_eq!(uncanonical_number(json.as_bytes()), found.map(str::as_bytes), "{json}");
    }
}

#[test]
fn every_member_has_its_place_and_who_asks_is_always_said() {
    let good = order(details(total(), None));
    let code = |object: Value| {
        verify(sign_object(object).as_bytes(), &market(), &keys()).map_err(|refusal| refusal.code())
    };
    assert!(code(good.clone()).is_ok());
    let names = [
        "user_id",
        "device_id",
        "commandId",
        "market",
        "command",
        "nonce",
        "sequenceNumber",
        "timestamp",
        "keyId",
    ];
    for name in names {
        let mut object = good.clone();
        object.as_object_mut().unwrap().remove(name);
        assert_eq!(code(object), Err("sig_malformed"), "without {name}");
    }
    let mut more = good.clone();
    more["quantity"] = 3.into();
    assert_eq!(code(more), Err("body_invalid"));
    let mut more = good;
    more["orderDetails"]["items"][0]["price"] = 3.into();
    assert_eq!(code(more), Err("body_invalid"));
}

proptest! {
    #[test]
    fn a_plain_decimal_is_its_own_canonical_form(whole in 0u64..10_000_000_000, fraction in 0u32..100_000, negative in any::<bool>()) {
        let sign = if negative { "-" } else { "" };
        let fraction = format!("{fraction:05}");
        let fraction = fraction.trim_end_matches('0');
        let text = if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") };
        prop_assume!(text != "-0");
        prop_assert!(is_canonical(text.as_bytes()));
        let value = json::parse_with(text.as_bytes(), Numbers::Decimal).unwrap();
        prop_assert_eq!(serde_json_canonicalizer::to_string(&value).unwrap(), text.as_str());
prop_assert_eq!(jcs::to_string(&value), text);
    }

    #[test]
    fn what_is_taken_as_canonical_is(text in "-?[0-9]{1,9}(\\.[0-9]{1,12})?(e[0-9])?") {
        if is_canonical(text.as_bytes()) {
            let value = json::parse_with(text.as_bytes(), Numbers::Decimal).unwrap();
            prop_assert_eq!(serde_json_canonicalizer::to_string(&value).unwrap(), text.as_str());
prop_assert_eq!(jcs::to_string(&value), text);
        }
    }

    #[test]
    fn a_changed_byte_never_passes_as_another_wish(at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let good = sign(&supported()[5], &key()).unwrap();
        let wish = verify(good.as_bytes(), &market(), &keys()).unwrap();
        let mut bytes = good.into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = to;
        if let Ok(envelope) = verify(&bytes, &market(), &keys()) {
            prop_assert_eq!(envelope, wish);
        }
    }

    #[test]
    fn no_object_makes_it_panic(text in "\\{[\"a-z0-9:,.{}\\[\\] e\\\\-]{0,80}\\}") {
        prop_assert!(verify(text.as_bytes(), &market(), &keys()).is_err());
    }
}
