//! The example file, and every other configuration in the repository.

use std::fs;
use std::path::PathBuf;

use mailferry::config::{KEYS, Layer, ProviderKind, Purpose};

use crate::{Setup, shown, with_key};

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
            // `[[smtp.users]]` is a table as well.
            name.trim_matches(['[', ']']).clone_into(&mut table);
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
    // A route needs its providers.
    let provider = |table: &str| table.starts_with("providers.") || table == "routes";
    let tool = |toml: &str| Setup::new().toml(toml).load_for(Purpose::Tool).unwrap();

    // Everything but providers, against the bare defaults.
    let named = tool(&example(|table| !provider(table)));
    let lists = named.clone();
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
    for key in KEYS.iter().filter(|key| key.later.is_none()) {
        let Some((list, name)) =
            key.path.split_once(".*.").filter(|(list, _)| *list != "providers")
        else {
            continue;
        };
        let loaded = if list == "routes" { &named } else { &lists };
        let ours = shown(loaded, &format!("{list}[0].{name}"));
        assert_eq!(ours.layer, Layer::File, "config.example.toml does not name {}", key.path);
        // What an item cannot do without has no default.
        let needed = ["username", "password", "name", "providers"].contains(&name);
        assert!(needed || ours.value == key.default, "the default of {} is another", key.path);
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
        assert!(!text.contains(&setting), "{}", key.path);
    }
}

#[test]
fn nobody_can_log_in_as_the_user_of_the_example() {
    let loaded = Setup::new().toml(&example(|_| true)).load_for(Purpose::Tool).unwrap();
    let [user] = loaded.config.smtp.users.as_slice() else { panic!("one user") };
    // All zeros: no password is known to have this hash, and none will be found.
    let salt_and_hash = user.password.expose().rsplit('$').take(2);
    assert!(salt_and_hash.flat_map(str::chars).all(|c| c == 'A'));
}

#[test]
fn every_key_is_read_by_someone() {
    let mut seen: Vec<String> = Vec::new();
    let named = Setup::new().toml(&example(|_| true)).load_for(Purpose::Tool).unwrap();
    for shown in named.effective {
        let key = shown.key.replace("[0]", ".*");
        let mut parts: Vec<&str> = key.split('.').collect();
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
