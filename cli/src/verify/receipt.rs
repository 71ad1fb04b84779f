//! `skylink verify receipt`: checks one receipt offline.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::{fs, io};

use anyhow::Context;
use clap::Args;
use commands::receipt::{Outcome, Receipt, verify_receipt};
use serde_json::json;

use crate::Verdict;
use crate::client::{parse_key, read_key};
use crate::output::{Output, talk};

#[derive(Debug, Args)]
pub(super) struct ReceiptArgs {
    /// The receipt as JSON; - reads standard input.
    file: PathBuf,
    /// The market's public key: a file with its JWK, or the JWK itself.
    #[arg(long, value_name = "FILE|JWK")]
    market_key: String,
    /// Print the finding as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &ReceiptArgs) -> anyhow::Result<Verdict> {
    let key = if arguments.market_key.trim_start().starts_with('{') {
        parse_key(&arguments.market_key).context("--market-key")?
    } else {
        read_key(Path::new(&arguments.market_key))?
    };
    let json = read(&arguments.file)?;
    let checked =
        Receipt::from_json(&json).and_then(|receipt| verify_receipt(&receipt, &key).map(|()| receipt));
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

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    if path == Path::new("-") {
        let mut bytes = Vec::new();
        io::stdin().read_to_end(&mut bytes).context("standard input can't be read")?;
        return Ok(bytes);
    }
    fs::read(path).with_context(|| format!("the receipt {} can't be read", path.display()))
}
