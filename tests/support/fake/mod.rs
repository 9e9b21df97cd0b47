//! A scriptable email service on this machine: plays Resend, SendGrid, SES, Mailgun, Postmark, Brevo or a webhook,
//! records every request, and fails in any way a test asks for.
//!
//! When it stops, it holds every request against the description of the real service, and panics when
//! one is not as described.

mod script;
mod service;
mod verdict;
mod whole;
mod wire;

pub(crate) use script::Behaviour;
pub(crate) use service::{INACTIVE, Mail, Service};
pub(crate) use whole::{WEBHOOK_SECRET, mime};
pub(crate) use wire::Reply;

use std::collections::{HashSet, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::Value;
use service::Outbox;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use wire::Head;

/// One request, as it came.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    pub(crate) head: Head,
    pub(crate) body: Vec<u8>,
    pub(crate) at: Instant,
    /// Whether it was a call that sends mail.
    pub(crate) sends: bool,
}

impl Recorded {
    /// The value of a header, whatever the case of its name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    /// The body as JSON; null when it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// A running fake. It stops when it is dropped, and then judges what it got.
#[derive(Debug)]
pub(crate) struct FakeProvider {
    address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
    accepting: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    service: Service,
    standing: Behaviour,
    script: VecDeque<Behaviour>,
    probes: Behaviour,
    /// Keys that are answered with 401, whatever else is to happen.
    revoked: HashSet<String>,
    requests: Vec<Recorded>,
    /// How many of them have been held against the description.
    judged: usize,
    outbox: Outbox,
}

impl FakeProvider {
    /// Listens on a free port of the loopback address.
    pub(crate) async fn start(service: Service) -> Self {
        // Where it is missing, the test should say so here and not at its end.
        service.description();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Mutex::new(Shared {
            service,
            standing: Behaviour::Normal,
            script: VecDeque::new(),
            probes: Behaviour::Normal,
            revoked: HashSet::new(),
            requests: Vec::new(),
            judged: 0,
            outbox: Outbox::default(),
        }));
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self { address, shared, accepting }
    }

    pub(crate) async fn resend() -> Self {
        Self::start(Service::Resend).await
    }

    /// What goes into `base_url`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on, calls that send mail end so, once the queued behaviours are used up.
    pub(crate) fn behave(&self, behaviour: Behaviour) {
        self.lock().standing = behaviour;
    }

    /// The next calls that send mail end so, one each.
    pub(crate) fn then(&self, behaviours: impl IntoIterator<Item = Behaviour>) {
        self.lock().script.extend(behaviours);
    }

    /// From now on, questions about the account end so.
    pub(crate) fn answer_probes(&self, behaviour: Behaviour) {
        self.lock().probes = behaviour;
    }

    /// From now on, this key is refused in everything.
    pub(crate) fn revoke(&self, key: &str) {
        self.lock().revoked.insert(key.to_owned());
    }

    /// The key is good again.
    pub(crate) fn restore(&self, key: &str) {
        self.lock().revoked.remove(key);
    }

    /// Both: calls that send mail and questions about the account.
    pub(crate) fn behave_in_everything(&self, behaviour: &Behaviour) {
        self.behave(behaviour.clone());
        self.answer_probes(behaviour.clone());
    }

    /// The calls that tried to send mail, in their order.
    pub(crate) fn calls(&self) -> Vec<Recorded> {
        self.lock().requests.iter().filter(|request| request.sends).cloned().collect()
    }

    /// The questions about the account.
    pub(crate) fn probes(&self) -> Vec<Recorded> {
        self.lock().requests.iter().filter(|request| !request.sends).cloned().collect()
    }

    /// The mails that left: a repeat that was recognised is not one.
    pub(crate) fn mails(&self) -> Vec<Mail> {
        self.lock().outbox.mails.clone()
    }

    /// How many mails left.
    pub(crate) fn mail_count(&self) -> usize {
        self.lock().outbox.mails.len()
    }

    /// What is wrong with the requests since the last time this was asked, by the service's published description.
    pub(crate) fn take_faults(&self) -> Vec<String> {
        let (service, requests) = {
            let mut shared = self.lock();
            let count = shared.requests.len();
            let judged = std::mem::replace(&mut shared.judged, count);
            (shared.service, shared.requests[judged..].to_vec())
        };
        verdict::faults(service, &requests)
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap()
    }
}

impl Drop for FakeProvider {
    fn drop(&mut self) {
        self.accepting.abort();
        if !std::thread::panicking() {
            let faults = self.take_faults();
            assert!(faults.is_empty(), "requests that are not as described: {faults:#?}");
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Mutex<Shared>>) {
    while let Ok((stream, _)) = listener.accept().await {
        // The connection ends in whatever way the script wants; its error is the other side's business.
        drop(tokio::spawn(serve(stream, Arc::clone(&shared))));
    }
}

/// Serves one connection until it breaks.
async fn serve(stream: TcpStream, shared: Arc<Mutex<Shared>>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    while let Some(head) = wire::read_head(&mut stream).await? {
        let (service, sends, behaviour) = {
            let mut shared = shared.lock().unwrap();
            let sends = shared.service.sends(&head);
            let behaviour = match shared.refusal(&head) {
                Some(refusal) => refusal,
                None => shared.next(sends),
            };
            (shared.service, sends, behaviour)
        };
        let early = matches!(behaviour, Behaviour::ResetEarly);
        let body = if early { Vec::new() } else { wire::read_body(&mut stream, &head).await? };
        let request = Recorded { head, body, at: Instant::now(), sends };
        shared.lock().unwrap().requests.push(request.clone());

        let normal = || {
            if sends {
                shared.lock().unwrap().outbox.take(service, &request)
            } else if service == Service::Webhook {
                whole::pong(&request)
            } else {
                service.account(&request.head.path)
            }
        };
        let answered = || shared.lock().unwrap().outbox.answered(&request);
        match behaviour {
            Behaviour::Normal => {
                let reply = normal();
                answered();
                wire::write_reply(stream.get_mut(), &reply).await?;
            }
            Behaviour::Answer(reply) => wire::write_reply(stream.get_mut(), &reply).await?,
            Behaviour::Slow(delay) => {
                let reply = normal();
                tokio::time::sleep(delay).await;
                answered();
                wire::write_reply(stream.get_mut(), &reply).await?;
            }
            Behaviour::LoseAnswer => {
                normal();
                answered();
                wire::reset(stream);
                return Ok(());
            }
            Behaviour::ResetEarly | Behaviour::ResetLate => {
                wire::reset(stream);
                return Ok(());
            }
            Behaviour::Hang => {
                wire::hang(&mut stream).await;
                return Ok(());
            }
            Behaviour::Garbage => {
                return stream
                    .get_mut()
                    .write_all(b"\x16\x03\x01 220 this is not HTTP\r\n\r\n")
                    .await;
            }
            Behaviour::Huge => {
                normal();
                answered();
                return wire::write_huge(stream.get_mut()).await;
            }
        }
    }
    Ok(())
}

impl Shared {
    /// What a request gets whose key has been revoked, in Resend's words.
    fn refusal(&self, head: &Head) -> Option<Behaviour> {
        let key = head.header("authorization")?.strip_prefix("Bearer ")?;
        let refusal = || Behaviour::resend_error(401, "validation_error", "API key is invalid");
        self.revoked.contains(key).then(refusal)
    }

    fn next(&mut self, sends: bool) -> Behaviour {
        if !sends {
            return self.probes.clone();
        }
        self.script.pop_front().unwrap_or_else(|| self.standing.clone())
    }
}
