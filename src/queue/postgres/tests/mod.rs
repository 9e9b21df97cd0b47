//! Against a real server.

#[path = "../../../../tests/support/postgres.rs"]
mod server;

mod paces;

use super::*;

#[tokio::test]
async fn the_schema_is_made_once() {
    let server = server::common();
    let url = Secret::new(server.url(&server.database()));
    for _ in 0..2 {
        PostgresStore::open(PostgresSettings { url: url.clone(), messages_max: 10 }).await.unwrap();
    }
}
