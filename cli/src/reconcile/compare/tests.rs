use events::chargeback::{ChargebackReason, Lost, Opened, Round, Won};
use events::exchange::{Exchanged, Rate};
use events::ids::{AccountId, ChargebackId, PaymentId, PayoutId, RefundId};
use events::ledger::{LedgerAccount, Transfer};
use events::listing::WalletFunded;
use events::payment::{Captured, RefundFailed, RefundRequested, Refunded};
use events::payout;
use events::{Event, Position};
use uuid::Uuid;

use super::super::file::Format;
use super::*;

const PROVIDER: AccountId = AccountId::from_uuid(Uuid::from_u128(1));
const OTHER_PROVIDER: AccountId = AccountId::from_uuid(Uuid::from_u128(2));
const BUYER: AccountId = AccountId::from_uuid(Uuid::from_u128(3));
const SELLER: AccountId = AccountId::from_uuid(Uuid::from_u128(4));
const HOUR_MS: i64 = 3_600_000;
/// The period is the hours 0 to 24.
const PERIOD: Period = Period { from: Timestamp::from_ms(0), until: Timestamp::from_ms(24 * HOUR_MS) };

fn hour(n: i64) -> Timestamp {
    Timestamp::from_ms(n * HOUR_MS)
}

fn usd(minor: i64) -> Money {
    Money::new(minor, "USD".parse().unwrap())
}

fn eur(minor: i64) -> Money {
    Money::new(minor, "EUR".parse().unwrap())
}

fn row(kind: MovementKind, reference: &str, at: Timestamp, amount: Money) -> Row {
    Row { kind, reference: reference.to_owned(), at, amount }
}

/// What a provider has, what the ledger has, and when the log ends.
struct Case {
    file: ProviderFile,
    ours: Ours,
    position: Position,
    log_ends: Timestamp,
}

impl Case {
    fn new(rows: Vec<Row>) -> Case {
        let file = ProviderFile { format: Format::Skylink, period: Some(PERIOD), rows, fees: Vec::new() };
        Case { file, ours: Ours::new(PROVIDER), position: 0, log_ends: hour(48) }
    }

    fn given(mut self, at: Timestamp, event: impl Into<Event>) -> Case {
        self.position += 1;
        self.ours.event(self.position, &event.into(), at);
        self
    }

    fn found(&self) -> Comparison {
        let Case { file, ours, log_ends, .. } = self;
        compare(&Question { file, ours, period: PERIOD, grace_ms: HOUR_MS, log_ends: *log_ends })
    }

    /// Tells what was found: how many are the same, how many in flight, and the differences.
    #[track_caller]
    fn then(&self, matched: u32, in_flight: u32, differences: &[Difference]) {
        let found = self.found();
        let seen: Vec<Difference> = found.breaks.iter().map(|one| one.difference).collect();
        assert_eq!((found.matched, found.in_flight, seen.as_slice()), (matched, in_flight, differences));
        // What the sums differ by is what the breaks do.
        let mut by_breaks = BTreeMap::<Currency, i128>::new();
        for difference in differences {
            let (ours, theirs) = match *difference {
                Difference::MissingInLedger { theirs } | Difference::DuplicateAtProvider { theirs } => {
                    (None, Some(theirs))
                }
                Difference::MissingAtProvider { ours } => (Some(ours), None),
                Difference::AmountDiffers { ours, theirs } | Difference::CurrencyDiffers { ours, theirs } => {
                    (Some(ours), Some(theirs))
                }
            };
            for (amount, sign) in [(theirs, 1), (ours, -1)] {
                let Some(amount) = amount else { continue };
                *by_breaks.entry(amount.currency).or_default() += sign * i128::from(amount.minor);
            }
        }
        by_breaks.retain(|_, minor| *minor != 0);
        let sums = found.totals.iter().map(|(currency, sums)| (*currency, sums.theirs - sums.ours));
        assert_eq!(sums.filter(|(_, minor)| *minor != 0).collect::<BTreeMap<_, _>>(), by_breaks);
    }
}

fn transfer(amount: Money, from: LedgerAccount, to: LedgerAccount) -> Transfer {
    Transfer { amount, from, to }
}

fn clearing() -> LedgerAccount {
    LedgerAccount::ProviderClearing(PROVIDER)
}

fn captured(reference: &str, amount: Money) -> Event {
    let transfer = transfer(amount, clearing(), LedgerAccount::Wallet(BUYER));
    let payment = PaymentId::from_uuid(Uuid::from_u128(9));
    Captured { account: BUYER, payment, provider: PROVIDER, reference: reference.to_owned(), transfer }.into()
}

fn funded_by(provider: AccountId, reference: &str, amount: Money) -> Event {
    let from = LedgerAccount::ProviderClearing(provider);
    let transfer = transfer(amount, from, LedgerAccount::Wallet(BUYER));
    WalletFunded { account: BUYER, reference: reference.to_owned(), transfer }.into()
}

fn refund_id(n: u128) -> RefundId {
    RefundId::from_uuid(Uuid::from_u128(n))
}

fn refund_asked(n: u128, amount: Money) -> Event {
    let transfer = transfer(amount, LedgerAccount::Wallet(BUYER), LedgerAccount::RefundsPayable);
    RefundRequested {
        account: BUYER,
        captured: amount,
        order: None,
        payment: PaymentId::from_uuid(Uuid::from_u128(9)),
        provider: PROVIDER,
        reference: "pi".to_owned(),
        refund: refund_id(n),
        refunded: amount,
        transfer,
    }
    .into()
}

fn refunded(n: u128, reference: &str, amount: Money) -> Event {
    let transfer = transfer(amount, LedgerAccount::RefundsPayable, clearing());
    let payment = PaymentId::from_uuid(Uuid::from_u128(9));
    Refunded { account: BUYER, payment, refund: refund_id(n), reference: reference.to_owned(), transfer }
        .into()
}

fn refund_failed(n: u128, amount: Money) -> Event {
    let transfer = transfer(amount, LedgerAccount::RefundsPayable, LedgerAccount::Wallet(BUYER));
    RefundFailed {
        account: BUYER,
        captured: amount,
        code: "c".to_owned(),
        payment: PaymentId::from_uuid(Uuid::from_u128(9)),
        provider: PROVIDER,
        reference: "pi".to_owned(),
        refund: refund_id(n),
        refunded: usd(0),
        transfer,
    }
    .into()
}

const PAYOUT: PayoutId = PayoutId::from_uuid(Uuid::from_u128(8));

fn payout_asked(amount: Money) -> Event {
    let transfer = transfer(amount, LedgerAccount::SellerAvailable(SELLER), LedgerAccount::Payout(PAYOUT));
    let (account, provider, due) = (SELLER, PROVIDER, hour(200));
    payout::Requested { account, due, payout: PAYOUT, provider, token: "acct_1".to_owned(), transfer }.into()
}

fn payout_paid(reference: &str, amount: Money) -> Event {
    let transfer = transfer(amount, LedgerAccount::Payout(PAYOUT), clearing());
    let (account, provider) = (SELLER, PROVIDER);
    payout::Paid { account, payout: PAYOUT, provider, reference: reference.to_owned(), transfer }.into()
}

fn payout_returned(amount: Money) -> Event {
    let transfer = transfer(amount, clearing(), LedgerAccount::SellerAvailable(SELLER));
    let (account, provider) = (SELLER, PROVIDER);
    payout::Returned { account, code: "c".to_owned(), payout: PAYOUT, provider, transfer }.into()
}

fn payout_failed(amount: Money) -> Event {
    let transfer = transfer(amount, LedgerAccount::Payout(PAYOUT), LedgerAccount::SellerAvailable(SELLER));
    let (account, provider) = (SELLER, PROVIDER);
    payout::Failed { account, code: "c".to_owned(), payout: PAYOUT, provider, transfer }.into()
}

use MovementKind::{ExchangeIn, ExchangeOut, Payment, Payout, PayoutReturned, Refund, RefundReturned};

#[test]
fn what_is_the_same_at_both_is_no_break_whatever_it_was_for() {
    let rate = Rate { for_minor: 100, gives_minor: 90 };
    let exchanged = Exchanged::new(BUYER, PROVIDER, rate, "fx".to_owned(), [usd(100), eur(90)]);
    let rows = vec![
        row(Payment, "pi_1", hour(9), usd(1000)),
        row(Payment, "card 1", hour(9), usd(500)),
        row(Refund, "re_1", hour(10), usd(-300)),
        row(Payout, "po_1", hour(11), usd(-400)),
        row(PayoutReturned, "po_1", hour(20), usd(400)),
        row(ExchangeOut, "fx", hour(12), usd(-100)),
        row(ExchangeIn, "fx", hour(12), eur(90)),
    ];
    let case = Case::new(rows)
        .given(hour(9), captured("pi_1", usd(1000)))
        .given(hour(9), funded_by(PROVIDER, "card 1", usd(500)))
        .given(hour(9), funded_by(OTHER_PROVIDER, "card 2", usd(700)))
        .given(hour(10), refund_asked(1, usd(300)))
        .given(hour(10), refunded(1, "re_1", usd(300)))
        .given(hour(11), payout_asked(usd(400)))
        .given(hour(12), exchanged)
        // The bank took its time: the payout counts when it was asked for.
        .given(hour(40), payout_paid("po_1", usd(400)))
        .given(hour(41), payout_returned(usd(400)));
    case.then(7, 0, &[]);
    let sums = case.found().totals;
    assert_eq!(sums[&usd(0).currency], Sums { ours: 1100, theirs: 1100, fees: 0 });
    assert_eq!(sums[&eur(0).currency], Sums { ours: 90, theirs: 90, fees: 0 });
}

#[test]
fn each_class_of_break_is_found_with_what_is_known_of_it() {
    let at = hour(9);
    let (ours, theirs) = (usd(1000), usd(999));
    for (rows, moved, differences) in [
        (vec![row(Payment, "pi", at, ours)], vec![], vec![Difference::MissingInLedger { theirs: ours }]),
        (vec![], vec![captured("pi", ours)], vec![Difference::MissingAtProvider { ours }]),
        (
            vec![row(Payment, "pi", at, theirs)],
            vec![captured("pi", ours)],
            vec![Difference::AmountDiffers { ours, theirs }],
        ),
        (
            vec![row(Payment, "pi", at, eur(1000))],
            vec![captured("pi", ours)],
            vec![Difference::CurrencyDiffers { ours, theirs: eur(1000) }],
        ),
        // It went the other way.
        (
            vec![row(Payment, "pi", at, usd(-1000))],
            vec![captured("pi", ours)],
            vec![Difference::AmountDiffers { ours, theirs: usd(-1000) }],
        ),
        // A reference of another kind is another movement.
        (
            vec![row(Refund, "pi", at, ours)],
            vec![captured("pi", ours)],
            vec![Difference::MissingAtProvider { ours }, Difference::MissingInLedger { theirs: ours }],
        ),
    ] {
        let case = moved.into_iter().fold(Case::new(rows), |case, event| case.given(at, event));
        case.then(0, 0, &differences);
    }
    let twice = vec![row(Payment, "pi", at, ours), row(Payment, "pi", hour(10), ours)];
    Case::new(twice.clone()).given(at, captured("pi", ours)).then(
        1,
        0,
        &[Difference::DuplicateAtProvider { theirs: ours }],
    );
    Case::new(twice).then(
        0,
        0,
        &[Difference::MissingInLedger { theirs: ours }, Difference::DuplicateAtProvider { theirs: ours }],
    );
    let found = Case::new(vec![row(Payment, "pi", at, theirs)]).given(at, captured("pi", ours)).found();
    let difference = Difference::AmountDiffers { ours, theirs };
    let reference = "pi".to_owned();
    assert_eq!(found.breaks, [Break { at, difference, kind: Payment, position: Some(1), reference }]);
}

#[test]
fn the_one_with_the_same_amount_is_the_same_one() {
    let rows = vec![row(Refund, "re", hour(9), usd(-1)), row(Refund, "re", hour(9), usd(-2))];
    Case::new(rows).given(hour(9), refunded(1, "re", usd(2))).given(hour(9), refunded(2, "re", usd(3))).then(
        1,
        0,
        &[Difference::AmountDiffers { ours: usd(-3), theirs: usd(-1) }],
    );
}

#[test]
fn what_is_at_an_edge_of_the_period_is_judged_by_another_file() {
    // The two sides of midnight: the provider was first.
    let late = row(Payment, "pi", hour(24).plus_ms(-1), usd(5));
    Case::new(vec![late.clone()]).given(hour(24).plus_ms(1), captured("pi", usd(5))).then(1, 0, &[]);
    // What the ledger may learn yet.
    let mut case = Case::new(vec![late]);
    case.then(0, 0, &[Difference::MissingInLedger { theirs: usd(5) }]);
    case.log_ends = hour(24);
    case.then(0, 1, &[]);
    // What the provider may have said in the file before, or says in the next.
    for (at, in_flight, is_break) in [
        (hour(0).plus_ms(-1), 0, false),
        (hour(0), 1, false),
        (hour(1).plus_ms(-1), 1, false),
        (hour(1), 0, true),
        (hour(23), 0, true),
        (hour(23).plus_ms(1), 1, false),
        (hour(24), 0, false),
    ] {
        let differences = [Difference::MissingAtProvider { ours: usd(5) }];
        let expected = if is_break { &differences[..] } else { &[] };
        Case::new(vec![]).given(at, captured("pi", usd(5))).then(0, in_flight, expected);
    }
    // Lines of other periods are not judged, and take their part of the ledger with them.
    let other = row(Payment, "pi", hour(30), usd(5));
    Case::new(vec![other]).given(hour(12), captured("pi", usd(5))).then(0, 0, &[]);
}

#[test]
fn what_is_asked_for_and_not_told_the_end_of_is_in_flight() {
    let rows = vec![
        row(Payout, "po_1", hour(9), usd(-400)),
        row(Refund, "re_1", hour(9), usd(-30)),
        row(Payout, "po_2", hour(9), usd(-400)),
    ];
    let case =
        Case::new(rows).given(hour(9), payout_asked(usd(400))).given(hour(9), refund_asked(1, usd(30)));
    case.then(0, 2, &[Difference::MissingInLedger { theirs: usd(-400) }]);
}

#[test]
fn what_came_back_at_the_provider_alone_is_nothing_in_the_ledger() {
    let (out, back) =
        (row(Payout, "po_1", hour(9), usd(-400)), row(PayoutReturned, "po_1", hour(12), usd(400)));
    let failed =
        |case: Case| case.given(hour(9), payout_asked(usd(400))).given(hour(13), payout_failed(usd(400)));
    failed(Case::new(vec![out.clone(), back.clone()])).then(2, 0, &[]);
    // It went out before the period.
    failed(Case::new(vec![back.clone()])).then(1, 0, &[]);
    // The provider has it not back.
    failed(Case::new(vec![out.clone()])).then(0, 0, &[Difference::MissingInLedger { theirs: usd(-400) }]);
    // Less came back.
    let less = row(PayoutReturned, "po_1", hour(12), usd(390));
    let missing = |minor| Difference::MissingInLedger { theirs: usd(minor) };
    failed(Case::new(vec![out, less])).then(0, 0, &[missing(-400), missing(390)]);
    // The ledger knows nothing of it at all.
    Case::new(vec![back]).then(0, 0, &[missing(400)]);
    let rows = vec![row(Refund, "re", hour(9), usd(-30)), row(RefundReturned, "re", hour(12), usd(30))];
    Case::new(rows).given(hour(9), refund_asked(1, usd(30))).given(hour(12), refund_failed(1, usd(30))).then(
        2,
        0,
        &[],
    );
}

#[test]
fn what_a_file_has_not_is_not_missing_in_it() {
    let mut case =
        Case::new(vec![]).given(hour(9), payout_asked(usd(4))).given(hour(9), payout_paid("po", usd(4)));
    case.then(0, 0, &[Difference::MissingAtProvider { ours: usd(-4) }]);
    case.file.format = Format::StripeActivity;
    case.then(0, 0, &[]);
    assert_eq!(case.found().not_covered, 1);
    let mut case = Case::new(vec![]).given(hour(9), captured("pi", usd(4)));
    case.file.format = Format::StripePayouts;
    case.then(0, 0, &[]);
}

#[test]
fn money_that_moved_for_no_known_reason_is_told_and_fees_are_no_breaks() {
    let odd = payout::Failed {
        account: SELLER,
        code: "c".to_owned(),
        payout: PAYOUT,
        provider: PROVIDER,
        transfer: transfer(usd(4), clearing(), LedgerAccount::SellerAvailable(SELLER)),
    };
    let mut case = Case::new(vec![]).given(hour(9), odd);
    case.file.fees = vec![(hour(9), usd(3)), (hour(30), usd(7))];
    let found = case.found();
    assert_eq!(found.breaks[0].reference, "position 1, transfer 1");
    assert_eq!(found.totals[&usd(0).currency], Sums { ours: 4, theirs: 0, fees: 3 });
}

/// What a bank takes: a part from a wallet, the other owed.
fn disputed(amount: Money) -> Opened {
    let to = LedgerAccount::ProviderChargebacks(PROVIDER);
    let owed = LedgerAccount::BuyerReceivable(BUYER);
    let part = Money::new(1, amount.currency);
    let rest = Money::new(amount.minor - 1, amount.currency);
    Opened {
        account: BUYER,
        advanced: None,
        amount,
        captured: amount,
        chargeback: ChargebackId::from_uuid(Uuid::from_u128(7)),
        due_by: None,
        kept_until: vec![],
        network_reason: None,
        orders: vec![],
        payment: PaymentId::from_uuid(Uuid::from_u128(9)),
        payment_reference: "pi".to_owned(),
        provider: PROVIDER,
        reason: ChargebackReason::Duplicate,
        reference: "dp".to_owned(),
        refunded: Money::zero(amount.currency),
        round: Round::First,
        submissions: 0,
        transfers: vec![transfer(rest, LedgerAccount::Wallet(BUYER), to), transfer(part, owed, to)],
    }
}

#[test]
fn what_a_bank_takes_is_one_movement_and_that_it_is_lost_is_none() {
    let taken = row(MovementKind::Chargeback, "dp", hour(2), usd(-500));
    let back = row(MovementKind::ChargebackReversed, "dp", hour(4), usd(500));
    let opened = disputed(usd(500));
    let Opened { account, chargeback, payment, provider, .. } = opened;
    let from = LedgerAccount::ProviderChargebacks(PROVIDER);
    let reference = || "dp".to_owned();
    let won = Won {
        account,
        chargeback,
        kept_until: vec![],
        orders: vec![],
        payment,
        provider,
        reference: reference(),
        round: Round::First,
        transfers: opened.transfers.iter().map(|one| transfer(one.amount, from, one.from)).collect(),
        written_off: vec![],
    };
    let lost = Lost {
        accepted: false,
        account,
        advanced: None,
        chargeback,
        orders: vec![],
        payment,
        provider,
        reference: reference(),
        round: Round::First,
        transfer: transfer(usd(500), from, clearing()),
    };
    Case::new(vec![taken.clone(), back]).given(hour(2), opened.clone()).given(hour(4), won).then(2, 0, &[]);
    Case::new(vec![taken]).given(hour(2), opened).given(hour(4), lost).then(1, 0, &[]);
}
