//! By which way each message goes: its routes by the present configuration, and the name under which it waits.

use super::board::Board;
use super::brought::Way;
use super::job::Job;
use super::lane::LaneId;
use super::parts::Parts;
use super::route::RouteId;
use crate::clock::Timestamp;
use crate::message::Message;
use crate::queue::{Turn, WayKey};
use crate::seal::Fingerprint;

/// Ways of several routes that are remembered. Mail of others is handed out with what is unknown.
const MIXED_MAX: usize = 64;

/// The way of mail that goes by one provider, whatever the routes say.
pub(super) fn of_provider(name: &str) -> WayKey {
    WayKey::new(&format!("provider-{name}"), 0)
}

/// The way of mail that goes by an account that its client brought.
pub(super) fn of_account(fingerprint: &Fingerprint) -> WayKey {
    WayKey::new(&format!("account-{fingerprint}"), 0)
}

/// What is known about a fresh message before it is kept.
#[derive(Debug)]
pub(super) struct Fresh {
    /// By which way it goes.
    pub(super) way: WayKey,
    /// Its recipients' routes.
    pub(super) parts: Parts,
    /// It may go on from memory.
    pub(super) takes: bool,
    /// By which provider it is about to be tried, where that must be in its record.
    pub(super) ahead: Option<String>,
}

impl Board {
    /// Looks at a message that comes in.
    pub(super) fn fresh(&mut self, message: &Message, way: &Way, now: Timestamp) -> Fresh {
        let mut parts = self.routing.parts(message, message.envelope.recipients.iter());
        parts.routing = self.generation;
        let takes = self.takes(&parts, way, Turn::of(message), now);
        let lane = if takes && parts.is_one() { self.likely(&parts, way, now) } else { None };
        let ahead = lane.and_then(|lane| self.ahead(lane, now));
        let key = match way {
            Way::Route if parts.is_one() => self.routing.key(&[parts.now()]),
            Way::Route => self.key(parts.all_routes()),
            Way::Account(brought) => of_account(&brought.fingerprint),
            Way::Locked(_) => WayKey::default(),
        };
        Fresh { way: key, parts, takes, ahead }
    }

    /// The lane that an operator has named for the message, if there is such a provider.
    pub(super) fn pinned(&self, job: &Job) -> Option<LaneId> {
        self.find(job.claim.pinned_provider.as_deref()?)
    }

    /// Sees to it that the message is divided by the present routes.
    pub(super) fn divide(&self, job: &mut Job) {
        if job.parts.routing == self.generation {
            return;
        }
        job.parts = match job.way {
            Way::Route if self.pinned(job).is_none() => {
                let recipients = job.claim.recipients.iter();
                self.routing.parts(&job.claim.message, recipients.map(|it| &it.address))
            }
            Way::Route | Way::Account(_) | Way::Locked(_) => Parts::default(),
        };
        job.parts.routing = self.generation;
    }

    /// The name of the way by which what is left of the message goes. Empty where it goes by none.
    pub(super) fn way_of(&mut self, job: &mut Job) -> WayKey {
        match &job.way {
            Way::Account(brought) => of_account(&brought.fingerprint),
            Way::Locked(_) => WayKey::default(),
            Way::Route => match self.pinned(job) {
                Some(lane) => of_provider(self.name(lane)),
                None => {
                    self.divide(job);
                    self.key(job.parts.open(&job.claim.recipients))
                }
            },
        }
    }

    /// True when mail of these routes, which are several, is left out of reads while they are closed.
    pub(super) fn remembers(&mut self, routes: Vec<RouteId>) -> bool {
        let is_mixed = routes.len() > 1;
        let key = self.key(routes);
        !is_mixed || self.mixed.contains_key(&key)
    }

    fn key(&mut self, routes: Vec<RouteId>) -> WayKey {
        let key = self.routing.key(&routes);
        if routes.len() > 1 && self.mixed.len() < MIXED_MAX {
            self.mixed.entry(key.clone()).or_insert(routes);
        }
        key
    }
}
