//! `[sender]`: what to do about From.

use super::reader::Reader;
use super::value::{Setting, choice, toml_text};
use crate::message::Address;

/// The default sender and the rule for From.
#[derive(Clone, Debug, Default)]
pub struct SenderConfig {
    /// The default From address.
    pub address: Option<Address>,
    /// The default From display name.
    pub name: String,
    /// Domains that the provider has verified, in lower case; default: the domain of `address`.
    pub domains: Vec<String>,
    /// When From is replaced.
    pub rewrite: Rewrite,
}

/// When From is replaced by the default sender.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rewrite {
    /// When there is none.
    #[default]
    Missing,
    /// Also when its domain is not one of `domains`; the old From goes to Reply-To.
    Foreign,
    /// Always; the old From goes to Reply-To.
    Always,
    /// Never, not even when there is none.
    Never,
}

choice!(Rewrite, "one of missing, foreign, always, never",
    "missing" => Self::Missing, "foreign" => Self::Foreign, "always" => Self::Always, "never" => Self::Never);

/// One of `sender.domains`.
struct Domain(String);

impl Setting for Domain {
    const EXPECTED: &'static str = "a domain such as \"example.org\"";

    fn parse(text: &str) -> Option<Self> {
        let domain = text.strip_suffix('.').unwrap_or(text).to_lowercase();
        let valid =
            !domain.contains(['@', '"']) && format!("a@{domain}").parse::<Address>().is_ok();
        valid.then_some(Self(domain))
    }

    fn show(&self) -> String {
        toml_text(&self.0)
    }
}

impl SenderConfig {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let address: Option<Address> = reader.get("sender.address");
        let name = reader.get("sender.name");
        let mut domains: Vec<Domain> = reader.get("sender.domains");
        let rewrite = reader.get("sender.rewrite");

        let own = address.as_ref().map(|address| address.domain().to_lowercase());
        if let Some(own) = own
            && domains.is_empty()
        {
            domains.push(Domain(own));
            reader.show_instead("sender.domains", &domains, "the domain of sender.address");
        }
        match rewrite {
            Rewrite::Foreign | Rewrite::Always if address.is_none() => reader.fault(
                "sender.rewrite",
                "needs an address to write: set sender.address (SMTP_FROM_ADDRESS)",
            ),
            Rewrite::Missing | Rewrite::Foreign | Rewrite::Always | Rewrite::Never => {}
        }
        let domains = domains.into_iter().map(|domain| domain.0).collect();
        Self { address, name, domains, rewrite }
    }
}
