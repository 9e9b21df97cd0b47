use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::Value;

use super::*;
use crate::cli::ListArgs;
use crate::clock::{SystemClock, Timestamp};
use crate::message::{
    Address, Dsn, IndexFields, Loss, Notify, OriginalRecipient, QueueId, RecipientDsn, Ret,
};
use crate::queue::{
    Attempt, Claim, Counts, Details, Entry, Lease, Outcome, Page, Portion, RecipientState,
    RecipientStatus, Retried, Retry, Settlement, Start, State, Summary, Usage, WayKey,
};

const ID: &str = "01937b5e-8f00-7000-8000-000000000001";
const OTHER: &str = "01937b5e-8f00-7000-8000-000000000002";
/// What Resend called it.
const AT_RESEND: &str = "49a3999c-0ce1-4ea6-ab68-afcd6dc2e794";

/// A queue with one failed message, which remembers what it was asked.
#[derive(Default)]
struct OneMessage {
    asked: Mutex<Vec<String>>,
}

impl OneMessage {
    fn note(&self, what: String) {
        self.asked.lock().unwrap().push(what);
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn id() -> QueueId {
    ID.parse().unwrap()
}

fn summary() -> Summary {
    Summary {
        id: id(),
        state: State::Failed,
        received_at: "2026-11-21T10:00:00Z".parse().unwrap(),
        sender: Some("app@example.org".parse().unwrap()),
        recipients: vec![
            RecipientStatus {
                address: "ada@example.com".parse().unwrap(),
                state: RecipientState::Failed,
                reason: Some("no such user".to_owned()),
            },
            RecipientStatus::queued("bob@example.com".parse().unwrap()),
        ],
        index: IndexFields {
            header_from: "App <app@example.org>".to_owned(),
            subject: "Verify\u{1b}[2J\r\nyour mail".to_owned(),
            message_id: "1@example.org".to_owned(),
            bulk: false,
        },
        size: 4096,
        user: None,
        provider: Some("resend".to_owned()),
        provider_message_id: None,
        next_attempt_at: None,
        error: Some("422: no such user".to_owned()),
        way: WayKey::default(),
        in_doubt: false,
    }
}

#[async_trait]
impl Store for OneMessage {
    async fn list(&self, filter: Filter) -> Result<Page, StoreError> {
        self.note(format!("list {:?} {:?} {}", filter.state, filter.text, filter.limit));
        let next = filter.before.is_none().then(id);
        let known = filter.name.is_none_or(|name| ["<1@example.org>", AT_RESEND].contains(&&*name));
        Ok(Page { messages: if known { vec![summary()] } else { Vec::new() }, next })
    }

    async fn show(&self, wanted: QueueId) -> Result<Option<Details>, StoreError> {
        let attempts = vec![Attempt {
            at: "2026-11-21T10:00:01Z".parse().unwrap(),
            provider: "resend".to_owned(),
            outcome: Outcome::Rejected,
            error: Some("422: no such user".to_owned()),
            provider_message_id: None,
            latency_ms: 87,
            recipients: Vec::new(),
            losses: vec![Loss::slight("header X", "reserved")],
        }];
        let bob = "bob@example.com".parse::<Address>().unwrap();
        let ada = "ada@example.com".parse::<Address>().unwrap();
        let original = OriginalRecipient {
            address_type: "rfc822".to_owned(),
            address: "all@example.com".to_owned(),
        };
        let notify = Some(vec![Notify::Failure, Notify::Delay]);
        let dsn = Some(Box::new(Dsn {
            ret: Some(Ret::Hdrs),
            envelope_id: Some("QQ314159".to_owned()),
            recipients: vec![
                RecipientDsn { notify, original: Some(original), ..bob.into() },
                RecipientDsn { notify: Some(Vec::new()), ..ada.into() },
            ],
        }));
        Ok((wanted == id()).then(|| Details { summary: summary(), attempts, dsn }))
    }

    async fn retry(
        &self,
        wanted: QueueId,
        retry: Retry,
        _now: Timestamp,
    ) -> Result<(), StoreError> {
        self.note(format!("retry {wanted} {:?}", retry.provider));
        if wanted == id() { Ok(()) } else { Err(StoreError::NotFound(wanted)) }
    }

    async fn retry_failed(
        &self,
        before: Option<QueueId>,
        _now: Timestamp,
    ) -> Result<Retried, StoreError> {
        self.note(format!("retry failed before {before:?}"));
        Ok(Retried { retried: 1, ..Retried::default() })
    }

    async fn cancel(&self, wanted: QueueId, _now: Timestamp) -> Result<(), StoreError> {
        self.note(format!("cancel {wanted}"));
        let hint = "only queued messages can be cancelled";
        Err(StoreError::WrongState { id: wanted, state: State::Failed, hint })
    }

    async fn insert(&self, _: Entry) -> Result<(), StoreError> {
        Err(StoreError::Unavailable("not asked for".to_owned()))
    }

    async fn claim(&self, _: Portion, _: Timestamp, _: Lease) -> Result<Vec<Claim>, StoreError> {
        Ok(Vec::new())
    }

    async fn begin(&self, _: Start) -> Result<(), StoreError> {
        Ok(())
    }

    async fn settle_all(
        &self,
        _: Vec<Settlement>,
    ) -> Result<Vec<Result<(), StoreError>>, StoreError> {
        Ok(Vec::new())
    }

    async fn next_due(&self, _: &Portion) -> Result<Option<Timestamp>, StoreError> {
        Ok(None)
    }

    async fn usage(&self, _: i64) -> Result<Vec<Usage>, StoreError> {
        Ok(Vec::new())
    }

    async fn content(&self, _: QueueId) -> Result<Option<Bytes>, StoreError> {
        Ok(None)
    }

    async fn counts(&self) -> Result<Counts, StoreError> {
        Ok(Counts::default())
    }

    async fn sweep(&self, _: Duration, _: Duration, _: Timestamp) -> Result<usize, StoreError> {
        Ok(0)
    }
}

async fn ask(store: &OneMessage, action: QueueAction, json: bool) -> Answer {
    act(&QueueArgs { action, json }, store, &SystemClock).await
}

fn list() -> QueueAction {
    QueueAction::List(ListArgs {
        state: Some(State::Failed),
        provider: None,
        search: Some("ada".to_owned()),
        before: None,
        limit: 7,
    })
}

#[tokio::test]
async fn a_list_shows_a_message_on_a_line_and_its_error_below() {
    let store = OneMessage::default();
    let answer = ask(&store, list(), false).await;
    let lines: Vec<&str> = answer.text.lines().collect();
    assert_eq!(
        lines,
        [
            &format!(
                "{ID}  failed     2026-11-21T10:00:00Z  app@example.org -> ada@example.com (+1)  \
                 Verify [2J  your mail"
            ),
            "    resend: 422: no such user",
            &format!("there are more: --before {ID}"),
        ]
    );
    assert_eq!(store.asked(), ["list Some(Failed) Some(\"ada\") 7"]);
}

#[tokio::test]
async fn json_has_the_form_of_the_api() {
    let store = OneMessage::default();
    let page: Value = serde_json::from_str(&ask(&store, list(), true).await.text).unwrap();
    assert_eq!(page["next"], ID);
    let message = &page["messages"][0];
    assert_eq!(message["from"], "app@example.org");
    assert_eq!(message["state"], "failed");
    assert_eq!(message["received_at"], "2026-11-21T10:00:00.000Z");
    assert_eq!(message["recipients"][0]["reason"], "no such user");
    assert!(message.get("attempts").is_none());

    let shown = ask(&store, QueueAction::Show { id: ID.to_owned() }, true).await.text;
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["attempts"][0]["outcome"], "rejected");
    assert_eq!(shown["attempts"][0]["latency_ms"], 87);
}

#[tokio::test]
async fn one_message_is_shown_with_recipients_attempts_and_losses() {
    let answer = ask(&OneMessage::default(), QueueAction::Show { id: ID.to_owned() }, false).await;
    for line in [
        "state         failed",
        "  failed     ada@example.com  no such user",
        "  queued     bob@example.com",
        "  2026-11-21T10:00:01Z  resend  rejected  87 ms  422: no such user",
        "    not carried: header X (reserved)",
        "wishes about notifications (none are sent yet): RET=HDRS ENVID=QQ314159",
        "  bob@example.com  NOTIFY=FAILURE,DELAY ORCPT=rfc822;all@example.com",
        "  ada@example.com  NOTIFY=NEVER",
    ] {
        assert!(answer.text.lines().any(|shown| shown == line), "{line:?}\n{}", answer.text);
    }
    let other = QueueAction::Show { id: OTHER.to_owned() };
    let none = ask(&OneMessage::default(), other, false).await;
    assert_eq!(none.errors, [format!("there is no message {OTHER}")]);

    let named = QueueAction::Show { id: "<1@example.org>".to_owned() };
    let named = ask(&OneMessage::default(), named, false).await;
    assert!(named.text.contains(ID), "{}", named.text);
}

#[tokio::test]
async fn a_providers_id_that_looks_like_ours_is_found_as_well() {
    let named = QueueAction::Show { id: AT_RESEND.to_owned() };
    let named = ask(&OneMessage::default(), named, false).await;
    assert!(named.text.contains(ID), "{:?}", named.errors);
}

#[tokio::test]
async fn each_message_is_acted_on_even_when_one_fails() {
    let store = OneMessage::default();
    let ids = || vec![OTHER.parse().unwrap(), id()];
    let retry = QueueAction::Retry { id: ids(), failed: false, provider: Some("ses".to_owned()) };
    let answer = ask(&store, retry, false).await;
    assert_eq!(answer.text, format!("{ID} is due now\n"));
    assert_eq!(answer.errors, [format!("there is no message {OTHER}")]);
    assert_eq!(store.asked()[1], format!("retry {ID} Some(\"ses\")"));

    let answer = ask(&store, QueueAction::Cancel { id: vec![id()] }, true).await;
    let acted: Value = serde_json::from_str(&answer.text).unwrap();
    assert_eq!((&acted["id"], &acted["ok"]), (&Value::from(ID), &Value::from(false)));
    assert!(answer.errors[0].contains("only queued messages"), "{:?}", answer.errors);
}

#[tokio::test]
async fn all_failed_messages_are_found_page_by_page() {
    let store = OneMessage::default();
    let retry = QueueAction::Retry { id: Vec::new(), failed: true, provider: None };
    let answer = ask(&store, retry, false).await;
    assert_eq!(answer.errors, [""; 0]);
    let page = format!("list Some(Failed) None {PAGE}");
    let again = format!("retry {ID} None");
    assert_eq!(store.asked(), [page.clone(), page, again.clone(), again]);
}
