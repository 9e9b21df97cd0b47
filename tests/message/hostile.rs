//! Any bytes can be read, in a time that goes with their number.

use mailferry::clock::Timestamp;
use mailferry::message::raw::{RawEdits, prepare_raw, to_seven_bit};
use mailferry::message::{Email, Envelope, IndexFields, QueueId};
use proptest::prelude::*;

use super::{corpus, corpus_names};

/// Reads `raw` in every way there is, and checks what must hold for any bytes.
fn read(raw: &[u8]) {
    let email = Email::parse(raw);
    let single_line = |text: &str| !text.contains(['\r', '\n', '\0']);
    assert!(single_line(&email.subject));
    for (name, value) in &email.headers {
        assert!(!name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic()), "{name:?}");
        assert!(single_line(value), "{name}: {value:?}");
        assert!(!name.eq_ignore_ascii_case("bcc"));
    }
    let people = email.from.iter().chain(&email.to).chain(&email.cc).chain(&email.reply_to);
    for mailbox in people.chain(&email.sender) {
        assert!(single_line(&mailbox.name) && single_line(&mailbox.address), "{mailbox:?}");
        assert!(mailbox.address.contains('@'));
    }
    for attachment in &email.attachments {
        assert!(!attachment.filename.is_empty() && single_line(&attachment.filename));
        assert!(single_line(&attachment.content_type), "{:?}", attachment.content_type);
        assert!(attachment.content_id.as_deref().is_none_or(single_line));
    }
    assert_eq!(Email::parse(raw), email);

    let index = IndexFields::read(raw);
    assert!(
        single_line(&index.subject)
            && single_line(&index.header_from)
            && single_line(&index.message_id)
    );

    let received_at: Timestamp = "2026-11-21T10:00:00Z".parse().unwrap();
    let id = QueueId::from_bytes([1; 16]);
    let envelope = Envelope::default();
    let prepared =
        prepare_raw(raw, &RawEdits { id, received_at, envelope: &envelope, email: &email });
    // What was prepared needs no more preparing.
    let again = Email::parse(&prepared);
    assert_eq!(
        prepare_raw(&prepared, &RawEdits { id, received_at, envelope: &envelope, email: &again }),
        prepared
    );
    if let Ok(out) = to_seven_bit(&prepared) {
        assert!(out.is_ascii());
        assert_eq!(to_seven_bit(&out).as_deref(), Ok(&out[..]));
    }
}

/// Pieces that mean something to a mail parser.
const PIECES: [&str; 40] = [
    "\r\n",
    "\n",
    "\r",
    "\0",
    ":",
    ";",
    "\"",
    "(",
    ")",
    "<",
    ">",
    "@",
    ",",
    "=",
    "=?",
    "?=",
    "=?utf-8?B?",
    "=?euc-kr?Q?",
    "--b",
    "--b--",
    "\r\n--b\r\n",
    "\r\n\r\n",
    " ",
    "\t",
    "From:",
    "Subject:",
    "To: a@x, ",
    "Bcc: h@x\r\n",
    "Content-Type: multipart/mixed; boundary=b\r\n\r\n",
    "Content-Type: message/rfc822\r\n\r\n",
    "Content-Type: text/html; charset=\"",
    "Content-Transfer-Encoding: base64\r\n",
    "Content-Disposition: attachment; filename*0*=utf-8''%",
    "filename*=",
    "=ED=95=9C",
    "%ED%95",
    "한",
    "\u{fffd}",
    "iso-2022-kr",
    "utf-7",
];

fn soup() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => prop::sample::select(PIECES.to_vec()).prop_map(|it| it.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..8),
    ];
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let edits = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4_u8), 1..20);
    (prop::sample::select(corpus_names()), edits).prop_map(|(name, edits)| {
        let mut raw = corpus(&name);
        for (at, byte, kind) in edits {
            if raw.is_empty() {
                break;
            }
            let at = at.index(raw.len());
            match kind {
                0 => raw[at] = byte,
                1 => raw.truncate(at),
                2 => drop(raw.remove(at)),
                _ => raw.insert(at, byte),
            }
        }
        raw
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_bytes_can_be_read(raw: Vec<u8>) {
        read(&raw);
    }

    #[test]
    fn pieces_of_mail_in_any_order_can_be_read(raw in soup()) {
        read(&raw);
    }

    #[test]
    fn mutated_mail_can_be_read(raw in mutated()) {
        read(&raw);
    }
}

#[test]
fn large_hostile_messages_cost_no_more_than_their_size() {
    let n = 30_000;
    for raw in [
        "=?a?b?".repeat(n),
        format!("Subject: {}", "=?utf-8?B?".repeat(n)),
        format!("From: {}", "<\"(".repeat(n)),
        format!("To: {}", "a@x,".repeat(n)),
        format!("To: {}", "=?a?b?c ".repeat(n)),
        format!("Content-Type: a/b; {}", "x*0*=a;".repeat(n)),
        format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n{}", "--b\r\n".repeat(n)),
        format!("Content-Type: text/html\r\n\r\n{}", "cid:".repeat(n)),
        "X: y\r\n".repeat(n),
        format!("X: {}\r\n\r\n", "\r\n ".repeat(n)),
        format!(
            "Content-Type: multipart/mixed; boundary=b\r\n\r\n{}",
            "--b\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n".repeat(n / 10)
        ),
    ] {
        read(raw.as_bytes());
    }
}

#[test]
fn only_so_many_fields_travel() {
    let email = Email::parse("X: y\r\n".repeat(1500).as_bytes());
    assert_eq!(email.headers.len(), 1000);
    assert_eq!(email.losses[0].what, "500 headers");
}
