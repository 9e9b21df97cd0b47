//! Header fields that give orders are for the one provider that they name, and reach nobody as header fields.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::message::{Email, OPTION_PREFIXES, OPTIONS};

/// Stands in every order; nothing else in a message has it.
const MARK: &str = "zqxmark";

/// A name of every order that there is, without what a provider's own request may hold.
fn names() -> impl Strategy<Value = String> {
    let prefixed = (proptest::sample::select(&OPTION_PREFIXES[..]), "[A-Za-z-]{0,12}")
        .prop_map(|(prefix, rest)| format!("{prefix}{rest}"));
    let known = proptest::sample::select(vec![
        "X-PM-Tag",
        "X-PM-Metadata-a",
        "X-PM-Message-Stream",
        "X-PM-KeepID",
        "X-Mailgun-Tag",
        "X-Mailgun-Variables",
        "X-SES-CONFIGURATION-SET",
        "X-SES-MESSAGE-TAGS",
        "X-SES-TENANT",
        "X-Mailin-Tag",
        "X-Mailin-custom",
        "X-MJ-CustomID",
        "X-Mailjet-Prio",
    ]);
    let whole = proptest::sample::select(&OPTIONS[..]);
    let name = prop_oneof![prefixed, known.prop_map(str::to_owned), whole.prop_map(str::to_owned)];
    (name, proptest::collection::vec(any::<bool>(), 40)).prop_map(|(name, upper)| {
        let letter = |(c, upper): (char, bool)| {
            if upper { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() }
        };
        name.chars().zip(upper).map(letter).collect()
    })
}

/// What may stand behind a name: folded, 8-bit, encoded, JSON.
fn values() -> impl Strategy<Value = Vec<u8>> {
    let one_of = [
        MARK.to_owned(),
        format!("{MARK}\r\n\tfolded\r\n  {MARK}"),
        format!("\r\n {MARK}"),
        format!("=?utf-8?Q?{MARK}=0D=0AX-Evil:_1?="),
        format!("한글 {MARK}"),
        format!("{{\"category\": \"{MARK}\", \"to\": [\"{MARK}@x.org\"]}}"),
        format!("a={MARK}, b={MARK}"),
    ];
    let mut all: Vec<Vec<u8>> = one_of.map(String::into_bytes).to_vec();
    all.push([b"\xbe\xc8\xb3\xe7 ", MARK.as_bytes(), b"\xff"].concat());
    proptest::sample::select(all)
}

fn message(orders: &[(String, Vec<u8>)], may_steer: bool) -> Sample {
    let mut raw = Vec::new();
    for (number, (name, value)) in orders.iter().enumerate() {
        raw.extend_from_slice(format!("X-Kept-{number}: yes\r\n{name}: ").as_bytes());
        raw.extend_from_slice(value);
        raw.extend_from_slice(b"\r\n");
    }
    let mut sample = Sample::plain();
    raw.extend_from_slice(&sample.raw);
    sample.email = Email::parse(&raw);
    if !may_steer {
        // As delivery does it.
        sample.email.options.clear();
    }
    sample.raw = raw;
    sample
}

/// Every text in a request: its octets, and what is encoded in them.
fn texts(body: &[u8]) -> Vec<String> {
    fn walk(value: &Value, texts: &mut Vec<String>) {
        match value {
            Value::String(text) => {
                if let Ok(inner) = STANDARD.decode(text) {
                    texts.push(String::from_utf8_lossy(&inner).into_owned());
                }
            }
            Value::Array(items) => items.iter().for_each(|item| walk(item, texts)),
            Value::Object(members) => members.values().for_each(|item| walk(item, texts)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    let mut all = vec![String::from_utf8_lossy(body).into_owned()];
    if let Ok(json) = serde_json::from_slice(body) {
        walk(&json, &mut all);
    }
    all
}

/// Made once: each loads the root certificates.
static ALL: LazyLock<Vec<(ProviderKind, Arc<dyn Provider>)>> =
    LazyLock::new(|| KINDS.into_iter().map(|kind| (kind, made(&config(kind)))).collect());

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn orders_reach_nobody_as_header_fields(
        orders in proptest::collection::vec((names(), values()), 1..6),
        may_steer: bool,
    ) {
        let sample = message(&orders, may_steer);
        for (kind, provider) in ALL.iter() {
            let kind = *kind;
            let call = provider.prepare(&sample.letter()).unwrap();
            for text in texts(&call.body) {
                let text = text.to_ascii_lowercase();
                for (name, _) in &orders {
                    let name = name.to_ascii_lowercase();
                    // With this one we ask for the Message-ID to be kept.
                    let ours = match kind {
                        ProviderKind::Postmark => "x-pm-keepid".starts_with(&name),
                        // Its API takes this one as a field, and gives it back with every event.
                        ProviderKind::Brevo => name == "x-mailin-custom" && may_steer,
                        ProviderKind::Resend
                        | ProviderKind::SendGrid
                        | ProviderKind::Ses
                        | ProviderKind::Mailgun
                        | ProviderKind::Smtp
                        | ProviderKind::Webhook
                        | ProviderKind::Capture => false,
                    };
                    let as_key = format!("\"{name}\"");
                    let as_field = format!("{name}:");
                    let stands = text.contains(&as_key)
                        || text.lines().any(|line| line.starts_with(&as_field));
                    prop_assert!(ours || !stands, "{kind}: {name} in {text}");
                }
                // Within a tag it is a text; at the beginning of a line it would be a field.
                let as_line = ["\nx-evil", "\\nx-evil"].iter().any(|line| text.contains(line));
                prop_assert!(!as_line, "{kind}: {text}");
                prop_assert!(may_steer || !text.contains(MARK), "{kind}: {text}");
            }
            if !may_steer {
                prop_assert_eq!(call.key, None);
            }
        }
    }
}

#[test]
fn an_order_counts_at_its_own_provider_only() {
    let own: [(ProviderKind, &[(&str, &str)]); 3] = [
        (ProviderKind::Resend, &[("Resend-Idempotency-Key", MARK)]),
        (ProviderKind::SendGrid, &[("X-SMTPAPI", r#"{"category": "zqxmark"}"#)]),
        (
            ProviderKind::Ses,
            &[
                ("X-SES-CONFIGURATION-SET", MARK),
                ("X-SES-MESSAGE-TAGS", "a=zqxmark"),
                ("X-SES-TENANT", MARK),
            ],
        ),
    ];
    for (owner, orders) in own {
        for order in orders {
            let order = (order.0.to_owned(), order.1.as_bytes().to_vec());
            for may_steer in [true, false] {
                let sample = message(std::slice::from_ref(&order), may_steer);
                for (kind, provider) in ALL.iter() {
                    let kind = *kind;
                    let call = provider.prepare(&sample.letter()).unwrap();
                    let key = call.key.unwrap_or_default();
                    let body = texts(&call.body).concat();
                    let arrives = key.contains(MARK) || body.contains(MARK);
                    assert_eq!(arrives, may_steer && kind == owner, "{kind}: {}", order.0);
                    assert!(call.losses.iter().all(|loss| !loss.what.contains(&order.0)));
                }
            }
        }
    }
}

#[tokio::test]
async fn a_key_of_the_app_goes_into_the_head_of_the_request() {
    let mut fake = Fake::start([success(ProviderKind::Resend)]).await;
    let provider = made_at(ProviderKind::Resend, &fake);
    let sample = message(&[("Resend-Idempotency-Key".to_owned(), b"order/1042".to_vec())], true);
    let call = provider.prepare(&sample.letter()).unwrap();
    provider.send(&call, &IdempotencyKey::of(sample.id, &call)).await.unwrap();
    assert_eq!(fake.seen().await.header("idempotency-key"), Some("order/1042"));
}

#[tokio::test]
async fn a_key_that_is_taken_is_our_fault_only_where_it_is_ours() {
    let taken = r#"{"name":"invalid_idempotent_request","message":"used"}"#;
    for (orders, verdict) in [
        (vec![], Verdict::Bug),
        (vec![("Resend-Idempotency-Key".to_owned(), b"k".to_vec())], Verdict::Rejected),
    ] {
        let fake = Fake::start([Act::Answer(409, "", taken.to_owned())]).await;
        let provider = made_at(ProviderKind::Resend, &fake);
        let sample = message(&orders, true);
        let call = provider.prepare(&sample.letter()).unwrap();
        let key = IdempotencyKey::of(sample.id, &call);
        assert_eq!(provider.send(&call, &key).await.unwrap_err().verdict, verdict);
    }
}
