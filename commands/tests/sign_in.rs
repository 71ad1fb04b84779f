//! Signing in without a device: who has a password, how it is locked, and which sessions there are.

// What is not inside a test function is part of one all the same.
#![allow(clippy::unwrap_used)]

mod support;

use commands::command::{
    EndSession, EnrollRecovery, RemovePassword, ReportSignInFailed, SetPassword, SetStepUpTerms, StartSession,
};
use commands::sign_in::{
    FAILURES_FREE, FAILURES_MS, LOCK_MS, LOCK_MS_MAX, SESSION_MS_MAX, SESSIONS_PER_ACCOUNT_MAX,
};
use commands::{Decision, Refusal};
use events::Timestamp;
use events::ids::{PasswordId, SessionId};
use events::rejection::{DeviceRejection, SignInRejection};
use events::sign_in::{PasswordRemoved, PasswordSet, SessionEnded, SessionStarted, SignInFailed};
use events::step_up::{RecoveryShown, StepUpTerms};
use support::*;
use uuid::Uuid;

fn password(n: u128) -> PasswordId {
    PasswordId::from_uuid(Uuid::from_u128(n))
}

fn session(n: u128) -> SessionId {
    SessionId::from_uuid(Uuid::from_u128(n))
}

fn set(n: u128) -> SetPassword {
    SetPassword { password: password(n) }
}

fn failed(n: u128) -> ReportSignInFailed {
    ReportSignInFailed { account: BUYER.account(), password: password(n) }
}

fn start(n: u128, until: Timestamp) -> StartSession {
    StartSession { account: BUYER.account(), password: password(1), session: session(n), until }
}

fn end(n: u128) -> EndSession {
    EndSession { account: Some(BUYER.account()), session: session(n) }
}

/// A market whose buyer has a password.
fn with_password() -> World {
    let mut world = World::new();
    world.given(BUYER, set(1).into());
    world
}

fn locked(until: Timestamp) -> events::Rejection {
    SignInRejection::SignInLocked { account: BUYER.account(), until }.into()
}

fn no_password() -> events::Rejection {
    SignInRejection::NoPassword { account: BUYER.account() }.into()
}

#[test]
fn a_password_is_set_and_replaced_and_removed() {
    let account = BUYER.account();
    let mut world = World::new();
    world
        .when(BUYER, set(1))
        .then_events([PasswordSet { account, password: password(1) }.into()])
        .when(BUYER, set(1))
        .then_unchanged()
        .when(BUYER, set(2))
        .then_events([PasswordSet { account, password: password(2) }.into()])
        // What was found out about the one before says nothing of this one.
        .when(REGISTRAR, failed(1))
        .then_rejected([no_password()])
        .when(BUYER, RemovePassword { account: None })
        .then_events([PasswordRemoved { account }.into()])
        .when(BUYER, RemovePassword { account: None })
        .then_unchanged()
        .when(REGISTRAR, failed(2))
        .then_rejected([no_password()]);
    let not_yours = DeviceRejection::NotYourDevice { account };
    let remove = RemovePassword { account: Some(account) };
    with_password().when(SELLER, remove).then_rejected([not_yours.into()]);
    for actor in [OPERATOR, REGISTRAR] {
        with_password().when(actor, remove).then_types(["sign_in.password_removed.v1"]);
    }
}

#[test]
fn with_a_second_factor_a_password_is_set_and_removed_with_it() {
    let terms = StepUpTerms {
        origins: ["https://market.example".parse().unwrap()].into(),
        relying_party: "market.example".parse().unwrap(),
        rules: vec![],
    };
    let commitments =
        (0..8).map(|n| RecoveryShown::of(&format!("code {n}")).commitment(BUYER.account())).collect();
    let mut world = with_password();
    world
        .given(OPERATOR, SetStepUpTerms { terms }.into())
        .given(BUYER, EnrollRecovery { commitments }.into());
    for command in [commands::Command::from(set(2)), RemovePassword { account: None }.into()] {
        world.when(BUYER, command);
        assert!(matches!(world.outcome(), Decision::Refuse(Refusal::MfaRequired { .. })));
    }
}

#[test]
fn only_the_registrar_tells_who_signed_in() {
    for actor in [BUYER, OPERATOR, PROVIDER, SELLER] {
        let mut world = with_password();
        let until = world.now.plus_ms(1);
        for command in [commands::Command::from(failed(1)), start(1, until).into()] {
            world.when(actor, command);
            assert!(matches!(world.outcome(), Decision::Refuse(Refusal::ScopeDenied { .. })));
        }
    }
}

#[test]
fn each_wrong_password_beyond_some_locks_twice_as_long() {
    let account = BUYER.account();
    let mut world = with_password();
    let mut expected_ms = LOCK_MS;
    for failures in 1..=FAILURES_FREE + 10 {
        let is_free = failures <= FAILURES_FREE;
        let locked_until = (!is_free).then(|| world.now.plus_ms(expected_ms));
        world
            .when(REGISTRAR, failed(1))
            .then_events([SignInFailed { account, failures, locked_until }.into()]);
        let Some(until) = locked_until else { continue };
        // Neither a further failure nor the right password is looked at meanwhile.
        world.now = until.plus_ms(-1);
        let late = until.plus_ms(HOUR_MS);
        world.when(REGISTRAR, failed(1)).then_rejected([locked(until)]);
        world.when(REGISTRAR, start(1, late)).then_rejected([locked(until)]);
        world.now = until;
        expected_ms = (2 * expected_ms).min(LOCK_MS_MAX);
    }
    assert_eq!(expected_ms, LOCK_MS_MAX);
    // Who signs in begins anew, and who does not try for a day too.
    let until = world.now.plus_ms(HOUR_MS);
    world.when(REGISTRAR, start(1, until)).then_types(["session.started.v1"]);
    world
        .when(REGISTRAR, failed(1))
        .then_events([SignInFailed { account, failures: 1, locked_until: None }.into()]);
    world.after(FAILURES_MS).when(REGISTRAR, failed(1)).then_events([SignInFailed {
        account,
        failures: 1,
        locked_until: None,
    }
    .into()]);
}

const HOUR_MS: i64 = 3_600_000;

#[test]
fn sessions_are_bounded_in_time_and_number_and_end() {
    let account = BUYER.account();
    let mut world = with_password();
    let length = || SignInRejection::SessionLength { max_ms: SESSION_MS_MAX }.into();
    let now = world.now;
    for ms in [0, -1, SESSION_MS_MAX + 1] {
        world.when(REGISTRAR, start(1, now.plus_ms(ms))).then_rejected([length()]);
    }
    let until = now.plus_ms(HOUR_MS);
    world
        .when(REGISTRAR, start(1, until))
        .then_events([SessionStarted { account, session: session(1), until }.into()])
        .when(REGISTRAR, start(1, until))
        .then_unchanged();
    for n in 2..=SESSIONS_PER_ACCOUNT_MAX as u128 {
        world.given(REGISTRAR, start(n, until).into());
    }
    let max = SESSIONS_PER_ACCOUNT_MAX as u32;
    world.when(REGISTRAR, start(99, until)).then_rejected([SignInRejection::TooManySessions { max }.into()]);
    world
        .when(BUYER, EndSession { account: None, session: session(1) })
        .then_events([SessionEnded { account, session: session(1) }.into()])
        .when(OPERATOR, end(2))
        .then_types(["session.ended.v1"])
        .when(REGISTRAR, end(3))
        .then_types(["session.ended.v1"])
        .when(REGISTRAR, end(3))
        .then_unchanged();
    let not_yours = DeviceRejection::NotYourDevice { account };
    world.when(SELLER, end(4)).then_rejected([not_yours.into()]);
    // Those that are over make room and can't be ended.
    world.now = until;
    world.when(REGISTRAR, end(5)).then_unchanged();
    let later = until.plus_ms(HOUR_MS);
    world.when(REGISTRAR, start(100, later)).then_types(["session.started.v1"]);
    let known = world.market.accounts.get(account).unwrap().sign_in.as_ref().unwrap();
    assert_eq!(known.sessions.len(), 1);
    // With a new password all end.
    world.given(BUYER, set(2).into());
    world.when(REGISTRAR, end(100)).then_unchanged();
}
