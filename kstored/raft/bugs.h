/* Bugs that the simulator plants in the real code, to prove that its checkers find them
 * (tests/sim/run). In every other build no code is made of it. */
#pragma once

#include <stdbool.h>

#define KSTORED_BUG_LIST(X) \
        X(COMMIT_ALONE, "commit-alone", "the leader commits what only it has") \
        X(APPLY_UNSAVED, "apply-unsaved", "entries are applied before they are saved here") \
        X(ACK_EARLY, "ack-early", "a follower acknowledges entries before they are durable") \
        X(NO_SYNC, "no-sync", "saves are not synced") \
        X(OPEN_UNSYNCED, "open-unsynced", "what a start finds on the disk is not made durable") \
        X(VOTE_NOT_SAVED, "vote-not-saved", "term and vote are not written") \
        X(VOTE_TWICE, "vote-twice", "a member votes for every candidate") \
        X(VOTE_BLIND, "vote-blind", "votes do not look at the candidate's log") \
        X(READ_AT_ONCE, "read-at-once", "a leader serves reads without asking the others") \
        X(READ_BEFORE_COMMIT, "read-before-commit", \
                        "a new leader serves reads before it has committed in its term") \
        X(TRUNCATE_ALWAYS, "truncate-always", "every append cuts off what follows it") \
        X(HEARTBEAT_BEYOND, "heartbeat-beyond", "heartbeats commit what a member may not have") \
        X(FOLLOW_BLINDLY, "follow-blindly", \
                        "a member follows a leader that contradicts what is committed here") \
        X(TERMS_IGNORED, "terms-ignored", \
                        "a whole state is taken that lacks what was committed here") \
        X(EMPTY_VOTES, "empty-votes", "a member without its data takes part without asking") \
        X(HEARD_FORGOTTEN, "heard-forgotten", "the members heard from are not written") \
        X(NEWCOMER_STANDS, "newcomer-stands", "a new member campaigns before it has a log") \
        X(CHANGE_TWICE, "change-twice", "a second change of members while one is under way") \
        X(SNAPSHOT_LOSES, "snapshot-loses", "a state that is loaded lacks a row") \
        X(WAL_END_AT_DAMAGE, "wal-end-at-damage", "damage in the log is taken for its end") \
        X(WAL_MARK_EARLY, "wal-mark-early", "the log's mark moves before what it vouches for") \
        X(WAL_HEAD_VOTE, "wal-head-vote", "a new segment of the log forgets the vote") \
        X(WAL_TRIM_EARLY, "wal-trim-early", "the log drops what the database may still lose") \
        X(APPLY_TWICE, "apply-twice", "rows are written without the index that they reflect") \
        X(COMPACT_TOO_MUCH, "compact-too-much", "compaction drops a row that is in use") \
        X(WATCH_GAP, "watch-gap", "a watcher of a compacted revision continues behind the gap") \
        X(WATCH_TWICE, "watch-twice", "a watcher that has caught up gets its last event again") \
        X(WATCH_RESTORE, "watch-restore", "a snapshot's changes are not sent to watchers") \
        X(LEASE_SHORT, "lease-short", "a new leader gives leases a third of their time") \
        X(LEASE_OLD_LEADER, "lease-old-leader", "a deposed leader keeps ending leases")

enum bug {
        BUG_NONE,
#define KSTORED_BUG_ENUM(id, name, what) BUG_##id,
        KSTORED_BUG_LIST(KSTORED_BUG_ENUM)
#undef KSTORED_BUG_ENUM
};

#ifdef KSTORED_BUGS
extern enum bug bug_planted;
static inline bool bug(enum bug b) {
        return bug_planted == b;
}
#else
static inline bool bug(enum bug b) {
        return false;
}
#endif
