//! Another configuration while mail is under way.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::scripted::{Scripted, World, pass, rules, settings, submission};
use super::ways::routes;
use crate::delivery::{ProviderState, SetupMark};
use crate::message::Submission;
use crate::provider::Verdict;
use crate::queue::State;

const BOB: &[&str] = &["bob@example.net"];
const REFUSED: Result<(), Verdict> = Err(Verdict::Misconfigured);

fn dead() -> Arc<Scripted> {
    let dead = Arc::new(Scripted::new().always(REFUSED));
    dead.probe_says(REFUSED);
    dead
}

#[tokio::test(start_paused = true)]
async fn a_provider_of_which_nothing_has_changed_keeps_its_standing() {
    let (one, other) = (dead(), Arc::new(Scripted::new()));
    let world = World::new(&[("resend", &one)]);
    let id = world.submit(BOB).await;
    pass(Duration::from_secs(1)).await;
    let (calls, state) = (one.seen().len(), world.delivery.status()[0].state);
    assert_eq!(state, ProviderState::Misconfigured);

    // Its own provider object is not the one that the new configuration brings: nothing has changed.
    world.delivery.reload(settings(&[("resend", &other)], rules()));
    pass(Duration::from_secs(1)).await;
    assert_eq!(world.delivery.status()[0].state, ProviderState::Misconfigured);
    assert_eq!((one.seen().len(), other.seen().len()), (calls, 0));

    let mut mended = settings(&[("resend", &other)], rules());
    mended.lanes[0].mark = SetupMark::of(["another key"]);
    world.delivery.reload(mended);
    pass(Duration::from_millis(100)).await;
    assert_eq!(world.show(id).await.summary.state, State::Delivered, "at once");
    assert_eq!(world.delivery.status()[0].state, ProviderState::Up);
    assert_eq!(world.delivery.status().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_is_gone_ends_its_calls_and_what_waits_for_it_goes_elsewhere() {
    let slow = Arc::new(Scripted::with_latency(Duration::from_secs(5)));
    let other = Arc::new(Scripted::new());
    let world = World::new(&[("resend", &slow)]);
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(world.submit(BOB).await);
    }
    pass(Duration::from_secs(1)).await;
    world.delivery.reload(settings(&[("ses", &other)], rules()));
    pass(Duration::from_secs(1)).await;
    assert_eq!((slow.seen().len(), other.seen().len()), (0, 16), "four were under way");
    pass(Duration::from_secs(5)).await;
    for id in ids {
        assert_eq!(world.show(id).await.summary.state, State::Delivered);
    }
    assert_eq!((slow.seen().len(), other.seen().len()), (4, 16));
    pass(Duration::from_mins(5)).await;
    assert_eq!(world.delivery.providers(), ["ses"]);
}

#[tokio::test(start_paused = true)]
async fn mail_that_waits_takes_the_new_routes() {
    let (resend, ses) = (dead(), Arc::new(Scripted::new()));
    let with = |routed: &str, users: &[(&str, &str)]| {
        let mut settings = settings(&[("resend", &resend), ("ses", &ses)], rules());
        settings.lanes[1].in_route = false;
        settings.routes = routes(routed);
        let users = users.iter().map(|(user, route)| ((*user).to_owned(), (*route).to_owned()));
        settings.user_routes = users.collect::<HashMap<_, _>>();
        settings
    };
    let world = World::with(with("", &[]));
    let by_domain = world.submit(&["a@mail.kr"]).await;
    let of_lemmy = Submission { user: Some("lemmy".to_owned()), ..submission(BOB) };
    let by_user = world.intake.accept(of_lemmy).await.unwrap();
    let neither = world.submit(BOB).await;
    pass(Duration::from_mins(1)).await;
    let way = world.show(by_domain).await.summary.way;
    assert_eq!(way.name(), "default");

    let toml = "[[routes]]\nname = 'korea'\nproviders = 'ses'\nrecipient_domain = '*.kr'\n\
                [[routes]]\nname = 'theirs'\nproviders = 'ses'\nsender = 'nobody@example.org'\n";
    world.delivery.reload(with(toml, &[("lemmy", "theirs")]));
    pass(Duration::from_secs(3)).await;
    assert_eq!(world.show(by_domain).await.summary.state, State::Delivered);
    assert_eq!(world.show(by_user).await.summary.state, State::Delivered);
    assert_eq!(world.show(neither).await.summary.state, State::Queued);
    assert_ne!(world.show(neither).await.summary.way, way, "it was looked at anew");
    assert_eq!(ses.seen().len(), 2);
}
