//! Finding messages by their names: the Message-ID, and what providers called them. The index knows which messages may have
//! a name; in front of it the records are read.

use rusqlite::Connection;
use rusqlite::types::ToSql;

use super::search::{self, Wanted};
use super::terms::Terms;

/// The message has this name.
pub(super) const IS_CALLED: &str = "(m.message_id = ? OR EXISTS \
     (SELECT 1 FROM attempts AS a WHERE a.message = m.id AND a.provider_message_id = ?))";

/// Records that one page looks at in front of the index: to compare names costs little. All that wait before the index is
/// written in any case are among them.
pub(super) const STRETCHES: &[u32] = &[500, 4_500, 20_000, 40_000];

/// What the index knows of a message of this name.
pub(super) fn terms(name: &str) -> Terms {
    let mut terms = Terms::default();
    terms.name(name);
    terms
}

/// Whether a message has this name, as far as one page looks.
pub(super) fn is_known(connection: &Connection, name: &str) -> rusqlite::Result<bool> {
    let conditions = format!(" AND {}", IS_CALLED.replace('?', "?4"));
    let wanted = Wanted {
        conditions: &conditions,
        parameters: &[Box::new(name.to_owned()) as Box<dyn ToSql>],
        terms: terms(name),
        stretches: STRETCHES,
        before: None,
        length: 1,
    };
    Ok(!search::page(connection, &wanted)?.messages.is_empty())
}
