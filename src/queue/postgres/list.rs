//! One page of messages, newest first.

use deadpool_postgres::Transaction;
use tokio_postgres::IsolationLevel;

use super::change::Fault;
use super::connect::Connections;
use super::rows;
use super::search::{self, Conditions, Wanted};
use crate::queue::{Filter, Page, State, StoreError, rules};

/// So many messages that wait are sorted for a page of them.
const WAITING_MAX: i64 = 5_000;
const MANY_WAIT: &str = "SELECT FROM messages WHERE state = 0 OFFSET $1 LIMIT 1";

/// The newest messages that match, and where the next page begins.
pub(super) async fn list(connections: &Connections, filter: &Filter) -> Result<Page, StoreError> {
    Ok(page(connections, filter).await?)
}

async fn page(connections: &Connections, filter: &Filter) -> Result<Page, Fault> {
    let mut client = connections.get().await?;
    // All queries must see the same moment.
    let moment = client
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await?;
    let page = find(&moment, filter).await?;
    moment.commit().await?;
    Ok(page)
}

async fn find(moment: &Transaction<'_>, filter: &Filter) -> Result<Page, Fault> {
    if filter.name.is_some() {
        return match rules::name(filter.name.as_deref()) {
            Some(name) => named(moment, filter, name).await,
            None => Ok(Page::default()),
        };
    }
    if let Some(name) = rules::name(filter.text.as_deref()) {
        let page = named(moment, filter, name).await?;
        // What the filter leaves out has the name all the same.
        if !page.messages.is_empty() || (is_narrow(filter) && is_known(moment, name).await?) {
            return Ok(page);
        }
    }
    let text = rules::search_text(filter.text.as_deref());
    if text.is_none()
        && filter.provider.is_none()
        && let Some(source) = source(moment, filter.state).await?
    {
        return straight(moment, filter, source).await;
    }
    let mut conditions = Conditions::of(filter);
    if let Some(text) = &text {
        conditions.text(text);
    }
    search::page(moment, &Wanted::new(filter, &conditions)).await
}

/// A page for which an index or the order of the records has all it takes.
async fn straight(moment: &Transaction<'_>, filter: &Filter, source: &str) -> Result<Page, Fault> {
    let length = rules::page_length(filter.limit);
    // Ids first: only what is shown is read. One more than the page holds tells whether there is another.
    let columns = rows::SUMMARY_COLUMNS;
    let sql = format!(
        "WITH {source}, page AS (SELECT id FROM source WHERE id < $1 ORDER BY id DESC LIMIT $2) \
         SELECT {columns} FROM messages AS m JOIN page USING (id) ORDER BY id DESC",
    );
    let before = search::below(filter.before);
    let statement = moment.prepare_cached(&sql).await?;
    let found = moment.query(&statement, &[&before, &rows::signed(length + 1)]).await?;
    let mut messages: Vec<_> = found.iter().map(rows::summary).collect::<Result<_, _>>()?;
    let more = messages.len() > length;
    messages.truncate(length);
    let next = messages.last().filter(|_| more).map(|last| last.id);
    Ok(Page { messages, next })
}

/// What has the ids of a list of this state in a good order, or few of them; nothing where the records must be walked over.
/// Delivered messages are most of all, or few of very many; those that wait are not in the order of a list.
async fn source(
    moment: &Transaction<'_>,
    state: Option<State>,
) -> Result<Option<&'static str>, Fault> {
    // A condition twice: it says which index has them.
    Ok(match state {
        None => Some("source AS NOT MATERIALIZED (SELECT id FROM messages)"),
        Some(State::Failed) => Some(
            "source AS NOT MATERIALIZED (SELECT id FROM messages WHERE state = 3 AND state >= 3)",
        ),
        Some(State::Cancelled) => Some(
            "source AS NOT MATERIALIZED (SELECT id FROM messages WHERE state = 4 AND state >= 3)",
        ),
        // As a whole: the database must not think that it will soon meet enough of them among all records.
        Some(State::Sending) => {
            Some("source AS MATERIALIZED (SELECT id FROM messages WHERE state = 1)")
        }
        Some(State::Queued) => {
            let many = moment.prepare_cached(MANY_WAIT).await?;
            let many = moment.query_opt(&many, &[&WAITING_MAX]).await?.is_some();
            (!many).then_some("source AS MATERIALIZED (SELECT id FROM messages WHERE state = 0)")
        }
        Some(State::Delivered) => None,
    })
}

/// The newest messages of this name.
async fn named(moment: &Transaction<'_>, filter: &Filter, name: &str) -> Result<Page, Fault> {
    let mut conditions = Conditions::of(filter);
    conditions.name(name);
    search::page(moment, &Wanted::new(filter, &conditions)).await
}

/// True when there are messages that a text alone would find, and this filter does not.
fn is_narrow(filter: &Filter) -> bool {
    filter.state.is_some() || filter.provider.is_some() || filter.before.is_some()
}

/// Whether a message has this name, as far as one page looks.
async fn is_known(moment: &Transaction<'_>, name: &str) -> Result<bool, Fault> {
    let filter = Filter { limit: 1, ..Filter::default() };
    let mut conditions = Conditions::of(&filter);
    conditions.name(name);
    let page = search::page(moment, &Wanted::new(&filter, &conditions)).await?;
    Ok(!page.messages.is_empty())
}
