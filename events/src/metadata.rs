//! What is known of an event besides what it says: when, in which commit, and at whose word.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use uuid::Uuid;

use crate::hash::Hash;
use crate::ids::{
    AccountId, ChargebackId, CommandId, CommitId, DeviceId, KeyId, MarketName, Nonce, OrderId, PaymentId,
    PayoutId, ReservationId, WriterId,
};
use crate::order::ShipmentNumber;
use crate::step_up::StepUp;
use crate::time::Timestamp;

/// Most events in one commit.
pub const EVENTS_PER_COMMIT_MAX: usize = 400;

/// An event's metadata. The fields stand in the order of their names, so that what serde_json writes is the
/// canonical form of RFC 8785 (JCS) and hashes alike everywhere; a test holds this true.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Metadata {
    /// The commit it belongs to.
    pub commit: CommitId,
    /// How many events that commit has.
    pub count: u16,
    /// Its place in the commit, from 0.
    pub index: u16,
    /// The market.
    pub market: MarketName,
    /// Only on the first event of a commit: where the commit comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<CommitStart>,
    /// The aggregate it belongs to; none for the market's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// When it was decided.
    pub time: Timestamp,
    /// The versioned type of the payload.
    #[serde(rename = "type")]
    pub type_name: String,
}

/// What the first event of a commit carries for all of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CommitStart {
    /// What made the market decide.
    pub cause: Cause,
    /// The hash of the commit before, which chains the log.
    pub previous: Hash,
    /// W3C trace context of the request, if it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

/// What made the market decide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A signed command.
    Command(Box<CommandStamp>),
    /// A deadline that was due.
    Deadline(DeadlineStamp),
    /// A process that began to write.
    Writer(WriterId),
}

/// A signed command, as it was when it was decided. Replay protection is folded from these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CommandStamp {
    /// Who gave it (`sub`).
    pub account: AccountId,
    /// Its id (`cid`).
    pub command: CommandId,
    /// From which device (`dev`).
    pub device: DeviceId,
    /// SHA-256 of the canonical {aud, cid, cmd, sub, if, body}: what was wished, without when.
    pub fingerprint: Hash,
    /// The key that signed it.
    pub key: KeyId,
    /// Its name, such as `order.place`.
    pub name: String,
    /// Its nonce.
    pub nonce: Nonce,
    /// Its sequence number under that key.
    pub seq: u64,
    /// The signed bytes themselves: a compact JWS, or the canonical JSON with its `signature`.
    pub signed: String,
    /// The second factor that was shown beside them, where a rule of the market asked for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step_up: Option<Box<StepUp>>,
}

/// A deadline that was due.
///
/// In a header it is one flat JSON object: `due`, `kind` and the ids of what waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeadlineStamp {
    /// When it was due. It was decided at the event's time, which may be later.
    pub due: Timestamp,
    /// What waited.
    pub waiting: Waiting,
}

/// What waits for a deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Waiting {
    /// What of an order is neither shipped nor cancelled waits for the seller to ship it.
    ShipBy {
        /// The order.
        order: OrderId,
    },
    /// A shipment waits for its carrier to deliver it.
    DeliveryDue {
        /// The order.
        order: OrderId,
        /// Which of its shipments.
        shipment: ShipmentNumber,
    },
    /// A shipment waits for the buyer to inspect it.
    InspectionEnds {
        /// The order.
        order: OrderId,
        /// Which of its shipments.
        shipment: ShipmentNumber,
    },
    /// A payment waits for its provider, or for its buyer, to agree.
    PaymentExpires {
        /// The payment.
        payment: PaymentId,
    },
    /// A payment that the provider holds waits to be captured.
    AuthorizationExpires {
        /// The payment.
        payment: PaymentId,
    },
    /// The active cart of an account waits to be touched again.
    CartIdle {
        /// Whose cart: each has one.
        account: AccountId,
    },
    /// The active cart of an account is frozen.
    CartFrozenUntil {
        /// Whose cart: each has one.
        account: AccountId,
    },
    /// An order waits for its seller to accept it.
    AcceptBy {
        /// The order.
        order: OrderId,
    },
    /// An order waits for its payment.
    PaymentDue {
        /// The order.
        order: OrderId,
    },
    /// A payout waits for its provider.
    PayoutDue {
        /// The payout.
        payout: PayoutId,
    },
    /// Frozen money of a shipment waits for somebody to decide.
    FreezeExpires {
        /// The order.
        order: OrderId,
        /// Which of its shipments.
        shipment: ShipmentNumber,
    },
    /// The money of a shipment that has arrived waits to be released.
    ReleaseDue {
        /// The order.
        order: OrderId,
        /// Which of its shipments.
        shipment: ShipmentNumber,
    },
    /// Units that a buyer has set aside wait to be ordered.
    ReservationExpires {
        /// The reservation.
        reservation: ReservationId,
    },
    /// What is kept of a seller's earnings waits to be his.
    ReserveDue {
        /// The seller.
        account: AccountId,
    },
    /// The open return of a shipment waits for somebody.
    ReturnDue {
        /// The order.
        order: OrderId,
        /// Which of its shipments.
        shipment: ShipmentNumber,
    },
    /// An order of which nothing else is left waits for the end of the time to return it.
    ReturnsEnd {
        /// The order.
        order: OrderId,
    },
    /// A payment that the provider holds waits for the seller, and it is to be told that its time is about to end.
    AuthorizationExpiring {
        /// The payment.
        payment: PaymentId,
    },
    /// A change of an order waits for the other side to answer.
    ChangeExpires {
        /// The order: it has at most one that is open.
        order: OrderId,
    },
    /// A chargeback, or an inquiry that may become one, waits for evidence.
    ChargebackDue {
        /// The chargeback.
        chargeback: ChargebackId,
    },
    /// An order waits for somebody to look at its risk.
    ReviewDue {
        /// The order.
        order: OrderId,
    },
}

impl Waiting {
    /// Names what waits, without its ids.
    pub const fn kind(self) -> DeadlineKind {
        match self {
            Waiting::ShipBy { .. } => DeadlineKind::ShipBy,
            Waiting::DeliveryDue { .. } => DeadlineKind::DeliveryDue,
            Waiting::InspectionEnds { .. } => DeadlineKind::InspectionEnds,
            Waiting::PaymentExpires { .. } => DeadlineKind::PaymentExpires,
            Waiting::AuthorizationExpires { .. } => DeadlineKind::AuthorizationExpires,
            Waiting::CartIdle { .. } => DeadlineKind::CartIdle,
            Waiting::CartFrozenUntil { .. } => DeadlineKind::CartFrozenUntil,
            Waiting::AcceptBy { .. } => DeadlineKind::AcceptBy,
            Waiting::PaymentDue { .. } => DeadlineKind::PaymentDue,
            Waiting::PayoutDue { .. } => DeadlineKind::PayoutDue,
            Waiting::ReserveDue { .. } => DeadlineKind::ReserveDue,
            Waiting::ReturnDue { .. } => DeadlineKind::ReturnDue,
            Waiting::ReturnsEnd { .. } => DeadlineKind::ReturnsEnd,
            Waiting::FreezeExpires { .. } => DeadlineKind::FreezeExpires,
            Waiting::ReleaseDue { .. } => DeadlineKind::ReleaseDue,
            Waiting::ReservationExpires { .. } => DeadlineKind::ReservationExpires,
            Waiting::AuthorizationExpiring { .. } => DeadlineKind::AuthorizationExpiring,
            Waiting::ChangeExpires { .. } => DeadlineKind::ChangeExpires,
            Waiting::ChargebackDue { .. } => DeadlineKind::ChargebackDue,
            Waiting::ReviewDue { .. } => DeadlineKind::ReviewDue,
        }
    }

    /// Gives the id of what waits.
    pub const fn subject(self) -> Uuid {
        match self {
            Waiting::ShipBy { order }
            | Waiting::AcceptBy { order }
            | Waiting::PaymentDue { order }
            | Waiting::ChangeExpires { order }
            | Waiting::DeliveryDue { order, .. }
            | Waiting::InspectionEnds { order, .. }
            | Waiting::FreezeExpires { order, .. }
            | Waiting::ReleaseDue { order, .. }
            | Waiting::ReturnDue { order, .. }
            | Waiting::ReviewDue { order }
            | Waiting::ReturnsEnd { order } => order.uuid(),
            Waiting::PaymentExpires { payment }
            | Waiting::AuthorizationExpires { payment }
            | Waiting::AuthorizationExpiring { payment } => payment.uuid(),
            Waiting::CartIdle { account }
            | Waiting::CartFrozenUntil { account }
            | Waiting::ReserveDue { account } => account.uuid(),
            Waiting::PayoutDue { payout } => payout.uuid(),
            Waiting::ChargebackDue { chargeback } => chargeback.uuid(),
            Waiting::ReservationExpires { reservation } => reservation.uuid(),
        }
    }
}

/// A deadline as it stands in a header: what waits is named by the one id that its kind has.
#[derive(Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Deadline")]
struct FlatDeadline {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    account: Option<AccountId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    chargeback: Option<ChargebackId>,
    due: Timestamp,
    kind: DeadlineKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    order: Option<OrderId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payment: Option<PaymentId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payout: Option<PayoutId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reservation: Option<ReservationId>,
    /// Only for a shipment that is not the order's first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shipment: Option<ShipmentNumber>,
}

impl From<DeadlineStamp> for FlatDeadline {
    fn from(DeadlineStamp { due, waiting }: DeadlineStamp) -> Self {
        let flat = FlatDeadline {
            account: None,
            chargeback: None,
            due,
            kind: waiting.kind(),
            order: None,
            payment: None,
            payout: None,
            reservation: None,
            shipment: None,
        };
        match waiting {
            Waiting::ShipBy { order }
            | Waiting::AcceptBy { order }
            | Waiting::PaymentDue { order }
            | Waiting::ChangeExpires { order }
            | Waiting::ReviewDue { order }
            | Waiting::ReturnsEnd { order } => FlatDeadline { order: Some(order), ..flat },
            Waiting::DeliveryDue { order, shipment }
            | Waiting::InspectionEnds { order, shipment }
            | Waiting::FreezeExpires { order, shipment }
            | Waiting::ReleaseDue { order, shipment }
            | Waiting::ReturnDue { order, shipment } => {
                let shipment = Some(shipment).filter(|shipment| *shipment != ShipmentNumber::FIRST);
                FlatDeadline { order: Some(order), shipment, ..flat }
            }
            Waiting::PaymentExpires { payment }
            | Waiting::AuthorizationExpires { payment }
            | Waiting::AuthorizationExpiring { payment } => FlatDeadline { payment: Some(payment), ..flat },
            Waiting::CartIdle { account }
            | Waiting::CartFrozenUntil { account }
            | Waiting::ReserveDue { account } => FlatDeadline { account: Some(account), ..flat },
            Waiting::PayoutDue { payout } => FlatDeadline { payout: Some(payout), ..flat },
            Waiting::ChargebackDue { chargeback } => FlatDeadline { chargeback: Some(chargeback), ..flat },
            Waiting::ReservationExpires { reservation } => {
                FlatDeadline { reservation: Some(reservation), ..flat }
            }
        }
    }
}

impl FlatDeadline {
    /// Gives the deadline; none, if it does not name what its kind waits for and nothing else.
    fn stamp(self) -> Option<DeadlineStamp> {
        let FlatDeadline { account, chargeback, due, kind, order, payment, payout, reservation, shipment } =
            self;
        let first = || shipment.unwrap_or(ShipmentNumber::FIRST);
        let waiting = match (kind, order, payment, account, payout) {
            (DeadlineKind::ShipBy, Some(order), None, None, None) => Waiting::ShipBy { order },
            (DeadlineKind::AcceptBy, Some(order), None, None, None) => Waiting::AcceptBy { order },
            (DeadlineKind::PaymentDue, Some(order), None, None, None) => Waiting::PaymentDue { order },
            (DeadlineKind::ChangeExpires, Some(order), None, None, None) => Waiting::ChangeExpires { order },
            (DeadlineKind::DeliveryDue, Some(order), None, None, None) => {
                Waiting::DeliveryDue { order, shipment: first() }
            }
            (DeadlineKind::InspectionEnds, Some(order), None, None, None) => {
                Waiting::InspectionEnds { order, shipment: first() }
            }
            (DeadlineKind::PaymentExpires, None, Some(payment), None, None) => {
                Waiting::PaymentExpires { payment }
            }
            (DeadlineKind::AuthorizationExpires, None, Some(payment), None, None) => {
                Waiting::AuthorizationExpires { payment }
            }
            (DeadlineKind::AuthorizationExpiring, None, Some(payment), None, None) => {
                Waiting::AuthorizationExpiring { payment }
            }
            (DeadlineKind::CartIdle, None, None, Some(account), None) => Waiting::CartIdle { account },
            (DeadlineKind::CartFrozenUntil, None, None, Some(account), None) => {
                Waiting::CartFrozenUntil { account }
            }
            (DeadlineKind::ReserveDue, None, None, Some(account), None) => Waiting::ReserveDue { account },
            (DeadlineKind::PayoutDue, None, None, None, Some(payout)) => Waiting::PayoutDue { payout },
            (DeadlineKind::FreezeExpires, Some(order), None, None, None) => {
                Waiting::FreezeExpires { order, shipment: first() }
            }
            (DeadlineKind::ReleaseDue, Some(order), None, None, None) => {
                Waiting::ReleaseDue { order, shipment: first() }
            }
            (DeadlineKind::ReturnDue, Some(order), None, None, None) => {
                Waiting::ReturnDue { order, shipment: first() }
            }
            (DeadlineKind::ReturnsEnd, Some(order), None, None, None) => Waiting::ReturnsEnd { order },
            (DeadlineKind::ReviewDue, Some(order), None, None, None) => Waiting::ReviewDue { order },
            (DeadlineKind::ReservationExpires, None, None, None, None) => {
                Waiting::ReservationExpires { reservation: reservation? }
            }
            (DeadlineKind::ChargebackDue, None, None, None, None) => {
                Waiting::ChargebackDue { chargeback: chargeback? }
            }
            _ => return None,
        };
        let has_shipment = matches!(
            waiting,
            Waiting::DeliveryDue { .. }
                | Waiting::InspectionEnds { .. }
                | Waiting::FreezeExpires { .. }
                | Waiting::ReleaseDue { .. }
                | Waiting::ReturnDue { .. }
        );
        let has_reservation = matches!(waiting, Waiting::ReservationExpires { .. });
        let has_chargeback = matches!(waiting, Waiting::ChargebackDue { .. });
        let is_named_right = (has_shipment || shipment.is_none())
            && has_reservation == reservation.is_some()
            && has_chargeback == chargeback.is_some();
        is_named_right.then_some(DeadlineStamp { due, waiting })
    }
}

impl JsonSchema for DeadlineStamp {
    fn schema_name() -> Cow<'static, str> {
        FlatDeadline::schema_name()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        FlatDeadline::json_schema(generator)
    }
}

// Flat where people read it; snapshots, which are made of the types themselves, hold the pair.
impl Serialize for DeadlineStamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            FlatDeadline::from(*self).serialize(serializer)
        } else {
            (self.due, self.waiting).serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for DeadlineStamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let wrong = || de::Error::custom("a deadline names what its kind waits for, and nothing else");
            FlatDeadline::deserialize(deserializer)?.stamp().ok_or_else(wrong)
        } else {
            let (due, waiting) = Deserialize::deserialize(deserializer)?;
            Ok(DeadlineStamp { due, waiting })
        }
    }
}

/// What a deadline ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeadlineKind {
    /// The seller's time to ship.
    ShipBy,
    /// The carrier's time to deliver.
    DeliveryDue,
    /// The buyer's time to inspect.
    InspectionEnds,
    /// The time a payment has to be agreed to.
    PaymentExpires,
    /// The time in which a provider holds money for the market.
    AuthorizationExpires,
    /// The time that a cart may lie untouched.
    CartIdle,
    /// The time that a cart is frozen.
    CartFrozenUntil,
    /// The seller's time to accept.
    AcceptBy,
    /// The time an order has to be paid.
    PaymentDue,
    /// The time a provider has to say what came of a payout.
    PayoutDue,
    /// The time in which somebody has to decide about frozen money.
    FreezeExpires,
    /// The time until money that has been set free is paid.
    ReleaseDue,
    /// The time that a buyer has set units aside for.
    ReservationExpires,
    /// The time that a part of a seller's earnings is kept.
    ReserveDue,
    /// The time before it is told that an order's authorisation is about to end.
    AuthorizationExpiring,
    /// The time in which a change of an order has to be answered.
    ChangeExpires,
    /// The time in which somebody has to go on with a return.
    ReturnDue,
    /// The time in which units of an order may be returned.
    ReturnsEnd,
    /// The time in which a provider takes evidence of a chargeback.
    ChargebackDue,
    /// The time in which an order's risk is to be decided about.
    ReviewDue,
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0190b5a0-7c00-7000-8000-0000000000a1";

    #[test]
    fn a_deadline_in_a_header_has_the_one_id_of_its_kind() {
        for (kind, id, other) in [
            ("ship_by", "order", "account"),
            ("delivery_due", "order", "account"),
            ("inspection_ends", "order", "payment"),
            ("payment_expires", "payment", "account"),
            ("authorization_expires", "payment", "order"),
            ("authorization_expiring", "payment", "order"),
            ("accept_by", "order", "payment"),
            ("cart_idle", "account", "order"),
            ("cart_frozen_until", "account", "payment"),
            ("payment_due", "order", "payout"),
            ("change_expires", "order", "payment"),
            ("payout_due", "payout", "payment"),
            ("freeze_expires", "order", "account"),
            ("release_due", "order", "payout"),
            ("reservation_expires", "reservation", "order"),
            ("cart_idle", "account", "reservation"),
            ("reserve_due", "account", "order"),
            ("return_due", "order", "account"),
            ("returns_end", "order", "payment"),
            ("review_due", "order", "account"),
            ("chargeback_due", "chargeback", "payment"),
            ("payout_due", "payout", "chargeback"),
        ] {
            let mut flat = serde_json::json!({"due": 7, "kind": kind, id: ID});
            let stamp: DeadlineStamp = serde_json::from_value(flat.clone()).unwrap();
            assert_eq!(stamp.waiting.subject().to_string(), ID);
            assert_eq!(serde_json::to_value(stamp).unwrap(), flat);
            flat[other] = ID.into();
            assert!(serde_json::from_value::<DeadlineStamp>(flat.clone()).is_err(), "{flat}");
            flat.as_object_mut().unwrap().remove(id);
            assert!(serde_json::from_value::<DeadlineStamp>(flat.clone()).is_err(), "{flat}");
        }
    }
}
