//! Writing events: a plain publish for one, an atomic batch for several.

use std::sync::Arc;
use std::time::Duration;

use async_nats::client::{PublishErrorKind, RequestErrorKind};
use async_nats::connection::State;
use async_nats::header::{self, HeaderMap, HeaderName, HeaderValue};
use async_nats::jetstream::response::Response;
use async_nats::jetstream::{ErrorCode, publish::PublishAck};
use async_nats::{Client, Request};
use bytes::Bytes;
use events::ids::MarketName;
use events::{Commit, Head, Position, Recorded, wire};
use tokio::sync::Mutex;
use uuid::Uuid;

/// How long one append may take before its outcome counts as unknown.
///
/// A healthy broker answers within milliseconds. It forgets a batch that stays open for 10 s, so that tries that
/// hang can never fill its 50 places for open batches.
const APPEND_WAIT_MAX: Duration = Duration::from_secs(5);

/// How long the broker may take to open a batch ahead of its append, which then does without.
const OPEN_WAIT_MAX: Duration = Duration::from_secs(1);

type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why the broker did not acknowledge an append.
#[derive(Debug)]
pub(super) enum Failure {
    /// The stream ends elsewhere.
    WrongEnd {
        /// Where, according to the broker that answered.
        found: Position,
    },
    /// No broker serves the stream now: it elects a leader, starts, or the stream is gone.
    NobodyAnswers(Source),
    /// It may have been stored, or may be when it is tried again.
    Unknown(Source),
    /// It was not stored, and trying again would not help.
    Definite(Source),
}

/// The broker that answered knows less than it, or another of its cluster, has acknowledged.
#[derive(Debug, thiserror::Error)]
#[error(
    "the broker's stream ends at {found}, before {expected} which was acknowledged: it lags, or was set back to a backup"
)]
pub(super) struct BrokerLags {
    pub(super) found: Position,
    pub(super) expected: Position,
}

#[derive(Debug, thiserror::Error)]
#[error("header `{name}` of event {position} would not be read back as it was written")]
struct UnfitHeader {
    name: &'static str,
    position: Position,
}

#[derive(Debug, thiserror::Error)]
#[error(
    "the broker acknowledged sequence {found} where it should be {expected}: something else writes to the stream"
)]
struct WrongSequence {
    found: Position,
    expected: Position,
}

/// A batch at the broker that holds the first events of an append and is not committed.
#[derive(Debug)]
pub(super) struct OpenBatch {
    id: String,
    /// The head that it is to stand behind.
    pub(super) expected: Head,
    /// The head behind the last event it holds.
    pub(super) head: Head,
}

/// Opens a batch with the events of `commits`, and returns when the broker has it. None: a single event needs no batch.
pub(super) async fn open(
    client: &Client,
    market: &MarketName,
    sending: &Mutex<()>,
    expected: Head,
    commits: &[Arc<Commit>],
) -> Result<Option<OpenBatch>, Failure> {
    let events: Vec<_> = commits.iter().flat_map(|commit| commit.events()).collect();
    let Some(last) = commits.last().filter(|_| events.len() > 1) else { return Ok(None) };
    if client.connection_state() != State::Connected {
        return Ok(None);
    }
    let opened = OpenBatch { id: new_batch_id(), expected, head: last.head() };
    let stage = async {
        let turn = sending.lock().await;
        let last = publish_all_but_last(client, market, expected.position, &events, &opened.id, 0).await?;
        drop(turn);
        // Answered when the event is staged, as the last of these.
        client
            .send_request(last.subject, request(last.headers, last.payload, OPEN_WAIT_MAX))
            .await
            .map_err(not_answered)
    };
    let answer = match tokio::time::timeout(OPEN_WAIT_MAX, stage).await {
        Ok(answer) => answer?,
        Err(elapsed) => return Err(Failure::Unknown(elapsed.into())),
    };
    if answer.payload.is_empty() {
        return Ok(Some(opened));
    }
    acknowledged(&answer.payload, opened.head.position).map(|()| None)
}

/// Stores `events` behind position `expected`, all or none; the first of them may stand in an open batch.
pub(super) async fn append(
    client: &Client,
    market: &MarketName,
    sending: &Mutex<()>,
    expected: Position,
    events: &[&Recorded],
    opened: Option<&OpenBatch>,
) -> Result<(), Failure> {
    let publish = async {
        // While disconnected, the client would queue whole batches and send them all when it is back.
        if client.connection_state() != State::Connected {
            client.flush().await.map_err(|error| Failure::Unknown(error.into()))?;
        }
        let turn = sending.lock().await;
        let end = last_message(client, market, expected, events, opened).await?;
        // Whoever waits for the turn gets it when this task next waits: for the answer.
        drop(turn);
        let request = request(end.headers, end.payload, APPEND_WAIT_MAX);
        let answer = client.send_request(end.subject, request).await.map_err(not_answered)?;
        acknowledged(&answer.payload, expected + events.len() as u64)
    };
    match tokio::time::timeout(APPEND_WAIT_MAX, publish).await {
        Ok(done) => done,
        Err(elapsed) => Err(Failure::Unknown(elapsed.into())),
    }
}

/// Publishes all messages of an append but the one that makes the broker store them, and gives that one.
async fn last_message(
    client: &Client,
    market: &MarketName,
    expected: Position,
    events: &[&Recorded],
    opened: Option<&OpenBatch>,
) -> Result<Message, Failure> {
    if let ([event], None) = (events, opened) {
        let mut message = Message::of(market, event)?;
        expect(&mut message.headers, expected);
        return Ok(message);
    }
    // A new id for each try: what a try before left open at the broker can't be mixed with this one.
    let (batch, staged) = match opened {
        Some(opened) => (opened.id.clone(), (opened.head.position - expected) as usize),
        None => (new_batch_id(), 0),
    };
    if staged == events.len() {
        // The broker has them all; this message ends the batch and is not stored itself.
        let subject = wire::event_subject(market, &events[staged - 1].metadata.type_name);
        let mut message = Message { subject, headers: HeaderMap::new(), payload: Bytes::new() };
        mark(&mut message.headers, &batch, staged + 1);
        message.headers.insert(header::NATS_BATCH_COMMIT, header::NATS_BATCH_COMMIT_EOB);
        return Ok(message);
    }
    let mut message = publish_all_but_last(client, market, expected, events, &batch, staged).await?;
    message.headers.insert(header::NATS_BATCH_COMMIT, header::NATS_BATCH_COMMIT_FINAL);
    Ok(message)
}

/// Publishes the messages of a batch behind the first `staged`, which the broker has, and gives the last one instead.
async fn publish_all_but_last(
    client: &Client,
    market: &MarketName,
    expected: Position,
    events: &[&Recorded],
    batch: &str,
    staged: usize,
) -> Result<Message, Failure> {
    let mut held = None;
    for (event, number) in events.iter().zip(1..).skip(staged) {
        let mut message = Message::of(market, event)?;
        mark(&mut message.headers, batch, number);
        if number == 1 {
            expect(&mut message.headers, expected);
        }
        if let Some(Message { subject, headers, payload }) = held.replace(message) {
            client.publish_with_headers(subject, headers, payload).await.map_err(not_sent)?;
        }
    }
    Ok(held.expect("an append has at least one event that the broker does not have"))
}

fn request(headers: HeaderMap, payload: Bytes, wait: Duration) -> Request {
    Request::new().headers(headers).payload(payload).timeout(Some(wait))
}

fn new_batch_id() -> String {
    Uuid::now_v7().to_string()
}

/// An event, or the end of a batch, on its way to the broker.
struct Message {
    subject: String,
    headers: HeaderMap,
    payload: Bytes,
}

impl Message {
    fn of(market: &MarketName, event: &Recorded) -> Result<Message, Failure> {
        let subject = wire::event_subject(market, &event.metadata.type_name);
        let payload = Bytes::copy_from_slice(&event.payload_json);
        Ok(Message { subject, headers: headers_of(event)?, payload })
    }
}

fn expect(headers: &mut HeaderMap, expected: Position) {
    headers.insert(header::NATS_EXPECTED_LAST_SEQUENCE, expected.to_string());
}

fn mark(headers: &mut HeaderMap, batch: &str, number: usize) {
    headers.insert(header::NATS_BATCH_ID, batch);
    headers.insert(header::NATS_BATCH_SEQUENCE, number.to_string());
}

fn headers_of(event: &Recorded) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::new();
    for (name, value) in wire::to_headers(&event.metadata) {
        // Brokers and clients trim values. What is not read back as it was written would break the chain.
        let unfit = || Failure::Definite(UnfitHeader { name, position: event.position }.into());
        if value.is_empty() || value.trim() != value {
            return Err(unfit());
        }
        let value: HeaderValue = value.parse().map_err(|_| unfit())?;
        headers.insert(HeaderName::from_static(name), value);
    }
    Ok(headers)
}

fn not_sent(error: async_nats::PublishError) -> Failure {
    match error.kind() {
        PublishErrorKind::MaxPayloadExceeded | PublishErrorKind::InvalidSubject => {
            Failure::Definite(error.into())
        }
        PublishErrorKind::Send => Failure::Unknown(error.into()),
    }
}

fn not_answered(error: async_nats::RequestError) -> Failure {
    match error.kind() {
        RequestErrorKind::MaxPayloadExceeded | RequestErrorKind::InvalidSubject => {
            Failure::Definite(error.into())
        }
        RequestErrorKind::NoResponders => Failure::NobodyAnswers(error.into()),
        RequestErrorKind::TimedOut | RequestErrorKind::Other => Failure::Unknown(error.into()),
    }
}

/// Reads the broker's answer to an append that should end at position `end`.
fn acknowledged(answer: &[u8], end: Position) -> Result<(), Failure> {
    match serde_json::from_slice::<Response<PublishAck>>(answer) {
        Ok(Response::Ok(ack)) if ack.sequence == end => Ok(()),
        Ok(Response::Ok(ack)) => {
            Err(Failure::Definite(WrongSequence { found: ack.sequence, expected: end }.into()))
        }
        Ok(Response::Err { error }) if error.error_code() == ErrorCode::STREAM_WRONG_LAST_SEQUENCE => {
            // The text ends with the position. An answer that does not say it counts as "further on".
            let text = error.to_string();
            let found = position_in(&text).unwrap_or(Position::MAX);
            Err(Failure::WrongEnd { found })
        }
        Ok(Response::Err { error }) if is_passing(error.error_code()) => Err(Failure::Unknown(error.into())),
        Ok(Response::Err { error }) => Err(Failure::Definite(error.into())),
        Err(unreadable) => Err(Failure::Unknown(unreadable.into())),
    }
}

/// Finds the position in `wrong last sequence: 17 (code 400, …)`.
fn position_in(text: &str) -> Option<Position> {
    let (_, rest) = text.split_once("wrong last sequence: ")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// Tells whether a refusal comes from the moment and not from what was asked.
pub(crate) fn is_passing(code: ErrorCode) -> bool {
    [
        ErrorCode::STREAM_WRONG_LAST_SEQUENCE_CONSTANT,
        ErrorCode::STREAM_DUPLICATE_MESSAGE_CONFLICT,
        ErrorCode::ATOMIC_PUBLISH_INCOMPLETE_BATCH,
        ErrorCode::ATOMIC_PUBLISH_TOO_MANY_INFLIGHT,
        ErrorCode::STREAM_TOO_MANY_REQUESTS,
        ErrorCode::CLUSTER_NOT_AVAILABLE,
        ErrorCode::CLUSTER_NOT_LEADER,
        ErrorCode::CLUSTER_NOT_ACTIVE,
        // A broker has only just started, or was too busy to be heard of.
        ErrorCode::CLUSTER_NO_PEERS,
        // Said by a server that is going down, too.
        ErrorCode::JETSTREAM_NOT_ENABLED,
    ]
    .contains(&code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: u64, description: &str) -> Failure {
        let answer = serde_json::json!({
            "error": {"code": 400, "err_code": code, "description": description},
        });
        acknowledged(answer.to_string().as_bytes(), 5).unwrap_err()
    }

    #[test]
    fn each_refusal_tells_the_writer_what_to_do() {
        assert!(matches!(refused(10071, "wrong last sequence: 17"), Failure::WrongEnd { found: 17 }));
        for passing in [10164, 10158, 10176, 10210, 10167, 10005, 10008, 10009] {
            assert!(matches!(refused(passing, "for a moment"), Failure::Unknown(_)), "{passing}");
        }
        for definite in [10077, 10047, 10174, 10199, 10179, 10177] {
            assert!(matches!(refused(definite, "for good"), Failure::Definite(_)), "{definite}");
        }
    }

    #[test]
    fn an_acknowledgement_counts_only_for_the_expected_sequence() {
        let answer = |sequence: u64| format!(r#"{{"stream":"EVT_main","seq":{sequence}}}"#);
        acknowledged(answer(5).as_bytes(), 5).unwrap();
        assert!(matches!(acknowledged(answer(6).as_bytes(), 5), Err(Failure::Definite(_))));
        assert!(matches!(acknowledged(b"half an ans", 5), Err(Failure::Unknown(_))));
    }
}
