//! Random disputes of payments: what banks say, what people do about it, and what the events must say.

use std::collections::{BTreeMap, BTreeSet};

use commands::command::{
    AcceptChargeback, AskedFile, RepayDebt, ReportChargeback, Standing, SubmitEvidence, WriteOffDebt,
};
use commands::{Command, Market};
use events::account::Role;
use events::chargeback::{ChargebackReason, EvidenceKind, MediaType, Round};
use events::ids::{ChargebackId, OrderId, PaymentId};
use events::ledger::{LedgerAccount, Transfer};
use events::order::ShipmentNumber;
use events::{Event, Hash, Money};
use proptest::prelude::*;

use super::Run;
use super::steps::{BUYERS, EVERYBODY, OPERATORS, PROVIDERS};
use crate::support::*;

/// What a bank says, or somebody does about it.
#[derive(Debug, Clone)]
pub(crate) struct BankStep {
    /// Which payment or open dispute.
    nth: usize,
    act: u8,
    standing: Standing,
    /// How much of what was captured, in percent; 0: what a dispute is about.
    percent: i64,
    second: bool,
    due_ms: Option<i64>,
    fee: Option<i64>,
    /// Whoever it belongs to, or somebody.
    who: Option<usize>,
}

pub(crate) fn banking() -> impl Strategy<Value = BankStep> {
    let standing = prop::sample::select(vec![
        Standing::Inquiry,
        Standing::InquiryUnderReview,
        Standing::InquiryClosed,
        Standing::NeedsResponse,
        Standing::NeedsResponse,
        Standing::NeedsResponse,
        Standing::UnderReview,
        Standing::Won,
        Standing::Lost,
        Standing::Lost,
    ]);
    let percent = prop_oneof![3 => Just(100i64), 2 => 1i64..101];
    let due = prop_oneof![1 => Just(None), 2 => (1i64..10 * DAY_MS).prop_map(Some)];
    let fee = prop_oneof![1 => Just(None), 2 => (0i64..40).prop_map(Some)];
    let somebody = prop_oneof![6 => Just(None), 1 => (0..EVERYBODY.len()).prop_map(Some)];
    let second = prop::bool::weighted(0.15);
    (any::<usize>(), 0u8..12, standing, percent, second, due, fee, somebody).prop_map(
        |(nth, act, standing, percent, second, due_ms, fee, who)| BankStep {
            nth,
            act,
            standing,
            percent,
            second,
            due_ms,
            fee,
            who,
        },
    )
}

/// What events said of disputes.
#[derive(Debug, Default)]
pub(crate) struct Banks {
    /// What was taken by disputes that are open, each transfer.
    open: BTreeMap<ChargebackId, (PaymentId, Vec<Transfer>)>,
    /// What is gone of payments, by disputes that are open or lost, what the platform advanced left out.
    charged: BTreeMap<PaymentId, i64>,
    lost: BTreeSet<ChargebackId>,
    /// Shipments that were paid.
    accepted: BTreeSet<(OrderId, ShipmentNumber)>,
    expense: BTreeMap<events::Currency, i64>,
}

fn charged(transfers: &[Transfer]) -> i64 {
    let own = transfers.iter().filter(|transfer| transfer.from != LedgerAccount::PlatformExpense);
    own.map(|transfer| transfer.amount.minor).sum()
}

impl Run {
    /// Lets a buyer change all that he has before his bank takes it, or so much back that he can repay it.
    fn change(&mut self, step: &BankStep) {
        let ledger = &self.world.market.ledger;
        let dollar = usd(0).currency;
        let debts = ledger.balances().filter(|(_, owed)| owed.currency == dollar);
        let owes = debts.map(|(account, owed)| (account, owed.minor));
        let owes = owes.filter(|(account, _)| matches!(account, LedgerAccount::BuyerReceivable(_))).min();
        let reference = u8::try_from(step.nth % 40 * 5 + 3).unwrap();
        let (buyer, minor, into_euro) = match owes {
            Some((LedgerAccount::BuyerReceivable(buyer), owed)) => (buyer, -owed, false),
            _ => {
                let buyer = BUYERS[step.nth % BUYERS.len()].account();
                (buyer, ledger.balance(LedgerAccount::Wallet(buyer), dollar).minor, true)
            }
        };
        self.exchange(Actor::of(buyer), PROVIDERS[0], minor, into_euro, reference);
    }

    pub(crate) fn bank(&mut self, step: &BankStep) {
        if step.act >= 10 {
            self.change(step);
        }
        let market = &self.world.market;
        let open: Vec<_> = market.payments.chargebacks().open().collect();
        let debts: Vec<_> = market.ledger.balances().filter(|(account, _)| account.is_debt()).collect();
        let asked = match step.act {
            0..3 if !open.is_empty() => {
                let (chargeback, known) = open[step.nth % open.len()];
                let (chargeback, payment) = (*chargeback, known.payment);
                let seller = known.sellers.first().map_or(SELLER, |seller| Actor::of(*seller));
                let asker = if step.nth.is_multiple_of(2) { seller } else { OPERATORS[0] };
                let kinds = [EvidenceKind::Tracking, EvidenceKind::Photos, EvidenceKind::Tracking];
                let file = |kind: &EvidenceKind| AskedFile {
                    bytes: 9,
                    hash: Hash::of(b"it"),
                    kind: *kind,
                    media_type: MediaType::Png,
                    token: text("file"),
                };
                let files: Vec<_> = kinds[..step.nth % 4].iter().map(file).collect();
                let statement = Some(text("it came"));
                let command: Command = match step.act {
                    0 => AcceptChargeback { chargeback, payment }.into(),
                    _ => SubmitEvidence { chargeback, files: files.try_into().unwrap(), payment, statement }
                        .into(),
                };
                Some((asker, command))
            }
            3..6 if !debts.is_empty() => {
                let (debt, owed) = debts[step.nth % debts.len()];
                let minor = (-owed.minor * step.percent / 100).max(1);
                let proposed = market.debts.proposed(debt, owed.currency);
                let amount = Money::new(proposed.map_or(minor, |first| first.minor), owed.currency);
                let operator = OPERATORS[step.nth / 2 % OPERATORS.len()];
                match debt {
                    LedgerAccount::BuyerReceivable(buyer) if step.act < 5 => {
                        let has = market.ledger.balance(LedgerAccount::Wallet(buyer), owed.currency).minor;
                        let amount = Money::new(minor.min(has.max(1)), owed.currency);
                        Some((Actor::of(buyer), RepayDebt { amount }.into()))
                    }
                    LedgerAccount::BuyerReceivable(account) => {
                        let role = Role::Buyer;
                        Some((operator, WriteOffDebt { account, amount, reason: text("gone"), role }.into()))
                    }
                    other => {
                        let (account, role) = (other.seller().unwrap(), Role::Seller);
                        Some((operator, WriteOffDebt { account, amount, reason: text("gone"), role }.into()))
                    }
                }
            }
            _ => self.disputed(step),
        };
        let Some((asker, command)) = asked else { return };
        self.ask(step.who.map_or(asker, |n| EVERYBODY[n]), command);
    }

    /// Lets a provider say something of a dispute, mostly of a payment that was captured.
    fn disputed(&self, step: &BankStep) -> Option<(Actor, Command)> {
        let mut captured: Vec<_> = self.captured.iter().collect();
        let Market { payments, ledger, .. } = &self.world.market;
        let wanted: BTreeSet<_> = match step.act {
            // What a part is on its way back of, where anything is.
            0..9 => payments.refunds().map(|(_, refund)| refund.payment).collect(),
            // What its buyer does not have any more.
            9.. => {
                let is_spent = |(payment, (amount, _)): &(&PaymentId, &(Money, i64))| {
                    let account = payments.recently_closed(**payment).map(|closed| closed.account);
                    let wallet = account.map(LedgerAccount::Wallet);
                    wallet.is_some_and(|wallet| ledger.balance(wallet, amount.currency).minor < amount.minor)
                };
                captured.iter().copied().filter(is_spent).map(|(payment, _)| *payment).collect()
            }
        };
        if captured.iter().any(|(payment, _)| wanted.contains(*payment)) {
            captured.retain(|(payment, _)| wanted.contains(*payment));
        }
        let (payment, amount) = match captured.get(step.nth / 3 % captured.len().max(1)) {
            Some((payment, (amount, _))) => (**payment, *amount),
            None => {
                let asked = self.payments.last()?;
                (asked.payment, asked.amount)
            }
        };
        let provider = self.payments.iter().find(|asked| asked.payment == payment)?.provider;
        let minor = i128::from(amount.minor) * i128::from(step.percent) / 100;
        let amount = Money::new(i64::try_from(minor).unwrap().max(1), amount.currency);
        let report = ReportChargeback {
            amount,
            due_by: step.due_ms.map(|ms| self.world.now.plus_ms(ms)),
            fee: step.fee.map(|minor| Money::new(minor, amount.currency)),
            network_reason: None,
            payment,
            reason: ChargebackReason::Unauthorized,
            reference: text(&format!("dispute {}", step.nth % 2)),
            round: if step.second { Round::Second } else { Round::First },
            standing: step.standing,
            submissions: u32::try_from(step.nth % 3).unwrap(),
        };
        let provider = if step.nth % 11 == 10 { PROVIDERS[step.nth % 2] } else { Actor::of(provider) };
        Some((provider, report.into()))
    }

    /// Lets every bank decide, for the buyer.
    pub(crate) fn let_banks_decide(&mut self) {
        let open = self.world.market.payments.chargebacks().open();
        let open: Vec<_> = open.map(|(_, open)| open.clone()).collect();
        for known in open {
            let amount = known
                .taken
                .iter()
                .map(|taken| taken.amount)
                .reduce(|one, other| Money::new(one.minor + other.minor, one.currency));
            let standing = if known.is_charged { Standing::Lost } else { Standing::InquiryClosed };
            let report = ReportChargeback {
                amount: amount.unwrap_or(usd(1)),
                due_by: None,
                fee: None,
                network_reason: None,
                payment: known.payment,
                reason: ChargebackReason::Unauthorized,
                reference: text(&known.reference),
                round: known.round,
                standing,
                submissions: known.submissions,
            };
            self.ask(Actor::of(known.provider), report.into());
        }
        assert_eq!(self.world.market.payments.chargebacks().open().count(), 0);
    }

    /// Notes which shipments are paid.
    pub(crate) fn accepted(&mut self, event: &Event) {
        match event {
            Event::EscrowReleased(event) => {
                self.banks.accepted.insert((event.order, event.shipment));
            }
            Event::EscrowSettled(event) if event.deadline.is_none() => {
                self.banks.accepted.insert((event.order, event.shipment));
            }
            _ => {}
        }
    }

    /// Takes in an event about a dispute.
    pub(crate) fn banked(&mut self, event: &Event) {
        for transfer in event.transfers() {
            for (account, by) in
                [(transfer.from, -transfer.amount.minor), (transfer.to, transfer.amount.minor)]
            {
                if account == LedgerAccount::PlatformExpense {
                    *self.banks.expense.entry(transfer.amount.currency).or_default() += by;
                }
            }
        }
        match event {
            Event::ChargebackOpened(opened) => {
                let all: i64 = opened.transfers.iter().map(|transfer| transfer.amount.minor).sum();
                assert_eq!(all, opened.amount.minor, "what is disputed is taken, all of it");
                let of_orders: i64 = opened.orders.iter().map(|charged| charged.amount.minor).sum();
                let advanced = opened.advanced.map_or(0, |advanced| advanced.minor);
                assert!(of_orders + advanced <= all);
                for charged in &opened.orders {
                    assert!((0..=charged.paid.minor).contains(&charged.amount.minor), "{charged:?}");
                }
                assert!(!self.banks.lost.contains(&opened.chargeback), "what is lost is lost");
                *self.banks.charged.entry(opened.payment).or_default() += charged(&opened.transfers);
                self.check_charged(opened.payment);
                for transfer in &opened.transfers {
                    self.charge(transfer, 1);
                }
                let before =
                    self.banks.open.insert(opened.chargeback, (opened.payment, opened.transfers.clone()));
                assert!(before.is_none(), "a dispute takes its money once");
            }
            Event::ChargebackWon(won) => {
                let (payment, taken) = self.banks.open.remove(&won.chargeback).unwrap();
                let sum = |transfers: &[Transfer]| -> i64 {
                    transfers.iter().map(|transfer| transfer.amount.minor).sum()
                };
                assert_eq!(sum(&won.transfers), sum(&taken), "all that was taken goes back");
                for transfer in &taken {
                    if let LedgerAccount::Escrow(_) | LedgerAccount::Dispute(_) | LedgerAccount::Wallet(_) =
                        transfer.from
                    {
                        let back = won.transfers.iter().filter(|back| back.to == transfer.from);
                        let back: i64 = back.map(|back| back.amount.minor).sum();
                        assert!(back >= transfer.amount.minor, "it goes back to where it was");
                    }
                    self.charge(transfer, -1);
                }
                *self.banks.charged.get_mut(&payment).unwrap() -= charged(&taken);
            }
            Event::ChargebackLost(lost) => {
                let (_, taken) = self.banks.open.remove(&lost.chargeback).unwrap();
                assert_eq!(
                    lost.transfer.amount.minor,
                    taken.iter().map(|transfer| transfer.amount.minor).sum::<i64>()
                );
                self.banks.lost.insert(lost.chargeback);
            }
            Event::ChargebackCovered(covered) => {
                *self.banks.charged.get_mut(&covered.payment).unwrap() += covered.transfer.amount.minor;
                if let Some((_, taken)) = self.banks.open.get_mut(&covered.chargeback) {
                    for transfer in taken.iter_mut() {
                        if transfer.from == LedgerAccount::PlatformExpense {
                            transfer.amount.minor -= covered.transfer.amount.minor;
                        }
                    }
                    taken.retain(|transfer| transfer.amount.is_positive());
                    taken.push(Transfer {
                        to: taken.first().map_or(covered.transfer.to, |one| one.to),
                        ..covered.transfer
                    });
                }
                self.check_charged(covered.payment);
            }
            Event::OrderChargedBack(event) => {
                let paid = self.paid.get_mut(&event.order).unwrap();
                assert!(!paid.is_held, "what operators have stopped is not touched");
                for transfer in &event.transfers {
                    match transfer.to {
                        LedgerAccount::PlatformPromotions => paid.return_subsidy(transfer.amount.minor),
                        _ => paid.frozen -= transfer.amount.minor,
                    }
                }
                let mut of_open = 0;
                for cut in &event.cuts {
                    if !self.banks.accepted.contains(&(event.order, cut.shipment)) {
                        of_open += cut.amount.minor;
                        paid.tax_back += cut.tax.map_or(0, |tax| tax.minor);
                    }
                }
                let [all, _] = std::mem::take(&mut paid.pending);
                paid.lost_left += all - of_open;
                assert!(all <= event.amount.minor && of_open <= all);
                for number in &event.returns {
                    self.let_go(event.order, *number);
                }
            }
            _ => {}
        }
    }

    /// Counts what is taken of an order's escrow, or comes back.
    fn charge(&mut self, transfer: &Transfer, sign: i64) {
        let minor = sign * transfer.amount.minor;
        match transfer.from {
            LedgerAccount::Escrow(order) => {
                let paid = self.paid.get_mut(&order).unwrap();
                paid.charged += minor;
                paid.pending[0] += minor;
            }
            LedgerAccount::Dispute(order) => {
                let paid = self.paid.get_mut(&order).unwrap();
                paid.charged += minor;
                paid.frozen -= minor;
                paid.pending[0] += minor;
                paid.pending[1] += minor;
            }
            _ => {}
        }
    }

    fn check_charged(&self, payment: PaymentId) {
        let (captured, _) = self.captured[&payment];
        let asked = self.world.market.payments.recently_closed(payment).unwrap();
        let commands::payment::Ending::Captured { refunded_minor, .. } = asked.ending else { panic!() };
        let charged = self.banks.charged[&payment];
        assert!(refunded_minor + charged <= captured.minor, "no more goes back than came in");
    }

    /// Checks what the market knows of disputes against what events said.
    pub(crate) fn check_banks(&self) {
        let market = &self.world.market;
        let mut disputed = BTreeMap::new();
        for (id, open) in market.payments.chargebacks().open() {
            let taken: Vec<_> = open.taken.iter().map(|taken| (taken.from, taken.amount)).collect();
            let said = self.banks.open.get(id).map(|(_, transfers)| {
                transfers.iter().map(|transfer| (transfer.from, transfer.amount)).collect::<Vec<_>>()
            });
            assert_eq!(said.unwrap_or_default(), taken);
            for (_, amount) in taken {
                *disputed.entry((open.provider, amount.currency)).or_insert(0) += amount.minor;
            }
            for charged in &open.orders {
                if let Some(order) = market.orders.get(charged.order) {
                    assert!(order.hold.as_ref().is_some_and(|hold| hold.chargebacks > 0), "it stands still");
                }
            }
        }
        for (payment, charged) in &self.banks.charged {
            assert_eq!(market.payments.chargebacks().charged_minor(*payment), *charged);
        }
        for provider in PROVIDERS {
            for currency in [usd(0).currency, eur(0).currency] {
                let account = LedgerAccount::ProviderChargebacks(provider.account());
                let held = market.ledger.balance(account, currency).minor;
                assert_eq!(held, disputed.get(&(provider.account(), currency)).copied().unwrap_or(0));
            }
        }
        for (id, order) in market.orders.iter() {
            let is_stopped = order.hold.as_ref().is_some_and(|hold| hold.chargebacks > 0);
            let mut disputes = market.payments.chargebacks().open();
            let is_charged = disputes.any(|(_, open)| open.orders.iter().any(|charged| charged.order == *id));
            assert_eq!(is_stopped, is_charged);
        }
    }
}
