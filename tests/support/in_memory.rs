//! The pure parts of the listener, joined without a connection: what the tests of the dialogue talk to.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use mailferry::config::UserConfig;
use mailferry::message::{Envelope, QueueId};
use mailferry::queue::Refusal;
use mailferry::smtp::auth::{Authenticator, Credentials};
use mailferry::smtp::{
    Body, Chunk, ChunkFate, Content, Input, Peer, Policy, Reply, Session, Step, Transaction,
};
use tokio::runtime::{self, Runtime};

/// What is asked about a message that is there.
pub(crate) type Accept = Box<dyn FnMut(Envelope, Bytes) -> Result<QueueId, Refusal>>;

/// What the content that is being read is.
enum Arriving {
    /// The message, or the last chunk of it.
    Message(Transaction),
    /// A chunk of so many octets, of more.
    Chunk(u64),
    /// Nothing that is kept; this is said.
    Nothing(Reply),
}

pub(crate) struct InMemory {
    policy: Arc<Policy>,
    session: Session,
    authenticator: Authenticator,
    /// For the authenticator, which is the only part that waits.
    runtime: Runtime,
    /// STARTTLS has been accepted: what comes before the handshake is lost.
    waits_for_tls: bool,
    input: Input,
    arriving: Option<(Body, Arriving)>,
    /// What there is of a message between two chunks.
    growing: Option<Body>,
    /// Lines of replies that nobody has looked at yet.
    pub(crate) replies: VecDeque<String>,
    pub(crate) closed: bool,
    max_message_size: u64,
    accept: Accept,
}

impl InMemory {
    pub(crate) fn new(policy: Policy, users: Vec<UserConfig>, peer: Peer, accept: Accept) -> Self {
        let max_message_size = policy.max_message_size;
        let policy = Arc::new(policy);
        let mut server = Self {
            session: Session::new(Arc::clone(&policy), peer),
            authenticator: Authenticator::new(policy.auth, users, None),
            runtime: runtime::Builder::new_current_thread().enable_time().build().unwrap(),
            policy,
            waits_for_tls: false,
            input: Input::default(),
            arriving: None,
            growing: None,
            replies: VecDeque::new(),
            closed: false,
            max_message_size,
            accept,
        };
        server.say(&server.session.greeting());
        server
    }

    /// Takes what a read would have brought.
    pub(crate) fn receive(&mut self, octets: &[u8]) {
        if self.closed || self.waits_for_tls {
            return;
        }
        self.input.extend(octets);
        while !self.closed {
            if let Some((body, _)) = &mut self.arriving {
                let fed = body.feed(self.input.unread());
                self.input.consume(fed.used);
                if !fed.ended {
                    return;
                }
                self.content_read();
            }
            self.input.await_answer(self.session.awaits_answer());
            let Some(line) = self.input.next_line() else { return };
            match self.session.handle(line) {
                Step::Reply(reply) | Step::Refuse(reply) => self.say(&reply),
                Step::ReadBody(transaction) => {
                    let body = Body::new(self.limit(), transaction.announced_size);
                    self.arriving = Some((body, Arriving::Message(transaction)));
                    self.say(&Reply::GO_AHEAD);
                }
                Step::ReadChunk(chunk) => self.arriving = Some(self.begin_chunk(chunk)),
                Step::StartTls(reply) => {
                    self.say(&reply);
                    self.input = Input::default();
                    self.waits_for_tls = true;
                }
                Step::Verify(credentials) => self.log_in(credentials),
                Step::Close(reply) => {
                    self.say(&reply);
                    self.closed = true;
                }
            }
            if self.session.transaction().is_none() {
                self.growing = None;
            }
        }
    }

    /// The handshake that was asked for, and the session over it.
    pub(crate) fn shake_hands(&mut self) -> Result<(), String> {
        if !std::mem::take(&mut self.waits_for_tls) {
            return Err(String::from("the server does not wait for a handshake"));
        }
        let begun = Session::new(Arc::clone(&self.policy), self.session.peer());
        self.session = std::mem::replace(&mut self.session, begun).over_tls();
        Ok(())
    }

    fn limit(&self) -> usize {
        usize::try_from(self.max_message_size).unwrap()
    }

    fn begin_chunk(&mut self, Chunk { size, fate }: Chunk) -> (Body, Arriving) {
        let (binary, arriving) = match fate {
            ChunkFate::Discard(reply) => return (Body::swallowing(size), Arriving::Nothing(reply)),
            ChunkFate::Keep => (self.session.transaction().unwrap().binary, Arriving::Chunk(size)),
            ChunkFate::Complete(it) => (it.binary, Arriving::Message(it)),
        };
        let begun = self.growing.take();
        let mut body = begun.unwrap_or_else(|| Body::chunked(self.limit(), None, binary));
        body.begin_chunk(size);
        (body, arriving)
    }

    fn content_read(&mut self) {
        let Some((body, arriving)) = self.arriving.take() else { return };
        let reply = match arriving {
            Arriving::Nothing(reply) => reply,
            Arriving::Chunk(size) => {
                let reply = self.session.chunk_read(size, &body);
                self.growing = Some(body);
                reply
            }
            Arriving::Message(transaction) => match body.finish() {
                Content::Whole(raw) => self.submit(transaction, raw),
                Content::TooLarge => Reply::too_large(self.max_message_size),
                Content::Discarded => Reply::NO_MEMORY,
            },
        };
        self.say(&reply);
    }

    fn submit(&mut self, transaction: Transaction, raw: Bytes) -> Reply {
        if let Some(refusal) = self.session.refusal_of_content(&raw) {
            return refusal;
        }
        match (self.accept)(transaction.envelope, raw) {
            Ok(id) => {
                self.session.message_accepted();
                Reply::queued(id)
            }
            Err(refusal) => Reply::from(&refusal),
        }
    }

    fn log_in(&mut self, credentials: Credentials) {
        let checking = self.authenticator.verify(credentials, self.session.peer());
        let result = self.runtime.block_on(checking);
        let (reply, farewell) = self.session.authenticated(result);
        self.say(&reply);
        if let Some(farewell) = farewell {
            self.say(&farewell);
            self.closed = true;
        }
    }

    fn say(&mut self, reply: &Reply) {
        let mut octets = Vec::new();
        reply.encode(&mut octets);
        let text = String::from_utf8(octets).unwrap();
        self.replies.extend(text.split_inclusive("\r\n").map(String::from));
    }
}
