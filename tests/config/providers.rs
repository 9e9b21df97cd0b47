//! Which providers there are, and in which order.

use mailferry::config::{Mode, ProviderKind, Purpose, QueueUrl};

use crate::{Setup, with_key};

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
          known here: resend, sendgrid, ses, mailgun, postmark, brevo, smtp, webhook, capture"]
    );
}

#[test]
fn a_server_token_in_the_environment_switches_postmark_on() {
    let loaded = Setup::new().env("POSTMARK_SERVER_TOKEN", "5f2c7a10").load();
    let postmark = &loaded.config.providers[0];
    assert_eq!((postmark.name.as_str(), postmark.kind), ("postmark", ProviderKind::Postmark));
    assert_eq!(postmark.api_key.expose(), "5f2c7a10");
    assert_eq!(loaded.warnings, Vec::<String>::new());

    // It stands behind SendGrid, and is asked for by the name that it has there.
    let setup = with_key().env("SENDGRID_API_KEY", "SG.x").env("POSTMARK_SERVER_TOKEN", "5f2c7a10");
    assert_eq!(setup.load().config.delivery.providers, ["resend", "sendgrid", "postmark"]);
    let errors = Setup::new().env("EMAIL_PROVIDERS", "postmark").errors();
    assert!(errors[0].contains("POSTMARK_SERVER_TOKEN"), "{errors:?}");
    let errors = with_key().toml("[providers.postmark]\nregion = 'eu'\napi_key = 'x'\n").errors();
    assert!(errors[0].contains("a provider of type postmark has no such setting"), "{errors:?}");
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
    assert_eq!(real.config.delivery.mode, Mode::Queue);
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
fn what_becomes_a_part_of_an_address_must_be_what_it_seems() {
    let mailgun = |key: &str, value: &str| {
        let setup = Setup::new().env("MAILGUN_API_KEY", "key-1");
        let domain = if key == "domain" { value } else { "mg.example.org" };
        let setup = setup.env("MAILGUN_DOMAIN", domain);
        let region = if key == "region" { value } else { "" };
        setup.env("MAILFERRY__PROVIDERS__MAILGUN__REGION", region)
    };
    assert_eq!(mailgun("region", "eu").load().config.providers[0].region.as_deref(), Some("eu"));
    assert_eq!(mailgun("region", "").load().config.providers[0].region, None);
    for (key, value) in [("region", "eu-west-1"), ("region", "EU"), ("domain", "mg.example.org/x")]
    {
        let errors = mailgun(key, value).errors();
        assert!(errors[0].contains(&format!("providers.mailgun.{key}")), "{errors:?}");
    }

    let webhook = |url: &str, secret: &str| {
        Setup::new()
            .env("MAILFERRY__PROVIDERS__WEBHOOK__URL", url)
            .env("MAILFERRY__PROVIDERS__WEBHOOK__SECRET", secret)
    };
    let (url, secret) = ("https://hooks.example.org/mail", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    assert_eq!(webhook(url, secret).load().config.providers[0].kind, ProviderKind::Webhook);
    for (url, secret, key) in [
        ("http://hooks.example.org/mail", secret, "url"),
        ("https://user:pw@hooks.example.org/", secret, "url"),
        (url, "short", "secret"),
        (url, "whsec_c2hvcnQ=", "secret"),
    ] {
        let errors = webhook(url, secret).errors();
        assert!(errors[0].contains(&format!("providers.webhook.{key}")), "{errors:?}");
        assert!(!errors[0].contains("c2hvcnQ") && !errors[0].contains("pw@"), "{errors:?}");
    }
}

#[test]
fn a_quota_is_a_number_of_recipients_and_0_is_none() {
    let none = with_key().load();
    let resend = &none.config.providers[0];
    assert_eq!((resend.daily_quota.0, resend.monthly_quota.0), (None, None));
    let loaded = with_key()
        .toml("[providers.resend]\ndaily_quota = 100\n")
        .env("MAILFERRY__PROVIDERS__RESEND__MONTHLY_QUOTA", "3000")
        .load();
    let resend = &loaded.config.providers[0];
    let quotas = [resend.daily_quota, resend.monthly_quota].map(|quota| quota.0.map(u64::from));
    assert_eq!(quotas, [Some(100), Some(3_000)]);
    for bad in ["-1", "'many'", "1.5"] {
        let errors =
            with_key().toml(&format!("[providers.resend]\ndaily_quota = {bad}\n")).errors();
        assert!(errors[0].contains("is not a whole number, 0 for none"), "{errors:?}");
    }
}
