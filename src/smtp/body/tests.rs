use proptest::prelude::*;

use super::*;

const LIMIT: usize = 1 << 20;

/// Content and the input that is left over; `None` while the end has not come.
fn decode(pieces: &[&[u8]]) -> Option<(Content, Vec<u8>)> {
    let mut body = Body::new(LIMIT, None);
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
    let mut body = Body::new(5, None);
    assert_eq!(body.feed(b"abc\r\n.\r\n"), Fed { used: 8, ended: true });
    assert_eq!(body.finish(), Content::Whole(Bytes::from_static(b"abc\r\n")));

    let mut body = Body::new(5, None);
    assert_eq!(body.feed(b"abcd\r\n"), Fed { used: 6, ended: false });
    assert_eq!(body.room(), 0, "nothing is held once it is too large");
    assert_eq!(body.feed(b"more\r\n.\r\nQUIT\r\n"), Fed { used: 9, ended: true });
    assert_eq!(body.finish(), Content::TooLarge);
}

#[test]
fn discarded_content_is_read_to_its_end_and_not_kept() {
    let mut body = Body::new(LIMIT, None);
    body.feed(b"abc\r\n");
    body.discard();
    assert_eq!(body.room(), 0);
    assert_eq!(body.feed(b"..\r\n.\r\nQUIT"), Fed { used: 7, ended: true });
    assert_eq!(body.finish(), Content::Discarded);
}

#[test]
fn room_doubles_up_to_the_limit() {
    let mut body = Body::new(10_000, None);
    assert_eq!(body.room_wanted(100), Some(FIRST_ROOM));
    body.make_room(4000);
    assert_eq!(body.room_wanted(4000 - MARGIN), None);
    assert_eq!(body.room_wanted(4001 - MARGIN), Some(8000));
    body.make_room(8000);
    assert_eq!(body.room_wanted(8000), Some(10_000 + MARGIN));
    body.feed(&[b'a'; 7000]);
    assert_eq!(body.room_wanted(8000), Some(15_000 + MARGIN), "what has come is there");
}

#[test]
fn an_announced_size_is_believed_by_and_by() {
    let room_for = |announced| Body::new(1 << 30, Some(announced)).room_wanted(100);
    assert_eq!(room_for(5000), Some(5000 + MARGIN));
    assert_eq!(room_for(1), Some(100 + MARGIN));
    assert_eq!(room_for(1 << 20), Some(FIRST_ROOM_MAX));
    let mut body = Body::new(1 << 30, Some(100_000));
    body.make_room(FIRST_ROOM_MAX);
    body.feed(&[b'a'; FIRST_ROOM_MAX]);
    assert_eq!(body.room_wanted(100), Some(100_000 + MARGIN));
    body.make_room(100_000 + MARGIN);
    assert_eq!(body.room_wanted(100_000), Some(200_000 + 2 * MARGIN), "it was more after all");
}

#[test]
fn a_message_is_handed_on_without_much_spare_room() {
    let mut body = Body::new(LIMIT, None);
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

/// The rules for lines in chunks, likewise.
fn reference_of_lines(input: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = input;
    while let [octet, tail @ ..] = rest {
        rest = tail;
        match octet {
            b'\r' if tail.starts_with(b"\n") => {
                rest = &tail[1..];
                out.extend_from_slice(b"\r\n");
            }
            b'\r' | b'\n' => out.extend_from_slice(b"\r\n"),
            octet => out.push(*octet),
        }
    }
    out
}

/// What chunks of these contents make; each is followed by a command and comes in reads of `read_size`.
fn decode_chunks(chunks: &[&[u8]], binary: bool, read_size: usize) -> Content {
    let mut body = Body::chunked(LIMIT, None, binary);
    for chunk in chunks {
        let wire = [chunk, &b"\r\n.\r\nQUIT"[..]].concat();
        let mut left = &wire[..];
        body.begin_chunk(chunk.len() as u64);
        let mut ended = body.feed(b"").ended;
        assert_eq!(ended, chunk.is_empty());
        while !ended {
            let fed = body.feed(&left[..read_size.min(left.len())]);
            left = &left[fed.used..];
            ended = fed.ended;
        }
        assert_eq!(left.len(), 9, "the command is left alone");
        assert_eq!(body.feed(left), Fed { used: 0, ended: true });
    }
    body.finish()
}

#[test]
fn in_chunks_a_dot_is_a_dot() {
    let chunks = [&b"..a\r\n"[..], b".\r\n", b"", b"\r\n.\r\n", b"end"];
    let expected = Content::Whole(Bytes::from(chunks.concat()));
    for read_size in [1, 2, 3, 100] {
        assert_eq!(decode_chunks(&chunks, false, read_size), expected);
        assert_eq!(decode_chunks(&chunks, true, read_size), expected);
    }
}

#[test]
fn a_line_end_may_be_cut_by_chunks() {
    let chunks = [&b"a\r"[..], b"", b"\nb\r", b"c\n", b"\r", b"\r\n\r"];
    let expected = Content::Whole(Bytes::from_static(b"a\r\nb\r\nc\r\n\r\n\r\n\r\n"));
    assert_eq!(decode_chunks(&chunks, false, 100), expected);
    let as_it_is = Content::Whole(Bytes::from(chunks.concat()));
    assert_eq!(decode_chunks(&chunks, true, 100), as_it_is);
}

#[test]
fn a_chunk_of_any_size_sets_nothing_aside_for_what_has_not_come() {
    for size in [100, 1 << 20, 999_999_999_999_999, u64::MAX] {
        let mut body = Body::chunked(1 << 30, None, true);
        body.begin_chunk(size);
        assert_eq!(body.room(), 0);
        assert!(body.room_wanted(10).unwrap() <= FIRST_ROOM_MAX);
        assert_eq!(body.feed(b"0123456789"), Fed { used: 10, ended: false });
    }
    let mut body = Body::chunked(1 << 30, None, true);
    body.begin_chunk(5);
    assert_eq!(body.room_wanted(1 << 20), Some(5 + MARGIN), "the rest of the input is commands");
}

#[test]
fn many_small_chunks_do_not_copy_the_content_again_and_again() {
    let mut body = Body::chunked(LIMIT, None, false);
    let mut grown = 0;
    for _ in 0..50_000 {
        body.begin_chunk(5);
        if let Some(room) = body.room_wanted(5) {
            grown += 1;
            body.make_room(room);
        }
        body.feed(b"abc\r\n");
    }
    assert!(grown < 20, "{grown}");
}

#[test]
fn chunks_that_outgrow_the_limit_are_counted_to_their_end() {
    let mut body = Body::chunked(5, None, false);
    body.begin_chunk(4);
    assert!(body.feed(b"ab\n\n").ended);
    assert_eq!(body.kept(), Kept::TooLarge, "as lines it is longer");
    body.begin_chunk(3);
    assert_eq!(body.feed(b"cdeQUIT"), Fed { used: 3, ended: true });
    assert_eq!(body.finish(), Content::TooLarge);

    let mut body = Body::swallowing(999_999_999_999_999);
    assert_eq!(body.room_wanted(1000), None);
    assert_eq!(body.feed(&[b'x'; 1000]), Fed { used: 1000, ended: false });
    assert_eq!((body.room(), body.finish()), (0, Content::Discarded));
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
    fn chunks_follow_the_rules_however_they_are_cut(
        input in critical_octets(),
        mut cuts in prop::collection::vec(0_usize..100, 0..6),
        read_size in 1_usize..20,
    ) {
        cuts.sort_unstable();
        let mut chunks = Vec::new();
        let mut rest = &input[..];
        let mut at = 0;
        for cut in cuts {
            let (chunk, tail) = rest.split_at((cut - at).min(rest.len()));
            chunks.push(chunk);
            rest = tail;
            at = cut;
        }
        chunks.push(rest);
        let lines = Content::Whole(Bytes::from(reference_of_lines(&input)));
        prop_assert_eq!(decode_chunks(&chunks, false, read_size), lines);
        let octets = Content::Whole(Bytes::from(input.clone()));
        prop_assert_eq!(decode_chunks(&chunks, true, read_size), octets);
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
