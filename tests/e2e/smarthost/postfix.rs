//! A real Postfix behind the relay, as the mail server of a house is.

use std::path::{Path, PathBuf};

use tokio::process::{Child, Command};

use super::{awkward, certificates, free_port, setup, submitted};
use crate::real_clients::postfix::{built_in, prepare};
use crate::support::certificates::Certificates;
use crate::support::smtp::{self, Mail};
use crate::support::{tool, wait};

/// The services that receiving into files needs.
const MASTER_CF: &str = "\
cleanup   unix n - n -  0 cleanup
qmgr      unix n - n 300 1 qmgr
tlsmgr    unix - - n 1000? 1 tlsmgr
rewrite   unix - - n -  - trivial-rewrite
bounce    unix - - n -  0 bounce
defer     unix - - n -  0 bounce
trace     unix - - n -  0 bounce
proxymap  unix - - n -  - proxymap
virtual   unix - n n -  - virtual
error     unix - - n -  - error
retry     unix - - n -  - error
anvil     unix - - n -  1 anvil
postlog   unix-dgram n - n - 1 postlogd
";

/// A running instance. Its master is killed when this is dropped, and its children end with it.
struct Instance {
    master: Child,
    folder: PathBuf,
    port: u16,
}

impl Instance {
    async fn start(folder: &Path, certificates: &Certificates, more: &str) -> Self {
        let folder = folder.join("postfix");
        prepare(&folder).await;
        let boxes = folder.join("boxes");
        std::fs::create_dir(&boxes).unwrap();
        tool::succeed(Command::new("chown").arg("postfix").arg(&boxes), b"").await;
        let ids = async |flag| {
            tool::succeed(Command::new("id").args([flag, "postfix"]), b"").await.trim().to_owned()
        };
        let (uid, gid) = (ids("-u").await, ids("-g").await);
        let port = free_port();
        let (shown, boxes) = (folder.display(), boxes.display());
        let (certificate, key) = (certificates.certificate.display(), certificates.key.display());
        let main = format!(
            "compatibility_level = 3.6\n\
             queue_directory = {shown}/queue\n\
             data_directory = {shown}/data\n\
             maillog_file = {shown}/log\n\
             maillog_file_prefixes = {shown}\n\
             myhostname = postfix.example\n\
             mydestination =\n\
             alias_maps =\n\
             alias_database =\n\
             inet_interfaces = 127.0.0.1\n\
             inet_protocols = ipv4\n\
             smtpd_tls_cert_file = {certificate}\n\
             smtpd_tls_key_file = {key}\n\
             smtpd_tls_security_level = encrypt\n\
             smtpd_relay_restrictions = reject_unauth_destination\n\
             virtual_mailbox_domains = rcpt.example\n\
             virtual_mailbox_base = {boxes}\n\
             virtual_mailbox_maps = inline:{{ ada@rcpt.example=ada/, bob@rcpt.example=bob/ }}\n\
             virtual_minimum_uid = 1\n\
             virtual_uid_maps = static:{uid}\n\
             virtual_gid_maps = static:{gid}\n{more}"
        );
        std::fs::write(folder.join("main.cf"), main).unwrap();
        let master = format!("127.0.0.1:{port} inet n - n - - smtpd\n{MASTER_CF}");
        std::fs::write(folder.join("master.cf"), master).unwrap();
        let program = Path::new(&built_in("daemon_directory").await).join("master");
        let mut command = Command::new(program);
        command.arg("-s").arg("-c").arg(&folder).kill_on_drop(true);
        let master = command.spawn().unwrap();
        let instance = Self { master, folder, port };
        wait::until_true("Postfix is there", || instance.log().contains("daemon started")).await;
        instance
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// The mails in a box of the Maildir kind.
    fn mails(&self, name: &str) -> Vec<Vec<u8>> {
        let Ok(folder) = std::fs::read_dir(self.folder.join("boxes").join(name).join("new")) else {
            return Vec::new();
        };
        folder.map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect()
    }

    async fn end(mut self) {
        if let Some(pid) = self.master.id() {
            let mut kill = Command::new("kill");
            tool::succeed(kill.args(["-TERM", &pid.to_string()]), b"").await;
        }
        self.master.wait().await.unwrap();
    }
}

/// Whether Postfix can be started here.
async fn possible(test: &str) -> bool {
    if !tool::present(test, &["postconf", "chown", "chmod", "id"]) {
        return false;
    }
    if tool::succeed(Command::new("id").arg("-u"), b"").await.trim() != "0" {
        tool::skip(test, "Postfix is started by root only");
        return false;
    }
    true
}

/// The mail as a file has it: LF for line ends, below the trace that Postfix writes.
fn ends_with(mail: &[u8], submitted: &[u8]) -> bool {
    let text = String::from_utf8_lossy(submitted).replace("\r\n", "\n");
    mail.ends_with(text.as_bytes())
}

#[tokio::test]
async fn postfix_gets_every_octet_over_starttls() {
    if !possible("postfix_gets_every_octet_over_starttls").await {
        return;
    }
    let (folder, certificates) = certificates();
    let postfix = Instance::start(folder.path(), &certificates, "").await;
    let relay = setup(postfix.port, &certificates.authority).start().await;

    // One box for each, one address that is none, and one that Postfix does not relay for.
    let to = ["ada@rcpt.example", "bob@rcpt.example", "nobody@rcpt.example"];
    let mail = awkward(&to);
    let id = smtp::submit(relay.smtp, &mail).await;
    let message = relay.http.until_message_is(&id, "failed").await;
    wait::until_true("both have it", || {
        !postfix.mails("ada").is_empty() && !postfix.mails("bob").is_empty()
    })
    .await;
    for name in ["ada", "bob"] {
        let mails = postfix.mails(name);
        assert!(mails.len() == 1 && ends_with(&mails[0], &submitted(&mail)), "{name}");
    }
    let refused =
        message["recipients"].as_array().unwrap().iter().find(|it| it["state"] == "failed");
    let reason = refused.unwrap()["reason"].as_str().unwrap();
    assert!(reason.contains("550 5.1.1"), "{reason}");
    let queue_id = message["attempts"][0]["provider_message_id"].as_str().unwrap();
    assert!(postfix.log().contains(queue_id), "{queue_id} is Postfix's own name");

    // Many on a kept connection.
    for number in 0..5 {
        let mut mail = Mail::about(&format!("number-{number}"));
        mail.to = vec!["bob@rcpt.example".to_owned()];
        let id = smtp::submit(relay.smtp, &mail).await;
        relay.http.until_message_is(&id, "delivered").await;
    }
    wait::until_true("bob has them", || postfix.mails("bob").len() == 6).await;
    let connections = postfix.log().matches(": connect from").count();
    assert_eq!(connections, 1, "{}", postfix.log());
    postfix.end().await;
}

#[tokio::test]
async fn postfix_that_does_not_relay_or_takes_no_more_is_understood() {
    if !possible("postfix_that_does_not_relay_or_takes_no_more_is_understood").await {
        return;
    }
    let (folder, certificates) = certificates();
    let more = "message_size_limit = 20000\nvirtual_mailbox_limit = 20000\nsmtpd_discard_ehlo_keywords = 8bitmime\n";
    let postfix = Instance::start(folder.path(), &certificates, more).await;
    let relay = setup(postfix.port, &certificates.authority).start().await;

    let mut mail = awkward(&["ada@rcpt.example"]);
    let id = smtp::submit(relay.smtp, &mail).await;
    let attempt = relay.http.until_attempt_is(&id, "unknown").await;
    let error = attempt["error"].as_str().unwrap();
    assert!(error.contains("DKIM") && error.contains("8BITMIME"), "signed and 8-bit: {error}");

    mail.data = mail.data.replace("DKIM-Signature", "X-Was").replace("한글", "Hangul");
    let id = smtp::submit(relay.smtp, &mail).await;
    let attempt = relay.http.until_attempt_is(&id, "unknown").await;
    let error = attempt["error"].as_str().unwrap();
    assert!(error.contains("octets, the server takes 20000"), "{error}");

    let id = smtp::submit(relay.smtp, &Mail::with_text("wide", "한글")).await;
    relay.http.until_message_is(&id, "delivered").await;
    wait::until_true("ada has it", || postfix.mails("ada").len() == 1).await;
    let text = String::from_utf8(postfix.mails("ada").remove(0)).unwrap();
    assert!(text.is_ascii() && text.contains("base64"), "{text}");

    let mut strange = Mail::about("strange");
    strange.to = vec!["ada@elsewhere.example".to_owned()];
    let id = smtp::submit(relay.smtp, &strange).await;
    let attempt = relay.http.until_attempt_is(&id, "misconfigured").await;
    assert!(attempt["error"].as_str().unwrap().contains("Relay access denied"), "{attempt}");
    relay.http.until_message_is(&id, "queued").await;
    postfix.end().await;
}
