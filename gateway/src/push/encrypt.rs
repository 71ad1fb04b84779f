//! Encrypts a message so that only one browser can read it: Message Encryption for Web Push (RFC 8291), in the content coding `aes128gcm`
//! (RFC 8188). The primitives are those of the cryptography library that is here anyway.

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{ECDH_P256, PrivateKey, UnparsedPublicKey, agree};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use commands::personal::PushTarget;

/// The size of the one record that a message is: what push services take at least.
const RECORD_BYTES: u32 = 4_096;
/// What marks the last record (RFC 8188).
const LAST_RECORD: u8 = 2;
const SALT_BYTES: usize = 16;

/// How many bytes are derived.
struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn expand<const N: usize>(prk: &Prk, info: &[&[u8]]) -> Result<[u8; N], Unspecified> {
    let mut bytes = [0; N];
    prk.expand(info, Length(N))?.fill(&mut bytes)?;
    Ok(bytes)
}

/// Encrypts a text of at most 3,000 bytes. Fails if the browser's key is none.
pub(super) fn encrypt(target: &PushTarget, text: &[u8]) -> Result<Vec<u8>, Unspecified> {
    encrypt_with(target, text, &PrivateKey::generate(&ECDH_P256)?, rand::random())
}

fn encrypt_with(
    target: &PushTarget,
    text: &[u8],
    own: &PrivateKey,
    salt: [u8; SALT_BYTES],
) -> Result<Vec<u8>, Unspecified> {
    let public = own.compute_public_key()?;
    let public: &[u8] = public.as_ref();
    let theirs = UnparsedPublicKey::new(&ECDH_P256, &target.p256dh);
    // What both know, bound to the secret that the browser told with its key, and to both keys.
    let prk =
        agree(own, theirs, Unspecified, |shared| Ok(Salt::new(HKDF_SHA256, &target.auth).extract(shared)))?;
    let keying: [u8; 32] = expand(&prk, &[b"WebPush: info\0", &target.p256dh, public])?;
    let prk = Salt::new(HKDF_SHA256, &salt).extract(&keying);
    let key: [u8; 16] = expand(&prk, &[b"Content-Encoding: aes128gcm\0"])?;
    let nonce: [u8; 12] = expand(&prk, &[b"Content-Encoding: nonce\0"])?;
    let mut record = [text, &[LAST_RECORD]].concat();
    let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key)?);
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut record)?;
    let public_bytes = u8::try_from(public.len()).map_err(|_| Unspecified)?;
    Ok([&salt[..], &RECORD_BYTES.to_be_bytes(), &[public_bytes], public, &record].concat())
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    fn bytes<const N: usize>(text: &str) -> [u8; N] {
        URL_SAFE_NO_PAD.decode(text).unwrap().try_into().unwrap()
    }

    /// The example of RFC 8291, section 5.
    #[test]
    fn a_message_is_encrypted_as_the_standard_shows() {
        let target = PushTarget {
            endpoint: "https://push.example.net/push/JzLQ3raZJfFBR0aqvOMsLrt54w4rJUsV".to_owned(),
            p256dh: bytes(
                "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
            ),
            auth: bytes("BTBZMqHH6r4Tts7J_aSIgg"),
        };
        let own: [u8; 32] = bytes("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw");
        let own = PrivateKey::from_private_key(&ECDH_P256, &own).unwrap();
        let text = b"When I grow up, I want to be a watermelon";
        let encrypted = encrypt_with(&target, text, &own, bytes("DGv6ra1nlYgDCS1FRnbzlw")).unwrap();
        let expected = concat!(
            "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27ml",
            "mlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPT",
            "pK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN",
        );
        assert_eq!(URL_SAFE_NO_PAD.encode(encrypted), expected);
        // Each message has a key and a salt of its own, and what is no point of the curve no message.
        assert_ne!(encrypt(&target, text).unwrap(), encrypt(&target, text).unwrap());
        assert!(encrypt(&PushTarget { p256dh: [4; 65], ..target }, text).is_err());
    }
}
