//! The files for several instances: what they give each instance is a whole configuration, what they name is there, and those
//! who know their formats find no fault.

use std::path::{Path, PathBuf};
use std::process::Command;

use mailferry::config::Purpose;
use yaml_rust2::{Yaml, YamlLoader};

use crate::shipped::shipped;
use crate::skip::skip;
use crate::{Setup, with_key};

const COMPOSE: &str = "docker-compose.scale.yml";
const INSTANCES: [&str; 3] = ["relay1", "relay2", "relay3"];
const KUBERNETES: [&str; 5] = [
    "contrib/kubernetes/config.yaml",
    "contrib/kubernetes/deployment.yaml",
    "contrib/kubernetes/disruption-budget.yaml",
    "contrib/kubernetes/network-policy.yaml",
    "contrib/kubernetes/service.yaml",
];
const KUBERNETES_SECRET: &str = "contrib/kubernetes/secret.yaml.example";
/// The oldest Kubernetes that has all that the files use, and the newest that the validator knows.
const KUBERNETES_VERSIONS: [&str; 2] = ["1.30.0", "1.37.0"];

fn documents(name: &str) -> Vec<Yaml> {
    YamlLoader::load_from_str(&shipped(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn compose() -> Yaml {
    documents(COMPOSE).remove(0)
}

fn text(value: &Yaml) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value:?} is no text"))
}

fn texts(list: &Yaml) -> Vec<&str> {
    list.as_vec().unwrap_or_else(|| panic!("{list:?} is no list")).iter().map(text).collect()
}

fn seconds(text: &str) -> u64 {
    let (number, unit) = text.split_at(text.len() - 1);
    number.parse::<u64>().unwrap() * if unit == "m" { 60 } else { 1 }
}

/// Asserts that an instance starts with these variables, and takes each of them.
fn assert_starts(file: &str, variables: &[(String, String)], image: bool) {
    let mut setup = Setup::new();
    for (name, value) in variables {
        let secret = name.strip_suffix("_FILE").map(|_| setup.secret_file(name, "secret\n"));
        setup = setup.env(name, &secret.unwrap_or_else(|| value.clone()));
    }
    // What the image sets in any case, unless it is set anew.
    for (name, value) in [
        ("MAILFERRY__SMTP__LISTEN", "0.0.0.0:1025"),
        ("MAILFERRY__HTTP__LISTEN", "0.0.0.0:8025"),
        ("MAILFERRY__QUEUE__URL", "sqlite:/data/mailferry.db"),
    ] {
        if image && !variables.iter().any(|(own, _)| own == name) {
            setup = setup.env(name, value);
        }
    }
    let loaded = setup
        .load_for(Purpose::Serve)
        .unwrap_or_else(|errors| panic!("{file} is not usable:\n{errors}"));
    assert_eq!(loaded.warnings, Vec::<String>::new(), "{file}");
    for (name, _) in variables {
        let known = loaded.effective.iter().any(|shown| shown.origin.contains(name));
        assert!(known, "{file} sets {name}, which the program does not know");
    }
    let url = loaded.effective.iter().find(|shown| shown.key == "queue.url").unwrap();
    assert!(url.value.contains("postgres://"), "{file}: the queue is {}", url.value);
}

#[test]
fn the_instances_of_the_compose_file_are_alike_and_start_with_what_it_gives_them() {
    let compose = compose();
    let first = &compose["services"][INSTANCES[0]];
    for name in INSTANCES {
        assert_eq!(&compose["services"][name], first, "{name}");
    }
    let variables: Vec<(String, String)> = first["environment"]
        .as_hash()
        .unwrap()
        .iter()
        .map(|(name, value)| (text(name).to_owned(), text(value).to_owned()))
        .collect();
    assert_starts(COMPOSE, &variables, true);
    // What is mounted for it is what it reads, and is declared.
    let own = texts(&first["secrets"]);
    for (name, value) in variables.iter().filter(|(name, _)| name.ends_with("_FILE")) {
        let secret = value.strip_prefix("/run/secrets/").unwrap();
        assert!(own.contains(&secret), "{name}");
        assert!(!compose["secrets"][secret]["file"].is_badvalue(), "{secret}");
    }
    assert_eq!(first["read_only"].as_bool(), Some(true));
    assert!(seconds(text(&first["stop_grace_period"])) > 60, "sessions and calls, 30 s each");
}

#[test]
fn the_instances_of_the_compose_file_find_their_database_and_know_their_balancer() {
    let compose = compose();
    let services = &compose["services"];
    let environment = &services["relay1"]["environment"];
    let (postgres, haproxy) = (&services["postgres"], &services["haproxy"]);
    let database = &postgres["environment"];
    let url = format!(
        "postgres://{}@postgres/{}?sslmode=disable",
        text(&database["POSTGRES_USER"]),
        text(&database["POSTGRES_DB"])
    );
    assert_eq!(text(&environment["MAILFERRY__QUEUE__URL"]), url);
    assert_eq!(
        text(&database["POSTGRES_PASSWORD_FILE"]),
        text(&environment["MAILFERRY__QUEUE__PASSWORD_FILE"])
    );
    let address = text(&haproxy["networks"]["relay"]["ipv4_address"]);
    let proxies = text(&environment["MAILFERRY__SMTP__PROXY_NETWORKS"]);
    assert_eq!(proxies, format!("{address}/32"));
    assert_eq!(texts(&haproxy["networks"]["relay"]["aliases"]), ["mailferry"]);
    assert_eq!(texts(&haproxy["ports"]), ["127.0.0.1:1025:1025", "127.0.0.1:8025:8025"]);
    let volume = texts(&haproxy["volumes"])[0];
    assert!(volume.starts_with("./contrib/haproxy/haproxy.cfg:") && volume.ends_with(":ro"));
}

/// The lines of a section of haproxy.cfg, as words.
fn section<'a>(text: &'a str, head: &str) -> Vec<Vec<&'a str>> {
    let lines = text.lines().skip_while(|line| *line != head).skip(1);
    let own = lines.take_while(|line| line.is_empty() || line.starts_with([' ', '#']));
    let lines = own.filter(|line| !line.trim().is_empty() && !line.trim().starts_with('#'));
    let words: Vec<Vec<&str>> = lines.map(|line| line.split_whitespace().collect()).collect();
    assert!(!words.is_empty(), "there is no {head}");
    words
}

#[test]
fn haproxy_serves_the_instances_of_the_compose_file_and_is_more_patient_than_they_are() {
    let file = shipped("contrib/haproxy/haproxy.cfg");
    for (head, port) in
        [("backend smtp", 1025), ("backend smtp-unwell", 1025), ("backend http", 8025)]
    {
        let lines = section(&file, head);
        let servers: Vec<(&str, String)> = lines
            .iter()
            .filter(|words| words[0] == "server")
            .map(|words| (words[1], words[2].to_owned()))
            .collect();
        let expected = INSTANCES.map(|name| (name, format!("{name}:{port}")));
        assert_eq!(servers, expected, "{head}");
        let proxied = lines.iter().any(|words| words.contains(&"send-proxy-v2"));
        assert_eq!(proxied, port == 1025, "{head}");
        let asked = lines.iter().any(|words| words.contains(&"/health"));
        assert_eq!(asked, head != "backend smtp-unwell", "{head}");
    }
    let idle = Setup::new().load_for(Purpose::Tool).unwrap().config.smtp.idle_timeout;
    for (head, key) in [("frontend smtp", "client"), ("backend smtp", "server")] {
        let lines = section(&file, head);
        let timeout = lines.iter().find(|words| words[..2] == ["timeout", key]).unwrap();
        assert!(seconds(timeout[2]) > idle.as_secs(), "{head}");
    }
}

#[test]
fn haproxy_finds_no_fault_in_its_file() {
    // Debian has it where only the superuser looks.
    let folders = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin";
    let Some(haproxy) =
        std::env::split_paths(&folders).map(|it| it.join("haproxy")).find(|it| it.is_file())
    else {
        return skip("the file of HAProxy", "not installed: haproxy");
    };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/haproxy/haproxy.cfg");
    let output = Command::new(haproxy).arg("-c").arg("-f").arg(path).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let unexpected = said.lines().find(|line| {
        // The names are those of containers.
        line.contains("[WARNING]") && !line.contains("could not resolve address 'relay")
    });
    assert_eq!(unexpected, None);
}

/// The documents of Kubernetes of this kind, in all files.
fn kind(name: &str) -> Vec<Yaml> {
    let all = KUBERNETES.iter().chain([&KUBERNETES_SECRET]).flat_map(|file| documents(file));
    all.filter(|document| document["kind"].as_str() == Some(name)).collect()
}

#[test]
fn the_pods_start_with_what_the_files_give_them() {
    let pod = &kind("Deployment")[0]["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    let variables: Vec<(String, String)> = container["env"]
        .as_vec()
        .unwrap()
        .iter()
        .map(|it| (text(&it["name"]).to_owned(), text(&it["value"]).to_owned()))
        .collect();
    assert_starts("deployment.yaml", &variables, true);
    let image = format!("registry.example/mailferry:{}", env!("CARGO_PKG_VERSION"));
    assert_eq!(text(&container["image"]), image);

    // The files of secrets are keys of the Secret.
    let secret = &kind("Secret")[0];
    assert_eq!(pod["volumes"][1]["secret"]["secretName"], secret["metadata"]["name"]);
    let folder = text(&container["volumeMounts"][1]["mountPath"]);
    for (name, value) in variables.iter().filter(|(name, _)| name.ends_with("_FILE")) {
        let key = value.strip_prefix(folder).unwrap().trim_start_matches('/');
        assert!(!secret["stringData"][key].is_badvalue(), "{name}");
    }
    // The file of the ConfigMap is found where it is mounted.
    let map = &kind("ConfigMap")[0];
    assert_eq!(pod["volumes"][0]["configMap"]["name"], map["metadata"]["name"]);
    assert_eq!(text(&container["volumeMounts"][0]["mountPath"]), "/etc/mailferry");
    with_key().toml(text(&map["data"]["mailferry.toml"])).load();
}

#[test]
fn what_selects_pods_finds_them_and_the_ports_that_they_have() {
    let deployment = &kind("Deployment")[0]["spec"];
    let labels = &deployment["template"]["metadata"]["labels"];
    assert_eq!(&deployment["selector"]["matchLabels"], labels);
    let container = &deployment["template"]["spec"]["containers"][0];
    let ports: Vec<(&str, i64)> = container["ports"]
        .as_vec()
        .unwrap()
        .iter()
        .map(|port| (text(&port["name"]), port["containerPort"].as_i64().unwrap()))
        .collect();
    assert_eq!(ports, [("smtp", 1025), ("http", 8025)], "those of the image");
    let services = kind("Service");
    for (service, (name, number)) in services.iter().zip(ports) {
        assert_eq!(&service["spec"]["selector"], labels);
        let port = &service["spec"]["ports"][0];
        assert_eq!(text(&port["targetPort"]), name);
        assert_eq!(port["port"].as_i64(), Some(number));
    }
    assert_eq!(services.len(), 2);
    assert_eq!(&kind("PodDisruptionBudget")[0]["spec"]["selector"]["matchLabels"], labels);
    assert_eq!(&kind("NetworkPolicy")[0]["spec"]["podSelector"]["matchLabels"], labels);
    for spread in deployment["template"]["spec"]["topologySpreadConstraints"].as_vec().unwrap() {
        assert_eq!(&spread["labelSelector"]["matchLabels"], labels);
    }
}

#[test]
fn pods_are_asked_what_the_program_answers_and_have_time_to_end() {
    let pod = &kind("Deployment")[0]["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    let routes = shipped("src/http/routes.rs");
    for (probe, path) in [("readinessProbe", "/health"), ("livenessProbe", "/icon.svg")] {
        let asked = &container[probe]["httpGet"];
        assert_eq!((text(&asked["path"]), text(&asked["port"])), (path, "http"));
        assert!(routes.contains(&format!("\"{path}\"")), "there is no {path}");
    }
    let sleep = container["lifecycle"]["preStop"]["sleep"]["seconds"].as_i64().unwrap();
    let grace = pod["terminationGracePeriodSeconds"].as_i64().unwrap();
    let ending = i64::try_from(mailferry::shutdown::GRACE.as_secs() * 2).unwrap();
    assert!(grace > sleep + ending, "sessions, then calls");
    let interval = container["readinessProbe"]["periodSeconds"].as_i64().unwrap();
    assert!(sleep >= interval * 2);
    let user = |path: &str| pod["securityContext"][path].as_i64();
    assert_eq!((user("runAsUser"), user("fsGroup")), (Some(10_025), Some(10_025)));
}

#[test]
fn nothing_secret_is_applied_with_the_folder() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/kubernetes");
    let mut files: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| format!("contrib/kubernetes/{}", entry.unwrap().file_name().display()))
        .filter(|name| name.ends_with(".yaml"))
        .collect();
    files.sort();
    assert_eq!(files, KUBERNETES, "every file is checked");
    assert!(KUBERNETES.iter().flat_map(|it| documents(it)).all(|it| text(&it["kind"]) != "Secret"));
    for value in kind("Secret")[0]["stringData"].as_hash().unwrap().values() {
        assert_eq!(text(value), "");
    }
}

/// A program of the Python environment of the tests, or `None` with a word about it.
fn python_program(name: &str) -> Option<PathBuf> {
    let python = std::env::var_os("MAILFERRY_TEST_PYTHON").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-venv/bin/python"),
        PathBuf::from,
    );
    let program = python.with_file_name(name);
    if program.exists() {
        return Some(program);
    }
    let why = format!("not installed: {} (scripts/test does it)", program.display());
    skip(&format!("files for several instances, by {name}"), &why);
    None
}

fn assert_says_nothing_against_it(command: &mut Command) {
    let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}

#[test]
fn the_compose_files_keep_to_the_schema_of_compose() {
    let Some(program) = python_program("check-jsonschema") else { return };
    let mut check = Command::new(program);
    check.args(["--builtin-schema", "vendor.compose-spec", "docker-compose.yml", COMPOSE]);
    assert_says_nothing_against_it(&mut check);
}

#[test]
fn the_files_of_kubernetes_keep_to_its_schemas() {
    let Some(program) = python_program("kubernetes-validate") else { return };
    for version in KUBERNETES_VERSIONS {
        let mut check = Command::new(&program);
        check.args(["--strict", "--kubernetes-version", version]);
        assert_says_nothing_against_it(check.args(KUBERNETES).arg(KUBERNETES_SECRET));
    }
}
