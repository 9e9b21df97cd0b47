//! Who gets to what: every endpoint, every kind of caller.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::{Running, Setup};

/// What stands before an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    /// Nothing: it is for everybody.
    Open,
    /// Open, and it takes a form.
    OpenForm,
    /// Told to programs.
    Api,
    /// Told to people.
    Page,
    /// Told to people, within a frame of the page.
    Frame,
    /// A form of a page.
    Form,
}

use Door::{Api, Form, Frame, Open, OpenForm, Page};

/// Every endpoint. One that is missing here fails [`the_table_has_every_endpoint`].
const ENDPOINTS: &[(&str, &str, Door)] = &[
    ("GET", "/health", Open),
    ("GET", "/ready", Open),
    ("GET", "/style.css", Open),
    ("GET", "/page.js", Open),
    ("GET", "/icon.svg", Open),
    ("GET", "/login", Open),
    ("POST", "/login", OpenForm),
    ("POST", "/language", OpenForm),
    ("POST", "/send-test-email", Api),
    ("GET", "/metrics", Api),
    ("GET", "/api/v1/events", Api),
    ("GET", "/api/v1/messages", Api),
    ("POST", "/api/v1/messages", Api),
    ("POST", "/api/v1/messages/retry-failed", Api),
    ("GET", "/api/v1/messages/{id}", Api),
    ("GET", "/api/v1/messages/{id}/raw", Api),
    ("GET", "/api/v1/messages/{id}/request", Api),
    ("GET", "/api/v1/messages/{id}/parts", Api),
    ("GET", "/api/v1/messages/{id}/parts/{number}", Api),
    ("POST", "/api/v1/messages/{id}/retry", Api),
    ("POST", "/api/v1/messages/{id}/cancel", Api),
    ("GET", "/api/v1/stats", Api),
    ("GET", "/api/openapi.json", Api),
    ("GET", "/api/v1/suppressions", Api),
    ("POST", "/api/v1/suppressions", Api),
    ("DELETE", "/api/v1/suppressions", Api),
    ("DELETE", "/api/v1/suppressions/{address}", Api),
    ("GET", "/", Page),
    ("GET", "/overview", Page),
    ("GET", "/messages", Page),
    ("GET", "/messages/{id}", Page),
    ("GET", "/messages/{id}/html", Frame),
    ("GET", "/messages/{id}/text", Page),
    ("GET", "/messages/{id}/headers", Page),
    ("GET", "/messages/{id}/source", Page),
    ("POST", "/messages/retry-failed", Form),
    ("POST", "/messages/{id}/retry", Form),
    ("POST", "/messages/{id}/cancel", Form),
    ("GET", "/suppressions", Page),
    ("POST", "/suppressions", Form),
    ("POST", "/suppressions/remove", Form),
    ("GET", "/send", Page),
    ("POST", "/send", Form),
    ("POST", "/logout", Form),
];

/// What came of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// The handler had it, whatever it said.
    Through,
    /// 401.
    Unknown,
    /// 403.
    Forbidden,
    /// 303 to the login.
    ToLogin,
}

/// The head of one answer: the body may have no end.
async fn head(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let octet = stream.read_u8().await.expect("an answer with a head");
        head.push(octet);
    }
    String::from_utf8(head).unwrap().to_ascii_lowercase()
}

/// A path with everything in it that a pattern leaves open.
fn concrete(pattern: &str) -> String {
    let id = "019a7f00-0000-7000-8000-000000000000";
    pattern.replace("{id}", id).replace("{number}", "1").replace("{address}", "ada@example.org")
}

type Headers = Vec<(&'static str, String)>;

fn request(address: SocketAddr, method: &str, path: &str, headers: &Headers, body: &str) -> String {
    let mut request = format!("{method} {} HTTP/1.1\r\nConnection: close\r\n", concrete(path));
    if !headers.iter().any(|(name, _)| *name == "host") {
        request.push_str(&format!("host: {address}\r\n"));
    }
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
    request
}

/// Sends every endpoint a request of a caller with these headers, and compares what comes of it. `csrf`: what forms bring
/// back.
async fn expect(
    server: &Running,
    caller: &str,
    headers: &[(&'static str, &str)],
    csrf: &str,
    expected: impl Fn(&str, Door) -> Fate,
) {
    let mut running = JoinSet::new();
    for (method, path, door) in ENDPOINTS {
        let mut headers: Headers =
            headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        let mut body = String::new();
        match door {
            OpenForm | Form => {
                headers.push(("content-type", "application/x-www-form-urlencoded".to_owned()));
                body = format!("csrf={csrf}");
            }
            Api if *method != "GET" => {
                headers.push(("content-type", "application/json".to_owned()));
                body.push_str("{}");
            }
            Api | Open | Page | Frame => {}
        }
        let (address, expected) = (server.address, expected(method, *door));
        let request = request(address, method, path, &headers, &body);
        running.spawn(async move {
            let head = head(address, &request).await;
            let to_login = head.contains("\r\nlocation: /login");
            let fate = match head.get(9..12) {
                // It has looked at the token: that is its handler.
                Some("401") if *path != "/login" => Fate::Unknown,
                Some("403") => Fate::Forbidden,
                Some("303") if to_login && *path != "/logout" => Fate::ToLogin,
                Some("303") if to_login && !head.contains("\r\nset-cookie: mailferry=;") => {
                    Fate::ToLogin
                }
                _ => Fate::Through,
            };
            (fate, expected, format!("{method} {path}\n{head}"))
        });
    }
    let mut wrong = Vec::new();
    while let Some(done) = running.join_next().await {
        let (fate, expected, what) = done.unwrap();
        if fate != expected {
            wrong.push(format!("{fate:?}, not {expected:?}: {what}"));
        }
    }
    assert!(wrong.is_empty(), "{caller}:\n{}", wrong.join("\n"));
}

/// The paths of `routes.rs`, as they stand there.
fn paths() -> BTreeSet<String> {
    let source = include_str!("../routes.rs");
    let routes = source.split(".route(").skip(1);
    let quoted = routes.map(|rest| rest.split('"').nth(1).unwrap_or_default().to_owned());
    quoted.collect()
}

#[tokio::test]
async fn the_table_has_every_endpoint() {
    let server = Setup::default().start().await;
    let mut table: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (method, path, _) in ENDPOINTS {
        table.entry((*path).to_owned()).or_default().insert((*method).to_owned());
    }
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for path in paths() {
        let request = request(server.address, "OPTIONS", &path, &Headers::new(), "");
        let head = head(server.address, &request).await;
        assert!(head.starts_with("http/1.1 405"), "{path}: {head}");
        let allowed = head.split("\r\nallow: ").nth(1).unwrap().lines().next().unwrap();
        let methods = allowed.split(',').map(|method| method.trim().to_ascii_uppercase());
        found.insert(path, methods.filter(|method| method != "HEAD").collect());
    }
    assert!(found.len() > 20, "{found:?}");
    assert_eq!(table, found);
}

async fn with_a_token() -> Running {
    Setup { token: "s3cret", ..Setup::default() }.start().await
}

/// What a stranger gets to where there is a token.
fn as_a_stranger(_: &str, door: Door) -> Fate {
    match door {
        Open | OpenForm => Fate::Through,
        Api | Frame => Fate::Unknown,
        Page | Form => Fate::ToLogin,
    }
}

/// What is left when nothing of the caller is believed, and what is open may be read.
fn only_open(_: &str, door: Door) -> Fate {
    match door {
        Open | OpenForm => Fate::Through,
        Api | Page | Frame | Form => Fate::Forbidden,
    }
}

/// What a page of another site gets to: what is open, for reading.
fn from_elsewhere(_: &str, door: Door) -> Fate {
    match door {
        Open => Fate::Through,
        OpenForm | Api | Page | Frame | Form => Fate::Forbidden,
    }
}

/// What somebody gets to who may do all, but does not bring back the token of a form.
fn all_but_forms(_: &str, door: Door) -> Fate {
    match door {
        Open | OpenForm | Api | Page | Frame => Fate::Through,
        Form => Fate::Forbidden,
    }
}

fn all(_: &str, _: Door) -> Fate {
    Fate::Through
}

#[tokio::test]
async fn strangers_see_what_is_open_and_the_login() {
    let server = with_a_token().await;
    expect(&server, "nothing", &[], "", as_a_stranger).await;
    let old = [("cookie", "mailferry=AAAA; __Host-mailferry=BBBB")];
    expect(&server, "an old cookie", &old, "", as_a_stranger).await;
    let wrong = [("authorization", "Bearer wrong")];
    expect(&server, "a wrong token", &wrong, "", |_, door| match door {
        Open | OpenForm => Fate::Through,
        Api | Page | Frame | Form => Fate::Unknown,
    })
    .await;
}

#[tokio::test]
async fn the_token_opens_all_and_forms_are_of_the_page() {
    let server = with_a_token().await;
    let bearer = [("authorization", "Bearer s3cret")];
    expect(&server, "the token", &bearer, "", all_but_forms).await;
    expect(&server, "the token and a form", &bearer, &server.csrf(&bearer), all).await;
    // A browser that has asked for a password sends it along with whatever a page of another site asks.
    let basic = ("authorization", "Basic OnMzY3JldA==");
    let foreign = [basic, ("origin", "https://evil.example")];
    expect(&server, "another site", &foreign, &server.csrf(&[basic]), from_elsewhere).await;
}

#[tokio::test]
async fn a_cookie_opens_all_to_the_page_and_nothing_to_other_sites() {
    let server = with_a_token().await;
    let id = {
        let context = server.control.context();
        context.memory.sessions.begin("s3cret", tokio::time::Instant::now())
    };
    let cookie = format!("mailferry={id}");
    let cookie = ("cookie", cookie.as_str());
    let csrf = server.csrf(&[cookie]);
    expect(&server, "the cookie alone", &[cookie], "", |method, door| match door {
        Open | OpenForm | Page | Frame => Fate::Through,
        Api if method == "GET" => Fate::Through,
        Api | Form => Fate::Forbidden,
    })
    .await;
    for foreign in [("origin", "null"), ("sec-fetch-site", "same-site")] {
        expect(&server, "another site", &[cookie, foreign], &csrf, from_elsewhere).await;
    }
    let own = [cookie, ("sec-fetch-site", "same-origin")];
    expect(&server, "our page without its token", &own, "", all_but_forms).await;
    expect(&server, "our page", &own, &csrf, all).await;
}

#[tokio::test]
async fn without_a_token_the_own_networks_may_and_foreign_names_may_not() {
    let server = Setup::default().start().await;
    expect(&server, "a program", &[], "", all_but_forms).await;
    expect(&server, "a page", &[], &server.csrf(&[]), all).await;
    // As a browser does it whose name for this address has changed: to it all is one site.
    let rebound = [
        ("host", "evil.example"),
        ("origin", "http://evil.example"),
        ("sec-fetch-site", "same-origin"),
    ];
    expect(&server, "a rebound name", &rebound, &server.csrf(&[]), only_open).await;
    let proxied = [("x-forwarded-for", "127.0.0.1")];
    expect(&server, "a proxy", &proxied, &server.csrf(&[]), only_open).await;
    let foreign = [("origin", "https://evil.example")];
    expect(&server, "another site", &foreign, &server.csrf(&[]), from_elsewhere).await;
    let stranger = Setup { trusted: false, ..Setup::default() }.start().await;
    expect(&stranger, "a stranger", &[], "", only_open).await;
}

#[tokio::test]
async fn a_preflight_is_never_allowed() {
    let server = Setup::default().start().await;
    for (_, path, _) in ENDPOINTS {
        for (host, origin) in
            [("localhost", "https://evil.example"), ("evil.example", "http://evil.example")]
        {
            let headers = vec![
                ("host", host.to_owned()),
                ("origin", origin.to_owned()),
                ("access-control-request-method", "POST".to_owned()),
            ];
            let request = request(server.address, "OPTIONS", path, &headers, "");
            let head = head(server.address, &request).await;
            let refused = ["403", "405"].map(|status| format!("http/1.1 {status}"));
            assert!(refused.iter().any(|status| head.starts_with(status)), "{path}: {head}");
            assert!(!head.contains("access-control-allow"), "{path}: {head}");
        }
    }
}
