//! A log whose commits its own process follows from memory: nothing is missed when an append's answer is lost.
#![allow(clippy::unwrap_used, reason = "a test that can't go on stops where it is")]

use std::sync::Arc;

use engine::log::memory::{Fault, MemoryLog};
use engine::log::tailed::TailedLog;
use engine::log::{AppendError, EventLog};
use events::account::{Registered, Role};
use events::commit::Seal;
use events::ids::{AccountId, CommitId, WriterId};
use events::metadata::Cause;
use events::{Commit, Head, Timestamp};
use futures::StreamExt;
use uuid::Uuid;

fn commit(head: Head) -> Arc<Commit> {
    let writer = WriterId::from_uuid(Uuid::from_u128(9));
    let time = Timestamp::from_ms(1_753_783_200_000);
    let seal = Seal {
        id: CommitId::derive(writer, head.position + 1, time),
        market: "main".parse().unwrap(),
        time,
        cause: Cause::Writer(writer),
        traceparent: None,
    };
    let account = AccountId::from_uuid(Uuid::from_u128(head.position.into()));
    Arc::new(Commit::seal(head, seal, vec![Registered { account, roles: [Role::Buyer].into() }.into()]))
}

#[tokio::test]
async fn followers_get_every_commit_once_though_an_answer_was_lost() {
    let memory = MemoryLog::new();
    let log = TailedLog::new(memory.clone()).await.unwrap();
    let first = commit(Head::EMPTY);
    let second = commit(first.head());
    let third = commit(second.head());
    let mut followed = log.follow(1);

    log.append(Head::EMPTY, &[Arc::clone(&first)]).await.unwrap();
    assert_eq!(followed.next().await.unwrap().unwrap(), first);

    memory.inject(Fault::AnswerLost);
    let lost = log.append(first.head(), &[Arc::clone(&second)]).await;
    assert!(matches!(lost, Err(AppendError::Unknown(_))));
    let again = log.append(first.head(), &[Arc::clone(&second)]).await;
    assert!(matches!(again, Err(AppendError::Conflict { .. })));
    assert_eq!(followed.next().await.unwrap().unwrap(), second);

    log.append(second.head(), &[Arc::clone(&third)]).await.unwrap();
    assert_eq!(followed.next().await.unwrap().unwrap(), third);
    let anew: Vec<_> = log.follow(1).take(3).map(Result::unwrap).collect().await;
    assert_eq!(anew, [first, second, third]);
}
