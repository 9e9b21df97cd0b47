//! The first minute of a developer: `mailferry dev`, a mail sent by an app, and the page that has it at once.

use std::time::Duration;

use serde_json::json;
use thirtyfour::By;

use super::chromium::Browser;
use super::marks;
use super::scene;
use super::support::letter;
use super::support::relay::Setup;
use super::support::smtp::{self, Mail};
use super::support::wait;

#[tokio::test]
async fn caught_mail_shows_up_by_itself_and_can_be_read() {
    let name = "caught_mail_shows_up_by_itself_and_can_be_read";
    let Some(browser) = Browser::start(name).await else { return };
    let relay = Setup::bare().command(&["dev"]).start().await;
    browser.open(&relay.http.url("/")).await;
    // The empty inbox says where to send.
    let port = relay.smtp.port().to_string();
    let shown = browser.shown().await;
    assert!(shown.contains(&port), "{shown}");
    browser.until_live().await;
    let id = smtp::submit(relay.smtp, &scene::welcome()).await;
    let row = marks::row(&id);
    browser.find(&row).await;
    browser.until_live().await;
    browser.script("window.untouched = true").await;
    let second = smtp::submit(relay.smtp, &Mail::about("The second")).await;
    browser.find(&marks::row(&second)).await;
    assert_eq!(browser.script("return window.untouched").await, true, "the page was loaded again");
    let listed = browser.script(marks::LISTED).await;
    assert_eq!(listed, json!([second, id]), "the newest does not stand first");

    browser.follow(&format!("{row} a")).await;
    let frame = browser.find(marks::FRAME).await;
    let sandbox = frame.attr("sandbox").await.unwrap().unwrap_or_default();
    for word in ["allow-scripts", "allow-same-origin", "allow-top-navigation", "allow-forms"] {
        assert!(!sandbox.contains(word), "{sandbox}");
    }
    frame.enter_frame().await.unwrap();
    let title = wait::until("the mail is in the frame", async || {
        browser.driver().find(By::Css("h1")).await.ok()?.text().await.ok()
    })
    .await;
    assert_eq!(title, "Welcome, Ada");
    let link = browser.driver().find(By::Css("a")).await.unwrap();
    assert_eq!(link.attr("target").await.unwrap().as_deref(), Some("_blank"));
    let rel = link.attr("rel").await.unwrap().unwrap_or_default();
    assert!(rel.contains("noopener") && rel.contains("noreferrer"), "{rel}");
    let image = browser.driver().find(By::Css("img[alt=logo]")).await.unwrap();
    let source = image.attr("src").await.unwrap().unwrap_or_default();
    assert!(source.starts_with("data:image/png;base64,"), "{source}");
    browser.driver().enter_default_frame().await.unwrap();
    assert_eq!(browser.outside.asked(), Vec::<String>::new(), "a remote image was loaded unasked");
}

#[tokio::test]
async fn text_headers_source_and_files_are_a_step_away() {
    let name = "text_headers_source_and_files_are_a_step_away";
    let Some(browser) = Browser::start(name).await else { return };
    let relay = Setup::bare().command(&["dev"]).start().await;
    let id = smtp::submit(relay.smtp, &scene::welcome()).await;
    relay.http.until_message_is(&id, "delivered").await;
    let page = relay.http.url(&format!("/messages/{id}"));
    for (tab, expected) in [
        ("text", "The plain text of it."),
        ("headers", "welcome@sender.example"),
        ("source", "boundary=mixed"),
        ("attachments", "report.pdf"),
        ("delivery", "ada@rcpt.example"),
    ] {
        browser.open(&page).await;
        browser.follow(&marks::tab(tab)).await;
        let has = format!(
            "return document.querySelector('main').innerText.includes({})",
            json!(expected)
        );
        let what = format!("{expected} behind {tab}");
        // What stands in a frame or a field is not text of the page itself.
        if tab != "source" {
            browser.until(&what, &has).await;
        }
    }

    let folder = tempfile::tempdir().unwrap();
    let allow = json!({"behavior": "allow", "downloadPath": folder.path()});
    browser.devtools("Browser.setDownloadBehavior", allow).await;
    browser.open(&page).await;
    browser.follow(&marks::tab("attachments")).await;
    browser.find("main a[download]").await;
    let file = By::XPath("//main//a[@download][contains(., 'report.pdf')]");
    browser.driver().find(file).await.unwrap().click().await.unwrap();
    let bytes = wait::until_within(Duration::from_secs(20), "the file is saved", async || {
        std::fs::read(folder.path().join("report.pdf")).ok().filter(|it| !it.is_empty())
    })
    .await;
    assert!(bytes == letter::file_bytes(), "{} octets of something else", bytes.len());
}

#[tokio::test]
async fn remote_images_are_loaded_when_asked_for_and_only_then() {
    let name = "remote_images_are_loaded_when_asked_for_and_only_then";
    let Some(browser) = Browser::start(name).await else { return };
    let relay = Setup::bare().command(&["dev"]).start().await;
    let id = smtp::submit(relay.smtp, &scene::welcome()).await;
    relay.http.until_message_is(&id, "delivered").await;
    browser.open(&relay.http.url(&format!("/messages/{id}"))).await;
    browser.find(marks::FRAME).await;
    browser.find(marks::IMAGES).await;
    assert_eq!(browser.outside.asked(), Vec::<String>::new());
    browser.follow(marks::IMAGES).await;
    wait::until_true("the image was asked for", || !browser.outside.asked().is_empty()).await;
    let asked = browser.outside.asked();
    assert_eq!(asked, ["GET http://remote.example/pixel HTTP/1.1"]);
    // Not remembered for the next mail, nor for this one.
    browser.open(&relay.http.url(&format!("/messages/{id}"))).await;
    browser.find(marks::IMAGES).await;
    assert_eq!(browser.outside.asked().len(), 1);
}
