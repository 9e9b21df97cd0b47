//! Lists, searches, counts.

use super::*;
use crate::queue::{Counts, Filter, Retry};

async fn found(store: &dyn Store, filter: Filter) -> Vec<QueueId> {
    let page = store.list(filter).await.unwrap();
    page.messages.iter().map(|summary| summary.id).collect()
}

async fn search(store: &dyn Store, text: &str) -> Vec<QueueId> {
    found(store, Filter { text: Some(text.to_owned()), ..Filter::default() }).await
}

pub(in crate::queue) async fn a_list_is_newest_first_in_pages(open: Open) {
    let store = open(ROOMY).await;
    let mut ids = Vec::new();
    for n in 0..7 {
        ids.push(queued(&*store, n).await);
    }
    ids.reverse();

    let mut pages = Vec::new();
    let mut before = None;
    for _ in 0..3 {
        let page = store.list(Filter { before, limit: 3, ..Filter::default() }).await.unwrap();
        before = page.next;
        pages.push(page.messages.iter().map(|summary| summary.id).collect::<Vec<_>>());
    }
    assert_eq!(pages, [&ids[..3], &ids[3..6], &ids[6..]]);
    assert_eq!(before, None, "nothing is older");
    let exact = store.list(Filter { limit: 7, ..Filter::default() }).await.unwrap();
    assert_eq!((exact.messages.len(), exact.next), (7, None));
    assert_eq!(exact.messages[0], summary(&*store, ids[0]).await);
}

pub(in crate::queue) async fn a_list_keeps_to_its_longest_page(open: Open) {
    let store = open(ROOMY).await;
    for n in 0..501 {
        queued(&*store, n).await;
    }
    for limit in [0, 501, usize::MAX] {
        let page = store.list(Filter { limit, ..Filter::default() }).await.unwrap();
        assert_eq!(page.messages.len(), 500);
        assert!(page.next.is_some());
    }
}

pub(in crate::queue) async fn a_list_is_filtered_by_state(open: Open) {
    let store = open(ROOMY).await;
    let mut expected = Vec::new();
    for round in 0..2 {
        for (n, state) in State::ALL.into_iter().enumerate() {
            expected.push((state, in_state(&*store, round * 10 + n as i64, state).await));
        }
    }
    expected.reverse();
    for state in State::ALL {
        let filter = Filter { state: Some(state), ..Filter::default() };
        let mine = expected.iter().filter(|(of, _)| *of == state).map(|(_, id)| *id);
        let mine: Vec<_> = mine.collect();
        assert_eq!(found(&*store, filter.clone()).await, mine, "{state}");

        let first = store.list(Filter { limit: 1, ..filter.clone() }).await.unwrap();
        assert_eq!(first.next, Some(mine[0]), "{state}");
        let second = store.list(Filter { before: first.next, ..filter }).await.unwrap();
        assert_eq!((second.messages[0].id, second.next), (mine[1], None), "{state}");
    }
}

pub(in crate::queue) async fn a_list_is_filtered_by_provider(open: Open) {
    let store = open(ROOMY).await;
    let by_resend = in_state(&*store, 0, State::Delivered).await;
    let by_ses = in_state(&*store, 1, State::Failed).await;
    queued(&*store, 2).await;

    let by = async |name: &str| {
        found(&*store, Filter { provider: Some(name.to_owned()), ..Filter::default() }).await
    };
    assert_eq!(by("resend").await, [by_resend]);
    assert_eq!(by("ses").await, [by_ses]);
    assert_eq!(by("sendgrid").await, []);
}

pub(in crate::queue) async fn a_search_looks_into_every_field(open: Open) {
    let store = open(ROOMY).await;
    let mut message = message(0);
    message.envelope.sender = Some("Bounces+77@mail.example".parse().unwrap());
    message.envelope.recipients[1] = "\"o\\\"hara\"@irish.example".parse().unwrap();
    message.index = IndexFields {
        header_from: "김철수 <kim@shop.example>".to_owned(),
        subject: "주문 확인 Order 4711".to_owned(),
        message_id: "A1B2@shop.example".to_owned(),
        bulk: false,
    };
    let id = message.id;
    store.insert(Entry::held(Arc::new(message), lease(600))).await.unwrap();
    let message = super::message(1);
    store.insert(Entry::waiting(Arc::new(message))).await.unwrap();
    let claim = Claim::fresh(Arc::new(Message { id, ..super::message(0) }), 1);
    let mut settled = delivered(&claim, "resend", 5);
    settled.recipients[1] = RecipientStatus::queued("\"o\\\"hara\"@irish.example".parse().unwrap());
    store.settle(settled).await.unwrap();

    for text in [
        "bounces+77",
        "IRISH.example",
        "o\\\"hara",
        "김철수",
        "KIM@shop",
        "주문 확인",
        "order 4711",
        "a1b2@",
        "RESEND-5",
    ] {
        assert_eq!(search(&*store, text).await, [id], "{text}");
    }
    assert_eq!(search(&*store, "ada@").await.len(), 2);
    assert_eq!(search(&*store, "no such thing").await, []);
    assert_eq!(search(&*store, "  ").await.len(), 2, "a blank search is none");
}

pub(in crate::queue) async fn a_message_is_found_by_every_name_that_it_has(open: Open) {
    let store = open(ROOMY).await;
    let mut wanted = message(0);
    wanted.index.message_id = "A1@shop.example".to_owned();
    let id = wanted.id;
    let wanted = Arc::new(wanted);
    store.insert(Entry::held(Arc::clone(&wanted), lease(600))).await.unwrap();
    let mut split = settlement(&Claim::fresh(wanted, 1), Next::Delivered, 5);
    for (n, name) in ["re_1", "re_2"].into_iter().enumerate() {
        let call = attempt("resend", Outcome::Delivered, n as i64);
        split.attempts.push(Attempt { provider_message_id: Some(name.to_owned()), ..call });
    }
    store.settle(split).await.unwrap();
    // Hours later, and with the name within other texts.
    let mut other = message(100_000);
    other.index.subject = "about A1@shop.example and re_1".to_owned();
    let later = other.id;
    store.insert(Entry::waiting(Arc::new(other))).await.unwrap();

    for name in ["A1@shop.example", "<A1@shop.example>", " re_1 ", "re_2"] {
        assert_eq!(search(&*store, name).await, [id], "{name}");
        let filter = Filter { name: Some(name.to_owned()), ..Filter::default() };
        assert_eq!(found(&*store, filter).await, [id], "{name}");
    }
    assert_eq!(search(&*store, "a1@shop.EXAMPLE").await, [later, id], "text, not the name");
    assert_eq!(search(&*store, "A1@shop").await, [later, id]);
    for name in ["a1@shop.example", "A1@shop", "re", "", "<>"] {
        let filter = Filter { name: Some(name.to_owned()), ..Filter::default() };
        assert_eq!(found(&*store, filter).await, [], "{name}");
    }
    let text = Some("re_2".to_owned());
    let failed = Filter { state: Some(State::Failed), text: text.clone(), ..Filter::default() };
    assert_eq!(found(&*store, failed).await, []);
    assert_eq!(found(&*store, Filter { before: Some(id), text, ..Filter::default() }).await, []);
}

pub(in crate::queue) async fn a_search_takes_wildcards_literally(open: Open) {
    let store = open(ROOMY).await;
    let mut special = message(0);
    special.index.subject = "100%_off\\now".to_owned();
    let id = special.id;
    store.insert(Entry::waiting(Arc::new(special))).await.unwrap();
    queued(&*store, 1).await;

    for text in ["%", "0%", "_", "%_o", "\\", "\\n", "OFF\\now"] {
        assert_eq!(search(&*store, text).await, [id], "{text}");
    }
    assert_eq!(search(&*store, "1%f").await, []);
    assert_eq!(search(&*store, "w_lcome").await, []);
    assert_eq!(search(&*store, "'").await, []);
}

pub(in crate::queue) async fn a_search_is_not_about_names_of_states(open: Open) {
    let store = open(ROOMY).await;
    in_state(&*store, 0, State::Failed).await;
    queued(&*store, 1).await;

    for text in ["queued", "failed", "address", "state", "reason", "\"", "{"] {
        assert_eq!(search(&*store, text).await, [], "{text}");
    }
}

pub(in crate::queue) async fn filters_work_together(open: Open) {
    let store = open(ROOMY).await;
    let first = in_state(&*store, 0, State::Failed).await;
    let second = in_state(&*store, 1, State::Failed).await;
    in_state(&*store, 2, State::Delivered).await;
    queued(&*store, 3).await;
    let filter = Filter {
        state: Some(State::Failed),
        provider: Some("ses".to_owned()),
        text: Some("ADA".to_owned()),
        ..Filter::default()
    };

    assert_eq!(found(&*store, filter.clone()).await, [second, first]);
    assert_eq!(found(&*store, Filter { before: Some(second), ..filter.clone() }).await, [first]);
    let other = Filter { provider: Some("resend".to_owned()), ..filter };
    assert_eq!(found(&*store, other).await, []);
    let waiting =
        Filter { state: Some(State::Queued), text: Some("nobody".to_owned()), ..Filter::default() };
    assert_eq!(found(&*store, waiting).await, []);
}

pub(in crate::queue) async fn an_unknown_message_is_nowhere(open: Open) {
    let store = open(ROOMY).await;
    queued(&*store, 0).await;
    let id = message(0).id;

    assert!(store.show(id).await.unwrap().is_none());
    assert_eq!(store.content(id).await.unwrap(), None);
}

pub(in crate::queue) async fn counts_follow_every_change(open: Open) {
    let store = open(ROOMY).await;
    let counts = async || {
        let Counts { queued, sending, failed, .. } = store.counts().await.unwrap();
        (queued, sending, failed)
    };
    assert_eq!(counts().await, (0, 0, 0));
    let waiting = queued(&*store, 0).await;
    in_state(&*store, 1, State::Sending).await;
    let failed = in_state(&*store, 2, State::Failed).await;
    in_state(&*store, 3, State::Delivered).await;
    in_state(&*store, 4, State::Cancelled).await;
    assert_eq!(counts().await, (1, 1, 1));
    store.retry(failed, Retry::default(), at(5)).await.unwrap();
    assert_eq!(counts().await, (2, 1, 0));
    let claims = claim(&*store, 5).await;
    assert_eq!(counts().await, (0, 3, 0));
    let back = Next::Queue { due: at(6), error: None, deferred: false };
    for claim in &claims {
        store.settle(settlement(claim, Next::Continue, 5)).await.unwrap();
        assert_eq!(counts().await.1, 3);
    }
    store.settle(settlement(&claims[0], back, 5)).await.unwrap();
    store.settle(refused(&claims[1], "ses", 5)).await.unwrap();
    assert_eq!(counts().await, (1, 1, 1));
    store.cancel(waiting, at(6)).await.unwrap();
    assert_eq!(counts().await, (0, 1, 1));
    while store.sweep(Duration::ZERO, Duration::ZERO, at(10)).await.unwrap() > 0 {}
    assert_eq!(counts().await, (0, 1, 0));
}

pub(in crate::queue) async fn the_oldest_is_an_open_one(open: Open) {
    let store = open(ROOMY).await;
    let oldest = async || store.counts().await.unwrap().oldest;
    assert_eq!(oldest().await, None);
    let failed = in_state(&*store, 0, State::Failed).await;
    let first = queued(&*store, 1).await;
    in_state(&*store, 2, State::Sending).await;
    assert_eq!(oldest().await, Some(at(1)));
    store.cancel(first, at(3)).await.unwrap();
    assert_eq!(oldest().await, Some(at(2)));
    store.retry(failed, Retry::default(), at(3)).await.unwrap();
    assert_eq!(oldest().await, Some(at(0)), "received then, open again");
    for claim in claim(&*store, 5_000).await {
        store.settle(delivered(&claim, "resend", 5_000)).await.unwrap();
    }
    assert_eq!(oldest().await, None);
    queued(&*store, 9).await;
    assert_eq!(oldest().await, Some(at(9)));
}
