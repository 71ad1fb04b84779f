//! `skylink verify receipt`: checks one receipt offline.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::{fs, io};

use anyhow::Context;
use clap::Args;
use commands::crypto::VerifyingKey;
use commands::market_key::{Announcement, AnnouncementError, follow};
use commands::receipt::{Outcome, Receipt, ReceiptError, verify_receipt_with};
use serde_json::json;

use crate::Verdict;
use crate::client::{announcements, parse_keys, read_keys};
use crate::output::{Output, talk};

#[derive(Debug, Args)]
pub(super) struct ReceiptArgs {
    /// The receipt as JSON; - reads standard input.
    file: PathBuf,
    /// The market's public key, or several in a set (JWKS), all of which are trusted: a file, or the JSON itself.
    #[arg(long, value_name = "FILE|JWK")]
    market_key: String,
    /// What GET /log/keys gave: keys that those of --market-key have announced are trusted too, and no others in it.
    #[arg(long, value_name = "FILE")]
    announcements: Option<PathBuf>,
    /// Print the finding as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &ReceiptArgs) -> anyhow::Result<Verdict> {
    let keys = if arguments.market_key.trim_start().starts_with('{') {
        parse_keys(&arguments.market_key).context("--market-key")?
    } else {
        read_keys(Path::new(&arguments.market_key))?
    };
    let announced = match &arguments.announcements {
        Some(path) => {
            let all = serde_json::from_slice(&read(path)?).map_err(anyhow::Error::from);
            all.and_then(|all| announcements(&all))
                .with_context(|| format!("the announcements {}", path.display()))?
        }
        None => Vec::new(),
    };
    let json = read(&arguments.file)?;
    let checked = check(&json, keys, &announced);
    let mut output = Output::stdout();
    let verdict = match checked {
        Ok(receipt) => {
            let body = &receipt.receipt;
            let outcome = match body.outcome {
                Outcome::Accepted => "accepted",
                Outcome::Unchanged => "unchanged",
                Outcome::Rejected => "rejected",
            };
            if arguments.json {
                output
                    .json(&json!({ "verified": true, "in_log": receipt.log.is_some(), "receipt": body }))?;
            } else {
                output.line(format_args!(
                    "The market {} did decide {} {} of account {}: {outcome}, at {}, position {} of its log.",
                    body.market, body.name, body.command, body.account, body.time, body.position
                ))?;
                output.line(match receipt.log {
                    Some(_) => {
                        format_args!("Its events are in the log whose signed checkpoint comes with it.")
                    }
                    None => format_args!(
                        "It comes without a proof that its events are in the log: ask for it again."
                    ),
                })?;
            }
            Verdict::Done
        }
        Err(error) => {
            if arguments.json {
                output.json(&json!({ "verified": false, "wrong": error.to_string() }))?;
            }
            talk(format_args!("WRONG: this proves nothing: {error}"));
            Verdict::FoundWrong
        }
    };
    output.flush()?;
    Ok(verdict)
}

/// Why a receipt proves nothing here.
#[derive(Debug, thiserror::Error)]
enum Wrong {
    #[error(transparent)]
    Announcement(#[from] AnnouncementError),
    #[error(transparent)]
    Receipt(#[from] ReceiptError),
}

fn check(json: &[u8], mut keys: Vec<VerifyingKey>, announced: &[Announcement]) -> Result<Receipt, Wrong> {
    let receipt = Receipt::from_json(json)?;
    follow(&mut keys, &receipt.receipt.market, announced)?;
    verify_receipt_with(&receipt, &keys)?;
    Ok(receipt)
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    if path == Path::new("-") {
        let mut bytes = Vec::new();
        io::stdin().read_to_end(&mut bytes).context("standard input can't be read")?;
        return Ok(bytes);
    }
    fs::read(path).with_context(|| format!("{} can't be read", path.display()))
}
