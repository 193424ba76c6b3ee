//! The rows of level session. The feature `session` adds the smoke set, and `session-all` the others.

#[cfg(feature = "session")]
#[doc(hidden)]
#[macro_export]
macro_rules! __smoke_clauses {
    ($callback:ident [$($rows:tt)*]) => {
        $crate::__session_clauses! { $callback [
$($rows)*
S01 s01_unknown_id_gets_fresh_session session [Conditional] [RetrieveCreates AbsentIsAnother];
S02 s02_first_write_is_one_store_under_new_id session [Conditional] [LosesCreates RefusesFirstId];
S03 s03_unchanged_request_only_retrieves session [Conditional] [ShowsEarlierDeadlines ReadExtends];
S12 s12_parallel_sets_keep_both session [Conditional] [StoreIgnoresRevision SwallowsConflicts];
S14 s14_parallel_updates_add_up session [Conditional] [StoreIgnoresRevision HidesConflicts];
S23 s23_applied_store_with_lost_answer_counts_once session [Conditional] [ReadsOneBehind LosesUpdates];
S28 s28_commit_after_end_writes_nothing session [Conditional] [RevisionCreates RemoveKeeps];
S31 s31_rotation_moves_session_to_one_new_id session [Conditional] [MarkerIsLost StripsUser];
S32 s32_tombstone_is_inert session [Conditional] [MarkerRemoves MarkerIsEmptySession];
S40 s40_destroy_ends_the_session_at_once session [Conditional] [RemoveKeeps RemoveSaysGone];
S46 s46_idle_session_expires_exactly session [Conditional VirtualTime] [ShowsExpired AddsAnHour];
S58 s58_flash_lasts_one_request session [Conditional] [StripsFlash LosesUpdates];
        ] }
    };
}

#[cfg(not(feature = "session"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __smoke_clauses {
    ($callback:ident [$($rows:tt)*]) => {
        $callback! { $($rows)* }
    };
}

#[cfg(feature = "session-all")]
#[doc(hidden)]
#[macro_export]
macro_rules! __session_clauses {
    ($callback:ident [$($rows:tt)*]) => {
        $callback! {
$($rows)*
S04 s04_write_then_clear_creates_nothing session [Conditional] [AbsentIsEmptySession RetrieveCreates];
S05 s05_session_is_loaded_once_when_needed session [Conditional] [FirstReadFails ReadRemoves];
S06 s06_dropped_request_changes_nothing session [Conditional] [ReadRemoves ReadExtends];
S07 s07_first_live_id_is_used session [Conditional] [AbsentIsAnError AbsentIsAnother];
S08 s08_store_failure_is_typed_and_repeatable session [Conditional] [LosesUpdates SpuriousConflicts];
S09 s09_last_write_wins_must_be_chosen session [Conditional] [ClaimsNoConditional RemoveKeeps];
S10 s10_commit_starts_new_log_and_finish_seals session [Conditional] [LosesUpdates LosesCreates];
S11 s11_events_name_sessions_by_hash session [Conditional] [SwallowsConflicts MarkerIsLost];
S13 s13_later_insert_wins_and_removal_stays session [Conditional] [StoreIgnoresRevision StaleConflicts];
S15 s15_token_is_taken_once session [Conditional] [StoreIgnoresRevision SwallowsConflicts];
S16 s16_clear_keeps_user_flash_and_times session [Conditional] [StripsFlash StripsUser];
S17 s17_expire_key_follows_its_value session [Conditional VirtualTime] [StripsValueDeadlines SwallowsConflicts];
S18 s18_last_time_policy_wins session [Conditional VirtualTime] [ResetsTimes LosesDeadlines];
S19 s19_one_session_has_one_user session [Conditional] [StoreIgnoresRevision StripsUser];
S20 s20_eight_tasks_lose_nothing session [Conditional] [RacyRevision SwallowsConflicts];
S21 s21_change_is_one_store_at_loaded_revision session [Conditional] [SpuriousConflicts LosesRevision];
S22 s22_every_change_has_new_revision session [Conditional VirtualTime] [KeepsRevision TouchKeepsRevision];
S24 s24_lost_store_is_repeated session [Conditional] [ReadsOneBehind LosesUpdates];
S25 s25_overwritten_lost_answer_is_uncertain session [Conditional] [ReadsOneBehind KeepsRevision];
S26 s26_dropped_commit_can_be_repeated session [Conditional] [RepeatConflicts LosesUpdates];
S27 s27_endless_conflicts_end_in_contention session [Conditional] [StoreIgnoresRevision SwallowsConflicts];
S29 s29_commit_after_rotation_writes_nothing session [Conditional] [StoreIgnoresRevision MarkerIsLost];
S30 s30_repeated_id_never_merges_sessions session [Conditional] [AbsentReplaces SaysYesToTaken];
S33 s33_rotation_carries_over_concurrent_write session [Conditional] [StoreIgnoresRevision SwallowsConflicts];
S34 s34_one_of_two_rotations_succeeds session [Conditional] [StoreIgnoresRevision RemoveKeeps];
S35 s35_rotation_of_ended_session_leaves_nothing session [Conditional] [RevisionCreates RemoveKeeps];
S36 s36_rotation_before_first_write session [Conditional] [RefusesFirstId LosesCreates];
S37 s37_rotation_with_lost_answers_happens_once session [Conditional] [ReadsOneBehind RepeatConflicts];
S38 s38_rotation_restarts_absolute_lifetime session [Conditional VirtualTime] [ResetsTimes LosesDeadlines];
S39 s39_tombstone_lasts_sixty_seconds session [Conditional VirtualTime] [MarkerForever MarkerRemoves];
S41 s41_destroy_ends_newer_writes session [Conditional] [RemoveSaysYesOnConflict RemoveKeeps];
S42 s42_only_the_ending_request_clears_the_cookie session [Conditional] [RemoveAlwaysYes RemoveSaysGone];
S43 s43_write_after_destroy_starts_new_session session [Conditional] [RemoveKeeps LosesCreates];
S44 s44_destroy_with_lost_answer_ends_the_session session [Conditional] [RemoveKeeps ShowsRemoved];
S45 s45_late_logout_spares_tombstone_and_successor session [Conditional] [RemoveIgnoresRevision MarkerIsLost];
S47 s47_read_extends_by_touch session [Conditional VirtualTime] [TouchSaysTrue TouchCutsData];
S48 s48_touch_waits_for_its_threshold session [Conditional VirtualTime] [ShowsEarlierDeadlines TouchSaysTrue];
S49 s49_stale_touch_changes_nothing session [Conditional VirtualTime] [TouchIgnoresRevision TouchReverts];
S50 s50_late_touch_revives_nothing session [Conditional VirtualTime] [TouchCreates TouchIgnoresRevision];
S51 s51_absolute_lifetime_is_final session [Conditional VirtualTime] [RestartsLifetime AddsAnHour];
S52 s52_session_has_its_own_times session [Conditional VirtualTime] [ResetsTimes LosesDeadlines];
S53 s53_session_expired_before_commit_stays_expired session [Conditional VirtualTime] [LosesDeadlines AddsAnHour];
S54 s54_request_may_decline_to_extend session [Conditional VirtualTime] [ReadExtends AddsAnHour];
S55 s55_value_expires_at_its_own_deadline session [Conditional VirtualTime] [StripsValueDeadlines ExtendsValueDeadlines];
S56 s56_new_value_has_no_old_deadline session [Conditional VirtualTime] [StripsValueDeadlines SpreadsValueDeadlines];
S57 s57_client_learns_the_stored_deadline session [Conditional VirtualTime] [AddsAnHour KeepsOldDeadline];
S59 s59_flash_waits_for_its_reader session [Conditional] [AgesFlash StripsFlash];
S60 s60_kept_flash_lasts_one_more_request session [Conditional] [AgesFlash StripsFlash];
S61 s61_cleared_flash_is_empty session [Conditional] [LosesUpdates ReadsOneBehind];
S62 s62_flash_survives_without_commit session [Conditional] [ReadRemoves StripsFlash];
S63 s63_newer_flash_survives_older_readers session [Conditional] [SharesFlashIds StoreIgnoresRevision];
S64 s64_flash_set_again_lasts_one_more_request session [Conditional] [AgesFlash LosesUpdates];
S65 s65_other_address_is_refused session [Conditional] [StripsBindings ReadExtends];
S66 s66_session_may_be_bound_to_network session [Conditional] [StripsBindings ReadExtends];
S67 s67_other_user_agent_is_refused session [Conditional] [StripsBindings ReadExtends];
S68 s68_bindings_are_recorded_at_creation session [Conditional] [StripsBindings InventsBindings];
S69 s69_values_of_any_kind_are_equal session [Conditional] [ReadCutsData FlipsLastByte];
S70 s70_unknown_entries_survive session [Conditional] [StripsUnknown FlipsLastByte];
S71 s71_undecodable_value_loses_no_other session [Conditional] [ReadCutsData LosesUpdates];
S72 s72_foreign_record_follows_policy session [Conditional] [GarbageIsAbsent GarbageIsDeleted];
S73 s73_damaged_record_follows_policy session [Conditional Damage] [DamagedIsAbsent DamagedIsDeleted];
S74 s74_first_layout_is_readable session [Conditional] [FlipsLastByte ReadCutsData];
S75 s75_find_visits_every_session_unchanged session [Conditional Traverse] [TraverseSkipsLast TraverseTouches];
S76 s76_find_omits_what_is_no_live_session session [Conditional Traverse VirtualTime] [MarkerIsEmptySession IgnoresPrefix];
S77 s77_find_allows_ending_each_session session [Conditional Traverse] [CursorIsOffset RemoveKeeps];
S78 s78_sweep_removes_expired_within_limit session [Conditional Purge VirtualTime] [PurgeTakesLive PurgeIgnoresLimit];
S79 s79_scheduled_sweep_stops_when_told session [Conditional Purge VirtualTime] [PurgeTakesLive PurgeSaysNone];
S80 s80_failed_replay_writes_nothing session [Conditional] [StoreIgnoresRevision SwallowsConflicts];
S81 s81_too_large_session_stays_as_it_was session [Conditional ValueBound] [TooLargeRemoves FailurePoisons];
S82 s82_two_logins_at_once_both_succeed session [Conditional] [MarkerIsLost StoreIgnoresRevision];
S83 s83_repeated_login_succeeds session [Conditional] [MarkerRemoves MarkerIsEmptySession];
S84 s84_login_survives_end_of_its_session session [Conditional VirtualTime] [RevisionCreates RemoveKeeps];
S85 s85_login_and_logout_at_once_are_both_done session [Conditional] [RemoveIgnoresRevision RemoveKeeps];
S86 s86_planted_id_gains_nothing session [Conditional] [MarkerIsLost MarkerIsEmptySession];
S87 s87_login_drops_other_users_values session [Conditional] [StripsUser LosesUpdates];
S88 s88_claimed_value_has_one_winner session [Conditional] [StoreIgnoresRevision SwallowsConflicts];
S89 s89_unbound_session_keeps_values session [Conditional] [MarkerIsLost StripsFlash];
S90 s90_two_requests_lose_nothing_in_any_order session [Conditional] [StoreIgnoresRevision LosesUpdates];
S91 s91_ended_session_stays_ended_in_any_order session [Conditional] [RevisionCreates RemoveKeeps];
S92 s92_rotation_has_one_successor_in_any_order session [Conditional] [MarkerIsLost SwallowsConflicts];
S93 s93_lost_answer_counts_once_in_any_order session [Conditional] [RepeatConflicts StoreIgnoresRevision];
S94 s94_three_requests_lose_nothing_in_any_order session [Conditional] [SwallowsConflicts RemoveIgnoresRevision];
S95 s95_sessions_of_a_user_are_listed session [Conditional] [RemoveKeeps StripsUser];
S96 s96_sessions_of_a_user_can_be_ended session [Conditional] [RemoveKeeps RemoveSaysGone];
S97 s97_dropped_login_leaves_no_unknown_session session [Conditional] [LosesCreates LosesUpdates];
S98 s98_log_out_everywhere_misses_no_session session [Conditional] [SwallowsConflicts RemoveKeeps];
S99 s99_epoch_ends_sessions_that_no_index_has session [Conditional] [LosesUpdates StripsUser];
S100 s100_user_data_merges_guest_value_once session [Conditional] [LosesUpdates SwallowsConflicts];
S101 s101_reference_opens_the_session_as_it_is session [Conditional] [RemoveKeeps SwallowsConflicts];
S102 s102_reference_ends_with_its_session session [Conditional] [RemoveKeeps MarkerIsLost];
S103 s103_reference_follows_its_own_request session [Conditional] [LosesUpdates MarkerIsLost];
S104 s104_reference_extends_only_when_asked session [Conditional VirtualTime] [ReadExtends TouchSaysTrue];
S105 s105_reference_revives_nothing_in_any_order session [Conditional] [RevisionCreates RemoveKeeps];
S106 s106_kept_handle_learns_of_the_end session [Conditional] [RemoveKeeps ShowsRemoved];
S107 s107_remembered_session_keeps_its_lifetime session [Conditional VirtualTime] [StripsPersistence ResetsTimes];
S108 s108_last_choice_of_persistence_wins session [Conditional VirtualTime] [StripsPersistence InventsPersistence];
S109 s109_damaged_session_stays_listed_until_it_is_ended session [Conditional] [GarbageIsAbsent RemoveKeeps];
S110 s110_ended_session_ends_no_others session [Conditional] [ShowsRemoved MarkerIsLost];
S111 s111_damaged_index_follows_policy session [Conditional] [GarbageIsAbsent LosesUpdates];
S112 s112_find_omits_sessions_that_an_epoch_has_ended session [Conditional Traverse] [LosesCreates TraverseSkipsLast];
S113 s113_bound_user_of_another_gets_no_values session [Conditional] [StripsUser MarkerIsLost];
S114 s114_flash_that_no_request_has_read_stays session [Conditional] [AgesFlash StripsFlash];
S115 s115_request_learns_that_its_writes_are_not_stored session [Conditional] [RevisionCreates MarkerIsLost];
S116 s116_update_now_returns_the_stored_value session [Conditional] [StoreIgnoresRevision SwallowsConflicts];
S117 s117_limits_of_a_clock_ahead_count_from_now session [Conditional VirtualTime] [AddsAnHour LosesUpdates];
S118 s118_values_of_a_clock_ahead_expire session [Conditional VirtualTime] [ExtendsValueDeadlines StripsValueDeadlines];
S119 s119_tombstone_of_a_clock_ahead_ends session [Conditional VirtualTime] [TouchSaysTrue TouchOnlyExtends];
S120 s120_clock_that_goes_back_ends_nothing_early session [Conditional VirtualTime] [StripsFlash ReadExtends];
S121 s121_session_has_limited_keys_and_bytes session [Conditional] [StoreIgnoresRevision SwallowsConflicts];
S126 s126_accepted_values_are_read_back session [Conditional] [RenumbersCodecs FlipsLastByte];
S127 s127_value_of_an_earlier_type_is_migrated session [Conditional] [LosesUpdates SwallowsConflicts];
S128 s128_logout_ends_every_presented_session session [Conditional] [RemoveKeeps MarkerIsLost];
S129 s129_presented_session_stays_ended_in_any_order session [Conditional] [RevisionCreates RemoveKeeps];
S130 s130_client_keeps_newer_id_of_a_rotation session [Conditional VirtualTime] [MarkerIsLost TouchSaysTrue];
S131 s131_events_and_references_have_one_tag session [Conditional] [RemoveKeeps MarkerIsLost];
S132 s132_reload_shows_the_session_as_it_is session [Conditional] [LosesUpdates ReadsOneBehind];
S133 s133_renewal_changes_only_the_id session [Conditional VirtualTime] [StripsUser StripsFlash];
S134 s134_old_id_leads_to_the_session_until_the_new_one_is_used session [Conditional VirtualTime] [TouchSaysTrue ReadExtends];
S135 s135_renewal_loses_no_write session [Conditional VirtualTime] [StoreIgnoresRevision SwallowsConflicts];
S136 s136_end_of_a_renewed_session_ends_both_ids session [Conditional VirtualTime] [RemoveKeeps RemoveSaysGone];
S137 s137_renewal_with_lost_answers_happens_once session [Conditional VirtualTime] [RepeatConflicts LosesUpdates];
S138 s138_renewed_session_is_no_way_into_a_login session [Conditional VirtualTime] [StoreIgnoresRevision SwallowsConflicts];
S139 s139_reference_follows_a_renewal session [Conditional VirtualTime] [RemoveKeeps LosesUpdates];
S140 s140_end_of_others_spares_the_renewed_session session [Conditional VirtualTime] [RemoveKeeps StripsUser];
S141 s141_old_session_is_taken_over_once session [Conditional VirtualTime] [AbsentReplaces SwallowsConflicts];
S142 s142_takeover_that_stops_is_repeated session [Conditional VirtualTime] [LosesDeadlines AddsAnHour];
S143 s143_logout_closes_the_old_session session [Conditional VirtualTime] [RemoveKeeps LosesCreates];
S144 s144_prepared_session_waits_for_its_client session [Conditional VirtualTime] [AbsentReplaces LosesUpdates];
S145 s145_old_system_owns_the_logins session [Conditional VirtualTime] [RemoveKeeps SwallowsConflicts];
        }
    };
}

#[cfg(not(feature = "session-all"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __session_clauses {
    ($callback:ident [$($rows:tt)*]) => {
        $callback! { $($rows)* }
    };
}
