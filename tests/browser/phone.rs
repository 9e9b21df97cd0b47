//! In the hand: nothing runs out of the screen, and everything can be reached and hit.

use serde_json::json;

use super::chromium::{Browser, Look};
use super::scene::Office;
use super::support::relay::Setup;
use super::walk;

/// What sticks out of the screen, or `[]`.
const TOO_WIDE: &str = "
    const page = document.documentElement;
    if (page.scrollWidth <= SCREEN) return [];
    const wide = [...document.querySelectorAll('body *')].filter(it =>
        it.getBoundingClientRect().right > SCREEN + 1 && it.checkVisibility());
    return [`${page.scrollWidth} px`, ...wide.slice(-3).map(it => it.outerHTML.slice(0, 200))];";

/// What can be pressed but not hit with a finger: out of reach, or under something else. How large it is, axe-core asks.
const OUT_OF_REACH: &str = "
    const found = [];
    const all = 'button, a[href], input:not([type=hidden]), select, textarea, summary';
    for (const it of document.querySelectorAll(all)) {
        if (!it.checkVisibility({visibilityProperty: true, opacityProperty: true})) continue;
        it.scrollIntoView({block: 'center', inline: 'center', behavior: 'instant'});
        // A link past the navigation comes into sight when it is reached.
        if (it.getBoundingClientRect().bottom <= 0) it.focus({preventScroll: true});
        const box = it.getClientRects()[0];
        if (!box || box.width <= 1) continue;
        const [x, y] = [box.left + box.width / 2, box.top + box.height / 2];
        const hit = document.elementFromPoint(x, y);
        const own = hit && (it.contains(hit) || hit.contains(it) || it.labels?.[0]?.contains(hit));
        document.activeElement.blur();
        if (!own || box.left < -1 || box.right > SCREEN + 1)
            found.push(`${it.outerHTML.slice(0, 160)} ${JSON.stringify(box)} under ${hit?.outerHTML.slice(0, 80)}`);
    }
    return found;";

/// The smallest screens that are promised, and a usual one.
const WIDTHS: [u32; 2] = [320, 360];

async fn faults(browser: &Browser, url: &str, width: u32) -> Vec<String> {
    browser.open(url).await;
    let mut found = Vec::new();
    for check in [TOO_WIDE, OUT_OF_REACH] {
        let check = check.replace("SCREEN", &width.to_string());
        let here = browser.script(&check).await;
        let here = here.as_array().unwrap().iter().filter_map(|it| it.as_str());
        found.extend(here.map(|fault| format!("{url} at {width} px: {fault}")));
    }
    found
}

#[tokio::test]
async fn every_page_fits_a_phone() {
    let Some(browser) = Browser::start("every_page_fits_a_phone").await else { return };
    let office = Office::open().await;
    let gone = json!({"address": "somebody-with-a-long-name@gone.rcpt.example", "note": "asked for it by letter"});
    let added = office.relay.http.post("/api/v1/suppressions", &gone).await;
    assert!(added.status < 300, "{}", added.text());
    let dev = Setup::bare().command(&["dev"]).start().await;
    super::support::smtp::submit(dev.smtp, &super::scene::welcome()).await;
    let welcome = format!("/messages/{}", office.welcome);
    let failed = format!("/messages/{}", office.failed);
    let mut pages = walk::pages(&office.relay.http, &["/", &welcome]).await;
    pages.extend([failed, walk::NO_MESSAGE.to_owned()]);
    let mut urls: Vec<String> = pages.iter().map(|page| office.relay.http.url(page)).collect();
    urls.push(dev.http.url("/"));
    let mut found = Vec::new();
    for width in WIDTHS {
        for look in [Look { width, ..Look::PHONE }, Look { width, ..Look::PHONE.korean() }] {
            browser.look(look).await;
            for url in &urls {
                found.extend(faults(&browser, url, width).await);
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}
