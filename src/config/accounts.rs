//! Which providers are configured, in which order, and whether each has what it needs.

use std::num::NonZeroUsize;
use std::time::Duration;

use figment::Figment;
use url::Url;

use super::destinations;
use super::layer::Layer;
use super::load::Purpose;
use super::providers::{ProviderConfig, ProviderKind};
use super::reader::Reader;
use super::routes::RouteConfig;
use super::schema::{self, KEYS};
use super::smarthost::{self, SmarthostConfig};
use super::value::{Setting, quote, toml_text};
use crate::secret::Secret;

/// HTTP/2 servers often allow a hundred streams; more calls would only wait inside the client.
const CONCURRENCY_MAX: NonZeroUsize = NonZeroUsize::new(1_000).unwrap();
const TIMEOUT_MIN: Duration = Duration::from_secs(1);
const TIMEOUT_MAX: Duration = Duration::from_secs(600);

impl Setting for ProviderKind {
    const EXPECTED: &'static str =
        "one of resend, sendgrid, ses, mailgun, postmark, brevo, smtp, webhook, capture";

    fn parse(text: &str) -> Option<Self> {
        Self::from_name(&text.to_ascii_lowercase())
    }

    fn show(&self) -> String {
        toml_text(self.name())
    }
}

/// The kind of every provider that file or environment speak of. A faulty type gives no kind.
pub(super) fn kinds(reader: &Reader) -> Vec<(String, Option<ProviderKind>)> {
    let mut kinds: Vec<(String, Option<ProviderKind>)> = Vec::new();
    for (name, table) in reader.provider_tables() {
        let given = table.as_dict().and_then(|table| table.get("type")).and_then(|v| v.as_str());
        let given = given.map(str::trim).filter(|text| !text.is_empty());
        let kind = ProviderKind::parse(given.unwrap_or(&name));
        kinds.push((name, kind));
    }
    kinds
}

/// The keys that name providers, and what each of them says.
pub(super) type Namings = Vec<(String, Vec<String>)>;

/// What `delivery.providers` and the routes name.
pub(super) fn namings(preferred: &[String], routes: &[RouteConfig]) -> Namings {
    let routes = routes.iter().enumerate();
    let routes =
        routes.map(|(at, route)| (format!("routes[{at}].providers"), route.providers.clone()));
    [("delivery.providers".to_owned(), preferred.to_vec())].into_iter().chain(routes).collect()
}

/// The name of every provider that is named anywhere, each once.
pub(super) fn all_named(namings: &Namings) -> impl Iterator<Item = &String> {
    let all = || namings.iter().flat_map(|(_, names)| names);
    all()
        .enumerate()
        .filter(move |(at, name)| !all().take(*at).any(|other| other == *name))
        .map(|(_, name)| name)
}

/// All providers that there are.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    /// Those that mail can be sent by.
    pub(super) providers: Vec<ProviderConfig>,
    /// Those without a key, for the accounts that clients bring.
    pub(super) templates: Vec<ProviderConfig>,
}

/// Reads every provider and settles `delivery.providers`, which names them in order of preference. `brought`: clients
/// bring accounts, so that a table needs no key.
pub(super) fn read(
    reader: &mut Reader,
    preferred: &mut Vec<String>,
    routes: &[RouteConfig],
    brought: bool,
    purpose: &Purpose,
) -> Accounts {
    let namings = namings(preferred, routes);
    let mut kinds = kinds(reader);
    for (path, names) in &namings {
        add_named(reader, path, names, &mut kinds);
    }

    let mut accounts = Accounts::default();
    for (name, kind) in kinds {
        match kind {
            Some(kind) => {
                let provider = read_one(&name, kind, reader);
                let is_named = all_named(&namings).any(|named| *named == name);
                if brought && !is_named && missing(&provider) == ["api_key"] {
                    add_template(provider, &mut accounts.templates, reader);
                } else {
                    check_complete(&provider, purpose, reader);
                    accounts.providers.push(provider);
                }
            }
            None => no_kind(&name, reader),
        }
    }
    accounts.providers.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
    settle_order(reader, preferred, &accounts.providers);
    accounts
}

/// Takes a table without a key. Of two for one service, nobody could say which is meant.
fn add_template(
    template: ProviderConfig,
    templates: &mut Vec<ProviderConfig>,
    reader: &mut Reader,
) {
    let path = format!("providers.{}", template.name);
    match templates.iter().find(|other| other.kind == template.kind) {
        // Its key was refused, which says enough.
        Some(_) | None if reader.has_fault(&format!("{path}.api_key")) => {}
        Some(other) => {
            let message = format!(
                "has no api_key, like [providers.{}]: only one of them can say how the {} accounts that clients \
                 bring are used",
                other.name, template.kind
            );
            reader.fault(&path, message);
        }
        None => templates.push(template),
    }
}

/// Adds what the key at `path` names: naming a service is enough to have it, under its own name.
fn add_named(
    reader: &mut Reader,
    path: &str,
    named: &[String],
    kinds: &mut Vec<(String, Option<ProviderKind>)>,
) {
    for name in named {
        if kinds.iter().any(|(known, _)| known == name) {
            continue;
        }
        if let Some(kind) = ProviderKind::parse(name) {
            kinds.push((name.clone(), Some(kind)));
            continue;
        }
        let mut known: Vec<String> = kinds.iter().map(|(name, _)| name.clone()).collect();
        for kind in ProviderKind::ALL {
            if !known.iter().any(|name| name == kind.name()) {
                known.push(kind.name().to_owned());
            }
        }
        let (name, known) = (quote(name), known.join(", "));
        reader.fault(path, format!("{name} is not the name of a provider; known here: {known}"));
    }
}

/// Makes `named` the order of preference: each provider once, by default all in the order of the contract.
fn settle_order(reader: &mut Reader, named: &mut Vec<String>, providers: &[ProviderConfig]) {
    let mut order: Vec<String> = Vec::new();
    for name in named.iter() {
        // What is not configured has been refused already.
        if !order.contains(name) && providers.iter().any(|provider| provider.name == *name) {
            order.push(name.clone());
        }
    }
    *named = order;
    if !named.is_empty() {
        return;
    }
    named.extend(providers.iter().map(|provider| provider.name.clone()));
    if let [_, .., last] = providers
        && last.kind == ProviderKind::Capture
    {
        reader.warn(format!(
            "{} stands last in delivery.providers: mail that reaches it is kept and never sent; \
             name the others in delivery.providers to leave it out",
            last.name
        ));
    }
    if !named.is_empty() {
        reader.show_instead("delivery.providers", named, "those configured");
    }
}

/// The only provider of `mailferry dev`.
pub(super) fn read_capture(reader: &mut Reader) -> ProviderConfig {
    let kind = ProviderKind::Capture;
    read_one(kind.name(), kind, reader)
}

impl ProviderConfig {
    /// One of this kind for which nothing is configured.
    pub(super) fn bare(kind: ProviderKind) -> Self {
        read_one(kind.name(), kind, &mut Reader::new(Figment::new(), Vec::new(), Vec::new()))
    }
}

fn no_kind(name: &str, reader: &mut Reader) {
    let path = format!("providers.{name}.type");
    if reader.is_set(&path) {
        // Reading it says what is wrong with it.
        let _: Option<ProviderKind> = reader.get(&path);
    } else {
        let table = format!("providers.{name}");
        reader.fault(
            &table,
            format!("has no type, and its name is none: add {}", ProviderKind::EXPECTED),
        );
    }
}

fn read_one(name: &str, kind: ProviderKind, reader: &mut Reader) -> ProviderConfig {
    let path = |key: &str| format!("providers.{name}.{key}");
    let _: Option<ProviderKind> = reader.get(&path("type"));
    reader.name_type(&path("type"), &kind);

    let mut provider = ProviderConfig {
        name: name.to_owned(),
        kind,
        api_key: Secret::default(),
        base_url: None,
        rate: None,
        daily_quota: reader.get(&path("daily_quota")),
        monthly_quota: reader.get(&path("monthly_quota")),
        concurrency: reader.get(&path("concurrency")),
        timeout: reader.get(&path("timeout")),
        region: None,
        access_key_id: None,
        secret_access_key: Secret::default(),
        session_token: Secret::default(),
        domain: None,
        smarthost: SmarthostConfig::default(),
        url: None,
        secret: Secret::default(),
    };
    if kind.uses("api_key") {
        provider.api_key = read_key(&path("api_key"), reader);
    }
    if kind.uses("base_url") {
        provider.base_url = reader.get::<Option<Url>>(&path("base_url"));
    }
    if kind.uses("rate") {
        provider.rate = reader.get(&path("rate"));
    }
    if kind.uses("region") {
        provider.region = reader.get(&path("region"));
    }
    if kind.uses("domain") {
        provider.domain = reader.get(&path("domain"));
    }
    if kind.uses("host") {
        provider.smarthost = SmarthostConfig {
            preset: reader.get(&path("preset")),
            host: reader.get(&path("host")),
            port: reader.get(&path("port")),
            username: reader.get(&path("username")),
            password: reader.get(&path("password")),
            tls: reader.get(&path("tls")),
            hello: String::new(),
        };
    }
    if kind.uses("url") {
        provider.url = reader.get::<Option<Url>>(&path("url"));
        provider.secret = reader.get(&path("secret"));
    }
    if kind.uses("access_key_id") {
        let id = read_key(&path("access_key_id"), reader);
        provider.access_key_id = (!id.is_empty()).then(|| id.expose().to_owned());
        provider.secret_access_key = read_key(&path("secret_access_key"), reader);
        provider.session_token = read_key(&path("session_token"), reader);
        drop_foreign_token(&mut provider, reader);
    }

    for key in kind.useless_keys() {
        if reader.is_set(&path(key)) {
            reader.fault(&path(key), format!("a provider of type {kind} has no such setting"));
        }
    }
    for key in KEYS.iter().filter(|key| key.path.starts_with("providers.")) {
        if let Some(instead) = key.later {
            reader.refuse_later(&path(key.name()), key, instead);
        }
    }
    smarthost::check(&mut provider, reader);
    check_ranges(&provider, reader);
    check_owner(&provider, reader);
    provider
}

/// Says what a provider lacks.
fn check_complete(provider: &ProviderConfig, purpose: &Purpose, reader: &mut Reader) {
    let ProviderConfig { name, kind, .. } = provider;
    let path = |key: &str| format!("providers.{name}.{key}");
    let named = |key: &'static str| (key, format!("is missing; set {}", ways(name, *kind, key)));
    let mut lacking: Vec<_> = missing(provider).into_iter().map(named).collect();
    if *kind == ProviderKind::Smtp {
        lacking.extend(smarthost::missing_credentials(provider));
    }
    for (key, message) in lacking {
        // A preset that nobody knows is why there is no host.
        if reader.has_fault(&path(key)) || key == "host" && reader.has_fault(&path("preset")) {
            continue;
        }
        match purpose {
            Purpose::Serve => reader.fault(&path(key), message),
            // To look at the queue, nobody needs a key.
            Purpose::Tool | Purpose::Dev { .. } => reader.warn(format!("{} {message}", path(key))),
        }
    }
}

/// Reads a credential. They travel in HTTP headers, and no service hands out others than plain ones.
fn read_key(path: &str, reader: &mut Reader) -> Secret {
    let key: Secret = reader.get(path);
    if !key.expose().chars().all(|c| c.is_ascii_graphic()) {
        reader.fault(path, "contains a space or another character that no key has");
    }
    key
}

/// A session token belongs to the access key that it came with, and to no other.
fn drop_foreign_token(provider: &mut ProviderConfig, reader: &mut Reader) {
    let path = format!("providers.{}.session_token", provider.name);
    let token = reader.origin(&path);
    let key = reader.origin(&format!("providers.{}.access_key_id", provider.name));
    if !provider.session_token.is_empty() && token.layer != key.layer {
        reader.warn(format!(
            "{path} ({}) is not used: the access key comes from elsewhere",
            token.text
        ));
        provider.session_token = Secret::default();
        reader.show_instead(&path, &provider.session_token, "not used");
    }
}

fn check_ranges(provider: &ProviderConfig, reader: &mut Reader) {
    let path = |key: &str| format!("providers.{}.{key}", provider.name);
    if provider.concurrency > CONCURRENCY_MAX {
        reader.fault(&path("concurrency"), format!("must not be above {CONCURRENCY_MAX}"));
    }
    if !(TIMEOUT_MIN..=TIMEOUT_MAX).contains(&provider.timeout) {
        reader.fault(&path("timeout"), "must be between 1s and 10m");
    }
    if provider.kind == ProviderKind::Brevo && provider.api_key.expose().starts_with(BREVO_SMTP_KEY)
    {
        let text =
            "is an SMTP key; the API wants an API key (xkeysib-…), from the same page at Brevo";
        reader.fault(&path("api_key"), text);
    }
    destinations::check(provider, reader);
}

/// Brevo has keys of two kinds, and people copy the wrong one. Its API refuses the other kind with "Key not found".
const BREVO_SMTP_KEY: &str = "xsmtpsib-";

/// `RESEND_API_KEY` is never handed to another service that goes by the name of `resend`.
fn check_owner(provider: &ProviderConfig, reader: &mut Reader) {
    let path = format!("providers.{}.api_key", provider.name);
    let named_after = ProviderKind::from_name(&provider.name);
    if reader.origin(&path).layer == Layer::WellKnown && named_after != Some(provider.kind) {
        reader.fault(
            &path,
            format!("belongs to another service than {}; rename the table", provider.kind),
        );
    }
}

/// The keys that this provider cannot do without and does not have.
fn missing(provider: &ProviderConfig) -> Vec<&'static str> {
    let wanted = match provider.kind {
        ProviderKind::Resend
        | ProviderKind::SendGrid
        | ProviderKind::Postmark
        | ProviderKind::Brevo => vec![("api_key", provider.api_key.is_empty())],
        ProviderKind::Mailgun => {
            vec![("api_key", provider.api_key.is_empty()), ("domain", provider.domain.is_none())]
        }
        ProviderKind::Webhook => {
            vec![("url", provider.url.is_none()), ("secret", provider.secret.is_empty())]
        }
        ProviderKind::Ses => vec![
            ("region", provider.region.is_none()),
            ("access_key_id", provider.access_key_id.is_none()),
            ("secret_access_key", provider.secret_access_key.is_empty()),
        ],
        ProviderKind::Smtp => {
            let lacking = provider.smarthost.place(provider.region.as_deref()).err();
            vec![(lacking.unwrap_or_default(), lacking.is_some())]
        }
        ProviderKind::Capture => Vec::new(),
    };
    wanted.into_iter().filter_map(|(key, missing)| missing.then_some(key)).collect()
}

/// The variable with which a missing value is given.
fn ways(name: &str, kind: ProviderKind, key: &str) -> String {
    let well_known = match (kind, key) {
        (ProviderKind::Resend, "api_key") if name == kind.name() => Some("RESEND_API_KEY"),
        (ProviderKind::SendGrid, "api_key") if name == kind.name() => Some("SENDGRID_API_KEY"),
        (ProviderKind::Postmark, "api_key") if name == kind.name() => Some("POSTMARK_SERVER_TOKEN"),
        (ProviderKind::Mailgun, "api_key") if name == kind.name() => Some("MAILGUN_API_KEY"),
        (ProviderKind::Mailgun, "domain") if name == kind.name() => Some("MAILGUN_DOMAIN"),
        (ProviderKind::Brevo, "api_key") if name == kind.name() => Some("BREVO_API_KEY"),
        (ProviderKind::Smtp, "host") => Some("SMTP_HOST"),
        (ProviderKind::Ses, "region") => Some("AWS_REGION"),
        (ProviderKind::Ses, "access_key_id") => Some("AWS_ACCESS_KEY_ID"),
        (ProviderKind::Ses, "secret_access_key") => Some("AWS_SECRET_ACCESS_KEY"),
        _ => None,
    };
    let own = schema::variable(&format!("providers.{name}.{key}"));
    let variable = well_known.map_or(own, str::to_owned);
    format!("{key} in [providers.{name}] or the variable {variable}")
}
