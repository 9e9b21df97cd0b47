//! Mail that goes by the account that its client brought.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tokio::time::Instant;

use super::scripted::{Scripted, World, pass, rules, settings, submission};
use crate::clock::{SharedClock, TimerClock};
use crate::config::ProviderKind;
use crate::delivery::{
    AccountSettings, Cause, Delivery, LaneMaker, LaneSetup, ProviderState, QuotaSetup, RetryRules,
    Settings, SetupMark,
};
use crate::message::{Account, QueueId, Submission};
use crate::provider::{Provider, Rate, Verdict};
use crate::queue::{Filter, MemoryStore, Outcome, Refusal, Retry, State, Store};
use crate::seal::SealKey;
use crate::secret::Secret;

const BOB: &[&str] = &["bob@example.net"];
const PASSING: Verdict = Verdict::Temporary { retry_after: None };
const REFUSED: Result<(), Verdict> = Err(Verdict::Misconfigured);

/// What a service knows of accounts: each key's own behaviour. Others get `usual`.
#[derive(Clone)]
pub(super) struct Service {
    pub(super) keys: HashMap<&'static str, Arc<Scripted>>,
    pub(super) usual: Arc<Scripted>,
    pub(super) rate: Option<Rate>,
    /// How accounts of this kind are configured.
    pub(super) mark: SetupMark,
}

impl Service {
    pub(super) fn knows(keys: &[(&'static str, &Arc<Scripted>)]) -> Self {
        let keys = keys.iter().map(|(key, account)| (*key, Arc::clone(account))).collect();
        Self { keys, usual: Arc::new(Scripted::new()), rate: None, mark: SetupMark::default() }
    }

    pub(super) fn settings(&self, seal: &Arc<SealKey>) -> AccountSettings {
        let own = self.clone();
        let lanes = LaneMaker::new(move |name, account| {
            let key = account.key.expose();
            if key.contains(' ') {
                return Err("a key has no spaces".to_owned());
            }
            let provider = Arc::clone(own.keys.get(key).unwrap_or(&own.usual));
            Ok(LaneSetup {
                name,
                provider: provider as Arc<dyn Provider>,
                concurrency: NonZeroUsize::new(4).unwrap(),
                rate: own.rate,
                quotas: QuotaSetup::default(),
                in_route: false,
                mark: own.mark,
                account: SetupMark::default(),
            })
        });
        AccountSettings { seal: Arc::clone(seal), lanes, expected: true }
    }
}

fn world(configured: &[(&str, &Arc<Scripted>)], service: &Service) -> World {
    World::with(with_accounts(configured, service, &Arc::new(SealKey::in_memory())))
}

fn with_accounts(
    configured: &[(&str, &Arc<Scripted>)],
    service: &Service,
    seal: &Arc<SealKey>,
) -> Settings {
    Settings { accounts: Some(service.settings(seal)), ..settings(configured, rules()) }
}

pub(super) fn account(key: &str) -> Account {
    Account { kind: ProviderKind::Resend, key: Secret::new(key) }
}

fn brought(key: &str) -> Submission {
    Submission { account: Some(account(key)), ..submission(BOB) }
}

/// A message by the account `re_one`, in the queue of a daemon that has ended before it went out.
async fn left_behind(
    service: &Service,
    seal: &Arc<SealKey>,
) -> (Arc<MemoryStore>, SharedClock, QueueId) {
    let before = World::with(with_accounts(&[], service, seal));
    let clock = Arc::clone(&before.clock);
    let id = bring(&before, "re_one").await;
    pass(Duration::from_mins(1)).await;
    (before.stop().await, clock, id)
}

async fn bring(world: &World, key: &str) -> QueueId {
    world.intake.accept(brought(key)).await.unwrap()
}

async fn delivered(world: &World) -> usize {
    let filter = Filter { state: Some(State::Delivered), ..Filter::default() };
    world.store.list(filter).await.unwrap().messages.len()
}

#[tokio::test(start_paused = true)]
async fn fresh_mail_goes_out_at_once_though_nothing_is_configured() {
    let one = Arc::new(Scripted::new());
    let world = world(&[], &Service::knows(&[("re_one", &one)]));
    assert!(world.delivery.ready());
    let id = bring(&world, "re_one").await;
    pass(Duration::from_millis(50)).await;
    let details = world.show(id).await;
    assert_eq!(details.summary.state, State::Delivered);
    let name = details.summary.provider.unwrap();
    assert!(name.starts_with("resend/") && name.len() == 13, "{name}");
    assert!(!name.contains("one"));
    assert_eq!(world.delivery.status()[0].name, name);
}

#[tokio::test(start_paused = true)]
async fn mail_with_an_account_goes_by_no_other() {
    let (configured, other) = (Arc::new(Scripted::new()), Arc::new(Scripted::new()));
    let revoked = Arc::new(Scripted::new().always(REFUSED));
    revoked.probe_says(REFUSED);
    let service = Service::knows(&[("re_revoked", &revoked), ("re_other", &other)]);
    let world = world(&[("resend", &configured)], &service);
    let waits = bring(&world, "re_revoked").await;
    let goes = bring(&world, "re_other").await;
    let plain = world.submit(BOB).await;
    world.until(goes, State::Delivered).await;
    world.until(plain, State::Delivered).await;

    // Longer than anything else is tried: a key that is refused costs no mail.
    pass(Duration::from_hours(50)).await;
    let details = world.show(waits).await;
    assert_eq!(details.summary.state, State::Queued);
    assert!(details.summary.error.unwrap().contains("resend/"));
    assert_eq!(details.attempts.len(), 1, "it is probed, not tried");
    assert!(revoked.probes() > 100);
    assert_eq!((configured.seen().len(), other.seen().len()), (1, 1));
    let states: Vec<_> = world.delivery.status().iter().map(|status| status.state).collect();
    assert_eq!(states, [ProviderState::Up, ProviderState::Misconfigured]);

    revoked.probe_says(Ok(()));
    revoked.now_answers(Ok(()));
    let details = world.until(waits, State::Delivered).await;
    assert_eq!(details.attempts.last().unwrap().outcome, Outcome::Delivered);
    assert!(details.attempts.iter().all(|attempt| attempt.provider.starts_with("resend/")));
}

#[tokio::test(start_paused = true)]
async fn a_retry_cannot_lead_it_to_another_provider() {
    let configured = Arc::new(Scripted::new());
    let one = Arc::new(Scripted::new().answers([Err(Verdict::Rejected)]));
    let world = world(&[("resend", &configured)], &Service::knows(&[("re_one", &one)]));
    let id = bring(&world, "re_one").await;
    world.until(id, State::Failed).await;
    let now = world.clock.now();
    assert!(
        world
            .store
            .retry(id, Retry { provider: Some("resend".into()), ..Retry::default() }, now)
            .await
            .is_err()
    );
    world.store.retry(id, Retry::default(), now).await.unwrap();
    world.delivery.wake();
    world.until(id, State::Delivered).await;
    assert_eq!((one.seen().len(), configured.seen().len()), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_the_sealed_account_is_used_again() {
    let one = Arc::new(Scripted::new().always(REFUSED));
    one.probe_says(REFUSED);
    let service = Service::knows(&[("re_one", &one)]);
    let seal = Arc::new(SealKey::in_memory());
    let (store, clock, id) = left_behind(&service, &seal).await;

    one.now_answers(Ok(()));
    let after = World::over(store, clock, with_accounts(&[], &service, &seal));
    let details = after.until(id, State::Delivered).await;
    let names: Vec<_> = details.attempts.iter().map(|attempt| &attempt.provider).collect();
    assert!(names.iter().all(|name| *name == names[0]), "{names:?}");
}

#[tokio::test(start_paused = true)]
async fn an_account_that_cannot_be_opened_waits_with_the_reason_and_fails_in_the_end() {
    let one = Arc::new(Scripted::new().always(REFUSED));
    let configured = Arc::new(Scripted::new());
    let service = Service::knows(&[("re_one", &one)]);
    let before = World::with(with_accounts(&[], &service, &Arc::new(SealKey::in_memory())));
    let clock = Arc::clone(&before.clock);
    let id = bring(&before, "re_one").await;
    pass(Duration::from_mins(1)).await;
    let store = before.stop().await;

    let lost = Arc::new(SealKey::in_memory());
    lost.prepare().unwrap();
    let after =
        World::over(store, clock, with_accounts(&[("resend", &configured)], &service, &lost));
    pass(Duration::from_mins(5)).await;
    let summary = after.show(id).await.summary;
    assert_eq!(summary.state, State::Queued);
    assert!(summary.error.unwrap().contains("sealed with another key"));
    let error = after.until(id, State::Failed).await.summary.error.unwrap();
    assert!(error.contains("given up after") && error.contains("sealed with another key"));
    assert!(configured.seen().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_dead_account_with_a_large_backlog_does_not_hold_up_others() {
    let dead = Arc::new(Scripted::new().always(REFUSED));
    dead.probe_says(REFUSED);
    // Refused for a moment, so that its mail has to come by the queue.
    let live = Arc::new(Scripted::new().answers([Err(PASSING), Err(PASSING), Err(PASSING)]));
    let configured = Arc::new(Scripted::new());
    let service = Service::knows(&[("re_dead", &dead), ("re_live", &live)]);
    let world = world(&[("resend", &configured)], &service);
    for _ in 0..10_000 {
        bring(&world, "re_dead").await;
    }
    pass(Duration::from_mins(10)).await;
    assert!(dead.seen().len() < 10, "{} calls with a refused key", dead.seen().len());

    let begun = world.clock.now();
    let ids = [bring(&world, "re_live").await, bring(&world, "re_live").await];
    let plain = world.submit(BOB).await;
    for id in ids.into_iter().chain([plain]) {
        world.until(id, State::Delivered).await;
    }
    let took = world.clock.now().duration_since(begun).unsigned_abs();
    // Three faults, with back-off.
    assert!(took < Duration::from_secs(20), "{took:?}");

    dead.probe_says(Ok(()));
    dead.now_answers(Ok(()));
    pass(Duration::from_mins(15)).await;
    assert_eq!(world.store.counts().await.unwrap().queued, 0);
}

#[tokio::test(start_paused = true)]
async fn an_account_with_more_mail_than_its_rate_does_not_hold_up_others() {
    let busy = Arc::new(Scripted::new());
    let other = Arc::new(Scripted::new().answers([Err(PASSING)]));
    let mut service = Service::knows(&[("re_busy", &busy), ("re_other", &other)]);
    service.rate = Some(Rate { calls: 10, per: Duration::from_secs(1) });
    let world = world(&[], &service);
    for _ in 0..3_000 {
        bring(&world, "re_busy").await;
    }
    pass(Duration::from_secs(5)).await;
    let id = bring(&world, "re_other").await;
    let begun = world.clock.now();
    world.until(id, State::Delivered).await;
    let took = world.clock.now().duration_since(begun).unsigned_abs();
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert!(busy.seen().len() < 200);
    // Five minutes at its rate, and what is lost to those who come round a little late.
    pass(Duration::from_mins(7)).await;
    assert_eq!(busy.seen().len(), 3_000);
}

#[tokio::test(start_paused = true)]
async fn a_dead_route_does_not_hold_up_mail_with_accounts() {
    let configured = Arc::new(Scripted::new().always(Err(PASSING)));
    configured.probe_says(Err(PASSING));
    let one = Arc::new(Scripted::new().answers([Err(PASSING)]));
    let rules = RetryRules { give_up_after: Duration::from_hours(1), ..rules() };
    let service = Service::knows(&[("re_one", &one)]);
    let accounts = Some(service.settings(&Arc::new(SealKey::in_memory())));
    let settings = Settings { accounts, ..settings(&[("resend", &configured)], rules) };
    let world = World::with(settings);
    let mut waiting = Vec::new();
    for _ in 0..2_000 {
        waiting.push(world.submit(BOB).await);
    }
    pass(Duration::from_mins(5)).await;
    let id = bring(&world, "re_one").await;
    let begun = world.clock.now();
    world.until(id, State::Delivered).await;
    let took = world.clock.now().duration_since(begun).unsigned_abs();
    assert!(took < Duration::from_secs(10), "{took:?}");
    // What waits for a provider that is down ends all the same.
    pass(Duration::from_mins(70)).await;
    assert_eq!(world.store.counts().await.unwrap().failed, 2_000);
}

#[tokio::test(start_paused = true)]
async fn mail_of_an_account_whose_service_is_down_is_given_up_in_time() {
    let one = Arc::new(Scripted::new().always(Err(PASSING)));
    one.probe_says(Err(PASSING));
    let service = Service::knows(&[("re_one", &one)]);
    let rules = RetryRules { give_up_after: Duration::from_hours(1), ..rules() };
    let accounts = Some(service.settings(&Arc::new(SealKey::in_memory())));
    let world = World::with(Settings { accounts, ..settings(&[], rules) });
    for _ in 0..50 {
        bring(&world, "re_one").await;
    }
    pass(Duration::from_mins(5)).await;
    assert!(!world.delivery.ready(), "its service is down, and nobody else's is known");
    pass(Duration::from_mins(80)).await;
    assert_eq!(world.store.counts().await.unwrap().failed, 50);
}

#[tokio::test(start_paused = true)]
async fn more_accounts_than_there_are_lanes_are_all_served() {
    let service = Service::knows(&[]);
    let world = world(&[], &service);
    for number in 0..1_500 {
        bring(&world, &format!("re_{number}")).await;
    }
    pass(Duration::from_mins(3)).await;
    assert_eq!(service.usual.seen().len(), 1_500);
    assert_eq!(world.store.counts().await.unwrap().queued, 0);
    assert_eq!(world.delivery.status().len(), 20, "a bounded number is shown");
}

#[tokio::test(start_paused = true)]
async fn many_refused_keys_do_not_keep_a_good_one_out() {
    let mut service = Service::knows(&[]);
    let good = Arc::new(Scripted::new());
    service.keys.insert("re_good", Arc::clone(&good));
    service.usual = Arc::new(Scripted::new().always(REFUSED));
    service.usual.probe_says(REFUSED);
    let world = world(&[], &service);
    for number in 0..1_100 {
        bring(&world, &format!("re_{number}")).await;
    }
    let id = bring(&world, "re_good").await;
    let begun = Instant::now();
    while good.seen().is_empty() && begun.elapsed() < Duration::from_mins(4) {
        pass(Duration::from_secs(1)).await;
    }
    let took = begun.elapsed();
    assert_eq!(world.show(id).await.summary.state, State::Delivered, "after {took:?}");
    let calls = service.usual.seen().len();
    assert!(calls < 2_000, "{calls} calls in {took:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_known_about_an_account_goes_when_nobody_uses_it() {
    let one = Arc::new(Scripted::new());
    let world = world(&[], &Service::knows(&[("re_one", &one)]));
    bring(&world, "re_one").await;
    pass(Duration::from_mins(20)).await;
    assert_eq!(world.delivery.status().len(), 1);
    pass(Duration::from_mins(20)).await;
    assert!(world.delivery.status().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_account_that_cannot_be_set_up_says_why() {
    let world = world(&[], &Service::knows(&[]));
    let id = bring(&world, "re one").await;
    pass(Duration::from_secs(1)).await;
    let summary = world.show(id).await.summary;
    assert_eq!(summary.state, State::Queued);
    assert_eq!(summary.error.as_deref(), Some("a key has no spaces"));
}

#[tokio::test(start_paused = true)]
async fn what_is_left_in_the_queue_goes_out_though_nobody_brings_accounts_any_more() {
    let one = Arc::new(Scripted::new().answers([REFUSED]));
    one.probe_says(REFUSED);
    let configured = Arc::new(Scripted::new());
    let service = Service::knows(&[("re_one", &one)]);
    let seal = Arc::new(SealKey::in_memory());
    let (store, clock, id) = left_behind(&service, &seal).await;

    let mut settings = with_accounts(&[("resend", &configured)], &service, &seal);
    if let Some(accounts) = &mut settings.accounts {
        accounts.expected = false;
    }
    let after = World::over(store, clock, settings);
    after.until(id, State::Delivered).await;
    assert!(configured.seen().is_empty());
    assert!(after.delivery.accounts().is_none());
}

#[tokio::test(start_paused = true)]
async fn direct_mode_asks_the_brought_account_and_no_other() {
    let one = Arc::new(Scripted::new().answers([Ok(()), REFUSED]));
    let configured = Arc::new(Scripted::new());
    let start = "2026-11-21T00:00:00Z".parse().unwrap();
    let clock: SharedClock = Arc::new(TimerClock::starting_at(start));
    let service = Service::knows(&[("re_one", &one)]);
    let settings =
        with_accounts(&[("resend", &configured)], &service, &Arc::new(SealKey::in_memory()));
    let intake = Delivery::new(settings, None, clock, Rng::with_seed(7)).direct();
    assert!(intake.accept(brought("re_one")).await.is_ok());
    let refusal = intake.accept(brought("re_one")).await;
    assert!(matches!(refusal, Err(Refusal::TryAgain(_))), "{refusal:?}");
    let unusable = intake.accept(brought("re one")).await.unwrap_err();
    assert!(unusable.to_string().contains("a key has no spaces"), "{unusable}");
    assert_eq!((one.seen().len(), configured.seen().len()), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn an_account_is_refused_where_nobody_can_use_it() {
    let configured = Arc::new(Scripted::new());
    let world = World::new(&[("resend", &configured)]);
    assert!(matches!(world.intake.accept(brought("re_one")).await, Err(Refusal::NoRoom(_))));
    pass(Duration::from_secs(10)).await;
    assert!(configured.seen().is_empty());
}

#[tokio::test(start_paused = true)]
async fn nobody_else_can_name_a_brought_account() {
    let one = Arc::new(Scripted::new());
    let world = world(&[], &Service::knows(&[("re_one", &one)]));
    let id = bring(&world, "re_one").await;
    let name = world.until(id, State::Delivered).await.summary.provider.unwrap();
    let not_sent = world.delivery.send_now(submission(BOB), Some(&name)).await.unwrap_err();
    assert_eq!(not_sent.cause, Cause::NoProvider);
    assert!(world.delivery.providers().is_empty());
    assert_eq!(one.seen().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_delivered_message_has_lost_its_account() {
    let one = Arc::new(Scripted::new());
    let world = world(&[], &Service::knows(&[("re_one", &one)]));
    bring(&world, "re_one").await;
    pass(Duration::from_secs(1)).await;
    assert_eq!(delivered(&world).await, 1);
    assert!(!format!("{:?}", world.store).contains("SealedAccount"));
}

#[tokio::test(start_paused = true)]
async fn an_account_keeps_the_rest_that_it_asked_for_over_a_reload() {
    let wait = Some(Duration::from_mins(10));
    let one = Scripted::new().answers([Err(Verdict::Throttled { retry_after: wait })]);
    let one = Arc::new(one);
    let mut service = Service::knows(&[("re_one", &one)]);
    let seal = Arc::new(SealKey::in_memory());
    let world = World::with(with_accounts(&[], &service, &seal));
    bring(&world, "re_one").await;
    pass(Duration::from_secs(1)).await;
    service.mark = SetupMark::of(["other settings of its kind"]);
    world.delivery.reload(with_accounts(&[], &service, &seal));
    let id = bring(&world, "re_one").await;
    pass(Duration::from_mins(9)).await;
    assert_eq!(one.seen().len(), 1, "within the rest");
    world.until(id, State::Delivered).await;
    assert_eq!(delivered(&world).await, 2);
}
