//! So many in a while, for each caller.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::access::Account;
use crate::config::RateLimit;

/// Callers remembered at the same time. Beyond it a new one waits until a window of another has passed.
const CALLERS_MAX: usize = 1024;

/// Counts in fixed windows, one per caller.
#[derive(Debug, Default)]
pub(super) struct Limiter {
    callers: Mutex<HashMap<Account, Window>>,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    begun: Instant,
    used: u32,
}

impl Limiter {
    /// Counts one more for `caller`, or says how many seconds to wait. `rate` is what holds now: another one counts for
    /// what was used before as well.
    pub(super) fn take(&self, caller: Account, rate: RateLimit, now: Instant) -> Result<(), u64> {
        // What a panicking thread left behind is still a count.
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        let over = |window: &Window| now.saturating_duration_since(window.begun) >= rate.per;
        if callers.len() >= CALLERS_MAX && !callers.contains_key(&caller) {
            callers.retain(|_, window| !over(window));
            if callers.len() >= CALLERS_MAX {
                return Err(seconds(rate.per));
            }
        }
        let window = callers.entry(caller).or_insert(Window { begun: now, used: 0 });
        if over(window) {
            *window = Window { begun: now, used: 0 };
        }
        if window.used >= rate.calls {
            return Err(seconds((window.begun + rate.per).saturating_duration_since(now)));
        }
        window.used += 1;
        Ok(())
    }
}

/// Rounded up, so that whoever waits as told is let in.
fn seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::stranger::network;

    fn address(text: &str) -> Account {
        Account::Address(network(text.parse().unwrap()))
    }

    fn minutely(calls: u32) -> RateLimit {
        RateLimit { calls, per: Duration::from_secs(60) }
    }

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_caller_waits_until_its_window_has_passed_and_no_other_does() {
        let (limiter, two) = (Limiter::default(), minutely(2));
        let start = Instant::now();
        let (ada, bob) = (address("192.0.2.1"), address("192.0.2.2"));
        assert_eq!(limiter.take(ada, two, start), Ok(()));
        assert_eq!(limiter.take(ada, two, start), Ok(()));
        assert_eq!(limiter.take(ada, two, start + Duration::from_millis(500)), Err(60));
        assert_eq!(limiter.take(bob, two, start), Ok(()));
        assert_eq!(limiter.take(Account::Token, two, start), Ok(()));
        assert_eq!(limiter.take(ada, two, start + MINUTE), Ok(()));
    }

    #[test]
    fn another_rate_holds_at_once() {
        let limiter = Limiter::default();
        let start = Instant::now();
        let ada = address("192.0.2.1");
        assert_eq!(limiter.take(ada, minutely(1), start), Ok(()));
        assert_eq!(limiter.take(ada, minutely(1), start), Err(60));
        assert_eq!(limiter.take(ada, minutely(2), start), Ok(()));
        let hourly = RateLimit { calls: 2, per: Duration::from_hours(1) };
        assert_eq!(limiter.take(ada, hourly, start + MINUTE), Err(3540));
    }

    #[test]
    fn a_host_cannot_hop_through_its_ipv6_network() {
        let (limiter, one) = (Limiter::default(), minutely(1));
        let now = Instant::now();
        assert_eq!(limiter.take(address("2001:db8::1"), one, now), Ok(()));
        assert_eq!(limiter.take(address("2001:db8::2"), one, now), Err(60));
        assert_eq!(limiter.take(address("2001:db8:0:1::1"), one, now), Ok(()));
    }

    #[test]
    fn an_ipv4_caller_on_a_dual_stack_socket_is_the_same_caller() {
        let (limiter, one) = (Limiter::default(), minutely(1));
        let now = Instant::now();
        assert_eq!(limiter.take(address("192.0.2.1"), one, now), Ok(()));
        assert_eq!(limiter.take(address("::ffff:192.0.2.1"), one, now), Err(60));
    }

    #[test]
    fn the_number_of_callers_remembered_is_limited() {
        let (limiter, one) = (Limiter::default(), minutely(1));
        let now = Instant::now();
        for n in 0..u32::try_from(CALLERS_MAX).unwrap() {
            let each = Account::Address(IpAddr::V4(n.into()));
            assert_eq!(limiter.take(each, one, now), Ok(()));
        }
        let late = address("203.0.113.1");
        assert_eq!(limiter.take(late, one, now), Err(60));
        assert_eq!(limiter.take(late, one, now + MINUTE), Ok(()));
    }
}
