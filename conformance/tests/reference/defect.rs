//! The defects of the mutants.

macro_rules! defects {
    ($($name:ident,)*) => {
        /// One small mistake. Its name says what the driver then does; the rows of the clause table name the clauses
        /// that notice it.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        pub enum Defect { #[default] Nothing, $($name,)* }

        impl Defect {
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];
        }
    };
}

defects! {
    ClaimsNoConditional, LosesRevision, KeepsOldDeadline, RetrieveCreates, EmptyIsAbsent, CutsAtNul,
    CutsAt64K, TooLargeRemoves, PathIds, FoldsCase, IgnoresPrefix, CutsKeys, RemoveKeeps,
    RemoveAlwaysYes, RemoveIgnoresAbsent, RemoveIgnoresRevision, AbsentReplaces, StoreIgnoresRevision,
    RevisionCreates, ConflictCutsData, RepeatConflicts, ComparesAsFloat, TouchCutsData,
    TouchIgnoresRevision, TouchCreates, TouchRepeatIsFalse, TouchOnlyExtends, CloneIsCopy,
    DropLosesRecord, FailurePoisons, ErrorShowsKey, CloseIsForgotten, FlushFails, CutsDeadline,
    TraverseSkipsLast, PrefixMatchesLonger, LimitZeroEnds, EmptyTraversalFails, EntryLies,
    ReportsExpired, CursorIsOffset, ReportsRemoved, GarbageStartsAgain, CursorOfHandle, WholeAtOnce,
    RepeatsKeys, CountsOtherPrefixes, ClearsOtherPrefixes, TraverseTouches, CursorNeedsItsKey,
    ExpiresLate, NeedsCleanup, AbsentSeesExpired, StoreRevivesExpired, RemoveSeesExpired,
    TouchRevivesExpired, TouchDoesNotExtend, LateStoreIgnored, TouchRefusesPast, NoneMeansACentury,
    ZeroMeansNever, PurgeMiscounts, PurgeIgnoresLimit, PurgeTakesLive, PurgeTakesAnother, PurgeOnlySessions,
    PurgeNeverEnds, PurgeRemembersDeadline, RacyRevision, RacyAbsent, RacyRemove, RacyRemoveAtRevision,
    TornWrite, EmptyFirst, RacyTouch, TouchRevivesRemoved, PurgeDoesNotRecheck, PurgeCountsTwice,
    StaleRead, AnswersEarly, TraverseFailsOnChange, DropKeepsLock, DroppedComesLate, FalseConflict, TiedToThread,
    CloseBreaksCalls, ComparesStaleCopy, HandleCaches, HandleIsCopy, LockPerHandle, ComparesHandleCache,
    CursorOfHandleStartsAgain, NoFileLock, LockFileOfTheDead, ForkHangs, ForkedCloseRemoves, CloseForgetsLast, CloseForgetsOthers, ReopenLosesDeadline,
    RemovalNotWritten, TouchNotWritten, TornAppend, TouchTearsRecord, PowerWithoutEvidence, PowerDoesNotSync,
    RetrievePanics,
    DamagedIsAbsent, DamagedIsReturned, DamagedConflicts, DamagedIsReplaced, TouchHidesDamage, TraverseFailsAtDamage, DamageEndsTraverse, DamageEndsPurge, GoneIsAbsent, GoneSaysYes,
    GoneForever, GoneLosesAll, FullRemovesOld, FullSaysYes, FullForever, FullRefusesRemovals, FullReusesLittle, DeniedIsAbsent,
    DeniedForever, TrustsIndex, TrustsIndexInChanges, TrustsIndexInConflicts, WalkHogs, TouchMovesAtSameRevision, RetrieveWaits, ShortIsMisconfigured,
    ShortForever, LostFilesAreUsed, LostFilesForever, FollowsLinkOnce, OverIgnoresRevision, OverComparesHint, OverRevives, RacyOver,
    RecentKeepsOffered, RecentMissesTouch, RecentShowsExpired, RecentFillsLate, RecentForever, RecentAgesFromUse,
    // Defects that only the session layer notices.
    SwallowsConflicts, SaysYesToTaken, StaleConflicts, HidesConflicts, SpuriousConflicts, RefusesFirstId,
    LosesUpdates, LosesCreates, KeepsRevision, LosesDeadlines, AddsAnHour, ShowsEarlierDeadlines,
    RemoveSaysGone, RemoveSaysYesOnConflict, TouchSaysTrue, TouchReverts, TouchKeepsRevision,
    AbsentIsAnError, AbsentIsEmptySession, AbsentIsAnother, ShowsExpired, ShowsRemoved, ReadsOneBehind,
    ReadExtends, ReadRemoves, ReadCutsData, FirstReadFails, DamagedIsDeleted, GarbageIsAbsent,
    GarbageIsDeleted, MarkerIsLost, MarkerRemoves, MarkerForever, MarkerIsEmptySession, StripsFlash,
    AgesFlash, SharesFlashIds, StripsUnknown, RenumbersCodecs, StripsBindings, InventsBindings, StripsUser,
    StripsValueDeadlines, ExtendsValueDeadlines, SpreadsValueDeadlines, ResetsTimes, RestartsLifetime,
    FlipsLastByte, PurgeSaysNone, StripsPersistence, InventsPersistence,
}
