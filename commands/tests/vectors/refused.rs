//! Vectors that must be refused, in the order of the checks.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE};
use commands::crypto::SigningKey;
use serde_json::{Value, json};

use super::case::{
    ACCOUNT, CART_CLAIM_TYP, CID, Case, DEVICE, EXCHANGE_TYP, Jws, LISTING, QUOTE_TYP, TYP, add, alg, b64,
    claim, der, ed, es, exchange_of, flat, flat_add, flat_case, flat_case_spelled, flat_order, header,
    header_and, header_of, merge_of, offer, order_of, p256_order, payload, payload_of, payload_with,
    payload_with_seq, payload_without, quote, quoted_line, stranger,
};
use super::crafted;

const MALFORMED: &str = "sig_malformed";

pub(crate) fn cases() -> Vec<Case> {
    let once =
        [shape(), encoding(), keys(), signatures(), bodies(), spellings(), quotes(), carts(), exchanges()];
    // Both algorithms, since a verifier may well have two paths.
    let twice = [headers, json_profile, claims, targets, flat_shape, flat_meaning];
    let twice = twice.into_iter().flat_map(|cases| [cases(ed), cases(es)]);
    once.into_iter().chain(twice).chain([crafted::cases()]).flatten().collect()
}

/// Makes the key that signs some cases.
type Key = fn() -> SigningKey;

/// Names a case after the algorithm of its key: those of Ed25519 go without.
fn named(key: Key, name: &str) -> String {
    if key().id() == ed().id() { name.to_owned() } else { format!("{}: {name}", alg(&key())) }
}

fn good() -> Jws {
    Jws::new(ed(), payload().to_string())
}

fn good_es() -> Jws {
    Jws::new(es(), payload().to_string())
}

fn shape() -> Vec<Case> {
    let compact = good().compact();
    let input = good().signing_input();
    vec![
        Case::text("too large", "x", "too_large").with("times", 32 * 1024 + 1),
        Case::text("nothing", "", "sig_missing"),
        Case::text("only spaces", " \n\t", "sig_missing"),
        Case::text("no signature", input.as_str(), "sig_missing"),
        Case::text("an empty signature", format!("{input}."), "sig_missing"),
        Case::text("one part", b64(payload().to_string()), MALFORMED),
        Case::text("four parts", format!("{compact}.AAAA"), MALFORMED),
        Case::text("a line end behind the text", format!("{compact}\n"), MALFORMED),
        Case::text("a space before the text", format!(" {compact}"), MALFORMED),
        Case::text("a JSON array", "[]", MALFORMED),
        Case::text("not ASCII", "\u{e4}.\u{e4}.\u{e4}", MALFORMED),
    ]
}

fn encoding() -> Vec<Case> {
    let signature = good().signature();
    let input = good().signing_input();
    // 64 bytes are 86 characters, of which the last has 4 bits to spare: A, Q, g or w.
    let mut spare_bits = b64(signature);
    let last = spare_bits.pop().unwrap();
    spare_bits.push(char::from(last as u8 + 1));
    // Found by search: a signature whose standard base64 has a character that base64url lacks.
    let plus = (0..100u64)
        .map(|seq| Jws::new(ed(), payload_with("seq", seq.into())))
        .find(|jws| STANDARD_NO_PAD.encode(jws.signature()).contains(['+', '/']))
        .unwrap();
    let padded_header = format!("{}==", b64(header(&ed())).trim_end_matches('='));
    let es_signature = good_es().signature();
    vec![
        Case::text("a padded signature", format!("{input}.{}", URL_SAFE.encode(signature)), MALFORMED),
        Case::text("bits to spare in the signature", format!("{input}.{spare_bits}"), MALFORMED),
        Case::text(
            "a signature in the alphabet of plain base64",
            format!("{}.{}", plus.signing_input(), STANDARD_NO_PAD.encode(plus.signature())),
            MALFORMED,
        ),
        Case::text(
            "a padded header",
            format!("{padded_header}.{}.{}", b64(payload().to_string()), b64(signature)),
            MALFORMED,
        ),
        good().case_with("an EdDSA signature cut to 63 bytes", &signature[..63], MALFORMED),
        good().case_with("an EdDSA signature with a 65th byte", [&signature[..], &[0]].concat(), MALFORMED),
        good_es().case_with("an ES256 signature cut to 63 bytes", &es_signature[..63], MALFORMED),
        good_es().case_with("an ES256 signature as DER", der(&es_signature), MALFORMED),
        padded_payload(),
    ]
}

/// The payload's text is not canonical base64url, and signed so.
fn padded_payload() -> Case {
    let payload = format!("{}==", b64(format!("{} ", payload())));
    let input = format!("{}.{payload}", b64(header(&ed())));
    let signature = b64(ed().sign(input.as_bytes()));
    Case::text("a padded payload, rightly signed", format!("{input}.{signature}"), MALFORMED)
}

fn headers(key: Key) -> Vec<Case> {
    let kid = key().id().to_string();
    let own = alg(&key());
    let good = || Jws::new(key(), payload().to_string());
    let with = |name: &str, header: String| good().header(header).case(&named(key, name), MALFORMED);
    let and = |member: &str, json: &str| {
        with(&format!("header with `{member}`"), header_and(&key(), &format!(r#""{member}":{json}"#)))
    };
    let jwk = json!(stranger().public()).to_string();
    vec![
        with("alg none", header_of("none", &kid, TYP)),
        with("alg HS256", header_of("HS256", &kid, TYP)),
        with("alg ES384", header_of("ES384", &kid, TYP)),
        with("alg in lower case", header_of(&own.to_lowercase(), &kid, TYP)),
        with("typ JWT", header_of(own, &kid, "JWT")),
        with("typ of a quote", header_of(own, &kid, QUOTE_TYP)),
        with("typ in upper case", header_of(own, &kid, &TYP.to_uppercase())),
        with("no typ", format!(r#"{{"alg":"{own}","kid":"{kid}"}}"#)),
        with("no kid", format!(r#"{{"alg":"{own}","typ":"{TYP}"}}"#)),
        with("no alg", format!(r#"{{"kid":"{kid}","typ":"{TYP}"}}"#)),
        with("kid of 31 bytes", header_of(own, &b64([1; 31]), TYP)),
        with("kid padded", header_of(own, &format!("{kid}="), TYP)),
        and("jwk", &jwk),
        and("jku", r#""https://example.com/keys""#),
        and("x5c", "[]"),
        and("x5u", r#""https://example.com/cert""#),
        and("crit", r#"["exp"]"#),
        and("b64", "false"),
        and("cty", r#""json""#),
        with("header with alg twice", header_and(&key(), &format!(r#""alg":"{own}""#))),
        with("header as an array", format!(r#"["{own}","{kid}","{TYP}"]"#)),
        with("bytes behind the header", format!("{}x", header(&key()))),
        with("header that is not JSON", own.to_owned()),
        with("alg as an object", format!(r#"{{"alg":{{"{own}":null}},"kid":"{kid}","typ":"{TYP}"}}"#)),
    ]
}

fn keys() -> Vec<Case> {
    let ed_as_es = good().header(header_of("ES256", &ed().id().to_string(), TYP));
    let es_as_ed = good_es().header(header_of("EdDSA", &es().id().to_string(), TYP));
    vec![
        Jws::new(stranger(), payload().to_string()).case("a key the market does not know", "kid_unknown"),
        ed_as_es.case("ES256 named for an Ed25519 key", "alg_mismatch"),
        es_as_ed.case("EdDSA named for a P-256 key", "alg_mismatch"),
    ]
}

fn signatures() -> Vec<Case> {
    let wrong = "sig_invalid";
    let (ed_signature, es_signature) = (good().signature(), good_es().signature());
    let other = Jws::new(ed(), payload_with("seq", 8.into()));
    // S + L is another spelling of S; RFC 8032 refuses it.
    let l = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";
    let l: [u8; 32] = hex::decode(l).unwrap().try_into().unwrap();
    let mut not_reduced = ed_signature;
    not_reduced[32..].copy_from_slice(&add(ed_signature[32..].try_into().unwrap(), l));
    let mut identity = [0; 64];
    identity[0] = 1;
    let mut s_is_order = es_signature;
    s_is_order[32..].copy_from_slice(&p256_order());
    let mut s_is_zero = es_signature;
    s_is_zero[32..].fill(0);
    let mut swapped = es_signature;
    swapped.rotate_left(32);
    let claimed = Jws::new(stranger(), payload().to_string()).header(header(&ed()));
    let spaced = good().header(header(&ed()).replace(',', ", "));
    vec![
        good().case_with("EdDSA signature of another payload", other.signature(), wrong),
        spaced.case_with("signature over the header in another spelling", ed_signature, wrong),
        claimed.case("signed with another key than kid says", wrong),
        good().case_with("EdDSA signature with S + L", not_reduced, wrong),
        good().case_with("EdDSA signature of zeros", [0; 64], wrong),
        good().case_with("EdDSA signature with the identity as R", identity, wrong),
        good_es().case_with("ES256 signature of zeros", [0; 64], wrong),
        good_es().case_with("ES256 signature with s = 0", s_is_zero, wrong),
        good_es().case_with("ES256 signature with s = n", s_is_order, wrong),
        good_es().case_with("ES256 signature with r and s swapped", swapped, wrong),
        good_es().case_with("EdDSA signature under an ES256 header", ed_signature, wrong),
    ]
}

fn json_profile(key: Key) -> Vec<Case> {
    let of = |name: &str, payload: Vec<u8>| Jws::new(key(), payload).case(&named(key, name), MALFORMED);
    let text = payload().to_string();
    let nested = format!("{}1{}", "[".repeat(16), "]".repeat(16));
    let seq = |name: &str, number: &str| of(name, payload_with_seq(number).into_bytes());
    let mut not_utf8 = text.clone().into_bytes();
    not_utf8[2] = 0xff;
    vec![
        of("a member twice", text.replace(r#""seq":7"#, r#""seq":7,"seq":7"#).into_bytes()),
        of(
            "a member twice in the body",
            text.replace(r#""quantity":2"#, r#""quantity":2,"quantity":2"#).into(),
        ),
        of(
            "a member twice, once escaped",
            text.replace(r#""seq":7"#, r#""seq":7,"s\u0065q":8"#).into_bytes(),
        ),
        seq("a float", "7.5"),
        seq("a float without fraction", "7.0"),
        seq("an exponent", "7e0"),
        seq("minus zero", "-0"),
        seq("2^53", "9007199254740992"),
        seq("-(2^53)", "-9007199254740992"),
        seq("2^64", "18446744073709551616"),
        seq("a number with a leading zero", "07"),
        of("too deep", text.replace(r#""quantity":2"#, &format!(r#""quantity":{nested}"#)).into_bytes()),
        of("bytes behind the payload", format!("{text}x").into_bytes()),
        of("two payloads", format!("{text}{text}").into_bytes()),
        of("a payload that ends early", text[..text.len() - 1].into()),
        of("a comma before the end", text.replace(r#""v":1"#, r#""v":1,"#).into_bytes()),
        of("half a surrogate pair", text.replace("cart.add", r"\ud800").into_bytes()),
        of("a byte order mark", format!("\u{feff}{text}").into_bytes()),
        of("not UTF-8", not_utf8),
        of("an empty payload", Vec::new()),
        of("a payload that is an array", b"[]".to_vec()),
    ]
}

fn claims(key: Key) -> Vec<Case> {
    let of = |name: &str, payload: String| Jws::new(key(), payload).case(&named(key, name), MALFORMED);
    let mut cases: Vec<Case> = ["v", "aud", "cmd", "cid", "sub", "dev", "seq", "nonce", "iat", "exp", "body"]
        .map(|member| of(&format!("no `{member}`"), payload_without(member)))
        .into();
    let wrong: [(&str, &str, Value); 22] = [
        ("v 2", "v", 2.into()),
        ("v as a text", "v", "1".into()),
        ("a member that has no place", "jti", "x".into()),
        ("cid of UUIDv4", "cid", "0190b5a0-7c00-4000-8000-000000000001".into()),
        ("cid of another variant", "cid", "0190b5a0-7c00-7000-0000-000000000001".into()),
        ("cid in upper case", "cid", "0190B5A0-7C00-7000-8000-000000000001".into()),
        ("cid without hyphens", "cid", "0190b5a07c0070008000000000000001".into()),
        ("sub that is no id", "sub", "alice".into()),
        ("dev in braces", "dev", format!("{{{DEVICE}}}").into()),
        ("nonce of 15 bytes", "nonce", b64([1; 15]).into()),
        ("nonce of 17 bytes", "nonce", b64([1; 17]).into()),
        ("nonce padded", "nonce", format!("{}==", b64([1; 16])).into()),
        ("nonce with bits to spare", "nonce", "AAECAwQFBgcICQoLDA0ODx".into()),
        ("seq below zero", "seq", (-1).into()),
        ("seq as a text", "seq", "7".into()),
        ("iat as a text", "iat", "2025-07-29T10:00:00Z".into()),
        ("exp null", "exp", Value::Null),
        ("if null", "if", Value::Null),
        ("if as an array", "if", json!([7, 0])),
        ("if with an unknown member", "if", json!({"wallet": 7})),
        ("if that names no version", "if", json!({})),
        ("if with a version that is null", "if", json!({"cart": 7, "listing": null})),
    ];
    cases.extend(wrong.map(|(name, member, value)| of(name, payload_with(member, value))));
    cases
}

fn targets(key: Key) -> Vec<Case> {
    let of = |name: &str, payload: String, verdict| Jws::new(key(), payload).case(&named(key, name), verdict);
    vec![
        of("another market", payload_with("aud", "elsewhere".into()), "aud_mismatch"),
        of("a market in upper case", payload_with("aud", "MAIN".into()), "aud_mismatch"),
        of("an unknown command", payload_with("cmd", "cart.burn".into()), "cmd_unknown"),
        of("arrived where another command belongs", payload().to_string(), "cmd_unknown")
            .with("arrived_as", "cart.remove"),
    ]
}

fn bodies() -> Vec<Case> {
    let of = |name: &str, cmd: &str, body: Value| {
        Jws::new(ed(), payload_of(cmd, body).to_string()).case(name, "body_invalid")
    };
    let register = |name: &str, key: Value| {
        of(name, "device.register", json!({"account": ACCOUNT, "device": DEVICE, "key": key}))
    };
    let ed_key = |y: [u8; 32]| json!({"kty": "OKP", "crv": "Ed25519", "x": b64(y)});
    let mut identity = [0; 32];
    identity[0] = 1;
    let mut off_curve = [0; 32];
    off_curve[0] = 2;
    let euro = json!({"lines": [], "payment_method": "wallet", "total": {"minor": 1, "currency": "EURO"}});
    vec![
        of("a body that is an array", "cart.add", json!([LISTING, 2])),
        of("a body without its member", "cart.add", json!({"listing": LISTING})),
        of("a body with another member", "cart.add", json!({"listing": LISTING, "quantity": 2, "price": 1})),
        of("quantity 0", "cart.add", json!({"listing": LISTING, "quantity": 0})),
        of("a quantity as a text", "cart.add", json!({"listing": LISTING, "quantity": "2"})),
        of("a currency that is none", "order.place", euro),
        register("a device with a weak key", ed_key(identity)),
        register("a device with a key off the curve", ed_key(off_curve)),
        register(
            "a device with a P-256 key off the curve",
            json!({"kty": "EC", "crv": "P-256", "x": b64([1; 32]), "y": b64([1; 32])}),
        ),
        register("a device with an RSA key", json!({"kty": "RSA", "n": "AQAB", "e": "AQAB"})),
    ]
}

/// Bodies that say what a good one says, in another spelling: they would have another fingerprint.
fn spellings() -> Vec<Case> {
    let of = |name: &str, cmd: &str, body: Value| {
        Jws::new(ed(), payload_of(cmd, body).to_string()).case(name, "body_invalid")
    };
    let order = |name: &str, member: &str, value: Value| {
        let mut payload = order_of(json!({"listing": LISTING, "quantity": 2}));
        payload["body"][member] = value;
        of(name, "order.place", payload["body"].clone())
    };
    let add = |name: &str, listing: String| of(name, "cart.add", json!({"listing": listing, "quantity": 2}));
    let ship = json!({"order": CID, "carrier": null, "tracking": "t"});
    let roles = |roles: Value| json!({"account": ACCOUNT, "roles": roles});
    let key = json!(stranger().public());
    let key = json!([key["crv"], key["kty"], key["x"]]);
    vec![
        order("a payment method as an object", "payment_method", json!({"wallet": null})),
        order("an amount as an array", "total", json!(["USD", 9999])),
        order("a line as an array", "lines", json!([[LISTING, 2]])),
        order("a quote that is null", "lines", json!([{"listing": LISTING, "quantity": 2, "quote": null}])),
        of("a carrier that is null", "order.ship", ship),
        of("a reason that is null", "order.cancel", json!({"order": CID, "reason": null})),
        add("a listing in upper case", LISTING.to_uppercase()),
        add("a listing without hyphens", LISTING.replace('-', "")),
        add("a listing in braces", format!("{{{LISTING}}}")),
        add("a listing as a URN", format!("urn:uuid:{LISTING}")),
        of("roles in another order", "account.register", roles(json!(["seller", "buyer"]))),
        of("a role twice", "account.register", roles(json!(["buyer", "buyer"]))),
        of("a role as an object", "account.register", roles(json!([{"buyer": null}]))),
        of("a key as an array", "device.register", json!({"account": ACCOUNT, "device": DEVICE, "key": key})),
        of("an empty body as an array", "cart.clear", json!([])),
    ]
}

fn carts() -> Vec<Case> {
    let of = |name: &str, payload: String| Jws::new(ed(), payload).case(name, "body_invalid");
    let with = |member: &str, value: Value| {
        let mut claim = claim();
        claim[member] = value;
        merge_of(&claim, es(), CART_CLAIM_TYP)
    };
    let total = json!({"minor": 9999, "currency": "USD"});
    let migrate =
        payload_of("cart.migrate", json!({"cart": CID, "payment_method": "wallet", "total": total}));
    vec![
        of("a cart bought without the version that was seen", migrate.to_string()),
        of("a claim to a cart in another market", with("aud", "elsewhere".into())),
        of("a claim to a cart of form 2", with("v", 2.into())),
        of("a claim to a cart with another member", with("policy", "sum".into())),
        of(
            "a claim to a cart of a key the market does not know",
            merge_of(&claim(), stranger(), CART_CLAIM_TYP),
        ),
        of("a claim to a cart with the typ of a quote", merge_of(&claim(), es(), QUOTE_TYP)),
    ]
}

fn exchanges() -> Vec<Case> {
    let of = |name: &str, payload: String| Jws::new(ed(), payload).case(name, "body_invalid");
    let with = |member: &str, value: Value| {
        let mut offer = offer();
        offer[member] = value;
        exchange_of(&offer, es(), EXCHANGE_TYP)
    };
    vec![
        of("an offer to exchange for another market", with("aud", "elsewhere".into())),
        of("an offer to exchange of form 2", with("v", 2.into())),
        of("an offer to exchange with another member", with("fee", 2.into())),
        of("an offer to exchange whose rate is a text", with("rate", "1.085".into())),
        of(
            "an offer to exchange of a key the market does not know",
            exchange_of(&offer(), stranger(), EXCHANGE_TYP),
        ),
        of("an offer to exchange with the typ of a quote", exchange_of(&offer(), es(), QUOTE_TYP)),
    ]
}

fn quotes() -> Vec<Case> {
    let of = |name: &str, line: Value| Jws::new(ed(), order_of(line).to_string()).case(name, "body_invalid");
    let with = |member: &str, value: Value| {
        let mut quote = quote();
        quote[member] = value;
        quoted_line(&quote, es(), QUOTE_TYP)
    };
    let good = quoted_line(&quote(), es(), QUOTE_TYP);
    let (input, _) = good["quote"].as_str().unwrap().rsplit_once('.').unwrap();
    let (cut, wrong) = (format!("{input}."), format!("{input}.{}", b64([1; 64])));
    let line = |quote: String| json!({"listing": LISTING, "quantity": 2, "quote": quote});
    let many = |name: &str, line: &Value, count: usize| {
        let mut order = order_of(Value::Null);
        order["body"]["lines"] = vec![line.clone(); count].into();
        Jws::new(ed(), order.to_string()).case(name, "body_invalid")
    };
    vec![
        many("an order of 101 lines", &json!({"listing": LISTING, "quantity": 2}), 101),
        many("an order with 17 quotes", &good, 17),
        of("a quote for another market", with("aud", "elsewhere".into())),
        of("a quote of form 2", with("v", 2.into())),
        of("a quote with its total as an array", with("total", json!(["USD", 9000]))),
        of("a quote with another member", with("discount", 2.into())),
        of("a quote of a key the market does not know", quoted_line(&quote(), stranger(), QUOTE_TYP)),
        of("a quote with the typ of a command", quoted_line(&quote(), es(), TYP)),
        of("a quote without signature", line(cut)),
        of("a quote with a wrong signature", line(wrong)),
    ]
}

fn flat_shape(key: Key) -> Vec<Case> {
    let of = |name: &str, object: Value| flat_case(&named(key, name), object, &key(), MALFORMED);
    let signed = flat_case("", flat_add(&key()), &key(), "").to_json()["text"].as_str().unwrap().to_owned();
    let amount = flat_case("", flat_order(&key(), json!(99.5), Some("USD")), &key(), "").to_json()["text"]
        .as_str()
        .unwrap()
        .to_owned();
    let spelled = |name: &str, spelling: &str| {
        Case::text(&named(key, name), amount.replace("99.5", spelling), MALFORMED)
    };
    let mut cases = vec![
        Case::text(&named(key, "flat form, no signature"), flat_add(&key()).to_string(), "sig_missing"),
        Case::text(
            &named(key, "flat form, an empty signature"),
            signed.replace(json(&signed)["signature"].as_str().unwrap(), ""),
            "sig_missing",
        ),
        Case::text(
            &named(key, "flat form, a member twice"),
            signed.replace(r#""quantity":2"#, r#""quantity":2,"quantity":2"#),
            MALFORMED,
        ),
        Case::text(&named(key, "flat form, bytes behind it"), format!("{signed}{{}}"), MALFORMED),
        Case::text(&named(key, "JWS of the JSON serialization"), jws_json(key), MALFORMED),
        spelled("flat form, an amount with a zero at its end", "99.50"),
        spelled("flat form, an amount with an exponent", "9.95e1"),
        spelled("flat form, a long amount that shares its canonical form", "99.500000000000000001"),
    ];
    for member in ["user_id", "device_id", "keyId", "timestamp"] {
        let mut object = flat_add(&key());
        object.as_object_mut().unwrap().remove(member);
        cases.push(of(&format!("flat form, no `{member}`"), object));
    }
    let mut at_noon = flat_add(&key());
    at_noon["timestamp"] = "noon".into();
    let mut half = flat_add(&key());
    half["sequenceNumber"] = json!(7.5);
    cases.extend([
        of("flat form, a timestamp that is none", at_noon),
        of("flat form, half a sequence number", half),
    ]);
    cases
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn jws_json(key: Key) -> String {
    let jws = Jws::new(key(), payload().to_string());
    let (protected, payload) = (b64(&jws.header), b64(&jws.payload));
    json!({"protected": protected, "payload": payload, "signature": b64(jws.signature())}).to_string()
}

fn flat_meaning(key: Key) -> Vec<Case> {
    let with = |member: &str, value: Value| {
        let mut object = flat_add(&key());
        object[member] = value;
        object
    };
    let of = |name: &str, object: Value, verdict| flat_case(&named(key, name), object, &key(), verdict);
    let backwards = format!("{:#}", flat_add(&key()));
    let cancel = flat(&key(), "order.cancel", json!({"order_id": CID, "reason": null}));
    let paid_with = |method: Value| {
        let mut object = flat_order(&key(), json!(99.99), Some("USD"));
        object["orderDetails"]["payment_method"] = method;
        object
    };
    let body = "body_invalid";
    vec![
        flat_case(
            &named(key, "flat form, a key the market does not know"),
            flat_add(&stranger()),
            &stranger(),
            "kid_unknown",
        ),
        flat_case(
            &named(key, "flat form, signed with another key than keyId says"),
            flat_add(&key()),
            &stranger(),
            "sig_invalid",
        ),
        flat_case_spelled(
            &named(key, "flat form, signed over another spelling than the canonical one"),
            flat_add(&key()),
            &key(),
            "sig_invalid",
            backwards,
        ),
        of("flat form, another market", with("market", "elsewhere".into()), "aud_mismatch"),
        of("flat form, an unknown command", with("command", "cart.burn".into()), "cmd_unknown"),
        of("flat form, a command it does not have", flat(&key(), "stock.receive", json!({})), body),
        of("flat form, a member that has no place", with("price", 1.into()), body),
        of("flat form, an amount without currency", flat_order(&key(), json!(99.5), None), body),
        of(
            "flat form, an amount finer than its currency",
            flat_order(&key(), json!(99.505), Some("USD")),
            body,
        ),
        of("flat form, an amount in words", flat_order(&key(), json!("much"), Some("USD")), body),
        of("flat form, an amount as an array", flat_order(&key(), json!(["USD", 9999]), None), body),
        of("flat form, a listing in upper case", with("listing_id", LISTING.to_uppercase().into()), body),
        of("flat form, a payment method as an object", paid_with(json!({"wallet": null})), body),
        of("flat form, a reason that is null", cancel, body),
        of("flat form, versions that are none", with("expectedVersions", json!({})), MALFORMED),
        of("flat form, versions that are null", with("expectedVersions", Value::Null), MALFORMED),
        of(
            "flat form, a command id of UUIDv4",
            with("commandId", CID.replace("-7000", "-4000").into()),
            MALFORMED,
        ),
        of("flat form, a nonce of 15 bytes", with("nonce", b64([1; 15]).into()), MALFORMED),
        of(
            "flat form, a nonce with bits to spare",
            with("nonce", "AAECAwQFBgcICQoLDA0ODx".into()),
            MALFORMED,
        ),
        of("flat form, a sequence number as a text", with("sequenceNumber", "7".into()), MALFORMED),
        of("flat form, a sequence number of 2^53", with("sequenceNumber", (1u64 << 53).into()), MALFORMED),
        of("flat form, an account in upper case", with("user_id", ACCOUNT.to_uppercase().into()), MALFORMED),
        of("flat form, a key id padded", with("keyId", format!("{}=", key().id()).into()), MALFORMED),
    ]
}
