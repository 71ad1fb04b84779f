//! The event log on NATS JetStream: one stream per market, one message per event.
//!
//! An append is one atomic batch whose first message carries the position the log must end at, so the broker
//! stores all of it or nothing and refuses whoever lost the market. A message's headers hold the whole metadata;
//! its sequence in the stream is the event's position.
//!
//! A broker with one copy of a stream makes a place on disk for every batch before it takes the first message, with
//! four syncs, which is most of what a small append takes. So a batch is opened ahead, with what is decided by then
//! ([`EventLog::prepare`]), and what is decided while the broker makes the place goes into the same batch. It is opened
//! right behind the last message of the append under way: the broker turns to it as soon as that is stored.

mod append;
mod durability;
mod read;
mod settings;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::jetstream::stream::Stream as JetStream;
use async_nats::jetstream::{self, ErrorCode};
use async_trait::async_trait;
use events::ids::MarketName;
use events::{Commit, Head, Position, wire};
use futures::StreamExt;
use tokio::time::{Instant, sleep};

pub(crate) use self::append::is_passing;
pub use self::durability::{Durability, durability};
pub use self::settings::{Breach, StreamOptions};

use self::append::OpenBatch;
use self::read::{End, Source};
use super::{AppendError, CommitStream, EVENTS_PER_APPEND_MAX, EventLog, ReadError};

/// How long the broker may take to answer a question about the stream.
const API_WAIT_MAX: Duration = Duration::from_secs(5);

/// How long a broker that doesn't answer is asked again to open a stream.
///
/// The copies of a new stream elect their leader before the broker answers. On a busy machine the first vote may come
/// before the others can hear it, and the next follows after 4 to 9 s: this is time for two of them.
const OPEN_WAIT_MAX: Duration = Duration::from_secs(20);

/// Pause before the broker is asked again.
const OPEN_PAUSE: Duration = Duration::from_secs(1);

/// A market's log on JetStream.
#[derive(Debug)]
pub struct JetStreamLog {
    client: async_nats::Client,
    market: MarketName,
    source: Source,
    /// The last head this process has read or been told of by an acknowledgement; others may have written since.
    known: Mutex<Option<Head>>,
    is_read_only: bool,
    /// Whether the broker makes a place on disk for each batch.
    stages_on_disk: bool,
    /// The batch that was opened for the next append.
    opened: Mutex<Option<OpenBatch>>,
    /// Held by whoever sends the messages of an append or of its preparation: the broker takes them one after the other,
    /// and an append is not to wait while a place is made for the next.
    sending: tokio::sync::Mutex<()>,
}

/// The log was opened to be read.
#[derive(Debug, thiserror::Error)]
#[error("the log was opened read-only")]
struct ReadOnly;

/// Why a log can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The broker does not answer, or not yet, or too few of a cluster are there for the copies that are wanted.
    #[error(
        "the broker can't be reached or is not ready: see that it runs, with all of its cluster, then try again"
    )]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The broker will not have the stream as it must be.
    #[error("the broker refuses to create stream {stream}: mend the cause and start again")]
    Refused {
        /// The stream.
        stream: String,
        /// What the broker says.
        source: jetstream::Error,
    },
    /// There is no log to read.
    #[error("there is no stream {stream} at the broker")]
    NoLog {
        /// The stream.
        stream: String,
    },
    /// There is such a stream, but under its settings a log would not keep its promises.
    #[error("stream {stream} can't hold a log: an operator corrects the setting, then start again")]
    Unfit {
        /// The stream.
        stream: String,
        /// The first setting that is wrong.
        source: Breach,
    },
}

impl JetStreamLog {
    /// Opens the log of `market`, creating its stream as `options` say if there is none.
    ///
    /// An existing stream is never changed: settings that would break the log's contract are refused.
    pub async fn open(
        client: async_nats::Client,
        market: MarketName,
        options: StreamOptions,
    ) -> Result<Self, OpenError> {
        let context = context(&client);
        let wanted = settings::wanted(&market, options);
        let (stream, copies) = open_patiently(
            || open_stream(&context, wanted.clone()),
            |error| matches!(error, OpenError::Unavailable(_)),
        )
        .await?;
        // With several copies, batches are staged in the memory of the leader.
        Ok(Self { stages_on_disk: copies == 1, ..Self::over(client, market, context, stream, false) })
    }

    /// Opens the log of `market` to read it, while another process may write it. Creates no stream and asks nothing of
    /// its settings: what was written before somebody changed them can still be read.
    pub async fn open_reader(client: async_nats::Client, market: MarketName) -> Result<Self, OpenError> {
        let context = context(&client);
        let name = wire::event_stream(&market);
        match context.get_stream(&name).await {
            Ok(_) => {}
            Err(error) if is_not_found(&error) => return Err(OpenError::NoLog { stream: name }),
            Err(error) => return Err(OpenError::Unavailable(error.into())),
        }
        let handle = context.get_stream_no_info(&name).await;
        let stream = handle.map_err(|error| OpenError::Unavailable(error.into()))?;
        Ok(Self::over(client, market, context, stream, true))
    }

    fn over(
        client: async_nats::Client,
        market: MarketName,
        context: jetstream::Context,
        stream: JetStream<()>,
        is_read_only: bool,
    ) -> Self {
        let source = Source { context, stream, market: market.clone() };
        Self {
            client,
            market,
            source,
            known: Mutex::new(None),
            is_read_only,
            stages_on_disk: false,
            opened: Mutex::new(None),
            sending: tokio::sync::Mutex::new(()),
        }
    }

    /// Gives the size of the account's or the broker's store, whichever is smaller, if the log could fill it: if its stream
    /// has no `max_bytes`. A broker whose store is full may keep a part of an append.
    pub async fn store_it_could_fill(&self, monitor_url: Option<&str>) -> Result<Option<u64>, ReadError> {
        let info =
            self.source.stream.get_info().await.map_err(|error| ReadError::Unavailable(error.into()))?;
        if info.config.max_bytes > 0 {
            return Ok(None);
        }
        // Whoever gets no answer knows of no limit.
        let account = self.source.context.query_account().await.ok();
        let account = account.and_then(|account| u64::try_from(account.limits.max_storage?).ok());
        Ok(account.into_iter().chain(durability::file_store(monitor_url).await).min())
    }

    /// Gives the market whose log this is.
    pub fn market(&self) -> &MarketName {
        &self.market
    }

    /// Gives the name of the stream that holds the log.
    pub fn stream_name(&self) -> String {
        wire::event_stream(&self.market)
    }

    fn known(&self) -> Option<Head> {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the batch that was opened for this append, if it holds the beginning of it.
    fn take_opened(&self, expected: Head, commits: &[Arc<Commit>]) -> Option<OpenBatch> {
        // One that was opened for the append after this, which is tried again, waits for its own.
        let is_for_this = |opened: &mut OpenBatch| opened.expected == expected;
        let opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner).take_if(is_for_this)?;
        // What does not fit is left to the broker, which forgets it.
        commits.iter().any(|commit| commit.head() == opened.head).then_some(opened)
    }

    fn learn(&self, head: Option<Head>) {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = head;
    }

    /// Refuses an append behind a head that the log contradicts. The broker itself compares positions only: of a
    /// log that was restored to another history of the same length it would notice nothing.
    async fn check_expected(&self, expected: Head) -> Result<(), AppendError> {
        let known = match self.known() {
            Some(known) if known.position == expected.position => known,
            _ => match self.head().await {
                Ok(head) => head,
                Err(ReadError::Unavailable(source)) => return Err(AppendError::Unknown(source)),
                Err(damage) => return Err(AppendError::Failed(damage.into())),
            },
        };
        // A shorter log than expected may be a broker that lags: it decides itself when it gets the append.
        let contradicts = known.position > expected.position
            || (known.position == expected.position && known.hash != expected.hash);
        if contradicts { Err(AppendError::Conflict { expected: expected.position }) } else { Ok(()) }
    }
}

/// Opens something at the broker, and asks again within [`OPEN_WAIT_MAX`] while the error is one that `passes`.
pub(crate) async fn open_patiently<T, E: std::error::Error + 'static, F: Future<Output = Result<T, E>>>(
    open: impl Fn() -> F,
    passes: impl Fn(&E) -> bool,
) -> Result<T, E> {
    let began = Instant::now();
    loop {
        match open().await {
            Err(error) if passes(&error) && began.elapsed() < OPEN_WAIT_MAX => {
                tracing::info!(
                    error = &error as &dyn std::error::Error,
                    "the broker does not answer yet, and is asked again"
                );
                sleep(OPEN_PAUSE).await;
            }
            opened => return opened,
        }
    }
}

fn context(client: &async_nats::Client) -> jetstream::Context {
    let mut context = jetstream::new(client.clone());
    context.set_timeout(API_WAIT_MAX);
    context
}

/// Gets the stream that is `wanted`, or creates it; tells how many copies of it there are.
async fn open_stream(
    context: &jetstream::Context,
    wanted: jetstream::stream::Config,
) -> Result<(JetStream<()>, usize), OpenError> {
    let name = wanted.name.clone();
    let unavailable = |error: async_nats::Error| OpenError::Unavailable(error);
    let handle = context.get_stream_no_info(&name).await.map_err(|e| unavailable(e.into()))?;
    let found = match context.get_stream(&name).await {
        Ok(stream) => stream,
        Err(error) if is_not_found(&error) => match create_stream(context, wanted.clone()).await? {
            Created::New => return Ok((handle, wanted.num_replicas)),
            // Somebody else was faster, maybe with other settings.
            Created::ByAnother => context.get_stream(&name).await.map_err(|e| unavailable(e.into()))?,
        },
        Err(error) => return Err(unavailable(error.into())),
    };
    settings::check(found.cached_info(), &wanted)
        .map_err(|source| OpenError::Unfit { stream: name, source })?;
    Ok((handle, found.cached_info().config.num_replicas))
}

enum Created {
    New,
    ByAnother,
}

async fn create_stream(
    context: &jetstream::Context,
    wanted: jetstream::stream::Config,
) -> Result<Created, OpenError> {
    use jetstream::context::CreateStreamErrorKind;
    let stream = wanted.name.clone();
    match context.create_stream(wanted).await {
        Ok(_) => Ok(Created::New),
        Err(error) => match error.kind() {
            CreateStreamErrorKind::JetStream(source)
                if source.error_code() == ErrorCode::STREAM_NAME_EXIST =>
            {
                Ok(Created::ByAnother)
            }
            CreateStreamErrorKind::JetStream(source) if !is_passing(source.error_code()) => {
                Err(OpenError::Refused { stream, source })
            }
            _ => Err(OpenError::Unavailable(error.into())),
        },
    }
}

fn is_not_found(error: &jetstream::context::GetStreamError) -> bool {
    use jetstream::context::GetStreamErrorKind;
    matches!(error.kind(), GetStreamErrorKind::JetStream(source) if source.error_code() == ErrorCode::STREAM_NOT_FOUND)
}

#[async_trait]
impl EventLog for JetStreamLog {
    fn prepares(&self) -> bool {
        self.stages_on_disk
    }

    async fn prepare(&self, expected: Head, commits: &[Arc<Commit>]) {
        match append::open(&self.client, &self.market, &self.sending, expected, commits).await {
            Ok(opened) => *self.opened.lock().unwrap_or_else(PoisonError::into_inner) = opened,
            Err(failure) => tracing::debug!(?failure, "no batch was opened ahead"),
        }
    }

    async fn append(&self, expected: Head, commits: &[Arc<Commit>]) -> Result<(), AppendError> {
        if self.is_read_only {
            return Err(AppendError::Failed(ReadOnly.into()));
        }
        let events: Vec<_> = commits.iter().flat_map(|commit| commit.events()).collect();
        let Some(last) = commits.last() else { return Ok(()) };
        assert!(events.len() <= EVENTS_PER_APPEND_MAX, "the writer bounds its groups");
        assert_eq!(events[0].position, expected.position + 1, "the commits are chained to what is expected");
        self.check_expected(expected).await?;
        let opened = self.take_opened(expected, commits);
        let (client, market, position) = (&self.client, &self.market, expected.position);
        let appended =
            append::append(client, market, &self.sending, position, &events, opened.as_ref()).await;
        let failure = match appended {
            Ok(()) => {
                self.learn(Some(last.head()));
                return Ok(());
            }
            Err(failure) => failure,
        };
        Err(match failure {
            append::Failure::WrongEnd { found } if self.has_seen(expected) && found < expected.position => {
                AppendError::Unknown(append::BrokerLags { found, expected: expected.position }.into())
            }
            append::Failure::WrongEnd { .. } => {
                self.learn(None);
                AppendError::Conflict { expected: expected.position }
            }
            append::Failure::NobodyAnswers(source) if self.stream_is_gone().await => {
                AppendError::Failed(source)
            }
            append::Failure::NobodyAnswers(source) | append::Failure::Unknown(source) => {
                AppendError::Unknown(source)
            }
            append::Failure::Definite(source) => AppendError::Failed(source),
        })
    }

    async fn head(&self) -> Result<Head, ReadError> {
        let end = self.source.end().await?;
        if end == 0 {
            return Ok(Head::EMPTY);
        }
        if let Some(known) = self.known()
            && known.position == end
        {
            return Ok(known);
        }
        let first = self.source.first_of_commit_at(end).await?;
        let commit = self.source.clone().commits(first, End::Commit).next().await;
        let head = match commit {
            Some(commit) => commit?.head(),
            None => return Err(read::damaged(&self.stream_name(), first, "no commit begins there")),
        };
        self.learn(Some(head));
        Ok(head)
    }

    fn read(&self, from: Position) -> CommitStream {
        self.source.clone().commits(from, End::HeadNow)
    }

    async fn commit(&self, first: Position) -> Result<Option<Arc<Commit>>, ReadError> {
        self.source.commit(first).await
    }

    fn follow(&self, from: Position) -> CommitStream {
        self.source.clone().commits(from, End::Never)
    }
}

impl JetStreamLog {
    fn has_seen(&self, expected: Head) -> bool {
        self.known().is_some_and(|known| known.position >= expected.position)
    }

    /// Tells whether the broker says for certain that the stream, which was there, is no more.
    async fn stream_is_gone(&self) -> bool {
        matches!(
            self.source.context.get_stream(self.stream_name()).await,
            Err(error) if is_not_found(&error)
        )
    }
}
