//! What all pages have in common: their head, the bar above them, and what a browser may do with them.

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use events::ids::MarketName;
use maud::{DOCTYPE, Markup, html};

use super::assets::{CHART_SCRIPT, CHART_STYLE, ICON, SCRIPT, STYLE};
use crate::token::Caller;

/// What a page may do: use what this gateway serves, and nothing else. Nothing in a page itself is run or styles it.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// A page to be put into its frame.
pub(super) struct Page<'a> {
    pub(super) market: &'a MarketName,
    pub(super) title: &'a str,
    /// Who is signed in.
    pub(super) operator: Option<&'a Caller>,
    /// Where its script gets what is new; none: it stands still.
    pub(super) live: Option<String>,
    pub(super) body: Markup,
}

impl IntoResponse for Page<'_> {
    fn into_response(self) -> Response {
        let Page { market, title, operator, live, body } = self;
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (title) " – market " (market) " – SkyLink" }
                    link rel="icon" href=(ICON.path()) type="image/svg+xml";
                    @if live.is_some() { link rel="stylesheet" href=(CHART_STYLE.path()); }
                    link rel="stylesheet" href=(STYLE.path());
                    @if live.is_some() { script defer src=(CHART_SCRIPT.path()) {} }
                    script defer src=(SCRIPT.path()) {}
                }
                body data-live=[live] {
                    a.skip href="#main" { "Skip to the page" }
                    header.top {
                        a.mark href="/" { "SkyLink" }
                        span.market { "market " strong { (market) } }
                        nav aria-label="Pages" {
                            a href="/interface" { "Interface" }
                            @if let Some(operator) = operator {
                                form method="post" action="/sign-out" {
                                    button.quiet type="submit" title=(format!("account {}", operator.account)) { "Sign out" }
                                }
                            } @else {
                                a href="/sign-in" { "Sign in" }
                            }
                        }
                    }
                    main id="main" { (body) }
                }
            }
        };
        let mut response = axum::response::Html(page.into_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_SECURITY_POLICY));
        // What one operator saw is nobody's who comes to the browser after him.
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}
