//! Starts real NATS servers for tests, under the configuration that the project ships.
//!
//! Each server has free ports and a store of its own, and runs the `nats.conf` at the root of the workspace: what
//! holds here holds for everybody who follows the documentation. It is removed when its value is dropped, on a
//! panic too, and by a watchdog if the test's process dies without dropping anything.

mod cluster;
mod process;

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use gateway::node::NatsConfig;
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

pub use self::cluster::NatsCluster;
use self::process::{Launch, Process, Signal};

/// How long a server or cluster may take to be ready before its start counts as failed.
///
/// One server needs about 0.1 s; a cluster elects within 9 s; the rest is for a machine that is busy with other tests.
const READY_WAIT_MAX: Duration = Duration::from_secs(60);

/// How long a server may take to end after SIGTERM.
const STOP_WAIT_MAX: Duration = Duration::from_secs(30);

/// Pause between two looks at something that is awaited.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// How long the monitoring port may take to answer one request.
const MONITOR_ANSWER_MAX: Duration = Duration::from_secs(2);

/// How many sets of ports are tried when somebody else takes one between our look and the server's start.
const START_ATTEMPTS_MAX: usize = 5;

/// How many ports are looked at to find a free one.
const PORT_ATTEMPTS_MAX: usize = 100;

/// Where ports come from: below those that systems give to outgoing connections, so that nobody takes a server's
/// port while it is down.
const PORTS: Range<u16> = 15_000..32_000;

/// Connects to servers of which some may not be there yet.
pub async fn connect(urls: &[String]) -> Result<async_nats::Client> {
    Ok(async_nats::ConnectOptions::new().retry_on_initial_connect().connect(urls).await?)
}

/// A running `nats-server` with JetStream, one node, on loopback.
///
/// Whoever wants to know what a server said reads [`NatsServer::log`].
#[derive(Debug)]
pub struct NatsServer {
    // Dropped before the folder that it writes to.
    process: Option<Process>,
    launch: Launch,
    ports: Ports,
    monitor: Monitor,
    folder: TempDir,
}

/// The loopback ports of one server.
#[derive(Debug, Clone, Copy)]
struct Ports {
    client: u16,
    monitor: u16,
    route: u16,
}

impl NatsServer {
    /// Starts a server under the project's `nats.conf` and waits until it serves.
    pub async fn start() -> Result<Self> {
        Self::start_with("", &[]).await
    }

    /// Starts a server whose configuration is the project's `nats.conf` followed by `more`.
    ///
    /// A key in `more` replaces the same key above. `environment` gives the values of its `$NAMES`.
    pub async fn start_with(more: &str, environment: &[(&str, &str)]) -> Result<Self> {
        for _ in 0..START_ATTEMPTS_MAX {
            let mut server = Self::prepare(Ports::choose()?, more, environment)?;
            server.spawn()?;
            match server.await_ready(Instant::now() + READY_WAIT_MAX).await {
                Err(_) if server.lost_a_port() => {}
                ready => return ready.map(|()| server),
            }
        }
        bail!("found its ports taken {START_ATTEMPTS_MAX} times")
    }

    /// Returns the address for clients, such as `nats://127.0.0.1:15123`. It stays the same over restarts.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.ports.client)
    }

    /// Tells a node where this server is: one copy of each stream, the log without a size.
    pub fn for_nodes(&self) -> NatsConfig {
        NatsConfig { url: self.url(), replicas: 1, log_bytes: None, monitor_url: Some(self.monitor_url()) }
    }

    /// Returns the address of the monitoring port, such as `http://127.0.0.1:15124`.
    pub fn monitor_url(&self) -> String {
        self.monitor.url.clone()
    }

    /// Returns the name that the server goes by, in a cluster too.
    pub fn name(&self) -> &str {
        &self.launch.name
    }

    /// Returns the folder that holds the streams; it outlives the process and goes with this value.
    pub fn store_dir(&self) -> PathBuf {
        self.folder.path().join("data/jetstream")
    }

    /// Returns what the server has written to its log since the first start.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.launch.log).unwrap_or_default()
    }

    /// Ends the server as a crash would, with SIGKILL. What it had not synced is up to the operating system.
    pub fn kill(&mut self) -> Result<()> {
        // Dropping a process is killing it.
        let process = self.process.take().context("the server is not running")?;
        drop(process);
        Ok(())
    }

    /// Ends the server as an operator would, with SIGTERM, and waits until it has. A paused one must be resumed first.
    pub async fn stop(&mut self) -> Result<()> {
        let mut process = self.process.take().context("the server is not running")?;
        process.signal(Signal::Terminate)?;
        let deadline = Instant::now() + STOP_WAIT_MAX;
        while !process.has_ended()? {
            ensure!(
                Instant::now() < deadline,
                "did not end within {STOP_WAIT_MAX:?} of SIGTERM:\n{}",
                self.log()
            );
            sleep(POLL_INTERVAL).await;
        }
        Ok(())
    }

    /// Starts the server again on the same ports and store and waits until it serves; stops it first if it runs.
    pub async fn restart(&mut self) -> Result<()> {
        if self.process.is_some() {
            self.stop().await?;
        }
        self.spawn()?;
        self.await_ready(Instant::now() + READY_WAIT_MAX).await
    }

    /// Replaces what follows the project's `nats.conf` in the configuration, and has the running server read it again.
    pub fn reconfigure(&self, more: &str) -> Result<()> {
        // The server forgets that it was named on its command line.
        write_config(self.folder.path(), &format!("server_name: \"{}\"\n{more}", self.name()))?;
        self.running()?.signal(Signal::Reload)
    }

    /// Starts the server again as [`NatsServer::restart`] does, with `more` instead of what followed the project's
    /// `nats.conf` before.
    pub async fn restart_with(&mut self, more: &str) -> Result<()> {
        write_config(self.folder.path(), more)?;
        self.restart().await
    }

    /// Stops the server from running without ending it: connections stay open and nothing answers.
    pub fn pause(&self) -> Result<()> {
        self.running()?.signal(Signal::Stop)
    }

    /// Lets a paused server go on.
    pub fn resume(&self) -> Result<()> {
        self.running()?.signal(Signal::Continue)
    }

    /// Returns the process id, while the server runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    fn running(&self) -> Result<&Process> {
        self.process.as_ref().context("the server is not running")
    }

    /// Writes the configuration of a server that is not started yet.
    fn prepare(ports: Ports, more: &str, environment: &[(&str, &str)]) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("skylink-nats-").tempdir()?;
        let config = write_config(folder.path(), more)?;
        let launch = Launch {
            // The client port makes the name unique among all servers that run here now.
            name: format!("test-{}", ports.client),
            binary: binary()?,
            arguments: vec![
                "--config".into(),
                config.display().to_string(),
                "--addr".into(),
                Ipv4Addr::LOCALHOST.to_string(),
                "--port".into(),
                ports.client.to_string(),
                "--http_port".into(),
                ports.monitor.to_string(),
            ],
            environment: environment
                .iter()
                .map(|(name, value)| (name.to_string(), value.to_string()))
                .collect(),
            // The configuration's store lies below the folder that the server is started in.
            folder: folder.path().to_owned(),
            log: folder.path().join("log"),
        };
        Ok(Self { process: None, launch, ports, monitor: Monitor::new(ports.monitor)?, folder })
    }

    fn spawn(&mut self) -> Result<()> {
        self.process = Some(self.launch.spawn()?);
        Ok(())
    }

    /// Waits until the server says that it is healthy: JetStream has recovered and, in a cluster, knows a leader.
    async fn await_ready(&mut self, deadline: Instant) -> Result<()> {
        loop {
            let process = self.process.as_mut().context("the server is not running")?;
            ensure!(!process.has_ended()?, "{} ended while starting:\n{}", self.launch.name, self.log());
            // The name shows that it is our server, and not one that took the port before ours could.
            if self.monitor.name().await.as_deref() == Some(self.name()) && self.monitor.is_healthy().await {
                return Ok(());
            }
            ensure!(
                Instant::now() < deadline,
                "{} was not ready within {READY_WAIT_MAX:?}:\n{}",
                self.launch.name,
                self.log()
            );
            sleep(POLL_INTERVAL).await;
        }
    }

    fn lost_a_port(&self) -> bool {
        self.log().contains("address already in use")
    }
}

/// Writes the project's `nats.conf`, followed by `more`, into a server's folder.
fn write_config(folder: &Path, more: &str) -> Result<PathBuf> {
    let shipped = workspace_root().join("nats.conf");
    let shipped =
        fs::read_to_string(&shipped).with_context(|| format!("cannot read {}", shipped.display()))?;
    let config = folder.join("nats.conf");
    fs::write(&config, format!("{shipped}\n{more}\n"))?;
    Ok(config)
}

impl Ports {
    /// Chooses three ports that are free now.
    fn choose() -> Result<Self> {
        // Held until all are chosen, so that they differ.
        let held = [hold_free_port()?, hold_free_port()?, hold_free_port()?];
        let [client, monitor, route] =
            held.each_ref().map(|listener| listener.local_addr().map(|at| at.port()));
        Ok(Self { client: client?, monitor: monitor?, route: route? })
    }
}

fn hold_free_port() -> Result<TcpListener> {
    for _ in 0..PORT_ATTEMPTS_MAX {
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, rand::random_range(PORTS))) {
            return Ok(listener);
        }
    }
    bail!("no free port among {PORT_ATTEMPTS_MAX} of {PORTS:?}")
}

/// Asks a server's monitoring port. Whatever goes wrong means "not yet" to those who wait.
#[derive(Debug)]
struct Monitor {
    url: String,
    http: reqwest::Client,
}

impl Monitor {
    fn new(port: u16) -> Result<Self> {
        let http = reqwest::Client::builder().no_proxy().timeout(MONITOR_ANSWER_MAX).build()?;
        Ok(Self { url: format!("http://127.0.0.1:{port}"), http })
    }

    async fn get(&self, path: &str) -> Option<Value> {
        let answer = self.http.get(format!("{}{path}", self.url)).send().await.ok()?;
        answer.error_for_status().ok()?.json().await.ok()
    }

    async fn name(&self) -> Option<String> {
        Some(self.get("/varz").await?["server_name"].as_str()?.to_owned())
    }

    async fn is_healthy(&self) -> bool {
        self.get("/healthz").await.is_some()
    }
}

fn workspace_root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in a folder of the workspace")
}

/// Finds the server that `tests/run.sh` chose, or one that an earlier run of it or the system provides.
///
/// # Panics
///
/// When there is none: a test without its server proves nothing and must not pass.
fn binary() -> Result<PathBuf> {
    if let Some(chosen) = std::env::var_os("SKYLINK_NATS_SERVER") {
        let chosen = PathBuf::from(chosen);
        ensure!(
            chosen.is_file(),
            "SKYLINK_NATS_SERVER={} is not a file: run ./tests/run.sh",
            chosen.display()
        );
        return Ok(chosen);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join("nats-server"))
        .chain([workspace_root().join(".tools/nats-server")])
        .find(|candidate| candidate.is_file())
        .context("no nats-server: run ./tests/run.sh, which fetches one")
}
