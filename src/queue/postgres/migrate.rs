//! The schema: numbered steps, run at the start by whichever instance comes first.
//!
//! The tables stand in the first schema of the connection's `search_path`, which is `public` where nothing else is said. One
//! that holds something else is left as it is.

use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Error, GenericClient};

use super::fault::unavailable;
use crate::queue::StoreError;

const MIGRATIONS: [&str; 5] = [
    include_str!("migrations/0001_queue.sql"),
    include_str!("migrations/0002_aside.sql"),
    include_str!("migrations/0003_shared.sql"),
    include_str!("migrations/0004_instances.sql"),
    include_str!("migrations/0005_moving.sql"),
];

/// The version that this program works with.
#[expect(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "a handful")]
pub(super) const VERSION: i32 = MIGRATIONS.len() as i32;

/// Names the lock under which the schema is changed ("mfry", and what for).
pub(super) const LOCK: i64 = 0x6d66_7279_0000_0001;

/// Brings the schema up to date. Several may do so at a time: one does it, and the others wait for it.
pub(super) async fn migrate(client: &mut Client) -> Result<(), StoreError> {
    // Nobody needs the right to make tables who has none to make.
    if version(client).await? == VERSION {
        return Ok(());
    }
    let row = client
        .query_one("SELECT current_setting('server_encoding'), current_schema()::text", &[])
        .await
        .map_err(|error| unavailable(&error))?;
    let (encoding, schema): (String, Option<String>) = (row.get(0), row.get(1));
    if encoding != "UTF8" {
        return Err(refused(format!(
            "the database keeps texts as {encoding}: make one with ENCODING 'UTF8'"
        )));
    }
    let Some(schema) = schema else {
        let problem = "none of the schemas in the search_path of the database exists: create one";
        return Err(refused(problem.to_owned()));
    };
    let change = client.transaction().await.map_err(|error| unavailable(&error))?;
    change
        .execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK])
        .await
        .map_err(|error| unavailable(&error))?;
    let done = version(&change).await?;
    let steps = (1..).zip(MIGRATIONS).filter(|(number, _)| *number > done);
    for (number, sql) in steps {
        let step = async {
            if number == 1 {
                change
                    .batch_execute("CREATE TABLE mailferry_schema (version integer NOT NULL)")
                    .await?;
            }
            change.batch_execute(sql).await?;
            change.execute("INSERT INTO mailferry_schema VALUES ($1)", &[&number]).await
        };
        step.await.map_err(|error| explained(&error, &schema))?;
    }
    change.commit().await.map_err(|error| unavailable(&error))
}

/// Looks into the catalogue itself: a server process that has found no such table before would not look again in the same
/// transaction, and miss what another instance has made meanwhile.
const IS_MADE: &str = "SELECT EXISTS (SELECT FROM pg_class \
     WHERE relname = 'mailferry_schema' AND pg_table_is_visible(oid))";

/// Which version the database has; 0 without one. One that is too new is an error.
pub(super) async fn version(client: &impl GenericClient) -> Result<i32, StoreError> {
    let version = async {
        let row = client.query_one(IS_MADE, &[]).await?;
        if !row.get::<_, bool>(0) {
            return Ok(0);
        }
        let row = client.query_one("SELECT max(version) FROM mailferry_schema", &[]).await?;
        Ok(row.get::<_, Option<i32>>(0).unwrap_or_default())
    };
    let version = version.await.map_err(|error: Error| unavailable(&error))?;
    if version > VERSION {
        return Err(refused(format!(
            "the database was brought up to date by a newer mailferry: its schema has the number {version}, and this \
             program knows {VERSION}; start the newer one"
        )));
    }
    Ok(version)
}

/// Why a step failed, where there is more to say than the database does.
fn explained(error: &Error, schema: &str) -> StoreError {
    let said = error.as_db_error().map(|error| error.message().to_owned()).unwrap_or_default();
    match error.code() {
        Some(
            &SqlState::DUPLICATE_TABLE
            | &SqlState::DUPLICATE_FUNCTION
            | &SqlState::DUPLICATE_OBJECT,
        ) => refused(format!(
            "the schema {schema} of the database holds something else ({said}), and was left as it is: give mailferry a \
                 database of its own, or a schema by options=-csearch_path=NAME in queue.url"
        )),
        Some(&SqlState::INSUFFICIENT_PRIVILEGE) => refused(format!(
            "the database user lacks a right: it may not make tables in the schema {schema} ({said}); make it the owner of \
             the database, or GRANT USAGE, CREATE ON SCHEMA {schema}"
        )),
        _ => unavailable(error),
    }
}

fn refused(problem: String) -> StoreError {
    StoreError::Unavailable(problem)
}
