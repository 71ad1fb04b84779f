//! `skylink verify` on logs that were damaged, or rewritten by somebody who knows the format.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop where it is")]

mod common;

use std::fs;
use std::sync::Arc;

use commands::checkpoint::Checkpoint;
use common::{Cli, segment, sold};
use engine::keystore::KeyStore;
use engine::log::segment::format::{
    GROUP_HEADER_BYTES, GroupHeader, SEGMENT_HEADER_BYTES, check_group, decode_body, encode_group,
};
use events::commit::Stored;
use events::metadata::{Cause, Metadata};
use events::{Commit, Hash};

/// How far a forger goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Skill {
    /// New sums.
    Sums,
    /// New sums, and every later commit chained anew.
    SumsAndChain,
}

/// Rewrites one event of a log: `change` may alter each, and says whether it did.
fn forge(cli: &Cli, skill: Skill, change: impl FnMut(&mut Metadata, &mut String) -> bool) {
    assert_eq!(rewrite(cli, skill, change), 1, "the forgery changes one event");
}

/// Rewrites a log, and gives how many events were altered.
fn rewrite(cli: &Cli, skill: Skill, mut change: impl FnMut(&mut Metadata, &mut String) -> bool) -> usize {
    let path = segment(&cli.path("data"));
    let bytes = fs::read(&path).unwrap();
    let (mut forged, mut rest) = (bytes[..SEGMENT_HEADER_BYTES].to_vec(), &bytes[SEGMENT_HEADER_BYTES..]);
    let (mut previous, mut changes) = (Hash::ZERO, 0);
    while !rest.is_empty() {
        let header = GroupHeader::decode(rest).unwrap();
        let (group, after) = rest.split_at(header.group_bytes() as usize);
        let body = check_group(&header, &group[GROUP_HEADER_BYTES..]).unwrap();
        let mut commits = Vec::new();
        for commit in decode_body(&header, body, 0).unwrap() {
            let mut events = Vec::new();
            for stored in commit.events {
                let mut metadata: Metadata = serde_json::from_slice(&stored.metadata_json).unwrap();
                let mut payload = String::from_utf8(stored.payload_json).unwrap();
                changes += usize::from(change(&mut metadata, &mut payload));
                if let Some(start) = &mut metadata.start
                    && skill == Skill::SumsAndChain
                {
                    start.previous = previous;
                }
                let metadata_json = serde_json::to_vec(&metadata).unwrap();
                events.push(Stored { metadata_json, payload_json: payload.into_bytes() });
            }
            let commit = Commit::from_stored(commit.first, events).unwrap();
            previous = commit.head().hash;
            commits.push(Arc::new(commit));
        }
        let mut group = Vec::new();
        encode_group(&commits, &mut group);
        forged.extend(group);
        rest = after;
    }
    fs::write(&path, forged).unwrap();
    // A careful forger lets nothing lie around that has seen the true log.
    for derived in ["index", "views", "snapshots", "tree"] {
        match fs::remove_dir_all(cli.path("data").join(derived)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            removed => removed.unwrap(),
        }
    }
    changes
}

/// Changes one text in the first event of a type.
fn in_payload(type_name: &str, from: &str, to: &str) -> impl FnMut(&mut Metadata, &mut String) -> bool {
    let (type_name, from, to) = (type_name.to_owned(), from.to_owned(), to.to_owned());
    let mut is_done = false;
    move |metadata, payload| {
        let hits = !is_done && metadata.type_name == type_name && payload.contains(&from);
        if hits {
            *payload = payload.replace(&from, &to);
            is_done = true;
        }
        hits
    }
}

#[test]
fn a_flipped_byte_is_found_and_its_offset_named() {
    let cli = Cli::new();
    sold(&cli);
    let path = segment(&cli.path("data"));
    let good = fs::read(&path).unwrap();
    // The groups' offsets, found as the format says.
    let mut offsets = vec![SEGMENT_HEADER_BYTES];
    while *offsets.last().unwrap() < good.len() {
        let at = *offsets.last().unwrap();
        offsets.push(at + GroupHeader::decode(&good[at..]).unwrap().group_bytes() as usize);
    }
    let group = offsets.len() / 2;
    for at in [offsets[group] + 20, offsets[group] + GROUP_HEADER_BYTES + 100, offsets[group + 1] - 2] {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        fs::write(&path, bad).unwrap();
        let (_, said) = cli.ends(1, &["verify"]);
        assert!(said.contains(&format!("at byte {}", offsets[group])), "byte {at}: {said}");
        let (shown, _) = cli.ends(1, &["verify", "--json"]);
        let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(shown["verified"], false);
    }
    fs::write(&path, good).unwrap();
    cli.ok(&["verify"]);
}

#[test]
fn a_commit_rewritten_with_a_good_sum_breaks_the_chain() {
    let cli = Cli::new();
    sold(&cli);
    // What nobody signed and no decision depends on; only the chain holds it.
    let mut is_done = false;
    forge(&cli, Skill::Sums, |metadata, _| {
        let start = metadata.start.as_mut().filter(|_| metadata.type_name == "order.placed.v1" && !is_done);
        let Some(start) = start else { return false };
        start.traceparent = Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned());
        is_done = true;
        true
    });
    let (_, said) = cli.ends(1, &["verify"]);
    assert!(said.contains("but the log before it ends with"), "{said}");
}

#[test]
fn an_event_rewritten_with_a_good_chain_is_found_by_deciding_again() {
    let cli = Cli::new();
    let sold = sold(&cli);
    forge(&cli, Skill::SumsAndChain, in_payload("wallet.funded.v1", r#""minor":5000"#, r#""minor":9000"#));
    let (_, said) = cli.ends(1, &["verify"]);
    assert!(said.contains("decided again, it gives other events"), "{said}");
    assert!(said.contains(r#""minor":5000"#) && said.contains(r#""minor":9000"#), "{said}");
    assert!(said.contains("position 16 in the group at byte "), "{said}");
    // Nor is it fed on or shown as the truth.
    let (_, said) = cli.ends(1, &["replay", "--into", "copy"]);
    assert!(said.contains("Written up to position 15"), "{said}");
    let show = format!("account:{}", sold.buyer);
    cli.ends(1, &["replay", "--at", "20", "--show", &show]);
}

#[test]
fn metadata_that_says_something_else_than_was_signed_is_found() {
    for (field, change) in [
        ("seq", (|stamp| stamp.seq += 1) as fn(&mut events::metadata::CommandStamp)),
        ("nonce", |stamp| stamp.nonce.0[0] ^= 1),
        ("fingerprint", |stamp| stamp.fingerprint = Hash::ZERO),
    ] {
        let cli = Cli::new();
        sold(&cli);
        forge(&cli, Skill::SumsAndChain, |metadata, _| {
            let is_order = metadata.type_name == "order.shipped.v2";
            if let Some(start) = metadata.start.as_mut().filter(|_| is_order)
                && let Cause::Command(stamp) = &mut start.cause
            {
                change(stamp);
                return true;
            }
            false
        });
        let (_, said) = cli.ends(1, &["verify"]);
        assert!(said.contains(&format!("differ in `{field}`")), "{field}: {said}");
    }
}

#[test]
fn what_no_market_writes_is_found() {
    type Change = fn(&mut Metadata, &mut String);
    let cases: &[(&str, Change, &str)] = &[
        (
            "order.shipped.v2",
            |_, payload| payload.insert_str(1, r#""note":"x","#),
            "payload of the event at position",
        ),
        ("order.shipped.v2", |_, payload| payload.insert(1, ' '), "payload of the event at position"),
        ("wallet.funded.v1", |metadata, _| metadata.time = metadata.time.plus_ms(1), "its id is not the one"),
        ("escrow.held.v1", |metadata, _| metadata.time = metadata.time.plus_ms(1), "different times"),
        (
            "order.shipped.v2",
            |metadata, _| metadata.time = metadata.time.plus_ms(-60_000),
            "before that of the commit",
        ),
        ("order.shipped.v2", |metadata, _| metadata.subject = None, "another subject"),
        ("order.shipped.v2", |metadata, _| metadata.market = "other".parse().unwrap(), "another market"),
        (
            "market.opened.v1",
            |_, payload| *payload = payload.replace("\"main\"", "\"other\""),
            "opens another market",
        ),
    ];
    let cli = Cli::new();
    sold(&cli);
    let path = segment(&cli.path("data"));
    let good = fs::read(&path).unwrap();
    for (type_name, change, expected) in cases {
        fs::write(&path, &good).unwrap();
        let mut is_done = false;
        forge(&cli, Skill::SumsAndChain, |metadata, payload| {
            let hits = !is_done && metadata.type_name == *type_name;
            if hits {
                change(metadata, payload);
                is_done = true;
            }
            hits
        });
        let (_, said) = cli.ends(1, &["verify"]);
        assert!(said.contains(expected), "{type_name}, {expected}: {said}");
    }
}

/// Puts an event into the form it had when orders were shipped, paid and paid back whole.
fn into_first_version(metadata: &mut Metadata, payload: &mut String) -> bool {
    let Some(unversioned) = metadata.type_name.strip_suffix(".v2") else { return false };
    metadata.type_name = format!("{unversioned}.v1");
    let mut members: serde_json::Map<String, serde_json::Value> = serde_json::from_str(payload).unwrap();
    for member in ["lines", "shipment", "closed_as", "remaining"] {
        members.remove(member);
    }
    *payload = serde_json::to_string(&members).unwrap();
    true
}

#[test]
fn a_log_of_older_forms_is_verified_as_it_is_stored() {
    let cli = Cli::new();
    let sold = sold(&cli);
    assert_eq!(rewrite(&cli, Skill::SumsAndChain, into_first_version), 3, "shipped, delivered and released");
    let report = cli.json(&["verify", "--json"]);
    assert_eq!((&report["verified"], &report["orders"]), (&true.into(), &2.into()), "{report}");
    let types = cli.ok(&["tail", "--json", "--type", "order.shipped"]);
    assert!(types.contains(r#""type":"order.shipped.v1""#), "{types}");
    cli.ok(&["replay", "--into", "copy"]);
    assert_eq!(cli.json(&["verify", "--json", "--data", "copy"])["head"], report["head"]);
    let show = format!("order:{}", sold.order);
    let end = report["head"]["position"].to_string();
    let order = cli.json(&["replay", "--at", &end, "--show", &show]);
    assert_eq!(order["state"]["state"], "completed");
    // An older form that says something else is no better than a present one.
    let forged = in_payload("order.shipped.v1", r#""delivery_due":1"#, r#""delivery_due":2"#);
    forge(&cli, Skill::SumsAndChain, forged);
    let (_, said) = cli.ends(1, &["verify"]);
    assert!(said.contains("decided again, it gives other events"), "{said}");
}

/// Takes from an order what orders did not have at first.
fn without_number(metadata: &Metadata, payload: &mut String) -> bool {
    if metadata.type_name != "order.placed.v1" {
        return false;
    }
    let mut members: serde_json::Map<String, serde_json::Value> = serde_json::from_str(payload).unwrap();
    let had = [members.remove("group"), members.remove("number")];
    *payload = serde_json::to_string(&members).unwrap();
    assert!(had.iter().all(Option::is_some), "{payload}");
    true
}

#[test]
fn orders_have_no_numbers_only_before_the_first_that_has_one() {
    let cli = Cli::new();
    sold(&cli);
    let good = fs::read(segment(&cli.path("data"))).unwrap();
    assert_eq!(rewrite(&cli, Skill::SumsAndChain, |metadata, payload| without_number(metadata, payload)), 2);
    assert_eq!(cli.json(&["verify", "--json"])["orders"], 2);
    fs::write(segment(&cli.path("data")), good).unwrap();
    let mut orders = 0;
    forge(&cli, Skill::SumsAndChain, |metadata, payload| {
        orders += usize::from(metadata.type_name == "order.placed.v1");
        orders == 2 && without_number(metadata, payload)
    });
    let (_, said) = cli.ends(1, &["verify"]);
    assert!(said.contains("decided again, it gives other events"), "{said}");
}

#[test]
fn a_signature_that_does_not_hold_is_found() {
    let cli = Cli::new();
    sold(&cli);
    forge(&cli, Skill::SumsAndChain, |metadata, _| {
        let is_order = metadata.type_name == "order.shipped.v2";
        if let Some(start) = metadata.start.as_mut().filter(|_| is_order)
            && let Cause::Command(stamp) = &mut start.cause
        {
            // In the middle of the signature, where every bit counts.
            let at = stamp.signed.len() - 40;
            let other = if stamp.signed.as_bytes()[at] == b'A' { "B" } else { "A" };
            stamp.signed.replace_range(at..=at, other);
            return true;
        }
        false
    });
    let (_, said) = cli.ends(1, &["verify"]);
    assert!(said.contains("the signature is wrong"), "{said}");
}

#[test]
fn a_log_that_was_cut_is_found_by_what_has_seen_more() {
    let cli = Cli::new();
    sold(&cli);
    let path = segment(&cli.path("data"));
    let good = fs::read(&path).unwrap();
    let mut offsets = vec![SEGMENT_HEADER_BYTES];
    while *offsets.last().unwrap() < good.len() {
        let at = *offsets.last().unwrap();
        offsets.push(at + GroupHeader::decode(&good[at..]).unwrap().group_bytes() as usize);
    }
    fs::write(&path, &good[..offsets[offsets.len() - 2]]).unwrap();
    let (_, said) = cli.ends(1, &["verify"]);
    assert!(said.contains("the log was truncated"), "{said}");
}

/// Signs the tree over the log as the market does, and keeps the checkpoint in a file.
fn keep_checkpoint(cli: &Cli, file: &str) {
    let (head, root) = engine::tree::saved(&cli.path("data/tree")).unwrap().unwrap();
    let key = KeyStore::open(&cli.path("data/keys")).unwrap().get("market").unwrap().signing();
    let checkpoint = Checkpoint { market: "main".parse().unwrap(), head, root };
    fs::write(cli.path(file), checkpoint.sign(&key).unwrap()).unwrap();
}

#[test]
fn a_log_that_was_rewritten_as_a_whole_is_found_by_a_checkpoint_that_somebody_kept() {
    let cli = Cli::new();
    sold(&cli);
    keep_checkpoint(&cli, "kept");
    let said = cli.ok(&["verify", "--checkpoint", "kept"]);
    assert!(said.contains("tree") && said.contains("signed checkpoint kept"), "{said}");
    let at = fs::read_to_string(cli.path("kept")).unwrap();
    // Another number of events than was signed.
    fs::write(cli.path("other"), at.replacen("\n", "\n1", 1)).unwrap();
    let (_, said) = cli.ends(1, &["verify", "--checkpoint", "other"]);
    assert!(said.contains("the market's signature under the checkpoint is wrong"), "{said}");
    // What the market itself could do, who has all keys: decide the same otherwise, without a trace in the log.
    assert_eq!(rewrite(&cli, Skill::SumsAndChain, into_first_version), 3);
    assert_eq!(cli.json(&["verify", "--json"])["verified"], true);
    let (_, said) = cli.ends(1, &["verify", "--checkpoint", "kept"]);
    assert!(said.contains("signed checkpoint kept was made from another log"), "{said}");
}

#[test]
fn a_log_that_can_not_be_read_is_not_called_wrong() {
    let cli = Cli::new();
    fs::create_dir_all(cli.path("data/segments")).unwrap();
    let (_, said) = cli.ends(2, &["verify"]);
    assert!(said.contains("no log can be read in ./data"), "{said}");
}
