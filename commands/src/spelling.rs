//! One spelling for each wish. Two spellings of one wish would have two fingerprints, and a retry in the other one
//! would be a conflict; so what was signed must be written as this program itself would write what it has read.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Longest rule that is told, in characters: part of it may be what the client wrote.
const RULE_LENGTH_MAX: usize = 200;

/// Reads a value and checks its spelling. The error is the rule that is broken, with the place.
pub(crate) fn read<T: DeserializeOwned + Serialize>(given: &Value) -> Result<T, String> {
    let read = T::deserialize(given).map_err(|error| shortened(&error.to_string()))?;
    let written = serde_json::to_value(&read).expect("what was read from JSON can be written as JSON");
    match difference(given, &written, "") {
        None => Ok(read),
        Some(rule) => Err(shortened(&rule)),
    }
}

/// Finds the first place where `given` is spelled otherwise than `written`, and says how it must be spelled.
fn difference(given: &Value, written: &Value, place: &str) -> Option<String> {
    if given == written {
        return None;
    }
    match (given, written) {
        (Value::Object(given), Value::Object(written)) => {
            let dot = if place.is_empty() { "" } else { "." };
            let mut members =
                given.iter().map(|(name, member)| (format!("{place}{dot}{name}"), name, member));
            members.find_map(|(place, name, member)| match written.get(name) {
                Some(written) => difference(member, written, &place),
                None => Some(format!("`{place}` says nothing: leave it out")),
            })
        }
        (Value::Array(given), Value::Array(written)) if given.len() == written.len() => {
            let mut pairs = given.iter().zip(written).enumerate();
            pairs.find_map(|(at, (given, written))| difference(given, written, &format!("{place}[{at}]")))
        }
        _ => None,
    }
    .or_else(|| {
        let place = if place.is_empty() { String::new() } else { format!("`{place}` ") };
        Some(format!("{place}must be spelled {written}"))
    })
}

fn shortened(rule: &str) -> String {
    match rule.char_indices().nth(RULE_LENGTH_MAX) {
        None => rule.to_owned(),
        Some((end, _)) => format!("{}…", &rule[..end]),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::Command;
    use crate::refusal::Refusal;

    const ID: &str = "0190b5a0-7c00-7000-8000-0000000000c1";

    /// A good body of each command, with everything that may be left out.
    fn bodies() -> Vec<(&'static str, Value)> {
        let total = json!({"minor": 9999, "currency": "USD"});
        let key = json!({"crv": "Ed25519", "kty": "OKP", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
        let scope = json!({"commands": ["cart.*", "order.place"], "max_minor": {"USD": 5000}});
        let hash = "a".repeat(64);
        let limits = json!({"max": 9, "min": 2});
        let line = json!({"listing": ID, "quantity": 2, "quote": "a.b.c"});
        let part = json!({"listing": ID, "quantity": 2});
        let lines = json!([line, part]);
        let sealed = json!({"hash": hash, "key": "hSDwCYkwp1R0i33ctD73Wg2_Og0mOBr066SpjqqbTmo"});
        let delivery = json!({"methods": {ID: "standard"}, "region": "DE", "sealed_addresses": {ID: sealed}});
        let acts = json!({"kind": "3ds", "reference": "r", "url": "u"});
        vec![
            ("account.register", json!({"account": ID, "roles": ["buyer", "seller"]})),
            (
                "device.register",
                json!({"account": ID, "device": ID, "key": key, "name": "n", "proof": "a.b.c", "scope": scope}),
            ),
            (
                "device.enroll",
                json!({"device": ID, "key": key, "name": "n", "proof": "a.b.c", "scope": scope}),
            ),
            ("device.rename", json!({"device": ID, "name": "n"})),
            ("device.rotate", json!({"key": key, "proof": "a.b.c"})),
            ("device.revoke", json!({"account": ID, "device": ID, "reason": "compromised"})),
            ("device.report_lost", json!({"device": ID})),
            (
                "device.attest",
                json!({
                    "account": ID, "device": ID, "evidence": hash, "format": "android-key", "verdict": "verified",
                }),
            ),
            ("account.set_profile", json!({"fields": {"email": hash, "name": hash, "phone": null}})),
            ("seller.set_encryption_key", json!({"key": "hSDwCYkwp1R0i33ctD73Wg2_Og0mOBr066SpjqqbTmo"})),
            ("account.erase", json!({"account": ID})),
            ("market.rotate_key", json!({"announcement": "a.b.c", "proof": "a.b.d"})),
            ("market.retire_key", json!({"key": "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"})),
            (
                "step_up.set_terms",
                json!({"terms": {
                    "origins": ["https://market.example"], "relying_party": "market.example",
                    "rules": [{
                        "above_minor": {"USD": 10_000}, "commands": ["order.*", "payout.request"],
                        "device_younger_than_ms": 86_400_000,
                    }],
                }}),
            ),
            ("step_up.enroll_passkey", json!({"credential": "bGFtcHMtYW5kLXBlYXJzLTE", "key": key})),
            ("step_up.remove_passkey", json!({"account": ID, "credential": "bGFtcHMtYW5kLXBlYXJzLTE"})),
            ("step_up.enroll_totp", json!({"authenticator": ID})),
            ("step_up.remove_totp", json!({"account": ID, "authenticator": ID})),
            ("step_up.enroll_recovery", json!({"commitments": [hash, hash]})),
            ("step_up.remove_recovery", json!({"account": ID})),
            ("sign_in.set_password", json!({"password": ID})),
            ("sign_in.remove_password", json!({"account": ID})),
            ("sign_in.report_failed", json!({"account": ID, "password": ID})),
            (
                "session.start",
                json!({
                    "account": ID,
                    "nonce": "AAAAAAAAAAIAAAAAAAAAAA",
                    "password": ID,
                    "session": ID,
                    "shown": {"totp": {"authenticator": ID, "step": 58_459_440}},
                    "until": 1_753_783_200_000_i64
                }),
            ),
            ("session.end", json!({"account": ID, "session": ID})),
            (
                "listing.create",
                json!({
                    "final_sale": true, "limits": limits, "listing": ID, "price": total, "restricted": true, "tax_class": "reduced",
                    "title": "T", "variant": {"attributes": {"colour": "red", "size": "L"}, "of": ID},
                }),
            ),
            ("stock.receive", json!({"listing": ID, "location": "berlin-2", "quantity": 1})),
            (
                "listing.update",
                json!({
                    "final_sale": false, "limits": {"max": 9}, "listing": ID, "price": total, "restricted": false,
                    "tax_class": "reduced", "title": "T", "release": {"any_of": ["operator_release", {"min_age": {"ms": 9}}]},
                }),
            ),
            ("listing.pause", json!({"listing": ID})),
            ("listing.resume", json!({"listing": ID})),
            ("listing.withdraw", json!({"listing": ID})),
            (
                "listing.describe",
                json!({
                    "attributes": {"colour": "green"}, "category": "kitchen/tea", "description": "From Uji.", "listing": ID,
                    "tags": ["leaf", "loose"],
                }),
            ),
            ("search.set_synonyms", json!({"groups": [["couch", "sofa"]]})),
            ("listing.block", json!({"listing": ID, "reason": "r"})),
            ("listing.unblock", json!({"listing": ID, "reason": "r"})),
            ("seller.suspend", json!({"account": ID, "reason": "r"})),
            ("seller.reinstate", json!({"account": ID, "reason": "r"})),
            ("account.suspend", json!({"account": ID, "reason": "r"})),
            ("account.reinstate", json!({"account": ID, "reason": "r"})),
            ("account.grant_clearance", json!({"account": ID, "reason": "r"})),
            ("account.revoke_clearance", json!({"account": ID, "reason": "r"})),
            ("account.verify", json!({"account": ID, "tier": 2})),
            ("tax.set", json!({"bps": 1900, "inclusive": false, "region": "DE", "tax_class": "reduced"})),
            (
                "shipping.set",
                json!({
                    "method": "standard", "rate": {"flat": total, "free_from": total, "per_unit": total},
                    "region": "US-CA",
                }),
            ),
            ("shipping.remove", json!({"currency": "USD", "method": "standard", "region": "DE"})),
            (
                "promotion.create",
                json!({
                    "code": "TEA", "from": 1_753_783_200_000_i64, "gives": {"percent": 1000}, "listings": [ID],
                    "min_spend": total, "paid_by": "platform", "title": "T", "until": 1_753_783_200_001_i64, "uses": 9,
                    "uses_per_account": 2,
                }),
            ),
            ("promotion.end", json!({"promotion": ID})),
            ("stock.adjust", json!({"delta": -3, "listing": ID, "location": "a", "reason": "damaged"})),
            ("stock.set_safety", json!({"listing": ID, "location": "a", "units": 2})),
            ("stock.set_backorder_limit", json!({"listing": ID, "units": 0})),
            (
                "stock.expect",
                json!({"due": 1_753_783_200_000_i64, "listing": ID, "location": "a", "quantity": 12}),
            ),
            ("stock.move", json!({"from": "a", "listing": ID, "quantity": 3, "to": "b"})),
            ("wallet.fund", json!({"account": ID, "amount": total, "reference": "r"})),
            ("payment.request", json!({"amount": total, "method": {"provider": ID, "token": "t"}})),
            ("payment.cancel", json!({"payment": ID})),
            ("payment.refund", json!({"amount": total, "payment": ID})),
            ("payment.report", json!({"outcome": {"action_required": acts}, "payment": ID})),
            (
                "chargeback.report",
                json!({
                    "amount": total, "due_by": 7, "fee": total, "network_reason": "4853", "payment": ID,
                    "reason": "item_not_received", "reference": "d", "round": "second", "standing": "under_review",
                    "submissions": 1,
                }),
            ),
            (
                "chargeback.submit_evidence",
                json!({
                    "chargeback": ID,
                    "files": [{
                        "bytes": 9, "hash": "00".repeat(32), "kind": "tracking", "media_type": "image/png", "token": "t",
                    }],
                    "payment": ID, "statement": "s",
                }),
            ),
            ("chargeback.accept", json!({"chargeback": ID, "payment": ID})),
            ("wallet.repay", json!({"amount": total})),
            ("debt.write_off", json!({"account": ID, "amount": total, "reason": "r", "role": "seller"})),
            ("payout.request", json!({"amount": total, "to": {"provider": ID, "token": "t"}})),
            ("payout.report", json!({"outcome": {"paid": {"reference": "r"}}, "payout": ID})),
            (
                "reconciliation.report",
                json!({
                    "breaks": [{
                        "at": 7, "difference": {"amount_differs": {"ours": total, "theirs": {"minor": -1, "currency": "USD"}}},
                        "kind": "payment", "position": 9, "reference": "r",
                    }],
                    "compared_to": 9, "file": "00".repeat(32), "from": 1, "in_flight": 2, "matched": 3, "provider": ID,
                    "totals": [{"fees": total, "ours": total, "theirs": total}], "unlisted": 4, "until": 8,
                }),
            ),
            ("reconciliation.resolve", json!({"number": 7, "reason": "r"})),
            ("cart.add", json!({"listing": ID, "quantity": 1})),
            ("cart.set_quantity", json!({"listing": ID, "owner": ID, "quantity": 1})),
            ("cart.remove", json!({"listing": ID})),
            ("cart.clear", json!({})),
            (
                "cart.migrate",
                json!({
                    "cart": ID, "coupon": "TEA", "delivery": delivery, "payment_method": "wallet",
                    "total": total,
                }),
            ),
            ("cart.save_for_later", json!({"listing": ID})),
            ("cart.move_back", json!({"listing": ID})),
            ("cart.merge", json!({"claim": "a.b.c", "policy": "sum"})),
            ("cart.apply_coupon", json!({"coupon": "TEA"})),
            ("cart.remove_coupon", json!({})),
            ("cart.name", json!({"name": "For the office"})),
            ("cart.share", json!({"cart": ID, "with": ID})),
            ("cart.unshare", json!({"cart": ID, "with": ID})),
            ("cart.leave", json!({"owner": ID})),
            ("cart.freeze", json!({"until": 1_753_786_800_000u64})),
            ("cart.unfreeze", json!({})),
            ("cart.restore", json!({"cart": ID})),
            (
                "order.place",
                json!({
                    "coupon": "TEA", "delivery": delivery, "lines": lines, "payment_method": "wallet",
                    "total": total,
                }),
            ),
            ("order.accept", json!({"order": ID})),
            ("order.decline", json!({"order": ID, "reason": "r"})),
            ("order.pay", json!({"method": {"provider": ID, "token": "t"}, "order": ID})),
            ("order.ready", json!({"order": ID})),
            (
                "order.ship",
                json!({"carrier": "c", "from": "a", "lines": [part], "order": ID, "tracking": "t"}),
            ),
            ("order.confirm_delivery", json!({"order": ID, "shipment": 2})),
            ("order.cancel", json!({"lines": [part], "order": ID, "reason": "r"})),
            ("order.refund", json!({"amount": total, "order": ID, "reason": "r", "shipment": 2})),
            (
                "order.propose_change",
                json!({"lines": [line, part], "max_difference": total, "order": ID, "reason": "r", "region": "DE"}),
            ),
            ("order.accept_change", json!({"change": ID, "max_difference": total, "order": ID})),
            ("order.decline_change", json!({"change": ID, "order": ID, "reason": "r"})),
            ("order.withdraw_change", json!({"change": ID, "order": ID})),
            ("order.hold", json!({"note": "n", "order": ID, "reason": "risk_review"})),
            ("order.unhold", json!({"order": ID})),
            (
                "escrow.freeze",
                json!({"amount": total, "note": "n", "order": ID, "reason": "not_received", "shipment": 2}),
            ),
            ("escrow.unfreeze", json!({"order": ID, "shipment": 2})),
            (
                "escrow.settle",
                json!({"note": "n", "order": ID, "shipment": 2, "to_buyer": total, "to_seller": total}),
            ),
            ("escrow.release", json!({"order": ID, "shipment": 2})),
            ("escrow.setup", json!({"amount": total, "buyer": ID, "order": ID, "seller": ID})),
            ("stock.allow_reservations", json!({"for_ms": 900_000, "listing": ID, "units": 4})),
            ("stock.reserve", json!({"listing": ID, "quantity": 2})),
            ("stock.extend_reservation", json!({"reservation": ID})),
            ("stock.release_reservation", json!({"reservation": ID})),
            ("wallet.exchange", json!({"at_least": total, "from": total, "quote": "q"})),
            ("escrow.sign_milestone", json!({"milestone": 2, "order": ID, "shipment": 2})),
            ("order.clear_risk", json!({"note": "n", "order": ID})),
            (
                "return.request",
                json!({
                    "lines": [{"listing": ID, "quantity": 2}], "note": "n", "order": ID, "reason": "damaged",
                    "shipment": 2,
                }),
            ),
            ("return.approve", json!({"order": ID, "return": 2})),
            ("return.reject", json!({"order": ID, "reason": "r", "return": 2})),
            ("return.appeal", json!({"note": "n", "order": ID, "return": 2})),
            ("return.decide", json!({"decision": {"deduct": total}, "note": "n", "order": ID, "return": 2})),
            ("return.send", json!({"carrier": "c", "order": ID, "return": 2, "tracking": "t"})),
            (
                "return.receive",
                json!({
                    "deduction": total,
                    "lines": [{"damaged": 1, "intact": 2, "listing": ID, "missing": 3, "wrong": 4}],
                    "location": "berlin", "note": "n", "order": ID, "return": 2,
                }),
            ),
            ("return.cancel", json!({"order": ID, "return": 2})),
            (
                "risk.set_rules",
                json!({"rules": {
                    "elevated": "review", "highest": "block",
                    "lists": [{"list": "deny", "until": 1_900_000_000_000_i64, "what": {"account": ID}}],
                    "payments": true, "review": {"decide_within_ms": 7_200_000, "sla_ms": 3_600_000, "then": "decline"},
                    "rules": [{
                        "name": "many_cards", "reason": "SHARED_INSTRUMENT", "shadow": true, "then": "block",
                        "when": [{"above": 3, "below": 9, "feature": "account.instruments", "known": true}],
                    }],
                    "scores": [{
                        "name": "much", "points": 20, "reason": "HIGH_AMOUNT", "shadow": true,
                        "when": [{"above": 50_000, "currency": "USD", "feature": "account.amount.24h"}],
                    }],
                }}),
            ),
            ("risk.claim", json!({"order": ID})),
            ("risk.decide", json!({"order": ID, "verdict": "approve"})),
            ("risk.label", json!({"label": "fraud", "note": "n", "order": ID})),
            (
                "webhook.register",
                json!({"secret": hash, "types": ["cart.*", "order.placed"], "url": "https://a.example/h", "webhook": ID}),
            ),
            (
                "webhook.update",
                json!({"on": false, "types": ["*"], "url": "https://a.example/h", "webhook": ID}),
            ),
            ("webhook.rotate_secret", json!({"keep_ms": 86_400_000, "secret": hash, "webhook": ID})),
            ("webhook.remove", json!({"webhook": ID})),
            ("webhook.report", json!({"disabled": "failing", "position": 7, "webhook": ID})),
            ("webhook.replace_letter", json!({"data": r#"{"total": 7}"#, "position": 7, "webhook": ID})),
            ("webhook.drop_letter", json!({"position": 7, "webhook": ID})),
            ("push.subscribe", json!({"channel": "web", "subscription": ID, "target": hash})),
            ("push.unsubscribe", json!({"subscription": ID})),
            (
                "push.set_preferences",
                json!({"muted": ["payouts"], "quiet": {"from": "22:00", "to": "07:00", "utc_offset": "+02:00"}}),
            ),
            ("push.report", json!({"position": 7})),
            ("push.drop", json!({"account": ID, "subscription": ID})),
        ]
    }

    fn rule(name: &str, body: &Value) -> String {
        match Command::parse(name, body) {
            Err(Refusal::BodyInvalid { rule }) => rule,
            other => panic!("{name} {body}: {other:?}"),
        }
    }

    fn body_of(name: &str) -> Value {
        bodies().into_iter().find(|(of, _)| *of == name).unwrap().1
    }

    /// Gives every value inside a value by its JSON pointer, itself first.
    fn places(value: &Value, at: String, found: &mut Vec<String>) {
        found.push(at.clone());
        match value {
            Value::Object(members) => {
                members.iter().for_each(|(name, member)| places(member, format!("{at}/{name}"), found));
            }
            Value::Array(elements) => {
                elements
                    .iter()
                    .enumerate()
                    .for_each(|(n, element)| places(element, format!("{at}/{n}"), found));
            }
            _ => {}
        }
    }

    #[test]
    fn every_command_is_read_in_its_one_spelling() {
        let bodies = bodies();
        assert_eq!(bodies.iter().map(|(name, _)| *name).collect::<Vec<_>>(), Command::NAMES);
        for (name, body) in bodies {
            let command = Command::parse(name, &body).unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
            assert_eq!(command.body(), body, "{name}");
        }
    }

    #[test]
    fn no_struct_is_an_array_and_no_name_an_object_anywhere_in_any_body() {
        for (name, body) in bodies() {
            let mut found = Vec::new();
            places(&body, String::new(), &mut found);
            for place in found {
                let mut other = body.clone();
                let there = other.pointer_mut(&place).unwrap();
                *there = match &*there {
                    Value::Object(members) => members.values().cloned().collect(),
                    Value::String(text) => json!({text.as_str(): null}),
                    Value::Array(elements) => json!([elements]),
                    number => json!([number]),
                };
                rule(name, &other);
            }
        }
    }

    #[test]
    fn the_rule_names_the_place_and_the_spelling() {
        let of = |name: &str, pointer: &str, value: Value| {
            let mut body = body_of(name);
            *body.pointer_mut(pointer).unwrap() = value;
            rule(name, &body)
        };
        let in_upper_case = ID.to_uppercase();
        for (found, expected) in [
            (
                of("order.place", "/payment_method", json!({"wallet": null})),
                "`payment_method` must be spelled \"wallet\"",
            ),
            (of("order.place", "/lines/0/quote", Value::Null), "`lines[0].quote` says nothing: leave it out"),
            (
                of("order.place", "/lines/1", json!([ID, 2])),
                &format!("`lines[1]` must be spelled {{\"listing\":\"{ID}\",\"quantity\":2}}"),
            ),
            (of("order.ship", "/carrier", Value::Null), "`carrier` says nothing: leave it out"),
            (
                of("cart.remove", "/listing", json!(in_upper_case)),
                &format!("`listing` must be spelled \"{ID}\""),
            ),
            (
                of("cart.remove", "/listing", json!(ID.replace('-', ""))),
                &format!("`listing` must be spelled \"{ID}\""),
            ),
            (
                of("account.register", "/roles", json!(["seller", "buyer"])),
                "`roles[0]` must be spelled \"buyer\"",
            ),
            (
                of("account.register", "/roles", json!(["buyer", "buyer"])),
                "`roles` must be spelled [\"buyer\"]",
            ),
        ] {
            assert_eq!(found, expected);
        }
        let long = json!({"listing": ID, "quantity": 1, "x".repeat(10_000): 1});
        assert_eq!(rule("cart.add", &long).chars().count(), RULE_LENGTH_MAX + 1);
    }

    proptest! {
        #[test]
        fn what_is_read_from_a_changed_body_is_written_as_it_was_given(
            (name, body) in proptest::sample::select(bodies()), at in any::<prop::sample::Index>(),
            value in proptest::sample::select(vec![
                Value::Null, json!([]), json!({}), json!(0), json!(7), json!(-7), json!(""), json!("wallet"), json!(ID),
                json!(ID.to_uppercase()), json!([ID]), json!(["buyer"]), json!({"minor": 1, "currency": "JPY"}),
                json!([1, "USD"]), json!(["USD", 1]),
            ]),
        ) {
            let mut found = Vec::new();
            places(&body, String::new(), &mut found);
            let mut changed = body.clone();
            let place = &found[at.index(found.len())];
            *changed.pointer_mut(place).unwrap() = value;
            if let Ok(command) = Command::parse(name, &changed) {
                prop_assert_eq!(command.body(), changed);
            }
        }
    }
}
