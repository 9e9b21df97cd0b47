//! One client's connection: carries octets between a stream and the pure parts, which decide.

mod content;
mod encrypted;
mod limits;
mod login;
mod submit;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::metrics::{Arrivals, Received};
use crate::queue::Intake;

use super::auth::Authenticator;
use super::input::Input;
use super::memory::MemoryBudget;
use super::occasional::Notices;
use super::reply::Reply;
use super::session::{Policy, Session, Step};
use super::timer::Timer;
use super::tls::Acceptor;
use content::Growing;
pub use encrypted::serve;
pub(super) use encrypted::serve_tls;
use limits::{EnvelopeMemory, STRANGER_IDLE_MAX, STRANGER_TIME_MAX, TRANSACTION_TIME_MAX};

/// How long content waits for memory that others hold: less than the three minutes that a client waits until a piece of its
/// content is taken (RFC 5321 §4.5.3.2.5).
const MEMORY_PATIENCE: Duration = Duration::from_mins(2);

/// How long a client may take to read the reply with which it is sent away.
const FAREWELL_TIME_MAX: Duration = Duration::from_secs(5);

/// What a client that is sent away may still send, so that its system does not throw our reply away with a reset.
const LINGER_TIME_MAX: Duration = Duration::from_secs(1);
const LINGER_OCTETS_MAX: usize = 256 * 1024;

/// Replies collected for one write.
const OUTPUT_MAX: usize = 16 * 1024;

/// Room for replies that a connection keeps while it waits: most replies fit.
const OUTPUT_KEPT: usize = 256;

/// What connections work with. What the configuration says of it holds for a connection from its first octet to its last;
/// those that begin later may have another one.
pub struct Service {
    pub(super) policy: Arc<Policy>,
    pub(super) idle_timeout: Duration,
    pub(super) intake: Arc<dyn Intake>,
    pub(super) authenticator: Authenticator,
    /// For STARTTLS; there is one wherever the policy offers it.
    pub(super) tls: Option<Acceptor>,
    pub(super) memory: Arc<MemoryBudget>,
    pub(super) notices: Arc<Notices>,
    pub(super) arrivals: Arrivals,
    pub(super) shutdown: CancellationToken,
}

impl Service {
    /// Without TLS, which a listener adds, and counting for nobody.
    pub fn new(
        policy: Policy,
        idle_timeout: Duration,
        intake: Arc<dyn Intake>,
        authenticator: Authenticator,
        memory: Arc<MemoryBudget>,
        shutdown: CancellationToken,
    ) -> Self {
        Self {
            policy: Arc::new(policy),
            idle_timeout,
            intake,
            authenticator,
            tls: None,
            memory,
            notices: Arc::default(),
            arrivals: Arrivals::default(),
            shutdown,
        }
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("policy", &self.policy).finish_non_exhaustive()
    }
}

/// Why a connection ended.
#[derive(Debug)]
enum End {
    /// With this reply of the session.
    Said(Reply),
    /// The client has gone, or the network between.
    Gone,
    /// The client was silent or too slow.
    TimedOut,
    /// The client does not read our replies.
    Stalled,
    ShuttingDown,
    /// It has been told to go ahead with TLS: this dialogue ends, the connection does not.
    StartTls,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Said(reply) => f.write_str(reply.text()),
            Self::Gone => f.write_str("the client has gone"),
            Self::TimedOut => f.write_str("timed out"),
            Self::Stalled => f.write_str("the client does not read"),
            Self::ShuttingDown => f.write_str("shutting down"),
            Self::StartTls => f.write_str("TLS begins"),
        }
    }
}

/// What is being waited for.
#[derive(Clone, Copy)]
enum Awaited {
    Command,
    Content,
}

struct Connection<'a, S> {
    stream: S,
    service: &'a Service,
    session: Session,
    input: Input,
    /// The content of a transaction that comes in chunks, between two of them.
    growing: Option<Growing>,
    /// Replies that have not left yet.
    output: Vec<u8>,
    timer: Timer,
    /// When the running transaction has taken too long.
    transaction_due: Option<Instant>,
    /// When it has taken too long to authenticate, if it must.
    stranger_due: Instant,
    /// Octets of content since time was given for them.
    earned: u64,
    envelope: EnvelopeMemory,
    stranger_noticed: bool,
}

/// Carries one dialogue to its end. Where TLS is to begin, stream and session come back, and nothing else: what the
/// client has sent behind STARTTLS is thrown away with the buffer, because anybody on the way may have put it there.
async fn talk<S>(
    stream: S,
    session: Session,
    first: Option<Reply>,
    service: &Service,
) -> Option<(S, Session)>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let peer = session.peer();
    let mut connection = Connection {
        stream,
        service,
        session,
        input: Input::default(),
        growing: None,
        output: Vec::new(),
        timer: Timer::new(service.idle_timeout),
        transaction_due: None,
        stranger_due: Instant::now() + STRANGER_TIME_MAX,
        earned: 0,
        envelope: EnvelopeMemory::new(&service.memory),
        stranger_noticed: false,
    };
    // Over STARTTLS there is no greeting, and the time to be silent begins all the same.
    connection.give_time();
    if let Some(greeting) = first {
        connection.say(&greeting);
    }
    let end = connection.converse().await;
    match &end {
        End::StartTls => return Some((connection.stream, connection.session)),
        End::Said(reply) if reply.code() >= 400 => {
            if let Some(unlogged) = service.notices.sent_away.take() {
                warn!(peer = %peer.address, reason = %end, unlogged, "an SMTP client was sent away");
            }
        }
        End::Said(_) | End::Gone | End::TimedOut | End::Stalled | End::ShuttingDown => {
            debug!(peer = %peer.address, reason = %end, "connection closed");
        }
    }
    connection.leave(end).await;
    None
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<'_, S> {
    async fn converse(&mut self) -> End {
        loop {
            if let Err(end) = self.obey_what_has_come().await {
                return end;
            }
            if let Err(end) = self.read(Awaited::Command).await {
                return end;
            }
        }
    }

    /// Handles every complete line. The replies leave together, when nothing is left to handle; with them the time to be
    /// silent begins anew. Octets that make no line do not prolong it.
    async fn obey_what_has_come(&mut self) -> Result<(), End> {
        loop {
            self.input.await_answer(self.session.awaits_answer());
            let Some(line) = self.input.next_line() else { break };
            if self.service.shutdown.is_cancelled() {
                return Err(End::ShuttingDown);
            }
            if self.session.has_lost_its_user(&self.service.authenticator) {
                return Err(End::Said(Reply::USER_CHANGED));
            }
            if !self.envelope.cover(&line).await {
                self.say(&Reply::NO_MEMORY);
                self.flush().await?;
                continue;
            }
            let in_transaction = self.session.transaction().is_some();
            match self.session.handle(line) {
                Step::Reply(reply) => {
                    if reply.is_too_large() {
                        self.count(Received::TooLarge);
                    }
                    self.say(&reply);
                }
                Step::Refuse(reply) => {
                    self.count(Received::Forbidden);
                    self.notice_stranger(&reply);
                    self.say(&reply);
                }
                Step::StartTls(reply) => {
                    self.say(&reply);
                    self.flush().await?;
                    return Err(End::StartTls);
                }
                // On the heap: a connection that waits for a command has no room set aside for these.
                Step::Verify(credentials) => Box::pin(self.log_in(credentials)).await?,
                Step::ReadBody(transaction) => Box::pin(self.transfer(transaction)).await?,
                Step::ReadChunk(chunk) => {
                    Box::pin(self.read_chunk(chunk, in_transaction)).await?;
                }
                Step::Close(reply) => return Err(End::Said(reply)),
            }
            self.watch_transaction();
            if self.output.len() >= OUTPUT_MAX {
                self.flush().await?;
            }
        }
        self.flush().await
    }

    fn say(&mut self, reply: &Reply) {
        self.service.arrivals.replied(reply.code());
        reply.encode(&mut self.output);
    }

    fn count(&self, result: Received) {
        self.service.arrivals.received(result);
    }

    /// Writes what has been said. Returns when the client's system has taken it.
    async fn flush(&mut self) -> Result<(), End> {
        if self.output.is_empty() {
            return Ok(());
        }
        self.give_time();
        let writing = async {
            self.stream.write_all(&self.output).await?;
            self.stream.flush().await
        };
        tokio::select! {
            biased;
            written = writing => written.map_err(|_| End::Gone)?,
            () = self.timer.expired() => return Err(End::Stalled),
        }
        self.output.clear();
        // Given back but for a reply's worth: this client may be silent for long.
        self.output.shrink_to(OUTPUT_KEPT);
        Ok(())
    }

    /// Reads once. While a command is awaited, shutting down ends the wait; content may come to its end.
    async fn read(&mut self, awaited: Awaited) -> Result<(), End> {
        let for_command = matches!(awaited, Awaited::Command);
        // Within a transaction the next octets are on their way.
        let rests = self.transaction_due.is_none() || self.input.is_wide();
        let read = tokio::select! {
            biased;
            read = limits::read(&mut self.stream, &mut self.input, rests) => read,
            () = self.service.shutdown.cancelled(), if for_command => {
                return Err(End::ShuttingDown);
            }
            () = self.timer.expired() => return Err(End::TimedOut),
        };
        match read {
            Ok(0) | Err(_) => Err(End::Gone),
            // For one who always has something to read, the timer is never asked.
            Ok(_) if self.is_overdue() => Err(End::TimedOut),
            Ok(_) => {
                if !for_command && self.input.is_full() {
                    self.input.widen();
                }
                Ok(())
            }
        }
    }

    /// The client has been heard: it may be silent again for the idle time, but not beyond the transaction's.
    fn give_time(&mut self) {
        self.earned = 0;
        let now = Instant::now();
        let mut due = now + self.service.idle_timeout;
        if self.session.is_stranger() {
            due = due.min(now + STRANGER_IDLE_MAX).min(self.stranger_due);
        }
        self.timer.set(self.transaction_due.map_or(due, |transaction| transaction.min(due)));
    }

    /// Content has come. Only enough of it begins the time to be silent anew.
    fn earn_time(&mut self, octets: usize) {
        self.earned = self.earned.saturating_add(octets as u64);
        if self.earned >= limits::content_due(self.service.idle_timeout) {
            self.give_time();
        }
    }

    /// Whether a limit has passed that does not begin anew.
    fn is_overdue(&self) -> bool {
        let now = Instant::now();
        self.transaction_due.is_some_and(|due| now >= due) || self.has_overstayed(now)
    }

    fn has_overstayed(&self, now: Instant) -> bool {
        self.session.is_stranger() && now >= self.stranger_due
    }

    /// Starts and stops the transaction's time with the transaction, and drops its chunks.
    fn watch_transaction(&mut self) {
        if self.session.transaction().is_none() {
            self.drop_chunks();
        }
        if !self.session.in_transaction() {
            self.transaction_due = None;
            self.envelope.release();
        } else if self.transaction_due.is_none() {
            self.transaction_due = Some(Instant::now() + TRANSACTION_TIME_MAX);
        }
    }

    /// A stranger once per connection: enough to see what is wrong, too little to fill a disk.
    fn notice_stranger(&mut self, reply: &Reply) {
        if !self.stranger_noticed {
            self.stranger_noticed = true;
            let peer = self.session.peer().address;
            if let Some(unlogged) = self.service.notices.strangers.take() {
                let user = self.user();
                let reason = reply.text();
                warn!(%peer, user, reason, unlogged, "a client may not send and was refused");
            }
        }
    }

    /// Says the last word, if there is one, and closes.
    async fn leave(&mut self, end: End) {
        // Only a client that is sent away may be in the middle of sending.
        let linger = matches!(&end, End::Said(reply) if reply.code() >= 400);
        let reply = match end {
            End::Stalled | End::StartTls => return,
            End::Gone => {
                // Over TLS this says that nothing was cut off, to a client that may have closed its half only.
                let _ = tokio::time::timeout(FAREWELL_TIME_MAX, self.stream.shutdown()).await;
                return;
            }
            End::Said(reply) => reply,
            End::ShuttingDown => Reply::SHUTTING_DOWN,
            End::TimedOut if self.transaction_due.is_some_and(|due| Instant::now() >= due) => {
                Reply::TRANSACTION_TOO_SLOW
            }
            End::TimedOut if self.has_overstayed(Instant::now()) => Reply::STRANGER_TOO_LONG,
            End::TimedOut => Reply::IDLE,
        };
        self.say(&reply);
        let farewell = async {
            self.stream.write_all(&self.output).await?;
            self.stream.shutdown().await
        };
        let said = tokio::time::timeout(FAREWELL_TIME_MAX, farewell).await;
        if linger && matches!(said, Ok(Ok(()))) {
            // Whether the client ends it or the time does, is all the same.
            let _ = tokio::time::timeout(LINGER_TIME_MAX, self.swallow()).await;
        }
    }

    async fn swallow(&mut self) {
        let mut swallowed = 0;
        while swallowed < LINGER_OCTETS_MAX {
            self.input.consume(usize::MAX);
            match self.stream.read_buf(self.input.room()).await {
                Ok(0) | Err(_) => return,
                Ok(count) => swallowed += count,
            }
        }
    }
}

#[cfg(test)]
mod tests;
