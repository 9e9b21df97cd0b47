use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use super::*;
use crate::config::{ProviderKind, SenderPattern, UserConfig};
use crate::message::Account;
use crate::secret::Secret;
use crate::smtp::auth::Identity;
use crate::smtp::session::{Peer, Policy};

/// A rule for all combinations of mode, users, TLS and peer.
#[derive(Clone, Copy, Debug)]
struct Case {
    mode: AuthMode,
    has_users: bool,
    tls: TlsRule,
    trusted: bool,
    secure: bool,
}

impl Case {
    fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for mode in [AuthMode::Auto, AuthMode::Required, AuthMode::Off, AuthMode::Provider] {
            for tls in [TlsRule::Absent, TlsRule::Offered, TlsRule::Required] {
                for bits in 0..8_u8 {
                    all.push(Self {
                        mode,
                        has_users: bits & 1 != 0,
                        tls,
                        trusted: bits & 2 != 0,
                        secure: bits & 4 != 0,
                    });
                }
            }
        }
        all
    }

    fn session(self) -> Session {
        let policy = Policy {
            hostname: String::from("relay.example"),
            max_message_size: 1000,
            max_recipients: 2,
            tls: self.tls,
            auth: self.mode,
            has_users: self.has_users,
        };
        let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let peer = Peer { address, trusted: self.trusted, secure: self.secure };
        let mut session = Session::new(Arc::new(policy), peer);
        session.handle(Line::Command(b"EHLO x"));
        session
    }
}

fn code(step: Step) -> u16 {
    match step {
        Step::Reply(reply) | Step::Refuse(reply) | Step::Close(reply) => reply.code(),
        step => panic!("no reply: {step:?}"),
    }
}

fn command(session: &mut Session, line: &str) -> u16 {
    code(session.handle(Line::Command(line.as_bytes())))
}

fn user(senders: &[&str]) -> Identity {
    let pattern = |text: &&str| match text.strip_prefix("*@") {
        Some(domain) => SenderPattern::Domain(domain.to_owned()),
        None => SenderPattern::Address(text.parse().unwrap()),
    };
    let user = UserConfig {
        username: String::from("ada"),
        password: Secret::new("secret"),
        senders: senders.iter().map(pattern).collect(),
        route: None,
        provider_options: true,
    };
    Identity { user: Some(Arc::new(user)), account: None }
}

fn account() -> Identity {
    let account = Account { kind: ProviderKind::Resend, key: Secret::new("re_1") };
    Identity { user: None, account: Some(account) }
}

#[test]
fn auth_is_offered_by_the_rule_and_taken_where_it_is_offered() {
    for case in Case::all() {
        let mut session = case.session();
        let expected = case.mode != AuthMode::Off
            && (case.tls != TlsRule::Required || case.secure)
            && (case.trusted || case.secure)
            && (case.mode != AuthMode::Auto || case.has_users || case.trusted);
        let Step::Reply(offer) = session.handle(Line::Command(b"EHLO x")) else {
            panic!("a reply");
        };
        let listed = offer.text().lines().any(|line| line == "AUTH PLAIN LOGIN");
        assert_eq!(listed, expected, "{case:?}");
        let taken = command(&mut session, "AUTH LOGIN") == 334;
        assert_eq!(taken, expected, "{case:?}");
    }
}

#[test]
fn auth_that_is_not_offered_is_answered_with_what_would_help() {
    for case in Case::all() {
        let mut session = case.session();
        let answer = command(&mut session, "AUTH LOGIN");
        let would_be_offered =
            case.mode != AuthMode::Off && (case.mode != AuthMode::Auto || case.has_users);
        let expected = if case.tls == TlsRule::Required && !case.secure {
            530
        } else if session.offers_auth() {
            334
        } else if !case.trusted && !case.secure && case.tls == TlsRule::Offered && would_be_offered
        {
            538
        } else {
            502
        };
        assert_eq!(answer, expected, "{case:?}");
    }
}

#[test]
fn nobody_sends_who_is_neither_trusted_nor_authenticated() {
    for case in Case::all() {
        let mut session = case.session();
        let answer = command(&mut session, "MAIL FROM:<ada@example.org>");
        let open = matches!(case.mode, AuthMode::Auto | AuthMode::Off);
        let helps = match case.mode {
            AuthMode::Auto => case.has_users,
            AuthMode::Required | AuthMode::Provider => true,
            AuthMode::Off => false,
        };
        let expected = match case {
            _ if case.tls == TlsRule::Required && !case.secure => 530,
            _ if case.trusted && open => 250,
            _ if helps => 530,
            _ => 550,
        };
        assert_eq!(answer, expected, "{case:?}");
        assert_eq!(session.in_transaction(), expected == 250);
    }
}

#[test]
fn who_has_authenticated_sends() {
    for case in Case::all() {
        let closed = case.tls == TlsRule::Required && !case.secure;
        for (identity, mode) in [
            (user(&[]), AuthMode::Auto),
            (user(&[]), AuthMode::Required),
            (account(), AuthMode::Provider),
        ] {
            let mut session = Case { mode, ..case }.session();
            let (reply, farewell) = session.authenticated(Authentication::Accepted(identity));
            assert_eq!((reply.code(), farewell), (235, None));
            let expected = if closed { 530 } else { 250 };
            assert_eq!(command(&mut session, "MAIL FROM:<a@x.org>"), expected, "{case:?}");
        }
    }
}

#[test]
fn an_identity_of_another_kind_opens_nothing() {
    for (mode, identity) in [
        (AuthMode::Auto, Identity::default()),
        (AuthMode::Auto, account()),
        (AuthMode::Required, Identity::default()),
        (AuthMode::Required, account()),
        (AuthMode::Provider, user(&[])),
        (AuthMode::Off, user(&[])),
    ] {
        let case =
            Case { mode, has_users: true, tls: TlsRule::Offered, trusted: false, secure: true };
        let mut session = case.session();
        session.authenticated(Authentication::Accepted(identity));
        assert!(command(&mut session, "MAIL FROM:<a@x.org>") >= 530, "{mode:?}");
    }
}

fn trusted_with_users() -> Session {
    let (tls, mode) = (TlsRule::Absent, AuthMode::Auto);
    Case { mode, has_users: true, tls, trusted: true, secure: false }.session()
}

#[test]
fn the_third_failure_is_the_last() {
    let mut session = trusted_with_users();
    let mut fail = |result| {
        let (reply, farewell) = session.authenticated(result);
        (reply.code(), farewell.map(|reply| reply.code()))
    };
    assert_eq!(fail(Authentication::Wrong), (535, None));
    // So that a client that is told to come back later does not stay and ask.
    assert_eq!(fail(Authentication::Unavailable(String::from("busy"))), (454, None));
    assert_eq!(fail(Authentication::Wrong), (535, Some(421)));
}

#[test]
fn every_kind_of_line_ends_an_exchange_that_it_does_not_answer() {
    for (line, expected) in [
        (Line::Command(b"NOOP "), 501),
        (Line::Command(b"!"), 501),
        (Line::TooLong(b"GET / HTTP/1.1"), 500),
        (Line::BareLineFeed(b"YWRh"), 500),
        (Line::TlsHello, 421),
    ] {
        let mut session = trusted_with_users();
        assert_eq!(command(&mut session, "AUTH PLAIN"), 334);
        assert!(session.awaits_answer());
        assert_eq!(code(session.handle(line)), expected, "{line:?}");
        assert!(!session.awaits_answer(), "{line:?}");
        assert_eq!(command(&mut session, "NOOP"), 250);
    }
}

#[test]
fn answers_count_as_commands_and_their_faults_as_faults() {
    let mut session = trusted_with_users();
    let mut last = 0;
    for _ in 0..20 {
        last = command(&mut session, "AUTH PLAIN !");
        if last == 421 {
            break;
        }
    }
    assert_eq!(last, 421);
}

fn refusal(senders: &[&str], raw: &str) -> Option<Reply> {
    let mut session = trusted_with_users();
    session.authenticated(Authentication::Accepted(user(senders)));
    session.refusal_of_content(raw.as_bytes())
}

#[test]
fn a_user_is_bound_to_the_senders_in_the_header() {
    let own = ["*@example.org", "ada@other.example"];
    for good in [
        "From: Ada <x@example.org>\r\n\r\n",
        "From: ada@other.example\r\nSender: y@EXAMPLE.ORG\r\n\r\n",
        "Subject: nobody\r\n\r\nFrom: eve@evil.example\r\n",
        "",
    ] {
        assert_eq!(refusal(&own, good), None, "{good}");
    }
    let foreign = [
        "From: eve@evil.example\r\n\r\n",
        "From: x@sub.example.org\r\n\r\n",
        "From: eve@other.example\r\n\r\n",
        "From: x@example.org, eve@evil.example\r\n\r\n",
        "From: x@example.org\r\nSender: eve@evil.example\r\n\r\n",
    ];
    for bad in foreign {
        assert_eq!(refusal(&own, bad), Some(Reply::NOT_YOUR_FROM), "{bad}");
    }
    assert_eq!(refusal(&own, "From: root\r\n\r\n"), Some(Reply::UNREADABLE_FROM));
}

#[test]
fn whoever_has_no_senders_is_not_bound() {
    assert_eq!(refusal(&[], "From: root\r\n\r\n"), None);
    let session = trusted_with_users();
    assert_eq!(session.refusal_of_content(b"From: eve@evil.example\r\n\r\n"), None);
}

fn steering(case: Case, identity: Option<Identity>) -> bool {
    let mut session = case.session();
    if let Some(identity) = identity {
        session.authenticated(Authentication::Accepted(identity));
    }
    session.may_steer()
}

#[test]
fn trust_a_user_or_an_account_decides_who_may_steer() {
    let bound = || {
        let mut identity = user(&[]);
        let user = identity.user.as_mut().and_then(Arc::get_mut).unwrap();
        user.provider_options = false;
        identity
    };
    for case in Case::all() {
        let trusted = case.trusted;
        assert_eq!(steering(case, None), trusted, "{case:?}");
        // Any credentials, where there are no users.
        assert_eq!(steering(case, Some(Identity::default())), trusted, "{case:?}");
        assert!(steering(case, Some(user(&[]))), "{case:?}");
        assert!(!steering(case, Some(bound())), "wherever it comes from: {case:?}");
        assert!(steering(case, Some(account())), "it is the client's own: {case:?}");
    }
}

#[test]
fn who_might_steer_before_tls_must_say_again_who_they_are() {
    let case = Case {
        mode: AuthMode::Auto,
        has_users: true,
        tls: TlsRule::Offered,
        trusted: false,
        secure: true,
    };
    let mut session = case.session();
    session.authenticated(Authentication::Accepted(user(&[])));
    assert!(session.may_steer());
    assert!(!case.session().may_steer(), "a new session knows nobody");
}
