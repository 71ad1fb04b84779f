//! Takes requests from wherever they come and checks their signatures on all cores.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use commands::envelope;
use commands::personal::{self, Personal};
use commands::receipt::Receipt;
use commands::step_up::{Shown, read_header};
use commands::{Command, Refusal, Verified};
use events::ids::MarketName;
use events::step_up::{StepUp, TotpShown};
use tokio::sync::{mpsc, oneshot};

use crate::clock::Clock;
use crate::drained::Drained;
use crate::driver::ToWriter;
use crate::keys::KeyRing;
use crate::pace::{Answered, Pace};
use crate::passwords::Passwords;
use crate::processor::{Incoming, Wake};
use crate::rates::CommandRates;
use crate::secrets::Secrets;
use crate::vault::{Staged, Staging, Vault, VaultError, Zeroizing};

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

/// Where a reply goes, and since when it is waited for.
#[derive(Debug)]
pub(crate) struct ReplyTo {
    sender: oneshot::Sender<Reply>,
    arrived: Instant,
}

impl ReplyTo {
    /// Begins to wait.
    pub(crate) fn new(sender: oneshot::Sender<Reply>) -> Self {
        ReplyTo { sender, arrived: Instant::now() }
    }

    /// Sends the reply. Whoever asked may be gone; the receipt can be asked for by command id.
    pub(crate) fn send(self, reply: Reply) {
        let _ = self.sender.send(reply);
    }

    /// Tells how long the reply has been waited for.
    pub(crate) fn waited(&self) -> Duration {
        self.arrived.elapsed()
    }
}

/// What comes with a command and is not signed.
#[derive(Clone, Default)]
pub struct Beside {
    /// The second factor as it stands in the header `Skylink-Step-Up`, if there is one.
    pub step_up: Option<String>,
    /// What is personal, as it stands in the header `Skylink-Personal`, if there is something.
    pub personal: Option<String>,
    /// The way it came, and so whether something personal may.
    pub way: Way,
    /// W3C trace context, if any.
    pub traceparent: Option<String>,
    /// What counts it, once its signature holds; none: it is not counted, as one that this process gives itself.
    pub rates: Option<Arc<CommandRates>>,
}

/// The way that a command came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Way {
    /// From its sender to this process.
    #[default]
    Direct,
    /// Through a broker, which may keep what it carries, beyond all erasure.
    Broker {
        /// Whether something personal came with it all the same.
        has_personal: bool,
    },
}

/// Writes nothing of what is personal.
impl fmt::Debug for Beside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Beside { step_up, personal: _, way, traceparent, rates: _ } = self;
        let mut shown = f.debug_struct("Beside");
        shown.field("step_up", step_up).field("way", way).field("traceparent", traceparent);
        shown.finish_non_exhaustive()
    }
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
    /// Where what is personal is stored; none: nowhere.
    pub(crate) vault: Option<Arc<Vault>>,
    pub(crate) passwords: Arc<Passwords>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) pace: Arc<Pace>,
}

/// Starts the threads that check signatures. They end when the requests or the writer do.
pub(crate) fn spawn(
    threads: usize,
    checker: &Checker,
    requests: mpsc::Receiver<Request>,
    wakes: &mpsc::Sender<ToWriter>,
) {
    let requests = Arc::new(Mutex::new(Drained::new(requests)));
    for number in 0..threads {
        let (requests, checker, wakes) = (Arc::clone(&requests), checker.clone(), wakes.clone());
        thread::Builder::new()
            .name(format!("verify-{number}"))
            .spawn(move || checker.run(&requests, &wakes))
            .expect("a thread can be started at start-up");
    }
}

/// A command that names something personal, which has to be stored first.
struct Unstored {
    incoming: Incoming<ReplyTo>,
    staged: Staged,
}

impl Checker {
    fn run(&self, requests: &Mutex<Drained<Request>>, wakes: &mpsc::Sender<ToWriter>) {
        let mut batch = Vec::with_capacity(REQUESTS_PER_BATCH_MAX);
        loop {
            // Held while it waits: the other threads wait for the lock, which is the same.
            let mut queue = requests.lock().unwrap_or_else(PoisonError::into_inner);
            if queue.recv_many(&mut batch, REQUESTS_PER_BATCH_MAX) == 0 {
                return;
            }
            drop(queue);
            let (mut good, mut unstored) = (Vec::with_capacity(batch.len()), Vec::new());
            for request in batch.drain(..) {
                let Request { bytes, arrived_as, beside, reply } = request;
                match self.verify(&bytes, arrived_as.as_deref(), &beside) {
                    Ok((verified, staged)) => {
                        let incoming = Incoming { verified, traceparent: beside.traceparent, reply };
                        match staged {
                            Some(staged) => unstored.push(Unstored { incoming, staged }),
                            None => good.push(incoming),
                        }
                    }
                    Err(refusal) => self.refuse(reply, refusal),
                }
            }
            let hand_over =
                |good: Vec<_>| good.is_empty() || wakes.blocking_send(Wake::Commands(good).into()).is_ok();
            // What needs no disk does not wait for it.
            if !hand_over(good) || !hand_over(self.store(unstored)) {
                return;
            }
        }
    }

    /// Checks the signed bytes, and reads what was shown beside them; whether that is a second factor is asked where it is known
    /// which are the account's. Gives what is to be stored before the command is decided.
    fn verify(
        &self,
        bytes: &[u8],
        arrived_as: Option<&str>,
        beside: &Beside,
    ) -> Result<(Verified, Option<Staged>), Refusal> {
        let envelope = envelope::verify(bytes, &self.market, self.keys.as_ref())?;
        if let Some(rates) = &beside.rates {
            rates.take(envelope.stamp.key)?;
        }
        let mut verified = envelope.into_command_as(arrived_as, self.keys.as_ref())?;
        self.read_step_up(&mut verified, beside.step_up.as_deref())?;
        if beside.way == (Way::Broker { has_personal: true }) {
            return Err(Refusal::PersonalOverHttp);
        }
        let given = beside.personal.as_deref().map(personal::read_header).transpose()?.unwrap_or_default();
        let staged = self.personal(&verified, given).map_err(|refusal| match (refusal, beside.way) {
            (Refusal::PersonalMissing { .. }, Way::Broker { .. }) => Refusal::PersonalOverHttp,
            (refusal, _) => refusal,
        });
        Ok((verified, staged?))
    }

    fn read_step_up(&self, verified: &mut Verified, step_up: Option<&str>) -> Result<(), Refusal> {
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
        let Some(shown) = step_up.map(read_header).transpose()? else { return Ok(()) };
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
        Ok(())
    }

    /// Checks that there is every value that a command names: beside it, or stored already.
    fn personal(&self, verified: &Verified, given: Vec<Personal>) -> Result<Option<Staged>, Refusal> {
        let matched = personal::match_up(&verified.command, given)?;
        let account = verified.stamp.account;
        // With the key of another the writer refuses it; nothing is stored for him. So does he for one who was erased.
        if matched.is_empty() || self.keys.owner(verified.stamp.key) != Some(account) {
            return Ok(None);
        }
        let missing = |hash| Refusal::PersonalMissing { hash };
        let vault = self.vault.as_ref().ok_or(missing(matched[0].0.hash))?;
        let mut values = Vec::new();
        for (named, found) in matched {
            match found {
                Some(value) => values.push((named.name, Zeroizing::new(value.to_bytes()))),
                None if vault.is_erased(account).map_err(unstorable)? => return Ok(None),
                // It may be there only for a while yet: where it is, it waits for longer.
                None => match vault.get(account, &named.name).map_err(unstorable)? {
                    Some(value) => values.push((named.name, value)),
                    None => return Err(missing(named.hash)),
                },
            }
        }
        Ok(Some(Staged { account, values }))
    }

    fn refuse(&self, reply: ReplyTo, refusal: Refusal) {
        metrics::counter!("skylink_refusals_total", "code" => refusal.code()).increment(1);
        self.pace.answered(std::iter::once((Answered::Refused, reply.waited())));
        reply.send(Reply::Refused(refusal));
    }

    /// Stores what commands name, durably, and gives those that may be decided now.
    fn store(&self, unstored: Vec<Unstored>) -> Vec<Incoming<ReplyTo>> {
        let Some(vault) = self.vault.as_ref().filter(|_| !unstored.is_empty()) else { return Vec::new() };
        let (incoming, staged): (Vec<_>, Vec<_>) =
            unstored.into_iter().map(|one| (one.incoming, one.staged)).unzip();
        let outcomes = match vault.stage(&staged, self.clock.now()) {
            Ok(outcomes) => outcomes,
            Err(error) => {
                let refusal = unstorable(error);
                incoming.into_iter().for_each(|one| self.refuse(one.reply, refusal.clone()));
                return Vec::new();
            }
        };
        let mut good = Vec::with_capacity(incoming.len());
        for (one, outcome) in incoming.into_iter().zip(outcomes) {
            match outcome {
                // Of one who was erased the writer knows it too, or what came of the command when he was not.
                Staging::Stored | Staging::Erased => good.push(one),
                Staging::TooMany => self.refuse(one.reply, Refusal::Busy),
            }
        }
        good
    }
}

/// What can't be read now may be read later; nobody's try is counted for it.
fn unreadable(error: impl std::error::Error + 'static) -> Refusal {
    tracing::error!(error = &error as &dyn std::error::Error, "a secret can't be read");
    Refusal::Busy
}

fn unstorable(error: VaultError) -> Refusal {
    tracing::error!(error = &error as &dyn std::error::Error, "what is personal can't be stored");
    Refusal::Busy
}
