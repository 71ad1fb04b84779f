//! What is found by which words, in which order, and how fresh it is.

#![allow(clippy::unwrap_used)] // what a test calls is a test too

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use events::Event;
use events::ids::ListingId;
use events::listing::{Blocked, Created, Paused, Resumed, StockReceived, Unblocked, Updated, Withdrawn};
use events::order::Accepted;
use events::search::{Described, SynonymsSet};
use events::{Money, account::SellerReinstated, account::SellerSuspended};
use projections::search::{Answer, FacetValue, Filters, Question, SearchError, SearchRun, SearchState, Sort};
use projections::{Projections, ViewName};
use support::{History, account, currency, follow, listing, place, units, usd};
use tempfile::TempDir;

/// How long a state may take to come; when it runs out the test has failed.
const TIME_MAX: Duration = Duration::from_secs(20);
const SELLER: u64 = 1;
const OTHER_SELLER: u64 = 2;
const BUYER: u64 = 7;

/// A market whose listings are looked for.
struct Market {
    history: History,
    views: Projections,
    /// Dropped before the folder.
    run: Option<SearchRun>,
    dir: TempDir,
}

fn open(dir: &Path) -> (Projections, SearchRun) {
    let views = Projections::open(&dir.join("views")).unwrap();
    let run = views.start_search(&dir.join("views/search")).unwrap();
    (views, run)
}

impl Market {
    fn new() -> Market {
        let dir = tempfile::tempdir().unwrap();
        let (views, run) = open(dir.path());
        Market { history: History::default(), views, run: Some(run), dir }
    }

    /// Ends the search and the views, and opens what they left on disk.
    async fn reopen(self) -> Market {
        self.reopen_after(|_| ()).await
    }

    async fn reopen_after(self, change: impl FnOnce(&Path)) -> Market {
        let Market { history, views, run, dir } = self;
        drop(run);
        drop(views);
        change(dir.path());
        let (views, run) = open(dir.path());
        Market { history, views, run: Some(run), dir }.followed().await
    }

    fn says(&mut self, seller: u64, event: impl Into<Event>) -> &mut Self {
        self.history.commanded(account(seller), "listing.change", vec![event.into()]);
        self
    }

    fn offers(&mut self, n: u64, title: &str) -> &mut Self {
        self.offers_at(SELLER, n, title, usd(100 * n as i64))
    }

    fn offers_at(&mut self, seller: u64, n: u64, title: &str, price: Money) -> &mut Self {
        self.says(seller, Created::new(listing(n), price, account(seller), title.to_owned()))
    }

    fn receives(&mut self, n: u64, quantity: u32) -> &mut Self {
        let on_hand = u64::from(quantity);
        self.says(
            SELLER,
            StockReceived { listing: listing(n), location: None, on_hand, quantity: units(quantity) },
        )
    }

    fn describes(&mut self, n: u64, change: impl FnOnce(&mut Described)) -> &mut Self {
        let mut described = Described {
            attributes: BTreeMap::new(),
            category: None,
            description: None,
            listing: listing(n),
            tags: BTreeSet::new(),
        };
        change(&mut described);
        self.says(SELLER, described)
    }

    fn updates(&mut self, n: u64, title: Option<&str>, price: Option<Money>) -> &mut Self {
        let updated = Updated {
            final_sale: None,
            limits: None,
            listing: listing(n),
            price,
            restricted: None,
            tax_class: None,
            title: title.map(str::to_owned),
            version: 2,
            release: None,
        };
        self.says(SELLER, updated)
    }

    fn orders(&mut self, order: u64, n: u64) -> &mut Self {
        let lines = [(listing(n), usd(100), 1)];
        let placed =
            place(support::order(order), account(BUYER), account(SELLER), None, &lines, self.history.now);
        self.history.commanded(account(BUYER), "order.place", placed);
        self
    }

    /// Waits until all that happened can be found.
    async fn follows(&mut self) -> &mut Self {
        let head = self.history.head().position;
        follow(&self.views, self.history.after(self.views.checkpoint().position)).await;
        let search = self.views.search().unwrap();
        let mut state = search.state();
        let runs = state.wait_for(|state| *state != SearchState::Filling);
        tokio::time::timeout(TIME_MAX, runs).await.unwrap().unwrap();
        search.wait_for(head, TIME_MAX).await.unwrap();
        self
    }

    async fn followed(mut self) -> Market {
        self.follows().await;
        self
    }

    fn ask(&self, question: &Question) -> Answer {
        self.views.search().unwrap().find(question).unwrap()
    }

    fn find(&self, text: &str) -> Vec<u64> {
        numbers(&self.ask(&words(text)))
    }

    fn filter(&self, filters: Filters) -> Vec<u64> {
        numbers(&self.ask(&Question { filters, ..Question::everything() }))
    }
}

fn words(text: &str) -> Question {
    Question { text: text.to_owned(), ..Question::everything() }
}

fn sorted(sort: Sort) -> Question {
    let filters = Filters { currency: Some(currency("USD")), ..Filters::default() };
    Question { filters, sort: Some(sort), ..Question::everything() }
}

fn number(id: ListingId) -> u64 {
    id.uuid().as_u64_pair().1
}

fn numbers(answer: &Answer) -> Vec<u64> {
    answer.hits.iter().map(|hit| number(hit.offer.listing.listing)).collect()
}

#[tokio::test]
async fn words_are_found_in_every_form_the_last_from_its_beginning_and_misspelled_ones_by_what_is_near() {
    let mut market = Market::new();
    market
        .offers(1, "Café au lait bowl")
        .offers(2, "Green tea, 100 g")
        .offers(3, "Teapot of cast iron")
        .offers(4, "Straßenkarte Berlin")
        .offers(5, "抹茶 whisk")
        .describes(5, |said| said.description = Some("For green powder".to_owned()))
        .follows()
        .await;
    for (text, expected) in [
        ("cafe", vec![1]),
        ("CAFÉ Bowl", vec![1]),
        ("strasse", vec![4]),
        ("tea", vec![2, 3]),
        ("t", vec![3, 2]),
        ("te gre", vec![]),
        ("gre", vec![2]),
        ("green", vec![2, 5]),
        ("powder", vec![5]),
        ("茶", vec![5]),
        // One letter away, as many letters as three may not be.
        ("gren tea", vec![2]),
        ("grene", vec![2, 5]),
        ("bolw", vec![1]),
        ("tae", vec![]),
        // Two, of a long word; and the beginning of one.
        ("strasenkrate", vec![4]),
        ("strasenk", vec![4]),
        ("xxxxxxxx", vec![]),
        ("tea iron", vec![]),
        ("iron teapot", vec![3]),
        ("!?", vec![]),
    ] {
        assert_eq!(market.find(text), expected, "{text}");
    }
    assert_eq!(market.find("").len(), 5);
}

#[tokio::test]
async fn what_fits_better_is_first_and_then_what_is_ordered_more() {
    let mut market = Market::new();
    market
        .offers(1, "Lamp oil")
        .offers(2, "A book")
        .describes(2, |said| said.description = Some("The history of the lamp".to_owned()))
        .offers(3, "Lamp")
        .offers(4, "Lampshade")
        .offers(5, "Lamp oil")
        .follows()
        .await;
    assert_eq!(market.find("lamp"), [3, 5, 1, 4, 2]);
    for order in 0..4 {
        market.orders(order, 1);
    }
    market.follows().await;
    assert_eq!(market.find("lamp"), [3, 1, 5, 4, 2]);
    assert_eq!(numbers(&market.ask(&sorted(Sort::Popular))), [1, 5, 4, 3, 2]);
}

#[tokio::test]
async fn price_and_stock_are_those_of_now_whatever_the_index_holds() {
    let mut market = Market::new();
    market.offers(1, "Tea").offers(2, "Tea").offers(3, "Tea").receives(2, 4).follows().await;
    let in_stock = Filters { in_stock: true, ..Filters::default() };
    assert_eq!(market.filter(in_stock.clone()), [2]);
    assert_eq!(numbers(&market.ask(&sorted(Sort::Price))), [1, 2, 3]);
    market.updates(1, None, Some(usd(900))).receives(3, 1).orders(1, 2);
    market.follows().await;
    let answer = market.ask(&sorted(Sort::Price));
    let prices: Vec<_> = answer.hits.iter().map(|hit| hit.offer.listing.price.minor).collect();
    assert_eq!((numbers(&answer), prices), (vec![2, 3, 1], vec![200, 300, 900]));
    assert_eq!(numbers(&market.ask(&sorted(Sort::PriceDesc))), [1, 3, 2]);
    assert_eq!(market.filter(in_stock), [3, 2]);
    let left: Vec<_> = answer.hits.iter().map(|hit| hit.offer.listing.stock.available()).collect();
    assert_eq!(left, [3, 1, 0]);
}

#[tokio::test]
async fn what_can_not_be_bought_is_never_shown() {
    let mut market = Market::new();
    market.offers(1, "Tea").offers(2, "Tea").offers(3, "Tea").offers_at(OTHER_SELLER, 4, "Tea", usd(1));
    market.follows().await;
    assert_eq!(market.find("tea"), [4, 3, 2, 1]);
    let reason = "why".to_owned();
    let blocked = Blocked { listing: listing(2), reason: reason.clone(), seller: account(SELLER) };
    market.says(SELLER, Paused { listing: listing(1) }).says(9, blocked);
    market.says(SELLER, Withdrawn { listing: listing(3) });
    market
        .says(9, SellerSuspended { account: account(OTHER_SELLER), reason: reason.clone() })
        .follows()
        .await;
    assert_eq!(market.find("tea"), [0; 0]);
    assert_eq!(market.ask(&words("tea")).count, 0);
    let unblocked = Unblocked { listing: listing(2), reason: reason.clone(), seller: account(SELLER) };
    market.says(SELLER, Resumed { listing: listing(1) }).says(9, unblocked);
    market.says(9, SellerReinstated { account: account(OTHER_SELLER), reason }).follows().await;
    assert_eq!(market.find("tea"), [4, 2, 1]);
}

#[tokio::test]
async fn filters_hold_for_every_result() {
    let mut market = Market::new();
    let euro = Money::new(150, currency("EUR"));
    market.offers(1, "Red tea").offers(2, "Red pot").offers_at(OTHER_SELLER, 3, "Red cup", euro);
    let attributes = |colour: &str| BTreeMap::from([("colour".to_owned(), colour.to_owned())]);
    market
        .describes(1, |said| {
            said.category = Some("kitchen/tea".parse().unwrap());
            said.tags = BTreeSet::from(["leaf".to_owned()]);
            said.attributes = attributes("red");
        })
        .describes(2, |said| {
            said.category = Some("kitchen".parse().unwrap());
            said.attributes = attributes("dark red");
        })
        .follows()
        .await;
    let category = |text: &str| Filters { category: Some(text.parse().unwrap()), ..Filters::default() };
    assert_eq!(market.filter(category("kitchen")), [2, 1]);
    assert_eq!(market.filter(category("kitchen/tea")), [1]);
    assert_eq!(market.filter(category("kit")), [0; 0]);
    assert_eq!(market.filter(Filters { tag: Some("leaf".to_owned()), ..Filters::default() }), [1]);
    assert_eq!(market.filter(Filters { attributes: attributes("red"), ..Filters::default() }), [1]);
    assert_eq!(market.filter(Filters { seller: Some(account(OTHER_SELLER)), ..Filters::default() }), [3]);
    assert_eq!(market.filter(Filters { seller: Some(account(99)), ..Filters::default() }), [0; 0]);
    let between = |code: &str, price_min, price_max| Filters {
        currency: Some(currency(code)),
        price_min,
        price_max,
        ..Filters::default()
    };
    assert_eq!(market.filter(between("USD", Some(101), None)), [2]);
    assert_eq!(market.filter(between("USD", Some(100), Some(100))), [1]);
    assert_eq!(market.filter(between("EUR", None, Some(150))), [3]);
    let both = Question { text: "red".into(), filters: category("kitchen"), ..Question::everything() };
    assert_eq!((numbers(&market.ask(&both)), market.ask(&both).count), (vec![2, 1], 2));
    // What is said anew takes the place of what was said before.
    market.describes(1, |said| said.tags = BTreeSet::from(["loose".to_owned()])).follows().await;
    assert_eq!(market.filter(category("kitchen/tea")), [0; 0]);
    assert_eq!(market.filter(Filters { tag: Some("loose".to_owned()), ..Filters::default() }), [1]);
}

#[tokio::test]
async fn pages_hold_each_result_once_while_others_come() {
    let mut market = Market::new();
    for n in 1..=25 {
        market.offers(n, if n % 5 == 0 { "Tea" } else { "Tea of the hills" });
    }
    market.follows().await;
    for question in [words("tea"), Question::everything(), sorted(Sort::PriceDesc)] {
        let all = numbers(&market.ask(&question));
        assert_eq!(all.len(), 25);
        let (mut paged, mut after) = (Vec::new(), None);
        loop {
            let answer = market.ask(&Question { after, limit: 7, ..question.clone() });
            assert_eq!(answer.count, 25);
            paged.extend(numbers(&answer));
            after = answer.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(paged, all);
    }
    let first = market.ask(&Question { limit: 10, ..Question::everything() });
    market.offers(26, "Tea").follows().await;
    let second = market.ask(&Question { limit: 10, after: first.next, ..Question::everything() });
    assert_eq!(numbers(&second), (6..=15).rev().collect::<Vec<_>>());
    let other = Question { after: first.next, ..words("tea") };
    let refused = market.views.search().unwrap().find(&other);
    assert!(matches!(refused, Err(SearchError::OtherQuestion)), "{refused:?}");
}

#[tokio::test]
async fn a_question_has_bounds() {
    let market = Market::new().followed().await;
    let ask = |question: Question| market.views.search().unwrap().find(&question);
    assert!(matches!(ask(words(&"x".repeat(201))), Err(SearchError::TooMuch { .. })));
    assert!(matches!(ask(words("a b c d e f g h i j k")), Err(SearchError::TooMuch { .. })));
    assert!(ask(words("a b c d e f g h i j")).is_ok());
    let by_price = Question { sort: Some(Sort::Price), ..Question::everything() };
    assert!(matches!(ask(by_price), Err(SearchError::NoCurrency)));
    let above = Filters { price_min: Some(1), ..Filters::default() };
    let above = Question { filters: above, ..Question::everything() };
    assert!(matches!(ask(above), Err(SearchError::NoCurrency)));
}

/// Takes a folder away, into which threads that are ending may still write.
fn gone(dir: &Path) {
    std::fs::rename(dir, dir.with_extension(format!("gone-{}", uuid::Uuid::now_v7()))).unwrap();
}

#[tokio::test]
async fn what_is_on_disk_goes_on_and_what_was_deleted_is_made_again() {
    let mut market = Market::new();
    market.offers(1, "Tea").offers(2, "Pot").orders(1, 2).follows().await;
    let mut market = market.reopen().await;
    assert_eq!(market.find("tea"), [1]);
    assert_eq!(numbers(&market.ask(&sorted(Sort::Popular))), [2, 1]);
    market.updates(1, Some("Coffee"), None).offers(3, "Tea").follows().await;
    assert_eq!((market.find("tea"), market.find("coffee")), (vec![3], vec![1]));
    let market = market.reopen_after(|dir| gone(&dir.join("views/search"))).await;
    assert_eq!((market.find("tea"), market.find("coffee")), (vec![3], vec![1]));
    let market = market.reopen_after(|dir| gone(&dir.join("views"))).await;
    assert_eq!((market.find("tea"), market.find("coffee")), (vec![3], vec![1]));
    // An index that is ahead of the views, as after a crash that the views' last writes did not survive.
    let kept = tempfile::tempdir().unwrap();
    let copy = |from: &Path, to: &Path| {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    };
    let mut market = market.reopen().await;
    market.updates(3, Some("Cocoa"), None).follows().await;
    let ahead = market.reopen_after(|dir| copy(&dir.join("views/search"), kept.path())).await;
    let behind = ahead.reopen_after(|dir| {
        gone(&dir.join("views"));
        copy(kept.path(), &dir.join("views/search"));
    });
    let market = behind.await;
    assert_eq!((market.find("tea"), market.find("cocoa")), (vec![], vec![3]));
}

#[tokio::test]
async fn a_view_that_is_built_again_is_followed_again() {
    let mut market = Market::new();
    market.offers(1, "Tea").follows().await;
    let log = market.history.all();
    market.views.rebuild(&[ViewName::Listings], log).await.unwrap();
    market.offers(2, "Tea").follows().await;
    assert_eq!(market.find("tea"), [2, 1]);
    let market = market.reopen().await;
    assert_eq!(market.find("tea"), [2, 1]);
}

fn counts(values: &[FacetValue<String>]) -> Vec<(&str, u64)> {
    values.iter().map(|value| (value.value.as_str(), value.count)).collect()
}

#[tokio::test]
async fn facets_tell_what_each_further_filter_would_leave_and_what_else_could_be_chosen() {
    let mut market = Market::new();
    for (n, colour, size) in [(1, "red", "S"), (2, "red", "L"), (3, "green", "L"), (4, "blue", "S")] {
        market.offers(n, "Shirt").receives(n, 1).describes(n, |said| {
            said.attributes = BTreeMap::from([
                ("colour".to_owned(), colour.to_owned()),
                ("size".to_owned(), size.to_owned()),
            ]);
            said.category = Some(if n == 4 { "sale/shirts" } else { "shirts" }.parse().unwrap());
        });
    }
    market.offers_at(OTHER_SELLER, 5, "Shirt", usd(1)).offers(6, "Hat").follows().await;
    let ask = |filters: Filters| {
        let question = Question { text: "shirt".into(), filters, facets: true, ..Question::everything() };
        let answer = market.ask(&question);
        (answer.count, answer.facets.unwrap())
    };
    let (count, facets) = ask(Filters::default());
    assert_eq!(count, 5);
    assert_eq!(counts(&facets.categories), [("shirts", 3), ("sale", 1), ("sale/shirts", 1)]);
    assert_eq!(counts(&facets.attributes["colour"]), [("red", 2), ("blue", 1), ("green", 1)]);
    let sellers: Vec<_> = facets.sellers.iter().map(|seller| (seller.value, seller.count)).collect();
    assert_eq!(sellers, [(account(SELLER), 4), (account(OTHER_SELLER), 1)]);
    let red = BTreeMap::from([("colour".to_owned(), "red".to_owned())]);
    let (count, facets) = ask(Filters { attributes: red.clone(), ..Filters::default() });
    assert_eq!(count, 2);
    // Other colours could be chosen instead; of sizes and categories only those of red shirts are left.
    assert_eq!(counts(&facets.attributes["colour"]), [("red", 2), ("blue", 1), ("green", 1)]);
    assert_eq!(counts(&facets.attributes["size"]), [("L", 1), ("S", 1)]);
    assert_eq!(counts(&facets.categories), [("shirts", 2)]);
    let both = Filters { attributes: red, category: Some("sale".parse().unwrap()), ..Filters::default() };
    let (count, facets) = ask(both);
    assert_eq!((count, counts(&facets.attributes["colour"])), (0, vec![("blue", 1)]));
    assert_eq!(counts(&facets.categories), [("shirts", 2)]);
    assert!(facets.sellers.is_empty(), "two filters are against each of them");
    let cheap = Filters { currency: Some(currency("USD")), price_max: Some(1), ..Filters::default() };
    let (count, facets) = ask(cheap);
    assert_eq!((count, facets.sellers.len(), facets.categories.len()), (1, 1, 0));
    // What else there is to choose is told: the prices of all shirts.
    let prices: Vec<_> = facets.prices.iter().map(|p| (p.count, p.lowest_minor, p.highest_minor)).collect();
    assert_eq!(prices, [(5, 1, 400)]);
    let elsewhere = Filters { seller: Some(account(OTHER_SELLER)), in_stock: true, ..Filters::default() };
    let (count, facets) = ask(elsewhere);
    assert_eq!((count, facets.sellers.len(), facets.attributes.len()), (0, 1, 0));
}

#[tokio::test]
async fn words_that_mean_the_same_find_the_same_until_it_is_said_otherwise() {
    let mut market = Market::new();
    let groups = |words: &[&str]| vec![words.iter().map(|word| (*word).to_owned()).collect::<BTreeSet<_>>()];
    market.offers(1, "Sofa").offers(2, "Leather couch").follows().await;
    assert_eq!(market.find("couch"), [2]);
    market.says(9, SynonymsSet { groups: groups(&["Sofa", "Couch"]) }).follows().await;
    assert_eq!(market.find("couch"), [2, 1]);
    assert_eq!(market.find("sofa"), [1, 2]);
    assert_eq!(market.find("leather sofa"), [2]);
    let marked = |market: &Market, text: &str| {
        let hits = market.ask(&words(text)).hits;
        hits.into_iter().map(|hit| hit.marked.unwrap().title).collect::<Vec<_>>()
    };
    assert_eq!(marked(&market, "sofa"), ["<mark>Sofa</mark>", "Leather <mark>couch</mark>"]);
    assert_eq!(marked(&market, "lether"), ["<mark>Leather</mark> couch"]);
    let mut market = market.reopen().await;
    assert_eq!(market.find("couch"), [2, 1]);
    market.says(9, SynonymsSet { groups: vec![] }).follows().await;
    assert_eq!(market.find("couch"), [2]);
}

#[tokio::test]
async fn what_is_being_typed_is_completed_to_what_can_be_bought() {
    let mut market = Market::new();
    market
        .offers(1, "Green tea")
        .offers(2, "Green teapot")
        .offers(3, "Black tea")
        .offers(4, "Greek teacup")
        .offers(5, "Green tent")
        .says(SELLER, Paused { listing: listing(5) })
        .orders(1, 2)
        .orders(2, 2)
        .orders(3, 1)
        .follows()
        .await;
    let suggest = |text: &str| {
        let found = market.views.search().unwrap().suggest(text, 3).unwrap();
        let texts: Vec<String> = found.completions.into_iter().map(|completion| completion.text).collect();
        let listings: Vec<u64> = found.listings.iter().map(|hit| number(hit.offer.listing.listing)).collect();
        (texts, listings)
    };
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    assert_eq!(suggest("GRE"), (texts(&["green", "greek"]), vec![2, 1, 4]));
    assert_eq!(suggest("green te"), (texts(&["green teapot", "green tea"]), vec![2, 1]));
    assert_eq!(suggest("t"), (texts(&["teapot", "tea", "teacup"]), vec![2, 1, 4]));
    assert_eq!(suggest("xyz"), (texts(&[]), vec![]));
    assert_eq!(suggest(" "), (texts(&[]), vec![]));
}

#[tokio::test]
async fn own_purchases_move_what_fits_about_as_well_and_nothing_else() {
    let mut market = Market::new();
    market
        .offers(1, "Tea strainer")
        .offers(2, "Tea towel")
        .offers_at(OTHER_SELLER, 3, "Tea tray", usd(1))
        .offers_at(OTHER_SELLER, 4, "Teacup", usd(1))
        .offers(5, "Bowl")
        .describes(2, |said| said.category = Some("linen/towels".parse().unwrap()))
        .describes(5, |said| said.category = Some("linen/towels".parse().unwrap()))
        .follows()
        .await;
    let of = |account| Question { taste_of: account, ..words("tea") };
    let buyer = Some(account(BUYER));
    assert_eq!(numbers(&market.ask(&of(buyer))), [3, 2, 1, 4]);
    // A bowl of the first seller, in the category of the towel.
    market.orders(1, 5).follows().await;
    assert_eq!(numbers(&market.ask(&of(buyer))), [2, 1, 3, 4]);
    assert_eq!(numbers(&market.ask(&of(None))), [3, 2, 1, 4]);
    assert_eq!(numbers(&market.ask(&of(Some(account(BUYER + 1))))), [3, 2, 1, 4]);
    let newest = Question { sort: Some(Sort::Newest), ..of(buyer) };
    assert_eq!(numbers(&market.ask(&newest)), [4, 3, 2, 1]);
    let first = market.ask(&Question { limit: 1, ..of(buyer) });
    let anothers = Question { after: first.next, ..of(None) };
    let refused = market.views.search().unwrap().find(&anothers);
    assert!(matches!(refused, Err(SearchError::OtherQuestion)), "{refused:?}");

    // The view of orders stops: nobody's search hangs on what he bought.
    let ship_by = market.history.now;
    market.says(SELLER, Accepted { order: support::order(99), ship_by }).follows().await;
    assert!(market.views.stopped(ViewName::Orders).is_some());
    assert_eq!(numbers(&market.ask(&of(buyer))), [3, 2, 1, 4]);
}
