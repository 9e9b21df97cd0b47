//! Against a real server.

#[path = "../../../../tests/support/postgres.rs"]
mod server;

use super::*;
use crate::config::DatabaseUrl;

#[tokio::test]
async fn the_schema_is_made_once() {
    let server = server::common();
    let url: DatabaseUrl = server.url(&server.database()).parse().unwrap();
    for _ in 0..2 {
        PostgresStore::open(PostgresSettings::new(url.clone())).await.unwrap();
    }
}
