//! What has come and is not used yet, and how it falls into command lines.
//!
//! A command line ends at CRLF and nothing else. A line that is too long or holds a bare LF is reported once and
//! swallowed up to its CRLF without being kept, so that no part of it is ever taken for a command.

use memchr::{memchr, memmem};

/// The longest command line, in octets with its CRLF.
pub const COMMAND_LINE_MAX: usize = 2048;

/// The longest line of AUTH, command or answer, in octets with its CRLF (RFC 4954 §4).
pub const AUTH_LINE_MAX: usize = 12_288;

/// Room for a read. A connection that waits has none.
const ROOM: usize = 8 * 1024;

/// Room while content flows fast.
const ROOM_FOR_CONTENT: usize = 64 * 1024;

/// What stands at the front of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// A line, without its CRLF.
    Command(&'a [u8]),
    /// The front of a line that is longer than [`COMMAND_LINE_MAX`], or [`AUTH_LINE_MAX`] in AUTH.
    TooLong(&'a [u8]),
    /// A line up to a LF that no CR precedes.
    BareLineFeed(&'a [u8]),
    /// The first octets of a TLS handshake.
    TlsHello,
}

/// The read buffer of one connection.
#[derive(Debug, Default)]
pub struct Input {
    bytes: Vec<u8>,
    /// Where the unused octets begin.
    start: usize,
    /// The rest of a faulty line is to be swallowed.
    skipping: bool,
    wide: bool,
    /// The next line is an answer within AUTH.
    answer_awaited: bool,
}

impl Input {
    /// Says whether the next line is an answer within AUTH, which may be as long as [`AUTH_LINE_MAX`].
    pub fn await_answer(&mut self, awaited: bool) {
        self.answer_awaited = awaited;
    }

    /// Appends octets, as a read would.
    pub fn extend(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The octets that are not used yet.
    pub fn unread(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    /// Marks the first `count` of the unread octets as used.
    pub fn consume(&mut self, count: usize) {
        self.start = self.start.saturating_add(count).min(self.bytes.len());
        if self.start == self.bytes.len() {
            self.bytes.clear();
            self.start = 0;
        }
    }

    /// The next line, if it is complete or found to be faulty; `None` asks for more input.
    pub fn next_line(&mut self) -> Option<Line<'_>> {
        if self.skipping && !self.skip() {
            return None;
        }
        let begin = self.start;
        let unread = self.bytes.get(begin..)?;
        if unread.starts_with(&[0x16, 0x03]) {
            return Some(Line::TlsHello);
        }
        let longest =
            if self.answer_awaited || is_auth(unread) { AUTH_LINE_MAX } else { COMMAND_LINE_MAX };
        let window = unread.get(..longest).unwrap_or(unread);
        match memchr(b'\n', window) {
            Some(feed) => {
                self.start += feed + 1;
                let line = self.bytes.get(begin..begin + feed)?;
                match line {
                    [command @ .., b'\r'] => Some(Line::Command(command)),
                    [..] => {
                        self.skipping = true;
                        Some(Line::BareLineFeed(line))
                    }
                }
            }
            None if unread.len() >= longest => {
                self.skipping = true;
                Some(Line::TooLong(self.bytes.get(begin..begin + longest)?))
            }
            None => None,
        }
    }

    /// Swallows the rest of a faulty line. True when its CRLF was there.
    fn skip(&mut self) -> bool {
        let unread = self.unread();
        if let Some(end) = memmem::find(unread, b"\r\n") {
            self.consume(end + 2);
            self.skipping = false;
            return true;
        }
        // A CR at the very end may be the first half of the CRLF.
        let kept = usize::from(unread.last() == Some(&b'\r'));
        self.consume(unread.len() - kept);
        false
    }

    /// The buffer to read into, with some room: what is unread stays at its front.
    pub fn room(&mut self) -> &mut Vec<u8> {
        if self.start > 0 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        let room = if self.wide { ROOM_FOR_CONTENT } else { ROOM };
        if self.bytes.capacity() - self.bytes.len() < room / 2 {
            self.bytes.reserve_exact(room.max(self.bytes.len()));
        }
        &mut self.bytes
    }

    /// True when the last read has left no room.
    pub fn is_full(&self) -> bool {
        self.bytes.len() == self.bytes.capacity()
    }

    /// Content comes faster than it fits: makes large reads possible.
    pub fn widen(&mut self) {
        self.wide = true;
    }

    /// Between [`Input::widen`] and [`Input::narrow`].
    pub fn is_wide(&self) -> bool {
        self.wide
    }

    /// The end of [`Input::widen`].
    pub fn narrow(&mut self) {
        self.wide = false;
        self.rest();
    }

    /// Nothing comes at the moment: gives back what is not needed for what is unread, which is all where that is nothing.
    pub fn rest(&mut self) {
        if self.bytes.capacity() > 2 * self.unread().len() {
            self.bytes = self.unread().to_vec();
            self.start = 0;
        }
    }

    /// Octets set aside for this buffer.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }
}

/// True for what begins like the command AUTH.
pub(super) fn is_auth(front: &[u8]) -> bool {
    front.get(..5).is_some_and(|verb| verb.eq_ignore_ascii_case(b"AUTH "))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every line that comes out when `pieces` come in one by one.
    fn lines(pieces: &[&[u8]]) -> Vec<String> {
        let mut input = Input::default();
        let mut lines = Vec::new();
        for piece in pieces {
            input.room().extend_from_slice(piece);
            while let Some(line) = input.next_line() {
                lines.push(match line {
                    Line::Command(line) => String::from_utf8_lossy(line).into_owned(),
                    Line::TooLong(line) => format!("too long: {}", line.len()),
                    Line::BareLineFeed(line) => {
                        format!("bare: {}", String::from_utf8_lossy(line))
                    }
                    Line::TlsHello => return vec![String::from("tls")],
                });
            }
        }
        lines
    }

    #[test]
    fn a_line_ends_at_crlf() {
        assert_eq!(lines(&[b"NOOP\r\n\r\nQUIT\r\nRSE"]), ["NOOP", "", "QUIT"]);
        assert_eq!(lines(&[b"NO", b"OP\r", b"\nQUIT\r\n"]), ["NOOP", "QUIT"]);
        assert_eq!(lines(&[b"a\rb\r\r\n"]), ["a\rb\r"]);
    }

    #[test]
    fn a_line_with_a_bare_line_feed_is_swallowed_whole() {
        let expected = ["bare: NOOP", "QUIT"];
        let text = b"NOOP\nMAIL FROM:<a@b>\nRCPT\r\nQUIT\r\n";
        assert_eq!(lines(&[text]), expected);
        for split in 0..text.len() {
            assert_eq!(lines(&[&text[..split], &text[split..]]), expected, "split at {split}");
        }
    }

    #[test]
    fn an_overlong_line_is_one_error_and_takes_no_memory() {
        let mut input = Input::default();
        let mut errors = 0;
        for _ in 0..1000 {
            input.room().extend_from_slice(&[b'x'; 4000]);
            while let Some(line) = input.next_line() {
                assert_eq!(line, Line::TooLong(&[b'x'; COMMAND_LINE_MAX]));
                errors += 1;
            }
        }
        assert_eq!(errors, 1);
        assert!(input.capacity() <= 2 * ROOM, "{}", input.capacity());
        input.extend(b"MAIL FROM:<a@b>\r");
        assert_eq!(input.next_line(), None);
        input.extend(b"\nNOOP\r\n");
        assert_eq!(input.next_line(), Some(Line::Command(b"NOOP")));
    }

    #[test]
    fn the_longest_line_passes_and_one_octet_more_does_not() {
        let mut text = vec![b'x'; COMMAND_LINE_MAX - 2];
        text.extend_from_slice(b"\r\n");
        assert_eq!(lines(&[&text]).len(), 1);
        assert_eq!(lines(&[&text])[0].len(), COMMAND_LINE_MAX - 2);
        text.insert(0, b'x');
        assert_eq!(lines(&[&text, b"NOOP\r\n"]), ["too long: 2048", "NOOP"]);
    }

    #[test]
    fn lines_of_auth_may_be_longer() {
        for answer in [false, true] {
            let front: &[u8] = if answer { b"" } else { b"aUTH plain " };
            let mut text = [front, &vec![b'A'; AUTH_LINE_MAX - 2 - front.len()], b"\r\n"].concat();
            let mut input = Input::default();
            for piece in text.chunks(1000) {
                input.await_answer(answer);
                assert_eq!(input.next_line(), None);
                input.room().extend_from_slice(piece);
            }
            let longest = &text[..AUTH_LINE_MAX - 2];
            assert_eq!(input.next_line(), Some(Line::Command(longest)), "{answer}");
            text.insert(front.len(), b'A');
            input.extend(&text);
            assert_eq!(input.next_line(), Some(Line::TooLong(&text[..AUTH_LINE_MAX])));
            input.await_answer(false);
            input.extend(b"NOOP\r\n");
            assert_eq!(input.next_line(), Some(Line::Command(b"NOOP")));
        }
    }

    #[test]
    fn a_tls_handshake_is_seen_before_any_line_end() {
        assert_eq!(lines(&[&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01]]), ["tls"]);
        assert_eq!(lines(&[&[0x16], &[0x03]]), ["tls"]);
    }

    #[test]
    fn a_widened_buffer_is_given_back_with_what_it_holds() {
        let mut input = Input::default();
        input.widen();
        assert!(input.room().capacity() >= ROOM_FOR_CONTENT);
        input.extend(b"xxNOOP\r\n");
        input.consume(2);
        input.narrow();
        assert!(input.capacity() <= ROOM);
        assert_eq!(input.next_line(), Some(Line::Command(b"NOOP")));
    }

    #[test]
    fn a_buffer_that_rests_holds_no_more_than_what_is_unread() {
        let mut input = Input::default();
        input.room().extend_from_slice(b"NOOP\r\nMAIL");
        assert_eq!(input.next_line(), Some(Line::Command(b"NOOP")));
        input.rest();
        assert_eq!(input.capacity(), 4);
        input.room().extend_from_slice(b" FROM:<>\r\n");
        assert_eq!(input.next_line(), Some(Line::Command(b"MAIL FROM:<>")));
        input.rest();
        assert_eq!(input.capacity(), 0);
    }
}
