//! Several instances on one store.

use super::*;
use crate::clock::TimerClock;
use crate::queue::conformance::{at, message};

fn instances(store: &Arc<MemoryStore>, clock: &SharedClock) -> [MemoryInstance; 2] {
    ["a", "b"].map(|name| {
        let (store, clock) = (Arc::clone(store), Arc::clone(clock));
        MemoryInstance::join(store, name, clock, Duration::from_secs(30))
    })
}

#[tokio::test(start_paused = true)]
async fn what_a_silent_instance_has_claimed_goes_to_others_and_it_comes_back_under_another_name() {
    let store = Arc::new(MemoryStore::new(10));
    let clock: SharedClock = Arc::new(TimerClock::starting_at(at(1)));
    let [a, b] = instances(&store, &clock);
    let owner = a.presence().owner();
    let message = Arc::new(message(1));
    let lease = Lease { owner: Arc::clone(&owner), expires: at(10_000) };
    a.insert(Entry::held(Arc::clone(&message), lease)).await.unwrap();
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_secs(5)).await;
        b.beat();
        let lease = Lease { owner: b.presence().owner(), expires: at(10_000) };
        let found = b.claim(Portion::any(1, 1 << 20, 0), clock.now(), lease).await.unwrap();
        assert!(found.is_empty(), "it may come back");
    }
    assert!(!a.presence().holds(&owner, clock.now()), "sure of nothing before the others are");
    tokio::time::sleep(Duration::from_secs(5)).await;
    b.beat();
    let lease = Lease { owner: b.presence().owner(), expires: at(10_000) };
    let found = b.claim(Portion::any(1, 1 << 20, 0), clock.now(), lease).await.unwrap();
    assert_eq!(found.first().map(|claim| claim.message.id), Some(message.id));
    a.beat();
    assert_ne!(a.presence().owner(), owner);
    assert!(!a.presence().holds(&owner, clock.now()));
    assert!(a.presence().holds(&a.presence().owner(), clock.now()));
}
