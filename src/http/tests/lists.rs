//! Suppressions and counters, as a program asks for them.

use serde_json::json;

use super::client::{Answer, ask};
use super::{FakeStore, Running, Setup, sample};
use crate::queue::{Sample, Store};

const JSON: (&str, &str) = ("Content-Type", "application/json");
const LIST: &str = "/api/v1/suppressions";

impl Running {
    async fn suppress(&self, address: &str) -> Answer {
        let body = json!({ "address": address, "reason": "bounced", "note": "550 no such user" });
        self.post(LIST, &[JSON], body.to_string().as_bytes()).await
    }

    async fn delete(&self, path: &str) -> Answer {
        ask(self.address, "DELETE", path, &[], b"").await
    }
}

fn addresses(page: &Answer) -> Vec<String> {
    let page = page.json();
    let entries = page["suppressions"].as_array().unwrap().iter();
    entries.map(|entry| entry["address"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn an_address_goes_on_the_list_once_and_comes_off() {
    let server = Setup::default().start().await;
    let answer = server.suppress("Ada@Example.org").await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let entry = answer.json();
    assert_eq!(
        (&entry["address"], &entry["reason"], &entry["note"]),
        (&json!("Ada@Example.org"), &json!("bounced"), &json!("550 no such user"))
    );
    assert_eq!(server.suppress("Ada@example.ORG").await.status, 200);
    assert_eq!(addresses(&server.get(LIST).await), ["Ada@example.ORG"]);

    assert_eq!(server.delete(&format!("{LIST}/Ada%40example.org")).await.status, 204);
    let again = server.delete(&format!("{LIST}?address=Ada@example.org")).await;
    assert_eq!((again.status, again.code()), (404, "not_found".to_owned()));
    server.suppress("bob@example.org").await;
    let gone = server.delete(&format!("{LIST}?address=bob%40EXAMPLE.org")).await;
    assert_eq!((gone.status, gone.body.len()), (204, 0));
    assert_eq!(server.get(LIST).await.json(), json!({ "suppressions": [], "next": null }));
}

#[tokio::test]
async fn the_list_comes_in_pages_and_can_be_searched() {
    let server = Setup::default().start().await;
    for name in ["a", "b", "c", "d", "e"] {
        server.suppress(&format!("{name}@example.org")).await;
    }
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    for _ in 0..4 {
        let page = server.get(&format!("{LIST}?limit=2{cursor}")).await;
        seen.extend(addresses(&page));
        match page.json()["next"].as_str() {
            Some(next) => cursor = format!("&before={next}"),
            None => break,
        }
    }
    seen.sort();
    assert_eq!(seen.len(), 5);
    seen.dedup();
    assert_eq!(seen.len(), 5);
    let found = server.get(&format!("{LIST}?q=C%40exa&reason=bounced")).await;
    assert_eq!(addresses(&found), ["c@example.org"]);
    assert!(addresses(&server.get(&format!("{LIST}?reason=manual")).await).is_empty());
    for query in ["reason=x", "before=x", "limit=0", "state=failed"] {
        let answer = server.get(&format!("{LIST}?{query}")).await;
        assert_eq!((answer.status, answer.code()), (400, "invalid_query".to_owned()), "{query}");
    }
}

#[tokio::test]
async fn what_is_no_address_is_told() {
    let server = Setup::default().start().await;
    let answer = server.suppress("ada").await;
    assert_eq!((answer.status, answer.code()), (400, "invalid_field".to_owned()));
    for (path, status, code) in [
        ("/api/v1/suppressions/ada", 404, "not_found"),
        ("/api/v1/suppressions/%ff", 404, "not_found"),
        ("/api/v1/suppressions", 400, "invalid_query"),
        ("/api/v1/suppressions?address=ada", 400, "invalid_query"),
    ] {
        let answer = server.delete(path).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{path}");
    }
}

#[tokio::test]
async fn counters_are_shown_in_steps_for_the_window_that_is_asked_for() {
    let store = FakeStore::default();
    let at = sample::now().as_second() - 90;
    let counted = |provider: &str| Sample {
        at,
        provider: provider.to_owned(),
        received: 5,
        delivered: 4,
        ..Sample::default()
    };
    store.statistics().add(vec![counted(""), counted("resend")]).await.unwrap();
    let server = Setup { store, ..Setup::default() }.start().await;
    let stats = server.get("/api/v1/stats?window=1h").await.json();
    assert_eq!(stats["step_seconds"], 60);
    assert_eq!(stats["steps"].as_array().unwrap().len(), 60);
    assert_eq!(stats["steps"][57]["received"], 5, "{stats}");
    assert_eq!(stats["totals"]["received"], 5);
    assert_eq!(stats["providers"][0]["totals"]["delivered"], 4);
    let week = server.get("/api/v1/stats?window=7d").await.json();
    assert_eq!((&week["totals"]["delivered"], &week["step_seconds"]), (&json!(4), &json!(7_200)));
    assert_eq!(server.get("/api/v1/stats").await.json()["step_seconds"], 900);
    for query in ["window=1", "window=900d", "step=60"] {
        let answer = server.get(&format!("/api/v1/stats?{query}")).await;
        assert_eq!((answer.status, answer.code()), (400, "invalid_query".to_owned()), "{query}");
    }
}

#[tokio::test]
async fn strangers_see_and_change_nothing() {
    let server = Setup { token: "s3cret", ..Setup::default() }.start().await;
    for path in ["/api/v1/stats", LIST] {
        assert_eq!(server.get(path).await.status, 401, "{path}");
    }
    assert_eq!(server.suppress("ada@example.org").await.status, 401);
    assert_eq!(server.delete(&format!("{LIST}/ada@example.org")).await.status, 401);
}
