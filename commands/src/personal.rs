//! What is personal and travels beside a command: a command names SHA-256(salt ‖ value), and the header has salt and value. What
//! is in it is stored, encrypted, before the command is decided; nothing of it is signed by itself, since the hash is.

use std::ops::RangeInclusive;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use events::account::PublicKey;
use events::ids::{AccountId, CommandId, MarketName, PushSubscriptionId, WebhookId};
use events::privacy::ProfileField;
use events::push::Channel;
use events::{Hash, hash::Hasher};
use serde::Deserialize;

use crate::card;
use crate::command::{Command, MigrateCart, PlaceOrder, RegisterWebhook, RotateWebhookSecret, SubscribePush};
use crate::crypto::VerifyingKey;
use crate::refusal::Refusal;

/// Bytes of a salt.
pub const SALT_BYTES: usize = 16;
/// Longest header, in bytes.
pub const HEADER_BYTES_MAX: usize = 64 * 1024;
/// Most values of one header.
pub const VALUES_MAX: usize = 128;

/// What is said in HPKE when an address is encrypted.
pub const ADDRESS_INFO: &str = "skylink address 1";
/// Bytes of an encrypted address: an encapsulated key, something, and a tag.
const SEALED_BYTES_MIN: usize = 32 + 1 + 16;
/// Most bytes of an encrypted address.
pub const SEALED_BYTES_MAX: usize = 1024;

/// A value and its salt.
#[derive(Clone, PartialEq, Eq)]
pub struct Personal {
    /// Random bytes, that nobody can guess the value from its hash.
    pub salt: [u8; SALT_BYTES],
    /// The value.
    pub value: Vec<u8>,
}

/// Writes nothing of it.
impl std::fmt::Debug for Personal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Personal").finish_non_exhaustive()
    }
}

impl Personal {
    /// Gives the hash that a command names it by.
    pub fn hash(&self) -> Hash {
        let mut hasher = Hasher::new();
        hasher.update(&self.salt);
        hasher.update(&self.value);
        hasher.finish()
    }

    /// Writes it as it is stored: the salt, and the value behind it.
    pub fn to_bytes(&self) -> Vec<u8> {
        [self.salt.as_slice(), &self.value].concat()
    }

    /// Reads what [`Personal::to_bytes`] wrote.
    pub fn from_bytes(bytes: &[u8]) -> Option<Personal> {
        let (salt, value) = bytes.split_first_chunk()?;
        Some(Personal { salt: *salt, value: value.to_vec() })
    }
}

/// What a command names of personal values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// What it is called where it is stored.
    pub name: String,
    /// By what the command names it.
    pub hash: Hash,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Profile(ProfileField),
    Sealed,
    WebhookSecret,
    PushTarget(Channel),
}

/// Fewest and most random bytes of a webhook's secret.
pub const WEBHOOK_SECRET_BYTES: RangeInclusive<usize> = 24..=64;
/// What a webhook's secret begins with.
const WEBHOOK_SECRET_PREFIX: &str = "whsec_";

/// Most bytes of how a device is reached.
pub const PUSH_TARGET_BYTES_MAX: usize = 2_048;
/// Bytes of a registration token of FCM: no length is promised, some 160 are usual.
const FCM_TOKEN_BYTES: RangeInclusive<usize> = 16..=PUSH_TARGET_BYTES_MAX;
/// Digits of a device token of APNs, in hexadecimal.
const APNS_TOKEN_DIGITS: RangeInclusive<usize> = 64..=200;
/// Most bytes of where a browser's messages are sent to.
const PUSH_ENDPOINT_BYTES_MAX: usize = 1_024;

/// How a browser is reached by Web Push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushTarget {
    /// Where its messages are sent to: whoever knows it can have the browser's service take some.
    pub endpoint: String,
    /// Its key, a point of P-256, uncompressed.
    pub p256dh: [u8; 65],
    /// What it shares with who sends, besides.
    pub auth: [u8; 16],
}

/// What `PushSubscription.toJSON()` of a browser gives, as far as it is used.
#[derive(Deserialize)]
struct BrowserSubscription {
    endpoint: String,
    keys: BrowserKeys,
}

#[derive(Deserialize)]
struct BrowserKeys {
    auth: String,
    p256dh: String,
}

/// Gives what the value of a profile's field is called where it is stored.
pub fn profile_name(field: ProfileField, hash: Hash) -> String {
    format!("profile/{field}/{hash}")
}

/// Gives what an encrypted address is called where it is stored.
pub fn address_name(hash: Hash) -> String {
    format!("address/{hash}")
}

/// Gives what an address is bound to when it is encrypted to a seller with HPKE (RFC 9180), as its additional data: it opens for no
/// other purchase. `info` is [`ADDRESS_INFO`].
pub fn address_binding(market: &MarketName, seller: AccountId, command: CommandId) -> String {
    format!("{market}/{seller}/{command}")
}

/// Gives what a webhook's secret is called where it is stored.
pub fn webhook_secret_name(webhook: WebhookId, hash: Hash) -> String {
    format!("webhook/{webhook}/{hash}")
}

/// Reads a webhook's secret, and gives its random bytes; none: it is no such secret.
pub fn webhook_secret(text: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(text).ok()?.strip_prefix(WEBHOOK_SECRET_PREFIX)?;
    STANDARD.decode(text).ok().filter(|bytes| WEBHOOK_SECRET_BYTES.contains(&bytes.len()))
}

/// Gives what it is called, where it is stored, how a device is reached.
pub fn push_target_name(subscription: PushSubscriptionId, hash: Hash) -> String {
    format!("push/{subscription}/{hash}")
}

/// Reads how a browser is reached, in the form that browsers give; none: it is no such thing. That the URL leads somewhere is not known
/// here.
pub fn push_target(json: &[u8]) -> Option<PushTarget> {
    let found: BrowserSubscription =
        serde_json::from_slice(json).ok().filter(|_| json.len() <= PUSH_TARGET_BYTES_MAX)?;
    let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok();
    let p256dh: [u8; 65] = bytes(&found.keys.p256dh)?.try_into().ok()?;
    let auth = bytes(&found.keys.auth)?.try_into().ok()?;
    let (4, point) = p256dh.split_first().map(|(form, point)| (*form, point))? else { return None };
    let (x, y) = point.split_at(32);
    VerifyingKey::new(&PublicKey::P256(x.try_into().ok()?, y.try_into().ok()?)).ok()?;
    let is_web = found.endpoint.starts_with("https://") || found.endpoint.starts_with("http://");
    let is_plain = found.endpoint.bytes().all(|byte| byte.is_ascii_graphic());
    let fits = is_web && is_plain && found.endpoint.len() <= PUSH_ENDPOINT_BYTES_MAX;
    fits.then_some(PushTarget { endpoint: found.endpoint, p256dh, auth })
}

/// Reads the registration token that FCM gave an app, or its installation id; none: it is no such thing. What is in it, and how long it
/// is, is FCM's.
pub fn fcm_token(text: &[u8]) -> Option<&str> {
    let fits = FCM_TOKEN_BYTES.contains(&text.len()) && text.iter().all(u8::is_ascii_graphic);
    std::str::from_utf8(text).ok().filter(|_| fits)
}

/// Reads the token that APNs gave an app on a device, in hexadecimal; none: it is no such thing. How long it is is Apple's: 64 digits
/// now.
pub fn apns_token(text: &[u8]) -> Option<&str> {
    let is_whole = APNS_TOKEN_DIGITS.contains(&text.len()) && text.len().is_multiple_of(2);
    std::str::from_utf8(text).ok().filter(|_| is_whole && text.iter().all(u8::is_ascii_hexdigit))
}

/// Lists what a command names.
pub fn named(command: &Command) -> Vec<Named> {
    match command {
        Command::SetProfile(body) => {
            let set = body.fields.iter().filter_map(|(field, hash)| Some((*field, (*hash)?)));
            set.map(|(field, hash)| Named {
                name: profile_name(field, hash),
                hash,
                kind: Kind::Profile(field),
            })
            .collect()
        }
        Command::PlaceOrder(PlaceOrder { delivery: Some(delivery), .. })
        | Command::MigrateCart(MigrateCart { delivery: Some(delivery), .. }) => {
            let sealed = delivery.sealed_addresses.values();
            sealed
                .map(|sealed| Named {
                    name: address_name(sealed.hash),
                    hash: sealed.hash,
                    kind: Kind::Sealed,
                })
                .collect()
        }
        Command::RegisterWebhook(RegisterWebhook { secret, webhook, .. })
        | Command::RotateWebhookSecret(RotateWebhookSecret { secret, webhook, .. }) => {
            let name = webhook_secret_name(*webhook, *secret);
            vec![Named { name, hash: *secret, kind: Kind::WebhookSecret }]
        }
        Command::SubscribePush(SubscribePush { channel, subscription, target }) => {
            let name = push_target_name(*subscription, *target);
            vec![Named { name, hash: *target, kind: Kind::PushTarget(*channel) }]
        }
        _ => Vec::new(),
    }
}

/// Writes the header: for each value, salt and value in base64url with a point between; a comma between two.
pub fn write_header<'a>(values: impl IntoIterator<Item = &'a Personal>) -> String {
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let parts = values.into_iter().map(|one| format!("{}.{}", encode(&one.salt), encode(&one.value)));
    parts.collect::<Vec<_>>().join(",")
}

/// Reads a header. It is looked at only as far as its bounds go.
pub fn read_header(text: &str) -> Result<Vec<Personal>, Refusal> {
    if text.len() > HEADER_BYTES_MAX {
        return Err(invalid(format!("the header has {HEADER_BYTES_MAX} bytes at most")));
    }
    let parts: Vec<&str> = text.split(',').collect();
    if parts.len() > VALUES_MAX {
        return Err(invalid(format!("the header has {VALUES_MAX} values at most")));
    }
    parts.into_iter().map(|part| read_part(part.trim())).collect()
}

fn read_part(part: &str) -> Result<Personal, Refusal> {
    let form = || invalid("each value is `<16 bytes of salt>.<value>`, both in base64url without padding");
    let (salt, value) = part.split_once('.').ok_or_else(form)?;
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| form());
    let salt = decode(salt)?.try_into().map_err(|_| form())?;
    Ok(Personal { salt, value: decode(value)? })
}

/// Finds for each value that a command names the one that came beside it, if one did, and checks it. Whatever came that the command
/// does not name is refused: it would be stored for nothing.
pub fn match_up(
    command: &Command,
    mut given: Vec<Personal>,
) -> Result<Vec<(Named, Option<Personal>)>, Refusal> {
    let mut matched = Vec::new();
    for named in named(command) {
        let at = given.iter().position(|one| one.hash() == named.hash);
        let found = at.map(|at| given.swap_remove(at));
        if let Some(found) = &found {
            check(named.kind, &found.value).map_err(invalid)?;
        }
        matched.push((named, found));
    }
    if !given.is_empty() {
        let rule = "a value beside the command is none that it names: the hash is SHA-256 of the salt's bytes and the value's";
        return Err(invalid(rule));
    }
    Ok(matched)
}

fn check(kind: Kind, value: &[u8]) -> Result<(), String> {
    let field = match kind {
        Kind::Profile(field) => field,
        Kind::Sealed if (SEALED_BYTES_MIN..=SEALED_BYTES_MAX).contains(&value.len()) => return Ok(()),
        Kind::Sealed => {
            return Err(format!("an encrypted address has {SEALED_BYTES_MIN} to {SEALED_BYTES_MAX} bytes"));
        }
        Kind::PushTarget(channel) => return check_push_target(channel, value),
        Kind::WebhookSecret if webhook_secret(value).is_some() => return Ok(()),
        Kind::WebhookSecret => {
            return Err("a webhook's secret is `whsec_` and 24 to 64 random bytes in base64".to_owned());
        }
    };
    let text = std::str::from_utf8(value).map_err(|_| format!("`{field}` is no text"))?;
    let max = match field {
        ProfileField::Name | ProfileField::Company => 200,
        ProfileField::Email => 254,
        ProfileField::Phone => 32,
        ProfileField::Address => 500,
        ProfileField::TaxNumber => 64,
    };
    let is_line = |character: char| character == '\n' && field == ProfileField::Address;
    let is_bad = |character: char| character.is_control() && !is_line(character);
    let length = text.chars().count();
    if length == 0 || length > max || text.chars().any(is_bad) {
        return Err(format!("`{field}` must have 1 to {max} characters and no control characters"));
    }
    let fits = match field {
        ProfileField::Email => {
            let parts = text.split_once('@');
            parts.is_some_and(|(name, host)| !name.is_empty() && host.contains('.') && !host.contains('@'))
        }
        ProfileField::Phone => {
            let is_digit = |byte: u8| byte.is_ascii_digit();
            text.bytes().all(|byte| is_digit(byte) || b"+-() ".contains(&byte)) && text.bytes().any(is_digit)
        }
        _ => !card::looks_like_a_number(text),
    };
    if fits { Ok(()) } else { Err(format!("`{field}` is not of the form that it must have")) }
}

fn check_push_target(channel: Channel, value: &[u8]) -> Result<(), String> {
    let (fits, rule) = match channel {
        Channel::Web => (
            push_target(value).is_some(),
            "how a browser is reached is what its PushSubscription.toJSON() gives",
        ),
        Channel::Fcm => (
            fcm_token(value).is_some(),
            "how an app is reached by FCM is its registration token or its installation id: 16 to 2,048 letters, digits and signs",
        ),
        Channel::Apns => (
            apns_token(value).is_some(),
            "how an app is reached by APNs is its device token in hexadecimal: 64 to 200 digits",
        ),
    };
    if fits { Ok(()) } else { Err(rule.to_owned()) }
}

fn invalid(rule: impl Into<String>) -> Refusal {
    Refusal::PersonalInvalid { rule: rule.into() }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use events::webhook::EventFilter;

    use super::*;
    use crate::command::SetProfile;

    fn personal(salt: u8, value: &str) -> Personal {
        Personal { salt: [salt; SALT_BYTES], value: value.as_bytes().to_vec() }
    }

    fn set(fields: &[(ProfileField, Option<Hash>)]) -> Command {
        SetProfile { fields: BTreeMap::from_iter(fields.iter().copied()) }.into()
    }

    #[test]
    fn a_header_is_read_as_it_was_written() {
        let values = [personal(1, "alice@example.com"), personal(2, "Alice, of 1.5 Long Lane")];
        assert_eq!(read_header(&write_header(&values)).unwrap(), values);
        for bad in ["", "x", "AAAA.AAAA", "AAAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAA.=", ","] {
            assert!(matches!(read_header(bad), Err(Refusal::PersonalInvalid { .. })), "{bad}");
        }
        let long = vec!["AAAAAAAAAAAAAAAAAAAAAA.AA"; VALUES_MAX + 1].join(",");
        assert!(read_header(&long).is_err());
        assert!(read_header(&long[26..]).is_ok());
    }

    #[test]
    fn a_value_goes_with_the_hash_that_the_command_names_and_with_no_other() {
        let (email, name) = (personal(1, "alice@example.com"), personal(2, "Alice"));
        let command = set(&[
            (ProfileField::Email, Some(email.hash())),
            (ProfileField::Name, Some(name.hash())),
            (ProfileField::Phone, None),
        ]);
        let matched = match_up(&command, vec![name.clone()]).unwrap();
        let found: Vec<_> = matched.iter().map(|(_, found)| found.clone()).collect();
        assert_eq!(found, [Some(name.clone()), None]);
        assert_eq!(matched[0].0.name, format!("profile/name/{}", name.hash()));
        let other = personal(3, "alice@example.com");
        for given in [vec![other], vec![name.clone(), name]] {
            assert!(matches!(match_up(&command, given), Err(Refusal::PersonalInvalid { .. })));
        }
    }

    #[test]
    fn a_webhooks_secret_is_random_bytes_in_base64() {
        let register = |value: &Personal| -> Command {
            let types = BTreeSet::<EventFilter>::from(["*".parse().unwrap()]).try_into().unwrap();
            let webhook = WebhookId::from_uuid(uuid::Uuid::nil());
            let url = "https://shop.example".parse().unwrap();
            RegisterWebhook { secret: value.hash(), types, url, webhook }.into()
        };
        for (value, fits) in [
            ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", true),
            ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", false),
            ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2La", false),
            ("whsec_not base64", false),
        ] {
            let value = personal(1, value);
            assert_eq!(match_up(&register(&value), vec![value.clone()]).is_ok(), fits, "{value:?}");
        }
    }

    #[test]
    fn how_a_device_is_reached_is_of_its_services_form() {
        let (fcm, apns) = (format!("fY2kE9:APA91b{}", "x-_9".repeat(35)), "0aF9".repeat(16));
        let (long, odd) = ("f".repeat(PUSH_TARGET_BYTES_MAX + 1), "a".repeat(65));
        let cases = [
            (Channel::Fcm, fcm.as_str(), true),
            (Channel::Fcm, "short", false),
            (Channel::Fcm, "a token with spaces", false),
            (Channel::Fcm, "a\u{301}aaaaaaaaaaaaaaaaaaaa", false),
            (Channel::Fcm, &long, false),
            (Channel::Apns, &apns, true),
            (Channel::Apns, &apns[2..], false),
            (Channel::Apns, &odd, false),
            (Channel::Apns, &fcm, false),
            (Channel::Apns, &long, false),
            (Channel::Web, &fcm, false),
        ];
        for (channel, value, fits) in cases {
            let value = personal(1, value);
            let subscription = PushSubscriptionId::from_uuid(uuid::Uuid::nil());
            let command: Command = SubscribePush { channel, subscription, target: value.hash() }.into();
            assert_eq!(
                match_up(&command, vec![value.clone()]).is_ok(),
                fits,
                "{channel:?} {}",
                value.value.len()
            );
        }
    }

    #[test]
    fn a_value_is_of_its_fields_form() {
        let long = "x".repeat(201);
        let cases = [
            (ProfileField::Email, "alice@example.com", true),
            (ProfileField::Email, "alice", false),
            (ProfileField::Email, "alice@host", false),
            (ProfileField::Phone, "+49 (30) 555-0100", true),
            (ProfileField::Phone, "call me", false),
            (ProfileField::Address, "1 Long Lane\nLondon", true),
            (ProfileField::Name, "Alice\nB", false),
            (ProfileField::Name, "", false),
            (ProfileField::Name, &long, false),
            (ProfileField::Name, "4111 1111 1111 1111", false),
            (ProfileField::Company, "Zoë & Söhne", true),
        ];
        for (field, value, fits) in cases {
            let value = personal(1, value);
            let command = set(&[(field, Some(value.hash()))]);
            assert_eq!(match_up(&command, vec![value.clone()]).is_ok(), fits, "{field} {value:?}");
        }
    }
}
