//! The settings of a stream that holds a log, and the check that an existing stream has them.

use std::time::Duration;

use async_nats::jetstream::stream::{
    Config, DiscardPolicy, Info, PersistenceMode, RetentionPolicy, StorageType,
};
use events::ids::MarketName;
use events::wire;

/// "No limit" in the settings of a stream.
const UNLIMITED: i64 = -1;

/// A setting of a stream under which a log would not keep its promises.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("its `{field}` is {found}, but it must be {needed}")]
pub struct Breach {
    /// The setting, as the broker calls it.
    pub field: &'static str,
    /// What it is.
    pub found: String,
    /// What it must be.
    pub needed: String,
}

/// What an operator chooses of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamOptions {
    /// Copies of it: 1, or 3 in a cluster.
    pub replicas: usize,
    /// Bytes that a new stream may grow to; without it, until the broker's store is full. An existing stream keeps its
    /// own.
    pub max_bytes: Option<u64>,
}

impl StreamOptions {
    /// Chooses so many copies, without a limit.
    pub fn replicas(replicas: usize) -> Self {
        StreamOptions { replicas, max_bytes: None }
    }
}

/// Gives the settings that a new stream is created with.
pub(super) fn wanted(market: &MarketName, options: StreamOptions) -> Config {
    Config {
        name: wire::event_stream(market),
        subjects: vec![wire::event_subjects(market)],
        description: Some(format!("The event log of market {market}: written by its engine only")),
        retention: RetentionPolicy::Limits,
        storage: StorageType::File,
        num_replicas: options.replicas,
        max_bytes: options.max_bytes.map_or(UNLIMITED, |max| max.try_into().unwrap_or(i64::MAX)),
        max_messages: UNLIMITED,
        max_messages_per_subject: UNLIMITED,
        max_consumers: -1,
        discard: DiscardPolicy::New,
        deny_delete: true,
        deny_purge: true,
        allow_direct: true,
        allow_atomic_publish: true,
        ..Config::default()
    }
}

/// Checks all settings that the log's promises rest on; others, such as compression or placement, are the
/// operator's. So is `max_bytes`: a stream that discards what is new refuses a batch for which it has no room as a whole.
pub(super) fn check(info: &Info, wanted: &Config) -> Result<(), Breach> {
    let found = &info.config;
    let no_limit = |limit: i64| limit <= 0;
    let unsourced = found.sources.as_ref().is_none_or(Vec::is_empty);
    let synchronous = found.persist_mode != Some(PersistenceMode::Async);
    let complete = info.state.first_sequence <= 1;
    let rules = [
        (
            found.subjects == wanted.subjects,
            "subjects",
            format!("{:?}", found.subjects),
            wanted.subjects[0].as_str(),
        ),
        (found.storage == StorageType::File, "storage", format!("{:?}", found.storage), "file"),
        (found.retention == RetentionPolicy::Limits, "retention", format!("{:?}", found.retention), "limits"),
        (found.discard == DiscardPolicy::New, "discard", format!("{:?}", found.discard), "new"),
        (found.deny_delete, "deny_delete", "false".into(), "true"),
        (found.deny_purge, "deny_purge", "false".into(), "true"),
        (found.allow_atomic_publish, "allow_atomic", "false".into(), "true"),
        (synchronous, "persist_mode", "async".into(), "default"),
        (!found.allow_rollup, "allow_rollup_hdrs", "true".into(), "false"),
        (!found.no_ack, "no_ack", "true".into(), "false"),
        (!found.sealed, "sealed", "true".into(), "false"),
        (!found.allow_message_ttl, "allow_msg_ttl", "true".into(), "false"),
        (!found.allow_message_schedules, "allow_msg_schedules", "true".into(), "false"),
        (!found.allow_message_counter, "allow_msg_counter", "true".into(), "false"),
        (found.mirror.is_none(), "mirror", "set".into(), "absent"),
        (unsourced, "sources", "set".into(), "absent"),
        (found.subject_transform.is_none(), "subject_transform", "set".into(), "absent"),
        (found.max_age == Duration::ZERO, "max_age", format!("{:?}", found.max_age), "unlimited"),
        (no_limit(found.max_messages), "max_msgs", found.max_messages.to_string(), "unlimited"),
        (
            no_limit(found.max_messages_per_subject),
            "max_msgs_per_subject",
            found.max_messages_per_subject.to_string(),
            "unlimited",
        ),
        (
            no_limit(found.max_message_size.into()),
            "max_msg_size",
            found.max_message_size.to_string(),
            "unlimited",
        ),
        (complete, "first_seq", info.state.first_sequence.to_string(), "1: earlier events are missing"),
    ];
    let breach = |field, found, needed: &str| Err(Breach { field, found, needed: needed.to_owned() });
    for (holds, field, found, needed) in rules {
        if !holds {
            return breach(field, found, needed);
        }
    }
    if found.num_replicas < wanted.num_replicas {
        let needed = format!("{} or more", wanted.num_replicas);
        return breach("num_replicas", found.num_replicas.to_string(), &needed);
    }
    Ok(())
}
