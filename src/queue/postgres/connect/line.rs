//! The octets of a connection, and how long the other side has been silent.
//!
//! TCP notices a network that was cut only where nothing in between confirms what is sent: a proxy, or a server that hangs,
//! does. So it is watched how long an answer is due.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// What a connection runs over.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// How a connection does.
#[derive(Debug)]
pub(super) struct Beat {
    start: Instant,
    /// Since when an answer is due, in milliseconds since `start`; 0: none is.
    asked: AtomicU64,
    /// Until when somebody may have the connection, likewise; 0: nobody has it.
    lent: AtomicU64,
}

impl Beat {
    pub(super) fn new() -> Self {
        Self { start: Instant::now(), asked: AtomicU64::new(0), lent: AtomicU64::new(0) }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX).max(1)
    }

    /// How long an answer has been due.
    pub(super) fn silence(&self) -> Duration {
        match self.asked.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            since => Duration::from_millis(self.now().saturating_sub(since)),
        }
    }

    /// Somebody takes it for so long at the most.
    pub(super) fn lend(&self, longest: Duration) {
        let longest = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX);
        self.lent.store(self.now().saturating_add(longest), Ordering::Relaxed);
    }

    /// It has come back.
    pub(super) fn give_back(&self) {
        self.lent.store(0, Ordering::Relaxed);
    }

    /// Whether somebody has had it for too long.
    pub(super) fn is_overdue(&self) -> bool {
        let until = self.lent.load(Ordering::Relaxed);
        until != 0 && self.now() > until
    }

    fn written(&self) {
        // Only the first question counts.
        let _ = self.asked.compare_exchange(0, self.now(), Ordering::Relaxed, Ordering::Relaxed);
    }

    fn read(&self) {
        self.asked.store(0, Ordering::Relaxed);
    }
}

/// A stream that keeps its [`Beat`].
pub(super) struct Line {
    stream: Box<dyn Duplex>,
    beat: Arc<Beat>,
}

impl Line {
    pub(super) fn new(stream: Box<dyn Duplex>, beat: Arc<Beat>) -> Self {
        Self { stream, beat }
    }
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let done = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if done.is_ready() && buffer.filled().len() > before {
            self.beat.read();
        }
        done
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.beat.written();
        Pin::new(&mut self.stream).poll_write(cx, octets)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn silence_is_counted_from_the_first_question_without_an_answer() {
        let (ours, mut theirs) = tokio::io::duplex(64);
        let beat = Arc::new(Beat::new());
        let mut line = Line::new(Box::new(ours), Arc::clone(&beat));
        tokio::time::advance(Duration::from_secs(9)).await;
        assert_eq!(beat.silence(), Duration::ZERO, "nobody has asked");
        line.write_all(b"one").await.unwrap();
        tokio::time::advance(Duration::from_secs(2)).await;
        line.write_all(b"two").await.unwrap();
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(beat.silence(), Duration::from_secs(3));
        theirs.write_all(b"yes").await.unwrap();
        line.read_exact(&mut [0; 3]).await.unwrap();
        assert_eq!(beat.silence(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_lent_is_due_back() {
        let beat = Beat::new();
        beat.lend(Duration::from_secs(5));
        tokio::time::advance(Duration::from_secs(4)).await;
        assert!(!beat.is_overdue());
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(beat.is_overdue());
        beat.give_back();
        assert!(!beat.is_overdue());
    }
}
