//! What servers and the things between do to connections and answers, beside what they say.

use super::*;

/// The octets of an answer, with these header lines.
fn answer(act: &Act, more: &str) -> Vec<u8> {
    let Act::Answer(status, headers, body) = act else { panic!("not an answer: {act:?}") };
    let length = body.len();
    format!(
        "HTTP/1.1 {status} Said\r\n{headers}{more}Connection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// Gzip of the octets, without compression (RFC 1951 §3.2.4, RFC 1952). Nobody here looks at the checksum.
fn gzip(octets: &[u8]) -> Vec<u8> {
    let length = u16::try_from(octets.len()).unwrap();
    let head = [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 255, 1];
    [&head[..], &length.to_le_bytes(), &(!length).to_le_bytes(), octets, &[0; 8]].concat()
}

#[tokio::test]
async fn an_answer_may_come_octet_by_octet() {
    for kind in KINDS {
        let (outcome, _) = attempt(kind, Act::Trickle(answer(&success(kind), ""))).await;
        assert_eq!(outcome.unwrap().provider_message_id.as_deref(), Some("id-1"), "{kind}");
    }
}

#[tokio::test]
async fn interim_answers_are_not_the_answer() {
    for kind in KINDS {
        let interim =
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n";
        let octets = [&interim[..], &answer(&success(kind), "")].concat();
        let (outcome, _) = attempt(kind, Act::Trickle(octets)).await;
        assert_eq!(outcome.unwrap().provider_message_id.as_deref(), Some("id-1"), "{kind}");
    }
}

#[tokio::test]
async fn an_answer_in_chunks_with_a_trailer_is_read_whole() {
    for kind in KINDS {
        let Act::Answer(status, headers, body) = success(kind) else { unreachable!() };
        let mut text =
            format!("HTTP/1.1 {status} Said\r\n{headers}Transfer-Encoding: chunked\r\n\r\n");
        for c in body.chars() {
            text.push_str(&format!("{:x};extension=1\r\n{c}\r\n", c.len_utf8()));
        }
        text.push_str("0\r\nX-Trailer: 1\r\n\r\n");
        let (outcome, _) = attempt(kind, Act::Trickle(text.into_bytes())).await;
        assert_eq!(outcome.unwrap().provider_message_id.as_deref(), Some("id-1"), "{kind}");
    }
}

/// Some proxies call everything a page.
#[tokio::test]
async fn the_type_of_an_answer_does_not_decide() {
    for kind in KINDS {
        for lie in
            ["Content-Type: text/html\r\n", "Content-Type: \r\n", "Content-Type: image/png\r\n"]
        {
            let (outcome, _) = attempt(kind, Act::Trickle(answer(&success(kind), lie))).await;
            assert_eq!(outcome.unwrap().provider_message_id.as_deref(), Some("id-1"), "{kind}");
        }
    }
}

/// It was not asked for, so nothing here can read it; the status is all that is known, and no mail is given up for it.
#[tokio::test]
async fn an_answer_that_was_compressed_unasked_fails_no_mail() {
    for kind in KINDS {
        for (status, body) in [(200, "{\"id\":\"id-1\"}"), (400, "{}"), (422, "{}"), (503, "later")]
        {
            if kind == ProviderKind::Webhook && status == 200 {
                // Its yes is the status alone.
                continue;
            }
            let body = gzip(body.as_bytes());
            let head = format!(
                "HTTP/1.1 {status} Said\r\nContent-Encoding: gzip\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            let act = Act::Trickle([head.as_bytes(), &body].concat());
            let error = refused(kind, act).await;
            assert_eq!(error.status, Some(status), "{kind}");
            assert_ne!(error.verdict, Verdict::Rejected, "{kind} {status}: {error}");
            assert!(!error.reason.contains(char::is_control), "{kind}: {:?}", error.reason);
        }
    }
}

#[tokio::test]
async fn a_reset_within_the_request_may_have_brought_it() {
    for kind in KINDS {
        let mut fake = Fake::start([Act::Reset]).await;
        let provider = made_at(kind, &fake);
        let mut sample = Sample::plain();
        // More than the buffers on the way take at once.
        let file = vec![b'x'; 4_000_000];
        sample.email.attachments = vec![attachment("a.txt", "text/plain", &file)];
        let header = "Content-Type: text/plain\r\n\r\n".as_bytes();
        sample.raw = [header, &b"0123456789\r\n".repeat(300_000)].concat();
        let (call, key) = call(&*provider, &sample);
        let error = provider.send(&call, &key).await.unwrap_err();
        assert_eq!(error.verdict, Verdict::Temporary { retry_after: None }, "{kind}");
        assert!(error.unclear && error.status.is_none(), "{kind}: {error:?}");
        assert!(fake.seen().await.body.len() < call.body.len());
    }
}

#[tokio::test]
async fn an_answer_before_the_request_was_read_counts() {
    for kind in KINDS {
        let (outcome, _) = attempt(kind, Act::Early(503)).await;
        let error = outcome.unwrap_err();
        assert_eq!((error.status, error.unclear), (Some(503), false), "{kind}");
        assert_eq!(error.verdict, Verdict::Temporary { retry_after: None }, "{kind}");
    }
}

/// The time is for the whole: an answer that has begun is not waited for any longer.
#[tokio::test]
async fn an_answer_that_stands_still_is_waited_for_as_long_as_configured() {
    for kind in KINDS {
        let head = b"HTTP/1.1 200 OK\r\nContent-Ty".to_vec();
        let body = b"HTTP/1.1 503 Said\r\nContent-Length: 99\r\n\r\nsorr".to_vec();
        for (octets, status) in [(head, None), (body, Some(503))] {
            let mut fake = Fake::start([Act::Stall(octets)]).await;
            let provider = made_at(kind, &fake);
            let (call, key) = call(&*provider, &Sample::plain());
            let sending = tokio::spawn(async move { provider.send(&call, &key).await });
            fake.seen().await;
            // Time stands still, but for what is waited for: everything that has been written is read before it goes on.
            tokio::time::pause();
            let error = sending.await.unwrap().unwrap_err();
            tokio::time::resume();
            assert_eq!(error.verdict, Verdict::Temporary { retry_after: None }, "{kind}");
            assert!(error.status.is_none() || error.status == status, "{kind}: {error:?}");
            assert_eq!(error.unclear, error.status.is_none(), "{kind}: {error:?}");
        }
    }
}

/// RFC 9110 §5: header fields are octets. What is no text in them is no reason to lose the answer.
#[tokio::test]
async fn odd_header_fields_of_an_answer_change_nothing() {
    for kind in KINDS {
        let odd = "X-Odd: \u{FF}\u{80}\r\nRetry-After: soon\r\nRatelimit-Remaining: -1\r\nX-Ratelimit-Reset: 1e99\r\n\
                   Date: yesterday\r\nX-Sib-Ratelimit-Reset: NaN\r\n";
        let (outcome, _) = attempt(kind, Act::Trickle(answer(&success(kind), odd))).await;
        assert_eq!(outcome.unwrap().provider_message_id.as_deref(), Some("id-1"), "{kind}");
        let busy = Act::Answer(429, "", "slow".to_owned());
        let error = refused(kind, Act::Trickle(answer(&busy, odd))).await;
        assert_eq!(error.verdict, Verdict::Throttled { retry_after: None }, "{kind}");
    }
}
