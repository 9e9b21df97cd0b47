//! What routes ask of mail.

use mailferry::config::render;

use crate::{Setup, shown, with_key};

fn with_keys() -> Setup {
    with_key().env("SENDGRID_API_KEY", "SG.1")
}

/// Two providers, one user, and these routes.
fn routed(routes: &str) -> Setup {
    with_keys().toml(&format!("[[smtp.users]]\nusername = 'lemmy'\npassword = 'x'\n{routes}"))
}

#[test]
fn the_conditions_of_routes_are_read_from_the_file() {
    let text = "[[routes]]\nname = 'news'\nproviders = 'resend'\nsender = '<>'\n\
                sender_domain = ['news.example.org', '*.Example.com']\nuser = 'lemmy'\n\
                header = { name = 'X-Kind', value = 'bulk*' }\n\
                [[routes]]\nname = 'korea'\nproviders = 'sendgrid'\nrecipient_domain = '*.kr, 예시.한국'\n\
                [routes.header]\nname = 'Precedence'\n";
    let loaded = routed(text).load();
    let [news, korea] = loaded.config.routes.as_slice() else { panic!("two routes") };
    assert!(news.conditions.sender[0].matches(None));
    let domains = &news.conditions.sender_domain;
    assert!(domains[0].matches("news.example.org") && domains[1].matches("a.example.com"));
    assert_eq!(news.conditions.user, ["lemmy"]);
    let header = news.conditions.header.as_ref().unwrap();
    assert!(header.name == "X-Kind" && header.value.matches("bulky") && !header.value.matches("x"));
    assert!(korea.conditions.recipient_domain[1].matches("xn--vv4b11d.xn--3e0b707e"));
    assert!(korea.conditions.header.as_ref().unwrap().value.matches("anything"));
    assert_eq!(loaded.warnings, Vec::<String>::new());

    let text = render(&loaded.effective).replace("\"***\"", "\"x\"");
    assert!(text.contains("header.name = \"X-Kind\""), "{text}");
    let again = Setup::new().toml(&text).load();
    assert_eq!(again.config.routes, loaded.config.routes);
}

#[test]
fn the_conditions_of_routes_are_read_from_the_environment() {
    let route = |number: usize, key: &str| format!("MAILFERRY__ROUTES__{number}__{key}");
    let loaded = with_keys()
        .env(&route(0, "NAME"), "bulk")
        .env(&route(0, "PROVIDERS"), "resend")
        .env(&route(0, "SENDER_DOMAIN"), "a.org, b.org")
        .env(&route(0, "HEADER__NAME"), "X-Bulk")
        .env(&route(0, "HEADER__VALUE"), "yes")
        .load();
    let conditions = &loaded.config.routes[0].conditions;
    assert_eq!(conditions.sender_domain.len(), 2);
    let header = conditions.header.as_ref().unwrap();
    assert_eq!(header.name, "X-Bulk");
    assert!(header.value.matches("yes") && !header.value.matches("no"));
    assert_eq!(
        shown(&loaded, "routes[0].header.name").origin,
        "MAILFERRY__ROUTES__0__HEADER__NAME"
    );
}

#[test]
fn every_fault_of_a_condition_names_it_and_its_line() {
    for (line, expected) in [
        (
            "sender = 'example.org'",
            "sender (mailferry.toml line 7): \"example.org\" is not an address such as",
        ),
        (
            "sender_domain = 'a@b.org'",
            "sender_domain (mailferry.toml line 7): \"a@b.org\" is not a domain",
        ),
        (
            "recipient_domain = ['a..b']",
            "recipient_domain (mailferry.toml line 7): \"a..b\" is not a domain",
        ),
        ("user = 'ghost'", "user (mailferry.toml line 7): \"ghost\" is none of [[smtp.users]]"),
        (
            "header = { name = 'X:' }",
            "header.name (mailferry.toml line 7): \"X:\" is not the name of a header field",
        ),
        (
            "header = { value = 'x' }",
            "header.value (mailferry.toml line 7): says what a header field must be",
        ),
        ("header = 'X'", "header (mailferry.toml line 7): is a section, not a value"),
        (
            "header = { nmae = 'X' }",
            "header.nmae (mailferry.toml line 7): unknown key; did you mean routes[0].header.name?",
        ),
        (
            "recipient_domains = 'a.b'",
            "recipient_domains (mailferry.toml line 7): unknown key; did you mean routes[0].recipient_domain?",
        ),
    ] {
        let errors =
            routed(&format!("[[routes]]\nname = 'bulk'\nproviders = 'resend'\n{line}\n")).errors();
        assert_eq!(errors.len(), 1, "{line}\n{errors:#?}");
        assert!(errors[0].starts_with(&format!("routes[0].{expected}")), "{expected}\n{errors:#?}");
    }
}

#[test]
fn a_route_that_no_mail_can_take_is_warned_of() {
    let warnings = |routes: &[&str]| {
        let route = |(at, lines): (usize, &&str)| {
            format!("[[routes]]\nname = 'r{at}'\nproviders = 'resend'\n{lines}\n")
        };
        routed(&routes.iter().enumerate().map(route).collect::<String>()).load().warnings
    };
    for hidden in [
        &["", "user = 'lemmy'"][..],
        &["sender_domain = 'a.org, b.org'", "sender_domain = 'a.org'"],
        &["sender_domain = '*.org'", "sender = 'ada@a.org'"],
        &["sender_domain = 'a.org'", "sender_domain = 'a.org'\nuser = 'lemmy'"],
        &["header.name = 'X'", "header = { name = 'x', value = 'bulk' }"],
    ] {
        let warnings = warnings(hidden);
        assert_eq!(warnings.len(), 1, "{hidden:?} {warnings:?}");
        assert!(warnings[0].starts_with("routes[1] (\"r1\") takes no mail"), "{warnings:?}");
        assert!(warnings[0].contains("routes[0] (\"r0\")"), "{warnings:?}");
    }
    for fine in [
        &["user = 'lemmy'", ""][..],
        &["sender_domain = 'a.org'", "sender_domain = 'a.org, b.org'"],
        &["sender_domain = 'a.org'\nuser = 'lemmy'", "sender_domain = 'a.org'"],
        &["recipient_domain = 'a.org'", "sender_domain = 'a.org'"],
    ] {
        assert_eq!(warnings(fine), Vec::<String>::new(), "{fine:?}");
    }
    // A route that users name and that has no conditions is theirs alone.
    let theirs = "route = 'r0'\n[[routes]]\nname = 'r0'\nproviders = 'resend'\n\
                  [[routes]]\nname = 'r1'\nproviders = 'resend'\nsender_domain = 'a.org'\n";
    assert_eq!(routed(theirs).load().warnings, Vec::<String>::new());
    let elsewhere = theirs.replace("sender_domain = 'a.org'", "user = 'lemmy'");
    let warnings = routed(&elsewhere).load().warnings;
    assert!(warnings[0].contains("have a route of their own"), "{warnings:?}");
}
