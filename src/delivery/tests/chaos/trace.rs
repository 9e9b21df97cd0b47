//! What happened, in one number: the same seed must give the same.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex};

use super::time::TrueTime;

/// How many of the latest lines a failure shows.
const SHOWN: usize = 60;

#[derive(Debug)]
pub(super) struct Trace {
    time: Arc<TrueTime>,
    lines: Mutex<Lines>,
}

#[derive(Debug)]
struct Lines {
    hash: u64,
    count: usize,
    latest: VecDeque<String>,
    /// All of them, where a seed is being repeated to be looked at.
    print: bool,
}

impl Trace {
    pub(super) fn new(time: Arc<TrueTime>, print: bool) -> Self {
        let lines = Lines { hash: 0xcbf2_9ce4_8422_2325, count: 0, latest: VecDeque::new(), print };
        Self { time, lines: Mutex::new(lines) }
    }

    /// Never with anything of chance that the seed does not decide.
    pub(super) fn note(&self, what: impl fmt::Display) {
        let line = format!("{:>12.3} {what}", self.time.now().as_secs_f64());
        let mut lines = self.lines.lock().unwrap();
        for octet in line.bytes() {
            lines.hash = (lines.hash ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3);
        }
        lines.count += 1;
        if lines.print {
            eprintln_line(&line);
        }
        lines.latest.push_back(line);
        if lines.latest.len() > SHOWN {
            lines.latest.pop_front();
        }
    }

    /// The hash of all lines, and how many there are.
    pub(super) fn sum(&self) -> (u64, usize) {
        let lines = self.lines.lock().unwrap();
        (lines.hash, lines.count)
    }

    pub(super) fn latest(&self) -> String {
        let lines = self.lines.lock().unwrap();
        lines.latest.iter().map(|line| format!("{line}\n")).collect()
    }
}

#[expect(clippy::print_stderr, reason = "whoever repeats a seed wants to see it")]
fn eprintln_line(line: &str) {
    eprintln!("{line}");
}
