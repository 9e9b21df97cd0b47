//! From file and environment to a [`Config`], or to everything that is wrong with them.

use std::path::PathBuf;

use figment::Figment;

use super::accounts;
use super::environment::Environment;
use super::error::{ConfigError, ConfigErrors};
use super::layer::{Gathered, Leaf, Stranger};
use super::providers::ProviderKind;
use super::reader::{Effective, Reader};
use super::schema::{self, KEYS};
use super::{
    AuthMode, Config, DEFAULT_FILES, DeliveryConfig, HttpConfig, LogConfig, Mode, QueueConfig,
    QueueUrl, RouteConfig, SenderConfig, SmtpConfig, file, routes, smarthost,
};

/// What the configuration is loaded for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To deliver mail: at least one provider must be complete, unless clients bring their accounts.
    Serve,
    /// To catch mail: whatever else is configured, the only provider is `capture`, and the queue is this file
    /// rather than the one that real mail waits in.
    Dev { queue: PathBuf },
    /// To look at something: missing providers and keys are warnings.
    Tool,
}

/// Where the configuration comes from.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// The file; it must exist.
    pub file: Option<PathBuf>,
    /// Without a file, the first of these that exists.
    pub candidates: Vec<PathBuf>,
    /// Every variable of the process.
    pub environment: Vec<(String, String)>,
    /// What for.
    pub purpose: Purpose,
}

impl LoadOptions {
    /// The usual places.
    pub fn new(
        file: Option<PathBuf>,
        environment: Vec<(String, String)>,
        purpose: Purpose,
    ) -> Self {
        let candidates = DEFAULT_FILES.iter().map(PathBuf::from).collect();
        Self { file, candidates, environment, purpose }
    }
}

/// A configuration without faults.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: Config,
    /// What its owner should look at.
    pub warnings: Vec<String>,
    /// Every value with its origin, for `mailferry config`.
    pub effective: Vec<Effective>,
    /// The file that was read.
    pub file: Option<PathBuf>,
}

impl Config {
    /// Merges defaults, file and environment, and checks everything. All faults are found, not only the first.
    pub fn load(options: &LoadOptions) -> Result<Loaded, ConfigErrors> {
        let environment = Environment(&options.environment);
        let mut gathered = Gathered::default();
        let file = file::gather(options.file.as_deref(), &options.candidates, &mut gathered);
        environment.gather(&mut gathered);
        gathered.settle_lists();
        serve_shared(environment, &mut gathered);
        gathered.refuse_double_secrets();

        let figment = merge(&gathered);
        let mut reader = Reader::new(figment, gathered.errors, gathered.warnings);
        for key in KEYS.iter().filter(|key| !key.path.contains('*')) {
            if let Some(instead) = key.later {
                reader.refuse_later(key.path, key, instead);
            }
        }
        let config = read(&mut reader, &options.purpose);
        judge_strangers(&gathered.strangers, &mut reader);

        let Reader { mut errors, warnings, mut effective, .. } = reader;
        let delivers = !config.providers.is_empty() || config.smtp.auth == AuthMode::Provider;
        if errors.is_empty() && !delivers && options.purpose == Purpose::Serve {
            let message = match environment.waiting_for_a_name() {
                Some((variable, kind)) => format!(
                    "no email provider is configured: {variable} is set, which counts once {kind} is named, for \
                     example by EMAIL_PROVIDERS={kind}"
                ),
                None => NO_PROVIDER.to_owned(),
            };
            errors.push(ConfigError { key: String::new(), origin: String::new(), message });
        }
        if !errors.is_empty() {
            return Err(ConfigErrors { errors, warnings });
        }
        effective.sort_by_cached_key(|shown| schema::position(&shown.key));
        Ok(Loaded { config, warnings, effective, file })
    }
}

impl Default for Config {
    /// What holds when nobody configures anything; no provider.
    fn default() -> Self {
        read(&mut Reader::new(Figment::new(), Vec::new(), Vec::new()), &Purpose::Tool)
    }
}

/// The text that a newcomer reads first.
const NO_PROVIDER: &str = "no email provider is configured; the three quickest ways out:
  1. a key in the environment:  RESEND_API_KEY=re_… mailferry   (or SENDGRID_API_KEY, POSTMARK_SERVER_TOKEN, BREVO_API_KEY, or MAILGUN_API_KEY with MAILGUN_DOMAIN)
  2. a configuration file:      mailferry.toml with [providers.resend] and api_key = \"re_…\"   (see config.example.toml)
  3. no provider at all:        mailferry dev   (catches all mail, shows it on http://127.0.0.1:8025, sends nothing)";

/// Later layers win; within one layer the later value does.
fn merge(gathered: &Gathered) -> Figment {
    let mut leaves: Vec<&Leaf> = gathered.leaves.iter().collect();
    leaves.sort_by_key(|leaf| leaf.layer);
    merge_in_order(&leaves)
}

/// By halves: every merge costs as much as what is merged, and one by one a long list would be copied for each value.
fn merge_in_order(leaves: &[&Leaf]) -> Figment {
    match leaves {
        [] => Figment::new(),
        [leaf] => Figment::from((*leaf).clone()),
        [..] => {
            let (earlier, later) = leaves.split_at(leaves.len() / 2);
            merge_in_order(earlier).merge(merge_in_order(later))
        }
    }
}

/// Gives the variables that other programs share (`AWS_REGION`, `SMTP_HOST` …) to the providers that they serve, once it
/// is known which there are.
///
/// The provider called `ses`, or `smtp`, takes them as it would any well-known name. Others, being several accounts, take
/// them only where their own table leaves a gap.
fn serve_shared(environment: Environment<'_>, gathered: &mut Gathered) {
    let figment = merge(gathered);
    let mut reader = Reader::new(figment, Vec::new(), Vec::new());
    let mut kinds = accounts::kinds(&reader);
    let preferred: Vec<String> = reader.get("delivery.providers");
    let namings = accounts::namings(&preferred, &RouteConfig::read_all(&mut reader));
    for kind in [ProviderKind::Ses, ProviderKind::Smtp] {
        let named = accounts::all_named(&namings).any(|name| name == kind.name());
        if named && !kinds.iter().any(|(name, _)| name == kind.name()) {
            kinds.push((kind.name().to_owned(), Some(kind)));
        }
    }
    for (name, kind) in kinds {
        let Some(kind @ (ProviderKind::Ses | ProviderKind::Smtp)) = kind else { continue };
        let is_set = |key: &str| reader.is_set(&format!("providers.{name}.{key}"));
        let wanted = |key: &str| {
            name == kind.name()
                || match (kind, key) {
                    (ProviderKind::Ses, "region") => !is_set("region"),
                    (ProviderKind::Ses, _) => !is_set("access_key_id"),
                    // A server of its own has credentials of its own.
                    _ => !is_set("host") && !is_set("preset"),
                }
        };
        environment.serve(kind, &name, wanted, gathered);
    }
}

fn read(reader: &mut Reader, purpose: &Purpose) -> Config {
    let mut config = Config {
        smtp: SmtpConfig::read(reader),
        http: HttpConfig::read(reader),
        sender: SenderConfig::read(reader),
        delivery: DeliveryConfig::read(reader),
        queue: QueueConfig::read(reader),
        providers: Vec::new(),
        templates: Vec::new(),
        routes: RouteConfig::read_all(reader),
        log: LogConfig::read(reader),
    };
    routes::check_users(&config.smtp.users, &config.routes, reader);
    routes::warn_of_idle(&config.smtp.users, &config.routes, reader);
    match purpose {
        Purpose::Serve | Purpose::Tool => {
            let brought = config.smtp.auth == AuthMode::Provider;
            let preferred = &mut config.delivery.providers;
            let found = accounts::read(reader, preferred, &config.routes, brought, purpose);
            (config.providers, config.templates) = (found.providers, found.templates);
            smarthost::check_loops(&mut config.providers, &config.smtp, reader);
        }
        Purpose::Dev { queue: file } => catch_all(file, &mut config, reader),
    }
    config.queue.check_seal(&config.smtp, config.delivery.mode, reader);
    config
}

/// `mailferry dev`: whatever is configured, nothing leaves, and the queue of real mail is left alone.
fn catch_all(file: &std::path::Path, config: &mut Config, reader: &mut Reader) {
    const ORIGIN: &str = "mailferry dev";
    let capture = Some(ProviderKind::Capture);
    let kinds = accounts::kinds(reader).into_iter().filter(|(_, kind)| *kind != capture);
    let idle: Vec<String> = kinds.map(|(name, _)| name).collect();
    if !idle.is_empty() {
        reader.warn(format!("mailferry dev sends nothing: {} not used", idle.join(", ")));
    }
    let capture = accounts::read_capture(reader);
    let Config { smtp, delivery, queue, routes, .. } = config;
    delivery.providers = vec![capture.name.clone()];
    delivery.mode = Mode::Queue;
    queue.url = QueueUrl::Sqlite(file.to_owned());
    // What was caught can be looked at for as long as it is listed.
    queue.keep_bodies = queue.keep_bodies.max(queue.keep_delivered);
    reader.show_instead("delivery.providers", &delivery.providers, ORIGIN);
    reader.show_instead("delivery.mode", &delivery.mode, ORIGIN);
    reader.show_instead("queue.url", &queue.url, ORIGIN);
    reader.show_instead("queue.keep_bodies", &queue.keep_bodies, ORIGIN);
    if smtp.auth == AuthMode::Provider {
        // Real keys, taken as any credentials are, and not used.
        smtp.auth = AuthMode::Auto;
        reader.show_instead("smtp.auth", &smtp.auth, ORIGIN);
    }
    for (number, route) in routes.iter_mut().enumerate() {
        route.providers.clone_from(&delivery.providers);
        reader.show_instead(&format!("routes[{number}].providers"), &route.providers, ORIGIN);
    }
    config.providers = vec![capture];
}

/// Says of every unknown key what it may have meant.
fn judge_strangers(strangers: &[Stranger], reader: &mut Reader) {
    for stranger in strangers {
        let key = schema::spell(&stranger.path);
        let message = if stranger.section {
            match schema::locate(&stranger.path) {
                schema::Place::Section => {
                    "is a section, not a value: its keys go below it".to_owned()
                }
                schema::Place::List => {
                    let name = schema::variable(&key);
                    format!("is a list: give the parts of each item, as in {name}__0__…")
                }
                schema::Place::Value(_) | schema::Place::File(_) | schema::Place::Unknown => {
                    "is a value, not a section".to_owned()
                }
            }
        } else {
            match schema::nearest(&stranger.path) {
                Some(near) if stranger.variable => {
                    format!("unknown key; did you mean {}?", schema::variable(&near))
                }
                Some(near) => format!("unknown key; did you mean {near}?"),
                None => "unknown key; config.example.toml lists all".to_owned(),
            }
        };
        reader.errors.push(ConfigError { key, origin: stranger.origin.clone(), message });
    }
}

#[cfg(test)]
mod tests {
    use super::super::Layer;
    use super::*;

    #[test]
    fn the_defaults_are_those_of_the_contract() {
        let config = Config::default();
        assert_eq!(config.smtp.listen, ["127.0.0.1:1025".parse().unwrap()]);
        assert_eq!(config.http.listen, "127.0.0.1:8025".parse().unwrap());
        assert_eq!(config.smtp.max_message_size.0, 25 << 20);
        assert_eq!(config.smtp.trusted_networks, super::super::trusted_networks());
        assert_eq!(config.http.trusted_networks, super::super::trusted_networks());
        assert_eq!(config.queue.url, QueueUrl::Sqlite("mailferry.db".into()));
        assert!(config.providers.is_empty());
    }

    #[test]
    fn layers_are_ordered_as_the_contract_says() {
        assert!(Layer::Default < Layer::File);
        assert!(Layer::File < Layer::WellKnown);
        assert!(Layer::WellKnown < Layer::Own);
        assert!(Layer::Own < Layer::Override);
    }
}
