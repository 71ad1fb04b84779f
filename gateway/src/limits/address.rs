//! Who is at the other end: the peer of the connection or, where that is a trusted proxy, whom it names.

use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use axum::http::{HeaderMap, HeaderName};

/// Most addresses of a chain of proxies that are looked at, from its end.
const HOPS_MAX: usize = 16;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED: HeaderName = HeaderName::from_static("forwarded");

/// In which header trusted proxies say whom they speak for. The other one is not looked at: whoever asks can write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ForwardedHeader {
    /// `X-Forwarded-For`, and `X-Forwarded-Proto` for TLS.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// An address of a trusted proxy, or the network that they are in, such as `10.0.0.0/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrustedProxy {
    network: u128,
    /// Bits that must agree, of the 128 of an IPv6 address.
    bits: u32,
}

/// Says that a text names no proxy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no address and no network such as 10.0.0.0/8 or fd00::/8")]
pub struct ProxyError(String);

/// The proxies whose word is taken.
#[derive(Debug, Clone, Default)]
pub struct Proxies {
    /// Where they are.
    pub trusted: Vec<TrustedProxy>,
    /// Where they say whom they speak for.
    pub header: ForwardedHeader,
}

/// Somebody at the other end. Of IPv6 only the network of 64 bits counts, since one is given at least that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Client {
    address: u128,
    is_this_machine: bool,
    is_behind_tls: bool,
}

fn bits_of(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// Gives the leading bits of an address, as a network has them.
fn leading(address: u128, bits: u32) -> u128 {
    if bits == 0 { 0 } else { address >> (128 - bits) << (128 - bits) }
}

impl FromStr for TrustedProxy {
    type Err = ProxyError;

    fn from_str(text: &str) -> Result<Self, ProxyError> {
        let wrong = || ProxyError(text.chars().take(64).collect());
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u32>().map_err(|_| wrong())?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let size = if address.is_ipv4() { 32 } else { 128 };
        let bits = Some(bits.unwrap_or(size)).filter(|bits| *bits <= size).ok_or_else(wrong)? + 128 - size;
        Ok(TrustedProxy { network: leading(bits_of(address), bits), bits })
    }
}

impl TrustedProxy {
    fn has(&self, address: IpAddr) -> bool {
        leading(bits_of(address), self.bits) == self.network
    }
}

impl Client {
    fn new(address: IpAddr, is_this_machine: bool, is_behind_tls: bool) -> Client {
        let address = match address.to_canonical() {
            IpAddr::V6(address) => leading(address.to_bits(), 64),
            address => bits_of(address),
        };
        Client { address, is_this_machine, is_behind_tls }
    }

    /// Tells whether it is this machine itself, and no proxy on it that speaks for others.
    pub(crate) fn is_this_machine(&self) -> bool {
        self.is_this_machine
    }

    /// Tells whether a trusted proxy says that he came by TLS.
    pub(crate) fn is_behind_tls(&self) -> bool {
        self.is_behind_tls
    }
}

impl Proxies {
    fn trust(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|proxy| proxy.has(address))
    }

    /// Tells who is at the other end of a connection, if he is somebody whose connections count: neither this machine nor a trusted
    /// proxy.
    pub(super) fn peer(&self, peer: IpAddr) -> Option<Client> {
        let is_free = peer.to_canonical().is_loopback() || self.trust(peer);
        (!is_free).then(|| Client::new(peer, false, false))
    }

    /// Tells who has sent a request. Of a chain of proxies that is the last address which is not one of ours: those before it
    /// may be made up.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> Client {
        if !self.trust(peer) {
            return Client::new(peer, peer.to_canonical().is_loopback(), false);
        }
        let (chain, is_behind_tls) = match self.header {
            ForwardedHeader::XForwardedFor => x_forwarded(headers),
            ForwardedHeader::Forwarded => forwarded(headers),
        };
        let mut client = peer;
        for named in chain.into_iter().rev().take(HOPS_MAX) {
            // What names nobody ends what is known: the proxy behind it is held to account.
            let Some(address) = named else { break };
            client = address;
            if !self.trust(address) {
                break;
            }
        }
        Client::new(client, false, is_behind_tls)
    }
}

/// The values of a header that may stand more than once, each of which is a list.
fn listed(headers: &HeaderMap, name: HeaderName) -> Vec<&str> {
    let values = headers.get_all(name).into_iter();
    values.flat_map(|value| value.to_str().unwrap_or_default().split(',')).map(str::trim).collect()
}

fn x_forwarded(headers: &HeaderMap) -> (Vec<Option<IpAddr>>, bool) {
    let chain = listed(headers, X_FORWARDED_FOR).into_iter().map(address).collect();
    let is_https =
        listed(headers, X_FORWARDED_PROTO).last().is_some_and(|by| by.eq_ignore_ascii_case("https"));
    (chain, is_https)
}

fn forwarded(headers: &HeaderMap) -> (Vec<Option<IpAddr>>, bool) {
    let mut is_https = false;
    let mut chain = Vec::new();
    for element in listed(headers, FORWARDED) {
        let pairs = element.split(';').filter_map(|pair| pair.trim().split_once('='));
        let mut named = None;
        is_https = false;
        for (name, value) in pairs {
            let value = value.trim_matches('"');
            if name.eq_ignore_ascii_case("for") {
                named = address(value);
            } else if name.eq_ignore_ascii_case("proto") {
                is_https = value.eq_ignore_ascii_case("https");
            }
        }
        chain.push(named);
    }
    (chain, is_https)
}

/// Reads an address as proxies write it: with a port or without, IPv6 in brackets or without.
fn address(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    if let Ok(address) = text.parse::<std::net::SocketAddr>() {
        return Some(address.ip());
    }
    let bracketed = text.strip_prefix('[')?.strip_suffix(']')?;
    bracketed.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
}
