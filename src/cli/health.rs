//! `mailferry health`: asks the running server, for container health checks without curl.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use url::Url;

use super::{Exit, HealthArgs, complain, out};
use crate::config::Loaded;

/// Health checks usually allow 30 seconds; a server that needs more than a fraction of it is not well.
const TIMEOUT: Duration = Duration::from_secs(5);
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Asks, and says what came of it. The configuration is only loaded when no URL is given.
pub fn run(args: HealthArgs, load: impl FnOnce() -> Result<Loaded, Exit>) -> Result<(), Exit> {
    let url = match args.url {
        Some(url) => match health_url(&url) {
            Some(url) => url,
            None => {
                complain(&format!(
                    "mailferry: {url:?} is not a URL such as http://127.0.0.1:8025\n"
                ));
                return Err(Exit::Usage);
            }
        },
        None => {
            let listen = reachable(load()?.config.http.listen);
            health_url(&format!("http://{listen}")).ok_or(Exit::Failed)?
        }
    };
    match super::wait(ask(&url))? {
        Ok(state) => {
            out(&format!("{state}\n"));
            Ok(())
        }
        Err(reason) => {
            complain(&format!("mailferry: {url}: {reason}\n"));
            Err(Exit::Failed)
        }
    }
}

/// The address that a listener on all addresses is reached at from here.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// Completes a base address to that of the endpoint.
fn health_url(text: &str) -> Option<Url> {
    let mut url = Url::parse(text).ok()?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return None;
    }
    if !url.path().ends_with("/health") {
        let path = format!("{}/health", url.path().trim_end_matches('/'));
        url.set_path(&path);
    }
    Some(url)
}

/// The state that a healthy server names, or why it is not healthy.
async fn ask(url: &Url) -> Result<String, String> {
    // A proxy would answer in the server's stead; a plain request needs no roots, which an empty container lacks.
    let mut builder = reqwest::Client::builder().timeout(TIMEOUT).no_proxy().no_hickory_dns();
    if url.scheme() == "http" {
        builder = builder.tls_certs_only([]);
    }
    let client = builder.build().map_err(|error| causes(&error))?;
    let mut answer = client.get(url.clone()).send().await.map_err(|error| causes(&error))?;
    let status = answer.status();

    let mut body: Vec<u8> = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| causes(&error))? {
        body.extend_from_slice(&chunk);
        if body.len() > ANSWER_BYTES_MAX {
            return Err("the answer is too long; is this mailferry?".to_owned());
        }
    }
    let answer: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    let state = answer["status"].as_str();
    match (status.as_u16(), state) {
        (200, Some(state)) => {
            let mut text = super::output::tidy(state, 40);
            for trouble in troubles(&answer) {
                text.push('\n');
                text.push_str(&super::output::tidy(&trouble, 300));
            }
            Ok(text)
        }
        (200, None) => Err("answers, but not as mailferry does; is the port right?".to_owned()),
        (_, Some(state)) => {
            Err(format!("answers {status}: {}; see its log", super::output::tidy(state, 40)))
        }
        (_, None) => Err(format!("answers {status}")),
    }
}

/// The providers that are not up, with their last words. The server tells them to those whom it trusts.
fn troubles(answer: &serde_json::Value) -> Vec<String> {
    let providers = answer["providers"].as_object().into_iter().flatten();
    providers
        .filter_map(|(name, provider)| {
            let state = provider["state"].as_str().filter(|state| *state != "up")?;
            let error = provider["last_error"].as_str().map(|error| format!(": {error}"));
            Some(format!("provider {name} is {state}{}", error.unwrap_or_default()))
        })
        .collect()
}

/// The innermost cause says what an operator can act on: "connection refused" rather than "error sending request".
fn causes(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("no answer within {} seconds", TIMEOUT.as_secs());
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_all_addresses_is_asked_on_loopback() {
        for (listen, url) in [
            ("0.0.0.0:8025", "http://127.0.0.1:8025/health"),
            ("[::]:8025", "http://[::1]:8025/health"),
            ("10.0.0.5:80", "http://10.0.0.5/health"),
        ] {
            let listen = reachable(listen.parse().unwrap());
            assert_eq!(health_url(&format!("http://{listen}")).unwrap().as_str(), url);
        }
    }

    #[test]
    fn providers_in_trouble_are_named_with_their_words() {
        let answer = serde_json::json!({ "status": "degraded", "providers": {
            "resend": { "state": "misconfigured", "last_error": "401: API key is invalid" },
            "ses": { "state": "up", "last_error": null },
        } });
        assert_eq!(
            troubles(&answer),
            ["provider resend is misconfigured: 401: API key is invalid"]
        );
        assert!(troubles(&serde_json::json!({ "status": "ok" })).is_empty());
    }

    #[test]
    fn the_path_is_completed_once() {
        for url in ["http://x:1", "http://x:1/", "http://x:1/health"] {
            assert_eq!(health_url(url).unwrap().as_str(), "http://x:1/health");
        }
        assert_eq!(health_url("https://x/mail/").unwrap().as_str(), "https://x/mail/health");
        for bad in ["x:1", "127.0.0.1:8025", "file:///health", ""] {
            assert_eq!(health_url(bad), None, "{bad}");
        }
    }
}
