//! `skylink up`: runs a market in this process until it is interrupted.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bytes::Bytes;
use clap::Args;
use commands::envelope::KeyDirectory;
use commands::receipt::Outcome;
use engine::Reply;
use engine::clock::{Clock, FastClock, WallClock};
use engine::processor::StopReason;
use engine::providers::PaymentProvider;
use events::account::{Role as AccountRole, Tier};
use events::escrow::rule::ReleaseTerms;
use events::ids::MarketName;
use events::market::{Deadlines, EscrowTerms, FeePolicy, PurchaseLimit, ReserveTerms, ReturnTerms};
use events::money::Bps;
use events::money::MoneyError;
use events::{Currency, Money, Position, Timestamp};
use gateway::dify::Dify;
use gateway::nats::{Access, Role};
use gateway::node::{NatsConfig, Node, NodeAccess, NodeConfig, REGISTRAR_KEY, StandbyNode};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::Verdict;
use crate::demo;
use crate::dify::DifyArgs;
use crate::keys::registrations;
use crate::limits::LimitsArgs;
use crate::log::DataArgs;
use crate::nats::NatsArgs;
use crate::output::talk;
use crate::payments::PaymentsArgs;
use crate::push::PushArgs;
use crate::signing::{Form, Wish, sign_wish};

/// How fast the market's clock may run: a command that was signed for a minute is still good for 120 ms then.
const CLOCK_SPEED_MAX: i64 = 500;
/// How far ahead of the machine's clock a log may end and nothing be said of it, in ms: commands signed now are good then.
const AHEAD_MS_MAX: i64 = commands::replay::FRESHNESS_MS;

/// How long the market may take to answer the commands of its first start.
const FIRST_COMMANDS_TIME_MAX: Duration = Duration::from_secs(30);

/// The accounts a market begins with besides its registrar, each with a key of the same name: one who may cancel any
/// order, and one who brings money in and reports deliveries.
const FIRST_ACCOUNTS: [(&str, AccountRole); 2] =
    [("operator", AccountRole::Operator), ("provider", AccountRole::Provider)];

/// Run a market in this process, with its HTTP gateway, until it is interrupted.
///
/// Everything is kept in the data folder. The first start opens the market and makes the keys `market` (signs
/// receipts), `registrar` (registers accounts and devices), `operator`, `provider`, and one for each payment provider. Fee
/// and deadlines are fixed when the market is opened.
#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    #[command(flatten)]
    data: DataArgs,
    /// Where the HTTP gateway listens; port 0 takes a free one and says which.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// The market's name; every signed command names it.
    #[arg(long, default_value = "main", value_name = "NAME")]
    market: MarketName,
    /// Let webhooks go to this machine and to private networks, and without TLS: for trying them out. Whoever sells here could then
    /// have requests made inside this network.
    #[arg(long)]
    webhooks_private: bool,
    #[command(flatten)]
    push: PushArgs,
    #[command(flatten)]
    nats: NatsArgs,
    /// The file with the seed of the nkey of the role receipts, which leave on a connection of their own.
    #[arg(long, requires = "NATS_NKEY", value_name = "FILE")]
    nats_receipts_nkey: Option<PathBuf>,
    /// Copies of each stream on JetStream: 3 in a cluster.
    #[arg(long, default_value_t = 1, requires = "NATS_URL", value_name = "N", value_parser = clap::value_parser!(u8).range(1..=5))]
    nats_replicas: u8,
    /// Bytes that the log's stream may grow to on JetStream; used when it is created. Below the server's max_file_store
    /// it refuses an append for which there is no room; without it, a full store may keep a part of one.
    #[arg(long, requires = "NATS_URL", value_name = "N", value_parser = clap::value_parser!(u64).range(1_000_000..))]
    nats_log_bytes: Option<u64>,
    /// Monitoring endpoint of the NATS server, such as http://127.0.0.1:8222, to learn whether it syncs before it
    /// acknowledges.
    #[arg(long, requires = "NATS_URL", value_name = "URL")]
    nats_monitor: Option<String>,
    /// Fill an empty data folder with real purchases first, then keep a few people trading.
    #[arg(long, conflicts_with = "NATS_URL")]
    demo: bool,
    /// How many real purchases the demonstration begins with.
    #[arg(long, default_value_t = 2_000, requires = "demo", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=69_659))]
    demo_purchases: u32,
    /// What the platform takes of each released escrow, in hundredths of a percent.
    #[arg(long, default_value_t = 250, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=10_000))]
    fee_bps: u32,
    /// Hours a seller has to accept an order before it is cancelled and paid back; without it, every order is accepted.
    #[arg(long, value_name = "HOURS", value_parser = clap::value_parser!(u32).range(1..=87_600))]
    accept_hours: Option<u32>,
    /// How much buyers of a tier, 0 to 3, may buy in a currency in one checkout and in one day of UTC, such as
    /// 0:USD:100.00:250.00; may be given again. Without one, as much as they can pay.
    #[arg(long, value_name = "TIER:CURRENCY:CHECKOUT:DAY", value_parser = purchase_limit)]
    purchase_limit: Vec<PurchaseLimit>,
    /// Hours a seller has to ship before the order is cancelled and paid back.
    #[arg(long, default_value_t = 14 * 24, value_name = "HOURS", value_parser = clap::value_parser!(u32).range(1..=87_600))]
    ship_by_hours: u32,
    /// Hours a carrier has to deliver before the goods count as delivered.
    #[arg(long, default_value_t = 14 * 24, value_name = "HOURS", value_parser = clap::value_parser!(u32).range(1..=87_600))]
    transit_hours: u32,
    /// Hours a buyer has to inspect before the escrow is released.
    #[arg(long, default_value_t = 3 * 24, value_name = "HOURS", value_parser = clap::value_parser!(u32).range(1..=87_600))]
    inspection_hours: u32,
    /// Hours that a cart may lie untouched before it is abandoned.
    #[arg(long, default_value_t = 30 * 24, value_name = "HOURS", value_parser = clap::value_parser!(u32).range(1..=87_600))]
    cart_idle_hours: u32,
    /// Hours that a change of an order waits for the other side before it lapses.
    #[arg(long, default_value_t = 2 * 24, value_name = "HOURS", value_parser = clap::value_parser!(u32).range(1..=87_600))]
    change_hours: u32,
    /// Hours that somebody has to decide about frozen money before the buyer gets it back.
    #[arg(long, default_value_t = 60 * 24, value_name = "HOURS", value_parser = clap::value_parser!(u32).range(1..=87_600))]
    frozen_hours: u32,
    /// What of each seller's earnings is kept for some time, in case that buyers get money back, in hundredths of a percent.
    #[arg(long, value_name = "N", requires = "reserve_days", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    reserve_bps: Option<u32>,
    /// Days that it is kept behind the one on which it was earned.
    #[arg(long, value_name = "DAYS", requires = "reserve_bps", value_parser = clap::value_parser!(u32).range(1..=3_650))]
    reserve_days: Option<u32>,
    /// Days after its delivery in which buyers may ask to return a shipment. Without it nothing is taken back.
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=3_650))]
    return_days: Option<u32>,
    #[command(flatten)]
    return_hours: ReturnHours,
    /// Give the platform's fee back for what is returned; else the seller bears it.
    #[arg(long, requires = "return_days")]
    return_fee: bool,
    /// Most of frozen money that one operator may decide about alone, in minor units of its currency.
    #[arg(long, default_value_t = 100_000, value_name = "MINOR", value_parser = clap::value_parser!(i64).range(0..=Money::MINOR_MAX))]
    four_eyes_above: i64,
    /// What must be so for the money of a shipment that has arrived to be released, as JSON: see docs/escrow.md. Without it,
    /// the buyer's word, or the end of the time to inspect.
    #[arg(long, value_name = "JSON")]
    release_rule: Option<String>,
    /// Hours that money is still kept once it may be released.
    #[arg(long, default_value_t = 0, value_name = "HOURS", value_parser = clap::value_parser!(u32).range(0..=87_600))]
    release_hold_hours: u32,
    #[command(flatten)]
    payments: PaymentsArgs,
    #[command(flatten)]
    dify: DifyArgs,
    /// Let the market's time run N times as fast as the machine's, from where its log ends: for demonstrations, in which
    /// deadlines of days are to be seen. Commands are signed with the market's time then (GET /v1/time), as send and keys do.
    #[arg(long, conflicts_with = "NATS_URL", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=CLOCK_SPEED_MAX))]
    clock_speed: Option<u32>,
    #[command(flatten)]
    limits: LimitsArgs,
    /// Threads that check signatures; without it, one for each core.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    verify_threads: Option<u16>,
}

/// Runs the market.
pub(crate) fn run(arguments: UpArgs) -> anyhow::Result<Verdict> {
    crate::runtime()?.block_on(serve(arguments))
}

async fn serve(arguments: UpArgs) -> anyhow::Result<Verdict> {
    // Asked for first, so that an interrupt is never lost while the market starts.
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    let listener = TcpListener::bind(arguments.listen).await.with_context(|| {
        format!("nothing can listen on {}: name another address with --listen", arguments.listen)
    })?;
    let clock = clock(&arguments).await;
    let dify = arguments.dify.dify()?;
    let (providers, messages) = arguments.payments.providers(&arguments.data.data, &clock)?;
    let prepared = async {
        if arguments.demo
            && let Some(orders) =
                demo::prepare(&arguments.data.data, &arguments.market, arguments.demo_purchases as usize)
                    .await?
        {
            talk(format_args!("Imported {orders} purchases of 1997 as the market's history."));
        }
        start(&arguments, providers, &clock).await
    };
    let standby = tokio::select! {
        standby = prepared => standby?,
        _ = interrupted.recv() => return Ok(Verdict::Done),
        _ = terminated.recv() => return Ok(Verdict::Done),
    };
    // Queries are answered from here on, also while another process writes the market.
    let server = Server::start(&standby, listener, &clock, dify)?;
    if arguments.nats.url.is_some() {
        talk(format_args!("Market {} stands by: http://{}", arguments.market, server.address));
    }
    let node = tokio::select! {
        node = standby.take_over() => node.with_context(|| cannot_start(&arguments))?,
        _ = interrupted.recv() => return server.end_standing_by().await,
        _ = terminated.recv() => return server.end_standing_by().await,
    };
    let started = Instant::now();
    if let Some(messages) = messages {
        node.effects().deliver(messages);
    }
    node.unless_refused(register_first_accounts(&node, clock.as_ref())).await??;
    let first = node.unless_refused(node.log().head()).await??.position;
    let trade = match arguments.demo {
        true => Some(demo::start(&node, clock).await.context("the demonstration can't begin")?),
        false => None,
    };
    tell(&node, &arguments, server.address)?;
    let handle = node.handle();
    let mut refused = None;
    tokio::select! {
        _ = interrupted.recv() => talk(format_args!("Interrupted: the market finishes what it has begun.")),
        _ = terminated.recv() => talk(format_args!("Terminated: the market finishes what it has begun.")),
        stopped = node.unless_refused(handle.stopped()) => refused = stopped.err(),
    }
    if let Some(refused) = refused {
        // What is under way would wait for a broker that does not take it; nothing of it was answered.
        return Err(refused).context("the market stopped; what was answered is durable");
    }
    let end = async {
        if let Some(trade) = trade {
            trade.stop().await;
        }
        end(node, server, first, started).await
    };
    tokio::select! {
        verdict = end => verdict,
        _ = interrupted.recv() => bail!(
            "interrupted again: the market ends in the middle of its work; what was answered is durable"
        ),
    }
}

/// Gives the market's clock. A fast one goes on where the market's time has come to.
async fn clock(arguments: &UpArgs) -> Arc<dyn Clock> {
    let now = WallClock.now();
    let latest = match &arguments.nats.url {
        None => crate::log::latest_time(&arguments.data.data).await,
        Some(_) => None,
    };
    let ahead_ms = latest.map_or(0, |latest| latest.ms_since(now));
    match arguments.clock_speed {
        Some(speed) => Arc::new(FastClock::new(latest.unwrap_or(now).max(now), speed)),
        None => {
            if ahead_ms > AHEAD_MS_MAX {
                talk(format_args!(
                    "The market's log ends {} min ahead of this machine's clock: until that has caught up, the market's time stands \
                     still and commands signed now are stale. Correct the clock or, if it ran with --clock-speed before, name that again.",
                    ahead_ms / 60_000
                ));
            }
            Arc::new(WallClock)
        }
    }
}

/// Starts the node; it stands by until it is given the market.
async fn start(
    arguments: &UpArgs,
    providers: Vec<Arc<dyn PaymentProvider>>,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<StandbyNode> {
    let config = NodeConfig { providers, ..config(arguments)? };
    let node = match &arguments.nats.url {
        None => StandbyNode::start(config, Arc::clone(clock)).await,
        Some(url) => {
            let nats = NatsConfig {
                url: url.clone(),
                replicas: usize::from(arguments.nats_replicas),
                log_bytes: arguments.nats_log_bytes,
                monitor_url: arguments.nats_monitor.clone(),
            };
            StandbyNode::start_on_nats(config, nats, Arc::clone(clock)).await
        }
    };
    node.with_context(|| cannot_start(arguments))
}

fn cannot_start(arguments: &UpArgs) -> String {
    format!("market {} can't be started in {}", arguments.market, arguments.data.data.display())
}

/// Gives by what the broker lets in the market's two connections.
fn access(arguments: &UpArgs) -> anyhow::Result<NodeAccess> {
    let engine = arguments.nats.access();
    let nkey = arguments.nats_receipts_nkey.clone();
    if engine.nkey.is_some() && nkey.is_none() {
        bail!(
            "receipts leave on a connection with a key of its own: name the file of the role receipts with \
             --nats-receipts-nkey"
        );
    }
    let receipts = Access { nkey, inbox: None, ..engine.clone() };
    Ok(NodeAccess { engine, receipts })
}

/// How long each state of a return waits, in hours.
#[derive(Debug, Clone, Copy, Args)]
struct ReturnHours {
    /// Hours that a seller has to answer a return before it counts as approved.
    #[arg(long = "return-answer-hours", default_value_t = 48, value_name = "HOURS", requires = "return_days", value_parser = clap::value_parser!(u32).range(1..=87_600))]
    answer: u32,
    /// Hours that a buyer has to send what he returns before the return ends.
    #[arg(long = "return-send-hours", default_value_t = 24 * 7, value_name = "HOURS", requires = "return_days", value_parser = clap::value_parser!(u32).range(1..=87_600))]
    send: u32,
    /// Hours behind the carrier's time that a seller has to look at what comes back before it counts as intact.
    #[arg(long = "return-inspect-hours", default_value_t = 72, value_name = "HOURS", requires = "return_days", value_parser = clap::value_parser!(u32).range(1..=87_600))]
    inspect: u32,
    /// Hours that a buyer has to ask an operator about what the seller said of a return.
    #[arg(long = "return-appeal-hours", default_value_t = 72, value_name = "HOURS", requires = "return_days", value_parser = clap::value_parser!(u32).range(1..=87_600))]
    appeal: u32,
    /// Hours that operators have to decide about a return before it is as the buyer wants it.
    #[arg(long = "return-decide-hours", default_value_t = 24 * 7, value_name = "HOURS", requires = "return_days", value_parser = clap::value_parser!(u32).range(1..=87_600))]
    decide: u32,
}

fn config(arguments: &UpArgs) -> anyhow::Result<NodeConfig> {
    let mut config = NodeConfig::new(arguments.market.clone(), arguments.data.data.clone());
    config.access = access(arguments)?;
    config.limits = Arc::new(arguments.limits.limits());
    config.webhooks.allows_private = arguments.webhooks_private;
    config.push = arguments.push.config(arguments.webhooks_private)?;
    config.fee = FeePolicy::new(arguments.fee_bps, 0, 0, None)?;
    config.purchase_limits = arguments.purchase_limit.clone();
    let ms = |hours: u32| i64::from(hours) * 3_600_000;
    config.deadlines = Deadlines::new(
        ms(arguments.inspection_hours),
        ms(arguments.ship_by_hours),
        ms(arguments.transit_hours),
    )?
    .with_cart_idle(ms(arguments.cart_idle_hours))?
    .with_change_ms(ms(arguments.change_hours))?;
    if let Some(hours) = arguments.accept_hours {
        config.deadlines = config.deadlines.with_accept_ms(ms(hours))?;
    }
    let rule = match &arguments.release_rule {
        Some(text) => serde_json::from_str(text).context("--release-rule is none: see docs/escrow.md")?,
        None => ReleaseTerms::default().rule().clone(),
    };
    let release = ReleaseTerms::new(ms(arguments.release_hold_hours), rule)?;
    let reserve = match (arguments.reserve_bps, arguments.reserve_days) {
        (Some(bps), Some(days)) => Some(ReserveTerms::new(Bps::new(bps)?, ms(24 * days))?),
        _ => None,
    };
    let returns = arguments.return_days.map(|days| {
        let ReturnHours { answer, send, inspect, appeal, decide } = arguments.return_hours;
        let terms = ReturnTerms {
            appeal_ms: ms(appeal),
            answer_ms: ms(answer),
            decide_ms: ms(decide),
            gives_fee_back: arguments.return_fee,
            inspect_ms: ms(inspect),
            send_ms: ms(send),
            window_ms: ms(24 * days),
        };
        terms.checked()
    });
    let returns = returns.transpose()?;
    config.escrow = EscrowTerms::new(arguments.four_eyes_above, ms(arguments.frozen_hours))?
        .releasing(release)
        .keeping(reserve)
        .returning(returns);
    if let Some(threads) = arguments.verify_threads {
        config.verify_threads = usize::from(threads);
    }
    Ok(config)
}

/// Reads a limit of purchases.
fn purchase_limit(text: &str) -> Result<PurchaseLimit, String> {
    let wrong = || {
        "it must be such as 0:USD:100.00:250.00: tier, currency, most in a checkout, most in a day".to_owned()
    };
    let [tier, currency, per_order, per_day] = *text.split(':').collect::<Vec<_>>() else {
        return Err(wrong());
    };
    let tier: u32 = tier.parse().map_err(|_| wrong())?;
    let tier = Tier::new(tier).map_err(|error| error.to_string())?;
    let currency: Currency = currency.parse().map_err(|error: MoneyError| error.to_string())?;
    let minor = |text: &str| match Money::parse_decimal(text, currency) {
        Ok(money) if money.minor >= 0 => Ok(money.minor),
        Ok(_) => Err(wrong()),
        Err(error) => Err(error.to_string()),
    };
    let (per_order_minor, per_day_minor) = (minor(per_order)?, minor(per_day)?);
    Ok(PurchaseLimit { currency, per_day_minor, per_order_minor, tier })
}

/// Registers the accounts a market begins with, by signed commands like any other. A start that was cut off between
/// two of them is made good by the next.
async fn register_first_accounts(node: &Node, clock: &dyn Clock) -> anyhow::Result<()> {
    let handle = node.handle();
    for (name, role) in FIRST_ACCOUNTS {
        let key = node.keys().get_or_make(name)?;
        if handle.keys().key(key.public().id()).is_some() {
            continue;
        }
        for wish in registrations(&key, node.market(), BTreeSet::from([role])) {
            give(node, &wish, clock.now())
                .await
                .with_context(|| format!("key `{name}` can't be registered"))?;
        }
    }
    Ok(())
}

/// Gives a command of the registrar.
async fn give(node: &Node, wish: &Wish, now: Timestamp) -> anyhow::Result<()> {
    let registrar = node.keys().get(REGISTRAR_KEY)?;
    let signed = sign_wish(node.keys(), &registrar, node.market(), wish, Form::Jws, now)?;
    let handle = node.handle();
    let reply = handle.submit(Bytes::from(signed.bytes), None, None);
    let reply = tokio::time::timeout(FIRST_COMMANDS_TIME_MAX, reply).await;
    match reply.context("the market gave no answer in time: look at its log lines")? {
        Reply::Receipt(receipt) => match receipt.receipt.outcome {
            Outcome::Accepted | Outcome::Unchanged => Ok(()),
            Outcome::Rejected => {
                let reasons: Vec<String> = receipt.receipt.reasons.iter().map(ToString::to_string).collect();
                bail!("the market rejected {}: {}", wish.command.name(), reasons.join("; "))
            }
        },
        Reply::Refused(refusal) => Err(refusal).context("the market did not take its registrar's command"),
        Reply::Undecided => bail!("the market stopped"),
    }
}

/// The HTTP gateway while it serves.
struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<io::Result<()>>,
}

impl Server {
    fn start(
        node: &StandbyNode,
        listener: TcpListener,
        clock: &Arc<dyn Clock>,
        dify: Dify,
    ) -> anyhow::Result<Server> {
        let metrics = gateway::health::install_metrics().context("metrics can't be kept")?;
        let mut gateway = node.gateway(Arc::clone(clock), Some(metrics));
        gateway.dify = Arc::new(dify);
        let address = listener.local_addr()?;
        let (stop, told) = oneshot::channel();
        // A server whose owner is gone stops as one that is told to.
        let told = async move { drop(told.await) };
        let task = tokio::spawn(gateway::serve(listener, gateway, told));
        Ok(Server { address, stop, task })
    }

    /// Ends a process that never wrote the market: it has nothing to finish but the requests under way.
    async fn end_standing_by(self) -> anyhow::Result<Verdict> {
        self.stop().await;
        Ok(Verdict::Done)
    }

    async fn stop(self) {
        // If it has ended by itself, its task says why.
        let _ = self.stop.send(());
        match self.task.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the HTTP gateway ended badly"),
            Err(error) => tracing::error!(%error, "the HTTP gateway panicked"),
        }
    }
}

/// Tells where to look and what to try.
fn tell(node: &Node, arguments: &UpArgs, address: SocketAddr) -> anyhow::Result<()> {
    let (market, data) = (node.market(), arguments.data.data.display());
    let keys = node.keys().names()?.join(", ");
    let payments = arguments.payments.described();
    let at = format!("--data {data} --url http://{address} --market {market}");
    let log = match &arguments.nats {
        nats if nats.url.is_some() => format!("{} --market {market}", nats.for_role(Role::Reader)),
        _ => format!("--data {data}"),
    };
    talk(format_args!(
        "Market {market} runs: http://{address}

  data      {data}
  keys      {keys} (in {data}/keys: back them up)
  page      http://{address} (sign in with `skylink console --data {data} --url http://{address} --market {market}`)
  interface http://{address}/openapi.json
  health    http://{address}/readyz
  payments  {payments}

Try:
  skylink keys new alice --data {data}
  skylink keys register alice --role buyer {at}
  echo '{{\"command\": \"cart.clear\", \"body\": {{}}}}' | skylink send - --key alice {at}
  skylink tail --follow {log}
  curl -s http://{address}/.well-known/jwks.json
"
    ));
    Ok(())
}

/// Stops the market and tells what it has done.
async fn end(node: Node, server: Server, first: Position, started: Instant) -> anyhow::Result<Verdict> {
    let log = node.log();
    // Requests under way get their receipts before the market stops to give them.
    server.stop().await;
    let reason = node.shutdown().await;
    let seconds = started.elapsed().as_secs();
    match log.head().await {
        Ok(head) => talk(format_args!(
            "{} events in {seconds} s; the log ends at position {} with hash {}.",
            head.position.saturating_sub(first),
            head.position,
            head.hash
        )),
        Err(error) => talk(format_args!("After {seconds} s the end of the log can't be read: {error}.")),
    }
    match reason {
        StopReason::Shutdown => Ok(Verdict::Done),
        StopReason::Fenced { .. } | StopReason::LogShortened | StopReason::Unbalanced { .. } => {
            talk(format_args!("skylink: the market stopped: {reason}."));
            Ok(Verdict::FoundWrong)
        }
        StopReason::Failed(_) | StopReason::LogUnreachable => bail!("the market stopped: {reason}"),
    }
}
