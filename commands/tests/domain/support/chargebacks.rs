//! The words of chargebacks.

use commands::Command;
use commands::command::{
    AcceptChargeback, AskedFile, RepayDebt, ReportChargeback, Standing, SubmitEvidence, WriteOffDebt,
};
use events::account::Role;
use events::chargeback::{ChargebackReason, EvidenceKind, MediaType, Round};
use events::ids::{ChargebackId, OrderId, PaymentId};
use events::{Hash, Money};

use super::{Actor, BUYER, World, place_by_card, report, text, took};

/// What the provider calls a dispute.
pub const DISPUTE: &str = "dp 1";

/// What the provider says of a dispute; a test sets what it wants.
pub fn disputed(payment: PaymentId, amount: Money, standing: Standing) -> ReportChargeback {
    ReportChargeback {
        amount,
        due_by: None,
        fee: None,
        network_reason: None,
        payment,
        reason: ChargebackReason::ItemNotReceived,
        reference: text(DISPUTE),
        round: Round::First,
        standing,
        submissions: 0,
    }
}

pub fn says(payment: PaymentId, amount: Money, standing: Standing) -> Command {
    disputed(payment, amount, standing).into()
}

/// The dispute of a payment.
pub fn dispute_of(payment: PaymentId) -> ChargebackId {
    ChargebackId::derive(payment, DISPUTE)
}

/// Gives evidence: a statement, and files of these kinds.
pub fn evidence(payment: PaymentId, kinds: &[EvidenceKind]) -> Command {
    let files = kinds.iter().map(|kind| AskedFile {
        bytes: 1_000,
        hash: Hash::of(b"a file"),
        kind: *kind,
        media_type: MediaType::Pdf,
        token: text("file_1"),
    });
    let files = files.collect::<Vec<_>>().try_into().unwrap();
    SubmitEvidence { chargeback: dispute_of(payment), files, payment, statement: Some(text("it came")) }
        .into()
}

pub fn give_in(payment: PaymentId) -> Command {
    AcceptChargeback { chargeback: dispute_of(payment), payment }.into()
}

pub fn repay(amount: Money) -> Command {
    RepayDebt { amount }.into()
}

pub fn write_off(who: Actor, role: Role, amount: Money) -> Command {
    WriteOffDebt { account: who.account(), amount, reason: text("he is gone"), role }.into()
}

impl World {
    /// Buys by card, and lets the provider take the money; gives the payment and the order.
    #[track_caller]
    pub fn bought_by_card(
        &mut self,
        lines: &[(u64, u32)],
        total: Money,
        wallet: Option<Money>,
    ) -> (PaymentId, OrderId) {
        self.given(BUYER, place_by_card(lines, total, wallet));
        let (payment, order) = (self.payment(), self.order(0));
        let asked = self.market.payments.get(payment).unwrap().amount;
        self.given(super::PROVIDER, report(payment, took(&format!("of {payment}"), asked)));
        (payment, order)
    }
}
