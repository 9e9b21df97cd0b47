//! Mail that wants to run, call, lead away or break out, in a browser: tests/hostile, whose README names each trick.
//!
//! Everything that leaves ends at a proxy that counts. The browser's own log is the second witness.

use std::path::{Path, PathBuf};

use serde_json::Value;
use thirtyfour::By;

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

/// Where the frame's document is.
const FRAME_SOURCE: &str =
    "return document.querySelector('main iframe[sandbox]')?.getAttribute('src') ?? null";

/// The other views of the mail that is open.
const TABS: &str = "
    return [...document.querySelectorAll('main nav a[href*=tab]')]
        .map(it => it.pathname + it.search).filter(it => !it.includes('tab=preview'))";

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
    /// How often the world had been asked when this was last looked at.
    asked: usize,
    found: Vec<String>,
}

impl Visit<'_> {
    /// Opens the page with the mail in its frame and looks at what happens.
    async fn preview(&mut self, path: &str, images: bool) {
        let browser = self.browser;
        self.page(path).await;
        let frame = browser.driver().find(By::Css(marks::FRAME)).await.ok();
        if let Some(frame) = &frame {
            // A pointer over the mail, and the focus in it.
            let _ = frame.scroll_into_view().await;
            let _ = browser.driver().action_chain().move_to_element_center(frame).perform().await;
            browser.script("document.querySelector('main iframe[sandbox]').focus()").await;
        }
        browser.promise(SETTLED).await;
        self.judge(path, images).await;
    }

    /// Opens a page that has something of the mail in itself.
    async fn page(&mut self, path: &str) {
        let browser = self.browser;
        browser.open(&format!("{}{path}", self.home)).await;
        let untouched = browser.script(UNTOUCHED).await;
        for fault in untouched.as_array().unwrap() {
            self.complain(path, &fault.to_string());
        }
    }

    /// What the witnesses say of everything since the last time; the page at `path` is still open.
    async fn judge(&mut self, path: &str, images: bool) {
        let browser = self.browser;
        for fault in faults(&browser.watch().await, &self.home, images) {
            self.complain(path, &fault);
        }
        let there = browser.place().await;
        if there != path {
            self.complain(path, &format!("the page is at {there}"));
        }
        let left = browser.outside.asked();
        if !images && left.len() > self.asked {
            self.complain(path, &format!("the world was asked: {:?}", &left[self.asked..]));
        }
        self.asked = left.len();
        let windows = browser.driver().windows().await.unwrap().len();
        if windows != 1 {
            self.complain(path, &format!("{windows} windows"));
        }
    }

    fn complain(&mut self, path: &str, fault: &str) {
        self.found.push(format!("{}: {path}: {fault}", self.name));
    }

    /// Opens the mail's document without the page around it, as somebody does who copies its address.
    async fn alone(&mut self, path: &str) {
        let browser = self.browser;
        browser.open(&format!("{}{path}", self.home)).await;
        // Where scripts are forbidden, the driver's have no clock: the page behind it has.
        browser.open(&format!("{}/icon.svg", self.home)).await;
        self.judge("/icon.svg", false).await;
    }
}

/// Looks at every second mail of the set, from this one on.
async fn every_second(test: &str, first: usize) {
    let Some(browser) = Browser::start(test).await else { return };
    let relay = Setup::bare().command(&["dev"]).start().await;
    let home = relay.http.url("");
    browser.open(&home).await;
    browser.watch().await;
    let mut found = Vec::new();
    for file in mails().iter().skip(first).step_by(2) {
        let id = deliver(&relay, file).await;
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let mut visit =
            Visit { browser: &browser, home: home.clone(), name, asked: 0, found: Vec::new() };
        visit.asked = browser.outside.asked().len();
        let page = format!("/messages/{id}");
        visit.preview(&format!("{page}?tab=preview"), false).await;
        let frame = browser.script(FRAME_SOURCE).await;
        let tabs = browser.script(TABS).await;
        let mut last = String::new();
        for tab in tabs.as_array().unwrap().iter().filter_map(Value::as_str) {
            visit.page(tab).await;
            tab.clone_into(&mut last);
        }
        visit.judge(&last, false).await;
        visit.preview(&format!("{page}?tab=preview&images=remote"), true).await;
        if let Some(frame) = frame.as_str() {
            visit.alone(frame).await;
        }
        found.extend(visit.found);
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

// In two halves, since they take long and can be looked at side by side.

#[tokio::test]
async fn hostile_mail_neither_runs_nor_calls_nor_breaks_out() {
    every_second("hostile_mail_neither_runs_nor_calls_nor_breaks_out", 0).await;
}

#[tokio::test]
async fn hostile_mail_neither_runs_nor_calls_nor_breaks_out_the_other_half() {
    every_second("hostile_mail_neither_runs_nor_calls_nor_breaks_out_the_other_half", 1).await;
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
    let touched = browser.script(UNTOUCHED).await.to_string();
    for expected in ["has run in the page", "reach each other", "allow-scripts"] {
        assert!(touched.contains(expected), "{expected} is missing in {touched}");
    }
}
