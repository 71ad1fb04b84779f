//! Following a log: across crashes, repeats, damage, rebuilds, and for those who wait.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // what a test calls is a test too

mod support;

use std::convert::Infallible;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use events::ledger::{LedgerAccount, Transfer};
use events::listing::WalletFunded;
use events::{Commit, Hash, Head};
use futures::channel::mpsc;
use futures::{FutureExt, StreamExt};
use projections::runner::COMMITS_PER_BATCH_MAX;
use projections::{
    Projections, RebuildError, Rebuilt, RunError, RunState, TooFarBehind, ViewError, ViewName,
};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use support::market::{history_of, wishes};
use support::{History, account, follow, stream, usd};

/// Says to this test program that it is the one to be killed, and where the views are.
const VICTIM_DIR: &str = "SKYLINK_TEST_VICTIM_DIR";
/// How often the views are killed.
const KILLS: usize = 4;

fn random_history(count: usize) -> History {
    let mut runner = TestRunner::deterministic();
    let wishes = proptest::collection::vec(wishes(2), count).new_tree(&mut runner).unwrap().current();
    history_of(&wishes.concat())
}

fn open(dir: &Path) -> Projections {
    Projections::open(dir).unwrap()
}

fn hashes(views: &Projections) -> Vec<(Head, Hash)> {
    ViewName::ALL.map(|view| views.content_hash(view).unwrap()).to_vec()
}

async fn hashes_of(history: &History) -> Vec<(Head, Hash)> {
    let dir = tempfile::tempdir().unwrap();
    let views = open(dir.path());
    follow(&views, history.all()).await;
    hashes(&views)
}

/// The same history up to some commit, and something else behind it.
fn forked(history: &History, commits: usize) -> History {
    let mut fork = history.clone();
    fork.commits.truncate(commits);
    while fork.head().position <= history.head().position {
        fork.later(1);
        fund(&mut fork, 77);
    }
    fork
}

fn fund(history: &mut History, minor: i64) {
    let from = LedgerAccount::ProviderClearing(account(99));
    let transfer = Transfer { amount: usd(minor), from, to: LedgerAccount::Wallet(account(1)) };
    let funded = WalletFunded { account: account(1), reference: "pay-2".into(), transfer };
    history.commanded(account(99), "wallet.fund", vec![funded.into()]);
}

/// The program that is killed: follows the log commit by commit and says how far it is.
async fn be_the_victim(dir: &Path) {
    let history = random_history(600);
    let views = open(dir);
    let from = views.checkpoint().position;
    let mut applied = views.applied();
    let said = tokio::spawn(async move {
        while applied.changed().await.is_ok() {
            println!("applied {}", *applied.borrow_and_update());
        }
    });
    // Each commit comes when the one before was taken in, so that there are many batches to be killed between and in.
    let slowly = history.after(from).then(|commit| async {
        let before = commit.as_ref().unwrap().previous_head().position;
        views.wait_for(before, Duration::from_secs(60)).await.unwrap();
        commit
    });
    follow(&views, slowly).await;
    println!("applied all");
    drop(views);
    said.await.unwrap();
}

#[tokio::test]
async fn views_killed_at_any_moment_go_on_and_count_each_event_once() {
    if let Some(dir) = std::env::var_os(VICTIM_DIR) {
        return be_the_victim(Path::new(&dir)).await;
    }
    let history = random_history(600);
    let dir = tempfile::tempdir().unwrap();
    let mut killed = 0;
    for round in 1..=KILLS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "views_killed_at_any_moment_go_on_and_count_each_event_once", "--nocapture"])
            .env(VICTIM_DIR, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let applied = lines.map(Result::unwrap).filter(|line| line.contains("applied")).nth(40 * round);
        // SIGKILL: nothing is flushed, nothing is said good-bye to.
        child.kill().unwrap();
        child.wait().unwrap();
        killed += usize::from(applied.is_some_and(|line| !line.contains("all")));
    }
    assert!(killed > 0, "the views were never killed while they had work left");
    let views = open(dir.path());
    follow(&views, history.after(views.checkpoint().position)).await;
    assert_eq!(hashes(&views), hashes_of(&history).await);
}

#[tokio::test]
async fn a_log_given_from_an_earlier_position_is_counted_once() {
    let history = random_history(200);
    let dir = tempfile::tempdir().unwrap();
    let views = open(dir.path());
    let half = history.commits.len() / 2;
    follow(&views, stream(history.commits[..half].to_vec())).await;
    follow(&views, history.all()).await;
    follow(&views, history.all()).await;
    follow(&views, stream(history.commits[half / 2..].to_vec())).await;
    assert_eq!(hashes(&views), hashes_of(&history).await);
    assert_eq!(views.checkpoint(), history.head());
}

#[tokio::test]
async fn views_that_catch_up_read_what_views_that_keep_up_read() {
    let history = random_history(8_000);
    assert!(history.commits.len() > COMMITS_PER_BATCH_MAX, "more than one whole batch is read");
    let dir = tempfile::tempdir().unwrap();
    let views = open(dir.path());
    for few in history.commits.chunks(100) {
        follow(&views, stream(few.to_vec())).await;
    }
    assert_eq!(hashes(&views), hashes_of(&history).await);
}

#[tokio::test]
async fn what_was_applied_is_there_after_a_restart() {
    let history = random_history(200);
    let dir = tempfile::tempdir().unwrap();
    let views = open(dir.path());
    follow(&views, history.all()).await;
    let before = hashes(&views);
    drop(views);
    let views = open(dir.path());
    assert_eq!(hashes(&views), before);
    assert_eq!(views.checkpoint(), history.head());
}

#[tokio::test]
async fn a_log_that_was_restored_truncated_or_has_a_gap_is_refused() {
    let history = random_history(200);
    let dir = tempfile::tempdir().unwrap();
    let views = open(dir.path());
    let half = history.commits.len() / 2;
    follow(&views, stream(history.commits[..half].to_vec())).await;
    let before = hashes(&views);
    let checkpoint = views.checkpoint();

    let fork = forked(&history, half - 1);
    let gap = history.commits[half + 1..].to_vec();
    for wrong in [stream(fork.commits.clone()), stream(fork.commits[half..].to_vec()), stream(gap)] {
        let refused = views.run(wrong, std::future::pending()).await.unwrap_err();
        let RunError::Mismatch(mismatch) = &refused else { panic!("{refused}") };
        assert_eq!(mismatch.checkpoint, checkpoint);
        assert!(refused.to_string().contains("restored or truncated"), "{refused}");
    }
    assert_eq!(hashes(&views), before, "what is refused changes nothing");

    let short = history.commits[half - 2].head();
    assert!(views.check_log_head(short).is_err());
    assert!(views.check_log_head(Head { hash: Hash::ZERO, ..checkpoint }).is_err());
    views.check_log_head(checkpoint).unwrap();
    views.check_log_head(history.head()).unwrap();
    follow(&views, history.after(checkpoint.position)).await;
    assert_eq!(views.checkpoint(), history.head());
}

#[tokio::test]
async fn a_rebuilt_view_equals_the_live_one_and_takes_its_place() {
    let history = random_history(300);
    let dir = tempfile::tempdir().unwrap();
    let views = open(dir.path());
    let half = history.commits.len() / 2;
    follow(&views, stream(history.commits[..half].to_vec())).await;
    for view in ViewName::ALL {
        let before = views.content_hash(view).unwrap();
        // The log is longer than the live view: it meets it on the way.
        let rebuilt = views.rebuild(&[view], history.all()).await.unwrap();
        let [rebuilt] = rebuilt[..] else { panic!("{rebuilt:?}") };
        assert!(rebuilt.is_equal(), "{rebuilt:?}");
        assert_eq!((rebuilt.head, rebuilt.rebuilt_hash), before);
        assert_eq!(views.content_hash(view).unwrap(), before);
    }
    follow(&views, history.all()).await;
    let expected = hashes_of(&history).await;
    assert_eq!(hashes(&views), expected);
    drop(views);
    assert_eq!(hashes(&open(dir.path())), expected, "the swap outlives a restart");
}

#[tokio::test]
async fn all_views_are_rebuilt_in_one_pass_while_they_follow() {
    let history = random_history(300);
    let dir = tempfile::tempdir().unwrap();
    let views = open(dir.path());
    let half = history.commits.len() / 2;
    follow(&views, stream(history.commits[..half].to_vec())).await;
    let slowly = history.after(views.checkpoint().position).then(|commit| async {
        tokio::task::yield_now().await;
        commit
    });
    let (run, rebuilt) =
        tokio::join!(views.run(slowly, std::future::pending()), views.rebuild(&ViewName::ALL, history.all()));
    run.unwrap();
    let rebuilt = rebuilt.unwrap();
    assert_eq!(rebuilt.iter().map(|rebuilt| rebuilt.view).collect::<Vec<_>>(), ViewName::ALL);
    assert!(rebuilt.iter().all(Rebuilt::is_equal), "{rebuilt:?}");
    assert_eq!(hashes(&views), hashes_of(&history).await);
}

#[tokio::test]
async fn a_rebuild_from_a_log_that_is_too_short_or_another_changes_nothing() {
    let history = random_history(100);
    let dir = tempfile::tempdir().unwrap();
    let views = open(dir.path());
    follow(&views, history.all()).await;
    let before = hashes(&views);
    let half = history.commits.len() / 2;

    let short = views.rebuild(&[ViewName::Orders], stream(history.commits[..half].to_vec())).await;
    assert!(
        matches!(short, Err(RebuildError::Short { reached, .. }) if reached == history.commits[half - 1].head())
    );
    let other = views.rebuild(&[ViewName::Orders], forked(&history, half).all()).await;
    assert!(matches!(other, Err(RebuildError::Mismatch(_))), "{other:?}");
    let late = views.rebuild(&[ViewName::Orders], stream(history.commits[1..].to_vec())).await;
    assert!(matches!(late, Err(RebuildError::Mismatch(_))), "{late:?}");
    assert_eq!(hashes(&views), before);
}

/// Which rows of a view are changed, by their number and how many there are: its checkpoint, its last row, all but the checkpoint.
type Which = fn(usize, usize) -> bool;
const CHECKPOINT: Which = |row, _| row == 0;
const LAST: Which = |row, rows| row + 1 == rows;
const ALL: Which = |row, _| row > 0;

/// Changes values of a view on disk behind its back.
fn damage(dir: &Path, view: ViewName, which: Which, change: impl Fn(&mut Vec<u8>)) {
    // Not by sled alone: its threads may still hold the lock of the views that were dropped just now.
    let db = projections::open_db(dir).unwrap();
    let names = db.tree_names();
    let name = names.iter().find(|name| name.starts_with(view.as_str().as_bytes())).unwrap();
    let tree = db.open_tree(name).unwrap();
    let rows: Vec<_> = tree.iter().map(Result::unwrap).collect();
    assert_eq!(rows[0].0.as_ref(), [0], "the checkpoint is the first");
    for (_, (key, value)) in rows.iter().enumerate().filter(|(row, _)| which(*row, rows.len())) {
        let mut value = value.to_vec();
        change(&mut value);
        tree.insert(key, value).unwrap();
    }
    db.flush().unwrap();
}

#[tokio::test]
async fn a_damaged_view_is_found_and_mended_by_a_rebuild() {
    let history = random_history(200);
    let dir = tempfile::tempdir().unwrap();
    let views = open(dir.path());
    follow(&views, history.all()).await;
    let (_, sound) = views.content_hash(ViewName::Ledger).unwrap();
    drop(views);
    damage(dir.path(), ViewName::Ledger, LAST, |value| *value.last_mut().unwrap() ^= 2);
    let views = open(dir.path());
    let rebuilt = views.rebuild(&[ViewName::Ledger], history.all()).await.unwrap()[0];
    assert!(!rebuilt.is_equal());
    assert_eq!(rebuilt.rebuilt_hash, sound);
    assert_eq!(views.content_hash(ViewName::Ledger).unwrap().1, sound);
}

#[tokio::test]
async fn a_view_whose_rows_can_not_be_told_apart_is_mended_by_a_rebuild() {
    let history = random_history(200);
    let dir = tempfile::tempdir().unwrap();
    let views = open(dir.path());
    follow(&views, history.all()).await;
    let (_, sound) = views.content_hash(ViewName::Ledger).unwrap();
    drop(views);
    damage(dir.path(), ViewName::Ledger, LAST, |value| value.truncate(value.len() - 1));
    let views = open(dir.path());
    let rebuilt = views.rebuild(&[ViewName::Ledger], history.all()).await.unwrap()[0];
    assert!(!rebuilt.is_equal());
    assert_eq!(views.content_hash(ViewName::Ledger).unwrap().1, sound);
}

#[tokio::test]
async fn a_view_of_another_version_is_built_again_from_zero() {
    let history = random_history(100);
    let dir = tempfile::tempdir().unwrap();
    let views = open(dir.path());
    follow(&views, history.all()).await;
    let expected = hashes(&views);
    drop(views);
    damage(dir.path(), ViewName::Carts, CHECKPOINT, |value| value[0] = 200);
    let views = open(dir.path());
    assert_eq!(views.head(ViewName::Carts), Head::EMPTY);
    assert_eq!(views.head(ViewName::Orders), history.head());
    assert_eq!(views.checkpoint(), Head::EMPTY);
    follow(&views, history.all()).await;
    assert_eq!(hashes(&views), expected);
}

#[tokio::test]
async fn a_reader_waits_for_what_a_receipt_has_promised() {
    let history = random_history(50);
    let dir = tempfile::tempdir().unwrap();
    let views = open(dir.path());
    let wanted = history.head().position;
    let too_early = views.wait_for(wanted, Duration::ZERO).await;
    assert_eq!(too_early, Err(TooFarBehind { wanted, applied: 0 }));
    assert!(too_early.unwrap_err().to_string().contains("ask again"));
    let (waited, ()) =
        tokio::join!(views.wait_for(wanted, Duration::from_secs(60)), follow(&views, history.all()));
    waited.unwrap();
    views.wait_for(wanted, Duration::ZERO).await.unwrap();
    assert!(views.wait_for(wanted + 1, Duration::ZERO).await.is_err());
}

#[tokio::test]
async fn a_shutdown_ends_a_run_that_waits_and_a_second_run_is_refused() {
    let history = random_history(50);
    let dir = tempfile::tempdir().unwrap();
    let views = open(dir.path());
    let endless = history.all().chain(futures::stream::pending());
    let shutdown = async {
        views.wait_for(history.head().position, Duration::from_secs(60)).await.unwrap();
        let second = views.run(history.all(), std::future::pending()).await;
        assert!(matches!(second, Err(RunError::AlreadyRunning)));
    };
    views.run(endless, shutdown).await.unwrap();
    assert_eq!(views.checkpoint(), history.head());
    follow(&views, history.all()).await;
}

#[tokio::test]
async fn a_run_that_is_dropped_ends_its_batch_and_nothing_is_counted_twice() {
    let history = random_history(200);
    let dir = tempfile::tempdir().unwrap();
    let views = open(dir.path());
    // One poll hands the whole history to the thread that folds; then nobody waits for it any more.
    assert!(views.run(history.all(), std::future::pending()).now_or_never().is_none());
    let again = views.run(history.all(), std::future::pending()).await;
    assert!(matches!(again, Ok(()) | Err(RunError::AlreadyRunning)));
    views.wait_for(history.head().position, Duration::from_secs(60)).await.unwrap();
    assert_eq!(hashes(&views), hashes_of(&history).await);
}

#[tokio::test]
async fn an_error_of_the_log_ends_the_run_behind_what_came_before_it() {
    let history = random_history(50);
    let dir = tempfile::tempdir().unwrap();
    let views = open(dir.path());
    let half = history.commits.len() / 2;
    let commits = history.commits[..half].iter().cloned().map(Ok);
    let broken: Vec<Result<Arc<Commit>, std::fmt::Error>> = commits.chain([Err(std::fmt::Error)]).collect();
    let ended = views.run(futures::stream::iter(broken), std::future::pending()).await;
    assert!(matches!(ended, Err(RunError::Log(std::fmt::Error))));
    assert_eq!(views.checkpoint(), history.commits[half - 1].head());
}

#[tokio::test]
async fn a_balance_that_does_not_fit_stops_the_view_before_it() {
    let mut history = History::default();
    fund(&mut history, i64::MAX);
    fund(&mut history, 1);
    let dir = tempfile::tempdir().unwrap();
    let views = open(dir.path());
    follow(&views, history.all()).await;
    let why = views.stopped(ViewName::Ledger).unwrap();
    assert!(why.contains("overflows at position 2"), "{why}");
    // Nothing is mended by reading it once more.
    let rebuilt = views.rebuild(&[ViewName::Ledger], history.all()).await;
    assert!(
        matches!(rebuilt, Err(RebuildError::View(ViewError::Overflow { position: 2, .. }))),
        "{rebuilt:?}"
    );
    assert_eq!(views.stopped(ViewName::Ledger), Some(why));
}

#[tokio::test]
async fn a_view_that_has_stopped_answers_nothing_until_it_was_built_again_while_the_others_go_on() {
    let balance =
        |views: &Projections| views.ledger().balance(LedgerAccount::Wallet(account(1)), usd(0).currency);
    let mut history = History::default();
    fund(&mut history, 5);
    let dir = tempfile::tempdir().unwrap();
    let views = open(dir.path());
    follow(&views, history.all()).await;
    drop(views);
    damage(dir.path(), ViewName::Ledger, ALL, |value| value.truncate(value.len() - 1));

    let views = open(dir.path());
    let (log, commits) = mpsc::unbounded::<Result<_, Infallible>>();
    let append = |history: &mut History, minor| {
        fund(history, minor);
        log.unbounded_send(Ok(Arc::clone(history.commits.last().unwrap()))).unwrap();
        history.head()
    };
    let wait = async |head: Head| views.wait_for(head.position, Duration::from_secs(60)).await.unwrap();
    let market = async {
        // Others go on, and nobody waits for the one that does not.
        wait(append(&mut history, 7)).await;
        let stopped = |view: &ViewName| views.stopped(*view).is_some_and(|why| why.contains("damaged"));
        assert_eq!(ViewName::ALL.into_iter().filter(stopped).collect::<Vec<_>>(), [ViewName::Ledger]);
        let asked = balance(&views);
        assert!(
            matches!(asked, Err(ViewError::Stopped { view: ViewName::Ledger, position: 1, .. })),
            "{asked:?}"
        );
        let third = append(&mut history, 11);
        wait(third).await;
        assert_eq!((views.head(ViewName::Audit), views.checkpoint()), (third, third));

        // What is built again goes on where the others are.
        let rebuilt = views.rebuild(&[ViewName::Ledger], history.all()).await.unwrap()[0];
        assert!(rebuilt.head == third && !rebuilt.is_equal(), "{rebuilt:?}");
        assert_eq!((views.stopped(ViewName::Ledger), balance(&views).unwrap()), (None, usd(23)));
        wait(append(&mut history, 13)).await;
        assert_eq!(balance(&views).unwrap(), usd(36));
    };
    views.run(commits, market).await.unwrap();
    assert_eq!(hashes(&views), hashes_of(&history).await);
}

#[tokio::test]
async fn whether_the_views_follow_a_log_is_told_with_the_reason_why_not() {
    let history = random_history(20);
    let dir = tempfile::tempdir().unwrap();
    let views = open(dir.path());
    let mut state = views.state();
    let why = |state: &RunState| match state {
        RunState::Running => String::new(),
        RunState::Stopped(why) => why.clone(),
    };
    assert_eq!(why(&state.borrow()), "they have not begun to follow the log");

    // A log that neither ends nor goes on is followed, until the future is dropped.
    let endless = futures::stream::pending::<Result<Arc<Commit>, std::io::Error>>();
    let mut run = Box::pin(views.run(endless, std::future::pending()));
    tokio::select! {
        _ = &mut run => unreachable!("the log does not end"),
        reached = state.wait_for(|state| *state == RunState::Running) => drop(reached.unwrap()),
    }
    let second = views.run(history.all(), std::future::pending()).await;
    assert!(matches!(second, Err(RunError::AlreadyRunning)));
    assert_eq!(*state.borrow(), RunState::Running);
    drop(run);
    assert_eq!(why(&state.borrow()), "their task was broken off");

    follow(&views, history.all()).await;
    assert_eq!(why(&state.borrow()), "they were told to stop, or the log ended");
    let broken = futures::stream::iter([Err(std::io::Error::other("the disk is gone"))]);
    assert!(views.run(broken, std::future::pending()).await.is_err());
    assert_eq!(why(&state.borrow()), "the log could not be read further: the disk is gone");
}
