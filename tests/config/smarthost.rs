//! Providers of type smtp.

use std::time::Duration;

use mailferry::config::{Preset, ProviderConfig, Purpose, SmtpTls};

use crate::{Setup, with_key};

fn smarthost(setup: &Setup) -> ProviderConfig {
    setup.load().config.providers.into_iter().find(|it| it.name == "smtp").unwrap()
}

fn variables() -> Setup {
    Setup::new()
        .env("SMTP_HOST", "mx.example.org")
        .env("SMTP_PORT", "2525")
        .env("SMTP_USER", "ada")
        .env("SMTP_PASSWORD", "0012345")
        .env("SMTP_USE_TLS", "true")
}

#[test]
fn the_names_of_other_programs_serve_a_smarthost_once_it_is_named() {
    assert!(variables().load_for(Purpose::Serve).is_err(), "they alone switch nothing on");
    let with_resend = variables().env("RESEND_API_KEY", "re_1").load();
    assert_eq!(with_resend.config.delivery.providers, ["resend"]);
    for setup in [
        variables().env("EMAIL_PROVIDERS", "smtp"),
        variables().toml("[providers.smtp]\n"),
        variables().toml("[delivery]\nproviders = ['smtp']\n"),
    ] {
        let config = smarthost(&setup);
        let own = &config.smarthost;
        assert_eq!(own.host.as_deref(), Some("mx.example.org"));
        assert_eq!((own.username.as_str(), own.password.expose()), ("ada", "0012345"));
        let place = own.place(None).unwrap();
        assert_eq!((place.port, place.tls), (2525, SmtpTls::StartTls));
        assert_eq!(config.timeout, Duration::from_mins(2));
    }
    // A server of its own has credentials of its own.
    let other = variables().toml("[providers.house]\ntype='smtp'\nhost='192.168.1.2'\n").load();
    assert_eq!(other.config.providers[0].smarthost.username, "");
}

#[test]
fn use_tls_is_a_yes_or_a_no() {
    for (given, tls) in [
        ("true", SmtpTls::Auto),
        ("1", SmtpTls::Auto),
        ("YES", SmtpTls::Auto),
        ("false", SmtpTls::Off),
        ("0", SmtpTls::Off),
        ("no", SmtpTls::Off),
        ("implicit", SmtpTls::Implicit),
    ] {
        let setup = Setup::new()
            .env("EMAIL_PROVIDERS", "smtp")
            .env("SMTP_HOST", "mx.example.org")
            .env("SMTP_USE_TLS", given);
        assert_eq!(smarthost(&setup).smarthost.tls, tls, "{given}");
    }
    let errors =
        variables().env("EMAIL_PROVIDERS", "smtp").env("MAILFERRY__PROVIDERS__SMTP__TLS", "ssl");
    let errors = errors.errors();
    assert!(
        errors[0].contains("\"ssl\" is not one of auto, starttls, implicit, off"),
        "{errors:?}"
    );
}

#[test]
fn a_preset_needs_the_credentials_of_its_service() {
    for (preset, words) in [
        ("gmail", "app password"),
        ("office365", "SMTP AUTH must be switched on"),
        ("naver", "application password"),
        ("ses", "the AWS access key does not work"),
    ] {
        let table = format!("[providers.smtp]\npreset = '{preset}'\nregion = 'eu-west-1'\n");
        let errors = Setup::new().toml(&table).errors();
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(
            errors[0].contains("providers.smtp.username") && errors[0].contains(words),
            "{errors:?}"
        );
        let errors = Setup::new().toml(&format!("{table}username = 'ada'\n")).errors();
        assert!(
            errors[0].contains("providers.smtp.password") && errors[0].contains(words),
            "{errors:?}"
        );
        let whole = Setup::new().toml(&format!("{table}username = 'ada'\npassword = 'p'\n"));
        assert!(smarthost(&whole).smarthost.preset.is_some());
    }
    let errors = Setup::new().toml("[providers.smtp]\npreset = 'yahoo'\n").errors();
    assert!(
        errors[0].contains("\"yahoo\" is not one of gmail, office365, naver, ses"),
        "{errors:?}"
    );
    assert_eq!(errors.len(), 1, "a host is not what is missing: {errors:?}");
    let no_region = "[providers.smtp]\npreset = 'ses'\nusername = 'a'\npassword = 'p'\n";
    let errors = Setup::new().toml(no_region).errors();
    assert!(errors[0].starts_with("providers.smtp.region"), "{errors:?}");
}

#[test]
fn office_365_gets_no_more_connections_than_it_allows_unless_told() {
    let table = "[providers.smtp]\npreset = 'office365'\nusername = 'a'\npassword = 'p'\n";
    let config = smarthost(&Setup::new().toml(table));
    assert_eq!(config.concurrency.get(), 3);
    assert_eq!(config.smarthost.preset, Some(Preset::Office365));
    assert_eq!(
        smarthost(&Setup::new().toml(&format!("{table}concurrency = 2\ntimeout = '9s'\n")))
            .concurrency
            .get(),
        2
    );
}

#[test]
fn half_of_the_credentials_or_a_host_that_is_none_is_named() {
    for (table, words) in [
        ("host = 'mx'\nusername = 'a'\n", "providers.smtp.password"),
        ("host = 'mx'\npassword = 'a'\n", "providers.smtp.username"),
        ("host = 'mx:587'\n", "has a port in it"),
        ("host = 'smtp://mx'\n", "is a URL"),
        ("host = 'a b'\n", "is not the name or the IP address"),
        ("port = 99999\nhost = 'mx'\n", "a port, from 1 to 65535"),
        ("", "host in [providers.smtp] or the variable SMTP_HOST"),
        (
            "host = '203.0.113.5'\ntls = 'off'\nusername = 'a'\npassword = 'p'\n",
            "unencrypted to 203.0.113.5",
        ),
    ] {
        let errors = Setup::new().toml(&format!("[providers.smtp]\n{table}")).errors();
        assert!(errors[0].contains(words), "{errors:?}");
    }
    let near = "[providers.smtp]\nhost = '10.0.0.5'\ntls = 'off'\nusername = 'a'\npassword = 'p'\n";
    assert_eq!(smarthost(&Setup::new().toml(near)).smarthost.tls, SmtpTls::Off);
    // To look at the queue, nobody needs a password.
    let tool = Setup::new().toml("[providers.smtp]\npreset = 'gmail'\n").load_for(Purpose::Tool);
    assert!(tool.unwrap().warnings[0].contains("app password"));
}

#[test]
fn a_smarthost_that_is_this_program_is_refused() {
    for (listen, host, port) in [
        ("127.0.0.1:1025", "127.0.0.1", 1025),
        ("0.0.0.0:1025", "localhost", 1025),
        ("[::]:1025", "::1", 1025),
        ("0.0.0.0:2525", "relay.example.org", 2525),
    ] {
        let setup = || {
            with_key()
                .env("MAILFERRY__SMTP__LISTEN", listen)
                .env("MAILFERRY__SMTP__HOSTNAME", "relay.example.org")
                .env("SMTP_HOST", host)
                .env("EMAIL_PROVIDERS", "smtp")
        };
        let errors = setup().env("SMTP_PORT", &port.to_string()).errors();
        assert!(errors[0].contains("round in a circle"), "{errors:?}");
        let other = setup().env("SMTP_PORT", "26");
        assert_eq!(smarthost(&other).smarthost.hello, "relay.example.org");
    }
}

#[test]
fn variables_of_a_server_that_nobody_has_named_are_pointed_at() {
    let errors = Setup::new().env("SMTP_HOST", "mail.example.org").errors();
    assert!(errors[0].contains("EMAIL_PROVIDERS=smtp"), "{errors:?}");
    let errors = Setup::new().env("AWS_ACCESS_KEY_ID", "AKIA").errors();
    assert!(errors[0].contains("EMAIL_PROVIDERS=ses"), "{errors:?}");
}

#[test]
fn an_smtp_key_of_brevo_is_told_from_an_api_key() {
    let errors = Setup::new().env("BREVO_API_KEY", "xsmtpsib-1").errors();
    assert!(errors[0].contains("is an SMTP key"), "{errors:?}");
}
