//! Binary mail in chunks, from the socket to the provider; and what was wished about notifications, to the operator.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mailferry::message::Email;
use serde_json::json;

use crate::support::fake::{FakeProvider, Service};
use crate::support::relay::{Relay, Setup};
use crate::support::smtp::Session;

const SENDER: &str = "<scan@office.example> BODY=BINARYMIME RET=HDRS ENVID=scan+2B17";
const RECIPIENT: &str = "<ada@example.org> NOTIFY=FAILURE ORCPT=rfc822;all@example.org";

/// A message whose attachment is all octets there are, many times.
fn message() -> (Vec<u8>, Vec<u8>) {
    let data: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let message = [
        b"From: scan@office.example\r\nTo: ada@example.org\r\nSubject: Scan\r\nMIME-Version: 1.0\r\n\
          Content-Type: multipart/mixed; boundary=\"=-scan\"\r\nContent-Transfer-Encoding: binary\r\n\r\n\
          --=-scan\r\nContent-Type: text/plain\r\n\r\nOne page.\r\n--=-scan\r\n\
          Content-Type: application/octet-stream; name=scan.bin\r\nContent-Transfer-Encoding: binary\r\n\r\n",
        &data[..],
        b"\r\n--=-scan--\r\n",
    ]
    .concat();
    (message, data)
}

/// Sends it in chunks of this size and waits until it has left.
async fn delivered(relay: &Relay, content: &[u8], size: usize) -> serde_json::Value {
    let mut session = Session::open(relay.smtp).await.unwrap();
    let reply = session.send_chunks(SENDER, RECIPIENT, content, size).await.unwrap();
    relay.http.until_message_is(&reply.queue_id(), "delivered").await
}

#[tokio::test]
async fn a_binary_attachment_arrives_octet_by_octet() {
    let fake = FakeProvider::resend().await;
    let relay = Setup::resend(&fake).start().await;
    let (content, data) = message();
    for size in [1000, 65_537, content.len()] {
        let shown = delivered(&relay, &content, size).await;
        assert_eq!(shown["size"], content.len());
        assert_eq!(
            shown["dsn"],
            json!({
                "ret": "hdrs",
                "envelope_id": "scan+17",
                "recipients": [{
                    "address": "ada@example.org",
                    "notify": ["failure"],
                    "original": { "address_type": "rfc822", "address": "all@example.org" },
                }],
            })
        );
        let mails = fake.mails();
        let attachment = mails.last().unwrap().json["attachments"][0]["content"].as_str();
        assert!(STANDARD.decode(attachment.unwrap()).unwrap() == data, "in chunks of {size}");
    }
    assert_eq!(fake.mail_count(), 3);
}

#[tokio::test]
async fn for_a_seven_bit_way_it_is_encoded() {
    let fake = FakeProvider::start(Service::Ses).await;
    let setup = Setup::ses(&fake);
    let relay = setup.start().await;
    let (content, data) = message();
    delivered(&relay, &content, 10_000).await;
    let json = &fake.mails()[0].json;
    let raw = STANDARD.decode(json["Content"]["Raw"]["Data"].as_str().unwrap()).unwrap();
    assert!(raw.is_ascii() && !raw.contains(&0));
    assert!(Email::parse(&raw).attachments[0].bytes == data);
}
