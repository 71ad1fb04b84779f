//! The second factor: when one is needed, and what is taken for one.

use crate::support::passkeys::{Authenticator, Ceremony, DOMAIN, GOOD, ORIGIN};
use crate::support::*;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use commands::command::{
    EnrollDevice, EnrollPasskey, ReportLost, RevokeDevice, SetRiskRules, SetStepUpTerms,
};
use commands::refusal::HasFactors;
use commands::step_up::{
    PASSKEYS_PER_ACCOUNT_MAX, STEP_UP_FRESHNESS_MS, Shown, challenge, read_header, settle, write_header,
};
use commands::{Command, Decision, Refusal, Verified, decide};
use events::account::{Algorithm, PublicKey};
use events::device::RevokeReason;
use events::rejection::DeviceRejection;
use events::risk::rules::{Outcome, RuleSet};
use events::step_up::{
    Assertion, CredentialId, Domain, FactorKind, Origin, PasskeyEnrolled, PasskeyRemoved, StepUp, StepUpRule,
    StepUpTerms, TermsSet,
};
use events::{Event, Hash, Rejection};
use serde_json::json;

const HOUR_MS: i64 = 3_600_000;
/// A second device of the buyer.
const PHONE: Actor = Actor(120);

/// Signs a command whose bytes can be approved.
fn signed(world: &mut World, actor: Actor, command: impl Into<Command>) -> Verified {
    let mut verified = world.sign(actor, command);
    verified.stamp.signed = format!("header.payload-{}.signature", verified.stamp.seq);
    verified
}

/// Signs a command and approves it.
fn approved(
    world: &mut World,
    actor: Actor,
    with: &Authenticator,
    ceremony: &Ceremony,
    command: impl Into<Command>,
) -> Verified {
    let mut verified = signed(world, actor, command);
    let assertion = with.approve(challenge(&verified.stamp.signed).unwrap(), ceremony);
    verified.stamp.step_up = Some(Box::new(StepUp::Webauthn(assertion)));
    verified
}

fn rule(commands: &[&str], above: &[(&str, i64)], younger_ms: i64) -> StepUpRule {
    StepUpRule {
        above_minor: above.iter().map(|(code, minor)| (code.parse().unwrap(), *minor)).collect(),
        commands: commands.iter().map(|name| name.parse().unwrap()).collect(),
        device_younger_than_ms: younger_ms,
    }
}

fn terms(rules: &[StepUpRule]) -> StepUpTerms {
    StepUpTerms {
        origins: [ORIGIN.parse().unwrap()].into(),
        relying_party: DOMAIN.parse().unwrap(),
        rules: rules.to_vec(),
    }
}

fn set(rules: &[StepUpRule]) -> Command {
    SetStepUpTerms { terms: terms(rules) }.into()
}

/// A market that asks for a second factor above 10.00 USD, with a funded buyer.
fn asking() -> World {
    let mut world = World::new();
    world
        .given_listing(SELLER, 1, usd(500), 100)
        .given(PROVIDER, fund(BUYER, usd(100_000)))
        .given(OPERATOR, set(&[rule(&["order.place", "cart.migrate"], &[("USD", 1_000)], 0)]));
    world
}

fn with_passkey(passkey: &Authenticator) -> World {
    let mut world = asking();
    world.given(BUYER, passkey.enroll());
    world
}

/// Expects that a second factor is asked for, and gives what is wrong.
#[track_caller]
fn asked(world: &World) -> String {
    match world.outcome() {
        Decision::Refuse(Refusal::MfaRequired { problem, .. }) => problem.to_string(),
        other => panic!("no second factor is asked for: {other:?}"),
    }
}

fn large() -> Command {
    place(&[(1, 3)], usd(1_500))
}

#[test]
fn what_is_small_needs_none_and_what_is_large_says_what_would_satisfy_it() {
    let passkey = Authenticator::new(Algorithm::Es256, 1);
    let mut world = with_passkey(&passkey);
    world.when(BUYER, place(&[(1, 2)], usd(1_000))).then_types(["order.placed.v1", "escrow.held.v1"]);
    let verified = signed(&mut world, BUYER, large());
    let expected = Refusal::MfaRequired {
        challenge: URL_SAFE_NO_PAD
            .encode(Hash::of(format!("header.payload-{}", verified.stamp.seq).as_bytes()).as_bytes())
            .into(),
        credentials: [passkey.credential()].into(),
        has: Box::new(HasFactors { app: None, factors: vec![FactorKind::Webauthn] }),
        problem: "send the same bytes again with a second factor in `Skylink-Step-Up`".into(),
        relying_party: Some(DOMAIN.parse().unwrap()),
        rule: "a rule of this market".into(),
    };
    let head = world.head();
    world.when_signed(verified.clone()).then_refused(expected);
    // It consumed nothing: the same bytes with an approval are taken, and what approved them stands beside.
    assert_eq!(world.head(), head);
    let mut again = verified;
    let assertion = passkey.approve(challenge(&again.stamp.signed).unwrap(), &GOOD);
    again.stamp.step_up = Some(Box::new(StepUp::Webauthn(assertion)));
    world.when_signed(again).then_types(["order.placed.v1", "escrow.held.v1"]);
}

#[test]
fn both_algorithms_approve() {
    for algorithm in [Algorithm::EdDsa, Algorithm::Es256] {
        let passkey = Authenticator::new(algorithm, 2);
        let mut world = with_passkey(&passkey);
        let verified = approved(&mut world, BUYER, &passkey, &GOOD, large());
        world.when_signed(verified).then_types(["order.placed.v1", "escrow.held.v1"]);
    }
}

/// What looks like an approval, and is none of this command, this market or this account.
#[test]
fn what_is_no_approval_is_told_what_is_wrong_with_it() {
    let passkey = Authenticator::new(Algorithm::Es256, 1);
    let with = |change: fn(&mut Ceremony)| {
        let mut ceremony = GOOD;
        change(&mut ceremony);
        ceremony
    };
    for (ceremony, problem) in [
        (with(|c| c.kind = "webauthn.create"), "its type must be webauthn.get"),
        (with(|c| c.origin = "https://market.example.evil"), "on a page that is none of this market's"),
        (with(|c| c.is_cross_origin = true), "on a page that is none of this market's"),
        (with(|c| c.domain = "example"), "it was made for another domain"),
        (with(|c| c.flags = 0b001), "ask for user verification"),
        (with(|c| c.flags = 0b100), "ask for user verification"),
    ] {
        let mut world = with_passkey(&passkey);
        let verified = approved(&mut world, BUYER, &passkey, &ceremony, large());
        world.when_signed(verified);
        assert!(asked(&world).contains(problem), "{}", asked(&world));
    }
    let stranger = Authenticator::new(Algorithm::Es256, 7);
    type Change<'a> = &'a dyn Fn(&mut Assertion);
    for (change, problem) in [
        (&|a: &mut Assertion| a.credential = stranger.credential(), "none of this account"),
        (&|a: &mut Assertion| a.signature.0[10] ^= 1, "its signature is wrong"),
        (&|a: &mut Assertion| a.signature.0.clear(), "its signature is wrong"),
        (&|a: &mut Assertion| a.authenticator_data.0[36] ^= 1, "its signature is wrong"),
        (&|a: &mut Assertion| a.authenticator_data.0.truncate(36), "its parts are none"),
        (&|a: &mut Assertion| a.client_data.0.truncate(5), "its client data can't be read"),
        (&|a: &mut Assertion| *a = stranger.approve(Hash::of(b"other"), &GOOD), "none of this account"),
        (&|a: &mut Assertion| *a = passkey.approve(Hash::of(b"other"), &GOOD), "it approves another command"),
    ] as [(Change<'_>, &str); 8]
    {
        let mut world = with_passkey(&passkey);
        let mut verified = approved(&mut world, BUYER, &passkey, &GOOD, large());
        if let Some(StepUp::Webauthn(assertion)) = verified.stamp.step_up.as_deref_mut() {
            change(assertion);
        }
        world.when_signed(verified);
        assert!(asked(&world).contains(problem), "{}: {problem}", asked(&world));
    }
}

#[test]
fn an_approval_is_for_one_command_and_no_other() {
    let passkey = Authenticator::new(Algorithm::Es256, 1);
    let mut world = with_passkey(&passkey);
    let first = approved(&mut world, BUYER, &passkey, &GOOD, large());
    let mut second = signed(&mut world, BUYER, large());
    second.stamp.step_up = first.stamp.step_up.clone();
    world.when_signed(second);
    assert!(asked(&world).contains("it approves another command"));
    // Another account's approval of the very bytes is none.
    world.given(OTHER_BUYER, Authenticator::new(Algorithm::Es256, 9).enroll());
    let mut of_other = approved(&mut world, OTHER_BUYER, &passkey, &GOOD, large());
    world.when_signed(of_other.clone());
    assert!(asked(&world).contains("none of this account"));
    of_other.stamp.step_up = None;
    world.when_signed(of_other);
    asked(&world);
    world.when_signed(first).then_types(["order.placed.v1", "escrow.held.v1"]);
}

#[test]
fn a_counter_that_does_not_grow_tells_a_copy() {
    let passkey = Authenticator::new(Algorithm::Es256, 1);
    let mut world = with_passkey(&passkey);
    for (count, is_taken) in [(5, true), (5, false), (4, false), (0, false), (6, true)] {
        let ceremony = Ceremony { count, ..GOOD };
        let verified = approved(&mut world, BUYER, &passkey, &ceremony, large());
        world.when_signed(verified);
        if is_taken {
            world.then_types(["order.placed.v1", "escrow.held.v1"]);
        } else {
            assert!(asked(&world).contains("it may have been copied"), "{count}");
        }
    }
}

#[test]
fn a_person_has_ten_minutes_to_approve_and_without_that_two() {
    let passkey = Authenticator::new(Algorithm::Es256, 1);
    for (late_ms, is_fresh) in [(STEP_UP_FRESHNESS_MS, true), (STEP_UP_FRESHNESS_MS + 1, false)] {
        let mut world = with_passkey(&passkey);
        let mut verified = approved(&mut world, BUYER, &passkey, &GOOD, large());
        verified.expires_at = world.now.plus_ms(STEP_UP_FRESHNESS_MS * 2);
        world.after(late_ms).when_signed(verified);
        let is_stale = matches!(world.outcome(), Decision::Refuse(Refusal::Stale { .. }));
        assert_eq!(is_stale, !is_fresh, "{:?}", world.outcome());
    }
    // What needs no approval does not live longer for one.
    let mut world = with_passkey(&passkey);
    let mut verified = approved(&mut world, BUYER, &passkey, &GOOD, place(&[(1, 1)], usd(500)));
    verified.expires_at = world.now.plus_ms(STEP_UP_FRESHNESS_MS);
    world.after(121 * SECOND_MS).when_signed(verified);
    assert!(matches!(world.outcome(), Decision::Refuse(Refusal::Stale { .. })));
}

#[test]
fn an_approval_that_no_rule_asks_for_is_dropped() {
    let passkey = Authenticator::new(Algorithm::Es256, 1);
    let mut world = with_passkey(&passkey);
    let mut small = approved(&mut world, BUYER, &passkey, &GOOD, place(&[(1, 1)], usd(500)));
    settle(&world.market, &mut small, world.now);
    assert_eq!(small.stamp.step_up, None);
    let mut large = approved(&mut world, BUYER, &passkey, &GOOD, large());
    settle(&world.market, &mut large, world.now);
    assert!(large.stamp.step_up.is_some());
}

#[test]
fn rules_speak_of_amounts_of_new_devices_and_of_commands_whatever_they_name() {
    let enroll_phone = || EnrollDevice {
        device: PHONE.device(),
        key: PHONE.key(),
        name: None,
        proof: String::new(),
        scope: None,
    };
    let small = || place(&[(1, 1)], usd(500));
    for (rules, ms_since_enrolled, command, is_asked) in [
        (vec![rule(&["order.*"], &[], 0)], 0, small(), true),
        (vec![rule(&["cart.*"], &[], 0)], 0, small(), false),
        (vec![rule(&["order.place"], &[("USD", 499)], 0)], 0, small(), true),
        (vec![rule(&["order.place"], &[("USD", 500)], 0)], 0, small(), false),
        (vec![rule(&["order.place"], &[("EUR", 0)], 0)], 0, small(), false),
        (vec![rule(&["order.place"], &[], HOUR_MS)], HOUR_MS - 1, small(), true),
        (vec![rule(&["order.place"], &[], HOUR_MS)], HOUR_MS, small(), false),
        (vec![rule(&["order.place"], &[("USD", 499)], HOUR_MS)], 0, small(), true),
        (vec![rule(&["order.place"], &[("USD", 500)], HOUR_MS)], 0, small(), false),
        // Any of several rules is enough, and what names no money is above nothing.
        (
            vec![rule(&["order.place"], &[("USD", 500)], 0), rule(&["order.place"], &[], HOUR_MS)],
            0,
            small(),
            true,
        ),
        (vec![rule(&["cart.clear"], &[("USD", 0)], 0)], 0, clear(), false),
        (vec![], 0, small(), false),
    ] {
        let mut world = asking();
        world.given(BUYER, enroll_phone().into()).given(OPERATOR, set(&rules)).after(ms_since_enrolled);
        let mut verified = signed(&mut world, BUYER, command);
        (verified.stamp.device, verified.stamp.key) = (PHONE.device(), PHONE.key().id());
        let decision = decide(&world.market, &verified, &world.facts, world.now);
        let is_refused = matches!(decision, Decision::Refuse(Refusal::MfaRequired { .. }));
        assert_eq!(is_refused, is_asked, "{rules:?} {ms_since_enrolled}: {decision:?}");
    }
}

#[test]
fn the_first_passkey_is_enrolled_freely_and_each_other_with_one_that_is_there() {
    let (first, second) = (Authenticator::new(Algorithm::Es256, 1), Authenticator::new(Algorithm::EdDsa, 2));
    let enrolled = |passkey: &Authenticator| PasskeyEnrolled {
        account: BUYER.account(),
        credential: passkey.credential(),
        key: passkey.key.public(),
    };
    let removed = PasskeyRemoved { account: BUYER.account(), credential: first.credential() };
    let mut world = asking();
    world.when(BUYER, first.enroll()).then_events([enrolled(&first).into()]);
    world.when(BUYER, second.enroll());
    asked(&world);
    let by_itself = approved(&mut world, BUYER, &second, &GOOD, second.enroll());
    world.when_signed(by_itself);
    assert!(asked(&world).contains("none of this account"));
    let by_first = approved(&mut world, BUYER, &first, &GOOD, second.enroll());
    world.when_signed(by_first).then_events([enrolled(&second).into()]);
    world.when(BUYER, first.remove(None));
    asked(&world);
    let by_second = approved(&mut world, BUYER, &second, &GOOD, first.remove(Some(BUYER)));
    world.when_signed(by_second).then_events([removed.into()]);
    let by_removed = approved(&mut world, BUYER, &first, &GOOD, large());
    world.when_signed(by_removed);
    assert!(asked(&world).contains("none of this account"));
}

#[test]
fn operators_and_the_registrar_remove_the_passkeys_of_who_has_lost_them() {
    let passkey = Authenticator::new(Algorithm::Es256, 1);
    for actor in [OPERATOR, REGISTRAR] {
        with_passkey(&passkey)
            .when(actor, passkey.remove(Some(BUYER)))
            .then_types(["step_up.passkey_removed.v1"])
            .when(actor, passkey.remove(Some(BUYER)))
            .then_unchanged();
    }
    let not_yours = DeviceRejection::NotYourDevice { account: BUYER.account() };
    with_passkey(&passkey).when(SELLER, passkey.remove(Some(BUYER))).then_rejected([not_yours.into()]);
}

#[test]
fn passkeys_are_bounded_and_each_has_one_key() {
    let first = Authenticator::new(Algorithm::Es256, 1);
    let mut world = with_passkey(&first);
    let other_key = EnrollPasskey { credential: first.credential(), key: BUYER.key() };
    let verified = approved(&mut world, BUYER, &first, &GOOD, other_key);
    let exists = DeviceRejection::PasskeyExists { credential: first.credential() };
    world.when_signed(verified).then_rejected([exists.into()]);
    for n in 1..PASSKEYS_PER_ACCOUNT_MAX as u8 {
        let next = Authenticator::new(Algorithm::EdDsa, 100 + n).enroll();
        let verified = approved(&mut world, BUYER, &first, &GOOD, next);
        world.when_signed(verified).then_types(["step_up.passkey_enrolled.v1"]);
    }
    let one_more = Authenticator::new(Algorithm::EdDsa, 200).enroll();
    let verified = approved(&mut world, BUYER, &first, &GOOD, one_more);
    let too_many = DeviceRejection::TooManyPasskeys { max: PASSKEYS_PER_ACCOUNT_MAX as u32 };
    world.when_signed(verified).then_rejected([too_many.into()]);
    World::new()
        .when(BUYER, first.enroll())
        .then_rejected([Rejection::from(DeviceRejection::StepUpNotOffered)]);
}

#[test]
fn what_is_lost_is_reported_without_what_may_be_lost_too() {
    let revoke = || RevokeDevice { account: None, device: PHONE.device(), reason: RevokeReason::Lost };
    let mut world = asking();
    let enroll = EnrollDevice {
        device: PHONE.device(),
        key: PHONE.key(),
        name: None,
        proof: String::new(),
        scope: None,
    };
    world.given(BUYER, enroll.into()).given(OPERATOR, set(&[rule(&["device.*"], &[], 0)]));
    world.when(BUYER, revoke());
    asked(&world);
    world.when(BUYER, ReportLost { device: PHONE.device() }).then_types(["device.revoked.v1"]);
}

#[test]
fn an_operator_changes_the_rules_which_may_ask_him_too() {
    let passkey = Authenticator::new(Algorithm::Es256, 1);
    let rules = [rule(&["step_up.set_terms"], &[], 0)];
    let mut world = World::new();
    world
        .when(OPERATOR, set(&rules))
        .then_events([TermsSet { terms: terms(&rules) }.into()])
        .when(OPERATOR, set(&[]));
    asked(&world);
    world.given(OPERATOR, passkey.enroll());
    let verified = approved(&mut world, OPERATOR, &passkey, &GOOD, set(&[]));
    world.when_signed(verified).then_types(["step_up.terms_set.v1"]);
    world.when(OPERATOR, set(&[])).then_unchanged();
}

#[test]
fn a_retry_gets_its_first_outcome_whether_or_not_it_is_approved() {
    let passkey = Authenticator::new(Algorithm::Es256, 1);
    let mut world = with_passkey(&passkey);
    let verified = approved(&mut world, BUYER, &passkey, &GOOD, large());
    world.when_signed(verified).when_again().then_repeat();
}

#[test]
fn the_header_holds_one_approval_of_bounded_size() {
    let passkey = Authenticator::new(Algorithm::Es256, 1);
    let shown = Shown::Webauthn(passkey.approve(Hash::of(b"a command"), &GOOD));
    assert_eq!(*read_header(&write_header(&shown)).unwrap(), shown);
    let mut long = passkey.approve(Hash::of(b"a command"), &GOOD);
    long.client_data.0.resize(Assertion::CLIENT_DATA_BYTES_MAX + 1, b' ');
    for bad in [
        String::new(),
        "{}".to_owned(),
        "e30".to_owned(),
        URL_SAFE_NO_PAD.encode(r#"{"totp":{"code":"123456"}}"#),
        write_header(&Shown::Webauthn(long)),
        "A".repeat(commands::step_up::HEADER_BYTES_MAX + 1),
    ] {
        assert_eq!(read_header(&bad).unwrap_err().code(), "body_invalid", "{bad}");
    }
}

/// The challenge of the flat form is over what its signature is over.
#[test]
fn the_challenge_is_the_hash_of_what_was_signed() {
    assert_eq!(challenge("a.b.c"), Some(Hash::of(b"a.b")));
    assert_eq!(challenge(r#"{"b":1,"signature":"x","a":2}"#), Some(Hash::of(br#"{"a":2,"b":1}"#)));
    for none in ["", "a", "{", r#"{"a":2}"#] {
        assert_eq!(challenge(none), None, "{none}");
    }
}

/// One passkey of schemas/step_up/webauthn.json.
#[derive(serde::Deserialize)]
struct Made {
    counts: bool,
    credential: CredentialId,
    key: PublicKey,
    approvals: Vec<Approval>,
}

#[derive(serde::Deserialize)]
struct Approval {
    signed: String,
    step_up: StepUp,
}

#[derive(serde::Deserialize)]
struct Vectors {
    origin: Origin,
    relying_party: Domain,
    passkeys: Vec<Made>,
}

/// Passkeys that another program made and approved with, as a browser and its authenticator do.
#[test]
fn what_an_independent_authenticator_approves_is_taken_and_nothing_changed_of_it() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas/step_up/webauthn.json");
    let vectors: Vectors = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert_eq!(vectors.passkeys.len(), 3);
    for made in vectors.passkeys {
        let mut world = World::new();
        let rules = vec![rule(&["order.place"], &[], 0)];
        let (origins, relying_party) = ([vectors.origin.clone()].into(), vectors.relying_party.clone());
        world
            .given_listing(SELLER, 1, usd(500), 100)
            .given(PROVIDER, fund(BUYER, usd(100_000)))
            .given(OPERATOR, SetStepUpTerms { terms: StepUpTerms { origins, relying_party, rules } }.into())
            .given(BUYER, EnrollPasskey { credential: made.credential.clone(), key: made.key }.into());
        for (n, Approval { signed, step_up }) in made.approvals.iter().enumerate() {
            let mut verified = world.sign(BUYER, large());
            verified.stamp.signed.clone_from(signed);
            verified.stamp.step_up = Some(Box::new(step_up.clone()));
            let StepUp::Webauthn(assertion) = step_up else { panic!("only passkeys are in it") };
            let parts = [&assertion.authenticator_data, &assertion.client_data, &assertion.signature];
            let bits: usize = parts.iter().map(|part| part.0.len() * 8).sum();
            for bit in 0..bits {
                let mut changed = assertion.clone();
                let mut at = bit;
                for part in
                    [&mut changed.authenticator_data, &mut changed.client_data, &mut changed.signature]
                {
                    if at < part.0.len() * 8 {
                        part.0[at / 8] ^= 1 << (at % 8);
                        break;
                    }
                    at -= part.0.len() * 8;
                }
                let mut forged = verified.clone();
                forged.stamp.step_up = Some(Box::new(StepUp::Webauthn(changed)));
                let decision = decide(&world.market, &forged, &world.facts, world.now);
                assert!(
                    matches!(decision, Decision::Refuse(Refusal::MfaRequired { .. })),
                    "bit {bit}: {decision:?}"
                );
            }
            world.when_signed(verified).then_types(["order.placed.v1", "escrow.held.v1"]);
            assert_eq!(assertion.sign_count(), if made.counts { n as u32 + 1 } else { 0 });
            let known = world.market.accounts.get(BUYER.account()).unwrap().passkeys[&made.credential];
            assert_eq!(known.sign_count, assertion.sign_count(), "what was counted is remembered");
        }
    }
}

/// Rules of risk that challenge whoever spends more than 10.00 USD, and review him if he has no second factor.
fn challenging(world: &mut World) {
    let rules = serde_json::from_value(json!({
        "elevated": "review", "highest": "block",
        "review": {"decide_within_ms": HOUR_MS, "sla_ms": HOUR_MS, "then": "approve"},
        "rules": [{"name": "much", "reason": "HIGH_AMOUNT", "then": "challenge",
                   "when": [{"above": 1_000, "currency": "USD", "feature": "purchase.amount"}]}],
    }));
    let rules: RuleSet = rules.unwrap();
    let set = SetRiskRules { rules };
    world.given(OPERATOR, set.clone().into()).given(OTHER_OPERATOR, set.into());
}

#[test]
fn what_the_rules_of_risk_challenge_needs_one_and_who_has_none_is_reviewed() {
    let passkey = Authenticator::new(Algorithm::Es256, 4);
    let mut world = World::new();
    world
        .given_listing(SELLER, 1, usd(500), 100)
        .given(PROVIDER, fund(BUYER, usd(100_000)))
        .given(OPERATOR, set(&[rule(&["payout.*"], &[], 0)]));
    challenging(&mut world);
    let outcome =
        |world: &World| match world.events().iter().find(|event| matches!(event, Event::RiskAssessed(_))) {
            Some(Event::RiskAssessed(made)) => (made.outcome, made.stepped_up),
            _ => panic!("nothing was judged: {:?}", world.events()),
        };
    world.when(BUYER, large());
    assert_eq!(outcome(&world), (Outcome::Review, false), "there is no second factor to ask for");
    world.given(BUYER, passkey.enroll());
    let head = world.head();
    let verified = signed(&mut world, BUYER, large());
    world.when_signed(verified.clone());
    asked(&world);
    let Decision::Refuse(Refusal::MfaRequired { rule, .. }) = world.outcome() else { unreachable!() };
    assert!(!rule.contains("amount") && !rule.contains("much"), "why is not told: {rule}");
    assert_eq!(world.head(), head, "it consumed nothing");
    let mut again = verified;
    let assertion = passkey.approve(challenge(&again.stamp.signed).unwrap(), &GOOD);
    again.stamp.step_up = Some(Box::new(StepUp::Webauthn(assertion)));
    settle(&world.market, &mut again, world.now);
    assert!(again.stamp.step_up.is_some(), "it is asked for, so it is kept");
    world.when_signed(again);
    assert_eq!(outcome(&world), (Outcome::Allow, true));
    // What is small is not asked about, and an approval of it is dropped.
    let mut small = approved(&mut world, BUYER, &passkey, &GOOD, place(&[(1, 1)], usd(500)));
    settle(&world.market, &mut small, world.now);
    assert_eq!(small.stamp.step_up, None);
    world.when_signed(small);
    assert_eq!(outcome(&world), (Outcome::Allow, false));
}
