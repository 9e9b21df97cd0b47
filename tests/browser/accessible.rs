//! Nobody is kept out: what axe-core finds on every page, in both colour schemes and at both sizes.

use std::path::PathBuf;

use serde_json::Value;

use super::chromium::{Browser, Look};
use super::scene::Office;
use super::support::skip;
use super::walk;

/// What of its findings a person would stumble over.
const GRAVE: [&str; 2] = ["serious", "critical"];

/// axe-core, or `None` with a note that it is not there.
fn axe(test: &str) -> Option<String> {
    let modules = std::env::var_os("MAILFERRY_TEST_BROWSER_MODULES").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/target/test-browser/node_modules")),
        PathBuf::from,
    );
    let file = modules.join("axe-core/axe.min.js");
    let source = std::fs::read_to_string(&file).ok();
    if source.is_none() {
        skip::skip(test, "axe-core is not installed");
    }
    source
}

/// The findings for the page that is open, one text each.
async fn findings(browser: &Browser, axe: &str) -> Vec<String> {
    browser.script(axe).await;
    // What mail brings is in a frame without scripts; it is the sender's.
    let violations = browser
        .promise(
            "const found = await axe.run(document, {iframes: false, resultTypes: ['violations'],
                 rules: {'target-size': {enabled: true}}});
             return found.violations.map(({id, impact, nodes}) => ({id, impact,
                 nodes: nodes.map(node => node.html + ' ' + node.failureSummary)}));",
        )
        .await;
    let Value::Array(violations) = violations else { panic!("axe-core says {violations}") };
    let grave = violations.iter().filter(|it| GRAVE.iter().any(|impact| it["impact"] == *impact));
    grave.map(|it| format!("{} {}: {:#}", it["impact"], it["id"], it["nodes"])).collect()
}

#[tokio::test]
async fn axe_finds_what_is_wrong() {
    let name = "axe_finds_what_is_wrong";
    let (Some(axe), Some(browser)) = (axe(name), Browser::start(name).await) else { return };
    browser
        .open("data:text/html,<title>t</title><img src=x><input><p style='color:%23eee'>pale")
        .await;
    let found = findings(&browser, &axe).await.join("\n");
    for rule in ["image-alt", "label", "color-contrast", "html-has-lang"] {
        assert!(found.contains(rule), "{rule} is missing in {found}");
    }
}

#[tokio::test]
async fn no_page_keeps_anybody_out() {
    let name = "no_page_keeps_anybody_out";
    let (Some(axe), Some(browser)) = (axe(name), Browser::start(name).await) else { return };
    let office = Office::open().await;
    let welcome = format!("/messages/{}", office.welcome);
    let failed = format!("/messages/{}", office.failed);
    let mut pages = walk::pages(&office.relay.http, &["/", &welcome]).await;
    pages.push(failed);
    pages.push(walk::NO_MESSAGE.to_owned());
    let mut found = Vec::new();
    for (scheme, look) in [
        ("light", Look::DESK),
        ("dark", Look::DESK.dark()),
        ("light phone", Look::PHONE),
        ("dark phone, Korean", Look::PHONE.dark().korean()),
    ] {
        browser.look(look).await;
        for page in &pages {
            browser.open(&office.relay.http.url(page)).await;
            let here = findings(&browser, &axe).await;
            found.extend(here.into_iter().map(|finding| format!("{page} ({scheme}) {finding}")));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}
