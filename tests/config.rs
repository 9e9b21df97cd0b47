//! The configuration as an operator meets it: files, variables, and what is said when they are wrong.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on stops here, in its helpers as well"
)]

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use mailferry::config::{
    Config, ConfigErrors, Effective, KEYS, Layer, LoadOptions, Loaded, ProviderKind, Purpose,
    QueueUrl, Rewrite, render,
};
use tempfile::TempDir;

/// A file and an environment to be loaded.
struct Setup {
    dir: TempDir,
    file: Option<PathBuf>,
    environment: Vec<(String, String)>,
}

impl Setup {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), file: None, environment: Vec::new() }
    }

    fn toml(mut self, text: &str) -> Self {
        let path = self.dir.path().join("mailferry.toml");
        fs::write(&path, text).unwrap();
        self.file = Some(path);
        self
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    fn secret_file(&self, name: &str, content: &str) -> String {
        let path = self.dir.path().join(name);
        fs::write(&path, content).unwrap();
        path.display().to_string()
    }

    fn load_for(&self, purpose: Purpose) -> Result<Loaded, ConfigErrors> {
        Config::load(&LoadOptions {
            file: self.file.clone(),
            candidates: Vec::new(),
            environment: self.environment.clone(),
            purpose,
        })
    }

    fn load(&self) -> Loaded {
        self.load_for(Purpose::Serve).unwrap_or_else(|errors| panic!("{errors}"))
    }

    fn errors(&self) -> Vec<String> {
        let errors = self.load_for(Purpose::Serve).expect_err("it should be refused").errors;
        let dir = format!("{}/", self.dir.path().display());
        errors.iter().map(|error| error.to_string().replace(&dir, "")).collect()
    }
}

fn with_key() -> Setup {
    Setup::new().env("RESEND_API_KEY", "re_123")
}

fn shown<'a>(loaded: &'a Loaded, key: &str) -> &'a Effective {
    loaded.effective.iter().find(|shown| shown.key == key).expect("the key is shown")
}

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
fn without_a_provider_the_ways_out_are_named() {
    let [message] = Setup::new().errors().try_into().expect("one error");
    for way in ["RESEND_API_KEY", "mailferry.toml", "mailferry dev"] {
        assert!(message.contains(way), "{message}");
    }
    assert!(Setup::new().load_for(Purpose::Tool).is_ok());
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
fn an_unreadable_or_empty_secret_file_names_key_origin_and_path() {
    let errors = Setup::new().env("RESEND_API_KEY_FILE", "/nowhere/resend").errors();
    assert!(
        errors[0].starts_with(
            "providers.resend.api_key (RESEND_API_KEY_FILE): the file \"/nowhere/resend\" cannot be read"
        ),
        "{errors:?}"
    );
    let setup = with_key();
    let empty = setup.secret_file("empty", "\n");
    let errors = setup.env("MAILFERRY__HTTP__TOKEN_FILE", &empty).errors();
    assert!(
        errors[0].starts_with("http.token (MAILFERRY__HTTP__TOKEN_FILE): the file"),
        "{errors:?}"
    );
    assert!(errors[0].ends_with("is empty"), "{errors:?}");
}

#[test]
fn a_secret_given_twice_in_one_layer_is_refused() {
    let setup = with_key();
    let key = setup.secret_file("resend", "re_456");
    let errors = setup.env("RESEND_API_KEY_FILE", &key).errors();
    assert_eq!(
        errors,
        ["providers.resend.api_key (RESEND_API_KEY and RESEND_API_KEY_FILE): \
          is given both itself and as a file; keep one of them"]
    );
    let errors = with_key().toml("[http]\ntoken = 'a'\ntoken_file = 'b'\n").errors();
    assert_eq!(
        errors[0],
        "http.token (mailferry.toml line 2 and mailferry.toml line 3): \
         is given both itself and as a file; keep one of them"
    );
}

#[test]
fn every_fault_is_found_with_its_place_and_the_nearest_key() {
    let errors = with_key()
        .toml(
            "[smtp]\nlisen = ['127.0.0.1:1025']\nidle_timeout = 'soon'\nmax_recipients = 0\n\
             [htpp]\ntoken = 'x'\n[providers.resend]\napikey = 're_999'\n",
        )
        .env("MAILFERRY__QUEUE__MAX_MESAGES", "5")
        .env("MAILFERRY__LOG__SUBJECT", "perhaps")
        .errors();
    let all = errors.join("\n");
    for expected in [
        "smtp.lisen (mailferry.toml line 2): unknown key; did you mean smtp.listen?",
        "smtp.idle_timeout (mailferry.toml line 3): \"soon\" is not a duration such as",
        "smtp.max_recipients (mailferry.toml line 4): \"0\" is not a whole number of at least 1",
        "htpp (mailferry.toml line 5): unknown key; did you mean http?",
        "providers.resend.apikey (mailferry.toml line 8): unknown key; did you mean providers.resend.api_key?",
        "queue.max_mesages (MAILFERRY__QUEUE__MAX_MESAGES): unknown key; did you mean MAILFERRY__QUEUE__MAX_MESSAGES?",
        "log.subject (MAILFERRY__LOG__SUBJECT): \"perhaps\" is not true or false",
    ] {
        assert!(all.contains(expected), "{expected}\nis not in\n{all}");
    }
    assert_eq!(errors.len(), 7, "{all}");
}

#[test]
fn no_message_shows_a_secret() {
    let secret = "hunter2";
    for toml in [
        format!("[providers.backup]\ntype = 'resend'\napi_key = {secret}\n"),
        format!("[providers.backup]\ntype = 'resend'\napi_key = ['{secret}']\n"),
        format!("[providers.backup]\ntype = 'resend'\napi_key = '{secret} {secret}'\n"),
        format!("[providers.backup]\ntype = 'resend'\napi_key = \"{secret}\\n\"\n"),
        format!("[providers.resend]\nbase_url = 'http://user:{secret}@host/'\n"),
        format!("[providers.resend]\nbase_url = 'ftp://user:{secret}@host/'\n"),
        format!("[queue]\nurl = 'postgres://user:{secret}@host/db'\n"),
        format!("[[smtp.users]]\nusername = 'lemmy'\npassword = '{secret}'\n"),
        format!("[http]\ntoken = {{ value = '{secret}' }}\n"),
        format!("[delivery]\non_failure_webhook = 'https://example.org/{secret}'\n"),
    ] {
        let errors = with_key().toml(&toml).load_for(Purpose::Serve).expect_err(&toml);
        let text = format!("{errors} {errors:?}");
        assert!(!text.contains(secret), "{toml}\n{text}");
        assert!(text.contains("mailferry.toml line"), "{text}");
    }
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
fn ses_takes_the_aws_names_once_it_is_named() {
    let aws = || {
        Setup::new()
            .env("AWS_REGION", "eu-west-1")
            .env("AWS_ACCESS_KEY_ID", "AKIA1")
            .env("AWS_SECRET_ACCESS_KEY", "s/e+c")
            .env("AWS_SESSION_TOKEN", "tok==")
    };
    assert!(aws().load_for(Purpose::Serve).is_err(), "AWS names alone switch nothing on");

    for setup in [
        aws().env("EMAIL_PROVIDERS", "ses"),
        aws().toml("[providers.ses]\n"),
        aws().toml("[delivery]\nproviders = ['ses']\n"),
        aws().toml("[providers.mail]\ntype = 'ses'\n"),
    ] {
        let loaded = setup.load();
        let ses = &loaded.config.providers[0];
        assert_eq!(ses.kind, ProviderKind::Ses);
        assert_eq!(ses.region.as_deref(), Some("eu-west-1"));
        assert_eq!(ses.access_key_id.as_deref(), Some("AKIA1"));
        assert_eq!(ses.secret_access_key.expose(), "s/e+c");
        assert_eq!(ses.session_token.expose(), "tok==");
    }
}

#[test]
fn aws_names_fill_no_gap_of_another_account() {
    let loaded = Setup::new()
        .toml("[providers.a]\ntype='ses'\nregion='eu-west-1'\naccess_key_id='A'\nsecret_access_key='a'\n")
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", "B")
        .env("AWS_SECRET_ACCESS_KEY", "b")
        .env("AWS_SESSION_TOKEN", "t")
        .load();
    let a = &loaded.config.providers[0];
    assert_eq!((a.region.as_deref(), a.access_key_id.as_deref()), (Some("eu-west-1"), Some("A")));
    assert_eq!((a.secret_access_key.expose(), a.session_token.expose()), ("a", ""));

    // The token of another key is not mixed in.
    let loaded = Setup::new()
        .env("EMAIL_PROVIDERS", "ses")
        .env("AWS_REGION", "us-east-1")
        .env("AWS_SESSION_TOKEN", "t")
        .env("MAILFERRY__PROVIDERS__SES__ACCESS_KEY_ID", "A")
        .env("MAILFERRY__PROVIDERS__SES__SECRET_ACCESS_KEY", "a")
        .load();
    assert!(loaded.config.providers[0].session_token.is_empty());
    assert!(loaded.warnings[0].contains("AWS_SESSION_TOKEN"), "{:?}", loaded.warnings);
}

#[test]
fn a_provider_says_what_it_lacks() {
    let all = Setup::new().env("EMAIL_PROVIDERS", "ses, resend").errors().join("\n");
    for variable in ["AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "RESEND_API_KEY"] {
        assert!(all.contains(variable), "{all}");
    }
    let errors = Setup::new().toml("[providers.backup]\ntype = 'resend'\n").errors();
    assert!(errors[0].contains("MAILFERRY__PROVIDERS__BACKUP__API_KEY"), "{errors:?}");
    let errors = Setup::new().toml("[providers.backup]\napi_key = 'x'\n").errors();
    assert!(errors[0].contains("has no type"), "{errors:?}");
    let errors = with_key().toml("[providers.resend]\nregion = 'eu-west-1'\n").errors();
    assert!(errors[0].contains("a provider of type resend has no such setting"), "{errors:?}");
    let errors = with_key().toml("[providers.resend]\ntype = 'sendgrid'\n").errors();
    assert!(errors[0].contains("belongs to another service"), "{errors:?}");
}

#[test]
fn providers_stand_in_the_order_of_the_contract_unless_named() {
    let setup = || with_key().env("SENDGRID_API_KEY", "SG.x");
    assert_eq!(setup().load().config.delivery.providers, ["resend", "sendgrid"]);
    let named = setup().env("EMAIL_PROVIDERS", "sendgrid,resend,sendgrid").load();
    assert_eq!(named.config.delivery.providers, ["sendgrid", "resend"]);
    let two = with_key()
        .toml("[providers.backup]\ntype = 'resend'\napi_key = 're_b'\nbase_url = 'https://api.example.org'\n")
        .load();
    assert_eq!(two.config.delivery.providers, ["backup", "resend"]);

    let errors = with_key().env("EMAIL_PROVIDERS", "resend,sengrid").errors();
    assert_eq!(
        errors,
        ["delivery.providers (EMAIL_PROVIDERS): \"sengrid\" is not the name of a provider; \
          known here: resend, sendgrid, ses, capture"]
    );
}

#[test]
fn capture_is_on_when_named() {
    for setup in [
        Setup::new().env("EMAIL_PROVIDERS", "capture"),
        Setup::new().toml("[providers.capture]\n"),
        Setup::new().toml("providers.capture = {}\n"),
    ] {
        assert_eq!(setup.load().config.delivery.providers, ["capture"]);
    }
    let both = with_key().toml("[providers.capture]\n").load();
    assert_eq!(both.config.delivery.providers, ["resend", "capture"]);
    assert!(both.warnings[0].contains("never sent"), "{:?}", both.warnings);
}

#[test]
fn what_a_later_version_brings_is_refused_and_never_ignored() {
    for (toml, key) in [
        ("[smtp]\nlisten_tls = ['0.0.0.0:465']\n", "smtp.listen_tls"),
        ("[smtp]\nauth = 'required'\n", "smtp.auth"),
        ("[smtp]\nauth = 'provider'\n", "smtp.auth"),
        ("[smtp]\nproxy_networks = ['10.0.0.0/8']\n", "smtp.proxy_networks"),
        ("[smtp.tls]\nrequired = true\n", "smtp.tls.required"),
        ("[smtp.tls]\ncertificate = '/cert.pem'\n", "smtp.tls.certificate"),
        ("[[smtp.users]]\nusername = 'lemmy'\n", "smtp.users"),
        ("[providers.resend]\ndaily_quota = 100\n", "providers.resend.daily_quota"),
        ("[providers.resend]\nmonthly_quota = 3000\n", "providers.resend.monthly_quota"),
        ("[[routes]]\nname = 'bulk'\nproviders = ['ses']\n", "routes"),
        ("[delivery]\non_failure_webhook = 'https://x.example'\n", "delivery.on_failure_webhook"),
        ("[queue]\nurl = 'postgres://db/x'\n", "queue.url"),
        ("[providers.mailgun]\napi_key = 'x'\ndomain = 'y'\n", "providers.mailgun"),
        ("[providers.relay]\ntype = 'smtp'\nhost = 'y'\n", "providers.relay.type"),
        ("[delivery]\nproviders = ['postmark']\n", "delivery.providers"),
    ] {
        let errors = with_key().toml(toml).errors();
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].starts_with(&format!("{key} (mailferry.toml line ")), "{errors:?}");
        assert!(errors[0].contains("not in this version yet"), "{errors:?}");
        assert!(errors[0].contains("instead: "), "{errors:?}");
    }
    let harmless = "[smtp]\nlisten_tls = []\nauth = 'off'\n[smtp.tls]\nself_signed = false\nkey = ''\n\
                    [providers.resend]\ndaily_quota = 0\n";
    with_key().toml(harmless).env("MAILFERRY__SMTP__TLS__REQUIRED", "false").load();
    let errors = with_key().env("MAILFERRY__SMTP__TLS__REQUIRED", "true").errors();
    assert!(errors[0].contains("MAILFERRY__SMTP__TLS__REQUIRED"), "{errors:?}");
}

#[test]
fn the_names_of_later_providers_only_warn() {
    let loaded = with_key().env("MAILGUN_API_KEY", "x").env("SMTP_HOST", "mail").load();
    assert_eq!(loaded.warnings.len(), 2, "{:?}", loaded.warnings);
    assert!(loaded.warnings[0].contains("MAILGUN_API_KEY is set"), "{:?}", loaded.warnings);
}

#[test]
fn senseless_combinations_are_refused() {
    for (toml, expected) in [
        ("[smtp]\nlisten = []\n", "smtp.listen (mailferry.toml line 2): names no listener"),
        ("[smtp]\nmax_message_size = '1'\n", "must be between 1 KiB and 1 GiB"),
        ("[smtp]\nmax_message_size = '2 GiB'\n", "must be between 1 KiB and 1 GiB"),
        ("[smtp]\ntrusted_networks = ['10.0.0.0/99']\n", "\"10.0.0.0/99\" is not a network"),
        ("[delivery]\nretry_min = '1h'\n", "must not be longer than delivery.retry_max"),
        ("[sender]\nrewrite = 'always'\n", "needs an address to write"),
        ("[sender]\naddress = 'Ada <ada@example.org>'\n", "is not an address"),
        ("[sender]\ndomains = 'example.org, @x'\n", "\"@x\" is not a domain"),
        ("[sender]\nname = \"a\\r\\nBcc: x\"\n", "is not text on one line"),
        ("[providers.resend]\nbase_url = 'api.resend.com'\n", "is not a URL"),
        ("[providers.resend]\nbase_url = 'https://k@api.resend.com'\n", "must not contain a user"),
        ("[providers.resend]\nconcurrency = 0\n", "at least 1"),
        ("[providers.resend]\ntimeout = '0s'\n", "must be between 1s and 10m"),
        ("[providers.resend]\nrate = 'fast'\n", "is not a rate"),
        ("[log]\nlevel = 'inof'\n", "is not a level"),
        ("[log]\nlevel = 'mailferry=loud'\n", "is not a level"),
        ("[queue]\nmax_messages = -1\n", "\"-1\" is not a whole number"),
        ("smtp = 5\n", "is a section, not a value"),
        ("[smtp.listen]\nx = 1\n", "is a value, not a section"),
        ("[providers.'My Key']\ntype = 'resend'\n", "a provider's name is made of"),
        ("[providers.resend]\napi_key = 12345\n", "write it as text, in quotes"),
        ("[smtp]\nlisten = 1025\n", "is a number, expected a list"),
        ("[smtp\n", "not TOML"),
    ] {
        let errors = with_key().toml(toml).errors();
        assert!(errors.iter().any(|error| error.contains(expected)), "{expected}\n{errors:?}");
    }
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
fn dev_catches_all_mail_whatever_is_configured() {
    let purpose = || Purpose::Dev { queue: "/tmp/dev.db".into() };
    let bare = Setup::new().load_for(purpose()).unwrap();
    assert_eq!(bare.config.delivery.providers, ["capture"]);

    let real = with_key()
        .toml(
            "[delivery]\nmode = 'direct'\nproviders = ['resend']\n[queue]\nurl = 'sqlite:/real.db'\n\
             [providers.ses]\n[sender]\naddress = 'a@example.org'\n",
        )
        .load_for(purpose())
        .unwrap();
    let [only] = real.config.providers.as_slice() else { panic!("one provider") };
    assert_eq!(only.kind, ProviderKind::Capture);
    assert_eq!(real.config.delivery.mode, mailferry::config::Mode::Queue);
    assert_eq!(real.config.queue.url, QueueUrl::Sqlite("/tmp/dev.db".into()));
    assert_eq!(real.config.sender.domains, ["example.org"]);
    assert!(
        real.warnings[0].contains("sends nothing: resend, ses not used"),
        "{:?}",
        real.warnings
    );

    // A slip is a slip there as well.
    let slip = Setup::new().toml("[smtp]\nlisen = []\n").load_for(purpose());
    assert!(slip.is_err());
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

/// The example as a newcomer would use it: with the settings of the tables that `wanted` picks switched on.
fn example(wanted: impl Fn(&str) -> bool) -> String {
    let text = fs::read_to_string(root().join("config.example.toml")).unwrap();
    let mut table = String::new();
    let mut lines = Vec::new();
    for line in text.lines() {
        // `#key = value` and `#[table]` are settings that are switched off, `# text` explains.
        let setting = line
            .strip_prefix('#')
            .filter(|rest| rest.starts_with(|c: char| c == '[' || c.is_ascii_lowercase()));
        let bare = setting.unwrap_or(line);
        if let Some(name) = bare.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            name.clone_into(&mut table);
        }
        lines.push(if wanted(&table) { bare } else { line });
    }
    lines.join("\n")
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_example_changes_nothing_as_it_is_shipped() {
    let shipped = with_key().toml(&example(|_| false)).load();
    let bare = with_key().load();
    assert_eq!(shipped.effective, bare.effective);
}

#[test]
fn the_example_names_every_key_with_its_true_default() {
    let provider = |table: &str| table.starts_with("providers.");
    let tool = |toml: &str| Setup::new().toml(toml).load_for(Purpose::Tool).unwrap();

    // Everything but providers, against the bare defaults.
    let named = tool(&example(|table| !provider(table)));
    let bare = Setup::new().load_for(Purpose::Tool).unwrap();
    for key in KEYS.iter().filter(|key| key.later.is_none() && !key.path.contains('*')) {
        let (ours, theirs) = (shown(&named, key.path), shown(&bare, key.path));
        assert_eq!(ours.layer, Layer::File, "config.example.toml does not name {}", key.path);
        assert_eq!(ours.value, theirs.value, "the default of {} is another", key.path);
    }

    // Each provider, against one that is only named.
    let text = example(provider);
    let named = tool(&text);
    let tables = text.lines().filter(|line| line.starts_with("[providers."));
    let bare = tool(&tables.collect::<Vec<_>>().join("\n"));
    for key in KEYS.iter().filter(|key| key.later.is_none()) {
        let Some(name) = key.path.strip_prefix("providers.*.") else { continue };
        let mut seen = 0;
        for ours in named.effective.iter().filter(|shown| shown.layer == Layer::File) {
            if ours.key.starts_with("providers.") && ours.key.ends_with(&format!(".{name}")) {
                assert_eq!(ours.value, shown(&bare, &ours.key).value, "{}", ours.key);
                seen += 1;
            }
        }
        assert!(seen > 0, "config.example.toml does not name providers.*.{name}");
    }
    for kind in ProviderKind::ALL {
        assert!(named.config.providers.iter().any(|p| p.name == kind.name()), "{kind} is missing");
    }
}

#[test]
fn the_example_promises_nothing_of_a_later_version() {
    let text = example(|_| true);
    for key in KEYS.iter().filter(|key| key.later.is_some()) {
        let setting = format!("\n{} =", key.name());
        // `smtp.tls.key` and its like are short words that only count below their own table.
        assert!(key.path.contains(".tls.") || !text.contains(&setting), "{}", key.path);
    }
    assert!(!text.contains("[smtp.tls]") && !text.contains("[["));
}

#[test]
fn every_key_is_read_by_someone() {
    let mut seen: Vec<String> = Vec::new();
    let named = Setup::new().toml(&example(|_| true)).load_for(Purpose::Tool).unwrap();
    for shown in named.effective {
        let mut parts: Vec<&str> = shown.key.split('.').collect();
        if let ["providers", name, ..] = parts.as_mut_slice() {
            *name = "*";
        }
        seen.push(parts.join("."));
    }
    for key in KEYS.iter().filter(|key| key.later.is_none()) {
        assert!(seen.iter().any(|path| path == key.path), "nobody reads {}", key.path);
    }
}

#[test]
fn every_configuration_file_in_the_repository_loads() {
    let mut found = 0;
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if !name.starts_with('.') && !["target", "node_modules"].contains(&name.as_str()) {
                    folders.push(path);
                }
            } else if name.ends_with(".toml")
                && (name.contains("config") || name.contains("mailferry"))
            {
                let setup = Setup { file: Some(path.clone()), ..Setup::new() };
                if let Err(errors) = setup.load_for(Purpose::Tool) {
                    panic!("{}: {errors}", path.display());
                }
                found += 1;
            }
        }
    }
    assert!(found >= 1);
}
