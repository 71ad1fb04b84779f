//! Signing in without a device: who has a password, how it is locked, and which sessions there are.

use crate::support::passkeys::{Authenticator, Ceremony, DOMAIN, GOOD, ORIGIN};
use crate::support::*;
use commands::command::{
    EndSession, EnrollRecovery, EnrollTotp, EraseAccount, RemovePassword, ReportSignInFailed, SetPassword,
    SetStepUpTerms, StartSession,
};
use commands::sign_in::{
    CHALLENGE_START, FAILURES_FREE, FAILURES_MS, LOCK_MS, LOCK_MS_MAX, SESSION_MS_MAX,
    SESSIONS_PER_ACCOUNT_MAX, challenge,
};
use commands::step_up::STEP_MS;
use commands::{Decision, Refusal};
use events::account::Algorithm;
use events::ids::{AuthenticatorId, Nonce, PasswordId, SessionId};
use events::rejection::{DeviceRejection, FactorRejection, SignInRejection};
use events::sign_in::{PasswordRemoved, PasswordSet, SessionEnded, SessionStarted, SignInFailed};
use events::step_up::{RecoveryShown, StepUp, StepUpTerms, TotpShown};
use events::{Rejection, Timestamp};
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
    let (account, password) = (BUYER.account(), Some(password(1)));
    StartSession { account, password, session: session(n), until, shown: None, nonce: None }
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

fn locked(until: Timestamp) -> Rejection {
    SignInRejection::SignInLocked { account: BUYER.account(), until }.into()
}

fn no_password() -> Rejection {
    SignInRejection::NoPassword { account: BUYER.account() }.into()
}

#[test]
fn a_password_is_set_and_replaced_and_removed() {
    let account = BUYER.account();
    let mut world = World::new();
    world
        .when(BUYER, set(1))
        .then_events([PasswordSet { account, password: password(1), replaced: None }.into()])
        .when(BUYER, set(1))
        .then_unchanged()
        .when(BUYER, set(2))
        .then_events([PasswordSet { account, password: password(2), replaced: Some(password(1)) }.into()])
        // What was found out about the one before says nothing of this one.
        .when(REGISTRAR, failed(1))
        .then_rejected([no_password()])
        .when(BUYER, RemovePassword { account: None })
        .then_events([PasswordRemoved { account, password: password(2) }.into()])
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
    let mut world = with_recovery();
    for command in [commands::Command::from(set(2)), RemovePassword { account: None }.into()] {
        world.when(BUYER, command);
        assert!(matches!(world.outcome(), Decision::Refuse(Refusal::MfaRequired { .. })));
    }
}

fn taking_factors(world: &mut World) {
    let terms = StepUpTerms {
        origins: [ORIGIN.parse().unwrap()].into(),
        relying_party: DOMAIN.parse().unwrap(),
        rules: vec![],
    };
    world.given(OPERATOR, SetStepUpTerms { terms }.into());
}

fn code(n: u32) -> RecoveryShown {
    RecoveryShown::of(&format!("code {n}"))
}

/// A market whose buyer has a password and recovery codes.
fn with_recovery() -> World {
    let mut world = with_password();
    taking_factors(&mut world);
    let commitments = (0..8).map(|n| code(n).commitment(BUYER.account())).collect();
    world.given(BUYER, EnrollRecovery { commitments }.into());
    world
}

fn refused(problem: &str) -> Rejection {
    SignInRejection::SecondFactorRefused { problem: problem.to_owned() }.into()
}

#[test]
fn who_has_a_second_factor_shows_it_with_the_password_and_each_code_once() {
    let account = BUYER.account();
    let mut world = with_recovery();
    let until = world.now.plus_ms(HOUR_MS);
    let shown = |n: u128, code: RecoveryShown| StartSession {
        shown: Some(StepUp::Recovery(code)),
        ..start(n, until)
    };
    world
        .when(REGISTRAR, start(1, until))
        .then_rejected([SignInRejection::SecondFactorNeeded { account }.into()])
        .when(REGISTRAR, shown(1, code(3)))
        .then_events([SessionStarted {
            account,
            session: session(1),
            until,
            password: Some(password(1)),
            shown: Some(StepUp::Recovery(code(3))),
        }
        .into()])
        // It was used up, so it is a wrong one now, and counts as a wrong password does.
        .when(REGISTRAR, shown(2, code(3)))
        .then_types(["sign_in.failed.v1", "command.rejected.v1"]);
    let left = FAILURES_FREE - 1;
    world.when(REGISTRAR, shown(3, code(99))).then_events([
        SignInFailed { account, failures: 2, locked_until: None }.into(),
        events::command::Rejected {
            command: "session.start".to_owned(),
            reasons: vec![FactorRejection::CodeWrong { left }.into()],
        }
        .into(),
    ]);
    // Without the password a code is nothing.
    let alone = StartSession { password: None, ..shown(4, code(4)) };
    world.when(REGISTRAR, alone).then_rejected([refused("without the password only a passkey counts")]);
}

#[test]
fn an_apps_code_is_of_its_time_and_good_once() {
    let authenticator = AuthenticatorId::from_uuid(Uuid::from_u128(77));
    let mut world = with_password();
    taking_factors(&mut world);
    world.given(BUYER, EnrollTotp { authenticator }.into());
    let until = world.now.plus_ms(HOUR_MS);
    let step = (world.now.ms() / STEP_MS) as u64;
    let shown = |n: u128, authenticator: AuthenticatorId, step: Option<u64>| StartSession {
        shown: Some(StepUp::Totp(TotpShown { authenticator, step })),
        ..start(n, until)
    };
    let late = refused("the code is of another time: show the present one");
    world
        .when(REGISTRAR, shown(1, authenticator, Some(step - 2)))
        .then_rejected([late])
        .when(REGISTRAR, shown(1, authenticator, Some(step)))
        .then_types(["session.started.v1"])
        .when(REGISTRAR, shown(2, authenticator, Some(step)))
        .then_rejected([refused("the code, or a later one, was shown before: wait for the next")])
        .when(REGISTRAR, shown(2, authenticator, None))
        .then_types(["sign_in.failed.v1", "command.rejected.v1"]);
    let other = AuthenticatorId::from_uuid(Uuid::from_u128(78));
    world
        .when(REGISTRAR, shown(2, other, Some(step)))
        .then_rejected([refused("the app is none of this account")]);
}

/// Signs in to the buyer's account with a passkey.
fn by_passkey(n: u128, until: Timestamp, passkey: &Authenticator, ceremony: &Ceremony) -> StartSession {
    let nonce = Nonce([n as u8; 16]);
    let assertion = passkey.approve(challenge(nonce), ceremony);
    let (shown, nonce) = (Some(StepUp::Webauthn(assertion)), Some(nonce));
    StartSession { password: None, shown, nonce, ..start(n, until) }
}

#[test]
fn a_passkey_alone_is_enough_and_is_checked_as_beside_a_command() {
    let passkey = Authenticator::new(Algorithm::Es256, 3);
    let mut world = with_password();
    taking_factors(&mut world);
    world.given(BUYER, passkey.enroll());
    let until = world.now.plus_ms(HOUR_MS);
    let counted = |count: u32| Ceremony { count, ..GOOD };
    world
        .when(REGISTRAR, by_passkey(1, until, &passkey, &counted(7)))
        .then_types(["session.started.v1"])
        .when(REGISTRAR, by_passkey(2, until, &passkey, &counted(7)))
        .then_rejected([refused("the passkey has signed more than this says: it may have been copied")])
        .when(REGISTRAR, by_passkey(2, until, &passkey, &Ceremony { flags: 1, ..counted(8) }))
        .then_rejected([refused(
            "the authenticator does not say that its owner was there: ask for user verification",
        )])
        .when(
            REGISTRAR,
            by_passkey(2, until, &passkey, &Ceremony { origin: "https://evil.example", ..counted(8) }),
        )
        .then_rejected([refused("it was given on a page that is none of this market's")]);
    // Of another nonce, of none, or of a command's bytes it approves nothing.
    let good = by_passkey(3, until, &passkey, &counted(9));
    let another = "it approves another command: have this one's challenge signed";
    world
        .when(REGISTRAR, StartSession { nonce: Some(Nonce([9; 16])), ..good.clone() })
        .then_rejected([refused(another)])
        .when(REGISTRAR, StartSession { nonce: None, ..good.clone() })
        .then_rejected([refused("there is no challenge for the passkey")]);
    let stranger = Authenticator::new(Algorithm::Es256, 4);
    world
        .when(REGISTRAR, by_passkey(4, until, &stranger, &GOOD))
        .then_rejected([refused("the passkey is none of this account")])
        .when(REGISTRAR, good)
        .then_types(["session.started.v1"]);
    // Who signs in so says nothing of who tries passwords, and who tries those locks no passkey out.
    for _ in 0..=FAILURES_FREE {
        world.given(REGISTRAR, failed(1).into());
    }
    let locked_until = world.now.plus_ms(LOCK_MS);
    world
        .when(REGISTRAR, by_passkey(5, until, &passkey, &counted(10)))
        .then_types(["session.started.v1"])
        .when(REGISTRAR, failed(1))
        .then_rejected([locked(locked_until)]);
    // With the passkey all sessions go.
    world.given(OPERATOR, passkey.remove(Some(BUYER)));
    world.when(REGISTRAR, end(5)).then_unchanged();
}

#[test]
fn a_challenge_says_itself_that_it_is_one_to_sign_in() {
    let passkey = Authenticator::new(Algorithm::Es256, 3);
    let mut world = with_password();
    taking_factors(&mut world);
    world.given(BUYER, passkey.enroll());
    let until = world.now.plus_ms(HOUR_MS);
    let approved = |n: u128, challenge: &[u8]| {
        let shown = Some(StepUp::Webauthn(passkey.approve_bytes(challenge, &GOOD)));
        StartSession { password: None, shown, ..start(n, until) }
    };
    let given = [CHALLENGE_START, &[7; 56]].concat();
    let none = refused("there is no challenge for the passkey");
    world
        .when(REGISTRAR, approved(1, &given))
        .then_types(["session.started.v1"])
        // What has the length of a command's challenge is none, however it begins, nor is what begins otherwise.
        .when(REGISTRAR, approved(2, &given[..32]))
        .then_rejected([none.clone()])
        .when(REGISTRAR, approved(2, &given[1..]))
        .then_rejected([none.clone()])
        .when(REGISTRAR, approved(2, b""))
        .then_rejected([none]);
    // Where a nonce is named it is the nonce's.
    let named = StartSession { nonce: Some(Nonce([7; 16])), ..approved(2, &given) };
    let another = "it approves another command: have this one's challenge signed";
    world.when(REGISTRAR, named).then_rejected([refused(another)]);
}

#[test]
fn nobody_signs_in_to_an_account_that_was_erased() {
    let mut world = with_password();
    let until = world.now.plus_ms(HOUR_MS);
    world.given(REGISTRAR, start(1, until).into());
    world.given(BUYER, EraseAccount { account: None }.into());
    world.when(REGISTRAR, start(2, until)).then_rejected([no_password()]);
    world.when(REGISTRAR, end(1)).then_unchanged();
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
        .then_events([SessionStarted {
            account,
            session: session(1),
            until,
            password: Some(password(1)),
            shown: None,
        }
        .into()])
        .when(REGISTRAR, start(1, until))
        .then_unchanged();
    for n in 2..=SESSIONS_PER_ACCOUNT_MAX as u128 {
        world.given(REGISTRAR, start(n, until).into());
    }
    // One more ends the one that would end first, of several the one with the smallest id.
    world.when(REGISTRAR, start(99, until)).then_types(["session.ended.v1", "session.started.v1"]);
    world.when(REGISTRAR, end(1)).then_unchanged();
    world
        .when(BUYER, EndSession { account: None, session: session(6) })
        .then_events([SessionEnded { account, session: session(6) }.into()])
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
