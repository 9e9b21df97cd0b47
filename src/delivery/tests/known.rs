//! What is remembered about accounts that clients present.

use std::sync::Arc;
use std::time::Duration;

use super::accounts::{Service, account};
use super::scripted::{Scripted, World, pass, rules, settings};
use crate::delivery::Settings;
use crate::provider::Verdict;
use crate::queue::{AccountCheck, Accounts};
use crate::seal::SealKey;

fn accounts(service: &Service) -> Arc<dyn Accounts> {
    let accounts = Some(service.settings(&Arc::new(SealKey::in_memory())));
    let world = World::with(Settings { accounts, ..settings(&[], rules()) });
    world.delivery.accounts().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_good_account_is_asked_about_once_in_ten_minutes() {
    let one = Arc::new(Scripted::new());
    let accounts = accounts(&Service::knows(&[("re_one", &one)]));
    for _ in 0..5 {
        assert_eq!(accounts.check(&account("re_one")).await, AccountCheck::Good);
        pass(Duration::from_mins(1)).await;
    }
    assert_eq!(one.probes(), 1);
    pass(Duration::from_mins(6)).await;
    accounts.check(&account("re_one")).await;
    assert_eq!(one.probes(), 2);
    assert!(one.seen().is_empty(), "no mail is sent");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_believed_for_a_minute() {
    let one = Arc::new(Scripted::new());
    one.probe_says(Err(Verdict::Misconfigured));
    let accounts = accounts(&Service::knows(&[("re_one", &one)]));
    for _ in 0..3 {
        let check = accounts.check(&account("re_one")).await;
        assert!(matches!(&check, AccountCheck::Refused(why) if why.contains("Misconfigured")));
    }
    assert_eq!(one.probes(), 1);
    one.probe_says(Ok(()));
    pass(Duration::from_secs(61)).await;
    assert_eq!(accounts.check(&account("re_one")).await, AccountCheck::Good);
}

#[tokio::test(start_paused = true)]
async fn a_fault_of_the_provider_refuses_nobody() {
    let one = Arc::new(Scripted::new());
    let accounts = accounts(&Service::knows(&[("re_one", &one)]));
    for verdict in [
        Verdict::Temporary { retry_after: None },
        Verdict::Throttled { retry_after: None },
        Verdict::Exhausted { until: None },
        Verdict::Unknown,
    ] {
        one.probe_says(Err(verdict));
        let check = accounts.check(&account("re_one")).await;
        assert!(matches!(check, AccountCheck::Unknown(_)), "{verdict:?}: {check:?}");
        pass(Duration::from_secs(6)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_cannot_be_one_is_refused_without_asking() {
    let service = Service::knows(&[]);
    let check = accounts(&service).check(&account("re one")).await;
    assert_eq!(check, AccountCheck::Refused("a key has no spaces".to_owned()));
    assert_eq!(service.usual.probes(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_does_not_answer_is_not_waited_for() {
    let slow = Arc::new(Scripted::with_latency(Duration::from_mins(1)));
    let accounts = accounts(&Service::knows(&[("re_slow", &slow)]));
    let begun = tokio::time::Instant::now();
    let same: Vec<_> = (0..20)
        .map(|_| {
            let accounts = Arc::clone(&accounts);
            tokio::spawn(async move { accounts.check(&account("re_slow")).await })
        })
        .collect();
    for check in same {
        assert!(matches!(check.await.unwrap(), AccountCheck::Unknown(_)));
    }
    assert!(begun.elapsed() <= Duration::from_secs(8), "{:?}", begun.elapsed());
    assert_eq!(slow.probes(), 1, "one question for all");
}

#[tokio::test(start_paused = true)]
async fn many_accounts_are_asked_about_a_few_at_a_time_and_not_all_remembered() {
    let service = Service {
        usual: Arc::new(Scripted::with_latency(Duration::from_millis(10))),
        ..Service::knows(&[])
    };
    let accounts = accounts(&service);
    let begun = tokio::time::Instant::now();
    for batch in 0..3 {
        let checks: Vec<_> = (0..800)
            .map(|number| {
                let accounts = Arc::clone(&accounts);
                let key = format!("re_{batch}_{number}");
                tokio::spawn(async move { accounts.check(&account(&key)).await })
            })
            .collect();
        for check in checks {
            assert_eq!(check.await.unwrap(), AccountCheck::Good);
        }
    }
    assert!(begun.elapsed() >= Duration::from_millis(2_400 / 4 * 10), "{:?}", begun.elapsed());
    assert_eq!(service.usual.probes(), 2_400);
    accounts.check(&account("re_0_0")).await;
    assert_eq!(service.usual.probes(), 2_401, "the oldest were forgotten");
}
