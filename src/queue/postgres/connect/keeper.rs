//! Drives a connection until it ends, and ends it when nothing is to be expected of it any more.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval};
use tokio_postgres::{AsyncMessage, Connection};

use super::line::{Beat, Line};
use crate::queue::postgres::fault::explain;

/// How often a connection is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// Reads and writes until the connection ends.
pub(super) type Running = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Hands on what is told by NOTIFY.
pub(super) type Heard = mpsc::Sender<String>;

/// What is known of a connection beside its octets.
pub(super) struct Keeper {
    pub(super) beat: Arc<Beat>,
    /// How long an answer may take.
    pub(super) silence: Option<Duration>,
    pub(super) heard: Option<Heard>,
    /// Changes when all connections are to be given up.
    pub(super) given_up: watch::Receiver<u64>,
}

impl Keeper {
    pub(super) fn keep<T>(mut self, mut connection: Connection<Line, T>) -> Running
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        self.given_up.mark_unchanged();
        Box::pin(async move {
            let mut look = interval(LOOK);
            look.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    message = poll_fn(|task| connection.poll_message(task)) => match message {
                        Some(Ok(message)) => if !self.hear(message) { return },
                        Some(Err(error)) => {
                            tracing::debug!(reason = explain(&error), "a connection to the database has ended");
                            return;
                        }
                        None => return,
                    },
                    _ = look.tick() => if self.is_dead() {
                        tracing::warn!("the database does not answer: a connection to it is given up");
                        return;
                    },
                    // An error means that nobody is left who could want that; the client goes as well.
                    changed = self.given_up.changed() => if changed.is_ok() { return },
                }
            }
        })
    }

    fn is_dead(&self) -> bool {
        self.silence.is_some_and(|longest| self.beat.silence() > longest) || self.beat.is_overdue()
    }

    /// False when somebody who listens cannot follow: whoever comes back looks at everything again.
    fn hear(&self, message: AsyncMessage) -> bool {
        match (message, &self.heard) {
            (AsyncMessage::Notification(told), Some(heard)) => {
                heard.try_send(told.payload().to_owned()).is_ok()
            }
            (AsyncMessage::Notice(notice), _) => {
                tracing::debug!(notice = notice.message(), "the database remarks");
                true
            }
            // Somebody else's.
            (_, _) => true,
        }
    }
}
