//! `skylink sink surrealdb`: carries carts and sessions into a SurrealDB, also while the log is written.

mod follow;
mod rows;
mod surreal;

use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Subcommand};
use reqwest::Url;

use self::follow::{Sink, tell};
use self::surreal::{Level, Login, Surreal};
use crate::Verdict;
use crate::log::{self, LogArgs};
use crate::output::talk;

/// Longest name of a namespace or database.
const NAME_LENGTH_MAX: usize = 64;

/// Carry what happens into a database of others, for programs that ask it.
#[derive(Debug, Args)]
pub(crate) struct SinkArgs {
    #[command(subcommand)]
    sink: Sinks,
}

#[derive(Debug, Subcommand)]
enum Sinks {
    Surrealdb(SurrealdbArgs),
}

/// Write carts and sessions into a SurrealDB, and go on with every change until interrupted; see docs/surrealdb.md.
///
/// Reads the log and nothing else, so it is in nobody's way. How far it is stands in the database, in the same transaction as the rows: it
/// can be stopped at any time and goes on where it was. One sink writes into a database, and one market stands in it.
#[derive(Debug, Args)]
struct SurrealdbArgs {
    #[command(flatten)]
    log: LogArgs,
    /// The database server, such as http://127.0.0.1:8000.
    #[arg(long, value_name = "URL", value_parser = server_url)]
    url: String,
    /// The namespace.
    #[arg(long, value_name = "NAME", value_parser = name)]
    ns: String,
    /// The database.
    #[arg(long, value_name = "NAME", value_parser = name)]
    db: String,
    /// Whom the server lets in; without it, nobody is named.
    #[arg(long, requires = "password_file", value_name = "NAME")]
    user: Option<String>,
    /// The file with that user's password, in its first line.
    #[arg(long, requires = "user", value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Where that user is defined.
    #[arg(long, requires = "user", value_enum, default_value_t = Level::Root)]
    user_level: Level,
    /// End when all is written that is in the log now.
    #[arg(long)]
    once: bool,
}

/// Takes the URL of a database server.
fn server_url(text: &str) -> Result<String, String> {
    let is_http = text.parse::<Url>().is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
    is_http.then(|| text.to_owned()).ok_or_else(|| "it must be such as http://127.0.0.1:8000".to_owned())
}

/// Takes the name of a namespace or a database. It is written into statements.
fn name(text: &str) -> Result<String, String> {
    let is_name = (1..=NAME_LENGTH_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    is_name.then(|| text.to_owned()).ok_or_else(|| {
        format!("it has 1 to {NAME_LENGTH_MAX} letters, digits, _ and -: name one that does, or define one")
    })
}

/// Carries the log into the database.
pub(crate) fn run(arguments: &SinkArgs) -> anyhow::Result<Verdict> {
    let Sinks::Surrealdb(arguments) = &arguments.sink;
    crate::runtime()?.block_on(carry(arguments))
}

async fn carry(arguments: &SurrealdbArgs) -> anyhow::Result<Verdict> {
    let login = match (&arguments.user, &arguments.password_file) {
        (Some(user), Some(path)) => {
            let text = fs::read_to_string(path)
                .with_context(|| format!("the password in {} can't be read", path.display()))?;
            let password = text.lines().next().unwrap_or_default().to_owned();
            Some(Login { user: user.clone(), password, level: arguments.user_level })
        }
        _ => None,
    };
    let log = log::open(&arguments.log).await?;
    let database = Surreal::new(&arguments.url, &arguments.ns, &arguments.db, login)?;
    let mut sink = Sink::begin(database, log.market()).await?;
    let commits = sink.rest(log.events(), arguments.once).await?;
    talk(format_args!(
        "Carrying market {} into {} from position {} on.",
        log.market(),
        arguments.url,
        sink.head().position + 1
    ));
    tokio::select! {
        ended = sink.run(commits) => ended?,
        interrupted = tokio::signal::ctrl_c() => {
            interrupted?;
            // What was under way may or may not be there: the next start sees it.
            tell(&sink);
            return Ok(Verdict::Done);
        }
    }
    sink.finish().await?;
    tell(&sink);
    Ok(Verdict::Done)
}
