//! The files around the program: what they set is what it knows, and what they call is what it answers to.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use mailferry::cli::{Cli, Command};
use mailferry::config::{KEYS, Purpose};
use yaml_rust2::{Yaml, YamlLoader};

use crate::Setup;

pub(crate) fn shipped(name: &str) -> String {
    fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// The variables of a list of `NAME=VALUE`, those that are switched off with `#` included.
fn variables(text: &str) -> Vec<(String, String)> {
    let pairs = text.lines().filter_map(|line| line.trim_start_matches('#').split_once('='));
    let is_name = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_uppercase())
            && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
    };
    pairs
        .filter(|(name, _)| is_name(name))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// Asserts that the program takes each of the variables, and each with the value that is there.
fn assert_known(file: &str, variables: &[(String, String)]) {
    let mut setup = Setup::new();
    for (name, value) in variables {
        // A secret is given itself or as a file, not both; what is to be filled in has some value.
        if let Some(secret) = name.strip_suffix("_FILE") {
            assert!(
                variables.iter().any(|(other, _)| other == secret),
                "{file}: {name} is the file of nothing"
            );
            continue;
        }
        let value = if value.is_empty() { "x" } else { value };
        setup = setup.env(name, value);
    }
    let loaded = setup
        .load_for(Purpose::Tool)
        .unwrap_or_else(|errors| panic!("{file} is not usable:\n{errors}"));
    assert_eq!(loaded.warnings, Vec::<String>::new(), "{file}");
    for (name, _) in setup.environment {
        let known = loaded.effective.iter().any(|shown| shown.origin == name);
        assert!(known, "{file} sets {name}, which the program does not know");
    }
}

/// The command that a call of the program means.
fn called(file: &str, arguments: &[&str]) -> Command {
    let call = ["mailferry"].iter().chain(arguments).map(|argument| (*argument).into());
    let cli = Cli::read(call).unwrap_or_else(|_| panic!("{file} calls mailferry {arguments:?}"));
    cli.command.expect("a command is named")
}

#[test]
fn the_environment_example_names_only_variables_that_are_known() {
    let variables = variables(&shipped(".env.example"));
    assert!(variables.len() > 8, "only {} found", variables.len());
    assert_known(".env.example", &variables);
}

#[test]
fn the_environment_example_starts_once_its_key_is_filled_in() {
    let text = shipped(".env.example");
    let switched_on = text.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>();
    let names: Vec<_> = variables(&switched_on.join("\n"));
    assert_eq!(names, [("RESEND_API_KEY".to_owned(), String::new())]);
    Setup::new().env("RESEND_API_KEY", "re_1").load();
}

#[test]
fn the_compose_file_is_yaml_and_publishes_ports_on_this_machine_only() {
    let documents = YamlLoader::load_from_str(&shipped("docker-compose.yml")).unwrap();
    let [compose] = documents.as_slice() else { panic!("{} documents", documents.len()) };
    let service = &compose["services"]["mailferry"];
    let texts = |list: &Yaml| -> Vec<String> {
        let list = list.as_vec().expect("a list");
        list.iter().map(|item| item.as_str().expect("a text").to_owned()).collect()
    };
    assert_eq!(texts(&service["ports"]), ["127.0.0.1:1025:1025", "127.0.0.1:8025:8025"]);
    assert_eq!(service["env_file"].as_str(), Some(".env"));
    assert_eq!(service["read_only"].as_bool(), Some(true));

    // The volume that is mounted is declared, and it is the image's.
    assert_eq!(texts(&service["volumes"]), ["mailferry:/data"]);
    assert!(!compose["volumes"]["mailferry"].is_badvalue());

    let check = texts(&service["healthcheck"]["test"]);
    assert_eq!(check[..2], ["CMD", "/mailferry"]);
    let arguments: Vec<&str> = check[2..].iter().map(String::as_str).collect();
    assert!(matches!(called("docker-compose.yml", &arguments), Command::Health(_)));
}

#[test]
fn the_image_sets_known_variables_and_calls_known_commands() {
    let dockerfile = shipped("Dockerfile").replace("\\\n", "\n");
    let settings: String = dockerfile
        .lines()
        .map(|line| line.strip_prefix("ENV ").unwrap_or(line).trim())
        .filter(|line| line.starts_with("MAILFERRY__"))
        .map(|line| format!("{line}\n"))
        .collect();
    let settings = variables(&settings);
    assert_eq!(settings.len(), 3, "{settings:?}");
    assert_known("Dockerfile", &settings);

    assert!(dockerfile.contains("\nENTRYPOINT [\"/mailferry\"]\nCMD [\"serve\"]\n"));
    assert!(matches!(called("Dockerfile", &["serve"]), Command::Serve));
    assert!(dockerfile.contains(" CMD [\"/mailferry\", \"health\"]\n"));
    assert!(
        dockerfile.contains("\nUSER 10025:10025\n")
            && dockerfile.contains("\nVOLUME [\"/data\"]\n")
    );
}

#[test]
fn the_systemd_unit_calls_a_known_command_with_known_variables() {
    let unit = shipped("contrib/systemd/mailferry.service");
    let values = |key: &str| -> Vec<&str> {
        unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).collect()
    };
    let [call] = values("ExecStart")[..] else { panic!("one ExecStart") };
    let mut words = call.split_whitespace();
    assert_eq!(words.next(), Some("/usr/local/bin/mailferry"));
    let arguments: Vec<&str> = words.collect();
    assert!(matches!(called("mailferry.service", &arguments), Command::Serve));
    assert_known("mailferry.service", &variables(&values("Environment").join("\n")));
    // The exit code that restarting does not mend.
    assert_eq!(values("RestartPreventExitStatus"), ["78"]);
    // What the program tells systemd is of use only with it.
    assert_eq!(values("Type"), ["notify"]);
}

#[test]
fn the_systemd_socket_has_a_name_that_is_known_and_the_ports_of_the_example() {
    let unit = shipped("contrib/systemd/mailferry.socket");
    let values = |key: &str| -> Vec<&str> {
        unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).collect()
    };
    assert_eq!(values("FileDescriptorName"), ["smtp"]);
    assert_eq!(values("ListenStream"), ["127.0.0.1:1025", "[::1]:1025"]);
    assert_eq!(values("Accept"), [""; 0], "sockets that listen, not connections");
}

#[test]
fn the_pages_name_only_variables_and_settings_that_are_known() {
    for name in [
        "README.md",
        "config.example.toml",
        "SECURITY.md",
        "CONTRIBUTING.md",
        "docs/monitoring.md",
        "docs/operating.md",
        "docs/scale.md",
        "docs/security.md",
        "docs/sending.md",
        "docs/tls-and-auth.md",
    ] {
        let text = shipped(name);
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '.'));
        let words: BTreeSet<&str> = words.map(|word| word.trim_matches('.')).collect();
        for word in &words {
            let Some(rest) = word.strip_prefix("MAILFERRY__") else { continue };
            let setting = rest.to_lowercase().replace("__", ".");
            let setting = setting.strip_suffix("_file").unwrap_or(&setting);
            // What stands for any of them.
            if !matches!(setting, "" | "section.key") {
                assert!(is_setting(setting), "{name} speaks of {word}");
            }
        }
        for word in words {
            let section = word.split_once('.').map(|(section, _)| section);
            let sections = ["smtp", "http", "sender", "delivery", "queue", "log"];
            let host =
                word.starts_with("smtp.") && (word.ends_with(".com") || word.ends_with(".net"));
            if section.is_some_and(|section| sections.contains(&section)) && !host {
                assert!(is_setting(word), "{name} speaks of {word}");
            }
        }
    }
}

/// Whether this version has the setting, or a table of this name; `providers.resend.rate` is `providers.*.rate`,
/// `smtp.users.route` is `smtp.users.*.route`.
fn is_setting(path: &str) -> bool {
    // The file of a secret.
    if let Some(own) = path.strip_suffix("_file") {
        return KEYS.iter().any(|key| key.secret && key.path == own);
    }
    KEYS.iter().filter(|key| key.later.is_none()).any(|key| {
        let general = key.path.replace(".*", "");
        if general == path || general.strip_prefix(path).is_some_and(|rest| rest.starts_with('.')) {
            return true;
        }
        let (mut ours, mut theirs) = (key.path.split('.'), path.split('.'));
        loop {
            match (ours.next(), theirs.next()) {
                (None, None) => return true,
                (Some(ours), Some(theirs)) if ours == "*" || ours == theirs => {}
                _ => return false,
            }
        }
    })
}
