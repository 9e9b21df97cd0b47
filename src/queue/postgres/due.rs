//! When there is something to claim next.

use tokio_postgres::{Client, Error, Statement};

use super::rows::nearest_time;
use crate::clock::Timestamp;
use crate::queue::{Portion, WayKey};

/// The first lease that runs out, and the first that is due of each group, of ways that are wanted: those that are named,
/// and with `$1` all others but the closed ones. Goes from way to way and from group to group, and never through one.
pub(super) const NEXT_DUE: &str = "WITH RECURSIVE ways AS ( \
     (SELECT way, 1 AS n FROM messages WHERE state = 0 ORDER BY way LIMIT 1) \
     UNION ALL SELECT m.way, w.n + 1 FROM ways AS w CROSS JOIN LATERAL \
     (SELECT way FROM messages WHERE state = 0 AND way > w.way ORDER BY way LIMIT 1) AS m WHERE w.n < 10000), \
     wanted AS (SELECT way FROM ways WHERE way = ANY($2::text[]) OR ($1 AND way <> ALL($3::text[]))) \
     SELECT least( \
     (SELECT due_at FROM messages WHERE state = 1 AND (way = ANY($2::text[]) OR ($1 AND way <> ALL($3::text[]))) \
     ORDER BY due_at LIMIT 1), \
     (SELECT min(g.due_at) FROM wanted AS w CROSS JOIN (VALUES (false), (true)) AS k(bulk) CROSS JOIN LATERAL ( \
     WITH RECURSIVE heads AS ( \
     (SELECT share, due_at FROM messages WHERE state = 0 AND way = w.way AND bulk = k.bulk \
     ORDER BY share, due_at, id LIMIT 1) \
     UNION ALL SELECT n.share, n.due_at FROM heads AS h CROSS JOIN LATERAL (SELECT share, due_at FROM messages \
     WHERE state = 0 AND way = w.way AND bulk = k.bulk AND share > h.share \
     ORDER BY share, due_at, id LIMIT 1) AS n) SELECT due_at FROM heads) AS g))";

/// Asks for it.
pub(super) async fn next_due(
    client: &Client,
    statement: &Statement,
    portion: &Portion,
) -> Result<Option<Timestamp>, Error> {
    let of = |is_open: bool| -> Vec<&str> {
        let ways = portion.ways.iter().filter(|(_, room)| (**room > 0) == is_open);
        ways.map(|(way, _)| WayKey::as_str(way)).collect()
    };
    let (open, closed, others) = (of(true), of(false), portion.others > 0);
    let row = client.query_one(statement, &[&others, &open, &closed]).await?;
    let due: Option<i64> = row.try_get(0)?;
    Ok(due.map(nearest_time))
}
