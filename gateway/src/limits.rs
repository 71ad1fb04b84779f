//! How much one address, one key and one account may ask for: token buckets, of which a bounded number is remembered; and how many
//! connections an address may have.
//!
//! Who asks too much is told when to come again, before anything is decided: it costs the market nothing and the client neither
//! its command's id nor its numbers. Commands are counted in the engine, by the keys that signed them, whichever way they come.

pub(crate) mod address;
mod connections;

use std::sync::Arc;

use axum::http::{HeaderMap, StatusCode};
pub use engine::rates::{BURST, CommandRates, REMEMBERED_MAX};
use engine::rates::{Table, TooMany};
use events::ids::AccountId;

use self::address::Client;
pub use self::address::{ForwardedHeader, Proxies, ProxyError, TrustedProxy};
pub(crate) use self::connections::Place;
use self::connections::{Connections, Full};
use crate::problem::Problem;

/// What a request counts for whose signature or token does not hold: somebody may be trying some.
pub const UNPROVEN_COST: u32 = 10;

/// Connections that one address may have at once, unless another number is asked for: a sixteenth of
/// [`crate::server::CONNECTIONS_MAX`], and enough for an office behind one address.
pub const CONNECTIONS_PER_ADDRESS: u32 = 256;

/// How many requests a second somebody may make, and how many connections he may have; `None`: as many as he likes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rates {
    /// Everything that comes from one address, except from this machine itself, unless through a trusted proxy.
    pub per_address: Option<u32>,
    /// Commands that one key has signed.
    pub commands_per_key: Option<u32>,
    /// Questions with tokens of one account.
    pub queries_per_account: Option<u32>,
    /// Connections of one address at once, except of this machine itself and of trusted proxies, which carry many clients.
    pub connections_per_address: Option<u32>,
}

/// What is known of who has asked how much.
#[derive(Debug)]
pub struct Limits {
    proxies: Proxies,
    addresses: Option<Table<Client>>,
    commands: Option<Arc<CommandRates>>,
    accounts: Option<Table<AccountId>>,
    connections: Option<Connections>,
}

impl Limits {
    /// Begins to count, with nobody known.
    pub fn new(rates: Rates, proxies: Proxies) -> Limits {
        Limits {
            proxies,
            addresses: rates.per_address.map(|rate| Table::new("address", rate)),
            commands: rates.commands_per_key.map(|rate| Arc::new(CommandRates::new(rate))),
            accounts: rates.queries_per_account.map(|rate| Table::new("account", rate)),
            connections: rates.connections_per_address.map(Connections::new),
        }
    }

    /// Lets everybody ask as much as he likes.
    pub fn none() -> Limits {
        Limits::new(Rates::default(), Proxies::default())
    }

    /// Counts a connection until what is given is dropped; none, if this peer's are not counted.
    pub(crate) fn connect(&self, peer: std::net::IpAddr) -> Result<Option<Place>, Full> {
        match (&self.connections, self.proxies.peer(peer)) {
            (Some(connections), Some(client)) => connections.take(client).map(Some),
            _ => Ok(None),
        }
    }

    /// Waits until so many connections are counted at most.
    #[cfg(test)]
    pub(crate) async fn until_connected(&self, at_most: usize) {
        while self.connections.as_ref().is_some_and(|connections| connections.count() > at_most) {
            tokio::task::yield_now().await;
        }
    }

    /// Tells who is at the other end, and whether he came by TLS, as far as a trusted proxy says so.
    pub(crate) fn client(&self, peer: Option<std::net::IpAddr>, headers: &HeaderMap) -> Option<Client> {
        Some(self.proxies.client(peer?, headers))
    }

    /// Counts a request of an address.
    pub(crate) fn take_address(&self, client: Option<&Client>) -> Result<(), TooMany> {
        match (&self.addresses, client) {
            (Some(table), Some(client)) if !client.is_this_machine() => table.take(*client),
            _ => Ok(()),
        }
    }

    /// Counts against an address that what it sent was not proven.
    pub(crate) fn charge_unproven(&self, client: Option<&Client>, status: StatusCode) {
        if let (Some(table), Some(client), StatusCode::UNAUTHORIZED) = (&self.addresses, client, status)
            && !client.is_this_machine()
        {
            table.charge(*client, UNPROVEN_COST - 1);
        }
    }

    /// Counts a question of an account.
    pub(crate) fn take_account(&self, account: AccountId) -> Result<(), TooMany> {
        self.accounts.as_ref().map_or(Ok(()), |table| table.take(account))
    }

    /// Gives what counts commands by the keys that signed them, over HTTP and NATS together; none: they are not counted.
    pub fn commands(&self) -> Option<Arc<CommandRates>> {
        self.commands.clone()
    }
}

impl From<TooMany> for Problem {
    fn from(too_many: TooMany) -> Problem {
        metrics::counter!("skylink_rate_limited_total", "by" => too_many.by()).increment(1);
        Problem::rate_limited(too_many.by(), too_many.wait_s())
    }
}

#[cfg(test)]
mod tests;
