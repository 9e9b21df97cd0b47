//! The environment: names that other programs know too, and names of ours.
//!
//! figment's own provider guesses types, which turns the password `0012345` into a number. Here every value is the
//! text that it is, and the key that reads it says what it must be.

use figment::value::Value;

use super::file::provider_name;
use super::layer::{Gathered, Layer, Leaf, Stranger};
use super::providers::ProviderKind;
use super::schema::{self, KEYS, Place};

const PREFIX: &str = "MAILFERRY__";
const SINGLE_PREFIX: &str = "MAILFERRY_";

/// Names that other programs know too, and the key that each sets. Of two for one key the later wins.
const WELL_KNOWN: [(&str, &str); 10] = [
    ("RESEND_API_KEY", "providers.resend.api_key"),
    ("SENDGRID_API_KEY", "providers.sendgrid.api_key"),
    ("MAILGUN_API_KEY", "providers.mailgun.api_key"),
    ("MAILGUN_DOMAIN", "providers.mailgun.domain"),
    ("POSTMARK_SERVER_TOKEN", "providers.postmark.api_key"),
    ("BREVO_API_KEY", "providers.brevo.api_key"),
    ("EMAIL_PROVIDERS", "delivery.providers"),
    ("SMTP_FROM_EMAIL", "sender.address"),
    ("SMTP_FROM_ADDRESS", "sender.address"),
    ("SMTP_FROM_NAME", "sender.name"),
];

/// The names that every AWS program knows, and the key of an SES provider that each sets.
const AWS: [(&str, &str); 4] = [
    ("AWS_REGION", "region"),
    ("AWS_ACCESS_KEY_ID", "access_key_id"),
    ("AWS_SECRET_ACCESS_KEY", "secret_access_key"),
    ("AWS_SESSION_TOKEN", "session_token"),
];

/// The names that apps use for their SMTP server, and the key of an smtp provider that each sets.
const SMARTHOST: [(&str, &str); 5] = [
    ("SMTP_HOST", "host"),
    ("SMTP_PORT", "port"),
    ("SMTP_USER", "username"),
    ("SMTP_PASSWORD", "password"),
    ("SMTP_USE_TLS", "tls"),
];

/// The names that serve providers of this kind once one is named, and the key that each sets.
fn serving(kind: ProviderKind) -> &'static [(&'static str, &'static str)] {
    match kind {
        ProviderKind::Ses => &AWS,
        ProviderKind::Smtp => &SMARTHOST,
        ProviderKind::Resend
        | ProviderKind::SendGrid
        | ProviderKind::Mailgun
        | ProviderKind::Postmark
        | ProviderKind::Brevo
        | ProviderKind::Webhook
        | ProviderKind::Capture => &[],
    }
}

/// The variables of one process, handed in rather than read from the global state.
#[derive(Clone, Copy)]
pub(super) struct Environment<'a>(pub(super) &'a [(String, String)]);

impl<'a> Environment<'a> {
    /// The value of a variable; an empty one counts as unset.
    fn find(&self, name: &str) -> Option<&'a str> {
        let variable = self.0.iter().find(|(candidate, _)| candidate == name);
        variable.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// Takes everything but the names that wait until it is known who they serve.
    pub(super) fn gather(&self, gathered: &mut Gathered) {
        for (name, path) in WELL_KNOWN {
            self.well_known(name, path, gathered);
        }
        self.own(gathered);
        if let Some(filter) = self.find("RUST_LOG") {
            let value = Value::from(filter);
            push("log.level", value, Layer::Override, "RUST_LOG", gathered);
        }
    }

    /// A variable that serves a provider of a kind, once one is named; for the case that none is.
    pub(super) fn waiting_for_a_name(&self) -> Option<(&'static str, ProviderKind)> {
        [("SMTP_HOST", ProviderKind::Smtp), ("AWS_ACCESS_KEY_ID", ProviderKind::Ses)]
            .into_iter()
            .find(|(name, _)| self.find(name).is_some())
    }

    /// Gives the names that serve providers of a kind to one of them. `wanted` says which keys still want a value.
    pub(super) fn serve(
        &self,
        kind: ProviderKind,
        provider: &str,
        wanted: impl Fn(&str) -> bool,
        gathered: &mut Gathered,
    ) {
        for (name, key) in serving(kind) {
            if wanted(key) {
                self.well_known(name, &format!("providers.{provider}.{key}"), gathered);
            }
        }
    }

    fn well_known(&self, name: &str, path: &str, gathered: &mut Gathered) {
        if let Some(value) = self.find(name) {
            push(path, Value::from(value), Layer::WellKnown, name, gathered);
        }
        if schema::key_of(path).is_some_and(|key| key.secret) {
            let name = format!("{name}_FILE");
            if let Some(file) = self.find(&name) {
                let value = Leaf::file_reference(file);
                push(path, value, Layer::WellKnown, &name, gathered);
            }
        }
    }

    fn own(&self, gathered: &mut Gathered) {
        let mut variables: Vec<&(String, String)> = self.0.iter().collect();
        // The order of an environment is nobody's decision.
        variables.sort();
        for (name, value) in variables {
            if value.is_empty() {
                continue;
            }
            match strip_prefix(name, PREFIX) {
                Some(rest) => own_variable(name, rest, value, gathered),
                None => {
                    if let Some(right) = strip_prefix(name, SINGLE_PREFIX).and_then(slip) {
                        gathered.warnings.push(format!(
                            "{name} is not used; between the levels of a name stand two underscores: {right}"
                        ));
                    }
                }
            }
        }
    }
}

fn own_variable(name: &str, rest: &str, value: &str, gathered: &mut Gathered) {
    let path: Vec<String> = rest.to_lowercase().split("__").map(str::to_owned).collect();
    if let [section, provider, _] = path.as_slice()
        && section == "providers"
        && let Err(message) = provider_name(provider)
    {
        gathered.fault(&path.join("."), name, message);
        return;
    }
    match schema::locate(&path) {
        Place::Value(_) => {
            push(&schema::spell(&path), Value::from(value), Layer::Own, name, gathered);
        }
        Place::File(key) => {
            let mut target = path;
            target.pop();
            target.push(key.name().to_owned());
            let value = Leaf::file_reference(value);
            push(&schema::spell(&target), value, Layer::Own, name, gathered);
        }
        place @ (Place::Section | Place::List | Place::Unknown) => {
            let section = !matches!(place, Place::Unknown);
            let origin = name.to_owned();
            gathered.strangers.push(Stranger { path, origin, variable: true, section });
        }
    }
}

fn push(path: &str, value: Value, layer: Layer, name: &str, gathered: &mut Gathered) {
    let given = Leaf::is_file_reference(&value).or(value.as_str()).unwrap_or_default();
    if given.contains(char::REPLACEMENT_CHARACTER) {
        gathered.fault(path, name, "is not valid UTF-8");
        return;
    }
    let path = schema::parts(path);
    gathered.leaves.push(Leaf { path, value, layer, origin: name.to_owned() });
}

fn strip_prefix<'a>(name: &'a str, prefix: &str) -> Option<&'a str> {
    let head = name.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then(|| name.get(prefix.len()..)).flatten()
}

/// The right spelling, when all that is wrong with a name is the number of its underscores.
///
/// Nothing less: Kubernetes makes names such as `MAILFERRY_PORT` and `MAILFERRY_SERVICE_HOST` for every service
/// called mailferry.
fn slip(rest: &str) -> Option<String> {
    let given = squeeze(rest);
    for key in KEYS {
        let secret_file = key.secret.then(|| format!("{}_file", key.path));
        for path in [Some(key.path.to_owned()), secret_file].into_iter().flatten() {
            match path.split_once('*') {
                None if squeeze(&path) == given => return Some(schema::variable(&path)),
                None => {}
                Some((before, after)) => {
                    let (before, after) = (squeeze(before), squeeze(after));
                    let name =
                        given.strip_prefix(&before).and_then(|rest| rest.strip_suffix(&after));
                    let fits = |name: &&str| match key.path.starts_with("providers.") {
                        true => provider_name(name).is_ok(),
                        false => schema::index(name).is_some(),
                    };
                    if let Some(name) = name.filter(fits) {
                        return Some(schema::variable(&path.replace('*', name)));
                    }
                }
            }
        }
    }
    None
}

/// Lower case, with dots and runs of underscores as one underscore.
fn squeeze(name: &str) -> String {
    let mut squeezed = String::with_capacity(name.len());
    for c in name.chars() {
        let c = if c == '.' { '_' } else { c.to_ascii_lowercase() };
        if c != '_' || !squeezed.ends_with('_') {
            squeezed.push(c);
        }
    }
    squeezed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_underscore_too_few_is_a_slip() {
        for (wrong, right) in [
            ("SMTP_LISTEN", "MAILFERRY__SMTP__LISTEN"),
            ("SMTP__LISTEN", "MAILFERRY__SMTP__LISTEN"),
            ("smtp_max_message_size", "MAILFERRY__SMTP__MAX_MESSAGE_SIZE"),
            ("HTTP_TOKEN_FILE", "MAILFERRY__HTTP__TOKEN_FILE"),
            ("PROVIDERS_RESEND_API_KEY", "MAILFERRY__PROVIDERS__RESEND__API_KEY"),
            ("SMTP_USERS_0_PASSWORD_FILE", "MAILFERRY__SMTP__USERS__0__PASSWORD_FILE"),
            ("ROUTES__1__NAME", "MAILFERRY__ROUTES__1__NAME"),
            ("ROUTES_1_HEADER_NAME", "MAILFERRY__ROUTES__1__HEADER__NAME"),
        ] {
            assert_eq!(slip(wrong).as_deref(), Some(right), "{wrong}");
        }
    }

    #[test]
    fn names_that_kubernetes_makes_are_left_alone() {
        for name in [
            "PORT",
            "SERVICE_HOST",
            "SERVICE_PORT",
            "SERVICE_PORT_SMTP",
            "PORT_1025_TCP",
            "PORT_1025_TCP_ADDR",
            "HTTP_SERVICE_HOST",
            "SMTP_PORT",
            "VERSION",
        ] {
            assert_eq!(slip(name), None, "{name}");
        }
    }
}
