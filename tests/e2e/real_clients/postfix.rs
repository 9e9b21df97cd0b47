//! Postfix with the relay as its `relayhost`: what a server's own mail goes through.
//!
//! An instance of its own in a temporary folder, ended by its process id; the machine's is not touched. Its master
//! process runs as root only.

use std::path::{Path, PathBuf};

use tokio::process::{Child, Command};

use crate::support::certificates::HOST;
use crate::support::letter;
use crate::support::tool;
use crate::support::wait;

use super::case::{Case, Manner, Outcome, Tls};
use super::trial::Trial;

/// What Postfix expects below its queue directory, and the modes of it.
const QUEUE: [(&str, &str); 11] = [
    ("incoming", "0700"),
    ("active", "0700"),
    ("deferred", "0700"),
    ("bounce", "0700"),
    ("defer", "0700"),
    ("trace", "0700"),
    ("corrupt", "0700"),
    ("hold", "0700"),
    ("private", "0700"),
    ("maildrop", "1730"),
    ("public", "2710"),
];

/// The services that sending needs: none of them listens, none of them is in a chroot.
const MASTER_CF: &str = "\
pickup    unix n - n 60 1 pickup
cleanup   unix n - n -  0 cleanup
qmgr      unix n - n 300 1 qmgr
tlsmgr    unix - - n 1000? 1 tlsmgr
rewrite   unix - - n -  - trivial-rewrite
bounce    unix - - n -  0 bounce
defer     unix - - n -  0 bounce
trace     unix - - n -  0 bounce
proxymap  unix - - n -  - proxymap
smtp      unix - - n -  - smtp
relay     unix - - n -  - smtp
error     unix - - n -  - error
retry     unix - - n -  - error
scache    unix - - n -  1 scache
postlog   unix-dgram n - n - 1 postlogd
";

#[tokio::test]
async fn postfix_as_relayhost_over_tls() {
    let test = "postfix_as_relayhost_over_tls";
    if !tool::present(test, &["postconf", "sendmail", "chown", "chmod", "id"]) {
        return;
    }
    if tool::succeed(Command::new("id").arg("-u"), b"").await.trim() != "0" {
        tool::skip(test, "Postfix is started by root only");
        return;
    }
    let mut trial = Trial::begin("Postfix, as relayhost", &built_in("mail_version").await).await;
    trial.every_manner(2, Some("PLAIN"), async |case| send(case, "verify").await).await;

    for manner in [Manner::OpenAuth, Manner::StartTls] {
        let mut login = trial.case(manner, 1);
        login.mechanism = Some("LOGIN");
        trial.run(&login, async |case| send(case, "verify").await).await;
    }
    trial.also("LOGIN");
    let encrypt = trial.case(Manner::StartTls, 1);
    trial.run(&encrypt, async |case| send(case, "encrypt").await).await;
    trial.also("`smtp_tls_security_level = encrypt`");

    // The parameters that Postfix adds because they are offered. It has no BDAT on this side.
    let open = trial.case(Manner::Open, 1);
    let seen = trial.run(&open, async |case| send(case, "none").await).await;
    let mail = seen.open_line("MAIL FROM").unwrap();
    for parameter in [" SIZE=", " BODY=8BITMIME", " RET=HDRS", " ENVID=letter-0"] {
        assert!(mail.contains(parameter), "{mail}");
    }
    let rcpt = seen.open_line("RCPT TO").unwrap();
    assert!(rcpt.contains(" NOTIFY=FAILURE,DELAY") && rcpt.contains(" ORCPT=rfc822;"), "{rcpt}");
    trial.also("SIZE, 8BITMIME and DSN parameters");
    trial.end();
}

/// A value that is compiled into Postfix: the machine's configuration is not asked.
pub(crate) async fn built_in(name: &str) -> String {
    tool::succeed(Command::new("postconf").args(["-d", "-h", name]), b"").await.trim().to_owned()
}

/// A running instance. Its master is killed when this is dropped, and its children end with it.
struct Instance {
    master: Child,
    folder: PathBuf,
}

impl Instance {
    /// `level` is the smtp_tls_security_level where there is TLS.
    async fn start(case: &Case, level: &str) -> Self {
        let folder = case.folder.join("postfix");
        prepare(&folder).await;
        std::fs::write(folder.join("main.cf"), main_cf(case, level, &folder)).unwrap();
        std::fs::write(folder.join("master.cf"), MASTER_CF).unwrap();
        let program = Path::new(&built_in("daemon_directory").await).join("master");
        let mut command = Command::new(program);
        // In the foreground. It makes a process group of its own, which it ends when it is told to end.
        command.arg("-s").arg("-c").arg(&folder).kill_on_drop(true);
        let master = command.spawn().unwrap();
        let instance = Self { master, folder };
        wait::until_true("Postfix is there", || instance.log().contains("daemon started")).await;
        instance
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    async fn end(mut self) {
        if let Some(pid) = self.master.id() {
            let mut kill = Command::new("kill");
            tool::succeed(kill.args(["-TERM", &pid.to_string()]), b"").await;
        }
        self.master.wait().await.unwrap();
    }
}

/// Makes the folders, with the owners that Postfix asks for.
pub(crate) async fn prepare(folder: &Path) {
    let queue = folder.join("queue");
    let data = folder.join("data");
    for path in [&queue, &data, &queue.join("pid")] {
        std::fs::create_dir_all(path).unwrap();
    }
    // Its processes are another user's and must come through.
    let mut open = Command::new("chmod");
    let way = folder.ancestors().take(3);
    tool::succeed(open.arg("a+x").args(way), b"").await;
    tool::succeed(Command::new("chown").arg("postfix").arg(&data), b"").await;
    for (name, mode) in QUEUE {
        let path = queue.join(name);
        std::fs::create_dir(&path).unwrap();
        let owner = match name {
            "maildrop" | "public" => "postfix:postdrop",
            _ => "postfix",
        };
        tool::succeed(Command::new("chown").arg(owner).arg(&path), b"").await;
        tool::succeed(Command::new("chmod").arg(mode).arg(&path), b"").await;
    }
}

fn main_cf(case: &Case, level: &str, folder: &Path) -> String {
    let folder = folder.display();
    let (host, port) = (HOST, case.port);
    let mut lines = format!(
        "compatibility_level = 3.6\n\
         queue_directory = {folder}/queue\n\
         data_directory = {folder}/data\n\
         maillog_file = {folder}/log\n\
         maillog_file_prefixes = {folder}\n\
         myhostname = postfix.example\n\
         mydestination =\n\
         alias_maps =\n\
         alias_database =\n\
         inet_protocols = ipv4\n\
         smtp_host_lookup = native\n\
         relayhost = [{host}]:{port}\n"
    );
    match case.tls {
        Tls::None => lines += "smtp_tls_security_level = none\n",
        Tls::Upgrade => lines += &format!("smtp_tls_security_level = {level}\n"),
        Tls::Implicit => {
            lines += &format!("smtp_tls_security_level = {level}\nsmtp_tls_wrappermode = yes\n");
        }
    }
    if case.tls != Tls::None {
        let authority = case.authority().display();
        lines += &format!("smtp_tls_CAfile = {authority}\nsmtp_tls_loglevel = 1\n");
    }
    if let Some((user, password)) = case.credentials {
        let mechanism = case.mechanism.unwrap_or("PLAIN").to_lowercase();
        let file = case.folder.join("sasl");
        std::fs::write(&file, format!("[{host}]:{port} {user}:{password}\n")).unwrap();
        lines += &format!(
            "smtp_sasl_auth_enable = yes\n\
             smtp_sasl_password_maps = texthash:{}\n\
             smtp_sasl_security_options = noanonymous\n\
             smtp_sasl_mechanism_filter = {mechanism}\n",
            file.display()
        );
    }
    lines
}

/// Hands the letters to Postfix and waits until it has an answer for each recipient.
async fn send(case: &Case, level: &str) -> Outcome {
    let instance = Instance::start(case, level).await;
    for number in 0..case.count {
        let mut command = Command::new("sendmail");
        command.arg("-C").arg(&instance.folder).args(["-f", letter::FROM, "-B8BITMIME"]);
        command.args(["-N", "failure, delay", "-R", "hdrs", "-V", &format!("letter-{number}")]);
        let eml = letter::eml(&case.message_id(number), "");
        tool::succeed(command.arg("--").args(letter::RECIPIENTS), eml.as_bytes()).await;
    }
    let wanted = case.count * letter::RECIPIENTS.len();
    wait::until_true("Postfix has an answer for everybody", || {
        instance.log().matches(" status=").count() >= wanted
    })
    .await;
    let said = instance.log();
    instance.end().await;
    Outcome { success: said.matches(" status=sent ").count() == wanted, said }
}
