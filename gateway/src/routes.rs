//! What can be asked for over HTTP: every route with its handler, its parameters, its answers and its problems. The
//! router and the interface's description are both made from this list.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use commands::Command;
use commands::preview::Preview;
use commands::receipt::Receipt;
use projections::analytics::{Funnel, TOP_MAX};
use projections::cart::{Cart, SHARED_PER_PAGE_MAX};
use projections::ledger::POSTINGS_PER_PAGE_MAX;
use projections::listing::LISTINGS_PER_PAGE_MAX;
use projections::order::{ORDERS_PER_PAGE_MAX, OpenReturns, Order, OrderGroup, SellerTask};
use projections::payment::{
    BREAKS_PER_PAGE_MAX, CHARGEBACKS_PER_PAGE_MAX, Chargeback, PAYOUTS_PER_PAGE_MAX, Payment, Payout,
};
use projections::terms::PROMOTIONS_PER_PAGE_MAX;
use serde_json::{Value, json};

use crate::analytics::{EscrowAges, Latencies, Rejections, Series, Summary, TOP, Top};
use crate::chargebacks::{CHARGEBACKS_PER_PAGE, ChargebackList};
use crate::health::{Alive, MarketTime, Readiness};
use crate::http::App;
use crate::market_keys::{AllKeys, KeySet};
use crate::payments::{BREAKS_PER_PAGE, BreakList, MessageTaken, PAYOUTS_PER_PAGE, PayoutList, ProviderList};
use crate::problem::{
    ACCOUNT_SUSPENDED, BODY_BROKEN, BODY_LATE, FORBIDDEN, MESSAGE_REFUSED, NOT_FOUND, OUTCOME_UNKNOWN,
    QUERY_INVALID, STREAMS_FULL, UNAVAILABLE,
};
use crate::query::desk::{self, Desk, TASKS_PER_PAGE};
use crate::query::devices::{self, DeviceList};
use crate::query::listing::{self, LISTINGS_PER_PAGE, ListingList, Shown};
use crate::query::statement::{self, POSTINGS_PER_PAGE, Statement};
use crate::query::terms::{self, PROMOTIONS_PER_PAGE, PromotionList, RateList, TaxList};
use crate::query::{ORDERS_PER_PAGE, OrderList, ReservationList, SHARED_PER_PAGE, Saved, SharedList, Wallet};
use crate::token::Token;
use crate::{
    analytics, asyncapi, changes, chargebacks, health, market_keys, openapi, payments, query, stream, submit,
    token, tree,
};

mod audit;
mod factors;
mod pages;
mod privacy;
mod push;
mod recommendations;
mod risk;
mod route;
mod search;
mod sign_in;
mod views;
mod webhooks;

pub(crate) use self::route::{Content, NeedOfToken, Parameter, Route, Takes, UNLIMITED};
use self::route::{json_of, position, uuid, view};

/// The command that each path of its own takes.
const COMMAND_PATHS: &[(&str, &str)] = &[
    ("/api/cart/add", "cart.add"),
    ("/api/cart/remove", "cart.remove"),
    ("/api/cart/update", "cart.set_quantity"),
    ("/api/cart/clear", "cart.clear"),
    ("/api/cart/migrate-to-order", "cart.migrate"),
    ("/api/payments/process", "payment.request"),
    ("/api/escrow/setup", "escrow.setup"),
    ("/api/cart/save-for-later", "cart.save_for_later"),
    ("/api/cart/move-back", "cart.move_back"),
    ("/api/cart/merge", "cart.merge"),
    ("/api/cart/apply-coupon", "cart.apply_coupon"),
    ("/api/cart/remove-coupon", "cart.remove_coupon"),
    ("/api/cart/name", "cart.name"),
    ("/api/cart/share", "cart.share"),
    ("/api/cart/unshare", "cart.unshare"),
    ("/api/cart/leave", "cart.leave"),
    ("/api/cart/freeze", "cart.freeze"),
    ("/api/cart/unfreeze", "cart.unfreeze"),
    ("/api/cart/restore", "cart.restore"),
    ("/api/orders/create", "order.place"),
    ("/api/orders/accept", "order.accept"),
    ("/api/orders/decline", "order.decline"),
    ("/api/orders/pay", "order.pay"),
    ("/api/orders/ready", "order.ready"),
    ("/api/orders/ship", "order.ship"),
    ("/api/orders/confirm-delivery", "order.confirm_delivery"),
    ("/api/orders/cancel", "order.cancel"),
    ("/api/orders/refund", "order.refund"),
    ("/api/orders/propose-change", "order.propose_change"),
    ("/api/orders/accept-change", "order.accept_change"),
    ("/api/orders/decline-change", "order.decline_change"),
    ("/api/orders/withdraw-change", "order.withdraw_change"),
    ("/api/stock/reserve", "stock.reserve"),
    ("/api/stock/extend-reservation", "stock.extend_reservation"),
    ("/api/stock/release-reservation", "stock.release_reservation"),
    ("/api/wallet/exchange", "wallet.exchange"),
];

/// Which orders can be listed alone.
const ORDER_FILTERS: [&str; 19] = [
    "all",
    "open",
    "ended",
    "awaiting_payment",
    "authorized",
    "awaiting_seller",
    "placed",
    "partially_shipped",
    "shipped",
    "partially_delivered",
    "delivered",
    "completed",
    "cancelled",
    "refunded",
    "partially_returned",
    "returned",
    "on_hold",
    "disputed",
    "charged_back",
];

/// Lists every route.
pub(crate) fn routes() -> Vec<Route> {
    [
        commands(),
        factors::factors(),
        sign_in::sign_in(),
        questions(),
        search::routes(),
        recommendations::routes(),
        privacy::personal(),
        through_providers(),
        risk::routes(),
        webhooks::webhooks(),
        audit::routes(),
        push::push(),
        numbers(),
        proofs(),
        operation(),
        views::views(),
        pages::pages(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn commands() -> Vec<Route> {
    let mut routes = vec![
        Route::post("/v1/commands", "Give a signed command", submit::any).command(None),
        Route::post("/v1/commands/{name}", "Give a signed command of this name", submit::named)
            .command(None)
            .problems([NOT_FOUND])
            .in_path("name", "The command's name", json!({"type": "string", "enum": Command::NAMES})),
    ];
    for &(path, name) in COMMAND_PATHS {
        let take = move |State(app): State<Arc<App>>, headers: HeaderMap, body: Body| {
            submit::at(app, name, headers, body)
        };
        let summary = "Give the signed command that belongs here";
        routes.push(Route::post(path, summary, take).command(Some(name)));
    }
    let mut tokens =
        Route::post("/v1/tokens", "Get an access token for queries, with a signed request", token::issue)
            .body_problems()
            .problems([UNAVAILABLE])
            .answers(json_of::<Token>());
    tokens.takes = Some(Takes::TokenRequest);
    routes.push(tokens);
    routes
}

fn questions() -> Vec<Route> {
    let own_cart = |path| {
        let route = Route::get(path, "Your cart", query::current_cart).question();
        route.problems([NOT_FOUND]).answers(view::<Cart>())
    };
    vec![
        Route::get("/v1/receipts/{account}/{command}", "The receipt of a command", query::receipt)
            .question()
            .in_path("account", "Who gave it", uuid())
            .in_path("command", "Its id (`cid`)", uuid())
            .problems([NOT_FOUND, OUTCOME_UNKNOWN])
            .answers(json_of::<Receipt>()),
        Route::get(
            "/v1/accounts/{account}/devices",
            "The devices of your account, with what each may do and what happened to it",
            devices::devices,
        )
        .question()
        .of_account()
        .problems([NOT_FOUND])
        .answers(view::<DeviceList>()),
        Route::get("/v1/orders", "Your orders, newest first", query::orders)
            .question()
            .query(
                "role",
                "As whom",
                json!({"type": "string", "enum": ["buyer", "seller"], "default": "buyer"}),
            )
            .query(
                "state",
                "Only those of which something is left, those of which nothing is, or those in one state",
                json!({"type": "string", "enum": ORDER_FILTERS, "default": "all"}),
            )
            .paged(position(), ORDERS_PER_PAGE, ORDERS_PER_PAGE_MAX)
            .query("account", "Whose, for operators", uuid())
            .problems([FORBIDDEN])
            .of_past()
            .answers(view::<OrderList>()),
        Route::get(
            "/v1/sellers/{account}/desk",
            "What you are to do as a seller, the most urgent first, and what you have earned",
            desk::desk,
        )
        .question()
        .of_account()
        .query("task", "Only what is to be done of this sort", json!({"type": "string", "enum": SellerTask::ALL}))
        .paged(json!({"type": "string"}), TASKS_PER_PAGE, ORDERS_PER_PAGE_MAX)
        .problems([NOT_FOUND])
        .of_past()
        .answers(view::<Desk>()),
        Route::get("/v1/orders/{id}", "An order with its timeline", query::order)
            .question()
            .in_path(
                "id",
                "The order, or its number with its check digit",
                json!({"oneOf": [uuid(), {"type": "string", "pattern": "^[1-9][0-9]*-[0-9]$", "examples": ["1002-4"]}]}),
            )
            .problems([NOT_FOUND])
            .of_past()
            .answers(view::<Order>()),
        Route::get("/v1/orders/{id}/changes", "How an order changed between two moments of the log", changes::order)
            .in_path("id", "The order, or its number with its check digit", json!({"type": "string"}))
            .problems([NOT_FOUND])
            .changes(),
        Route::get("/v1/returns", "Returns that wait: of what you sell, or for operators those they are to decide about", query::returns::returns)
            .question()
            .query(
                "state",
                "Only those in this state",
                json!({"type": "string", "enum": ["requested", "rejected", "approved", "sent", "deducted", "appealed"]}),
            )
            .query("account", "Which seller's, for operators", uuid())
            .problems([FORBIDDEN])
            .answers(view::<OpenReturns>()),
        Route::get("/v1/order-groups/{group}", "The orders of one checkout of yours together", query::order_group)
            .question()
            .in_path("group", "The group", uuid())
            .problems([NOT_FOUND])
            .answers(view::<OrderGroup>()),
        Route::get("/v1/listings", "A seller's listings", listing::listings)
            .question()
            .query("seller", "Whose; your own if absent", uuid())
            .paged(uuid(), LISTINGS_PER_PAGE, LISTINGS_PER_PAGE_MAX)
            .answers(view::<ListingList>()),
        Route::get("/v1/listings/{id}", "A listing, with its stock for its seller", listing::listing)
            .question()
            .in_path("id", "The listing", uuid())
            .problems([NOT_FOUND])
            .answers(view::<Shown>()),
        Route::get("/v1/taxes", "How what goes to a region is taxed", terms::taxes)
            .question()
            .query("region", "Where it goes; must be named", json!({"type": "string", "examples": ["US-CA"]}))
            .answers(view::<TaxList>()),
        Route::get("/v1/shipping", "What a seller takes for delivery", terms::rates)
            .question()
            .query("seller", "Whose; your own if absent", uuid())
            .answers(view::<RateList>()),
        Route::get("/v1/promotions", "A seller's promotions, or the platform's", terms::promotions)
            .question()
            .query("seller", "Whose; your own if absent", uuid())
            .query("paid_by", "`platform`: those that it pays", json!({"enum": ["seller", "platform"]}))
            .paged(uuid(), PROMOTIONS_PER_PAGE, PROMOTIONS_PER_PAGE_MAX)
            .answers(view::<PromotionList>()),
        Route::post(
            "/v1/cart/preview",
            "What a purchase of your cart would be, without any effect",
            query::preview,
        )
        .question()
        .query("region", "Where it is delivered", json!({"type": "string", "examples": ["US-CA"]}))
        .query("coupon", "A coupon, instead of the one in the cart", json!({"type": "string"}))
        .problems([NOT_FOUND])
        .answers(json_of::<Preview>()),
        Route::get("/v1/carts/shared", "Carts that others share with you", query::shared)
            .question()
            .paged(uuid(), SHARED_PER_PAGE, SHARED_PER_PAGE_MAX)
            .answers(view::<SharedList>()),
        Route::get("/v1/carts/saved", "What you saved for later", query::saved)
            .question()
            .answers(view::<Saved>()),
        Route::get("/v1/reservations", "What you have set aside before you order it", query::reservations)
            .question()
            .query("account", "Whose, for operators", uuid())
            .problems([FORBIDDEN])
            .answers(view::<ReservationList>()),
        own_cart("/v1/carts/current"),
        own_cart("/api/cart"),
        Route::get("/v1/carts/{id}", "A cart", query::cart)
            .question()
            .in_path("id", "The cart", uuid())
            .problems([NOT_FOUND])
            .of_past()
            .answers(view::<Cart>()),
        Route::get("/v1/carts/{id}/changes", "How a cart changed between two moments of the log", changes::cart)
            .in_path("id", "The cart", uuid())
            .problems([NOT_FOUND])
            .changes(),
        Route::get("/v1/wallet", "Your balances", query::wallet)
            .question()
            .query("account", "Whose, for operators", uuid())
            .of_past()
            .answers(view::<Wallet>()),
        Route::get(
            "/v1/wallet/changes",
            "How somebody's balances changed between two moments of the log",
            changes::wallet,
        )
        .query("account", "Whose; your own if absent", uuid())
        .problems([NOT_FOUND])
        .changes(),
        Route::get(
            "/v1/wallet/statement",
            "What changed your wallet or another account of yours, newest first, and what it held",
            statement::statement,
        )
        .question()
        .query(
            "account",
            "The ledger account; your wallet if absent. Those of the platform and of others are for operators",
            json!({"type": "string", "examples": ["platform:fees", "seller:<account>:available"]}),
        )
        .query("currency", "In which currency; must be named", json!({"type": "string", "pattern": "^[A-Z]{3}$"}))
        .query(
            "at",
            "As of this position of the log: the newest posting at or before it comes first",
            position(),
        )
        .paged(position(), POSTINGS_PER_PAGE, POSTINGS_PER_PAGE_MAX)
        .problems([FORBIDDEN])
        .answers(view::<Statement>()),
        Route::get("/v1/stream", "Your events as they happen (server-sent events)", stream::stream)
            .question()
            .query(
                "from",
                "The first position; the next event if absent",
                position(),
            )
            .parameter(
                "header",
                "Last-Event-ID",
                "The last position received: the stream goes on right behind it, and `from` is not looked at",
                position(),
            )
            .problems([ACCOUNT_SUSPENDED, STREAMS_FULL])
            .answers(Content::Text("text/event-stream")),
    ]
}

fn through_providers() -> Vec<Route> {
    let mut message = Route::post(
        "/v1/providers/{provider}/webhooks",
        "Where a payment provider tells that something happened",
        payments::message,
    )
    .problems([BODY_BROKEN, BODY_LATE, MESSAGE_REFUSED, NOT_FOUND, UNAVAILABLE])
    .in_path("provider", "The provider's name", json!({"type": "string"}))
    .answers(json_of::<MessageTaken>());
    message.takes = Some(Takes::ProviderMessage);
    vec![
        Route::get("/v1/providers", "What can be paid through", payments::providers)
            .answers(json_of::<ProviderList>()),
        Route::get("/v1/payments/{id}", "A payment through a provider", payments::payment)
            .question()
            .in_path("id", "The payment", uuid())
            .problems([NOT_FOUND])
            .answers(view::<Payment>()),
        Route::get("/v1/payouts", "Your payouts, newest first", payments::payouts)
            .question()
            .query("account", "Whose, for operators", uuid())
            .problems([FORBIDDEN])
            .paged(position(), PAYOUTS_PER_PAGE, PAYOUTS_PER_PAGE_MAX)
            .answers(view::<PayoutList>()),
        Route::get("/v1/payouts/{id}", "A payout of what a seller has earned", payments::payout)
            .question()
            .in_path("id", "The payout", uuid())
            .problems([NOT_FOUND])
            .answers(view::<Payout>()),
        Route::get(
            "/v1/chargebacks",
            "What banks dispute of what you sold, or, for operators, of everything; newest first",
            chargebacks::chargebacks,
        )
        .question()
        .query(
            "state",
            "Those on which the bank has not decided, or those on which it has",
            json!({"type": "string", "enum": ["open", "decided"], "default": "open"}),
        )
        .paged(position(), CHARGEBACKS_PER_PAGE, CHARGEBACKS_PER_PAGE_MAX)
        .answers(view::<ChargebackList>()),
        Route::get("/v1/chargebacks/{id}", "A payment that a bank disputes", chargebacks::chargeback)
            .question()
            .in_path("id", "The chargeback", uuid())
            .problems([NOT_FOUND])
            .answers(view::<Chargeback>()),
        Route::get(
            "/v1/reconciliation/breaks",
            "What differs between providers' files and the ledger, newest first; for operators",
            payments::breaks,
        )
        .question()
        .query(
            "state",
            "Those that are open, or those that operators have resolved",
            json!({"type": "string", "enum": ["open", "resolved"], "default": "open"}),
        )
        .paged(position(), BREAKS_PER_PAGE, BREAKS_PER_PAGE_MAX)
        .problems([FORBIDDEN])
        .answers(view::<BreakList>()),
        message,
    ]
}

fn numbers() -> Vec<Route> {
    let steps = json!({"type": "string", "enum": ["hour", "day"], "default": "day"});
    let ranked = json!({"type": "string", "enum": ["sellers", "listings"], "default": "sellers"});
    let currency = Parameter {
        name: "currency",
        place: "query",
        is_required: true,
        description: "The currency that is ranked by",
        schema: json!({"type": "string", "pattern": "^[A-Z]{3}$"}),
    };
    let mut top = Route::get("/v1/analytics/top", "The best sellers or listings", analytics::top)
        .question()
        .query("of", "Of what", ranked)
        .limit(TOP, TOP_MAX)
        .of_past()
        .answers(view::<Top>());
    top.parameters.push(currency);
    let routes = vec![
        Route::get(
            "/v1/analytics/summary/changes",
            "How the numbers of a time changed between two moments of the log",
            changes::summary,
        )
        .time()
        .whose()
        .problems([NOT_FOUND])
        .changes(),
        Route::get("/v1/analytics/summary", "What happened in a time", analytics::summary)
            .question()
            .time()
            .whose()
            .problems([NOT_FOUND])
            .of_past()
            .answers(view::<Summary>()),
        Route::get("/v1/analytics/series", "What happened, hour by hour or day by day", analytics::series)
            .question()
            .time()
            .whose()
            .query("step", "How long each point is; a seller's and a listing's are by `day`", steps)
            .problems([NOT_FOUND])
            .of_past()
            .answers(view::<Series>()),
        top,
        Route::get("/v1/analytics/funnel", "How many carts and orders came how far", analytics::funnel)
            .question()
            .of_past()
            .answers(view::<Funnel>()),
        Route::get("/v1/analytics/latency", "How long orders take", analytics::latency)
            .question()
            .of_past()
            .answers(view::<Latencies>()),
        Route::get(
            "/v1/analytics/escrows",
            "What is held in escrow, by what it waits for and by age",
            analytics::escrows,
        )
        .question()
        .of_past()
        .answers(view::<EscrowAges>()),
        Route::get("/v1/analytics/rejections", "Why commands were rejected", analytics::rejections)
            .question()
            .time()
            .of_past()
            .answers(view::<Rejections>()),
    ];
    routes.into_iter().map(|route| route.problems([FORBIDDEN])).collect()
}

fn proofs() -> Vec<Route> {
    let position = || json!({"type": "integer", "minimum": 1});
    let routes = [
        Route::get(
            "/log/checkpoint",
            "How far the log goes and the root of its tree, signed by the market",
            tree::checkpoint,
        )
        .answers(Content::Text("text/plain")),
        Route::get("/log/key", "The market's key as programs for signed notes take it", tree::key)
            .answers(Content::Text("text/plain")),
        Route::get(
            "/log/keys",
            "Every key of the market, and what leads from one to the next",
            market_keys::keys,
        )
        .problems([UNAVAILABLE])
        .answers(json_of::<AllKeys>()),
        Route::get("/log/tile/{*tile}", "The hashes of a tile of the tree", tree::tile)
            .in_path(
                "tile",
                "Level, number and width as C2SP's tlog-tiles has them, such as 0/x001/234.p/17",
                json!({"type": "string"}),
            )
            .problems([NOT_FOUND])
            .answers(Content::Bytes),
        Route::get("/log/proof/inclusion", "Proves that an event is in the log", tree::inclusion)
            .query("position", "Which event", position())
            .query(
                "size",
                "In the log of how many events; that of the newest checkpoint if absent",
                position(),
            )
            .problems([QUERY_INVALID, NOT_FOUND])
            .answers(json_of::<tree::Inclusion>()),
        Route::get(
            "/log/proof/consistency",
            "Proves that the log only appends to what it was",
            tree::consistency,
        )
        .query("from", "To the log of how many events", position())
        .query("to", "The log of how many events; that of the newest checkpoint if absent", position())
        .problems([QUERY_INVALID, NOT_FOUND])
        .answers(json_of::<tree::Consistency>()),
    ];
    routes.into_iter().map(|route| route.problems([UNAVAILABLE])).collect()
}

fn operation() -> Vec<Route> {
    let mut ready =
        Route::get("/readyz", "Whether the market writes and the views are near its head", health::ready)
            .answers(json_of::<Readiness>());
    ready.answers.push((StatusCode::SERVICE_UNAVAILABLE, json_of::<Readiness>()));
    vec![
        Route::get("/healthz", "Whether the process is alive", health::alive).answers(json_of::<Alive>()),
        ready,
        Route::get("/v1/time", "The time in the market", health::time).answers(json_of::<MarketTime>()),
        Route::get("/metrics", "Metrics for Prometheus", health::metrics)
            .problems([NOT_FOUND])
            .answers(Content::Text("text/plain")),
        Route::get("/.well-known/jwks.json", "The market's live keys", market_keys::jwks)
            .problems([UNAVAILABLE])
            .answers(json_of::<KeySet>()),
        Route::get("/openapi.json", "This interface", openapi::serve)
            .answers(json_of::<std::collections::BTreeMap<String, Value>>()),
        Route::get("/asyncapi.json", "What travels over NATS", asyncapi::serve)
            .answers(json_of::<std::collections::BTreeMap<String, Value>>()),
    ]
}
