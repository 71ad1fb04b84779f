//! Checks who sent a message to a webhook: the `Stripe-Signature` header, `t=<seconds>,v1=<hex>[,v1=<hex>…]`, is an
//! HMAC-SHA256 over `<seconds>.<body>` with the address's secret. While a secret is replaced, there are two.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use events::Timestamp;

use crate::providers::WebhookError;

/// How far from now a message may have been signed, in seconds: what is older may be a replay.
pub(crate) const TOLERANCE_S: i64 = 300;
/// Most signatures of one message that are looked at.
const SIGNATURES_MAX: usize = 8;

/// Checks a signature header against the bytes it was made for.
pub(crate) fn check(header: &str, body: &[u8], secret: &str, now: Timestamp) -> Result<(), WebhookError> {
    let pairs = header.split(',').filter_map(|part| part.trim().split_once('='));
    let mut signed_at = None;
    let mut signatures = Vec::new();
    for (name, value) in pairs {
        match name {
            "t" if signed_at.is_none() => {
                signed_at = value.parse::<i64>().ok().map(|seconds| (value, seconds))
            }
            "v1" if signatures.len() < SIGNATURES_MAX => signatures.push(value),
            _ => {}
        }
    }
    let (text, signed_at) = signed_at.ok_or(WebhookError::Signature)?;
    // The time and the signature as they are written, so that there is one spelling of each.
    let expected = signature(text, body, secret);
    let is_signed = |found: &&str| verify_slices_are_equal(found.as_bytes(), expected.as_bytes()).is_ok();
    if !signatures.iter().any(is_signed) {
        return Err(WebhookError::Signature);
    }
    // Only now: whoever can't sign learns nothing of the clock.
    if now.ms().div_euclid(1000).abs_diff(signed_at) > TOLERANCE_S.unsigned_abs() {
        return Err(WebhookError::Time(TOLERANCE_S));
    }
    Ok(())
}

/// Signs a message as [`check`] wants it.
pub(crate) fn sign(body: &[u8], secret: &str, now: Timestamp) -> String {
    let signed_at = now.ms().div_euclid(1000).to_string();
    format!("t={signed_at},v1={}", signature(&signed_at, body, secret))
}

/// Computes the signature of a message, in hexadecimal.
fn signature(signed_at: &str, body: &[u8], secret: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let message = [signed_at.as_bytes(), b".", body].concat();
    hex::encode(hmac::sign(&key, &message).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_ms(1_753_783_200_999);
    const BODY: &[u8] = br#"{"id":"evt_1"}"#;

    #[test]
    fn a_signature_made_elsewhere_holds() {
        // Made with: printf '1753783200.{"id":"evt_1"}' | openssl dgst -sha256 -hmac whsec_test
        let header = format!("t=1753783200,v1={SIGNED_BY_OPENSSL}");
        assert_eq!(check(&header, BODY, "whsec_test", NOW), Ok(()));
        assert_eq!(sign(BODY, "whsec_test", NOW), header);
    }

    const SIGNED_BY_OPENSSL: &str = "ce3c70567989c01f1fe434e96b0a373127c0172b5bbc81859f55dc33fed272c5";

    #[test]
    fn one_of_several_signatures_is_enough_and_other_schemes_do_not_count() {
        let good = sign(BODY, "new", NOW);
        let (time, good) = good.split_once(',').unwrap();
        let other = "00".repeat(32);
        for header in [
            format!("{time},v1={other},{good}"),
            format!("{time},{good},v1={other}"),
            format!("{time}, {good}, v0={other}"),
        ] {
            assert_eq!(check(&header, BODY, "new", NOW), Ok(()), "{header}");
        }
        let as_v0 = format!("{time},{}", good.replace("v1=", "v0="));
        let digits = good.trim_start_matches("v1=");
        let in_capitals = format!("{time},v1={}", digits.to_uppercase());
        let with_sign = format!("{},{good}", time.replace("t=", "t=+"));
        for header in [
            as_v0,
            in_capitals,
            with_sign,
            format!("{time},v1={other}"),
            good.to_owned(),
            time.to_owned(),
            String::new(),
        ] {
            assert_eq!(check(&header, BODY, "new", NOW), Err(WebhookError::Signature), "{header}");
        }
        let signed = sign(BODY, "new", NOW);
        assert_eq!(check(&signed, BODY, "old", NOW), Err(WebhookError::Signature));
        assert_eq!(check(&signed, b"{}", "new", NOW), Err(WebhookError::Signature));
    }

    #[test]
    fn what_was_signed_too_long_ago_or_in_the_future_is_refused() {
        for (seconds, holds) in [(300, true), (-300, true), (301, false), (-301, false)] {
            let signed = sign(BODY, "new", NOW.plus_ms(seconds * 1000));
            let outcome = check(&signed, BODY, "new", NOW);
            assert_eq!(outcome.is_ok(), holds, "{seconds}");
            assert!(holds || outcome == Err(WebhookError::Time(TOLERANCE_S)));
        }
    }
}
