//! Fills a store with messages that wait, as if its daemon had taken them.
//!
//!     bench-fill STORE COUNT OCTETS
//!
//! STORE is a file, or the URL of a PostgreSQL database. It has one message already: the others go by the same way and came
//! before it, one in each millisecond. They come from 50 senders. Uses the library's own store, whose group commit makes
//! a million in a minute or so; the daemon must not run.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use mailferry::message::{Envelope, IndexFields, Message, QueueId};
use mailferry::queue::{
    Entry, Filter, PostgresSettings, PostgresStore, SqliteStore, Store, Summary,
};

/// So many share a commit.
const TASKS: usize = 2_000;
const SENDERS: u64 = 50;

type Fault = Box<dyn Error + Send + Sync>;

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Fault> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [place, count, octets] = arguments.as_slice() else {
        return Err("usage: bench-fill STORE COUNT OCTETS".into());
    };
    let (count, octets): (u64, usize) = (count.parse()?, octets.parse()?);
    let store: Arc<dyn Store> = if place.starts_with("postgres:") {
        let settings = PostgresSettings::new(place.parse()?);
        Arc::new(
            PostgresStore::open(PostgresSettings { messages_max: u64::MAX, ..settings }).await?,
        )
    } else {
        Arc::new(SqliteStore::open(Path::new(place), u64::MAX)?)
    };
    let page = store.list(Filter { limit: 1, ..Filter::default() }).await?;
    let model = page.messages.into_iter().next().ok_or("the store has no message to go by")?;
    let (model, content, next) = (Arc::new(model), content(octets), Arc::new(AtomicU64::new(0)));
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let (store, model) = (Arc::clone(&store), Arc::clone(&model));
            let (content, next) = (content.clone(), Arc::clone(&next));
            tokio::spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return Ok::<_, Fault>(());
                    }
                    let before = Duration::from_millis(count - number);
                    let message = Arc::new(message(&model, before, number, content.clone())?);
                    let way = model.way.clone();
                    store.insert(Entry { way, ..Entry::waiting(message) }).await?;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    Ok(())
}

/// Like the model, from another sender, so long before it.
fn message(model: &Summary, before: Duration, number: u64, raw: Bytes) -> Result<Message, Fault> {
    let received_at = model.received_at - before;
    let sender = format!("app{}@waiting.example", number % SENDERS).parse()?;
    Ok(Message {
        id: QueueId::new(received_at),
        received_at,
        envelope: Envelope {
            sender: Some(sender),
            recipients: vec![format!("user{number}@rcpt.example").parse()?],
            smtp_utf8: false,
            dsn: None,
        },
        raw,
        index: IndexFields {
            header_from: "app@waiting.example".to_owned(),
            subject: format!("Message {number}"),
            message_id: format!("{number}@waiting.example"),
            bulk: false,
        },
        user: None,
        account: None,
        may_steer: true,
    })
}

fn content(octets: usize) -> Bytes {
    let mut content = Vec::from(
        "From: app@waiting.example\r\nTo: user@rcpt.example\r\nSubject: waiting\r\n\
         Date: Sat, 21 Nov 2026 12:00:00 +0000\r\n\r\n",
    );
    while content.len() < octets {
        content.extend_from_slice(
            b"The quick brown fox jumps over the lazy dog, and over the fence.\r\n",
        );
    }
    Bytes::from(content)
}
