//! Looking for listings by words, with filters and in an order.
//!
//! | what | where it stands | how fresh |
//! |---|---|---|
//! | which listing has which words and labels | an index on disk ([`index`], tantivy) | about a second behind the view |
//! | price, stock, status, standing of the seller, number of orders | memory ([`columns`]) | as the view of listings |
//! | what is shown of a result | the view of listings | as the view |
//!
//! The search follows the view of listings, which keeps the changes of words in their order; its checkpoint stands in each
//! commit of the index. All of it can be deleted, and is made again from the view. What can't be bought is never shown, nor is
//! it filtered, sorted or priced by what the index once knew: the index only tells who has the words.

mod columns;
mod facets;
mod follow;
mod index;
mod marking;
mod matching;
mod question;
mod rank;
mod suggest;
mod synonyms;
mod taste;
mod text;

use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use events::Position;
use events::listing::ListingStatus;
use tokio::sync::watch;

use self::columns::Columns;
use self::facets::Counter;
pub use self::facets::{FACET_ATTRIBUTES_MAX, FACET_VALUES_MAX, FacetValue, Facets, PriceRange};
use self::follow::{Follower, Signal};
use self::index::{Labels, Opened, Snapshot};
use self::matching::{Understood, Wanted, understand};
pub use self::question::{
    ATTRIBUTE_FILTERS_MAX, Cursor, Filters, HITS_PER_PAGE_MAX, Question, Sort, TEXT_LENGTH_MAX, WORDS_MAX,
};
use self::rank::{Found, Sieve};
pub use self::suggest::{Completion, SUGGESTIONS_MAX};
use self::synonyms::Synonyms;
use self::taste::Taste;
use crate::listing::{Offer, ROWS};
use crate::runner::{Projections, TooFarBehind};
use crate::view::{ViewError, ViewName};

/// Whether listings can be looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SearchState {
    /// Not yet: what is in the view is being read.
    Filling,
    /// They can, and what is found follows the view.
    Running,
    /// What is found grows old.
    Stopped(String),
}

/// Why a search gives nothing.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// This process has no search, or has only begun it.
    #[error("the search has only begun: ask again in a moment")]
    NotReady,
    /// The question has too many words, letters or attributes.
    #[error("{rule}: ask for less")]
    TooMuch {
        /// The bound that is passed.
        rule: String,
    },
    /// A price or an order by price is asked for in no currency.
    #[error("a price is compared in one currency: name it")]
    NoCurrency,
    /// The cursor is not of this question.
    #[error("the cursor belongs to another question: begin at the first page")]
    OtherQuestion,
    /// The index can't be read.
    #[error(
        "the index of words can't be read: mend the disk and start again; the index can be deleted and is made again"
    )]
    Index(#[from] tantivy::TantivyError),
    /// The view of listings can't be read.
    #[error(transparent)]
    View(#[from] ViewError),
    /// The search runs already.
    #[error("the search runs already")]
    AlreadyRunning,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// How many listings match, on this page and all others.
    pub count: u64,
    /// Those of this page.
    pub hits: Vec<Hit>,
    /// What the results can be filtered by further, if that was asked for.
    pub facets: Option<Facets>,
    /// Give it as `after` to get the next page; none: this was the last.
    pub next: Option<Cursor>,
}

/// A listing that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// The listing.
    pub offer: Offer,
    /// What of it was looked for; none: no words were.
    pub marked: Option<Marked>,
}

/// What was looked for in a listing, in HTML: between `<mark>` and `</mark>`, and everything else is escaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marked {
    /// The title.
    pub title: String,
    /// The part of the description around the first word; none: no word is in it.
    pub description: Option<String>,
}

/// What a text that is being typed may become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suggestions {
    /// Texts to look for instead.
    pub completions: Vec<Completion>,
    /// Listings that have the words already, the most often ordered first.
    pub listings: Vec<Hit>,
}

/// What a search is made of.
pub(crate) struct Inner {
    columns: Columns,
    labels: Arc<RwLock<Labels>>,
    snapshot: RwLock<Arc<Snapshot>>,
    synonyms: RwLock<Arc<Synonyms>>,
    state: watch::Sender<SearchState>,
    /// How far the changes of words are in the index.
    indexed: watch::Sender<Position>,
    /// The newest change of words in the view.
    changed_at: AtomicU64,
    /// Since when a change of words waits; none: none waits.
    behind_since: Mutex<Option<Instant>>,
    signal: Mutex<Signal>,
    signalled: Condvar,
}

/// Keeps the search going until it is dropped.
pub struct SearchRun {
    inner: Arc<Inner>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for SearchRun {
    fn drop(&mut self) {
        self.inner.signal(|signal| signal.is_over = true);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the search ended badly; it goes on from its last commit at the next start");
        }
    }
}

/// Looks for listings.
#[derive(Clone, Copy)]
pub struct Search<'a> {
    views: &'a Projections,
    inner: &'a Arc<Inner>,
}

impl Projections {
    /// Begins to follow the view of listings with an index at `dir`, which is made if there is none. Reads the disk.
    pub fn start_search(&self, dir: &Path) -> Result<SearchRun, SearchError> {
        let views = &self.inner;
        let (generation, head) = {
            let live = views.store.slot(ViewName::Listings).read();
            (live.number, live.head)
        };
        let Opened { writer, reader, labels, checkpoint } = index::open(dir, generation, head)?;
        let indexed = checkpoint.map_or(0, |checkpoint| checkpoint.indexed);
        let inner = Arc::new(Inner {
            columns: Columns::default(),
            labels,
            snapshot: RwLock::default(),
            synonyms: RwLock::default(),
            state: watch::Sender::new(SearchState::Filling),
            indexed: watch::Sender::new(indexed),
            changed_at: AtomicU64::new(indexed),
            behind_since: Mutex::new(None),
            signal: Mutex::default(),
            signalled: Condvar::new(),
        });
        views.search.set(Arc::clone(&inner)).map_err(|_| SearchError::AlreadyRunning)?;
        let follower = Follower {
            views: Arc::clone(views),
            inner: Arc::clone(&inner),
            writer,
            reader,
            generation,
            indexed,
        };
        let thread = std::thread::Builder::new().name("search".to_owned()).spawn(move || follower.run());
        let thread = thread.map_err(tantivy::TantivyError::from)?;
        Ok(SearchRun { inner, thread: Some(thread) })
    }

    /// Notes why there is no search, for whoever asks how the views are.
    pub fn search_failed(&self, why: &SearchError) {
        // The first reason is the one that says most.
        let _ = self.inner.search_failure.set(why.to_string());
    }

    /// Tells why there is no search; none: there is one, or none was to be.
    pub fn search_failure(&self) -> Option<&str> {
        self.inner.search_failure.get().map(String::as_str)
    }

    /// Looks for listings; none: this process does not.
    pub fn search(&self) -> Option<Search<'_>> {
        self.inner.search.get().map(|inner| Search { views: self, inner })
    }
}

impl Search<'_> {
    /// Tells whether listings can be looked for, and whenever that changes.
    pub fn state(&self) -> watch::Receiver<SearchState> {
        self.inner.state.subscribe()
    }

    /// Tells for how long the oldest change of words has waited that is not in the index yet.
    pub fn behind(&self) -> Duration {
        let since = self.inner.behind_since.lock().unwrap_or_else(PoisonError::into_inner);
        since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Waits until words are found that changed up to `min_position`, which the views have read already, at most `timeout`.
    pub async fn wait_for(&self, min_position: Position, timeout: Duration) -> Result<(), TooFarBehind> {
        let newest = self.inner.changed_at.load(std::sync::atomic::Ordering::Acquire);
        let wanted = min_position.min(newest);
        let mut indexed = self.inner.indexed.subscribe();
        if *indexed.borrow() < wanted {
            self.inner.signal(|signal| signal.is_wanted = true);
        }
        match tokio::time::timeout(timeout, indexed.wait_for(|indexed| *indexed >= wanted)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => {
                Err(TooFarBehind { wanted: min_position, applied: *self.inner.indexed.borrow() })
            }
        }
    }

    /// Looks for listings. Computes and reads the disk for a short time.
    pub fn find(&self, question: &Question) -> Result<Answer, SearchError> {
        self.check_ready()?;
        let words = check(question)?;
        let after = match question.after {
            None => None,
            Some(cursor) => Some(cursor.place_in(question).ok_or(SearchError::OtherQuestion)?),
        };
        if words.is_empty() && !question.text.trim().is_empty() {
            // Nothing but signs, which nothing is found by.
            let facets = question.facets.then(Facets::default);
            return Ok(Answer { count: 0, hits: Vec::new(), facets, next: None });
        }
        let (snapshot, synonyms) = (self.snapshot(), self.synonyms());
        let Inner { columns, labels, .. } = &**self.inner;
        let (sieve, label_count) = {
            let labels = labels.read().unwrap_or_else(PoisonError::into_inner);
            (Sieve::new(&question.filters, columns, &labels), labels.count())
        };
        let (understood, terms) = understand(&snapshot, &Wanted::all(&words, &synonyms))?;
        let limit = question.limit.clamp(1, HITS_PER_PAGE_MAX);
        let taste = match question.taste() {
            None => Taste::default(),
            Some(account) => Taste::of(account, self.views, self.inner)?,
        };
        let view = columns.view();
        let mut counter = question.facets.then(|| Counter::new(label_count, &view));
        let place = (after, limit + 1);
        let Found { count, best } =
            rank::search((&snapshot, &view), (&sieve, &taste), question, &terms, place, counter.as_mut())?;
        let next = match best.get(limit - 1) {
            Some((place, _)) if best.len() > limit => Some(Cursor::new(question, *place)),
            _ => None,
        };
        let numbers = best.into_iter().take(limit).map(|(_, number)| number);
        let hits = self.show(numbers, &understood)?;
        let facets = counter.map(|counter| counter.tell(columns, labels));
        Ok(Answer { count, hits, facets, next })
    }

    /// Tells what a text that is being typed may become, at most `limit` texts and as many listings. Computes and reads the disk
    /// for a short time.
    pub fn suggest(&self, text: &str, limit: usize) -> Result<Suggestions, SearchError> {
        self.check_ready()?;
        let limit = limit.clamp(1, SUGGESTIONS_MAX);
        let question =
            Question { text: text.to_owned(), sort: Some(Sort::Popular), limit, ..Question::everything() };
        let words = check(&question)?;
        if words.is_empty() {
            return Ok(Suggestions { completions: Vec::new(), listings: Vec::new() });
        }
        let (snapshot, synonyms) = (self.snapshot(), self.synonyms());
        let wanted = Wanted::all(&words, &synonyms);
        let view = self.inner.columns.view();
        let completions = suggest::completions(&snapshot, &view, text, &words, &wanted, limit)?;
        Ok(Suggestions { completions, listings: self.find(&question)?.hits })
    }

    fn check_ready(&self) -> Result<(), SearchError> {
        match *self.inner.state.borrow() {
            SearchState::Filling => Err(SearchError::NotReady),
            SearchState::Running | SearchState::Stopped(_) => Ok(()),
        }
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.inner.snapshot.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn synonyms(&self) -> Arc<Synonyms> {
        Arc::clone(&self.inner.synonyms.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads what is shown from the view: what can't be bought any more is left out.
    fn show(
        &self,
        numbers: impl Iterator<Item = u32>,
        understood: &[Understood<'_>],
    ) -> Result<Vec<Hit>, SearchError> {
        let live = self.views.inner.store.slot(ViewName::Listings).ask()?;
        let mut hits = Vec::with_capacity(HITS_PER_PAGE_MAX);
        for number in numbers {
            let Some(listing) = self.inner.columns.listing(number) else { continue };
            let Some(offer) = ROWS.offer(&live.tree, listing)? else { continue };
            if offer.listing.status() != ListingStatus::Active || offer.is_seller_suspended {
                continue;
            }
            let marked = (!understood.is_empty()).then(|| Marked {
                title: marking::marked(&offer.listing.title, understood),
                description: (offer.words.description.as_deref())
                    .and_then(|description| marking::excerpt(description, understood)),
            });
            hits.push(Hit { offer, marked });
        }
        Ok(hits)
    }
}

/// Checks a question's bounds, and gives its words.
fn check(question: &Question) -> Result<Vec<text::Word>, SearchError> {
    let letters = question.text.chars().count();
    if letters > TEXT_LENGTH_MAX {
        return Err(SearchError::TooMuch {
            rule: format!("a text has at most {TEXT_LENGTH_MAX} characters"),
        });
    }
    let words = text::words(&question.text);
    if words.len() > WORDS_MAX {
        return Err(SearchError::TooMuch { rule: format!("a text has at most {WORDS_MAX} words") });
    }
    let Filters { attributes, currency, price_min, price_max, .. } = &question.filters;
    if attributes.len() > ATTRIBUTE_FILTERS_MAX {
        let rule = format!("at most {ATTRIBUTE_FILTERS_MAX} attributes are filtered by");
        return Err(SearchError::TooMuch { rule });
    }
    let is_priced = price_min.is_some()
        || price_max.is_some()
        || matches!(question.sort(), Sort::Price | Sort::PriceDesc);
    if is_priced && currency.is_none() {
        return Err(SearchError::NoCurrency);
    }
    Ok(words)
}
