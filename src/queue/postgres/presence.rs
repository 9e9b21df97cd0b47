//! Who lives: each instance says so again and again in its row of the table, and buries those that do not.

use std::time::Duration;

use tokio_postgres::{Client, Error, Row};

use crate::clock::Timestamp;

/// The database's time in milliseconds since 1970.
macro_rules! now {
    () => {
        "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
    };
}

/// The number makes the name one that nobody has ever had.
const JOIN: &str = concat!(
    "INSERT INTO instances (owner, seen_at, since, watching)
     SELECT $1 || '-' || nextval('lives'), now, now, $2 FROM (SELECT ",
    now!(),
    " AS now) t RETURNING owner, seen_at"
);

const BEAT: &str = concat!(
    "WITH beat AS (
         UPDATE instances SET seen_at = ",
    now!(),
    ", watching = $2 WHERE owner = $1 RETURNING seen_at
     )
     SELECT (SELECT seen_at FROM beat) AS seen_at,
            coalesce((SELECT bool_or(watching) FROM instances WHERE owner <> $1), false) AS watched"
);

const BURY: &str = concat!(
    "DELETE FROM instances WHERE owner <> $2 AND seen_at < ",
    now!(),
    " - $1 RETURNING owner"
);

/// Claims in the name of nobody who lives are due. Rows that somebody works at are left for the next time.
const RELEASE: &str = "\
UPDATE messages SET due_at = 0 WHERE id IN (
    SELECT id FROM messages
    WHERE state = 1 AND due_at > 0
        AND NOT EXISTS (SELECT FROM instances WHERE owner = lease_owner)
    FOR UPDATE SKIP LOCKED)";

const PART: &str = "DELETE FROM instances WHERE owner = $1";

/// A sign of life as the database has it.
#[derive(Debug)]
pub(super) struct Beat {
    pub(super) owner: String,
    pub(super) seen_at: Timestamp,
    /// Somebody looks on at another instance.
    pub(super) watched: bool,
}

/// Begins a life under a name that is made of this one.
pub(super) async fn join(client: &Client, name: &str, watching: bool) -> Result<Beat, Error> {
    let row = client.query_one(JOIN, &[&name, &watching]).await?;
    Ok(Beat { owner: row.get("owner"), seen_at: time(&row), watched: false })
}

/// Says that this one lives. `None` when it has been buried meanwhile.
pub(super) async fn beat(
    client: &Client,
    owner: &str,
    watching: bool,
) -> Result<Option<Beat>, Error> {
    let row = client.query_one(BEAT, &[&owner, &watching]).await?;
    let lives = row.get::<_, Option<i64>>("seen_at").is_some();
    let beat =
        || Beat { owner: owner.to_owned(), seen_at: time(&row), watched: row.get("watched") };
    Ok(lives.then(beat))
}

/// Forgets those others who have been silent for longer than this, and says their names.
pub(super) async fn bury(
    client: &Client,
    own: &str,
    silent: Duration,
) -> Result<Vec<String>, Error> {
    let silent = i64::try_from(silent.as_millis()).unwrap_or(i64::MAX);
    let rows = client.query(BURY, &[&silent, &own]).await?;
    Ok(rows.iter().map(|row| row.get("owner")).collect())
}

/// Makes due what is claimed in the name of nobody who lives. Returns how many messages that were.
pub(super) async fn release(client: &Client) -> Result<u64, Error> {
    client.execute(RELEASE, &[]).await
}

/// Ends a life.
pub(super) async fn part(client: &Client, owner: &str) -> Result<(), Error> {
    client.execute(PART, &[&owner]).await.map(drop)
}

fn time(row: &Row) -> Timestamp {
    Timestamp::from_millisecond(row.get::<_, Option<i64>>("seen_at").unwrap_or_default())
        .unwrap_or(Timestamp::MIN)
}
