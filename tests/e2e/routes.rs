//! Routes of the configuration, with two providers: by the sender's domain, by a header field, by recipient.

use crate::support::fake::{Behaviour, FakeProvider, Service};
use crate::support::relay::{Relay, Setup};
use crate::support::smtp::{self, Mail};

struct Scene {
    resend: FakeProvider,
    sendgrid: FakeProvider,
    relay: Relay,
}

/// By default mail goes by resend alone.
async fn scene() -> Scene {
    let resend = FakeProvider::resend().await;
    let sendgrid = FakeProvider::start(Service::SendGrid).await;
    let relay = Setup::resend(&resend)
        .and_sendgrid(&sendgrid)
        .set("delivery.providers", "resend")
        .set("routes.0.name", "news")
        .set("routes.0.providers", "sendgrid")
        .set("routes.0.sender_domain", "news.sender.example")
        .set("routes.1.name", "kind")
        .set("routes.1.providers", "sendgrid")
        .set("routes.1.header.name", "X-Kind")
        .set("routes.1.header.value", "bulk*")
        .set("routes.2.name", "korea")
        .set("routes.2.providers", "sendgrid")
        .set("routes.2.recipient_domain", "*.kr")
        .start()
        .await;
    Scene { resend, sendgrid, relay }
}

async fn delivered(scene: &Scene, mail: &Mail) -> (String, String) {
    let id = smtp::submit(scene.relay.smtp, mail).await;
    let message = scene.relay.http.until_message_is(&id, "delivered").await;
    let text = |key: &str| message[key].as_str().unwrap_or_default().to_owned();
    (text("route"), text("provider"))
}

#[tokio::test]
async fn sender_header_and_recipient_decide_about_the_provider() {
    let scene = scene().await;
    let ways = |route: &str, provider: &str| (route.to_owned(), provider.to_owned());
    let plain = Mail::about("plain");
    assert_eq!(delivered(&scene, &plain).await, ways("default", "resend"));
    let news = Mail { from: "app@News.Sender.example".to_owned(), ..Mail::about("news") };
    assert_eq!(delivered(&scene, &news).await, ways("news", "sendgrid"));
    let kind = Mail::about("kind");
    let kind = Mail { data: format!("X-Kind: bulky\r\n{}", kind.data), ..kind };
    assert_eq!(delivered(&scene, &kind).await, ways("kind", "sendgrid"));
    let korea = Mail { to: vec!["ada@mail.kr".to_owned()], ..Mail::about("korea") };
    assert_eq!(delivered(&scene, &korea).await, ways("korea", "sendgrid"));
    assert_eq!((scene.resend.calls().len(), scene.sendgrid.calls().len()), (1, 3));
}

#[tokio::test]
async fn a_route_that_is_closed_holds_up_its_own_recipients_only() {
    let scene = scene().await;
    let invalid = Behaviour::resend_error(401, "validation_error", "API key is invalid");
    scene.resend.behave_in_everything(&invalid);
    let to = ["ada@rcpt.example", "bob@mail.kr"].map(str::to_owned).to_vec();
    let id = smtp::submit(scene.relay.smtp, &Mail { to, ..Mail::about("both") }).await;
    let message = scene.relay.http.until_message_is(&id, "queued").await;
    let bob = |message: &serde_json::Value| message["recipients"][1]["state"].clone();
    assert_eq!(
        (bob(&message).as_str(), message["route"].as_str()),
        (Some("delivered"), Some("default"))
    );
    assert_eq!(message["recipients"][0]["state"], "queued");
    assert_eq!(scene.sendgrid.calls().len(), 1);
}
