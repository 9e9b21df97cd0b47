//! The libraries of scripting languages: a small program each, below `tests/clients/`.

use std::path::Path;

use tokio::process::Command;

use crate::support::certificates::HOST;
use crate::support::tool;

use super::case::{Case, Manner, Outcome};
use super::trial::Trial;

/// Runs a program that takes what `tests/clients/README.md` says.
pub(super) async fn run(mut command: Command, case: &Case) -> Outcome {
    command.arg(&case.folder).args([HOST, &case.port.to_string(), &case.count.to_string()]);
    command.envs(case.environment());
    tool::run(&mut command, b"").await.into()
}

/// What a program prints about its version, or `None` where it cannot: then a library is missing, and the test is noted.
pub(super) async fn version(test: &str, program: &str, arguments: &[&str]) -> Option<String> {
    if !tool::present(test, &[program]) {
        return None;
    }
    let mut command = Command::new(program);
    let output = tool::run(command.args(arguments), b"").await;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let line = said.lines().next().unwrap_or_default();
        tool::skip(test, &format!("{program} lacks a library (scripts/test installs it): {line}"));
        return None;
    }
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn interpreter(program: &str, script: &str) -> Command {
    let mut command = Command::new(program);
    command.arg(tool::fixture(script));
    command
}

#[tokio::test]
async fn python_smtplib_over_tls() {
    let ask = "import platform; print('Python', platform.python_version())";
    let Some(version) = version("python_smtplib_over_tls", "python3", &["-c", ask]).await else {
        return;
    };
    let client = async |case: &Case| run(interpreter("python3", "smtplib_letter.py"), case).await;
    let mut trial = Trial::begin("Python smtplib", &version).await;
    trial.every_manner(2, None, client).await;

    trial.log_in_by("LOGIN", client).await;
    trial.also("LOGIN without an initial response");
    older_tls(&mut trial, client).await;
    trial.end();
}

/// TLS 1.2 is still what some machines have.
pub(super) async fn older_tls(trial: &mut Trial, client: impl AsyncFn(&Case) -> Outcome) {
    let mut case = trial.case(Manner::StartTls, 1);
    case.variables.push(("RELAY_TLS_MAX", "1.2"));
    let seen = trial.run(&case, client).await;
    assert_eq!(seen.tls_version(), Some("TLS 1.2"));
    trial.also("TLS 1.2");
}

#[tokio::test]
async fn nodemailer_over_tls() {
    let test = "nodemailer_over_tls";
    let modules = std::env::var_os("MAILFERRY_TEST_NODE_MODULES");
    let Some(modules) = modules.filter(|folder| !folder.is_empty()) else {
        tool::skip(test, "nodemailer is not installed (scripts/test does it)");
        return;
    };
    let package = Path::new(&modules).join("nodemailer/package.json");
    let ask =
        format!("console.log(require({package:?}).version, 'on Node', process.versions.node)");
    let Some(version) = version(test, "node", &["-e", &ask]).await else { return };
    let client = async |case: &Case| {
        let mut command = interpreter("node", "node/letter.js");
        command.env("NODE_PATH", &modules);
        run(command, case).await
    };
    let mut trial = Trial::begin("nodemailer", &version).await;
    trial.every_manner(4, None, client).await;

    // Many on one connection: the pool waits for each 250 and goes on.
    for manner in [Manner::StartTls, Manner::Implicit] {
        let mut pool = trial.case(manner, 40);
        pool.variables.push(("RELAY_CONNECTIONS", "1"));
        let seen = trial.run(&pool, client).await;
        assert_eq!(seen.conversations.len(), 1, "the pool did not keep its connection");
    }
    trial.also("a pool: 40 mails on one connection over TLS");
    trial.log_in_by("LOGIN", client).await;
    trial.also("LOGIN");
    older_tls(&mut trial, client).await;
    trial.end();
}

#[tokio::test]
async fn phpmailer_over_tls() {
    let ask = "require 'libphp-phpmailer/autoload.php'; \
               echo PHPMailer\\PHPMailer\\PHPMailer::VERSION, ' on PHP ', PHP_VERSION;";
    let Some(version) = version("phpmailer_over_tls", "php", &["-r", ask]).await else { return };
    let client = async |case: &Case| run(interpreter("php", "phpmailer_letter.php"), case).await;
    let trial = Trial::begin("PHPMailer", &version).await;
    // Its exception has words of its own for the 535.
    let mut trial = trial.refusal_reads("could not authenticate");
    trial.every_manner(2, None, client).await;
    trial.log_in_by("PLAIN", client).await;
    trial.also("PLAIN; kept-open connection");
    trial.end();
}

#[tokio::test]
async fn ruby_mail_over_tls() {
    let ask = "require 'mail'; puts \"#{Mail::VERSION.version}, net-smtp #{Net::SMTP::VERSION}, Ruby #{RUBY_VERSION}\"";
    let Some(version) = version("ruby_mail_over_tls", "ruby", &["-e", ask]).await else { return };
    let client = async |case: &Case| run(interpreter("ruby", "mail_letter.rb"), case).await;
    let mut trial = Trial::begin("Ruby mail", &version).await;
    trial.every_manner(2, None, client).await;
    trial.log_in_by("LOGIN", client).await;
    trial.also("LOGIN");
    trial.end();
}

#[tokio::test]
async fn perl_net_smtp_over_tls() {
    let test = "perl_net_smtp_over_tls";
    let ask = "print \"$Net::SMTP::VERSION, IO::Socket::SSL $IO::Socket::SSL::VERSION\"";
    let modules = ["-MNet::SMTP", "-MIO::Socket::SSL", "-MAuthen::SASL", "-MJSON::PP", "-e", ask];
    let Some(version) = version(test, "perl", &modules).await else { return };
    let client = async |case: &Case| run(interpreter("perl", "net_smtp_letter.pl"), case).await;
    let mut trial = Trial::begin("Perl Net::SMTP", &version).await;
    trial.every_manner(2, None, client).await;
    trial.log_in_by("LOGIN", client).await;
    trial.also("LOGIN");

    for manner in [Manner::Open, Manner::StartTls] {
        let mut notify = trial.case(manner, 1);
        notify.variables.push(("RELAY_NOTIFY", "1"));
        let seen = trial.run(&notify, client).await;
        if manner == Manner::Open {
            let mail = seen.open_line("MAIL FROM").unwrap();
            assert!(mail.contains("RET=HDRS") && mail.contains("ENVID=letter-0"), "{mail}");
            let rcpt = seen.open_line("RCPT TO").unwrap();
            assert!(rcpt.contains("NOTIFY=FAILURE,DELAY"), "{rcpt}");
        }
    }
    trial.also("DSN parameters");
    trial.end();
}
