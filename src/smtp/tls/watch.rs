//! Renews the certificate when its files change, or when somebody asks.
//!
//! The contents are compared, not names or times: so links that are turned to another file (certbot, Kubernetes) and
//! clocks that are coarse make no difference. Two small files every few seconds are no load.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::clock::{SharedClock, Timestamp};
use crate::config::CertificateFiles;

use super::announce;
use super::certificate::{self, CertificateError, Digest, PemPair};
use super::presented::Presented;

/// How often the files are looked at.
const INTERVAL: Duration = Duration::from_secs(5);

/// From when on its end is announced, and how often.
const LAST_DAYS: SignedDuration = SignedDuration::from_hours(7 * 24);
const REMINDER: SignedDuration = SignedDuration::from_hours(24);

/// Asks a [`Watch`] to look at once.
#[derive(Clone, Debug)]
pub struct Reload(Arc<Notify>);

impl Reload {
    /// Returns at once; what comes of it is in the log.
    pub fn ask(&self) {
        self.0.notify_one();
    }
}

/// Looks after the files of the certificate in use.
#[derive(Debug)]
pub struct Watch {
    files: CertificateFiles,
    presented: Arc<Presented>,
    clock: SharedClock,
    asked: Arc<Notify>,
    /// What was judged last, good or bad.
    judged: Digest,
    /// What the last look saw, if that was something new.
    pending: Option<Digest>,
    /// The end of the certificate in use.
    expires: Timestamp,
    reminded: Option<Timestamp>,
}

/// What brings a look about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Occasion {
    /// It was time.
    Routine,
    /// SIGHUP.
    Asked,
}

impl Watch {
    /// For a certificate that is presented already: `judged` are its contents.
    pub(super) fn new(
        files: CertificateFiles,
        presented: Arc<Presented>,
        clock: SharedClock,
        judged: Digest,
        expires: Timestamp,
    ) -> Self {
        let asked = Arc::new(Notify::new());
        Self { files, presented, clock, asked, judged, pending: None, expires, reminded: None }
    }

    /// A handle for SIGHUP.
    pub fn reload(&self) -> Reload {
        Reload(Arc::clone(&self.asked))
    }

    /// Works until `stop` is cancelled.
    pub async fn run(mut self, stop: CancellationToken) {
        let asked = Arc::clone(&self.asked);
        loop {
            let occasion = tokio::select! {
                () = stop.cancelled() => return,
                () = asked.notified() => Occasion::Asked,
                () = tokio::time::sleep(INTERVAL) => Occasion::Routine,
            };
            let files = self.files.clone();
            // Reading blocks. Where the task is gone the runtime is as well.
            let Ok(read) = tokio::task::spawn_blocking(move || certificate::read(&files)).await
            else {
                return;
            };
            self.consider(read, occasion);
            self.remind();
        }
    }

    /// Takes a new certificate into use, or says why not: once for every change, and always when asked.
    ///
    /// Certificate and key are two files, and nobody changes both at once. So a look as a matter of routine believes
    /// only what the look before it has seen as well.
    fn consider(&mut self, read: Result<PemPair, CertificateError>, occasion: Occasion) {
        let seen = match &read {
            Ok(pair) => certificate::digest_of(pair),
            Err(error) => certificate::sha256(&[error.to_string().as_bytes()]),
        };
        if occasion == Occasion::Routine {
            if seen == self.judged {
                self.pending = None;
                return;
            }
            if self.pending != Some(seen) {
                self.pending = Some(seen);
                return;
            }
        }
        self.pending = None;
        let is_new = seen != self.judged;
        self.judged = seen;
        match read.and_then(|pair| certificate::judge(&pair, &self.files, self.clock.now())) {
            Ok(loaded) => {
                let event =
                    if is_new { "TLS certificate renewed" } else { "TLS certificate unchanged" };
                announce(&loaded, event);
                self.expires = loaded.expires;
                self.reminded = None;
                self.presented.replace(loaded.key);
            }
            Err(error) => {
                error!(%error, "the TLS certificate cannot be renewed; the one before stays in use");
            }
        }
    }

    /// Says once a day that the certificate in use comes to its end, or has.
    fn remind(&mut self) {
        let now = self.clock.now();
        let is_due = self.reminded.is_none_or(|last| now.duration_since(last) >= REMINDER);
        if is_due && self.expires.duration_since(now) <= LAST_DAYS {
            self.reminded = Some(now);
            let certificate = self.files.certificate.display();
            let expires = self.expires;
            warn!(%certificate, %expires, "the TLS certificate is at its end, and clients will refuse it: renew it");
        }
    }
}

#[cfg(test)]
mod tests;
