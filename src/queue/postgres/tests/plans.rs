//! What the planner makes of the statements of the hot path, with a queue that it has never looked at: each must find its
//! rows by an index, and none may sort a backlog.

use super::*;
use crate::queue::postgres::{begin, claim, due, settle, walk, writer};

/// The plan of a statement as a writer prepares it.
async fn plan(store: &PostgresStore, sql: &str, parameters: usize) -> String {
    let client = store.connections.alone(Role::Claims).await.unwrap();
    client.batch_execute(writer::SESSION).await.unwrap();
    client.batch_execute(&format!("PREPARE one AS {sql}")).await.unwrap();
    let parameters = vec!["NULL"; parameters].join(", ");
    let explain = format!("EXPLAIN (COSTS off) EXECUTE one({parameters})");
    let lines = client.simple_query(&explain).await.unwrap();
    let lines = lines.iter().filter_map(|line| match line {
        tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn every_look_at_the_messages_goes_by_an_index() {
    let Some(server) = server() else { return };
    let database = server.database();
    let store = PostgresStore::open(settings(&database, ROOMY)).await.unwrap();
    let walks = [
        ("waiting", walk::WAYS, 2),
        ("waiting", walk::GROUPS, 5),
        ("waiting", walk::BEHIND, 7),
        ("waiting", due::NEXT_DUE, 3),
        ("leases", walk::EXPIRED, 2),
    ];
    for analyzed in [false, true] {
        for (index, sql, parameters) in walks {
            let plan = plan(&store, sql, parameters).await;
            assert!(plan.contains(&format!("using {index} on messages")), "{sql}\n{plan}");
            assert!(!plan.contains("Seq Scan on messages"), "{sql}\n{plan}");
            assert!(!plan.contains("Sort"), "{sql}\n{plan}");
        }
        for (sql, parameters) in
            [(claim::TAKE, 4), (begin::BEGIN_CALLS, 8), (settle::SETTLE, 30), (walk::MEMBERS, 1)]
        {
            let plan = plan(&store, sql, parameters).await;
            assert!(!plan.contains("Seq Scan on messages"), "{sql}\n{plan}");
            assert!(!plan.contains("Seq Scan on bodies"), "{sql}\n{plan}");
            assert!(!plan.contains("Seq Scan on attempts"), "{sql}\n{plan}");
        }
        let settle = plan(&store, settle::SETTLE, 30).await;
        assert_eq!(settle.matches("hashed SubPlan").count(), 2, "not each with each:\n{settle}");
        if !analyzed {
            fill(server, &database, 20_000);
            server.sql(&database, "ANALYZE");
        }
    }
}

/// Puts so many waiting messages of a thousand senders into the tables.
fn fill(server: &server::Server, database: &str, messages: u32) {
    let fill = format!(
        "INSERT INTO messages (id, state, due_at, lease, deferrals, received_at, trying_since, recipients, smtp_utf8, \
         header_from, subject, message_id, size, may_steer, way, bulk, share) \
         SELECT ('01890000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 0, n, 0, 0, n, n, '[]', false, \
         '', '', '', 0, false, 'default#00000001', n % 10 = 0, n % 1000 FROM generate_series(1, {messages}) AS n"
    );
    server.sql(database, &fill);
}

#[tokio::test]
async fn a_claim_reads_about_as_much_as_it_hands_out() {
    let Some(server) = server() else { return };
    let database = server.database();
    let store = PostgresStore::open(settings(&database, ROOMY)).await.unwrap();
    fill(server, &database, 30_000);
    // Without contents they fail, each with its reason; all that matters is how many were locked.
    let claims = store.claim(up_to(50), at(0), lease(600)).await.unwrap();
    assert_eq!(claims.len(), 0);
    let touched =
        server.sql(&database, "SELECT count(*) FROM messages WHERE xmax <> 0 OR state = 3");
    let touched: u32 = touched.parse().unwrap();
    assert!((50..=120).contains(&touched), "{touched}");
}
