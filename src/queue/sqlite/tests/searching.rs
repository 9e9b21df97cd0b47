//! The index of texts: it finds what a look at every record finds, however far it has come.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::message::{IndexFields, Message};
use crate::queue::conformance::{
    HOUR, at, attempt, claim, delivered, in_state, message, queued, settlement, up_to,
};
use crate::queue::sqlite::indexer::Progress;
use crate::queue::sqlite::terms;
use crate::queue::{
    Attempt, Claim, Entry, Filter, Lease, MemoryStore, Next, Outcome, Page, Retry, State, Store,
};

mod indexed {
    crate::queue::conformance::conformance! { open_indexed;
        looking: a_list_is_newest_first_in_pages, a_list_keeps_to_its_longest_page,
            a_list_is_filtered_by_state, a_list_is_filtered_by_provider, a_search_looks_into_every_field,
            a_message_is_found_by_every_name_that_it_has, a_search_takes_wildcards_literally,
            a_search_is_not_about_names_of_states, filters_work_together, counts_follow_every_change;
        operating: a_retry_may_name_the_recipients, everything_that_failed_is_retried_in_slices;
        sweeping: a_sweep_works_in_small_slices_until_nothing_is_left;
    }
    use super::super::open_indexed;
}

/// Writes a slice of the index.
pub(super) async fn index(store: &SqliteStore) -> usize {
    store.ask(|answer| Job::Index { answer }).await.unwrap()
}

pub(super) async fn index_all(store: &SqliteStore) {
    while index(store).await > 0 {}
}

/// All pages of a list.
pub(super) async fn all(store: &dyn Store, filter: &Filter) -> Vec<QueueId> {
    let mut found: Vec<QueueId> = Vec::new();
    let mut before = None;
    for _ in 0..10_000 {
        let page = store.list(Filter { before, ..filter.clone() }).await.unwrap();
        found.extend(page.messages.iter().map(|summary| summary.id));
        before = page.next;
        if before.is_none() {
            return found;
        }
    }
    panic!("a list without end");
}

pub(super) fn text(text: &str) -> Filter {
    Filter { text: Some(text.to_owned()), ..Filter::default() }
}

/// How many rows the index has.
pub(super) fn rows_of_index(path: &Path) -> i64 {
    let connection = Connection::open(path).unwrap();
    connection.query_row("SELECT count(*) FROM search_docsize", [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn what_changes_after_it_was_indexed_is_found_at_once() {
    let (_folder, path) = place();
    let store = daemon(&path);
    let id = queued(&store, 0).await;
    index_all(&store).await;
    assert_eq!(rows_of_index(&path), 1);
    for claim in claim(&store, 1).await {
        store.settle(delivered(&claim, "resend", 5)).await.unwrap();
    }
    let by = |provider: &str| Filter { provider: Some(provider.to_owned()), ..Filter::default() };
    let is = |state| Filter { state: Some(state), ..Filter::default() };
    for index_again in [false, true] {
        if index_again {
            index_all(&store).await;
        }
        assert_eq!(all(&store, &text("esend-")).await, [id], "{index_again}");
        assert_eq!(all(&store, &text("resend-5")).await, [id], "{index_again}");
        assert_eq!(all(&store, &by("resend")).await, [id], "{index_again}");
        assert_eq!(all(&store, &is(State::Delivered)).await, [id], "{index_again}");
        assert_eq!(all(&store, &is(State::Queued)).await, [], "{index_again}");
    }

    let visitor = SqliteStore::attach(&path).unwrap();
    let recipients = vec!["kim@shop.example".parse().unwrap()];
    visitor.retry(id, Retry { recipients, ..Retry::default() }, at(9)).await.unwrap();
    assert_eq!(all(&store, &text("kim@shop")).await, [id], "also by another process");
}

#[tokio::test]
async fn the_index_goes_on_after_a_restart_and_in_an_older_file() {
    let (_folder, path) = place();
    let store = daemon(&path);
    let mut ids = Vec::new();
    for n in 0..600 {
        ids.push(queued(&store, n).await);
    }
    ids.reverse();
    assert!(index(&store).await > 0);
    drop(store);

    let store = daemon(&path);
    assert_eq!(all(&store, &text("welcome")).await, ids);
    assert!(index(&store).await > 0);
    drop(store);
    Connection::open(&path)
        .unwrap()
        .execute_batch(
            "ALTER TABLE attempts DROP COLUMN together; DROP TABLE search; DROP TABLE indexed; \
             DROP TABLE unindexed; DROP TABLE identity; PRAGMA user_version = 6",
        )
        .unwrap();

    let store = daemon(&path);
    assert_eq!(all(&store, &text("welcome")).await, ids, "before it is indexed");
    index_all(&store).await;
    assert_eq!(all(&store, &text("welcome")).await, ids);
    assert_eq!(rows_of_index(&path), 600);
    drop(store);
    assert_eq!(integrity(&path), "ok");
}

#[tokio::test]
async fn a_long_text_is_found_by_few_of_its_parts() {
    let (_folder, path) = place();
    let store = daemon(&path);
    let mut ids = Vec::new();
    for n in 0..300 {
        ids.push(queued(&store, n).await);
    }
    index_all(&store).await;
    assert_eq!(rows_of_index(&path), 300);
    // Rare, and what nobody and everybody has. A whole Message-ID would be answered as the name that it is.
    let few = [217, 117, 17].map(|n| ids[n]);
    assert_eq!(all(&store, &text("17@app.example.or")).await, few);
    assert_eq!(all(&store, &text("117@APP.example.org")).await, [ids[117]]);
    assert_eq!(all(&store, &text("301@app.example.org")).await, []);
    let waiting = Filter { state: Some(State::Queued), ..text("17@app.example.or") };
    assert_eq!(all(&store, &waiting).await, few);
    ids.reverse();
    assert_eq!(all(&store, &text("@app.example.org")).await, ids);
}

#[tokio::test]
async fn what_is_removed_leaves_the_index() {
    let (_folder, path) = place();
    let store = daemon(&path);
    for n in 0..20 {
        in_state(&store, n, State::Delivered).await;
    }
    let kept = queued(&store, 21).await;
    index_all(&store).await;
    assert_eq!(rows_of_index(&path), 21);
    while store.sweep(HOUR, HOUR, at(100_000)).await.unwrap() > 0 {}
    assert_eq!(all(&store, &text("ada@")).await, [kept]);
    index_all(&store).await;
    assert_eq!(rows_of_index(&path), 1);
    assert_eq!(all(&store, &text("ada@")).await, [kept]);
}

#[tokio::test]
async fn a_slice_ends_after_so_much_text() {
    let (_folder, path) = place();
    let store = daemon(&path);
    let mut ids = Vec::new();
    for n in 0..20 {
        let mut crowd = message(n);
        let to = |i| format!("member-number-{i:03}@crowd.example").parse().unwrap();
        crowd.envelope.recipients = (0..300).map(to).collect();
        ids.push(crowd.id);
        store.insert(Entry::waiting(Arc::new(crowd))).await.unwrap();
    }
    let mut slices = Vec::new();
    loop {
        match index(&store).await {
            0 => break,
            messages => slices.push(messages),
        }
    }
    assert_eq!(slices.iter().sum::<usize>(), 20);
    assert!(slices.iter().all(|messages| *messages <= 7), "of 10 KiB each: {slices:?}");
    ids.reverse();
    assert_eq!(all(&store, &text("member-number-299")).await, ids);
}

/// Adds so many messages past the store, which would take its time.
pub(super) async fn fill(store: &SqliteStore, messages: i64) {
    let start = at(0).as_millisecond();
    reach(store, move |connection| {
        connection
            .execute(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1) \
                 INSERT INTO messages (id, state, due_at, lease, deferrals, received_at, trying_since, recipients, \
                 smtp_utf8, header_from, subject, message_id, size, body, body_rows, provider) \
                 SELECT unhex(format('%012x7000%016x', ?2 + i, i)), 2, 0, 0, 0, ?2 + i, ?2 + i, '[]', 0, '', \
                 'Message ' || i, i || '@app.example', 10, 1, 1, iif(i = 7, 'rare', 'resend') FROM n",
                (messages, start),
            )
            .unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_page_looks_at_so_many_messages_and_the_next_one_goes_on() {
    let (_folder, path) = place();
    let store = daemon(&path);
    fill(&store, 60_000).await;
    let rare = Filter { provider: Some("rare".to_owned()), ..Filter::default() };
    let by_subject = Filter { limit: 3, ..text("ssage 7") };
    for filter in [&rare, &text("zz"), &text("no such text")] {
        let page = store.list(filter.clone()).await.unwrap();
        assert!(page.messages.is_empty() && page.next.is_some(), "{filter:?}");
    }
    assert_eq!(all(&store, &text("zz")).await, []);
    let first = all(&store, &rare).await;
    assert_eq!(first.len(), 1);
    let found = all(&store, &by_subject).await;
    assert_eq!(found.len(), 1 + 10 + 100 + 1_000, "7, 70 to 79 and so on up to 7,999");
}

#[tokio::test]
async fn the_index_finds_what_is_rare_at_once() {
    let (_folder, path) = place();
    let store = daemon(&path);
    fill(&store, 60_000).await;
    index_all(&store).await;
    let rare = Filter { provider: Some("rare".to_owned()), ..Filter::default() };
    let oldest = Filter { state: Some(State::Delivered), ..text("<1@app.example>") };
    for filter in [rare, text("essage 59999"), oldest, text("no such text")] {
        let page = store.list(filter.clone()).await.unwrap();
        let expected = usize::from(filter.text.as_deref() != Some("no such text"));
        assert_eq!((page.messages.len(), page.next), (expected, None), "{filter:?}");
    }
}

#[tokio::test]
async fn a_long_tail_presses_from_the_start_on() {
    let (_folder, path) = place();
    let store = daemon(&path);
    fill(&store, 60_000).await;
    drop(store);
    let connection = Connection::open(&path).unwrap();
    assert!(Progress::read(&connection).unwrap().is_pressing());
    // But for the last ten.
    let ten_left = QueueId::lower_bound(at(0) + Duration::from_millis(59_991));
    connection.execute("UPDATE indexed SET upto = ?1", [ten_left.as_bytes()]).unwrap();
    let progress = Progress::read(&connection).unwrap();
    assert!(!progress.is_pressing() && !progress.has_slice(), "{progress:?}");
}

/// A step of a story about two stores.
#[derive(Clone, Debug)]
enum Step {
    /// A message that came in at that second.
    Insert {
        second: u8,
        fields: [String; 3],
        held: bool,
    },
    /// All that waits is claimed, and ends in different ways.
    Work {
        name: String,
    },
    Retry {
        which: usize,
        to: Option<u8>,
    },
    Cancel {
        which: usize,
    },
    Sweep {
        second: u8,
    },
    Index,
    Search {
        what: What,
        state: Option<usize>,
        provider: Option<bool>,
        limit: usize,
    },
}

/// What is searched for: a text, or a part of one that a message has.
#[derive(Clone, Debug)]
enum What {
    Nothing,
    Text(String),
    Part { which: usize, from: usize, length: usize, upper: bool },
}

fn words() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "a", "B", "ab", "x1", "%", "_", "\"", "'", "\\", "주", "문", "확인", "İ", "ß", "É", " ",
        "@", ".", "*", "\t", "AND", "\u{3}", "😀", "-",
    ]);
    prop::collection::vec(pieces, 0..20).prop_map(|pieces| pieces.concat())
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let part = (any::<usize>(), any::<usize>(), 1..40_usize, any::<bool>())
        .prop_map(|(which, from, length, upper)| What::Part { which, from, length, upper });
    let what = prop_oneof![
        1 => Just(What::Nothing),
        3 => words().prop_map(What::Text),
        6 => part,
    ];
    let step = prop_oneof![
        6 => (0..6_u8, [words(), words(), words()], any::<bool>())
            .prop_map(|(second, fields, held)| Step::Insert { second, fields, held }),
        2 => words().prop_map(|name| Step::Work { name }),
        1 => (any::<usize>(), prop::option::of(any::<u8>()))
            .prop_map(|(which, to)| Step::Retry { which, to }),
        1 => any::<usize>().prop_map(|which| Step::Cancel { which }),
        1 => (0..6_u8).prop_map(|second| Step::Sweep { second }),
        3 => Just(Step::Index),
        8 => (what, prop::option::of(0..State::ALL.len()), prop::option::of(any::<bool>()), 1..4_usize)
            .prop_map(|(what, state, provider, limit)| Step::Search { what, state, provider, limit }),
    ];
    prop::collection::vec(step, 1..40)
}

/// The file, and the store in memory that looks at every message.
struct Pair {
    file: SqliteStore,
    memory: MemoryStore,
    messages: Vec<Arc<Message>>,
}

impl Pair {
    fn stores(&self) -> [&dyn Store; 2] {
        [&self.file, &self.memory]
    }

    fn id(&self, which: usize) -> Option<QueueId> {
        let length = self.messages.len().max(1);
        self.messages.get(which % length).map(|message| message.id)
    }

    /// Ids of one second begin alike, so that several messages share a row of the index.
    fn message(&self, second: u8, [from, subject, name]: [String; 3]) -> Arc<Message> {
        let of = terms::number(QueueId::lower_bound(at(i64::from(second))));
        let mut message = message(i64::from(second));
        message.id = terms::id(of + self.messages.len() as u128);
        message.index = IndexFields { header_from: from, subject, message_id: name, bulk: false };
        Arc::new(message)
    }

    async fn take(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Insert { second, fields, held } => {
                let message = self.message(second, fields);
                for store in self.stores() {
                    let lease = held.then(|| Lease { owner: "one".into(), expires: at(50) });
                    let entry = Entry { lease, ..Entry::waiting(Arc::clone(&message)) };
                    store.insert(entry).await.unwrap();
                }
                self.messages.push(message);
            }
            Step::Work { name } => {
                let lease = || Lease { owner: "two".into(), expires: at(200) };
                for store in self.stores() {
                    let mut claims = store.claim(up_to(1_000), at(100), lease()).await.unwrap();
                    claims.sort_by_key(|claim| claim.message.id);
                    for (n, claim) in claims.iter().enumerate() {
                        store.settle(ended(claim, n, &name)).await.unwrap();
                    }
                }
            }
            Step::Retry { which, to } => {
                let Some(id) = self.id(which) else { return Ok(()) };
                let recipients = to.map(|n| format!("to{n}@later.example").parse().unwrap());
                let retry =
                    Retry { recipients: recipients.into_iter().collect(), ..Retry::default() };
                let [one, other] = self.stores();
                let one = one.retry(id, retry.clone(), at(90)).await;
                prop_assert_eq!(one, other.retry(id, retry, at(90)).await);
            }
            Step::Cancel { which } => {
                let Some(id) = self.id(which) else { return Ok(()) };
                let [one, other] = self.stores();
                prop_assert_eq!(one.cancel(id, at(91)).await, other.cancel(id, at(91)).await);
            }
            Step::Sweep { second } => {
                // What ended before that second of the hour after it.
                for store in self.stores() {
                    let now = at(100 + i64::from(second)) + HOUR;
                    while store.sweep(HOUR, HOUR, now).await.unwrap() > 0 {}
                }
            }
            Step::Index => {
                index(&self.file).await;
            }
            Step::Search { what, state, provider, limit } => {
                let filter = Filter {
                    state: state.map(|n| State::ALL[n]),
                    provider: provider.map(|is| if is { "ses" } else { "re\"send" }.to_owned()),
                    text: self.text(what),
                    limit,
                    ..Filter::default()
                };
                let found = all(&self.file, &filter).await;
                prop_assert_eq!(found, all(&self.memory, &filter).await, "{:?}", filter);
            }
        }
        Ok(())
    }

    fn text(&self, what: What) -> Option<String> {
        let (which, from, length, upper) = match what {
            What::Nothing => return None,
            What::Text(text) => return Some(text),
            What::Part { which, from, length, upper } => (which, from, length, upper),
        };
        let message = self.messages.get(which % self.messages.len().max(1))?;
        let fields =
            [&message.index.header_from, &message.index.subject, &message.index.message_id];
        let field: Vec<char> = fields[from % 3].chars().collect();
        let from = from / 3 % field.len().max(1);
        let part: String = field.iter().skip(from).take(length).collect();
        Some(if upper { part.to_ascii_uppercase() } else { part })
    }
}

/// Claims end in turn: delivered, failed, put back.
fn ended(claim: &Claim, n: usize, name: &str) -> crate::queue::Settlement {
    let next = match n % 3 {
        0 => Next::Delivered,
        1 => Next::Failed { error: "no".to_owned() },
        _ => Next::Queue { due: at(101), error: None, deferred: true },
    };
    let provider = if n.is_multiple_of(2) { "ses" } else { "re\"send" };
    let call = attempt(provider, Outcome::Temporary, 99);
    let call = Attempt { provider_message_id: Some(format!("{name}{n}")), ..call };
    let mut settlement = settlement(claim, next, 99);
    settlement.attempts.push(call);
    settlement
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_index_finds_what_a_look_at_every_message_finds(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (_folder, path) = place();
            let mut pair = Pair {
                file: daemon(&path),
                memory: MemoryStore::new(ROOMY),
                messages: Vec::new(),
            };
            for step in steps {
                pair.take(step).await?;
            }
            Ok::<(), TestCaseError>(())
        })?;
    }
}

#[tokio::test]
async fn an_empty_queue_has_nothing_to_find() {
    let (_folder, path) = place();
    let store = daemon(&path);
    assert_eq!(index(&store).await, 0);
    for filter in
        [text("welcome"), text("ab"), Filter { name: text("a@b").text, ..Filter::default() }]
    {
        assert_eq!(store.list(filter).await.unwrap(), Page::default());
    }
}
