//! Messages whose header fields give SendGrid, SES and Resend orders.

use super::Sample;

/// All of them, lines ended by LF here.
pub(crate) fn steered() -> Vec<Sample> {
    let bob: &[&str] = &["bob@example.net"];
    let three: &[&str] = &["bob@example.net", "ann@example.net", "hidden@example.net"];
    vec![
        Sample::new("every order to SendGrid", bob, &with(SENDGRID)),
        Sample::new("values of single recipients", three, &with(PERSONAL)),
        Sample::new("orders to SendGrid that are none", bob, &with(WRONG)),
        Sample::new(TO_SES, bob, &with(SES)),
        Sample::new("a key of the app", bob, &with("Resend-Idempotency-Key: order/1042\n")),
    ]
}

/// The message with every order to SES.
pub(crate) const TO_SES: &str = "every order to SES";

fn with(orders: &str) -> String {
    format!("{orders}{MESSAGE}")
}

const MESSAGE: &str = "\
From: Ada <ada@example.org>
To: Bob <bob@example.net>
Cc: Ann <ann@example.net>
Subject: Tea for %name%
Date: Sat, 21 Nov 2026 10:00:00 +0000
Message-ID: <1@example.org>
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8

Dear %name%, %when%.
";

const SENDGRID: &str = r#"X-SMTPAPI: {"category": ["Orders", "Tea"],
 "unique_args": {"order": "12345", "attempt": 2, "retry": true},
 "send_at": 1795255300, "batch_id": "MWQxZmIyODYtNjE1Ni0xMWU1",
 "asm_group_id": 7, "asm_groups_to_display": [7, 8], "ip_pool": "transactional",
 "filters": {
  "clicktrack": {"settings": {"enable": 1, "enable_text": true}},
  "opentrack": {"settings": {"enable": 1, "replace": "%open%"}},
  "subscriptiontrack": {"settings": {"enable": 1, "text/html": "<% here %>",
   "text/plain": "<% %>", "replace": "[unsubscribe]"}},
  "ganalytics": {"settings": {"enable": 1, "utm_source": "shop", "utm_medium": "email",
   "utm_term": "tea", "utm_content": "order", "utm_campaign": "autumn"}},
  "footer": {"settings": {"enable": 1, "text/html": "<p>bye</p>", "text/plain": "bye"}},
  "bypass_spam_management": {"settings": {"enable": 1}},
  "bypass_bounce_management": {"settings": {"enable": 1}},
  "bypass_unsubscribe_management": {"settings": {"enable": 1}},
  "templates": {"settings": {"enable": 1, "template_id": "5997fcf6-2b9f"}}},
 "sub": {"%name%": ["Bob"], "%when%": ["%five%"]}, "section": {"%five%": "at five"}}
"#;

const PERSONAL: &str = r#"X-SMTPAPI: {"to": ["ann@example.net", "bob@example.net", "hidden@example.net"],
 "sub": {"%name%": ["Ann", "Bob", "Eve"], "%when%": ["now", "now", "now"]},
 "send_each_at": [1795255300, 1795255301, 1795255302], "unique_args": {"who": "%name%"}}
"#;

const WRONG: &str = r#"X-SMTPAPI: {"category": {"a": 1}, "unique_args": ["x"], "send_at": -5, "asm_group_id": "seven",
 "ip_pool": "", "batch_id": 12, "filters": {"clicktrack": {"settings": {"enable": "maybe"}},
 "bypass_list_management": {"settings": {"enable": 1}}, "bypass_spam_management": {"settings": {"enable": 1}}}}
"#;

const SES: &str = "\
X-SES-CONFIGURATION-SET: events
X-SES-MESSAGE-TAGS: app=shop, kind=order
X-SES-SOURCE-ARN: arn:aws:ses:eu-west-1:123456789012:identity/example.org
X-SES-RETURN-PATH-ARN: arn:aws:ses:eu-west-1:123456789012:identity/example.org
X-SES-LIST-MANAGEMENT-OPTIONS: readers; topic=tea
X-SES-TENANT: tenant-1
";
