//! What one read of the queue has brought, on its way to the lanes.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::course;
use super::engine::Engine;
use super::job::Job;
use super::units::UnitPlacement;
use crate::queue::{Claim, Lease, Place};

impl Engine {
    /// Finds lanes for messages claimed from the queue, none of them large, and starts them. Batches that are to be
    /// repeated are put together again; of the others those that can travel together wait for each other.
    pub(super) async fn offer_all(self: &Arc<Self>, claims: Vec<Claim>, lease: &Lease) {
        let mut singles = Vec::new();
        let mut units: Vec<(Place, Vec<Job>)> = Vec::new();
        for claim in claims {
            let room = self.memory.take_what_is_left(claim.message.raw.len());
            let way = self.way(&claim.message);
            let job = Job::new(claim, lease.clone(), way, room);
            match (job.place(), units.last_mut()) {
                (None, _) => singles.push(job),
                (Some(place), Some((of, unit))) if of.batch == place.batch => unit.push(job),
                (Some(place), _) => units.push((place, vec![job])),
            }
        }
        for (_, unit) in units {
            self.dispatch_unit(unit);
        }
        self.note_ahead(&mut singles).await;
        let in_company = singles.len() > 1;
        for mut job in singles {
            job.in_company = in_company;
            self.dispatch(job);
        }
        self.start_ready();
    }

    /// Writes down by whom these are about to be tried, as things stand, in one step for each provider. Those for which
    /// this fails, or which go elsewhere after all, are noted one by one.
    ///
    /// Not while there is a list of addresses that get no mail: what is noted is repeated without a look at it.
    async fn note_ahead(&self, jobs: &mut [Job]) {
        if self.list().is_some() {
            return;
        }
        let names: Vec<Option<String>> = {
            let (board, now) = (self.board(), self.now());
            jobs.iter().map(|job| board.ahead_of(job, now)).collect()
        };
        let different: BTreeSet<&String> = names.iter().flatten().collect();
        for name in different {
            let of_name = jobs.iter_mut().zip(&names);
            let mut of_name: Vec<&mut Job> = of_name
                .filter(|(_, other)| other.as_ref() == Some(name))
                .map(|(job, _)| job)
                .collect();
            if let [_, _, ..] = of_name.as_slice() {
                self.begin(&mut of_name, name, None).await.ok();
            }
        }
    }

    fn dispatch_unit(self: &Arc<Self>, unit: Vec<Job>) {
        let placement = self.board().assign_unit(unit, self.now());
        match placement {
            UnitPlacement::Run(lane, unit) => self.start_crew(lane, unit, true),
            UnitPlacement::Parked => self.pump.notify_one(),
            UnitPlacement::Back { unit, due, why } => {
                let (rules, now) = (self.policy().rules, self.now());
                let down = unit.first().and_then(|job| self.board().all_down_since(job));
                let in_vain =
                    |job| down.is_some_and(|since| course::waits_in_vain(job, since, &rules, now));
                let over = unit.iter().all(in_vain);
                let next = move |job: Job| {
                    let words = why.as_deref().unwrap_or("no provider answers");
                    let next = if over {
                        course::given_up(&job, words, now)
                    } else {
                        course::wait(due, why.clone())
                    };
                    (Box::new(job), next)
                };
                let settled = unit.into_iter().map(next).collect();
                let engine = Arc::clone(self);
                self.tasks.spawn(async move { engine.settle_all(settled).await });
            }
            UnitPlacement::Broken(unit) => self.break_up(unit),
        }
    }

    /// Places messages anew that cannot stay where they waited. Members of a batch go back to the queue, which hands them
    /// out together.
    pub(super) fn dispatch_all(self: &Arc<Self>, jobs: Vec<Job>) {
        let (members, others): (Vec<_>, Vec<_>) =
            jobs.into_iter().partition(|job| job.place().is_some());
        if !members.is_empty() {
            let engine = Arc::clone(self);
            let again = |job| (Box::new(job), course::wait(self.now(), None));
            let settled = members.into_iter().map(again).collect();
            self.tasks.spawn(async move { engine.settle_all(settled).await });
        }
        others.into_iter().for_each(|job| self.dispatch(job));
    }
}
