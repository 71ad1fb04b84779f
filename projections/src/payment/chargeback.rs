//! What banks dispute, with how far each dispute is.

use std::cmp::Reverse;

use events::account::Role;
use events::chargeback::{ChargebackReason, ChargedOrder, EvidenceFile, Progress, Round};
use events::ids::{AccountId, ChargebackId, OrderId, PaymentId};
use events::rejection::ChargebackState;
use events::{Event, Money, Position, Recorded, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sled::{Batch, Tree};

use super::{Payments, VERSION};
use crate::table::{Key, Layout, Table};
use crate::view::ViewError;

/// Most chargebacks in one page of a list.
pub const CHARGEBACKS_PER_PAGE_MAX: usize = 100;

/// Most chargebacks of a seller that are looked at for those that wait for his answer, the newest first.
pub const CHARGEBACKS_LOOKED_AT_MAX: usize = 200;

/// What a bank disputes, or asks about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Chargeback {
    /// The chargeback, or the inquiry that may become one.
    pub chargeback: ChargebackId,
    /// The payment.
    pub payment: PaymentId,
    /// Who had paid.
    pub account: AccountId,
    /// The provider's account.
    pub provider: AccountId,
    /// The provider's reference of the dispute.
    pub reference: String,
    /// How far it is.
    pub state: ChargebackState,
    /// Which time the bank disputes it.
    pub round: Round,
    /// How much.
    pub amount: Money,
    /// What of that the platform has advanced, since as much had gone back already.
    pub advanced: Option<Money>,
    /// Why.
    pub reason: ChargebackReason,
    /// The network's own code of that.
    pub network_reason: Option<String>,
    /// Until when the provider takes evidence, as it says.
    pub due_by: Option<Timestamp>,
    /// Whether nobody gave any in time.
    pub is_past_due: bool,
    /// How often the provider has taken evidence.
    pub submissions: u32,
    /// What somebody gave as evidence.
    pub evidence: Option<Evidence>,
    /// As what somebody accepted it.
    pub accepted_by: Option<Role>,
    /// What the provider took for it.
    pub fee: Option<Money>,
    /// The orders that it is about; of an inquiry those that were paid with the payment, with no amount.
    pub orders: Vec<DisputedOrder>,
    /// When the bank first asked or disputed.
    pub opened_at: Timestamp,
    /// When anything last happened to it.
    pub changed_at: Timestamp,
    /// Where it was first told, which is what lists are sorted by.
    pub position: Position,
}

/// An order that a dispute is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DisputedOrder {
    /// The order.
    pub order: OrderId,
    /// Who sold it.
    pub seller: AccountId,
    /// How much of it is disputed.
    pub amount: Money,
}

/// What somebody gave as evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Evidence {
    /// As what.
    pub by: Role,
    /// The files.
    pub files: Vec<EvidenceFile>,
    /// What is said.
    pub statement: Option<String>,
    /// When.
    pub given_at: Timestamp,
    /// Whether the provider has it.
    pub is_taken: bool,
}

/// Which chargebacks are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChargebackFilter {
    /// Those on which the bank has not decided.
    #[default]
    Open,
    /// Those on which it has.
    Decided,
}

impl ChargebackFilter {
    const fn of(state: ChargebackState) -> ChargebackFilter {
        match state {
            ChargebackState::InquiryClosed | ChargebackState::Won | ChargebackState::Lost => {
                ChargebackFilter::Decided
            }
            _ => ChargebackFilter::Open,
        }
    }

    const fn key(self) -> u8 {
        match self {
            ChargebackFilter::Open => 0,
            ChargebackFilter::Decided => 1,
        }
    }
}

/// Some chargebacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChargebackPage {
    /// Newest first.
    pub chargebacks: Vec<Chargeback>,
    /// Pass it as `before` to get the next page; none: this was the last.
    pub next: Option<Position>,
}

const CHARGEBACKS: Layout<ChargebackId, Chargeback> = Layout::new(b'c', VERSION);
const BY_STATE: Layout<(u8, Reverse<Position>), ChargebackId> = Layout::new(b'f', VERSION);
const BY_SELLER: Layout<(AccountId, Reverse<Position>), ChargebackId> = Layout::new(b'l', VERSION);
const PAST_DUE: Layout<((), ChargebackId), ()> = Layout::new(b'd', VERSION);

impl Key for ChargebackId {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.uuid().as_bytes());
    }
}

impl Chargeback {
    /// Tells whether somebody may still say something to the bank, and nobody has.
    fn awaits_answer(&self) -> bool {
        matches!(self.state, ChargebackState::Inquiry | ChargebackState::NeedsResponse)
            && !self.is_past_due
            // What was given in a first round is no answer to the second.
            && self.evidence.as_ref().is_none_or(|evidence| evidence.is_taken)
    }
}

impl Payments<'_> {
    /// Gives a chargeback.
    pub fn chargeback(&self, chargeback: ChargebackId) -> Result<Option<Chargeback>, ViewError> {
        CHARGEBACKS.get(&self.0.ask()?.tree, &chargeback)
    }

    /// Lists chargebacks, newest first: those first told before position `before`, or all. A page has at most `limit`, and never
    /// more than [`CHARGEBACKS_PER_PAGE_MAX`].
    pub fn chargebacks(
        &self,
        filter: ChargebackFilter,
        before: Option<Position>,
        limit: usize,
    ) -> Result<ChargebackPage, ViewError> {
        let last = before.map_or(Position::MAX, |before| before.saturating_sub(1));
        let live = self.0.ask()?;
        let (from, to) = ((filter.key(), Reverse(last)), (filter.key(), Reverse(0)));
        let listed = BY_STATE.range(&live.tree, &from, &to, 1).map(|pair| pair.map(|(_, id)| id));
        page(&live.tree, listed, limit, |_| true)
    }

    /// Lists likewise those about what a seller sold.
    pub fn chargebacks_of(
        &self,
        seller: AccountId,
        filter: ChargebackFilter,
        before: Option<Position>,
        limit: usize,
    ) -> Result<ChargebackPage, ViewError> {
        let last = before.map_or(Position::MAX, |before| before.saturating_sub(1));
        let live = self.0.ask()?;
        let (from, to) = ((seller, Reverse(last)), (seller, Reverse(0)));
        let listed = BY_SELLER.range(&live.tree, &from, &to, 16).map(|pair| pair.map(|(_, id)| id));
        page(&live.tree, listed, limit, |one| ChargebackFilter::of(one.state) == filter)
    }

    /// Lists those that wait for a seller's answer, the most urgent first: those about what he and nobody else sold, of the newest
    /// [`CHARGEBACKS_LOOKED_AT_MAX`] about what he sold.
    pub fn chargebacks_to_answer(&self, seller: AccountId) -> Result<Vec<Chargeback>, ViewError> {
        let live = self.0.ask()?;
        let (from, to) = ((seller, Reverse(Position::MAX)), (seller, Reverse(0)));
        let newest = BY_SELLER.range(&live.tree, &from, &to, 16).take(CHARGEBACKS_LOOKED_AT_MAX);
        let newest = newest.map(|pair| pair.map(|(_, id)| id));
        let is_his = |one: &Chargeback| one.orders.iter().all(|order| order.seller == seller);
        let is_wanted = |one: &Chargeback| one.awaits_answer() && is_his(one);
        let mut found = page(&live.tree, newest, CHARGEBACKS_PER_PAGE_MAX, is_wanted)?.chargebacks;
        found.sort_by_key(|one| (one.due_by.is_none(), one.due_by, one.position));
        Ok(found)
    }

    /// Counts the open chargebacks to which nobody answered in time.
    pub fn overdue_chargebacks(&self) -> Result<usize, ViewError> {
        let live = self.0.ask()?;
        PAST_DUE.scan(&live.tree, &()).map(|pair| pair.map(|_| 1)).sum()
    }
}

fn page(
    tree: &Tree,
    listed: impl Iterator<Item = Result<ChargebackId, ViewError>>,
    limit: usize,
    is_wanted: impl Fn(&Chargeback) -> bool,
) -> Result<ChargebackPage, ViewError> {
    let limit = limit.clamp(1, CHARGEBACKS_PER_PAGE_MAX);
    let mut page = ChargebackPage { chargebacks: Vec::with_capacity(limit), next: None };
    for id in listed {
        let id = id?;
        let found = CHARGEBACKS.get(tree, &id)?.ok_or_else(|| ViewError::Damaged {
            source: format!("chargeback {id} is listed, but is not there").into(),
        })?;
        if !is_wanted(&found) {
            continue;
        }
        if page.chargebacks.len() == limit {
            page.next = page.chargebacks.last().map(|one| one.position);
            break;
        }
        page.chargebacks.push(found);
    }
    Ok(page)
}

/// How the view follows what banks dispute.
pub(super) struct ChargebackFold {
    chargebacks: Table<ChargebackId, Chargeback>,
    by_state: Table<(u8, Reverse<Position>), ChargebackId>,
    by_seller: Table<(AccountId, Reverse<Position>), ChargebackId>,
    past_due: Table<((), ChargebackId), ()>,
}

impl ChargebackFold {
    pub(super) fn new() -> Self {
        ChargebackFold {
            chargebacks: Table::new(CHARGEBACKS),
            by_state: Table::new(BY_STATE),
            by_seller: Table::new(BY_SELLER),
            past_due: Table::new(PAST_DUE),
        }
    }

    pub(super) fn apply(&mut self, tree: &Tree, recorded: &Recorded) -> Result<(), ViewError> {
        let (position, at) = (recorded.position, recorded.metadata.time);
        match &recorded.event {
            Event::ChargebackInquired(e) => {
                let one = Chargeback {
                    chargeback: e.chargeback,
                    payment: e.payment,
                    account: e.account,
                    provider: e.provider,
                    reference: e.reference.clone(),
                    state: ChargebackState::Inquiry,
                    round: Round::First,
                    amount: e.amount,
                    advanced: None,
                    reason: e.reason,
                    network_reason: e.network_reason.clone(),
                    due_by: e.due_by,
                    is_past_due: false,
                    submissions: 0,
                    evidence: None,
                    accepted_by: None,
                    fee: None,
                    orders: e
                        .orders
                        .iter()
                        .map(|part| disputed(part.order, part.seller, None, e.amount))
                        .collect(),
                    opened_at: at,
                    changed_at: at,
                    position,
                };
                self.enter(one);
                Ok(())
            }
            Event::ChargebackOpened(e) => {
                let before = self.chargebacks.entry(tree, &e.chargeback)?.clone();
                let orders = e.orders.iter().filter(|charged| charged.amount.is_positive());
                let orders = orders.map(|ChargedOrder { order, seller, amount, .. }| {
                    disputed(*order, *seller, Some(*amount), e.amount)
                });
                let one = Chargeback {
                    chargeback: e.chargeback,
                    payment: e.payment,
                    account: e.account,
                    provider: e.provider,
                    reference: e.reference.clone(),
                    state: ChargebackState::NeedsResponse,
                    round: e.round,
                    amount: e.amount,
                    advanced: e.advanced,
                    reason: e.reason,
                    network_reason: e.network_reason.clone(),
                    due_by: e.due_by,
                    is_past_due: false,
                    submissions: e.submissions,
                    evidence: None,
                    accepted_by: None,
                    fee: before.as_ref().and_then(|before| before.fee),
                    orders: orders.collect(),
                    opened_at: before.as_ref().map_or(at, |before| before.opened_at),
                    changed_at: at,
                    position: before.as_ref().map_or(position, |before| before.position),
                };
                if let Some(before) = before {
                    self.leave(&before);
                }
                self.enter(one);
                Ok(())
            }
            Event::ChargebackUpdated(e) => self.change(tree, e.chargeback, position, at, |one| {
                let is_inquiry =
                    matches!(one.state, ChargebackState::Inquiry | ChargebackState::InquiryUnderReview);
                one.state = match (is_inquiry, e.progress) {
                    (true, Progress::NeedsResponse) => ChargebackState::Inquiry,
                    (true, Progress::UnderReview) => ChargebackState::InquiryUnderReview,
                    (false, Progress::NeedsResponse) => ChargebackState::NeedsResponse,
                    (false, Progress::UnderReview) => ChargebackState::UnderReview,
                };
                if one.due_by != e.due_by {
                    one.is_past_due = one.is_past_due && e.due_by.is_none_or(|due_by| due_by <= at);
                }
                if one.round < e.round {
                    (one.round, one.is_past_due) = (e.round, false);
                }
                (one.due_by, one.submissions) = (e.due_by, e.submissions);
                if let Some(evidence) = one.evidence.as_mut().filter(|_| e.answered) {
                    evidence.is_taken = true;
                }
            }),
            Event::EvidenceSubmitted(e) => self.change(tree, e.chargeback, position, at, |one| {
                let (files, statement) = (e.files.clone(), e.statement.clone());
                one.evidence = Some(Evidence { by: e.by, files, statement, given_at: at, is_taken: false });
            }),
            Event::ChargebackAccepted(e) => self.change(tree, e.chargeback, position, at, |one| {
                (one.state, one.accepted_by) = (ChargebackState::Accepted, Some(e.by));
            }),
            Event::ChargebackPastDue(e) => {
                self.change(tree, e.chargeback, position, at, |one| one.is_past_due = true)
            }
            Event::ChargebackFeeCharged(e) => {
                self.change(tree, e.chargeback, position, at, |one| one.fee = Some(e.fee))
            }
            Event::ChargebackCovered(e) => self.change(tree, e.chargeback, position, at, |one| {
                let left = one.advanced.map_or(0, |advanced| advanced.minor) - e.transfer.amount.minor;
                let left = Money::new(left, e.transfer.amount.currency);
                one.advanced = Some(left).filter(Money::is_positive);
            }),
            Event::InquiryClosed(e) => self.change(tree, e.chargeback, position, at, |one| {
                one.state = ChargebackState::InquiryClosed;
            }),
            Event::ChargebackWon(e) => {
                self.change(tree, e.chargeback, position, at, |one| one.state = ChargebackState::Won)
            }
            Event::ChargebackLost(e) => {
                self.change(tree, e.chargeback, position, at, |one| one.state = ChargebackState::Lost)
            }
            _ => Ok(()),
        }
    }

    fn change(
        &mut self,
        tree: &Tree,
        id: ChargebackId,
        position: Position,
        at: Timestamp,
        change: impl FnOnce(&mut Chargeback),
    ) -> Result<(), ViewError> {
        let missing = || ViewError::unknown(format_args!("chargeback {id}"), position);
        let before = self.chargebacks.entry(tree, &id)?.clone().ok_or_else(missing)?;
        let mut one = before.clone();
        change(&mut one);
        one.changed_at = at;
        self.leave(&before);
        self.enter(one);
        Ok(())
    }

    fn leave(&mut self, one: &Chargeback) {
        self.by_state.set((ChargebackFilter::of(one.state).key(), Reverse(one.position)), None);
        self.past_due.set(((), one.chargeback), None);
    }

    fn enter(&mut self, one: Chargeback) {
        let filter = ChargebackFilter::of(one.state);
        self.by_state.set((filter.key(), Reverse(one.position)), Some(one.chargeback));
        for order in &one.orders {
            self.by_seller.set((order.seller, Reverse(one.position)), Some(one.chargeback));
        }
        if one.is_past_due && filter == ChargebackFilter::Open {
            self.past_due.set(((), one.chargeback), Some(()));
        }
        self.chargebacks.set(one.chargeback, Some(one));
    }

    pub(super) fn write(&mut self, tree: &Tree, batch: &mut Batch) -> Result<(), ViewError> {
        self.chargebacks.write(tree, batch)?;
        self.by_state.write(tree, batch)?;
        self.by_seller.write(tree, batch)?;
        self.past_due.write(tree, batch)
    }
}

fn disputed(order: OrderId, seller: AccountId, amount: Option<Money>, of: Money) -> DisputedOrder {
    DisputedOrder { order, seller, amount: amount.unwrap_or(Money::zero(of.currency)) }
}
