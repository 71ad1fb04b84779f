//! What differs between a provider's file and the ledger: reported by an operator once for each file and period, and open until
//! one has resolved it.

use crate::support::*;
use commands::command::{
    BREAKS_PER_REPORT_MAX, CURRENCIES_PER_REPORT_MAX, FoundBreak, ReportReconciliation, ResolveBreak, UpTo,
};
use commands::reconciliation::OPEN_BREAKS_MAX;
use commands::{Command, Decision, Facts, Refusal, decide};
use events::account::Role;
use events::reconciliation::{Break, Difference, MovementKind, OpenedBreak, Reported, Resolved, Total};
use events::rejection::ReconciliationProblem;
use events::{Hash, Rejection, Timestamp};

fn file(n: u32) -> Hash {
    Hash::of(&n.to_be_bytes())
}

fn missing(reference: &str, minor: i64) -> FoundBreak {
    let difference = Difference::MissingInLedger { theirs: usd(minor) };
    let (at, kind, position) = (START, MovementKind::Payment, None);
    FoundBreak { at, difference, kind, position, reference: text(reference) }
}

fn report(n: u32, breaks: &[FoundBreak]) -> ReportReconciliation {
    let total = Total { fees: usd(3), ours: usd(0), theirs: usd(700) };
    ReportReconciliation {
        breaks: breaks.to_vec().try_into().unwrap(),
        compared_to: 2,
        file: file(n),
        from: START.plus_ms(-DAY_MS),
        in_flight: 1,
        matched: 5,
        provider: PROVIDER.account(),
        totals: vec![total].try_into().unwrap(),
        unlisted: 0,
        until: START,
    }
}

fn reported(report: &ReportReconciliation, opened: &[(u64, FoundBreak)], already_open: u32) -> Reported {
    let opened = opened.iter().map(|(number, found)| {
        let FoundBreak { at, difference, kind, position, ref reference } = *found;
        let reference = reference.as_str().to_owned();
        OpenedBreak { found: Break { at, difference, kind, position, reference }, number: *number }
    });
    Reported {
        already_open,
        by: OPERATOR.account(),
        compared_to: report.compared_to,
        file: report.file,
        from: report.from,
        in_flight: report.in_flight,
        matched: report.matched,
        opened: opened.collect(),
        provider: report.provider,
        totals: report.totals.as_slice().to_vec(),
        unlisted: report.unlisted,
        until: report.until,
    }
}

fn resolve(number: u64) -> ResolveBreak {
    ResolveBreak { number, reason: text("the bank had it twice, and gave it back") }
}

fn problem(problem: ReconciliationProblem) -> [Rejection; 1] {
    [Rejection::Reconciliation { problem }]
}

#[test]
fn what_a_file_shows_is_reported_and_opens_numbered_breaks() {
    let mut world = World::new();
    let (one, other) = (missing("r1", 700), missing("r2", 5));
    let first = report(1, &[one.clone(), other.clone()]);
    let event = reported(&first, &[(1, one), (2, other)], 0);
    world
        .when(OPERATOR, first)
        .then_events([event.into()])
        .when_again()
        .then_repeat()
        .then(|market| assert_eq!(market.breaks.open().collect::<Vec<_>>(), [1, 2]));
    // Numbers go on.
    let third = missing("r3", 1);
    let next = report(2, std::slice::from_ref(&third));
    world.when(OPERATOR, next.clone()).then_events([reported(&next, &[(3, third)], 0).into()]);
    // A file in which all is well is told, too.
    let clean = report(3, &[]);
    world.when(OPERATOR, clean.clone()).then_events([reported(&clean, &[], 0).into()]);
}

#[test]
fn the_same_file_for_the_same_period_changes_nothing_for_ever() {
    let mut world = World::new();
    world.given(OPERATOR, report(1, &[missing("r1", 700)]).into());
    // Whoever reports it, whatever he has found by now, and after the break was resolved.
    world.when(OTHER_OPERATOR, report(1, &[missing("r2", 1)])).then_unchanged();
    world.given(OPERATOR, resolve(1).into());
    world.when(OPERATOR, report(1, &[missing("r1", 700)])).then_unchanged();
    // Another period of it is another report, and so is another file.
    let part = ReportReconciliation { until: START.plus_ms(-1), ..report(1, &[]) };
    world.when(OPERATOR, part).then_types(["reconciliation.reported.v1"]);
    // One that is no longer in memory is found by the index.
    let verified = world.sign(OPERATOR, report(7, &[missing("r9", 1)]));
    let facts = Facts { covered: world.market.position, credit: Some(3), ..Facts::default() };
    let decision = decide(&world.market, &verified, &facts, world.now);
    let Decision::Commit(events) = decision else { panic!("{decision:?}") };
    assert_eq!(events[0].type_name(), "command.unchanged.v1");
}

#[test]
fn a_break_that_is_open_is_not_opened_again_by_another_file() {
    let mut world = World::new();
    world.given(OPERATOR, report(1, &[missing("r1", 700)]).into());
    // The amount may have changed; a difference of another class is another break.
    let known = missing("r1", 701);
    let difference = Difference::AmountDiffers { ours: usd(1), theirs: usd(2) };
    let other = FoundBreak { difference, ..known.clone() };
    let again = report(2, &[known.clone(), other.clone(), other.clone()]);
    world.when(OPERATOR, again.clone()).then_events([reported(&again, &[(2, other)], 2).into()]);
    // Once it is resolved, a file that shows it still opens it anew.
    world.given(OPERATOR, resolve(1).into());
    let still = report(3, std::slice::from_ref(&known));
    world.when(OPERATOR, still.clone()).then_events([reported(&still, &[(3, known)], 0).into()]);
}

#[test]
fn what_is_no_report_is_rejected_with_what_to_do() {
    let mut world = World::new();
    let head = world.market.position;
    let no_provider = Rejection::RoleMissing { account: SELLER.account(), role: Role::Provider };
    let equal = Difference::AmountDiffers { ours: usd(1), theirs: usd(1) };
    let nothing = FoundBreak { difference: equal, ..missing("r1", 1) };
    let reference = "r1".to_owned();
    world
        .when(OPERATOR, ReportReconciliation { provider: SELLER.account(), ..report(1, &[]) })
        .then_rejected([no_provider])
        .when(OPERATOR, ReportReconciliation { from: START, ..report(1, &[]) })
        .then_rejected(problem(ReconciliationProblem::PeriodEmpty))
        .when(OPERATOR, ReportReconciliation { compared_to: head + 100, ..report(1, &[]) })
        .then_rejected(problem(ReconciliationProblem::BeyondLog { head: head + 2 }))
        .when(OPERATOR, report(1, &[nothing]))
        .then_rejected(problem(ReconciliationProblem::NoDifference { reference }));
}

#[test]
fn nobody_but_operators_reports_or_resolves() {
    let mut world = World::new();
    world.given(OPERATOR, report(1, &[missing("r1", 700)]).into());
    for actor in [PROVIDER, SELLER, BUYER, REGISTRAR] {
        let rule = || "the account has no role that may give this command".into();
        world.when(actor, report(2, &[])).then_refused(Refusal::ScopeDenied { rule: rule() });
        world.when(actor, resolve(1)).then_refused(Refusal::ScopeDenied { rule: rule() });
    }
    world.then(|market| assert_eq!(market.breaks.open_count(), 1));
}

#[test]
fn a_break_is_resolved_once_with_what_was_done() {
    let mut world = World::new();
    world.given(OPERATOR, report(1, &[missing("r1", 700)]).into());
    let reason = "the bank had it twice, and gave it back".to_owned();
    let event = Resolved { by: OTHER_OPERATOR.account(), number: 1, provider: PROVIDER.account(), reason };
    world
        .when(OTHER_OPERATOR, resolve(1))
        .then_events([event.into()])
        .when_again()
        .then_repeat()
        .when(OPERATOR, resolve(1))
        .then_rejected(problem(ReconciliationProblem::NotOpen { number: 1 }))
        .when(OPERATOR, resolve(9))
        .then_rejected(problem(ReconciliationProblem::NotOpen { number: 9 }));
    // No money moved by any of it.
    assert!(world.market.ledger.balances().next().is_none());
}

#[test]
fn only_so_many_breaks_are_open_at_a_time() {
    let mut world = World::new();
    let mut opened = 0;
    while opened < OPEN_BREAKS_MAX {
        let count = BREAKS_PER_REPORT_MAX.min(OPEN_BREAKS_MAX - opened);
        let breaks: Vec<FoundBreak> = (0..count).map(|n| missing(&format!("r{}", opened + n), 1)).collect();
        world.given(OPERATOR, report(opened as u32, &breaks).into());
        opened += count;
    }
    let (open, max) = (OPEN_BREAKS_MAX as u32, OPEN_BREAKS_MAX as u32);
    let more = report(u32::MAX, &[missing("more", 1)]);
    world
        .when(OPERATOR, more.clone())
        .then_rejected(problem(ReconciliationProblem::TooManyOpen { open, max }));
    world.given(OPERATOR, resolve(7).into());
    world.when(OPERATOR, more).then_types(["reconciliation.reported.v1"]);
}

#[test]
fn a_report_with_all_that_it_may_name_fits_into_a_command() {
    let most = events::Money::MINOR_MAX;
    let wide = "w".repeat(64);
    let difference = Difference::CurrencyDiffers { ours: usd(-most), theirs: eur(-most) };
    let (at, position) = (Timestamp::from_ms(253_402_300_799_999), Some(u64::from(u32::MAX)));
    let kind = MovementKind::ChargebackReversed;
    let found = FoundBreak { at, difference, kind, position, reference: text(&wide) };
    let total = Total { fees: usd(-most), ours: usd(-most), theirs: usd(-most) };
    let full = ReportReconciliation {
        breaks: vec![found; BREAKS_PER_REPORT_MAX].try_into().unwrap(),
        totals: vec![total; CURRENCIES_PER_REPORT_MAX].try_into().unwrap(),
        ..report(1, &[])
    };
    let length = Command::from(full).body().to_string().len();
    // Its header, the rest of what is signed, and the signature take less than 2 KiB.
    assert!(length * 4 / 3 + 2048 < commands::command::COMMAND_BYTES_MAX, "{length}");
    let too_many = vec![missing("r", 1); BREAKS_PER_REPORT_MAX + 1];
    assert!(UpTo::<FoundBreak, BREAKS_PER_REPORT_MAX>::try_from(too_many).is_err());
}
