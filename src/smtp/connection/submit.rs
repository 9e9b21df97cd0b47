//! What happens to a message whose content is complete, whichever way it came.

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tracing::warn;

use super::Connection;
use crate::message::Submission;
use crate::metrics::Received;
use crate::queue::Refusal;
use crate::smtp::reply::Reply;
use crate::smtp::session::Transaction;

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<'_, S> {
    /// The one way into the intake: checks who the message claims to be from, hands it to the intake, and returns the final
    /// reply. Its content `ended` then.
    pub(super) async fn submit(
        &mut self,
        transaction: Transaction,
        raw: Bytes,
        ended: Instant,
    ) -> Reply {
        let peer = self.session.peer().address;
        if let Some(refusal) = self.session.refusal_of_content(&raw) {
            let (user, reason) = (self.user(), refusal.text());
            warn!(%peer, user, reason, "a message was refused");
            self.count(Received::Forbidden);
            return refusal;
        }
        let account = self.session.identity().and_then(|identity| identity.account.clone());
        let submission = Submission {
            envelope: transaction.envelope,
            raw,
            user: self.user().map(str::to_owned),
            peer: Some(peer),
            account,
            may_steer: self.session.may_steer(),
        };
        match self.service.intake.accept(submission).await {
            Ok(id) => {
                self.session.message_accepted();
                self.count(Received::Accepted);
                self.service.arrivals.accept_took(ended.elapsed());
                Reply::queued(id)
            }
            Err(refusal) => {
                self.count(match refusal {
                    Refusal::NoRoom(_) => Received::NoRoom,
                    Refusal::TryAgain(_) => Received::TryAgain,
                    Refusal::Rejected(_) => Received::Rejected,
                });
                Reply::from(&refusal)
            }
        }
    }

    /// The name of the user who has logged in.
    pub(super) fn user(&self) -> Option<&str> {
        let user = self.session.identity()?.user.as_ref()?;
        Some(&user.username)
    }
}
