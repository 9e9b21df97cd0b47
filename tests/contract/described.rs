//! Every request is as the published descriptions say.

use mailferry::config::ProviderKind;

use crate::letters::{Sample, awkward, corpus, faithful, orders_to_mailgun, steered};
use crate::recorder::{Recorded, Recorder};
use crate::specs::{self, Description, Request, document, form};
use crate::support::{config, key, provider};

pub(crate) fn everything() -> Vec<Sample> {
    [faithful(), awkward(), steered(), corpus()].concat()
}

fn request(recorded: &Recorded) -> Request<'_> {
    let header = |name| recorded.headers.get(name).map(|value| value.to_str().unwrap());
    Request {
        method: recorded.method.as_str(),
        path: &recorded.path,
        content_type: header("content-type"),
        idempotency_key: header("idempotency-key"),
        body: &recorded.body,
    }
}

/// Sends every message, and holds each request that arrives against the description. Exactly those of `unfit` are
/// handed back, with these words.
async fn assert_as_described(
    kind: ProviderKind,
    description: &Description,
    unfit: &[(&str, &str)],
) {
    let recorder = Recorder::start().await;
    let provider = provider(&config(kind, &recorder.url));
    let mut handed_back = Vec::new();
    for sample in everything() {
        let calls = match sample.calls(&*provider) {
            Ok(calls) => calls,
            Err(error) => {
                handed_back.push((sample.name.clone(), error.reason));
                continue;
            }
        };
        for call in &calls {
            provider.send(call, &key(&sample, call)).await.unwrap();
        }
        let requests = recorder.take();
        assert_eq!(requests.len(), calls.len(), "{}", sample.name);
        for recorded in &requests {
            let faults = description.faults(&request(recorded));
            assert_eq!(faults, Vec::<String>::new(), "{kind}: {}", sample.name);
        }
    }
    assert_eq!(handed_back.len(), unfit.len(), "{kind}: {handed_back:?}");
    for ((sample, reason), (name, words)) in handed_back.iter().zip(unfit) {
        assert!(sample == name && reason.contains(words), "{kind}: {sample}: {reason}");
    }

    // The question whether the account works is described as well.
    provider.probe().await.unwrap();
    let probes = recorder.take();
    assert_eq!(probes.len(), 1);
    assert_eq!(description.faults(&request(&probes[0])), Vec::<String>::new(), "{kind}");
}

/// No provider takes this From.
const ABROAD: (&str, &str) = ("addresses-idn.eml", "letters outside ASCII before the @");

#[tokio::test]
async fn requests_to_resend_are_as_described() {
    let Some(description) = specs::resend() else { return };
    assert_as_described(ProviderKind::Resend, description, &[ABROAD]).await;
}

#[tokio::test]
async fn requests_to_sendgrid_are_as_described() {
    let Some(description) = specs::sendgrid() else { return };
    assert_as_described(ProviderKind::SendGrid, description, &[ABROAD]).await;
}

#[tokio::test]
async fn requests_to_postmark_are_as_described() {
    let narrow = [
        ("names and domains that need care", "characters that the API does not take"),
        ABROAD,
        ("addresses-odd.eml", "characters that the API does not take"),
    ];
    assert_as_described(ProviderKind::Postmark, specs::postmark(), &narrow).await;
}

#[tokio::test]
async fn requests_to_brevo_are_as_described() {
    let Some(description) = specs::brevo() else { return };
    assert_as_described(ProviderKind::Brevo, description, &[ABROAD]).await;
}

/// The calls of one message, joined.
async fn assert_batches_are_as_described(kind: ProviderKind, description: &Description) {
    let recorder = Recorder::start().await;
    let provider = provider(&config(kind, &recorder.url));
    let most = provider.capabilities().batch.unwrap().calls_max;
    let mut joined_calls = 0;
    for sample in everything() {
        let Ok(calls) = sample.calls(&*provider) else { continue };
        for some in calls.chunks(most) {
            let Some(joined) = provider.join(some) else { continue };
            // The recorder's answer is none to a batch.
            let sent = provider.send_joined(&joined, some.len(), &key(&sample, &joined)).await;
            assert!(sent.is_err());
            joined_calls += some.len();
        }
        for recorded in recorder.take() {
            assert!(recorded.path.ends_with("/batch"));
            let faults = description.faults(&request(&recorded));
            assert_eq!(faults, Vec::<String>::new(), "{kind}: {}", sample.name);
        }
    }
    assert!(joined_calls >= 99, "{kind}: {joined_calls}");
}

#[tokio::test]
async fn batches_to_resend_are_as_described() {
    let Some(description) = specs::resend() else { return };
    assert_batches_are_as_described(ProviderKind::Resend, description).await;
}

#[tokio::test]
async fn batches_to_postmark_are_as_described() {
    assert_batches_are_as_described(ProviderKind::Postmark, specs::postmark()).await;
}

/// It takes raw MIME, so nothing is handed back.
#[tokio::test]
async fn requests_to_ses_are_as_described() {
    let Some(description) = specs::ses() else { return };
    let narrow = [ABROAD, ("huge-header.eml", "a line of more than 998 octets")];
    assert_as_described(ProviderKind::Ses, description, &narrow).await;
}

/// Likewise. The original bytes are in the form.
#[tokio::test]
async fn requests_to_mailgun_are_as_described() {
    let Some(description) = specs::mailgun() else { return };
    assert_as_described(ProviderKind::Mailgun, description, &[ABROAD]).await;
}

#[tokio::test]
async fn orders_to_mailgun_are_as_described() {
    let Some(description) = specs::mailgun() else { return };
    let recorder = Recorder::start().await;
    let provider = provider(&config(ProviderKind::Mailgun, &recorder.url));
    let sample = orders_to_mailgun();
    let call = sample.call(&*provider);
    assert_eq!(call.losses, []);
    provider.send(&call, &key(&sample, &call)).await.unwrap();
    let recorded = recorder.take().remove(0);
    assert_eq!(description.faults(&request(&recorded)), Vec::<String>::new());
    let fields = form::read(request(&recorded).content_type, &recorded.body).unwrap();
    let options = fields.iter().filter(|field| field.name != "to" && field.filename.is_none());
    assert_eq!(options.count(), sample.email.options.len() + 1, "one object has two variables");
}

/// What is posted to a webhook is described by ourselves.
#[tokio::test]
async fn posts_to_a_webhook_are_as_described() {
    assert_as_described(ProviderKind::Webhook, specs::webhook(), &[]).await;
}

/// The regions are rules of their own; the common ones must come out as we write them.
#[test]
fn the_addresses_of_ses_are_as_described() {
    let Some(rules) = document("ses/endpoint-rule-set-1.json") else { return };
    let text = rules.to_string();
    assert!(text.contains("https://email.{Region}.{PartitionResult#dnsSuffix}"), "{text}");
}
