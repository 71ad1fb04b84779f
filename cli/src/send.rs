//! `skylink send`: signs a command, sends it, and checks the receipt.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::{fs, io};

use anyhow::{Context, bail};
use clap::Args;
use commands::Command;
use commands::command::Expected;
use commands::personal::Personal;
use commands::receipt::Outcome;
use engine::clock::{Clock, WallClock};
use engine::keystore::KeyStore;
use events::ids::CommandId;
use events::step_up::Base64Url;
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use crate::Verdict;
use crate::client::{self, Answer, Client, MarketArgs};
use crate::log::DataArgs;
use crate::output::{Output, talk};
use crate::signing::{Form, Wish, sign_wish};
use crate::step_up::StepUpArgs;

/// Sign a command, send it, and check the receipt.
///
/// The file holds {"command": "order.place", "body": {…}}, and perhaps "if": {"cart": 7}, the versions it expects,
/// and "cid", the command's id: a UUIDv7; and "personal": [{"salt": "…", "value": "…"}], what it names by hash (docs/privacy.md). What each command's body holds stands in /openapi.json of the gateway and in
/// the schemas of the source. The receipt goes to standard output.
#[derive(Debug, Args)]
pub(crate) struct SendArgs {
    /// The command as JSON; - reads standard input.
    file: PathBuf,
    /// The key to sign with.
    #[arg(long, value_name = "NAME")]
    key: String,
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    market: MarketArgs,
    /// The command's id, to ask again for the same; it wins over "cid" in the file.
    #[arg(long, value_name = "UUID")]
    cid: Option<CommandId>,
    #[command(flatten)]
    step_up: StepUpArgs,
    /// Sign the flat JSON form instead of a JWS.
    #[arg(long)]
    seed_form: bool,
    /// Print the signed command and send nothing; signed with the machine's time, also for a market with a fast clock.
    #[arg(long)]
    print: bool,
    /// Print the receipt in one line.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    command: String,
    body: Value,
    #[serde(default, rename = "if")]
    expected: Expected,
    cid: Option<CommandId>,
    #[serde(default)]
    personal: Vec<Beside>,
}

/// What is personal, with the salt that it was hashed with: a text, or bytes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Beside {
    salt: Base64Url,
    value: Option<String>,
    bytes: Option<Base64Url>,
}

/// Signs and sends.
pub(crate) fn run(arguments: SendArgs) -> anyhow::Result<Verdict> {
    let wish = read(&arguments.file, arguments.cid)?;
    let store = KeyStore::open(&arguments.data.data.join("keys"))
        .context("the folder of keys can't be used: name another with --data")?;
    let key = store.get(&arguments.key)?;
    let form = if arguments.seed_form { Form::Flat } else { Form::Jws };
    if arguments.print {
        let signed = sign_wish(&store, &key, &arguments.market.market, &wish, form, WallClock.now())?;
        let mut output = Output::stdout();
        output.line(format_args!("{}", signed.bytes))?;
        output.flush()?;
        return Ok(Verdict::Done);
    }
    let answer = crate::runtime()?.block_on(async {
        let client = Client::open(&arguments.market).await?;
        let market_keys =
            client::market_keys(&arguments.market, &arguments.data.data, &store, &client).await?;
        // Signed last: what was waited for before does not age it.
        let now = client.now().await;
        let signed = sign_wish(&store, &key, &arguments.market.market, &wish, form, now)?;
        arguments.step_up.send(&client, &signed, &wish, &key, &market_keys).await
    })?;
    let mut output = Output::stdout();
    if let Answer::Receipt(receipt) = &answer
        && !arguments.json
    {
        output.pretty(receipt)?;
    }
    let way = match &arguments.market.nats {
        nats if nats.url.is_some() => nats.to_string(),
        _ => format!("--url {}", arguments.market.gateway.url),
    };
    let again = format!(
        "skylink send --key {} --cid {} --data {} {way} --market {} {}",
        arguments.key,
        wish.command_id,
        arguments.data.data.display(),
        arguments.market.market,
        arguments.file.display()
    );
    let verdict = report(answer, &wish, &again, arguments.json.then_some(&mut output))?;
    output.flush()?;
    Ok(verdict)
}

/// Says what became of a command, and what to do next; `json` gets the receipt or refusal in one line.
pub(crate) fn report(
    answer: Answer,
    wish: &Wish,
    again: &str,
    json: Option<&mut Output>,
) -> anyhow::Result<Verdict> {
    let (name, id) = (wish.command.name(), wish.command_id);
    match answer {
        Answer::Receipt(receipt) => {
            if let Some(output) = json {
                output.json(&receipt)?;
            }
            let body = &receipt.receipt;
            let earlier = if receipt.replayed { ", decided earlier" } else { "" };
            let position = body.position;
            match body.outcome {
                Outcome::Accepted => talk(format_args!("{name} accepted at position {position}{earlier}.")),
                Outcome::Unchanged => talk(format_args!("{name}: it was so already{earlier}.")),
                Outcome::Rejected => {
                    let reasons: Vec<String> = body.reasons.iter().map(ToString::to_string).collect();
                    talk(format_args!("{name} rejected{earlier}: {}.", reasons.join("; ")));
                    return Ok(Verdict::FoundWrong);
                }
            }
            Ok(Verdict::Done)
        }
        Answer::Refused { text, json: refusal } => {
            if let Some(output) = json {
                output.json(&refusal)?;
            }
            talk(format_args!("{name} was not taken: {text}."));
            Ok(Verdict::FoundWrong)
        }
        Answer::Unknown { why } => {
            bail!(
                "what became of {name} {id} is not known, since {why}. Ask again, which is harmless: {again}"
            )
        }
    }
}

/// Reads a command as its author wrote it.
fn read(path: &Path, cid: Option<CommandId>) -> anyhow::Result<Wish> {
    let (text, place) = if path == Path::new("-") {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).context("standard input can't be read")?;
        (text, "standard input".to_owned())
    } else {
        let place = path.display().to_string();
        let text =
            fs::read_to_string(path).with_context(|| format!("the command file {place} can't be read"))?;
        (text, place)
    };
    parse(&text, cid).with_context(|| format!("{place} holds no command"))
}

fn parse(text: &str, cid: Option<CommandId>) -> anyhow::Result<Wish> {
    let json = commands::json::parse(text.as_bytes())?;
    let File { command, body, expected, cid: written, personal } = File::deserialize(json).context(
        "a command is {\"command\": \"…\", \"body\": {…}}, perhaps with \"if\", \"cid\" and \"personal\"",
    )?;
    if !Command::NAMES.contains(&command.as_str()) {
        bail!("there is no command `{command}`; there are: {}", Command::NAMES.join(", "));
    }
    let command = Command::parse(&command, &body)?;
    let command_id = cid.or(written).unwrap_or_else(|| CommandId::from_uuid(Uuid::now_v7()));
    let personal = personal.into_iter().map(|Beside { salt, value, bytes }| {
        let salt = salt.0.as_slice().try_into().context("a salt has 16 bytes in base64url")?;
        match (value, bytes) {
            (Some(value), None) => Ok(Personal { salt, value: value.into_bytes() }),
            (None, Some(Base64Url(value))) => Ok(Personal { salt, value }),
            _ => bail!("what is personal has a \"value\", a text, or \"bytes\" in base64url"),
        }
    });
    Ok(Wish { command, command_id, expected, personal: personal.collect::<anyhow::Result<_>>()? })
}
