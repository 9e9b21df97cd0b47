//! Every stage of the dialogue can go wrong.

use super::*;

#[tokio::test]
async fn a_refusal_means_what_it_means_at_its_place() {
    for (script, verdict, status) in [
        (Script::default().always("CONNECT", say("421 4.3.2 down")), LATER, 421),
        (
            Script::default().always("CONNECT", say("554 5.7.1 not you")),
            Verdict::Misconfigured,
            554,
        ),
        (Script::default().always("EHLO", say("550 no")), Verdict::Misconfigured, 550),
        (Script::default().always("MAIL", say("451 4.3.0 busy")), LATER, 451),
        (Script::default().always("MAIL", say("530 5.7.0 log in")), Verdict::Misconfigured, 530),
        (Script::default().always("MAIL", say("552 5.3.4 too big")), Verdict::Rejected, 552),
        (Script::default().always("RCPT", say("550 5.1.1 nobody")), Verdict::Rejected, 550),
        (Script::default().always("RCPT", say("450 4.2.1 later")), LATER, 450),
        (Script::default().always("DATA", say("451 4.3.0 later")), LATER, 451),
        (Script::default().always("DATA", say("554 5.5.1 no")), Verdict::Rejected, 554),
        (Script::default().always(".", say("452 4.3.1 full")), LATER, 452),
        (Script::default().always(".", say("554 5.7.1 spam")), Verdict::Rejected, 554),
        (Script::default().always(".", Act::Bye("421 4.3.2 bye")), LATER, 421),
    ] {
        for offer in [&[][..], &ALL] {
            let script = Script { offer: offer.to_vec(), ..script.clone() };
            let shown = format!("{script:?}");
            let error = refused(script).await;
            assert_eq!((error.verdict, error.status), (verdict, Some(status)), "{shown}: {error}");
            assert!(!error.unclear, "the server has answered: {shown}");
        }
    }
}

#[tokio::test]
async fn a_connection_that_is_lost_is_unclear_after_the_end_of_the_content_only() {
    for (at, unclear) in [
        ("CONNECT", false),
        ("EHLO", false),
        ("MAIL", false),
        ("RCPT", false),
        ("DATA", false),
        ("CONTENT", false),
        (".", true),
    ] {
        let mut sample = Sample::plain();
        if at == "CONTENT" {
            // More than the buffers on the way hold.
            sample.raw.extend(b"0123456789\r\n".repeat(1_000_000));
        }
        let script = Script::default().always(at, Act::Hangup);
        let error = attempt(script, &sample).await.0.unwrap_err();
        assert_eq!((error.verdict, error.unclear), (LATER, unclear), "{at}: {error}");
        assert_eq!(error.status, None);
    }
}

#[tokio::test]
async fn what_is_no_reply_is_not_believed() {
    for text in ["HTTP/1.1 400 Bad Request", "2", "25O ok", "250ok", "-", "999 what", ""] {
        for (at, unclear) in [("CONNECT", false), ("MAIL", false), (".", true)] {
            let script = Script::default().always(at, Act::Bye(text));
            let error = refused(script).await;
            assert_eq!(
                (error.verdict, error.unclear),
                (LATER, unclear),
                "{text:?} at {at}: {error}"
            );
        }
    }
}

#[tokio::test]
async fn a_reply_without_an_end_is_read_to_a_limit() {
    for water in [&b"250-more and more\r\n"[..], b"250 no line end ", b"x"] {
        let error = refused(Script::default().always("MAIL", Act::Flood(water))).await;
        assert_eq!(error.verdict, LATER, "{error}");
        assert!(error.reason.len() < 400, "{error}");
        let error = refused(Script::default().always(".", Act::Flood(water))).await;
        assert!(error.unclear, "{error}");
    }
}

#[tokio::test]
async fn odd_replies_are_understood() {
    for text in ["250", "250 ", "250-one\r\n250 two", "250-one\n250 two", "250 caf\u{e9}"] {
        let mut octets = text.replace('\u{e9}', "?").into_bytes();
        if let Some(at) = octets.iter().position(|octet| *octet == b'?') {
            // Latin-1.
            octets[at] = 0xE9;
        }
        octets.extend_from_slice(b"\r\n");
        let script = Script::default().always(".", Act::Raw(octets));
        assert!(attempt(script, &Sample::plain()).await.0.is_ok(), "{text:?}");
    }
}

#[tokio::test]
async fn a_server_that_says_nothing_is_waited_for_as_long_as_configured() {
    for (at, unclear) in [("CONNECT", false), ("EHLO", false), ("RCPT", false), (".", true)] {
        let server = Server::start(Script::default().always(at, Act::Silence)).await;
        let provider = made(&plain(&server), &server);
        let sending = tokio::spawn(async move { send(&provider, &Sample::plain()).await });
        until_said(&server, at).await;
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(31)).await;
        let error = sending.await.unwrap().unwrap_err();
        tokio::time::resume();
        assert_eq!((error.verdict, error.unclear), (LATER, unclear), "{at}: {error}");
        assert!(error.reason.contains("no answer within 30s"), "{error}");
    }
}

/// Until the server has been told so much.
async fn until_said(server: &Server, command: &str) {
    for _ in 0..1_000_000 {
        tokio::task::yield_now().await;
        let visits = server.visits();
        let Some(visit) = visits.first() else { continue };
        let there = match command {
            "CONNECT" => true,
            "." => !visit.contents.is_empty(),
            command => !visit.said(command).is_empty(),
        };
        if there {
            return;
        }
    }
    panic!("{command} never came");
}

#[tokio::test]
async fn each_recipient_is_judged_by_itself() {
    for offer in [&[][..], &ALL] {
        let script = Script::offering(offer)
            .always("RCPT TO:<kim@", say("550 5.1.1 no such user"))
            .always("RCPT TO:<hidden@", say("452 4.2.2 mailbox full"));
        let (outcome, visits) = attempt(script, &Sample::rich()).await;
        let receipt = outcome.unwrap();
        assert_eq!(receipt.provider_message_id.as_deref(), Some("4F1BxQ7"));
        let left_out = receipt.left_out;
        assert!(left_out[0].is("kim@예시.한국") && !left_out[0].later, "{left_out:?}");
        assert_eq!(left_out[0].reason, "550 5.1.1 no such user");
        assert!(left_out[1].is("hidden@example.net") && left_out[1].later, "{left_out:?}");
        assert_eq!(left_out.len(), 2);
        assert_eq!(visits[0].said("DATA").len(), 1);
    }
}

#[tokio::test]
async fn a_recipient_whom_the_account_may_not_reach_is_not_given_up() {
    let script = Script::default().always("RCPT TO:<jane@", say("554 5.7.1 Relay access denied"));
    let left_out = attempt(script, &Sample::rich()).await.0.unwrap().left_out;
    assert!(left_out[0].later, "{left_out:?}");
    let script = Script::default().always("RCPT", say("554 5.7.1 Relay access denied"));
    assert_eq!(refused(script).await.verdict, Verdict::Misconfigured);
}

#[tokio::test]
async fn when_all_are_refused_nothing_is_sent_and_one_that_may_do_later_decides() {
    for offer in [&[][..], &ALL] {
        let script = Script::offering(offer).always("RCPT", say("550 5.1.1 nobody"));
        let (outcome, visits) = attempt(script, &Sample::rich()).await;
        let error = outcome.unwrap_err();
        assert_eq!((error.verdict, error.status), (Verdict::Rejected, Some(550)));
        assert!(error.reason.contains("jane@example.com: 550 5.1.1 nobody"), "{error}");
        assert!(visits[0].said("DATA").is_empty());

        let script = Script::offering(offer)
            .always("RCPT TO:<jane@", say("450 4.2.0 greylisted"))
            .always("RCPT", say("550 5.1.1 nobody"));
        let error = attempt(script, &Sample::rich()).await.0.unwrap_err();
        assert_eq!((error.verdict, error.status), (LATER, Some(450)), "{error}");
    }
}

#[tokio::test]
async fn what_cannot_go_this_way_goes_elsewhere_without_a_transaction() {
    let mut sample = Sample::plain();
    sample.raw.extend(b"x\r\n".repeat(1000));
    let (outcome, visits) = attempt(Script::offering(&["SIZE 2000"]), &sample).await;
    let error = outcome.unwrap_err();
    assert_eq!(error.verdict, Verdict::Unknown);
    assert!(error.reason.contains("octets, the server takes 2000"), "{error}");
    assert!(visits[0].said("MAIL").is_empty());
}

#[tokio::test]
async fn a_server_that_stops_listening_is_heard_out() {
    let mut sample = Sample::plain();
    sample.raw.extend(b"0123456789\r\n".repeat(1_000_000));
    let script = Script::default().always("CONTENT", Act::Bye("552 5.3.4 too much for me"));
    let error = attempt(script, &sample).await.0.unwrap_err();
    // Whether the words arrive before the connection breaks is for the network to say.
    assert!(!error.unclear, "{error}");
    let known = matches!(error.verdict, Verdict::Rejected | Verdict::Temporary { .. });
    assert!(known, "{error}");
}

#[tokio::test]
async fn nobody_there_is_clear_and_passes() {
    let server = Server::start(Script::default()).await;
    let provider = made(&plain(&server), &server);
    drop(server);
    tokio::task::yield_now().await;
    let error = send(&provider, &Sample::plain()).await.unwrap_err();
    assert_eq!((error.verdict, error.unclear), (LATER, false));
    assert!(error.reason.starts_with("cannot connect to localhost:"), "{error}");
    assert_eq!(provider.probe().await.unwrap_err().verdict, LATER);
}
