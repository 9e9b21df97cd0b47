//! By whom the mail of each route goes: by the provider that it prefers, or by another one for as long as that one is
//! closed. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use super::board::Board;
use super::brought::Way;
use super::job::Job;
use super::lane::LaneId;
use super::status::ProviderState;
use crate::clock::Timestamp;

/// A route whose mail has just come back, and goes elsewhere again: that is told only when it lasts. Of a provider that
/// comes and goes, somebody who is woken up at night wants to hear once.
const QUIET: Duration = Duration::from_mins(1);

/// Mail of a route goes by another way than before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Moved {
    /// Another provider takes it, because the one that took it so far is closed.
    Began { route: String, from: String, to: String, reason: ProviderState },
    /// The preferred one takes it again; `from` did in the meantime.
    Recovered { route: String, provider: String, from: String },
}

/// What is remembered of one route.
#[derive(Debug)]
enum Course {
    /// Its mail goes by this provider, which is not the preferred one.
    Away { by: String },
    /// Its mail came back then.
    Back { at: Timestamp },
}

/// The routes whose mail goes, or went of late, by another than the preferred provider.
#[derive(Debug, Default)]
pub(super) struct Failovers(BTreeMap<String, Course>);

impl Failovers {
    /// True while all mail goes by preferred providers: what these deliver changes nothing.
    pub(super) fn is_quiet(&self) -> bool {
        self.0.is_empty()
    }

    /// Forgets routes that there are no more.
    pub(super) fn retain(&mut self, exists: impl Fn(&str) -> bool) {
        self.0.retain(|route, _| exists(route));
    }

    /// Mail of `route`, which likes `preferred` best, was delivered `by` a provider. `closed` says why one takes no mail
    /// now; `None` for one that does.
    pub(super) fn delivered(
        &mut self,
        route: &str,
        preferred: &str,
        by: &str,
        closed: impl Fn(&str) -> Option<ProviderState>,
        now: Timestamp,
    ) -> Option<Moved> {
        let before = self.0.get(route);
        if by == preferred {
            return match before {
                // A reload has made it the preferred one.
                Some(Course::Away { by }) if by == preferred => {
                    self.0.remove(route);
                    None
                }
                Some(Course::Away { by }) => {
                    let from = by.clone();
                    self.0.insert(route.to_owned(), Course::Back { at: now });
                    let (route, provider) = (route.to_owned(), preferred.to_owned());
                    Some(Moved::Recovered { route, provider, from })
                }
                Some(Course::Back { at }) if !is_recent(*at, now) => {
                    self.0.remove(route);
                    None
                }
                Some(Course::Back { .. }) | None => None,
            };
        }
        let from = match before {
            Some(Course::Away { by: current }) if current == by => return None,
            Some(Course::Away { by: current }) => current.clone(),
            Some(Course::Back { at }) if is_recent(*at, now) => return None,
            Some(Course::Back { .. }) | None => preferred.to_owned(),
        };
        // Else the message alone was the reason: the other could not carry it, or refused it.
        let reason = closed(&from)?;
        self.0.insert(route.to_owned(), Course::Away { by: by.to_owned() });
        Some(Moved::Began { route: route.to_owned(), from, to: by.to_owned(), reason })
    }
}

impl Board {
    /// A message, or the part of it whose turn it was, was delivered by this lane. What that says about the way of its
    /// route's mail, if it is something new.
    pub(super) fn carried(&mut self, job: &Job, lane: LaneId, now: Timestamp) -> Option<Moved> {
        if !matches!(job.way, Way::Route) || job.claim.pinned_provider.is_some() {
            return None;
        }
        let route = job.parts.now();
        let preferred = *self.order(route).first()?;
        if preferred == lane && self.failovers.is_quiet() {
            return None;
        }
        let roster = &self.roster;
        let closed = |name: &str| {
            let lane = roster.lane(roster.find(name)?);
            (!lane.is_open(now)).then(|| lane.state(now))
        };
        let name = |id| &*roster.lane(id).setup.name;
        let route = self.routing.names().nth(route)?;
        self.failovers.delivered(route, name(preferred), name(lane), closed, now)
    }
}

/// A clock that was set back makes nothing recent for ever.
fn is_recent(at: Timestamp, now: Timestamp) -> bool {
    at <= now && now < at + QUIET
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays deliveries of one route that prefers `a`: seconds, by whom, who is closed; and what is told.
    fn told(steps: &[(u64, &str, &str)]) -> Vec<String> {
        let start: Timestamp = "2026-11-21T00:00:00Z".parse().unwrap();
        let mut failovers = Failovers::default();
        let mut told = Vec::new();
        for (seconds, by, down) in steps {
            let closed = |name: &str| down.contains(name).then_some(ProviderState::Down);
            let now = start + Duration::from_secs(*seconds);
            match failovers.delivered("default", "a", by, closed, now) {
                Some(Moved::Began { from, to, reason, route }) => {
                    assert_eq!((route.as_str(), reason), ("default", ProviderState::Down));
                    told.push(format!("{seconds}: {from} to {to}"));
                }
                Some(Moved::Recovered { provider, from, .. }) => {
                    told.push(format!("{seconds}: {provider} again, not {from}"));
                }
                None => {}
            }
        }
        told
    }

    #[test]
    fn each_change_is_told_once() {
        for (steps, expected) in [
            (&[(0, "a", ""), (1, "a", "")][..], &[][..]),
            (
                &[(0, "a", ""), (1, "b", "a"), (2, "b", "a"), (3, "a", ""), (4, "a", "")],
                &["1: a to b", "3: a again, not b"],
            ),
            // One message that only b can carry, while a is open.
            (&[(0, "b", ""), (1, "a", "")], &[]),
            // What b had under way when a came back.
            (&[(0, "b", "a"), (1, "a", ""), (2, "b", "")], &["0: a to b", "1: a again, not b"]),
            // The chain goes on, and back up.
            (
                &[(0, "b", "a"), (1, "c", "ab"), (2, "c", "ab"), (3, "b", "a"), (4, "a", "")],
                &["0: a to b", "1: b to c", "4: a again, not c"],
            ),
            // c carries what b cannot, while b stands in.
            (&[(0, "b", "a"), (1, "c", "a"), (2, "b", "a")], &["0: a to b"]),
        ] {
            assert_eq!(told(steps), expected, "{steps:?}");
        }
    }

    #[test]
    fn one_that_comes_and_goes_is_not_told_all_the_time() {
        let flapping: Vec<(u64, &str, &str)> = (0..300)
            .map(|second| if second % 2 == 0 { (second, "b", "a") } else { (second, "a", "") })
            .collect();
        let told = told(&flapping);
        assert!(told.len() <= 12, "{told:?}");
        assert_eq!(told[..2], ["0: a to b", "1: a again, not b"]);
    }

    #[test]
    fn what_lasts_is_told_although_it_began_soon_after_the_last_time() {
        let mut steps = vec![(0, "b", "a"), (1, "a", "")];
        steps.extend((2..100).map(|second| (second, "b", "a")));
        assert_eq!(told(&steps), ["0: a to b", "1: a again, not b", "61: a to b"]);
    }

    #[test]
    fn nothing_is_remembered_for_long_of_what_is_over() {
        let mut failovers = Failovers::default();
        let start: Timestamp = "2026-11-21T00:00:00Z".parse().unwrap();
        let down = |name: &str| (name == "a").then_some(ProviderState::Down);
        assert!(failovers.is_quiet());
        failovers.delivered("default", "a", "b", down, start);
        assert!(!failovers.is_quiet());
        failovers.delivered("default", "a", "a", |_| None, start);
        failovers.delivered("default", "a", "a", |_| None, start + QUIET);
        assert!(failovers.is_quiet());
    }
}
