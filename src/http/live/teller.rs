//! One stream: waits for changes and writes them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};

use super::digest::{Digest, event};
use super::places::Place;
use super::{LIFE_MAX, Leave};
use crate::delivery::ProviderState;
use crate::http::health::{ProvidersJson, QueueJson, oldest_seconds};
use crate::http::side::Context;
use crate::queue::{Counts, Listener};

/// How often providers are looked at, and counts when something has changed.
const BEAT: Duration = Duration::from_secs(1);

/// After so long a silence there is a comment.
const SILENCE_MAX: Duration = Duration::from_secs(15);

/// What a client is told about coming again, after the stream has ended, milliseconds.
const RETRY_MS: u32 = 3_000;

pub(super) struct Teller {
    context: Arc<Context>,
    leave: Leave,
    listener: Listener,
    digest: Digest,
    /// Something has changed since the counts were told.
    counts_due: bool,
    counts: Option<Counts>,
    providers: Vec<(String, ProviderState)>,
    written_at: Instant,
    writes: mpsc::Sender<Bytes>,
    _place: Place,
}

impl Teller {
    /// Hears from now on.
    pub(super) fn new(
        context: Arc<Context>,
        writes: mpsc::Sender<Bytes>,
        leave: Leave,
        place: Place,
    ) -> Self {
        let now = Instant::now();
        Self {
            leave,
            listener: context.side.feed.listen(),
            context,
            digest: Digest::new(now),
            counts_due: true,
            counts: None,
            providers: Vec::new(),
            written_at: now,
            writes,
            _place: place,
        }
    }

    /// Tells until the reader goes or has logged out, or the relay wants it to end. Of one that does not read, the server
    /// ends the connection.
    pub(super) async fn run(mut self) {
        let context = Arc::clone(&self.context);
        let writes = self.writes.clone();
        tokio::select! {
            () = self.tell() => {}
            () = writes.closed() => {}
            () = context.live.shutdown.cancelled() => {}
            () = tokio::time::sleep(LIFE_MAX) => {}
        }
    }

    async fn tell(&mut self) {
        let mut beat = tokio::time::interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut text = format!("retry: {RETRY_MS}\n\n");
        while self.write(text).await {
            text = tokio::select! {
                () = news(&mut self.listener, &mut self.digest) => {
                    self.counts_due = true;
                    self.digest.take(Instant::now())
                }
                _ = beat.tick() => self.look().await,
            };
            if !self.leave.holds(&self.context) {
                return;
            }
        }
    }

    /// What is to be said of queue and providers.
    async fn look(&mut self) -> String {
        let side = &self.context.side;
        let mut text = String::new();
        if std::mem::take(&mut self.counts_due) {
            let counts = self.context.live.pulse.counts(&*side.store).await;
            if counts.is_some() && counts != self.counts {
                let now = self.context.now();
                let json = counts.map(|counts| {
                    QueueJson::new(counts, side.queue_backend, oldest_seconds(counts, now))
                });
                add(&mut text, "queue", &json);
            }
            // Shared counts may be older than the last change: once more, when it has become quiet.
            self.counts_due = counts != self.counts;
            self.counts = counts;
        }
        let providers = side.delivery.status();
        let states = || providers.iter().map(|provider| (&provider.name, provider.state));
        if !states().eq(self.providers.iter().map(|(name, state)| (name, *state))) {
            add(&mut text, "providers", &ProvidersJson(&providers));
            self.providers = states().map(|(name, state)| (name.clone(), state)).collect();
        }
        if text.is_empty() && self.written_at.elapsed() >= SILENCE_MAX {
            text.push_str(": still here\n\n");
        }
        text
    }

    /// False when nobody reads any more.
    async fn write(&mut self, text: String) -> bool {
        if text.is_empty() {
            return true;
        }
        self.written_at = Instant::now();
        self.writes.send(Bytes::from(text)).await.is_ok()
    }
}

/// Waits until there is something to tell and it may be told. What was heard is not lost when the waiting is given up.
async fn news(listener: &mut Listener, digest: &mut Digest) {
    if digest.is_empty() {
        digest.note(listener.next().await);
    }
    tokio::time::sleep_until(digest.due()).await;
    while let Some(change) = listener.try_next() {
        digest.note(change);
    }
}

/// Adds an event with a value as JSON, which has no line ends.
fn add(text: &mut String, name: &str, value: &impl serde::Serialize) {
    // Texts, numbers and maps with texts as keys always become JSON.
    if let Ok(data) = serde_json::to_string(value) {
        event(text, name, &data);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::access::Caller;
    use crate::http::live::WRITES_MAX;
    use crate::http::live::places::Places;
    use crate::http::tests::Setup;

    fn teller(context: &Arc<Context>, writes: mpsc::Sender<Bytes>) -> Teller {
        let leave = Leave { rules: context.rules.load_full(), caller: Caller::trusted() };
        let place = Places::take(&context.live.places, leave.caller.account()).unwrap();
        Teller::new(Arc::clone(context), writes, leave, place)
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_does_not_last_for_ever() {
        let context = Setup::default().context();
        let (writes, mut reader) = mpsc::channel(WRITES_MAX);
        let start = Instant::now();
        let telling = tokio::spawn(teller(&context, writes).run());
        let mut silences = 0;
        while let Some(write) = reader.recv().await {
            silences += usize::from(write.starts_with(b":"));
        }
        telling.await.unwrap();
        assert_eq!(start.elapsed(), LIFE_MAX);
        assert!((10..=16).contains(&silences), "{silences} comments in {LIFE_MAX:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_ends_with_its_reader() {
        let context = Setup::default().context();
        let (writes, reader) = mpsc::channel(WRITES_MAX);
        let start = Instant::now();
        let telling = tokio::spawn(teller(&context, writes).run());
        drop(reader);
        telling.await.unwrap();
        assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    }
}
