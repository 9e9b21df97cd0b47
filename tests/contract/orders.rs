//! Orders in header fields, as the official helpers of SendGrid write the same wishes, and as moto takes them.

use mailferry::config::ProviderKind;
use serde_json::{Value, json};

use crate::letters::steered;
use crate::support::{ask, nowhere, python};

/// What the SDK's own objects make of the same `X-SMTPAPI`, and what we do.
#[tokio::test]
async fn orders_to_sendgrid_agree_with_its_sdk() {
    let Some(python) = python() else { return };
    for sample in steered().iter().take(2) {
        let ours: Value =
            serde_json::from_slice(&sample.call(&*nowhere(ProviderKind::SendGrid)).body).unwrap();
        let smtpapi = &sample.email.options[0].1;
        let input = json!({
            "id": sample.id.to_string(),
            "smtpapi": serde_json::from_str::<Value>(smtpapi).unwrap(),
        });
        let said = ask(&python, "sdk_sendgrid_orders.py", "", &input).await;
        let theirs: Value = serde_json::from_str(&said).unwrap();
        for member in [
            "categories",
            "template_id",
            "send_at",
            "batch_id",
            "asm",
            "ip_pool_name",
            "mail_settings",
            "tracking_settings",
        ] {
            let [ours, theirs] = [&ours, &theirs].map(|body| unordered(body.get(member)));
            assert_eq!(ours, theirs, "{}: {member}", sample.name);
        }
        assert_eq!(people(&ours), people(&theirs), "{}", sample.name);
    }
}

/// The order of a list means nothing; the SDK writes it backwards.
fn unordered(value: Option<&Value>) -> Option<Value> {
    let mut value = value?.clone();
    if let Some(list) = value.as_array_mut() {
        list.sort_by_key(Value::to_string);
    }
    Some(value)
}

/// Who has which values, without names and in the order of the addresses.
fn people(body: &Value) -> Vec<Value> {
    let list = body["personalizations"].as_array().unwrap();
    let mut people: Vec<Value> = list
        .iter()
        .map(|one| {
            json!({
                "to": one["to"][0]["email"],
                "substitutions": one["substitutions"],
                "custom_args": one["custom_args"],
                "send_at": one["send_at"],
            })
        })
        .collect();
    people.sort_by_key(|one| one["to"].to_string());
    people
}
