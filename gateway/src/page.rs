//! The page for people.

use std::fmt::Write as _;
use std::sync::{Arc, LazyLock};

use axum::extract::State;
use axum::response::{Html, IntoResponse};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use events::{Money, Timestamp};
use projections::analytics::TimeRange;
use projections::{Projections, ViewError};

use crate::http::App;
use crate::problem::Problem;
use crate::query::ask;
use crate::routes::routes;

const STYLE: &str = "body{font:1rem/1.6 system-ui,sans-serif;max-width:52rem;margin:2rem auto;padding:0 1rem;\
color:#1a1a1a;background:#fff}table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.3rem .6rem;\
border-bottom:1px solid #ccc}a{color:#0645ad}code{font-size:.95em}@media(prefers-color-scheme:dark){body{color:#eee;\
background:#161616}a{color:#8ab4f8}}";

/// What the page may do: show itself, in its own style, and nothing else.
pub(crate) static CONTENT_SECURITY_POLICY: LazyLock<String> = LazyLock::new(|| {
    let style = STANDARD.encode(events::Hash::of(STYLE.as_bytes()).as_bytes());
    format!(
        "default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
});

/// `GET /`
pub(crate) async fn landing(State(app): State<Arc<App>>) -> Result<impl IntoResponse, Problem> {
    let market = app.gateway.market.to_string();
    let now = app.gateway.clock.now();
    let found = ask(&app, move |views| write(views, &market, now)).await?;
    Ok(Html(found.found))
}

/// Writes the page. All that is put in is ids, numbers and texts of this program: nothing needs escaping.
fn write(views: &Projections, market: &str, now: Timestamp) -> Result<String, ViewError> {
    let range = TimeRange { from: Timestamp::from_ms(0), to: now.plus_ms(1) };
    let (all, funnel) = (views.analytics().summary(range)?, views.analytics().funnel()?);
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>SkyLink, market {market}</title><style>{STYLE}</style></head>\
         <body><main><h1>SkyLink, market <code>{market}</code></h1><p>An event-sourced order engine: every command \
         is signed, every answer is a receipt that can be checked offline.</p><h2>So far</h2><table>\
         <tr><th scope=\"row\">Orders placed</th><td>{}</td></tr>\
         <tr><th scope=\"row\">Orders completed</th><td>{}</td></tr>\
         <tr><th scope=\"row\">Orders cancelled</th><td>{}</td></tr>",
        funnel.orders_placed, funnel.completed, funnel.cancelled
    );
    for money in &all.sales.money {
        let gmv = Money::new(money.gmv, money.currency);
        // Writing to a text can't fail.
        let _ = write!(page, "<tr><th scope=\"row\">Merchandise ordered</th><td>{gmv}</td></tr>");
    }
    page.push_str("</table><h2>What is here</h2><table><thead><tr><th scope=\"col\">Path</th><th scope=\"col\">For</th></tr></thead><tbody>");
    for route in routes() {
        let (method, path, summary) = (route.method.to_uppercase(), route.path, route.summary);
        let shown = if route.method == "get" && !path.contains('{') && !path.starts_with("/v1") {
            format!("<a href=\"{path}\"><code>{path}</code></a>")
        } else {
            format!("<code>{path}</code>")
        };
        let _ = write!(page, "<tr><td>{method} {shown}</td><td>{summary}</td></tr>");
    }
    page.push_str("</tbody></table></main></body></html>");
    Ok(page)
}
