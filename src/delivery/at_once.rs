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
        let mut job = Job::new(Claim::fresh(message, 1), self.lease().expires, way, None);
        let mut asked = None;
        let mut problem = (Cause::NoProvider, "no provider is configured".to_owned());
        let size = job.claim.message.raw.len();
        let deadline = Instant::now() + SEAT_PATIENCE;
        job.room = timeout(ROOM_PATIENCE, self.memory.take(size)).await.ok().flatten();
        let lanes = if job.room.is_some() {
            self.lanes_at_once(&job, provider).map_err(|no_lane| no_lane.to_string())
        } else {
            Err("too much mail is on its way to be sent at once; try again later".to_owned())
        };
        let lanes = lanes.unwrap_or_else(|reason| {
            problem = (Cause::Unavailable, reason);
            Vec::new()
        });
        for lane in lanes {
            let Some(seat) = self.seat(lane, deadline).await else { continue };
            let name = self.board().name(lane).to_owned();
            let result = match seat {
                Ok(()) => {
                    let result = self.attempt(&mut job, lane).await;
                    self.board().release(lane);
                    result
                }
                Err(late) => Err(Obstacle::Error(late)),
            };
            match (result, job.failure()) {
                (Ok(()), None) => {
                    self.settle(&mut job, Next::Delivered).await;
                    return Ok(Sent {
                        id,
                        provider: name,
                        provider_message_id: job.receipts.pop(),
                    });
                }
                (Ok(()), Some(reason)) => {
                    problem = (Cause::Rejected, reason.to_owned());
                    asked = Some(name);
                    break;
                }
                (Err(obstacle), _) => {
                    let cause = cause(&obstacle);
                    let is_last_word = matches!(obstacle, Obstacle::Refused { .. });
                    // A provider that could not take it now may yet take what this one never will.
                    let may_pass = problem.0 == Cause::Unavailable && cause == Cause::Rejected;
                    if is_last_word || !may_pass {
                        problem = (cause, obstacle.text(&name));
                        asked = Some(name);
                    }
                    match &obstacle {
                        // It may have arrived, and by another provider it would arrive twice.
                        Obstacle::Error(error) if error.unclear => break,
                        Obstacle::Refused { .. } => break,
                        Obstacle::Error(_) | Obstacle::Unfit { .. } | Obstacle::Interrupted => {}
                    }
                }
            }
        }
        let (cause, error) = problem;
        // Without a queue a client that may try again still has the message: it has not failed.
        if self.store.is_some() || cause == Cause::Rejected {
            self.settle(&mut job, Next::Failed { error: error.clone() }).await;
        }
        Err(NotSent { id: self.store.as_ref().map(|_| id), provider: asked, error, cause })
    }

    /// The lanes to be asked, in their order.
    fn lanes_at_once(&self, job: &Job, provider: Option<&str>) -> Result<Vec<LaneId>, NoLane> {
        let now = self.now();
        let mut board = self.board();
        board.open_lane(&job.way, now)?;
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

fn cause(obstacle: &Obstacle) -> Cause {
    match obstacle {
        Obstacle::Error(error) if error.verdict == Verdict::Unknown => Cause::Rejected,
        Obstacle::Unfit { .. } | Obstacle::Refused { .. } => Cause::Rejected,
        Obstacle::Error(_) | Obstacle::Interrupted => Cause::Unavailable,
    }
}
