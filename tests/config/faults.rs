//! What is refused, and in which words.

use mailferry::config::{Purpose, QueueUrl, render};

use crate::{Setup, with_key};

#[test]
fn without_a_provider_the_ways_out_are_named() {
    let [message] = Setup::new().errors().try_into().expect("one error");
    for way in ["RESEND_API_KEY", "mailferry.toml", "mailferry dev"] {
        assert!(message.contains(way), "{message}");
    }
    assert!(Setup::new().load_for(Purpose::Tool).is_ok());
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
    assert_eq!(errors.len(), 1, "it is not also missing: {errors:?}");
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
    // An empty one is none.
    let setup = with_key();
    let token = setup.secret_file("token", "t");
    let toml = format!("[http]\ntoken_file = '{token}'\ntoken = ''\n");
    assert_eq!(setup.toml(&toml).load().config.http.token.expose(), "t");

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
        format!("[queue]\nurl = 'postgres://user:{secret}@host/db?sslmod=require'\n"),
        format!("[queue]\nurl = 'postgres://user:{secret}%@host/db'\n"),
        format!("[queue]\nurl = 'postgres://user:{secret}?/@host/db'\n"),
        format!("[queue]\nseal_key = '{secret}'\n"),
        format!("[[smtp.users]]\npassword = '{secret}'\n"),
        format!("[[smtp.users]]\nusername = 'lemmy'\npassword = {secret}\n"),
        format!("[[smtp.users]]\nusername = 'lemmy'\npassword = ['{secret}']\n"),
        format!("[[smtp.users]]\nusername = 'lemmy'\npassword = \"{secret}\\n\"\n"),
        format!("[[smtp.users]]\nusername = 'lemmy'\npassword = '$argon2id${secret}'\n"),
        format!("[[smtp.users]]\nusername = 'lemmy'\npassword = '$2b$12${secret}'\n"),
        format!("[[smtp.users]]\nusername = 'lemmy'\npassword = '{{SSHA}}{secret}'\n"),
        format!("[[smtp.users]]\nusername = 'lemmy'\npasswort = '{secret}'\n"),
        format!("[smtp]\nusers = ['lemmy:{secret}']\n"),
        format!("[smtp]\nusers = '{secret}'\n"),
        format!("[smtp.users.lemmy]\npassword = '{secret}'\n"),
        format!("[http]\ntoken = {{ value = '{secret}' }}\n"),
        format!("[delivery]\non_failure_webhook = 'https://example.org/{secret}'\n"),
        format!("[delivery]\non_failure_webhook = 'https://user:{secret}@example.org/'\n"),
        format!("[delivery]\non_failure_webhook_secret = '{secret}'\n"),
    ] {
        let errors = with_key().toml(&toml).load_for(Purpose::Serve).expect_err(&toml);
        let text = format!("{errors} {errors:?}");
        assert!(!text.contains(secret), "{toml}\n{text}");
        assert!(text.contains("mailferry.toml line"), "{text}");
    }
}

#[test]
fn a_queue_for_several_instances_must_be_complete() {
    let url = "[queue]\nurl = 'postgres://mail@db1,db2/queue'\n";
    let accounts = "[smtp]\nauth = 'provider'\n";
    let errors = with_key().toml(&format!("{url}{accounts}")).errors();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].starts_with("queue.seal_key"), "{errors:?}");
    assert!(errors[0].contains("openssl rand -base64 32"), "{errors:?}");
    let key = "seal_key = 'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA='\n";
    with_key().toml(&format!("{url}{key}{accounts}")).load();
    let typo =
        with_key().toml("[queue]\nurl = 'postgres://db/x?target_sesion_attrs=any'\n").errors();
    assert!(typo[0].contains("did you mean target_session_attrs?"), "{typo:?}");
    let typo = "[queue]\nurl = 'postgres://db/x?sslmod=require'\npassword = 'pw'\n";
    let refused = with_key().toml(typo).load_for(Purpose::Serve).unwrap_err();
    assert_eq!(refused.warnings, Vec::<String>::new(), "the URL is no file's");
    let short = with_key().toml("[queue]\nseal_key = 'AAAA'\n").errors();
    assert!(short[0].contains("is not the base64 of 32 octets"), "{short:?}");
    let soon = with_key().toml("[queue]\ntakeover_after = '500ms'\n").errors();
    assert!(soon[0].contains("must be from 1s to 10m"), "{soon:?}");
}

#[test]
fn the_password_of_the_queue_shows_nowhere() {
    let url = "url = 'postgres://mail:hunter2@db/queue'\n";
    for toml in [
        format!("[queue]\n{url}"),
        "[queue]\nurl = 'postgres://mail@db/queue?password=hunter2'\n".to_owned(),
        format!("[queue]\n{url}password = 'hunter2'\n"),
    ] {
        let loaded = with_key().toml(&toml).load();
        let text = format!("{} {loaded:?}", render(&loaded.effective));
        assert!(!text.contains("hunter2"), "{text}");
        let QueueUrl::Postgres(url) = &loaded.config.queue.url else { panic!("{toml}") };
        assert_eq!(url.password.expose(), "hunter2");
    }
    let both = with_key().toml(&format!("[queue]\n{url}password = 'wins'\n")).load();
    let QueueUrl::Postgres(url) = &both.config.queue.url else { panic!() };
    assert_eq!(url.password.expose(), "wins");
}

#[test]
fn senseless_combinations_are_refused() {
    for (toml, expected) in [
        ("[smtp]\nlisten = []\n", "smtp.listen (mailferry.toml line 2): names no listener"),
        ("[smtp]\nmax_message_size = '1'\n", "must be between 1 KiB and 1 GiB"),
        ("[smtp]\nmax_message_size = '2 GiB'\n", "must be between 1 KiB and 1 GiB"),
        ("[smtp]\ntrusted_networks = ['10.0.0.0/99']\n", "\"10.0.0.0/99\" is not a network"),
        (
            "[delivery]\non_failure_webhook = 'https://x.example'\n",
            "delivery.on_failure_webhook_secret (mailferry.toml line 2): is not set",
        ),
        (
            "[delivery]\non_failure_webhook = 'http://x.example'\n",
            "delivery.on_failure_webhook (mailferry.toml line 2): must be https://",
        ),
        (
            "[delivery]\non_failure_webhook_secret = 'whsec_c2VjcmV0'\n",
            "is of no use without delivery.on_failure_webhook",
        ),
        (
            "[delivery]\non_failure_webhook = 'https://x.example'\non_failure_webhook_secret = 'whsec_c2VjcmV0'\n",
            "must have 24 to 64 octets",
        ),
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
