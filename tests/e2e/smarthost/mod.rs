//! A mail server behind the relay: the octets that an app hands in are those that arrive there.

mod aiosmtpd;
mod ferry;
mod postfix;

use std::net::SocketAddr;
use std::path::Path;

use tempfile::TempDir;

use crate::support::certificates::{Certificates, HOST};
use crate::support::relay::Setup;
use crate::support::smtp::Mail;

const USER: &str = "relay@sender.example";
const PASSWORD: &str = "sm4rt-h0st-Secret";

/// A folder with the certificate of the server behind the relay.
fn certificates() -> (TempDir, Certificates) {
    let folder = tempfile::Builder::new().prefix("mailferry-smarthost-").tempdir().unwrap();
    let certificates = Certificates::write(folder.path());
    (folder, certificates)
}

/// A relay whose one provider is the server on this port of this machine, by the well-known names.
fn setup(port: u16, authority: &Path) -> Setup {
    Setup::bare()
        .env("EMAIL_PROVIDERS", "smtp")
        .env("SMTP_HOST", HOST)
        .env("SMTP_PORT", &port.to_string())
        .env("SMTP_USE_TLS", "true")
        .env("SSL_CERT_FILE", authority.to_str().unwrap())
        .set("delivery.retry_min", "100ms")
        .set("delivery.retry_max", "400ms")
}

/// A mail whose octets are easily broken on the way: dots, 8-bit text, long Base64, blank lines.
fn awkward(recipients: &[&str]) -> Mail {
    let base64 = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo=\r\n".repeat(2000);
    let data = format!(
        "From: =?utf-8?B?7Jik65287Yuw7Jik?= <hong@sender.example>\r\n\
         To: =?euc-kr?B?seg=?= <ada@rcpt.example>,\r\n\t\"Two; words\" <bob@rcpt.example>\r\n\
         Subject: folded\r\n and  spaced \r\n\
         Date: Sat, 21 Nov 2026 10:00:00 +0000\r\n\
         Message-ID: <awkward@sender.example>\r\n\
         DKIM-Signature: v=1; a=rsa-sha256; d=sender.example; s=s;\r\n\tbh=x; b=y\r\n\
         MIME-Version: 1.0\r\n\
         Content-Type: multipart/mixed; boundary=\"=_b\"\r\n\r\n\
         preamble\r\n--=_b\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Transfer-Encoding: 8bit\r\n\r\n\
         .\r\n..\r\n.한글\r\n\r\n   \r\n--=_b\r\nContent-Type: application/octet-stream; name=a\r\n\
         Content-Transfer-Encoding: base64\r\n\r\n{base64}--=_b--\r\nepilogue\r\n.\r\nend\r\n"
    );
    Mail {
        from: "bounce+1@sender.example".to_owned(),
        to: recipients.iter().map(|it| (*it).to_owned()).collect(),
        data,
    }
}

/// What the client's end of the data adds to a mail that ends with a line end.
fn submitted(mail: &Mail) -> Vec<u8> {
    format!("{}\r\n", mail.data).into_bytes()
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    listener.local_addr().unwrap().port()
}
