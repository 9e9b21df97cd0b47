//! A browser logs in, looks around and logs out.

use std::time::Duration;

use tokio::time::Instant;

use super::client::Answer;
use super::{Running, Setup};

const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");
const JSON: (&str, &str) = ("Content-Type", "application/json");
const TOKEN: &str = "s3cret";

async fn server() -> Running {
    Setup { token: TOKEN, ..Setup::default() }.start().await
}

async fn login(server: &Running, token: &str) -> Answer {
    let body = format!("token={token}&next=%2Fmessages%2F1%3Ftab%3Dtext");
    server.post("/login", &[FORM], body.as_bytes()).await
}

/// What a browser sends back of the cookie that an answer has set.
fn cookie(answer: &Answer) -> String {
    answer.header("set-cookie").unwrap().split(';').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_page_leads_to_the_login_and_the_login_back_to_the_page() {
    let server = server().await;
    let answer = server.get("/messages/1?tab=text").await;
    assert_eq!(answer.status, 303);
    let place = answer.header("location").unwrap();
    assert_eq!(place, "/login?next=%2Fmessages%2F1%3Ftab%3Dtext");
    assert!(answer.header("www-authenticate").is_none(), "no prompt beside the form");
    let form = server.get(place).await;
    assert_eq!(form.status, 200);
    assert!(form.text().contains("name=\"next\" value=\"/messages/1?tab=text\""));
    let answer = login(&server, TOKEN).await;
    assert_eq!((answer.status, answer.header("location")), (303, Some("/messages/1?tab=text")));
    let field = answer.header("set-cookie").unwrap().to_owned();
    assert!(field.ends_with("; Path=/; HttpOnly; SameSite=Strict"), "{field}");
    assert!(!field.contains(TOKEN), "an id, not the token");
    let cookie = cookie(&answer);
    let page = server.get_with("/", &[("Cookie", &cookie)]).await;
    assert_eq!(page.status, 200);
    let again = server.get_with("/login?next=/metrics", &[("Cookie", &cookie)]).await;
    assert_eq!((again.status, again.header("location")), (303, Some("/metrics")));
}

#[tokio::test]
async fn over_https_the_cookie_stays_there() {
    let server = server().await;
    let https = ("X-Forwarded-Proto", "https");
    let answer = server.post("/login", &[FORM, https], b"token=s3cret").await;
    let field = answer.header("set-cookie").unwrap();
    assert!(field.starts_with("__Host-mailferry=") && field.ends_with("; Secure"), "{field}");
    let cookie = cookie(&answer);
    assert_eq!(server.get_with("/", &[("Cookie", &cookie), https]).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_token_is_told_later_each_time_and_then_no_more_is_looked_at() {
    let server = server().await;
    let mut waits = Vec::new();
    for n in 0..20 {
        let start = Instant::now();
        let answer = login(&server, &format!("guess{n}")).await;
        assert_eq!(answer.status, 401);
        assert!(answer.text().contains("This is not the token"));
        assert!(answer.header("set-cookie").is_none());
        waits.push(start.elapsed().as_millis());
        // What passes while answers wait is forgotten again, a failure a minute.
        if start.elapsed() >= Duration::from_secs(15) {
            break;
        }
    }
    assert!(waits.is_sorted() && waits.len() == 7, "{waits:?}");
    for n in 0..60 {
        let bearer = format!("Bearer other{n}");
        server.get_with("/health", &[("Authorization", &bearer)]).await;
    }
    let answer = login(&server, TOKEN).await;
    assert_eq!(answer.status, 429);
    let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
    let bearer = [("Authorization", "Bearer s3cret")];
    let answer = server.get_with("/api/v1/messages", &bearer).await;
    assert_eq!((answer.status, answer.code()), (429, "too_many_requests".to_owned()));
    tokio::time::advance(Duration::from_secs(seconds)).await;
    assert_eq!(login(&server, TOKEN).await.status, 303);
}

#[tokio::test(start_paused = true)]
async fn a_guesser_behind_the_same_address_logs_nobody_out() {
    let server = server().await;
    let cookie = cookie(&login(&server, TOKEN).await);
    for n in 0..30 {
        let bearer = format!("Bearer guess{n}");
        server.get_with("/health", &[("Authorization", &bearer)]).await;
    }
    assert_eq!(login(&server, TOKEN).await.status, 429);
    assert_eq!(server.get_with("/", &[("Cookie", &cookie)]).await.status, 200);
    let elsewhere = ("X-Forwarded-For", "203.0.113.9");
    let answer = server.post("/login", &[FORM, elsewhere], b"token=s3cret").await;
    assert_eq!(answer.status, 303, "another client of the same proxy");
}

#[tokio::test]
async fn after_the_logout_the_cookie_is_worth_nothing() {
    let server = server().await;
    let cookie = cookie(&login(&server, TOKEN).await);
    let form = format!("csrf={}", server.csrf(&[("Cookie", &cookie)]));
    for body in ["", "csrf=", "csrf=AAAA"] {
        let answer = server.post("/logout", &[FORM, ("Cookie", &cookie)], body.as_bytes()).await;
        assert_eq!(answer.status, 403, "{body:?}");
    }
    let foreign = [FORM, ("Cookie", cookie.as_str()), ("Origin", "http://evil.example")];
    assert_eq!(server.post("/logout", &foreign, form.as_bytes()).await.status, 403);
    let answer = server.post("/logout", &[FORM, ("Cookie", &cookie)], form.as_bytes()).await;
    assert_eq!((answer.status, answer.header("location")), (303, Some("/login")));
    assert!(answer.header("set-cookie").unwrap().starts_with("mailferry=;"));
    assert_eq!(server.get_with("/", &[("Cookie", &cookie)]).await.status, 303);
}

#[tokio::test]
async fn the_api_takes_the_cookie_from_scripts_of_the_page_only() {
    let server = server().await;
    let cookie = cookie(&login(&server, TOKEN).await);
    let cookie = ("Cookie", cookie.as_str());
    assert_eq!(server.get_with("/api/v1/messages", &[cookie]).await.status, 200);
    let path = "/api/v1/messages/retry-failed";
    let answer = server.post(path, &[cookie], b"").await;
    assert_eq!((answer.status, answer.code()), (403, "csrf_token".to_owned()));
    let own = format!("http://{}", server.address);
    assert_eq!(server.post(path, &[cookie, ("Origin", &own)], b"").await.status, 200);
    assert_eq!(
        server.post(path, &[cookie, ("Sec-Fetch-Site", "same-origin")], b"").await.status,
        200
    );
    let csrf = server.csrf(&[cookie]);
    assert_eq!(server.post(path, &[cookie, ("X-CSRF-Token", &csrf)], b"").await.status, 200);
    for header in [("X-CSRF-Token", "x"), ("Origin", "null"), ("Sec-Fetch-Site", "same-site")] {
        assert_eq!(server.post(path, &[cookie, header], b"").await.status, 403, "{header:?}");
    }
    let bearer = ("Authorization", "Bearer s3cret");
    assert_eq!(server.post(path, &[cookie, bearer], b"").await.status, 200);
}

#[tokio::test]
async fn another_token_logs_everybody_out() {
    let server = server().await;
    let cookie = cookie(&login(&server, TOKEN).await);
    server.change_token("another");
    assert_eq!(server.get_with("/", &[("Cookie", &cookie)]).await.status, 303);
    server.change_token(TOKEN);
    assert_eq!(server.get_with("/", &[("Cookie", &cookie)]).await.status, 303);
}

#[tokio::test]
async fn a_link_of_another_site_finds_the_session_nevertheless() {
    let server = server().await;
    let link = [("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate")];
    let answer = server.get_with("/messages/1", &link).await;
    assert_eq!((answer.status, answer.header("refresh")), (200, Some("0; url=/messages/1")));
    let again = [("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Mode", "navigate")];
    assert_eq!(server.get_with("/messages/1", &again).await.status, 303, "no session: the login");
}

#[tokio::test]
async fn without_a_token_nobody_is_asked_for_one() {
    let server = Setup::default().start().await;
    let answer = server.get("/login?next=/metrics").await;
    assert_eq!((answer.status, answer.header("location")), (303, Some("/metrics")));
    let answer = server.post("/login", &[FORM], b"token=").await;
    assert_eq!(answer.status, 303);
    assert!(answer.header("set-cookie").is_none());
}

#[tokio::test]
async fn a_login_form_comes_from_ourselves_and_is_small() {
    let server = server().await;
    let foreign = [FORM, ("Origin", "http://evil.example")];
    assert_eq!(server.post("/login", &foreign, b"token=s3cret").await.status, 403);
    assert_eq!(server.post("/login", &[JSON], b"{}").await.status, 415);
    let large = vec![b'a'; 16 * 1024 + 1];
    assert_eq!(server.post("/login", &[FORM], &large).await.status, 413);
}

#[tokio::test]
async fn a_session_is_never_the_one_that_somebody_else_has_chosen() {
    let server = server().await;
    let chosen = format!("mailferry={}", "A".repeat(43));
    let answer = server.post("/login", &[FORM, ("Cookie", &chosen)], b"token=s3cret").await;
    let first = cookie(&answer);
    assert_ne!(first, chosen);
    let page = async |cookie: &str| server.get_with("/", &[("Cookie", cookie)]).await.status;
    assert_eq!((page(&chosen).await, page(&first).await), (303, 200));
    let again = server.post("/login", &[FORM, ("Cookie", &first)], b"token=s3cret").await;
    assert_eq!((page(&first).await, page(&cookie(&again)).await), (303, 200), "the old one ended");
}

#[tokio::test]
async fn a_logout_ends_the_session_also_of_who_sends_the_token_itself() {
    let server = server().await;
    let cookie = cookie(&login(&server, TOKEN).await);
    let both = [("Cookie", cookie.as_str()), ("Authorization", "Bearer s3cret")];
    let form = format!("csrf={}", server.csrf(&both));
    let answer = server.post("/logout", &[&[FORM], &both[..]].concat(), form.as_bytes()).await;
    assert_eq!(answer.status, 303);
    assert_eq!(server.get_with("/", &[("Cookie", &cookie)]).await.status, 303);
}

#[tokio::test]
async fn a_form_never_leads_to_another_host() {
    let server = server().await;
    for next in [
        "//evil.example",
        "%2F%2Fevil.example",
        "/%5Cevil.example",
        "\\\\evil.example",
        "/%09/evil.example",
        "/%0d%0aSet-Cookie:%20mailferry=x",
        "https:evil.example",
        "/%2e//evil.example",
        "%00//evil.example",
    ] {
        for (path, more) in [("/login", "token=s3cret"), ("/language", "lang=ko")] {
            let body = format!("{more}&next={next}");
            let answer = server.post(path, &[FORM], body.as_bytes()).await;
            assert_eq!((answer.status, answer.header("location")), (303, Some("/")), "{next}");
        }
    }
    // Encoded twice it is a path of ours, and stays one.
    let body = b"token=s3cret&next=/%250d%250aX:%20y";
    let answer = server.post("/login", &[FORM], body).await;
    assert_eq!(answer.header("location"), Some("/%0d%0aX:%20y"));
    assert_eq!(answer.header("x"), None);
}

#[tokio::test]
async fn the_language_is_all_that_a_stranger_may_choose() {
    let server = server().await;
    let answer = server.post("/language", &[FORM], b"lang=ko&next=/messages").await;
    let field = answer.header("set-cookie").unwrap();
    assert!(field.starts_with("lang=ko; Path=/; Max-Age="), "{field}");
    for lang in ["", "xx", "ko;%20Domain=evil", "ko%0d%0aX:%20y"] {
        let body = format!("lang={lang}");
        let answer = server.post("/language", &[FORM], body.as_bytes()).await;
        assert_eq!((answer.status, answer.header("set-cookie")), (303, None), "{lang}");
    }
    let foreign = [FORM, ("Origin", "http://evil.example")];
    assert_eq!(server.post("/language", &foreign, b"lang=ko").await.status, 403);
    assert_eq!(server.get("/language?lang=ko").await.status, 405, "a link chooses nothing");
}

#[tokio::test(start_paused = true)]
async fn who_names_another_client_with_each_guess_is_stopped() {
    let server = server().await;
    for n in 0..200 {
        let (bearer, client) = (format!("Bearer guess{n}"), format!("203.0.113.{n}"));
        let claims = [("Authorization", bearer.as_str()), ("X-Forwarded-For", client.as_str())];
        server.get_with("/health", &claims).await;
    }
    let elsewhere = ("X-Forwarded-For", "198.51.100.1");
    assert_eq!(server.post("/login", &[FORM, elsewhere], b"token=s3cret").await.status, 429);
    assert_eq!(login(&server, TOKEN).await.status, 303, "who speaks for himself is another");
}
