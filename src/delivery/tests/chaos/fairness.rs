//! A flood of one sender, and mail of others that somebody waits for.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;

use crate::delivery::tests::scripted::{Scripted, World, pass, rules, settings, submission};
use crate::message::Submission;
use crate::provider::Rate;
use crate::queue::State;

/// The flood: an hour of work for the provider.
const FLOOD: usize = 3_600;
/// What somebody bears who waits for a mail, while the flood goes on.
const BEARABLE: Duration = Duration::from_secs(15);

fn by(user: &str, recipient: &str) -> Submission {
    Submission { user: Some(user.to_owned()), ..submission(&[recipient]) }
}

/// How long the mails of a small sender take while a flood goes out at one call a second.
async fn waits(seed: u64, bulk: bool) -> Vec<Duration> {
    let mut rng = Rng::with_seed(seed);
    let provider = Arc::new(Scripted::new());
    let mut settings = settings(&[("resend", &provider)], rules());
    for lane in &mut settings.lanes {
        lane.rate = Some(Rate { calls: 1, per: Duration::from_secs(1) });
    }
    let world = World::with(settings);
    for number in 0..FLOOD {
        let mut mail = by("news", &format!("reader{number}@example.net"));
        if bulk {
            let mut raw = b"Precedence: bulk\r\n".to_vec();
            raw.extend_from_slice(&mail.raw);
            mail.raw = raw.into();
        }
        world.intake.accept(mail).await.unwrap();
    }
    let mut waits = Vec::new();
    for number in 0..10 {
        pass(Duration::from_millis(rng.u64(1_000..60_000))).await;
        let user = if rng.bool() { "lemmy" } else { "gitea" };
        let begun = tokio::time::Instant::now();
        let mail = by(user, &format!("somebody{number}@example.net"));
        let id = world.intake.accept(mail).await.unwrap();
        world.until(id, State::Delivered).await;
        waits.push(begun.elapsed());
    }
    waits
}

#[tokio::test(start_paused = true)]
async fn a_flood_does_not_hold_up_the_mail_of_others() {
    for (seed, bulk) in [(1, false), (2, true)] {
        let waits = waits(seed, bulk).await;
        let longest = waits.iter().max().unwrap();
        assert!(*longest <= BEARABLE, "seed {seed}, bulk: {bulk}: {waits:?}");
    }
}
