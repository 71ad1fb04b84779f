use events::Money;
use events::account::PublicKey;
use events::ids::{AccountId, DeviceId};
use events::ledger::{LedgerAccount, Transfer};
use events::listing::WalletFunded;
use events::market::{Deadlines, FeePolicy, Registrar};
use events::metadata::{DeadlineStamp, Waiting};
use uuid::Uuid;

use super::*;

const NOW: Timestamp = Timestamp::from_ms(1_753_783_200_000);

/// A writer whose market is open and durable.
fn writer() -> Processor<&'static str> {
    let key = PublicKey::Ed25519([7; 32]);
    let registrar = Registrar {
        account: AccountId::from_uuid(Uuid::from_u128(1)),
        device: DeviceId::from_uuid(Uuid::from_u128(2)),
        key,
    };
    let market: MarketName = "main".parse().unwrap();
    let opened = Opened {
        deadlines: Deadlines::default(),
        escrow: None,
        fee: FeePolicy::default(),
        market: market.clone(),
        purchase_limits: vec![],
        registrar,
        receipt_key: key,
    };
    let writer = WriterId::from_uuid(Uuid::from_u128(3));
    let config = WriterConfig { market, writer, version: "test".to_owned(), opened };
    let (mut processor, _) = Processor::start(Market::new(), Head::EMPTY, config, false, NOW);
    processor.step(Wake::Appended, NOW);
    processor
}

fn credit(minor: i64) -> Event {
    let account = AccountId::from_uuid(Uuid::from_u128(4));
    let transfer = Transfer {
        amount: Money::new(minor, "USD".parse().unwrap()),
        from: LedgerAccount::ProviderClearing(AccountId::from_uuid(Uuid::from_u128(5))),
        to: LedgerAccount::Wallet(account),
    };
    WalletFunded { account, reference: format!("credit of {minor}"), transfer }.into()
}

fn deadline() -> Cause {
    let order = events::ids::OrderId::from_uuid(Uuid::from_u128(6));
    Cause::Deadline(DeadlineStamp { due: NOW, waiting: Waiting::ShipBy { order } })
}

/// What a broken decision leads to, behind a good one that is not sent yet.
#[test]
fn a_decision_that_breaks_the_books_stops_the_writer_and_nothing_of_it_is_appended() {
    let mut processor = writer();
    let mut actions = Vec::new();
    let good = processor.commit(deadline(), None, vec![credit(5)], NOW, &mut actions);
    processor.forming.answers.push(("good", Answer::Decided(good.unwrap())));
    let broken = processor.commit(deadline(), None, vec![credit(-5)], NOW, &mut actions);
    assert!(broken.is_none());
    actions.extend(processor.step(Wake::Tick, NOW));
    actions.extend(processor.step(Wake::Shutdown, NOW));
    match actions.as_slice() {
        [Action::Answer("good", Answer::Undecided), Action::Stop(reason)] => {
            let StopReason::Unbalanced { what: Break::NoTransfer { amount, .. }, .. } = reason else {
                panic!("{reason:?}")
            };
            assert_eq!(amount.minor, -5);
            let said = reason.to_string();
            assert!(
                said.contains("Nothing of it was written") && said.contains("skylink ledger check"),
                "{said}"
            );
        }
        other => panic!("{other:?}"),
    }
}
