//! `[http]`: health, API and page.

use std::net::SocketAddr;

use ipnet::IpNet;

use super::reader::Reader;
use super::units::RateLimit;
use super::value::{Setting, toml_text};
use crate::secret::Secret;

/// How the HTTP side listens and whom it trusts.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The Bearer token of every endpoint that sends, changes or shows mail; empty: none.
    pub token: Secret,
    /// Without a token, only these may use those endpoints.
    pub trusted_networks: Vec<IpNet>,
    /// Without a token, names of this machine that are accepted besides those that no web site can have. In lower case.
    pub hosts: Vec<String>,
    /// How many test mails one caller may have sent at once.
    pub send_rate: RateLimit,
    /// How many messages one caller may hand in or have tried again.
    pub submit_rate: RateLimit,
}

/// One of `http.hosts`.
struct HostName(String);

impl Setting for HostName {
    const EXPECTED: &'static str =
        "a host name such as \"mail.example.org\", without a scheme and a port";

    fn parse(text: &str) -> Option<Self> {
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let fits = (1..=253).contains(&name.len()) && !name.starts_with('.');
        let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        (fits && name.chars().all(known) && !name.contains("..")).then_some(Self(name))
    }

    fn show(&self) -> String {
        toml_text(&self.0)
    }
}

impl HttpConfig {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let hosts: Vec<HostName> = reader.get("http.hosts");
        Self {
            listen: reader.get("http.listen"),
            token: reader.get("http.token"),
            trusted_networks: reader.get("http.trusted_networks"),
            hosts: hosts.into_iter().map(|HostName(name)| name).collect(),
            send_rate: reader.get("http.send_rate"),
            submit_rate: reader.get("http.submit_rate"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_and_nothing_more() {
        for (text, name) in [
            ("mail.example.org", "mail.example.org"),
            ("Mail.Example.ORG.", "mail.example.org"),
            ("xn--oi2b61z32a.example", "xn--oi2b61z32a.example"),
            ("mail_1", "mail_1"),
        ] {
            assert_eq!(HostName::parse(text).map(|host| host.0).as_deref(), Some(name));
        }
        for text in
            ["", ".", "a..b", "http://a", "a:8025", "*.example.org", "a/b", ".a", "우체국.kr"]
        {
            assert!(HostName::parse(text).is_none(), "{text}");
        }
    }
}
