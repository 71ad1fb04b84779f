//! The view of payments: how each stands after every event that can happen to it, and what the ledger holds then.

#![allow(clippy::unwrap_used)] // what a test calls is a test too

mod support;

use events::Event;
use events::ids::{PaymentId, RefundId};
use events::ledger::{LedgerAccount, Transfer};
use events::payment::{
    ActionKind, ActionRequired, Authorized, CaptureTime, Captured, Failed, RefundFailed, RefundRequested,
    Refunded, Requested, VoidReason, VoidRequested, Voided,
};
use projections::Projections;
use projections::payment::{PaymentStage, RefundState};
use support::{History, START, account, currency, follow, usd};
use uuid::Uuid;

fn payment(n: u128) -> PaymentId {
    PaymentId::from_uuid(Uuid::from_u128(n))
}

fn refund(n: u128) -> RefundId {
    RefundId::from_uuid(Uuid::from_u128(n))
}

const BUYER: u64 = 1;
const PROVIDER: u64 = 99;

fn requested(n: u128) -> Event {
    let (account, provider) = (account(BUYER), account(PROVIDER));
    let (payment, token) = (payment(n), "tok".to_owned());
    let (to, expires_at, orders) = (LedgerAccount::Wallet(account), START.plus_ms(9), vec![]);
    Requested {
        account,
        amount: usd(700),
        capture: CaptureTime::AtOnce,
        expires_at,
        orders,
        payment,
        provider,
        replaces: None,
        to,
        token,
    }
    .into()
}

fn transfer(minor: i64, from: LedgerAccount, to: LedgerAccount) -> Transfer {
    Transfer { amount: usd(minor), from, to }
}

#[tokio::test]
async fn a_payment_is_shown_as_it_stands_after_each_event() {
    let (who, provider) = (account(BUYER), account(PROVIDER));
    let (wallet, clearing) = (LedgerAccount::Wallet(who), LedgerAccount::ProviderClearing(provider));
    let payable = LedgerAccount::RefundsPayable;
    let (one, reference) = (payment(1), || "r".to_owned());
    let dir = tempfile::tempdir().unwrap();
    let views = Projections::open(dir.path()).unwrap();
    let mut history = History::default();
    let url = Some("https://bank.example".to_owned());
    let (kind, because) = (ActionKind::Redirect, VoidReason::Cancelled);
    let until = START.plus_ms(9);
    let refund_of = |n, minor: i64, refunded: i64| RefundRequested {
        account: who,
        captured: usd(700),
        order: None,
        payment: one,
        provider,
        reference: reference(),
        refund: refund(n),
        refunded: usd(refunded),
        transfer: transfer(minor, wallet, payable),
    };
    let steps: Vec<(Event, PaymentStage, i64, i64)> = vec![
        (requested(1), PaymentStage::Requested { expires_at: until }, 0, 0),
        (
            ActionRequired {
                account: who,
                expires_at: until,
                kind,
                payment: one,
                provider,
                reference: reference(),
                url: url.clone(),
            }
            .into(),
            PaymentStage::ActionRequired { kind, url, expires_at: until },
            0,
            0,
        ),
        (
            Authorized {
                account: who,
                amount: usd(700),
                capture_before: until,
                expiring_at: None,
                payment: one,
                pending: Some(transfer(700, clearing, wallet)),
                provider,
                reference: reference(),
                waits_until: None,
            }
            .into(),
            PaymentStage::Authorized { amount: usd(700), capture_before: until },
            0,
            0,
        ),
        (
            VoidRequested { account: who, because, payment: one, provider }.into(),
            PaymentStage::Voiding { because },
            0,
            0,
        ),
        (
            Captured {
                account: who,
                payment: one,
                provider,
                reference: reference(),
                transfer: transfer(700, clearing, wallet),
            }
            .into(),
            PaymentStage::Captured,
            700,
            0,
        ),
        (refund_of(1, 300, 300).into(), PaymentStage::Captured, 700, 0),
        (
            Refunded {
                account: who,
                payment: one,
                refund: refund(1),
                reference: reference(),
                transfer: transfer(300, payable, clearing),
            }
            .into(),
            PaymentStage::Refunded,
            700,
            300,
        ),
        (refund_of(2, 400, 700).into(), PaymentStage::Refunded, 700, 300),
        (
            RefundFailed {
                account: who,
                captured: usd(700),
                code: "closed".to_owned(),
                payment: one,
                provider,
                reference: reference(),
                refund: refund(2),
                refunded: usd(300),
                transfer: transfer(400, payable, wallet),
            }
            .into(),
            PaymentStage::Refunded,
            700,
            300,
        ),
    ];
    for (event, state, captured, refunded) in steps {
        let position = history.head().position;
        history.later(1).commanded(who, "payment.test", vec![event]);
        follow(&views, history.after(position)).await;
        let shown = views.payments().payment(one).unwrap().unwrap();
        assert_eq!(shown.state, state);
        assert_eq!(
            (shown.captured, shown.refunded, shown.changed_at),
            (usd(captured), usd(refunded), history.now)
        );
        assert_eq!((shown.account, shown.amount, shown.requested_at), (who, usd(700), START.plus_ms(1)));
    }
    let refunds: Vec<_> = views.payments().payment(one).unwrap().unwrap().refunds.into_values().collect();
    let states: Vec<_> = refunds.iter().map(|refund| (refund.amount, &refund.state)).collect();
    let failed = RefundState::Failed { code: "closed".to_owned() };
    assert_eq!(states, [(usd(300), &RefundState::Refunded), (usd(400), &failed)]);
    let holds = |account| views.ledger().balance(account, currency("USD")).unwrap();
    assert_eq!((holds(wallet), holds(clearing), holds(payable)), (usd(400), usd(-400), usd(0)));
}

#[tokio::test]
async fn a_payment_that_came_to_nothing_says_why() {
    let (who, provider) = (account(BUYER), account(PROVIDER));
    let dir = tempfile::tempdir().unwrap();
    let views = Projections::open(dir.path()).unwrap();
    let mut history = History::default();
    let (amount, because) = (usd(700), VoidReason::RequestExpired);
    let code = "stolen_card".to_owned();
    let failed =
        Failed { account: who, amount, code: code.clone(), payment: payment(1), provider, retryable: false };
    let voided = Voided { account: who, amount, because, payment: payment(2), provider };
    let events = vec![requested(1), requested(2), failed.into(), voided.into()];
    history.commanded(who, "payment.test", events);
    follow(&views, history.all()).await;
    let state = |n| views.payments().payment(payment(n)).unwrap().map(|payment| payment.state);
    assert_eq!(state(1), Some(PaymentStage::Failed { code, retryable: false }));
    assert_eq!(state(2), Some(PaymentStage::Voided { because }));
    assert_eq!(state(3), None);
    assert!(views.ledger().trial_balance().unwrap().is_empty());
}
