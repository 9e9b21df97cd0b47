use super::super::{KEYS, LoadOptions, Loaded, Purpose};
use super::*;

/// The keys that take effect when the configuration is read again. A new key belongs here or into [`RESTART`], and what it
/// does must be so.
const RELOADED: &[&str] = &[
    "smtp.hostname",
    "smtp.max_message_size",
    "smtp.max_recipients",
    "smtp.max_connections",
    "smtp.max_connections_per_ip",
    "smtp.idle_timeout",
    "smtp.trusted_networks",
    "smtp.auth",
    "smtp.proxy_networks",
    "smtp.tls.certificate",
    "smtp.tls.key",
    "smtp.tls.self_signed",
    "smtp.tls.required",
    "smtp.users.*.username",
    "smtp.users.*.password",
    "smtp.users.*.senders",
    "smtp.users.*.route",
    "smtp.users.*.provider_options",
    "http.token",
    "http.trusted_networks",
    "http.hosts",
    "http.send_rate",
    "http.submit_rate",
    "sender.address",
    "sender.name",
    "sender.domains",
    "sender.rewrite",
    "delivery.providers",
    "delivery.retry_min",
    "delivery.retry_max",
    "delivery.give_up_after",
    "delivery.batch_max",
    "delivery.batch_linger",
    "delivery.on_loss",
    "delivery.on_unclear",
    "delivery.on_failure_webhook",
    "delivery.on_failure_webhook_secret",
    "queue.keep_delivered",
    "queue.keep_bodies",
    "providers.*.type",
    "providers.*.api_key",
    "providers.*.region",
    "providers.*.access_key_id",
    "providers.*.secret_access_key",
    "providers.*.session_token",
    "providers.*.domain",
    "providers.*.preset",
    "providers.*.host",
    "providers.*.port",
    "providers.*.username",
    "providers.*.password",
    "providers.*.tls",
    "providers.*.url",
    "providers.*.secret",
    "providers.*.base_url",
    "providers.*.rate",
    "providers.*.daily_quota",
    "providers.*.monthly_quota",
    "providers.*.concurrency",
    "providers.*.timeout",
    "routes.*.name",
    "routes.*.providers",
    "routes.*.sender",
    "routes.*.sender_domain",
    "routes.*.recipient_domain",
    "routes.*.user",
    "routes.*.header.name",
    "routes.*.header.value",
    "log.level",
    "log.subject",
];

fn load(variables: &[(&str, &str)]) -> Loaded {
    let environment = variables.iter().map(|(key, value)| {
        (format!("MAILFERRY__{}", key.replace('.', "__").to_uppercase()), (*value).to_owned())
    });
    let mut options = LoadOptions::new(None, environment.collect(), Purpose::Tool);
    options.candidates.clear();
    Config::load(&options).unwrap()
}

fn changes(old: &[(&str, &str)], new: &[(&str, &str)]) -> Changes {
    let (old, new) = (load(old), load(new));
    Changes::between((&old.config, &old.effective), (&new.config, &new.effective))
}

#[test]
fn every_key_takes_effect_at_once_or_after_a_restart() {
    for key in KEYS {
        let lists = [RELOADED, &RESTART].map(|list| list.contains(&key.path));
        assert_eq!(
            lists.iter().filter(|listed| **listed).count(),
            1,
            "{} must be in one of the two lists, by whether Control::change, Delivery::reload and the others take it",
            key.path
        );
    }
    assert_eq!(RELOADED.len() + RESTART.len(), KEYS.len(), "a key that there is not is listed");
}

#[test]
fn a_key_that_needs_a_restart_is_named_and_keeps_its_value() {
    let running = load(&[]);
    for (key, value) in [
        ("smtp.listen", "127.0.0.1:2525"),
        ("smtp.listen_tls", "127.0.0.1:4465"),
        ("http.listen", "127.0.0.1:8080"),
        ("delivery.mode", "direct"),
        ("queue.url", "sqlite:other.db"),
        ("queue.max_messages", "7"),
        ("queue.takeover_after", "7s"),
        ("queue.seal_key", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
        ("log.format", "json"),
    ] {
        let new = load(&[(key, value), ("smtp.tls.self_signed", "true")]);
        assert_eq!(put_off(&running, &new), [key]);
        let held = new.config.clone().on_top_of(&running.config);
        let show = |config: &Config| {
            let Config { smtp, http, delivery, queue, log, .. } = config;
            format!(
                "{:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
                smtp.listen,
                smtp.listen_tls,
                http.listen,
                delivery.mode,
                queue.url,
                queue.max_messages,
                queue.takeover_after,
                queue.seal_key.is_some(),
                log.format
            )
        };
        assert_ne!(show(&new.config), show(&running.config), "{key}");
        assert_eq!(show(&held), show(&running.config), "{key}");
        assert!(held.smtp.tls.self_signed, "the rest is taken");
    }
    assert_eq!(put_off(&running, &running), [""; 0]);
}

fn put_off(running: &Loaded, new: &Loaded) -> Vec<&'static str> {
    restart_needed((&running.config, &running.effective), (&new.config, &new.effective))
}

#[test]
fn another_password_of_the_queue_needs_a_restart_wherever_it_stands() {
    let url = |password: &str| format!("postgres://u:{password}@db/x");
    let bare = ("queue.url", "postgres://u@db/x");
    let (one, two) = (load(&[("queue.url", &url("one"))]), load(&[("queue.url", &url("two"))]));
    assert_eq!(put_off(&one, &two), ["queue.url"]);
    let (one, two) =
        (load(&[bare, ("queue.password", "one")]), load(&[bare, ("queue.password", "two")]));
    assert_eq!(put_off(&one, &two), ["queue.password"]);
    let changes = Changes::between((&one.config, &one.effective), (&two.config, &two.effective));
    assert!(changes.is_empty(), "nothing takes effect: {changes:?}");
    let secret = |octet: &str| format!("{octet}AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    let (one, two) =
        (load(&[("queue.seal_key", &secret("A"))]), load(&[("queue.seal_key", &secret("B"))]));
    assert_eq!(put_off(&one, &two), ["queue.seal_key"]);
}

#[test]
fn providers_routes_and_users_are_told_by_their_names() {
    let before = [
        ("providers.resend.api_key", "re_one"),
        ("providers.brevo.api_key", "xkeysib-1"),
        ("routes.0.name", "news"),
        ("routes.0.providers", "brevo"),
        ("smtp.users.0.username", "ada"),
        ("smtp.users.0.password", "first secret"),
        ("smtp.users.1.username", "bob"),
        ("smtp.users.1.password", "second secret"),
    ];
    let after = [
        ("providers.resend.api_key", "re_two"),
        ("providers.postmark.api_key", "token"),
        ("routes.0.name", "news"),
        ("routes.0.providers", "postmark"),
        ("smtp.users.0.username", "bob"),
        ("smtp.users.0.password", "second secret"),
        ("smtp.users.1.username", "eve"),
        ("smtp.users.1.password", "third secret"),
    ];
    let changes = changes(&before, &after);
    assert_eq!(changes.providers.to_string(), "added postmark; changed resend; removed brevo");
    assert_eq!(changes.routes.to_string(), "changed news");
    assert_eq!(changes.users.to_string(), "added eve; removed ada", "a number is no name");
    let said = format!("{changes:?}");
    assert!(!said.contains("re_") && !said.contains("secret"), "{said}");
}

#[test]
fn other_keys_are_told_by_their_paths_in_the_order_of_the_schema() {
    let before = [("http.token", "first"), ("log.level", "info")];
    let after = [
        ("log.level", "debug"),
        ("http.token", "second"),
        ("smtp.max_message_size", "1 MiB"),
        ("smtp.listen", "127.0.0.1:2525"),
    ];
    let changes = changes(&before, &after);
    assert_eq!(changes.settings, ["smtp.max_message_size", "http.token", "log.level"]);
}

#[test]
fn the_same_configuration_changes_nothing() {
    let same = [
        ("providers.resend.api_key", "re_one"),
        ("http.token", "first"),
        ("smtp.users.0.username", "ada"),
        ("smtp.users.0.password", "secret of hers"),
    ];
    assert!(changes(&same, &same).is_empty());
}

#[test]
fn every_secret_is_compared_though_none_is_shown() {
    let secrets = Config::default();
    let compared: Vec<&str> = secrets.secrets().into_iter().map(|(key, _)| key).collect();
    let lone = KEYS.iter().filter(|key| key.secret && !key.path.contains('*'));
    assert_eq!(lone.map(|key| key.path).collect::<Vec<_>>(), compared);
}
