//! The table of clauses: the one source of the tests, of the matrix and of SPEC.md's check.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use crate::clauses;
use crate::failure::Check;
use crate::stage::Stage;

/// One rule of the specification, and the function that checks it.
#[derive(Clone, Copy)]
pub struct Clause {
    /// Its stable id. An id is never given to another clause.
    pub id: &'static str,
    /// The name of its test, a sentence that begins with the id.
    pub name: &'static str,
    /// Its level.
    pub level: Level,
    /// Whether it is a MUST, rather than a SHOULD.
    pub must: bool,
    /// What it takes for the clause to apply to a driver.
    pub needs: &'static [Need],
    /// The rule, in one sentence.
    pub text: &'static str,
    pub(crate) check: for<'a> fn(&'a Stage) -> Pin<Box<dyn Future<Output = Check> + Send + 'a>>,
}

impl Clause {
    /// MUST or SHOULD.
    #[must_use]
    pub const fn strength(&self) -> &'static str {
        if self.must { "MUST" } else { "SHOULD" }
    }
}

impl fmt::Debug for Clause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}: {}", self.id, self.level, self.strength(), self.text)
    }
}

/// The clause with this id.
#[must_use]
pub fn clause(id: &str) -> Option<&'static Clause> {
    CLAUSES.iter().find(|clause| clause.id == id)
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum $name { $($(#[$variant_doc])* $variant,)* }

        impl $name {
            /// All of them, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The word for it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// What the word means, if it is one.
            #[must_use]
            pub fn from_word(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.as_str() == word)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

words! {
    /// How far up a clause stands; the letter of its id says it too.
    Level {
        /// retrieve, store, remove, touch, close (B).
        Basic = "basic",
        /// traverse, count, clear (T).
        Traverse = "traverse",
        /// Deadlines and purge (E).
        Expiry = "expiry",
        /// Many tasks on one handle (C).
        Concurrent = "concurrent",
        /// Many handles and many processes on one store (P).
        Shared = "shared",
        /// What survives the process (D).
        Durable = "durable",
        /// A backend that fails (F).
        Faults = "faults",
        /// The session layer on top of the driver (S).
        Session = "session",
    }
}

words! {
    /// What a clause needs of a driver or its harness in order to apply.
    Need {
        /// It compares and stores in one step (`Capabilities::conditional`).
        Conditional = "Conditional",
        /// It can list its keys.
        Traverse = "Traverse",
        /// A traversal reports each key once (`Capabilities::exactly_once`).
        ExactlyOnce = "ExactlyOnce",
        /// It removes expired records when told to; an engine that expires by itself does not.
        Purge = "Purge",
        /// It follows the clock that it is given (`Harness::time`), and expiry is exact (`Expiry::Caller`).
        VirtualTime = "VirtualTime",
        /// It states a largest value (`Capabilities::max_value`) of 64 MiB at the most.
        ValueBound = "ValueBound",
        /// Its data survives an orderly close (`Survives::Close`).
        Close = "Close",
        /// Its data survives SIGKILL (`Survives::Kill`).
        Kill = "Kill",
        /// Its data survives power loss (`Survives::PowerLoss`).
        PowerLoss = "PowerLoss",
        /// Several processes may share the store (`Shared::Host` or more).
        Processes = "Processes",
        /// The harness can damage a record from outside.
        Damage = "Damage",
    }
}

/// Hands all rows to the macro `$callback`. A row is
/// `ID test_name level MUST|SHOULD [needs] [mutants] "sentence";`, and the function `clauses::level::test_name` checks
/// it. The mutants are the defects of the reference driver that the clause must notice: one up to level concurrent,
/// two above.
#[doc(hidden)]
#[macro_export]
macro_rules! __clauses {
    ($callback:ident) => {
        $callback! {
B01 b01_a_driver_claims_what_it_can_do_and_answers_unsupported_for_what_it_lacks basic MUST [] [ClaimsNoConditional]
    "What a driver claims is true of it, and an operation that it lacks answers `Unsupported`";
B02 b02_retrieve_returns_what_the_last_store_wrote basic MUST [] [LosesRevision]
    "`retrieve` returns what the last successful `store` wrote: data, deadline and revision";
B03 b03_storing_again_replaces_data_deadline_and_revision basic MUST [] [KeepsOldDeadline]
    "Storing again replaces data, deadline and revision together";
B04 b04_what_was_never_stored_is_absent_and_asking_makes_no_record basic MUST [] [RetrieveCreates]
    "What was never stored is `None`, and asking for it makes no record";
B05 b05_empty_data_is_a_value_and_not_absence basic MUST [] [EmptyIsAbsent]
    "Empty data is a value, different from no record";
B06 b06_data_is_any_bytes basic MUST [] [CutsAtNul]
    "Data is any bytes, NUL and what is no UTF-8 included";
B07 b07_up_to_a_mebibyte_comes_back_whole_or_is_refused_as_too_large basic MUST [] [CutsAt64K]
    "Data of any length up to 1 MiB comes back whole, or is refused as `TooLarge` with the old record intact where `max_value` says so";
B08 b08_a_value_above_the_claimed_bound_is_too_large_and_the_old_one_stays basic MUST [ValueBound] [TooLargeRemoves]
    "Data of exactly `max_value` bytes is stored, and one that is larger is `TooLarge` with the old record intact";
B09 b09_an_id_may_be_any_text_and_every_id_has_its_own_record basic MUST [] [PathIds]
    "The id part of a key may be any text, and different texts are different records";
B10 b10_ids_are_case_sensitive_and_never_trimmed basic MUST [] [FoldsCase]
    "Keys are compared by their bytes: never folded, trimmed or normalised";
B11 b11_keys_of_different_prefixes_do_not_meet basic MUST [] [IgnoresPrefix]
    "Keys of different prefixes with the same id part are different records";
B12 b12_the_longest_keys_are_told_apart_by_their_last_byte basic MUST [] [CutsKeys]
    "Keys of up to 288 bytes are told apart by every byte";
B13 b13_what_was_removed_is_absent_and_can_be_stored_anew basic MUST [] [RemoveKeeps]
    "What was removed is `None`, and may be stored anew";
B14 b14_removing_what_is_not_there_answers_conflict_with_nothing basic MUST [] [RemoveAlwaysYes]
    "`remove` with `Any` answers `Yes` if it removed a live record and `Conflict(None)` if there was none";
B15 b15_remove_when_absent_removes_nothing basic MUST [Conditional] [RemoveIgnoresAbsent]
    "`remove` with `Absent` answers `Yes` where nothing is live, and otherwise conflicts and removes nothing";
B16 b16_remove_at_a_revision_removes_only_that_revision basic MUST [Conditional] [RemoveIgnoresRevision]
    "`remove` with `Revision(r)` removes the live record if it has revision r, and otherwise conflicts and removes nothing";
B17 b17_store_when_absent_creates_and_never_replaces basic MUST [Conditional] [AbsentReplaces]
    "`store` with `Absent` creates, and conflicts where a live record is";
B18 b18_store_at_a_revision_replaces_only_that_revision basic MUST [Conditional] [StoreIgnoresRevision]
    "`store` with `Revision(r)` replaces the live record if it has revision r, and otherwise conflicts and changes nothing";
B19 b19_store_at_a_revision_never_creates basic MUST [Conditional] [RevisionCreates]
    "`store` with `Revision(r)` on what is absent answers `Conflict(None)` and creates nothing";
B20 b20_a_conflict_hands_back_the_whole_live_record basic MUST [Conditional] [ConflictCutsData]
    "A conflict hands back the live record whole, so that no second call is needed";
B21 b21_a_change_that_is_repeated_answers_yes_and_happens_once basic MUST [Conditional] [RepeatConflicts]
    "A change that would conflict answers `Yes` and writes nothing if the live record already has the revision that it offers";
B22 b22_revisions_are_compared_as_eight_bytes basic MUST [Conditional] [ComparesAsFloat]
    "Revisions are compared as eight bytes";
B23 b23_touch_moves_deadline_and_revision_and_leaves_the_data basic MUST [Conditional] [TouchCutsData]
    "`touch` of the live revision moves the deadline, sets the new revision, leaves the data alone and answers true";
B24 b24_touch_of_another_revision_is_false_and_changes_nothing basic MUST [Conditional] [TouchIgnoresRevision]
    "`touch` of any other revision answers false and changes nothing";
B25 b25_touch_never_creates basic MUST [Conditional] [TouchCreates]
    "`touch` of what is absent answers false and creates nothing";
B26 b26_a_touch_that_is_repeated_is_true basic MUST [Conditional] [TouchRepeatIsFalse]
    "`touch` answers true if the live record already has the new revision";
B27 b27_touch_sets_any_deadline_nearer_later_or_none basic MUST [Conditional] [TouchOnlyExtends]
    "`touch` sets any deadline: a later one, a nearer one, or none";
B28 b28_a_clone_is_a_handle_on_the_same_store basic MUST [] [CloneIsCopy]
    "A clone of a handle is a handle on the same store";
B29 b29_a_dropped_future_leaves_the_old_record_or_the_new_one basic MUST [] [DropLosesRecord]
    "A future that is dropped at any point leaves the old record or the new one, and the next call works";
B30 b30_a_failed_call_does_not_spoil_the_next basic MUST [] [FailurePoisons]
    "A call that failed does not spoil the next";
B31 b31_errors_show_no_key_and_no_data basic MUST [] [ErrorShowsKey]
    "No error shows an id, a key or stored data, in its text, its debug text or its sources";
B32 b32_after_close_every_call_on_every_clone_is_closed basic MUST [] [CloseIsForgotten]
    "After `close` every call on every clone is `Closed`, and closing again succeeds";
B33 b33_flush_succeeds_and_changes_nothing basic MUST [] [FlushFails]
    "`flush` succeeds at any time and changes nothing that a caller can see";
B34 b34_a_deadline_comes_back_to_the_millisecond basic MUST [] [CutsDeadline]
    "A deadline up to the end of the year 9999 comes back to the millisecond, and a record with a later one is live";
T01 t01_a_traversal_reports_every_live_key traverse MUST [Traverse] [TraverseSkipsLast]
    "A traversal reports every live key of its prefix";
T02 t02_a_traversal_reports_only_keys_of_its_prefix traverse MUST [Traverse] [PrefixMatchesLonger]
    "A traversal reports only keys of its prefix";
T03 t03_any_limit_leads_to_the_end_and_zero_counts_as_one traverse MUST [Traverse] [LimitZeroEnds]
    "Any limit leads to the end of the traversal, and a limit of 0 counts as 1";
T04 t04_a_prefix_without_keys_is_a_traversal_without_entries traverse MUST [Traverse] [EmptyTraversalFails]
    "A prefix without keys is a traversal without entries, not an error";
T05 t05_what_an_entry_says_of_its_record_is_true traverse MUST [Traverse] [EntryLies]
    "What an entry says of deadline, revision and size is true";
T06 t06_expired_and_removed_records_are_not_reported traverse MUST [Traverse] [ReportsExpired]
    "Expired and removed records are not reported";
T07 t07_a_key_that_is_there_all_the_time_is_reported_whatever_else_changes traverse MUST [Traverse] [CursorIsOffset]
    "A key that is there all the time is reported, whatever else comes and goes between the pages";
T08 t08_a_key_that_was_removed_before_its_page_is_skipped traverse MUST [Traverse] [ReportsRemoved]
    "A key that was removed before its page was asked for is skipped";
T09 t09_a_cursor_that_is_not_the_drivers_is_an_invalid_cursor traverse MUST [Traverse] [GarbageStartsAgain]
    "A cursor that is not the driver's own is `InvalidCursor`, never a panic and never a fresh start";
T10 t10_a_cursor_is_bytes_that_a_clone_can_follow_too traverse MUST [Traverse] [CursorOfHandle]
    "A cursor is bytes, which any handle on the store can follow";
T11 t11_a_page_is_of_the_order_of_its_limit traverse SHOULD [Traverse] [WholeAtOnce]
    "A page is of the order of its limit, so that a traversal needs bounded memory";
T12 t12_a_key_that_is_there_all_the_time_is_reported_once traverse MUST [Traverse ExactlyOnce] [RepeatsKeys]
    "A key that is there all the time is reported once where `exactly_once` is claimed";
T13 t13_count_is_the_number_of_live_keys_of_a_prefix traverse MUST [Traverse] [CountsOtherPrefixes]
    "`count` is the number of live keys of a prefix, and never less";
T14 t14_clear_removes_the_keys_of_a_prefix_and_no_others traverse MUST [Traverse] [ClearsOtherPrefixes]
    "`clear` removes every key of its prefix and no other, and says how many it removed";
T15 t15_a_traversal_changes_nothing traverse MUST [Traverse] [TraverseTouches]
    "A traversal changes no data, deadline or revision";
T16 t16_removing_what_a_page_reports_ends_neither_the_cursor_nor_the_walk traverse MUST [Traverse] [CursorNeedsItsKey]
    "Removing what a page reports leaves its cursor valid";
E01 e01_a_record_is_expired_at_its_deadline_and_live_a_millisecond_before expiry MUST [VirtualTime] [ExpiresLate]
    "A record is expired from its deadline on, to the millisecond, and live before it";
E02 e02_an_expired_record_is_absent_before_any_cleanup expiry MUST [] [NeedsCleanup]
    "An expired record is `None` before anything has cleaned it up";
E03 e03_a_store_when_absent_may_follow_an_expired_record expiry MUST [Conditional] [AbsentSeesExpired]
    "For `store` with `Absent` an expired record is absent, and a live one is not";
E04 e04_a_store_at_the_revision_of_an_expired_record_does_not_revive_it expiry MUST [Conditional] [StoreRevivesExpired]
    "`store` at the revision of an expired record answers `Conflict(None)` and does not revive it";
E05 e05_removing_an_expired_record_is_removing_nothing expiry MUST [Conditional] [RemoveSeesExpired]
    "`remove` of an expired record is `remove` of nothing";
E06 e06_a_touch_does_not_revive_an_expired_record expiry MUST [Conditional] [TouchRevivesExpired]
    "`touch` of an expired record answers false and does not revive it";
E07 e07_a_touch_keeps_a_record_alive_until_its_new_deadline expiry MUST [Conditional VirtualTime] [TouchDoesNotExtend]
    "A touched record lives until its new deadline, to the millisecond";
E08 e08_storing_what_is_past_its_deadline_removes expiry MUST [Conditional] [LateStoreIgnored]
    "Storing what is past its deadline removes what is there if the condition holds, answers `Yes`, and otherwise conflicts";
E09 e09_a_touch_to_a_past_deadline_ends_the_record expiry MUST [Conditional] [TouchRefusesPast]
    "`touch` to a moment that has passed answers true and ends the record";
E10 e10_a_record_without_a_deadline_never_expires expiry MUST [VirtualTime] [NoneMeansACentury]
    "A record without a deadline never expires";
E11 e11_a_deadline_of_zero_is_long_past_and_not_none expiry MUST [Conditional] [ZeroMeansNever]
    "A deadline of 1970 is a moment that has passed, not the absence of a deadline";
E12 e12_purge_removes_exactly_the_expired_and_says_how_many expiry MUST [Purge VirtualTime] [PurgeMiscounts]
    "`purge` removes exactly the expired records and says how many";
E13 e13_purge_takes_at_most_its_limit_and_says_whether_there_is_more expiry MUST [Purge VirtualTime] [PurgeIgnoresLimit]
    "`purge` removes at most its limit and says whether there may be more";
E14 e14_purge_spares_what_is_live_or_has_no_deadline expiry MUST [Purge VirtualTime] [PurgeTakesLive]
    "`purge` spares what is live and what has no deadline";
E15 e15_purge_covers_every_prefix expiry MUST [Purge VirtualTime] [PurgeOnlySessions]
    "`purge` covers the records of every prefix";
E16 e16_purge_with_nothing_to_do_answers_none_and_no_more expiry MUST [Purge VirtualTime] [PurgeNeverEnds]
    "`purge` with nothing to do removes none and comes to `more: false`";
E17 e17_what_was_purged_can_be_stored_anew_and_stays expiry MUST [Conditional Purge VirtualTime] [PurgeRemembersDeadline]
    "What was stored anew over an expired record, before or after a purge, stays";
C01 c01_no_increment_by_compare_and_store_is_lost concurrent MUST [Conditional] [RacyRevision]
    "Comparing and writing is one step: no increment by compare-and-store is lost";
C02 c02_of_many_creators_one_wins_and_the_others_see_its_record concurrent MUST [Conditional] [RacyAbsent]
    "Of many stores with `Absent` one succeeds, and the others are handed its record";
C03 c03_of_many_removers_one_removes concurrent MUST [] [RacyRemove]
    "Of many removals of one record one answers `Yes`";
C04 c04_of_a_store_and_a_removal_at_one_revision_one_wins concurrent MUST [Conditional] [RacyRemoveAtRevision]
    "Of several changes at one revision, removals included, one succeeds";
C05 c05_readers_see_whole_records_while_writers_race concurrent MUST [] [TornWrite]
    "A reader sees whole records, data and revision of one store, while writers race";
C06 c06_a_reader_sees_nothing_or_a_whole_record_while_it_comes_and_goes concurrent MUST [] [EmptyFirst]
    "A reader sees nothing or a whole record, never an error, while it is stored and removed";
C07 c07_a_touch_never_takes_back_a_store concurrent MUST [Conditional] [RacyTouch]
    "`touch` is one step: it never takes back a store that came between";
C08 c08_a_touch_never_brings_back_what_was_removed concurrent MUST [Conditional] [TouchRevivesRemoved]
    "`touch` never brings back a record that was removed meanwhile";
C09 c09_purge_never_removes_what_was_stored_anew concurrent MUST [Purge VirtualTime] [PurgeDoesNotRecheck]
    "`purge` rechecks each record at the moment of removal: what was stored anew stays";
C10 c10_several_purges_at_once_count_each_record_once concurrent MUST [Purge VirtualTime] [PurgeCountsTwice]
    "Several purges at once count each record once";
C11 c11_recorded_histories_are_linearizable_for_every_key concurrent MUST [Conditional] [StaleRead]
    "Every recorded history of retrieve, store, remove and touch is linearizable for each key";
C12 c12_a_read_that_begins_after_a_store_was_answered_sees_it concurrent MUST [] [AnswersEarly]
    "A read that begins after a store was answered sees that store or a later one";
C13 c13_a_traversal_among_changes_fails_never_and_misses_no_lasting_key concurrent MUST [Traverse] [TraverseFailsOnChange]
    "A traversal among concurrent changes does not fail and misses no key that is there all the time";
C14 c14_dropped_calls_hold_nothing_up concurrent MUST [Conditional] [DropKeepsLock]
    "Dropped calls hold nothing up: whatever lock they held is free";
C15 c15_compare_and_stores_of_different_keys_do_not_conflict concurrent MUST [Conditional] [FalseConflict]
    "Compare-and-stores of different keys do not conflict with each other";
C16 c16_a_handle_works_on_any_thread_and_in_any_runtime concurrent MUST [] [TiedToThread]
    "A handle works on any thread and in any runtime, and outlives the runtime in which it was used";
C17 c17_a_close_among_calls_lets_each_succeed_or_be_closed concurrent MUST [] [CloseBreaksCalls]
    "A `close` among calls lets each of them succeed or be `Closed`";
C18 c18_no_store_at_an_old_revision_succeeds_however_late_it_comes concurrent MUST [Conditional] [ComparesStaleCopy]
    "No store at an old revision succeeds, however many come";
P01 p01_what_one_handle_stores_or_removes_every_other_sees_at_once shared MUST [] [HandleCaches HandleIsCopy]
    "What one handle stores or removes, every other handle on the store sees at once";
P02 p02_no_increment_through_any_handle_is_lost shared MUST [Conditional] [LockPerHandle HandleIsCopy]
    "No increment by compare-and-store through any handle is lost";
P03 p03_histories_over_several_handles_are_linearizable shared MUST [Conditional] [HandleCaches LockPerHandle]
    "Every recorded history over several handles is linearizable for each key";
P04 p04_no_other_handle_brings_back_what_one_has_removed shared MUST [Conditional] [ComparesHandleCache HandleIsCopy]
    "No other handle brings back what one has removed";
P05 p05_a_cursor_of_one_handle_can_be_followed_by_another shared MUST [Traverse] [CursorOfHandle CursorOfHandleStartsAgain]
    "A cursor of one handle can be followed by any other";
P06 p06_another_process_sees_and_changes_the_same_records shared MUST [Conditional Processes] [HandleCaches HandleIsCopy]
    "Another process sees and changes the same records";
P07 p07_no_increment_of_any_process_is_lost shared MUST [Conditional Processes] [LockPerHandle NoFileLock]
    "No increment by compare-and-store of any process is lost";
P08 p08_histories_of_several_processes_are_linearizable shared MUST [Conditional Processes] [HandleCaches NoFileLock]
    "Every recorded history over several processes is linearizable for each key";
P09 p09_a_process_killed_within_a_change_holds_nothing_up_and_loses_nothing shared MUST [Conditional Processes] [LockFileOfTheDead AnswersEarly]
    "A process that is killed within a change holds nobody up and takes no acknowledged change of anyone with it";
P10 p10_of_many_processes_that_create_a_record_one_wins shared MUST [Conditional Processes] [LockPerHandle NoFileLock]
    "Of several processes that create one record one succeeds";
P11 p11_purges_of_several_processes_count_each_record_once shared MUST [Purge Processes VirtualTime] [PurgeCountsTwice NoFileLock]
    "Purges of several processes count each record once";
P12 p12_a_process_reads_whole_records_while_others_write shared MUST [Processes] [TornWrite EmptyFirst]
    "A process reads whole records while others write them";
D01 d01_what_was_stored_is_there_after_close_and_reopen durable MUST [Close] [CloseForgetsLast ReopenLosesDeadline]
    "What was stored is there, whole, after `close` and reopening";
D02 d02_what_was_removed_or_touched_is_so_after_close_and_reopen durable MUST [Conditional Close] [RemovalNotWritten TouchNotWritten]
    "What was removed or touched is so after `close` and reopening";
D03 d03_a_killed_process_leaves_every_stored_record_old_or_new durable MUST [Kill] [AnswersEarly TornAppend]
    "After SIGKILL at any moment every acknowledged store is there, and every other record is old or new, never torn";
D04 d04_what_a_killed_process_had_removed_does_not_come_back durable MUST [Kill] [RemovalNotWritten AnswersEarly]
    "After SIGKILL an acknowledged removal stays a removal";
D05 d05_what_a_killed_process_had_touched_stays_touched durable MUST [Conditional Kill] [TouchNotWritten TouchTearsRecord]
    "After SIGKILL an acknowledged touch stays, with the data that it left alone";
D06 d06_a_chain_of_compare_and_stores_goes_on_after_a_kill durable MUST [Conditional Kill] [AnswersEarly TornAppend]
    "After SIGKILL a chain of compare-and-stores goes on from the last acknowledged revision, or the one under way";
D07 d07_a_store_left_by_a_killed_process_is_whole_in_every_operation durable MUST [Conditional Traverse Kill] [ReportsRemoved LockFileOfTheDead]
    "A store that a killed process left works in every operation, without repair by hand";
D08 d08_an_acknowledged_write_survives_power_loss durable MUST [PowerLoss] [PowerWithoutEvidence FlushFails]
    "An acknowledged write survives power loss; this is a declared claim with evidence";
F01 f01_a_damaged_record_is_corrupt_and_its_neighbours_live faults MUST [Damage] [DamagedIsAbsent DamagedIsReturned]
    "A damaged record is `Corrupt`, stays as it is, and does not touch its neighbours";
        }
    };
}

macro_rules! level {
    (basic) => {
        Level::Basic
    };
    (traverse) => {
        Level::Traverse
    };
    (expiry) => {
        Level::Expiry
    };
    (concurrent) => {
        Level::Concurrent
    };
    (shared) => {
        Level::Shared
    };
    (durable) => {
        Level::Durable
    };
    (faults) => {
        Level::Faults
    };
    (session) => {
        Level::Session
    };
}

macro_rules! must {
    (MUST) => {
        true
    };
    (SHOULD) => {
        false
    };
}

macro_rules! data {
    ($($id:ident $name:ident $level:ident $must:ident [$($need:ident)*] $mutants:tt $text:literal;)*) => {
        /// Every clause, in order.
        pub static CLAUSES: &[Clause] = &[$(
            Clause {
                id: stringify!($id),
                name: stringify!($name),
                level: level!($level),
                must: must!($must),
                needs: &[$(Need::$need),*],
                text: $text,
                check: |stage| Box::pin(clauses::$level::$name(stage)),
            },
        )*];
    };
}

__clauses! { data }

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_are_unique_begin_the_test_names_and_carry_the_letter_of_their_level() {
        let mut seen = HashSet::new();
        for clause in CLAUSES {
            assert!(seen.insert(clause.id), "{} stands twice", clause.id);
            assert!(clause.name.starts_with(&format!("{}_", clause.id.to_lowercase())), "{clause:?}");
            let letter = match clause.level {
                Level::Shared => "P",
                level => &level.as_str()[..1].to_uppercase(),
            };
            assert!(clause.id.starts_with(letter), "{clause:?}");
            assert!(!clause.text.ends_with('.'), "{clause:?}: a sentence without its full stop");
        }
    }

    #[test]
    fn the_levels_stand_in_order() {
        assert!(CLAUSES.is_sorted_by_key(|clause| (clause.level, clause.id)));
    }
}
