use serde_json::json;

use super::*;
use crate::message::Email;
use crate::provider::samples::Sample;

/// The orders of a message with these fields, and the names of what was lost.
fn orders(fields: &[&str]) -> (Orders, Vec<String>) {
    let mut sample = Sample::plain();
    let option = |value: &&str| ("x-smtpapi".to_owned(), (*value).to_owned());
    sample.email.options = fields.iter().map(option).collect();
    let mut losses = Vec::new();
    let orders = read(&sample.letter(), &mut losses);
    assert!(losses.iter().all(|loss| !loss.grave), "{losses:?}");
    (orders, losses.into_iter().map(|loss| loss.what).collect())
}

fn of_json(value: &Value) -> (Orders, Vec<String>) {
    orders(&[&value.to_string()])
}

/// Accepted at 2026-11-21T10:00:00Z.
const NOW: i64 = 1_795_255_200;

#[test]
fn every_member_has_its_place() {
    let (orders, losses) = of_json(&json!({
        "category": ["Orders", "주문"],
        "unique_args": {"order": "12345", "attempt": 2, "retry": true},
        "send_at": NOW + 60,
        "batch_id": "MWQxZmIy",
        "asm_group_id": 7,
        "asm_groups_to_display": [7, 8],
        "ip_pool": "pool_name",
        "filters": {"clicktrack": {"settings": {"enable": 0}}},
        "to": ["Ben <ben@example.org>", "<joe@example.org>", "ann@example.org"],
        "sub": {"%name%": ["Ben", "Joe", 3], "%all%": "same"},
        "section": {"%s%": "text"},
    }));
    assert_eq!(losses, [""; 0]);
    let text = |text: &str| text.to_owned();
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(orders.categories, ["Orders", "주문"]);
    let arguments = [pair("order", "12345"), pair("attempt", "2"), pair("retry", "true")];
    assert_eq!(orders.arguments, arguments);
    assert_eq!(orders.send_at, Some(NOW + 60));
    assert_eq!(orders.batch_id.as_deref(), Some("MWQxZmIy"));
    assert_eq!(orders.asm, Some(Asm { group_id: 7, groups_to_display: vec![7, 8] }));
    assert_eq!(orders.ip_pool_name.as_deref(), Some("pool_name"));
    assert_eq!(orders.settings.tracking["click_tracking"], json!({"enable": false}));
    assert_eq!(orders.each.to, ["ben@example.org", "joe@example.org", "ann@example.org"]);
    assert_eq!(
        orders.each.substitutions,
        [
            (text("%name%"), vec![text("Ben"), text("Joe"), text("3")]),
            (text("%all%"), vec![text("same")])
        ]
    );
    assert_eq!(orders.each.sections, [pair("%s%", "text")]);
}

#[test]
fn one_value_is_a_list_of_one_and_numbers_may_be_texts() {
    let (orders, losses) = of_json(&json!({
        "category": "Orders", "send_at": NOW.to_string(), "to": "a@example.org",
        "asm": {"group_id": "7", "groups_to_display": [1]}
    }));
    assert_eq!(losses, [""; 0]);
    assert_eq!(orders.categories, ["Orders"]);
    assert_eq!(orders.send_at, Some(NOW));
    assert_eq!(orders.each.to, ["a@example.org"]);
    assert_eq!(orders.asm, Some(Asm { group_id: 7, groups_to_display: vec![1] }));
}

#[test]
fn what_is_empty_is_as_if_it_were_not_there() {
    let nothing = json!({
        "to": [], "sub": {}, "unique_args": {}, "category": "", "section": {}, "filters": {},
        "send_at": null, "asm_groups_to_display": []
    });
    assert_eq!(of_json(&nothing), (Orders::default(), vec![]));
    assert_eq!(of_json(&json!({})), (Orders::default(), vec![]));
    assert_eq!(orders(&[]), (Orders::default(), vec![]));
}

#[test]
fn a_field_that_is_no_object_is_named_and_the_message_goes_on() {
    let long = format!("{{\"category\": \"{}\"}}", "x".repeat(BYTES_MAX));
    let deep = "[".repeat(100_000);
    for text in ["", "{", "[]", "null", "{\"category\": }", "{'a': 1}", &long, &deep] {
        let (orders, losses) = orders(&[text]);
        assert_eq!(orders, Orders::default());
        assert_eq!(losses, ["X-SMTPAPI the whole field"]);
    }
}

#[test]
fn of_several_fields_the_first_counts() {
    let (orders, losses) = orders(&[r#"{"category":"a"}"#, r#"{"category":"b"}"#]);
    assert_eq!(orders.categories, ["a"]);
    assert_eq!(losses, ["X-SMTPAPI a further field"]);
}

#[test]
fn it_is_read_folded_encoded_and_escaped() {
    let folded =
        "X-SMTPAPI: {\"category\":\r\n\t[\"a b\",\r\n \"c\"], \"batch_id\": \"x\ty\"}\r\n\r\n";
    let base64 = "x-smtpapi: =?utf-8?B?eyJjYXRlZ29yeSI6WyJhIGIi?=\r\n =?utf-8?B?LCJjIl0sImJhdGNoX2lkIjoieCB5In0=?=\r\n\r\n";
    let quoted = "X-SmtpApi : =?us-ascii?Q?{=22category=22:[=22a_b=22,=22c=22],=22batch=5Fid=22:=22x_y=22}?=\r\n\r\n";
    let escaped =
        "X-SMTPAPI: {\"category\": [\"\\u0061 b\", \"c\"], \"batch_id\": \"x y\"}\r\n\r\n";
    for raw in [folded, base64, quoted, escaped] {
        let mut sample = Sample::plain();
        sample.email = Email::parse(raw.as_bytes());
        let mut losses = Vec::new();
        let orders = read(&sample.letter(), &mut losses);
        assert_eq!(losses, [], "{raw}");
        assert_eq!(orders.categories, ["a b", "c"], "{raw}");
        assert_eq!(orders.batch_id.as_deref(), Some("x y"));
    }
}

#[test]
fn values_of_the_wrong_kind_are_named_and_the_others_stay() {
    let (orders, losses) = of_json(&json!({
        "category": ["good", ["bad"]],
        "unique_args": {"good": "1", "bad": {"a": 1}},
        "send_at": "tomorrow",
        "batch_id": {"x": 1},
        "asm_group_id": 1.5,
        "ip_pool": "x",
        "section": "x",
        "something": 1,
    }));
    assert_eq!(orders.categories, ["good"]);
    assert_eq!(orders.arguments, [("good".to_owned(), "1".to_owned())]);
    assert_eq!((orders.send_at, orders.batch_id, orders.asm), (None, None, None));
    let mut losses = losses;
    losses.sort();
    assert_eq!(
        losses,
        [
            "X-SMTPAPI asm_group_id",
            "X-SMTPAPI batch_id",
            "X-SMTPAPI category",
            "X-SMTPAPI ip_pool",
            "X-SMTPAPI section",
            "X-SMTPAPI send_at",
            "X-SMTPAPI something",
            "X-SMTPAPI unique_args.bad",
        ]
    );
}

#[test]
fn limits_of_the_api_are_kept() {
    let many: Vec<String> = (0..12).map(|n| format!("c{n}")).collect();
    let (orders, losses) = of_json(&json!({"category": many}));
    assert_eq!(orders.categories, many[..10]);
    assert_eq!(losses, ["X-SMTPAPI category c10", "X-SMTPAPI category c11"]);

    let (orders, losses) =
        of_json(&json!({"category": ["a", "a", "ü".repeat(255), "ü".repeat(256)]}));
    assert_eq!(orders.categories.len(), 2, "each once");
    assert_eq!(losses, ["X-SMTPAPI category"]);

    let groups: Vec<i64> = (0..26).collect();
    let (orders, losses) = of_json(&json!({"asm_group_id": 1, "asm_groups_to_display": groups}));
    assert_eq!(orders.asm.unwrap().groups_to_display.len(), 25);
    assert_eq!(losses, ["X-SMTPAPI asm_groups_to_display"]);
    let (orders, losses) = of_json(&json!({"asm_groups_to_display": [1]}));
    assert_eq!((orders.asm, losses.len()), (None, 1));

    let three_days = 72 * 60 * 60;
    assert_eq!(of_json(&json!({"send_at": NOW + three_days})).0.send_at, Some(NOW + three_days));
    let (orders, losses) = of_json(&json!({"send_at": NOW + three_days + 1}));
    assert_eq!((orders.send_at, losses), (None, vec!["X-SMTPAPI send_at".to_owned()]));
}

#[test]
fn send_at_and_send_each_at_do_not_go_together() {
    let (orders, losses) = of_json(&json!({"send_at": NOW, "send_each_at": [NOW, NOW]}));
    assert_eq!((orders.send_at, orders.each.send_at), (Some(NOW), vec![]));
    assert_eq!(losses, ["X-SMTPAPI send_each_at"]);
    let (orders, losses) = of_json(&json!({"send_each_at": [NOW, "x", NOW]}));
    assert_eq!(orders.each.send_at, [0; 0], "no time may become that of somebody else");
    assert_eq!(losses, ["X-SMTPAPI send_each_at"]);
}

#[test]
fn the_record_of_losses_stays_short() {
    let members: Map<String, Value> =
        (0..1000).map(|n| (format!("{n}{}", "x".repeat(1000)), json!(1))).collect();
    let (_, losses) = of_json(&Value::Object(members));
    assert_eq!(losses.len(), LOSSES_MAX + 1);
    assert!(losses.iter().all(|what| what.len() < 120));
    assert_eq!(losses[LOSSES_MAX], "X-SMTPAPI: 980 further members");
}
