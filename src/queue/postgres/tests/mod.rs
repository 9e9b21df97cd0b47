//! Against a real server.

mod aside;
mod paces;
#[path = "../../../../tests/support/postgres.rs"]
mod server;

mod instances;
mod moving;

use std::sync::Arc;

use super::*;
use crate::message::SealedAccount;
use crate::queue::conformance::{Harness, Opening, conformance};

/// A store in a database of its own.
fn open(messages_max: u64) -> Opening {
    Box::pin(async move {
        let server = server::common();
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

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        text.chars().map(|digit| digit.to_digit(16).unwrap().try_into().unwrap()).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

conformance!(open);

/// A store in this database of the common server.
fn settings(database: &str, messages_max: u64) -> PostgresSettings {
    let url = server::common().url(database).parse().unwrap();
    PostgresSettings { messages_max, ..PostgresSettings::new(url) }
}

/// Connections to this database.
fn connections(database: &str) -> Connections {
    Connections::new(&settings(database, 10)).unwrap()
}

#[tokio::test]
async fn the_schema_is_made_once() {
    let database = server::common().database();
    for _ in 0..2 {
        PostgresStore::open(settings(&database, 10)).await.unwrap();
    }
}
