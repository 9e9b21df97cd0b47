//! A real Prometheus asks the real program, and its alerts fire. An hour of the rules is a minute here.

use std::collections::BTreeSet;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::rules_file;
use crate::support::fake::{Behaviour, FakeProvider, Service};
use crate::support::relay::{RESEND_KEY, Relay, Setup};
use crate::support::smtp::{self, Mail, Session};
use crate::support::{tool, wait};

const TOKEN: &str = "token-of-the-scraper";

/// An alert waits for a quarter of an hour at most, and looks back for as long; that many seconds here, and patience.
const ALERT_PATIENCE: Duration = Duration::from_secs(120);

/// Prometheus as a child process; it ends with the test.
struct Prometheus {
    _process: Child,
    client: reqwest::Client,
    address: SocketAddr,
    folder: TempDir,
}

impl Prometheus {
    /// Starts one that asks this relay five times a second.
    async fn watching(relay: &Relay) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let rules = fs::read_to_string(rules_file()).unwrap();
        fs::write(folder.path().join("rules.yml"), hurried(&rules)).unwrap();
        let target = relay.http.url("");
        let config = json!({
            "global": { "scrape_interval": "200ms", "scrape_timeout": "200ms", "evaluation_interval": "200ms" },
            "rule_files": ["rules.yml"],
            "scrape_configs": [{
                "job_name": "mailferry",
                "authorization": { "credentials": TOKEN },
                "static_configs": [{ "targets": [target.trim_start_matches("http://")] }],
            }],
        });
        // JSON is YAML.
        fs::write(folder.path().join("prometheus.yml"), config.to_string()).unwrap();
        // It does not say which port the system chose: ours is free a moment before.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let process = Command::new("prometheus")
            .arg("--config.file=prometheus.yml")
            .arg("--storage.tsdb.path=data")
            .arg(format!("--web.listen-address={address}"))
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let client = reqwest::Client::builder().no_proxy().timeout(wait::PATIENCE).build().unwrap();
        let prometheus = Self { _process: process, client, address, folder };
        // For longer than a quarter of an hour of the rules.
        wait::until_within(ALERT_PATIENCE, "Prometheus has asked often enough", async || {
            let asked = prometheus.query("count_over_time(up[10m])").await?;
            let asked: u32 = asked[0]["value"][1].as_str()?.parse().ok()?;
            (asked >= 100).then_some(())
        })
        .await;
        prometheus
    }

    async fn get(&self, path: &str) -> Option<Value> {
        let answer = self.client.get(format!("http://{}{path}", self.address)).send().await.ok()?;
        answer.json::<Value>().await.ok()
    }

    async fn query(&self, expression: &str) -> Option<Value> {
        let answer = self.get(&format!("/api/v1/query?query={expression}")).await?;
        Some(answer["data"]["result"].clone())
    }

    /// The names of the alerts that fire, with whom they concern.
    async fn firing(&self) -> BTreeSet<String> {
        let answer = self.get("/api/v1/alerts").await.unwrap_or_else(|| panic!("{}", self.log()));
        let alerts = answer["data"]["alerts"].as_array().unwrap();
        let firing = alerts.iter().filter(|alert| alert["state"] == "firing");
        let text = |alert: &Value, label: &str| {
            alert["labels"][label].as_str().unwrap_or_default().to_owned()
        };
        firing
            .map(|alert| format!("{} {}", text(alert, "alertname"), text(alert, "provider")))
            .map(|alert| alert.trim_end().to_owned())
            .collect()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

/// The rules with seconds where they have minutes, and minutes where they have hours.
fn hurried(rules: &str) -> String {
    let faster = |line: &str| {
        if let Some(minutes) = line.strip_suffix('m').filter(|line| line.contains(" for: ")) {
            return format!("{minutes}s");
        }
        line.replace("m]", "s]").replace("h]", "m]")
    };
    rules.lines().map(faster).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn alerts_fire_on_a_revoked_key_and_a_growing_queue_and_are_quiet_before() {
    if !tool::present("alerts of a real Prometheus", &["prometheus"]) {
        return;
    }
    let resend = FakeProvider::resend().await;
    let sendgrid = FakeProvider::start(Service::SendGrid).await;
    let setup = Setup::resend(&resend).and_sendgrid(&sendgrid).set("http.token", TOKEN);
    let mut relay = setup.start().await;
    relay.http = relay.http.with_token(TOKEN);
    for number in 0..5 {
        let id = smtp::submit(relay.smtp, &Mail::about(&format!("before {number}"))).await;
        relay.http.until_message_is(&id, "delivered").await;
    }
    let prometheus = Prometheus::watching(&relay).await;
    let quiet = prometheus.firing().await;
    assert!(quiet.is_empty(), "{quiet:?}");

    resend.revoke(RESEND_KEY);
    let id = smtp::submit(relay.smtp, &Mail::about("by the other")).await;
    assert_eq!(relay.http.until_message_is(&id, "delivered").await["provider"], "sendgrid");
    let refused = "MailferryProviderMisconfigured resend";
    let both = wait::until_within(ALERT_PATIENCE, "the refused key is told", async || {
        let firing = prometheus.firing().await;
        (firing.contains(refused) && firing.contains("MailferryFailover")).then_some(firing)
    })
    .await;
    assert_eq!(both.len(), 2, "{both:?}");

    sendgrid.behave_in_everything(&Behaviour::answer(500, "{}"));
    let mut session = Session::open(relay.smtp).await.unwrap();
    let grows = wait::until_within(ALERT_PATIENCE, "the growing queue is told", async || {
        // A few at a time: what counts is that it goes on growing.
        for _ in 0..5 {
            session.send(&Mail::about("waits")).await.unwrap().queue_id();
        }
        let firing = prometheus.firing().await;
        firing.contains("MailferryQueueGrowing").then_some(firing)
    })
    .await;
    for expected in [refused, "MailferryNoProvider", "MailferryProviderDown sendgrid"] {
        assert!(grows.contains(expected), "{expected} is not in {grows:?}");
    }
    for quiet in ["MailferryDown", "MailferryStoreUnavailable", "MailferryMailNotStored"] {
        assert!(!grows.contains(quiet), "{grows:?}");
    }

    resend.restore(RESEND_KEY);
    sendgrid.behave_in_everything(&Behaviour::Normal);
    wait::until_within(ALERT_PATIENCE, "everything is well again", async || {
        let firing = prometheus.firing().await;
        let over = [refused, "MailferryNoProvider", "MailferryQueueGrowing"];
        (!over.iter().any(|alert| firing.contains(*alert))).then_some(())
    })
    .await;
    relay.stop().await;
}
