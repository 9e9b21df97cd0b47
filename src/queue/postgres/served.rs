//! What providers have taken, by the hour.

use super::connect::Connections;
use super::fault::unavailable;
use super::rows::{get, unsigned};
use crate::queue::{StoreError, Usage};

/// In this hour and those after it.
pub(super) async fn since(connections: &Connections, hour: i64) -> Result<Vec<Usage>, StoreError> {
    const SINCE: &str =
        "SELECT provider, hour, recipients FROM usage WHERE hour >= $1 ORDER BY hour, provider";
    let client = connections.get().await?;
    let found = async {
        let statement = client.prepare_cached(SINCE).await?;
        client.query(&statement, &[&hour]).await
    };
    let found = found.await.map_err(|error| unavailable(&error))?;
    let usage = found.iter().map(|row| {
        let recipients = unsigned(row, 2)?;
        Ok(Usage { provider: get(row, 0)?, hour: get(row, 1)?, recipients })
    });
    usage.collect()
}
