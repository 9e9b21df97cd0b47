//! Decides whether presented credentials are right.

use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tracing::{debug, error, warn};

use super::password::Password;
use super::throttle::{Guesser, Throttle};
use super::{Credentials, Identity, brought};
use crate::config::{AuthMode, UserConfig};
use crate::message::Account;
use crate::queue::{AccountCheck, Accounts};
use crate::secret::Secret;
use crate::smtp::occasional::Occasional;
use crate::smtp::session::Peer;

/// Hashes that are computed at once for trusted peers, and as many for strangers, so that a flood from outside does not
/// keep our own apps waiting. Each may take 256 MiB (see `password`).
const HASHES_AT_ONCE: usize = 2;

/// How long a check waits for its turn.
const TURN_PATIENCE: Duration = Duration::from_secs(20);

/// How long a provider may think about an account.
const PROVIDER_PATIENCE: Duration = Duration::from_secs(30);

const TOO_MANY_FAILURES: &str =
    "Too many failed logins from your address; try again in some minutes";
const TOO_BUSY: &str = "Too many logins at once; try again in a minute";
const PROVIDER_AWAY: &str =
    "The provider cannot be asked about these credentials now; try again later";
const FAULT: &str = "The credentials cannot be checked now; try again later";

/// What came of it.
#[derive(Clone, Debug)]
pub enum Authentication {
    /// 235: the client is this one.
    Accepted(Identity),
    /// 535 5.7.8.
    Wrong,
    /// 454 4.7.0: it cannot be told now. The text is for the client.
    Unavailable(String),
}

/// Everything that AUTH is checked against.
pub struct Authenticator {
    mode: AuthMode,
    users: Vec<User>,
    /// Where in `users` a name stands.
    names: HashMap<String, usize>,
    accounts: Option<Arc<dyn Accounts>>,
    guard: Arc<Guard>,
}

/// What outlasts a change of the users.
struct Guard {
    throttle: Throttle,
    /// Questions to a provider that got no answer: nothing slows down whoever causes them.
    unanswered: Occasional,
    turns_of_trusted: Arc<Semaphore>,
    turns_of_strangers: Arc<Semaphore>,
    /// The users as they are now, by name, for connections that began with others.
    current: ArcSwap<HashMap<String, Arc<UserConfig>>>,
}

struct User {
    config: Arc<UserConfig>,
    /// `None` where the configuration holds a hash that cannot be used: nobody gets in with it.
    password: Option<Arc<Password>>,
}

impl std::fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authenticator")
            .field("mode", &self.mode)
            .field("users", &self.users.len())
            .field("accounts", &self.accounts.is_some())
            .finish_non_exhaustive()
    }
}

impl Authenticator {
    /// For these users; `accounts` knows about providers' keys (`smtp.auth = "provider"`).
    pub fn new(
        mode: AuthMode,
        users: Vec<UserConfig>,
        accounts: Option<Arc<dyn Accounts>>,
    ) -> Self {
        let guard = Guard {
            throttle: Throttle::default(),
            unanswered: Occasional::default(),
            turns_of_trusted: Arc::new(Semaphore::new(HASHES_AT_ONCE)),
            turns_of_strangers: Arc::new(Semaphore::new(HASHES_AT_ONCE)),
            current: ArcSwap::default(),
        };
        let own = Self::with(mode, users, accounts, Arc::new(guard));
        own.take_over();
        own
    }

    /// One for other users. Failures that were counted stay counted. It compares with its own users at once; that they are
    /// those that count, it says by [`Self::take_over`].
    #[must_use]
    pub(in crate::smtp) fn succeeded_by(
        &self,
        mode: AuthMode,
        users: Vec<UserConfig>,
        accounts: Option<Arc<dyn Accounts>>,
    ) -> Self {
        Self::with(mode, users, accounts, Arc::clone(&self.guard))
    }

    fn with(
        mode: AuthMode,
        users: Vec<UserConfig>,
        accounts: Option<Arc<dyn Accounts>>,
        guard: Arc<Guard>,
    ) -> Self {
        let users: Vec<User> = users.into_iter().map(User::new).collect();
        let names = users.iter().enumerate();
        let names = names.map(|(at, user)| (user.config.username.clone(), at)).collect();
        Self { mode, users, names, accounts, guard }
    }

    /// From now on these are the users: see [`Self::has_lost`].
    pub(in crate::smtp) fn take_over(&self) {
        let by_name = |user: &User| (user.config.username.clone(), Arc::clone(&user.config));
        self.guard.current.store(Arc::new(self.users.iter().map(by_name).collect()));
    }

    /// Whether a user who has logged in may not any more: it is not configured now, or has another password.
    pub(in crate::smtp) fn has_lost(&self, user: &UserConfig) -> bool {
        let current = self.guard.current.load();
        // The pointers are the same unless something has changed since this connection began.
        current.get(&user.username).is_none_or(|now| {
            !std::ptr::eq(Arc::as_ptr(now), user) && !now.password.matches(user.password.expose())
        })
    }

    /// Compares what `peer` presents. Takes as long for a user who does not exist as for one who does.
    pub async fn verify(&self, credentials: Credentials, peer: Peer) -> Authentication {
        let guesser = self.guesser(&credentials, peer);
        if self.guard.throttle.refuses(guesser, &credentials.username) {
            return Authentication::Unavailable(TOO_MANY_FAILURES.to_owned());
        }
        let username = credentials.username.clone();
        let result = match self.mode {
            AuthMode::Off => Authentication::Wrong,
            // Nothing is compared, so nothing can be guessed.
            AuthMode::Auto if self.users.is_empty() && peer.trusted => {
                return Authentication::Accepted(Identity::default());
            }
            AuthMode::Auto | AuthMode::Required => self.verify_user(credentials, peer).await,
            AuthMode::Provider => self.verify_account(&credentials, peer).await,
        };
        match result {
            Authentication::Accepted(_) => self.guard.throttle.succeeded(guesser, &username),
            Authentication::Wrong => self.guard.throttle.failed(guesser, &username),
            Authentication::Unavailable(_) => {}
        }
        result
    }

    /// Whom it is counted for when these credentials of this peer are wrong.
    pub(in crate::smtp) fn guesser(&self, credentials: &Credentials, peer: Peer) -> Guesser {
        self.guard.throttle.guesser(peer, &credentials.username)
    }

    /// Failed logins of this client that are not forgotten yet.
    pub(in crate::smtp) fn failures(&self, guesser: Guesser) -> u32 {
        self.guard.throttle.failures(guesser)
    }

    /// The user name, if it may stand in a log: one that somebody has made up may be a password in the wrong field.
    pub fn known_name(&self, credentials: &Credentials) -> Option<&str> {
        match self.mode {
            AuthMode::Provider => brought::name_of(&credentials.username),
            AuthMode::Auto | AuthMode::Required | AuthMode::Off => {
                self.names.get_key_value(&credentials.username).map(|(name, _)| name.as_str())
            }
        }
    }

    async fn verify_user(&self, credentials: Credentials, peer: Peer) -> Authentication {
        let Credentials { username, password } = credentials;
        let user = self.names.get(&username).and_then(|at| self.users.get(*at));
        let Some(compared) = user.or_else(|| self.decoy(&username)) else {
            return Authentication::Wrong;
        };
        let right = match &compared.password {
            None => Ok(false),
            Some(own) if own.is_hash() => {
                self.compare_hash(Arc::clone(own), password, &username, peer).await
            }
            Some(own) => Ok(own.matches(&password)),
        };
        match (right, user) {
            (Err(reason), _) => Authentication::Unavailable(reason.to_owned()),
            (Ok(true), Some(user)) => Authentication::Accepted(Identity {
                user: Some(Arc::clone(&user.config)),
                account: None,
            }),
            // Even when it happens to be the decoy's password.
            (Ok(_), _) => Authentication::Wrong,
        }
    }

    /// Whose password is compared for a user who does not exist, so that the time tells nothing: always the same one for the
    /// same name, and as often one of each kind as there are users of that kind. Nobody else can foresee which.
    fn decoy(&self, username: &str) -> Option<&User> {
        let count = u64::try_from(self.users.len()).ok().filter(|count| *count > 0)?;
        let at = self.names.hasher().hash_one(username) % count;
        self.users.get(usize::try_from(at).ok()?)
    }

    /// Compares away from the async threads, when it is its turn.
    async fn compare_hash(
        &self,
        own: Arc<Password>,
        presented: Secret,
        username: &str,
        peer: Peer,
    ) -> Result<bool, &'static str> {
        let turns = if peer.trusted {
            &self.guard.turns_of_trusted
        } else {
            &self.guard.turns_of_strangers
        };
        let Ok(Ok(turn)) = timeout(TURN_PATIENCE, Arc::clone(turns).acquire_owned()).await else {
            return Err(TOO_BUSY);
        };
        // Others from this address may have failed meanwhile.
        if self.guard.throttle.refuses(self.guard.throttle.guesser(peer, username), username) {
            return Err(TOO_MANY_FAILURES);
        }
        let comparing = tokio::task::spawn_blocking(move || {
            let right = own.matches(&presented);
            // Not before: a client that has gone does not make the computation stop.
            drop(turn);
            right
        });
        comparing.await.map_err(|error| {
            error!(%error, "comparing a password ended by a fault of the program");
            FAULT
        })
    }

    async fn verify_account(&self, credentials: &Credentials, peer: Peer) -> Authentication {
        let Some(account) = brought::account(credentials) else { return Authentication::Wrong };
        if peer.trusted {
            return accepted(account);
        }
        let (provider, address) = (account.kind.name(), peer.address);
        let Some(accounts) = &self.accounts else {
            error!(provider, "nobody is there to ask about a provider's credentials");
            return Authentication::Unavailable(FAULT.to_owned());
        };
        let check = timeout(PROVIDER_PATIENCE, accounts.check(&account))
            .await
            .unwrap_or_else(|_| AccountCheck::Unknown(String::from("no answer in time")));
        match check {
            AccountCheck::Good => accepted(account),
            AccountCheck::Refused(reason) => {
                debug!(peer = %address, provider, reason, "the provider refuses the credentials");
                Authentication::Wrong
            }
            AccountCheck::Unknown(reason) => {
                if let Some(unlogged) = self.guard.unanswered.take() {
                    warn!(peer = %address, provider, reason, unlogged, "the provider cannot be asked about credentials");
                }
                Authentication::Unavailable(PROVIDER_AWAY.to_owned())
            }
        }
    }
}

impl User {
    fn new(config: UserConfig) -> Self {
        let password = match Password::read(&config.password) {
            Ok(password) => Some(Arc::new(password)),
            Err(reason) => {
                error!(user = config.username, %reason, "this user cannot log in: the password");
                None
            }
        };
        Self { config: Arc::new(config), password }
    }
}

fn accepted(account: Account) -> Authentication {
    Authentication::Accepted(Identity { user: None, account: Some(account) })
}

#[cfg(test)]
mod tests;
