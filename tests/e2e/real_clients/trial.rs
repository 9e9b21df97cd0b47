//! One client's way through all manners: two relays, a tap before each door, and the letter that must arrive.

use crate::support::certificates::Certificates;
use crate::support::fake::FakeProvider;
use crate::support::letter;
use crate::support::relay::{Relay, Setup};
use crate::support::tap::{Conversation, Tap};
use crate::support::wait;

use super::case::{Case, Manner, Outcome, Seen, Tls};
use super::table::{self, Row};

/// Who may send through the relay that asks for a log-in.
pub(crate) const USER: &str = "app@sender.example";
/// With the characters that a careless client would lose.
pub(crate) const PASSWORD: &str = "S3cret:p/w+d=%&#";
/// Not the password.
const WRONG: &str = "wr0ng:p/w+d=%&#";

/// The doors that clients go through.
#[derive(Debug)]
struct Doors {
    /// Users, AUTH required, TLS required.
    guarded: Relay,
    guarded_plain: Tap,
    guarded_tls: Tap,
    /// No users, no TLS: the loopback address is trusted.
    open: Relay,
    open_plain: Tap,
}

/// A client on trial.
#[derive(Debug)]
pub(crate) struct Trial {
    fake: FakeProvider,
    doors: Doors,
    certificates: Certificates,
    row: Row,
    runs: usize,
    /// The mechanism that the client took when all could see it.
    chosen: Option<String>,
    /// What a person sees of a refused password.
    refusal: &'static str,
    /// What a person sees of a certificate that is not trusted, in lower case.
    distrust: &'static str,
}

impl Trial {
    /// Both relays run; the row of this client is empty.
    pub(crate) async fn begin(client: &'static str, version: &str) -> Self {
        let fake = FakeProvider::resend().await;
        let setup = Setup::resend(&fake);
        let certificates = Certificates::write(setup.home());
        let guarded = setup
            .set("smtp.listen_tls", "127.0.0.1:0")
            .set("smtp.tls.certificate", &certificates.certificate.display().to_string())
            .set("smtp.tls.key", &certificates.key.display().to_string())
            .set("smtp.tls.required", "true")
            .set("smtp.auth", "required")
            .set("smtp.users.0.username", USER)
            .set("smtp.users.0.password", PASSWORD)
            .start()
            .await;
        let open = Setup::resend(&fake).start().await;
        let doors = Doors {
            guarded_plain: Tap::before(guarded.smtp).await,
            guarded_tls: Tap::before(guarded.smtps()).await,
            guarded,
            open_plain: Tap::before(open.smtp).await,
            open,
        };
        Self {
            fake,
            doors,
            certificates,
            row: Row::new(client, version),
            runs: 0,
            chosen: None,
            refusal: "535",
            distrust: "certificate",
        }
    }

    /// What this client says instead of the reply code when its password is wrong.
    pub(crate) fn refusal_reads(mut self, text: &'static str) -> Self {
        self.refusal = text;
        self
    }

    /// Something else that was tried and went well.
    pub(crate) fn also(&mut self, what: &str) {
        self.row.also.push(what.to_owned());
    }

    /// A run in this manner, to be changed and then given to [`Trial::run`].
    pub(crate) fn case(&mut self, manner: Manner, count: usize) -> Case {
        self.runs += 1;
        let home = self.doors.guarded.setup().home();
        let folder = home.join(format!("client-{}", self.runs));
        std::fs::create_dir(&folder).unwrap();
        let id = format!("{}.letter@sender.example", self.runs);
        letter::write_parts(&folder, &id);
        std::fs::write(folder.join("letter.eml"), letter::eml(&format!("0.{id}"), "")).unwrap();
        let (tap, credentials) = match manner {
            Manner::StartTls | Manner::WrongAuthority => {
                (&self.doors.guarded_plain, Some((USER, PASSWORD)))
            }
            Manner::WrongPassword => (&self.doors.guarded_plain, Some((USER, WRONG))),
            Manner::Implicit => (&self.doors.guarded_tls, Some((USER, PASSWORD))),
            Manner::OpenAuth => (&self.doors.open_plain, Some(("anybody", "anything"))),
            Manner::Open => (&self.doors.open_plain, None),
        };
        Case {
            manner,
            folder,
            port: tap.address.port(),
            count,
            tls: manner.tls(),
            credentials,
            mechanism: None,
            certificates: self.certificates.clone(),
            variables: Vec::new(),
            id,
        }
    }

    /// Lets the client send in every manner, so many letters each, and fills the row.
    pub(crate) async fn every_manner(
        &mut self,
        count: usize,
        mechanism: Option<&'static str>,
        client: impl AsyncFn(&Case) -> Outcome,
    ) {
        for manner in Manner::TRIED {
            let mut case = self.case(manner, if manner.must_fail() { 1 } else { count });
            case.mechanism = mechanism;
            let seen = self.run(&case, &client).await;
            let cell = match manner {
                Manner::StartTls | Manner::Implicit => {
                    let mechanism = mechanism.or(self.chosen.as_deref());
                    let mechanism = mechanism.expect("neither seen nor told");
                    format!("{}, {mechanism}", seen.tls_version().unwrap())
                }
                Manner::OpenAuth => self.chosen.clone().expect("no AUTH was said"),
                Manner::Open => "yes".to_owned(),
                Manner::WrongPassword => "is told".to_owned(),
                Manner::WrongAuthority => "refuses".to_owned(),
            };
            self.row.set(manner, cell);
        }
    }

    /// Lets the client log in by this mechanism: where all can see it, and over TLS.
    pub(crate) async fn log_in_by(
        &mut self,
        mechanism: &'static str,
        client: impl AsyncFn(&Case) -> Outcome,
    ) {
        for manner in [Manner::OpenAuth, Manner::StartTls] {
            let mut case = self.case(manner, 1);
            case.mechanism = Some(mechanism);
            self.run(&case, &client).await;
        }
    }

    /// One run of the client, with everything that must be true of it.
    pub(crate) async fn run(
        &mut self,
        case: &Case,
        client: impl AsyncFn(&Case) -> Outcome,
    ) -> Seen {
        let outcome = client(case).await;
        let told = format!("{:?} {:?}", self.row.client, case.manner);
        assert_eq!(outcome.success, !case.manner.must_fail(), "{told}: {}", outcome.said);
        if case.manner.must_fail() {
            let sign = match case.manner {
                Manner::WrongAuthority => self.distrust,
                Manner::WrongPassword
                | Manner::StartTls
                | Manner::Implicit
                | Manner::OpenAuth
                | Manner::Open => self.refusal,
            };
            let said = outcome.said.to_lowercase();
            assert!(said.contains(&sign.to_lowercase()), "{told} does not say {sign:?}: {said}");
            self.assert_nothing_came(case).await;
        } else {
            self.assert_arrived(case).await;
        }
        let seen = self.seen(case).await;
        self.assert_wire(case, &seen);
        if let Some(line) = seen.open_line("AUTH ") {
            assert_eq!(case.manner, Manner::OpenAuth, "{told} shows its password: {line}");
            assert!(seen.tls_version().is_none());
            let mechanism = seen.conversations.iter().find_map(Conversation::open_mechanism);
            if let Some(wanted) = case.mechanism {
                assert_eq!(mechanism.as_deref(), Some(wanted), "{told}");
            }
            self.chosen = self.chosen.take().or(mechanism);
        }
        seen
    }

    fn relay(&self, manner: Manner) -> &Relay {
        match manner {
            Manner::StartTls
            | Manner::Implicit
            | Manner::WrongPassword
            | Manner::WrongAuthority => &self.doors.guarded,
            Manner::OpenAuth | Manner::Open => &self.doors.open,
        }
    }

    /// Every letter arrives whole and once, and the relay knows who sent it.
    async fn assert_arrived(&self, case: &Case) {
        let of_this_run = || {
            let mut mails = self.fake.mails();
            mails.retain(|mail| {
                letter::header(&mail.json, "Message-ID").is_some_and(|id| id.contains(&case.id))
            });
            mails
        };
        let what = format!("{} letters of {:?} arrive", case.count, self.row.client);
        wait::until_true(&what, || of_this_run().len() >= case.count).await;
        let mails = of_this_run();
        assert_eq!(mails.len(), case.count);
        for number in 0..case.count {
            let id = case.message_id(number);
            let field = Some(format!("<{id}>"));
            let mail = mails
                .iter()
                .find(|mail| letter::header(&mail.json, "Message-ID") == field)
                .unwrap_or_else(|| panic!("{id} did not arrive"));
            letter::assert_whole(&mail.json, &id);
        }
        let user = match case.manner {
            Manner::StartTls
            | Manner::Implicit
            | Manner::WrongPassword
            | Manner::WrongAuthority => Some(USER),
            // A name that nobody has checked is not shown.
            Manner::OpenAuth | Manner::Open => None,
        };
        let messages = self.messages(case).await;
        assert!(!messages.is_empty(), "the API does not show {}", case.id);
        for message in messages {
            assert_eq!(message["user"].as_str(), user, "{message}");
        }
    }

    async fn assert_nothing_came(&self, case: &Case) {
        assert_eq!(self.messages(case).await, Vec::<serde_json::Value>::new());
    }

    /// What the relay's API shows of this run.
    async fn messages(&self, case: &Case) -> Vec<serde_json::Value> {
        let mut messages = self.relay(case.manner).http.messages().await;
        messages.retain(|message| message.to_string().contains(&case.id));
        messages
    }

    /// What went over the wire, once the client has hung up.
    async fn seen(&self, case: &Case) -> Seen {
        let tap = match case.manner {
            Manner::StartTls | Manner::WrongPassword | Manner::WrongAuthority => {
                &self.doors.guarded_plain
            }
            Manner::Implicit => &self.doors.guarded_tls,
            Manner::OpenAuth | Manner::Open => &self.doors.open_plain,
        };
        let conversations = wait::until("the client hangs up", async || tap.take()).await;
        Seen { conversations }
    }

    /// TLS began as told, and nothing but what belongs there was said before it.
    fn assert_wire(&self, case: &Case, seen: &Seen) {
        for conversation in &seen.conversations {
            let begun_at_once = conversation.is_tls_from_the_start();
            assert_eq!(begun_at_once, case.tls == Tls::Implicit, "{}", self.row.client);
            assert_eq!(conversation.tls_version().is_some(), case.tls != Tls::None);
            if case.tls == Tls::Upgrade {
                assert!(conversation.open_line("STARTTLS").is_some());
                assert_eq!(conversation.open_line("MAIL FROM"), None);
            }
        }
    }

    /// Compares the row with the table in the docs, and looks for secrets in the logs.
    pub(crate) fn end(self) {
        for relay in [&self.doors.guarded, &self.doors.open] {
            for secret in [PASSWORD, WRONG, "anything"] {
                assert!(!relay.log().contains(secret), "a password is in the log");
            }
        }
        table::compare(&self.row);
    }
}
