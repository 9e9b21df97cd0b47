//! A browser with its cookies before the real program: the way in, the way out, and what others try.

use std::time::Duration;

use reqwest::Method;
use reqwest::header::{COOKIE, HOST, LOCATION, ORIGIN, RETRY_AFTER, SET_COOKIE};
use tokio::time::Instant;

use crate::support::fake::FakeProvider;
use crate::support::relay::{Relay, Setup};
use crate::support::smtp::{self, Mail};

const TOKEN: &str = "e2e-token-of-thirty-two-characters!";

/// An answer, read to its end.
struct Answer {
    status: u16,
    headers: reqwest::header::HeaderMap,
    text: String,
}

impl Answer {
    fn header(&self, name: impl reqwest::header::AsHeaderName) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// What a form of this page must bring back.
    fn csrf(&self) -> &str {
        let rest = self.text.split("name=\"csrf\" value=\"").nth(1).expect("a form with its token");
        rest.split('"').next().unwrap()
    }
}

/// Keeps cookies, sends them back, and follows no redirection by itself.
struct Browser<'a> {
    relay: &'a Relay,
    client: reqwest::Client,
    jar: Vec<(String, String)>,
    /// Fields that a proxy in between adds, or that a test wants.
    fields: Vec<(&'static str, &'static str)>,
}

impl<'a> Browser<'a> {
    fn new(relay: &'a Relay) -> Self {
        let stay = reqwest::redirect::Policy::none();
        let client = reqwest::Client::builder().no_proxy().redirect(stay).build().unwrap();
        Self { relay, client, jar: Vec::new(), fields: Vec::new() }
    }

    async fn ask(&mut self, method: Method, path: &str, form: Option<&str>) -> Answer {
        let mut request = self.client.request(method, self.relay.http.url(path));
        if !self.jar.is_empty() {
            let pairs: Vec<String> = self.jar.iter().map(|(n, v)| format!("{n}={v}")).collect();
            request = request.header(COOKIE, pairs.join("; "));
        }
        for (name, value) in &self.fields {
            request = request.header(*name, *value);
        }
        if let Some(form) = form {
            request = request
                .header("content-type", "application/x-www-form-urlencoded")
                .body(form.to_owned());
        }
        let answer = request.send().await.unwrap();
        for field in answer.headers().get_all(SET_COOKIE) {
            let (pair, attributes) = field.to_str().unwrap().split_once(';').unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            self.jar.retain(|(kept, _)| kept != name);
            if !attributes.contains("Max-Age=0") {
                self.jar.push((name.to_owned(), value.to_owned()));
            }
        }
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        Answer { status, headers, text: answer.text().await.unwrap() }
    }

    async fn get(&mut self, path: &str) -> Answer {
        self.ask(Method::GET, path, None).await
    }

    async fn post(&mut self, path: &str, form: &str) -> Answer {
        self.ask(Method::POST, path, Some(form)).await
    }
}

async fn locked() -> (FakeProvider, Relay) {
    let fake = FakeProvider::resend().await;
    let relay = Setup::resend(&fake).set("http.token", TOKEN).start().await;
    (fake, relay)
}

#[tokio::test]
async fn a_deep_link_leads_through_the_login_to_the_message_and_the_logout_ends_it() {
    let (_fake, relay) = locked().await;
    let id = smtp::submit(relay.smtp, &Mail::about("deep link")).await;
    let wanted = format!("/messages/{id}?tab=delivery");
    let mut browser = Browser::new(&relay);

    let way_in = browser.get(&wanted).await;
    assert_eq!(way_in.status, 303);
    assert!(!way_in.text.contains("deep link"));
    let form = browser.get(way_in.header(LOCATION)).await;
    assert_eq!(form.status, 200);
    let next = form.text.split("name=\"next\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    assert_eq!(next, wanted);
    let next = format!("next=%2Fmessages%2F{id}%3Ftab%3Ddelivery");

    let start = Instant::now();
    let wrong = browser.post("/login", &format!("token=wrong&{next}")).await;
    assert_eq!((wrong.status, wrong.header(SET_COOKIE)), (401, ""));
    assert!(start.elapsed() >= Duration::from_millis(250), "{:?}", start.elapsed());

    let right = browser.post("/login", &format!("token={TOKEN}&{next}")).await;
    assert_eq!((right.status, right.header(LOCATION)), (303, wanted.as_str()));
    let field = right.header(SET_COOKIE);
    assert!(field.starts_with("mailferry=") && !field.contains(TOKEN), "{field}");
    for attribute in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(field.contains(attribute), "{field}");
    }
    assert!(!field.contains("Secure") && !field.contains("Domain"), "{field}");

    let page = browser.get(&wanted).await;
    assert_eq!(page.status, 200);
    assert!(page.text.contains("deep link"), "{}", page.text);
    assert!(page.header("content-security-policy").contains("form-action 'self'"));

    let copied = browser.jar.clone();
    assert_eq!(browser.post("/logout", "csrf=x").await.status, 403);
    let bye = browser.post("/logout", &format!("csrf={}", page.csrf())).await;
    assert_eq!((bye.status, bye.header(LOCATION)), (303, "/login"));
    assert_eq!(browser.jar, []);
    browser.jar = copied;
    assert_eq!(browser.get(&wanted).await.status, 303, "a copied cookie is worth nothing");
}

#[tokio::test]
async fn what_changes_something_needs_the_token_of_its_form() {
    let (fake, relay) = locked().await;
    let mut browser = Browser::new(&relay);
    browser.post("/login", &format!("token={TOKEN}")).await;
    let mail = "to=ada%40rcpt.example&from=relay%40sender.example&subject=x&content=y";
    let retry = "/api/v1/messages/retry-failed";
    assert_eq!(browser.post("/send", mail).await.status, 403);
    assert_eq!(browser.post("/messages/retry-failed", "csrf=AAAA").await.status, 403);
    assert_eq!(browser.ask(Method::POST, retry, None).await.status, 403);

    let csrf = browser.get("/send").await.csrf().to_owned();
    let mut other = Browser::new(&relay);
    other.post("/login", &format!("token={TOKEN}")).await;
    let form = format!("{mail}&csrf={csrf}");
    assert_eq!(other.post("/send", &form).await.status, 403, "the token of another session");
    browser.fields = vec![("origin", "https://evil.example")];
    assert_eq!(browser.post("/send", &form).await.status, 403, "a page of another site");
    assert_eq!(browser.ask(Method::POST, retry, None).await.status, 403);
    assert_eq!(browser.get("/api/v1/messages").await.status, 403);
    assert_eq!(fake.mail_count(), 0);

    browser.fields.clear();
    browser.post("/send", &form).await;
    assert_eq!(fake.mail_count(), 1, "the form itself");
}

#[tokio::test]
async fn behind_a_proxy_with_tls_the_cookie_is_bound_to_it() {
    let (_fake, relay) = locked().await;
    let mut browser = Browser::new(&relay);
    browser.fields = vec![
        ("x-forwarded-proto", "https"),
        ("x-forwarded-for", "203.0.113.9"),
        ("host", "mail.example.org"),
    ];
    let answer = browser.post("/login", &format!("token={TOKEN}")).await;
    let field = answer.header(SET_COOKIE);
    assert!(field.starts_with("__Host-mailferry=") && field.contains("; Secure"), "{field}");
    assert_eq!(browser.get("/messages").await.status, 200);

    // A neighbouring host may set the other name: it is not looked at.
    let Some((_, id)) = browser.jar.pop() else { panic!("a cookie") };
    browser.jar = vec![("mailferry".to_owned(), id)];
    assert_eq!(browser.get("/messages").await.status, 303);
}

#[tokio::test]
async fn guessing_ends_in_429_and_whoever_is_logged_in_stays_so() {
    let (_fake, relay) = locked().await;
    let mut inside = Browser::new(&relay);
    inside.post("/login", &format!("token={TOKEN}")).await;
    let guesser = Browser::new(&relay);
    for n in 0..20 {
        let request = guesser.client.get(relay.http.url("/health")).bearer_auth(format!("no{n}"));
        let told = request.send().await.unwrap().text().await.unwrap();
        assert!(!told.contains("providers"), "{told}");
    }
    let mut late = Browser::new(&relay);
    let refused = late.post("/login", &format!("token={TOKEN}")).await;
    assert_eq!(refused.status, 429, "{}", refused.text);
    let seconds: u64 = refused.header(RETRY_AFTER).parse().unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
    assert_eq!(refused.header(SET_COOKIE), "");
    assert_eq!(inside.get("/messages").await.status, 200);
    assert!(!relay.log().contains(TOKEN) && !relay.log().contains("no19"), "{}", relay.log());
}

#[tokio::test]
async fn a_name_that_suddenly_points_here_gets_nothing() {
    let fake = FakeProvider::resend().await;
    let relay = Setup::resend(&fake).start().await;
    let mut browser = Browser::new(&relay);
    assert_eq!(browser.get("/messages").await.status, 200, "without a token, from this machine");
    browser.fields =
        vec![(HOST.as_str(), "evil.example"), (ORIGIN.as_str(), "http://evil.example")];
    for path in ["/", "/messages", "/api/v1/messages", "/metrics", "/api/v1/events"] {
        let answer = browser.get(path).await;
        assert_eq!(answer.status, 403, "{path}");
        assert!(!answer.text.contains("name=\"csrf\""), "{path}");
    }
    let answer = browser.ask(Method::POST, "/api/v1/messages/retry-failed", None).await;
    assert_eq!(answer.status, 403);
    assert!(!browser.get("/health").await.text.contains("providers"));
}
