//! From many changes to few events. Pure: the time is an argument.

use std::fmt::Write as _;
use std::time::Duration;

use tokio::time::Instant;

use crate::message::QueueId;
use crate::queue::{Change, State};

/// The least time between two writes about messages.
const PAUSE: Duration = Duration::from_millis(100);

/// The same after `many`: whoever hears it asks for a list, which is work.
const PAUSE_AFTER_MANY: Duration = Duration::from_secs(1);

/// Messages that one write names; more of them are `many`.
const NAMED_MAX: usize = 16;

/// What has changed since the last write.
#[derive(Debug)]
pub(super) struct Digest {
    /// The newest state of each, in the order of their first change.
    named: Vec<(QueueId, State)>,
    many: bool,
    /// Before this, nothing is written.
    quiet_until: Instant,
}

impl Digest {
    pub(super) fn new(now: Instant) -> Self {
        Self { named: Vec::new(), many: false, quiet_until: now }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.named.is_empty() && !self.many
    }

    /// When it may be written.
    pub(super) fn due(&self) -> Instant {
        self.quiet_until
    }

    /// Takes a change in.
    pub(super) fn note(&mut self, change: Change) {
        match change {
            Change::Many => self.many = true,
            Change::Message { .. } if self.many => {}
            Change::Message { id, state } => {
                if let Some((_, known)) = self.named.iter_mut().find(|(named, _)| *named == id) {
                    *known = state;
                } else if self.named.len() < NAMED_MAX {
                    self.named.push((id, state));
                } else {
                    self.many = true;
                }
            }
        }
    }

    /// What there is to say, and begins anew.
    pub(super) fn take(&mut self, now: Instant) -> String {
        let mut text = String::new();
        if self.many {
            event(&mut text, "many", "{}");
            self.quiet_until = now + PAUSE_AFTER_MANY;
        } else {
            for (id, state) in &self.named {
                let data = format!("{{\"id\":\"{id}\",\"state\":\"{}\"}}", state.name());
                event(&mut text, "message", &data);
            }
            self.quiet_until = now + PAUSE;
        }
        self.named.clear();
        self.many = false;
        text
    }
}

/// Adds an event. `data` is one line.
pub(super) fn event(text: &mut String, name: &str, data: &str) {
    // Writing into a text cannot fail.
    let _ = write!(text, "event: {name}\ndata: {data}\n\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::tests::sample;

    fn id(n: u64) -> QueueId {
        QueueId::new(sample::now() + Duration::from_millis(n))
    }

    fn change(id: QueueId, state: State) -> Change {
        Change::Message { id, state }
    }

    #[test]
    fn a_message_that_has_changed_twice_is_told_once_as_it_is_now() {
        let now = Instant::now();
        let mut digest = Digest::new(now);
        let (ada, bob) = (id(1), id(2));
        digest.note(change(ada, State::Sending));
        digest.note(change(bob, State::Queued));
        digest.note(change(ada, State::Delivered));
        assert_eq!(digest.due(), now, "after a silence at once");
        let told = digest.take(now);
        let expected = format!(
            "event: message\ndata: {{\"id\":\"{ada}\",\"state\":\"delivered\"}}\n\n\
             event: message\ndata: {{\"id\":\"{bob}\",\"state\":\"queued\"}}\n\n"
        );
        assert_eq!(told, expected);
        assert!(digest.is_empty());
        assert_eq!(digest.due(), now + PAUSE);
    }

    #[test]
    fn more_than_can_be_named_is_many_and_then_there_is_a_longer_pause() {
        let now = Instant::now();
        let mut digest = Digest::new(now);
        for n in 0..=NAMED_MAX as u64 {
            digest.note(change(id(n), State::Sending));
        }
        digest.note(change(id(0), State::Delivered));
        assert_eq!(digest.take(now), "event: many\ndata: {}\n\n");
        assert_eq!(digest.due(), now + PAUSE_AFTER_MANY);
        digest.note(change(id(0), State::Delivered));
        assert!(digest.take(now + PAUSE_AFTER_MANY).starts_with("event: message\n"));
    }

    #[test]
    fn what_was_missed_makes_names_needless() {
        let now = Instant::now();
        let mut digest = Digest::new(now);
        digest.note(change(id(1), State::Sending));
        digest.note(Change::Many);
        assert_eq!(digest.take(now), "event: many\ndata: {}\n\n");
    }
}
