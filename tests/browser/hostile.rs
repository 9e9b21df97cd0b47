//! Mail that wants to run, call, lead away or break out, in a browser: tests/hostile, whose README names each trick.
//!
//! Everything that leaves ends at a proxy that counts. The browser's own log is the second witness.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::chromium::Browser;
use super::marks;
use super::support::relay::{Relay, Setup};
use super::support::smtp::Session;
use super::watch::Watch;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/hostile");

/// Fewer, and the set is not where it should be.
const MAILS_MIN: usize = 40;

/// Long enough for a script, a timer or a refresh of a page that is complete.
const SETTLED: &str = "await new Promise(done => setTimeout(done, 200)); return true";

/// What of the page around the mail would tell that the mail has reached it.
const UNTOUCHED: &str = "
    const frame = document.querySelector('main iframe[sandbox]');
    const found = [];
    if ('hostile' in window) found.push('a script of the mail has run in the page');
    if (window.opener) found.push('the page has an opener');
    if (/hostile/.test(document.title) && !arguments[0]) found.push('the title is ' + document.title);
    if (document.querySelectorAll('script:not([src^=\"/\"])').length) found.push('there is a script in the page');
    if (document.querySelectorAll('main, body > main').length !== 1) found.push('there is another main');
    for (const it of document.querySelectorAll('*'))
        for (const {name, value} of it.attributes)
            if (/^on/.test(name) || /^\\s*(javascript|vbscript|data):/i.test(value) && name !== 'content')
                found.push(`${it.tagName} has ${name}=${value.slice(0, 80)}`);
    if (frame) {
        let reached = null;
        try { reached = frame.contentDocument; } catch { }
        if (reached) found.push('page and frame reach each other');
        if (/allow-(scripts|same-origin|top-nav|forms|modals)/.test(frame.sandbox.value)) found.push(frame.sandbox.value);
    }
    return found";

fn mails() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(FOLDER)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|file| file.extension().is_some_and(|it| it == "eml"))
        .collect();
    files.sort();
    assert!(files.len() >= MAILS_MIN, "only {} hostile mails", files.len());
    files
}

async fn deliver(relay: &Relay, file: &Path) -> String {
    let content = std::fs::read(file).unwrap();
    let mut session = Session::open(relay.smtp).await.unwrap();
    let sent = session
        .send_chunks("<mallory@evil.example>", "<ada@rcpt.example>", &content, 1024 * 1024)
        .await;
    sent.unwrap_or_else(|error| panic!("{}: {error}", file.display())).queue_id()
}

/// What is wrong with what the browser saw: nothing may leave but, where images were asked for, what loads them.
fn faults(seen: &Watch, home: &str, images: bool) -> Vec<String> {
    let mut found = Vec::new();
    for (url, kind) in seen.abroad(home) {
        if !images || kind != "Image" {
            found.push(format!("asked for {url} ({kind})"));
        }
    }
    found.extend(seen.dialogs.iter().map(|text| format!("a dialog: {text}")));
    found.extend(seen.windows.iter().map(|url| format!("a window: {url}")));
    let said = seen.console.iter().filter(|line| line.contains("hostile") && !refusal(line));
    found.extend(said.map(|line| format!("on the console: {line}")));
    let away = seen.visits.iter().filter(|url| !url.starts_with(home));
    found.extend(away.map(|url| format!("led away to {url}")));
    found
}

/// What the browser itself says of something that it did not do; it names the place in the mail.
fn refusal(line: &str) -> bool {
    ["Refused", "Blocked", "blocked", "violates", "sandbox"].iter().any(|word| line.contains(word))
}

struct Visit<'a> {
    browser: &'a Browser,
    home: String,
    name: String,
    found: Vec<String>,
}

impl Visit<'_> {
    /// Opens a page with the mail in it and looks at what happens.
    async fn page(&mut self, path: &str, images: bool) {
        let (browser, asked) = (self.browser, self.browser.outside.asked().len());
        browser.open(&format!("{}{path}", self.home)).await;
        browser.promise(SETTLED).await;
        if browser.count(marks::FRAME).await > 0 {
            // A pointer over the mail, and the focus in it.
            let frame = browser.find(marks::FRAME).await;
            let _ = frame.scroll_into_view().await;
            let _ = browser.driver().action_chain().move_to_element_center(&frame).perform().await;
            browser.script("document.querySelector('main iframe[sandbox]').focus()").await;
            browser.promise(SETTLED).await;
        }
        let mut found = faults(&browser.watch().await, &self.home, images);
        let there = browser.place().await;
        if there != path {
            found.push(format!("the page is at {there}"));
        }
        // A subject may be anything, and is in the title.
        let untouched = browser.script_with(UNTOUCHED, vec![json!(true)]).await;
        found.extend(untouched.as_array().unwrap().iter().map(ToString::to_string));
        let left = browser.outside.asked();
        if !images && left.len() > asked {
            found.push(format!("the world was asked: {:?}", &left[asked..]));
        }
        let windows = browser.driver().windows().await.unwrap().len();
        if windows != 1 {
            found.push(format!("{windows} windows"));
        }
        self.found.extend(found.into_iter().map(|fault| format!("{}: {path}: {fault}", self.name)));
    }

    /// Opens the mail's document without the page around it, as somebody does who copies its address.
    async fn alone(&mut self, path: &str) {
        let (browser, asked) = (self.browser, self.browser.outside.asked().len());
        browser.open(&format!("{}{path}", self.home)).await;
        // Where scripts are forbidden, the driver's have no clock: the page behind it has.
        let mut found = faults(&browser.watch().await, &self.home, false);
        browser.open(&format!("{}/icon.svg", self.home)).await;
        found.extend(faults(&browser.watch().await, &self.home, false));
        if browser.outside.asked().len() > asked {
            found.push(format!("the world was asked: {:?}", &browser.outside.asked()[asked..]));
        }
        self.found.extend(found.into_iter().map(|fault| format!("{}: {path}: {fault}", self.name)));
    }
}

#[tokio::test]
async fn hostile_mail_neither_runs_nor_calls_nor_breaks_out() {
    let name = "hostile_mail_neither_runs_nor_calls_nor_breaks_out";
    let Some(browser) = Browser::start(name).await else { return };
    let relay = Setup::bare().command(&["dev"]).start().await;
    let home = relay.http.url("");
    browser.open(&home).await;
    browser.watch().await;
    let mut found = Vec::new();
    for file in mails() {
        let id = deliver(&relay, &file).await;
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let mut visit = Visit { browser: &browser, home: home.clone(), name, found: Vec::new() };
        let page = format!("/messages/{id}");
        visit.page(&page, false).await;
        let tabs = browser
            .script(
                "return [...document.querySelectorAll('main nav a[href*=tab]')]
                     .map(it => it.pathname + it.search).filter(it => it !== location.pathname)",
            )
            .await;
        let frame = browser
            .script("return document.querySelector('main iframe[sandbox]')?.getAttribute('src') ?? null")
            .await;
        for tab in tabs.as_array().unwrap() {
            visit.page(tab.as_str().unwrap(), false).await;
        }
        visit.page(&format!("{page}?tab=preview&images=remote"), true).await;
        if let Some(frame) = frame.as_str() {
            visit.alone(frame).await;
        }
        found.extend(visit.found);
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[tokio::test]
async fn the_same_tricks_are_noticed_where_nothing_guards() {
    let name = "the_same_tricks_are_noticed_where_nothing_guards";
    let Some(browser) = Browser::start(name).await else { return };
    browser.outside.put(
        "http://unguarded.example/",
        "<title>t</title><main><iframe sandbox='allow-scripts allow-popups allow-same-origin' srcdoc=\"
             <img src='http://evil.example/i'><link rel=stylesheet href='http://evil.example/s'>
             <script>top.hostile = 1; console.error('hostile'); open('http://evil.example/w')</script>\"></iframe></main>",
    );
    browser.open("http://unguarded.example/").await;
    browser.promise(SETTLED).await;
    let found = faults(&browser.watch().await, "http://unguarded.example", true).join("\n");
    for expected in ["evil.example/s (Stylesheet)", "on the console"] {
        assert!(found.contains(expected), "{expected} is missing in {found}");
    }
    assert!(!found.contains("evil.example/i (Image)"), "{found}");
    let touched = browser.script_with(UNTOUCHED, vec![json!(false)]).await.to_string();
    for expected in ["has run in the page", "reach each other", "allow-scripts"] {
        assert!(touched.contains(expected), "{expected} is missing in {touched}");
    }
}
