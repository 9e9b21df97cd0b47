//! So many in a while, for each caller.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::time::Instant;

/// Callers remembered at the same time. Beyond it a new one waits until a window of another has passed.
const CALLERS_MAX: usize = 1024;

/// Counts in fixed windows, one per caller.
#[derive(Debug)]
pub(super) struct Limiter {
    max: u32,
    window: Duration,
    callers: Mutex<HashMap<IpAddr, Window>>,
}

#[derive(Debug)]
struct Window {
    ends: Instant,
    used: u32,
}

impl Limiter {
    pub(super) fn new(max: u32, window: Duration) -> Self {
        Self { max, window, callers: Mutex::default() }
    }

    /// Counts one more for `peer`, or says how many seconds to wait.
    pub(super) fn take(&self, peer: IpAddr, now: Instant) -> Result<(), u64> {
        // What a panicking thread left behind is still a count.
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        let caller = network(peer);
        if callers.len() >= CALLERS_MAX && !callers.contains_key(&caller) {
            callers.retain(|_, window| window.ends > now);
            if callers.len() >= CALLERS_MAX {
                return Err(seconds(self.window));
            }
        }
        let window = callers.entry(caller).or_insert(Window { ends: now + self.window, used: 0 });
        if window.ends <= now {
            *window = Window { ends: now + self.window, used: 0 };
        }
        if window.used >= self.max {
            return Err(seconds(window.ends - now));
        }
        window.used += 1;
        Ok(())
    }
}

/// Rounded up, so that whoever waits as told is let in.
fn seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

/// One caller: an IPv4 address, or the /64 that one IPv6 host has for itself.
pub(super) fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_caller_waits_until_its_window_has_passed_and_no_other_does() {
        let limiter = Limiter::new(2, MINUTE);
        let start = Instant::now();
        let (ada, bob) = (address("192.0.2.1"), address("192.0.2.2"));
        assert_eq!(limiter.take(ada, start), Ok(()));
        assert_eq!(limiter.take(ada, start), Ok(()));
        assert_eq!(limiter.take(ada, start + Duration::from_millis(500)), Err(60));
        assert_eq!(limiter.take(bob, start), Ok(()));
        assert_eq!(limiter.take(ada, start + MINUTE), Ok(()));
    }

    #[test]
    fn a_host_cannot_hop_through_its_ipv6_network() {
        let limiter = Limiter::new(1, MINUTE);
        let now = Instant::now();
        assert_eq!(limiter.take(address("2001:db8::1"), now), Ok(()));
        assert_eq!(limiter.take(address("2001:db8::2"), now), Err(60));
        assert_eq!(limiter.take(address("2001:db8:0:1::1"), now), Ok(()));
    }

    #[test]
    fn an_ipv4_caller_on_a_dual_stack_socket_is_the_same_caller() {
        let limiter = Limiter::new(1, MINUTE);
        let now = Instant::now();
        assert_eq!(limiter.take(address("192.0.2.1"), now), Ok(()));
        assert_eq!(limiter.take(address("::ffff:192.0.2.1"), now), Err(60));
    }

    #[test]
    fn the_number_of_callers_remembered_is_limited() {
        let limiter = Limiter::new(1, MINUTE);
        let now = Instant::now();
        for n in 0..u32::try_from(CALLERS_MAX).unwrap() {
            assert_eq!(limiter.take(IpAddr::V4(n.into()), now), Ok(()));
        }
        let late = address("203.0.113.1");
        assert_eq!(limiter.take(late, now), Err(60));
        assert_eq!(limiter.take(late, now + MINUTE), Ok(()));
    }
}
