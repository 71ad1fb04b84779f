//! Proves that the servers which other tests rely on behave, and fail, as those tests assume.

use std::future::IntoFuture;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use async_nats::jetstream::{self, stream};
use bytes::Bytes;
use tests::nats::{NatsCluster, NatsServer};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

/// How long a cluster may take to elect and acknowledge again after its leader was killed; measured: 4 to 8 s.
const ELECTION_WAIT_MAX: Duration = Duration::from_secs(60);

/// How long one publish waits for its acknowledgement before it is tried again.
const ACK_WAIT: Duration = Duration::from_secs(2);

/// How long a killed server's port may go on accepting connections.
const GONE_WAIT_MAX: Duration = Duration::from_secs(10);

/// How long a paused server is seen not to answer: a hundred times what it takes to answer otherwise.
const PAUSE_SEEN: Duration = Duration::from_millis(300);

const POLL_INTERVAL: Duration = Duration::from_millis(20);

async fn connect(urls: &[String]) -> Result<jetstream::Context> {
    let client = async_nats::ConnectOptions::new().retry_on_initial_connect().connect(urls).await?;
    let mut context = jetstream::new(client);
    context.set_timeout(ACK_WAIT);
    Ok(context)
}

async fn create_stream(context: &jetstream::Context, num_replicas: usize) -> Result<()> {
    let config = stream::Config {
        name: "LOG".into(),
        subjects: vec!["log.>".into()],
        num_replicas,
        allow_atomic_publish: true,
        ..stream::Config::default()
    };
    context.create_stream(config).await?;
    Ok(())
}

async fn publish(context: &jetstream::Context, payload: &'static str) -> Result<u64> {
    Ok(context.publish("log.entry", Bytes::from_static(payload.as_bytes())).await?.await?.sequence)
}

/// Publishes until acknowledged: what a client does while a cluster elects.
async fn publish_until_acknowledged(context: &jetstream::Context, payload: &'static str) -> Result<u64> {
    let deadline = Instant::now() + ELECTION_WAIT_MAX;
    loop {
        match publish(context, payload).await {
            Ok(sequence) => return Ok(sequence),
            Err(error) => ensure!(Instant::now() < deadline, "never acknowledged: {error:#}"),
        }
        sleep(POLL_INTERVAL).await;
    }
}

async fn payload_at(context: &jetstream::Context, sequence: u64) -> Result<Bytes> {
    Ok(context.get_stream("LOG").await?.get_raw_message(sequence).await?.payload)
}

/// Waits until nothing accepts connections at a server's address any more.
async fn await_gone(url: &str) -> Result<()> {
    let address = url.trim_start_matches("nats://");
    let deadline = Instant::now() + GONE_WAIT_MAX;
    while TcpStream::connect(address).await.is_ok() {
        ensure!(Instant::now() < deadline, "a server still answers at {address}");
        sleep(POLL_INTERVAL).await;
    }
    Ok(())
}

#[tokio::test]
async fn acknowledged_message_survives_kill_and_restart() -> Result<()> {
    let mut server = NatsServer::start().await?;
    let context = connect(&[server.url()]).await?;
    create_stream(&context, 1).await?;
    let sequence = publish(&context, "before the kill").await?;
    let (url, first_pid) = (server.url(), server.pid());

    server.kill()?;
    await_gone(&url).await?;
    assert_eq!(server.pid(), None);
    server.restart().await?;

    assert_eq!(server.url(), url);
    assert_ne!(server.pid(), first_pid);
    // A connection of its own: the first one's reconnecting is the client library's affair.
    let context = connect(&[url]).await?;
    assert_eq!(payload_at(&context, sequence).await?, "before the kill");
    Ok(())
}

#[tokio::test]
async fn stopped_server_keeps_its_store_and_says_goodbye() -> Result<()> {
    let mut server = NatsServer::start().await?;
    let context = connect(&[server.url()]).await?;
    create_stream(&context, 1).await?;
    let sequence = publish(&context, "before the stop").await?;

    server.stop().await?;
    await_gone(&server.url()).await?;
    assert!(server.log().contains("Server Exiting"), "{}", server.log());
    assert!(server.stop().await.is_err(), "a stopped server cannot be stopped again");

    server.restart().await?;
    let context = connect(&[server.url()]).await?;
    assert_eq!(payload_at(&context, sequence).await?, "before the stop");
    Ok(())
}

#[tokio::test]
async fn paused_server_answers_only_when_resumed() -> Result<()> {
    let server = NatsServer::start().await?;
    let context = connect(&[server.url()]).await?;
    create_stream(&context, 1).await?;

    server.pause()?;
    let acknowledged = context.publish("log.entry", Bytes::new()).await?;
    let mut acknowledged = Box::pin(acknowledged.into_future());
    assert!(timeout(PAUSE_SEEN, acknowledged.as_mut()).await.is_err(), "a paused server acknowledged");

    server.resume()?;
    assert_eq!(acknowledged.await?.sequence, 1);
    Ok(())
}

#[tokio::test]
async fn server_runs_with_the_shipped_configuration() -> Result<()> {
    let server = NatsServer::start().await?;
    let http = reqwest::Client::builder().no_proxy().build()?;
    let status: serde_json::Value =
        http.get(format!("{}/varz", server.monitor_url())).send().await?.json().await?;

    assert_eq!(
        status["jetstream"]["config"]["sync_always"], true,
        "an acknowledged event must have been synced"
    );
    assert_eq!(status["max_payload"], 1_048_576);
    assert_eq!(status["jetstream"]["config"]["store_dir"], "data/jetstream");
    assert!(server.store_dir().is_dir(), "the store is not below the folder the server was started in");
    Ok(())
}

#[tokio::test]
async fn panicking_test_leaves_neither_server_nor_folder() -> Result<()> {
    let (started, running) = tokio::sync::oneshot::channel();
    let test = tokio::spawn(async {
        let server = NatsServer::start().await.unwrap();
        started.send((server.url(), server.store_dir())).unwrap();
        panic!("as a failing test does");
    });
    let (url, store) = running.await?;

    assert!(test.await.is_err_and(|error| error.is_panic()));
    await_gone(&url).await?;
    assert!(!store.exists());
    Ok(())
}

/// Set for the process that [`aborted_process_leaves_no_server`] starts, which is this test once more.
const ABORTING: &str = "SKYLINK_TEST_ABORTS";

#[tokio::test]
async fn aborted_process_leaves_no_server() -> Result<()> {
    if std::env::var_os(ABORTING).is_some() {
        let server = NatsServer::start().await?;
        println!("\nserver at {}", server.url());
        std::process::abort();
    }
    let mut process = Command::new(std::env::current_exe()?)
        .args(["--exact", "aborted_process_leaves_no_server", "--nocapture"])
        .env(ABORTING, "yes")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut lines = BufReader::new(process.stdout.take().context("stdout is piped")?).lines();
    let url = lines
        .find_map(|line| line.ok()?.strip_prefix("server at ").map(str::to_owned))
        .context("the process ended before its server ran")?;

    assert!(!process.wait()?.success());
    await_gone(&url).await
}

#[tokio::test]
async fn cluster_goes_on_when_the_leader_is_killed() -> Result<()> {
    let mut cluster = NatsCluster::start().await?;
    let context = connect(&cluster.urls()).await?;
    create_stream(&context, 3).await?;
    let before = publish_until_acknowledged(&context, "before").await?;

    let killed = cluster.stream_leader("LOG").await?;
    cluster.node_mut(killed).kill()?;
    let after = publish_until_acknowledged(&context, "after").await?;
    assert!(after > before);
    assert_ne!(cluster.stream_leader("LOG").await?, killed);

    cluster.node_mut(killed).restart().await?;
    let context = connect(&[cluster.nodes()[killed].url()]).await?;
    assert_eq!(payload_at(&context, before).await?, "before");
    assert_eq!(payload_at(&context, after).await?, "after");
    Ok(())
}
