//! Routes of users.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::scripted::{Scripted, World, pass, rules, settings, submission};
use crate::config::{RouteConditions, RouteConfig};
use crate::message::{QueueId, Submission};
use crate::provider::Verdict;
use crate::queue::{State, Store};

const BOB: &[&str] = &["bob@example.net"];
const PASSING: Verdict = Verdict::Temporary { retry_after: None };

/// `resend` is the default route; the mail of `lemmy` goes by `ses`, then by `sendgrid`.
fn world(resend: &Arc<Scripted>, ses: &Arc<Scripted>, sendgrid: &Arc<Scripted>) -> World {
    let mut settings =
        settings(&[("resend", resend), ("sendgrid", sendgrid), ("ses", ses)], rules());
    settings.lanes[1].in_route = false;
    settings.lanes[2].in_route = false;
    settings.routes = vec![route("theirs", &["ses", "sendgrid"], RouteConditions::default())];
    settings.user_routes = HashMap::from([("lemmy".to_owned(), "theirs".to_owned())]);
    World::with(settings)
}

pub(super) fn route(name: &str, providers: &[&str], conditions: RouteConditions) -> RouteConfig {
    let providers = providers.iter().map(|name| (*name).to_owned()).collect();
    RouteConfig { name: name.to_owned(), providers, conditions }
}

async fn submit_as(world: &World, user: &str) -> QueueId {
    let submission = Submission { user: Some(user.to_owned()), ..submission(BOB) };
    world.intake.accept(submission).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_mail_of_a_user_takes_the_users_route() {
    let [resend, ses, sendgrid] = [(); 3].map(|()| Arc::new(Scripted::new()));
    let world = world(&resend, &ses, &sendgrid);
    let lemmy = submit_as(&world, "lemmy").await;
    let other = submit_as(&world, "other").await;
    let nobody = world.submit(BOB).await;
    let provider = async |id| world.until(id, State::Delivered).await.summary.provider.unwrap();
    assert_eq!(provider(lemmy).await, "ses");
    assert_eq!(provider(other).await, "resend");
    assert_eq!(provider(nobody).await, "resend");
}

#[tokio::test(start_paused = true)]
async fn failover_stays_inside_the_route() {
    let [resend, sendgrid] = [(); 2].map(|()| Arc::new(Scripted::new()));
    let ses = Arc::new(Scripted::new().always(Err(Verdict::Misconfigured)));
    let world = world(&resend, &ses, &sendgrid);
    let id = submit_as(&world, "lemmy").await;
    let details = world.until(id, State::Delivered).await;
    assert_eq!(details.summary.provider.as_deref(), Some("sendgrid"));

    sendgrid.now_answers(Err(Verdict::Misconfigured));
    sendgrid.probe_says(Err(Verdict::Misconfigured));
    ses.probe_says(Err(Verdict::Misconfigured));
    let id = submit_as(&world, "lemmy").await;
    pass(Duration::from_hours(30)).await;
    assert_eq!(world.show(id).await.summary.state, State::Queued);
    assert!(resend.seen().is_empty(), "the default route is not theirs");
}

#[tokio::test(start_paused = true)]
async fn a_dead_route_does_not_hold_up_another() {
    let [resend, sendgrid] = [(); 2].map(|()| Arc::new(Scripted::new()));
    let ses = Arc::new(Scripted::new().always(Err(Verdict::Misconfigured)));
    for dead in [&ses, &sendgrid] {
        dead.now_answers(Err(Verdict::Misconfigured));
        dead.probe_says(Err(Verdict::Misconfigured));
    }
    let world = world(&resend, &ses, &sendgrid);
    for _ in 0..5_000 {
        submit_as(&world, "lemmy").await;
    }
    pass(Duration::from_mins(5)).await;
    resend.now_answers(Err(PASSING));
    let id = world.submit(BOB).await;
    pass(Duration::from_secs(1)).await;
    resend.now_answers(Ok(()));
    let begun = world.clock.now();
    world.until(id, State::Delivered).await;
    let took = world.clock.now().duration_since(begun).unsigned_abs();
    assert!(took < Duration::from_secs(10), "{took:?}");

    for mended in [&ses, &sendgrid] {
        mended.now_answers(Ok(()));
        mended.probe_says(Ok(()));
    }
    pass(Duration::from_mins(15)).await;
    assert_eq!(world.store.counts().await.unwrap().queued, 0);
    assert!(resend.seen().len() < 5, "the mail of others goes by their own route");
}

#[tokio::test(start_paused = true)]
async fn a_route_that_is_down_gives_its_mail_up_though_another_waits_for_its_key() {
    let resend = Arc::new(Scripted::new().always(Err(PASSING)));
    resend.probe_says(Err(PASSING));
    let ses = Arc::new(Scripted::new().always(Err(Verdict::Misconfigured)));
    ses.probe_says(Err(Verdict::Misconfigured));
    let sendgrid = Arc::new(Scripted::new().always(Err(Verdict::Misconfigured)));
    sendgrid.probe_says(Err(Verdict::Misconfigured));
    let world = world(&resend, &ses, &sendgrid);
    let waits = submit_as(&world, "lemmy").await;
    for _ in 0..20 {
        world.submit(BOB).await;
    }
    pass(Duration::from_hours(48)).await;
    assert_eq!(world.store.counts().await.unwrap().failed, 20);
    assert_eq!(world.show(waits).await.summary.state, State::Queued);
}
