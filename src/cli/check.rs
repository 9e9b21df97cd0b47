//! `mailferry check`: what an operator should know before mail depends on it.

mod smtp;

use std::fmt;
use std::fs::OpenOptions;
use std::path::Path;
use std::time::Duration;

use ipnet::IpNet;

use super::{Exit, out};
use crate::config::{
    Config, ConfigErrors, Loaded, Mode, ProviderConfig, ProviderKind, QueueUrl, Rewrite, SmtpTls,
    is_near, is_private as is_private_url, is_this_machine,
};
use crate::provider::{NamedProvider, SendError, Verdict};
use crate::queue;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Ok,
    Warning,
    Error,
}

/// One line of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub level: Level,
    /// What was found, and what to do about it.
    pub text: String,
}

impl From<queue::Finding> for Finding {
    fn from(found: queue::Finding) -> Self {
        match found {
            queue::Finding::Fine(text) => ok(format!("queue: {text}")),
            queue::Finding::Doubtful(text) => warning(format!("queue: {text}")),
            queue::Finding::Wrong(text) => error(format!("queue: {text}")),
        }
    }
}

fn ok(text: impl Into<String>) -> Finding {
    Finding { level: Level::Ok, text: text.into() }
}

fn warning(text: impl Into<String>) -> Finding {
    Finding { level: Level::Warning, text: text.into() }
}

fn error(text: impl Into<String>) -> Finding {
    Finding { level: Level::Error, text: text.into() }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Ok => "ok",
            Level::Warning => "warning",
            Level::Error => "error",
        };
        write!(f, "{level:<8} {}", self.text)
    }
}

/// Checks and prints; fails when there is an error. `providers` makes them, for their keys to be tried; `queue` asks the
/// queue's database.
pub fn run<E: fmt::Display>(
    loaded: &Loaded,
    offline: bool,
    providers: impl FnOnce() -> Result<Vec<NamedProvider>, E>,
    queue: impl Future<Output = Vec<queue::Finding>>,
) -> Result<(), Exit> {
    let mut findings = offline_findings(loaded);
    if !offline {
        findings.extend(super::wait(queue)?.into_iter().map(Finding::from));
        match providers() {
            Ok(providers) => findings.extend(super::wait(probe_all(&providers))?),
            Err(reason) => findings.push(error(format!("the providers cannot be asked: {reason}"))),
        }
    }
    print(&findings);
    let failed = findings.iter().any(|finding| finding.level == Level::Error);
    if failed { Err(Exit::Failed) } else { Ok(()) }
}

/// Prints one line per finding.
pub fn print(findings: &[Finding]) {
    let text: String = findings.iter().map(|finding| format!("{finding}\n")).collect();
    out(&text);
}

/// The findings when the configuration cannot be loaded.
pub fn configuration_errors(errors: &ConfigErrors) -> Vec<Finding> {
    let one_line = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let errors_found = errors.errors.iter().map(|fault| error(one_line(fault.to_string())));
    let warnings = errors.warnings.iter().map(|text| warning(text.clone()));
    errors_found.chain(warnings).collect()
}

/// All that can be said without asking anybody.
pub fn offline_findings(loaded: &Loaded) -> Vec<Finding> {
    let config = &loaded.config;
    let source = match &loaded.file {
        Some(file) => format!("{} and the environment", file.display()),
        None => "the environment; there is no configuration file, and none is needed".to_owned(),
    };
    let mut findings = vec![ok(format!("configuration: read from {source}"))];
    findings.extend(loaded.warnings.iter().map(|text| warning(text.clone())));
    providers(config, &mut findings);
    sender(config, &mut findings);
    smtp::findings(loaded, &mut findings);
    http(config, &mut findings);
    queue(config, &mut findings);
    findings
}

fn providers(config: &Config, findings: &mut Vec<Finding>) {
    for name in &config.delivery.providers {
        if let Some(provider) = config.providers.iter().find(|provider| provider.name == *name) {
            findings.push(provider_finding(provider, config));
        }
    }
    for provider in &config.providers {
        if config.delivery.providers.contains(&provider.name) {
            continue;
        }
        if config.routes.iter().any(|route| route.providers.contains(&provider.name)) {
            findings.push(provider_finding(provider, config));
        } else {
            findings.push(warning(format!(
                "provider {}: configured but neither in delivery.providers nor in a route, so it gets no mail",
                provider.name
            )));
        }
    }
    for template in &config.templates {
        findings.push(ok(format!(
            "provider {}: without a key; says how the {} accounts that clients bring are used",
            template.name, template.kind
        )));
    }
}

/// How long Resend recognises a repeated request.
const RESEND_REMEMBERS: Duration = Duration::from_secs(24 * 3600);

fn provider_finding(provider: &ProviderConfig, config: &Config) -> Finding {
    let ProviderConfig { name, kind, .. } = provider;
    match (kind, &provider.base_url) {
        (ProviderKind::Capture, _) => {
            warning(format!("provider {name}: keeps mail and sends nothing"))
        }
        (ProviderKind::Webhook, _) => receiver(provider),
        (_, Some(url)) if url.scheme() == "http" && !is_private_url(url) => {
            warning(format!("provider {name}: base_url is http://, so its key travels unencrypted"))
        }
        (ProviderKind::Resend, _) if config.delivery.give_up_after > RESEND_REMEMBERS => {
            warning(format!(
                "provider {name}: after 24h it no longer recognises a repeated message; \
                 with a longer delivery.give_up_after a second copy is possible"
            ))
        }
        (ProviderKind::Smtp, _) => smarthost_finding(provider),
        (
            ProviderKind::Resend
            | ProviderKind::SendGrid
            | ProviderKind::Ses
            | ProviderKind::Mailgun
            | ProviderKind::Postmark
            | ProviderKind::Brevo,
            url,
        ) => {
            let domain = provider.domain.as_ref();
            let domain = domain.map_or_else(String::new, |domain| format!(" for {domain}"));
            let region = provider.region.as_ref().filter(|_| *kind == ProviderKind::Mailgun);
            let region = region.map_or_else(String::new, |region| format!(" ({region})"));
            let at = url.as_ref().map_or_else(String::new, |url| format!(", at {url}"));
            let place = format!("{domain}{region}{at}");
            ok(format!("provider {name}: {kind} with a key{place}"))
        }
    }
}

/// What is to be said about a webhook. Only its host is shown: the path may be a secret.
fn receiver(provider: &ProviderConfig) -> Finding {
    let name = &provider.name;
    let Some(url) = &provider.url else {
        return warning(format!("provider {name}: has no url"));
    };
    let host = url.host_str().unwrap_or_default();
    if url.scheme() == "http" && !is_this_machine(url) {
        return warning(format!(
            "provider {name}: mail is posted to http://{host}, so it travels unencrypted; others in that network can \
             read it"
        ));
    }
    ok(format!("provider {name}: webhook at {}://{host}, signed", url.scheme()))
}

/// Where mail goes, how it is protected on the way, and as whom.
fn smarthost_finding(provider: &ProviderConfig) -> Finding {
    let ProviderConfig { name, smarthost, .. } = provider;
    let Ok(place) = smarthost.place(provider.region.as_deref()) else {
        return error(format!("provider {name}: has no host"));
    };
    let encryption = match place.tls {
        SmtpTls::Auto | SmtpTls::StartTls => "STARTTLS",
        SmtpTls::Implicit => "TLS from the first octet",
        SmtpTls::Off => "no encryption",
    };
    let user = match smarthost.username.as_str() {
        "" => "without a login".to_owned(),
        user => format!("as {user}"),
    };
    let text =
        format!("provider {name}: smtp to {}:{}, {encryption}, {user}", place.host, place.port);
    let near = place.host.parse().is_ok_and(is_near) || place.host == "localhost";
    if place.tls == SmtpTls::Off && !near {
        return warning(format!("{text}; whoever is on the way can read and change the mail"));
    }
    ok(text)
}

fn sender(config: &Config, findings: &mut Vec<Finding>) {
    let sender = &config.sender;
    let Some(address) = &sender.address else {
        let text = match sender.rewrite {
            Rewrite::Never => "sender.address: not set; test mails need a sender of their own",
            Rewrite::Missing | Rewrite::Foreign | Rewrite::Always => {
                "sender.address: not set; mail without From and test mails will have no sender. \
                 Set it to an address of a domain that your provider has verified (SMTP_FROM_ADDRESS)"
            }
        };
        findings.push(warning(text));
        return;
    };
    let domain = address.domain();
    if sender.domains.iter().any(|known| known.eq_ignore_ascii_case(domain)) {
        findings.push(ok(format!("sender.address: {address}")));
    } else {
        findings.push(error(format!(
            "sender.address: {address} is not in sender.domains; add {domain} there if your provider \
             has verified it, or use another address"
        )));
    }
}

/// Whether a network lies within those that nobody can be reached in from outside.
fn is_private(network: &IpNet) -> bool {
    crate::config::trusted_networks().iter().any(|private| private.contains(network))
}

fn http(config: &Config, findings: &mut Vec<Finding>) {
    let http = &config.http;
    let listen = http.listen;
    if !http.token.is_empty() {
        findings.push(ok(format!("http: listens on {listen}, with a token")));
    } else if listen.ip().is_loopback() {
        findings.push(ok(format!("http: listens on {listen}, for this machine only")));
    } else if http.trusted_networks.iter().any(|net| !is_private(net)) {
        findings.push(error(format!(
            "http: listens on {listen} without a token and trusts public networks: strangers can read \
             and send mail. Set http.token, or shorten http.trusted_networks"
        )));
    } else {
        findings.push(warning(format!(
            "http: listens on {listen} without a token: anybody in http.trusted_networks can read and \
             send mail. Set http.token (or token_file) if others share those networks"
        )));
    }
}

fn queue(config: &Config, findings: &mut Vec<Finding>) {
    let queue = &config.queue;
    if config.delivery.mode == Mode::Direct {
        findings.push(ok("queue: none, delivery.mode is \"direct\": apps wait for the provider"));
        return;
    }
    match &queue.url {
        QueueUrl::Sqlite(file) => {
            let shown = file.display();
            findings.push(match writable(file) {
                Ok(()) => ok(format!("queue: {shown} can be written")),
                Err(reason) => error(format!(
                    "queue: {shown} cannot be written: {reason}. Make its directory writable for this user, or \
                     change queue.url"
                )),
            });
        }
        QueueUrl::Postgres(url) => {
            findings.push(ok(format!("queue: {url}, shared by all instances that are given it")));
        }
    }
    if queue.keep_bodies.is_zero() {
        findings.push(ok("queue: contents are removed on delivery (keep_bodies is 0s)"));
    } else if queue.keep_bodies > queue.keep_delivered {
        findings.push(warning(
            "queue: keep_bodies is longer than keep_delivered; contents go with their record",
        ));
    }
}

/// Tries what the store will do: write to the file, and make others beside it.
fn writable(file: &Path) -> std::io::Result<()> {
    if file.try_exists()? {
        OpenOptions::new().write(true).open(file)?;
    }
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let probe = format!(".mailferry-check-{:016x}", fastrand::u64(..));
    let probe = folder.unwrap_or(Path::new(".")).join(probe);
    OpenOptions::new().write(true).create_new(true).open(&probe)?;
    std::fs::remove_file(&probe)
}

/// Asks each provider whether the account works. No mail is sent.
async fn probe_all(providers: &[NamedProvider]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, provider) in providers {
        findings.push(match provider.probe().await {
            Ok(()) => ok(format!("provider {name}: answers, and does not refuse the account")),
            Err(refusal) => error(format!("provider {name}: {}", advice(&refusal))),
        });
    }
    findings
}

fn advice(refusal: &SendError) -> String {
    let reason = super::output::tidy(&refusal.to_string(), 300);
    let todo = match refusal.verdict {
        Verdict::Misconfigured => {
            "check the key or password, the other settings, and the state of the account"
        }
        Verdict::Throttled { .. } => "it asks to slow down; try again later",
        Verdict::Exhausted { .. } => "its quota is used up",
        Verdict::Temporary { .. } => {
            "is the way to it open from here? Mail would wait and be tried again"
        }
        Verdict::Rejected | Verdict::Unknown | Verdict::Bug => "this answer was not expected",
    };
    format!("{reason} ({todo})")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use async_trait::async_trait;

    use super::*;
    use crate::config::{LoadOptions, Purpose};
    use crate::provider::{Call, Capabilities, IdempotencyKey, Letter, Provider, Receipt, Unfit};

    fn findings(environment: &[(&str, &str)]) -> Vec<Finding> {
        let mut variables = vec![("RESEND_API_KEY".to_owned(), "re_1".to_owned())];
        variables.extend(environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
        let loaded = Config::load(&LoadOptions {
            file: None,
            candidates: Vec::new(),
            environment: variables,
            purpose: Purpose::Serve,
        });
        offline_findings(&loaded.unwrap())
    }

    fn assert_finds(environment: &[(&str, &str)], level: Level, text: &str) {
        let findings = findings(environment);
        let found = findings.iter().any(|f| f.level == level && f.text.contains(text));
        assert!(found, "{level:?} {text:?} is not in {findings:#?}");
    }

    #[test]
    fn each_danger_is_named() {
        let open = ("MAILFERRY__SMTP__LISTEN", "0.0.0.0:1025");
        let web = ("MAILFERRY__HTTP__LISTEN", "0.0.0.0:8025");
        assert_finds(&[], Level::Ok, "provider resend: resend with a key");
        assert_finds(&[], Level::Warning, "sender.address: not set");
        assert_finds(&[], Level::Ok, "smtp: listens on 127.0.0.1:1025, for this machine only");
        assert_finds(&[open], Level::Ok, "everybody else is refused");
        assert_finds(&[], Level::Ok, "tls: none");
        let all = ("MAILFERRY__SMTP__TRUSTED_NETWORKS", "0.0.0.0/0");
        assert_finds(&[open, all], Level::Error, "an open relay");
        let public = ("MAILFERRY__SMTP__TRUSTED_NETWORKS", "10.0.0.0/8, 203.0.113.0/24");
        assert_finds(&[open, public], Level::Warning, "203.0.113.0/24");
        assert_finds(&[web], Level::Warning, "without a token");
        let all = ("MAILFERRY__HTTP__TRUSTED_NETWORKS", "0.0.0.0/0");
        assert_finds(&[web, all], Level::Error, "strangers can read");
        assert_finds(&[web, all, ("MAILFERRY__HTTP__TOKEN", "t")], Level::Ok, "with a token");
        let address = ("SMTP_FROM_ADDRESS", "a@example.org");
        assert_finds(&[address], Level::Ok, "sender.address: a@example.org");
        let domains = ("MAILFERRY__SENDER__DOMAINS", "example.com");
        assert_finds(&[address, domains], Level::Error, "is not in sender.domains");
        assert_finds(&[("MAILFERRY__QUEUE__URL", "sqlite:/nowhere/x.db")], Level::Error, "queue: ");
        assert_finds(&[("EMAIL_PROVIDERS", "capture")], Level::Warning, "gets no mail");
        let smtp = ("EMAIL_PROVIDERS", "resend,smtp");
        let host = |host| ("SMTP_HOST", host);
        let login = [("SMTP_USER", "ada"), ("SMTP_PASSWORD", "pw")];
        assert_finds(
            &[smtp, host("mx.example.org"), login[0], login[1]],
            Level::Ok,
            "provider smtp: smtp to mx.example.org:587, STARTTLS, as ada",
        );
        assert_finds(
            &[smtp, host("mx.example.org"), ("SMTP_USE_TLS", "no")],
            Level::Warning,
            "no encryption, without a login; whoever is on the way",
        );
        let base = ("MAILFERRY__PROVIDERS__RESEND__BASE_URL", "http://api.example.org");
        assert_finds(&[base], Level::Warning, "unencrypted");
        let mailgun = [
            ("MAILGUN_API_KEY", "key-1"),
            ("MAILGUN_DOMAIN", "mg.example.org"),
            ("MAILFERRY__PROVIDERS__MAILGUN__REGION", "eu"),
        ];
        assert_finds(&mailgun, Level::Ok, "mailgun with a key for mg.example.org (eu)");
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let webhook = |url| {
            [
                ("MAILFERRY__PROVIDERS__WEBHOOK__URL", url),
                ("MAILFERRY__PROVIDERS__WEBHOOK__SECRET", secret),
            ]
        };
        assert_finds(&webhook("http://receiver:8080/in"), Level::Warning, "http://receiver, so it");
        assert_finds(
            &webhook("http://127.0.0.1:8080/in"),
            Level::Ok,
            "webhook at http://127.0.0.1",
        );
        assert_finds(&webhook("https://h.example/secret"), Level::Ok, "https://h.example, signed");
        assert_finds(
            &[("MAILFERRY__DELIVERY__GIVE_UP_AFTER", "3d")],
            Level::Warning,
            "second copy",
        );
    }

    #[test]
    fn the_check_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        writable(&folder.path().join("mailferry.db")).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[derive(Debug)]
    struct Refusing;

    #[async_trait]
    impl Provider for Refusing {
        fn capabilities(&self) -> &Capabilities {
            unreachable!("not asked for")
        }

        fn prepare(&self, _letter: &Letter<'_>) -> Result<Call, Unfit> {
            Err(Unfit { reason: String::new() })
        }

        async fn send(&self, _call: &Call, _key: &IdempotencyKey) -> Result<Receipt, SendError> {
            Ok(Receipt::default())
        }

        async fn probe(&self) -> Result<(), SendError> {
            Err(SendError {
                verdict: Verdict::Misconfigured,
                status: Some(401),
                reason: "API key is invalid".to_owned(),
                unclear: false,
            })
        }
    }

    #[tokio::test]
    async fn a_refused_key_is_an_error_with_the_providers_words() {
        let provider: Arc<dyn Provider> = Arc::new(Refusing);
        let findings = probe_all(&[("resend".to_owned(), provider)]).await;
        assert_eq!(findings[0].level, Level::Error);
        assert!(findings[0].text.contains("401: API key is invalid"), "{}", findings[0].text);
        assert!(findings[0].text.contains("check the key"), "{}", findings[0].text);
    }
}
