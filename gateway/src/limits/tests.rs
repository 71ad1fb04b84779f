use axum::http::HeaderValue;

use super::*;

fn ip(text: &str) -> std::net::IpAddr {
    text.parse().unwrap()
}

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(*name, HeaderValue::from_static(value));
    }
    headers
}

fn proxies(trusted: &[&str], header: ForwardedHeader) -> Proxies {
    Proxies { trusted: trusted.iter().map(|text| text.parse().unwrap()).collect(), header }
}

/// Tells who is taken for the client.
fn who(proxies: &Proxies, peer: &str, pairs: &[(&'static str, &'static str)]) -> Client {
    proxies.client(ip(peer), &headers(pairs))
}

/// What stands for an address that came directly.
fn direct(address: &str) -> Client {
    Proxies::default().client(ip(address), &HeaderMap::new())
}

#[test]
fn only_a_trusted_proxy_is_believed_and_only_about_the_one_before_it() {
    let none = Proxies::default();
    let claimed = [("x-forwarded-for", "198.51.100.7"), ("forwarded", "for=198.51.100.7")];
    assert_eq!(who(&none, "203.0.113.5", &claimed), direct("203.0.113.5"), "anybody can write a header");
    assert!(who(&none, "127.0.0.1", &claimed).is_this_machine());

    let ours = proxies(&["10.0.0.0/8", "127.0.0.1"], ForwardedHeader::XForwardedFor);
    let by = |value: &'static str| who(&ours, "10.1.2.3", &[("x-forwarded-for", value)]);
    assert_eq!(by("198.51.100.7"), direct("198.51.100.7"));
    assert_eq!(by("1.2.3.4, 198.51.100.7"), direct("198.51.100.7"), "what the client wrote stands before");
    assert_eq!(by("1.2.3.4, 198.51.100.7, 10.9.9.9"), direct("198.51.100.7"), "our proxies are passed over");
    assert_eq!(by("198.51.100.7:4711"), direct("198.51.100.7"));
    assert_eq!(by("[2001:db8::1]:4711"), direct("2001:db8::1"));
    assert_eq!(by("198.51.100.7, nonsense"), by(""), "what names nobody is held against the proxy");
    assert_eq!(
        who(&ours, "10.1.2.3", &[("forwarded", "for=1.2.3.4")]),
        by(""),
        "the other header is not read"
    );
    assert!(!who(&ours, "127.0.0.1", &[]).is_this_machine(), "a proxy on this machine speaks for others");
    assert_eq!(who(&ours, "203.0.113.5", &claimed), direct("203.0.113.5"));
}

#[test]
fn forwarded_is_read_as_rfc_7239_has_it() {
    let ours = proxies(&["fd00::/8"], ForwardedHeader::Forwarded);
    let by = |value: &'static str| who(&ours, "fd00::1", &[("forwarded", value)]);
    assert_eq!(by("for=198.51.100.7;proto=http"), direct("198.51.100.7"));
    assert_eq!(
        by("for=1.2.3.4, For=\"[2001:db8:1::9]:80\""),
        direct("2001:db8:1::1"),
        "a network of 64 bits"
    );
    assert_eq!(by("for=unknown"), by("for=_hidden"));
    assert!(by("for=198.51.100.7;proto=https").is_behind_tls());
    assert!(!by("for=1.2.3.4;proto=https, for=198.51.100.7").is_behind_tls(), "the last proxy says how");
    let plain = proxies(&["10.0.0.1"], ForwardedHeader::XForwardedFor);
    assert!(who(&plain, "10.0.0.1", &[("x-forwarded-proto", "https")]).is_behind_tls());
    assert!(!who(&plain, "10.0.0.2", &[("x-forwarded-proto", "https")]).is_behind_tls());
}

#[test]
fn what_is_no_network_is_refused() {
    for text in ["", "10.0.0.0/33", "10.0.0.0/", "fd00::/129", "example.com", "10.0.0.0/-1", "10.0.0/8"] {
        assert!(text.parse::<TrustedProxy>().is_err(), "{text}");
    }
    let all: TrustedProxy = "::/0".parse().unwrap();
    assert_eq!(proxies(&["::/0"], ForwardedHeader::default()).trusted, [all]);
}

#[test]
fn connections_are_counted_by_network_and_neither_of_this_machine_nor_of_trusted_proxies() {
    let rates = Rates { connections_per_address: Some(2), ..Rates::default() };
    let limits = Limits::new(rates, proxies(&["10.0.0.0/8"], ForwardedHeader::default()));
    let first = limits.connect(ip("2001:db8::1")).unwrap();
    let _second = limits.connect(ip("2001:db8::2")).unwrap();
    assert!(limits.connect(ip("2001:db8::3")).is_err(), "of one network of 64 bits");
    let _other = limits.connect(ip("2001:db8:0:1::1")).unwrap();
    drop(first);
    let _third = limits.connect(ip("2001:db8::3")).unwrap();
    assert!(limits.connect(ip("2001:db8::1")).is_err());
    let _fourth = limits.connect(ip("198.51.100.7")).unwrap();
    let _fifth = limits.connect(ip("::ffff:198.51.100.7")).unwrap();
    assert!(limits.connect(ip("198.51.100.7")).is_err(), "the same address in both forms");
    assert_eq!(limits.connections.as_ref().unwrap().count(), 5);
    let free: Vec<_> = ["127.0.0.1", "::1", "::ffff:127.0.0.1", "10.1.2.3", "10.1.2.3", "10.1.2.3"]
        .map(|address| limits.connect(ip(address)).unwrap())
        .into();
    assert!(free.iter().all(Option::is_none));
    assert_eq!(limits.connections.as_ref().unwrap().count(), 5, "nothing is kept of them");
}
