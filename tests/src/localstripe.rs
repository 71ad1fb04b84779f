//! A fake Stripe that others wrote, as a process of its own that ends with its test.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tempfile::TempDir;

/// How long it may take to listen; only one that is broken needs it.
const START_TIME_MAX: Duration = Duration::from_secs(60);
/// How often it is tried meanwhile.
const START_POLL: Duration = Duration::from_millis(20);

/// The secret key of every account there.
pub const SECRET_KEY: &str = "sk_test_12345";

/// A running `localstripe`; dropping it ends it.
#[derive(Debug)]
pub struct LocalStripe {
    server: Child,
    url: String,
    _folder: TempDir,
}

impl LocalStripe {
    /// Starts one with nothing in it, fetching it first if need be: see `scripts/get-localstripe.sh`.
    pub async fn start() -> Result<LocalStripe> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/get-localstripe.sh");
        let found = tokio::process::Command::new(&script).stderr(Stdio::inherit()).output().await;
        let found = found.with_context(|| format!("{} can't be run", script.display()))?;
        ensure!(found.status.success(), "there is no localstripe: its script has said why");
        let program = String::from_utf8(found.stdout)?;
        let folder = TempDir::new()?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        // What it keeps on disk it keeps in the folder for temporary files.
        let server = Command::new(program.trim())
            .args(["--from-scratch", "--port", &port.to_string()])
            .env("TMPDIR", folder.path())
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("localstripe can't be run")?;
        let mut stripe = LocalStripe { server, url: format!("http://127.0.0.1:{port}"), _folder: folder };
        tokio::time::timeout(START_TIME_MAX, stripe.listens(port))
            .await
            .context("localstripe does not listen")??;
        Ok(stripe)
    }

    async fn listens(&mut self, port: u16) -> Result<()> {
        while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            if let Some(status) = self.server.try_wait()? {
                bail!("localstripe ended at once: {status}");
            }
            tokio::time::sleep(START_POLL).await;
        }
        Ok(())
    }

    /// Gives its address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Sends JSON to it, as whoever holds the secret key.
    pub async fn post(&self, path: &str, body: Value) -> Result<Value> {
        let request = reqwest::Client::new().post(format!("{}{path}", self.url)).bearer_auth(SECRET_KEY);
        let answer = request.json(&body).send().await?.error_for_status()?.bytes().await?;
        Ok(if answer.is_empty() { Value::Null } else { serde_json::from_slice(&answer)? })
    }
}

impl Drop for LocalStripe {
    fn drop(&mut self) {
        // It may have ended by itself; then nothing is left to be done.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
