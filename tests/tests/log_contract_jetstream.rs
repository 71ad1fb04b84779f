//! The log on JetStream keeps the contract, on one broker and on three.

use std::sync::Arc;

use async_nats::Client;
use async_trait::async_trait;
use engine::log::EventLog;
use engine::log::jetstream::{JetStreamLog, StreamOptions};
use events::Commit;
use tests::forge::publish;
use tests::log_contract::{LogFactory, LogHome, contract, market};
use tests::nats::{NatsCluster, NatsServer};

/// Logs on brokers that all use one after the other.
struct Brokers {
    urls: Vec<String>,
    replicas: usize,
}

impl Brokers {
    async fn connect(&self) -> Client {
        async_nats::connect(&self.urls).await.expect("the brokers run")
    }
}

#[async_trait]
impl LogFactory for Brokers {
    async fn home(&self) -> Box<dyn LogHome> {
        let client = self.connect().await;
        let context = async_nats::jetstream::new(client);
        let mut names = context.stream_names();
        while let Some(name) = futures::TryStreamExt::try_next(&mut names).await.expect("the brokers answer")
        {
            context.delete_stream(name).await.expect("an operator may delete a stream");
        }
        Box::new(StreamHome(Brokers { urls: self.urls.clone(), replicas: self.replicas }))
    }
}

struct StreamHome(Brokers);

#[async_trait]
impl LogHome for StreamHome {
    async fn open(&self) -> Arc<dyn EventLog> {
        let client = self.0.connect().await;
        let opened = JetStreamLog::open(client, market(), StreamOptions::replicas(self.0.replicas)).await;
        Arc::new(opened.expect("the stream can be made"))
    }

    async fn second(&self, _first: &Arc<dyn EventLog>) -> Arc<dyn EventLog> {
        self.open().await
    }

    async fn forge(&self, commit: Arc<Commit>) {
        let context = async_nats::jetstream::new(self.0.connect().await);
        for event in commit.events() {
            publish(&context, event).await.expect("nothing was expected, so nothing can conflict");
        }
    }
}

#[tokio::test]
async fn the_log_on_one_broker() {
    let server = NatsServer::start().await.unwrap();
    contract(Brokers { urls: vec![server.url()], replicas: 1 }).await;
}

#[tokio::test]
async fn the_log_on_three_brokers() {
    let cluster = NatsCluster::start().await.unwrap();
    contract(Brokers { urls: cluster.urls(), replicas: 3 }).await;
}
