//! Recommendations in Dify's order.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use events::ids::{AccountId, ListingId};
use projections::recommendation::{Reason, Recommended};
use serde_json::{Value, json};

use super::{Application, DifyError, Question, Said};

/// How many of our own recommendations are put in order; as many as are asked for, if that is more.
pub const CANDIDATES: usize = 30;
/// How long an order stands for the same account and the same listings.
pub const KNOWN_FOR: Duration = Duration::from_secs(60);
/// Orders that are remembered at most; the oldest give way.
const KNOWN_MAX: usize = 1024;
/// How much of an HMAC is a pseudonym: 32 letters.
const PSEUDONYM_BYTES: usize = 24;
/// What a chat is asked for.
const QUERY: &str = "Put the listings in the order in which this customer may want them, the most wanted first. \
                     Answer with nothing but a list of their ids in JSON.";

/// Puts recommendations in the order of an application.
#[derive(Debug)]
pub struct Ranking {
    application: Application,
    /// Makes pseudonyms; a new one at each start, and nobody else has it.
    pseudonyms: hmac::Key,
    known: Mutex<Known>,
}

type Asked = (AccountId, Vec<ListingId>);

/// Orders that are remembered.
#[derive(Debug, Default)]
struct Known {
    orders: HashMap<Asked, (Vec<ListingId>, Instant)>,
    /// The keys of them, the oldest first.
    age: VecDeque<Asked>,
}

impl Known {
    fn find(&self, asked: &Asked, now: Instant) -> Option<Vec<ListingId>> {
        let (order, since) = self.orders.get(asked)?;
        (now.saturating_duration_since(*since) < KNOWN_FOR).then(|| order.clone())
    }

    fn keep(&mut self, asked: Asked, order: Vec<ListingId>, now: Instant) {
        if self.orders.insert(asked.clone(), (order, now)).is_none() {
            self.age.push_back(asked);
        }
        if self.age.len() > KNOWN_MAX
            && let Some(oldest) = self.age.pop_front()
        {
            self.orders.remove(&oldest);
        }
    }
}

impl Ranking {
    /// Begins to ask an application.
    pub fn new(application: Application) -> Ranking {
        let pseudonyms = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new());
        let pseudonyms = pseudonyms.expect("the system has randomness");
        Ranking { application, pseudonyms, known: Mutex::default() }
    }

    /// Puts what is recommended to an account in Dify's order. On an error it is as it was.
    pub(crate) async fn put_in_order(
        &self,
        account: AccountId,
        found: &mut [Recommended],
    ) -> Result<(), DifyError> {
        let listings: Vec<ListingId> = found.iter().map(|one| one.offer.listing.listing).collect();
        let asked = (account, listings);
        let known = self.known().find(&asked, Instant::now());
        let order = match known {
            Some(order) => order,
            None => {
                let order = self.ask(account, found, &asked.1).await?;
                self.known().keep(asked, order.clone(), Instant::now());
                order
            }
        };
        let place = |one: &Recommended| {
            order.iter().position(|listing| *listing == one.offer.listing.listing).unwrap_or(usize::MAX)
        };
        // Stable: what it leaves out stays behind in our own order.
        found.sort_by_key(place);
        Ok(())
    }

    async fn ask(
        &self,
        account: AccountId,
        found: &[Recommended],
        listings: &[ListingId],
    ) -> Result<Vec<ListingId>, DifyError> {
        let told: Vec<Value> = found.iter().map(told).collect();
        // Inputs of Dify are texts and numbers.
        let inputs = json!({"listings": Value::from(told).to_string()});
        let proof = hmac::sign(&self.pseudonyms, account.uuid().as_bytes());
        let user = URL_SAFE_NO_PAD.encode(&proof.as_ref()[..PSEUDONYM_BYTES]);
        let question = Question { inputs, query: QUERY, user: &user };
        self.application.ask(question, |said| order_of(said, listings)).await
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says what a listing is: nothing of any person.
fn told(Recommended { offer, reason }: &Recommended) -> Value {
    let reason = match reason {
        Reason::BoughtWith { title, orders, .. } => format!("bought with {title} in {orders} orders"),
        Reason::Popular { orders } => format!("ordered {orders} times of late"),
    };
    json!({
        "id": offer.listing.listing,
        "title": offer.listing.title,
        "category": offer.words.category,
        "price": offer.listing.price,
        "reason": reason,
    })
}

/// Reads an order of listings: the ids that it was given, each once; none: it names no such.
fn order_of(said: Said, listings: &[ListingId]) -> Option<Vec<ListingId>> {
    let ids = match said {
        Said::Outputs(outputs) => match &outputs["listings"] {
            Value::String(words) => list_in(words)?,
            other => other.clone(),
        },
        Said::Words(words) => list_in(&words)?,
    };
    let given: HashSet<&ListingId> = listings.iter().collect();
    let mut seen = HashSet::new();
    let ids = ids.as_array()?.iter().filter_map(|id| id.as_str()?.parse().ok());
    let order: Vec<ListingId> = ids.filter(|id| given.contains(id) && seen.insert(*id)).collect();
    (!order.is_empty()).then_some(order)
}

/// Finds the list in what a model says around it.
fn list_in(words: &str) -> Option<Value> {
    serde_json::from_str(words.get(words.find('[')?..=words.rfind(']')?)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(count: u128) -> Vec<ListingId> {
        (0..count).map(|n| ListingId::from_uuid(uuid::Uuid::from_u128(n))).collect()
    }

    #[test]
    fn only_what_was_given_counts_and_once() {
        let given = ids(3);
        let words = format!(
            "Here you are: [\"{}\", \"{}\", 7, \"nonsense\", \"{}\", \"{}\"] Enjoy!",
            given[2],
            ids(9)[8],
            given[2],
            given[0]
        );
        assert_eq!(order_of(Said::Words(words.clone()), &given), Some(vec![given[2], given[0]]));
        let outputs = |listings: Value| Said::Outputs(json!({ "listings": listings }));
        assert_eq!(order_of(outputs(words.into()), &given), Some(vec![given[2], given[0]]));
        assert_eq!(order_of(outputs(json!([given[1]])), &given), Some(vec![given[1]]));
        for useless in [json!(null), json!("none"), json!("]["), json!([]), json!({}), json!([ids(9)[8]])] {
            assert_eq!(order_of(outputs(useless.clone()), &given), None, "{useless}");
        }
    }

    #[test]
    fn an_order_stands_a_while_and_the_oldest_give_way() {
        let (mut known, begin, account) =
            (Known::default(), Instant::now(), AccountId::from_uuid(uuid::Uuid::nil()));
        let all = ids(u128::try_from(KNOWN_MAX).expect("a small number") + 1);
        for listing in &all {
            known.keep((account, vec![*listing]), vec![*listing], begin);
        }
        assert_eq!(known.find(&(account, vec![all[0]]), begin), None, "it was the oldest");
        let last = (account, vec![all[KNOWN_MAX]]);
        assert_eq!(known.find(&last, begin), Some(vec![all[KNOWN_MAX]]));
        assert_eq!(known.find(&last, begin + KNOWN_FOR), None);
        known.keep(last.clone(), vec![all[0]], begin + KNOWN_FOR);
        assert_eq!(known.find(&last, begin + KNOWN_FOR), Some(vec![all[0]]));
        assert_eq!((known.orders.len(), known.age.len()), (KNOWN_MAX, KNOWN_MAX));
    }
}
