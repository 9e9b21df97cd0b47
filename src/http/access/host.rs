//! What a request says about where it was sent, and by whom it came.
//!
//! Nothing of it gives trust. It takes trust away, tells a browser's cookie how it travels, and says whom a proxy speaks
//! for when something is counted.

use std::net::{IpAddr, SocketAddr};

use axum::http::header::{FORWARDED, HOST, VIA};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, Uri};
use ipnet::IpNet;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// What proxies write, some one of them and some another. No browser and no script of a page sends any by itself.
const OF_PROXIES: [HeaderName; 9] = [
    FORWARDED,
    X_FORWARDED_FOR,
    X_FORWARDED_PROTO,
    X_REAL_IP,
    VIA,
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-client-ip"),
    HeaderName::from_static("true-client-ip"),
    HeaderName::from_static("cf-connecting-ip"),
];

/// True when a proxy says that it speaks for somebody.
pub(super) fn is_forwarded(headers: &HeaderMap) -> bool {
    OF_PROXIES.iter().any(|name| headers.contains_key(name))
}

/// True when a proxy says that the browser came by HTTPS. Who lies here only makes his own cookie stricter.
pub(in crate::http) fn is_secure(headers: &HeaderMap) -> bool {
    let proto = last(headers, &X_FORWARDED_PROTO).is_some_and(|p| p.eq_ignore_ascii_case("https"));
    proto || last(headers, &FORWARDED).and_then(|hop| parameter(hop, "proto")) == Some("https")
}

/// Whom a failure or a rate is counted for: the peer, or whom the proxy names that is the peer. Only what the nearest
/// proxy has written counts, the last entry: what stands before it the client may have made up. Behind a network
/// nobody trusts there is no proxy of ours.
pub(super) fn client(peer: IpAddr, headers: &HeaderMap, proxies: &[IpNet]) -> IpAddr {
    let peer = peer.to_canonical();
    if !proxies.iter().any(|network| network.contains(&peer)) {
        return peer;
    }
    let named = last(headers, &X_FORWARDED_FOR)
        .or_else(|| last(headers, &FORWARDED).and_then(|hop| parameter(hop, "for")))
        .or_else(|| last(headers, &X_REAL_IP));
    named.and_then(address).map_or(peer, |named| named.to_canonical())
}

/// The last entry of a list that several fields may carry.
fn last<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let field = headers.get_all(name).iter().next_back()?.to_str().ok()?;
    field.rsplit(',').next().map(str::trim)
}

/// One parameter of a hop of `Forwarded` (RFC 7239, section 4), without its quotes.
fn parameter<'a>(hop: &'a str, name: &str) -> Option<&'a str> {
    hop.split(';').find_map(|pair| {
        let (found, value) = pair.split_once('=')?;
        found.trim().eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"'))
    })
}

/// An address as proxies write it: bare, in brackets, with a port.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let with_port = || text.parse().ok().map(|with_port: SocketAddr| with_port.ip());
    bare.parse().ok().or_else(with_port)
}

/// Every host name that the request gives, without ports. None for a client that gives none: no browser does that.
pub(super) fn host_names<'a>(
    uri: &'a Uri,
    headers: &'a HeaderMap,
) -> impl Iterator<Item = String> + 'a {
    let named = headers.get_all(HOST).iter().map(|value| {
        // What is no authority is no local name either.
        let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
        text.parse::<Authority>().map_or(text, |authority| authority.host().to_owned())
    });
    uri.host().map(str::to_owned).into_iter().chain(named)
}

/// Suffixes that no registrar sells, so that no stranger can make them point here.
const PRIVATE_SUFFIXES: [&str; 6] = ["localhost", "local", "internal", "home.arpa", "lan", "svc"];

/// True for host names that a web site cannot have: an address, a name without dots (a container or a machine of the
/// own network), a name below a suffix that is not in the public DNS.
pub(super) fn is_local_name(name: &str) -> bool {
    let bare = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
    if bare.parse::<IpAddr>().is_ok() {
        return true;
    }
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    if name.is_empty() || name.starts_with('.') {
        return false;
    }
    let below = |suffix: &&str| name.strip_suffix(*suffix).is_some_and(|rest| rest.ends_with('.'));
    !name.contains('.') || PRIVATE_SUFFIXES.iter().any(below)
}

/// True for a name of `hosts`, which are in lower case.
pub(super) fn is_one_of(name: &str, hosts: &[String]) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    hosts.iter().any(|host| host.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::super::tests::headers;
    use super::*;

    fn named(pairs: &[(&'static str, &str)]) -> String {
        let proxies: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap()];
        client("10.0.0.1".parse().unwrap(), &headers(pairs), &proxies).to_string()
    }

    #[test]
    fn the_nearest_proxy_says_whom_it_speaks_for() {
        for (name, value, expected) in [
            ("x-forwarded-for", "203.0.113.9", "203.0.113.9"),
            ("x-forwarded-for", "127.0.0.1, 203.0.113.9", "203.0.113.9"),
            ("x-forwarded-for", "203.0.113.9:4711", "203.0.113.9"),
            ("x-forwarded-for", "::ffff:203.0.113.9", "203.0.113.9"),
            ("x-forwarded-for", "[2001:db8::1]:4711", "2001:db8::1"),
            ("forwarded", "for=127.0.0.1, for=\"[2001:db8::1]\";proto=https", "2001:db8::1"),
            ("x-real-ip", "203.0.113.9", "203.0.113.9"),
            ("x-forwarded-for", "unknown", "10.0.0.1"),
            ("x-forwarded-for", "", "10.0.0.1"),
            ("forwarded", "for=_hidden", "10.0.0.1"),
        ] {
            assert_eq!(named(&[(name, value)]), expected, "{name}: {value}");
        }
        let two = [("x-forwarded-for", "127.0.0.1"), ("x-forwarded-for", "203.0.113.9")];
        assert_eq!(named(&two), "203.0.113.9");
    }

    #[test]
    fn a_peer_outside_the_own_networks_speaks_for_itself() {
        let peer = "203.0.113.9".parse().unwrap();
        let claims = headers(&[("x-forwarded-for", "10.0.0.7")]);
        assert_eq!(client(peer, &claims, &["10.0.0.0/8".parse().unwrap()]), peer);
    }

    #[test]
    fn https_is_seen_through_a_proxy() {
        for pairs in [
            &[("x-forwarded-proto", "https")][..],
            &[("x-forwarded-proto", "HTTPS")],
            &[("x-forwarded-proto", "http, https")],
            &[("forwarded", "for=192.0.2.1;proto=https")],
            &[("forwarded", "for=192.0.2.1, Proto=\"https\"")],
        ] {
            assert!(is_secure(&headers(pairs)), "{pairs:?}");
        }
        for pairs in [
            &[][..],
            &[("x-forwarded-proto", "http")],
            &[("x-forwarded-proto", "https, http")],
            &[("forwarded", "for=192.0.2.1;proto=http")],
        ] {
            assert!(!is_secure(&headers(pairs)), "{pairs:?}");
        }
    }
}
