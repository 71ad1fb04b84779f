//! `skylink tail`: the events of a log, also while it is written.

use std::collections::BTreeSet;

use clap::Args;
use events::ledger::Transfer;
use events::location::Location;
use events::order::change::ChangeProposed;
use events::order::{CancelledBy, Line, LineUnits, Reallocation};
use events::promotion::Benefit;
use events::push::{Channel, UnsubscribedBecause};
use events::returns::replacement::{ReplacementUnits, Replaces};
use events::returns::{Received, ReceivedUnits};
use events::tax::Region;
use events::webhook::{DisabledBecause, EventFilter};
use events::{Event, Position};
use futures::StreamExt;

use crate::Verdict;
use crate::log::{self, Form, LogArgs};
use crate::output::Output;

mod risk;

/// How many of the last events are printed unless a position is named.
const LAST_EVENTS: u64 = 20;

/// Most commits printed before what was printed is handed over.
const COMMITS_PER_FLUSH_MAX: usize = 256;

/// Print the events of a log, also while it is written.
#[derive(Debug, Args)]
pub(crate) struct TailArgs {
    #[command(flatten)]
    log: LogArgs,
    /// Go on with every later event until interrupted.
    #[arg(long, short)]
    follow: bool,
    /// Begin at this position; without it, with the last 20 events.
    #[arg(long, value_name = "POSITION")]
    from: Option<Position>,
    /// Only events of this type, such as order.placed; may be given more than once.
    #[arg(long = "type", value_name = "TYPE", value_parser = log::event_type)]
    types: Vec<String>,
    /// One JSON object a line: {"position", "metadata", "payload"}.
    #[arg(long)]
    json: bool,
}

/// Prints the events.
pub(crate) fn run(arguments: TailArgs) -> anyhow::Result<Verdict> {
    crate::runtime()?.block_on(print(&arguments))
}

async fn print(arguments: &TailArgs) -> anyhow::Result<Verdict> {
    let log = log::open(&arguments.log).await?;
    let log = log.events();
    let last = log.head().await?.position;
    let from = arguments.from.unwrap_or_else(|| (last + 1).saturating_sub(LAST_EVENTS)).max(1);
    let start = log::commit_start(log, from).await?;
    let commits = if arguments.follow { log.follow(start) } else { log.read(start) };
    let form = if arguments.json { Form::Json } else { Form::Text };
    let mut output = Output::stdout();
    let mut chunks = commits.ready_chunks(COMMITS_PER_FLUSH_MAX);
    while let Some(chunk) = chunks.next().await {
        for commit in chunk {
            let commit = match log::next(commit) {
                Ok(commit) => commit,
                Err(error) => {
                    output.flush()?;
                    return Err(error);
                }
            };
            for recorded in commit.events().iter().filter(|recorded| recorded.position >= from) {
                let type_name = &recorded.metadata.type_name;
                let is_wanted = |wanted: &String| log::is_of_type(type_name, wanted);
                if arguments.types.is_empty() || arguments.types.iter().any(is_wanted) {
                    log::print(&mut output, recorded, form)?;
                }
            }
        }
        output.flush()?;
    }
    Ok(Verdict::Done)
}

/// Says in a few words what happened.
pub(crate) fn summary(event: &Event) -> String {
    match event {
        Event::MarketOpened(event) => {
            format!("market {} with a fee of {} bps", event.market, event.fee.bps())
        }
        Event::WriterStarted(event) => format!("writer {} of version {}", event.epoch, event.version),
        Event::MarketKeyAnnounced(event) => {
            format!("key {} signs for the market, announced by {}", event.key.id(), event.previous)
        }
        Event::MarketKeyRetired(event) => format!("key {} signs nothing for the market any more", event.key),
        Event::CommandRejected(event) => {
            let codes: Vec<String> = event.reasons.iter().map(|reason| reason.code()).collect();
            format!("{} rejected: {}", event.command, codes.join(", "))
        }
        Event::CommandUnchanged(event) => format!("{} changed nothing", event.command),
        Event::AccountRegistered(event) => {
            let roles: Vec<String> = event.roles.iter().map(ToString::to_string).collect();
            format!("may act as {}", roles.join(", "))
        }
        Event::DeviceRegistered(event) => format!("device {} with key {}", event.device, event.key.id()),
        Event::DeviceRenamed(event) => format!("device {} is called {:?}", event.device, event.name),
        Event::DeviceRotated(event) => {
            format!("device {} took key {} for {}", event.device, event.key.id(), event.replaced)
        }
        Event::DeviceRevoked(event) => {
            format!("device {} signs nothing any more: {:?}", event.device, event.reason)
        }
        Event::DeviceAttested(event) => {
            format!("device {} by {}: {:?}", event.device, event.format, event.verdict)
        }
        Event::StepUpTermsSet(event) => {
            format!(
                "{} rules ask for a second factor, for {}",
                event.terms.rules.len(),
                event.terms.relying_party
            )
        }
        Event::PasskeyEnrolled(event) => format!("passkey {} approves", event.credential),
        Event::PasskeyRemoved(event) => format!("passkey {} approves nothing any more", event.credential),
        Event::TotpEnrolled(event) => format!("codes of app {} approve", event.authenticator),
        Event::TotpRemoved(event) => format!("codes of app {} approve nothing any more", event.authenticator),
        Event::RecoveryEnrolled(event) => format!("{} recovery codes approve", event.commitments.len()),
        Event::RecoveryRemoved(_) => "its recovery codes approve nothing any more".to_owned(),
        Event::CodeRefused(event) => {
            let locked = event.locked_until.map(|until| format!("; none is looked at until {until}"));
            format!("a wrong code, number {} in 15 minutes{}", event.tries, locked.unwrap_or_default())
        }
        Event::PasswordSet(_) => "has a new password, and its sessions have ended".to_owned(),
        Event::PasswordRemoved(_) => "has no password any more, and its sessions have ended".to_owned(),
        Event::SignInFailed(event) => format!("a wrong password, number {}", event.failures),
        Event::SessionStarted(event) => format!("session {} until {}", event.session, event.until),
        Event::SessionEnded(event) => format!("session {} ended", event.session),
        Event::ListingCreated(event) => format!("{:?} at {}", event.title, event.price),
        Event::StockReceived(event) => {
            let at = at(event.location.as_ref());
            format!("+{} units{at}, {} on hand", event.quantity.get(), event.on_hand)
        }
        Event::ListingUpdated(event) => {
            let price = event.price.map_or(String::new(), |price| format!(" at {price}"));
            format!("version {}{price}", event.version)
        }
        Event::ListingPaused(_) => "not sold for the time being".to_owned(),
        Event::ListingResumed(_) => "sold again".to_owned(),
        Event::ListingWithdrawn(_) => "not sold any more".to_owned(),
        Event::ListingDescribed(event) => {
            let category = event.category.as_ref().map_or("no category", |category| category.as_str());
            format!("described, {category}, {} tags", event.tags.len())
        }
        Event::SynonymsSet(event) => format!("{} groups of words mean the same", event.groups.len()),
        Event::ListingBlocked(event) => format!("may not be sold: {}", event.reason),
        Event::ListingUnblocked(event) => format!("may be sold again: {}", event.reason),
        Event::SellerSuspended(event) => format!("may not sell: {}", event.reason),
        Event::SellerReinstated(event) => format!("may sell again: {}", event.reason),
        Event::AccountSuspended(event) => format!("may ask for nothing: {}", event.reason),
        Event::AccountReinstated(event) => format!("may ask for everything again: {}", event.reason),
        Event::ClearanceGranted(event) => format!("may buy restricted goods: {}", event.reason),
        Event::ClearanceRevoked(event) => format!("may not buy restricted goods: {}", event.reason),
        Event::AccountVerified(event) => format!("known as tier {}", event.tier),
        Event::ProfileSet(event) => {
            let fields: Vec<String> = event.fields.keys().map(ToString::to_string).collect();
            format!("told its {}, which is not in the log", fields.join(", "))
        }
        Event::EncryptionKeySet(event) => match &event.key {
            Some(key) => format!("addresses are encrypted with {key}"),
            None => "takes no encrypted addresses".to_owned(),
        },
        Event::AddressSealed(event) => format!("with an address that only seller {} can read", event.seller),
        Event::AccountErased(_) => "nothing personal of it can be read any more".to_owned(),
        Event::TaxSet(event) => {
            let class = event.tax_class.as_ref().map_or("everything", |class| class.as_str());
            let how = if event.inclusive { "in" } else { "on top of" };
            format!("{class} is taxed with {} bps {how} the price", event.bps.get())
        }
        Event::ShippingRateSet(event) => {
            format!("{} to {} from {}", event.method, place(event.region.as_ref()), event.rate.flat())
        }
        Event::ShippingRateRemoved(event) => {
            format!("no more {} to {} in {}", event.method, place(event.region.as_ref()), event.currency)
        }
        Event::PromotionCreated(event) => {
            let code = event.code.as_ref().map_or(String::new(), |code| format!(" with code {code}"));
            let by = if event.seller.is_none() { ", paid by the platform" } else { "" };
            format!("{:?}: {}{code}{by}", event.title, benefit(event.gives))
        }
        Event::PromotionEnded(_) => "ended".to_owned(),
        Event::StockAdjusted(event) => {
            let at = at(event.location.as_ref());
            format!("{:+} units{at} ({}), {} on hand", event.delta, event.reason, event.on_hand)
        }
        Event::StockSafetySet(event) => {
            format!("{} units kept back from sale{}", event.units, at(event.location.as_ref()))
        }
        Event::StockMoved(event) => {
            let name = |location: &Option<Location>| {
                location.as_ref().map_or("no named location", Location::as_str).to_owned()
            };
            format!("{} units from {} to {}", event.quantity.get(), name(&event.from), name(&event.to))
        }
        Event::StockBackorderLimitSet(event) => format!("{} units may be sold in advance", event.units),
        Event::StockExpected(event) => {
            format!("{} units expected{} at {}", event.units, at(event.location.as_ref()), event.due)
        }
        Event::StockShortfallDetected(event) => {
            format!("{} units of {} reserved ones are missing", event.missing, event.reserved)
        }
        Event::ReservationsAllowed(event) => match event.units {
            0 => "units can't be reserved".to_owned(),
            units => format!("a buyer may reserve {units} units for {} ms", event.for_ms),
        },
        Event::StockReserved(event) => {
            format!(
                "{} units set aside by {} until {}",
                event.quantity.get(),
                event.account,
                event.expires_at
            )
        }
        Event::ReservationExtended(event) => format!("{} until {}", event.reservation, event.expires_at),
        Event::ReservationReleased(event) => {
            format!("{} units of {} given up", event.quantity.get(), event.reservation)
        }
        Event::ReservationExpired(event) => {
            format!("{} units of {} not ordered in time", event.quantity.get(), event.reservation)
        }
        Event::ReservationTakenUp(event) => {
            format!("{} units of {} in order {}", event.quantity.get(), event.reservation, event.order)
        }
        Event::PaymentRequested(event) => format!("{} until {}", event.amount, event.expires_at),
        Event::PaymentActionRequired(event) => format!("the buyer has to act: {}", event.kind),
        Event::PaymentAuthorized(event) => format!("{} held until {}", event.amount, event.capture_before),
        Event::PaymentCaptureRequested(event) => format!("{} to be taken", event.amount),
        Event::PaymentVoidRequested(event) => format!("to be given up: {}", event.because),
        Event::PaymentCaptured(event) => format!("+{} ({})", event.transfer.amount, event.reference),
        Event::PaymentFailed(event) => format!("refused: {}", event.code),
        Event::PaymentVoided(event) => format!("given up: {}", event.because),
        Event::RefundRequested(event) => format!("-{} to go back", event.transfer.amount),
        Event::PaymentRefunded(event) => format!("-{} ({})", event.transfer.amount, event.reference),
        Event::RefundFailed(event) => format!("+{}: {}", event.transfer.amount, event.code),
        Event::ChargebackInquired(event) => format!("{} asked about: {}", event.amount, event.reason),
        Event::InquiryClosed(event) => format!("{}: nothing is disputed", event.reference),
        Event::ChargebackOpened(event) => {
            format!("{}: {}, {}", event.amount, event.reason, moved(&event.transfers))
        }
        Event::ChargebackUpdated(event) => match event.due_by {
            Some(due_by) => {
                format!("{:?}, {} submissions, due by {due_by}", event.progress, event.submissions)
            }
            None => format!("{:?}, {} submissions", event.progress, event.submissions),
        },
        Event::EvidenceSubmitted(event) => format!("{} files by the {}", event.files.len(), event.by),
        Event::ChargebackAccepted(event) => format!("given up by the {}", event.by),
        Event::ChargebackPastDue(event) => format!("nobody answered by {}", event.due_by),
        Event::ChargebackFeeCharged(event) => format!("{} in all", event.fee),
        Event::ChargebackWon(event) => format!("won: {}", paid(&event.transfers)),
        Event::ChargebackLost(event) => format!("{} lost", event.transfer.amount),
        Event::ChargebackCovered(event) => format!("{} of what was advanced repaid", event.transfer.amount),
        Event::OrderResumed(_) => "goes on".to_owned(),
        Event::OrderChargedBack(event) => format!("goes on without {}", event.amount),
        Event::WalletRepaid(event) => format!("owed: {}", paid(&event.transfers)),
        Event::WriteOffProposed(event) => {
            format!("to write off {} owed as {}: {}", event.amount, event.role, event.reason)
        }
        Event::DebtWrittenOff(event) => {
            format!("{} of {} written off: {}", event.transfer.amount, event.transfer.to, event.reason)
        }
        Event::PayoutRequested(event) => format!("{} until {}", event.transfer.amount, event.due),
        Event::PayoutPaid(event) => format!("-{} ({})", event.transfer.amount, event.reference),
        Event::PayoutFailed(event) => format!("+{}: {}", event.transfer.amount, event.code),
        Event::PayoutReturned(event) => format!("+{} came back: {}", event.transfer.amount, event.code),
        Event::ReserveReleased(event) => {
            let kept: Vec<String> = event.transfers.iter().map(|one| one.amount.to_string()).collect();
            format!("{} no longer kept", kept.join(" and "))
        }
        Event::PayoutOverdue(_) => "nobody has said what came of it".to_owned(),
        Event::ReconciliationReported(event) => {
            let (matched, opened) = (event.matched, event.opened.len());
            format!("a file compared: {matched} movements are the same, {opened} breaks opened")
        }
        Event::BreakResolved(event) => format!("break {} resolved: {}", event.number, event.reason),
        Event::WalletFunded(event) => format!("+{} ({})", event.transfer.amount, event.reference),
        Event::WalletExchanged(event) => {
            let [taken, given] = event.transfers;
            format!("-{} +{} ({})", taken.amount, given.amount, event.reference)
        }
        Event::CartItemAdded(event) => format!("{} of listing {}", event.quantity.get(), event.listing),
        Event::CartQuantitySet(event) => format!("{} of listing {}", event.quantity.get(), event.listing),
        Event::CartItemRemoved(event) => format!("no more of listing {}", event.listing),
        Event::CartCleared(_) => "emptied".to_owned(),
        Event::CartMigrated(_) => "became orders".to_owned(),
        Event::CartSavedForLater(event) => format!("listing {} saved for later", event.listing),
        Event::CartMovedBack(event) => format!("{} of listing {}", event.quantity.get(), event.listing),
        Event::CartMerged(event) => format!("{} lines of cart {}", event.lines.len(), event.source.cart),
        Event::CartNamed(event) => match &event.name {
            Some(name) => format!("called {name:?}"),
            None => "has no name any more".to_owned(),
        },
        Event::CartShared(event) => format!("shared with {}", event.with),
        Event::CartUnshared(event) => match event.by {
            Some(by) => format!("left by {by}"),
            None => format!("no longer shared with {}", event.with),
        },
        Event::CartCouponApplied(event) => format!("to be bought with coupon {}", event.coupon),
        Event::CartCouponRemoved(event) => format!("without coupon {}", event.coupon),
        Event::CartFrozen(event) => format!("frozen until {}", event.until),
        Event::CartUnfrozen(_) => "can be edited again".to_owned(),
        Event::CartRestored(event) => format!("{} lines of cart {}", event.lines.len(), event.from),
        Event::CartAbandoned(_) => "nobody touched it for long".to_owned(),
        Event::OrderPlaced(event) => {
            let units: u64 = event.lines.iter().map(|line| u64::from(line.quantity.get())).sum();
            let number = event.number.map_or(String::new(), |number| format!("{number}: "));
            let waits = event.accept_by.map_or(String::new(), |until| format!(", to be accepted by {until}"));
            let instead = event.replaces.map_or(String::new(), |Replaces { number, order }| {
                format!(", for return {number} of order {order}")
            });
            format!("{number}{units} units for {} by buyer {}{waits}{instead}", event.total, event.buyer)
        }
        Event::OrderAccepted(event) => format!("to be shipped by {}", event.ship_by),
        Event::OrderAuthorized(event) => {
            format!("{} is held for it, to be charged by {}", event.payment, event.capture_by)
        }
        Event::AuthorizationExpiring(event) => {
            format!("{} is held for it and to be charged by {}: soon", event.payment, event.capture_by)
        }
        Event::OrderPaid(event) => match event.payment {
            Some(payment) => format!("paid with {payment}, to ship by {}", event.ship_by),
            None => format!("paid out of the wallet, to ship by {}", event.ship_by),
        },
        Event::OrderReallocated(event) => {
            let part = |part: &Reallocation| format!("{} units to {}", part.quantity.get(), part.to);
            let parts: Vec<String> = event.units.iter().map(part).collect();
            parts.join(", ")
        }
        Event::OrderShipped(event) => {
            format!(
                "shipment {}: {}, to arrive by {}",
                event.shipment,
                units(&event.lines),
                event.delivery_due
            )
        }
        Event::OrderDelivered(event) => {
            format!("shipment {}: inspection ends {}", event.shipment, event.inspection_ends)
        }
        Event::OrderCancelled(event) => {
            let units = units(&event.lines);
            let reason = event.reason.as_ref().map_or(String::new(), |reason| format!(": {reason}"));
            match event.by {
                CancelledBy::ShipDeadline => format!("{units}: nobody shipped in time"),
                CancelledBy::AcceptDeadline => format!("{units}: nobody accepted in time"),
                CancelledBy::PaymentDeadline => format!("{units}: nobody paid in time"),
                CancelledBy::PaymentFailed => format!("{units}: the payment failed"),
                CancelledBy::AuthorizationExpired => format!("{units}: not charged in time"),
                CancelledBy::Change => format!("{units} by the change"),
                CancelledBy::Review => format!("{units}: the review declined it"),
                CancelledBy::Chargeback => format!("{units} since the bank gave the money back"),
                CancelledBy::Account(role) => {
                    format!("{units} by the {role}{reason}")
                }
            }
        }
        Event::OrderRefunded(event) => {
            let by = event.by;
            format!("shipment {}: {} given back by the {by}: {}", event.shipment, event.amount, event.reason)
        }
        Event::ChangeProposed(event) => {
            let reason = event.reason.as_ref().map_or(String::new(), |reason| format!(": {reason}"));
            let (by, due, until) = (event.by, event.due, event.expires_at);
            format!("{} proposed by the {by}, {due}, to be answered by {until}{reason}", change(event))
        }
        Event::ChangeDeclined(event) => {
            let reason = event.reason.as_ref().map_or(String::new(), |reason| format!(": {reason}"));
            format!("declined by the {}{reason}", event.by)
        }
        Event::ChangeWithdrawn(event) => format!("withdrawn by the {}", event.by),
        Event::ChangeLapsed(event) => format!("lapsed: {}", event.why),
        Event::OrderChanged(event) => {
            let units = added(&event.added);
            format!("version {}, accepted by the {}: {units} for {}", event.version, event.by, event.due)
        }
        Event::EscrowHeld(event) => format!("{} held", event.transfer.amount),
        Event::EscrowSubsidized(event) => format!("{} paid by the platform", event.transfer.amount),
        Event::SubsidyReturned(event) => format!("{} back to the platform", event.transfer.amount),
        Event::EscrowReleased(event) => paid(&event.transfers),
        Event::EscrowRefunded(event) => match event.transfer {
            Some(transfer) => format!("{} back to the buyer", transfer.amount),
            None => "nothing had been paid".to_owned(),
        },
        Event::OrderHeld(event) => format!("on hold, {}: {}", event.reason, event.note),
        Event::UnholdRequested(event) => format!("operator {} asks for the hold to be lifted", event.by),
        Event::OrderUnheld(event) => format!("operator {} agrees: it goes on", event.agreed_by),
        Event::EscrowFrozen(event) => {
            let (amount, reason) = (event.transfer.amount, event.reason);
            format!("shipment {}: {amount} frozen until {}, {reason}", event.shipment, event.due)
        }
        Event::EscrowUnfrozen(event) => {
            format!("shipment {}: {} free again", event.shipment, event.transfer.amount)
        }
        Event::SettlementProposed(event) => format!(
            "shipment {}: {} to the seller, {} to the buyer, if another operator agrees",
            event.shipment, event.to_seller, event.to_buyer
        ),
        Event::ReleaseScheduled(event) => {
            format!("shipment {}: {}, released at {}", event.shipment, event.condition, event.due)
        }
        Event::MilestoneSigned(event) => {
            format!("shipment {}: milestone {} is signed", event.shipment, event.milestone)
        }
        Event::RiskCleared(event) => {
            let note = event.note.as_ref().map_or(String::new(), |note| format!(": {note}"));
            format!("operator {} clears it of risk{note}", event.by)
        }
        Event::RiskRulesProposed(_)
        | Event::RiskRulesSet(_)
        | Event::RiskAssessed(_)
        | Event::ReviewOpened(_)
        | Event::ReviewClaimed(_)
        | Event::ReviewDecided(_)
        | Event::OrderLabelled(_) => risk::describe(event),
        Event::WebhookRegistered(event) => format!("{} is told of {}", event.url, listed(&event.types)),
        Event::WebhookUpdated(event) if !event.on => "switched off".to_owned(),
        Event::WebhookUpdated(event) => format!("{} is told of {}", event.url, listed(&event.types)),
        Event::WebhookSecretRotated(event) => match &event.replaced {
            Some(replaced) => format!("another secret; the one before signs too until {}", replaced.until),
            None => "another secret; the one before signs no more".to_owned(),
        },
        Event::PushSubscribed(event) => match event.channel {
            Channel::Web => "a browser is told what happens".to_owned(),
            Channel::Fcm => "an app is told what happens, by FCM".to_owned(),
            Channel::Apns => "an app is told what happens, by APNs".to_owned(),
        },
        Event::PushUnsubscribed(event) => format!(
            "a device is told of nothing any more: {}",
            match event.because {
                UnsubscribedBecause::Owner => "its owner wants it so",
                UnsubscribedBecause::Gone => "the service knows it no more",
            }
        ),
        Event::PushPreferencesSet(event) => {
            let quiet = event.quiet.as_ref().map_or_else(String::new, |quiet| {
                format!(", quiet from {} to {} ({})", quiet.from, quiet.to, quiet.utc_offset)
            });
            format!("told of all but {} topics{quiet}", event.muted.len())
        }
        Event::PushReached(event) => format!("notifications were made up to position {}", event.position),
        Event::WebhookRemoved(_) => "nothing is told any more".to_owned(),
        Event::WebhookReached(event) => format!("told up to position {}", event.position),
        Event::LetterReplaced(event) => {
            format!("something else is sent of the event at position {}", event.position)
        }
        Event::LetterDropped(event) => format!("nothing is sent of the event at position {}", event.position),
        Event::WebhookDisabled(event) => format!(
            "off, told up to position {}: {}",
            event.position,
            match event.because {
                DisabledBecause::Failing => "it took nothing for too long",
                DisabledBecause::Gone => "nobody is there any more",
                DisabledBecause::TooManyLetters => "it refused as many messages as are kept",
            }
        ),
        Event::ReturnRequested(event) => {
            format!(
                "return {}: {} of shipment {}, {}",
                event.number,
                units(&event.lines),
                event.shipment,
                event.reason
            )
        }
        Event::ReturnApproved(event) => {
            format!("return {}: to be sent by {}, decided by {}", event.number, event.send_by, event.by)
        }
        Event::ReplacementReserved(event) => {
            format!("return {}: {} to replace it", event.number, reserved(&event.lines))
        }
        Event::ReplacementGivenUp(event) => match event.freed.as_slice() {
            [] => format!("return {}: nothing replaces it, {}", event.number, event.why),
            freed => format!(
                "return {}: nothing replaces it, {}; {} are free",
                event.number,
                event.why,
                reserved(freed)
            ),
        },
        Event::ReturnRejected(event) => format!("return {}: {}", event.number, event.reason),
        Event::ReturnAppealed(event) => {
            format!("return {}: {}, to be decided by {}", event.number, event.note, event.decide_by)
        }
        Event::ReturnDecisionProposed(event) => {
            format!("return {}: decided, if another operator agrees: {}", event.number, event.note)
        }
        Event::ReturnSent(event) => {
            format!("return {}: to be looked at by {}", event.number, event.inspect_by)
        }
        Event::ReturnReceived(event) => received(event),
        Event::ReturnRefunded(event) => match event.transfers.as_slice() {
            [] => format!("return {}: {} go back", event.number, event.amount),
            transfers => format!("return {}: {} go back, {}", event.number, event.amount, moved(transfers)),
        },
        Event::ReturnEnded(event) => format!("return {}: {}", event.number, event.outcome),
        Event::OrderClosed(event) => format!("{:?}: nothing of it can be returned any more", event.state),
        Event::EscrowSettled(event) => format!("shipment {}: {}", event.shipment, paid(&event.transfers)),
    }
}

/// Counts units that are kept for a replacement, or were.
fn reserved(lines: &[ReplacementUnits]) -> String {
    let count: u64 = lines.iter().map(|line| u64::from(line.quantity.get())).sum();
    format!("{count} units")
}

/// Names what a webhook is told of.
fn listed(types: &BTreeSet<EventFilter>) -> String {
    types.iter().map(EventFilter::as_str).collect::<Vec<_>>().join(", ")
}

/// Names a location, if there is one.
fn at(location: Option<&Location>) -> String {
    location.map_or_else(String::new, |location| format!(" at {location}"))
}

fn place(region: Option<&Region>) -> &str {
    region.map_or("everywhere", Region::as_str)
}

fn benefit(gives: Benefit) -> String {
    match gives {
        Benefit::Percent(bps) => format!("{} bps off", bps.get()),
        Benefit::Amount(amount) => format!("{amount} off"),
    }
}

/// Tells how units came back.
fn received(event: &Received) -> String {
    let count =
        |of: fn(&ReceivedUnits) -> u32| event.lines.iter().map(|line| u64::from(of(line))).sum::<u64>();
    let (intact, damaged) = (count(|line| line.intact), count(|line| line.damaged));
    let (missing, wrong) = (count(|line| line.missing), count(|line| line.wrong));
    let kept = event.deduction.as_ref().map(|kept| format!(", {} to be kept: {}", kept.amount, kept.note));
    format!(
        "return {}: {intact} intact, {damaged} damaged, {missing} missing, {wrong} wrong{}",
        event.number,
        kept.unwrap_or_default()
    )
}

/// Tells from where how much goes to whom.
fn moved(transfers: &[Transfer]) -> String {
    let parts: Vec<String> =
        transfers.iter().map(|part| format!("{} from {} to {}", part.amount, part.from, part.to)).collect();
    parts.join(", ")
}

/// Tells who gets how much.
fn paid(transfers: &[Transfer]) -> String {
    let parts: Vec<String> = transfers.iter().map(|part| format!("{} to {}", part.amount, part.to)).collect();
    parts.join(", ")
}

/// Tells what a proposed change does.
fn change(proposed: &ChangeProposed) -> String {
    match (proposed.added.as_slice(), proposed.removed.as_slice()) {
        (added_lines, []) => added(added_lines),
        ([], removed) => format!("{} removed", units(removed)),
        (added_lines, removed) => format!("{}, {} removed", added(added_lines), units(removed)),
    }
}

fn added(lines: &[Line]) -> String {
    match lines.iter().map(|line| u64::from(line.quantity.get())).sum() {
        0u64 => "nothing added".to_owned(),
        1 => "1 unit added".to_owned(),
        count => format!("{count} units added"),
    }
}

/// Counts units; events of the first version name none and mean all.
fn units(lines: &[LineUnits]) -> String {
    match lines.iter().map(|line| u64::from(line.quantity.get())).sum() {
        0u64 => "all units".to_owned(),
        1 => "1 unit".to_owned(),
        count => format!("{count} units"),
    }
}

#[cfg(test)]
mod tests {
    use events::Timestamp;
    use events::ids::{AccountId, PaymentId};
    use events::payment::{ActionKind, ActionRequired};
    use uuid::Uuid;

    use super::*;

    #[test]
    fn what_a_buyer_has_to_do_is_told_in_the_word_that_the_log_has() {
        let (account, provider) =
            (AccountId::from_uuid(Uuid::from_u128(1)), AccountId::from_uuid(Uuid::from_u128(2)));
        for kind in [ActionKind::ThreeDs, ActionKind::Mfa, ActionKind::Redirect] {
            let event = ActionRequired {
                account,
                expires_at: Timestamp::from_ms(0),
                kind,
                payment: PaymentId::from_uuid(Uuid::from_u128(3)),
                provider,
                reference: "r".to_owned(),
                url: None,
            };
            let word = serde_json::to_value(kind).unwrap();
            let said = summary(&event.into());
            assert_eq!(
                Some(said.as_str()),
                word.as_str().map(|word| format!("the buyer has to act: {word}")).as_deref()
            );
        }
    }
}
