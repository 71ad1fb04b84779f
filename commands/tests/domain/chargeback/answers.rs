//! What sellers and operators do about a chargeback, and what people do about what they owe.

use commands::command::{EVIDENCE_BYTES_MAX, Standing, SubmitEvidence};
use commands::debt::PROPOSAL_MS_MAX;
use commands::payment::{ChargebackWish, Effect};
use commands::{Command, Refusal};
use events::account::Role;
use events::chargeback::EvidenceKind;
use events::debt::WrittenOff;
use events::ledger::{LedgerAccount, Transfer};
use events::market::EscrowTerms;
use events::rejection::{ChargebackRejection, ChargebackState};
use events::{Event, Rejection};

use super::{at, available, held, moves, receivable, shop, state, stock};
use crate::support::chargebacks::*;
use crate::support::suspended::ByTwo;
use crate::support::*;

fn wish(world: &World) -> ChargebackWish {
    let wishes: Vec<_> = world
        .market
        .effects()
        .into_iter()
        .filter_map(|(_, effect)| match effect {
            Effect::Chargeback(effect) => Some(effect.wish),
            _ => None,
        })
        .collect();
    let [wish] = wishes.as_slice() else { panic!("{wishes:?}") };
    wish.clone()
}

#[test]
fn evidence_is_given_once_and_told_to_the_provider_until_it_has_it() {
    let mut world = shop();
    let (payment, _) = world.bought_by_card(&[(TEA, 1)], usd(1000), None);
    world.given(PROVIDER, says(payment, usd(1000), Standing::NeedsResponse));
    assert_eq!(wish(&world), ChargebackWish::Watch);
    let kinds = [EvidenceKind::Tracking, EvidenceKind::ProofOfDelivery];
    world.when(SELLER, evidence(payment, &kinds)).then_types(["chargeback.evidence_submitted.v1"]);
    let Event::EvidenceSubmitted(submitted) = &world.events()[0] else { unreachable!() };
    assert_eq!((submitted.by, submitted.files.len()), (Role::Seller, 2));
    assert!(matches!(wish(&world), ChargebackWish::Submit(evidence) if evidence.files.len() == 2));
    let chargeback = dispute_of(payment);
    world.when(OPERATOR, evidence(payment, &kinds));
    world.then_rejected([ChargebackRejection::EvidenceGiven { chargeback }.into()]);
    world.given(PROVIDER, at(Standing::UnderReview, |report| report.submissions = 1)(payment).into());
    assert_eq!(wish(&world), ChargebackWish::Watch);
    let under_review = ChargebackState::UnderReview;
    world.when(OPERATOR, evidence(payment, &[]));
    world.then_rejected([ChargebackRejection::ChargebackState { chargeback, state: under_review }.into()]);
}

#[test]
fn evidence_that_is_none_is_refused() {
    let mut world = shop();
    let (payment, _) = world.bought_by_card(&[(TEA, 1)], usd(1000), None);
    world.given(PROVIDER, says(payment, usd(1000), Standing::NeedsResponse));
    let Command::SubmitEvidence(good) = evidence(payment, &[EvidenceKind::Photos, EvidenceKind::Messages])
    else {
        unreachable!()
    };
    let with = |change: &dyn Fn(&mut Vec<commands::command::AskedFile>)| {
        let mut files = good.files.as_slice().to_vec();
        change(&mut files);
        SubmitEvidence { files: files.try_into().unwrap(), statement: None, ..good.clone() }
    };
    for wrong in [
        with(&|files| files.clear()),
        with(&|files| files[0].bytes = 0),
        with(&|files| files[0].bytes = EVIDENCE_BYTES_MAX),
        with(&|files| files[1].kind = EvidenceKind::Photos),
    ] {
        world.when(SELLER, wrong);
        world.then_rejected([ChargebackRejection::EvidenceForm { bytes_max: EVIDENCE_BYTES_MAX }.into()]);
    }
    world.given(SELLER, with(&|_| ()).into());
}

#[test]
fn only_its_one_seller_or_an_operator_speaks_for_it() {
    let mut world = shop();
    let (payment, _) = world.bought_by_card(&[(TEA, 1), (CUP, 1)], usd(1400), None);
    let chargeback = dispute_of(payment);
    let unknown = || Rejection::from(ChargebackRejection::ChargebackUnknown { chargeback, payment });
    world.when(OPERATOR, give_in(payment)).then_rejected([unknown()]);
    world.given(PROVIDER, says(payment, usd(1400), Standing::NeedsResponse));
    for seller in [SELLER, OTHER_SELLER] {
        for command in [evidence(payment, &[]), give_in(payment)] {
            world.when(seller, command);
            world.then_rejected([ChargebackRejection::NotYourChargeback { chargeback }.into()]);
        }
    }
    let rule = "the account has no role that may give this command".into();
    world.when(BUYER, give_in(payment)).then_refused(Refusal::ScopeDenied { rule });
    world.given(OPERATOR, evidence(payment, &[]));
}

#[test]
fn what_is_accepted_is_lost_when_the_provider_says_so() {
    let mut world = shop();
    let (payment, order) = world.bought_by_card(&[(TEA, 1)], usd(1000), None);
    world.given(PROVIDER, says(payment, usd(1000), Standing::NeedsResponse));
    world.when(SELLER, give_in(payment)).then_types(["chargeback.accepted.v1"]);
    assert_eq!((wish(&world), state(&world, payment)), (ChargebackWish::Accept, ChargebackState::Accepted));
    world.when(SELLER, give_in(payment)).then_unchanged();
    let (chargeback, accepted) = (dispute_of(payment), ChargebackState::Accepted);
    world.when(OPERATOR, evidence(payment, &[]));
    world.then_rejected([ChargebackRejection::ChargebackState { chargeback, state: accepted }.into()]);
    // Words that were on their way change nothing.
    for late in [Standing::NeedsResponse, Standing::UnderReview] {
        world.when(PROVIDER, says(payment, usd(1000), late)).then_unchanged();
    }
    world.when(PROVIDER, says(payment, usd(1000), Standing::Lost));
    let Event::ChargebackLost(lost) = &world.events()[0] else { panic!("{:?}", world.events()) };
    assert!(lost.accepted);
    assert!(world.market.orders.get(order).is_none());
    let lost = ChargebackState::Lost;
    world.when(SELLER, give_in(payment));
    world.then_rejected([ChargebackRejection::ChargebackState { chargeback, state: lost }.into()]);
}

/// A seller who was paid out 975 for what a bank then gave back.
fn indebted() -> (World, events::ids::PaymentId) {
    indebted_in(shop())
}

fn indebted_in(mut world: World) -> (World, events::ids::PaymentId) {
    let (payment, order) = world.bought_by_card(&[(TEA, 1)], usd(1000), None);
    world.given(SELLER, ship(order)).given(BUYER, confirm(order));
    world.given(SELLER, pay_out(usd(975)));
    world.given(PROVIDER, says(payment, usd(1000), Standing::NeedsResponse));
    assert_eq!(held(&world, receivable()), -1000);
    (world, payment)
}

#[test]
fn a_debt_is_repaid_by_the_next_sale() {
    let (mut world, payment) = indebted();
    world.given(PROVIDER, says(payment, usd(1000), Standing::Lost));
    let order = world.placed(BUYER, place(&[(TEA, 2)], usd(2000)));
    world.given(SELLER, ship(order)).given(BUYER, confirm(order));
    assert_eq!((held(&world, receivable()), held(&world, available())), (0, 950));
}

#[test]
fn what_is_won_after_a_debt_was_repaid_or_written_off_goes_to_whom_that_cost() {
    let (mut world, payment) = indebted();
    // 390 of it is repaid by a sale, 110 written off.
    world.given(SELLER, create_listing(POT, usd(400))).given(SELLER, receive(POT, 1));
    let order = world.placed(BUYER, place(&[(POT, 1)], usd(400)));
    world.given(SELLER, ship(order)).given(BUYER, confirm(order));
    assert_eq!(held(&world, receivable()), -610);
    world.given(OPERATOR, write_off(SELLER, Role::Seller, usd(110)));
    assert_eq!(held(&world, LedgerAccount::PlatformExpense), -110);
    world.when(PROVIDER, says(payment, usd(1000), Standing::Won));
    let from = super::chargebacks();
    assert_eq!(
        moves(&world),
        [(from, receivable(), 500), (from, LedgerAccount::PlatformExpense, 110), (from, available(), 390),]
    );
    assert_eq!((held(&world, receivable()), held(&world, LedgerAccount::PlatformExpense)), (0, 0));
}

#[test]
fn a_buyer_repays_what_he_owes_out_of_his_wallet() {
    let mut world = shop();
    // He has the money of a payment in his wallet, and spends it.
    world.given(BUYER, request(usd(1000)));
    let payment = world.payment();
    world.given(PROVIDER, report(payment, took("r", usd(1000))));
    world.given(BUYER, place(&[(TEA, 10)], usd(10_000)));
    world.when(PROVIDER, says(payment, usd(1000), Standing::Lost));
    assert_eq!(held(&world, LedgerAccount::Wallet(BUYER.account())), 0, "what was left of it is taken");
    let (owed, wallet) =
        (LedgerAccount::BuyerReceivable(BUYER.account()), LedgerAccount::Wallet(BUYER.account()));
    assert_eq!(held(&world, owed), 0);
    world.given(PROVIDER, fund_as("more", BUYER, usd(900)));
    world.given(BUYER, request(usd(1000)));
    let payment = world.payment();
    world.given(PROVIDER, report(payment, took("r 2", usd(1000))));
    world.given_listing(SELLER, POT, usd(1900), 1).given(BUYER, place(&[(POT, 1)], usd(1900)));
    world.given(PROVIDER, says(payment, usd(1000), Standing::NeedsResponse));
    assert_eq!(held(&world, owed), -1000);
    let most = |owed| Rejection::from(ChargebackRejection::DebtAmount { owed, role: Role::Buyer });
    world.when(BUYER, repay(usd(1001))).then_rejected([most(usd(1000))]);
    world.when(BUYER, repay(usd(0))).then_rejected([Rejection::AmountNotPositive]);
    let short = Rejection::InsufficientFunds { available: usd(0), required: usd(1) };
    world.when(BUYER, repay(usd(1))).then_rejected([short]);
    world.given(PROVIDER, fund_as("again", BUYER, usd(700)));
    world.when(BUYER, repay(usd(600))).then_types(["wallet.repaid.v1"]);
    assert_eq!(moves(&world), [(wallet, owed, 600)]);
    world.given(OPERATOR, write_off(BUYER, Role::Buyer, usd(400)));
    assert_eq!(held(&world, owed), 0);
    world.when(BUYER, repay(usd(1))).then_rejected([most(usd(0))]);
}

#[test]
fn no_more_is_written_off_than_is_owed() {
    let (mut world, _) = indebted();
    let debt = |owed, role| Rejection::from(ChargebackRejection::DebtAmount { owed, role });
    world.when(OPERATOR, write_off(SELLER, Role::Seller, usd(1001)));
    world.then_rejected([debt(usd(1000), Role::Seller)]);
    world
        .when(OPERATOR, write_off(SELLER, Role::Seller, usd(0)))
        .then_rejected([Rejection::AmountNotPositive]);
    world.when(OPERATOR, write_off(BUYER, Role::Buyer, usd(1))).then_rejected([debt(usd(0), Role::Buyer)]);
    world.when(OPERATOR, write_off(SELLER, Role::Operator, usd(1)));
    world.then_rejected([ChargebackRejection::DebtRole.into()]);
    let (account, role) = (BUYER.account(), Role::Seller);
    world
        .when(OPERATOR, write_off(BUYER, role, usd(1)))
        .then_rejected([Rejection::RoleMissing { account, role }]);
    world.when(OPERATOR, write_off(SELLER, Role::Seller, usd(1000))).then_types(["debt.written_off.v1"]);
}

#[test]
fn more_than_one_operator_may_decide_is_written_off_by_two() {
    let terms = EscrowTerms::new(99, 60 * DAY_MS).unwrap();
    let mut world = World::on(Terms { escrow: Some(terms), ..Terms::default() });
    stock(&mut world);
    let (mut world, payment) = indebted_in(world);
    let alone = Rejection::from(ChargebackRejection::DebtFourEyes { account: SELLER.account() });
    world.when(OPERATOR, write_off(SELLER, Role::Seller, usd(99))).then_types(["debt.written_off.v1"]);
    world.when(OPERATOR, write_off(SELLER, Role::Seller, usd(400)));
    world.then_types(["debt.write_off_proposed.v1"]);
    assert_eq!(held(&world, receivable()), -901, "nothing is written off yet");
    world.when(OPERATOR, write_off(SELLER, Role::Seller, usd(400))).then_rejected([alone.clone()]);
    // Small parts of what one has written off already are no way around it, and a proposal is good for a week.
    world.when(OTHER_OPERATOR, write_off(SELLER, Role::Seller, usd(1)));
    world.then_types(["debt.write_off_proposed.v1"]);
    world.after(PROPOSAL_MS_MAX);
    world.when(OPERATOR, write_off(SELLER, Role::Seller, usd(1)));
    world.then_types(["debt.write_off_proposed.v1"]);
    // Another amount stands in the place of the first.
    world.when(OTHER_OPERATOR, write_off(SELLER, Role::Seller, usd(500)));
    world.then_types(["debt.write_off_proposed.v1"]);
    world.when(OTHER_OPERATOR, write_off(SELLER, Role::Seller, usd(500))).then_rejected([alone]);
    let agreed = WrittenOff {
        account: SELLER.account(),
        by: OPERATOR.account(),
        proposed_by: Some(OTHER_OPERATOR.account()),
        reason: "he is gone".to_owned(),
        transfer: Transfer { amount: usd(500), from: LedgerAccount::PlatformExpense, to: receivable() },
    };
    world.when(OPERATOR, write_off(SELLER, Role::Seller, usd(500))).then_events([agreed.into()]);
    assert_eq!(held(&world, receivable()), -401);
    // What one proposed is forgotten with it, and what is repaid meanwhile is not written off.
    world.when(OPERATOR, write_off(SELLER, Role::Seller, usd(400)));
    world.then_types(["debt.write_off_proposed.v1"]);
    world.given(PROVIDER, says(payment, usd(1000), Standing::Won));
    let owed = ChargebackRejection::DebtAmount { owed: usd(0), role: Role::Seller };
    world.when(OTHER_OPERATOR, write_off(SELLER, Role::Seller, usd(400))).then_rejected([owed.into()]);
}

#[test]
fn a_suspended_operator_is_none_of_the_two_who_write_off() {
    let owed = || {
        let terms = EscrowTerms::new(99, 60 * DAY_MS).unwrap();
        let mut world = World::on(Terms { escrow: Some(terms), ..Terms::default() });
        stock(&mut world);
        let (world, _) = indebted_in(world);
        let command = write_off(SELLER, Role::Seller, usd(400));
        let alone = ChargebackRejection::DebtFourEyes { account: SELLER.account() }.into();
        let (proposed, done) = ("debt.write_off_proposed.v1", "debt.written_off.v1");
        (world, ByTwo { command, proposed, alone, done })
    };
    let (mut world, write_off) = owed();
    write_off.needs_two_who_are_not_suspended(&mut world);
    let (mut world, write_off) = owed();
    write_off.counts_again_after_a_reinstatement(&mut world);
}
