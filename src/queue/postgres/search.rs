//! Walking over messages, newest first, for those that fulfil conditions.

use deadpool_postgres::Transaction;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::change::Fault;
use super::rows;
use crate::message::QueueId;
use crate::queue::{Filter, Page, Summary, rules};

/// Records that one page looks at: in stretches, so that a page that is soon full looks at few.
const STRETCHES: [i64; 4] = [500, 4_500, 20_000, 75_000];

/// Where a stretch ends: the record behind it.
const STRETCH: &str = "SELECT id FROM messages WHERE id < $1 ORDER BY id DESC OFFSET $2 LIMIT 1";

/// Conditions in SQL on `m`, with their parameters, from `$4` on.
pub(super) struct Conditions {
    sql: String,
    parameters: Vec<Box<dyn ToSql + Send + Sync>>,
}

/// Parameters in front of those of the conditions.
const ROOM: usize = 3;

impl Conditions {
    /// What a filter says besides its texts and its place.
    pub(super) fn of(filter: &Filter) -> Self {
        let mut conditions = Self { sql: String::new(), parameters: Vec::new() };
        if let Some(state) = filter.state {
            conditions.add("m.state = ?", i16::from(state as u8));
        }
        if let Some(provider) = &filter.provider {
            conditions.add("m.provider = ?", rows::text(provider).into_owned());
        }
        conditions
    }

    /// The message has this name. Of the attempts those of the stretch are read, once: to look for each message among them
    /// would take longer.
    pub(super) fn name(&mut self, name: &str) {
        self.add(
            "(m.message_id = ? OR m.id IN (SELECT a.message FROM attempts AS a \
             WHERE a.message >= $1 AND a.message < $2 AND a.provider_message_id = ?))",
            rows::text(name).into_owned(),
        );
    }

    /// The text is in one of the texts of the message, whatever the case of ASCII letters. All of them are put together
    /// with a character between them that nobody types: one look is quicker than five.
    pub(super) fn text(&mut self, text: &str) {
        let text = lower(text);
        // Into the addresses of the recipients, not at the names and states beside them. A look at the whole comes first,
        // because the other one takes long.
        let json = in_json(&text);
        self.sql.push_str(" AND (");
        self.push(
            "strpos(lower(concat_ws(E'\\x01', m.sender, m.header_from, m.subject, m.message_id, \
             m.provider_message_id) COLLATE \"C\"), ?) > 0",
            text,
        );
        self.sql.push_str(" OR (");
        let in_an_address = in_an_address(&json);
        self.push("strpos(lower(m.recipients COLLATE \"C\"), ?) > 0", json);
        self.sql.push_str(" AND ");
        self.push("lower(m.recipients COLLATE \"C\") ~ ?", in_an_address);
        self.sql.push_str("))");
    }

    /// Adds a condition; `?` in it stands for the parameter, as often as it occurs.
    fn add(&mut self, condition: &str, parameter: impl ToSql + Send + Sync + 'static) {
        self.sql.push_str(" AND ");
        self.push(condition, parameter);
    }

    fn push(&mut self, condition: &str, parameter: impl ToSql + Send + Sync + 'static) {
        self.parameters.push(Box::new(parameter));
        let number = ROOM + self.parameters.len();
        self.sql.push_str(&condition.replace('?', &format!("${number}")));
    }
}

/// What is looked for.
pub(super) struct Wanted<'a> {
    conditions: &'a Conditions,
    /// Only messages older than this one.
    before: Option<QueueId>,
    length: usize,
}

impl<'a> Wanted<'a> {
    /// A page of the messages for which the conditions hold, of the filter's length and in its place.
    pub(super) fn new(filter: &Filter, conditions: &'a Conditions) -> Self {
        Self { conditions, before: filter.before, length: rules::page_length(filter.limit) }
    }
}

/// How a walk ended.
enum End {
    /// There is nothing older.
    Bottom,
    /// There is one more than the page holds.
    Full,
    /// Enough was looked at: the next page begins below this id.
    Tired(Uuid),
}

/// The newest messages that match. A page may be short and have a next one all the same.
pub(super) async fn page(moment: &Transaction<'_>, wanted: &Wanted<'_>) -> Result<Page, Fault> {
    let mut walk = Walk { moment, wanted, found: Vec::new() };
    let end = walk.look_through(below(wanted.before)).await?;
    let mut messages = walk.found;
    messages.truncate(wanted.length);
    let next = match end {
        End::Bottom => None,
        End::Full => messages.last().map(|last| last.id),
        End::Tired(low) => Some(QueueId::from_bytes(*low.as_bytes())),
    };
    Ok(Page { messages, next })
}

/// What all ids that are wanted are below.
pub(super) fn below(before: Option<QueueId>) -> Uuid {
    // No message has the last of all ids: its version is another.
    before.map_or(Uuid::max(), rows::uuid)
}

struct Walk<'a> {
    moment: &'a Transaction<'a>,
    wanted: &'a Wanted<'a>,
    found: Vec<Summary>,
}

impl Walk<'_> {
    /// Looks at messages below `high`, a stretch at a time.
    async fn look_through(&mut self, mut high: Uuid) -> Result<End, Fault> {
        let stretch = self.moment.prepare_cached(STRETCH).await?;
        for length in STRETCHES {
            let end = self.moment.query_opt(&stretch, &[&high, &(length - 1)]).await?;
            let low = end.map(|row| rows::get(&row, 0)).transpose()?;
            if self.look_at(low.unwrap_or(Uuid::nil()), high).await? {
                return Ok(End::Full);
            }
            let Some(low) = low else { return Ok(End::Bottom) };
            high = low;
        }
        Ok(End::Tired(high))
    }

    /// Looks at all messages from `low` on that are below `high`. True when there is one more than the page holds.
    async fn look_at(&mut self, low: Uuid, high: Uuid) -> Result<bool, Fault> {
        let sql = format!(
            "SELECT {} FROM messages AS m WHERE m.id >= $1 AND m.id < $2{} ORDER BY m.id DESC LIMIT $3",
            rows::SUMMARY_COLUMNS,
            self.wanted.conditions.sql,
        );
        let room = rows::signed(self.wanted.length + 1 - self.found.len());
        let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![&low, &high, &room];
        for parameter in &self.wanted.conditions.parameters {
            parameters.push(&**parameter);
        }
        let statement = self.moment.prepare_cached(&sql).await?;
        for row in self.moment.query(&statement, &parameters).await? {
            self.found.push(rows::summary(&row)?);
        }
        Ok(self.found.len() > self.wanted.length)
    }
}

/// A text whatever the case of its ASCII letters, as `lower(... COLLATE "C")` makes it.
fn lower(text: &str) -> String {
    rows::text(text).to_ascii_lowercase()
}

/// The text anywhere, whatever the case of its ASCII letters, its own wildcards taken literally.
pub(super) fn pattern(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 8);
    pattern.push('%');
    for c in lower(text).chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

/// A text as it stands within a string of JSON.
fn in_json(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    let inner = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    inner.unwrap_or_default().to_owned()
}

/// A regular expression for the text of JSON within an address of a list of recipients. The name of the field cannot stand
/// in another string: there its quotes would be escaped.
fn in_an_address(json: &str) -> String {
    let mut expression = String::from(r#""address":"([^"\\]|\\.)*"#);
    for c in json.chars() {
        if c.is_ascii() && !c.is_ascii_alphanumeric() {
            expression.push('\\');
        }
        expression.push(c);
    }
    expression
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_in_a_search_are_ordinary_characters() {
        assert_eq!(pattern("100%_A\\"), "%100\\%\\_a\\\\%");
        assert_eq!(pattern("Ä\0"), "%Ä\u{fffd}%", "what the database cannot hold is not asked for");
    }

    #[test]
    fn a_text_is_looked_for_as_json_has_it() {
        assert_eq!(in_json("o\\\"hara"), r#"o\\\"hara"#);
        assert_eq!(in_an_address("a.b"), r#""address":"([^"\\]|\\.)*a\.b"#);
    }
}
