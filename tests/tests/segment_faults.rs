//! What a segment log does when the disk goes wrong: it loses nothing acknowledged, and hides nothing.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::log::segment::disk::RealDisk;
use engine::log::segment::format::SEGMENT_HEADER_BYTES;
use engine::log::segment::{Cut, OpenError, SegmentLog, SegmentOptions};
use engine::log::{AppendError, EventLog, ReadError};
use events::{Commit, Hash, Head};
use futures::TryStreamExt;
use proptest::prelude::*;
use tests::log_contract::{commit_by, commits, head_of, market, take};
use tests::sim_disk::{DiskFault, SimDisk, Survival, mix};

const DIR: &str = "log";

fn open(disk: &SimDisk, floor: Option<Head>, segment_bytes_max: u64) -> Result<SegmentLog, OpenError> {
    let options = SegmentOptions { segment_bytes_max, disk: Arc::new(disk.clone()) };
    SegmentLog::open_writer(Path::new(DIR), market(), floor, options)
}

fn segment(first: u64) -> PathBuf {
    SegmentLog::segments_folder(Path::new(DIR)).join(format!("{first:020}.seg"))
}

async fn read(log: &SegmentLog) -> Result<Vec<Arc<Commit>>, ReadError> {
    log.read(1).try_collect().await
}

/// Writes one group per commit and gives the commits and where each group ends in the only segment.
async fn written(disk: &SimDisk, counts: &[usize]) -> (Vec<Arc<Commit>>, Vec<usize>) {
    let log = open(disk, None, u64::MAX).unwrap();
    let all = commits(Head::EMPTY, counts);
    let mut ends = vec![SEGMENT_HEADER_BYTES];
    for (at, commit) in all.iter().enumerate() {
        log.append(head_of(&all[..at]), &[Arc::clone(commit)]).await.unwrap();
        ends.push(disk.bytes(&segment(1)).unwrap().len());
    }
    (all, ends)
}

fn damaged_at(error: &ReadError) -> String {
    match error {
        ReadError::Damaged { place, .. } => place.clone(),
        other => panic!("not named as damage: {other:?}"),
    }
}

#[tokio::test]
async fn every_torn_length_of_the_last_group_is_cut_and_nothing_else() {
    let disk = SimDisk::new();
    let (all, ends) = written(&disk, &[1, 2, 1]).await;
    let whole = disk.bytes(&segment(1)).unwrap();
    for length in ends[2]..ends[3] {
        // The file ends in the middle, or zeros stand where the rest should, or even more zeros.
        for zeros in [0, ends[3] - length, ends[3] - length + 5000] {
            let mut torn = whole[..length].to_vec();
            torn.resize(length + zeros, 0);
            let cut = (torn.len() > ends[2]).then(|| Cut {
                path: segment(1),
                offset: ends[2] as u64,
                bytes: (torn.len() - ends[2]) as u64,
            });
            let disk = SimDisk::new();
            disk.set_bytes(&segment(1), torn);
            let log = open(&disk, None, u64::MAX).unwrap();
            assert_eq!(log.cut(), cut.as_ref(), "{length} bytes, {zeros} zeros");
            assert_eq!(read(&log).await.unwrap(), all[..2], "{length} bytes, {zeros} zeros");
            assert_eq!(disk.bytes(&segment(1)).unwrap().len(), ends[2]);
            log.append(head_of(&all[..2]), &all[2..]).await.unwrap();
            assert_eq!(read(&log).await.unwrap(), all);
        }
    }
}

#[tokio::test]
async fn zeros_behind_the_last_group_are_cut() {
    let disk = SimDisk::new();
    let (all, ends) = written(&disk, &[1, 2]).await;
    let mut bytes = disk.bytes(&segment(1)).unwrap();
    bytes.resize(ends[2] + 10_000, 0);
    disk.set_bytes(&segment(1), bytes);
    let log = open(&disk, None, u64::MAX).unwrap();
    assert_eq!(log.cut(), Some(&Cut { path: segment(1), offset: ends[2] as u64, bytes: 10_000 }));
    assert_eq!(read(&log).await.unwrap(), all);
}

#[tokio::test]
async fn every_flipped_bit_stops_the_market_and_is_named() {
    let disk = SimDisk::new();
    let (_, ends) = written(&disk, &[1, 2, 1]).await;
    let whole = disk.bytes(&segment(1)).unwrap();
    for at in 0..whole.len() {
        let bit = mix(at as u64) % 8;
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << bit;
        disk.set_bytes(&segment(1), flipped.clone());
        let group = ends.iter().rev().find(|end| **end <= at).copied().unwrap_or(0);
        let place = format!("{} at byte {group}", segment(1).display());
        match open(&disk, None, u64::MAX) {
            Err(OpenError::Read(error)) => assert_eq!(damaged_at(&error), place, "byte {at}, bit {bit}"),
            Err(error) => panic!("byte {at}, bit {bit}: {error:?}"),
            Ok(log) => panic!("byte {at}, bit {bit} went unnoticed, cut {:?}", log.cut()),
        }
        assert_eq!(disk.bytes(&segment(1)).unwrap(), flipped, "what is damaged is not touched");
    }
}

#[tokio::test]
async fn damage_in_an_older_segment_is_named_when_it_is_read() {
    let disk = SimDisk::new();
    let log = open(&disk, None, 1).unwrap();
    let all = commits(Head::EMPTY, &[2, 3, 1]);
    for at in 0..3 {
        log.append(head_of(&all[..at]), &all[at..=at]).await.unwrap();
    }
    drop(log);
    let whole = disk.bytes(&segment(3)).unwrap();
    for at in SEGMENT_HEADER_BYTES + 36..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (mix(at as u64) % 8);
        disk.set_bytes(&segment(3), flipped);
        let log = open(&disk, None, 1).unwrap();
        let mut reading = log.read(1);
        assert_eq!(reading.try_next().await.unwrap().as_ref(), all.first(), "what stands before is given");
        let error = reading.try_next().await.unwrap_err();
        assert_eq!(damaged_at(&error), format!("{} at byte {SEGMENT_HEADER_BYTES}", segment(3).display()));
    }
}

#[tokio::test]
async fn a_segment_that_is_missing_or_incomplete_in_the_middle_is_damage() {
    let disk = SimDisk::new();
    let log = open(&disk, None, 1).unwrap();
    let all = commits(Head::EMPTY, &[1, 1, 1]);
    for at in 0..3 {
        log.append(head_of(&all[..at]), &all[at..=at]).await.unwrap();
    }
    drop(log);
    let whole = disk.bytes(&segment(2)).unwrap();
    disk.set_bytes(&segment(2), whole[..whole.len() - 1].to_vec());
    let Err(OpenError::Read(error)) = open(&disk, None, 1) else { panic!("it was opened") };
    assert_eq!(damaged_at(&error), format!("{} at byte {SEGMENT_HEADER_BYTES}", segment(2).display()));
    engine::log::segment::disk::Disk::remove(&disk, &segment(2)).unwrap();
    let Err(OpenError::Read(error)) = open(&disk, None, 1) else { panic!("it was opened") };
    assert_eq!(damaged_at(&error), format!("{} at byte 0", segment(3).display()));
}

#[tokio::test]
async fn a_failed_sync_stops_the_writer_for_good() {
    let disk = SimDisk::new();
    let log = open(&disk, None, u64::MAX).unwrap();
    let all = commits(Head::EMPTY, &[1, 1]);
    log.append(Head::EMPTY, &all[..1]).await.unwrap();
    disk.fail_in(1, DiskFault::SyncFails);
    for _ in 0..3 {
        let failed = log.append(head_of(&all[..1]), &all[1..]).await;
        assert!(matches!(failed, Err(AppendError::Failed(_))), "{failed:?}");
        assert_eq!(log.head().await.unwrap(), head_of(&all[..1]));
        assert_eq!(read(&log).await.unwrap(), all[..1], "what may not be durable is not read");
    }
    drop(log);
    disk.crash(Survival::Nothing);
    assert_eq!(read(&open(&disk, None, u64::MAX).unwrap()).await.unwrap(), all[..1]);
}

#[tokio::test]
async fn a_full_disk_keeps_what_was_acknowledged() {
    for room in 0..400 {
        let disk = SimDisk::new();
        let log = open(&disk, None, u64::MAX).unwrap();
        let all = commits(Head::EMPTY, &[1, 2, 1]);
        log.append(Head::EMPTY, &all[..1]).await.unwrap();
        let before = disk.bytes(&segment(1)).unwrap().len();
        disk.fail_in(0, DiskFault::FullAfter(room));
        for _ in 0..2 {
            let failed = log.append(head_of(&all[..1]), &all[1..2]).await;
            assert!(matches!(failed, Err(AppendError::Failed(_))), "{failed:?}");
            assert_eq!(disk.bytes(&segment(1)).unwrap().len(), before + room, "it is not written to again");
        }
        drop(log);
        let log = open(&disk, None, u64::MAX).unwrap();
        assert_eq!(log.cut().is_some(), room > 0);
        log.append(head_of(&all[..1]), &all[1..]).await.unwrap();
        assert_eq!(read(&log).await.unwrap(), all);
    }
}

#[tokio::test]
async fn a_checkpoint_that_the_log_does_not_reach_refuses_it_untouched() {
    let disk = SimDisk::new();
    let (all, ends) = written(&disk, &[1, 2, 1]).await;
    for at in 0..=3 {
        open(&disk, Some(head_of(&all[..at])), u64::MAX).expect("each commit's head is a floor it extends");
    }
    let other = commit_by(2, Head::EMPTY, 1).head();
    let inside = Head { position: 2, hash: all[1].head().hash };
    let forged = Head { position: 0, hash: Hash::of(b"another history") };
    for floor in [other, inside, forged, Head { position: 9, ..other }, Head { position: 4, ..other }] {
        let refused = open(&disk, Some(floor), u64::MAX).err();
        assert!(matches!(refused, Some(OpenError::BehindCheckpoint { head: 4, .. })), "{refused:?}");
    }
    let torn = disk.bytes(&segment(1)).unwrap()[..ends[3] - 1].to_vec();
    disk.set_bytes(&segment(1), torn.clone());
    let refused = open(&disk, Some(head_of(&all)), u64::MAX).err();
    assert!(matches!(refused, Some(OpenError::BehindCheckpoint { floor: 4, head: 3 })), "{refused:?}");
    assert_eq!(disk.bytes(&segment(1)).unwrap(), torn, "a refused log is not cut");
    open(&disk, Some(head_of(&all[..2])), u64::MAX).expect("the floor is in what is left");
}

#[tokio::test]
async fn a_log_of_another_market_is_refused() {
    let disk = SimDisk::new();
    written(&disk, &[1]).await;
    let options = SegmentOptions { disk: Arc::new(disk), ..SegmentOptions::default() };
    let other = "other".parse().unwrap();
    let refused = SegmentLog::open_writer(Path::new(DIR), other, None, options).err();
    assert!(matches!(refused, Some(OpenError::OtherMarket { .. })), "{refused:?}");
}

#[tokio::test]
async fn one_writes_and_others_read_what_it_writes() {
    let dir = tempfile::tempdir().unwrap();
    let options = SegmentOptions { segment_bytes_max: 2000, disk: Arc::new(RealDisk) };
    assert!(matches!(SegmentLog::open_reader(dir.path()), Err(OpenError::NoLog { .. })));
    let writer = SegmentLog::open_writer(dir.path(), market(), None, options.clone()).unwrap();
    let second = SegmentLog::open_writer(dir.path(), market(), None, options.clone()).err();
    let Some(OpenError::Locked { source, .. }) = second else { panic!("{second:?}") };
    assert!(source.to_string().contains(&std::process::id().to_string()), "{source}");
    let reader = SegmentLog::open_reader(dir.path()).unwrap();
    assert_eq!(reader.market(), market());
    let mut following = reader.follow(1);
    let all = commits(Head::EMPTY, &[2; 30]);
    for at in 0..30 {
        writer.append(head_of(&all[..at]), &all[at..=at]).await.unwrap();
        if at % 10 == 5 {
            assert_eq!(reader.head().await.unwrap(), all[at].head());
            assert_eq!(read(&reader).await.unwrap(), all[..=at]);
        }
    }
    assert_eq!(take(&mut following, 30).await, all);
    let refused = reader.append(head_of(&all), &[commit_by(1, head_of(&all), 1)]).await;
    assert!(matches!(refused, Err(AppendError::Failed(_))), "{refused:?}");
    drop(writer);
    SegmentLog::open_writer(dir.path(), market(), None, options).expect("the lock went with the writer");
}

/// Appends until something goes wrong, and gives how many commits were acknowledged.
async fn append_until_failure(log: &SegmentLog, all: &[Arc<Commit>], from: usize) -> usize {
    for at in from..all.len() {
        if log.append(head_of(&all[..at]), &all[at..=at]).await.is_err() {
            return at;
        }
    }
    all.len()
}

#[tokio::test]
async fn a_crash_at_any_step_loses_nothing_acknowledged() {
    let all = commits(Head::EMPTY, &[1, 2, 1, 3]);
    for step in 0..40 {
        for seed in 0..24u64 {
            let survival = match seed {
                0 => Survival::Nothing,
                1 => Survival::Everything,
                seed => Survival::Part { seed: mix(seed) ^ step },
            };
            let disk = SimDisk::new();
            disk.fail_in(step, DiskFault::PowerGone);
            let acknowledged = match open(&disk, None, 300) {
                Ok(log) => append_until_failure(&log, &all, 0).await,
                Err(_) => 0,
            };
            disk.crash(survival);
            let floor = Some(head_of(&all[..acknowledged]));
            let log = open(&disk, floor, 300)
                .unwrap_or_else(|error| panic!("step {step}, {survival:?}: {error:?}"));
            let left = read(&log).await.unwrap();
            assert!(left.len() >= acknowledged, "step {step}, {survival:?}: {} left", left.len());
            assert!(left.len() <= acknowledged + 1, "step {step}, {survival:?}: {} left", left.len());
            assert_eq!(left, all[..left.len()]);
            assert_eq!(append_until_failure(&log, &all, left.len()).await, all.len());
            assert_eq!(read(&log).await.unwrap(), all);
        }
    }
}

#[derive(Debug, Clone)]
enum Act {
    Append { commits: usize, events: usize },
    Fault { after: u64, fault: DiskFault },
    Reopen,
    Crash { survival: Survival },
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let fault = prop_oneof![
        (0usize..900).prop_map(DiskFault::FullAfter),
        Just(DiskFault::SyncFails),
        Just(DiskFault::PowerGone),
    ];
    let survival = prop_oneof![
        Just(Survival::Nothing),
        Just(Survival::Everything),
        any::<u64>().prop_map(|seed| Survival::Part { seed }),
    ];
    let act = prop_oneof![
        6 => (1usize..4, 1usize..4).prop_map(|(commits, events)| Act::Append { commits, events }),
        1 => (0u64..6, fault).prop_map(|(after, fault)| Act::Fault { after, fault }),
        1 => Just(Act::Reopen),
        2 => survival.prop_map(|survival| Act::Crash { survival }),
    ];
    prop::collection::vec(act, 1..40)
}

/// Lets a log live through `acts` beside a model: the commits acknowledged, and one append that may be there too.
async fn live(acts: Vec<Act>, segment_bytes_max: u64) {
    let disk = SimDisk::new();
    let mut log = Some(open(&disk, None, segment_bytes_max).unwrap());
    let mut acknowledged: Vec<Arc<Commit>> = Vec::new();
    let mut uncertain: Vec<Arc<Commit>> = Vec::new();
    for act in acts {
        let survival = match act {
            Act::Append { commits: count, events } => {
                let Some(open) = &log else { continue };
                let head = head_of(&acknowledged);
                let group = commits(head, &vec![events; count]);
                match open.append(head, &group).await {
                    Ok(()) => acknowledged.extend(group),
                    Err(AppendError::Failed(_)) if uncertain.is_empty() => uncertain = group,
                    Err(AppendError::Failed(_)) => {}
                    Err(other) => panic!("one writer alone never meets this: {other:?}"),
                }
                continue;
            }
            Act::Fault { after, fault } => {
                disk.fail_in(after, fault);
                continue;
            }
            // A process that ends leaves to the system what it wrote.
            Act::Reopen => Survival::Everything,
            Act::Crash { survival } => survival,
        };
        drop(log.take());
        disk.crash(survival);
        let floor = Some(head_of(&acknowledged));
        let opened = open(&disk, floor, segment_bytes_max).unwrap();
        let found = read(&opened).await.unwrap();
        if found.len() > acknowledged.len() {
            acknowledged.append(&mut uncertain);
        }
        uncertain.clear();
        assert_eq!(found, acknowledged, "all or none of a group is there");
        log = Some(opened);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn whatever_happens_the_log_is_what_was_acknowledged(acts in acts(), size in prop_oneof![Just(300u64), Just(2000), Just(u64::MAX)]) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(live(acts, size));
    }
}
