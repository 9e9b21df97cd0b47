//! Several instances on one database.

use std::time::Duration;

use tokio::sync::broadcast::Receiver;
use tokio::time::timeout;

use super::*;
use crate::clock::{Clock as _, SystemClock};
use crate::queue::conformance::at;
use crate::queue::postgres::shared::Common;
use crate::queue::{AccountStanding, Change, Condition, News, State};

/// Long enough for everything that comes at all.
const PATIENCE: Duration = Duration::from_secs(20);

async fn join(database: &str, name: &str, takeover_after: Duration) -> Common {
    let common = Common::new(connections(database).await, name.into(), takeover_after);
    common.start().await;
    common
}

async fn database() -> String {
    let database = server::common().database();
    connections(&database).await;
    database
}

/// Hears until this comes.
async fn hears(news: &mut Receiver<News>, wanted: impl Fn(&News) -> bool) -> News {
    let heard = async {
        loop {
            let news = news.recv().await.unwrap();
            if wanted(&news) {
                return news;
            }
        }
    };
    timeout(PATIENCE, heard).await.expect("it is told")
}

fn sql(database: &str, sql: &str) -> String {
    server::common().sql(database, sql)
}

/// A claimed message, as far as presence looks at it.
fn claimed(database: &str, number: u8, owner: &str) {
    let columns = "id, state, due_at, lease, lease_owner, deferrals, received_at, trying_since, recipients, smtp_utf8, \
        header_from, subject, message_id, size, may_steer, way, bulk, share";
    let values = format!(
        "'00000000-0000-7000-8000-0000000000{number:02x}', 1, 9000000000000, 1, '{owner}', 0, 1, 1, '[]', false, \
        '', '', '', 1, false, '', false, 0"
    );
    sql(database, &format!("INSERT INTO messages ({columns}) VALUES ({values})"));
}

fn refused(account: &str, second: i64) -> AccountStanding {
    AccountStanding {
        account: account.to_owned(),
        mark: 7,
        condition: Condition::Misconfigured,
        error: Some("the key is not valid".to_owned()),
        at: at(second),
        by: "a-1".into(),
    }
}

#[tokio::test]
async fn what_one_learns_of_an_account_the_others_hear_within_a_second() {
    let database = database().await;
    let (a, b) = (
        join(&database, "a", Duration::from_secs(30)).await,
        join(&database, "b", Duration::from_secs(30)).await,
    );
    let mut news = b.listen();
    let begun = tokio::time::Instant::now();
    a.tell(refused("main", 5)).await.unwrap();
    let heard = hears(&mut news, |it| matches!(it, News::Standing(_))).await;
    assert_eq!(heard, News::Standing(refused("main", 5)));
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    // What is older changes nothing; another account does.
    a.tell(AccountStanding { condition: Condition::Up, ..refused("main", 4) }).await.unwrap();
    let until = at(99);
    let resting = AccountStanding { condition: Condition::Rests { until }, ..refused("other", 6) };
    a.tell(resting.clone()).await.unwrap();
    let heard = hears(&mut news, |it| matches!(it, News::Standing(_))).await;
    assert_eq!(heard, News::Standing(resting.clone()));
    let c = join(&database, "c", Duration::from_secs(30)).await;
    let known = c.standings().await.unwrap();
    assert_eq!(known, [refused("main", 5), resting], "a new instance reads them");
}

#[tokio::test]
async fn what_was_told_without_a_word_is_found_by_polling() {
    let database = database().await;
    let a = join(&database, "a", Duration::from_secs(30)).await;
    let mut news = a.listen();
    sql(&database, "UPDATE versions SET version = version + 1 WHERE topic = 'suppressions'");
    hears(&mut news, |it| *it == News::Suppressions).await;
}

#[tokio::test]
async fn what_is_due_and_what_has_changed_is_told_to_the_others() {
    let database = database().await;
    let (a, b) = (
        join(&database, "a", Duration::from_secs(30)).await,
        join(&database, "b", Duration::from_secs(30)).await,
    );
    let mut news = b.listen();
    a.due();
    hears(&mut news, |it| *it == News::Due).await;
    let id = message(1).id;
    let change = Change::Message { id, state: State::Delivered };
    b.watch(true);
    let told = async {
        // It takes a moment until the other one knows that somebody looks on.
        loop {
            a.changed(change);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        heard = hears(&mut news, |it| matches!(it, News::Changed(_))) => {
            assert_eq!(heard, News::Changed(change));
        }
        () = told => {}
    }
}

#[tokio::test]
async fn who_is_silent_is_buried_and_comes_back_under_another_name() {
    let database = database().await;
    let b = join(&database, "b", Duration::from_millis(600)).await;
    let mut news = b.listen();
    let own = b.presence().owner();
    claimed(&database, 1, &own);
    // One that does not say anything any more, with claims of its own.
    sql(&database, "INSERT INTO instances VALUES ('silent', 1, 1, false)");
    claimed(&database, 2, "silent");
    hears(&mut news, |it| *it == News::Due).await;
    let due = "SELECT due_at FROM messages ORDER BY id";
    assert_eq!(sql(&database, due), "9000000000000\n0", "the own claim stays");
    assert_eq!(sql(&database, "SELECT count(*) FROM instances"), "1");
    assert!(b.presence().holds(&own, SystemClock.now()));
    // It finds its own row gone, as one that was stopped for long does.
    sql(&database, "DELETE FROM instances");
    hears(&mut news, |it| *it == News::Renamed).await;
    assert!(!b.presence().holds(&own, SystemClock.now()));
    assert!(b.presence().holds(&b.presence().owner(), SystemClock.now()));
    hears(&mut news, |it| *it == News::Due).await;
    assert_eq!(sql(&database, due), "0\n0", "what it held is due for everybody");
}

#[tokio::test]
async fn who_leaves_hands_over_at_once() {
    let database = database().await;
    let (a, b) = (
        join(&database, "a", Duration::from_secs(60)).await,
        join(&database, "b", Duration::from_secs(60)).await,
    );
    let mut news = b.listen();
    let owner = a.presence().owner();
    claimed(&database, 1, &owner);
    a.leave().await;
    hears(&mut news, |it| *it == News::Due).await;
    assert_eq!(sql(&database, "SELECT due_at FROM messages"), "0");
    assert!(!a.presence().holds(&owner, SystemClock.now()));
    let left = sql(&database, "SELECT owner FROM instances");
    assert_eq!(left, &*b.presence().owner());
}

#[tokio::test]
async fn a_lost_connection_is_made_again_and_everything_looked_at() {
    let database = database().await;
    let a = join(&database, "a", Duration::from_secs(30)).await;
    let (mut news, owner) = (a.listen(), a.presence().owner());
    let others = "pid <> pg_backend_pid() AND datname = current_database()";
    sql(
        &database,
        &format!("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE {others}"),
    );
    hears(&mut news, |it| *it == News::Missed).await;
    assert_eq!(a.presence().owner(), owner, "nobody has buried it");
    sql(&database, "NOTIFY mailferry, 'due'");
    hears(&mut news, |it| *it == News::Due).await;
}
