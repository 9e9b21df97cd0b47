//! Whose mail goes first.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::scripted::{Scripted, World, pass, rules, settings, submission};
use crate::message::Submission;
use crate::provider::Rate;
use crate::queue::Store;

fn of(user: &str, recipient: &str) -> Submission {
    Submission { user: Some(user.to_owned()), ..submission(&[recipient]) }
}

fn bulk(user: &str, recipient: &str) -> Submission {
    let raw = "From: ada@example.org\r\nTo: undisclosed:;\r\nPrecedence: bulk\r\n\r\nhi\r\n";
    Submission { raw: Bytes::from(raw), ..of(user, recipient) }
}

fn place(provider: &Scripted, recipient: &str) -> usize {
    let seen = provider.seen();
    seen.iter().position(|seen| seen.recipients == [recipient]).unwrap()
}

fn slow(provider: &Arc<Scripted>) -> World {
    let mut settings = settings(&[("resend", provider)], rules());
    settings.lanes[0].rate = Some(Rate { calls: 10, per: Duration::from_secs(1) });
    World::with(settings)
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_one_sender_does_not_delay_the_mail_of_another() {
    for flood in [200, 2_000] {
        let provider = Arc::new(Scripted::new());
        let world = slow(&provider);
        for _ in 0..flood {
            world.intake.accept(of("lemmy", "many@example.net")).await.unwrap();
        }
        pass(Duration::from_secs(1)).await;
        let gone = provider.seen().len();
        world.intake.accept(of("gitea", "code@example.net")).await.unwrap();
        pass(Duration::from_secs(2)).await;
        let place = place(&provider, "code@example.net");
        assert!(place <= gone + 5, "behind {}", place - gone);
    }
}

#[tokio::test(start_paused = true)]
async fn all_of_a_flood_goes_out() {
    let provider = Arc::new(Scripted::new());
    let world = slow(&provider);
    for _ in 0..1_000 {
        world.intake.accept(of("lemmy", "many@example.net")).await.unwrap();
    }
    pass(Duration::from_secs(110)).await;
    assert_eq!(provider.seen().len(), 1_000);
    let counts = world.store.counts().await.unwrap();
    assert_eq!((counts.queued, counts.sending), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn bulk_mail_goes_after_the_urgent_and_is_not_starved() {
    let provider = Arc::new(Scripted::new());
    let world = slow(&provider);
    for number in 0..50 {
        world.intake.accept(bulk("news", &format!("b{number}@example.net"))).await.unwrap();
    }
    for number in 0..50 {
        world.intake.accept(of("gitea", &format!("u{number}@example.net"))).await.unwrap();
    }
    pass(Duration::from_secs(20)).await;
    let last = place(&provider, "u49@example.net");
    assert!(last < 60, "{last}");
    let seen = provider.seen();
    let bulk = seen[..last].iter().filter(|seen| seen.recipients[0].starts_with('b')).count();
    assert!((3..=8).contains(&bulk), "{bulk}");
    assert_eq!(provider.seen().len(), 100);
}
