//! Numbers of a log that is read apart from a market's views: for exports, which want each row of this one view.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;

use events::ids::{AccountId, ListingId};
use events::{Commit, Timestamp};

use super::queries::damaged_key;
use super::{Activity, DAYS, HOURS, LISTING_DAYS, ListingSales, REJECTIONS, SELLER_DAYS, Sales, Step};
use crate::fold::{FoldError, Folder};
use crate::runner::RunError;
use crate::store::Store;
use crate::table::{read_i64, read_uuid};
use crate::view::{ViewError, ViewName};

/// The numbers of a log, on disk as long as this lives.
pub struct NumbersOfLog {
    store: Store,
    folder: Folder,
}

/// What is known of one hour or day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepNumbers {
    /// When it begins.
    pub start: Timestamp,
    /// Whose numbers, and which.
    pub of: NumbersOf,
}

/// Numbers, with whose they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NumbersOf {
    /// The whole market's.
    Market(Activity),
    /// A seller's.
    Seller(AccountId, Sales),
    /// A listing's.
    Listing(ListingId, ListingSales),
    /// How often commands were refused for a reason, which its code names.
    Reason(String, u64),
}

impl NumbersOfLog {
    /// Begins with no commit, in an empty folder that is removed in the end.
    pub fn begin(dir: &Path) -> Result<NumbersOfLog, ViewError> {
        let store = Store::open_temporary(dir)?;
        let generation = store.slot(ViewName::Analytics).read().clone();
        Ok(NumbersOfLog { store, folder: Folder::new(ViewName::Analytics, generation) })
    }

    /// Counts the commits that come next, the first of a log at first. After an error nothing more can be added.
    pub fn add(&mut self, commits: &[Arc<Commit>]) -> Result<(), RunError<Infallible>> {
        let failed = |source| RunError::View { view: ViewName::Analytics, source };
        let folded = self.folder.fold(commits).map_err(|error| match error {
            FoldError::Mismatch(mismatch) => mismatch.into(),
            FoldError::View(source) => failed(source),
        })?;
        let Some((batch, head)) = folded else { return Ok(()) };
        self.store.slot(ViewName::Analytics).apply(batch, head).map_err(failed)
    }

    /// Gives what happened in each hour, or on each day, in which something did: in the market and, of days, of each seller, of each
    /// listing and for each reason that commands were refused for. In the order of time, each kind by itself.
    pub fn rows(&self, step: Step) -> impl Iterator<Item = Result<StepNumbers, ViewError>> + '_ {
        let tree = &self.folder.generation().tree;
        let market = match step {
            Step::Hour => &HOURS,
            Step::Day => &DAYS,
        };
        let market = market.scan(tree, &()).map(move |pair| {
            let (key, numbers) = pair?;
            Ok(StepNumbers { start: start_of(step, &key)?, of: NumbersOf::Market(numbers) })
        });
        let sellers = SELLER_DAYS.scan(tree, &()).map(|pair| {
            let (key, numbers) = pair?;
            let (id, start) = (id_of(&key)?, start_of(Step::Day, &key[16..])?);
            Ok(StepNumbers { start, of: NumbersOf::Seller(AccountId::from_uuid(id), numbers) })
        });
        let listings = LISTING_DAYS.scan(tree, &()).map(|pair| {
            let (key, numbers) = pair?;
            let (id, start) = (id_of(&key)?, start_of(Step::Day, &key[16..])?);
            Ok(StepNumbers { start, of: NumbersOf::Listing(ListingId::from_uuid(id), numbers) })
        });
        let reasons = REJECTIONS.scan(tree, &()).map(|pair| {
            let (key, count) = pair?;
            let start = start_of(Step::Day, &key)?;
            let code = std::str::from_utf8(&key[8..]).map_err(|_| damaged_key())?.to_owned();
            Ok(StepNumbers { start, of: NumbersOf::Reason(code, count) })
        });
        // Only days are counted for each of these.
        let by_day = (step == Step::Day).then(|| sellers.chain(listings).chain(reasons));
        market.chain(by_day.into_iter().flatten())
    }
}

fn start_of(step: Step, key: &[u8]) -> Result<Timestamp, ViewError> {
    Ok(step.start(read_i64(key).ok_or_else(damaged_key)?))
}

fn id_of(key: &[u8]) -> Result<uuid::Uuid, ViewError> {
    read_uuid(key).ok_or_else(damaged_key)
}
