//! The rows of the table up to level faults.

/// Hands all rows to the macro `$callback`. A row is `ID test_name level [requirements] [mutants];`. SPEC.md has its
/// sentence, and the function `clauses::level::test_name` checks it. The mutants are the defects of the reference driver
/// that the clause must notice: one up to level concurrent, two above.
#[doc(hidden)]
#[macro_export]
macro_rules! __clauses {
    ($callback:ident) => {
        $crate::__smoke_clauses! { $callback [
B01 b01_claims_match_behaviour basic [] [ClaimsNoConditional];
B02 b02_retrieve_returns_last_store basic [] [LosesRevision];
B03 b03_store_replaces_whole_record basic [] [KeepsOldDeadline];
B04 b04_unknown_key_is_none_and_stays_absent basic [] [RetrieveCreates];
B05 b05_empty_data_is_a_value basic [] [EmptyIsAbsent];
B06 b06_data_may_be_any_bytes basic [] [CutsAtNul];
B07 b07_one_mebibyte_is_stored_or_refused basic [] [CutsAt64K];
B08 b08_data_above_the_bound_is_too_large basic [ValueBound] [TooLargeRemoves];
B09 b09_id_may_be_any_text basic [] [PathIds];
B10 b10_keys_are_compared_by_bytes basic [] [FoldsCase];
B11 b11_prefixes_are_separate basic [] [IgnoresPrefix];
B12 b12_longest_keys_differ_in_every_byte basic [] [CutsKeys];
B13 b13_removed_key_is_none_and_storable basic [] [RemoveKeeps];
B14 b14_remove_says_whether_it_removed basic [] [RemoveAlwaysYes];
B15 b15_remove_absent_removes_nothing basic [Conditional] [RemoveIgnoresAbsent];
B16 b16_remove_at_revision_checks_it basic [Conditional] [RemoveIgnoresRevision];
B17 b17_absent_conflicts_when_live basic [Conditional] [AbsentReplaces];
B18 b18_store_at_revision_checks_it basic [Conditional] [StoreIgnoresRevision];
B19 b19_store_at_revision_never_creates basic [Conditional] [RevisionCreates];
B20 b20_conflict_returns_live_record basic [Conditional] [ConflictCutsData];
B21 b21_repeated_change_is_applied_once basic [Conditional] [RepeatConflicts];
B22 b22_revisions_are_compared_as_bytes basic [Conditional] [ComparesAsFloat];
B23 b23_touch_moves_deadline_keeps_data basic [Conditional] [TouchCutsData];
B24 b24_touch_of_other_revision_is_false basic [Conditional] [TouchIgnoresRevision];
B25 b25_touch_never_creates basic [Conditional] [TouchCreates];
B26 b26_repeated_touch_is_true basic [Conditional] [TouchRepeatIsFalse];
B27 b27_touch_sets_any_deadline basic [Conditional] [TouchOnlyExtends];
B28 b28_clone_shares_the_store basic [] [CloneIsCopy];
B29 b29_dropped_future_leaves_old_or_new basic [] [DropLosesRecord];
B30 b30_failed_call_leaves_handle_usable basic [] [FailurePoisons];
B31 b31_errors_show_no_secrets basic [] [ErrorShowsKey];
B32 b32_calls_after_close_are_closed basic [] [CloseIsForgotten];
B33 b33_flush_always_succeeds basic [] [FlushFails];
B34 b34_deadline_is_exact_to_the_millisecond basic [] [CutsDeadline];
T01 t01_traversal_reports_every_live_key traverse [Traverse] [TraverseSkipsLast];
T02 t02_traversal_reports_only_its_prefix traverse [Traverse] [PrefixMatchesLonger];
T03 t03_any_limit_reaches_the_end traverse [Traverse] [LimitZeroEnds];
T04 t04_empty_prefix_has_no_entries traverse [Traverse] [EmptyTraversalFails];
T05 t05_entry_details_are_true traverse [Traverse] [EntryLies];
T06 t06_traversal_omits_expired_and_removed traverse [Traverse] [ReportsExpired];
T07 t07_lasting_key_is_reported_despite_changes traverse [Traverse] [CursorIsOffset];
T08 t08_key_removed_before_its_page_is_skipped traverse [Traverse] [ReportsRemoved];
T09 t09_malformed_cursor_is_invalid traverse [Traverse] [GarbageStartsAgain];
T10 t10_cursor_works_on_any_clone traverse [Traverse] [CursorOfHandle];
T11 t11_page_size_follows_the_limit traverse [Traverse] [WholeAtOnce];
T12 t12_lasting_key_is_reported_once traverse [Traverse ExactlyOnce] [RepeatsKeys];
T13 t13_count_counts_live_keys traverse [Traverse] [CountsOtherPrefixes];
T14 t14_clear_removes_only_its_prefix traverse [Traverse] [ClearsOtherPrefixes];
T15 t15_traversal_changes_nothing traverse [Traverse] [TraverseTouches];
T16 t16_cursor_survives_removals traverse [Traverse] [CursorNeedsItsKey];
E01 e01_record_expires_at_its_deadline expiry [VirtualTime] [ExpiresLate];
E02 e02_expired_record_is_none_before_purge expiry [] [NeedsCleanup];
E03 e03_absent_holds_over_expired expiry [Conditional] [AbsentSeesExpired];
E04 e04_store_never_revives_expired expiry [Conditional] [StoreRevivesExpired];
E05 e05_remove_of_expired_removes_nothing expiry [Conditional] [RemoveSeesExpired];
E06 e06_touch_never_revives_expired expiry [Conditional] [TouchRevivesExpired];
E07 e07_touched_record_lives_until_new_deadline expiry [Conditional VirtualTime] [TouchDoesNotExtend];
E08 e08_store_past_deadline_removes expiry [Conditional] [LateStoreIgnored];
E09 e09_touch_to_the_past_ends_the_record expiry [Conditional] [TouchRefusesPast];
E10 e10_no_deadline_never_expires expiry [VirtualTime] [NoneMeansACentury];
E11 e11_deadline_of_1970_is_past expiry [Conditional] [ZeroMeansNever];
E12 e12_purge_removes_exactly_the_expired expiry [Purge VirtualTime] [PurgeMiscounts];
E13 e13_purge_respects_its_limit expiry [Purge VirtualTime] [PurgeIgnoresLimit];
E14 e14_purge_spares_live_records expiry [Purge VirtualTime] [PurgeTakesLive];
E15 e15_purge_covers_all_prefixes expiry [Purge VirtualTime] [PurgeOnlySessions];
E16 e16_purge_of_nothing_ends expiry [Purge VirtualTime] [PurgeNeverEnds];
E17 e17_record_stored_again_survives_purge expiry [Conditional Purge VirtualTime] [PurgeRemembersDeadline];
C01 c01_compare_and_swap_loses_no_update concurrent [Conditional] [RacyRevision];
C02 c02_one_of_many_creators_wins concurrent [Conditional] [RacyAbsent];
C03 c03_one_of_many_removers_wins concurrent [] [RacyRemove];
C04 c04_one_change_per_revision_wins concurrent [Conditional] [RacyRemoveAtRevision];
C05 c05_readers_see_whole_records concurrent [] [TornWrite];
C06 c06_readers_see_none_or_whole concurrent [] [EmptyFirst];
C07 c07_touch_never_reverts_a_store concurrent [Conditional] [RacyTouch];
C08 c08_touch_never_revives_a_removed_record concurrent [Conditional] [TouchRevivesRemoved];
C09 c09_purge_rechecks_before_removal concurrent [Purge VirtualTime] [PurgeDoesNotRecheck];
C10 c10_concurrent_purges_count_once concurrent [Purge VirtualTime] [PurgeCountsTwice];
C11 c11_histories_are_linearizable concurrent [Conditional] [StaleRead];
C12 c12_read_after_write_is_fresh concurrent [] [AnswersEarly];
C13 c13_traversal_survives_concurrent_changes concurrent [Traverse] [TraverseFailsOnChange];
C14 c14_dropped_calls_hold_nothing_up concurrent [Conditional] [DropKeepsLock DroppedComesLate];
C15 c15_keys_do_not_conflict concurrent [Conditional] [FalseConflict];
C16 c16_handle_works_in_any_runtime concurrent [] [TiedToThread];
C17 c17_close_lets_running_calls_finish concurrent [] [CloseBreaksCalls];
C18 c18_store_at_old_revision_never_succeeds concurrent [Conditional] [ComparesStaleCopy];
P01 p01_handles_see_changes_at_once shared [] [HandleCaches HandleIsCopy];
P02 p02_handles_lose_no_update shared [Conditional] [LockPerHandle HandleIsCopy];
P03 p03_histories_over_handles_are_linearizable shared [Conditional] [HandleCaches LockPerHandle];
P04 p04_removed_record_stays_removed_everywhere shared [Conditional] [ComparesHandleCache HandleIsCopy];
P05 p05_cursor_works_on_any_handle shared [Traverse] [CursorOfHandle CursorOfHandleStartsAgain];
P06 p06_processes_share_the_records shared [Conditional Processes] [HandleCaches HandleIsCopy];
P07 p07_processes_lose_no_update shared [Conditional Processes] [LockPerHandle NoFileLock];
P08 p08_histories_over_processes_are_linearizable shared [Conditional Processes] [HandleCaches NoFileLock];
P09 p09_killed_process_blocks_nothing shared [Conditional Processes] [LockFileOfTheDead AnswersEarly];
P10 p10_one_creating_process_wins shared [Conditional Processes] [LockPerHandle NoFileLock];
P11 p11_purges_of_processes_count_once shared [Purge Processes VirtualTime] [PurgeCountsTwice NoFileLock];
P12 p12_processes_read_whole_records shared [Processes] [TornWrite EmptyFirst];
P13 p13_forked_child_harms_nothing shared [Processes] [ForkHangs ForkedCloseRemoves];
D01 d01_stores_survive_close durable [Close] [CloseForgetsLast ReopenLosesDeadline];
D02 d02_removals_and_touches_survive_close durable [Conditional Close] [RemovalNotWritten TouchNotWritten];
D03 d03_stores_survive_kill durable [Kill] [AnswersEarly TornAppend];
D04 d04_removals_survive_kill durable [Kill] [RemovalNotWritten AnswersEarly];
D05 d05_touches_survive_kill durable [Conditional Kill] [TouchNotWritten TouchTearsRecord];
D06 d06_chain_continues_after_kill durable [Conditional Kill] [AnswersEarly TornAppend];
D07 d07_store_works_after_kill durable [Conditional Traverse Kill] [ReportsRemoved LockFileOfTheDead];
D08 d08_writes_survive_power_loss durable [PowerLoss] [PowerWithoutEvidence FlushFails];
F01 f01_damaged_record_is_corrupt faults [Damage] [DamagedIsAbsent DamagedIsReturned];
F02 f02_any_damaged_byte_is_noticed faults [Checksum] [DamagedIsAbsent DamagedIsReturned];
F03 f03_damage_stops_no_traversal_or_purge faults [Damage Traverse] [TraverseFailsAtDamage DamageEndsTraverse DamageEndsPurge];
F04 f04_outage_is_served_or_a_typed_error faults [Conditional Outage] [GoneIsAbsent GoneSaysYes];
F05 f05_handle_recovers_after_outage faults [Conditional Outage] [GoneForever GoneLosesAll];
F06 f06_full_store_keeps_its_records faults [Conditional Full] [FullRemovesOld FullSaysYes];
F07 f07_full_store_recovers_when_freed faults [Conditional Full] [FullForever FullRefusesRemovals];
F08 f08_lost_permission_is_a_typed_error faults [Conditional Processes Permission] [DeniedIsAbsent DeniedForever];
F09 f09_damaged_index_mixes_no_records faults [Conditional Traverse Index] [TrustsIndex TrustsIndexInChanges];
        ] }
    };
}
