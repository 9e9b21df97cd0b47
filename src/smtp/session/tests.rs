use std::net::Ipv4Addr;

use super::*;
use crate::message::{RecipientDsn, Ret};
use crate::smtp::auth::Authentication;

fn policy() -> Policy {
    Policy {
        hostname: String::from("relay.example"),
        max_message_size: 1000,
        max_recipients: 2,
        tls: TlsRule::Absent,
        auth: AuthMode::Auto,
        has_users: false,
    }
}

/// A session that has just begun, of at most 1000 octets and two recipients.
pub(super) fn session_of(trusted: bool) -> Session {
    let peer = Peer { address: IpAddr::V4(Ipv4Addr::LOCALHOST), trusted, secure: false };
    Session::new(Arc::new(policy()), peer)
}

/// The codes of the replies to `lines`; a step that is no reply ends the list.
fn codes(session: &mut Session, lines: &[&str]) -> Vec<String> {
    let mut codes = Vec::new();
    for line in lines {
        match session.handle(Line::Command(line.as_bytes())) {
            Step::Reply(reply) | Step::Refuse(reply) => {
                codes.push(reply.to_string().chars().take(9).collect());
            }
            step => panic!("{line}: {step:?}"),
        }
    }
    codes
}

#[test]
fn a_transaction_hands_over_its_envelope() {
    let mut session = session_of(true);
    let lines = [
        "EHLO client.example",
        "MAIL FROM:<ada@example.org> SIZE=700 SMTPUTF8",
        "RCPT TO:<bob@example.net>",
        "RCPT TO:<한글@example.net>",
    ];
    codes(&mut session, &lines);
    assert!(session.in_transaction());
    let Step::ReadBody(transaction) = session.handle(Line::Command(b"DATA")) else {
        panic!("the content is next");
    };
    let envelope = Envelope {
        sender: Some("ada@example.org".parse().unwrap()),
        recipients: ["bob@example.net", "한글@example.net"].map(|a| a.parse().unwrap()).into(),
        smtp_utf8: true,
        dsn: None,
    };
    assert_eq!(transaction, Transaction { envelope, announced_size: Some(700), binary: false });
    assert!(!session.in_transaction());
    assert_eq!(
        codes(&mut session, &["RCPT TO:<bob@example.net>", "DATA"]),
        ["503 5.5.1", "503 5.5.1"]
    );
    assert_eq!(codes(&mut session, &["MAIL FROM:<>"]), ["250 2.1.0"]);
}

#[test]
fn hello_and_reset_drop_the_transaction() {
    for line in ["EHLO again", "HELO again", "RSET"] {
        let mut session = session_of(true);
        codes(&mut session, &["EHLO x", "MAIL FROM:<>", line]);
        assert!(!session.in_transaction(), "{line}");
    }
}

#[test]
fn the_offer_is_complete() {
    let mut session = session_of(true);
    let Step::Reply(reply) = session.handle(Line::Command(b"EHLO x")) else { panic!("a reply") };
    let lines: Vec<&str> = reply.text().lines().collect();
    assert_eq!(
        lines,
        [
            "relay.example",
            "PIPELINING",
            "SIZE 1000",
            "8BITMIME",
            "BINARYMIME",
            "CHUNKING",
            "SMTPUTF8",
            "ENHANCEDSTATUSCODES",
            "DSN",
            "AUTH PLAIN LOGIN",
            "LIMITS RCPTMAX=2"
        ]
    );
}

#[test]
fn a_stranger_is_refused_at_mail() {
    let mut session = session_of(false);
    codes(&mut session, &["EHLO x", "NOOP"]);
    let step = session.handle(Line::Command(b"MAIL FROM:<ada@example.org>"));
    assert!(matches!(step, Step::Refuse(reply) if reply == Reply::STRANGER));
    assert_eq!(
        codes(&mut session, &["RCPT TO:<bob@example.net>", "DATA"]),
        ["503 5.5.1", "503 5.5.1"]
    );
}

#[test]
fn a_recipient_named_twice_is_kept_once() {
    let mut session = session_of(true);
    let rcpt = "RCPT TO:<bob@example.net>";
    codes(&mut session, &["EHLO x", "MAIL FROM:<>", rcpt, rcpt, rcpt]);
    let Step::ReadBody(transaction) = session.handle(Line::Command(b"DATA")) else {
        panic!("the content is next");
    };
    assert_eq!(transaction.envelope.recipients.len(), 1);
}

#[test]
fn wishes_about_notifications_are_kept_with_the_envelope() {
    let mut session = session_of(true);
    let lines = [
        "EHLO x",
        "MAIL FROM:<ada@example.org> RET=HDRS ENVID=QQ+2B1",
        "RCPT TO:<bob@example.net> NOTIFY=NEVER",
        "RCPT TO:<bob@example.net> NOTIFY=SUCCESS",
        "RCPT TO:<eve@example.net>",
    ];
    codes(&mut session, &lines);
    let Step::ReadBody(transaction) = session.handle(Line::Command(b"DATA")) else {
        panic!("the content is next");
    };
    let bob = "bob@example.net".parse::<Address>().unwrap();
    let expected = Dsn {
        ret: Some(Ret::Hdrs),
        envelope_id: Some(String::from("QQ+1")),
        recipients: vec![RecipientDsn { notify: Some(Vec::new()), ..bob.into() }],
    };
    assert_eq!(transaction.envelope.dsn.as_deref(), Some(&expected), "what was wished first");
    assert_eq!(transaction.envelope.recipients.len(), 2);
}

#[test]
fn too_many_errors_end_the_connection() {
    let mut session = session_of(true);
    for _ in 1..FAULTS_MAX {
        assert!(matches!(session.handle(Line::TooLong(b"x")), Step::Reply(_)));
    }
    let step = session.handle(Line::Command(b"XYZZY"));
    assert!(matches!(step, Step::Close(reply) if reply == Reply::TOO_MANY_ERRORS));
}

#[test]
fn a_message_forgives_the_errors_before_it() {
    let mut session = session_of(true);
    for _ in 0..3 {
        for _ in 1..FAULTS_MAX {
            assert!(matches!(session.handle(Line::Command(b"XYZZY")), Step::Reply(_)));
        }
        session.message_accepted();
    }
}

#[test]
fn bad_addresses_in_a_long_list_are_not_held_against_the_client() {
    let mut session = session_of(true);
    codes(&mut session, &["EHLO x", "MAIL FROM:<>"]);
    for _ in 0..5 * FAULTS_MAX {
        assert_eq!(codes(&mut session, &["RCPT TO:<nobody>"]), ["501 5.1.3"]);
    }
}

#[test]
fn commands_that_come_to_nothing_have_an_end() {
    let mut session = session_of(true);
    for _ in 1..COMMANDS_MAX + policy().max_recipients {
        let step = session.handle(Line::Command(b"NOOP"));
        assert!(matches!(step, Step::Reply(reply) if reply == Reply::OK));
    }
    let step = session.handle(Line::Command(b"NOOP"));
    assert!(matches!(step, Step::Close(reply) if reply == Reply::TOO_MANY_COMMANDS));
}

#[test]
fn recipients_that_get_no_message_have_an_end_as_well() {
    let mut session = session_of(true);
    codes(&mut session, &["EHLO x"]);
    let mut closed = false;
    for round in 0..COMMANDS_MAX {
        let recipients = ["RCPT TO:<ada@example.org>", "RCPT TO:<bob@example.org>"];
        let lines = [["MAIL FROM:<>"].as_slice(), &recipients, &["RSET"]].concat();
        closed = lines
            .iter()
            .any(|line| matches!(session.handle(Line::Command(line.as_bytes())), Step::Close(_)));
        if closed {
            assert_eq!(round, COMMANDS_MAX / 4);
            break;
        }
    }
    assert!(closed);
}

#[test]
fn as_many_recipients_as_a_message_may_have_are_no_flood() {
    let policy = Policy { max_recipients: 3 * COMMANDS_MAX, ..policy() };
    let peer = session_of(true).peer();
    let mut session = Session::new(Arc::new(policy), peer);
    codes(&mut session, &["EHLO x", "MAIL FROM:<>"]);
    for _ in 0..3 * COMMANDS_MAX {
        let step = session.handle(Line::Command(b"RCPT TO:<ada@example.org>"));
        assert!(matches!(step, Step::Reply(reply) if reply == Reply::RECIPIENT_OK));
    }
    assert!(matches!(session.handle(Line::Command(b"DATA")), Step::ReadBody(_)));
}

#[test]
fn a_stranger_has_few_commands() {
    for line in ["NOOP", "EHLO x", "RSET", "HELP", "VRFY x", "EHLO"] {
        let mut session = session_of(false);
        let mut answered = 0;
        while matches!(session.handle(Line::Command(line.as_bytes())), Step::Reply(_)) {
            answered += 1;
            assert!(answered < STRANGER_COMMANDS_MAX, "{line}");
        }
    }
}

#[test]
fn other_protocols_are_cut_off() {
    let close = |line| match session_of(true).handle(line) {
        Step::Close(reply) => reply,
        step => panic!("{step:?}"),
    };
    assert_eq!(close(Line::TlsHello), Reply::TLS_SPOKEN);
    assert_eq!(close(Line::Command(b"POST / HTTP/1.1")), Reply::HTTP_SPOKEN);
    assert_eq!(close(Line::Command(b"PROXY TCP4 1.2.3.4 1.2.3.4 1 25")), Reply::PROXY_SPOKEN);
    assert_eq!(close(Line::Command(b"\0")), Reply::PROXY_SPOKEN);
    assert_eq!(close(Line::BareLineFeed(b"GET / HTTP/1.0")), Reply::HTTP_SPOKEN);
    let long = [&b"GET /"[..], &[b'x'; 2043]].concat();
    assert_eq!(close(Line::TooLong(&long)), Reply::HTTP_SPOKEN);
    let counted = |line| assert_eq!(close(line).code(), 501, "{line:?}");
    for line in
        [&b"BDAT"[..], b"BDAT x", b"bdat\t10", b" BDAT 10", b"BDAT 1\0", b"BDAT \xFF", b"BDAT10"]
    {
        counted(Line::Command(line));
    }
    counted(Line::BareLineFeed(b"BDAT 10"));
    counted(Line::TooLong(b"BDAT          "));
    assert_eq!(close(Line::Command(b"BDAT 99999999999999999999 LAST")).code(), 501);
}

fn session_with(tls: TlsRule) -> Session {
    let peer = Peer { address: IpAddr::V4(Ipv4Addr::LOCALHOST), trusted: true, secure: false };
    Session::new(Arc::new(Policy { tls, ..policy() }), peer)
}

fn offers_starttls(session: &mut Session) -> bool {
    let Step::Reply(reply) = session.handle(Line::Command(b"EHLO x")) else { panic!("a reply") };
    reply.text().lines().any(|line| line == "STARTTLS")
}

#[test]
fn starttls_is_offered_until_it_has_been_used() {
    assert!(!offers_starttls(&mut session_with(TlsRule::Absent)));
    for rule in [TlsRule::Offered, TlsRule::Required] {
        let mut session = session_with(rule);
        assert!(offers_starttls(&mut session));
        let step = session.handle(Line::Command(b"starttls"));
        assert!(matches!(step, Step::StartTls(reply) if reply == Reply::READY_FOR_TLS));
        let mut session = session.over_tls();
        assert!(session.peer().secure);
        assert!(!offers_starttls(&mut session));
        assert_eq!(codes(&mut session, &["STARTTLS"]), ["503 5.5.1"]);
    }
}

#[test]
fn starttls_takes_no_argument_and_needs_a_certificate() {
    let mut session = session_with(TlsRule::Offered);
    assert_eq!(codes(&mut session, &["STARTTLS now"]), ["501 5.5.4"]);
    let mut session = session_with(TlsRule::Absent);
    assert_eq!(codes(&mut session, &["STARTTLS"]), ["502 5.5.1"]);
}

#[test]
fn nothing_said_before_tls_counts_after_it() {
    let mut session = session_with(TlsRule::Offered);
    codes(&mut session, &["EHLO x"]);
    session.authenticated(Authentication::Accepted(Identity::default()));
    codes(&mut session, &["MAIL FROM:<>", "RCPT TO:<bob@example.net>"]);
    assert!(session.identity().is_some() && session.in_transaction());
    let mut session = session.over_tls();
    assert!(session.identity().is_none() && !session.in_transaction());
    assert_eq!(codes(&mut session, &["DATA", "MAIL FROM:<>"]), ["503 5.5.1", "503 5.5.1"]);
}

#[test]
fn errors_made_before_tls_are_not_forgotten() {
    let mut session = session_with(TlsRule::Offered);
    for _ in 1..FAULTS_MAX {
        assert!(matches!(session.handle(Line::Command(b"XYZZY")), Step::Reply(_)));
    }
    let mut session = session.over_tls();
    let step = session.handle(Line::Command(b"XYZZY"));
    assert!(matches!(step, Step::Close(reply) if reply == Reply::TOO_MANY_ERRORS));
}

#[test]
fn mail_is_refused_before_tls_where_it_is_required() {
    for hello in ["EHLO x", "HELO x"] {
        let mut session = session_with(TlsRule::Required);
        assert_eq!(codes(&mut session, &["MAIL FROM:<>"]), ["503 5.5.1"], "hello comes first");
        let lines = [hello, "MAIL FROM:<>", "RCPT TO:<bob@example.net>", "NOOP", "RSET"];
        let replies = codes(&mut session, &lines);
        assert_eq!(replies[1..], ["530 5.7.0", "503 5.5.1", "250 2.0.0", "250 2.0.0"]);
        let mut session = session.over_tls();
        assert_eq!(codes(&mut session, &[hello, "MAIL FROM:<>"])[1], "250 2.1.0");
    }
}

#[test]
fn a_stranger_hears_first_that_tls_is_required() {
    let peer = Peer { address: IpAddr::V4(Ipv4Addr::LOCALHOST), trusted: false, secure: false };
    let policy = Policy { tls: TlsRule::Required, ..policy() };
    let mut session = Session::new(Arc::new(policy), peer);
    assert_eq!(codes(&mut session, &["HELO x", "MAIL FROM:<>"])[1], "530 5.7.0");
}
