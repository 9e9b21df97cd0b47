//! Making the schema, and leaving alone what is no queue of ours.

use super::*;
use crate::queue::postgres::migrate::VERSION;

async fn refusal(database: &str) -> String {
    PostgresStore::open(settings(database, 10)).await.expect_err("it must not open").to_string()
}

#[tokio::test]
async fn the_schema_is_made_once_however_many_start_together() {
    let Some(server) = server() else { return };
    let database = server.database();
    let opening = (0..6).map(|_| tokio::spawn(PostgresStore::open(settings(&database, 10))));
    for opened in opening.collect::<Vec<_>>() {
        opened.await.unwrap().unwrap();
    }
    let made = server.sql(
        &database,
        "SELECT string_agg(version::text, ' ' ORDER BY version) FROM mailferry_schema",
    );
    let expected: Vec<String> = (1..=VERSION).map(|version| version.to_string()).collect();
    assert_eq!(made, expected.join(" "));
}

#[tokio::test]
async fn a_newer_schema_is_refused_in_words() {
    let Some(server) = server() else { return };
    let database = server.database();
    PostgresStore::open(settings(&database, 10)).await.unwrap();
    server.sql(&database, "INSERT INTO mailferry_schema VALUES (99)");
    let refusal = refusal(&database).await;
    assert!(refusal.contains("newer mailferry") && refusal.contains("99"), "{refusal}");
}

#[tokio::test]
async fn a_database_of_something_else_is_left_alone() {
    let Some(server) = server() else { return };
    let database = server.database();
    server.sql(&database, "CREATE TABLE attempts (theirs integer)");
    let refusal = refusal(&database).await;
    assert!(refusal.contains("something else") && refusal.contains("of its own"), "{refusal}");
    let tables = "SELECT string_agg(relname, ' ') FROM pg_class \
                  WHERE relnamespace = 'public'::regnamespace";
    assert_eq!(server.sql(&database, tables), "attempts", "nothing of ours was left behind");
}

#[tokio::test]
async fn who_may_not_make_tables_is_told_so_and_needs_no_right_once_they_are_there() {
    let Some(server) = server() else { return };
    let database = server.database();
    server.sql(&database, &format!("CREATE ROLE guest_{database} LOGIN"));
    let url = server.url(&database).replace("postgres@", &format!("guest_{database}@"));
    let guest = PostgresSettings::new(url.parse().unwrap());
    let refusal = PostgresStore::open(guest.clone()).await.unwrap_err().to_string();
    assert!(refusal.contains("GRANT USAGE, CREATE ON SCHEMA public"), "{refusal}");

    PostgresStore::open(settings(&database, 10)).await.unwrap();
    let grant = format!(
        "GRANT ALL ON ALL TABLES IN SCHEMA public TO guest_{database}; \
         GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO guest_{database}"
    );
    server.sql(&database, &grant);
    let store = PostgresStore::open(guest).await.unwrap();
    queued(&store, 1).await;
}
