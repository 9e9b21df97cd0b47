//! Another configuration while mail is under way.

use std::collections::HashMap;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use super::scripted::{Scripted, World, pass, rules, settings, submission};
use super::ways::routes;
use crate::delivery::{Backoff, ProviderState, QuotaSetup, RetryRules, Settings, SetupMark};
use crate::message::Submission;
use crate::provider::{Rate, Verdict};
use crate::queue::State;

const BOB: &[&str] = &["bob@example.net"];
const REFUSED: Result<(), Verdict> = Err(Verdict::Misconfigured);

fn dead() -> Arc<Scripted> {
    let dead = Arc::new(Scripted::new().always(REFUSED));
    dead.probe_says(REFUSED);
    dead
}

#[tokio::test(start_paused = true)]
async fn a_provider_of_which_nothing_has_changed_keeps_its_standing() {
    let (one, other) = (dead(), Arc::new(Scripted::new()));
    let world = World::new(&[("resend", &one)]);
    let id = world.submit(BOB).await;
    pass(Duration::from_secs(1)).await;
    let (calls, state) = (one.seen().len(), world.delivery.status()[0].state);
    assert_eq!(state, ProviderState::Misconfigured);

    // Its own provider object is not the one that the new configuration brings: nothing has changed.
    world.delivery.reload(settings(&[("resend", &other)], rules()));
    pass(Duration::from_secs(1)).await;
    assert_eq!(world.delivery.status()[0].state, ProviderState::Misconfigured);
    assert_eq!((one.seen().len(), other.seen().len()), (calls, 0));

    let mut mended = settings(&[("resend", &other)], rules());
    mended.lanes[0].mark = SetupMark::of(["another key"]);
    world.delivery.reload(mended);
    pass(Duration::from_millis(100)).await;
    assert_eq!(world.show(id).await.summary.state, State::Delivered, "at once");
    assert_eq!(world.delivery.status()[0].state, ProviderState::Up);
    assert_eq!(world.delivery.status().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_is_gone_ends_its_calls_and_what_waits_for_it_goes_elsewhere() {
    let slow = Arc::new(Scripted::with_latency(Duration::from_secs(5)));
    let other = Arc::new(Scripted::new());
    let world = World::new(&[("resend", &slow)]);
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(world.submit(BOB).await);
    }
    pass(Duration::from_secs(1)).await;
    world.delivery.reload(settings(&[("ses", &other)], rules()));
    pass(Duration::from_secs(1)).await;
    assert_eq!((slow.seen().len(), other.seen().len()), (0, 16), "four were under way");
    pass(Duration::from_secs(5)).await;
    for id in ids {
        assert_eq!(world.show(id).await.summary.state, State::Delivered);
    }
    assert_eq!((slow.seen().len(), other.seen().len()), (4, 16));
    pass(Duration::from_mins(5)).await;
    assert_eq!(world.delivery.providers(), ["ses"]);
}

#[tokio::test(start_paused = true)]
async fn mail_that_waits_takes_the_new_routes() {
    let (resend, ses) = (dead(), Arc::new(Scripted::new()));
    let with = |routed: &str, users: &[(&str, &str)]| {
        let mut settings = settings(&[("resend", &resend), ("ses", &ses)], rules());
        settings.lanes[1].in_route = false;
        settings.routes = routes(routed);
        let users = users.iter().map(|(user, route)| ((*user).to_owned(), (*route).to_owned()));
        settings.user_routes = users.collect::<HashMap<_, _>>();
        settings
    };
    let world = World::with(with("", &[]));
    let by_domain = world.submit(&["a@mail.kr"]).await;
    let of_lemmy = Submission { user: Some("lemmy".to_owned()), ..submission(BOB) };
    let by_user = world.intake.accept(of_lemmy).await.unwrap();
    let neither = world.submit(BOB).await;
    pass(Duration::from_mins(1)).await;
    let way = world.show(by_domain).await.summary.way;
    assert_eq!(way.name(), "default");

    let toml = "[[routes]]\nname = 'korea'\nproviders = 'ses'\nrecipient_domain = '*.kr'\n\
                [[routes]]\nname = 'theirs'\nproviders = 'ses'\nsender = 'nobody@example.org'\n";
    world.delivery.reload(with(toml, &[("lemmy", "theirs")]));
    pass(Duration::from_secs(3)).await;
    assert_eq!(world.show(by_domain).await.summary.state, State::Delivered);
    assert_eq!(world.show(by_user).await.summary.state, State::Delivered);
    assert_eq!(world.show(neither).await.summary.state, State::Queued);
    assert_ne!(world.show(neither).await.summary.way, way, "it was looked at anew");
    assert_eq!(ses.seen().len(), 2);
}

/// One provider with another key, at the same account or at another.
fn mended(provider: &Arc<Scripted>, account: &str) -> Settings {
    let mut settings = settings(&[("resend", provider)], rules());
    settings.lanes[0].mark = SetupMark::of(["another key"]);
    if !account.is_empty() {
        settings.lanes[0].account = SetupMark::of([account]);
    }
    settings
}

#[tokio::test(start_paused = true)]
async fn a_call_that_ends_badly_under_the_old_key_says_nothing_about_the_new_one() {
    let second = Duration::from_secs(1);
    let old = Arc::new(Scripted::with_latency(second).always(REFUSED));
    let new = Arc::new(Scripted::new());
    let world = World::new(&[("resend", &old)]);
    let id = world.submit(BOB).await;
    pass(Duration::from_millis(100)).await;
    world.delivery.reload(mended(&new, ""));
    pass(second).await;
    assert_eq!(old.seen().len(), 1);
    assert_eq!(world.delivery.status()[0].state, ProviderState::Up);
    assert_eq!(world.show(id).await.summary.state, State::Delivered, "by the new key");
    assert_eq!((new.seen().len(), new.probes()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_ends_well_under_the_old_key_clears_no_fault_of_the_new_one() {
    let old = Arc::new(Scripted::with_latency(Duration::from_secs(5)));
    let world = World::new(&[("resend", &old)]);
    let one = world.submit(BOB).await;
    pass(Duration::from_millis(100)).await;
    let new = dead();
    world.delivery.reload(mended(&new, ""));
    world.submit(BOB).await;
    pass(Duration::from_secs(1)).await;
    assert_eq!(world.delivery.status()[0].state, ProviderState::Misconfigured);
    pass(Duration::from_secs(5)).await;
    assert_eq!(new.seen().len(), 1, "it is not tried again for that");
    assert_eq!(world.show(one).await.summary.state, State::Delivered);
    assert_eq!(world.delivery.status()[0].state, ProviderState::Misconfigured);
}

#[tokio::test(start_paused = true)]
async fn a_rest_that_the_service_has_asked_for_is_the_accounts() {
    let throttled = Err(Verdict::Throttled { retry_after: Some(Duration::from_mins(10)) });
    for (account, early) in [("", 0), ("another", 1)] {
        let old = Arc::new(Scripted::new().answers([throttled]));
        let world = World::new(&[("resend", &old)]);
        let id = world.submit(BOB).await;
        pass(Duration::from_secs(1)).await;
        let new = Arc::new(Scripted::new());
        world.delivery.reload(mended(&new, account));
        pass(Duration::from_mins(9)).await;
        assert_eq!(new.seen().len(), early, "{account}");
        pass(Duration::from_mins(3)).await;
        assert_eq!(world.show(id).await.summary.state, State::Delivered);
        assert_eq!((old.seen().len(), new.seen().len()), (1, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn calls_that_were_made_count_for_the_account() {
    let rate = Some(Rate { calls: 1, per: Duration::from_mins(1) });
    for (account, early) in [("", 0), ("another", 1)] {
        let [old, new] = [(); 2].map(|()| Arc::new(Scripted::new()));
        let mut before = settings(&[("resend", &old)], rules());
        before.lanes[0].rate = rate;
        let world = World::with(before);
        world.submit(BOB).await;
        pass(Duration::from_secs(10)).await;
        let mut after = mended(&new, account);
        after.lanes[0].rate = rate;
        world.delivery.reload(after);
        world.submit(BOB).await;
        pass(Duration::from_secs(30)).await;
        assert_eq!((old.seen().len(), new.seen().len()), (1, early), "{account}");
        pass(Duration::from_secs(30)).await;
        assert_eq!(new.seen().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn recipients_that_were_served_count_for_the_account() {
    let [old, new] = [(); 2].map(|()| Arc::new(Scripted::new()));
    let quotas = |daily| QuotaSetup { daily: NonZeroU64::new(daily), monthly: None };
    let mut before = settings(&[("resend", &old)], rules());
    before.lanes[0].quotas = quotas(2);
    let world = World::with(before);
    for _ in 0..2 {
        world.submit(BOB).await;
    }
    pass(Duration::from_secs(1)).await;
    assert_eq!(world.delivery.status()[0].state, ProviderState::Exhausted);
    let mut after = mended(&new, "");
    after.lanes[0].quotas = quotas(3);
    world.delivery.reload(after);
    for _ in 0..3 {
        world.submit(BOB).await;
    }
    pass(Duration::from_hours(1)).await;
    assert_eq!((old.seen().len(), new.seen().len()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn another_retry_min_is_the_one_by_which_a_closed_provider_is_checked() {
    let dead = dead();
    let often = RetryRules {
        backoff: Backoff::new(Duration::from_secs(2), Duration::from_secs(10)),
        ..rules()
    };
    let rarely = RetryRules {
        backoff: Backoff::new(Duration::from_mins(10), Duration::from_mins(10)),
        ..rules()
    };
    let world = World::with(settings(&[("resend", &dead)], often));
    world.submit(BOB).await;
    pass(Duration::from_mins(10)).await;
    let probes = dead.probes();
    assert!(probes >= 40, "{probes}");
    world.delivery.reload(settings(&[("resend", &dead)], rarely));
    pass(Duration::from_mins(10)).await;
    assert!(dead.probes() - probes <= 3, "{}", dead.probes() - probes);
}

#[tokio::test(start_paused = true)]
async fn a_reload_while_the_rest_of_the_quota_is_on_its_way_counts_it() {
    let slow = Arc::new(Scripted::with_latency(Duration::from_secs(5)));
    let with_quota = |mut settings: Settings| {
        settings.lanes[0].quotas = QuotaSetup { daily: NonZeroU64::new(2), monthly: None };
        settings
    };
    let world = World::with(with_quota(settings(&[("resend", &slow)], rules())));
    let first = world.submit(BOB).await;
    world.until(first, State::Delivered).await;
    let second = world.submit(BOB).await;
    pass(Duration::from_secs(1)).await;
    assert_eq!(slow.calls_at_once(), 1, "one is served, one is on its way");

    world.delivery.reload(with_quota(mended(&slow, "")));
    let third = world.submit(BOB).await;
    world.until(second, State::Delivered).await;
    pass(Duration::from_mins(1)).await;
    assert_eq!(slow.seen().len(), 2);
    assert_eq!(world.delivery.status()[0].state, ProviderState::Exhausted);
    pass(Duration::from_hours(24)).await;
    assert_eq!(world.show(third).await.summary.state, State::Delivered, "as soon as it renews");
}
