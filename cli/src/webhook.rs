//! `skylink webhook`: has an address told what happens, with a secret that is made here and shown once; and looks after what it was
//! not told.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::{fs, io};

use anyhow::{Context, anyhow};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand, ValueEnum};
use commands::Command;
use commands::command::{
    DropLetter, Filters, KeepTime, LETTER_BYTES_MAX, LetterData, RegisterWebhook, ReplaceLetter,
    RotateWebhookSecret,
};
use commands::personal::{Personal, SALT_BYTES};
use events::ids::WebhookId;
use events::webhook::{EventFilter, WebhookUrl};
use events::{Position, Timestamp};
use reqwest::Url;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::Verdict;
use crate::client::http::HttpClient;
use crate::output::{Output, talk};
use crate::profile::{TOKEN_TTL_S, WhoArgs, ask, give};
use crate::signing::Wish;

/// Random bytes of a secret.
const SECRET_BYTES: usize = 32;

/// Have an address told over HTTP what happens (docs/webhooks.md).
///
/// The secret that messages are signed with is made here, printed once, and kept encrypted by the market; the log has a salted hash.
#[derive(Debug, Args)]
pub(crate) struct WebhookArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Have an address told.
    Add(AddArgs),
    /// Make another secret; messages are signed with both for a while.
    Rotate(RotateArgs),
    /// Print what an address was not told: its letters, in the order of the log.
    Letters(LettersArgs),
    /// Tell an address of its letters: of each subject in order, until it refuses one.
    Redrive(RedriveArgs),
    /// Say what is sent in place of a letter. Nothing is sent until it is redriven.
    Replace(ReplaceArgs),
    /// Say that nothing is sent of a letter. What is behind it waits until it is redriven.
    Drop(DropArgs),
}

#[derive(Debug, Args)]
struct AddArgs {
    #[command(flatten)]
    who: WhoArgs,
    /// Where to: https://…
    #[arg(value_name = "URL")]
    address: WebhookUrl,
    /// What of: the type of an event such as order.placed, the beginning of some such as order.*, or *; may be given again.
    #[arg(long = "type", required = true, value_name = "TYPE")]
    types: Vec<EventFilter>,
}

#[derive(Debug, Args)]
struct RotateArgs {
    #[command(flatten)]
    who: WhoArgs,
    /// The webhook.
    webhook: WebhookId,
    /// Hours that messages are signed with the secret before, too.
    #[arg(long, default_value_t = 24, value_name = "HOURS", value_parser = clap::value_parser!(u32).range(0..=168))]
    keep_hours: u32,
}

/// Which letters are meant: all, if nothing is said.
#[derive(Debug, Args)]
struct Which {
    /// Only those about this: an order, a listing, ...
    #[arg(long, value_name = "ID")]
    subject: Option<String>,
    /// Only those of a type such as order.placed, or of all that begin so, such as order.*
    #[arg(long = "type", value_name = "TYPE")]
    types: Option<EventFilter>,
    /// Only those that were not told for this reason.
    #[arg(long, value_enum, value_name = "WHY")]
    error: Option<Why>,
    /// Only those that are letters since this moment or later: RFC 3339, or milliseconds since 1970.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    from: Option<Timestamp>,
    /// Only those that are letters since before this moment.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    to: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Why {
    /// The address refused it: 4xx
    Refused,
    /// There was no answer, or one that asks to try again, as often as it was tried
    Failed,
    /// It can't be shown as a message
    Unrenderable,
    /// Its message is too large
    TooLarge,
    /// It waits behind another one of the same subject
    Behind,
}

impl Which {
    /// Names what is meant as it is asked for.
    fn named(&self) -> Vec<(&'static str, Value)> {
        let error = self.error.and_then(|error| error.to_possible_value());
        let named = [
            ("subject", self.subject.clone().map(Value::from)),
            ("type", self.types.as_ref().map(|types| types.as_str().into())),
            ("error", error.map(|error| error.get_name().into())),
            ("from", self.from.map(|from| from.ms().into())),
            ("to", self.to.map(|to| to.ms().into())),
        ];
        named.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

/// Reads a moment: RFC 3339, or milliseconds since 1970.
fn moment(text: &str) -> Result<Timestamp, String> {
    match text.parse() {
        Ok(ms) => Ok(Timestamp::from_ms(ms)),
        Err(_) => Timestamp::parse_rfc3339(text).map_err(|error| error.to_string()),
    }
}

#[derive(Debug, Args)]
struct LettersArgs {
    #[command(flatten)]
    who: WhoArgs,
    /// The webhook.
    webhook: WebhookId,
    #[command(flatten)]
    which: Which,
    /// How many at most.
    #[arg(long, default_value_t = 20, value_name = "N")]
    limit: u32,
    /// Go on behind an earlier answer.
    #[arg(long, value_name = "POSITION")]
    cursor: Option<Position>,
    /// Wait until what stands at this position of the log is known, such as that of a receipt.
    #[arg(long, default_value_t = 0, value_name = "N")]
    min_position: Position,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct RedriveArgs {
    #[command(flatten)]
    who: WhoArgs,
    /// The webhook.
    webhook: WebhookId,
    /// It is asked of the first letter of each subject.
    #[command(flatten)]
    which: Which,
}

#[derive(Debug, Args)]
struct ReplaceArgs {
    #[command(flatten)]
    who: WhoArgs,
    /// The webhook.
    webhook: WebhookId,
    /// Where the event stands in the log.
    position: Position,
    /// A file with the JSON object that is sent as the event's `data`; - reads standard input. It stands in the log for ever: nothing
    /// personal belongs into it.
    file: PathBuf,
}

#[derive(Debug, Args)]
struct DropArgs {
    #[command(flatten)]
    who: WhoArgs,
    /// The webhook.
    webhook: WebhookId,
    /// Where the event stands in the log.
    position: Position,
}

/// Does it.
pub(crate) fn run(arguments: WebhookArgs) -> anyhow::Result<Verdict> {
    let (text, secret) = new_secret();
    let runtime = crate::runtime()?;
    let (who, webhook, command): (_, _, Command) = match arguments.what {
        What::Letters(arguments) => return runtime.block_on(letters(&arguments)),
        What::Redrive(arguments) => return runtime.block_on(redrive(&arguments)),
        What::Replace(ReplaceArgs { who, webhook, position, file }) => {
            let data = LetterData::try_from(text_of(&file)?)
                .map_err(|rule| anyhow!("{rule}: change {}", file.display()))?;
            let wish = Wish::new(ReplaceLetter { data, position, webhook });
            return runtime.block_on(give(&who, wish));
        }
        What::Drop(DropArgs { who, webhook, position }) => {
            return runtime.block_on(give(&who, Wish::new(DropLetter { position, webhook })));
        }
        What::Add(AddArgs { who, address, types }) => {
            let webhook = WebhookId::from_uuid(Uuid::now_v7());
            let types = types.into_iter().collect::<BTreeSet<EventFilter>>();
            let types = Filters::try_from(types).map_err(|rule| anyhow!("{rule}: give fewer --type"))?;
            (who, webhook, RegisterWebhook { secret: secret.hash(), types, url: address, webhook }.into())
        }
        What::Rotate(RotateArgs { who, webhook, keep_hours }) => {
            let keep_ms =
                KeepTime::try_from(i64::from(keep_hours) * 3_600_000).map_err(|rule| anyhow!(rule))?;
            (who, webhook, RotateWebhookSecret { keep_ms, secret: secret.hash(), webhook }.into())
        }
    };
    let wish = Wish { personal: vec![secret], ..Wish::new(command) };
    let verdict = runtime.block_on(give(&who, wish))?;
    if verdict == Verdict::Done {
        talk(format_args!("Webhook {webhook}. Its secret is shown this once: {text}"));
    }
    Ok(verdict)
}

/// Makes a secret: as it is shown, and as it goes beside a command.
fn new_secret() -> (String, Personal) {
    let text = format!("whsec_{}", STANDARD.encode(rand::random::<[u8; SECRET_BYTES]>()));
    let personal = Personal { salt: rand::random::<[u8; SALT_BYTES]>(), value: text.clone().into_bytes() };
    (text, personal)
}

/// Reads what is sent in place of an event, without the white space around it.
fn text_of(file: &Path) -> anyhow::Result<String> {
    // One byte more than may be, so that more is seen.
    let most = LETTER_BYTES_MAX as u64 + 1;
    let mut text = String::new();
    let read = if file == Path::new("-") {
        io::stdin().take(most).read_to_string(&mut text)
    } else {
        fs::File::open(file).and_then(|opened| opened.take(most).read_to_string(&mut text))
    };
    read.with_context(|| format!("{} can't be read", file.display()))?;
    Ok(text.trim().to_owned())
}

async fn letters(arguments: &LettersArgs) -> anyhow::Result<Verdict> {
    let LettersArgs { who, webhook, which, limit, cursor, min_position, json } = arguments;
    let plain = |value: Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut asked: Vec<_> = which.named().into_iter().map(|(name, value)| (name, plain(value))).collect();
    asked.push(("limit", limit.to_string()));
    asked.push(("min_position", min_position.to_string()));
    asked.extend(cursor.map(|cursor| ("cursor", cursor.to_string())));
    let path = format!("/v1/webhooks/{webhook}/letters");
    // Only what is behind the host is asked for.
    let url = Url::parse_with_params(&format!("http://market{path}"), asked)?;
    let found = match ask(who, &format!("{path}?{}", url.query().unwrap_or_default())).await? {
        Ok(found) => found,
        Err(problem) => {
            talk(format_args!("The gateway does not tell: {problem}."));
            return Ok(Verdict::FoundWrong);
        }
    };
    let mut output = Output::stdout();
    if *json {
        output.pretty(&found)?;
    } else {
        for letter in found["letters"].as_array().into_iter().flatten() {
            print(&mut output, letter)?;
        }
    }
    output.flush()?;
    if let Some(cursor) = found["next_cursor"].as_u64().filter(|_| !json) {
        talk(format_args!("There is more: give the same command with --cursor {cursor}"));
    }
    Ok(Verdict::Done)
}

fn print(output: &mut Output, letter: &Value) -> anyhow::Result<()> {
    let text = |name: &str| letter[name].as_str().unwrap_or("-").to_owned();
    let (position, attempts) = (&letter["position"], &letter["attempts"]);
    let answer = letter["status"].as_u64().map_or_else(|| text("no_answer"), |status| status.to_string());
    let (since, kind, error) = (text("parked_at_rfc3339"), text("type"), text("error"));
    let subject = text("subject");
    let edit = match &letter["edit"] {
        Value::Null => "",
        edit if edit["data"].is_null() => " dropped",
        _ => " replaced",
    };
    let redriving = if letter["redriving"] == true { " redriving" } else { "" };
    output.line(format_args!(
        "{position:>10} {since} {kind} {subject} {error} {answer} attempts {attempts}{edit}{redriving}"
    ))?;
    Ok(())
}

async fn redrive(arguments: &RedriveArgs) -> anyhow::Result<Verdict> {
    let RedriveArgs { who, webhook, which } = arguments;
    let asked: Map<String, Value> =
        which.named().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let (store, key) = who.key()?;
    let client = HttpClient::new(&who.market.gateway.url)?;
    let answer = match client.access(&store, &key, &who.market.market, TOKEN_TTL_S).await? {
        Ok(token) => {
            let path = format!("/v1/webhooks/{webhook}/redrive");
            client.ask(&path, &token, Some(&asked.into())).await?
        }
        Err(problem) => Err(problem),
    };
    match answer {
        Ok(told) => {
            let (lanes, letters) = (&told["lanes"], &told["letters"]);
            talk(format_args!(
                "Redriving letters: {letters}, subjects: {lanes}; `skylink webhook letters {webhook}` shows what is left"
            ));
            Ok(Verdict::Done)
        }
        Err(problem) => {
            talk(format_args!("Nothing is redriven: {problem}."));
            Ok(Verdict::FoundWrong)
        }
    }
}
