//! What this process has the market note of messages that it sends to others: how far it is, and who takes none.

use std::sync::Arc;
use std::time::Duration;

use commands::Command;
use commands::receipt::Outcome;
use engine::clock::Clock;
use engine::keystore::{KeyStore, StoredKey};
use engine::{EngineHandle, Reply};
use events::Timestamp;
use events::ids::{CommandId, MarketName};
use projections::Projections;
use uuid::Uuid;

/// How long the market may take to note something.
const REPORT_TIME_MAX: Duration = Duration::from_secs(10);
/// How long it is waited for the views to read what was noted.
pub(crate) const VIEWS_TIME_MAX: Duration = Duration::from_secs(30);

/// Has the market note what came of messages, by commands that are signed with the registrar's key.
#[derive(Clone)]
pub(crate) struct Reporter {
    /// The keys, which know what was signed last.
    pub(crate) keys: KeyStore,
    /// The registrar's key.
    pub(crate) registrar: StoredKey,
    /// The market.
    pub(crate) market: MarketName,
    /// Who decides.
    pub(crate) engine: EngineHandle,
    /// The time.
    pub(crate) clock: Arc<dyn Clock>,
}

impl Reporter {
    /// Has the market note something, and waits until the views have read it.
    pub(crate) async fn report(&self, command: Command, views: &Projections) -> Result<(), String> {
        let (keys, registrar, market) = (self.keys.clone(), self.registrar.clone(), self.market.clone());
        let now = self.clock.now();
        let id = id_at(now);
        let sign = move || keys.sign(&registrar, &market, id, command, now);
        let signed = tokio::task::spawn_blocking(sign).await.map_err(|error| error.to_string())?;
        let signed = signed.map_err(|error| error.to_string())?;
        let submitted = tokio::time::timeout(REPORT_TIME_MAX, self.engine.submit(signed, None, None));
        match submitted.await {
            Ok(Reply::Receipt(receipt)) if receipt.receipt.outcome != Outcome::Rejected => {
                let read = views.wait_for(receipt.receipt.position, VIEWS_TIME_MAX).await;
                read.map_err(|error| error.to_string())
            }
            Ok(reply) => Err(String::from_utf8_lossy(&reply.to_json()).into_owned()),
            Err(_) => Err("the market gave no answer in time".to_owned()),
        }
    }
}

/// Makes the id of a command that is given now by the market's clock, which need not be the machine's.
fn id_at(now: Timestamp) -> CommandId {
    let mut bytes = *Uuid::now_v7().as_bytes();
    bytes[..6].copy_from_slice(&now.ms().to_be_bytes()[2..]);
    CommandId::from_uuid(Uuid::from_bytes(bytes))
}
