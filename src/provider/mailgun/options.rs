//! The orders to Mailgun's SMTP server, `X-Mailgun-…`, as fields of its API.
//! <https://documentation.mailgun.com/docs/mailgun/user-manual/sending-messages/pass-sending-options>
//!
//! The API refuses a message for an option that it cannot read. The SMTP server goes on without, and so do we: what is
//! left out is named as a loss. It is a grave one where the text itself depends on it.

use std::net::IpAddr;

use jiff::fmt::rfc2822;
use serde_json::{Map, Value};
use url::Url;

use crate::message::{Address, Loss};
use crate::provider::people::wire_address;

const PREFIX: &str = "x-mailgun-";

/// All options together, names and values, octets ("16KB").
const OPTIONS_MAX: usize = 16_000;
/// <https://help.mailgun.com/hc/en-us/articles/34389096824219-Tags>
const TAGS_MAX: usize = 10;
const TAG_CHARS_MAX: usize = 128;

/// What stands in a field.
#[derive(Clone, Copy, Debug)]
enum Form {
    /// `yes`, `no`, `true` or `false`.
    Switch,
    /// Likewise, or `htmlonly`.
    SwitchOrHtml,
    /// `yes`, or nothing at all.
    OnlyYes,
    /// A date of RFC 2822.
    Date,
    /// `1h30m`, from five minutes to a day.
    Window,
    /// `24h` to `72h`.
    Period,
    /// `14:30` or `02:30pm`.
    TimeOfDay,
    /// The address of a server of the account.
    Ip,
    /// `domain/selector`; the SMTP server has a comma between them.
    DomainKey,
    /// Where a copy of the delivered message is posted.
    Url,
    Text,
}

/// The headers that stand once: the rest of the name, the field, what is in it.
const SINGLE: [(&str, &str, Form); 18] = [
    ("dkim", "o:dkim", Form::Switch),
    ("secondary-dkim", "o:secondary-dkim", Form::DomainKey),
    ("secondary-dkim-public", "o:secondary-dkim-public", Form::DomainKey),
    ("deliver-by", "o:deliverytime", Form::Date),
    ("deliver-within", "o:deliver-within", Form::Window),
    ("delivery-time-optimize-period", "o:deliverytime-optimize-period", Form::Period),
    ("time-zone-localize", "o:time-zone-localize", Form::TimeOfDay),
    ("drop-message", "o:testmode", Form::OnlyYes),
    ("track", "o:tracking", Form::SwitchOrHtml),
    ("track-clicks", "o:tracking-clicks", Form::SwitchOrHtml),
    ("track-opens", "o:tracking-opens", Form::Switch),
    ("track-pixel-location-top", "o:tracking-pixel-location-top", Form::SwitchOrHtml),
    ("require-tls", "o:require-tls", Form::Switch),
    ("skip-verification", "o:skip-verification", Form::Switch),
    ("sending-ip", "o:sending-ip", Form::Ip),
    ("sending-ip-pool", "o:sending-ip-pool", Form::Text),
    ("archive-to", "o:archive-to", Form::Url),
    ("template-version", "t:version", Form::Text),
];

type Field = (String, String);

/// The fields that the orders ask for. `recipients` are those of the call, as they stand in it.
pub(super) fn fields(
    orders: &[(String, String)],
    recipients: &[String],
    losses: &mut Vec<Loss>,
) -> Vec<Field> {
    let own = orders.iter().filter_map(|(header, value)| {
        let start = header.get(..PREFIX.len())?;
        let rest = header.get(PREFIX.len()..)?;
        start.eq_ignore_ascii_case(PREFIX).then(|| (rest.to_ascii_lowercase(), header, value))
    });
    let own: Vec<_> = own.collect();
    let mut made =
        Made { templated: own.iter().any(|(rest, ..)| rest == "template-name"), ..Made::default() };
    for (rest, header, value) in &own {
        if let Err(why) = made.add(rest, value, recipients) {
            let what = format!("header {header}");
            losses.push(if made.shapes_the_text(rest) {
                Loss::grave(what, why)
            } else {
                Loss::slight(what, why)
            });
        }
    }
    made.finish(losses)
}

const REPEATED: &str = "it stands more than once; the first counts";

/// What has been made so far.
#[derive(Debug, Default)]
struct Made {
    fields: Vec<Field>,
    /// Octets of those that count.
    octets: usize,
    tags: usize,
    /// The body is made from a template that is kept at Mailgun.
    templated: bool,
}

impl Made {
    fn add(&mut self, rest: &str, value: &str, recipients: &[String]) -> Result<(), String> {
        let value = value.trim();
        if value.contains(char::is_control) {
            // Folded lines are joined already: these were encoded, to look like lines of something.
            return Err("it has control characters".to_owned());
        }
        match rest {
            "tag" => self.tag(value),
            "variables" => self.variables(value),
            "suppress-headers" => self.suppress(value),
            "template-name" => self.once("template", text(value)?),
            "template-variables" => {
                self.once("t:variables", Value::Object(object(value)?).to_string())
            }
            "recipient-variables" => {
                self.once("recipient-variables", of_recipients(object(value)?, recipients))
            }
            rest => {
                let (_, field, form) = SINGLE
                    .iter()
                    .find(|(known, ..)| *known == rest)
                    .ok_or("the API has no such option")?;
                match form.read(value)? {
                    Some(value) => self.once(field, value),
                    None => Ok(()),
                }
            }
        }
    }

    fn tag(&mut self, value: &str) -> Result<(), String> {
        if value.is_empty() || !value.is_ascii() || value.len() > TAG_CHARS_MAX {
            return Err(format!("a tag has 1 to {TAG_CHARS_MAX} ASCII characters"));
        }
        if self.tags == TAGS_MAX {
            return Err(format!("a message can have {TAGS_MAX} tags"));
        }
        self.push("o:tag", value.to_owned())?;
        self.tags += 1;
        Ok(())
    }

    /// One field for each variable. Of a name that stands twice, the last counts, as within one object.
    fn variables(&mut self, value: &str) -> Result<(), String> {
        let variables = object(value)?;
        if let Some(name) = variables.keys().find(|name| !is_field_name(name)) {
            return Err(format!("{name:?} is no name of a variable that a form can have"));
        }
        let mut left_out = Vec::new();
        for (name, value) in variables {
            let field = format!("v:{name}");
            let value = match value {
                Value::String(text) => text,
                other => other.to_string(),
            };
            if let Some(at) = self.fields.iter().position(|(known, _)| *known == field) {
                let (name, old) = self.fields.remove(at);
                self.octets -= name.len() + old.len();
            }
            if self.push(&field, value).is_err() {
                left_out.push(name);
            }
        }
        if left_out.is_empty() {
            Ok(())
        } else {
            Err(format!("{TOO_MUCH}; left out: {}", left_out.join(", ")))
        }
    }

    /// The header may stand more than once, the field is a list.
    fn suppress(&mut self, value: &str) -> Result<(), String> {
        let value = text(value)?;
        let Some(at) = self.fields.iter().position(|(name, _)| name == "o:suppress-headers") else {
            return self.push("o:suppress-headers", value);
        };
        self.fits(value.len() + 1)?;
        self.octets += value.len() + 1;
        let list = &mut self.fields[at].1;
        list.push(',');
        list.push_str(&value);
        Ok(())
    }

    fn once(&mut self, field: &str, value: String) -> Result<(), String> {
        if self.fields.iter().any(|(known, _)| known == field) {
            return Err(REPEATED.to_owned());
        }
        self.push(field, value)
    }

    fn push(&mut self, field: &str, value: String) -> Result<(), String> {
        if counts(field) {
            self.fits(field.len() + value.len())?;
            self.octets += field.len() + value.len();
        }
        self.fields.push((field.to_owned(), value));
        Ok(())
    }

    fn fits(&self, more: usize) -> Result<(), String> {
        if self.octets + more > OPTIONS_MAX { Err(TOO_MUCH.to_owned()) } else { Ok(()) }
    }

    /// A reader sees another text when this is missing.
    fn shapes_the_text(&self, rest: &str) -> bool {
        match rest {
            "template-name" | "recipient-variables" => true,
            "template-version" | "template-variables" | "variables" => self.templated,
            _ => false,
        }
    }

    /// The fields, without those that mean nothing alone.
    fn finish(mut self, losses: &mut Vec<Loss>) -> Vec<Field> {
        for (field, header, needs, with) in [
            (
                "o:secondary-dkim-public",
                "Secondary-DKIM-Public",
                "o:secondary-dkim",
                "Secondary-DKIM",
            ),
            ("t:version", "Template-Version", "template", "Template-Name"),
            ("t:variables", "Template-Variables", "template", "Template-Name"),
        ] {
            let has = |name: &str| self.fields.iter().any(|(known, _)| known == name);
            if has(field) && !has(needs) {
                self.fields.retain(|(known, _)| known != field);
                let why = format!("it means nothing without X-Mailgun-{with}");
                losses.push(Loss::slight(format!("header X-Mailgun-{header}"), why));
            }
        }
        self.fields
    }
}

const TOO_MUCH: &str = "the API takes 16 KB of options";

/// Whether every reader of forms understands a field of this name alike: they differ in what they take for the end of one.
fn is_field_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c.is_control() || c == '"' || c == '\\')
}

/// Whether a field is one of those that are limited together: `o:`, `h:`, `v:` and `t:`.
fn counts(field: &str) -> bool {
    ["o:", "h:", "v:", "t:"].iter().any(|start| field.starts_with(start))
}

impl Form {
    /// The value as the API takes it; `None` where the option is not needed to say so.
    fn read(self, value: &str) -> Result<Option<String>, String> {
        let lower = value.to_ascii_lowercase();
        let switch = || matches!(lower.as_str(), "yes" | "no" | "true" | "false");
        let wrong = |expected: &str| Err(format!("its value is not {expected}"));
        let given = Ok(Some(value.to_owned()));
        match self {
            Self::Switch if switch() => Ok(Some(lower)),
            Self::SwitchOrHtml if switch() || lower == "htmlonly" => Ok(Some(lower)),
            Self::OnlyYes if switch() => {
                Ok(matches!(lower.as_str(), "yes" | "true").then(|| "yes".to_owned()))
            }
            Self::Date if rfc2822::parse(value).is_ok() => given,
            Self::Window if window(&lower).is_some_and(|it| (5..=24 * 60).contains(&it)) => {
                Ok(Some(lower))
            }
            Self::Period if hours(&lower).is_some_and(|it| (24..=72).contains(&it)) => {
                Ok(Some(lower))
            }
            Self::TimeOfDay if is_time_of_day(&lower) => given,
            Self::Ip if value.parse::<IpAddr>().is_ok() => given,
            Self::DomainKey => domain_key(value).map(Some),
            Self::Url if is_web_address(value) => given,
            Self::Text => text(value).map(Some),
            Self::Switch | Self::OnlyYes => wrong("yes or no"),
            Self::SwitchOrHtml => wrong("yes, no or htmlonly"),
            Self::Date => wrong("a date such as \"Fri, 27 Nov 2026 12:00:00 +0000\""),
            Self::Window => wrong("between 5m and 24h, such as 1h30m"),
            Self::Period => wrong("between 24h and 72h"),
            Self::TimeOfDay => wrong("a time such as 14:30 or 02:30PM"),
            Self::Ip => wrong("an IP address"),
            Self::Url => wrong("an http or https address"),
        }
    }
}

fn text(value: &str) -> Result<String, String> {
    if value.is_empty() { Err("it is empty".to_owned()) } else { Ok(value.to_owned()) }
}

fn object(value: &str) -> Result<Map<String, Value>, String> {
    serde_json::from_str(value).map_err(|_| "its value is not a JSON object".to_owned())
}

/// The variables of the recipients of the call. Those of others do not belong into it, and an address that is spelled
/// otherwise would not be found.
fn of_recipients(variables: Map<String, Value>, recipients: &[String]) -> String {
    let mut found = Map::new();
    for (address, value) in variables {
        // Two spellings of one mailbox are equal in ASCII, but for the case of the domain.
        let Ok(address) = wire_address(&address)
            .and_then(|it| it.parse::<Address>().map_err(|error| error.to_string()))
        else {
            continue;
        };
        for recipient in recipients.iter().filter(|recipient| address.same_mailbox(recipient)) {
            found.insert(recipient.clone(), value.clone());
        }
    }
    Value::Object(found).to_string()
}

/// `1h30m`, `2h` or `30m`, in minutes.
fn window(value: &str) -> Option<u32> {
    let (hours, minutes) = match value.split_once('h') {
        Some((hours, "")) => (hours, None),
        Some((hours, rest)) => (hours, Some(rest.strip_suffix('m')?)),
        None => ("0", Some(value.strip_suffix('m')?)),
    };
    Some(number(hours)? * 60 + minutes.map_or(Some(0), number)?)
}

fn hours(value: &str) -> Option<u32> {
    number(value.strip_suffix('h')?)
}

/// Up to four digits.
fn number(text: &str) -> Option<u32> {
    let digits = (1..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

fn is_time_of_day(value: &str) -> bool {
    let (time, hour_max) = match value.strip_suffix("am").or(value.strip_suffix("pm")) {
        Some(time) => (time, 12),
        None => (value, 23),
    };
    let Some((hour, minute)) = time.split_once(':') else { return false };
    hour.len() == 2
        && minute.len() == 2
        && number(hour).is_some_and(|hour| hour <= hour_max)
        && number(minute).is_some_and(|minute| minute < 60)
}

fn is_web_address(value: &str) -> bool {
    Url::parse(value).is_ok_and(|url| matches!(url.scheme(), "http" | "https"))
}

fn domain_key(value: &str) -> Result<String, String> {
    let parts = value.split_once('/').or_else(|| value.split_once(','));
    match parts.map(|(domain, selector)| (domain.trim(), selector.trim())) {
        Some((domain, selector))
            if !domain.is_empty() && !selector.is_empty() && !selector.contains(['/', ',']) =>
        {
            Ok(format!("{domain}/{selector}"))
        }
        Some(_) | None => Err("its value is not domain/selector".to_owned()),
    }
}

#[cfg(test)]
mod tests;
