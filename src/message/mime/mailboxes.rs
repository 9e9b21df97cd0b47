//! Address fields (RFC 5322 §3.4): From, To, Cc, Reply-To and their like.

use super::fields::clean;
use super::params::quoted_string;
use super::words;
use crate::message::Mailbox;

/// The most mailboxes that are read from one field.
const MAILBOXES_MAX: usize = 10_000;

/// What an address field holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mailboxes {
    /// The mailboxes in order, groups flattened, names decoded.
    pub(crate) list: Vec<Mailbox>,
    /// Entries that are no `local@domain`.
    pub(crate) unreadable: Vec<String>,
}

impl Mailboxes {
    /// Reads an unfolded field value, encoded words still in it.
    pub(crate) fn read(text: &str) -> Self {
        let mut all = Self::default();
        let mut entry = Entry::default();
        let mut rest = text;

        while let Some(c) = rest.chars().next() {
            let tail = rest.strip_prefix(c).unwrap_or_default();
            match c {
                ' ' | '\t' => {
                    entry.blank = true;
                    rest = tail;
                }
                '"' => {
                    let (content, tail) = quoted_string(tail);
                    let raw = rest.get(..rest.len() - tail.len()).unwrap_or(rest);
                    entry.push(raw, words::decode(&content).into_owned(), true);
                    rest = tail;
                }
                '(' => {
                    let (content, tail) = comment(tail);
                    entry.comment = words::decode(content).trim().to_owned();
                    rest = tail;
                }
                '<' => {
                    let (content, tail) = angle_content(tail);
                    entry.angle = Some(content.to_owned());
                    rest = tail;
                }
                // Semicolons end a group; Outlook's users put them between mailboxes.
                ',' | ';' => {
                    all.take(std::mem::take(&mut entry));
                    if all.list.len() >= MAILBOXES_MAX {
                        all.unreadable.push("what follows the first 10000 addresses".to_owned());
                        return all;
                    }
                    rest = tail;
                }
                // What stands before it names a group.
                ':' if entry.angle.is_none() => {
                    entry = Entry::default();
                    rest = tail;
                }
                _ => {
                    let end = words::leading(rest)
                        .or_else(|| {
                            rest.find([' ', '\t', '"', '(', '<', ',', ';', ':'])
                                .filter(|end| *end > 0)
                        })
                        .unwrap_or(if c == ':' { 1 } else { rest.len() });
                    let (atom, tail) = rest.split_at_checked(end).unwrap_or((rest, ""));
                    entry.push(atom, atom.to_owned(), false);
                    rest = tail;
                }
            }
        }
        all.take(entry);
        all
    }

    fn take(&mut self, entry: Entry) {
        if entry.words.is_empty() && entry.angle.is_none() {
            return;
        }
        match entry.mailbox() {
            Ok(Some(mailbox)) => self.list.push(mailbox),
            // `<>`: nobody.
            Ok(None) => {}
            Err(text) => self.unreadable.push(text),
        }
    }
}

/// A word of a phrase or an address.
struct Word {
    /// As written, quotes included.
    raw: String,
    /// The content of a quoted string, or the atom.
    text: String,
    quoted: bool,
    /// A blank stands before it.
    spaced: bool,
}

/// What stands between two commas.
#[derive(Default)]
struct Entry {
    words: Vec<Word>,
    angle: Option<String>,
    comment: String,
    blank: bool,
}

impl Entry {
    fn push(&mut self, raw: &str, text: String, quoted: bool) {
        let spaced = std::mem::take(&mut self.blank) && !self.words.is_empty();
        self.words.push(Word { raw: raw.to_owned(), text, quoted, spaced });
    }

    /// The mailbox that this is; `None` for `<>`, an error with the text for what is none.
    fn mailbox(self) -> Result<Option<Mailbox>, String> {
        if let Some(angle) = &self.angle {
            let name = phrase(&self.words);
            let name = if name.is_empty() { self.comment } else { name };
            let address = addr_spec(angle);
            return match address {
                Some(address) => Ok(Some(Mailbox { name, address })),
                None if angle.trim().is_empty() && name.is_empty() => Ok(None),
                None => Err(format!("{name} <{angle}>").trim().to_owned()),
            };
        }
        let raw: String = self.words.iter().map(|word| word.raw.as_str()).collect();
        // `ada @ example.org` is one address; in `Ada ada@example.org` somebody forgot the brackets.
        if let Some((last, before)) = self.words.split_last()
            && last.spaced
            && let Some(address) = addr_spec(&last.raw)
        {
            return Ok(Some(Mailbox { name: phrase(before), address }));
        }
        match addr_spec(&raw) {
            Some(address) => Ok(Some(Mailbox { name: self.comment, address })),
            None => Err(phrase(&self.words)),
        }
    }
}

/// The display name: runs of atoms are decoded together, because encoded words may share a character.
fn phrase(words: &[Word]) -> String {
    let mut name = String::new();
    let mut atoms = String::new();
    for word in words {
        if word.quoted {
            name.push_str(&words::decode(&std::mem::take(&mut atoms)));
            if word.spaced {
                name.push(' ');
            }
            name.push_str(&word.text);
        } else {
            if word.spaced {
                atoms.push(' ');
            }
            atoms.push_str(&word.text);
        }
    }
    name.push_str(&words::decode(&atoms));
    clean(name.trim().into()).trim().to_owned()
}

/// `local@domain` without blanks and without an old source route; `None` when it is none.
fn addr_spec(text: &str) -> Option<String> {
    let text = match text.trim().strip_prefix('@') {
        Some(route) => route.split_once(':')?.1,
        None => text,
    };
    let mut address = String::with_capacity(text.len());
    let mut in_quotes = false;
    for c in text.trim().chars() {
        match c {
            '"' => in_quotes = !in_quotes,
            ' ' | '\t' if !in_quotes => continue,
            _ => {}
        }
        if c.is_control() || (!in_quotes && matches!(c, '<' | '>' | ',' | ';')) {
            return None;
        }
        address.push(c);
    }
    let (local, domain) = address.rsplit_once('@')?;
    let reads = !in_quotes && !local.is_empty() && !domain.is_empty();
    (reads && (local.starts_with('"') || !local.contains('@'))).then_some(address)
}

/// The content up to the `>` outside quotes, and what follows it.
fn angle_content(text: &str) -> (&str, &str) {
    let mut in_quotes = false;
    let mut escaped = false;
    let end = text.find(|c: char| {
        let closes = c == '>' && !in_quotes;
        if c == '"' && !escaped {
            in_quotes = !in_quotes;
        }
        escaped = c == '\\' && !escaped;
        closes
    });
    // Without a closing bracket, everything belongs to it.
    match end.and_then(|end| text.split_at_checked(end)) {
        Some((content, tail)) => (content, tail.strip_prefix('>').unwrap_or(tail)),
        None => (text, ""),
    }
}

/// The content up to the matching bracket, and what follows it.
fn comment(text: &str) -> (&str, &str) {
    let mut depth = 1_usize;
    let mut escaped = false;
    let end = text.find(|c: char| {
        match c {
            '(' if !escaped => depth += 1,
            ')' if !escaped => depth -= 1,
            _ => {}
        }
        escaped = c == '\\' && !escaped;
        depth == 0
    });
    match end.and_then(|end| text.split_at_checked(end)) {
        Some((content, tail)) => (content, tail.strip_prefix(')').unwrap_or(tail)),
        None => (text, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(String, String)> {
        let read = Mailboxes::read(text);
        assert_eq!(read.unreadable, Vec::<String>::new(), "{text}");
        read.list.into_iter().map(|mailbox| (mailbox.name, mailbox.address)).collect()
    }

    fn one(text: &str) -> (String, String) {
        let mut list = read(text);
        assert_eq!(list.len(), 1, "{text}");
        list.remove(0)
    }

    #[test]
    fn a_mailbox_is_read_however_it_is_written() {
        for (text, name, address) in [
            ("ada@example.org", "", "ada@example.org"),
            ("<ada@example.org>", "", "ada@example.org"),
            ("Ada Lovelace <ada@example.org>", "Ada Lovelace", "ada@example.org"),
            ("\"Lovelace, Ada\" <ada@example.org>", "Lovelace, Ada", "ada@example.org"),
            (r#""Ada \"the\" L" <ada@example.org>"#, "Ada \"the\" L", "ada@example.org"),
            ("ada@example.org (Ada (the) L)", "Ada (the) L", "ada@example.org"),
            ("Ada (work) <ada@example.org>", "Ada", "ada@example.org"),
            ("ada@x.org <ada@example.org>", "ada@x.org", "ada@example.org"),
            ("Ada L. ada@example.org", "Ada L.", "ada@example.org"),
            ("ada @ example . org", "", "ada@example.org"),
            ("\"a@b c\"@example.org", "", "\"a@b c\"@example.org"),
            ("X <\"a>b\"@example.org>", "X", "\"a>b\"@example.org"),
            ("<@a.org,@b.org:ada@example.org>", "", "ada@example.org"),
            ("한글 <한글@예시.한국>", "한글", "한글@예시.한국"),
            ("=?utf-8?B?7ZmN6ri464+Z?= <hong@example.kr>", "홍길동", "hong@example.kr"),
            ("\"=?euc-kr?B?yKux5rW/?=\" <hong@example.kr>", "홍길동", "hong@example.kr"),
            ("=?utf-8?Q?=ED=99?= =?utf-8?Q?=8D?= <h@x.kr>", "홍", "h@x.kr"),
            ("=?utf-8?Q?Doe=2C_John?= <j@x.org>", "Doe, John", "j@x.org"),
            ("=?utf-8?Q?Doe,_John_<:>?= <j@x.org>", "Doe, John <:>", "j@x.org"),
            ("Ada \"the\" Lovelace <a@x.org>", "Ada the Lovelace", "a@x.org"),
            ("Ada<a@x.org", "Ada", "a@x.org"),
        ] {
            assert_eq!(one(text), (name.to_owned(), address.to_owned()), "{text}");
        }
    }

    #[test]
    fn lists_and_groups_are_flattened() {
        assert_eq!(
            read("A <a@x>, b@x,, Team: \"C, D\" <c@x>, d@x; e@x; undisclosed-recipients:;")
                .into_iter()
                .map(|(_, address)| address)
                .collect::<Vec<_>>(),
            ["a@x", "b@x", "c@x", "d@x", "e@x"]
        );
        assert_eq!(read(""), []);
        assert_eq!(read("<>"), []);
    }

    #[test]
    fn what_is_no_address_is_reported() {
        for text in ["root", "Ada <root>", "@example.org", "a@b@c", "Ada <a@x> b"] {
            let read = Mailboxes::read(text);
            // A word behind the brackets is only dropped.
            assert_eq!(read.list.is_empty(), !text.ends_with('b'), "{text}");
        }
        assert_eq!(Mailboxes::read("root, Ada <root>").unreadable, ["root", "Ada <root>"]);
    }

    #[test]
    fn an_injected_line_end_is_no_part_of_a_name() {
        assert_eq!(one("=?utf-8?Q?a=0D=0ABcc:_b@x?= <a@x>").0, "a  Bcc: b@x");
    }
}
