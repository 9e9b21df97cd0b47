//! One shutdown story: a signal asks, running work gets its time, what is left stays in the queue.

use std::io::{self, IsTerminal};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// How long running transactions and provider calls may take after the signal.
pub const GRACE: Duration = Duration::from_secs(30);

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// To end; by the signal of this name.
    End(&'static str),
    /// To read the configuration again (SIGHUP).
    Reload,
}

/// The signals that end or concern a running daemon.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    hangup_ends: bool,
}

impl Signals {
    /// Takes the signals over from their default actions. Must be called inside a tokio runtime.
    pub fn install() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            hangup_ends: false,
        })
    }

    /// SIGHUP, which a terminal sends when it is closed, asks for the end as well. Not where the log goes elsewhere:
    /// somebody has meant it to go on (`nohup`).
    pub fn ending_with_the_terminal(self) -> Self {
        Self { hangup_ends: io::stderr().is_terminal(), ..self }
    }

    /// Waits for the next one.
    pub async fn next(&mut self) -> Event {
        tokio::select! {
            _ = self.terminate.recv() => Event::End("SIGTERM"),
            _ = self.interrupt.recv() => Event::End("SIGINT"),
            _ = self.hangup.recv() => {
                if self.hangup_ends { Event::End("SIGHUP") } else { Event::Reload }
            }
        }
    }
}
