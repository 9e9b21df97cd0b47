//! Accounts that clients bring along, and routes by user: from the configuration to what delivery needs.

use std::collections::HashMap;
use std::iter;
use std::sync::Arc;

use super::AppError;
use crate::clock::SharedClock;
use crate::config::{AuthMode, Config, Mode, ProviderConfig, QueueUrl};
use crate::delivery::{AccountSettings, LaneMaker, LaneSetup, QuotaSetup, SetupMark};
use crate::provider::{self, HttpClient, Provider};
use crate::seal::SealKey;
use crate::secret::Secret;

/// What locks brought accounts up, for as long as the process lives.
pub(super) fn seal(config: &Config) -> Arc<SealKey> {
    let queue = &config.queue;
    Arc::new(match (config.delivery.mode, &queue.seal_key, &queue.url) {
        (Mode::Direct, _, _) => SealKey::in_memory(),
        (Mode::Queue, Some(key), _) => SealKey::given(&key.0),
        (Mode::Queue, None, QueueUrl::Sqlite(path)) => SealKey::beside(path),
        (Mode::Queue, None, QueueUrl::Postgres(_)) => SealKey::absent(),
    })
}

/// How brought accounts are sealed and used. Also where no client brings one any more: the queue may hold some.
pub(super) fn settings(
    config: &Config,
    seal: Arc<SealKey>,
    client: &HttpClient,
    clock: &SharedClock,
) -> Result<AccountSettings, AppError> {
    let expected = config.smtp.auth == AuthMode::Provider;
    if expected {
        seal.prepare()?;
    }
    let (config, client, clock) = (config.clone(), client.clone(), Arc::clone(clock));
    let lanes = LaneMaker::new(move |name, account| {
        let own =
            ProviderConfig { api_key: account.key.clone(), ..config.template_for(account.kind) };
        let provider = provider::build(&own, &client, Arc::clone(&clock))
            .map_err(|error| error.to_string())?;
        Ok(lane(ProviderConfig { name, ..own }, provider, false))
    });
    Ok(AccountSettings { seal, lanes, expected })
}

/// How a provider is used, by its settings.
pub(super) fn lane(own: ProviderConfig, provider: Arc<dyn Provider>, in_route: bool) -> LaneSetup {
    let (mark, account) = marks(&own);
    let configured = own.rate.map(|rate| provider::Rate { calls: rate.calls, per: rate.per });
    LaneSetup {
        rate: configured,
        quotas: QuotaSetup { daily: own.daily_quota.0, monthly: own.monthly_quota.0 },
        in_route,
        mark,
        account,
        concurrency: own.concurrency,
        name: own.name,
        provider,
    }
}

/// What changes with anything that the provider is configured by, and what changes with the account.
fn marks(own: &ProviderConfig) -> (SetupMark, SetupMark) {
    // Secrets print as stars, so they are added one by one.
    let shown = format!("{own:?}");
    let secrets = [
        &own.api_key,
        &own.secret_access_key,
        &own.session_token,
        &own.secret,
        &own.smarthost.password,
    ]
    .map(Secret::expose);
    let place = format!(
        "{:?} {:?} {:?} {:?} {:?} {:?} {:?}",
        own.kind, own.base_url, own.region, own.access_key_id, own.domain, own.url, own.smarthost
    );
    let mark = |shown: &str| SetupMark::of(iter::once(shown).chain(secrets));
    (mark(&shown), mark(&place))
}

/// The names of the routes of users who have their own.
pub(super) fn user_routes(config: &Config) -> Result<HashMap<String, String>, AppError> {
    let named = config.smtp.users.iter().filter_map(|user| Some((user, user.route.as_ref()?)));
    named
        .map(|(user, name)| {
            // Mail must not take another way than the one that was meant.
            if !config.routes.iter().any(|route| route.name == *name) {
                let (user, route) = (user.username.clone(), name.clone());
                return Err(AppError::Route { user, route });
            }
            Ok((user.username.clone(), name.clone()))
        })
        .collect()
}
