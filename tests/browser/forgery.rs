//! A page of somebody else has a visitor who may do everything: it must not do anything in his name, nor read.

use serde_json::json;

use super::chromium::Browser;
use super::scene::Office;
use super::support::http::Api;

const TOKEN: &str = "browser-test-token-of-32-characters!";

/// All ways in which a page may have a browser ask another server: a form, and scripts with and without a preflight.
fn attack(relay: &str, id: &str) -> String {
    format!(
        "<!doctype html><title>attack</title>
<form id=form method=post action='{relay}/messages/{id}/retry' enctype='application/x-www-form-urlencoded'>
<input name=provider value=sendgrid><input name=recipients value='mallory@evil.example'><input name=csrf value=x></form>
<form id=plain method=post action='{relay}/api/v1/messages/{id}/retry' enctype='text/plain'>
<input name='{{\"provider\":\"sendgrid\",\"x' value='\":0}}'></form>
<form id=out method=post action='{relay}/logout'></form>
<script>
const api = '{relay}/api/v1/messages/{id}';
const say = it => fetch(api + '/retry', {{method: 'POST', credentials: 'include', ...it}}).then(() => 'sent', () => 'refused');
async function strike() {{
    const done = [];
    done.push(await say({{mode: 'no-cors', body: '{{}}'}}));
    done.push(await say({{mode: 'no-cors'}}));
    done.push(await say({{mode: 'cors', headers: {{'Content-Type': 'application/json'}}, body: '{{}}'}}));
    done.push(await fetch(api, {{credentials: 'include'}}).then(it => it.text(), () => 'unread'));
    done.push(await new Promise(done => {{
        const frame = document.createElement('iframe');
        frame.onload = () => {{ try {{ done(frame.contentDocument.body.innerText); }} catch {{ done('unread'); }} }};
        frame.onerror = () => done('unread');
        frame.src = '{relay}/messages/{id}';
        document.body.append(frame);
    }}));
    return done;
}}
</script>"
    )
}

async fn attempts(api: &Api, id: &str) -> (String, usize) {
    let message = api.message(id).await;
    let state = message["state"].as_str().unwrap_or_default().to_owned();
    (state, message["attempts"].as_array().unwrap().len())
}

/// Opens the attacker's page wherever it stands, and lets it do everything.
async fn strike(browser: &Browser, office: &Office, url: &str) {
    browser.open(url).await;
    let got = browser.promise("return await strike()").await;
    let got = got.as_array().cloned().unwrap_or_else(|| panic!("{got}"));
    assert_eq!(got[2], "refused", "a request with a preflight went through: {got:?}");
    assert!(!got[3].as_str().unwrap().contains("invoice"), "{got:?}");
    assert!(!got[4].as_str().unwrap().contains("invoice"), "{got:?}");
    for form in ["form", "plain", "out"] {
        browser.open(url).await;
        browser.script(&format!("document.getElementById({}).submit()", json!(form))).await;
        let home = json!(office.relay.http.url(""));
        let left = format!(
            "return location.href.startsWith({home}) && document.readyState === 'complete'"
        );
        browser.until("the answer to the form", &left).await;
    }
}

async fn nothing_is_done(browser: &Browser, office: &Office) {
    let api = &office.relay.http;
    let before = attempts(api, &office.failed).await;
    let calls = office.resend.calls().len() + office.sendgrid.calls().len();
    let page = attack(&api.url(""), &office.failed);
    browser.outside.put("http://attacker.example/", &page);
    // Another port is another origin, and yet the same site: the strictest cookie comes along.
    browser.outside.put("/attack", &page);
    let neighbour = format!("http://{}/attack", browser.outside.address);
    for url in ["http://attacker.example/", neighbour.as_str()] {
        strike(browser, office, url).await;
        assert_eq!(attempts(api, &office.failed).await, before, "from {url}");
    }
    assert_eq!(office.resend.calls().len() + office.sendgrid.calls().len(), calls);
}

#[tokio::test]
async fn a_foreign_page_does_nothing_with_a_visitor_from_a_trusted_network() {
    let name = "a_foreign_page_does_nothing_with_a_visitor_from_a_trusted_network";
    let Some(browser) = Browser::start(name).await else { return };
    let office = Office::open().await;
    browser.open(&office.relay.http.url("/")).await;
    nothing_is_done(&browser, &office).await;
}

#[tokio::test]
async fn a_foreign_page_does_nothing_with_a_visitor_who_is_logged_in() {
    let name = "a_foreign_page_does_nothing_with_a_visitor_who_is_logged_in";
    let Some(browser) = Browser::start(name).await else { return };
    let office = Office::locked(TOKEN).await;
    browser.open(&office.relay.http.url("/")).await;
    browser.write("input[name=token]", TOKEN).await;
    browser.follow("form[action='/login'] button").await;
    nothing_is_done(&browser, &office).await;
    // Not even logged out.
    browser.open(&office.relay.http.url("/")).await;
    assert_eq!(browser.count("input[name=token]").await, 0);
}
