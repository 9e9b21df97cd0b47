//! Who may ask what.
//!
//! With a token, whoever presents it may; without, whoever comes from a trusted network. Trust is decided by the TCP
//! peer alone: a forwarding header never gives any. It takes it away, because the caller is then somebody else.
//!
//! A person gives the token to the login form once and has a session then ([`sessions`]). Guessing is slow and stops
//! ([`guesses`]). Who asks is found once for each request: its [`Caller`].
//!
//! A browser is also a tool in the hands of every site that it visits. Against a public name that suddenly points to a
//! private address (DNS rebinding) stands [`host::is_local_name`], against foreign forms and scripts stand [`cross_site`]
//! and the token that each form of ours brings back.

mod caller;
pub(super) mod cookie;
mod guesses;
mod host;
mod sessions;
mod site;

use std::net::IpAddr;
use std::time::Duration;

use axum::http::{HeaderMap, StatusCode, Uri};
use ipnet::IpNet;

pub(super) use self::caller::{Account, Asking, Caller, LoginRefused, Memory, Who};
pub(super) use self::guesses::Guesser;
pub(super) use self::host::is_secure;
pub(super) use self::site::{Site, cross_site, is_reading, site};

use super::error::Problem;
use crate::config::{HttpConfig, RateLimit};
use crate::secret::Secret;

/// The rule of `[http]`.
#[derive(Clone, Debug)]
pub(super) struct Access {
    token: Secret,
    trusted_networks: Vec<IpNet>,
    hosts: Vec<String>,
    /// Test mails of one caller.
    pub(super) send_rate: RateLimit,
    /// What one caller puts into the queue.
    pub(super) submit_rate: RateLimit,
}

/// Why somebody may not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Denied {
    /// A token is set and none was presented.
    TokenMissing,
    /// What was presented is not the token. The answer is held back for so long.
    TokenWrong(Duration),
    /// Too much was presented that is not the token: for so many seconds nothing is compared.
    TooManyGuesses(u64),
    /// No token is set, and the peer is not in `http.trusted_networks`.
    Stranger(IpAddr),
    /// No token is set, and a proxy speaks for somebody whom we do not see.
    Forwarded,
    /// No token is set, and the host name could be anybody's.
    PublicName(String),
}

impl Access {
    pub(super) fn new(config: &HttpConfig) -> Self {
        Self {
            token: config.token.clone(),
            trusted_networks: config.trusted_networks.clone(),
            hosts: config.hosts.clone(),
            send_rate: config.send_rate,
            submit_rate: config.submit_rate,
        }
    }

    /// True when there is something to log in with.
    pub(super) fn has_token(&self) -> bool {
        !self.token.is_empty()
    }

    fn check_network(&self, peer: IpAddr, uri: &Uri, headers: &HeaderMap) -> Result<(), Denied> {
        let peer = peer.to_canonical();
        if !self.trusted_networks.iter().any(|network| network.contains(&peer)) {
            return Err(Denied::Stranger(peer));
        }
        if host::is_forwarded(headers) {
            return Err(Denied::Forwarded);
        }
        let known = |name: &String| host::is_local_name(name) || host::is_one_of(name, &self.hosts);
        match host::host_names(uri, headers).find(|name| !known(name)) {
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
            Self::TokenWrong(_) => {
                Problem::unauthorized("this is not the token of http.token", prompt)
            }
            Self::TooManyGuesses(seconds) => Problem::too_many(
                format!(
                    "too many wrong tokens came from this address; in {seconds} s one is looked at again"
                ),
                *seconds,
            ),
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
                     that points here; use the IP address, localhost or a name without dots, add your own name to http.hosts, or \
                     set http.token (MAILFERRY__HTTP__TOKEN), as behind a reverse proxy"
                ),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use tokio::time::Instant;

    use super::*;
    use crate::config;

    const LAN: &str = "192.168.1.7";
    const WRONG: Denied = Denied::TokenWrong(Duration::from_millis(250));
    const STRANGER: &str = "203.0.113.9";

    fn access(token: &str) -> Access {
        let minutely = |calls| RateLimit { calls, per: Duration::from_mins(1) };
        Access {
            token: Secret::new(token),
            trusted_networks: config::trusted_networks(),
            hosts: vec!["mail.example.org".to_owned()],
            send_rate: minutely(30),
            submit_rate: minutely(6000),
        }
    }

    pub(super) fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    fn check(token: &str, peer: &str, pairs: &[(&'static str, &str)]) -> Result<(), Denied> {
        called(token, peer, &Uri::from_static("/"), pairs).check().map_err(Clone::clone)
    }

    fn called(token: &str, peer: &str, uri: &Uri, pairs: &[(&'static str, &str)]) -> Caller {
        let (peer, headers, now) = (peer.parse().unwrap(), headers(pairs), Instant::now());
        let asking = Asking { peer, uri, headers: &headers, now };
        access(token).caller(&Memory::new().unwrap(), &asking)
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
        assert_eq!(check("s3cret", LAN, &wrong), Err(WRONG));
        let right = [("authorization", "bearer s3cret"), ("host", "mail.example.org")];
        assert_eq!(check("s3cret", STRANGER, &right), Ok(()));
    }

    #[test]
    fn the_token_is_also_the_password_of_a_browser() {
        let basic = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
        let check = |value: &str| check("s3:cret", STRANGER, &[("authorization", value)]);
        assert_eq!(check(&basic("anybody:s3:cret")), Ok(()));
        assert_eq!(check(&basic(":s3:cret")), Ok(()));
        assert_eq!(check(&basic("s3:cret:")), Err(WRONG));
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
        for name in ["x-forwarded-for", "forwarded", "x-real-ip", "x-forwarded-host", "via"] {
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
            "x.mail.example.org",
            "mail.example.org.evil.example",
        ] {
            let denied = check("", LAN, &[("host", name)]);
            assert!(matches!(denied, Err(Denied::PublicName(_))), "{name}: {denied:?}");
        }
        let two = check("", LAN, &[("host", "localhost"), ("host", "evil.example")]);
        assert_eq!(two, Err(Denied::PublicName("evil.example".to_owned())));
        let absolute = Uri::from_static("http://evil.example/");
        let caller = called("", LAN, &absolute, &[("host", "localhost")]);
        assert_eq!(caller.check(), Err(&Denied::PublicName("evil.example".to_owned())));
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
            "Mail.Example.org.:8025",
        ] {
            assert_eq!(check("", LAN, &[("host", name)]), Ok(()), "{name}");
        }
        assert_eq!(check("", LAN, &[]), Ok(()), "a client without Host is no browser");
    }
}
