//! `[sender]`: what to do about From.

use crate::message::Address;

/// The default sender and the rule for From.
#[derive(Clone, Debug, Default)]
pub struct SenderConfig {
    /// The default From address.
    pub address: Option<Address>,
    /// The default From display name.
    pub name: String,
    /// Domains that the provider has verified; default: the domain of `address`.
    pub domains: Vec<String>,
    /// When From is replaced.
    pub rewrite: Rewrite,
}

/// When From is replaced by the default sender.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rewrite {
    /// When there is none.
    #[default]
    Missing,
    /// Also when its domain is not one of `domains`; the old From goes to Reply-To.
    Foreign,
    /// Always; the old From goes to Reply-To.
    Always,
    /// Never, not even when there is none.
    Never,
}
