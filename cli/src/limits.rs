//! How much may be asked of a market over HTTP, as `skylink up` is told.

use clap::{Args, ValueEnum};
use gateway::limits::{CONNECTIONS_PER_ADDRESS, ForwardedHeader, Limits, Proxies, Rates, TrustedProxy};

/// How much may be asked over HTTP, and whose word is taken about who asks.
#[derive(Debug, Args)]
pub(crate) struct LimitsArgs {
    /// Requests a second from one address (of IPv6: one network of 64 bits), and five times as many at once; 0: no limit. Programs
    /// on this machine are not limited by their address.
    #[arg(long, default_value_t = 200, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    rate_address: u32,
    /// Commands a second that one key has signed, and five times as many at once; 0: no limit.
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    rate_commands: u32,
    /// Questions a second with tokens of one account, and five times as many at once; 0: no limit.
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    rate_queries: u32,
    /// Connections of one address (of IPv6: one network of 64 bits) at once; 0: no limit. Programs on this machine and trusted
    /// proxies are not limited by it.
    #[arg(long, default_value_t = CONNECTIONS_PER_ADDRESS, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    connections_address: u32,
    /// An address, or a network such as 10.0.0.0/8, of proxies in front that say whom they speak for; may be given again. Without
    /// one nobody is believed.
    #[arg(long, value_name = "ADDRESS")]
    trusted_proxy: Vec<TrustedProxy>,
    /// In which header they say it; the other one is not read.
    #[arg(long, requires = "trusted_proxy", default_value = "x-forwarded-for", value_name = "NAME")]
    proxy_header: HeaderName,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum HeaderName {
    XForwardedFor,
    Forwarded,
}

impl LimitsArgs {
    /// Begins to count.
    pub(crate) fn limits(&self) -> Limits {
        let rate = |number: u32| Some(number).filter(|number| *number > 0);
        let rates = Rates {
            per_address: rate(self.rate_address),
            commands_per_key: rate(self.rate_commands),
            queries_per_account: rate(self.rate_queries),
            connections_per_address: rate(self.connections_address),
        };
        let header = match self.proxy_header {
            HeaderName::XForwardedFor => ForwardedHeader::XForwardedFor,
            HeaderName::Forwarded => ForwardedHeader::Forwarded,
        };
        Limits::new(rates, Proxies { trusted: self.trusted_proxy.clone(), header })
    }
}
