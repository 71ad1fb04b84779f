//! A NATS server of its own for one benchmark, with the settings of `nats.conf` that matter, ended with it.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

/// How long the server may take to be ready.
const READY_MAX: Duration = Duration::from_secs(20);
const READY_POLL: Duration = Duration::from_millis(50);

/// A running server; it is killed when this is dropped.
pub struct Broker {
    child: Child,
    /// Where it listens.
    pub url: String,
    /// Its monitoring endpoint.
    pub monitor_url: String,
}

impl Broker {
    /// Starts `program` with its store in `dir`, syncing before it acknowledges.
    pub async fn start(program: &Path, dir: &Path) -> anyhow::Result<Broker> {
        std::fs::create_dir_all(dir)?;
        let (port, monitor) = (free_port()?, free_port()?);
        let store = dir.join("store");
        let config = format!(
            "listen: 127.0.0.1:{port}\nhttp: 127.0.0.1:{monitor}\nmax_payload: 1MB\n\
             jetstream {{ store_dir: {store:?}, sync_interval: always, max_file_store: 100GB }}\n"
        );
        let file = dir.join("nats.conf");
        std::fs::write(&file, config)?;
        let child = Command::new(program)
            .arg("-c")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("{} can't be started", program.display()))?;
        let (url, monitor_url) = (format!("nats://127.0.0.1:{port}"), format!("http://127.0.0.1:{monitor}"));
        let broker = Broker { child, url, monitor_url };
        let started = Instant::now();
        while let Err(error) = async_nats::connect(&broker.url).await {
            if started.elapsed() > READY_MAX {
                bail!("the broker did not become ready: {error}");
            }
            tokio::time::sleep(READY_POLL).await;
        }
        Ok(broker)
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // A server that has ended by itself needs no end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
