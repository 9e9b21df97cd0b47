//! What the end-to-end suites share: the relay as a child process, a fake provider on the other side of it, and the
//! clients on this side.

pub(crate) mod certificates;
pub(crate) mod fake;
pub(crate) mod http;
pub(crate) mod letter;
pub(crate) mod relay;
pub(crate) mod skip;
pub(crate) mod smtp;
pub(crate) mod specs;
pub(crate) mod tap;
pub(crate) mod tool;
pub(crate) mod wait;
