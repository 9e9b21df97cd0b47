//! One page of messages, newest first.

use rusqlite::{Connection, ToSql, params_from_iter};

use super::names;
use super::rows::{self, Id};
use crate::message::QueueId;
use crate::queue::{Filter, Page, State, rules};

/// Conditions in SQL with their parameters.
#[derive(Default)]
struct Conditions {
    sql: String,
    parameters: Vec<Box<dyn ToSql>>,
}

impl Conditions {
    /// Adds a condition; `?` in it stands for the parameter, as often as it occurs.
    fn add(&mut self, condition: &str, parameter: impl ToSql + 'static) {
        self.parameters.push(Box::new(parameter));
        let number = self.parameters.len();
        self.add_plain(&condition.replace('?', &format!("?{number}")));
    }

    /// Only these messages.
    fn add_ids(&mut self, ids: Vec<QueueId>) {
        let first = self.parameters.len() + 1;
        let numbers: Vec<String> = (first..first + ids.len()).map(|n| format!("?{n}")).collect();
        self.parameters.extend(ids.into_iter().map(|id| Box::new(Id(id)) as Box<dyn ToSql>));
        self.add_plain(&format!("m.id IN ({})", numbers.join(", ")));
    }

    fn add_plain(&mut self, condition: &str) {
        self.sql.push_str(if self.sql.is_empty() { " WHERE " } else { " AND " });
        self.sql.push_str(condition);
    }
}

/// The newest messages that match, and where the next page begins.
pub(super) fn list(connection: &Connection, filter: &Filter) -> rusqlite::Result<Page> {
    let length = rules::page_length(filter.limit);
    // All queries must see the same moment.
    let moment = connection.unchecked_transaction()?;
    let connection = &*moment;
    let named = named(connection, filter)?;
    let by_name = named.is_some();
    let mut conditions = conditions(filter, !by_name);
    if let Some(named) = named {
        if named.is_empty() {
            return Ok(Page::default());
        }
        conditions.add_ids(named);
    }
    // One more than the page holds tells whether there is another.
    conditions.parameters.push(Box::new(rows::signed(length + 1)));
    // Ids first: an index may have all it takes to choose them, and only what is shown is read.
    let chosen = format!(
        "SELECT m.id FROM messages AS m{}{} ORDER BY m.id DESC LIMIT ?{}",
        if by_name { "" } else { index(filter) },
        conditions.sql,
        conditions.parameters.len(),
    );
    let columns = rows::SUMMARY_COLUMNS;
    let sql =
        format!("SELECT {columns} FROM messages AS m WHERE m.id IN ({chosen}) ORDER BY m.id DESC");
    let mut messages = connection
        .prepare_cached(&sql)?
        .query_map(params_from_iter(conditions.parameters), rows::summary)?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let more = messages.len() > length;
    messages.truncate(length);
    let next: Option<QueueId> = messages.last().filter(|_| more).map(|last| last.id);
    Ok(Page { messages, next })
}

/// The index for a state that few messages have. Delivered ones are most of all: walking over all is as good.
fn index(filter: &Filter) -> &'static str {
    match filter.state {
        Some(State::Queued) => " INDEXED BY waiting",
        Some(State::Sending) => " INDEXED BY leases",
        Some(State::Failed | State::Cancelled) => " INDEXED BY stopped",
        Some(State::Delivered) | None => "",
    }
}

/// The messages of the name that is asked for; `None` where it is not about a name.
fn named(connection: &Connection, filter: &Filter) -> rusqlite::Result<Option<Vec<QueueId>>> {
    if filter.name.is_some() {
        let name = rules::name(filter.name.as_deref());
        return name.map_or(Ok(Vec::new()), |name| names::find(connection, name)).map(Some);
    }
    let Some(name) = rules::name(filter.text.as_deref()) else { return Ok(None) };
    Ok(Some(names::find(connection, name)?).filter(|named| !named.is_empty()))
}

fn conditions(filter: &Filter, with_text: bool) -> Conditions {
    let mut conditions = Conditions::default();
    if let Some(state) = filter.state {
        conditions.add("m.state = ?", state as u8);
        match state {
            State::Queued => conditions.add_plain("m.state = 0"),
            State::Sending => conditions.add_plain("m.state = 1"),
            State::Failed | State::Cancelled => conditions.add_plain("m.state >= 3"),
            State::Delivered => {}
        }
    }
    if let Some(before) = filter.before {
        conditions.add("m.id < ?", Id(before));
    }
    if let Some(provider) = &filter.provider {
        conditions.add("m.provider = ?", provider.clone());
    }
    if let Some(text) = rules::search_text(filter.text.as_deref()).filter(|_| with_text) {
        conditions.add(search(&text), pattern(&text));
    }
    conditions
}

/// Looks into the addresses of the recipients, not at the names and states beside them. Where JSON shows a text as it
/// is, a look at the whole spares reading it.
fn search(text: &str) -> &'static str {
    const AS_IT_IS: &str = "(m.sender LIKE ? ESCAPE '\\' OR m.header_from LIKE ? ESCAPE '\\' \
         OR m.subject LIKE ? ESCAPE '\\' OR m.message_id LIKE ? ESCAPE '\\' \
         OR m.provider_message_id LIKE ? ESCAPE '\\' \
         OR (m.recipients LIKE ? ESCAPE '\\' AND EXISTS (SELECT 1 FROM json_each(m.recipients) AS r \
             WHERE r.value ->> 'address' LIKE ? ESCAPE '\\')))";
    const ESCAPED: &str = "(m.sender LIKE ? ESCAPE '\\' OR m.header_from LIKE ? ESCAPE '\\' \
         OR m.subject LIKE ? ESCAPE '\\' OR m.message_id LIKE ? ESCAPE '\\' \
         OR m.provider_message_id LIKE ? ESCAPE '\\' \
         OR EXISTS (SELECT 1 FROM json_each(m.recipients) AS r \
             WHERE r.value ->> 'address' LIKE ? ESCAPE '\\'))";
    let changed_by_json = |c: char| c.is_control() || c == '"' || c == '\\';
    if text.contains(changed_by_json) { ESCAPED } else { AS_IT_IS }
}

/// The text anywhere, its own wildcards taken literally.
pub(super) fn pattern(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 8);
    pattern.push('%');
    for c in text.chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_in_a_search_are_ordinary_characters() {
        assert_eq!(pattern("100%_a\\"), "%100\\%\\_a\\\\%");
    }
}
