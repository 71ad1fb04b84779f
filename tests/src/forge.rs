//! Writes events to a broker past the log, as another or a careless program would.

use anyhow::Result;
use async_nats::HeaderMap;
use async_nats::jetstream::Context;
use events::{Recorded, wire};

use crate::log_contract::market;

/// Gives the headers that stand for an event's metadata.
pub fn headers_of(event: &Recorded) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in wire::to_headers(&event.metadata) {
        headers.insert(name, value);
    }
    headers
}

/// Publishes an event where a log would, expecting nothing.
pub async fn publish(context: &Context, event: &Recorded) -> Result<()> {
    let subject = wire::event_subject(&market(), &event.metadata.type_name);
    let payload = event.payload_json.clone().into();
    context.publish_with_headers(subject, headers_of(event), payload).await?.await?;
    Ok(())
}
