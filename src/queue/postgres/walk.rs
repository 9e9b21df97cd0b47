//! Reading what a claim has to know: who is due, group by group, each locked for this transaction. What another instance
//! has locked is passed over.

use std::collections::BTreeMap;

use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, Row, Statement};
use uuid::Uuid;

use super::rows::{millis, nearest_time, signed, uuid};
use super::shelf::{Group, HeldShelf, Missing, in_other_hands};
use crate::clock::Timestamp;
use crate::message::QueueId;
use crate::queue::round::{self, Chosen, Facts, Head, Member, Rounds};
use crate::queue::rules::PASSED_OVER_MAX;
use crate::queue::{BatchId, Portion, State, WayKey};

/// Ways that are read at a time.
const WAYS_AT_ONCE: usize = 500;

/// Ways whose messages are read at a time.
const STRIPS_AT_ONCE: usize = 32;

/// Messages that are read at a time, about.
const HEADS_AT_ONCE: usize = 1_000;

/// How often one claim reads. Where that is not enough, it takes what it has found.
const READS_MAX: usize = 60;

/// Of so many prompt messages one bulk message goes with them; so much is read beforehand.
const BULK_PART: usize = 16;

pub(super) const EXPIRED: &str = "SELECT id, way, size, batch FROM messages \
     WHERE state = 1 AND due_at <= $1 ORDER BY due_at, id LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED";

/// Goes from way to way, and never through one.
pub(super) const WAYS: &str = "WITH RECURSIVE ways AS ( \
     (SELECT way, 1 AS n FROM messages WHERE state = 0 AND way >= $1 ORDER BY way LIMIT 1) \
     UNION ALL SELECT m.way, w.n + 1 FROM ways AS w CROSS JOIN LATERAL \
     (SELECT way FROM messages WHERE state = 0 AND way > w.way ORDER BY way LIMIT 1) AS m WHERE w.n < $2) \
     SELECT way FROM ways";

/// Goes from group to group, from a share on and around, until enough groups are found in which something is due; then
/// takes as many of each as make up the number that is wanted.
pub(super) const GROUPS: &str = "SELECT w.nr, g.share, g.pos, g.number, m.due_at, m.id, m.size, m.batch \
     FROM unnest($1::text[], $2::bool[], $3::int4[], $4::int8[]) WITH ORDINALITY AS w(way, bulk, share, room, nr) \
     CROSS JOIN LATERAL ( \
     SELECT d.share, row_number() OVER () AS pos, count(*) OVER () AS number FROM ( \
     SELECT c.share FROM ( \
     SELECT a.share, a.due_at FROM (WITH RECURSIVE heads AS ( \
     (SELECT share, due_at FROM messages WHERE state = 0 AND way = w.way AND bulk = w.bulk AND share >= w.share \
     ORDER BY share, due_at, id LIMIT 1) \
     UNION ALL SELECT n.share, n.due_at FROM heads AS h CROSS JOIN LATERAL (SELECT share, due_at FROM messages \
     WHERE state = 0 AND way = w.way AND bulk = w.bulk AND share > h.share \
     ORDER BY share, due_at, id LIMIT 1) AS n) SELECT share, due_at FROM heads) AS a \
     UNION ALL \
     SELECT b.share, b.due_at FROM (WITH RECURSIVE heads AS ( \
     (SELECT share, due_at FROM messages WHERE state = 0 AND way = w.way AND bulk = w.bulk AND share < w.share \
     ORDER BY share, due_at, id LIMIT 1) \
     UNION ALL SELECT n.share, n.due_at FROM heads AS h CROSS JOIN LATERAL (SELECT share, due_at FROM messages \
     WHERE state = 0 AND way = w.way AND bulk = w.bulk AND share > h.share AND share < w.share \
     ORDER BY share, due_at, id LIMIT 1) AS n) SELECT share, due_at FROM heads) AS b \
     ) AS c WHERE c.due_at <= $5 LIMIT w.room) AS d) AS g \
     LEFT JOIN LATERAL (SELECT due_at, id, size, batch FROM messages \
     WHERE state = 0 AND way = w.way AND bulk = w.bulk AND share = g.share AND due_at <= $5 \
     ORDER BY due_at, id LIMIT (w.room + g.number - 1) / g.number FOR NO KEY UPDATE SKIP LOCKED) AS m ON true";

pub(super) const BEHIND: &str = "SELECT w.share, m.due_at, m.id, m.size, m.batch \
     FROM unnest($1::int4[], $2::int8[], $3::uuid[]) AS w(share, due_at, id) \
     CROSS JOIN LATERAL (SELECT due_at, id, size, batch FROM messages \
     WHERE state = 0 AND way = $4 AND bulk = $5 AND share = w.share \
     AND (due_at, id) > (w.due_at, w.id) AND due_at <= $6 \
     ORDER BY due_at, id LIMIT $7 FOR NO KEY UPDATE SKIP LOCKED) AS m";

/// Those that could be locked, and those that somebody else has.
pub(super) const MEMBERS: &str = "WITH held AS MATERIALIZED (SELECT id FROM messages \
     WHERE batch = ANY($1::uuid[]) AND state < 2 FOR NO KEY UPDATE SKIP LOCKED) \
     SELECT m.batch, m.id, m.state, m.due_at, (m.id IN (SELECT id FROM held)) IS TRUE FROM messages AS m \
     WHERE m.batch = ANY($1::uuid[]) AND m.state < 2 ORDER BY m.batch, m.place";

/// The statements.
pub(super) struct Tools {
    transaction: Statement,
    expired: Statement,
    ways: Statement,
    groups: Statement,
    behind: Statement,
    members: Statement,
}

impl Tools {
    pub(super) async fn prepare(client: &Client) -> Result<Self, Error> {
        let (transaction, expired, ways, groups, behind, members) = tokio::join!(
            client.prepare("BEGIN"),
            client.prepare(EXPIRED),
            client.prepare(WAYS),
            client.prepare(GROUPS),
            client.prepare(BEHIND),
            client.prepare(MEMBERS),
        );
        Ok(Self {
            transaction: transaction?,
            expired: expired?,
            ways: ways?,
            groups: groups?,
            behind: behind?,
            members: members?,
        })
    }
}

/// Begins a transaction and chooses in it what a claim hands out. What was chosen is locked.
pub(super) async fn choose(
    client: &Client,
    tools: &Tools,
    rounds: &mut Rounds,
    portion: &Portion,
    now: Timestamp,
) -> Result<Vec<Chosen>, Error> {
    let mut walk = Walk { client, tools, portion, now, shelf: HeldShelf::default() };
    walk.begin().await?;
    let mut reads = 0;
    loop {
        let mut ahead = rounds.clone();
        match round::choose(&mut walk.shelf, &mut ahead, portion, now) {
            Ok(chosen) => {
                *rounds = ahead;
                return Ok(chosen);
            }
            Err(missing) if reads < READS_MAX => walk.read(missing, rounds).await?,
            Err(_) => walk.shelf.is_final = true,
        }
        reads += 1;
    }
}

/// A claim that is looking around.
struct Walk<'a> {
    client: &'a Client,
    tools: &'a Tools,
    portion: &'a Portion,
    now: Timestamp,
    shelf: HeldShelf,
}

impl Walk<'_> {
    /// Reads what every claim has to know, in one round trip.
    async fn begin(&mut self) -> Result<(), Error> {
        let limit = self.portion.messages().min(HEADS_AT_ONCE) + PASSED_OVER_MAX;
        let (now, limit, at_once) = (millis(self.now), signed(limit), ways_at_once());
        let first: [&(dyn ToSql + Sync); 2] = [&now, &limit];
        let second: [&(dyn ToSql + Sync); 2] = [&"", &at_once];
        let (transaction, expired, ways) = tokio::join!(
            self.client.execute(&self.tools.transaction, &[]),
            self.client.query(&self.tools.expired, &first),
            self.client.query(&self.tools.ways, &second),
        );
        transaction?;
        for row in expired? {
            let way = WayKey::from_text(row.try_get(1)?);
            self.shelf.add_expired(id(&row, 0)?, way, facts(&row, 2)?);
        }
        self.keep_ways(&ways?)
    }

    async fn read(&mut self, missing: Missing, rounds: &Rounds) -> Result<(), Error> {
        match missing {
            Missing::Ways => {
                // Nothing sorts between a text and the same with the smallest character behind it.
                let from = self.shelf.last_way().map(|way| format!("{}\u{1}", way.as_str()));
                let from = from.unwrap_or_default();
                let ways = self.client.query(&self.tools.ways, &[&from, &ways_at_once()]).await?;
                self.keep_ways(&ways)
            }
            Missing::Groups { way, bulk, share } => {
                self.read_groups(way, bulk, share, rounds).await
            }
            Missing::Behind { way, bulk } => self.read_behind(&way, bulk).await,
            Missing::Members => self.read_members().await,
        }
    }

    fn keep_ways(&mut self, ways: &[Row]) -> Result<(), Error> {
        let are_all = ways.len() < WAYS_AT_ONCE;
        let ways: Vec<WayKey> = ways
            .iter()
            .map(|row| row.try_get(0).map(WayKey::from_text))
            .collect::<Result<_, Error>>()?;
        self.shelf.add_ways(ways.into_iter(), are_all);
        Ok(())
    }

    /// Reads the groups that are asked for, and those that will be asked for next.
    async fn read_groups(
        &mut self,
        way: WayKey,
        bulk: bool,
        share: u16,
        rounds: &Rounds,
    ) -> Result<(), Error> {
        let mut asked = vec![(way.clone(), bulk, share)];
        if !self.shelf.has_strip(&way, bulk) {
            let next = self.shelf.ways_from(&way).filter(|way| self.portion.wants(way) > 0);
            for way in next.take(STRIPS_AT_ONCE) {
                let (prompt, later) = rounds.next_shares(way);
                for (bulk, share) in [(false, prompt), (true, later)] {
                    if !self.shelf.has_strip(way, bulk) && (way, bulk) != (&asked[0].0, asked[0].1)
                    {
                        asked.push((way.clone(), bulk, share));
                    }
                }
            }
        }
        let room_max = (2 * HEADS_AT_ONCE / asked.len()).clamp(1, HEADS_AT_ONCE);
        let room = |(number, (way, bulk, _)): (usize, &(WayKey, bool, u16))| {
            let room = self.portion.wants(way).clamp(1, room_max);
            let is_beforehand = *bulk && number > 0;
            signed(if is_beforehand { room / BULK_PART + 1 } else { room })
        };
        let rooms: Vec<i64> = asked.iter().enumerate().map(room).collect();
        let ways: Vec<&str> = asked.iter().map(|(way, ..)| way.as_str()).collect();
        let kinds: Vec<bool> = asked.iter().map(|(_, bulk, _)| *bulk).collect();
        let shares: Vec<i32> = asked.iter().map(|(.., share)| i32::from(*share)).collect();
        let now = millis(self.now);
        let parameters: [&(dyn ToSql + Sync); 5] = [&ways, &kinds, &shares, &rooms, &now];
        let found = self.client.query(&self.tools.groups, &parameters).await?;

        // By the number of what was asked, and the place on the circle.
        let mut circles: BTreeMap<(i64, i64), (u16, usize, Vec<Head>)> = BTreeMap::new();
        for row in &found {
            let (number, place): (i64, i64) = (row.try_get(0)?, row.try_get(2)?);
            let (share, groups) = (self::share(row, 1)?, row.try_get::<_, i64>(3)?);
            let groups = usize::try_from(groups).unwrap_or(usize::MAX);
            let circle = circles.entry((number, place)).or_insert((share, groups, Vec::new()));
            if let Some(head) = self.keep_head(row, share, 4)? {
                circle.2.push(head);
            }
        }
        for ((number, (way, bulk, share)), room) in (1_i64..).zip(asked).zip(rooms) {
            let room = usize::try_from(room).unwrap_or_default();
            let own = circles.range((number, i64::MIN)..=(number, i64::MAX));
            let groups = own.map(|(_, (share, groups, heads))| {
                let has_more = heads.len() >= room.div_ceil((*groups).max(1));
                (*share, Group { heads: heads.clone(), has_more })
            });
            let groups: Vec<_> = groups.collect();
            let is_cut = groups.len() >= room;
            self.shelf.add_groups(way, bulk, share, groups, is_cut);
        }
        Ok(())
    }

    /// Reads what is behind the last known of all groups of a way that may have more.
    async fn read_behind(&mut self, way: &WayKey, bulk: bool) -> Result<(), Error> {
        let last = self.shelf.unfinished(way, bulk);
        let shares: Vec<i32> = last.iter().map(|head| i32::from(head.share)).collect();
        let dues: Vec<i64> = last.iter().map(|head| millis(head.due)).collect();
        let ids: Vec<Uuid> = last.iter().map(|head| uuid(head.id)).collect();
        let wanted = self.portion.wants(way).clamp(1, HEADS_AT_ONCE);
        let depth = (wanted / last.len().max(1)).max(8);
        let (name, now, limit) = (way.as_str(), millis(self.now), signed(depth));
        let parameters: [&(dyn ToSql + Sync); 7] =
            [&shares, &dues, &ids, &name, &bulk, &now, &limit];
        let found = self.client.query(&self.tools.behind, &parameters).await?;
        let mut groups: BTreeMap<u16, Vec<Head>> =
            last.iter().map(|head| (head.share, Vec::new())).collect();
        for row in &found {
            let share = share(row, 0)?;
            if let Some(head) = self.keep_head(row, share, 1)? {
                groups.entry(share).or_default().push(head);
            }
        }
        for (share, heads) in groups {
            let has_more = heads.len() >= depth;
            self.shelf.add_behind(way, bulk, share, heads, has_more);
        }
        Ok(())
    }

    async fn read_members(&mut self) -> Result<(), Error> {
        let batches = self.shelf.unknown_batches();
        let ids: Vec<Uuid> = batches.iter().map(|batch| uuid(batch.0)).collect();
        let found = self.client.query(&self.tools.members, &[&ids]).await?;
        let mut members = Vec::with_capacity(found.len());
        for row in &found {
            let (batch, message) = (BatchId(id(row, 0)?), id(row, 1)?);
            let (state, due): (i16, i64) = (row.try_get(2)?, row.try_get(3)?);
            let is_ours: bool = row.try_get(4)?;
            let state = if state == State::Queued as i16 { State::Queued } else { State::Sending };
            let member = if is_ours {
                Member { id: message, state, due: nearest_time(due) }
            } else {
                in_other_hands(message)
            };
            members.push((batch, member));
        }
        self.shelf.add_members(batches, members);
        Ok(())
    }

    /// Keeps what is known of a message, in the columns from this one on. There is none where all are locked.
    fn keep_head(&mut self, row: &Row, share: u16, column: usize) -> Result<Option<Head>, Error> {
        let Some(due) = row.try_get::<_, Option<i64>>(column)? else { return Ok(None) };
        let id = id(row, column + 1)?;
        self.shelf.add_facts(id, facts(row, column + 2)?);
        Ok(Some(Head { share, due: nearest_time(due), id }))
    }
}

fn ways_at_once() -> i32 {
    i32::try_from(WAYS_AT_ONCE).unwrap_or(i32::MAX)
}

fn id(row: &Row, column: usize) -> Result<QueueId, Error> {
    let id: Uuid = row.try_get(column)?;
    Ok(QueueId::from_bytes(*id.as_bytes()))
}

/// The share in this column. What makes no sense must not stand in the way of the others.
fn share(row: &Row, column: usize) -> Result<u16, Error> {
    let share: i16 = row.try_get(column)?;
    Ok(u16::try_from(share).unwrap_or(u16::MAX))
}

/// Size and batch, in this column and the next.
fn facts(row: &Row, column: usize) -> Result<Facts, Error> {
    let size: i64 = row.try_get(column)?;
    let batch: Option<Uuid> = row.try_get(column + 1)?;
    let batch = batch.map(|batch| BatchId(QueueId::from_bytes(*batch.as_bytes())));
    Ok(Facts { size: u64::try_from(size).unwrap_or_default(), batch })
}
