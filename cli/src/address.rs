//! `skylink address`: addresses that only their sellers can read.

mod seal;

use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::{Args, Subcommand};
use commands::command::SetEncryptionKey;
use commands::personal::{Personal, SALT_BYTES};
use events::Position;
use events::ids::{AccountId, CommandId, OrderId};
use events::privacy::EncryptionKey;
use serde::Deserialize;
use serde_json::{Value, json};

use self::seal::{Bound, open, seal};
use crate::Verdict;
use crate::output::{Output, talk};
use crate::profile::{WhoArgs, ask, give};
use crate::signing::Wish;

/// Bytes of a private key.
const PRIVATE_BYTES: usize = 32;

/// Make a key for addresses, encrypt an address to a seller, or read where an order goes.
///
/// Addresses are encrypted on the buyer's device and opened on the seller's; the market keeps what it can't read
/// (docs/privacy.md).
#[derive(Debug, Args)]
pub(crate) struct AddressArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make a new key for addresses, keep its private half beside the other keys, and tell the market its public half. Keys of
    /// before stay, for the orders that were placed with them.
    NewKey(WhoArgs),
    Seal(SealArgs),
    Open(OpenArgs),
}

/// Encrypt an address to a seller, for a purchase with this id: prints what goes into its command and beside it.
#[derive(Debug, Args)]
struct SealArgs {
    #[command(flatten)]
    who: WhoArgs,
    /// The seller.
    #[arg(long, value_name = "UUID")]
    seller: AccountId,
    /// The id (`cid`) of the command that will buy: the address is bound to it.
    #[arg(long, value_name = "UUID")]
    cid: CommandId,
    /// Wait until what stands at this position of the log is known, such as that of a receipt.
    #[arg(long, default_value_t = 0, value_name = "N")]
    min_position: Position,
    /// A file with the address; - reads standard input.
    address: PathBuf,
}

/// Read where an order goes, as its seller.
#[derive(Debug, Args)]
struct OpenArgs {
    #[command(flatten)]
    who: WhoArgs,
    /// Wait until what stands at this position of the log is known, such as that of a receipt.
    #[arg(long, default_value_t = 0, value_name = "N")]
    min_position: Position,
    /// The order.
    order: OrderId,
}

#[derive(Deserialize)]
struct Given {
    command: CommandId,
    key: EncryptionKey,
    sealed: Option<String>,
    seller: AccountId,
}

/// Does it.
pub(crate) fn run(arguments: AddressArgs) -> anyhow::Result<Verdict> {
    let runtime = crate::runtime()?;
    match arguments.what {
        What::NewKey(who) => runtime.block_on(new_key(&who)),
        What::Seal(arguments) => runtime.block_on(seal_to(&arguments)),
        What::Open(arguments) => runtime.block_on(open_of(&arguments)),
    }
}

async fn new_key(who: &WhoArgs) -> anyhow::Result<Verdict> {
    // That there is such a key is asked before one is made for it.
    let (_, signing) = who.key()?;
    let (public, private) = seal::new_key()?;
    let public = URL_SAFE_NO_PAD.encode(public);
    let path = key_file(&who.data.data, &signing.name, &public);
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        writeln!(file, "{}", URL_SAFE_NO_PAD.encode(private.secret_bytes()))?;
        file.sync_all()
    };
    write().with_context(|| format!("the key can't be kept in {}", path.display()))?;
    let key: EncryptionKey = public.parse()?;
    give(who, Wish::new(SetEncryptionKey { key: Some(key) })).await
}

async fn seal_to(arguments: &SealArgs) -> anyhow::Result<Verdict> {
    let SealArgs { who, seller, cid, min_position, address } = arguments;
    let mut text = String::new();
    if address == Path::new("-") {
        std::io::stdin().read_to_string(&mut text).context("standard input can't be read")?;
    } else {
        text = fs::read_to_string(address)
            .with_context(|| format!("the address {} can't be read", address.display()))?;
    }
    let told =
        match ask(who, &format!("/v1/accounts/{seller}/encryption-key?min_position={min_position}")).await? {
            Ok(told) => told,
            Err(problem) => {
                talk(format_args!("The gateway does not tell the seller's key: {problem}."));
                return Ok(Verdict::FoundWrong);
            }
        };
    let Some(key) = told["key"].as_str() else {
        talk(format_args!("Seller {seller} takes no encrypted addresses: tell him another way."));
        return Ok(Verdict::FoundWrong);
    };
    let key: EncryptionKey = key.parse()?;
    let bound = Bound { market: who.market.market.clone(), seller: *seller, command: *cid };
    let value = seal(text.trim_end(), &key.to_bytes(), &bound)?;
    let personal = Personal { salt: rand::random::<[u8; SALT_BYTES]>(), value };
    let mut output = Output::stdout();
    output.pretty(&json!({
        "personal": [{"salt": URL_SAFE_NO_PAD.encode(personal.salt), "bytes": URL_SAFE_NO_PAD.encode(&personal.value)}],
        "sealed_addresses": {seller.to_string(): {"hash": personal.hash(), "key": key}},
    }))?;
    output.flush()?;
    Ok(Verdict::Done)
}

async fn open_of(arguments: &OpenArgs) -> anyhow::Result<Verdict> {
    let OpenArgs { who, min_position, order } = arguments;
    let told: Value =
        match ask(who, &format!("/v1/orders/{order}/address?min_position={min_position}")).await? {
            Ok(told) => told,
            Err(problem) => {
                talk(format_args!("The gateway does not tell where it goes: {problem}."));
                return Ok(Verdict::FoundWrong);
            }
        };
    let Given { command, key, sealed, seller } = Given::deserialize(told).context("this is no address")?;
    let Some(sealed) = sealed else {
        bail!("the address is not stored at this gateway: ask that of the host where the order was placed");
    };
    let path = key_file(&who.data.data, &who.key, key.as_str());
    let text = fs::read_to_string(&path).with_context(|| {
        format!(
            "the private key {} can't be read: it was made with `skylink address new-key`",
            path.display()
        )
    })?;
    let private = URL_SAFE_NO_PAD.decode(text.trim()).ok().filter(|private| private.len() == PRIVATE_BYTES);
    let private =
        private.with_context(|| format!("the private key {} is damaged: restore it", path.display()))?;
    let sealed = URL_SAFE_NO_PAD.decode(sealed).context("the gateway's answer is no base64url")?;
    let address =
        open(&sealed, &private.into(), &Bound { market: who.market.market.clone(), seller, command })?;
    let mut output = Output::stdout();
    output.line(format_args!("{address}"))?;
    output.flush()?;
    Ok(Verdict::Done)
}

/// Names the file with the private half of a key for addresses.
fn key_file(data: &Path, name: &str, public: &str) -> PathBuf {
    data.join("keys").join(format!("{name}.{public}.address"))
}
