//! The schema: numbered steps, run at the start by whichever instance comes first.

use tokio_postgres::Client;

use super::fault::unavailable;
use crate::queue::StoreError;

const MIGRATIONS: [&str; 5] = [
    include_str!("migrations/0001_queue.sql"),
    include_str!("migrations/0002_aside.sql"),
    include_str!("migrations/0003_shared.sql"),
    include_str!("migrations/0004_instances.sql"),
    include_str!("migrations/0005_moving.sql"),
];

/// Names the lock under which the schema is changed ("mfry", and what for).
const LOCK: i64 = 0x6d66_7279_0000_0001;

/// Brings the schema up to date.
pub(super) async fn migrate(client: &mut Client) -> Result<(), StoreError> {
    let step = async {
        let change = client.transaction().await?;
        change.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await?;
        change
            .batch_execute("CREATE TABLE IF NOT EXISTS mailferry_schema (version integer NOT NULL)")
            .await?;
        let row = change.query_opt("SELECT max(version) FROM mailferry_schema", &[]).await?;
        let version: i32 = row.and_then(|row| row.get::<_, Option<i32>>(0)).unwrap_or_default();
        let done = usize::try_from(version).unwrap_or_default();
        for (number, sql) in (1_i32..).zip(MIGRATIONS).skip(done) {
            change.batch_execute(sql).await?;
            change.execute("INSERT INTO mailferry_schema VALUES ($1)", &[&number]).await?;
        }
        change.commit().await
    };
    step.await.map_err(|error| unavailable(&error))
}
