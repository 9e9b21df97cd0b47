//! Names to addresses.
//!
//! hickory asks the name servers itself, because the resolver of musl loses answers under the search domains of
//! Kubernetes. What it cannot find, and everything where there is no readable `/etc/resolv.conf`, the system is
//! asked for. Nobody else's name servers are ever asked.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::LookupIpStrategy;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// The resolver of the shared HTTP client, and of smarthosts.
#[derive(Clone, Default)]
pub(super) struct Resolver {
    /// Made at the first lookup, because that is when a runtime is there for certain. `None` inside: no usable
    /// configuration on this machine.
    direct: Arc<OnceLock<Option<TokioResolver>>>,
}

impl Resolver {
    /// The addresses of a host, each with any port.
    pub(super) async fn lookup(&self, host: &str) -> std::io::Result<Vec<SocketAddr>> {
        if let Some(direct) = self.direct.get_or_init(direct_resolver) {
            match direct.lookup_ip(host).await {
                Ok(found) => return Ok(found.iter().map(with_any_port).collect()),
                Err(error) => tracing::debug!(host, %error, "name servers do not know the host"),
            }
        }
        Ok(tokio::net::lookup_host((host, 0)).await?.collect())
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.clone();
        Box::pin(async move {
            let found = resolver.lookup(name.as_str()).await?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver")
    }
}

fn direct_resolver() -> Option<TokioResolver> {
    let mut builder = TokioResolver::builder_tokio()
        .inspect_err(|error| tracing::debug!(%error, "no name servers configured"))
        .ok()?;
    let options = builder.options_mut();
    // Both families, so that connecting can fall back from one to the other.
    options.ip_strategy = LookupIpStrategy::Ipv6AndIpv4;
    // Servers that are silent must leave time, within the time for connecting, to ask the system.
    options.timeout = Duration::from_secs(2);
    options.attempts = 1;
    builder.build().ok()
}

/// The client puts in the port of the URL.
fn with_any_port(address: IpAddr) -> SocketAddr {
    SocketAddr::new(address, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn localhost_is_found() {
        let found = Resolver::default().lookup("localhost").await.unwrap();
        assert!(!found.is_empty());
        assert!(found.iter().all(|address| address.ip().is_loopback()), "{found:?}");
    }

    #[tokio::test]
    async fn without_name_servers_the_system_is_asked() {
        let resolver = Resolver::default();
        resolver.direct.set(None).unwrap();
        let found = resolver.lookup("localhost").await.unwrap();
        assert!(found.iter().all(|address| address.ip().is_loopback()), "{found:?}");
        assert!(!found.is_empty());
    }
}
