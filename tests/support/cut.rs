//! A wire to a server that can be cut and mended, as a network is.
//!
//! The kernel of this machine still takes what is sent into a wire that is silent: whoever relies on missing
//! acknowledgements of TCP notices nothing. A network that drops is not harder to bear than that.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// How a wire is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    /// Everything passes.
    Whole,
    /// Nothing passes, and nobody is told. What was under way arrives when the wire is whole again.
    Silent,
    /// What the client says arrives; what the server says does not.
    Unanswered,
    /// Connections are reset, and new ones as well.
    Reset,
    /// Everything passes, so much later in each direction.
    Slow(Duration),
}

/// Which way something goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    There,
    Back,
}

impl Wire {
    fn passes(self, way: Way) -> bool {
        match self {
            Self::Whole | Self::Slow(_) => true,
            Self::Unanswered => way == Way::There,
            Self::Silent | Self::Reset => false,
        }
    }
}

/// A wire to a server. It is cut for good when this is dropped.
#[derive(Debug)]
pub(crate) struct Cut {
    /// Where the clients find the server.
    pub(crate) address: SocketAddr,
    wire: watch::Sender<Wire>,
    accepting: JoinHandle<()>,
}

impl Cut {
    /// Listens on a free port of the loopback address, before `server`.
    pub(crate) async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (wire, watched) = watch::channel(Wire::Whole);
        let accepting = tokio::spawn(accept(listener, server, watched));
        Self { address, wire, accepting }
    }

    /// From now on the wire is so, for open connections and for new ones.
    pub(crate) fn becomes(&self, wire: Wire) {
        self.wire.send_replace(wire);
    }
}

impl Drop for Cut {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, wire: watch::Receiver<Wire>) {
    // They end with this task.
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        connections.spawn(connection(client, server, wire.clone()));
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(mut client: TcpStream, server: SocketAddr, wire: watch::Receiver<Wire>) {
    if *wire.borrow() == Wire::Reset {
        return reset(client);
    }
    // Where the server is gone, the client sees its connection end.
    let Ok(mut server) = TcpStream::connect(server).await else { return };
    // Small packets wait for nobody, as on a connection without a wire of ours.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let mut watched = wire.clone();
    let torn = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let there = pass(from_client, to_server, Way::There, wire.clone());
        let back = pass(from_server, to_client, Way::Back, wire);
        tokio::select! {
            _ = async { tokio::join!(there, back) } => false,
            torn = watched.wait_for(|wire| *wire == Wire::Reset) => torn.is_ok(),
        }
    };
    if torn {
        reset(client);
        reset(server);
    }
}

/// Hangs up with RST.
fn reset(stream: TcpStream) {
    // Fails only on a socket that is gone already.
    let _ = stream.set_zero_linger();
    drop(stream);
}

/// Passes octets one way, to the end of them.
async fn pass(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    way: Way,
    mut wire: watch::Receiver<Wire>,
) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = from.read(&mut buffer).await.unwrap_or(0);
        let wait = match *wire.borrow() {
            Wire::Slow(time) => time,
            Wire::Whole | Wire::Silent | Wire::Unanswered | Wire::Reset => Duration::ZERO,
        };
        tokio::time::sleep(wait).await;
        if wire.wait_for(|wire| wire.passes(way)).await.is_err() {
            return;
        }
        if count == 0 {
            // The other side may have closed first.
            let _ = to.shutdown().await;
            return;
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
