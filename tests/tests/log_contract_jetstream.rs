//! The log on JetStream keeps the contract, on one broker and on three.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::{Client, ConnectOptions};
use async_trait::async_trait;
use engine::log::EventLog;
use engine::log::jetstream::{JetStreamLog, StreamOptions};
use events::Commit;
use tests::forge::publish;
use tests::log_contract::{LogFactory, LogHome, contract, market};
use tests::nats::{NatsCluster, NatsServer};
use tokio::time::{Instant, sleep};

/// Accounts at the brokers: more than the contract makes logs.
const ACCOUNTS: usize = 32;

/// The password of each account's only user, whose name is the account's.
const PASSWORD: &str = "contract";

/// How long a broker may take to hear that another of its cluster holds a stream.
const HEARD_WAIT_MAX: Duration = Duration::from_secs(30);

const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Logs of one name, each in an account of its own.
///
/// They are not made one after the other in the same place: a cluster may be about to remove the old stream's folder when
/// the new one is to have it.
struct Brokers {
    urls: Vec<String>,
    replicas: usize,
    homes: AtomicUsize,
}

/// Says in the brokers' configuration which accounts there are.
fn accounts() -> String {
    let account = |name| {
        format!("{name}: {{ jetstream: enabled, users: [{{ user: {name}, password: {PASSWORD} }}] }}\n")
    };
    format!("accounts {{\n{}}}\n", (0..ACCOUNTS).map(account_name).map(account).collect::<String>())
}

fn account_name(number: usize) -> String {
    format!("log{number}")
}

impl Brokers {
    fn new(urls: Vec<String>, replicas: usize) -> Brokers {
        Brokers { urls, replicas, homes: AtomicUsize::new(0) }
    }
}

#[async_trait]
impl LogFactory for Brokers {
    async fn home(&self) -> Box<dyn LogHome> {
        let number = self.homes.fetch_add(1, Ordering::Relaxed);
        assert!(number < ACCOUNTS, "the contract makes more logs than there are accounts");
        Box::new(StreamHome { urls: self.urls.clone(), replicas: self.replicas, user: account_name(number) })
    }
}

struct StreamHome {
    urls: Vec<String>,
    replicas: usize,
    user: String,
}

impl StreamHome {
    async fn connect(&self) -> Client {
        let options = ConnectOptions::with_user_and_password(self.user.clone(), PASSWORD.to_owned());
        options.connect(&self.urls).await.expect("the brokers run")
    }
}

#[async_trait]
impl LogHome for StreamHome {
    async fn open(&self) -> Arc<dyn EventLog> {
        let options = StreamOptions::replicas(self.replicas);
        let opened = JetStreamLog::open(self.connect().await, market(), options).await;
        Arc::new(opened.expect("the stream can be made"))
    }

    async fn second(&self, _first: &Arc<dyn EventLog>) -> Arc<dyn EventLog> {
        self.open().await
    }

    async fn forge(&self, commit: Arc<Commit>) {
        let context = async_nats::jetstream::new(self.connect().await);
        let deadline = Instant::now() + HEARD_WAIT_MAX;
        for event in commit.events() {
            while let Err(error) = publish(&context, event).await {
                let cause = error.downcast_ref::<PublishError>().map(PublishError::kind);
                let is_unheard = matches!(cause, Some(PublishErrorKind::StreamNotFound));
                assert!(is_unheard && Instant::now() < deadline, "a broker refuses an event: {error:#}");
                sleep(POLL_INTERVAL).await;
            }
        }
    }
}

#[tokio::test]
async fn the_log_on_one_broker() {
    let server = NatsServer::start_with(&accounts(), &[]).await.unwrap();
    contract(Brokers::new(vec![server.url()], 1)).await;
}

#[tokio::test]
async fn the_log_on_three_brokers() {
    let cluster = NatsCluster::start_with(&accounts()).await.unwrap();
    contract(Brokers::new(cluster.urls(), 3)).await;
}
