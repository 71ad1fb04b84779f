//! What the market makes of what providers say of disputes, and of what sellers and operators do about them.

use events::account::Role;
use events::chargeback::{
    Accepted, ChargedOrder, Covered, EvidenceSubmitted, FeeCharged, Inquired, InquiryClosed, Lost, Opened,
    PaidPart, PastDue, Round, Updated, Won,
};
use events::ids::{AccountId, ChargebackId, OrderId, PaymentId};
use events::ledger::{LedgerAccount, Transfer};
use events::rejection::{ChargebackRejection, ChargebackState};
use events::{Event, Money, Rejection, Timestamp};

use super::take::{self, Left, Plan, Reversal};
use super::{Chargeback, ClosedChargeback, Ending, Taken, speaker};
use crate::command::{AcceptChargeback, EVIDENCE_BYTES_MAX, ReportChargeback, Standing, SubmitEvidence};
use crate::decide::{Charged, Facts};
use crate::market::Market;
use crate::order::{self, Freed};
use crate::payment::{self, PaidOrder};

/// A payment that was captured, with all that is known of its orders and disputes.
struct Paid<'a> {
    market: &'a Market,
    payment: PaymentId,
    account: AccountId,
    provider: AccountId,
    captured: Money,
    refunded_minor: i64,
    reference: &'a str,
    /// What the index told, if the payment is not in memory.
    told: Option<&'a Charged>,
}

impl<'a> Paid<'a> {
    fn find(market: &'a Market, facts: &'a Facts, payment: PaymentId) -> Result<Paid<'a>, Vec<Rejection>> {
        let (account, provider, captured, refunded_minor, reference) =
            payment::captured(market, facts, payment)?;
        let is_in_memory = market.payments.recently_closed(payment).is_some();
        let told = facts.charged.as_deref().filter(|_| !is_in_memory);
        Ok(Paid { market, payment, account, provider, captured, refunded_minor, reference, told })
    }

    fn closed(&self, chargeback: ChargebackId) -> Option<&'a ClosedChargeback> {
        match self.told {
            Some(told) => told.chargebacks.get(&chargeback),
            None => self.market.payments.chargebacks().closed(chargeback),
        }
    }

    /// Gives what banks dispute of the payment, or decided for its buyer, in minor units.
    fn charged_minor(&self) -> i64 {
        match self.told {
            Some(told) => told.chargebacks.values().map(|closed| closed.charged_minor).sum(),
            None => self.market.payments.chargebacks().charged_minor(self.payment),
        }
    }

    /// Gives the same with what the platform advanced, in minor units.
    fn disputed_minor(&self) -> i64 {
        let all = |closed: &ClosedChargeback| closed.charged_minor + closed.advanced_minor;
        match self.told {
            Some(told) => told.chargebacks.values().map(all).sum(),
            None => self.market.payments.chargebacks().disputed_minor(self.payment),
        }
    }

    fn left(&self) -> Left {
        let closed = match self.told {
            Some(told) => &told.orders,
            None => self.market.payments.paid_orders(self.payment),
        };
        let charged = |order: OrderId| match self.told {
            Some(told) => {
                let charged = told.chargebacks.values().flat_map(|closed| &closed.orders);
                let of_order = charged.filter(|charged| charged.order == order);
                of_order.map(|charged| charged.amount.minor).sum()
            }
            None => self.market.payments.chargebacks().charged_of(self.payment, order),
        };
        let minor = self.captured.minor - self.refunded_minor - self.charged_minor();
        Left::of(self.market, self.payment, closed, charged, minor)
    }

    fn refunded(&self) -> Money {
        Money::new(self.refunded_minor, self.captured.currency)
    }
}

/// Gives how far a dispute is; only what is further changes anything.
fn rank(round: Round, standing: Standing) -> u8 {
    let second = if round.is_first() { 0 } else { 10 };
    match standing {
        Standing::Inquiry => 0,
        Standing::InquiryUnderReview => 1,
        Standing::InquiryClosed => 2,
        Standing::NeedsResponse => 3 + second,
        Standing::UnderReview => 4 + second,
        Standing::Won => 5 + second,
        Standing::Lost => 30,
    }
}

fn known(state: ChargebackState, round: Round) -> u8 {
    let standing = match state {
        ChargebackState::Inquiry => Standing::Inquiry,
        ChargebackState::InquiryUnderReview => Standing::InquiryUnderReview,
        ChargebackState::InquiryClosed => Standing::InquiryClosed,
        ChargebackState::NeedsResponse => Standing::NeedsResponse,
        ChargebackState::UnderReview | ChargebackState::Accepted => Standing::UnderReview,
        ChargebackState::Won => Standing::Won,
        ChargebackState::Lost => Standing::Lost,
    };
    rank(round, standing)
}

/// Decides how a dispute stands by what its provider says. What is known already, or was overtaken, changes nothing.
pub(crate) fn decide_report(
    market: &Market,
    facts: &Facts,
    provider: AccountId,
    command: &ReportChargeback,
    now: Timestamp,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let payment = command.payment;
    let paid = Paid::find(market, facts, payment)?;
    if paid.provider != provider {
        return Err(vec![Rejection::NotYourPayment { payment }]);
    }
    let chargeback = ChargebackId::derive(payment, command.reference.as_str());
    let report = Report { paid, command, chargeback, now };
    let open = market.payments.chargebacks().get(chargeback);
    let closed = report.paid.closed(chargeback);
    let before = open.map(|open| known(open.state(), open.round));
    let before = before.or(closed.map(|closed| known(closed.state(), closed.round)));
    let said = rank(command.round, command.standing);
    if closed.is_some_and(|closed| closed.ending == Ending::Lost) && command.standing == Standing::Won {
        // Whoever looks at it has to look at the money, too: it was given up.
        let state = ChargebackState::Lost;
        return Err(vec![ChargebackRejection::ChargebackState { chargeback, state }.into()]);
    }
    let mut events = match before {
        Some(before) if said < before => return Ok(vec![]),
        Some(before) if said == before => open.and_then(|open| report.updated(open)).into_iter().collect(),
        _ => report.moved_on(open, closed)?,
    };
    let fee = open.and_then(|open| open.fee).or(closed.and_then(|closed| closed.fee));
    events.extend(report.fee(fee)?);
    Ok(events)
}

/// What a provider says of a dispute.
struct Report<'a> {
    paid: Paid<'a>,
    command: &'a ReportChargeback,
    chargeback: ChargebackId,
    now: Timestamp,
}

impl Report<'_> {
    fn reference(&self) -> String {
        self.command.reference.as_str().to_owned()
    }

    fn network_reason(&self) -> Option<String> {
        self.command.network_reason.as_ref().map(|reason| reason.as_str().to_owned())
    }

    /// Says what is new of a dispute that is where it was.
    fn updated(&self, open: &Chargeback) -> Option<Event> {
        let ReportChargeback { due_by, submissions, .. } = *self.command;
        let submissions = submissions.max(open.submissions);
        let is_new =
            due_by.is_some_and(|due_by| Some(due_by) != open.due_by) || submissions > open.submissions;
        (is_new && !open.is_accepted)
            .then(|| self.update(due_by.or(open.due_by), submissions, open.submissions_before, open.round))
    }

    fn update(&self, due_by: Option<Timestamp>, submissions: u32, before: u32, round: Round) -> Event {
        let progress = self.command.standing.progress().expect("only what is not decided is updated");
        let answered = submissions > before || progress == events::chargeback::Progress::UnderReview;
        Updated {
            answered,
            chargeback: self.chargeback,
            due_by,
            payment: self.paid.payment,
            progress,
            provider: self.paid.provider,
            reference: self.reference(),
            round,
            submissions,
        }
        .into()
    }

    /// Says what happened of a dispute that is further than it was.
    fn moved_on(
        &self,
        open: Option<&Chargeback>,
        closed: Option<&ClosedChargeback>,
    ) -> Result<Vec<Event>, Vec<Rejection>> {
        let ReportChargeback { due_by, standing, submissions, .. } = *self.command;
        let is_inquiry = standing < Standing::NeedsResponse;
        let mut events = Vec::new();
        if is_inquiry {
            if open.is_none() {
                events.push(self.inquired());
            }
            match standing {
                Standing::Inquiry => {}
                Standing::InquiryClosed => events.push(self.inquiry_closed()),
                _ => {
                    let before = open.map_or((None, 0), |open| (open.due_by, open.submissions));
                    events.push(self.update(due_by.or(before.0), submissions.max(before.1), 0, Round::First));
                }
            }
            return Ok(events);
        }
        // A bank that decides for the buyer after it was won has disputed it again.
        let is_again = closed.is_some_and(|closed| closed.ending == Ending::Won);
        let round = if is_again { Round::Second } else { self.command.round };
        let before = open.map_or(0, |open| open.submissions);
        let charged = open.filter(|open| open.is_charged);
        let plan = match charged {
            Some(_) => None,
            None => {
                let plan = self.plan()?;
                events.push(self.opened(&plan, round, before));
                Some(plan)
            }
        };
        // A second time without a win before it: that was not told, and the money is where it was.
        let round = charged.map_or(round, |open| open.round.max(round));
        let is_accepted = open.is_some_and(|open| open.is_accepted);
        match standing {
            Standing::NeedsResponse | Standing::UnderReview if is_accepted => {}
            Standing::NeedsResponse if charged.is_none() => {}
            Standing::NeedsResponse | Standing::UnderReview => {
                let due_by = due_by.or(open.and_then(|open| open.due_by));
                let base = match charged {
                    Some(open) if open.round == round => open.submissions_before,
                    _ => before,
                };
                events.push(self.update(due_by, submissions.max(before), base, round));
            }
            Standing::Won => events.extend(self.won(open, plan.as_ref(), round)),
            Standing::Lost => events.extend(self.lost(open, plan.as_ref(), round)),
            _ => {}
        }
        Ok(events)
    }

    fn inquired(&self) -> Event {
        let Paid { account, captured, payment, provider, reference, .. } = self.paid;
        let orders = self.paid.left().orders.into_iter().map(|PaidOrder { order, seller, minor }| PaidPart {
            order,
            paid: Money::new(minor, captured.currency),
            seller,
        });
        Inquired {
            account,
            amount: self.command.amount,
            captured,
            chargeback: self.chargeback,
            due_by: self.command.due_by,
            network_reason: self.network_reason(),
            orders: orders.collect(),
            payment,
            payment_reference: reference.to_owned(),
            provider,
            reason: self.command.reason,
            reference: self.reference(),
            refunded: self.paid.refunded(),
        }
        .into()
    }

    fn inquiry_closed(&self) -> Event {
        let Paid { account, payment, provider, .. } = self.paid;
        InquiryClosed { account, chargeback: self.chargeback, payment, provider, reference: self.reference() }
            .into()
    }

    /// Says from where the money is taken.
    fn plan(&self) -> Result<Plan, Vec<Rejection>> {
        let (amount, payment) = (self.command.amount, self.paid.payment);
        let most =
            Money::new(self.paid.captured.minor - self.paid.disputed_minor(), self.paid.captured.currency);
        if !amount.is_positive() {
            return Err(vec![Rejection::AmountNotPositive]);
        }
        if amount.currency != most.currency || amount.minor > most.minor {
            return Err(vec![ChargebackRejection::ChargebackAmount { amount, most, payment }.into()]);
        }
        let plan = take::plan(self.paid.market, self.paid.account, &self.paid.left(), amount);
        let owed = plan.taken.iter().filter(|taken| taken.from.is_source());
        let owed = Money::new(owed.map(|taken| taken.amount.minor).sum(), amount.currency);
        self.paid.market.ledger.check_inflow(owed).map_err(|reason| vec![reason])?;
        Ok(plan)
    }

    fn opened(&self, plan: &Plan, round: Round, submissions_before: u32) -> Event {
        let Paid { account, captured, payment, provider, reference, .. } = self.paid;
        let to = LedgerAccount::ProviderChargebacks(provider);
        let transfers =
            plan.taken.iter().map(|Taken { from, amount, .. }| Transfer { amount: *amount, from: *from, to });
        let advanced = Money::new(plan.advanced_minor, captured.currency);
        Opened {
            account,
            advanced: Some(advanced).filter(Money::is_positive),
            amount: self.command.amount,
            captured,
            chargeback: self.chargeback,
            due_by: self.command.due_by,
            kept_until: plan.taken.iter().filter_map(|taken| taken.kept_until).collect(),
            network_reason: self.network_reason(),
            orders: plan.orders.clone(),
            payment,
            payment_reference: reference.to_owned(),
            provider,
            reason: self.command.reason,
            reference: self.reference(),
            refunded: self.paid.refunded(),
            round,
            submissions: self.command.submissions.max(submissions_before),
            transfers: transfers.collect(),
        }
        .into()
    }

    /// Gives the money back, and lets the orders go on.
    fn won(&self, open: Option<&Chargeback>, plan: Option<&Plan>, round: Round) -> Vec<Event> {
        let Paid { market, account, payment, provider, .. } = self.paid;
        let (taken, orders) = taken(open, plan);
        let Reversal { transfers, kept_until, written_off } =
            take::reversal(market, provider, taken, plan.is_some(), self.now);
        let won = Won {
            account,
            chargeback: self.chargeback,
            kept_until,
            orders: orders.to_vec(),
            payment,
            provider,
            reference: self.reference(),
            round,
            transfers,
            written_off,
        };
        let freed = Freed { chargeback: self.chargeback, taken, is_new: plan.is_some(), is_lost: false };
        [won.into()].into_iter().chain(self.go_on(orders, &freed)).collect()
    }

    /// Gives the money up, and lets the orders go on without it.
    fn lost(&self, open: Option<&Chargeback>, plan: Option<&Plan>, round: Round) -> Vec<Event> {
        let Paid { captured, account, payment, provider, .. } = self.paid;
        let (taken, orders) = taken(open, plan);
        let amount = Money::new(taken.iter().map(|taken| taken.amount.minor).sum(), captured.currency);
        let advanced = taken.iter().filter(|taken| taken.from == LedgerAccount::PlatformExpense);
        let advanced = Money::new(advanced.map(|taken| taken.amount.minor).sum(), captured.currency);
        let lost = Lost {
            accepted: open.is_some_and(|open| open.is_accepted),
            account,
            advanced: Some(advanced).filter(Money::is_positive),
            chargeback: self.chargeback,
            orders: orders.to_vec(),
            payment,
            provider,
            reference: self.reference(),
            round,
            transfer: Transfer {
                amount,
                from: LedgerAccount::ProviderChargebacks(provider),
                to: LedgerAccount::ProviderClearing(provider),
            },
        };
        let freed = Freed { chargeback: self.chargeback, taken, is_new: plan.is_some(), is_lost: true };
        [lost.into()].into_iter().chain(self.go_on(orders, &freed)).collect()
    }

    fn go_on(&self, orders: &[ChargedOrder], freed: &Freed<'_>) -> Vec<Event> {
        let charged = orders.iter().filter(|charged| charged.amount.is_positive());
        charged.flat_map(|charged| order::freed(self.paid.market, charged, freed, self.now)).collect()
    }

    /// Takes what the provider took for its work, or gives back what it gave back.
    fn fee(&self, before: Option<Money>) -> Result<Option<Event>, Vec<Rejection>> {
        let Some(fee) = self.command.fee else { return Ok(None) };
        let before =
            before.filter(|before| before.currency == fee.currency).unwrap_or(Money::zero(fee.currency));
        if fee.minor < 0 {
            return Err(vec![Rejection::AmountNotPositive]);
        }
        let (expense, fees) =
            (LedgerAccount::PlatformExpense, LedgerAccount::ProviderFees(self.paid.provider));
        let more = Money::new((fee.minor - before.minor).abs(), fee.currency);
        let (from, to) = if fee.minor > before.minor { (expense, fees) } else { (fees, expense) };
        if from == expense {
            self.paid.market.ledger.check_inflow(more).map_err(|reason| vec![reason])?;
        }
        let charged = FeeCharged {
            chargeback: self.chargeback,
            fee,
            payment: self.paid.payment,
            reference: self.reference(),
            transfer: Transfer { amount: more, from, to },
        };
        Ok(more.is_positive().then(|| charged.into()))
    }
}

/// Gives what a chargeback took and of which orders: what it is about to take, or what it took before.
fn taken<'a>(open: Option<&'a Chargeback>, plan: Option<&'a Plan>) -> (&'a [Taken], &'a [ChargedOrder]) {
    match (plan, open) {
        (Some(plan), _) => (&plan.taken, &plan.orders),
        (None, Some(open)) => (&open.taken, &open.orders),
        (None, None) => panic!("a chargeback that is decided was opened"),
    }
}

/// Finds a dispute on which no bank has decided, for one who may speak for it.
fn undecided<'a>(
    market: &'a Market,
    facts: &Facts,
    account: AccountId,
    payment: PaymentId,
    chargeback: ChargebackId,
) -> Result<(&'a Chargeback, Role), Vec<Rejection>> {
    let chargebacks = market.payments.chargebacks();
    let Some(open) = chargebacks.get(chargeback).filter(|open| open.payment == payment) else {
        let told = facts.charged.as_deref().and_then(|told| told.chargebacks.get(&chargeback));
        let closed = chargebacks.closed(chargeback).or(told).filter(|closed| closed.payment == payment);
        return Err(vec![match closed {
            Some(closed) => ChargebackRejection::ChargebackState { chargeback, state: closed.state() }.into(),
            None => ChargebackRejection::ChargebackUnknown { chargeback, payment }.into(),
        }]);
    };
    let role = speaker(market, account, open);
    let role = role.ok_or_else(|| vec![ChargebackRejection::NotYourChargeback { chargeback }.into()])?;
    Ok((open, role))
}

pub(crate) fn decide_submit(
    market: &Market,
    facts: &Facts,
    account: AccountId,
    command: &SubmitEvidence,
    now: Timestamp,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let SubmitEvidence { chargeback, ref files, payment, ref statement } = *command;
    let (open, by) = undecided(market, facts, account, payment, chargeback)?;
    let state = open.state();
    if !matches!(state, ChargebackState::Inquiry | ChargebackState::NeedsResponse) {
        return Err(vec![ChargebackRejection::ChargebackState { chargeback, state }.into()]);
    }
    if open.was_answered {
        return Err(vec![ChargebackRejection::EvidenceGiven { chargeback }.into()]);
    }
    if open.is_past_due || open.due_by.is_some_and(|due_by| due_by <= now) {
        return Err(vec![ChargebackRejection::EvidenceLate { chargeback }.into()]);
    }
    let files = files.as_slice();
    let bytes: u64 = files.iter().map(|file| u64::from(file.bytes)).sum();
    let is_double = |n: usize| files[..n].iter().any(|before| before.kind == files[n].kind);
    let is_wrong = (files.is_empty() && statement.is_none())
        || bytes > u64::from(EVIDENCE_BYTES_MAX)
        || files.iter().any(|file| file.bytes == 0)
        || (0..files.len()).any(is_double);
    if is_wrong {
        return Err(vec![ChargebackRejection::EvidenceForm { bytes_max: EVIDENCE_BYTES_MAX }.into()]);
    }
    let submitted = EvidenceSubmitted {
        by,
        chargeback,
        files: files.iter().map(crate::command::AskedFile::file).collect(),
        payment,
        provider: open.provider,
        reference: open.reference.to_string(),
        statement: statement.as_ref().map(|statement| statement.as_str().to_owned()),
    };
    Ok(vec![submitted.into()])
}

pub(crate) fn decide_accept(
    market: &Market,
    facts: &Facts,
    account: AccountId,
    command: &AcceptChargeback,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let AcceptChargeback { chargeback, payment } = *command;
    let (open, by) = undecided(market, facts, account, payment, chargeback)?;
    match open.state() {
        ChargebackState::Accepted => Ok(vec![]),
        ChargebackState::NeedsResponse => {
            let (provider, reference) = (open.provider, open.reference.to_string());
            Ok(vec![Accepted { by, chargeback, payment, provider, reference }.into()])
        }
        state => Err(vec![ChargebackRejection::ChargebackState { chargeback, state }.into()]),
    }
}

/// Tells that nobody gave evidence in time.
pub(crate) fn decide_past_due(market: &Market, chargeback: ChargebackId) -> Vec<Event> {
    let open = market.payments.chargebacks().get(chargeback).expect("a deadline leaves with its chargeback");
    let due_by = open.due_by.expect("what has no time is not waited for");
    let (payment, provider, reference) = (open.payment, open.provider, open.reference.to_string());
    vec![PastDue { chargeback, due_by, payment, provider, reference }.into()]
}

/// Repays what the platform advanced of a payment's chargeback out of what a refund that could not be given leaves in the wallet.
pub(crate) fn covered(
    market: &Market,
    account: AccountId,
    payment: PaymentId,
    amount: Money,
) -> Option<Event> {
    let (chargeback, advanced) = market.payments.chargebacks().advanced(payment)?;
    let amount = Money::new(amount.minor.min(advanced), amount.currency);
    let (from, to) = (LedgerAccount::Wallet(account), LedgerAccount::PlatformExpense);
    Some(Covered { chargeback, payment, transfer: Transfer { amount, from, to } }.into())
}

/// Gives what banks dispute of a payment, or decided for its buyer, in minor units: as much of it can't be given back any more.
pub(crate) fn charged_minor(market: &Market, facts: &Facts, payment: PaymentId) -> i64 {
    match facts.charged.as_deref().filter(|_| market.payments.recently_closed(payment).is_none()) {
        Some(told) => told.chargebacks.values().map(|closed| closed.charged_minor).sum(),
        None => market.payments.chargebacks().charged_minor(payment),
    }
}
