//! The header fields `X-SES-*`, in which apps give orders to the SMTP server of SES, as members of `SendEmail`.
//! <https://docs.aws.amazon.com/ses/latest/dg/event-publishing-send-email.html>
//! <https://docs.aws.amazon.com/ses/latest/dg/sending-authorization-delegate-sender-tasks-email.html>
//! <https://docs.aws.amazon.com/ses/latest/dg/sending-email-subscription-management.html>
//! <https://docs.aws.amazon.com/ses/latest/dg/tenants.html>

use std::collections::HashSet;

use serde::Serialize;

use crate::message::Loss;
use crate::provider::Letter;
use crate::provider::people::wire_address;

/// The names of a tag and of its value may be as long, in characters.
const TAG_CHARS_MAX: usize = 256;
/// Of a configuration set and of a tenant.
const NAME_CHARS_MAX: usize = 64;
/// Longer than any name of a resource of AWS.
const ARN_CHARS_MAX: usize = 2048;

/// Members of `SendEmailRequest`.
#[derive(Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Options {
    /// Overrides what `X-SES-SOURCE-ARN` and `X-SES-FROM-ARN` would say, so the first is meant where only it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    from_email_address_identity_arn: Option<String>,
    /// The address that [`Self::feedback_forwarding_email_address_identity_arn`] allows: the sender of the envelope,
    /// which is what the SMTP server takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    feedback_forwarding_email_address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    feedback_forwarding_email_address_identity_arn: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    email_tags: Vec<Tag>,
    #[serde(skip_serializing_if = "Option::is_none")]
    configuration_set_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    list_management_options: Option<ListManagement>,
}

#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Tag {
    name: String,
    value: String,
}

#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct ListManagement {
    contact_list_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    topic_name: Option<String>,
}

/// Reads all `X-SES-*` of the message. What the API would refuse the message for is left out and named.
pub(super) fn read(letter: &Letter<'_>, losses: &mut Vec<Loss>) -> Options {
    let mut options = Options::default();
    let mut source_arn = None;
    let mut seen = HashSet::new();
    for (name, value) in &letter.email.options {
        let known = name.to_ascii_uppercase();
        if !known.starts_with("X-SES-") {
            continue;
        }
        let value = value.trim();
        let mut lose = |why: &str| losses.push(Loss::slight(format!("header {name}"), why));
        if value.is_empty() {
            continue;
        }
        if known == "X-SES-MESSAGE-TAGS" {
            tags(value, &mut options.email_tags, losses);
            continue;
        }
        if !seen.insert(known.clone()) {
            lose("it stands more than once, and only the first counts");
            continue;
        }
        match known.as_str() {
            "X-SES-CONFIGURATION-SET" => match plain_name(value) {
                Some(set) => options.configuration_set_name = Some(set),
                None => lose(NAME_RULE),
            },
            "X-SES-TENANT" => match plain_name(value) {
                Some(tenant) => options.tenant_name = Some(tenant),
                None => lose(NAME_RULE),
            },
            "X-SES-LIST-MANAGEMENT-OPTIONS" => match list_management(value) {
                Some(list) => options.list_management_options = Some(list),
                None => lose("it is not a list's name, with or without `; topic=` and a topic's"),
            },
            "X-SES-FROM-ARN" => match arn(value) {
                Some(arn) => options.from_email_address_identity_arn = Some(arn),
                None => lose(ARN_RULE),
            },
            "X-SES-SOURCE-ARN" => match arn(value) {
                Some(arn) => source_arn = Some(arn),
                None => lose(ARN_RULE),
            },
            "X-SES-RETURN-PATH-ARN" => match (arn(value), return_path(letter)) {
                (Some(arn), Some(address)) => {
                    options.feedback_forwarding_email_address = Some(address);
                    options.feedback_forwarding_email_address_identity_arn = Some(arn);
                }
                (None, _) => lose(ARN_RULE),
                (Some(_), None) => lose("the envelope has no sender that SES takes"),
            },
            _ => lose("SES describes no such field"),
        }
    }
    if options.from_email_address_identity_arn.is_none() {
        options.from_email_address_identity_arn = source_arn;
    }
    options
}

const NAME_RULE: &str = "the API takes 1 to 64 letters, digits, hyphens and underscores";
const ARN_RULE: &str = "it is not an ARN";

/// `name=value, name=value`
fn tags(text: &str, tags: &mut Vec<Tag>, losses: &mut Vec<Loss>) {
    for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (name.trim(), value.trim());
        let why = if !is_plain(name, TAG_CHARS_MAX) || !is_plain(value, TAG_CHARS_MAX) {
            "the API takes 1 to 256 letters, digits, hyphens and underscores on both sides of `=`"
        } else if tags.iter().any(|tag| tag.name == name) {
            "the name stands more than once, and only the first counts"
        } else {
            tags.push(Tag { name: name.to_owned(), value: value.to_owned() });
            continue;
        };
        let shown: String = pair.chars().take(80).collect();
        losses.push(Loss::slight(format!("header X-SES-MESSAGE-TAGS: {shown:?}"), why));
    }
}

/// `list; topic=topic`, as AWS writes it, and `contactListName=list; topicName=topic`, as libraries do.
fn list_management(text: &str) -> Option<ListManagement> {
    let (list, topic) = match text.split_once(';') {
        Some((list, topic)) => (list.trim(), Some(topic.trim())),
        None => (text, None),
    };
    let contact_list_name = value_of(list, "contactListName").unwrap_or(list);
    let topic_name = match topic.filter(|topic| !topic.is_empty()) {
        Some(topic) => Some(value_of(topic, "topic").or_else(|| value_of(topic, "topicName"))?),
        None => None,
    };
    let is_name = |name: &str| !name.is_empty() && !name.contains([';', '=']);
    let valid = is_name(contact_list_name) && topic_name.is_none_or(is_name);
    valid.then(|| ListManagement {
        contact_list_name: contact_list_name.to_owned(),
        topic_name: topic_name.map(str::to_owned),
    })
}

/// The value of `name=value`.
fn value_of<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (found, value) = text.split_once('=')?;
    found.trim().eq_ignore_ascii_case(name).then(|| value.trim())
}

fn arn(text: &str) -> Option<String> {
    let valid = text.starts_with("arn:")
        && text.len() <= ARN_CHARS_MAX
        && text.bytes().all(|byte| byte.is_ascii_graphic());
    valid.then(|| text.to_owned())
}

fn return_path(letter: &Letter<'_>) -> Option<String> {
    wire_address(letter.envelope.sender.as_ref()?.as_str()).ok()
}

fn plain_name(text: &str) -> Option<String> {
    is_plain(text, NAME_CHARS_MAX).then(|| text.to_owned())
}

fn is_plain(text: &str, max: usize) -> bool {
    (1..=max).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::provider::samples::Sample;

    fn read_all(options: &[(&str, &str)]) -> (Value, Vec<String>) {
        let mut sample = Sample::plain();
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        sample.email.options = options.iter().map(owned).collect();
        let mut losses = Vec::new();
        let read = read(&sample.letter(), &mut losses);
        assert!(losses.iter().all(|loss| !loss.grave));
        (serde_json::to_value(read).unwrap(), losses.into_iter().map(|loss| loss.what).collect())
    }

    #[test]
    fn every_field_becomes_its_member() {
        let (read, losses) = read_all(&[
            ("x-ses-configuration-set", " events_1 "),
            ("X-SES-MESSAGE-TAGS", "app=shop, kind=order_2-a,"),
            ("X-SES-Message-Tags", "more=1"),
            ("X-SES-SOURCE-ARN", "arn:aws:ses:eu-west-1:1:identity/a.example"),
            ("X-SES-FROM-ARN", "arn:aws:ses:eu-west-1:1:identity/b.example"),
            ("X-SES-RETURN-PATH-ARN", "arn:aws:ses:eu-west-1:1:identity/c.example"),
            ("X-SES-LIST-MANAGEMENT-OPTIONS", "readers; topic=news"),
            ("X-SES-TENANT", "tenant-1"),
            ("X-PM-Tag", "of somebody else"),
        ]);
        assert_eq!(losses, [""; 0]);
        assert_eq!(
            read,
            json!({
                "ConfigurationSetName": "events_1",
                "EmailTags": [
                    {"Name": "app", "Value": "shop"},
                    {"Name": "kind", "Value": "order_2-a"},
                    {"Name": "more", "Value": "1"}
                ],
                "FromEmailAddressIdentityArn": "arn:aws:ses:eu-west-1:1:identity/b.example",
                "FeedbackForwardingEmailAddress": "ada@example.org",
                "FeedbackForwardingEmailAddressIdentityArn":
                    "arn:aws:ses:eu-west-1:1:identity/c.example",
                "ListManagementOptions": {"ContactListName": "readers", "TopicName": "news"},
                "TenantName": "tenant-1"
            })
        );
    }

    #[test]
    fn the_source_stands_for_from_where_only_it_is_named() {
        let (read, _) = read_all(&[("X-SES-SOURCE-ARN", "arn:aws:ses:x")]);
        assert_eq!(read, json!({"FromEmailAddressIdentityArn": "arn:aws:ses:x"}));
    }

    #[test]
    fn lists_are_named_in_either_manner() {
        for (text, expected) in [
            ("l", json!({"ContactListName": "l"})),
            ("l;", json!({"ContactListName": "l"})),
            ("contactListName=l;topicName=t", json!({"ContactListName": "l", "TopicName": "t"})),
            ("l; topic=t", json!({"ContactListName": "l", "TopicName": "t"})),
        ] {
            let (read, losses) = read_all(&[("X-SES-LIST-MANAGEMENT-OPTIONS", text)]);
            assert_eq!(read, json!({"ListManagementOptions": expected}));
            assert_eq!(losses, [""; 0]);
        }
    }

    #[test]
    fn what_the_api_refuses_is_named_and_left_out() {
        let long = "x".repeat(65);
        for (name, value) in [
            ("X-SES-CONFIGURATION-SET", "a b"),
            ("X-SES-CONFIGURATION-SET", long.as_str()),
            ("X-SES-TENANT", "ü"),
            ("X-SES-SOURCE-ARN", "identity/a.example"),
            ("X-SES-FROM-ARN", "arn:a b"),
            ("X-SES-RETURN-PATH-ARN", "x"),
            ("X-SES-LIST-MANAGEMENT-OPTIONS", "; topic=t"),
            ("X-SES-LIST-MANAGEMENT-OPTIONS", "l; t"),
            ("X-SES-LIST-MANAGEMENT-OPTIONS", "l; topic=t; u"),
            ("X-SES-Something", "x"),
        ] {
            let (read, losses) = read_all(&[(name, value)]);
            assert_eq!((read, losses), (json!({}), vec![format!("header {name}")]), "{value}");
        }
        let (read, losses) = read_all(&[("X-SES-MESSAGE-TAGS", "a=1, b, c=x y, a=2, =3, d=")]);
        assert_eq!(read, json!({"EmailTags": [{"Name": "a", "Value": "1"}]}));
        assert_eq!(losses.len(), 5);
        let (read, losses) =
            read_all(&[("X-SES-TENANT", "a"), ("x-ses-tenant", "b"), ("X-SES-FROM-ARN", " ")]);
        assert_eq!(read, json!({"TenantName": "a"}));
        assert_eq!(losses, ["header x-ses-tenant"]);
    }

    #[test]
    fn the_null_sender_has_no_return_path_to_allow() {
        let mut sample = Sample::plain();
        sample.envelope.sender = None;
        sample.email.options = vec![("X-SES-RETURN-PATH-ARN".to_owned(), "arn:a".to_owned())];
        let mut losses = Vec::new();
        assert_eq!(read(&sample.letter(), &mut losses), Options::default());
        assert_eq!(losses.len(), 1);
    }
}
