//! The orders that Brevo's SMTP server takes as header fields.
//! <https://developers.brevo.com/docs/smtp-integration>

use std::net::IpAddr;

use serde_json::Value;

use crate::message::Loss;
use crate::provider::people::one_line;

/// What a message orders.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Options {
    /// From `X-Mailin-Tag`: a JSON list, or words with commas between them.
    pub(super) tags: Vec<String>,
    /// Orders that the API takes as header fields.
    pub(super) fields: Vec<(&'static str, String)>,
}

impl Options {
    /// Reads those that are for Brevo. One that cannot be obeyed is a loss that names it.
    pub(super) fn read(options: &[(String, String)], losses: &mut Vec<Loss>) -> Self {
        let mut read = Self::default();
        for (name, value) in options {
            if let Err(why) = read.obey(&name.to_ascii_lowercase(), value.trim()) {
                losses.push(Loss::slight(format!("header {name}"), why));
            }
        }
        read
    }

    fn obey(&mut self, name: &str, value: &str) -> Result<(), &'static str> {
        match name {
            "x-mailin-tag" => self.tag(value),
            // Echoed in every event about the message, and seen by its reader, as by their SMTP server.
            "x-mailin-custom" if !arrives(value) => Err("Brevo garbles values outside ASCII"),
            "x-mailin-custom" => self.set("X-Mailin-custom", value),
            "x-mailin-ip" if value.parse::<IpAddr>().is_err() => Err("it is not an address"),
            // Its name since version 3.
            "x-mailin-ip" => self.set("sender.ip", value),
            "x-sib-sandbox" if value.eq_ignore_ascii_case("drop") => {
                self.set("X-Sib-Sandbox", "drop")
            }
            "x-sib-sandbox" => Err("the only value that there is is drop"),
            other if other.starts_with("x-mailin-") => Err("the API has nothing for it"),
            _ => Ok(()),
        }
    }

    fn tag(&mut self, value: &str) -> Result<(), &'static str> {
        let listed = serde_json::from_str::<Vec<Value>>(value);
        let tags: Vec<String> = match listed {
            Ok(values) if values.iter().any(|value| !value.is_string()) => {
                return Err("tags are words, and this list has something else in it");
            }
            Ok(values) => values.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            Err(_) => value.split(',').map(str::to_owned).collect(),
        };
        for tag in tags {
            // JSON can spell a line break, and Brevo writes tags into the header.
            let tag = one_line(&tag);
            if !tag.is_empty() && !self.tags.contains(&tag) {
                self.tags.push(tag);
            }
        }
        Ok(())
    }

    fn set(&mut self, name: &'static str, value: &str) -> Result<(), &'static str> {
        if self.fields.iter().any(|(known, _)| *known == name) {
            return Err("it stands more than once, and only the first counts");
        }
        self.fields.push((name, value.to_owned()));
        Ok(())
    }
}

/// Whether the value of a field would arrive. Brevo writes letters outside ASCII into the header as they are, encoded
/// words and JSON's escapes for such letters too, and such mail is refused by some (field reports).
pub(super) fn arrives(value: &str) -> bool {
    value.is_ascii() && !value.contains("\\u") && !value.contains("=?")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(options: &[(&str, &str)]) -> (Options, Vec<String>) {
        let options: Vec<_> =
            options.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let mut losses = Vec::new();
        let read = Options::read(&options, &mut losses);
        assert!(losses.iter().all(|loss| !loss.grave));
        (read, losses.into_iter().map(|loss| loss.what).collect())
    }

    #[test]
    fn tags_are_a_list_or_words() {
        let (options, losses) = read(&[
            ("X-Mailin-Tag", "welcome, 가입 ,,welcome"),
            ("x-mailin-tag", r#"["a, b", "c"]"#),
            ("X-Mailin-Tag", "[not json"),
            ("X-Mailin-Tag", r#"["x\r\nBcc: eve@example.org"]"#),
        ]);
        let expected = ["welcome", "가입", "a, b", "c", "[not json", "x Bcc: eve@example.org"];
        assert_eq!(options.tags, expected);
        assert!(losses.is_empty());
    }

    #[test]
    fn orders_that_the_api_takes_as_fields_stay_fields() {
        let (options, losses) = read(&[
            ("x-mailin-custom", r#"{"id": 7}"#),
            ("X-Mailin-IP", "192.0.2.7"),
            ("X-Sib-Sandbox", "Drop"),
        ]);
        let expected = [
            ("X-Mailin-custom", r#"{"id": 7}"#),
            ("sender.ip", "192.0.2.7"),
            ("X-Sib-Sandbox", "drop"),
        ];
        assert_eq!(options.fields, expected.map(|(name, value)| (name, value.to_owned())));
        assert!(losses.is_empty());
    }

    #[test]
    fn what_cannot_be_obeyed_is_named_and_what_is_for_others_is_not() {
        let bad = [
            ("X-Mailin-Tag", "[1, 2]"),
            ("X-Mailin-custom", "한글"),
            ("X-Mailin-custom", r#"{"a":"\ud55c"}"#),
            ("X-Mailin-IP", "mail.example.org"),
            ("X-Sib-Sandbox", "keep"),
            ("X-Mailin-Unheard-Of", "x"),
        ];
        let others = [("X-PM-Tag", "t"), ("X-SMTPAPI", "{}")];
        let (options, losses) = read(&[&bad[..], &others].concat());
        assert_eq!(options, Options::default());
        assert_eq!(losses, bad.map(|(name, _)| format!("header {name}")));
    }
}
