//! Delivery while somebody waits for the answer: test mails, the command line, direct mode.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::brought::Way;
use super::course::Obstacle;
use super::engine::Engine;
use super::job::Job;
use super::lane::LaneId;
use super::roster::NoLane;
use super::slot::Slot;
use super::status::{Cause, NotSent, Sent};
use crate::message::Message;
use crate::provider::Verdict;
use crate::queue::{Claim, Next};

/// How long somebody who waits for the answer waits for memory: as long as a call may take.
const ROOM_PATIENCE: Duration = Duration::from_secs(30);

/// How long in all somebody waits until limits allow the call. Clients wait some minutes for the end of a message, hasty ones
/// a minute; the call itself takes its time as well.
const SEAT_PATIENCE: Duration = Duration::from_secs(30);

impl Engine {
    /// Asks one provider after the other until one takes the message or may have it: the open ones first, then those
    /// that are closed, whose state this may correct. The record, where there is one, ends as delivered or failed.
    pub(super) async fn at_once(
        &self,
        message: Arc<Message>,
        way: Way,
        provider: Option<&str>,
    ) -> Result<Sent, NotSent> {
        let id = message.id;
        let mut job = Job::new(Claim::fresh(message, 1), self.lease(), way, None);
        let size = job.claim.message.raw.len();
        let deadline = Instant::now() + SEAT_PATIENCE;
        job.room = timeout(ROOM_PATIENCE, self.memory.take(size)).await.ok().flatten();
        let mut sent = None;
        let problem = loop {
            let first = sent.is_none();
            match self.part_at_once(&mut job, provider, deadline).await {
                Ok(now) if first => sent = Some(now),
                Ok(_) => {}
                Err(problem) => break Some(problem),
            }
            if job.end_part(Next::Delivered).is_some() {
                break None;
            }
            // What has been done is known before the next part is tried.
            self.settle(&mut job, Next::Continue).await;
            if let Some(part) = job.parts.untried(&job.claim.recipients).first() {
                job.parts.turn_to(*part);
            }
        };
        if let (None, Some(error)) = (&problem, job.suppression()) {
            self.settle(&mut job, Next::Delivered).await;
            let id = self.store.as_ref().map(|_| id);
            return Err(NotSent { id, provider: None, error, cause: Cause::Suppressed });
        }
        let Some(Problem { cause, error, asked }) = problem else {
            self.settle(&mut job, Next::Delivered).await;
            let (provider, provider_message_id) = sent.unwrap_or_default();
            return Ok(Sent { id, provider, provider_message_id });
        };
        // Without a queue a client that may try again still has the message: it has not failed.
        if self.store.is_some() || cause == Cause::Rejected {
            self.settle(&mut job, Next::Failed { error: error.clone() }).await;
        }
        Err(NotSent { id: self.store.as_ref().map(|_| id), provider: asked, error, cause })
    }

    /// Does that for the recipients that take the same route. Returns who took it, and what that one calls it.
    async fn part_at_once(
        &self,
        job: &mut Job,
        provider: Option<&str>,
        deadline: Instant,
    ) -> Result<(String, Option<String>), Problem> {
        let mut problem = Problem {
            cause: Cause::NoProvider,
            error: "no provider is configured".to_owned(),
            asked: None,
        };
        if job.room.is_none() {
            let error =
                "too much mail is on its way to be sent at once; try again later".to_owned();
            return Err(Problem { cause: Cause::Unavailable, error, ..problem });
        }
        let lanes = self.lanes_at_once(job, provider).map_err(|no_lane| Problem {
            cause: Cause::Unavailable,
            error: no_lane.to_string(),
            asked: None,
        })?;
        for lane in lanes {
            // Before there is a seat the lane may go.
            let name = {
                let board = self.board();
                board.has(lane).then(|| board.name(lane).to_owned())
            };
            let Some(name) = name else { continue };
            let Some(seat) = self.seat(lane, deadline).await else { continue };
            let result = match seat {
                Ok(counted) => {
                    let slot = Slot::taken(self, lane);
                    job.counted = counted;
                    let result = self.attempt(job, lane).await;
                    let (mut board, now) = (self.board(), self.now());
                    slot.give_back(&mut board);
                    if result.is_ok() && provider.is_none() {
                        self.note_carried(&mut board, job, lane, now);
                    }
                    result
                }
                Err(late) => Err(Obstacle::Stopped(late)),
            };
            match (result, job.failure()) {
                (Ok(()), None) => return Ok((name, job.receipts.pop())),
                (Ok(()), Some(reason)) => {
                    let error = reason.to_owned();
                    return Err(Problem { cause: Cause::Rejected, error, asked: Some(name) });
                }
                (Err(obstacle), _) => {
                    let cause = cause(&obstacle);
                    let is_last_word = matches!(obstacle, Obstacle::Refused { .. });
                    // A provider that could not take it now may yet take what this one never will.
                    let may_pass = problem.cause == Cause::Unavailable && cause == Cause::Rejected;
                    if is_last_word || !may_pass {
                        let error = obstacle.text(&name);
                        problem = Problem { cause, error, asked: Some(name) };
                    }
                    match &obstacle {
                        // It may have arrived, and by another provider it would arrive twice.
                        Obstacle::Error(error) if error.unclear => break,
                        Obstacle::Refused { .. } => break,
                        Obstacle::Error(_)
                        | Obstacle::Stopped(_)
                        | Obstacle::Unfit { .. }
                        | Obstacle::Unlisted
                        | Obstacle::Interrupted => {}
                    }
                }
            }
        }
        Err(problem)
    }

    /// The lanes to be asked, in their order.
    fn lanes_at_once(&self, job: &mut Job, provider: Option<&str>) -> Result<Vec<LaneId>, NoLane> {
        let now = self.now();
        let mut board = self.board();
        board.open_lane(&job.way, now)?;
        if provider.is_none() {
            board.divide(job);
        }
        Ok(match (provider, &job.way) {
            (Some(name), Way::Route) => board.find(name).into_iter().collect(),
            (None, _) | (Some(_), Way::Account(_) | Way::Locked(_)) => {
                let mut lanes = board.candidates(job);
                lanes.sort_by_key(|lane| !board.is_open(*lane, now));
                lanes
            }
        })
    }
}

/// Why nobody has taken a message, or a part of it.
struct Problem {
    cause: Cause,
    error: String,
    /// Who said so.
    asked: Option<String>,
}

fn cause(obstacle: &Obstacle) -> Cause {
    match obstacle {
        Obstacle::Error(error) if error.verdict == Verdict::Unknown => Cause::Rejected,
        Obstacle::Unfit { .. } | Obstacle::Refused { .. } => Cause::Rejected,
        Obstacle::Error(_) | Obstacle::Stopped(_) | Obstacle::Unlisted | Obstacle::Interrupted => {
            Cause::Unavailable
        }
    }
}
