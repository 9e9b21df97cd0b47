//! Servers that go away and come back, are full, or are the wrong ones.

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;

use super::server::Server;
use super::*;

async fn text(connections: &Connections) -> String {
    match connections.get().await {
        Ok(_) => "let in".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn faults_of_the_configuration_are_named_at_once() {
    if !is_installed() {
        return;
    }
    let server = server::common();
    let nowhere = connections(&server.url("nowhere"));
    let error = nowhere.start().await.unwrap_err().to_string();
    assert!(error.contains("there is no such database"), "{error}");
    let database = server.database();
    server.sql(&database, "REVOKE CREATE ON SCHEMA public FROM PUBLIC");
    server.sql(&database, "CREATE ROLE powerless LOGIN");
    let url = server.url(&database).replace("postgres@", "powerless@");
    let error = connections(&url).start().await.unwrap_err().to_string();
    assert!(error.contains("may not make tables in the schema public"), "{error}");
}

#[tokio::test]
async fn a_database_that_is_away_at_the_start_is_waited_for() {
    if !is_installed() {
        return;
    }
    let mut server = Server::start(&[]);
    let database = server.database();
    server.stop("fast");
    let connections = connections(&server.url(&database));
    connections.start().await.unwrap();
    let said = text(&connections).await;
    assert!(said.contains("is it running?"), "{said}");
    let error = connections.alone(Role::Inserts).await.unwrap_err().to_string();
    assert!(error.contains("is it running?"), "{error}");
    server.resume();
    wait_until("it is let in", async || connections.get().await.is_ok()).await;
    assert!(connections.alone(Role::Inserts).await.is_ok());
    let tables = "SELECT count(*) FROM pg_tables WHERE tablename = 'messages'";
    assert_eq!(server.sql(&database, tables), "1", "the schema was made meanwhile");
}

#[tokio::test]
async fn a_restart_is_survived() {
    if !is_installed() {
        return;
    }
    let mut server = Server::start(&[]);
    let connections = connections(&server.url("postgres"));
    connections.start().await.unwrap();
    let held = connections.get().await.unwrap();
    let alone = connections.alone(Role::Claims).await.unwrap();
    server.stop("immediate");
    assert!(held.simple_query("SELECT 1").await.is_err());
    drop(held);
    wait_until("it is noticed", async || alone.is_closed()).await;
    let began = Instant::now();
    let said = text(&connections).await;
    assert!(began.elapsed() < Duration::from_secs(4), "nobody waits for what is gone");
    assert!(said.contains("database"), "{said}");
    server.resume();
    wait_until("it is let in", async || connections.get().await.is_ok()).await;
}

#[tokio::test]
async fn a_connection_that_was_ended_is_replaced() {
    if !is_installed() {
        return;
    }
    let server = server::common();
    let database = server.database();
    let connections = connections(&server.url(&database));
    connections.start().await.unwrap();
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
               WHERE datname = current_database() AND pid <> pg_backend_pid()";
    assert_ne!(server.sql(&database, end), "0");
    wait_until("another one answers", async || match connections.get().await {
        Ok(client) => client.simple_query("SELECT 1").await.is_ok(),
        Err(_) => false,
    })
    .await;
}

#[tokio::test]
async fn somebody_who_answers_nothing_is_not_waited_for_long() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut taken = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            taken.push(stream);
        }
    });
    let began = Instant::now();
    let fault = dial(&format!("postgres://u@127.0.0.1:{port}/x?connect_timeout=1&sslmode=disable"))
        .await
        .unwrap_err();
    assert_eq!(fault.text(), "the database does not answer");
    assert!(!fault.is_refusal() && began.elapsed() < Duration::from_secs(8));
}

#[tokio::test]
async fn a_server_that_falls_silent_is_given_up() {
    if !is_installed() {
        return;
    }
    // A proxy that goes on confirming what it does not pass on any more.
    let server = server::common();
    let target = server.port;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (cut, is_cut) = watch::channel(false);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut is_cut = is_cut.clone();
            tokio::spawn(async move {
                let mut behind =
                    tokio::net::TcpStream::connect(("127.0.0.1", target)).await.unwrap();
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut client, &mut behind) => {}
                    true = async { is_cut.wait_for(|cut| *cut).await.is_ok() } => {
                        let mut swallowed = Vec::new();
                        let _ = client.read_to_end(&mut swallowed).await;
                    }
                }
            });
        }
    });
    let url: DatabaseUrl =
        format!("postgres://postgres@127.0.0.1:{port}/postgres").parse().unwrap();
    let (_give_up, given_up) = watch::channel(0);
    let manner = Manner { name: "test", statement: Some(Duration::from_secs(1)) };
    let dialled = Dialer::new(url, given_up).dial(manner, None).await.unwrap();
    tokio::spawn(dialled.running);
    dialled.client.simple_query("SELECT 1").await.unwrap();
    cut.send_replace(true);
    let asked = timeout(Duration::from_secs(20), dialled.client.simple_query("SELECT 1")).await;
    assert!(asked.expect("it does not hang").is_err());
}

#[tokio::test]
async fn a_statement_that_takes_too_long_is_ended_by_the_server() {
    if !is_installed() {
        return;
    }
    let url: DatabaseUrl = server::common().url("postgres").parse().unwrap();
    let (_give_up, given_up) = watch::channel(0);
    let manner = Manner { name: "test", statement: Some(Duration::from_millis(200)) };
    let dialled = Dialer::new(url, given_up).dial(manner, None).await.unwrap();
    tokio::spawn(dialled.running);
    let error = dialled.client.simple_query("SELECT pg_sleep(60)").await.unwrap_err();
    assert_eq!(super::super::super::fault::explain(&error), "the database took too long");
    assert!(!dialled.client.is_closed(), "the connection is still good");
}

#[tokio::test]
async fn a_server_without_a_free_connection_is_waited_for() {
    if !is_installed() {
        return;
    }
    let server = Server::start(&[
        "max_connections=4",
        "superuser_reserved_connections=0",
        "max_wal_senders=0",
    ]);
    let mut all = Vec::new();
    let fault = loop {
        match dial(&server.url("postgres")).await {
            Ok(client) => all.push(client),
            Err(fault) => break fault,
        }
        assert!(all.len() < 9);
    };
    assert!(fault.text().contains("no connection left"), "{}", fault.text());
    assert!(!fault.is_refusal());
}

#[tokio::test]
async fn no_instance_has_more_connections_than_it_says() {
    if !is_installed() {
        return;
    }
    let server = server::common();
    let database = server.database();
    let connections = connections(&server.url(&database));
    connections.start().await.unwrap();
    let mut lasting = Vec::new();
    for role in LASTING {
        lasting.push(connections.alone(role).await.unwrap());
    }
    let (mut lent, mut lasting_short) = (Vec::new(), Vec::new());
    for _ in 0..POOL_MAX {
        lent.push(connections.get().await.unwrap());
    }
    for _ in 0..SHORT_MAX {
        lasting_short.push(connections.short().await.expect("it does not wait for the others"));
    }
    let late = connections.clone();
    let late = tokio::spawn(async move { late.get().await.is_ok() });
    let names = server.sql(
        &database,
        "SELECT string_agg(DISTINCT application_name, ', ' ORDER BY application_name) \
         FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'mailferry%'",
    );
    let expected = "mailferry claims, mailferry inserts, mailferry listener, mailferry pool, mailferry settlements, \
         mailferry short";
    assert_eq!(names, expected);
    let count = server.sql(
        &database,
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'mailferry%'",
    );
    assert_eq!(count, CONNECTIONS_MAX.to_string());
    drop(lent);
    assert!(late.await.unwrap(), "whoever waits gets one that came back");
}

#[tokio::test]
async fn all_are_given_up_when_the_server_takes_no_changes_any_more() {
    if !is_installed() {
        return;
    }
    let server = Server::start(&[]);
    let connections = connections(&server.url("postgres"));
    connections.start().await.unwrap();
    let alone = connections.alone(Role::Inserts).await.unwrap();
    server.sql("postgres", "ALTER SYSTEM SET default_transaction_read_only = on");
    server.sql("postgres", "SELECT pg_reload_conf()");
    wait_until("all is given up", async || alone.is_closed()).await;
    wait_until("it is said why", async || text(&connections).await.contains("takes no changes"))
        .await;
    server.sql("postgres", "BEGIN READ WRITE; COMMIT; ");
    server.sql("postgres", "ALTER SYSTEM RESET default_transaction_read_only");
    server.sql("postgres", "SELECT pg_reload_conf()");
    wait_until("it is let in again", async || connections.get().await.is_ok()).await;
}

#[tokio::test]
async fn the_clock_shows_the_databases_time() {
    if !is_installed() {
        return;
    }
    let server = server::common();
    let connections = connections(&server.url(&server.database()));
    connections.start().await.unwrap();
    let shown = connections.clock().now().as_millisecond();
    let theirs =
        server.sql("postgres", "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint");
    let theirs: i64 = theirs.parse().unwrap();
    assert!((theirs - shown).abs() < 10_000, "{shown} against {theirs}");
}
