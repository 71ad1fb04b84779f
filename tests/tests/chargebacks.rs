//! The sandbox's banks dispute what was paid: the market hears of it by a message or by asking, gives evidence or gives in, and
//! does what the bank decides; and a webhook that comes twice, late or before anything else changes nothing.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use std::sync::Arc;
use std::time::Duration;

use commands::command::{
    AcceptChargeback, CreateListing, OrderLine, PaymentMethod, PlaceOrder, ProviderMethod, ReceiveStock,
    ShipOrder, SubmitEvidence, Tenders, Text,
};
use commands::receipt::Outcome;
use engine::clock::{Clock, ManualClock, WallClock};
use engine::processor::StopReason;
use engine::providers::PaymentProvider;
use engine::providers::sandbox::Sandbox;
use events::account::{Algorithm, Role};
use events::ids::{ChargebackId, ListingId, OrderId, PaymentId};
use events::ledger::LedgerAccount;
use events::payment::CaptureTime;
use events::rejection::ChargebackState;
use events::{Event, Money, Quantity};
use futures::StreamExt;
use gateway::node::{Node, NodeConfig, REGISTRAR_KEY};
use projections::order::OrderStatus;
use projections::payment::Chargeback;
use tempfile::TempDir;
use tests::log_contract::market;
use tests::town::{Person, new_id, receipt, submit, usd};
use uuid::Uuid;

/// How long something may take; only what is broken needs it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A market with one buyer, one seller and the sandbox, whose messages are delivered.
struct Shop {
    node: Node,
    buyer: Person,
    seller: Person,
    clock: Arc<ManualClock>,
    _folder: TempDir,
}

fn text<const MAX: usize>(text: &str) -> Text<MAX> {
    text.to_owned().try_into().unwrap()
}

impl Shop {
    async fn open() -> Shop {
        let folder = TempDir::new().unwrap();
        let clock = Arc::new(ManualClock::new(WallClock.now()));
        let (sandbox, messages) =
            Sandbox::open(Some(folder.path().join("sandbox.json")), Arc::clone(&clock) as _).unwrap();
        let providers: Vec<Arc<dyn PaymentProvider>> = vec![Arc::new(sandbox)];
        let config = NodeConfig {
            verify_threads: 1,
            providers,
            ..NodeConfig::new(market(), folder.path().to_owned())
        };
        let node = Node::start(config, Arc::clone(&clock) as _).await.unwrap();
        node.effects().deliver(messages);
        let registrar = node.keys().get(REGISTRAR_KEY).unwrap();
        let seq = node.keys().reserve_seqs(REGISTRAR_KEY, 100).unwrap();
        let registrar = Person::from_stored(node.market(), &registrar, seq);
        let person = || Person::new(&market(), Algorithm::EdDsa, &mut rand::rng());
        let (buyer, seller) = (person(), person());
        for signed in [
            registrar.sign(buyer.account_registration(Role::Buyer)),
            registrar.sign(buyer.device_registration()),
            registrar.sign(seller.account_registration(Role::Seller)),
            registrar.sign(seller.device_registration()),
        ] {
            assert_eq!(receipt(submit(&node.handle(), signed).await).receipt.outcome, Outcome::Accepted);
        }
        Shop { node, buyer, seller, clock, _folder: folder }
    }

    async fn sells(&self, command: impl Into<commands::Command>) {
        let receipt = receipt(submit(&self.node.handle(), self.seller.sign(command)).await).receipt;
        assert_eq!(receipt.outcome, Outcome::Accepted, "{:?}", receipt.reasons);
    }

    /// Sells a tea for ten dollars, paid with a card, and gives the payment and the order once it is paid.
    async fn sold(&self, token: &str) -> (PaymentId, OrderId) {
        let listing = ListingId::from_uuid(Uuid::now_v7());
        self.sells(CreateListing::new(listing, usd(1000), text("Tea"))).await;
        self.sells(ReceiveStock { listing, location: None, quantity: Quantity::new(1).unwrap() }).await;
        let (_, provider) = self.node.effects().providers().next().unwrap();
        let provider = ProviderMethod { provider, token: text(token) };
        let method = PaymentMethod::Tenders(Tenders { capture: CaptureTime::AtOnce, provider, wallet: None });
        let line = OrderLine { listing, quantity: Quantity::new(1).unwrap(), quote: None };
        let id = new_id();
        let placed = PlaceOrder::new(vec![line], method, usd(1000));
        let receipt = receipt(submit(&self.node.handle(), self.buyer.sign_as(id, placed)).await).receipt;
        assert_eq!(receipt.outcome, Outcome::Accepted, "{:?}", receipt.reasons);
        let (payment, order) =
            (PaymentId::derive(self.buyer.account(), id), OrderId::derive(self.buyer.account(), id, 0));
        self.until(|event| matches!(event, Event::OrderPaid(paid) if paid.order == order)).await;
        (payment, order)
    }

    /// Waits for an event, the first that ever fitted.
    async fn until(&self, is_it: impl Fn(&Event) -> bool) -> Event {
        let log = self.node.log();
        let mut commits = log.follow(1);
        let found = async {
            loop {
                let commit = commits.next().await.unwrap().unwrap();
                if let Some(found) = commit.events().iter().find(|recorded| is_it(&recorded.event)) {
                    return found.event.clone();
                }
            }
        };
        tokio::time::timeout(PATIENCE, found).await.expect("it happens")
    }

    async fn opened(&self) -> events::chargeback::Opened {
        match self.until(|event| matches!(event, Event::ChargebackOpened(_))).await {
            Event::ChargebackOpened(opened) => opened,
            other => panic!("{other:?}"),
        }
    }

    async fn views(&self) -> &projections::Projections {
        let head = self.node.log().head().await.unwrap().position;
        self.node.projections().wait_for(head, PATIENCE).await.unwrap();
        self.node.projections()
    }

    async fn shown(&self, chargeback: ChargebackId) -> Chargeback {
        self.views().await.payments().chargeback(chargeback).unwrap().unwrap()
    }

    async fn balance(&self, account: LedgerAccount) -> Money {
        let ledger = self.views().await.ledger();
        assert!(ledger.trial_balance().unwrap().iter().all(|sum| sum.sum == 0));
        ledger.balance(account, usd(0).currency).unwrap()
    }

    async fn gives_evidence(&self, payment: PaymentId, chargeback: ChargebackId) {
        let files = Vec::new().try_into().unwrap();
        self.sells(SubmitEvidence { chargeback, files, payment, statement: Some(text("it came")) }).await;
    }

    async fn close(self) {
        assert_eq!(self.node.shutdown().await, StopReason::Shutdown);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chargeback_is_told_fought_and_won_and_the_order_goes_on() {
    let shop = Shop::open().await;
    let (payment, order) = shop.sold("tok_disputed_won").await;
    let opened = shop.opened().await;
    assert_eq!((opened.payment, opened.amount), (payment, usd(1000)));
    let shown = shop.views().await.orders().order(order).unwrap().unwrap();
    assert_eq!(shown.state, OrderStatus::Disputed);
    assert_eq!(shop.balance(LedgerAccount::Escrow(order)).await, usd(0));
    shop.gives_evidence(payment, opened.chargeback).await;
    shop.until(|event| matches!(event, Event::ChargebackWon(_))).await;
    let one = shop.shown(opened.chargeback).await;
    assert_eq!((one.state, one.submissions), (ChargebackState::Won, 1));
    assert_eq!(one.fee, Some(usd(1500)), "it costs its fee all the same");
    assert_eq!(shop.balance(LedgerAccount::Escrow(order)).await, usd(1000));
    shop.sells(ShipOrder { carrier: None, from: None, lines: None, order, tracking: None }).await;
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chargeback_that_is_given_up_is_lost_and_its_order_cancelled() {
    let shop = Shop::open().await;
    let (payment, order) = shop.sold("tok_disputed_lost").await;
    let opened = shop.opened().await;
    let chargeback = opened.chargeback;
    shop.sells(AcceptChargeback { chargeback, payment }).await;
    shop.until(|event| matches!(event, Event::ChargebackLost(lost) if lost.accepted)).await;
    let shown = shop.views().await.orders().order(order).unwrap().unwrap();
    assert_eq!(shown.state, OrderStatus::ChargedBack);
    let (_, provider) = shop.node.effects().providers().next().unwrap();
    assert_eq!(shop.balance(LedgerAccount::ProviderChargebacks(provider)).await, usd(0));
    assert_eq!(shop.balance(LedgerAccount::ProviderFees(provider)).await, usd(1500));
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chargeback_that_nobody_answers_is_past_due_and_lost_when_the_bank_says_so() {
    let shop = Shop::open().await;
    shop.sold("tok_disputed_lost").await;
    let opened = shop.opened().await;
    let due_by = opened.due_by.unwrap();
    assert_eq!(shop.views().await.payments().overdue_chargebacks().unwrap(), 0);
    shop.clock.advance_to(due_by.plus_ms(1));
    shop.node.handle().tick().await;
    shop.until(|event| matches!(event, Event::ChargebackPastDue(_))).await;
    // The bank is asked at once.
    shop.until(|event| matches!(event, Event::ChargebackLost(_))).await;
    assert_eq!(shop.views().await.payments().overdue_chargebacks().unwrap(), 0, "it is over");
    assert!(shop.shown(opened.chargeback).await.is_past_due);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inquiry_that_is_answered_ends_or_becomes_a_chargeback() {
    for (token, end) in [
        ("tok_inquired_closed", "chargeback.inquiry_closed.v1"),
        ("tok_inquired_disputed", "chargeback.opened.v1"),
    ] {
        let shop = Shop::open().await;
        let (payment, order) = shop.sold(token).await;
        let asked = shop.until(|event| matches!(event, Event::ChargebackInquired(_))).await;
        let Event::ChargebackInquired(asked) = asked else { panic!("{asked:?}") };
        assert_eq!(shop.balance(LedgerAccount::Escrow(order)).await, usd(1000), "nothing moved");
        shop.gives_evidence(payment, asked.chargeback).await;
        shop.until(|event| event.type_name() == end).await;
        shop.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_won_is_disputed_once_more_and_lost() {
    let shop = Shop::open().await;
    let (payment, order) = shop.sold("tok_disputed_again").await;
    let opened = shop.opened().await;
    shop.gives_evidence(payment, opened.chargeback).await;
    let again = |event: &Event| matches!(event, Event::ChargebackOpened(opened) if !opened.round.is_first());
    shop.until(again).await;
    shop.gives_evidence(payment, opened.chargeback).await;
    shop.until(|event| matches!(event, Event::ChargebackLost(_))).await;
    assert_eq!(shop.balance(LedgerAccount::Escrow(order)).await, usd(0));
    assert_eq!(shop.shown(opened.chargeback).await.fee, Some(usd(3000)));
    shop.close().await;
}
