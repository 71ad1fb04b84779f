//! The first page in a real Chromium, of a real market in which people trade.

#![allow(clippy::unwrap_used)] // what a test calls is a test too

mod browser;
mod common;

use browser::Browser;
use common::{Cli, Up};

/// Purchases of the history: few, so that the test is fast.
const PURCHASES: &str = "60";

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Runtime::new().unwrap()
}

/// Starts a market in which demo people trade.
fn trading(cli: &Cli) -> Up {
    cli.up(&["--demo", "--demo-purchases", PURCHASES])
}

/// Signs a browser in by the address that `skylink console` prints.
async fn sign_in(cli: &Cli, browser: &Browser, url: &str) {
    let printed = cli.ok(&["console", "--url", url]);
    assert!(printed.starts_with(&format!("{url}/sign-in#")), "{printed}");
    browser.open(printed.trim()).await;
    browser.wait_for("document.querySelector('[data-part=state]')").await;
    let address = browser.run("return location.href").await;
    assert_eq!(address, format!("{url}/"), "the code is nowhere to be seen");
}

/// Starts a browser on a desk that is signed in.
async fn signed_in(cli: &Cli, url: &str) -> Browser {
    let browser = Browser::start(url).await;
    browser.look(1280, false).await;
    sign_in(cli, &browser, url).await;
    browser
}

/// The number in a row of the funnel.
const ORDERS_PLACED: &str = "[...document.querySelectorAll('[data-part=funnel] li')].find(row => row.innerText.includes('Orders placed')).querySelector('strong').innerText";

#[test]
fn the_page_is_usable_in_light_and_dark_on_a_desk_and_on_a_phone() {
    let cli = Cli::new();
    let up = trading(&cli);
    let url = up.url();
    runtime().block_on(async {
        let browser = Browser::start(&url).await;
        for (width, is_dark) in [(1280, false), (360, true)] {
            browser.look(width, is_dark).await;
            browser.open(&url).await;
            assert!(browser.text("main").await.contains("The market takes commands"));
            assert!(!browser.text("body").await.contains("USD"), "nobody has signed in");
            assert_eq!(browser.overflow().await, 0, "at {width}");
            assert_eq!(browser.barriers().await, Vec::<String>::new(), "to who comes, at {width}");
        }
        browser.picture("welcome-360-dark").await;
        sign_in(&cli, &browser, &url).await;
        for (width, is_dark) in [(1280, false), (1280, true), (360, false), (360, true)] {
            browser.look(width, is_dark).await;
            browser.open(&url).await;
            browser.wait_for("document.body.dataset.connection === 'live'").await;
            browser.wait_for("document.querySelectorAll('.plot.drawn canvas').length === 2").await;
            let scheme = if is_dark { "dark" } else { "light" };
            assert_eq!(browser.overflow().await, 0, "at {width}, {scheme}");
            assert_eq!(browser.barriers().await, Vec::<String>::new(), "at {width}, {scheme}");
            browser.picture(&format!("home-{width}-{scheme}")).await;
        }
        browser.open(&format!("{url}/interface")).await;
        assert_eq!(browser.overflow().await, 0, "the interface");
        assert_eq!(browser.barriers().await, Vec::<String>::new(), "in the interface");
        assert_eq!(browser.complaints().await, Vec::<String>::new());
        assert_eq!(browser.foreign_requests().await, Vec::<String>::new());
        browser.close().await;
    });
    assert!(up.interrupt().0.success());
}

#[test]
fn what_happens_is_on_the_page_by_itself_and_a_page_that_hears_nothing_says_so() {
    let cli = Cli::new();
    let up = trading(&cli);
    let url = up.url();
    runtime().block_on(async {
        let browser = signed_in(&cli, &url).await;
        let placed = browser.run(&format!("return {ORDERS_PLACED}")).await;
        let placed = placed.as_str().unwrap();
        browser.wait_for(&format!("{ORDERS_PLACED} !== '{placed}'")).await;

        // Who reads wants it to stand still.
        browser.click("[data-freshness] button").await;
        browser.wait_for("document.body.dataset.connection === 'paused'").await;
        browser.click("[data-freshness] button").await;
        browser.wait_for("document.body.dataset.connection === 'live'").await;

        up.signal("STOP");
        browser.wait_for("document.body.dataset.connection === 'lost'").await;
        let told = browser.text("[data-freshness]").await;
        assert!(told.contains("Connection lost.") && told.contains("as of"), "{told}");
        browser.picture("lost-1280-light").await;
        up.signal("CONT");
        browser.wait_for("document.body.dataset.connection === 'live'").await;

        browser.click(".top button").await;
        browser.wait_for("document.body.innerText.includes('skylink console')").await;
        assert!(!browser.text("body").await.contains("USD"), "he has signed out");
        browser.close().await;
    });
    assert!(up.interrupt().0.success());
}

#[test]
fn events_are_found_by_a_filter_and_an_order_by_its_id() {
    let cli = Cli::new();
    let up = trading(&cli);
    let url = up.url();
    runtime().block_on(async {
        let browser = signed_in(&cli, &url).await;
        let all_are = |name: &str| {
            format!(
                "(rows => rows.length > 0 && rows.every(row => row.innerText.startsWith('{name}')))\
                 ([...document.querySelectorAll('.events .what strong')])"
            )
        };
        browser.wait_for("document.querySelectorAll('.events li').length > 0").await;
        assert_eq!(browser.run(&format!("return {}", all_are("order."))).await, false);
        browser.run("document.querySelector('#area').value = 'order'; document.querySelector('[data-filter]').requestSubmit()").await;
        browser.wait_for(&all_are("order.")).await;
        browser.type_into("#about", "placed").await;
        browser.click("[data-filter] button").await;
        browser.wait_for(&all_are("order.placed")).await;
        let address = browser.run("return location.href").await;
        assert_eq!(address, format!("{url}/?area=order&about=placed"), "it can be kept and sent on");

        let order = browser.text(".events a").await;
        browser.type_into("#order", &order).await;
        browser.click("#order + button").await;
        browser.wait_for("document.querySelector('.timeline')").await;
        let page = browser.text("main").await;
        for told in ["What happened", "order.placed", "escrow.held", "by the buyer", &order] {
            assert!(page.contains(told), "{told}: {page}");
        }
        for (width, is_dark) in [(1280, false), (360, true)] {
            browser.look(width, is_dark).await;
            assert_eq!(browser.overflow().await, 0, "at {width}");
            assert_eq!(browser.barriers().await, Vec::<String>::new(), "at {width}");
            browser.picture(&format!("order-{width}")).await;
        }
        browser.open(&format!("{url}/console/orders/1-1")).await;
        assert!(browser.text("main").await.contains("No such order"));
        browser.close().await;
    });
    assert!(up.interrupt().0.success());
}

#[test]
fn without_scripts_the_numbers_are_there_as_of_when_the_page_was_loaded() {
    let cli = Cli::new();
    let up = trading(&cli);
    let url = up.url();
    runtime().block_on(async {
        let browser = signed_in(&cli, &url).await;
        browser.let_scripts_run(false).await;
        browser.open(&format!("{url}/?area=order&about=placed")).await;
        let page = browser.text("main").await;
        for told in ["The market takes commands", "In escrow", "Orders per second", "order.placed", "As of"] {
            assert!(page.contains(told), "{told}: {page}");
        }
        assert!(!page.contains("Live"), "nothing that stands still looks live");
        browser.picture("home-1280-without-scripts").await;
        browser.close().await;
    });
    assert!(up.interrupt().0.success());
}
