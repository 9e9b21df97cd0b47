//! The header field `X-SMTPAPI`, in which apps give orders to SendGrid's SMTP server, as members of the API's request.
//! <https://www.twilio.com/docs/sendgrid/for-developers/sending-email/building-an-x-smtpapi-header>
//!
//! SendGrid's server bounces a message whose field it cannot read. Here the message is sent, and what could not be read
//! is named as a loss. Of several fields the first counts, as it does there.

use serde::Serialize;
use serde_json::{Map, Value};

use super::filters::{self, Settings};
use crate::message::Loss;
use crate::provider::Letter;
use crate::provider::people::one_line;

const NAME: &str = "X-SMTPAPI";

/// A longer field is not read.
const BYTES_MAX: usize = 1 << 20;
/// How many losses of one field are named one by one.
const LOSSES_MAX: usize = 20;

const CATEGORIES_MAX: usize = 10;
const CATEGORY_CHARS_MAX: usize = 255;
const GROUPS_TO_DISPLAY_MAX: usize = 25;
const POOL_CHARS: std::ops::RangeInclusive<usize> = 2..=64;
/// How many substitution tags, and how many section tags: each is looked for in each text.
const TAGS_MAX: usize = 100;
/// How long ahead a message may be scheduled, in seconds.
const AHEAD_MAX: i64 = 72 * 60 * 60;

/// What the app asks for.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Orders {
    pub(super) categories: Vec<String>,
    /// Names and values that come back with every event.
    pub(super) arguments: Vec<(String, String)>,
    /// In seconds since 1970.
    pub(super) send_at: Option<i64>,
    pub(super) batch_id: Option<String>,
    pub(super) asm: Option<Asm>,
    pub(super) ip_pool_name: Option<String>,
    pub(super) settings: Settings,
    pub(super) each: Each,
}

impl Orders {
    /// A dynamic template takes none: the API refuses both together.
    pub(super) fn takes_substitutions(&self) -> bool {
        !self.settings.template.as_deref().is_some_and(|id| id.starts_with("d-"))
    }
}

/// The unsubscribe group of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Asm {
    group_id: i64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    groups_to_display: Vec<i64>,
}

/// What may be another thing for each recipient.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Each {
    /// Whom the places of the lists belong to; empty where it is the envelope's recipients in their order.
    pub(super) to: Vec<String>,
    /// What stands in the text, and what stands there instead, by place.
    pub(super) substitutions: Vec<(String, Vec<String>)>,
    /// What stands in a substitution, and the text that it is short for.
    pub(super) sections: Vec<(String, String)>,
    /// When to send, by place.
    pub(super) send_at: Vec<i64>,
}

/// Reads the first `X-SMTPAPI` of the message.
pub(super) fn read(letter: &Letter<'_>, losses: &mut Vec<Loss>) -> Orders {
    let mut fields =
        letter.email.options.iter().filter(|(name, _)| name.eq_ignore_ascii_case(NAME));
    let Some((_, value)) = fields.next() else { return Orders::default() };
    let mut notes = Notes::default();
    if fields.next().is_some() {
        notes.lose("a further field", "the first one counts, as at SendGrid's SMTP server");
    }
    let orders = match object(value) {
        Ok(members) => Reader { notes: &mut notes, accepted_at: letter.received_at.as_second() }
            .orders(members),
        Err(why) => {
            notes.lose("the whole field", &why);
            Orders::default()
        }
    };
    notes.hand_over(losses);
    orders
}

fn object(text: &str) -> Result<Map<String, Value>, String> {
    if text.len() > BYTES_MAX {
        return Err(format!("it has {} octets, of which {BYTES_MAX} would be read", text.len()));
    }
    // A tab is a fold, and none of JSON's texts may hold one.
    match serde_json::from_str(&text.replace('\t', " ")) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) => Err("it is not a JSON object".to_owned()),
        Err(error) => Err(format!("it is not JSON: {error}")),
    }
}

/// What of the field does not become part of the request.
#[derive(Debug, Default)]
pub(super) struct Notes(Vec<Loss>);

impl Notes {
    /// `member` is its name in the field, which may be of any length.
    pub(super) fn lose(&mut self, member: &str, why: &str) {
        let member: String = one_line(member).chars().take(80).collect();
        self.0.push(Loss::slight(format!("{NAME} {member}"), why));
    }

    #[cfg(test)]
    pub(super) fn names(&self) -> Vec<String> {
        self.0.iter().map(|loss| loss.what.clone()).collect()
    }

    fn hand_over(mut self, losses: &mut Vec<Loss>) {
        let more = self.0.len().saturating_sub(LOSSES_MAX);
        self.0.truncate(LOSSES_MAX);
        losses.append(&mut self.0);
        if more > 0 {
            losses.push(Loss::slight(format!("{NAME}: {more} further members"), "as those before"));
        }
    }
}

/// The loss of something that readers would see.
pub(super) fn grave(member: &str, why: impl Into<String>) -> Loss {
    Loss::grave(format!("{NAME} {member}"), why)
}

/// Reads member by member; what is not as described is noted and left out.
struct Reader<'a> {
    notes: &'a mut Notes,
    /// When the message came, in seconds since 1970.
    accepted_at: i64,
}

impl Reader<'_> {
    fn orders(&mut self, members: Map<String, Value>) -> Orders {
        let mut orders = Orders::default();
        let mut group = None;
        let mut groups_to_display = Vec::new();
        for (name, value) in members {
            if is_empty(&value) {
                continue;
            }
            match name.as_str() {
                "category" => orders.categories = self.categories(&value),
                "unique_args" => orders.arguments = self.pairs(&name, &value),
                "send_at" => orders.send_at = self.time(&name, &value),
                "send_each_at" => {
                    let times = list(&value).iter();
                    orders.each.send_at = times.filter_map(|it| self.time(&name, it)).collect();
                    if orders.each.send_at.len() < list(&value).len() {
                        // Without one of them, the others would be somebody else's.
                        orders.each.send_at.clear();
                    }
                }
                "batch_id" => orders.batch_id = self.text(&name, &value),
                "asm_group_id" => group = self.integer(&name, &value),
                "asm_groups_to_display" => groups_to_display = self.integers(&name, &value),
                "asm" => {
                    let member = |inner| value.get(inner).filter(|it| !is_empty(it));
                    match member("group_id") {
                        Some(id) => group = self.integer("asm.group_id", id),
                        None => self.notes.lose("asm", "it has no group_id"),
                    }
                    if let Some(shown) = member("groups_to_display") {
                        groups_to_display = self.integers("asm.groups_to_display", shown);
                    }
                }
                "ip_pool" => orders.ip_pool_name = self.pool(&name, &value),
                "filters" => orders.settings = filters::read(&value, self.notes),
                "to" => orders.each.to = self.addresses(&value),
                "sub" => orders.each.substitutions = self.substitutions(&value),
                "section" => {
                    orders.each.sections = self.pairs(&name, &value);
                    if orders.each.sections.len() > TAGS_MAX {
                        self.notes.lose(&name, &format!("it has more than {TAGS_MAX} tags"));
                        orders.each.sections.truncate(TAGS_MAX);
                    }
                }
                other => self.notes.lose(other, "SendGrid describes no such member"),
            }
        }
        orders.asm = self.asm(group, groups_to_display);
        if orders.send_at.is_some() && !orders.each.send_at.is_empty() {
            self.notes.lose("send_each_at", "it does not go together with send_at, which counts");
            orders.each.send_at.clear();
        }
        orders
    }

    fn categories(&mut self, value: &Value) -> Vec<String> {
        let mut categories = Vec::new();
        for category in list(value) {
            let Some(category) = self.text("category", category) else { continue };
            if category.chars().count() > CATEGORY_CHARS_MAX {
                let why = format!("it is longer than {CATEGORY_CHARS_MAX} characters");
                self.notes.lose("category", &why);
            } else if category.is_empty() || categories.contains(&category) {
                // The API takes each once, and nothing is lost with it.
            } else if categories.len() == CATEGORIES_MAX {
                let why = format!("the API takes {CATEGORIES_MAX}");
                self.notes.lose(&format!("category {category}"), &why);
            } else {
                categories.push(category);
            }
        }
        categories
    }

    fn asm(&mut self, group: Option<i64>, mut groups_to_display: Vec<i64>) -> Option<Asm> {
        if groups_to_display.len() > GROUPS_TO_DISPLAY_MAX {
            let why = format!("the API takes {GROUPS_TO_DISPLAY_MAX}; the first are sent");
            self.notes.lose("asm_groups_to_display", &why);
            groups_to_display.truncate(GROUPS_TO_DISPLAY_MAX);
        }
        match group {
            Some(group_id) => Some(Asm { group_id, groups_to_display }),
            None if groups_to_display.is_empty() => None,
            None => {
                let why = "the API takes it with asm_group_id only";
                self.notes.lose("asm_groups_to_display", why);
                None
            }
        }
    }

    fn pool(&mut self, name: &str, value: &Value) -> Option<String> {
        let pool = self.text(name, value)?;
        if POOL_CHARS.contains(&pool.chars().count()) {
            return Some(pool);
        }
        self.notes.lose(name, "the API takes 2 to 64 characters");
        None
    }

    fn addresses(&mut self, value: &Value) -> Vec<String> {
        let mut addresses = Vec::new();
        for entry in list(value) {
            // One that cannot be read keeps its place in the lists.
            let entry = self.text("to", entry).unwrap_or_default();
            let address = entry.rsplit_once('<').map_or(entry.as_str(), |(_, rest)| rest);
            addresses.push(address.trim_end().trim_end_matches('>').trim().to_owned());
        }
        addresses
    }

    fn substitutions(&mut self, value: &Value) -> Vec<(String, Vec<String>)> {
        let Some(tags) = value.as_object() else {
            self.notes.lose("sub", "it is not an object");
            return Vec::new();
        };
        if tags.len() > TAGS_MAX {
            self.notes.lose("sub", &format!("it has more than {TAGS_MAX} tags"));
        }
        let mut substitutions = Vec::new();
        for (tag, values) in tags.iter().take(TAGS_MAX).filter(|(tag, _)| !tag.is_empty()) {
            let name = format!("sub.{tag}");
            let texts = list(values).iter().map(|it| self.text(&name, it));
            // One that is no text stands for nothing, and keeps its place.
            let texts = texts.map(Option::unwrap_or_default).collect();
            substitutions.push((tag.clone(), texts));
        }
        substitutions
    }

    /// The members of an object, their values as text.
    fn pairs(&mut self, name: &str, value: &Value) -> Vec<(String, String)> {
        let Some(members) = value.as_object() else {
            self.notes.lose(name, "it is not an object");
            return Vec::new();
        };
        let mut pairs = Vec::new();
        for (inner, value) in members.iter().filter(|(inner, _)| !inner.is_empty()) {
            if let Some(text) = self.text(&format!("{name}.{inner}"), value) {
                pairs.push((inner.clone(), text));
            }
        }
        pairs
    }

    fn text(&mut self, name: &str, value: &Value) -> Option<String> {
        let text = as_text(value);
        if text.is_none() {
            self.notes.lose(name, "it is not a text");
        }
        text
    }

    fn integers(&mut self, name: &str, value: &Value) -> Vec<i64> {
        list(value).iter().filter_map(|it| self.integer(name, it)).collect()
    }

    fn integer(&mut self, name: &str, value: &Value) -> Option<i64> {
        let number = value.as_i64().or_else(|| value.as_str()?.trim().parse().ok());
        let number = number.filter(|number| *number >= 0);
        if number.is_none() {
            self.notes.lose(name, "it is not a whole number");
        }
        number
    }

    /// A moment that the API takes; the message is sent at once without.
    fn time(&mut self, name: &str, value: &Value) -> Option<i64> {
        let time = self.integer(name, value)?;
        if time <= self.accepted_at.saturating_add(AHEAD_MAX) {
            return Some(time);
        }
        self.notes.lose(name, "it is more than 72 hours ahead, which the API refuses");
        None
    }
}

/// One value counts as a list of one.
fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice)
}

/// What libraries write where nothing was set.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Numbers and truth values become texts; nothing else does.
pub(super) fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests;
