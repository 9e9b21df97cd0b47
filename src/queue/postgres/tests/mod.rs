//! Against a real server.

mod aside;
mod instances;
mod moving;
mod paces;
mod plans;
mod schema;
#[path = "../../../../tests/support/postgres.rs"]
pub(super) mod server;
mod sharing;
mod trouble;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::*;
use crate::message::SealedAccount;
use crate::queue::conformance::{
    Harness, Opening, ROOMY, at, claim_one, conformance, delivered, lease, message, queued,
    settlement, up_to,
};
use crate::queue::{MemoryStore, Next, State};

/// A store in a database of its own. Where there is no PostgreSQL, the test is noted as skipped, and is about memory.
fn open(messages_max: u64) -> Opening {
    Box::pin(async move {
        let Some(server) = server() else {
            let store = Arc::new(MemoryStore::new(messages_max));
            let kept = Arc::clone(&store);
            return Harness::new(store, (), move |id| kept.account(id));
        };
        let database = server.database();
        let store = PostgresStore::open(settings(&database, messages_max)).await.unwrap();
        let account = move |id: QueueId| {
            let sql = format!("SELECT encode(account, 'hex') FROM messages WHERE id = '{id}'");
            let seal = server.sql(&database, &sql);
            (!seal.is_empty()).then(|| SealedAccount(unhex(&seal).into()))
        };
        Harness::new(Arc::new(store), (), account)
    })
}

/// The server of this process; `None` where PostgreSQL is not installed, which is noted.
pub(super) fn server() -> Option<&'static server::Server> {
    if server::is_installed() {
        return Some(server::common());
    }
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    assert!(std::env::var_os("CI").is_none_or(|ci| ci.is_empty()), "{test} needs PostgreSQL");
    let notes = std::env::var_os("MAILFERRY_TEST_SKIPS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tmp/skipped.txt"),
        PathBuf::from,
    );
    if let Some(folder) = notes.parent() {
        fs::create_dir_all(folder).unwrap();
    }
    let mut file = fs::OpenOptions::new().create(true).append(true).open(notes).unwrap();
    // One write: tests run side by side.
    file.write_all(format!("{test}: PostgreSQL is not installed\n").as_bytes()).unwrap();
    None
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        text.chars().map(|digit| digit.to_digit(16).unwrap().try_into().unwrap()).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

conformance!(open);

/// A store in this database of the common server.
fn settings(database: &str, messages_max: u64) -> PostgresSettings {
    let url = server::common().url(database).parse().unwrap();
    // Claims in these tests are under names of nobody who lives: they are released by half of this time.
    let takeover_after = Duration::from_hours(1);
    PostgresSettings { messages_max, takeover_after, ..PostgresSettings::new(url) }
}

/// Connections to this database, with its tables made.
async fn connections(database: &str) -> Connections {
    let connections = Connections::new(&settings(database, 10));
    connections.attach().await.unwrap();
    connections
}
