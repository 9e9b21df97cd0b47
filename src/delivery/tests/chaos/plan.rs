//! What a seed decides: which mail comes when, what goes wrong when, and for how long each process lives.

use std::time::Duration;

use fastrand::Rng;

use crate::config::OnUnclear;

/// How long things happen; afterwards everything works, and all must end.
pub(super) const HORIZON: Duration = Duration::from_hours(60);

/// How often the machine's clock is set at the most, and how far.
const JUMPS_MAX: usize = 5;
const JUMP_MAX_SECONDS: i64 = 4 * 3_600;

/// The furthest that the clock is ever behind.
pub(super) const BEHIND_MAX: Duration =
    Duration::from_secs(JUMPS_MAX as u64 * JUMP_MAX_SECONDS.unsigned_abs());

/// The providers of the simulation. The numbers are their places in [`Plan::faults`].
pub(super) const PROVIDERS: [&str; 4] = ["replays", "plain", "slow", "quota"];

/// Everything that happens to one simulation.
#[derive(Debug)]
pub(super) struct Plan {
    /// What is done with mail of which nobody knows whether it has arrived.
    pub(super) on_unclear: OnUnclear,
    /// The machine's clock is set in this one.
    pub(super) clock_jumps: bool,
    /// What happens within a process, in its order.
    pub(super) events: Vec<(Duration, Event)>,
    /// When each process ends and how; the last has no end.
    pub(super) ends: Vec<End>,
    /// Spells of each provider, which may overlap: the first that fits counts.
    pub(super) faults: [Vec<Spell>; PROVIDERS.len()],
    /// When the store does not answer.
    pub(super) store: Vec<(Duration, Duration)>,
}

#[derive(Clone, Debug)]
pub(super) enum Event {
    /// A message comes in.
    Mail(Mail),
    /// The machine's clock is set by so many seconds.
    Clock(i64),
    /// The settings are read again: another order of providers, other limits.
    Reload(u8),
}

/// One submission.
#[derive(Clone, Debug)]
pub(super) struct Mail {
    pub(super) number: usize,
    pub(super) user: Option<&'static str>,
    /// Whom it is for. Who is called `poison…` is refused by every provider.
    pub(super) recipients: Vec<String>,
    /// All of them are in the To field: one call.
    pub(super) visible: bool,
    /// It can only go where messages are taken as they are.
    pub(super) signed: bool,
    /// It has a key of the app's own, and can share no request.
    pub(super) own_key: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    pub(super) at: Duration,
    /// Without a word: whatever runs is gone.
    pub(super) crash: bool,
    /// How long nothing runs afterwards.
    pub(super) pause: Duration,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Spell {
    pub(super) from: Duration,
    pub(super) until: Duration,
    pub(super) fault: Fault,
    /// How many calls of a hundred meet it.
    pub(super) percent: u8,
}

/// What a provider does to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// 429.
    Throttles(Option<Duration>),
    /// 500, nothing taken.
    Breaks,
    /// There is no connection.
    Away,
    /// It reads the request and never answers; nothing is taken.
    Silent,
    /// It takes the mail, and the answer is lost.
    LosesAnswer,
    /// 401.
    RefusesKey,
    /// The answer takes so long.
    Slow(Duration),
}

impl Plan {
    pub(super) fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let on_unclear = if rng.u8(..3) == 0 { OnUnclear::Hold } else { OnUnclear::Retry };
        let clock_jumps = rng.u8(..3) == 0;
        let clusters: Vec<Duration> = (0..30).map(|_| within(&mut rng, HORIZON)).collect();
        let mut events = mails(&mut rng, &clusters);
        if clock_jumps {
            events.extend((0..rng.usize(1..=JUMPS_MAX)).map(|_| {
                let seconds = rng.i64(30..JUMP_MAX_SECONDS) * if rng.bool() { 1 } else { -1 };
                (within(&mut rng, HORIZON), Event::Clock(seconds))
            }));
        }
        let reloads =
            (0..rng.usize(..4)).map(|_| (within(&mut rng, HORIZON), Event::Reload(rng.u8(..4))));
        events.extend(reloads.collect::<Vec<_>>());
        events.sort_by_key(|(at, _)| *at);
        Self {
            on_unclear,
            clock_jumps,
            events,
            ends: ends(&mut rng, &clusters),
            faults: std::array::from_fn(|_| spells(&mut rng, &clusters)),
            store: store(&mut rng, &clusters),
        }
    }
}

fn within(rng: &mut Rng, time: Duration) -> Duration {
    Duration::from_millis(rng.u64(..u64::try_from(time.as_millis()).unwrap()))
}

/// Soon after one of the moments at which much mail comes, or at any time.
fn near(rng: &mut Rng, clusters: &[Duration]) -> Duration {
    match rng.choice(clusters) {
        Some(cluster) if rng.u8(..4) > 0 => *cluster + within(rng, Duration::from_secs(20)),
        _ => within(rng, HORIZON),
    }
}

fn mails(rng: &mut Rng, clusters: &[Duration]) -> Vec<(Duration, Event)> {
    let mut events = Vec::new();
    for cluster in clusters {
        let user = *rng
            .choice([None, Some("lemmy"), Some("gitea"), Some("news"), Some("shop")].iter())
            .unwrap();
        let length = within(rng, Duration::from_secs(15));
        for _ in 0..rng.usize(1..40) {
            let number = events.len();
            let at = *cluster + within(rng, length + Duration::from_millis(1));
            let user = if rng.u8(..5) == 0 { Some("shop") } else { user };
            events.push((at, Event::Mail(mail(rng, number, user))));
        }
    }
    events
}

fn mail(rng: &mut Rng, number: usize, user: Option<&'static str>) -> Mail {
    let several = if rng.u8(..4) == 0 { rng.usize(2..6) } else { 1 };
    let many = if rng.u8(..40) == 0 { 15 } else { several };
    let recipient = |place| {
        let name = if rng.u8(..50) == 0 { "poison" } else { "ada" };
        let domain = if rng.u8(..6) == 0 { "example.com" } else { "example.net" };
        format!("{name}.{number}.{place}@{domain}")
    };
    Mail {
        number,
        user,
        recipients: (0..many).map(recipient).collect(),
        visible: rng.bool(),
        signed: rng.u8(..25) == 0,
        own_key: rng.u8(..25) == 0,
    }
}

fn ends(rng: &mut Rng, clusters: &[Duration]) -> Vec<End> {
    let mut ends: Vec<End> = Vec::new();
    for _ in 0..rng.usize(6..14) {
        let pause = *rng.choice([Duration::from_secs(8), Duration::from_mins(50)].iter()).unwrap();
        ends.push(End {
            at: near(rng, clusters),
            crash: rng.u8(..4) > 0,
            pause: Duration::from_secs(2) + within(rng, pause),
        });
    }
    ends.sort_by_key(|end| end.at);
    ends
}

fn spells(rng: &mut Rng, clusters: &[Duration]) -> Vec<Spell> {
    let spells = (0..rng.usize(4..12)).map(|_| {
        let from = near(rng, clusters).saturating_sub(Duration::from_secs(5));
        let longest = *rng
            .choice(
                [
                    Duration::from_secs(10),
                    Duration::from_mins(2),
                    Duration::from_mins(20),
                    Duration::from_hours(2),
                ]
                .iter(),
            )
            .unwrap();
        let fault = match rng.u8(..9) {
            0 => Fault::Throttles(None),
            1 | 2 => Fault::Throttles(Some(Duration::from_secs(rng.u64(1..200)))),
            3 => Fault::Breaks,
            4 => Fault::Away,
            5 => Fault::Silent,
            6 => Fault::LosesAnswer,
            7 => Fault::RefusesKey,
            _ => Fault::Slow(Duration::from_millis(rng.u64(200..20_000))),
        };
        let percent = if rng.bool() { 100 } else { rng.u8(10..80) };
        Spell { from, until: (from + within(rng, longest)).min(HORIZON), fault, percent }
    });
    spells.collect()
}

fn store(rng: &mut Rng, clusters: &[Duration]) -> Vec<(Duration, Duration)> {
    let outages = (0..rng.usize(1..6)).map(|_| {
        let from = near(rng, clusters);
        (from, from + within(rng, Duration::from_secs(40)))
    });
    outages.collect()
}
