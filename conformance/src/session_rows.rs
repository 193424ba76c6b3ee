//! The rows of level session. The feature `session` adds the smoke set, and `session-all` the others.

#[cfg(feature = "session")]
#[doc(hidden)]
#[macro_export]
macro_rules! __smoke_clauses {
    ($callback:ident [$($rows:tt)*]) => {
        $crate::__session_clauses! { $callback [
$($rows)*
S01 s01_unknown_id_gets_fresh_session session MUST [Conditional] [RetrieveCreates AbsentIsAnother]
    "A request with no id, a malformed id or an unknown id gets a usable session, and loading it creates no record";
S02 s02_first_write_is_one_store_under_new_id session MUST [Conditional] [LosesCreates RefusesFirstId]
    "The first write creates the session: one store with `Absent`, under a new id, which the client receives once";
S03 s03_unchanged_request_only_retrieves session MUST [Conditional] [ShowsEarlierDeadlines ReadExtends]
    "A request that changes nothing makes one retrieve, no other call unless a touch is due, and sends the client nothing";
S12 s12_parallel_sets_keep_both session MUST [Conditional] [StoreIgnoresRevision SwallowsConflicts]
    "Two requests that load the same session and set different keys keep both";
S14 s14_parallel_updates_add_up session MUST [Conditional] [StoreIgnoresRevision HidesConflicts]
    "The updates of two requests add up: the closure runs again on the current value";
S23 s23_applied_store_with_lost_answer_counts_once session MUST [Conditional] [ReadsOneBehind LosesUpdates]
    "A store that was applied and whose answer was lost counts once";
S28 s28_commit_after_end_writes_nothing session MUST [Conditional] [RevisionCreates RemoveKeeps]
    "A commit after the end of its session writes nothing, says so, and sends the client nothing, for every kind of request but a login";
S31 s31_rotation_moves_session_to_one_new_id session MUST [Conditional] [MarkerIsLost StripsUser]
    "A rotation, requested any number of times, moves the session with its changes to one new id and leaves a tombstone without data";
S32 s32_tombstone_is_inert session MUST [Conditional] [MarkerRemoves MarkerIsEmptySession]
    "Under a tombstone nothing is read, written, created or ended, and the client receives nothing, unless it logs in";
S40 s40_destroy_ends_the_session_at_once session MUST [Conditional] [RemoveKeeps RemoveSaysGone]
    "`destroy` ends the session at once, not at the commit, and discards the recorded operations";
S46 s46_idle_session_expires_exactly session MUST [Conditional VirtualTime] [ShowsExpired AddsAnHour]
    "An unused session expires exactly at its idle timeout, and its id is not adopted";
S58 s58_flash_lasts_one_request session MUST [Conditional] [StripsFlash LosesUpdates]
    "A flash value is there in the next request that uses flash and gone in the one after, and it is not a plain value";
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
S04 s04_write_then_clear_creates_nothing session MUST [Conditional] [AbsentIsEmptySession RetrieveCreates]
    "A new session that is written and cleared in one request makes no call and sends no id";
S05 s05_session_is_loaded_once_when_needed session MUST [Conditional] [FirstReadFails ReadRemoves]
    "The store is read when a request first needs its session, and then once, from any number of tasks";
S06 s06_dropped_request_changes_nothing session MUST [Conditional] [ReadRemoves ReadExtends]
    "A request that is dropped before its commit changes nothing";
S07 s07_first_live_id_is_used session MUST [Conditional] [AbsentIsAnError AbsentIsAnother]
    "Of several ids in one request the first live one is used";
S08 s08_store_failure_is_typed_and_repeatable session MUST [Conditional] [LosesUpdates SpuriousConflicts]
    "A store failure is a typed error with the store's error as its source; the log is kept, the commit can be repeated, and anonymous requests are unaffected";
S09 s09_last_write_wins_must_be_chosen session MUST [Conditional] [ClaimsNoConditional RemoveKeeps]
    "A driver without compare-and-swap is refused, unless last-write-wins is chosen by name";
S10 s10_commit_starts_new_log_and_finish_seals session MUST [Conditional] [LosesUpdates LosesCreates]
    "A commit during a request starts a new log; after the last commit the session can be read, and writing is an error";
S11 s11_events_name_sessions_by_hash session MUST [Conditional] [SwallowsConflicts MarkerIsLost]
    "Events name a session by a keyed hash, never by its id or key";
S13 s13_later_insert_wins_and_removal_stays session MUST [Conditional] [StoreIgnoresRevision StaleConflicts]
    "Inserts and removals are replayed unconditionally: of two on one key the later commit wins, and a removal stays next to another request's write";
S15 s15_token_is_taken_once session MUST [Conditional] [StoreIgnoresRevision SwallowsConflicts]
    "Of two requests that take one value one gets it, and the other's commit is `Contention` and refuses its response";
S16 s16_clear_keeps_user_flash_and_times session MUST [Conditional] [StripsFlash StripsUser]
    "`clear` removes the values that exist when it is replayed, including those of other requests, but no user, flash value or time policy";
S17 s17_expire_key_follows_its_value session MUST [Conditional VirtualTime] [StripsValueDeadlines SwallowsConflicts]
    "`expire_key` applies only to the value that it was given for";
S18 s18_last_time_policy_wins session MUST [Conditional VirtualTime] [ResetsTimes LosesDeadlines]
    "The last time policy wins, and the deadline is computed from the record that is written";
S19 s19_one_session_has_one_user session MUST [Conditional] [StoreIgnoresRevision StripsUser]
    "Binding a user to a session that another request has bound to a different user is `Contention` and refuses its response";
S20 s20_eight_tasks_lose_nothing session MUST [Conditional] [RacyRevision SwallowsConflicts]
    "Eight tasks on one session, each setting its own key and adding to one counter, lose nothing";
S21 s21_change_is_one_store_at_loaded_revision session MUST [Conditional] [SpuriousConflicts LosesRevision]
    "A change is one retrieve and one store, with the loaded revision as its condition";
S22 s22_every_change_has_new_revision session MUST [Conditional VirtualTime] [KeepsRevision TouchKeepsRevision]
    "Every change has a new revision, including a moved deadline";
S24 s24_lost_store_is_repeated session MUST [Conditional] [ReadsOneBehind LosesUpdates]
    "A store that never arrived and whose answer was lost is repeated";
S25 s25_overwritten_lost_answer_is_uncertain session MUST [Conditional] [ReadsOneBehind KeepsRevision]
    "A change whose answer was lost, and over which another request has written, is `Uncertain` and is not replayed";
S26 s26_dropped_commit_can_be_repeated session MUST [Conditional] [RepeatConflicts LosesUpdates]
    "A commit that was dropped after its store was applied, and is repeated, counts once and loses no later operation";
S27 s27_endless_conflicts_end_in_contention session MUST [Conditional] [StoreIgnoresRevision SwallowsConflicts]
    "A commit that conflicts each time ends in `Contention` after at most 100 tries, with nothing written";
S29 s29_commit_after_rotation_writes_nothing session MUST [Conditional] [StoreIgnoresRevision MarkerIsLost]
    "A commit under an id that was rotated meanwhile writes nothing, neither there nor under the new id, for every kind of request but a login";
S30 s30_repeated_id_never_merges_sessions session MUST [Conditional] [AbsentReplaces SaysYesToTaken]
    "An id that is drawn twice never merges two visitors: the second visitor gets another id, and three collisions in a row are an error";
S33 s33_rotation_carries_over_concurrent_write session MUST [Conditional] [StoreIgnoresRevision SwallowsConflicts]
    "A write between the steps of a rotation is carried over to the new id";
S34 s34_one_of_two_rotations_succeeds session MUST [Conditional] [StoreIgnoresRevision RemoveKeeps]
    "Of two concurrent rotations one succeeds, and the other leaves no record";
S35 s35_rotation_of_ended_session_leaves_nothing session MUST [Conditional] [RevisionCreates RemoveKeeps]
    "A rotation of a session that ends before or between its steps leaves neither record";
S36 s36_rotation_before_first_write session MUST [Conditional] [RefusesFirstId LosesCreates]
    "A rotation of a session that is not stored yet is a first write, or nothing if nothing was written";
S37 s37_rotation_with_lost_answers_happens_once session MUST [Conditional] [ReadsOneBehind RepeatConflicts]
    "A rotation whose answers are lost, or which is dropped and repeated, happens once and leaves one successor";
S38 s38_rotation_restarts_absolute_lifetime session MUST [Conditional VirtualTime] [ResetsTimes LosesDeadlines]
    "A rotation starts a new absolute lifetime";
S39 s39_tombstone_lasts_sixty_seconds session MUST [Conditional VirtualTime] [MarkerForever MarkerRemoves]
    "A tombstone stays for 60 seconds; then its id is unknown";
S41 s41_destroy_ends_newer_writes session MUST [Conditional] [RemoveSaysYesOnConflict RemoveKeeps]
    "`destroy` ends the session whatever other requests have written to it since";
S42 s42_only_the_ending_request_clears_the_cookie session MUST [Conditional] [RemoveAlwaysYes RemoveSaysGone]
    "Only the request that ended a session clears the client's id";
S43 s43_write_after_destroy_starts_new_session session MUST [Conditional] [RemoveKeeps LosesCreates]
    "A write after `destroy` in the same request starts a session with a new id and none of the old values";
S44 s44_destroy_with_lost_answer_ends_the_session session MUST [Conditional] [RemoveKeeps ShowsRemoved]
    "A `destroy` whose answer or call was lost, or whose request was dropped afterwards, has ended the session; a refused one is an error and can be repeated";
S45 s45_late_logout_spares_tombstone_and_successor session MUST [Conditional] [RemoveIgnoresRevision MarkerIsLost]
    "A late logout under a rotated id ends neither the tombstone nor the successor, and says that it ended nothing";
S47 s47_read_extends_by_touch session MUST [Conditional VirtualTime] [TouchSaysTrue TouchCutsData]
    "A session that is only read is extended by a touch, which leaves its data unchanged";
S48 s48_touch_waits_for_its_threshold session MUST [Conditional VirtualTime] [ShowsEarlierDeadlines TouchSaysTrue]
    "The deadline is moved once this gains more than a twentieth of the idle timeout; until then a read makes no further call";
S49 s49_stale_touch_changes_nothing session MUST [Conditional VirtualTime] [TouchIgnoresRevision TouchReverts]
    "The touch of a reader that loaded before a newer write changes nothing, including the deadline";
S50 s50_late_touch_revives_nothing session MUST [Conditional VirtualTime] [TouchCreates TouchIgnoresRevision]
    "A touch after a removal or a rotation brings nothing back";
S51 s51_absolute_lifetime_is_final session MUST [Conditional VirtualTime] [RestartsLifetime AddsAnHour]
    "No use extends a session beyond its absolute lifetime, unless that is switched off";
S52 s52_session_has_its_own_times session MUST [Conditional VirtualTime] [ResetsTimes LosesDeadlines]
    "A session may have its own idle timeout and absolute lifetime, longer or shorter, from the commit that sets them";
S53 s53_session_expired_before_commit_stays_expired session MUST [Conditional VirtualTime] [LosesDeadlines AddsAnHour]
    "A session that was live when loaded and expires before the commit stays expired, for every kind of request but a login";
S54 s54_request_may_decline_to_extend session MUST [Conditional VirtualTime] [ReadExtends AddsAnHour]
    "A request that declines to extend the session does not extend it, even if it writes";
S55 s55_value_expires_at_its_own_deadline session MUST [Conditional VirtualTime] [StripsValueDeadlines ExtendsValueDeadlines]
    "A value expires exactly at its own deadline while the rest lives, and extending the session does not extend it";
S56 s56_new_value_has_no_old_deadline session MUST [Conditional VirtualTime] [StripsValueDeadlines SpreadsValueDeadlines]
    "A new value does not inherit the deadline of the value that it replaces, and no other value gets it";
S57 s57_client_learns_the_stored_deadline session MUST [Conditional VirtualTime] [AddsAnHour KeepsOldDeadline]
    "The deadline that the client receives is the stored one, after every kind of commit";
S59 s59_flash_waits_for_its_reader session MUST [Conditional] [AgesFlash StripsFlash]
    "A request that does not use flash leaves it unchanged, even if it writes, clears or rotates";
S60 s60_kept_flash_lasts_one_more_request session MUST [Conditional] [AgesFlash StripsFlash]
    "A flash value that is kept is there for one more request";
S61 s61_cleared_flash_is_empty session MUST [Conditional] [LosesUpdates ReadsOneBehind]
    "Cleared flash is empty now and in later requests, also if values were set or kept before";
S62 s62_flash_survives_without_commit session MUST [Conditional] [ReadRemoves StripsFlash]
    "A request that used flash and did not commit has lost none of it";
S63 s63_newer_flash_survives_older_readers session MUST [Conditional] [SharesFlashIds StoreIgnoresRevision]
    "A newer flash value survives every request that used or cleared the older one of its name";
S64 s64_flash_set_again_lasts_one_more_request session MUST [Conditional] [AgesFlash LosesUpdates]
    "A flash value that is set again in the request that reads it is there in the next one";
S65 s65_other_address_is_refused session MUST [Conditional] [StripsBindings ReadExtends]
    "A session that is bound to an address refuses a request from another address with the reason `AddressMismatch`, and stays as it is";
S66 s66_session_may_be_bound_to_network session MUST [Conditional] [StripsBindings ReadExtends]
    "A session may be bound to the network of its client, before and after a rotation";
S67 s67_other_user_agent_is_refused session MUST [Conditional] [StripsBindings ReadExtends]
    "A session that is bound to a user agent refuses a request with another one with the reason `UserAgentMismatch`, and stays as it is";
S68 s68_bindings_are_recorded_at_creation session MUST [Conditional] [StripsBindings InventsBindings]
    "A session is bound only to what was recorded when it was created, and refused only by a manager that checks";
S69 s69_values_of_any_kind_are_equal session MUST [Conditional] [ReadCutsData FlipsLastByte]
    "Values of any kind are returned equal, under any key and with any codec, and no key reaches the session's own fields";
S70 s70_unknown_entries_survive session MUST [Conditional] [StripsUnknown FlipsLastByte]
    "Entries of an unknown codec, class or form survive changes and rotations byte for byte";
S71 s71_undecodable_value_loses_no_other session MUST [Conditional] [ReadCutsData LosesUpdates]
    "A value that does not decode as the requested type is a typed error without its content, and no value is lost";
S72 s72_foreign_record_follows_policy session MUST [Conditional] [GarbageIsAbsent GarbageIsDeleted]
    "A record that is not a session, or has an unknown version, is an event and a fresh session or an error, as the policy says, and stays as it is";
S73 s73_damaged_record_follows_policy session MUST [Conditional Damage] [DamagedIsAbsent DamagedIsDeleted]
    "A record that the driver reports as damaged is an event and a fresh session or an error, as the policy says, and other sessions live";
S74 s74_first_layout_is_readable session MUST [Conditional] [FlipsLastByte ReadCutsData]
    "A session in the first layout, byte for byte, can be read and changed";
S75 s75_find_visits_every_session_unchanged session MUST [Conditional Traverse] [TraverseSkipsLast TraverseTouches]
    "`find` visits every live session and changes no deadline, revision or byte";
S76 s76_find_omits_what_is_no_live_session session MUST [Conditional Traverse VirtualTime] [MarkerIsEmptySession IgnoresPrefix]
    "`find` omits tombstones, damaged records, other prefixes and expired sessions";
S77 s77_find_allows_ending_each_session session MUST [Conditional Traverse] [CursorIsOffset RemoveKeeps]
    "`find` works when each reported session is ended in the loop, and a session is ended whatever was written to it since";
S78 s78_sweep_removes_expired_within_limit session MUST [Conditional Purge VirtualTime] [PurgeTakesLive PurgeIgnoresLimit]
    "A sweep removes expired records only, at most its limit at a time";
S79 s79_scheduled_sweep_stops_when_told session MUST [Conditional Purge VirtualTime] [PurgeTakesLive PurgeSaysNone]
    "A scheduled sweep continues in batches until it is stopped or its handle is dropped, and then makes no further call";
S80 s80_failed_replay_writes_nothing session MUST [Conditional] [StoreIgnoresRevision SwallowsConflicts]
    "An update that meets a value on replay that it cannot decode fails the commit, and nothing of the request is written";
S81 s81_too_large_session_stays_as_it_was session MUST [Conditional ValueBound] [TooLargeRemoves FailurePoisons]
    "A session that the store refuses as too large is a typed error, stays as it was, and can be committed once it is smaller";
S82 s82_two_logins_at_once_both_succeed session MUST [Conditional] [MarkerIsLost StoreIgnoresRevision]
    "Two logins at once with one id of a guest both succeed: both new ids work, and nothing of one is in the other";
S83 s83_repeated_login_succeeds session MUST [Conditional] [MarkerRemoves MarkerIsEmptySession]
    "A login that is repeated under the old id succeeds, on the anonymous data from before the first login";
S84 s84_login_survives_end_of_its_session session MUST [Conditional VirtualTime] [RevisionCreates RemoveKeeps]
    "A login whose session ends or expires before the commit, or between its steps, succeeds under a new id, on the anonymous data that it loaded";
S85 s85_login_and_logout_at_once_are_both_done session MUST [Conditional] [RemoveIgnoresRevision RemoveKeeps]
    "A login beside a logout succeeds, and the old id is dead afterwards";
S86 s86_planted_id_gains_nothing session MUST [Conditional] [MarkerIsLost MarkerIsEmptySession]
    "After a login under a planted id, a client that has that id and logs in sees nothing that was written in or after the login";
S87 s87_login_drops_other_users_values session MUST [Conditional] [StripsUser LosesUpdates]
    "A login as another user than the bound one starts without that user's values, except for those that the application keeps by name";
S88 s88_claimed_value_has_one_winner session MUST [Conditional] [StoreIgnoresRevision SwallowsConflicts]
    "Of eight requests that claim one value at once one gets it, before its commit, and the others get nothing and are not refused";
S89 s89_unbound_session_keeps_values session MUST [Conditional] [MarkerIsLost StripsFlash]
    "`unbind_user` gives the session a new id and no user, and keeps its values";
S90 s90_two_requests_lose_nothing_in_any_order session MUST [Conditional] [StoreIgnoresRevision LosesUpdates]
    "Two requests of one session lose nothing of each other's, in every order of their store calls";
S91 s91_ended_session_stays_ended_in_any_order session MUST [Conditional] [RevisionCreates RemoveKeeps]
    "A session that one request ends stays ended, in every order of another request's store calls";
S92 s92_rotation_has_one_successor_in_any_order session MUST [Conditional] [MarkerIsLost SwallowsConflicts]
    "A rotation keeps what was committed and leaves one successor, in every order of another request's store calls";
S93 s93_lost_answer_counts_once_in_any_order session MUST [Conditional] [RepeatConflicts StoreIgnoresRevision]
    "A change whose answer is lost, or that arrives late, counts once or is reported as uncertain, in every order";
S94 s94_three_requests_lose_nothing_in_any_order session MUST [Conditional] [SwallowsConflicts RemoveIgnoresRevision]
    "Three requests of one session keep the promises of two, in every order of their store calls";
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
