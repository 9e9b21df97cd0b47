//! Counters over time.

use super::*;
use crate::queue::{Grain, Sample, Spread};

/// The beginning of an hour.
const START: i64 = 1_790_002_800;

fn sample(at: i64, provider: &str, delivered: u64, calls: &[(Outcome, u64)]) -> Sample {
    let mut latency = Spread::default();
    latency.add(delivered);
    latency.add(u64::MAX);
    Sample {
        at,
        provider: provider.to_owned(),
        delivered,
        attempts: calls.to_vec(),
        latency,
        ..Sample::default()
    }
}

async fn read(store: &dyn Store, grain: Grain, from: i64, to: i64) -> Vec<Sample> {
    let mut samples = store.statistics().read(grain, from, to).await.unwrap();
    for sample in &mut samples {
        sample.attempts.sort_by_key(|(outcome, _)| outcome.name());
    }
    samples
}

pub(in crate::queue) async fn counters_of_the_same_step_add_up(open: Open) {
    let store = open(ROOMY).await;
    let statistics = store.statistics();
    let (good, bad) = (Outcome::Delivered, Outcome::Temporary);
    let relay = Sample { received: 3, failed: 2, cancelled: 1, ..sample(START + 59, "", 1, &[]) };
    statistics.add(vec![sample(START, "ses", 5, &[(good, 5)]), relay.clone()]).await.unwrap();
    statistics.add(vec![sample(START + 1, "ses", 2, &[(bad, 1), (good, 2)])]).await.unwrap();
    statistics.add(vec![sample(START + 60, "ses", 7, &[(good, 7)])]).await.unwrap();
    statistics.add(Vec::new()).await.unwrap();

    let mut first = sample(START, "ses", 5, &[(good, 5)]);
    first.merge(&sample(START, "ses", 2, &[(good, 2), (bad, 1)]));
    let second = sample(START + 60, "ses", 7, &[(good, 7)]);
    let relay = Sample { at: START, ..relay };
    let minutes = read(&*store, Grain::Minute, START, START + 3_600).await;
    assert_eq!(minutes, [relay.clone(), first.clone(), second.clone()]);

    first.merge(&second);
    let hours = read(&*store, Grain::Hour, START, START + 3_600).await;
    assert_eq!(hours, [relay, first], "hours come from the same");
}

pub(in crate::queue) async fn counters_are_read_from_one_moment_to_another(open: Open) {
    let store = open(ROOMY).await;
    for minute in 0..5 {
        let one = sample(START + minute * 60, "ses", 1, &[]);
        store.statistics().add(vec![one]).await.unwrap();
    }
    let from = async |from, to| {
        let found = read(&*store, Grain::Minute, START + from, START + to).await;
        found.iter().map(|sample| sample.at - START).collect::<Vec<_>>()
    };
    assert_eq!(from(60, 180).await, [60, 120], "the end is left out");
    assert_eq!(from(61, 181).await, [120, 180]);
    assert_eq!(from(0, 10_000).await, [0, 60, 120, 180, 240]);
    assert_eq!(from(180, 60).await, [0; 0]);
}

pub(in crate::queue) async fn counters_are_kept_for_their_time(open: Open) {
    let store = open(ROOMY).await;
    let now = Timestamp::from_second(START).unwrap();
    let kept = |grain: Grain| START - grain.kept();
    for at in [
        kept(Grain::Minute),
        kept(Grain::Minute) - 60,
        kept(Grain::Hour),
        kept(Grain::Hour) - 3_600,
    ] {
        store.statistics().add(vec![sample(at, "ses", 1, &[])]).await.unwrap();
    }
    let long = Duration::from_secs(1_000 * 24 * 3_600);
    let mut slices = 0;
    while store.sweep(long, long, now).await.unwrap() > 0 {
        slices += 1;
        assert!(slices < 10);
    }
    let ats = async |grain| {
        let found = read(&*store, grain, 0, i64::MAX).await;
        found.iter().map(|sample| sample.at).collect::<Vec<_>>()
    };
    assert_eq!(ats(Grain::Minute).await, [kept(Grain::Minute)]);
    let first = Grain::Hour.begin(kept(Grain::Minute) - 60);
    assert_eq!(ats(Grain::Hour).await, [kept(Grain::Hour), first, kept(Grain::Minute)]);
}
