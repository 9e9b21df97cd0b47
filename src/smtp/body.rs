//! The content of a message as it arrives: finds its end, removes the stuffed dots, keeps it up to a limit.
//!
//! Only CRLF.CRLF ends it, and reading starts as if after a CRLF. A bare CR or LF is data and is kept as CRLF:
//! kept as it is, it could become the end of a message for the next server on the way.

use bytes::Bytes;
use memchr::memchr2;

/// Spare room of this size, and more than a quarter of the content, is given back before the content is handed on.
const WASTE_MAX: usize = 4 * 1024;

/// Where in the content the next octet stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// After a true CRLF, or at the very beginning.
    LineStart,
    /// After a dot at the start of a line.
    Dot,
    /// After a dot and a CR at the start of a line.
    DotCr,
    /// Within a line.
    Text,
    /// After a CR, which is kept as CRLF already: an LF now belongs to it.
    Cr,
    /// After the end.
    Ended,
}

/// How much of the input belonged to the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fed {
    /// Octets used. All of them, unless the end was found.
    pub used: usize,
    /// The end was found; the rest of the input are commands.
    pub ended: bool,
}

/// What has come of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// The message as composed: unstuffed, lines ended by CRLF, without the final dot.
    Whole(Bytes),
    /// It outgrew the limit; nothing was kept.
    TooLarge,
    /// [`Body::discard`] was called; nothing was kept.
    Discarded,
}

/// Decodes one message.
#[derive(Debug)]
pub struct Body {
    state: State,
    kept: Keeping,
    limit: usize,
}

#[derive(Debug)]
enum Keeping {
    All(Vec<u8>),
    TooLarge,
    Discarded,
}

impl Body {
    /// Ready for the first octet of a message of at most `limit` octets.
    pub fn new(limit: usize) -> Self {
        Self { state: State::LineStart, kept: Keeping::All(Vec::new()), limit }
    }

    /// The room that `arriving` more octets need in all, or `None` when what is set aside suffices.
    ///
    /// `expected` is the size that the client announced: a hint, which saves growing in steps.
    pub fn room_wanted(&self, arriving: usize, expected: usize) -> Option<usize> {
        let Keeping::All(content) = &self.kept else { return None };
        // Two octets more, for a CR that was held back.
        let needed = content.len().saturating_add(arriving).saturating_add(2);
        if needed <= content.capacity() {
            return None;
        }
        let step = if content.capacity() == 0 { expected } else { content.capacity() * 2 };
        let ceiling = self.limit.saturating_add(2);
        Some(needed.max(step.min(ceiling)))
    }

    /// Sets room aside: `room` octets in all.
    pub fn make_room(&mut self, room: usize) {
        if let Keeping::All(content) = &mut self.kept {
            content.reserve_exact(room.saturating_sub(content.len()));
        }
    }

    /// Octets set aside at present.
    pub fn room(&self) -> usize {
        match &self.kept {
            Keeping::All(content) => content.capacity(),
            Keeping::TooLarge | Keeping::Discarded => 0,
        }
    }

    /// Lets go of the content: the rest is read to its end and not kept.
    pub fn discard(&mut self) {
        self.kept = Keeping::Discarded;
    }

    /// What was kept.
    pub fn finish(self) -> Content {
        match self.kept {
            Keeping::All(mut content) => {
                let spare = content.capacity() - content.len();
                if spare > WASTE_MAX && spare > content.len() / 4 {
                    content.shrink_to_fit();
                }
                Content::Whole(Bytes::from(content))
            }
            Keeping::TooLarge => Content::TooLarge,
            Keeping::Discarded => Content::Discarded,
        }
    }

    /// Takes the next piece of input, up to the end of the content.
    pub fn feed(&mut self, input: &[u8]) -> Fed {
        let mut at = 0;
        while let Some(&octet) = input.get(at) {
            match (self.state, octet) {
                (State::Ended, _) => break,
                (State::LineStart, b'.') => {
                    self.state = State::Dot;
                    at += 1;
                }
                (State::Dot, b'\r') => {
                    self.state = State::DotCr;
                    at += 1;
                }
                (State::DotCr, b'\n') => {
                    self.state = State::Ended;
                    at += 1;
                }
                (State::DotCr, _) => {
                    // The CR after the dot stands alone: data.
                    self.keep(b"\r\n");
                    self.state = State::Text;
                }
                (State::Cr, b'\n') => {
                    self.state = State::LineStart;
                    at += 1;
                }
                // A dot that starts a longer line is dropped with the step to `Text`.
                (State::LineStart | State::Dot | State::Cr, _) => self.state = State::Text,
                (State::Text, _) => at = self.text(input, at),
            }
        }
        Fed { used: at, ended: self.state == State::Ended }
    }

    /// Keeps lines as they are for as long as they need no change; returns where that ended.
    fn text(&mut self, input: &[u8], from: usize) -> usize {
        let mut at = from;
        loop {
            let rest = input.get(at..).unwrap_or_default();
            let Some(found) = memchr2(b'\r', b'\n', rest) else {
                self.keep(input.get(from..).unwrap_or_default());
                return input.len();
            };
            let line_end = at + found;
            match rest.get(found..).unwrap_or_default() {
                // An ordinary line follows: both belong to the run.
                [b'\r', b'\n', next, ..] if *next != b'.' => at = line_end + 2,
                [b'\r', b'\n', ..] => {
                    self.keep(input.get(from..line_end + 2).unwrap_or_default());
                    self.state = State::LineStart;
                    return line_end + 2;
                }
                ended => {
                    self.keep(input.get(from..line_end).unwrap_or_default());
                    self.keep(b"\r\n");
                    if ended.starts_with(b"\r") {
                        self.state = State::Cr;
                    }
                    return line_end + 1;
                }
            }
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        if let Keeping::All(content) = &mut self.kept {
            if content.len() + bytes.len() > self.limit {
                self.kept = Keeping::TooLarge;
            } else {
                content.extend_from_slice(bytes);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMIT: usize = 1 << 20;

    /// Content and the input that is left over; `None` while the end has not come.
    fn decode(pieces: &[&[u8]]) -> Option<(Content, Vec<u8>)> {
        let mut body = Body::new(LIMIT);
        let mut left = Vec::new();
        let mut ended = false;
        for piece in pieces {
            let fed = body.feed(piece);
            assert!(fed.ended || fed.used == piece.len(), "input was left before the end");
            left.extend_from_slice(&piece[fed.used..]);
            ended = fed.ended;
        }
        ended.then(|| (body.finish(), left))
    }

    /// What `input` is, whole and in every split into two reads. `left` are the octets after the end.
    fn check(input: &[u8], expected: &[u8], left: &[u8]) {
        let wanted = Some((Content::Whole(Bytes::copy_from_slice(expected)), left.to_vec()));
        assert_eq!(decode(&[input]), wanted, "{:?}", input.escape_ascii().to_string());
        for split in 0..=input.len() {
            let (first, second) = input.split_at(split);
            assert_eq!(decode(&[first, second]), wanted, "split at {split}");
        }
        let single: Vec<&[u8]> = input.chunks(1).collect();
        assert_eq!(decode(&single), wanted, "octet by octet");
    }

    #[test]
    fn lines_arrive_as_they_are() {
        check(b"Subject: x\r\n\r\nhello\r\n.\r\n", b"Subject: x\r\n\r\nhello\r\n", b"");
        check(b"\r\n\r\n.\r\n", b"\r\n\r\n", b"");
        check(b"a\0b\xff\r\n.\r\n", b"a\0b\xff\r\n", b"");
    }

    #[test]
    fn an_empty_message_ends_at_once() {
        check(b".\r\n", b"", b"");
        check(b".\r\nQUIT\r\n", b"", b"QUIT\r\n");
    }

    #[test]
    fn commands_after_the_end_are_left_alone() {
        check(b"a\r\n.\r\nMAIL FROM:<>\r\n", b"a\r\n", b"MAIL FROM:<>\r\n");
        check(b"a\r\n.\r\n.\r\n", b"a\r\n", b".\r\n");
    }

    #[test]
    fn stuffed_dots_are_removed_from_the_start_of_lines_only() {
        check(b"..\r\n.\r\n", b".\r\n", b"");
        check(b"a\r\n..b\r\n...\r\nc.\r\n.d.\r\n.\r\n", b"a\r\n.b\r\n..\r\nc.\r\nd.\r\n", b"");
    }

    #[test]
    fn a_dot_on_the_first_line_is_unstuffed() {
        check(b"..first\r\n.\r\n", b".first\r\n", b"");
        check(b".first\r\n.\r\n", b"first\r\n", b"");
    }

    #[test]
    fn only_crlf_dot_crlf_ends_the_message() {
        for (input, expected) in [
            (&b"a\n.\nb\r\n.\r\n"[..], &b"a\r\n.\r\nb\r\n"[..]),
            (b"a\n.\r\nb\r\n.\r\n", b"a\r\n.\r\nb\r\n"),
            (b"a\r\n.\nb\r\n.\r\n", b"a\r\n\r\nb\r\n"),
            (b"a\r.\r\nb\r\n.\r\n", b"a\r\n.\r\nb\r\n"),
            (b"a\r.\rb\r\n.\r\n", b"a\r\n.\r\nb\r\n"),
            (b"a\r\n.\rb\r\n.\r\n", b"a\r\n\r\nb\r\n"),
            (b"a\n\r.\r\nb\r\n.\r\n", b"a\r\n\r\n.\r\nb\r\n"),
            (b"a\r\r\n.\r\n", b"a\r\n\r\n"),
            (b"a\r\n. \r\n.\r\n", b"a\r\n \r\n"),
        ] {
            check(input, expected, b"");
        }
    }

    #[test]
    fn a_doubled_cr_after_the_dot_does_not_end_the_message() {
        check(b"a\r\n.\r\r\nb\r\n.\r\n", b"a\r\n\r\n\r\nb\r\n", b"");
        check(b".\r\r\n.\r\n", b"\r\n\r\n", b"");
    }

    #[test]
    fn bare_cr_and_lf_are_kept_as_crlf() {
        check(b"a\nb\rc\n\nd\r\re\r\n.\r\n", b"a\r\nb\r\nc\r\n\r\nd\r\n\r\ne\r\n", b"");
        check(b"\n.\r\n\r\n.\r\n", b"\r\n.\r\n\r\n", b"");
        check(b"\r\r\n.\r\n", b"\r\n\r\n", b"");
    }

    #[test]
    fn without_the_end_there_is_no_message() {
        for input in [&b""[..], b".", b".\r", b"a", b"a\r\n", b"a\r\n.", b"a\r\n.\r", b"a\n.\n"] {
            assert_eq!(decode(&[input]), None);
        }
    }

    #[test]
    fn content_at_the_limit_passes_and_one_octet_more_is_read_to_its_end() {
        let mut body = Body::new(5);
        assert_eq!(body.feed(b"abc\r\n.\r\n"), Fed { used: 8, ended: true });
        assert_eq!(body.finish(), Content::Whole(Bytes::from_static(b"abc\r\n")));

        let mut body = Body::new(5);
        assert_eq!(body.feed(b"abcd\r\n"), Fed { used: 6, ended: false });
        assert_eq!(body.room(), 0, "nothing is held once it is too large");
        assert_eq!(body.feed(b"more\r\n.\r\nQUIT\r\n"), Fed { used: 9, ended: true });
        assert_eq!(body.finish(), Content::TooLarge);
    }

    #[test]
    fn discarded_content_is_read_to_its_end_and_not_kept() {
        let mut body = Body::new(LIMIT);
        body.feed(b"abc\r\n");
        body.discard();
        assert_eq!(body.room(), 0);
        assert_eq!(body.feed(b"..\r\n.\r\nQUIT"), Fed { used: 7, ended: true });
        assert_eq!(body.finish(), Content::Discarded);
    }

    #[test]
    fn room_follows_the_announced_size_then_doubles_up_to_the_limit() {
        let mut body = Body::new(10_000);
        assert_eq!(body.room_wanted(100, 4000), Some(4000));
        body.make_room(4000);
        assert_eq!(body.room_wanted(3998, 4000), None);
        assert_eq!(body.room_wanted(3999, 4000), Some(8000));
        body.make_room(8000);
        assert_eq!(body.room_wanted(7999, 4000), Some(10_002));
        body.feed(&[b'a'; 7000]);
        assert_eq!(body.room_wanted(8000, 4000), Some(15_002));
    }

    #[test]
    fn a_message_is_handed_on_without_much_spare_room() {
        let mut body = Body::new(LIMIT);
        body.make_room(100_000);
        body.feed(b"small\r\n.\r\n");
        let Content::Whole(content) = body.finish() else { panic!("the message is whole") };
        assert!(Vec::from(content).capacity() < WASTE_MAX);
    }

    /// The rules once more, octet by octet and without any care for speed.
    fn reference(input: &[u8]) -> Option<(Vec<u8>, usize)> {
        let mut out = Vec::new();
        let mut at = 0;
        let mut line_start = true;
        while at < input.len() {
            let rest = &input[at..];
            if line_start && rest.starts_with(b".\r\n") {
                return Some((out, at + 3));
            }
            if line_start && rest[0] == b'.' {
                at += 1;
                line_start = false;
                continue;
            }
            line_start = rest.starts_with(b"\r\n");
            if line_start {
                at += 2;
                out.extend_from_slice(b"\r\n");
            } else {
                at += 1;
                match rest[0] {
                    b'\r' | b'\n' => out.extend_from_slice(b"\r\n"),
                    octet => out.push(octet),
                }
            }
        }
        None
    }

    fn critical_octets() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            4 => Just(&b"\r\n"[..]),
            3 => Just(&b"."[..]),
            1 => Just(&b"\r"[..]),
            1 => Just(&b"\n"[..]),
            2 => Just(&b"ab"[..]),
        ];
        prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn decoding_follows_the_rules_however_the_input_is_split(
            mut input in critical_octets(),
            cuts in prop::collection::vec(0_usize..100, 0..6),
        ) {
            input.extend_from_slice(b"\r\n.\r\n");
            let (expected, used) = reference(&input).unwrap();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(input.len())).collect();
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut from = 0;
            for cut in cuts {
                pieces.push(&input[from..cut]);
                from = cut;
            }
            pieces.push(&input[from..]);
            let (content, left) = decode(&pieces).unwrap();
            prop_assert_eq!(content, Content::Whole(Bytes::from(expected)));
            prop_assert_eq!(left.as_slice(), &input[used..]);
        }

        #[test]
        fn stuffing_then_decoding_gives_the_lines_back(
            lines in prop::collection::vec("[.a-z]{0,8}", 0..20),
        ) {
            let mut wire = Vec::new();
            let mut expected = Vec::new();
            for line in &lines {
                if line.starts_with('.') {
                    wire.push(b'.');
                }
                wire.extend_from_slice(line.as_bytes());
                wire.extend_from_slice(b"\r\n");
                expected.extend_from_slice(line.as_bytes());
                expected.extend_from_slice(b"\r\n");
            }
            wire.extend_from_slice(b".\r\n");
            let (content, left) = decode(&[&wire]).unwrap();
            prop_assert_eq!(content, Content::Whole(Bytes::from(expected)));
            prop_assert!(left.is_empty());
        }
    }
}
