//! How commands arrive over NATS and how their receipts leave.
//!
//! The stream `CMD_<market>` is a buffer, not the truth: a command counts when its events are in the log, and until
//! then it is delivered again. The broker pins the stream's consumer to one engine process at a time, which is how
//! a process learns that the market is its own; the log's expected position is what keeps two from writing.

mod gateway;
mod receipts;
mod source;

use std::time::Duration;

use async_nats::header::HeaderMap;
use async_nats::jetstream::stream::{self, DiscardPolicy, RetentionPolicy, StorageType};
use commands::command::COMMAND_BYTES_MAX;
use events::ids::MarketName;
use events::wire;

pub use self::gateway::{CommandSender, Outgoing, SendError, WAITING_MAX};
pub use self::receipts::{Inbox, ReceiptError, ReceiptSender};
pub use self::source::{CommandMessage, CommandSource, OpenError, Ownership, SettleError};

/// The header that names where the receipt is wanted. It is not signed.
pub const RECEIPT_TO: &str = "Skylink-Receipt-To";

/// The header with the W3C trace context.
pub const TRACEPARENT: &str = "traceparent";

/// The header with a second factor, as over HTTP.
pub const STEP_UP: &str = "Skylink-Step-Up";

/// The header with personal values over HTTP. It is refused here: whatever carries or keeps a message has it in the clear, for as long as
/// it likes.
pub const PERSONAL: &str = "Skylink-Personal";

/// The name, among commands, of the message by which the broker shows an engine that the market is its own. No
/// client can send it: a gateway refuses it, and an engine drops it.
pub const PROBE: &str = "engine.probe";

/// The name, among commands, of the question what leads from each of the market's keys to the next. It is not signed and decides
/// nothing; the answer goes to the inbox that it names.
pub const KEYS: &str = "engine.keys";

/// How long a command waits for an engine before it is forgotten; its sender has long been told "unknown".
const COMMAND_AGE_MAX: Duration = Duration::from_secs(5 * 60);

/// Bytes of commands that wait before senders are told that the market is busy: seconds of work, and a quarter of
/// the memory that `nats.conf` gives to streams.
const COMMAND_BUFFER_BYTES_MAX: i64 = 64 * 1024 * 1024;

/// Bytes of one message: the command, and as much again for headers.
const MESSAGE_BYTES_MAX: usize = 2 * COMMAND_BYTES_MAX;

/// Gives the settings of a market's command stream.
///
/// Commands are repeated until receipted, so the stream may lose some: it is kept in memory, and no disk stands between
/// a command and its engine.
fn stream_config(market: &MarketName, replicas: usize) -> stream::Config {
    stream::Config {
        name: wire::command_stream(market),
        subjects: vec![wire::command_subjects(market)],
        description: Some(format!("Commands for market {market} that are not decided yet")),
        retention: RetentionPolicy::WorkQueue,
        discard: DiscardPolicy::New,
        max_age: COMMAND_AGE_MAX,
        max_bytes: COMMAND_BUFFER_BYTES_MAX,
        max_message_size: MESSAGE_BYTES_MAX as i32,
        num_replicas: replicas,
        storage: StorageType::Memory,
        ..stream::Config::default()
    }
}

/// Reads the trace context that came with a command.
fn traceparent(headers: &HeaderMap) -> Option<String> {
    headers.get(TRACEPARENT).map(|value| value.as_str().to_owned())
}

/// Tells whether there is a header, however its name is written: NATS keeps capitals and small letters apart, HTTP does not.
fn has_header(headers: &HeaderMap, name: &str) -> bool {
    headers.iter().any(|(given, _)| {
        let given: &str = given.as_ref();
        given.eq_ignore_ascii_case(name)
    })
}
