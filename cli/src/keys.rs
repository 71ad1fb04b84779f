//! `skylink keys`: makes, shows and registers the keys that commands are signed with.

mod market;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Subcommand, ValueEnum};
use commands::command::{CartClaim, ExchangeQuote, RegisterAccount, RegisterDevice};
use commands::crypto::VerifyingKey;
use commands::sign::{prove_device, sign_cart_claim, sign_exchange_quote};
use engine::clock::{Clock, WallClock};
use engine::keystore::{KeyStore, StoredKey};
use events::account::{Algorithm, Role};
use events::exchange::Rate;
use events::ids::{AccountId, CartId, DeviceId, MarketName};
use events::{Currency, Money};
use gateway::nats::access;
use gateway::node::REGISTRAR_KEY;
use gateway::token::TOKEN_TTL_S_MAX;
use serde_json::{Value, json};

use crate::Verdict;
use crate::client::http::{GatewayArgs, HttpClient};
use crate::client::{self, Client, MarketArgs};
use crate::log::DataArgs;
use crate::output::Output;
use crate::signing::{Form, Wish, sign_token_request, sign_wish};

/// Make, show and register the keys that commands are signed with.
#[derive(Debug, Args)]
pub(crate) struct KeysArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a key for a new device, of a new account or of one that is there.
    New(NewArgs),
    /// List the keys of the data folder.
    List(ListArgs),
    /// Show the public half of a key.
    Show(ShowArgs),
    /// Make a file with the nkey of a role at the NATS server, unless it is there, and print its public half.
    ///
    /// The file holds the seed: whoever runs in the role names it with --nats-nkey. The server is given the public half,
    /// as in SKYLINK_NATS_READER=$(skylink keys nkey reader.nk).
    Nkey(NkeyArgs),
    /// Register a key's account and device in the market, signed by the registrar.
    Register(RegisterArgs),
    /// Give the market a new key of its own, which signs receipts from now on.
    ///
    /// The new key is made in the data folder, where the present one must be; the running market takes it up at once. The
    /// present one stays live beside it, so that all who check receipts can come to know the new one.
    RotateMarket(market::MarketKeyArgs),
    /// Retire the key before the market's present one; what it signed still holds.
    RetireMarket(market::MarketKeyArgs),
    /// Get an access token for queries over HTTP, with a request that the key signs.
    ///
    /// It goes to standard output, for curl -H "Authorization: Bearer $(skylink keys token alice)". Commands need none:
    /// each is signed itself.
    Token(TokenArgs),
    /// Sign, with a new key, that it is to be the key of its device.
    ///
    /// It goes to standard output, for the `proof` of a `device.enroll` or a `device.rotate`.
    Prove(ProveArgs),
    /// Sign the word of a cart's owner that another account may merge the cart into its own.
    ///
    /// It goes to standard output, for the `claim` of a `cart.merge` that the other account gives.
    Claim(ClaimArgs),
    /// Sign a provider's offer to change money of an account's wallet into another currency, once.
    ///
    /// It goes to standard output, for the `quote` of a `wallet.exchange` that the account gives.
    Offer(OfferArgs),
}

#[derive(Debug, Args)]
struct NewArgs {
    /// What the key is called here: 1 to 64 of a-z, A-Z, 0-9, _ and -.
    name: String,
    /// How it signs.
    #[arg(long, value_enum, default_value_t = Alg::EdDsa)]
    alg: Alg,
    /// The account it signs for; without it, a new one.
    #[arg(long, value_name = "ID")]
    account: Option<AccountId>,
    /// The device it stands for, to take the place of that device's key; without it, a new one.
    #[arg(long, value_name = "ID", requires = "account")]
    device: Option<DeviceId>,
    #[command(flatten)]
    data: DataArgs,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct ListArgs {
    #[command(flatten)]
    data: DataArgs,
    /// Print JSON, one object a line.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct ShowArgs {
    /// The key.
    name: String,
    #[command(flatten)]
    data: DataArgs,
    /// Print only the JWK, for --market-key and the like.
    #[arg(long, conflicts_with = "json")]
    jwk: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct NkeyArgs {
    /// The file with the seed.
    file: PathBuf,
}

#[derive(Debug, Args)]
struct RegisterArgs {
    /// The key.
    name: String,
    /// What its account may do; without it only the device is registered, for an account that is there.
    #[arg(long, value_delimiter = ',', value_name = "ROLE,…")]
    role: Vec<RoleArg>,
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    market: MarketArgs,
    /// Print the receipts as JSON, one a line.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct TokenArgs {
    /// The key.
    name: String,
    /// How many seconds the token is good.
    #[arg(long, default_value_t = 600, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=TOKEN_TTL_S_MAX))]
    ttl_s: u64,
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    gateway: GatewayArgs,
    /// The market whose gateway it is.
    #[arg(long, default_value = "main", value_name = "NAME")]
    market: MarketName,
    /// Print the gateway's whole answer as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct ProveArgs {
    /// The new key.
    name: String,
    #[command(flatten)]
    data: DataArgs,
    /// The market that it is to be registered in.
    #[arg(long, default_value = "main", value_name = "NAME")]
    market: MarketName,
}

#[derive(Debug, Args)]
struct ClaimArgs {
    /// The key, of the cart's owner.
    name: String,
    /// The cart.
    #[arg(long, value_name = "ID")]
    cart: CartId,
    /// The account that may merge it.
    #[arg(long, value_name = "ID")]
    to: AccountId,
    /// How many seconds the claim is good.
    #[arg(long, default_value_t = 600, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    ttl_s: u32,
    #[command(flatten)]
    data: DataArgs,
    /// The market that the cart is in.
    #[arg(long, default_value = "main", value_name = "NAME")]
    market: MarketName,
}

#[derive(Debug, Args)]
struct OfferArgs {
    /// The key, of the provider.
    name: String,
    /// The account whose money it is.
    #[arg(long, value_name = "ID")]
    account: AccountId,
    /// What is taken, in minor units.
    #[arg(long, value_name = "MINOR")]
    from_minor: i64,
    /// Of which currency.
    #[arg(long, value_name = "CURRENCY")]
    from: Currency,
    /// Into which currency it is changed.
    #[arg(long, value_name = "CURRENCY")]
    to: Currency,
    /// The rate: for so many minor units of the one so many of the other are given.
    #[arg(long, value_name = "FOR:GIVES", value_parser = rate)]
    rate: Rate,
    /// The provider's reference of the offer; each is good once.
    #[arg(long, value_name = "TEXT")]
    reference: String,
    /// How many seconds the offer is good.
    #[arg(long, default_value_t = 600, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    ttl_s: u32,
    #[command(flatten)]
    data: DataArgs,
    /// The market that the wallet is in.
    #[arg(long, default_value = "main", value_name = "NAME")]
    market: MarketName,
}

/// Reads a rate.
fn rate(text: &str) -> Result<Rate, String> {
    let read = |minor: &str| minor.parse().ok().filter(|minor| (1..=Money::MINOR_MAX).contains(minor));
    let parts = text.split_once(':').and_then(|(one, other)| Some((read(one)?, read(other)?)));
    let (for_minor, gives_minor) =
        parts.ok_or("a rate is two numbers above zero, such as 10000:10850".to_owned())?;
    Ok(Rate { for_minor, gives_minor })
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Alg {
    /// Ed25519
    #[value(name = "EdDSA")]
    EdDsa,
    /// ECDSA on P-256
    #[value(name = "ES256")]
    Es256,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum RoleArg {
    /// Orders and pays
    Buyer,
    /// Lists, sells and ships
    Seller,
    /// May cancel any order and see all of them
    Operator,
    /// Registers accounts and devices
    Registrar,
    /// Brings money in and reports deliveries
    Provider,
    /// Fills a cart that a buyer may take over
    Guest,
}

impl From<RoleArg> for Role {
    fn from(role: RoleArg) -> Role {
        match role {
            RoleArg::Buyer => Role::Buyer,
            RoleArg::Seller => Role::Seller,
            RoleArg::Operator => Role::Operator,
            RoleArg::Registrar => Role::Registrar,
            RoleArg::Provider => Role::Provider,
            RoleArg::Guest => Role::Guest,
        }
    }
}

/// Does what is asked of the keys.
pub(crate) fn run(arguments: KeysArgs) -> anyhow::Result<Verdict> {
    let mut output = Output::stdout();
    let verdict = match arguments.action {
        Action::New(arguments) => new(&arguments, &mut output),
        Action::List(arguments) => list(&arguments, &mut output),
        Action::Show(arguments) => show(&arguments, &mut output),
        Action::Nkey(arguments) => nkey(&arguments.file, &mut output),
        Action::Register(arguments) => crate::runtime()?.block_on(register(&arguments, &mut output)),
        Action::RotateMarket(arguments) => {
            crate::runtime()?.block_on(market::rotate(&arguments, &mut output))
        }
        Action::RetireMarket(arguments) => {
            crate::runtime()?.block_on(market::retire(&arguments, &mut output))
        }
        Action::Prove(arguments) => prove(&arguments, &mut output),
        Action::Claim(arguments) => claim(&arguments, &mut output),
        Action::Offer(arguments) => offer(&arguments, &mut output),
        Action::Token(arguments) => crate::runtime()?.block_on(token(&arguments, &mut output)),
    }?;
    output.flush()?;
    Ok(verdict)
}

fn new(arguments: &NewArgs, output: &mut Output) -> anyhow::Result<Verdict> {
    let algorithm = match arguments.alg {
        Alg::EdDsa => Algorithm::EdDsa,
        Alg::Es256 => Algorithm::Es256,
    };
    let NewArgs { name, account, device, .. } = arguments;
    let key = open(&arguments.data)?.make_for(name, algorithm, *account, *device)?;
    print(&key, arguments.json, output)?;
    let (name, data) = (&key.name, arguments.data.data.display());
    if device.is_none() {
        crate::output::talk(format_args!(
            "Register it with: skylink keys register {name} --role buyer --data {data}"
        ));
    }
    Ok(Verdict::Done)
}

fn list(arguments: &ListArgs, output: &mut Output) -> anyhow::Result<Verdict> {
    let store = open(&arguments.data)?;
    for name in store.names()? {
        let key = store.get(&name)?;
        if arguments.json {
            output.json(&described(&key))?;
        } else {
            let (account, id) = (key.account, key.public().id());
            output.line(format_args!("{name:<16}  account {account}  kid {id}"))?;
        }
    }
    Ok(Verdict::Done)
}

fn show(arguments: &ShowArgs, output: &mut Output) -> anyhow::Result<Verdict> {
    let key = open(&arguments.data)?.get(&arguments.name)?;
    if arguments.jwk {
        output.json(&key.public())?;
    } else {
        print(&key, arguments.json, output)?;
    }
    Ok(Verdict::Done)
}

/// Makes an nkey, if the file is not there yet, and prints the public half.
fn nkey(path: &Path, output: &mut Output) -> anyhow::Result<Verdict> {
    let made = access::make_nkey(path)
        .with_context(|| format!("no nkey can be made in {}: name another file", path.display()))?;
    let public = match made {
        Some(public) => public,
        None => access::public_nkey(path)?,
    };
    output.line(format_args!("{public}"))?;
    Ok(Verdict::Done)
}

/// Registers with one or two commands. Each is harmless when it is asked for again.
async fn register(arguments: &RegisterArgs, output: &mut Output) -> anyhow::Result<Verdict> {
    let store = open(&arguments.data)?;
    let key = store.get(&arguments.name)?;
    let registrar = store.get(REGISTRAR_KEY).context(
        "only the registrar registers others: use the data folder that the market was first started with",
    )?;
    let client = Client::open(&arguments.market).await?;
    let market_keys = client::market_keys(&arguments.market, &arguments.data.data, &store, &client).await?;
    let market = Registering { store: &store, registrar, client, market_keys, arguments };
    let roles = arguments.role.iter().copied().map(Role::from).collect();
    for wish in registrations(&key, &arguments.market.market, roles) {
        if market.send(&wish, output).await? == Verdict::FoundWrong {
            return Ok(Verdict::FoundWrong);
        }
    }
    crate::output::talk(format_args!("Key {} may sign for account {}.", key.name, key.account));
    Ok(Verdict::Done)
}

/// Gives the commands that register a key: its account, if it has roles, and its device.
pub(crate) fn registrations(key: &StoredKey, market: &MarketName, roles: BTreeSet<Role>) -> Vec<Wish> {
    let mut wishes = Vec::new();
    if !roles.is_empty() {
        wishes.push(Wish::new(RegisterAccount { account: key.account, roles }));
    }
    let (account, device) = (key.account, key.device);
    let proof = Some(prove_device(market, account, device, &key.signing()));
    wishes.push(Wish::new(RegisterDevice { proof, ..RegisterDevice::new(account, device, key.public()) }));
    wishes
}

struct Registering<'a> {
    store: &'a KeyStore,
    registrar: StoredKey,
    client: Client,
    market_keys: Vec<VerifyingKey>,
    arguments: &'a RegisterArgs,
}

impl Registering<'_> {
    async fn send(&self, wish: &Wish, output: &mut Output) -> anyhow::Result<Verdict> {
        let (registrar, now) = (&self.registrar, self.client.now().await);
        let signed = sign_wish(self.store, registrar, &self.arguments.market.market, wish, Form::Jws, now)?;
        let answer = self.client.send(&signed, wish, registrar, &self.market_keys).await?;
        let again = format!("give `skylink keys register {}` again as before", self.arguments.name);
        let receipts = self.arguments.json.then_some(output);
        crate::send::report(answer, wish, &again, receipts)
    }
}

fn prove(arguments: &ProveArgs, output: &mut Output) -> anyhow::Result<Verdict> {
    let key = open(&arguments.data)?.get(&arguments.name)?;
    let proof = prove_device(&arguments.market, key.account, key.device, &key.signing());
    output.line(format_args!("{proof}"))?;
    Ok(Verdict::Done)
}

fn claim(arguments: &ClaimArgs, output: &mut Output) -> anyhow::Result<Verdict> {
    let key = open(&arguments.data)?.get(&arguments.name)?;
    let claim = CartClaim {
        aud: arguments.market.clone(),
        cart: arguments.cart,
        exp: WallClock.now().plus_ms(i64::from(arguments.ttl_s) * 1000),
        to: arguments.to,
        v: 1,
    };
    output.line(format_args!("{}", sign_cart_claim(&claim, &key.signing())))?;
    Ok(Verdict::Done)
}

fn offer(arguments: &OfferArgs, output: &mut Output) -> anyhow::Result<Verdict> {
    let key = open(&arguments.data)?.get(&arguments.name)?;
    let OfferArgs { account, from_minor, from, to, rate, .. } = *arguments;
    let worth = rate.of(from_minor).and_then(|minor| i64::try_from(minor).ok());
    let given =
        worth.filter(|minor| *minor <= Money::MINOR_MAX).context("it would give more than can be kept")?;
    let quote = ExchangeQuote {
        account,
        aud: arguments.market.clone(),
        exp: WallClock.now().plus_ms(i64::from(arguments.ttl_s) * 1000),
        from: Money::new(from_minor, from),
        provider: key.account,
        rate,
        reference: arguments.reference.clone().try_into().map_err(anyhow::Error::msg)?,
        to: Money::new(given, to),
        v: 1,
    };
    output.line(format_args!("{}", sign_exchange_quote(&quote, &key.signing())))?;
    Ok(Verdict::Done)
}

async fn token(arguments: &TokenArgs, output: &mut Output) -> anyhow::Result<Verdict> {
    let store = open(&arguments.data)?;
    let key = store.get(&arguments.name)?;
    let client = HttpClient::new(&arguments.gateway.url)?;
    let now = client.now().await;
    let signed = sign_token_request(&store, &key, &arguments.market, arguments.ttl_s, now)?;
    let given = match client.token(signed).await? {
        Ok(given) => given,
        Err(problem) => {
            crate::output::talk(format_args!("The gateway gives no token: {problem}."));
            return Ok(Verdict::FoundWrong);
        }
    };
    if arguments.json {
        output.json(&given)?;
    } else {
        let token = given["access_token"].as_str().context("the gateway's answer holds no token")?;
        output.line(format_args!("{token}"))?;
    }
    Ok(Verdict::Done)
}

fn open(data: &DataArgs) -> anyhow::Result<KeyStore> {
    KeyStore::open(&data.data.join("keys"))
        .context("the folder of keys can't be used: name another with --data")
}

fn described(key: &StoredKey) -> Value {
    let public = key.public();
    json!({
        "account": key.account,
        "alg": key.algorithm,
        "device": key.device,
        "jwk": public,
        "kid": public.id(),
        "name": key.name,
    })
}

fn print(key: &StoredKey, json: bool, output: &mut Output) -> anyhow::Result<()> {
    if json {
        return output.json(&described(key));
    }
    let public = key.public();
    let jwk = serde_json::to_string(&public)?;
    output.line(format_args!("name     {}", key.name))?;
    output.line(format_args!("account  {}", key.account))?;
    output.line(format_args!("device   {}", key.device))?;
    output.line(format_args!("kid      {}", public.id()))?;
    output.line(format_args!("jwk      {jwk}"))?;
    Ok(())
}
