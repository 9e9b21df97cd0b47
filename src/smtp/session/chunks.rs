//! BDAT in the dialogue (RFC 3030): which chunks are content, and of what.
//!
//! Whatever is wrong with a chunk, its octets are read as content: the refusal says so behind them. Only a BDAT whose
//! octets cannot be counted ends the connection.

use super::{Chunk, ChunkFate, Phase, Session, Transaction};
use crate::smtp::body::{Body, Kept};
use crate::smtp::reply::Reply;

/// A transaction of which some content has come.
#[derive(Debug)]
pub(super) struct Chunking {
    transaction: Transaction,
    /// Octets of its chunks, as they were on the wire.
    octets: u64,
}

impl Session {
    /// The transaction that is open: after MAIL, before the end of its content.
    pub fn transaction(&self) -> Option<&Transaction> {
        match &self.phase {
            Phase::Addressing(transaction) => Some(transaction),
            Phase::Chunking(chunking) => Some(&chunking.transaction),
            Phase::Connected | Phase::Greeted | Phase::Authenticating(_) => None,
        }
    }

    /// Tells that a chunk which was to be kept has been read into `body`, and gives the reply.
    pub fn chunk_read(&mut self, size: u64, body: &Body) -> Reply {
        let reply = match body.kept() {
            Kept::All => return Reply::chunk_taken(size),
            Kept::TooLarge => Reply::too_large(self.policy.max_message_size),
            Kept::Discarded => Reply::NO_MEMORY,
        };
        self.phase = Phase::Greeted;
        self.refused = Some(reply.clone());
        reply
    }

    /// What the octets behind this BDAT are.
    pub(super) fn chunk(&mut self, size: u64, last: bool) -> Chunk {
        Chunk { size, fate: self.fate(size, last) }
    }

    fn fate(&mut self, size: u64, last: bool) -> ChunkFate {
        let (transaction, before) = match &mut self.phase {
            Phase::Connected => return ChunkFate::Discard(Reply::HELLO_FIRST),
            Phase::Greeted | Phase::Authenticating(_) => {
                // A client that pipelines learns from the last reply what the first refusal was.
                let reply = self.refused.clone().unwrap_or(Reply::MAIL_FIRST);
                if last {
                    self.refused = None;
                }
                return ChunkFate::Discard(reply);
            }
            Phase::Addressing(transaction) => (std::mem::take(transaction), 0),
            Phase::Chunking(Chunking { transaction, octets }) => {
                (std::mem::take(transaction), *octets)
            }
        };
        self.phase = Phase::Greeted;

        let limit = self.policy.max_message_size;
        let octets = before.saturating_add(size);
        let refusal = if transaction.envelope.recipients.is_empty() {
            Some(Reply::RECIPIENT_FIRST)
        } else {
            (octets > limit).then(|| Reply::too_large(limit))
        };
        match refusal {
            // Without this chunk the others are not the message: the transaction ends here.
            Some(reply) => {
                self.refused = (!last).then(|| reply.clone());
                ChunkFate::Discard(reply)
            }
            None if last => ChunkFate::Complete(transaction),
            None => {
                if size > 0 {
                    // Not one of the commands that come to nothing.
                    self.commands = self.commands.saturating_sub(1);
                }
                self.phase = Phase::Chunking(Chunking { transaction, octets });
                ChunkFate::Keep
            }
        }
    }
}

/// True for a line that was meant as BDAT, whatever is wrong with it: what follows it is likely to be content.
pub(super) fn is_bdat(line: &[u8]) -> bool {
    let word = line.trim_ascii_start().get(..4);
    word.is_some_and(|word| word.eq_ignore_ascii_case(b"BDAT"))
}

#[cfg(test)]
mod tests;
