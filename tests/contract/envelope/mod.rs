//! The envelope is the truth: whatever the header says, the calls of a message go to everybody in its envelope, to each
//! once, to nobody else, and show nobody whom the header does not show. Read from the requests themselves.

mod letters;

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, LazyLock};

use mailferry::config::ProviderKind;
use mailferry::message::{Address, Addressing};
use mailferry::provider::{Call, Form, Letter, Provider, Unfit};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

use self::letters::{Drawn, Person, STRANGER, drawn, key};
use crate::carried::{Carried, carried};
use crate::support::nowhere;

/// Every kind.
static PROVIDERS: LazyLock<Vec<(ProviderKind, Arc<dyn Provider>)>> =
    LazyLock::new(|| ProviderKind::ALL.map(|kind| (kind, nowhere(kind))).into());

/// The calls for these of the recipients, as delivery makes them.
fn calls(drawn: &Drawn, provider: &dyn Provider, pending: &[Address]) -> Result<Vec<Call>, Unfit> {
    let prepare = |addressing: &Addressing| {
        provider.prepare(&Letter {
            id: "0198c0de-0000-7000-8000-000000000001".parse().unwrap(),
            envelope: &drawn.envelope,
            received_at: "2026-11-21T10:00:00Z".parse().unwrap(),
            raw: &drawn.raw,
            email: &drawn.email,
            addressing,
        })
    };
    split(drawn, provider, pending).iter().map(prepare).collect()
}

fn split(drawn: &Drawn, provider: &dyn Provider, pending: &[Address]) -> Vec<Addressing> {
    let capabilities = provider.capabilities();
    let structured = capabilities.form == Form::Structured;
    Addressing::split(&drawn.email, pending, capabilities.recipients_per_call, structured)
}

/// As the service compares the addresses of one call: SendGrid takes each once, whatever the case of its local part.
fn as_compared(kind: ProviderKind, address: &str) -> String {
    let key = key(address);
    if kind == ProviderKind::SendGrid { key.to_lowercase() } else { key }
}

/// The recipients who are left after some calls have been made, and some recipients settled on another way.
fn left(drawn: &Drawn, provider: &dyn Provider) -> Vec<Address> {
    let all = &drawn.envelope.recipients;
    let first = split(drawn, provider, all);
    let done: Vec<_> = first[..drawn.done.index(first.len() + 1)]
        .iter()
        .flat_map(Addressing::recipients)
        .collect();
    let mut left: Vec<Address> =
        all.iter().filter(|it| !done.iter().any(|done| it.same_mailbox(done))).cloned().collect();
    for index in &drawn.settled {
        if !left.is_empty() {
            let gone = left.remove(index.index(left.len()));
            left.retain(|it| !it.same_mailbox(gone.as_str()));
        }
    }
    left
}

/// Everybody of `pending` gets one of these messages, and nobody else gets any.
fn serve_exactly(kind: ProviderKind, carried: &[Carried], pending: &[Address]) {
    let each = || carried.iter().flat_map(|it| &it.recipients);
    let twice: HashSet<_> = each().map(|it| key(it)).collect();
    assert_eq!(twice.len(), each().count(), "{kind}: somebody gets it twice: {carried:?}");
    let served: BTreeSet<_> = each().map(|it| as_compared(kind, it)).collect();
    let wanted: BTreeSet<_> = pending.iter().map(|it| as_compared(kind, it.as_str())).collect();
    assert_eq!(served, wanted, "{kind}");
}

/// No copy shows more than the header does, and who is hidden stands nowhere in what others read.
fn shows_only_the_header(kind: ProviderKind, carried: &Carried, drawn: &Drawn) {
    let header: Vec<_> = drawn.header.iter().map(|it| key(&it.text())).collect();
    let alone = <&[String; 1]>::try_from(&carried.recipients[..]).ok().map(|[only]| key(only));
    for shown in &carried.shown {
        let shown = key(shown);
        assert!(header.contains(&shown) || alone.as_ref() == Some(&shown), "{kind} shows {shown}");
    }
    let text = String::from_utf8_lossy(&carried.readable);
    let blind = drawn.blind.iter().filter(|it| !header.contains(&key(&it.text())));
    for hidden in drawn.hidden.iter().chain(blind) {
        if alone == Some(key(&hidden.text())) {
            continue;
        }
        for spelling in hidden.spellings() {
            assert!(!contains(&text, &spelling), "{kind} shows {spelling} in\n{text}");
        }
    }
    let crowd = text.matches("crowd-").count();
    let own = usize::from(alone.is_some_and(|alone| alone.starts_with("crowd-")));
    assert!(crowd <= own, "{kind} shows the crowd in\n{text}");
    if let Some(mime) = &carried.mime {
        let header = String::from_utf8_lossy(mime).to_lowercase();
        assert!(!header.contains("\r\nbcc:") && !header.starts_with("bcc:"), "{kind}: {header}");
    }
}

/// The address stands there whole. JSON texts and display names may escape the quotes of a local part.
fn contains(text: &str, address: &str) -> bool {
    let before = |c: char| !(c.is_alphanumeric() || ".+\"".contains(c));
    text.match_indices(address)
        .any(|(at, _)| text.split_at(at).0.chars().next_back().is_none_or(before))
}

fn judged(kind: ProviderKind, provider: &dyn Provider, drawn: &Drawn, pending: &[Address]) {
    let calls = match calls(drawn, provider, pending) {
        Ok(calls) => calls,
        Err(unfit) => {
            // The only reason that these messages give is an address that the service refuses.
            assert!(unfit.reason.contains("address"), "{kind}: {unfit}");
            let narrow = |it: &Address| it.as_str().starts_with('"') || it.as_str().ends_with(']');
            assert!(drawn.envelope.recipients.iter().any(narrow), "{kind}: {unfit}");
            return;
        }
    };
    let copies: Vec<_> = calls.iter().flat_map(|call| carried(kind, call)).collect();
    if kind == ProviderKind::Capture {
        assert_eq!(copies.len(), 0, "it sends nothing");
        return;
    }
    serve_exactly(kind, &copies, pending);
    for call in &calls {
        let recipients: usize = carried(kind, call).iter().map(|it| it.recipients.len()).sum();
        assert!((1..=provider.capabilities().recipients_per_call).contains(&recipients), "{kind}");
    }
    for copy in &copies {
        shows_only_the_header(kind, copy, drawn);
        assert!(!copy.recipients.iter().any(|it| it == STRANGER), "{kind}");
    }
    let Some(batch) = provider.capabilities().batch else { return };
    for members in calls.chunks(batch.calls_max) {
        // A batch is its members, in their order, with nobody added and nobody shown to another's readers.
        let Some(joined) = provider.join(members) else { continue };
        let of_members = members.iter().flat_map(|call| carried(kind, call));
        let expected: Vec<_> = of_members.map(|it| (it.recipients, it.shown)).collect();
        let found: Vec<_> =
            carried(kind, &joined).into_iter().map(|it| (it.recipients, it.shown)).collect();
        assert_eq!(found, expected, "{kind}: joined");
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 128,
        max_shrink_iters: 2048,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(
            "tests/contract/envelope/regressions.txt",
        ))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn calls_serve_the_envelope_and_show_the_header(drawn in drawn()) {
        for (kind, provider) in &*PROVIDERS {
            judged(*kind, &**provider, &drawn, &drawn.envelope.recipients);
            let left = left(&drawn, &**provider);
            judged(*kind, &**provider, &drawn, &left);
        }
    }
}

/// The property means little if most messages are handed back, or none of them hides or repeats anybody.
#[test]
fn the_random_messages_are_of_every_kind() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    let mut runner = TestRunner::deterministic();
    let strategy = drawn();
    let (mut hiding, mut sending, mut splitting, mut repeating, mut outside) = (0, 0, 0, 0, 0);
    for _ in 0..200 {
        let drawn = strategy.new_tree(&mut runner).unwrap().current();
        let recipients = &drawn.envelope.recipients;
        hiding += usize::from(!drawn.hidden.is_empty() && !drawn.header.is_empty());
        splitting += usize::from(recipients.len() > 50);
        let keys = |people: &[Person]| people.iter().map(|it| key(&it.text())).collect::<Vec<_>>();
        let mut known: Vec<_> = recipients.iter().map(|it| key(it.as_str())).collect();
        outside += usize::from(keys(&drawn.header).iter().any(|it| !known.contains(it)));
        known.sort();
        known.dedup();
        repeating += usize::from(known.len() < recipients.len());
        let fit = |(_, provider): &&(_, Arc<dyn Provider>)| {
            calls(&drawn, &**provider, recipients).is_ok()
        };
        sending += PROVIDERS.iter().filter(fit).count();
    }
    for (what, number) in [
        ("hides somebody", hiding),
        ("needs several calls", splitting),
        ("names somebody twice", repeating),
        ("shows somebody who gets nothing", outside),
    ] {
        assert!(number >= 15, "{number} of 200: {what}");
    }
    assert!(sending >= PROVIDERS.len() * 150, "{sending}");
}
