//! What an acknowledgement of the broker is worth.

use std::time::Duration;

use serde::Deserialize;

/// How long the monitoring port may take to answer.
const MONITOR_WAIT_MAX: Duration = Duration::from_secs(2);

/// Whether an acknowledged append survives the loss of power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// The broker syncs before it acknowledges.
    Synced,
    /// The broker acknowledges first; what came in the last interval is lost with the power.
    NotSynced {
        /// Time between two syncs.
        sync_interval: Duration,
    },
    /// The broker was not asked, or did not say.
    Unknown,
}

#[derive(Deserialize)]
struct Varz {
    jetstream: JetStreamVarz,
}

#[derive(Deserialize)]
struct JetStreamVarz {
    config: Option<JetStreamConfig>,
}

#[derive(Deserialize)]
struct JetStreamConfig {
    #[serde(default)]
    sync_always: bool,
    /// In nanoseconds.
    sync_interval: Option<u64>,
    /// Bytes that all streams together may have on disk.
    max_storage: Option<u64>,
}

/// Asks a broker's monitoring port, such as `http://127.0.0.1:8222`, what it runs with. Each broker of a cluster is
/// asked on its own.
pub async fn durability(monitor_url: Option<&str>) -> Durability {
    let Some(url) = monitor_url else { return Durability::Unknown };
    match ask(url).await {
        Ok(varz) => rate(varz),
        Err(error) => {
            tracing::warn!(url, %error, "the broker does not say whether it syncs before it acknowledges");
            Durability::Unknown
        }
    }
}

/// Asks a broker's monitoring port how large its store of files may get.
pub(super) async fn file_store(monitor_url: Option<&str>) -> Option<u64> {
    // Whether it can be asked at all is said where it is asked for its durability.
    ask(monitor_url?).await.ok()?.jetstream.config?.max_storage.filter(|limit| *limit > 0)
}

async fn ask(url: &str) -> Result<Varz, reqwest::Error> {
    let client = reqwest::Client::builder().no_proxy().timeout(MONITOR_WAIT_MAX).build()?;
    let url = format!("{}/varz", url.trim_end_matches('/'));
    client.get(url).send().await?.error_for_status()?.json().await
}

fn rate(varz: Varz) -> Durability {
    match varz.jetstream.config {
        Some(JetStreamConfig { sync_always: true, .. }) => Durability::Synced,
        Some(JetStreamConfig { sync_interval: Some(ns), .. }) => {
            Durability::NotSynced { sync_interval: Duration::from_nanos(ns) }
        }
        _ => Durability::Unknown,
    }
}
