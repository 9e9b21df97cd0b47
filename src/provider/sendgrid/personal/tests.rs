use serde_json::{Value, json};

use crate::message::Addressing;
use crate::provider::samples::{Sample, mailbox};
use crate::provider::sendgrid::request::build;

const ID: &str = "0198c0de-0000-7000-8000-000000000001";

/// Bob in To, Ann in Cc, Eve hidden, in this order of the envelope: Eve, Bob, Ann.
fn sample(smtpapi: &Value) -> Sample {
    let mut sample = Sample::plain();
    let ann = mailbox("Ann", "ann@example.net");
    sample.email.cc = vec![ann.clone()];
    sample.email.text = Some("Dear %name%".to_owned());
    sample.addressing.cc = vec![ann];
    sample.addressing.bcc = vec!["eve@example.net".parse().unwrap()];
    sample.envelope.recipients = ["eve@example.net", "bob@example.net", "ann@example.net"]
        .map(|it| it.parse().unwrap())
        .to_vec();
    sample.email.options = vec![("X-SMTPAPI".to_owned(), smtpapi.to_string())];
    sample
}

fn built(sample: &Sample) -> (Value, Vec<(String, bool)>) {
    let call = build(&sample.letter()).unwrap();
    let losses = call.losses.into_iter().map(|loss| (loss.what, loss.grave)).collect();
    let body: Value = serde_json::from_slice(&call.body).unwrap();
    (body["personalizations"].clone(), losses)
}

fn alone() -> (String, bool) {
    ("headers To and Cc".to_owned(), false)
}

fn everybody(values: &Value) -> Value {
    let mut one = json!([{
        "to": [{"email": "bob@example.net", "name": "Bob"}],
        "cc": [{"email": "ann@example.net", "name": "Ann"}],
        "bcc": [{"email": "eve@example.net"}],
        "custom_args": {"mailferry_id": ID},
    }]);
    for (name, value) in values.as_object().unwrap() {
        one[0][name] = value.clone();
    }
    one
}

#[test]
fn values_of_everybody_leave_the_recipients_together() {
    let (people, losses) = built(&sample(&json!({"unique_args": {"a": "1"}})));
    assert_eq!(people, everybody(&json!({"custom_args": {"a": "1", "mailferry_id": ID}})));
    assert_eq!(losses, []);

    let (people, losses) = built(&sample(&json!({"sub": {"%name%": ["you", "you", "you"]}})));
    assert_eq!(people, everybody(&json!({"substitutions": {"%name%": "you"}})));
    assert_eq!(losses, []);
}

#[test]
fn values_of_single_recipients_are_paired_with_to_and_show_each_alone() {
    let (people, losses) = built(&sample(&json!({
        "to": ["Ann <ANN@example.net>", "bob@EXAMPLE.net", "eve@example.net"],
        "sub": {"%name%": ["Ann", "Bob", "Eve"]},
        "unique_args": {"who": "for %name%"},
        "send_each_at": [1_795_255_201, 1_795_255_202],
    })));
    assert_eq!(
        people,
        json!([
            {
                "to": [{"email": "bob@example.net", "name": "Bob"}],
                "custom_args": {"who": "for Bob", "mailferry_id": ID},
                "substitutions": {"%name%": "Bob"},
                "send_at": 1_795_255_202
            },
            {
                "to": [{"email": "ann@example.net", "name": "Ann"}],
                "custom_args": {"who": "for Ann", "mailferry_id": ID},
                "substitutions": {"%name%": "Ann"},
                "send_at": 1_795_255_201
            },
            {
                "to": [{"email": "eve@example.net"}],
                "custom_args": {"who": "for Eve", "mailferry_id": ID},
                "substitutions": {"%name%": "Eve"}
            }
        ])
    );
    assert_eq!(losses, [alone()]);
}

#[test]
fn without_to_the_lists_follow_the_envelope_in_every_call() {
    let orders = json!({"sub": {"%name%": ["Eve", "Bob", "Ann"]}});
    let mut sample = sample(&orders);
    let (people, _) = built(&sample);
    let names = |people: &Value| -> Vec<(Value, Value)> {
        let people = people.as_array().unwrap().iter();
        let pair =
            |it: &Value| (it["to"][0]["email"].clone(), it["substitutions"]["%name%"].clone());
        people.map(pair).collect()
    };
    let expected =
        [("bob@example.net", "Bob"), ("ann@example.net", "Ann"), ("eve@example.net", "Eve")];
    assert_eq!(names(&people), expected.map(|(who, name)| (json!(who), json!(name))));

    // A call for a part of them.
    sample.addressing =
        Addressing { to: vec![mailbox("", "eve@example.net")], ..Addressing::default() };
    assert_eq!(names(&built(&sample).0), [(json!("eve@example.net"), json!("Eve"))]);
}

#[test]
fn nobody_gets_mail_because_of_to_or_bcc() {
    let (people, losses) = built(&sample(&json!({
        "to": ["bob@example.net", "stranger@example.net", "other@example.net", "ann@example.net", "eve@example.net"],
        "filters": {"bcc": {"settings": {"enable": 1, "email": "spy@example.net"}}},
    })));
    assert_eq!(people, everybody(&json!({})));
    assert_eq!(
        losses,
        [
            ("X-SMTPAPI filters.bcc".to_owned(), false),
            ("X-SMTPAPI to: 2 of 5 addresses".to_owned(), true)
        ]
    );
}

#[test]
fn a_recipient_who_would_read_the_tags_is_a_grave_loss() {
    let orders = json!({"to": ["bob@example.net", "ann@example.net"], "sub": {"%name%": ["Bob"]}});
    let mut sample = sample(&orders);
    let what = "X-SMTPAPI sub: for 2 of 3 recipients".to_owned();
    assert_eq!(built(&sample).1, [(what.clone(), true), alone()]);
    sample.email.text = Some("Dear all".to_owned());
    assert_eq!(built(&sample).1, [(what.clone(), false), alone()], "nobody sees it");
    let templated = json!({
        "to": ["bob@example.net", "ann@example.net"], "sub": {"%name%": ["Bob"]},
        "filters": {"templates": {"settings": {"enable": 1, "template_id": "5997"}}}
    });
    sample.email.options[0].1 = templated.to_string();
    assert_eq!(built(&sample).1, [(what, true), alone()], "the template may have it");
}

#[test]
fn sections_are_put_into_substitutions() {
    let (people, losses) = built(&sample(&json!({
        "sub": {"%name%": ["%hi%", "%hi%", "plain %who%"], "%who%": ["Eve", "Bob", "Ann"]},
        "section": {"%hi%": "dear %who%"},
    })));
    let names: Vec<_> =
        (0..3).map(|n| people[n]["substitutions"]["%name%"].as_str().unwrap()).collect();
    assert_eq!(names, ["dear Bob", "plain %who%", "dear Eve"], "tags in plain values stay");
    assert_eq!(losses, [alone()]);
}

#[test]
fn substitutions_and_arguments_stay_within_the_limits() {
    let long = "x".repeat(10_000);
    let (people, losses) = built(&sample(&json!({
        "sub": {"%name%": ["you", long, "you"]}, "unique_args": {"a": long, "b": "1"},
    })));
    assert_eq!(people[0].get("substitutions"), None, "Bob's are too long");
    assert_eq!(people[1]["substitutions"], json!({"%name%": "you"}));
    assert_eq!(people[1]["custom_args"], json!({"mailferry_id": ID}));
    let what = |what: &str, grave| (format!("X-SMTPAPI {what}"), grave);
    assert_eq!(
        losses,
        [what("sub: for 1 of 3 recipients", true), what("unique_args", false), alone()]
    );

    // A section that grows without end.
    let grows = json!({
        "sub": {"%name%": ["%a%".repeat(1000)]}, "section": {"%a%": "y".repeat(9000)}
    });
    let (people, losses) = built(&sample(&grows));
    assert_eq!(people, everybody(&json!({})), "nobody has one");
    assert_eq!(losses.len(), 2);
}

#[test]
fn our_argument_stays_ours() {
    let (people, losses) = built(&sample(&json!({"unique_args": {"mailferry_id": "theirs"}})));
    assert_eq!(people, everybody(&json!({})));
    assert_eq!(losses, [("X-SMTPAPI unique_args.mailferry_id".to_owned(), false)]);
}

#[test]
fn a_dynamic_template_goes_without_substitutions() {
    let (people, losses) = built(&sample(&json!({
        "sub": {"%name%": ["you", "you", "you"]},
        "filters": {"templates": {"settings": {"enable": 1, "template_id": "d-1"}}}
    })));
    assert_eq!(people, everybody(&json!({})));
    assert_eq!(losses, [("X-SMTPAPI sub".to_owned(), true)]);
}
