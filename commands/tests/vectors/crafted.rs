//! Signatures and keys that somebody has put together, and that verifiers are known to disagree about.

use commands::crypto::SigningKey;
use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};
use curve25519_dalek::edwards::EdwardsPoint;
use curve25519_dalek::scalar::{Scalar, clamp_integer};
use events::account::PublicKey;
use serde_json::json;
use sha2::{Digest, Sha512};

use super::case::{
    ACCOUNT, Case, DEVICE, Jws, TYP, b64, ed, es, header_of, p256_order, payload, payload_of, payload_with,
    stranger,
};

const WRONG: &str = "sig_invalid";

pub(crate) fn cases() -> Vec<Case> {
    [ed25519(), es256(), both(), weak_keys()].into_iter().flatten().collect()
}

fn good(key: SigningKey) -> Jws {
    Jws::new(key, payload().to_string())
}

/// Signs with the secret scalar of the key `ed` so that R is what `point` makes of r·B.
fn signed_with_r(point: impl Fn(EdwardsPoint) -> EdwardsPoint) -> [u8; 64] {
    let secret: [u8; 32] = Sha512::digest([1; 32])[..32].try_into().unwrap();
    let a = Scalar::from_bytes_mod_order(clamp_integer(secret));
    let PublicKey::Ed25519(public) = ed().public() else { panic!("it is a key of Ed25519") };
    let message = good(ed()).signing_input();
    let r = Scalar::from(7_777_777u64);
    let big_r = point(ED25519_BASEPOINT_POINT * r);
    // Where R is no multiple of the base point at all, r is none of it either.
    let r = if big_r.is_small_order() { Scalar::ZERO } else { r };
    let big_r = big_r.compress().to_bytes();
    let hash =
        Sha512::new().chain_update(big_r).chain_update(public).chain_update(message.as_bytes()).finalize();
    let k = Scalar::from_bytes_mod_order_wide(&<[u8; 64]>::try_from(hash.as_slice()).unwrap());
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(&big_r);
    signature[32..].copy_from_slice((r + k * a).as_bytes());
    signature
}

fn ed25519() -> Vec<Case> {
    let good = good(ed());
    let signature = good.signature();
    let with = |name: &str, change: &dyn Fn(&mut [u8; 64])| {
        let mut changed = signature;
        change(&mut changed);
        good.case_with(name, changed, WRONG)
    };
    // Made with the right secret, so that only its R is wrong: it holds for verifiers that multiply by 8.
    let torsion = (1..8).map(|n| {
        let name = format!("EdDSA signature whose R has a torsion component of {n} eighths");
        good.case_with(&name, signed_with_r(|r| r + EIGHT_TORSION[n]), WRONG)
    });
    // It holds for verifiers that do not look at the order of R; nobody's signing makes it.
    let small = good.case_with(
        "EdDSA signature whose R is the identity, for which S was made",
        signed_with_r(|_| EIGHT_TORSION[0]),
        WRONG,
    );
    let small = small.with("signature_holds_loosely", true);
    let order_8 = good.case_with(
        "EdDSA signature whose R has order 8, for which S was made",
        signed_with_r(|_| EIGHT_TORSION[1]),
        WRONG,
    );
    let mut cases: Vec<Case> = torsion.collect();
    cases.extend([
        small,
        order_8,
        with("EdDSA signature with the sign of R changed", &|bytes| bytes[31] ^= 0x80),
        with("EdDSA signature with the highest bit of S set", &|bytes| bytes[63] |= 0x80),
        with("EdDSA signature with S = 0", &|bytes| bytes[32..].fill(0)),
        with("EdDSA signature whose R is no point", &|bytes| {
            bytes[..32].fill(0);
            bytes[0] = 2;
        }),
        with("EdDSA signature whose R is not canonical", &|bytes| {
            bytes[..32].fill(0xff);
            (bytes[0], bytes[31]) = (0xf0, 0x7f);
        }),
        with("EdDSA signature with R and S swapped", &|bytes| bytes.rotate_left(32)),
        with("EdDSA signature with its bytes backwards", &|bytes| bytes.reverse()),
    ]);
    cases
}

fn es256() -> Vec<Case> {
    let good = good(es());
    let signature = good.signature();
    let with = |name: &str, change: &dyn Fn(&mut [u8; 64])| {
        let mut changed = signature;
        change(&mut changed);
        good.case_with(name, changed, WRONG)
    };
    let other = Jws::new(es(), payload_with("seq", 8.into()));
    vec![
        good.case_with("ES256 signature of another payload", other.signature(), WRONG),
        with("ES256 signature with r = 0", &|bytes| bytes[..32].fill(0)),
        with("ES256 signature with r = n", &|bytes| bytes[..32].copy_from_slice(&p256_order())),
        with("ES256 signature with r = n + 1", &|bytes| {
            bytes[..32].copy_from_slice(&p256_order());
            bytes[31] += 1;
        }),
        with("ES256 signature with r and s of all ones", &|bytes| bytes.fill(0xff)),
        with("ES256 signature with r = s = 1", &|bytes| {
            bytes.fill(0);
            (bytes[31], bytes[63]) = (1, 1);
        }),
        with("ES256 signature with r and s little-endian", &|bytes| {
            bytes[..32].reverse();
            bytes[32..].reverse();
        }),
        with("ES256 signature with the last bit of s changed", &|bytes| bytes[63] ^= 1),
        with("ES256 signature with r = s", &|bytes| bytes.copy_within(..32, 32)),
    ]
}

/// What is wrong with both in the same way.
fn both() -> Vec<Case> {
    let malformed = "sig_malformed";
    let each = [ed as fn() -> SigningKey, es].into_iter().flat_map(|key| {
        let (good, alg) = (good(key()), super::case::alg(&key()));
        let signature = good.signature();
        let (input, encoded) = (good.signing_input(), b64(signature));
        let other = if alg == "ES256" { "EdDSA" } else { "ES256" };
        let id = key().id().to_string();
        let named_other = good.header.replace(&id, &stranger().id().to_string());
        let wrong_name = Jws::new(key(), payload().to_string()).header(named_other);
        let typ = TYP.replace("cmd", "quote");
        vec![
            good.case_with(&format!("{alg} signature of 32 bytes"), &signature[..32], malformed),
            good.case_with(&format!("{alg} signature twice"), [signature, signature].concat(), malformed),
            Case::text(
                &format!("{alg} signature with a space in it"),
                format!("{input}.{} {}", &encoded[..40], &encoded[40..]),
                malformed,
            ),
            Case::text(
                &format!("{alg} signature with a line end in it"),
                format!("{input}.{}\n{}", &encoded[..40], &encoded[40..]),
                malformed,
            ),
            good.clone_with(header_of(other, &id, TYP)).case_with(
                &format!("{alg} signature, the header says {other}"),
                signature,
                "alg_mismatch",
            ),
            good.clone_with(header_of(alg, &id, &typ))
                .case(&format!("{alg}: typ of a quote, rightly signed"), malformed),
            wrong_name.case(&format!("{alg}: the key id of a stranger"), "kid_unknown"),
            good.case_with(
                &format!("{alg} signature of zeros but its last byte"),
                std::array::from_fn::<u8, 64, _>(|at| u8::from(at == 63)),
                WRONG,
            ),
        ]
    });
    each.collect()
}

/// Keys of which some signature is good for every message, and other spellings of such.
fn weak_keys() -> Vec<Case> {
    let canonical = EIGHT_TORSION.iter().map(|point| point.compress().to_bytes());
    let bytes = |first: u8, last: u8| {
        let mut bytes = [0xff; 32];
        (bytes[0], bytes[31]) = (first, last);
        bytes
    };
    let mut negative_identity = [0; 32];
    (negative_identity[0], negative_identity[31]) = (1, 0x80);
    let others = [
        negative_identity,
        bytes(0xec, 0xff),
        bytes(0xed, 0x7f),
        bytes(0xed, 0xff),
        bytes(0xee, 0x7f),
        bytes(0xee, 0xff),
        // p + 3 is no weak key, but a second spelling of a good one.
        bytes(0xf0, 0x7f),
    ];
    let weak = canonical.chain(others).map(|y| {
        let key = json!({"kty": "OKP", "crv": "Ed25519", "x": b64(y)});
        let body = json!({"account": ACCOUNT, "device": DEVICE, "key": key});
        let name = format!("a device with the key {}", hex::encode(y));
        Jws::new(ed(), payload_of("device.register", body).to_string()).case(&name, "body_invalid")
    });
    weak.collect()
}
