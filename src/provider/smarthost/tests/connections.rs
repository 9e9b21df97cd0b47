//! Connections that are kept open between messages.

use super::*;

async fn scene(script: Script) -> (Server, Smarthost) {
    let server = Server::start(script).await;
    let provider = made(&plain(&server), &server);
    (server, provider)
}

#[tokio::test]
async fn a_connection_carries_several_messages_each_begun_anew() {
    for offer in [&[][..], &ALL] {
        let (server, provider) = scene(Script::offering(offer)).await;
        for _ in 0..3 {
            send(&provider, &Sample::plain()).await.unwrap();
        }
        let visits = server.visits();
        assert_eq!(visits.len(), 1);
        assert_eq!(visits[0].said("RSET").len(), 2);
        assert_eq!(visits[0].contents.len(), 3);
        assert_eq!(visits[0].message(), Sample::plain().raw);
    }
}

#[tokio::test]
async fn a_refusal_does_not_cost_the_connection() {
    for at in ["MAIL", "RCPT", "DATA", "."] {
        for offer in [&[][..], &ALL] {
            let script = Script::offering(offer).once(at, say("550 5.1.1 no"));
            let (server, provider) = scene(script).await;
            send(&provider, &Sample::rich()).await.map_or_else(
                |_| (),
                |receipt| assert!(at == "RCPT" && receipt.left_out.len() == 1),
            );
            assert!(send(&provider, &Sample::rich()).await.unwrap().left_out.is_empty(), "{at}");
            assert_eq!(server.visits().len(), 1, "{at}");
        }
    }
}

#[tokio::test]
async fn a_connection_that_died_in_waiting_is_replaced_unseen() {
    for act in [Act::Hangup, Act::Bye("421 4.4.2 idle too long"), say("421 4.4.2 idle too long")] {
        for at in ["RSET", "MAIL", "RCPT", "DATA"] {
            for offer in [&[][..], &ALL] {
                // The first message goes through, then the rule holds, once.
                let script = Script::offering(offer)
                    .once(
                        at,
                        match at {
                            "RSET" => act.clone(),
                            "DATA" => say("354 go on"),
                            _ => say("250 2.1.0 Ok"),
                        },
                    )
                    .once(at, act.clone());
                let (server, provider) = scene(script).await;
                send(&provider, &Sample::plain()).await.unwrap();
                send(&provider, &Sample::plain()).await.unwrap();
                let visits = server.visits();
                assert_eq!(visits.len(), 2, "{at} {act:?} {offer:?}");
                let messages: usize = visits.iter().map(|visit| visit.contents.len()).sum();
                assert_eq!(messages, 2, "{at} {act:?}: none twice");
            }
        }
    }
}

#[tokio::test]
async fn what_was_begun_is_not_repeated() {
    let script = Script::default().once(".", say("250 Ok")).once(".", Act::Hangup);
    let (server, provider) = scene(script).await;
    send(&provider, &Sample::plain()).await.unwrap();
    let error = send(&provider, &Sample::plain()).await.unwrap_err();
    assert!(error.unclear, "{error}");
    assert_eq!(server.visits().len(), 1);

    // A new connection that fails is an attempt like any other.
    let (server, provider) = scene(Script::default().once("MAIL", Act::Hangup)).await;
    assert_eq!(send(&provider, &Sample::plain()).await.unwrap_err().verdict, LATER);
    assert_eq!(server.visits().len(), 1);
}

#[tokio::test]
async fn a_connection_carries_a_hundred_messages_at_most() {
    let (server, provider) = scene(Script::offering(&["PIPELINING"])).await;
    for _ in 0..101 {
        send(&provider, &Sample::plain()).await.unwrap();
    }
    let visits = server.visits();
    assert_eq!(visits.len(), 2);
    assert_eq!((visits[0].contents.len(), visits[1].contents.len()), (100, 1));
}

#[tokio::test]
async fn idle_connections_are_closed_in_time() {
    let (server, provider) = scene(Script::default()).await;
    send(&provider, &Sample::plain()).await.unwrap();
    tokio::time::pause();
    for _ in 0..1000 {
        // The sweeper wakes, looks, and says QUIT in the end.
        tokio::time::advance(Duration::from_millis(100)).await;
        tokio::task::yield_now().await;
    }
    tokio::time::resume();
    for _ in 0..1_000_000 {
        if !server.visits()[0].said("QUIT").is_empty() {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(server.visits()[0].said("QUIT").len(), 1);
    send(&provider, &Sample::plain()).await.unwrap();
    assert_eq!(server.visits().len(), 2);
}

#[tokio::test]
async fn no_more_connections_wait_than_calls_can_be_made() {
    let server = Server::start(Script::default()).await;
    let mut config = plain(&server);
    config.concurrency = 2.try_into().unwrap();
    let provider = Arc::new(made(&config, &server));
    let calls: Vec<_> = (0..4)
        .map(|_| {
            let provider = Arc::clone(&provider);
            tokio::spawn(async move { send(&provider, &Sample::plain()).await })
        })
        .collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    let open = server.visits().len();
    for _ in 0..4 {
        send(&provider, &Sample::plain()).await.unwrap();
    }
    assert_eq!(server.visits().len(), open, "one of those that wait is used");
}
