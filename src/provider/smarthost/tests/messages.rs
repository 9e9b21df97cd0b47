//! The octets that arrive are those that were handed in.

use super::*;
use crate::message::Email;

const HEAD: &str =
    "From: a@x.org\r\nDate: Sat, 21 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@x.org>\r\n";

fn sample(body: &[u8]) -> Sample {
    let raw = [HEAD.as_bytes(), body].concat();
    Sample { email: Email::parse(&raw), raw, ..Sample::plain() }
}

#[tokio::test]
async fn every_octet_arrives_and_dots_are_not_the_end() {
    let file: Vec<u8> = (0..200_000_u32).map(|n| b"ab.\r\n"[(n % 5) as usize]).collect();
    let file = String::from_utf8(file).unwrap().replace("\r\n.", ".\r\n..");
    let bodies = [
        "\r\nx\r\n".to_owned(),
        "\r\n".to_owned(),
        "\r\n.\r\n".to_owned(),
        "\r\n..\r\n.\r\n\r\n.x\r\n".to_owned(),
        "\r\n\r\n\r\n".to_owned(),
        "\r\n.한글 8-bit\r\n".to_owned(),
        format!("\r\n{file}\r\n"),
        // A dot on each side of the pieces in which content is written.
        format!("\r\n{}\r\n", ".\r\n".repeat(50_000)),
    ];
    for body in bodies {
        let sample = sample(body.as_bytes());
        let (outcome, visits) = attempt(Script::offering(&ALL), &sample).await;
        outcome.unwrap();
        assert_eq!(visits[0].contents.len(), 1, "one message: {body:.40}");
        assert!(visits[0].message() == sample.raw, "{body:.40?}");
    }
}

#[tokio::test]
async fn a_message_without_a_last_line_end_gets_one() {
    let sample = sample(b"\r\nx");
    let (_, visits) = attempt(Script::offering(&ALL), &sample).await;
    assert_eq!(visits[0].message(), [&sample.raw[..], b"\r\n"].concat());
}

#[tokio::test]
async fn hidden_recipients_are_in_the_envelope_alone() {
    let mut sample = Sample::rich();
    sample.raw = [b"Bcc: hidden@example.net\r\n", HEAD.as_bytes(), b"\r\nx\r\n"].concat();
    let (_, visits) = attempt(Script::offering(&ALL), &sample).await;
    assert_eq!(
        visits[0].said("RCPT"),
        [
            "RCPT TO:<kim@xn--vv4b11d.xn--3e0b707e>",
            "RCPT TO:<jane@example.com>",
            "RCPT TO:<hidden@example.net>"
        ]
    );
    assert_eq!(visits[0].message(), [HEAD.as_bytes(), b"\r\nx\r\n"].concat());
}

#[tokio::test]
async fn what_the_server_offers_is_used() {
    let sample = sample("\r\n한글\r\n".as_bytes());
    let (_, visits) = attempt(Script::offering(&ALL), &sample).await;
    let size = sample.raw.len();
    assert_eq!(
        visits[0].said("MAIL"),
        [format!("MAIL FROM:<ada@example.org> SIZE={size} BODY=8BITMIME")]
    );
    let (_, visits) = attempt(Script::default(), &sample).await;
    assert_eq!(visits[0].said("MAIL"), ["MAIL FROM:<ada@example.org>"]);
    let message = visits[0].message();
    assert!(message.is_ascii());
    assert_eq!(Email::parse(&message).text.unwrap().trim_end(), "한글");
}

#[tokio::test]
async fn what_is_shown_is_what_the_server_hears() {
    for sample in [sample("\r\n한글\r\n".as_bytes()), Sample::rich()] {
        let server = Server::start(Script::offering(&ALL)).await;
        let provider = made(&plain(&server), &server);
        let call = provider.prepare(&sample.letter()).unwrap();
        let key = IdempotencyKey::of(sample.id, &call);
        let shown = provider.show(&call, &key).await.unwrap();
        provider.send(&call, &key).await.unwrap();
        assert_eq!(provider.show(&call, &key).await.unwrap(), shown, "with a connection kept");
        let visits = server.visits();
        let heard = [visits[0].said("MAIL"), visits[0].said("RCPT")].concat();
        let said = shown.headers.iter().map(|(verb, rest)| format!("{verb}:{rest}"));
        assert_eq!(said.collect::<Vec<_>>(), heard);
        assert!(visits[0].message() == shown.body);
        assert_eq!(shown.url, format!("smtp://localhost:{}", server.address.port()));
    }
}

#[tokio::test]
async fn the_null_sender_is_kept() {
    let mut sample = Sample::plain();
    sample.envelope.sender = None;
    let (_, visits) = attempt(Script::default(), &sample).await;
    assert_eq!(visits[0].said("MAIL"), ["MAIL FROM:<>"]);
}

#[test]
fn the_same_letter_gives_the_same_call_and_nothing_is_lost() {
    let config = config(ProviderKind::Smtp);
    let config = ProviderConfig {
        smarthost: SmarthostConfig { host: Some("mx".to_owned()), ..SmarthostConfig::default() },
        ..config
    };
    let provider = Smarthost::new(&config).unwrap();
    let call = provider.prepare(&Sample::rich().letter()).unwrap();
    assert_eq!(call, provider.prepare(&Sample::rich().letter()).unwrap());
    assert!(call.losses.is_empty());

    let mut sample = Sample::plain();
    let hidden = |n: usize| format!("r{n}@example.org").parse().unwrap();
    sample.addressing.bcc = (1..100).map(hidden).collect();
    assert!(provider.prepare(&sample.letter()).is_ok());
    sample.addressing.bcc.push(hidden(0));
    assert!(provider.prepare(&sample.letter()).unwrap_err().reason.contains("101 recipients"));
    let mut sample = Sample::plain();
    sample.raw.resize(MESSAGE_MAX + 1, b'\n');
    assert!(provider.prepare(&sample.letter()).is_err());
}

#[test]
fn what_a_service_allows_is_known() {
    let mut config = config(ProviderKind::Smtp);
    for (preset, recipients, rated) in [
        (Preset::Gmail, 100, false),
        (Preset::Office365, 100, true),
        (Preset::Naver, 100, false),
        (Preset::Ses, 50, false),
    ] {
        config.smarthost.preset = Some(preset);
        let provider = Smarthost::new(&config).unwrap();
        let limits = provider.capabilities();
        assert_eq!((limits.recipients_per_call, limits.rate.is_some()), (recipients, rated));
        assert_eq!(limits.message_id == MessageIdFate::Replaced, preset == Preset::Ses);
    }
    config.smarthost.preset = None;
    let error = Smarthost::new(&config).unwrap_err().to_string();
    assert_eq!(error, "providers.smtp.host is not set");
}
