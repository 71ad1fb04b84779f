//! Writing events: a plain publish for one, an atomic batch for several.

use std::time::Duration;

use async_nats::client::{PublishErrorKind, RequestErrorKind};
use async_nats::connection::State;
use async_nats::header::{self, HeaderMap, HeaderName, HeaderValue};
use async_nats::jetstream::response::Response;
use async_nats::jetstream::{ErrorCode, publish::PublishAck};
use async_nats::{Client, Request};
use bytes::Bytes;
use events::ids::MarketName;
use events::{Position, Recorded, wire};
use uuid::Uuid;

/// How long one append may take before its outcome counts as unknown.
///
/// A healthy broker answers within milliseconds. It forgets a batch that stays open for 10 s, so that tries that
/// hang can never fill its 50 places for open batches.
const APPEND_WAIT_MAX: Duration = Duration::from_secs(5);

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

/// Stores `events` behind position `expected`, all or none.
pub(super) async fn append(
    client: &Client,
    market: &MarketName,
    expected: Position,
    events: &[&Recorded],
) -> Result<(), Failure> {
    let publish = async {
        // While disconnected, the client would queue whole batches and send them all when it is back.
        if client.connection_state() != State::Connected {
            client.flush().await.map_err(|error| Failure::Unknown(error.into()))?;
        }
        publish_all(client, market, expected, events).await
    };
    match tokio::time::timeout(APPEND_WAIT_MAX, publish).await {
        Ok(done) => done,
        Err(elapsed) => Err(Failure::Unknown(elapsed.into())),
    }
}

async fn publish_all(
    client: &Client,
    market: &MarketName,
    expected: Position,
    events: &[&Recorded],
) -> Result<(), Failure> {
    // A new id for each try: what a try before left open at the broker can't be mixed with this one.
    let batch = (events.len() > 1).then(|| Uuid::now_v7().to_string());
    let (last, earlier) = events.split_last().expect("an append has at least one event");
    for (event, number) in earlier.iter().zip(1..) {
        let mut headers = headers_of(event)?;
        if let Some(batch) = &batch {
            mark(&mut headers, batch, number);
        }
        if number == 1 {
            expect(&mut headers, expected);
        }
        let subject = wire::event_subject(market, &event.metadata.type_name);
        client
            .publish_with_headers(subject, headers, Bytes::copy_from_slice(&event.payload_json))
            .await
            .map_err(not_sent)?;
    }
    let mut headers = headers_of(last)?;
    match &batch {
        Some(batch) => {
            mark(&mut headers, batch, events.len());
            headers.insert(header::NATS_BATCH_COMMIT, header::NATS_BATCH_COMMIT_FINAL);
        }
        None => expect(&mut headers, expected),
    }
    let subject = wire::event_subject(market, &last.metadata.type_name);
    let request = Request::new()
        .headers(headers)
        .payload(Bytes::copy_from_slice(&last.payload_json))
        .timeout(Some(APPEND_WAIT_MAX));
    let answer = client.send_request(subject, request).await.map_err(not_answered)?;
    acknowledged(&answer.payload, expected + events.len() as u64)
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
        for passing in [10164, 10158, 10176, 10210, 10167, 10008, 10009] {
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
