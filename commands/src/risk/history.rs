//! What is remembered of who bought, with what and from whom, to judge the next purchase by. It is folded from the log alone, and its
//! size is bounded: of at most [`SUBJECTS_MAX`] accounts, devices, means of payment and the like, the one that was seen the longest
//! ago is forgotten first.

use std::collections::{BTreeMap, BTreeSet};

use events::account::Role;
use events::ids::{AccountId, DeviceId, OrderId, PaymentId};
use events::risk::feature::{Who, Window};
use events::risk::rules::Outcome;
use events::risk::{Assessed, Label, Labelled};
use events::tax::Region;
use events::{Currency, Event, Hash, Money, Timestamp};
use serde::{Deserialize, Serialize};

use super::asked::{Asked, instrument};
use super::features::USUAL_MIN;
use crate::market::Market;

/// Of how many something is remembered.
pub const SUBJECTS_MAX: usize = 1 << 16;
/// How many spans of time something is counted in, of each: a tenth of a window, or less, is one span.
pub const SPANS_MAX: usize = 64;
/// How many others of each kind are remembered of one; the last ones.
pub const LINKS_MAX: usize = 16;
/// How many of a buyer's last purchases tell what he usually spends.
pub const USUAL_MAX: usize = 9;
/// Of how many payments it is remembered what they were paid with; the last ones.
pub const PAYMENTS_MAX: usize = 1 << 16;
/// Of how many orders it is remembered that they were a fraud, so that none counts twice; the last ones.
pub const FRAUDS_MAX: usize = 1 << 16;
/// Spans are joined when there are more than this.
const SPANS_LOOSE: usize = 8;

/// Half of a SHA-256: enough to tell what was seen apart.
type Short = [u8; 16];

/// Of whom, or of what, something is remembered.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Subject {
    /// An account that buys.
    Account(AccountId),
    /// A device.
    Device(DeviceId),
    /// A means of payment.
    Instrument(Short),
    /// A fingerprint of devices.
    Fingerprint(Short),
    /// A region that is delivered to.
    Region(Region),
    /// An account that sells.
    Seller(AccountId),
}

/// What kind of subject it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Account,
    Device,
    Instrument,
    Fingerprint,
    Region,
    Seller,
}

impl Subject {
    pub(super) fn instrument(hash: &Hash) -> Subject {
        Subject::Instrument(short(hash))
    }

    pub(super) fn fingerprint(hash: &Hash) -> Subject {
        Subject::Fingerprint(short(hash))
    }

    /// Gives whom a purchase is counted of; none: it is not known.
    pub(super) fn of(who: Who, asked: &Asked) -> Option<Subject> {
        match who {
            Who::Account => Some(Subject::Account(asked.account)),
            Who::Device => Some(Subject::Device(asked.device)),
            Who::Instrument => asked.instrument.as_ref().map(Subject::instrument),
            Who::Fingerprint => asked.fingerprint.as_ref().map(Subject::fingerprint),
            Who::Region => asked.region.clone().map(Subject::Region),
        }
    }

    const fn kind(&self) -> Kind {
        match self {
            Subject::Account(_) => Kind::Account,
            Subject::Device(_) => Kind::Device,
            Subject::Instrument(_) => Kind::Instrument,
            Subject::Fingerprint(_) => Kind::Fingerprint,
            Subject::Region(_) => Kind::Region,
            Subject::Seller(_) => Kind::Seller,
        }
    }
}

fn short(hash: &Hash) -> Short {
    let mut short = Short::default();
    short.copy_from_slice(&hash.as_bytes()[..16]);
    short
}

/// What was counted in a span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Span {
    start: Timestamp,
    currency: Currency,
    sums: Sums,
}

/// What was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Sums {
    /// Purchases and payments.
    pub purchases: u32,
    /// Payments that were declined; of sellers, purchases that were disputed.
    pub declines: u32,
    /// What the purchases were signed for, in minor units.
    pub minor: i64,
}

impl Sums {
    fn add(&mut self, other: Sums) {
        self.purchases = self.purchases.saturating_add(other.purchases);
        self.declines = self.declines.saturating_add(other.declines);
        self.minor = self.minor.saturating_add(other.minor);
    }
}

/// What is remembered of one.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Known {
    /// When it was seen last.
    seen: Timestamp,
    /// What was counted, the oldest first.
    spans: Vec<Span>,
    /// Whom it was seen with and when last, the last one last.
    links: Vec<(Subject, Timestamp)>,
    /// What the last purchases were signed for, the last one last.
    amounts: Vec<Money>,
    chargebacks: u32,
    frauds: u32,
}

impl Known {
    fn count(&mut self, now: Timestamp, currency: Currency, sums: Sums) {
        let own = Span { start: start_of(now, now), currency, sums };
        match self.spans.iter_mut().rev().find(|span| (span.start, span.currency) == (own.start, currency)) {
            Some(same) => same.sums.add(sums),
            None => self.spans.push(own),
        }
        if self.spans.len() > SPANS_LOOSE {
            self.join(now);
        }
    }

    /// Joins what is older into longer spans, and forgets what no window reaches.
    fn join(&mut self, now: Timestamp) {
        let mut joined: Vec<Span> = Vec::with_capacity(self.spans.len());
        for span in &self.spans {
            if now.ms_since(span.start) > Window::Month.ms() {
                continue;
            }
            let start = start_of(span.start, now);
            match joined.iter_mut().rev().find(|one| (one.start, one.currency) == (start, span.currency)) {
                Some(same) => same.sums.add(span.sums),
                None => joined.push(Span { start, ..*span }),
            }
        }
        joined.drain(..joined.len().saturating_sub(SPANS_MAX));
        self.spans = joined;
    }

    fn link(&mut self, other: Subject, now: Timestamp) {
        let kind = other.kind();
        self.links.retain(|(known, _)| *known != other);
        let of_kind = self.links.iter().filter(|(known, _)| known.kind() == kind).count();
        if of_kind >= LINKS_MAX
            && let Some(oldest) = self.links.iter().position(|(known, _)| known.kind() == kind)
        {
            self.links.remove(oldest);
        }
        self.links.push((other, now));
    }
}

/// Gives when the span begins that a moment is counted in: the older it is, the longer.
fn start_of(moment: Timestamp, now: Timestamp) -> Timestamp {
    let age = now.ms_since(moment);
    let window = Window::ALL.into_iter().find(|window| age <= window.ms()).unwrap_or(Window::Month);
    let length = span_ms(window);
    Timestamp::from_ms(moment.ms().div_euclid(length) * length)
}

/// Gives how long the spans are that make a window, in milliseconds: a tenth of it at most, and a multiple of those of the window
/// before, so that joining moves nothing.
const fn span_ms(window: Window) -> i64 {
    match window {
        Window::Week => 43_200_000,
        _ => window.ms() / 10,
    }
}

/// What is remembered of purchases.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct History {
    known: BTreeMap<Subject, Known>,
    by_time: BTreeSet<(Timestamp, Subject)>,
    /// What the last payments were to be paid with.
    payments: BTreeMap<PaymentId, Short>,
    /// The last orders that are labelled as a fraud.
    frauds: BTreeSet<OrderId>,
}

impl History {
    /// Counts those of whom something is remembered.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Tells whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Gives what was counted of one within some time; the time is right to a tenth. Money is counted in one currency, all else in
    /// all of them.
    pub(super) fn sums(&self, of: &Subject, currency: Currency, within_ms: i64, now: Timestamp) -> Sums {
        let spans = self.known.get(of).map_or(&[][..], |known| &known.spans);
        let recent = spans.iter().filter(|span| now.ms_since(span.start) < within_ms);
        recent.fold(Sums::default(), |mut all, span| {
            let minor = if span.currency == currency { span.sums.minor } else { 0 };
            all.add(Sums { minor, ..span.sums });
            all
        })
    }

    fn links<'a>(&'a self, of: &Subject, now: Timestamp) -> impl Iterator<Item = &'a Subject> + use<'a> {
        let links = self.known.get(of).map_or(&[][..], |known| &known.links);
        let is_recent = move |seen: Timestamp| now.ms_since(seen) <= Window::Month.ms();
        links.iter().filter(move |(_, seen)| is_recent(*seen)).map(|(other, _)| other)
    }

    /// Counts whom of a kind one was seen with in the last 30 days; at most [`LINKS_MAX`].
    pub(super) fn linked(&self, of: &Subject, kind: Kind, now: Timestamp) -> i64 {
        self.links(of, now).filter(|other| other.kind() == kind).count() as i64
    }

    /// Tells whether one was seen with another in the last 30 days.
    pub(super) fn is_linked(&self, of: &Subject, other: &Subject, now: Timestamp) -> bool {
        self.links(of, now).any(|known| known == other)
    }

    pub(super) fn chargebacks(&self, of: &Subject) -> u32 {
        self.known.get(of).map_or(0, |known| known.chargebacks)
    }

    pub(super) fn frauds(&self, of: &Subject) -> u32 {
        self.known.get(of).map_or(0, |known| known.frauds)
    }

    /// Gives the median of one's last purchases in a currency, in minor units; none: they are too few.
    pub(super) fn usual(&self, of: &Subject, currency: Currency) -> Option<i64> {
        let amounts = self.known.get(of)?.amounts.iter().filter(|amount| amount.currency == currency);
        let mut minor: Vec<i64> = amounts.map(|amount| amount.minor).collect();
        minor.sort_unstable();
        (minor.len() >= USUAL_MIN).then(|| minor[minor.len() / 2])
    }

    fn seen(&mut self, subject: Subject, now: Timestamp) -> &mut Known {
        match self.known.get(&subject) {
            Some(known) => {
                self.by_time.remove(&(known.seen, subject.clone()));
            }
            None if self.known.len() >= SUBJECTS_MAX => {
                if let Some((_, oldest)) = self.by_time.pop_first() {
                    self.known.remove(&oldest);
                }
            }
            None => {}
        }
        self.by_time.insert((now, subject.clone()));
        let known = self.known.entry(subject).or_default();
        known.seen = now;
        known
    }

    /// Remembers a purchase, or a payment, that was judged.
    pub fn purchased(&mut self, event: &Assessed, now: Timestamp) {
        let currency = event.amount.currency;
        let sums = Sums { purchases: 1, declines: 0, minor: event.amount.minor };
        let own = Subject::Account(event.account);
        let instrument = event.instrument.as_ref().map(Subject::instrument);
        let fingerprint = event.fingerprint.as_ref().map(Subject::fingerprint);
        let region = event.region.clone().map(Subject::Region);
        self.seen(Subject::Device(event.device), now).count(now, currency, sums);
        for shared in [&instrument, &fingerprint].into_iter().flatten() {
            let known = self.seen(shared.clone(), now);
            known.count(now, currency, sums);
            known.link(own.clone(), now);
        }
        if let Some(region) = &region {
            self.seen(region.clone(), now).count(now, currency, sums);
        }
        // What is blocked was not bought, and what is paid for was bought before.
        let is_no_purchase = event.outcome == Outcome::Block || event.payment.is_some();
        if !is_no_purchase {
            for seller in &event.sellers {
                self.seen(Subject::Seller(*seller), now).count(now, currency, sums);
            }
        }
        let known = self.seen(own, now);
        known.count(now, currency, sums);
        for other in [instrument, fingerprint, region].into_iter().flatten() {
            known.link(other, now);
        }
        if is_no_purchase {
            return;
        }
        for seller in &event.sellers {
            known.link(Subject::Seller(*seller), now);
        }
        if known.amounts.len() >= USUAL_MAX {
            known.amounts.remove(0);
        }
        known.amounts.push(event.amount);
    }

    /// Remembers what an order turned out to be.
    pub fn labelled(&mut self, event: &Labelled, now: Timestamp) {
        // Said again it is no other one; and what was none after all counts no more.
        let is_new = match event.label {
            Label::Fraud => self.frauds.insert(event.order),
            Label::Good => self.frauds.remove(&event.order),
        };
        if !is_new {
            return;
        }
        if self.frauds.len() > FRAUDS_MAX {
            self.frauds.pop_first();
        }
        let known = self.seen(Subject::Account(event.buyer), now);
        known.frauds = match event.label {
            Label::Fraud => known.frauds.saturating_add(1),
            Label::Good => known.frauds.saturating_sub(1),
        };
    }

    /// Remembers what else tells something about risk. `market`: before the event.
    pub fn follow(&mut self, market: &Market, event: &Event, now: Timestamp) {
        let declined = Sums { declines: 1, ..Sums::default() };
        match event {
            Event::PaymentRequested(requested) => {
                let used = short(&instrument(requested.provider, &requested.token));
                self.payments.insert(requested.payment, used);
                if self.payments.len() > PAYMENTS_MAX {
                    self.payments.pop_first();
                }
            }
            Event::PaymentFailed(failed) => {
                let used = self.payments.get(&failed.payment).copied().map(Subject::Instrument);
                for subject in [Some(Subject::Account(failed.account)), used].into_iter().flatten() {
                    self.seen(subject, now).count(now, failed.amount.currency, declined);
                }
            }
            Event::ChargebackOpened(opened) => {
                let used = self.payments.get(&opened.payment).copied().map(Subject::Instrument);
                for subject in [Some(Subject::Account(opened.account)), used].into_iter().flatten() {
                    let known = self.seen(subject, now);
                    known.chargebacks = known.chargebacks.saturating_add(1);
                }
                let sellers: BTreeSet<AccountId> = opened.orders.iter().map(|order| order.seller).collect();
                for seller in sellers {
                    self.seen(Subject::Seller(seller), now).count(now, opened.amount.currency, declined);
                }
            }
            Event::EscrowFrozen(frozen) if frozen.by == Role::Buyer => {
                if let Some(order) = market.orders.get(frozen.order) {
                    let (seller, currency) = (order.seller, order.total.currency);
                    self.seen(Subject::Seller(seller), now).count(now, currency, declined);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_ms(1_753_783_200_000);

    fn usd() -> Currency {
        "USD".parse().unwrap()
    }

    fn one(minor: i64) -> Sums {
        Sums { purchases: 1, declines: 0, minor }
    }

    fn region(n: u32) -> Subject {
        let code = format!(
            "{}{}-{}",
            char::from(b'A' + (n % 26) as u8),
            char::from(b'A' + (n / 26 % 26) as u8),
            n / 676
        );
        Subject::Region(code.parse().unwrap())
    }

    #[test]
    fn each_window_counts_what_is_in_it_and_is_right_to_a_tenth() {
        let (mut history, subject) = (History::default(), region(0));
        // One purchase every 20 seconds for 40 days.
        let count = 40 * 86_400 / 20;
        let mut now = NOW;
        for _ in 0..count {
            now = now.plus_ms(20_000);
            history.seen(subject.clone(), now).count(now, usd(), one(5));
        }
        for window in Window::ALL {
            let sums = history.sums(&subject, usd(), window.ms(), now);
            let all = window.ms() / 20_000;
            let counted = i64::from(sums.purchases);
            assert!((all * 9 / 10 - 1..=all + 1).contains(&counted), "{window:?}: {counted} of {all}");
            assert_eq!(sums.minor, 5 * counted);
        }
        assert!(history.known[&subject].spans.len() <= SPANS_MAX, "{}", history.known[&subject].spans.len());
        // Nothing of it is left when nobody comes for a month.
        let later = now.plus_ms(Window::Month.ms());
        assert_eq!(history.sums(&subject, usd(), Window::Month.ms(), later), Sums::default());
    }

    #[test]
    fn money_is_counted_in_its_own_currency() {
        let (mut history, subject) = (History::default(), region(0));
        let eur = "EUR".parse().unwrap();
        history.seen(subject.clone(), NOW).count(NOW, usd(), one(5));
        history.seen(subject.clone(), NOW).count(NOW, eur, one(7));
        let sums = |currency| history.sums(&subject, currency, 60_000, NOW);
        assert_eq!((sums(usd()).minor, sums(eur).minor), (5, 7));
        assert_eq!((sums(usd()).purchases, sums(eur).purchases), (2, 2));
    }

    #[test]
    fn whoever_was_seen_the_longest_ago_is_forgotten_first() {
        let mut history = History::default();
        let account = |n: usize| Subject::Account(AccountId::from_uuid(uuid::Uuid::from_u128(n as u128)));
        for n in 0..SUBJECTS_MAX {
            history.seen(account(n), NOW.plus_ms(n as i64));
        }
        let later = NOW.plus_ms(SUBJECTS_MAX as i64);
        history.seen(account(0), later);
        history.seen(account(SUBJECTS_MAX), later);
        assert_eq!((history.len(), history.by_time.len()), (SUBJECTS_MAX, SUBJECTS_MAX));
        assert!(history.known.contains_key(&account(0)), "it was seen again");
        assert!(!history.known.contains_key(&account(1)));
    }

    #[test]
    fn of_those_it_was_seen_with_the_last_ones_are_remembered_of_each_kind() {
        let mut known = Known::default();
        known.link(Subject::Instrument([0; 16]), NOW);
        for n in 0..LINKS_MAX as u32 + 5 {
            known.link(region(n), NOW.plus_ms(i64::from(n)));
        }
        assert_eq!(known.links.len(), LINKS_MAX + 1);
        assert_eq!(known.links[0].0, Subject::Instrument([0; 16]), "another kind has its own room");
        assert_eq!(known.links[1].0, region(5));
    }
}
