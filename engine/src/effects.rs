//! Whatever touches the outside world: asks payment providers for what the market has decided and hands in what they
//! did, as signed commands like any other.
//!
//! Run by whoever owns the market, and by nobody who only reads its log. What is to be asked comes from the state at the
//! start and from each durable event after it, so nothing is asked before it is a fact, and a restart goes on where it
//! was. A call whose outcome is not known is never sent again blindly: the provider is asked for what became of it
//! first.

mod ask;
mod report;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use commands::payment::{ChargebackEffect, ChargebackWish, Effect, EffectId, PaymentEffect, Wish};
use events::ids::AccountId;
use events::{Commit, Event, Head, with_causes};
use futures::StreamExt;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use self::ask::Outcome;
use self::report::Reporter;
use crate::clock::Clock;
use crate::driver::EngineHandle;
use crate::keystore::{KeyStore, StoredKey};
use crate::log::EventLog;
use crate::providers::sandbox::{self, Message};
use crate::providers::{PaymentProvider, WebhookError};

/// Most calls to providers under way at once.
pub const CALLS_MAX: usize = 32;
/// How long one call to a provider, and the report of its answer, may take.
pub const CALL_TIME_MAX: Duration = Duration::from_secs(60);
/// How long is waited before a provider is asked again, at first; twice as long each time.
pub const PAUSE_MIN: Duration = Duration::from_millis(250);
/// How long is waited at most.
pub const PAUSE_MAX: Duration = Duration::from_secs(60);
/// How often something is asked without an answer before it is told as stuck. It is asked on: only the provider knows
/// what became of the money.
pub const TRIES_BEFORE_STUCK: u32 = 8;
/// How often a provider is asked whether it still holds what it is to take later. What it held when this process took over is asked
/// for at once: nobody may have been there to hear that it let go.
pub const WATCH_EVERY: Duration = Duration::from_secs(6 * 3600);
/// How far such questions are apart at least, when they are asked for the first time or again after an answer.
pub const WATCH_PAUSE: Duration = Duration::from_millis(100);
/// Most such questions under way at once: a provider that does not answer them is to hold up nothing else.
pub const WATCHES_MAX: usize = 4;
/// How long such a question waits when as many are under way.
pub const WATCH_WAIT: Duration = Duration::from_secs(1);
/// How many messages of providers are remembered, so that one that comes twice is answered at once.
pub const MESSAGES_KNOWN_MAX: usize = 4096;
/// Most messages of providers that are taken at once.
pub const MESSAGES_AT_ONCE_MAX: usize = 64;

/// A provider, and the key of the account that it reports with.
#[derive(Clone)]
pub struct Provider {
    /// What is asked.
    pub adapter: Arc<dyn PaymentProvider>,
    /// What its reports are signed with.
    pub key: StoredKey,
}

/// How the effects are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EffectsStatus {
    /// How many things providers were asked for and have not done. What they are asked about now and then, what they hold and what
    /// banks dispute, is none.
    pub pending: usize,
    /// How many of them were asked for often without an answer.
    pub stuck: usize,
    /// What went wrong last with one of those that are stuck.
    pub trouble: Option<String>,
}

/// Why a message of a provider is not acknowledged: it sends it again.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// There is no such provider here.
    #[error("there is no such provider here")]
    UnknownProvider,
    /// It is none that can be taken.
    #[error(transparent)]
    Refused(#[from] WebhookError),
    /// What it is about could not be found out, or not be stored, yet.
    #[error("what the message is about is not settled yet: send it again")]
    Unsettled,
}

/// What the effects are done with.
struct Shared {
    providers: BTreeMap<AccountId, Provider>,
    reporter: Reporter,
    clock: Arc<dyn Clock>,
    status: watch::Sender<EffectsStatus>,
    known: Mutex<VecDeque<(AccountId, String)>>,
    taken: Semaphore,
}

/// Takes the messages of providers; it may be cloned freely.
#[derive(Clone)]
pub struct EffectsHandle(Arc<Shared>);

impl EffectsHandle {
    /// Prepares the effects of a market; [`EffectsHandle::run`] begins to perform them.
    pub fn new(
        providers: Vec<Provider>,
        engine: EngineHandle,
        market: events::ids::MarketName,
        keys: KeyStore,
        clock: Arc<dyn Clock>,
    ) -> EffectsHandle {
        let providers = providers.into_iter().map(|provider| (provider.key.account, provider)).collect();
        let reporter = Reporter { engine, market, keys, clock: Arc::clone(&clock) };
        EffectsHandle(Arc::new(Shared {
            providers,
            reporter,
            clock,
            status: watch::Sender::new(EffectsStatus::default()),
            known: Mutex::new(VecDeque::new()),
            taken: Semaphore::new(MESSAGES_AT_ONCE_MAX),
        }))
    }

    /// Gives the providers' names and accounts.
    pub fn providers(&self) -> impl Iterator<Item = (&'static str, AccountId)> + '_ {
        self.0.providers.values().map(|provider| (provider.adapter.name(), provider.key.account))
    }

    /// Tells how the effects are.
    pub fn status(&self) -> watch::Receiver<EffectsStatus> {
        self.0.status.subscribe()
    }

    /// Begins to perform what `begun` says, and what is decided behind `head`, until the engine ends or the task is
    /// aborted.
    pub fn run(&self, begun: Vec<(EffectId, Effect)>, head: Head, log: Arc<dyn EventLog>) -> JoinHandle<()> {
        let runner = Runner::new(Arc::clone(&self.0), begun);
        let engine = self.0.reporter.engine.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = runner.run(head, log) => {}
                _ = engine.stopped() => {}
            }
        })
    }

    /// Delivers the messages of the sandbox, which has no other way to come here.
    pub fn deliver(&self, mut messages: mpsc::Receiver<Message>) -> JoinHandle<()> {
        let effects = self.clone();
        tokio::spawn(async move {
            while let Some(message) = messages.recv().await {
                let signature = message.signature();
                let header = |name: &str| (name == sandbox::SIGNATURE_HEADER).then(|| signature.clone());
                if let Err(error) = effects.take_message(sandbox::NAME, &header, &message.body).await {
                    tracing::debug!(
                        error = &error as &dyn std::error::Error,
                        "a message of the sandbox is lost"
                    );
                }
            }
        })
    }

    /// Takes a message of a provider. It says only that something happened: what, is asked. Returned without an error, all
    /// that the message is about is durable.
    pub async fn take_message(
        &self,
        provider: &str,
        header: &(dyn Fn(&str) -> Option<String> + Sync),
        body: &[u8],
    ) -> Result<(), MessageError> {
        let shared = &self.0;
        let found = shared.providers.iter().find(|(_, known)| known.adapter.name() == provider);
        let (account, provider) = found.ok_or(MessageError::UnknownProvider)?;
        let notice = provider.adapter.read_webhook(&|name| header(name), body, shared.clock.now())?;
        let id = (*account, notice.id);
        if shared.knows(&id) {
            return Ok(());
        }
        if let Some((about, reference)) = notice.about {
            let _permit = shared.taken.try_acquire().map_err(|_| MessageError::Unsettled)?;
            let asked = ask::hear(provider, &shared.reporter, about, &reference, shared.clock.now());
            match tokio::time::timeout(CALL_TIME_MAX, asked).await {
                Ok(Outcome::Reported | Outcome::Waits) => {}
                // The market has decided: the message would not change that if it came again.
                Ok(Outcome::Rejected(trouble)) => {
                    tracing::warn!(
                        provider = provider.adapter.name(),
                        ?about,
                        trouble,
                        "a message is of no use"
                    );
                }
                Ok(Outcome::Trouble(trouble)) => {
                    tracing::warn!(
                        provider = provider.adapter.name(),
                        ?about,
                        trouble,
                        "a message is not settled"
                    );
                    return Err(MessageError::Unsettled);
                }
                Err(_) => return Err(MessageError::Unsettled),
            }
        }
        shared.remember(id);
        Ok(())
    }
}

impl Shared {
    fn knows(&self, id: &(AccountId, String)) -> bool {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).contains(id)
    }

    fn remember(&self, id: (AccountId, String)) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.push_back(id);
        if known.len() > MESSAGES_KNOWN_MAX {
            known.pop_front();
        }
    }
}

/// Something that a provider is asked for.
struct Asked {
    effect: Effect,
    /// How often it was asked for in this run of the process.
    tries: u32,
    /// Whether a call may have been sent already, in an earlier run too: then it is asked first what became of it.
    may_be_sent: bool,
    /// When it is asked for next; nothing while a call is under way.
    next: Option<Instant>,
    trouble: Option<String>,
}

struct Runner {
    shared: Arc<Shared>,
    asked: BTreeMap<EffectId, Asked>,
    /// Those that no call is under way for, by the time of the next.
    due: BTreeSet<(Instant, EffectId)>,
    /// Those of them that were asked for often without an answer.
    stuck: BTreeSet<EffectId>,
    /// How many of them are questions about what is still held, of which there may be one for each order to be shipped.
    watched: usize,
    /// When the next of these questions may be asked.
    watches_from: Instant,
    /// How many of them are under way.
    watches: usize,
    calls: JoinSet<(EffectId, Effect, Outcome)>,
}

impl Runner {
    fn new(shared: Arc<Shared>, begun: Vec<(EffectId, Effect)>) -> Runner {
        let mut runner = Runner {
            shared,
            asked: BTreeMap::new(),
            due: BTreeSet::new(),
            stuck: BTreeSet::new(),
            watched: 0,
            watches_from: Instant::now(),
            watches: 0,
            calls: JoinSet::new(),
        };
        for (id, effect) in begun {
            runner.ask(id, effect, true);
        }
        runner
    }

    /// Asks until the log can't be followed any more, and tells why.
    async fn run(mut self, head: Head, log: Arc<dyn EventLog>) {
        let mut commits = log.follow(head.position + 1);
        self.tell();
        let end = loop {
            self.start_calls();
            let next = self.due.first().map(|(at, _)| *at).filter(|_| self.calls.len() < CALLS_MAX);
            tokio::select! {
                commit = commits.next() => match commit {
                    Some(Ok(commit)) => self.follow(&commit),
                    Some(Err(error)) => break with_causes(&error),
                    None => return,
                },
                Some(done) = self.calls.join_next() => match done {
                    Ok((id, effect, outcome)) => self.called(id, &effect, outcome),
                    Err(_) => break "a call ended badly; its last words are on standard error".to_owned(),
                },
                () = tokio::time::sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
            }
        };
        tracing::error!(
            trouble = end,
            "payment providers are asked for nothing more until this process is restarted"
        );
        let (pending, trouble) = (self.pending(), Some(format!("{end}: restart this process")));
        self.shared.status.send_replace(EffectsStatus { pending, stuck: pending.max(1), trouble });
    }

    /// Notes what a durable commit wants of providers, and what it no longer does.
    fn follow(&mut self, commit: &Commit) {
        let mut is_changed = false;
        for recorded in commit.events() {
            match Effect::behind(&recorded.event) {
                // What its bank makes of a dispute to which nobody has answered is asked at once.
                Some((id, Some(effect))) => {
                    self.ask(id, effect, matches!(recorded.event, Event::ChargebackPastDue(_)));
                }
                Some((id, None)) => drop(self.forget(id)),
                None => continue,
            }
            is_changed = true;
        }
        if is_changed {
            self.tell();
        }
    }

    fn forget(&mut self, id: EffectId) -> Option<Asked> {
        let asked = self.asked.remove(&id)?;
        if let Some(next) = asked.next {
            self.due.remove(&(next, id));
        }
        self.stuck.remove(&id);
        self.watched -= usize::from(asked.effect.is_watch());
        Some(asked)
    }

    /// Notes what is wanted now, in place of what was wanted before. A call under way is waited for first.
    fn ask(&mut self, id: EffectId, effect: Effect, may_be_sent: bool) {
        if !self.shared.providers.contains_key(&effect.provider()) {
            // Whoever reports for it does so himself.
            return;
        }
        let is_under_way = self.forget(id).is_some_and(|before| before.next.is_none());
        let now = Instant::now();
        let at = match (effect.is_watch(), may_be_sent) {
            (false, _) => now,
            // There are few, and nobody has answered to one for as long as could be.
            (true, true) if matches!(effect, Effect::Chargeback(_)) => now,
            (true, true) => apart(&mut self.watches_from, now),
            // It was just told that it is held.
            (true, false) => apart(&mut self.watches_from, now + WATCH_EVERY),
        };
        let next = (!is_under_way).then_some(at);
        self.due.extend(next.map(|next| (next, id)));
        self.watched += usize::from(effect.is_watch());
        self.asked.insert(id, Asked { effect, tries: 0, may_be_sent, next, trouble: None });
    }

    fn start_calls(&mut self) {
        let now = Instant::now();
        while self.calls.len() < CALLS_MAX
            && let Some((_, id)) = self.due.first().copied().filter(|(at, _)| *at <= now)
        {
            self.due.pop_first();
            let asked = self.asked.get_mut(&id).expect("what is due is asked for");
            if asked.effect.is_watch() {
                if self.watches == WATCHES_MAX {
                    asked.next = Some(now + WATCH_WAIT);
                    self.due.insert((now + WATCH_WAIT, id));
                    continue;
                }
                self.watches += 1;
            }
            asked.next = None;
            let (effect, asks_first) = (asked.effect.clone(), asked.may_be_sent);
            asked.may_be_sent = true;
            let shared = Arc::clone(&self.shared);
            self.calls.spawn(async move {
                let provider = &shared.providers[&effect.provider()];
                let now = shared.clock.now();
                let call = ask::perform(provider, &shared.reporter, &effect, asks_first, now);
                let outcome = match tokio::time::timeout(CALL_TIME_MAX, call).await {
                    Ok(outcome) => outcome,
                    Err(_) => Outcome::Trouble(format!("no answer within {} s", CALL_TIME_MAX.as_secs())),
                };
                (id, effect, outcome)
            });
        }
    }

    /// Notes what came of a call. What is wanted ends with the event of the report, not here.
    fn called(&mut self, id: EffectId, effect: &Effect, outcome: Outcome) {
        self.watches -= usize::from(effect.is_watch());
        let name = self.shared.providers[&effect.provider()].adapter.name();
        let labels = [("provider", name), ("wish", wish_name(effect)), ("outcome", outcome_name(&outcome))];
        metrics::counter!("skylink_effects_total", &labels).increment(1);
        let Some(asked) = self.asked.get_mut(&id) else { return };
        let mut next = Instant::now();
        // Something else may be wanted by now.
        let is_same = asked.effect == *effect;
        // A dispute is always told as it stands, whether that is new or not.
        let is_dispute = matches!(effect, Effect::Chargeback(_)) && outcome == Outcome::Reported;
        if asked.effect.is_watch() && (!is_same || is_dispute || outcome == Outcome::Waits) {
            (asked.tries, asked.trouble) = (0, None);
            next = apart(&mut self.watches_from, next + WATCH_EVERY);
        } else if is_same {
            asked.tries = asked.tries.saturating_add(1);
            next += PAUSE_MIN.saturating_mul(1 << asked.tries.min(16)).min(PAUSE_MAX);
            asked.trouble = match outcome {
                // Its event follows, or it was overtaken by another; should neither come, it is asked again.
                Outcome::Reported | Outcome::Waits => None,
                Outcome::Rejected(trouble) | Outcome::Trouble(trouble) => {
                    tracing::warn!(provider = name, about = %effect.about(), trouble, "a provider is asked again");
                    Some(trouble)
                }
            };
        }
        asked.next = Some(next);
        self.due.insert((next, id));
        if asked.tries >= TRIES_BEFORE_STUCK && asked.trouble.is_some() {
            self.stuck.insert(id);
        } else {
            self.stuck.remove(&id);
        }
        self.tell();
    }

    fn pending(&self) -> usize {
        self.asked.len() - self.watched
    }

    fn tell(&self) {
        let status = EffectsStatus {
            pending: self.pending(),
            stuck: self.stuck.len(),
            trouble: self.stuck.last().and_then(|id| self.asked[id].trouble.clone()),
        };
        metrics::gauge!("skylink_effects_pending").set(as_gauge(status.pending));
        metrics::gauge!("skylink_effects_stuck").set(as_gauge(status.stuck));
        self.shared.status.send_if_modified(|told| {
            let is_new = *told != status;
            *told = status;
            is_new
        });
    }
}

/// Gives when a question about what is still held is asked: at a time or, if others are asked then, behind them.
fn apart(from: &mut Instant, at: Instant) -> Instant {
    let at = at.max(*from);
    *from = at + WATCH_PAUSE;
    at
}

/// A gauge is a double: what is asked for at once is far fewer than it counts exactly.
fn as_gauge(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

const fn outcome_name(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Reported => "reported",
        Outcome::Waits => "waits",
        Outcome::Rejected(_) => "rejected",
        Outcome::Trouble(_) => "trouble",
    }
}

const fn wish_name(effect: &Effect) -> &'static str {
    let wish = match effect {
        Effect::Payment(PaymentEffect { wish, .. }) => wish,
        Effect::Payout(_) => return "payout",
        Effect::Chargeback(ChargebackEffect { wish: ChargebackWish::Watch, .. }) => return "watch_dispute",
        Effect::Chargeback(ChargebackEffect { wish: ChargebackWish::Submit(_), .. }) => return "evidence",
        Effect::Chargeback(ChargebackEffect { wish: ChargebackWish::Accept, .. }) => return "accept",
    };
    match wish {
        Wish::Authorize { .. } => "authorize",
        Wish::Await { .. } => "await",
        Wish::Watch { .. } => "watch",
        Wish::Capture { .. } => "capture",
        Wish::Void => "void",
        Wish::Refund { .. } => "refund",
    }
}

#[cfg(test)]
mod tests;
