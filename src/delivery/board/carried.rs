//! What a delivery says about the way that mail of its route takes.

use super::Board;
use crate::clock::Timestamp;
use crate::delivery::brought::Way;
use crate::delivery::failover::Moved;
use crate::delivery::job::Job;
use crate::delivery::lane::LaneId;

impl Board {
    /// A message was delivered by this lane. What that says about the way of its route's mail, if it is something new.
    pub(in crate::delivery) fn carried(
        &mut self,
        job: &Job,
        lane: LaneId,
        now: Timestamp,
    ) -> Option<Moved> {
        if !matches!(job.way, Way::Route) || job.claim.pinned_provider.is_some() {
            return None;
        }
        let route = job.parts.now();
        let preferred = *self.order(route).first()?;
        if preferred == lane && self.failovers.is_quiet() {
            return None;
        }
        let roster = &self.roster;
        let closed = |name: &str| {
            let lane = roster.lane(roster.find(name)?);
            (!lane.is_open(now)).then(|| lane.state(now))
        };
        let name = |id| &*roster.lane(id).setup.name;
        let route = self.routing.name(route);
        self.failovers.delivered(route, name(preferred), name(lane), closed, now)
    }
}
