//! Takes requests from wherever they come and checks their signatures on all cores.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use bytes::Bytes;
use commands::envelope::verify_command;
use commands::receipt::Receipt;
use commands::step_up::{Shown, read_header};
use commands::{Command, Refusal, Verified};
use events::ids::MarketName;
use events::step_up::{StepUp, TotpShown};
use tokio::sync::{mpsc, oneshot};

use crate::clock::Clock;
use crate::driver::ToWriter;
use crate::keys::KeyRing;
use crate::passwords::Passwords;
use crate::processor::{Incoming, Wake};
use crate::secrets::Secrets;

/// Most requests that wait for a check of their signature; one more is answered `busy`.
pub const REQUESTS_MAX: usize = 16_384;
/// Most requests that a thread takes at once.
const REQUESTS_PER_BATCH_MAX: usize = 64;

/// What a request gets in the end.
#[derive(Debug)]
pub enum Reply {
    /// It was decided, now or earlier; whether accepted or rejected, the receipt says.
    Receipt(Box<Receipt>),
    /// It was not taken.
    Refused(Refusal),
    /// The engine stops, and what became of it is not known: ask again with the same command id.
    Undecided,
}

impl Reply {
    /// Writes the reply as JSON: a receipt as it is, `{"refusal": {"code": …, …}}`, or `{"undecided": true}`.
    pub fn to_json(&self) -> Vec<u8> {
        match self {
            Reply::Receipt(receipt) => return receipt.to_json(),
            Reply::Refused(refusal) => serde_json::to_vec(&serde_json::json!({ "refusal": refusal })),
            Reply::Undecided => serde_json::to_vec(&serde_json::json!({ "undecided": true })),
        }
        .expect("a reply holds nothing that JSON can't say")
    }

    /// Reads what [`Reply::to_json`] wrote; `None` if it is something else.
    pub fn from_json(json: &[u8]) -> Option<Reply> {
        if let Ok(receipt) = Receipt::from_json(json) {
            return Some(Reply::Receipt(Box::new(receipt)));
        }
        let mut value: serde_json::Value = serde_json::from_slice(json).ok()?;
        match value.get_mut("refusal") {
            Some(refusal) => serde_json::from_value(refusal.take()).ok().map(Reply::Refused),
            None => value.get("undecided").map(|_| Reply::Undecided),
        }
    }
}

/// Where a reply goes.
pub(crate) type ReplyTo = oneshot::Sender<Reply>;

/// What comes with a command and is not signed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Beside {
    /// The second factor as it stands in the header `Skylink-Step-Up`, if there is one.
    pub step_up: Option<String>,
    /// W3C trace context, if any.
    pub traceparent: Option<String>,
}

/// A command as it arrived.
#[derive(Debug)]
pub struct Request {
    /// The signed bytes.
    pub bytes: Bytes,
    /// The command's name in the subject or URL, if that names one.
    pub arrived_as: Option<String>,
    /// What came beside the signed bytes.
    pub beside: Beside,
    pub(crate) reply: ReplyTo,
}

/// What commands are checked with before they are decided.
#[derive(Clone)]
pub(crate) struct Checker {
    pub(crate) market: MarketName,
    pub(crate) keys: Arc<KeyRing>,
    /// Whether an app's code is right can be told only here.
    pub(crate) secrets: Arc<Secrets>,
    pub(crate) passwords: Arc<Passwords>,
    pub(crate) clock: Arc<dyn Clock>,
}

/// Starts the threads that check signatures. They end when the requests or the writer do.
pub(crate) fn spawn(
    threads: usize,
    checker: &Checker,
    requests: mpsc::Receiver<Request>,
    wakes: &mpsc::Sender<ToWriter>,
) {
    let requests = Arc::new(Mutex::new(requests));
    for number in 0..threads {
        let (requests, checker, wakes) = (Arc::clone(&requests), checker.clone(), wakes.clone());
        thread::Builder::new()
            .name(format!("verify-{number}"))
            .spawn(move || check(&requests, &checker, &wakes))
            .expect("a thread can be started at start-up");
    }
}

fn check(requests: &Mutex<mpsc::Receiver<Request>>, checker: &Checker, wakes: &mpsc::Sender<ToWriter>) {
    let mut batch = Vec::with_capacity(REQUESTS_PER_BATCH_MAX);
    loop {
        // Held while it waits: the other threads wait for the lock, which is the same.
        let mut queue = requests.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.blocking_recv_many(&mut batch, REQUESTS_PER_BATCH_MAX) == 0 {
            return;
        }
        drop(queue);
        let mut good = Vec::with_capacity(batch.len());
        for request in batch.drain(..) {
            let Request { bytes, arrived_as, beside, reply } = request;
            let Beside { step_up, traceparent } = beside;
            match checker.verify(&bytes, arrived_as.as_deref(), step_up.as_deref()) {
                Ok(verified) => good.push(Incoming { verified, traceparent, reply }),
                Err(refusal) => {
                    metrics::counter!("skylink_refusals_total", "code" => refusal.code()).increment(1);
                    // Whoever asked may be gone; then nobody misses the answer.
                    let _ = reply.send(Reply::Refused(refusal));
                }
            }
        }
        if !good.is_empty() && wakes.blocking_send(Wake::Commands(good).into()).is_err() {
            return;
        }
    }
}

impl Checker {
    /// Checks the signed bytes, and reads what was shown beside them; whether that is a second factor is asked where it is known
    /// which are the account's.
    fn verify(
        &self,
        bytes: &[u8],
        arrived_as: Option<&str>,
        step_up: Option<&str>,
    ) -> Result<Verified, Refusal> {
        let mut verified = verify_command(bytes, &self.market, arrived_as, self.keys.as_ref())?;
        let account = verified.stamp.account;
        let unkept = "get a secret for it and show its first code, see docs/step-up.md";
        let refuse = |name: &str, rule: &str| Refusal::BodyInvalid { rule: format!("{name}: {rule}") };
        if let Command::EnrollTotp(body) = &verified.command
            && !self.secrets.has(account, body.authenticator).map_err(unreadable)?
        {
            return Err(refuse("authenticator", unkept));
        }
        if let Command::SetPassword(body) = &verified.command
            && !self.passwords.has(account, body.password).map_err(unreadable)?
        {
            let rule = "give the password to the gateway first, see docs/accounts.md";
            return Err(refuse("password", rule));
        }
        let Some(shown) = step_up.map(read_header).transpose()? else { return Ok(verified) };
        verified.stamp.step_up = Some(Box::new(match *shown {
            Shown::Webauthn(assertion) => StepUp::Webauthn(assertion),
            Shown::Recovery(code) => StepUp::Recovery(code),
            Shown::Totp(shown) => {
                let (authenticator, now) = (shown.authenticator, self.clock.now());
                let step = self.secrets.step(account, authenticator, &shown.code, now).map_err(unreadable)?;
                let step = step.ok_or_else(|| refuse("Skylink-Step-Up", "the account has no such app"))?;
                StepUp::Totp(TotpShown { authenticator, step })
            }
        }));
        Ok(verified)
    }
}

/// What can't be read now may be read later; nobody's try is counted for it.
fn unreadable(error: impl std::error::Error + 'static) -> Refusal {
    tracing::error!(error = &error as &dyn std::error::Error, "a secret can't be read");
    Refusal::Busy
}
