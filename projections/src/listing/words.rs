//! What listings are found by: what their sellers say of them, how often they were ordered, and in which order that changed,
//! which is what the [search](crate::search) follows.

use std::collections::{BTreeMap, BTreeSet};

use events::ids::ListingId;
use events::search::{Category, Described, SynonymsSet};
use events::{Event, Position, Recorded};
use serde::{Deserialize, Serialize};
use sled::{Batch, Tree};
use uuid::Uuid;

use super::VERSION;
use crate::table::{Additions, Layout, Table, read_u64, read_uuid};
use crate::view::ViewError;

/// What a listing is found by besides its title.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Words {
    /// Counts the listings in the order of their creation, from 0.
    pub number: u32,
    /// The event that last changed its title or what its seller says of it.
    pub changed_at: Position,
    /// Where it belongs.
    pub category: Option<Category>,
    /// What there is to tell of it.
    pub description: Option<String>,
    /// What more there is to tell by name.
    pub attributes: BTreeMap<String, String>,
    /// Words it is also found by.
    pub tags: BTreeSet<String>,
}

impl Words {
    fn new(number: u32, created_at: Position) -> Self {
        Words {
            number,
            changed_at: created_at,
            category: None,
            description: None,
            attributes: BTreeMap::new(),
            tags: BTreeSet::new(),
        }
    }

    fn describe(&mut self, event: &Described) {
        let Described { attributes, category, description, listing: _, tags } = event;
        self.attributes.clone_from(attributes);
        self.category.clone_from(category);
        self.description.clone_from(description);
        self.tags.clone_from(tags);
    }
}

const WORDS: Layout<ListingId, Words> = Layout::new(b'w', VERSION);
/// The listings whose words an event changed. One that changed again stands there again, and its older row says nothing.
const BY_CHANGE: Layout<u64, ListingId> = Layout::new(b'c', VERSION);
const ORDERS: Layout<ListingId, u64> = Layout::new(b'o', VERSION);
const COUNT: Layout<(), u32> = Layout::new(b'n', VERSION);
const SYNONYMS: Layout<(), Synonyms> = Layout::new(b'y', VERSION);

/// Which words mean the same.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Synonyms {
    /// Groups of words of which each stands for every other.
    pub groups: Vec<BTreeSet<String>>,
    /// The event that said so; 0: nobody has said anything.
    pub set_at: Position,
}

/// Tells which words mean the same.
pub(crate) fn synonyms(tree: &Tree) -> Result<Synonyms, ViewError> {
    Ok(SYNONYMS.get(tree, &())?.unwrap_or_default())
}

pub(crate) fn words(tree: &Tree, listing: ListingId) -> Result<Option<Words>, ViewError> {
    WORDS.get(tree, &listing)
}

/// Counts the orders that were placed for a listing.
pub(crate) fn orders(tree: &Tree, listing: ListingId) -> Result<u64, ViewError> {
    Ok(ORDERS.get(tree, &listing)?.unwrap_or(0))
}

/// Gives the listings whose words changed behind `position`, in the order of the changes, and where each change stands; at
/// most `limit`.
pub(crate) fn changed_behind(
    tree: &Tree,
    position: Position,
    limit: usize,
) -> Result<Vec<(Position, ListingId)>, ViewError> {
    let from = position + 1;
    let rows = BY_CHANGE.range(tree, &from, &u64::MAX, 0).take(limit).map(|row| {
        let (key, listing) = row?;
        let damaged = || ViewError::Damaged { source: "the key of a change is too short".into() };
        Ok((read_u64(&key).ok_or_else(damaged)?, listing))
    });
    rows.collect()
}

/// Gives the listings behind `after`, in the order of their ids, at most `limit`.
pub(crate) fn listings_behind(
    tree: &Tree,
    after: Option<ListingId>,
    limit: usize,
) -> Result<Vec<ListingId>, ViewError> {
    let from = after.unwrap_or(ListingId::from_uuid(Uuid::nil()));
    let rows = WORDS.scan_from(tree, &(), &from).map(|row| {
        let id = read_uuid(&row?.0).map(ListingId::from_uuid);
        id.ok_or_else(|| ViewError::Damaged { source: "a listing's key is too short".into() })
    });
    rows.filter(|row| !row.as_ref().is_ok_and(|listing| Some(*listing) == after)).take(limit).collect()
}

/// How the view follows what listings are found by.
pub(super) struct WordsFold {
    words: Table<ListingId, Words>,
    by_change: Additions<u64, ListingId>,
    orders: Table<ListingId, u64>,
    count: Table<(), u32>,
    synonyms: Table<(), Synonyms>,
    newest_change: Position,
}

impl WordsFold {
    pub(super) fn new() -> Self {
        WordsFold {
            words: Table::new(WORDS),
            by_change: Additions::new(BY_CHANGE),
            orders: Table::new(ORDERS),
            count: Table::new(COUNT),
            synonyms: Table::new(SYNONYMS),
            newest_change: 0,
        }
    }

    pub(super) fn apply(&mut self, tree: &Tree, recorded: &Recorded) -> Result<(), ViewError> {
        let at = recorded.position;
        match &recorded.event {
            Event::ListingCreated(e) => {
                let count = self.count.entry(tree, &())?.get_or_insert_default();
                let number = *count;
                *count = count.checked_add(1).ok_or(ViewError::overflow("the count of listings", at))?;
                self.words.set(e.listing, Some(Words::new(number, at)));
                self.changed(e.listing, at);
            }
            Event::ListingUpdated(e) if e.title.is_some() => {
                self.of(tree, e.listing, at)?.changed_at = at;
                self.changed(e.listing, at);
            }
            Event::ListingDescribed(e) => {
                let words = self.of(tree, e.listing, at)?;
                words.changed_at = at;
                words.describe(e);
                self.changed(e.listing, at);
            }
            Event::SynonymsSet(SynonymsSet { groups }) => {
                self.synonyms.set((), Some(Synonyms { groups: groups.clone(), set_at: at }));
            }
            Event::OrderPlaced(e) => {
                for line in &e.lines {
                    let orders = self.orders.entry(tree, &line.listing)?.get_or_insert_default();
                    *orders = orders.saturating_add(1);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn of(&mut self, tree: &Tree, listing: ListingId, position: Position) -> Result<&mut Words, ViewError> {
        let found = self.words.entry(tree, &listing)?.as_mut();
        found.ok_or_else(|| ViewError::unknown(format_args!("listing {listing}"), position))
    }

    fn changed(&mut self, listing: ListingId, at: Position) {
        self.by_change.add(&at, &listing);
        self.newest_change = at;
    }

    /// Gives the listings that were ordered since the last writing.
    pub(super) fn ordered(&self) -> &[ListingId] {
        self.orders.dirty()
    }

    /// Tells whether it was said since the last writing which words mean the same.
    pub(super) fn has_new_synonyms(&self) -> bool {
        !self.synonyms.dirty().is_empty()
    }

    /// Gives the newest event that changed any words, since the fold began; 0: none.
    pub(super) fn newest_change(&self) -> Position {
        self.newest_change
    }

    pub(super) fn write(&mut self, tree: &Tree, batch: &mut Batch) -> Result<(), ViewError> {
        self.words.write(tree, batch)?;
        self.by_change.write(tree, batch)?;
        self.orders.write(tree, batch)?;
        self.count.write(tree, batch)?;
        self.synonyms.write(tree, batch)
    }
}
