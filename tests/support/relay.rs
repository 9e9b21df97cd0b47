//! The real program as a child process, in a folder of its own.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::sync::Arc;

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::fake::FakeProvider;
use super::http::Api;
use super::tool;
use super::wait;

/// The API key that every relay of the tests has; it must never be seen anywhere.
pub(crate) const RESEND_KEY: &str = "re_test_Secret123";

/// How a relay is started.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    home: Arc<TempDir>,
    environment: BTreeMap<String, String>,
    /// A program that starts the relay, with its arguments: for limits and namespaces.
    wrapper: Vec<String>,
    command: Vec<String>,
}

impl Setup {
    /// Nothing configured but free ports and a readable log. The command is `serve`.
    pub(crate) fn bare() -> Self {
        let home = tempfile::Builder::new().prefix("mailferry-test-").tempdir().unwrap();
        let setup = Self {
            home: Arc::new(home),
            environment: BTreeMap::new(),
            wrapper: Vec::new(),
            command: vec!["serve".to_owned()],
        };
        setup
            .set("smtp.listen", "127.0.0.1:0")
            .set("http.listen", "127.0.0.1:0")
            .set("log.format", "json")
    }

    /// A relay whose one provider is this fake Resend. It hurries: a back-off of milliseconds, no rate.
    pub(crate) fn resend(fake: &FakeProvider) -> Self {
        Self::bare()
            .env("RESEND_API_KEY", RESEND_KEY)
            .set("providers.resend.base_url", &fake.url())
            .set("providers.resend.rate", "10000/s")
            .set("delivery.retry_min", "100ms")
            .set("delivery.retry_max", "400ms")
    }

    /// Delivers to `fake` by SES.
    pub(crate) fn ses(fake: &FakeProvider) -> Self {
        Self::bare()
            .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
            .env("AWS_REGION", "eu-central-1")
            .set("providers.ses.base_url", &fake.url())
            .set("delivery.providers", "ses")
    }

    /// Adds a fake SendGrid as the next provider.
    pub(crate) fn and_sendgrid(self, fake: &FakeProvider) -> Self {
        self.env("SENDGRID_API_KEY", "SG.test")
            .set("providers.sendgrid.base_url", &fake.url())
            .set("delivery.providers", "resend,sendgrid")
    }

    /// Sets one value of the configuration: `smtp.listen` becomes `MAILFERRY__SMTP__LISTEN`.
    pub(crate) fn set(self, key: &str, value: &str) -> Self {
        let name = format!("MAILFERRY__{}", key.replace('.', "__").to_uppercase());
        self.env(&name, value)
    }

    /// Sets an environment variable.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Another command than `serve`.
    pub(crate) fn command(mut self, words: &[&str]) -> Self {
        self.command = words.iter().map(ToString::to_string).collect();
        self
    }

    /// Starts the relay through another program.
    pub(crate) fn through(mut self, words: &[&str]) -> Self {
        self.wrapper = words.iter().map(ToString::to_string).collect();
        self
    }

    /// The working directory of the relay: its store is here unless the configuration says otherwise.
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    fn process(&self) -> Command {
        let binary = env!("CARGO_BIN_EXE_mailferry");
        let mut command = if let Some((program, rest)) = self.wrapper.split_first() {
            let mut command = Command::new(program);
            command.args(rest).arg(binary);
            command
        } else {
            Command::new(binary)
        };
        command.args(&self.command).current_dir(self.home()).env_clear();
        for name in ["PATH", "LLVM_PROFILE_FILE"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.envs(&self.environment).kill_on_drop(true);
        command
    }

    /// Runs a command that ends by itself, with the same configuration.
    pub(crate) async fn run(&self, words: &[&str]) -> Output {
        tool::run(&mut self.clone().command(words).process(), b"").await
    }

    /// Runs the configured command, which must end by itself.
    pub(crate) async fn run_to_end(&self) -> Output {
        tool::run(&mut self.process(), b"").await
    }

    /// Starts the relay and waits until both sides listen.
    pub(crate) async fn start(&self) -> Relay {
        let log = self.home().join("relay.log");
        let out = OpenOptions::new().create(true).append(true).open(&log).unwrap();
        let begin = out.metadata().unwrap().len();
        let err: File = out.try_clone().unwrap();
        let mut command = self.process();
        command.stdin(Stdio::null()).stdout(out).stderr(err);
        let mut child = command.spawn().unwrap();
        let pid = child.id().unwrap();

        let said = || log_since(&log, begin);
        let with_tls = self.environment.contains_key("MAILFERRY__SMTP__LISTEN_TLS");
        let (smtp, smtps, http) = wait::until("the relay listens", async || {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("the relay ended with {status}:\n{}", said());
            }
            let text = said();
            let smtps = listening(&text, "smtps");
            if with_tls && smtps.is_none() {
                return None;
            }
            Some((listening(&text, "smtp")?, smtps, listening(&text, "http")?))
        })
        .await;
        Relay { setup: self.clone(), child, pid, smtp, smtps, http: Api::new(http), log, begin }
    }
}

/// The address of the log line that says where `protocol` listens.
fn listening(log: &str, protocol: &str) -> Option<SocketAddr> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut fields = lines.map(|line| line.get("fields").cloned().unwrap_or(line));
    let found =
        fields.find(|line| line["message"] == "listening" && line["protocol"] == protocol)?;
    found["address"].as_str()?.parse().ok()
}

fn log_since(log: &Path, begin: u64) -> String {
    let bytes = std::fs::read(log).unwrap_or_default();
    let begin = usize::try_from(begin).unwrap();
    String::from_utf8_lossy(bytes.get(begin..).unwrap_or_default()).into_owned()
}

/// A running relay. It is killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Relay {
    setup: Setup,
    child: Child,
    pid: u32,
    pub(crate) smtp: SocketAddr,
    smtps: Option<SocketAddr>,
    pub(crate) http: Api,
    log: PathBuf,
    begin: u64,
}

impl Relay {
    /// The process id.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// The listener that speaks TLS from the first octet, which must have been set up.
    pub(crate) fn smtps(&self) -> SocketAddr {
        self.smtps.expect("smtp.listen_tls is not set")
    }

    /// What this run has logged so far.
    pub(crate) fn log(&self) -> String {
        log_since(&self.log, self.begin)
    }

    /// How it was started.
    pub(crate) fn setup(&self) -> &Setup {
        &self.setup
    }

    /// Ends it between two instructions.
    pub(crate) async fn kill_9(mut self) -> Setup {
        self.child.start_kill().unwrap();
        self.wait_exit().await;
        self.setup.clone()
    }

    /// Asks it to end.
    pub(crate) async fn sigterm(&self) {
        self.signal("TERM").await;
    }

    /// Asks it to read its configuration again, and does not wait for it.
    pub(crate) async fn sighup(&self) {
        self.signal("HUP").await;
    }

    /// Sends it a signal by its name, such as `STOP`.
    pub(crate) async fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.pid);
        tool::succeed(Command::new("sh").args(["-c", &kill]), b"").await;
    }

    /// Has it read its configuration again; what it has said about that.
    pub(crate) async fn reload(&self) -> String {
        let before = self.log().len();
        self.sighup().await;
        wait::until("the configuration is read again", async || {
            let said = self.log().split_off(before);
            let ended = ["configuration reloaded", "the configuration was not reloaded"];
            ended.iter().any(|end| said.contains(end)).then_some(said)
        })
        .await
    }

    /// Waits for its end.
    pub(crate) async fn wait_exit(&mut self) -> ExitStatus {
        match timeout(wait::PATIENCE * 2, self.child.wait()).await {
            Ok(status) => status.unwrap(),
            Err(_) => panic!("the relay does not end:\n{}", self.log()),
        }
    }

    /// Ends it as an operator does, which must succeed; what is needed to start it again.
    pub(crate) async fn stop(mut self) -> Setup {
        self.sigterm().await;
        let status = self.wait_exit().await;
        assert!(status.success(), "{status}:\n{}", self.log());
        self.setup.clone()
    }
}
