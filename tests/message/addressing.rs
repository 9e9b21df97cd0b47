//! Who gets which call, and who sees whom.

use mailferry::message::{Address, Addressing, Email, Mailbox};
use proptest::prelude::*;

fn mailbox(name: &str, address: &str) -> Mailbox {
    Mailbox { name: name.to_owned(), address: address.to_owned() }
}

fn addresses(list: &[&str]) -> Vec<Address> {
    list.iter().map(|address| address.parse().unwrap()).collect()
}

fn email(to: &[&str], cc: &[&str]) -> Email {
    let list = |of: &[&str]| of.iter().map(|address| mailbox("Name", address)).collect();
    Email { to: list(to), cc: list(cc), ..Email::default() }
}

fn texts(list: &[Mailbox]) -> Vec<&str> {
    list.iter().map(|it| it.address.as_str()).collect()
}

#[test]
fn only_recipients_of_the_envelope_are_served_and_the_others_of_it_are_hidden() {
    let email = email(&["a@x.org", "stranger@x.org"], &["c@x.org"]);
    let pending = addresses(&["hidden@x.org", "c@x.org", "a@x.org"]);
    let calls = Addressing::split(&email, &pending, 50, true);
    assert_eq!(
        calls,
        [Addressing {
            to: vec![mailbox("Name", "a@x.org")],
            cc: vec![mailbox("Name", "c@x.org")],
            bcc: addresses(&["hidden@x.org"]),
        }]
    );
}

#[test]
fn an_address_is_served_once_however_often_it_stands_there() {
    let email = email(&["a@X.org", "a@x.org"], &["a@x.org", "h@xn--vv4b11d.xn--3e0b707e"]);
    let pending =
        addresses(&["a@x.ORG", "a@x.org", "h@예시.한국", "h@xn--vv4b11d.xn--3e0b707e", "A@x.org"]);
    let calls = Addressing::split(&email, &pending, 50, true);
    assert_eq!(calls.len(), 1);
    assert_eq!(texts(&calls[0].to), ["a@x.ORG"]);
    assert_eq!(texts(&calls[0].cc), ["h@예시.한국"]);
    assert_eq!(calls[0].bcc, addresses(&["A@x.org"]));
}

#[test]
fn hidden_recipients_alone_get_a_call_each() {
    let pending = addresses(&["a@x.org", "b@x.org"]);
    let calls = Addressing::split(&email(&["list@x.org"], &[]), &pending, 50, true);
    assert_eq!(calls.len(), 2);
    for (call, address) in calls.iter().zip(["a@x.org", "b@x.org"]) {
        assert_eq!(texts(&call.to), [address]);
        assert!(call.cc.is_empty() && call.bcc.is_empty());
    }
    let calls = Addressing::split(&email(&[], &[]), &pending, 50, false);
    assert_eq!(calls, [Addressing { bcc: pending, ..Addressing::default() }]);
}

#[test]
fn a_call_that_needs_a_to_gets_it_from_cc() {
    let calls = Addressing::split(
        &email(&[], &["a@x.org", "b@x.org"]),
        &addresses(&["a@x.org", "b@x.org"]),
        50,
        true,
    );
    assert_eq!((texts(&calls[0].to), texts(&calls[0].cc)), (vec!["a@x.org"], vec!["b@x.org"]));
}

#[test]
fn more_recipients_than_a_call_takes_are_split_visible_ones_first() {
    let email = email(&["1@x.org", "2@x.org", "3@x.org"], &["4@x.org"]);
    let pending =
        addresses(&["h@x.org", "1@x.org", "2@x.org", "3@x.org", "4@x.org", "i@x.org", "j@x.org"]);
    let calls = Addressing::split(&email, &pending, 3, true);
    let all: Vec<Vec<&str>> = calls.iter().map(|call| call.recipients().collect()).collect();
    assert_eq!(
        all,
        [
            vec!["1@x.org", "2@x.org", "3@x.org"],
            vec!["4@x.org", "h@x.org", "i@x.org"],
            vec!["j@x.org"]
        ]
    );
    let calls = Addressing::split(&email, &pending, 0, false);
    assert_eq!(calls.len(), 7);
    assert_eq!(Addressing::split(&email, &[], 3, true), []);
}

prop_compose! {
    fn address()(local in "[a-dA-D]", domain in "(x|X|y)\\.org|예시\\.한국|xn--vv4b11d\\.xn--3e0b707e") -> String {
        format!("{local}@{domain}")
    }
}

prop_compose! {
    fn case()(
        to in prop::collection::vec(address(), 0..6),
        cc in prop::collection::vec(address(), 0..6),
        pending in prop::collection::vec(address(), 0..12),
        max in 1_usize..6,
        needs_visible: bool,
    ) -> (Email, Vec<Address>, usize, bool) {
        let to: Vec<&str> = to.iter().map(String::as_str).collect();
        let cc: Vec<&str> = cc.iter().map(String::as_str).collect();
        let pending: Vec<&str> = pending.iter().map(String::as_str).collect();
        (email(&to, &cc), addresses(&pending), max, needs_visible)
    }
}

fn distinct(pending: &[Address]) -> Vec<&Address> {
    let mut list: Vec<&Address> = Vec::new();
    for address in pending {
        if !list.iter().any(|known| known.same_mailbox(address.as_str())) {
            list.push(address);
        }
    }
    list
}

proptest! {
    #[test]
    fn every_recipient_is_served_exactly_once((email, pending, max, needs_visible) in case()) {
        let calls = Addressing::split(&email, &pending, max, needs_visible);
        let mut served: Vec<&str> = calls.iter().flat_map(Addressing::recipients).collect();
        let mut wanted: Vec<&str> = distinct(&pending).into_iter().map(Address::as_str).collect();
        served.sort_unstable();
        wanted.sort_unstable();
        prop_assert_eq!(served, wanted);
        for call in &calls {
            prop_assert!((1..=max).contains(&call.recipients().count()));
            prop_assert!(!needs_visible || !call.to.is_empty());
        }
    }

    #[test]
    fn nobody_sees_a_recipient_that_the_header_does_not_show((email, pending, max, needs_visible) in case()) {
        for call in Addressing::split(&email, &pending, max, needs_visible) {
            let alone = call.recipients().count() == 1;
            for visible in call.to.iter().chain(&call.cc) {
                let visible: Address = visible.address.parse().unwrap();
                let shown = email.to.iter().chain(&email.cc).any(|it| visible.same_mailbox(&it.address));
                prop_assert!(shown || (alone && needs_visible));
            }
        }
    }

    #[test]
    fn served_calls_leave_the_others_as_they_were((email, pending, max, needs_visible) in case()) {
        let calls = Addressing::split(&email, &pending, max, needs_visible);
        for done in 0..=calls.len() {
            let served: Vec<&str> = calls[..done].iter().flat_map(Addressing::recipients).collect();
            let left: Vec<Address> = pending
                .iter()
                .filter(|it| !served.iter().any(|served| it.same_mailbox(served)))
                .cloned()
                .collect();
            prop_assert_eq!(Addressing::split(&email, &left, max, needs_visible), &calls[done..]);
        }
    }
}
