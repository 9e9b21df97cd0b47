//! Keeping messages.

use std::sync::Arc;

use bytes::Bytes;

use super::*;
use crate::message::{Dsn, Notify, OriginalRecipient, RecipientDsn, Ret, SealedAccount};
use crate::queue::StoreError;

pub(in crate::queue) async fn a_message_is_kept_as_it_came(open: Open) {
    let store = open(ROOMY).await;
    let mut message = message(0);
    message.envelope.sender = None;
    message.envelope.recipients.push("\"a\\\"b\"@예시.한국".parse().unwrap());
    message.envelope.smtp_utf8 = true;
    message.index.subject = "인증 코드 \"1234\" \u{1F4E7}".to_owned();
    message.user = None;
    message.account = Some(SealedAccount(Bytes::from_static(b"\0sealed\xFF")));
    message.envelope.dsn = Some(Box::new(Dsn {
        ret: Some(Ret::Hdrs),
        envelope_id: Some("QQ314159".to_owned()),
        recipients: vec![RecipientDsn {
            address: "ada@example.net".parse().unwrap(),
            notify: Some(vec![Notify::Failure, Notify::Delay]),
            original: Some(OriginalRecipient {
                address_type: "rfc822".to_owned(),
                address: "한@example.org".to_owned(),
            }),
        }],
    }));
    let message = Arc::new(message);
    store.insert(Entry::waiting(Arc::clone(&message))).await.unwrap();

    let summary = summary(&*store, message.id).await;
    assert_eq!(summary.id, message.id);
    assert_eq!(summary.state, State::Queued);
    assert_eq!(summary.received_at, message.received_at);
    assert_eq!(summary.sender, None);
    let queued = message.envelope.recipients.iter().cloned().map(RecipientStatus::queued);
    assert_eq!(summary.recipients, queued.collect::<Vec<_>>());
    assert_eq!(summary.index, message.index);
    assert_eq!(summary.size, message.raw.len() as u64);
    assert_eq!((summary.user, summary.provider, summary.error), (None, None, None));
    assert_eq!(attempts(&*store, message.id).await, []);
    let details = store.show(message.id).await.unwrap().unwrap();
    assert_eq!(details.dsn, message.envelope.dsn);
    assert_eq!(store.content(message.id).await.unwrap(), Some(message.raw.clone()));

    let claim = claim_one(&*store, 0).await;
    assert_eq!(claim.message.id, message.id);
    assert_eq!(claim.message.received_at, message.received_at);
    assert_eq!(claim.message.envelope, message.envelope);
    assert_eq!(claim.message.raw, message.raw);
    assert_eq!(claim.message.index, message.index);
    assert_eq!(claim.message.user, None);
    assert_eq!(claim.message.account, message.account);
}

pub(in crate::queue) async fn whether_a_client_may_steer_is_kept(open: Open) {
    let store = open(ROOMY).await;
    for (seconds, may_steer) in [(0, false), (1, true)] {
        let message = Arc::new(Message { may_steer, ..message(seconds) });
        store.insert(Entry::waiting(Arc::clone(&message))).await.unwrap();
        assert_eq!(claim_one(&*store, seconds).await.message.may_steer, may_steer);
    }
    // The lease of the first has run out.
    assert!(!claim_one(&*store, 600).await.message.may_steer);
}

pub(in crate::queue) async fn a_message_without_lease_is_due_at_once(open: Open) {
    let store = open(ROOMY).await;
    let id = queued(&*store, 5).await;

    assert_eq!(summary(&*store, id).await.next_attempt_at, Some(at(5)));
    assert_eq!(store.next_due(&up_to(1)).await.unwrap(), Some(at(5)));
    let claim = claim_one(&*store, 5).await;
    assert_eq!(claim.message.id, id);
    assert_eq!((claim.deferrals, claim.trying_since), (0, at(5)));
    assert!(claim.history.is_empty());
    assert_eq!(claim.pinned_provider, None);
}

pub(in crate::queue) async fn a_message_born_claimed_is_under_lease_one(open: Open) {
    let store = open(ROOMY).await;
    let message = Arc::new(message(0));
    store.insert(Entry::held(Arc::clone(&message), lease(60))).await.unwrap();

    let before = summary(&*store, message.id).await;
    assert_eq!((before.state, before.next_attempt_at), (State::Sending, None));
    assert!(claim(&*store, 59).await.is_empty(), "it is held by whoever has put it in");
    let fresh = Claim::fresh(Arc::clone(&message), 1);
    store.settle(delivered(&fresh, "resend", 1)).await.unwrap();
    assert_eq!(summary(&*store, message.id).await.state, State::Delivered);
}

pub(in crate::queue) async fn contents_of_any_size_come_back_whole(open: Open) {
    let store = open(ROOMY).await;
    let mut kept = Vec::new();
    for (n, size) in [0, 1, 4096, 512 << 10, (512 << 10) + 1, 1_300_000].into_iter().enumerate() {
        let octet = |i: usize| u8::try_from((i * 31 + i / 251 + n) % 256).unwrap();
        let raw: Vec<u8> = (0..size).map(octet).collect();
        let message = Arc::new(Message { raw: Bytes::from(raw), ..message(n as i64) });
        store.insert(Entry::waiting(Arc::clone(&message))).await.unwrap();
        kept.push(message);
    }

    for message in &kept {
        let content = store.content(message.id).await.unwrap();
        assert!(content.as_ref() == Some(&message.raw), "{} octets", message.raw.len());
    }
    let claims = claim(&*store, 10).await;
    assert_eq!(claims.len(), kept.len());
    for (claim, message) in claims.iter().zip(&kept) {
        assert!(claim.message.raw == message.raw, "{} octets", message.raw.len());
    }
}

pub(in crate::queue) async fn a_full_queue_refuses_until_a_message_is_over(open: Open) {
    let store = open(2).await;
    in_state(&*store, 0, State::Delivered).await;
    let waiting = queued(&*store, 1).await;
    in_state(&*store, 2, State::Sending).await;

    let excess = Arc::new(message(3));
    let refusal = store.insert(Entry::waiting(Arc::clone(&excess))).await.unwrap_err();
    assert_eq!(refusal, StoreError::Full(2));
    assert!(store.show(excess.id).await.unwrap().is_none());
    assert_eq!(store.content(excess.id).await.unwrap(), None);

    store.cancel(waiting, at(4)).await.unwrap();
    store.insert(Entry::waiting(excess)).await.unwrap();
}

pub(in crate::queue) async fn an_id_is_taken_once(open: Open) {
    let store = open(ROOMY).await;
    let first = Arc::new(message(0));
    store.insert(Entry::waiting(Arc::clone(&first))).await.unwrap();
    let second = Message { raw: Bytes::from_static(b"other"), ..Message::clone(&first) };

    assert!(store.insert(Entry::waiting(Arc::new(second))).await.is_err());
    assert_eq!(store.content(first.id).await.unwrap(), Some(first.raw.clone()));
    assert_eq!(store.counts().await.unwrap().queued, 1);
    let next = queued(&*store, 1).await;
    assert_eq!(store.content(next).await.unwrap(), Some(first.raw.clone()));
}

pub(in crate::queue) async fn many_tasks_insert_at_once(open: Open) {
    let store = open(ROOMY).await;
    let tasks: Vec<_> = (0..200)
        .map(|n| {
            let store = Arc::clone(&store.store);
            tokio::spawn(async move {
                let raw = Bytes::from(format!("message {n}"));
                let message = Arc::new(Message { raw, ..message(n) });
                store.insert(Entry::waiting(Arc::clone(&message))).await.unwrap();
                message
            })
        })
        .collect();
    for task in tasks {
        let message = task.await.unwrap();
        assert_eq!(store.content(message.id).await.unwrap(), Some(message.raw.clone()));
    }
    assert_eq!(store.counts().await.unwrap().queued, 200);
}
