//! Answers what people look for among the listings.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::State;
use axum::response::IntoResponse;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use events::ids::{AccountId, DeviceId, ListingId};
use events::listing::Variant;
use events::search::Category;
use events::{Currency, Money};
use projections::listing::Offer;
use projections::search::{
    Answer as FoundAnswer, Cursor, FacetValue, Facets as FoundFacets, Filters, HITS_PER_PAGE_MAX,
    Hit as FoundHit, PriceRange as FoundPriceRange, Question, SUGGESTIONS_MAX, Search, SearchError, Sort,
    Suggestions,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use crate::http::App;
use crate::problem::{Problem, SEARCH_BUSY, TOKEN_MISSING};
use crate::query::{Answer, Params, VIEWS_TIME_MAX};
use crate::recommendations::{Recommended, suggested};
use crate::token::Caller;

/// Results of a page unless the query says otherwise.
pub(crate) const HITS_PER_PAGE: usize = 20;
/// Suggestions unless the query says otherwise.
pub(crate) const SUGGESTIONS: usize = 5;
/// Most searches that wait for their turn.
const WAITING_MAX: usize = 64;
/// Longest cursor that is looked at, in bytes.
const CURSOR_LENGTH_MAX: usize = 64;
/// Longest filters in JSON that are looked at, in bytes.
const FILTERS_LENGTH_MAX: usize = 4096;

/// Lets as many searches compute at once as there are cores, and some more wait: they would only slow each other down, and
/// what else the process does.
pub(crate) struct Turns {
    waiting: Semaphore,
    computing: Arc<Semaphore>,
}

impl Turns {
    pub(crate) fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Turns { waiting: Semaphore::new(cores + WAITING_MAX), computing: Arc::new(Semaphore::new(cores)) }
    }

    /// Computes away from the async threads, when it is its turn.
    pub(crate) async fn take<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let busy = |_| Problem::new(&SEARCH_BUSY, "as many searches wait as may: ask again in a moment");
        let _place = self.waiting.try_acquire().map_err(busy)?;
        let turn = Arc::clone(&self.computing).acquire_owned().await;
        // The turn goes with the work, which goes on if nobody waits for it any more.
        let work = move || {
            let _turn = turn;
            work()
        };
        let failed = |_| Problem::unavailable("the search could not be done");
        tokio::task::spawn_blocking(work).await.map_err(failed)
    }
}

/// What was found.
#[derive(Serialize, JsonSchema)]
pub(crate) struct SearchResult {
    /// How many listings match, on this page and all others.
    found: u64,
    /// Those of this page.
    hits: Vec<Hit>,
    /// Give it as `cursor` to get the next page; null: this was the last.
    next_cursor: Option<String>,
    /// What the results can be filtered by further, the most frequent first; null: it was not asked for.
    facets: Option<Facets>,
}

/// What was found, and what else there is.
#[derive(Serialize, JsonSchema)]
pub(crate) struct MarketplaceResult {
    #[serde(flatten)]
    result: SearchResult,
    /// What belongs to what the caller has, and what is ordered of late.
    suggestions: Vec<Recommended>,
}

/// What results can be filtered by further. What is filtered by in a facet does not count against its other values.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "SearchFacets")]
pub(crate) struct Facets {
    /// Categories, each with those within it.
    category: Vec<Count<String>>,
    /// Tags.
    tag: Vec<Count<String>>,
    /// Sellers.
    seller: Vec<Count<AccountId>>,
    /// Values of attributes, by the attribute's name.
    attribute: BTreeMap<String, Vec<Count<String>>>,
    /// What they cost, in each currency.
    price: Vec<PriceRange>,
}

/// What results of one currency cost.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "SearchPriceRange")]
pub(crate) struct PriceRange {
    /// The lowest price.
    lowest: Money,
    /// The highest.
    highest: Money,
    /// How many results are priced in this currency.
    count: u64,
}

impl From<FoundPriceRange> for PriceRange {
    fn from(FoundPriceRange { currency, count, lowest_minor, highest_minor }: FoundPriceRange) -> PriceRange {
        let of = |minor| Money::new(minor, currency);
        PriceRange { lowest: of(lowest_minor), highest: of(highest_minor), count }
    }
}

/// A value, and how many results have it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "SearchCount{T}")]
pub(crate) struct Count<T> {
    /// The value.
    value: T,
    /// How many results.
    count: u64,
}

fn counts<T>(values: Vec<FacetValue<T>>) -> Vec<Count<T>> {
    values.into_iter().map(|FacetValue { value, count }| Count { value, count }).collect()
}

impl From<FoundFacets> for Facets {
    fn from(FoundFacets { categories, tags, sellers, attributes, prices }: FoundFacets) -> Facets {
        Facets {
            category: counts(categories),
            tag: counts(tags),
            seller: counts(sellers),
            attribute: attributes.into_iter().map(|(name, values)| (name, counts(values))).collect(),
            price: prices.into_iter().map(PriceRange::from).collect(),
        }
    }
}

/// A listing that was found.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "SearchHit")]
pub(crate) struct Hit {
    /// The listing.
    listing: ListingId,
    /// Who sells.
    seller: AccountId,
    /// What it is.
    title: String,
    /// Price of one unit, as it is now.
    price: Money,
    /// How many units can be ordered now.
    available: u64,
    /// Whether only accounts that an operator has cleared may buy it.
    restricted: bool,
    /// The listing it is a variant of, and what sets it apart; null: it is no variant.
    variant: Option<Variant>,
    /// Where it belongs; null: nowhere.
    category: Option<Category>,
    /// What there is to tell of it; null: nothing.
    description: Option<String>,
    /// What more there is to tell by name.
    attributes: BTreeMap<String, String>,
    /// Words it is also found by.
    tags: BTreeSet<String>,
    /// The title in HTML with what was looked for between `<mark>` and `</mark>`, everything else escaped; null: no words were.
    title_marked: Option<String>,
    /// The part of the description around the first word that was looked for, in the same way; null: it has none.
    description_marked: Option<String>,
}

impl From<FoundHit> for Hit {
    fn from(FoundHit { offer: Offer { listing, words, .. }, marked }: FoundHit) -> Hit {
        let (title_marked, description_marked) =
            marked.map_or((None, None), |marked| (Some(marked.title), marked.description));
        Hit {
            title_marked,
            description_marked,
            available: listing.stock.available(),
            listing: listing.listing,
            seller: listing.seller,
            title: listing.title,
            price: listing.price,
            restricted: listing.is_restricted,
            variant: listing.variant,
            category: words.category,
            description: words.description,
            attributes: words.attributes,
            tags: words.tags,
        }
    }
}

impl From<SearchError> for Problem {
    fn from(error: SearchError) -> Problem {
        match error {
            SearchError::TooMuch { .. } | SearchError::NoCurrency | SearchError::OtherQuestion => {
                Problem::query_invalid(error.to_string())
            }
            SearchError::NotReady => Problem::unavailable(error.to_string()),
            SearchError::View(error) => error.into(),
            SearchError::Index(_) | SearchError::AlreadyRunning => {
                tracing::error!(error = &error as &dyn std::error::Error, "a search failed");
                Problem::unavailable("the search can't answer now; its operator has been told")
            }
        }
    }
}

/// The parameters that say what is looked for, beside the text and attributes.
const FILTERS: [&str; 12] = [
    "seller",
    "category",
    "tag",
    "currency",
    "price_min",
    "price_max",
    "in_stock",
    "sort",
    "personal",
    "facets",
    "cursor",
    "limit",
];

/// Reads what is looked for.
fn question(
    params: &Params,
    text: Option<&str>,
    filters: Filters,
    caller: Option<&Caller>,
) -> Result<Question, Problem> {
    let category = params.get("category")?.or(filters.category);
    let currency = params.get("currency")?.or(filters.currency);
    let mut attributes = filters.attributes;
    attributes.extend(params.named("attribute"));
    let cursor = params.text("cursor").map(|text| {
        let bytes = if text.len() > CURSOR_LENGTH_MAX { None } else { URL_SAFE_NO_PAD.decode(text).ok() };
        let cursor = bytes.and_then(|bytes| Cursor::from_bytes(&bytes));
        cursor.ok_or_else(|| Problem::query_invalid("`cursor` is not valid: begin at the first page"))
    });
    let is_personal = params.get("personal")?.unwrap_or(true);
    let tag = params.text("tag").map(str::to_owned).or(filters.tag);
    Ok(Question {
        text: text.unwrap_or_default().to_owned(),
        filters: Filters {
            seller: params.get("seller")?.or(filters.seller),
            category,
            tag,
            attributes,
            currency,
            price_min: params.get("price_min")?.or(filters.price_min),
            price_max: params.get("price_max")?.or(filters.price_max),
            in_stock: params.get("in_stock")?.unwrap_or(filters.in_stock),
        },
        sort: params.word::<Sort>("sort")?,
        after: cursor.transpose()?,
        limit: params.limit(HITS_PER_PAGE, HITS_PER_PAGE_MAX)?,
        taste_of: caller.filter(|_| is_personal).map(|caller| caller.account),
        facets: params.get("facets")?.unwrap_or(false),
    })
}

/// Asks the search when it has come to the position that is asked for, and answers with the position that was read at least.
async fn ask<T: Send + 'static>(
    app: &Arc<App>,
    params: &Params,
    question: impl FnOnce(&Search<'_>) -> Result<T, SearchError> + Send + 'static,
) -> Result<Answer<T>, Problem> {
    let not_ready = || Problem::from(SearchError::NotReady);
    let views = app.gateway.projections.clone();
    if let Some(min_position) = params.get("min_position")? {
        views.search().ok_or_else(not_ready)?.wait_for(min_position, VIEWS_TIME_MAX).await?;
    }
    let work = move || {
        let position = *views.applied().borrow();
        let found = question(&views.search().ok_or(SearchError::NotReady)?)?;
        Ok::<_, SearchError>(Answer { position, found })
    };
    Ok(app.searches.take(work).await??)
}

async fn find(app: &Arc<App>, params: &Params, question: Question) -> Result<Answer<SearchResult>, Problem> {
    let found = ask(app, params, move |search| search.find(&question)).await?;
    Ok(found.map(|FoundAnswer { count, hits, facets, next }| SearchResult {
        facets: facets.map(Facets::from),
        found: count,
        hits: hits.into_iter().map(Hit::from).collect(),
        next_cursor: next.map(|cursor| URL_SAFE_NO_PAD.encode(cursor.to_bytes())),
    }))
}

/// What a text that is being typed may become.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "SearchSuggestions")]
pub(crate) struct SuggestionList {
    /// Texts to look for, what is ordered more first.
    completions: Vec<Completion>,
    /// Listings that have the words already, the most often ordered first.
    listings: Vec<Suggested>,
}

/// A text to look for.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "SearchCompletion")]
pub(crate) struct Completion {
    /// The text with its last word completed, that one without case and accents.
    text: String,
    /// How many listings have that word in their title beside the words before it.
    listings: u64,
}

/// A listing that has the words already.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "SearchSuggested")]
pub(crate) struct Suggested {
    /// The listing.
    listing: ListingId,
    /// What it is.
    title: String,
    /// The title in HTML with what was typed between `<mark>` and `</mark>`, everything else escaped.
    title_marked: Option<String>,
}

/// `GET /v1/search/suggest`
pub(crate) async fn suggest(
    _: Option<Caller>,
    params: Params,
    State(app): State<Arc<App>>,
) -> Result<impl IntoResponse, Problem> {
    params.only(&["q", "limit"])?;
    let text = params.text("q").unwrap_or_default().to_owned();
    let limit = params.limit(SUGGESTIONS, SUGGESTIONS_MAX)?;
    let found = ask(&app, &params, move |search| search.suggest(&text, limit)).await?;
    Ok(found.map(|Suggestions { completions, listings }| {
        let completions = completions
            .into_iter()
            .map(|completion| Completion { text: completion.text, listings: completion.listings });
        let listings = listings.into_iter().map(|FoundHit { offer, marked }| Suggested {
            listing: offer.listing.listing,
            title: offer.listing.title,
            title_marked: marked.map(|marked| marked.title),
        });
        SuggestionList { completions: completions.collect(), listings: listings.collect() }
    }))
}

/// `GET /v1/search`
pub(crate) async fn search(
    caller: Option<Caller>,
    params: Params,
    State(app): State<Arc<App>>,
) -> Result<impl IntoResponse, Problem> {
    let question = asked(&params, caller.as_ref())?;
    find(&app, &params, question).await
}

/// Reads what `GET /v1/search` asks for.
pub(crate) fn asked(params: &Params, caller: Option<&Caller>) -> Result<Question, Problem> {
    params.only_and(&[&["q"], FILTERS.as_slice()].concat(), "attribute")?;
    question(params, params.text("q"), Filters::default(), caller)
}

/// Filters as the seed's clients write them, in one parameter.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SeedFilters {
    #[serde(default)]
    attributes: BTreeMap<String, String>,
    category: Option<Category>,
    currency: Option<Currency>,
    #[serde(default)]
    in_stock: bool,
    price_max: Option<i64>,
    price_min: Option<i64>,
    seller: Option<AccountId>,
    tag: Option<String>,
}

/// `GET /api/marketplace/search`
pub(crate) async fn marketplace(
    caller: Option<Caller>,
    params: Params,
    State(app): State<Arc<App>>,
) -> Result<impl IntoResponse, Problem> {
    let question = asked_as_seed(&params, caller.as_ref())?;
    let account = question.taste_of;
    let found = find(&app, &params, question).await?;
    let suggestions = suggested(&app, account).await?;
    Ok(found.map(|result| MarketplaceResult { result, suggestions }))
}

/// Reads what `GET /api/marketplace/search` asks for.
pub(crate) fn asked_as_seed(params: &Params, caller: Option<&Caller>) -> Result<Question, Problem> {
    let own = ["query", "filters", "user_id", "device_id"];
    params.only_and(&[own.as_slice(), FILTERS.as_slice()].concat(), "attribute")?;
    if let Some(user) = params.get::<AccountId>("user_id")? {
        let missing =
            || Problem::new(&TOKEN_MISSING, "`user_id` is told by a token: send one, or leave it out");
        if caller.ok_or_else(missing)?.account != user {
            return Err(Problem::forbidden("`user_id` is another's account"));
        }
    }
    params.get::<DeviceId>("device_id")?;
    let filters = match params.text("filters") {
        None => Filters::default(),
        Some(text) if text.len() > FILTERS_LENGTH_MAX => {
            return Err(Problem::query_invalid(format!("`filters` has at most {FILTERS_LENGTH_MAX} bytes")));
        }
        Some(text) => {
            let invalid = |error| Problem::query_invalid(format!("`filters` is not valid: {error}"));
            let SeedFilters { attributes, category, currency, in_stock, price_max, price_min, seller, tag } =
                serde_json::from_str(text).map_err(invalid)?;
            Filters { attributes, category, currency, in_stock, price_max, price_min, seller, tag }
        }
    };
    question(params, params.text("query"), filters, caller)
}
