//! What travels beside a command: personal values, and second factors.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use commands::command::{
    Delivery, OrderLine, PaymentMethod, PlaceOrder, RotateWebhookSecret, SealedAddress, SetProfile,
    SubscribePush,
};
use commands::personal::{
    HEADER_BYTES_MAX, Personal, SALT_BYTES, SEALED_BYTES_MAX, match_up, push_target, read_header,
    write_header,
};
use commands::step_up::{self, Shown};
use commands::{Command, Refusal, card};
use events::account::PublicKey;
use events::ids::{AccountId, AuthenticatorId, ListingId, PushSubscriptionId, WebhookId};
use events::privacy::ProfileField;
use events::push::Channel;
use events::step_up::RecoveryShown;
use events::{Hash, Money, Quantity};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{members, text_of};

/// Values that commands name: each field of a profile, an encrypted address, a webhook's secret, where a browser is reached.
#[derive(Clone, Copy)]
enum Kind {
    Profile(ProfileField),
    Sealed,
    WebhookSecret,
    PushTarget,
}

impl Kind {
    fn of(number: u8) -> Kind {
        match usize::from(number) % (ProfileField::ALL.len() + 3) {
            0 => Kind::Sealed,
            1 => Kind::WebhookSecret,
            2 => Kind::PushTarget,
            field => Kind::Profile(ProfileField::ALL[field - 3]),
        }
    }
}

/// The first byte says what the command takes the first value for; by the second the rest is the header, or one value that is written
/// into one. What is read is written and read again; the command takes the value it names, if it is of its form, and nothing else.
pub(super) fn personal(input: &[u8]) {
    let Some((&[kind, how], rest)) = input.split_first_chunk::<2>() else { return };
    let (kind, is_value) = (Kind::of(kind), how & 1 == 1);
    let header = match std::str::from_utf8(rest) {
        _ if is_value => write_header([&Personal { salt: [how; SALT_BYTES], value: rest.to_vec() }]),
        Ok(header) => header.to_owned(),
        Err(_) => return,
    };
    let values = match read_header(&header) {
        Ok(values) => values,
        Err(refusal) => {
            assert!(matches!(refusal, Refusal::PersonalInvalid { .. }), "{refusal}");
            assert!(!is_value || header.len() > HEADER_BYTES_MAX, "what was written is read");
            return;
        }
    };
    assert_eq!(read_header(&write_header(&values)).as_ref(), Ok(&values));
    let first = values.first().expect("a header that is read has a value");
    let hash = Hash::of(&[first.salt.as_slice(), &first.value].concat());
    assert_eq!(Personal::from_bytes(&first.to_bytes()).as_ref(), Some(first));
    let is_good = values.len() == 1 && fits(kind, &first.value);
    match match_up(&naming(kind, hash), values.clone()) {
        Ok(matched) => {
            assert!(is_good, "it is of its form, and nothing else came");
            let [(named, Some(found))] = matched.as_slice() else { panic!("one value was named and came") };
            assert_eq!((found, named.hash), (first, hash));
            let is_sign = |byte: u8| byte.is_ascii_alphanumeric() || b"._-:/".contains(&byte);
            assert!(named.name.len() <= 160 && named.name.bytes().all(is_sign), "a vault takes its name");
        }
        Err(_) => assert!(!is_good, "it is what the command names"),
    }
    let other = naming(kind, Hash::of(b"another"));
    assert!(match_up(&other, values).is_err(), "nothing is stored that the command does not name");
}

fn naming(kind: Kind, hash: Hash) -> Command {
    let account = AccountId::from_uuid(Uuid::from_u128(1));
    match kind {
        Kind::Profile(field) => SetProfile { fields: [(field, Some(hash))].into() }.into(),
        Kind::Sealed => {
            let key = URL_SAFE_NO_PAD.encode([9; 32]).parse().expect("it has 32 bytes");
            let region = "DE".parse().expect("it is a region");
            let mut delivery = Delivery::to(region);
            delivery.sealed_addresses.insert(account, SealedAddress { hash, key });
            let line = OrderLine {
                listing: ListingId::from_uuid(Uuid::from_u128(2)),
                quantity: Quantity::new(1).expect("it is above zero"),
                quote: None,
            };
            PlaceOrder {
                coupon: None,
                delivery: Some(delivery),
                lines: vec![line],
                payment_method: PaymentMethod::Wallet,
                total: Money::new(1, "USD".parse().expect("it is a currency")),
            }
            .into()
        }
        Kind::WebhookSecret => {
            let webhook = WebhookId::from_uuid(Uuid::from_u128(3));
            let keep_ms = serde_json::from_value(json!(0)).expect("it is no time at all");
            RotateWebhookSecret { keep_ms, secret: hash, webhook }.into()
        }
        Kind::PushTarget => {
            let subscription = PushSubscriptionId::from_uuid(Uuid::from_u128(4));
            SubscribePush { channel: Channel::Web, subscription, target: hash }.into()
        }
    }
}

/// Tells whether a value is of its form, as docs/privacy.md says it.
fn fits(kind: Kind, value: &[u8]) -> bool {
    match kind {
        Kind::Profile(field) => std::str::from_utf8(value).is_ok_and(|text| fits_field(field, text)),
        Kind::Sealed => (49..=SEALED_BYTES_MAX).contains(&value.len()),
        Kind::WebhookSecret => {
            let encoded = value.strip_prefix(b"whsec_");
            let random = encoded.and_then(|encoded| STANDARD.decode(encoded).ok());
            // One spelling only: who signs with other bytes than another program would, is not believed.
            random.is_some_and(|random| {
                (24..=64).contains(&random.len()) && Some(STANDARD.encode(random).as_bytes()) == encoded
            })
        }
        Kind::PushTarget => {
            let is_one = push_target(value).is_some();
            assert!(!is_one || is_browser(value), "it is no subscription of a browser");
            is_one
        }
    }
}

fn fits_field(field: ProfileField, text: &str) -> bool {
    let length = text.chars().count();
    let is_long = match field {
        ProfileField::Name | ProfileField::Company => length > 200,
        ProfileField::Email => length > 254,
        ProfileField::Phone => length > 32,
        ProfileField::Address => length > 500,
        ProfileField::TaxNumber => length > 64,
    };
    let is_control = |letter: char| {
        matches!(letter, '\0'..='\x1f' | '\x7f'..='\u{9f}')
            && (field != ProfileField::Address || letter != '\n')
    };
    if length == 0 || is_long || text.chars().any(is_control) {
        return false;
    }
    match field {
        ProfileField::Email => {
            let parts: Vec<&str> = text.split('@').collect();
            parts.len() == 2 && !parts[0].is_empty() && parts[1].contains('.')
        }
        ProfileField::Phone => {
            let of_phone = |letter: char| matches!(letter, '0'..='9' | '+' | '-' | '(' | ')' | ' ');
            text.chars().all(of_phone) && text.chars().any(|letter| letter.is_ascii_digit())
        }
        _ => !card::looks_like_a_number(text),
    }
}

/// Looks at a browser's subscription with other parsers, and at its point with another library.
fn is_browser(json: &[u8]) -> bool {
    let found = members(json);
    let keys = found.get("keys").map(|keys| members(keys.get().as_bytes())).unwrap_or_default();
    let bytes = |name: &str| {
        let text = text_of(&keys, name).unwrap_or_default();
        URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).unwrap_or_default()
    };
    let endpoint = text_of(&found, "endpoint").unwrap_or_default();
    let point = bytes("p256dh");
    let point = aws_lc_rs::agreement::UnparsedPublicKey::new(&aws_lc_rs::agreement::ECDH_P256, point);
    let key = aws_lc_rs::agreement::PrivateKey::generate(&aws_lc_rs::agreement::ECDH_P256);
    let key = key.expect("a key can be made");
    let is_on_curve = aws_lc_rs::agreement::agree(&key, point, (), |_| Ok(())).is_ok();
    is_on_curve
        && bytes("auth").len() == 16
        && endpoint.split_once("://").is_some_and(|(scheme, _)| matches!(scheme, "http" | "https"))
        && endpoint.len() <= 1_024
}

/// A header of each kind, and values that are of their form and not.
pub(super) fn personal_seeds() -> Vec<Vec<u8>> {
    let PublicKey::P256(x, y) = super::passkey::p256_key() else { unreachable!("it is of P-256") };
    let p256dh = URL_SAFE_NO_PAD.encode([&[4], x.as_slice(), &y].concat());
    let browser = json!({"endpoint": "https://push.example/1", "keys": {"auth": "AAAAAAAAAAAAAAAAAAAAAA", "p256dh": p256dh}});
    let texts = [
        "alice@example.com",
        "Alice, of 1.5 Long Lane",
        "+49 (30) 555-0100",
        "1 Long Lane\nLondon",
        "4111 1111 1111 1111",
        "DE 123456789",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "an address that is encrypted: 32 bytes, and a tag of 16",
    ];
    let values: Vec<String> = texts.into_iter().map(str::to_owned).chain([browser.to_string()]).collect();
    let of_value = |value: String| {
        let header = write_header([&Personal { salt: [7; SALT_BYTES], value: value.clone().into_bytes() }]);
        (0..9u8).flat_map(move |kind| {
            [[&[kind, 1], value.as_bytes()].concat(), [&[kind, 0], header.as_bytes()].concat()]
        })
    };
    let two = [b"\x03\x00AAAAAAAAAAAAAAAAAAAAAA.YQ,AAAAAAAAAAAAAAAAAAAAAA.YQ".to_vec()];
    values.into_iter().flat_map(of_value).chain(two).collect()
}

/// By the first byte the rest is a header, what is written into one, or a recovery code as somebody types it. What is read is written
/// and read again, says what another parser reads, and no refusal repeats it; a code is the same however it is written.
pub(super) fn second_factor(input: &[u8]) {
    let Some((how, rest)) = input.split_first() else { return };
    let header = match how % 3 {
        0 => String::from_utf8_lossy(rest).into_owned(),
        1 => URL_SAFE_NO_PAD.encode(rest),
        _ => return recovery_code(&String::from_utf8_lossy(rest)),
    };
    let json = URL_SAFE_NO_PAD.decode(&header).ok();
    let shown = json.as_deref().and_then(|json| serde_json::from_slice::<Value>(json).ok());
    match step_up::read_header(&header) {
        Ok(read) => {
            assert!(header.len() <= step_up::HEADER_BYTES_MAX);
            assert_eq!(step_up::read_header(&step_up::write_header(&read)).as_ref(), Ok(&read));
            let shown = shown.expect("what is read is JSON");
            let members = shown.as_object().expect("it is an object");
            assert_eq!(members.len(), 1, "it is one factor");
            match *read {
                Shown::Webauthn(assertion) => assert!(assertion.fits() && members.contains_key("webauthn")),
                Shown::Totp(code) => {
                    assert!(code.code.len() == 6 && code.code.bytes().all(|digit| digit.is_ascii_digit()));
                    assert_eq!(shown["totp"]["code"], code.code);
                    assert!(!format!("{code:?}").contains(&code.code), "no log has it");
                }
                Shown::Recovery(code) => {
                    let digits = shown["recovery"]["code"].as_str().expect("it is a hash");
                    assert!(digits.eq_ignore_ascii_case(&code.code.to_string()));
                }
            }
        }
        Err(refusal) => {
            assert!(matches!(refusal, Refusal::BodyInvalid { .. }), "{refusal}");
            assert!(refusal.to_string().len() < 200, "a refusal repeats nothing: it may be a code");
            let good = shown.filter(is_code);
            let again = good.map(|good| URL_SAFE_NO_PAD.encode(good.to_string()));
            assert!(again.is_none_or(|again| step_up::read_header(&again).is_ok()), "a code is read");
        }
    }
}

/// Tells whether JSON is what shows an app's code.
fn is_code(shown: &Value) -> bool {
    let members = |value: &Value| value.as_object().map_or(0, |members| members.len());
    let (app, code) = (shown["totp"]["authenticator"].as_str(), shown["totp"]["code"].as_str());
    members(shown) == 1
        && members(&shown["totp"]) == 2
        && app.is_some_and(|app| app.len() == 36 && app.parse::<AuthenticatorId>().is_ok())
        && code.is_some_and(|code| code.len() == 6 && code.bytes().all(|digit| digit.is_ascii_digit()))
}

fn recovery_code(typed: &str) {
    let letters: String =
        typed.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_uppercase()).collect();
    let code = RecoveryShown::of(typed);
    assert_eq!(code.code, Hash::of(format!("skylink recovery code{letters}").as_bytes()));
    let spaced: String = letters.to_ascii_lowercase().chars().flat_map(|letter| [letter, '-', ' ']).collect();
    assert_eq!(RecoveryShown::of(&spaced), code, "it is the same however it is written");
    assert_ne!(RecoveryShown::of(&format!("{typed}A")), code);
}

/// Each kind of second factor, as a header and as its JSON; and recovery codes.
pub(super) fn second_factor_seeds() -> Vec<Vec<u8>> {
    let id = "0190b5a0-7c00-7000-8000-0000000000b1";
    let bytes = |count: usize| URL_SAFE_NO_PAD.encode(vec![1; count]);
    let shown = [
        json!({"totp": {"authenticator": id, "code": "123456"}}),
        json!({"recovery": RecoveryShown::of("ABCDE-FGHJK-MNPQR-STVWX")}),
        json!({"webauthn": {"authenticator_data": bytes(37), "client_data": bytes(9), "credential": bytes(16), "signature": bytes(64)}}),
        json!({"totp": {"authenticator": id, "code": "12345x"}}),
    ];
    let headers = shown.iter().flat_map(|shown| {
        let json = shown.to_string();
        [[&[0], URL_SAFE_NO_PAD.encode(&json).as_bytes()].concat(), [&[1], json.as_bytes()].concat()]
    });
    let codes = ["ABCDE-FGHJK-MNPQR-STVWX", "abcde fghjk mnpqr stvwx", ""];
    headers.chain(codes.map(|code| [&[2], code.as_bytes()].concat())).collect()
}
