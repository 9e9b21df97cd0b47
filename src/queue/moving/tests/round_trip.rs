//! Everything comes through, whatever the stores are.

use bytes::Bytes;
use fastrand::Rng;

use super::*;
use crate::clock::SystemClock;
use crate::queue::State;
use crate::queue::conformance::at;
use crate::queue::memory::MemoryMover;
use crate::queue::{MemoryStore, SqliteMover};
use std::sync::Arc;

/// A text that no store may change, and that is not JSON.
fn text(rng: &mut Rng) -> String {
    let alphabet = ['a', 'Z', '0', ' ', '"', '\\', '\'', '\n', '한', '\u{1F4E7}', '%', '_', '$'];
    (0..rng.usize(0..20)).filter_map(|_| rng.choice(alphabet)).collect()
}

fn or_none<T>(rng: &mut Rng, make: impl FnOnce(&mut Rng) -> T) -> Option<T> {
    rng.bool().then(|| make(rng))
}

fn moment(rng: &mut Rng) -> i64 {
    at(0).as_millisecond() + rng.i64(0..1_000_000_000)
}

/// JSON as the stores keep it, of recipients in whatever states.
fn recipients(rng: &mut Rng) -> String {
    let one = |rng: &mut Rng| {
        let number = rng.u32(..);
        let state = ["queued", "delivered", "failed", "cancelled", "suppressed"][rng.usize(0..5)];
        let rest = ["", ",\"reason\":\"550 \\\"no\\\"\"", ",\"again\":2"][rng.usize(0..3)];
        format!("{{\"address\":\"a{number}@example.net\",\"state\":\"{state}\"{rest}}}")
    };
    let all: Vec<String> = (0..=rng.usize(0..4)).map(|_| one(rng)).collect();
    format!("[{}]", all.join(","))
}

fn call(rng: &mut Rng) -> Call {
    let outcome = crate::queue::Outcome::ALL[rng.usize(0..9)];
    Call {
        at: moment(rng),
        provider: text(rng),
        outcome: outcome.name().to_owned(),
        error: or_none(rng, text),
        provider_message_id: or_none(rng, text),
        latency_ms: rng.i64(0..100_000),
        recipients: or_none(rng, |_| "[\"ada@example.net\"]".to_owned()),
        losses: None,
        together: or_none(rng, |rng| rng.u32(1..100)),
    }
}

/// A message in any state, with all that may be kept of it.
pub(in crate::queue) fn record(rng: &mut Rng) -> Record {
    let received_at = moment(rng);
    let state = State::ALL[rng.usize(0..5)];
    let is_open = state.is_open();
    let content = (is_open || rng.bool()).then(|| {
        let size = if rng.u32(0..20) == 0 { 600_000 } else { rng.usize(0..3_000) };
        Bytes::from(std::iter::repeat_with(|| rng.u8(..)).take(size).collect::<Vec<u8>>())
    });
    let begun = or_none(rng, |rng| (text(rng), moment(rng)));
    let batch = begun.is_some() && rng.bool();
    Record {
        id: QueueId::new(Timestamp::from_millisecond(received_at).unwrap()),
        state,
        due_at: moment(rng),
        lease: rng.i64(0..100),
        deferrals: rng.u32(0..30),
        received_at,
        trying_since: moment(rng),
        finished_at: (!is_open).then(|| moment(rng)),
        sender: or_none(rng, |_| "app@example.org".to_owned()),
        recipients: recipients(rng),
        smtp_utf8: rng.bool(),
        header_from: text(rng),
        subject: text(rng),
        message_id: text(rng),
        size: content.as_ref().map_or(77, |content| content.len() as i64),
        user: or_none(rng, text),
        provider: or_none(rng, text),
        provider_message_id: or_none(rng, text),
        error: or_none(rng, text),
        pinned_provider: or_none(rng, text),
        dsn: None,
        account: or_none(rng, |rng| (0..rng.usize(1..60)).map(|_| rng.u8(..)).collect()),
        may_steer: rng.bool(),
        way: text(rng),
        bulk: rng.bool(),
        share: rng.u16(0..1_021),
        begun_by: begun.as_ref().map(|(provider, _)| provider.clone()),
        begun_at: begun.as_ref().map(|(_, at)| *at),
        batch: batch.then(|| rng.u128(..).to_be_bytes()),
        place: batch.then(|| rng.u32(0..100)),
        batch_of: batch.then(|| rng.u32(1..100)),
        content,
        attempts: (0..rng.usize(0..4)).map(|_| call(rng)).collect(),
    }
}

/// Rows of every kind beside the messages.
fn aside(rng: &mut Rng, n: i64) -> Vec<Aside> {
    let address = format!("Bob{n}@example.net");
    vec![
        Aside::Suppression {
            mailbox: address.to_lowercase(),
            address,
            reason: "bounced".to_owned(),
            note: or_none(rng, text),
            since: moment(rng),
        },
        Aside::Usage { hour: 497_222 + n, provider: text(rng), recipients: rng.i64(1..1_000) },
        Aside::Counter {
            grain: if rng.bool() { 60 } else { 3_600 },
            at: n * 3_600,
            provider: text(rng),
            received: rng.i64(0..1_000),
            delivered: rng.i64(0..1_000),
            failed: rng.i64(0..1_000),
            cancelled: rng.i64(0..1_000),
            attempts: "{\"delivered\":3}".to_owned(),
            latency: "[0,2]".to_owned(),
        },
        Aside::Submission {
            key: std::array::from_fn(|_| rng.u8(..)),
            request: std::array::from_fn(|_| rng.u8(..)),
            message: rng.u128(..).to_be_bytes(),
            at: moment(rng),
        },
    ]
}

/// Everything that a store has, sorted.
pub(in crate::queue) async fn everything(store: &dyn Movable) -> (Vec<Record>, Vec<String>) {
    let mut records = Vec::new();
    let mut after = None;
    loop {
        let slice = store.sketches(after, 70).await.unwrap();
        let Some(last) = slice.last() else { break };
        after = Some(last.id);
        let ids = slice.iter().map(|sketch| sketch.id).collect();
        let found = store.read(ids).await.unwrap();
        assert_eq!(found.iter().map(Record::sketch).collect::<Vec<_>>(), slice);
        records.extend(found);
    }
    let mut rows = Vec::new();
    for kind in AsideKind::ALL {
        let mut after = None;
        loop {
            let slice = store.read_aside(kind, after).await.unwrap();
            after = slice.last().cloned();
            rows.extend(slice.iter().map(|row| format!("{row:?}")));
            if after.is_none() {
                break;
            }
        }
    }
    rows.sort();
    (records, rows)
}

/// Fills `one`, moves all of it to `other` and back, and compares each field.
pub(in crate::queue) async fn there_and_back(one: &dyn Movable, other: &dyn Movable, seed: u64) {
    let mut rng = Rng::with_seed(seed);
    let mut filled: Vec<Record> = (0..300).map(|_| record(&mut rng)).collect();
    filled.sort_by_key(|record| record.id);
    let rows: Vec<Aside> = (0..300).flat_map(|n| aside(&mut rng, n)).collect();
    for records in filled.chunks(100) {
        let taken = one.write(records.to_vec()).await.unwrap();
        assert_eq!(taken, Taken { added: records.len() as u64, updated: 0 });
    }
    one.write_aside(rows.clone()).await.unwrap();
    // What was being sent waits again, due since it came in.
    for record in filled.iter_mut().filter(|record| record.state == State::Sending) {
        record.state = State::Queued;
        record.due_at = record.received_at;
    }
    let open = filled.iter().filter(|record| record.state.is_open()).count() as u64;
    let mut rows: Vec<String> = rows.iter().map(|row| format!("{row:?}")).collect();
    rows.sort();

    let mut steps = Vec::new();
    let ends = Ends { source: one, target: other, again: false };
    let done = migrate(ends, &SystemClock, &mut |step| steps.push(step)).await.unwrap();
    assert_eq!((done.messages, done.added, done.updated, done.open), (300, 300, 0, open));
    assert_eq!(
        (done.suppressions, done.usage, done.counters, done.submissions),
        (300, 300, 300, 300)
    );
    assert_eq!(steps.last(), Some(&Step::Aside { kind: AsideKind::Submissions, done: 300 }));
    assert_eq!(everything(other).await, (filled.clone(), rows.clone()));
    assert_eq!(one.mark().await.unwrap().unwrap().passage, Passage::Gone);
    assert_eq!(other.mark().await.unwrap(), None);

    // Again: there is nothing to do.
    let done = migrate(ends, &SystemClock, &mut |_| {}).await.unwrap();
    assert_eq!(done, Summary { was_done: true, ..Summary::default() });

    // Something happens there: one more attempt at a message that waits, and one whose record is gone.
    let mut tried = filled.iter().find(|record| record.state.is_open()).unwrap().clone();
    tried.lease += 1;
    tried.attempts.push(call(&mut rng));
    tried.state = State::Delivered;
    tried.finished_at = Some(moment(&mut rng));
    assert_eq!(other.write(vec![tried.clone()]).await.unwrap(), Taken { added: 0, updated: 1 });
    let back = Ends { source: other, target: one, again: false };
    let done = migrate(back, &SystemClock, &mut |_| {}).await.unwrap();
    assert_eq!((done.messages, done.added, done.updated, done.ended), (300, 0, 1, 0));
    let place = filled.iter().position(|record| record.id == tried.id).unwrap();
    filled[place] = tried;
    assert_eq!(everything(one).await, (filled, rows));
    assert_eq!(one.mark().await.unwrap(), None);
    assert_eq!(other.mark().await.unwrap().unwrap().passage, Passage::Gone);
}

fn in_memory(number: u8) -> MemoryMover {
    MemoryMover::new(Arc::new(MemoryStore::new(10)), number)
}

pub(in crate::queue) fn in_file() -> (SqliteMover, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (SqliteMover::open(&folder.path().join("queue.db"), true).unwrap(), folder)
}

#[tokio::test]
async fn from_memory_to_memory_and_back() {
    for seed in 0..5 {
        there_and_back(&in_memory(1), &in_memory(2), seed).await;
    }
}

#[tokio::test]
async fn from_a_file_to_a_file_and_back() {
    for seed in 10..13 {
        let ((one, _here), (other, _there)) = (in_file(), in_file());
        there_and_back(&one, &other, seed).await;
    }
}

#[tokio::test]
async fn from_memory_to_a_file_and_back() {
    let (file, _folder) = in_file();
    there_and_back(&in_memory(1), &file, 20).await;
    let (file, _folder) = in_file();
    there_and_back(&file, &in_memory(1), 21).await;
}
