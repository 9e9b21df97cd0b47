//! SES as moto plays it, with signatures checked.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mailferry::config::{ProviderConfig, ProviderKind};
use mailferry::message::Email;
use mailferry::provider::{Provider, Verdict};
use mailferry::secret::Secret;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;

use crate::letters::{Sample, TO_SES, awkward, faithful, steered};
use crate::support::{config, key, oracle, provider, python};

/// The running moto. It ends when its standard input does, at the latest with this process.
struct Moto {
    account: ProviderConfig,
    url: String,
    _process: Child,
}

impl Moto {
    /// `None` when there is no Python for it.
    async fn start(senders: &[&str]) -> Option<Self> {
        let python = python()?;
        let mut process = oracle(&python, "moto_ses.py").args(senders).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let line = tokio::time::timeout(Duration::from_mins(2), lines.next_line()).await;
        let line = line.expect("moto starts").unwrap().expect("moto says where it listens");
        let said: Value = serde_json::from_str(&line).unwrap();
        let text = |name: &str| said[name].as_str().unwrap().to_owned();
        let url = text("url");
        let account = ProviderConfig {
            region: Some(text("region")),
            access_key_id: Some(text("access_key_id")),
            secret_access_key: Secret::new(text("secret_access_key")),
            ..config(ProviderKind::Ses, &url)
        };
        Some(Self { account, url, _process: process })
    }

    /// The messages that it has taken.
    async fn messages(&self) -> Vec<Value> {
        let data = reqwest::get(format!("{}/moto-api/data.json", self.url)).await.unwrap();
        let data: Value = data.json().await.unwrap();
        data["ses"]["RawMessage"].as_array().cloned().unwrap_or_default()
    }
}

/// Offers a message, and returns it as moto keeps it.
async fn pass(moto: &Moto, provider: &dyn Provider, sample: &Sample) -> Value {
    let call = sample.call(provider);
    let receipt = provider.send(&call, &key(sample, &call)).await.unwrap();
    let messages = moto.messages().await;
    let id = receipt.provider_message_id.unwrap();
    messages.into_iter().find(|message| message["id"] == id).expect("moto has the message")
}

fn mime(taken: &Value) -> String {
    let raw = taken["raw_data"].as_str().unwrap();
    let raw = STANDARD.decode(raw).unwrap_or_else(|_| raw.as_bytes().to_vec());
    String::from_utf8(raw).unwrap()
}

#[tokio::test]
async fn a_signed_message_arrives_as_it_was_submitted() {
    let senders = ["ada@example.org", "notice@oratio.example"];
    let Some(moto) = Moto::start(&senders).await else { return };
    let provider = provider(&moto.account);
    for sample in faithful() {
        let taken = pass(&moto, &*provider, &sample).await;
        // SES writes its own Message-ID, so this one stands in References as well.
        let own =
            Email::parse(&sample.raw).headers.into_iter().find(|(name, _)| name == "Message-ID");
        let id = own.map_or(String::new(), |(_, id)| id);
        let arrived = mime(&taken).replacen(&format!("References: {id}\r\n"), "", 1);
        let arrived = arrived.replacen(&format!("\r\n {id}\r\n"), "\r\n", 1);
        assert_eq!(arrived, String::from_utf8(sample.raw.clone()).unwrap(), "{}", sample.name);
        for recipient in &sample.envelope.recipients {
            assert!(taken["destinations"].to_string().contains(recipient.as_str()), "{taken}");
        }
    }
    assert_eq!(moto.messages().await.len(), faithful().len());

    // It has no GetAccount, which says nothing about the key.
    assert_eq!(provider.probe().await, Ok(()));
}

#[tokio::test]
async fn hidden_recipients_and_orders_arrive_beside_the_message_and_not_in_it() {
    let Some(moto) = Moto::start(&["ada@example.org"]).await else { return };
    let provider = provider(&moto.account);
    let name = "headers that may not travel";
    let sample = awkward().into_iter().find(|sample| sample.name == name).unwrap();
    let taken = pass(&moto, &*provider, &sample).await;
    assert!(taken["destinations"].to_string().contains("hidden@example.net"), "{taken}");
    let mime = mime(&taken);
    for gone in ["hidden@", "Bcc", "Return-Path", "X-SES-", "X-SMTPAPI"] {
        assert!(!mime.contains(gone), "{gone} has arrived: {mime}");
    }
    assert!(mime.contains("X-Number: 12\r\n") && mime.contains("\r\nMessage-ID: <"), "{mime}");
}

#[tokio::test]
async fn orders_in_header_fields_are_taken_beside_the_message() {
    let Some(moto) = Moto::start(&["ada@example.org"]).await else { return };
    let provider = provider(&moto.account);
    let sample = steered().into_iter().find(|sample| sample.name == TO_SES).unwrap();
    let mime = mime(&pass(&moto, &*provider, &sample).await);
    assert!(mime.starts_with("From: Ada") && !mime.contains("X-SES-"), "{mime}");
}

#[tokio::test]
async fn a_wrong_key_is_a_misconfiguration() {
    let Some(moto) = Moto::start(&["ada@example.org"]).await else { return };
    let sample = &faithful()[0];
    let secret = ProviderConfig { secret_access_key: Secret::new("wrong"), ..moto.account.clone() };
    let unknown =
        ProviderConfig { access_key_id: Some("AKIANOBODY".to_owned()), ..moto.account.clone() };
    for (account, words) in [(secret, "SignatureDoesNotMatch"), (unknown, "InvalidClientTokenId")] {
        let provider = provider(&account);
        let call = sample.call(&*provider);
        let error = provider.send(&call, &key(sample, &call)).await.unwrap_err();
        assert_eq!(error.verdict, Verdict::Misconfigured, "{error}");
        assert!(error.reason.contains(words), "{error}");
    }
    assert_eq!(moto.messages().await.len(), 0);
}
