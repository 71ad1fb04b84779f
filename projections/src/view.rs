//! What all views have in common: their names, how they fold commits, and why one stops.

use std::collections::BTreeSet;
use std::fmt;

use events::ids::{AccountId, ListingId};
use events::{Commit, Position};
use sled::{Batch, Tree};

use crate::{
    account, analytics, audit, cart, ledger, listing, order, payment, recommendation, risk, terms, webhook,
};

/// A view of the market.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum ViewName {
    /// Carts with what is wrong with them now.
    Carts,
    /// Orders with their escrow and history.
    Orders,
    /// Balances of the ledger.
    Ledger,
    /// Counters over time.
    Analytics,
    /// Accounts with their roles, devices and keys.
    Accounts,
    /// Listings with their stock.
    Listings,
    /// Payments through providers.
    Payments,
    /// What purchases are priced by.
    Terms,
    /// How purchases were judged, and reviews.
    Risk,
    /// What is bought together and of late.
    Recommendations,
    /// Addresses that are told what happens.
    Webhooks,
    /// Where it stands who did what.
    Audit,
}

impl ViewName {
    /// Every view.
    pub const ALL: [ViewName; 12] = [
        ViewName::Carts,
        ViewName::Orders,
        ViewName::Ledger,
        ViewName::Analytics,
        ViewName::Accounts,
        ViewName::Listings,
        ViewName::Payments,
        ViewName::Terms,
        ViewName::Risk,
        ViewName::Recommendations,
        ViewName::Webhooks,
        ViewName::Audit,
    ];

    /// Gives the name its trees begin with.
    pub const fn as_str(self) -> &'static str {
        match self {
            ViewName::Carts => "carts",
            ViewName::Orders => "orders",
            ViewName::Ledger => "ledger",
            ViewName::Analytics => "analytics",
            ViewName::Accounts => "accounts",
            ViewName::Listings => "listings",
            ViewName::Payments => "payments",
            ViewName::Terms => "terms",
            ViewName::Risk => "risk",
            ViewName::Recommendations => "recommendations",
            ViewName::Webhooks => "webhooks",
            ViewName::Audit => "audit",
        }
    }

    /// Gives the version its values are written in. A view found in another version is built again from zero.
    pub(crate) const fn version(self) -> u8 {
        match self {
            ViewName::Carts => cart::VERSION,
            ViewName::Orders => order::VERSION,
            ViewName::Ledger => ledger::VERSION,
            ViewName::Analytics => analytics::VERSION,
            ViewName::Accounts => account::VERSION,
            ViewName::Listings => listing::VERSION,
            ViewName::Payments => payment::VERSION,
            ViewName::Terms => terms::VERSION,
            ViewName::Risk => risk::VERSION,
            ViewName::Recommendations => recommendation::VERSION,
            ViewName::Webhooks => webhook::VERSION,
            ViewName::Audit => audit::VERSION,
        }
    }

    /// Starts a fold with nothing cached.
    pub(crate) fn fold(self) -> Box<dyn Fold> {
        match self {
            ViewName::Carts => Box::new(cart::CartFold::new()),
            ViewName::Orders => Box::new(order::OrderFold::new()),
            ViewName::Ledger => Box::new(ledger::LedgerFold::new()),
            ViewName::Analytics => Box::new(analytics::AnalyticsFold::new()),
            ViewName::Accounts => Box::new(account::AccountFold::new()),
            ViewName::Listings => Box::new(listing::ListingFold::new()),
            ViewName::Payments => Box::new(payment::PaymentFold::new()),
            ViewName::Terms => Box::new(terms::TermsFold::new()),
            ViewName::Risk => Box::new(risk::RiskFold::new()),
            ViewName::Recommendations => Box::new(recommendation::RecommendationFold::new()),
            ViewName::Webhooks => Box::new(webhook::WebhookFold::new()),
            ViewName::Audit => Box::new(audit::AuditFold::new()),
        }
    }
}

impl fmt::Display for ViewName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a view follows the log. Changes stay in memory until they are written, all of a batch at once; after an
/// error the fold is thrown away.
pub(crate) trait Fold: Send {
    /// Takes one commit in.
    fn apply(&mut self, tree: &Tree, commit: &Commit) -> Result<(), ViewError>;

    /// Puts what changed since the last call into `batch`; the one before was written to `tree`.
    fn write(&mut self, tree: &Tree, batch: &mut Batch) -> Result<(), ViewError>;

    /// Gives what the last batch changed of what the search follows; of most views that is nothing.
    fn take_touched(&mut self) -> Touched {
        Touched::default()
    }
}

/// What a batch changed of what the search follows.
#[derive(Debug, Default)]
pub(crate) struct Touched {
    /// Listings of which anything changed, and those that were ordered.
    pub(crate) listings: BTreeSet<ListingId>,
    /// Accounts that an operator said something of.
    pub(crate) accounts: Vec<AccountId>,
    /// Whether it was said anew which words mean the same.
    pub(crate) synonyms: bool,
    /// The newest event that changed what any listing is found by, since the fold began; 0: none.
    pub(crate) words_at: Position,
}

/// Why a view can't go on or can't answer.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// The disk or the files of the views fail. The operator mends the disk; the views' folder may be deleted, the
    /// log builds it again.
    #[error("the views' store failed: mend the disk; the views can be deleted and built again from the log")]
    Store(#[from] sled::Error),
    /// A stored value can't be understood. The view must be rebuilt.
    #[error("a stored value of the view is damaged: rebuild the view")]
    Damaged {
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A sum does not fit 64 bits. The view stops rather than show a wrong number.
    #[error("{what} overflows at position {position}: the view stops before this event")]
    Overflow {
        /// What was summed.
        what: &'static str,
        /// The event that was too much.
        position: Position,
    },
    /// The log speaks of something it never created: it was not written by this program's rules.
    #[error("the event at position {position} speaks of {what} that the log never created")]
    Unknown {
        /// What is missing.
        what: String,
        /// The event.
        position: Position,
    },
    /// The view has met what it can't go on behind, while the others go on. Built again, by a program where a defect is mended, it
    /// goes on too.
    #[error("view `{view}` has stopped at position {position}: {reason}")]
    Stopped {
        /// The view.
        view: ViewName,
        /// How far it has read.
        position: Position,
        /// What it met.
        reason: String,
    },
}

impl ViewError {
    /// Tells whether the view alone can't go on, since it meets the same each time. A disk that fails fails them all, and may work
    /// again.
    pub(crate) fn is_of_view(&self) -> bool {
        !matches!(self, ViewError::Store(_))
    }

    pub(crate) fn overflow(what: &'static str, position: Position) -> Self {
        ViewError::Overflow { what, position }
    }

    pub(crate) fn unknown(what: impl fmt::Display, position: Position) -> Self {
        ViewError::Unknown { what: what.to_string(), position }
    }
}
