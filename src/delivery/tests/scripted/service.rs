//! What the service behind a scripted provider makes of requests: which it knows again, what it sends, what it loses.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::{Scripted, error};
use crate::provider::{Call, Idempotency, IdempotencyKey, Receipt, SendError, Verdict};

/// Takes one away, if there is one.
fn takes_one(counter: &AtomicUsize) -> bool {
    let less = |count: usize| count.checked_sub(1);
    counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
}

impl Scripted {
    /// One that knows a repeat of a request and answers as it did before.
    pub(in crate::delivery::tests) fn recognising(mut self) -> Self {
        let window = Duration::from_hours(24);
        self.capabilities.idempotency = Idempotency::Replays { window };
        self
    }

    /// One that refuses what is for this recipient, and with it the batch where it takes all or nothing.
    pub(in crate::delivery::tests) fn refusing(
        mut self,
        recipient: &'static str,
        all_or_nothing: bool,
    ) -> Self {
        self.poison = Some((recipient, all_or_nothing));
        self
    }

    /// The same one after a change that makes its requests other ones.
    pub(in crate::delivery::tests) fn in_capitals(mut self) -> Self {
        self.in_capitals = true;
        self
    }

    pub(in crate::delivery::tests) fn not_joining(mut self, recipient: &'static str) -> Self {
        self.unjoinable = Some(recipient);
        self
    }

    /// The next answers are lost, though what was asked is done.
    pub(in crate::delivery::tests) fn lose_answers(&self, count: usize) {
        self.lost.store(count, Ordering::Relaxed);
    }

    /// The next requests are taken and never answered.
    pub(in crate::delivery::tests) fn fall_silent(&self, count: usize) {
        self.silent.store(count, Ordering::Relaxed);
    }

    /// The next answers to batches say nothing about the last member, though it is served.
    pub(in crate::delivery::tests) fn forget_the_last(&self, count: usize) {
        self.forgetful.store(count, Ordering::Relaxed);
    }

    /// How many copies each call that was taken has had at the most, and how many calls those are.
    pub(in crate::delivery::tests) fn copies(&self) -> (usize, usize) {
        let copies = self.copies.lock().unwrap();
        (copies.values().copied().max().unwrap_or_default(), copies.len())
    }

    /// What it makes of a request.
    pub(super) async fn answer(
        &self,
        request: &Call,
        key: &IdempotencyKey,
        number: usize,
        joined: bool,
    ) -> Result<Vec<Result<Receipt, SendError>>, SendError> {
        let recognises = self.capabilities.idempotency != Idempotency::None;
        let before = self.answered.lock().unwrap().get(key.as_str()).cloned();
        if let Some((body, answer)) = before.filter(|_| recognises) {
            assert_eq!(body, request.body, "another request under the same key");
            return if takes_one(&self.lost) { Err(self.no_answer()) } else { Ok(answer) };
        }
        let text = String::from_utf8_lossy(&request.body).into_owned();
        let members: Vec<&str> = text.split(';').collect();
        if let Some((poison, true)) = self.poison
            && joined
            && members.contains(&poison)
        {
            return Err(error(Verdict::Rejected));
        }
        let answers = members.iter().enumerate().map(|(member, recipients)| {
            if self.poison.is_some_and(|(poison, _)| poison == *recipients) {
                return Err(error(Verdict::Rejected));
            }
            let id = if joined { format!("{number}.{}", member + 1) } else { number.to_string() };
            self.next_answer(&id)
        });
        let answers: Vec<_> = answers.collect();
        for (recipients, _) in members.iter().zip(&answers).filter(|(_, answer)| answer.is_ok()) {
            *self.copies.lock().unwrap().entry((*recipients).to_owned()).or_default() += 1;
        }
        if answers.iter().any(Result::is_ok) {
            let known = (request.body.clone(), answers.clone());
            self.answered.lock().unwrap().insert(key.as_str().to_owned(), known);
        }
        if takes_one(&self.silent) {
            std::future::pending::<()>().await;
        }
        let mut answers = answers;
        if joined && takes_one(&self.forgetful) {
            answers.pop();
        }
        if takes_one(&self.lost) { Err(self.no_answer()) } else { Ok(answers) }
    }

    fn no_answer(&self) -> SendError {
        SendError { unclear: true, ..error(Verdict::Temporary { retry_after: None }) }
    }
}
