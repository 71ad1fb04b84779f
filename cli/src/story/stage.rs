//! The market that a story is played in: a whole node in a folder of its own, whose clock the story moves.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use commands::command::{CartClaim, ExchangeQuote, Expected, RegisterAccount, RegisterDevice};
use commands::receipt::{Outcome, Receipt, ReceiptVerifier};
use commands::sign::{Draft, sign, sign_cart_claim, sign_exchange_quote};
use commands::{Command, Refusal};
use engine::Reply;
use engine::clock::{Clock, ManualClock};
use engine::keystore::StoredKey;
use engine::processor::DEADLINES_GRACE_MS;
use events::account::Role;
use events::ids::{AccountId, CommandId, ListingId, OrderId};
use events::{Position, Timestamp};
use gateway::node::{Node, NodeConfig, RECEIPT_KEY, REGISTRAR_KEY};
use serde_json::{Value, json};

use super::script::{Expect, Names, Seen, Step, Story, difference, resolve};
use crate::import::id_v7;

/// When every story begins.
const BEGIN: &str = "2026-01-05T09:00:00Z";
/// How far the clock is moved at once while a story waits: deadlines are decided within so much of their time.
const PACE_MS: i64 = 3_600_000;
/// How long the word of another is good that a command carries.
const WORD_MS: i64 = 3_600_000;
/// How long somebody takes to give a command.
const COMMAND_MS: i64 = 1_000;
/// How long the engine and its views may take for one step.
const STEP_MAX: Duration = Duration::from_secs(30);
/// Who always acts, with what role.
const PROVIDER: &str = "provider";

/// A market with its people.
pub(super) struct Stage {
    node: Node,
    clock: Arc<ManualClock>,
    verifier: ReceiptVerifier,
    people: BTreeMap<String, StoredKey>,
    /// Names for ids, the people's aside.
    named: BTreeMap<String, String>,
    last: Option<(Bytes, Position)>,
    position: Position,
    commands: u64,
}

impl Stage {
    /// Opens the market and registers everyone.
    pub(super) async fn set(story: &Story, dir: &Path) -> anyhow::Result<Stage> {
        let begin = Timestamp::parse_rfc3339(BEGIN).context("the time stories begin at")?;
        let clock = Arc::new(ManualClock::new(begin));
        let mut config = NodeConfig::new("story".parse()?, dir.to_owned());
        (config.fee, config.deadlines) = (story.fee, story.deadlines);
        config.purchase_limits = story.purchase_limits.clone();
        config.escrow = story.escrow.clone();
        let node = Node::start(config, Arc::clone(&clock) as _).await?;
        let verifier = ReceiptVerifier::new(&node.keys().get(RECEIPT_KEY)?.public())?;
        let registrar = node.keys().get_or_make(REGISTRAR_KEY)?;
        let people = BTreeMap::from([(REGISTRAR_KEY.to_owned(), registrar)]);
        let (named, last) = (BTreeMap::new(), None);
        let mut stage = Stage { node, clock, verifier, people, named, last, position: 0, commands: 0 };
        // Only later does a writer decide deadlines.
        stage.clock.advance_to(begin.plus_ms(DEADLINES_GRACE_MS));
        let provider = (PROVIDER.to_owned(), vec![Role::Provider]);
        for (name, roles) in story.people.clone().into_iter().chain([provider]) {
            ensure!(!stage.people.contains_key(&name), "there is a {name} already: choose another name");
            stage.register(&name, roles).await.with_context(|| format!("registering {name}"))?;
        }
        Ok(stage)
    }

    async fn register(&mut self, name: &str, roles: Vec<Role>) -> anyhow::Result<()> {
        // The node has keys of its own, under names that a person may have too.
        let key = self.node.keys().get_or_make(&format!("story-{name}"))?;
        let account = RegisterAccount { account: key.account, roles: roles.into_iter().collect() };
        let device = RegisterDevice::new(key.account, key.device, key.public());
        self.people.insert(name.to_owned(), key);
        for command in [Command::from(account), Command::from(device)] {
            let receipt = taken(self.give(REGISTRAR_KEY, command, Expected::default()).await?)?;
            ensure!(
                receipt.receipt.outcome == Outcome::Accepted,
                "the market rejects it: {:?}",
                receipt.receipt.reasons
            );
        }
        Ok(())
    }

    /// Plays a step; an error tells what came of it that should not.
    pub(super) async fn play(&mut self, step: &Step) -> anyhow::Result<()> {
        match step {
            Step::Do { who, command, body, expected, names, expect } => {
                let mut body = body.clone();
                resolve(&mut body, &mut |name| self.id(name))?;
                self.sign_words(who, &mut body)?;
                let command = Command::parse(command, &body)
                    .map_err(|refusal| anyhow::anyhow!("`{command}` can't be asked so: {refusal}"))?;
                let receipt = match (self.give(who, command, *expected).await?, expect) {
                    (Err(refusal), Expect::Rejected(code)) if refusal.code() == code => return Ok(()),
                    (given, _) => taken(given)?,
                };
                check_outcome(&receipt, expect)?;
                self.name_all(&receipt, names).await
            }
            Step::Again => {
                let (bytes, position) = self.last.clone().context("nothing was asked before")?;
                let receipt = taken(self.submit(bytes).await?)?;
                ensure!(
                    receipt.replayed && receipt.receipt.position == position,
                    "sent again, it was decided anew: {:?}",
                    receipt.receipt
                );
                Ok(())
            }
            Step::Wait { ms } => self.wait(*ms).await,
            Step::See { what, has } => self.see(what, has).await,
        }
    }

    /// Has others sign what stands of theirs in a body with its members, for whoever gives the command: a claim to a cart, and
    /// an offer to exchange. Whose word it is stands in `by`; an offer is the provider's unless another one makes it.
    fn sign_words(&self, who: &str, body: &mut Value) -> anyhow::Result<()> {
        for name in ["claim", "quote"] {
            let Some(Value::Object(word)) = body.get_mut(name) else { continue };
            let by = match (word.remove("by"), name) {
                (Some(Value::String(by)), _) => by,
                (None, "quote") => PROVIDER.to_owned(),
                _ => bail!("`{name}` says in `by` who signs it"),
            };
            let (giver, signer) = (self.person(who)?.account, self.person(&by)?);
            let mut fill = |member: &str, value: Value| _ = word.entry(member).or_insert(value);
            fill("aud", json!(self.node.market()));
            fill("exp", json!(self.clock.now().plus_ms(WORD_MS)));
            fill("v", json!(1));
            if name == "claim" {
                fill("to", json!(giver));
            } else {
                fill("account", json!(giver));
                fill("provider", json!(signer.account));
            }
            let (word, key) = (Value::Object(std::mem::take(word)), signer.signing());
            let wrong = || format!("`{name}` can't be signed so");
            let signed = match name {
                "claim" => {
                    sign_cart_claim(&serde_json::from_value::<CartClaim>(word).with_context(wrong)?, &key)
                }
                _ => {
                    let quote = serde_json::from_value::<ExchangeQuote>(word).with_context(wrong)?;
                    sign_exchange_quote(&quote, &key)
                }
            };
            body[name] = signed.into();
        }
        Ok(())
    }

    fn person(&self, name: &str) -> anyhow::Result<&StoredKey> {
        self.people.get(name).with_context(|| format!("nobody is called {name}"))
    }

    async fn give(&mut self, who: &str, command: Command, expected: Expected) -> anyhow::Result<Given> {
        self.commands += 1;
        self.clock.advance_to(self.clock.now().plus_ms(COMMAND_MS));
        let now = self.clock.now();
        let id = CommandId::from_uuid(id_v7(now, &format!("skylink story command {}", self.commands)));
        let key = self.person(who)?;
        let draft = self.node.keys().draft(key, self.node.market(), id, command, now)?;
        let bytes = Bytes::from(sign(&Draft { expected, ..draft }, &key.signing()));
        let given = self.submit(bytes.clone()).await?;
        if let Ok(receipt) = &given {
            self.last = Some((bytes, receipt.receipt.position));
        }
        Ok(given)
    }

    async fn submit(&mut self, bytes: Bytes) -> anyhow::Result<Given> {
        let handle = self.node.handle();
        let reply = tokio::time::timeout(STEP_MAX, handle.submit(bytes, None, None));
        match reply.await.context("the engine does not answer")? {
            Reply::Receipt(receipt) => {
                self.verifier.verify(&receipt).context("its receipt proves nothing")?;
                self.position = self.position.max(receipt.receipt.position);
                Ok(Ok(*receipt))
            }
            Reply::Refused(refusal) => Ok(Err(refusal)),
            Reply::Undecided => bail!("the engine stopped"),
        }
    }

    /// Names what a command has made: orders by their sellers, a payment, a refund.
    async fn name_all(&mut self, receipt: &Receipt, names: &Names) -> anyhow::Result<()> {
        if *names == Names::default() {
            return Ok(());
        }
        let log = self.node.log();
        let first = crate::log::commit_start(log.as_ref(), receipt.receipt.position).await?;
        let commit = log.commit(first).await?;
        let commit = commit.context("the log does not have what the receipt names")?;
        let placed = commit.events().iter().filter_map(|recorded| match &recorded.event {
            events::Event::OrderPlaced(placed) => Some((placed.seller, placed.order)),
            _ => None,
        });
        let placed: BTreeMap<AccountId, OrderId> = placed.collect();
        let expected = names.orders.len();
        ensure!(placed.len() == expected, "it placed {} orders, not {expected}", placed.len());
        for (seller, name) in &names.orders {
            let account = self.people.get(seller).map(|key| key.account);
            let order = account.and_then(|account| placed.get(&account));
            let order = order.with_context(|| format!("no order of {seller} was placed"))?;
            self.named.insert(name.clone(), order.to_string());
        }
        let mut events = commit.events().iter().map(|recorded| &recorded.event);
        if let Some(name) = &names.payment {
            let asked = events.clone().find_map(|event| match event {
                events::Event::PaymentRequested(asked) => Some(asked.payment.to_string()),
                _ => None,
            });
            self.named.insert(name.clone(), asked.context("it asked for no payment")?);
        }
        if let Some(name) = &names.payout {
            let asked = events.clone().find_map(|event| match event {
                events::Event::PayoutRequested(asked) => Some(asked.payout.to_string()),
                _ => None,
            });
            self.named.insert(name.clone(), asked.context("it asked for no payout")?);
        }
        if let Some(name) = &names.reservation {
            let made = events.clone().find_map(|event| match event {
                events::Event::StockReserved(made) => Some(made.reservation.to_string()),
                _ => None,
            });
            self.named.insert(name.clone(), made.context("it reserved nothing")?);
        }
        if let Some(name) = &names.change {
            let proposed = events.clone().find_map(|event| match event {
                events::Event::ChangeProposed(proposed) => Some(proposed.change.to_string()),
                _ => None,
            });
            self.named.insert(name.clone(), proposed.context("it proposed no change")?);
        }
        if let Some(name) = &names.chargeback {
            let told = events.clone().find_map(|event| match event {
                events::Event::ChargebackInquired(told) => Some(told.chargeback.to_string()),
                events::Event::ChargebackOpened(told) => Some(told.chargeback.to_string()),
                _ => None,
            });
            self.named.insert(name.clone(), told.context("it told of no dispute")?);
        }
        if let Some(name) = &names.cart {
            let of_carts =
                commit.events().iter().filter(|recorded| recorded.event.type_name().starts_with("cart."));
            let cart = of_carts.filter_map(|recorded| recorded.metadata.subject.clone()).next();
            self.named.insert(name.clone(), cart.context("it opened and changed no cart")?);
        }
        if let Some(name) = &names.refund {
            let asked = events.find_map(|event| match event {
                events::Event::RefundRequested(asked) => Some(asked.refund.to_string()),
                _ => None,
            });
            self.named.insert(name.clone(), asked.context("it asked for no refund")?);
        }
        Ok(())
    }

    async fn wait(&mut self, ms: i64) -> anyhow::Result<()> {
        let end = self.clock.now().plus_ms(ms);
        while self.clock.now() < end {
            self.clock.advance_to(self.clock.now().plus_ms(PACE_MS).min(end));
            self.node.handle().tick().await;
        }
        if let Some((bytes, _)) = self.last.clone() {
            // A repeat is answered when everything before it is durable, and so are then the deadlines.
            taken(self.submit(bytes).await?)?;
        }
        self.position = self.node.log().head().await?.position;
        Ok(())
    }

    async fn see(&mut self, what: &Seen, has: &Value) -> anyhow::Result<()> {
        let mut wanted = has.clone();
        resolve(&mut wanted, &mut |name| self.id(name))?;
        let views = self.node.projections();
        views.wait_for(self.position, STEP_MAX).await?;
        let account = |name: &str| self.person(name).map(|key| key.account);
        let found = match what {
            Seen::Order(name) => serde_json::to_value(views.orders().order(self.order(name)?)?)?,
            Seen::Group(name) => {
                let order = views.orders().order(self.order(name)?)?;
                let group = order.and_then(|order| order.group).context("the order is in no group")?;
                serde_json::to_value(views.orders().group(group)?)?
            }
            Seen::Cart(name) => serde_json::to_value(views.carts().active(account(name)?)?)?,
            Seen::Payment(name) => {
                let payment = self.named.get(name).with_context(|| format!("no payment is called {name}"))?;
                serde_json::to_value(views.payments().payment(payment.parse()?)?)?
            }
            Seen::Payout(name) => {
                let payout = self.named.get(name).with_context(|| format!("no payout is called {name}"))?;
                serde_json::to_value(views.payments().payout(payout.parse()?)?)?
            }
            Seen::Listing(name) => {
                let listing = self.named.get(name).with_context(|| format!("no listing is called {name}"))?;
                let offer = views.listings().listing(listing.parse()?)?;
                serde_json::to_value(offer.map(|offer| offer.listing))?
            }
            Seen::Reservations(name) => serde_json::to_value(views.carts().reservations(account(name)?)?)?,
            Seen::Account(name) => serde_json::to_value(views.ledger().account(account(name)?)?)?,
            Seen::Ledger(account) => serde_json::to_value(views.ledger().balances(*account)?)?,
        };
        match difference(&wanted, &found, "") {
            None => Ok(()),
            Some(difference) => bail!("{difference}; it shows {found}"),
        }
    }

    fn order(&self, name: &str) -> anyhow::Result<OrderId> {
        let order = self.named.get(name).with_context(|| format!("no order is called {name}"))?;
        Ok(order.parse()?)
    }

    /// Gives the id that a name stands for. A name that is neither a person's nor an order's is a listing's, from its first
    /// use on.
    fn id(&mut self, name: &str) -> anyhow::Result<String> {
        if let Some(person) = self.people.get(name) {
            return Ok(person.account.to_string());
        }
        let begin = Timestamp::parse_rfc3339(BEGIN).context("the time stories begin at")?;
        let new = || ListingId::from_uuid(id_v7(begin, &format!("skylink story listing {name}"))).to_string();
        Ok(self.named.entry(name.to_owned()).or_insert_with(new).clone())
    }

    /// Puts names in the place of ids.
    pub(super) fn with_names(&self, text: &str) -> String {
        let people = self.people.iter().map(|(name, key)| (name, key.account.to_string()));
        let others = self.named.iter().map(|(name, id)| (name, id.clone()));
        people.chain(others).fold(text.to_owned(), |text, (name, id)| text.replace(&id, &format!("@{name}")))
    }

    /// Gives the node.
    pub(super) fn node(&self) -> &Node {
        &self.node
    }

    /// Ends the market in order.
    pub(super) async fn clear(self) -> anyhow::Result<()> {
        let reason = self.node.shutdown().await;
        ensure!(reason == engine::processor::StopReason::Shutdown, "the engine ended early: {reason}");
        Ok(())
    }
}

/// What came of a command that was given: a receipt, or a refusal before the market's rules.
type Given = Result<Receipt, Refusal>;

fn taken(given: Given) -> anyhow::Result<Receipt> {
    given.map_err(|refusal| anyhow::anyhow!("it was refused: {refusal}"))
}

fn check_outcome(receipt: &Receipt, expect: &Expect) -> anyhow::Result<()> {
    let body = &receipt.receipt;
    let codes: Vec<String> = body.reasons.iter().map(|reason| reason.code()).collect();
    let fits = match expect {
        Expect::Accepted => body.outcome == Outcome::Accepted,
        Expect::Unchanged => body.outcome == Outcome::Unchanged,
        Expect::Rejected(code) => body.outcome == Outcome::Rejected && codes.contains(code),
    };
    ensure!(fits, "it should be {expect:?}, and is {:?}: {}", body.outcome, json!(body.reasons));
    Ok(())
}
