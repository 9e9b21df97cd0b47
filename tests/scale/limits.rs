//! Limits that hold for all instances together: the provider's rate and its quotas.

use std::time::Duration;

use tokio::time::Instant;

use super::fleet::{self, Fleet};
use super::ledger::{self};
use super::support::fake::{Behaviour, FakeProvider};
use super::support::relay::Setup;
use super::support::wait;

/// Calls in any second.
const RATE: u32 = 20;
/// What the way to the provider may change of the distance between two calls: the provider runs on this machine too, beside
/// all the rest.
const JITTER: Duration = Duration::from_millis(150);

/// The most calls in any window of this length.
fn most_within(window: Duration, calls: &[Instant]) -> usize {
    let within = |first: &Instant| {
        let last = *first + window;
        calls.iter().filter(|it| *it >= first && **it < last).count()
    };
    calls.iter().map(within).max().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_instances_keep_one_rate_and_use_it() {
    const MAILS_EACH: usize = 70;
    let name = "three_instances_keep_one_rate_and_use_it";
    if !fleet::has_postgres(name) {
        return;
    }
    let fake = FakeProvider::resend().await;
    // The backlog is there before the first call.
    fake.behave(Behaviour::answer(503, "{}"));
    let rate = format!("{RATE}/s");
    let setup =
        || Setup::resend(&fake).set("providers.resend.rate", &rate).set("delivery.batch_max", "1");
    let fleet = Fleet::of(3, setup).await;
    for number in 0..3 {
        fleet::submit_some(fleet.at(number).smtp, &format!("rate-{number}"), MAILS_EACH).await;
    }
    fake.behave(Behaviour::Normal);
    fleet.settle("the backlog").await;
    assert!(ledger::copies(&fake).values().all(|count| *count == 1), "left twice");
    assert_eq!(fake.mail_count(), 3 * MAILS_EACH);

    let calls: Vec<Instant> = fake.calls().iter().map(|call| call.at).collect();
    let most = most_within(Duration::from_secs(1) - JITTER, &calls);
    assert!(most <= RATE as usize, "{most} calls within a second");
    // Over ten seconds no jitter counts.
    let window = Duration::from_secs(5);
    let most = most_within(window, &calls);
    assert!(most <= 5 * RATE as usize + 2, "{most} calls within {window:?}");
    let steady = &calls[calls.len() - 2 * MAILS_EACH..];
    let time = steady[steady.len() - 1] - steady[0];
    let used = steady.len() as f64 / time.as_secs_f64() / f64::from(RATE);
    assert!(used >= 0.9, "only {used:.2} of the rate was used");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daily_quota_is_exact_over_three_instances() {
    const QUOTA: usize = 50;
    const MAILS_EACH: usize = 30;
    let name = "a_daily_quota_is_exact_over_three_instances";
    if !fleet::has_postgres(name) {
        return;
    }
    let fake = FakeProvider::resend().await;
    let quota = QUOTA.to_string();
    let fleet =
        Fleet::of(3, || Setup::resend(&fake).set("providers.resend.daily_quota", &quota)).await;
    let mut sending = tokio::task::JoinSet::new();
    for number in 0..3 {
        let address = fleet.at(number).smtp;
        let name = format!("quota-{number}");
        sending.spawn(async move { fleet::submit_some(address, &name, MAILS_EACH).await });
    }
    sending.join_all().await;
    wait::until_true("the quota is used", || fake.mail_count() >= QUOTA).await;
    for number in 0..3 {
        fleet.api(number).until_provider_is("resend", "exhausted").await;
    }
    assert_eq!(fake.mail_count(), QUOTA);
    let queue = fleet.api(1).health().await["queue"].clone();
    assert_eq!(queue["queued"], 3 * MAILS_EACH - QUOTA, "{queue}");
    assert!(ledger::copies(&fake).values().all(|count| *count == 1), "left twice");
}
