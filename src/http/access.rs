//! Who may ask what.
//!
//! With a token, whoever presents it may; without, whoever comes from a trusted network. Trust is decided by the TCP
//! peer alone: a forwarding header never gives any. It takes it away, because the caller is then somebody else.
//!
//! A browser on a trusted network is also a tool in the hands of every site that it visits. Against a public name that
//! suddenly points to a private address (DNS rebinding) stands [`is_local_name`], against foreign forms and scripts
//! stands [`cross_site`].

use std::net::IpAddr;

use axum::http::header::{AUTHORIZATION, FORWARDED, HOST, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, StatusCode, Uri};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ipnet::IpNet;

use super::error::Problem;
use crate::config::HttpConfig;
use crate::secret::Secret;

/// The rule of `[http]`.
#[derive(Clone, Debug)]
pub(super) struct Access {
    token: Secret,
    trusted_networks: Vec<IpNet>,
}

/// Why somebody may not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Denied {
    /// A token is set and none was presented.
    TokenMissing,
    /// What was presented is not the token.
    TokenWrong,
    /// No token is set, and the peer is not in `http.trusted_networks`.
    Stranger(IpAddr),
    /// No token is set, and a proxy speaks for somebody whom we do not see.
    Forwarded,
    /// No token is set, and the host name could be anybody's.
    PublicName(String),
}

impl Access {
    pub(super) fn new(config: &HttpConfig) -> Self {
        Self { token: config.token.clone(), trusted_networks: config.trusted_networks.clone() }
    }

    /// Whether this caller may use an endpoint that sends, changes or shows mail.
    pub(super) fn check(&self, peer: IpAddr, uri: &Uri, headers: &HeaderMap) -> Result<(), Denied> {
        if self.token.is_empty() {
            self.check_network(peer, uri, headers)
        } else {
            self.check_token(headers)
        }
    }

    fn check_token(&self, headers: &HeaderMap) -> Result<(), Denied> {
        match presented_token(headers) {
            Some(token) if self.token.matches(&token) => Ok(()),
            Some(_) => Err(Denied::TokenWrong),
            None => Err(Denied::TokenMissing),
        }
    }

    fn check_network(&self, peer: IpAddr, uri: &Uri, headers: &HeaderMap) -> Result<(), Denied> {
        let peer = peer.to_canonical();
        if !self.trusted_networks.iter().any(|network| network.contains(&peer)) {
            return Err(Denied::Stranger(peer));
        }
        if is_forwarded(headers) {
            return Err(Denied::Forwarded);
        }
        match host_names(uri, headers).find(|name| !is_local_name(name)) {
            Some(name) => Err(Denied::PublicName(name.chars().take(100).collect())),
            None => Ok(()),
        }
    }
}

impl Denied {
    /// The answer. `prompt`: a person with a browser is asking, who can be asked for a password.
    pub(super) fn problem(&self, prompt: bool) -> Problem {
        let forbidden = |code, message| Problem::new(StatusCode::FORBIDDEN, code, message);
        match self {
            Self::TokenMissing => Problem::unauthorized(
                "this needs the token of http.token: send the header Authorization: Bearer TOKEN",
                prompt,
            ),
            Self::TokenWrong => {
                Problem::unauthorized("this is not the token of http.token", prompt)
            }
            Self::Stranger(peer) => forbidden(
                "forbidden",
                format!(
                    "{peer} is not in http.trusted_networks; set http.token \
                     (MAILFERRY__HTTP__TOKEN) and present it, or add the network"
                ),
            ),
            Self::Forwarded => forbidden(
                "forbidden_proxy",
                "this request came through a reverse proxy, so its sender cannot be known; \
                 set http.token (MAILFERRY__HTTP__TOKEN) and present it"
                    .to_owned(),
            ),
            Self::PublicName(name) => forbidden(
                "forbidden_host",
                format!(
                    "without a token the host name {name:?} is not accepted, because any web site could have a name \
                     that points here; use the IP address, localhost or a name without dots, or set http.token \
                     (MAILFERRY__HTTP__TOKEN), as behind a reverse proxy"
                ),
            ),
        }
    }
}

/// The token of a Bearer credential, or the password of a Basic one: browsers can prompt for that.
fn presented_token(headers: &HeaderMap) -> Option<String> {
    let credential = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, value) = credential.split_once(' ')?;
    let value = value.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(value.to_owned());
    }
    if scheme.eq_ignore_ascii_case("basic") {
        let pair = String::from_utf8(STANDARD.decode(value).ok()?).ok()?;
        return pair.split_once(':').map(|(_, password)| password.to_owned());
    }
    None
}

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

fn is_forwarded(headers: &HeaderMap) -> bool {
    [FORWARDED, X_FORWARDED_FOR, X_REAL_IP].iter().any(|name| headers.contains_key(name))
}

/// Every host name that the request gives, without ports. None for a client that gives none: no browser does that.
fn host_names<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> impl Iterator<Item = String> + 'a {
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
fn is_local_name(name: &str) -> bool {
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

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// True for a request that a browser makes on behalf of another site. Programs send neither header.
pub(super) fn cross_site(headers: &HeaderMap) -> bool {
    if let Some(site) = headers.get(SEC_FETCH_SITE) {
        return !(site == "same-origin" || site == "none");
    }
    let Some(origin) = headers.get(ORIGIN) else { return false };
    let authority = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    match (authority, host) {
        (Some((_, authority)), Some(host)) => !authority.eq_ignore_ascii_case(host),
        (Some(_) | None, Some(_) | None) => true,
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;
    use crate::config;

    const LAN: &str = "192.168.1.7";
    const STRANGER: &str = "203.0.113.9";

    fn access(token: &str) -> Access {
        Access { token: Secret::new(token), trusted_networks: config::trusted_networks() }
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    fn check(token: &str, peer: &str, pairs: &[(&'static str, &str)]) -> Result<(), Denied> {
        access(token).check(peer.parse().unwrap(), &Uri::from_static("/"), &headers(pairs))
    }

    #[test]
    fn without_a_token_only_trusted_networks_may() {
        for peer in ["127.0.0.1", "::1", LAN, "::ffff:10.0.0.1", "fe80::1"] {
            assert_eq!(check("", peer, &[("host", "localhost:8025")]), Ok(()), "{peer}");
        }
        let denied = check("", STRANGER, &[("host", "localhost:8025")]);
        assert_eq!(denied, Err(Denied::Stranger(STRANGER.parse().unwrap())));
    }

    #[test]
    fn with_a_token_only_the_token_counts() {
        assert_eq!(check("s3cret", LAN, &[]), Err(Denied::TokenMissing));
        let wrong = [("authorization", "Bearer s3crets")];
        assert_eq!(check("s3cret", LAN, &wrong), Err(Denied::TokenWrong));
        let right = [("authorization", "bearer s3cret"), ("host", "mail.example.org")];
        assert_eq!(check("s3cret", STRANGER, &right), Ok(()));
    }

    #[test]
    fn the_token_is_also_the_password_of_a_browser() {
        let basic = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
        let check = |value: &str| check("s3:cret", STRANGER, &[("authorization", value)]);
        assert_eq!(check(&basic("anybody:s3:cret")), Ok(()));
        assert_eq!(check(&basic(":s3:cret")), Ok(()));
        assert_eq!(check(&basic("s3:cret:")), Err(Denied::TokenWrong));
        assert_eq!(check("Basic !"), Err(Denied::TokenMissing));
        assert_eq!(check("Digest s3:cret"), Err(Denied::TokenMissing));
    }

    #[test]
    fn an_empty_credential_does_not_match_an_unset_token() {
        let pairs = [("authorization", "Bearer "), ("host", "localhost")];
        assert!(check("", STRANGER, &pairs).is_err());
        let pairs = [("authorization", "Basic Og=="), ("host", "localhost")];
        assert!(check("", STRANGER, &pairs).is_err());
    }

    #[test]
    fn a_forwarding_header_gives_no_trust_and_takes_it_away() {
        for name in ["x-forwarded-for", "forwarded", "x-real-ip"] {
            let pairs = [(name, "127.0.0.1"), ("host", "localhost")];
            assert!(matches!(check("", STRANGER, &pairs), Err(Denied::Stranger(_))), "{name}");
            assert_eq!(check("", "127.0.0.1", &pairs), Err(Denied::Forwarded), "{name}");
        }
    }

    #[test]
    fn a_public_name_that_points_here_is_not_trusted() {
        for name in [
            "evil.example",
            "evil.example:8025",
            "a.b.c",
            "",
            ".",
            "mailferry@evil.example",
            "localhost.evil.example",
        ] {
            let denied = check("", LAN, &[("host", name)]);
            assert!(matches!(denied, Err(Denied::PublicName(_))), "{name}: {denied:?}");
        }
        let two = check("", LAN, &[("host", "localhost"), ("host", "evil.example")]);
        assert_eq!(two, Err(Denied::PublicName("evil.example".to_owned())));
        let absolute = Uri::from_static("http://evil.example/");
        let denied =
            access("").check(LAN.parse().unwrap(), &absolute, &headers(&[("host", "localhost")]));
        assert_eq!(denied, Err(Denied::PublicName("evil.example".to_owned())));
    }

    #[test]
    fn names_of_the_own_network_are_trusted() {
        for name in [
            "127.0.0.1:8025",
            "[::1]:8025",
            "[::1]",
            "192.168.1.2",
            "localhost:8025",
            "LOCALHOST",
            "mailferry:8025",
            "mail_ferry",
            "host.docker.internal:8025",
            "nas.local",
            "mailferry.prod.svc.cluster.local:8025",
        ] {
            assert_eq!(check("", LAN, &[("host", name)]), Ok(()), "{name}");
        }
        assert_eq!(check("", LAN, &[]), Ok(()), "a client without Host is no browser");
    }

    #[test]
    fn another_sites_browser_cannot_post() {
        for pairs in [
            &[("sec-fetch-site", "cross-site"), ("host", "localhost")][..],
            &[("sec-fetch-site", "same-site"), ("host", "localhost")],
            &[("origin", "https://evil.example"), ("host", "localhost")],
            &[("origin", "null"), ("host", "localhost")],
            &[("origin", "http://localhost:3000"), ("host", "localhost:8025")],
            &[("origin", "http://localhost")],
        ] {
            assert!(cross_site(&headers(pairs)), "{pairs:?}");
        }
        for pairs in [
            &[("host", "localhost")][..],
            &[("sec-fetch-site", "same-origin"), ("origin", "https://x"), ("host", "y")],
            &[("sec-fetch-site", "none")],
            &[("origin", "https://Mail.example.org"), ("host", "mail.example.org")],
        ] {
            assert!(!cross_site(&headers(pairs)), "{pairs:?}");
        }
    }
}
