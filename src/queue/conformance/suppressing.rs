//! The list of addresses that get no mail.

use super::*;
use crate::message::Address;
use crate::queue::{
    Suppression, SuppressionCursor, SuppressionFilter, SuppressionPage, SuppressionReason,
};

pub(in crate::queue) fn suppression(
    address: &str,
    reason: SuppressionReason,
    seconds: i64,
) -> Suppression {
    let note = (reason != SuppressionReason::Manual).then(|| "550 no such user".to_owned());
    Suppression { address: address.parse().unwrap(), reason, note, since: at(seconds) }
}

fn bounced(address: &str, seconds: i64) -> Suppression {
    suppression(address, SuppressionReason::Bounced, seconds)
}

async fn listed(store: &dyn Store, filter: SuppressionFilter) -> Vec<String> {
    let page = store.suppressions().list(filter).await.unwrap();
    page.entries.iter().map(|entry| entry.address.to_string()).collect()
}

pub(in crate::queue) async fn two_spellings_of_a_mailbox_are_one(open: Open) {
    let store = open(ROOMY).await;
    let list = store.suppressions();
    assert!(list.is_empty());
    assert!(list.add(bounced("ada@Example.NET", 1)).await.unwrap());
    assert!(!list.is_empty());
    let other = suppression("\"ada\"@example.net", SuppressionReason::Complained, 2);
    assert!(!list.add(other.clone()).await.unwrap(), "it is there already");
    let all = SuppressionPage { entries: vec![other.clone()], next: None };
    assert_eq!(list.list(SuppressionFilter::default()).await.unwrap(), all);

    let shouted: Address = "ADA@EXAMPLE.net".parse().unwrap();
    assert_eq!(list.among(vec![shouted.clone()]).await.unwrap(), std::slice::from_ref(&other));
    assert!(list.remove(&shouted).await.unwrap(), "whatever the case of the local part");
    let (greek, small) = ("ΟΔΟΣ@example.net", "οδοσ@example.net");
    assert!(list.add(bounced(greek, 3)).await.unwrap());
    assert!(!list.add(bounced(small, 4)).await.unwrap(), "not only of ASCII letters");
    assert!(list.remove(&greek.parse().unwrap()).await.unwrap());
    assert!(!list.remove(&other.address).await.unwrap());
    assert!(list.is_empty());
    assert_eq!(listed(&*store, SuppressionFilter::default()).await, [""; 0]);
}

pub(in crate::queue) async fn the_list_is_newest_first_in_pages(open: Open) {
    let store = open(ROOMY).await;
    let list = store.suppressions();
    // Three of each second, so that a page ends among them.
    for n in 0..12 {
        list.add(bounced(&format!("user{n:02}@example.net"), n / 3)).await.unwrap();
    }
    let mut seen = Vec::new();
    let mut before: Option<SuppressionCursor> = None;
    for pages in 1.. {
        let filter = SuppressionFilter { before, limit: 4, ..SuppressionFilter::default() };
        let page = list.list(filter).await.unwrap();
        seen.extend(page.entries.iter().map(|entry| entry.address.to_string()));
        before = page.next;
        if before.is_none() {
            assert_eq!(pages, 3, "nothing is older");
            break;
        }
    }
    let expected: Vec<String> = (0..12).rev().map(|n| format!("user{n:02}@example.net")).collect();
    assert_eq!(seen, expected);
}

pub(in crate::queue) async fn the_list_is_filtered_by_text_and_reason(open: Open) {
    let store = open(ROOMY).await;
    let list = store.suppressions();
    for (n, (address, reason)) in [
        ("ada_1@example.net", SuppressionReason::Manual),
        ("grace@example.com", SuppressionReason::Bounced),
        ("ADA%2@example.net", SuppressionReason::Complained),
        ("kim@쇼핑.example", SuppressionReason::Bounced),
    ]
    .into_iter()
    .enumerate()
    {
        list.add(suppression(address, reason, n as i64)).await.unwrap();
    }
    let by = async |text: Option<&str>, reason| {
        let text = text.map(str::to_owned);
        listed(&*store, SuppressionFilter { text, reason, ..SuppressionFilter::default() }).await
    };
    assert_eq!(by(Some("ada"), None).await, ["ADA%2@example.net", "ada_1@example.net"]);
    assert_eq!(by(Some(" A%2 "), None).await, ["ADA%2@example.net"]);
    assert_eq!(by(Some("a_1"), None).await, ["ada_1@example.net"]);
    assert_eq!(by(Some("쇼핑"), None).await, ["kim@쇼핑.example"]);
    let bounced = Some(SuppressionReason::Bounced);
    assert_eq!(by(None, bounced).await, ["kim@쇼핑.example", "grace@example.com"]);
    assert_eq!(by(Some("example.net"), bounced).await, [""; 0]);
    assert_eq!(by(Some("  "), None).await.len(), 4, "a blank text is none");
}

pub(in crate::queue) async fn who_is_on_the_list_is_found_among_others(open: Open) {
    let store = open(ROOMY).await;
    let list = store.suppressions();
    let (ada, grace) = (bounced("ada@example.net", 1), bounced("grace@example.com", 2));
    list.add(ada.clone()).await.unwrap();
    list.add(grace.clone()).await.unwrap();
    let addresses = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();

    let asked = addresses(&["eve@example.net", "grace@EXAMPLE.com", "ada@example.net"]);
    assert_eq!(list.among(asked).await.unwrap(), [grace, ada]);
    assert_eq!(list.among(addresses(&["eve@example.net"])).await.unwrap(), []);
    assert_eq!(list.among(Vec::new()).await.unwrap(), []);
}
