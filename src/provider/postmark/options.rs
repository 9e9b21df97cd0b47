//! The orders that Postmark's SMTP server takes as header fields, as members of a request.
//! <https://postmarkapp.com/developer/user-guide/send-email-with-smtp>

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use crate::message::Loss;
use crate::provider::fields::Field;

/// Characters of a tag.
const TAG_MAX: usize = 1000;
/// <https://postmarkapp.com/support/article/1125-custom-metadata-faq>: fields of metadata, and characters of their names
/// and values. One that is beyond them would cost the whole message.
const METADATA_MAX: usize = 10;
const METADATA_NAME_MAX: usize = 20;
const METADATA_VALUE_MAX: usize = 80;
/// Characters of a stream's id, generously.
const STREAM_MAX: usize = 100;

const PREFIX: &str = "X-PM-";
const METADATA: &str = "metadata-";
const TRACK_LINKS: [&str; 4] = ["None", "HtmlAndText", "HtmlOnly", "TextOnly"];

/// What a message orders; nothing where it says nothing.
#[derive(Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Options {
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<String>,
    #[serde(skip_serializing_if = "Metadata::is_empty")]
    metadata: Metadata,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_stream: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    track_opens: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    track_links: Option<&'static str>,
    /// The app wants Postmark's Message-ID instead of its own (`X-PM-KeepID: false`).
    #[serde(skip)]
    pub(super) new_id: bool,
    /// Orders that the API, too, takes as header fields.
    #[serde(skip)]
    pub(super) fields: Vec<Field>,
}

/// Names and values in the order of the message; each name once, whatever its case.
#[derive(Debug, Default, PartialEq)]
struct Metadata(Vec<(String, String)>);

impl Metadata {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Metadata {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl Options {
    /// Reads those that are for Postmark. One that cannot be obeyed is a loss that names it.
    pub(super) fn read(options: &[(String, String)], losses: &mut Vec<Loss>) -> Self {
        let mut read = Self::default();
        for (name, value) in options {
            let Some((prefix, order)) = name.split_at_checked(PREFIX.len()) else { continue };
            if prefix.eq_ignore_ascii_case(PREFIX)
                && let Err(why) = read.obey(order, value.trim())
            {
                losses.push(Loss::slight(format!("header {name}"), why));
            }
        }
        read
    }

    fn obey(&mut self, order: &str, value: &str) -> Result<(), &'static str> {
        let lower = order.to_ascii_lowercase();
        match lower.as_str() {
            "tag" if value.is_empty() || value.chars().count() > TAG_MAX => {
                Err("a tag has 1 to 1000 characters")
            }
            "tag" => once(&mut self.tag, value.to_owned()),
            "message-stream" if !is_stream(value) => Err("it is not the id of a message stream"),
            "message-stream" => once(&mut self.message_stream, value.to_owned()),
            "trackopens" => once(&mut self.track_opens, truth(value)?),
            "tracklinks" => {
                let known = TRACK_LINKS.into_iter().find(|it| it.eq_ignore_ascii_case(value));
                once(&mut self.track_links, known.ok_or("it is none of the values that there are")?)
            }
            "keepid" => truth(value).map(|keep| self.new_id = !keep),
            "bounce-type" => {
                // Tells a server for tests to pretend a bounce.
                let name = format!("{PREFIX}Bounce-Type");
                self.fields.push(Field { name, value: value.to_owned() });
                Ok(())
            }
            _ => match order.split_at_checked(METADATA.len()) {
                Some((start, name)) if start.eq_ignore_ascii_case(METADATA) => {
                    self.note(name, value)
                }
                Some(_) | None => Err("the API has nothing for it"),
            },
        }
    }

    fn note(&mut self, name: &str, value: &str) -> Result<(), &'static str> {
        let known = &mut self.metadata.0;
        if !(1..=METADATA_NAME_MAX).contains(&name.chars().count()) {
            return Err("names of metadata have 1 to 20 characters");
        }
        if value.chars().count() > METADATA_VALUE_MAX {
            return Err("values of metadata have 80 characters at the most");
        }
        if known.iter().any(|(other, _)| other.eq_ignore_ascii_case(name)) {
            return Err("it stands more than once, and only the first counts");
        }
        if known.len() == METADATA_MAX {
            return Err("a message has 10 fields of metadata at the most");
        }
        known.push((name.to_owned(), value.to_owned()));
        Ok(())
    }
}

fn once<T>(place: &mut Option<T>, value: T) -> Result<(), &'static str> {
    if place.is_some() {
        return Err("it stands more than once, and only the first counts");
    }
    *place = Some(value);
    Ok(())
}

fn truth(value: &str) -> Result<bool, &'static str> {
    value.to_ascii_lowercase().parse().map_err(|_| "it is neither true nor false")
}

fn is_stream(value: &str) -> bool {
    (1..=STREAM_MAX).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(options: &[(&str, &str)]) -> (Value, Vec<String>) {
        let options: Vec<_> =
            options.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let mut losses = Vec::new();
        let read = Options::read(&options, &mut losses);
        let named = losses.iter().map(|loss| loss.what.clone()).collect();
        assert!(losses.iter().all(|loss| !loss.grave));
        (serde_json::to_value(&read).unwrap(), named)
    }

    #[test]
    fn every_order_of_the_smtp_server_is_a_member() {
        let (members, losses) = read(&[
            ("X-PM-Tag", " welcome "),
            ("X-PM-Message-Stream", "broadcast"),
            ("x-pm-metadata-Color", "blue"),
            ("X-PM-Metadata-client-id", "12345"),
            ("X-PM-TrackOpens", "True"),
            ("X-PM-TrackLinks", "htmlonly"),
        ]);
        assert_eq!(
            members,
            json!({
                "Tag": "welcome", "MessageStream": "broadcast", "TrackOpens": true, "TrackLinks": "HtmlOnly",
                "Metadata": {"Color": "blue", "client-id": "12345"}
            })
        );
        assert!(losses.is_empty());
    }

    #[test]
    fn orders_for_others_mean_nothing() {
        let others = [("X-Mailin-Tag", "a"), ("X-SMTPAPI", "{}"), ("X-P", "x"), ("크크크", "x")];
        assert_eq!(read(&others), (json!({}), vec![]));
    }

    #[test]
    fn what_is_out_of_bounds_is_named_and_stays_behind() {
        let (long, value) = ("x".repeat(1001), "x".repeat(81));
        let bad = [
            ("X-PM-Tag", long.as_str()),
            ("X-PM-Tag", ""),
            ("X-PM-Message-Stream", "two words"),
            ("X-PM-TrackOpens", "maybe"),
            ("X-PM-TrackLinks", "all"),
            ("X-PM-Metadata-", "x"),
            ("X-PM-Metadata-of-twenty-one-letters", "x"),
            ("X-PM-Metadata-long", value.as_str()),
            ("X-PM-Unheard-Of", "x"),
            ("X-PM-", "x"),
        ];
        let (members, losses) = read(&bad);
        assert_eq!(members, json!({}));
        assert_eq!(losses, bad.map(|(name, _)| format!("header {name}")));
    }

    #[test]
    fn what_is_in_bounds_is_not() {
        let (long, value) = ("x".repeat(1000), "x".repeat(80));
        let (members, losses) =
            read(&[("X-PM-Tag", &long), ("X-PM-Metadata-of-twenty-letters---", &value)]);
        assert_eq!(members["Tag"].as_str().unwrap().len(), 1000);
        assert_eq!(members["Metadata"].as_object().unwrap().len(), 1);
        assert!(losses.is_empty(), "{losses:?}");
    }

    #[test]
    fn the_first_of_several_counts_and_ten_fields_of_metadata_do() {
        let names: Vec<_> = (0..11).map(|n| format!("X-PM-Metadata-n{n}")).collect();
        let mut orders: Vec<_> = names.iter().map(|name| (name.as_str(), "v")).collect();
        orders.insert(1, ("X-PM-Metadata-N0", "again"));
        orders.extend([("X-PM-Tag", "a"), ("X-PM-Tag", "b")]);
        let (members, losses) = read(&orders);
        assert_eq!(members["Metadata"].as_object().unwrap().len(), 10);
        assert_eq!((&members["Tag"], &members["Metadata"]["n0"]), (&json!("a"), &json!("v")));
        let lost = ["header X-PM-Metadata-N0", "header X-PM-Metadata-n10", "header X-PM-Tag"];
        assert_eq!(losses, lost);
    }

    #[test]
    fn the_id_is_kept_unless_the_app_says_otherwise() {
        let new_id = |value: &str| {
            let options = [("X-PM-KeepID".to_owned(), value.to_owned())];
            Options::read(&options, &mut Vec::new()).new_id
        };
        assert!(new_id("false") && !new_id("true") && !new_id(""));
    }
}
