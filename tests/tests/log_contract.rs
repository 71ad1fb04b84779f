//! Every log keeps the same contract.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use engine::log::EventLog;
use engine::log::memory::MemoryLog;
use engine::log::segment::format::encode_group;
use engine::log::segment::{SegmentLog, SegmentOptions};
use engine::log::tailed::TailedLog;
use events::Commit;
use tempfile::TempDir;
use tests::log_contract::{LogFactory, LogHome, contract, market};

struct Memory;

#[async_trait]
impl LogFactory for Memory {
    async fn home(&self) -> Box<dyn LogHome> {
        Box::new(MemoryHome(MemoryLog::new()))
    }
}

struct MemoryHome(MemoryLog);

#[async_trait]
impl LogHome for MemoryHome {
    async fn open(&self) -> Arc<dyn EventLog> {
        Arc::new(self.0.clone())
    }

    async fn second(&self, _first: &Arc<dyn EventLog>) -> Arc<dyn EventLog> {
        self.open().await
    }

    async fn forge(&self, commit: Arc<Commit>) {
        self.0.append_foreign(commit);
    }
}

#[tokio::test]
async fn the_log_in_memory() {
    contract(Memory).await;
}

struct Tailed;

#[async_trait]
impl LogFactory for Tailed {
    async fn home(&self) -> Box<dyn LogHome> {
        Box::new(TailedHome(MemoryLog::new()))
    }
}

struct TailedHome(MemoryLog);

#[async_trait]
impl LogHome for TailedHome {
    async fn open(&self) -> Arc<dyn EventLog> {
        Arc::new(TailedLog::new(self.0.clone()).await.unwrap())
    }

    async fn second(&self, _first: &Arc<dyn EventLog>) -> Arc<dyn EventLog> {
        self.open().await
    }

    async fn forge(&self, commit: Arc<Commit>) {
        self.0.append_foreign(commit);
    }
}

#[tokio::test]
async fn the_log_with_its_tail_in_memory() {
    contract(Tailed).await;
}

/// Logs on the real disk whose segments are closed after so many bytes.
struct Segments {
    segment_bytes_max: u64,
}

#[async_trait]
impl LogFactory for Segments {
    async fn home(&self) -> Box<dyn LogHome> {
        let dir = tempfile::tempdir().unwrap();
        Box::new(SegmentHome { dir, segment_bytes_max: self.segment_bytes_max })
    }
}

struct SegmentHome {
    dir: TempDir,
    segment_bytes_max: u64,
}

#[async_trait]
impl LogHome for SegmentHome {
    async fn open(&self) -> Arc<dyn EventLog> {
        let options =
            SegmentOptions { segment_bytes_max: self.segment_bytes_max, ..SegmentOptions::default() };
        Arc::new(SegmentLog::open_writer(self.dir.path(), market(), None, options).unwrap())
    }

    /// Only one handle may write, so the second one is the same.
    async fn second(&self, first: &Arc<dyn EventLog>) -> Arc<dyn EventLog> {
        Arc::clone(first)
    }

    async fn forge(&self, commit: Arc<Commit>) {
        append_bytes(self.dir.path(), &commit);
    }
}

fn append_bytes(dir: &Path, commit: &Arc<Commit>) {
    use std::io::Write;
    let last = SegmentLog::open_reader(dir).unwrap().segment_paths().pop().unwrap();
    let mut bytes = Vec::new();
    encode_group(&[Arc::clone(commit)], &mut bytes);
    std::fs::OpenOptions::new().append(true).open(last).unwrap().write_all(&bytes).unwrap();
}

#[tokio::test]
async fn the_segment_log() {
    contract(Segments { segment_bytes_max: SegmentOptions::default().segment_bytes_max }).await;
}

#[tokio::test]
async fn the_segment_log_with_one_group_in_each_segment() {
    contract(Segments { segment_bytes_max: 1 }).await;
}
