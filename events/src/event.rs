//! The list of all events, with the names they are stored under.
//!
//! A name on disk is a promise: an event once written is read for ever. A change of meaning gets a new version
//! (`order.placed.v2`) and an arm in [`Event::decode`] that lifts the old form into the new one.

use crate::account::PublicKey;
use crate::{account, cart, command, listing, market, order, payment};

/// Why a stored event can't be understood.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The type is none this program knows.
    #[error(
        "event type `{0}` is unknown: it was written by a newer version of this program, which must read it"
    )]
    UnknownType(String),
    /// The payload is not of its type.
    #[error("payload of `{event_type}` is damaged")]
    Payload {
        /// The type it was stored under.
        event_type: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

macro_rules! events {
    ($($name:literal => $variant:ident($payload:path) about $subject:expr),* $(,)?) => {
        /// Anything that can happen in a market.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Event {$(
            #[doc = concat!("`", $name, "`")]
            $variant($payload),
        )*}

        impl Event {
            /// Every event type, in the order of this list.
            pub const TYPES: &'static [&'static str] = &[$($name),*];

            /// Gives the versioned name it is stored under.
            pub const fn type_name(&self) -> &'static str {
                match self {$(Event::$variant(_) => $name,)*}
            }

            /// Gives the id of the aggregate it belongs to, `None` for the market's own events.
            pub fn subject(&self) -> Option<String> {
                match self {$(Event::$variant(payload) => {
                    let subject: fn(&$payload) -> Option<String> = $subject;
                    subject(payload)
                })*}
            }

            /// Writes the payload as JSON.
            pub fn encode(&self) -> Vec<u8> {
                match self {$(Event::$variant(payload) => serde_json::to_vec(payload),)*}
                    .expect("an event holds nothing that JSON can't say")
            }

            /// Reads a payload.
            pub fn decode(type_name: &str, payload: &[u8]) -> Result<Event, DecodeError> {
                let damaged = |source| DecodeError::Payload { event_type: type_name.to_owned(), source };
                match type_name {
                    $($name => serde_json::from_slice(payload).map(Event::$variant).map_err(damaged),)*
                    unknown => Err(DecodeError::UnknownType(unknown.chars().take(64).collect())),
                }
            }

            /// Gives the static form of a stored type name.
            pub fn known_type(type_name: &str) -> Option<&'static str> {
                Self::TYPES.iter().copied().find(|known| *known == type_name)
            }

            /// Makes the JSON Schema of every event's payload, titled with its name.
            pub fn schemas() -> Vec<(&'static str, schemars::Schema)> {
                let titled = |name: &'static str, mut schema: schemars::Schema| {
                    schema.insert("title".to_owned(), name.into());
                    (name, schema)
                };
                vec![$(titled($name, schemars::schema_for!($payload)),)*]
            }
        }

        $(impl From<$payload> for Event {
            fn from(payload: $payload) -> Event {
                Event::$variant(payload)
            }
        })*
    };
}

events! {
    "market.opened.v1" => MarketOpened(market::Opened) about |_| None,
    "market.writer_started.v1" => WriterStarted(market::WriterStarted) about |_| None,
    "command.rejected.v1" => CommandRejected(command::Rejected) about |_| None,
    "command.unchanged.v1" => CommandUnchanged(command::Unchanged) about |_| None,
    "account.registered.v1" => AccountRegistered(account::Registered) about |e| Some(e.account.to_string()),
    "device.registered.v1" => DeviceRegistered(account::DeviceRegistered) about |e| Some(e.device.to_string()),
    "listing.created.v1" => ListingCreated(listing::Created) about |e| Some(e.listing.to_string()),
    "stock.received.v1" => StockReceived(listing::StockReceived) about |e| Some(e.listing.to_string()),
    "wallet.funded.v1" => WalletFunded(listing::WalletFunded) about |e| Some(e.account.to_string()),
    "payment.requested.v1" => PaymentRequested(payment::Requested) about |e| Some(e.payment.to_string()),
    "payment.action_required.v1" => PaymentActionRequired(payment::ActionRequired) about |e| Some(e.payment.to_string()),
    "payment.authorized.v1" => PaymentAuthorized(payment::Authorized) about |e| Some(e.payment.to_string()),
    "payment.void_requested.v1" => PaymentVoidRequested(payment::VoidRequested) about |e| Some(e.payment.to_string()),
    "payment.captured.v1" => PaymentCaptured(payment::Captured) about |e| Some(e.payment.to_string()),
    "payment.failed.v1" => PaymentFailed(payment::Failed) about |e| Some(e.payment.to_string()),
    "payment.voided.v1" => PaymentVoided(payment::Voided) about |e| Some(e.payment.to_string()),
    "payment.refund_requested.v1" => RefundRequested(payment::RefundRequested) about |e| Some(e.payment.to_string()),
    "payment.refunded.v1" => PaymentRefunded(payment::Refunded) about |e| Some(e.payment.to_string()),
    "payment.refund_failed.v1" => RefundFailed(payment::RefundFailed) about |e| Some(e.payment.to_string()),
    "cart.item_added.v1" => CartItemAdded(cart::ItemAdded) about |e| Some(e.cart.to_string()),
    "cart.quantity_set.v1" => CartQuantitySet(cart::QuantitySet) about |e| Some(e.cart.to_string()),
    "cart.item_removed.v1" => CartItemRemoved(cart::ItemRemoved) about |e| Some(e.cart.to_string()),
    "cart.cleared.v1" => CartCleared(cart::Cleared) about |e| Some(e.cart.to_string()),
    "cart.migrated.v1" => CartMigrated(cart::Migrated) about |e| Some(e.cart.to_string()),
    "order.placed.v1" => OrderPlaced(order::Placed) about |e| Some(e.order.to_string()),
    "order.shipped.v1" => OrderShipped(order::Shipped) about |e| Some(e.order.to_string()),
    "order.delivered.v1" => OrderDelivered(order::Delivered) about |e| Some(e.order.to_string()),
    "order.cancelled.v1" => OrderCancelled(order::Cancelled) about |e| Some(e.order.to_string()),
    "escrow.held.v1" => EscrowHeld(order::EscrowHeld) about |e| Some(e.order.to_string()),
    "escrow.released.v1" => EscrowReleased(order::EscrowReleased) about |e| Some(e.order.to_string()),
    "escrow.refunded.v1" => EscrowRefunded(order::EscrowRefunded) about |e| Some(e.order.to_string()),
}
impl Event {
    /// Gives the key that may sign commands from this event on, if it registers one.
    pub fn registered_key(&self) -> Option<&PublicKey> {
        match self {
            Event::MarketOpened(opened) => Some(&opened.registrar.key),
            Event::DeviceRegistered(registered) => Some(&registered.key),
            _ => None,
        }
    }
}
