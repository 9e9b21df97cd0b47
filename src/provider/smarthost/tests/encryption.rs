//! TLS and AUTH: nothing of a message or a password leaves unprotected.

use super::*;

const TLS: [&str; 3] = ["STARTTLS", "AUTH PLAIN LOGIN", "PIPELINING"];

#[tokio::test]
async fn mail_goes_over_starttls_after_a_login() {
    let server = Server::start(Script::offering(&TLS)).await;
    let provider = made(&with_login(&server, SmtpTls::Auto), &server);
    send(&provider, &Sample::plain()).await.unwrap();
    let visit = &server.visits()[0];
    assert_eq!(visit.plain, 2, "EHLO and STARTTLS: {:?}", visit.lines);
    let token = STANDARD.encode(format!("\0ada\0{PASSWORD}"));
    assert_eq!(visit.said("AUTH"), [format!("AUTH PLAIN {token}")]);
    assert_eq!(visit.said("EHLO").len(), 2, "the session begins anew");
}

#[tokio::test]
async fn mail_goes_over_tls_from_the_first_octet() {
    let script = Script { implicit: true, ..Script::offering(&["AUTH LOGIN"]) };
    let server = Server::start(script).await;
    let provider = made(&with_login(&server, SmtpTls::Implicit), &server);
    send(&provider, &Sample::plain()).await.unwrap();
    let visit = &server.visits()[0];
    assert_eq!(visit.plain, 0);
    assert_eq!(
        visit.lines[1..4],
        ["AUTH LOGIN".to_owned(), STANDARD.encode("ada"), STANDARD.encode(PASSWORD)]
    );
}

#[tokio::test]
async fn without_starttls_nothing_is_sent() {
    for script in [
        Script::offering(&["AUTH PLAIN"]),
        // A reply that was made shorter on the way.
        Script::offering(&["XXXXXXXX", "AUTH PLAIN"]),
    ] {
        let server = Server::start(script).await;
        let provider = made(&with_login(&server, SmtpTls::Auto), &server);
        let error = send(&provider, &Sample::plain()).await.unwrap_err();
        assert_eq!(error.verdict, Verdict::Misconfigured);
        assert!(error.reason.contains("does not offer STARTTLS"), "{error}");
        assert_eq!(server.visits()[0].lines.len(), 1, "EHLO alone");
    }
}

#[tokio::test]
async fn a_starttls_that_is_refused_ends_the_call() {
    for (reply, verdict) in [("454 4.7.0 not now", LATER), ("502 5.5.1 no", Verdict::Misconfigured)]
    {
        let server = Server::start(Script::offering(&TLS).always("STARTTLS", say(reply))).await;
        let provider = made(&with_login(&server, SmtpTls::Auto), &server);
        assert_eq!(send(&provider, &Sample::plain()).await.unwrap_err().verdict, verdict);
        assert_eq!(server.visits()[0].lines.len(), 2, "{reply}");
    }
}

#[tokio::test]
async fn plaintext_behind_the_reply_to_starttls_is_not_believed() {
    let injected =
        b"220 go ahead\r\n250-fake.example\r\n250 AUTH PLAIN\r\n235 welcome\r\n".to_vec();
    let server = Server::start(Script::offering(&TLS).always("STARTTLS", Act::Raw(injected))).await;
    let provider = made(&with_login(&server, SmtpTls::Auto), &server);
    let error = send(&provider, &Sample::plain()).await.unwrap_err();
    assert_eq!((error.verdict, error.unclear), (LATER, false));
    assert!(error.reason.contains("plaintext behind the reply to STARTTLS"), "{error}");
    assert_eq!(server.visits()[0].lines.len(), 2);
}

#[tokio::test]
async fn a_certificate_of_a_stranger_or_for_another_name_is_not_accepted() {
    let server = Server::start(Script::offering(&TLS)).await;
    let mut other_name = with_login(&server, SmtpTls::StartTls);
    other_name.smarthost.host = Some("127.0.0.1".to_owned());
    let stranger = tls::connector().unwrap();
    let config = with_login(&server, SmtpTls::StartTls);
    for provider in [made(&other_name, &server), Smarthost::with(&config, stranger).unwrap()] {
        let error = send(&provider, &Sample::plain()).await.unwrap_err();
        assert_eq!((error.verdict, error.unclear), (Verdict::Misconfigured, false));
        assert!(error.reason.contains("certificate of"), "{error}");
    }
    for visit in server.visits() {
        assert_eq!(visit.lines.len(), 2, "no AUTH");
    }
}

#[tokio::test]
async fn a_port_that_does_not_speak_tls_is_named() {
    let server = Server::start(Script::offering(&TLS)).await;
    let provider = made(&with_login(&server, SmtpTls::Implicit), &server);
    let error = send(&provider, &Sample::plain()).await.unwrap_err();
    assert_eq!(error.verdict, Verdict::Misconfigured);
    assert!(error.reason.contains("does not speak TLS"), "{error}");
}

#[tokio::test]
async fn a_refused_login_sets_the_account_aside_and_shows_no_password() {
    let plain = STANDARD.encode(format!("\0ada\0{PASSWORD}"));
    for (reply, verdict) in [
        (format!("535 5.7.8 {PASSWORD} is wrong"), Verdict::Misconfigured),
        (format!("535-5.7.8 not {plain}\r\n535 5.7.8 no"), Verdict::Misconfigured),
        ("534 5.7.9 use an app password".to_owned(), Verdict::Misconfigured),
        ("538 5.7.11 encrypt".to_owned(), Verdict::Misconfigured),
        ("454 4.7.0 later".to_owned(), LATER),
    ] {
        let server = Server::start(Script::offering(&TLS).always("AUTH", Act::Say(reply))).await;
        let provider = made(&with_login(&server, SmtpTls::Auto), &server);
        let error = send(&provider, &Sample::plain()).await.unwrap_err();
        assert_eq!(error.verdict, verdict, "{error}");
        let shown = format!("{error} {error:?} {provider:?}");
        assert!(!shown.contains(PASSWORD) && !shown.contains(&plain), "{shown}");
        assert!(server.visits()[0].said("MAIL").is_empty());
        // The probe asks the same, and costs no mail.
        assert_eq!(provider.probe().await.unwrap_err().verdict, verdict);
    }
}

#[tokio::test]
async fn a_server_without_a_login_that_we_know_is_named() {
    for (offer, words) in [
        (&["STARTTLS"][..], "does not offer AUTH"),
        (&["STARTTLS", "AUTH XOAUTH2"], "XOAUTH2 only"),
    ] {
        let server = Server::start(Script::offering(offer)).await;
        let provider = made(&with_login(&server, SmtpTls::Auto), &server);
        let error = provider.probe().await.unwrap_err();
        assert_eq!(error.verdict, Verdict::Misconfigured);
        assert!(error.reason.contains(words), "{error}");
    }
}

#[tokio::test]
async fn a_probe_logs_in_and_sends_nothing() {
    let server = Server::start(Script::offering(&TLS)).await;
    let provider = made(&with_login(&server, SmtpTls::Auto), &server);
    assert_eq!(provider.probe().await, Ok(()));
    assert_eq!(provider.vouch().await, Ok(()));
    for visit in server.visits() {
        let verbs: Vec<&str> = visit.lines.iter().filter_map(|it| it.split(' ').next()).collect();
        assert_eq!(verbs, ["EHLO", "STARTTLS", "EHLO", "AUTH", "QUIT"]);
    }
}

#[tokio::test]
async fn our_name_is_the_configured_one_or_our_address() {
    for (hello, expected) in [("", "EHLO [127.0.0.1]"), ("relay.example", "EHLO relay.example")] {
        let server = Server::start(Script::default()).await;
        let mut config = plain(&server);
        config.smarthost.host = Some("127.0.0.1".to_owned());
        config.smarthost.hello = hello.to_owned();
        made(&config, &server).probe().await.unwrap();
        assert_eq!(server.visits()[0].lines[0], expected);
    }
}
