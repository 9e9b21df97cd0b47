use std::net::{IpAddr, Ipv4Addr};
use std::sync::Mutex;

use async_trait::async_trait;

use super::*;
use crate::config::{ProviderKind, SenderPattern};

/// Of `correct horse`.
const BCRYPT: &str = "$2b$04$abcdefghijklmnopqrstuujydOTSfIH/d5oUHpsygqV5X9xJLQc6e";
const ARGON2: &str = "$argon2id$v=19$m=64,t=1,p=1$c3kwY0guQ3pjUERPSmNyNw$OcITezy4+ow5zks5yFxZeIt4XsMmnXcCuZNwHmOWQ3I";

const TRUSTED: Peer =
    Peer { address: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), trusted: true, secure: false };
const STRANGER: Peer =
    Peer { address: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), trusted: false, secure: true };

fn user(username: &str, password: &str) -> UserConfig {
    UserConfig {
        username: username.to_owned(),
        password: Secret::new(password),
        senders: Vec::new(),
        route: None,
        provider_options: true,
    }
}

fn users() -> Vec<UserConfig> {
    vec![user("plain", "secret"), user("bcrypt", BCRYPT), user("argon2", ARGON2)]
}

fn credentials(username: &str, password: &str) -> Credentials {
    Credentials { username: username.to_owned(), password: Secret::new(password) }
}

/// Answers as told, and remembers what it was asked.
#[derive(Default)]
struct Provider {
    answer: Option<AccountCheck>,
    asked: Mutex<Vec<String>>,
}

#[async_trait]
impl Accounts for Provider {
    async fn check(&self, account: &Account) -> AccountCheck {
        self.asked.lock().unwrap().push(account.key.expose().to_owned());
        match &self.answer {
            Some(answer) => answer.clone(),
            None => std::future::pending().await,
        }
    }
}

/// Failures of the stranger, whatever the names.
fn failures(own: &Authenticator) -> u32 {
    own.failures(own.guesser(&credentials("", ""), STRANGER))
}

async fn is_right(own: &Authenticator, username: &str, password: &str) -> bool {
    match own.verify(credentials(username, password), STRANGER).await {
        Authentication::Accepted(identity) => {
            assert_eq!(identity.user.unwrap().username, username);
            assert!(identity.account.is_none());
            true
        }
        Authentication::Wrong => false,
        Authentication::Unavailable(reason) => panic!("{reason}"),
    }
}

#[tokio::test(start_paused = true)]
async fn each_user_has_a_password_of_a_kind() {
    let own = Authenticator::new(AuthMode::Required, users(), None);
    for (username, password) in
        [("plain", "secret"), ("bcrypt", "correct horse"), ("argon2", "correct horse")]
    {
        assert!(is_right(&own, username, password).await, "{username}");
        for wrong in ["", "wrong", BCRYPT, ARGON2] {
            assert!(!is_right(&own, username, wrong).await, "{username} {wrong}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_is_unknown_is_wrong_whatever_the_decoys_password_is() {
    let own = Authenticator::new(AuthMode::Required, users(), None);
    for (number, password) in ["secret", "correct horse"].into_iter().cycle().take(18).enumerate() {
        assert!(!is_right(&own, &format!("nobody-{number}"), password).await);
    }
}

#[test]
fn an_unknown_name_is_compared_like_a_known_one() {
    let own = Authenticator::new(AuthMode::Required, users(), None);
    let mut seen = std::collections::BTreeSet::new();
    for number in 0..200 {
        let name = format!("nobody-{number}");
        let decoy = own.decoy(&name).unwrap().config.username.clone();
        assert_eq!(decoy, own.decoy(&name).unwrap().config.username, "always the same");
        seen.insert(decoy);
    }
    assert_eq!(seen.len(), 3, "every kind of hash: {seen:?}");
}

#[tokio::test(start_paused = true)]
async fn without_users_nobody_is_right_but_trusted_peers_in_auto() {
    let trusted_is_accepted = async |mode| {
        let own = Authenticator::new(mode, Vec::new(), None);
        let stranger = own.verify(credentials("ada", "x"), STRANGER).await;
        assert!(matches!(stranger, Authentication::Wrong), "{mode:?}");
        match own.verify(credentials("ada", ""), TRUSTED).await {
            Authentication::Accepted(Identity { user: None, account: None }) => true,
            Authentication::Wrong => false,
            other => panic!("{other:?}"),
        }
    };
    assert!(trusted_is_accepted(AuthMode::Auto).await);
    assert!(!trusted_is_accepted(AuthMode::Required).await);
    assert!(!trusted_is_accepted(AuthMode::Off).await);
    assert!(!trusted_is_accepted(AuthMode::Provider).await);
}

#[tokio::test(start_paused = true)]
async fn with_users_a_trusted_peer_must_be_right_as_well() {
    let own = Authenticator::new(AuthMode::Auto, users(), None);
    let wrong = own.verify(credentials("plain", "x"), TRUSTED).await;
    assert!(matches!(wrong, Authentication::Wrong));
}

#[tokio::test(start_paused = true)]
async fn a_hash_that_cannot_be_used_lets_nobody_in() {
    let own = Authenticator::new(AuthMode::Required, vec![user("ada", "$2b$99$x")], None);
    assert!(!is_right(&own, "ada", "$2b$99$x").await);
    assert!(!is_right(&own, "ada", "").await);
}

#[tokio::test(start_paused = true)]
async fn an_address_with_many_failures_is_not_listened_to_for_a_while() {
    let own = Authenticator::new(AuthMode::Required, users(), None);
    let mut wrong = 0;
    let reason = loop {
        match own.verify(credentials("plain", "guess"), STRANGER).await {
            Authentication::Wrong => wrong += 1,
            Authentication::Unavailable(reason) => break reason,
            Authentication::Accepted(_) => panic!("a guess was right"),
        }
        assert!(wrong < 100);
    };
    assert_eq!((wrong, failures(&own)), (20, 20));
    assert!(reason.contains("from your address"), "{reason}");
    // Not even with the right password: it could be the result of guessing.
    let right = own.verify(credentials("plain", "secret"), STRANGER).await;
    assert!(matches!(right, Authentication::Unavailable(_)));
    assert!(matches!(
        own.verify(credentials("plain", "secret"), TRUSTED).await,
        Authentication::Accepted(_)
    ));
    tokio::time::advance(Duration::from_secs(61)).await;
    assert!(is_right(&own, "plain", "secret").await);
}

#[tokio::test(start_paused = true)]
async fn a_check_does_not_wait_for_ever_for_its_turn() {
    let own = Authenticator::new(AuthMode::Required, users(), None);
    let all = u32::try_from(HASHES_AT_ONCE).unwrap();
    let _turns = own.guard.turns_of_strangers.acquire_many(all).await.unwrap();
    let begun = tokio::time::Instant::now();
    let result = own.verify(credentials("bcrypt", "correct horse"), STRANGER).await;
    assert!(matches!(result, Authentication::Unavailable(reason) if reason == TOO_BUSY));
    assert_eq!(begun.elapsed(), TURN_PATIENCE);
    // Our own apps do not wait for strangers, and no plain password waits at all.
    let trusted = own.verify(credentials("bcrypt", "correct horse"), TRUSTED).await;
    assert!(matches!(trusted, Authentication::Accepted(_)));
    assert!(is_right(&own, "plain", "secret").await);
}

#[tokio::test(start_paused = true)]
async fn a_provider_is_asked_about_strangers_only() {
    let provider = Arc::new(Provider { answer: Some(AccountCheck::Good), ..Provider::default() });
    let accounts = Arc::clone(&provider) as Arc<dyn Accounts>;
    let own = Authenticator::new(AuthMode::Provider, Vec::new(), Some(accounts));
    for peer in [TRUSTED, STRANGER] {
        let Authentication::Accepted(identity) =
            own.verify(credentials("resend", "re_1"), peer).await
        else {
            panic!("{peer:?}");
        };
        let account = identity.account.unwrap();
        assert_eq!((account.kind, account.key.expose()), (ProviderKind::Resend, "re_1"));
        assert!(identity.user.is_none());
    }
    assert_eq!(*provider.asked.lock().unwrap(), ["re_1"]);
}

#[tokio::test(start_paused = true)]
async fn what_the_provider_says_counts() {
    let with = |answer| {
        let provider = Arc::new(Provider { answer, ..Provider::default() }) as Arc<dyn Accounts>;
        Authenticator::new(AuthMode::Provider, Vec::new(), Some(provider))
    };
    let refused = with(Some(AccountCheck::Refused("API key is invalid".into())));
    let result = refused.verify(credentials("resend", "re_1"), STRANGER).await;
    assert!(matches!(result, Authentication::Wrong));
    assert_eq!(failures(&refused), 1);

    let away = with(Some(AccountCheck::Unknown("connection refused".into())));
    let result = away.verify(credentials("apikey", "SG.1"), STRANGER).await;
    assert!(matches!(result, Authentication::Unavailable(reason) if reason == PROVIDER_AWAY));
    assert_eq!(failures(&away), 0);

    let begun = tokio::time::Instant::now();
    let silent = with(None).verify(credentials("apikey", "SG.1"), STRANGER).await;
    assert!(matches!(silent, Authentication::Unavailable(_)));
    assert_eq!(begun.elapsed(), PROVIDER_PATIENCE);

    let nobody = Authenticator::new(AuthMode::Provider, Vec::new(), None);
    let result = nobody.verify(credentials("resend", "re_1"), STRANGER).await;
    assert!(matches!(result, Authentication::Unavailable(_)));
}

#[tokio::test(start_paused = true)]
async fn other_names_than_a_providers_are_wrong_even_of_trusted_peers() {
    let own = Authenticator::new(AuthMode::Provider, users(), None);
    for (username, password) in [("plain", "secret"), ("resend", ""), ("", "")] {
        let result = own.verify(credentials(username, password), TRUSTED).await;
        assert!(matches!(result, Authentication::Wrong), "{username}");
    }
}

#[test]
fn only_names_from_the_configuration_are_logged() {
    let own = Authenticator::new(AuthMode::Required, users(), None);
    assert_eq!(own.known_name(&credentials("plain", "x")), Some("plain"));
    assert_eq!(own.known_name(&credentials("hunter2", "plain")), None);
    let provider = Authenticator::new(AuthMode::Provider, Vec::new(), None);
    assert_eq!(provider.known_name(&credentials("Resend", "x")), Some("resend"));
    assert_eq!(provider.known_name(&credentials("token", "token")), None);
}

#[tokio::test(start_paused = true)]
async fn other_users_begin_with_the_failures_that_were_counted() {
    let own = Authenticator::new(AuthMode::Required, users(), None);
    for _ in 0..3 {
        assert!(!is_right(&own, "plain", "guess").await);
    }
    let next = own.succeeded_by(AuthMode::Required, vec![user("new", "secret")], None);
    assert_eq!(failures(&next), 3);
    assert!(is_right(&next, "new", "secret").await);
    assert!(!is_right(&next, "plain", "secret").await);
}

#[test]
fn a_user_is_lost_by_its_end_or_another_password_and_by_nothing_else() {
    let restricted = UserConfig {
        senders: vec![SenderPattern::Domain("x.example".to_owned())],
        ..user("b", "2")
    };
    let before = vec![user("a", "1"), user("b", "2"), user("c", "3")];
    let own = Authenticator::new(AuthMode::Required, before.clone(), None);
    let next = own.succeeded_by(AuthMode::Required, vec![user("a", "other"), restricted], None);
    let lost = |own: &Authenticator| before.iter().map(|user| own.has_lost(user)).collect();
    let nobody: Vec<bool> = lost(&own);
    assert_eq!(nobody, [false; 3], "they are not in force yet");
    next.take_over();
    let some: Vec<bool> = lost(&own);
    assert_eq!(some, [true, false, true]);
}
