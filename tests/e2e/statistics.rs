//! `/api/v1/stats` after traffic that is known; and lists of messages, read page by page while mail comes in.

use serde_json::{Value, json};

use crate::support::fake::{Behaviour, FakeProvider};
use crate::support::http::Api;
use crate::support::relay::Setup;
use crate::support::smtp::{self, Mail};
use crate::support::wait;

/// The counts, when as many have ended as are expected. They are written every few seconds.
async fn counted(api: &Api, ended: u64) -> Value {
    wait::until("the counts are written", async || {
        let stats = api.get("/api/v1/stats?window=1h").await.json();
        let of = |name: &str| stats["totals"][name].as_u64().unwrap();
        (of("delivered") + of("failed") + of("cancelled") >= ended).then_some(stats)
    })
    .await
}

/// The sum of a count over all steps.
fn sum(steps: &Value, count: &str) -> u64 {
    steps.as_array().unwrap().iter().map(|step| step[count].as_u64().unwrap()).sum()
}

#[tokio::test]
async fn what_happened_is_counted_for_the_relay_and_for_the_provider() {
    let fake = FakeProvider::resend().await;
    let relay = Setup::resend(&fake).start().await;
    let api = &relay.http;
    // Three at once; one at the second call; two are refused.
    for number in 0..3 {
        let id = smtp::submit(relay.smtp, &Mail::about(&format!("good-{number}"))).await;
        api.until_message_is(&id, "delivered").await;
    }
    fake.then([Behaviour::answer(500, "{}")]);
    let id = smtp::submit(relay.smtp, &Mail::about("late")).await;
    api.until_message_is(&id, "delivered").await;
    for number in 0..2 {
        fake.then([Behaviour::resend_error(422, "validation_error", "Invalid `to` field.")]);
        let id = smtp::submit(relay.smtp, &Mail::about(&format!("bad-{number}"))).await;
        api.until_message_is(&id, "failed").await;
    }

    let stats = counted(api, 6).await;
    let totals = &stats["totals"];
    for (name, count) in [("received", 6), ("delivered", 4), ("failed", 2), ("cancelled", 0)] {
        assert_eq!(totals[name], count, "{name}: {totals}");
        assert_eq!(sum(&stats["steps"], name), count, "{name} in steps");
    }
    assert!(totals["delivery_ms"]["p50"].is_u64(), "{totals}");
    assert_eq!(stats["step_seconds"], 60);
    let [resend] = &stats["providers"].as_array().unwrap()[..] else { panic!("{stats}") };
    assert_eq!(resend["name"], "resend");
    let calls = &resend["totals"];
    assert_eq!((&calls["delivered"], &calls["failed"]), (&json!(4), &json!(2)), "{calls}");
    let expected = json!({"delivered": 4, "temporary": 1, "rejected": 2});
    assert_eq!(calls["attempts"], expected);
    assert!(calls["latency_ms"]["p95"].as_u64() >= calls["latency_ms"]["p50"].as_u64(), "{calls}");
    assert_eq!(fake.calls().len(), 7);

    // They are kept over a restart, and go on.
    let relay = relay.stop().await.start().await;
    fake.behave(Behaviour::answer(503, "{}"));
    let id = smtp::submit(relay.smtp, &Mail::about("waits")).await;
    relay.http.until_attempt_is(&id, "temporary").await;
    wait::until("it is cancelled between two calls", async || {
        let answer = relay.http.post(&format!("/api/v1/messages/{id}/cancel"), &json!({})).await;
        (answer.status == 200).then_some(())
    })
    .await;
    let stats = counted(&relay.http, 7).await;
    let of = |name: &str| stats["totals"][name].clone();
    assert_eq!([of("received"), of("cancelled")], [json!(7), json!(1)], "{stats}");
}

#[tokio::test]
async fn messages_are_read_page_by_page_without_gaps_while_mail_comes_in() {
    let fake = FakeProvider::resend().await;
    let relay = Setup::resend(&fake).start().await;
    let mut session = smtp::Session::open(relay.smtp).await.unwrap();
    let mut expected = Vec::new();
    for number in 0..25 {
        let mail = Mail::about(&format!("page-{number}"));
        expected.push(session.send(&mail).await.unwrap().queue_id());
    }
    expected.reverse();
    for limit in [1, 7, 25, 500] {
        let mut seen: Vec<String> = Vec::new();
        let mut before = String::new();
        loop {
            let path = format!("/api/v1/messages?q=page-&limit={limit}{before}");
            let page = relay.http.get(&path).await.json();
            let messages = page["messages"].as_array().unwrap();
            assert!(messages.len() <= limit, "{page}");
            seen.extend(messages.iter().map(|it| it["id"].as_str().unwrap().to_owned()));
            let Some(next) = page["next"].as_str() else { break };
            assert!(seen.len() < expected.len() + limit, "it does not end");
            before = format!("&before={next}");
            // What is newer than the first page does not move the others.
            session.send(&Mail::about("something else")).await.unwrap().queue_id();
        }
        assert_eq!(seen, expected, "{limit} on a page");
    }
}
