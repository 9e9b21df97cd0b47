//! One page of messages, newest first.

use rusqlite::{Connection, ToSql, params_from_iter};

use super::names;
use super::rows::{self, Id};
use super::search::{self, Wanted};
use super::terms::Terms;
use crate::message::QueueId;
use crate::queue::{Filter, Page, State, rules};

/// So many messages that wait are sorted for a page of them.
const WAITING_MAX: u32 = 5_000;
const MANY_WAIT: &str =
    "SELECT 1 FROM messages INDEXED BY waiting WHERE state = 0 LIMIT 1 OFFSET ?1";

/// Conditions in SQL with their parameters.
struct Conditions {
    sql: String,
    parameters: Vec<Box<dyn ToSql>>,
    /// Parameters in front of these.
    room: usize,
}

impl Conditions {
    fn with_room(room: usize) -> Self {
        Self { sql: String::new(), parameters: Vec::new(), room }
    }

    /// What a filter says besides its texts.
    fn add_filter(&mut self, filter: &Filter) {
        if let Some(state) = filter.state {
            self.add("m.state = ?", state as u8);
            match state {
                State::Queued => self.add_plain("m.state = 0"),
                State::Sending => self.add_plain("m.state = 1"),
                State::Failed | State::Cancelled => self.add_plain("m.state >= 3"),
                State::Delivered => {}
            }
        }
        if let Some(before) = filter.before {
            self.add("m.id < ?", Id(before));
        }
        if let Some(provider) = &filter.provider {
            self.add("m.provider = ?", provider.clone());
        }
    }

    /// Adds a condition; `?` in it stands for the parameter, as often as it occurs.
    fn add(&mut self, condition: &str, parameter: impl ToSql + 'static) {
        self.parameters.push(Box::new(parameter));
        let number = self.room + self.parameters.len();
        self.add_plain(&condition.replace('?', &format!("?{number}")));
    }

    fn add_plain(&mut self, condition: &str) {
        self.sql.push_str(" AND ");
        self.sql.push_str(condition);
    }
}

/// The newest messages that match, and where the next page begins.
pub(super) fn list(connection: &Connection, filter: &Filter) -> rusqlite::Result<Page> {
    // All queries must see the same moment.
    let moment = connection.unchecked_transaction()?;
    let connection = &*moment;
    if filter.name.is_some() {
        let name = rules::name(filter.name.as_deref());
        return name.map_or(Ok(Page::default()), |name| named(connection, filter, name));
    }
    if let Some(name) = rules::name(filter.text.as_deref())
        && names::is_known(connection, name)?
    {
        return named(connection, filter, name);
    }
    let text = rules::search_text(filter.text.as_deref());
    if text.is_none()
        && filter.provider.is_none()
        && let Some(index) = index(connection, filter.state)?
    {
        let mut conditions = Conditions::with_room(1);
        conditions.add_filter(filter);
        return straight(connection, filter, index, &conditions);
    }
    let mut conditions = Conditions::with_room(3);
    conditions.add_filter(&Filter { before: None, ..filter.clone() });
    if let Some(text) = &text {
        conditions.add(search_condition(text), pattern(text));
    }
    let wanted = Wanted {
        conditions: &conditions.sql,
        parameters: &conditions.parameters,
        terms: terms(filter, text.as_deref()),
        stretches: search::STRETCHES,
        before: filter.before,
        length: rules::page_length(filter.limit),
    };
    search::page(connection, &wanted)
}

/// A page for which an index or the order of the records has all it takes.
fn straight(
    connection: &Connection,
    filter: &Filter,
    index: &str,
    conditions: &Conditions,
) -> rusqlite::Result<Page> {
    let length = rules::page_length(filter.limit);
    // Ids first: only what is shown is read. One more than the page holds tells whether there is another.
    let columns = rows::SUMMARY_COLUMNS;
    let sql = format!(
        "SELECT {columns} FROM messages AS m WHERE m.id IN \
         (SELECT m.id FROM messages AS m{index} WHERE 1{} ORDER BY m.id DESC LIMIT ?1) ORDER BY m.id DESC",
        conditions.sql,
    );
    let limit = rows::signed(length + 1);
    let parameters = std::iter::once(&limit as &dyn ToSql);
    let parameters = parameters.chain(conditions.parameters.iter().map(|parameter| &**parameter));
    let mut messages = connection
        .prepare_cached(&sql)?
        .query_map(params_from_iter(parameters), rows::summary)?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let more = messages.len() > length;
    messages.truncate(length);
    let next: Option<QueueId> = messages.last().filter(|_| more).map(|last| last.id);
    Ok(Page { messages, next })
}

/// The index that has all it takes for a list of this state, or none for a list of all; `None` where the index of texts
/// knows better. Delivered messages are most of all, or few of very many; those that wait are not in the order of a list.
fn index(connection: &Connection, state: Option<State>) -> rusqlite::Result<Option<&'static str>> {
    Ok(match state {
        None => Some(""),
        Some(State::Failed | State::Cancelled) => Some(" INDEXED BY stopped"),
        Some(State::Sending) => Some(" INDEXED BY leases"),
        Some(State::Queued) => {
            let many = connection.prepare_cached(MANY_WAIT)?.exists([WAITING_MAX])?;
            (!many).then_some(" INDEXED BY waiting")
        }
        Some(State::Delivered) => None,
    })
}

/// What the index of texts knows of a filter.
fn terms(filter: &Filter, text: Option<&str>) -> Terms {
    let mut terms = Terms::default();
    if let Some(state) = filter.state {
        terms.state(state);
    }
    if let Some(provider) = &filter.provider {
        terms.provider(provider);
    }
    if let Some(text) = text {
        terms.text(text);
    }
    terms
}

/// The newest messages of this name.
fn named(connection: &Connection, filter: &Filter, name: &str) -> rusqlite::Result<Page> {
    let mut conditions = Conditions::with_room(3);
    conditions.add_filter(&Filter { before: None, ..filter.clone() });
    conditions.add(names::IS_CALLED, name.to_owned());
    let wanted = Wanted {
        conditions: &conditions.sql,
        parameters: &conditions.parameters,
        terms: names::terms(name),
        stretches: names::STRETCHES,
        before: filter.before,
        length: rules::page_length(filter.limit),
    };
    search::page(connection, &wanted)
}

/// Looks into the addresses of the recipients, not at the names and states beside them. Where JSON shows a text as it
/// is, a look at the whole spares reading it.
fn search_condition(text: &str) -> &'static str {
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
