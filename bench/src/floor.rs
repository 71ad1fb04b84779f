//! The crypto floor: the same commands' signatures, checked one by one on all cores, nothing else done.

use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use commands::crypto::VerifyingKey;

use crate::workload::{Signed, Town};

/// Gives how many signatures all cores check in a second. Keys are decompressed before.
///
/// # Panics
/// If a signature is wrong: the load was made wrongly.
pub fn per_second(town: &Town, orders: &[Signed]) -> f64 {
    let key = |person: &crate::person::Person| {
        VerifyingKey::new(&person.public()).expect("the town's keys are good")
    };
    let keys: Vec<VerifyingKey> = town.buyers.iter().map(key).collect();
    let inputs: Vec<(&[u8], Vec<u8>, &VerifyingKey)> = orders
        .iter()
        .map(|order| {
            let dot = order.bytes.iter().rposition(|byte| *byte == b'.').expect("a compact JWS has dots");
            let signature =
                URL_SAFE_NO_PAD.decode(&order.bytes[dot + 1..]).expect("a compact JWS is base64url");
            (&order.bytes[..dot], signature, &keys[order.buyer])
        })
        .collect();
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let started = Instant::now();
    std::thread::scope(|scope| {
        for part in inputs.chunks(inputs.len().div_ceil(threads).max(1)) {
            scope.spawn(move || {
                for (message, signature, key) in part {
                    key.verify(message, signature).expect("the load's signatures are good");
                }
            });
        }
    });
    orders.len() as f64 / started.elapsed().as_secs_f64()
}
