use events::cart::{
    Frozen, ItemAdded, KeptPrice, MergePolicy, MergeSource, Merged, MergedLine, Migrated, MovedBack, Named,
    QuantitySet, Restored, RestoredLine, SavedForLater, Shared, Unfrozen,
};
use events::commit::Seal;
use events::ids::{CommitId, PasswordId, WriterId};
use events::metadata::Cause;
use events::sign_in::{PasswordRemoved, SessionEnded, SessionStarted};
use events::{Event, Head};
use serde_json::json;
use uuid::Uuid;

use super::*;

const NOW: Timestamp = Timestamp::from_ms(7_000);

fn account(n: u128) -> AccountId {
    AccountId::from_uuid(Uuid::from_u128(n))
}

fn cart(n: u128) -> CartId {
    CartId::from_uuid(Uuid::from_u128(n))
}

fn listing(n: u128) -> ListingId {
    ListingId::from_uuid(Uuid::from_u128(n))
}

fn session(n: u128) -> SessionId {
    SessionId::from_uuid(Uuid::from_u128(n))
}

fn units(n: u32) -> Quantity {
    Quantity::new(n).unwrap()
}

fn price(minor: i64) -> Money {
    Money::new(minor, "USD".parse().unwrap())
}

/// A log of one commit for each event.
fn log(events: Vec<Event>) -> Vec<Commit> {
    let writer = WriterId::from_uuid(Uuid::from_u128(1));
    let mut head = Head::EMPTY;
    let commits = events.into_iter().map(|event| {
        let seal = Seal {
            id: CommitId::derive(writer, head.position + 1, NOW),
            market: "main".parse().unwrap(),
            time: NOW,
            cause: Cause::Writer(writer),
            traceparent: None,
        };
        let commit = Commit::seal(head, seal, vec![event]);
        head = commit.head();
        commit
    });
    commits.collect()
}

fn added(account_of: u128, to: u128, of: u128, quantity: u32, version: u64) -> Event {
    let (account, cart, listing) = (account(account_of), cart(to), listing(of));
    let (added, quantity, unit_price) = (units(1), units(quantity), price(100 + i64::try_from(of).unwrap()));
    let (by, listing_version) = (None, 1);
    ItemAdded { account, added, by, cart, listing, listing_version, quantity, unit_price, version }.into()
}

/// What two people did with their carts, and one with sessions.
fn events() -> Vec<Event> {
    let (alice, bob) = (account(1), account(2));
    let name = Some("Birthday".to_owned());
    let kept = KeptPrice { listing: listing(20), listing_version: 1, unit_price: price(99) };
    let merged = |of: u128, from: u32, had: Option<u32>, result: u32| MergedLine {
        from: units(from),
        had: had.map(units),
        listing: listing(of),
        result: units(result),
    };
    let source = MergeSource { account: bob, cart: cart(2), version: 3 };
    let lines = vec![merged(20, 3, Some(2), 3), merged(30, 1, None, 1)];
    let begun = |n: u128| SessionStarted {
        account: bob,
        session: session(n),
        until: NOW.plus_ms(1000),
        password: Some(PasswordId::from_uuid(Uuid::from_u128(9))),
        shown: None,
    };
    vec![
        added(1, 1, 10, 1, 1),
        added(1, 1, 20, 2, 2),
        QuantitySet {
            account: alice,
            by: None,
            cart: cart(1),
            listing: listing(10),
            quantity: units(5),
            version: 3,
        }
        .into(),
        Named { account: alice, cart: cart(1), name, version: 4 }.into(),
        Shared { account: alice, cart: cart(1), version: 5, with: bob }.into(),
        SavedForLater { account: alice, cart: cart(1), listing: listing(10), quantity: units(5), version: 6 }
            .into(),
        Frozen { account: alice, cart: cart(1), prices: vec![kept], until: NOW, version: 7 }.into(),
        Unfrozen { account: alice, cart: cart(1), version: 8 }.into(),
        MovedBack { account: alice, cart: cart(1), listing: listing(10), quantity: units(4), version: 9 }
            .into(),
        added(2, 2, 20, 3, 1),
        added(2, 2, 30, 1, 2),
        Merged { account: alice, cart: cart(1), lines, policy: MergePolicy::Max, source, version: 10 }.into(),
        Migrated { account: alice, cart: cart(1), orders: Vec::new(), version: 11 }.into(),
        Restored {
            account: alice,
            cart: cart(3),
            from: cart(1),
            lines: vec![RestoredLine { listing: listing(30), quantity: units(1) }],
            version: 1,
        }
        .into(),
        begun(1).into(),
        begun(2).into(),
        SessionEnded { account: bob, session: session(1) }.into(),
        PasswordRemoved { account: bob, password: PasswordId::from_uuid(Uuid::from_u128(9)) }.into(),
    ]
}

fn folded(rows: Rows, log: &[Commit]) -> Rows {
    log.iter().fold(rows, |mut rows, commit| {
        rows.apply(commit).unwrap();
        rows
    })
}

/// The rows as a database gives them back.
fn stored(rows: &Rows) -> Rows {
    let carts = rows.carts.values().map(|row| serde_json::from_value(json!(row)).unwrap()).collect();
    let saved = rows.saved.values().map(|row| serde_json::from_value(json!(row)).unwrap()).collect();
    let sessions = rows.sessions.values().map(|row| serde_json::from_value(json!(row)).unwrap()).collect();
    Rows::found(carts, saved, sessions)
}

#[test]
fn rows_say_what_the_log_says() {
    let rows = folded(Rows::default(), &log(events()));
    let first = json!(rows.carts[&cart(1)]);
    let shown = |line: &Line| (line.listing, line.quantity.get(), line.unit_price.minor);
    let lines: Vec<_> = rows.carts[&cart(1)].lines.iter().map(shown).collect();
    assert_eq!(lines, [(listing(20), 3, 120), (listing(10), 4, 110), (listing(30), 1, 130)]);
    assert_eq!(
        (&first["state"], &first["version"], &first["name"]),
        (&json!("migrated"), &json!(11), &json!("Birthday"))
    );
    assert_eq!(first["shared_with"], json!([account(2)]));
    assert_eq!(rows.carts[&cart(2)].state, State::Merged { merged_into: cart(1) });
    let restored: Vec<_> = rows.carts[&cart(3)].lines.iter().map(shown).collect();
    assert_eq!((restored, &rows.carts[&cart(3)].state), (vec![(listing(30), 1, 130)], &State::Active));
    assert_eq!(rows.saved[&account(1)].lines, []);
    assert!(rows.sessions.values().all(|row| row.ended_at == Some(NOW) && row.with_password));
    // A row says which state it has once.
    assert_eq!(json!(rows.carts[&cart(2)])["merged_into"], json!(cart(1)));
    assert!(first.get("frozen_until").is_none());
}

#[test]
fn whoever_stops_anywhere_and_reads_some_of_it_again_has_the_same_rows() {
    let log = log(events());
    let all = folded(Rows::default(), &log);
    for stopped in 0..=log.len() {
        let before = stored(&folded(Rows::default(), &log[..stopped]));
        assert!(before.carts.values().all(|row| !before.is_changed(
            "cart",
            row.cart.to_string(),
            row.position
        )));
        for from in 0..=stopped {
            let rows = folded(stored(&before), &log[from..]);
            let is_equal =
                rows.carts == all.carts && rows.saved == all.saved && rows.sessions == all.sessions;
            assert!(is_equal, "stopped at {stopped}, from {from}");
        }
    }
}

#[test]
fn only_the_rows_that_events_are_about_are_asked_for_and_they_are_enough() {
    let log = log(events());
    let mut all = Rows::default();
    for commit in &log {
        let mut needed = Needed::default();
        needed.add(commit);
        let carts = all.carts.values().filter(|row| needed.carts.contains(&row.cart)).cloned().collect();
        let saved = all.saved.values().filter(|row| needed.saved.contains(&row.account)).cloned().collect();
        let is_needed = |row: &&SessionRow| {
            needed.sessions.contains(&row.session)
                || (needed.signed_out.contains(&row.account) && row.ended_at.is_none())
        };
        let sessions = all.sessions.values().filter(is_needed).cloned().collect();
        let mut rows = Rows::found(carts, saved, sessions);
        rows.apply(commit).unwrap();
        all.carts.extend(rows.carts);
        all.saved.extend(rows.saved);
        all.sessions.extend(rows.sessions);
    }
    let once = folded(Rows::default(), &log);
    assert_eq!((&all.carts, &all.saved, &all.sessions), (&once.carts, &once.saved, &once.sessions));
    let mut nothing = Needed::default();
    let rejected = events::command::Rejected { command: "cart.add".to_owned(), reasons: Vec::new() };
    nothing.add(&self::log(vec![rejected.into()])[0]);
    assert_eq!(nothing.len(), 0);
}

#[test]
fn a_row_that_somebody_took_out_is_missed() {
    let log = log(events());
    let missing = Rows::default().apply(&log[2]).unwrap_err();
    let said = missing.to_string();
    assert!(said.contains(&cart(1).to_string()) && said.contains("start again"), "{said}");
}
