//! What a browser's own logs say that it did: what it asked for, where pages went, what it complained of.

use serde_json::Value;
use thirtyfour::BrowserLogEntry;

/// Everything since the last look.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watch {
    /// The addresses that anything in any frame asked for, and as what: `Image`, `Script`, ...
    pub(crate) requests: Vec<(String, String)>,
    /// Where the top page went.
    pub(crate) visits: Vec<String>,
    /// `alert` and the like.
    pub(crate) dialogs: Vec<String>,
    /// Further windows.
    pub(crate) windows: Vec<String>,
    /// Errors on the console: failed loads, uncaught exceptions, what a policy refused.
    pub(crate) errors: Vec<String>,
    /// Everything on the console.
    pub(crate) console: Vec<String>,
}

impl Watch {
    pub(super) fn add(&mut self, log: &str, entries: &[BrowserLogEntry]) {
        for entry in entries {
            if log == "performance" {
                let message: Value = serde_json::from_str(&entry.message).unwrap_or_default();
                self.event(&message["message"]);
            } else {
                self.console.push(entry.message.clone());
                if entry.level == "SEVERE" {
                    self.errors.push(entry.message.clone());
                }
            }
        }
    }

    fn event(&mut self, message: &Value) {
        let parameters = &message["params"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        match message["method"].as_str().unwrap_or_default() {
            "Network.requestWillBeSent" => {
                let url = text(&parameters["request"]["url"]);
                self.requests.push((url, text(&parameters["type"])));
            }
            "Network.webSocketCreated" => {
                self.requests.push((text(&parameters["url"]), String::from("WebSocket")));
            }
            "Page.frameNavigated" if parameters["frame"]["parentId"].is_null() => {
                self.visits.push(text(&parameters["frame"]["url"]));
            }
            "Page.javascriptDialogOpening" => self.dialogs.push(text(&parameters["message"])),
            "Page.windowOpen" => self.windows.push(text(&parameters["url"])),
            // The rest is how a page is drawn.
            _ => {}
        }
    }

    /// Requests for anything but `home` and what a page carries in itself.
    pub(crate) fn abroad(&self, home: &str) -> Vec<&(String, String)> {
        let own = |url: &str| url.strip_prefix(home).is_some_and(|rest| rest.starts_with('/'));
        let carried = ["data:", "about:", "blob:", "chrome:", "chrome-error:"];
        let local = |url: &str| own(url) || carried.iter().any(|scheme| url.starts_with(scheme));
        self.requests.iter().filter(|(url, _)| !local(url)).collect()
    }
}
