//! Every request is as the published descriptions say.

use mailferry::config::ProviderKind;
use serde_json::Value;

use crate::letters::{Sample, awkward, faithful};
use crate::openapi::Schema;
use crate::service_model;
use crate::support::{call, key, spec};

fn all() -> Vec<Sample> {
    [faithful(), awkward()].concat()
}

fn body(kind: ProviderKind, sample: &Sample) -> Value {
    let call = call(kind, sample);
    assert_eq!(call.content_type, "application/json");
    serde_json::from_slice(&call.body).unwrap()
}

#[test]
fn requests_to_resend_are_as_described() {
    let Some(document) = spec("resend/resend.json") else { return };
    let key_limit = &document["paths"]["/emails"]["post"]["parameters"][0]["schema"]["maxLength"];
    let key_limit = usize::try_from(key_limit.as_u64().unwrap()).unwrap();
    let schema = Schema::new(document, "/components/schemas/SendEmailRequest");
    for sample in all() {
        let faults = schema.faults(&body(ProviderKind::Resend, &sample));
        assert_eq!(faults, Vec::<String>::new(), "{}", sample.name);
        let call = call(ProviderKind::Resend, &sample);
        assert!(key(&sample, &call).as_str().len() <= key_limit);
    }
}

#[test]
fn requests_to_sendgrid_are_as_described() {
    let Some(document) = spec("sendgrid/tsg_mail_v3.json") else { return };
    let pointer = "/components/requestBodies/PostMailSend/content/application~1json/schema";
    let schema = Schema::new(document, pointer);
    for sample in all() {
        let faults = schema.faults(&body(ProviderKind::SendGrid, &sample));
        assert_eq!(faults, Vec::<String>::new(), "{}", sample.name);
    }
}

#[test]
fn requests_to_ses_are_as_described() {
    let Some(model) = spec("ses/service-2.json") else { return };
    let operation = &model["operations"]["SendEmail"];
    assert_eq!(operation["http"]["requestUri"], "/v2/email/outbound-emails");
    let shape = operation["input"]["shape"].as_str().unwrap();
    for sample in all() {
        let faults = service_model::faults(&model, shape, &body(ProviderKind::Ses, &sample));
        assert_eq!(faults, Vec::<String>::new(), "{}", sample.name);
    }
}

/// The regions are rules of their own; the common ones must come out as we write them.
#[test]
fn the_addresses_of_ses_are_as_described() {
    let Some(rules) = spec("ses/endpoint-rule-set-1.json") else { return };
    let text = rules.to_string();
    assert!(text.contains("https://email.{Region}.{PartitionResult#dnsSuffix}"), "{text}");
}

#[test]
fn messages_that_every_provider_can_carry_lose_nothing() {
    for kind in [ProviderKind::Resend, ProviderKind::SendGrid, ProviderKind::Ses] {
        for sample in faithful() {
            assert_eq!(call(kind, &sample).losses, [], "{kind}: {}", sample.name);
        }
    }
}

#[test]
fn what_a_structured_provider_leaves_out_is_named() {
    for kind in [ProviderKind::Resend, ProviderKind::SendGrid] {
        for sample in awkward() {
            let named = !call(kind, &sample).losses.is_empty();
            let expected = match sample.name {
                // An empty body is no content.
                "empty bodies" => false,
                // Only SendGrid demands that an address stands once.
                "the same address three times" => kind == ProviderKind::SendGrid,
                _ => true,
            };
            assert_eq!(named, expected, "{kind}: {}", sample.name);
        }
    }
}
