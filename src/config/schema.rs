//! Every key there is, with its default: the one list that loading, printing, spelling hints and the test of the
//! example file share.

/// One key of the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// The dotted path; `*` stands for the name of a provider.
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

const fn later(path: &'static str, default: &'static str, instead: &'static str) -> Key {
    Key { path, default, secret: false, later: Some(instead) }
}

const NETWORKS: &str = r#"["127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fe80::/10"]"#;
const NO_TLS: &str = "let the app speak plaintext over a private network, or put a TLS proxy such as stunnel in front";
const NO_USERS: &str = "admit clients by smtp.trusted_networks";
const NO_QUOTA: &str = "a quota that the provider reports as used up is respected in any case";
const NO_HOOK: &str = "watch the log, /health or `mailferry queue list --state failed`";

/// All keys, in the order in which they are shown.
pub const KEYS: &[Key] = &[
    key("smtp.listen", r#"["127.0.0.1:1025"]"#),
    later("smtp.listen_tls", "[]", NO_TLS),
    key("smtp.hostname", r#""""#),
    key("smtp.max_message_size", r#""25 MiB""#),
    key("smtp.max_recipients", "1000"),
    key("smtp.max_connections", "1000"),
    key("smtp.max_connections_per_ip", "100"),
    key("smtp.idle_timeout", r#""5m""#),
    key("smtp.trusted_networks", NETWORKS),
    key("smtp.auth", r#""auto""#),
    later("smtp.proxy_networks", "[]", "let clients connect without a PROXY header"),
    later("smtp.users", "[]", NO_USERS),
    later("smtp.tls.certificate", r#""""#, NO_TLS),
    later("smtp.tls.key", r#""""#, NO_TLS),
    later("smtp.tls.self_signed", "false", NO_TLS),
    later("smtp.tls.required", "false", NO_TLS),
    key("http.listen", r#""127.0.0.1:8025""#),
    secret("http.token"),
    key("http.trusted_networks", NETWORKS),
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
    later("delivery.on_failure_webhook", r#""""#, NO_HOOK),
    key("queue.url", r#""sqlite:mailferry.db""#),
    key("queue.max_messages", "1000000"),
    key("queue.keep_delivered", r#""7d""#),
    key("queue.keep_bodies", r#""24h""#),
    key("providers.*.type", r#""""#),
    secret("providers.*.api_key"),
    key("providers.*.region", r#""""#),
    secret("providers.*.access_key_id"),
    secret("providers.*.secret_access_key"),
    secret("providers.*.session_token"),
    key("providers.*.base_url", r#""""#),
    key("providers.*.rate", r#""""#),
    later("providers.*.daily_quota", "0", NO_QUOTA),
    later("providers.*.monthly_quota", "0", NO_QUOTA),
    key("providers.*.concurrency", "8"),
    key("providers.*.timeout", r#""30s""#),
    later("routes", "[]", "name the order for all mail in delivery.providers"),
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
    /// Nothing that we know.
    Unknown,
}

/// Finds what stands at `path`, the name of a provider in its place.
pub(super) fn locate(path: &[String]) -> Place {
    let general = general(path);
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
    Place::Unknown
}

/// The key of a dotted path in which a provider may be named.
pub(super) fn key_of(path: &str) -> Option<&'static Key> {
    let parts: Vec<String> = path.split('.').map(str::to_owned).collect();
    find(&general(&parts))
}

fn find(general: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == general)
}

/// Where the table of a key stands among the tables.
pub(super) fn section_position(general: &str) -> Option<usize> {
    let table = general.rsplit_once('.').map_or("", |(table, _)| table);
    sections().iter().position(|section| *section == table)
}

/// The path with `*` for the name of a provider.
pub(super) fn general(path: &[String]) -> String {
    let mut parts: Vec<&str> = path.iter().map(String::as_str).collect();
    if let ["providers", name, ..] = parts.as_mut_slice() {
        *name = "*";
    }
    parts.join(".")
}

/// The known path that looks most like this unknown one, when one looks alike at all.
pub(super) fn nearest(path: &[String]) -> Option<String> {
    let wanted = path.join(".");
    let provider = match path {
        [section, name, ..] if section == "providers" => name.as_str(),
        _ => "NAME",
    };
    let last = path.last().map_or("", String::as_str);
    let depth = path.len();

    let mut candidates: Vec<String> = Vec::new();
    for key in KEYS {
        let full = key.path.replacen('*', provider, 1);
        if key.secret {
            candidates.push(format!("{full}_file"));
        }
        candidates.push(full);
    }
    for section in sections() {
        candidates.push(section.replacen('*', provider, 1));
    }
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

/// Every table that keys stand in, once.
fn sections() -> Vec<&'static str> {
    let mut sections: Vec<&str> =
        KEYS.iter().filter_map(|key| key.path.rsplit_once('.')).map(|(table, _)| table).collect();
    sections.dedup();
    sections
}

/// How an environment variable spells a path.
pub(super) fn variable(path: &str) -> String {
    format!("MAILFERRY__{}", path.replace('.', "__").to_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(path: &str) -> Vec<String> {
        path.split('.').map(str::to_owned).collect()
    }

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
    fn no_key_is_listed_twice() {
        let mut paths: Vec<&str> = KEYS.iter().map(|key| key.path).collect();
        paths.sort_unstable();
        paths.dedup();
        assert_eq!(paths.len(), KEYS.len());
    }
}
