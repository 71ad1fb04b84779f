//! Vectors that must be accepted.

use serde_json::{Value, json};

use super::case::{
    ACCOUNT, CART_CLAIM_TYP, CID, Case, DEVICE, EXCHANGE_TYP, Jws, LISTING, QUOTE_TYP, claim, ed, es,
    exchange_of, flat, flat_add, flat_case, flat_order, merge_of, offer, order_minus, order_of, payload,
    payload_of, payload_with, payload_with_seq, quote, quoted_line, stranger,
};

pub(crate) fn cases() -> Vec<Case> {
    [compact(), numbers(), inside(), flat_form()].into_iter().flatten().collect()
}

fn ok(name: &str, jws: Jws) -> Case {
    jws.case(name, "accepted")
}

fn compact() -> Vec<Case> {
    let good = payload().to_string();
    let es256 = Jws::new(es(), good.as_str());
    let mut other_s = es256.signature();
    let negated = order_minus(&other_s[32..]);
    other_s[32..].copy_from_slice(&negated);
    let reordered = {
        let key = ed();
        let header = format!(r#"{{ "typ" : "skylink-cmd+jws", "kid":"{}", "alg":"EdDSA" }}"#, key.id());
        Jws::new(key, format!(" {good}\n")).header(header)
    };
    let mut again = payload();
    again["seq"] = 8.into();
    again["nonce"] = "DwECAwQFBgcICQoLDA0ODw".into();
    again["iat"] = 1_753_783_300_000u64.into();
    again["exp"] = 1_753_783_360_000u64.into();
    vec![
        ok("EdDSA", Jws::new(ed(), good.as_str())),
        ok("EdDSA, arrived where it belongs", Jws::new(ed(), good.as_str())).with("arrived_as", "cart.add"),
        ok("ES256", Jws::new(es(), good.as_str())),
        es256.case_with("ES256, s replaced by n - s", other_s, "accepted"),
        ok("header and payload with spaces and in another order", reordered),
        ok("signed again with new numbers", Jws::new(ed(), again.to_string())),
        ok("expects versions", Jws::new(ed(), payload_with("if", json!({"cart": 7, "listing": 0})))),
    ]
}

fn numbers() -> Vec<Case> {
    vec![
        ok("seq 0", Jws::new(ed(), payload_with_seq("0"))),
        ok("seq 2^53 - 1", Jws::new(ed(), payload_with_seq("9007199254740991"))),
    ]
}

fn inside() -> Vec<Case> {
    let cancel = json!({"order": CID, "reason": "zu sp\u{e4}t, \"\u{1f600}\""});
    let register =
        |key: Value| payload_of("device.register", json!({"account": ACCOUNT, "device": DEVICE, "key": key}));
    let escaped = payload().to_string().replace("cart.add", r"cart\u002eadd");
    vec![
        ok(
            "an order with a quote signed with ES256",
            Jws::new(ed(), order_of(quoted_line(&quote(), es(), QUOTE_TYP)).to_string()),
        ),
        ok(
            "an order with a quote signed with EdDSA",
            Jws::new(es(), order_of(quoted_line(&quote(), ed(), QUOTE_TYP)).to_string()),
        ),
        ok(
            "an order without quote",
            Jws::new(es(), order_of(json!({"listing": LISTING, "quantity": 1_000_000})).to_string()),
        ),
        ok(
            "a merge with a claim signed with ES256",
            Jws::new(ed(), merge_of(&claim(), es(), CART_CLAIM_TYP)),
        ),
        ok(
            "an exchange with an offer signed with ES256",
            Jws::new(ed(), exchange_of(&offer(), es(), EXCHANGE_TYP)),
        ),
        ok("texts beyond ASCII", Jws::new(ed(), payload_of("order.cancel", cancel).to_string())),
        ok("an escaped character", Jws::new(ed(), escaped)),
        ok("a device with an Ed25519 key", Jws::new(ed(), register(json!(stranger().public())).to_string())),
        ok("a device with a P-256 key", Jws::new(ed(), register(json!(es().public())).to_string())),
    ]
}

fn flat_form() -> Vec<Case> {
    let minor = json!({"minor": 9999, "currency": "USD"});
    let expecting = flat(&ed(), "cart.clear", json!({"expectedVersions": {"cart": 7}}));
    let migrate = flat(
        &es(),
        "cart.migrate",
        json!({
            "cart_id": CID, "payment_method": "wallet", "total": "1500", "currency": "JPY",
            "expectedVersions": {"cart": 7},
        }),
    );
    let ok = |name: &str, object: Value| flat_case(name, object, &ed(), "accepted");
    let pretty = {
        let signed: Value = serde_json::from_str(
            flat_case("", flat_add(&ed()), &ed(), "accepted").to_json()["text"].as_str().unwrap(),
        )
        .unwrap();
        Case::text("flat form, with spaces", format!("\n{signed:#}"), "accepted")
    };
    vec![
        ok("flat form, EdDSA", flat_add(&ed())),
        flat_case("flat form, ES256", flat_add(&es()), &es(), "accepted"),
        pretty,
        ok("flat form, expects versions", expecting),
        ok("flat form, an amount as a number", flat_order(&ed(), json!(99.99), Some("USD"))),
        ok("flat form, an amount as a text", flat_order(&ed(), json!("99.990"), Some("KWD"))),
        ok("flat form, an amount in minor units", flat_order(&ed(), minor, None)),
        flat_case("flat form, an amount of a currency without minor unit", migrate, &es(), "accepted"),
    ]
}
