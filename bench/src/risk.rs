//! What a market remembers of risk costs in memory: of buyers as they may be, and of as many as there may be, each remembered as fully as
//! the bounds let.

use std::process::Command;
use std::str::FromStr;

use anyhow::{Context, bail, ensure};
use commands::risk::history::{History, LINKS_MAX, SPANS_MAX, SUBJECTS_MAX};
use events::ids::{AccountId, DeviceId, OrderId};
use events::risk::Assessed;
use events::risk::rules::Outcome;
use events::{Currency, Hash, Money, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::machine;

const END: Timestamp = Timestamp::from_ms(1_753_783_200_000);
const MONTH_MS: i64 = 30 * 86_400_000;
/// Purchases of one buyer in a month.
const PURCHASES_PER_BUYER: u64 = 5;
/// Regions that are delivered to, and sellers that are bought from.
const REGIONS: u64 = 50;
const SELLERS: u64 = 2_000;

/// What was measured of one fold; a running market has two.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Remembered {
    /// Purchases that were judged.
    pub purchases: u64,
    /// Accounts, devices, means of payment and the like that are remembered then.
    pub subjects: u64,
    /// What it takes.
    pub mb: u64,
    /// The same for each of them.
    pub bytes_per_subject: u64,
}

/// What was measured.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Figures {
    /// Buyers with a device and a means of payment each, who buy a few times a month.
    pub usual: Remembered,
    /// As much as the bounds let: accounts that were seen with as many others and at as many times as are remembered.
    pub most: Remembered,
}

/// Who is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whom {
    /// Buyers as they may be, with so many purchases.
    Usual(u64),
    /// So many buyers, or as many as there may be, and of each as much as the bounds let.
    Most(u64),
}

/// `usual:PURCHASES` or `most:BUYERS`.
impl FromStr for Whom {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Whom> {
        match text.split_once(':') {
            Some(("usual", purchases)) => Ok(Whom::Usual(purchases.parse()?)),
            Some(("most", buyers)) => Ok(Whom::Most(buyers.parse()?)),
            _ => bail!("it is `usual:PURCHASES` or `most:BUYERS`"),
        }
    }
}

/// Measures both, each in a process that has done nothing else. `program` is the one that runs, and answers to
/// `bench --risk-of usual:PURCHASES` and `bench --risk-of most:BUYERS` with [`remember`].
pub fn run(program: &std::path::Path, purchases: u64) -> anyhow::Result<Figures> {
    let ask = |whom: String| -> anyhow::Result<Remembered> {
        let asked = Command::new(program).args(["bench", "--risk-of", &whom]).output()?;
        ensure!(asked.status.success(), "{}", String::from_utf8_lossy(&asked.stderr));
        serde_json::from_slice(&asked.stdout).context("it answers in JSON")
    };
    Ok(Figures { usual: ask(format!("usual:{purchases}"))?, most: ask(format!("most:{purchases}"))? })
}

/// Remembers purchases, and tells what that takes.
pub fn remember(whom: Whom) -> anyhow::Result<Remembered> {
    let before = machine::rss_bytes();
    let mut history = History::default();
    let mut purchases = 0;
    let mut buy = |history: &mut History, purchase: Purchase| {
        history.purchased(&purchase.judged(), purchase.at);
        purchases += 1;
    };
    match whom {
        Whom::Usual(count) => {
            let buyers = count.div_ceil(PURCHASES_PER_BUYER);
            for n in 0..count {
                let (chance, buyer) = (mixed(n), mixed(n) % buyers.max(1));
                let at = END.plus_ms(-MONTH_MS + (MONTH_MS / count.max(1) as i64) * n as i64);
                let (instrument, region) = (buyer, buyer % REGIONS);
                let seller = chance % SELLERS;
                buy(
                    &mut history,
                    Purchase { at, buyer, device: buyer, instrument, region, seller, currency: 0 },
                );
            }
        }
        Whom::Most(buyers) => {
            // Some places are for what they are all seen with.
            let buyers = buyers.min(SUBJECTS_MAX as u64 - 5 * LINKS_MAX as u64);
            for n in 0..SPANS_MAX as u64 {
                for buyer in 0..buyers {
                    let (at, other) = (moment(n / 2), n % LINKS_MAX as u64);
                    buy(
                        &mut history,
                        Purchase {
                            at,
                            buyer,
                            device: other,
                            instrument: other,
                            region: other,
                            seller: other,
                            currency: n % 2,
                        },
                    );
                }
            }
        }
    }
    let subjects = history.len() as u64;
    if subjects == 0 {
        bail!("nothing was bought, so nothing is remembered");
    }
    let taken = machine::rss_bytes().saturating_sub(before);
    Ok(Remembered { purchases, subjects, mb: taken >> 20, bytes_per_subject: taken / subjects })
}

struct Purchase {
    at: Timestamp,
    buyer: u64,
    device: u64,
    instrument: u64,
    region: u64,
    seller: u64,
    currency: u64,
}

impl Purchase {
    fn judged(&self) -> Assessed {
        let account = |kind: u64, n: u64| AccountId::from_uuid(Uuid::from_u64_pair(mixed(n), kind << 60 | n));
        let hash = |kind: &str, n: u64| Hash::of(format!("{kind} {n}").as_bytes());
        let letter = |n: u64| char::from(b'A' + (n % 26) as u8);
        let region = format!("{}{}", letter(self.region), letter(self.region / 26));
        let currency: Currency = ["USD", "EUR"][self.currency as usize].parse().expect("it is a currency");
        Assessed {
            account: account(1, self.buyer),
            amount: Money::new(100 + self.buyer as i64 % 9_000, currency),
            by_score: Outcome::Allow,
            contributions: Vec::new(),
            device: DeviceId::from_uuid(Uuid::from_u64_pair(mixed(self.device), self.device)),
            features: Default::default(),
            fingerprint: Some(hash("fingerprint", self.device)),
            instrument: Some(hash("instrument", self.instrument)),
            matched: None,
            orders: vec![OrderId::from_uuid(Uuid::from_u128(1))],
            outcome: Outcome::Allow,
            payment: None,
            region: Some(region.parse().expect("two letters are a region")),
            rules: 1,
            score: 0,
            sellers: [account(2, self.seller)].into(),
            shadow: Vec::new(),
            stepped_up: false,
        }
    }
}

/// Gives the n-th of 32 moments of a month, the oldest first: so that as many spans of each window are left at the end as it has.
fn moment(n: u64) -> Timestamp {
    const DAY_MS: i64 = 86_400_000;
    let ago = match 31 - n as i64 {
        // One in each tenth of a minute, of ten minutes, of an hour, and so on.
        k @ 0..6 => k * 6_000,
        k @ 6..12 => (k - 5) * 60_000 + 60_000,
        k @ 12..17 => (k - 11) * 360_000 + 600_000,
        k @ 17..22 => (k - 16) * 8_640_000 + 3_600_000,
        k @ 22..27 => (k - 21) * 43_200_000 + DAY_MS,
        k => (k - 26) * 3 * DAY_MS + 7 * DAY_MS,
    };
    END.plus_ms(-ago)
}

/// Mixes a number, so that what follows from it is in no order (splitmix64).
const fn mixed(n: u64) -> u64 {
    let mut z = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_come_one_behind_the_other_within_a_month() {
        let moments: Vec<Timestamp> = (0..32).map(moment).collect();
        assert!(moments.is_sorted() && moments[31] == END);
        assert!(END.ms_since(moments[0]) < MONTH_MS);
    }

    #[test]
    fn buyers_are_remembered_with_what_they_bought_with() {
        let figures = remember(Whom::Usual(1_000)).expect("something is remembered");
        // 200 buyers at most, each with a device, its fingerprint and a means of payment; and regions and sellers.
        assert!((600..=800 + REGIONS + SELLERS).contains(&figures.subjects), "{figures:?}");
        assert!(remember(Whom::Usual(0)).is_err());
    }
}
