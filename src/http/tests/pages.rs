//! The pages as a browser gets them: sound HTML, in both languages, harmless whatever strangers write, and small.

use std::collections::BTreeSet;
use std::sync::Arc;

use scraper::{Html, Selector};

use super::client::Answer;
use super::sample;
use super::store::{Act, FakeStore};
use super::{Running, Setup};
use crate::config::SenderConfig;
use crate::message::QueueId;
use crate::queue::{Details, MemoryStore, Retry, State, Store};

const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");
const KOREAN: (&str, &str) = ("Accept-Language", "ko-KR,ko;q=0.9");
const RAW: &[u8] = b"From: Ada <ada@example.org>\r\nSubject: Hi\r\nMIME-Version: 1.0\r\n\
    Content-Type: text/html\r\n\r\n<p>Hello <img src=\"https://example.org/x.png\"></p>\r\n";

/// Somebody who writes to harm, to confuse, and much.
fn hostile() -> Details {
    let mut details = sample::failed();
    let evil = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>&lt;\u{202e}";
    details.summary.index.subject = format!("{evil}{}", "가".repeat(900));
    details.summary.index.header_from = format!("{evil} <a@b.example>");
    details.summary.index.message_id = evil.to_owned();
    details.summary.error = Some(evil.to_owned());
    details.summary.user = Some(evil.to_owned());
    details.attempts[0].error = Some(evil.to_owned());
    details.attempts[0].provider_message_id = Some(evil.to_owned());
    details
}

async fn serving(details: Details) -> (Running, QueueId) {
    let id = details.summary.id;
    let contents = vec![(id, bytes::Bytes::from_static(RAW))];
    let store = FakeStore { messages: vec![details], contents, ..FakeStore::default() };
    (Setup { store, ..Setup::default() }.start().await, id)
}

fn paths(id: QueueId) -> Vec<String> {
    let tabs = ["preview", "text", "headers", "source", "attachments", "delivery", "request"];
    let mut paths: Vec<String> =
        tabs.iter().map(|tab| format!("/messages/{id}?tab={tab}")).collect();
    paths.extend(
        [
            "/",
            "/?window=1h",
            "/overview",
            "/messages",
            "/messages?state=failed&done=retry-all",
            "/messages?q=nobody",
            "/messages?state=sent",
            "/messages/1",
            "/suppressions",
            "/suppressions?q=x&done=add",
            "/send",
        ]
        .map(str::to_owned),
    );
    paths
}

fn select<'a>(page: &'a Html, selector: &str) -> Vec<scraper::ElementRef<'a>> {
    let selector = Selector::parse(selector).unwrap();
    page.select(&selector).collect::<Vec<_>>()
}

/// The first element that is not closed where it must be. What strangers write has no `<`: it is escaped.
fn unclosed(html: &str) -> Option<String> {
    const ALONE: [&str; 5] = ["meta", "link", "img", "input", "!doctype"];
    let mut open: Vec<&str> = Vec::new();
    for rest in html.split('<').skip(1) {
        let Some((tag, _)) = rest.split_once('>') else { return Some(rest.to_owned()) };
        let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap_or_default();
        if tag.starts_with('/') {
            if open.pop() != Some(name) {
                return Some(format!("{name} in {open:?}"));
            }
        } else if !ALONE.contains(&name) && !tag.ends_with('/') {
            open.push(name);
        }
    }
    open.pop().map(str::to_owned)
}

/// What a person with a screen reader, and a strict parser, would complain about.
fn check(path: &str, answer: &Answer, lang: &str) {
    assert_eq!(unclosed(answer.text()), None, "{path}");
    let page = Html::parse_document(answer.text());
    let root = page.root_element();
    assert_eq!(root.attr("lang"), Some(lang), "{path}");
    assert_eq!(select(&page, "main").len(), 1, "{path}");
    assert!(!select(&page, "h1").is_empty(), "{path} has a heading");
    let mut ids = BTreeSet::new();
    for element in select(&page, "[id]") {
        let id = element.attr("id").unwrap();
        assert!(ids.insert(id), "{path}: the id {id:?} is there twice");
    }
    for element in select(&page, "[for]") {
        let of = element.attr("for").unwrap();
        assert!(ids.contains(of), "{path}: a label for {of:?}, which is not there");
    }
    let labelled: BTreeSet<&str> =
        select(&page, "label[for]").iter().filter_map(|it| it.attr("for")).collect();
    for field in select(&page, "input:not([type=hidden]), select, textarea") {
        let named = field.attr("aria-label").is_some()
            || field.attr("id").is_some_and(|id| labelled.contains(id));
        assert!(named, "{path}: a field without a label: {}", field.html());
    }
    for element in select(&page, "a, button, summary") {
        let text: String = element.text().collect();
        let named = !text.trim().is_empty() || element.attr("aria-label").is_some();
        assert!(named, "{path}: nothing to read on {}", element.html());
    }
    for form in select(&page, "form[method=post]") {
        let action = form.attr("action").unwrap();
        let open = action == "/language" || action == "/login";
        let token = Selector::parse("input[name=csrf]").unwrap();
        assert!(open || form.select(&token).next().is_some(), "{path}: {action} without a token");
    }
    let scripts = select(&page, "script, style, [onclick], [onerror], [style]");
    let own = |it: &scraper::ElementRef<'_>| {
        it.attr("src").is_some_and(|from| from.starts_with("/page.js?v="))
    };
    assert!(scripts.iter().all(own) && scripts.len() == 1, "{path}: only our own script");
    assert!(select(&page, "img").iter().all(|it| it.attr("src") == Some("/icon.svg")), "{path}");
}

#[tokio::test]
async fn every_page_is_sound_in_both_languages_whatever_strangers_write() {
    let (server, id) = serving(hostile()).await;
    for path in paths(id) {
        check(&path, &server.get(&path).await, "en");
        check(&path, &server.get_with(&path, &[KOREAN]).await, "ko");
    }
    let inbox = Setup {
        store: FakeStore { messages: vec![hostile()], ..FakeStore::default() },
        catching: true,
        ..Setup::default()
    };
    let inbox = inbox.start().await;
    for path in ["/", "/overview", "/?q=nobody"] {
        check(path, &inbox.get(path).await, "en");
        check(path, &inbox.get_with(path, &[KOREAN]).await, "ko");
    }
    let locked = Setup { token: "s3cret", ..Setup::default() }.start().await;
    check("/login", &locked.get("/login").await, "en");
}

#[tokio::test]
async fn a_failed_mail_is_found_understood_and_sent_again_by_another_provider() {
    let (server, id) = serving(sample::failed()).await;
    let list = server.get("/messages?state=failed").await;
    assert!(list.text().contains(&format!("href=\"/messages/{id}\"")), "{}", list.text());
    let page = server.get(&format!("/messages/{id}")).await;
    for words in ["to 1 of 2 recipients", "422: no such user", "send by another provider", "87 ms"]
    {
        assert!(page.text().contains(words), "{words}");
    }
    let form = format!("csrf={}&provider=ses&recipients=bob%40example.org", server.csrf(&[]));
    let path = format!("/messages/{id}/retry");
    let answer = server.post(&path, &[FORM], form.as_bytes()).await;
    let place = format!("/messages/{id}?tab=delivery&done=retry");
    assert_eq!((answer.status, answer.header("location")), (303, Some(place.as_str())));
    assert!(server.get(&place).await.text().contains("It waits to be sent again."));
    let stale = server.post(&path, &[FORM], b"provider=ses").await;
    assert_eq!(stale.status, 403);
    assert!(stale.text().contains("reload the page"), "{}", stale.text());
}

#[tokio::test]
async fn forms_do_what_they_say() {
    let details = sample::failed();
    let id = details.summary.id;
    let acts = Arc::default();
    let store =
        FakeStore { messages: vec![details], acts: Arc::clone(&acts), ..FakeStore::default() };
    let server = Setup { store, ..Setup::default() }.start().await;
    let token = format!("csrf={}", server.csrf(&[]));
    for path in [format!("/messages/{id}/retry"), format!("/messages/{id}/cancel")] {
        assert_eq!(server.post(&path, &[FORM], token.as_bytes()).await.status, 303, "{path}");
    }
    assert_eq!(*acts.lock().unwrap(), [Act::Retry(id, Retry::default()), Act::Cancel(id)]);
    let all = server.post("/messages/retry-failed", &[FORM], token.as_bytes()).await;
    assert_eq!(all.header("location"), Some("/messages?state=queued&done=retry-all"));

    let add = format!("{token}&address=Bob%40example.org&note=asked+for+it");
    let answer = server.post("/suppressions", &[FORM], add.as_bytes()).await;
    assert_eq!((answer.status, answer.header("location")), (303, Some("/suppressions?done=add")));
    let page = server.get("/suppressions").await;
    assert!(page.text().contains("Bob@example.org") && page.text().contains("asked for it"));
    let wrong = format!("{token}&address=bob");
    assert_eq!(server.post("/suppressions", &[FORM], wrong.as_bytes()).await.status, 400);
    let remove = format!("{token}&address=Bob%40EXAMPLE.org");
    let answer = server.post("/suppressions/remove", &[FORM], remove.as_bytes()).await;
    assert_eq!(answer.header("location"), Some("/suppressions?done=remove"));
    assert!(server.get("/suppressions").await.text().contains("No address is suppressed"));
}

#[tokio::test]
async fn without_a_queue_the_list_says_that_a_restart_forgets_it() {
    for (queue, says_so) in [(None, true), (Some(Arc::new(MemoryStore::new(10))), false)] {
        let queue = queue.map(|store| store as Arc<dyn Store>);
        let server = Setup { queue, ..Setup::default() }.start().await;
        for (language, words) in [("en", "empty again after a restart"), ("ko", "비워집니다")]
        {
            let cookie = format!("lang={language}");
            let page = server.get_with("/suppressions", &[("Cookie", cookie.as_str())]).await;
            assert_eq!(page.text().contains(words), says_so, "{}", page.text());
        }
    }
}

#[tokio::test]
async fn a_test_mail_is_answered_on_the_page_and_what_was_filled_in_stays() {
    let server = Setup::default().start().await;
    let token = format!("csrf={}", server.csrf(&[]));
    let good = format!("{token}&to=ada%40example.org&subject=Hi&content=Hello");
    let answer = server.post("/send", &[FORM], good.as_bytes()).await;
    assert_eq!(answer.status, 200);
    assert!(answer.text().contains("has taken the mail"), "{}", answer.text());
    let wrong = format!("{token}&to=ada&subject=%3Cb%3E&content=Hello");
    let answer = server.post("/send", &[FORM], wrong.as_bytes()).await;
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("is not an address") && answer.text().contains("&#60;b&#62;"));
    check("/send", &answer, "en");
}

#[tokio::test]
async fn the_choice_of_a_language_is_kept_and_leads_back() {
    let server = Setup::default().start().await;
    let answer = server.post("/language", &[FORM], b"lang=ko&next=%2Fmessages%3Fq%3Da").await;
    assert_eq!((answer.status, answer.header("location")), (303, Some("/messages?q=a")));
    assert!(answer.header("set-cookie").unwrap().starts_with("lang=ko; Path=/; "));
    let page = server.get_with("/messages", &[("Cookie", "lang=ko")]).await;
    assert!(page.text().contains("아직 메일이 없습니다."));
    let away = server.post("/language", &[FORM], b"lang=xx&next=%2F%2Fevil.example").await;
    assert_eq!((away.header("location"), away.header("set-cookie")), (Some("/"), None));
}

#[tokio::test]
async fn mail_of_strangers_is_shown_in_a_frame_that_can_do_nothing() {
    let (server, id) = serving(sample::failed()).await;
    let answer = server.get(&format!("/messages/{id}?tab=preview")).await;
    let page = Html::parse_document(answer.text());
    let frame = select(&page, "iframe")[0];
    assert_eq!(frame.attr("src"), Some(format!("/messages/{id}/html").as_str()));
    let sandbox = frame.attr("sandbox").unwrap();
    assert!(!sandbox.contains("scripts") && !sandbox.contains("origin"), "{sandbox}");
    assert!(answer.text().contains("1 picture from the net is not loaded"));
    let asked = server.get(&format!("/messages/{id}?tab=preview&images=remote")).await;
    assert!(asked.text().contains("/html?images=remote\""));
}

#[tokio::test]
async fn where_mail_is_caught_the_start_is_an_inbox() {
    let mut details = sample::failed();
    details.summary.state = State::Delivered;
    let store = FakeStore { messages: vec![details], ..FakeStore::default() };
    let server = Setup { store, catching: true, ..Setup::default() }.start().await;
    let page = server.get("/").await;
    assert!(page.text().contains("Caught here. Nothing was sent."), "{}", page.text());
    assert!(page.text().contains("href=\"/overview\""));

    // Until another configuration brings a provider that sends.
    server.control.change(&super::config(), SenderConfig::default(), 3, 1 << 20, false);
    for path in ["/", "/overview"] {
        let page = server.get(path).await;
        assert!(!page.text().contains("Mail is caught here"), "{path}: {}", page.text());
    }
    assert!(!server.get("/").await.text().contains("Caught here"));
}

#[tokio::test]
async fn a_full_page_with_all_it_brings_along_is_small() {
    let messages = (0..60).map(|_| sample::failed()).collect();
    let store = FakeStore { messages, ..FakeStore::default() };
    let server = Setup { store, ..Setup::default() }.start().await;
    let mut octets = 0;
    for path in ["/messages", "/style.css", "/page.js", "/icon.svg"] {
        let answer = server.get(path).await;
        assert_eq!(answer.status, 200, "{path}");
        octets += answer.body.len();
    }
    assert!(octets < 100 * 1024, "{octets} octets");
}
