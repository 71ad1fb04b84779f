//! `skylink webhook`: has an address told what happens, with a secret that is made here and shown once.

use std::collections::BTreeSet;

use anyhow::anyhow;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use commands::Command;
use commands::command::{Filters, KeepTime, RegisterWebhook, RotateWebhookSecret};
use commands::personal::{Personal, SALT_BYTES};
use events::ids::WebhookId;
use events::webhook::{EventFilter, WebhookUrl};
use uuid::Uuid;

use crate::Verdict;
use crate::output::talk;
use crate::profile::{WhoArgs, give};
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

/// Does it.
pub(crate) fn run(arguments: WebhookArgs) -> anyhow::Result<Verdict> {
    let (text, secret) = new_secret();
    let (who, webhook, command): (_, _, Command) = match arguments.what {
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
    let verdict = crate::runtime()?.block_on(give(&who, wish))?;
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
