//! `[[routes]]`: named orders of providers.

use super::file::provider_name;
use super::reader::Reader;
use super::schema::KEYS;
use super::users::UserConfig;
use super::value::quote;

/// An order of providers that mail can be sent by instead of `delivery.providers`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteConfig {
    /// What users (`smtp.users.route`) call it.
    pub name: String,
    /// Configured providers, in the order of preference; at least one.
    pub providers: Vec<String>,
}

impl RouteConfig {
    /// Reads all routes. Whether there are such providers is checked when the providers are known.
    pub(super) fn read_all(reader: &mut Reader) -> Vec<Self> {
        let mut routes: Vec<Self> = Vec::new();
        for path in reader.items("routes") {
            let route = Self::read(&path, &routes, reader);
            routes.push(route);
        }
        routes
    }

    fn read(path: &str, before: &[Self], reader: &mut Reader) -> Self {
        let (name_path, providers_path) = (format!("{path}.name"), format!("{path}.providers"));
        let route = Self { name: reader.get(&name_path), providers: reader.get(&providers_path) };
        if reader.has_fault(&name_path) {
            // Said already.
        } else if route.name.is_empty() {
            reader.fault_in(path, &name_path, "is missing: users name the route by it");
        } else if provider_name(&route.name).is_err() {
            // It stands in the log, the API and the metrics.
            reader.fault(
                &name_path,
                "a route's name is made of up to 32 lower-case letters, digits, - and single _",
            );
        } else if before.iter().any(|other| other.name == route.name) {
            let name = quote(&route.name);
            reader.fault(&name_path, format!("another route has the name {name} already"));
        }
        if reader.has_fault(&providers_path) {
            return route;
        }
        if route.providers.is_empty() {
            let message = "names no provider; a route needs one at least, such as [\"resend\"]";
            reader.fault_in(path, &providers_path, message);
        }
        for (at, provider) in route.providers.iter().enumerate() {
            if route.providers.iter().take(at).any(|earlier| earlier == provider) {
                reader.fault(&providers_path, format!("names {} twice", quote(provider)));
            }
        }
        for key in KEYS.iter().filter(|key| key.path.starts_with("routes.")) {
            if let Some(instead) = key.later {
                reader.refuse_later(&format!("{path}.{}", key.name()), key, instead);
            }
        }
        route
    }
}

/// Says which users name a route that there is not.
pub(super) fn check_users(users: &[UserConfig], routes: &[RouteConfig], reader: &mut Reader) {
    let names: Vec<&str> = routes.iter().map(|route| route.name.as_str()).collect();
    for (number, user) in users.iter().enumerate() {
        let Some(route) = user.route.as_deref().filter(|route| !names.contains(route)) else {
            continue;
        };
        let known = if names.is_empty() {
            "there are no [[routes]]".to_owned()
        } else {
            format!("routes here: {}", names.join(", "))
        };
        reader.fault(
            &format!("smtp.users[{number}].route"),
            format!("{} is not the name of a route; {known}", quote(route)),
        );
    }
}
