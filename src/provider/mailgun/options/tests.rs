//! Orders of apps, and what becomes of them.

use serde_json::json;

use super::*;

const RECIPIENTS: [&str; 2] = ["bob@example.net", "kim@xn--vv4b11d.xn--3e0b707e"];

fn made(orders: &[(&str, &str)]) -> (Vec<Field>, Vec<Loss>) {
    let orders: Vec<_> =
        orders.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let mut losses = Vec::new();
    let fields = fields(&orders, &RECIPIENTS.map(str::to_owned), &mut losses);
    (fields, losses)
}

/// The only field that an order becomes.
fn field(header: &str, value: &str) -> (String, String) {
    let (mut fields, losses) = made(&[(header, value)]);
    assert_eq!(losses, [], "{header}: {value}");
    assert_eq!(fields.len(), 1, "{header}: {value}");
    fields.remove(0)
}

/// Why an order is left out.
fn left_out(header: &str, value: &str) -> Loss {
    let (fields, mut losses) = made(&[(header, value)]);
    assert_eq!((fields.len(), losses.len()), (0, 1), "{header}: {value}");
    losses.remove(0)
}

#[test]
fn every_header_of_the_table_has_its_field() {
    for (header, value, name, expected) in [
        ("X-Mailgun-Tag", " September newsletter ", "o:tag", "September newsletter"),
        ("X-Mailgun-Dkim", "no", "o:dkim", "no"),
        ("X-Mailgun-Secondary-DKIM", "example.com,s1", "o:secondary-dkim", "example.com/s1"),
        ("X-Mailgun-Secondary-DKIM", "example.com/s1", "o:secondary-dkim", "example.com/s1"),
        (
            "X-Mailgun-Deliver-By",
            "Fri, 27 Nov 2026 12:00:00 +0000",
            "o:deliverytime",
            "Fri, 27 Nov 2026 12:00:00 +0000",
        ),
        ("X-Mailgun-Deliver-Within", "1h30m", "o:deliver-within", "1h30m"),
        ("X-Mailgun-Deliver-Within", "24H", "o:deliver-within", "24h"),
        ("X-Mailgun-Delivery-Time-Optimize-Period", "72h", "o:deliverytime-optimize-period", "72h"),
        ("X-Mailgun-Time-Zone-Localize", "02:30PM", "o:time-zone-localize", "02:30PM"),
        ("X-Mailgun-Time-Zone-Localize", "14:30", "o:time-zone-localize", "14:30"),
        ("X-Mailgun-Drop-Message", "True", "o:testmode", "yes"),
        ("X-Mailgun-Track", "Yes", "o:tracking", "yes"),
        ("X-Mailgun-Track-Clicks", "htmlonly", "o:tracking-clicks", "htmlonly"),
        ("X-Mailgun-Track-Opens", "false", "o:tracking-opens", "false"),
        ("X-Mailgun-Track-Pixel-Location-Top", "yes", "o:tracking-pixel-location-top", "yes"),
        ("X-Mailgun-Require-TLS", "true", "o:require-tls", "true"),
        ("X-Mailgun-Skip-Verification", "no", "o:skip-verification", "no"),
        ("X-Mailgun-Sending-Ip", "192.0.2.1", "o:sending-ip", "192.0.2.1"),
        (
            "X-Mailgun-Sending-Ip-Pool",
            "60140bc1fee3e84dec5abeeb",
            "o:sending-ip-pool",
            "60140bc1fee3e84dec5abeeb",
        ),
        (
            "X-Mailgun-Archive-To",
            "https://a.example/mail",
            "o:archive-to",
            "https://a.example/mail",
        ),
        ("X-Mailgun-Suppress-Headers", "all", "o:suppress-headers", "all"),
        ("X-Mailgun-Variables", r#"{"user": "u-1"}"#, "v:user", "u-1"),
        ("X-Mailgun-Template-Name", "welcome", "template", "welcome"),
        ("x-mailgun-tAg", "a", "o:tag", "a"),
    ] {
        assert_eq!(field(header, value), (name.to_owned(), expected.to_owned()), "{header}");
    }
}

#[test]
fn what_the_api_cannot_read_is_left_out_and_named() {
    for (header, value, word) in [
        ("X-Mailgun-Tag", "", "1 to 128"),
        ("X-Mailgun-Tag", "한국", "ASCII"),
        ("X-Mailgun-Tag", "a\r\nX-Evil: 1", "control characters"),
        ("X-Mailgun-Dkim", "maybe", "yes or no"),
        ("X-Mailgun-Secondary-DKIM", "example.com", "domain/selector"),
        ("X-Mailgun-Secondary-DKIM", "example.com,a,b", "domain/selector"),
        ("X-Mailgun-Secondary-DKIM-Public", "example.com/s1", "without X-Mailgun-Secondary-DKIM"),
        ("X-Mailgun-Deliver-By", "tomorrow", "a date"),
        ("X-Mailgun-Deliver-Within", "4m", "between 5m"),
        ("X-Mailgun-Deliver-Within", "24h1m", "between 5m"),
        ("X-Mailgun-Deliver-Within", "1h30", "between 5m"),
        ("X-Mailgun-Deliver-Within", "99999h", "between 5m"),
        ("X-Mailgun-Delivery-Time-Optimize-Period", "5h", "between 24h"),
        ("X-Mailgun-Time-Zone-Localize", "25:00", "a time"),
        ("X-Mailgun-Time-Zone-Localize", "13:00pm", "a time"),
        ("X-Mailgun-Drop-Message", "1", "yes or no"),
        ("X-Mailgun-Track-Clicks", "html", "htmlonly"),
        ("X-Mailgun-Sending-Ip", "example.org", "IP address"),
        ("X-Mailgun-Archive-To", "ftp://a.example/", "http"),
        ("X-Mailgun-Variables", "user=1", "JSON"),
        ("X-Mailgun-Variables", "[1]", "JSON"),
        ("X-Mailgun-Template-Variables", r#"{"a": 1}"#, "without X-Mailgun-Template-Name"),
        ("X-Mailgun-Sid", "WyIx", "no such option"),
    ] {
        let loss = left_out(header, value);
        assert_eq!(loss.what, format!("header {header}"));
        assert!(loss.why.contains(word) && !loss.grave, "{header}: {loss:?}");
    }
    // To deliver the message is what is done in any case.
    assert_eq!(made(&[("X-Mailgun-Drop-Message", "no")]), (Vec::new(), Vec::new()));
}

#[test]
fn orders_to_others_are_none_to_mailgun() {
    let others =
        [("X-PM-Tag", "a"), ("X-SMTPAPI", "{}"), ("X-Mailgun", "x"), ("X-한국어한국어", "x")];
    assert_eq!(made(&others), (Vec::new(), Vec::new()));
}

#[test]
fn what_the_text_depends_on_is_a_grave_loss() {
    assert!(left_out("X-Mailgun-Template-Name", " ").grave);
    assert!(left_out("X-Mailgun-Recipient-Variables", "no").grave);
    let template = ("X-Mailgun-Template-Name", "welcome");
    for header in ["X-Mailgun-Variables", "X-Mailgun-Template-Variables"] {
        let (fields, losses) = made(&[template, (header, "no")]);
        assert_eq!(fields, [("template".to_owned(), "welcome".to_owned())]);
        assert!(losses[0].grave, "{losses:?}");
    }
}

#[test]
fn a_tag_may_stand_ten_times_and_other_orders_once() {
    let tags: Vec<String> = (0..12).map(|n| format!("t{n}")).collect();
    let orders: Vec<_> = tags.iter().map(|tag| ("X-Mailgun-Tag", tag.as_str())).collect();
    let (fields, losses) = made(&orders);
    assert_eq!(fields.len(), 10);
    assert_eq!(losses.len(), 2);
    assert!(losses[0].why.contains("10 tags") && !losses[0].grave);

    let (fields, losses) = made(&[("X-Mailgun-Track", "yes"), ("X-Mailgun-Track", "no")]);
    assert_eq!(fields, [("o:tracking".to_owned(), "yes".to_owned())]);
    assert_eq!(losses[0].why, REPEATED);

    let (fields, _) = made(&[
        ("X-Mailgun-Suppress-Headers", "X-Mailgun-Tag"),
        ("X-Mailgun-Suppress-Headers", "X-Mailgun-Sid"),
    ]);
    assert_eq!(
        fields,
        [("o:suppress-headers".to_owned(), "X-Mailgun-Tag,X-Mailgun-Sid".to_owned())]
    );
}

#[test]
fn variables_become_fields_of_their_own() {
    let (fields, losses) = made(&[
        ("X-Mailgun-Variables", r#"{"text": "한국", "number": 7, "list": [1, {"a": null}]}"#),
        ("X-Mailgun-Variables", r#"{"number": 8}"#),
    ]);
    let expected = [("v:text", "한국"), ("v:list", r#"[1,{"a":null}]"#), ("v:number", "8")];
    assert_eq!(fields, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!(losses, []);
}

#[test]
fn a_variable_cannot_end_the_name_of_its_field() {
    for name in ["a\\", "a\"; name=\"to", "a\r\nb", "a\0", ""] {
        let variables = json!({"good": "1", name: "2"});
        let loss = left_out("X-Mailgun-Variables", &variables.to_string());
        assert!(loss.why.contains("no name"), "{loss:?}");
    }
}

#[test]
fn variables_of_recipients_never_name_anybody_else() {
    let variables = json!({
        "bob@EXAMPLE.net": {"id": 1},
        "kim@예시.한국": {"id": 2},
        "eve@example.org": {"id": 3},
        "nobody": {"id": 4}
    });
    let (name, value) = field("X-Mailgun-Recipient-Variables", &variables.to_string());
    assert_eq!(name, "recipient-variables");
    let value: Value = serde_json::from_str(&value).unwrap();
    assert_eq!(value, json!({RECIPIENTS[0]: {"id": 1}, RECIPIENTS[1]: {"id": 2}}));
}

#[test]
fn options_beyond_sixteen_kilobytes_are_left_out_and_named() {
    let large =
        format!(r#"{{"a": "{}", "b": "{}", "c": "1"}}"#, "x".repeat(9000), "y".repeat(9000));
    let (fields, losses) = made(&[("X-Mailgun-Variables", &large), ("X-Mailgun-Tag", "t")]);
    let names: Vec<_> = fields.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["v:a", "v:c", "o:tag"]);
    assert_eq!(losses.len(), 1);
    assert!(
        losses[0].why.contains("16 KB") && losses[0].why.ends_with("left out: b"),
        "{losses:?}"
    );

    let template = ("X-Mailgun-Template-Name", "welcome");
    let large = format!(r#"{{"a": "{}"}}"#, "x".repeat(16_000));
    let (fields, losses) = made(&[template, ("X-Mailgun-Template-Variables", &large)]);
    assert_eq!(fields.len(), 1);
    assert!(losses[0].grave && losses[0].why.contains("16 KB"));
    // The variables of recipients have no such limit.
    let large = format!(r#"{{"bob@example.net": "{}"}}"#, "x".repeat(16_000));
    assert_eq!(made(&[("X-Mailgun-Recipient-Variables", &large)]).0.len(), 1);
}
