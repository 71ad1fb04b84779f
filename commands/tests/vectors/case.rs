//! What vectors are made of. Texts are put together by hand here, since most of them break a rule.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use commands::crypto::{SigningKey, VerifyingKey};
use events::account::Algorithm;
use events::ids::MarketName;
use serde_json::{Map, Value, json};

pub(crate) const TYP: &str = "skylink-cmd+jws";
pub(crate) const QUOTE_TYP: &str = "skylink-quote+jws";
pub(crate) const CART_CLAIM_TYP: &str = "skylink-cart-claim+jws";
pub(crate) const EXCHANGE_TYP: &str = "skylink-exchange+jws";
pub(crate) const CID: &str = "0190b5a0-7c00-7000-8000-000000000001";
pub(crate) const ACCOUNT: &str = "0190b5a0-7c00-7000-8000-0000000000a1";
pub(crate) const DEVICE: &str = "0190b5a0-7c00-7000-8000-0000000000d1";
pub(crate) const LISTING: &str = "0190b5a0-7c00-7000-8000-0000000000c1";
pub(crate) const NONCE: &str = "AAECAwQFBgcICQoLDA0ODw";

pub(crate) fn market() -> MarketName {
    "main".parse().unwrap()
}

pub(crate) fn ed() -> SigningKey {
    SigningKey::from_seed(Algorithm::EdDsa, [1; 32]).unwrap()
}

pub(crate) fn es() -> SigningKey {
    SigningKey::from_seed(Algorithm::Es256, [2; 32]).unwrap()
}

/// A key the market does not know.
pub(crate) fn stranger() -> SigningKey {
    SigningKey::from_seed(Algorithm::EdDsa, [3; 32]).unwrap()
}

pub(crate) fn keys() -> Value {
    let entry = |name: &str, key: SigningKey, seed: u8, known: bool| {
        json!({"name": name, "jwk": key.public(), "kid": key.id(), "seed_hex": hex::encode([seed; 32]),
               "alg": alg(&key), "known": known})
    };
    json!([entry("ed", ed(), 1, true), entry("es", es(), 2, true), entry("stranger", stranger(), 3, false)])
}

pub(crate) fn alg(key: &SigningKey) -> &'static str {
    match key.public().algorithm() {
        Algorithm::EdDsa => "EdDSA",
        Algorithm::Es256 => "ES256",
    }
}

pub(crate) fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// One vector.
pub(crate) struct Case {
    name: String,
    verdict: &'static str,
    members: Map<String, Value>,
}

impl Case {
    /// A case of which only the text matters.
    pub(crate) fn text(name: &str, text: impl Into<String>, verdict: &'static str) -> Case {
        let members = Map::from_iter([("text".to_owned(), Value::String(text.into()))]);
        Case { name: name.to_owned(), verdict, members }
    }

    pub(crate) fn with(mut self, member: &str, value: impl Into<Value>) -> Case {
        self.members.insert(member.to_owned(), value.into());
        self
    }

    pub(crate) fn to_json(&self) -> Value {
        let mut members = self.members.clone();
        members.insert("name".to_owned(), self.name.as_str().into());
        members.insert("verdict".to_owned(), self.verdict.into());
        Value::Object(members)
    }
}

/// A compact JWS in its parts, each of which can be replaced before or after it is signed.
pub(crate) struct Jws {
    pub(crate) header: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) key: SigningKey,
}

impl Jws {
    pub(crate) fn new(key: SigningKey, payload: impl Into<Vec<u8>>) -> Jws {
        Jws { header: header(&key), payload: payload.into(), key }
    }

    pub(crate) fn header(self, header: impl Into<String>) -> Jws {
        Jws { header: header.into(), ..self }
    }

    /// The same payload under another header, to be signed anew.
    pub(crate) fn clone_with(&self, header: impl Into<String>) -> Jws {
        let key = if self.key.id() == ed().id() { ed() } else { es() };
        Jws { header: header.into(), payload: self.payload.clone(), key }
    }

    pub(crate) fn signing_input(&self) -> String {
        format!("{}.{}", b64(&self.header), b64(&self.payload))
    }

    pub(crate) fn signature(&self) -> [u8; 64] {
        self.key.sign(self.signing_input().as_bytes())
    }

    pub(crate) fn compact(&self) -> String {
        self.signed_with(self.signature())
    }

    /// The text with this signature in place of the right one.
    pub(crate) fn signed_with(&self, signature: impl AsRef<[u8]>) -> String {
        format!("{}.{}", self.signing_input(), b64(signature))
    }

    pub(crate) fn case(&self, name: &str, verdict: &'static str) -> Case {
        self.case_with(name, self.signature(), verdict)
    }

    pub(crate) fn case_with(&self, name: &str, signature: impl AsRef<[u8]>, verdict: &'static str) -> Case {
        let case = Case::text(name, self.signed_with(&signature), verdict)
            .with("key", json!(self.key.public()))
            .with("header", self.header.as_str())
            .with("signing_input", self.signing_input())
            .with("signature", b64(&signature))
            .with("signature_holds", holds(&self.key, &self.signing_input(), signature.as_ref()));
        match std::str::from_utf8(&self.payload) {
            Ok(payload) => case.with("payload", payload),
            Err(_) => case,
        }
    }
}

/// Tells whether a signature is that of a key over a message, whatever is said in the message.
fn holds(key: &SigningKey, message: &str, signature: &[u8]) -> bool {
    let key = VerifyingKey::new(&key.public()).unwrap();
    key.verify(message.as_bytes(), signature).is_ok()
}

pub(crate) fn header(key: &SigningKey) -> String {
    header_of(alg(key), &key.id().to_string(), TYP)
}

pub(crate) fn header_of(alg: &str, kid: &str, typ: &str) -> String {
    format!(r#"{{"alg":"{alg}","kid":"{kid}","typ":"{typ}"}}"#)
}

/// A good header with one more member.
pub(crate) fn header_and(key: &SigningKey, member: &str) -> String {
    header(key).replace('}', &format!(",{member}}}"))
}

/// The payload that most cases start from: two units into the cart.
pub(crate) fn payload() -> Value {
    payload_of("cart.add", json!({"listing": LISTING, "quantity": 2}))
}

pub(crate) fn payload_of(cmd: &str, body: Value) -> Value {
    json!({
        "v": 1, "aud": "main", "cmd": cmd, "cid": CID, "sub": ACCOUNT, "dev": DEVICE, "seq": 7, "nonce": NONCE,
        "iat": 1_753_783_200_000u64, "exp": 1_753_783_260_000u64, "body": body,
    })
}

/// The payload with a member set.
pub(crate) fn payload_with(member: &str, value: Value) -> String {
    let mut payload = payload();
    payload[member] = value;
    payload.to_string()
}

/// The payload without a member.
pub(crate) fn payload_without(member: &str) -> String {
    let mut payload = payload();
    payload.as_object_mut().unwrap().remove(member);
    payload.to_string()
}

/// The payload with the text of its `seq` replaced, for numbers that a JSON value can't hold.
pub(crate) fn payload_with_seq(text: &str) -> String {
    payload().to_string().replace(r#""seq":7"#, &format!(r#""seq":{text}"#))
}

pub(crate) fn order_of(line: Value) -> Value {
    let total = json!({"minor": 9999, "currency": "USD"});
    payload_of("order.place", json!({"lines": [line], "payment_method": "wallet", "total": total}))
}

pub(crate) fn quote() -> Value {
    json!({
        "v": 1, "aud": "main", "buyer": ACCOUNT, "exp": 1_753_783_260_000u64, "listing": LISTING, "quantity": 2,
        "total": {"minor": 9000, "currency": "USD"},
    })
}

/// A line with a quote that `key` signed.
pub(crate) fn quoted_line(quote: &Value, key: SigningKey, typ: &str) -> Value {
    let header = header_of(alg(&key), &key.id().to_string(), typ);
    let quote = Jws::new(key, quote.to_string()).header(header).compact();
    json!({"listing": LISTING, "quantity": 2, "quote": quote})
}

pub(crate) fn claim() -> Value {
    json!({"v": 1, "aud": "main", "cart": CID, "exp": 1_753_783_260_000u64, "to": ACCOUNT})
}

/// The payload of a merge with a claim that `key` signed.
pub(crate) fn merge_of(claim: &Value, key: SigningKey, typ: &str) -> String {
    let header = header_of(alg(&key), &key.id().to_string(), typ);
    let claim = Jws::new(key, claim.to_string()).header(header).compact();
    payload_of("cart.merge", json!({"claim": claim})).to_string()
}

pub(crate) fn offer() -> Value {
    json!({
        "v": 1, "account": ACCOUNT, "aud": "main", "exp": 1_753_783_260_000u64,
        "from": {"minor": 4000, "currency": "EUR"}, "provider": ACCOUNT,
        "rate": {"for_minor": 10_000, "gives_minor": 10_850}, "reference": "fx 1",
        "to": {"minor": 4340, "currency": "USD"},
    })
}

/// The payload of an exchange with an offer that `key` signed.
pub(crate) fn exchange_of(offer: &Value, key: SigningKey, typ: &str) -> String {
    let header = header_of(alg(&key), &key.id().to_string(), typ);
    let quote = Jws::new(key, offer.to_string()).header(header).compact();
    let body = json!({"at_least": {"minor": 4300, "currency": "USD"}, "from": offer["from"], "quote": quote});
    payload_of("wallet.exchange", body).to_string()
}

/// A command of the flat form, not signed yet.
pub(crate) fn flat(key: &SigningKey, command: &str, fields: Value) -> Value {
    let mut object = json!({
        "command": command, "commandId": CID, "device_id": DEVICE, "keyId": key.id(), "market": "main",
        "nonce": NONCE, "sequenceNumber": 7, "timestamp": "2025-07-29T10:00:00Z", "user_id": ACCOUNT,
    });
    object.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    object
}

pub(crate) fn flat_add(key: &SigningKey) -> Value {
    flat(key, "cart.add", json!({"listing_id": LISTING, "quantity": 2}))
}

pub(crate) fn flat_order(key: &SigningKey, total: Value, currency: Option<&str>) -> Value {
    let mut details = json!({"items": [{"listing_id": LISTING, "quantity": 2}], "payment_method": "wallet", "total": total});
    if let Some(currency) = currency {
        details["currency"] = currency.into();
    }
    flat(key, "order.place", json!({"orderDetails": details}))
}

/// Signs the flat form and makes a case of it.
pub(crate) fn flat_case(name: &str, object: Value, key: &SigningKey, verdict: &'static str) -> Case {
    let canonical = serde_json_canonicalizer::to_string(&object).unwrap();
    flat_case_spelled(name, object, key, verdict, canonical)
}

/// Like [`flat_case`], with a signature over `message`.
pub(crate) fn flat_case_spelled(
    name: &str,
    mut object: Value,
    key: &SigningKey,
    verdict: &'static str,
    message: String,
) -> Case {
    let signature = b64(key.sign(message.as_bytes()));
    object["signature"] = signature.as_str().into();
    let text = serde_json_canonicalizer::to_string(&object).unwrap();
    Case::text(name, text, verdict)
        .with("key", json!(key.public()))
        .with("canonical", message)
        .with("signature", signature)
        .with("signature_holds", true)
}

/// Adds two numbers of 256 bits, least significant byte first; what does not fit is dropped.
pub(crate) fn add(a: [u8; 32], b: [u8; 32]) -> [u8; 32] {
    let mut carry = 0;
    std::array::from_fn(|at| {
        let sum = u16::from(a[at]) + u16::from(b[at]) + carry;
        carry = sum >> 8;
        sum as u8
    })
}

/// Computes n − s for the order n of P-256, most significant byte first.
pub(crate) fn order_minus(s: &[u8]) -> [u8; 32] {
    let mut n: [u8; 32] = p256_order();
    n.reverse();
    let mut complement: [u8; 32] = std::array::from_fn(|at| !s[31 - at]);
    complement = add(complement, std::array::from_fn(|at| u8::from(at == 0)));
    let mut difference = add(n, complement);
    difference.reverse();
    difference
}

pub(crate) fn p256_order() -> [u8; 32] {
    let n = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
    hex::decode(n).unwrap().try_into().unwrap()
}

/// Writes r‖s as ASN.1 DER, which is not the form of a JWS.
pub(crate) fn der(signature: &[u8; 64]) -> Vec<u8> {
    let integer = |bytes: &[u8]| {
        let mut bytes: Vec<u8> = bytes.iter().copied().skip_while(|byte| *byte == 0).collect();
        if bytes[0] >= 0x80 {
            bytes.insert(0, 0);
        }
        [vec![2, bytes.len() as u8], bytes].concat()
    };
    let both = [integer(&signature[..32]), integer(&signature[32..])].concat();
    [vec![0x30, both.len() as u8], both].concat()
}
