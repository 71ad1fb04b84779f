//! Carries a log into a database: some commits at a time, each time in one transaction with how far the log is there.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use engine::log::{CommitStream, EventLog};
use events::ids::MarketName;
use events::{Commit, Hash, Head, Position};
use futures::StreamExt;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::rows::{CartRow, Needed, Rows, SavedRow, SessionRow};
use super::surreal::{QueryError, Surreal, THROWN};
use crate::output::talk;

/// The definitions of all tables.
const DEFINITIONS: &str = include_str!("../../../schemas/surrealdb/skylink.surql");
/// The form of the rows; to be raised with every change of what they say.
const LAYOUT: u32 = 1;

/// Most commits that are looked at together.
const COMMITS_PER_WRITE_MAX: usize = 1024;
/// From how many rows on nothing more is added to a transaction: a server takes 4 MiB, and a large cart is some ten thousand bytes.
const ROWS_PER_WRITE: usize = 64;
/// Most events behind which how far the log is there is written, though no row was changed by them.
const EVENTS_UNWRITTEN_MAX: u64 = 10_000;
/// Most tries of one question to a database that does not answer.
const TRIES_MAX: u32 = 10;
/// How long is waited before the second try; before each further one twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest that is waited before a try: with all of them it is given up after about two minutes.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// How far a log is in a database, as it stands there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Progress {
    market: MarketName,
    layout: u32,
    position: Position,
    hash: Hash,
}

/// What carries a log into a database.
pub(super) struct Sink {
    database: Surreal,
    market: MarketName,
    /// How far the log is there.
    stored: Head,
    /// How far it was read.
    read: Head,
    /// Rows written since it began.
    pub(super) rows: u64,
}

impl Sink {
    /// Makes the tables where they are not there, and finds out how far the log is in the database.
    pub(super) async fn begin(database: Surreal, market: MarketName) -> anyhow::Result<Sink> {
        let empty = Head::EMPTY;
        let mut sink = Sink { database, market, stored: empty, read: empty, rows: 0 };
        // Not tried again: whoever starts it is there to see what is wrong.
        sink.database.query(DEFINITIONS, &Value::Null).await.context("the tables can't be made")?;
        sink.stored = sink.progress().await?;
        sink.read = sink.stored;
        Ok(sink)
    }

    /// Tells how far the log was read.
    pub(super) fn head(&self) -> Head {
        self.read
    }

    /// Gives the commits that are to come: all that there will be, or those up to the log's present end.
    pub(super) async fn rest(&self, log: &dyn EventLog, once: bool) -> anyhow::Result<CommitStream> {
        let end = log.head().await?.position;
        let Head { position, .. } = self.stored;
        if end < position {
            bail!(
                "the database has followed a log up to position {position}, and this one ends at {end}: restore the newest log, or \
                 name the database that goes with it"
            );
        }
        if once && end == position {
            return Ok(futures::stream::empty().boxed());
        }
        Ok(if once { log.read(position + 1) } else { log.follow(position + 1) })
    }

    /// Takes commits as they come, until there are no more.
    pub(super) async fn run(&mut self, commits: CommitStream) -> anyhow::Result<()> {
        let mut chunks = commits.ready_chunks(COMMITS_PER_WRITE_MAX);
        while let Some(chunk) = chunks.next().await {
            let (mut waiting, mut needed) = (Vec::new(), Needed::default());
            for commit in chunk {
                let commit = crate::log::next(commit)?;
                commit.check_follows(self.read).with_context(|| {
                    format!(
                        "the database has followed another log up to position {}: name the one that goes with this log",
                        self.read.position
                    )
                })?;
                self.read = commit.head();
                needed.add(&commit);
                waiting.push(commit);
                if needed.len() >= ROWS_PER_WRITE {
                    self.write(&waiting, &needed).await?;
                    (waiting, needed) = (Vec::new(), Needed::default());
                }
            }
            if needed.len() > 0 || self.read.position - self.stored.position > EVENTS_UNWRITTEN_MAX {
                self.write(&waiting, &needed).await?;
            }
        }
        Ok(())
    }

    /// Writes down how far the log was read, if that is not known there yet.
    pub(super) async fn finish(&mut self) -> anyhow::Result<()> {
        if self.read != self.stored { self.write(&[], &Needed::default()).await } else { Ok(()) }
    }

    /// Changes the rows that commits are about, and how far the log is there, in one transaction.
    async fn write(&mut self, commits: &[Arc<Commit>], needed: &Needed) -> anyhow::Result<()> {
        let mut rows = self.find(needed).await?;
        for commit in commits {
            rows.apply(commit)?;
        }
        let progress = Progress {
            market: self.market.clone(),
            layout: LAYOUT,
            position: self.read.position,
            hash: self.read.hash,
        };
        let (statements, variables, count) = transaction(&rows, self.stored.position, &progress)?;
        match self.query(&statements, &variables).await {
            Ok(_) => {}
            // A time-out is never a "no": what was sent before may have been done.
            Err(QueryError::Thrown(said)) => {
                if self.progress().await? != self.read {
                    bail!(
                        "{said}, where this sink left it at {}: another one writes into this database, or it was restored. See that one \
                         sink writes, and start again: it goes on where the database is",
                        self.stored.position
                    );
                }
            }
            Err(error) => return Err(self.given_up(error)),
        }
        self.stored = self.read;
        self.rows += count;
        Ok(())
    }

    /// Asks until there is an answer, but not for ever.
    async fn ask(&self, statements: &str, variables: &Value) -> anyhow::Result<Vec<Value>> {
        self.query(statements, variables).await.map_err(|error| self.given_up(error))
    }

    async fn query(&self, statements: &str, variables: &Value) -> Result<Vec<Value>, QueryError> {
        let mut pause = FIRST_PAUSE;
        let mut tried = 0;
        loop {
            tried += 1;
            match self.database.query(statements, variables).await {
                Err(error) if error.is_passing() && tried < TRIES_MAX => {
                    tracing::warn!(error = &error as &dyn std::error::Error, tried, "it is tried again");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
                outcome => return outcome,
            }
        }
    }

    fn given_up(&self, error: QueryError) -> anyhow::Error {
        let position = self.stored.position;
        let more = if error.is_passing() { format!(", {TRIES_MAX} times") } else { String::new() };
        anyhow::Error::from(error)
            .context(format!("nothing could be written behind position {position}{more}; start again when it is mended: it goes on there"))
    }

    /// Finds out how far the log is in the database.
    async fn progress(&self) -> anyhow::Result<Head> {
        let found = self.ask("SELECT * OMIT id FROM ONLY skylink_sink:log", &Value::Null).await?;
        let Some(found) = found.into_iter().next().filter(|found| !found.is_null()) else {
            return Ok(Head::EMPTY);
        };
        let Progress { market, layout, position, hash } = serde_json::from_value(found).context(
            "skylink_sink:log in the database is not what this program writes: name another database",
        )?;
        if market != self.market {
            bail!(
                "the database holds market {market}, and this is the log of {}: name a database for each",
                self.market
            );
        }
        if layout != LAYOUT {
            bail!(
                "the database was filled by another version of this program: remove the tables cart, saved, session and \
                 skylink_sink, and start again: all is written anew from the log"
            );
        }
        Ok(Head { position, hash })
    }

    /// Reads the rows that are needed.
    async fn find(&self, needed: &Needed) -> anyhow::Result<Rows> {
        if needed.len() == 0 {
            return Ok(Rows::default());
        }
        let carts = records("cart", needed.carts.iter());
        let saved = records("saved", needed.saved.iter());
        let sessions = records("session", needed.sessions.iter());
        let statements = format!(
            "SELECT * OMIT id FROM [{carts}]; SELECT * OMIT id FROM [{saved}]; SELECT * OMIT id FROM [{sessions}]; \
             SELECT * OMIT id FROM session WHERE account IN $signed_out AND ended_at = NONE;"
        );
        let answers = self.ask(&statements, &json!({ "signed_out": needed.signed_out })).await?;
        let mut answers = answers.into_iter();
        let carts: Vec<CartRow> = rows_of(answers.next())?;
        let saved: Vec<SavedRow> = rows_of(answers.next())?;
        let mut sessions: Vec<SessionRow> = rows_of(answers.next())?;
        sessions.extend(rows_of::<SessionRow>(answers.next())?);
        Ok(Rows::found(carts, saved, sessions))
    }
}

fn rows_of<T: DeserializeOwned>(answer: Option<Value>) -> anyhow::Result<Vec<T>> {
    let rows = answer.and_then(|answer| serde_json::from_value(answer).ok());
    rows.context("a row in the database is not what this program writes: remove the tables cart, saved, session and skylink_sink, and start again")
}

/// Names records by ids, which are UUIDs and so need no more than these brackets.
fn records(table: &str, ids: impl Iterator<Item = impl std::fmt::Display>) -> String {
    ids.map(|id| format!("{table}:⟨{id}⟩")).collect::<Vec<_>>().join(", ")
}

/// Writes the statements of one transaction, their variables, and how many rows they write.
fn transaction(rows: &Rows, from: Position, to: &Progress) -> anyhow::Result<(String, Value, u64)> {
    let mut written: Vec<(String, Value)> = Vec::new();
    let mut add = |table: &'static str, id: String, position: Position, row: serde_json::Result<Value>| {
        let record = format!("{table}:⟨{id}⟩");
        if rows.is_changed(table, id, position) {
            written.push((record, row?));
        }
        anyhow::Ok(())
    };
    for row in rows.carts.values() {
        add("cart", row.cart.to_string(), row.position, serde_json::to_value(row))?;
    }
    for row in rows.saved.values() {
        add("saved", row.account.to_string(), row.position, serde_json::to_value(row))?;
    }
    for row in rows.sessions.values() {
        add("session", row.session.to_string(), row.position, serde_json::to_value(row))?;
    }
    let mut statements = format!(
        "BEGIN;\nLET $at = (SELECT VALUE position FROM ONLY skylink_sink:log) ?? 0;\n\
         IF $at != $from {{ THROW \"{THROWN}the log is there up to position \" + <string> $at }};\n"
    );
    for (n, (record, _)) in written.iter().enumerate() {
        // The position alone keeps an older row from being written over a newer one, whoever wrote that.
        statements.push_str(&format!(
            "IF ((SELECT VALUE position FROM ONLY {record}) ?? 0) < $rows[{n}].position {{ UPSERT {record} CONTENT $rows[{n}] RETURN NONE }};\n"
        ));
    }
    statements.push_str("UPSERT skylink_sink:log CONTENT $to RETURN NONE;\nCOMMIT;");
    let count = written.len() as u64;
    let rows: Vec<Value> = written.into_iter().map(|(_, row)| row).collect();
    Ok((statements, json!({ "from": from, "rows": rows, "to": to }), count))
}

/// Says what was done.
pub(super) fn tell(sink: &Sink) {
    talk(format_args!(
        "{} rows written; the log is there up to position {}.",
        sink.rows, sink.stored.position
    ));
}
