use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use commands::market_key::MarketKeys;
use commands::payment::PaymentEffect;
use events::Timestamp;
use events::ids::{PaymentId, PayoutId};
use uuid::Uuid;

use super::*;
use crate::answerer::Answers;
use crate::clock::WallClock;
use crate::driver::Status;
use crate::index::Index;
use crate::keys::KeyRing;
use crate::log::memory::MemoryLog;
use crate::market_keys::{LiveKeys, MarketKeyRing};
use crate::passwords::Passwords;
use crate::providers::{
    Answer, Authorize, Capture, Dispute, EvidenceCall, Found, NoAnswer, Notice, PayoutAnswer, PayoutCall,
    RefundAnswer, RefundCall,
};
use crate::secrets::Secrets;
use crate::tree::Tree;

/// A provider that never answers, and counts what it is asked.
#[derive(Debug, Default)]
struct Silent {
    looked_up: AtomicUsize,
    captured: AtomicUsize,
}

#[async_trait]
impl PaymentProvider for Silent {
    fn name(&self) -> &'static str {
        "silent"
    }
    fn key_lifetime(&self) -> Duration {
        Duration::MAX
    }
    async fn authorize(&self, _: &Authorize) -> Result<Answer, NoAnswer> {
        std::future::pending().await
    }
    async fn capture(&self, _: &Capture) -> Result<Answer, NoAnswer> {
        self.captured.fetch_add(1, Ordering::SeqCst);
        std::future::pending().await
    }
    async fn void(&self, _: PaymentId, _: &str) -> Result<Answer, NoAnswer> {
        std::future::pending().await
    }
    async fn refund(&self, _: &RefundCall) -> Result<RefundAnswer, NoAnswer> {
        std::future::pending().await
    }
    async fn look_up(&self, _: PaymentId, _: Option<&str>) -> Result<Option<Found>, NoAnswer> {
        self.looked_up.fetch_add(1, Ordering::SeqCst);
        std::future::pending().await
    }
    async fn look_up_refund(&self, _: &RefundCall) -> Result<Option<RefundAnswer>, NoAnswer> {
        std::future::pending().await
    }
    async fn pay_out(&self, _: &PayoutCall) -> Result<PayoutAnswer, NoAnswer> {
        std::future::pending().await
    }
    async fn look_up_payout(&self, _: PayoutId, _: Option<&str>) -> Result<Option<PayoutAnswer>, NoAnswer> {
        std::future::pending().await
    }
    async fn look_up_dispute(&self, _: &str) -> Result<Option<Dispute>, NoAnswer> {
        std::future::pending().await
    }
    async fn submit_evidence(&self, _: &EvidenceCall) -> Result<Dispute, NoAnswer> {
        std::future::pending().await
    }
    async fn accept_dispute(&self, _: &str) -> Result<Dispute, NoAnswer> {
        std::future::pending().await
    }
    fn read_webhook(
        &self,
        _: &dyn Fn(&str) -> Option<String>,
        _: &[u8],
        _: Timestamp,
    ) -> Result<Notice, WebhookError> {
        Err(WebhookError::NotExpected)
    }
}

/// A handle of an engine that nobody runs: calls that are never answered report nothing.
fn nobody(dir: &std::path::Path, key: &StoredKey) -> EngineHandle {
    let market: events::ids::MarketName = "main".parse().unwrap();
    let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new());
    let ring = MarketKeyRing::of([key.signing()]);
    let live = Arc::new(LiveKeys::new(ring, &MarketKeys::default(), 0, key.public()));
    EngineHandle {
        requests: mpsc::channel(1).0,
        wakes: mpsc::channel(1).0,
        status: watch::channel(Status::StandingBy(Head::EMPTY)).1,
        keys: Arc::new(KeyRing::default()),
        secrets: Arc::new(Secrets::nowhere()),
        passwords: Arc::new(Passwords::nowhere()),
        index: Index::open(&dir.join("index")).unwrap(),
        tree: Tree::open(&dir.join("tree")).unwrap().reader(),
        answers: Answers::new(log, Arc::clone(&live), market, Arc::default()),
        live,
        previews: Arc::new(Semaphore::new(1)),
        pace: Arc::default(),
    }
}

fn wanted(provider: AccountId, n: u128, wish: Wish) -> (EffectId, Effect) {
    let payment = PaymentId::from_uuid(Uuid::from_u128(n));
    (EffectId::Payment(payment), Effect::Payment(PaymentEffect { provider, payment, wish }))
}

impl Runner {
    /// Lets all that waits for its time be due.
    fn hurry(&mut self) {
        let now = Instant::now();
        for (_, id) in std::mem::take(&mut self.due) {
            self.asked.get_mut(&id).unwrap().next = Some(now);
            self.due.insert((now, id));
        }
    }
}

#[tokio::test]
async fn what_providers_hold_is_asked_about_by_a_few_at_a_time_and_holds_up_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let keys = KeyStore::open(&dir.path().join("keys")).unwrap();
    let key = keys.get_or_make("provider-silent").unwrap();
    let silent = Arc::new(Silent::default());
    let provider = Provider { adapter: silent.clone(), key: key.clone() };
    let engine = nobody(dir.path(), &key);
    let handle =
        EffectsHandle::new(vec![provider], engine, "main".parse().unwrap(), keys, Arc::new(WallClock));
    let watch = |n| wanted(key.account, n, Wish::Watch { reference: "held".into() });
    let more = 2;
    let begun: Vec<_> = (1..=(WATCHES_MAX + more) as u128).map(watch).collect();
    let mut runner = Runner::new(handle.0, begun.clone());
    assert_eq!((runner.pending(), runner.watched), (0, WATCHES_MAX + more), "what is watched is not pending");
    runner.hurry();
    runner.start_calls();
    assert_eq!((runner.watches, runner.calls.len()), (WATCHES_MAX, WATCHES_MAX));
    // Those for which there is no room wait, and are not asked in a circle.
    let waits: Vec<_> = runner.due.iter().map(|(at, _)| *at > Instant::now()).collect();
    assert_eq!(waits, vec![true; more]);

    // Something else is asked for at once, though the provider answers none of them.
    let money = events::Money::new(7, "USD".parse().unwrap());
    let (id, capture) = wanted(key.account, 99, Wish::Capture { amount: money, reference: "held".into() });
    runner.ask(id, capture, false);
    runner.start_calls();
    assert_eq!((runner.watches, runner.calls.len()), (WATCHES_MAX, WATCHES_MAX + 1));
    tokio::task::yield_now().await;
    let asked = |count: &AtomicUsize| count.load(Ordering::SeqCst);
    assert_eq!((asked(&silent.looked_up), asked(&silent.captured)), (WATCHES_MAX, 1));

    // One that has an answer makes room for one, and its own next time is far away.
    let (id, effect) = begun[0].clone();
    runner.called(id, &effect, Outcome::Waits);
    assert!(runner.asked[&id].next.unwrap() > Instant::now() + WATCH_EVERY / 2);
    runner.due.retain(|(_, other)| *other != id);
    runner.hurry();
    runner.start_calls();
    assert_eq!((runner.watches, runner.due.len()), (WATCHES_MAX, more - 1));
    tokio::task::yield_now().await;
    assert_eq!(asked(&silent.looked_up), WATCHES_MAX + 1);
}
