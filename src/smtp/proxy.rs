//! The PROXY protocol, versions 1 and 2: what a load balancer puts before the dialogue to say whom it connects.
//!
//! Only balancers in `smtp.proxy_networks` are heard; from them a header is required. Exactly its octets are taken from
//! the socket, because what follows may be a TLS handshake.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use proxy_header::{ParseConfig, Protocol, ProxyHeader, Tlv};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// A balancer sends its header with the first segment. This is for one that was lost on the way.
const HEADER_TIME_MAX: Duration = Duration::from_secs(5);

/// The longest header of version 1 with its CRLF (its specification §2.1).
const V1_OCTETS_MAX: usize = 107;

/// The longest header of version 2: room for a client certificate among its fields, not for the 64 KiB of its format.
const V2_OCTETS_MAX: usize = 8 * 1024;

const V1_START: &[u8] = b"PROXY ";
const V2_START: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// The signature of version 2, its command and address family, and the length of what follows.
const V2_FIXED: usize = 16;

/// Command and version of a connection that the balancer made for itself (a health check).
const V2_LOCAL: u8 = 0x20;

/// Whom the balancer speaks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The client; `None` where the balancer speaks for itself (LOCAL), or does not know (UNKNOWN).
    pub client: Option<IpAddr>,
    /// The client speaks TLS with the balancer: there is a field `PP2_TYPE_SSL` with `PP2_CLIENT_SSL`.
    pub secure: bool,
}

/// Why there is no usable header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Something else came.
    #[error("it does not begin with a PROXY header")]
    Absent,
    /// It has no end within the limit.
    #[error("its PROXY header is too long")]
    TooLong,
    /// It makes no sense.
    #[error("its PROXY header is malformed")]
    Malformed,
    /// The connection ended before it was complete.
    #[error("it ended before its PROXY header was complete")]
    Cut,
    /// It was not complete in time.
    #[error("its PROXY header did not come in time")]
    Late,
}

/// A header as it arrives.
#[derive(Debug, Default)]
pub struct Header {
    octets: Vec<u8>,
}

/// What a piece of input was to a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Octets that belong to it: all, unless it is complete.
    pub used: usize,
    /// Whom it names, once it is complete.
    pub origin: Option<Origin>,
}

impl Header {
    /// Takes what belongs to the header from the front of `arrived`.
    pub fn feed(&mut self, arrived: &[u8]) -> Result<Taken, Fault> {
        for (before, octet) in arrived.iter().enumerate() {
            self.octets.push(*octet);
            if self.is_complete()? {
                return Ok(Taken { used: before + 1, origin: Some(self.origin()?) });
            }
        }
        Ok(Taken { used: arrived.len(), origin: None })
    }

    /// Looks at what the last octet has changed.
    fn is_complete(&self) -> Result<bool, Fault> {
        let octets = self.octets.as_slice();
        if octets.len() <= V1_START.len() && V1_START.starts_with(octets) {
            return Ok(false);
        }
        if octets.starts_with(V1_START) {
            return match octets {
                [.., b'\r', b'\n'] => Ok(true),
                [.., b'\n'] => Err(Fault::Malformed),
                octets if octets.len() >= V1_OCTETS_MAX => Err(Fault::TooLong),
                _ => Ok(false),
            };
        }
        if octets.len() <= V2_START.len() {
            return if V2_START.starts_with(octets) { Ok(false) } else { Err(Fault::Absent) };
        }
        let [.., high, low] = octets.get(..V2_FIXED).unwrap_or_default() else { return Ok(false) };
        let length = V2_FIXED + usize::from(u16::from_be_bytes([*high, *low]));
        if length > V2_OCTETS_MAX { Err(Fault::TooLong) } else { Ok(octets.len() == length) }
    }

    /// Reads the complete header.
    fn origin(&self) -> Result<Origin, Fault> {
        // Nothing behind this command is to be looked at, the address family included.
        if !self.octets.starts_with(V1_START) && self.octets.get(V2_START.len()) == Some(&V2_LOCAL)
        {
            return Ok(Origin::default());
        }
        let (header, length) = ProxyHeader::parse(&self.octets, ParseConfig::default())
            .map_err(|_| Fault::Malformed)?;
        if length != self.octets.len() {
            return Err(Fault::Malformed);
        }
        let Some(addresses) = header.proxied_address() else { return Ok(Origin::default()) };
        if addresses.protocol != Protocol::Stream {
            return Err(Fault::Malformed);
        }
        let mut origin =
            Origin { client: Some(addresses.source.ip().to_canonical()), secure: false };
        for field in header.tlvs() {
            if let Tlv::Ssl(ssl) = field.map_err(|_| Fault::Malformed)? {
                origin.secure |= ssl.client_ssl();
            }
        }
        Ok(origin)
    }
}

/// Reads the header from the front of a connection, and not an octet more.
pub(super) async fn read(stream: &mut TcpStream) -> Result<Origin, Fault> {
    tokio::time::timeout(HEADER_TIME_MAX, read_patiently(stream)).await.unwrap_or(Err(Fault::Late))
}

async fn read_patiently(stream: &mut TcpStream) -> Result<Origin, Fault> {
    let gone = |_: io::Error| Fault::Cut;
    let mut header = Header::default();
    let mut front = [0; 256];
    loop {
        // Looked at first, taken then: how much of it is the header's is known only after looking.
        let seen = stream.peek(&mut front).await.map_err(gone)?;
        let seen = front.get_mut(..seen).filter(|seen| !seen.is_empty()).ok_or(Fault::Cut)?;
        let taken = header.feed(seen)?;
        let used = seen.get_mut(..taken.used).unwrap_or_default();
        stream.read_exact(used).await.map_err(gone)?;
        if let Some(origin) = taken.origin {
            return Ok(origin);
        }
    }
}

/// Whether a command line is the front of a header, from somebody who must not send one.
///
/// Version 2 begins with two empty lines and one that holds a NUL and nothing else.
pub(super) fn is_header(line: &[u8]) -> bool {
    line == b"\0" || line.starts_with(V1_START)
}

#[cfg(test)]
mod tests;
