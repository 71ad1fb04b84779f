//! Sends to addresses that strangers name, and never to where it must not: to this machine or a private network, unless the operator
//! allows it, nor on to where an address redirects it. A name is judged by the addresses that a connection is made to, so that none that
//! changes slips through.

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Client, Url, redirect};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How long a connection may take to be made.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);

/// What came of sending.
#[derive(Debug)]
pub(crate) enum Sent {
    /// An answer, of which only this is read.
    Answered {
        /// Its status.
        status: u16,
        /// How many seconds it asks to be left alone.
        retry_after_s: Option<u64>,
    },
    /// No answer.
    Not(NotSent),
}

/// Why there was no answer. It says no more: else it would tell what stands in networks that its owner can't see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum NotSent {
    /// The address is of this machine or a private network, or the URL is without TLS.
    NotAllowed,
    /// There was no answer in time.
    TimedOut,
    /// There was no connection, or it broke.
    NotReached,
}

/// Sends requests.
pub(crate) struct Outside {
    /// None: the machine has no root certificates, so nothing can be sent.
    client: Option<Client>,
    allows_private: bool,
}

impl Outside {
    /// `time_max`: how long one request may take, from the name's look-up to the answer's first line.
    pub(crate) fn new(allows_private: bool, time_max: Duration) -> Outside {
        let client = Client::builder()
            .user_agent(concat!("skylink/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .no_proxy()
            // HTTP/2 is here for others: those that are told here were tried without.
            .http1_only()
            .connect_timeout(CONNECT_TIME_MAX)
            .timeout(time_max);
        let client = if allows_private { client } else { client.dns_resolver(Arc::new(Public)) };
        let client = client.build().inspect_err(|error| {
            let why = error as &dyn Error;
            tracing::error!(
                error = why,
                "nothing is sent until a restart: see to the machine's root certificates"
            );
        });
        Outside { client: client.ok(), allows_private }
    }

    /// Tells whether anything can be sent.
    pub(crate) const fn can_send(&self) -> bool {
        self.client.is_some()
    }

    /// Posts something once.
    pub(crate) async fn post(&self, url: &str, headers: HeaderMap, body: Bytes) -> Sent {
        let Some(url) = Url::parse(url).ok().filter(|url| self.allows(url)) else {
            return Sent::Not(NotSent::NotAllowed);
        };
        let Some(client) = &self.client else { return Sent::Not(NotSent::NotReached) };
        match client.post(url).headers(headers).body(body).send().await {
            Ok(answer) => {
                let retry_after_s = retry_after_s(answer.headers());
                Sent::Answered { status: answer.status().as_u16(), retry_after_s }
            }
            Err(error) if is_not_allowed(&error) => Sent::Not(NotSent::NotAllowed),
            Err(error) if error.is_timeout() => Sent::Not(NotSent::TimedOut),
            Err(_) => Sent::Not(NotSent::NotReached),
        }
    }

    /// Tells whether something may be sent to a URL, as far as it tells by itself. What an address is written as in a URL was read by
    /// who parsed it: in each of its spellings it is one here.
    fn allows(&self, url: &Url) -> bool {
        if self.allows_private {
            return true;
        }
        let host = url.host_str().unwrap_or_default();
        let literal: Option<IpAddr> = host.trim_start_matches('[').trim_end_matches(']').parse().ok();
        url.scheme() == "https" && literal.is_none_or(is_public)
    }
}

/// Reads how many seconds an answer asks to be left alone. As a date it is not read: then it is as if nothing were said.
pub(crate) fn retry_after_s(headers: &HeaderMap) -> Option<u64> {
    headers.get(RETRY_AFTER).and_then(|after| after.to_str().ok()?.parse().ok())
}

/// A name that leads only to where nothing may be sent.
#[derive(Debug, thiserror::Error)]
#[error("the name leads to no public address")]
struct NotPublic;

fn is_not_allowed(error: &reqwest::Error) -> bool {
    let mut causes =
        std::iter::successors(error.source(), |cause: &&(dyn Error + 'static)| (*cause).source());
    causes.any(|cause| cause.is::<NotPublic>())
}

/// Looks names up, and gives of their addresses those that are public.
struct Public;

impl Resolve for Public {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let public: Vec<SocketAddr> = found.filter(|address| is_public(address.ip())).collect();
            if public.is_empty() {
                return Err(NotPublic.into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

/// Tells whether an address is one that everybody on the internet may reach.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let is_special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast()
        || address.is_documentation()
        || a == 0
        // Shared by carriers (RFC 6598), for protocols (RFC 6890), for benchmarks (RFC 2544), kept for later (RFC 1112).
        || (a == 100 && (b & 0xc0) == 64)
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (b & 0xfe) == 18)
        || a >= 240;
    !is_special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    // What is public stands in 2000::/3. What only holds an address of the other kind is none: a gateway would take it there.
    let [a, b, ..] = address.segments();
    let is_global = (a & 0xe000) == 0x2000;
    let is_special = a == 0x2002 || (a == 0x2001 && (b < 0x0200 || b == 0x0db8)) || a == 0x3fff;
    is_global && !is_special
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_are_reached() {
        for public in
            ["1.1.1.1", "93.184.216.34", "100.128.0.1", "198.20.0.1", "2606:4700::1111", "2a00:1450::5"]
        {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        for private in [
            "0.0.0.0",
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "127.8.9.1",
            "169.254.169.254",
            "172.16.0.1",
            "192.0.0.8",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "2002:7f00:1::",
            "100::1",
            "3fff::1",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
    }

    #[test]
    fn a_url_is_judged_however_its_address_is_spelled() {
        let outside = Outside::new(false, Duration::from_secs(1));
        let allows = |url: &str| outside.allows(&Url::parse(url).unwrap());
        for good in ["https://shop.example/hook", "https://1.1.1.1/", "https://[2606:4700::1111]:8443/"] {
            assert!(allows(good), "{good}");
        }
        for bad in [
            "http://shop.example/",
            "https://127.1/",
            "https://0x7f.0.0.1/",
            "https://2130706433/",
            "https://[::1]/",
            "https://[::ffff:10.0.0.1]/",
            "https://169.254.169.254/latest/",
        ] {
            assert!(!allows(bad), "{bad}");
        }
        let anywhere = Outside::new(true, Duration::from_secs(1));
        assert!(anywhere.allows(&Url::parse("http://127.0.0.1:1/").unwrap()));
    }

    #[tokio::test]
    async fn a_name_that_leads_to_this_machine_is_not_followed() {
        let outside = Outside::new(false, Duration::from_secs(5));
        let sent = outside.post("https://localhost:1/", HeaderMap::new(), Bytes::new()).await;
        assert!(matches!(sent, Sent::Not(NotSent::NotAllowed)), "{sent:?}");
    }
}
