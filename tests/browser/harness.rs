//! The means of the other tests: that they notice what they are there to notice.

use super::chromium::{Browser, Look};
use super::support::relay::Setup;
use super::support::wait;

/// A page that does all that hostile mail tries.
const BAD_PAGE: &str = "data:text/html,<body><script>
    console.error('noticed'); new Image().src = 'http://outside.example/image';
    fetch('https://outside.example/fetch').catch(() => 0);
    setTimeout(() => alert('noticed'), 200)</script>";

#[tokio::test]
async fn the_browser_tells_what_a_page_does() {
    let Some(browser) = Browser::start("the_browser_tells_what_a_page_does").await else { return };
    browser.open(BAD_PAGE).await;
    wait::until_true("both requests came by", || browser.outside.asked().len() >= 2).await;
    let asked = browser.outside.asked().join("\n");
    assert!(asked.contains("GET http://outside.example/image "), "{asked}");
    assert!(asked.contains("CONNECT outside.example:443 "), "{asked}");
    let mut requests = Vec::new();
    let mut errors = Vec::new();
    wait::until("the logs have it", async || {
        let seen = browser.watch().await;
        requests.extend(seen.abroad("http://127.0.0.1").into_iter().cloned());
        errors.extend(seen.errors);
        (!seen.dialogs.is_empty()).then_some(())
    })
    .await;
    assert!(requests.iter().any(|(url, _)| url == "http://outside.example/image"), "{requests:?}");
    assert!(errors.iter().any(|error| error.contains("noticed")), "{errors:?}");
}

#[tokio::test]
async fn the_page_needs_nothing_from_elsewhere_and_complains_of_nothing() {
    let name = "the_page_needs_nothing_from_elsewhere_and_complains_of_nothing";
    let Some(browser) = Browser::start(name).await else { return };
    let relay = Setup::bare().command(&["dev"]).start().await;
    browser.look(Look::DESK.dark().korean()).await;
    browser.open(&relay.http.url("/")).await;
    let seen = browser.watch().await;
    assert_eq!(seen.abroad(relay.http.url("").as_str()), Vec::<&(String, String)>::new());
    assert_eq!(seen.errors, Vec::<String>::new());
    assert_eq!(browser.outside.asked(), Vec::<String>::new());
    let language = browser.script("return navigator.language").await;
    assert_eq!(language, "ko-KR");
    let dark = "return matchMedia('(prefers-color-scheme: dark)').matches";
    assert_eq!(browser.script(dark).await, true);
}
