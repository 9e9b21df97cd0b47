//! Clients that send mail after mail, to whichever instance they come to.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::ledger::{Deferred, Ledger};
use super::support::smtp::{Mail, Reply, Session};

/// No answer takes longer: a client of the real world would have given up a little later.
pub(crate) const ANSWER_MAX: Duration = Duration::from_secs(20);

/// Where the instances listen; `None` where one is down, as a balancer would know it.
pub(crate) type Addresses = Arc<Mutex<Vec<Option<SocketAddr>>>>;

/// How much is sent, and how.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// What the subjects begin with.
    pub(crate) name: String,
    pub(crate) clients: usize,
    /// Between two mails of a client, at the most.
    pub(crate) pause: Duration,
    /// Mails on one connection, at the most.
    pub(crate) mails_per_connection: usize,
    /// Whether what was refused for now is tried again as the same mail. Otherwise another one comes in its place.
    pub(crate) again: bool,
    pub(crate) seed: u64,
}

impl Plan {
    /// As much as a debug build on two cores bears beside everything else.
    pub(crate) fn new(name: &str, seed: u64) -> Self {
        Self {
            name: name.to_owned(),
            clients: 4,
            pause: Duration::from_millis(40),
            mails_per_connection: 10,
            again: true,
            seed,
        }
    }
}

/// Clients at work.
#[derive(Debug)]
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    clients: JoinSet<()>,
}

impl Load {
    pub(crate) fn begin(addresses: &Addresses, ledger: &Ledger, plan: &Plan) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut clients = JoinSet::new();
        for number in 0..plan.clients {
            let client = Client {
                name: format!("{}-{number}", plan.name),
                addresses: Arc::clone(addresses),
                ledger: ledger.clone(),
                stop: Arc::clone(&stop),
                rng: Rng::with_seed(plan.seed.wrapping_add(number as u64)),
                plan: plan.clone(),
                number: 0,
            };
            clients.spawn(client.work());
        }
        Self { stop, clients }
    }

    /// Each client finishes the mail that it is at. Panics with what a client has found.
    pub(crate) async fn end(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.clients.join_next().await {
            ended.unwrap_or_else(|error| panic!("a client: {error}"));
        }
    }
}

struct Client {
    name: String,
    addresses: Addresses,
    ledger: Ledger,
    stop: Arc<AtomicBool>,
    rng: Rng,
    plan: Plan,
    number: usize,
}

impl Client {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    async fn work(mut self) {
        while !self.stopped() {
            let there: Vec<SocketAddr> =
                self.addresses.lock().unwrap().iter().flatten().copied().collect();
            let Some(address) = self.rng.choice(&there).copied() else {
                self.rest().await;
                continue;
            };
            match timeout(ANSWER_MAX, Session::open(address)).await {
                Ok(Ok(session)) => self.send_some(session).await,
                // It is being killed, or starts just now.
                Ok(Err(_)) => self.rest().await,
                Err(_) => panic!("{address} does not greet within {ANSWER_MAX:?}"),
            }
        }
    }

    /// Sends until the connection breaks or enough has been sent by it. What was refused for now is tried again, as an app
    /// does; what may have been taken is not.
    async fn send_some(&mut self, mut session: Session) {
        for _ in 0..self.rng.usize(1..=self.plan.mails_per_connection) {
            if self.stopped() {
                return;
            }
            let subject = format!("{}-{}", self.name, self.number);
            // Bodies of different lengths, so that the end of the data falls differently into the reads.
            let text = "x".repeat(1 + self.number * 997 % 9_000);
            let mail = Mail::with_text(&subject, &text);
            let begun = Instant::now();
            let Ok(answer) = timeout(ANSWER_MAX, session.send(&mail)).await else {
                panic!("{subject}: no answer within {ANSWER_MAX:?}");
            };
            let took = begun.elapsed();
            match answer {
                Ok(reply) if reply.code == 250 => {
                    self.ledger.note_taken(subject, reply.queue_id(), took);
                    self.number += 1;
                }
                Ok(reply) => {
                    self.refused(&subject, &reply, took);
                    self.number += usize::from(!self.plan.again);
                    self.rest().await;
                    return;
                }
                Err(_) => {
                    self.ledger.note_broken();
                    self.number += 1;
                    return;
                }
            }
            self.rest().await;
        }
    }

    fn refused(&self, subject: &str, reply: &Reply, took: Duration) {
        assert!((400..500).contains(&reply.code), "{subject}: {reply:?}");
        let reply = format!("{} {}", reply.code, reply.text);
        self.ledger.note_deferred(Deferred { took, reply });
    }

    async fn rest(&mut self) {
        let longest = u64::try_from(self.plan.pause.as_millis()).unwrap().max(1);
        tokio::time::sleep(Duration::from_millis(self.rng.u64(0..=longest))).await;
    }
}
