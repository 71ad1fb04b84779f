//! The vault of a node.

use std::sync::Arc;

use engine::vault::follow::{FollowError, Followed};
use engine::vault::{Vault, VaultError};
use events::Position;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The vault, and what follows the log for it.
pub(super) struct Kept {
    pub(super) vault: Arc<Vault>,
    pub(super) followed: watch::Receiver<Followed>,
    pub(super) following: JoinHandle<Result<(), FollowError>>,
}

impl Kept {
    /// Waits until what the log says up to a position is done: whoever was erased is, before the market goes on.
    pub(super) async fn has_followed(&mut self, position: Position) -> Result<(), FollowError> {
        let is_over = |followed: &Followed| followed.position >= position || followed.failure.is_some();
        let followed = self.followed.wait_for(is_over).await.map(|followed| followed.position);
        if followed.is_ok_and(|followed| followed >= position) {
            return Ok(());
        }
        let ended = (&mut self.following).await.unwrap_or(Ok(()));
        ended.and(Err(FollowError::Vault(VaultError::Closed)))
    }

    pub(super) async fn shutdown(self) {
        // If it could not follow, that was told when it was noticed.
        if self.following.await.is_err() {
            tracing::error!("the vault ended badly; it follows the log on at the next start");
        }
        self.vault.close();
    }
}
