//! An order's page: where it stands, where its money is, and what happened when and at whose word.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use events::Money;
use events::ids::OrderId;
use events::order::OrderNumber;
use maud::{Markup, html};
use projections::order::{Actor, Order, TimelineEntry};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::feed::find_order;
use super::home::time;
use super::session::Visitor;
use super::shell::Page;
use super::words::{count, many, money};
use crate::http::App;
use crate::problem::Problem;
use crate::query::{PathParts, ask};

/// Which order is looked for.
#[derive(Deserialize)]
pub(crate) struct Wanted {
    #[serde(default)]
    id: String,
}

/// `GET /console/orders`
pub(crate) async fn find(wanted: Result<Query<Wanted>, QueryRejection>) -> Redirect {
    let id = wanted.map(|Query(wanted)| wanted.id).unwrap_or_default();
    // Of what is put into a path, nothing may end it.
    let id: String = id.trim().chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(64).collect();
    if id.is_empty() { Redirect::to("/#events") } else { Redirect::to(&format!("/console/orders/{id}")) }
}

/// `GET /console/orders/{id}`
pub(crate) async fn show(
    visitor: Visitor,
    State(app): State<Arc<App>>,
    PathParts(id): PathParts<String>,
) -> Result<Response, Problem> {
    let Visitor::Operator(operator) = &visitor else { return Ok(Redirect::to("/sign-in").into_response()) };
    let (number, order) = (id.parse::<OrderNumber>(), id.parse::<OrderId>());
    let found = ask(&app, move |views| match (number, order) {
        (Ok(number), _) => views.orders().numbered(number),
        (_, Ok(order)) => views.orders().order(order),
        _ => Ok(None),
    });
    let (status, title, body) = match found.await?.found {
        Some(order) => (StatusCode::OK, name(&order), page(&order)),
        None => (StatusCode::NOT_FOUND, "No such order".to_owned(), nothing(&id)),
    };
    let page =
        Page { market: &app.gateway.market, title: &title, operator: Some(operator), live: None, body };
    Ok((status, page).into_response())
}

fn name(order: &Order) -> String {
    match &order.number {
        Some(number) => format!("Order {number}"),
        None => format!("Order {}", order.order),
    }
}

fn nothing(id: &str) -> Markup {
    html! {
        h1 { "No such order" }
        section {
            p { "No order has the id or the number " span.id { (id) } ". A number has its check digit behind a dash, such as 1002-4." }
            (find_order())
        }
    }
}

/// Says a word of the interface as people do.
fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(word)) => word.replace('_', " "),
        Ok(Value::Object(members)) => {
            members.keys().next().map_or_else(String::new, |word| word.replace('_', " "))
        }
        _ => String::new(),
    }
}

fn page(order: &Order) -> Markup {
    let escrow = &order.escrow;
    let show = |minor| money(Money::new(minor, escrow.currency));
    html! {
        p { a href="/#events" { "← The market now" } }
        h1 { (name(order)) " " span.state-word { (word(&order.state)) } }
        div.pair {
            section aria-labelledby="h-timeline" {
                h2 id="h-timeline" { "What happened" }
                ol.timeline { @for entry in &order.timeline { (entry_of(entry)) } }
            }
            div.stack {
                section aria-labelledby="h-money" {
                    h2 id="h-money" { "Where its money is" }
                    dl.facts {
                        div { dt { "Total" } dd { (money(order.total)) } }
                        div { dt { "Paid in" } dd { (show(escrow.held)) } }
                        div { dt { "Held" } dd { strong { (show(escrow.remaining)) } @if escrow.frozen != 0 { ", and frozen: " (show(escrow.frozen)) } } }
                        div { dt { "Released" } dd { (show(escrow.released)) ", of which fees " (show(escrow.fees)) } }
                        div { dt { "Paid back" } dd { (show(escrow.refunded)) } }
                        div { dt { "Escrow" } dd { (word(&order.axes.escrow)) } }
                    }
                }
                section aria-labelledby="h-lines" {
                    h2 id="h-lines" { "What was bought" }
                    ul.lines {
                        @for line in &order.lines {
                            li {
                                span { (many(u64::from(line.quantity.get()), "unit", "units")) " of " span.id { (line.listing) } }
                                strong { (money(line.total)) }
                                span.aside { (line.shipped) " shipped, " (line.delivered) " delivered, " (line.cancelled) " cancelled, " (line.returned) " returned" }
                            }
                        }
                    }
                }
                section aria-labelledby="h-who" {
                    h2 id="h-who" { "Who and when" }
                    dl.facts {
                        div { dt { "Order" } dd.id { (order.order) } }
                        div { dt { "Buyer" } dd.id { (order.buyer) } }
                        div { dt { "Seller" } dd.id { (order.seller) } }
                        div { dt { "Placed" } dd { (time(order.placed_at)) } }
                        @if let Some(closed) = order.closed_at { div { dt { "Closed" } dd { (time(closed)) } } }
                        @else { div { dt { "To ship by" } dd { (time(order.ship_by)) } } }
                    }
                }
            }
        }
    }
}

fn entry_of(entry: &TimelineEntry) -> Markup {
    let who = match &entry.actor {
        Actor::Account(account) => {
            let role = entry.role.map_or_else(|| "account".to_owned(), |role| role.to_string());
            html! { "by the " (role) " " span.id { (account) } }
        }
        Actor::Deadline(kind) => html! { "by a deadline: " (word(kind)) },
        Actor::Writer(_) => html! { "by the writer" },
    };
    html! {
        li {
            span.when { (time(entry.time)) }
            div {
                strong { (word(&entry.step)) }
                @if let Some(shipment) = entry.shipment { ", shipment " (word_of_number(&shipment)) }
                @if let Some(note) = &entry.note { ", " (note) }
                @if let Some(reason) = &entry.reason { p.reason { "“" (reason) "”" } }
                p.aside { (who) ", position " (count(entry.position)) }
            }
        }
    }
}

fn word_of_number(value: &impl Serialize) -> String {
    serde_json::to_value(value).map(|value| value.to_string()).unwrap_or_default()
}
