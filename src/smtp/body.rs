//! The content of a message as it arrives: finds its end, removes the stuffed dots, keeps it up to a limit.
//!
//! Behind DATA only CRLF.CRLF ends it, and reading starts as if after a CRLF. A bare CR or LF is data and is kept as
//! CRLF: kept as it is, it could become the end of a message for the next server on the way. Behind BDAT (RFC 3030)
//! octets are counted and no dot means anything; bare CR and LF are kept as CRLF there too, except in content that the
//! client has declared to be binary.

use bytes::Bytes;
use memchr::memchr2;

/// Room at first: what an ordinary mail needs, and the most that an announced size is believed before there is
/// something to show for it.
const FIRST_ROOM: usize = 8 * 1024;
const FIRST_ROOM_MAX: usize = 64 * 1024;

/// The final dot and its CRLF may come in one read with the content; a CR may be held back.
const MARGIN: usize = 5;
/// How far a client may be off with the size that it announces, and how much may be read in one go.
const ESTIMATE_SLACK: usize = 256 << 10;

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

/// What tells content from the commands behind it, and what is done to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// DATA: up to the final dot.
    Dotted,
    /// BDAT: so many more octets of this chunk, in lines.
    Lines { left: u64 },
    /// BDAT after BODY=BINARYMIME: likewise, kept as they are.
    Octets { left: u64 },
}

/// How much of the input belonged to the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fed {
    /// Octets used. All of them, unless the end was found.
    pub used: usize,
    /// The end of the content, or of the chunk, was found; the rest of the input are commands.
    pub ended: bool,
}

/// How much of the content that has come was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    All,
    /// It outgrew the limit.
    TooLarge,
    /// [`Body::discard`] was called.
    Discarded,
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
    form: Form,
    state: State,
    kept: Keeping,
    limit: usize,
    announced: Option<usize>,
}

#[derive(Debug)]
enum Keeping {
    All(Vec<u8>),
    TooLarge,
    Discarded,
}

impl Body {
    /// Ready for the first octet behind DATA, of a message of at most `limit` octets.
    ///
    /// `announced` is the size that the client expects: a hint, which saves growing in steps.
    pub fn new(limit: usize, announced: Option<u64>) -> Self {
        let announced = announced.and_then(|size| usize::try_from(size).ok());
        let kept = Keeping::All(Vec::new());
        Self { form: Form::Dotted, state: State::LineStart, kept, limit, announced }
    }

    /// Ready for the first chunk of a message that comes by BDAT; see [`Body::begin_chunk`].
    pub fn chunked(limit: usize, announced: Option<u64>, binary: bool) -> Self {
        let form = if binary { Form::Octets { left: 0 } } else { Form::Lines { left: 0 } };
        Self { form, ..Self::new(limit, announced) }
    }

    /// Ready for a chunk that is thrown away.
    pub fn swallowing(size: u64) -> Self {
        let form = Form::Octets { left: size };
        Self { form, kept: Keeping::Discarded, ..Self::new(0, None) }
    }

    /// The next `size` octets are content. They may be announced by anybody: nothing is set aside for them yet.
    pub fn begin_chunk(&mut self, size: u64) {
        match &mut self.form {
            Form::Dotted => {}
            Form::Lines { left } | Form::Octets { left } => *left = size,
        }
        // The first may be all there is. Those behind it must not make it grow in steps of their own size.
        if self.room() == 0 && self.announced.is_none() {
            self.announced = usize::try_from(size).ok();
        }
    }

    /// The room that `arriving` more octets need in all, or `None` when what is set aside suffices.
    pub fn room_wanted(&self, arriving: usize) -> Option<usize> {
        let Keeping::All(content) = &self.kept else { return None };
        let arriving = match self.form {
            Form::Dotted => arriving,
            Form::Lines { left } | Form::Octets { left } => at_most(arriving, left),
        };
        let room = content.capacity();
        let needed = content.len().saturating_add(arriving).saturating_add(MARGIN);
        if needed <= room {
            return None;
        }
        let announced = self.announced.map(|size| size.saturating_add(MARGIN));
        let step = match announced {
            Some(size) if room == 0 => size.min(FIRST_ROOM_MAX),
            None if room == 0 => FIRST_ROOM,
            Some(size) if room < size => size.min(room * 2),
            Some(_) | None => room * 2,
        };
        Some(needed.max(step.min(self.limit.saturating_add(MARGIN))))
    }

    /// The room that it may come to need in all, octets: for what was announced, else for the largest message.
    pub fn room_max(&self) -> usize {
        self.announced.unwrap_or(self.limit).min(self.limit).saturating_add(ESTIMATE_SLACK)
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

    /// How much is kept up to now.
    pub fn kept(&self) -> Kept {
        match self.kept {
            Keeping::All(_) => Kept::All,
            Keeping::TooLarge => Kept::TooLarge,
            Keeping::Discarded => Kept::Discarded,
        }
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

    /// Takes the next piece of input, up to the end of the content or of the chunk.
    pub fn feed(&mut self, input: &[u8]) -> Fed {
        let left = match self.form {
            Form::Dotted => return self.dotted(input),
            Form::Lines { left } | Form::Octets { left } => left,
        };
        let used = at_most(input.len(), left);
        let piece = input.get(..used).unwrap_or_default();
        let left = left.saturating_sub(u64::try_from(used).unwrap_or(u64::MAX));
        if let Form::Octets { .. } = self.form {
            self.keep(piece);
            self.form = Form::Octets { left };
        } else {
            self.lines(piece);
            self.form = Form::Lines { left };
        }
        Fed { used, ended: left == 0 }
    }

    /// Takes lines in which a dot is a dot.
    fn lines(&mut self, input: &[u8]) {
        let mut at = 0;
        while let Some(&octet) = input.get(at) {
            if self.state == State::Cr && octet == b'\n' {
                self.state = State::Text;
                at += 1;
            } else {
                self.state = State::Text;
                at = self.text::<false>(input, at);
            }
        }
    }

    /// Takes lines in which a dot at the start is stuffed, up to the one that is nothing but a dot.
    fn dotted(&mut self, input: &[u8]) -> Fed {
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
                (State::Text, _) => at = self.text::<true>(input, at),
            }
        }
        Fed { used: at, ended: self.state == State::Ended }
    }

    /// Keeps lines as they are for as long as they need no change; returns where that ended. With `DOTS`, a line that
    /// begins with a dot needs a look.
    fn text<const DOTS: bool>(&mut self, input: &[u8], from: usize) -> usize {
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
                [b'\r', b'\n', next, ..] if !DOTS || *next != b'.' => at = line_end + 2,
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

/// `count`, but not more than `limit`, which may be beyond what memory could hold.
fn at_most(count: usize, limit: u64) -> usize {
    usize::try_from(limit).map_or(count, |limit| count.min(limit))
}

#[cfg(test)]
mod tests;
