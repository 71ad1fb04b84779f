//! What a passkey signed, checked by the market's own decision: it counts if all that it says is so, and it signed that.

use std::sync::{Arc, LazyLock};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ED25519, UnparsedPublicKey, VerificationAlgorithm};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use commands::command::{ClearCart, Expected};
use commands::crypto::SigningKey;
use commands::{Command, Decision, Facts, Market, Refusal, Verified, decide, step_up};
use events::account::{Algorithm, DeviceRegistered, PublicKey, Registered, Role};
use events::command::Unchanged;
use events::commit::Seal;
use events::ids::{AccountId, CommandId, CommitId, DeviceId, Nonce, WriterId};
use events::metadata::{Cause, CommandStamp};
use events::step_up::{
    Assertion, Base64Url, CredentialId, PasskeyEnrolled, StepUp, StepUpRule, StepUpTerms, TermsSet,
};
use events::{Commit, Event, Hash, Head, Timestamp};
use uuid::Uuid;

use super::{edits, members, text_of};
use crate::log_contract::market;

const NOW: Timestamp = Timestamp::from_ms(1_753_783_200_000);
const DOMAIN: &str = "market.example";
const ORIGIN: &str = "https://market.example";
/// The signed bytes that are approved.
const SIGNED: &str = "aGVhZGVy.cGF5bG9hZA.c2lnbmF0dXJl";
/// How often each passkey had signed when it was last seen.
const SEEN: u32 = 5;

/// A market that asks for a second factor, and an account with a passkey of each algorithm.
struct Made {
    market: Market,
    passkeys: [SigningKey; 2],
    /// What each of them signs.
    signatures: [Vec<u8>; 2],
    verified: Verified,
}

/// The key of P-256 that an account's passkey has.
pub(super) fn p256_key() -> PublicKey {
    MADE.passkeys[1].public()
}

static MADE: LazyLock<Made> = LazyLock::new(|| {
    let passkeys = [(Algorithm::EdDsa, 31), (Algorithm::Es256, 32)]
        .map(|(algorithm, seed)| SigningKey::from_seed(algorithm, [seed; 32]).expect("it is a scalar"));
    let key = SigningKey::from_seed(Algorithm::EdDsa, [33; 32]).expect("any seed is a key");
    let (account, device) =
        (AccountId::from_uuid(Uuid::from_u128(1)), DeviceId::from_uuid(Uuid::from_u128(2)));
    let rule = StepUpRule {
        above_minor: [].into(),
        commands: ["cart.clear".parse().expect("it is a command")].into(),
        device_younger_than_ms: 0,
    };
    let terms = StepUpTerms {
        origins: [ORIGIN.parse().expect("it is an origin")].into(),
        relying_party: DOMAIN.parse().expect("it is a domain"),
        rules: vec![rule],
    };
    let command = Command::from(ClearCart { owner: None });
    let stamp = CommandStamp {
        account,
        command: CommandId::from_uuid(Uuid::from_u128((NOW.ms() as u128) << 80 | 7 << 76 | 2 << 62)),
        device,
        fingerprint: Hash::of(b"clear"),
        key: key.id(),
        name: command.name().to_owned(),
        nonce: Nonce([7; 16]),
        seq: 2,
        signed: SIGNED.to_owned(),
        step_up: None,
    };
    let verified = Verified {
        stamp: stamp.clone(),
        issued_at: NOW,
        expires_at: NOW.plus_ms(60_000),
        expected: Expected::default(),
        command,
        quotes: Vec::new(),
        claim: None,
        exchange: None,
    };
    let enrolled = passkeys.each_ref().map(|passkey| -> Event {
        PasskeyEnrolled { account, credential: credential(passkey), key: passkey.public() }.into()
    });
    let mut events: Vec<Event> = vec![
        Registered { account, roles: [Role::Buyer].into() }.into(),
        DeviceRegistered { account, device, key: key.public(), name: None, scope: None }.into(),
        TermsSet { terms }.into(),
    ];
    events.extend(enrolled);
    let signatures =
        passkeys.each_ref().map(|passkey| sign(passkey, &authenticator_data(SEEN + 1), &client_data()));
    // Each was shown before, when it had signed so often.
    let shown = passkeys.each_ref().map(|passkey| {
        let (authenticator, client) = (authenticator_data(SEEN), client_data());
        let signature = sign(passkey, &authenticator, &client);
        StepUp::Webauthn(assertion(credential(passkey), authenticator, client, signature))
    });
    let mut made = Made { market: Market::new(), passkeys, signatures, verified };
    let writer = WriterId::from_uuid(Uuid::from_u128(3));
    let mut head = made.fold(Head::EMPTY, Cause::Writer(writer), events);
    for (n, shown) in shown.into_iter().enumerate() {
        let stamp = CommandStamp {
            command: CommandId::from_uuid(Uuid::from_u128(n as u128)),
            nonce: Nonce([n as u8; 16]),
            seq: n as u64,
            step_up: Some(Box::new(shown)),
            ..stamp.clone()
        };
        let unchanged = Unchanged { command: "cart.clear".to_owned() };
        head = made.fold(head, Cause::Command(Box::new(stamp)), vec![unchanged.into()]);
    }
    made
});

impl Made {
    fn fold(&mut self, head: Head, cause: Cause, events: Vec<Event>) -> Head {
        let id = CommitId::from_uuid(Uuid::from_u128(u128::from(head.position) + 1));
        let commit = Arc::new(Commit::seal(
            head,
            Seal { id, market: market(), time: NOW.plus_ms(-60_000), cause, traceparent: None },
            events,
        ));
        self.market.evolve_commit(&commit);
        commit.head()
    }
}

fn credential(passkey: &SigningKey) -> CredentialId {
    URL_SAFE_NO_PAD.encode(passkey.id().0).parse().expect("it has 32 bytes")
}

fn authenticator_data(count: u32) -> Vec<u8> {
    [Hash::of(DOMAIN.as_bytes()).as_bytes().as_slice(), &[0b101], &count.to_be_bytes()].concat()
}

fn challenge() -> String {
    let hash = step_up::challenge(SIGNED).expect("these are signed bytes");
    URL_SAFE_NO_PAD.encode(hash.as_bytes())
}

fn client_data() -> Vec<u8> {
    let challenge = challenge();
    format!(r#"{{"type":"webauthn.get","challenge":"{challenge}","origin":"{ORIGIN}","crossOrigin":false}}"#)
        .into_bytes()
}

fn assertion(credential: CredentialId, data: Vec<u8>, client: Vec<u8>, signature: Vec<u8>) -> Assertion {
    Assertion {
        authenticator_data: Base64Url(data),
        client_data: Base64Url(client),
        credential,
        signature: Base64Url(signature),
    }
}

fn signed_by_passkey(authenticator: &[u8], client: &[u8]) -> Vec<u8> {
    [authenticator, Hash::of(client).as_bytes().as_slice()].concat()
}

/// Signs as an authenticator does: of P-256 in DER.
fn sign(passkey: &SigningKey, authenticator: &[u8], client: &[u8]) -> Vec<u8> {
    let signature = passkey.sign(&signed_by_passkey(authenticator, client));
    let PublicKey::P256(..) = passkey.public() else { return signature.to_vec() };
    let (r, s) = signature.split_at(32);
    let integers = [integer(r), integer(s)].concat();
    [&[0x30, integers.len() as u8], integers.as_slice()].concat()
}

/// Writes a number above zero in DER.
fn integer(bytes: &[u8]) -> Vec<u8> {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let bytes = &bytes[zeros.min(bytes.len() - 1)..];
    let sign: &[u8] = if bytes[0] >= 0x80 { &[0] } else { &[] };
    [&[2, (sign.len() + bytes.len()) as u8], sign, bytes].concat()
}

/// The first byte says whose approval it is, which part the rest edits or takes the place of, and whether it is signed after that. It
/// counts if another parser and another library of signatures find in it what docs/step-up.md asks for; and as it was made.
pub(super) fn webauthn(input: &[u8]) {
    let Some((how, rest)) = input.split_first() else { return };
    let Made { market, passkeys, signatures, verified } = &*MADE;
    // One of P-256 takes several times as long, so there are fewer of it.
    let which = usize::from(how % 8 == 7);
    let passkey = &passkeys[which];
    let (mut data, mut client) = (authenticator_data(SEEN + 1), client_data());
    let made = (data.clone(), client.clone());
    let mut signature = signatures[which].clone();
    let mut nothing = Vec::new();
    let part = match how >> 3 & 3 {
        0 => &mut data,
        1 => &mut client,
        2 => &mut signature,
        _ => &mut nothing,
    };
    match how >> 5 & 1 {
        0 => edits::apply(rest, part),
        _ => *part = rest.to_vec(),
    }
    let is_signed_after = how >> 6 & 1 == 1;
    if is_signed_after {
        signature = sign(passkey, &data, &client);
    }
    let shown = assertion(credential(passkey), data.clone(), client.clone(), signature.clone());
    let mut verified = verified.clone();
    verified.stamp.step_up = Some(Box::new(StepUp::Webauthn(shown)));
    let is_taken = match decide(market, &verified, &Facts::default(), NOW) {
        Decision::Commit(_) => true,
        Decision::Refuse(Refusal::MfaRequired { .. }) => false,
        other => panic!("only the second factor is in question: {other:?}"),
    };
    let is_signature_made = is_signed_after || signature == signatures[which];
    let is_as_made = (&data, &client) == (&made.0, &made.1) && is_signature_made;
    assert!(is_taken || !is_as_made, "a good approval counts");
    let is_right = says_so(&data, &client) && is_signed(passkey, &data, &client, &signature);
    assert!(is_right || !is_taken, "nothing else counts");
    // Where each member stands once and is written plainly, there is nothing that two parsers could read differently.
    let text = String::from_utf8_lossy(&client);
    let is_plain =
        ["type", "challenge", "origin", "crossOrigin"].iter().all(|name| text.matches(name).count() == 1)
            && !text.contains('\\')
            && std::str::from_utf8(&client).is_ok();
    let fits = client.len() <= 2_048 && data.len() <= 1_024;
    assert!(is_taken || !(is_right && is_plain && fits && is_signed_after), "all of it is so: it counts");
}

/// Tells whether an approval is of this command, on a page of this market, with its owner there, by a passkey that was not copied.
fn says_so(data: &[u8], client: &[u8]) -> bool {
    let client = members(client);
    let is = |name: &str, value: &str| text_of(&client, name).is_some_and(|member| member == value);
    let Some((head, _)) = data.split_first_chunk::<37>() else { return false };
    let count = u32::from_be_bytes([head[33], head[34], head[35], head[36]]);
    is("type", "webauthn.get")
        && is("challenge", &challenge())
        && is("origin", ORIGIN)
        && client.get("crossOrigin").is_none_or(|is_cross| is_cross.get() == "false")
        && head[..32] == Hash::of(DOMAIN.as_bytes()).as_bytes()[..]
        && head[32] & 0b101 == 0b101
        && count > SEEN
}

fn is_signed(passkey: &SigningKey, data: &[u8], client: &[u8], signature: &[u8]) -> bool {
    let (algorithm, key): (&dyn VerificationAlgorithm, Vec<u8>) = match passkey.public() {
        PublicKey::Ed25519(x) => (&ED25519, x.to_vec()),
        PublicKey::P256(x, y) => (&ECDSA_P256_SHA256_ASN1, [&[4], x.as_slice(), &y].concat()),
    };
    UnparsedPublicKey::new(algorithm, key).verify(&signed_by_passkey(data, client), signature).is_ok()
}

/// Approvals as they are, with a byte of each part changed, signed before and after; and other client data.
pub(super) fn webauthn_seeds() -> Vec<Vec<u8>> {
    let others = [
        format!(r#"{{"type":"webauthn.create","challenge":"{}","origin":"{ORIGIN}"}}"#, challenge()),
        format!(
            r#"{{"type":"webauthn.get","challenge":"{}","origin":"{ORIGIN}","tokenBinding":{{}}}}"#,
            challenge()
        ),
        format!(r#"{{"type":"webauthn.get","challenge":"AA","origin":"{ORIGIN}","crossOrigin":true}}"#),
    ];
    let replaced = others.iter().map(|other| [&[0b0110_1000], other.as_bytes()].concat());
    let edited = [0u8, 7].into_iter().flat_map(|passkey| {
        (0..4u8).flat_map(move |part| {
            [0, 0x40].into_iter().flat_map(move |after| {
                let how = passkey | part << 3 | after;
                [vec![how], vec![how, 1, 0, 32, 0], vec![how, 0, 0, 36, 5], vec![how, 2, 0, 40, b' ']]
            })
        })
    });
    edited.chain(replaced).collect()
}
