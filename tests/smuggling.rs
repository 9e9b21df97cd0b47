//! SMTP smuggling: what is content and what is a command, for every short sequence of the octets that matter.
//!
//! Each sequence is decoded in every cut into reads, and held against a reference that sees the whole input at once and
//! does nothing but search for `CRLF . CRLF`, or count. Whoever doubts the decoder need only believe [`reference`].

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test: what does not hold must fail it")]

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use mailferry::clock::Timestamp;
use mailferry::config::AuthMode;
use mailferry::message::QueueId;
use mailferry::smtp::{Body, Content, Peer, Policy, TlsRule};
use proptest::prelude::*;

use in_memory::InMemory;

#[path = "support/in_memory.rs"]
mod in_memory;

/// What any server on the way may take for a line end or an end of data, and what it certainly does not.
const OCTETS: [u8; 5] = [b'\r', b'\n', b'.', b'x', 0];

const LIMIT: usize = 1 << 20;

/// The way of telling: what was kept, and where commands begin again.
mod reference {
    /// Behind DATA. `None`: the end has not come.
    pub(super) fn data(wire: &[u8]) -> Option<(Vec<u8>, usize)> {
        // Reading starts as if after a CRLF.
        let text = [b"\r\n", wire].concat();
        let end = find(&text, b"\r\n.\r\n")?;
        let lines = split(&text[..end + 2], b"\r\n.").join(&b"\r\n"[..]);
        Some((normalised(&lines[2..]), end + 5 - 2))
    }

    /// Every CR LF, CR or LF as CR LF.
    pub(super) fn normalised(octets: &[u8]) -> Vec<u8> {
        let with_ends = |line: &&[u8]| {
            let pieces: Vec<&[u8]> = line.split(|octet| b"\r\n".contains(octet)).collect();
            pieces.join(&b"\r\n"[..])
        };
        split(octets, b"\r\n").iter().map(with_ends).collect::<Vec<_>>().join(&b"\r\n"[..])
    }

    /// The command lines of `wire`; `None` for one with a bare LF, which is swallowed up to its CR LF.
    pub(super) fn commands(mut wire: &[u8]) -> Vec<Option<&[u8]>> {
        let mut lines = Vec::new();
        while let Some(feed) = find(wire, b"\n") {
            let (line, rest) = (&wire[..feed], &wire[feed + 1..]);
            lines.push(line.strip_suffix(b"\r"));
            wire = rest;
            if !line.ends_with(b"\r") {
                let Some(end) = find(wire, b"\r\n") else { return lines };
                wire = &wire[end + 2..];
            }
        }
        lines
    }

    fn find(octets: &[u8], wanted: &[u8]) -> Option<usize> {
        octets.windows(wanted.len()).position(|window| window == wanted)
    }

    fn split<'a>(mut octets: &'a [u8], mark: &[u8]) -> Vec<&'a [u8]> {
        let mut pieces = Vec::new();
        while let Some(at) = find(octets, mark) {
            pieces.push(&octets[..at]);
            octets = &octets[at + mark.len()..];
        }
        pieces.push(octets);
        pieces
    }
}

/// Every sequence of `OCTETS` of at most this length.
fn sequences(length_max: usize) -> Vec<Vec<u8>> {
    let mut all = vec![Vec::new()];
    let mut begin = 0;
    for _ in 0..length_max {
        let end = all.len();
        for at in begin..end {
            all.extend(OCTETS.map(|octet| [&all[at][..], &[octet]].concat()));
        }
        begin = end;
    }
    all
}

/// Feeds the pieces; the content, and how many octets belonged to it.
fn decode(mut body: Body, pieces: &[&[u8]]) -> Option<(Vec<u8>, usize)> {
    let mut used = 0;
    for piece in pieces {
        let fed = body.feed(piece);
        used += fed.used;
        if fed.ended {
            let Content::Whole(content) = body.finish() else { panic!("it is small") };
            return Some((Vec::from(content), used));
        }
    }
    None
}

/// Whole, in every cut into two reads, and octet by octet.
fn cuts(wire: &[u8]) -> Vec<Vec<&[u8]>> {
    let mut all = vec![vec![wire], wire.chunks(1).collect()];
    all.extend((1..wire.len()).map(|at| vec![&wire[..at], &wire[at..]]));
    all
}

/// Every cut into any number of reads there is.
fn all_cuts(wire: &[u8]) -> Vec<Vec<&[u8]>> {
    let places = wire.len().saturating_sub(1);
    let cut = |mask: u32| {
        let mut pieces = Vec::new();
        let mut from = 0;
        for at in 1..=places {
            if mask & (1 << (at - 1)) != 0 {
                pieces.push(&wire[from..at]);
                from = at;
            }
        }
        pieces.push(&wire[from..]);
        pieces
    };
    (0..1 << places).map(cut).collect()
}

/// No server, however it reads bare CR and LF, finds an end in this before its client stuffs the dots.
fn assert_harmless(content: &[u8]) {
    let mut lines = content.split(|octet| *octet == b'\n').peekable();
    while let Some(line) = lines.next() {
        let inner = if lines.peek().is_some() { line.strip_suffix(b"\r") } else { Some(line) };
        let bare = inner.is_none_or(|inner| inner.contains(&b'\r'));
        assert!(!bare, "a bare CR or LF in {:?}", content.escape_ascii().to_string());
    }
}

#[test]
fn only_crlf_dot_crlf_ends_the_data_in_every_cut() {
    for sequence in sequences(3) {
        let wire = [&sequence[..], b"\r\n.\r\n"].concat();
        let expected = reference::data(&wire);
        for pieces in all_cuts(&wire) {
            assert_eq!(decode(Body::new(LIMIT, None), &pieces), expected, "{pieces:?}");
        }
    }
}

#[test]
fn only_crlf_dot_crlf_ends_the_data_whatever_comes_before() {
    for sequence in sequences(5) {
        // Alone, most have no end, and none must be found.
        let alone = decode(Body::new(LIMIT, None), &[&sequence]);
        assert_eq!(alone, reference::data(&sequence), "{:?}", sequence.escape_ascii().to_string());

        let wire = [&sequence[..], b"\r\n.\r\n"].concat();
        let expected = reference::data(&wire);
        assert_harmless(&expected.as_ref().unwrap().0);
        for pieces in cuts(&wire) {
            assert_eq!(decode(Body::new(LIMIT, None), &pieces), expected, "{pieces:?}");
        }
    }
}

#[test]
fn an_end_of_data_within_a_line_of_text_is_found_at_the_same_place_in_every_cut() {
    for sequence in sequences(4) {
        let wire = [b"Subject: x\r\n\r\nab", &sequence[..], b"cd\r\n.\r\nQUIT\r\n"].concat();
        let expected = reference::data(&wire);
        for pieces in cuts(&wire) {
            assert_eq!(decode(Body::new(LIMIT, None), &pieces), expected, "{pieces:?}");
        }
    }
}

#[test]
fn a_chunk_ends_where_it_was_said_to_whatever_it_holds() {
    for sequence in sequences(4) {
        let size = sequence.len() as u64;
        let wire = [&sequence[..], b"\n.\r\n"].concat();
        let (lines, octets) = (reference::normalised(&sequence), sequence.clone());
        assert_harmless(&lines);
        for pieces in cuts(&wire) {
            for (binary, content) in [(false, &lines), (true, &octets)] {
                let mut body = Body::chunked(LIMIT, None, binary);
                body.begin_chunk(size);
                let expected = Some((content.clone(), sequence.len()));
                assert_eq!(decode(body, &pieces), expected, "{pieces:?}");
            }
        }
        // In two chunks.
        for at in 0..sequence.len() {
            for (binary, content) in [(false, &lines), (true, &octets)] {
                let (first, second) = sequence.split_at(at);
                let mut body = Body::chunked(LIMIT, None, binary);
                body.begin_chunk(first.len() as u64);
                assert!(body.feed(first).ended);
                body.begin_chunk(second.len() as u64);
                let expected = Some((content.clone(), second.len()));
                assert_eq!(decode(body, &[second, b"\n"]), expected, "{at}: {sequence:?}");
            }
        }
    }
}

/// What a server has taken.
type Taken = Arc<Mutex<Vec<Vec<u8>>>>;

/// A server that has been greeted.
fn greeted() -> (InMemory, Taken) {
    let policy = Policy {
        hostname: String::from("relay.example"),
        max_message_size: 1000,
        max_recipients: 10,
        tls: TlsRule::Offered,
        auth: AuthMode::Auto,
        has_users: false,
    };
    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let taken = Taken::default();
    let taker = Arc::clone(&taken);
    let accept = move |_, raw: Bytes| {
        taker.lock().unwrap().push(Vec::from(raw));
        Ok(QueueId::new(Timestamp::UNIX_EPOCH))
    };
    let peer = Peer { address, trusted: true, secure: false };
    let mut server = InMemory::new(policy, Vec::new(), peer, Box::new(accept));
    server.receive(b"HELO client.example\r\n");
    server.replies.clear();
    (server, taken)
}

/// The codes of all replies.
fn codes(server: &InMemory) -> Vec<u16> {
    server.replies.iter().map(|line| line.get(..3).unwrap().parse().unwrap()).collect()
}

/// A dialogue: what the server took, and the codes of its replies behind that to HELO.
fn converse(pieces: &[&[u8]]) -> (Vec<Vec<u8>>, Vec<u16>) {
    let (mut server, taken) = greeted();
    for piece in pieces {
        server.receive(piece);
    }
    (std::mem::take(&mut *taken.lock().unwrap()), codes(&server))
}

const ENVELOPE: &[u8] = b"MAIL FROM:<ada@example.org>\r\nRCPT TO:<bob@example.net>\r\n";

/// What a server says to these lines where no transaction is open.
fn codes_of(wire: &[u8]) -> Vec<u16> {
    let mut codes = Vec::new();
    for line in reference::commands(wire) {
        match line {
            Some(b"NOOP") => codes.push(250),
            Some(b"QUIT") => {
                codes.push(221);
                return codes;
            }
            // The third line of a PROXY header of version 2, which nobody may send here.
            Some(b"\0") => {
                codes.push(421);
                return codes;
            }
            Some(_) | None => codes.push(500),
        }
    }
    codes
}

/// Plays `before`, which gets `codes`, in one piece, and `wire` in every cut into two.
fn check_dialogue(before: &[u8], wire: &[u8], taken: &[Vec<u8>], codes: &[u16]) {
    for at in 0..wire.len() {
        let (first, second) = wire.split_at(at);
        let first = [before, first].concat();
        let (found, replies) = converse(&[&first, second]);
        let shown = [before, wire].concat().escape_ascii().to_string();
        assert_eq!(found, taken, "cut at {at}: {shown}");
        assert_eq!(replies, codes, "cut at {at}: {shown}");
    }
}

#[test]
fn behind_the_data_come_commands_and_nothing_of_the_content() {
    for sequence in sequences(3) {
        let before = [ENVELOPE, b"DATA\r\n"].concat();
        let wire = [&sequence[..], b"\r\n.\r\nNOOP\r\nQUIT\r\n"].concat();
        let (content, end) = reference::data(&wire).unwrap();
        let codes = [vec![250, 250, 354, 250], codes_of(&wire[end..])].concat();
        check_dialogue(&before, &wire, &[content], &codes);
    }
}

#[test]
fn behind_a_chunk_come_commands_and_nothing_of_the_content() {
    for sequence in sequences(3) {
        for size in 0..=sequence.len() {
            for binary in [false, true] {
                let mut before = ENVELOPE.to_vec();
                if binary {
                    before.splice(27..27, *b" BODY=BINARYMIME");
                }
                before.extend_from_slice(format!("BDAT {size} LAST\r\n").as_bytes());
                let wire = [&sequence[..], b"\r\nNOOP\r\nQUIT\r\n"].concat();
                let kept = &sequence[..size];
                let content = if binary { kept.to_vec() } else { reference::normalised(kept) };
                let codes = [vec![250, 250, 250], codes_of(&wire[size..])].concat();
                check_dialogue(&before, &wire, &[content], &codes);
            }
        }
    }
}

#[test]
fn a_refused_chunk_is_no_command_either() {
    for sequence in sequences(3) {
        let before = format!("BDAT {} LAST\r\n", sequence.len());
        let wire = [&sequence[..], b"NOOP\r\nQUIT\r\n"].concat();
        check_dialogue(before.as_bytes(), &wire, &[], &[503, 250, 221]);
        let before = [ENVELOPE, b"BDAT 1000\r\n", &[b'y'; 1000][..], before.as_bytes()];
        if sequence.len() == 2 {
            // The limit is reached: this chunk is one too many.
            check_dialogue(&before.concat(), &wire, &[], &[250, 250, 250, 552, 250, 221]);
        }
    }
}

#[test]
fn messages_by_chunk_and_by_data_do_not_touch() {
    for sequence in sequences(2) {
        let mut wire = format!("BDAT {}\r\n", sequence.len()).into_bytes();
        wire.extend_from_slice(&sequence);
        wire.extend_from_slice(format!("BDAT {} LAST\r\n", sequence.len()).as_bytes());
        wire.extend_from_slice(&sequence);
        wire.extend_from_slice(ENVELOPE);
        wire.extend_from_slice(b"DATA\r\n");
        let data = [&sequence[..], b"x\r\n.\r\nNOOP\r\nQUIT\r\n"].concat();
        wire.extend_from_slice(&data);
        let chunks = reference::normalised(&[&sequence[..], &sequence[..]].concat());
        let (content, end) = reference::data(&data).unwrap();
        let codes = [vec![250; 6], vec![354, 250], codes_of(&data[end..])].concat();
        check_dialogue(ENVELOPE, &wire, &[chunks, content], &codes);
    }
}

#[test]
fn what_comes_in_plaintext_behind_starttls_is_lost() {
    for sequence in sequences(2) {
        let injected = [&sequence[..], ENVELOPE, b"BDAT 3 LAST\r\n\r\nx"].concat();
        let wire = [b"STARTTLS\r\n", &injected[..]].concat();
        for pieces in cuts(&wire) {
            let (mut server, taken) = greeted();
            for piece in &pieces {
                server.receive(piece);
            }
            server.shake_hands().unwrap();
            server.receive(b"NOOP\r\nMAIL FROM:<ada@example.org>\r\n");
            let codes: Vec<u16> = codes(&server);
            assert_eq!(codes, [220, 250, 503], "EHLO must come again: {pieces:?}");
            assert!(taken.lock().unwrap().is_empty());
        }
    }
}

/// A client's side of RFC 5321 §4.5.2, for content whose lines end in CRLF.
fn stuffed(content: &[u8]) -> Vec<u8> {
    let mut wire = Vec::new();
    let mut line_start = true;
    for octet in content {
        if line_start && *octet == b'.' {
            wire.push(b'.');
        }
        wire.push(*octet);
        line_start = wire.ends_with(b"\r\n");
    }
    if !line_start {
        wire.extend_from_slice(b"\r\n");
    }
    wire.extend_from_slice(b".\r\n");
    wire
}

/// Sends what was decoded on to the next server, which must find the same, and its end at the end.
fn assert_travels_on(content: &[u8], read_size: usize) {
    let wire = stuffed(content);
    let mut expected = content.to_vec();
    if !expected.is_empty() && !expected.ends_with(b"\r\n") {
        expected.extend_from_slice(b"\r\n");
    }
    let expected = Some((expected, wire.len()));
    assert_eq!(reference::data(&wire), expected);
    let pieces: Vec<&[u8]> = wire.chunks(read_size).collect();
    assert_eq!(decode(Body::new(LIMIT, None), &pieces), expected);
}

#[test]
fn what_was_decoded_travels_on_unharmed() {
    for sequence in sequences(6) {
        let wire = [&sequence[..], b"\r\n.\r\n"].concat();
        let (content, _) = reference::data(&wire).unwrap();
        assert_travels_on(&content, usize::MAX);
        assert_travels_on(&reference::normalised(&sequence), 2);
    }
}

proptest! {
    #[test]
    fn what_goes_in_comes_out(
        octets in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..2000),
            prop::collection::vec(prop::sample::select(OCTETS.to_vec()), 0..200),
        ],
        read_size in 1_usize..300,
    ) {
        assert_travels_on(&reference::normalised(&octets), read_size);

        let mut body = Body::chunked(LIMIT, None, true);
        body.begin_chunk(octets.len() as u64);
        let pieces: Vec<&[u8]> = octets.chunks(read_size).chain([&b""[..]]).collect();
        prop_assert_eq!(decode(body, &pieces), Some((octets.clone(), octets.len())));
    }
}
