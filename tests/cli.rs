//! The program as it is called: exit codes, and what is said.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on stops here, in its helpers as well"
)]

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread::JoinHandle;

use assert_cmd::Command;
use tempfile::TempDir;

/// The program in an empty folder with an empty environment.
struct Setup {
    folder: TempDir,
}

/// How it ended.
struct Ended {
    code: i32,
    out: String,
    err: String,
}

impl Setup {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn file(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).unwrap();
    }

    fn run(&self, args: &[&str], environment: &[(&str, &str)]) -> Ended {
        let output = Command::new(env!("CARGO_BIN_EXE_mailferry"))
            .env_clear()
            .envs(environment.iter().copied())
            .current_dir(self.folder.path())
            .args(args)
            .timeout(std::time::Duration::from_secs(60))
            .output()
            .unwrap();
        Ended {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

fn run(args: &[&str]) -> Ended {
    Setup::new().run(args, &[])
}

const KEY: (&str, &str) = ("RESEND_API_KEY", "re_secret_123");

#[test]
fn every_command_has_help_with_an_example() {
    for command in [
        &["serve"][..],
        &["dev"],
        &["check"],
        &["send"],
        &["queue"],
        &["queue", "list"],
        &["queue", "show"],
        &["queue", "retry"],
        &["queue", "cancel"],
        &["queue", "export"],
        &["health"],
        &["hash-password"],
        &["config"],
    ] {
        let args: Vec<&str> = command.iter().copied().chain(["--help"]).collect();
        let ended = run(&args);
        assert_eq!(ended.code, 0, "{command:?}");
        assert!(ended.out.contains("Example"), "{command:?}\n{}", ended.out);
        assert!(ended.out.contains("mailferry "), "{command:?}\n{}", ended.out);
        assert!(ended.out.contains("--config <FILE>"), "{command:?}\n{}", ended.out);
    }
    let help = run(&["--help"]).out;
    for command in ["serve", "dev", "check", "send", "queue", "health", "hash-password", "config"] {
        assert!(help.contains(&format!("\n  {command} ")), "{command}\n{help}");
    }
    assert!(help.contains("78 bad configuration"), "{help}");
    let version = run(&["--version"]);
    assert_eq!(
        (version.code, version.out.trim()),
        (0, concat!("mailferry ", env!("CARGO_PKG_VERSION")))
    );
}

#[test]
fn a_command_line_that_makes_no_sense_is_usage() {
    for (args, expected) in [
        (&["sevre"][..], "serve"),
        (&["send"], "--to"),
        (&["send", "--to", "nobody"], "local@domain"),
        (&["queue"], "list"),
        (&["queue", "cancel"], "<ID>"),
        (&["queue", "retry", "x", "--to", "nobody"], "local@domain"),
        (&["queue", "retry", "--failed", "--to", "ada@example.org"], "--to"),
        (&["queue", "retry", "x", "--failed"], "--failed"),
        (&["queue", "export"], "<ID|--all>"),
        (&["queue", "export", "--all"], "--directory"),
        (&["queue", "export", "x", "--state", "failed"], "--all"),
        (&["queue", "export", "x", "--output", "a", "--directory", "b"], "--directory"),
        (&["queue", "export", "x", "y"], "need --directory"),
        (&["queue", "export", "x", "--json"], "--json needs"),
        (&["queue", "list", "--state", "lost"], "queued, sending, delivered"),
        (&["queue", "list", "--limit", "0"], "1..=1000"),
        (&["health", "--url", "8025"], "http://127.0.0.1:8025"),
    ] {
        let ended = run(args);
        assert_eq!(ended.code, 2, "{args:?} {}", ended.err);
        assert!(ended.err.contains(expected), "{args:?} {}", ended.err);
        assert_eq!(ended.out, "");
    }
}

#[test]
fn serve_without_a_provider_names_the_ways_out() {
    for args in [&[][..], &["serve"]] {
        let ended = run(args);
        assert_eq!(ended.code, 78);
        for way in ["RESEND_API_KEY=", "[providers.resend]", "mailferry dev"] {
            assert!(ended.err.contains(way), "{}", ended.err);
        }
    }
}

#[test]
fn every_fault_of_the_configuration_is_shown_with_its_place() {
    let setup = Setup::new();
    setup.file("mailferry.toml", "[smtp]\nlisen = '127.0.0.1:1025'\nidle_timeout = 'long'\n");
    for command in ["serve", "dev", "config", "check", "health"] {
        let ended = setup.run(&[command], &[KEY, ("MAILFERRY__HTTP__LISTEN", "here")]);
        assert_eq!(ended.code, 78, "{command}");
        let said = format!("{}{}", ended.out, ended.err);
        for expected in [
            "smtp.lisen (mailferry.toml line 2): unknown key; did you mean smtp.listen?",
            "smtp.idle_timeout (mailferry.toml line 3): \"long\" is not a duration",
            "http.listen (MAILFERRY__HTTP__LISTEN): \"here\" is not an IP address with a port",
        ] {
            assert!(said.contains(expected), "{command}\n{said}");
        }
        assert!(!said.contains("re_secret"), "{said}");
    }
}

#[test]
fn a_file_that_is_named_must_be_there() {
    let ended = run(&["--config", "missing.toml", "config"]);
    assert_eq!(ended.code, 78);
    assert!(ended.err.contains("missing.toml: cannot be read"), "{}", ended.err);
}

#[test]
fn config_shows_every_value_with_its_origin_and_no_secret() {
    let setup = Setup::new();
    setup.file("other.toml", "[http]\ntoken = 'hunter2'\n[sender]\naddress = 'a@example.org'\n");
    let ended = setup.run(&["config", "--config", "other.toml"], &[KEY]);
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
    let line = |start: &str| {
        let line = ended.out.lines().find(|line| line.starts_with(start));
        line.unwrap_or_else(|| panic!("{start}\n{}", ended.out))
    };
    assert!(line("token = \"***\"").ends_with("# other.toml line 2"));
    assert!(line("api_key = \"***\"").ends_with("# RESEND_API_KEY"));
    assert!(line("address = \"a@example.org\"").ends_with("# other.toml line 4"));
    assert!(line("max_recipients = 1000").ends_with("# default"));
    assert!(!ended.out.contains("hunter2") && !ended.out.contains("re_secret"), "{}", ended.out);
}

#[test]
fn a_slip_in_a_name_is_a_warning() {
    let ended = Setup::new().run(&["config"], &[KEY, ("MAILFERRY_HTTP_TOKEN", "hunter2")]);
    assert_eq!(ended.code, 0);
    assert!(ended.err.contains("MAILFERRY__HTTP__TOKEN"), "{}", ended.err);
    assert!(!ended.err.contains("hunter2"), "{}", ended.err);
}

#[test]
fn check_prints_one_finding_per_line() {
    let setup = Setup::new();
    let ended = setup.run(&["check", "--offline"], &[KEY, ("SMTP_FROM_ADDRESS", "a@example.org")]);
    assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{}", ended.out);
    assert!(ended.out.lines().all(|line| line.starts_with("ok ")), "{}", ended.out);
    assert!(ended.out.contains("provider resend"), "{}", ended.out);
    assert_eq!(fs::read_dir(setup.folder.path()).unwrap().count(), 0, "a check leaves nothing");

    let open = [
        KEY,
        ("MAILFERRY__SMTP__LISTEN", "0.0.0.0:1025"),
        ("MAILFERRY__SMTP__TRUSTED_NETWORKS", "0.0.0.0/0"),
    ];
    let ended = setup.run(&["check", "--offline"], &open);
    assert_eq!(ended.code, 1);
    assert!(ended.out.contains("error    smtp: "), "{}", ended.out);
    assert!(ended.out.contains("warning  sender.address: not set"), "{}", ended.out);

    let ended = setup.run(&["check", "--offline"], &[]);
    assert_eq!(ended.code, 78);
    assert!(ended.out.contains("no email provider is configured"), "{}", ended.out);
    assert_eq!(ended.out.lines().count(), 1, "{}", ended.out);
}

/// Users, a route and TLS, with passwords of each kind.
const USERS: &str = "\
[smtp]
listen = ['127.0.0.1:1025', '0.0.0.0:2525']
listen_tls = '0.0.0.0:4650'
[smtp.tls]
self_signed = true
[[smtp.users]]
username = 'lemmy'
password = 'hunter2'
senders = ['*@example.org']
route = 'bulk'
[[smtp.users]]
username = 'ghost'
provider_options = false
password_file = 'ghost-password'
[[routes]]
name = 'bulk'
providers = ['sendgrid', 'resend']
[[routes]]
name = 'rest'
providers = ['resend']
";

#[test]
fn check_says_who_may_send_and_by_which_way() {
    let setup = Setup::new();
    setup.file("mailferry.toml", USERS);
    setup.file("ghost-password", "hunter3\n");
    let keys = [
        KEY,
        ("SENDGRID_API_KEY", "SG.1"),
        ("SMTP_FROM_ADDRESS", "a@example.org"),
        ("EMAIL_PROVIDERS", "resend"),
    ];
    let ended = setup.run(&["check", "--offline"], &keys);
    assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{}", ended.out);
    let warnings = ended.out.lines().filter(|line| line.starts_with("warning "));
    assert_eq!(warnings.count(), 1, "{}", ended.out);
    for expected in [
        "ok       provider sendgrid: sendgrid with a key",
        "ok       smtp: listens on 127.0.0.1:1025, for this machine only: anybody in smtp.trusted_networks may send, \
         everybody else must log in over TLS as lemmy, ghost\n",
        "ok       smtp: listens on 0.0.0.0:2525: anybody in smtp.trusted_networks may send",
        "ok       smtp: listens on 0.0.0.0:4650 (TLS): anybody in smtp.trusted_networks may send",
        "ok       tls: with a certificate that is made at the start",
        "warning  smtp.users: the password of lemmy stands in the configuration file as it is. Put there what \
         `mailferry hash-password` makes of it",
        "ok       user lemmy: may send as *@example.org, by route bulk (sendgrid, resend)\n",
        "ok       user ghost: may send as any address, by the first route that fits, else delivery.providers; its header fields that give a \
         provider orders (X-SMTPAPI, X-PM-Tag ...) do not count\n",
        "ok       route bulk: sendgrid, then resend, for mail of lemmy\n",
        "ok       route rest: resend, for all mail that no route before it takes\n",
    ] {
        assert!(ended.out.contains(expected), "{expected}\nis not in\n{}", ended.out);
    }
    assert!(!ended.out.contains("hunter"), "{}", ended.out);

    let required = USERS.replace("[smtp]\n", "[smtp]\nauth = 'required'\n");
    setup.file(
        "mailferry.toml",
        &required.replace("self_signed = true", "").replace("listen_tls", "#"),
    );
    let ended = setup.run(&["check", "--offline"], &keys);
    for expected in [
        "warning  smtp.listen: 0.0.0.0:2525 has no TLS, and a password from outside",
        "ok       smtp: listens on 0.0.0.0:2525: whoever logs in as lemmy, ghost may send, from \
         smtp.trusted_networks, as there is no TLS\n",
        "ok       tls: none",
    ] {
        assert!(ended.out.contains(expected), "{expected}\nis not in\n{}", ended.out);
    }
}

#[test]
fn check_looks_at_the_files_of_the_certificate() {
    let setup = Setup::new();
    setup.file("mailferry.toml", "[smtp.tls]\ncertificate = 'cert.pem'\nkey = 'key.pem'\n");
    let ended = setup.run(&["check", "--offline"], &[KEY]);
    assert_eq!(ended.code, 1, "{}", ended.out);
    assert!(ended.out.contains("error    smtp.tls.certificate: cert.pem"), "{}", ended.out);
}

#[test]
fn the_keys_of_clients_are_enough_to_check_and_not_to_send() {
    let setup = Setup::new();
    setup.file("mailferry.toml", "[smtp]\nauth = 'provider'\n[providers.resend]\nrate = '2/s'\n");
    let ended = setup.run(&["check"], &[("SMTP_FROM_ADDRESS", "a@example.org")]);
    assert_eq!(ended.code, 0, "{}", ended.out);
    for expected in [
        "ok       provider resend: without a key; says how the resend accounts that clients bring are used",
        "ok       smtp: listens on 127.0.0.1:1025, for this machine only: whoever logs in with the key of a \
         provider's account may send",
    ] {
        assert!(ended.out.contains(expected), "{expected}\nis not in\n{}", ended.out);
    }
    let ended = setup.run(&["send", "--to", "a@example.org", "--from", "b@example.org"], &[]);
    assert_eq!(ended.code, 1, "{}", ended.err);
    assert!(ended.err.contains("no provider"), "{}", ended.err);
}

#[test]
fn config_shows_users_and_routes_without_passwords() {
    let setup = Setup::new();
    setup.file("mailferry.toml", USERS);
    setup.file("ghost-password", "hunter3\n");
    let ended = setup.run(&["config"], &[KEY, ("SENDGRID_API_KEY", "SG.1")]);
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
    for expected in [
        "[[smtp.users]]\nusername = \"lemmy\"",
        "[[smtp.users]]\nusername = \"ghost\"",
        "[[routes]]\nname = \"bulk\"",
        "  # mailferry.toml line 8\n",
    ] {
        assert!(ended.out.contains(expected), "{expected}\nis not in\n{}", ended.out);
    }
    assert_eq!(ended.out.matches("password = \"***\"").count(), 2, "{}", ended.out);
    assert!(!ended.out.contains("hunter"), "{}", ended.out);
}

#[test]
fn a_password_from_a_pipe_becomes_a_hash_that_check_is_content_with() {
    let setup = Setup::new();
    let hash = |input: &str| {
        Command::new(env!("CARGO_BIN_EXE_mailferry"))
            .env_clear()
            .current_dir(setup.folder.path())
            .arg("hash-password")
            .write_stdin(input)
            .output()
            .unwrap()
    };
    let done = hash("hunter2\n");
    let text = String::from_utf8(done.stdout).unwrap();
    assert!(done.status.success() && done.stderr.is_empty());
    assert!(
        text.starts_with("$argon2id$v=19$m=19456,t=2,p=1$") && text.lines().count() == 1,
        "{text}"
    );
    assert_ne!(hash("hunter2\n").stdout, text.as_bytes(), "each has a salt of its own");

    let user = format!("[[smtp.users]]\nusername = 'lemmy'\npassword = '{}'\n", text.trim());
    setup.file("mailferry.toml", &user);
    let ended = setup.run(&["check", "--offline"], &[KEY, ("SMTP_FROM_ADDRESS", "a@example.org")]);
    assert_eq!(ended.code, 0, "{}", ended.out);
    assert!(!ended.out.contains("warning"), "{}", ended.out);

    for (input, reason) in
        [("", "the password is empty"), ("\n", "the password is empty"), ("a\nb\n", "line break")]
    {
        let refused = hash(input);
        assert_eq!(refused.status.code(), Some(1));
        assert!(refused.stdout.is_empty());
        assert!(String::from_utf8_lossy(&refused.stderr).contains(reason));
    }
}

#[test]
fn a_port_in_use_is_named_with_the_setting_to_change() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let free = "127.0.0.1:0";
    for (smtp, http, key) in
        [(address.as_str(), free, "smtp.listen"), (free, address.as_str(), "http.listen")]
    {
        let listen = [("MAILFERRY__SMTP__LISTEN", smtp), ("MAILFERRY__HTTP__LISTEN", http)];
        let ended = Setup::new().run(&["dev"], &listen);
        assert_eq!(ended.code, 1);
        let expected = format!("{key}: cannot listen on {address}: ");
        assert!(ended.err.contains(&expected), "{}", ended.err);
        assert!(ended.err.contains(&format!("set {key} to another port")), "{}", ended.err);
    }
}

#[test]
fn retry_wants_an_id_or_all_failed_ones() {
    let ended = run(&["queue", "retry"]);
    assert_eq!(ended.code, 2);
    assert!(ended.err.contains("<ID|--failed>"), "{}", ended.err);
}

#[test]
fn retry_wants_a_provider_that_is_configured() {
    for which in ["--failed", "01937b5e-8f00-7000-8000-000000000000"] {
        let retry = ["queue", "retry", which, "--provider", "resent"];
        let ended = Setup::new().run(&retry, &[KEY]);
        assert_eq!(ended.code, 2);
        let said = "no provider \"resent\"; did you mean resend? configured: resend";
        assert!(ended.err.contains(said), "{}", ended.err);
        let ended = Setup::new().run(&retry, &[]);
        assert_eq!(ended.code, 2);
        assert!(ended.err.contains("none is configured"), "{}", ended.err);
    }
}

#[test]
fn the_queue_command_makes_no_queue_where_there_is_none() {
    let setup = Setup::new();
    let ended = setup.run(&["queue", "list"], &[]);
    assert_eq!(ended.code, 1);
    assert!(ended.err.contains("there is no queue at mailferry.db"), "{}", ended.err);
    assert_eq!(fs::read_dir(setup.folder.path()).unwrap().count(), 0);
}

#[test]
fn send_needs_a_sender_and_a_known_provider() {
    let setup = Setup::new();
    let ended = setup.run(&["send", "--to", "ada@example.org"], &[KEY]);
    assert_eq!(ended.code, 2);
    assert!(ended.err.contains("--from"), "{}", ended.err);
    let args = ["send", "--to", "ada@example.org", "--from", "a@example.org", "--provider", "ses"];
    let ended = setup.run(&args, &[KEY]);
    assert_eq!(ended.code, 2);
    assert!(ended.err.contains("configured: resend"), "{}", ended.err);
}

/// A server that gives one answer.
fn server(answer: &'static str) -> (SocketAddr, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serving = std::thread::spawn(move || {
        let (mut connection, _) = listener.accept().unwrap();
        let mut request = vec![0; 4096];
        let read = connection.read(&mut request).unwrap();
        connection.write_all(answer.as_bytes()).unwrap();
        String::from_utf8_lossy(&request[..read]).into_owned()
    });
    (address, serving)
}

#[test]
fn health_is_what_the_server_says() {
    let healthy = "HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\n{\"status\":\"degraded\"}";
    let (address, serving) = server(healthy);
    let setup = Setup::new();
    // A proxy of the environment is not asked.
    let listen = address.to_string();
    let environment =
        [("MAILFERRY__HTTP__LISTEN", listen.as_str()), ("HTTP_PROXY", "http://127.0.0.1:1")];
    let ended = setup.run(&["health"], &environment);
    assert_eq!((ended.code, ended.out.as_str()), (0, "degraded\n"), "{}", ended.err);
    assert!(serving.join().unwrap().starts_with("GET /health HTTP/1.1\r\n"));

    let (address, serving) =
        server("HTTP/1.1 503 Unavailable\r\nContent-Length: 17\r\n\r\n{\"status\":\"down\"}");
    let ended = run(&["health", "--url", &format!("http://{address}")]);
    assert_eq!(ended.code, 1);
    assert!(ended.err.contains("answers 503") && ended.err.contains("down"), "{}", ended.err);
    serving.join().unwrap();

    let (address, serving) = server("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    let ended = run(&["health", "--url", &format!("http://{address}/")]);
    assert_eq!(ended.code, 1);
    assert!(ended.err.contains("is the port right"), "{}", ended.err);
    serving.join().unwrap();
}

#[test]
fn health_of_nobody_is_a_failure_that_says_why() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let ended = run(&["health", "--url", &format!("http://{free}")]);
    assert_eq!(ended.code, 1);
    assert!(ended.err.to_lowercase().contains("connection refused"), "{}", ended.err);
}
