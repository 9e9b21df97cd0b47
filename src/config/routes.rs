//! `[[routes]]`: named orders of providers.

/// An order of providers that mail can be sent by instead of `delivery.providers`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteConfig {
    /// What users (`smtp.users.route`) call it.
    pub name: String,
    /// Configured providers, in the order of preference; at least one.
    pub providers: Vec<String>,
}
