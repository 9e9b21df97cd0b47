//! Writing in groups, on a connection of one's own.
//!
//! A writer takes all that waits in its line, writes it in one transaction and then answers everybody: under load the price
//! of a commit is shared, and a lone message waits for one and for no timer. There is one for what comes in, one for what
//! became of it, and one for claims, so that none of them waits behind another.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::error::{Severity, SqlState};
use tokio_postgres::{Client, Error};

use super::connect::{Connections, Role};
use super::fault::unavailable;
use super::line::{Answer, Job, Line, stopped};
use crate::queue::StoreError;

/// The most work in one transaction: pieces, and octets of content. One piece always fits.
pub(super) const GROUP_JOBS_MAX: usize = 1_000;
pub(super) const GROUP_BYTES_MAX: usize = 16 << 20;

/// How long one transaction may take, and how much longer for each so many octets of content.
const GROUP_TIME: Duration = Duration::from_secs(5);
const GROUP_TIME_PER: usize = 2 << 20;

/// Between two tries to connect.
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// How often a group is tried that came in the way of another instance's.
const TRIES_MAX: u32 = 4;

/// How long a writer may take to finish what waits when the store is closed.
const END_TIME: Duration = Duration::from_secs(10);

/// The statements are few and look things up in indexes. A planner that has never seen the tables full, or has seen them
/// empty, must not read them from end to end; nor plan anew each time, nor compile.
pub(super) const SESSION: &str = "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; \
     SET enable_mergejoin = off; SET enable_bitmapscan = off; SET jit = off; SET work_mem = '32MB'; \
     SET idle_in_transaction_session_timeout = '10s'; SET statement_timeout = '30s'; \
     SET default_transaction_isolation = 'read committed'";

/// What a writer writes.
pub(super) trait Trade: Send + 'static {
    type Job: Job;
    /// The statements, prepared on a connection.
    type Tools: Send + Sync;

    /// Prepares the statements.
    fn prepare(client: &Client) -> impl Future<Output = Result<Self::Tools, Error>> + Send;

    /// How many jobs from the front go into one transaction. At least one.
    fn portion(&self, jobs: &[Self::Job]) -> usize;

    /// Writes them in one transaction and keeps the answers in the jobs. An error says that nothing was written, or
    /// that nobody knows.
    fn write(
        &mut self,
        client: &mut Client,
        tools: &Self::Tools,
        jobs: &mut [Self::Job],
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// The connection was lost in the middle of this: it may have been written, and its askers are told that it was not.
    fn doubt(&mut self, jobs: &[Self::Job]);

    /// Puts right on a new connection what is in doubt. Nothing of the old one is running any more.
    fn mend(&mut self, client: &mut Client) -> impl Future<Output = Result<(), Error>> + Send;
}

/// Who writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Is connected all the time.
    Daemon,
    /// Connects when there is something to do.
    Visitor,
}

/// The way to a writer.
#[derive(Debug)]
pub(super) struct Desk<J> {
    line: Arc<Line<J>>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl<J: Job> Desk<J> {
    /// Begins to write.
    pub(super) fn start<T: Trade<Job = J>>(
        connections: Connections,
        role: Role,
        trade: T,
        purpose: Purpose,
    ) -> Self {
        let line = Arc::new(Line::new());
        let writer =
            Writer { line: Arc::clone(&line), connections, role, trade, purpose, last: None };
        let task = tokio::spawn(writer.run());
        Self { line, task: Mutex::new(Some(task)) }
    }

    /// Puts work into the line and waits for its answer.
    pub(super) async fn ask<T>(&self, job: impl FnOnce(Answer<T>) -> J) -> Result<T, StoreError> {
        self.line.ask(job).await
    }

    /// Takes no more work, and finishes what waits.
    pub(super) async fn close(&self) {
        self.line.close();
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut task) = task
            && timeout(END_TIME, &mut task).await.is_err()
        {
            task.abort();
            self.line.refuse(&stopped());
        }
    }
}

impl<J> Drop for Desk<J> {
    fn drop(&mut self) {
        // What waits is still done, by a task that ends then.
        self.line.close();
    }
}

/// A process of the server that works for a connection. Another one may have its number later.
#[derive(Clone, Copy, Debug)]
struct Backend {
    pid: i32,
    started: i64,
}

/// A connection with what is prepared on it.
struct Seat<T> {
    client: Client,
    tools: T,
}

/// The state of a writing task.
struct Writer<T: Trade> {
    line: Arc<Line<T::Job>>,
    connections: Connections,
    role: Role,
    trade: T,
    purpose: Purpose,
    /// Who worked for the last connection.
    last: Option<Backend>,
}

/// Whatever ends the task, nobody is left waiting.
struct Abandon<J: Job>(Arc<Line<J>>);

impl<J: Job> Drop for Abandon<J> {
    fn drop(&mut self) {
        self.0.close();
        self.0.refuse(&stopped());
    }
}

/// What is left of a connection after a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    Fine,
    Lost,
}

impl<T: Trade> Writer<T> {
    /// Works until the line is closed and empty.
    async fn run(mut self) {
        let _abandon = Abandon(Arc::clone(&self.line));
        if self.purpose == Purpose::Visitor {
            self.line.arrival().await;
        }
        while let Some(seat) = self.connect().await {
            if self.work(seat).await == After::Fine {
                return;
            }
        }
    }

    /// Works on one connection until it is lost, or there is no more work.
    async fn work(&mut self, mut seat: Seat<T::Tools>) -> After {
        loop {
            self.line.arrival().await;
            let since = Instant::now();
            let mut jobs = self.line.take();
            if jobs.is_empty() {
                // Closed.
                return After::Fine;
            }
            while !jobs.is_empty() {
                if seat.client.is_closed() {
                    self.line.put_back(jobs, since);
                    return After::Lost;
                }
                let rest = jobs.split_off(self.trade.portion(&jobs).clamp(1, jobs.len()));
                let mut group = std::mem::replace(&mut jobs, rest);
                // Who has hung up was told nothing, and must not find the message sent or claimed all the same.
                group.retain(|job| !job.is_unwanted());
                if !group.is_empty() && self.serve(&mut seat, group).await == After::Lost {
                    self.line.put_back(jobs, since);
                    return After::Lost;
                }
            }
        }
    }

    /// Writes one group and answers it.
    async fn serve(&mut self, seat: &mut Seat<T::Tools>, mut group: Vec<T::Job>) -> After {
        let bytes: usize = group.iter().map(Job::bytes).sum();
        let seconds = u64::try_from(bytes / GROUP_TIME_PER).unwrap_or(u64::MAX);
        let limit = GROUP_TIME.saturating_add(Duration::from_secs(seconds));
        let mut tries = 0;
        let error = loop {
            tries += 1;
            let written = self.trade.write(&mut seat.client, &seat.tools, &mut group);
            let Ok(result) = timeout(limit, written).await else {
                self.trade.doubt(&group);
                let error = StoreError::Unavailable("the database does not answer".to_owned());
                finish(group, Err(&error));
                self.line.refuse(&error);
                return After::Lost;
            };
            match result {
                Ok(()) => {
                    finish(group, Ok(()));
                    return After::Fine;
                }
                Err(error) if is_collision(&error) && tries < TRIES_MAX => {}
                Err(error) => break error,
            }
        };
        if is_unclear(&error) {
            self.trade.doubt(&group);
        } else if is_about_data(&error) && group.len() > 1 {
            // One of them is at fault: the others must not suffer from it.
            for job in group {
                if Box::pin(self.serve(seat, vec![job])).await == After::Lost {
                    return After::Lost;
                }
            }
            return After::Fine;
        }
        finish(group, Err(&unavailable(&error)));
        if is_unclear(&error) || is_of_no_use(&error) { After::Lost } else { After::Fine }
    }

    /// Connects, as long as it takes; meanwhile nobody waits for long. `None` when the line is closed.
    async fn connect(&mut self) -> Option<Seat<T::Tools>> {
        let line = Arc::clone(&self.line);
        let role = self.role;
        let mut backoff = BACKOFF_MIN;
        let mut comebacks = self.connections.comebacks();
        loop {
            comebacks.borrow_and_update();
            let error = {
                let seat = self.seat();
                tokio::pin!(seat);
                loop {
                    tokio::select! {
                        seat = &mut seat => match seat {
                            Ok(seat) => return Some(seat),
                            Err(error) => break error,
                        },
                        () = line.overdue() => line.refuse(&unreachable()),
                    }
                }
            };
            // That the database is away is said where connections are made.
            tracing::debug!(work = role.name(), %error, "a writer has no connection");
            line.refuse(&error);
            if line.is_closed() {
                return None;
            }
            let pause = sleep(backoff.mul_f64(0.5 + fastrand::f64() / 2.0));
            tokio::pin!(pause);
            loop {
                tokio::select! {
                    () = &mut pause => break,
                    // Somebody else has reached it: mail need not be refused any longer.
                    Ok(()) = comebacks.changed() => break,
                    () = line.arrival() => {
                        line.refuse(&error);
                        if line.is_closed() {
                            return None;
                        }
                    }
                }
            }
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }

    /// Connects once, makes sure that nothing of the last connection is running any more, and puts right what it has left.
    async fn seat(&mut self) -> Result<Seat<T::Tools>, StoreError> {
        let mut client = self.connections.alone(self.role).await?;
        let set_up = async {
            client.batch_execute(SESSION).await?;
            if let Some(last) = self.last {
                end(&client, last).await?;
            }
            self.trade.mend(&mut client).await?;
            self.last = Some(backend(&client).await?);
            let tools = T::prepare(&client).await?;
            Ok(tools)
        };
        let tools = timeout(GROUP_TIME, set_up)
            .await
            .map_err(|_| unreachable())?
            .map_err(|error: Error| unavailable(&error))?;
        Ok(Seat { client, tools })
    }
}

fn finish<J: Job>(jobs: Vec<J>, verdict: Result<(), &StoreError>) {
    for job in jobs {
        job.finish(verdict);
    }
}

fn unreachable() -> StoreError {
    StoreError::Unavailable("the database cannot be reached".to_owned())
}

const BACKEND: &str = "SELECT pid, (extract(epoch FROM backend_start) * 1000000)::int8 \
     FROM pg_stat_activity WHERE pid = pg_backend_pid()";

async fn backend(client: &Client) -> Result<Backend, Error> {
    let row = client.query_one(BACKEND, &[]).await?;
    Ok(Backend { pid: row.try_get(0)?, started: row.try_get(1)? })
}

const END: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
     WHERE pid = $1 AND (extract(epoch FROM backend_start) * 1000000)::int8 = $2";

/// Ends a process that may still be at work for a connection that was lost, and waits until it has gone.
async fn end(client: &Client, last: Backend) -> Result<(), Error> {
    let end = client.prepare(END).await?;
    // The caller sets the limit.
    while !client.query(&end, &[&last.pid, &last.started]).await?.is_empty() {
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// True when nobody knows whether it was written: the connection ended before the answer.
fn is_unclear(error: &Error) -> bool {
    // A server that ends a connection says so with another severity, perhaps right after a commit.
    error.as_db_error().is_none_or(|error| error.parsed_severity() != Some(Severity::Error))
}

/// True when the same may go well at once: it met with another instance's work.
fn is_collision(error: &Error) -> bool {
    matches!(
        error.code(),
        Some(&SqlState::T_R_DEADLOCK_DETECTED | &SqlState::T_R_SERIALIZATION_FAILURE)
    )
}

/// True when a value is at fault: of a wrong kind, too large, in the way of another.
fn is_about_data(error: &Error) -> bool {
    error.code().is_some_and(|code| {
        let code = code.code();
        ["22", "23", "54"].iter().any(|class| code.starts_with(class))
    })
}

/// True when the server answers, but another one should be looked for: it is a standby now.
fn is_of_no_use(error: &Error) -> bool {
    error.code() == Some(&SqlState::READ_ONLY_SQL_TRANSACTION)
}
