use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use events::account::Algorithm;
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::command::{DeviceProof, LINES_MAX, QUOTES_MAX};
use crate::crypto::SigningKey;
use crate::sign::{Draft, prove_device, sign, sign_cart_claim, sign_quote};

const CID: &str = "0190b5a0-7c00-7000-8000-000000000001";
const LISTING: &str = "0190b5a0-7c00-7000-8000-0000000000c1";

fn market() -> MarketName {
    "main".parse().unwrap()
}

fn key(algorithm: Algorithm, seed: u8) -> SigningKey {
    SigningKey::from_seed(algorithm, [seed; 32]).unwrap()
}

fn directory(keys: &[&SigningKey]) -> BTreeMap<KeyId, Arc<VerifyingKey>> {
    keys.iter().map(|key| (key.id(), Arc::new(VerifyingKey::new(&key.public()).unwrap()))).collect()
}

fn draft(name: &str, body: Value) -> Draft {
    Draft {
        market: market(),
        account: "0190b5a0-7c00-7000-8000-0000000000a1".parse().unwrap(),
        device: "0190b5a0-7c00-7000-8000-0000000000d1".parse().unwrap(),
        command_id: CID.parse().unwrap(),
        seq: 7,
        nonce: "AAECAwQFBgcICQoLDA0ODw".parse().unwrap(),
        issued_at: Timestamp::from_ms(1_753_783_200_000),
        expires_at: Timestamp::from_ms(1_753_783_260_000),
        expected: Expected::default(),
        command: Command::parse(name, &body).unwrap(),
    }
}

fn add_to_cart() -> Draft {
    draft("cart.add", json!({"listing": LISTING, "quantity": 2}))
}

fn place_order(quote: Option<String>) -> Draft {
    let mut line = json!({"listing": LISTING, "quantity": 2});
    if let Some(quote) = quote {
        line["quote"] = quote.into();
    }
    let total = json!({"minor": 9999, "currency": "USD"});
    draft("order.place", json!({"lines": [line], "payment_method": "wallet", "total": total}))
}

fn quote() -> Quote {
    let quote = json!({
        "v": 1, "aud": "main", "buyer": "0190b5a0-7c00-7000-8000-0000000000a1", "exp": 1_753_783_260_000u64,
        "listing": LISTING, "quantity": 2, "total": {"minor": 9000, "currency": "USD"},
    });
    Quote::deserialize(&quote).unwrap()
}

fn both() -> [SigningKey; 2] {
    [key(Algorithm::EdDsa, 1), key(Algorithm::Es256, 1)]
}

#[test]
fn a_command_signed_with_either_algorithm_is_read_back_whole() {
    for key in both() {
        let draft = Draft { expected: Expected { cart: Some(3), listing: None }, ..add_to_cart() };
        let signed = sign(&draft, &key);
        let verified =
            verify_command(signed.as_bytes(), &market(), Some("cart.add"), &directory(&[&key])).unwrap();
        assert_eq!(verified.command, draft.command);
        assert_eq!(verified.expected, draft.expected);
        assert_eq!((verified.issued_at, verified.expires_at), (draft.issued_at, draft.expires_at));
        assert_eq!(verified.quotes, []);
        let stamp = verified.stamp;
        assert_eq!(
            (stamp.account, stamp.device, stamp.command),
            (draft.account, draft.device, draft.command_id)
        );
        assert_eq!((stamp.seq, stamp.nonce, stamp.key), (7, draft.nonce, key.id()));
        assert_eq!((stamp.name.as_str(), stamp.signed), ("cart.add", signed));
    }
}

fn fingerprint(draft: &Draft) -> Hash {
    let key = key(Algorithm::EdDsa, 1);
    verify(sign(draft, &key).as_bytes(), &market(), &directory(&[&key])).unwrap().stamp.fingerprint
}

#[test]
fn the_fingerprint_is_of_the_wish_and_not_of_its_signing() {
    let first = add_to_cart();
    let canonical = format!(
        r#"{{"aud":"main","body":{{"listing":"{LISTING}","quantity":2}},"cid":"{CID}","cmd":"cart.add","sub":"0190b5a0-7c00-7000-8000-0000000000a1"}}"#
    );
    assert_eq!(fingerprint(&first), Hash::of(canonical.as_bytes()));
    let again = Draft {
        seq: 8,
        nonce: Nonce([9; 16]),
        issued_at: Timestamp::from_ms(1),
        expires_at: Timestamp::from_ms(2),
        ..first.clone()
    };
    assert_eq!(fingerprint(&again), fingerprint(&first));
    let expecting = Draft { expected: Expected { cart: Some(1), listing: None }, ..first.clone() };
    let more = draft("cart.add", json!({"listing": LISTING, "quantity": 3}));
    for other in [expecting, more] {
        assert_ne!(fingerprint(&other), fingerprint(&first));
    }
}

#[test]
fn checks_come_in_their_order() {
    let (known, stranger) = (key(Algorithm::EdDsa, 1), key(Algorithm::EdDsa, 2));
    let keys = directory(&[&known]);
    let elsewhere: MarketName = "elsewhere".parse().unwrap();
    let code = |text: &str, market: &MarketName, name: Option<&str>| {
        verify_command(text.as_bytes(), market, name, &keys).unwrap_err().code()
    };
    let good = sign(&add_to_cart(), &known);
    let (head, _) = good.rsplit_once('.').unwrap();
    let (_, other) =
        sign(&place_order(None), &known).rsplit_once('.').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    assert_eq!(code(&"x".repeat(COMMAND_BYTES_MAX + 1), &market(), None), "too_large");
    assert_eq!(code("", &market(), None), "sig_missing");
    assert_eq!(code(head, &market(), None), "sig_missing");
    assert_eq!(code(&format!("{head}.AAAA"), &market(), None), "sig_malformed");
    assert_eq!(code(&sign(&add_to_cart(), &stranger), &elsewhere, None), "kid_unknown");
    assert_eq!(code(&format!("{head}.{other}"), &elsewhere, None), "sig_invalid");
    assert_eq!(code(&good, &elsewhere, Some("cart.remove")), "aud_mismatch");
    assert_eq!(code(&good, &market(), Some("cart.remove")), "cmd_unknown");
}

#[test]
fn the_algorithm_is_pinned_to_the_key() {
    let (ed, es) = (key(Algorithm::EdDsa, 1), key(Algorithm::Es256, 1));
    let header = format!(r#"{{"alg":"EdDSA","kid":"{}","typ":"{COMMAND_TYP}"}}"#, es.id());
    let signed = sign(&add_to_cart(), &ed);
    let (_, rest) = signed.split_once('.').unwrap();
    let text = format!("{}.{rest}", URL_SAFE_NO_PAD.encode(header));
    let refusal = verify(text.as_bytes(), &market(), &directory(&[&ed, &es])).unwrap_err();
    assert_eq!(refusal, Refusal::AlgMismatch);
}

#[test]
fn a_claim_to_a_cart_is_checked_with_the_merge() {
    let (buyer, guest) = (key(Algorithm::EdDsa, 1), key(Algorithm::Es256, 2));
    let keys = directory(&[&buyer, &guest]);
    let claim = CartClaim {
        aud: market(),
        cart: CID.parse().unwrap(),
        exp: Timestamp::from_ms(1_753_783_260_000),
        to: "0190b5a0-7c00-7000-8000-0000000000a1".parse().unwrap(),
        v: 1,
    };
    let merge = |claim: String| {
        let draft = draft("cart.merge", json!({"claim": claim}));
        verify_command(sign(&draft, &buyer).as_bytes(), &market(), None, &keys)
    };
    let good = sign_cart_claim(&claim, &guest);
    let verified = merge(good.clone()).unwrap();
    assert_eq!(verified.claim, Some(VerifiedClaim { key: guest.id(), claim: claim.clone() }));
    let (head, _) = good.rsplit_once('.').unwrap();
    for bad in [
        sign_cart_claim(&CartClaim { aud: "elsewhere".parse().unwrap(), ..claim.clone() }, &guest),
        sign_cart_claim(&CartClaim { v: 2, ..claim.clone() }, &guest),
        sign_cart_claim(&claim, &key(Algorithm::EdDsa, 9)),
        sign_quote(&quote(), &guest),
        format!("{head}.{}", "A".repeat(86)),
        head.to_owned(),
        String::new(),
    ] {
        match merge(bad).unwrap_err() {
            Refusal::BodyInvalid { rule } => assert!(rule.starts_with("claim: "), "{rule}"),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn who_buys_a_cart_names_the_version_that_he_saw() {
    let key = key(Algorithm::EdDsa, 1);
    let total = json!({"minor": 9999, "currency": "USD"});
    let migrate = draft("cart.migrate", json!({"cart": CID, "payment_method": "wallet", "total": total}));
    let of = |expected| {
        let signed = sign(&Draft { expected, ..migrate.clone() }, &key);
        verify_command(signed.as_bytes(), &market(), None, &directory(&[&key]))
    };
    assert!(of(Expected { cart: Some(3), listing: None }).is_ok());
    for expected in [Expected::default(), Expected { cart: None, listing: Some(3) }] {
        assert_eq!(of(expected).unwrap_err().code(), "body_invalid");
    }
}

#[test]
fn a_sellers_quote_is_checked_with_the_order_and_named_by_its_line_when_it_fails() {
    let (buyer, seller) = (key(Algorithm::EdDsa, 1), key(Algorithm::Es256, 2));
    let keys = directory(&[&buyer, &seller]);
    let place = |quote: String| {
        verify_command(sign(&place_order(Some(quote)), &buyer).as_bytes(), &market(), None, &keys)
    };
    let verified = place(sign_quote(&quote(), &seller)).unwrap();
    assert_eq!(verified.quotes, [Some(VerifiedQuote { key: seller.id(), quote: quote() })]);
    let elsewhere = Quote { aud: "elsewhere".parse().unwrap(), ..quote() };
    let newer = Quote { v: 2, ..quote() };
    let good = sign_quote(&quote(), &seller);
    let (head, _) = good.rsplit_once('.').unwrap();
    let longer = sign_quote(&Quote { exp: Timestamp::from_ms(i64::MAX >> 11), ..quote() }, &seller);
    let (_, other_signature) = longer.rsplit_once('.').unwrap();
    for bad in [
        sign_quote(&elsewhere, &seller),
        sign_quote(&newer, &seller),
        sign_quote(&quote(), &key(Algorithm::EdDsa, 9)),
        sign(&add_to_cart(), &seller),
        format!("{head}.{other_signature}"),
        "cheap".to_owned(),
    ] {
        let Err(Refusal::BodyInvalid { rule }) = place(bad.clone()) else { panic!("{bad} was taken") };
        assert!(rule.starts_with("lines[0].quote: "), "{rule}");
    }
    let plain = sign(&place_order(None), &buyer);
    assert_eq!(verify_command(plain.as_bytes(), &market(), None, &keys).unwrap().quotes, [None]);
}

/// Knows keys and counts how often one is asked for, which is once before each check of a signature.
struct Counting {
    keys: BTreeMap<KeyId, Arc<VerifyingKey>>,
    asked: std::cell::Cell<usize>,
}

impl KeyDirectory for Counting {
    fn key(&self, id: KeyId) -> Option<Arc<VerifyingKey>> {
        self.asked.set(self.asked.get() + 1);
        self.keys.key(id)
    }
}

#[test]
fn an_order_that_is_too_large_costs_one_signature_and_the_largest_so_many_more() {
    let (buyer, seller) = (key(Algorithm::EdDsa, 1), key(Algorithm::Es256, 2));
    let good = sign_quote(&quote(), &seller);
    for (lines, quotes, checks) in [
        (LINES_MAX, 0, Ok(1)),
        (LINES_MAX + 1, 1, Err("`lines` may be 100, these are 101: make it several orders")),
        (QUOTES_MAX, QUOTES_MAX, Ok(1 + QUOTES_MAX)),
        (
            QUOTES_MAX + 1,
            QUOTES_MAX + 1,
            Err("16 lines may have a quote, 17 have one: make it several orders"),
        ),
    ] {
        let keys = Counting { keys: directory(&[&buyer, &seller]), asked: 0.into() };
        let line = |n: usize| match n < quotes {
            true => json!({"listing": LISTING, "quantity": 2, "quote": good}),
            false => json!({"listing": LISTING, "quantity": 2}),
        };
        let lines: Vec<Value> = (0..lines).map(line).collect();
        let total = json!({"minor": 9999, "currency": "USD"});
        let order = draft("order.place", json!({"lines": lines, "payment_method": "wallet", "total": total}));
        let verdict = verify_command(sign(&order, &buyer).as_bytes(), &market(), None, &keys);
        match checks {
            Ok(checks) => {
                assert_eq!(verdict.unwrap().quotes.iter().flatten().count(), quotes);
                assert_eq!(keys.asked.get(), checks);
            }
            Err(rule) => {
                assert_eq!(verdict, Err(Refusal::BodyInvalid { rule: rule.into() }));
                assert_eq!(keys.asked.get(), 1);
            }
        }
    }
}

#[test]
fn a_quote_has_one_spelling_too() {
    let (buyer, seller) = (key(Algorithm::EdDsa, 1), key(Algorithm::Es256, 2));
    let mut spelled = json!(quote());
    spelled["total"] = json!(["USD", 9000]);
    let order = place_order(Some(crate::jws::sign(QUOTE_TYP, &spelled, &seller)));
    let refusal =
        verify_command(sign(&order, &buyer).as_bytes(), &market(), None, &directory(&[&buyer, &seller]));
    let rule = r#"lines[0].quote: `total` must be spelled {"currency":"USD","minor":9000}"#;
    assert_eq!(refusal, Err(Refusal::BodyInvalid { rule: rule.into() }));
}

/// The commands that bring a new key, each with a proof of its possession.
fn with_new_key(new: &SigningKey, proof: &str) -> [(&'static str, Value); 3] {
    [
        ("device.register", json!({"account": CID, "device": LISTING, "key": new.public(), "proof": proof})),
        ("device.enroll", json!({"device": LISTING, "key": new.public(), "proof": proof})),
        ("device.rotate", json!({"key": new.public(), "proof": proof})),
    ]
}

/// Whose the new key of each of these commands is to be.
fn owner_of(name: &str) -> (AccountId, DeviceId) {
    let plain = add_to_cart();
    match name {
        "device.register" => (CID.parse().unwrap(), LISTING.parse().unwrap()),
        "device.enroll" => (plain.account, LISTING.parse().unwrap()),
        _ => (plain.account, plain.device),
    }
}

#[test]
fn a_new_key_proves_that_it_is_there_and_for_whom() {
    let own = key(Algorithm::EdDsa, 1);
    let keys = directory(&[&own]);
    let refused = |rule: &str| Err(Refusal::BodyInvalid { rule: format!("proof: {rule}") });
    let elsewhere = "it names another account, device or key";
    let other: Uuid = "0190b5a0-7c00-7000-8000-00000000ffff".parse().unwrap();
    for new in [key(Algorithm::EdDsa, 2), key(Algorithm::Es256, 3)] {
        for (name, _) in with_new_key(&new, "") {
            let (account, device) = owner_of(name);
            let by = |market: &str, account, device, key: &SigningKey| {
                prove_device(&market.parse().unwrap(), account, device, key)
            };
            // The word of one key about another.
            let lent = DeviceProof { account, aud: market(), device, key: own.id(), v: 1 };
            let old = DeviceProof { v: 2, key: new.id(), ..lent.clone() };
            for (proof, verdict) in [
                (by("main", account, device, &new), Ok(())),
                (by("test", account, device, &new), refused("it is for another market")),
                (by("main", AccountId::from_uuid(other), device, &new), refused(elsewhere)),
                (by("main", account, DeviceId::from_uuid(other), &new), refused(elsewhere)),
                (crate::jws::sign(DEVICE_PROOF_TYP, &lent, &new), refused(elsewhere)),
                (crate::jws::sign(DEVICE_PROOF_TYP, &old, &new), refused("`v` must be 1")),
                // The key that signs the command has nothing to say about the new one.
                (by("main", account, device, &own), refused(&Refusal::KidUnknown.to_string())),
            ] {
                let (_, body) = with_new_key(&new, &proof).into_iter().find(|found| found.0 == name).unwrap();
                let signed = sign(&draft(name, body), &own);
                let given = verify_command(signed.as_bytes(), &market(), None, &keys).map(|_| ());
                assert_eq!(given, verdict, "{name}: {proof}");
            }
            // Another kind of word, and a word that was changed, are none.
            let claim = crate::jws::sign(CART_CLAIM_TYP, &lent, &new);
            let mut changed = by("main", account, device, &new);
            changed.replace_range(60..61, if &changed[60..61] == "A" { "B" } else { "A" });
            for proof in [claim, changed, String::new()] {
                let (_, body) = with_new_key(&new, &proof).into_iter().find(|found| found.0 == name).unwrap();
                let signed = sign(&draft(name, body), &own);
                let given = verify_command(signed.as_bytes(), &market(), None, &keys).unwrap_err();
                assert_eq!(given.code(), "body_invalid", "{name}: {proof}");
            }
        }
    }
}

#[test]
fn the_registrar_may_vouch_for_a_key_that_says_nothing() {
    let registrar = key(Algorithm::EdDsa, 1);
    let body = json!({"account": CID, "device": CID, "key": key(Algorithm::Es256, 3).public()});
    let signed = sign(&draft("device.register", body), &registrar);
    verify_command(signed.as_bytes(), &market(), None, &directory(&[&registrar])).unwrap();
}

#[test]
fn a_scope_says_something_and_of_commands_that_there_are() {
    let registrar = key(Algorithm::EdDsa, 1);
    let verdict = |scope: Value| {
        let body =
            json!({"account": CID, "device": CID, "key": key(Algorithm::Es256, 3).public(), "scope": scope});
        let signed = sign(&draft("device.register", body), &registrar);
        verify_command(signed.as_bytes(), &market(), None, &directory(&[&registrar])).map(|_| ())
    };
    for good in [
        json!({"commands": ["cart.*", "order.place"], "max_minor": {}}),
        json!({"commands": [], "max_minor": {"USD": 0}}),
    ] {
        assert_eq!(verdict(good), Ok(()));
    }
    for bad in [
        json!({"commands": [], "max_minor": {}}),
        json!({"commands": ["carts.*"], "max_minor": {}}),
        json!({"commands": ["cart.sell"], "max_minor": {}}),
        json!({"commands": [], "max_minor": {"USD": -1}}),
    ] {
        assert_eq!(verdict(bad.clone()).unwrap_err().code(), "body_invalid", "{bad}");
    }
}

#[test]
fn a_device_with_a_weak_key_is_refused() {
    let registrar = key(Algorithm::EdDsa, 1);
    let weak = PublicKey::Ed25519([0; 32]);
    let body = json!({"account": CID, "device": CID, "key": weak});
    let signed = sign(&draft("device.register", body), &registrar);
    let refusal = verify_command(signed.as_bytes(), &market(), None, &directory(&[&registrar])).unwrap_err();
    assert_eq!(refusal, Refusal::BodyInvalid { rule: "key: the key is weak: it has a small order".into() });
}

proptest! {
    #[test]
    fn no_bytes_pass_or_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let key = key(Algorithm::EdDsa, 1);
        prop_assert!(verify(&bytes, &market(), &directory(&[&key])).is_err());
    }

    #[test]
    fn a_changed_byte_never_passes(at in any::<prop::sample::Index>(), to in any::<u8>(), es256 in any::<bool>()) {
        let key = &both()[usize::from(es256)];
        let good = sign(&place_order(None), key).into_bytes();
        let mut bytes = good.clone();
        let at = at.index(bytes.len());
        bytes[at] = to;
        let verdict = verify(&bytes, &market(), &directory(&[key]));
        prop_assert_eq!(verdict.is_ok(), bytes == good);
    }

    #[test]
    fn a_shortened_command_never_passes(end in any::<prop::sample::Index>()) {
        let key = key(Algorithm::EdDsa, 1);
        let good = sign(&place_order(None), &key).into_bytes();
        let end = end.index(good.len());
        prop_assert!(verify(&good[..end], &market(), &directory(&[&key])).is_err());
    }
}

#[test]
fn a_request_that_is_no_command_is_taken_under_its_name_only() {
    let key = key(Algorithm::EdDsa, 1);
    let keys = directory(&[&key]);
    let request = crate::sign::sign_request(&add_to_cart(), "token.issue", json!({"ttl_s": 60}), &key);
    let read = verify_request(request.as_bytes(), &market(), "token.issue", &keys).unwrap();
    assert_eq!((read.stamp.name.as_str(), read.body), ("token.issue", json!({"ttl_s": 60})));
    let unknown = Err(Refusal::CmdUnknown { name: "token.issue".into() });
    assert_eq!(verify(request.as_bytes(), &market(), &keys), unknown);
    assert_eq!(verify_request(request.as_bytes(), &market(), "other", &keys), unknown);
    let command = sign(&add_to_cart(), &key);
    let refused = verify_request(command.as_bytes(), &market(), "cart.add", &keys);
    assert_eq!(refused, Err(Refusal::CmdUnknown { name: "cart.add".into() }));
}
