//! A page that finds no place among those who are told of changes: it asks by itself, until there is one.

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::chromium::Browser;
use super::marks;
use super::support::relay::{Relay, Setup};
use super::support::smtp::{self, Mail};

/// More than the relay opens for everybody together.
const STREAMS: usize = 40;

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
