//! Forms of the page: whom they are for, how often, and where they lead when they cannot be done.

use std::sync::Arc;
use std::time::Duration;

use scraper::{ElementRef, Html, Selector};

use super::store::{Act, FakeStore};
use super::{Running, Setup, config, sample};
use crate::config::{HttpConfig, RateLimit, SenderConfig};
use crate::queue::{Details, RecipientState, Retry, State};

const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

async fn page(server: &Running, path: &str) -> Html {
    Html::parse_document(server.get(path).await.text())
}

fn select<'a>(page: &'a Html, selector: &str) -> Vec<ElementRef<'a>> {
    page.select(&Selector::parse(selector).unwrap()).collect()
}

fn value(page: &Html, selector: &str) -> Option<String> {
    select(page, selector).first().and_then(|it| it.attr("value")).map(str::to_owned)
}

async fn with(details: Details) -> (Running, String) {
    let path = format!("/messages/{}", details.summary.id);
    let store = FakeStore { messages: vec![details], ..FakeStore::default() };
    (Setup { store, ..Setup::default() }.start().await, path)
}

#[tokio::test]
async fn a_form_says_whom_it_was_shown_for_unless_they_must_be_named() {
    let mut details = sample::failed();
    let (server, path) = with(details.clone()).await;
    let shown = value(&page(&server, &path).await, "form input[name=shown]");
    assert_eq!(shown.as_deref(), Some("bob@example.org"));
    details.summary.state = State::Delivered;
    details.summary.recipients[1].state = RecipientState::Delivered;
    let (server, path) = with(details).await;
    let page = page(&server, &path).await;
    assert_eq!(value(&page, "form input[name=shown]"), None, "to have it again is to name them");
    let listed: String = select(&page, "textarea[name=recipients]")[0].text().collect();
    assert_eq!(listed, "ada@example.org\nbob@example.org");
}

#[tokio::test]
async fn who_got_the_mail_meanwhile_is_not_named_by_a_form_that_was_left_alone() {
    let mut details = sample::failed();
    // The form was shown when neither had it.
    details.summary.recipients[0].state = RecipientState::Delivered;
    let id = details.summary.id;
    let acts = Arc::default();
    let store =
        FakeStore { messages: vec![details], acts: Arc::clone(&acts), ..FakeStore::default() };
    let server = Setup { store, ..Setup::default() }.start().await;
    let both = "ada%40example.org%0D%0Abob%40example.org";
    let form = format!("csrf={}&provider=ses&shown={both}&recipients={both}", server.csrf(&[]));
    let answer = server.post(&format!("/messages/{id}/retry"), &[FORM], form.as_bytes()).await;
    assert_eq!(answer.status, 303);
    let retry = Retry { provider: Some("ses".to_owned()), ..Retry::default() };
    assert_eq!(*acts.lock().unwrap(), [Act::Retry(id, retry)]);
}

#[tokio::test]
async fn the_buttons_follow_the_state_and_what_is_filled_in_stays_out_of_it() {
    let (server, path) = with(sample::failed()).await;
    let page = page(&server, &path).await;
    assert_eq!(
        select(&page, "article[data-id] #actions[data-part] form[action$='/retry']").len(),
        1
    );
    assert!(select(&page, "[data-part] textarea, [data-part] select").is_empty());
}

#[tokio::test]
async fn a_retry_counts_like_a_message_that_is_handed_in() {
    let (server, path) = with(sample::failed()).await;
    let one = RateLimit { calls: 1, per: Duration::from_mins(1) };
    let rules = HttpConfig { submit_rate: one, ..config() };
    server.control.change(&rules, SenderConfig::default(), 3, 1 << 20, false);
    let form = format!("csrf={}", server.csrf(&[]));
    let retry = format!("{path}/retry");
    assert_eq!(server.post(&retry, &[FORM], form.as_bytes()).await.status, 303);
    for path in [retry.as_str(), "/messages/retry-failed"] {
        let answer = server.post(path, &[FORM], form.as_bytes()).await;
        assert_eq!(answer.status, 429, "{path}");
    }
}

#[tokio::test]
async fn a_retry_of_much_goes_on_where_it_stopped() {
    let details = sample::failed();
    let id = details.summary.id;
    let acts = Arc::default();
    let store = FakeStore {
        messages: vec![details],
        acts: Arc::clone(&acts),
        endless: true,
        ..FakeStore::default()
    };
    let server = Setup { store, ..Setup::default() }.start().await;
    let form = format!("csrf={}", server.csrf(&[]));
    let answer = server.post("/messages/retry-failed", &[FORM], form.as_bytes()).await;
    let place = format!("/messages?state=queued&done=retry-some&next={id}");
    assert_eq!(answer.header("location"), Some(place.as_str()));

    let page = page(&server, &place).await;
    let before = value(&page, "form[action='/messages/retry-failed'] input[name=before]").unwrap();
    assert_eq!(before, id.to_string());
    acts.lock().unwrap().clear();
    let form = format!("{form}&before={before}");
    assert_eq!(server.post("/messages/retry-failed", &[FORM], form.as_bytes()).await.status, 303);
    assert_eq!(acts.lock().unwrap()[0], Act::RetryFailed(Some(id)));

    let bad = server.post("/messages/retry-failed", &[FORM], b"csrf=&before=1").await;
    assert_eq!(bad.status, 403, "a token first");
    let bad = format!("csrf={}&before=1", server.csrf(&[]));
    let bad = server.post("/messages/retry-failed", &[FORM], bad.as_bytes()).await;
    assert_eq!(bad.status, 400);
}

#[tokio::test]
async fn the_switch_of_the_language_leads_to_what_can_be_read() {
    let (server, path) = with(sample::failed()).await;
    let answer = server.post(&format!("{path}/retry"), &[FORM], b"csrf=stale").await;
    assert_eq!(answer.status, 403);
    let next = "form[action='/language'] input[name=next]";
    assert_eq!(value(&Html::parse_document(answer.text()), next), Some(path));

    let locked = Setup { token: "s3cret", ..Setup::default() }.start().await;
    let login = page(&locked, "/login?next=%2Fmessages%3Fq%3Da").await;
    assert_eq!(value(&login, next).as_deref(), Some("/messages?q=a"));
}

#[tokio::test]
async fn strangers_are_not_told_the_version() {
    let locked = Setup { token: "s3cret", ..Setup::default() }.start().await;
    let version = env!("CARGO_PKG_VERSION");
    assert!(!locked.get("/login").await.text().contains(version));
    let open = Setup::default().start().await;
    assert!(open.get("/").await.text().contains(&format!("mailferry {version}")));
}

#[tokio::test]
async fn the_inbox_shows_the_message_that_is_open_and_else_the_newest() {
    let [newer, older] = [0, 1].map(|_| sample::failed());
    let ids = [&newer, &older].map(|it| it.summary.id.to_string());
    assert_ne!(ids[0], ids[1]);
    let store = FakeStore { messages: vec![newer, older], ..FakeStore::default() };
    let server = Setup { store, catching: true, ..Setup::default() }.start().await;
    let gone = sample::failed().summary.id.to_string();
    for (query, shown) in [
        (String::new(), &ids[0]),
        (format!("?message={}", ids[1]), &ids[1]),
        (format!("?message={gone}"), &ids[0]),
        ("?message=1".to_owned(), &ids[0]),
    ] {
        let page = page(&server, &format!("/{query}")).await;
        assert_eq!(select(&page, "article")[0].attr("data-id"), Some(shown.as_str()), "{query}");
        let current = select(&page, "#list a[aria-current]");
        let current: Vec<_> = current.iter().filter_map(|it| it.attr("href")).collect();
        assert_eq!(current, [format!("/messages/{shown}")], "{query}");
    }
    let page = page(&server, "/").await;
    for path in ["/", "/overview", "/messages", "/suppressions", "/send"] {
        assert_eq!(select(&page, &format!("nav.nav a[href='{path}']")).len(), 1, "{path}");
    }
}
