//! What is watched: the figures, and the dashboard, rules and words that are written for them.

mod figures;
mod prometheus;
mod promql;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::process::Command;
use yaml_rust2::{Yaml, YamlLoader};

use crate::support::fake::{FakeProvider, Service};
use crate::support::relay::{Relay, Setup};
use crate::support::smtp::{self, Mail, Session};
use crate::support::tool;
use figures::Figures;
use promql::Asked;

/// What a scraper adds to every figure.
const TARGET: [&str; 2] = ["job", "instance"];

fn contrib(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib").join(path)
}

fn rules_file() -> PathBuf {
    contrib("prometheus/mailferry.rules.yml")
}

/// A relay with two providers that has sent a mail.
async fn relay() -> (Relay, [FakeProvider; 2]) {
    let resend = FakeProvider::resend().await;
    let sendgrid = FakeProvider::start(Service::SendGrid).await;
    let relay = Setup::resend(&resend).and_sendgrid(&sendgrid).start().await;
    let id = smtp::submit(relay.smtp, &Mail::about("measured")).await;
    relay.http.until_message_is(&id, "delivered").await;
    (relay, [resend, sendgrid])
}

async fn figures(relay: &Relay) -> Figures {
    let answer = relay.http.get("/metrics").await;
    assert_eq!(answer.status, 200);
    Figures::read(&answer.text())
}

#[tokio::test]
async fn a_mail_can_be_followed_through_the_figures() {
    let (relay, _providers) = relay().await;
    let session = Session::open(relay.smtp).await.unwrap();
    let test_mail = json!({
        "from": "ada@example.org", "to": "bob@example.net", "subject": "a test", "content": "Hello",
    });
    assert_eq!(relay.http.post("/send-test-email", &test_mail).await.status, 200);
    let figures = figures(&relay).await;
    let is = |name: &str, labels: &[(&str, &str)], value: f64| {
        let own = figures.get(name, labels);
        assert!((own - value).abs() < f64::EPSILON, "{name} {labels:?} is {own}, not {value}");
    };
    is("mailferry_messages_received_total", &[("result", "accepted")], 2.0);
    is("mailferry_accept_seconds_count", &[], 1.0);
    is("mailferry_attempts_total", &[("provider", "resend"), ("outcome", "delivered")], 2.0);
    is("mailferry_attempt_seconds_count", &[("provider", "resend")], 2.0);
    is("mailferry_messages_finished_total", &[("provider", "resend"), ("state", "delivered")], 2.0);
    is("mailferry_provider_state", &[("provider", "sendgrid"), ("state", "up")], 1.0);
    is("mailferry_smtp_replies_total", &[("code", "354")], 1.0);
    is("mailferry_smtp_connections", &[], 1.0);
    is("mailferry_queue_messages", &[("state", "queued")], 0.0);
    assert!(figures.get("process_resident_memory_bytes", &[]) > 1e6);
    assert!(figures.get("process_open_fds", &[]) > 5.0);
    assert!(figures.get("process_start_time_seconds", &[]) > 1.7e9);
    drop(session);
}

#[tokio::test]
async fn both_formats_say_the_same_and_promtool_finds_no_fault() {
    let (relay, _providers) = relay().await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let asked = client.get(relay.http.url("/metrics"));
    let answer = asked.header("accept", "application/openmetrics-text; version=1.0.0");
    let answer = answer.send().await.unwrap();
    let media_type = answer.headers()["content-type"].to_str().unwrap().to_owned();
    assert_eq!(media_type, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    let open_metrics = answer.text().await.unwrap();
    assert!(open_metrics.ends_with("\n# EOF\n"));

    let answer = relay.http.get("/metrics").await;
    assert_eq!(answer.content_type, "text/plain; version=0.0.4; charset=utf-8");
    let text = answer.text();
    let names = |text: &str| -> BTreeSet<String> {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect()
    };
    assert_eq!(names(&open_metrics), names(&text));
    if tool::present("promtool check metrics", &["promtool"]) {
        let mut promtool = Command::new("promtool");
        let output = tool::run(promtool.args(["check", "metrics"]), text.as_bytes()).await;
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
    }
}

#[tokio::test]
async fn nothing_that_clients_say_becomes_a_label() {
    let (relay, _providers) = relay().await;
    let hostile = r#"evil"} 1 \n{x="evil"#;
    let mut session = Session::open(relay.smtp).await.unwrap();
    let login = STANDARD.encode(format!("\0{hostile}\0{hostile}"));
    for line in [
        format!("EHLO {hostile}"),
        format!("AUTH PLAIN {login}"),
        format!("{hostile} {hostile}"),
        format!("MAIL FROM:<\"{hostile}\"@evil.example>"),
        "RSET".to_owned(),
    ] {
        session.command(&line).await.unwrap();
    }
    let mut mail = Mail::about(hostile);
    mail.from = "evil@evil.example".to_owned();
    mail.data = format!("X-Evil: {hostile}\r\n{}", mail.data);
    smtp::submit(relay.smtp, &mail).await;
    let test_mail = json!({
        "from": "ada@example.org", "to": "evil@evil.example", "subject": hostile, "content": hostile, "provider": hostile,
    });
    assert_eq!(relay.http.post("/send-test-email", &test_mail).await.status, 400);
    relay.http.get("/evil").await;

    let figures = figures(&relay).await;
    for sample in &figures.0 {
        for (label, value) in &sample.labels {
            let known = match label.as_str() {
                "provider" | "from" | "to" => {
                    ["resend", "sendgrid", "brought", ""].contains(&value.as_str())
                }
                "code" => value.len() == 3 && value.parse::<u16>().is_ok(),
                "le" => value == "+Inf" || value.parse::<f64>().is_ok(),
                "version" => value == env!("CARGO_PKG_VERSION"),
                "outcome" | "state" | "result" => {
                    value.chars().all(|c| c.is_ascii_lowercase() || c == '_') && value != "evil"
                }
                _ => false,
            };
            assert!(known, "{sample:?}");
        }
    }
}

/// What stands in the repository for somebody who watches: where, and the expression.
fn expressions() -> Vec<(String, String)> {
    let text = fs::read_to_string(rules_file()).unwrap();
    let rules = &YamlLoader::load_from_str(&text).unwrap()[0]["groups"][0]["rules"];
    let rules = rules.as_vec().unwrap().iter();
    let word = |rule: &Yaml, key: &str| rule[key].as_str().unwrap().to_owned();
    let mut found: Vec<(String, String)> =
        rules.map(|rule| (word(rule, "alert"), word(rule, "expr"))).collect();
    let alerts = found.len();
    collect(&dashboard(), "the dashboard", &mut found);
    assert!(alerts >= 15 && found.len() >= alerts + 30, "{} expressions", found.len());
    found
}

fn dashboard() -> Value {
    serde_json::from_slice(&fs::read(contrib("grafana/mailferry.json")).unwrap()).unwrap()
}

/// Every expression below this one, with the title of its panel.
fn collect(value: &Value, title: &str, found: &mut Vec<(String, String)>) {
    match value {
        Value::Object(fields) => {
            let title = fields.get("title").and_then(Value::as_str).unwrap_or(title);
            for (key, value) in fields {
                match (key.as_str(), value) {
                    ("expr" | "expression", Value::String(text)) => {
                        found.push((title.to_owned(), text.clone()));
                    }
                    ("definition", Value::String(text)) => {
                        let inner = text.strip_prefix("label_values(").unwrap();
                        let (selector, label) = inner.rsplit_once(", ").unwrap();
                        let label = label.trim_end_matches(')');
                        found.push((title.to_owned(), format!("count by ({label}) ({selector})")));
                    }
                    _ => collect(value, title, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, title, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[tokio::test]
async fn dashboard_and_rules_ask_for_figures_that_there_are() {
    let (relay, _providers) = relay().await;
    let figures = figures(&relay).await;
    for (place, expression) in expressions() {
        let asked = Asked::of(&expression);
        assert!(!asked.selectors.is_empty(), "{place}: {expression}");
        for selector in &asked.selectors {
            let name = selector.name.as_str();
            // Prometheus makes this one itself.
            assert!(name == "up" || figures.has(name), "{place}: there is no {name}");
            for own in &selector.conditions {
                if TARGET.contains(&own.label.as_str()) {
                    continue;
                }
                let values = figures.label(name, &own.label);
                let values = values.unwrap_or_else(|| panic!("{place}: {name} has no {own:?}"));
                // Of a pattern, the alternatives that are plain words.
                let plain = |value: &&str| !value.contains(['$', '.', '*', '[']);
                for value in own.value.split('|').filter(plain) {
                    assert!(values.contains(value), "{place}: {name} has {values:?}, not {own:?}");
                }
            }
        }
        for label in &asked.labels {
            let known = TARGET.contains(&label.as_str())
                || asked.selectors.iter().any(|own| figures.label(&own.name, label).is_some());
            assert!(known, "{place}: nothing has the label {label}: {expression}");
        }
    }
}

#[tokio::test]
async fn every_expression_of_the_dashboard_can_be_read() {
    if !tool::present("the dashboard's expressions", &["promtool"]) {
        return;
    }
    let mut found = Vec::new();
    collect(&dashboard(), "the dashboard", &mut found);
    let mut rules = String::from("groups:\n  - name: dashboard\n    rules:\n");
    for (number, (_, expression)) in found.iter().enumerate() {
        let expression = expression
            .replace("$__rate_interval", "5m")
            .replace("$__range", "1h")
            .replace('\n', " ");
        let line = json!({ "record": format!("panel_{number}"), "expr": expression });
        // JSON is YAML.
        rules += &format!("      - {line}\n");
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("dashboard.yml");
    fs::write(&file, rules).unwrap();
    let mut check = Command::new("promtool");
    let said = tool::succeed(check.args(["check", "rules"]).arg(&file), b"").await;
    assert!(said.contains(&format!("{} rules found", found.len())));
}

#[tokio::test]
async fn the_rules_fire_when_they_should_and_at_no_other_time() {
    if !tool::present("the alert rules", &["promtool"]) {
        return;
    }
    let tests = contrib("prometheus/mailferry.rules.test.yml");
    let mut check = Command::new("promtool");
    tool::succeed(check.args(["check", "rules"]).arg(rules_file()), b"").await;
    tool::succeed(Command::new("promtool").args(["test", "rules"]).arg(&tests), b"").await;
    // Every alert has fired in a test.
    let tests = fs::read_to_string(tests).unwrap();
    let text = fs::read_to_string(rules_file()).unwrap();
    for alert in text.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        let fires = [
            format!("alertname=\"{alert}\", alertstate=\"firing\", severity"),
            format!("alertname: {alert}\n        eval_time"),
        ];
        assert!(fires.iter().any(|own| tests.contains(own)), "{alert} fires in no test");
    }
}

#[tokio::test]
async fn the_words_of_an_alert_name_labels_that_it_has() {
    let (relay, _providers) = relay().await;
    let figures = figures(&relay).await;
    let text = fs::read_to_string(rules_file()).unwrap();
    let rules = &YamlLoader::load_from_str(&text).unwrap()[0]["groups"][0]["rules"];
    for rule in rules.as_vec().unwrap() {
        let alert = rule["alert"].as_str().unwrap();
        let asked = Asked::of(rule["expr"].as_str().unwrap());
        for key in ["summary", "description", "action"] {
            let words = rule["annotations"][key].as_str();
            let words = words.unwrap_or_else(|| panic!("{alert} has no {key}"));
            assert!(words.len() > 10, "{alert}: {key} says nothing");
            for label in words.split("$labels.").skip(1) {
                let label = label.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap();
                let known = TARGET.contains(&label)
                    || asked.selectors.iter().any(|own| figures.label(&own.name, label).is_some());
                assert!(known, "{alert}: there is no label {label}");
            }
        }
        let severity = rule["labels"]["severity"].as_str().unwrap();
        assert!(["critical", "warning", "info"].contains(&severity), "{alert}: {severity}");
    }
}

#[tokio::test]
async fn every_figure_and_every_alert_is_explained_and_nothing_else() {
    let (relay, _providers) = relay().await;
    let figures = figures(&relay).await;
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/monitoring.md");
    let page = fs::read_to_string(page).unwrap();
    let family = |name: &str| {
        let ending = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        ending.unwrap_or(name).to_owned()
    };
    let shown: BTreeSet<String> = figures.0.iter().map(|own| family(&own.name)).collect();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    let explained: BTreeSet<String> = rows
        .filter(|row| row.starts_with("mailferry_") || row.starts_with("process_"))
        .map(|row| row.split(['{', '`']).next().unwrap().to_owned())
        .collect();
    assert_eq!(explained, shown);
    let text = fs::read_to_string(rules_file()).unwrap();
    for alert in text.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        assert!(page.contains(&format!("| `{alert}`")), "{alert} is not explained");
    }
}
