//! Content on its way: by DATA in one go, by BDAT in chunks, and then to the intake.

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::limits::{MEMORY_WAIT_NOTICED, TRANSACTION_TIME_MAX};
use super::{Awaited, Connection, End, MEMORY_PATIENCE};
use crate::metrics::Received;
use crate::smtp::body::{Body, Content};
use crate::smtp::memory::Reservation;
use crate::smtp::reply::Reply;
use crate::smtp::session::{Chunk, ChunkFate, Transaction};

/// What is there of a message between two chunks.
pub(super) struct Growing {
    body: Body,
    /// Covers what `body` has set aside.
    held: Reservation,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<'_, S> {
    /// From 354 to the final reply, which is left in the output.
    pub(super) async fn transfer(&mut self, transaction: Transaction) -> Result<(), End> {
        self.say(&Reply::GO_AHEAD);
        self.flush().await?;
        let body = Body::new(self.message_size_max(), transaction.announced_size);
        let held = self.service.memory.reservation(body.room_max());
        let mut growing = Growing { body, held };
        self.receive(&mut growing).await?;
        let reply = self.complete(transaction, growing).await;
        self.say(&reply);
        Ok(())
    }

    /// Reads a chunk, whatever becomes of it. The reply is left in the output. `in_transaction`: it came in one, which
    /// it may have ended.
    pub(super) async fn read_chunk(
        &mut self,
        chunk: Chunk,
        in_transaction: bool,
    ) -> Result<(), End> {
        let Chunk { size, fate } = chunk;
        // Octets that are thrown away take time as well.
        self.transaction_due.get_or_insert_with(|| Instant::now() + TRANSACTION_TIME_MAX);
        let reply = match fate {
            ChunkFate::Discard(reply) => {
                // Those behind the first that is refused are the same message.
                if in_transaction && reply.is_too_large() {
                    self.count(Received::TooLarge);
                }
                self.drop_chunks();
                let held = self.service.memory.reservation(0);
                self.receive(&mut Growing { body: Body::swallowing(size), held }).await?;
                reply
            }
            ChunkFate::Keep => {
                let mut growing = self.chunks_so_far(None);
                growing.body.begin_chunk(size);
                self.receive(&mut growing).await?;
                let reply = self.session.chunk_read(size, &growing.body);
                if self.session.transaction().is_none() {
                    let too_large = reply.is_too_large();
                    self.count(if too_large { Received::TooLarge } else { Received::NoRoom });
                }
                self.growing = Some(growing);
                reply
            }
            ChunkFate::Complete(transaction) => {
                let mut growing = self.chunks_so_far(Some(&transaction));
                growing.body.begin_chunk(size);
                self.receive(&mut growing).await?;
                self.complete(transaction, growing).await
            }
        };
        self.say(&reply);
        Ok(())
    }

    /// Lets go of chunks that have no transaction any more.
    pub(super) fn drop_chunks(&mut self) {
        if self.growing.take().is_some() {
            self.input.narrow();
        }
    }

    /// What the chunks before this one have made; `completed` is the transaction if the session has let go of it.
    fn chunks_so_far(&mut self, completed: Option<&Transaction>) -> Growing {
        if let Some(growing) = self.growing.take() {
            return growing;
        }
        let transaction = completed.or_else(|| self.session.transaction());
        let binary = transaction.is_some_and(|transaction| transaction.binary);
        let announced_size = transaction.and_then(|transaction| transaction.announced_size);
        let body = Body::chunked(self.message_size_max(), announced_size, binary);
        let held = self.service.memory.reservation(body.room_max());
        Growing { body, held }
    }

    fn message_size_max(&self) -> usize {
        usize::try_from(self.service.policy.max_message_size).unwrap_or(usize::MAX)
    }

    /// Reads to the end of the content or of the chunk. What is kept of it is covered by the reservation.
    async fn receive(&mut self, growing: &mut Growing) -> Result<(), End> {
        let Growing { body, held } = growing;
        loop {
            let begun = Instant::now();
            let arriving = self.input.unread().len();
            if arriving > 0
                && let Some(room) = body.room_wanted(arriving)
            {
                if held.cover(room, MEMORY_PATIENCE).await {
                    body.make_room(room);
                } else {
                    body.discard();
                }
            }
            let fed = body.feed(self.input.unread());
            self.input.consume(fed.used);
            // Bare line feeds have become two octets each: count what that has taken.
            if !held.cover(body.room(), MEMORY_PATIENCE).await {
                body.discard();
            }
            if body.room() == 0 {
                held.release();
            }
            if fed.ended {
                return Ok(());
            }
            // A client may wait for the replies to what it has pipelined before it sends a chunk.
            self.flush().await?;
            if begun.elapsed() >= MEMORY_WAIT_NOTICED {
                // It was us who kept it waiting.
                self.give_time();
            }
            self.earn_time(fed.used);
            self.read(Awaited::Content).await?;
        }
    }

    /// What is said about a message whose content is all there.
    async fn complete(&mut self, transaction: Transaction, growing: Growing) -> Reply {
        let ended = Instant::now();
        self.transaction_due = None;
        self.input.narrow();
        // Held until the intake has answered: what it takes over, it counts itself.
        let Growing { body, held } = growing;
        let reply = match body.finish() {
            Content::Whole(raw) => self.submit(transaction, raw, ended).await,
            Content::TooLarge => {
                self.count(Received::TooLarge);
                Reply::too_large(self.service.policy.max_message_size)
            }
            Content::Discarded => {
                self.count(Received::NoRoom);
                Reply::NO_MEMORY
            }
        };
        drop(held);
        reply
    }
}
