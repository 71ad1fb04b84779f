//! Facts of the market itself.

mod escrow_terms;
mod keys;
mod return_terms;

use schemars::JsonSchema;
use serde::ser::SerializeStruct;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

pub use self::escrow_terms::{EscrowTerms, ReserveTerms};
pub use self::keys::{KeyAnnounced, KeyRetired};
pub use self::return_terms::ReturnTerms;

use crate::account::{PublicKey, Tier};
use crate::escrow::rule::RuleError;
use crate::ids::{AccountId, DeviceId, MarketName, WriterId};
use crate::money::{Currency, Money};

const DAY_MS: i64 = 86_400_000;

/// The market was opened: the first event of its log. It fixes who may register others and how money is charged.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct Opened {
    /// How long each waiting state lasts before its default outcome.
    #[schemars(with = "WrittenDeadlines")]
    pub deadlines: Deadlines,
    /// When money is released and how it is treated in dispute; absent in markets that were opened without: the usual terms.
    #[serde(default)]
    pub escrow: Option<EscrowTerms>,
    /// What the platform takes of each released escrow.
    pub fee: FeePolicy,
    /// The market's name; every signed command names it as `aud`.
    pub market: MarketName,
    /// How much buyers may buy; absent: as much as they can pay.
    #[serde(default)]
    pub purchase_limits: Vec<PurchaseLimit>,
    /// Who registers accounts and devices.
    pub registrar: Registrar,
    /// The public key that receipts are signed with.
    pub receipt_key: PublicKey,
}

// What is absent is left out where people read it; a snapshot, which has no names, has every field.
impl Serialize for Opened {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let has_all = !serializer.is_human_readable();
        let (has_escrow, has_limits) =
            (has_all || self.escrow.is_some(), has_all || !self.purchase_limits.is_empty());
        let count = 5 + usize::from(has_escrow) + usize::from(has_limits);
        let mut fields = serializer.serialize_struct("Opened", count)?;
        fields.serialize_field("deadlines", &self.deadlines)?;
        if has_escrow {
            fields.serialize_field("escrow", &self.escrow)?;
        }
        fields.serialize_field("fee", &self.fee)?;
        fields.serialize_field("market", &self.market)?;
        if has_limits {
            fields.serialize_field("purchase_limits", &self.purchase_limits)?;
        }
        fields.serialize_field("registrar", &self.registrar)?;
        fields.serialize_field("receipt_key", &self.receipt_key)?;
        fields.end()
    }
}

/// The identity service's account, device and key, given to the engine when the market is opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Registrar {
    /// Its account.
    pub account: AccountId,
    /// Its device.
    pub device: DeviceId,
    /// Its public key.
    pub key: PublicKey,
}

/// What the platform takes: `round(amount · bps / 10 000) + fixed_minor`, at least `min_minor`, at most `max_minor`
/// where there is one, and never more than the amount. The rounding is half away from zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FeePolicy {
    /// Share in hundredths of a percent, 0 to 10,000.
    bps: u32,
    /// Fixed part in minor units, from 0.
    fixed_minor: i64,
    /// Most that is taken, in minor units; none: no limit.
    max_minor: Option<i64>,
    /// Least that is taken, in minor units, from 0.
    min_minor: i64,
}

/// How much accounts of one tier may buy in one currency. A tier without a limit in a currency buys as much as it can pay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PurchaseLimit {
    /// The currency.
    pub currency: Currency,
    /// Most in one day of UTC, in minor units, cancelled orders among it.
    pub per_day_minor: i64,
    /// Most in one checkout, in minor units.
    pub per_order_minor: i64,
    /// Whose limit it is.
    pub tier: Tier,
}

/// How long each waiting state lasts, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// From the order to the seller's word that he accepts it; afterwards it is cancelled and the buyer gets the money back.
    /// None: nobody waits for sellers, every order is accepted.
    accept_ms: Option<i64>,
    /// How long a cart may lie untouched; afterwards it is abandoned.
    cart_idle_ms: i64,
    /// From the proposal of a change of an order to the other side's answer; afterwards it lapses.
    change_ms: i64,
    /// From delivery to the release of the escrow, unless the buyer confirmed earlier.
    inspection_ms: i64,
    /// From the order, or from its seller's word, to its shipment; afterwards it is cancelled and the buyer gets the money
    /// back.
    ship_by_ms: i64,
    /// From shipment to delivery; afterwards it counts as delivered and the inspection begins.
    transit_ms: i64,
}

/// Why a market can't be opened like this.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TermsError {
    /// More than the whole amount would be taken.
    #[error("the fee's share must be 0 to {} bps (hundredths of a percent), not {bps}", FeePolicy::BPS_MAX)]
    Share {
        /// What it was to be.
        bps: u32,
    },
    /// A part of the fee is no amount.
    #[error("the fee's {part} must be 0 to {} minor units, not {minor}", Money::MINOR_MAX)]
    FeePart {
        /// The part's name.
        part: &'static str,
        /// What it was to be.
        minor: i64,
    },
    /// The least is more than the most.
    #[error("the fee's min_minor, {min_minor}, must not be more than its max_minor, {max_minor}")]
    MinAboveMax {
        /// The least.
        min_minor: i64,
        /// The most.
        max_minor: i64,
    },
    /// An operator could decide about an amount that is none.
    #[error(
        "what one operator may decide about alone must be 0 to {} minor units, not {minor}",
        Money::MINOR_MAX
    )]
    FourEyes {
        /// What it was to be.
        minor: i64,
    },
    /// Money would be released by no rule.
    #[error("`release` can't be so: {wrong}")]
    Release {
        /// What is wrong with it.
        wrong: RuleError,
    },
    /// A state would wait for no time, or for ever.
    #[error("{name} must be 1 to {} ms (ten years), not {ms}", Deadlines::MS_MAX)]
    Deadline {
        /// The deadline's name.
        name: &'static str,
        /// What it was to be.
        ms: i64,
    },
}

impl FeePolicy {
    /// The largest share: the whole amount.
    pub const BPS_MAX: u32 = 10_000;

    /// Takes a policy whose parts are in range. `max_minor`: none for no limit.
    pub fn new(
        bps: u32,
        fixed_minor: i64,
        min_minor: i64,
        max_minor: Option<i64>,
    ) -> Result<FeePolicy, TermsError> {
        if bps > FeePolicy::BPS_MAX {
            return Err(TermsError::Share { bps });
        }
        let parts =
            [("fixed_minor", Some(fixed_minor)), ("min_minor", Some(min_minor)), ("max_minor", max_minor)];
        for (part, minor) in parts {
            if let Some(minor) = minor.filter(|minor| !(0..=Money::MINOR_MAX).contains(minor)) {
                return Err(TermsError::FeePart { part, minor });
            }
        }
        if let Some(max_minor) = max_minor.filter(|max_minor| min_minor > *max_minor) {
            return Err(TermsError::MinAboveMax { min_minor, max_minor });
        }
        Ok(FeePolicy { bps, fixed_minor, max_minor, min_minor })
    }

    /// Gives the share in hundredths of a percent, 0 to 10,000.
    pub const fn bps(&self) -> u32 {
        self.bps
    }

    /// Gives the fixed part in minor units, from 0.
    pub const fn fixed_minor(&self) -> i64 {
        self.fixed_minor
    }

    /// Gives the most that is taken, in minor units; none: no limit.
    pub const fn max_minor(&self) -> Option<i64> {
        self.max_minor
    }

    /// Gives the least that is taken, in minor units, from 0.
    pub const fn min_minor(&self) -> i64 {
        self.min_minor
    }
}

impl Default for FeePolicy {
    /// 2.5 %, without a fixed part and without limits.
    fn default() -> Self {
        FeePolicy { bps: 250, fixed_minor: 0, max_minor: None, min_minor: 0 }
    }
}

impl<'de> Deserialize<'de> for FeePolicy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Parts {
            bps: u32,
            fixed_minor: i64,
            max_minor: Option<i64>,
            min_minor: i64,
        }
        let Parts { bps, fixed_minor, max_minor, min_minor } = Parts::deserialize(deserializer)?;
        FeePolicy::new(bps, fixed_minor, min_minor, max_minor).map_err(de::Error::custom)
    }
}

impl Deadlines {
    /// The longest time that a state can wait, in milliseconds: ten years of 365 days.
    pub const MS_MAX: i64 = 3650 * DAY_MS;

    /// Takes deadlines that are in range.
    pub fn new(inspection_ms: i64, ship_by_ms: i64, transit_ms: i64) -> Result<Deadlines, TermsError> {
        let all = [("inspection_ms", inspection_ms), ("ship_by_ms", ship_by_ms), ("transit_ms", transit_ms)];
        match all.into_iter().find(|(_, ms)| !(1..=Deadlines::MS_MAX).contains(ms)) {
            Some((name, ms)) => Err(TermsError::Deadline { name, ms }),
            None => Ok(Deadlines { inspection_ms, ship_by_ms, transit_ms, ..Deadlines::default() }),
        }
    }

    /// Lets every order wait so long for its seller to accept it.
    pub fn with_accept_ms(self, ms: i64) -> Result<Deadlines, TermsError> {
        if !(1..=Deadlines::MS_MAX).contains(&ms) {
            return Err(TermsError::Deadline { name: "accept_ms", ms });
        }
        Ok(Deadlines { accept_ms: Some(ms), ..self })
    }

    /// Gives the time from the order to its seller's word; none where orders do not wait for it.
    pub const fn accept_ms(&self) -> Option<i64> {
        self.accept_ms
    }

    /// Takes another time that a cart may lie untouched.
    pub fn with_cart_idle(self, cart_idle_ms: i64) -> Result<Deadlines, TermsError> {
        if (1..=Deadlines::MS_MAX).contains(&cart_idle_ms) {
            return Ok(Deadlines { cart_idle_ms, ..self });
        }
        Err(TermsError::Deadline { name: "cart_idle_ms", ms: cart_idle_ms })
    }

    /// Gives the time that a cart may lie untouched.
    pub const fn cart_idle_ms(&self) -> i64 {
        self.cart_idle_ms
    }

    /// Takes another time that a change of an order waits for its answer.
    pub fn with_change_ms(self, change_ms: i64) -> Result<Deadlines, TermsError> {
        if (1..=Deadlines::MS_MAX).contains(&change_ms) {
            return Ok(Deadlines { change_ms, ..self });
        }
        Err(TermsError::Deadline { name: "change_ms", ms: change_ms })
    }

    /// Gives the time that a change of an order waits for its answer.
    pub const fn change_ms(&self) -> i64 {
        self.change_ms
    }

    /// Gives the time from delivery to the release of the escrow.
    pub const fn inspection_ms(&self) -> i64 {
        self.inspection_ms
    }

    /// Gives the time from the order to its shipment.
    pub const fn ship_by_ms(&self) -> i64 {
        self.ship_by_ms
    }

    /// Gives the time from shipment to delivery.
    pub const fn transit_ms(&self) -> i64 {
        self.transit_ms
    }
}

impl Default for Deadlines {
    /// 14 days to ship, 14 days to arrive, 3 days to inspect; 30 days until a cart is abandoned, 48 hours until a change lapses.
    fn default() -> Self {
        Deadlines {
            accept_ms: None,
            cart_idle_ms: 30 * DAY_MS,
            change_ms: 2 * DAY_MS,
            inspection_ms: 3 * DAY_MS,
            ship_by_ms: 14 * DAY_MS,
            transit_ms: 14 * DAY_MS,
        }
    }
}

/// Deadlines as they stand in the log. A time that came later than the first markets stands there only where it is not the
/// default one, so that what those have written is still written in the same way.
#[derive(Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Deadlines")]
struct WrittenDeadlines {
    /// From the order to the seller's word that he accepts it; afterwards it is cancelled and the buyer gets the money back.
    /// Absent: nobody waits for sellers, every order is accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    accept_ms: Option<i64>,
    /// How long a cart may lie untouched, in milliseconds; afterwards it is abandoned. Absent: 30 days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cart_idle_ms: Option<i64>,
    /// How long a change of an order waits for the other side, in milliseconds; afterwards it lapses. Absent: 48 hours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    change_ms: Option<i64>,
    /// From delivery to the release of the escrow, unless the buyer confirmed earlier.
    inspection_ms: i64,
    /// From the order, or from its seller's word, to its shipment; afterwards it is cancelled and the buyer gets the money
    /// back.
    ship_by_ms: i64,
    /// From shipment to delivery; afterwards it counts as delivered and the inspection begins.
    transit_ms: i64,
}

// Snapshots, which are made of the types themselves, hold every time.
impl Serialize for Deadlines {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Deadlines { accept_ms, cart_idle_ms, change_ms, inspection_ms, ship_by_ms, transit_ms } = *self;
        if !serializer.is_human_readable() {
            return (accept_ms, inspection_ms, ship_by_ms, transit_ms, cart_idle_ms, change_ms)
                .serialize(serializer);
        }
        let cart_idle_ms = Some(cart_idle_ms).filter(|ms| *ms != Deadlines::default().cart_idle_ms);
        let change_ms = Some(change_ms).filter(|ms| *ms != Deadlines::default().change_ms);
        WrittenDeadlines { accept_ms, cart_idle_ms, change_ms, inspection_ms, ship_by_ms, transit_ms }
            .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Deadlines {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (accept_ms, inspection_ms, ship_by_ms, transit_ms, cart_idle_ms, change_ms) =
            if deserializer.is_human_readable() {
                let written = WrittenDeadlines::deserialize(deserializer)?;
                let cart_idle_ms = written.cart_idle_ms.unwrap_or(Deadlines::default().cart_idle_ms);
                let change_ms = written.change_ms.unwrap_or(Deadlines::default().change_ms);
                let WrittenDeadlines { accept_ms, inspection_ms, ship_by_ms, transit_ms, .. } = written;
                (accept_ms, inspection_ms, ship_by_ms, transit_ms, cart_idle_ms, change_ms)
            } else {
                Deserialize::deserialize(deserializer)?
            };
        let deadlines = Deadlines::new(inspection_ms, ship_by_ms, transit_ms)
            .and_then(|deadlines| deadlines.with_cart_idle(cart_idle_ms))
            .and_then(|deadlines| deadlines.with_change_ms(change_ms))
            .and_then(|deadlines| match accept_ms {
                Some(ms) => deadlines.with_accept_ms(ms),
                None => Ok(deadlines),
            });
        deadlines.map_err(de::Error::custom)
    }
}

/// A process became the writer of the market. Whoever wrote before and meets this event steps down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WriterStarted {
    /// Counts the writers of this market from 1.
    pub epoch: u64,
    /// The version of the program.
    pub version: String,
    /// The run of the process.
    pub writer: WriterId,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_fee_policy_outside_its_ranges_is_refused_by_name_and_can_not_be_read_either() {
        let most = Money::MINOR_MAX;
        let part = |part, minor| Some(TermsError::FeePart { part, minor });
        for (bps, fixed_minor, min_minor, max_minor, error) in [
            (0, 0, 0, None, None),
            (10_000, most, most, Some(most), None),
            (0, 0, 0, Some(0), None),
            (10_001, 0, 0, None, Some(TermsError::Share { bps: 10_001 })),
            (0, -1, 0, None, part("fixed_minor", -1)),
            (0, most + 1, 0, None, part("fixed_minor", most + 1)),
            (0, 0, -1, None, part("min_minor", -1)),
            (0, 0, most + 1, None, part("min_minor", most + 1)),
            (0, 0, 0, Some(-1), part("max_minor", -1)),
            (0, 0, 0, Some(most + 1), part("max_minor", most + 1)),
            (0, 0, 6, Some(5), Some(TermsError::MinAboveMax { min_minor: 6, max_minor: 5 })),
        ] {
            let written = json!({"bps": bps, "fixed_minor": fixed_minor, "max_minor": max_minor, "min_minor": min_minor});
            let read = serde_json::from_value::<FeePolicy>(written.clone());
            match (FeePolicy::new(bps, fixed_minor, min_minor, max_minor), error) {
                (Ok(policy), None) => {
                    assert_eq!(read.unwrap(), policy);
                    assert_eq!(serde_json::to_value(policy).unwrap(), written);
                }
                (made, error) => {
                    let error = error.unwrap();
                    assert_eq!(read.unwrap_err().to_string(), error.to_string());
                    assert_eq!(made, Err(error));
                }
            }
        }
    }

    #[test]
    fn a_deadline_outside_its_range_is_refused_by_name_and_can_not_be_read_either() {
        let most = Deadlines::MS_MAX;
        for (name, at) in [("inspection_ms", 0), ("ship_by_ms", 1), ("transit_ms", 2)] {
            for (ms, is_good) in
                [(1, true), (most, true), (0, false), (-1, false), (most + 1, false), (i64::MAX, false)]
            {
                let mut all = [7, 8, 9];
                all[at] = ms;
                let made = Deadlines::new(all[0], all[1], all[2]);
                let written = json!({"inspection_ms": all[0], "ship_by_ms": all[1], "transit_ms": all[2]});
                let read = serde_json::from_value::<Deadlines>(written.clone());
                if is_good {
                    let made = made.unwrap();
                    assert_eq!(serde_json::to_value(made).unwrap(), written);
                    assert_eq!(read.unwrap(), made);
                } else {
                    let error = TermsError::Deadline { name, ms };
                    assert_eq!(read.unwrap_err().to_string(), error.to_string());
                    assert_eq!(made, Err(error));
                }
            }
        }
    }

    #[test]
    fn a_time_to_accept_is_absent_unless_it_is_set_and_kept_in_both_forms() {
        let plain = Deadlines::default();
        let set = plain.with_accept_ms(7).unwrap();
        let absent =
            json!({"inspection_ms": 3 * DAY_MS, "ship_by_ms": 14 * DAY_MS, "transit_ms": 14 * DAY_MS});
        let mut present = absent.clone();
        present["accept_ms"] = 7.into();
        for (deadlines, written) in [(plain, absent), (set, present)] {
            assert_eq!(serde_json::to_value(deadlines).unwrap(), written);
            assert_eq!(serde_json::from_value::<Deadlines>(written).unwrap(), deadlines);
            let config = bincode::config::standard();
            let bytes = bincode::serde::encode_to_vec(deadlines, config).unwrap();
            assert_eq!(bincode::serde::decode_from_slice(&bytes, config).unwrap(), (deadlines, bytes.len()));
        }
        let first = |ms| serde_json::to_string(&plain.with_accept_ms(ms).unwrap()).unwrap();
        assert!(first(7).starts_with(r#"{"accept_ms":7,"#), "members stand in the order of their names");
        for ms in [0, -1, Deadlines::MS_MAX + 1] {
            let error = TermsError::Deadline { name: "accept_ms", ms };
            let mut written = serde_json::to_value(set).unwrap();
            written["accept_ms"] = ms.into();
            assert_eq!(
                serde_json::from_value::<Deadlines>(written).unwrap_err().to_string(),
                error.to_string()
            );
            assert_eq!(plain.with_accept_ms(ms), Err(error));
        }
    }

    #[test]
    fn the_time_that_a_cart_may_lie_is_written_only_where_it_is_not_the_usual_one() {
        let usual = Deadlines::default();
        let written = serde_json::to_value(usual).unwrap();
        assert_eq!(written.get("cart_idle_ms"), None);
        assert_eq!(serde_json::from_value::<Deadlines>(written.clone()).unwrap(), usual);
        let other = usual.with_cart_idle(1).unwrap();
        assert_eq!(other.cart_idle_ms(), 1);
        let again = serde_json::to_value(other).unwrap();
        assert_eq!(again["cart_idle_ms"], 1);
        assert_eq!(serde_json::from_value::<Deadlines>(again).unwrap(), other);
        for ms in [-1, 0, Deadlines::MS_MAX + 1] {
            let error = TermsError::Deadline { name: "cart_idle_ms", ms };
            let mut bad = written.clone();
            bad["cart_idle_ms"] = ms.into();
            let read = serde_json::from_value::<Deadlines>(bad).unwrap_err();
            assert_eq!(read.to_string(), error.to_string());
            assert_eq!(usual.with_cart_idle(ms), Err(error));
        }
    }

    proptest! {
        #[test]
        fn what_is_in_range_is_kept_as_it_was_given(
            bps in 0..=FeePolicy::BPS_MAX, fixed in 0..=Money::MINOR_MAX, limits in prop::array::uniform2(0..=Money::MINOR_MAX),
        ) {
            let (min, max) = (limits[0].min(limits[1]), limits[0].max(limits[1]));
            let policy = FeePolicy::new(bps, fixed, min, Some(max)).unwrap();
            let kept = (policy.bps(), policy.fixed_minor(), policy.min_minor(), policy.max_minor());
            prop_assert_eq!(kept, (bps, fixed, min, Some(max)));
        }
    }
}
