//! Any mail server that takes mail from us for everybody: Gmail, Office 365, Naver, SES by SMTP, another MTA
//! (RFC 6409 submission).
//!
//! The message travels as it is. The server's replies tell of each recipient by itself; what it offers in EHLO is known
//! only when connected, so that the last choices (8-bit content, size, parameters) are made at sending. Connections are
//! used again. There is no idempotency: when the connection is lost after the end of the content, a repeat may be a
//! second copy.

mod content;
mod dial;
mod fault;
mod offer;
mod order;
mod pool;
mod reply;
mod tls;
mod transaction;
mod wire;

#[cfg(test)]
mod server;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use self::dial::Dial;
use self::fault::{Fault, Progress, no_answer};
use self::offer::Offer;
use self::order::Order;
use self::pool::Pool;
use self::reply::Step;
use super::endpoint::BuildError;
use super::form;
use super::refusal::without_secrets;
use super::resolve::Resolver;
use super::{
    Call, Capabilities, Form, Idempotency, IdempotencyKey, Letter, MessageIdFate, Provider,
    QuotaDay, Rate, Receipt, SendError, Shown, Unfit, Varies,
};
use crate::config::{Place, Preset, ProviderConfig, SmtpTls};
use crate::secret::Secret;

/// The largest message that is offered to any server; most announce less, and that holds.
const MESSAGE_MAX: usize = 50_000_000;

/// A mail server, and our account there.
pub(super) struct Smarthost {
    capabilities: Capabilities,
    dial: Dial,
    pool: Arc<Pool>,
    /// For one call, from connecting to the last reply.
    timeout: Duration,
    /// What must not show, should the server repeat it.
    secrets: Vec<Secret>,
}

impl Smarthost {
    pub(super) fn new(config: &ProviderConfig) -> Result<Self, BuildError> {
        let connector = tls::connector().map_err(|error| {
            BuildError::setting(config, "tls", format!("cannot be set up: {error}"))
        })?;
        Self::with(config, connector)
    }

    fn with(config: &ProviderConfig, connector: TlsConnector) -> Result<Self, BuildError> {
        let own = &config.smarthost;
        let place = own
            .place(config.region.as_deref())
            .map_err(|key| BuildError::setting(config, key, "is not set"))?;
        let (user, password) = (&own.username, own.password.expose());
        let secrets = [
            password.to_owned(),
            STANDARD.encode(password),
            STANDARD.encode(format!("\0{user}\0{password}")),
        ];
        Ok(Self {
            capabilities: capabilities(config),
            dial: Dial {
                place,
                username: user.clone(),
                password: own.password.clone(),
                hello: own.hello.clone(),
                connector,
                resolver: Resolver::default(),
            },
            pool: Pool::new(config.concurrency.get()),
            timeout: config.timeout,
            secrets: if password.is_empty() { Vec::new() } else { secrets.map(Secret::new).into() },
        })
    }

    /// One attempt; a second connection only when the first had waited and is found dead before anything of the message
    /// was sent.
    async fn offer(&self, call: &Call, progress: &Progress) -> Result<Receipt, Fault> {
        let Some(envelope) = &call.envelope else {
            return Err(Fault::not_this_way("the call has no envelope"));
        };
        let mut waiting = self.pool.take();
        loop {
            let (mut connection, waited) = match waiting.take() {
                Some(connection) => (connection, true),
                None => (self.dial.open(progress).await?, false),
            };
            let outcome = match Order::new(envelope, &call.body, &connection.offer) {
                Ok(order) => transaction::run(&mut connection, &order, progress).await,
                Err(fault) => Err(fault),
            };
            match outcome {
                Err(fault) if fault.is_gone() => {
                    let untouched = !matches!(progress.step(), Step::Content | Step::Answer);
                    if !(waited && untouched) {
                        return Err(fault);
                    }
                    tracing::debug!(
                        ?fault,
                        "a connection that was kept open is dead, making a new one"
                    );
                }
                outcome => {
                    self.pool.keep(connection);
                    return outcome;
                }
            }
        }
    }

    /// Connects, logs in, and says goodbye.
    async fn visit(&self, progress: &Progress) -> Result<(), Fault> {
        self.dial.open(progress).await?.quit().await;
        Ok(())
    }

    /// What came of it, within the time for a call.
    async fn in_time<T>(
        &self,
        work: impl Future<Output = Result<T, Fault>>,
        progress: &Progress,
    ) -> Result<T, SendError> {
        let deadline = Instant::now() + self.timeout;
        let outcome = match timeout_at(deadline, work).await {
            Ok(outcome) => outcome.map_err(|fault| fault.judged(progress.step())),
            Err(_elapsed) => Err(self.too_late(progress.step())),
        };
        outcome.map_err(|error| self.censored(error))
    }

    fn too_late(&self, step: Step) -> SendError {
        let advice = match (step, self.dial.place.tls) {
            (Step::Greeting, SmtpTls::StartTls | SmtpTls::Off) => {
                "; does this port want TLS from the first octet (tls = \"implicit\")?"
            }
            (Step::Answer, _) => "; a longer timeout of this provider avoids second copies",
            (_, _) => "",
        };
        no_answer(format!("no answer within {:?} (at {step}){advice}", self.timeout), step)
    }

    fn censored(&self, mut error: SendError) -> SendError {
        error.reason = without_secrets(error.reason, self.secrets.iter().map(Secret::expose));
        error
    }
}

impl fmt::Debug for Smarthost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { host, port, tls } = &self.dial.place;
        f.debug_struct("Smarthost")
            .field("host", host)
            .field("port", port)
            .field("tls", tls)
            .field("username", &self.dial.username)
            .finish_non_exhaustive()
    }
}

fn capabilities(config: &ProviderConfig) -> Capabilities {
    let preset = config.smarthost.preset;
    Capabilities {
        form: Form::RawMime,
        request_bytes_max: MESSAGE_MAX,
        // SES takes fewer in one message than RFC 5321 §4.5.3.1.8 asks of everybody.
        recipients_per_call: if preset == Some(Preset::Ses) { 50 } else { 100 },
        idempotency: Idempotency::None,
        rate: config.smarthost.rate().map(|rate| Rate { calls: rate.calls, per: rate.per }),
        quota_day: QuotaDay::Utc,
        non_ascii_local_parts: true,
        batch: None,
        message_id: match preset {
            Some(Preset::Ses) => MessageIdFate::Replaced,
            Some(Preset::Gmail | Preset::Office365 | Preset::Naver) | None => MessageIdFate::Kept,
        },
    }
}

#[async_trait]
impl Provider for Smarthost {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn prepare(&self, letter: &Letter<'_>) -> Result<Call, Unfit> {
        let envelope = content::envelope(letter)?;
        let (count, max) = (envelope.recipients.len(), self.capabilities.recipients_per_call);
        if count > max {
            let reason = format!("{count} recipients in one call, the provider takes {max}");
            return Err(Unfit { reason });
        }
        let body = content::build(letter, self.capabilities.message_id)?;
        let (size, max) = (body.len(), self.capabilities.request_bytes_max);
        if size > max {
            let reason =
                format!("the message has {size} octets, at most {max} are offered to any server");
            return Err(Unfit { reason });
        }
        let losses = form::losses(letter, &self.capabilities);
        Ok(Call { envelope: Some(envelope), losses, ..Call::new(body, "message/rfc822") })
    }

    async fn send(&self, call: &Call, _: &IdempotencyKey) -> Result<Receipt, SendError> {
        let progress = Progress::new();
        self.in_time(self.offer(call, &progress), &progress).await
    }

    /// For the server as it was when it was last connected; else for one that offers everything.
    async fn show(&self, call: &Call, _: &IdempotencyKey) -> Result<Shown, Unfit> {
        let envelope = call.envelope.as_ref();
        let envelope =
            envelope.ok_or_else(|| Unfit { reason: "the call has no envelope".to_owned() })?;
        let offer = self.pool.offer().unwrap_or_else(Offer::everything);
        let order = Order::new(envelope, &call.body, &offer);
        let order = order.map_err(|fault| Unfit { reason: fault.judged(Step::Sender).reason })?;
        let commands = [&order.sender].into_iter().chain(order.recipients.iter().map(|it| &it.1));
        let command = |line: &String| {
            let line = line.trim_end();
            let (verb, rest) = line.split_once(':').unwrap_or((line, ""));
            (verb.to_owned(), rest.to_owned())
        };
        let Place { host, port, tls } = &self.dial.place;
        let scheme = if *tls == SmtpTls::Implicit { "smtps" } else { "smtp" };
        Ok(Shown {
            method: "SMTP".to_owned(),
            url: format!("{scheme}://{host}:{port}"),
            headers: commands.map(command).collect(),
            body: Bytes::copy_from_slice(&order.content),
            content_type: call.content_type.clone().into_owned(),
            varies: Some(Varies::Offer),
        })
    }

    async fn probe(&self) -> Result<(), SendError> {
        let progress = Progress::new();
        self.in_time(self.visit(&progress), &progress).await
    }
}
