//! Who travels together, and what they are called.

use aws_lc_rs::digest;

use crate::delivery::calls::{Timing, silence};
use crate::delivery::caught::caught_now;
use crate::delivery::doubt::Doubt;
use crate::delivery::job::Job;
use crate::delivery::lane::BATCH_BYTES_MAX;
use crate::message::{Addressing, QueueId};
use crate::provider::{Call, Provider, SendError};
use crate::queue::{BatchId, Place};

/// Those that travel; the lists have the same order and length.
#[derive(Debug, Default)]
pub(super) struct Crew {
    pub(super) jobs: Vec<Job>,
    pub(super) calls: Vec<Call>,
    pub(super) addressings: Vec<Addressing>,
}

impl Crew {
    pub(super) fn push(&mut self, job: Job, call: Call, addressing: Addressing) {
        self.jobs.push(job);
        self.calls.push(call);
        self.addressings.push(addressing);
    }

    /// This message belongs to somebody else by now. False when it is not among them.
    pub(super) fn leave(&mut self, id: QueueId) -> bool {
        let Some(place) = self.jobs.iter().position(|job| job.claim.message.id == id) else {
            return false;
        };
        self.jobs.remove(place);
        self.calls.remove(place);
        self.addressings.remove(place);
        true
    }
}

/// Whether the call can be joined with others. Where that panics, it goes alone.
pub(super) fn can_join(provider: &dyn Provider, call: &Call) -> bool {
    caught_now(|| provider.can_join(call)).unwrap_or(false)
}

/// The calls as one; where that panics, they go alone.
pub(super) fn join(provider: &dyn Provider, calls: &[Call]) -> Option<Call> {
    caught_now(|| provider.join(calls)).flatten()
}

/// About how many octets the request will have: nothing that is larger is joined.
pub(super) fn expected_bytes(jobs: &[Job]) -> usize {
    let bytes: usize = jobs.iter().map(|job| job.size() + job.size() / 4 + 4_096).sum();
    bytes.min(BATCH_BYTES_MAX)
}

/// Names a batch by its members and its content, so that another request is another batch.
pub(super) fn batch_id(jobs: &[Job], joined: &Call) -> BatchId {
    let mut hash = digest::Context::new(&digest::SHA256);
    for job in jobs {
        hash.update(job.claim.message.id.as_bytes());
    }
    hash.update(&joined.body);
    let hash = hash.finish();
    let mut bytes = [0; 16];
    for (byte, hashed) in bytes.iter_mut().zip(hash.as_ref()) {
        *byte = *hashed;
    }
    BatchId(QueueId::from_bytes(bytes))
}

pub(super) fn put_in_doubt(jobs: &mut [Job], provider: &str, batch: BatchId, timing: Timing) {
    let of = u32::try_from(jobs.len()).unwrap_or(u32::MAX);
    for (job, number) in jobs.iter_mut().zip(0..) {
        let doubt = job.doubt.get_or_insert_with(|| Doubt::new(provider, timing.at));
        doubt.place = Some(Place { batch, number, of });
    }
}

pub(super) fn nobody() -> Addressing {
    Addressing::default()
}

pub(super) fn of_a_panic(name: &str) -> SendError {
    tracing::error!(provider = name, "a fault of mailferry in a batch");
    SendError {
        reason: "mailferry itself failed at this batch; its log says where, please report it"
            .to_owned(),
        ..silence()
    }
}
