//! `[[routes]]`: named orders of providers, and the mail that goes by them.

use super::conditions::{FieldName, HeaderCondition, RouteConditions, TextPattern};
use super::file::provider_name;
use super::reader::Reader;
use super::users::UserConfig;
use super::value::quote;

/// An order of providers that mail can be sent by instead of `delivery.providers`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteConfig {
    /// What users (`smtp.users.route`) call it.
    pub name: String,
    /// Configured providers, in the order of preference; at least one.
    pub providers: Vec<String>,
    /// Which mail takes it, besides that of the users who name it. With none: all mail, unless users name it.
    pub conditions: RouteConditions,
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
        let route = Self {
            name: reader.get(&name_path),
            providers: reader.get(&providers_path),
            conditions: read_conditions(path, reader),
        };
        if reader.has_fault(&name_path) {
            // Said already.
        } else if route.name.is_empty() {
            reader.fault_in(
                path,
                &name_path,
                "is missing: the route goes by it in log and API, and users name it by that",
            );
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
        route
    }

    /// True when it is for the users alone that name it.
    pub fn is_for_its_users(&self, users: &[UserConfig]) -> bool {
        self.conditions.is_empty() && users.iter().any(|user| user.is_routed_by(self))
    }
}

fn read_conditions(path: &str, reader: &mut Reader) -> RouteConditions {
    let header_path = format!("{path}.header.name");
    let value_path = format!("{path}.header.value");
    let FieldName(name) = reader.get(&header_path);
    let value: TextPattern = reader.get(&value_path);
    if name.is_empty() && !value.is_anything() && !reader.has_fault(&header_path) {
        let message = "says what a header field must be; header.name says which";
        reader.fault(&value_path, message);
    }
    RouteConditions {
        sender: reader.get(&format!("{path}.sender")),
        sender_domain: reader.get(&format!("{path}.sender_domain")),
        recipient_domain: reader.get(&format!("{path}.recipient_domain")),
        user: reader.get(&format!("{path}.user")),
        header: (!name.is_empty()).then_some(HeaderCondition { name, value }),
    }
}

/// Warns of routes that no mail will ever take.
pub(super) fn warn_of_idle(users: &[UserConfig], routes: &[RouteConfig], reader: &mut Reader) {
    for (at, route) in routes.iter().enumerate() {
        let is_named = users.iter().any(|user| user.is_routed_by(route));
        if is_named || route.name.is_empty() {
            continue;
        }
        let mut earlier = routes.iter().take(at).enumerate();
        let taken_by = earlier.find(|(_, earlier)| {
            !earlier.is_for_its_users(users) && earlier.conditions.covers(&route.conditions)
        });
        let asked = &route.conditions.user;
        let elsewhere =
            |name: &String| users.iter().any(|user| user.username == *name && user.route.is_some());
        let name = quote(&route.name);
        if let Some((before, earlier)) = taken_by {
            reader.warn(format!(
                "routes[{at}] ({name}) takes no mail: what it is for goes by routes[{before}] ({}) before it; put it first, \
                 or remove it",
                quote(&earlier.name)
            ));
        } else if !asked.is_empty() && asked.iter().all(elsewhere) {
            reader.warn(format!(
                "routes[{at}] ({name}) takes no mail: the users that it is for have a route of their own, which goes before"
            ));
        }
    }
}

/// Says which users name a route that there is not, and which routes users that there are not.
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
    for (number, route) in routes.iter().enumerate() {
        let unknown = |name: &&String| !users.iter().any(|user| user.username == **name);
        for name in route.conditions.user.iter().filter(unknown) {
            let path = format!("routes[{number}].user");
            reader.fault(&path, format!("{} is none of [[smtp.users]]", quote(name)));
        }
    }
}
