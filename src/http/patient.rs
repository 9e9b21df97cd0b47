//! A socket whose peer must take what it is sent.
//!
//! Who asks and then does not read holds a connection, and whatever its answer needs: a place among the downloads, a
//! message in memory, a stream of events. So a write may stand still only for so long, whatever is written.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// How long a peer may take nothing while something waits for it. The buffers of the system are full by then.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// A stream that fails with `TimedOut` when nothing could be written for [`PATIENCE`].
pub(super) struct Patient<S> {
    stream: S,
    /// Runs while a write waits.
    limit: Pin<Box<Sleep>>,
    waiting: bool,
}

impl<S> fmt::Debug for Patient<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Patient").field("waiting", &self.waiting).finish_non_exhaustive()
    }
}

impl<S> Patient<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, limit: Box::pin(tokio::time::sleep(PATIENCE)), waiting: false }
    }

    /// Passes on what a write came to; one that waits has begun to wait now, or must not any more.
    fn limited<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waiting = false;
            return written;
        }
        if !self.waiting {
            self.waiting = true;
            self.limit.as_mut().reset(Instant::now() + PATIENCE);
        }
        ready!(self.limit.as_mut().poll(context));
        let message = "the peer did not read what it was sent";
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, message)))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, octets);
        self.limited(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        self.limited(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.limited(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let closed = Pin::new(&mut self.stream).poll_shutdown(context);
        self.limited(context, closed)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_nothing_is_not_waited_for() {
        let (near, far) = tokio::io::duplex(8);
        let (mut near, start) = (Patient::new(near), Instant::now());
        let error = near.write_all(&[0; 9]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(start.elapsed(), PATIENCE);
        drop(far);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_a_little_now_and_then_is_served() {
        let (near, mut far) = tokio::io::duplex(8);
        let mut near = Patient::new(near);
        let writing = tokio::spawn(async move { near.write_all(&[7; 80]).await });
        let mut taken = 0;
        while taken < 80 {
            tokio::time::advance(PATIENCE - Duration::from_secs(1)).await;
            taken += far.read(&mut [0; 8]).await.unwrap();
        }
        writing.await.unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_rests_is_none_that_does_not_read() {
        let (near, mut far) = tokio::io::duplex(8);
        let mut near = Patient::new(near);
        tokio::time::advance(PATIENCE * 3).await;
        near.write_all(&[7; 8]).await.unwrap();
        let writing = tokio::spawn(async move { near.write_all(&[7; 8]).await });
        tokio::task::yield_now().await;
        far.read_exact(&mut [0; 16]).await.unwrap();
        writing.await.unwrap().unwrap();
    }
}
