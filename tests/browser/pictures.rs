//! The pictures of docs/images: `UPDATE=1 scripts/test --test browser pictures` takes them anew. Without it, they are
//! taken and thrown away, so that what they need keeps working.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::chromium::{Browser, Look};
use super::marks;
use super::past::{self, Past};
use super::support::relay::Setup;
use super::support::smtp::{self, Mail};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/images");

/// Of all pictures together: who clones the repository gets them too.
const OCTETS_MAX: usize = 400 * 1024;

const QUALITY: u32 = 82;

async fn take(browser: &Browser, name: &str, look: Look, url: &str) -> usize {
    browser.look(look).await;
    browser.devtools("Emulation.setScrollbarsHidden", json!({"hidden": true})).await;
    browser.open(url).await;
    browser.until_quiet().await;
    // What a frame shows is there when it says so, and what is measured in time stands still for a moment.
    browser.promise("await new Promise(done => setTimeout(done, 400)); return document.fonts.ready.then(() => true)").await;
    let shot = json!({"format": "webp", "quality": QUALITY, "captureBeyondViewport": false});
    let picture = browser.devtools("Page.captureScreenshot", shot).await;
    let picture = STANDARD.decode(picture["data"].as_str().unwrap()).unwrap();
    assert_eq!(picture.get(8..12), Some(&b"WEBP"[..]), "{name}");
    assert!(picture.len() > 4 * 1024, "{name} shows nothing: {} octets", picture.len());
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(FOLDER).unwrap();
        std::fs::write(Path::new(FOLDER).join(format!("{name}.webp")), &picture).unwrap();
    }
    picture.len()
}

#[tokio::test]
async fn pictures_of_the_page_are_small() {
    let Some(browser) = Browser::start("pictures_of_the_page_are_small").await else { return };
    let past = Past::open().await;
    let url = |path: &str| past.relay.http.url(path);
    let desk = Look { height: 860, ..Look::DESK };
    let phone = Look { height: 740, ..Look::PHONE };
    let mut octets = 0;
    let message = url(&format!("/messages/{}?tab=preview", past.newest));
    let failed = url(&format!("/messages/{}", past.failed));
    for (name, look, url) in [
        ("overview", desk, url("/")),
        ("overview-dark", desk.dark(), url("/")),
        ("overview-korean", desk.korean(), url("/")),
        ("messages", desk, url("/messages")),
        ("message-failed", desk, failed.clone()),
        ("message-preview", desk, message),
        ("phone-messages", phone, url("/messages")),
        ("phone-failed-dark", phone.dark(), failed),
    ] {
        octets += take(&browser, name, look, &url).await;
    }

    let dev = Setup::bare().command(&["dev"]).start().await;
    for subject in
        ["Reset your password", "Your order 10436 has been shipped", "Weekly digest: 14 new topics"]
    {
        smtp::submit(dev.smtp, &Mail::about(subject)).await;
    }
    smtp::submit(dev.smtp, &super::scene::welcome()).await;
    let id = smtp::submit(dev.smtp, &past::confirm()).await;
    browser.look(desk).await;
    browser.open(&dev.http.url("/")).await;
    browser.find(&marks::row(&id)).await;
    octets += take(&browser, "inbox", desk, &dev.http.url(&format!("/messages/{id}"))).await;
    assert!(octets <= OCTETS_MAX, "{octets} octets");
}
