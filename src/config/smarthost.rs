//! The keys of a provider of type smtp: which server, how encrypted, and who we are there.

use std::net::{IpAddr, SocketAddr};
use std::num::{NonZeroU16, NonZeroUsize};
use std::time::Duration;

use super::providers::{ProviderConfig, ProviderKind};
use super::reader::Reader;
use super::smtp::SmtpConfig;
use super::units::RateLimit;
use super::value::{Setting, choice, quote, toml_text};
use crate::secret::Secret;

/// Message submission (RFC 6409), with STARTTLS.
const SUBMISSION: u16 = 587;
/// Submission with TLS from the first octet (RFC 8314).
const SUBMISSIONS: u16 = 465;

/// The keys of a provider of type smtp.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SmarthostConfig {
    /// A service whose host, port and encryption are known.
    pub preset: Option<Preset>,
    /// Its name or address.
    pub host: Option<String>,
    /// `None`: 587, or 465 with TLS from the first octet.
    pub port: Option<NonZeroU16>,
    /// Empty: no AUTH.
    pub username: String,
    pub password: Secret,
    pub tls: SmtpTls,
    /// What we call ourselves in EHLO: `smtp.hostname`. Empty: our address.
    pub hello: String,
}

/// A service with a well-known submission server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// <https://support.google.com/a/answer/176600>
    Gmail,
    /// <https://learn.microsoft.com/exchange/mail-flow-best-practices/how-to-set-up-a-multifunction-device-or-application-to-send-email-using-microsoft-365-or-office-365>
    Office365,
    /// <https://mail.naver.com>, its settings for POP3 and IMAP/SMTP.
    Naver,
    /// <https://docs.aws.amazon.com/ses/latest/dg/smtp-connect.html>
    Ses,
}

choice!(
    Preset,
    "one of gmail, office365, naver, ses (another server is given by host, port and tls)",
    "gmail" => Self::Gmail,
    "office365" => Self::Office365,
    "naver" => Self::Naver,
    "ses" => Self::Ses
);

/// How a connection to a smarthost is encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SmtpTls {
    /// From the first octet on port 465, by STARTTLS on others; never without.
    #[default]
    Auto,
    /// By STARTTLS, or not at all.
    StartTls,
    /// From the first octet.
    Implicit,
    /// Without encryption: for a smarthost on this machine or in a private network.
    Off,
}

impl Setting for SmtpTls {
    const EXPECTED: &'static str =
        "one of auto, starttls, implicit, off (true is auto, false is off)";

    /// Yes and no are what apps have in `SMTP_USE_TLS`.
    fn parse(text: &str) -> Option<Self> {
        Some(match text.to_ascii_lowercase().as_str() {
            "auto" | "true" | "1" | "yes" | "on" => Self::Auto,
            "starttls" => Self::StartTls,
            "implicit" => Self::Implicit,
            "off" | "false" | "0" | "no" => Self::Off,
            _ => return None,
        })
    }

    fn show(&self) -> String {
        toml_text(match self {
            Self::Auto => "auto",
            Self::StartTls => "starttls",
            Self::Implicit => "implicit",
            Self::Off => "off",
        })
    }
}

/// Where a smarthost is reached, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// A name or an address.
    pub host: String,
    pub port: u16,
    /// Never [`SmtpTls::Auto`].
    pub tls: SmtpTls,
}

impl Preset {
    /// The server, or `None` where the region is missing that its name has.
    fn host(self, region: Option<&str>) -> Option<String> {
        Some(match self {
            Self::Gmail => "smtp.gmail.com".to_owned(),
            Self::Office365 => "smtp.office365.com".to_owned(),
            Self::Naver => "smtp.naver.com".to_owned(),
            Self::Ses => {
                let region = region?;
                let suffix = if region.starts_with("cn-") { ".cn" } else { "" };
                format!("email-smtp.{region}.amazonaws.com{suffix}")
            }
        })
    }

    /// What user name and password are there, because it is seldom what people expect.
    fn credentials(self) -> &'static str {
        match self {
            Self::Gmail => {
                "the Gmail address and an app password (16 letters; the account needs 2-step verification, and its own \
                 password does not work): https://myaccount.google.com/apppasswords"
            }
            Self::Office365 => {
                "the mailbox's address and its password; SMTP AUTH must be switched on for the mailbox"
            }
            Self::Naver => {
                "the Naver ID and an application password (with 2-step verification); IMAP/SMTP must be switched on in \
                 the settings of Naver Mail"
            }
            Self::Ses => {
                "SMTP credentials, which the SES console makes for the region; the AWS access key does not work"
            }
        }
    }
}

impl SmarthostConfig {
    /// Where to connect to, or which key is missing. `region` is that of the provider's table.
    pub fn place(&self, region: Option<&str>) -> Result<Place, &'static str> {
        let host = match (&self.host, self.preset) {
            (Some(host), _) => host.clone(),
            (None, Some(preset)) => preset.host(region).ok_or("region")?,
            (None, None) => return Err("host"),
        };
        let port = self.port.map(NonZeroU16::get);
        let tls = match self.tls {
            SmtpTls::Auto if port == Some(SUBMISSIONS) => SmtpTls::Implicit,
            SmtpTls::Auto => SmtpTls::StartTls,
            chosen @ (SmtpTls::StartTls | SmtpTls::Implicit | SmtpTls::Off) => chosen,
        };
        let usual = if tls == SmtpTls::Implicit { SUBMISSIONS } else { SUBMISSION };
        Ok(Place { host, port: port.unwrap_or(usual), tls })
    }

    /// Messages per time that the service takes at the most, where that is published.
    pub fn rate(&self) -> Option<RateLimit> {
        match self.preset {
            // https://learn.microsoft.com/exchange/troubleshoot/send-emails/smtp-submission-improvements
            Some(Preset::Office365) => RateLimit::parse("30/m"),
            Some(Preset::Gmail | Preset::Naver | Preset::Ses) | None => None,
        }
    }
}

/// Connections that Office 365 allows for one mailbox; what is above gets 432.
const OFFICE365_CONNECTIONS: NonZeroUsize = NonZeroUsize::new(3).unwrap();
/// A server may take its time for the answer to a whole message, and to give up too early makes second copies.
const PATIENCE: Duration = Duration::from_mins(2);

/// Says what is wrong with the settings of a smarthost, and settles what follows from them.
pub(super) fn check(provider: &mut ProviderConfig, reader: &mut Reader) {
    if provider.kind != ProviderKind::Smtp {
        return;
    }
    let name = provider.name.clone();
    let path = |key: &str| format!("providers.{name}.{key}");
    if provider.smarthost.preset == Some(Preset::Office365) && !reader.is_set(&path("concurrency"))
    {
        provider.concurrency = OFFICE365_CONNECTIONS;
        reader.show_instead(&path("concurrency"), &provider.concurrency, "the preset");
    }
    if !reader.is_set(&path("timeout")) {
        provider.timeout = PATIENCE;
        reader.show_instead(&path("timeout"), &provider.timeout, "providers of type smtp");
    }

    let own = &provider.smarthost;
    if let Some(host) = &own.host
        && let Err(problem) = check_host(host)
    {
        reader.fault(&path("host"), problem);
    }
    let readable = |text: &str| !text.chars().any(char::is_control);
    if !readable(&own.username) {
        reader.fault(&path("username"), "contains a control character");
    }
    if !readable(own.password.expose()) {
        reader.fault(&path("password"), "contains a control character");
    }
    if let Ok(place) = own.place(provider.region.as_deref())
        && place.tls == SmtpTls::Off
        && !own.username.is_empty()
        && let Ok(address) = place.host.parse::<IpAddr>()
        && !is_near(address)
    {
        let text = format!(
            "is off: the password would travel unencrypted to {address}, a public address; use starttls or implicit"
        );
        reader.fault(&path("tls"), text);
    }
}

/// The half of the credentials that is missing, and what it is at this service.
pub(super) fn missing_credentials(provider: &ProviderConfig) -> Option<(&'static str, String)> {
    let own = &provider.smarthost;
    let hint = own.preset.map_or_else(String::new, |it| format!(": {}", it.credentials()));
    match (own.username.is_empty(), own.password.is_empty(), own.preset) {
        (false, true, _) => {
            Some(("password", format!("is missing for this username (also SMTP_PASSWORD){hint}")))
        }
        (true, false, _) => {
            Some(("username", format!("is missing for this password (also SMTP_USER){hint}")))
        }
        // A host of its own may be a relay of the service that goes by the address of the client.
        (true, true, Some(_)) if own.host.is_none() => {
            Some(("username", format!("is missing, and so is password{hint}")))
        }
        (true, true, _) | (false, false, _) => None,
    }
}

/// A name of letters, digits, dots and hyphens, or an IP address.
fn check_host(host: &str) -> Result<(), String> {
    if host.parse::<IpAddr>().is_ok() {
        return Ok(());
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if host.contains("://") {
        return Err(format!("{} is a URL: give the name of the server alone", quote(host)));
    }
    let port = host.rsplit_once(':').filter(|(name, _)| !name.contains(':'));
    if port.is_some_and(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit())) {
        return Err(format!("{} has a port in it: give it as port", quote(host)));
    }
    let label = |label: &str| !label.is_empty() && label.len() <= 63 && !label.starts_with('-');
    let name = host.strip_suffix('.').unwrap_or(host);
    if host.len() > 253 || !name.split('.').all(label) || !host.bytes().all(plain) {
        return Err(format!("{} is not the name or the IP address of a server", quote(host)));
    }
    Ok(())
}

/// Whether an address is this machine's own or in a network that cannot be reached from outside.
pub fn is_near(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

/// Refuses a smarthost that is this very program: its mail would go round for ever.
pub(super) fn check_loops(
    providers: &mut [ProviderConfig],
    smtp: &SmtpConfig,
    reader: &mut Reader,
) {
    for provider in providers.iter_mut().filter(|it| it.kind == ProviderKind::Smtp) {
        provider.smarthost.hello.clone_from(&smtp.hostname);
        let Ok(place) = provider.smarthost.place(provider.region.as_deref()) else { continue };
        let own = smtp.listen.iter().chain(&smtp.listen_tls);
        if let Some(listener) = own.into_iter().find(|it| is_listener(&place, **it, &smtp.hostname))
        {
            let text = format!(
                "{}:{} is where this mailferry itself listens ({listener}): mail would go round in a circle",
                place.host, place.port
            );
            reader.fault(&format!("providers.{}.host", provider.name), text);
        }
    }
}

/// Whether connecting to the place ends at this listener, as far as names and numbers tell.
fn is_listener(place: &Place, listener: SocketAddr, hostname: &str) -> bool {
    if place.port != listener.port() {
        return false;
    }
    let host = place.host.trim_end_matches('.');
    let ours = listener.ip().to_canonical();
    match host.parse::<IpAddr>().map(|address| address.to_canonical()) {
        Ok(address) => {
            address == ours
                || address.is_unspecified()
                || (ours.is_unspecified() && address.is_loopback())
        }
        Err(_) if host.eq_ignore_ascii_case("localhost") => {
            ours.is_loopback() || ours.is_unspecified()
        }
        Err(_) => {
            !hostname.is_empty() && host.eq_ignore_ascii_case(hostname) && !ours.is_loopback()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(change: impl FnOnce(&mut SmarthostConfig)) -> Result<Place, &'static str> {
        let mut config = SmarthostConfig::default();
        change(&mut config);
        config.place(Some("eu-west-1"))
    }

    fn port(number: u16) -> Option<NonZeroU16> {
        NonZeroU16::new(number)
    }

    #[test]
    fn a_preset_knows_its_server_and_everything_can_be_given_instead() {
        let of = |preset| place(|it| it.preset = Some(preset)).unwrap();
        for (preset, host) in [
            (Preset::Gmail, "smtp.gmail.com"),
            (Preset::Office365, "smtp.office365.com"),
            (Preset::Naver, "smtp.naver.com"),
            (Preset::Ses, "email-smtp.eu-west-1.amazonaws.com"),
        ] {
            let expected = Place { host: host.to_owned(), port: 587, tls: SmtpTls::StartTls };
            assert_eq!(of(preset), expected);
        }
        let ses = SmarthostConfig { preset: Some(Preset::Ses), ..SmarthostConfig::default() };
        assert_eq!(ses.place(None), Err("region"));
        assert_eq!(
            ses.place(Some("cn-north-1")).unwrap().host,
            "email-smtp.cn-north-1.amazonaws.com.cn"
        );
        let other = place(|it| {
            it.preset = Some(Preset::Gmail);
            it.host = Some("smtp-relay.gmail.com".to_owned());
            it.port = port(465);
        });
        let expected =
            Place { host: "smtp-relay.gmail.com".to_owned(), port: 465, tls: SmtpTls::Implicit };
        assert_eq!(other, Ok(expected));
        assert_eq!(place(|_| ()), Err("host"));
    }

    #[test]
    fn the_port_and_the_encryption_follow_from_each_other() {
        for (tls, given, expected) in [
            (SmtpTls::Auto, None, (587, SmtpTls::StartTls)),
            (SmtpTls::Auto, port(465), (465, SmtpTls::Implicit)),
            (SmtpTls::Auto, port(25), (25, SmtpTls::StartTls)),
            (SmtpTls::StartTls, port(465), (465, SmtpTls::StartTls)),
            (SmtpTls::Implicit, None, (465, SmtpTls::Implicit)),
            (SmtpTls::Off, None, (587, SmtpTls::Off)),
        ] {
            let place = place(|it| {
                it.host = Some("mx".to_owned());
                (it.tls, it.port) = (tls, given);
            });
            let place = place.unwrap();
            assert_eq!((place.port, place.tls), expected);
        }
    }

    #[test]
    fn a_host_is_a_name_or_an_address() {
        for good in
            ["mx", "smtp.gmail.com", "mail_relay.lan", "192.0.2.1", "::1", "mx.example.org."]
        {
            assert_eq!(check_host(good), Ok(()), "{good}");
        }
        for (bad, word) in [
            ("smtp://mx", "URL"),
            ("mx:587", "port"),
            ("a b", "not the name"),
            ("a..b", "not the name"),
            ("한국.kr", "not the name"),
            ("x@y", "not the name"),
            ("a\r\nb", "not the name"),
        ] {
            assert!(check_host(bad).unwrap_err().contains(word), "{bad}");
        }
    }

    #[test]
    fn a_smarthost_that_is_this_program_is_seen() {
        let place = |host: &str, port| Place { host: host.to_owned(), port, tls: SmtpTls::Off };
        let here: SocketAddr = "127.0.0.1:1025".parse().unwrap();
        let everywhere: SocketAddr = "0.0.0.0:1025".parse().unwrap();
        for host in ["127.0.0.1", "localhost", "LOCALHOST.", "::ffff:127.0.0.1"] {
            assert!(is_listener(&place(host, 1025), here, ""), "{host}");
            assert!(is_listener(&place(host, 1025), everywhere, ""), "{host}");
            assert!(!is_listener(&place(host, 25), here, ""), "{host}");
        }
        assert!(is_listener(&place("relay.example", 1025), everywhere, "relay.example"));
        assert!(!is_listener(&place("relay.example", 1025), here, "relay.example"));
        assert!(!is_listener(&place("192.0.2.7", 1025), everywhere, ""));
    }
}
