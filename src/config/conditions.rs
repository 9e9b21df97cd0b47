//! What a route may ask of a message, and whether an address, a domain or a text is meant.

use std::borrow::Cow;

use super::users::SenderPattern;
use super::value::{Setting, toml_text};
use crate::message::{Address, canonical_domain};

/// The longest pattern for a header field, in characters: as much of a field is looked at.
const PATTERN_MAX: usize = 500;

/// The conditions of a route. All that are given must hold; of a list one entry is enough.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteConditions {
    /// Envelope senders.
    pub sender: Vec<RouteSender>,
    /// Domains of the envelope sender.
    pub sender_domain: Vec<DomainPattern>,
    /// Domains of recipients. The only condition that is about a single recipient.
    pub recipient_domain: Vec<DomainPattern>,
    /// Names of users (`smtp.users`).
    pub user: Vec<String>,
    /// A header field.
    pub header: Option<HeaderCondition>,
}

impl RouteConditions {
    /// True where nothing is asked.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// True when every message that `other` is for is one of these as well.
    pub(super) fn covers(&self, other: &Self) -> bool {
        covers(&self.sender, &other.sender, RouteSender::covers)
            && self.covers_sender_domains(other)
            && covers(&self.recipient_domain, &other.recipient_domain, DomainPattern::covers)
            && covers(&self.user, &other.user, |own, user| own == user)
            && match (&self.header, &other.header) {
                (None, _) => true,
                (Some(own), Some(other)) => own.covers(other),
                (Some(_), None) => false,
            }
    }

    /// An address says its domain as well.
    fn covers_sender_domains(&self, other: &Self) -> bool {
        let of_domain = |sender: &RouteSender| match sender {
            RouteSender::Null => false,
            RouteSender::From(SenderPattern::Address(address)) => {
                self.sender_domain.iter().any(|own| own.matches(&address.canonical_domain()))
            }
            RouteSender::From(SenderPattern::Domain(domain)) => {
                self.sender_domain.iter().any(|own| own.matches(&canonical_domain(domain)))
            }
        };
        covers(&self.sender_domain, &other.sender_domain, DomainPattern::covers)
            || (!other.sender.is_empty() && other.sender.iter().all(of_domain))
    }
}

/// Whether whatever one of `other` means is meant by one of `own`. An empty list means everything.
fn covers<T>(own: &[T], other: &[T], covers: impl Fn(&T, &T) -> bool) -> bool {
    own.is_empty()
        || (!other.is_empty() && other.iter().all(|other| own.iter().any(|own| covers(own, other))))
}

/// A sender that a route is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteSender {
    /// `<>`: bounces and other notices.
    Null,
    /// An address, or every address of a domain.
    From(SenderPattern),
}

impl RouteSender {
    /// Whether this envelope sender is meant; `None` is `<>`.
    pub fn matches(&self, sender: Option<&Address>) -> bool {
        match (self, sender) {
            (Self::Null, sender) => sender.is_none(),
            (Self::From(pattern), Some(sender)) => pattern.matches(sender),
            (Self::From(_), None) => false,
        }
    }

    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::From(own), Self::From(SenderPattern::Address(address))) => own.matches(address),
            (Self::From(SenderPattern::Domain(own)), Self::From(SenderPattern::Domain(other))) => {
                canonical_domain(own) == canonical_domain(other)
            }
            (Self::Null, Self::Null) => true,
            (Self::Null | Self::From(_), Self::Null | Self::From(_)) => false,
        }
    }
}

impl Setting for RouteSender {
    const EXPECTED: &'static str = "an address such as \"ada@example.org\", a whole domain such as \"*@example.org\", or \"<>\" for notices without a sender";

    fn parse(text: &str) -> Option<Self> {
        if text == "<>" { Some(Self::Null) } else { SenderPattern::parse(text).map(Self::From) }
    }

    fn show(&self) -> String {
        match self {
            Self::Null => toml_text("<>"),
            Self::From(pattern) => pattern.show(),
        }
    }
}

/// A domain, or all domains below one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainPattern {
    /// In A-labels and lower case.
    domain: String,
    /// The domains below it, and not the domain itself.
    below: bool,
}

impl DomainPattern {
    /// Whether a domain in A-labels and lower case is meant ([`Address::canonical_domain`]).
    pub fn matches(&self, domain: &str) -> bool {
        if !self.below {
            return domain == self.domain;
        }
        let head = domain.strip_suffix(&self.domain).and_then(|head| head.strip_suffix('.'));
        head.is_some_and(|head| !head.is_empty())
    }

    fn covers(&self, other: &Self) -> bool {
        self.matches(&other.domain) || self == other
    }
}

impl Setting for DomainPattern {
    const EXPECTED: &'static str =
        "a domain such as \"example.org\", or \"*.example.org\" for those below it";

    fn parse(text: &str) -> Option<Self> {
        let text = text.strip_suffix('.').unwrap_or(text);
        let (domain, below) = match text.strip_prefix("*.") {
            Some(domain) => (domain, true),
            None => (text, false),
        };
        let address: Address = format!("x@{domain}").parse().ok()?;
        let is_domain = !domain.contains(['@', '"']) && !(below && domain.starts_with('['));
        is_domain.then(|| Self { domain: address.canonical_domain().into_owned(), below })
    }

    fn show(&self) -> String {
        toml_text(&format!("{}{}", if self.below { "*." } else { "" }, self.domain))
    }
}

/// A header field that a message must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderCondition {
    /// The field's name, in any case.
    pub name: String,
    /// What one of its values must be.
    pub value: TextPattern,
}

impl HeaderCondition {
    fn covers(&self, other: &Self) -> bool {
        self.name.eq_ignore_ascii_case(&other.name) && self.value.covers(&other.value)
    }
}

/// The name of a header field; empty: none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FieldName(pub(super) String);

impl Setting for FieldName {
    const EXPECTED: &'static str =
        "the name of a header field, such as \"X-Priority\", without a colon";

    fn parse(text: &str) -> Option<Self> {
        let printable = text.bytes().all(|octet| octet.is_ascii_graphic() && octet != b':');
        (printable && text.len() <= PATTERN_MAX).then(|| Self(text.to_owned()))
    }

    fn show(&self) -> String {
        toml_text(&self.0)
    }
}

/// A text, exactly; or with a star at one end or both, where anything may stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextPattern {
    text: String,
    open_start: bool,
    open_end: bool,
}

impl TextPattern {
    /// Whether a text is meant. Case matters.
    pub fn matches(&self, text: &str) -> bool {
        match (self.open_start, self.open_end) {
            (false, false) => text == self.text,
            (false, true) => text.starts_with(&self.text),
            (true, false) => text.ends_with(&self.text),
            (true, true) => text.contains(&self.text),
        }
    }

    /// True where every text is meant.
    pub(super) fn is_anything(&self) -> bool {
        self.text.is_empty() && (self.open_start || self.open_end)
    }

    fn covers(&self, other: &Self) -> bool {
        let ends_fit = (self.open_start || !other.open_start) && (self.open_end || !other.open_end);
        ends_fit && self.matches(&other.text)
    }
}

impl Setting for TextPattern {
    const EXPECTED: &'static str =
        "a text of up to 500 characters; a * at its beginning or end stands for anything";

    fn parse(text: &str) -> Option<Self> {
        let (open_start, rest) = match text.strip_prefix('*') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (open_end, rest) = match rest.strip_suffix('*') {
            Some(rest) => (true, rest),
            None => (open_start && rest.is_empty(), rest),
        };
        let fits = rest.chars().count() <= PATTERN_MAX && !rest.chars().any(char::is_control);
        fits.then(|| Self { text: rest.to_owned(), open_start, open_end })
    }

    fn show(&self) -> String {
        let star = |open| if open { "*" } else { "" };
        let whole: Cow<'_, str> = match (self.text.as_str(), self.open_start && self.open_end) {
            ("", true) => "*".into(),
            (text, _) => format!("{}{text}{}", star(self.open_start), star(self.open_end)).into(),
        };
        toml_text(&whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_itself_or_what_is_below_it() {
        for (pattern, domain, matches) in [
            ("example.org", "example.org", true),
            ("EXAMPLE.org.", "example.org", true),
            ("example.org", "news.example.org", false),
            ("*.example.org", "news.example.org", true),
            ("*.example.org", "a.news.example.org", true),
            ("*.example.org", "example.org", false),
            ("*.example.org", "badexample.org", false),
            ("*.example.org", ".example.org", false),
            ("예시.한국", "xn--vv4b11d.xn--3e0b707e", true),
            ("*.한국", "xn--vv4b11d.xn--3e0b707e", true),
            ("[192.0.2.1]", "[192.0.2.1]", true),
        ] {
            let read = DomainPattern::parse(pattern).unwrap();
            assert_eq!(read.matches(domain), matches, "{pattern} {domain}");
            let shown = read.show();
            assert_eq!(DomainPattern::parse(shown.trim_matches('"')), Some(read), "{shown}");
        }
        for text in
            ["", "*", "*.", "a@b", "*.*.org", "*example.org", "a b", "*.[192.0.2.1]", ".org"]
        {
            assert_eq!(DomainPattern::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_sender_is_an_address_a_domain_or_none() {
        let ada: Address = "ada@Example.org".parse().unwrap();
        for (text, of_ada, of_none) in [
            ("ada@example.org", true, false),
            ("bob@example.org", false, false),
            ("*@example.org", true, false),
            ("<>", false, true),
        ] {
            let sender = RouteSender::parse(text).unwrap();
            assert_eq!((sender.matches(Some(&ada)), sender.matches(None)), (of_ada, of_none));
            assert_eq!(sender.show(), format!("{text:?}"));
        }
        assert_eq!(RouteSender::parse("example.org"), None);
        assert_eq!(RouteSender::parse(""), None);
    }

    #[test]
    fn a_star_at_an_end_stands_for_anything() {
        for (pattern, text, matches) in [
            ("bulk", "bulk", true),
            ("bulk", "Bulk", false),
            ("bulk", "bulky", false),
            ("bulk*", "bulky", true),
            ("*bulk", "in bulk", true),
            ("*bulk", "bulky", false),
            ("*bulk*", "a bulky one", true),
            ("*", "", true),
            ("*", "anything", true),
            ("**", "anything", true),
            ("", "", true),
            ("", "x", false),
            ("a*b", "a*b", true),
            ("a*b", "axb", false),
        ] {
            let read = TextPattern::parse(pattern).unwrap();
            assert_eq!(read.matches(text), matches, "{pattern} {text}");
            assert_eq!(TextPattern::parse(read.show().trim_matches('"')), Some(read));
        }
        assert_eq!(TextPattern::parse(&"x".repeat(PATTERN_MAX + 1)), None);
    }

    #[test]
    fn conditions_cover_what_asks_for_more() {
        let domains = |texts: &[&str]| -> Vec<DomainPattern> {
            texts.iter().map(|text| DomainPattern::parse(text).unwrap()).collect()
        };
        let of = |domains: Vec<DomainPattern>| RouteConditions {
            sender_domain: domains,
            ..RouteConditions::default()
        };
        let header = |value| HeaderCondition {
            name: "X-Kind".to_owned(),
            value: TextPattern::parse(value).unwrap(),
        };
        let nothing = RouteConditions::default();
        let one = of(domains(&["a.org"]));
        let both = of(domains(&["a.org", "b.org"]));
        let below = of(domains(&["*.a.org"]));
        assert!(nothing.is_empty() && nothing.covers(&one) && !one.covers(&nothing));
        assert!(both.covers(&one) && !one.covers(&both));
        assert!(below.covers(&of(domains(&["x.a.org", "*.y.a.org"]))) && !below.covers(&one));
        let narrow = RouteConditions { header: Some(header("bulk")), ..one.clone() };
        assert!(one.covers(&narrow) && !narrow.covers(&one));
        let wide = RouteConditions { header: Some(header("b*")), ..nothing.clone() };
        assert!(wide.covers(&narrow) && !narrow.covers(&wide));
        let ada = RouteConditions {
            sender: vec![RouteSender::parse("ada@a.org").unwrap()],
            ..nothing.clone()
        };
        assert!(one.covers(&ada) && !ada.covers(&one));
        let null = RouteConditions { sender: vec![RouteSender::Null], ..nothing };
        assert!(!one.covers(&null));
    }
}
