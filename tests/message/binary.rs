//! Content that is no text: parts that came as they are by BDAT (RFC 3030), and octets that no text should have.

use mailferry::message::Email;
use mailferry::message::raw::to_seven_bit;
use proptest::prelude::*;

use super::corpus;

/// Every octet, and what could be taken for a line end, a boundary or an end of data.
fn awkward() -> Vec<u8> {
    let mut octets: Vec<u8> = (0..=255).collect();
    octets.extend_from_slice(b"\n\r\r\n\n.\r\n.\n\r.\r-- b\r\n--bb\r\n\0\r");
    octets
}

/// A message with a text part and a binary one.
fn message(text: &[u8], data: &[u8]) -> Vec<u8> {
    [
        b"From: a@x.org\r\nMIME-Version: 1.0\r\nContent-Transfer-Encoding: binary\r\n\
          Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\
          Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: binary\r\n\r\n",
        text,
        b"\r\n--b\r\nContent-Type: application/octet-stream; name=a.bin\r\n\
          Content-Transfer-Encoding: binary\r\n\r\n",
        data,
        b"\r\n--b--\r\n",
    ]
    .concat()
}

#[test]
fn a_binary_part_is_an_attachment_of_exactly_its_octets() {
    for data in [awkward(), Vec::new(), b"\r".to_vec(), b"\n".to_vec(), b"\r\n".to_vec()] {
        let email = Email::parse(&message(b"text", &data));
        assert_eq!(email.attachments[0].bytes, data);
        assert_eq!(email.text.as_deref(), Some("text"));
        assert_eq!(email.losses, []);
    }
}

#[test]
fn in_seven_bits_a_binary_part_is_base64_and_a_text_is_quoted_printable() {
    let text = "caf\u{e9}\r\nbare \n and \r here\r\nend";
    let raw = message(text.as_bytes(), b"a\nb\rc\0\r\n");
    let out = String::from_utf8(to_seven_bit(&raw).unwrap().into_owned()).unwrap();
    let parts: Vec<&str> = out.split("--b").collect();
    assert!(parts[0].contains("Content-Transfer-Encoding: 7bit\r\n"), "{out}");
    let (header, body) = parts[1].split_once("\r\n\r\n").unwrap();
    assert!(header.ends_with("Content-Transfer-Encoding: quoted-printable"), "{out}");
    assert_eq!(body, "caf=C3=A9\r\nbare =0A and =0D here\r\nend\r\n");
    let (header, body) = parts[2].split_once("\r\n\r\n").unwrap();
    assert!(header.ends_with("Content-Transfer-Encoding: base64"), "{out}");
    assert_eq!(body, "YQpiDWMADQo=\r\n");
}

#[test]
fn a_line_end_of_its_own_is_reason_enough() {
    // Seven bits, short lines, and yet it would arrive as something else.
    for data in [&b"a\nb"[..], b"a\rb", b"\n", b"\r"] {
        let raw = message(b"text", data);
        let out = to_seven_bit(&raw).unwrap();
        assert_ne!(out, raw);
        assert_eq!(Email::parse(&out).attachments[0].bytes, data);
    }
    let raw = message(b"text", b"a\r\nb");
    assert_eq!(to_seven_bit(&raw).unwrap(), raw, "nothing is wrong with lines");
}

#[test]
fn a_signed_part_with_a_line_end_of_its_own_is_not_touched() {
    let raw = b"Content-Type: multipart/signed; boundary=s\r\n\r\n--s\r\n\r\na\nb\r\n--s\r\n\
                Content-Type: application/pgp-signature\r\n\r\nx\r\n--s--\r\n";
    assert!(to_seven_bit(raw).unwrap_err().reason.contains("signed"));
}

#[test]
fn the_binary_message_of_the_corpus_keeps_its_octets() {
    let raw = corpus("binary-part");
    let email = Email::parse(&raw);
    assert_eq!(email.attachments[0].bytes, (0..=255).collect::<Vec<u8>>());
    let out = to_seven_bit(&raw).unwrap();
    assert_eq!(Email::parse(&out).attachments[0].bytes, email.attachments[0].bytes);
    assert_eq!(Email::parse(&out).text, email.text);
}

/// Content that is odd in every place where it can be: header, text, HTML, file.
fn odd(octets: &[u8]) -> Vec<u8> {
    [
        b"From: a@x.org\r\nSubject: x",
        octets,
        b"\r\nX-Odd: ",
        octets,
        b"\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\n",
        octets,
        b"\r\n--b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>",
        octets,
        b"</p>\r\n--b\r\nContent-Type: application/x; name=f\r\n\r\n",
        octets,
        b"\r\n--b--\r\n",
    ]
    .concat()
}

#[test]
fn nul_and_broken_utf_8_are_kept_whole_where_octets_are_octets() {
    for octets in [
        &b"\0"[..],
        b"a\0\0b",
        b"\xED\xA0\x80",
        b"\xED\xBF\xBF",
        b"\xC3",
        b"\xFF\xFE",
        b"\xF5\x80\x80\x80",
    ] {
        let raw = odd(octets);
        let email = Email::parse(&raw);
        assert_eq!(email.attachments[0].bytes, octets);
        assert!(!email.subject.contains('\0'));
        assert!(email.text.is_some() && email.html.is_some());
        let out = to_seven_bit(&raw).unwrap();
        assert!(out.is_ascii() && !out.contains(&0));
        assert_eq!(Email::parse(&out).attachments[0].bytes, octets);
    }
}

#[test]
fn a_line_of_ten_megabytes_is_kept_whole() {
    let line = vec![b'x'; 10_000_000];
    let raw = message(&line, &line);
    let email = Email::parse(&raw);
    assert_eq!(email.text.as_deref().map(str::len), Some(line.len()));
    assert_eq!(email.attachments[0].bytes, line);
    let out = to_seven_bit(&raw).unwrap();
    assert!(out.split(|octet| *octet == b'\n').all(|line| line.len() <= 998));
    assert_eq!(Email::parse(&out).attachments[0].bytes, line);

    // A field of that length is no field; a raw provider gets it as it is.
    let raw = [b"Subject: ", &line[..], b"\r\n\r\nx"].concat();
    let email = Email::parse(&raw);
    assert_eq!(email.subject, "");
    assert!(email.losses.len() == 1 && email.losses[0].grave, "{:?}", email.losses);
    assert_eq!(to_seven_bit(&raw).unwrap_err().reason, "header Subject is too long");
}

proptest! {
    #[test]
    fn any_octets_survive_as_a_part(
        data in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..500),
            prop::collection::vec(prop::sample::select(b"\r\n\0.-b= x".to_vec()), 0..100),
        ],
    ) {
        prop_assume!(!data.windows(3).any(|it| it == b"--b"));
        let raw = message(b"text", &data);
        prop_assert_eq!(&Email::parse(&raw).attachments[0].bytes, &data);
        let out = to_seven_bit(&raw).unwrap();
        prop_assert!(out.is_ascii());
        let bare = out.iter().filter(|octet| **octet == b'\n').count();
        prop_assert_eq!(out.windows(2).filter(|pair| pair == b"\r\n").count(), bare);
        prop_assert_eq!(&Email::parse(&out).attachments[0].bytes, &data);
    }
}
