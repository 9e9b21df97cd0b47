//! One transaction on an open connection: each recipient is judged by itself.

use std::time::Duration;

use lettre::transport::smtp::commands::{Data, Rset};
use tokio::time::timeout;

use super::dial::Connection;
use super::fault::{Fault, Progress};
use super::order::Order;
use super::reply::{self, Reply, Step};
use crate::message::Address;
use crate::provider::refusal::shorten;
use crate::provider::{LeftOut, Receipt, SendError, Verdict};

/// For the words of a server that stopped listening in the middle of the content.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Offers the message once.
pub(super) async fn run(
    connection: &mut Connection,
    order: &Order<'_>,
    progress: &Progress,
) -> Result<Receipt, Fault> {
    let mut turns = Turns::begin(connection, order, progress).await?;
    turns.reset().await?;
    turns.sender(order).await?;
    let (accepted, refused) = turns.recipients(order).await?;
    if accepted == 0 {
        return Err(Fault::Own(all_refused(&refused)));
    }
    let connection = turns.connection;

    progress.at(Step::Data);
    let reply = Reply::from(connection.wire.ask(Data).await?);
    if reply.code != 354 {
        return Err(Fault::Said(Step::Data, reply));
    }
    progress.at(Step::Content);
    if let Err(lost) = connection.wire.content(&order.content, progress).await {
        // It may have said why before it closed the connection.
        return Err(match timeout(LAST_WORDS, connection.wire.reply()).await {
            Ok(Ok(words)) if !words.is_positive() => Fault::Said(Step::Content, words.into()),
            Ok(Ok(_) | Err(_)) | Err(_) => lost,
        });
    }
    let reply = Reply::from(connection.wire.reply().await?);
    if !reply.is_positive() {
        return Err(Fault::Said(Step::Answer, reply));
    }
    let left_out = refused.into_iter().map(|(address, reply)| left_out(address, &reply)).collect();
    let provider_message_id =
        reply.queue_id().and_then(|id| Receipt::named(&id).provider_message_id);
    Ok(Receipt { provider_message_id, left_out })
}

fn left_out(address: &Address, reply: &Reply) -> LeftOut {
    LeftOut {
        address: address.as_str().to_owned(),
        reason: shorten(&format!("{} {}", reply.code, reply.text)),
        later: reply::may_be_served_later(reply),
    }
}

/// Nobody gets the message: rejected when that is so for good for each of them, else what the first of the others
/// means.
fn all_refused(refused: &[(&Address, Reply)]) -> SendError {
    let verdict = |reply: &Reply| reply::verdict(Step::Recipient, reply);
    let passing = refused.iter().find(|(_, reply)| verdict(reply) != Verdict::Rejected);
    if let Some((_, reply)) = passing {
        return reply::refusal(Step::Recipient, reply);
    }
    let words: Vec<String> = match refused {
        [(_, reply)] => vec![reply.text.clone()],
        several => several
            .iter()
            .map(|(address, reply)| format!("{address}: {} {}", reply.code, reply.text))
            .collect(),
    };
    SendError {
        verdict: Verdict::Rejected,
        status: refused.first().map(|(_, reply)| reply.code),
        reason: format!("{} (in reply to {})", shorten(&words.join("; ")), Step::Recipient),
        unclear: false,
    }
}

/// The commands before DATA. Where the server offers PIPELINING they have left together, and only the replies are read.
struct Turns<'a> {
    connection: &'a mut Connection,
    progress: &'a Progress,
    pipelined: bool,
    /// The connection has carried a transaction before, whose rest must be forgotten.
    reused: bool,
}

impl<'a> Turns<'a> {
    async fn begin(
        connection: &'a mut Connection,
        order: &Order<'_>,
        progress: &'a Progress,
    ) -> Result<Self, Fault> {
        let reused = connection.transactions > 0;
        connection.transactions += 1;
        let pipelined = connection.offer.pipelining;
        if pipelined {
            let mut commands = if reused { Rset.to_string() } else { String::new() };
            commands += &order.sender;
            commands.extend(order.recipients.iter().map(|(_, command)| command.as_str()));
            progress.at(if reused { Step::Reset } else { Step::Sender });
            connection.wire.send(commands).await?;
        }
        Ok(Self { connection, progress, pipelined, reused })
    }

    async fn turn(&mut self, step: Step, command: &str) -> Result<Reply, Fault> {
        self.progress.at(step);
        let wire = &mut self.connection.wire;
        let response = if self.pipelined { wire.reply().await } else { wire.ask(command).await };
        response.map(Reply::from)
    }

    async fn reset(&mut self) -> Result<(), Fault> {
        if !self.reused {
            return Ok(());
        }
        let reply = self.turn(Step::Reset, &Rset.to_string()).await?;
        if reply.is_positive() { Ok(()) } else { Err(Fault::Said(Step::Reset, reply)) }
    }

    async fn sender(&mut self, order: &Order<'_>) -> Result<(), Fault> {
        let reply = self.turn(Step::Sender, &order.sender).await?;
        if reply.is_positive() {
            return Ok(());
        }
        if self.pipelined && !reply.closes() {
            // The recipients are refused for want of a sender.
            for (_, command) in &order.recipients {
                self.turn(Step::Recipient, command).await?;
            }
        }
        Err(Fault::Said(Step::Sender, reply))
    }

    /// How many may get the message, and what was said to the others.
    async fn recipients<'o>(
        &mut self,
        order: &Order<'o>,
    ) -> Result<(usize, Vec<(&'o Address, Reply)>), Fault> {
        let mut refused = Vec::new();
        for (address, command) in &order.recipients {
            let reply = self.turn(Step::Recipient, command).await?;
            if reply.closes() {
                return Err(Fault::Said(Step::Recipient, reply));
            }
            if !reply.is_positive() {
                refused.push((*address, reply));
            }
        }
        Ok((order.recipients.len() - refused.len(), refused))
    }
}
