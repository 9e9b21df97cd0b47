//! All limits of an account together.

use std::num::NonZeroU64;

use super::*;
use crate::delivery::tests::scripted::Scripted;
use crate::provider::Provider as _;

fn start() -> Timestamp {
    "2026-11-21T10:00:00Z".parse().unwrap()
}

fn rate(calls: u32) -> Rate {
    Rate { calls, per: Duration::from_secs(1) }
}

fn limits(rate: Option<Rate>, daily: u64) -> Limits {
    let quotas = QuotaSetup { daily: NonZeroU64::new(daily), monthly: None };
    let concurrency = NonZeroUsize::new(8).unwrap();
    let mut limits = Limits::new(rate, concurrency, quotas, Scripted::new().capabilities());
    limits.load(std::iter::empty(), start());
    limits
}

fn error(verdict: Verdict, status: Option<u16>) -> SendError {
    SendError { verdict, status, reason: "no".to_owned(), unclear: false }
}

#[tokio::test]
async fn what_the_service_says_slows_down_and_speeds_up() {
    let mut limits = limits(None, 0);
    let heard = |calls| Heard { limit: Some(rate(calls)), ..Heard::default() };
    assert_eq!(limits.interval(), None);
    limits.hear(&heard(2), start());
    assert_eq!(limits.interval(), Some(Duration::from_millis(500)));
    limits.hear(&heard(50), start());
    assert_eq!(limits.interval(), Some(Duration::from_millis(20)));
}

#[tokio::test]
async fn what_the_service_has_said_holds_on_over_a_reload_for_the_same_account() {
    let mut before = limits(None, 0);
    before.hear(&Heard { limit: Some(rate(2)), ..Heard::default() }, start());
    before.began(start());
    let same = limits(None, 0).going_on_from(&before, true);
    assert_eq!(same.paced(start()), start() + Duration::from_millis(500));
    let another = limits(None, 0).going_on_from(&before, false);
    assert_eq!((another.interval(), another.paced(start())), (None, start()));
    let configured = limits(Some(rate(4)), 0).going_on_from(&before, true);
    assert_eq!(configured.paced(start()), start() + Duration::from_millis(250));
    let freed = limits(None, 0).going_on_from(&configured, true);
    assert_eq!(freed.interval(), None, "a configured rate is not what the service says");
}

#[tokio::test]
async fn a_configured_rate_stays_but_a_window_that_is_used_up_is_waited_for() {
    let mut limits = limits(Some(rate(100)), 0);
    let heard = Heard {
        limit: Some(rate(2)),
        remaining: Some(0),
        reset: Some(Duration::from_secs(1)),
        ..Heard::default()
    };
    limits.hear(&heard, start());
    assert_eq!(limits.interval(), Some(Duration::from_millis(10)));
    assert_eq!(limits.free_at(start()), start() + Duration::from_secs(1));
    assert_eq!(limits.admission(|| 1, start()), Admission::Soon(start() + Duration::from_secs(1)));
    assert!(limits.reserve(1, false, start()).is_err());
    assert!(limits.reserve(1, false, start() + Duration::from_secs(1)).is_ok());
}

#[tokio::test]
async fn of_a_window_whose_beginning_was_seen_no_whole_second_more_is_waited() {
    let mut limits = limits(None, 0);
    let heard = |remaining| Heard {
        limit: Some(rate(2)),
        remaining: Some(remaining),
        reset: Some(Duration::from_secs(1)),
        ..Heard::default()
    };
    limits.hear(&heard(1), start());
    let later = start() + Duration::from_millis(500);
    limits.hear(&heard(0), later);
    assert_eq!(limits.free_at(later), start() + Duration::from_secs(1));
    // The next window, of which the first answer says that nothing is left: others use the account too.
    let next = start() + Duration::from_millis(1_100);
    limits.hear(&heard(1), next);
    limits.hear(&heard(0), next);
    assert_eq!(limits.free_at(next), next + Duration::from_secs(1));
}

#[tokio::test]
async fn a_long_reset_sends_mail_elsewhere() {
    let mut limits = limits(None, 0);
    let reset = Some(Duration::from_mins(10));
    limits.hear(&Heard { remaining: Some(0), reset, ..Heard::default() }, start());
    let at = start() + Duration::from_mins(10);
    assert_eq!(limits.admission(|| 1, start()), Admission::Closed(Some(at)));
    assert_eq!(limits.next_change(), Some(at));
    assert_eq!(limits.admission(|| 1, at), Admission::Open);
}

#[tokio::test]
async fn throttling_and_silence_halve_the_calls_in_flight_and_other_trouble_does_not() {
    let throttled = error(Verdict::Throttled { retry_after: None }, Some(429));
    let silent = error(Verdict::Temporary { retry_after: None }, None);
    let failed = error(Verdict::Temporary { retry_after: None }, Some(500));
    let refused = error(Verdict::Rejected, Some(422));
    for (error, expected) in [(&throttled, 4), (&silent, 4), (&failed, 8), (&refused, 8)] {
        let mut limits = limits(None, 0);
        limits.failed(error, 8, start());
        assert_eq!(limits.calls_max(), expected, "{error}");
        for _ in 0..200 {
            limits.succeeded();
        }
        assert_eq!(limits.calls_max(), 8);
    }
}

#[tokio::test]
async fn a_message_larger_than_what_is_left_waits_and_a_smaller_one_goes() {
    let mut limits = limits(None, 10);
    assert!(matches!(limits.reserve(7, false, start()), Ok(true)));
    limits.settle(7, 7, start());
    assert!(matches!(limits.admission(|| 4, start()), Admission::Closed(Some(_))));
    assert_eq!(limits.admission(|| 3, start()), Admission::Open);
    assert_eq!(limits.recipients_per_call(50), 10, "no call is larger than the whole quota");
    let midnight = "2026-11-22T00:00:00Z".parse().unwrap();
    assert_eq!(limits.admission(|| 400, midnight), Admission::Open);
}

#[tokio::test]
async fn a_full_quota_is_reported_once() {
    let mut limits = limits(None, 2);
    assert!(limits.reserve(2, false, start()).is_ok());
    assert!(limits.full(start()).is_some(), "nothing is left for others meanwhile");
    assert!(limits.settle(2, 2, start()).1.is_some());
    assert!(limits.settle(0, 0, start()).1.is_none());
    let next_day = start() + Duration::from_hours(24);
    assert!(limits.full(next_day).is_none());
    assert!(limits.reserve(2, false, next_day).is_ok());
    assert!(limits.settle(2, 2, next_day).1.is_some());
}

#[tokio::test]
async fn before_the_past_is_known_nothing_goes() {
    let quotas = QuotaSetup { daily: None, monthly: NonZeroU64::new(5) };
    let mut limits = Limits::new(None, NonZeroUsize::MIN, quotas, Scripted::new().capabilities());
    assert!(limits.is_unknown() && limits.free_at(start()) > start());
    limits.load([(calendar::hour_of(start()), 5)].into_iter(), start());
    assert!(limits.free_at(start()) <= start());
    let Admission::Closed(Some(at)) = limits.admission(|| 1, start()) else { panic!() };
    assert_eq!(at, "2026-12-01T00:00:00Z".parse().unwrap());
}
