//! What the HTTP side looks at.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::access::{Access, Caller, Memory};
use super::error::Problem;
use super::limiter::Limiter;
use super::live::Live;
use crate::clock::{SharedClock, Timestamp};
use crate::config::{self, SenderConfig};
use crate::delivery::Delivery;
use crate::queue::{Feed, Store, StoreError};

/// The parts of the running relay that the HTTP side shows.
#[derive(Clone)]
pub struct Side {
    /// Where the messages are.
    pub store: Arc<dyn Store>,
    /// What changes there.
    pub feed: Feed,
    /// Who sends test mails, and knows how the providers do.
    pub delivery: Arc<Delivery>,
    /// The default From of test mails, until [`Control::change`](super::Control::change) brings another.
    pub sender: SenderConfig,
    /// The listener that apps talk to.
    pub smtp: SmtpStatus,
    /// The store's name in `/health`: `sqlite`, `memory`.
    pub queue_backend: &'static str,
    /// Every provider only keeps the mail here, as in `mailferry dev`: the page is then an inbox; it changes as `sender`
    /// does.
    pub catching: bool,
    /// `queue.max_messages`: from nine tenths of it on, `/health` says `degraded`.
    pub queue_messages_max: u64,
    /// `smtp.max_recipients`: how many a retry may name; it changes as `sender` does.
    pub recipients_max: usize,
    /// `smtp.max_message_size`: octets of a message that is handed in here; it changes as `sender` does.
    pub message_bytes_max: u64,
    /// The time.
    pub clock: SharedClock,
    /// When the program began.
    pub started: Timestamp,
}

impl fmt::Debug for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Side")
            .field("smtp", &self.smtp)
            .field("queue_backend", &self.queue_backend)
            .field("catching", &self.catching)
            .field("queue_messages_max", &self.queue_messages_max)
            .field("recipients_max", &self.recipients_max)
            .field("message_bytes_max", &self.message_bytes_max)
            .field("started", &self.started)
            .finish_non_exhaustive()
    }
}

/// The SMTP listener as others see it.
#[derive(Clone, Debug, Default)]
pub struct SmtpStatus {
    /// Where it listens; empty: it does not, and no mail can be accepted.
    pub listening: Vec<SocketAddr>,
    /// How many sessions are open.
    pub connections: Arc<AtomicUsize>,
}

/// Large messages that may be handed in at the same time: each is in memory a few times while it is read.
const LARGE_MAX: usize = 2;

/// Questions put to the store at the same time, so that a busy page leaves the disk to the mail.
const STORE_READS_MAX: usize = 8;

/// Contents held for downloads at the same time; each may be as large as the largest message.
const DOWNLOADS_MAX: usize = 4;

/// Messages read for their content at the same time: each holds its bytes, and what they are decoded to.
const VIEWS_MAX: usize = 2;

/// What was made of messages and is on its way to a reader, at the same time; each may be some times as large as the largest
/// message. A reader may be slow, so these are not the places of those who only wait for the processor.
const SHOWN_MAX: usize = 4;

/// How long a page or an API call waits for the store, its turn included.
pub(super) const STORE_TIMEOUT: Duration = Duration::from_secs(10);

/// Answers to wrong tokens that wait at the same time. More are given at once, so that guessers, whose number is limited
/// otherwise, do not take all connections.
const HELD_BACK_MAX: usize = 64;

/// What every handler holds.
pub(super) struct Context {
    pub(super) side: Side,
    /// What the configuration says, for requests from now on.
    pub(super) rules: ArcSwap<Rules>,
    /// Sessions and failures.
    pub(super) memory: Memory,
    test_mails: Limiter,
    /// Messages that callers hand in, and have tried again.
    submissions: Limiter,
    /// Places for large messages that are being handed in.
    pub(super) large: Arc<Semaphore>,
    pub(super) downloads: Arc<Semaphore>,
    pub(super) views: Arc<Semaphore>,
    pub(super) shown: Arc<Semaphore>,
    pub(super) live: Live,
    reads: Semaphore,
    held_back: Semaphore,
}

/// What a request takes from the configuration.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) access: Access,
    /// The default From of test mails.
    pub(super) sender: SenderConfig,
    /// How many recipients a retry or a message may name.
    pub(super) recipients_max: usize,
    /// The largest message that is taken, octets.
    pub(super) message_bytes_max: u64,
    /// Every provider only keeps the mail here.
    pub(super) catching: bool,
}

impl Context {
    pub(super) fn new(
        side: Side,
        access: Access,
        memory: Memory,
        shutdown: CancellationToken,
    ) -> Arc<Self> {
        let Side { recipients_max, message_bytes_max, catching, .. } = side;
        let sender = side.sender.clone();
        let rules = Rules { access, sender, recipients_max, message_bytes_max, catching };
        Arc::new(Self {
            side,
            rules: ArcSwap::from_pointee(rules),
            memory,
            submissions: Limiter::default(),
            large: Arc::new(Semaphore::new(LARGE_MAX)),
            test_mails: Limiter::default(),
            downloads: Arc::new(Semaphore::new(DOWNLOADS_MAX)),
            views: Arc::new(Semaphore::new(VIEWS_MAX)),
            shown: Arc::new(Semaphore::new(SHOWN_MAX)),
            live: Live::new(shutdown),
            reads: Semaphore::new(STORE_READS_MAX),
            held_back: Semaphore::new(HELD_BACK_MAX),
        })
    }

    /// The present moment.
    pub(super) fn now(&self) -> Timestamp {
        self.side.clock.now()
    }

    /// True when mail is caught here and goes nowhere.
    pub(super) fn is_catching(&self) -> bool {
        self.rules.load().catching
    }

    /// Counts a mail that `caller` wants sent at once, past the queue; 429 above `http.send_rate`.
    pub(super) fn may_send(&self, caller: &Caller) -> Result<(), Problem> {
        let rate = self.rules.load().access.send_rate;
        self.test_mails.take(caller.account(), rate, Instant::now()).map_err(|seconds| {
            Problem::too_many(format!("too many test mails; try again in {seconds} s"), seconds)
        })
    }

    /// Counts a message that `caller` puts into the queue, new or again; 429 above `http.submit_rate`.
    pub(super) fn may_submit(&self, caller: &Caller) -> Result<(), Problem> {
        let rate = self.rules.load().access.submit_rate;
        self.submissions.take(caller.account(), rate, Instant::now()).map_err(|seconds| {
            Problem::too_many(format!("too many messages; try again in {seconds} s"), seconds)
        })
    }

    /// Has the answer to a wrong token wait.
    pub(super) async fn hold_back(&self, delay: Duration) {
        if let Ok(_place) = self.held_back.try_acquire() {
            tokio::time::sleep(delay).await;
        }
    }

    /// Refuses the name of a provider that there is not.
    pub(super) fn check_provider(&self, name: &str) -> Result<(), Problem> {
        let names = self.side.delivery.providers();
        if names.iter().any(|known| known == name) {
            return Ok(());
        }
        let known: Vec<&str> = names.iter().map(String::as_str).collect();
        let said = config::unknown_name("provider", name, &known);
        Err(Problem::bad_input("invalid_field", format!("\"provider\": {said}")))
    }

    /// Waits for the store's answer, but not for ever.
    pub(super) async fn ask<T>(
        &self,
        question: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, Problem> {
        let answer = async {
            // The semaphore is never closed; were it, asking at once would do no harm.
            let _turn = self.reads.acquire().await;
            question.await
        };
        match tokio::time::timeout(STORE_TIMEOUT, answer).await {
            Ok(answer) => answer.map_err(Problem::from),
            Err(_) => Err(Problem::store_timed_out()),
        }
    }
}
