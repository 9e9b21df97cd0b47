//! `[http]`: health, API and page.

use std::net::SocketAddr;

use ipnet::IpNet;

use super::reader::Reader;
use crate::secret::Secret;

/// How the HTTP side listens and whom it trusts.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The Bearer token of every endpoint that sends, changes or shows mail; empty: none.
    pub token: Secret,
    /// Without a token, only these may use those endpoints.
    pub trusted_networks: Vec<IpNet>,
}

impl HttpConfig {
    pub(super) fn read(reader: &mut Reader) -> Self {
        Self {
            listen: reader.get("http.listen"),
            token: reader.get("http.token"),
            trusted_networks: reader.get("http.trusted_networks"),
        }
    }
}
