//! What is around every page: navigation, the state of the relay in a word, language, help.

use super::super::health::{Report, Status};
use super::visit::Visit;
use super::words::{Lang, Words};
use super::{SCRIPT_VERSION, STYLE_VERSION};
use crate::message::QueueId;

/// The parts of the page that the navigation leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    Overview,
    Inbox,
    Messages,
    Suppressions,
    Send,
    /// None of them.
    Other,
}

/// The frame around one page.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) t: &'static Words,
    pub(super) style: &'static str,
    pub(super) script: &'static str,
    pub(super) version: &'static str,
    pub(super) nav: Vec<NavLink>,
    pub(super) status: Option<StatusView>,
    pub(super) languages: Vec<LanguageView>,
    pub(super) here: String,
    pub(super) csrf: String,
    pub(super) signed_in: bool,
    /// Whether what is shown changes while it is looked at.
    pub(super) live: bool,
    /// A word about what was just done.
    pub(super) done: Option<&'static str>,
    /// Where a retry of all that failed goes on, when a part of them was done.
    pub(super) rest: Option<QueueId>,
    /// Where `g o` and `g m` lead to.
    pub(super) overview_link: &'static str,
}

/// A link of the navigation.
#[derive(Debug)]
pub(super) struct NavLink {
    pub(super) name: &'static str,
    pub(super) link: &'static str,
    pub(super) here: bool,
}

/// How the relay does, as a word and a tone of the style: `good`, `busy`, `bad`.
#[derive(Debug)]
pub(super) struct StatusView {
    pub(super) tone: &'static str,
    pub(super) text: &'static str,
}

/// A language to choose.
#[derive(Debug)]
pub(super) struct LanguageView {
    pub(super) tag: &'static str,
    pub(super) name: &'static str,
    pub(super) chosen: bool,
}

impl Frame {
    /// The frame of a page of this section. `catching`: mail is caught here and goes nowhere.
    pub(super) fn new(visit: &Visit, section: Section, catching: bool) -> Self {
        let t = visit.words();
        let link = |name, link, of| NavLink { name, link, here: of == section };
        let nav = if catching {
            vec![
                link(t.inbox, "/", Section::Inbox),
                link(t.overview, "/overview", Section::Overview),
                // The list by states, and what a developer wants to see refused.
                link(t.messages, "/messages", Section::Messages),
                link(t.suppressions, "/suppressions", Section::Suppressions),
                link(t.send_test, "/send", Section::Send),
            ]
        } else {
            vec![
                link(t.overview, "/", Section::Overview),
                link(t.messages, "/messages", Section::Messages),
                link(t.suppressions, "/suppressions", Section::Suppressions),
                link(t.send_test, "/send", Section::Send),
            ]
        };
        let language = |lang: Lang| LanguageView {
            tag: lang.tag(),
            name: lang.name(),
            chosen: lang == visit.lang,
        };
        Self {
            t,
            style: &STYLE_VERSION,
            script: &SCRIPT_VERSION,
            version: env!("CARGO_PKG_VERSION"),
            nav,
            status: None,
            languages: Lang::ALL.map(language).into(),
            here: visit.here.clone(),
            csrf: visit.csrf.clone(),
            signed_in: visit.signed_in,
            live: false,
            done: None,
            rest: None,
            overview_link: if catching { "/overview" } else { "/" },
        }
    }

    /// The frame for strangers: nothing of the relay is told.
    pub(super) fn bare(visit: &Visit) -> Self {
        Self { nav: Vec::new(), version: "", ..Self::new(visit, Section::Other, false) }
    }

    /// With the state of the relay, and kept up to date.
    pub(super) fn live(mut self, report: &Report) -> Self {
        self.status = Some(StatusView::new(report.status, self.t));
        self.live = true;
        self
    }

    /// With a word about what was done, by its name in the query.
    pub(super) fn done(mut self, what: Option<&str>) -> Self {
        let t = self.t;
        self.done = match what {
            Some("retry") => Some(t.done_retry),
            Some("cancel") => Some(t.done_cancel),
            Some("retry-all") => Some(t.done_retry_all),
            Some("retry-some") => Some(t.done_retry_some),
            Some("add") => Some(t.done_add),
            Some("remove") => Some(t.done_remove),
            Some(_) | None => None,
        };
        self
    }

    /// With the button that has the rest of what failed tried again, from this message on.
    pub(super) fn rest(mut self, next: Option<&str>) -> Self {
        let part = self.done == Some(self.t.done_retry_some);
        self.rest = next.filter(|_| part).and_then(|next| next.parse().ok());
        self
    }
}

impl StatusView {
    pub(super) fn new(status: Status, t: &'static Words) -> Self {
        let (tone, text) = match status {
            Status::Ok => ("good", t.working),
            Status::Degraded => ("busy", t.needs_look),
            Status::Down => ("bad", t.not_taking),
        };
        Self { tone, text }
    }
}
