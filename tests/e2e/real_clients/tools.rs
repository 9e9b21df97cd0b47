//! Programs of the command line that carry a ready message: swaks, msmtp, curl.

use tokio::process::Command;

use crate::support::certificates::HOST;
use crate::support::letter;
use crate::support::tool;

use super::case::{Case, Manner, Outcome, Tls};
use super::scripts::version;
use super::trial::Trial;

#[tokio::test]
async fn swaks_over_tls() {
    let Some(version) = version("swaks_over_tls", "swaks", &["--version"]).await else { return };
    let version = version.lines().next().unwrap_or_default().replace("swaks version ", "");
    let mut trial = Trial::begin("swaks", &version).await;
    trial.every_manner(1, Some("PLAIN"), async |case| swaks(case, &[]).await).await;
    for manner in [Manner::OpenAuth, Manner::Implicit] {
        let mut login = trial.case(manner, 1);
        login.mechanism = Some("LOGIN");
        trial.run(&login, async |case| swaks(case, &[]).await).await;
    }
    trial.also("LOGIN");
    let case = trial.case(Manner::StartTls, 1);
    let older = ["--tls-protocol", "tlsv1_2"];
    let seen = trial.run(&case, async |case| swaks(case, &older).await).await;
    assert_eq!(seen.tls_version(), Some("TLS 1.2"));
    trial.also("TLS 1.2");
    trial.end();
}

async fn swaks(case: &Case, more: &[&str]) -> Outcome {
    let mut command = Command::new("swaks");
    command.args(["--server", HOST, "--port", &case.port.to_string(), "--helo", "swaks.example"]);
    command.args(["--from", letter::FROM, "--to", &letter::RECIPIENTS.join(",")]);
    match case.tls {
        Tls::None => {}
        Tls::Upgrade => {
            command.arg("--tls");
        }
        Tls::Implicit => {
            command.arg("--tls-on-connect");
        }
    }
    if case.tls != Tls::None {
        command.arg("--tls-verify").arg("--tls-ca-path").arg(case.authority());
    }
    if let Some((user, password)) = case.credentials {
        command.args(["--auth", case.mechanism.unwrap_or("PLAIN")]);
        command.args(["--auth-user", user, "--auth-password", password]);
    }
    let data = format!("@{}", case.folder.join("letter.eml").display());
    tool::run(command.args(["--data", &data]).args(more), b"").await.into()
}

/// What msmtp verifies the relay by.
#[derive(Clone, Copy)]
enum Trust {
    Authority,
    Fingerprint,
}

#[tokio::test]
async fn msmtp_over_tls() {
    let Some(version) = version("msmtp_over_tls", "msmtp", &["--version"]).await else { return };
    let version = version.split_whitespace().nth(2).unwrap_or_default();
    let mut trial = Trial::begin("msmtp", version).await;
    let client = async |case: &Case| msmtp(case, Trust::Authority).await;
    trial.every_manner(1, Some("PLAIN"), client).await;
    trial.log_in_by("LOGIN", client).await;
    trial.also("LOGIN");
    let case = trial.case(Manner::StartTls, 1);
    trial.run(&case, async |case| msmtp(case, Trust::Fingerprint).await).await;
    trial.also("`tls_fingerprint` instead of an authority");
    trial.end();
}

/// By a configuration file, as people have it.
async fn msmtp(case: &Case, trust: Trust) -> Outcome {
    let mut lines = vec![
        "account default".to_owned(),
        format!("host {HOST}"),
        format!("port {}", case.port),
        format!("from {}", letter::FROM),
    ];
    match case.tls {
        Tls::None => lines.push("tls off".to_owned()),
        Tls::Upgrade => lines.extend(["tls on".to_owned(), "tls_starttls on".to_owned()]),
        Tls::Implicit => lines.extend(["tls on".to_owned(), "tls_starttls off".to_owned()]),
    }
    if case.tls != Tls::None {
        lines.push(match trust {
            Trust::Authority => format!("tls_trust_file {}", case.authority().display()),
            Trust::Fingerprint => format!("tls_fingerprint {}", case.certificates.fingerprint),
        });
    }
    if let Some((user, password)) = case.credentials {
        // `auth on` would refuse PLAIN and LOGIN where there is no TLS; the name of one is a decision.
        let mechanism = case.mechanism.unwrap_or("PLAIN").to_lowercase();
        lines.push(format!("auth {mechanism}\nuser {user}"));
        let file = case.folder.join("password");
        std::fs::write(&file, password).unwrap();
        lines.push(format!("passwordeval \"cat {}\"", file.display()));
    }
    let file = case.folder.join("msmtprc");
    std::fs::write(&file, lines.join("\n") + "\n").unwrap();
    let mut command = Command::new("msmtp");
    command.arg(format!("--file={}", file.display())).arg("--read-recipients");
    let bcc = format!("Bcc: <{}>\n", letter::BCC);
    let eml = letter::eml(&case.message_id(0), &bcc);
    tool::run(&mut command, eml.as_bytes()).await.into()
}

#[tokio::test]
async fn curl_over_tls() {
    let Some(version) = version("curl_over_tls", "curl", &["--version"]).await else { return };
    let tls =
        version.split_whitespace().find(|word| word.contains("SSL/") || word.contains("TLS/"));
    let number = version.split_whitespace().nth(1).unwrap_or_default();
    let version = format!("{number}, {}", tls.unwrap_or("?").replace('/', " "));
    let mut trial = Trial::begin("curl, a ready message", &version).await;
    let client = async |case: &Case| upload(curl(case, &[]), case).await;
    trial.every_manner(1, None, client).await;
    trial.log_in_by("LOGIN", client).await;
    trial.also("LOGIN");
    let case = trial.case(Manner::StartTls, 1);
    let older = async |case: &Case| upload(curl(case, &["--tls-max", "1.2"]), case).await;
    let seen = trial.run(&case, older).await;
    assert_eq!(seen.tls_version(), Some("TLS 1.2"));
    trial.also("TLS 1.2");
    trial.end();
}

#[tokio::test]
async fn curl_composing_over_tls() {
    let test = "curl_composing_over_tls";
    let Some(version) = version(test, "curl", &["--version"]).await else { return };
    let version = version.split(' ').nth(1).unwrap_or_default();
    let mut trial = Trial::begin("curl, composing", version).await;
    trial.every_manner(1, None, async |case| compose(curl(case, &[]), case).await).await;
    trial.end();
}

async fn upload(mut command: Command, case: &Case) -> Outcome {
    let data = case.folder.join("letter-crlf.eml");
    let eml = letter::eml(&case.message_id(0), "").replace('\n', "\r\n");
    std::fs::write(&data, eml).unwrap();
    tool::run(command.arg("--upload-file").arg(data), b"").await.into()
}

async fn compose(mut command: Command, case: &Case) -> Outcome {
    command.current_dir(&case.folder);
    command.args(letter::curl_form(&case.message_id(0)));
    tool::run(&mut command, b"").await.into()
}

fn curl(case: &Case, more: &[&str]) -> Command {
    let mut command = Command::new("curl");
    command.args(["--verbose", "--max-time", "20", "--noproxy", "*"]).args(more);
    let scheme = match case.tls {
        Tls::None | Tls::Upgrade => "smtp",
        Tls::Implicit => "smtps",
    };
    command.args(["--url", &format!("{scheme}://{}/curl.example", case.address())]);
    if case.tls == Tls::Upgrade {
        command.arg("--ssl-reqd");
    }
    if case.tls != Tls::None {
        command.arg("--cacert").arg(case.authority());
    }
    if let Some((user, password)) = case.credentials {
        command.args(["--user", &format!("{user}:{password}")]);
    }
    if let Some(mechanism) = case.mechanism {
        command.args(["--login-options", &format!("AUTH={mechanism}")]);
    }
    command.args(["--mail-from", letter::FROM]);
    for recipient in letter::RECIPIENTS {
        command.args(["--mail-rcpt", recipient]);
    }
    command
}
