//! From the value of a key to the type that the code uses, and back to what is shown.

use std::net::{IpAddr, SocketAddr};
use std::num::{NonZeroU16, NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use figment::value::Value;
use ipnet::{IpNet, Ipv4Net};
use url::Url;

use super::providers::Quota;
use super::units::{self, RateLimit, Size};
use crate::message::Address;
use crate::secret::Secret;

/// A type that a key can have.
pub(super) trait Setting: Sized {
    /// What is expected, to follow "expected".
    const EXPECTED: &'static str;

    /// Reads text. `None` is answered with what was expected.
    fn parse(text: &str) -> Option<Self>;

    /// The same in TOML; a secret as stars.
    fn show(&self) -> String;

    /// Reads text, or says what is wrong with it. Replaced where more can be said than [`Setting::EXPECTED`].
    fn from_text(text: &str) -> Result<Self, String> {
        let text = text.trim();
        Self::parse(text).ok_or_else(|| format!("{} is not {}", quote(text), Self::EXPECTED))
    }

    /// Reads any value. Text does for all types, because an environment has nothing else.
    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::String(_, text) => Self::from_text(text),
            Value::Char(..)
            | Value::Bool(..)
            | Value::Num(..)
            | Value::Empty(..)
            | Value::Dict(..)
            | Value::Array(..) => Err(wrong_type::<Self>(value)),
        }
    }
}

fn wrong_type<T: Setting>(value: &Value) -> String {
    format!("is {}, expected {}", type_name(value), T::EXPECTED)
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::String(..) | Value::Char(..) => "text",
        Value::Bool(..) => "true or false",
        Value::Num(..) => "a number",
        Value::Empty(..) => "nothing",
        Value::Dict(..) => "a table",
        Value::Array(..) => "a list",
    }
}

/// A value in a message: short, on one line.
pub(super) fn quote(text: &str) -> String {
    let short: String = text.chars().take(60).collect();
    let more = if short.len() < text.len() { "…" } else { "" };
    format!("{short:?}{more}")
}

/// A text as TOML writes it.
pub(super) fn toml_text(text: &str) -> String {
    let mut toml = String::with_capacity(text.len() + 2);
    toml.push('"');
    for c in text.chars() {
        match c {
            '"' => toml.push_str("\\\""),
            '\\' => toml.push_str("\\\\"),
            '\n' => toml.push_str("\\n"),
            c if c.is_control() => toml.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => toml.push(c),
        }
    }
    toml.push('"');
    toml
}

impl Setting for String {
    const EXPECTED: &'static str = "text on one line";

    fn parse(text: &str) -> Option<Self> {
        (!text.chars().any(char::is_control)).then(|| text.to_owned())
    }

    fn show(&self) -> String {
        toml_text(self)
    }
}

impl Setting for PathBuf {
    const EXPECTED: &'static str = "the path of a file";

    fn parse(text: &str) -> Option<Self> {
        String::parse(text).filter(|text| !text.is_empty()).map(Self::from)
    }

    fn show(&self) -> String {
        toml_text(&self.to_string_lossy())
    }
}

impl Setting for Secret {
    const EXPECTED: &'static str = "text";

    fn parse(text: &str) -> Option<Self> {
        Some(Self::new(text))
    }

    /// As it is: nothing trimmed.
    fn from_text(text: &str) -> Result<Self, String> {
        if text.chars().any(char::is_control) {
            return Err("contains a line break or another control character".to_owned());
        }
        Ok(Self::new(text))
    }

    fn show(&self) -> String {
        if self.is_empty() { toml_text("") } else { toml_text("***") }
    }
}

impl Setting for bool {
    const EXPECTED: &'static str = "true or false";

    fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Some(true),
            "false" | "no" | "off" | "0" => Some(false),
            _ => None,
        }
    }

    fn from_value(value: &Value) -> Result<Self, String> {
        match value.to_bool() {
            Some(flag) => Ok(flag),
            None => value.as_str().map_or_else(|| Err(wrong_type::<Self>(value)), Self::from_text),
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

/// A number as text or as a number.
fn number<T: Setting>(value: &Value) -> Result<T, String> {
    match value {
        Value::String(_, text) => T::from_text(text),
        Value::Num(_, number) => {
            let whole = number.to_u128().map(i128::try_from).and_then(Result::ok);
            match whole.or_else(|| number.to_i128()) {
                Some(whole) => T::from_text(&whole.to_string()),
                None => Err(format!("is not {}", T::EXPECTED)),
            }
        }
        Value::Char(..)
        | Value::Bool(..)
        | Value::Empty(..)
        | Value::Dict(..)
        | Value::Array(..) => Err(wrong_type::<T>(value)),
    }
}

impl Setting for u64 {
    const EXPECTED: &'static str = "a whole number of at least 1";

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok().filter(|number| *number > 0)
    }

    fn from_value(value: &Value) -> Result<Self, String> {
        number(value)
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Setting for NonZeroUsize {
    const EXPECTED: &'static str = "a whole number of at least 1";

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn from_value(value: &Value) -> Result<Self, String> {
        number(value)
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Setting for NonZeroU16 {
    const EXPECTED: &'static str = "a port, from 1 to 65535";

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn from_value(value: &Value) -> Result<Self, String> {
        number(value)
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Setting for Quota {
    const EXPECTED: &'static str = "a whole number, 0 for none";

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok().map(NonZeroU64::new).map(Self)
    }

    fn from_value(value: &Value) -> Result<Self, String> {
        number(value)
    }

    fn show(&self) -> String {
        self.0.map_or(0, NonZeroU64::get).to_string()
    }
}

impl Setting for Size {
    const EXPECTED: &'static str = "a size such as \"25 MiB\", \"25MB\" or a number of bytes";

    fn parse(text: &str) -> Option<Self> {
        Self::parse(text)
    }

    fn from_value(value: &Value) -> Result<Self, String> {
        number(value)
    }

    fn show(&self) -> String {
        toml_text(&Self::show(*self))
    }
}

impl Setting for Duration {
    const EXPECTED: &'static str = "a duration such as \"30s\", \"5m\", \"1h30m\" or \"7d\"";

    fn parse(text: &str) -> Option<Self> {
        units::parse_duration(text)
    }

    fn from_value(value: &Value) -> Result<Self, String> {
        number(value)
    }

    fn show(&self) -> String {
        toml_text(&units::show_duration(*self))
    }
}

impl Setting for RateLimit {
    const EXPECTED: &'static str = "a rate such as \"5/s\", \"100/m\" or \"1000/h\"";

    fn parse(text: &str) -> Option<Self> {
        Self::parse(text)
    }

    fn show(&self) -> String {
        toml_text(&Self::show(*self))
    }
}

impl Setting for SocketAddr {
    const EXPECTED: &'static str =
        "an IP address with a port, such as \"127.0.0.1:1025\" or \"[::]:1025\"";

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn show(&self) -> String {
        toml_text(&self.to_string())
    }
}

impl Setting for IpNet {
    const EXPECTED: &'static str = "a network such as \"10.0.0.0/8\", or one IP address";

    fn parse(text: &str) -> Option<Self> {
        let network = text.parse::<Self>().or_else(|_| text.parse::<IpAddr>().map(Self::from));
        network.ok().map(|network| as_ipv4(network.trunc()))
    }

    fn show(&self) -> String {
        toml_text(&self.to_string())
    }
}

/// A network of IPv4 addresses that is written as one of IPv6 (`::ffff:10.0.0.0/104`), as itself: clients are looked up
/// by their IPv4 address, however they came.
fn as_ipv4(network: IpNet) -> IpNet {
    let IpNet::V6(mapped) = network else { return network };
    let length = mapped.prefix_len().checked_sub(96);
    let ipv4 = mapped.network().to_ipv4_mapped().zip(length);
    ipv4.and_then(|(address, length)| Ipv4Net::new(address, length).ok()).map_or(network, IpNet::V4)
}

impl Setting for Address {
    const EXPECTED: &'static str =
        "an address of the form local@domain (the name goes to sender.name)";

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn show(&self) -> String {
        toml_text(self.as_str())
    }
}

impl Setting for Url {
    const EXPECTED: &'static str = "a URL such as \"https://api.eu.sendgrid.com\"";

    fn parse(text: &str) -> Option<Self> {
        Self::parse(text).ok()
    }

    /// Does not repeat the value, which may carry a password.
    fn from_text(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let Ok(url) = Self::parse(text) else {
            return Err(format!("is not {}", Self::EXPECTED));
        };
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(format!(
                "must start with https:// or http://, expected {}",
                Self::EXPECTED
            ));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(
                "must not contain a user name or password; keys have settings of their own"
                    .to_owned(),
            );
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("must not contain ? or #: it ends with its path".to_owned());
        }
        Ok(url)
    }

    fn show(&self) -> String {
        toml_text(self.as_str())
    }
}

impl<T: Setting> Setting for Option<T> {
    const EXPECTED: &'static str = T::EXPECTED;

    fn parse(text: &str) -> Option<Self> {
        if text.is_empty() { Some(None) } else { T::parse(text).map(Some) }
    }

    fn from_value(value: &Value) -> Result<Self, String> {
        match value.as_str() {
            Some(text) if text.trim().is_empty() => Ok(None),
            Some(_) | None => T::from_value(value).map(Some),
        }
    }

    fn show(&self) -> String {
        self.as_ref().map_or_else(|| toml_text(""), T::show)
    }
}

impl<T: Setting> Setting for Vec<T> {
    const EXPECTED: &'static str = "a list";

    fn parse(text: &str) -> Option<Self> {
        Self::from_text(text).ok()
    }

    /// One text, its items separated by commas.
    fn from_text(text: &str) -> Result<Self, String> {
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        items.map(T::from_text).collect()
    }

    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::Array(_, items) => items.iter().map(T::from_value).collect(),
            Value::String(_, text) => Self::from_text(text),
            Value::Char(..)
            | Value::Bool(..)
            | Value::Num(..)
            | Value::Empty(..)
            | Value::Dict(..) => {
                Err(format!("is {}, expected a list, each item {}", type_name(value), T::EXPECTED))
            }
        }
    }

    fn show(&self) -> String {
        let items: Vec<String> = self.iter().map(T::show).collect();
        format!("[{}]", items.join(", "))
    }
}

/// Makes an enum readable: its values and their names.
macro_rules! choice {
    ($type:ty, $expected:literal, $($name:literal => $value:path),+ $(,)?) => {
        impl super::value::Setting for $type {
            const EXPECTED: &'static str = $expected;

            fn parse(text: &str) -> Option<Self> {
                let names = [$(($name, $value)),+];
                names.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(text)).map(|(_, value)| value)
            }

            fn show(&self) -> String {
                super::value::toml_text(match self { $($value => $name),+ })
            }
        }
    };
}
pub(super) use choice;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv4_written_as_ipv6_is_ipv4() {
        for (text, expected) in [
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::ffff:192.0.2.1", "192.0.2.1/32"),
            ("::ffff:0:0/96", "0.0.0.0/0"),
            ("::/0", "::/0"),
            ("fc00::/7", "fc00::/7"),
            ("10.1.2.3/8", "10.0.0.0/8"),
        ] {
            assert_eq!(<IpNet as Setting>::parse(text).unwrap().to_string(), expected, "{text}");
        }
    }
}
