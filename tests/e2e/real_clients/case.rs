//! One run of a client: how it is to reach the relay, what it is told, how it ended, and what the wire showed.

use std::path::{Path, PathBuf};
use std::process::Output;

use crate::support::certificates::{Certificates, HOST};
use crate::support::tap::Conversation;

/// How a client reaches the relay. The order is that of the columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// STARTTLS, the certificate verified, and AUTH: the relay insists on both.
    StartTls,
    /// TLS from the first octet, the certificate verified, and AUTH: the relay insists on it.
    Implicit,
    /// AUTH in plaintext from a trusted network, to a relay without users: any credentials are taken.
    OpenAuth,
    /// Neither TLS nor AUTH, from a trusted network.
    Open,
    /// As `StartTls`, with a wrong password: the client must notice.
    WrongPassword,
    /// As `StartTls`, and the client trusts another authority: it must not go on.
    WrongAuthority,
}

impl Manner {
    pub(crate) const ALL: [Self; 6] = [
        Self::StartTls,
        Self::Implicit,
        Self::OpenAuth,
        Self::Open,
        Self::WrongPassword,
        Self::WrongAuthority,
    ];

    /// The one without TLS is tried first: there the mechanism that the client chooses can be seen.
    pub(super) const TRIED: [Self; 6] = [
        Self::OpenAuth,
        Self::StartTls,
        Self::Implicit,
        Self::Open,
        Self::WrongPassword,
        Self::WrongAuthority,
    ];

    /// How the column is called.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::StartTls => "STARTTLS, AUTH",
            Self::Implicit => "TLS from the start, AUTH",
            Self::OpenAuth => "AUTH without TLS",
            Self::Open => "neither",
            Self::WrongPassword => "wrong password",
            Self::WrongAuthority => "unknown certificate",
        }
    }

    pub(super) fn tls(self) -> Tls {
        match self {
            Self::StartTls | Self::WrongPassword | Self::WrongAuthority => Tls::Upgrade,
            Self::Implicit => Tls::Implicit,
            Self::OpenAuth | Self::Open => Tls::None,
        }
    }

    pub(super) fn must_fail(self) -> bool {
        match self {
            Self::StartTls | Self::Implicit | Self::OpenAuth | Self::Open => false,
            Self::WrongPassword | Self::WrongAuthority => true,
        }
    }
}

/// How TLS begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tls {
    None,
    /// By STARTTLS.
    Upgrade,
    Implicit,
}

/// What a client is told for one run.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) manner: Manner,
    /// The letter's parts are here, and there is room for what the client needs.
    pub(crate) folder: PathBuf,
    pub(crate) port: u16,
    pub(crate) count: usize,
    pub(crate) tls: Tls,
    /// User name and password.
    pub(crate) credentials: Option<(&'static str, &'static str)>,
    /// `None`: the client's choice.
    pub(crate) mechanism: Option<&'static str>,
    pub(crate) certificates: Certificates,
    /// More variables for scripts.
    pub(crate) variables: Vec<(&'static str, &'static str)>,
    /// Unique to the run, and in every Message-ID of it.
    pub(super) id: String,
}

impl Case {
    /// The authority that the client trusts.
    pub(crate) fn authority(&self) -> &Path {
        match self.manner {
            Manner::WrongAuthority => &self.certificates.stranger,
            Manner::StartTls
            | Manner::Implicit
            | Manner::OpenAuth
            | Manner::Open
            | Manner::WrongPassword => &self.certificates.authority,
        }
    }

    /// The Message-ID of the letter with this number.
    pub(crate) fn message_id(&self, number: usize) -> String {
        format!("{number}.{}", self.id)
    }

    /// `localhost:1025`.
    pub(crate) fn address(&self) -> String {
        format!("{HOST}:{}", self.port)
    }

    /// What `tests/clients/README.md` lists.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        let tls = match self.tls {
            Tls::None => "none",
            Tls::Upgrade => "starttls",
            Tls::Implicit => "implicit",
        };
        let mut variables = vec![("RELAY_TLS", tls.to_owned())];
        if self.tls != Tls::None {
            variables.push(("RELAY_CA", self.authority().display().to_string()));
        }
        if let Some((user, password)) = self.credentials {
            variables.push(("RELAY_USER", user.to_owned()));
            variables.push(("RELAY_PASSWORD", password.to_owned()));
        }
        variables.extend(self.mechanism.map(|name| ("RELAY_MECHANISM", name.to_owned())));
        variables.extend(self.variables.iter().map(|(name, value)| (*name, (*value).to_owned())));
        variables
    }
}

/// How a client ended.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) success: bool,
    /// What a person sees of it.
    pub(crate) said: String,
}

impl From<Output> for Outcome {
    fn from(output: Output) -> Self {
        let said = [output.stdout, output.stderr].concat();
        Self { success: output.status.success(), said: String::from_utf8_lossy(&said).into_owned() }
    }
}

/// What the wire showed of one run.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) conversations: Vec<Conversation>,
}

impl Seen {
    /// The only TLS version on all connections.
    pub(crate) fn tls_version(&self) -> Option<&'static str> {
        let versions: Vec<_> = self.conversations.iter().map(Conversation::tls_version).collect();
        assert!(versions.windows(2).all(|pair| pair[0] == pair[1]), "{versions:?}");
        versions.first().copied().flatten()
    }

    /// A line that could be read, with this beginning.
    pub(crate) fn open_line(&self, begin: &str) -> Option<String> {
        self.conversations.iter().find_map(|conversation| conversation.open_line(begin))
    }
}
