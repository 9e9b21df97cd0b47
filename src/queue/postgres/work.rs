//! What is noted about messages on their way: calls that are about to be made, and what came of them.

use std::collections::HashSet;

use tokio_postgres::{Client, Error, Statement};

use super::line::{Answer, Job};
use super::writer::{GROUP_JOBS_MAX, Trade};
use super::{begin, settle};
use crate::message::QueueId;
use crate::queue::{Settlement, Start, StoreError};

/// Something to be noted.
#[derive(Debug)]
pub(super) enum Note {
    Begin { start: Start, answer: Answer<()> },
    Settle { settlements: Vec<Settlement>, answer: Answer<Vec<Result<(), StoreError>>> },
}

impl Note {
    /// The messages that it is about.
    fn messages(&self) -> impl Iterator<Item = QueueId> {
        let (starts, settlements) = match self {
            Self::Begin { start, .. } => (start.claims.as_slice(), [].as_slice()),
            Self::Settle { settlements, .. } => ([].as_slice(), settlements.as_slice()),
        };
        starts.iter().map(|(id, _)| *id).chain(settlements.iter().map(|it| it.id))
    }
}

impl Job for Note {
    fn bytes(&self) -> usize {
        0
    }

    /// What has happened must be recorded, whoever asks.
    fn is_unwanted(&self) -> bool {
        false
    }

    fn finish(self, verdict: Result<(), &StoreError>) {
        match self {
            Self::Begin { answer, .. } => answer.send(verdict),
            Self::Settle { answer, .. } => answer.send(verdict),
        }
    }
}

/// Notes it, many at a time.
pub(super) struct Notes;

/// The statements.
pub(super) struct Tools {
    transaction: Statement,
    commit: Statement,
    begin: Statement,
    settle: Statement,
}

impl Trade for Notes {
    type Job = Note;
    type Tools = Tools;

    async fn prepare(client: &Client) -> Result<Tools, Error> {
        let (transaction, commit, begin, settle) = tokio::join!(
            client.prepare("BEGIN"),
            client.prepare("COMMIT"),
            client.prepare(begin::BEGIN_CALLS),
            client.prepare(settle::SETTLE),
        );
        Ok(Tools { transaction: transaction?, commit: commit?, begin: begin?, settle: settle? })
    }

    /// A message once only: a statement changes a row once.
    fn portion(&self, jobs: &[Note]) -> usize {
        let mut seen = HashSet::new();
        let fitting = jobs.iter().take_while(|job| {
            let is_first = seen.is_empty();
            job.messages().all(|id| seen.insert(id)) && (is_first || seen.len() <= GROUP_JOBS_MAX)
        });
        fitting.count().max(1)
    }

    async fn write(
        &mut self,
        client: &mut Client,
        tools: &Tools,
        jobs: &mut [Note],
    ) -> Result<(), Error> {
        let (mut starts, mut settlements) = (Vec::new(), Vec::new());
        for job in &*jobs {
            match job {
                Note::Begin { start, .. } => starts.push(start),
                Note::Settle { settlements: some, .. } => settlements.extend(some),
            }
        }
        let (begun, held) = match (starts.is_empty(), settlements.is_empty()) {
            (true, _) if !names_twice(&settlements) => {
                (Vec::new(), settle::settle(client, &tools.settle, &settlements).await?)
            }
            (true, _) => (Vec::new(), one_by_one(client, tools, &settlements).await?),
            (false, true) => (begin::begin(client, &tools.begin, &starts).await?, Vec::new()),
            (false, false) => both(client, tools, &starts, &settlements).await?,
        };
        let (mut begun, mut held) = (begun.into_iter(), held.into_iter());
        for job in jobs {
            match job {
                // There is an answer for each.
                Note::Begin { answer, .. } => answer.keep(begun.next().unwrap_or(Ok(()))),
                Note::Settle { settlements, answer } => {
                    let answers = settlements.iter().zip(held.by_ref()).map(|(it, is_held)| {
                        if is_held { Ok(()) } else { Err(StoreError::LeaseLost(it.id)) }
                    });
                    answer.keep(Ok(answers.collect()));
                }
            }
        }
        Ok(())
    }

    /// Who asked will ask again.
    fn doubt(&mut self, _jobs: &[Note]) {}

    async fn mend(&mut self, _client: &mut Client) -> Result<(), Error> {
        Ok(())
    }
}

type Begun = Vec<Result<(), StoreError>>;

/// In one transaction and one round trip: nothing waits for an answer in between. After a failure the commit is none.
async fn both(
    client: &Client,
    tools: &Tools,
    starts: &[&Start],
    settlements: &[&Settlement],
) -> Result<(Begun, Vec<bool>), Error> {
    let (transaction, begun, held, commit) = tokio::join!(
        client.execute(&tools.transaction, &[]),
        begin::begin(client, &tools.begin, starts),
        settle::settle(client, &tools.settle, settlements),
        client.execute(&tools.commit, &[]),
    );
    transaction?;
    let (begun, held) = (begun?, held?);
    commit?;
    Ok((begun, held))
}

fn names_twice(settlements: &[&Settlement]) -> bool {
    let mut seen = HashSet::new();
    !settlements.iter().all(|settlement| seen.insert(settlement.id))
}

/// For a list that names a message twice, whose settlements depend on each other.
async fn one_by_one(
    client: &Client,
    tools: &Tools,
    settlements: &[&Settlement],
) -> Result<Vec<bool>, Error> {
    client.execute(&tools.transaction, &[]).await?;
    let mut held = Vec::with_capacity(settlements.len());
    for settlement in settlements {
        match settle::settle(client, &tools.settle, &[settlement]).await {
            Ok(one) => held.extend(one),
            Err(error) => {
                // The error says more than a failure to take back what has failed.
                let _ = client.batch_execute("ROLLBACK").await;
                return Err(error);
            }
        }
    }
    client.execute(&tools.commit, &[]).await?;
    Ok(held)
}
