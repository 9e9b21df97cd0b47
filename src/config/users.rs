//! `[[smtp.users]]`: who may send after authentication, and as whom.

use std::collections::BTreeSet;
use std::fmt;

use super::password::{PasswordFault, PasswordForm};
use super::reader::Reader;
use super::routes::RouteConfig;
use super::schema;
use super::value::{Setting, quote, toml_text};
use crate::message::Address;
use crate::secret::Secret;

/// One user of the SMTP server.
#[derive(Clone, Debug, PartialEq)]
pub struct UserConfig {
    /// The name that AUTH gives, compared octet by octet.
    pub username: String,
    /// The password itself, or a hash of it that says so itself: argon2 in PHC form (`$argon2id$…`), bcrypt (`$2b$…`).
    pub password: Secret,
    /// The From addresses that this user may send with; empty: all.
    pub senders: Vec<SenderPattern>,
    /// The name of the route that this user's mail takes instead of `delivery.providers`.
    pub route: Option<String>,
    /// Whether header fields of this user's mail that give the provider orders (`X-PM-Tag`, `X-SMTPAPI` …) count.
    pub provider_options: bool,
}

/// The longest user name, in octets. SASL knows no limit; one line of AUTH holds far more.
const USERNAME_MAX: usize = 255;
/// The longest password, in octets.
const PASSWORD_MAX: usize = 1_024;

impl UserConfig {
    /// Whether the user may send as this address.
    pub fn may_send_as(&self, address: &Address) -> bool {
        self.senders.is_empty() || self.senders.iter().any(|pattern| pattern.matches(address))
    }

    /// Whether the user names this route.
    pub(super) fn is_routed_by(&self, route: &RouteConfig) -> bool {
        self.route.as_ref() == Some(&route.name)
    }

    /// Reads all users. What their routes are is checked when the routes are known.
    pub(super) fn read_all(reader: &mut Reader) -> Vec<Self> {
        let mut names = BTreeSet::new();
        let paths = reader.items("smtp.users");
        paths.iter().map(|path| Self::read(path, &mut names, reader)).collect()
    }

    fn read(path: &str, names: &mut BTreeSet<String>, reader: &mut Reader) -> Self {
        let (name_path, password_path) = (format!("{path}.username"), format!("{path}.password"));
        let user = Self {
            username: reader.get(&name_path),
            password: reader.get(&password_path),
            senders: reader.get(&format!("{path}.senders")),
            route: reader.get(&format!("{path}.route")),
            provider_options: reader.get(&format!("{path}.provider_options")),
        };
        if reader.has_fault(&name_path) {
            // Said already.
        } else if user.username.is_empty() {
            reader.fault_in(path, &name_path, "is missing: every user needs a name");
        } else if user.username.len() > USERNAME_MAX {
            reader.fault(&name_path, format!("must not be longer than {USERNAME_MAX} octets"));
        } else if !names.insert(user.username.clone()) {
            let name = quote(&user.username);
            reader.fault(&name_path, format!("another user has the name {name} already"));
        }
        if !reader.has_fault(&password_path) {
            user.check_password(path, &password_path, reader);
        }
        user
    }

    fn check_password(&self, user: &str, path: &str, reader: &mut Reader) {
        if self.password.is_empty() {
            let variable = schema::variable(path);
            let message = format!(
                "is missing; set password (itself or what `mailferry hash-password` makes of it) or \
                 password_file, or the variable {variable} or {variable}_FILE"
            );
            reader.fault_in(user, path, message);
        } else if self.password.expose().len() > PASSWORD_MAX {
            reader.fault(path, format!("must not be longer than {PASSWORD_MAX} octets"));
        } else if let Err(PasswordFault(message)) = PasswordForm::of(&self.password) {
            reader.fault(path, message);
        }
    }
}

/// A sender address, or every address of a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SenderPattern {
    /// `ada@example.org`.
    Address(Address),
    /// `*@example.org`: all mailboxes of this very domain, not of its subdomains.
    Domain(String),
}

impl SenderPattern {
    /// Whether the address is meant.
    pub fn matches(&self, address: &Address) -> bool {
        match self {
            Self::Address(own) => own.same_mailbox(address.as_str()),
            Self::Domain(domain) => address.is_of_domain(domain),
        }
    }
}

impl Setting for SenderPattern {
    const EXPECTED: &'static str =
        "an address such as \"ada@example.org\", or a whole domain such as \"*@example.org\"";

    /// `@example.org` is a domain as well. A bare word is none: it may be the name of a user.
    fn parse(text: &str) -> Option<Self> {
        let (local, domain) = text.rsplit_once('@')?;
        if local.is_empty() || local == "*" {
            let address: Address = format!("x@{domain}").parse().ok()?;
            return Some(Self::Domain(address.domain().to_owned()));
        }
        // Although a mailbox may have a star in its name, whoever writes one here means a pattern.
        text.parse().ok().filter(|_| !local.contains('*')).map(Self::Address)
    }

    fn show(&self) -> String {
        match self {
            Self::Address(address) => address.show(),
            Self::Domain(_) => toml_text(&self.to_string()),
        }
    }
}

impl fmt::Display for SenderPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Domain(domain) => write!(f, "*@{domain}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_an_address_or_a_domain() {
        let address: Address = "ada@example.org".parse().unwrap();
        for (text, shown, matches) in [
            ("ada@example.org", "\"ada@example.org\"", true),
            ("ada@EXAMPLE.org", "\"ada@EXAMPLE.org\"", true),
            ("bob@example.org", "\"bob@example.org\"", false),
            ("*@example.org", "\"*@example.org\"", true),
            ("@Example.ORG", "\"*@Example.ORG\"", true),
            ("*@sub.example.org", "\"*@sub.example.org\"", false),
            ("*@org", "\"*@org\"", false),
        ] {
            let pattern = SenderPattern::parse(text).unwrap();
            assert_eq!(
                (pattern.show().as_str(), pattern.matches(&address)),
                (shown, matches),
                "{text}"
            );
        }
        for text in [
            "",
            "*",
            "@",
            "*@",
            "example.org",
            "ada",
            "ada*@example.org",
            "*@*.org",
            "*@example..org",
            "**@x",
        ] {
            assert_eq!(SenderPattern::parse(text), None, "{text}");
        }
    }

    #[test]
    fn without_patterns_a_user_sends_as_anybody() {
        let mut user = UserConfig {
            username: "ada".to_owned(),
            password: Secret::new("x"),
            senders: Vec::new(),
            route: None,
            provider_options: true,
        };
        let address: Address = "ada@example.org".parse().unwrap();
        assert!(user.may_send_as(&address));
        user.senders = vec![SenderPattern::Domain("example.com".to_owned())];
        assert!(!user.may_send_as(&address));
    }
}
