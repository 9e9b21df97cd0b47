//! By plain HTTP at a name of the network, where browsers say less of themselves: the page is used there most.

use super::chromium::{Browser, PLAIN_NAME};
use super::marks;
use super::scene::Office;

const TOKEN: &str = "browser-test-token-of-32-characters!";

#[tokio::test]
async fn every_kind_of_form_is_taken_by_plain_http_at_a_name_of_the_network() {
    let name = "every_kind_of_form_is_taken_by_plain_http_at_a_name_of_the_network";
    let Some(browser) = Browser::start(name).await else { return };
    let office = Office::locked(TOKEN).await;
    let url = |path: &str| office.relay.http.url(path).replace("127.0.0.1", PLAIN_NAME);
    let failed = format!("/messages/{}", office.failed);
    browser.open(&url(&failed)).await;
    assert_eq!(browser.script("return window.isSecureContext").await, false, "this shows nothing");
    browser.write("input[name=token]", TOKEN).await;
    browser.follow("form[action='/login'] button").await;
    assert_eq!(browser.place().await, failed);

    browser.reveal(&marks::language("ko")).await;
    browser.follow(&marks::language("ko")).await;
    assert_eq!(browser.script("return document.documentElement.lang").await, "ko");
    assert_eq!(browser.place().await, failed);

    browser.follow("main form[action$='/retry'] button").await;
    assert!(browser.place().await.contains("done=retry"), "{}", browser.shown().await);
    office.relay.http.until_message_is(&office.failed, "delivered").await;

    browser.reveal(marks::LOG_OUT).await;
    browser.follow(marks::LOG_OUT).await;
    assert!(browser.place().await.starts_with("/login"));
}
