//! Hands in what a provider did, as a command signed with the key of the provider's account.

use std::sync::Arc;

use commands::Command;
use commands::receipt::Outcome;
use events::ids::{CommandId, MarketName};
use uuid::Uuid;

use crate::clock::Clock;
use crate::driver::EngineHandle;
use crate::ingress::Reply;
use crate::keystore::{KeyStore, StoredKey};

/// Why a report changed nothing; the texts are for operators.
#[derive(Debug)]
pub(super) enum ReportError {
    /// The market has decided against it.
    Rejected(String),
    /// It could not be handed in, or what became of it is not known.
    NotTaken(String),
}

fn not_taken(error: impl std::fmt::Display) -> ReportError {
    ReportError::NotTaken(error.to_string())
}

/// Signs reports and hands them in.
pub(super) struct Reporter {
    pub(super) engine: EngineHandle,
    pub(super) market: MarketName,
    pub(super) keys: KeyStore,
    pub(super) clock: Arc<dyn Clock>,
}

impl Reporter {
    /// Reports what a provider did. Without an error it is durable, now or from an earlier report of the same: the
    /// command's id is derived from what is reported.
    pub(super) async fn report(
        &self,
        key: &StoredKey,
        about: Uuid,
        report: Command,
    ) -> Result<(), ReportError> {
        let command_id = CommandId::of_report(key.account, about, report.body().to_string().as_bytes());
        let (store, key, market) = (self.keys.clone(), key.clone(), self.market.clone());
        let now = self.clock.now();
        // The key's numbers are taken from a file.
        let signing = move || store.sign(&key, &market, command_id, report, now);
        let signed = tokio::task::spawn_blocking(signing).await.map_err(not_taken)?.map_err(not_taken)?;
        match self.engine.submit(signed, None, None).await {
            Reply::Receipt(receipt) => match receipt.receipt.outcome {
                Outcome::Accepted | Outcome::Unchanged => Ok(()),
                Outcome::Rejected => {
                    let reasons = receipt.receipt.reasons.iter().map(ToString::to_string);
                    Err(ReportError::Rejected(reasons.collect::<Vec<_>>().join("; ")))
                }
            },
            Reply::Refused(refusal) => Err(not_taken(refusal)),
            Reply::Undecided => Err(ReportError::NotTaken("the market stops".to_owned())),
        }
    }
}
