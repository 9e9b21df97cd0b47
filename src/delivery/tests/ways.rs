//! Routes by conditions, messages that go in parts, and what the queue is read for.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use tokio_util::sync::CancellationToken;

use super::counting::Counting;
use super::scripted::{Scripted, World, pass, rules, settings, submission};
use crate::clock::{SharedClock, TimerClock};
use crate::config::{Config, LoadOptions, Purpose, RouteConfig};
use crate::delivery::{Delivery, Settings};
use crate::message::Submission;
use crate::provider::Verdict;
use crate::queue::{MemoryStore, RecipientState, Retry, State, Store};

const PASSING: Verdict = Verdict::Temporary { retry_after: None };
const REFUSED: Result<(), Verdict> = Err(Verdict::Misconfigured);

/// Routes as an operator writes them.
pub(super) fn routes(toml: &str) -> Vec<RouteConfig> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mailferry.toml");
    let providers = ["resend", "ses"].map(|name| format!("[providers.{name}]\ntype = 'capture'\n"));
    std::fs::write(&file, format!("{}{toml}", providers.concat())).unwrap();
    let options = LoadOptions {
        file: Some(file),
        candidates: Vec::new(),
        environment: Vec::new(),
        purpose: Purpose::Serve,
    };
    Config::load(&options).unwrap().config.routes
}

/// By default mail goes by `resend`; that of routes may go by `ses`.
pub(super) fn with_routes(resend: &Arc<Scripted>, ses: &Arc<Scripted>, toml: &str) -> Settings {
    let mut settings = settings(&[("resend", resend), ("ses", ses)], rules());
    settings.lanes[1].in_route = false;
    settings.routes = routes(toml);
    settings
}

pub(super) fn dead() -> Arc<Scripted> {
    let dead = Arc::new(Scripted::new().always(REFUSED));
    dead.probe_says(REFUSED);
    dead
}

pub(super) fn mend(provider: &Scripted) {
    provider.now_answers(Ok(()));
    provider.probe_says(Ok(()));
}

pub(super) fn recipients(provider: &Scripted) -> Vec<String> {
    let mut all: Vec<String> = provider.seen().into_iter().flat_map(|it| it.recipients).collect();
    all.sort();
    all
}

pub(super) const KOREA: &str =
    "[[routes]]\nname = 'korea'\nproviders = 'ses'\nrecipient_domain = ['*.kr']\n";

#[tokio::test(start_paused = true)]
async fn recipients_go_by_their_own_routes_each_once() {
    let [resend, ses] = [(); 2].map(|()| Arc::new(Scripted::new()));
    let world = World::with(with_routes(&resend, &ses, KOREA));
    let id = world.submit(&["a@mail.kr", "b@example.net", "c@mail.kr"]).await;
    let details = world.until(id, State::Delivered).await;
    assert_eq!(recipients(&ses), ["a@mail.kr", "c@mail.kr"]);
    assert_eq!(recipients(&resend), ["b@example.net"]);
    assert!(details.attempts.iter().all(|attempt| !attempt.recipients.is_empty()));
    assert_eq!(details.summary.way.name(), "default+korea");
}

#[tokio::test(start_paused = true)]
async fn a_part_whose_provider_is_closed_does_not_hold_up_the_other() {
    for first in [["a@mail.kr", "b@example.net"], ["b@example.net", "a@mail.kr"]] {
        let (resend, ses) = (Arc::new(Scripted::new()), dead());
        let world = World::with(with_routes(&resend, &ses, KOREA));
        let id = world.submit(&first).await;
        pass(Duration::from_secs(1)).await;
        assert_eq!(recipients(&resend), ["b@example.net"]);
        let details = world.show(id).await;
        assert_eq!(details.summary.state, State::Queued);
        assert_eq!(details.summary.way.name(), "korea", "what is left of it");
        for recipient in &details.summary.recipients {
            let served = recipient.address.as_str() == "b@example.net";
            let expected = if served { RecipientState::Delivered } else { RecipientState::Queued };
            assert_eq!(recipient.state, expected, "{}", recipient.address);
        }
        mend(&ses);
        world.until(id, State::Delivered).await;
        assert_eq!(
            (resend.seen().len(), recipients(&ses)),
            (1, {
                let calls = ses.seen().len();
                vec!["a@mail.kr".to_owned(); calls]
            })
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_part_with_many_before_it_does_not_hold_up_the_other() {
    let resend = Arc::new(Scripted::new());
    let ses = Arc::new(Scripted::with_latency(Duration::from_secs(10)));
    let world = World::with(with_routes(&resend, &ses, KOREA));
    for _ in 0..40 {
        world.submit(&["x@mail.kr"]).await;
    }
    world.submit(&["a@mail.kr", "b@example.net"]).await;
    pass(Duration::from_secs(1)).await;
    assert_eq!(recipients(&resend), ["b@example.net"]);
}

#[tokio::test(start_paused = true)]
async fn a_part_that_is_refused_fails_alone_and_the_message_says_so() {
    let resend = Arc::new(Scripted::new());
    let ses = Arc::new(Scripted::new().always(Err(Verdict::Rejected)));
    let world = World::with(with_routes(&resend, &ses, KOREA));
    let id = world.submit(&["a@mail.kr", "b@example.net"]).await;
    let details = world.until(id, State::Failed).await;
    let states: Vec<_> = details.summary.recipients.iter().map(|it| it.state).collect();
    assert_eq!(states, [RecipientState::Failed, RecipientState::Delivered]);
}

#[tokio::test(start_paused = true)]
async fn a_part_that_is_given_up_leaves_the_other_alone() {
    let resend = Arc::new(Scripted::new());
    let ses = Arc::new(Scripted::new().always(Err(PASSING)));
    ses.probe_says(Err(PASSING));
    let mut settings = with_routes(&resend, &ses, KOREA);
    settings.rules.give_up_after = Duration::from_hours(1);
    let world = World::with(settings);
    for _ in 0..10 {
        world.submit(&["x@mail.kr"]).await;
    }
    let id = world.submit(&["a@mail.kr", "b@example.net"]).await;
    let details = world.until(id, State::Failed).await;
    let states: Vec<_> = details.summary.recipients.iter().map(|it| it.state).collect();
    assert_eq!(states, [RecipientState::Failed, RecipientState::Delivered]);
    assert!(details.summary.error.unwrap().contains("given up after"));
    assert_eq!(world.store.counts().await.unwrap().queued, 0);
}

#[tokio::test(start_paused = true)]
async fn a_header_decides_and_an_operator_decides_before_it() {
    let [resend, ses] = [(); 2].map(|()| Arc::new(Scripted::new()));
    let toml = "[[routes]]\nname = 'kind'\nproviders = 'ses'\nheader = { name = 'X-Kind', value = 'bulk*' }\n";
    let world = World::with(with_routes(&resend, &ses, toml));
    let plain = submission(&["a@example.net"]);
    let raw = Bytes::from([b"X-Kind: bulky\r\n".as_slice(), &plain.raw].concat());
    let id = world.intake.accept(Submission { raw, ..plain }).await.unwrap();
    world.until(id, State::Delivered).await;
    assert_eq!((resend.seen().len(), ses.seen().len()), (0, 1));

    let again = Retry {
        provider: Some("resend".to_owned()),
        recipients: vec!["a@example.net".parse().unwrap()],
    };
    world.store.retry(id, again, world.clock.now()).await.unwrap();
    world.delivery.wake();
    let details = world.until(id, State::Delivered).await;
    assert_eq!(details.summary.provider.as_deref(), Some("resend"));
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_the_answer_is_served_by_the_same_routes() {
    let [resend, ses] = [(); 2].map(|()| Arc::new(Scripted::new()));
    let world = World::with(with_routes(&resend, &ses, KOREA));
    let sent = world.delivery.send_now(submission(&["a@mail.kr"]), None).await.unwrap();
    assert_eq!(sent.provider, "ses");
    let both = submission(&["a@mail.kr", "b@example.net"]);
    let sent = world.delivery.send_now(both, None).await.unwrap();
    let details = world.show(sent.id).await;
    assert_eq!(details.summary.state, State::Delivered);
    assert_eq!((recipients(&resend).len(), recipients(&ses).len()), (1, 2));
    // A named provider takes all of it.
    let both = submission(&["a@mail.kr", "b@example.net"]);
    let sent = world.delivery.send_now(both, Some("ses")).await.unwrap();
    assert_eq!(world.show(sent.id).await.summary.way.name(), "provider-ses");
    assert_eq!((recipients(&resend).len(), recipients(&ses).len()), (1, 4));
}

#[tokio::test(start_paused = true)]
async fn a_hundred_thousand_that_wait_for_a_closed_route_are_left_in_peace_while_another_flows() {
    let resend = Arc::new(Scripted::with_latency(Duration::from_millis(20)));
    let ses = Arc::new(Scripted::with_latency(Duration::from_millis(500)).always(REFUSED));
    ses.probe_says(REFUSED);
    let start = "2026-11-21T00:00:00Z".parse().unwrap();
    let clock: SharedClock = Arc::new(TimerClock::starting_at(start));
    let store = Counting::new(Arc::new(MemoryStore::new(200_000)));
    let recorded = Arc::clone(&store) as Arc<dyn Store>;
    let delivery =
        Delivery::new(with_routes(&resend, &ses, KOREA), Some(recorded), clock, Rng::with_seed(7));
    let shutdown = CancellationToken::new();
    let running = tokio::spawn({
        let (delivery, shutdown) = (delivery.clone(), shutdown.clone());
        async move { delivery.run(shutdown, Duration::from_secs(30)).await }
    });
    let intake = delivery.queue_first();
    let waiting = 100_000;
    // The first ones show that the provider is closed.
    intake.accept(submission(&["a@mail.kr"])).await.unwrap();
    pass(Duration::from_secs(1)).await;
    for _ in 1..waiting {
        intake.accept(submission(&["a@mail.kr"])).await.unwrap();
    }
    let before = store.claimed().1;
    // More than memory takes, so that some of them come by the queue.
    for _ in 0..400 {
        intake.accept(submission(&["b@example.net"])).await.unwrap();
    }
    pass(Duration::from_secs(6)).await;
    assert_eq!(resend.seen().len(), 400);
    let handed_out = store.claimed().1 - before;
    assert!((1..=400).contains(&handed_out), "{handed_out} were read");
    let claims = store.claimed().0;
    assert!(claims < 100, "the queue was read {claims} times");
    assert_eq!(store.counts().await.unwrap().queued, waiting);

    // When it opens, its mail is read at once.
    mend(&ses);
    let refused = ses.seen().len();
    pass(Duration::from_secs(75)).await;
    let sent = ses.seen().len() - refused;
    assert!(sent > 50, "{sent} calls");
    shutdown.cancel();
    running.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn mail_of_ways_that_are_not_remembered_does_not_come_round_and_round() {
    let (resend, ses) = (Arc::new(Scripted::new()), dead());
    let letters = ["a", "b", "c", "d", "e", "f", "g"];
    let toml: String = letters
        .iter()
        .map(|it| {
            format!("[[routes]]\nname = '{it}'\nproviders = 'ses'\nrecipient_domain = '{it}.kr'\n")
        })
        .collect();
    let world = World::with(with_routes(&resend, &ses, &toml));
    let mut ids = Vec::new();
    for subset in 1_u32..128 {
        let chosen = letters.iter().enumerate().filter(|(at, _)| subset & (1 << at) != 0);
        let addresses: Vec<String> = chosen.map(|(_, it)| format!("x@{it}.kr")).collect();
        let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
        ids.push(world.submit(&addresses).await);
    }
    pass(Duration::from_secs(1)).await;
    let now = world.clock.now();
    let (mut waits, mut shut) = (0, 0);
    for id in &ids {
        let summary = world.show(*id).await.summary;
        assert_eq!(summary.state, State::Queued);
        if summary.next_attempt_at.unwrap() > now { waits += 1 } else { shut += 1 }
    }
    // Seven routes and 64 of their mixtures are known, and left out of reads.
    assert_eq!((waits, shut), (127 - 71, 71));
    mend(&ses);
    pass(Duration::from_mins(20)).await;
    for id in ids {
        assert_eq!(world.show(id).await.summary.state, State::Delivered);
    }
}
