//! How the log and its commands are laid out on NATS: names of streams and subjects, and CloudEvents 1.0 headers
//! in binary mode. The headers hold the whole metadata; from them its canonical JSON is made again, bit for bit.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::commit::event_id;
use crate::hash::Hash;
use crate::ids::{CommitId, MarketName};
use crate::metadata::{Cause, CommandStamp, CommitStart, DeadlineStamp, Metadata};
use crate::time::Timestamp;

/// Names the stream that holds a market's events.
pub fn event_stream(market: &MarketName) -> String {
    format!("EVT_{market}")
}

/// Names the stream that buffers a market's commands.
pub fn command_stream(market: &MarketName) -> String {
    format!("CMD_{market}")
}

/// Gives the subjects that a market's events stand on.
pub fn event_subjects(market: &MarketName) -> String {
    format!("evt.{market}.>")
}

/// Gives the subjects that a market's commands arrive on.
pub fn command_subjects(market: &MarketName) -> String {
    format!("cmd.{market}.>")
}

/// Gives the subject of one event: `evt.<market>.<aggregate>.<event>`, without version and id.
pub fn event_subject(market: &MarketName, type_name: &str) -> String {
    let unversioned = type_name.rsplit_once(".v").map_or(type_name, |(name, _)| name);
    format!("evt.{market}.{unversioned}")
}

/// Gives the subject of one command: `cmd.<market>.<aggregate>.<command>`.
pub fn command_subject(market: &MarketName, name: &str) -> String {
    format!("cmd.{market}.{name}")
}

/// Gives the subject that the receipt of a command is published on.
pub fn receipt_subject(market: &MarketName, command: crate::ids::CommandId) -> String {
    format!("rcpt.{market}.{command}")
}

/// Why the headers of a message are no event's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// A header is missing.
    #[error("header `{0}` is missing")]
    Missing(&'static str),
    /// A header can't be understood.
    #[error("header `{name}` is not valid: `{value}`")]
    Invalid {
        /// The header.
        name: &'static str,
        /// Its value, shortened.
        value: String,
    },
}

mod names {
    pub(super) const SPEC_VERSION: &str = "ce-specversion";
    pub(super) const ID: &str = "ce-id";
    pub(super) const TYPE: &str = "ce-type";
    pub(super) const SOURCE: &str = "ce-source";
    pub(super) const SUBJECT: &str = "ce-subject";
    pub(super) const TIME: &str = "ce-time";
    pub(super) const CONTENT_TYPE: &str = "content-type";
    pub(super) const TRACEPARENT: &str = "traceparent";
    pub(super) const COUNT: &str = "skylink-count";
    pub(super) const PREVIOUS: &str = "skylink-previous";
    pub(super) const COMMAND: &str = "skylink-command";
    pub(super) const COMMAND_NAME: &str = "skylink-command-name";
    pub(super) const ACCOUNT: &str = "skylink-account";
    pub(super) const DEVICE: &str = "skylink-device";
    pub(super) const KEY: &str = "skylink-key";
    pub(super) const SEQ: &str = "skylink-seq";
    pub(super) const NONCE: &str = "skylink-nonce";
    pub(super) const FINGERPRINT: &str = "skylink-fingerprint";
    pub(super) const SIGNED: &str = "skylink-signed";
    pub(super) const STEP_UP: &str = "skylink-step-up";
    pub(super) const DEADLINE: &str = "skylink-deadline";
    pub(super) const WRITER: &str = "skylink-writer";
}
use names::{
    ACCOUNT, COMMAND, COMMAND_NAME, CONTENT_TYPE, COUNT, DEADLINE, DEVICE, FINGERPRINT, ID, KEY, NONCE,
    PREVIOUS, SEQ, SIGNED, SOURCE, SPEC_VERSION, STEP_UP, SUBJECT, TIME, TRACEPARENT, TYPE, WRITER,
};

/// Writes metadata as headers, in a fixed order.
pub fn to_headers(metadata: &Metadata) -> Vec<(&'static str, String)> {
    let mut headers = vec![
        (SPEC_VERSION, "1.0".to_owned()),
        (ID, event_id(metadata.commit, metadata.index)),
        (TYPE, metadata.type_name.clone()),
        (SOURCE, format!("/markets/{}", metadata.market)),
        (TIME, metadata.time.to_string()),
        (CONTENT_TYPE, "application/json".to_owned()),
        (COUNT, metadata.count.to_string()),
    ];
    if let Some(subject) = &metadata.subject {
        headers.push((SUBJECT, subject.clone()));
    }
    if let Some(start) = &metadata.start {
        headers.push((PREVIOUS, start.previous.to_string()));
        if let Some(traceparent) = &start.traceparent {
            headers.push((TRACEPARENT, traceparent.clone()));
        }
        match &start.cause {
            Cause::Command(stamp) => push_stamp(&mut headers, stamp),
            Cause::Deadline(stamp) => {
                let json =
                    serde_json::to_string(stamp).expect("a deadline holds nothing that JSON can't say");
                headers.push((DEADLINE, json));
            }
            Cause::Writer(writer) => headers.push((WRITER, writer.to_string())),
        }
    }
    headers
}

fn push_stamp(headers: &mut Vec<(&'static str, String)>, stamp: &CommandStamp) {
    headers.extend([
        (COMMAND, stamp.command.to_string()),
        (COMMAND_NAME, stamp.name.clone()),
        (ACCOUNT, stamp.account.to_string()),
        (DEVICE, stamp.device.to_string()),
        (KEY, stamp.key.to_string()),
        (SEQ, stamp.seq.to_string()),
        (NONCE, stamp.nonce.to_string()),
        (FINGERPRINT, stamp.fingerprint.to_string()),
        (SIGNED, signed_to_header(&stamp.signed)),
    ]);
    if let Some(step_up) = &stamp.step_up {
        let json = serde_json::to_string(step_up).expect("a second factor holds nothing that JSON can't say");
        headers.push((STEP_UP, json));
    }
}

/// A compact JWS goes as it is; JSON, which may hold any character, goes as base64url behind a `~`.
fn signed_to_header(signed: &str) -> String {
    if signed.starts_with('{') { format!("~{}", URL_SAFE_NO_PAD.encode(signed)) } else { signed.to_owned() }
}

/// Reads what [`signed_to_header`] writes, and no other spelling of it: what is read can be written again.
fn signed_from_header(value: &str) -> Option<String> {
    let (signed, is_encoded) = match value.strip_prefix('~') {
        Some(encoded) => (String::from_utf8(URL_SAFE_NO_PAD.decode(encoded).ok()?).ok()?, true),
        None => (value.to_owned(), false),
    };
    (signed.starts_with('{') == is_encoded).then_some(signed)
}

/// Reads metadata from headers; `get` looks one up by name.
pub fn from_headers<'a>(get: impl Fn(&'static str) -> Option<&'a str>) -> Result<Metadata, HeaderError> {
    let headers = Lookup { get };
    let id = headers.required(ID)?;
    let (commit, index) = id.rsplit_once('.').ok_or_else(|| invalid(ID, id))?;
    let commit: CommitId = commit.parse().map_err(|_| invalid(ID, id))?;
    let index: u16 = index.parse().map_err(|_| invalid(ID, id))?;
    let source = headers.required(SOURCE)?;
    let market = source.strip_prefix("/markets/").ok_or_else(|| invalid(SOURCE, source))?;
    let time = headers.required(TIME)?;
    Ok(Metadata {
        commit,
        count: headers.parsed(COUNT)?,
        index,
        market: market.parse().map_err(|_| invalid(SOURCE, source))?,
        start: if index == 0 { Some(headers.start()?) } else { None },
        subject: headers.optional(SUBJECT).map(str::to_owned),
        time: Timestamp::parse_rfc3339(time).map_err(|_| invalid(TIME, time))?,
        type_name: headers.required(TYPE)?.to_owned(),
    })
}

fn invalid(name: &'static str, value: &str) -> HeaderError {
    HeaderError::Invalid { name, value: value.chars().take(80).collect() }
}

struct Lookup<G> {
    get: G,
}

impl<'a, G: Fn(&'static str) -> Option<&'a str>> Lookup<G> {
    fn optional(&self, name: &'static str) -> Option<&'a str> {
        (self.get)(name)
    }

    fn required(&self, name: &'static str) -> Result<&'a str, HeaderError> {
        self.optional(name).ok_or(HeaderError::Missing(name))
    }

    fn parsed<T: std::str::FromStr>(&self, name: &'static str) -> Result<T, HeaderError> {
        let value = self.required(name)?;
        value.parse().map_err(|_| invalid(name, value))
    }

    fn json<T: serde::de::DeserializeOwned>(&self, name: &'static str) -> Result<Option<T>, HeaderError> {
        let read = |json| serde_json::from_str(json).map_err(|_| invalid(name, json));
        self.optional(name).map(read).transpose()
    }

    fn start(&self) -> Result<CommitStart, HeaderError> {
        Ok(CommitStart {
            cause: self.cause()?,
            previous: self.parsed::<Hash>(PREVIOUS)?,
            traceparent: self.optional(TRACEPARENT).map(str::to_owned),
        })
    }

    fn cause(&self) -> Result<Cause, HeaderError> {
        if let Some(json) = self.optional(DEADLINE) {
            let stamp: DeadlineStamp = serde_json::from_str(json).map_err(|_| invalid(DEADLINE, json))?;
            return Ok(Cause::Deadline(stamp));
        }
        if self.optional(WRITER).is_some() {
            return Ok(Cause::Writer(self.parsed(WRITER)?));
        }
        let signed = self.required(SIGNED)?;
        Ok(Cause::Command(Box::new(CommandStamp {
            account: self.parsed(ACCOUNT)?,
            command: self.parsed(COMMAND)?,
            device: self.parsed(DEVICE)?,
            fingerprint: self.parsed(FINGERPRINT)?,
            key: self.parsed(KEY)?,
            name: self.required(COMMAND_NAME)?.to_owned(),
            nonce: self.parsed(NONCE)?,
            seq: self.parsed(SEQ)?,
            signed: signed_from_header(signed).ok_or_else(|| invalid(SIGNED, signed))?,
            step_up: self.json(STEP_UP)?,
        })))
    }
}
