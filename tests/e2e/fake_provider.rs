//! The fake provider does what the suites rely on.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::fake::{Behaviour, FakeProvider, INACTIVE, Service};

fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().user_agent("test").build().unwrap()
}

async fn post(fake: &FakeProvider, key: &str, subject: &str) -> reqwest::Result<(u16, String)> {
    let body = json!({"from": "a@sender.example", "to": ["b@rcpt.example"], "subject": subject});
    let request = client().post(format!("{}/emails", fake.url())).bearer_auth("re_x");
    let response = request.header("Idempotency-Key", key).json(&body).send().await?;
    Ok((response.status().as_u16(), response.text().await?))
}

#[tokio::test]
async fn resend_gives_a_repeated_key_the_first_answer_again() {
    let fake = FakeProvider::resend().await;
    let first = post(&fake, "k", "one").await.unwrap();
    assert_eq!(first.0, 200);
    assert_eq!(post(&fake, "k", "one").await.unwrap(), first);
    assert_eq!(fake.mail_count(), 1);
    assert_eq!(fake.calls().len(), 2);
    assert_eq!(fake.mails()[0].key.as_deref(), Some("k"));
    assert!(first.1.contains(&fake.mails()[0].id));
}

#[tokio::test]
async fn resend_refuses_a_key_with_another_body() {
    let fake = FakeProvider::resend().await;
    post(&fake, "k", "one").await.unwrap();
    let (status, body) = post(&fake, "k", "two").await.unwrap();
    assert_eq!(status, 409);
    assert!(body.contains("invalid_idempotent_request"), "{body}");
    assert_eq!(fake.mail_count(), 1);
}

#[tokio::test]
async fn resend_refuses_a_key_that_is_in_flight() {
    let fake = FakeProvider::resend().await;
    fake.then([Behaviour::Slow(Duration::from_millis(300))]);
    let (one, two) = tokio::join!(post(&fake, "k", "one"), post(&fake, "k", "one"));
    let mut answers = [one.unwrap(), two.unwrap()];
    answers.sort();
    assert_eq!(answers[0].0, 200);
    assert_eq!(answers[1].0, 409);
    assert!(answers[1].1.contains("concurrent_idempotent_requests"));
    assert_eq!(fake.mail_count(), 1);
}

#[tokio::test]
async fn a_lost_answer_is_a_mail_that_left() {
    let fake = FakeProvider::resend().await;
    fake.then([Behaviour::LoseAnswer]);
    assert!(post(&fake, "k", "one").await.is_err());
    assert_eq!(fake.mail_count(), 1);
    assert_eq!(post(&fake, "k", "one").await.unwrap().0, 200);
    assert_eq!(fake.mail_count(), 1);
}

#[tokio::test]
async fn torn_connections_carry_no_mail() {
    let fake = FakeProvider::resend().await;
    let torn = [Behaviour::ResetEarly, Behaviour::ResetLate, Behaviour::Garbage];
    let count = torn.len();
    fake.then(torn);
    for _ in 0..count {
        assert!(post(&fake, "k", "one").await.is_err());
    }
    assert_eq!(fake.mail_count(), 0);
    assert_eq!(fake.calls().len(), count);
}

#[tokio::test]
async fn an_endless_answer_has_a_good_head_and_no_end() {
    let fake = FakeProvider::resend().await;
    fake.then([Behaviour::Huge]);
    let read = tokio::time::timeout(Duration::from_millis(300), post(&fake, "k", "one")).await;
    assert!(read.is_err(), "the body came to an end");
    assert_eq!(fake.mail_count(), 1);
}

#[tokio::test]
async fn a_black_hole_never_answers() {
    let fake = FakeProvider::resend().await;
    fake.behave(Behaviour::Hang);
    let waited = tokio::time::timeout(Duration::from_millis(200), post(&fake, "k", "one")).await;
    assert!(waited.is_err());
    assert_eq!(fake.mail_count(), 0);
}

#[tokio::test]
async fn behaviours_are_used_up_in_order_and_then_the_standing_one_holds() {
    let fake = FakeProvider::resend().await;
    fake.behave(Behaviour::answer(500, "{}"));
    fake.then([Behaviour::answer(503, "{}"), Behaviour::Normal]);
    let mut statuses = Vec::new();
    for i in 0..4 {
        statuses.push(post(&fake, &i.to_string(), "one").await.unwrap().0);
    }
    assert_eq!(statuses, [503, 200, 500, 500]);
}

#[tokio::test]
async fn a_request_without_what_resend_demands_is_refused() {
    let fake = FakeProvider::resend().await;
    let url = format!("{}/emails", fake.url());
    let bare = client().post(&url).json(&json!({})).send().await.unwrap();
    assert_eq!(bare.status(), 401);
    let empty = client().post(&url).bearer_auth("re_x").json(&json!({})).send().await.unwrap();
    assert_eq!(empty.status(), 422);
    assert_eq!(fake.mail_count(), 0);
    fake.take_faults();
}

#[tokio::test]
async fn a_request_that_is_not_as_described_is_found() {
    let fake = FakeProvider::resend().await;
    if Service::Resend.description().is_none() {
        return;
    }
    post(&fake, "k", "as described").await.unwrap();
    assert_eq!(fake.take_faults(), Vec::<String>::new());
    post(&fake, &"k".repeat(300), "a long key").await.unwrap();
    let body = json!({"from": "a@x.org", "to": ["b@x.org"], "subject": "s", "subjekt": "s"});
    let emails = format!("{}/emails", fake.url());
    client().post(&emails).bearer_auth("re_x").json(&body).send().await.unwrap();
    client().post(&emails).bearer_auth("re_x").body("{}").send().await.unwrap();
    client().get(format!("{}/nowhere", fake.url())).send().await.unwrap();
    let faults = fake.take_faults().join("\n");
    for word in ["300 octets", "/subjekt", "content-type: None", "GET /nowhere"] {
        assert!(faults.contains(word), "{word} is missing: {faults}");
    }

    // And without a question it fails the test.
    client().get(format!("{}/nowhere", fake.url())).send().await.unwrap();
    assert!(std::panic::catch_unwind(AssertUnwindSafe(|| drop(fake))).is_err());
}

#[tokio::test]
async fn sendgrid_and_ses_take_mail_in_their_own_way() {
    let sendgrid = FakeProvider::start(Service::SendGrid).await;
    let body = json!({
        "personalizations": [{"to": [{"email": "b@rcpt.example"}]}],
        "from": {"email": "a@sender.example"},
        "subject": "s",
        "content": [{"type": "text/plain", "value": "x"}],
    });
    let url = format!("{}/v3/mail/send", sendgrid.url());
    let taken = client().post(url).bearer_auth("SG.x").json(&body).send().await.unwrap();
    assert_eq!(taken.status(), 202);
    assert_eq!(taken.headers()["x-message-id"], sendgrid.mails()[0].id);

    let ses = FakeProvider::start(Service::Ses).await;
    let url = format!("{}/v2/email/outbound-emails", ses.url());
    let body = json!({"Content": {"Raw": {"Data": "aGk="}}});
    let unsigned = client().post(&url).json(&body).send().await.unwrap();
    assert_eq!(unsigned.status(), 403);
    let signed = client().post(&url).header("authorization", "AWS4-HMAC-SHA256 Credential=x");
    assert_eq!(signed.json(&body).send().await.unwrap().status(), 200);
    assert_eq!(ses.mail_count(), 1);
}

#[tokio::test]
async fn postmark_takes_mail_in_its_own_way() {
    let fake = FakeProvider::start(Service::Postmark).await;
    let send = async |body: Value, token: &str| {
        let url = format!("{}/email", fake.url());
        let request = client().post(url).header("x-postmark-server-token", token).json(&body);
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.json::<Value>().await.unwrap()["ErrorCode"].as_u64().unwrap())
    };
    let token = "5f2c7a10-0000-4000-8000-0000000000aa";
    let mail = |to: &str| json!({"From": "a@x.org", "To": to, "Subject": "s", "TextBody": "x"});
    let gone = format!("b{INACTIVE}");
    assert_eq!(send(mail("b@y.org"), "short").await, (401, 10));
    assert_eq!(send(mail("b@y.org"), token).await, (200, 0));
    assert_eq!(send(mail(&gone), token).await, (422, 406));
    assert_eq!(send(mail(&format!("B <{gone}>, c@y.org")), token).await, (200, 0));
    assert_eq!(fake.mail_count(), 2);
    assert_eq!(fake.take_faults(), Vec::<String>::new());

    let mut empty = mail("b@y.org");
    empty["TextBody"] = json!("");
    assert_eq!(send(empty, token).await, (422, 300));
    let mut dated = mail("b@y.org");
    dated["Headers"] = json!([{"Name": "Date", "Value": "x"}]);
    assert_eq!(send(dated, token).await, (422, 300));
    let faults = fake.take_faults().join("\n");
    assert!(faults.contains("/TextBody") && faults.contains("/Headers/0/Name"), "{faults}");
}

#[tokio::test]
async fn probes_have_a_behaviour_of_their_own() {
    let fake = FakeProvider::resend().await;
    fake.behave(Behaviour::answer(500, "{}"));
    let url = format!("{}/domains", fake.url());
    assert_eq!(client().get(&url).send().await.unwrap().status(), 200);
    fake.answer_probes(Behaviour::answer(401, "{}"));
    assert_eq!(client().get(&url).send().await.unwrap().status(), 401);
    assert_eq!((fake.probes().len(), fake.calls().len()), (2, 0));
}
