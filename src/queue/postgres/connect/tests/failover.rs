//! A primary and its standby.

use super::server::Server;
use super::*;

#[tokio::test]
async fn the_standby_that_was_promoted_is_found() {
    if !is_installed() {
        return;
    }
    let mut primary = Server::start(&[]);
    let standby = primary.standby(&[]);
    primary.wait_for_standby();
    // The standby first: it takes no changes.
    let hosts = format!("127.0.0.1:{},127.0.0.1:{}", standby.port, primary.port);
    for target in ["read-write", "primary"] {
        let url = format!("postgres://postgres@{hosts}/postgres?target_session_attrs={target}");
        let client = dial(&url).await.unwrap();
        let row = client.query_one("SELECT pg_is_in_recovery()", &[]).await.unwrap();
        assert!(!row.get::<_, bool>(0), "{target}");
    }
    let alone = format!("{}?target_session_attrs=read-write", standby.url("postgres"));
    let fault = dial(&alone).await.unwrap_err();
    assert!(fault.text().contains("takes no changes") && !fault.is_refusal(), "{}", fault.text());

    let connections = connections(&format!("postgres://postgres@{hosts}/postgres"));
    connections.start().await.unwrap();
    let lone = connections.alone(Role::Inserts).await.unwrap();
    lone.batch_execute("CREATE TABLE kept (x int); INSERT INTO kept VALUES (1)").await.unwrap();
    primary.stop("immediate");
    wait_until("the end is noticed", async || lone.is_closed()).await;
    standby.promote();
    wait_until("the new primary lets it in", async || {
        let Ok(client) = connections.get().await else { return false };
        client.execute("INSERT INTO kept VALUES (2)", &[]).await.is_ok()
    })
    .await;
    assert_eq!(
        standby.sql("postgres", "SELECT count(*) FROM kept"),
        "2",
        "nothing acknowledged is lost"
    );
}
