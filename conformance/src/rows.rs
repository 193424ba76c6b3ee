//! The rows of the table up to level faults.

/// Hands all rows to the macro `$callback`. A row is
/// `ID test_name level MUST|SHOULD [requirements] [mutants] "sentence";`. The function `clauses::level::test_name` checks
/// it. The mutants are the defects of the reference driver that the clause must notice: one up to level concurrent,
/// two above.
#[doc(hidden)]
#[macro_export]
macro_rules! __clauses {
    ($callback:ident) => {
        $crate::__smoke_clauses! { $callback [
B01 b01_claims_match_behaviour basic MUST [] [ClaimsNoConditional]
    "A driver's claims are true, and an operation that it lacks fails with `Unsupported`";
B02 b02_retrieve_returns_last_store basic MUST [] [LosesRevision]
    "`retrieve` returns what the last successful `store` wrote: data, deadline and revision";
B03 b03_store_replaces_whole_record basic MUST [] [KeepsOldDeadline]
    "`store` over a record replaces data, deadline and revision together";
B04 b04_unknown_key_is_none_and_stays_absent basic MUST [] [RetrieveCreates]
    "A key that was never stored is `None`, and retrieving it creates no record";
B05 b05_empty_data_is_a_value basic MUST [] [EmptyIsAbsent]
    "Empty data is a value, different from no record";
B06 b06_data_may_be_any_bytes basic MUST [] [CutsAtNul]
    "Data may be any bytes, including NUL and invalid UTF-8";
B07 b07_one_mebibyte_is_stored_or_refused basic MUST [] [CutsAt64K]
    "Data of any length up to 1 MiB is returned whole, or is refused as `TooLarge` with the old record intact if it exceeds `max_record_bytes`";
B08 b08_data_above_the_bound_is_too_large basic MUST [ValueBound] [TooLargeRemoves]
    "Data of exactly `max_record_bytes` bytes is stored, and larger data is `TooLarge` with the old record intact";
B09 b09_id_may_be_any_text basic MUST [] [PathIds]
    "The id part of a key may be any text, and different texts are different records";
B10 b10_keys_are_compared_by_bytes basic MUST [] [FoldsCase]
    "Keys are compared by their bytes: never case-folded, trimmed or normalised";
B11 b11_prefixes_are_separate basic MUST [] [IgnoresPrefix]
    "Keys of different prefixes with the same id part are different records";
B12 b12_longest_keys_differ_in_every_byte basic MUST [] [CutsKeys]
    "Keys of up to 288 bytes are distinguished by every byte";
B13 b13_removed_key_is_none_and_storable basic MUST [] [RemoveKeeps]
    "A removed key is `None`, and can be stored again";
B14 b14_remove_says_whether_it_removed basic MUST [] [RemoveAlwaysYes]
    "`remove` with `Any` answers `Applied` if it removed a live record and otherwise `Conflict(None)`";
B15 b15_remove_absent_removes_nothing basic MUST [Conditional] [RemoveIgnoresAbsent]
    "`remove` with `Absent` answers `Applied` without a live record, and otherwise conflicts and removes nothing";
B16 b16_remove_at_revision_checks_it basic MUST [Conditional] [RemoveIgnoresRevision]
    "`remove` with `Revision(r)` removes the live record if its revision is r, and otherwise conflicts and removes nothing";
B17 b17_absent_conflicts_when_live basic MUST [Conditional] [AbsentReplaces]
    "`store` with `Absent` creates a record, and conflicts if there is a live one";
B18 b18_store_at_revision_checks_it basic MUST [Conditional] [StoreIgnoresRevision]
    "`store` with `Revision(r)` replaces the live record if its revision is r, and otherwise conflicts and changes nothing";
B19 b19_store_at_revision_never_creates basic MUST [Conditional] [RevisionCreates]
    "`store` with `Revision(r)` answers `Conflict(None)` and creates nothing without a live record";
B20 b20_conflict_returns_live_record basic MUST [Conditional] [ConflictCutsData]
    "A conflict returns the whole live record";
B21 b21_repeated_change_is_applied_once basic MUST [Conditional] [RepeatConflicts]
    "A change that would conflict answers `Applied` and writes nothing if the live record already has the offered revision";
B22 b22_revisions_are_compared_as_bytes basic MUST [Conditional] [ComparesAsFloat]
    "Revisions are compared as eight bytes";
B23 b23_touch_moves_deadline_keeps_data basic MUST [Conditional] [TouchCutsData]
    "`touch` of the live revision moves the deadline, sets the new revision, keeps the data and answers `true`";
B24 b24_touch_of_other_revision_is_false basic MUST [Conditional] [TouchIgnoresRevision]
    "`touch` of any other revision answers `false` and changes nothing";
B25 b25_touch_never_creates basic MUST [Conditional] [TouchCreates]
    "`touch` of an absent key answers `false` and creates nothing";
B26 b26_repeated_touch_is_true basic MUST [Conditional] [TouchRepeatIsFalse]
    "`touch` answers `true` if the live record already has the new revision";
B27 b27_touch_sets_any_deadline basic MUST [Conditional] [TouchOnlyExtends]
    "`touch` sets any deadline: a later one, an earlier one, or none";
B28 b28_clone_shares_the_store basic MUST [] [CloneIsCopy]
    "A clone of a handle is a handle on the same store";
B29 b29_dropped_future_leaves_old_or_new basic MUST [] [DropLosesRecord]
    "A future that is dropped at any point leaves the old record or the new one, and the next call works";
B30 b30_failed_call_leaves_handle_usable basic MUST [] [FailurePoisons]
    "A failed call leaves the handle usable";
B31 b31_errors_show_no_secrets basic MUST [] [ErrorShowsKey]
    "No error shows an id, a key or stored data, in its text, its debug text or its sources";
B32 b32_calls_after_close_are_closed basic MUST [] [CloseIsForgotten]
    "After `close` every call on every clone fails with `Closed`, except another `close`, which succeeds";
B33 b33_flush_always_succeeds basic MUST [] [FlushFails]
    "`flush` of an open handle succeeds at any time and changes nothing that a caller can observe";
B34 b34_deadline_is_exact_to_the_millisecond basic MUST [] [CutsDeadline]
    "A deadline up to the end of the year 9999 is returned to the millisecond, and a record with a later one is live";
T01 t01_traversal_reports_every_live_key traverse MUST [Traverse] [TraverseSkipsLast]
    "A traversal reports every live key of its prefix";
T02 t02_traversal_reports_only_its_prefix traverse MUST [Traverse] [PrefixMatchesLonger]
    "A traversal reports only keys of its prefix";
T03 t03_any_limit_reaches_the_end traverse MUST [Traverse] [LimitZeroEnds]
    "A traversal with any limit reaches the end, and a limit of 0 counts as 1";
T04 t04_empty_prefix_has_no_entries traverse MUST [Traverse] [EmptyTraversalFails]
    "A traversal of a prefix without keys has no entries and no error";
T05 t05_entry_details_are_true traverse MUST [Traverse] [EntryLies]
    "The deadline, revision and size in an entry are true";
T06 t06_traversal_omits_expired_and_removed traverse MUST [Traverse] [ReportsExpired]
    "A traversal reports no expired and no removed records";
T07 t07_lasting_key_is_reported_despite_changes traverse MUST [Traverse] [CursorIsOffset]
    "A key that is stored during the whole traversal is reported, also when others are added and removed between the pages";
T08 t08_key_removed_before_its_page_is_skipped traverse MUST [Traverse] [ReportsRemoved]
    "A key that was removed before its page was requested is not reported";
T09 t09_foreign_cursor_is_invalid traverse MUST [Traverse] [GarbageStartsAgain]
    "A cursor of another origin fails with `InvalidCursor`, and never panics or starts again";
T10 t10_cursor_works_on_any_clone traverse MUST [Traverse] [CursorOfHandle]
    "A cursor is plain bytes, and any handle on the store can continue from it";
T11 t11_page_size_follows_the_limit traverse SHOULD [Traverse] [WholeAtOnce]
    "A page has about as many entries as its limit, so that a traversal needs bounded memory";
T12 t12_lasting_key_is_reported_once traverse MUST [Traverse ExactlyOnce] [RepeatsKeys]
    "A key that is stored during the whole traversal is reported once if the driver claims `exactly_once`";
T13 t13_count_counts_live_keys traverse MUST [Traverse] [CountsOtherPrefixes]
    "`count` returns at least the number of live keys of a prefix";
T14 t14_clear_removes_only_its_prefix traverse MUST [Traverse] [ClearsOtherPrefixes]
    "`clear` removes every key of its prefix and no other, and returns how many it removed";
T15 t15_traversal_changes_nothing traverse MUST [Traverse] [TraverseTouches]
    "A traversal changes no data, deadline or revision";
T16 t16_cursor_survives_removals traverse MUST [Traverse] [CursorNeedsItsKey]
    "A cursor stays valid when the reported keys are removed";
E01 e01_record_expires_at_its_deadline expiry MUST [VirtualTime] [ExpiresLate]
    "A record is expired from its deadline on, to the millisecond, and live before it";
E02 e02_expired_record_is_none_before_purge expiry MUST [] [NeedsCleanup]
    "An expired record is `None` even before it is purged";
E03 e03_absent_holds_over_expired expiry MUST [Conditional] [AbsentSeesExpired]
    "For `store` with `Absent` an expired record is absent, and a live one is not";
E04 e04_store_never_revives_expired expiry MUST [Conditional] [StoreRevivesExpired]
    "`store` at the revision of an expired record answers `Conflict(None)` and does not revive it";
E05 e05_remove_of_expired_removes_nothing expiry MUST [Conditional] [RemoveSeesExpired]
    "`remove` treats an expired record as absent";
E06 e06_touch_never_revives_expired expiry MUST [Conditional] [TouchRevivesExpired]
    "`touch` of an expired record answers `false` and does not revive it";
E07 e07_touched_record_lives_until_new_deadline expiry MUST [Conditional VirtualTime] [TouchDoesNotExtend]
    "A touched record lives until its new deadline, to the millisecond";
E08 e08_store_past_deadline_removes expiry MUST [Conditional] [LateStoreIgnored]
    "`store` of a record past its deadline removes the stored record and answers `Applied` if the condition holds, and otherwise conflicts";
E09 e09_touch_to_the_past_ends_the_record expiry MUST [Conditional] [TouchRefusesPast]
    "`touch` to a past deadline answers `true` and ends the record";
E10 e10_no_deadline_never_expires expiry MUST [VirtualTime] [NoneMeansACentury]
    "A record without a deadline never expires";
E11 e11_deadline_of_1970_is_past expiry MUST [Conditional] [ZeroMeansNever]
    "A deadline in 1970 is in the past, and not the same as no deadline";
E12 e12_purge_removes_exactly_the_expired expiry MUST [Purge VirtualTime] [PurgeMiscounts]
    "`purge` removes exactly the expired records and returns how many it removed";
E13 e13_purge_respects_its_limit expiry MUST [Purge VirtualTime] [PurgeIgnoresLimit]
    "`purge` removes at most its limit and says whether there may be more";
E14 e14_purge_spares_live_records expiry MUST [Purge VirtualTime] [PurgeTakesLive]
    "`purge` leaves live records and records without a deadline";
E15 e15_purge_covers_all_prefixes expiry MUST [Purge VirtualTime] [PurgeOnlySessions]
    "`purge` covers the records of every prefix";
E16 e16_purge_of_nothing_ends expiry MUST [Purge VirtualTime] [PurgeNeverEnds]
    "`purge` with no expired records removes none and soon answers `more: false`";
E17 e17_record_stored_again_survives_purge expiry MUST [Conditional Purge VirtualTime] [PurgeRemembersDeadline]
    "A record that is stored over an expired one, before or after a purge, stays";
C01 c01_compare_and_swap_loses_no_update concurrent MUST [Conditional] [RacyRevision]
    "Comparing and writing is one atomic step: no increment by compare-and-swap is lost";
C02 c02_one_of_many_creators_wins concurrent MUST [Conditional] [RacyAbsent]
    "Of many stores with `Absent` one succeeds, and the others receive its record";
C03 c03_one_of_many_removers_wins concurrent MUST [] [RacyRemove]
    "Of many removals of one record one answers `Applied`";
C04 c04_one_change_per_revision_wins concurrent MUST [Conditional] [RacyRemoveAtRevision]
    "Of several changes at one revision, including removals, exactly one is applied";
C05 c05_readers_see_whole_records concurrent MUST [] [TornWrite]
    "A reader sees whole records, with data and revision of the same store, while writers race";
C06 c06_readers_see_none_or_whole concurrent MUST [] [EmptyFirst]
    "A reader sees `None` or a whole record, never an error, while the record is stored and removed";
C07 c07_touch_never_reverts_a_store concurrent MUST [Conditional] [RacyTouch]
    "`touch` is one atomic step: it never reverts a concurrent store";
C08 c08_touch_never_revives_a_removed_record concurrent MUST [Conditional] [TouchRevivesRemoved]
    "`touch` never brings back a record that was removed concurrently";
C09 c09_purge_rechecks_before_removal concurrent MUST [Purge VirtualTime] [PurgeDoesNotRecheck]
    "`purge` checks each record again at the moment of removal: a record that was stored again stays";
C10 c10_concurrent_purges_count_once concurrent MUST [Purge VirtualTime] [PurgeCountsTwice]
    "Concurrent purges count each record once";
C11 c11_histories_are_linearizable concurrent MUST [Conditional] [StaleRead]
    "Every recorded history of `retrieve`, `store`, `remove` and `touch` is linearizable per key";
C12 c12_read_after_write_is_fresh concurrent MUST [] [AnswersEarly]
    "A read that starts after a store returned sees that store or a later one";
C13 c13_traversal_survives_concurrent_changes concurrent MUST [Traverse] [TraverseFailsOnChange]
    "A traversal during concurrent changes does not fail, and misses no key that is stored all the time";
C14 c14_dropped_calls_hold_nothing_up concurrent MUST [Conditional] [DropKeepsLock DroppedComesLate]
    "Dropped calls block no other call: their locks are free, and none of them takes effect after a later change of its key";
C15 c15_keys_do_not_conflict concurrent MUST [Conditional] [FalseConflict]
    "Compare-and-swaps of different keys do not conflict";
C16 c16_handle_works_in_any_runtime concurrent MUST [] [TiedToThread]
    "A handle works on any thread and in any runtime, and outlives the runtime in which it was used";
C17 c17_close_lets_running_calls_finish concurrent MUST [] [CloseBreaksCalls]
    "A `close` during other calls lets each of them succeed or fail with `Closed`";
C18 c18_store_at_old_revision_never_succeeds concurrent MUST [Conditional] [ComparesStaleCopy]
    "No store at an old revision succeeds, however many are tried";
P01 p01_handles_see_changes_at_once shared MUST [] [HandleCaches HandleIsCopy]
    "A store or removal by one handle is visible to every other handle at once";
P02 p02_handles_lose_no_update shared MUST [Conditional] [LockPerHandle HandleIsCopy]
    "No increment by compare-and-swap through any handle is lost";
P03 p03_histories_over_handles_are_linearizable shared MUST [Conditional] [HandleCaches LockPerHandle]
    "Every recorded history over several handles is linearizable per key";
P04 p04_removed_record_stays_removed_everywhere shared MUST [Conditional] [ComparesHandleCache HandleIsCopy]
    "No other handle brings back a record that one handle removed";
P05 p05_cursor_works_on_any_handle shared MUST [Traverse] [CursorOfHandle CursorOfHandleStartsAgain]
    "A cursor of one handle works on any other";
P06 p06_processes_share_the_records shared MUST [Conditional Processes] [HandleCaches HandleIsCopy]
    "Another process sees and changes the same records";
P07 p07_processes_lose_no_update shared MUST [Conditional Processes] [LockPerHandle NoFileLock]
    "No increment by compare-and-swap of any process is lost";
P08 p08_histories_over_processes_are_linearizable shared MUST [Conditional Processes] [HandleCaches NoFileLock]
    "Every recorded history over several processes is linearizable per key";
P09 p09_killed_process_blocks_nothing shared MUST [Conditional Processes] [LockFileOfTheDead AnswersEarly]
    "A process that is killed during a change blocks no other process and loses no acknowledged change";
P10 p10_one_creating_process_wins shared MUST [Conditional Processes] [LockPerHandle NoFileLock]
    "Of several processes that create one record one succeeds";
P11 p11_purges_of_processes_count_once shared MUST [Purge Processes VirtualTime] [PurgeCountsTwice NoFileLock]
    "Concurrent purges of several processes count each record once";
P12 p12_processes_read_whole_records shared MUST [Processes] [TornWrite EmptyFirst]
    "A process reads whole records while others write them";
D01 d01_stores_survive_close durable MUST [Close] [CloseForgetsLast ReopenLosesDeadline]
    "Stored records are there, whole, after `close` and reopening";
D02 d02_removals_and_touches_survive_close durable MUST [Conditional Close] [RemovalNotWritten TouchNotWritten]
    "Removals and touches are in effect after `close` and reopening";
D03 d03_stores_survive_kill durable MUST [Kill] [AnswersEarly TornAppend]
    "After SIGKILL at any moment every acknowledged store is there, and every other record is old or new, never torn";
D04 d04_removals_survive_kill durable MUST [Kill] [RemovalNotWritten AnswersEarly]
    "After SIGKILL an acknowledged removal stays in effect";
D05 d05_touches_survive_kill durable MUST [Conditional Kill] [TouchNotWritten TouchTearsRecord]
    "After SIGKILL an acknowledged touch stays in effect, and the data is unchanged";
D06 d06_chain_continues_after_kill durable MUST [Conditional Kill] [AnswersEarly TornAppend]
    "After SIGKILL a chain of compare-and-swaps continues from the last acknowledged revision, or from a write in progress";
D07 d07_store_works_after_kill durable MUST [Conditional Traverse Kill] [ReportsRemoved LockFileOfTheDead]
    "After SIGKILL every operation works on the store without manual repair";
D08 d08_writes_survive_power_loss durable MUST [PowerLoss] [PowerWithoutEvidence FlushFails]
    "An acknowledged write survives power loss; the driver claims it and names evidence";
F01 f01_damaged_record_is_corrupt faults MUST [Damage] [DamagedIsAbsent DamagedIsReturned]
    "A damaged record fails with `Corrupt`, stays as it is, and does not affect other records";
F02 f02_any_damaged_byte_is_noticed faults MUST [Checksum] [DamagedIsAbsent DamagedIsReturned]
    "A record with any one byte changed fails with `Corrupt` or is returned whole, and is readable again once the byte is restored";
F03 f03_damage_stops_no_traversal_or_purge faults MUST [Damage Traverse] [TraverseFailsAtDamage DamageEndsTraverse DamageEndsPurge]
    "A damaged record stops no traversal, no count and no purge";
F04 f04_outage_is_served_or_a_typed_error faults MUST [Conditional Outage] [GoneIsAbsent GoneSaysYes]
    "During an outage every call is served or fails with `Unavailable` or `Timeout` in time, and no stored record is reported as absent";
F05 f05_handle_recovers_after_outage faults MUST [Conditional Outage] [GoneForever GoneLosesAll]
    "After an outage every handle works again by itself, with every acknowledged record";
F06 f06_full_store_keeps_its_records faults MUST [Conditional Full] [FullRemovesOld FullSaysYes]
    "A full store fails with `Full`, unapplied, keeps every record, and serves reads";
F07 f07_full_store_recovers_when_freed faults MUST [Conditional Full] [FullForever FullRefusesRemovals]
    "A full store accepts records again once there is room, after removals or, if those need room themselves, after space was freed";
F08 f08_lost_permission_is_a_typed_error faults MUST [Conditional Processes Permission] [DeniedIsAbsent DeniedForever]
    "Without permission every call is served or fails with a typed error, and the same handle works again once permission is back";
        ] }
    };
}
