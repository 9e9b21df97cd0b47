//! When failures that pass by themselves are too many: the newest calls of one provider, looked at together. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::Timestamp;

/// So many failures in a row are too many.
const IN_A_ROW: u32 = 5;
/// Of so many calls, the newest, half are too many as well: a service that loses every other request is no good either.
const CALLS: usize = 20;
/// Fewer calls say nothing about a proportion.
const CALLS_MIN: usize = 10;
/// Calls that are longer ago do not count for the proportion.
const WINDOW: Duration = Duration::from_mins(1);

/// How the newest calls went. Those whose answer is about the message, not about the service, count as good ones.
#[derive(Debug, Default)]
pub(super) struct Circuit {
    failures_in_a_row: u32,
    /// When each call ended and whether it failed; the newest last.
    calls: VecDeque<(Timestamp, bool)>,
    /// Failures among `calls`.
    failures: usize,
}

impl Circuit {
    /// The service did what it is there for.
    pub(super) fn worked(&mut self, now: Timestamp) {
        self.failures_in_a_row = 0;
        self.note(now, false);
    }

    /// The service failed. True when that is once too often.
    pub(super) fn failed(&mut self, now: Timestamp) -> bool {
        self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
        self.note(now, true);
        self.is_half_lost() || self.is_dead()
    }

    /// The service answered, and it cannot be told whether it failed or put off this one message. A few of those in a row
    /// say nothing, many do. True when that is once too often.
    pub(super) fn put_off(&mut self, now: Timestamp) -> bool {
        self.note(now, true);
        self.is_half_lost()
    }

    /// True when no call goes well any more, rather than a part of them.
    pub(super) fn is_dead(&self) -> bool {
        self.failures_in_a_row >= IN_A_ROW
    }

    fn is_half_lost(&self) -> bool {
        self.calls.len() >= CALLS_MIN && self.failures * 2 >= self.calls.len()
    }

    fn note(&mut self, now: Timestamp, failed: bool) {
        while let Some((at, was_failure)) = self.calls.front().copied()
            && (self.calls.len() >= CALLS || at + WINDOW <= now)
        {
            self.calls.pop_front();
            self.failures -= usize::from(was_failure);
        }
        self.calls.push_back((now, failed));
        self.failures += usize::from(failed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Timestamp {
        "2026-11-21T00:00:00Z".parse().unwrap()
    }

    /// Plays calls, one every `every`: `x` fails, `?` puts off, `.` works. The number of the call that opens the circuit, from 1.
    fn opens_at(calls: &str, every: Duration) -> Option<usize> {
        let mut circuit = Circuit::default();
        let mut now = start();
        for (number, call) in calls.chars().enumerate() {
            now += every;
            match call {
                'x' if circuit.failed(now) => return Some(number + 1),
                '?' if circuit.put_off(now) => return Some(number + 1),
                'x' | '?' => {}
                _ => circuit.worked(now),
            }
        }
        None
    }

    #[test]
    fn failures_in_a_row_or_half_of_many_open_it() {
        let (quick, slow) = (Duration::from_millis(100), Duration::from_secs(10));
        for (calls, every, opens) in [
            // Five in a row, however slowly.
            ("xxxxx", quick, Some(5)),
            ("xxxxx", Duration::from_hours(1), Some(5)),
            ("..........................xxxxx", slow, Some(31)),
            ("xxxx.xxxx.", slow, None),
            // Half of ten at least.
            ("x.x.x.x.x", quick, None),
            ("x.x.x.x.x.x", quick, Some(11)),
            (".x.x.x.x.x", quick, Some(10)),
            ("xxxx.xxxx.", quick, None),
            ("xxxx.xxxx.x", quick, Some(11)),
            // Only the newest count: a long good time before does not hide it, and an old bad one is forgotten.
            ("....................x.x.x.x.x.x.x.x.x.x.", quick, Some(39)),
            ("x.x.x.x...............................x.x.x..x", quick, None),
            // A third, for ever.
            ("x..x..x..x..x..x..x..x..x..x..x..x..x..x..x..", quick, None),
            // Put off: only many count.
            ("?????????", quick, None),
            ("??????????", quick, Some(10)),
            ("??????????????????????????", slow, None),
            ("xxxx?x", quick, Some(6)),
            // Half, but so slowly that a minute does not bring ten calls.
            ("x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x", slow, None),
        ] {
            assert_eq!(opens_at(calls, every), opens, "{calls}");
        }
    }

    #[test]
    fn it_remembers_few_calls_whatever_the_clock_does() {
        let mut circuit = Circuit::default();
        for number in 0_u64..1_000 {
            let back = start() - Duration::from_secs(number);
            if number % 3 == 0 {
                let _ = circuit.failed(back);
            } else {
                circuit.worked(back);
            }
        }
        assert!(circuit.calls.len() <= CALLS);
        let failures = circuit.calls.iter().filter(|(_, failed)| *failed).count();
        assert_eq!(circuit.failures, failures);
    }
}
