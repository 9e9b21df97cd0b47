//! Whom a message claims to be from: the addresses of From and Sender, for users who may use some addresses only.
//!
//! Stricter than the reader of addresses ([`Mailboxes`]), which makes the best of everything. What is let through here
//! is read again by others: by the provider, by every mail program on the way. So a field counts as readable only
//! where no reader can find an address in it that was not checked.

use std::str::Chars;

use memchr::memchr_iter;

use super::mime::fields::Fields;
use super::mime::mailboxes::Mailboxes;
use super::{Address, Mailbox};

/// The most octets of all From and Sender fields together.
const FIELDS_MAX: usize = 64 * 1024;

/// From or Sender is there, and it cannot be told for certain whom it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("From or Sender cannot be read for certain")]
pub struct UnreadableSender;

/// Every address in every From and Sender field. Empty when there is no such field: From is filled in by the rules of
/// `[sender]` then.
pub fn senders_of(raw: &[u8]) -> Result<Vec<Address>, UnreadableSender> {
    let mut senders = Vec::new();
    let mut octets = 0;
    for field in Fields::of_message(raw) {
        // To some readers a bare CR ends a line, and what follows it is another field. It is only there in content that
        // came as BINARYMIME; otherwise it has become a line end.
        if memchr_iter(b'\r', field.value).any(|at| field.value.get(at + 1) != Some(&b'\n')) {
            return Err(UnreadableSender);
        }
        if !field.is("From") && !field.is("Sender") {
            continue;
        }
        octets += field.value.len();
        if octets > FIELDS_MAX {
            return Err(UnreadableSender);
        }
        // In another charset the same octets may be another address.
        let value = str::from_utf8(field.value).map_err(|_| UnreadableSender)?;
        if !has_clean_lines(value) {
            return Err(UnreadableSender);
        }
        let text = field.text(None);
        let read = Mailboxes::read(&text);
        if read.list.is_empty() || !read.unreadable.is_empty() {
            return Err(UnreadableSender);
        }
        for Mailbox { address, .. } in read.list {
            senders.push(address.parse().map_err(|_| UnreadableSender)?);
        }
        for word in bare_words(&text).ok_or(UnreadableSender)? {
            if word.contains('@') {
                // No address holds an encoded word, and no encoded word in a name holds a bare @ (RFC 2047 §5); of the
                // two together every reader makes something else.
                if word.contains("=?") {
                    return Err(UnreadableSender);
                }
                senders.push(word.parse().map_err(|_| UnreadableSender)?);
            }
        }
    }
    Ok(senders)
}

/// Line ends are folds, and there is no other control character than tabs.
fn has_clean_lines(value: &str) -> bool {
    let mut rest = value;
    while let Some(at) = rest.find(|c: char| c.is_control() && c != '\t') {
        let Some((_, tail)) = rest.split_at_checked(at) else { return false };
        let fold = tail.strip_prefix("\r\n").or_else(|| tail.strip_prefix('\n'));
        match fold {
            Some(after) if after.starts_with([' ', '\t']) => rest = after,
            Some(_) | None => return false,
        }
    }
    true
}

/// The words outside quotes and comments (RFC 5322 §3.2). `None` where readers differ: where quotes or brackets do not
/// match, something other than a comment follows them, a name stands without them, or a part of an address is quoted.
fn bare_words(text: &str) -> Option<Vec<String>> {
    let mut words = BareWords::default();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        words.take(c, &mut chars)?;
    }
    words.end_mailbox()?;
    Some(words.found)
}

#[derive(Default)]
struct BareWords {
    found: Vec<String>,
    word: String,
    /// Words of the mailbox that is being read, quoted ones included.
    count: usize,
    in_angle: bool,
    after_angle: bool,
}

impl BareWords {
    fn take(&mut self, c: char, rest: &mut Chars<'_>) -> Option<()> {
        match c {
            ' ' | '\t' => self.end_word(),
            '(' => {
                self.end_word();
                delimited(rest, |depth, c| match c {
                    '(' => depth + 1,
                    ')' => depth - 1,
                    _ => depth,
                })?;
            }
            ',' | ';' => self.end_mailbox()?,
            _ if self.after_angle => return None,
            // What stands before it names a group.
            ':' if !self.in_angle => {
                self.end_word();
                self.count = 0;
            }
            '"' => {
                delimited(rest, |depth, c| if c == '"' { depth - 1 } else { depth })?;
                // A part of a name, and not of an address: of `"ada"@example.org` some take the quotes away.
                if !self.word.is_empty() || rest.as_str().starts_with('@') {
                    return None;
                }
                self.count += 1;
            }
            '<' if !self.in_angle => {
                self.end_word();
                self.in_angle = true;
            }
            '>' if self.in_angle => {
                self.end_word();
                self.in_angle = false;
                self.after_angle = true;
            }
            '<' | '>' | ')' | ':' | '\\' => return None,
            c => self.word.push(c),
        }
        Some(())
    }

    fn end_word(&mut self) {
        if !self.word.is_empty() {
            self.count += 1;
            self.found.push(std::mem::take(&mut self.word));
        }
    }

    fn end_mailbox(&mut self) -> Option<()> {
        self.end_word();
        let reads = !self.in_angle && (self.after_angle || self.count <= 1);
        self.count = 0;
        self.after_angle = false;
        reads.then_some(())
    }
}

/// Reads on to where the depth, 1 at first, is 0. A backslash takes away the meaning of the next character. `None` where
/// the end comes first.
fn delimited(rest: &mut Chars<'_>, depth_after: impl Fn(u32, char) -> u32) -> Option<()> {
    let mut depth = 1;
    while depth > 0 {
        match rest.next()? {
            '\\' => {
                rest.next()?;
            }
            c => depth = depth_after(depth, c),
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(header: &str) -> Result<Vec<String>, UnreadableSender> {
        let raw = format!("{header}\r\n\r\nFrom: body@x.org\r\n");
        let mut all: Vec<String> = senders_of(raw.as_bytes())?
            .into_iter()
            .map(|address| address.as_str().to_owned())
            .collect();
        all.dedup();
        Ok(all)
    }

    fn some(addresses: &[&str]) -> Result<Vec<String>, UnreadableSender> {
        Ok(addresses.iter().map(|&address| address.to_owned()).collect())
    }

    #[test]
    fn the_addresses_of_from_and_sender_are_read() {
        for (header, expected) in [
            ("From: ada@x.org", &["ada@x.org"][..]),
            ("from : Ada <ada@x.org>", &["ada@x.org"]),
            ("From: \"Lovelace, Ada\"\r\n <ada@x.org>", &["ada@x.org"]),
            ("From: ada@x.org (Ada (the \\) first))", &["ada@x.org"]),
            ("From: 한글 <한글@예시.한국>", &["한글@예시.한국"]),
            (
                "From: a@x.org, B <b@y.org>\r\nSender: c@z.org",
                &["a@x.org", "b@y.org", "a@x.org", "b@y.org", "c@z.org"],
            ),
            ("From: Team: a@x.org, b@y.org;", &["a@x.org", "b@y.org", "a@x.org", "b@y.org"]),
            ("From: a@x.org\r\nSubject: x\r\nFrom: b@y.org", &["a@x.org", "b@y.org"]),
            ("To: b@y.org\r\nReply-To: c@y.org\r\nX-From: d@y.org", &[]),
        ] {
            assert_eq!(read(header), some(expected), "{header}");
        }
        assert_eq!(senders_of(b""), Ok(Vec::new()));
    }

    #[test]
    fn a_name_that_looks_like_an_address_is_none() {
        for (header, expected) in [
            ("From: \"boss@bank.example\" <eve@evil.example>", "eve@evil.example"),
            ("From: =?utf-8?Q?boss=40bank=2Eexample?= <eve@evil.example>", "eve@evil.example"),
            ("From: =?utf-8?B?Ym9zc0BiYW5rLmV4YW1wbGU=?= <eve@evil.example>", "eve@evil.example"),
            ("From: (boss@bank.example) eve@evil.example", "eve@evil.example"),
            ("From: eve@evil.example (boss@bank.example)", "eve@evil.example"),
        ] {
            assert_eq!(read(header), some(&[expected]), "{header}");
        }
    }

    #[test]
    fn an_address_outside_quotes_counts_wherever_it_stands() {
        for header in [
            "From: boss@bank.example <ada@x.org>",
            "From: Boss boss@bank.example <ada@x.org>",
            "From: ada@x.org boss@bank.example",
            "From: <ada@x.org> boss@bank.example",
            "From: <ada@x.org> <boss@bank.example>",
            "From: boss@bank.example: ada@x.org;",
            "From: \"boss\"@bank.example <ada@x.org>",
        ] {
            let bank = |address: &String| address.ends_with("@bank.example");
            let named = read(header).map_or(true, |all| all.iter().any(bank));
            assert!(named, "{header}");
        }
    }

    #[test]
    fn what_readers_may_read_differently_is_refused() {
        for header in [
            "From:",
            "From: <>",
            "From: root",
            "From: Ada <root>",
            "From: undisclosed:;",
            "Subject: x\rFrom: boss@bank.example\r\nFrom: ada@x.org",
            "From: ada@x.org\r\nX-A: x\r\r\nFrom: boss@bank.example",
            "From: ada@x.org, root",
            "From: ada@x.org\r\nSender: nobody",
            "From: <@evil.example:ada@x.org>",
            "From: <ada@x.org",
            "From: ada@x.org>",
            "From: ada@x.org (boss@bank.example",
            "From: ada@x.org \"boss@bank.example",
            "From: ada@x.org) boss@bank.example",
            "From: <ada@x.org, boss@bank.example>",
            "From: boss(x)@bank.example, ada@x.org",
            "From: boss @ bank.example",
            "From: Ada ada@x.org",
            "From: \"ada\"@x.org",
            "From: ada@x.org =?utf-8?Q??= b@x.org",
            "From: ada@x.org\\",
            "From: ada@x.org\r, boss@bank.example",
            "From: ada@x.org\0",
            "From: ada@x.org\n\tboss@bank.example\u{7f}",
            "From: a@b@c",
            "From: =?utf-8?Q?boss@bank.example?= <ada@x.org>",
            "From: <=?utf-8?Q??=boss@bank.example>",
            "From: =?utf-8?Q?x?=boss@bank.example <ada@x.org>",
            "From: =?utf-8?Q?x?=boss@bank.example=?utf-8?Q?x?= <ada@x.org>",
        ] {
            assert_eq!(read(header), Err(UnreadableSender), "{header:?}");
        }
    }

    #[test]
    fn octets_of_an_unknown_charset_are_refused() {
        // In Shift_JIS the second octet of a character may be an @.
        assert_eq!(senders_of(b"From: \x83\x40 <ada@x.org>\r\n\r\n"), Err(UnreadableSender));
    }

    #[test]
    fn fields_of_any_length_are_not_read() {
        let long = format!("From: {} <ada@x.org>", "=?".repeat(FIELDS_MAX / 2));
        assert_eq!(read(&long), Err(UnreadableSender));
        let many = "From: ada@x.org\r\n".repeat(FIELDS_MAX / 9);
        assert_eq!(read(&many), Err(UnreadableSender));
        let late = format!("X: {}\r\nFrom: ada@x.org", "x".repeat(1 << 20));
        assert_eq!(read(&late), some(&["ada@x.org"]));
    }

    proptest! {
        #[test]
        fn an_address_in_angle_brackets_is_never_missed(
            before in "[ -~]{0,20}",
            after in "[ -~]{0,20}",
        ) {
            let header = format!("From: {before}<eve@evil.example>{after}");
            // The second opinion: where it finds the address, so do we, or we refuse.
            let raw = format!("{header}\r\n\r\n");
            let theirs = mail_parser::MessageParser::default().parse(raw.as_bytes());
            let found = theirs.as_ref().and_then(|it| it.from()).is_some_and(|from| {
                from.iter().any(|one| one.address() == Some("eve@evil.example"))
            });
            if let (true, Ok(ours)) = (found, read(&header)) {
                prop_assert!(ours.iter().any(|one| one == "eve@evil.example"), "{:?}", ours);
            }
        }

        #[test]
        fn every_address_that_another_parser_finds_is_ours_as_well(
            value in "([ab]@[xy]\\.org|[a-c]|[ ,;:<>()\"\\\\@]|=\\?utf-8\\?Q\\?[a@=]{0,3}\\?=){0,12}",
        ) {
            let header = format!("From: {value}");
            let raw = format!("{header}\r\n\r\n");
            if let Ok(ours) = read(&header)
                && let Some(theirs) = mail_parser::MessageParser::default().parse(raw.as_bytes())
                && let Some(from) = theirs.from()
            {
                // Where it finds no structure, it takes everything for one address.
                let theirs = from.iter().filter_map(mail_parser::Addr::address);
                for one in theirs.flat_map(str::split_whitespace).filter(|one| one.contains('@')) {
                    prop_assert!(ours.iter().any(|own| own == one), "{one} of {header:?}: {ours:?}");
                }
            }
        }
    }
}
