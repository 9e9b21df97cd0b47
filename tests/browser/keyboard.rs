//! Without a mouse.

use serde_json::{Value, json};
use thirtyfour::Key;

use super::chromium::Browser;
use super::marks;
use super::scene::Office;

/// The message whose row has the focus.
async fn focused(browser: &Browser) -> Value {
    browser.script("return document.activeElement.closest('[data-row] a')?.pathname.split('/').pop() ?? null").await
}

#[tokio::test]
async fn a_list_is_walked_searched_and_opened_by_keys() {
    let name = "a_list_is_walked_searched_and_opened_by_keys";
    let Some(browser) = Browser::start(name).await else { return };
    let office = Office::open().await;
    browser.open(&office.relay.http.url("/messages")).await;
    browser.until_live().await;
    let rows = browser.script(marks::LISTED).await;
    assert_eq!(rows[0], office.queued.as_str());

    browser.keys("j").await;
    assert_eq!(focused(&browser).await, rows[0]);
    browser.keys("j").await;
    assert_eq!(focused(&browser).await, rows[1]);
    browser.keys("j").await;
    browser.keys("k").await;
    assert_eq!(focused(&browser).await, office.failed.as_str());
    browser.script("window.stale = true").await;
    browser.keys(Key::Enter).await;
    browser
        .until("the message", "return !window.stale && document.readyState === 'complete'")
        .await;
    assert!(browser.place().await.contains(&office.failed));

    browser.driver().back().await.unwrap();
    browser.until("the list", "return document.querySelector('main [data-row]') !== null").await;
    browser.until_live().await;
    browser.keys("/").await;
    browser.until("the search has the focus", "return document.activeElement.name === 'q'").await;
    // In a field, letters are letters.
    browser.keys("jk/?").await;
    assert_eq!(browser.script("return document.activeElement.value").await, "jk/?");
    browser.keys(Key::Escape).await;
}

#[tokio::test]
async fn help_comes_with_a_question_mark_and_goes_with_escape() {
    let name = "help_comes_with_a_question_mark_and_goes_with_escape";
    let Some(browser) = Browser::start(name).await else { return };
    let office = Office::open().await;
    browser.open(&office.relay.http.url("/messages")).await;
    browser.until_live().await;
    browser.keys("?").await;
    browser.find(marks::HELP).await;
    browser.keys(Key::Escape).await;
    browser.until("the help is gone", "return !document.querySelector('dialog[open]')").await;
}

#[tokio::test]
async fn tab_reaches_everything_and_shows_where_it_is() {
    let name = "tab_reaches_everything_and_shows_where_it_is";
    let Some(browser) = Browser::start(name).await else { return };
    let office = Office::open().await;
    // What is walked through must not be put in place anew meanwhile.
    let still = json!({"source": "window.fetch = () => new Promise(() => {})"});
    browser.devtools("Page.addScriptToEvaluateOnNewDocument", still).await;
    for path in
        ["/", "/messages", &format!("/messages/{}", office.failed), "/suppressions", "/send"]
    {
        browser.open(&office.relay.http.url(path)).await;
        // A frame of mail takes the focus inside; it has nothing of ours in it.
        let all = browser
            .script(
                "window.all = [...document.querySelectorAll('a[href], button, input:not([type=hidden]), select, textarea, summary')]
                     .filter(it => it.checkVisibility({visibilityProperty: true}) && it.tabIndex >= 0 && !it.disabled);
                 return window.all.length",
            )
            .await;
        let all = all.as_u64().unwrap();
        let mut reached = std::collections::BTreeSet::new();
        for _ in 0..all + 20 {
            browser.keys(Key::Tab).await;
            let at = browser
                .script(
                    "const it = document.activeElement, style = getComputedStyle(it), box = it.getBoundingClientRect();
                     const marked = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0
                         || style.boxShadow !== 'none';
                     return [window.all.indexOf(it), marked, box.width > 0 && box.height > 0, it.outerHTML.slice(0, 200)]",
                )
                .await;
            let Some(index) = at[0].as_i64().filter(|index| *index >= 0) else { continue };
            assert_eq!(at[1], json!(true), "{path}: nothing shows that {} has the focus", at[3]);
            assert_eq!(at[2], json!(true), "{path}: {} has the focus and no size", at[3]);
            reached.insert(index);
            if u64::try_from(reached.len()).unwrap() == all {
                break;
            }
        }
        let missed = browser
            .script_with(
                "return window.all.filter((it, index) => !arguments[0].includes(index)).map(it => it.outerHTML.slice(0, 200))",
                vec![json!(reached)],
            )
            .await;
        // Of a group of radio buttons, Tab reaches one.
        let missed =
            missed.as_array().unwrap().iter().filter(|it| !it.to_string().contains("radio"));
        assert_eq!(missed.collect::<Vec<_>>(), Vec::<&Value>::new(), "{path}");
    }
}
