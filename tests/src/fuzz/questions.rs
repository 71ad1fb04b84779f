//! What is asked for in a URL's query: moments of the log, and searches.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use engine::log::EventLog;
use engine::log::memory::MemoryLog;
use events::commit::Seal;
use events::ids::{AccountId, CommitId, ListingId, WriterId};
use events::listing::{Created, StockReceived};
use events::metadata::Cause;
use events::search::Described;
use events::{Commit, Event, Head, Money, Quantity, Timestamp};
use futures::executor::block_on;
use gateway::reading::{self, AsOf};
use projections::Projections;
use projections::search::{Answer, Filters, Hit, Question, SearchError, SearchRun, SearchState, Sort};
use serde_json::json;
use tempfile::TempDir;
use uuid::Uuid;

use crate::log_contract::market;

const BEGUN_MS: i64 = 1_753_783_200_000;
/// Longest filters in JSON that the seed's search looks at, in bytes.
const FILTERS_LENGTH_MAX: usize = 4096;

/// A log whose commits share their times in part, as they do under load.
struct Timed {
    log: MemoryLog,
    commits: Vec<Arc<Commit>>,
}

static TIMED: LazyLock<Timed> = LazyLock::new(|| {
    let log = MemoryLog::new();
    let mut commits: Vec<Arc<Commit>> = Vec::new();
    for n in 0..40u64 {
        let head = commits.last().map_or(Head::EMPTY, |commit| commit.head());
        let time = Timestamp::from_ms(BEGUN_MS + (n / 3 * 1_000) as i64);
        let count = 1 + n % 4;
        commits.push(sealed(head, time, (0..count).map(|at| registered(head.position + at)).collect()));
    }
    let appended = block_on(log.append(Head::EMPTY, &commits));
    appended.expect("an empty log takes them");
    Timed { log, commits }
});

fn registered(n: u64) -> Event {
    let account = AccountId::from_uuid(Uuid::from_u128(u128::from(n) + 1));
    events::account::Registered { account, roles: [events::account::Role::Buyer].into() }.into()
}

fn sealed(head: Head, time: Timestamp, events: Vec<Event>) -> Arc<Commit> {
    let writer = WriterId::from_uuid(Uuid::from_u128(9));
    let id = CommitId::derive(writer, head.position + 1, time);
    let cause = Cause::Writer(writer);
    Arc::new(Commit::seal(head, Seal { id, market: market(), time, cause, traceparent: None }, events))
}

/// By the first byte the rest is a query, or what stands in one behind `as_of=`. Digits are a position and nothing else is; a time of
/// RFC 3339 is that time. The past that is found holds what going through the whole log finds.
pub(super) fn as_of(input: &[u8]) {
    let Some((how, rest)) = input.split_first() else { return };
    let text = String::from_utf8_lossy(rest);
    let query = if how & 1 == 0 { text.clone().into_owned() } else { format!("as_of={}", encoded(&text)) };
    let read = reading::as_of(&query);
    if how & 1 == 1 {
        let is_position = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse::<u64>().ok().filter(|_| is_position) {
            Some(position) => assert_eq!(read, Ok(Some(AsOf::Position(position)))),
            None => assert!(!matches!(read, Ok(Some(AsOf::Position(_)))), "{text:?} is no position"),
        }
        if let Some(ms) = rfc_3339(&text) {
            assert_eq!(read, Ok(Some(AsOf::Time(Timestamp::from_ms(ms)))), "{text:?} is that time");
        }
    }
    let Ok(Some(as_of)) = read else { return };
    if let AsOf::Time(time) = as_of {
        assert_eq!(Timestamp::parse_rfc3339(&time.to_string()), Ok(time), "it is read as it is shown");
    }
    let Timed { log, commits } = &*TIMED;
    let is_past = |commit: &Arc<Commit>| match as_of {
        AsOf::Position(position) => commit.head().position <= position,
        AsOf::Time(time) => commit.time() <= time,
    };
    let expected =
        commits.iter().rev().find(|commit| is_past(commit)).map_or(0, |commit| commit.head().position);
    let head = commits.last().map_or(0, |commit| commit.head().position);
    let found = block_on(reading::end_of_past(log, as_of));
    match as_of {
        AsOf::Position(position) if position > head => assert!(found.is_err(), "it has not been yet"),
        _ => assert_eq!(found, Ok(expected)),
    }
}

/// Writes a value into a query: everything but letters and digits by their bytes.
fn encoded(value: &str) -> String {
    let of = |byte: u8| match byte.is_ascii_alphanumeric() {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    value.bytes().map(of).collect()
}

/// Reads a time that is written as RFC 3339 has it, without leap seconds; in milliseconds since 1970, what is smaller left out.
fn rfc_3339(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let number = |from: usize, length: usize| -> Option<i64> {
        let digits = text.get(from..from + length)?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
    };
    let is = |at: usize, sign: u8| bytes.get(at) == Some(&sign);
    if !(is(4, b'-') && is(7, b'-') && is(10, b'T') && is(13, b':') && is(16, b':')) {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 2)?, number(8, 2)?);
    let (hour, minute, second) = (number(11, 2)?, number(14, 2)?, number(17, 2)?);
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = [31, 28 + i64::from(is_leap), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let in_month = *days.get(usize::try_from(month - 1).ok()?)?;
    if !(1970..=9998).contains(&year)
        || !(1..=in_month).contains(&day)
        || hour > 23
        || minute > 59
        || second > 59
    {
        return None;
    }
    let fraction: String = if is(19, b'.') {
        text.get(20..)?.chars().take_while(char::is_ascii_digit).collect()
    } else {
        String::new()
    };
    let at = match fraction.len() {
        0 if is(19, b'.') => return None,
        0 => 19,
        // Nanoseconds are as much as the market's parser reads.
        length @ 1..=9 => 20 + length,
        _ => return None,
    };
    let offset = match (bytes.get(at)?, text.len() - at) {
        (b'Z', 1) => 0,
        (sign @ (b'+' | b'-'), 6) if is(at + 3, b':') => {
            let (hours, minutes) = (number(at + 1, 2)?, number(at + 4, 2)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            if *sign == b'+' { hours * 60 + minutes } else { -(hours * 60 + minutes) }
        }
        _ => return None,
    };
    // Days since 1970: those of whole years, of whole months, and of this one.
    let leaps = |before: i64| before / 4 - before / 100 + before / 400;
    let years = 365 * (year - 1970) + leaps(year - 1) - leaps(1969);
    let months: i64 = days.iter().take(month as usize - 1).sum();
    let seconds = ((years + months + day - 1) * 24 + hour) * 3_600 + minute * 60 + second - offset * 60;
    let millis: i64 = format!("{:0<3}", fraction.get(..fraction.len().min(3))?).parse().ok()?;
    // Before 1970 what is smaller than a millisecond is left out the other way.
    (seconds >= 0).then_some(seconds * 1_000 + millis)
}

/// Positions, times in all their spellings, and queries around them.
pub(super) fn as_of_seeds() -> Vec<Vec<u8>> {
    let values = [
        "1",
        "17",
        "99999999999999999999",
        "0",
        "2025-07-29T10:00:00Z",
        "2025-07-29T10:00:05.5Z",
        "2025-07-29T12:00:03.123456789+02:00",
        "2025-02-29T00:00:00Z",
        "2024-02-29T23:59:60Z",
        "1969-12-31T23:59:59.9995Z",
        "2025-07-29 10:00:04Z",
        "2025-07-29T10:00:00+02:00[Europe/Berlin]",
        "yesterday",
    ];
    let queries =
        ["as_of=17", "as_of=2025-07-29T10%3A00%3A00Z&min_position=1", "as_of=1&as_of=2", "", "as_of=%ff"];
    let values = values.map(|value| [&[1], value.as_bytes()].concat());
    values.into_iter().chain(queries.map(|query| [&[0], query.as_bytes()].concat())).collect()
}

/// Listings that are looked for.
struct Looked {
    views: Projections,
    /// All of them.
    everything: Vec<Hit>,
    _run: SearchRun,
    _dir: TempDir,
}

static LOOKED: LazyLock<Looked> = LazyLock::new(|| {
    let dir = tempfile::tempdir().expect("a folder can be made");
    let views = Projections::open(&dir.path().join("views")).expect("an empty folder takes views");
    let run = views.start_search(&dir.path().join("search")).expect("an empty folder takes an index");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime can be built");
    let everything = runtime.block_on(async {
        let commits = offers();
        let head = commits.last().map_or(0, |commit| commit.head().position);
        let commits = futures::stream::iter(commits.into_iter().map(Ok::<_, std::convert::Infallible>));
        views.run(commits, std::future::pending()).await.expect("the views take them");
        let search = views.search().expect("it was started");
        let mut state = search.state();
        let _ = state.wait_for(|state| *state == SearchState::Running).await.expect("it runs");
        search.wait_for(head, Duration::from_secs(60)).await.expect("it has read them");
        search.find(&Question::everything()).expect("everything can be asked for").hits
    });
    Looked { views, everything, _run: run, _dir: dir }
});

fn seller(n: u64) -> AccountId {
    AccountId::from_uuid(Uuid::from_u64_pair(0x0190_b5a0_7c00_7000, 0x8000_0000_0000_0000 | n))
}

/// Listings with words, signs of HTML, accents and signs of scripts without spaces; in two currencies, categories, with tags and
/// attributes; some without stock.
fn offers() -> Vec<Arc<Commit>> {
    let titles = [
        "Green tea, 100 g",
        "Teapot of cast iron",
        "Café au lait bowl",
        "<b>Bowl</b> & \"tea\" 'set'",
        "抹茶 whisk",
        "Straßenkarte Berlin",
        "Iron kettle",
        "Green bowl",
        "Tea tea tea",
        "Kettle",
    ];
    let mut commits: Vec<Arc<Commit>> = Vec::new();
    for (n, title) in titles.into_iter().enumerate() {
        let n = n as u64;
        let listing = ListingId::from_uuid(Uuid::from_u64_pair(0x1157, n));
        let currency = if n % 4 == 3 { "EUR" } else { "USD" }.parse().expect("it is a currency");
        let price = Money::new(100 * (n as i64 % 5 + 1), currency);
        let mut events: Vec<Event> =
            vec![Created::new(listing, price, seller(n % 2), title.to_owned()).into()];
        if n % 3 != 2 {
            let quantity = Quantity::new(5).expect("it is above zero");
            events.push(StockReceived { listing, location: None, on_hand: 5, quantity }.into());
        }
        let category = ["drinks/tea", "drinks", "home/kitchen"][n as usize % 3];
        let tags: BTreeSet<String> =
            if n.is_multiple_of(2) { ["green".to_owned()].into() } else { BTreeSet::new() };
        let attributes: BTreeMap<String, String> =
            [("colour".to_owned(), ["red", "blue"][n as usize % 2].to_owned())].into();
        let category = Some(category.parse().expect("it is a category"));
        let description = (n % 2 == 1).then(|| format!("For green tea & <i>more</i>, number {n}"));
        events.push(Described { attributes, category, description, listing, tags }.into());
        let head = commits.last().map_or(Head::EMPTY, |commit| commit.head());
        commits.push(sealed(head, Timestamp::from_ms(BEGUN_MS + n as i64), events));
    }
    commits
}

/// By the first byte the rest is a query of `GET /v1/search`, or of the seed's search. What is read is asked again in another spelling
/// and is the same question; what is found is what was asked for, in the order that was asked for, each once over all pages, and nothing
/// of a listing is markup.
pub(super) fn search(input: &[u8]) {
    let Some((how, rest)) = input.split_first() else { return };
    let query = String::from_utf8_lossy(rest);
    let read = if how & 1 == 0 { reading::search(&query) } else { reading::marketplace_search(&query) };
    let Ok(question) = read else { return };
    assert_eq!(reading::search(&asked(&question)), Ok(question.clone()), "in the other spelling");
    // Written as JSON with escapes, filters may be longer than the seed's clients may send them.
    let filters = json!(question.filters).to_string();
    if filters.len() <= FILTERS_LENGTH_MAX {
        let first = Question { after: None, ..question.clone() };
        let as_seed = asked_as_seed(&first, &filters);
        assert_eq!(reading::marketplace_search(&as_seed), Ok(first), "in the seed's spelling");
    }
    let search = LOOKED.views.search().expect("it was started");
    let mut page = match search.find(&question) {
        Ok(page) => page,
        Err(SearchError::TooMuch { .. } | SearchError::NoCurrency) => return,
        Err(SearchError::OtherQuestion) => {
            assert!(question.after.is_some(), "a first page is of every question");
            return;
        }
        Err(other) => panic!("{other}"),
    };
    let (mut found, mut pages) = (Vec::new(), 0);
    loop {
        check_page(&question, &page);
        found.extend(page.hits.iter().map(|hit| hit.offer.listing.listing));
        pages += 1;
        assert!(pages <= 10, "each page has something");
        let Some(next) = page.next else { break };
        let next = Question { after: Some(next), ..question.clone() };
        let count = page.count;
        page = search.find(&next).expect("the next page is of the same question");
        assert_eq!(page.count, count, "as many match as before");
    }
    let once: BTreeSet<_> = found.iter().collect();
    assert_eq!(once.len(), found.len(), "each is shown once");
    if question.after.is_none() {
        assert_eq!(found.len() as u64, page.count, "all that match are shown");
    }
    if question.after.is_none() && question.text.trim().is_empty() {
        let expected = LOOKED.everything.iter().filter(|hit| is_asked_for(&question.filters, hit)).count();
        assert_eq!(found.len(), expected, "all that is asked for is found");
    }
}

fn check_page(question: &Question, page: &Answer) {
    assert!(page.hits.len() <= question.limit);
    assert_eq!(page.facets.is_some(), question.facets);
    for hit in &page.hits {
        assert!(is_asked_for(&question.filters, hit), "{hit:?} was not asked for");
        if let Some(marked) = &hit.marked {
            assert_eq!(plain(&marked.title), hit.offer.listing.title, "what is marked is the title");
            let description = hit.offer.words.description.as_deref().unwrap_or_default();
            let part = marked.description.as_deref().map(plain).unwrap_or_default();
            let part = part.trim_start_matches("… ").trim_end_matches(" …");
            assert!(description.contains(part), "what is marked is a part of the description");
        }
    }
    let prices: Vec<i64> = page.hits.iter().map(|hit| hit.offer.listing.price.minor).collect();
    match question.sort {
        Some(Sort::Price) => assert!(prices.is_sorted()),
        Some(Sort::PriceDesc) => assert!(prices.iter().rev().is_sorted()),
        _ => {}
    }
}

fn is_asked_for(filters: &Filters, hit: &Hit) -> bool {
    let Filters { seller, category, tag, attributes, currency, price_min, price_max, in_stock } = filters;
    let (listing, words) = (&hit.offer.listing, &hit.offer.words);
    let is_within = |wide: &str| {
        words.category.as_ref().is_some_and(|narrow| {
            narrow.as_str() == wide
                || narrow.as_str().strip_prefix(wide).is_some_and(|rest| rest.starts_with('/'))
        })
    };
    seller.is_none_or(|seller| listing.seller == seller)
        && category.as_ref().is_none_or(|category| is_within(category.as_str()))
        && tag.as_ref().is_none_or(|tag| words.tags.contains(tag))
        && attributes.iter().all(|(name, value)| words.attributes.get(name) == Some(value))
        && currency.is_none_or(|currency| listing.price.currency == currency)
        && price_min.is_none_or(|least| listing.price.minor >= least)
        && price_max.is_none_or(|most| listing.price.minor <= most)
        && (!in_stock || listing.stock.available() > 0)
}

/// Takes the marks out of HTML, and reads what is left of it.
fn plain(html: &str) -> String {
    let text = html.replace("<mark>", "").replace("</mark>", "");
    assert!(!text.contains(['<', '>', '"', '\'']), "nothing but marks is markup: {html}");
    let signs = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")];
    signs.into_iter().fold(text, |text, (escaped, sign)| text.replace(escaped, sign))
}

/// Writes a question as a query of `GET /v1/search`.
fn asked(question: &Question) -> String {
    let Question { text, filters, sort, after, limit, taste_of: _, facets } = question;
    let Filters { seller, category, tag, attributes, currency, price_min, price_max, in_stock } = filters;
    let mut pairs = vec![("q".to_owned(), text.clone()), ("limit".to_owned(), limit.to_string())];
    let mut add =
        |name: &str, value: Option<String>| pairs.extend(value.map(|value| (name.to_owned(), value)));
    add("facets", Some(facets.to_string()));
    add("in_stock", Some(in_stock.to_string()));
    add("seller", seller.map(|seller| seller.to_string()));
    add("category", category.as_ref().map(|category| category.to_string()));
    add("tag", tag.clone());
    add("currency", currency.map(|currency| currency.to_string()));
    add("price_min", price_min.map(|minor| minor.to_string()));
    add("price_max", price_max.map(|minor| minor.to_string()));
    add("sort", sort.map(word));
    add("cursor", after.map(|cursor| URL_SAFE_NO_PAD.encode(cursor.to_bytes())));
    for (name, value) in attributes {
        add(&format!("attribute[{name}]"), Some(value.clone()));
    }
    let written = pairs.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value)));
    written.collect::<Vec<_>>().join("&")
}

fn word(sort: Sort) -> String {
    let word = serde_json::to_value(sort).expect("it is a word");
    word.as_str().expect("it is a word").to_owned()
}

/// Writes a question for a first page as the seed's clients do, its filters in one parameter.
fn asked_as_seed(question: &Question, filters: &str) -> String {
    let filters = encoded(filters);
    let (text, limit, facets) = (encoded(&question.text), question.limit, question.facets);
    let sort = question.sort.map(|sort| format!("&sort={}", word(sort))).unwrap_or_default();
    format!("query={text}&filters={filters}&limit={limit}&facets={facets}{sort}")
}

/// Questions of each kind.
pub(super) fn search_seeds() -> Vec<Vec<u8>> {
    let id = seller(1);
    let queries = [
        "q=tea".to_owned(),
        "q=green+te&limit=1&facets=true".to_owned(),
        "q=%E6%8A%B9%E8%8C%B6".to_owned(),
        "q=%3Cb%3Ebowl".to_owned(),
        "limit=2&sort=newest".to_owned(),
        "currency=USD&sort=price&price_min=100&price_max=300&in_stock=true".to_owned(),
        "currency=EUR&sort=price_desc&limit=1".to_owned(),
        "category=drinks&tag=green&sort=popular".to_owned(),
        format!("seller={id}&attribute%5Bcolour%5D=blue&personal=false"),
        "q=tee&sort=relevance&limit=3".to_owned(),
        "q=tea&cursor=AAAAAAAAAAAAAAAAAAAAAAAAAAA".to_owned(),
        "price_min=1".to_owned(),
    ];
    let seed = [
        r#"query=tea&filters={"category":"drinks","in_stock":true}"#,
        r#"filters={"attributes":{"colour":"red"},"currency":"USD","price_max":300}&sort=price"#,
        r#"filters={"tag":"green"}&tag=blue"#,
    ];
    let seed = seed.map(|query| query.replace('"', "%22").replace('{', "%7B").replace('}', "%7D"));
    let queries = queries.iter().map(|query| [&[0], query.as_bytes()].concat());
    queries.chain(seed.iter().map(|query| [&[1], query.as_bytes()].concat())).collect()
}
