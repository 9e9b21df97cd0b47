//! Replacing pieces of a message.

use std::borrow::Cow;
use std::ops::Range;

/// Pieces of a message and what comes in their place.
#[derive(Debug)]
pub(super) struct Edits<'a> {
    raw: &'a [u8],
    list: Vec<(Range<usize>, Vec<u8>)>,
    /// How this message ends its lines.
    pub(super) line_end: &'static str,
}

impl<'a> Edits<'a> {
    pub(super) fn of(raw: &'a [u8]) -> Self {
        let bare = memchr::memchr(b'\n', raw).is_some_and(|at| at == 0 || raw[at - 1] != b'\r');
        Self { raw, list: Vec::new(), line_end: if bare { "\n" } else { "\r\n" } }
    }

    pub(super) fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// Puts `bytes` in the place of `range`. Ranges must not overlap; several insertions at one place keep their order.
    pub(super) fn replace(&mut self, range: Range<usize>, bytes: impl Into<Vec<u8>>) {
        self.list.push((range, bytes.into()));
    }

    /// Likewise with header lines, which are written with CRLF.
    pub(super) fn replace_lines(&mut self, range: Range<usize>, lines: &[u8]) {
        let lines = if self.line_end == "\r\n" {
            lines.to_vec()
        } else {
            lines.iter().copied().filter(|byte| *byte != b'\r').collect()
        };
        self.replace(range, lines);
    }

    pub(super) fn remove(&mut self, range: Range<usize>) {
        self.replace(range, Vec::new());
    }

    pub(super) fn apply(mut self) -> Cow<'a, [u8]> {
        if self.list.is_empty() {
            return self.raw.into();
        }
        self.list.sort_by_key(|(range, _)| (range.start, range.end));
        let grown: usize = self.list.iter().map(|(_, bytes)| bytes.len()).sum();
        let mut out = Vec::with_capacity(self.raw.len() + grown);
        let mut at = 0;
        for (range, bytes) in self.list {
            out.extend_from_slice(self.raw.get(at..range.start).unwrap_or_default());
            out.extend_from_slice(&bytes);
            at = at.max(range.end);
        }
        out.extend_from_slice(self.raw.get(at..).unwrap_or_default());
        out.into()
    }
}
