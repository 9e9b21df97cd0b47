use proptest::prelude::*;

use super::*;

fn encoded(text: &str) -> String {
    STANDARD.encode(text)
}

/// User name and password, or the reply that ended it.
fn complete(progress: Progress) -> Result<(String, String), Reply> {
    match progress {
        Progress::Complete(credentials) => {
            Ok((credentials.username, credentials.password.expose().to_owned()))
        }
        Progress::Ended(reply) => Err(reply),
        Progress::Challenge(reply, _) => panic!("a challenge: {reply}"),
    }
}

fn challenge(progress: Progress) -> (String, Exchange) {
    match progress {
        Progress::Challenge(reply, exchange) => {
            let mut octets = Vec::new();
            reply.encode(&mut octets);
            (String::from_utf8(octets).unwrap(), exchange)
        }
        Progress::Complete(_) | Progress::Ended(_) => panic!("no challenge: {progress:?}"),
    }
}

fn plain_with(text: &str) -> Result<(String, String), Reply> {
    complete(Exchange::begin(Mechanism::Plain, Some(&encoded(text))))
}

fn pair(name: &str, password: &str) -> Result<(String, String), Reply> {
    Ok((name.to_owned(), password.to_owned()))
}

#[test]
fn plain_takes_its_initial_response() {
    assert_eq!(plain_with("\0ada\0secret"), pair("ada", "secret"));
    assert_eq!(plain_with("ada\0ada\0secret"), pair("ada", "secret"));
    assert_eq!(plain_with("\0한글\0비밀"), pair("한글", "비밀"));
}

#[test]
fn plain_asks_with_an_empty_challenge() {
    let (asked, exchange) = challenge(Exchange::begin(Mechanism::Plain, None));
    assert_eq!(asked, "334 \r\n");
    assert_eq!(
        complete(exchange.answer(encoded("\0ada\0secret").as_bytes())),
        pair("ada", "secret")
    );
}

#[test]
fn login_asks_for_both_as_clients_expect_it() {
    let (asked, exchange) = challenge(Exchange::begin(Mechanism::Login, None));
    assert_eq!(asked, "334 VXNlcm5hbWU6\r\n");
    let (asked, exchange) = challenge(exchange.answer(b"YWRh"));
    assert_eq!(asked, "334 UGFzc3dvcmQ6\r\n");
    assert_eq!(complete(exchange.answer(b"c2VjcmV0 ")), pair("ada", "secret"));
}

#[test]
fn login_takes_the_user_name_as_initial_response() {
    let (asked, exchange) = challenge(Exchange::begin(Mechanism::Login, Some("YWRh")));
    assert_eq!(asked, "334 UGFzc3dvcmQ6\r\n");
    assert_eq!(complete(exchange.answer(b"c2VjcmV0")), pair("ada", "secret"));
}

#[test]
fn empty_parts_are_passed_on() {
    assert_eq!(plain_with("\0\0"), pair("", ""));
    assert_eq!(plain_with("\0ada\0"), pair("ada", ""));
    let (_, exchange) = challenge(Exchange::begin(Mechanism::Login, Some("=")));
    assert_eq!(complete(exchange.answer(b"")), pair("", ""));
    // An empty response is no user name and password in PLAIN.
    let empty = Exchange::begin(Mechanism::Plain, Some("="));
    assert_eq!(complete(empty), Err(Reply::BAD_PLAIN_FORM));
}

#[test]
fn a_star_cancels() {
    for mechanism in [Mechanism::Plain, Mechanism::Login] {
        let (_, exchange) = challenge(Exchange::begin(mechanism, None));
        assert_eq!(complete(exchange.answer(b"*")), Err(Reply::AUTH_CANCELLED));
    }
    let (_, exchange) = challenge(Exchange::begin(Mechanism::Login, Some("YWRh")));
    assert_eq!(complete(exchange.answer(b"*")), Err(Reply::AUTH_CANCELLED));
}

#[test]
fn what_is_no_base64_is_refused() {
    for bad in ["AGEAYg", "AGEAYg=", "AGE AYg==", "!!!!", "*", "AGEAYg===", "====", "한"] {
        let ended = complete(Exchange::begin(Mechanism::Plain, Some(bad)));
        assert_eq!(ended, Err(Reply::BAD_BASE64), "{bad}");
    }
    let (_, exchange) = challenge(Exchange::begin(Mechanism::Login, None));
    assert_eq!(complete(exchange.answer(b"\xff\xfe")), Err(Reply::BAD_BASE64));
}

#[test]
fn a_nul_divides_and_is_part_of_nothing() {
    for bad in ["", "ada", "ada\0secret", "\0ada\0sec\0ret", "\0\0\0"] {
        assert_eq!(plain_with(bad), Err(Reply::BAD_PLAIN_FORM), "{bad:?}");
    }
    let (_, exchange) = challenge(Exchange::begin(Mechanism::Login, Some("YWRh")));
    let ended = complete(exchange.answer(encoded("secret\0tail").as_bytes()));
    assert_eq!(ended, Err(Reply::BAD_CREDENTIALS));
    let named = Exchange::begin(Mechanism::Login, Some(&encoded("ada\0")));
    assert_eq!(complete(named), Err(Reply::BAD_CREDENTIALS));
}

#[test]
fn a_user_name_has_no_control_characters_and_a_password_may() {
    for bad in ["\0a\rda\0x", "\0a\u{1b}[2J\0x", "\0a\u{85}\0x"] {
        assert_eq!(plain_with(bad), Err(Reply::BAD_CREDENTIALS), "{bad:?}");
    }
    assert_eq!(plain_with("\0ada\0se\tcret"), pair("ada", "se\tcret"));
}

#[test]
fn octets_that_are_no_utf_8_are_refused() {
    let latin = STANDARD.encode(b"\0ada\0caf\xe9");
    let ended = complete(Exchange::begin(Mechanism::Plain, Some(&latin)));
    assert_eq!(ended, Err(Reply::CREDENTIALS_NOT_UTF8));
}

#[test]
fn to_act_for_somebody_else_is_refused() {
    assert_eq!(plain_with("root\0ada\0secret"), Err(Reply::ANOTHER_IDENTITY));
}

#[test]
fn parts_have_a_longest() {
    let longest = "x".repeat(PART_MAX);
    assert_eq!(plain_with(&format!("\0ada\0{longest}")), pair("ada", &longest));
    for bad in [format!("\0ada\0{longest}x"), format!("\0{longest}x\0secret")] {
        assert_eq!(plain_with(&bad), Err(Reply::CREDENTIALS_TOO_LONG));
    }
}

#[test]
fn neither_name_nor_password_is_printed() {
    let (_, exchange) = challenge(Exchange::begin(Mechanism::Login, Some("YWRh")));
    assert!(!format!("{exchange:?}").contains("ada"));
    let progress = exchange.answer(b"c2VjcmV0");
    assert!(!format!("{progress:?}").contains("secret"));
    assert!(!format!("{progress:?}").contains("ada"));
}

proptest! {
    #[test]
    fn what_a_client_encodes_arrives(name in "[^\\p{Cc}]{0,40}", password in "[^\\x00]{0,40}") {
        let expected = Ok((name.clone(), password.clone()));
        prop_assert_eq!(&plain_with(&format!("\0{name}\0{password}")), &expected);
        let (_, exchange) = challenge(Exchange::begin(Mechanism::Login, None));
        let (_, exchange) = challenge(exchange.answer(encoded(&name).as_bytes()));
        prop_assert_eq!(&complete(exchange.answer(encoded(&password).as_bytes())), &expected);
    }

    #[test]
    fn any_lines_come_to_an_end(
        login in any::<bool>(),
        initial in prop::option::of("\\PC{0,60}"),
        lines in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 3),
    ) {
        let mechanism = if login { Mechanism::Login } else { Mechanism::Plain };
        let mut progress = Exchange::begin(mechanism, initial.as_deref());
        for line in &lines {
            progress = match progress {
                Progress::Challenge(reply, exchange) => {
                    prop_assert_eq!(reply.code(), 334);
                    exchange.answer(line)
                }
                Progress::Complete(_) | Progress::Ended(_) => break,
            };
        }
        match progress {
            Progress::Challenge(..) => prop_assert!(false, "a fourth line is asked for"),
            Progress::Complete(credentials) => {
                prop_assert!(!credentials.password.expose().contains('\0'));
            }
            Progress::Ended(reply) => prop_assert!(reply.code() >= 500),
        }
    }

    #[test]
    fn any_octets_in_base64_come_to_an_end(octets in prop::collection::vec(any::<u8>(), 0..200)) {
        let text = STANDARD.encode(&octets);
        for mechanism in [Mechanism::Plain, Mechanism::Login] {
            match Exchange::begin(mechanism, Some(&text)) {
                Progress::Challenge(_, exchange) => {
                    let known = matches!(&exchange, Exchange::LoginPassword { username }
                        if username.expose().as_bytes() == octets);
                    prop_assert!(known);
                }
                Progress::Complete(_) => prop_assert_eq!(mechanism, Mechanism::Plain),
                Progress::Ended(reply) => prop_assert!(reply.code() >= 500),
            }
        }
    }
}
