//! Events and their metadata, as a log or a broker gives them.

use std::collections::BTreeMap;

use events::metadata::Metadata;
use events::{Event, wire};
use serde_json::Value;

/// The first two bytes choose the type. A payload is refused, or it is an event that is read again from what it is written as.
pub(super) fn event(input: &[u8]) {
    let Some((which, payload)) = input.split_first_chunk::<2>() else { return };
    let types: Vec<&str> = Event::TYPES.iter().chain(Event::OLDER_TYPES).copied().collect();
    let type_name = types[usize::from(u16::from_be_bytes(*which)) % types.len()];
    let Ok(event) = Event::decode(type_name, payload) else { return };
    let written = event.encode();
    let again = Event::decode(event.type_name(), &written).expect("what was written is read");
    assert_eq!(again, event);
    assert_eq!(again.encode(), written);
    // What readers ask of every event.
    let _ = (event.subject(), event.transfers(), event.registered_key(), event.order_end());
    assert!(Event::decode("no.event.v1", payload).is_err());
}

/// Metadata is refused, or it is read again from what it is written as.
pub(super) fn metadata(json: &[u8]) {
    let Ok(metadata) = serde_json::from_slice::<Metadata>(json) else { return };
    let written = serde_json::to_vec(&metadata).expect("metadata holds nothing that JSON can't say");
    let again: Metadata = serde_json::from_slice(&written).expect("what was written is read");
    assert_eq!(again, metadata);
}

/// Each line is a header, `name: value`. Headers are refused, or what they say can be said in headers again.
pub(super) fn headers(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let headers: BTreeMap<&str, &str> = text.lines().filter_map(|line| line.split_once(": ")).collect();
    let Ok(metadata) = wire::from_headers(|name| headers.get(name).copied()) else { return };
    let written = wire::to_headers(&metadata);
    let get =
        |name: &str| written.iter().find(|(header, _)| *header == name).map(|(_, value)| value.as_str());
    let again = wire::from_headers(get).expect("what was written is read");
    assert_eq!(again, metadata);
    // What stands in JSON beside the chain's hash must be one thing, too.
    let json = serde_json::to_vec(&metadata).expect("metadata holds nothing that JSON can't say");
    assert!(serde_json::from_slice::<Metadata>(&json).is_ok_and(|read| read == metadata));
}

/// The samples that must be read for ever: each with its type, its metadata and its payload.
fn sampled() -> impl Iterator<Item = (String, Value, Value)> {
    super::files("schemas/samples").into_iter().filter_map(|(name, bytes)| {
        let mut sample: Value = serde_json::from_slice(&bytes).ok()?;
        Some((name, sample["metadata"].take(), sample["payload"].take()))
    })
}

/// A sample of each event, behind its type.
pub(super) fn samples() -> Vec<Vec<u8>> {
    let types: Vec<&str> = Event::TYPES.iter().chain(Event::OLDER_TYPES).copied().collect();
    let samples = sampled().filter_map(|(name, _, payload)| {
        let which = types.iter().position(|known| name.starts_with(&format!("{known}.")))?;
        Some([&(which as u16).to_be_bytes(), payload.to_string().as_bytes()].concat())
    });
    samples.collect()
}

const COMMAND: &str = r#"{"account":"0190b5a0-7c00-7000-8000-0000000000a1","command":"0190b5a0-7c00-7000-8000-000000000001","device":"0190b5a0-7c00-7000-8000-0000000000d1","fingerprint":"6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b","key":"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE","name":"cart.add","nonce":"AAECAwQFBgcICQoLDA0ODw","seq":7,"signed":"a.b.c"}"#;
const PREVIOUS: &str = "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b";

/// Metadata of each kind of cause, and of an event that is not the first of its commit.
pub(super) fn metadata_seeds() -> Vec<Vec<u8>> {
    let kinds = [
        "ship_by",
        "delivery_due",
        "payment_expires",
        "cart_idle",
        "payout_due",
        "reserve_due",
        "return_due",
    ];
    let id = "0190b5a0-7c00-7000-8000-0000000000b1";
    let deadlines = kinds.map(|kind| {
        let what = match kind {
            "payment_expires" => "payment",
            "cart_idle" | "reserve_due" => "account",
            "payout_due" => "payout",
            _ => "order",
        };
        format!(r#"{{"deadline":{{"due":1753783200000,"kind":"{kind}","{what}":"{id}"}}}}"#)
    });
    let causes = [format!(r#"{{"command":{COMMAND}}}"#), format!(r#"{{"writer":"{id}"}}"#)];
    let with_start = causes.into_iter().chain(deadlines).map(|cause| {
        format!(
            r#"{{"commit":"{id}","count":2,"index":0,"market":"main","start":{{"cause":{cause},"previous":"{PREVIOUS}"}},"subject":"{id}","time":1753783200000,"type":"cart.cleared.v1"}}"#
        )
    });
    let later = format!(
        r#"{{"commit":"{id}","count":2,"index":1,"market":"main","time":1753783200000,"type":"cart.cleared.v1"}}"#
    );
    let samples = sampled().map(|(_, metadata, _)| metadata.to_string());
    with_start.chain([later]).chain(samples).map(String::into_bytes).collect()
}

/// The same metadata as headers.
pub(super) fn header_seeds() -> Vec<Vec<u8>> {
    let all = metadata_seeds().into_iter().filter_map(|json| {
        let metadata: Metadata = serde_json::from_slice(&json).ok()?;
        let lines = wire::to_headers(&metadata).into_iter().map(|(name, value)| format!("{name}: {value}\n"));
        Some(lines.collect::<String>().into_bytes())
    });
    all.collect()
}
