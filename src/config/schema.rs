//! Every key there is, with its default: the one list that loading, printing, spelling hints and the test of the
//! example file share.

/// One key of the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// The dotted path; `*` stands for the name of a provider, or for the number of an item of [`LISTS`].
    pub path: &'static str,
    /// The default, written as TOML.
    pub default: &'static str,
    /// Whether the value is never shown, and may be given as the path of a file (`X_file`).
    pub secret: bool,
    /// For a key that this version knows and does not serve yet: what to do instead. Only the default is accepted,
    /// because a setting that is silently ignored may be one that somebody relies on.
    pub later: Option<&'static str>,
}

impl Key {
    /// The last part of the path.
    pub fn name(&self) -> &'static str {
        self.path.rsplit('.').next().unwrap_or(self.path)
    }
}

const fn key(path: &'static str, default: &'static str) -> Key {
    Key { path, default, secret: false, later: None }
}

const fn secret(path: &'static str) -> Key {
    Key { path, default: r#""""#, secret: true, later: None }
}

const NETWORKS: &str = r#"["127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fe80::/10"]"#;
/// The lists of tables (`[[smtp.users]]`). Their items are numbered from 0: `smtp.users[0]`.
pub(super) const LISTS: [&str; 2] = ["smtp.users", "routes"];

/// All keys, in the order in which they are shown.
pub const KEYS: &[Key] = &[
    key("smtp.listen", r#"["127.0.0.1:1025"]"#),
    key("smtp.listen_tls", "[]"),
    key("smtp.hostname", r#""""#),
    key("smtp.max_message_size", r#""25 MiB""#),
    key("smtp.max_recipients", "1000"),
    key("smtp.max_connections", "1000"),
    key("smtp.max_connections_per_ip", "100"),
    key("smtp.idle_timeout", r#""5m""#),
    key("smtp.trusted_networks", NETWORKS),
    key("smtp.auth", r#""auto""#),
    key("smtp.proxy_networks", "[]"),
    key("smtp.tls.certificate", r#""""#),
    key("smtp.tls.key", r#""""#),
    key("smtp.tls.self_signed", "false"),
    key("smtp.tls.required", "false"),
    key("smtp.users.*.username", r#""""#),
    secret("smtp.users.*.password"),
    key("smtp.users.*.senders", "[]"),
    key("smtp.users.*.route", r#""""#),
    key("smtp.users.*.provider_options", "true"),
    key("http.listen", r#""127.0.0.1:8025""#),
    secret("http.token"),
    key("http.trusted_networks", NETWORKS),
    key("http.hosts", "[]"),
    key("http.send_rate", r#""30/m""#),
    key("http.submit_rate", r#""6000/m""#),
    key("sender.address", r#""""#),
    key("sender.name", r#""""#),
    key("sender.domains", "[]"),
    key("sender.rewrite", r#""missing""#),
    key("delivery.mode", r#""queue""#),
    key("delivery.providers", "[]"),
    key("delivery.retry_min", r#""2s""#),
    key("delivery.retry_max", r#""15m""#),
    key("delivery.give_up_after", r#""24h""#),
    key("delivery.batch_max", "100"),
    key("delivery.batch_linger", r#""0ms""#),
    key("delivery.on_loss", r#""next""#),
    key("delivery.on_unclear", r#""retry""#),
    key("delivery.on_failure_webhook", r#""""#),
    secret("delivery.on_failure_webhook_secret"),
    key("queue.url", r#""sqlite:mailferry.db""#),
    secret("queue.password"),
    key("queue.max_messages", "1000000"),
    key("queue.keep_delivered", r#""7d""#),
    key("queue.keep_bodies", r#""24h""#),
    key("queue.takeover_after", r#""30s""#),
    secret("queue.seal_key"),
    key("providers.*.type", r#""""#),
    secret("providers.*.api_key"),
    key("providers.*.region", r#""""#),
    secret("providers.*.access_key_id"),
    secret("providers.*.secret_access_key"),
    secret("providers.*.session_token"),
    key("providers.*.domain", r#""""#),
    key("providers.*.preset", r#""""#),
    key("providers.*.host", r#""""#),
    key("providers.*.port", r#""""#),
    key("providers.*.username", r#""""#),
    secret("providers.*.password"),
    key("providers.*.tls", r#""auto""#),
    key("providers.*.url", r#""""#),
    secret("providers.*.secret"),
    key("providers.*.base_url", r#""""#),
    key("providers.*.rate", r#""""#),
    key("providers.*.daily_quota", "0"),
    key("providers.*.monthly_quota", "0"),
    key("providers.*.concurrency", "8"),
    key("providers.*.timeout", r#""30s""#),
    key("routes.*.name", r#""""#),
    key("routes.*.providers", "[]"),
    key("routes.*.sender", "[]"),
    key("routes.*.sender_domain", "[]"),
    key("routes.*.recipient_domain", "[]"),
    key("routes.*.user", "[]"),
    key("routes.*.header.name", r#""""#),
    key("routes.*.header.value", r#""*""#),
    key("log.format", r#""auto""#),
    key("log.level", r#""info""#),
    key("log.subject", "true"),
];

/// What stands at a path.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    /// A value.
    Value(&'static Key),
    /// The path of a file that holds the value of this secret.
    File(&'static Key),
    /// A table of keys.
    Section,
    /// One of [`LISTS`].
    List,
    /// Nothing that we know.
    Unknown,
}

/// Finds what stands at `path`, the name of a provider or the number of an item in its place.
pub(super) fn locate(path: &[String]) -> Place {
    let general = general(path);
    if LISTS.contains(&general.as_str()) {
        return Place::List;
    }
    if let Some(key) = find(&general) {
        return Place::Value(key);
    }
    if let Some(key) = general.strip_suffix("_file").and_then(find).filter(|key| key.secret) {
        return Place::File(key);
    }
    let inside = format!("{general}.");
    if general.is_empty() || KEYS.iter().any(|key| key.path.starts_with(&inside)) {
        return Place::Section;
    }
    // What is inside a key of a later version is a part of its value.
    let is_around =
        |key: &&Key| general.strip_prefix(key.path).is_some_and(|rest| rest.starts_with('.'));
    match KEYS.iter().find(|key| key.later.is_some() && is_around(key)) {
        Some(key) => Place::Value(key),
        None => Place::Unknown,
    }
}

/// The key of a path as [`spell`] writes it.
pub(super) fn key_of(path: &str) -> Option<&'static Key> {
    find(&general(&parts(path)))
}

fn find(general: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == general)
}

/// Where a key stands among all, and the name or number that tells it from its like.
pub(super) fn position(path: &str) -> impl Ord + use<> {
    let parts = parts(path);
    let general = general(&parts);
    let table = table_of(&general);
    let section = sections().iter().position(|section| *section == table);
    let star = general.split('.').position(|part| part == "*");
    let name = star.and_then(|at| parts.get(at).cloned());
    let number = name.as_deref().filter(|_| !general.starts_with("providers.")).and_then(index);
    (section, number, name, KEYS.iter().position(|key| key.path == general))
}

/// The path with `*` for the name of a provider and for the number of an item.
pub(super) fn general(path: &[String]) -> String {
    let mut general = String::new();
    for part in path {
        let is_name = general == "providers";
        let is_number = LISTS.contains(&general.as_str()) && index(part).is_some();
        if !general.is_empty() {
            general.push('.');
        }
        general.push_str(if is_name || is_number { "*" } else { part });
    }
    general
}

/// The path as people read it: `smtp.users[0].password`.
pub(super) fn spell(path: &[String]) -> String {
    let mut text = String::new();
    for part in path {
        if LISTS.contains(&text.as_str()) && index(part).is_some() {
            text.push_str(&format!("[{part}]"));
            continue;
        }
        if !text.is_empty() {
            text.push('.');
        }
        text.push_str(part);
    }
    text
}

/// Undoes [`spell`].
pub(super) fn parts(path: &str) -> Vec<String> {
    path.split(['.', '[']).map(|part| part.trim_end_matches(']').to_owned()).collect()
}

/// The number of an item, in its one spelling: `0`, not `00`.
pub(super) fn index(part: &str) -> Option<usize> {
    part.parse().ok().filter(|index: &usize| index.to_string() == part)
}

/// The known path that looks most like this unknown one, when one looks alike at all.
pub(super) fn nearest(path: &[String]) -> Option<String> {
    let wanted = spell(path);
    let provider = match path {
        [section, name, ..] if section == "providers" => name.as_str(),
        _ => "NAME",
    };
    let number = path.iter().find(|part| index(part).is_some()).map_or("0", String::as_str);
    let fill = |general: &str| {
        if general.starts_with("providers.") {
            general.replacen('*', provider, 1)
        } else {
            general.replacen(".*", &format!("[{number}]"), 1)
        }
    };
    let last = path.last().map_or("", String::as_str);
    let depth = path.len();

    let mut candidates: Vec<String> = LISTS.into_iter().map(str::to_owned).collect();
    for key in KEYS {
        let full = fill(key.path);
        if key.secret {
            candidates.push(format!("{full}_file"));
        }
        candidates.push(full);
    }
    candidates.extend(sections().into_iter().filter(|section| !is_item(section)).map(fill));
    candidates
        .into_iter()
        .map(|candidate| {
            let same_name = depth < 3 && candidate.rsplit('.').next() == Some(last);
            let distance = strsim::damerau_levenshtein(&wanted, &candidate);
            (if same_name { distance.min(1) } else { distance }, candidate)
        })
        .filter(|(distance, _)| *distance <= (wanted.chars().count() / 3).max(2))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Whether a table is an item of a list.
fn is_item(section: &str) -> bool {
    section.strip_suffix(".*").is_some_and(|list| LISTS.contains(&list))
}

/// Every table that keys stand in, once.
fn sections() -> Vec<&'static str> {
    let mut sections: Vec<&str> = KEYS.iter().map(|key| table_of(key.path)).collect();
    sections.dedup();
    sections
}

/// The table in which a key is shown. What an item of a list has inside itself is shown as a part of the item.
fn table_of(general: &str) -> &str {
    let item = LISTS.iter().find_map(|list| {
        let inside = general.strip_prefix(list)?.strip_prefix(".*.")?;
        general.get(..general.len() - inside.len() - 1)
    });
    item.unwrap_or_else(|| general.rsplit_once('.').map_or("", |(table, _)| table))
}

/// How an environment variable spells a path.
pub(super) fn variable(path: &str) -> String {
    format!("MAILFERRY__{}", parts(path).join("__").to_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_finds_its_key() {
        for (wrong, right) in [
            ("smtp.lisen", "smtp.listen"),
            ("stmp", "smtp"),
            ("http.tokn", "http.token"),
            ("providers.backup.apikey", "providers.backup.api_key"),
            ("providers.ses.secret_acess_key_file", "providers.ses.secret_access_key_file"),
            ("retry_min", "delivery.retry_min"),
            ("queue.retry_max", "delivery.retry_max"),
            ("smtp.users[3].usrname", "smtp.users[3].username"),
            ("smtp.users[3].pasword_file", "smtp.users[3].password_file"),
            ("smtp.users.lemmy.password", "smtp.users[0].password"),
            ("smtp.user", "smtp.users"),
            ("route", "routes"),
            ("routes[1].provider", "routes[1].providers"),
        ] {
            assert_eq!(nearest(&parts(wrong)).as_deref(), Some(right), "{wrong}");
        }
        assert_eq!(nearest(&parts("colour")), None);
    }

    #[test]
    fn only_secrets_have_a_file() {
        assert!(matches!(locate(&parts("http.token_file")), Place::File(_)));
        assert!(matches!(locate(&parts("http.listen_file")), Place::Unknown));
        assert!(matches!(locate(&parts("providers.backup")), Place::Section));
        assert!(matches!(locate(&parts("providers.backup.rate")), Place::Value(_)));
    }

    #[test]
    fn items_of_lists_have_numbers_in_one_spelling() {
        let path = parts("smtp.users[12].password");
        assert_eq!(path, ["smtp", "users", "12", "password"]);
        assert_eq!(spell(&path), "smtp.users[12].password");
        assert_eq!(general(&path), "smtp.users.*.password");
        assert_eq!(variable("smtp.users[12].password"), "MAILFERRY__SMTP__USERS__12__PASSWORD");
        assert!(matches!(locate(&parts("smtp.users")), Place::List));
        assert!(matches!(locate(&parts("smtp.users[0]")), Place::Section));
        assert!(matches!(locate(&parts("smtp.users[0].password_file")), Place::File(_)));
        assert!(matches!(locate(&parts("smtp.users.01.password")), Place::Unknown));
        assert!(matches!(locate(&parts("routes[0].header.name")), Place::Value(_)));
        assert!(position("smtp.users[9].route") < position("smtp.users[10].username"));
    }

    #[test]
    fn no_key_is_listed_twice() {
        let mut paths: Vec<&str> = KEYS.iter().map(|key| key.path).collect();
        paths.sort_unstable();
        paths.dedup();
        assert_eq!(paths.len(), KEYS.len());
    }
}
