//! Korean for whoever reads Korean, and English for everybody else.

use serde_json::Value;

use super::chromium::{Browser, Look};
use super::marks;
use super::scene::Office;
use super::walk;

/// Texts of the page's own that have a Latin letter and no Hangul, without names and what mail brings.
const SPOKEN: &str = "
    const own = [...document.querySelectorAll('h1, h2, h3, button, label, th, nav a, dt, summary, legend')];
    return own.filter(it => it.checkVisibility() && !it.querySelector('bdi') && !it.closest('bdi, code, body [lang]'))
        .map(it => it.innerText.trim()).filter(text => text);";

async fn spoken(browser: &Browser) -> Vec<String> {
    let texts = browser.script(SPOKEN).await;
    texts.as_array().unwrap().iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn is_hangul(letter: char) -> bool {
    ('가'..='힣').contains(&letter)
}

#[tokio::test]
async fn every_page_speaks_the_browsers_language() {
    let name = "every_page_speaks_the_browsers_language";
    let Some(browser) = Browser::start(name).await else { return };
    let office = Office::open().await;
    let api = &office.relay.http;
    let failed = format!("/messages/{}", office.failed);
    let pages = walk::pages(api, &["/", &failed]).await;
    for page in &pages {
        browser.look(Look::DESK.korean()).await;
        browser.open(&api.url(page)).await;
        assert_eq!(browser.script("return document.documentElement.lang").await, "ko", "{page}");
        let texts = spoken(&browser).await;
        let korean = texts.iter().filter(|text| text.chars().any(is_hangul)).count();
        // Names of providers, protocols and header fields are the same everywhere.
        assert!(korean * 2 > texts.len(), "{page}: {texts:?}");

        browser.look(Look::DESK).await;
        browser.open(&api.url(page)).await;
        assert_eq!(browser.script("return document.documentElement.lang").await, "en", "{page}");
        let texts = spoken(&browser).await;
        let korean: Vec<_> = texts.iter().filter(|text| text.chars().any(is_hangul)).collect();
        assert_eq!(korean, Vec::<&String>::new(), "{page}");
    }
}

#[tokio::test]
async fn the_switch_is_remembered() {
    let Some(browser) = Browser::start("the_switch_is_remembered").await else { return };
    let office = Office::open().await;
    let api = &office.relay.http;
    browser.open(&api.url("/messages?q=invoice")).await;
    browser.reveal(&marks::language("ko")).await;
    browser.follow(&marks::language("ko")).await;
    assert_eq!(browser.script("return document.documentElement.lang").await, "ko");
    assert_eq!(browser.place().await, "/messages?q=invoice", "the switch leads away");
    browser.open(&api.url("/")).await;
    assert_eq!(browser.script("return document.documentElement.lang").await, "ko");
    browser.reveal(&marks::language("en")).await;
    browser.follow(&marks::language("en")).await;
    assert_eq!(browser.script("return document.documentElement.lang").await, "en");
}
