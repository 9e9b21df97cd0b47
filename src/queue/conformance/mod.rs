//! What every store must do, as tests that each implementation runs: `conformance!(open)` in its own test module,
//! where `open` makes an empty store for a number of open messages.

pub(super) mod accepting;
pub(super) mod claiming;
pub(super) mod counting;
pub(super) mod doubt;
pub(super) mod looking;
pub(super) mod once;
pub(super) mod operating;
pub(super) mod settling;
pub(super) mod suppressing;
pub(super) mod sweeping;
pub(super) mod turns;

use std::any::Any;
use std::fmt;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{
    Attempt, Claim, Entry, Lease, Next, Outcome, Portion, RecipientState, RecipientStatus,
    Settlement, State, Store, Summary,
};
use crate::clock::Timestamp;
use crate::message::{Envelope, IndexFields, Message, QueueId, SealedAccount};

/// An empty store, and what must live as long as it (a folder).
pub(super) struct Harness {
    pub(super) store: Arc<dyn Store>,
    account: AccountOf,
    _keep: Box<dyn Any + Send + Sync>,
}

/// Looks at what is kept of a message's account; the contract has no way to ask.
type AccountOf = Box<dyn Fn(QueueId) -> Option<SealedAccount> + Send + Sync>;

impl Harness {
    pub(super) fn new(
        store: Arc<dyn Store>,
        keep: impl Any + Send + Sync,
        account: impl Fn(QueueId) -> Option<SealedAccount> + Send + Sync + 'static,
    ) -> Self {
        Self { store, account: Box::new(account), _keep: Box::new(keep) }
    }

    /// What the store keeps of a message's account.
    pub(super) fn account(&self, id: QueueId) -> Option<SealedAccount> {
        (self.account)(id)
    }
}

impl Deref for Harness {
    type Target = dyn Store;

    fn deref(&self) -> &Self::Target {
        &*self.store
    }
}

impl fmt::Debug for Harness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Harness").finish_non_exhaustive()
    }
}

/// Makes an empty store for that many open messages.
pub(super) type Open = fn(u64) -> Opening;

/// A store on its way.
pub(super) type Opening = Pin<Box<dyn Future<Output = Harness> + Send>>;

/// More open messages than any test has.
pub(super) const ROOMY: u64 = 100_000;

/// One test for each promise.
macro_rules! conformance {
    ($open:ident) => {
        $crate::queue::conformance::conformance! { $open;
            accepting: a_message_is_kept_as_it_came, whether_a_client_may_steer_is_kept,
                a_message_without_lease_is_due_at_once,
                a_message_born_claimed_is_under_lease_one, contents_of_any_size_come_back_whole,
                a_full_queue_refuses_until_a_message_is_over, an_id_is_taken_once,
                many_tasks_insert_at_once;
            claiming: the_longest_due_comes_first, nothing_is_handed_out_before_it_is_due,
                a_message_is_handed_out_once, claimers_share_without_doubles,
                a_claim_keeps_to_its_limits,
                large_messages_that_are_not_wanted_are_passed_over, a_lease_that_ran_out_is_due_again,
                a_claim_carries_what_happened_before, a_claim_carries_the_latest_hundred_attempts,
                next_due_is_the_first_of_waiting_and_leased;
            turns: one_sender_does_not_hold_up_another, of_one_sender_the_longest_due_comes_first,
                every_sender_has_its_turn_however_small_the_claims,
                bulk_mail_comes_last_but_gets_a_small_part, what_is_not_due_costs_no_turn,
                a_closed_way_is_left_alone, each_way_has_room_of_its_own,
                ways_take_turns_when_octets_are_short,
                a_lease_that_ran_out_in_a_closed_way_waits_for_it, a_settlement_may_change_the_way,
                very_many_senders_are_all_served_in_the_end;
            doubt: what_was_begun_is_in_doubt_when_the_lease_runs_out,
                a_message_born_claimed_may_be_begun_at_once, calls_are_begun_all_or_none,
                only_an_unclear_end_leaves_the_doubt,
                an_end_may_name_who_may_have_the_message, a_batch_in_doubt_comes_back_as_a_whole,
                a_batch_of_which_a_member_is_held_is_not_torn, a_clear_answer_ends_the_batch,
                the_members_of_a_batch_in_doubt_stay_together,
                a_retry_ends_the_doubt_of_a_lone_message;
            settling: delivery_ends_a_message, refusal_ends_a_message_with_its_reason,
                a_deferred_message_comes_back_when_due, a_message_put_back_is_not_counted_as_deferred,
                a_partial_delivery_keeps_the_lease, attempts_are_kept_whole_and_in_order,
                a_late_settlement_writes_nothing, an_expired_lease_that_nobody_took_may_settle,
                a_message_is_settled_once, a_stranger_is_not_settled,
                an_account_goes_with_the_delivery_and_not_before,
                each_of_many_settlements_has_its_own_answer, what_providers_have_taken_is_counted;
            operating: a_retry_makes_a_waiting_message_due, a_retry_revives_a_failed_message,
                a_retry_revives_a_cancelled_message, a_retry_spares_who_has_got_it,
                a_retry_may_name_the_provider, a_retry_names_no_provider_beside_an_account,
                a_retry_leaves_sending_and_delivered_alone,
                a_retry_needs_the_content, a_cancelled_message_is_not_sent,
                only_a_waiting_message_can_be_cancelled, a_stranger_cannot_be_operated_on,
                a_retry_may_name_the_recipients, a_delivered_message_can_be_sent_to_others,
                everything_that_failed_is_retried_in_slices,
                a_retry_of_all_passes_over_who_is_suppressed,
                a_retry_in_doubt_leaves_the_suppressed_out;
            looking: a_list_is_newest_first_in_pages, a_list_keeps_to_its_longest_page,
                a_list_is_filtered_by_state, a_list_is_filtered_by_provider,
                a_search_looks_into_every_field, a_message_is_found_by_every_name_that_it_has,
                a_search_takes_wildcards_literally,
                a_search_is_not_about_names_of_states, filters_work_together,
                an_unknown_message_is_nowhere, counts_follow_every_change, the_oldest_is_an_open_one;
            sweeping: contents_go_after_their_time, contents_of_failed_messages_stay_with_the_record,
                an_account_goes_with_the_content, records_go_after_their_time, open_messages_are_never_swept,
                a_sweep_works_in_small_slices_until_nothing_is_left,
                what_providers_took_is_forgotten_after_35_days;
            suppressing: two_spellings_of_a_mailbox_are_one, the_list_is_newest_first_in_pages,
                the_list_is_filtered_by_text_and_reason, who_is_on_the_list_is_found_among_others;
            counting: counters_of_the_same_step_add_up, counters_are_read_from_one_moment_to_another,
                counters_are_kept_for_their_time;
            once: a_key_is_taken_once, a_key_is_forgotten_after_a_day, a_refused_submission_leaves_its_key,
                of_many_at_once_one_is_taken;
        }
    };
    ($open:ident; $($module:ident: $($case:ident),+;)+) => {
        $(mod $module {
            $(#[tokio::test]
            async fn $case() {
                $crate::queue::conformance::$module::$case(super::$open).await;
            })+
        })+
    };
}

pub(super) use conformance;

/// A moment for the tests, `seconds` after they begin.
pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + seconds).unwrap()
}

pub(super) const HOUR: Duration = Duration::from_secs(3600);

/// A message that came in at `at(seconds)`, for two recipients.
pub(super) fn message(seconds: i64) -> Message {
    let received_at = at(seconds);
    Message {
        id: QueueId::new(received_at),
        received_at,
        envelope: Envelope {
            sender: Some("app@example.org".parse().unwrap()),
            recipients: vec![
                "ada@example.net".parse().unwrap(),
                "grace@example.com".parse().unwrap(),
            ],
            smtp_utf8: false,
            dsn: None,
        },
        raw: Bytes::from_static(b"Subject: Welcome\r\n\r\nHello.\r\n"),
        index: IndexFields {
            header_from: "The App <app@example.org>".to_owned(),
            subject: "Welcome".to_owned(),
            message_id: format!("{seconds}@app.example.org"),
            bulk: false,
        },
        user: Some("lemmy".to_owned()),
        account: None,
        may_steer: true,
    }
}

/// A message that brings a sealed account along.
pub(super) fn with_account(seconds: i64) -> Arc<Message> {
    let account = SealedAccount(Bytes::from_static(b"\x01sealed\0"));
    Arc::new(Message { account: Some(account), ..message(seconds) })
}

/// A lease until `at(seconds)`.
pub(super) fn lease(seconds: i64) -> Lease {
    Lease { owner: Arc::from("one"), expires: at(seconds) }
}

/// Inserts a message that is due at `at(seconds)`, and returns its id.
pub(super) async fn queued(store: &dyn Store, seconds: i64) -> QueueId {
    let message = Arc::new(message(seconds));
    store.insert(Entry::waiting(Arc::clone(&message))).await.unwrap();
    message.id
}

/// Claims what is due at `at(seconds)`, for ten minutes.
pub(super) async fn claim(store: &dyn Store, seconds: i64) -> Vec<Claim> {
    store.claim(up_to(1_000), at(seconds), lease(seconds + 600)).await.unwrap()
}

/// A claim of so many messages, of whatever size.
pub(super) fn up_to(messages: usize) -> Portion {
    Portion::any(messages, u64::MAX, usize::MAX)
}

/// Claims the one message that must be due at `at(seconds)`.
pub(super) async fn claim_one(store: &dyn Store, seconds: i64) -> Claim {
    let mut claims = claim(store, seconds).await;
    assert_eq!(claims.len(), 1);
    claims.remove(0)
}

/// A settlement by the holder of the claim, without attempts, recipients as they were.
pub(super) fn settlement(claim: &Claim, next: Next, seconds: i64) -> Settlement {
    Settlement {
        id: claim.message.id,
        lease: claim.lease,
        attempts: Vec::new(),
        recipients: claim.recipients.clone(),
        next,
        at: at(seconds),
        unclear: false,
        suspect: None,
        way: None,
        usage: Vec::new(),
    }
}

/// A call at `at(seconds)`.
pub(super) fn attempt(provider: &str, outcome: Outcome, seconds: i64) -> Attempt {
    Attempt {
        at: at(seconds),
        provider: provider.to_owned(),
        outcome,
        error: None,
        provider_message_id: None,
        latency_ms: 120,
        recipients: Vec::new(),
        losses: Vec::new(),
        together: Some(1),
    }
}

/// The settlement of a full delivery by a provider.
pub(super) fn delivered(claim: &Claim, provider: &str, seconds: i64) -> Settlement {
    let mut settlement = settlement(claim, Next::Delivered, seconds);
    let name = format!("{provider}-{seconds}");
    let call = attempt(provider, Outcome::Delivered, seconds);
    settlement.attempts.push(Attempt { provider_message_id: Some(name), ..call });
    for recipient in &mut settlement.recipients {
        recipient.state = RecipientState::Delivered;
    }
    settlement
}

/// The settlement of a message that is refused for everybody.
pub(super) fn refused(claim: &Claim, provider: &str, seconds: i64) -> Settlement {
    let reason = "550 no such user".to_owned();
    let mut settlement = settlement(claim, Next::Failed { error: reason.clone() }, seconds);
    let call = attempt(provider, Outcome::Rejected, seconds);
    settlement.attempts.push(Attempt { error: Some(reason.clone()), ..call });
    for recipient in &mut settlement.recipients {
        recipient.state = RecipientState::Failed;
        recipient.reason = Some(reason.clone());
    }
    settlement
}

/// Inserts a message at `at(seconds)` and brings it into the state in the same second.
pub(super) async fn in_state(store: &dyn Store, seconds: i64, state: State) -> QueueId {
    let message = Arc::new(message(seconds));
    let id = message.id;
    let held = match state {
        State::Queued | State::Cancelled => None,
        State::Sending | State::Delivered | State::Failed => Some(lease(seconds + 600)),
    };
    store.insert(Entry { lease: held, ..Entry::waiting(Arc::clone(&message)) }).await.unwrap();
    let claim = Claim::fresh(message, 1);
    match state {
        State::Queued | State::Sending => {}
        State::Cancelled => store.cancel(id, at(seconds)).await.unwrap(),
        State::Delivered => store.settle(delivered(&claim, "resend", seconds)).await.unwrap(),
        State::Failed => store.settle(refused(&claim, "ses", seconds)).await.unwrap(),
    }
    id
}

pub(super) async fn summary(store: &dyn Store, id: QueueId) -> Summary {
    store.show(id).await.unwrap().expect("the record is there").summary
}

pub(super) async fn attempts(store: &dyn Store, id: QueueId) -> Vec<Attempt> {
    store.show(id).await.unwrap().expect("the record is there").attempts
}

pub(super) fn states(recipients: &[RecipientStatus]) -> Vec<RecipientState> {
    recipients.iter().map(|recipient| recipient.state).collect()
}
