//! The way in: a token once, a cookie from then on, and the way out.

use serde_json::{Value, json};

use super::chromium::Browser;
use super::marks;
use super::scene::Office;

const TOKEN: &str = "browser-test-token-of-32-characters!";

/// Fills in the form that is open.
async fn log_in(browser: &Browser, token: &str) {
    browser.write("input[name=token]", token).await;
    browser.follow("form[action='/login'] button").await;
}

/// The cookies that the browser keeps, those out of reach of scripts among them.
async fn cookies(browser: &Browser) -> Vec<Value> {
    let kept = browser.devtools("Network.getCookies", json!({})).await;
    kept["cookies"].as_array().cloned().unwrap_or_default()
}

async fn path(browser: &Browser) -> String {
    browser.place().await.split('?').next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_deep_link_is_reached_by_the_right_token_only() {
    let name = "a_deep_link_is_reached_by_the_right_token_only";
    let Some(browser) = Browser::start(name).await else { return };
    let office = Office::locked(TOKEN).await;
    let wanted = format!("/messages/{}", office.failed);
    browser.open(&office.relay.http.url(&wanted)).await;
    assert_eq!(path(&browser).await, "/login");
    assert!(!browser.shown().await.contains("invoice"), "{}", browser.shown().await);

    log_in(&browser, "something-else").await;
    assert_eq!(path(&browser).await, "/login");
    let told = browser.script("return document.querySelector('[role=alert]')?.innerText").await;
    assert!(told.as_str().is_some_and(|text| !text.trim().is_empty()), "{told}");
    assert_eq!(cookies(&browser).await, Vec::<Value>::new());

    log_in(&browser, TOKEN).await;
    assert_eq!(browser.place().await, wanted);
    let kept = cookies(&browser).await;
    assert_eq!(kept.len(), 1, "{kept:?}");
    let cookie = &kept[0];
    assert_eq!(cookie["httpOnly"], true, "{cookie}");
    assert_eq!(cookie["sameSite"], "Strict", "{cookie}");
    assert_eq!(cookie["path"], "/", "{cookie}");
    assert_eq!(cookie["session"], true, "{cookie}");
    assert!(!cookie["value"].as_str().unwrap().contains(TOKEN), "{cookie}");
    assert_eq!(browser.script("return document.cookie").await, "");
    let source = browser.script("return document.documentElement.outerHTML").await;
    assert!(!source.as_str().unwrap().contains(TOKEN), "the page shows the token");
}

#[tokio::test]
async fn after_the_way_out_nothing_is_shown_any_more() {
    let name = "after_the_way_out_nothing_is_shown_any_more";
    let Some(browser) = Browser::start(name).await else { return };
    let office = Office::locked(TOKEN).await;
    let wanted = format!("/messages/{}", office.failed);
    browser.open(&office.relay.http.url(&wanted)).await;
    log_in(&browser, TOKEN).await;
    let before = cookies(&browser).await;
    let old = before[0].clone();

    browser.reveal(marks::LOG_OUT).await;
    browser.follow(marks::LOG_OUT).await;
    assert_eq!(path(&browser).await, "/login");
    assert_eq!(cookies(&browser).await, Vec::<Value>::new());
    browser.driver().back().await.unwrap();
    browser.until("the way in", "return location.pathname === '/login'").await;

    // Whoever has copied the cookie has nothing of it either.
    let again =
        json!({"name": old["name"], "value": old["value"], "url": office.relay.http.url("/")});
    browser.devtools("Network.setCookie", again).await;
    browser.open(&office.relay.http.url(&wanted)).await;
    assert_eq!(path(&browser).await, "/login");
}

#[tokio::test]
async fn a_link_of_another_site_leads_whoever_is_logged_in_to_its_page() {
    let name = "a_link_of_another_site_leads_whoever_is_logged_in_to_its_page";
    let Some(browser) = Browser::start(name).await else { return };
    let office = Office::locked(TOKEN).await;
    let wanted = format!("/messages/{}", office.failed);
    browser.open(&office.relay.http.url("/")).await;
    log_in(&browser, TOKEN).await;
    let page = format!("<a id=link href='{}'>see</a>", office.relay.http.url(&wanted));
    browser.outside.put("http://wiki.example/", &page);
    browser.open("http://wiki.example/").await;
    browser.press("#link").await;
    let arrived = format!("return location.pathname === {}", json!(wanted));
    browser.until("the page behind the link", &arrived).await;
    browser.until("its content", "return document.body.innerText.includes('invoice')").await;
}
