//! What can be asked of a market. Bodies are parsed once, here; nothing behind checks their form again.

use std::borrow::Cow;

use events::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::card;
use crate::market::Market;
use crate::refusal::Refusal;
use crate::reservation::OPEN_RESERVATIONS_MAX;
use crate::spelling;

mod accounts;
mod carts;
mod catalogue;
mod change;
mod chargebacks;
mod checkout;
mod devices;
mod escrow;
mod exchange;
mod inside;
mod market_keys;
mod orders;
mod payments;
mod privacy;
mod push;
mod reconciliation;
mod reservations;
mod returns;
mod risk;
mod search;
mod sign_in;
mod step_up;
mod team;
mod webhooks;

pub use accounts::{ReinstateAccount, SuspendAccount};
pub use carts::{
    AddToCart, ClearCart, FreezeCart, MergeCart, MoveBack, RemoveFromCart, RestoreCart, SaveForLater,
    SetCartQuantity, UnfreezeCart,
};
pub use catalogue::{
    ATTRIBUTE_NAME_LENGTH_MAX, ATTRIBUTE_VALUE_LENGTH_MAX, ATTRIBUTES_MAX, AdjustStock, AskedVariant,
    Attributes, BlockListing, CreateListing, Delta, ExpectStock, GrantClearance, MoveStock, PauseListing,
    ReceiveStock, ReinstateSeller, ResumeListing, RevokeClearance, STOCK_MAX, SetBackorderLimit,
    SetSafetyStock, SuspendSeller, UnblockListing, Units, UpdateListing, WithdrawListing,
};
pub use change::{AcceptChange, ChangedLine, DeclineChange, ProposeChange, UnitCount, WithdrawChange};
pub use chargebacks::{
    AcceptChargeback, AskedFile, EVIDENCE_BYTES_MAX, EVIDENCE_FILES_MAX, RepayDebt, ReportChargeback,
    STATEMENT_LENGTH_MAX, Standing, SubmitEvidence, WriteOffDebt,
};
pub use checkout::{
    ApplyCoupon, CreatePromotion, Delivery, EndPromotion, RemoveCoupon, RemoveShippingRate,
    SEALED_ADDRESSES_MAX, SetShippingRate, SetTax, VerifyAccount,
};
pub use devices::{
    AttestDevice, DEVICE_NAME_LENGTH_MAX, DeviceProof, EnrollDevice, RegisterAccount, RegisterDevice,
    RenameDevice, ReportLost, RevokeDevice, RotateDevice,
};
pub use escrow::{
    ClearRisk, FreezeEscrow, HoldOrder, ReleaseEscrow, SettleEscrow, SignMilestone, UnfreezeEscrow,
    UnholdOrder,
};
pub use exchange::{ExchangeMoney, ExchangeQuote, VerifiedExchange};
pub use inside::{CartClaim, Quote, VerifiedClaim, VerifiedQuote};
pub use market_keys::{RetireMarketKey, RotateMarketKey};
pub use orders::{
    AcceptOrder, CancelOrder, ConfirmDelivery, DeclineOrder, LineQuantity, MigrateCart, OrderLine, PayOrder,
    PaymentMethod, PlaceOrder, ReadyOrder, RefundOrder, SetUpEscrow, ShipOrder, Tenders,
};
pub use payments::{
    CancelPayment, FundWallet, PayoutOutcome, ProviderMethod, RefundPayment, ReportPayment, ReportPayout,
    ReportedOutcome, RequestPayment, RequestPayout,
};
pub use privacy::{EraseAccount, SealedAddress, SetEncryptionKey, SetProfile};
pub use push::{DropPush, ReportPush, SetPushPreferences, SubscribePush, UnsubscribePush};
pub use reconciliation::{
    BREAKS_PER_REPORT_MAX, CURRENCIES_PER_REPORT_MAX, FoundBreak, ReportReconciliation, ResolveBreak, UpTo,
};
pub use reservations::{
    AllowReservations, ExtendReservation, RESERVATION_MS, RESERVATION_MS_MAX, RESERVATION_MS_MIN,
    ReleaseReservation, ReservationTime, ReserveStock,
};
pub use risk::{ClaimReview, DecideReview, LabelOrder, SetRiskRules};
pub use search::{
    DESCRIPTION_LENGTH_MAX, DescribeListing, SYNONYM_GROUPS_MAX, SYNONYM_LENGTH_MAX, SYNONYMS_MAX,
    SetSynonyms, SynonymGroup, TAG_LENGTH_MAX, TAGS_MAX, Tags,
};
pub use sign_in::{EndSession, RemovePassword, ReportSignInFailed, SetPassword, StartSession};
pub use step_up::{
    EnrollPasskey, EnrollRecovery, EnrollTotp, RemovePasskey, RemoveRecovery, RemoveTotp, SetStepUpTerms,
};
pub use team::{LeaveCart, NameCart, ShareCart, UnshareCart};
pub use webhooks::{
    DropLetter, FILTERS_MAX, Filters, KEEP_MS_MAX, KeepTime, LETTER_BYTES_MAX, LetterData, RegisterWebhook,
    RemoveWebhook, ReplaceLetter, ReportWebhook, RotateWebhookSecret, UpdateWebhook,
};

pub use returns::{
    AppealReturn, ApproveReturn, CancelReturn, DecideReturn, Exchange, ReceiveReturn, RejectReturn,
    RequestReturn, ReturnDecision, SendReturn, Substitute,
};

/// Largest command, in bytes as it arrives.
pub const COMMAND_BYTES_MAX: usize = 32 * 1024;
/// Most lines of a cart or an order.
pub const LINES_MAX: usize = 100;
/// Most lines of an order that can have a quote: each costs the check of one more signature, so one command costs
/// at most one more than this.
pub const QUOTES_MAX: usize = 16;

/// Longest title of a listing, in characters.
pub const TITLE_LENGTH_MAX: usize = 200;
/// Longest reference, carrier or tracking number, in characters.
pub const REFERENCE_LENGTH_MAX: usize = 64;
/// Longest address of a page where a buyer confirms a payment, in characters.
pub const URL_LENGTH_MAX: usize = 1024;
/// Longest name of a cart, in characters.
pub const CART_NAME_LENGTH_MAX: usize = 64;
/// Longest reason given for a cancellation, in characters.
pub const REASON_LENGTH_MAX: usize = 200;

/// A text of 1 to `MAX` characters without control characters, in which nothing looks like a card's number: what is
/// signed may be kept for ever, and such a number must not be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Text<const MAX: usize>(String);

impl<const MAX: usize> Text<MAX> {
    /// Gives the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const MAX: usize> TryFrom<String> for Text<MAX> {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let length = text.chars().count();
        if length == 0 || length > MAX || text.chars().any(char::is_control) {
            return Err(format!("a text must have 1 to {MAX} characters and no control characters"));
        }
        if card::looks_like_a_number(&text) {
            return Err(
                "a text must hold nothing that looks like a card's number: cards are given to the provider, \
                        which gives a token"
                    .to_owned(),
            );
        }
        Ok(Text(text))
    }
}

impl<'de, const MAX: usize> Deserialize<'de> for Text<MAX> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Text::try_from(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl<const MAX: usize> JsonSchema for Text<MAX> {
    fn schema_name() -> Cow<'static, str> {
        format!("Text{MAX}").into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let description = format!("1 to {MAX} characters, no control characters");
        json_schema!({"type": "string", "minLength": 1, "maxLength": MAX, "description": description})
    }
}

macro_rules! commands {
    ($($name:literal => $variant:ident($body:ident)),* $(,)?) => {
        /// What kind of command it is: its name, without what it asks for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum CommandKind {$(
            #[doc = concat!("`", $name, "`")]
            $variant,
        )*}

        impl CommandKind {
            /// Every kind, in the order of this list.
            pub const ALL: &'static [CommandKind] = &[$(CommandKind::$variant),*];

            /// Gives the name it is asked for with (`cmd`).
            pub const fn name(self) -> &'static str {
                match self {$(CommandKind::$variant => $name,)*}
            }
        }

        /// Anything that can be asked of a market.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Command {$(
            #[doc = concat!("`", $name, "`")]
            $variant($body),
        )*}

        impl Command {
            /// Every command's name, in the order of this list.
            pub const NAMES: &'static [&'static str] = &[$($name),*];

            /// Tells what kind of command it is.
            pub const fn kind(&self) -> CommandKind {
                match self {$(Command::$variant(_) => CommandKind::$variant,)*}
            }

            /// Gives the name it is asked for with (`cmd`).
            pub const fn name(&self) -> &'static str {
                self.kind().name()
            }

            /// Reads a body, which must be spelled as [`Command::body`] writes it (the order of members and the
            /// spelling of texts and numbers in JSON aside): a wish has one spelling, and so one fingerprint.
            pub fn parse(name: &str, body: &serde_json::Value) -> Result<Command, Refusal> {
                let invalid = |rule| Refusal::BodyInvalid { rule };
                match name {
                    $($name => spelling::read(body).map(Command::$variant).map_err(invalid),)*
                    unknown => Err(Refusal::CmdUnknown { name: unknown.chars().take(64).collect() }),
                }
            }

            /// Writes the body.
            pub fn body(&self) -> serde_json::Value {
                match self {$(Command::$variant(body) => serde_json::to_value(body),)*}
                    .expect("a command holds nothing that JSON can't say")
            }

            /// Makes the JSON Schema of every command's body, titled with its name.
            pub fn schemas() -> Vec<(&'static str, schemars::Schema)> {
                let titled = |name: &'static str, mut schema: schemars::Schema| {
                    schema.insert("title".to_owned(), name.into());
                    (name, schema)
                };
                vec![$(titled($name, schemars::schema_for!($body)),)*]
            }
        }

        $(impl From<$body> for Command {
            fn from(body: $body) -> Command {
                Command::$variant(body)
            }
        })*
    };
}

commands! {
    "account.register" => RegisterAccount(RegisterAccount),
    "device.register" => RegisterDevice(RegisterDevice),
    "device.enroll" => EnrollDevice(EnrollDevice),
    "device.rename" => RenameDevice(RenameDevice),
    "device.rotate" => RotateDevice(RotateDevice),
    "device.revoke" => RevokeDevice(RevokeDevice),
    "device.report_lost" => ReportLost(ReportLost),
    "device.attest" => AttestDevice(AttestDevice),
    "account.set_profile" => SetProfile(SetProfile),
    "seller.set_encryption_key" => SetEncryptionKey(SetEncryptionKey),
    "account.erase" => EraseAccount(EraseAccount),
    "market.rotate_key" => RotateMarketKey(RotateMarketKey),
    "market.retire_key" => RetireMarketKey(RetireMarketKey),
    "step_up.set_terms" => SetStepUpTerms(SetStepUpTerms),
    "step_up.enroll_passkey" => EnrollPasskey(EnrollPasskey),
    "step_up.remove_passkey" => RemovePasskey(RemovePasskey),
    "step_up.enroll_totp" => EnrollTotp(EnrollTotp),
    "step_up.remove_totp" => RemoveTotp(RemoveTotp),
    "step_up.enroll_recovery" => EnrollRecovery(EnrollRecovery),
    "step_up.remove_recovery" => RemoveRecovery(RemoveRecovery),
    "sign_in.set_password" => SetPassword(SetPassword),
    "sign_in.remove_password" => RemovePassword(RemovePassword),
    "sign_in.report_failed" => ReportSignInFailed(ReportSignInFailed),
    "session.start" => StartSession(StartSession),
    "session.end" => EndSession(EndSession),
    "listing.create" => CreateListing(CreateListing),
    "stock.receive" => ReceiveStock(ReceiveStock),
    "listing.update" => UpdateListing(UpdateListing),
    "listing.pause" => PauseListing(PauseListing),
    "listing.resume" => ResumeListing(ResumeListing),
    "listing.withdraw" => WithdrawListing(WithdrawListing),
    "listing.describe" => DescribeListing(DescribeListing),
    "search.set_synonyms" => SetSynonyms(SetSynonyms),
    "listing.block" => BlockListing(BlockListing),
    "listing.unblock" => UnblockListing(UnblockListing),
    "seller.suspend" => SuspendSeller(SuspendSeller),
    "seller.reinstate" => ReinstateSeller(ReinstateSeller),
    "account.suspend" => SuspendAccount(SuspendAccount),
    "account.reinstate" => ReinstateAccount(ReinstateAccount),
    "account.grant_clearance" => GrantClearance(GrantClearance),
    "account.revoke_clearance" => RevokeClearance(RevokeClearance),
    "account.verify" => VerifyAccount(VerifyAccount),
    "tax.set" => SetTax(SetTax),
    "shipping.set" => SetShippingRate(SetShippingRate),
    "shipping.remove" => RemoveShippingRate(RemoveShippingRate),
    "promotion.create" => CreatePromotion(CreatePromotion),
    "promotion.end" => EndPromotion(EndPromotion),
    "stock.adjust" => AdjustStock(AdjustStock),
    "stock.set_safety" => SetSafetyStock(SetSafetyStock),
    "stock.set_backorder_limit" => SetBackorderLimit(SetBackorderLimit),
    "stock.expect" => ExpectStock(ExpectStock),
    "stock.move" => MoveStock(MoveStock),
    "wallet.fund" => FundWallet(FundWallet),
    "payment.request" => RequestPayment(RequestPayment),
    "payment.cancel" => CancelPayment(CancelPayment),
    "payment.refund" => RefundPayment(RefundPayment),
    "payment.report" => ReportPayment(ReportPayment),
    "chargeback.report" => ReportChargeback(ReportChargeback),
    "chargeback.submit_evidence" => SubmitEvidence(SubmitEvidence),
    "chargeback.accept" => AcceptChargeback(AcceptChargeback),
    "wallet.repay" => RepayDebt(RepayDebt),
    "debt.write_off" => WriteOffDebt(WriteOffDebt),
    "payout.request" => RequestPayout(RequestPayout),
    "payout.report" => ReportPayout(ReportPayout),
    "reconciliation.report" => ReportReconciliation(ReportReconciliation),
    "reconciliation.resolve" => ResolveBreak(ResolveBreak),
    "cart.add" => AddToCart(AddToCart),
    "cart.set_quantity" => SetCartQuantity(SetCartQuantity),
    "cart.remove" => RemoveFromCart(RemoveFromCart),
    "cart.clear" => ClearCart(ClearCart),
    "cart.migrate" => MigrateCart(MigrateCart),
    "cart.save_for_later" => SaveForLater(SaveForLater),
    "cart.move_back" => MoveBack(MoveBack),
    "cart.merge" => MergeCart(MergeCart),
    "cart.apply_coupon" => ApplyCoupon(ApplyCoupon),
    "cart.remove_coupon" => RemoveCoupon(RemoveCoupon),
    "cart.name" => NameCart(NameCart),
    "cart.share" => ShareCart(ShareCart),
    "cart.unshare" => UnshareCart(UnshareCart),
    "cart.leave" => LeaveCart(LeaveCart),
    "cart.freeze" => FreezeCart(FreezeCart),
    "cart.unfreeze" => UnfreezeCart(UnfreezeCart),
    "cart.restore" => RestoreCart(RestoreCart),
    "order.place" => PlaceOrder(PlaceOrder),
    "order.accept" => AcceptOrder(AcceptOrder),
    "order.decline" => DeclineOrder(DeclineOrder),
    "order.pay" => PayOrder(PayOrder),
    "order.ready" => ReadyOrder(ReadyOrder),
    "order.ship" => ShipOrder(ShipOrder),
    "order.confirm_delivery" => ConfirmDelivery(ConfirmDelivery),
    "order.cancel" => CancelOrder(CancelOrder),
    "order.refund" => RefundOrder(RefundOrder),
    "order.propose_change" => ProposeChange(ProposeChange),
    "order.accept_change" => AcceptChange(AcceptChange),
    "order.decline_change" => DeclineChange(DeclineChange),
    "order.withdraw_change" => WithdrawChange(WithdrawChange),
    "order.hold" => HoldOrder(HoldOrder),
    "order.unhold" => UnholdOrder(UnholdOrder),
    "escrow.freeze" => FreezeEscrow(FreezeEscrow),
    "escrow.unfreeze" => UnfreezeEscrow(UnfreezeEscrow),
    "escrow.settle" => SettleEscrow(SettleEscrow),
    "escrow.release" => ReleaseEscrow(ReleaseEscrow),
    "escrow.setup" => SetUpEscrow(SetUpEscrow),
    "stock.allow_reservations" => AllowReservations(AllowReservations),
    "stock.reserve" => ReserveStock(ReserveStock),
    "stock.extend_reservation" => ExtendReservation(ExtendReservation),
    "stock.release_reservation" => ReleaseReservation(ReleaseReservation),
    "wallet.exchange" => ExchangeMoney(ExchangeMoney),
    "escrow.sign_milestone" => SignMilestone(SignMilestone),
    "order.clear_risk" => ClearRisk(ClearRisk),
    "return.request" => RequestReturn(RequestReturn),
    "return.approve" => ApproveReturn(ApproveReturn),
    "return.reject" => RejectReturn(RejectReturn),
    "return.appeal" => AppealReturn(AppealReturn),
    "return.decide" => DecideReturn(DecideReturn),
    "return.send" => SendReturn(SendReturn),
    "return.receive" => ReceiveReturn(ReceiveReturn),
    "return.cancel" => CancelReturn(CancelReturn),
    "risk.set_rules" => SetRiskRules(SetRiskRules),
    "risk.claim" => ClaimReview(ClaimReview),
    "risk.decide" => DecideReview(DecideReview),
    "risk.label" => LabelOrder(LabelOrder),
    "webhook.register" => RegisterWebhook(RegisterWebhook),
    "webhook.update" => UpdateWebhook(UpdateWebhook),
    "webhook.rotate_secret" => RotateWebhookSecret(RotateWebhookSecret),
    "webhook.remove" => RemoveWebhook(RemoveWebhook),
    "webhook.report" => ReportWebhook(ReportWebhook),
    "webhook.replace_letter" => ReplaceLetter(ReplaceLetter),
    "webhook.drop_letter" => DropLetter(DropLetter),
    "push.subscribe" => SubscribePush(SubscribePush),
    "push.unsubscribe" => UnsubscribePush(UnsubscribePush),
    "push.set_preferences" => SetPushPreferences(SetPushPreferences),
    "push.report" => ReportPush(ReportPush),
    "push.drop" => DropPush(DropPush),
}

impl Command {
    /// Gives a bound of the events that deciding this command can give in this state.
    pub fn events_max(&self, market: &Market) -> usize {
        let sealed =
            |delivery: Option<&Delivery>| delivery.map_or(0, |delivery| delivery.sealed_addresses.len());
        match self {
            // An arrival and a payment for each shipment.
            Command::ConfirmDelivery(body) => {
                let open = market.orders.get(body.order).map_or(0, |order| order.shipments_open());
                (2 * open).max(1)
            }
            // The word, and what comes of it for each shipment.
            Command::ClearRisk(body) => {
                1 + market.orders.get(body.order).map_or(0, |order| order.shipments_open())
            }
            // An order and its escrow for each line at most, what of each was set aside, the payment, and what was made of its risk; a
            // refusal is one event.
            Command::PlaceOrder(body) => {
                let lines = body.lines.len().min(LINES_MAX);
                let judged = if market.risk_rules().is_some() { 2 } else { 0 };
                let orders = market.promotions.events_per_order_max() * lines;
                orders + lines.min(OPEN_RESERVATIONS_MAX) + 1 + judged + sealed(body.delivery.as_ref())
            }
            // The same, and the migration itself.
            Command::MigrateCart(body) => {
                let orders = market.promotions.events_per_order_max() * LINES_MAX;
                orders + OPEN_RESERVATIONS_MAX + 4 + sealed(body.delivery.as_ref())
            }
            // The units, their money, the platform's part of that, and what becomes of the payment and of one that is asked for
            // in its place.
            Command::CancelOrder(_)
            | Command::DeclineOrder(_)
            | Command::ReadyOrder(_)
            | Command::RefundOrder(_)
            | Command::SetUpEscrow(_)
            // Its deadlines, and its end if its payment ended meanwhile.
            | Command::UnholdOrder(_) => 5,
            // The payment, what was made of its risk, and that the order is reviewed.
            Command::PayOrder(_) => 3,
            // That, and the word.
            Command::DecideReview(_) => 6,
            Command::AcceptChange(body) => crate::order::change_events_max(market, body.order),
            // That a change lapses, that units leave from elsewhere, and that they leave.
            Command::ShipOrder(_) => 3,
            // What is received and its end, what moves of its money, what of that goes back to a card, and what is placed and paid in
            // its place.
            Command::ReceiveReturn(_) | Command::DecideReturn(_) => 6,
            // That nothing replaces it, its end, and its money.
            Command::CancelReturn(_) => 3,
            // What the provider did, for each order that waits for it that it is paid, or three events if it is cancelled, and,
            // where one payment takes the place of another, that the order has it and what becomes of the other.
            Command::ReportPayment(body) => 3 + 3 * market.payments.orders_of(body.payment).len(),
            // What the provider says, its fee and the bank's decision, and of each order that it goes on or, if it lost money, that
            // it did, what of it is cancelled and what that pays back.
            Command::ReportChargeback(body) => 4 + 3 * market.payments.orders_of(body.payment).len(),
            _ => 2,
        }
    }
}

/// The versions a command expects (`if`); a stale one is a rejection that carries the current version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// Version of the cart that the command is about, the account's own unless it names another; 0: there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cart: Option<u64>,
    /// Version of the listing named in the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listing: Option<u64>,
}

/// A command whose signature holds, with everything that was signed; what is left to check depends on the market's
/// state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Who, with which key, under which ids, and the signed bytes.
    pub stamp: events::metadata::CommandStamp,
    /// When it was signed.
    pub issued_at: Timestamp,
    /// When it ends to be good.
    pub expires_at: Timestamp,
    /// The versions it expects.
    pub expected: Expected,
    /// What is asked.
    pub command: Command,
    /// For each line of an order, in the lines' order, its quote if it has one. Empty for other commands.
    pub quotes: Vec<Option<VerifiedQuote>>,
    /// The claim of a merge; none for other commands.
    pub claim: Option<VerifiedClaim>,
    /// The offer of an exchange; none for other commands.
    pub exchange: Option<VerifiedExchange>,
}
