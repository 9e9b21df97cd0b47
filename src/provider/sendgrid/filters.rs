//! The `filters` of `X-SMTPAPI`, which switch features of SendGrid on and off, as settings of the API.
//! <https://www.twilio.com/docs/sendgrid/for-developers/sending-email/smtp-filters>

use serde_json::{Map, Value};

use super::smtpapi::{Notes, as_text};

/// The members of the request that filters become.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Settings {
    /// `mail_settings`
    pub(super) mail: Map<String, Value>,
    /// `tracking_settings`
    pub(super) tracking: Map<String, Value>,
    /// `template_id`
    pub(super) template: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Mail,
    Tracking,
}

/// A filter that the API has as well. Each has `enable`, which is true or false.
struct Filter {
    name: &'static str,
    place: Place,
    member: &'static str,
    /// Names of its further settings here and there.
    settings: &'static [(&'static str, &'static str)],
}

const FILTERS: [Filter; 9] = [
    Filter {
        name: "clicktrack",
        place: Place::Tracking,
        member: "click_tracking",
        settings: &[("enable_text", "enable_text")],
    },
    Filter {
        name: "opentrack",
        place: Place::Tracking,
        member: "open_tracking",
        settings: &[("replace", "substitution_tag")],
    },
    Filter {
        name: "subscriptiontrack",
        place: Place::Tracking,
        member: "subscription_tracking",
        settings: &[("text/plain", "text"), ("text/html", "html"), ("replace", "substitution_tag")],
    },
    Filter {
        name: "ganalytics",
        place: Place::Tracking,
        member: "ganalytics",
        settings: &[
            ("utm_source", "utm_source"),
            ("utm_medium", "utm_medium"),
            ("utm_term", "utm_term"),
            ("utm_content", "utm_content"),
            ("utm_campaign", "utm_campaign"),
        ],
    },
    Filter {
        name: "footer",
        place: Place::Mail,
        member: "footer",
        settings: &[("text/plain", "text"), ("text/html", "html")],
    },
    bypass("bypass_list_management"),
    bypass("bypass_spam_management"),
    bypass("bypass_bounce_management"),
    bypass("bypass_unsubscribe_management"),
];

const fn bypass(name: &'static str) -> Filter {
    Filter { name, place: Place::Mail, member: name, settings: &[] }
}

const WIDEST_BYPASS: &str = "bypass_list_management";

/// Settings that are true or false; all others are texts.
const SWITCHES: [&str; 2] = ["enable", "enable_text"];

pub(super) fn read(filters: &Value, notes: &mut Notes) -> Settings {
    let mut settings = Settings::default();
    let Some(filters) = filters.as_object() else {
        notes.lose("filters", "it is not an object");
        return settings;
    };
    for (name, filter) in filters {
        let full = format!("filters.{name}");
        let given = filter.get("settings").or_else(|| filter.get("setting"));
        let Some(given) = given.and_then(Value::as_object) else {
            notes.lose(&full, "it has no settings");
            continue;
        };
        if name == "templates" {
            settings.template = template(given, notes);
        } else if let Some(known) = FILTERS.iter().find(|known| known.name == name) {
            let read = known.read(given, notes);
            let place = match known.place {
                Place::Mail => &mut settings.mail,
                Place::Tracking => &mut settings.tracking,
            };
            place.insert(known.member.to_owned(), Value::Object(read));
        } else if given.get("enable").and_then(switch) != Some(false) {
            // What is switched off is not missed.
            notes.lose(&full, "the API has nothing like it");
        }
    }
    keep_one_bypass(&mut settings.mail, notes);
    settings
}

impl Filter {
    fn read(&self, given: &Map<String, Value>, notes: &mut Notes) -> Map<String, Value> {
        let mut read = Map::new();
        for (name, value) in given {
            let full = format!("filters.{}.{name}", self.name);
            let member = if name == "enable" {
                Some("enable")
            } else {
                self.settings.iter().find(|(known, _)| known == name).map(|(_, member)| *member)
            };
            let Some(member) = member else {
                notes.lose(&full, "the API has nothing like it");
                continue;
            };
            let value = if SWITCHES.contains(&member) {
                switch(value).map(Value::Bool)
            } else {
                as_text(value).map(Value::String)
            };
            match value {
                Some(value) => drop(read.insert(member.to_owned(), value)),
                None => notes.lose(&full, "it is not of the kind that the API takes"),
            }
        }
        read
    }
}

/// The transactional template, unless it is switched off.
fn template(given: &Map<String, Value>, notes: &mut Notes) -> Option<String> {
    if given.get("enable").and_then(switch) == Some(false) {
        return None;
    }
    let id = given.get("template_id").and_then(as_text).filter(|id| !id.trim().is_empty());
    if id.is_none() {
        notes.lose("filters.templates", "it names no template_id");
    }
    id
}

/// The widest bypass does not go together with the others, which it holds.
fn keep_one_bypass(mail: &mut Map<String, Value>, notes: &mut Notes) {
    let on = |name: &str| mail.get(name).is_some_and(|it| it["enable"] == Value::Bool(true));
    if !on(WIDEST_BYPASS) {
        return;
    }
    let others: Vec<_> = FILTERS
        .iter()
        .map(|filter| filter.name)
        .filter(|name| name.starts_with("bypass_") && *name != WIDEST_BYPASS)
        .filter(|name| mail.contains_key(*name))
        .collect();
    for name in others {
        mail.remove(name);
        notes.lose(&format!("filters.{name}"), "bypass_list_management holds it");
    }
}

/// `1`, `"1"` and `true` are on.
fn switch(value: &Value) -> Option<bool> {
    match as_text(value)?.trim() {
        "1" | "true" => Some(true),
        "0" | "false" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read_with_losses(filters: &Value) -> (Settings, Vec<String>) {
        let mut notes = Notes::default();
        let settings = read(filters, &mut notes);
        (settings, notes.names())
    }

    fn filter(settings: impl Into<Value>) -> Value {
        json!({ "settings": settings.into() })
    }

    #[test]
    fn every_filter_that_the_api_has_becomes_its_setting() {
        let (settings, losses) = read_with_losses(&json!({
            "clicktrack": filter(json!({"enable": 1, "enable_text": true})),
            "opentrack": filter(json!({"enable": "1", "replace": "%open%"})),
            "subscriptiontrack": filter(json!({
                "enable": true, "text/html": "<% here %>", "text/plain": "<% %>", "replace": "[u]"
            })),
            "ganalytics": filter(json!({
                "enable": 1, "utm_source": "a", "utm_medium": "b", "utm_term": "c",
                "utm_content": "d", "utm_campaign": 5
            })),
            "footer": filter(json!({"enable": 1, "text/html": "<p>", "text/plain": "bye"})),
            "bypass_spam_management": filter(json!({"enable": 1})),
            "bypass_bounce_management": filter(json!({"enable": 0})),
            "bypass_unsubscribe_management": filter(json!({"enable": "true"})),
            "templates": filter(json!({"enable": 1, "template_id": "5997fcf6"})),
        }));
        assert_eq!(losses, [""; 0]);
        assert_eq!(
            Value::Object(settings.tracking),
            json!({
                "click_tracking": {"enable": true, "enable_text": true},
                "open_tracking": {"enable": true, "substitution_tag": "%open%"},
                "subscription_tracking": {
                    "enable": true, "html": "<% here %>", "text": "<% %>", "substitution_tag": "[u]"
                },
                "ganalytics": {
                    "enable": true, "utm_source": "a", "utm_medium": "b", "utm_term": "c",
                    "utm_content": "d", "utm_campaign": "5"
                },
            })
        );
        assert_eq!(
            Value::Object(settings.mail),
            json!({
                "footer": {"enable": true, "html": "<p>", "text": "bye"},
                "bypass_spam_management": {"enable": true},
                "bypass_bounce_management": {"enable": false},
                "bypass_unsubscribe_management": {"enable": true},
            })
        );
        assert_eq!(settings.template.as_deref(), Some("5997fcf6"));
    }

    #[test]
    fn what_the_api_does_not_have_is_named_unless_it_is_off() {
        let names = ["bcc", "spamcheck", "template", "gravatar", "domainkeys", "dkim"];
        let on =
            names.map(|name| (name.to_owned(), filter(json!({"enable": 1, "email": "e@x.org"}))));
        let (settings, losses) = read_with_losses(&Value::Object(on.into_iter().collect()));
        assert_eq!(settings, Settings::default(), "no copy goes to anybody");
        assert_eq!(losses.len(), names.len());
        assert!(losses.contains(&"X-SMTPAPI filters.bcc".to_owned()), "{losses:?}");

        let off = names.map(|name| (name.to_owned(), filter(json!({"enable": 0}))));
        let (_, losses) = read_with_losses(&Value::Object(off.into_iter().collect()));
        assert_eq!(losses, [""; 0]);
        let (_, losses) = read_with_losses(&json!({"dkim": filter(json!({"domain": "x.org"}))}));
        assert_eq!(losses, ["X-SMTPAPI filters.dkim"]);
    }

    #[test]
    fn settings_of_the_wrong_kind_are_named_and_the_others_stay() {
        let (settings, losses) = read_with_losses(&json!({
            "clicktrack": filter(json!({"enable": 2, "enable_text": 0})),
            "footer": filter(json!({"enable": 1, "text/html": ["x"], "landing": "x"})),
            "opentrack": {"enable": 1},
            "templates": filter(json!({"enable": 1})),
        }));
        assert_eq!(settings.tracking["click_tracking"], json!({"enable_text": false}));
        assert_eq!(settings.mail["footer"], json!({"enable": true}));
        assert_eq!(settings.template, None);
        assert_eq!(
            losses,
            [
                "X-SMTPAPI filters.clicktrack.enable",
                "X-SMTPAPI filters.footer.text/html",
                "X-SMTPAPI filters.footer.landing",
                "X-SMTPAPI filters.opentrack",
                "X-SMTPAPI filters.templates",
            ]
        );
        assert_eq!(read_with_losses(&json!([])).1, ["X-SMTPAPI filters"]);
    }

    #[test]
    fn the_widest_bypass_stands_alone() {
        let (settings, losses) = read_with_losses(&json!({
            "bypass_list_management": filter(json!({"enable": 1})),
            "bypass_spam_management": filter(json!({"enable": 1})),
        }));
        assert_eq!(
            Value::Object(settings.mail),
            json!({"bypass_list_management": {"enable": true}})
        );
        assert_eq!(losses, ["X-SMTPAPI filters.bypass_spam_management"]);
    }
}
