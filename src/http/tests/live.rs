//! `GET /api/v1/events`, over real sockets.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::sample;
use super::store::Fault;
use super::{FakeStore, Running, Setup};
use crate::config::{HttpConfig, SenderConfig};
use crate::message::QueueId;
use crate::queue::{Change, Feed, State};
use crate::secret::Secret;

/// A stream as a client reads it.
struct Events(BufReader<TcpStream>);

impl Events {
    async fn open(server: &Running) -> Self {
        Self::open_with(server, "").await
    }

    /// By HTTP/1.0 a body comes without chunks, as it is. `fields`: lines of the head.
    async fn open_with(server: &Running, fields: &str) -> Self {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let request = format!("GET /api/v1/events HTTP/1.0\r\nHost: localhost\r\n{fields}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut events = Self(BufReader::new(stream));
        let status = events.line().await.unwrap();
        assert!(status.contains(" 200 "), "{status}");
        let mut head = String::new();
        while let Some(line) = events.line().await.filter(|line| !line.is_empty()) {
            head += &line.to_ascii_lowercase();
            head += "\n";
        }
        assert!(head.contains("content-type: text/event-stream\n"), "{head}");
        assert!(head.contains("cache-control: no-store\n"), "{head}");
        events
    }

    async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = self.0.read_line(&mut line).await.unwrap_or(0);
        (read > 0).then(|| line.trim_end().to_owned())
    }

    /// The next event; `None` at the end of the stream.
    async fn next(&mut self) -> Option<(String, Value)> {
        let mut name = String::new();
        loop {
            let line = self.line().await?;
            if let Some(event) = line.strip_prefix("event: ") {
                event.clone_into(&mut name);
            } else if let Some(data) = line.strip_prefix("data: ") {
                return Some((name, serde_json::from_str(data).unwrap()));
            }
        }
    }

    /// The next event of this name.
    async fn next_of(&mut self, wanted: &str) -> Value {
        loop {
            let (name, data) = self.next().await.expect("the stream goes on");
            if name == wanted {
                return data;
            }
        }
    }

    async fn end(mut self) {
        let mut rest = Vec::new();
        let _ = self.0.read_to_end(&mut rest).await;
    }
}

const TOKEN: &str = "s3cret";

/// The cookie of somebody who has logged in.
fn session(server: &Running) -> String {
    let sessions = &server.control.context().memory.sessions;
    format!("mailferry={}", sessions.begin(TOKEN, Instant::now()))
}

async fn server() -> (Feed, Running) {
    let setup = Setup::default();
    (setup.feed.clone(), setup.start().await)
}

fn id(n: u64) -> QueueId {
    QueueId::new(sample::now() + Duration::from_millis(n))
}

fn tell(feed: &Feed, id: QueueId, state: State) {
    feed.tell(|| Change::Message { id, state });
}

#[tokio::test(start_paused = true)]
async fn a_stream_begins_with_how_things_are_and_goes_on_with_what_changes() {
    let (feed, server) = server().await;
    let mut events = Events::open(&server).await;
    let counts = json!({
        "backend": "memory", "queued": 0, "sending": 0, "failed": 0, "oldest_seconds": 0,
    });
    assert_eq!(events.next().await.unwrap(), ("queue".to_owned(), counts));
    let (name, providers) = events.next().await.unwrap();
    assert_eq!((name.as_str(), &providers["ses"]["state"]), ("providers", &json!("up")));
    let ada = id(1);
    for state in [State::Sending, State::Delivered] {
        tell(&feed, ada, state);
        let expected = json!({ "id": ada.to_string(), "state": state.name() });
        assert_eq!(events.next().await.unwrap(), ("message".to_owned(), expected));
    }
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_changes_are_a_few_lines_for_everybody() {
    let (feed, server) = server().await;
    let mut streams = Vec::new();
    for _ in 0..8 {
        let mut events = Events::open(&server).await;
        events.next_of("providers").await;
        streams.push(events);
    }
    let start = Instant::now();
    for second in 0..5 {
        for n in 0..2_000 {
            tell(&feed, id(second * 10_000 + n), State::Sending);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    tell(&feed, id(0), State::Delivered);
    for mut events in streams {
        let mut many = 0;
        loop {
            match events.next().await.expect("the stream goes on") {
                (name, _) if name == "many" => many += 1,
                (name, data) if name == "message" && data["state"] == "delivered" => break,
                (name, _) => assert_eq!(name, "message"),
            }
        }
        assert!((1..=7).contains(&many), "{many} in {:?}", start.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn there_are_so_many_streams_and_a_place_becomes_free_with_its_client() {
    let server = Setup { token: TOKEN, ..Setup::default() }.start().await;
    let mut streams = Vec::new();
    for _ in 0..4 {
        let cookie = session(&server);
        for _ in 0..8 {
            let field = format!("Cookie: {cookie}\r\n");
            streams.push(Events::open_with(&server, &field).await);
        }
        let refused = server.get_with("/api/v1/events", &[("Cookie", &cookie)]).await;
        assert_eq!((refused.status, refused.code()), (429, "too_many_requests".to_owned()));
        assert!(refused.message().contains("you have 8 streams"), "{}", refused.message());
    }
    let bearer = format!("Bearer {TOKEN}");
    let bearer = [("Authorization", bearer.as_str())];
    let refused = server.get_with("/api/v1/events", &bearer).await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("10")));
    assert!(refused.message().contains("there are 32 streams"), "{}", refused.message());
    assert_eq!(server.get("/health").await.status, 200, "others are not kept waiting");
    drop(streams.pop());
    for _ in 0..1_000 {
        let request = format!(
            "HEAD /api/v1/events HTTP/1.0\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
        );
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        if super::client::read(&mut stream).await.status == 200 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the place of the one that left stays taken");
}

#[tokio::test(start_paused = true)]
async fn streams_end_with_the_server_and_do_not_hold_it_up() {
    let (_feed, server) = server().await;
    let mut events = Events::open(&server).await;
    events.next_of("providers").await;
    let start = Instant::now();
    server.shutdown.cancel();
    server.task.await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    events.end().await;
}

#[tokio::test(start_paused = true)]
async fn other_rules_end_what_was_allowed_by_the_old_ones() {
    let (_feed, server) = server().await;
    let mut events = Events::open(&server).await;
    events.next_of("providers").await;
    let config = HttpConfig {
        token: Secret::new("another"),
        trusted_networks: Vec::new(),
        ..super::config()
    };
    let start = Instant::now();
    server.control.change(&config, SenderConfig::default(), 3, 1 << 20, false);
    events.end().await;
    assert!(start.elapsed() <= Duration::from_secs(2), "{:?}", start.elapsed());
    assert_eq!(server.get("/api/v1/events").await.status, 401);
}

#[tokio::test(start_paused = true)]
async fn a_logout_ends_the_streams_of_its_session_and_of_no_other() {
    let setup = Setup { token: TOKEN, ..Setup::default() };
    let feed = setup.feed.clone();
    let server = setup.start().await;
    let (ada, bob) = (session(&server), session(&server));
    let mut streams = Vec::new();
    for cookie in [&ada, &ada, &bob] {
        let mut events = Events::open_with(&server, &format!("Cookie: {cookie}\r\n")).await;
        events.next_of("providers").await;
        streams.push(events);
    }
    let mut bobs = streams.pop().unwrap();
    let form = format!("csrf={}", server.csrf(&[("Cookie", &ada)]));
    let headers = [("Cookie", ada.as_str()), ("Content-Type", "application/x-www-form-urlencoded")];
    let start = Instant::now();
    assert_eq!(server.post("/logout", &headers, form.as_bytes()).await.status, 303);
    tell(&feed, id(1), State::Failed);
    for mut events in streams {
        while let Some((name, data)) = events.next().await {
            assert_ne!(name, "message", "told after the logout: {data}");
        }
    }
    assert!(start.elapsed() <= Duration::from_secs(2), "{:?}", start.elapsed());
    assert_eq!(bobs.next_of("message").await["state"], json!("failed"));
}

#[tokio::test]
async fn strangers_and_pages_of_other_sites_get_no_stream() {
    let (_feed, server) = server().await;
    let foreign = [("Sec-Fetch-Site", "cross-site")];
    let answer = server.get_with("/api/v1/events", &foreign).await;
    assert_eq!((answer.status, answer.code()), (403, "cross_site".to_owned()));
    let closed = Setup { token: "s3cret", ..Setup::default() }.start().await;
    assert_eq!(closed.get("/api/v1/events").await.status, 401);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_answer_leaves_the_rest_of_the_stream() {
    let store = FakeStore { fault: Fault::Silent, ..FakeStore::default() };
    let setup = Setup { store, ..Setup::default() };
    let feed = setup.feed.clone();
    let server = setup.start().await;
    let mut events = Events::open(&server).await;
    assert_eq!(events.next().await.unwrap().0, "providers");
    tell(&feed, id(1), State::Failed);
    assert_eq!(events.next_of("message").await["state"], json!("failed"));
}
