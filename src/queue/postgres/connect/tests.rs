//! Against real servers.

mod encryption;
mod failover;
mod trouble;

use tokio::sync::watch;
use tokio_postgres::Client;

use super::*;
use crate::config::DatabaseUrl;
use crate::queue::postgres::survey::Survey;
use crate::queue::postgres::tests::server;

const MANNER: Manner = Manner { name: "test", statement: Some(Duration::from_secs(10)) };

/// False where PostgreSQL is not installed; then the test is noted as skipped.
fn is_installed() -> bool {
    server().is_some()
}

/// Connects once.
async fn dial(url: &str) -> Result<Client, Fault> {
    let url: DatabaseUrl = url.parse().unwrap();
    let (_give_up, given_up) = watch::channel(0);
    let dialled = Dialer::new(url, given_up).dial(MANNER, None).await?;
    tokio::spawn(dialled.running);
    Ok(dialled.client)
}

/// What the server says of the connection.
async fn survey(url: &str) -> Survey {
    let client = dial(url).await.unwrap_or_else(|fault| panic!("{url}: {}", fault.text()));
    Survey::take(&client).await.unwrap()
}

fn connections(url: &str) -> Connections {
    Connections::new(&PostgresSettings::new(url.parse().unwrap()))
}

/// Asks again until it is so. Bounded.
async fn wait_until<F: AsyncFnMut() -> bool>(what: &str, mut is_so: F) {
    for _ in 0..600 {
        if is_so().await {
            return;
        }
        sleep(Duration::from_millis(50)).await;
    }
    panic!("it never came about that {what}");
}
