//! Jakarta Mail: what Java applications send with, and the client that uses BDAT.

use std::path::Path;

use tokio::process::Command;

use crate::support::tool;

use super::case::{Case, Manner};
use super::scripts;
use super::trial::Trial;

/// Where Debian's libjakarta-mail-java and libjakarta-activation-java put them.
const LIBRARIES: [&str; 2] =
    ["/usr/share/java/jakarta-mail.jar", "/usr/share/java/jakarta-activation.jar"];

#[tokio::test]
async fn jakarta_mail_over_tls() {
    let test = "jakarta_mail_over_tls";
    if !tool::present(test, &["java", "javac"]) {
        return;
    }
    if let Some(missing) = LIBRARIES.iter().find(|jar| !Path::new(jar).exists()) {
        tool::skip(test, &format!("not installed: {missing} (libjakarta-mail-java)"));
        return;
    }
    let classes = tempfile::Builder::new().prefix("mailferry-java-").tempdir().unwrap();
    let path = format!("{}:{}", LIBRARIES.join(":"), classes.path().display());
    let mut compile = Command::new("javac");
    compile.args(["-cp", &path, "-d"]).arg(classes.path());
    tool::succeed(compile.arg(tool::fixture("java/Letter.java")), b"").await;

    let client = async |case: &Case| {
        let mut command = Command::new("java");
        // A short life: no time for the second compiler.
        command.args(["-XX:TieredStopAtLevel=1", "-Xshare:auto", "-cp", &path, "Letter"]);
        scripts::run(command, case).await
    };
    let mut trial = Trial::begin("Jakarta Mail (Java)", &version().await).await;
    trial.every_manner(2, None, client).await;

    trial.log_in_by("PLAIN", client).await;
    trial.also("PLAIN");
    for manner in [Manner::Open, Manner::StartTls] {
        let mut chunks = trial.case(manner, 2);
        chunks.variables.push(("RELAY_CHUNK", "1000"));
        let seen = trial.run(&chunks, client).await;
        if manner == Manner::Open {
            assert_eq!(seen.open_line("BDAT 1000").as_deref(), Some("BDAT 1000"));
            // A chunk ends where its octets are counted out, not at the end of a line.
            let lines = seen.conversations[0].open_lines();
            let lasts = lines.iter().filter(|line| line.ends_with(" LAST")).count();
            assert_eq!(lasts, 2, "{lines:?}");
            assert_eq!(seen.open_line("DATA"), None);
        }
    }
    trial.also("BDAT in chunks");
    for manner in [Manner::Open, Manner::StartTls] {
        let mut notify = trial.case(manner, 1);
        notify.variables.push(("RELAY_NOTIFY", "FAILURE,DELAY"));
        let seen = trial.run(&notify, client).await;
        if manner == Manner::Open {
            let rcpt = seen.open_line("RCPT TO").unwrap();
            assert!(rcpt.contains("NOTIFY=FAILURE,DELAY"), "{rcpt}");
        }
    }
    trial.also("DSN parameters");
    scripts::older_tls(&mut trial, client).await;
    trial.end();
}

/// Of the library and of Java.
async fn version() -> String {
    let mut java = Command::new("java");
    let java = tool::run(java.arg("--version"), b"").await;
    let java = String::from_utf8_lossy(&java.stdout).into_owned();
    let java = java.split_whitespace().nth(1).unwrap_or("?");
    // Debian names the library a second time, with its version.
    let folder = Path::new(LIBRARIES[0]).parent().unwrap();
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let library = names.filter_map(|name| {
        let name = name.to_string_lossy().into_owned();
        let version = name.strip_prefix("jakarta-mail-")?.strip_suffix(".jar")?;
        version.starts_with(|c: char| c.is_ascii_digit()).then(|| version.to_owned())
    });
    format!("{}, Java {java}", library.last().unwrap_or_else(|| "?".to_owned()))
}
