//! What must be true in the end, whatever happened.

use std::collections::BTreeMap;

use super::plan::Mail;
use super::world::World;
use crate::config::OnUnclear;
use crate::message::{Address, QueueId};
use crate::queue::{Details, RecipientState, RecipientStatus, State, Store};

/// What an attempt says that may bring somebody a second copy.
const SECOND_COPY: &str = "second copy";
/// What is said of a message that is held because it may have arrived.
const HELD: &str = "It is not sent again (delivery.on_unclear = \"hold\")";

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
            faults.extend(ledger.faults_of_quota.iter().map(|fault| format!("{name}: {fault}")));
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
    for recipient in &summary.recipients {
        let copies = copies(world, mail.number, recipient.address.as_str());
        let name = format!("{}, served {copies:?}", recipient.address);
        let total: usize = copies.values().sum();
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
        // No message lives as long as this one remembers.
        if copies.get("replays").is_some_and(|copies| *copies > 1) {
            faults.push(format!("{name}: twice where repeats are known"));
        }
        if total > 1 + excused(world, id, details, &recipient.address, &copies) {
            faults.push(format!("{name}: a second copy that no record speaks of"));
        }
        if is_held(recipient) && !may_be_held(world, id, mail) {
            faults.push(format!("{name}: held, and it cannot have arrived"));
        }
    }
    faults
}

/// How many copies too many there may be for this recipient: none where mail is held; else those of which a record says
/// that they may be, and one for each time that nothing could be written about a call to somebody who knows no repeats.
fn excused(
    world: &World,
    id: QueueId,
    details: &Details,
    recipient: &Address,
    copies: &BTreeMap<&'static str, usize>,
) -> usize {
    match world.plan.on_unclear {
        OnUnclear::Hold => return 0,
        OnUnclear::Retry => {}
    }
    let concerned = details
        .attempts
        .iter()
        .filter(|attempt| attempt.recipients.is_empty() || attempt.recipients.contains(recipient));
    let said = concerned
        .filter(|it| it.error.as_ref().is_some_and(|error| error.contains(SECOND_COPY)))
        .count();
    let knows_repeats = |name: &&str| {
        world.services.iter().any(|service| service.kind.name == *name && service.kind.recognises())
    };
    let unwritten = if copies.keys().all(knows_repeats) {
        0
    } else {
        world.interrupted.get(&id).copied().unwrap_or_default()
    };
    said + unwritten
}

fn is_held(recipient: &RecipientStatus) -> bool {
    recipient.reason.as_ref().is_some_and(|reason| reason.contains(HELD))
}

/// Only what really was in a call of which no answer was heard, or written down; or a moment before one.
fn may_be_held(world: &World, id: QueueId, mail: &Mail) -> bool {
    let unheard = || world.services.iter().any(|it| it.ledger().unclear.contains(&mail.number));
    let cut = || world.interrupted.contains_key(&id) || world.faulty.was_cut_short(id);
    world.plan.on_unclear == OnUnclear::Hold && (cut() || unheard())
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
