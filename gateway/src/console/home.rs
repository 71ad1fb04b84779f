//! The first page: whether the market takes commands and money is safe, then how it goes, then what it is made of.

use engine::pace::{Reading, SECONDS_KEPT, SECONDS_RECENT, Span, Times};
use events::{Money, Timestamp};
use maud::{Markup, html};
use projections::analytics::Funnel;
use projections::order::{EscrowState, Escrows};

use super::board::{Counted, Numbers};
use super::chart::{self, Line};
use super::feed::{self, Filter, Row};
use super::words::{age, count, many, money, percent, rate, took};
use crate::health::{EngineState, Readiness, StorageHealth, StorageKind};
use crate::rebuild::{RebuildState, ShownRebuild};

/// How an answer to a question of an operator is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Good,
    Look,
    Bad,
}

impl Level {
    const fn class(self) -> &'static str {
        match self {
            Level::Good => "good",
            Level::Look => "look",
            Level::Bad => "bad",
        }
    }

    /// The mark beside the words: nobody needs to tell colours apart.
    const fn mark(self) -> &'static str {
        match self {
            Level::Good => "✓",
            Level::Look => "!",
            Level::Bad => "✕",
        }
    }
}

/// What is found, and what its reader does next.
struct Finding {
    level: Level,
    what: String,
    next: String,
}

fn finding(level: Level, what: impl Into<String>, next: impl Into<String>) -> Finding {
    Finding { level, what: what.into(), next: next.into() }
}

/// The parts of the page that change, each with the name of its place.
pub(super) fn parts(numbers: &Numbers) -> Vec<(&'static str, Markup)> {
    vec![
        ("state", state(numbers)),
        ("figures", figures(numbers)),
        ("money", money_part(numbers)),
        ("funnel", funnel_part(numbers)),
        ("plant", plant(numbers)),
    ]
}

/// The whole page for an operator.
pub(super) fn page(numbers: &Numbers, found: &Result<Vec<Row>, String>, filter: &Filter) -> Markup {
    let part = |name: &str, markup: Markup| html! { div data-part=(name) { (markup) } };
    let mut parts = parts(numbers).into_iter();
    let mut next = || parts.next().map(|(name, markup)| part(name, markup)).unwrap_or_default();
    html! {
        h1.unseen { "The market now" }
        p.freshness data-freshness data-at=(time(numbers.at).into_string()) {
            "As of " (time(numbers.at)) ". "
            noscript { a href="/" { "Load the page again" } " for what is new: scripts are off." }
        }
        section.state aria-labelledby="h-state" { h2.unseen id="h-state" { "State" } (next()) }
        section.now aria-labelledby="h-now" {
            h2 id="h-now" { "Now" }
            (next())
            div.charts { (charts(&numbers.pace)) }
        }
        section aria-labelledby="h-money" { h2 id="h-money" { "Money" } (next()) }
        div.pair {
            section aria-labelledby="h-funnel" { h2 id="h-funnel" { "From cart to delivery" } (next()) }
            section aria-labelledby="h-plant" { h2 id="h-plant" { "Log and views" } (next()) }
        }
        section.last id="events" aria-labelledby="h-events" {
            h2 id="h-events" { "Last events" }
            div.forms { (feed::form(filter)) (feed::find_order()) }
            (part("events", feed::list(found, filter)))
        }
    }
}

/// What anybody may know: whether the market takes commands, and how to sign in.
pub(super) fn welcome(readiness: &Readiness, sign_in: Markup) -> Markup {
    let (taking, detail) = taking(readiness);
    html! {
        h1 { "An order engine whose answers are receipts" }
        div.state { (answer(&taking, &detail)) }
        p.lead {
            "Every command is signed by who gives it, every answer is a receipt that can be checked offline. "
            "Programs find what they need under " a href="/interface" { "Interface" } "."
        }
        (sign_in)
    }
}

pub(super) fn time(at: Timestamp) -> Markup {
    let text = at.to_string();
    let (day, clock) = text.split_once('T').unwrap_or(("", &text));
    let clock = clock.get(..8).unwrap_or(clock);
    html! { time datetime=(text) { (day) " " (clock) " UTC" } }
}

fn answer(found: &Finding, detail: &str) -> Markup {
    html! {
        div class=(format!("answer {}", found.level.class())) {
            span.tick aria-hidden="true" { (found.level.mark()) }
            div {
                p.verdict { (found.what) }
                @if !detail.is_empty() { p.detail { (detail) } }
                @if !found.next.is_empty() { p.next { (found.next) } }
            }
        }
    }
}

fn state(numbers: &Numbers) -> Markup {
    let (takes, takes_detail) = taking(&numbers.readiness);
    let (safe, safe_detail) = safe(numbers);
    let due = due(numbers);
    html! {
        div.answers {
            (answer(&takes, &format!("{takes_detail}{}", of_last_minute(&numbers.pace.recent))))
            (answer(&safe, &safe_detail))
        }
        @if due.is_empty() {
            p.calm { "Nothing waits for a person." }
        } @else {
            ul.due {
                @for found in due {
                    li class=(found.level.class()) {
                        span.tick aria-hidden="true" { (found.level.mark()) }
                        span { strong { (found.what) } " " (found.next) }
                    }
                }
            }
        }
    }
}

/// Is the market taking commands?
fn taking(readiness: &Readiness) -> (Finding, String) {
    let reasons = || readiness.reasons.join("; ");
    match readiness.state {
        EngineState::Writing if readiness.ready => {
            (finding(Level::Good, "The market takes commands", ""), String::new())
        }
        EngineState::Writing => (
            finding(Level::Look, "The market takes commands, but what is read here is behind", ""),
            format!("{}. ", reasons()),
        ),
        EngineState::Standby => (
            finding(
                Level::Look,
                "This process stands by",
                "Commands sent here are refused: send them to the one that writes.",
            ),
            "Another process writes the market, or none yet. ".to_owned(),
        ),
        EngineState::ClockDoubted => {
            (finding(Level::Bad, "The market takes no commands", ""), format!("{}. ", reasons()))
        }
        EngineState::Stopped => (
            finding(
                Level::Bad,
                "The market has stopped",
                "What was answered is durable. Mend the cause, then start the process again.",
            ),
            format!("{}. ", reasons()),
        ),
    }
}

fn of_last_minute(recent: &Span) -> String {
    let counts = recent.counts;
    if counts.accepted + counts.rejected + counts.refused == 0 {
        return "None came in the last minute.".to_owned();
    }
    format!(
        "{} accepted, {} rejected by its rules, {} not taken in the last {} s.",
        count(counts.accepted),
        count(counts.rejected),
        count(counts.refused),
        recent.seconds
    )
}

/// Is money safe?
fn safe(numbers: &Numbers) -> (Finding, String) {
    let StorageHealth { kind, connected, synced, sync_interval_ms } = numbers.readiness.storage;
    if !connected {
        let next = "Nothing is answered until it is back: look at the broker and the network.";
        return (finding(Level::Bad, "The broker can't be reached", next), String::new());
    }
    match (kind, synced) {
        (_, Some(true)) => {
            let on = if kind == StorageKind::Segments { "on disk" } else { "synced by the broker" };
            let detail = format!(
                "Each answer is {on} before it leaves, and each posting takes what it gives: the writer checks that before it writes."
            );
            (finding(Level::Good, "Money is kept safely", ""), detail)
        }
        (_, Some(false)) => {
            let interval = sync_interval_ms
                .map_or_else(|| "moments".to_owned(), |ms| age(ms.try_into().unwrap_or(i64::MAX)));
            (
                finding(
                    Level::Bad,
                    format!("A loss of power would lose what was answered in the last {interval}"),
                    "Set sync_interval: always at the broker, see nats.conf, then start this process again.",
                ),
                "The broker acknowledges before it has synced.".to_owned(),
            )
        }
        (_, None) => (
            finding(
                Level::Look,
                "Whether the broker syncs before it acknowledges is not known",
                "Start this process with --nats-monitor, so that it can ask.",
            ),
            String::new(),
        ),
    }
}

/// What waits for a person, the worst first.
fn due(numbers: &Numbers) -> Vec<Finding> {
    let Numbers { readiness, counted, .. } = numbers;
    let mut due = Vec::new();
    if !readiness.following {
        let next =
            "Numbers here stand still. The log line that begins with `the views stand still` says why.";
        due.push(finding(Level::Bad, "The views do not follow the log.", next));
    }
    for (view, reason) in &readiness.stopped_views {
        let next = format!("Others go on. Mend what it met ({reason}), then: skylink views rebuild {view}");
        due.push(finding(Level::Bad, format!("The view {view} has stopped."), next));
    }
    if let Err(error) = counted {
        due.push(finding(Level::Bad, "The views can't be counted.", format!("{error}.")));
    }
    let effects = &readiness.effects;
    if effects.stuck > 0 {
        let what = format!(
            "{} of payment providers without an answer.",
            many(effects.stuck as u64, "request", "requests")
        );
        let trouble = effects.trouble.clone().unwrap_or_default();
        due.push(finding(Level::Look, what, format!("They are asked again each minute. Last: {trouble}.")));
    }
    if readiness.chargebacks_overdue > 0 {
        let what = format!(
            "{} without evidence in time.",
            many(readiness.chargebacks_overdue, "chargeback", "chargebacks")
        );
        due.push(finding(Level::Look, what, "Give it, or accept that they are lost: GET /v1/chargebacks."));
    }
    if let Ok(Counted { open_breaks: breaks @ 1.., .. }) = counted {
        let what = format!(
            "{} between a provider's file and the ledger.",
            many(*breaks, "difference", "differences")
        );
        due.push(finding(Level::Look, what, "Resolve each: GET /v1/reconciliation/breaks."));
    }
    due.sort_by_key(|found| std::cmp::Reverse(found.level));
    due
}

/// One number with its unit and what it is of.
fn tile(name: &str, value: Markup, of: &str) -> Markup {
    html! { div.tile { dt { (name) } dd { span.value { (value) } span.of { (of) } } } }
}

fn unit(text: &str) -> Markup {
    let (value, unit) = text.rsplit_once(' ').unwrap_or((text, ""));
    html! { (value) @if !unit.is_empty() { " " small { (unit) } } }
}

fn figures(numbers: &Numbers) -> Markup {
    let Reading { recent, since_append, .. } = &numbers.pace;
    let last = format!("last {} s", recent.seconds);
    let nothing = html! { span.none { "–" } };
    let times = |times: &Option<Times>, of: fn(&Times) -> u64| {
        times.as_ref().map_or_else(|| nothing.clone(), |times| unit(&took(of(times))))
    };
    let appended = match since_append {
        None => "this process has appended nothing".to_owned(),
        Some(since) => {
            format!("{last}; the last was {} ago", age(i64::try_from(since.as_millis()).unwrap_or(i64::MAX)))
        }
    };
    let lag = numbers.readiness.lag;
    html! {
        dl.tiles {
            (tile("Orders", unit(&format!("{} /s", rate(recent.counts.orders, recent.seconds))), &format!("{} in the {last}", count(recent.counts.orders))))
            (tile("Answer, half within", times(&recent.answers, |times| times.p50_us), &last))
            (tile("Answer, 99 % within", times(&recent.answers, |times| times.p99_us), &last))
            (tile("Append, 99 % within", times(&recent.appends, |times| times.p99_us), &appended))
            (tile("Views behind by", unit(&many(lag, "event", "events")), &format!("of {} in the log", count(numbers.readiness.head))))
        }
    }
}

/// Says in words what the chart of orders shows.
fn orders_label(pace: &Reading) -> String {
    format!(
        "Orders placed in each of the last {} s: {} in the last {SECONDS_RECENT} s",
        pace.seconds.len(),
        count(pace.recent.counts.orders)
    )
}

/// Says in words what the chart of answers shows.
fn answers_label(pace: &Reading) -> String {
    match pace.recent.answers {
        None => "How long answers took: nothing was answered in the last minute".to_owned(),
        Some(times) => format!(
            "How long answers took: half within {}, 99 of a hundred within {}",
            took(times.p50_us),
            took(times.p99_us)
        ),
    }
}

fn charts(pace: &Reading) -> Markup {
    let of = |value: fn(&Span) -> Option<u64>| pace.seconds.iter().map(value).collect::<Vec<_>>();
    html! {
        (chart::lines("orders", "Orders per second", &orders_label(pace), SECONDS_KEPT, &[
            Line { name: "orders", class: "one", values: of(|second| Some(second.counts.orders)) },
        ], |value| format!("{} /s", count(value))))
        (chart::lines("answers", "From a command's arrival to its answer", &answers_label(pace), SECONDS_KEPT, &[
            Line { name: "99 % within", class: "two", values: of(|second| second.answers.map(|times| times.p99_us)) },
            Line { name: "half within", class: "one", values: of(|second| second.answers.map(|times| times.p50_us)) },
        ], took))
    }
}

/// What the charts are drawn of, for a script: the seconds, each list from the oldest to the newest.
pub(super) fn points(pace: &Reading) -> serde_json::Value {
    let of = |value: fn(&Span) -> Option<u64>| pace.seconds.iter().map(value).collect::<Vec<_>>();
    serde_json::json!({
        "seconds": SECONDS_KEPT,
        "labels": {"orders": orders_label(pace), "answers": answers_label(pace)},
        "orders": of(|second| Some(second.counts.orders)),
        "p50_us": of(|second| second.answers.map(|times| times.p50_us)),
        "p99_us": of(|second| second.answers.map(|times| times.p99_us)),
    })
}

fn money_part(numbers: &Numbers) -> Markup {
    let Ok(counted) = &numbers.counted else {
        return html! { p.empty { "Not known: the views can't be counted." } };
    };
    let currencies = &counted.ever.sales.money;
    if currencies.is_empty() && counted.escrows.is_empty() {
        return html! { p.empty { "Nothing has been ordered yet. The first order's money will stand here." } };
    }
    html! {
        @for sales in currencies {
            @let currency = sales.currency;
            @let show = |minor| money(Money::new(minor, currency));
            @let day = counted.day.sales.money.iter().find(|money| money.currency == currency);
            @let escrows = counted.escrows.iter().find(|escrows| escrows.currency == currency);
            div.currency {
                h3 { (currency) }
                dl.tiles {
                    (tile("In escrow", unit(&show(escrows.map_or(0, |escrows| escrows.held))), &match escrows {
                        None => "no order's money is held".to_owned(),
                        Some(escrows) => format!(
                            "of {}, the oldest for {}",
                            many(escrows.orders, "order", "orders"),
                            age(numbers.at.ms_since(escrows.oldest_since))
                        ),
                    }))
                    (tile("Ordered (GMV)", unit(&show(day.map_or(0, |money| money.gmv))), &format!("last 24 h; {} since the market opened", show(sales.gmv))))
                    (tile("Released to sellers", unit(&show(day.map_or(0, |money| money.released))), &format!("last 24 h; {} ever", show(sales.released))))
                    (tile("Paid back to buyers", unit(&show(day.map_or(0, |money| money.refunded))), &format!("last 24 h; {} ever", show(sales.refunded))))
                    (tile("Fees earned", unit(&show(day.map_or(0, |money| money.fees))), &format!("last 24 h; {} ever", show(sales.fees))))
                }
                @if let Some(escrows) = escrows { (ages(escrows, numbers.at)) }
            }
        }
    }
}

const fn state_words(state: EscrowState) -> &'static str {
    match state {
        EscrowState::AwaitingPayment => "Waits for the rest of its payment",
        EscrowState::ToShip => "To be shipped",
        EscrowState::InDelivery => "On its way",
        EscrowState::Inspection => "Being inspected",
        EscrowState::Disputed => "Disputed",
        EscrowState::Returning => "To be sent back",
    }
}

/// The ages of escrows, youngest first, with their classes from pale to dark.
const AGES: [(&str, &str); 6] = [
    ("below 1 d", "age-0"),
    ("1–3 d", "age-1"),
    ("3–7 d", "age-2"),
    ("7–14 d", "age-3"),
    ("14–30 d", "age-4"),
    ("30 d and more", "age-5"),
];

/// Escrows of a currency by what they wait for, and by age.
fn ages(escrows: &Escrows, now: Timestamp) -> Markup {
    let show = |minor| money(Money::new(minor, escrows.currency));
    let most = escrows.states.iter().map(|state| state.held).max().unwrap_or(0);
    html! {
        p.legend {
            span { "Held for" }
            @for (name, class) in AGES { span class=(format!("key {class}")) { (name) } }
        }
        ul.bars {
            @for state in &escrows.states {
                @let parts = AGES.iter().zip(&state.ages).map(|((_, class), age)| ((*class).to_owned(), positive(age.held))).collect::<Vec<_>>();
                li {
                    div.of {
                        span.name { (state_words(state.state)) }
                        span.number { strong { (show(state.held)) } }
                        span.aside {
                            (many(state.orders, "order", "orders")) ", oldest " (age(now.ms_since(state.oldest_since)))
                        }
                    }
                    (chart::bar(&parts, positive(most)))
                }
            }
        }
        details {
            summary { "Each age in numbers" }
            div.wide tabindex="0" role="region" aria-label=(format!("Escrow in {} by age", escrows.currency)) {
                table {
                    thead { tr { th scope="col" { "Waits for" } @for (name, _) in AGES { th.number scope="col" { (name) } } } }
                    tbody {
                        @for state in &escrows.states {
                            tr {
                                th scope="row" { (state_words(state.state)) }
                                @for age in &state.ages {
                                    td.number { @if age.orders == 0 { "–" } @else { (show(age.held)) br; small { (many(age.orders, "order", "orders")) } } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn positive(minor: i64) -> u64 {
    u64::try_from(minor).unwrap_or(0)
}

fn funnel_part(numbers: &Numbers) -> Markup {
    let Ok(counted) = &numbers.counted else {
        return html! { p.empty { "Not known: the views can't be counted." } };
    };
    let Funnel {
        carts_opened,
        carts_migrated,
        orders_placed,
        orders_from_carts: _,
        shipped,
        delivered,
        completed,
        cancelled,
    } = counted.funnel;
    if carts_opened == 0 && orders_placed == 0 {
        return html! { p.empty { "No cart was opened and no order placed yet." } };
    }
    let most = carts_opened.max(orders_placed);
    let row = |name: &str, number: u64, of: Option<u64>| {
        let part = of.map(|of| percent(number, of));
        html! {
            li {
                div.of {
                    span.name { (name) }
                    span.number { strong { (count(number)) } }
                    span.aside { @if let Some(part) = part { (part) " of orders" } }
                }
                (chart::bar(&[("one".to_owned(), number)], most))
            }
        }
    };
    let placed = Some(orders_placed);
    html! {
        ul.bars {
            (row("Carts opened", carts_opened, None))
            (row("Carts that became orders", carts_migrated, None))
            (row("Orders placed", orders_placed, None))
            (row("Shipped", shipped, placed))
            (row("Delivered", delivered, placed))
            (row("Completed", completed, placed))
            (row("Cancelled", cancelled, placed))
        }
        p.note { "Since the market opened. Orders may be placed without a cart." }
    }
}

fn plant(numbers: &Numbers) -> Markup {
    let Readiness { state, head, applied, lag, views, storage, effects, .. } = &numbers.readiness;
    let log = match (storage.kind, storage.synced) {
        (StorageKind::Segments, _) => "segments on this machine, synced before each answer",
        (StorageKind::JetStream, _) if !storage.connected => "JetStream, which can't be reached now",
        (StorageKind::JetStream, Some(true)) => "JetStream, synced before each acknowledgement",
        (StorageKind::JetStream, Some(false)) => "JetStream, acknowledged before it is synced",
        (StorageKind::JetStream, None) => "JetStream; whether it syncs is not known",
    };
    let engine = match state {
        EngineState::Standby => "stands by",
        EngineState::Writing => "writes",
        EngineState::ClockDoubted => "decides nothing: its clock has jumped",
        EngineState::Stopped => "has stopped",
    };
    let behind: Vec<(&str, u64)> = views
        .iter()
        .map(|(name, position)| (*name, head.saturating_sub(*position)))
        .filter(|(_, behind)| *behind > 0)
        .collect();
    html! {
        dl.facts {
            div { dt { "Engine" } dd { (engine) } }
            div { dt { "Log" } dd { (log) } }
            div { dt { "Ends at" } dd { "position " (count(*head)) } }
            div { dt { "Views" } dd {
                "have read to position " (count(*applied)) ", "
                @if *lag == 0 { "all of it" } @else { (many(*lag, "event", "events")) " behind" }
                @if !behind.is_empty() {
                    ul.plain { @for (name, behind) in &behind { li { (name) ": " (many(*behind, "event", "events")) " behind" } } }
                }
            } }
            @if let Some(rebuild) = &numbers.rebuild { div { dt { "Rebuild" } dd { (rebuild_words(rebuild)) } } }
            div { dt { "Providers" } dd {
                @if effects.pending == 0 { "nothing is asked of them" } @else {
                    (many(effects.pending as u64, "request", "requests")) " under way, " (count(effects.stuck as u64)) " stuck"
                }
            } }
            div { dt { "Market's time" } dd {
                (time(numbers.at)) @if numbers.is_simulated { ", which is simulated" }
            } }
        }
    }
}

/// Says where a rebuild of views stands.
fn rebuild_words(rebuild: &ShownRebuild) -> Markup {
    let ShownRebuild { views, state, ended_at, read, of, left_s, found, why, .. } = rebuild;
    let names = views.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let differed: Vec<String> =
        found.iter().filter(|found| !found.was_equal).map(|found| found.view.to_string()).collect();
    let ended = html! { @if let Some(at) = ended_at { " " (time(*at)) } };
    html! {
        @match state {
            RebuildState::Running => {
                "has read " (percent(*read, *of)) " of the log"
                @if let Some(left_s) = left_s {
                    ", about " (age(i64::try_from(*left_s).unwrap_or(i64::MAX).saturating_mul(1_000))) " left"
                }
            }
            RebuildState::Done if differed.is_empty() => { "done" (ended) ": each was what the log says" }
            RebuildState::Done => { "done" (ended) ": " (differed.join(", ")) " differed from the log, and is mended" }
            RebuildState::Cancelled => { "cancelled" (ended) ": the views are as they were" }
            RebuildState::Failed => {
                "failed" (ended) ", and the views are as they were" @if let Some(why) = why { ": " (why) }
            }
        }
        ul.plain { li { (names) } }
    }
}

#[cfg(test)]
mod tests {
    use events::Hash;
    use events::ids::AccountId;
    use projections::ViewName;
    use uuid::Uuid;

    use super::*;
    use crate::rebuild::FoundView;

    fn rebuild(state: RebuildState) -> ShownRebuild {
        ShownRebuild {
            views: vec![ViewName::Orders, ViewName::Ledger],
            state,
            by: AccountId::from_uuid(Uuid::nil()),
            begun_at: Timestamp::from_ms(0),
            ended_at: None,
            read: 250_000,
            of: 1_000_000,
            events_per_s: Some(25_000),
            left_s: None,
            found: Vec::new(),
            why: None,
        }
    }

    fn words(rebuild: &ShownRebuild) -> String {
        rebuild_words(rebuild).into_string()
    }

    #[test]
    fn a_rebuild_says_how_far_it_is_and_what_it_found() {
        let running = ShownRebuild { left_s: Some(30), ..rebuild(RebuildState::Running) };
        assert_eq!(
            words(&running),
            r#"has read 25 % of the log, about 30 s left<ul class="plain"><li>orders, ledger</li></ul>"#
        );
        let found = |view, was_equal| FoundView {
            view,
            position: 1,
            was_equal,
            live_hash: Hash::ZERO,
            rebuilt_hash: Hash::ZERO,
        };
        let found = vec![found(ViewName::Orders, true), found(ViewName::Ledger, false)];
        let done = ShownRebuild { found, ..rebuild(RebuildState::Done) };
        assert!(words(&done).starts_with("done: ledger differed from the log, and is mended"));
        let why = Some("the <log> could not be read".to_owned());
        let failed = ShownRebuild { why, ..rebuild(RebuildState::Failed) };
        assert!(words(&failed).contains("as they were: the &lt;log&gt; could not be read"));
    }
}
