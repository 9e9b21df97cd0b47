//! What every provider promises, for one that is reached by SMTP; against a server that does what it is told.

mod connections;
mod encryption;
mod messages;
mod refusals;

use std::time::Duration;

use super::server::{Act, Script, Server, Visit, say};
use super::*;
use crate::config::{ProviderKind, SmarthostConfig};
use crate::provider::Verdict;
use crate::provider::samples::{Sample, config};

const ALL: [&str; 5] = ["PIPELINING", "8BITMIME", "SMTPUTF8", "DSN", "SIZE 1000000"];
const PASSWORD: &str = "topsecret-pa55word";

/// A configuration for the server: in plaintext, without login.
fn plain(server: &Server) -> ProviderConfig {
    let smarthost = SmarthostConfig {
        host: Some("localhost".to_owned()),
        port: server.address.port().try_into().ok(),
        tls: SmtpTls::Off,
        ..SmarthostConfig::default()
    };
    ProviderConfig { smarthost, ..config(ProviderKind::Smtp) }
}

fn with_login(server: &Server, tls: SmtpTls) -> ProviderConfig {
    let mut config = plain(server);
    config.smarthost.tls = tls;
    config.smarthost.username = "ada".to_owned();
    config.smarthost.password = Secret::new(PASSWORD);
    config
}

fn made(config: &ProviderConfig, server: &Server) -> Smarthost {
    Smarthost::with(config, tls::trusting(server.roots.clone()).unwrap()).unwrap()
}

async fn send(provider: &Smarthost, sample: &Sample) -> Result<Receipt, SendError> {
    let call = provider.prepare(&sample.letter()).unwrap();
    let key = IdempotencyKey::of(sample.id, &call);
    provider.send(&call, &key).await
}

/// One call to a server of this kind, and what the server saw.
async fn attempt(script: Script, sample: &Sample) -> (Result<Receipt, SendError>, Vec<Visit>) {
    let server = Server::start(script).await;
    let outcome = send(&made(&plain(&server), &server), sample).await;
    (outcome, server.visits())
}

async fn refused(script: Script) -> SendError {
    attempt(script, &Sample::plain()).await.0.unwrap_err()
}

const LATER: Verdict = Verdict::Temporary { retry_after: None };
