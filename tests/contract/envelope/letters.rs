//! Random messages with random envelopes, and the truth about them that does not come from our parser.

use std::ops::Range;

use mailferry::message::{Address, Email, Envelope};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};

/// A mailbox in one of its spellings.
#[derive(Clone, Debug)]
pub(super) struct Person {
    local: &'static str,
    domain: usize,
    spelling: usize,
}

/// Each row is one domain. None is a part of another, so that an address can be looked for in a text.
const DOMAINS: [&[&str]; 4] = [
    &["one.example", "ONE.example", "One.Example"],
    &["two.test", "two.TEST"],
    &["예시.한국", "xn--vv4b11d.xn--3e0b707e", "XN--VV4B11D.xn--3e0b707e"],
    &["[192.0.2.1]"],
];

/// Two that differ by case alone, and one that needs quotes. No one ends as another does.
const LOCALS: [&str; 7] = ["ada", "Bob", "bOB", "c+tag", "dora.d", "\"e, e\"", "\"f@f\""];

impl Person {
    pub(super) fn text(&self) -> String {
        let spellings = DOMAINS[self.domain];
        format!("{}@{}", self.local, spellings[self.spelling % spellings.len()])
    }

    /// All spellings of the domain.
    pub(super) fn spellings(&self) -> impl Iterator<Item = String> {
        DOMAINS[self.domain].iter().map(|domain| format!("{}@{domain}", self.local))
    }

    fn address(&self) -> Address {
        self.text().parse().unwrap()
    }
}

/// How a header shows somebody.
#[derive(Clone, Debug)]
enum Entry {
    Shown {
        person: Person,
        style: usize,
    },
    Group(Vec<(Person, usize)>),
    /// No mailbox at all.
    Nobody,
}

/// A message with what is known of it.
#[derive(Clone)]
pub(super) struct Drawn {
    pub(super) raw: Vec<u8>,
    pub(super) email: Email,
    pub(super) envelope: Envelope,
    /// Those in To and Cc, as the strategy wrote them.
    pub(super) header: Vec<Person>,
    /// Those in the envelope whom neither To nor Cc shows.
    pub(super) hidden: Vec<Person>,
    /// In the Bcc field that the app has left in the header.
    pub(super) blind: Vec<Person>,
    /// Which of the calls are done before the others are made, and who of the rest was settled otherwise.
    pub(super) done: Index,
    pub(super) settled: Vec<Index>,
}

impl std::fmt::Debug for Drawn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let recipients: Vec<_> = self.envelope.recipients.iter().map(Address::as_str).collect();
        let (done, settled) = (&self.done, &self.settled);
        let raw = String::from_utf8_lossy(&self.raw);
        write!(f, "to {recipients:?}, {done:?} done, {settled:?} settled:\n{raw}")
    }
}

fn person() -> impl Strategy<Value = Person> {
    // Postmark hands back what needs quotes, and with it the whole message; so they come less often.
    let local = prop_oneof![20 => select(&LOCALS[..5]), 1 => select(&LOCALS[5..])];
    let domain = prop_oneof![20 => 0..3_usize, 1 => Just(3_usize)];
    (local, domain, 0..3_usize).prop_map(|(local, domain, spelling)| Person {
        local,
        domain,
        spelling,
    })
}

fn entry() -> impl Strategy<Value = Entry> {
    let shown = || (person(), 0..STYLES.len());
    prop_oneof![
        12 => shown().prop_map(|(person, style)| Entry::Shown { person, style }),
        1 => vec(shown(), 0..4).prop_map(Entry::Group),
        1 => Just(Entry::Nobody),
    ]
}

/// What may stand around an address. What looks like a mailbox in them is none.
const STYLES: [(&str, &str); 10] = [
    ("", ""),
    ("<", ">"),
    ("Name <", ">"),
    ("\"Last, First\" <", ">"),
    ("\"Joe \\\"<stranger@evil.example>, \\\" Q\" <", ">"),
    ("=?utf-8?B?6rmA7LKg7IiY?= <", ">"),
    ("=?utf-8?Q?=3Cstranger=40evil.example=3E=2C?= <", ">"),
    ("", " (a comment, with (another) and stranger@evil.example)"),
    ("(before) \"Quoted\"\r\n <", ">"),
    ("김철수 <", ">"),
];

/// The address that no envelope of these has.
pub(super) const STRANGER: &str = "stranger@evil.example";

fn list(name: &str, entries: &[Entry]) -> String {
    let one = |(person, style): (&Person, usize)| {
        let (before, behind) = STYLES[style];
        format!("{before}{}{behind}", person.text())
    };
    let texts = entries.iter().map(|entry| match entry {
        Entry::Shown { person, style } => one((person, *style)),
        Entry::Group(members) => {
            let members: Vec<_> =
                members.iter().map(|(person, style)| one((person, *style))).collect();
            format!("A group: {};", members.join(", "))
        }
        Entry::Nobody => "undisclosed-recipients:;".to_owned(),
    });
    format!("{name}: {}\r\n", texts.collect::<Vec<_>>().join(",\r\n "))
}

fn people(entries: &[Entry]) -> Vec<Person> {
    let each = entries.iter().flat_map(|entry| match entry {
        Entry::Shown { person, .. } => vec![person.clone()],
        Entry::Group(members) => members.iter().map(|(person, _)| person.clone()).collect(),
        Entry::Nobody => Vec::new(),
    });
    each.collect()
}

/// A spelling that all of a mailbox share.
pub(super) fn key(address: &str) -> String {
    let (local, domain) = address.rsplit_once('@').unwrap();
    format!("{local}@{}", idna::domain_to_ascii(domain).unwrap_or_else(|_| domain.to_owned()))
}

prop_compose! {
    fn header()(
        to in vec(entry(), 0..5),
        cc in vec(entry(), 0..4),
        bcc in vec(entry(), 0..3),
        // The same field twice, and To behind Cc.
        twice in prop::bool::weighted(0.1),
        turned in prop::bool::weighted(0.2),
    ) -> (String, Vec<Person>, Vec<Person>) {
        let mut fields = vec![(0, list("To", &to)), (1, list("Cc", &cc)), (2, list("Bcc", &bcc))];
        fields.retain(|(which, _)| ![&to, &cc, &bcc][*which].is_empty());
        if twice {
            fields.push((0, list("tO", &cc)));
        }
        if turned {
            fields.reverse();
        }
        let text = fields.into_iter().map(|(_, field)| field).collect();
        (text, [people(&to), people(&cc)].concat(), people(&bcc))
    }
}

/// A crowd that nobody sees. The provider that takes the most takes a thousand.
fn crowd() -> impl Strategy<Value = Range<usize>> {
    let number = prop_oneof![80 => Just(0), 19 => 45..70_usize, 1 => 1000..1005_usize];
    number.prop_map(|number| 0..number)
}

prop_compose! {
    /// Any message with any envelope.
    pub(super) fn drawn()(
        (header, known, blind) in header(),
        others in vec(person(), 0..4),
        crowd in crowd(),
        done in any::<Index>(),
        settled in vec(any::<Index>(), 0..3),
    )(
        // Some of those whom the header shows, and of those in its Bcc; maybe in another spelling, maybe twice.
        chosen in {
            let all = [known.clone(), blind.clone()].concat();
            let most = all.len();
            subsequence(all, 0..=most)
        },
        spelling in 0..3_usize,
        repeated in prop::bool::weighted(0.2),
        rotation in any::<Index>(),
        (header, known, blind, others, crowd, done, settled) in Just((header, known, blind, others, crowd, done, settled)),
    ) -> Drawn {
        let mut readers: Vec<Person> = chosen;
        for reader in &mut readers {
            reader.spelling += spelling;
        }
        if repeated {
            readers.extend(readers.clone().into_iter().map(|it| Person { spelling: it.spelling + 1, ..it }));
        }
        readers.extend(others);
        let mut recipients: Vec<Address> = readers.iter().map(Person::address).collect();
        recipients.extend(crowd.map(|n| format!("crowd-{n}-@two.test").parse::<Address>().unwrap()));
        if recipients.is_empty() {
            recipients.push("alone@two.test".parse().unwrap());
        }
        let first = rotation.index(recipients.len());
        recipients.rotate_left(first);

        let shown: Vec<String> = known.iter().map(|it| key(&it.text())).collect();
        let hidden = readers.into_iter().filter(|it| !shown.contains(&key(&it.text()))).collect();
        let raw = format!(
            "From: Sender <sender@from.example>\r\n{header}Subject: Tea\r\n\
             Date: Sat, 21 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@from.example>\r\n\r\nFive o'clock?\r\n"
        )
        .into_bytes();
        let sender = Some("sender@from.example".parse().unwrap());
        Drawn {
            email: Email::parse(&raw),
            raw,
            envelope: Envelope { sender, recipients, smtp_utf8: true, dsn: None },
            header: known,
            hidden,
            blind,
            done,
            settled,
        }
    }
}
