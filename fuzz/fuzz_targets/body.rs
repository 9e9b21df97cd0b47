//! Any content, cut into reads at any place: the decoder finds the same end and the same content as a plain reading of the
//! whole, and what it gives can be sent on without ending early.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mailferry::smtp::{Body, Content};

const LIMIT: usize = 1 << 16;

fuzz_target!(|input: &[u8]| {
    let Some((cuts, octets)) = input.split_first_chunk() else { return };
    let cuts = u64::from_le_bytes(*cuts);
    let (content, used) = decoded(octets, cuts);
    let (expected, end) = plainly(octets);
    assert_eq!(used, end.unwrap_or(octets.len()), "the end is found where it is");
    if end.is_none() {
        return;
    }
    match content {
        Content::Whole(content) => {
            assert_eq!(content, expected);
            let (again, used) = decoded(&stuffed(&content), cuts.rotate_left(7));
            assert_eq!((again, used), (Content::Whole(content.clone()), stuffed(&content).len()));
        }
        Content::TooLarge => assert!(expected.len() > LIMIT),
        Content::Discarded => panic!("nobody has asked for it"),
    }
});

/// Decodes in reads of changing sizes; says how many octets belonged to the content.
fn decoded(octets: &[u8], mut cuts: u64) -> (Content, usize) {
    let mut body = Body::new(LIMIT, (cuts % 3 == 0).then_some(cuts));
    let mut at = 0;
    while at < octets.len() {
        cuts = cuts.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let size = usize::try_from(cuts >> 60).expect("four bits") + 1;
        let read = &octets[at..octets.len().min(at + size)];
        let fed = body.feed(read);
        assert!(fed.used <= read.len() && (fed.ended || fed.used == read.len()));
        at += fed.used;
        if fed.ended {
            break;
        }
    }
    (body.finish(), at)
}

/// The same by looking at everything at once: the content, and where commands begin again.
fn plainly(octets: &[u8]) -> (Vec<u8>, Option<usize>) {
    let whole = [b"\r\n", octets].concat();
    let end = whole.windows(5).position(|five| five == b"\r\n.\r\n");
    // Without the CRLF that was put before it.
    let content = whole.get(2..end.map_or(whole.len(), |at| at + 2)).unwrap_or_default();
    let mut decoded = Vec::new();
    for (number, line) in lines(content).enumerate() {
        if number > 0 {
            decoded.extend_from_slice(b"\r\n");
        }
        for octet in line.strip_prefix(b".").unwrap_or(line) {
            match octet {
                b'\r' | b'\n' => decoded.extend_from_slice(b"\r\n"),
                octet => decoded.push(*octet),
            }
        }
    }
    (decoded, end.map(|at| at + 3))
}

/// What stands between the CRLFs.
fn lines(mut rest: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut done = false;
    std::iter::from_fn(move || {
        if done {
            return None;
        }
        match rest.windows(2).position(|two| two == b"\r\n") {
            Some(at) => {
                let line = &rest[..at];
                rest = &rest[at + 2..];
                Some(line)
            }
            None => {
                done = true;
                Some(rest)
            }
        }
    })
}

/// The content as the next client on the way would send it.
fn stuffed(content: &[u8]) -> Vec<u8> {
    let mut wire = Vec::new();
    let all: Vec<&[u8]> = lines(content).collect();
    for (number, line) in all.iter().enumerate() {
        if number > 0 {
            wire.extend_from_slice(b"\r\n");
        }
        if line.starts_with(b".") {
            wire.push(b'.');
        }
        wire.extend_from_slice(line);
    }
    if !wire.is_empty() && !wire.ends_with(b"\r\n") {
        wire.extend_from_slice(b"\r\n");
    }
    wire.extend_from_slice(b".\r\n");
    wire
}
