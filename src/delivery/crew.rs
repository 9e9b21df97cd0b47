//! Messages that travel together: one request with a call of each of them.
//!
//! Where the provider recognises a repeat, members and order are in the queue's record before the request is made, and an
//! unclear end repeats the same request under the same key, also after a restart. Elsewhere each member goes its own way.

mod members;
mod repeats;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use self::members::{
    Crew, batch_id, can_join, expected_bytes, join, nobody, of_a_panic, put_in_doubt,
};
use super::calls::{Lane, Timing, is_refusal, silence};
use super::caught::caught;
use super::course::{self, Obstacle};
use super::doubt::{self, Answer};
use super::engine::{AfterAttempt, Engine, follow};
use super::job::Job;
use super::lane::LaneId;
use super::limits::{Permit, recipients_of_all, served_of_joined};
use super::slot::Slot;
use crate::message::Addressing;
use crate::provider::{Call, Form, Idempotency, IdempotencyKey, Receipt, SendError, Verdict};
use crate::queue::{BatchId, Outcome, StoreError};

/// After so many messages that were prepared others get their turn on the processor.
const PREPARED_IN_A_ROW: usize = 16;

/// How a request ended: what it says of each member, or of all of them.
type Joined = Result<Vec<Result<Receipt, SendError>>, SendError>;

/// What became of the members of a crew that was to set off.
enum Boarding {
    Ready(Box<Crew>, Call, BatchId),
    /// They do not fit together; in their order.
    Apart(Vec<Job>),
    /// Nothing can be done for them now.
    Over(Vec<Job>),
}

impl Engine {
    /// Sends these together, by a lane whose slot is taken; `repeat` when nobody knows how that has ended before.
    pub(super) fn start_crew(self: &Arc<Self>, lane: LaneId, jobs: Vec<Job>, repeat: bool) {
        self.tasks.spawn(Arc::clone(self).travel(lane, jobs, repeat));
    }

    async fn travel(self: Arc<Self>, lane: LaneId, jobs: Vec<Job>, repeat: bool) {
        let slot = Slot::taken(&self, lane);
        let (provider, name, edition) = self.board().account(lane);
        let way = Lane { lane, provider: &*provider, name: &name, edition, whole: true };
        let bytes = expected_bytes(&jobs);
        let room = self.memory.joined(bytes).await;
        let boarding = match &room {
            Some(_) if repeat => self.board_again(&way, jobs).await,
            Some(_) => self.board_crew(&way, jobs, bytes).await,
            None => Boarding::Over(jobs),
        };
        match boarding {
            Boarding::Ready(mut crew, joined, batch) => {
                let Some(mut permit) = permit_of(&crew.jobs) else {
                    return self.hand_all_back(slot, crew.jobs);
                };
                let leave = self.leave(lane, &crew.addressings, &mut permit).await;
                crew.jobs.iter_mut().for_each(|job| job.counted = permit.counted);
                let leave = match leave {
                    Ok(leave) => leave,
                    Err(Obstacle::Stopped(stop)) => {
                        drop((joined, room));
                        return self.stopped(&way, slot, *crew, stop, repeat).await;
                    }
                    Err(
                        Obstacle::Interrupted
                        | Obstacle::Error(_)
                        | Obstacle::Unfit { .. }
                        | Obstacle::Refused { .. }
                        | Obstacle::Unlisted,
                    ) => return self.hand_all_back(slot, crew.jobs),
                };
                if !crew.jobs.iter().all(|job| self.holds(job)) {
                    drop(leave);
                    return self.hand_all_back(slot, crew.jobs);
                }
                // What the calls hold is in the joined one.
                crew.calls.iter_mut().for_each(|call| call.body = Bytes::new());
                let key = IdempotencyKey::of(batch.0, &joined);
                let sending = caught(provider.send_joined(&joined, crew.jobs.len(), &key));
                let (timing, result) = self.timed(crew.jobs.len(), sending).await;
                let result = result.unwrap_or_else(|| Err(of_a_panic(&name)));
                if let Some(first) = crew.jobs.first_mut() {
                    let served = served_of_joined(&*provider, &result, &crew.addressings);
                    leave.used(first, &name, served);
                }
                drop((joined, room));
                self.arrive(&way, slot, *crew, batch, result, timing).await;
            }
            Boarding::Apart(jobs) if repeat => self.go_apart(slot, jobs),
            Boarding::Apart(jobs) => {
                drop(room);
                self.go_singly(lane, slot, jobs).await;
            }
            Boarding::Over(jobs) => self.hand_all_back(slot, jobs),
        }
    }

    /// The call must not be made now.
    async fn stopped(
        self: &Arc<Self>,
        way: &Lane<'_>,
        slot: Slot<'_>,
        crew: Crew,
        stop: SendError,
        repeat: bool,
    ) {
        let recipients = recipients_of_all(&crew.addressings);
        let is_full = matches!(stop.verdict, Verdict::Exhausted { .. });
        let mut jobs = crew.jobs;
        if repeat {
            if self.board().limits(way.lane).never_fit(recipients) {
                return self.go_apart(slot, jobs);
            }
            return self
                .unit_waits(way, slot, jobs, &Obstacle::Stopped(stop), Answer::Silent)
                .await;
        }
        // In the record they are a batch; by whom they are tried next is noted anew.
        jobs.iter_mut().for_each(|job| job.begun = None);
        if is_full {
            // A quota may have room for some of them; the limits decide about each.
            jobs.iter_mut().for_each(|job| job.alone = true);
            return self.go_singly(way.lane, slot, jobs).await;
        }
        {
            let mut board = self.board();
            board.put_back(way.lane, jobs);
            slot.give_back(&mut board);
        }
        self.after_release();
        self.pump.notify_one();
        if self.closing.load(Ordering::Relaxed) {
            self.empty();
        }
    }

    /// Members of a batch that cannot be repeated as it was.
    fn go_apart(self: &Arc<Self>, slot: Slot<'_>, jobs: Vec<Job>) {
        slot.give_back(&mut self.board());
        self.break_up(jobs);
        self.after_release();
    }

    fn hand_all_back(self: &Arc<Self>, slot: Slot<'_>, jobs: Vec<Job>) {
        slot.give_back(&mut self.board());
        jobs.into_iter().for_each(|job| self.hand_back(job));
        self.after_release();
    }

    /// The first of these takes the slot, the others have their turn again.
    async fn go_singly(self: &Arc<Self>, lane: LaneId, slot: Slot<'_>, jobs: Vec<Job>) {
        let mut jobs = jobs.into_iter();
        let first = jobs.next();
        self.board().put_back(lane, jobs.collect());
        if self.closing.load(Ordering::Relaxed) {
            self.empty();
        }
        match first {
            Some(first) => {
                slot.hand_on();
                Arc::clone(self).run(lane, first).await;
            }
            None => {
                slot.give_back(&mut self.board());
                self.after_release();
            }
        }
    }

    /// Prepares those that may travel; who may not has its turn again, alone.
    async fn board_crew(
        self: &Arc<Self>,
        way: &Lane<'_>,
        jobs: Vec<Job>,
        bytes: usize,
    ) -> Boarding {
        if let Some(first) = jobs.first() {
            self.still_holds(first).await;
        }
        let (late, jobs): (Vec<_>, Vec<_>) =
            jobs.into_iter().partition(|job| job.lease_ends(self.now()) || !self.holds(job));
        late.into_iter().for_each(|job| self.hand_back(job));
        let bytes_max = way.provider.capabilities().batch.map_or(0, |b| b.request_bytes_max);
        let mut left = bytes.min(bytes_max).saturating_sub(2);
        let mut crew = Crew::default();
        let mut left_out = Vec::new();
        for (number, mut job) in jobs.into_iter().enumerate() {
            if number % PREPARED_IN_A_ROW == PREPARED_IN_A_ROW - 1 {
                tokio::task::yield_now().await;
            }
            // Who is on the list stays behind.
            let listed = self.concerns_the_list(&job).await;
            let member = if listed { None } else { self.member(way, &mut job).await };
            match member {
                Some((call, addressing)) if can_join(way.provider, &call) => {
                    // With the comma.
                    let size = call.body.len() + 1;
                    if size <= left {
                        left -= size;
                        crew.push(job, call, addressing);
                        continue;
                    }
                    // Too much for this request; the next one may hold it, unless it is too much for any.
                    job.alone = crew.jobs.is_empty();
                }
                Some(_) | None => job.alone = true,
            }
            left_out.push(job);
        }
        if crew.jobs.len() < 2 {
            left_out.extend(crew.jobs);
            return Boarding::Apart(left_out);
        }
        self.board().put_back(way.lane, left_out);
        self.start_ready();
        self.note_crew(way, crew).await
    }

    /// Joins the calls and writes down who travels, where that matters.
    async fn note_crew(&self, way: &Lane<'_>, mut crew: Crew) -> Boarding {
        let idempotency = way.provider.capabilities().idempotency;
        loop {
            let joined = if crew.jobs.len() < 2 { None } else { join(way.provider, &crew.calls) };
            let Some(joined) = joined else {
                crew.jobs.iter_mut().for_each(|job| job.alone = true);
                return Boarding::Apart(crew.jobs);
            };
            if self.closing.load(Ordering::Relaxed) {
                return Boarding::Over(crew.jobs);
            }
            let batch = batch_id(&crew.jobs, &joined);
            if !doubt::must_note(idempotency, self.policy().on_unclear) {
                return Boarding::Ready(Box::new(crew), joined, batch);
            }
            let unit = (idempotency != Idempotency::None).then_some(batch);
            let mut jobs: Vec<&mut Job> = crew.jobs.iter_mut().collect();
            match self.begin(&mut jobs, way.name, unit).await {
                Ok(()) => return Boarding::Ready(Box::new(crew), joined, batch),
                Err(StoreError::LeaseLost(id)) if crew.leave(id) => {}
                Err(_) => return Boarding::Over(crew.jobs),
            }
        }
    }

    /// Prepares a batch that is repeated: all of it as it was, or nothing. So nobody is looked for on the list of addresses
    /// that get no mail: it may have arrived, and without one of them the others would get it twice.
    async fn board_again(&self, way: &Lane<'_>, jobs: Vec<Job>) -> Boarding {
        if self.closing.load(Ordering::Relaxed) || jobs.iter().any(|job| job.lease_ends(self.now()))
        {
            return Boarding::Over(jobs);
        }
        if let Some(first) = jobs.first()
            && !self.still_holds(first).await
        {
            return Boarding::Over(jobs);
        }
        let place = |job: &Job| job.doubt.as_ref().and_then(|doubt| doubt.place);
        let noted = jobs.first().and_then(place).map(|place| place.batch);
        let mut crew = Crew::default();
        let mut whole = true;
        for mut job in jobs {
            let member = if whole { self.member(way, &mut job).await } else { None };
            whole &= member.is_some();
            let (call, addressing) = member.unwrap_or_else(|| (Call::new("", ""), nobody()));
            crew.push(job, call, addressing);
        }
        let joined = if whole { join(way.provider, &crew.calls) } else { None };
        match joined.map(|joined| (batch_id(&crew.jobs, &joined), joined)) {
            Some((batch, joined)) if Some(batch) == noted => {
                Boarding::Ready(Box::new(crew), joined, batch)
            }
            Some(_) | None => Boarding::Apart(crew.jobs),
        }
    }

    /// The one call of this message; `None` when there are several or none, or it cannot be made.
    async fn member(&self, way: &Lane<'_>, job: &mut Job) -> Option<(Call, Addressing)> {
        let capabilities = way.provider.capabilities();
        let structured = capabilities.form == Form::Structured;
        let preparing = async {
            let email = self.parsed(job);
            let per_call = capabilities.recipients_per_call;
            let calls = Addressing::split(&email, &job.pending(), per_call, structured);
            let [addressing] = <[Addressing; 1]>::try_from(calls).ok()?;
            let call = self.prepare(way.provider, job, &email, &addressing).ok()?;
            Some((call, addressing))
        };
        // What is wrong with it shows again when it goes alone.
        let prepared = caught(preparing).await.flatten();
        job.email = None;
        prepared
    }

    /// Records how a request ended, for every member, and sends each on its way.
    async fn arrive(
        self: &Arc<Self>,
        way: &Lane<'_>,
        slot: Slot<'_>,
        crew: Crew,
        batch: BatchId,
        result: Joined,
        timing: Timing,
    ) {
        let count = crew.jobs.len();
        let results = match result {
            Ok(results) => {
                self.note_results(way, &results);
                self.record_each(way, crew, results, timing)
            }
            Err(error) if is_refusal(&error) => {
                let text = format!("in a batch of {count}: {error}; it goes singly");
                let mut jobs = self.record_whole(way, crew, Outcome::Rejected, &text, timing);
                jobs.iter_mut().for_each(|job| job.heard(way.name, timing.at, Answer::Refused));
                let again = |job| (Box::new(job), course::wait(self.now(), None));
                let settled = jobs.into_iter().map(again).collect();
                slot.give_back(&mut self.board());
                self.after_release();
                self.settle_all(settled).await;
                return self.refill(way.lane);
            }
            Err(error) => {
                self.note_failure(*way, &error);
                let text = format!("in a batch of {count}: {}", self.words(way, false, &error));
                let mut jobs = self.record_whole(way, crew, course::outcome(&error), &text, timing);
                let answer = doubt::answer(&error);
                let replays = way.provider.capabilities().idempotency != Idempotency::None;
                if answer == Answer::Unclear && replays {
                    put_in_doubt(&mut jobs, way.name, batch, timing);
                }
                let obstacle = Obstacle::Error(error);
                let is_unit = |job: &Job| job.doubt.as_ref().is_some_and(|it| it.place.is_some());
                if jobs.iter().any(is_unit) {
                    return self.unit_waits(way, slot, jobs, &obstacle, answer).await;
                }
                let each = |mut job: Job| {
                    job.heard(way.name, timing.at, answer);
                    if answer == Answer::Silent {
                        // The record says that they are a batch. By whom each is tried next is noted anew.
                        job.begun = None;
                    }
                    (job, Err(obstacle.clone()))
                };
                jobs.into_iter().map(each).collect()
            }
        };
        self.part(way.lane, slot, results).await;
    }

    fn record_each(
        &self,
        way: &Lane<'_>,
        crew: Crew,
        results: Vec<Result<Receipt, SendError>>,
        timing: Timing,
    ) -> Vec<(Job, Result<(), Obstacle>)> {
        let mut results = results.into_iter();
        let members = crew.jobs.into_iter().zip(crew.calls).zip(crew.addressings);
        let recorded = members.map(|((mut job, call), addressing)| {
            let result = results.next().unwrap_or_else(|| Err(silence()));
            let answer = result.as_ref().err().map_or(Answer::Taken, doubt::answer);
            job.heard(way.name, timing.at, answer);
            if answer == Answer::Unclear {
                // Others may be through: the request cannot be made again.
                job.lose_request();
            }
            let way = Lane { whole: job.is_whole(), ..*way };
            let recorded = self.record(&way, &mut job, &call, &addressing, result, timing);
            let result = match recorded {
                Ok(None) => Ok(()),
                Ok(Some(put_off)) => Err(Obstacle::Error(put_off)),
                Err(obstacle) => Err(obstacle),
            };
            (job, result)
        });
        recorded.collect()
    }

    fn record_whole(
        &self,
        way: &Lane<'_>,
        crew: Crew,
        outcome: Outcome,
        text: &str,
        timing: Timing,
    ) -> Vec<Job> {
        let members = crew.jobs.into_iter().zip(crew.addressings);
        let recorded = members.map(|(mut job, addressing)| {
            let way = Lane { whole: job.is_whole(), ..*way };
            let addressings = std::slice::from_ref(&addressing);
            self.record_batch(&way, &mut job, addressings, outcome, text.to_owned(), timing);
            job
        });
        recorded.collect()
    }

    /// Each member goes its own way; what is over, or waits, is written at once.
    async fn part(
        self: &Arc<Self>,
        lane: LaneId,
        slot: Slot<'_>,
        results: Vec<(Job, Result<(), Obstacle>)>,
    ) {
        let policy = self.policy();
        let mut settled = Vec::new();
        let mut held = Vec::new();
        let mut parked = false;
        {
            let now = self.now();
            let mut board = self.board();
            slot.give_back(&mut board);
            for (job, result) in results {
                if result.is_ok() {
                    self.note_carried(&mut board, &job, lane, now);
                }
                match follow(&mut board, lane, job, result, &policy, now) {
                    AfterAttempt::Settle(job, next) => settled.push((job, next)),
                    AfterAttempt::Hold(job, error) => held.push((job, error)),
                    AfterAttempt::Again(lane, job) => self.start(lane, *job),
                    AfterAttempt::Parked => parked = true,
                }
            }
        }
        self.after_release();
        if parked {
            self.pump.notify_one();
            if self.closing.load(Ordering::Relaxed) {
                self.empty();
            }
        }
        self.settle_all(settled).await;
        for (job, error) in held {
            self.hold(*job, Some(error)).await;
        }
        self.refill(lane);
    }
}

/// When the request of these was counted, and until when it may be made.
fn permit_of(jobs: &[Job]) -> Option<Permit> {
    let counted = jobs.iter().map(|job| job.counted).max()?;
    let until = jobs.iter().map(Job::begins_until).min()?;
    Some(Permit { counted, until })
}
