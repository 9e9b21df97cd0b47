//! Where is that mail? Found, understood, and sent again by another way to an address that exists.

use serde_json::json;
use thirtyfour::Key;

use super::chromium::Browser;
use super::marks;
use super::scene::{Office, REFUSAL};

const CORRECTED: &str = "ada.lovelace@rcpt.example";

#[tokio::test]
async fn a_failed_mail_is_found_understood_and_sent_again_by_another_provider() {
    let name = "a_failed_mail_is_found_understood_and_sent_again_by_another_provider";
    let Some(browser) = Browser::start(name).await else { return };
    let office = Office::open().await;
    let api = &office.relay.http;
    browser.open(&api.url("/messages")).await;
    browser.find(&marks::row(&office.welcome)).await;

    browser.write(marks::SEARCH, "INVOICE").await;
    browser.script("window.stale = true").await;
    browser.keys(Key::Enter).await;
    browser
        .until(
            "the answer to the search",
            "return !window.stale && document.readyState === 'complete'",
        )
        .await;
    let found = browser.script(marks::LISTED).await;
    assert_eq!(found, json!([office.failed]));
    // The list says it already.
    assert!(browser.shown().await.contains(REFUSAL), "{}", browser.shown().await);

    browser.follow(&format!("{} a", marks::ROW)).await;
    assert!(browser.place().await.contains(&office.failed));
    assert!(browser.shown().await.contains(REFUSAL), "{}", browser.shown().await);

    let form = marks::RETRY;
    browser.reveal(&format!("{form} [name=provider]")).await;
    let choose = format!(
        "const it = document.querySelector(\"{form} [name=provider]\");
         it.value = 'sendgrid'; it.dispatchEvent(new Event('change', {{bubbles: true}})); return it.value;"
    );
    assert_eq!(browser.script(&choose).await, "sendgrid", "sendgrid cannot be chosen");
    browser.write(&format!("{form} [name=recipients]"), CORRECTED).await;
    browser.follow(&format!("{form} button:not([formaction])")).await;
    assert!(browser.place().await.contains(&office.failed), "{}", browser.place().await);

    api.until_message_is(&office.failed, "delivered").await;
    let mails = office.sendgrid.mails();
    let last = mails.last().unwrap();
    let to = &last.json["personalizations"];
    assert!(to.to_string().contains(CORRECTED), "{to}");
    assert!(!to.to_string().contains("ada@"), "{to}");
    browser.open(&api.url(&format!("/messages/{}", office.failed))).await;
    let shown = browser.shown().await;
    assert!(shown.contains(CORRECTED), "{shown}");
    browser.until_quiet().await;
    let seen = browser.watch().await;
    assert_eq!(seen.errors, Vec::<String>::new());
    assert_eq!(seen.abroad(&api.url("")), Vec::<&(String, String)>::new());
}

#[tokio::test]
async fn a_waiting_mail_is_cancelled() {
    let Some(browser) = Browser::start("a_waiting_mail_is_cancelled").await else { return };
    let office = Office::open().await;
    let api = &office.relay.http;
    browser.open(&api.url(&format!("/messages/{}", office.queued))).await;
    browser.reveal(marks::CANCEL).await;
    browser.follow(marks::CANCEL).await;
    assert!(browser.place().await.contains(&office.queued), "{}", browser.place().await);
    api.until_message_is(&office.queued, "cancelled").await;
}

#[tokio::test]
async fn a_test_is_sent_and_its_answer_shown() {
    let Some(browser) = Browser::start("a_test_is_sent_and_its_answer_shown").await else { return };
    let office = Office::open().await;
    let api = &office.relay.http;
    browser.open(&api.url("/send")).await;
    let before = office.resend.mail_count();
    browser.write("main form [name=from]", "app@sender.example").await;
    browser.write("main form [name=to]", "ada@rcpt.example").await;
    browser.write("main form [name=subject]", "From the page").await;
    browser.write("main form [name=content]", "It works.").await;
    browser.follow("main form button").await;
    assert_eq!(office.resend.mail_count(), before + 1);
    let id = office.resend.mails().last().unwrap().id.clone();
    assert!(browser.shown().await.contains(&id), "{}", browser.shown().await);

    // And when the provider does not want it, its words are there.
    office.resend.behave(super::support::fake::Behaviour::resend_error(
        422,
        "invalid_parameter",
        REFUSAL,
    ));
    browser.open(&api.url("/send")).await;
    browser.write("main form [name=from]", "app@sender.example").await;
    browser.write("main form [name=to]", "ada@rcpt.example").await;
    browser.write("main form [name=subject]", "From the page").await;
    browser.write("main form [name=content]", "It works.").await;
    browser.follow("main form button").await;
    assert!(browser.shown().await.contains(REFUSAL), "{}", browser.shown().await);
}

#[tokio::test]
async fn an_address_is_suppressed_and_freed() {
    let Some(browser) = Browser::start("an_address_is_suppressed_and_freed").await else { return };
    let office = Office::open().await;
    let api = &office.relay.http;
    browser.open(&api.url("/suppressions")).await;
    browser.reveal("main form [name=address]").await;
    browser.write("main form [name=address]", "gone@rcpt.example").await;
    browser.follow("main form:has([name=address]:not([type=hidden])) button").await;
    browser
        .until(
            "the address is listed",
            "return document.querySelector('main').innerText.includes('gone@rcpt.example')",
        )
        .await;
    let listed = api.get("/api/v1/suppressions").await.text();
    assert!(listed.contains("gone@rcpt.example"), "{listed}");

    browser.follow("main form:has([value='gone@rcpt.example']) button").await;
    let listed = api.get("/api/v1/suppressions").await.text();
    assert!(!listed.contains("gone@rcpt.example"), "{listed}");
}
