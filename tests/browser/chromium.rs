//! A Chromium of a test's own: a profile of its own, a driver on a free port, an outside world that only counts, and an
//! end by process id.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use thirtyfour::common::command::FormatRequestData;
use thirtyfour::error::WebDriverErrorInner;
use thirtyfour::prelude::*;
use thirtyfour::{Capabilities, RequestData, SessionId};

use super::marks;
use super::outside::Outside;
use super::support::{skip, tool, wait};
use super::watch::Watch;

/// Debian's packages `chromium` and `chromium-driver` bring them.
const PROGRAMS: [&str; 2] = ["chromium", "chromedriver"];

/// A name of this machine that is no name of the loopback for a browser, which then takes HTTP for unsafe. It does not go
/// by way of the outside.
pub(crate) const PLAIN_NAME: &str = "mailferry";

/// For one command of the driver; a loaded machine takes seconds for a page.
const COMMAND_MAX: Duration = Duration::from_secs(60);

/// How a page is looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// A touch screen, whose page is as wide as it says itself.
    pub(crate) phone: bool,
    pub(crate) dark: bool,
    /// As `Accept-Language` has it.
    pub(crate) language: &'static str,
}

impl Look {
    pub(crate) const DESK: Self =
        Self { width: 1280, height: 800, phone: false, dark: false, language: "en-US,en" };
    pub(crate) const PHONE: Self = Self { width: 360, height: 740, phone: true, ..Self::DESK };

    pub(crate) const fn dark(self) -> Self {
        Self { dark: true, ..self }
    }

    pub(crate) const fn korean(self) -> Self {
        Self { language: "ko-KR,ko", ..self }
    }
}

/// How often chromedriver is started until it has a port.
const STARTS_MAX: usize = 5;

/// A running browser with one window. It is killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Browser {
    driver: Option<WebDriver>,
    pub(crate) outside: Outside,
    _processes: Processes,
}

/// chromedriver and what it starts: a process group of their own, and a folder that they write to.
#[derive(Debug)]
struct Processes {
    driver: Child,
    home: TempDir,
}

impl Browser {
    /// Starts one, or notes that `test` is skipped since there is none.
    pub(crate) async fn start(test: &str) -> Option<Self> {
        let missing: Vec<&str> =
            PROGRAMS.into_iter().filter(|name| tool::find(name).is_none()).collect();
        if !missing.is_empty() {
            skip::skip(test, &format!("not installed: {}", missing.join(", ")));
            return None;
        }
        let outside = Outside::start().await;
        let (processes, port) = Processes::start().await;
        let wanted = capabilities(processes.home.path(), &outside);
        let driver = WebDriver::builder(format!("http://127.0.0.1:{port}"), wanted)
            .request_timeout(COMMAND_MAX)
            .await
            .unwrap_or_else(|error| panic!("the browser does not start: {error}"));
        let browser = Self { driver: Some(driver), outside, _processes: processes };
        browser.look(Look::DESK).await;
        Some(browser)
    }

    /// The driver's session, for what has no word of its own here.
    pub(crate) fn driver(&self) -> &WebDriver {
        self.driver.as_ref().unwrap()
    }

    /// From the next page on, and for the one that is open as far as style goes.
    pub(crate) async fn look(&self, look: Look) {
        let Look { width, height, phone, dark, language } = look;
        let metrics =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone});
        self.devtools("Emulation.setDeviceMetricsOverride", metrics).await;
        self.devtools("Emulation.setTouchEmulationEnabled", json!({"enabled": phone})).await;
        let scheme = if dark { "dark" } else { "light" };
        let features = json!([
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]);
        self.devtools("Emulation.setEmulatedMedia", json!({"features": features})).await;
        let agent = self.script("return navigator.userAgent").await;
        let agent = json!({"userAgent": agent, "acceptLanguage": language});
        self.devtools("Emulation.setUserAgentOverride", agent).await;
    }

    /// A command of the DevTools protocol.
    pub(crate) async fn devtools(&self, command: &'static str, parameters: Value) -> Value {
        let answer = self.driver().cmd(DevTools { command, parameters }).await;
        let answer = answer.unwrap_or_else(|error| panic!("{command}: {error}"));
        answer.value().unwrap()
    }

    /// Runs a function body in the page; what it returns.
    pub(crate) async fn script(&self, body: &str) -> Value {
        self.script_with(body, Vec::new()).await
    }

    /// The same, with arguments.
    pub(crate) async fn script_with(&self, body: &str, arguments: Vec<Value>) -> Value {
        let returned = self.driver().execute(body, arguments).await;
        returned.unwrap_or_else(|error| panic!("{body}: {error}")).json().clone()
    }

    /// The same for a promise: its value.
    pub(crate) async fn promise(&self, body: &str) -> Value {
        let script = format!(
            "const done = arguments[arguments.length - 1];
             (async () => {{ {body} }})().then(done, fault => done({{fault: String(fault)}}));"
        );
        let returned = self.driver().execute_async(script, Vec::new()).await;
        returned.unwrap_or_else(|error| panic!("{body}: {error}")).json().clone()
    }

    /// Opens an address, whatever it answers.
    pub(crate) async fn open(&self, url: &str) {
        self.driver().goto(url).await.unwrap_or_else(|error| panic!("{url}: {error}"));
    }

    /// Waits until a function body returns something true in the page that is open.
    pub(crate) async fn until(&self, what: &str, body: &str) -> Value {
        let limit = tokio::time::Instant::now() + wait::PATIENCE;
        loop {
            // Between two pages there is none to ask.
            if let Ok(returned) = self.driver().execute(body, Vec::new()).await {
                let value = returned.json().clone();
                if !matches!(value, Value::Null | Value::Bool(false)) {
                    return value;
                }
            }
            if tokio::time::Instant::now() > limit {
                panic!("waited in vain: {what}\n{}", self.shown().await);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What is open, for whoever reads why a test failed.
    pub(crate) async fn shown(&self) -> String {
        let driver = self.driver();
        let url = driver.current_url().await.map(|url| url.to_string());
        let text = driver.execute("return document.body.innerText", Vec::new()).await;
        let text = text.map(|text| text.json().as_str().unwrap_or_default().to_owned());
        format!("{}\n{}", url.unwrap_or_default(), text.unwrap_or_default())
    }

    /// The first element that fits, as soon as there is one.
    pub(crate) async fn find(&self, css: &str) -> WebElement {
        self.until(css, &format!("return document.querySelector({}) !== null", json!(css))).await;
        self.driver().find(By::Css(css)).await.unwrap()
    }

    /// How many elements fit now.
    pub(crate) async fn count(&self, css: &str) -> u64 {
        let count = format!("return document.querySelectorAll({}).length", json!(css));
        self.script(&count).await.as_u64().unwrap()
    }

    /// Presses the first element that fits, as soon as it can be pressed.
    pub(crate) async fn press(&self, css: &str) {
        let element = self.find(css).await;
        element.scroll_into_view().await.unwrap();
        if let Err(error) = element.click().await {
            panic!("{css} cannot be pressed: {error}\n{}", self.shown().await);
        }
    }

    /// Presses what leads to another page, and waits for that page.
    pub(crate) async fn follow(&self, css: &str) {
        let element = self.find(css).await;
        element.scroll_into_view().await.unwrap();
        self.script("window.stale = true").await;
        if let Err(error) = element.click().await {
            panic!("{css} cannot be pressed: {error}\n{}", self.shown().await);
        }
        self.until(
            &format!("another page behind {css}"),
            "return !window.stale && document.readyState === 'complete'",
        )
        .await;
    }

    /// Unfolds whatever hides an element.
    pub(crate) async fn reveal(&self, css: &str) {
        self.find(css).await;
        let open = format!(
            "for (let it = document.querySelector({}); it; it = it.parentElement)
                 if (it.tagName === 'DETAILS') it.open = true;",
            json!(css)
        );
        self.script(&open).await;
    }

    /// Waits until the page hears of changes.
    pub(crate) async fn until_live(&self) {
        self.until("the page is live", marks::LIVE).await;
    }

    /// Waits until everything that the page has begun to load is there.
    pub(crate) async fn until_quiet(&self) {
        self.until("the page is complete", "return document.readyState === 'complete'").await;
    }

    /// Clears a field and writes into it.
    pub(crate) async fn write(&self, css: &str, text: &str) {
        let element = self.find(css).await;
        element.clear().await.unwrap();
        element.send_keys(text).await.unwrap();
    }

    /// Types at whatever has the focus.
    pub(crate) async fn keys(&self, keys: impl Into<TypingData>) {
        self.driver().action_chain().send_keys(keys).perform().await.unwrap();
    }

    /// Where the page that is open is, without its host.
    pub(crate) async fn place(&self) -> String {
        let place = self.script("return location.pathname + location.search").await;
        place.as_str().unwrap_or_default().to_owned()
    }

    /// What happened in the browser since the last time.
    pub(crate) async fn watch(&self) -> Watch {
        let mut seen = Watch::default();
        for log in ["performance", "browser"] {
            let entries = loop {
                match self.driver().get_log(log).await {
                    Ok(entries) => break entries,
                    // An open dialog answers each command once, and is closed by that.
                    Err(error) => match error.as_inner() {
                        WebDriverErrorInner::UnexpectedAlertOpen(_) => {
                            seen.dialogs.push(error.to_string());
                        }
                        _ => panic!("no log {log}: {error}"),
                    },
                }
            };
            seen.add(log, &entries);
        }
        seen
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Killed, not closed: this also runs where a test has panicked, and nothing of it is kept.
        if let Some(driver) = self.driver.take() {
            let _ = driver.leak();
        }
    }
}

impl Processes {
    /// Starts chromedriver; where it listens. It chooses a port and then takes it on two addresses: in between somebody
    /// else may have it on one of them.
    async fn start() -> (Self, u16) {
        for _ in 1..STARTS_MAX {
            match Self::try_start().await {
                Err(said) if said.contains("Address already in use") => {}
                started => return started.unwrap_or_else(|said| panic!("{said}")),
            }
        }
        Self::try_start().await.unwrap_or_else(|said| panic!("{said}"))
    }

    /// The error is what it said when it ended.
    async fn try_start() -> Result<(Self, u16), String> {
        let home = tempfile::Builder::new().prefix("mailferry-browser-").tempdir().unwrap();
        let log = home.path().join("chromedriver.log");
        let output = std::fs::File::create(&log).unwrap();
        let mut command = Command::new("chromedriver");
        command.arg("--port=0").env_clear().env("HOME", home.path()).env("LANG", "C.UTF-8");
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
        let driver = command.process_group(0).spawn().unwrap();
        let mut started = Self { driver, home };
        let port = wait::until("chromedriver listens", async || {
            let ended = started.driver.try_wait().unwrap().is_some();
            let said = std::fs::read_to_string(&log).unwrap();
            if ended {
                return Some(Err(format!("chromedriver ended: {said}")));
            }
            let port = said.split("started successfully on port ").nth(1)?;
            port.split_once('.')?.0.parse().ok().map(Ok)
        })
        .await;
        port.map(|port| (started, port))
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        let group = format!("-{}", self.driver.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.driver.wait();
        // The browser's processes are not ours to wait for: what they still write is removed with the rest.
        for _ in 0..100 {
            let _ = std::fs::remove_dir_all(self.home.path());
            if !self.home.path().exists() {
                break;
            }
            let _ = Command::new("sleep").arg("0.01").status();
        }
    }
}

fn capabilities(home: &Path, outside: &Outside) -> Capabilities {
    let profile = home.join("profile");
    let downloads = home.join("downloads");
    let arguments = [
        "--headless".to_owned(),
        // Its own sandbox needs an unprivileged user, which CI has not. It is no part of what is tested here.
        "--no-sandbox".to_owned(),
        "--disable-dev-shm-usage".to_owned(),
        "--disable-gpu".to_owned(),
        "--no-first-run".to_owned(),
        // Nothing that it asks for by itself.
        "--disable-background-networking".to_owned(),
        "--disable-component-update".to_owned(),
        "--disable-domain-reliability".to_owned(),
        "--disable-sync".to_owned(),
        "--font-render-hinting=none".to_owned(),
        format!("--user-data-dir={}", profile.display()),
        // Everything but this machine itself is behind it, names included.
        format!("--proxy-server=http://{}", outside.address),
        format!("--proxy-bypass-list={PLAIN_NAME}"),
        format!("--host-resolver-rules=MAP {PLAIN_NAME} 127.0.0.1"),
    ];
    let wanted = json!({
        "browserName": "chrome",
        // A dialog is noted by whoever asks next, and closed.
        "unhandledPromptBehavior": "dismiss and notify",
        "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        "goog:chromeOptions": {
            "binary": tool::find("chromium").unwrap(),
            "args": arguments,
            "prefs": {
                "download.default_directory": downloads,
                "download.prompt_for_download": false,
            },
        },
    });
    let Value::Object(wanted) = wanted else { unreachable!("written so above") };
    Capabilities::from(wanted)
}

/// chromedriver's way to the DevTools protocol.
#[derive(Debug)]
struct DevTools {
    command: &'static str,
    parameters: Value,
}

impl FormatRequestData for DevTools {
    fn format_request(&self, session: &SessionId) -> RequestData {
        let path: Arc<str> = format!("/session/{session}/goog/cdp/execute").into();
        RequestData::new(http::Method::POST, path)
            .add_body(json!({"cmd": self.command, "params": self.parameters}))
    }
}
