//! What must be true in the end, whatever happened.

use std::collections::BTreeMap;

use super::plan::Mail;
use super::world::World;
use crate::message::QueueId;
use crate::queue::{Details, RecipientState, State, Store};

/// What an attempt says that may bring somebody a second copy.
const SECOND_COPY: &str = "second copy";

/// Whether delivery says of an attempt that it may bring a second copy.
const IS_SAID: bool = true;

/// How many faulty messages are shown whole.
const SHOWN: usize = 2;

/// Everything that is wrong; nothing if all is well.
pub(super) async fn faults(world: &World) -> Vec<String> {
    let mut faults = Vec::new();
    if !world.all_ended {
        faults.push("something is open for ever".to_owned());
    }
    for service in &world.services {
        let ledger = service.ledger();
        let name = service.kind.name;
        faults.extend(ledger.faults.iter().map(|fault| format!("{name}: {fault}")));
        if !world.plan.clock_jumps {
            faults.extend(ledger.faults_in_time.iter().map(|fault| format!("{name}: {fault}")));
        }
    }
    let accepted = world.accepted.lock().unwrap().clone();
    let mut shown = 0;
    for (id, mail) in &accepted {
        let Some(details) = world.store.show(*id).await.unwrap() else {
            faults.push(format!("{} is gone", mail.number));
            continue;
        };
        for fault in of_message(world, *id, mail, &details) {
            faults.push(format!("message {}: {fault}", mail.number));
            if shown < SHOWN {
                shown += 1;
                faults.push(format!("{details:#?}"));
            }
        }
    }
    faults.extend(strangers(world));
    faults
}

/// How often each provider has served this recipient.
fn copies(world: &World, number: usize, recipient: &str) -> BTreeMap<&'static str, usize> {
    let place = (number, recipient.to_owned());
    let of = |service: &std::sync::Arc<super::provider::Service>| {
        let copies = service.ledger().served.get(&place).copied()?;
        Some((service.kind.name, copies))
    };
    world.services.iter().filter_map(of).collect()
}

fn of_message(world: &World, id: QueueId, mail: &Mail, details: &Details) -> Vec<String> {
    let mut faults = Vec::new();
    let summary = &details.summary;
    match summary.state {
        State::Delivered => {}
        State::Failed if summary.error.as_ref().is_some_and(|error| !error.is_empty()) => {}
        State::Failed => faults.push("it failed without a reason".to_owned()),
        State::Queued | State::Sending | State::Cancelled => {
            faults.push(format!("it is {}", summary.state));
        }
    }
    let says_so = details
        .attempts
        .iter()
        .any(|attempt| attempt.error.as_ref().is_some_and(|error| error.contains(SECOND_COPY)));
    for recipient in &summary.recipients {
        let address = recipient.address.as_str();
        let copies = copies(world, mail.number, address);
        let total: usize = copies.values().sum();
        let name = format!("{address}, served {copies:?}");
        match recipient.state {
            RecipientState::Delivered if total == 0 => {
                faults.push(format!("{name}: delivered by nobody"));
            }
            RecipientState::Failed if recipient.reason.as_ref().is_none_or(String::is_empty) => {
                faults.push(format!("{name}: failed without a reason"));
            }
            RecipientState::Delivered | RecipientState::Failed => {}
            RecipientState::Queued | RecipientState::Cancelled | RecipientState::Suppressed => {
                faults.push(format!("{name}: {:?}", recipient.state));
            }
        }
        if copies.get("replays").is_some_and(|copies| *copies > 1) {
            faults.push(format!("{name}: twice where repeats are known"));
        }
        // A process that ended within the call could not write down more than that it had begun, and a clock that jumps
        // over the end of a lease makes one message two.
        let crashed = world.interrupted.contains(&id) && copies.keys().any(|it| *it != "replays");
        if IS_SAID && total > 1 && !says_so && !crashed && !world.plan.clock_jumps {
            faults.push(format!("{name}: a second copy that no record speaks of"));
        }
    }
    faults
}

/// Whoever was served without being in an envelope.
fn strangers(world: &World) -> Vec<String> {
    let sent: BTreeMap<usize, &Mail> = world.sent.iter().map(|mail| (mail.number, mail)).collect();
    let mut faults = Vec::new();
    for service in &world.services {
        for (number, recipient) in service.ledger().served.keys() {
            let known = sent.get(number).is_some_and(|mail| mail.recipients.contains(recipient));
            if !known {
                faults.push(format!("{recipient} is not in the envelope of message {number}"));
            }
        }
    }
    faults
}
