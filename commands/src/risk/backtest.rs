//! Rules tried out on what has happened: how each purchase and payment of a log would have been judged, against what it turned out to
//! be and what was done with it.
//!
//! What is remembered for the rules begins with the log, and not, as in a market, when rules are first proposed. What they would have
//! blocked happened all the same, and counts as blocked for the purchases behind it.

use std::collections::{BTreeMap, BTreeSet};

use events::chargeback::ChargebackReason;
use events::ids::{OrderId, PaymentId};
use events::risk::rules::{Outcome, RuleName, RuleSet};
use events::risk::{Assessed, Label};
use events::{Commit, Event};
use serde::Serialize;

use super::history::History;
use super::{assess, assessed, payment_alone};
use crate::command::Verified;
use crate::market::Market;

/// Rules that are tried out on a log, commit by commit. It takes some hundred bytes for each purchase.
pub struct Backtest {
    market: Market,
    history: History,
    rules: RuleSet,
    purchases: Vec<Purchase>,
    of_order: BTreeMap<OrderId, usize>,
    of_payment: BTreeMap<PaymentId, usize>,
}

/// A purchase of the log, or a payment that was asked for by itself.
struct Purchase {
    outcome: Outcome,
    was: Option<Outcome>,
    held: BTreeSet<RuleName>,
    label: Option<Label>,
    is_unauthorized: bool,
}

impl Purchase {
    /// Gives what it turned out to be: as an operator said last, else a fraud if a bank says that the card's owner did not pay.
    fn truth(&self) -> Option<Label> {
        self.label.or(self.is_unauthorized.then_some(Label::Fraud))
    }
}

/// How many purchases, and what they turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Count {
    /// All of them.
    pub all: u64,
    /// Those that were a fraud.
    pub fraud: u64,
    /// Those that were labelled good.
    pub good: u64,
}

impl Count {
    fn add(&mut self, truth: Option<Label>) {
        self.all += 1;
        self.fraud += u64::from(truth == Some(Label::Fraud));
        self.good += u64::from(truth == Some(Label::Good));
    }

    fn plus(self, other: Count) -> Count {
        Count { all: self.all + other.all, fraud: self.fraud + other.fraud, good: self.good + other.good }
    }

    /// Gives how many of those that turned out to be something were a fraud, in tenths of a percent; none: nobody knows of any.
    pub fn precision(&self) -> Option<u64> {
        let known = self.fraud + self.good;
        (known > 0).then(|| 1_000 * self.fraud / known)
    }
}

/// What came of trying rules out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// All purchases, and payments that were asked for by themselves.
    pub purchases: Count,
    /// By what would have been done.
    pub outcomes: BTreeMap<Outcome, Count>,
    /// By the rule that held, those that are only tried out among them.
    pub rules: BTreeMap<RuleName, Count>,
    /// From what was done to what would have been, where it differs. None: it was not judged.
    pub changes: Vec<Change>,
}

/// How many purchases would have been treated otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What was done; none: it was not judged.
    pub was: Option<Outcome>,
    /// What would have been done.
    pub would_be: Outcome,
    /// How many.
    pub count: Count,
}

impl Report {
    /// Counts what would have been done at least this to.
    pub fn from(&self, least: Outcome) -> Count {
        self.outcomes.range(least..).fold(Count::default(), |sum, (_, count)| sum.plus(*count))
    }

    /// Gives how many of all frauds would have been treated at least so, in tenths of a percent; none: nobody knows of any.
    pub fn recall(&self, least: Outcome) -> Option<u64> {
        (self.purchases.fraud > 0).then(|| 1_000 * self.from(least).fraud / self.purchases.fraud)
    }
}

impl Backtest {
    /// Prepares to try rules out on a log from its first commit on.
    pub fn new(rules: RuleSet) -> Backtest {
        Backtest {
            market: Market::new(),
            history: History::default(),
            rules,
            purchases: Vec::new(),
            of_order: BTreeMap::new(),
            of_payment: BTreeMap::new(),
        }
    }

    /// Tells whether the command of a commit may have bought something: then [`Backtest::follow`] needs it.
    pub fn is_purchase(commit: &Commit) -> bool {
        commit.events().iter().any(|recorded| match &recorded.event {
            Event::OrderPlaced(placed) => placed.replaces.is_none(),
            Event::PaymentRequested(_) | Event::RiskAssessed(_) => true,
            _ => false,
        })
    }

    /// Follows a commit. `verified`: its command, if it may have bought something.
    pub fn follow(&mut self, commit: &Commit, verified: Option<&Verified>) {
        let now = commit.time();
        let judged = verified.filter(|_| Self::is_purchase(commit)).and_then(|verified| {
            // What a second factor made of it is not what rules do.
            let mut verified = verified.clone();
            verified.stamp.step_up = None;
            assess(&self.market, &self.history, &self.rules, &verified, now)
        });
        for recorded in commit.events() {
            self.history.follow(&self.market, &recorded.event, now);
            match &recorded.event {
                Event::OrderLabelled(labelled) => {
                    self.history.labelled(labelled, now);
                    if let Some(purchase) = self.purchase(labelled.order) {
                        purchase.label = Some(labelled.label);
                    }
                }
                Event::ChargebackOpened(opened) if opened.reason == ChargebackReason::Unauthorized => {
                    let alone =
                        self.of_payment.get(&opened.payment).and_then(|at| self.purchases.get_mut(*at));
                    if let Some(payment) = alone {
                        payment.is_unauthorized = true;
                    }
                    for charged in opened.orders.iter().filter(|charged| charged.amount.is_positive()) {
                        if let Some(purchase) = self.purchase(charged.order) {
                            purchase.is_unauthorized = true;
                        }
                    }
                }
                _ => {}
            }
            self.market.evolve(recorded);
        }
        let Some((asked, vector, judgement)) = judged else { return };
        let events = || commit.events().iter().map(|recorded| &recorded.event);
        let recorded = events().find_map(|event| match event {
            Event::RiskAssessed(assessed) => Some(assessed),
            _ => None,
        });
        let placed = events().filter_map(|event| match event {
            Event::OrderPlaced(placed) => Some(placed.order),
            _ => None,
        });
        let requested = events().find_map(|event| match event {
            Event::PaymentRequested(requested) => Some(requested.payment),
            _ => None,
        });
        let alone = payment_alone(events()).map(|alone| alone.payment);
        let (orders, alone) = recorded.map_or_else(
            || (placed.collect(), alone),
            |recorded| (recorded.orders.clone(), recorded.payment),
        );
        let made = Assessed { payment: alone, ..assessed(asked, vector, judgement, 0, orders) };
        self.history.purchased(&made, now);
        match alone {
            None => self.of_order.extend(made.orders.iter().map(|order| (*order, self.purchases.len()))),
            // Of orders it is known by their purchase what they turned out to be.
            Some(_) => self.of_payment.extend(requested.map(|payment| (payment, self.purchases.len()))),
        }
        let held = held(&made);
        let was = recorded.map(done);
        let outcome = made.outcome;
        self.purchases.push(Purchase { outcome, was, held, label: None, is_unauthorized: false });
    }

    fn purchase(&mut self, order: OrderId) -> Option<&mut Purchase> {
        self.of_order.get(&order).and_then(|at| self.purchases.get_mut(*at))
    }

    /// Gives what came of it so far.
    pub fn report(&self) -> Report {
        let (mut all, mut outcomes) = (Count::default(), BTreeMap::<Outcome, Count>::new());
        let (mut rules, mut changes) = (BTreeMap::<RuleName, Count>::new(), BTreeMap::<_, Count>::new());
        for purchase in &self.purchases {
            let truth = purchase.truth();
            all.add(truth);
            outcomes.entry(purchase.outcome).or_default().add(truth);
            for rule in &purchase.held {
                rules.entry(rule.clone()).or_default().add(truth);
            }
            if purchase.was != Some(purchase.outcome) {
                changes.entry((purchase.was, purchase.outcome)).or_default().add(truth);
            }
        }
        let changes = changes.into_iter().map(|((was, would_be), count)| Change { was, would_be, count });
        Report { purchases: all, outcomes, rules, changes: changes.collect() }
    }
}

/// Gives what was done with a purchase: one that a second factor let go on was challenged.
fn done(assessed: &Assessed) -> Outcome {
    match assessed.outcome {
        Outcome::Allow if assessed.stepped_up => Outcome::Challenge,
        other => other,
    }
}

/// Gives the rules that held, those that are only tried out among them.
fn held(made: &Assessed) -> BTreeSet<RuleName> {
    let matched = made.matched.iter().map(|matched| &matched.rule);
    let scored = made.contributions.iter().map(|part| &part.rule);
    let shadow = made.shadow.iter().map(|one| &one.rule);
    matched.chain(scored).chain(shadow).cloned().collect()
}
