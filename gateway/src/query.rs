//! Answers questions about orders, carts, wallets and receipts, to those whose they are.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequestParts, Path, Query, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Uri};
use axum::response::{IntoResponse, Response};
use commands::preview::Asked;
use engine::{Previewed, Reply};
use events::ids::{AccountId, CartId, CommandId, OrderGroupId, OrderId};
use events::order::{NumberError, OrderNumber};
use events::{Money, Position, Timestamp};
use projections::cart::{Reservation, SHARED_PER_PAGE_MAX, SavedLine, SharedCart, SharedPage};
use projections::order::{ORDERS_PER_PAGE_MAX, Order, OrderFilter, Side};
use projections::{Projections, ViewError};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::http::{App, POSITION_HEADER};
use crate::past::{AsOf, views_for};
use crate::problem::Problem;
use crate::token::Caller;
use crate::tree;

pub(crate) mod address;
pub(crate) mod audit;
pub(crate) mod desk;
pub(crate) mod devices;
pub(crate) mod factors;
pub(crate) mod listing;
pub(crate) mod profile;
pub(crate) mod returns;
pub(crate) mod risk;
pub(crate) mod statement;
pub(crate) mod terms;

/// How long a query waits for the views to come to its `min_position`.
pub const VIEWS_TIME_MAX: Duration = Duration::from_secs(2);
/// How long the preview of a purchase waits for the market.
const PREVIEW_TIME_MAX: Duration = Duration::from_secs(2);
/// Orders of a page unless the query says otherwise.
pub(crate) const ORDERS_PER_PAGE: usize = 20;
/// The last millisecond of the year 9999, which RFC 3339 can still write.
const MOMENT_MS_MAX: i64 = 253_402_300_799_999;

/// Members that hold a moment in milliseconds; each is shown in RFC 3339 beside it too.
pub(crate) const TIME_MEMBERS: [&str; 31] = [
    "accept_by",
    "capture_before",
    "capture_by",
    "changed_at",
    "closed_at",
    "day",
    "delivery_due",
    "due",
    "ended_at",
    "expires_at",
    "failing_since",
    "from",
    "inspection_ends",
    "next_at",
    "old_secret_until",
    "oldest_since",
    "opened_at",
    "parked_at",
    "placed_at",
    "registered_at",
    "requested_at",
    "resolved_at",
    "return_by",
    "ship_by",
    "shipped_at",
    "start",
    "subscribed_at",
    "time",
    "to",
    "tried_at",
    "until",
];

/// The query's parameters: each at most once, and none that the route does not know.
#[derive(Debug, Default)]
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    pub(crate) fn only(&self, known: &[&str]) -> Result<(), Problem> {
        match self.0.iter().find(|(name, _)| name != "min_position" && !known.contains(&name.as_str())) {
            None => Ok(()),
            Some((name, _)) => {
                let name: String = name.chars().take(64).collect();
                Err(Problem::query_invalid(format!("there is no parameter `{name}` here")))
            }
        }
    }

    /// The same, where parameters named `<prefix>[<anything>]` are known, too.
    pub(crate) fn only_and(&self, known: &[&str], prefix: &str) -> Result<(), Problem> {
        let others = self.0.iter().filter(|(name, _)| member_of(name, prefix).is_none());
        Params(others.cloned().collect()).only(known)
    }

    /// Gives the parameters named `<prefix>[<name>]`, by that name.
    pub(crate) fn named(&self, prefix: &str) -> impl Iterator<Item = (String, String)> {
        let members = self.0.iter().filter_map(move |(name, value)| Some((member_of(name, prefix)?, value)));
        members.map(|(name, value)| (name.to_owned(), value.clone()))
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn get<T: FromStr>(&self, name: &str) -> Result<Option<T>, Problem> {
        let invalid = |_| Problem::query_invalid(format!("`{name}` is not valid"));
        self.text(name).map(|text| text.parse().map_err(invalid)).transpose()
    }

    /// Reads a count from 1 to `max`.
    pub(crate) fn limit(&self, usual: usize, max: usize) -> Result<usize, Problem> {
        match self.text("limit").map(str::parse) {
            None => Ok(usual),
            Some(Ok(limit)) if (1..=max).contains(&limit) => Ok(limit),
            Some(_) => Err(Problem::query_invalid(format!("`limit` is 1 to {max}"))),
        }
    }

    /// Reads which page of a list is asked for: behind what, or the first one; and how much of it.
    pub(crate) fn page<C: FromStr>(&self, usual: usize, max: usize) -> Result<(Option<C>, usize), Problem> {
        Ok((self.get("cursor")?, self.limit(usual, max)?))
    }

    /// Reads one of the words of an enum.
    pub(crate) fn word<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Problem> {
        let invalid = |_| Problem::query_invalid(format!("`{name}` is not valid"));
        self.text(name).map(|text| serde_json::from_value(text.into()).map_err(invalid)).transpose()
    }

    /// Reads a moment: RFC 3339, or milliseconds since 1970.
    pub(crate) fn moment(&self, name: &str) -> Result<Option<Timestamp>, Problem> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let moment = match text.parse() {
            Ok(ms) => Timestamp::from_ms(ms),
            Err(_) => Timestamp::parse_rfc3339(text)
                .map_err(|error| Problem::query_invalid(format!("`{name}`: {error}")))?,
        };
        if !(0..=MOMENT_MS_MAX).contains(&moment.ms()) {
            return Err(Problem::query_invalid(format!("`{name}` is a moment of the years 1970 to 9999")));
        }
        Ok(Some(moment))
    }
}

impl Params {
    /// Reads what stands in a URL's query.
    pub(crate) fn of(url: &Uri) -> Result<Params, Problem> {
        let invalid = |_| Problem::query_invalid("the query can't be read");
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(url).map_err(invalid)?;
        for (at, (name, _)) in pairs.iter().enumerate() {
            if pairs[..at].iter().any(|(earlier, _)| earlier == name) {
                return Err(Problem::query_invalid("a parameter is there twice"));
            }
        }
        Ok(Params(pairs))
    }
}

/// Gives the `<name>` of `<prefix>[<name>]`.
fn member_of<'a>(name: &'a str, prefix: &str) -> Option<&'a str> {
    name.strip_prefix(prefix)?.strip_prefix('[')?.strip_suffix(']')
}

impl Params {
    /// Reads a moment of the log.
    pub(crate) fn as_of(&self, name: &str) -> Result<Option<AsOf>, Problem> {
        let invalid = |error| Problem::query_invalid(format!("`{name}`: {error}"));
        self.text(name).map(|text| text.parse().map_err(invalid)).transpose()
    }
}

/// A question, once the views have come to the position it asks for.
impl FromRequestParts<Arc<App>> for Params {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Params, Problem> {
        let params = Params::of(&parts.uri)?;
        if let Some(min_position) = params.get::<Position>("min_position")? {
            app.gateway.projections.wait_for(min_position, VIEWS_TIME_MAX).await?;
        }
        Ok(params)
    }
}

/// The variable parts of a path.
pub(crate) struct PathParts<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Arc<App>> for PathParts<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        // What is no text is no id either.
        let found = Path::<T>::from_request_parts(parts, app).await;
        found.map(|Path(found)| PathParts(found)).map_err(|_| Problem::not_found("page"))
    }
}

/// Reads an id out of a path.
pub(crate) fn id_of<T: FromStr>(text: &str, what: &str) -> Result<T, Problem> {
    text.parse().map_err(|_| Problem::not_found(what))
}

/// Asks the views, away from the async threads, and answers with the position they had at least read.
pub(crate) async fn ask<T, E>(
    app: &App,
    question: impl FnOnce(&Projections) -> Result<T, E> + Send + 'static,
) -> Result<Answer<T>, Problem>
where
    T: Send + 'static,
    E: Send + 'static,
    Problem: From<E>,
{
    ask_views(app.gateway.projections.clone(), question).await
}

/// Asks the views as they were where the query says `as_of`, else as they are.
pub(crate) async fn ask_as_of<T, E>(
    caller: &Caller,
    params: &Params,
    app: &App,
    question: impl FnOnce(&Projections) -> Result<T, E> + Send + 'static,
) -> Result<Answer<T>, Problem>
where
    T: Send + 'static,
    E: Send + 'static,
    Problem: From<E>,
{
    ask_views(views_for(caller, params, app).await?, question).await
}

/// Asks some views, as [`ask`] does.
pub(crate) async fn ask_views<T, E>(
    views: Projections,
    question: impl FnOnce(&Projections) -> Result<T, E> + Send + 'static,
) -> Result<Answer<T>, Problem>
where
    T: Send + 'static,
    E: Send + 'static,
    Problem: From<E>,
{
    let asked = tokio::task::spawn_blocking(move || {
        let position = *views.applied().borrow();
        (position, question(&views))
    });
    let (position, found) =
        asked.await.map_err(|_| Problem::unavailable("the question could not be answered"))?;
    Ok(Answer { position, found: found? })
}

/// What the views know, and how far they had read.
pub(crate) struct Answer<T> {
    pub(crate) position: Position,
    pub(crate) found: T,
}

impl<T> Answer<T> {
    pub(crate) fn map<U>(self, change: impl FnOnce(T) -> U) -> Answer<U> {
        Answer { position: self.position, found: change(self.found) }
    }

    pub(crate) fn filter<U>(
        self,
        what: &str,
        keep: impl FnOnce(T) -> Option<U>,
    ) -> Result<Answer<U>, Problem> {
        let found = keep(self.found).ok_or_else(|| Problem::not_found(what))?;
        Ok(Answer { position: self.position, found })
    }
}

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        let mut value = match serde_json::to_value(&self.found) {
            Ok(value) => value,
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "an answer can't be written");
                return Problem::unavailable("the answer could not be written").into_response();
            }
        };
        show_times(&mut value);
        let mut response = axum::Json(value).into_response();
        response.headers_mut().insert(POSITION_HEADER, HeaderValue::from(self.position));
        response
    }
}

/// Adds `<name>_rfc3339` beside every moment.
pub(crate) fn show_times(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(show_times),
        Value::Object(members) => {
            members.values_mut().for_each(show_times);
            for name in TIME_MEMBERS {
                if let Some(ms) = members.get(name).and_then(Value::as_i64) {
                    members.insert(format!("{name}_rfc3339"), Timestamp::from_ms(ms).to_string().into());
                }
            }
        }
        _ => {}
    }
}

/// What an order is asked for by.
#[derive(Debug, Clone, Copy)]
pub(crate) enum OrderKey {
    Id(OrderId),
    Number(OrderNumber),
}

impl FromStr for OrderKey {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        match text.parse() {
            Ok(number) => Ok(OrderKey::Number(number)),
            // Whoever mistypes a number is told so; nothing is told of any order by that.
            Err(error @ NumberError::CheckDigit) => Err(Problem::query_invalid(error.to_string())),
            Err(NumberError::Form) => id_of(text, "order").map(OrderKey::Id),
        }
    }
}

impl OrderKey {
    pub(crate) fn find(self, views: &Projections) -> Result<Option<Order>, ViewError> {
        match self {
            OrderKey::Id(order) => views.orders().order(order),
            OrderKey::Number(number) => views.orders().numbered(number),
        }
    }
}

/// `GET /v1/orders/{id}`, by its id or by its number
pub(crate) async fn order(
    caller: Caller,
    params: Params,
    State(app): State<Arc<App>>,
    PathParts(id): PathParts<String>,
) -> Result<impl IntoResponse, Problem> {
    params.only(&["as_of"])?;
    let key: OrderKey = id.parse()?;
    let found = ask_as_of(&caller, &params, &app, move |views| key.find(views)).await?;
    found.filter("order", |order| {
        order.filter(|order| caller.may_see(order.buyer) || caller.may_see(order.seller))
    })
}

/// `GET /v1/order-groups/{group}`
pub(crate) async fn order_group(
    caller: Caller,
    params: Params,
    State(app): State<Arc<App>>,
    PathParts(group): PathParts<String>,
) -> Result<impl IntoResponse, Problem> {
    params.only(&[])?;
    let group: OrderGroupId = id_of(&group, "order group")?;
    let found = ask(&app, move |views| views.orders().group(group)).await?;
    // A seller sees his order and not those of the others.
    found.filter("order group", |group| group.filter(|group| caller.may_see(group.buyer)))
}

/// A page of a list of orders.
#[derive(Serialize, JsonSchema)]
pub(crate) struct OrderList {
    /// Newest first. With a `state` a page may have fewer than asked for, and even none, though it is not the last.
    orders: Vec<Order>,
    /// Give it as `cursor` to get the next page; null: this was the last.
    next_cursor: Option<String>,
}

/// `GET /v1/orders`
pub(crate) async fn orders(
    caller: Caller,
    params: Params,
    State(app): State<Arc<App>>,
) -> Result<impl IntoResponse, Problem> {
    params.only(&["role", "state", "cursor", "limit", "account", "as_of"])?;
    let side = match params.text("role") {
        None | Some("buyer") => Side::Buyer,
        Some("seller") => Side::Seller,
        Some(_) => return Err(Problem::query_invalid("`role` is `buyer` or `seller`")),
    };
    let account = params.get::<AccountId>("account")?.unwrap_or(caller.account);
    if !caller.may_see(account) {
        return Err(Problem::forbidden("only operators list the orders of others"));
    }
    let filter: OrderFilter = params.word("state")?.unwrap_or_default();
    let (cursor, limit) = params.page::<Position>(ORDERS_PER_PAGE, ORDERS_PER_PAGE_MAX)?;
    let list = move |views: &Projections| views.orders().list(side, account, filter, cursor, limit);
    let found = ask_as_of(&caller, &params, &app, list).await?;
    let shown = |page: projections::order::Page| OrderList {
        orders: page.orders,
        next_cursor: page.next.map(|next| next.to_string()),
    };
    Ok(found.map(shown))
}

/// `GET /v1/carts/current`
pub(crate) async fn current_cart(
    caller: Caller,
    params: Params,
    State(app): State<Arc<App>>,
) -> Result<impl IntoResponse, Problem> {
    params.only(&[])?;
    ask(&app, move |views| views.carts().active(caller.account)).await?.filter("cart", |cart| cart)
}

/// `GET /v1/carts/{id}`
pub(crate) async fn cart(
    caller: Caller,
    params: Params,
    State(app): State<Arc<App>>,
    PathParts(id): PathParts<String>,
) -> Result<impl IntoResponse, Problem> {
    params.only(&["as_of"])?;
    let id: CartId = id_of(&id, "cart")?;
    let found = ask_as_of(&caller, &params, &app, move |views| views.carts().cart(id)).await?;
    found.filter("cart", |cart| {
        cart.and_then(|cart| {
            let sees_all = caller.may_see(cart.account);
            cart.seen_by(caller.account, sees_all)
        })
    })
}

/// Shared carts of a page unless the query says otherwise.
pub(crate) const SHARED_PER_PAGE: usize = 20;

/// Carts that others share with an account.
#[derive(Serialize, JsonSchema)]
pub(crate) struct SharedList {
    /// The carts, by their ids.
    carts: Vec<SharedCart>,
    /// Pass it as `cursor` to get the next page; null: this was the last.
    next_cursor: Option<CartId>,
}

/// `GET /v1/carts/shared`
pub(crate) async fn shared(
    caller: Caller,
    params: Params,
    State(app): State<Arc<App>>,
) -> Result<impl IntoResponse, Problem> {
    params.only(&["cursor", "limit"])?;
    let (cursor, limit) = params.page::<CartId>(SHARED_PER_PAGE, SHARED_PER_PAGE_MAX)?;
    let found = ask(&app, move |views| -> Result<_, ViewError> {
        let SharedPage { carts, next } = views.carts().shared_with(caller.account, cursor, limit)?;
        Ok(SharedList { carts, next_cursor: next })
    });
    found.await
}

/// What an account saved for later.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Saved {
    /// Whose it is.
    account: AccountId,
    /// The lines, in the order they were saved.
    lines: Vec<SavedLine>,
}

/// `GET /v1/carts/saved`
pub(crate) async fn saved(
    caller: Caller,
    params: Params,
    State(app): State<Arc<App>>,
) -> Result<impl IntoResponse, Problem> {
    params.only(&[])?;
    let found = ask(&app, move |views| views.carts().saved(caller.account)).await?;
    Ok(found.map(|lines| Saved { account: caller.account, lines }))
}

/// What an account has set aside before it orders it.
#[derive(Serialize, JsonSchema)]
pub(crate) struct ReservationList {
    /// Whose it is.
    account: AccountId,
    /// The oldest first.
    reservations: Vec<Reservation>,
}

/// `GET /v1/reservations`
pub(crate) async fn reservations(
    caller: Caller,
    params: Params,
    State(app): State<Arc<App>>,
) -> Result<impl IntoResponse, Problem> {
    params.only(&["account"])?;
    let account = params.get::<AccountId>("account")?.unwrap_or(caller.account);
    if !caller.may_see(account) {
        return Err(Problem::forbidden("only operators list the reservations of others"));
    }
    let found = ask(&app, move |views| views.carts().reservations(account)).await?;
    Ok(found.map(|reservations| ReservationList { account, reservations }))
}

/// `POST /v1/cart/preview`
pub(crate) async fn preview(
    caller: Caller,
    params: Params,
    State(app): State<Arc<App>>,
) -> Result<Response, Problem> {
    params.only(&["coupon", "region"])?;
    let asked = Asked { coupon: params.get("coupon")?, region: params.get("region")? };
    let preview = app.gateway.commands.preview(caller.account, asked);
    let asked = tokio::time::timeout(PREVIEW_TIME_MAX, preview).await;
    let Ok(Some(Previewed { position, found })) = asked else {
        return Err(Problem::unavailable("the market can't tell now: ask again after a moment"));
    };
    let found = found.ok_or_else(|| Problem::not_found("cart"))?;
    let mut response = axum::Json(found).into_response();
    response.headers_mut().insert(POSITION_HEADER, HeaderValue::from(position));
    Ok(response)
}

/// What an account holds; one entry per currency that is not zero.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Wallet {
    /// Whose it is.
    account: AccountId,
    /// What it has to spend: what is posted, and all of it is available.
    wallet: Vec<Money>,
    /// What providers hold for the wallet and have not given: what is pending.
    wallet_pending: Vec<Money>,
    /// What it has earned.
    seller_available: Vec<Money>,
    /// What of its earnings is kept for some time before it may be paid out.
    seller_reserve: Vec<Money>,
    /// What it owes as a seller, below zero by that: what it earns next repays it first.
    seller_receivable: Vec<Money>,
    /// What it owes as a buyer, below zero by that.
    buyer_receivable: Vec<Money>,
}

/// `GET /v1/wallet`
pub(crate) async fn wallet(
    caller: Caller,
    params: Params,
    State(app): State<Arc<App>>,
) -> Result<impl IntoResponse, Problem> {
    params.only(&["account", "as_of"])?;
    let account = params.get("account")?.unwrap_or(caller.account);
    if !caller.may_see(account) {
        return Err(Problem::forbidden("only operators see the balances of others"));
    }
    ask_as_of(&caller, &params, &app, move |views| wallet_of(views, account)).await
}

pub(crate) fn wallet_of(views: &Projections, account: AccountId) -> Result<Wallet, ViewError> {
    let balances = views.ledger().account(account)?;
    Ok(Wallet {
        account,
        wallet: balances.wallet,
        wallet_pending: balances.wallet_pending,
        seller_available: balances.seller_available,
        seller_reserve: balances.seller_reserve,
        seller_receivable: balances.seller_receivable,
        buyer_receivable: balances.buyer_receivable,
    })
}

/// `GET /v1/receipts/{account}/{command}`
pub(crate) async fn receipt(
    caller: Caller,
    params: Params,
    State(app): State<Arc<App>>,
    PathParts((account, command)): PathParts<(String, String)>,
) -> Result<Response, Problem> {
    params.only(&[])?;
    let account: AccountId = id_of(&account, "receipt")?;
    let command: CommandId = id_of(&command, "receipt")?;
    if !caller.may_see(account) {
        return Err(Problem::not_found("receipt"));
    }
    let url = format!("/v1/receipts/{account}/{command}");
    let found = tokio::time::timeout(VIEWS_TIME_MAX, app.gateway.commands.receipt(account, command)).await;
    match found {
        Ok(None) => Err(Problem::not_found("receipt")),
        Ok(Some(Reply::Receipt(mut receipt))) => {
            receipt.log = tree::log_proof(&app, &receipt.receipt).await;
            // Asked for as a thing, a receipt of a rejection is what was asked for.
            let mut response = axum::Json(&receipt).into_response();
            let position = HeaderValue::from(receipt.receipt.position);
            response.headers_mut().insert(POSITION_HEADER, position);
            Ok(response)
        }
        Ok(Some(Reply::Refused(refusal))) => Err(refusal.into()),
        Ok(Some(Reply::Undecided)) | Err(_) => Err(Problem::outcome_unknown(Some(url))),
    }
}
