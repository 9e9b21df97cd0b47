use super::*;

fn start() -> Timestamp {
    "2026-11-21T00:00:00Z".parse().unwrap()
}

fn standing() -> (Standing, Rng) {
    let backoff = Backoff::new(Duration::from_secs(2), Duration::from_mins(1));
    (Standing::new(backoff), Rng::with_seed(1))
}

fn error(verdict: Verdict) -> SendError {
    SendError { verdict, status: Some(500), reason: "no".into(), unclear: false }
}

const PASSING: Verdict = Verdict::Temporary { retry_after: None };

#[test]
fn the_circuit_opens_after_five_failures_in_a_row() {
    let (mut standing, mut rng) = standing();
    for _ in 0..4 {
        assert_eq!(standing.failed(&error(PASSING), start(), &mut rng), Change::Same);
    }
    standing.succeeded(start());
    for _ in 0..4 {
        standing.failed(&error(PASSING), start(), &mut rng);
    }
    assert_eq!(standing.admission(start()), Admission::Open);
    assert_eq!(standing.failed(&error(PASSING), start(), &mut rng), Change::SetAside);
    assert!(matches!(standing.admission(start()), Admission::Closed(Some(_))));
    assert_eq!(standing.state(start()), ProviderState::Down);
}

#[test]
fn a_refused_key_closes_at_once_and_a_passed_check_lets_one_message_through() {
    let (mut standing, mut rng) = standing();
    assert_eq!(
        standing.failed(&error(Verdict::Misconfigured), start(), &mut rng),
        Change::SetAside
    );
    assert_eq!(standing.failed(&error(Verdict::Misconfigured), start(), &mut rng), Change::Same);
    assert_eq!(standing.state(start()), ProviderState::Misconfigured);

    let check_at = standing.next_change().unwrap();
    assert!(!standing.start_check(start()));
    assert!(standing.start_check(check_at));
    assert!(!standing.start_check(check_at), "one check at a time");
    standing.checked(Ok(()), check_at, &mut rng);
    assert_eq!(standing.admission(check_at), Admission::Open);
    assert_eq!(standing.state(check_at), ProviderState::Misconfigured);
    standing.began(check_at);
    assert_eq!(standing.admission(check_at), Admission::Closed(None));
    assert!(standing.succeeded(check_at));
    assert_eq!(standing.state(check_at), ProviderState::Up);
}

#[test]
fn a_failed_trial_closes_for_longer() {
    let (mut standing, mut rng) = standing();
    let mut now = start();
    let mut waits = Vec::new();
    standing.failed(&error(Verdict::Misconfigured), now, &mut rng);
    for _ in 0..8 {
        let check_at = standing.next_change().unwrap();
        waits.push(check_at.duration_since(now));
        now = check_at;
        assert!(standing.start_check(now));
        standing.checked(Ok(()), now, &mut rng);
        standing.began(now);
        assert_eq!(standing.failed(&error(Verdict::Misconfigured), now, &mut rng), Change::Same);
    }
    assert!(waits[7] > waits[0] * 8, "{waits:?}");
    assert!(waits.iter().all(|wait| wait.as_secs() <= 60));
}

#[test]
fn a_failed_check_keeps_it_closed() {
    let (mut standing, mut rng) = standing();
    standing.failed(&error(Verdict::Misconfigured), start(), &mut rng);
    let check_at = standing.next_change().unwrap();
    assert!(standing.start_check(check_at));
    standing.checked(Err(&error(Verdict::Misconfigured)), check_at, &mut rng);
    assert!(matches!(standing.admission(check_at), Admission::Closed(Some(at)) if at > check_at));
}

#[test]
fn a_key_that_is_refused_after_an_outage_is_misconfigured() {
    let (mut standing, mut rng) = standing();
    for _ in 0..5 {
        standing.failed(&error(PASSING), start(), &mut rng);
    }
    assert_eq!(standing.down_since(), Some(start()));
    let check_at = standing.next_change().unwrap();
    assert!(standing.start_check(check_at));
    standing.checked(Err(&error(Verdict::Misconfigured)), check_at, &mut rng);
    assert_eq!(standing.state(check_at), ProviderState::Misconfigured);
    assert_eq!(standing.down_since(), None);
}

#[test]
fn a_short_rest_is_waited_for_and_a_long_one_is_not() {
    let (mut standing, mut rng) = standing();
    let wait = Duration::from_secs(5);
    standing.failed(&error(Verdict::Throttled { retry_after: Some(wait) }), start(), &mut rng);
    assert_eq!(standing.admission(start()), Admission::Soon(start() + wait));
    assert_eq!(standing.admission(start() + wait), Admission::Open);
    assert_eq!(standing.state(start()), ProviderState::Throttled);
    let wait = Duration::from_mins(2);
    standing.failed(&error(Verdict::Throttled { retry_after: Some(wait) }), start(), &mut rng);
    assert_eq!(standing.admission(start()), Admission::Closed(Some(start() + wait)));
}

#[test]
fn a_call_that_ends_well_during_a_rest_does_not_end_the_rest() {
    let (mut standing, mut rng) = standing();
    let wait = Duration::from_secs(5);
    standing.failed(&error(Verdict::Throttled { retry_after: Some(wait) }), start(), &mut rng);
    assert!(!standing.succeeded(start()));
    assert_eq!(standing.admission(start()), Admission::Soon(start() + wait));
}

#[test]
fn a_message_refused_during_a_rest_does_not_end_the_rest() {
    let (mut standing, mut rng) = standing();
    let wait = Duration::from_secs(5);
    standing.failed(&error(Verdict::Throttled { retry_after: Some(wait) }), start(), &mut rng);
    standing.failed(&error(Verdict::Rejected), start(), &mut rng);
    assert_eq!(standing.admission(start()), Admission::Soon(start() + wait));
}

#[test]
fn hints_that_do_not_help_make_longer_and_longer_rests() {
    let (mut standing, mut rng) = standing();
    for verdict in [
        Verdict::Throttled { retry_after: Some(Duration::ZERO) },
        Verdict::Temporary { retry_after: Some(Duration::ZERO) },
    ] {
        let mut now = start();
        standing.succeeded(now);
        for _ in 0..8 {
            standing.failed(&error(verdict), now, &mut rng);
            assert_ne!(standing.admission(now), Admission::Open);
            now = standing.next_change().unwrap();
            standing.began(now);
        }
        standing.failed(&error(verdict), now, &mut rng);
        assert!(matches!(standing.admission(now), Admission::Closed(_)), "others take over");
        let end = standing.next_change().unwrap();
        standing.began(end);
        standing.succeeded(end);
    }
}

#[test]
fn a_full_quota_rests_until_it_renews() {
    let (mut standing, mut rng) = standing();
    let midnight = start() + Duration::from_hours(24);
    let full = error(Verdict::Exhausted { until: Some(midnight) });
    assert_eq!(standing.failed(&full, start(), &mut rng), Change::SetAside);
    assert_eq!(standing.state(start()), ProviderState::Exhausted);
    assert_eq!(standing.next_change(), Some(midnight));
}

#[test]
fn a_refused_message_says_that_the_provider_works() {
    let (mut standing, mut rng) = standing();
    for _ in 0..4 {
        standing.failed(&error(PASSING), start(), &mut rng);
    }
    standing.failed(&error(Verdict::Rejected), start(), &mut rng);
    assert_eq!(standing.failed(&error(PASSING), start(), &mut rng), Change::Same);
}

/// Brings a closed provider to its trial and lets that go well.
fn mend(standing: &mut Standing, rng: &mut Rng) -> Timestamp {
    let check_at = standing.next_change().unwrap();
    assert!(standing.start_check(check_at));
    standing.checked(Ok(()), check_at, rng);
    standing.began(check_at);
    assert!(standing.succeeded(check_at));
    check_at
}

/// Every other call fails until it closes.
fn falter(standing: &mut Standing, rng: &mut Rng, from: Timestamp) -> Timestamp {
    for number in 0..40_u64 {
        let now = from + Duration::from_millis(number);
        if number % 2 == 0 {
            standing.succeeded(now);
        } else if standing.failed(&error(PASSING), now, rng) == Change::SetAside {
            return now;
        }
    }
    panic!("half of the calls fail, and nothing happens");
}

#[test]
fn a_part_of_the_calls_that_fails_closes_it_and_one_more_good_one_does_not_open_it() {
    let (mut standing, mut rng) = standing();
    let now = falter(&mut standing, &mut rng, start());
    assert_eq!(standing.state(now), ProviderState::Down);
    assert!(!standing.succeeded(now), "a call that was under way");
    assert!(matches!(standing.admission(now), Admission::Closed(_)));
    assert_eq!(standing.next_change(), Some(now), "but it is looked at");
    mend(&mut standing, &mut rng);
    assert_eq!(standing.admission(now), Admission::Open);
}

#[test]
fn a_late_success_opens_one_that_seemed_dead() {
    let (mut standing, mut rng) = standing();
    for _ in 0..5 {
        standing.failed(&error(PASSING), start(), &mut rng);
    }
    assert!(standing.succeeded(start()));
    assert_eq!(standing.admission(start()), Admission::Open);
}

#[test]
fn a_relapse_waits_longer_and_longer_and_a_later_fault_does_not() {
    let (mut standing, mut rng) = standing();
    let mut now = start();
    let mut waits = Vec::new();
    for _ in 0..6 {
        now = falter(&mut standing, &mut rng, now);
        waits.push(standing.next_change().unwrap().duration_since(now).unsigned_abs());
        now = mend(&mut standing, &mut rng);
    }
    assert!(waits[5] > waits[0] * 8, "{waits:?}");
    now = falter(&mut standing, &mut rng, now + RELAPSE);
    let wait = standing.next_change().unwrap().duration_since(now).unsigned_abs();
    assert!(wait <= Duration::from_secs(2), "{wait:?}");
}

#[test]
fn a_refused_trial_message_opens_and_a_late_refusal_does_not() {
    let (mut standing, mut rng) = standing();
    standing.failed(&error(Verdict::Misconfigured), start(), &mut rng);
    assert_eq!(standing.failed(&error(Verdict::Rejected), start(), &mut rng), Change::Same);
    assert_eq!(standing.state(start()), ProviderState::Misconfigured);
    let check_at = standing.next_change().unwrap();
    assert!(check_at > start());
    assert!(standing.start_check(check_at));
    assert_eq!(standing.checked(Ok(()), check_at, &mut rng), Change::Same);
    standing.began(check_at);
    let refused = standing.failed(&error(Verdict::Rejected), check_at, &mut rng);
    assert_eq!(refused, Change::Recovered);
    assert_eq!(standing.admission(check_at), Admission::Open);
}

#[test]
fn what_a_check_finds_out_is_told() {
    let (mut standing, mut rng) = standing();
    for _ in 0..5 {
        standing.failed(&error(PASSING), start(), &mut rng);
    }
    let mut check = |verdict| {
        let at = standing.next_change().unwrap();
        assert!(standing.start_check(at));
        standing.checked(Err(&error(verdict)), at, &mut rng)
    };
    assert_eq!(check(PASSING), Change::Same);
    assert_eq!(check(Verdict::Misconfigured), Change::SetAside);
    assert_eq!(check(Verdict::Misconfigured), Change::Same);
}

#[test]
fn a_server_that_greylists_is_not_down() {
    let (mut standing, mut rng) = standing();
    let refusal = |code| SendError { status: Some(code), ..error(PASSING) };
    for number in 0..200_u64 {
        let now = start() + Duration::from_secs(number);
        assert_eq!(standing.failed(&refusal(450), now, &mut rng), Change::Same);
    }
    standing = Standing::new(Backoff::new(Duration::from_secs(2), Duration::from_mins(1)));
    let now = start();
    for _ in 0..9 {
        assert_eq!(standing.failed(&refusal(451), now, &mut rng), Change::Same);
    }
    // One that says so to everybody has a fault.
    assert_eq!(standing.failed(&refusal(451), now, &mut rng), Change::SetAside);
}

#[test]
fn a_trial_that_is_told_to_wait_goes_on_after_the_rest() {
    let (mut standing, mut rng) = standing();
    standing.failed(&error(Verdict::Misconfigured), start(), &mut rng);
    standing.try_again(start());
    standing.began(start());
    let wait = Duration::from_secs(60);
    let throttled = error(Verdict::Throttled { retry_after: Some(wait) });
    standing.failed(&throttled, start(), &mut rng);
    assert_eq!(standing.state(start()), ProviderState::Throttled);
    let later = start() + wait * 2;
    assert!(standing.is_trial(), "one message shows whether it works");
    standing.began(later);
    assert_eq!(standing.admission(later), Admission::Closed(None), "the others wait");
    assert!(standing.succeeded(later), "whoever was told that it is set aside hears that it works");
    assert_eq!(standing.state(later), ProviderState::Up);
}
