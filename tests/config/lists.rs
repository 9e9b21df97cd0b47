//! Users and routes: lists of tables, in the file and in the environment.

use std::time::Instant;

use mailferry::config::{Layer, Purpose, SenderPattern, render};

use crate::{Setup, shown, with_key};

const USERS: &str = "\
[[smtp.users]]
username = 'lemmy'
password = 'hunter2'
senders = ['*@example.org', 'ada@example.com']
route = 'bulk'

[[smtp.users]]
username = 'ghost'
password = 'hunter3'

[[routes]]
name = 'bulk'
providers = ['sendgrid', 'resend']
";

/// A hash as `mailferry hash-password` makes it.
const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZSBzYWx0IGhlcmU$\
                    Zmlyc3QgdGhpcnR5LXR3byBvY3RldHMgb2YgaXQhISE";

fn user(number: usize, key: &str) -> String {
    format!("MAILFERRY__SMTP__USERS__{number}__{key}")
}

fn with_keys() -> Setup {
    with_key().env("SENDGRID_API_KEY", "SG.1")
}

/// The first error of a file in which line 1 begins a table.
fn error(toml: &str) -> String {
    let errors = with_keys().toml(toml).errors();
    assert_eq!(errors.len(), 1, "{toml}\n{errors:#?}");
    errors.into_iter().next().unwrap()
}

#[test]
fn users_and_routes_are_read_from_the_file() {
    let loaded = with_keys().toml(USERS).load();
    let [lemmy, ghost] = loaded.config.smtp.users.as_slice() else { panic!("two users") };
    assert_eq!((lemmy.username.as_str(), lemmy.password.expose()), ("lemmy", "hunter2"));
    assert_eq!(
        lemmy.senders,
        [
            SenderPattern::Domain("example.org".to_owned()),
            SenderPattern::Address("ada@example.com".parse().unwrap()),
        ]
    );
    assert_eq!(lemmy.route.as_deref(), Some("bulk"));
    assert_eq!((ghost.username.as_str(), ghost.route.as_deref()), ("ghost", None));
    assert!(ghost.senders.is_empty());
    let [bulk] = loaded.config.routes.as_slice() else { panic!("one route") };
    assert_eq!(bulk.name, "bulk");
    assert_eq!(bulk.providers, ["sendgrid", "resend"]);
    assert_eq!(loaded.config.delivery.providers, ["resend", "sendgrid"]);
    assert_eq!(loaded.warnings, Vec::<String>::new());
}

#[test]
fn the_other_spelling_of_a_list_is_the_same() {
    let inline = "smtp.users = [{ username = 'lemmy', password = 'x' },\n\
                  { username = 'ghost', password = '$2b$' }]\n\
                  routes = [{ name = 'bulk', providers = 'resend' }]\n";
    let errors = with_key().toml(inline).errors();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(
        errors[0].starts_with("smtp.users[1].password (mailferry.toml line 2): "),
        "{errors:?}"
    );
    let loaded = with_key().toml(&inline.replace("$2b$", "y")).load();
    assert_eq!(loaded.config.smtp.users.len(), 2);
    assert_eq!(loaded.config.routes[0].providers, ["resend"]);
    assert!(
        with_key().toml("routes = []\n[smtp]\nusers = []\n").load().config.smtp.users.is_empty()
    );
}

#[test]
fn users_and_routes_are_read_from_the_environment() {
    let setup = with_key();
    let password = setup.secret_file("ghost", "0012345\n");
    let mut setup = setup
        .env(&user(0, "USERNAME"), "lemmy")
        .env(&user(0, "PASSWORD"), HASH)
        .env(&user(0, "SENDERS"), "*@example.org, ada@example.com")
        .env(&user(0, "ROUTE"), "bulk")
        .env("MAILFERRY__ROUTES__0__NAME", "bulk")
        .env("MAILFERRY__ROUTES__0__PROVIDERS", "resend")
        // An empty variable is unset, and makes no user.
        .env(&user(12, "USERNAME"), "");
    for number in 1..12 {
        setup = setup
            .env(&user(number, "USERNAME"), &format!("ghost{number}"))
            .env(&user(number, "PASSWORD_FILE"), &password);
    }
    let loaded = setup.load();
    let users = &loaded.config.smtp.users;
    let names: Vec<&str> = users.iter().map(|user| user.username.as_str()).collect();
    assert_eq!(names[..3], ["lemmy", "ghost1", "ghost2"]);
    assert_eq!(names[9..], ["ghost9", "ghost10", "ghost11"]);
    assert_eq!(users[0].password.expose(), HASH);
    assert_eq!(users[0].senders.len(), 2);
    assert_eq!(users[1].password.expose(), "0012345");
    assert_eq!(loaded.config.routes[0].providers, ["resend"]);

    let secret = shown(&loaded, "smtp.users[1].password");
    assert_eq!(secret.origin, "MAILFERRY__SMTP__USERS__1__PASSWORD_FILE");
    assert_eq!(
        (secret.layer, secret.value.as_str(), secret.own_file),
        (Layer::Own, "\"***\"", true)
    );
    assert!(!shown(&loaded, "smtp.users[0].password").own_file);
}

#[test]
fn a_list_in_the_environment_replaces_that_of_the_file_as_a_whole() {
    let setup = || with_keys().toml(USERS).env(&user(0, "USERNAME"), "ada");
    let loaded = setup().env(&user(0, "PASSWORD"), "hunter4").load();
    let [ada] = loaded.config.smtp.users.as_slice() else { panic!("one user") };
    assert_eq!((ada.username.as_str(), ada.password.expose()), ("ada", "hunter4"));
    // Nothing of the file's first user has become Ada's.
    assert!(ada.senders.is_empty() && ada.route.is_none());
    assert_eq!(loaded.config.routes.len(), 1, "the other list is not touched");
    let [warning] = loaded.warnings.try_into().expect("one warning");
    for expected in [
        "smtp.users: ",
        "mailferry.toml line 1 and ",
        "mailferry.toml line 7",
        "MAILFERRY__SMTP__USERS__0__",
    ] {
        assert!(warning.contains(expected), "{warning}");
    }

    // Whoever meant to add a password to a user of the file learns what is the matter.
    let errors = with_keys()
        .toml(USERS)
        .env(&user(0, "PASSWORD"), "x")
        .load_for(Purpose::Serve)
        .unwrap_err();
    assert!(errors.warnings[0].contains("replaces it as a whole"), "{errors:?}");
    assert_eq!(
        errors.to_string(),
        "smtp.users[0].username (MAILFERRY__SMTP__USERS__0__PASSWORD): is missing: every user needs a name"
    );
}

#[test]
fn items_of_the_environment_have_no_gaps() {
    let errors = with_key()
        .env(&user(0, "USERNAME"), "a")
        .env(&user(0, "PASSWORD"), "b")
        .env(&user(2, "USERNAME"), "c")
        .env(&user(2, "PASSWORD"), "d")
        .errors();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].starts_with("smtp.users[2] (MAILFERRY__SMTP__USERS__2__"), "{errors:?}");
    assert!(
        errors[0]
            .ends_with("there is no smtp.users[1] before it; number them 0, 1, 2 without gaps"),
        "{errors:?}"
    );

    for (name, expected) in [
        (
            "MAILFERRY__SMTP__USERS__LEMMY__PASSWORD",
            "did you mean MAILFERRY__SMTP__USERS__0__PASSWORD?",
        ),
        (
            "MAILFERRY__SMTP__USERS__00__PASSWORD",
            "did you mean MAILFERRY__SMTP__USERS__0__PASSWORD?",
        ),
        ("MAILFERRY__SMTP__USERS__3__PASWORD", "did you mean MAILFERRY__SMTP__USERS__3__PASSWORD?"),
        ("MAILFERRY__SMTP__USERS__PASSWORD", "did you mean MAILFERRY__SMTP__USERS__0__PASSWORD?"),
        (
            "MAILFERRY__SMTP__USERS",
            "is a list: give the parts of each item, as in MAILFERRY__SMTP__USERS__0__",
        ),
        (
            "MAILFERRY__ROUTES",
            "is a list: give the parts of each item, as in MAILFERRY__ROUTES__0__",
        ),
        ("MAILFERRY__ROUTES__0", "is a section, not a value"),
    ] {
        let errors = with_key().env(name, "x").errors();
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].contains(name) && errors[0].contains(expected), "{expected}\n{errors:?}");
    }
    let slip = with_key().env("MAILFERRY_SMTP_USERS_0_PASSWORD", "x").load().warnings;
    assert!(slip[0].contains("MAILFERRY__SMTP__USERS__0__PASSWORD"), "{slip:?}");
}

#[test]
fn every_fault_of_a_user_names_it_and_its_line() {
    for (lines, expected) in [
        ("password = 'x'", "username (mailferry.toml line 1): is missing"),
        ("username = 'a'", "password (mailferry.toml line 1): is missing; set password"),
        ("username = ''\npassword = 'x'", "username (mailferry.toml line 2): is missing"),
        ("username = 'a'\npassword = ''", "password (mailferry.toml line 3): is missing"),
        (
            "username = \"a\\u0000\"\npassword = 'x'",
            "username (mailferry.toml line 2): \"a\\0\" is not text on one line",
        ),
        (
            "username = 5\npassword = 'x'",
            "username (mailferry.toml line 2): is a number, expected text",
        ),
        (
            "username = 'a'\npassword = 5",
            "password (mailferry.toml line 3): is integer; write it as text, in quotes",
        ),
        (
            "username = 'a'\npassword = \"x\\ny\"",
            "password (mailferry.toml line 3): contains a line break",
        ),
        (
            "username = 'a'\npassword = '$argon2id$v=19'",
            "password (mailferry.toml line 3): begins like an argon2 hash and is none",
        ),
        (
            "username = 'a'\npassword = '$2b$12$x'",
            "password (mailferry.toml line 3): begins like a bcrypt hash and is none",
        ),
        (
            "username = 'a'\npassword = '$6$a$b'",
            "password (mailferry.toml line 3): begins like a hash of a kind that is not known here",
        ),
        (
            "username = 'a'\npassword_file = '/nowhere/a'",
            "password (mailferry.toml line 3): the file \"/nowhere/a\" cannot be read",
        ),
        (
            "username = 'a'\npassword = 'x'\nsenders = 'example.org'",
            "senders (mailferry.toml line 4): \"example.org\" is not an address such as \"ada@example.org\", or a whole domain such as \"*@example.org\"",
        ),
        (
            "username = 'a'\npassword = 'x'\nsenders = ['*@*.org']",
            "senders (mailferry.toml line 4): \"*@*.org\" is not an address such as",
        ),
        (
            "username = 'a'\npassword = 'x'\nsenders = ['*']",
            "senders (mailferry.toml line 4): \"*\" is not an address such as",
        ),
        (
            "username = 'a'\npassword = 'x'\nroute = 'bulk'",
            "route (mailferry.toml line 4): \"bulk\" is not the name of a route; there are no [[routes]]",
        ),
        (
            "username = 'a'\npassword = 'x'\nusrname = 'b'",
            "usrname (mailferry.toml line 4): unknown key; did you mean smtp.users[0].username?",
        ),
        (
            "username = 'a'\npassword = 'x'\nsender = 'b'",
            "sender (mailferry.toml line 4): unknown key; did you mean smtp.users[0].senders?",
        ),
    ] {
        let error = error(&format!("[[smtp.users]]\n{lines}\n"));
        assert!(error.starts_with(&format!("smtp.users[0].{expected}")), "{expected}\n{error}");
    }
    let long = format!("[[smtp.users]]\nusername = '{}'\npassword = 'x'\n", "a".repeat(256));
    assert!(error(&long).ends_with("must not be longer than 255 octets"));
    let long = format!("[[smtp.users]]\nusername = 'a'\npassword = '{}'\n", "x".repeat(1025));
    assert!(error(&long).ends_with("must not be longer than 1024 octets"));
}

#[test]
fn a_password_is_given_itself_or_as_a_file() {
    let setup = with_key();
    let file = setup.secret_file("lemmy", "x\n");
    let user = format!("[[smtp.users]]\nusername = 'a'\npassword_file = '{file}'\n");
    let setup = setup.toml(&user);
    let loaded = setup.load();
    assert_eq!(loaded.config.smtp.users[0].password.expose(), "x");
    assert!(shown(&loaded, "smtp.users[0].password").own_file);
    let errors = setup.toml(&format!("{user}password = 'y'\n")).errors();
    assert_eq!(
        errors,
        ["smtp.users[0].password (mailferry.toml line 3 and mailferry.toml line 4): \
          is given both itself and as a file; keep one of them"]
    );
}

#[test]
fn all_faults_of_all_users_are_found() {
    let errors = with_keys()
        .toml(
            "[[smtp.users]]\nusername = 'a'\npassword = 'x'\n\
             [[smtp.users]]\nusername = 'a'\npassword = '$2b$'\nroute = 'blk'\n\
             [[smtp.users]]\n\
             [[routes]]\nname = 'bulk'\nproviders = ['sengrid']\n",
        )
        .errors();
    let all = errors.join("\n");
    for expected in [
        "smtp.users[1].username (mailferry.toml line 5): another user has the name \"a\" already",
        "smtp.users[1].password (mailferry.toml line 6): begins like a bcrypt hash",
        "smtp.users[1].route (mailferry.toml line 7): \"blk\" is not the name of a route; routes here: bulk",
        "smtp.users[2].username (mailferry.toml line 8): is missing",
        "smtp.users[2].password (mailferry.toml line 8): is missing",
        "MAILFERRY__SMTP__USERS__2__PASSWORD_FILE",
        "routes[0].providers (mailferry.toml line 11): \"sengrid\" is not the name of a provider; known here: resend, sendgrid",
    ] {
        assert!(all.contains(expected), "{expected}\nis not in\n{all}");
    }
    assert_eq!(errors.len(), 6, "{all}");
}

#[test]
fn every_fault_of_a_route_names_it_and_its_line() {
    for (lines, expected) in [
        ("providers = 'resend'", "name (mailferry.toml line 1): is missing"),
        (
            "name = 'Bulk Mail'\nproviders = 'resend'",
            "name (mailferry.toml line 2): a route's name is made of",
        ),
        ("name = 'bulk'", "providers (mailferry.toml line 1): names no provider"),
        ("name = 'bulk'\nproviders = []", "providers (mailferry.toml line 3): names no provider"),
        (
            "name = 'bulk'\nproviders = ['resend', 'resend']",
            "providers (mailferry.toml line 3): names \"resend\" twice",
        ),
        (
            "name = 'bulk'\nproviders = 'sengrid'",
            "providers (mailferry.toml line 3): \"sengrid\" is not the name of a provider",
        ),
        (
            "name = 'bulk'\nproviders = 'resend'\nprovider = 'ses'",
            "provider (mailferry.toml line 4): unknown key; did you mean routes[0].providers?",
        ),
        (
            "name = 'bulk'\nproviders = 'resend'\n[[routes]]\nname = 'bulk'\nproviders = 'resend'",
            "",
        ),
    ] {
        let error = error(&format!("[[routes]]\n{lines}\n"));
        if expected.is_empty() {
            assert!(
                error.starts_with(
                    "routes[1].name (mailferry.toml line 5): another route has the name"
                ),
                "{error}"
            );
        } else {
            assert!(error.starts_with(&format!("routes[0].{expected}")), "{expected}\n{error}");
        }
    }
}

#[test]
fn a_list_has_double_brackets() {
    for (toml, expected) in [
        (
            "[smtp.users]\nusername = 'a'\n",
            "smtp.users (mailferry.toml line 1): is a list of tables: begin each with [[smtp.users]]",
        ),
        (
            "[routes]\nname = 'a'\n",
            "routes (mailferry.toml line 1): is a list of tables: begin each with [[routes]]",
        ),
        ("[routes.bulk]\nproviders = 'resend'\n", "begin each with [[routes]]"),
        ("routes = 'bulk'\n", "begin each with [[routes]]"),
        ("routes = ['bulk']\n", "routes[0] (mailferry.toml line 1): is not a table"),
        (
            "[[smtp.user]]\nusername = 'a'\n",
            "smtp.user (mailferry.toml line 1): unknown key; did you mean smtp.users?",
        ),
        (
            "[[route]]\nname = 'a'\n",
            "route (mailferry.toml line 1): unknown key; did you mean routes?",
        ),
    ] {
        let error = error(toml);
        assert!(error.contains(expected), "{expected}\n{error}");
    }
}

#[test]
fn naming_a_provider_in_a_route_is_enough_to_have_it() {
    let route = "[[routes]]\nname = 'bulk'\nproviders = ['ses']\n";
    let setup =
        || with_key().toml(route).env("AWS_ACCESS_KEY_ID", "A").env("AWS_SECRET_ACCESS_KEY", "b");
    let loaded = setup().env("AWS_REGION", "eu-west-1").load();
    assert_eq!(loaded.config.providers[1].name, "ses");
    assert_eq!(loaded.config.delivery.providers, ["resend", "ses"]);
    // Where the order is named, the route's provider stays the route's.
    let loaded = setup().env("AWS_REGION", "eu-west-1").env("EMAIL_PROVIDERS", "resend").load();
    assert_eq!(loaded.config.delivery.providers, ["resend"]);
    assert_eq!(loaded.config.providers.len(), 2);
    let errors = setup().errors();
    assert!(errors[0].starts_with("providers.ses.region: is missing"), "{errors:?}");
}

#[test]
fn users_and_routes_are_shown_as_toml_without_passwords() {
    let loaded = with_keys().toml(USERS).load();
    let text = render(&loaded.effective);
    assert!(
        !text.contains("hunter") && !format!("{:?}", loaded.config).contains("hunter"),
        "{text}"
    );
    let position =
        |part: &str| text.find(part).unwrap_or_else(|| panic!("{part} is not in\n{text}"));
    let lemmy = position("[[smtp.users]]\nusername = \"lemmy\"");
    let ghost = position("[[smtp.users]]\nusername = \"ghost\"");
    assert!(
        position("[smtp.tls]") < lemmy && lemmy < ghost && ghost < position("[http]"),
        "{text}"
    );
    assert!(position("[[routes]]\nname = \"bulk\"") < position("[log]"), "{text}");
    let line = |start: &str| text.lines().find(|line| line.starts_with(start)).unwrap();
    assert!(
        line("senders = [\"*@example.org\", \"ada@example.com\"]")
            .ends_with("mailferry.toml line 4")
    );
    assert!(line("password = \"***\"").ends_with("mailferry.toml line 3"));

    // It says of itself what it means.
    let again = Setup::new().toml(&text.replace("\"***\"", "\"x\"")).load();
    assert_eq!(again.config.routes, loaded.config.routes);
    assert_eq!(again.config.smtp.users[0].senders, loaded.config.smtp.users[0].senders);
}

#[test]
fn dev_sends_by_no_route_and_takes_no_account() {
    let purpose = Purpose::Dev { queue: "/tmp/dev.db".into() };
    let loaded = with_keys().toml(USERS).load_for(purpose.clone()).unwrap();
    assert_eq!(loaded.config.smtp.users.len(), 2);
    assert_eq!(loaded.config.routes[0].providers, ["capture"]);
    assert_eq!(shown(&loaded, "routes[0].providers").origin, "mailferry dev");

    let loaded = Setup::new().toml("[smtp]\nauth = 'provider'\n").load_for(purpose).unwrap();
    assert_eq!(shown(&loaded, "smtp.auth").value, "\"auto\"");
}

#[test]
fn the_longest_list_loads_in_a_moment_and_a_longer_one_is_refused() {
    use std::fmt::Write;

    let mut toml = String::new();
    for number in 0..1_000 {
        writeln!(
            toml,
            "[[smtp.users]]\nusername = 'user{number}'\npassword = 'x'\nsenders = 'a@example.org'"
        )
        .unwrap();
    }
    #[expect(clippy::disallowed_methods, reason = "what is measured is the machine's time")]
    let started = Instant::now();
    assert_eq!(with_key().toml(&toml).load().config.smtp.users.len(), 1_000);
    // A quadratic loader would take minutes.
    assert!(started.elapsed().as_secs() < 30, "{:?}", started.elapsed());
    toml.push_str("[[smtp.users]]\nusername = 'one too many'\npassword = 'x'\n");
    let errors = with_key().toml(&toml).errors();
    assert_eq!(
        errors,
        ["smtp.users[1000] (mailferry.toml line 4001): is one too many: 1000 are allowed"]
    );
}
