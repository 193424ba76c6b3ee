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
    pub needs: &'static [Requirement],
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
    Requirement {
        /// It compares and stores in one step (`Capabilities::conditional`).
        Conditional = "Conditional",
        /// It can list its keys.
        Traverse = "Traverse",
        /// A traversal reports each key once (`Capabilities::exactly_once`).
        ExactlyOnce = "ExactlyOnce",
        /// It removes expired records when told to; an engine that expires by itself does not.
        Purge = "Purge",
        /// It follows the clock that it is given (`Harness::time`), and expiry is observed to the millisecond.
        VirtualTime = "VirtualTime",
        /// It states a largest value (`Capabilities::max_record_bytes`) of 64 MiB at the most.
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
        /// Every byte that it keeps of a record is checked when it is read, and the harness can reach each of them.
        Checksum = "Checksum",
        /// The harness can take the backend away from open handles, and bring it back.
        Outage = "Outage",
        /// It can be full, and the harness can make storage so small.
        Full = "Full",
        /// The harness can take the permission to use the storage away, and give it back.
        Permission = "Permission",
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
    "Data of any length up to 1 MiB comes back whole, or is refused as `TooLarge` with the old record intact where `max_record_bytes` says so";
B08 b08_a_value_above_the_claimed_bound_is_too_large_and_the_old_one_stays basic MUST [ValueBound] [TooLargeRemoves]
    "Data of exactly `max_record_bytes` bytes is stored, and one that is larger is `TooLarge` with the old record intact";
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
    "`remove` with `Any` answers `Applied` if it removed a live record and `Conflict(None)` if there was none";
B15 b15_remove_when_absent_removes_nothing basic MUST [Conditional] [RemoveIgnoresAbsent]
    "`remove` with `Absent` answers `Applied` where nothing is live, and otherwise conflicts and removes nothing";
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
    "A change that would conflict answers `Applied` and writes nothing if the live record already has the revision that it offers";
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
    "Storing what is past its deadline removes what is there if the condition holds, answers `Applied`, and otherwise conflicts";
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
    "Of many removals of one record one answers `Applied`";
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
C14 c14_dropped_calls_hold_nothing_up_and_come_before_what_follows_or_not_at_all concurrent MUST [Conditional] [DropKeepsLock DroppedComesLate]
    "Dropped calls hold nothing up: whatever lock they held is free, and none of them takes effect after a later change of its key";
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
F02 f02_a_record_with_any_byte_bent_is_corrupt_or_whole faults MUST [Checksum] [DamagedIsAbsent DamagedIsReturned]
    "A record of which any one byte is bent is `Corrupt` or comes back whole, and reads again once the byte is put back";
F03 f03_a_damaged_record_stops_no_traversal_count_or_purge faults MUST [Damage Traverse] [TraverseFailsAtDamage DamageEndsTraverse DamageEndsPurge]
    "A damaged record stops no traversal, no count and no purge";
F04 f04_without_its_backend_every_call_is_served_or_a_typed_error_in_time faults MUST [Conditional Outage] [GoneIsAbsent GoneSaysYes]
    "While the backend is away, every call does its work or is `Unavailable` or `Timeout` in time, and nothing that is stored is taken for absent";
F05 f05_once_its_backend_is_back_every_handle_goes_on_with_what_it_had faults MUST [Conditional Outage] [GoneForever GoneLosesAll]
    "Once the backend is back, every handle goes on by itself, with everything that was acknowledged";
F06 f06_a_full_store_says_so_and_keeps_what_it_has faults MUST [Conditional Full] [FullRemovesOld FullSaysYes]
    "A store without room answers `Full`, unapplied, keeps every record that it has, and serves reads";
F07 f07_a_full_store_takes_records_again_once_there_is_room faults MUST [Conditional Full] [FullForever FullRefusesRemovals]
    "A full store takes records again once there is room, after removals or, where those need room themselves, after room was made for it";
F08 f08_without_permission_every_call_is_served_or_a_typed_error_until_it_is_back faults MUST [Conditional Processes Permission] [DeniedIsAbsent DeniedForever]
    "Without permission every call does its work or is a typed error, and once it is back the same handle goes on";
S01 s01_a_request_without_a_live_id_gets_a_usable_session_and_makes_no_record session MUST [Conditional] [RetrieveCreates AbsentIsAnother]
    "A request with no id, a malformed or an unknown one gets a usable session, and no record is made by asking";
S02 s02_the_first_write_is_one_store_when_absent_under_a_new_id session MUST [Conditional] [LosesCreates RefusesFirstId]
    "The first write makes the session: one store when absent, under a new id, which the client is told once";
S03 s03_a_request_that_changes_nothing_makes_one_retrieve_and_nothing_else session MUST [Conditional] [ShowsEarlierDeadlines ReadExtends]
    "A request that changes nothing makes one retrieve, no other call, and tells the client nothing";
S04 s04_what_was_written_and_cleared_in_one_request_was_never_there session MUST [Conditional] [AbsentIsEmptySession RetrieveCreates]
    "What was written and cleared again in one request was never there: no call, no id for the client";
S05 s05_a_session_is_asked_for_once_and_only_when_it_is_wanted session MUST [Conditional] [FirstReadFails ReadRemoves]
    "The store is asked when a request first wants its session, and then once, from however many tasks";
S06 s06_a_request_that_is_dropped_before_its_commit_has_done_nothing session MUST [Conditional] [ReadRemoves ReadExtends]
    "A request that is dropped before its commit has done nothing";
S07 s07_of_several_ids_the_first_that_is_live_is_taken session MUST [Conditional] [AbsentIsAnError AbsentIsAnother]
    "Of several ids in one request the first that is live is taken";
S08 s08_a_store_that_fails_is_a_typed_error_and_loses_nothing session MUST [Conditional] [LosesUpdates SpuriousConflicts]
    "A store that fails is a typed error with the store's own cause; the log is kept, the commit can be repeated, and anonymous requests are not touched by it";
S09 s09_a_driver_that_cannot_compare_and_store_is_refused_unless_asked_for_by_name session MUST [Conditional] [ClaimsNoConditional RemoveKeeps]
    "A driver that cannot compare and store is refused, unless last-write-wins is asked for by name";
S10 s10_a_commit_in_the_middle_starts_a_new_log_and_the_last_one_seals session MUST [Conditional] [LosesUpdates LosesCreates]
    "A commit in the middle of a request starts a new log; after the last one the session can be read, and writing is an error";
S11 s11_what_happens_to_sessions_is_told_without_their_ids session MUST [Conditional] [SwallowsConflicts MarkerIsLost]
    "What happens to a session is told as events that name it by a keyed hash, never by its id or key";
S12 s12_two_requests_that_set_different_keys_keep_both session MUST [Conditional] [StoreIgnoresRevision SwallowsConflicts]
    "Two requests that load the same session and set different keys keep both";
S13 s13_of_two_inserts_the_later_commit_wins_and_a_removal_stays session MUST [Conditional] [StoreIgnoresRevision StaleConflicts]
    "Inserts and removals are replayed blindly: of two on one key the later commit wins, and a removal stays beside another request's write";
S14 s14_the_updates_of_two_requests_add_up session MUST [Conditional] [StoreIgnoresRevision HidesConflicts]
    "The updates of two requests add up: the closure runs again on the value that is there";
S15 s15_of_two_requests_that_take_one_value_one_gets_it session MUST [Conditional] [StoreIgnoresRevision SwallowsConflicts]
    "Of two requests that take one value one gets it, and the other's commit is `Contention` and its response does not go out";
S16 s16_clear_removes_what_is_there_then_but_no_user_flash_or_time session MUST [Conditional] [StripsFlash StripsUser]
    "`clear` removes what is there when it is replayed, other requests' values too, but no user, flash value or time policy";
S17 s17_expire_key_applies_only_to_the_value_it_was_given_for session MUST [Conditional VirtualTime] [StripsValueDeadlines SwallowsConflicts]
    "`expire_key` applies only to the value that it was given for";
S18 s18_the_last_time_policy_wins_and_the_deadline_follows_the_merged_record session MUST [Conditional VirtualTime] [ResetsTimes LosesDeadlines]
    "The last time policy wins, and the deadline is computed from the record that is written";
S19 s19_a_session_is_never_bound_to_a_mix_of_two_users session MUST [Conditional] [StoreIgnoresRevision StripsUser]
    "Binding a user to a session that another request has bound to somebody else is `Contention`, and its response does not go out";
S20 s20_eight_tasks_on_one_session_lose_nothing session MUST [Conditional] [RacyRevision SwallowsConflicts]
    "Eight tasks on one session, each setting its own key and adding to one counter, lose nothing";
S21 s21_a_change_is_one_store_on_the_revision_that_was_loaded session MUST [Conditional] [SpuriousConflicts LosesRevision]
    "A change is one retrieve and one store, on the condition of the revision that was loaded";
S22 s22_every_change_draws_a_new_revision session MUST [Conditional VirtualTime] [KeepsRevision TouchKeepsRevision]
    "Every change, a moved deadline included, has a new revision";
S23 s23_a_store_that_was_applied_without_an_answer_counts_once session MUST [Conditional] [ReadsOneBehind LosesUpdates]
    "A store that was applied and whose answer was lost counts once";
S24 s24_a_store_that_never_arrived_is_made_again session MUST [Conditional] [ReadsOneBehind LosesUpdates]
    "A store that never arrived and whose answer was lost is made again";
S25 s25_a_lost_answer_that_another_request_wrote_over_is_uncertain_and_never_replayed session MUST [Conditional] [ReadsOneBehind KeepsRevision]
    "A lost answer that another request wrote over is `Uncertain`, and nothing is replayed";
S26 s26_a_commit_that_was_dropped_and_is_repeated_counts_once session MUST [Conditional] [RepeatConflicts LosesUpdates]
    "A commit that was dropped after its store was applied, and is repeated, counts once and loses nothing that was recorded since";
S27 s27_endless_conflicts_end_in_a_typed_contention_with_nothing_written session MUST [Conditional] [StoreIgnoresRevision SwallowsConflicts]
    "A commit that meets another write each time ends in `Contention` after at most 100 tries, with nothing written";
S28 s28_what_comes_after_the_end_of_a_session_writes_nothing session MUST [Conditional] [RevisionCreates RemoveKeeps]
    "Whatever a request did, a commit that comes after the end of its session writes nothing, says so, and tells the client nothing";
S29 s29_what_comes_after_a_rotation_is_refused_under_the_old_id session MUST [Conditional] [StoreIgnoresRevision MarkerIsLost]
    "Whatever a request did, a commit under an id that was rotated meanwhile writes nothing, neither there nor under the new id";
S30 s30_an_id_that_repeats_never_merges_two_visitors session MUST [Conditional] [AbsentReplaces SaysYesToTaken]
    "An id that is drawn twice never merges two visitors: the second gets another one, and three in a row are an error";
S31 s31_a_rotation_moves_the_session_to_one_new_id session MUST [Conditional] [MarkerIsLost StripsUser]
    "A rotation, however often it was asked for, moves the session with its changes to one new id and leaves a tombstone without data";
S32 s32_under_a_marker_nothing_is_read_written_or_created_and_the_client_is_told_nothing session MUST [Conditional] [MarkerRemoves MarkerIsEmptySession]
    "Under a tombstone nothing is read, written, created or ended, and the client is told nothing";
S33 s33_a_write_that_comes_between_the_steps_of_a_rotation_is_carried_over session MUST [Conditional] [StoreIgnoresRevision SwallowsConflicts]
    "A write that comes between the steps of a rotation is carried over to the new id";
S34 s34_of_two_rotations_at_once_one_successor_is_left session MUST [Conditional] [StoreIgnoresRevision RemoveKeeps]
    "Of two rotations at once one succeeds, and the other leaves no record";
S35 s35_a_rotation_of_a_session_that_is_gone_leaves_neither_record session MUST [Conditional] [RevisionCreates RemoveKeeps]
    "A rotation of a session that ends before or between its steps leaves neither record";
S36 s36_a_rotation_before_the_first_write_is_a_first_write session MUST [Conditional] [RefusesFirstId LosesCreates]
    "A rotation of a session that is not stored yet is a first write, or nothing if nothing was written";
S37 s37_a_rotation_whose_answers_are_lost_happens_once session MUST [Conditional] [ReadsOneBehind RepeatConflicts]
    "A rotation whose answers are lost, or which is dropped and repeated, happens once and leaves one successor";
S38 s38_a_rotation_begins_a_new_absolute_lifetime session MUST [Conditional VirtualTime] [ResetsTimes LosesDeadlines]
    "A rotation begins a new absolute lifetime";
S39 s39_a_marker_stays_for_sixty_seconds session MUST [Conditional VirtualTime] [MarkerForever MarkerRemoves]
    "A tombstone stays for 60 seconds, and then its id means nothing";
S40 s40_destroy_ends_the_session_at_once_and_not_at_the_commit session MUST [Conditional] [RemoveKeeps RemoveSaysGone]
    "`destroy` ends the session at once, not at the commit, and drops what was recorded";
S41 s41_destroy_ends_what_other_requests_have_written_since session MUST [Conditional] [RemoveSaysYesOnConflict RemoveKeeps]
    "`destroy` ends the session whatever other requests have written to it since";
S42 s42_only_the_request_that_ended_a_session_makes_the_client_forget session MUST [Conditional] [RemoveAlwaysYes RemoveSaysGone]
    "Only the request that ended a session makes the client forget its id";
S43 s43_writing_after_destroy_begins_a_session_with_a_new_id session MUST [Conditional] [RemoveKeeps LosesCreates]
    "Writing after `destroy`, in the same request, begins a session with a new id and none of the old values";
S44 s44_a_destroy_whose_answer_is_lost_ends_the_session session MUST [Conditional] [RemoveKeeps ShowsRemoved]
    "A `destroy` whose answer was lost, whose call was lost, or whose request was dropped afterwards has ended the session; a refused one is an error and can be repeated";
S45 s45_a_late_logout_ends_neither_the_marker_nor_the_successor session MUST [Conditional] [RemoveIgnoresRevision MarkerIsLost]
    "A late logout under an id that was rotated ends neither the tombstone nor the successor, and says that it ended nothing";
S46 s46_a_session_ends_when_its_idle_timeout_has_passed session MUST [Conditional VirtualTime] [ShowsExpired AddsAnHour]
    "A session that is not used ends at exactly its idle timeout, not a millisecond before, and its id is not taken over";
S47 s47_a_late_read_moves_the_deadline_and_leaves_the_data_alone session MUST [Conditional VirtualTime] [TouchSaysTrue TouchCutsData]
    "A session that is only read has its deadline moved by a touch that leaves its bytes alone";
S48 s48_the_deadline_is_moved_once_that_is_worth_a_twentieth_of_the_idle_timeout session MUST [Conditional VirtualTime] [ShowsEarlierDeadlines TouchSaysTrue]
    "The deadline is moved once that is worth more than a twentieth of the idle timeout, and until then a read makes no further call";
S49 s49_a_stale_readers_touch_reverts_no_newer_write session MUST [Conditional VirtualTime] [TouchIgnoresRevision TouchReverts]
    "The touch of a reader that loaded before a newer write changes nothing of it, its deadline neither";
S50 s50_a_late_touch_brings_no_session_back session MUST [Conditional VirtualTime] [TouchCreates TouchIgnoresRevision]
    "A touch that comes after a removal or a rotation brings nothing back";
S51 s51_no_use_extends_a_session_beyond_its_absolute_lifetime session MUST [Conditional VirtualTime] [RestartsLifetime AddsAnHour]
    "No use extends a session beyond its absolute lifetime, unless that is switched off";
S52 s52_a_session_may_have_times_of_its_own session MUST [Conditional VirtualTime] [ResetsTimes LosesDeadlines]
    "A session may have an idle timeout and an absolute lifetime of its own, longer or shorter, from the commit that sets them";
S53 s53_a_session_that_expires_before_the_commit_stays_expired session MUST [Conditional VirtualTime] [LosesDeadlines AddsAnHour]
    "A session that was live at the load and expires before the commit stays expired, whatever the request did";
S54 s54_a_request_may_say_that_it_does_not_extend session MUST [Conditional VirtualTime] [ReadExtends AddsAnHour]
    "A request that says so does not extend the session, even if it writes";
S55 s55_a_value_ends_at_its_own_deadline_while_the_rest_lives session MUST [Conditional VirtualTime] [StripsValueDeadlines ExtendsValueDeadlines]
    "A value ends at exactly its own deadline while the rest lives, and extending the session does not extend it";
S56 s56_a_new_value_does_not_inherit_the_deadline_of_an_old_one session MUST [Conditional VirtualTime] [StripsValueDeadlines SpreadsValueDeadlines]
    "A new value does not inherit the deadline of the one that it replaces, and no other value gets it";
S57 s57_the_client_is_told_the_deadline_that_the_store_has_or_nothing session MUST [Conditional VirtualTime] [AddsAnHour KeepsOldDeadline]
    "What the client is told of the deadline is what the store has, after every kind of commit";
S58 s58_a_flash_value_is_there_in_the_next_request_and_gone_in_the_one_after session MUST [Conditional] [StripsFlash LosesUpdates]
    "A flash value is there in the next request that uses flash and gone in the one after, and it is no plain value";
S59 s59_a_request_that_does_not_use_flash_leaves_it_alone session MUST [Conditional] [AgesFlash StripsFlash]
    "A request that does not use flash leaves it alone, even if it writes, clears or rotates";
S60 s60_a_flash_value_that_is_kept_is_there_once_more session MUST [Conditional] [AgesFlash StripsFlash]
    "A flash value that is kept is there for one more request";
S61 s61_flash_that_was_cleared_is_empty_now_and_later session MUST [Conditional] [LosesUpdates ReadsOneBehind]
    "Flash that was cleared is empty now and in later requests, whatever was set or kept before";
S62 s62_without_a_commit_no_flash_value_is_lost session MUST [Conditional] [ReadRemoves StripsFlash]
    "A request that used flash and did not commit has lost none of it";
S63 s63_a_newer_flash_value_survives_whoever_used_the_older_one session MUST [Conditional] [SharesFlashIds StoreIgnoresRevision]
    "A newer flash value survives every request that used or cleared the older one of its name";
S64 s64_a_flash_value_that_is_set_again_lives_one_request_longer session MUST [Conditional] [AgesFlash LosesUpdates]
    "A flash value that is set again in the request that reads it is there in the next one";
S65 s65_a_request_from_another_address_is_refused_and_the_session_stays_intact session MUST [Conditional] [StripsBindings ReadExtends]
    "A session that is bound to an address refuses a request from another with the reason `AddressMismatch`, and stays as it is";
S66 s66_a_session_may_be_bound_to_a_network session MUST [Conditional] [StripsBindings ReadExtends]
    "A session may be bound to the network of its client, before and after a rotation";
S67 s67_a_request_with_another_user_agent_is_refused_and_the_session_stays_intact session MUST [Conditional] [StripsBindings ReadExtends]
    "A session that is bound to a user agent refuses a request with another with the reason `UserAgentMismatch`, and stays as it is";
S68 s68_a_session_is_bound_only_to_what_it_recorded session MUST [Conditional] [StripsBindings InventsBindings]
    "A session is bound only to what was recorded when it was made, and refused only by a manager that checks";
S69 s69_values_of_any_kind_come_back_equal_under_any_key session MUST [Conditional] [ReadCutsData FlipsLastByte]
    "Values of any kind come back equal, under any key and with any codec, and no key reaches the session's own fields";
S70 s70_what_a_newer_release_has_stored_survives_an_older_ones_writes session MUST [Conditional] [StripsUnknown FlipsLastByte]
    "Entries of an unknown codec, class or form survive changes and rotations byte for byte";
S71 s71_a_value_that_does_not_decode_loses_no_other session MUST [Conditional] [ReadCutsData LosesUpdates]
    "A value that does not decode as what was asked for is a typed error without its content, and neither it nor any other value is lost";
S72 s72_a_record_that_is_no_session_is_told_of_and_never_a_crash session MUST [Conditional] [GarbageIsAbsent GarbageIsDeleted]
    "A record that is no session, or of an unknown version, is an event and a fresh session or an error as the policy says, and stays as it is";
S73 s73_a_record_damaged_in_the_store_is_told_of_and_left_alone session MUST [Conditional Damage] [DamagedIsAbsent DamagedIsDeleted]
    "A record that the driver reports as damaged is an event and a fresh session or an error as the policy says, and its neighbours live";
S74 s74_a_session_in_the_first_layout_always_reads session MUST [Conditional] [FlipsLastByte ReadCutsData]
    "A session in the first layout, byte for byte as it was then, is read and changed";
S75 s75_find_visits_every_live_session_and_changes_none session MUST [Conditional Traverse] [TraverseSkipsLast TraverseTouches]
    "`find` visits every live session and leaves deadlines, revisions and bytes untouched";
S76 s76_find_leaves_out_markers_other_records_and_what_has_expired session MUST [Conditional Traverse VirtualTime] [MarkerIsEmptySession IgnoresPrefix]
    "`find` leaves out tombstones, damaged records, other prefixes and what has expired";
S77 s77_find_survives_that_each_session_is_ended_in_the_loop session MUST [Conditional Traverse] [CursorIsOffset RemoveKeeps]
    "`find` survives that each session it gives is ended in the loop, and a session is ended whatever was written to it since";
S78 s78_a_sweep_removes_what_has_expired_at_most_its_limit_and_nothing_else session MUST [Conditional Purge VirtualTime] [PurgeTakesLive PurgeIgnoresLimit]
    "A sweep removes what has expired, at most its limit at a time, and nothing else";
S79 s79_a_sweep_on_a_schedule_goes_on_in_batches_until_it_is_stopped session MUST [Conditional Purge VirtualTime] [PurgeTakesLive PurgeSaysNone]
    "A sweep on a schedule goes on in batches until it is stopped or its handle is dropped, and then makes no further call";
S80 s80_an_update_that_cannot_be_replayed_fails_the_commit_and_writes_nothing session MUST [Conditional] [StoreIgnoresRevision SwallowsConflicts]
    "An update that meets a value on replay that it cannot decode fails the commit, and nothing of the request is written";
S81 s81_a_session_that_the_store_refuses_as_too_large_stays_as_it_was session MUST [Conditional ValueBound] [TooLargeRemoves FailurePoisons]
    "A session that the store refuses as too large is a typed error, stays as it was, and can be committed once it is smaller";
S90 s90_two_requests_lose_nothing_in_any_order session MUST [Conditional] [StoreIgnoresRevision LosesUpdates]
    "Two requests of one session lose nothing of each other's, in every order in which their store calls can meet";
S91 s91_nothing_outlives_the_end_of_a_session_in_any_order session MUST [Conditional] [RevisionCreates RemoveKeeps]
    "A session that a request has ended stays away, in every order in which another request's store calls can meet that";
S92 s92_a_rotation_has_one_successor_in_any_order session MUST [Conditional] [MarkerIsLost SwallowsConflicts]
    "A rotation carries along what was committed and leaves one successor, in every order in which another request's store calls can meet it";
S93 s93_a_change_whose_answer_is_lost_counts_once_in_any_order session MUST [Conditional] [RepeatConflicts StoreIgnoresRevision]
    "A change whose answer is lost, or that arrives late, counts once or is said to be uncertain, in every order";
S94 s94_three_requests_keep_their_promises_in_any_order session MUST [Conditional] [SwallowsConflicts RemoveIgnoresRevision]
    "Three requests of one session keep the promises of two, in every order in which their store calls can meet";
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
                needs: &[$(Requirement::$need),*],
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
