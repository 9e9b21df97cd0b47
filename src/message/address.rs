//! Addresses as they stand in the envelope.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A mailbox of RFC 5321 §4.1.2, `local@domain`, kept as it was given.
///
/// The local part keeps its quotes; two addresses that differ only by the case of the domain are the
/// same mailbox, see [`Address::same_mailbox`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address(String);

/// A text that is not a mailbox.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an address of the form local@domain")]
pub struct InvalidAddress(pub String);

impl Address {
    /// The part before the last `@`, quotes included.
    pub fn local_part(&self) -> &str {
        self.split().0
    }

    /// The part after the last `@`.
    pub fn domain(&self) -> &str {
        self.split().1
    }

    /// The whole address.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True when both name the same mailbox: local parts equal, domains equal but for case or their A-labels
    /// (`예시.한국` is `xn--vv4b11d.xn--3e0b707e`).
    pub fn same_mailbox(&self, other: &str) -> bool {
        self.as_str() == other || self.mailbox_key() == Self::key_of(other)
    }

    /// These addresses in their order, of two spellings of one mailbox only the first.
    pub fn distinct(addresses: Vec<Self>) -> Vec<Self> {
        let mut seen = HashSet::with_capacity(addresses.len());
        addresses.into_iter().filter(|address| seen.insert(address.mailbox_key())).collect()
    }

    /// True when the domain is this one, but for case or A-labels.
    pub fn is_of_domain(&self, domain: &str) -> bool {
        canonical_domain(self.domain()) == canonical_domain(domain)
    }

    /// The domain in A-labels and lower case.
    pub fn canonical_domain(&self) -> Cow<'_, str> {
        canonical_domain(self.domain())
    }

    /// A text that is equal for two spellings of one mailbox, and for nothing else.
    pub(crate) fn mailbox_key(&self) -> String {
        Self::key_of(self.as_str())
    }

    /// What an address and an entry of the suppression list have in common: the mailbox key, the local part in lower case
    /// as well. Nearly every provider of mailboxes ignores its case, and people type it as they like.
    pub(crate) fn suppression_key(&self) -> String {
        // Letter by letter: the same whatever stands beside it.
        self.mailbox_key().chars().flat_map(char::to_lowercase).collect()
    }

    /// [`Self::mailbox_key`] of an address in a header.
    pub(crate) fn key_of(address: &str) -> String {
        let Some((local, domain)) = address.rsplit_once('@') else { return address.to_owned() };
        let local = unquoted(local).unwrap_or(local);
        let mut key = String::with_capacity(address.len());
        key.push_str(local);
        key.push('@');
        key.push_str(&canonical_domain(domain));
        key
    }

    fn split(&self) -> (&str, &str) {
        // Every constructor has checked that there is an `@`.
        self.0.rsplit_once('@').unwrap_or((&self.0, ""))
    }
}

/// The content of a quoted local part that needs no quotes: `"ada"@example.org` is `ada@example.org`.
fn unquoted(local: &str) -> Option<&str> {
    let content = local.strip_prefix('"')?.strip_suffix('"')?;
    let dot_atom =
        content.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atom_char));
    dot_atom.then_some(content)
}

/// A domain in A-labels and lower case; one that is none only in lower case.
pub(crate) fn canonical_domain(domain: &str) -> Cow<'_, str> {
    if domain.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase()) {
        return domain.into();
    }
    if domain.is_ascii() {
        return domain.to_ascii_lowercase().into();
    }
    idna::domain_to_ascii(domain).map_or_else(|_| domain.to_lowercase().into(), Cow::Owned)
}

/// The longest local part and domain, in octets (RFC 5321 §4.5.3.1).
const LOCAL_PART_MAX: usize = 64;
const DOMAIN_MAX: usize = 255;

impl FromStr for Address {
    type Err = InvalidAddress;

    /// Takes a mailbox without angle brackets.
    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let invalid = || InvalidAddress(text.to_owned());
        let (local, domain) = text.rsplit_once('@').ok_or_else(invalid)?;
        let local_fits = !local.is_empty() && local.len() <= LOCAL_PART_MAX;
        let domain_fits = !domain.is_empty() && domain.len() <= DOMAIN_MAX;
        let quoted = local.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        let local_reads = match quoted {
            Some(content) => quoted_content_is_valid(content),
            None => local.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atom_char)),
        };
        if local_fits && domain_fits && local_reads && domain_is_valid(domain) {
            Ok(Self(text.to_owned()))
        } else {
            Err(invalid())
        }
    }
}

/// `atext` of RFC 5322 §3.2.3 with the non-ASCII characters of RFC 6531.
fn is_atom_char(c: char) -> bool {
    c.is_ascii_alphanumeric()
        || "!#$%&'*+-/=?^_`{|}~".contains(c)
        || (!c.is_ascii() && !c.is_control())
}

/// What may stand between the quotes: no bare quote, no dangling backslash, nothing unprintable.
fn quoted_content_is_valid(content: &str) -> bool {
    let mut chars = content.chars();
    while let Some(c) = chars.next() {
        let c = if c == '\\' { chars.next() } else { Some(c).filter(|c| *c != '"') };
        if c.is_none_or(char::is_control) {
            return false;
        }
    }
    true
}

/// A dotted name, or an address literal in brackets.
fn domain_is_valid(domain: &str) -> bool {
    if let Some(literal) = domain.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return !literal.is_empty()
            && literal.chars().all(|c| c.is_ascii_graphic() && !"[]\\".contains(c));
    }
    domain.split('.').all(|label| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_' || !c.is_ascii())
            && !label.chars().any(char::is_control)
    })
}

impl TryFrom<String> for Address {
    type Error = InvalidAddress;

    fn try_from(text: String) -> Result<Self, InvalidAddress> {
        text.parse()
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.0
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_local_at_domain() {
        for good in [
            "ada@example.org",
            "a.b+c@example.org",
            "\"a@b\"@example.org",
            "\"\"@example.org",
            "ada@[192.0.2.1]",
            "한글@예시.한국",
            "ada@localhost",
        ] {
            assert!(good.parse::<Address>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "ada",
            "@example.org",
            "ada@",
            "a b@example.org",
            "ada@exa mple.org",
            "ada@example..org",
            ".ada@example.org",
            "ada@-x.org",
            "\"a\"b\"@example.org",
            "a\r\nb@example.org",
            "<ada@example.org>",
        ] {
            assert!(bad.parse::<Address>().is_err(), "{bad}");
        }
    }

    #[test]
    fn only_the_case_of_the_domain_is_ignored() {
        let address: Address = "Ada@Example.org".parse().unwrap();
        assert!(address.same_mailbox("Ada@EXAMPLE.ORG"));
        assert!(!address.same_mailbox("ada@example.org"));
        assert!(!address.same_mailbox("Ada"));
    }

    #[test]
    fn of_one_mailbox_the_first_spelling_stays() {
        let all = ["b@x.kr", "a@x.kr", "\"b\"@X.KR", "B@x.kr", "a@x.kr"];
        let all = all.iter().map(|text| text.parse().unwrap()).collect();
        let distinct = Address::distinct(all);
        let texts: Vec<&str> = distinct.iter().map(Address::as_str).collect();
        assert_eq!(texts, ["b@x.kr", "a@x.kr", "B@x.kr"]);
    }

    #[test]
    fn an_international_domain_is_the_same_in_both_spellings() {
        let address: Address = "hong@예시.한국".parse().unwrap();
        assert!(address.same_mailbox("hong@xn--vv4b11d.XN--3e0b707e"));
        assert!(!address.same_mailbox("hong@보기.한국"));
        let quoted: Address = "\"hong\"@x.kr".parse().unwrap();
        assert!(quoted.same_mailbox("hong@x.kr"));
        assert!(!quoted.same_mailbox("\"ho ng\"@x.kr"));
    }
}
