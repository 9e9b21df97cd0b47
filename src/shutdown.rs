//! One shutdown story: a signal asks, running work gets its time, what is left stays in the queue.

use std::io::{self, IsTerminal};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// How long running transactions and provider calls may take after the signal.
pub const GRACE: Duration = Duration::from_secs(30);

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

    /// Returns the name of the signal that asks for the end. SIGHUP has the TLS certificate read again by `reload`, which
    /// returns false when there is none to read.
    pub async fn end(&mut self, reload: impl Fn() -> bool) -> &'static str {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return "SIGTERM",
                _ = self.interrupt.recv() => return "SIGINT",
                // Without this a hang-up would end the process, and with it mail under way.
                _ = self.hangup.recv() => {
                    if self.hangup_ends {
                        return "SIGHUP";
                    }
                    if reload() {
                        tracing::warn!(
                            "SIGHUP: the TLS certificate is read again; other changes of the configuration need a restart"
                        );
                    } else {
                        tracing::warn!(
                            "SIGHUP: this version does not re-read its configuration; restart it instead"
                        );
                    }
                }
            }
        }
    }
}
