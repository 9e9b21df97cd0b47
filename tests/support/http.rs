//! The relay's HTTP side, as a test asks it.

use std::net::SocketAddr;

use serde_json::Value;

use super::wait;

/// A caller of the API.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    base: String,
    token: Option<String>,
    client: reqwest::Client,
}

/// What came back.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    headers: reqwest::header::HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The value of a header, where there is one that can be read.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; panics with the body when it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{} {error}: {:?}", self.status, self.text()))
    }
}

impl Api {
    pub(crate) fn new(address: SocketAddr) -> Self {
        let client = reqwest::Client::builder().no_proxy().timeout(wait::PATIENCE).build().unwrap();
        Self { base: format!("http://{address}"), token: None, client }
    }

    /// The same caller, with a Bearer token.
    pub(crate) fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    /// The address of a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.exchange(self.client.get(self.url(path))).await
    }

    pub(crate) async fn post(&self, path: &str, json: &Value) -> Answer {
        self.exchange(self.client.post(self.url(path)).json(json)).await
    }

    /// A POST under an `Idempotency-Key`.
    pub(crate) async fn post_under(&self, path: &str, key: &str, json: &Value) -> Answer {
        let request = self.client.post(self.url(path)).header("idempotency-key", key);
        self.exchange(request.json(json)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.exchange(self.client.delete(self.url(path))).await
    }

    /// A POST whose body may be no JSON at all.
    pub(crate) async fn post_text(&self, path: &str, content_type: &str, body: &str) -> Answer {
        let request = self.client.post(self.url(path)).header("content-type", content_type);
        self.exchange(request.body(body.to_owned())).await
    }

    async fn exchange(&self, mut request: reqwest::RequestBuilder) -> Answer {
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let content_type = headers.get("content-type").and_then(|value| value.to_str().ok());
        let content_type = content_type.unwrap_or_default().to_owned();
        let body = response.bytes().await.unwrap().to_vec();
        Answer { status, content_type, headers, body }
    }

    pub(crate) async fn health(&self) -> Value {
        self.get("/health").await.json()
    }

    /// The state of a provider as `/health` names it.
    pub(crate) async fn provider_state(&self, provider: &str) -> String {
        self.health().await["providers"][provider]["state"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) async fn until_provider_is(&self, provider: &str, state: &str) {
        let what = format!("provider {provider} is {state}");
        wait::until(&what, async || (self.provider_state(provider).await == state).then_some(()))
            .await;
    }

    /// The newest messages, up to a hundred.
    pub(crate) async fn messages(&self) -> Vec<Value> {
        let page = self.get("/api/v1/messages?limit=100").await.json();
        page["messages"].as_array().cloned().unwrap_or_default()
    }

    /// One message with its attempts.
    pub(crate) async fn message(&self, id: &str) -> Value {
        self.get(&format!("/api/v1/messages/{id}")).await.json()
    }

    /// Waits until a message is in this state and returns it with its attempts.
    pub(crate) async fn until_message_is(&self, id: &str, state: &str) -> Value {
        let what = format!("message {id} is {state}");
        wait::until(&what, async || {
            let message = self.message(id).await;
            (message["state"] == state).then_some(message)
        })
        .await
    }

    /// Waits until a message has an attempt with this outcome, and returns it.
    pub(crate) async fn until_attempt_is(&self, id: &str, outcome: &str) -> Value {
        let what = format!("message {id} has an attempt that ended {outcome}");
        wait::until(&what, async || {
            let message = self.message(id).await;
            let attempts = message["attempts"].as_array()?;
            attempts.iter().find(|attempt| attempt["outcome"] == outcome).cloned()
        })
        .await
    }
}
