//! Whose header fields give a provider orders: of a client that may, in every mode and after every restart.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use fastrand::Rng;

use super::scripted::{Scripted, World, rules, settings, submission};
use crate::clock::{SharedClock, TimerClock};
use crate::delivery::{Delivery, Settings};
use crate::message::Submission;
use crate::message::raw::{RawEdits, prepare_raw};
use crate::provider::{
    Call, Capabilities, IdempotencyKey, Letter, Provider, Receipt, SendError, Unfit,
};
use crate::queue::State;

/// Notes the orders that it is given, and sends the message as it is.
#[derive(Debug)]
struct Watcher {
    capabilities: Capabilities,
    orders: Mutex<Vec<Vec<String>>>,
}

#[async_trait]
impl Provider for Watcher {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn prepare(&self, letter: &Letter<'_>) -> Result<Call, Unfit> {
        let orders = letter.email.options.iter().map(|(name, value)| format!("{name}={value}"));
        self.orders.lock().unwrap().push(orders.collect());
        let edits = RawEdits {
            id: letter.id,
            received_at: letter.received_at,
            envelope: letter.envelope,
            email: letter.email,
        };
        let raw = prepare_raw(letter.raw, &edits).into_owned();
        let text = String::from_utf8(raw.clone()).unwrap();
        assert!(!text.contains("X-PM-") && !text.contains("Resend-"), "{text}");
        Ok(Call::new(raw, "message/rfc822"))
    }

    async fn send(&self, _: &Call, _: &IdempotencyKey) -> Result<Receipt, SendError> {
        Ok(Receipt::default())
    }

    async fn probe(&self) -> Result<(), SendError> {
        Ok(())
    }
}

fn watched() -> (Arc<Watcher>, Settings) {
    let scripted = Arc::new(Scripted::new());
    let watcher = Arc::new(Watcher {
        capabilities: scripted.capabilities().clone(),
        orders: Mutex::default(),
    });
    let mut settings = settings(&[("resend", &scripted)], rules());
    settings.lanes[0].provider = Arc::clone(&watcher) as Arc<dyn Provider>;
    (watcher, settings)
}

fn with_orders(may_steer: bool) -> Submission {
    let raw = "Resend-Idempotency-Key: k\r\nFrom: ada@example.org\r\nX-PM-Tag: t\r\n\r\nhi\r\n";
    let submission = submission(&["bob@example.net"]);
    Submission { raw: Bytes::from_static(raw.as_bytes()), may_steer, ..submission }
}

impl Watcher {
    fn seen(&self) -> Vec<Vec<String>> {
        self.orders.lock().unwrap().clone()
    }
}

fn both() -> Vec<String> {
    vec!["Resend-Idempotency-Key=k".to_owned(), "X-PM-Tag=t".to_owned()]
}

#[tokio::test(start_paused = true)]
async fn orders_of_a_client_that_may_not_are_ignored() {
    let (watcher, settings) = watched();
    let world = World::with(settings);
    for may_steer in [true, false] {
        let id = world.intake.accept(with_orders(may_steer)).await.unwrap();
        world.until(id, State::Delivered).await;
    }
    assert_eq!(watcher.seen(), [both(), vec![]]);
}

#[tokio::test(start_paused = true)]
async fn a_restart_makes_nobody_trusted() {
    let (_, mut away) = watched();
    away.lanes.clear();
    let world = World::with(away);
    let mut ids = Vec::new();
    for may_steer in [true, false] {
        ids.push(world.intake.accept(with_orders(may_steer)).await.unwrap());
    }
    let clock = Arc::clone(&world.clock);
    let store = world.stop().await;

    let (watcher, settings) = watched();
    let world = World::over(store, clock, settings);
    for id in ids {
        world.until(id, State::Delivered).await;
    }
    let mut seen = watcher.seen();
    seen.sort();
    assert_eq!(seen, [vec![], both()]);
}

#[tokio::test(start_paused = true)]
async fn direct_mode_knows_who_may_as_well() {
    let (watcher, settings) = watched();
    let start = "2026-11-21T00:00:00Z".parse().unwrap();
    let clock: SharedClock = Arc::new(TimerClock::starting_at(start));
    let intake = Delivery::new(settings, None, clock, Rng::with_seed(7)).direct();
    for may_steer in [true, false] {
        intake.accept(with_orders(may_steer)).await.unwrap();
    }
    assert_eq!(watcher.seen(), [both(), vec![]]);
}
