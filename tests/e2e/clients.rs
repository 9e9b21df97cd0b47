//! Mail from the clients that people use arrives whole, at exactly its recipients.

use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::extension::ClientId;
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use tokio::process::Command;

use crate::real_clients::compose;
use crate::support::fake::FakeProvider;
use crate::support::letter;
use crate::support::relay::{Relay, Setup};
use crate::support::{tool, wait};

/// A relay before a fake Resend, and the parts of the letter in a folder for the client.
struct Scene {
    fake: FakeProvider,
    relay: Relay,
}

impl Scene {
    async fn set() -> Self {
        let fake = FakeProvider::resend().await;
        let relay = Setup::resend(&fake).start().await;
        letter::write_parts(relay.setup().home(), ID);
        Self { fake, relay }
    }

    fn port(&self) -> String {
        self.relay.smtp.port().to_string()
    }

    /// Waits for this many mails and checks that each is the whole letter, with the Message-ID that `id` gives.
    async fn assert_arrived(&self, count: usize, id: impl Fn(usize) -> String) {
        let what = format!("{count} mails arrive");
        wait::until_true(&what, || self.fake.mail_count() >= count).await;
        let mut mails = self.fake.mails();
        assert_eq!(mails.len(), count);
        mails.sort_by_key(|mail| letter::header(&mail.json, "Message-ID"));
        for (number, mail) in mails.iter().enumerate() {
            letter::assert_whole(&mail.json, &id(number));
        }
    }
}

const ID: &str = "letter.1@sender.example";

#[tokio::test]
async fn lettre_as_lemmy_uses_it() {
    let scene = Scene::set().await;
    let connection = format!("smtp://{}", scene.relay.smtp);
    let mailer = AsyncSmtpTransport::<Tokio1Executor>::from_url(&connection)
        .unwrap()
        .hello_name(ClientId::Domain("lemmy.example".to_owned()))
        .build();
    // Three, so that the pooled connection is used again.
    for number in 0..3 {
        let email = Message::builder()
            .from("레미 <noreply@sender.example>".parse().unwrap())
            .to(Mailbox::new(Some("김철수".to_owned()), letter::TO.parse().unwrap()))
            .message_id(Some(format!("<{number}.{ID}>")))
            .subject(letter::SUBJECT)
            .multipart(MultiPart::alternative_plain_html(
                letter::TEXT.to_owned(),
                letter::HTML.to_owned(),
            ))
            .unwrap();
        mailer.send(email).await.unwrap();
    }

    wait::until_true("three mails arrive", || scene.fake.mail_count() >= 3).await;
    let mut mails = scene.fake.mails();
    mails.sort_by_key(|mail| letter::header(&mail.json, "Message-ID"));
    assert_eq!(mails.len(), 3);
    for (number, mail) in mails.iter().enumerate() {
        let pair = |name: &str, address: &str| (name.to_owned(), address.to_owned());
        assert_eq!(letter::mailboxes(&mail.json["from"]), [pair("레미", "noreply@sender.example")]);
        assert_eq!(letter::mailboxes(&mail.json["to"]), [pair("김철수", letter::TO)]);
        assert_eq!(letter::mailboxes(&mail.json["cc"]), []);
        assert_eq!(letter::mailboxes(&mail.json["bcc"]), []);
        assert_eq!(mail.json["subject"], letter::SUBJECT);
        assert_eq!(letter::lines(&mail.json["text"]), letter::TEXT.trim_end());
        assert_eq!(letter::lines(&mail.json["html"]), letter::HTML.trim_end());
        let id = letter::header(&mail.json, "Message-ID");
        assert_eq!(id, Some(format!("<{number}.{ID}>")));
    }
}

#[tokio::test]
async fn lettre_with_everything() {
    let scene = Scene::set().await;
    let connection = format!("smtp://{}", scene.relay.smtp);
    let mailer = AsyncSmtpTransport::<Tokio1Executor>::from_url(&connection).unwrap().build();
    mailer.send(compose(ID)).await.unwrap();
    scene.assert_arrived(1, |_| ID.to_owned()).await;
}

#[tokio::test]
async fn python_smtplib() {
    if !tool::present("python_smtplib", &["python3"]) {
        return;
    }
    let scene = Scene::set().await;
    let mut command = Command::new("python3");
    command.arg(tool::fixture("smtplib_letter.py")).arg(scene.relay.setup().home());
    tool::succeed(command.args(["127.0.0.1", &scene.port(), "2"]), b"").await;
    scene.assert_arrived(2, |number| format!("{number}.{ID}")).await;
}

#[tokio::test]
async fn nodemailer_with_its_pool() {
    if !tool::present("nodemailer_with_its_pool", &["node"]) {
        return;
    }
    // scripts/test installs it outside of the sources and says where.
    let modules = std::env::var_os("MAILFERRY_TEST_NODE_MODULES");
    let Some(modules) = modules.filter(|folder| !folder.is_empty()) else {
        tool::skip(
            "nodemailer_with_its_pool",
            "nodemailer is not installed (scripts/test does it)",
        );
        return;
    };
    let scene = Scene::set().await;
    let mut command = Command::new("node");
    command.env("NODE_PATH", modules);
    command.arg(tool::fixture("node/letter.js")).arg(scene.relay.setup().home());
    tool::succeed(command.args(["127.0.0.1", &scene.port(), "6"]), b"").await;
    scene.assert_arrived(6, |number| format!("{number}.{ID}")).await;
}

#[tokio::test]
async fn swaks_with_a_bcc_field_left_in_the_header() {
    if !tool::present("swaks_with_a_bcc_field_left_in_the_header", &["swaks"]) {
        return;
    }
    let scene = Scene::set().await;
    let data = scene.relay.setup().home().join("letter.eml");
    let bcc = format!("Bcc: <{}>\n", letter::BCC);
    std::fs::write(&data, letter::eml(ID, &bcc)).unwrap();
    let mut command = Command::new("swaks");
    command.args(["--server", "127.0.0.1", "--port", &scene.port(), "--helo", "swaks.example"]);
    command.args(["--from", letter::FROM, "--to", &letter::RECIPIENTS.join(",")]);
    tool::succeed(command.arg("--data").arg(format!("@{}", data.display())), b"").await;
    scene.assert_arrived(1, |_| ID.to_owned()).await;
}

#[tokio::test]
async fn msmtp_reading_the_recipients_from_the_header() {
    if !tool::present("msmtp_reading_the_recipients_from_the_header", &["msmtp"]) {
        return;
    }
    let scene = Scene::set().await;
    let bcc = format!("Bcc: <{}>\n", letter::BCC);
    let mut command = Command::new("msmtp");
    command.args(["--file=/dev/null", "--host=127.0.0.1", "--auth=off", "--tls=off"]);
    command.arg(format!("--port={}", scene.port())).arg(format!("--from={}", letter::FROM));
    let eml = letter::eml(ID, &bcc);
    tool::succeed(command.arg("--read-recipients"), eml.as_bytes()).await;
    scene.assert_arrived(1, |_| ID.to_owned()).await;
}

#[tokio::test]
async fn curl_uploading_a_message() {
    if !tool::present("curl_uploading_a_message", &["curl"]) {
        return;
    }
    let scene = Scene::set().await;
    let data = scene.relay.setup().home().join("letter.eml");
    std::fs::write(&data, letter::eml(ID, "").replace('\n', "\r\n")).unwrap();
    let mut command = curl(&scene);
    tool::succeed(command.arg("--upload-file").arg(data), b"").await;
    scene.assert_arrived(1, |_| ID.to_owned()).await;
}

/// curl writes the file name as bare UTF-8, as many programs do.
#[tokio::test]
async fn curl_composing_a_message() {
    if !tool::present("curl_composing_a_message", &["curl"]) {
        return;
    }
    let scene = Scene::set().await;
    let mut command = curl(&scene);
    command.current_dir(scene.relay.setup().home());
    command.args(letter::curl_form(ID));
    tool::succeed(&mut command, b"").await;
    scene.assert_arrived(1, |_| ID.to_owned()).await;
}

fn curl(scene: &Scene) -> Command {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--max-time", "20", "--noproxy", "*"]);
    command.args(["--url", &format!("smtp://{}/curl.example", scene.relay.smtp)]);
    command.args(["--mail-from", letter::FROM]);
    for recipient in letter::RECIPIENTS {
        command.args(["--mail-rcpt", recipient]);
    }
    command
}
