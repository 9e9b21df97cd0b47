//! Sizes and rates as people write them.

use std::time::Duration;

/// A number of octets; in the file `"25 MiB"` or a plain number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// A rate as the file writes it: `"5/s"`, `"100/m"`, `"1000/h"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// How many calls…
    pub calls: u32,
    /// …in this time.
    pub per: Duration,
}
