//! Settings that become a part of the address to which mail and credentials go, and so must be what they seem.

use std::net::IpAddr;

use url::{Host, Url};

use super::ProviderConfig;
use super::providers::ProviderKind;
use super::reader::Reader;
use super::smarthost::is_near;
use crate::signature::Signer;

/// Where Mailgun has accounts. Others would be asked in vain.
const MAILGUN_REGIONS: [&str; 2] = ["us", "eu"];

/// The longest domain name, in octets (RFC 1035 §2.3.4, without the length octets).
const DOMAIN_MAX: usize = 253;
const LABEL_MAX: usize = 63;

/// Says what is wrong with the settings of `provider` that are of this kind.
pub(super) fn check(provider: &ProviderConfig, reader: &mut Reader) {
    let path = |key: &str| format!("providers.{}.{key}", provider.name);
    if let Some(region) = &provider.region {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if provider.kind == ProviderKind::Mailgun {
            if !MAILGUN_REGIONS.contains(&region.as_str()) {
                reader.fault(&path("region"), "is not a region of Mailgun: \"us\" or \"eu\"");
            }
        } else if !region.chars().all(plain) {
            // It becomes a part of the host name that the credentials are sent to.
            reader.fault(&path("region"), "is not a region such as \"eu-west-1\"");
        }
    }
    if provider.domain.as_deref().is_some_and(|domain| sending_domain(domain).is_none()) {
        reader.fault(&path("domain"), "is not a domain name such as \"mg.example.org\"");
    }
    if let Some(problem) = provider.url.as_ref().and_then(webhook_problem) {
        reader.fault(&path("url"), problem);
    }
    if provider.kind == ProviderKind::Webhook
        && !provider.secret.is_empty()
        && let Err(problem) = Signer::new(&provider.secret)
    {
        reader.fault(&path("secret"), problem.to_string());
    }
}

/// The name of a domain in ASCII and lower case, as it can stand in a path; `None` when the text is no such name.
pub fn sending_domain(text: &str) -> Option<String> {
    let name = idna::domain_to_ascii(text.trim()).ok()?;
    let is_label = |label: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        (1..=LABEL_MAX).contains(&label.len())
            && label.bytes().all(plain)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let valid = name.len() <= DOMAIN_MAX && name.contains('.') && name.split('.').all(is_label);
    valid.then_some(name)
}

/// Why no mail can be posted to this address.
pub fn webhook_problem(url: &Url) -> Option<&'static str> {
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        Some("must be an https:// address")
    } else if !url.username().is_empty() || url.password().is_some() {
        Some(
            "must not contain a user name or password: they would show in logs, and the signature tells the \
             receiver who posts",
        )
    } else if url.fragment().is_some() {
        Some("must not contain a #, which no receiver gets to see")
    } else if url.scheme() == "http" && !is_private(url) {
        Some(
            "must be https://: what is posted would travel unencrypted. http:// is taken for this machine and for private \
             networks",
        )
    } else {
        None
    }
}

/// True for an address that is reached within a private network: by the address itself, or by a name that public DNS
/// does not have (RFC 6761, RFC 6762, RFC 8375, and `.internal`, which ICANN has reserved).
pub fn is_private(url: &Url) -> bool {
    const SUFFIXES: [&str; 4] = [".localhost", ".local", ".internal", ".home.arpa"];
    match url.host() {
        Some(Host::Ipv4(ip)) => is_near(ip.into()),
        Some(Host::Ipv6(ip)) => is_near(ip.into()),
        Some(Host::Domain(name)) => {
            !name.contains('.') || SUFFIXES.iter().any(|suffix| name.ends_with(suffix))
        }
        None => false,
    }
}

/// True for an address of this machine.
pub fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => IpAddr::V6(ip).to_canonical().is_loopback(),
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_a_name_and_no_part_of_a_path() {
        assert_eq!(sending_domain(" MG.Example.org").as_deref(), Some("mg.example.org"));
        assert_eq!(sending_domain("예시.한국").as_deref(), Some("xn--vv4b11d.xn--3e0b707e"));
        assert_eq!(sending_domain("_mg.example.org").as_deref(), Some("_mg.example.org"));
        let long = format!("{}.org", "a.".repeat(130));
        for bad in [
            "",
            "mg",
            "mg..org",
            "a/b.org",
            "a.org/x",
            "a?b.org",
            "a#b.org",
            "a%2f.org",
            "ada@x.org",
            "https://mg.example.org",
            "-a.org",
            "a-.org",
            "a b.org",
            "..",
            long.as_str(),
        ] {
            assert_eq!(sending_domain(bad), None, "{bad}");
        }
    }

    #[test]
    fn mail_is_posted_encrypted_or_within_a_private_network() {
        let problem = |url: &str| webhook_problem(&url.parse().unwrap());
        for good in [
            "https://hooks.example.org/mail?token=x",
            "http://127.0.0.1:9/x",
            "http://[::1]:9",
            "http://10.1.2.3/",
            "http://[::ffff:10.1.2.3]/",
            "http://receiver:8080/",
            "http://receiver.default.svc.cluster.local/",
            "http://localhost/",
        ] {
            assert_eq!(problem(good), None, "{good}");
        }
        for (bad, word) in [
            ("http://hooks.example.org/", "https://"),
            ("http://203.0.113.1/", "https://"),
            ("http://[2001:db8::1]/", "https://"),
            ("http://notlocal.example/", "https://"),
            ("ftp://hooks.example.org/", "https://"),
            ("mailto:a@example.org", "https://"),
            ("https://user@hooks.example.org/", "user name"),
            ("https://user:pw@hooks.example.org/", "user name"),
            ("https://hooks.example.org/#a", "#"),
        ] {
            assert!(problem(bad).is_some_and(|text| text.contains(word)), "{bad}");
        }
    }

    #[test]
    fn this_machine_is_known_by_address_and_name() {
        let here = |url: &str| is_this_machine(&url.parse().unwrap());
        assert!(here("http://127.9.9.9/") && here("http://[::1]/") && here("http://localhost:1/"));
        assert!(here("http://[::ffff:127.0.0.1]/"));
        assert!(!here("http://10.0.0.1/") && !here("http://receiver/"));
    }
}
