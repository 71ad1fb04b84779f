//! What is wrong with what a bank disputes is found.

use events::chargeback::{ChargebackReason, ChargedOrder, Lost, Opened, Round, Won};
use events::ids::{AccountId, ChargebackId, OrderId, PaymentId};
use events::ledger::{LedgerAccount, Transfer};
use events::payment::Captured;
use events::{Event, Money, Position};
use uuid::Uuid;

use super::super::{Books, Invariant};

const BUYER: AccountId = AccountId::from_uuid(Uuid::from_u128(1));
const PROVIDER: AccountId = AccountId::from_uuid(Uuid::from_u128(3));
const PAYMENT: PaymentId = PaymentId::from_uuid(Uuid::from_u128(4));
const CHARGEBACK: ChargebackId = ChargebackId::from_uuid(Uuid::from_u128(5));
const WALLET: LedgerAccount = LedgerAccount::Wallet(BUYER);
const OWED: LedgerAccount = LedgerAccount::BuyerReceivable(BUYER);
const EXPENSE: LedgerAccount = LedgerAccount::PlatformExpense;
const TAKEN: LedgerAccount = LedgerAccount::ProviderChargebacks(PROVIDER);
const CLEARING: LedgerAccount = LedgerAccount::ProviderClearing(PROVIDER);

fn usd(minor: i64) -> Money {
    Money::new(minor, "USD".parse().unwrap())
}

fn captured(minor: i64) -> Event {
    let transfer = Transfer { amount: usd(minor), from: CLEARING, to: WALLET };
    let reference = "r".to_owned();
    Captured { account: BUYER, payment: PAYMENT, provider: PROVIDER, reference, transfer }.into()
}

fn opened<const N: usize>(amount: i64, from: [(LedgerAccount, i64); N], advanced: i64) -> Opened {
    Opened {
        account: BUYER,
        advanced: Some(usd(advanced)).filter(Money::is_positive),
        amount: usd(amount),
        captured: usd(1000),
        chargeback: CHARGEBACK,
        due_by: None,
        kept_until: vec![],
        network_reason: None,
        orders: vec![],
        payment: PAYMENT,
        payment_reference: "r".to_owned(),
        provider: PROVIDER,
        reason: ChargebackReason::Duplicate,
        reference: "d".to_owned(),
        refunded: usd(0),
        round: Round::First,
        submissions: 0,
        transfers: from.map(|(from, minor)| Transfer { amount: usd(minor), from, to: TAKEN }).into(),
    }
}

fn won<const N: usize>(to: [(LedgerAccount, i64); N]) -> Event {
    Won {
        account: BUYER,
        chargeback: CHARGEBACK,
        kept_until: vec![],
        orders: vec![],
        payment: PAYMENT,
        provider: PROVIDER,
        reference: "d".to_owned(),
        round: Round::First,
        transfers: to.map(|(to, minor)| Transfer { amount: usd(minor), from: TAKEN, to }).into(),
        written_off: vec![],
    }
    .into()
}

fn lost(minor: i64) -> Event {
    Lost {
        accepted: false,
        account: BUYER,
        advanced: None,
        chargeback: CHARGEBACK,
        orders: vec![],
        payment: PAYMENT,
        provider: PROVIDER,
        reference: "d".to_owned(),
        round: Round::First,
        transfer: Transfer { amount: usd(minor), from: TAKEN, to: CLEARING },
    }
    .into()
}

/// Enters events behind a payment of 1,000 into the wallet, and gives where a promise does not hold.
fn broken(events: &[Event]) -> Vec<(Invariant, Position)> {
    let mut books = Books::default();
    for (position, event) in (1..).zip([captured(1000)].iter().chain(events)) {
        books.event(position, event);
    }
    let findings: Vec<_> = books.findings().collect();
    findings.into_iter().filter_map(|(one, finding)| Some((one, finding.broken?.position))).collect()
}

#[test]
fn what_is_taken_whole_and_goes_back_whole_is_right() {
    let all = || opened(1000, [(WALLET, 1000)], 0);
    assert_eq!(broken(&[all().into(), won([(WALLET, 1000)])]), []);
    assert_eq!(broken(&[all().into(), lost(1000)]), []);
    // What was won may be taken once more.
    let again = Opened { round: Round::Second, ..all() };
    assert_eq!(broken(&[all().into(), won([(WALLET, 1000)]), again.into(), lost(1000)]), []);
}

#[test]
fn what_is_not_taken_whole_or_advanced_for_nothing_is_found() {
    let found = |opened: Opened| broken(&[opened.into()]);
    assert_eq!(found(opened(1000, [(WALLET, 999)], 0)), [(Invariant::I22, 2)]);
    assert_eq!(found(opened(1000, [(WALLET, 900), (EXPENSE, 100)], 100)), [(Invariant::I22, 2)]);
    assert_eq!(found(opened(1100, [(WALLET, 1000), (EXPENSE, 100)], 100)), []);
    assert_eq!(found(opened(1100, [(WALLET, 1000), (OWED, 100)], 0)), [(Invariant::I22, 2)]);
}

#[test]
fn money_that_is_taken_twice_or_comes_back_elsewhere_is_found() {
    let all = || Event::from(opened(500, [(WALLET, 500)], 0));
    assert_eq!(broken(&[all(), all()]), [(Invariant::I22, 3)]);
    assert_eq!(broken(&[all(), lost(500), all()]), [(Invariant::I22, 4)]);
    assert_eq!(broken(&[all(), won([(WALLET, 499)])]), [(Invariant::I22, 3)]);
    assert_eq!(broken(&[all(), won([(OWED, 500)])]), [(Invariant::I3, 3), (Invariant::I22, 3)]);
    assert_eq!(broken(&[all(), lost(499)]), [(Invariant::I22, 3)]);
    assert_eq!(broken(&[lost(1)]), [(Invariant::I3, 2), (Invariant::I22, 2)]);
}

#[test]
fn an_order_that_bears_what_is_none_of_its_is_found() {
    let order = OrderId::from_uuid(Uuid::from_u128(9));
    let charged = ChargedOrder { amount: usd(500), order, paid: usd(500), seller: BUYER };
    let available = LedgerAccount::SellerAvailable(BUYER);
    let wrong = Opened { orders: vec![charged], ..opened(500, [(available, 500)], 0) };
    assert_eq!(broken(&[wrong.into()]), [(Invariant::I3, 2), (Invariant::I22, 2)]);
}
