//! What happens to a message that a provider could carry in part only.

use std::sync::Arc;

use super::scripted::{Scripted, World, rules, settings};
use crate::config::OnLoss;
use crate::delivery::Settings;
use crate::message::Loss;
use crate::queue::{Details, Outcome, State};

const BOB: &[&str] = &["bob@example.net"];

fn lossy(loss: fn(&'static str, &'static str) -> Loss) -> Arc<Scripted> {
    Arc::new(Scripted::that_loses(&[loss("part 2 (image/png)", "there are no inline images")]))
}

fn world(on_loss: OnLoss, providers: &[(&str, &Arc<Scripted>)]) -> World {
    World::with(Settings { on_loss, ..settings(providers, rules()) })
}

fn outcomes(details: &Details) -> Vec<(&str, Outcome, usize)> {
    let attempts = details.attempts.iter();
    attempts.map(|it| (it.provider.as_str(), it.outcome, it.losses.len())).collect()
}

fn grave(what: &'static str, why: &'static str) -> Loss {
    Loss::grave(what, why)
}

fn slight(what: &'static str, why: &'static str) -> Loss {
    Loss::slight(what, why)
}

#[tokio::test(start_paused = true)]
async fn a_grave_loss_sends_the_message_to_the_next_provider() {
    let (first, second) = (lossy(grave), Arc::new(Scripted::new()));
    let world = world(OnLoss::Next, &[("brevo", &first), ("ses", &second)]);
    let id = world.submit(BOB).await;
    let details = world.until(id, State::Delivered).await;
    assert_eq!(outcomes(&details), [("brevo", Outcome::Unfit, 1), ("ses", Outcome::Delivered, 0)]);
    assert_eq!(first.seen().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_nobody_can_carry_whole_fails_with_the_reason() {
    let (first, second) = (lossy(grave), lossy(grave));
    let world = world(OnLoss::Next, &[("brevo", &first), ("postmark", &second)]);
    let id = world.submit(BOB).await;
    let details = world.until(id, State::Failed).await;
    assert_eq!(outcomes(&details).len(), 2);
    let error = details.summary.error.unwrap();
    assert!(error.contains("part 2 (image/png) would be lost: there are no inline"), "{error}");
    assert!(error.contains("delivery.on_loss"), "{error}");
    assert_eq!(first.seen().len() + second.seen().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn refuse_looks_for_no_other_provider() {
    let (first, second) = (lossy(grave), Arc::new(Scripted::new()));
    let world = world(OnLoss::Refuse, &[("brevo", &first), ("ses", &second)]);
    let id = world.submit(BOB).await;
    let details = world.until(id, State::Failed).await;
    assert_eq!(outcomes(&details), [("brevo", Outcome::Unfit, 1)]);
    assert_eq!(second.seen().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn send_sends_what_can_be_carried_and_records_the_rest() {
    let (first, second) = (lossy(grave), Arc::new(Scripted::new()));
    let world = world(OnLoss::Send, &[("brevo", &first), ("ses", &second)]);
    let id = world.submit(BOB).await;
    let details = world.until(id, State::Delivered).await;
    assert_eq!(outcomes(&details), [("brevo", Outcome::Delivered, 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_slight_loss_stops_nothing() {
    for on_loss in [OnLoss::Next, OnLoss::Refuse, OnLoss::Send] {
        let (first, second) = (lossy(slight), Arc::new(Scripted::new()));
        let world = world(on_loss, &[("brevo", &first), ("ses", &second)]);
        let id = world.submit(BOB).await;
        let details = world.until(id, State::Delivered).await;
        assert_eq!(outcomes(&details), [("brevo", Outcome::Delivered, 1)]);
    }
}
