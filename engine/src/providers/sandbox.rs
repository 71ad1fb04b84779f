//! A provider that holds no money: what it does is chosen by the token that is paid with. For trying things out, and for
//! tests. Its books are in a file where it is given one, so that it outlives the engine as a real one does.
//!
//! | token | what happens |
//! |---|---|
//! | `tok_approve` | it agrees at once |
//! | `tok_decline_<code>` | it refuses with that code; for good, if that is `fraudulent`, `lost_card` or `stolen_card` |
//! | `tok_action` | the buyer has to confirm, which [`Sandbox::confirm`] does |
//! | `tok_timeout_approved` | it agrees, and its answer is lost |
//! | `tok_timeout_lost` | the first call is lost on its way |
//! | `tok_late_webhook` | it answers that it has not decided; a message tells when it has |
//! | `tok_duplicate_webhook` | it agrees, and each of its messages comes twice |
//! | `tok_unordered_webhook` | it agrees; the message of the capture comes before that of the authorisation |
//! | `tok_expires` | it agrees, and lets go before it is told to take the money |
//! | `tok_lets_go` | it agrees, and has let go when it is next asked how the payment stands; no message tells |
//! | `tok_brief` | it agrees, and holds the money for a day only |
//! | `tok_disputed_won`, `tok_disputed_lost` | it agrees; the bank disputes it as soon as it is taken, and decides so once it has evidence; without any within seven days it is lost |
//! | `tok_disputed_again` | likewise; it is won, disputed once more, and lost |
//! | `tok_inquired_closed` | it agrees; the bank asks about it as soon as it is taken, and disputes nothing |
//! | `tok_inquired_disputed` | likewise, but the bank disputes it once it has an answer, and decides for the buyer |
//!
//! A bank decides when it is next asked how the dispute stands, and a message tells of each step. A chargeback costs 1,500 minor units.
//!
//! What it holds otherwise it lets go of after seven days, as a real one does. Of what it takes it keeps one hundredth as its fee,
//! of which only its own statement tells ([`write_statement`]).
//!
//! A bank account is a token too: `acct_fail_<code>` can't be paid, to `acct_slow` the first two answers are that it is on
//! its way, the answer about `acct_timeout_paid` is lost; what is paid to `acct_returned_<code>` comes back with that code,
//! of which a message tells, when [`Sandbox::bring_back`] says so; any other that begins with `acct_` is paid at once.

mod dispute;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use events::ids::{PaymentId, PayoutId, RefundId};
use events::payment::ActionKind;
use events::reconciliation::MovementKind;
use events::{Money, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::mpsc;

use super::statement::{self, Movement};
use super::stripe::webhook;
use super::{
    About, Answer, Authorize, Capture, Dispute, EvidenceCall, Found, NoAnswer, Notice, PaymentProvider,
    PayoutAnswer, PayoutCall, RefundAnswer, RefundCall, WebhookError,
};

/// The provider's name.
pub const NAME: &str = "sandbox";
/// What its messages are signed with: nothing that it says is worth more than that.
const SECRET: &str = "sandbox";
/// The header with a message's signature.
pub const SIGNATURE_HEADER: &str = "sandbox-signature";
/// Most messages that wait to be delivered; more are lost, as they may be.
pub const MESSAGES_MAX: usize = 1024;
/// How long it holds money, in milliseconds.
const HOLDS_MS: i64 = 7 * 86_400_000;
/// How long it holds money of `tok_brief`, in milliseconds.
const HOLDS_BRIEFLY_MS: i64 = 86_400_000;

/// Of what it takes it keeps one part of so many as its fee.
const FEE_PARTS: i64 = 100;

/// A message on its way to the webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The bytes.
    pub body: Vec<u8>,
    /// When it was sent.
    pub sent_at: Timestamp,
}

impl Message {
    /// Signs the message for the time it is delivered at.
    pub fn signature(&self) -> String {
        webhook::sign(&self.body, SECRET, self.sent_at)
    }
}

/// A payment in the sandbox's books.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Entry {
    token: String,
    amount: Money,
    made_at: Timestamp,
    state: State,
    refunds: BTreeMap<RefundId, Money>,
    /// Messages about it so far.
    messages: u32,
    /// What its bank disputes, if it does.
    #[serde(default)]
    dispute: Option<dispute::Entry>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
enum State {
    /// Its call was lost on the way: it does not know of it.
    Unheard,
    Undecided,
    ActionRequired,
    Authorized,
    Captured(Money),
    Declined(String),
    Voided,
    Expired,
}

/// A payout in the sandbox's books.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct PaidOut {
    token: String,
    amount: Money,
    /// How often it was asked about.
    asked: u32,
    /// Whether the bank has returned it.
    #[serde(default)]
    is_returned: bool,
}

/// How accounts begin that what was paid to comes back from.
const RETURNED: &str = "acct_returned_";
/// How often `acct_slow` is asked about before it is paid.
const SLOW_ASKED: u32 = 3;

#[derive(Debug, Default, Serialize, Deserialize)]
struct Books {
    payments: BTreeMap<PaymentId, Entry>,
    payouts: BTreeMap<PayoutId, PaidOut>,
    /// What it moved last, in the order in which it did.
    #[serde(default)]
    movements: VecDeque<Movement>,
    /// From when on that is all it moved; none: it never forgot any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    movements_from: Option<Timestamp>,
}

/// How many of its last movements the sandbox tells of.
pub const MOVEMENTS_MAX: usize = 100_000;

impl Books {
    fn moved(&mut self, kind: MovementKind, reference: String, at: Timestamp, amount: Money) {
        let fee_minor = if kind == MovementKind::Payment { amount.minor / FEE_PARTS } else { 0 };
        self.keep(Movement { kind, reference, at, amount, fee_minor });
    }

    fn keep(&mut self, movement: Movement) {
        self.movements.push_back(movement);
        if self.movements.len() > MOVEMENTS_MAX
            && let Some(forgotten) = self.movements.pop_front()
        {
            self.movements_from = Some(forgotten.at.plus_ms(1));
        }
    }
}

/// What the sandbox says it has moved, from its own books in a file, or from none where it has kept none yet: since `from`, or
/// the first movement, and before `until`, or now.
///
/// # Errors
/// If the books can't be read, or what is asked for begins before the last [`MOVEMENTS_MAX`] movements.
pub fn write_statement(
    file: &std::path::Path,
    out: &mut dyn io::Write,
    from: Option<Timestamp>,
    until: Option<Timestamp>,
    now: Timestamp,
) -> io::Result<()> {
    let Books { movements, movements_from, .. } = match std::fs::read(file) {
        Ok(json) => serde_json::from_slice(&json)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Books::default(),
        Err(error) => return Err(error),
    };
    let first = movements.iter().map(|movement| movement.at).min();
    let behind_last = movements.iter().map(|movement| movement.at.plus_ms(1)).max();
    let from = from.or(movements_from).or(first).unwrap_or_default();
    if let Some(known) = movements_from.filter(|known| from < *known) {
        return Err(io::Error::other(format!(
            "the sandbox keeps its last {MOVEMENTS_MAX} movements, which begin at {known}: ask for those from then on"
        )));
    }
    let until = until.unwrap_or_else(|| behind_last.map_or(now, |behind| behind.max(now)));
    statement::write(out, movements.iter(), from, until)
}

/// The sandbox.
pub struct Sandbox {
    books: Mutex<Books>,
    file: Option<PathBuf>,
    messages: mpsc::Sender<Message>,
    clock: std::sync::Arc<dyn crate::clock::Clock>,
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sandbox").field("file", &self.file).finish_non_exhaustive()
    }
}

impl Sandbox {
    /// Opens the sandbox with the books in a file, or with none; its messages come through the channel.
    pub fn open(
        file: Option<PathBuf>,
        clock: std::sync::Arc<dyn crate::clock::Clock>,
    ) -> io::Result<(Sandbox, mpsc::Receiver<Message>)> {
        let books = match file.as_deref().map(std::fs::read) {
            Some(Ok(json)) => serde_json::from_slice(&json)?,
            Some(Err(error)) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => Books::default(),
        };
        let (messages, receiver) = mpsc::channel(MESSAGES_MAX);
        Ok((Sandbox { books: Mutex::new(books), file, messages, clock }, receiver))
    }

    /// Lets the buyer confirm a payment that waits for him, or lets an undecided one be agreed to, and sends a message.
    pub fn confirm(&self, payment: PaymentId) {
        let mut books = self.books();
        if let Some(entry) = books.payments.get_mut(&payment)
            && matches!(entry.state, State::ActionRequired | State::Undecided)
        {
            entry.state = State::Authorized;
            self.tell(payment, entry, "authorized");
        }
        self.keep(&books);
    }

    /// Lets the bank return what was paid to an account that does, and sends a message.
    pub fn bring_back(&self, payout: PayoutId) {
        let mut books = self.books();
        if let Some(entry) = books.payouts.get_mut(&payout)
            && entry.token.starts_with(RETURNED)
            && !entry.is_returned
        {
            entry.is_returned = true;
            let (id, reference, amount) = (format!("evt_{payout}_1"), payout_reference(payout), entry.amount);
            self.send(&json!({"id": id, "payout": payout, "reference": reference, "type": "returned"}), 1);
            books.moved(MovementKind::PayoutReturned, reference, self.clock.now(), amount);
        }
        self.keep(&books);
    }

    /// Gives what was paid out, in minor units.
    pub fn paid_out(&self) -> i64 {
        let books = self.books();
        let paid = books
            .payouts
            .iter()
            .filter(|(id, payout)| matches!(payout.answer(**id), PayoutAnswer::Paid { .. }));
        paid.map(|(_, payout)| payout.amount.minor).sum()
    }

    /// Gives what was captured and given back, in minor units, over all payments.
    pub fn totals(&self) -> (i64, i64) {
        let books = self.books();
        let captured = books.payments.values().filter_map(|entry| match &entry.state {
            State::Captured(amount) => Some(amount.minor),
            _ => None,
        });
        let refunded =
            books.payments.values().flat_map(|entry| entry.refunds.values()).map(|amount| amount.minor);
        (captured.sum(), refunded.sum())
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the books, in one step.
    fn keep(&self, books: &Books) {
        let Some(file) = &self.file else { return };
        let json = serde_json::to_vec(books).expect("the books hold nothing that JSON can't say");
        let new = file.with_extension("new");
        if let Err(error) = std::fs::write(&new, json).and_then(|()| std::fs::rename(&new, file)) {
            tracing::error!(%error, file = %file.display(), "the sandbox can't keep its books");
        }
    }

    /// Sends a message about a payment, as its token wants it.
    fn tell(&self, payment: PaymentId, entry: &mut Entry, what: &str) {
        entry.messages += 1;
        let id = format!("evt_{payment}_{}", entry.messages);
        let body = json!({"id": id, "payment": payment, "reference": reference(payment), "type": what});
        self.send(&body, if entry.token == "tok_duplicate_webhook" { 2 } else { 1 });
    }

    /// Notes that a dispute is a step further: what moved by it, and that a message tells.
    fn disputed(&self, books: &mut Books, payment: PaymentId, moved: dispute::Moved) {
        let Some(entry) = books.payments.get_mut(&payment) else { return };
        entry.messages += 1;
        let id = format!("evt_{payment}_{}", entry.messages);
        let (reference, currency) = (dispute::reference(payment), entry.amount.currency);
        self.send(&json!({"dispute": payment, "id": id, "reference": reference, "type": "disputed"}), 1);
        if let Some((kind, minor)) = moved {
            let (amount, fee_minor) = (Money::new(minor, currency), dispute::Entry::fee_of((kind, minor)));
            books.keep(Movement { kind, reference, at: self.clock.now(), amount, fee_minor });
        }
    }

    /// Changes a dispute, and gives how it stands then.
    fn change_dispute(
        &self,
        reference: &str,
        change: impl FnOnce(&mut dispute::Entry, &str, Timestamp) -> (bool, dispute::Moved),
    ) -> Option<Dispute> {
        let mut books = self.books();
        let payment = dispute::payment_of(reference)?;
        let entry = books.payments.get_mut(&payment)?;
        let token = entry.token.clone();
        let (is_new, moved) = change(entry.dispute.as_mut()?, &token, self.clock.now());
        let shown = entry.dispute.as_ref()?.shown(payment, self::reference(payment));
        if is_new {
            self.disputed(&mut books, payment, moved);
            self.keep(&books);
        }
        Some(shown)
    }

    fn send(&self, body: &serde_json::Value, copies: u32) {
        let message = Message { body: body.to_string().into_bytes(), sent_at: self.clock.now() };
        for _ in 0..copies {
            // Nobody may listen, or be too slow: messages may be lost.
            let _ = self.messages.try_send(message.clone());
        }
    }

    /// Lets go of what was held for as long as it is held.
    fn lapse(&self, entry: &mut Entry) {
        if matches!(entry.state, State::Authorized) && self.clock.now() >= entry.held_until() {
            entry.state = State::Expired;
        }
    }

    fn answer(&self, payment: PaymentId, entry: &Entry) -> Answer {
        let reference = reference(payment);
        match &entry.state {
            State::Unheard | State::Undecided => Answer::Pending,
            State::ActionRequired => {
                let url = Some(format!("https://sandbox.invalid/confirm/{payment}"));
                Answer::ActionRequired { reference, kind: ActionKind::ThreeDs, url }
            }
            State::Authorized => {
                Answer::Authorized { reference, amount: entry.amount, capture_before: entry.held_until() }
            }
            State::Captured(amount) => Answer::Captured { reference, amount: *amount },
            State::Declined(code) => Answer::Declined { code: code.clone(), retryable: is_retryable(code) },
            State::Voided => Answer::Voided,
            State::Expired => Answer::Expired,
        }
    }
}

impl Entry {
    fn held_until(&self) -> Timestamp {
        self.made_at.plus_ms(if self.token == "tok_brief" { HOLDS_BRIEFLY_MS } else { HOLDS_MS })
    }
}

/// Tells whether another try may go well, with the same or another card.
fn is_retryable(code: &str) -> bool {
    !matches!(code, "fraudulent" | "lost_card" | "stolen_card")
}

impl PaidOut {
    fn answer(&self, payout: PayoutId) -> PayoutAnswer {
        if let Some(code) = self.token.strip_prefix("acct_fail_") {
            PayoutAnswer::Failed { code: code.to_owned() }
        } else if !self.token.starts_with("acct_") {
            PayoutAnswer::Failed { code: "account_unknown".to_owned() }
        } else if let Some(code) = self.token.strip_prefix(RETURNED).filter(|_| self.is_returned) {
            PayoutAnswer::Failed { code: code.to_owned() }
        } else if self.token == "acct_slow" && self.asked < SLOW_ASKED {
            PayoutAnswer::Pending
        } else {
            PayoutAnswer::Paid { reference: payout_reference(payout) }
        }
    }
}

fn payout_reference(payout: PayoutId) -> String {
    format!("sbp_{payout}")
}

fn reference(payment: PaymentId) -> String {
    format!("sbx_{payment}")
}

fn first_state(token: &str) -> State {
    if let Some(code) = token.strip_prefix("tok_decline_") {
        return State::Declined(code.to_owned());
    }
    match token {
        "tok_approve"
        | "tok_timeout_approved"
        | "tok_duplicate_webhook"
        | "tok_unordered_webhook"
        | "tok_expires"
        | "tok_lets_go"
        | "tok_brief" => State::Authorized,
        token if dispute::is_disputed(token) => State::Authorized,
        "tok_action" => State::ActionRequired,
        "tok_timeout_lost" => State::Unheard,
        "tok_late_webhook" => State::Undecided,
        _ => State::Declined("token_unknown".to_owned()),
    }
}

fn lost() -> NoAnswer {
    NoAnswer("the sandbox did not answer, as its token wants it".to_owned())
}

#[async_trait]
impl PaymentProvider for Sandbox {
    fn name(&self) -> &'static str {
        NAME
    }

    fn key_lifetime(&self) -> Duration {
        Duration::from_secs(24 * 3600)
    }

    async fn authorize(&self, call: &Authorize) -> Result<Answer, NoAnswer> {
        let mut books = self.books();
        let is_new = !books.payments.contains_key(&call.payment);
        let entry = books.payments.entry(call.payment).or_insert_with(|| Entry {
            token: call.token.clone(),
            amount: call.amount,
            made_at: self.clock.now(),
            state: first_state(&call.token),
            refunds: BTreeMap::new(),
            messages: 0,
            dispute: None,
        });
        let answer = match (&entry.state, is_new) {
            (State::Unheard, true) => Err(lost()),
            (State::Unheard, false) => {
                entry.state = State::Authorized;
                Ok(self.answer(call.payment, entry))
            }
            _ if is_new && entry.token == "tok_timeout_approved" => Err(lost()),
            _ => Ok(self.answer(call.payment, entry)),
        };
        let is_told = !matches!(entry.token.as_str(), "tok_unordered_webhook" | "tok_lets_go");
        if is_new && matches!(entry.state, State::Authorized) && is_told {
            self.tell(call.payment, entry, "authorized");
        }
        if is_new && matches!(entry.state, State::Declined(_)) {
            self.tell(call.payment, entry, "declined");
        }
        self.keep(&books);
        answer
    }

    async fn capture(&self, call: &Capture) -> Result<Answer, NoAnswer> {
        let mut books = self.books();
        let entry = books
            .payments
            .get_mut(&call.payment)
            .ok_or_else(|| NoAnswer(format!("no {}", call.reference)))?;
        self.lapse(entry);
        let mut is_moved = false;
        if matches!(entry.state, State::Authorized) {
            if entry.token == "tok_expires" {
                entry.state = State::Expired;
            } else {
                entry.state = State::Captured(call.amount);
                is_moved = true;
                self.tell(call.payment, entry, "captured");
                if entry.token == "tok_unordered_webhook" {
                    self.tell(call.payment, entry, "authorized");
                }
            }
        }
        let answer = self.answer(call.payment, entry);
        if is_moved {
            let now = self.clock.now();
            books.moved(MovementKind::Payment, reference(call.payment), now, call.amount);
            let entry = books.payments.get_mut(&call.payment).expect("it was just found");
            if let Some((dispute, moved)) = dispute::Entry::begin(&entry.token, call.amount, now) {
                entry.dispute = Some(dispute);
                self.disputed(&mut books, call.payment, moved);
            }
        }
        self.keep(&books);
        Ok(answer)
    }

    async fn void(&self, payment: PaymentId, reference: &str) -> Result<Answer, NoAnswer> {
        let mut books = self.books();
        let entry = books.payments.get_mut(&payment).ok_or_else(|| NoAnswer(format!("no {reference}")))?;
        self.lapse(entry);
        if matches!(entry.state, State::Authorized | State::ActionRequired | State::Undecided) {
            entry.state = State::Voided;
            self.tell(payment, entry, "voided");
        }
        let answer = self.answer(payment, entry);
        self.keep(&books);
        Ok(answer)
    }

    async fn refund(&self, call: &RefundCall) -> Result<RefundAnswer, NoAnswer> {
        let mut books = self.books();
        let entry = books
            .payments
            .get_mut(&call.payment)
            .ok_or_else(|| NoAnswer(format!("no {}", call.reference)))?;
        let refunded: i64 = entry.refunds.values().map(|amount| amount.minor).sum();
        let is_known = entry.refunds.contains_key(&call.refund);
        if !is_known && entry.dispute.as_ref().is_some_and(dispute::Entry::is_gone) {
            return Ok(RefundAnswer::Failed { code: "charge_disputed".to_owned() });
        }
        let fits = matches!(&entry.state, State::Captured(captured)
            if refunded + call.amount.minor <= captured.minor && captured.currency == call.amount.currency);
        if !is_known && !fits {
            return Ok(RefundAnswer::Failed { code: "more_than_captured".to_owned() });
        }
        entry.refunds.insert(call.refund, call.amount);
        let reference = format!("sbr_{}", call.refund);
        if !is_known {
            let amount = Money::new(-call.amount.minor, call.amount.currency);
            books.moved(MovementKind::Refund, reference.clone(), self.clock.now(), amount);
        }
        self.keep(&books);
        Ok(RefundAnswer::Refunded { reference })
    }

    async fn look_up(&self, payment: PaymentId, _: Option<&str>) -> Result<Option<Found>, NoAnswer> {
        let mut books = self.books();
        let known = books.payments.get_mut(&payment).filter(|entry| !matches!(entry.state, State::Unheard));
        Ok(known.map(|entry| {
            self.lapse(entry);
            if entry.token == "tok_lets_go" && matches!(entry.state, State::Authorized) {
                entry.state = State::Expired;
            }
            Found { reference: reference(payment), answer: self.answer(payment, entry) }
        }))
    }

    async fn look_up_refund(&self, call: &RefundCall) -> Result<Option<RefundAnswer>, NoAnswer> {
        let books = self.books();
        let is_known =
            books.payments.get(&call.payment).is_some_and(|entry| entry.refunds.contains_key(&call.refund));
        Ok(is_known.then(|| RefundAnswer::Refunded { reference: format!("sbr_{}", call.refund) }))
    }

    async fn pay_out(&self, call: &PayoutCall) -> Result<PayoutAnswer, NoAnswer> {
        let mut books = self.books();
        let is_new = !books.payouts.contains_key(&call.payout);
        let entry = books.payouts.entry(call.payout).or_insert_with(|| PaidOut {
            token: call.token.clone(),
            amount: call.amount,
            asked: 0,
            is_returned: false,
        });
        entry.asked = entry.asked.saturating_add(1);
        let is_lost = is_new && entry.token == "acct_timeout_paid";
        let answer = entry.answer(call.payout);
        // As a real one does, it takes the money from what it holds when it sends it off.
        if is_new && !matches!(answer, PayoutAnswer::Failed { .. }) {
            let amount = Money::new(-call.amount.minor, call.amount.currency);
            books.moved(MovementKind::Payout, payout_reference(call.payout), self.clock.now(), amount);
        }
        self.keep(&books);
        if is_lost { Err(lost()) } else { Ok(answer) }
    }

    async fn look_up_payout(
        &self,
        payout: PayoutId,
        _: Option<&str>,
    ) -> Result<Option<PayoutAnswer>, NoAnswer> {
        let mut books = self.books();
        let answer = books.payouts.get_mut(&payout).map(|entry| {
            entry.asked = entry.asked.saturating_add(1);
            entry.answer(payout)
        });
        self.keep(&books);
        Ok(answer)
    }

    async fn look_up_dispute(&self, reference: &str) -> Result<Option<Dispute>, NoAnswer> {
        Ok(self.change_dispute(reference, |entry, token, now| entry.decide(token, now)))
    }

    async fn submit_evidence(&self, call: &EvidenceCall) -> Result<Dispute, NoAnswer> {
        let taken = self.change_dispute(&call.reference, |entry, _, _| (true, entry.answer()));
        taken.ok_or_else(|| NoAnswer(format!("no {}", call.reference)))
    }

    async fn accept_dispute(&self, reference: &str) -> Result<Dispute, NoAnswer> {
        let given_up = self.change_dispute(reference, |entry, _, _| (true, entry.accept()));
        given_up.ok_or_else(|| NoAnswer(format!("no {reference}")))
    }

    fn read_webhook(
        &self,
        header: &dyn Fn(&str) -> Option<String>,
        body: &[u8],
        now: Timestamp,
    ) -> Result<Notice, WebhookError> {
        let signature = header(SIGNATURE_HEADER).ok_or(WebhookError::Signature)?;
        webhook::check(&signature, body, SECRET, now)?;
        #[derive(Deserialize)]
        struct Body {
            dispute: Option<PaymentId>,
            id: String,
            payment: Option<PaymentId>,
            payout: Option<PayoutId>,
            reference: String,
        }
        let Body { dispute, id, payment, payout, reference } =
            serde_json::from_slice(body).map_err(|_| WebhookError::Malformed)?;
        let about = payment.map(About::Payment).or(payout.map(About::Payout));
        let about = about.or(dispute.map(|_| About::Dispute));
        Ok(Notice { id, about: about.map(|about| (about, reference)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_movements_are_forgotten_and_a_statement_does_not_pretend_to_have_them() {
        let mut books = Books::default();
        let amount = Money::new(100, "USD".parse().unwrap());
        let count = i64::try_from(MOVEMENTS_MAX).unwrap() + 2;
        for n in 0..count {
            books.moved(MovementKind::Payout, format!("po_{n}"), Timestamp::from_ms(n), amount);
        }
        assert_eq!(
            (books.movements.len(), books.movements_from),
            (MOVEMENTS_MAX, Some(Timestamp::from_ms(2)))
        );
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("books.json");
        std::fs::write(&file, serde_json::to_vec(&books).unwrap()).unwrap();
        let told = |from| {
            let mut out = Vec::new();
            let now = Timestamp::from_ms(count);
            write_statement(&file, &mut out, from, None, now).map(|()| String::from_utf8(out).unwrap())
        };
        let all = told(None).unwrap();
        assert!(all.contains("po_2,") && !all.contains("po_1,"), "{}", &all[..400]);
        assert!(told(Some(Timestamp::from_ms(2))).is_ok());
        let refused = told(Some(Timestamp::from_ms(1))).unwrap_err().to_string();
        assert!(refused.contains("1970-01-01T00:00:00.002Z"), "{refused}");
    }
}
