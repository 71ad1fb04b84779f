//! How many connections an address has.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::address::Client;

/// The connections that are open. There are no more addresses in it than connections, of which the server has a bound.
#[derive(Debug)]
pub(super) struct Connections {
    max: usize,
    open: Arc<Mutex<HashMap<Client, usize>>>,
}

/// The place of a connection among those of its address; given back when it is dropped.
pub(crate) struct Place {
    client: Client,
    open: Arc<Mutex<HashMap<Client, usize>>>,
}

/// Says that an address has as many connections as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

impl Connections {
    pub(super) fn new(max: u32) -> Connections {
        Connections { max: max as usize, open: Arc::default() }
    }

    /// Takes a place for a connection of an address.
    pub(super) fn take(&self, client: Client) -> Result<Place, Full> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.get(&client).copied().unwrap_or_default();
        if count >= self.max {
            metrics::counter!("skylink_rate_limited_total", "by" => "connections").increment(1);
            return Err(Full);
        }
        open.insert(client, count + 1);
        Ok(Place { client, open: Arc::clone(&self.open) })
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).values().sum()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        match open.get_mut(&self.client) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(open.remove(&self.client)),
        }
    }
}
