//! From the bytes of a message to the body of a request, in one thread: MB of raw message per second, for each provider.
//! Prints JSON, and leaves the messages in target/bench for the programs that it is compared with.
//!
//!     bench-convert SCALE      measures for two seconds times SCALE each

#![expect(clippy::print_stdout, reason = "it prints what it measures")]

use std::error::Error;
use std::fs;
use std::hint::black_box;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mailferry::clock::{SystemClock, Timestamp};
use mailferry::config::{ProviderConfig, ProviderKind, Quota, SmarthostConfig};
use mailferry::message::{Addressing, Email, Envelope, QueueId};
use mailferry::provider::{Form, HttpClient, Letter, Provider, build};
use mailferry::secret::Secret;
use serde_json::{Map, Value};
use tokio::time::Instant;

type Fault = Box<dyn Error + Send + Sync>;

const KINDS: [ProviderKind; 4] =
    [ProviderKind::Resend, ProviderKind::SendGrid, ProviderKind::Postmark, ProviderKind::Ses];
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/bench");

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Fault> {
    let scale: f64 = std::env::args().nth(1).as_deref().unwrap_or("1").parse()?;
    let time = Duration::from_secs_f64(2.0 * scale);
    fs::create_dir_all(FOLDER)?;
    let mut figures = Map::new();
    for (name, raw) in [("alternative", alternative()), ("attachment", attachment())] {
        fs::write(format!("{FOLDER}/{name}.eml"), &raw)?;
        figures.insert(format!("{name} octets"), raw.len().into());
        let mut rates = Map::new();
        for kind in KINDS {
            let provider = provider(kind)?;
            // One does not take files as large as this.
            if raw.len() < provider.capabilities().request_bytes_max {
                rates
                    .insert(kind.name().to_owned(), rate(&*provider, raw.as_bytes(), time)?.into());
            }
        }
        figures.insert(name.to_owned(), Value::Object(rates));
    }
    println!("{}", Value::Object(figures));
    Ok(())
}

/// MB of raw message per second.
fn rate(provider: &dyn Provider, raw: &[u8], time: Duration) -> Result<f64, Fault> {
    convert(provider, raw)?;
    let begun = Instant::now();
    let mut octets = 0.0;
    while begun.elapsed() < time {
        convert(provider, raw)?;
        octets += raw.len() as f64;
    }
    Ok(octets / begun.elapsed().as_secs_f64() / 1e6)
}

/// What delivery does with a message that goes in one call.
fn convert(provider: &dyn Provider, raw: &[u8]) -> Result<(), Fault> {
    let envelope = Envelope {
        sender: Some("app@example.org".parse()?),
        recipients: vec!["ada@example.net".parse()?],
        smtp_utf8: false,
        dsn: None,
    };
    let email = Email::parse(raw);
    let limits = provider.capabilities();
    let structured = limits.form == Form::Structured;
    let recipients = &envelope.recipients;
    for addressing in &Addressing::split(&email, recipients, limits.recipients_per_call, structured)
    {
        let letter = Letter {
            id: QueueId::from_bytes([1; 16]),
            envelope: &envelope,
            received_at: Timestamp::UNIX_EPOCH,
            raw,
            email: &email,
            addressing,
        };
        black_box(provider.prepare(&letter)?);
    }
    Ok(())
}

fn provider(kind: ProviderKind) -> Result<Arc<dyn Provider>, Fault> {
    let config = ProviderConfig {
        name: kind.name().to_owned(),
        kind,
        api_key: Secret::new("key"),
        base_url: Some("http://127.0.0.1:9".parse()?),
        rate: None,
        daily_quota: Quota::default(),
        monthly_quota: Quota::default(),
        concurrency: NonZeroUsize::MIN,
        timeout: Duration::from_secs(1),
        region: Some("eu-west-1".to_owned()),
        access_key_id: Some("AKIAIOSFODNN7EXAMPLE".to_owned()),
        secret_access_key: Secret::new("secret"),
        session_token: Secret::default(),
        domain: None,
        smarthost: SmarthostConfig::default(),
        url: None,
        secret: Secret::default(),
    };
    Ok(build(&config, &HttpClient::new()?, Arc::new(SystemClock))?)
}

const HEADER: &str = "From: App <app@example.org>\r\nTo: Ada <ada@example.net>\r\n\
    Subject: =?utf-8?Q?Your_order_is_on_its_way_=E2=9C=88?=\r\nDate: Sat, 21 Nov 2026 10:00:00 +0000\r\n\
    Message-ID: <1@example.org>\r\nMIME-Version: 1.0\r\n";

/// Text and HTML, quoted-printable, 4 KiB in all.
fn alternative() -> String {
    let text =
        "Dear Ada,\r\n\r\nyour order is on its way =E2=9C=88 and comes tomorrow.\r\n".repeat(16);
    let row =
        "<tr><td style=3D\"padding:4px\">One thing</td><td>12.50 =E2=82=AC</td></tr>=\r\n\r\n";
    let mut mail = format!(
        "{HEADER}Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\n\
         Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n{text}\r\n\
         --b\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
         <html><body><table>\r\n"
    );
    while mail.len() < 4096 - row.len() - 40 {
        mail.push_str(row);
    }
    mail.push_str("</table></body></html>\r\n--b--\r\n");
    mail
}

/// A text and a file of 10 MiB, base64.
fn attachment() -> String {
    let octets: Vec<u8> =
        (0..10_u32 << 20).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut mail = format!(
        "{HEADER}Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\n\
         See the file.\r\n--b\r\nContent-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\
         Content-Disposition: attachment; filename=\"report.pdf\"\r\n\r\n"
    );
    for line in octets.chunks(57) {
        STANDARD.encode_string(line, &mut mail);
        mail.push_str("\r\n");
    }
    mail.push_str("--b--\r\n");
    mail
}
