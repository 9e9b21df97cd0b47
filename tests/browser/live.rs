//! A page that finds no place among those who are told of changes: it asks by itself, until there is one.

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::chromium::Browser;
use super::marks;
use super::scene::Office;
use super::support::relay::{Relay, Setup};
use super::support::smtp::{self, Mail};

/// More than the relay opens for everybody together.
const STREAMS: usize = 40;

/// Notes the streams that the page opens, and what it asks for again.
const WITNESS: &str = "
    const Stream = window.EventSource;
    window.streams = [];
    window.EventSource = class extends Stream { constructor(path) { super(path); window.streams.push(this); } };
    const ask = window.fetch;
    window.asked = [];
    window.fetch = (...what) => { window.asked.push(String(what[0])); return ask(...what); };";

/// As if the window were covered, or not.
const COVER: &str = "
    Object.defineProperty(document, 'hidden', {value: arguments[0], configurable: true});
    document.dispatchEvent(new Event('visibilitychange'))";

const OPEN_STREAMS: &str =
    "return window.streams.filter(it => it.readyState !== EventSource.CLOSED).length";

/// What the message that is open says of itself.
const READ: &str = "
    const article = document.querySelector('article.message');
    return [article.dataset.id, article.querySelector('#subject').innerText,
        article.querySelector('#actions a[download]').pathname,
        document.querySelector('#list a[aria-current]')?.pathname]";

/// Half a minute is over soon.
const HURRY: &str = "
    const slowly = window.setInterval;
    window.setInterval = (act, after, ...rest) => slowly(act, Math.min(after, 200), ...rest)";

const LOST: &str = "return document.getElementById('live')?.classList.contains('lost') === true";

/// Takes all streams that there are.
async fn streams(relay: &Relay) -> Vec<TcpStream> {
    let address = relay.http.url("").replace("http://", "");
    let ask = format!("GET /api/v1/events HTTP/1.1\r\nHost: {address}\r\n\r\n");
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        stream.write_all(ask.as_bytes()).await.unwrap();
        let mut status = [0; 12];
        stream.read_exact(&mut status).await.unwrap();
        if &status == b"HTTP/1.1 429" {
            return streams;
        }
        streams.push(stream);
    }
    panic!("{STREAMS} streams and no end");
}

#[tokio::test]
async fn without_a_stream_the_page_asks_by_itself_until_it_has_one() {
    let name = "without_a_stream_the_page_asks_by_itself_until_it_has_one";
    let Some(browser) = Browser::start(name).await else { return };
    let relay = Setup::bare().command(&["dev"]).start().await;
    let taken = streams(&relay).await;
    browser.devtools("Page.addScriptToEvaluateOnNewDocument", json!({"source": HURRY})).await;
    smtp::submit(relay.smtp, &Mail::about("The first")).await;
    browser.open(&relay.http.url("/")).await;
    browser.until("the page knows that it hears nothing", LOST).await;
    let id = smtp::submit(relay.smtp, &Mail::about("The second")).await;
    browser.find(&marks::row(&id)).await;
    assert_eq!(browser.script(LOST).await, true);
    drop(taken);
    browser.until_live().await;
}

#[tokio::test]
async fn newer_mail_does_not_take_the_place_of_what_is_read() {
    let name = "newer_mail_does_not_take_the_place_of_what_is_read";
    let Some(browser) = Browser::start(name).await else { return };
    let relay = Setup::bare().command(&["dev"]).start().await;
    let first = smtp::submit(relay.smtp, &Mail::about("The first")).await;
    relay.http.until_message_is(&first, "delivered").await;
    browser.open(&relay.http.url("/")).await;
    browser.until_live().await;
    let before = browser.script(READ).await;
    assert_eq!(before[0], first.as_str());
    assert_eq!(before[3], format!("/messages/{first}"));
    browser.script("window.untouched = true").await;
    let second = smtp::submit(relay.smtp, &Mail::about("The second")).await;
    browser.find(&marks::row(&second)).await;
    assert_eq!(browser.script(READ).await, before);
    assert_eq!(browser.script("return window.untouched").await, true, "the page was loaded again");
}

#[tokio::test]
async fn a_covered_page_leaves_its_stream_to_others_and_catches_up() {
    let name = "a_covered_page_leaves_its_stream_to_others_and_catches_up";
    let Some(browser) = Browser::start(name).await else { return };
    let relay = Setup::bare().command(&["dev"]).start().await;
    browser.devtools("Page.addScriptToEvaluateOnNewDocument", json!({"source": WITNESS})).await;
    smtp::submit(relay.smtp, &Mail::about("The first")).await;
    browser.open(&relay.http.url("/messages")).await;
    browser.until_live().await;
    assert_eq!(browser.script(OPEN_STREAMS).await, 1);
    browser.script_with(COVER, vec![json!(true)]).await;
    assert_eq!(browser.script(OPEN_STREAMS).await, 0);
    let id = smtp::submit(relay.smtp, &Mail::about("The second")).await;
    relay.http.until_message_is(&id, "delivered").await;
    assert_eq!(browser.count(&marks::row(&id)).await, 0);
    browser.script_with(COVER, vec![json!(false)]).await;
    browser.find(&marks::row(&id)).await;
    assert_eq!(browser.script(OPEN_STREAMS).await, 1);
}

#[tokio::test]
async fn a_message_is_read_again_when_it_is_the_one_that_has_changed() {
    let name = "a_message_is_read_again_when_it_is_the_one_that_has_changed";
    let Some(browser) = Browser::start(name).await else { return };
    let office = Office::open().await;
    let api = &office.relay.http;
    browser.devtools("Page.addScriptToEvaluateOnNewDocument", json!({"source": WITNESS})).await;
    browser.open(&api.url(&format!("/messages/{}", office.failed))).await;
    browser.until_live().await;
    // Once when the stream opens.
    browser.until("the page has caught up", "return window.asked.length > 0").await;
    let heard = "window.asked.length = 0; window.heard = 0;
        for (const kind of ['message', 'many'])
            window.streams[0].addEventListener(kind, () => { window.heard += 1; });";
    browser.script(heard).await;
    let other = smtp::submit(office.relay.smtp, &Mail::about("Another")).await;
    api.until_message_is(&other, "delivered").await;
    browser.until("the page has heard of it", "return window.heard > 0").await;
    // Longer than a refresh is put off.
    let later = "await new Promise(done => setTimeout(done, 1500)); return window.asked.length";
    assert_eq!(browser.promise(later).await, 0);

    let retry = format!("/api/v1/messages/{}/retry", office.failed);
    let answer = api.post(&retry, &json!({})).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    browser
        .until(
            "the buttons follow",
            "return !document.querySelector('#actions form') && window.asked.length > 0",
        )
        .await;
}
