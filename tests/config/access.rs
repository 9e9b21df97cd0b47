//! Who may send, and over what: what contradicts itself, and what is dangerous.

use std::time::Duration;

use mailferry::config::{AuthMode, ProviderKind, Purpose};

use crate::{Setup, shown, with_key};

const USER: &str = "[[smtp.users]]\nusername = 'lemmy'\npassword = 'x'\n";

fn error(toml: &str) -> String {
    let errors = with_key().toml(toml).errors();
    assert_eq!(errors.len(), 1, "{toml}\n{errors:#?}");
    errors.into_iter().next().unwrap()
}

fn warning(toml: &str) -> String {
    let warnings = with_key().toml(toml).load().warnings;
    assert_eq!(warnings.len(), 1, "{toml}\n{warnings:#?}");
    warnings.into_iter().next().unwrap()
}

#[test]
fn listeners_networks_and_certificates_reach_the_code() {
    let loaded = with_key()
        .toml(
            "[smtp]\nlisten = []\nlisten_tls = '0.0.0.0:465, [::]:465'\nproxy_networks = ['10.1.2.3']\n\
             [smtp.tls]\ncertificate = '/etc/mailferry/cert.pem'\nkey = 'key.pem'\nrequired = true\n",
        )
        .load();
    let smtp = &loaded.config.smtp;
    assert!(smtp.listen.is_empty());
    assert_eq!(smtp.listen_tls.len(), 2);
    assert_eq!(smtp.proxy_networks, ["10.1.2.3/32".parse().unwrap()]);
    let files = smtp.tls.files.as_ref().unwrap();
    assert_eq!(files.certificate.to_str(), Some("/etc/mailferry/cert.pem"));
    assert_eq!(files.key.to_str(), Some("key.pem"));
    assert!(smtp.tls.required && !smtp.tls.self_signed && smtp.tls.is_offered());
    assert_eq!(loaded.warnings, Vec::<String>::new());

    let loaded = with_key().env("MAILFERRY__SMTP__TLS__SELF_SIGNED", "true").load();
    assert!(loaded.config.smtp.tls.self_signed && loaded.config.smtp.tls.files.is_none());
    let loaded = with_key().toml("[smtp.tls]\ncertificate = ''\nkey = ''\n").load();
    assert!(!loaded.config.smtp.tls.is_offered());
}

#[test]
fn half_a_certificate_is_refused_with_the_missing_half() {
    for (lines, expected) in [
        ("certificate = 'a'", "smtp.tls.key: is missing: name the file with the private key"),
        ("key = 'a'", "smtp.tls.certificate: is missing: name the file with the certificate chain"),
        ("certificate = 'a'\nkey = ''", "smtp.tls.key (mailferry.toml line 3): is missing"),
        // Said once, not again for what needs the certificate.
        ("certificate = 'a'\nrequired = true", "smtp.tls.key: is missing"),
        (
            "certificate = 5\nkey = 'a'\nrequired = true",
            "smtp.tls.certificate (mailferry.toml line 2): is a number, expected the path",
        ),
    ] {
        let error = error(&format!("[smtp.tls]\n{lines}\n"));
        assert!(error.starts_with(expected), "{expected}\n{error}");
    }
}

#[test]
fn what_needs_a_certificate_says_how_to_have_one() {
    for (toml, key) in [
        ("[smtp.tls]\nrequired = true\n", "smtp.tls.required"),
        ("[smtp]\nlisten_tls = '127.0.0.1:465'\n", "smtp.listen_tls"),
    ] {
        let error = error(toml);
        assert!(
            error.starts_with(&format!("{key} (mailferry.toml line 2): needs a certificate")),
            "{error}"
        );
        assert!(
            error.contains("smtp.tls.certificate and smtp.tls.key, or smtp.tls.self_signed = true"),
            "{error}"
        );
    }
}

#[test]
fn a_certificate_of_ones_own_wins_over_a_self_signed_one() {
    let toml = "[smtp.tls]\ncertificate = 'a'\nkey = 'b'\nself_signed = true\n";
    assert!(warning(toml).starts_with("smtp.tls.self_signed is not used"));
    let loaded = with_key().toml(toml).load();
    assert!(!loaded.config.smtp.tls.self_signed && loaded.config.smtp.tls.files.is_some());
    assert_eq!(shown(&loaded, "smtp.tls.self_signed").value, "false");
}

#[test]
fn a_port_speaks_one_way_only() {
    let self_signed = "[smtp.tls]\nself_signed = true\n[smtp]\n";
    let both =
        error(&format!("{self_signed}listen = '127.0.0.1:465'\nlisten_tls = '127.0.0.1:465'\n"));
    assert!(
        both.starts_with(
            "smtp.listen_tls (mailferry.toml line 5): 127.0.0.1:465 is in smtp.listen as well"
        ),
        "{both}"
    );
    assert!(both.contains("choose another port"), "{both}");
    let twice = error("[smtp]\nlisten = ['127.0.0.1:25', '127.0.0.1:25']\n");
    assert!(twice.ends_with("names 127.0.0.1:25 twice"), "{twice}");
    // Port 0 is whichever is free.
    with_key()
        .toml(&format!("{self_signed}listen = '127.0.0.1:0'\nlisten_tls = '127.0.0.1:0'\n"))
        .load();
    let none = error("[smtp]\nlisten = []\n");
    assert!(
        none.ends_with("names no listener; at least one is needed here or in smtp.listen_tls"),
        "{none}"
    );
}

#[test]
fn auth_and_users_fit_each_other() {
    let required = error("[smtp]\nauth = 'required'\n");
    assert!(
        required.starts_with("smtp.auth (mailferry.toml line 2): \"required\" without users"),
        "{required}"
    );
    assert!(required.contains("add [[smtp.users]]"), "{required}");
    let provider = error(&format!("[smtp]\nauth = 'provider'\n{USER}"));
    assert!(provider.contains("remove the users, or set \"required\""), "{provider}");
    let off = warning(&format!("[smtp]\nauth = 'off'\n{USER}"));
    assert!(
        off.contains("smtp.auth is \"off\", so the users of smtp.users cannot log in"),
        "{off}"
    );
    for auth in ["auto", "required"] {
        let loaded = with_key().toml(&format!("[smtp]\nauth = '{auth}'\n{USER}")).load();
        assert_eq!(loaded.warnings, Vec::<String>::new());
    }
}

#[test]
fn passwords_of_strangers_need_tls() {
    let open = "[smtp]\nlisten = ['127.0.0.1:1025', '0.0.0.0:1025']\n";
    for toml in [
        format!("{open}{USER}"),
        format!("{open}auth = 'required'\n{USER}"),
        format!("{open}auth = 'provider'\n"),
    ] {
        let warning = warning(&toml);
        assert!(
            warning
                .starts_with("smtp.listen: 0.0.0.0:1025 has no TLS, and a password from outside"),
            "{warning}"
        );
        assert!(warning.contains("smtp.tls.self_signed = true"), "{warning}");
    }
    for toml in [
        open.to_owned(),
        format!("{open}auth = 'off'\n"),
        format!("[smtp.tls]\nself_signed = true\n{open}{USER}"),
        format!("[smtp]\nlisten = '[::1]:1025'\n{USER}"),
    ] {
        assert_eq!(with_key().toml(&toml).load().warnings, Vec::<String>::new(), "{toml}");
    }
}

#[test]
fn an_open_relay_is_pointed_out_loudly() {
    for network in ["0.0.0.0/0", "::/0", "0.0.0.0/1", "2000::/3"] {
        for key in ["trusted_networks", "proxy_networks"] {
            let warning = warning(&format!("[smtp]\n{key} = ['10.0.0.0/8', '{network}']\n"));
            assert!(
                warning.starts_with(&format!("OPEN RELAY: smtp.{key} has {network}")),
                "{warning}"
            );
        }
    }
    let required =
        warning(&format!("[smtp]\nauth = 'required'\ntrusted_networks = '0.0.0.0/0'\n{USER}"));
    assert!(required.contains("passwords are taken in plaintext from anybody"), "{required}");
    let fine = "[smtp]\nproxy_networks = ['203.0.113.0/24']\ntrusted_networks = ['198.51.100.0/24', 'fc00::/7']\n";
    assert_eq!(with_key().toml(fine).load().warnings, Vec::<String>::new());
}

#[test]
fn with_accounts_of_clients_nothing_has_to_be_configured() {
    let auth = || Setup::new().env("MAILFERRY__SMTP__AUTH", "provider");
    let loaded = auth().load();
    assert_eq!(loaded.config.smtp.auth, AuthMode::Provider);
    assert!(loaded.config.providers.is_empty() && loaded.config.delivery.providers.is_empty());
    let bare = loaded.config.template_for(ProviderKind::SendGrid);
    assert_eq!((bare.name.as_str(), bare.kind), ("sendgrid", ProviderKind::SendGrid));
    assert_eq!((bare.concurrency.get(), bare.timeout), (8, Duration::from_secs(30)));
    assert!(bare.api_key.is_empty() && bare.base_url.is_none() && bare.rate.is_none());

    let loaded = auth()
        .toml("[providers.resend]\nbase_url = 'https://example.org'\nrate = '2/s'\nconcurrency = 3\ntimeout = '5s'\n")
        .env("SENDGRID_API_KEY", "SG.1")
        .load();
    let config = &loaded.config;
    assert_eq!(config.delivery.providers, ["sendgrid"], "a template carries no mail of its own");
    let template = config.template_for(ProviderKind::Resend);
    assert_eq!(template.base_url.unwrap().as_str(), "https://example.org/");
    assert_eq!((template.rate.unwrap().calls, template.concurrency.get()), (2, 3));
    assert_eq!(template.timeout, Duration::from_secs(5));

    // Of a provider with a key, everything but the key.
    let loaded = auth()
        .toml("[providers.sendgrid]\napi_key = 'SG.1'\ntimeout = '5s'\n[providers.eu]\ntype = 'resend'\napi_key = 're_1'\ntimeout = '6s'\n")
        .load();
    let namesake = loaded.config.template_for(ProviderKind::SendGrid);
    assert_eq!(namesake.timeout, Duration::from_secs(5));
    assert!(namesake.api_key.is_empty());
    let other = loaded.config.template_for(ProviderKind::Resend);
    assert_eq!((other.name.as_str(), other.timeout), ("resend", Duration::from_secs(30)));
}

#[test]
fn a_template_is_one_only_where_accounts_are_brought() {
    let table = "[providers.resend]\nrate = '2/s'\n";
    let errors = Setup::new().toml(table).errors();
    assert!(errors[0].starts_with("providers.resend.api_key: is missing"), "{errors:?}");

    let auth = "[smtp]\nauth = 'provider'\n";
    for named in
        ["[delivery]\nproviders = 'resend'\n", "[[routes]]\nname = 'a'\nproviders = 'resend'\n"]
    {
        let errors = Setup::new().toml(&format!("{auth}{table}{named}")).errors();
        assert!(errors[0].starts_with("providers.resend.api_key: is missing"), "{errors:?}");
    }
    let errors =
        Setup::new().toml(&format!("{auth}[providers.ses]\nregion = 'eu-west-1'\n")).errors();
    assert!(errors[0].contains("access_key_id"), "SES takes no accounts of clients: {errors:?}");
    let errors =
        Setup::new().toml(&format!("{auth}{table}[providers.other]\ntype = 'resend'\n")).errors();
    assert!(errors[0].contains("has no api_key, like [providers."), "{errors:?}");
    let tool = Setup::new().toml(&format!("{auth}{table}")).load_for(Purpose::Tool).unwrap();
    assert_eq!(tool.config.templates.len(), 1);
    assert_eq!(tool.warnings, Vec::<String>::new());
}

#[test]
fn holding_mail_in_direct_mode_is_warned_about() {
    let words = warning("[delivery]\nmode = 'direct'\non_unclear = 'hold'\n");
    assert!(words.contains("delivery.on_unclear") && words.contains("direct mode"), "{words}");
}
