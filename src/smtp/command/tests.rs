use std::borrow::Cow;

use proptest::prelude::*;
use smtp_proto::Request;

use super::*;

fn parse(line: &str) -> Result<Command<'_>, Fault> {
    Command::parse(line.as_bytes())
}

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

fn mail_from(text: &str) -> Command<'static> {
    Command::Mail { sender: Some(address(text)), parameters: MailParameters::default() }
}

fn rcpt_to(text: &str) -> Command<'static> {
    Command::Rcpt(address(text).into())
}

#[test]
fn verbs_are_read_in_any_case() {
    assert_eq!(parse("EHLO client.example"), Ok(Command::Ehlo("client.example")));
    assert_eq!(parse("helo [192.0.2.1]"), Ok(Command::Helo("[192.0.2.1]")));
    assert_eq!(parse("mAiL fRoM:<ada@example.org>"), Ok(mail_from("ada@example.org")));
    assert_eq!(parse("rcpt to:<ada@example.org>"), Ok(rcpt_to("ada@example.org")));
    assert_eq!(parse("data"), Ok(Command::Data));
    assert_eq!(parse("NOOP whatever"), Ok(Command::Noop));
    assert_eq!(parse("VRFY ada"), Ok(Command::Vrfy));
    assert_eq!(parse("EXPN list"), Ok(Command::Expn));
    assert_eq!(parse("HELP MAIL"), Ok(Command::Help));
    assert_eq!(parse("RSET"), Ok(Command::Rset));
    assert_eq!(parse("QUIT"), Ok(Command::Quit));
}

#[test]
fn blanks_before_the_line_end_and_after_the_colon_do_no_harm() {
    assert_eq!(parse("DATA  \t "), Ok(Command::Data));
    assert_eq!(parse("MAIL  FROM: <ada@example.org> "), Ok(mail_from("ada@example.org")));
}

#[test]
fn mail_carries_its_parameters() {
    let parameters = MailParameters { size: Some(7), smtp_utf8: true, ..MailParameters::default() };
    let expected = Command::Mail { sender: Some(address("ada@example.org")), parameters };
    assert_eq!(parse("MAIL FROM:<ada@example.org> SIZE=7 BODY=8BITMIME SMTPUTF8"), Ok(expected));
}

#[test]
fn the_null_sender_is_not_the_postmaster() {
    let null = Command::Mail { sender: None, parameters: MailParameters::default() };
    assert_eq!(parse("MAIL FROM:<>"), Ok(null));
    assert_eq!(parse("MAIL FROM:<postmaster>"), Err(Fault::BadSender));
    assert_eq!(parse("RCPT TO:<Postmaster>"), Err(Fault::BarePostmaster));
    assert_eq!(parse("RCPT TO:<>"), Err(Fault::BadRecipient));
}

#[test]
fn a_quoted_local_part_keeps_its_quotes() {
    assert_eq!(parse(r#"MAIL FROM:<"a@b"@example.org>"#), Ok(mail_from(r#""a@b"@example.org"#)));
    let spaced = r#""a b>c"@example.org"#;
    assert_eq!(parse(&format!("RCPT TO:<{spaced}>")), Ok(rcpt_to(spaced)));
}

#[test]
fn a_source_route_is_accepted_and_ignored() {
    assert_eq!(
        parse("RCPT TO:<@a.example,@b.example:user@c.example>"),
        Ok(rcpt_to("user@c.example"))
    );
    assert_eq!(parse("RCPT TO:<@a.example>"), Err(Fault::BadRecipient));
}

#[test]
fn an_address_needs_its_brackets() {
    for line in ["MAIL FROM:ada@example.org", "MAIL FROM:", "MAIL FROM:<a@b", "MAIL", "MAIL <a@b>"]
    {
        assert_eq!(parse(line), Err(Fault::MailForm), "{line}");
    }
    for line in ["RCPT TO:ada@example.org", "RCPT TO", "RCPT FROM:<a@b>", "RCPT TO:<a@b>X"] {
        assert_eq!(parse(line), Err(Fault::RcptForm), "{line}");
    }
}

#[test]
fn control_characters_are_errors_wherever_they_stand() {
    for line in [
        "EHLO client\0.example",
        "EHLO \u{1b}[31mred",
        "MAIL FROM:<ada@exam\rple.org>",
        "MAIL FROM:<ada@example.org>\r",
        "\rNOOP",
        "NOOP\tx",
        "\u{7f}",
    ] {
        assert_eq!(parse(line), Err(Fault::ControlCharacter), "{line:?}");
    }
    assert_eq!(Command::parse(b"MAIL FROM:<\xff@example.org>"), Err(Fault::NotUtf8));
}

#[test]
fn a_name_is_needed_for_hello() {
    for line in ["EHLO", "EHLO ", "HELO", "EHLO 한글"] {
        assert_eq!(parse(line), Err(Fault::BadName), "{line}");
    }
    let long = format!("EHLO {}", "x".repeat(NAME_MAX + 1));
    assert_eq!(parse(&long), Err(Fault::BadName));
}

#[test]
fn what_takes_no_argument_refuses_one() {
    for line in ["DATA now", "RSET x", "QUIT please"] {
        assert_eq!(parse(line), Err(Fault::UnexpectedArgument), "{line}");
    }
}

#[test]
fn the_parameters_of_recipients_are_not_dropped_in_silence() {
    let unknown = |name: &str| Err(Fault::UnknownParameter(name.to_owned()));
    assert_eq!(parse("RCPT TO:<a@b> RRVS=2026-11-21T00:00:00Z"), unknown("RRVS"));
    assert_eq!(parse("MAIL FROM:<a@b> HOLDFOR=1"), unknown("HOLDFOR"));
}

#[test]
fn a_chunk_is_a_number_and_perhaps_the_last() {
    for (line, size, last) in [
        ("BDAT 0", 0, false),
        ("bdat 86 last", 86, true),
        ("BDAT  999999999999999  LAST ", 999_999_999_999_999, true),
        ("BDAT 007", 7, false),
    ] {
        assert_eq!(parse(line), Ok(Command::Bdat { size, last }), "{line}");
    }
    for line in [
        "BDAT",
        "BDAT LAST",
        "BDAT -1",
        "BDAT +1",
        "BDAT 0x10",
        "BDAT 1.0",
        "BDAT 10 LAST LAST",
        "BDAT 10 FIRST",
        "BDAT 1000000000000000",
        "BDAT 10LAST",
    ] {
        assert_eq!(parse(line), Err(Fault::BdatForm), "{line}");
    }
}

#[test]
fn http_is_recognised_and_mail_is_not_taken_for_it() {
    for line in [
        "GET / HTTP/1.1",
        "POST /send HTTP/1.1",
        "connect example.org:25 HTTP/1.1",
        "PRI * HTTP/2.0",
        "Host: localhost:1025",
        "User-Agent: x",
        "content-length:10",
    ] {
        assert_eq!(parse(line), Err(Fault::Http), "{line}");
    }
    for line in ["", "GET", "XYZZY", "TURN x:y", "{\"a\":1}", "MAILFROM:<a@b> "] {
        assert_ne!(parse(line).map(drop), Ok(()), "{line}");
    }
    assert_eq!(parse("XYZZY a: b"), Err(Fault::UnknownCommand));
    assert!(!is_http("MAIL FROM:<a@b>"));
}

#[test]
fn every_fault_tells_what_to_do_in_one_ascii_line() {
    for fault in [
        Fault::ControlCharacter,
        Fault::NotUtf8,
        Fault::UnknownCommand,
        Fault::BadName,
        Fault::MailForm,
        Fault::BarePostmaster,
        Fault::BadBody,
        Fault::BadRet,
        Fault::BadEnvelopeId,
        Fault::BadNotify,
        Fault::BadOriginalRecipient,
        Fault::BdatForm,
        Fault::UnknownParameter(String::from("X")),
    ] {
        let reply = Reply::from(fault);
        assert!(reply.text().is_ascii() && reply.text().len() > 15 && !reply.text().contains('\n'));
        assert!((500..=555).contains(&reply.code()));
    }
}

/// What both parsers have to say about an ordinary line.
#[derive(Debug, PartialEq)]
enum Meaning {
    Hello(String),
    Mail { sender: String, size: u64, smtp_utf8: bool },
    Rcpt(String),
    Other(&'static str),
    Refused,
}

fn ours(line: &str) -> Meaning {
    match parse(line) {
        Ok(Command::Ehlo(name) | Command::Helo(name)) => Meaning::Hello(name.to_owned()),
        Ok(Command::Mail { sender, parameters }) => Meaning::Mail {
            sender: sender.map(String::from).unwrap_or_default(),
            size: parameters.size.unwrap_or(0),
            smtp_utf8: parameters.smtp_utf8,
        },
        Ok(Command::Rcpt(recipient)) => Meaning::Rcpt(recipient.address.into()),
        Ok(Command::Data) => Meaning::Other("DATA"),
        Ok(Command::Rset) => Meaning::Other("RSET"),
        Ok(Command::Noop) => Meaning::Other("NOOP"),
        Ok(Command::Quit) => Meaning::Other("QUIT"),
        Ok(Command::Vrfy) => Meaning::Other("VRFY"),
        Ok(Command::Expn) => Meaning::Other("EXPN"),
        Ok(Command::Help) => Meaning::Other("HELP"),
        Ok(Command::StartTls) => Meaning::Other("STARTTLS"),
        Ok(Command::Auth { .. }) => Meaning::Other("AUTH"),
        Ok(Command::Bdat { .. }) => Meaning::Other("BDAT"),
        Err(_) => Meaning::Refused,
    }
}

fn theirs(line: &str) -> Meaning {
    let line = format!("{line}\r\n");
    match Request::<Cow<'_, str>>::parse(&mut line.as_bytes().iter()) {
        Ok(Request::Ehlo { host } | Request::Helo { host }) => Meaning::Hello(host.into_owned()),
        Ok(Request::Mail { from }) => Meaning::Mail {
            sender: from.address.into_owned(),
            size: from.size as u64,
            smtp_utf8: from.flags & smtp_proto::MAIL_SMTPUTF8 != 0,
        },
        Ok(Request::Rcpt { to }) => Meaning::Rcpt(to.address.into_owned()),
        Ok(other) => Meaning::Other(other.name()),
        Err(_) => Meaning::Refused,
    }
}

/// In any mixture of upper and lower case.
fn cased(word: &'static str) -> impl Strategy<Value = String> {
    prop::collection::vec(any::<bool>(), word.len()).prop_map(move |lower| {
        let letters = word.chars().zip(lower);
        letters.map(|(c, lower)| if lower { c.to_ascii_lowercase() } else { c }).collect()
    })
}

fn mailbox() -> impl Strategy<Value = String> {
    (
        "[a-zA-Z0-9!#$%&'*+/=?^_`{|}~-]{1,12}(\\.[a-z0-9]{1,5}){0,2}",
        "[a-z0-9]{1,8}(-[a-z0-9]{1,3})?(\\.[a-z]{2,6}){1,2}",
    )
        .prop_map(|(local, domain)| format!("{local}@{domain}"))
}

fn ordinary_line() -> impl Strategy<Value = String> {
    let hello = (prop_oneof![cased("EHLO"), cased("HELO")], "[a-z0-9.-]{1,40}")
        .prop_map(|(verb, name)| format!("{verb} {name}"));
    let size =
        prop_oneof![Just(String::new()), (0_u64..1_000_000_000).prop_map(|n| format!(" SIZE={n}"))];
    let body = prop::sample::select(vec!["", " BODY=7BIT", " BODY=8BITMIME", " body=8bitmime"]);
    let utf8 = prop::sample::select(vec!["", " SMTPUTF8"]);
    let sender = prop_oneof![4 => mailbox(), 1 => Just(String::new())];
    let mail = (cased("MAIL FROM:"), sender, size, body, utf8)
        .prop_map(|(verb, sender, size, body, utf8)| format!("{verb}<{sender}>{size}{body}{utf8}"));
    let rcpt = (cased("RCPT TO:"), mailbox()).prop_map(|(verb, to)| format!("{verb}<{to}>"));
    let bare =
        prop_oneof![cased("DATA"), cased("RSET"), cased("NOOP"), cased("QUIT"), cased("HELP")];
    let named = prop_oneof![cased("VRFY"), cased("EXPN")].prop_map(|verb| format!("{verb} ada"));
    let unknown = "[B-CF-G][A-Z]{3,6}";
    prop_oneof![hello, mail, rcpt, bare, named, unknown]
}

proptest! {
    #[test]
    fn on_ordinary_lines_smtp_proto_agrees(line in ordinary_line()) {
        prop_assume!(!line.starts_with("BDAT") && !line.starts_with("BURL"));
        prop_assert_eq!(ours(&line), theirs(&line));
    }

    #[test]
    fn any_octets_get_an_answer(line in prop::collection::vec(any::<u8>(), 0..200)) {
        match Command::parse(&line) {
            Ok(_) => prop_assert!(!line.iter().any(|b| matches!(b, 0 | b'\r' | b'\n' | 0x1b))),
            Err(fault) => prop_assert!(Reply::from(fault).code() >= 421),
        }
    }
}
