//! What the operator's address is told, and when nobody waits for it.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::scripted::{Scripted, World, pass, rules, settings};
use crate::clock::{Clock, SharedClock, SystemClock};
use crate::config::HookConfig;
use crate::delivery::Observers;
use crate::delivery::notices::{Event, Notices};
use crate::metrics::{Format, Metrics, Now};
use crate::provider::{Hook, HttpClient, Verdict};
use crate::queue::State;
use crate::secret::Secret;

const BOB: &[&str] = &["bob@example.net"];
const PASSING: Verdict = Verdict::Temporary { retry_after: None };

/// Two providers, and what is told about them.
struct Scene {
    first: Arc<Scripted>,
    world: World,
    notices: Notices,
    metrics: Metrics,
}

fn scene(first: Scripted, second: Scripted) -> Scene {
    let (first, second) = (Arc::new(first), Arc::new(second));
    let world = World::new(&[("resend", &first), ("sendgrid", &second)]);
    let Observers { metrics, notices, tally: _ } = world.delivery.0.observers.clone();
    notices.keep();
    Scene { first, world, notices, metrics }
}

impl Scene {
    async fn deliver(&self) -> String {
        let id = self.world.submit(BOB).await;
        let details = self.world.until(id, State::Delivered).await;
        details.summary.provider.unwrap()
    }

    fn told(&self) -> Vec<Value> {
        self.notices.told(self.world.clock.now())
    }

    fn kinds(&self) -> Vec<String> {
        self.told().iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect()
    }

    fn shows(&self, line: &str) -> bool {
        self.metrics.render(Now::default(), Format::OpenMetrics).lines().any(|own| own == line)
    }
}

#[tokio::test(start_paused = true)]
async fn a_failover_is_told_once_and_so_is_its_end() {
    let scene = scene(Scripted::new().always(Err(PASSING)), Scripted::new());
    scene.first.probe_says(Err(PASSING));
    for _ in 0..8 {
        assert_eq!(scene.deliver().await, "sendgrid");
    }
    let told = scene.told();
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(told[0]["type"], "provider.set_aside");
    assert_eq!(told[0]["data"]["provider"], "resend");
    assert_eq!(told[0]["data"]["state"], "down");
    assert!(told[0]["data"]["error"].as_str().unwrap().starts_with("499: "), "{told:?}");
    assert_eq!(told[1]["type"], "failover.began");
    let data = json!({"route": "default", "from": "resend", "to": "sendgrid", "reason": "down"});
    assert_eq!(told[1]["data"], data);
    assert!(told[1]["timestamp"].as_str().unwrap().starts_with("2026-11-21T00:"), "{told:?}");
    assert!(scene.shows(r#"mailferry_failovers_total{from="resend",to="sendgrid"} 1"#));

    pass(Duration::from_hours(1)).await;
    assert_eq!(scene.kinds(), [""; 0], "checks that fail are no news");
    scene.first.probe_says(Ok(()));
    scene.first.now_answers(Ok(()));
    pass(Duration::from_mins(2)).await;
    for _ in 0..3 {
        assert_eq!(scene.deliver().await, "resend");
    }
    let told = scene.told();
    let kinds: Vec<_> = told.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["provider.recovered", "failover.recovered"]);
    let data = json!({"route": "default", "provider": "resend", "from": "sendgrid"});
    assert_eq!(told[1]["data"], data);
    assert!(scene.shows(r#"mailferry_failovers_total{from="resend",to="sendgrid"} 1"#));
    let line = r#"mailferry_attempts_total{provider="resend",outcome="temporary"} 5"#;
    assert!(scene.shows(line));
    let line = r#"mailferry_messages_finished_total{provider="sendgrid",state="delivered"} 8"#;
    assert!(scene.shows(line));
    assert!(scene.shows("mailferry_delivery_seconds_count 11"));
}

#[tokio::test(start_paused = true)]
async fn a_stand_in_that_a_reload_makes_the_preferred_one_is_no_return() {
    let scene = scene(Scripted::new().always(Err(PASSING)), Scripted::new());
    scene.first.probe_says(Err(PASSING));
    for _ in 0..8 {
        assert_eq!(scene.deliver().await, "sendgrid");
    }
    assert_eq!(scene.kinds(), ["provider.set_aside", "failover.began"]);
    // Nothing else has changed: the lanes keep the providers that they have.
    let turned = [("sendgrid", &scene.first), ("resend", &scene.first)];
    scene.world.delivery.reload(settings(&turned, rules()));
    for _ in 0..3 {
        assert_eq!(scene.deliver().await, "sendgrid");
    }
    assert_eq!(scene.kinds(), [""; 0]);
    scene.first.probe_says(Ok(()));
    scene.first.now_answers(Ok(()));
    pass(Duration::from_hours(1)).await;
    assert_eq!(scene.deliver().await, "sendgrid");
    assert!(!scene.kinds().iter().any(|kind| kind.starts_with("failover")));
}

#[tokio::test(start_paused = true)]
async fn a_message_that_goes_elsewhere_by_itself_is_no_failover() {
    let scene = scene(Scripted::that_cannot_carry_it(), Scripted::new());
    assert_eq!(scene.deliver().await, "sendgrid");
    assert_eq!(scene.kinds(), [""; 0]);
    assert!(scene.shows(r#"mailferry_attempts_total{provider="resend",outcome="unfit"} 1"#));
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_fails_half_of_its_calls_is_set_aside() {
    let flaky = [Ok(()), Err(PASSING)].into_iter().cycle().take(60);
    let scene = scene(Scripted::new().answers(flaky), Scripted::new());
    let mut by_second = 0;
    for _ in 0..20 {
        let id = scene.world.submit(BOB).await;
        let details = scene.world.until(id, State::Delivered).await;
        by_second += usize::from(details.summary.provider.as_deref() == Some("sendgrid"));
    }
    let kinds = scene.kinds();
    assert!(kinds.contains(&"provider.set_aside".to_owned()), "{kinds:?}");
    assert!(by_second > 0, "others take over");
}

#[tokio::test(start_paused = true)]
async fn a_refused_key_is_told_with_what_to_do() {
    let scene = scene(Scripted::new().always(Err(Verdict::Misconfigured)), Scripted::new());
    scene.first.probe_says(Err(Verdict::Misconfigured));
    assert_eq!(scene.deliver().await, "sendgrid");
    let told = scene.told();
    assert_eq!(told[0]["data"]["state"], "misconfigured");
    assert!(told[0]["data"]["advice"].as_str().unwrap().starts_with("Mend the key"), "{told:?}");
    assert_eq!(told[1]["data"]["reason"], "misconfigured");
}

#[tokio::test(start_paused = true)]
async fn a_key_that_a_check_finds_refused_is_told() {
    let scene = scene(Scripted::new().always(Err(PASSING)), Scripted::new());
    scene.first.probe_says(Err(PASSING));
    for _ in 0..6 {
        scene.deliver().await;
    }
    assert_eq!(scene.kinds(), ["provider.set_aside", "failover.began"]);
    scene.first.probe_says(Err(Verdict::Misconfigured));
    pass(Duration::from_mins(10)).await;
    let told = scene.told();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0]["data"]["state"], "misconfigured");
}

#[tokio::test(start_paused = true)]
async fn a_failed_message_is_told_with_its_recipients_and_reasons() {
    let first = Scripted::new().answers([Ok(()), Err(Verdict::Rejected)]);
    let scene = scene(first, Scripted::new());
    let recipients = ["a@example.net", "b@example.net", "c@example.net"];
    let id = scene.world.submit(&recipients).await;
    scene.world.until(id, State::Failed).await;
    let told = scene.told();
    assert_eq!(told.len(), 1, "{told:?}");
    let data = &told[0]["data"];
    assert_eq!(told[0]["type"], "message.failed");
    assert_eq!(data["id"], id.to_string());
    assert_eq!(data["from"], "ada@example.org");
    assert_eq!(data["provider"], "resend");
    assert_eq!(data["recipients_total"], 3);
    assert_eq!(data["recipients"][0]["address"], "b@example.net", "{data}");
    assert_eq!(data["recipients"][0]["state"], "failed");
    let reason = data["recipients"][0]["reason"].as_str().unwrap();
    assert!(reason.starts_with("resend: 499"), "{reason}");
    assert_eq!(data["recipients"][1]["state"], "delivered");
    assert_eq!(data["error"], reason);
    let line = r#"mailferry_messages_finished_total{provider="resend",state="failed"} 1"#;
    assert!(scene.shows(line));
}

#[test]
fn a_subject_is_told_only_where_it_is_logged() {
    let event = |subject| Event::MessageFailed {
        id: crate::message::QueueId::from_bytes([1; 16]),
        from: "ada@example.org",
        recipients: Vec::new(),
        recipients_total: 0,
        subject,
        message_id: "",
        user: None,
        provider: None,
        error: "refused",
    };
    let json = |subject| serde_json::to_value(event(subject)).unwrap();
    assert_eq!(json(Some("hello"))["data"]["subject"], "hello");
    assert_eq!(json(None)["data"].get("subject"), None);
}

/// A receiver: reads each post, answers with the next status, and tells what came.
async fn receiver(statuses: Vec<u16>) -> (Arc<Hook>, mpsc::UnboundedReceiver<(String, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/events", listener.local_addr().unwrap());
    let (posts, came) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut statuses = statuses.into_iter();
        while let Ok((stream, _)) = listener.accept().await {
            let status = statuses.next().unwrap_or(200);
            let posts = posts.clone();
            tokio::spawn(async move {
                if let Some(post) = answer(stream, status).await {
                    let _ = posts.send(post);
                }
            });
        }
    });
    let secret = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    let config = HookConfig { url: url.parse().unwrap(), secret };
    let hook = Hook::new(&config, HttpClient::new().unwrap(), Arc::new(SystemClock)).unwrap();
    (Arc::new(hook), came)
}

/// One post on one connection: its id and its body.
async fn answer(mut stream: TcpStream, status: u16) -> Option<(String, Value)> {
    let mut bytes = Vec::new();
    let (head, body) = loop {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length: usize = header(head, "content-length")?.parse().ok()?;
        if body.len() >= length {
            break (head.to_owned(), body.to_owned());
        }
    };
    let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    stream.write_all(answer.as_bytes()).await.ok()?;
    Some((header(&head, "webhook-id")?.to_owned(), serde_json::from_str(&body).ok()?))
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = head.lines().filter_map(|line| line.split_once(": "));
    fields.find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

fn to(hook: Arc<Hook>) -> Notices {
    let notices = Notices::new();
    notices.set_hook(Some(hook), SystemClock.now());
    notices
}

fn run(notices: &Notices) -> (CancellationToken, tokio::task::JoinHandle<()>) {
    let clock: SharedClock = Arc::new(SystemClock);
    let (notices, stop) = (notices.clone(), CancellationToken::new());
    let running = tokio::spawn({
        let stop = stop.clone();
        async move { notices.run(clock, stop).await }
    });
    (stop, running)
}

fn tell(notices: &Notices, count: usize) {
    for _ in 0..count {
        notices.tell(&Event::ProviderRecovered { provider: "resend" }, SystemClock.now());
    }
}

#[tokio::test]
async fn a_thousand_events_are_told_each_under_its_own_id() {
    let (hook, mut came) = receiver(Vec::new()).await;
    let notices = to(hook);
    tell(&notices, 1_000);
    let (stop, running) = run(&notices);
    let mut ids = std::collections::HashSet::new();
    while ids.len() < 1_000 {
        let (id, post) = came.recv().await.unwrap();
        assert_eq!(post["type"], "provider.recovered");
        assert!(id.starts_with("mailferry-event-") && !id.contains('.'), "{id}");
        assert!(ids.insert(id), "told twice");
    }
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn the_end_waits_for_what_can_be_told_at_once() {
    let (hook, mut came) = receiver(Vec::new()).await;
    let notices = to(hook);
    tell(&notices, 10);
    let (stop, running) = run(&notices);
    stop.cancel();
    running.await.unwrap();
    for _ in 0..10 {
        came.recv().await.unwrap();
    }
}

#[tokio::test]
async fn what_one_address_does_not_take_goes_to_the_next_under_the_same_id() {
    let (broken, mut first) = receiver(vec![503]).await;
    let notices = to(broken);
    let (stop, running) = run(&notices);
    tell(&notices, 1);
    let (id, _) = first.recv().await.unwrap();
    let (hook, mut second) = receiver(Vec::new()).await;
    notices.set_hook(Some(hook), SystemClock.now());
    assert_eq!(second.recv().await.unwrap().0, id);
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn what_is_refused_is_not_posted_again_and_the_end_does_not_wait_for_what_must_wait() {
    let (hook, mut came) = receiver(vec![400, 503]).await;
    let notices = to(hook);
    tell(&notices, 1);
    let (stop, running) = run(&notices);
    let (refused, _) = came.recv().await.unwrap();
    tell(&notices, 1);
    let (put_off, _) = came.recv().await.unwrap();
    assert_ne!(refused, put_off);
    stop.cancel();
    running.await.unwrap();
    assert!(came.try_recv().is_err());
}

#[tokio::test]
async fn nobody_who_wants_to_know_is_told_nothing() {
    let notices = Notices::default();
    tell(&notices, 10);
    let (hook, mut came) = receiver(Vec::new()).await;
    notices.set_hook(Some(hook), SystemClock.now());
    let (stop, running) = run(&notices);
    tell(&notices, 1);
    came.recv().await.unwrap();
    stop.cancel();
    running.await.unwrap();
    assert!(came.try_recv().is_err());
}
