//! lettre, the mail library of Rust programs, with rustls and its pool.

use lettre::message::header::{ContentDisposition, ContentId, ContentType};
use lettre::message::{Attachment, Mailbox, MultiPart, SinglePart};
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};

use crate::support::certificates::HOST;
use crate::support::letter;

use super::case::{self, Case, Manner, Outcome};
use super::trial::Trial;

#[tokio::test]
async fn lettre_over_tls() {
    let mut trial = Trial::begin("lettre (Rust)", &version()).await;
    trial.every_manner(2, None, send).await;
    for manner in [Manner::StartTls, Manner::Implicit] {
        let pool = trial.case(manner, 20);
        let seen = trial.run(&pool, send).await;
        // A connection goes back to the pool in the background, so the second mail may open another.
        let connections = seen.conversations.len();
        assert!(connections <= 2, "{connections} connections: the pool did not keep them");
    }
    trial.also("a pool: 20 mails on two connections over TLS at most");
    trial.log_in_by("LOGIN", send).await;
    trial.also("LOGIN");
    trial.end();
}

/// The letter of all clients.
pub(crate) fn compose(message_id: &str) -> Message {
    let mailbox = |name: &str, address: &str| {
        let name = Some(name.to_owned()).filter(|name| !name.is_empty());
        Mailbox::new(name, address.parse().unwrap())
    };
    let image = SinglePart::builder()
        .header("image/png".parse::<ContentType>().unwrap())
        .header(ContentDisposition::inline_with_name(letter::IMAGE_NAME))
        .header(ContentId::from(format!("<{}>", letter::IMAGE_CID)))
        .body(letter::image_bytes());
    let file = Attachment::new(letter::FILE_NAME.to_owned())
        .body(letter::file_bytes(), "application/pdf".parse().unwrap());
    let words = MultiPart::alternative_plain_html(letter::TEXT.to_owned(), letter::HTML.to_owned());
    Message::builder()
        .from(mailbox(letter::FROM_NAME, letter::FROM))
        .to(mailbox(letter::TO_NAME, letter::TO))
        .to(mailbox("", letter::TO_PLAIN))
        .cc(mailbox(letter::CC_NAME, letter::CC))
        .bcc(mailbox("", letter::BCC))
        .message_id(Some(format!("<{message_id}>")))
        .subject(letter::SUBJECT)
        .multipart(
            MultiPart::mixed()
                .multipart(MultiPart::related().multipart(words).singlepart(image))
                .singlepart(file),
        )
        .unwrap()
}

async fn send(case: &Case) -> Outcome {
    let mailer = transport(case);
    for number in 0..case.count {
        if let Err(error) = mailer.send(compose(&case.message_id(number))).await {
            return Outcome { success: false, said: chain(&error) };
        }
    }
    mailer.shutdown().await;
    Outcome { success: true, said: String::new() }
}

fn transport(case: &Case) -> AsyncSmtpTransport<Tokio1Executor> {
    let parameters = || {
        let pem = std::fs::read(case.authority()).unwrap();
        TlsParameters::builder(HOST.to_owned())
            .certificate_store(CertificateStore::None)
            .add_root_certificate(Certificate::from_pem(&pem).unwrap())
            .build()
            .unwrap()
    };
    let builder = match case.tls {
        case::Tls::None => AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(HOST),
        case::Tls::Upgrade => AsyncSmtpTransport::<Tokio1Executor>::starttls_relay(HOST)
            .unwrap()
            .tls(Tls::Required(parameters())),
        case::Tls::Implicit => AsyncSmtpTransport::<Tokio1Executor>::relay(HOST)
            .unwrap()
            .tls(Tls::Wrapper(parameters())),
    };
    let mut builder = builder.port(case.port);
    if let Some((user, password)) = case.credentials {
        builder = builder.credentials(Credentials::new(user.to_owned(), password.to_owned()));
    }
    match case.mechanism {
        Some("LOGIN") => builder = builder.authentication(vec![Mechanism::Login]),
        Some(other) => panic!("{other} is not asked for"),
        None => {}
    }
    builder.build()
}

/// An error with all that caused it.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// As the lock file has it.
fn version() -> String {
    let lock = include_str!("../../../Cargo.lock");
    let package = lock.split("name = \"lettre\"\n").nth(1).unwrap_or_default();
    let version = package.lines().next().unwrap_or_default();
    format!("{}, rustls", version.trim_start_matches("version = ").trim_matches('"'))
}
