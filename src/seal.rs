//! The lock on provider accounts that clients bring along (SPEC 4.3): who has the queue's file alone learns no key.
//!
//! One secret of 32 octets lies in a file beside the store, or in the configuration of all instances that share a store.
//! From it come a key for AES-256-GCM, and one for the
//! fingerprints by which accounts are told apart where their keys must not be seen. A sealed account is bound to its
//! message: moved to another one it does not open.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::{hmac, rand};

use crate::config::ProviderKind;
use crate::message::{Account, QueueId, SealedAccount};
use crate::secret::Secret;
use crate::whole_file;

/// Octets of the secret.
const SECRET_LEN: usize = 32;
/// The first octet of what [`SealKey::seal`] makes: version, key id, nonce, ciphertext with tag.
const VERSION: u8 = 1;
/// Octets that say which key it was, so that a lost key and a damaged record are told apart.
const KEY_ID_LEN: usize = 4;
const HEAD_LEN: usize = 1 + KEY_ID_LEN;

/// The key that seals accounts. Read, or made, at the first need.
pub struct SealKey {
    origin: Origin,
    keys: Mutex<Option<Arc<Keys>>>,
}

/// Where the secret is from.
enum Origin {
    /// This file; made where it is missing.
    File(PathBuf),
    /// The configuration.
    Given([u8; SECRET_LEN]),
    /// Nowhere: several instances share a queue, and nobody has given them one key.
    Absent,
    /// It goes with the process.
    Memory,
}

/// What the secret becomes.
struct Keys {
    id: [u8; KEY_ID_LEN],
    seal: RandomizedNonceKey,
    mark: hmac::Key,
}

/// Why an account cannot be sealed or opened. The texts say what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The key file is not there, and what it has sealed is.
    #[error(
        "the key file {0} is missing, and without it the credentials of this message cannot be read: \
         put it back from a backup, or cancel the message and have it sent again"
    )]
    Missing(String),
    /// The key file cannot be used.
    #[error("the key file {path} cannot be used: {problem}")]
    Unusable { path: String, problem: String },
    /// Nobody has given a key to the instances that share the queue.
    #[error(
        "the credentials that clients bring need queue.seal_key, the same for all instances: `openssl rand -base64 32` \
         makes one"
    )]
    NotGiven,
    /// It was sealed with another key.
    #[error(
        "the credentials of this message were sealed with another key than the one in {0}: put the old key back \
         and restart, or cancel the message and have it sent again"
    )]
    OtherKey(String),
    /// It was changed, belongs to another message, or a newer version made it.
    #[error(
        "the credentials of this message cannot be read: the record is damaged or from a newer version; cancel the \
         message and have it sent again"
    )]
    Damaged,
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    NoRandom,
}

/// An account without its secrets: equal for equal accounts under one key, and of no use to anybody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl fmt::Display for Fingerprint {
    /// Short, to be recognised by people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..3].iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl SealKey {
    /// The key beside the store at `store`: `mailferry.db.key` for `mailferry.db`.
    pub fn beside(store: &Path) -> Self {
        let store = std::path::absolute(store).unwrap_or_else(|_| store.to_owned());
        let mut name = store.into_os_string();
        name.push(".key");
        Self::from(Origin::File(name.into()))
    }

    /// The key that the configuration gives, the same for all instances on one store.
    pub fn given(secret: &[u8; SECRET_LEN]) -> Self {
        Self::from(Origin::Given(*secret))
    }

    /// No key, where it cannot be made: nothing is sealed, and nothing opens.
    pub fn absent() -> Self {
        Self::from(Origin::Absent)
    }

    fn from(origin: Origin) -> Self {
        Self { origin, keys: Mutex::new(None) }
    }

    /// A key that goes with the process, where nothing is stored.
    pub fn in_memory() -> Self {
        Self::from(Origin::Memory)
    }

    /// Reads the key, or makes it, so that a problem shows at the start and not at the first message.
    pub fn prepare(&self) -> Result<(), SealError> {
        self.keys(true).map(drop)
    }

    /// Locks an account up for the message of this id.
    pub fn seal(&self, id: QueueId, account: &Account) -> Result<SealedAccount, SealError> {
        let keys = self.keys(true)?;
        let (kind, key) = (account.kind.name(), account.key.expose());
        // Encrypted in place, in a buffer that does not move: no clear text is left behind.
        let mut text = Vec::with_capacity(kind.len() + 1 + key.len() + AES_256_GCM.tag_len());
        text.extend_from_slice(kind.as_bytes());
        text.push(0);
        text.extend_from_slice(key.as_bytes());
        let nonce = keys
            .seal
            .seal_in_place_append_tag(Aad::from(bound_to(id)), &mut text)
            .map_err(|_| SealError::NoRandom)?;
        let mut sealed = Vec::with_capacity(HEAD_LEN + NONCE_LEN + text.len());
        sealed.push(VERSION);
        sealed.extend_from_slice(&keys.id);
        sealed.extend_from_slice(nonce.as_ref());
        sealed.extend_from_slice(&text);
        Ok(SealedAccount(sealed.into()))
    }

    /// Gets the account of the message of this id back.
    pub fn open(&self, id: QueueId, sealed: &SealedAccount) -> Result<Account, SealError> {
        let (head, rest) = sealed.0.split_at_checked(HEAD_LEN).ok_or(SealError::Damaged)?;
        let (nonce, text) = rest.split_at_checked(NONCE_LEN).ok_or(SealError::Damaged)?;
        if head[0] != VERSION {
            return Err(SealError::Damaged);
        }
        let keys = self.keys(false)?;
        if head[1..] != keys.id {
            return Err(SealError::OtherKey(self.place()));
        }
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError::Damaged)?;
        let mut text = text.to_vec();
        let account = keys
            .seal
            .open_in_place(nonce, Aad::from(bound_to(id)), &mut text)
            .ok()
            .and_then(|clear| read(clear));
        // The key is in the account now, which wipes it.
        text.fill(0);
        std::hint::black_box(&text);
        account.ok_or(SealError::Damaged)
    }

    /// By what an account is recognised, on the page and in memory.
    pub fn fingerprint(&self, account: &Account) -> Result<Fingerprint, SealError> {
        let keys = self.keys(true)?;
        let mut hash = hmac::Context::with_key(&keys.mark);
        hash.update(account.kind.name().as_bytes());
        hash.update(&[0]);
        hash.update(account.key.expose().as_bytes());
        Ok(Fingerprint(octets(&hash.sign())))
    }

    fn place(&self) -> String {
        match &self.origin {
            Origin::File(path) => path.display().to_string(),
            Origin::Given(_) | Origin::Absent => "queue.seal_key".to_owned(),
            Origin::Memory => "memory".to_owned(),
        }
    }

    /// The keys; made where there are none only for somebody who is about to use them for the first time.
    fn keys(&self, make: bool) -> Result<Arc<Keys>, SealError> {
        let mut known = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(keys) = &*known {
            return Ok(Arc::clone(keys));
        }
        let secret = match &self.origin {
            Origin::Memory => new_secret()?,
            Origin::Given(secret) => *secret,
            Origin::Absent => return Err(SealError::NotGiven),
            Origin::File(path) => match read_file(path) {
                Ok(Some(secret)) => secret,
                Ok(None) if make => make_file(path)?,
                Ok(None) => return Err(SealError::Missing(self.place())),
                Err(problem) => return Err(SealError::Unusable { path: self.place(), problem }),
            },
        };
        let keys = Arc::new(Keys::new(&secret)?);
        *known = Some(Arc::clone(&keys));
        Ok(keys)
    }
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealKey").field("place", &self.place()).finish_non_exhaustive()
    }
}

impl Keys {
    /// Each use has a key of its own, made from the secret.
    fn new(secret: &[u8; SECRET_LEN]) -> Result<Self, SealError> {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let derived = |purpose: &[u8]| octets(&hmac::sign(&secret, purpose));
        let mut id = [0; KEY_ID_LEN];
        id.copy_from_slice(&derived(b"mailferry: id of the key")[..KEY_ID_LEN]);
        let seal = RandomizedNonceKey::new(&AES_256_GCM, &derived(b"mailferry: sealed accounts"))
            .map_err(|_| SealError::NoRandom)?;
        let mark = hmac::Key::new(hmac::HMAC_SHA256, &derived(b"mailferry: fingerprints"));
        Ok(Self { id, seal, mark })
    }
}

/// What is authenticated with the account: another version or another message does not open it.
fn bound_to(id: QueueId) -> [u8; 17] {
    let mut data = [VERSION; 17];
    data[1..].copy_from_slice(id.as_bytes());
    data
}

fn read(clear: &[u8]) -> Option<Account> {
    let (kind, key) = std::str::from_utf8(clear).ok()?.split_once('\0')?;
    Some(Account { kind: ProviderKind::from_name(kind)?, key: Secret::new(key) })
}

fn octets(tag: &hmac::Tag) -> [u8; 32] {
    let mut octets = [0; 32];
    // HMAC-SHA256 has just as many.
    octets.copy_from_slice(&tag.as_ref()[..32]);
    octets
}

fn new_secret() -> Result<[u8; SECRET_LEN], SealError> {
    let mut secret = [0; SECRET_LEN];
    rand::fill(&mut secret).map_err(|_| SealError::NoRandom)?;
    Ok(secret)
}

/// The secret in the file; `None`: there is no file.
fn read_file(path: &Path) -> Result<Option<[u8; SECRET_LEN]>, String> {
    let advice = "let the user that mailferry runs as read it (mode 0600)";
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("{error}; {advice}")),
    };
    let mut content = Vec::new();
    let length = SECRET_LEN as u64 + 1;
    io::Read::by_ref(&mut file)
        .take(length)
        .read_to_end(&mut content)
        .map_err(|error| format!("{error}; {advice}"))?;
    let secret = content.try_into().map_err(|_| {
        format!("it does not have the {SECRET_LEN} octets of a key; put it back from a backup")
    })?;
    warn_if_open_to_others(&file, path);
    Ok(Some(secret))
}

#[cfg(unix)]
fn warn_if_open_to_others(file: &File, path: &Path) {
    let mode =
        file.metadata().map(|data| std::os::unix::fs::PermissionsExt::mode(&data.permissions()));
    if mode.is_ok_and(|mode| mode & 0o077 != 0) {
        tracing::warn!(path = %path.display(), "others on this machine may read the key file; set its mode to 0600");
    }
}

#[cfg(not(unix))]
fn warn_if_open_to_others(_: &File, _: &Path) {}

/// Makes the file. The store's lock keeps a second daemon, and so a second writer, away.
fn make_file(path: &Path) -> Result<[u8; SECRET_LEN], SealError> {
    let secret = new_secret()?;
    whole_file::write(path, &secret, 0o600).map_err(|error| SealError::Unusable {
        path: path.display().to_string(),
        problem: format!(
            "it cannot be made ({error}); its folder must be writable for the user that mailferry runs as"
        ),
    })?;
    tracing::info!(path = %path.display(), "a key file for brought credentials was made; keep it with the queue's backups");
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn id() -> QueueId {
        "0198c0de-0000-7000-8000-000000000001".parse().unwrap()
    }

    fn account(key: &str) -> Account {
        Account { kind: ProviderKind::Resend, key: Secret::new(key) }
    }

    fn place() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("queue.db");
        (folder, store)
    }

    #[test]
    fn what_was_sealed_opens_for_its_message_only() {
        let key = SealKey::in_memory();
        let sealed = key.seal(id(), &account("re_secret")).unwrap();
        let opened = key.open(id(), &sealed).unwrap();
        assert_eq!((opened.kind, opened.key.expose()), (ProviderKind::Resend, "re_secret"));
        let other = QueueId::new("2026-11-21T00:00:00Z".parse().unwrap());
        assert_eq!(key.open(other, &sealed).unwrap_err(), SealError::Damaged);
    }

    #[test]
    fn the_key_does_not_show_and_no_two_seals_are_alike() {
        let key = SealKey::in_memory();
        let first = key.seal(id(), &account("re_secret")).unwrap();
        let second = key.seal(id(), &account("re_secret")).unwrap();
        assert_ne!(first, second);
        assert!(!first.0.windows(6).any(|part| part == b"secret" || part == b"resend"));
        assert!(!format!("{key:?} {first:?}").contains("secret"));
    }

    #[test]
    fn a_change_of_any_octet_is_noticed() {
        let key = SealKey::in_memory();
        let sealed = key.seal(id(), &account("re_secret")).unwrap();
        for at in 0..sealed.0.len() {
            let mut octets = sealed.0.to_vec();
            octets[at] ^= 1;
            let error = key.open(id(), &SealedAccount(octets.into())).unwrap_err();
            let expected = matches!(error, SealError::Damaged | SealError::OtherKey(_));
            assert!(expected, "{at}: {error}");
            let cut = SealedAccount(sealed.0.slice(..at));
            assert!(key.open(id(), &cut).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn the_key_file_is_private_and_serves_the_next_process() {
        let (folder, store) = place();
        let sealed = SealKey::beside(&store).seal(id(), &account("re_secret")).unwrap();
        let file = folder.path().join("queue.db.key");
        let data = fs::metadata(&file).unwrap();
        assert_eq!((data.len(), data.permissions().mode() & 0o777), (32, 0o600));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
        let again = SealKey::beside(&store);
        assert_eq!(again.open(id(), &sealed).unwrap().key.expose(), "re_secret");
        let mark = |key: &SealKey| key.fingerprint(&account("re_secret")).unwrap();
        assert_eq!(mark(&again), mark(&SealKey::beside(&store)));
    }

    #[test]
    fn instances_with_one_key_open_what_any_has_sealed() {
        let (secret, other) = ([7; SECRET_LEN], [8; SECRET_LEN]);
        let sealed = SealKey::given(&secret).seal(id(), &account("re_secret")).unwrap();
        let opened = SealKey::given(&secret).open(id(), &sealed).unwrap();
        assert_eq!(opened.key.expose(), "re_secret");
        let wrong = SealKey::given(&other).open(id(), &sealed).unwrap_err();
        assert_eq!(wrong, SealError::OtherKey("queue.seal_key".to_owned()));
        assert_eq!(SealKey::absent().prepare(), Err(SealError::NotGiven));
        assert_eq!(SealKey::absent().open(id(), &sealed).unwrap_err(), SealError::NotGiven);
        // A queue that is moved takes its key along.
        let (_folder, store) = place();
        fs::write(format!("{}.key", store.display()), secret).unwrap();
        assert!(SealKey::beside(&store).open(id(), &sealed).is_ok());
    }

    #[test]
    fn what_a_crash_left_does_not_stand_in_the_way() {
        let (folder, store) = place();
        let draft = folder.path().join("queue.db.key.new");
        fs::write(&draft, "half").unwrap();
        SealKey::beside(&store).prepare().unwrap();
        assert!(!draft.exists());
    }

    #[test]
    fn a_lost_key_file_is_not_replaced_by_opening() {
        let (folder, store) = place();
        let sealed = SealKey::beside(&store).seal(id(), &account("re_secret")).unwrap();
        let file = folder.path().join("queue.db.key");
        let kept = fs::read(&file).unwrap();
        fs::remove_file(&file).unwrap();
        let key = SealKey::beside(&store);
        let missing = key.open(id(), &sealed).unwrap_err();
        assert!(missing.to_string().contains("queue.db.key is missing"), "{missing}");
        assert!(!file.exists());

        key.seal(id(), &account("re_other")).unwrap();
        let other = key.open(id(), &sealed).unwrap_err();
        assert!(other.to_string().contains("put the old key back"), "{other}");
        fs::write(&file, kept).unwrap();
        assert!(SealKey::beside(&store).open(id(), &sealed).is_ok());
    }

    #[test]
    fn a_file_that_is_no_key_is_named_and_kept() {
        let (folder, store) = place();
        let file = folder.path().join("queue.db.key");
        for content in [&b""[..], b"short", &[7; 33]] {
            fs::write(&file, content).unwrap();
            let error = SealKey::beside(&store).seal(id(), &account("k")).unwrap_err().to_string();
            assert!(error.contains("queue.db.key") && error.contains("32 octets"), "{error}");
            assert_eq!(fs::read(&file).unwrap(), content);
        }
    }

    #[test]
    fn fingerprints_tell_accounts_apart_and_show_nothing() {
        let key = SealKey::in_memory();
        let mark = |account: &Account| key.fingerprint(account).unwrap();
        let resend = account("re_secret");
        let sendgrid = Account { kind: ProviderKind::SendGrid, ..resend.clone() };
        assert_eq!(mark(&resend), mark(&account("re_secret")));
        assert_ne!(mark(&resend), mark(&sendgrid));
        assert_ne!(mark(&resend), mark(&account("re_secres")));
        assert_ne!(mark(&resend), SealKey::in_memory().fingerprint(&resend).unwrap());
        assert_eq!(mark(&resend).to_string().len(), 6);
    }
}
