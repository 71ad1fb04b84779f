//! Codes as second factors: what is right once, what is wrong and how often, and who has which.

use std::collections::BTreeSet;

use crate::support::*;
use commands::command::{
    EnrollPasskey, EnrollRecovery, EnrollTotp, RemoveRecovery, RemoveTotp, SetStepUpTerms, Verified,
};
use commands::step_up::{
    LOCK_MS, LOCK_MS_MAX, LOCKS_MS, RECOVERY_CODES, STEP_MS, Shown, TRIES_MAX, TRIES_MS, TotpCode,
    read_header, settle, write_header,
};
use commands::{Decision, Refusal};
use events::ids::AuthenticatorId;
use events::rejection::{DeviceRejection, FactorRejection};
use events::step_up::{
    CodeRefused, FactorKind, RecoveryEnrolled, RecoveryRemoved, RecoveryShown, StepUp, StepUpRule,
    StepUpTerms, TotpEnrolled, TotpRemoved, TotpShown,
};
use events::{Event, Hash, Rejection, Timestamp};
use uuid::Uuid;

fn app(n: u128) -> AuthenticatorId {
    AuthenticatorId::from_uuid(Uuid::from_u128(n))
}

fn codes() -> Vec<String> {
    (0..RECOVERY_CODES.1).map(|n| format!("ABCDE-FGHJK-MNPQR-STVW{n}")).collect()
}

fn commitments(owner: Actor) -> Vec<Hash> {
    codes().iter().map(|code| RecoveryShown::of(code).commitment(owner.account())).collect()
}

fn enroll_recovery(owner: Actor) -> EnrollRecovery {
    EnrollRecovery { commitments: commitments(owner) }
}

fn recovery(code: &str) -> StepUp {
    StepUp::Recovery(RecoveryShown::of(code))
}

/// A market in which every purchase needs a second factor.
fn asking() -> World {
    let rules = vec![StepUpRule {
        above_minor: [].into(),
        commands: ["order.place".parse().unwrap()].into(),
        device_younger_than_ms: 0,
    }];
    let (origins, relying_party) =
        (["https://market.example".parse().unwrap()].into(), "market.example".parse().unwrap());
    let mut world = World::new();
    world
        .given_listing(SELLER, 1, usd(500), 100)
        .given(PROVIDER, fund(BUYER, usd(100_000)))
        .given(OPERATOR, SetStepUpTerms { terms: StepUpTerms { origins, relying_party, rules } }.into());
    world
}

/// The same, in which the buyer has an app and recovery codes.
fn with_codes() -> World {
    let mut world = asking();
    world.given(BUYER, EnrollTotp { authenticator: app(1) }.into());
    let step = world_step(&world);
    let enroll = showing(&mut world, BUYER, enroll_recovery(BUYER), right(step, 1));
    world.when_signed(enroll).then_types(["step_up.recovery_enrolled.v1"]);
    world.after(STEP_MS);
    world
}

fn world_step(world: &World) -> u64 {
    (world.now.ms() / STEP_MS) as u64
}

fn right(step: u64, authenticator: u128) -> StepUp {
    StepUp::Totp(TotpShown { authenticator: app(authenticator), step: Some(step) })
}

fn wrong(authenticator: u128) -> StepUp {
    StepUp::Totp(TotpShown { authenticator: app(authenticator), step: None })
}

fn showing(
    world: &mut World,
    actor: Actor,
    command: impl Into<commands::Command>,
    step_up: StepUp,
) -> Verified {
    let mut verified = world.sign(actor, command);
    verified.stamp.step_up = Some(Box::new(step_up));
    verified
}

fn buy() -> commands::Command {
    place(&[(1, 1)], usd(500))
}

/// Decides a purchase beside which something is shown.
fn when_shown(world: &mut World, step_up: StepUp) -> &mut World {
    let verified = showing(world, BUYER, buy(), step_up);
    world.when_signed(verified)
}

#[track_caller]
fn problem(world: &World) -> String {
    match world.outcome() {
        Decision::Refuse(Refusal::MfaRequired { problem, .. }) => problem.to_string(),
        other => panic!("nothing was asked for: {other:?}"),
    }
}

fn refused(kind: FactorKind, tries: u32, locked_until: Option<Timestamp>) -> Event {
    CodeRefused { account: BUYER.account(), kind, tries, locked_until }.into()
}

fn code_wrong(left: u32) -> Rejection {
    FactorRejection::CodeWrong { left }.into()
}

#[test]
fn what_the_account_has_is_told() {
    let mut world = with_codes();
    world.when(BUYER, buy());
    let Decision::Refuse(Refusal::MfaRequired { has, .. }) = world.outcome() else {
        panic!("{:?}", world.outcome());
    };
    assert_eq!(has.app, Some(app(1)));
    assert_eq!(has.factors, [FactorKind::Totp, FactorKind::Recovery]);
}

#[test]
fn an_apps_code_is_good_once_and_for_a_minute_at_most() {
    let mut world = with_codes();
    let present = world_step(&world);
    for (step, told) in [
        (present - 2, "the code is of another time"),
        (present + 1, "the code is of another time"),
        // It was shown for the recovery codes.
        (present - 1, "was shown before"),
    ] {
        when_shown(&mut world, right(step, 1));
        assert!(problem(&world).contains(told), "{step}: {}", problem(&world));
    }
    when_shown(&mut world, right(present, 1)).then_types(["order.placed.v1", "escrow.held.v1"]);
    when_shown(&mut world, right(present, 1));
    assert!(problem(&world).contains("was shown before"));
    // Half a minute later the code of before may still be shown, if none was.
    world.after(2 * STEP_MS);
    when_shown(&mut world, right(present + 1, 1)).then_types(["order.placed.v1", "escrow.held.v1"]);
    when_shown(&mut world, right(present + 2, 1)).then_types(["order.placed.v1", "escrow.held.v1"]);
    // One that the market rejected for something else is used up too.
    world.after(STEP_MS);
    let dear = showing(&mut world, BUYER, place(&[(1, 1)], usd(1)), right(present + 3, 1));
    world.when_signed(dear).then_types(["command.rejected.v1"]);
    when_shown(&mut world, right(present + 3, 1));
    assert!(problem(&world).contains("was shown before"));
}

#[test]
fn a_recovery_code_is_good_once_and_for_its_account() {
    let mut world = with_codes();
    let code = &codes()[3];
    when_shown(&mut world, recovery(code)).then_types(["order.placed.v1", "escrow.held.v1"]);
    let left = |world: &World| {
        world.market.accounts.get(BUYER.account()).unwrap().codes.as_ref().unwrap().recovery.len()
    };
    assert_eq!(left(&world), RECOVERY_CODES.1 - 1);
    when_shown(&mut world, recovery(code)).then_types(["step_up.code_refused.v1", "command.rejected.v1"]);
    when_shown(&mut world, recovery(&codes()[4])).then_types(["order.placed.v1", "escrow.held.v1"]);
    // The same codes of another account are others.
    world.given(OTHER_BUYER, enroll_recovery(BUYER).into()).given(PROVIDER, fund(OTHER_BUYER, usd(1_000)));
    let of_other = showing(&mut world, OTHER_BUYER, buy(), recovery(&codes()[5]));
    world.when_signed(of_other).then_types(["step_up.code_refused.v1", "command.rejected.v1"]);
}

#[test]
fn a_wrong_code_is_noted_and_its_command_rejected_for_ever() {
    let mut world = with_codes();
    let first = showing(&mut world, BUYER, buy(), wrong(1));
    world.when_signed(first.clone());
    assert_eq!(world.events()[0], refused(FactorKind::Totp, 1, None));
    let Event::CommandRejected(rejected) = &world.events()[1] else { panic!("not rejected") };
    assert_eq!(rejected.reasons, [code_wrong(TRIES_MAX as u32 - 1)]);
    // The same command with the right code is the same command.
    let position = world.log.last().unwrap().first_position();
    let mut again = first;
    again.stamp.step_up = Some(Box::new(right(world_step(&world), 1)));
    world.when_signed(again);
    assert_eq!(*world.outcome(), Decision::Repeat(position));
    let present = world_step(&world);
    when_shown(&mut world, right(present, 1)).then_types(["order.placed.v1", "escrow.held.v1"]);
}

/// Shows wrong codes until none is looked at any more; gives until when that is.
fn too_many(world: &mut World) -> Timestamp {
    for n in 1..=TRIES_MAX {
        when_shown(world, wrong(1)).then_types(["step_up.code_refused.v1", "command.rejected.v1"]);
        let Event::CodeRefused(refused) = &world.events()[0] else { panic!("no wrong code") };
        assert_eq!(refused.locked_until.is_some(), n == TRIES_MAX);
    }
    let Event::CodeRefused(refused) = &world.events()[0] else { panic!("no wrong code") };
    refused.locked_until.unwrap()
}

#[test]
fn five_wrong_codes_in_a_quarter_of_an_hour_lock_all_codes_and_no_passkey() {
    let mut world = with_codes();
    for n in 1..=TRIES_MAX {
        world.after(1_000);
        let (kind, shown) = match n % 2 {
            0 => (FactorKind::Totp, wrong(1)),
            _ => (FactorKind::Recovery, recovery("none of them")),
        };
        when_shown(&mut world, shown);
        let until = (n == TRIES_MAX).then(|| world.now.plus_ms(LOCK_MS));
        assert_eq!(world.events()[0], refused(kind, n as u32, until));
        let Event::CommandRejected(rejected) = &world.events()[1] else { panic!("not rejected") };
        assert_eq!(rejected.reasons, [code_wrong((TRIES_MAX - n) as u32)]);
    }
    let head = world.head();
    let until = world.now.plus_ms(LOCK_MS);
    let present = world_step(&world);
    for shown in [right(present, 1), wrong(1), recovery(&codes()[0]), recovery("none of them")] {
        when_shown(&mut world, shown).then_refused(Refusal::MfaLocked { until });
    }
    assert_eq!(world.head(), head, "what is not looked at leaves nothing in the log");
    // A passkey is asked for all the same, and it is another's that is none of this account.
    world.when(BUYER, buy());
    assert!(problem(&world).contains("send the same bytes again"));
    world.now = until.plus_ms(-1);
    when_shown(&mut world, recovery(&codes()[0])).then_refused(Refusal::MfaLocked { until });
    world.now = until;
    when_shown(&mut world, recovery(&codes()[0])).then_types(["order.placed.v1", "escrow.held.v1"]);
    // Another account's codes were never locked by that.
    world
        .given(OTHER_BUYER, enroll_recovery(OTHER_BUYER).into())
        .given(PROVIDER, fund(OTHER_BUYER, usd(1_000)));
    let of_other = showing(&mut world, OTHER_BUYER, buy(), recovery(&codes()[0]));
    world.when_signed(of_other).then_types(["order.placed.v1", "escrow.held.v1"]);
}

#[test]
fn fewer_wrong_codes_in_a_quarter_of_an_hour_lock_nothing() {
    let mut world = with_codes();
    for _ in 0..3 * TRIES_MAX {
        when_shown(&mut world, wrong(1));
        let Event::CodeRefused(refused) = &world.events()[0] else { panic!("no wrong code") };
        assert_eq!((refused.tries < TRIES_MAX as u32, refused.locked_until), (true, None));
        world.after(TRIES_MS / (TRIES_MAX as i64 - 1));
    }
}

#[test]
fn each_further_lock_takes_twice_as_long_up_to_a_day_and_a_week_of_peace_begins_anew() {
    let mut world = with_codes();
    let mut expected = LOCK_MS;
    for _ in 0..10 {
        let until = too_many(&mut world);
        assert_eq!(until.ms_since(world.now), expected);
        expected = (2 * expected).min(LOCK_MS_MAX);
        world.now = until;
    }
    assert_eq!(expected, LOCK_MS_MAX);
    // What was right in between changes nothing about it.
    let present = world_step(&world);
    when_shown(&mut world, right(present, 1)).then_types(["order.placed.v1", "escrow.held.v1"]);
    world.after(LOCKS_MS - 1);
    let until = too_many(&mut world);
    assert_eq!(until.ms_since(world.now), LOCK_MS_MAX);
    world.now = until.plus_ms(LOCKS_MS);
    let until = too_many(&mut world);
    assert_eq!(until.ms_since(world.now), LOCK_MS);
}

#[test]
fn what_is_none_of_the_account_is_no_try() {
    let mut world = with_codes();
    for _ in 0..=TRIES_MAX {
        when_shown(&mut world, wrong(2));
        assert!(problem(&world).contains("the app is none of this account"));
    }
    let present = world_step(&world);
    when_shown(&mut world, right(present, 2));
    assert!(problem(&world).contains("the app is none of this account"));
    let mut other = asking();
    when_shown(&mut other, recovery(&codes()[0]));
    assert!(problem(&other).contains("no recovery codes"));
}

#[test]
fn no_code_counts_where_none_is_asked_for() {
    let mut world = with_codes();
    let mut verified = showing(&mut world, BUYER, clear(), wrong(1));
    settle(&world.market, &mut verified, world.now);
    assert_eq!(verified.stamp.step_up, None);
    world.when_signed(verified).then_unchanged();
}

#[test]
fn the_first_factor_is_enrolled_freely_and_each_other_with_one_that_is_there() {
    let account = BUYER.account();
    let passkey =
        || EnrollPasskey { credential: "bGFtcHMtYW5kLXBlYXJzLTE".parse().unwrap(), key: BUYER.key() };
    let mut world = asking();
    world.when(BUYER, EnrollTotp { authenticator: app(1) }).then_events([TotpEnrolled {
        account,
        authenticator: app(1),
    }
    .into()]);
    for command in [
        commands::Command::from(EnrollTotp { authenticator: app(2) }),
        enroll_recovery(BUYER).into(),
        passkey().into(),
        RemoveTotp { account: None, authenticator: app(1) }.into(),
        RemoveTotp { account: Some(account), authenticator: app(1) }.into(),
        RemoveRecovery { account: None }.into(),
    ] {
        world.when(BUYER, command);
        problem(&world);
    }
    let step = world_step(&world);
    let enroll = showing(&mut world, BUYER, enroll_recovery(BUYER), right(step, 1));
    let expected: BTreeSet<Hash> = commitments(BUYER).into_iter().collect();
    world.when_signed(enroll).then_events([RecoveryEnrolled { account, commitments: expected }.into()]);
    // An app that is lost is replaced with a recovery code; its codes are good for nothing then.
    let replaced = showing(&mut world, BUYER, EnrollTotp { authenticator: app(2) }, recovery(&codes()[0]));
    world.when_signed(replaced).then_events([TotpEnrolled { account, authenticator: app(2) }.into()]);
    world.after(STEP_MS);
    let step = world_step(&world);
    when_shown(&mut world, right(step, 1));
    assert!(problem(&world).contains("the app is none of this account"));
    when_shown(&mut world, right(step, 2)).then_types(["order.placed.v1", "escrow.held.v1"]);
    let removed = showing(&mut world, BUYER, RemoveRecovery { account: None }, recovery(&codes()[1]));
    world.when_signed(removed).then_events([RecoveryRemoved { account }.into()]);
    world.after(STEP_MS);
    let step = world_step(&world);
    let remove = RemoveTotp { account: None, authenticator: app(2) };
    let removed = showing(&mut world, BUYER, remove, right(step, 2));
    world.when_signed(removed).then_events([TotpRemoved { account, authenticator: app(2) }.into()]);
    world.when(BUYER, remove).then_unchanged();
}

#[test]
fn operators_and_the_registrar_remove_what_others_have_lost() {
    let remove = || RemoveTotp { account: Some(BUYER.account()), authenticator: app(1) };
    let forget = || RemoveRecovery { account: Some(BUYER.account()) };
    for actor in [OPERATOR, REGISTRAR] {
        with_codes()
            .when(actor, remove())
            .then_types(["step_up.totp_removed.v1"])
            .when(actor, remove())
            .then_unchanged()
            .when(actor, forget())
            .then_types(["step_up.recovery_removed.v1"])
            .when(actor, forget())
            .then_unchanged();
    }
    let not_yours = || DeviceRejection::NotYourDevice { account: BUYER.account() }.into();
    with_codes()
        .when(SELLER, remove())
        .then_rejected([not_yours()])
        .when(SELLER, forget())
        .then_rejected([not_yours()]);
}

#[test]
fn recovery_codes_are_some_each_another_and_offered_only_where_something_asks_for_them() {
    let number = || FactorRejection::RecoveryCodes { min: 8, max: 10 }.into();
    let good = commitments(BUYER);
    for bad in [
        good[..7].to_vec(),
        [&good[..], &[Hash::of(b"one more")]].concat(),
        [&good[..9], &good[..1]].concat(),
    ] {
        asking().when(BUYER, EnrollRecovery { commitments: bad }).then_rejected([number()]);
    }
    asking().given(BUYER, EnrollRecovery { commitments: good[..8].to_vec() }.into());
    let not_offered = || DeviceRejection::StepUpNotOffered.into();
    World::new()
        .when(BUYER, enroll_recovery(BUYER))
        .then_rejected([not_offered()])
        .when(BUYER, EnrollTotp { authenticator: app(1) })
        .then_rejected([not_offered()]);
}

/// A client can show a code and nothing that only the market can know of it.
#[test]
fn what_is_shown_is_read_strictly_and_a_code_is_printed_nowhere() {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let shown = Shown::Totp(TotpCode { authenticator: app(1), code: "123456".to_owned() });
    assert_eq!(*read_header(&write_header(&shown)).unwrap(), shown);
    assert!(!format!("{shown:?}").contains("123456"));
    let id = app(1);
    for bad in [
        format!(r#"{{"totp":{{"authenticator":"{id}","step":57000000}}}}"#),
        format!(r#"{{"totp":{{"authenticator":"{id}","code":"12345"}}}}"#),
        format!(r#"{{"totp":{{"authenticator":"{id}","code":"1234567"}}}}"#),
        format!(r#"{{"totp":{{"authenticator":"{id}","code":"12345x"}}}}"#),
        format!(r#"{{"totp":{{"authenticator":"{id}","code":"123456","step":1}}}}"#),
        r#"{"totp":{"code":"123456"}}"#.to_owned(),
        r#"{"recovery":{"code":"ABCDE-FGHJK"}}"#.to_owned(),
    ] {
        let refusal = read_header(&URL_SAFE_NO_PAD.encode(&bad)).unwrap_err();
        assert_eq!(refusal.code(), "body_invalid", "{bad}");
        assert!(!refusal.to_string().contains("123456"), "{refusal}");
    }
}
