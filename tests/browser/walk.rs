//! Every page there is: found as a person finds them, by following what is linked.

use std::collections::{BTreeMap, VecDeque};

use scraper::{Html, Selector};
use url::Url;

use super::support::http::Api;

/// More kinds of pages than there are.
const PAGES_MAX: usize = 60;

/// A page that says that there is nothing.
pub(crate) const NO_MESSAGE: &str = "/messages/00000000-0000-7000-8000-000000000000";

/// The pages that can be reached from `starts`, one of each kind, in the order in which they were found.
pub(crate) async fn pages(api: &Api, starts: &[&str]) -> Vec<String> {
    let mut kinds = BTreeMap::new();
    let mut found = Vec::new();
    let mut waiting: VecDeque<String> = starts.iter().map(ToString::to_string).collect();
    while let Some(path) = waiting.pop_front() {
        assert!(found.len() < PAGES_MAX, "the pages do not end: {found:#?}");
        if kinds.insert(kind(&path), ()).is_some() {
            continue;
        }
        let answer = api.get(&path).await;
        if !answer.content_type.starts_with("text/html") {
            continue;
        }
        assert_eq!(answer.status, 200, "{path} is linked and answers so");
        waiting.extend(links(&answer.text(), &path));
        found.push(path);
    }
    found
}

/// What is the same page with other content: ids are all alike, and so are the values of a query.
fn kind(path: &str) -> String {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let segments = path.split('/').map(|name| if name.len() >= 32 { "ID" } else { name });
    let mut names: Vec<&str> = query.split('&').filter_map(|pair| pair.split('=').next()).collect();
    names.sort_unstable();
    format!("{}?{}", segments.collect::<Vec<_>>().join("/"), names.join("&"))
}

/// The links that stay on the site and open in the same window.
fn links(html: &str, path: &str) -> Vec<String> {
    let base = Url::parse("http://relay.example").unwrap();
    let here = base.join(path).unwrap();
    let anchors = Selector::parse("a[href]:not([download]):not([target])").unwrap();
    let document = Html::parse_document(html);
    let targets = document.select(&anchors).filter_map(|link| here.join(link.attr("href")?).ok());
    let own =
        targets.filter(|url| url.origin() == base.origin() && !url.path().starts_with("/api/"));
    own.map(|url| {
        url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()))
    })
    .collect()
}
