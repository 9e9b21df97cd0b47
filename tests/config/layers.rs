//! What wins, and where it says it comes from.

use std::time::Duration;

use mailferry::config::{
    Config, Layer, LoadOptions, ProviderKind, Purpose, QueueUrl, Rewrite, render,
};

use crate::{Setup, shown, with_key};

#[test]
fn one_key_in_the_environment_is_enough() {
    let loaded = with_key().load();
    let [resend] = loaded.config.providers.as_slice() else { panic!("one provider") };
    assert_eq!((resend.name.as_str(), resend.kind), ("resend", ProviderKind::Resend));
    assert_eq!(resend.api_key.expose(), "re_123");
    assert_eq!(resend.concurrency.get(), 8);
    assert_eq!(resend.timeout, Duration::from_secs(30));
    assert_eq!(loaded.config.delivery.providers, ["resend"]);
    assert_eq!(loaded.warnings, Vec::<String>::new());
}

#[test]
fn the_later_layer_wins_and_is_named_as_the_origin() {
    let toml = "[sender]\naddress = 'file@example.org'\n[smtp]\nmax_recipients = 5\n";
    let setup = with_key().toml(toml);
    let loaded = setup.load();
    assert_eq!(loaded.config.sender.address.as_ref().unwrap().as_str(), "file@example.org");
    let origin = &shown(&loaded, "sender.address").origin;
    assert!(origin.ends_with("mailferry.toml line 2"), "{origin}");

    let setup = setup.env("SMTP_FROM_ADDRESS", "known@example.org");
    let loaded = setup.load();
    assert_eq!(loaded.config.sender.address.as_ref().unwrap().as_str(), "known@example.org");

    let setup = setup
        .env("MAILFERRY__SENDER__ADDRESS", "own@example.org")
        .env("MAILFERRY__SMTP__MAX_RECIPIENTS", "7");
    let loaded = setup.load();
    assert_eq!(loaded.config.sender.address.as_ref().unwrap().as_str(), "own@example.org");
    assert_eq!(loaded.config.smtp.max_recipients.get(), 7);
    assert_eq!(shown(&loaded, "sender.address").origin, "MAILFERRY__SENDER__ADDRESS");
    assert_eq!(shown(&loaded, "smtp.max_connections").layer, Layer::Default);
}

#[test]
fn rust_log_stands_above_everything() {
    let setup = with_key().env("MAILFERRY__LOG__LEVEL", "warn").env("RUST_LOG", "mailferry=debug");
    let loaded = setup.load();
    assert_eq!(loaded.config.log.level, "mailferry=debug");
    assert_eq!(shown(&loaded, "log.level").origin, "RUST_LOG");
}

#[test]
fn a_text_stays_the_text_it_is() {
    for token in ["0012345", "true", "[a]", "{}", " padded ", "a,b", "1e9", "\"quoted\""] {
        let loaded = with_key().env("MAILFERRY__HTTP__TOKEN", token).load();
        assert_eq!(loaded.config.http.token.expose(), token);
    }
}

#[test]
fn values_are_read_by_the_type_of_their_key() {
    let loaded = with_key()
        .env("MAILFERRY__SMTP__LISTEN", "0.0.0.0:1025, [::1]:2525")
        .env("MAILFERRY__SMTP__MAX_MESSAGE_SIZE", "10MB")
        .env("MAILFERRY__SMTP__TRUSTED_NETWORKS", "10.1.2.3,fd00::/8")
        .env("MAILFERRY__DELIVERY__RETRY_MAX", "1h30m")
        .env("MAILFERRY__LOG__SUBJECT", "false")
        .env("MAILFERRY__PROVIDERS__RESEND__RATE", "5/s")
        .env("MAILFERRY__PROVIDERS__RESEND__CONCURRENCY", "4")
        .env("MAILFERRY__SENDER__REWRITE", "never")
        .env("MAILFERRY__QUEUE__URL", "sqlite:///data/x.db")
        .load();
    let config = &loaded.config;
    assert_eq!(config.smtp.listen.len(), 2);
    assert_eq!(config.smtp.max_message_size.0, 10_000_000);
    assert_eq!(config.smtp.trusted_networks[0], "10.1.2.3/32".parse().unwrap());
    assert_eq!(config.delivery.retry_max, Duration::from_secs(5400));
    assert!(!config.log.subject);
    assert_eq!(config.providers[0].rate.unwrap().calls, 5);
    assert_eq!(config.providers[0].concurrency.get(), 4);
    assert_eq!(config.sender.rewrite, Rewrite::Never);
    assert_eq!(config.queue.url, QueueUrl::Sqlite("/data/x.db".into()));
}

#[test]
fn an_empty_variable_is_unset() {
    let loaded = with_key()
        .toml("[http]\ntoken = 'of the file'\n")
        .env("SENDGRID_API_KEY", "")
        .env("MAILFERRY__HTTP__TOKEN", "")
        .env("MAILFERRY__NONSENSE", "")
        .load();
    assert_eq!(loaded.config.http.token.expose(), "of the file");
    assert_eq!(loaded.config.delivery.providers, ["resend"]);
}

#[test]
fn a_secret_may_be_in_a_file() {
    let setup = Setup::new();
    let key = setup.secret_file("resend", "re_from_file\n");
    let token = setup.secret_file("token", "0012345\r\n");
    let loaded = setup
        .toml(&format!("[http]\ntoken_file = '{token}'\n"))
        .env("RESEND_API_KEY_FILE", &key)
        .load();
    assert_eq!(loaded.config.providers[0].api_key.expose(), "re_from_file");
    assert_eq!(loaded.config.http.token.expose(), "0012345");
    assert_eq!(shown(&loaded, "providers.resend.api_key").origin, "RESEND_API_KEY_FILE");

    // A later layer that gives the secret itself makes the file irrelevant, even when it is gone.
    let loaded = with_key()
        .toml("[http]\ntoken_file = '/nowhere'\n")
        .env("MAILFERRY__HTTP__TOKEN", "direct")
        .load();
    assert_eq!(loaded.config.http.token.expose(), "direct");
}

#[test]
fn the_effective_configuration_masks_secrets_and_names_origins() {
    let loaded = with_key().env("MAILFERRY__HTTP__TOKEN", "hunter2").load();
    let text = render(&loaded.effective);
    assert!(!text.contains("hunter2") && !text.contains("re_123"), "{text}");
    assert!(!format!("{:?}", loaded.config).contains("hunter2"));
    let line = |start: &str| {
        let line = text.lines().find(|line| line.starts_with(start));
        line.unwrap_or_else(|| panic!("{start} is not in\n{text}")).to_owned()
    };
    assert!(line("token = ").contains("\"***\""));
    assert!(line("token = ").ends_with("# MAILFERRY__HTTP__TOKEN"));
    assert!(line("api_key = ").ends_with("# RESEND_API_KEY"));
    assert!(line("retry_min = \"2s\"").ends_with("# default"));
    assert!(line("providers = [\"resend\"]").ends_with("# those configured"));
    // It is TOML, and says of itself what it means.
    let again = Setup::new().toml(&text.replace("\"***\"", "\"x\"")).load();
    assert_eq!(again.config.delivery.providers, ["resend"]);
}

#[test]
fn a_slip_with_one_underscore_is_pointed_out_and_kubernetes_is_not() {
    let loaded = with_key()
        .env("MAILFERRY_SMTP_LISTEN", "0.0.0.0:1025")
        .env("MAILFERRY_PORT", "tcp://10.0.0.1:1025")
        .env("MAILFERRY_PORT_1025_TCP_ADDR", "10.0.0.1")
        .env("MAILFERRY_SERVICE_HOST", "10.0.0.1")
        .load();
    let [warning] = loaded.warnings.try_into().expect("one warning");
    assert!(warning.contains("MAILFERRY_SMTP_LISTEN is not used"), "{warning}");
    assert!(warning.contains("MAILFERRY__SMTP__LISTEN"), "{warning}");
}

#[test]
fn the_domain_of_the_sender_is_its_own_by_default() {
    let loaded = with_key().env("SMTP_FROM_EMAIL", "noreply@Example.ORG").load();
    assert_eq!(loaded.config.sender.domains, ["example.org"]);
    let loaded = with_key()
        .env("SMTP_FROM_EMAIL", "noreply@example.org")
        .env("MAILFERRY__SENDER__DOMAINS", "a.example, B.example.")
        .load();
    assert_eq!(loaded.config.sender.domains, ["a.example", "b.example"]);
}

#[test]
fn a_file_that_is_named_must_exist_and_others_need_not() {
    let missing = LoadOptions {
        file: Some("/nowhere/mailferry.toml".into()),
        candidates: Vec::new(),
        environment: Vec::new(),
        purpose: Purpose::Tool,
    };
    let errors = Config::load(&missing).unwrap_err().to_string();
    assert!(errors.contains("/nowhere/mailferry.toml: cannot be read"), "{errors}");

    let setup = Setup::new().toml("[smtp]\nmax_recipients = 3\n");
    let found = LoadOptions {
        file: None,
        candidates: vec!["/nowhere/mailferry.toml".into(), setup.file.clone().unwrap()],
        environment: Vec::new(),
        purpose: Purpose::Tool,
    };
    let loaded = Config::load(&found).unwrap();
    assert_eq!(loaded.config.smtp.max_recipients.get(), 3);
    assert_eq!(loaded.file, setup.file);
}
