//! Memory: how much mail is under way at the same time.

use std::sync::Arc;
use std::time::Duration;

use super::scripted::{Scripted, World, pass, rules, settings, submission_of};
use crate::delivery::{Cause, Delivery};
use crate::queue::{Entry, RecipientState, State, Store};

const MIB: usize = 1 << 20;
const BOB: &[&str] = &["bob@example.net"];
const SECOND: Duration = Duration::from_secs(1);

fn slow(latency: Duration) -> Arc<Scripted> {
    Arc::new(Scripted::with_latency(latency))
}

#[tokio::test(start_paused = true)]
async fn large_messages_go_as_far_as_there_is_room_and_all_of_them_arrive() {
    let provider = slow(SECOND);
    let world = World::new(&[("resend", &provider)]);
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(world.intake.accept(submission_of(25 * MIB, BOB)).await.unwrap());
    }
    for id in ids {
        world.until(id, State::Delivered).await;
    }
    assert_eq!(provider.calls_at_once(), 2, "of four slots");
    assert_eq!(provider.seen().len(), 5);
}

#[tokio::test(start_paused = true)]
async fn small_mail_does_not_wait_behind_large_mail() {
    let provider = slow(10 * SECOND);
    let world = World::new(&[("resend", &provider)]);
    for _ in 0..5 {
        world.intake.accept(submission_of(25 * MIB, BOB)).await.unwrap();
    }
    pass(SECOND).await;
    let small = world.intake.accept(submission_of(4096, BOB)).await.unwrap();
    // The two that were first have not ended yet.
    pass(10 * SECOND + SECOND / 2).await;
    assert_eq!(world.show(small).await.summary.state, State::Delivered);
    assert_eq!(world.store.counts().await.unwrap().queued, 0, "one waits for room, one is due");
}

#[tokio::test(start_paused = true)]
async fn small_mail_in_the_queue_passes_the_large_mail_before_it() {
    let provider = slow(SECOND);
    let world = World::new(&[("resend", &provider)]);
    world.delivery.wake();
    let mut large = Vec::new();
    for _ in 0..6 {
        large.push(world.intake.accept(submission_of(25 * MIB, BOB)).await.unwrap());
    }
    // Not from memory: it stands in the queue behind the large ones, like one that comes back to be tried again.
    let submission = submission_of(4096, BOB);
    let small = crate::message::Message {
        id: crate::message::QueueId::new(world.clock.now()),
        received_at: world.clock.now(),
        index: crate::message::IndexFields::read(&submission.raw),
        envelope: submission.envelope,
        raw: submission.raw,
        user: None,
        account: None,
        may_steer: true,
    };
    let id = small.id;
    world.store.insert(Entry::waiting(Arc::new(small))).await.unwrap();
    pass(2 * SECOND).await;
    assert_eq!(world.show(id).await.summary.state, State::Delivered);
    assert_ne!(world.show(large[5]).await.summary.state, State::Delivered);
    for id in large {
        world.until(id, State::Delivered).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_giant_goes_alone_and_is_not_overtaken_for_ever() {
    let provider = slow(SECOND);
    let world = World::new(&[("resend", &provider)]);
    world.intake.accept(submission_of(8 * MIB, BOB)).await.unwrap();
    pass(Duration::from_millis(1)).await;
    let giant = world.intake.accept(submission_of(80 * MIB, &["giant@example.net"])).await.unwrap();
    let mut later = Vec::new();
    for _ in 0..8 {
        // Messages of one moment come in any order.
        pass(Duration::from_millis(1)).await;
        later.push(world.intake.accept(submission_of(8 * MIB, BOB)).await.unwrap());
    }
    world.until(giant, State::Delivered).await;
    for id in later {
        world.until(id, State::Delivered).await;
    }
    let seen = provider.seen();
    let turn = seen.iter().position(|call| call.recipients == ["giant@example.net"]).unwrap();
    assert!(turn < 5, "{turn} went before it");
    let (before, own) = (&seen[turn - 1], &seen[turn]);
    assert!(own.at - before.at >= SECOND, "nobody was under way with it");
    assert!(seen[turn + 1].at - own.at >= SECOND);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_the_answer_waits_for_room_but_not_for_ever() {
    let provider = slow(20 * SECOND);
    let settings = settings(&[("resend", &provider)], rules());
    let clock =
        Arc::new(crate::clock::TimerClock::starting_at("2026-11-21T00:00:00Z".parse().unwrap()));
    let delivery = Delivery::new(settings, None, clock, fastrand::Rng::with_seed(7));
    let send = || {
        let delivery = delivery.clone();
        tokio::spawn(async move { delivery.send_now(submission_of(25 * MIB, BOB), None).await })
    };
    let sendings: Vec<_> = (0..6).map(|_| send()).collect();
    let mut sent = 0;
    let mut refused = Vec::new();
    for sending in sendings {
        match sending.await.unwrap() {
            Ok(_) => sent += 1,
            Err(not_sent) => refused.push(not_sent),
        }
    }
    assert_eq!((sent, refused.len()), (4, 2), "two at a time, and the next two within 30 s");
    assert_eq!(provider.calls_at_once(), 2);
    let refusal = &refused[0];
    assert!(refusal.cause == Cause::Unavailable && refusal.error.contains("try again later"));
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_room_at_the_shutdown_stays_in_the_queue() {
    let provider = slow(5 * SECOND);
    let world = World::new(&[("resend", &provider)]);
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(world.intake.accept(submission_of(25 * MIB, BOB)).await.unwrap());
    }
    pass(SECOND).await;
    let store = world.stop().await;
    assert_eq!(provider.seen().len(), 2, "what was under way ended, nothing else began");
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.queued, counts.sending), (3, 0));
    let waiting = store.show(ids[4]).await.unwrap().unwrap();
    assert!(waiting.summary.recipients.iter().all(|it| it.state == RecipientState::Queued));
}
